"""Whole-factor resampling of NumPy arrays along y and x: linear up, linear with antialiasing down.

Arrays without NaN, no cubes, no geography: what metrics compare with. A sensor's own blur is handled in `degradation`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import CubeError

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]


def upsample(image: FloatArray, factor: int) -> FloatArray:
    """Interpolate linearly between pixel centers, edge pixels repeated: (..., y, x) to (..., y * factor, x * factor).

    image: floating, without NaN (a NaN spreads to its neighbors). factor: 1 or more. Keeps the dtype. The same as
    torch's `interpolate(mode="bilinear", align_corners=False)` and as OpenCV's `INTER_LINEAR` without antialiasing.
    """
    _check(factor)
    return _upsample_axis(_upsample_axis(image, factor, -2), factor, -1)


def downsample(image: FloatArray, factor: int) -> FloatArray:
    """Average under a triangle of half-width `factor`: (..., y, x) to (..., y // factor, x // factor).

    image: floating, without NaN. Weights are normalized where the triangle reaches beyond the image, and pixels that
    fill no whole output pixel at the end count as context only. Keeps the dtype. The same as torch's
    `interpolate(scale_factor=1 / factor, mode="bilinear", antialias=True)` and as Pillow's `BILINEAR` reduction.
    """
    _check(factor, image)
    return _downsample_axis(_downsample_axis(image, factor, -2), factor, -1)


def _check(factor: int, image: FloatArray | None = None) -> None:
    if factor < 1 or factor != int(factor):
        raise CubeError(f"resampling takes a whole factor of 1 or more; got {factor!r}.")
    if image is not None and min(image.shape[-2:]) < factor:
        height, width = image.shape[-2:]
        raise CubeError(f"an image of {height} x {width} pixels holds no output pixel of {factor} x {factor}.")


def _along(axis: int, part: slice) -> tuple[Any, ...]:
    return (..., part) if axis == -1 else (..., part, slice(None))


def _upsample_axis(image: FloatArray, factor: int, axis: int) -> FloatArray:
    if factor == 1:
        return image.copy()
    size = image.shape[axis]
    first, last = image[_along(axis, slice(0, 1))], image[_along(axis, slice(size - 1, size))]
    padded = np.concatenate([first, image, last], axis=axis)
    shape = list(image.shape)
    shape[axis] = size * factor
    out = np.empty(shape, dtype=image.dtype)
    number = image.dtype.type
    for phase in range(factor):
        place = (phase + 0.5) / factor - 0.5  # in input pixels, from the center of the pixel itself
        start = 0 if place < 0 else 1
        weight = place - (start - 1)
        near = padded[_along(axis, slice(start, start + size))]
        far = padded[_along(axis, slice(start + 1, start + 1 + size))]
        out[_along(axis, slice(phase, None, factor))] = near * number(1 - weight) + far * number(weight)
    return out


def _downsample_axis(image: FloatArray, factor: int, axis: int) -> FloatArray:
    if factor == 1:
        return image.copy()
    size = image.shape[axis]
    count = size // factor
    shape = list(image.shape)
    shape[axis] = count
    out, weights = np.zeros(shape, dtype=image.dtype), np.zeros(count)
    number = image.dtype.type
    for offset in range(-factor, 2 * factor):  # in input pixels, from the first pixel of the output pixel
        weight = 1 - abs(offset + 0.5 - factor / 2) / factor
        if weight <= 0:
            continue
        # Output pixels whose tap lies inside the image.
        low, high = max(0, -(offset // factor)), min(count, (size - 1 - offset) // factor + 1)
        if low >= high:
            continue
        taps = slice(low * factor + offset, (high - 1) * factor + offset + 1, factor)
        out[_along(axis, slice(low, high))] += image[_along(axis, taps)] * number(weight)
        weights[low:high] += weight
    scale = weights.astype(image.dtype)
    out /= scale if axis == -1 else scale[:, None]
    return out
