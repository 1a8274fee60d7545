"""Prepare two images for finding the shift between them: channels of unit variance, and weights for what is known.

Arrays of one pair of images only. Channels are real, (channel, y, x), and zero where the image is NaN. They are float32
or float64: float32 halves the time, and each result says whether it would be another one in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..optional import require
from .filters import moved_along
from .warping import RADIUS, FloatArray, sampled

Channel: TypeAlias = Literal["gradients", "mean"]
Array: TypeAlias = NDArray[np.floating[Any]]

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
        images = self._padded(self.moving, dy, dx)
        for axis, shift, size in ((-2, dy, self.shape[0]), (-1, dx, self.shape[1])):
            images = moved_along(images, shift, size, axis=axis)
        return images

    def weights(self, dy: float, dx: float) -> tuple[Array, Array]:
        """Return the weights (y, x) of moving and of reference if the content is the same but for this shift.

        Each window stands half the shift away from the middle, so both fade the same content: fixed windows would
        draw every estimate towards zero. What is unknown in one is left out of the other.
        """
        on_moving, on_reference = self.known_moving, self.known_reference
        if not self.known_reference.all():
            on_moving = on_moving * self._shifted(self.known_reference, -dy, -dx)
        if not self.known_moving.all():
            on_reference = on_reference * self._shifted(self.known_moving, dy, dx)
        if not self.window:
            return on_moving, on_reference
        height, width = self.shape
        kind = self.moving.dtype
        here = np.outer(faded(height, -dy / 2, abs(dy)), faded(width, -dx / 2, abs(dx))).astype(kind)
        there = np.outer(faded(height, dy / 2, abs(dy)), faded(width, dx / 2, abs(dx))).astype(kind)
        return on_moving * here, on_reference * there

    def _shifted(self, image: Array, dy: float, dx: float) -> Array:
        return np.asarray(sampled(self._padded(image, dy, dx), _margin(dy, dx), dy, dx, "linear"))

    def _padded(self, image: Array, dy: float, dx: float) -> Array:
        margin = _margin(dy, dx)
        widths = [(0, 0)] * (image.ndim - 2) + [(margin, margin)] * 2
        return np.pad(image, widths, mode="edge" if self.window else "wrap")


def _margin(dy: float, dx: float) -> int:
    return math.ceil(max(abs(dy), abs(dx))) + RADIUS


def pair_of(
    moving: FloatArray, reference: FloatArray, *, channel: Channel, window: bool, dtype: type[np.floating[Any]]
) -> Pair | None:
    """Prepare two images (band, y, x) with NaN where nothing is known; None if they hold nothing to compare.

    dtype: of the channels.
    """
    one, other = moving.astype(dtype, copy=False), reference.astype(dtype, copy=False)
    levels = np.array([_level(left) * _level(right) for left, right in zip(one, other, strict=True)]) ** 0.5
    if channel == "mean":
        one, other = one.mean(axis=0, keepdims=True), other.mean(axis=0, keepdims=True)
        noise = 2 * (NOISE_FLOOR * levels.mean(keepdims=True)) ** 2 / len(levels)
    else:
        # A central difference of white noise has half its variance
        noise = np.repeat((NOISE_FLOOR * levels) ** 2, 2)
        one, other = _gradients(one, wrap=not window), _gradients(other, wrap=not window)
    known_moving, known_reference = _known(one), _known(other)
    if not (known_moving.any() and known_reference.any()):
        return None
    spread = _standardise(one, known_moving) * _standardise(other, known_reference)
    varies = spread > 0
    if not varies.any():
        return None
    noise = noise[varies] / spread[varies]
    if not varies.all():
        one, other = one[varies], other[varies]
    return Pair(one, other, known_moving, known_reference, noise, window)


def faded(size: int, offset: float, less: float) -> Array:
    """Return a Hann window over `size` pixels, its middle `offset` pixels off, and `less` pixels shorter."""
    half = max((size - less) / 2, 1.0)
    place = (np.arange(size) - (size - 1) / 2 - offset) / half
    return np.where(np.abs(place) < 1, np.cos(np.pi / 2 * np.clip(place, -1, 1)) ** 2, 0.0)


def slopes(image: Array) -> Array:
    """Return the central differences of (..., y, x) along y and x, one-sided at the edges: (..., 2, y, x)."""
    out = np.empty((*image.shape[:-2], 2, *image.shape[-2:]), image.dtype)
    down, along = out[..., 0, :, :], out[..., 1, :, :]
    np.subtract(image[..., 2:, :], image[..., :-2, :], out=down[..., 1:-1, :])
    np.subtract(image[..., 2:], image[..., :-2], out=along[..., 1:-1])
    down[..., 1:-1, :] *= image.dtype.type(0.5)
    along[..., 1:-1] *= image.dtype.type(0.5)
    for edge, after, before in ((0, 1, 0), (-1, -1, -2)):
        np.subtract(image[..., after, :], image[..., before, :], out=down[..., edge, :])
        np.subtract(image[..., after], image[..., before], out=along[..., edge])
    return out


def _gradients(image: Array, *, wrap: bool) -> Array:
    """Return the central differences of (band, y, x) along y and x: (2 band, y, x)."""
    if wrap:
        both: Array = np.stack([(np.roll(image, -1, axis) - np.roll(image, 1, axis)) / 2 for axis in (-2, -1)], axis=1)
    else:
        both = slopes(image)
    return both.reshape(-1, *image.shape[-2:])


def _known(channels: Array) -> Array:
    """Set channels to zero where one is NaN, in place, and return weights that fade towards these gaps."""
    known: NDArray[np.bool_] = np.asarray(np.isfinite(channels).all(axis=0))
    if known.all():
        return np.ones(known.shape, channels.dtype)
    np.copyto(channels, channels.dtype.type(0), where=~known)
    faded_in = np.sin(np.pi / 2 * np.minimum(_distance_to_gaps(known) / FADE, 1.0)) ** 2
    return np.asarray(faded_in, channels.dtype)


def _distance_to_gaps(known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how many pixels each known one of (y, x) is from the nearest that is not."""
    rows, columns = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
    if rows.size and known[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all():
        # A frame, such as a border that does not count: straight across is nearest.
        across = []
        for found, size in ((rows, known.shape[0]), (columns, known.shape[1])):
            place = np.arange(size, dtype=np.float64)
            before = place - found[0] + 1 if found[0] > 0 else np.full(size, np.inf)
            after = found[-1] - place + 1 if found[-1] < size - 1 else np.full(size, np.inf)
            across.append(np.maximum(np.minimum(before, after), 0.0))
        return np.asarray(np.minimum(across[0][:, None], across[1]))
    require("scipy", extra="metrics")
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(known))


def weighted_sum(images: Array, weights: Array) -> Array:
    """Sum (..., y, x) under weights (y, x)."""
    return np.asarray(images.reshape(*images.shape[:-2], -1) @ weights.ravel())


def _standardise(channels: Array, known: Array) -> NDArray[np.float64]:
    """Set channels to unit variance where they are known, in place, and return the standard deviations they had.

    A mean that matters is subtracted; that of gradients is next to nothing.
    """
    total = known.sum(dtype=np.float64)
    spreads = []
    for channel in channels:
        largest = max(float(channel.max()), -float(channel.min()))
        mean, square = (float(weighted_sum(values, known)) / total for values in (channel, np.square(channel)))
        if mean**2 > 1e-4 * square:
            channel -= channel.dtype.type(mean)
            mean, square = 0.0, float(weighted_sum(np.square(channel), known)) / total
        spread = math.sqrt(max(square - mean**2, 0.0))
        # Rounding alone makes a constant image vary by this much
        spreads.append(spread if spread > 1e-12 * largest else 0.0)
        channel /= spreads[-1] or 1.0
    return np.array(spreads)


def _level(band: Array) -> float:
    """Return the root mean square of the known pixels; 0 where there are none."""
    square = float(np.vdot(band, band))
    if math.isfinite(square):
        return math.sqrt(square / band.size)
    known = band[np.isfinite(band)].astype(np.float64)
    return float(np.sqrt(np.mean(known**2))) if known.size else 0.0
