"""What tasks of `multiframe` do region by region: compare dates, and put a window's comparisons into a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels.kriging_filters import Doubles
from ..registration.anchors import ComparedRegion, against_reference, compare_dates, is_known
from ..registration.series import settled, weights_of
from ..registration.warping import FloatArray
from ..spec import Tile
from ..tiling.source import Source
from .series_block import ANCHOR, DOWN, FIRST, QUALITY, RIGHT, WEIGHT


def compare_region(source: Source, tile: Tile, bands: int, measured: Sequence[int], max_shift: float) -> ComparedRegion:
    """Compare the dates of one region with the first, in the bands whose places are `measured`.

    source: as for `series_block.join_block`, without the table.
    """
    return compare_dates([*_dates(source, bands)], measured, max_shift)


def _dates(source: Source, bands: int) -> FloatArray:
    """Return (date, band, y, x) of a source's tile, NaN where a value is not valid or hidden by a mask."""
    planes = np.asarray(source.take(0), np.float32)
    dates = planes.reshape(-1, bands, *planes.shape[-2:])
    if source.has(1):
        np.copyto(dates, np.float32(np.nan), where=~source.take(0, 1).astype(bool)[:, None])
    return dates


def table_of(given: Sequence[ComparedRegion], shape: tuple[int, int], bands: int, max_shift: float) -> Doubles:
    """Return the table of one window, (region y, region x, date, number), from the comparisons of its regions.

    A date that could not be measured in a region takes what was found in the others, and counts for nothing where it
    was found nowhere.
    """
    regions = against_reference(given, bands, max_shift)
    dates = len(regions[0])
    table = np.zeros((len(regions), dates, FIRST + 2 * bands))
    table[..., FIRST : FIRST + bands] = 1
    for date in range(dates):
        found = [region[date] for region in regions]
        seen = [each for each in found if is_known(each)]
        for place, shift in enumerate(settled([each.shift for each in found], max_shift)):
            own = found[place] if found[place] in seen else None
            table[place, date, DOWN], table[place, date, RIGHT] = 0 - shift.dy, 0 - shift.dx
            exact = own is not None and own.shift.error == 0
            table[place, date, QUALITY] = ANCHOR if exact else shift.quality
            if own is not None:
                numbers = np.concatenate([own.gain, own.offset])
            elif seen:
                numbers = np.median([np.concatenate([each.gain, each.offset]) for each in seen], axis=0)
            else:
                continue
            table[place, date, FIRST:] = numbers
    for place, region in enumerate(regions):
        table[place, :, WEIGHT] = weights_of([each.residual for each in region])
    unknown = ~np.isfinite(table[..., :2]).all(axis=-1)
    table[unknown, WEIGHT] = 0
    return table.reshape(*shape, dates, FIRST + 2 * bands)
