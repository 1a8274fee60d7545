"""Validate the arguments of `simulate_scene`: sizes, dates, bands, flood levels. Draws nothing.

Values of the wrong type raise OptionError; values of the right type that cannot make a scene raise GridError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..arguments import check_number, check_whole, count_of, items_of, shown
from ..errors import GridError, MissingBandError, OptionError
from .surfaces import BANDS

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


def read_pair(name: str, value: object) -> tuple[int, int]:
    """Return two whole numbers."""
    numbers = items_of(value)
    if numbers is None or len(numbers) != 2:
        raise OptionError(f"{name}={shown(value)}: expected two whole numbers.")
    return read_whole(name, numbers[0]), read_whole(name, numbers[1])


def read_size(value: object) -> tuple[int, int]:
    """Return rows and columns; one number stands for both."""
    if items_of(value) is not None:
        return read_pair("size", value)
    side = read_whole("size", value)
    return side, side


def read_bands(value: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the bands, all of them for None.

    Raises MissingBandError for an empty list and for bands that the sensor does not have.
    """
    if value is None:
        return BANDS
    names = items_of(value)
    if names is None or not all(isinstance(band, str) for band in names):
        raise OptionError(f"bands={shown(value)}: expected a list of names, such as bands=['B04', 'B08'].")
    if not names or not set(names) <= set(BANDS):
        raise MissingBandError(f"bands={names}: expected one or more of {', '.join(BANDS)}.")
    if len(set(names)) < len(names):
        raise OptionError(f"bands={names}: expected each band once.")
    return tuple(names)


def read_dates(value: SceneDates) -> Times:
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


def read_floods(value: object, dates: int) -> tuple[float, ...]:
    """Return the flood level in meters at each date. Raises GridError for another number of levels than of dates."""
    levels = np.asarray(value, dtype=object)
    numbers = tuple(check_number("flood_m", level) for level in levels.ravel())
    if levels.ndim == 0:
        return numbers * dates
    if levels.shape != (dates,):
        raise GridError(
            f"flood_m: expected one flood level, or one for each of {count_of(dates, 'date')}; got "
            f"{count_of(levels.size, 'level')}."
        )
    return numbers
