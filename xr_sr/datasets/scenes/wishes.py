"""What a user asks of a synthetic scene, read and checked: sizes, dates, bands, water levels. Draws nothing.

Raises OptionError for values of the wrong kind; what is of the right kind and makes no scene is a GridError.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...arguments import count_of
from ...errors import GridError, MissingBandError, OptionError
from .surfaces import BANDS

Times: TypeAlias = npt.NDArray[np.datetime64]
Dates: TypeAlias = "int | str | np.datetime64 | Sequence[str | np.datetime64]"
"""A date, several, or how many."""

FIRST_DATE = np.datetime64("2023-06-15", "ns")
"""Of scenes that are told only how many dates they have."""

DATES_APART = np.timedelta64(5, "D")
"""The revisit of the two satellites together."""

MOST_DATES = 10_000

_TOO_MANY = 2.0**53
"""From here on floats hold even numbers only."""


def read_whole(name: str, value: object) -> int:
    """Read a whole number; 10.0 is one, True is none."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        if isinstance(value, float | np.floating) and value.is_integer() and abs(float(value)) < _TOO_MANY:
            return int(value)
        return operator.index(value)  # type: ignore[arg-type]  # whether it is one is what is asked
    except TypeError:
        raise OptionError(f"{name}={value!r}: wanted a whole number; not {type(value).__name__}.") from None


def read_pair(name: str, value: object) -> tuple[int, int]:
    """Read two whole numbers."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or len(value) != 2:
        raise OptionError(f"{name}={value!r}: wanted two whole numbers.")
    return read_whole(name, value[0]), read_whole(name, value[1])


def read_size(value: object) -> tuple[int, int]:
    """Read rows and columns, or one number for both."""
    if isinstance(value, Sequence | np.ndarray):
        return read_pair("size", value)
    side = read_whole("size", value)
    return side, side


def read_noise(value: object) -> float:
    """Read how many times the usual noise is wanted."""
    noise = _floats("noise", value)
    if noise.ndim or noise < 0:
        raise OptionError(f"noise={value!r}: wanted a number from 0 (none) on; 1 is the usual noise.")
    return float(noise)


def read_bands(value: Sequence[str] | None) -> tuple[str, ...]:
    """Read the names of the bands; None is all of them.

    Raises MissingBandError for none, and for names that the sensor does not have.
    """
    if value is None:
        return BANDS
    if isinstance(value, str) or not all(isinstance(band, str) for band in _items("bands", value)):
        raise OptionError(f"bands={value!r}: wanted a list of names, such as bands=['B04', 'B08'].")
    wanted = tuple(value)
    if not wanted or not set(wanted) <= set(BANDS):
        raise MissingBandError(f"simulate_scene has the bands {', '.join(BANDS)}; asked for {list(wanted)}.")
    if len(set(wanted)) < len(wanted):
        raise OptionError(f"bands={list(wanted)}: wanted each band once.")
    return wanted


def read_dates(value: Dates) -> Times:
    """Read dates as datetime64[ns]; a whole number is that many, five days apart from 15 June 2023 on.

    Raises GridError for no date, and for one that stands twice.
    """
    if isinstance(value, int | float | np.number):
        count = read_whole("dates", value)
        if not 1 <= count <= MOST_DATES:
            raise GridError(f"dates={count}: wanted from 1 to {MOST_DATES} dates, or the dates themselves.")
        return FIRST_DATE + DATES_APART * np.arange(count)
    wanted = f"dates={value!r}: wanted a date or several, such as '2023-06-15', or how many"
    try:
        given = np.atleast_1d(np.asarray(value))
        if given.size and (given.ndim > 1 or given.dtype.kind not in "UMO"):
            raise OptionError(f"{wanted}.")
        # By the second first: in nanoseconds, years before 1678 would wrap around in silence.
        years = given.astype("datetime64[s]").astype("datetime64[Y]").astype("int64") + 1970
        times: Times = given.astype("datetime64[ns]")
    except (ValueError, TypeError, OverflowError) as error:
        raise OptionError(f"{wanted}; {error}.") from error
    if np.isnat(times).any() or ((years < 1678) | (years > 2261)).any():
        raise OptionError(f"{wanted}, all of them between the years 1678 and 2261.")
    if not times.size:
        raise GridError("a scene needs dates, and there are none; name one such as dates='2023-06-15'.")
    stamps, counts = np.unique(times, return_counts=True)
    if (counts > 1).any():
        twice = ", ".join(map(str, stamps[counts > 1].astype("datetime64[s]")[:3]))
        raise GridError(f"dates: {twice} stands more than once, and a scene has one picture a date. Name each once.")
    return times


def read_floods(value: object, dates: int) -> tuple[float, ...]:
    """Read water levels in metres, one for each date. Raises GridError for another number of them."""
    levels = _floats("flood_m", value)
    if levels.ndim == 0:
        return (float(levels),) * dates
    if levels.shape != (dates,):
        raise GridError(
            f"flood_m: expected one flood level, or one for each of {count_of(dates, 'date')}; got "
            f"{count_of(levels.size, 'level')}."
        )
    return tuple(levels.tolist())


def _floats(name: str, value: object) -> npt.NDArray[np.float64]:
    """Read finite numbers."""
    try:
        numbers = np.asarray(value)
        if numbers.size and numbers.dtype.kind not in "iuf":
            raise TypeError
        if not all(map(math.isfinite, numbers.ravel())):
            raise ValueError
    except (TypeError, ValueError):
        raise OptionError(f"{name}={value!r}: wanted a finite number, or several.") from None
    return numbers.astype("float64")


def _items(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, Sequence | np.ndarray):
        raise OptionError(f"{name}={value!r}: wanted a list; not {type(value).__name__}.")
    return list(value)
