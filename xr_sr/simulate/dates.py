"""Validate dates of a simulated series, and what is given once for all of them or once for each.

Values of the wrong type raise OptionError; values of the right type that do not fit together raise GridError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..arguments import check_number, check_whole, count_of, shown
from ..errors import GridError, OptionError

Times: TypeAlias = npt.NDArray[np.datetime64]
SceneDates: TypeAlias = "int | str | np.datetime64 | Sequence[str | np.datetime64]"
"""A date, several dates, or their number."""

FIRST_DATE = np.datetime64("2023-06-15", "ns")
"""First date of scenes for which only the number of dates is given."""

DATES_APART = np.timedelta64(5, "D")
"""The revisit time of the two satellites together."""

MOST_DATES = 10_000


def read_whole(name: str, value: object) -> int:
    """Return a whole number; 10.0 is one, True is not. Raises OptionError."""
    # From 2**53 on, floats hold even numbers only.
    if isinstance(value, float | np.floating) and value.is_integer() and abs(float(value)) < 2.0**53:
        return int(value)
    return check_whole(name, value)


def read_dates(value: SceneDates | Times) -> Times:
    """Return dates as datetime64[ns]; a whole number stands for that many, five days apart, from 2023-06-15.

    Raises GridError for an empty list and for a date that is given twice.
    """
    if isinstance(value, int | float | np.number):
        count = read_whole("dates", value)
        if not 1 <= count <= MOST_DATES:
            raise GridError(f"dates={count}: expected 1 to {MOST_DATES} dates, or the dates themselves.")
        return FIRST_DATE + DATES_APART * np.arange(count)
    expected = f"dates={shown(value)}: expected one or more dates, such as '2023-06-15', or their number"
    try:
        dates = np.atleast_1d(np.asarray(value))
        if dates.size and (dates.ndim > 1 or dates.dtype.kind not in "UMO"):
            raise OptionError(f"{expected}.")
        # To seconds first: in nanoseconds, years before 1678 would wrap around without an error.
        years = dates.astype("datetime64[s]").astype("datetime64[Y]").astype("int64") + 1970
        times: Times = dates.astype("datetime64[ns]")
    except (ValueError, TypeError, OverflowError) as error:
        raise OptionError(f"{expected}; {error}.") from error
    if np.isnat(times).any() or ((years < 1678) | (years > 2261)).any():
        raise OptionError(f"{expected}, all between the years 1678 and 2261.")
    if not times.size:
        raise GridError("dates is empty; a scene needs at least one, such as dates='2023-06-15'.")
    stamps, counts = np.unique(times, return_counts=True)
    if (counts > 1).any():
        twice = ", ".join(map(str, stamps[counts > 1].astype("datetime64[s]")[:3]))
        raise GridError(f"dates: {twice} is given more than once. Pass each date once.")
    return times


def days_of(times: Times) -> tuple[int, ...]:
    """Return the day of the year of each date, 1 to 366."""
    new_year = times.astype("datetime64[Y]").astype("datetime64[D]")
    return tuple(((times.astype("datetime64[D]") - new_year).astype("int64") + 1).tolist())


def is_single(value: object) -> bool:
    """Return whether an argument is one value for all dates: no list, nor an array with dimensions."""
    return np.ndim(np.asarray(value, dtype=object)) == 0


def for_each_date(
    name: str, value: object, dates: int, *, least: float = -math.inf, most: float = math.inf
) -> tuple[float, ...]:
    """Return a number for each date, from one for all or one for each.

    Raises OptionError for what is no number or out of bounds, GridError for another count of numbers than of dates.
    """
    given = np.asarray(value, dtype=object)
    numbers = tuple(check_number(name, number, least=least, most=most) for number in given.ravel())
    if given.ndim == 0:
        return numbers * dates
    if given.shape != (dates,):
        raise GridError(
            f"{name}: expected one number, or one for each of {count_of(dates, 'date')}; got "
            f"{count_of(given.size, 'number')}."
        )
    return numbers
