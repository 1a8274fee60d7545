"""Find the shift between two images by correlation: phase correlation and ECC.

Arrays of one pair of images only. Channels are real, (channel, y, x) float64, and zero where the image is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_whole
from ..optional import require
from .warping import RADIUS, FloatArray, sampled

Channel: TypeAlias = Literal["gradients", "mean"]
Array: TypeAlias = NDArray[np.float64]

FADE = 8
"""Pixels over which weights rise from nothing at a gap to one."""

NOISE_FLOOR = 1e-3
"""Every image is assumed to hold at least this share of its level as noise: Sentinel-2's signal-to-noise ratio is about
a hundred, and structure below a thousandth of the level is the sensor's or the atmosphere's."""


@dataclass(frozen=True)
class Pair:
    """Two images, ready to be compared.

    moving, reference: (channel, y, x), each channel of unit variance in both. known_moving, known_reference: (y, x)
    weights 0 to 1, 0 where a pixel or its neighbor is NaN. noise: variance that is taken for noise at least, per
    channel, of moving and reference together. window: whether the edges are faded too.
    """

    moving: Array
    reference: Array
    known_moving: Array
    known_reference: Array
    noise: Array
    window: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.moving.shape[-2:]
        return height, width

    def moved(self, dy: float, dx: float) -> Array:
        """Shift the channels of `moving`, (channel, y, x), with sub-pixel precision."""
        margin = math.ceil(max(abs(dy), abs(dx))) + RADIUS
        widths = ((0, 0), (margin, margin), (margin, margin))
        padded = np.pad(self.moving, widths, mode="edge" if self.window else "wrap")
        return np.asarray(sampled(padded, margin, dy, dx, "lanczos"))

    def weights(self, dy: float, dx: float) -> tuple[Array, Array]:
        """Return the weights (y, x) of moving and of reference if the content is the same but for this shift.

        Each window stands half the shift away from the middle, so both fade the same content: fixed windows would
        draw every estimate towards zero. What is unknown in one is left out of the other.
        """
        require("scipy", extra="metrics")
        from scipy import ndimage

        on_moving, on_reference = self.known_moving, self.known_reference
        if not (self.known_moving.all() and self.known_reference.all()):
            beyond = "nearest" if self.window else "grid-wrap"
            on_moving = on_moving * ndimage.shift(self.known_reference, (-dy, -dx), order=1, mode=beyond)
            on_reference = on_reference * ndimage.shift(self.known_moving, (dy, dx), order=1, mode=beyond)
        if not self.window:
            return on_moving, on_reference
        height, width = self.shape
        here = np.outer(faded(height, -dy / 2, abs(dy)), faded(width, -dx / 2, abs(dx)))
        there = np.outer(faded(height, dy / 2, abs(dy)), faded(width, dx / 2, abs(dx)))
        return on_moving * here, on_reference * there


def pair_of(moving: FloatArray, reference: FloatArray, *, channel: Channel, window: bool) -> Pair | None:
    """Prepare two images (band, y, x) with NaN where nothing is known; None if they hold nothing to compare."""
    one, other = moving.astype(np.float64), reference.astype(np.float64)
    levels = np.array([_level(left) * _level(right) for left, right in zip(one, other, strict=True)]) ** 0.5
    if channel == "mean":
        one, other = one.mean(axis=0, keepdims=True), other.mean(axis=0, keepdims=True)
        noise = 2 * (NOISE_FLOOR * levels.mean(keepdims=True)) ** 2 / len(levels)
    else:
        # A central difference of white noise has half its variance
        noise = np.repeat((NOISE_FLOOR * levels) ** 2, 2)
        one, other = _gradients(one, wrap=not window), _gradients(other, wrap=not window)
    one, known_moving = _known(one)
    other, known_reference = _known(other)
    if not (known_moving.any() and known_reference.any()):
        return None
    one, spread_moving = _standardised(one, known_moving)
    other, spread_reference = _standardised(other, known_reference)
    spread = spread_moving * spread_reference
    varies = spread > 0
    if not varies.any():
        return None
    noise = noise[varies] / spread[varies]
    return Pair(one[varies], other[varies], known_moving, known_reference, noise, window)


def faded(size: int, offset: float, less: float) -> Array:
    """Return a Hann window over `size` pixels, its middle `offset` pixels off, and `less` pixels shorter."""
    half = max((size - less) / 2, 1.0)
    place = (np.arange(size) - (size - 1) / 2 - offset) / half
    return np.where(np.abs(place) < 1, np.cos(np.pi / 2 * np.clip(place, -1, 1)) ** 2, 0.0)


def _gradients(image: Array, *, wrap: bool) -> Array:
    """Return the central differences of (band, y, x) along y and x: (2 band, y, x)."""
    if wrap:
        slopes = [(np.roll(image, -1, axis) - np.roll(image, 1, axis)) / 2 for axis in (-2, -1)]
    else:
        slopes = [np.gradient(image, axis=axis) for axis in (-2, -1)]
    return np.stack(slopes, axis=1).reshape(-1, *image.shape[-2:])


def _known(channels: Array) -> tuple[Array, Array]:
    """Return channels with zeros for NaN, and weights that fade towards the gaps."""
    require("scipy", extra="metrics")
    from scipy import ndimage

    known = np.isfinite(channels).all(axis=0)
    if known.all():
        return channels, np.ones(known.shape)
    distance = np.minimum(ndimage.distance_transform_edt(known) / FADE, 1.0)
    return np.where(known, channels, 0.0), np.sin(np.pi / 2 * distance) ** 2


def _standardised(channels: Array, known: Array) -> tuple[Array, Array]:
    """Return channels of zero mean and unit variance where they are known, and the standard deviations they had."""
    total = known.sum()
    means = (channels * known).sum(axis=(-2, -1)) / total
    centered = channels - means[:, None, None]
    spread: Array = np.sqrt((centered**2 * known).sum(axis=(-2, -1)) / total)
    # Rounding alone makes a constant image vary by this much
    spread = np.where(spread > 1e-12 * np.abs(channels).max(initial=0.0), spread, 0.0)
    return centered / np.where(spread > 0, spread, 1.0)[:, None, None], spread


def _level(band: Array) -> float:
    """Return the root mean square of the known pixels; 0 where there are none."""
    known = band[np.isfinite(band)]
    return float(np.sqrt(np.mean(known**2))) if known.size else 0.0


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


def correlation_at(spectrum: ComplexArray, dy: NDArray[np.float64], dx: NDArray[np.float64]) -> ComplexArray:
    """Evaluate the cross-correlation, times the number of pixels, at the shifts dy x dx: (dy, dx)."""
    height, width = spectrum.shape
    down = np.exp(2j * np.pi * np.outer(dy, np.fft.fftfreq(height))).astype(spectrum.dtype)
    along = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(width), dx)).astype(spectrum.dtype)
    return np.asarray(down @ spectrum @ along)


WHITENING = 0.5
"""Exponent of the whitening of frequencies: 1 is phase correlation as published, where frequencies that hold noise
and the leaking of the window count as much as those with signal; 0 is plain correlation, of which few frequencies
decide."""

ITERATIONS = 6


def shift_by_phase(pair: Pair, *, max_shift: float, upsample: int) -> tuple[float, float]:
    """Find the shift (dy, dx) of the largest correlation, in steps of 1 / upsample pixel.

    Whole pixels first, up to one beyond `max_shift` along each axis; then repeatedly a fine search around, with windows
    at the shift found before, until it stays. Source: Argyriou and Vlachos 2006, doi:10.1109/TIP.2005.863103
    (gradients); Guizar-Sicairos et al. 2008 (peak by a matrix-multiply DFT).
    """
    dy, dx = whole_pixels(pair, max_shift)
    steps = np.arange(-math.ceil(0.75 * upsample), math.ceil(0.75 * upsample) + 1) / upsample
    for _ in range(ITERATIONS):
        before = (dy, dx)
        dy, dx = _largest(spectrum_of(pair, dy, dx), dy + steps, dx + steps)
        if max(abs(dy - before[0]), abs(dx - before[1])) < 0.6 / upsample:
            break
    return dy, dx


def whole_pixels(pair: Pair, max_shift: float) -> tuple[float, float]:
    """Find the largest correlation among shifts of whole pixels, up to one beyond `max_shift` along each axis."""
    reach = math.floor(max_shift) + 1
    y, x = (np.arange(-min(reach, (size - 1) // 2), min(reach, (size - 1) // 2) + 1.0) for size in pair.shape)
    return _largest(spectrum_of(pair, 0.0, 0.0), y, x)


def spectrum_of(pair: Pair, dy: float, dx: float) -> ComplexArray:
    """Return the cross-spectrum of all channels together, partly whitened, with windows for the shift (dy, dx)."""
    require("scipy", extra="metrics")
    from scipy import fft

    on_moving, on_reference = pair.weights(dy, dx)
    total = np.zeros(pair.shape, np.complex128)
    for moving, reference in zip(pair.moving, pair.reference, strict=True):
        # Without its mean: that would leave a picture of the window.
        one, other = fft.fft2(_centred(moving, on_moving)), fft.fft2(_centred(reference, on_reference))
        total += other * np.conj(one)
    strength = np.abs(total)
    floor = 1e-12 * strength.max(initial=0.0) or 1.0
    return np.asarray(total / np.maximum(strength, floor) ** WHITENING)


def _largest(spectrum: ComplexArray, y: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[float, float]:
    """Find where among shifts y times x the correlation is largest; a negative one is contrast turned round."""
    correlation = correlation_at(spectrum, y, x).real
    row, column = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    return float(y[row]), float(x[column])


STEPS = 50
CONVERGED = 1e-3
"""Pixels; smaller steps end the search."""


def shift_by_ecc(pair: Pair, *, max_shift: float) -> tuple[float, float]:
    """Find the shift (dy, dx) that maximises the correlation coefficient of moving, moved, and reference.

    Starts from the best whole pixel, since the steps find a maximum within about a pixel. NaN, NaN if the images do not
    correlate there or the search runs away. Source: Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113, forward
    additive scheme with a translation as its warp.
    """
    dy, dx = whole_pixels(pair, max_shift)
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
        slopes = [_centred(-slope, weights) for slope in np.gradient(moving)]
        one, other = _centred(moving, weights), _centred(reference, weights)
        normal += [[(left * right).sum() for right in slopes] for left in slopes]
        along_moving += [(slope * one).sum() for slope in slopes]
        along_reference += [(slope * other).sum() for slope in slopes]
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


def _centred(image: Array, weights: Array) -> Array:
    """Apply weights to an image without its weighted mean."""
    return np.asarray((image - (image * weights).sum() / (weights.sum() or 1.0)) * weights)
