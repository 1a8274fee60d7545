"""Filter images along y and x with few weights, where the weights lie within the image.

NumPy arrays only, without NaN. Strips of an image times a band matrix take half the time of a loop over pixels, and a
value does not depend on how an image is cut as long as its blocks are the same.
"""

from __future__ import annotations

import numpy as np

from .warping import FloatArray, taps_of

STRIP = 16
"""Pixels of a result that one matrix product computes: more would multiply more zeros."""


def filtered(image: FloatArray, weights: FloatArray, *, axis: int) -> FloatArray:
    """Correlate (..., y, x) with weights along an axis, which gets shorter by one less than their number."""
    count = image.shape[axis] - len(weights) + 1
    shape = list(image.shape)
    shape[axis] = count
    out = np.empty(shape, image.dtype)
    band = np.zeros((STRIP, STRIP + len(weights) - 1), image.dtype)
    for row in range(STRIP):
        band[row, row : row + len(weights)] = weights
    across = np.ascontiguousarray(band.T)
    planes = zip(image.reshape(-1, *image.shape[-2:]), out.reshape(-1, *shape[-2:]), strict=True)
    for plane, result in planes:
        for start in range(0, count, STRIP):
            side = min(STRIP, count - start)
            taken = side + len(weights) - 1
            if axis == -2:
                np.matmul(band[:side, :taken], plane[start : start + taken], out=result[start : start + side])
            else:
                part = plane[:, start : start + taken]
                np.matmul(part, across[:taken, :side], out=result[:, start : start + side])
    return out


def moved_along(image: FloatArray, shift: float, size: int, *, axis: int) -> FloatArray:
    """Move the content of (..., y, x) along an axis as `warp` does, and return the `size` pixels in the middle.

    image: as many more on both sides; at least the shift, rounded up, and `RADIUS`.
    """
    margin = (image.shape[axis] - size) // 2
    taps = taps_of(shift, "lanczos")
    first, last = min(taps), max(taps)
    weights = np.array([taps.get(step, 0.0) for step in range(first, last + 1)])
    part = slice(margin + first, margin + last + size)
    return filtered(image[..., part, :] if axis == -2 else image[..., part], weights, axis=axis)


def averaged_over_7(image: FloatArray) -> FloatArray:
    """Average (..., y, x) over windows of 7 x 7 pixels: (..., y - 6, x - 6).

    Sums of shifted copies; a running sum would carry the rounding errors of bright pixels into dark ones.
    """
    for axis in (-2, -1):
        values = np.moveaxis(image, axis, 0)
        pairs = values[:-1] + values[1:]
        fours = pairs[:-2] + pairs[2:]
        total = fours[:-3] + pairs[4:-1]
        total += values[6:]
        image = np.moveaxis(total, 0, axis)
    image /= 49
    return image
