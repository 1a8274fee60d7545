"""Choose the part of a region that two of its dates are compared in: where both are valid, and the ground has detail.

Whole regions would take too long. Which dates are compared is decided in `anchors`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..kernels.kriging_filters import Doubles
from .estimate import NOTHING
from .series import LEAST_SHARE, Compared, compare, is_known
from .warping import FloatArray

COMPARED = 128
"""Side in pixels of the parts of a region, at most."""

ENOUGH = 0.9
"""Share of the common pixels of the best part that a part nearer to the middle needs, to serve all dates instead."""

FEW = 0.5
"""The same, for one date: with less it is compared in a part of its own."""

Section: TypeAlias = tuple[slice, slice]


def parts_of(height: int, width: int) -> list[Section]:
    """Return the parts of a region, rows and columns: that in its middle, then those of a grid, the nearest first."""
    middle = [_at((side - COMPARED) // 2 if side > COMPARED else 0, side) for side in (height, width)]
    if max(height, width) <= COMPARED:
        return [(middle[0], middle[1])]
    rows, columns = ([_at(first, side) for first in _firsts(side)] for side in (height, width))
    grid = [(row, column) for row in rows for column in columns]
    away = [sum((one.start - other.start) ** 2 for one, other in zip(part, middle, strict=True)) for part in grid]
    return [(middle[0], middle[1]), *(grid[place] for place in np.argsort(away, kind="stable"))]


def _firsts(length: int) -> list[int]:
    """Return where the parts of a grid begin along an axis, evenly; they overlap where it is no multiple."""
    places = np.linspace(0, max(length - COMPARED, 0), math.ceil(length / COMPARED))
    return [round(float(place)) for place in places]


def _at(first: int, length: int) -> slice:
    return slice(first, min(first + COMPARED, length))


class RegionDates:
    """The dates of one region.

    read: returns a part of all dates, (date, band, y, x) reflectance with NaN where not valid. shape: of the region.
    measured, max_shift: as in `series.compare`.
    """

    def __init__(
        self, read: Callable[[Section], FloatArray], shape: tuple[int, int], measured: Sequence[int], max_shift: float
    ) -> None:
        self.read, self.measured, self.max_shift = read, measured, max_shift
        self.parts = parts_of(*shape)
        self.bands = read(self.parts[0]).shape[1]
        self._seen: list[NDArray[np.bool_]] = [np.asarray(np.isfinite(read(part)).all(axis=1)) for part in self.parts]
        # Without the part in the middle, whose pixels lie in others too.
        self.valid: Doubles = np.mean([seen.mean(axis=(1, 2)) for seen in self._seen[1:] or self._seen], axis=0)
        """Share of valid pixels of each date."""

    def against(self, reference: int, dates: Sequence[int]) -> list[Compared]:
        """Compare some dates with one.

        All in the same part, the nearest to the middle of those in which they have most pixels in common with the
        reference; a date that has few there, in that where it has most. One that could not be measured is compared once
        more, where the reference has most detail. The residual is infinite where that fails too, and NaN of a date that
        has too few pixels in common everywhere.
        """
        if not dates:
            return []
        both = (np.logical_and(seen, seen[reference])[[*dates]] for seen in self._seen)
        common = np.array([each.mean(axis=(1, 2)) for each in both])
        most, total = common.max(axis=0), common.sum(axis=1)
        shared = int(np.argmax(total >= ENOUGH * total.max()))
        first = [
            shared if enough else int(best)
            for enough, best in zip(common[shared] >= FEW * most, common.argmax(0), strict=True)
        ]
        nothing = Compared(NOTHING, np.ones(self.bands), np.zeros(self.bands), math.nan)
        found = self._compared(reference, {n: first[n] for n in range(len(dates)) if most[n] >= LEAST_SHARE}, dates)
        again = {}
        for n in (n for n, each in found.items() if not is_known(each)):
            usable = np.flatnonzero(common[:, n] >= FEW * most[n])
            if others := [int(part) for part in usable if part != first[n]]:
                again[n] = max(others, key=lambda part: self._detail(reference, part))
        found |= {n: each for n, each in self._compared(reference, again, dates).items() if is_known(each)}
        for n in found:
            part = again.get(n, first[n])
            if part != shared and is_known(found[n]):
                found[n] = self._as_in(shared, part, reference, found[n])
        return [found.get(n, nothing) for n in range(len(dates))]

    def _compared(self, reference: int, places: dict[int, int], dates: Sequence[int]) -> dict[int, Compared]:
        """Compare dates, by their number, each in its part."""
        found = {}
        for part in sorted(set(places.values())):
            images = self.read(self.parts[part])
            for n in (n for n, place in places.items() if place == part):
                found[n] = compare(images[dates[n]], images[reference], self.measured, self.max_shift)
        return found

    def _as_in(self, shared: int, part: int, reference: int, found: Compared) -> Compared:
        """Return what was found in a part, comparable with what was in another: residuals grow with detail."""
        here, there = (self._detail(reference, place) for place in (part, shared))
        return replace(found, residual=found.residual * (there / here if 0 < there < here else 1))

    def _detail(self, date: int, part: int) -> float:
        """Return the standard deviation of the differences between neighbors, in reflectance; 0 where none is valid."""
        image = self.read(self.parts[part])[date]
        steps = [np.diff(image, axis=axis) for axis in (-2, -1)]
        squares: NDArray[np.floating] = np.concatenate([np.square(step[np.isfinite(step)]) for step in steps])
        return float(np.sqrt(squares.mean(dtype="float64"))) if squares.size else 0.0
