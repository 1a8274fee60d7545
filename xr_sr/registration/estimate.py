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
from .channels import Array, Channel, Pair, pair_of, slopes, weighted_sum
from .correlation import shift_by_ecc, shift_by_phase
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


STRIP = 2**15
"""Pixels that are worked on at once."""

BLOCKS = 8
"""Blocks along each axis within which differences of the images may hang together: clouds, fields, shadows."""

LEAST = 0.01
"""Pixels by which even equal images without noise may be off: interpolation, aliasing, steps of the search."""


def standard_error(pair: Pair, dy: float, dx: float) -> tuple[float, bool]:
    """Estimate the standard error of a shift (dy, dx), in pixels, along its worst direction, and whether it is sure.

    Infinite without structure. Noise that the images do not share must not pass for structure, so the information on
    the shift is the product of the derivatives of *both* images, H = sum w^2 d_moving d_reference. What moves the
    estimate are the differences e that remain, B = sum over blocks of (sum w^2 e d)(sum w^2 e d), d the mean
    derivative; the covariance is H^-1 B H^-1 (White 1980, doi:10.2307/1912934, with blocks as clusters, since the
    differences of two dates are no white noise). A single edge has no information along itself: H then has a small
    eigenvalue, and the error is large; in float32 such an error is not sure.
    """
    _, weights = pair.weights(dy, dx)
    if weights.sum() < 16:
        return math.inf, True
    weights = np.square(weights)
    rows, columns = (_membership(size).astype(weights.dtype) for size in pair.shape)
    information = np.zeros((2, 2))
    pushes = np.zeros((2, BLOCKS, BLOCKS))
    floor = np.zeros((2, 2))
    height = pair.shape[0]
    step = max(STRIP // pair.shape[1], 1)
    for moving, reference, noise in zip(pair.moved(dy, dx), pair.reference, pair.noise, strict=True):
        one, other = _normalized(moving, weights), _normalized(reference, weights)
        for start in range(0, height, step):  # strips, which a cache holds
            stop = min(start + step, height)
            around = slice(max(start - 1, 0), stop + 1)
            inner = (..., slice(start - around.start, stop - around.start), slice(None))
            left, right = slopes(one[around])[inner], slopes(other[around])[inner]
            here = weights[start:stop]
            information += _products(left * here, right)
            middle = (left + right) * here
            floor += noise / 4 * _products(middle, middle)
            middle *= (other[start:stop] - one[start:stop]) * weights.dtype.type(0.5)
            pushes += rows[:, start:stop] @ middle @ columns.T
    information = (information + information.T) / 2
    lowest, trace = float(np.linalg.eigvalsh(information)[0]), max(float(np.trace(information)), 1e-300)
    sure = weights.dtype == np.float64 or lowest > 1e-3 * trace
    if lowest <= 1e-9 * trace:
        return math.inf, sure
    scatter = np.einsum("ibc,jbc->ij", pushes, pushes) + floor
    inverse = np.linalg.inv(information)
    error = math.sqrt(max(float(np.linalg.eigvalsh(inverse @ scatter @ inverse)[-1]), 0.0))
    return math.hypot(LEAST, error), sure


def _membership(size: int) -> Array:
    """Return which of `size` pixels lie in each block: (block, size) of 0 and 1."""
    return np.equal(np.arange(BLOCKS)[:, None], (np.arange(size) * BLOCKS + BLOCKS - 1) // size).astype(np.float64)


def _products(one: Array, other: Array) -> Array:
    """Sum the products of images (i, y, x) and (j, y, x): (i, j)."""
    flat = [image.reshape(len(image), -1) for image in (one, other)]
    return np.array([[np.dot(left, right) for right in flat[1]] for left in flat[0]], np.float64)


def _normalized(channel: Array, weights: Array) -> Array:
    """Return zero mean and unit variance under the weights; two dates may differ in brightness and contrast."""
    total = float(weights.sum(dtype=np.float64))
    centered: Array = channel - channel.dtype.type(weighted_sum(channel, weights) / total)
    spread = math.sqrt(float(weighted_sum(np.square(centered), weights)) / total)
    if spread > 0:
        centered /= spread
    return centered


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
    # What float32 cannot decide is measured again: the result is that of float64.
    single = method == "phase" and channel == "gradients" and window and moving.dtype.itemsize <= 4
    kinds = (np.float32, np.float64) if single and reference.dtype.itemsize <= 4 else (np.float64,)
    for kind in kinds:
        pair = pair_of(moving, reference, channel=channel, window=window, dtype=kind)
        if pair is None:
            return NOTHING
        sure = True
        if method == "phase":
            dy, dx, sure = shift_by_phase(pair, max_shift=max_shift, upsample=upsample)
        elif method == "ecc":
            dy, dx = shift_by_ecc(pair, max_shift=max_shift)
        else:
            dy, dx = shift_by_features(moving, reference, weights)
        if not sure and kind == np.float32:
            continue
        if not (math.isfinite(dy) and math.isfinite(dx)) or not _overlap(pair.shape, dy, dx):
            return NOTHING
        error, sure = standard_error(pair, dy, dx)
        if sure:
            break
    return judged(dy, dx, error, max_shift)


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
