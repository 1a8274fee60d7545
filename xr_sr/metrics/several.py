"""Compute several metrics of the same images at once: one task a block for all, a number per image or per band each.

Maps, patches and objects are computed metric by metric, in `fidelity`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from .fidelity import finished_fields, named
from .inputs import ImageSeries
from .records import Formula, Metric
from .reduce import FloatArray, Input, Layout, map_images, trimmed


@dataclass(frozen=True)
class _Part:
    """One metric of a task: what it computes, the numbers among the sums of all, and those among the results."""

    formula: Formula
    options: tuple[tuple[str, Any], ...]
    channels: int
    sums: slice
    values: slice


def measure_several(
    scene: ImageSeries,
    images: Sequence[da.Array],
    layout: Layout,
    metrics: Mapping[str, tuple[Metric, dict[str, Any]]],
) -> dict[str, xr.DataArray]:
    """Compute metrics of images (time, band, y, x), lazily: of each one number per date, and per band as it may be.

    scene: whose names and places the results get. metrics: by the name of the result, each with its options.
    """
    if not metrics:
        return {}
    parts: list[_Part] = []
    sums = values = 0
    for metric, options in metrics.values():
        formula = metric.formula
        assert not isinstance(formula, str), "such metrics are computed by a function of their own"
        channels = 1 if formula.bands == "pixels" else len(scene.keys)
        results = channels if formula.bands == "each" else 1
        length = (formula.fields + 1) * channels
        places = slice(sums, sums + length), slice(values, values + results)
        parts.append(_Part(formula, tuple(options.items()), channels, *places))
        sums, values = sums + length, values + results
    halo = max(part.formula.halo for part in parts)
    inputs: list[Input] = [(layout.wider(image, halo), "tbyx") for image in images]
    of_blocks = map_images(_sums, inputs, "tnyx", layout.one_each(), new={"n": sums}, parts=tuple(parts), halo=halo)
    total = da.sum(of_blocks, axis=(2, 3), split_every=16)
    found = da.map_blocks(
        _values, total, parts=tuple(parts), chunks=(total.chunks[0], (values,)), dtype=np.float64, meta=np.empty((0, 0))
    )
    made = {}
    for (name, (metric, options)), part in zip(metrics.items(), parts, strict=True):
        each = part.formula.bands == "each"
        data = found[:, part.values] if each else found[:, part.values.start]
        made[name] = named(scene, data, ["time", "band"] if each else ["time"], metric, "image", options)
    return made


def _sums(*blocks: FloatArray, parts: tuple[_Part, ...], halo: int) -> FloatArray:
    """Sum the fields of all metrics over a block with `halo` pixels of context: (1, number, 1, 1)."""
    found = []
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # infinite pixels do not count
        for part in parts:
            images = (trimmed(block[0], halo - part.formula.halo) for block in blocks)
            found.append(part.formula.sums(*images, **dict(part.options)).ravel())
    return np.concatenate(found)[None, :, None, None]


def _values(total: FloatArray, *, parts: tuple[_Part, ...]) -> FloatArray:
    """Convert the sums of an image, (1, number), into values (1, number)."""
    found = []
    for part in parts:
        sums = total[:, part.sums].reshape(1, part.formula.fields + 1, part.channels, 1, 1, 1)
        found.append(finished_fields(sums, formula=part.formula, options=dict(part.options)).reshape(1, -1))
    return np.concatenate(found, axis=1)
