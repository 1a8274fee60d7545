"""Write the radiometry of a cube into the cube, as `rio.write_crs` does with the CRS; every later call reads it."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import xarray as xr

from ..arguments import check_flag
from ..conventions.own import (
    NODATA_ATTR,
    NODATA_COORD,
    OFFSET_ATTR,
    OFFSET_COORD,
    QUANTIFICATION_ATTR,
    QUANTIFICATION_COORD,
)
from ..cube.select import Cube, recognize
from ..errors import CubeError, OptionError, RadiometryError
from .cubes import Flat, Obj, each_cube, reflectance
from .given import Nodata, Offset, Quantification, check_radiometry, given_nodata, given_offset, given_quantification
from .metadata import is_nodata_coord, time_axis
from .resolve import check_not_converted

_ATTRS = {OFFSET_ATTR, NODATA_ATTR, QUANTIFICATION_ATTR}
_TAGS = {name.replace(":", "_") for name in _ATTRS}  # the same in a GeoTIFF


def set_radiometry(
    obj: Obj,
    *,
    offset: Offset = "auto",
    nodata: Nodata = "auto",
    quantification: Quantification = "auto",
    reset: bool = False,
) -> Obj:
    """Write into a cube what its numbers mean, so that it need not be passed to each call.

    obj: DataArray, Dataset or DataTree of bands; in a tree, all nodes with bands have the same values.
    offset: in DN, added before the division: one number, or one per date (a list, or a DataArray along time).
    nodata: values that mean "not measured", in the units of the array; None for NaN alone. quantification: DN per unit
    of reflectance. What is left at 'auto' stays as it is in the cube.
    reset: remove first what earlier calls wrote; alone, `set_radiometry(reset=True)`, the metadata of the cube count
    again.
    Returns a copy of the same type with equal pixels: offset, quantification and nodata are the coordinates
    `radiometry_offset`, `radiometry_quantification` and `radiometry_nodata` (NaN for none; `radiometry_nodata_2` and so
    on for further values), along time if there is a time dimension; the attributes `xr_sr:dn_offset` (which names the
    coordinate), `xr_sr:dn_nodata` and `xr_sr:dn_quantification` are on the cube, its bands and the first coordinate.
    They survive selection, `xr.concat` along time, netCDF and Zarr. Joined dates may have different offsets; those of
    several quantifications or nodata values raise RadiometryError when they are read.

    `upscale`, `fuse`, `reflectance`, `index`, `water`, `flood`, `align`, `compare`, `explore`, `evaluate`,
    `consistency` and the other metrics, `make_pairs`, `degrade`, `harmonize` and `hybrid` read it. Precedence: a
    keyword of the call, what is written here, the attributes of results of this package, other metadata.
    Raises OptionError if no value is passed, RadiometryError for a value that is none, an offset that does not fit the
    dates, and an offset or quantification for a cube that is reflectance already, as a result of `reflectance` or
    `upscale`; CubeError where there are no bands. Warns RadiometryWarning of a positive offset.
    """
    check_flag("reset", reset)
    for name, value in (("offset", offset), ("quantification", quantification)):
        if value is None:
            raise RadiometryError(
                f"{name}=None: expected a number, or 'auto' to keep what the cube has. To remove what was written: "
                "cube.sr.set_radiometry(reset=True)."
            )
    check_radiometry(offset, quantification, nodata)
    attrs: dict[str, Any] = {}
    if not isinstance(quantification, str):
        attrs[QUANTIFICATION_ATTR] = given_quantification(quantification)
    if not isinstance(nodata, str):
        attrs[NODATA_ATTR] = list(given_nodata(nodata)) or "none"
    if not attrs and isinstance(offset, str) and not reset:
        raise OptionError("expected offset=, nodata=, quantification= or reset=True; got none of them.")

    def of_cube(cube: Cube, obj: Flat) -> Flat:
        if not isinstance(offset, str) or QUANTIFICATION_ATTR in attrs:
            check_not_converted(cube, cube.planes)
        of_all = attrs if isinstance(offset, str) else {**attrs, OFFSET_ATTR: OFFSET_COORD}
        written = _cleared(obj) if reset else obj.copy(deep=False)
        if NODATA_ATTR in attrs:
            written = written.drop_vars([name for name in written.coords if is_nodata_coord(name)])
            about = {"long_name": "DN that mean not measured", "units": "DN"}
            for place, value in enumerate(given_nodata(nodata) or (np.nan,)):
                name = f"{NODATA_COORD}_{place + 1}" if place else NODATA_COORD
                written = written.assign_coords({name: _by_date(np.float64(value), cube, about)})
        if not isinstance(offset, str):
            written = written.assign_coords({OFFSET_COORD: _offsets(offset, cube, of_all)})
        if QUANTIFICATION_ATTR in attrs:
            about = {"long_name": "DN per unit of reflectance", "units": "DN"}
            written = written.assign_coords(
                {QUANTIFICATION_COORD: _by_date(np.float64(attrs[QUANTIFICATION_ATTR]), cube, about)}
            )
        written.attrs = {**written.attrs, **of_all}
        if isinstance(written, xr.Dataset):
            for plane in cube.planes:
                written[plane.name].attrs = {**written[plane.name].attrs, **of_all}
        return written

    return each_cube(obj, of_cube)


def _offsets(offset: Any, cube: Cube, attrs: dict[str, Any]) -> xr.Variable:
    """Return an offset as a coordinate."""
    offsets, axis = given_offset(offset, cube, cube.planes, attrs.get(QUANTIFICATION_ATTR, 10_000), warn=True)
    attrs = {"long_name": "to be added to DN before the division", "units": "DN", **attrs}
    return _by_date(np.asarray(offsets if len(offsets) > 1 else offsets[0], "float64"), cube, attrs, axis)


def _by_date(values: Any, cube: Cube, attrs: dict[str, Any], axis: int | None = None) -> xr.Variable:
    """Return numbers as a variable: along time where the cube has a time dimension, else a scalar.

    axis: the leading dimension along which they lie, where it is known.
    """
    axis = time_axis(cube, cube.planes) if axis is None else axis
    if axis is None:
        return xr.Variable((), np.float64(np.ravel(values)[0]), attrs)
    size = cube.planes[0].array.sizes[cube.lead[axis]]
    return xr.Variable(cube.lead[axis], np.broadcast_to(values, size).astype("float64"), attrs)


def _cleared(obj: Flat) -> Flat:
    """Return a copy without what `set_radiometry` wrote."""
    written = {name for holder in _holders(obj) for name in holder.attrs}
    coords = [coord for coord in obj.coords if is_nodata_coord(coord)] if NODATA_ATTR in written else []
    coords += [OFFSET_COORD] if OFFSET_ATTR in written else []
    coords += [QUANTIFICATION_COORD] if QUANTIFICATION_ATTR in written else []
    bare = obj.copy(deep=False).drop_vars(coords, errors="ignore")
    for holder in _holders(bare):
        holder.attrs = {key: value for key, value in holder.attrs.items() if key not in _ATTRS | _TAGS}
    return bare


def _holders(obj: xr.DataArray | xr.Dataset) -> list[Any]:
    """Return the object and its variables or coordinates, all of which have attributes."""
    return [obj, *(obj.variables if isinstance(obj, xr.Dataset) else obj.coords).values()]


@overload
def converted_if_written(obj: xr.DataArray) -> xr.DataArray: ...


@overload
def converted_if_written(obj: xr.Dataset) -> xr.Dataset: ...


@overload
def converted_if_written(obj: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset: ...


def converted_if_written(obj: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset:
    """Return a cube with written radiometry as reflectance; any other object as it is."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        return obj
    if not any((_ATTRS | _TAGS) & holder.attrs.keys() for holder in _holders(obj)):
        return obj
    if isinstance(obj, xr.Dataset):  # the same call twice: its type follows from that of the cube
        return reflectance(obj)
    return reflectance(obj)


def converted_if_dn(obj: Any) -> Any:
    """Return a cube with written radiometry, or with integers in bands of Sentinel-2, as reflectance; others as is.

    For functions without offset=. Raises RadiometryError for integers whose offset is not known.
    """
    made = converted_if_written(obj)
    if made is not obj or not isinstance(obj, xr.DataArray | xr.Dataset):
        return made
    try:
        planes = recognize(obj).planes
    except CubeError:  # no names of bands, no grid: the reader's error says what it needs
        return obj
    if not any(plane.array.dtype.kind in "iu" for plane in planes):
        return obj
    cube: Any = obj
    try:
        return reflectance(cube)
    except RadiometryError as error:
        if "offset=" not in str(error):  # of a picture, say
            raise
        raise RadiometryError(
            f"{error} Metrics have no offset=: write it into the cube first, lr.sr.set_radiometry(offset=...)."
        ) from error
