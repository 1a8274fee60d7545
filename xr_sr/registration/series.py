"""Compare the dates of a series with one of them, region by region: shift, brightness, and how well they agree.

NumPy arrays only; which dates and regions are compared is decided in `pipeline.multiframe`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..kernels.kriging_filters import Doubles
from .estimate import NOTHING, Shift, combined, estimate_shift
from .warping import FloatArray, warp

WEIGHTS = (1.0, 0.5, 0.25, 0.1)
"""What the weight of a date in a region is rounded to, so that few filters serve all; below the half of the last, 0."""

LEAST_CONTRAST = 0.004
"""Standard deviation of reflectance below which a region says nothing of a gain, only of an offset."""

MOST_GAIN = 2.0
"""Gains beyond this, or below its inverse, are no measurement."""

LEAST_SHARE = 0.05
"""Share of pixels that two dates must have in common."""

ODD, LEAST_ODD = 6.0, 0.01
"""Robust standard deviations from which on a pixel is other ground, and the share of such pixels that matters."""

TURNS = 8
"""Repetitions of the robust regression."""

USUAL = 1.5
"""Residuals up to this many times the median count fully: shifts by half a pixel leave more than shifts by none."""

SAME = 0.03
"""Pixels by which the shift of a region must differ, beside three standard errors, from the median of all regions."""


@dataclass(frozen=True, eq=False)
class Compared:
    """How one date lies and looks against the reference in one region.

    shift: by which its content must be moved to lie on the reference. gain, offset: (band,), value = gain * reference
    + offset. residual: robust standard deviation of the rest, in reflectance, over all bands; infinite where the dates
    could not be compared, NaN where they have too few pixels in common to try. assumed: whether the shift is that
    against another date, of which it is not known where it lies.
    """

    shift: Shift
    gain: Doubles
    offset: Doubles
    residual: float
    assumed: bool = False


def is_known(compared: Compared) -> bool:
    """Return whether a date was measured."""
    return compared.shift.ok and math.isfinite(compared.residual)


def compare(moving: FloatArray, reference: FloatArray, measured: Sequence[int], max_shift: float) -> Compared:
    """Compare one date with the reference, (band, y, x) reflectance with NaN where not valid.

    measured: indices of the bands that the shift is measured in. The gain of a band is the geometric mean of the robust
    regressions of each image on the other, of means of 3 x 3 pixels: one regression alone would be too flat, since
    both images have noise and detail that the other has not. Ground that changed, or lies under a cloud that no mask
    hides, is left out where the shift is measured a second time.
    """
    bands = len(reference)
    if min(reference.shape[-2:]) < 16:
        return Compared(NOTHING, np.ones(bands), np.zeros(bands), math.inf)
    found, odd = _compared(moving, reference, _shift(moving, reference, measured, max_shift))
    if found.shift.ok and odd.mean() > LEAST_ODD:
        same = np.where(widened(odd, 2), np.nan, reference)
        again = _shift(moving, same, measured, max_shift)
        if again.ok:
            found, _ = _compared(moving, reference, again)
    return found


def _shift(moving: FloatArray, reference: FloatArray, measured: Sequence[int], max_shift: float) -> Shift:
    """Measure a shift; phase correlation is off by two hundredths of a pixel on small images, ECC by less than one.

    ECC finds less where images differ much; phase correlation is tried there.
    """
    images = moving[list(measured)], reference[list(measured)]
    shift = estimate_shift(*images, method="ecc", max_shift=max_shift)
    return shift if shift.ok else estimate_shift(*images, method="phase", max_shift=max_shift)


def _compared(moving: FloatArray, reference: FloatArray, shift: Shift) -> tuple[Compared, NDArray[np.bool_]]:
    """Compare brightness at a shift; return where the ground is other ground, too."""
    bands, odd = len(reference), np.zeros(reference.shape[-2:], bool)
    nothing = Compared(shift, np.ones(bands), np.zeros(bands), math.inf)
    if not shift.ok:
        return nothing, odd
    moved = warp(np.asarray(moving, "float64"), shift.dy, shift.dx)
    gains, offsets, rests = np.ones(bands), np.zeros(bands), []
    for band, (one, other) in enumerate(zip(reference, moved, strict=True)):
        common = np.isfinite(one) & np.isfinite(other)
        if common.mean() < LEAST_SHARE:
            return replace(nothing, shift=NOTHING), odd
        smooth = [_averaged(np.where(common, image, np.nan)) for image in (one, other)]
        inside = np.isfinite(smooth[0]) & np.isfinite(smooth[1])
        inside = inside if inside.sum() > 64 else common
        gains[band], offsets[band] = _line(
            np.asarray(smooth[0][inside], "float64"), np.asarray(smooth[1][inside], "float64")
        )
        rest = (other[common] - offsets[band]) / gains[band] - one[common]
        rests.append(_spread(rest))
        odd[common] |= np.abs(rest - np.median(rest)) > ODD * max(rests[-1], LEAST_CONTRAST / 4)
    return Compared(shift, gains, offsets, float(np.sqrt(np.mean(np.square(rests))))), odd


def widened(where: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Return pixels of (y, x) with those around them, `steps` on each side."""
    for axis in (0, 1):
        padded = np.pad(where, [(steps, steps) if axis == each else (0, 0) for each in (0, 1)])
        parts = [np.take(padded, range(step, step + where.shape[axis]), axis) for step in range(2 * steps + 1)]
        where = np.logical_or.reduce(parts)
    return where


def weights_of(residuals: Sequence[float]) -> list[float]:
    """Return the weights of the dates of one region by their residuals, rounded to WEIGHTS; 0 where one is unknown."""
    known = [residual for residual in residuals if math.isfinite(residual)]
    if not known:
        return [0.0] * len(residuals)
    usual = max(float(np.median(known)), 1e-4)
    lowered = [(USUAL * usual / residual) ** 2 if residual else 1.0 for residual in residuals]
    return [0.0 if math.isnan(weight) else rounded(min(1.0, weight)) for weight in lowered]


def rounded(weight: float) -> float:
    """Round a weight, by its logarithm, to one of WEIGHTS, or to 0."""
    if weight < WEIGHTS[-1] / 2:
        return 0.0
    return min(WEIGHTS, key=lambda choice: abs(math.log(choice / weight)))


def settled(shifts: Sequence[Shift], max_shift: float) -> list[Shift]:
    """Return the shifts of one date's regions: one for all, unless a region differs from the median surely.

    So one shift, and one set of filters, serves a date whose regions differ by no more than their errors.
    """
    good = [shift for shift in shifts if shift.ok]
    if not good:
        return [NOTHING] * len(shifts)
    middle = np.median([(shift.dy, shift.dx) for shift in good], axis=0)

    def near(shift: Shift) -> bool:
        return math.hypot(shift.dy - middle[0], shift.dx - middle[1]) <= SAME + 3 * shift.error

    together = [shift for shift in good if near(shift)]
    whole = combined(together or good, max_shift)
    return [shift if shift.ok and not near(shift) else whole for shift in shifts]


def _averaged(image: Doubles) -> Doubles:
    """Return means of 3 x 3 pixels, NaN where one is not valid."""
    out = np.full_like(image, np.nan)
    height, width = image.shape
    parts = [image[y : height - 2 + y, x : width - 2 + x] for y in range(3) for x in range(3)]
    out[1:-1, 1:-1] = np.sum(parts, axis=0) / 9
    return out


def _line(one: Doubles, other: Doubles) -> tuple[float, float]:
    """Return gain and offset of other = gain * one + offset, robustly: pixels far off the line count little."""
    weights = np.ones_like(one)
    gain, offset = 1.0, float(np.median(other - one))
    if min(_spread(one), _spread(other)) < LEAST_CONTRAST:
        return gain, offset
    for _ in range(TURNS):
        rest = other - gain * one - offset
        scale = max(_spread(rest), 1e-5)
        weights = 1 / (1 + np.square(rest / (2 * scale)))
        total = weights.sum()
        centers = [(weights * image).sum() / total for image in (one, other)]
        left, right = one - centers[0], other - centers[1]
        variances = [(weights * np.square(image)).sum() for image in (left, right)]
        common = (weights * left * right).sum()
        if common <= 0:
            break
        gain = math.sqrt(variances[1] / variances[0])
        offset = float(centers[1] - gain * centers[0])
    if not 1 / MOST_GAIN <= gain <= MOST_GAIN:
        return 1.0, float(np.median(other - one))
    return float(gain), offset


def _spread(values: Doubles) -> float:
    """Return the robust standard deviation around the median."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
