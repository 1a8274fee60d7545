"""The shift between two images: one door to the methods, and one judge of what they find."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import numpy as np

from ..arguments import check_flag, check_number, check_whole, is_one_of
from ..errors import CubeError, OptionError
from .channels import Channel, pair_of
from .correlation import shift_by_phase
from .ecc import shift_by_ecc
from .features import Weights, checked_paths, shift_by_features
from .phase import FloatArray
from .quality import standard_error
from .shift import NOTHING, Shift, judged

Method: TypeAlias = Literal["phase", "ecc", "features"]

LEAST_SIDE = 16


def estimate_shift(
    moving: FloatArray,
    reference: FloatArray,
    *,
    method: Method = "phase",
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
    max_shift: the longest shift to believe, along each axis, in pixels. upsample: steps per pixel of "phase".
    channel: "gradients", those of all bands, blind to brightness; "mean", the mean of the bands.
    window: fade the edges; False takes the images as periodic. weights: {"disk": file, "lightglue": file}.

    Returns a Shift, whose `ok` is False where the images are too smooth, too different or too far apart to tell: its
    numbers are then no measurement. All of them NaN, and quality 0, without common pixels or structure.
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
    for name, value, known in (("method", method, get_args(Method)), ("channel", channel, get_args(Channel))):
        if not is_one_of(value, known):
            raise OptionError(f"{name}={value!r}: wanted one of {', '.join(map(repr, known))}.")
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
    """Whether at least a quarter of each side is left when one image is moved over the other."""
    return abs(dy) <= 0.75 * shape[0] and abs(dx) <= 0.75 * shape[1]
