"""What happens inside one task of a model that reads two pixel sizes: ten bands become ten bands of one size.

    take both -> reflectance -> judge -> fill NaN -> coarse bands to the fine grid -> kernel -> NaN back in place

The coarse bands come on their own grid, or on the fine one with each pixel repeated, or resampled by someone. Which of
the last two it is, is decided from the values around each pixel, so that no result depends on how the scene was cut.
Arrays only, at module level, so that it runs on any worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import kernels
from ..errors import GridError
from ..kernels.fill import fill
from ..radiometry.convert import Radiometry, to_reflectance_block
from ..radiometry.judge import core_of, read_block
from ..spec import Tile
from ..task_warnings import Finding, note
from ..tiling.two_resolutions import doubled, owned, repeated, samples
from .block import Recipe, blanked, trim

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tiling.source import Source, TakesCoarse

__all__ = ["COARSE_STACK", "NATIVE_SHARE", "Second", "fuse_block", "note_layout", "share_constant"]

COARSE_STACK = 2
"""The group of planes that are coarse bands on the fine grid; 0 and 1 are the fine bands and the mask."""

NATIVE_SHARE = 0.9
"""Of the blocks of four fine pixels in a task those that must be one value, where coarse pixels were repeated."""


@dataclass(frozen=True)
class Second:
    """How the coarse bands are read.

    layout: "grids" where they have a grid of their own; else they are on the fine grid: "native" has each pixel
    repeated, "resampled" another resampling, "auto" either. origin: fine pixels (row, col) of the first coarse one that
    lie outside of the scene.
    """

    radiometry: Radiometry
    layout: Literal["grids", "auto", "native", "resampled"]
    origin: tuple[int, int]


def fuse_block(source: Source, tile: Tile, recipe: Recipe, second: Second) -> NDArray[np.float32]:
    """Make one block: (*lead, band_out, height * scale, width * scale) float32, NaN where the input is not valid.

    source: stack 0 the fine bands, stack 1, if there, a mask, stack 2 or `source.coarse` the coarse bands; the kernel
    reads them in this order.
    Raises RadiometryError where the numbers cannot be reflectance, GridError where coarse pixels are repeated, but not
    where their grid says.
    """
    scale, halo = recipe.kernel.spec.scale, recipe.halo
    lead = tuple(stop - start for start, stop in tile.lead)
    fine = read_block(source.take(halo), recipe.radiometry, tile, core_of(tile, halo))
    missing = np.isnan(fine)
    some = bool(missing.any())
    coarse, no_coarse = _coarse_bands(source, tile, second, halo)
    some = some or bool(no_coarse.any())
    core = trim(np.concatenate([missing, no_coarse], axis=-3), halo) if some else None
    if core is not None and core.all():
        return np.full_like(fine, np.nan, shape=(*lead, len(recipe.out_of), tile.height * scale, tile.width * scale))
    if missing.any():
        wide = to_reflectance_block(source.take(2 * halo), recipe.radiometry, tile)
        fine = trim(fill(wide, steps=halo), halo)
    block = np.concatenate([fine, coarse], axis=-3)
    out = kernels.build(recipe.kernel)(block.reshape(-1, *block.shape[-3:]), tile)
    if recipe.give != tuple(range(out.shape[1])):
        out = out[:, list(recipe.give)]
    return blanked(out.reshape(*lead, *out.shape[-3:]), core, source, recipe)


def _coarse_bands(
    source: Source, tile: Tile, second: Second, halo: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the coarse bands on the fine grid, filled, and where they were missing: (*lead, plane, y, x) with halo."""
    if source.coarse is not None:
        return _from_samples(source.coarse, tile, second, halo)
    if second.layout == "resampled":
        return _as_they_stand(source, tile, second, halo)
    # The pixels around those that are used take part in the decision.
    raw, at = samples(source, halo + 2, second.origin, stack=COARSE_STACK)
    constant = _constant(raw)
    share = float(constant.mean())
    if share < NATIVE_SHARE:
        _refuse_other_phase(source, tile, second, halo)
        if second.layout == "native":
            raise GridError(
                f"Block {tile}: layout='native' says that the 20 m bands have each pixel repeated 2 x 2; only "
                f"{share:.0%} of the blocks are one value. Hand them in on their own grid (other=), or pass "
                "layout='resampled'."
            )
        if second.layout == "auto":
            note_layout(
                tile,
                "the 20 m bands stand on the 10 m grid, and not as repeated pixels (in {blocks}): somebody has "
                "resampled them. They are taken as they stand; the sensor's own pixels give more detail. Load them on "
                "their own grid (other=), or by nearest neighbour. To silence this: layout='resampled'.",
            )
    from_samples = _from_samples(_Repeated(source, second.origin), tile, second, halo)
    if second.layout == "native" or constant.all():
        return from_samples
    size = (tile.height + 2 * halo, tile.width + 2 * halo)
    # Interpolation of a pixel that was repeated reads its neighbours, so they must have been repeated too.
    sound = constant[..., 1:-1] & constant[..., :-2] & constant[..., 2:]
    sound = sound[..., 1:-1, :] & sound[..., :-2, :] & sound[..., 2:, :]
    native = repeated(sound, at, size)
    resampled = _as_they_stand(source, tile, second, halo)
    return tuple(np.where(native, one, other) for one, other in zip(from_samples, resampled, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class _Repeated:
    """Repeated pixels on the fine grid, read as if they had a grid of their own."""

    source: Source
    origin: tuple[int, int]

    def take(self, halo: int) -> tuple[NDArray[Any], tuple[int, int]]:
        raw, at = samples(self.source, halo, self.origin, stack=COARSE_STACK)
        return raw[..., 0, 0, :, :], at


def _from_samples(
    coarse: TakesCoarse | _Repeated, tile: Tile, second: Second, halo: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    size = (tile.height + 2 * halo, tile.width + 2 * halo)
    raw, at = coarse.take(halo)
    block = read_block(raw, second.radiometry, tile, owned(tile, halo, at, raw.shape))
    missing = np.isnan(block)
    if missing.any():
        # As on the fine grid: what is filled depends on pixels as far away as it is itself.
        wide, wide_at = coarse.take(2 * halo)
        filled = fill(to_reflectance_block(wide, second.radiometry, tile), steps=halo // 2)
        top, left = ((n + halo - m) // 2 for n, m in zip(wide_at, at, strict=True))
        block = filled[..., top : top + block.shape[-2], left : left + block.shape[-1]]
    return doubled(block, at, size), repeated(missing, at, size)


def _as_they_stand(
    source: Source, tile: Tile, second: Second, halo: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    block = read_block(source.take(halo, COARSE_STACK), second.radiometry, tile, core_of(tile, halo))
    missing = np.isnan(block)
    if missing.any():
        wide = to_reflectance_block(source.take(2 * halo, COARSE_STACK), second.radiometry, tile)
        block = trim(fill(wide, steps=halo), halo)
    return block, missing


def note_layout(tile: Tile, sentence: str) -> None:
    """Note that coarse bands on the fine grid are not what the sensor saw, as a warning of the computation."""
    block = (tile.y, tile.x, tile.lead)
    note([Finding("ResolutionWarning", sentence, block, block)])


def _constant(blocks: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of (..., 2, 2, y, x) where the four are one value, or all NaN: (..., y, x)."""
    first = blocks[..., :1, :1, :, :]
    same = blocks == first
    if blocks.dtype.kind == "f":
        same |= np.isnan(blocks) & np.isnan(first)
    constant: NDArray[np.bool_] = same.all(axis=(-4, -3))
    return constant


def share_constant(blocks: NDArray[Any]) -> float:
    """Return the share of blocks of repeated pixels, (..., ratio, ratio, y, x), whose pixels are one value."""
    return float(_constant(blocks).mean())


def _refuse_other_phase(source: Source, tile: Tile, second: Second, halo: int) -> None:
    """Raise where pixels are repeated in blocks that begin one pixel beside those of the 20 m grid."""
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        beside = (second.origin[0] + dy) % 2, (second.origin[1] + dx) % 2
        raw, _ = samples(source, halo, beside, stack=COARSE_STACK)
        if share_constant(raw) >= NATIVE_SHARE:
            raise GridError(
                f"Block {tile}: pixels of the 20 m bands are repeated 2 x 2, but their blocks begin {10 * dy} m in y "
                f"and {10 * dx} m in x beside multiples of 20 m, where the pixels of the sensor lie. Load the scene on "
                "a grid that fits, xr_sr.snap_geobox(geobox), or hand the 20 m bands in on their own grid (other=); "
                "layout='resampled' takes them as they stand."
            )
