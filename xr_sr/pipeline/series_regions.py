"""What tasks of `multiframe` do region by region: compare dates, and put a window's comparisons into a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..kernels.kriging_filters import Doubles
from ..registration.anchors import ComparedRegion, against_reference, compare_dates
from ..registration.parts import RegionDates, Section
from ..registration.series import is_known, rounded, settled, weights_of
from ..registration.warping import FloatArray
from ..spec import Tile
from ..tiling.source import Source
from .series_block import ASSUMED, DOWN, FIRST, QUALITY, RIGHT, WEIGHT


def compare_region(source: Source, tile: Tile, bands: int, measured: Sequence[int], max_shift: float) -> ComparedRegion:
    """Compare the dates of one region with the first, in the bands whose places are `measured`.

    source: as for `series_block.join_block`, without the table.
    """

    def read(part: Section) -> FloatArray:
        rows, columns = (
            (first + each.start, first + each.stop) for first, each in zip((tile.y[0], tile.x[0]), part, strict=True)
        )
        return dates_of(source.of(replace(tile, y=rows, x=columns)), bands)

    return compare_dates(RegionDates(read, (tile.height, tile.width), measured, max_shift))


def dates_of(source: Source, bands: int) -> FloatArray:
    """Return (date, band, y, x) of a source's tile, NaN where a value is not valid or hidden by a mask."""
    planes = np.asarray(source.take(0), np.float32)
    dates = planes.reshape(-1, bands, *planes.shape[-2:])
    if source.has(1):
        dates = np.where(source.take(0, 1).astype(bool)[:, None], dates, np.float32(np.nan))
    return dates


def table_of(given: Sequence[ComparedRegion], shape: tuple[int, int], bands: int, max_shift: float) -> Doubles:
    """Return the table of one window, (region y, region x, date, number), from the comparisons of its regions.

    A date that could not be measured in a region takes its shift and brightness from the others. It counts for nothing
    there; but where it only has too few pixels in common with the reference, it weighs what it does in the others.
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
            assumed = any(each.assumed for each in seen)
            table[place, date, QUALITY] = ASSUMED if assumed else shift.quality
            if own is not None:
                numbers = np.concatenate([own.gain, own.offset])
            elif seen:
                numbers = np.median([np.concatenate([each.gain, each.offset]) for each in seen], axis=0)
            else:
                continue
            table[place, date, FIRST:] = numbers
    for place, region in enumerate(regions):
        table[place, :, WEIGHT] = weights_of([each.residual for each in region])
    weights = table[..., WEIGHT].copy()
    for date in range(dates):
        found = [region[date] for region in regions]
        seen_in = [place for place, each in enumerate(found) if is_known(each)]
        for place, each in enumerate(found):
            if seen_in and math.isnan(each.residual):
                table[place, date, WEIGHT] = rounded(float(np.median(weights[seen_in, date])))
    unknown = ~np.isfinite(table[..., :2]).all(axis=-1)
    table[unknown, WEIGHT] = 0
    return table.reshape(*shape, dates, FIRST + 2 * bands)
