"""Join dates by a network that reads several: what the tasks of `multiframe` run for it. Arrays, no cubes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..registration.warping import FloatArray
from ..spec import Tile
from ..tiling.source import Source
from . import series_weights
from .readers import trim
from .series_block import AlignedDates, DatesRecipe, aligned_parts

BESIDE = 1
"""Input pixels around the halo of a network that holes of the reference are filled from, which are moved linearly."""


@dataclass(frozen=True)
class NetworkRecipe(DatesRecipe):
    """How a block of several dates is computed by a network.

    kernel: of the network. out_of: for each band of the output, the band whose NaN it inherits. give: for each, its
    position among those that the network returns.
    """

    kernel: kernels.KernelRef
    out_of: tuple[int, ...]
    give: tuple[int, ...]

    @property
    def scale(self) -> int:
        """Output pixels per input pixel."""
        return self.kernel.spec.scale


def fuse_dates_block(source: Source, tile: Tile, recipe: NetworkRecipe) -> FloatArray:
    """Compute one block: (plane, height * scale, width * scale), estimates, number of dates that were read, weights.

    source, and how weights are held: as for `series_block.join_block`. NaN where the reference is not valid and
    no date fills it.
    """
    scale, halo = recipe.scale, recipe.margin - BESIDE
    kernel = kernels.build_series(recipe.kernel)
    count = len(recipe.give)
    planes = count + 1 + series_weights.planes_for(recipe.dates, scale)
    out = np.full((planes, tile.height * scale, tile.width * scale), np.nan, np.float32)
    for place, seen in aligned_parts(source, tile, recipe):
        fine_rows, fine_columns = (slice(each.start * scale, each.stop * scale) for each in place)
        known = trim(seen.known, recipe.margin)
        weights = _weights(seen, recipe)
        total = np.where(known.any(axis=0), weights.sum(axis=0), 0)
        out[count, fine_rows, fine_columns] = _repeat(total, scale)
        series_weights.write(weights, out[count + 1 :, fine_rows, fine_columns])
        if not known.any():
            continue
        y, x = (
            (start + each.start, start + each.stop) for (start, _), each in zip((tile.y, tile.x), place, strict=True)
        )
        fine = kernel(trim(_shown(seen, kernel.dates), BESIDE), Tile(y=y, x=x, lead=tile.lead, halo=halo))
        valid = _repeat(known[list(recipe.out_of)], scale)
        out[:count, fine_rows, fine_columns] = np.where(valid, fine[list(recipe.give)], np.nan)
    return out


def _shown(seen: AlignedDates, count: int) -> FloatArray:
    """Return the dates as a network reads them, (date, band, y, x).

    Pixels of a date that are not valid, and dates that are missing, are those of the reference.
    """
    shown = np.repeat(seen.reference[None], count, axis=0)
    for image, other, visible in zip(shown[1:], seen.others, seen.beside(0), strict=False):
        np.copyto(image, other, where=visible)
    return shown


def _weights(seen: AlignedDates, recipe: NetworkRecipe) -> FloatArray:
    """Return 1 where a date is valid, and among those that the network reads: (date, y, x) without the margin."""
    valid, visible = trim(seen.valid, recipe.margin), trim(seen.beside(0) | seen.shown, recipe.margin)
    weights = np.zeros((recipe.dates, *valid.shape), np.float32)
    weights[0] = valid
    for date, own in zip(seen.counted, visible, strict=True):
        weights[date + 1] = own
    return weights


def _repeat(image: NDArray[Any], scale: int) -> NDArray[Any]:
    return image.repeat(scale, axis=-2).repeat(scale, axis=-1)
