"""How near a super-resolved image comes to the true one, band by band: rmse, mae, psnr, ssim.

All take reflectance, leave out pixels that are NaN in either image, and give float64 numbers or float32 maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..arguments import check_number
from .blocks import FloatArray, Level
from .comparing import Metric, compare_images
from .inputs import Image
from .windows import SSIM_RADIUS, ssim_map


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
