"""Compare the dates of a series region by region, also where the reference shows too little: with another date, there.

That date, the anchor, is the one with most valid pixels in the region. What is found against it is expressed relative
to the reference, by what is known of both from other regions; else the reference is taken to lie where the anchor does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..kernels.kriging_filters import Doubles
from .estimate import NOTHING, Shift, judged
from .parts import RegionDates
from .series import LEAST_SHARE, Compared, is_known

POOR = 0.5
"""A reference that has fewer valid pixels than this share of those of the best date is poor, where dates fail on it."""

SAME_DATE = Shift(0.0, 0.0, 1.0, 0.0, True)


@dataclass(frozen=True, eq=False)
class ComparedRegion:
    """The dates of one region, compared.

    valid: share of valid pixels of each date, the reference first. direct: the others, compared with the reference.
    anchor: place among these of the date that they were compared with beside, or None. beside: those which could not be
    compared with the reference, compared with the anchor, by their place; and one of the others.
    """

    valid: tuple[float, ...]
    direct: tuple[Compared, ...]
    anchor: int | None
    beside: dict[int, Compared]


def compare_dates(dates: RegionDates) -> ComparedRegion:
    """Compare the dates of one region; the first is the reference."""
    valid = tuple(map(float, dates.valid))
    direct, others = tuple(dates.against(0, range(1, len(valid)))), valid[1:]
    lost = [n for n, share in enumerate(others) if share >= LEAST_SHARE and not is_known(direct[n])]
    if not lost or valid[0] >= POOR * max(others):
        return ComparedRegion(valid, direct, None, {})
    anchor = max(range(len(others)), key=lambda n: (others[n], n))  # the latest of equal ones
    beside = [n for n in lost if n != anchor]
    if known := [n for n, each in enumerate(direct) if anchor in lost and is_known(each)]:
        beside.append(max(known, key=lambda n: others[n]))  # by way of it the anchor lies where the reference does
    found = dict(zip(beside, dates.against(anchor + 1, [n + 1 for n in beside]), strict=True))
    return ComparedRegion(valid, direct, anchor, {n: each for n, each in found.items() if is_known(each)})


def against_reference(regions: Sequence[ComparedRegion], bands: int, max_shift: float) -> list[list[Compared]]:
    """Return the comparisons of all regions, by date, relative to the reference.

    A date that was compared with the reference in some regions has no shift in those where it was compared with an
    anchor only, but a residual: its shift there is that of the others. Where nothing links an anchor to the reference,
    it is taken to lie as the reference does, and what was compared with it is `assumed`.
    """
    made = [list(region.direct) for region in regions]
    known: dict[int, Compared] = {}
    for date in range(len(made[0])):
        if seen := [each[date] for each in made if is_known(each[date])]:
            known[date] = _middle(seen)
    direct = set(known)
    left = [place for place, region in enumerate(regions) if region.anchor is not None]
    while left:
        links = {place: _link(regions[place], known) for place in left}
        place = next((place for place in left if links[place] is not None), None)
        if place is None:
            known[_most_shown([regions[place] for place in left])] = replace(_same(bands), assumed=True)
            continue
        left.remove(place)
        region, link = regions[place], links[place]
        assert region.anchor is not None
        assert link is not None
        rests = [each.residual for each in region.beside.values()]
        found = {**region.beside, region.anchor: replace(_same(bands), residual=float(np.median(rests or [0.0])))}
        for date, each in found.items():
            if is_known(region.direct[date]):
                continue
            if date in direct:
                made[place][date] = replace(each, shift=NOTHING)
                continue
            made[place][date] = _after(each, link, max_shift)
            known.setdefault(date, made[place][date])
    return made


def _link(region: ComparedRegion, known: dict[int, Compared]) -> Compared | None:
    """Return the anchor of a region against the reference, from what is known of it or of dates beside it."""
    assert region.anchor is not None
    if region.anchor in known:
        return known[region.anchor]
    through = [_without(known[date], each) for date, each in region.beside.items() if date in known]
    return _middle(through) if through else None


def _most_shown(regions: Sequence[ComparedRegion]) -> int:
    """Return the anchor that shows most in all regions."""
    shares: dict[int, float] = {}
    for region in regions:
        assert region.anchor is not None
        shares[region.anchor] = shares.get(region.anchor, 0) + region.valid[region.anchor + 1]
    return max(shares, key=lambda date: (shares[date], date))


def _same(bands: int) -> Compared:
    return Compared(SAME_DATE, np.ones(bands), np.zeros(bands), 0.0)


def _middle(several: Sequence[Compared]) -> Compared:
    """Return the medians of shifts, gains and offsets, with the largest error of a shift."""
    numbers: list[Doubles] = [
        np.median([[each.shift.dy, each.shift.dx] for each in several], axis=0),
        np.median([each.gain for each in several], axis=0),
        np.median([each.offset for each in several], axis=0),
    ]
    error, quality = max(each.shift.error for each in several), min(each.shift.quality for each in several)
    shift = Shift(float(numbers[0][0]), float(numbers[0][1]), quality, error, True)
    residual = float(np.median([each.residual for each in several]))
    return Compared(shift, numbers[1], numbers[2], residual, any(each.assumed for each in several))


def _after(one: Compared, link: Compared, max_shift: float) -> Compared:
    """Return a date against the reference, from that against the anchor and the anchor against the reference."""
    shift = judged(
        one.shift.dy + link.shift.dy,
        one.shift.dx + link.shift.dx,
        math.hypot(one.shift.error, link.shift.error),
        max_shift,
    )
    return Compared(shift, one.gain * link.gain, one.gain * link.offset + one.offset, one.residual, link.assumed)


def _without(known: Compared, one: Compared) -> Compared:
    """Return the anchor against the reference, from a date against the reference and against the anchor."""
    error = math.hypot(known.shift.error, one.shift.error)
    shift = Shift(known.shift.dy - one.shift.dy, known.shift.dx - one.shift.dx, one.shift.quality, error, True)
    return Compared(shift, known.gain / one.gain, (known.offset - one.offset) / one.gain, one.residual, known.assumed)
