"""Find the shift between two images by correlation: phase correlation and ECC.

Arrays of one pair of images only, as `channels` prepares them.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_whole
from ..optional import require
from .channels import Array, Pair, slopes, weighted_sum
from .warping import FloatArray

ComplexArray: TypeAlias = NDArray[np.complexfloating[Any, Any]]


def phase_correlation_shift(moving: FloatArray, reference: FloatArray, *, upsample: int = 50) -> tuple[float, float]:
    """Find the (dy, dx) in pixels by which `moving` must be moved to lie on `reference`, by scikit-image.

    moving, reference: (y, x), same shape, without NaN; float32 stays float32 in the transforms. upsample: the shift is
    a multiple of 1 / upsample pixel; 1: whole pixels. Images are taken as periodic; shifts lie within half their size.
    Raises ValueError for other shapes or NaN, OptionError (a ValueError) for upsample, MissingLibraryError without
    scikit-image.
    Source: Kuglin and Hines 1975 (phase correlation); Guizar-Sicairos et al. 2008, doi:10.1364/OL.33.000156 (peak by a
    matrix-multiply DFT).
    """
    if moving.ndim != 2 or moving.shape != reference.shape:
        raise ValueError(
            f"moving and reference must be (y, x) arrays of one shape; they are {moving.shape} and {reference.shape}. "
            "Average the bands, and cut both to the same pixels."
        )
    check_whole("upsample", upsample, least=1, unit="steps per pixel")
    if not (np.isfinite(moving).all() and np.isfinite(reference).all()):
        raise ValueError("moving and reference must be finite; they hold NaN or infinity. Fill it first.")
    registration = require("skimage.registration", extra="metrics")
    shift, _, _ = registration.phase_cross_correlation(reference, moving, upsample_factor=upsample)
    return float(shift[0]), float(shift[1])


WHITENING = 0.5
"""Exponent of the whitening of frequencies: 1 is phase correlation as published, where frequencies that hold noise
and the leaking of the window count as much as those with signal; 0 is plain correlation, of which few frequencies
decide."""

ITERATIONS = 6


def shift_by_phase(pair: Pair, *, max_shift: float, upsample: int) -> tuple[float, float, bool]:
    """Find the shift (dy, dx) of the largest correlation, in steps of 1 / upsample pixel, and whether it is sure.

    Whole pixels first, up to one beyond `max_shift` along each axis; then repeatedly a fine search around, with windows
    at the shift found before, until it stays. In float32 a shift is not sure where another is as good but for rounding.
    Source: Argyriou and Vlachos 2006, doi:10.1109/TIP.2005.863103 (gradients); Guizar-Sicairos et al. 2008 (peak by a
    matrix-multiply DFT).
    """
    dy, dx, sure = whole_pixels(pair, max_shift)
    steps = np.arange(-math.ceil(0.75 * upsample), math.ceil(0.75 * upsample) + 1) / upsample
    for _ in range(ITERATIONS):
        before = (dy, dx)
        dy, dx, found = _around(spectrum_of(pair, dy, dx), pair.shape, dy + steps, dx + steps)
        sure = sure and found
        if not sure or max(abs(dy - before[0]), abs(dx - before[1])) < 0.6 / upsample:
            break
    return dy, dx, sure


def whole_pixels(pair: Pair, max_shift: float) -> tuple[float, float, bool]:
    """Find the largest correlation among shifts of whole pixels, up to one beyond `max_shift` along each axis."""
    reach = math.floor(max_shift) + 1
    y, x = (np.arange(-min(reach, (size - 1) // 2), min(reach, (size - 1) // 2) + 1.0) for size in pair.shape)
    return _largest(spectrum_of(pair, 0.0, 0.0), pair.shape, y, x)


def spectrum_of(pair: Pair, dy: float, dx: float) -> ComplexArray:
    """Return the cross-spectrum of all channels together, partly whitened, with windows for the shift (dy, dx).

    (y, x / 2 + 1): the other half is its mirror image, as the channels are real.
    """
    require("scipy", extra="metrics")
    from scipy import fft

    on_moving, on_reference = pair.weights(dy, dx)
    total: ComplexArray | None = None
    buffer = np.empty(pair.shape, pair.moving.dtype)
    for moving, reference in zip(pair.moving, pair.reference, strict=True):
        # Without its mean: that would leave a picture of the window.
        one = fft.rfft2(_centred(moving, on_moving, buffer))
        other = fft.rfft2(_centred(reference, on_reference, buffer))
        product = np.multiply(other, np.conj(one, out=one), out=other)
        total = product if total is None else np.add(total, product, out=total)
    assert total is not None, "a pair has a channel"
    power = np.square(total.real) + np.square(total.imag)
    floor = 1e-24 * power.max(initial=0.0) or 1.0
    return np.asarray(total * np.maximum(power, power.dtype.type(floor)) ** power.dtype.type(-WHITENING / 2))


ROUNDING = 4e-6
"""By how much float32 may be off in the difference of two correlations, as a share of the largest, for each pixel of
shift between them; five times what was measured."""

STRIDE = 5
"""Steps of a fine search of which one is looked at first."""


def _around(
    spectrum: ComplexArray, shape: tuple[int, int], y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[float, float, bool]:
    """Find what `_largest` does, for shifts less than a pixel apart, from few of them.

    A correlation has no hills so close to each other; where it seems to have, all are looked at.
    """
    middle = slice(len(y) // 2 % STRIDE, None, STRIDE)
    some = _correlation_at(spectrum, shape, y[middle], x[middle])
    row, column = map(int, np.unravel_index(int(np.argmax(some)), some.shape))
    inside = 0 < row < some.shape[0] - 1 and 0 < column < some.shape[1] - 1
    if inside:
        best = some[row, column]
        beside = some[row - 1, column] + some[row + 1, column] + some[row, column - 1] + some[row, column + 1]
        # Between the shifts looked at, a parabola through three of them rises by less than this.
        rise = (4 * best - beside) / 8
        some[row - 1 : row + 2, column - 1 : column + 2] = -np.inf
        inside = bool(some.max() < best - rise)
    if not inside:
        return _largest(spectrum, shape, y, x)
    near = [slice(middle.start + (at - 1) * STRIDE, middle.start + (at + 1) * STRIDE + 1) for at in (row, column)]
    return _largest(spectrum, shape, y[near[0]], x[near[1]])


def _largest(
    spectrum: ComplexArray, shape: tuple[int, int], y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[float, float, bool]:
    """Find where among shifts y times x the correlation is largest, and whether that is sure.

    spectrum: half of it. A negative correlation is contrast turned round.
    """
    correlation = _correlation_at(spectrum, shape, y, x)
    row, column = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    largest = float(correlation[row, column])
    sure = spectrum.dtype == np.complex128
    if not sure:
        apart = np.hypot((y - y[row])[:, None], x - x[column])
        rivals = correlation >= largest - ROUNDING * abs(largest) * apart
        sure = int(np.count_nonzero(rivals)) == 1
    return float(y[row]), float(x[column]), sure


def _correlation_at(
    spectrum: ComplexArray, shape: tuple[int, int], y: NDArray[np.float64], x: NDArray[np.float64]
) -> Array:
    """Evaluate the cross-correlation, times the number of pixels, at the shifts y times x: (y, x)."""
    height, width = shape
    down = np.exp(2j * np.pi * np.outer(y, np.fft.fftfreq(height)))
    if height % 2 == 0:  # the highest frequency is its own mirror image
        down[:, height // 2] = down[:, height // 2].real
    along = np.exp(2j * np.pi * np.outer(np.fft.rfftfreq(width), x))
    along[1 : (width + 1) // 2] *= 2  # each stands for its mirror image too
    right = (down @ spectrum.astype(np.complex128, copy=False)).view(np.float64)
    # Only the real part of a product of complex numbers: real times real less imaginary times imaginary.
    found = right @ np.stack([along.real, -along.imag], axis=1).reshape(-1, len(x))
    if height % 2 == width % 2 == 0:  # what is highest along both axes is a mirror image of itself, and of no other
        found -= spectrum[height // 2, -1].real * np.outer(np.sin(np.pi * y), np.sin(np.pi * x))
    return np.asarray(found)


STEPS = 50
CONVERGED = 1e-3
"""Pixels; smaller steps end the search."""


def shift_by_ecc(pair: Pair, *, max_shift: float) -> tuple[float, float]:
    """Find the shift (dy, dx) that maximises the correlation coefficient of moving, moved, and reference.

    Starts from the best whole pixel, since the steps find a maximum within about a pixel. NaN, NaN if the images do not
    correlate there or the search runs away. Source: Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113, forward
    additive scheme with a translation as its warp.
    """
    dy, dx, _ = whole_pixels(pair, max_shift)
    start = (dy, dx)
    for _ in range(STEPS):
        step = _step(pair, dy, dx)
        if step is None or math.hypot(dy + step[0] - start[0], dx + step[1] - start[1]) > 2:
            return math.nan, math.nan
        dy, dx = dy + step[0], dx + step[1]
        if math.hypot(*step) < CONVERGED:
            break
    return dy, dx


def _step(pair: Pair, dy: float, dx: float) -> tuple[float, float] | None:
    """Return the next step of the shift; None where the images do not correlate."""
    _, weights = pair.weights(dy, dx)
    normal, along_moving, along_reference = np.zeros((2, 2)), np.zeros(2), np.zeros(2)
    power = agreement = 0.0
    for moving, reference in zip(pair.moved(dy, dx), pair.reference, strict=True):
        # Moving the content down by ds takes a pixel from further up: the derivative has the opposite sign
        tilted = [_centred(-slope, weights) for slope in slopes(moving)]
        one, other = _centred(moving, weights), _centred(reference, weights)
        normal += [[(left * right).sum() for right in tilted] for left in tilted]
        along_moving += [(slope * one).sum() for slope in tilted]
        along_reference += [(slope * other).sum() for slope in tilted]
        power += (one**2).sum()
        agreement += (one * other).sum()
    if agreement <= 0 or np.linalg.eigvalsh(normal)[0] <= 1e-9 * np.trace(normal):
        return None
    solved = np.linalg.solve(normal, np.stack([along_moving, along_reference], axis=1))
    above = power - along_moving @ solved[:, 0]
    below = agreement - along_reference @ solved[:, 0]
    gain = above / below if below > 0 else power / agreement
    step = gain * solved[:, 1] - solved[:, 0]
    return float(step[0]), float(step[1])


def _centred(image: Array, weights: Array, out: Array | None = None) -> Array:
    """Apply weights to an image without its weighted mean."""
    mean = image.dtype.type(weighted_sum(image, weights) / (float(weights.sum()) or 1.0))
    centered: Array = np.subtract(image, mean, out=out)
    centered *= weights
    return centered
