"""Whether what metadata say once can hold for all dates of a cube.

`xarray.concat` and `open_mfdataset` keep the attributes and the file name of the first array, whatever the others had.
So attributes and names of products are compared with the dates before they count. Coordinates are not: xarray compares
them itself, and turns those that differ into one value per date.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cube import Cube, Plane, warn_caller
from .errors import RadiometryError, RadiometryWarning
from .metadata import Fact, step_names, time_axis
from .product_metadata import BASELINES, BOA_ADD_OFFSET, FIRST_DAY_WITH_OFFSET, Product, plain_name, read_day

__all__ = ["check_dates", "days_of"]

_DATES = ("time", "t", "date", "datetime")
_ONE_DAY = np.timedelta64(1, "D")  # time stamps of solar days, and midnight between two granules


def check_dates(
    fact: Fact, offset: float, cube: Cube, planes: Sequence[Plane], *, places: Sequence[int] | None = None
) -> None:
    """Compare a fact without a time axis with the dates for which it decides; a fact with a time axis passes.

    offset: in DN, what it was taken for. places: along time, where it decides; everywhere by default.
    Raises RadiometryError where it cannot hold for a date. Warns RadiometryWarning where it may be right, and nothing
    shows that it is.
    """
    if fact.axis is not None:
        return
    axis, days = days_of(cube, planes)
    several = len(days) > 1
    where = range(len(days)) if places is None else places
    verdicts = {place: _holds(fact, days[place], offset, several=several) for place in where}
    labels = step_names(cube, planes, axis) if axis is not None else [str(day) for day in days]
    if wrong := [labels[place] for place, holds in verdicts.items() if holds is False]:
        raise RadiometryError(
            f"{fact.name} ({_said(fact)}) cannot be that of {_listed(wrong)}: of arrays that are joined, xarray keeps "
            "the attributes and the file name of the first. Before joining, note with each array what it is, "
            "array.assign_coords({'s2:processing_baseline': ('time', ['05.00'])}), or pass offset= with one number for "
            "each date."
        )
    if unsure := [labels[place] for place, holds in verdicts.items() if holds is None]:
        warn_caller(
            f"one {fact.name} ({_said(fact)}) is taken for {_listed(unsure)}: an offset of {offset:g} DN. Of arrays "
            "that are joined, xarray keeps the attributes and the file name of the first, so other dates may have had "
            "another. Pass offset= with one number for each date to be sure.",
            RadiometryWarning,
        )


def days_of(cube: Cube, planes: Sequence[Plane]) -> tuple[int | None, list[np.datetime64 | None]]:
    """Return the time axis, if any, and the day of each place along it, None where it is not known; computes nothing.

    Without a time axis, the one day of a scalar coordinate such as "time".
    """
    axis, coords = time_axis(cube, planes), planes[0].array.coords
    dims = () if axis is None else (cube.lead[axis],)
    names = [*dims, *_DATES, *(name for name, coord in coords.items() if coord.dtype.kind == "M")]
    for name in names:
        coord = coords.get(name)
        if coord is None or coord.dims != dims:
            continue
        days = [read_day(value) for value in np.atleast_1d(np.asarray(coord.values))]
        if any(day is not None for day in days):
            return axis, days
    return axis, [None] * (1 if axis is None else planes[0].array.sizes[cube.lead[axis]])


def _holds(fact: Fact, day: np.datetime64 | None, offset: float, *, several: bool) -> bool | None:
    """Tell whether a fact holds for a day: True, False, or None where it is open.

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
    """Say what a fact says, for a message."""
    value = fact.values[0]
    if isinstance(value, Product):
        days = sorted(map(str, value.days))
        return f"baseline {value.baseline:05.2f}{f' of {_listed(days)}' if days else ''}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:4])}{f' and {len(labels) - 4} others' if len(labels) > 4 else ''}"
