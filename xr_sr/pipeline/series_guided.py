"""Upscale 20 m bands of one date with the 10 m bands of many: what the tasks of `multiframe` run for two grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..kernels import BandSensor
from ..registration.warping import FloatArray
from ..spec import Tile
from ..tiling.source import Source
from .readers import Second, coarse_samples
from .series_block import FILLED, SeriesRecipe, joined, read_dates


@dataclass(frozen=True)
class GuidedRecipe:
    """How 20 m bands are computed beside the bands that guide them.

    sensors: of the 20 m bands. factors: by which their deviations are multiplied, as in `Spread`. second: how they are
    read. fine: positions of the guides that are returned.
    """

    sensors: tuple[BandSensor, ...]
    factors: tuple[tuple[float, float, float], ...]
    second: Second
    fine: tuple[int, ...]

    @property
    def bands(self) -> int:
        """Number of bands that are returned."""
        return len(self.fine) + len(self.sensors)


def reach_of(series: SeriesRecipe, guided: GuidedRecipe) -> int:
    """Return the input pixels around a block that it depends on; holes of 20 m bands are filled from twice as far."""
    around, consumed = kernels.guided_reach(guided.sensors, series.scale)
    return max(series.context + around + 2 + 2 * FILLED, consumed + 2 + FILLED, 2 * (consumed + 2))


def join_guided_block(source: Source, tile: Tile, recipe: SeriesRecipe, guided: GuidedRecipe) -> FloatArray:
    """Compute one block: (plane, height * scale, width * scale), as `join_block`, the guides before the others.

    source: as for `join_block`, and the 20 m bands of the reference. A 20 m band is NaN where its own pixel is.
    """
    scale = recipe.scale
    around, consumed = kernels.guided_reach(guided.sensors, scale)
    halo = consumed + 2
    samples = coarse_samples(source, tile, guided.second, halo, 2)
    # Along each axis: input pixels of the first and the last 20 m pixel of the tile that lie beside it.
    sides = tile.height, tile.width
    before = [(start + halo) % 2 for start in samples.start]
    after = [(start + halo + side) % 2 for start, side in zip(samples.start, sides, strict=True)]
    whole = [side + b + a for side, b, a in zip(sides, before, after, strict=True)]
    made = joined(source, tile, recipe, around + 2)
    rows, columns = (
        slice((2 - b) * scale, (2 - b + side + 2 * around) * scale) for b, side in zip(before, whole, strict=True)
    )
    fine = np.ascontiguousarray(made[: recipe.bands, rows, columns])
    dates, _ = read_dates(source, recipe, halo)
    measured = np.ascontiguousarray(
        dates[0][
            :,
            2 - before[0] : 2 - before[0] + whole[0] + 2 * consumed,
            2 - before[1] : 2 - before[1] + whole[1] + 2 * consumed,
        ]
    )
    first = [(start + 2 - b) // 2 for start, b in zip(samples.start, before, strict=True)]
    own = samples.filled()[
        :,
        first[0] : first[0] + (whole[0] + 2 * consumed) // 2,
        first[1] : first[1] + (whole[1] + 2 * consumed) // 2,
    ]
    coarse = kernels.guide_bands(
        (guided.sensors, recipe.sensors, guided.factors, scale, recipe.device),
        np.ascontiguousarray(own, np.float32),
        measured,
        fine,
    )
    top, left = (b * scale for b in before)
    height, width = tile.height * scale, tile.width * scale
    inner = (slice(None), slice(top, top + height), slice(left, left + width))
    hidden = samples.missing_on((tile.height + 2 * halo, tile.width + 2 * halo))[..., halo:-halo, halo:-halo]
    hidden = hidden.repeat(scale, axis=-2).repeat(scale, axis=-1)
    edge = (around + 2) * scale
    tile_of = made[:, edge : edge + height, edge : edge + width]
    count, picked = recipe.bands, list(guided.fine)
    planes = [tile_of[picked], np.where(hidden, np.nan, coarse[0][inner])]
    planes += [tile_of[count : 2 * count][picked], np.where(hidden, np.nan, coarse[1][inner])]
    known = np.isfinite(tile_of[count : 2 * count])
    planes[0] = np.where(known[picked], planes[0], np.nan)
    return np.concatenate([*planes, tile_of[2 * count :]]).astype("float32")
