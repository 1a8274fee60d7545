"""Compare SR with HR pixel by pixel: rmse, mae, psnr, ssim and q_index of each band, sam and ergas of all bands.

All take reflectance, leave out pixels that are NaN in either image, and return float64 numbers or float32 maps. The
formulas are in `records`.
"""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from ..arguments import check_number
from .comparing import compare_images
from .inputs import Image
from .records import METRICS
from .reduce import Level


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
    return compare_images(sr, hr, METRICS["rmse"], at=at, objects=objects, dims=dims)


def mae(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the mean absolute error, in units of reflectance; arguments and result as in `rmse`."""
    return compare_images(sr, hr, METRICS["mae"], at=at, objects=objects, dims=dims)


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
    return compare_images(sr, hr, METRICS["psnr"], peak=check_peak(peak), at=at, objects=objects, dims=dims)


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
    return compare_images(sr, hr, METRICS["ssim"], peak=check_peak(peak), at=at, objects=objects, dims=dims)


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
    return compare_images(sr, hr, METRICS["q_index"], at=at, objects=objects, dims=dims)


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
    return compare_images(sr, hr, METRICS["sam"], at=at, objects=objects, dims=dims)


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
    return compare_images(sr, hr, METRICS["ergas"], scale=scale, at=at, objects=objects, dims=dims)


def check_peak(peak: float) -> float:
    """Return the peak as a float; raises OptionError unless it is a number above 0."""
    return check_number("peak", peak, above=0, most=1e100)  # its square is still a number
