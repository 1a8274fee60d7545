"""What happens inside one task: a tile of numbers becomes a block of finer reflectance.

    take the tile -> reflectance -> judge -> fill NaN -> kernel -> NaN back in place

Arrays only, at module level, so that it runs on any worker. `halo` hands in the tile, `pipeline` the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import kernels
from .digital_numbers import Radiometry, judge_block, to_reflectance_block
from .kernels.fill import fill
from .spec import Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .halo import Source


@dataclass(frozen=True)
class Recipe:
    """How a block is made.

    halo: input pixels that the kernel depends on. out_of: for each band of the output, the input plane whose NaN it
    inherits. give: for each band of the output, its place among the bands that the kernel gives.
    """

    kernel: kernels.KernelRef
    radiometry: Radiometry
    halo: int
    out_of: tuple[int, ...]
    give: tuple[int, ...]

    @property
    def reach(self) -> int:
        """Input pixels that a block depends on where NaN is filled: the fill reads `halo` beyond the kernel's."""
        return 2 * self.halo


def upscale_block(source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Make one block: (*lead, band_out, height * scale, width * scale) float32, NaN where the input is not valid.

    source: stack 0 the planes that the kernel reads, in its order; stack 1, if there, a mask, True where values are
    kept.
    Raises RadiometryError where the numbers cannot be reflectance.
    """
    scale, halo = recipe.kernel.spec.scale, recipe.halo
    lead = tuple(stop - start for start, stop in tile.lead)
    size = (tile.height * scale, tile.width * scale)
    block = to_reflectance_block(source.take(halo), recipe.radiometry, tile)
    judge_block(block, recipe.radiometry, tile)
    missing = np.isnan(block)
    if missing.any():
        core = np.isnan(_trim(block, halo))
        if core.all():
            return np.full_like(block, np.nan, shape=(*lead, len(recipe.out_of), *size))
        # What is filled depends on pixels as far away as it is itself, so the tile needs the halo once more.
        wide = to_reflectance_block(source.take(recipe.reach), recipe.radiometry, tile)
        block = _trim(fill(wide, steps=halo), halo)
    else:
        core = None
    planes = block.reshape(-1, *block.shape[-3:])
    fine = kernels.build(recipe.kernel)(planes, tile)
    if recipe.give != tuple(range(fine.shape[1])):
        fine = fine[:, list(recipe.give)]
    out = fine.reshape(*lead, len(recipe.out_of), *size)
    if core is not None:
        _blank(out, core[..., list(recipe.out_of), :, :], scale)
    if source.has(1):
        _blank(out, ~source.take(0, stack=1).astype(bool), scale)
    return out


def _trim(block: NDArray[Any], halo: int) -> NDArray[Any]:
    return block[..., halo : block.shape[-2] - halo, halo : block.shape[-1] - halo]


def _blank(out: NDArray[np.float32], where: NDArray[np.bool_], scale: int) -> None:
    """Write NaN over the footprint of input pixels."""
    if where.any():
        fine = where.repeat(scale, axis=-2).repeat(scale, axis=-1)
        np.copyto(out, np.float32(np.nan), where=fine)
