"""Which date of a series is meant, by a position or by a time stamp: one reading for pictures and the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import count_of
from ..errors import OptionError

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
"""Scalar coordinates that hold the date of an image, the first that there is; others may be dates of something else."""


def scalar_dates(coords: Mapping[Any, xr.DataArray]) -> list[str]:
    """Name the scalar coordinates that hold the date of an image, the likeliest first: by name or `standard_name`.

    Text is not read as a date; dates of cftime count.
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


Date: TypeAlias = "str | np.datetime64 | int | None"
Dates: TypeAlias = "Date | list[Date] | tuple[Date, ...]"


def read_date(date: str | np.datetime64, *, told: str) -> np.datetime64:
    """Read a date, year first, as UTC; raises OptionError for what is none. told: how it was given, for the message."""
    import pandas as pd

    try:
        if isinstance(date, str) and not re.match(r"\d{4}", date.strip()):
            raise ValueError("a month alone, or 01/07/2023, could be several dates")
        moment = pd.Timestamp(date)
        if pd.isna(moment):
            raise ValueError("not a time")
    except (ValueError, TypeError) as error:
        raise OptionError(f"{told} is no date; wanted is one such as 2023-07-01.") from error
    utc: np.datetime64 = (moment.tz_convert(None) if moment.tzinfo else moment).to_datetime64()
    return utc


def nearest_place(stamps: npt.NDArray[Any], moment: np.datetime64) -> int:
    """Return the position of the stamp nearest to a moment, the first of equals; NaT is nearest to nothing."""
    # By hand, since .sel wants dates in order, each once.
    gaps = np.abs((stamps - moment) / np.timedelta64(1, "s"))
    return int(np.where(np.isnan(gaps), np.inf, gaps).argmin())


def check_date(date: object) -> None:
    """Raise OptionError for truth values, which would pass as 0 and 1, and for lists, also of a cube of one date."""
    if isinstance(date, bool | np.bool_ | list | tuple):
        raise OptionError(f"date={date!r}: expected a position, such as 0, or a date, such as '2023-07-01'.")


def place_of(date: Date, stamps: npt.NDArray[Any], *, holder: str) -> int:
    """Return the position that a date means: its own where it is one, 0 for None, else that of the nearest stamp.

    holder: what has the dates, for the message of the OptionError that is raised for positions that there are not, for
    what is no date, and for dates where the stamps are none.
    """
    check_date(date)
    if date is None or isinstance(date, int | np.integer):
        place = int(date or 0)
        if not -len(stamps) <= place < len(stamps):
            raise OptionError(f"date={place}: {holder} has {count_of(len(stamps), 'date')}, counted from 0.")
        return place
    moment = read_date(date, told=f"date={date!r}")
    if stamps.dtype.kind != "M":
        raise OptionError(f"date={date!r}: {holder} has no dates, only positions 0 to {len(stamps) - 1}.")
    return nearest_place(stamps, moment)
