"""The time axis of a store: stamps as unique whole numbers, and rasters of one date as one step along time.

Dates are compared as nanoseconds of UTC since 1970, whatever the unit, time zone or calendar object they came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...conventions import BAND_DIMS
from ...cube.grid import crs_coord_name, is_crs_coord
from ...cube.time import scalar_dates
from ...errors import DuplicateTimeError, StoreError

UNITS = "nanoseconds since 1970-01-01"
"""The unit of dates on disk; fixed, so that later dates need no other."""

CHUNK = 1024
"""Dates per chunk of what varies with time: fixed, so that a longer axis finds the old values where they were."""


@dataclass(frozen=True, eq=False)
class Stamps:
    """The stamps of one object along its time dimension.

    values: int64; nanoseconds for dates, the numbers themselves for "number", positions for "position".
    """

    dim: str
    kind: str
    values: NDArray[np.int64]


def time_dim(dataset: xr.Dataset, candidates: Sequence[str]) -> str | None:
    """Find the dimension that dates are written along: "time", else the one whose coordinate holds dates."""
    if "time" in candidates:
        return "time"
    dated = [dim for dim in candidates if dim in dataset.coords and _is_dated(dataset.coords[dim])]
    if len(dated) > 1:
        raise StoreError(
            f"{dated} all hold dates; a store has one time axis. Take the others apart first, with .isel or .stack."
        )
    return dated[0] if dated else None


def stamps_of(dataset: xr.Dataset, dim: str) -> Stamps:
    """Read the stamps along a dimension. Raises DuplicateTimeError if two are equal, StoreError if one is missing."""
    if dim not in dataset.coords:
        return Stamps(dim, "position", np.arange(dataset.sizes[dim], dtype=np.int64))
    coordinate = dataset.coords[dim]
    if coordinate.dtype.kind in "iu":
        kind, values = "number", coordinate.values.astype(np.int64)
    elif _is_dated(coordinate):
        kind, values = "date", _nanoseconds(dataset, dim)
    else:
        raise StoreError(
            f"the coordinate {dim!r} holds {coordinate.dtype}, which is neither dates nor whole numbers. "
            f"Assign dates: obj.assign_coords({dim}=pandas.to_datetime(...))."
        )
    unique, counts = np.unique(values, return_counts=True)
    if twice := [stamp_text(value, kind) for value in unique[counts > 1]]:
        more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
        raise DuplicateTimeError(
            f"{', '.join(twice[:3])}{more}: more than once along {dim!r}, so one would overwrite the other. "
            f'Mosaic them, odc.stac.load(..., groupby="solar_day"), or keep one, obj.drop_duplicates("{dim}").'
        )
    return Stamps(dim, kind, values)


def as_dates(values: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Convert nanoseconds into dates."""
    return values.astype("datetime64[ns]")


def as_nanoseconds(values: NDArray[Any]) -> NDArray[Any] | None:
    """Convert dates or durations of any unit, or calendar objects, into nanoseconds; None where these cannot hold them.

    Calendars other than ours are read as ours; time zones become UTC.
    """
    import pandas as pd

    if values.dtype.kind in "Mm":
        unit = "datetime64[ns]" if values.dtype.kind == "M" else "timedelta64[ns]"
        if values.dtype == unit:
            return values
        try:
            fine = values.astype(unit)
        except OverflowError:
            return None
        return fine if np.array_equal(fine.astype(values.dtype), values, equal_nan=True) else None
    elements = list(values.flat)
    try:
        if all(hasattr(element, "calendar") for element in elements):
            index = xr.CFTimeIndex(elements).to_datetimeindex(unsafe=True, time_unit="ns")
        else:
            index = pd.to_datetime(elements, utc=True).tz_localize(None)
    except (OverflowError, TypeError, ValueError):
        return None
    return as_nanoseconds(index.to_numpy().reshape(values.shape))


def stamp_text(value: int, kind: str) -> str:
    """Write one stamp as a user knows it: a date to the day, minute or what it takes, else the number."""
    return str(np.datetime_as_string(np.datetime64(int(value), "ns"), unit="auto") if kind == "date" else int(value))


def _is_dated(coordinate: xr.DataArray) -> bool:
    if coordinate.dtype.kind == "M":
        return True
    if coordinate.dtype.kind != "O" or coordinate.ndim != 1 or coordinate.size == 0:
        return False
    return all(hasattr(value, "timetuple") for value in coordinate.values)


def _nanoseconds(dataset: xr.Dataset, dim: str) -> NDArray[np.int64]:
    coordinate = dataset.coords[dim]
    plain = isinstance(coordinate.dtype, np.dtype)  # else dates with a time zone, a type of pandas
    dates = as_nanoseconds(coordinate.values if plain else dataset.indexes[dim].to_numpy(dtype=object))
    if dates is None:
        raise beyond_dates(dim, f"Convert them, obj.convert_calendar('standard', align_on='date', dim={dim!r}), or")
    if np.isnat(dates).any():
        raise StoreError(
            f"the coordinate {dim!r} has a date missing (NaT) at {np.flatnonzero(np.isnat(dates)).tolist()}; drop it."
        )
    stamps: NDArray[np.int64] = dates.astype(np.int64)
    return stamps


def beyond_dates(name: str, advice: str) -> StoreError:
    """Make the error for dates that nanoseconds cannot hold. advice: the start of a sentence, "... or drop them"."""
    return StoreError(
        f"the coordinate {name!r} holds dates that a store cannot: they must be between 1677-09-21 and 2262-04-11 "
        f"and exist in the Gregorian calendar, which 30 February of a 360-day calendar does not. {advice} drop them."
    )


def scalar_date(dataset: xr.Dataset) -> str | None:
    """Find the scalar coordinate that holds the date, as `scalar_dates` does, and is not missing.

    Raises StoreError for a date that a store cannot hold, as along a dimension.
    """
    return next((name for name in scalar_dates(dataset.coords) if _is_known(dataset.coords[name])), None)


def along_time(dataset: xr.Dataset, date: str, on_grid: Iterable[str]) -> xr.Dataset:
    """Convert a scalar date to a dimension of one step, which all variables get that may differ by date.

    on_grid: names of the variables that have pixels. Nothing is computed.
    """
    crs, grid = crs_coord_name(dataset), set(on_grid)
    stays = {date, crs, *BAND_DIMS, *dataset.dims}
    steps = {
        name: var.set_dims((date, *var.dims))
        for name, var in dataset.variables.items()
        if name not in stays
        and (name in dataset.data_vars or name in grid or not var.ndim)
        and not is_crs_coord(xr.DataArray(var))
    }
    moment = dataset.variables[date]
    dataset = dataset.drop_vars(date).assign_coords({date: (date, np.atleast_1d(moment.values), moment.attrs)})
    return dataset.assign(steps)  # coordinates stay coordinates


def _is_known(coord: xr.DataArray) -> bool:
    stamp = as_nanoseconds(np.asarray(coord.values))
    if stamp is None:
        name = str(coord.name)
        raise beyond_dates(name, f"Assign one, obj.assign_coords({name}=numpy.datetime64('2023-06-01')), or")
    return not bool(np.isnat(stamp))
