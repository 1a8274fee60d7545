"""The conditions of each date of a simulated series: its shift, gain, clouds and haze, and whether the ground changed.

What is given as one number for all dates is drawn here for each, by seed and date alone. Arrays are handled in `sky`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..arguments import check_number, count_of, items_of, shown, whole_or_none
from ..errors import GridError, OptionError
from .dates import Times, days_of, for_each_date, is_single, read_dates
from .noise import Chance, key_of

Shifts: TypeAlias = "float | Sequence[tuple[float, float]]"
"""The longest shift along an axis, for shifts to be drawn; or (dy, dx) of each date."""

PerDate: TypeAlias = "float | Sequence[float]"
"""One number for all dates, or one for each."""


@dataclass(frozen=True)
class DateConditions:
    """What differs between the dates of a series.

    stamp: the date in ns. day: of the year. shift: (dy, dx) by which the content is displaced, in coarse pixels. gain:
    factor of the measured reflectance. clouds: fraction of the scene, 0 to 1. haze: reflectance that is added in B02,
    on average. changed: whether the ground that changes has changed.
    """

    stamp: int
    day: int
    shift: tuple[float, float]
    gain: float
    clouds: float
    haze: float
    changed: bool


def read_conditions(
    times: Times,
    *,
    seed: int,
    shifts: Shifts = 0.0,
    gains: PerDate = 0.0,
    clouds: PerDate = 0.0,
    haze: PerDate = 0.0,
    changed_from: int | str | np.datetime64 | None = None,
    reference: int = 0,
) -> tuple[DateConditions, ...]:
    """Return the conditions of each date.

    shifts, gains: a number is the largest deviation, from 0 and from 1, and each date but the `reference` draws its
    own, uniformly; several are the shifts and gains themselves. clouds, haze: for all dates or one for each.
    changed_from: position of the first date after the change, or a date; by default the middle one.
    Raises OptionError for what is no number or out of bounds, GridError for another count than of dates.
    """
    count = times.size
    stamps = times.astype("int64").tolist()
    kept = stamps[_position("reference", reference, count)]
    cloudy = for_each_date("clouds", clouds, count, least=0, most=1)
    hazy = for_each_date("haze", haze, count, least=0)
    moves = _shifts(shifts, stamps, kept, seed)
    factors = _gains(gains, stamps, kept, seed)
    first = _first_changed(changed_from, times)
    return tuple(
        DateConditions(stamp, day, moves[n], factors[n], cloudy[n], hazy[n], stamp >= first)
        for n, (stamp, day) in enumerate(zip(stamps, days_of(times), strict=True))
    )


def drawn(limit: float, seed: int, *key: str | int) -> tuple[float, float]:
    """Draw two numbers, uniformly between -limit and limit, by seed and key alone."""
    first, second = Chance(seed, key_of("series", *key)).uniform(np.arange(2)).astype("float64") * 2 - 1
    return float(limit * first), float(limit * second)


def _shifts(value: object, stamps: list[int], kept: int, seed: int) -> list[tuple[float, float]]:
    if is_single(value):
        limit = check_number("shifts", value, least=0)
        return [(0.0, 0.0) if stamp == kept else drawn(limit, seed, "shift", stamp) for stamp in stamps]
    pairs = [items_of(pair) for pair in items_of(value) or []]
    if not all(pair is not None and len(pair) == 2 for pair in pairs):
        raise OptionError(
            f"shifts={shown(value)}: expected the longest shift in coarse pixels, or (dy, dx) for each date, such as "
            "[(0, 0), (0.2, -0.4)]."
        )
    if len(pairs) != len(stamps):
        raise GridError(
            f"shifts: expected (dy, dx) for each of {count_of(len(stamps), 'date')}; got "
            f"{count_of(len(pairs), 'pair')}."
        )
    numbers = [[check_number("shifts", number) for number in pair or []] for pair in pairs]
    return [(dy, dx) for dy, dx in numbers]


def _gains(value: object, stamps: list[int], kept: int, seed: int) -> list[float]:
    if is_single(value):
        limit = check_number("gains", value, least=0, most=0.9)
        return [1.0 if stamp == kept else 1 + drawn(limit, seed, "gain", stamp)[0] for stamp in stamps]
    factors = for_each_date("gains", value, len(stamps))
    for factor in factors:
        check_number("gains", factor, above=0)
    return list(factors)


def _position(name: str, value: object, count: int) -> int:
    """Return a position along the dates; negative ones count from the end."""
    place = whole_or_none(value)
    if place is None:
        raise OptionError(f"{name}={shown(value)}: expected the position of a date, 0 for the first, -1 for the last.")
    if not -count <= place < count:
        raise GridError(f"{name}={place}: there is no such position among {count_of(count, 'date')}.")
    return place % count


def _first_changed(value: object, times: Times) -> int:
    """Return the first date after the change in ns."""
    if value is None:
        return int(np.sort(times)[times.size // 2].astype("int64"))
    if whole_or_none(value) is not None:
        return int(times[_position("changed_from", value, times.size)].astype("int64"))
    try:
        return int(read_dates(value)[0].astype("int64"))  # type: ignore[arg-type]  # what is no date raises
    except (OptionError, GridError) as error:
        raise OptionError(
            f"changed_from={shown(value)}: expected the position of a date, such as 4, or a date, such as '2023-07-01'."
        ) from error
