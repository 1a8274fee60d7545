"""Write the radiometry of a cube into the cube, as `rio.write_crs` does with the CRS; every later call reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ..conventions.own import NODATA_ATTR, OFFSET_ATTR, OFFSET_COORD, QUANTIFICATION_ATTR
from ..cube.select import Cube
from ..errors import OptionError
from .cubes import Flat, Obj, each_cube, reflectance
from .given import Nodata, Offset, Quantification, check_radiometry, given_nodata, given_offset, given_quantification
from .metadata import time_axis


def set_radiometry(
    obj: Obj, *, offset: Offset = "auto", nodata: Nodata = "auto", quantification: Quantification = "auto"
) -> Obj:
    """Write into a cube what its numbers mean, so that it need not be passed to each call.

    obj: DataArray, Dataset or DataTree of bands; in a tree, all nodes with bands have the same values.
    offset: in DN, added before the division: one number, or one per date (a list, or a DataArray along time).
    nodata: values that mean "not measured", in the units of the array; None for NaN alone. quantification: DN per unit
    of reflectance. What is left at 'auto' stays as it is in the cube.
    Returns a copy of the same type with equal pixels: the offset is the coordinate `radiometry_offset`, along time if
    there is a time dimension; the attributes `xr_sr:dn_offset` (which names the coordinate), `xr_sr:dn_nodata` and
    `xr_sr:dn_quantification` are on the cube, its bands and the coordinate. They survive selection, `xr.concat` along
    time (which keeps the attributes of its first cube), netCDF and Zarr.

    `upscale`, `fuse`, `reflectance`, `index`, `water`, `flood`, `compare`, `explore`, `evaluate`, `consistency` and the
    other metrics read it. Precedence: a keyword of the call, what is written here, the attributes of results of
    this package, other metadata.
    Raises OptionError if no value is passed, RadiometryError for a value that is none, or an offset that does not fit
    the dates; CubeError where there are no bands. Warns RadiometryWarning of a positive offset.
    """
    check_radiometry(offset, quantification, nodata)
    attrs: dict[str, Any] = {}
    if not isinstance(quantification, str):
        attrs[QUANTIFICATION_ATTR] = given_quantification(quantification)
    if not isinstance(nodata, str):
        attrs[NODATA_ATTR] = list(given_nodata(nodata)) or "none"
    if not attrs and isinstance(offset, str):
        raise OptionError("expected offset=, nodata= or quantification=; got none of them.")

    def of_cube(cube: Cube, obj: Flat) -> Flat:
        of_all = attrs if isinstance(offset, str) else {**attrs, OFFSET_ATTR: OFFSET_COORD}
        written = obj.copy(deep=False)
        if not isinstance(offset, str):
            written = written.assign_coords({OFFSET_COORD: _coordinate(offset, cube, of_all)})
        written.attrs = {**written.attrs, **of_all}
        if isinstance(written, xr.Dataset):
            for plane in cube.planes:
                written[plane.name].attrs = {**written[plane.name].attrs, **of_all}
        return written

    return each_cube(obj, of_cube)


def _coordinate(offset: Any, cube: Cube, attrs: dict[str, Any]) -> xr.Variable:
    """Return an offset as a coordinate: along time where the cube has a time dimension, else a scalar."""
    offsets, axis = given_offset(offset, cube, cube.planes, attrs.get(QUANTIFICATION_ATTR, 10_000), warn=True)
    axis = time_axis(cube, cube.planes) if axis is None else axis
    attrs = {"long_name": "to be added to DN before the division", "units": "DN", **attrs}
    if axis is None:
        return xr.Variable((), np.float64(offsets[0]), attrs)
    size = cube.planes[0].array.sizes[cube.lead[axis]]
    return xr.Variable(cube.lead[axis], np.broadcast_to(offsets, size).astype("float64"), attrs)


def converted_if_written(obj: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset:
    """Return a cube with written radiometry as reflectance; any other object as it is."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        return obj
    holders: list[Any] = [obj, *(obj.variables if isinstance(obj, xr.Dataset) else obj.coords).values()]
    names = {OFFSET_ATTR, NODATA_ATTR, QUANTIFICATION_ATTR}
    if not any(names & each.attrs.keys() for each in holders):
        return obj
    if isinstance(obj, xr.Dataset):  # the same call twice: its type follows from that of the cube
        return reflectance(obj)
    return reflectance(obj)
