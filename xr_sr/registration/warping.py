"""Move images by sub-pixel shifts, with kernels of finite reach: a block with enough context moves as the whole does.

NumPy arrays only; cubes and dates are handled in `alignment`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_choice, check_number
from ..errors import OptionError

FloatArray: TypeAlias = NDArray[np.floating[Any]]
KernelName: TypeAlias = Literal["nearest", "linear", "cubic", "lanczos"]
Edge: TypeAlias = Literal["nan", "repeat"]

RADIUS = 4
"""Reach of the widest kernel, in pixels."""


def warp(image: FloatArray, dy: float, dx: float, *, kernel: KernelName = "lanczos", edge: Edge = "nan") -> FloatArray:
    """Move the content of an image by (dy, dx) pixels: what was at (y, x) lies at (y + dy, x + dx).

    image: (..., y, x) floats, NaN where not valid; integers with kernel="nearest" only.
    kernel: "lanczos", windowed sinc of 8 x 8 pixels, keeps detail; "cubic", Keys' of 4 x 4; "linear"; "nearest".
    edge: what comes in from beyond the edge: "nan" (integers: the edge pixel), or "repeat", the edge pixel.

    Near NaN, where the kernel would read it, the known ones of the four nearest pixels decide; where they have less
    than half of the weight the result is NaN. Whole-pixel shifts give the very values of the input. The same shape and
    dtype. Raises OptionError.
    """
    checked_kernel(kernel, edge)
    if image.dtype.kind != "f" and kernel != "nearest":
        raise OptionError(f"kernel={kernel!r} makes fractions, and the image is {image.dtype}: use 'nearest'.")
    height, width = image.shape[-2:]
    far = max(height, width) + 2 * RADIUS  # where nothing of the image is left
    dy, dx = (min(max(check_number(name, shift), -far), far) for name, shift in (("dy", dy), ("dx", dx)))
    margin = math.ceil(max(abs(dy), abs(dx))) + RADIUS
    rows = np.clip(np.arange(-margin, height + margin), 0, height - 1)
    columns = np.clip(np.arange(-margin, width + margin), 0, width - 1)
    moved = sampled(image[..., rows[:, None], columns], margin, dy, dx, kernel)
    if edge == "nan" and image.dtype.kind == "f":
        blank(moved, beyond(0, height, height, dy), beyond(0, width, width, dx))
    return moved


def checked_kernel(kernel: str, edge: str) -> None:
    """Raise OptionError for a kernel or an edge that does not exist."""
    check_choice("kernel", kernel, get_args(KernelName))
    check_choice("edge", edge, get_args(Edge))


def beyond(start: int, stop: int, size: int, shift: float) -> NDArray[np.bool_]:
    """Return which of the pixels start to stop of an axis come from beyond the edge of its `size` pixels."""
    source = np.arange(start, stop) - shift
    return np.asarray((source < -0.5) | (source > size - 0.5))


def blank(image: FloatArray, rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> None:
    """Set whole rows and columns of (..., y, x) to NaN, in place."""
    image[..., rows, :] = np.nan
    image[..., :, columns] = np.nan


def sampled(padded: FloatArray, margin: int, dy: float, dx: float, kernel: KernelName) -> FloatArray:
    """Move the content of an image that has `margin` more pixels on each side, and return it without them.

    padded: (..., y + 2 margin, x + 2 margin). margin: at least the shift, rounded up, and `RADIUS`.
    """
    shape = padded.shape[-2] - 2 * margin, padded.shape[-1] - 2 * margin
    if padded.dtype.kind != "f":
        return _summed(padded, margin, shape, (taps_of(dy, "nearest"), taps_of(dx, "nearest")))
    taps = taps_of(dy, kernel), taps_of(dx, kernel)
    known = np.isfinite(padded)
    if known.all():
        return _summed(padded, margin, shape, taps)
    filled = np.where(known, padded, padded.dtype.type(0))
    smooth = _summed(filled, margin, shape, taps)
    reads = tuple(dict.fromkeys(axis, 1.0) for axis in taps)
    touched = _summed((~known).astype(padded.dtype), margin, shape, (reads[0], reads[1])) > 0.5
    nearby: KernelName = "nearest" if kernel == "nearest" else "linear"
    near = taps_of(dy, nearby), taps_of(dx, nearby)
    share = _summed(known.astype(padded.dtype), margin, shape, near)
    enough = share >= 0.5
    average = _summed(filled, margin, shape, near) / np.where(enough, share, padded.dtype.type(1))
    return np.where(touched, np.where(enough, average, np.nan), smooth).astype(padded.dtype)


def taps_of(shift: float, kernel: KernelName) -> dict[int, float]:
    """Return the weight of each input pixel, by its place relative to the output pixel, that a shift asks for."""
    if kernel == "nearest":
        return {math.floor(-shift + 0.5): 1.0}
    base = math.floor(-shift)
    part = -shift - base
    if part == 0:
        return {base: 1.0}
    profile, radius = _PROFILES[kernel]
    weights = {base + step: profile(part - step) for step in range(1 - radius, radius + 1)}
    # A flat image must stay flat; the sum of a windowed sinc is off by up to a percent
    total = sum(weights.values())
    return {offset: weight / total for offset, weight in weights.items() if weight != 0}


def _linear(distance: float) -> float:
    return max(0.0, 1 - abs(distance))


def _cubic(distance: float) -> float:
    """Weigh by Keys' kernel with a = -0.5: Keys 1981, doi:10.1109/TASSP.1981.1163711."""
    place = abs(distance)
    if place <= 1:
        return (1.5 * place - 2.5) * place**2 + 1
    return ((-0.5 * place + 2.5) * place - 4) * place + 2 if place < 2 else 0.0


def _lanczos(distance: float) -> float:
    """Weigh by the sinc, faded out over four pixels by a wider one: Duchon 1979."""
    if abs(distance) >= RADIUS:
        return 0.0
    return float(np.sinc(distance) * np.sinc(distance / RADIUS))


_PROFILES: dict[str, tuple[Callable[[float], float], int]] = {
    "linear": (_linear, 1),
    "cubic": (_cubic, 2),
    "lanczos": (_lanczos, RADIUS),
}


def _summed(
    padded: FloatArray, margin: int, shape: tuple[int, int], taps: tuple[dict[int, float], dict[int, float]]
) -> FloatArray:
    """Sum weighted copies of (..., y, x) along y, then along x."""
    down, along = taps
    middle = _line(padded, margin, shape[0], down, axis=-2)
    return _line(middle, margin, shape[1], along, axis=-1)


def _line(image: FloatArray, margin: int, size: int, taps: dict[int, float], *, axis: int) -> FloatArray:
    shape = (*image.shape[:-2], size, image.shape[-1]) if axis == -2 else (*image.shape[:-1], size)
    out = np.empty_like(image, shape=shape, order="C", subok=False)
    copy = np.empty_like(out, shape=shape[-2:])
    planes = zip(image.reshape(-1, *image.shape[-2:]), out.reshape(-1, *shape[-2:]), strict=True)
    for plane, total in planes:  # one by one, so that they stay in the cache
        for number, (step, weight) in enumerate(taps.items()):
            part = slice(margin + step, margin + step + size)
            source = plane[part] if axis == -2 else plane[:, part]
            np.multiply(source, image.dtype.type(weight), out=copy if number else total)
            if number:
                total += copy
    return out
