"""Match SR to HR radiometrically (lookup table or line) and geometrically (shift), lazily.

Two sensors disagree on brightness, and their images lie a fraction of a pixel apart; neither is caused by
super-resolution. Both are estimated once per date from the whole scene and then applied block by block, to SR and to
the upsampled LR: a lookup table for SR alone would make an unchanged LR an error. The curve of `simulate.harmonize` is
not used, since it is constant beyond the values of its source: where 4 to 11 % of LR lay outside those of SR, LR was up
to 0.04 off; the table continues with slope 1.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import dask.array as da
import numpy as np
import numpy.typing as npt

from ..registration.estimate import LEAST_SIDE
from ..registration.windows import measured, places_of
from .distances import frame_of
from .inputs import ImageSeries
from .reduce import STRIP, FloatArray, Layout, map_images


def measure_shifts(moving: da.Array, reference: da.Array, max_shift: float) -> da.Array:
    """Measure by how many pixels `moving` must be moved to lie on `reference`: (time, 4), dy, dx, quality, ok.

    moving, reference: (time, band, y, x) of one size, NaN where not valid; one date serves all. ok: 1 where the shift
    is reliable, else 0; always 0 for images that are less than 16 pixels wide.
    """
    count = max(moving.shape[0], reference.shape[0])
    if min(moving.shape[-2:]) < LEAST_SIDE:
        nothing: da.Array = da.zeros((count, 4), chunks=(1, 4))
        return nothing
    windows = places_of(*moving.shape[-2:])

    def cut(images: da.Array, date: int) -> list[da.Array]:
        image = images[min(date, images.shape[0] - 1)]
        return [image[..., rows, columns].rechunk(-1) for rows, columns in windows]

    options = {"max_shift": max_shift}
    shifts: da.Array = da.stack([measured(cut(moving, n), cut(reference, n), options) for n in range(count)])
    return shifts


Spectral: TypeAlias = "Literal['histogram', 'linear'] | None"

LOW, HIGH, LEVELS = -0.2, 1.8, 32_768
"""Reflectance is counted on this grid, 6e-5 apart; beyond it maps go on with slope 1."""

_STEP = (HIGH - LOW) / LEVELS


def spectral_map(sr: ImageSeries, hr: da.Array, layout: Layout, method: Spectral, scale: int) -> da.Array | None:
    """Estimate for each date and band the lookup table from SR to HR.

    hr: (time, band, y, x), NaN where it does not count. method: "histogram", each quantile of SR becomes that of HR;
    "linear", gain and offset by least squares between block means of SR and HR, `scale` pixels a side.
    Returns (time, band, level, 2), values at both ends of each level, or (time, band, 1, 2), gain and offset.
    """
    if method is None:
        return None
    blocks = [(layout.cut(sr.data), "tbyx"), (layout.cut(hr), "tbyx")]
    function, length = (_levels, 2 * LEVELS) if method == "histogram" else (_products, 5)
    times, bands = max(sr.data.shape[0], hr.shape[0]), sr.data.shape[1]
    counts = map_images(function, blocks, "tbyxn", layout.one_each(), new={"n": length}, scale=scale)
    total = counts.sum(axis=(2, 3), split_every=8, dtype=np.float64)
    finish, shape = (_table, LEVELS) if method == "histogram" else (_gain, 1)
    table: da.Array = da.map_blocks(
        finish, total, chunks=((1,) * times, (bands,), (shape,), (2,)), drop_axis=2, new_axis=(2, 3), dtype=np.float64,
        meta=np.empty((0,) * 4),
    )  # fmt: skip
    return table


def apply_map(table: FloatArray, image: FloatArray) -> FloatArray:
    """Apply a map (band, level, 2) to (band, y, x)."""
    if table.shape[1] == 1:
        return np.asarray(table[:, 0, 0, None, None] * image + table[:, 0, 1, None, None])
    out = np.empty(image.shape, np.float64)
    for table_of_band, values, found in zip(table, image, out, strict=True):
        rise = table_of_band[:, 1] - table_of_band[:, 0]
        start_of_level = table_of_band[:, 0] - rise * np.arange(LEVELS)
        for start in range(0, values.size, STRIP):
            part = slice(start, start + STRIP)
            place, level = _level_of(values.reshape(-1)[part])
            place *= np.take(rise, level)
            np.add(place, np.take(start_of_level, level), out=found.reshape(-1)[part])
    return out


def _level_of(values: FloatArray) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return where values lie among the levels, and in which: 0 to LEVELS - 1, also for NaN."""
    place = np.subtract(values, LOW, dtype=np.float64)
    place /= _STEP
    with np.errstate(invalid="ignore"):
        level = place.astype(np.intp)
    return place, np.clip(level, 0, LEVELS - 1, out=level)


def shift_map(sr: ImageSeries, hr: da.Array, max_shift: float) -> da.Array:
    """Estimate for each date by how many pixels SR must be moved to lie on HR: (time, 2): dy, dx.

    0, 0 where the estimate is not reliable.
    """
    shifts = measure_shifts(sr.data, hr, max_shift)
    reliable: da.Array = da.where(shifts[:, 3:] > 0, shifts[:, :2], 0.0)
    return reliable


def _levels(one: FloatArray, other: FloatArray, *, scale: int) -> npt.NDArray[np.int32]:
    """Count the levels of each band where both images are valid: (1, band, 1, 1, both)."""
    counts = np.zeros((one.shape[1], 2 * LEVELS), np.int32)
    valid = np.isfinite(one[0]) & np.isfinite(other[0])
    frame = (..., *frame_of(valid))
    for band, images in enumerate(zip(one[0][frame], other[0][frame], strict=True)):
        inner = valid[frame][band]
        whole = bool(inner.all())
        for start, image in zip((0, LEVELS), images, strict=True):
            values = image.reshape(-1) if whole else image[inner]
            for first in range(0, values.size, STRIP):
                level = _level_of(values[first : first + STRIP])[1]
                counts[band, start : start + LEVELS] += np.bincount(level, minlength=LEVELS).astype(np.int32)
    return counts[None, :, None, None]


def _table(counts: FloatArray) -> FloatArray:
    """Convert counts (1, band, both) into maps (1, band, level, 2)."""
    return np.stack([_matched(band[:LEVELS], band[LEVELS:]) for band in counts[0]])[None]


def _matched(source: FloatArray, target: FloatArray) -> FloatArray:
    """Return the map of levels that turns one histogram into another: values at both ends of each level."""
    edges = LOW + _STEP * np.arange(LEVELS + 1)
    used = np.flatnonzero(source)
    if not used.size:
        return np.stack([edges[:-1], edges[1:]], axis=1)
    rank = np.concatenate([[0.0], np.cumsum(source)])
    # Ends of used levels. The left one is read from the right, so that gaps of the target are jumped over.
    first = _value_at(rank[used], target, "right")
    last = _value_at(rank[used + 1], target, "left")
    # Levels that SR does not use, but the upsampled LR may: linear in between, slope 1 beyond.
    places = np.stack([edges[used], edges[used + 1]], axis=1).ravel()
    values = np.maximum.accumulate(np.stack([first, last], axis=1).ravel())
    places = np.concatenate([[places[0] - 10], places, [places[-1] + 10]])
    values = np.concatenate([[values[0] - 10], values, [values[-1] + 10]])
    table = np.stack([np.interp(edges[:-1], places, values), np.interp(edges[1:], places, values)], axis=1)
    table[used] = np.stack([first, last], axis=1)
    return table


def _value_at(rank: FloatArray, counts: FloatArray, side: Literal["left", "right"]) -> FloatArray:
    """Return the value below which `rank` of the counted pixels lie."""
    total = np.cumsum(counts)
    level = np.searchsorted(total, rank, side=side)
    used = np.flatnonzero(counts)
    level = np.clip(level, used[0], used[-1])
    below = total[level] - counts[level]
    return np.asarray(LOW + _STEP * (level + np.clip((rank - below) / np.maximum(counts[level], 1), 0, 1)))


def _products(one: FloatArray, other: FloatArray, *, scale: int) -> FloatArray:
    """Sum what a straight line needs, over means of blocks of `scale` pixels: (1, band, 1, 1, 5)."""
    height, width = (side - side % scale for side in one.shape[-2:])
    x, y = (
        image[0, :, :height, :width]
        .astype(np.float64)
        .reshape(-1, height // scale, scale, width // scale, scale)
        .mean(axis=(2, 4))
        for image in (one, other)
    )
    valid = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(valid, x, 0), np.where(valid, y, 0)
    sums = [field.sum(axis=(-2, -1)) for field in (valid.astype(np.float64), x, y, x * x, x * y)]
    return np.stack(sums, axis=-1)[None, :, None, None]


def _gain(sums: FloatArray) -> FloatArray:
    """Convert sums (1, band, 5) into gain and offset (1, band, 1, 2); 1 and the difference of means on even ground."""
    with np.errstate(divide="ignore", invalid="ignore"):
        _, x, y, xx, xy = np.moveaxis(sums / sums[..., :1], -1, 0)
        spread = xx - x * x
        gain = np.where(spread > 1e-10, (xy - x * y) / spread, 1.0)
    offset = y - gain * x
    known = np.isfinite(gain) & np.isfinite(offset)
    lines: npt.NDArray[Any] = np.stack([np.where(known, gain, 1.0), np.where(known, offset, 0.0)], axis=-1)
    return lines[:, :, None]
