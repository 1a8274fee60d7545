"""Lay the arrays of a cube out as the planes of a raster, with a name for each. Writes nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import product
from typing import Any

import xarray as xr

from ..analytics.uncertain import MEMBER, MEMBERS
from ..cube.axes import XarrayObject
from ..cube.grid import spatial_dims
from ..cube.time import is_time
from ..errors import BandWarning, StoreError, warn_caller

IMAGES, COUNTED = ("estimate", "std", "lower", "upper"), "n_effective"
"""Variables of a result of `multiframe` that are images, and one by which it is recognized."""


def as_raster(obj: XarrayObject) -> XarrayObject:
    """Drop dimensions of one element, and return (y, x), (other, y, x), or a Dataset of (y, x).

    Of a Dataset, and of arrays with two dimensions or more beside y and x, each plane is a variable of the Dataset,
    named after its variable and its labels: "estimate B04", "member 3 B04". Raises StoreError for several dates, and
    where two planes have one name.
    """
    dims = spatial_dims(obj)
    if dims is None:
        raise StoreError(f"there are no spatial dimensions among {list(map(str, obj.dims))}; rename them to y and x.")
    flat = obj.squeeze([dim for dim, size in obj.sizes.items() if size == 1 and dim not in dims], drop=False)
    if isinstance(flat, xr.Dataset) and {"estimate", COUNTED} <= set(flat.data_vars):
        images = [str(name) for name in flat.data_vars if name in IMAGES]
        warn_caller(
            f"of a result of multiframe {', '.join(images)} are written, not its weights. To silence this: "
            f"made[{images}].",
            BandWarning,
        )
        flat = flat[images]
    if isinstance(flat, xr.Dataset):
        flat = flat[[name for name, var in flat.data_vars.items() if set(dims) <= set(var.dims)]]
    others = [dim for dim in flat.dims if dim not in dims]
    if dates := [dim for dim in others if is_time(str(dim), flat.coords)]:
        if isinstance(flat, xr.Dataset) and any(dates[0] not in var.dims for var in flat.data_vars.values()):
            along = [str(name) for name, var in flat.data_vars.items() if dates[0] in var.dims]
            raise StoreError(
                f"a GeoTIFF holds one date, and {', '.join(along)} of this has {flat.sizes[dates[0]]} along "
                f"{str(dates[0])!r}. Leave it out, obj.drop_dims({dates[0]!r}), or write it to a file for "
                f"each date: obj[{along[0]!r}].isel({{{dates[0]!r}: 0}})."
            )
        first = f"{dates[0]}=0" if str(dates[0]).isidentifier() else f"{{{dates[0]!r}: 0}}"
        raise StoreError(
            f"a GeoTIFF holds one date, this has {flat.sizes[dates[0]]} along {str(dates[0])!r}. Write a file for "
            f"each: obj.isel({first})."
        )
    if not others or (isinstance(flat, xr.DataArray) and len(others) == 1):
        return flat.transpose(*others, *dims)
    arrays = {flat.name: flat} if isinstance(flat, xr.DataArray) else flat.data_vars
    planes = [plane for name, array in arrays.items() for plane in _planes(name, array, dims)]
    names = [name for name, _ in planes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise StoreError(f"several bands of the file would be named {twice}; rename variables or labels.")
    beside = {name: coord for name, coord in flat.coords.items() if not set(coord.dims) & set(others)}
    return xr.Dataset(dict(planes), beside, flat.attrs)


def label_of(dim: Hashable, coords: Mapping[Any, xr.DataArray], place: int) -> str:
    """Return the label of a place along a dimension; a number with the name of the dimension, except of a band."""
    label = coords[dim].values[place] if dim in coords else place + 1
    return str(label) if dim == "band" or isinstance(label, str) else f"{dim} {label}"


def _planes(name: Hashable, array: xr.DataArray, dims: tuple[str, str]) -> list[tuple[str, xr.DataArray]]:
    """Return the planes (y, x) of an array, with their names."""
    others = sorted((dim for dim in array.dims if dim not in dims), key=lambda dim: dim == "band")
    # "members", whose labels say so already, and an array without a name
    shown = [] if name is None or (name == MEMBERS and MEMBER in others) else [str(name)]
    made = []
    for places in product(*(range(array.sizes[dim]) for dim in others)):
        labels = [label_of(dim, array.coords, place) for dim, place in zip(others, places, strict=True)]
        plane = array.isel(dict(zip(others, places, strict=True)), drop=True)
        made.append((" ".join([*shown, *labels]), plane.transpose(*dims)))
    return made
