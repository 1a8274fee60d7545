"""Small variables in types that Zarr holds: dates and durations in nanoseconds, objects as what they are made of.

A dict or a list is nothing that an array can hold; which variables hold such things is told, and they are left out.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .times import as_nanoseconds


def storable(dataset: xr.Dataset) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Return the variables of a loaded dataset in types that can be stored without loss, and the names of the others.

    Dates of any unit become nanoseconds, those of calendar objects too; None among numbers becomes NaN. Left out: dates
    beyond 1677 to 2262, text with None in it, dicts, lists, sets, records.
    """
    left: list[str] = []
    for name, var in dataset.variables.items():
        given = np.asarray(var.values)
        values = _plain(given)
        if values is None:
            left.append(str(name))
        elif values is not given:
            fresh = xr.Variable(var.dims, values, var.attrs)
            coordinate = name in dataset.coords
            dataset = dataset.assign_coords({name: fresh}) if coordinate else dataset.assign({name: fresh})
    return dataset.drop_vars(left), tuple(left)


def _plain(values: NDArray[Any]) -> NDArray[Any] | None:
    """Give values in a type that Zarr has; None where there is none."""
    if values.dtype.kind in "Mm":
        return as_nanoseconds(values)
    if values.dtype.kind != "O":
        return None if values.dtype.kind == "V" else values
    elements = list(values.flat)
    if all(isinstance(element, str) for element in elements):
        return values
    if all(hasattr(element, "timetuple") for element in elements):
        return as_nanoseconds(values)
    if all(element is None or isinstance(element, numbers.Number | np.bool_) for element in elements):
        known = [np.nan if element is None else element for element in elements]
        found = np.asarray(known).reshape(values.shape)
        return found if found.dtype.kind in "biufc" else None
    return None
