"""Find the CRS of a cube in all places where producers and loaders write it.

Three groups of places, of which the first that names a CRS counts. What describes the cube itself: a CF grid mapping
(`spatial_ref`), an index that holds a CRS (xproj, rasterix), attributes, a scalar coordinate `epsg` (stackstac, cubo).
Attributes of x and y, where odc-geo notes it. And what describes the STAC Items that the cube was loaded from:
coordinates `proj:code`, `proj:epsg`, `proj:wkt2`, `proj:projjson`, one or one per date; Items keep their own CRS where
a loader resampled them to another one. Within a group, two that differ are an error; so is a value that cannot be
read, where nothing else names a CRS. Where the cube lies is found in `grid`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from odc.geo.crs import CRS
from pyproj.exceptions import CRSError

from ..arguments import shown
from ..conventions import CRS_ATTRS, CRS_COORDS, ITEM_CRS, NESTED, plain_name
from ..errors import GridError
from .axes import XarrayObject, spatial_dims

_CF = ("crs_wkt", "spatial_ref", "grid_mapping_name", "GeoTransform")


_BLANK = ("", "none", "nan", "null", "unknown")
"""Text that means "no CRS"."""


@dataclass(frozen=True)
class _Named:
    """A CRS, and the place where it stands, in words; None for a `value` that cannot be read as a CRS."""

    place: str
    crs: CRS | None
    value: object = None


def find_crs(obj: XarrayObject, parents: Mapping[str, xr.Dataset] | None = None) -> CRS | None:
    """Find the CRS of a cube; None if no place names one.

    parents: of a node of a tree, by path: what they hold themselves. What describes their grid counts beside what
    describes the node's, attributes of its x and y included.
    Raises GridError where two places differ, the CRS of Items differs between dates, all values that should name a
    CRS cannot be read, or the CRS is neither projected nor geographic (geocentric, vertical, local). Reads coordinates
    without dimensions and along one; no pixel.
    """
    above = parents or {}
    own = [*_of_cube(obj)]
    if above and _agreed(own) is None:
        own += _of_axes(obj)
    groups: tuple[Callable[[], list[_Named]], ...] = (
        lambda: [*own, *_of_parents(_of_cube, above)],
        lambda: [*_of_axes(obj)],
        lambda: [*_of_items(obj), *_of_parents(_of_items, above)],
    )
    unread: list[_Named] = []
    for group in groups:
        named = group()
        crs = _agreed(named)
        if crs is not None:
            if not (crs.projected or crs.geographic):
                raise GridError(_not_horizontal(named, crs))
            return crs
        unread += [each for each in named if not _is_name(each.value, (obj, *above.values()))]
    if unread:
        raise GridError(_unreadable(unread[0]))
    return None


def crs_coord_name(obj: XarrayObject) -> str:
    """Return the name of the coordinate that holds the CRS; "spatial_ref" where there is none yet."""
    held = [name for name in _indexed(obj) if obj.coords[name].ndim == 0]  # not x and y, whose index may hold it too
    return next((str(name) for name in [*_grid_mappings(obj), *held]), "spatial_ref")


def pointed_mappings(obj: XarrayObject) -> list[str]:
    """Name what `grid_mapping` points at, in attributes or encoding, of the object or a variable; there or not."""
    pointers = [obj, *(obj.variables.values() if isinstance(obj, xr.Dataset) else [])]
    texts = [each.encoding.get("grid_mapping", each.attrs.get("grid_mapping")) for each in pointers]
    return list(dict.fromkeys(re.split(r"[:\s]", text.strip())[0] for text in texts if isinstance(text, str)))


def is_crs_coord(coord: xr.DataArray | xr.Variable) -> bool:
    """Return whether a variable describes a grid rather than data, by attributes of CF or GDAL.

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
    """Return whether two CRSs are the same, however they are written: WKT of GDAL and of pyproj differ in names."""
    if one == other:
        return True
    if one.epsg is not None and other.epsg is not None:
        return bool(one.epsg == other.epsg)
    if one.proj.equals(other.proj, ignore_axis_order=True):
        return True
    codes = [crs.epsg or crs.proj.to_epsg(min_confidence=25) for crs in (one, other)]
    return codes[0] is not None and codes[0] == codes[1]


def crs_label(crs: CRS | None) -> str:
    """Return a CRS for a message: its EPSG code, else its name."""
    if crs is None:
        return "no CRS"
    if crs.epsg:
        return f"EPSG:{crs.epsg}"
    name, operation = crs.proj.name, crs.proj.coordinate_operation
    if name in ("", "unknown", "undefined"):
        name = f"an unnamed CRS ({operation.method_name})" if operation else "an unnamed CRS"
    return f"{name:.80}"


def _read_text(text: str) -> CRS | None:
    if text.isdigit():
        return read_crs(int(text))
    if text.startswith("{"):
        return read_crs(json.loads(text))
    old = re.fullmatch(r"\+?init=(epsg:\d+)(\s.*)?", text, re.IGNORECASE)  # PROJ warns of this spelling
    if not text:
        return None
    try:
        return CRS(old[1] if old else text)
    except ValueError:  # odc-geo takes what follows "EPSG:" for a number; pyproj reads compound ones, "EPSG:25832+7837"
        return CRS(pyproj.CRS.from_user_input(text).to_wkt())


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
        if plain_name(name) in CRS_COORDS and variable.ndim == 0 and not is_crs_coord(variable):
            yield from _named_by(f"the coordinate {name!r}", [variable.values[()]])


def _of_parents(group: Callable[[xr.Dataset], Iterable[_Named]], parents: Mapping[str, xr.Dataset]) -> Iterator[_Named]:
    """Yield what the parents of a node of a tree name, with the path of each."""
    for path, parent in parents.items():
        yield from (replace(each, place=f"{each.place} of the node {path!r}") for each in group(parent))


def _of_axes(obj: XarrayObject) -> Iterator[_Named]:
    """Yield what odc-geo notes in the attributes of x and y, where it stays when another CRS is assigned."""
    for dim in spatial_dims(obj) or ():
        if dim in obj.coords:
            yield from _of_attrs(obj.coords[dim].attrs, f" of {dim!r}")


def _of_items(obj: XarrayObject) -> Iterator[_Named]:
    """Yield what describes the STAC Items that the cube comes from."""
    for name, variable in _small(obj).items():
        if plain_name(name) in ITEM_CRS:
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
        return
    for key in ("spatial_ref", "crs_wkt", "grid_mapping_name"):
        if not _is_blank(attrs.get(key)):
            yield _Named(f"the attribute {key!r} of the coordinate {name!r}", None, attrs[key])


def _of_attrs(attrs: Mapping[Any, Any], of: str) -> Iterator[_Named]:
    for key, value in attrs.items():
        if plain_name(key) in CRS_ATTRS:
            yield from _named_by(f"the attribute {str(key)!r}{of}", [value])


def _of_products(attrs: Mapping[Any, Any]) -> Iterator[_Named]:
    """Yield what mappings in attributes name, as in EOPF's groups."""
    for path in NESTED:
        holder: Any = attrs
        for key in path:
            holder = holder.get(key) if isinstance(holder, Mapping) else None
        for name, value in holder.items() if isinstance(holder, Mapping) else ():
            if plain_name(name) in ITEM_CRS:
                yield from _named_by(f"{str(name)!r} of the attribute {path[0]!r}", [value])


def _named_by(place: str, values: Iterable[object]) -> Iterator[_Named]:
    """Yield what values name, each text or number once."""
    known: dict[str, _Named] = {}
    for value in values:
        key = repr(value)
        if key not in known and not _is_blank(value):
            crs = read_crs(value)
            known[key] = _Named(place, crs, None if crs else value)
    yield from known.values()


def _is_blank(value: object) -> bool:
    """Return whether a value means that there is no CRS: None, NaN, 0, no text."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else value.tolist()
    if isinstance(value, str | bytes):
        text = value if isinstance(value, str) else value.decode(errors="replace")
        return text.strip().lower() in _BLANK
    if isinstance(value, int | float | np.integer | np.floating):
        return not isinstance(value, bool) and (value == 0 or value != value)
    return value is None or (isinstance(value, list | tuple | Mapping) and not value)


def _is_name(value: object, objects: Iterable[XarrayObject]) -> bool:
    """Return whether a value is the name of a variable, as that of a grid mapping."""
    return isinstance(value, str) and any(value in _variables(obj) for obj in objects)


def _agreed(found: Iterable[_Named]) -> CRS | None:
    """Return the CRS that all name; None for none. Raises GridError where two differ."""
    named = [(each, each.crs) for each in found if each.crs is not None]
    for other, crs in named[1:]:
        if not same_crs(named[0][1], crs):
            raise GridError(_contradiction(named[0][0].place, named[0][1], other.place, crs))
    return named[0][1] if named else None


def _unreadable(named: _Named) -> str:
    return (
        f"{named.place} is {shown(named.value)}, which cannot be read as a CRS, and nothing else names one. "
        "Expected an EPSG code (a number from 1024 to 32767, or text such as 'EPSG:32633'), WKT, PROJJSON, or a CRS "
        "of pyproj, rasterio or odc-geo. Write the right one, cube.rio.write_crs('EPSG:32633'), or remove it: "
        "cube.drop_vars(name), or del cube.attrs[name] for an attribute."
    )


def _not_horizontal(named: Iterable[_Named], crs: CRS) -> str:
    place = next(each.place for each in named if each.crs is not None)
    return (
        f"{place} names a CRS of the kind {crs.proj.type_name!r} ({crs_label(crs)}); expected a projected or "
        "geographic one, which locates x and y. Write the right one, cube.rio.write_crs('EPSG:32633'), or "
        "remove it to work without a CRS: cube.drop_vars(name), or del cube.attrs[name] for an attribute."
    )


def _contradiction(place: str, crs: CRS, other_place: str, other: CRS) -> str:
    found = f"expected one CRS; {place} names {crs_label(crs)}"
    if place == other_place:
        return f"{found} and {crs_label(other)}. Load or select the parts in one CRS, or reproject them to one."
    return (
        f"{found}, {other_place} {crs_label(other)}. Remove the wrong one, such as one that is "
        "left from before the cube was reprojected: cube.drop_vars(name), or del cube.attrs[name] for an attribute."
    )


def _grid_mappings(obj: XarrayObject) -> list[Hashable]:
    """Return the names of CF grid mappings of an object: those that `grid_mapping` names, else all there are."""
    variables = _variables(obj)
    pointed: list[Hashable] = [
        name for name in pointed_mappings(obj) if name in variables and is_crs_coord(variables[name])
    ]
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
