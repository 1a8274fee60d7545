"""Sum up how errors compare with their scales, block by block, and what a report of intervals says of the sums.

Blocks are NumPy arrays; which cubes they come from is left to `calibrating`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..kernels.calibration import EDGES, STRATA, gaussian_width

DoubleArray: TypeAlias = npt.NDArray[np.float64]

PIT_BINS = 10

SIDE = 120
"""Bins along each axis of the joint histogram of standard deviation and error, which are 12 % wide."""

JOINT = np.logspace(-5, 1, SIDE + 1)
"""Edges of these bins, in reflectance; what lies beyond counts in the outer ones."""

FINE = np.logspace(-5, 1, 1201)
"""Edges of the bins of absolute errors alone, 1.2 % wide."""


def _valid(blocks: Sequence[npt.NDArray[Any]], band: int) -> tuple[DoubleArray, DoubleArray, npt.NDArray[np.int64]]:
    """Return the errors, scales and strata of the pixels of one band that count."""
    estimate, scale, strata, reference = (block[0, band].ravel() for block in blocks)
    error = reference.astype("float64") - estimate
    valid = np.isfinite(error)
    return error[valid], scale[valid].astype("float64"), strata[valid].astype("int64")


def scores(*blocks: npt.NDArray[Any], table: None, levels: None) -> DoubleArray:
    """Count scores by band, stratum and bin of EDGES."""
    bins = len(EDGES) - 1
    made = np.zeros((1, blocks[0].shape[1], len(STRATA), bins, 1, 1))
    for band in range(made.shape[1]):
        error, scale, strata = _valid(blocks, band)
        place = strata * bins + _bin(np.abs(error) / scale, EDGES)
        made[0, band, :, :, 0, 0] = np.bincount(place, minlength=len(STRATA) * bins).reshape(len(STRATA), bins)
    return made


def measures(*blocks: npt.NDArray[Any], table: DoubleArray, levels: Sequence[float]) -> DoubleArray:
    """Sum what the report needs by band and stratum; `row_of` reads it."""
    made = np.zeros((1, blocks[0].shape[1], len(STRATA), count_of_sums(levels), 1, 1))
    for band in range(made.shape[1]):
        whole = _valid(blocks, band)
        for stratum in range(len(STRATA)):
            mine = whole[2] == stratum
            made[0, band, stratum, :, 0, 0] = _sums(whole[0][mine], whole[1][mine], table[band, stratum], levels)
    return made


def count_of_sums(levels: Sequence[float]) -> int:
    """Return how many numbers are summed for each band and stratum, `measures` writing and `row_of` reading them."""
    return 2 + 3 * len(levels) + PIT_BINS + SIDE * SIDE + len(FINE) - 1


def _sums(error: DoubleArray, scale: DoubleArray, widths: DoubleArray, levels: Sequence[float]) -> DoubleArray:
    size, middle = np.abs(error), int(np.argsort(levels)[len(levels) // 2])
    deviation = scale * (widths[middle] / gaussian_width(levels[middle]))
    parts: list[npt.ArrayLike] = [[float(len(size)), _crps(error, deviation).sum()]]
    for width, level in zip(widths, levels, strict=True):
        half = scale * width
        outside = np.maximum(size - half, 0)
        parts.append([float((size <= half).sum()), 2 * half.sum(), (2 * half + 2 / (1 - level) * outside).sum()])
    below = _normal(error / deviation)
    parts.append(np.bincount(np.minimum((below * PIT_BINS).astype("int64"), PIT_BINS - 1), minlength=PIT_BINS))
    joint = _bin(deviation, JOINT) * SIDE + _bin(size, JOINT)
    parts.append(np.bincount(joint, minlength=SIDE * SIDE))
    parts.append(np.bincount(_bin(size, FINE), minlength=len(FINE) - 1))
    return np.concatenate([np.asarray(part, dtype="float64") for part in parts])


def row_of(sums: DoubleArray, levels: Sequence[float], halves: Sequence[Sequence[float]]) -> xr.Dataset:
    """Turn the sums of one place, (band, stratum, number), into its part of the report.

    halves: constant half widths by band and level.
    """
    count = len(levels)
    by_stratum = np.concatenate([sums.sum(0), sums.sum((0, 1))[None]])
    pixels = by_stratum[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = by_stratum / pixels[:, None]
        covered, width, score = (mean[:, 2 + k : 2 + 3 * count : 3] for k in range(3))
        start = 2 + 3 * count
        pit = mean[-1, start : start + PIT_BINS]
        joint = by_stratum[-1, start + PIT_BINS : start + PIT_BINS + SIDE * SIDE].reshape(SIDE, SIDE)
        errors = sums.sum(1)[:, 1 - len(FINE) :]
        constant = [
            sum(_constant_score(band, half[n], level) for band, half in zip(errors, halves, strict=True)) / pixels[-1]
            for n, level in enumerate(levels)
        ]
    strata = ("stratum", [*STRATA, "all"])
    kept = np.linspace(0.1, 1, 10)
    return xr.Dataset(
        {
            "pixels": ("stratum", pixels.astype("int64")),
            "coverage": (("stratum", "level"), covered),
            "width": (("stratum", "level"), width),
            "interval_score": (("stratum", "level"), score),
            "constant_score": ("level", constant),
            "crps": ("stratum", mean[:, 1]),
            "pit": ("part", pit),
            "spread_error": ((), _spearman(joint)),
            "risk": ("kept", _risk(joint, kept)),
        },
        coords={"stratum": strata, "level": [*levels], "part": np.arange(PIT_BINS) / PIT_BINS, "kept": kept},
    )


def _bin(values: DoubleArray, edges: DoubleArray) -> npt.NDArray[np.int64]:
    """Return the bin of each value; edges are evenly spaced in logarithms."""
    step = np.log(edges[1] / edges[0])
    place = np.log(np.maximum(values, edges[0]) / edges[0]) / step
    return np.asarray(np.clip(place.astype("int64"), 0, len(edges) - 2))


def quantile_of(errors: DoubleArray, level: float) -> float:
    """Return the quantile of absolute errors, counted in the bins of FINE; 0 of none."""
    total = errors.sum()
    return float(_middle(FINE)[np.searchsorted(errors.cumsum(), level * total)]) if total else 0.0


def _constant_score(errors: DoubleArray, half: float, level: float) -> float:
    """Return the sum of the interval scores of a constant half width."""
    outside = np.maximum(_middle(FINE) - half, 0)
    return float((errors * (2 * half + 2 / (1 - level) * outside)).sum())


def _middle(edges: DoubleArray) -> DoubleArray:
    return np.asarray(np.sqrt(edges[1:] * edges[:-1]))


def _crps(error: DoubleArray, deviation: DoubleArray) -> DoubleArray:
    """Return the CRPS of normal distributions around the estimate; Gneiting and Raftery 2007, equation 21."""
    z = error / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * (2 * _normal(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)))


def _normal(z: DoubleArray) -> DoubleArray:
    """Return the distribution function of the standard normal."""
    import torch

    return np.asarray(torch.special.ndtr(torch.from_numpy(z)).numpy())


def _spearman(joint: DoubleArray) -> float:
    """Return the rank correlation of a joint histogram, all in one bin having its middle rank; NaN without spread."""
    sides = joint.sum(1), joint.sum(0)
    ranks = [side.cumsum() - side / 2 for side in sides]
    total = joint.sum()
    one, other = (rank - (side * rank).sum() / max(total, 1) for rank, side in zip(ranks, sides, strict=True))
    spread = np.sqrt((sides[0] * one**2).sum() * (sides[1] * other**2).sum())
    return float(one @ joint @ other / spread) if spread else float("nan")


def _risk(joint: DoubleArray, kept: DoubleArray) -> DoubleArray:
    """Return the mean absolute error of the shares of pixels with the smallest deviations."""
    count, total = joint.sum(1).cumsum(), (joint @ _middle(JOINT)).cumsum()
    if not count[-1]:
        return np.full(len(kept), np.nan)
    share = np.concatenate([[0.0], count / count[-1]])
    rising = np.concatenate([[True], np.diff(share) > 0])
    return np.asarray(np.interp(kept, share[rising], np.concatenate([[0.0], total])[rising]) / (kept * count[-1]))
