"""Mix frequencies: the large structures of one image with the fine ones of another."""

from __future__ import annotations

import math

import xarray as xr

from ..arguments import check_number
from ..errors import GridError, OptionError
from .images import Image, read, same_grid
from .psf import Axis, gaussian
from .sense import Response, Sensor, sense

__all__ = ["hybrid"]


def hybrid(
    low: xr.DataArray, high: xr.DataArray, *, sigma: float | None = None, cutoff: float | None = None
) -> xr.DataArray:
    """Take the low frequencies of one image and the high ones of another: `high + G * (low - high)`.

    low, high: (..., y, x) on one grid, reflectance, NaN where not valid; other dimensions are broadcast, bands go by
        label. One of two says where the frequencies part. sigma: standard deviation of the Gaussian G in pixels.
        cutoff: the frequency, in cycles per pixel, in (0, 0.5], at which G passes a half; sigma = sqrt(ln 2 / 2) /
        (pi cutoff).
    Returns the dimensions and attributes of `high`, lazily, NaN where either image is. G is cut at four deviations,
    and is the mean over valid pixels beside NaN and at the edge of the image: no ringing, no wrap-around, no
    dependence on chunks.
    Raises OptionError without sigma or cutoff, GridError for two grids.
    Source: Oliva, Torralba and Schyns 2006, Hybrid images, ACM Transactions on Graphics 25 (3), 527.
    """
    if (sigma is None) == (cutoff is None):
        raise OptionError("hybrid takes one of sigma=2 (pixels) and cutoff=0.1 (cycles per pixel).")
    if cutoff is not None:
        sigma = math.sqrt(math.log(2) / 2) / (math.pi * check_number("cutoff", cutoff, above=0, most=0.5))
    psf = gaussian(sigma := check_number("sigma", sigma, above=0))
    below, above = read(low, "low"), read(high, "high")
    if not same_grid(below.grid.geobox, above.grid.geobox):
        raise GridError(
            f"low has {below.grid.geobox.shape.yx} pixels, high {above.grid.geobox.shape.yx}, or they lie elsewhere. "
            "Bring both to one grid first: simulate.degrade(fine, like=coarse), or coarse.odc.reproject(...)."
        )
    difference = _difference(below, above)
    rows, columns = (Axis(size, size, 1.0) for size in above.grid.geobox.shape.yx)
    sensor = Sensor(rows, columns, (Response(psf),), None, least=0.0)
    smooth = difference.copy(data=sense(difference.data, sensor, name="low-pass"))
    # Not where the difference is NaN, where the mean of neighbours would fill it.
    mixed = above.array + smooth.where(difference.notnull())
    mixed = mixed.astype(above.array.dtype).transpose(*difference.dims)
    order = [*[dim for dim in mixed.dims if dim not in high.dims], *high.dims]
    mixed = mixed.transpose(*order).assign_attrs({**high.attrs, "xr_sr:hybrid": f"Gaussian of {sigma:g} pixels"})
    return mixed.rename(above.source.name)


def _difference(low: Image, high: Image) -> xr.DataArray:
    """Subtract high from low, lazily, with y and x last; raises GridError where bands or dates differ."""
    one = low.array.rename({low.y: high.y, low.x: high.x})
    if low.band_dim and high.band_dim:
        one = one.rename({low.band_dim: high.band_dim}) if low.band_dim != high.band_dim else one
    one = one.drop_vars([name for name, coord in one.coords.items() if {high.y, high.x} & set(coord.dims)])
    try:
        with xr.set_options(arithmetic_join="exact", keep_attrs=False):
            difference = one - high.array
    except ValueError as error:
        raise GridError(f"low and high do not have the same bands or dates: {error}") from error
    lead = [dim for dim in difference.dims if dim not in (high.y, high.x)]
    return difference.transpose(*lead, high.y, high.x)
