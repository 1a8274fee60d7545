"""Displace the reference of a series to where each of its dates shows it."""

from __future__ import annotations

import dask.array as da
import numpy as np
import xarray as xr

from ..cube.grid import geobox_of
from ..cube.names import listed
from ..errors import CubeError, GridError
from ..kernels.psf import Axis, Lanczos, Psf, Sampled
from .images import Flat, ImageCube, read, sorted_variables
from .sense import Response, Sensor, sense

COORDS = ("displacement_y", "displacement_x")

_SINC = Psf(((Lanczos(), Lanczos()),))
_LINEAR = Psf(((Sampled((1.0,)), Sampled((1.0,))),))


def displace(hr: Flat, lr: xr.DataArray | xr.Dataset) -> Flat:
    """Move the content of each date of a reference by the displacement of the same date of a series.

    hr: DataArray (time, band?, y, x) in any order, or Dataset, reflectance as floats, NaN where not valid; or one
        date of it, with a scalar coordinate `time`. Boolean variables of a Dataset, such as `change_mask`, move too.
    lr: the series, with the coordinates `displacement_y` and `displacement_x` by date, in its pixels, as made by
        `degrade_series`; its grid has the CRS and the orientation of that of `hr`.
    Returns the same on the same grid, lazily: each date in its own geometry, in which an estimate from that date is
    compared. Interpolated by a windowed sinc of 8 x 8 pixels; whole pixels are only moved. NaN where less than half of
    the weight is valid, as beyond the edge.
    Raises CubeError without displacements, or for a date that `lr` does not have; GridError for another CRS or
    orientation.
    """
    if isinstance(hr, xr.Dataset):
        light, _, _ = sorted_variables(hr)
        moved = {name: _moved(array, lr) for name, array in light.items()}
        masks = {name: array for name, array in hr.data_vars.items() if array.dtype.kind == "b"}
        first = read(next(iter(light.values())))
        for name, mask in masks.items():
            if {first.y, first.x} <= set(mask.dims):
                moved[name] = (_moved(mask.astype("float32"), lr, _LINEAR) > 0.5).assign_attrs(mask.attrs)
        return hr.assign({name: array.variable for name, array in moved.items()})
    return _moved(hr, lr)


def _moved(hr: xr.DataArray, lr: xr.DataArray | xr.Dataset, psf: Psf = _SINC) -> xr.DataArray:
    image = read(hr, "hr")
    shifts = _shifts(image, lr)
    rows, columns = (Axis(size, size, 1.0) for size in image.grid.geobox.shape.yx)

    def of_date(data: da.Array, shift: tuple[float, float]) -> da.Array:
        sensor = Sensor(rows, columns, (Response(psf, shift),), None)
        moved: da.Array = sense(data, sensor, name="displace").rechunk(data.chunks)
        return moved

    data = image.array.data
    if image.lead:
        data = da.stack([of_date(data[number], shift) for number, shift in enumerate(shifts)])
        return image.rebuilt(data.rechunk(image.array.data.chunks))
    return image.rebuilt(of_date(data, shifts[0]))


def _shifts(image: ImageCube, lr: xr.DataArray | xr.Dataset) -> list[tuple[float, float]]:
    """Return the displacement of each date of the image in its pixels."""
    if not isinstance(lr, xr.DataArray | xr.Dataset) or any(name not in lr.coords for name in COORDS):
        raise CubeError(
            f"lr= must be a series with the coordinates {listed(COORDS)} by date, as degrade_series makes it: "
            "tree['lr'].to_dataset()."
        )
    coarse = geobox_of(lr)
    fine = image.grid.geobox
    if coarse is None or (fine.crs is not None and coarse.crs is not None and fine.crs != coarse.crs):
        raise GridError(f"lr must lie on y and x in the CRS of hr, {fine.crs}. Pass the series itself.")
    place = ~fine.affine @ coarse.affine
    if abs(place.b) + abs(place.d) > 1e-6:
        raise GridError("lr is turned against the grid of hr. Pass the series itself.")
    name = image.lead[0] if image.lead else "time"
    if len(image.lead) > 1 or name not in image.array.coords or image.array[name].dtype.kind != "M":
        raise CubeError("hr has no dates: expected a dimension or a scalar coordinate `time` of datetime64.")
    wanted = np.atleast_1d(image.array[name].values).astype("datetime64[ns]")
    known = np.atleast_1d(lr[COORDS[0]]["time"].values).astype("datetime64[ns]").astype("int64")
    numbers = {date: number for number, date in enumerate(known.tolist())}
    if missing := [date for date in wanted if date.astype("int64").item() not in numbers]:
        raise CubeError(f"lr has no date {str(missing[0])[:19]}. Select those that both have: hr.sel(time=lr.time).")
    down, right = (np.atleast_1d(lr[name].values) for name in COORDS)
    places = [numbers[date] for date in wanted.astype("int64").tolist()]
    return [(float(down[n] * place.e), float(right[n] * place.a)) for n in places]
