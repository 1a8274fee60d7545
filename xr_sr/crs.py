"""The CRS of a cube: the one list of places where it may stand, and how it is read there.

Three groups of places, of which the first that names a CRS counts. What describes the cube itself: a CF grid mapping
(`spatial_ref`), an index that holds a CRS (xproj, rasterix), attributes, a scalar coordinate `epsg` (stackstac, cubo).
Attributes of x and y, where odc-geo notes it. And what describes the STAC Items that the cube was loaded from:
coordinates `proj:code`, `proj:epsg`, `proj:wkt2`, `proj:projjson`, one or one per date; Items keep their own CRS where
a loader resampled them to another one. Within a group, two that differ are an error. Where the cube lies is found in
`locating`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from odc.geo.crs import CRS
from pyproj.exceptions import CRSError

from .axes import XarrayObject, spatial_dims
from .errors import GridError

__all__ = ["crs_coord_name", "crs_label", "find_crs", "is_crs_coord", "named_crs", "read_crs", "same_crs"]

_ATTRS = (
    *("crs", "crs_wkt", "spatial_ref", "epsg", "epsg_code", "horizontal_crs_code"),
    *("proj_code", "proj_epsg", "proj_wkt2", "proj_projjson"),
)
"""Attributes of the cube, of its bands, of x and y."""

_SCALARS = ("epsg", "epsg_code", "crs", "spatial_ref")
"""Coordinates and variables without dimensions whose value names the CRS of the cube."""

_ITEMS = ("proj_code", "proj_epsg", "proj_wkt2", "proj_projjson")
"""Properties of STAC Items: coordinates, variables, and what EOPF keeps of its Item."""

_CF = ("crs_wkt", "spatial_ref", "grid_mapping_name", "GeoTransform")


@dataclass(frozen=True)
class _Named:
    """A CRS, and the place where it stands, in words."""

    place: str
    crs: CRS


def find_crs(obj: XarrayObject) -> CRS | None:
    """Find the CRS of a cube in all places where it may stand; None where none names one.

    Raises GridError where two places differ, or the CRS of Items differs between dates. Text that names no CRS is
    passed over. Reads coordinates without dimensions and along one; no pixel.
    """
    return _agreed(_of_cube(obj)) or _agreed(_of_axes(obj)) or _agreed(_of_items(obj))


def named_crs(*attributes: Mapping[Any, Any]) -> CRS | None:
    """Find a CRS in attributes, of a group or its parents; the first that names one is believed."""
    for attrs in attributes:
        found = next(iter([*_of_attrs(attrs, ""), *_of_products(attrs)]), None)
        if found is not None:
            return found.crs
    return None


def crs_coord_name(obj: XarrayObject) -> str:
    """Name the coordinate that holds the CRS; "spatial_ref" where there is none yet."""
    held = [name for name in _indexed(obj) if obj.coords[name].ndim == 0]  # not x and y, whose index may hold it too
    return next((str(name) for name in [*_grid_mappings(obj), *held]), "spatial_ref")


def is_crs_coord(coord: xr.DataArray | xr.Variable) -> bool:
    """Tell whether a variable describes a grid rather than data, by attributes of CF or GDAL.

    `GeoTransform` alone is enough: a grid may have a transform and no CRS.
    """
    return coord.ndim == 0 and not set(_CF).isdisjoint(coord.attrs)


def read_crs(value: object) -> CRS | None:
    """Read one value as a CRS; None where it names none.

    value: a CRS of odc-geo, pyproj or rasterio; an EPSG code, as a number or text; "EPSG:32633", WKT, PROJ, PROJJSON
    as text or mapping.
    """
    if isinstance(value, CRS):
        return value
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    try:
        if hasattr(value, "to_wkt"):
            return CRS(value.to_wkt())
        if isinstance(value, Mapping):
            return CRS(pyproj.CRS.from_user_input(dict(value)).to_wkt())
        if isinstance(value, str):
            return _read_text(value.strip())
        if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
            code = int(value)
            return CRS(f"EPSG:{code}") if code == value and 1024 <= code <= 32767 else None
    except (CRSError, OverflowError, TypeError, ValueError):
        pass
    return None


def same_crs(one: CRS, other: CRS) -> bool:
    """Tell whether two CRSs are the same, however they are written: WKT of GDAL and of pyproj differ in names."""
    if one == other:
        return True
    if one.epsg is not None and other.epsg is not None:
        return bool(one.epsg == other.epsg)
    if one.proj.equals(other.proj, ignore_axis_order=True):
        return True
    codes = [crs.epsg or crs.proj.to_epsg(min_confidence=25) for crs in (one, other)]
    return codes[0] is not None and codes[0] == codes[1]


def crs_label(crs: CRS) -> str:
    """Name a CRS for a message: by its EPSG code, else the beginning of its text."""
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs)[:60]


def _read_text(text: str) -> CRS | None:
    if text.isdigit():
        return read_crs(int(text))
    if text.startswith("{"):
        return read_crs(json.loads(text))
    old = re.fullmatch(r"\+?init=(epsg:\d+)(\s.*)?", text, re.IGNORECASE)  # PROJ warns of this spelling
    return CRS(old[1] if old else text) if text else None


def _of_cube(obj: XarrayObject) -> Iterator[_Named]:
    """Yield what describes the cube itself; CF's grid mapping first, as tools that reproject write it."""
    for name in _grid_mappings(obj):
        yield from _of_grid_mapping(str(name), obj[name].attrs)
    for name, crs in _indexed(obj).items():
        yield _Named(f"the index of {name!r}", crs)
    yield from _of_attrs(obj.attrs, "")
    dims = spatial_dims(obj) or ()
    for name, variable in _variables(obj).items():
        if dims and set(dims) <= set(variable.dims):
            yield from _of_attrs(variable.attrs, f" of {name!r}")
    for name, variable in _small(obj).items():
        if _plain(name) in _SCALARS and variable.ndim == 0 and not is_crs_coord(variable):
            yield from _named_by(f"the coordinate {name!r}", [variable.values[()]])


def _of_axes(obj: XarrayObject) -> Iterator[_Named]:
    """Yield what odc-geo notes in the attributes of x and y, where it stays when another CRS is assigned."""
    for dim in spatial_dims(obj) or ():
        if dim in obj.coords:
            yield from _of_attrs(obj.coords[dim].attrs, f" of {dim!r}")


def _of_items(obj: XarrayObject) -> Iterator[_Named]:
    """Yield what describes the STAC Items that the cube comes from."""
    for name, variable in _small(obj).items():
        if _plain(name) in _ITEMS:
            dim = f" along {variable.dims[0]!r}" if variable.ndim else ""
            yield from _named_by(f"the coordinate {name!r}{dim}", variable.values.ravel().tolist())
    yield from _of_products(obj.attrs)


def _of_grid_mapping(name: str, attrs: Mapping[Any, Any]) -> Iterator[_Named]:
    # GDAL's text first, as odc-geo reads it.
    found = next((crs for key in ("spatial_ref", "crs_wkt") if (crs := read_crs(attrs.get(key)))), None)
    if found is None and "grid_mapping_name" in attrs:
        try:
            found = CRS(pyproj.CRS.from_cf({str(key): value for key, value in attrs.items()}).to_wkt())
        except (CRSError, KeyError, TypeError, ValueError):
            found = None
    if found is not None:
        yield _Named(f"the coordinate {name!r}", found)


def _of_attrs(attrs: Mapping[Any, Any], of: str) -> Iterator[_Named]:
    for key, value in attrs.items():
        if _plain(key) in _ATTRS:
            yield from _named_by(f"the attribute {str(key)!r}{of}", [value])


def _of_products(attrs: Mapping[Any, Any]) -> Iterator[_Named]:
    """Yield what EOPF's groups say: in `other_metadata`, and in the Item that they keep."""
    item = attrs.get("stac_discovery")
    for key, holder in (
        ("other_metadata", attrs.get("other_metadata")),
        ("stac_discovery", item.get("properties") if isinstance(item, Mapping) else None),
    ):
        for name, value in holder.items() if isinstance(holder, Mapping) else ():
            if _plain(name) in (*_ITEMS, "horizontal_crs_code"):
                yield from _named_by(f"{str(name)!r} of the attribute {key!r}", [value])


def _named_by(place: str, values: Iterable[object]) -> Iterator[_Named]:
    """Yield the CRSs that values name, each text or number once."""
    known: dict[str, CRS | None] = {}
    for value in values:
        key = repr(value)
        if key not in known:
            known[key] = read_crs(value)
    yield from (_Named(place, crs) for crs in known.values() if crs is not None)


def _agreed(found: Iterable[_Named]) -> CRS | None:
    """Return the CRS that all name; None for none. Raises GridError where two differ."""
    named = list(found)
    for other in named[1:]:
        if not same_crs(named[0].crs, other.crs):
            raise GridError(_contradiction(named[0], other))
    return named[0].crs if named else None


def _contradiction(one: _Named, other: _Named) -> str:
    said = f"expected one CRS; {one.place} names {crs_label(one.crs)}"
    if one.place == other.place:
        return f"{said} and {crs_label(other.crs)}. Load or select the parts in one CRS, or reproject them to one."
    return (
        f"{said}, {other.place} {crs_label(other.crs)}. Remove the wrong one, such as one that is "
        "left from before the cube was reprojected: cube.drop_vars(name), or del cube.attrs[name] for an attribute."
    )


def _grid_mappings(obj: XarrayObject) -> list[Hashable]:
    """Name the CF grid mappings of an object: those that `grid_mapping` points at, else all there are."""
    variables = _variables(obj)
    pointers = [obj, *(obj.variables.values() if isinstance(obj, xr.Dataset) else [])]
    texts = [each.encoding.get("grid_mapping", each.attrs.get("grid_mapping")) for each in pointers]
    names = [re.split(r"[:\s]", text.strip())[0] for text in texts if isinstance(text, str)]
    pointed = [name for name in dict.fromkeys(names) if name in variables and is_crs_coord(variables[name])]
    return pointed or [name for name, variable in variables.items() if is_crs_coord(variable)]


def _indexed(obj: XarrayObject) -> dict[Hashable, CRS]:
    """Find the CRS of indexes, by xproj's protocol or an attribute `crs`: (name of a coordinate, CRS).

    Coordinates without dimensions come first, which hold nothing but the CRS.
    """
    found = {}
    for name, index in sorted(obj.xindexes.items(), key=lambda each: obj.coords[each[0]].ndim):
        protocol = getattr(index, "_proj_get_crs", None)
        crs = read_crs(protocol() if callable(protocol) else getattr(index, "crs", None))
        if crs is not None:
            found[name] = crs
    return found


def _small(obj: XarrayObject) -> dict[Hashable, xr.Variable]:
    """Return coordinates and variables with one dimension at most, without those that are dimensions."""
    return {name: variable for name, variable in _variables(obj).items() if variable.ndim <= 1 and name not in obj.dims}


def _variables(obj: XarrayObject) -> dict[Hashable, xr.Variable]:
    if isinstance(obj, xr.Dataset):
        return dict(obj.variables)
    return {name: coord.variable for name, coord in obj.coords.items()}


def _plain(key: Hashable) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(key).lower()).strip("_")
