"""Match the dates of masks, classes and second grids with those of a cube; refuse images of other dates.

Along a time dimension dates are selected by their labels; scalar dates have to be equal. No pixel is read.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..errors import GridError
from .select import Cube
from .time import scalar_dates, scalar_dates_differ

__all__ = ["on_dates_of", "on_its_date", "same_dates"]


def on_its_date(scl: xr.DataArray, cube: Cube, what: str) -> xr.DataArray:
    """Select the date of an image from classes or a mask along dates. Raises GridError where the dates differ."""
    own = cube.planes[0].array.coords
    for name in scalar_dates(own):
        if name in scl.dims and name not in cube.lead and name in scl.indexes:
            places = np.flatnonzero(scl.indexes[name] == own[name].values)
            if len(places) != 1:
                raise GridError(
                    f"{what} has the date of the cube, {own[name].values}, {len(places)} times; expected once."
                )
            return scl.isel({name: int(places[0])})
    if differ := scalar_dates_differ(scl.coords, own):
        raise _other_date(what, *differ)
    for name in scalar_dates(scl.coords):
        if name in cube.lead and name in own:
            there, stamps = scl.coords[name].values, np.unique(own[name].values)
            if len(stamps) > 1 or stamps[0] != there:
                raise _other_date(what, str(there), f"{len(stamps)} dates" if len(stamps) > 1 else str(stamps[0]))
    return scl


def same_dates(scl: xr.DataArray, cube: Cube, what: str) -> xr.DataArray:
    """Choose the dates of a cube; xarray would drop those that one side lacks, in silence."""
    unnamed = [dim for dim in scl.dims if dim in cube.lead and dim not in cube.planes[0].array.indexes]
    return scl.isel(_places_of_dates(scl, cube, what)).drop_vars(unnamed, errors="ignore")


def on_dates_of(coarse: Cube, cube: Cube, what: str = "the cube of 20 m bands") -> Cube:
    """Select from a cube the dates of another one, in its order, metadata along dates included.

    Raises GridError where they have other dimensions, where one lacks a date, or where both are of one date and differ.
    """
    if set(coarse.lead) != set(cube.lead):
        raise GridError(
            f"{what} lies along {list(coarse.lead)} beside y and x, the 10 m bands along {list(cube.lead)}. "
            "Give both the same, for instance with .isel(time=0) or .expand_dims."
        )
    if differ := scalar_dates_differ(coarse.planes[0].array.coords, cube.planes[0].array.coords):
        raise _other_date(what, *differ)
    places = _places_of_dates(coarse.planes[0].array, cube, what)
    if not places:
        return coarse
    arrays = {id(plane.array): plane.array.isel(places) for plane in coarse.planes}
    planes = tuple(replace(plane, array=arrays[id(plane.array)]) for plane in coarse.planes)
    return replace(coarse, source=coarse.source.isel(places), planes=planes)


def _places_of_dates(given: xr.DataArray, cube: Cube, what: str) -> dict[str, npt.NDArray[np.intp]]:
    """Return where the dates of a cube are in another array; nothing where they are the same, or have no labels."""
    array, places = cube.planes[0].array, {}
    for dim in (str(dim) for dim in given.dims if dim in cube.lead):
        dates, theirs = array.indexes.get(dim), given.indexes.get(dim)
        if dates is None or theirs is None:
            if array.sizes[dim] != given.sizes[dim]:
                raise GridError(f"{what} has {given.sizes[dim]} along {dim!r}, the cube {array.sizes[dim]}.")
        elif not theirs.equals(dates):
            lacking = [str(date) for date in dates.difference(theirs)]
            if lacking or not theirs.is_unique:
                raise GridError(f"{what} must have each {dim} of the cube once; it lacks {lacking}.")
            places[dim] = theirs.get_indexer(dates)
    return places


def _other_date(what: str, found: str, expected: str) -> GridError:
    return GridError(
        f"{what} is of {found}, the cube of {expected}. Pass the one of the same date; if it holds for any date, drop "
        "its own: .drop_vars('time')."
    )
