"""What happens inside one task of a fusion without weights: bands with wider pixels, guided by those with finer ones.

    take both -> reflectance -> judge -> fill NaN -> guided fusion -> NaN back in place

The coarse bands come on their own grid, or on the fine one with each pixel repeated, or resampled by someone. On the
fine grid the mean of the fine pixels that a coarse one covers is its sample: repeated pixels are their own mean.
Arrays only, at module level, so that it runs on any worker.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from ..errors import GridError
from ..kernels.fill import fill
from ..radiometry.convert import Radiometry, to_reflectance_block
from ..radiometry.judge import core_of, read_block
from ..spec import Tile
from ..tiling.two_resolutions import owned, repeated, whole_blocks
from .block import Recipe, blanked, trim
from .fusing import COARSE_STACK, NATIVE_SHARE, Second, note_layout, share_constant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tiling.source import Source

__all__ = ["guide_block"]


def guide_block(
    source: Source, tile: Tile, recipe: Recipe, second: Second, guidance: kernels.Guidance
) -> NDArray[np.float32]:
    """Make one block: (*lead, band, height * scale, width * scale) float32, NaN where its own band is not valid.

    source: stack 0 the fine bands, stack 1, if there, a mask, stack 2 or `source.coarse` the coarse bands.
    Raises RadiometryError where the numbers cannot be reflectance, GridError where layout="native" is not so.
    """
    halo, lead = recipe.halo, tuple(stop - start for start, stop in tile.lead)
    size = (tile.height + 2 * halo, tile.width + 2 * halo)
    coarse, missing, at = _samples(source, tile, second, halo, guidance.ratio)
    shown = repeated(missing, at, size, guidance.ratio) if missing.any() else None
    if shown is not None and source.coarse is None:  # what was resampled has holes of any shape
        shown = np.isnan(to_reflectance_block(source.take(halo, COARSE_STACK), second.radiometry, tile))
    core = None if shown is None else trim(shown, halo)
    if core is not None and core.all():
        scale = guidance.scale
        return np.full_like(coarse, np.nan, shape=(*core.shape[:-2], tile.height * scale, tile.width * scale))
    if missing.any():
        wide, _, wide_at = _samples(source, tile, second, 2 * halo, guidance.ratio)
        filled = fill(wide, steps=halo // guidance.ratio)
        top, left = ((n + halo - m) // guidance.ratio for n, m in zip(wide_at, at, strict=True))
        coarse = filled[..., top : top + coarse.shape[-2], left : left + coarse.shape[-1]]
    fine = _guides(source, tile, recipe) if guidance.guided else np.zeros_like(coarse, shape=(*lead, 1, *size))
    fine, coarse = (block.reshape(-1, *block.shape[-3:]) for block in (fine, coarse))
    out = kernels.sharpen(fine, coarse, at, tile, guidance)
    return blanked(out.reshape(*lead, *out.shape[-3:]), core, source, recipe)


def _guides(source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Return the fine bands with halo, filled: a hole in a guide costs no pixel of what it guides."""
    fine = read_block(source.take(recipe.halo), recipe.radiometry, tile, core_of(tile, recipe.halo))
    if np.isnan(fine).any():
        wide = to_reflectance_block(source.take(2 * recipe.halo), recipe.radiometry, tile)
        fine = trim(fill(wide, steps=recipe.halo), recipe.halo)
    return fine


def _samples(
    source: Source, tile: Tile, second: Second, halo: int, ratio: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[int, int]]:
    """Get the coarse pixels, NaN where one is missing, where that is, and where in them the tile with halo begins."""
    if source.coarse is not None:
        raw, at = source.coarse.take(halo)
        coarse = read_block(raw, second.radiometry, tile, owned(tile, halo, at, raw.shape, ratio))
    else:
        raw, at = whole_blocks(source, halo, second.origin, ratio, stack=COARSE_STACK)
        if second.layout != "resampled" and (share := share_constant(raw)) < NATIVE_SHARE:
            _say_resampled(tile, second, share, ratio)
        *lead, planes, _, _, height, width = raw.shape
        # Each of the fine pixels that a coarse one covers, as a band of its own.
        radiometry = _repeated_bands(second.radiometry, ratio**2)
        parts = raw.reshape(*lead, planes * ratio**2, height, width)
        parts = read_block(parts, radiometry, tile, owned(tile, halo, at, parts.shape, ratio), compare=False)
        parts = parts.reshape(*lead, planes, ratio**2, height, width)
        # In double precision: repeated pixels are then exactly their own mean.
        coarse = parts.mean(axis=-3, dtype="float64").astype("float32")
    return coarse, np.isnan(coarse), at


def _say_resampled(tile: Tile, second: Second, share: float, ratio: int) -> None:
    if second.layout == "native":
        raise GridError(
            f"Block {tile}: layout='native' says that coarser bands have each pixel repeated {ratio} x {ratio}; only "
            f"{share:.0%} of the blocks are one value. Hand them in on their own grid (other=), or pass "
            "layout='resampled'."
        )
    note_layout(
        tile,
        f"bands of pixels {ratio} times wider stand on the finer grid, and not as repeated pixels, or not at multiples "
        "of their size (in {blocks}): somebody has resampled them. Their means are taken as samples; the sensor's own "
        "pixels give more detail. Load them on their own grid (other=). To silence this: layout='resampled'.",
    )


def _repeated_bands(radiometry: Radiometry, times: int) -> Radiometry:
    """Say what numbers mean where each band is repeated so many times."""
    names = tuple(f"{name} {part}" for name in radiometry.names for part in range(times))
    return replace(radiometry, names=names, dark=tuple(place * times for place in radiometry.dark))
