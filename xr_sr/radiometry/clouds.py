"""Set to NaN what clouds hide, by the scene classification (SCL)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ..arguments import check_whole, shown
from ..bands import is_scl
from ..cube.align import to_grid
from ..cube.lazy import in_chunks
from ..cube.select import Cube, Plane, recognise
from ..cube.trees import node_dataset
from ..errors import CubeError, OptionError, warns_once
from .cubes import Flat, Obj, each_cube, grid_mapping_of, replace_bands
from .metadata import declared_nodata

__all__ = ["CLOUDY_CLASSES", "mask", "read_classes"]

CLOUDY_CLASSES = (0, 1, 3, 8, 9, 10)
"""Classes of SCL without ground: no data, defective, cloud shadow, cloud of medium and high probability, cirrus."""


@warns_once
def mask(obj: Obj, *, scl: xr.DataArray | Hashable = None, classes: Iterable[int] | None = None) -> Obj:
    """Set the bands of a cube to NaN where the scene classification (SCL) says that the ground is hidden.

    obj: DataArray, Dataset or DataTree of bands.
    scl: the classification, or its name; by default what the cube, or any node of the tree, has as "SCL". Its pixels
    may be a whole number of times larger or smaller than those of the bands (20 m against 10 m); each pixel of a band
    takes the class at its centre. NaN in it is masked.
    classes: those to mask; by default no data, defective, cloud shadow, cloud of medium and high probability, cirrus.
    Returns the same type, lazily; integers become floats, which remember their type and nodata as CF has it.
    Raises CubeError where there is no SCL, GridError where it does not fit, does not cover the cube, or lacks a date.
    """
    masked = read_classes(classes) if classes is not None else CLOUDY_CLASSES
    found = scl if isinstance(scl, xr.DataArray) else _find_scl(obj, scl)

    def of_cube(cube: Cube, obj: Flat) -> Flat:
        keep = _kept(to_grid(found, cube), masked)
        return replace_bands(cube, obj, lambda array, planes: _masked(array, planes, cube, keep))

    return each_cube(obj, of_cube)


def read_classes(classes: Iterable[int]) -> tuple[int, ...]:
    """Read numbers of classes, each once, ascending. Raises OptionError for words, and for what is not several."""
    try:
        if isinstance(classes, str | bytes):  # the text "89" is no list of classes
            raise TypeError
        return tuple(sorted({_class_number(number) for number in classes}))
    except (OverflowError, TypeError, ValueError) as error:
        raise OptionError(
            f"classes of SCL {shown(classes)}: wanted are their numbers, such as {CLOUDY_CLASSES}, the ones without "
            "ground."
        ) from error


def _class_number(number: object) -> int:
    """Return a number of a class; numbers of float rasters count where they are whole, truth values do not."""
    if isinstance(number, float | np.floating) and float(number).is_integer():
        return int(number)
    return check_whole("class", number)


def _find_scl(obj: xr.DataArray | xr.Dataset | xr.DataTree, name: Hashable) -> xr.DataArray:
    """Find the scene classification in a cube; the first of a tree."""

    def wanted(label: Hashable) -> bool:
        return label == name if name is not None else is_scl(label)

    if isinstance(obj, xr.DataArray):
        for dim in obj.dims:
            labels = (
                obj.coords[dim].values.tolist() if dim in obj.coords and obj.coords[dim].dtype.kind in "OUT" else []
            )
            if places := [place for place, label in enumerate(labels) if wanted(label)]:
                return obj.isel({dim: places[0]}, drop=True)
    if not isinstance(obj, xr.DataArray | xr.Dataset | xr.DataTree):
        recognise(obj)  # says in its error what is wanted
    holders = (node_dataset(node) for node in obj.subtree) if isinstance(obj, xr.DataTree) else [obj]
    for holder in holders:
        variables: Any = holder.variables if isinstance(holder, xr.Dataset) else holder.coords
        for label in variables:
            if wanted(label) and holder[label].ndim >= 2:
                return holder[label]
    raise CubeError(
        f"no {'SCL' if name is None else repr(name)} in the cube, so it is not known where clouds are. Load the scene "
        "classification too (asset 'SCL' or 'scl'), or pass it: scl=<DataArray>."
    )


def _kept(scl: xr.DataArray, classes: Sequence[int]) -> xr.DataArray:
    """Return True where a class is not among those to mask."""
    keep = ~scl.isin(classes)
    return keep & scl.notnull() if scl.dtype.kind == "f" else keep


def _masked(array: xr.DataArray, planes: Sequence[Plane], cube: Cube, keep: xr.DataArray) -> xr.DataArray:
    """Set (*lead, [band,] y, x) to NaN where `keep` is false; masked integers say so in the way of CF."""
    array = in_chunks(array, lead=cube.lead, band_dim=cube.band_dim)
    if array.dtype.kind not in "iu":
        result = array.where(keep)
        result.encoding = dict(array.encoding)
        return result
    limits, declared = np.iinfo(array.dtype), declared_nodata(cube, planes)
    # What encodings declare counts for integers alone, so it would come back as a number; 0 is nodata of any DN.
    lost = [value for value in declared if value != 0]
    result = array.where(keep & ~array.isin(lost) if lost else keep)
    fill = next((value for value in declared if limits.min <= value <= limits.max), 0)
    result.attrs = {key: value for key, value in array.attrs.items() if key not in ("_FillValue", "missing_value")}
    result.encoding = {**grid_mapping_of(array), "dtype": array.dtype, "_FillValue": array.dtype.type(fill)}
    return result
