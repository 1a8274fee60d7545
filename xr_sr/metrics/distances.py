"""Distances between two images, for consistency, synthesis and correctness: 0 where both are equal, never negative.

Arrays only: (band, y, x) in, and means over bands per pixel out. A distance of a pixel, a patch or an image is a
formula of means over it. How opensr-test defines the same names is in `published`; the docs list the differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ..arguments import is_one_of
from ..errors import OptionError
from ..optional import require
from ..registration.filters import averaged_over_7, filtered
from .reduce import STRIP, FloatArray

SSIM_RADIUS = 5
"""Half width of the window of `ssim_map`: 11 pixels, a Gaussian of standard deviation 1.5 cut at 3.5 deviations."""

Q_RADIUS = 3
"""Half width of the window of `q_map`: 7 pixels, all of one weight."""

TINY = 1e-4
"""Reflectance below which a denominator is not used: one digital number."""

MTF_SIDE = 32
"""Side in pixels of the patches whose mean is the "mtf" of an image."""

MTF_LEAST = 16
"""Least side in pixels of a patch with frequencies enough for "mtf"."""


@dataclass(frozen=True)
class Distance:
    """A distance of two images.

    fields: how many means it is made of. per_pixel: two (band, y, x), wider by `halo`, to (field, y, x), NaN where a
    pixel does not count. finish: means of the fields (field, ...) to the distance (...).
    """

    name: str
    units: str
    per_pixel: Callable[[FloatArray, FloatArray], FloatArray]
    finish: Callable[[FloatArray], FloatArray]
    fields: int = 1
    halo: int = 0


def find_distance(name: str) -> Distance:
    """Return the distance of a name; raises OptionError with those that there are. "mtf" has no pixels: `mtf_patch`."""
    if not is_one_of(name, DISTANCES):
        raise OptionError(f"no distance {name!r}; there are {', '.join([*DISTANCES, 'mtf'])}.")
    return DISTANCES[name]


def mtf_patch(one: FloatArray, other: FloatArray, *, scale: int) -> float:
    """Compare the amplitudes of two patches at the frequencies that super-resolution adds.

    one, other: (band, y, x). Returns the mean over bands and frequencies f, 0.5 / scale < f < 0.5 cycles per pixel, of
    min(1, ||Y| - |X|| / |Y|); NaN where a pixel is NaN or no frequency lies in between. Source: opensr-test.
    """
    x, y = one.astype(np.float64), other.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or min(x.shape[-2:]) < MTF_LEAST:
        return float("nan")
    frequency = np.hypot(np.fft.fftfreq(x.shape[-2])[:, None], np.fft.fftfreq(x.shape[-1]))
    band = (frequency > 0.5 / scale) & (frequency < 0.5)
    if not band.any():
        return float("nan")
    amplitude_x, amplitude_y = (np.abs(np.fft.fft2(image))[..., band] for image in (x, y))
    floor = 1e-12 * y[0].size
    ratio = np.abs(amplitude_y - amplitude_x) / np.maximum(amplitude_y, floor)
    return float(np.minimum(ratio, 1.0).mean())


def ssim_map(one: FloatArray, other: FloatArray, *, peak: float = 1.0) -> FloatArray:
    """Compute the structural similarity at each pixel: -1 to 1, 1 where both are equal.

    peak: range of the values. Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, with its constants 0.01 and 0.03.
    """
    return _in_strips(partial(_ssim, peak=peak), one, other, SSIM_RADIUS)


_OFFSETS = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
_GAUSSIAN = np.exp(-0.5 * (_OFFSETS / 1.5) ** 2)
_GAUSSIAN /= _GAUSSIAN.sum()


def _in_strips(
    function: Callable[[FloatArray, FloatArray], FloatArray], one: FloatArray, other: FloatArray, radius: int
) -> FloatArray:
    """Apply a function with `radius` pixels of context to bands and rows one after another, which a cache holds."""
    height, width = (side - 2 * radius for side in one.shape[-2:])
    out = np.empty((*one.shape[:-2], height, width))
    rows = max(4 * radius, STRIP // max(width, 1))
    for place in np.ndindex(*one.shape[:-2]):
        for start in range(0, height, rows):
            part = (*place, slice(start, min(start + rows, height) + 2 * radius))
            out[(*place, slice(start, start + rows))] = function(one[part], other[part])
    return out


def _gaussian(image: FloatArray) -> FloatArray:
    return filtered(filtered(image, _GAUSSIAN, axis=-2), _GAUSSIAN, axis=-1)


def _ssim(one: FloatArray, other: FloatArray, *, peak: float) -> FloatArray:
    products, squares, covariance, spread = _moments(one, other, _gaussian, SSIM_RADIUS)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    for twice in (products, covariance):
        twice *= 2
    for part, constant in ((products, c1), (squares, c1), (covariance, c2), (spread, c2)):
        part += constant
    products *= covariance
    squares *= spread
    products /= squares
    return products


def q_map(one: FloatArray, other: FloatArray) -> FloatArray:
    """Compute the universal image quality index at each pixel: -1 to 1, 1 where both are equal.

    Where neither image varies, the part of the index that compares means. Source: Wang and Bovik 2002,
    doi:10.1109/97.995823.
    """
    return _in_strips(_quality, one, other, Q_RADIUS)


def _quality(one: FloatArray, other: FloatArray) -> FloatArray:
    products, squares, covariance, spread = _moments(one, other, averaged_over_7, Q_RADIUS)
    covariance *= 2
    with np.errstate(divide="ignore", invalid="ignore"):
        # Variances are differences of squares: below this they are rounding errors.
        products *= 2
        products /= squares
        dark = squares <= 1e-24
        if dark.any():
            products[dark] = 1.0
        flat = spread <= 1e-13 * (squares + 1e-12)
        covariance /= spread
    if flat.any():
        covariance[flat] = 1.0
    products *= covariance
    return products


def _moments(
    one: FloatArray, other: FloatArray, smooth: Callable[[FloatArray], FloatArray], radius: int
) -> tuple[FloatArray, ...]:
    """Return mean_x mean_y, mean_x^2 + mean_y^2, the covariance and the sum of variances, under a window.

    NaN where it is not wholly valid.

    smooth: averages under the window, which is `radius` pixels wide on each side of a pixel.
    """
    x, y = one.astype(np.float64), other.astype(np.float64)
    valid = np.isfinite(one) & np.isfinite(other)
    if valid.all():
        return _sums_under(x, y, smooth)
    shape = (*x.shape[:-2], *(side - 2 * radius for side in x.shape[-2:]))
    moments = tuple(np.full(shape, np.nan) for _ in range(4))
    rows, columns = frame_of(valid)
    inner = (..., rows, columns)
    if min(rows.stop - rows.start, columns.stop - columns.start) <= 2 * radius:
        return moments
    x, y, valid = x[inner], y[inner], valid[inner]
    whole = bool(valid.all())
    if not whole:
        x, y = np.where(valid, x, 0.0), np.where(valid, y, 0.0)
    found = _sums_under(x, y, smooth)
    if not whole:
        require("scipy", extra="metrics")
        from scipy.ndimage import maximum_filter1d

        width = 2 * radius + 1
        lines = maximum_filter1d((~valid).astype(np.uint8), width, axis=-2, mode="constant")
        touched = maximum_filter1d(lines, width, axis=-1, mode="constant")[..., radius:-radius, radius:-radius] > 0
        for moment in found:
            moment[touched] = np.nan
    for moment, part in zip(moments, found, strict=True):
        moment[..., rows.start : rows.stop - 2 * radius, columns.start : columns.stop - 2 * radius] = part
    return moments


def frame_of(valid: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of (..., y, x) from the first to the last with a valid pixel; empty without any."""
    plane = np.asarray(valid.any(axis=tuple(range(valid.ndim - 2))))
    rows, columns = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _sums_under(x: FloatArray, y: FloatArray, smooth: Callable[[FloatArray], FloatArray]) -> tuple[FloatArray, ...]:
    """Return what `_moments` does, of images without NaN."""
    mean_x, mean_y, covariance = smooth(x), smooth(y), smooth(x * y)
    x *= x
    y *= y
    x += y
    spread = smooth(x)
    products = mean_x * mean_y
    mean_x *= mean_x
    mean_y *= mean_y
    mean_x += mean_y
    covariance -= products
    spread -= mean_x
    return products, mean_x, covariance, np.maximum(spread, 0.0, out=spread)


def angle(dot_parts: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
    """Return the angle in degrees between vectors of which dot product and squared lengths are known; NaN for zero.

    arccos loses half of the digits near 0; 2 atan2(|u - v|, |u + v|) of the unit vectors keeps them.
    """
    dot, squares, other_squares = dot_parts
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = dot / np.sqrt(squares * other_squares)
    degrees = np.degrees(2 * np.arctan2(np.sqrt(np.maximum(1 - cosine, 0)), np.sqrt(np.maximum(1 + cosine, 0))))
    return np.asarray(degrees)


def angle_map(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the spectral angle in degrees of (band, y, x) images, (y, x); NaN where a band is or a spectrum is 0."""
    u, v = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = u / _finite(np.sqrt(np.square(u).sum(axis=0)))
        v = v / _finite(np.sqrt(np.square(v).sum(axis=0)))
    difference, total = np.sqrt(np.square(u - v).sum(axis=0)), np.sqrt(np.square(u + v).sum(axis=0))
    return np.asarray(np.degrees(2 * np.arctan2(difference, total)))


def _finite(lengths: FloatArray) -> FloatArray:
    # A vector divided by an infinite length would be zero, and every angle with it 0 degrees.
    return np.where(np.isinf(lengths), np.nan, lengths)


def _l1(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.abs(x - y).mean(axis=0)[None])


def _l2(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.square(x - y).mean(axis=0)[None])


def _products(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.stack([(x * y).sum(axis=0), np.square(x).sum(axis=0), np.square(y).sum(axis=0)])


def _divergence(x: FloatArray, y: FloatArray) -> FloatArray:
    u, v = np.maximum(x, TINY), np.maximum(y, TINY)
    return np.asarray(((u - v) * np.log(u / v)).mean(axis=0))[None]


def _relative(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(np.abs(x - y) / np.maximum(np.abs(y), TINY), 100.0).mean(axis=0)[None])


def _normalized(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray((np.abs(x - y) / np.maximum(np.abs(x) + np.abs(y), TINY)).mean(axis=0))[None]


def _dissimilar(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray((1 - ssim_map(x, y)).mean(axis=0)[None])


def mean(means: FloatArray, **_: float) -> FloatArray:
    """Return the mean of the only field: the `finish` of a plain average."""
    return np.asarray(means[0])


def _short_of_100_db(means: FloatArray) -> FloatArray:
    return np.asarray(10 * np.log10(np.maximum(means[0], 1e-10) / 1e-10))


def _angle(means: FloatArray) -> FloatArray:
    # Two spectra of zeros are equal; zeros against anything else have no angle. The product of squares below 1e-150
    # would underflow, so these count as zeros too.
    one, other = (np.where(means[place] < 1e-150, 0.0, means[place]) for place in (1, 2))
    return np.where((one == 0) & (other == 0), 0.0, angle((means[0], one, other)))


DISTANCES: dict[str, Distance] = {
    distance.name: distance
    for distance in (
        Distance("l1", "1", _l1, mean),
        Distance("l2", "1", _l2, mean),
        Distance("sad", "degrees", _products, _angle, fields=3),
        Distance("psnr", "dB", _l2, _short_of_100_db),
        Distance("kl", "1", _divergence, mean),
        Distance("pbias", "1", _relative, mean),
        Distance("nd", "1", _normalized, mean),
        Distance("ssim", "1", _dissimilar, mean, halo=SSIM_RADIUS),
    )
}
