"""Estimate the sub-pixel shift between two images, and its standard error.

The methods are in `correlation` and `features`; cubes are handled in `alignment`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from ..arguments import check_choice, check_flag, check_number, check_whole
from ..errors import CubeError
from .correlation import Array, Channel, Pair, pair_of, shift_by_ecc, shift_by_phase
from .features import Weights, checked_paths, shift_by_features
from .warping import FloatArray

GOOD_ERROR = 0.2
"""The standard error, in pixels, at which the quality is one half."""

MIN_QUALITY = 0.5
"""The least quality of a reliable shift."""


@dataclass(frozen=True)
class Shift:
    """The shift by which the content of one image must be moved to match another, in pixels.

    dy: downward, along y as stored; dx: along x; NaN where nothing could be estimated.
    quality: 0 to 1, and 1 / (1 + (error / 0.2)^2): one half where the error is 0.2 pixels.
    error: expected standard error in pixels, along the direction with the least information.
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
"""The shift of images without a pixel in common."""


def judged(dy: float, dx: float, error: float, max_shift: float) -> Shift:
    """Return the record of a shift, from its standard error in pixels and the longest reliable shift along an axis."""
    if not (math.isfinite(dy) and math.isfinite(dx)):
        return NOTHING
    quality = 1 / (1 + (error / GOOD_ERROR) ** 2)
    return Shift(dy, dx, quality, error, quality >= MIN_QUALITY and max(abs(dy), abs(dx)) <= max_shift)


def combined(shifts: Sequence[Shift], max_shift: float) -> Shift:
    """Combine the shifts of several windows: their mean, weighted by certainty.

    Windows that are not ok, or lie more than a pixel from the median of those that are, do not count. The error is the
    larger of the expected error and the spread of the windows. Without any window that is ok: the most certain one.
    """
    good = [shift for shift in shifts if shift.ok]
    if not good:
        return max(shifts, key=lambda shift: shift.quality, default=NOTHING)
    moves, errors = np.array([(shift.dy, shift.dx) for shift in good]), np.array([shift.error for shift in good])
    near = np.linalg.norm(moves - np.median(moves, axis=0), axis=1) <= 1
    if near.any():
        moves, errors = moves[near], errors[near]
    weights = 1 / np.maximum(errors, 1e-3) ** 2
    mean = np.average(moves, axis=0, weights=weights)
    promised = weights.sum() ** -0.5
    strays = np.average(np.square(moves - mean).sum(axis=1), weights=weights)
    found = math.sqrt(strays / max(len(moves) - 1, 1))
    return judged(float(mean[0]), float(mean[1]), max(float(promised), found), max_shift)


BLOCKS = 8
"""Blocks along each axis within which differences of the images may hang together: clouds, fields, shadows."""

LEAST = 0.01
"""Pixels by which even equal images without noise may be off: interpolation, aliasing, steps of the search."""


def standard_error(pair: Pair, dy: float, dx: float) -> float:
    """Estimate the standard error of a shift (dy, dx), in pixels, along its worst direction.

    Infinite without structure. Noise that the images do not share must not pass for structure, so the information on
    the shift is the product of the derivatives of *both* images, H = sum w^2 d_moving d_reference. What moves the
    estimate are the differences e that remain, B = sum over blocks of (sum w^2 e d)(sum w^2 e d), d the mean
    derivative; the covariance is H^-1 B H^-1 (White 1980, doi:10.2307/1912934, with blocks as clusters, since the
    differences of two dates are no white noise). A single edge has no information along itself: H then has a small
    eigenvalue, and the error is large.
    """
    _, weights = pair.weights(dy, dx)
    if weights.sum() < 16:
        return math.inf
    weights = weights**2
    rows, columns = (np.arange(BLOCKS) * size // BLOCKS for size in pair.shape)
    information = np.zeros((2, 2))
    pushes = np.zeros((2, BLOCKS, BLOCKS))
    floor = np.zeros((2, 2))
    for moving, reference, noise in zip(pair.moved(dy, dx), pair.reference, pair.noise, strict=True):
        one, other = _normalized(moving, weights), _normalized(reference, weights)
        left, right = np.array(np.gradient(one)), np.array(np.gradient(other))
        middle = (left + right) / 2
        information += np.einsum("iyx,jyx,yx->ij", left, right, weights)
        push = weights * middle * (other - one)
        pushes += np.add.reduceat(np.add.reduceat(push, rows, axis=1), columns, axis=2)
        floor += noise * np.einsum("iyx,jyx,yx->ij", middle, middle, weights**2)
    information = (information + information.T) / 2
    if np.linalg.eigvalsh(information)[0] <= 1e-9 * max(np.trace(information), 1e-300):
        return math.inf
    scatter = np.einsum("ibc,jbc->ij", pushes, pushes) + floor
    inverse = np.linalg.inv(information)
    return math.hypot(LEAST, math.sqrt(max(float(np.linalg.eigvalsh(inverse @ scatter @ inverse)[-1]), 0.0)))


def _normalized(channel: Array, weights: Array) -> Array:
    """Return zero mean and unit variance under the weights; two dates may differ in brightness and contrast."""
    total = weights.sum()
    centered = channel - (channel * weights).sum() / total
    spread = math.sqrt((centered**2 * weights).sum() / total)
    return np.asarray(centered / spread if spread > 0 else centered)


ShiftMethod: TypeAlias = Literal["phase", "ecc", "features"]

LEAST_SIDE = 16


def estimate_shift(
    moving: FloatArray,
    reference: FloatArray,
    *,
    method: ShiftMethod = "phase",
    max_shift: float = 5.0,
    upsample: int = 100,
    channel: Channel = "gradients",
    window: bool = True,
    weights: Weights | None = None,
) -> Shift:
    """Estimate the shift in pixels that aligns the content of `moving` with `reference`.

    moving, reference: (y, x) or (band, y, x), same shape, any unit; NaN where nothing is known, and such pixels do not
    count in either image. At least 16 pixels a side; the more, the better.
    method: "phase", phase correlation; "ecc", Gauss-Newton on the correlation coefficient: slower, surer where the
    images differ in noise only; "features", matched points (kornia and `weights`).
    max_shift: the longest reliable shift, along each axis, in pixels. upsample: steps per pixel of "phase".
    channel: "gradients", those of all bands, blind to brightness; "mean", the mean of the bands.
    window: fade the edges; False takes the images as periodic. weights: {"disk": file, "lightglue": file}.

    Returns a Shift, whose `ok` is False where the images are too smooth, too different or too far apart: its
    values are then no measurement. All of them NaN, and quality 0, without common pixels or structure.
    Raises CubeError for other shapes, OptionError for options that do not exist, WeightsNotFoundError and
    MissingLibraryError for "features".
    """
    check_flag("window", window)
    checked_options(method=method, max_shift=max_shift, upsample=upsample, channel=channel, weights=weights)
    moving, reference = _bands(moving), _bands(reference)
    if moving.shape != reference.shape or min(moving.shape[-2:]) < LEAST_SIDE:
        raise CubeError(
            f"moving and reference must be (y, x) or (band, y, x) of one shape, {LEAST_SIDE} pixels a side at least; "
            f"they are {moving.shape} and {reference.shape}. Cut both to the same pixels and bands."
        )
    pair = pair_of(moving, reference, channel=channel, window=window)
    if pair is None:
        return NOTHING
    if method == "phase":
        dy, dx = shift_by_phase(pair, max_shift=max_shift, upsample=upsample)
    elif method == "ecc":
        dy, dx = shift_by_ecc(pair, max_shift=max_shift)
    else:
        dy, dx = shift_by_features(moving, reference, weights)
    if not (math.isfinite(dy) and math.isfinite(dx)) or not _overlap(pair.shape, dy, dx):
        return NOTHING
    return judged(dy, dx, standard_error(pair, dy, dx), max_shift)


def checked_options(
    *, method: str, max_shift: float, upsample: int, channel: str, weights: Weights | None = None
) -> None:
    """Raise OptionError for an option that does not exist, and WeightsNotFoundError for weights that are not there."""
    check_choice("method", method, get_args(ShiftMethod))
    check_choice("channel", channel, get_args(Channel))
    check_number("max_shift", max_shift, above=0)
    check_whole("upsample", upsample, least=1, unit="steps per pixel")
    if method == "features":
        checked_paths(weights)


def _bands(image: FloatArray) -> FloatArray:
    """Return (band, y, x); integers as floats."""
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise CubeError(f"an image is (y, x) or (band, y, x); this has {image.ndim} dimensions, {image.shape}.")
    image = image[None] if image.ndim == 2 else image
    return image if image.dtype.kind == "f" else image.astype(np.float64)


def _overlap(shape: tuple[int, int], dy: float, dx: float) -> bool:
    """Return whether at least a quarter of each side is left when one image is moved over the other."""
    return abs(dy) <= 0.75 * shape[0] and abs(dx) <= 0.75 * shape[1]
