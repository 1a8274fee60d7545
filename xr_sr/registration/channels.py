"""What two images are compared by: gradients or intensities, which pixels are known, and windows that fade at edges.

Arrays of one pair of images only. Channels are real, (channel, y, x) float64, zero where nothing is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .phase import FloatArray
from .warping import RADIUS, sampled

Channel: TypeAlias = Literal["gradients", "mean"]
Array: TypeAlias = NDArray[np.float64]

FADE = 8
"""Pixels over which weights rise from nothing at a gap to one."""

NOISE_FLOOR = 1e-3
"""No image is believed to hold less noise than this share of its level: Sentinel-2's signal-to-noise ratio is about
a hundred, and structure below a thousandth of the level is the sensor's or the atmosphere's."""


@dataclass(frozen=True)
class Pair:
    """Two images, ready to be compared.

    moving, reference: (channel, y, x), each channel of unit variance in both. known_moving, known_reference: (y, x)
    weights 0 to 1, 0 where a pixel or its neighbour is NaN. noise: variance that is taken for noise at least, per
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
        """Move the channels of `moving`, (channel, y, x), by parts of a pixel."""
        margin = math.ceil(max(abs(dy), abs(dx))) + RADIUS
        widths = ((0, 0), (margin, margin), (margin, margin))
        padded = np.pad(self.moving, widths, mode="edge" if self.window else "wrap")
        return np.asarray(sampled(padded, margin, dy, dx, "lanczos"))

    def weights(self, dy: float, dx: float) -> tuple[Array, Array]:
        """Return the weights (y, x) of moving and of reference if the content is the same but for this shift.

        Each window stands half the shift away from the middle, so both fade the same content: fixed windows would
        draw every estimate towards zero. What is unknown in one is left out of the other.
        """
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
    told = spread > 0
    if not told.any():
        return None
    noise = noise[told] / spread[told]
    return Pair(one[told], other[told], known_moving, known_reference, noise, window)


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
    """Give channels with zeros for NaN, and weights that fade towards the gaps."""
    from scipy import ndimage

    known = np.isfinite(channels).all(axis=0)
    if known.all():
        return channels, np.ones(known.shape)
    distance = np.minimum(ndimage.distance_transform_edt(known) / FADE, 1.0)
    return np.where(known, channels, 0.0), np.sin(np.pi / 2 * distance) ** 2


def _standardised(channels: Array, known: Array) -> tuple[Array, Array]:
    """Give channels of zero mean and unit variance where they are known, and the standard deviations they had."""
    total = known.sum()
    means = (channels * known).sum(axis=(-2, -1)) / total
    centred = channels - means[:, None, None]
    spread: Array = np.sqrt((centred**2 * known).sum(axis=(-2, -1)) / total)
    # Rounding alone makes a constant image vary by this much
    spread = np.where(spread > 1e-12 * np.abs(channels).max(initial=0.0), spread, 0.0)
    return centred / np.where(spread > 0, spread, 1.0)[:, None, None], spread


def _level(band: Array) -> float:
    """Return the root mean square of the known pixels; 0 where there are none."""
    known = band[np.isfinite(band)]
    return float(np.sqrt(np.mean(known**2))) if known.size else 0.0
