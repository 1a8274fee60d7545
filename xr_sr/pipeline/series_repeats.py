"""Find dates that show a region with the very pixels of another date of their overpass, and so count once.

A date that is there twice, and the same image in overlapping tiles, are one measurement; kriging would take them for
two. Where only a part of a region is repeated, `series_block` leaves out those pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..kernels.kriging_filters import Doubles
from ..spec import Tile
from ..tiling.source import Source
from .series_block import WEIGHT
from .series_regions import dates_of


def find_repeats(source: Source, tile: Tile, bands: int, same_pass: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    """Return for each date whether all its valid pixels in a region are those of others that count.

    source: as for `series_block.join_block`, without the table. same_pass: as of `DatesRecipe`. The first date, the
    reference, counts, and of those that repeat each other the last.
    """
    dates = dates_of(source, bands)
    valid = np.logical_and.reduce(np.isfinite(dates), axis=1)
    repeated = np.zeros(len(dates), bool)
    for date in sorted(range(1, len(dates)), key=lambda each: np.count_nonzero(valid[each])):
        own = valid[date].copy()
        for other in range(len(dates)):
            if not repeated[other] and (other in same_pass[date] or date in same_pass[other]):
                own &= ~np.logical_and.reduce(dates[date] == dates[other], axis=0)
        repeated[date] = valid[date].any() and not own.any()
    return repeated


def without_repeats(table: Doubles, dates: Sequence[int], found: Sequence[NDArray[np.bool_]]) -> Doubles:
    """Return a table in which dates weigh nothing in regions where they repeat others.

    dates: places of those that were looked at, the reference first. found: of `find_repeats`, region by region.
    """
    counted = table.copy()
    flat = counted.reshape(-1, *table.shape[2:])
    for region, repeated in zip(flat, found, strict=True):
        for date, repeats in zip(dates[1:], repeated[1:], strict=True):
            if repeats:
                region[date - 1, WEIGHT] = 0
    return counted
