"""What happens inside one task: a tile of numbers becomes a block of finer reflectance.

    take the tile -> reflectance -> judge -> fill NaN -> kernel -> NaN back in place

and for models that work on windows in two tasks: fill and kernel in that of a window, the rest in that of a block.
Arrays only, at module level, so that it runs on any worker. `halo` and `lattice` hand in the tile, `pipeline` the
recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import kernels
from ..kernels.fill import fill
from ..radiometry.convert import Radiometry, to_reflectance_block
from ..radiometry.judge import core_of, read_block
from ..spec import Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tiling.lattice import Blend
    from ..tiling.source import Source


@dataclass(frozen=True)
class Recipe:
    """How a block is made.

    halo: input pixels that the kernel depends on; where it works on windows, the constraint alone. out_of: for each
    band of the output, the input plane whose NaN it inherits. give: for each band of the output, its place among the
    bands that the kernel gives.
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
    block = read_block(source.take(halo), recipe.radiometry, tile, core_of(tile, halo))
    missing = np.isnan(block)
    core = trim(missing, halo) if missing.any() else None
    if core is not None and core.all():
        return np.full_like(block, np.nan, shape=(*lead, len(recipe.out_of), *size))
    if core is not None:
        block = _filled(source, tile, recipe)
    fine = kernels.build(recipe.kernel)(block.reshape(-1, *block.shape[-3:]), tile)
    if recipe.give != tuple(range(fine.shape[1])):
        fine = fine[:, list(recipe.give)]
    return blanked(fine.reshape(*lead, len(recipe.out_of), *size), core, source, recipe)


def upscale_window(source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Make one window: (*lead, band_out, side * scale, side * scale) float32, before the constraint.

    Holes are filled from what the window holds, as far as they go: it is the same window for every block. One that
    holds nothing is NaN, and no kernel is called. Numbers are judged by blocks, which are larger, and not here.
    """
    scale, lead = recipe.kernel.spec.scale, tuple(stop - start for start, stop in tile.lead)
    shape = (*lead, len(recipe.give), tile.height * scale, tile.width * scale)
    block = to_reflectance_block(source.take(0), recipe.radiometry, tile)
    if np.isnan(block).all():
        return np.full_like(block, np.nan, shape=shape)
    block = fill(block, steps=max(tile.height, tile.width))
    fine = kernels.build(recipe.kernel)(block.reshape(-1, *block.shape[-3:]), tile)
    return fine[:, list(recipe.give)].reshape(shape)


def blend_block(blend: Blend, source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Make one block of windows: as `upscale_block`, but for the kernel, which has run already.

    Raises RadiometryError as that does.
    """
    scale, halo, low_pass = recipe.kernel.spec.scale, recipe.halo, recipe.kernel.low_pass
    lead = tuple(stop - start for start, stop in tile.lead)
    shape = (*lead, len(recipe.out_of), tile.height * scale, tile.width * scale)
    block = read_block(source.take(halo), recipe.radiometry, tile, core_of(tile, halo))
    missing = np.isnan(block)
    core = trim(missing, halo) if missing.any() else None
    if core is not None and core.all():
        return np.full_like(block, np.nan, shape=shape)
    if low_pass is None:
        return blanked(blend.take(0), core, source, recipe)
    fine = blend.take(halo)
    if core is not None:
        block = _filled(source, tile, recipe)
        # Where a window was empty the constraint is given what it will compare with, so that it changes nothing.
        fine = np.where(np.isnan(fine), _repeat(block[..., list(recipe.out_of), :, :], scale), fine)
    fine = trim(fine, halo * scale - low_pass.radius)
    coarse = block[..., list(recipe.out_of), :, :]
    out = kernels.constrain_blend(
        recipe.kernel,
        np.ascontiguousarray(fine.reshape(-1, *fine.shape[-3:])),
        np.ascontiguousarray(coarse.reshape(-1, *coarse.shape[-3:])),
    )
    return blanked(out.reshape(shape), core, source, recipe)


def _filled(source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Return the tile with its halo, and without NaN.

    What is filled depends on pixels as far away as it is itself, so the tile needs the halo once more.
    """
    wide = to_reflectance_block(source.take(recipe.reach), recipe.radiometry, tile)
    return trim(fill(wide, steps=recipe.halo), recipe.halo)


def blanked(
    out: NDArray[np.float32], missing: NDArray[np.bool_] | None, source: Source, recipe: Recipe
) -> NDArray[np.float32]:
    """Write NaN where the input has none, and where the mask keeps nothing."""
    scale = recipe.kernel.spec.scale
    if missing is not None:
        _blank(out, missing[..., list(recipe.out_of), :, :], scale)
    if source.has(1):
        _blank(out, ~source.take(0, stack=1).astype(bool), scale)
    return out


def trim(block: NDArray[Any], halo: int) -> NDArray[Any]:
    """Take `halo` pixels off each side of (..., y, x)."""
    return block[..., halo : block.shape[-2] - halo, halo : block.shape[-1] - halo]


def _blank(out: NDArray[np.float32], where: NDArray[np.bool_], scale: int) -> None:
    """Write NaN over the footprint of input pixels."""
    if where.any():
        np.copyto(out, np.float32(np.nan), where=_repeat(where, scale))


def _repeat(block: NDArray[Any], scale: int) -> NDArray[Any]:
    return block.repeat(scale, axis=-2).repeat(scale, axis=-1)
