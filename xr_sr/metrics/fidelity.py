"""Compare SR with HR pixel by pixel: rmse, mae, psnr, ssim and q_index of each band, sam and ergas of all bands.

All take reflectance, leave out pixels that are NaN in either image, and return float64 numbers or float32 maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..arguments import check_number
from ..optional import require
from .comparing import Metric, compare_images
from .inputs import Image
from .reduce import FloatArray, Level

SSIM_RADIUS = 5
"""Half width of the window of `ssim_map`: 11 pixels, a Gaussian of standard deviation 1.5 cut at 3.5 deviations."""

Q_RADIUS = 3
"""Half width of the window of `q_map`: 7 pixels, all of one weight."""


def ssim_map(one: FloatArray, other: FloatArray, *, peak: float = 1.0) -> FloatArray:
    """Compute the structural similarity at each pixel: -1 to 1, 1 where both are equal.

    peak: range of the values. Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, with its constants 0.01 and 0.03.
    """
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / 1.5) ** 2)
    mean_x, mean_y, var_x, var_y, covariance = _moments(one, other, weights / weights.sum())
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return np.asarray(similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))


def q_map(one: FloatArray, other: FloatArray) -> FloatArray:
    """Compute the universal image quality index at each pixel: -1 to 1, 1 where both are equal.

    Where neither image varies, the part of the index that compares means. Source: Wang and Bovik 2002,
    doi:10.1109/97.995823.
    """
    width = 2 * Q_RADIUS + 1
    mean_x, mean_y, var_x, var_y, covariance = _moments(one, other, np.full(width, 1 / width))
    squares, spread = mean_x**2 + mean_y**2, var_x + var_y
    with np.errstate(divide="ignore", invalid="ignore"):
        # Variances are differences of squares: below this they are rounding errors.
        luminance = np.where(squares > 1e-24, 2 * mean_x * mean_y / squares, 1.0)
        quality = np.where(spread > 1e-13 * (squares + 1e-12), luminance * 2 * covariance / spread, luminance)
    return np.where(np.isnan(mean_x + mean_y), np.nan, quality)


def _moments(one: FloatArray, other: FloatArray, weights: FloatArray) -> tuple[FloatArray, ...]:
    """Give means, variances and the covariance under a separable window, NaN where it is not wholly valid."""
    require("scipy", extra="metrics")
    from scipy.ndimage import correlate1d, maximum_filter1d

    radius = len(weights) // 2
    inner = (..., slice(radius, -radius), slice(radius, -radius))
    x, y = one.astype(np.float64), other.astype(np.float64)
    valid = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(valid, x, 0.0), np.where(valid, y, 0.0)

    def smooth(image: FloatArray) -> FloatArray:
        rows = correlate1d(image, weights, axis=-2, mode="constant")
        return np.asarray(correlate1d(rows, weights, axis=-1, mode="constant"))[inner]

    mean_x, mean_y = smooth(x), smooth(y)
    var_x = np.maximum(smooth(x * x) - mean_x**2, 0.0)
    var_y = np.maximum(smooth(y * y) - mean_y**2, 0.0)
    covariance = smooth(x * y) - mean_x * mean_y
    if not valid.all():
        width = len(weights)
        rows = maximum_filter1d((~valid).astype(np.uint8), width, axis=-2, mode="constant")
        touched = maximum_filter1d(rows, width, axis=-1, mode="constant")[inner].astype(bool)
        for moment in (mean_x, mean_y, var_x, var_y, covariance):
            moment[touched] = np.nan
    return mean_x, mean_y, var_x, var_y, covariance


def rmse(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the root of the mean squared error, in units of reflectance.

    sr, hr: (time?, band, y, x) DataArrays or Datasets of bands on one grid; bands are matched by name, and those that
        only one of them has are left out. NaN is nodata.
    at: "image", a number per band and date; "pixel", a map; or the side of square patches in pixels, a map of them
        that starts at the first pixel.
    objects: (y, x) integers on the same grid, 0 for none: a number per object, along a dimension `object`.
    dims: what is averaged over, by default y and x; add "band", "time" for one number over them.
    Returns a DataArray, lazy if an input is; NaN without any valid pixel.
    Raises GridError for grids that differ, MissingBandError without common bands, RadiometryError for integers.
    """
    return compare_images(sr, hr, RMSE, at=at, objects=objects, dims=dims)


def mae(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the mean absolute error, in units of reflectance; arguments and result as in `rmse`."""
    return compare_images(sr, hr, MAE, at=at, objects=objects, dims=dims)


def psnr(
    sr: Image,
    hr: Image,
    *,
    peak: float = 1.0,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the peak signal-to-noise ratio in dB, 10 log10(peak^2 / mse); infinite where both are equal.

    peak: the value that counts as full signal. The field takes 1 for reflectance, of which land rarely has 0.5: compare
    numbers of one peak only. Over several bands or dates the errors are averaged, not the dB. Else as in `rmse`.
    """
    return compare_images(sr, hr, PSNR, peak=check_peak(peak), at=at, objects=objects, dims=dims)


def ssim(
    sr: Image,
    hr: Image,
    *,
    peak: float = 1.0,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the mean structural similarity: -1 to 1, 1 where both are equal.

    Window of 11 x 11 pixels, Gaussian of standard deviation 1.5. A window that reaches beyond the scene or holds a NaN
    has no value, so a map is NaN within 5 pixels of either. peak: as in `psnr`. Else as in `rmse`.
    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    return compare_images(sr, hr, SSIM, peak=check_peak(peak), at=at, objects=objects, dims=dims)


def check_peak(peak: float) -> float:
    """Return the peak as a float; raises OptionError unless it is a number above 0."""
    return check_number("peak", peak, above=0, most=1e100)  # its square is still a number


def _squared(sr: FloatArray, hr: FloatArray, **_: float) -> FloatArray:
    return np.square(sr.astype(np.float64) - hr)[None]


def _absolute(sr: FloatArray, hr: FloatArray) -> FloatArray:
    return np.abs(sr.astype(np.float64) - hr)[None]


def _similar(sr: FloatArray, hr: FloatArray, *, peak: float) -> FloatArray:
    return ssim_map(sr, hr, peak=peak)[None]


def _mean(means: FloatArray, **_: float) -> FloatArray:
    return np.asarray(means[0])


def _root(means: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(means[0]))


def _decibel(means: FloatArray, *, peak: float) -> FloatArray:
    return np.asarray(10 * np.log10(peak**2 / means[0]))


RMSE = Metric("rmse", "1", _squared, _root)
MAE = Metric("mae", "1", _absolute, _mean)
PSNR = Metric("psnr", "dB", _squared, _decibel)
SSIM = Metric("ssim", "1", _similar, _mean, halo=SSIM_RADIUS)


def sam(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the spectral angle in degrees, averaged over pixels: 0 where spectra differ by a factor only.

    Pixels count where every band is valid and neither spectrum is zero. With one band every angle is 0 or 180.
    Arguments as in `rmse`; the result has no dimension of bands.
    Source: Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N; by half-angles, which small angles need.
    """
    return compare_images(sr, hr, SAM, at=at, objects=objects, dims=dims)


def ergas(
    sr: Image,
    hr: Image,
    *,
    scale: float,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute ERGAS, the relative error over all bands: 100 / scale * sqrt(mean over bands of mse / mean^2).

    scale: output pixels per input pixel along an axis, 4 from 10 m to 2.5 m. Smaller is better; numbers of different
    scales are comparable by design. at: "image" or the side of patches. Else as in `rmse`.
    Source: Wald 2000, "Quality of high resolution synthesised images".
    """
    scale = check_number("scale", scale, above=0)
    return compare_images(sr, hr, ERGAS, scale=scale, at=at, objects=objects, dims=dims)


def q_index(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the universal image quality index, in windows of 7 x 7 pixels: -1 to 1, 1 where both are equal.

    Unlike SSIM it has no constants, so it does not depend on the range of values and judges dark water as strictly as
    bright sand. Windows beyond the scene or with NaN have no value. Arguments and result as in `rmse`.
    Source: Wang and Bovik 2002, doi:10.1109/97.995823.
    """
    return compare_images(sr, hr, Q_INDEX, at=at, objects=objects, dims=dims)


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
    """Get the spectral angle in degrees of (band, y, x) images, (y, x); NaN where a band is, or a spectrum is zero."""
    u, v = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = u / _finite(np.sqrt(np.square(u).sum(axis=0)))
        v = v / _finite(np.sqrt(np.square(v).sum(axis=0)))
    difference, total = np.sqrt(np.square(u - v).sum(axis=0)), np.sqrt(np.square(u + v).sum(axis=0))
    return np.asarray(np.degrees(2 * np.arctan2(difference, total)))


def _finite(lengths: FloatArray) -> FloatArray:
    # A vector divided by an infinite length would be zero, and every angle with it 0 degrees.
    return np.where(np.isinf(lengths), np.nan, lengths)


def _angles(sr: FloatArray, hr: FloatArray) -> FloatArray:
    return angle_map(sr, hr)[None, None]


def _errors_and_values(sr: FloatArray, hr: FloatArray, **_: float) -> FloatArray:
    truth = hr.astype(np.float64)
    return np.stack([np.square(sr - truth), truth + 0 * sr])


def _quality(sr: FloatArray, hr: FloatArray) -> FloatArray:
    return q_map(sr, hr)[None]


def _relative(means: FloatArray, *, scale: float) -> FloatArray:
    # Bands lie along axis 1 of (time, band, object, y, x).
    ratio = (means[0] / np.square(means[1])).mean(axis=1, keepdims=True)
    return np.asarray(100 / scale * np.sqrt(ratio))


SAM = Metric("sam", "degrees", _angles, _mean, per_band=False)
ERGAS = Metric("ergas", "1", _errors_and_values, _relative, fields=2, joins=True)
Q_INDEX = Metric("q_index", "1", _quality, _mean, halo=Q_RADIUS)
