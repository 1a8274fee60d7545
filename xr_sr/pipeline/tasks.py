"""Compute one output block or window: the functions that the tasks of a graph call, on arrays alone.

    read the tile -> reflectance -> check -> fill NaN -> kernel -> NaN back in place

`finish` is this frame; the functions differ in the pixels that they read (`readers`) and in the kernel. All are at
module level, so that every worker can import them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import kernels
from ..kernels.fill import fill
from ..kernels.kriging_filters import Observation
from ..radiometry.convert import Radiometry, to_reflectance_block
from ..spec import Tile
from .readers import Second, coarse_on_fine_grid, coarse_samples, fine_pixels, own_pixels, trim

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tiling.lattice import Blend
    from ..tiling.source import Source


@dataclass(frozen=True)
class Recipe:
    """How a block is computed.

    halo: input pixels of context of the kernel; for a kernel that works on windows, of its constraint alone. out_of:
    for each band of the output, the input plane whose NaN it inherits. give: for each band of the output, its position
    among the bands that the kernel returns. measured: for each band of the output, how its own pixels were observed,
    with which it is made to agree; () for no agreement. around: input pixels of `halo` that agreement reads. place: row
    and column of the first input pixel of the cube, on the grid where the sensor's wider pixels begin.
    """

    kernel: kernels.KernelRef
    radiometry: Radiometry
    halo: int
    out_of: tuple[int, ...]
    give: tuple[int, ...]
    measured: tuple[Observation | None, ...] = ()
    around: int = 0
    place: tuple[int, int] = (0, 0)

    def agreeing(self, measured: tuple[Observation | None, ...], place: tuple[int, int] = (0, 0)) -> Recipe:
        """Return the recipe of the same bands made to agree with their own pixels."""
        around = kernels.measured_reach(measured, self.kernel.spec.scale)
        return replace(self, halo=self.halo + around, measured=measured, around=around, place=place)

    @property
    def reach(self) -> int:
        """Input pixels that a block depends on where NaN is filled: the fill reads `halo` beyond the kernel's."""
        return 2 * self.halo


def upscale_block(source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Compute one block of a kernel that reads pixels of one size.

    source: stack 0 holds the planes that the kernel reads, in its order; stack 1, if present, a mask, True where values
    are kept. Returns (*lead, band_out, height * scale, width * scale) float32, NaN where the input is not valid.
    Raises RadiometryError where the values cannot be reflectance.
    """
    pixels = fine_pixels(source, tile, recipe.radiometry, recipe.halo)

    def computed() -> NDArray[np.float32]:
        block = pixels.filled()
        return agreeing(recipe, tile, _network(recipe, tile, block), block)

    return finish(source, tile, recipe, pixels.block, pixels.missing, computed)


def fuse_block(source: Source, tile: Tile, recipe: Recipe, second: Second) -> NDArray[np.float32]:
    """Compute one block of a network that reads pixels of two sizes; returns and raises as `upscale_block`.

    source: stack 0 the fine bands, stack 1, if present, a mask, stack 2 or `source.coarse` the coarse bands; the kernel
    reads them in this order. Raises GridError, too, where repeated pixels do not lie where their grid says.
    """
    fine = fine_pixels(source, tile, recipe.radiometry, recipe.halo)
    coarse, no_coarse = coarse_on_fine_grid(source, tile, second, recipe.halo)
    missing = np.concatenate([fine.missing, no_coarse], axis=-3)

    def computed() -> NDArray[np.float32]:
        block = fine.filled()
        made = _network(recipe, tile, np.concatenate([block, coarse], axis=-3))
        if not recipe.measured:
            return made
        own = coarse_samples(source, tile, second, recipe.halo, 2)
        return agreeing(recipe, tile, made, block, own.filled(), own.start)

    return finish(source, tile, recipe, fine.block, missing, computed)


def fuse_repeated_block(source: Source, tile: Tile, recipe: Recipe, second: Second) -> NDArray[np.float32]:
    """Compute one block of a network that reads coarse pixels as they are, each repeated; as `fuse_block`.

    The kernel's block begins and ends with whole coarse pixels. recipe.halo: 2 or more above what the kernel reads.
    """
    halo, scale = recipe.halo, recipe.kernel.spec.scale
    fine = fine_pixels(source, tile, recipe.radiometry, halo)
    own = coarse_samples(source, tile, second, halo, 2)
    size = (tile.height + 2 * halo, tile.width + 2 * halo)
    missing = np.concatenate([fine.missing, own.missing_on(size)], axis=-3)

    def computed() -> NDArray[np.float32]:
        block, samples, context = fine.filled(), own.filled(), halo - 2
        # Along each axis: fine pixels of the tile's first coarse pixel before the tile, and of its last one after it.
        before = [(start + halo) % 2 for start in own.start]
        after = [(start + halo + side) % 2 for start, side in zip(own.start, (tile.height, tile.width), strict=True)]
        sides = [side + b + a for side, b, a in zip((tile.height, tile.width), before, after, strict=True)]
        rows, columns = (slice(2 - b, 2 - b + side + 2 * context) for side, b in zip(sides, before, strict=True))
        coarse_rows, coarse_columns = (
            slice((start + 2 - b) // 2, (start + 2 - b + side) // 2 + context)
            for start, side, b in zip(own.start, sides, before, strict=True)
        )
        repeated = samples[..., coarse_rows, coarse_columns].repeat(2, axis=-2).repeat(2, axis=-1)
        whole = Tile(y=(0, sides[0]), x=(0, sides[1]), lead=tile.lead, halo=context)
        made = _network(recipe, whole, np.concatenate([block[..., rows, columns], repeated], axis=-3))
        top, left = (b * scale for b in before)
        height, width = ((side + 2 * recipe.around) * scale for side in (tile.height, tile.width))
        made = made[..., top : top + height, left : left + width]
        return agreeing(recipe, tile, made, block, samples, own.start)

    return finish(source, tile, recipe, fine.block, missing, computed)


def guide_block(
    source: Source, tile: Tile, recipe: Recipe, second: Second, guidance: kernels.Guidance
) -> NDArray[np.float32]:
    """Compute one block of coarse bands sharpened by fine ones (pansharpening), without weights.

    source: as in `fuse_block`. Returns (*lead, band, height * scale, width * scale) float32, NaN where the band itself
    is not valid: a hole in a guide is filled. Raises as `fuse_block`.
    """
    halo, size = recipe.halo, (tile.height + 2 * recipe.halo, tile.width + 2 * recipe.halo)
    samples = coarse_samples(source, tile, second, halo, guidance.ratio)

    def computed() -> NDArray[np.float32]:
        coarse = samples.filled()
        if guidance.guided:
            fine = fine_pixels(source, tile, recipe.radiometry, halo).filled()
        else:
            fine = np.zeros_like(coarse, shape=(*coarse.shape[:-3], 1, *size))
        made = kernels.sharpen(flat(fine), flat(coarse), samples.start, _wider(recipe, tile), guidance)
        return agreeing(recipe, tile, made, None, coarse, samples.start)

    return finish(source, tile, recipe, samples.block, samples.missing_on(size), computed)


def upscale_coarse_block(source: Source, tile: Tile, recipe: Recipe, second: Second, ratio: int) -> NDArray[np.float32]:
    """Compute one block of coarse bands from their own pixels alone; returns and raises as `fuse_block`.

    The kernel upscales `ratio` times as much as that of the fine bands. recipe.halo: fine pixels, `ratio` for each
    pixel of the kernel's.
    """
    halo, scale = recipe.halo, recipe.kernel.spec.scale
    samples = coarse_samples(source, tile, second, halo, ratio)
    context = halo // ratio

    def computed() -> NDArray[np.float32]:
        # Along each axis the coarse pixels that lie under the tile, and the tile's first fine pixel among these.
        starts = [at + halo for at in samples.start]
        firsts = [start // ratio for start in starts]
        counts = [
            -(-(start + side) // ratio) - first
            for start, first, side in zip(starts, firsts, (tile.height, tile.width), strict=True)
        ]
        rows, columns = (
            slice(first - context, first + count + context) for first, count in zip(firsts, counts, strict=True)
        )
        under = Tile(y=(0, counts[0]), x=(0, counts[1]), halo=context)
        own = replace(recipe, around=recipe.around // ratio, place=(0, 0))
        block = np.ascontiguousarray(samples.filled()[..., rows, columns])
        (y0, x0), (y1, x1) = (  # where in the coarse image that is
            [
                (begin + origin) // ratio + more
                for begin, origin, more in zip((tile.y[0], tile.x[0]), second.origin, each, strict=True)
            ]
            for each in ((0, 0), counts)
        )
        there = Tile(y=(y0, y1), x=(x0, x1), lead=tile.lead, halo=context)
        whole = agreeing(own, under, _network(own, there, block), block, width=ratio)
        top, left = (scale * (start - ratio * first) for start, first in zip(starts, firsts, strict=True))
        return whole[..., top : top + tile.height * scale, left : left + tile.width * scale]

    size = (tile.height + 2 * halo, tile.width + 2 * halo)
    return finish(source, tile, recipe, samples.block, samples.missing_on(size), computed)


def upscale_window(source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Compute one window: (*lead, band_out, side * scale, side * scale) float32, before the constraint.

    Gaps are filled from what the window holds, however far: every block sees the same window. A window without a valid
    pixel is NaN, and no kernel is called. Whether values can be reflectance is checked by blocks, which are larger.
    """
    scale, lead = recipe.kernel.spec.scale, tuple(stop - start for start, stop in tile.lead)
    shape = (*lead, len(recipe.give), tile.height * scale, tile.width * scale)
    block = to_reflectance_block(source.take(0), recipe.radiometry, tile)
    if np.isnan(block).all():
        return np.full_like(block, np.nan, shape=shape)
    alone = replace(recipe, around=0)  # agreement comes after blending
    return _network(alone, tile, fill(block, steps=max(tile.height, tile.width))).reshape(shape)


def blend_block(blend: Blend, source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Compute one block from windows: as `upscale_block`, but the kernel has run, and its constraint has not."""
    scale, halo, low_pass = recipe.kernel.spec.scale, recipe.halo, recipe.kernel.low_pass
    pixels = fine_pixels(source, tile, recipe.radiometry, halo)

    def computed() -> NDArray[np.float32]:
        if low_pass is None and not recipe.measured:
            return blend.take(0)
        block = pixels.filled()
        fine, coarse = blend.take(halo), block[..., list(recipe.out_of), :, :]
        if pixels.missing.any():
            # A window without a valid pixel gets what the constraint compares with, which then changes nothing.
            fine = np.where(np.isnan(fine), repeated_pixels(coarse, scale), fine)
        inner = recipe.around * scale + (0 if low_pass is None else low_pass.radius)
        fine = np.ascontiguousarray(flat(trim(fine, halo * scale - inner)))
        if low_pass is not None:
            fine = kernels.constrain_blend(recipe.kernel, fine, np.ascontiguousarray(flat(coarse)))
        return agreeing(recipe, replace(tile, halo=halo), fine, block)

    return finish(source, tile, recipe, pixels.block, pixels.missing, computed)


def finish(
    source: Source,
    tile: Tile,
    recipe: Recipe,
    like: NDArray[Any],
    missing: NDArray[np.bool_],
    compute: Callable[[], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Compute a block unless all of it is missing, and write NaN where its input has none or the mask keeps nothing.

    like: an array (*lead, plane, y, x) of the library that the result is to belong to. missing: (*lead, plane, y, x)
    with the halo.
    """
    scale = recipe.kernel.spec.scale
    shape = (*like.shape[:-3], len(recipe.out_of), tile.height * scale, tile.width * scale)
    core = trim(missing, recipe.halo) if missing.any() else None
    if core is not None and core.all():
        return np.full_like(like, np.nan, shape=shape)
    out = compute().reshape(shape)
    if core is not None:
        _blank(out, core[..., list(recipe.out_of), :, :], scale)
    if source.has(1):
        _blank(out, ~source.take(0, stack=1).astype(bool), scale)
    return out


def _network(recipe: Recipe, tile: Tile, block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the kernel on a block without NaN; (n, band_out, y, x), with the context that agreement reads."""
    fine = kernels.build(recipe.kernel)(flat(block), _wider(recipe, tile))
    return fine if recipe.give == tuple(range(fine.shape[1])) else fine[:, list(recipe.give)]


def _wider(recipe: Recipe, tile: Tile) -> Tile:
    """Return a tile with the context that agreement reads as a part of itself."""
    if not recipe.around:
        return tile
    y, x = ((start - recipe.around, stop + recipe.around) for start, stop in (tile.y, tile.x))
    return Tile(y=y, x=x, lead=tile.lead, halo=tile.halo - recipe.around)


def agreeing(
    recipe: Recipe,
    tile: Tile,
    made: NDArray[np.float32],
    block: NDArray[np.float32] | None,
    coarse: NDArray[np.float32] | None = None,
    start: tuple[int, int] = (0, 0),
    *,
    width: int = 1,
) -> NDArray[np.float32]:
    """Make bands agree with their own pixels: (n, band_out, y, x) without the context of `_network`.

    block: planes on the tile's grid with `tile.halo`, whose pixels are `width` times as wide as the finest of the cube.
    coarse: planes of a coarser grid, the last of the input, which begin `start` pixels before. None of them holds NaN.
    """
    if not recipe.measured:
        return made
    scale, skip = recipe.kernel.spec.scale * width, tile.halo - recipe.around
    count = 0 if block is None else block.shape[-3]
    first = [begin - tile.halo + place for (begin, _), place in zip((tile.y, tile.x), recipe.place, strict=True)]
    measured: list[NDArray[np.float32] | None] = []
    at: list[tuple[int, int]] = []
    for plane, seen in zip(recipe.out_of, recipe.measured, strict=True):
        row, column = -start[0], -start[1]
        if seen is None:
            own = None
        elif block is not None and plane < count:
            own, (row, column) = own_pixels(block[..., plane, :, :], (first[0], first[1]), seen.scale // scale)
        else:
            assert coarse is not None
            own = coarse[..., plane - count, :, :]
        measured.append(None if own is None else np.ascontiguousarray(own.reshape(-1, *own.shape[-2:])))
        at.append(((row - skip) * scale, (column - skip) * scale))
    return kernels.agree(made, measured, at, recipe.measured, recipe.around * scale)


def flat(block: NDArray[Any]) -> NDArray[Any]:
    """Return (*lead, plane, y, x) as (n, plane, y, x)."""
    return block.reshape(-1, *block.shape[-3:])


def _blank(out: NDArray[np.float32], where: NDArray[np.bool_], scale: int) -> None:
    """Write NaN over the footprint of input pixels."""
    if where.any():
        np.copyto(out, np.float32(np.nan), where=repeated_pixels(where, scale))


def repeated_pixels(block: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return (..., y, x) with each pixel repeated, (..., y * scale, x * scale)."""
    return block.repeat(scale, axis=-2).repeat(scale, axis=-1)
