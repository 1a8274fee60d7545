"""What is to be stored: the variables on the grid, the small rest, the grid, the dates; and what the pixels depend on.

Reads names, coordinates and attributes. Pixels stay lazy; only variables that are not on the grid are loaded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ...arguments import count_of, shown
from ...cube.axes import XarrayObject
from ...cube.coordinates import fine_coords, placed
from ...cube.grid import Grid, crs_coord_name, grid_of, spatial_dims
from ...cube.lazy import check_array
from ...cube.names import own_name
from ...errors import GeoreferenceWarning, OptionError, StoreError, warn_caller
from ...radiometry.metadata import nodata_of, stored_dtype, unpacked_by
from ...radiometry.resolve import OFFSET_COORD
from ...runtime.precompute import settled
from ...spec import WINDOW_ATTR
from . import layout
from .conventions import crs_text, without_conventions
from .encoding import Packing, choose_packing, storable
from .record import KEY, LEDGER, LEDGER_DIMS
from .times import Stamps, along_time, as_dates, scalar_date, stamps_of, time_dim

if TYPE_CHECKING:
    import dask.array as da

Declared: TypeAlias = "tuple[np.dtype[Any] | None, tuple[float, ...]]"
"""The integers that floats were when they were read, without a scale, and the values of missing pixels."""

_CF_KEYS = ("_FillValue", "missing_value", "scale_factor", "add_offset", "grid_mapping", "coordinates", "dtype")
_NOT_COMPARED = ("xr_sr:version", "xr_sr:note", WINDOW_ATTR)


@dataclass(frozen=True, eq=False)
class Field:
    """A variable on the grid. dims: as the user ordered them. coordinate: it is a coordinate, not a data variable."""

    name: str
    dims: tuple[str, ...]
    array: da.Array
    packing: Packing
    attrs: dict[str, Any]
    coordinate: bool = False


@dataclass(frozen=True, eq=False)
class Content:
    """What is to be stored.

    name, variable: of a DataArray, and its name on disk. small: everything that is not on the grid,
    loaded, with the coordinate of the CRS fresh from the geobox. order: of the data variables. stamps: None without
    dates. one_date: the date came as a scalar coordinate. attrs: of the object. left_out: small variables of types that
    Zarr does not have.
    """

    kind: Literal["DataArray", "Dataset"]
    name: str | None
    variable: str
    fields: tuple[Field, ...]
    small: xr.Dataset
    order: tuple[str, ...]
    y: str
    x: str
    stamps: Stamps | None
    geobox: GeoBox
    crs_name: str | None
    attrs: dict[str, Any]
    one_date: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def time(self) -> str | None:
        """The name of the time dimension."""
        return None if self.stamps is None else self.stamps.dim

    @property
    def leading(self) -> Field:
        """The field whose blocks the others follow: the largest of those that vary with time, or of all."""
        return max(self.fields, key=lambda field: (self.time in field.dims, field.array.size))

    def edges(self, dim: str) -> tuple[int, ...]:
        """Return the edges of the blocks of the leading field along a dimension."""
        return layout.edges_of(self.leading.array.chunks[self.leading.dims.index(dim)])

    def cut_like(self, y: layout.Cut, x: layout.Cut) -> Content:
        """Cut all fields alike along y, x and time: as the cuts say, and as the leading field is cut in time."""
        leading = self.leading
        wanted = dict(zip(leading.dims, leading.array.chunks, strict=True))
        wanted = {dim: sizes for dim, sizes in wanted.items() if dim == self.time}
        wanted |= {dim: tuple(np.diff(cut.edges).tolist()) for dim, cut in ((self.y, y), (self.x, x))}
        return replace(self, fields=tuple(_rechunked(field, wanted) for field in self.fields))


def describe(obj: XarrayObject, packing: str | Mapping[Hashable, str], *, dated: bool = False) -> Content:
    """Take an object apart. Raises StoreError, GridError or DuplicateTimeError for what cannot be stored.

    dated: a scalar coordinate that holds the date becomes a time dimension of one step.
    """
    if not isinstance(packing, str | Mapping):
        raise OptionError(
            f"packing={shown(packing)}: expected 'int16', 'float32' or 'native', or one of them by name of a variable."
        )
    dims = spatial_dims(obj)
    if dims is None:
        raise StoreError(f"there are no spatial dimensions among {list(map(str, obj.dims))}; rename them to y and x.")
    y, x = dims
    dataset, variable, declared = _as_dataset(obj)
    for name, array in dataset.variables.items():
        if {y, x} <= set(array.dims):
            check_array(array, repr(name))
    dataset = _settled(dataset)
    found = grid_of(dataset)
    if found is not None and found.assumed:
        warn_caller(found.assumed, GeoreferenceWarning)
    dataset = placed(dataset)
    grid = grid_of(dataset)
    if grid is None or 0 in dataset.sizes.values():
        raise StoreError(f"there are no pixels to store: the sizes are {dict(dataset.sizes)}.")
    on_grid = [str(name) for name, var in dataset.variables.items() if y in var.dims and x in var.dims]
    if not set(on_grid) & set(map(str, dataset.data_vars)):
        raise StoreError(f"no variable is on the grid ({y}, {x}): {list(map(str, dataset.data_vars))}.")
    if LEDGER in dataset.variables and any({*dims} <= {*dataset[LEDGER].dims} for dims in LEDGER_DIMS):
        dataset = dataset.drop_vars(LEDGER)  # of a store that plain xarray opened
    if LEDGER in dataset.variables:
        raise StoreError(f"{LEDGER!r} is the name of the store's own ledger; drop or rename that variable.")
    lead = dict.fromkeys(str(dim) for name in on_grid for dim in dataset.variables[name].dims if dim not in (y, x))
    time = time_dim(dataset, list(lead))
    date = scalar_date(dataset) if dated and time is None else None
    if date is not None:
        dataset, time = along_time(dataset, date, on_grid), date
    stamps = None if time is None else stamps_of(dataset, time)
    fields = tuple(_field(dataset, name, packing, dims, time, declared[name]) for name in on_grid)
    if unknown := [] if isinstance(packing, str) else [name for name in packing if name not in on_grid]:
        raise StoreError(f"packing names {unknown}, but the variables on the grid are {on_grid}.")
    loaded, left_out = storable(dataset.drop_vars(on_grid).compute())
    small, crs_name = _small(loaded, grid, dims, stamps)
    return Content(
        kind="DataArray" if isinstance(obj, xr.DataArray) else "Dataset",
        name=None if isinstance(obj, xr.Dataset) else own_name(obj),
        variable=variable,
        fields=fields,
        small=small,
        order=tuple(name for name in map(str, dataset.data_vars) if name not in left_out),
        y=y,
        x=x,
        stamps=stamps,
        geobox=grid.geobox,
        crs_name=crs_name,
        # Of a DataArray, the root group repeats what the pixels depend on.
        attrs=_provenance(plain_attrs(obj.attrs)) if isinstance(obj, xr.DataArray) else plain_attrs(obj.attrs),
        one_date=date is not None,
        left_out=left_out,
    )


def fingerprint(content: Content) -> dict[str, Any]:
    """Return what the pixels depend on, as JSON: grid, variables, labels, and every `xr_sr:*` attribute.

    The version of this package and the note are left out: a new version resumes a store of an old one.
    """
    fields = {
        field.name: {"dims": list(field.dims), "dtype": field.packing.dtype, "packing": field.packing.name}
        for field in content.fields
    }
    labels: dict[str, Any] = {}
    for field in content.fields:
        for dim, size in zip(field.dims, field.array.shape, strict=True):
            if dim not in (content.y, content.x, content.time):
                known = dim in content.small.coords
                labels[dim] = _jsonable(content.small.coords[dim].values) if known else size
    attrs = _provenance(content.attrs)
    for field in content.fields:
        own = _provenance(field.attrs).items()
        attrs |= {f"{field.name}: {key}": value for key, value in own if attrs.get(key) != value}
    geobox, stamps = content.geobox, content.stamps
    offset = content.small.variables.get(OFFSET_COORD)
    radiometry, time = {}, None
    if offset is not None:  # those of dates are compared date by date, by `growth`
        radiometry = {OFFSET_COORD: "by date" if content.time in offset.dims else _jsonable(offset.values)}
    if stamps is not None:
        length = {"length": int(stamps.values.size)} if stamps.kind == "position" else {}
        time = {"dim": stamps.dim, "kind": stamps.kind, **length}
    return {
        **radiometry,
        "object": {"kind": content.kind, "name": content.name},
        "grid": {
            "dims": [content.y, content.x],
            "crs": None if geobox.crs is None else crs_text(geobox.crs),
            "transform": [float(number) for number in geobox.affine[:6]],
            "shape": [int(side) for side in geobox.shape],
        },
        "time": time,
        "variables": fields,
        "labels": labels,
        "attrs": {key: value for key, value in attrs.items() if not key.endswith(_NOT_COMPARED)},
    }


def plain_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as JSON can hold them, without those of CF and of the store.

    Numbers of NumPy become plain ones, arrays and tuples lists, anything else its text; NaN and infinity, which JSON
    does not know, become "NaN" and "Infinity".
    """
    kept = {str(key): value for key, value in without_conventions(attrs).items() if key not in _CF_KEYS and key != KEY}
    return {key: _jsonable(value) for key, value in kept.items() if value is not None}


def _as_dataset(obj: XarrayObject) -> tuple[xr.Dataset, str, dict[str, Declared]]:
    """Return a Dataset without encodings, the variable of a DataArray in it, and what encodings declared."""
    variable = ""
    if isinstance(obj, xr.Dataset):
        dataset = obj
    else:
        name = own_name(obj) or ""
        variable = name if name and name not in map(str, [*obj.coords, *obj.dims]) else "data"
        dataset = obj.rename(None).to_dataset(name=variable)
    declared = {str(name): _declared(dataset[name]) for name in dataset.variables}
    dataset = dataset.drop_encoding()
    texts = Counter(map(str, dataset.variables))
    if twice := [text for text, count in texts.items() if count > 1]:
        raise StoreError(
            f"a store keeps names as text, and {count_of(texts[twice[0]], 'variable')} would be called {twice[0]!r}. "
            "Rename one: .rename(...)."
        )
    named = dataset.rename({name: str(name) for name in dataset.variables if not isinstance(name, str)})
    return named, variable, declared


def _declared(array: xr.DataArray) -> Declared:
    stored = None if unpacked_by(array) else stored_dtype(array)
    return (stored if stored is not None and stored.kind in "ui" else None), nodata_of(array)


def _settled(dataset: xr.Dataset) -> xr.Dataset:
    """Work out first what all pixels need, such as a level of the whole cube: it is written region by region."""
    lazy = {name: var for name, var in dataset.variables.items() if var.chunks is not None}
    arrays = settled([var.data for var in lazy.values()])
    fresh = {
        name: (var.dims, array, var.attrs)
        for (name, var), array in zip(lazy.items(), arrays, strict=True)
        if array is not var.data
    }
    return dataset.assign(fresh)  # a coordinate stays one


def _field(
    dataset: xr.Dataset,
    name: str,
    packing: str | Mapping[Hashable, str],
    dims: tuple[str, str],
    time: str | None,
    declared: Declared,
) -> Field:
    var = dataset.variables[name]
    coordinate = name in dataset.coords
    named = not isinstance(packing, str) and name in packing
    wish = packing if isinstance(packing, str) else packing.get(name, "int16")
    wish = "native" if coordinate and not named else wish
    stored, nodata = declared
    chosen = choose_packing(wish, var.dtype, var.attrs, named=named, name=name, stored=stored, nodata=nodata)
    if var.chunks is None:
        sides = {dim: layout.BLOCK if dim in dims else 1 if dim == time else -1 for dim in var.dims}
        var = var.chunk(sides)
    return Field(name, tuple(map(str, var.dims)), var.data, chosen, plain_attrs(var.attrs), coordinate)


def _small(
    dataset: xr.Dataset, grid: Grid, dims: tuple[str, str], stamps: Stamps | None
) -> tuple[xr.Dataset, str | None]:
    """Rewrite the transform of the CRS coordinate, and give all that is not on the grid plain attributes.

    A slice keeps the transform of its parent, which rioxarray and GDAL would believe. Coordinates of axis-aligned grids
    stay as they are, bit by bit; those of rotated grids are pixel numbers, counted from the new transform.
    """
    small = dataset.drop_attrs(deep=False)
    if stamps is not None and stamps.kind == "date":
        attrs = small.coords[stamps.dim].attrs
        small = small.assign_coords({stamps.dim: (stamps.dim, as_dates(stamps.values), attrs)})
    crs_name = crs_coord_name(dataset)
    geobox, made = grid.geobox, fine_coords(grid, 1, crs_name, dims=dims)
    if not geobox.axis_aligned:
        sides = zip(dims, geobox.shape, strict=True)
        made |= {dim: xr.DataArray(np.arange(n) + 0.5, dims=dim) for dim, n in sides if dim in small.coords}
    if geobox.crs is not None or not geobox.axis_aligned or (crs_name in small.variables and crs_name in made):
        fresh = [name for name in made if name == crs_name or not geobox.axis_aligned or name not in small.coords]
        small = small.drop_vars([name for name in fresh if name in small.variables])
        small = small.assign_coords({name: made[name] for name in fresh})
    for name, var in small.variables.items():
        var.attrs = (
            plain_attrs(var.attrs) if name != crs_name else {key: _jsonable(val) for key, val in var.attrs.items()}
        )
    return small, crs_name if crs_name in small.coords else None


def _provenance(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if key.startswith("xr_sr:")}


def _rechunked(field: Field, wanted: Mapping[str, tuple[int, ...]]) -> Field:
    chunks = tuple(map(wanted.get, field.dims, field.array.chunks))
    return field if chunks == field.array.chunks else replace(field, array=field.array.rechunk(chunks))


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
