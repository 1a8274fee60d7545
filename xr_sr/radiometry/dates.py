"""Whether what metadata say once can hold for all dates of a cube.

`xarray.concat` and `open_mfdataset` keep the attributes and the file name of the first array, whatever the others had.
So attributes and names of products are compared with the dates before they count. Coordinates are not: xarray compares
them itself, and turns those that differ into one value per date.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..cube.product_metadata import (
    BASELINES,
    BOA_ADD_OFFSET,
    FIRST_BASELINE_WITH_OFFSET,
    FIRST_DAY_WITH_OFFSET,
    Product,
    plain_name,
    read_day,
)
from ..cube.select import Cube, Plane
from ..cube.time import DATES
from ..errors import RadiometryError, RadiometryWarning, warn_caller
from .metadata import Fact, step_names, time_axis

__all__ = ["check_dates", "days_of", "listed_steps"]

_ONLY_THE_FIRST = "xarray.concat and open_mfdataset keep the attributes and the file name of the first array only"
_ONE_DAY = np.timedelta64(1, "D")  # time stamps of solar days, and midnight between two granules


def check_dates(
    fact: Fact, offset: float, cube: Cube, planes: Sequence[Plane], *, places: Sequence[int] | None = None
) -> None:
    """Compare a fact without a time axis with the dates for which it decides; a fact with a time axis passes.

    offset: in DN, what the fact means. places: along time, where it decides; everywhere by default.
    Raises RadiometryError where it cannot hold for a date. Warns RadiometryWarning where it may be right, and nothing
    shows that it is.
    """
    if fact.axis is not None:
        return
    axis, days = days_of(cube, planes)
    several = len(days) > 1
    where = range(len(days)) if places is None else places
    verdicts = {place: _holds(fact, days[place], offset, several=several) for place in where}
    labels = step_names(cube, planes, axis) if several and axis is not None else [str(day) for day in days]
    if wrong := [place for place, holds in verdicts.items() if holds is False]:
        raise _contradiction(
            fact, [labels[place] for place in wrong], cube.lead[axis] if several and axis is not None else ""
        )
    if unsure := [labels[place] for place, holds in verdicts.items() if holds is None]:
        warn_caller(
            f"an offset of {offset:g} DN is used for {listed_steps(unsure)}, by one {fact.name} ({_said(fact)}) for "
            f"all dates. {_ONLY_THE_FIRST}, so other dates may have had another. Pass offset= with one number for each "
            "date to be sure.",
            RadiometryWarning,
        )


def _contradiction(fact: Fact, dates: Sequence[str], dim: str) -> RadiometryError:
    """Make the error of a fact that cannot hold for some dates. dim: of several dates; "" where the cube has one."""
    found = f"{fact.name} ({_said(fact)}) cannot be that of {listed_steps(dates)}"
    if isinstance(fact.values[0], Product):
        why = "that product was sensed on another day"
    else:
        why = f"products of {FIRST_DAY_WITH_OFFSET} and later have baseline {FIRST_BASELINE_WITH_OFFSET:05.2f} or later"
    baseline = "'s2:processing_baseline'"
    if dim:
        joined = f" {_ONLY_THE_FIRST}. Before joining" if fact.kept else " Instead"
        return RadiometryError(
            f"{found}: {why}.{joined}, give each array its own, array.assign_coords({{{baseline}: ('{dim}', "
            "['05.00'])}), or pass offset= with one number for each date."
        )
    return RadiometryError(
        f"{found}, the date of the cube: {why}. Correct what is wrong, the date or the metadata, "
        f"cube.assign_coords({{{baseline}: '05.00'}}), or pass offset=: -1000 where the pixels are as ESA delivers "
        "them from baseline 04.00 on, else 0."
    )


def days_of(cube: Cube, planes: Sequence[Plane]) -> tuple[int | None, list[np.datetime64 | None]]:
    """Return the time axis, if any, and the day of each place along it, None where it is not known; computes nothing.

    Without a time axis, the one day of a scalar coordinate such as "time".
    """
    axis, coords = time_axis(cube, planes), planes[0].array.coords
    dims = () if axis is None else (cube.lead[axis],)
    names = [*dims, *DATES, *(name for name, coord in coords.items() if coord.dtype.kind == "M")]
    for name in names:
        coord = coords.get(name)
        if coord is None or coord.dims != dims:
            continue
        days = [read_day(value) for value in np.atleast_1d(np.asarray(coord.values))]
        if any(day is not None for day in days):
            return axis, days
    return axis, [None] * (1 if axis is None else planes[0].array.sizes[cube.lead[axis]])


def _holds(fact: Fact, day: np.datetime64 | None, offset: float, *, several: bool) -> bool | None:
    """Return whether a fact holds for a day: True, False, or None where it is open.

    From `FIRST_DAY_WITH_OFFSET` on, all products have the offset, whichever is meant.
    """
    value = fact.values[0]
    late = day is not None and day >= FIRST_DAY_WITH_OFFSET
    if isinstance(value, Product):
        if day is None or not value.days:
            return None if several else True
        return bool(late and offset == BOA_ADD_OFFSET) or any(
            bool(abs(day - other) <= _ONE_DAY) for other in value.days
        )
    if late and offset == BOA_ADD_OFFSET:
        return True
    if late and plain_name(fact.name) in BASELINES and (fact.kept or several):
        return False
    return None if fact.kept and several else True


def _said(fact: Fact) -> str:
    """Return the value of a fact as text, for a message."""
    value = fact.values[0]
    if isinstance(value, Product):
        days = sorted(map(str, value.days))
        return f"baseline {value.baseline:05.2f}{f' of {listed_steps(days)}' if days else ''}"
    if isinstance(value, float) and plain_name(fact.name) in BASELINES:
        return f"{value:05.2f}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed_steps(labels: Sequence[str]) -> str:
    """Write dates for a message: all of a few, else the first four and how many others there are."""
    return f"{', '.join(labels[:4])}{f' and {len(labels) - 4} others' if len(labels) > 4 else ''}"
