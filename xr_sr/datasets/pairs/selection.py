"""Which pairs are usable: enough valid pixels, no shift between the two, the same colours. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...registration import estimate_shift

__all__ = ["Finding", "Limits", "examine", "spectral_angle"]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]

KEPT, NOT_VALID, NO_STRUCTURE, SHIFTED, OTHER_COLOURS = (
    "kept",
    "too few valid pixels",
    "shift not measurable",
    "shifted",
    "other colours",
)


@dataclass(frozen=True)
class Limits:
    """What a pair may show at most, and of valid pixels at least.

    max_shift: length in coarse pixels. max_angle: mean spectral angle in degrees. min_valid: share of pixels, 0 to 1.
    """

    max_shift: float
    max_angle: float
    min_valid: float


@dataclass(frozen=True)
class Finding:
    """What was measured of a pair. Shifts in coarse pixels, angle in degrees; NaN where it was not measured."""

    reason: str
    valid: float
    shift_y: float = np.nan
    shift_x: float = np.nan
    quality: float = np.nan
    angle: float = np.nan

    @property
    def kept(self) -> bool:
        """Whether the pair is usable."""
        return self.reason == KEPT


def examine(coarse: FloatArray, seen: FloatArray, fine: FloatArray, limits: Limits) -> Finding:
    """Judge one pair.

    coarse: (band, y, x), the coarse image. seen: the same, what the coarse sensor would have seen of the fine image.
    fine: (band, y * scale, x * scale). All of reflectance, NaN where not valid.
    The shift is that of `coarse` against `seen` (Q1), the angle the mean over pixels of that between both (Q2). Tests
    run in this order, and the first that fails is the reason: valid pixels, shift, angle.
    """
    valid = float(min(np.isfinite(image).all(axis=0).mean() for image in (coarse, seen, fine)))
    if valid < limits.min_valid or valid == 0:
        return Finding(NOT_VALID, valid)
    angle = spectral_angle(coarse, seen)
    shift = estimate_shift(seen, coarse, max_shift=max(5.0, 2 * limits.max_shift))
    measured = (valid, shift.dy, shift.dx, shift.quality, angle)
    if not shift.ok:
        return Finding(NO_STRUCTURE, *measured)
    if np.hypot(shift.dy, shift.dx) > limits.max_shift:
        return Finding(SHIFTED, *measured)
    if not angle <= limits.max_angle:
        return Finding(OTHER_COLOURS, *measured)
    return Finding(KEPT, *measured)


def spectral_angle(one: FloatArray, other: FloatArray) -> float:
    """Measure the mean angle in degrees between the spectra of two images, (band, y, x), over pixels valid in both.

    0 for spectra that differ in brightness only, and for a single band. NaN without valid pixels; spectra without light
    do not count. Source: Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N (spectral angle mapper).
    """
    left, right = one.astype("float64"), other.astype("float64")
    lengths = np.sqrt((left**2).sum(axis=0) * (right**2).sum(axis=0))
    known = lengths > 0  # False for NaN
    if not known.any():
        return float("nan")
    cosine = (left * right).sum(axis=0)[known] / lengths[known]
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())
