"""What an estimate of a shift says: how far, how sure, and whether to believe it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

GOOD_ERROR = 0.2
"""The standard error, in pixels, at which the quality is one half."""

MIN_QUALITY = 0.5
"""The least quality of a shift that is believed."""


@dataclass(frozen=True)
class Shift:
    """The shift by which the content of one image must be moved to match another, in pixels.

    dy: downward, along y as stored; dx: along x; NaN where nothing could be estimated.
    quality: 0 to 1, and 1 / (1 + (error / 0.2)^2): one half where the error is 0.2 pixels.
    error: expected standard error in pixels, along the direction in which the images tell least.
    ok: whether the shift is within the limit asked for and its quality is at least one half.
    """

    dy: float
    dx: float
    quality: float
    error: float
    ok: bool

    @property
    def length(self) -> float:
        """Distance in pixels."""
        return math.hypot(self.dy, self.dx)


NOTHING = Shift(math.nan, math.nan, 0.0, math.inf, False)
"""What can be said of images without a pixel in common."""


def judged(dy: float, dx: float, error: float, max_shift: float) -> Shift:
    """Make a record out of a shift, its standard error in pixels, and the longest shift along an axis to believe."""
    if not (math.isfinite(dy) and math.isfinite(dx)):
        return NOTHING
    quality = 1 / (1 + (error / GOOD_ERROR) ** 2)
    return Shift(dy, dx, quality, error, quality >= MIN_QUALITY and max(abs(dy), abs(dx)) <= max_shift)


def combined(shifts: Sequence[Shift], max_shift: float) -> Shift:
    """Make one shift out of those of several places: their mean, the surest counting most.

    Places that are not ok, or lie more than a pixel from the median of those that are, do not count. The error is the
    larger one of what the places promise and of how much they disagree. Without any place that is ok: the surest one.
    """
    good = [shift for shift in shifts if shift.ok]
    if not good:
        return max(shifts, key=lambda shift: shift.quality, default=NOTHING)
    middle_y, middle_x = (_median([getattr(shift, axis) for shift in good]) for axis in ("dy", "dx"))
    good = [shift for shift in good if math.hypot(shift.dy - middle_y, shift.dx - middle_x) <= 1] or good
    weights = [1 / max(shift.error, 1e-3) ** 2 for shift in good]
    total = sum(weights)
    dy = sum(weight * shift.dy for weight, shift in zip(weights, good, strict=True)) / total
    dx = sum(weight * shift.dx for weight, shift in zip(weights, good, strict=True)) / total
    promised = total**-0.5
    strays = (
        weight * ((shift.dy - dy) ** 2 + (shift.dx - dx) ** 2) for weight, shift in zip(weights, good, strict=True)
    )
    found = math.sqrt(sum(strays) / total / max(len(good) - 1, 1))
    return judged(dy, dx, max(promised, found), max_shift)


def _median(values: Sequence[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2
