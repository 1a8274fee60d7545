"""Find the time axis of a cube, select dates on it, and match the dates of masks and second grids with a cube's.

Dates are selected by position, by time stamp, or by a selection of xarray. Those of masks, classes and coarser bands
are matched by their labels along time; scalar dates have to be equal. No pixel is read.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import count_of, shown
from ..errors import CubeError, DuplicateTimeError, GridError, OptionError
from .axes import spatial_dims
from .select import AnyCube, Cube

DATES = (
    "time",
    "t",
    "date",
    "datetime",
    "acq_date",
    "acquisition_date",
    "acquisition_time",
    "acquired",
    "sensing_time",
)
"""Scalar coordinates that hold the date of an image; the first that is present counts."""

Date: TypeAlias = "str | np.datetime64 | int | None"
Dates: TypeAlias = "Date | list[Date] | tuple[Date, ...]"

When: TypeAlias = (
    "str | np.datetime64 | datetime.date | slice | Sequence[str | np.datetime64 | datetime.date] | xr.DataArray"
)
"""A selection of time as `.sel(time=...)` takes it: "2023-06", slice("2023-06-01", "2023-06-20"), a list of dates."""

_YEAR_FIRST = re.compile(r"[+-]?\d{4}")


def is_time(dim: str, coords: Mapping[Any, xr.DataArray]) -> bool:
    """Return whether a dimension is time: by its name, or by a coordinate of dates."""
    return dim in ("time", "t") or (dim in coords and coords[dim].dtype.kind == "M")


def time_dim(array: xr.DataArray) -> str | None:
    """Return the dimension of time, the one beside y and x; None without. Raises CubeError where there are several."""
    dims = spatial_dims(array)
    others = [str(dim) for dim in array.dims if dims is None or dim not in dims]
    if len(others) > 1:
        raise CubeError(
            f"expected at most one dimension beside y and x, of time; got {others}. Select with .isel, or use .mean."
        )
    return others[0] if others else None


def scalar_dates(coords: Mapping[Any, xr.DataArray]) -> list[str]:
    """Return the scalar coordinates that hold the date of an image, the likeliest first: by name or `standard_name`.

    Text is not read as a date; dates of cftime are.
    """
    named = [name for name, coord in coords.items() if coord.attrs.get("standard_name") == "time"]
    return [str(name) for name in dict.fromkeys((*DATES, *named)) if name in coords and _is_moment(coords[name])]


def scalar_dates_differ(one: Mapping[Any, xr.DataArray], other: Mapping[Any, xr.DataArray]) -> tuple[str, str] | None:
    """Return the dates of two images if each has a scalar one, under one name, and they differ; else None.

    NaT is unknown, and differs from nothing.
    """
    name = next((name for name in scalar_dates(one) if name in scalar_dates(other)), None)
    if name is None:
        return None
    first, second = (_utc(coords[name]) for coords in (one, other))
    return None if first == second or "NaT" in (first, second) else (first, second)


def _utc(coord: xr.DataArray) -> str:
    """Write a scalar date, to the nanosecond where it is one of NumPy."""
    values = coord.values
    return str(values.astype("datetime64[ns]") if values.dtype.kind == "M" else values)


def _is_moment(coord: xr.DataArray) -> bool:
    if coord.ndim:
        return False
    return coord.dtype.kind == "M" or (coord.dtype.kind == "O" and hasattr(coord.item(), "timetuple"))


def read_date(date: str | np.datetime64 | datetime.date | xr.DataArray, *, argument: str) -> np.datetime64:
    """Read a date, year first, as UTC. argument: how it was passed, for the OptionError of what is no date."""
    import pandas as pd

    try:
        if isinstance(date, str) and not re.match(r"\d{4}", date.strip()):
            raise ValueError("a month alone, or 01/07/2023, could be several dates")
        # One element of an array of dates, not of numbers, which pandas would count from 1970.
        stamp: Any = date.values[()] if isinstance(date, xr.DataArray) and date.dtype.kind == "M" else date
        moment = pd.Timestamp(stamp)
        if pd.isna(moment):
            raise ValueError("not a time")
    except (ValueError, TypeError) as error:
        raise OptionError(f"{argument} is no date; expected one such as 2023-07-01.") from error
    utc: np.datetime64 = (moment.tz_convert(None) if moment.tzinfo else moment).to_datetime64()
    return utc


def nearest_place(stamps: npt.NDArray[Any], moment: np.datetime64) -> int:
    """Return the position of the stamp nearest to a moment, the first of equals; NaT is nearest to nothing."""
    # Not by .sel, which needs sorted, unique dates.
    gaps = np.abs((stamps - moment) / np.timedelta64(1, "s"))
    return int(np.where(np.isnan(gaps), np.inf, gaps).argmin())


def check_date(date: object) -> None:
    """Raise OptionError for booleans, which would pass as 0 and 1, and for lists, also for a cube of one date."""
    if isinstance(date, bool | np.bool_ | list | tuple):
        raise OptionError(f"date={date!r}: expected a position, such as 0, or a date, such as '2023-07-01'.")


def place_of(date: Date, stamps: npt.NDArray[Any], *, holder: str) -> int:
    """Return the position of a date: a position itself, 0 for None, else that of the nearest stamp.

    holder: what has the dates, for messages. Raises OptionError for positions out of range, for what is no date, and
    for dates if the stamps are none.
    """
    check_date(date)
    if date is None or isinstance(date, int | np.integer):
        place = int(date or 0)
        if not -len(stamps) <= place < len(stamps):
            raise OptionError(f"date={place}: {holder} has {count_of(len(stamps), 'date')}, counted from 0.")
        return place
    moment = read_date(date, argument=f"date={date!r}")
    if stamps.dtype.kind != "M":
        raise OptionError(f"date={date!r}: {holder} has no dates, only positions 0 to {len(stamps) - 1}.")
    return nearest_place(stamps, moment)


def positions_of(when: When, stamps: xr.DataArray, *, role: str) -> npt.NDArray[np.int64]:
    """Return the positions of the dates that a selection contains, ascending in time; at least one.

    stamps: (time,), in any order. role: what is selected, for messages. Raises CubeError where it selects no date,
    DuplicateTimeError where a date is there twice.
    """
    dim = stamps.dims[0]
    try:
        values, counts = np.unique(stamps.values, return_counts=True)
    except TypeError as error:  # text beside dates
        raise CubeError(
            f"the values along {dim!r} cannot be compared with each other: {shown(stamps.values.tolist())}. Convert "
            "them: cube.assign_coords(time=pd.to_datetime(cube.time.values))."
        ) from error
    if (counts > 1).any():
        raise DuplicateTimeError(
            f"{role}= selects dates, and some are there more than once: {', '.join(map(str, values[counts > 1][:3]))}. "
            "Merge them, for instance by groupby='solar_day' when loading, or keep one: cube.drop_duplicates('time')."
        )
    # Slices need sorted dates: of descending ones they would take none, or the others.
    places = xr.DataArray(np.arange(stamps.size), dims=(dim,), coords={dim: stamps.variable}).sortby(dim)
    found = np.empty(0, np.int64)
    cause: Exception | None = None
    if all(_YEAR_FIRST.match(text.strip()) for text in _texts_of(when)):
        try:
            found = np.atleast_1d(places.sel({dim: when}).values)
        except (KeyError, ValueError, TypeError) as error:
            cause = error
    if not found.size:
        raise CubeError(
            f"{role}={shown(when)} selects no date, or not each one that it names; there are {listed_dates(stamps)}. "
            "Dates are written year first (ISO 8601): '2023-06-20', '2023-06', slice('2023-06-01', '2023-06-30') or a "
            "list of dates."
        ) from cause
    return found


def _texts_of(when: When) -> list[str]:
    """Return the text in a selection. 5.6.2021 and 05/06/2021 are ambiguous, and pandas would choose one reading."""
    parts = [when.start, when.stop] if isinstance(when, slice) else when if isinstance(when, list | tuple) else [when]
    return [part for part in parts if isinstance(part, str)]


def listed_dates(stamps: xr.DataArray) -> str:
    """Write dates: all of a few, else the first and the last."""
    texts = [str(value)[:10] for value in np.sort(np.atleast_1d(stamps.values))]
    return ", ".join(texts) if len(texts) <= 6 else f"{texts[0]} to {texts[-1]} ({len(texts)} dates)"


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


def at_places(cube: AnyCube, times: xr.DataArray, places: Sequence[int]) -> AnyCube:
    """Select positions along time from a cube; what has other dates than these stays whole, to be matched by label.

    times: (time,) the dates that the positions count, of the cube itself or of one that it belongs to. Each node of a
    tree is compared.
    """
    if isinstance(cube, xr.DataTree) and not all(_has_dates(node.dataset, times) for node in cube.subtree):
        nodes = {node.path: at_places(node.to_dataset(), times, places) for node in cube.subtree}
        return xr.DataTree.from_dict(nodes)
    if isinstance(cube, xr.DataTree) or _has_dates(cube, times):
        return cube.isel({times.dims[0]: places}, missing_dims="ignore")
    return cube


def _has_dates(cube: xr.DataArray | xr.Dataset, times: xr.DataArray) -> bool:
    dim = times.dims[0]
    return dim not in cube.coords or np.array_equal(cube.coords[dim].values, times.values)


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
