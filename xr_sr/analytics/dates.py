"""Dates of a series by the words of a user: positions along time, whatever the order that the dates lie in."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import shown
from ..errors import CubeError, DuplicateTimeError

When: TypeAlias = Any
"""A selection of time as `.sel(time=...)` takes it: "2023-06", slice("2023-06-01", "2023-06-20"), a list of dates."""

_YEAR_FIRST = re.compile(r"[+-]?\d{4}")


def positions_of(when: When, stamps: xr.DataArray, *, role: str) -> npt.NDArray[np.int64]:
    """Return the positions of the dates that a selection means, ascending in time; at least one.

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
    # Slices want dates in order: of falling ones they would take none, or the others.
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
