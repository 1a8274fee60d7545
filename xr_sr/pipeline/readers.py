"""Read the pixels that a task needs, as reflectance: on the fine grid, and those of a coarser one.

Coarse bands come on their own grid, or on the fine grid with each pixel repeated, or resampled. Which of the last two
it is, is decided from the values around each pixel, so that no result depends on how the scene was cut into blocks.
Arrays only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..errors import GridError
from ..kernels.fill import fill
from ..radiometry.convert import Radiometry, to_reflectance_block
from ..radiometry.judge import core_of, read_block
from ..spec import Tile
from ..task_warnings import Finding, note
from ..tiling.two_resolutions import blocks_of, doubled, owned, repeated, samples, whole_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tiling.source import Source, TakesCoarse

COARSE_STACK = 2
"""The group of planes that are coarse bands on the fine grid; 0 and 1 are the fine bands and the mask."""

NATIVE_SHARE = 0.9
"""Share of the blocks of repeated pixels that must be constant for coarse bands to count as repeated."""


@dataclass(frozen=True)
class Second:
    """How the coarse bands are read.

    layout: "grids" where they have a grid of their own; else they are on the fine grid: "native" has each pixel
    repeated, "resampled" another resampling, "auto" either. origin: fine pixels (row, col) of the first coarse pixel
    that lie outside of the scene.
    """

    radiometry: Radiometry
    layout: Literal["grids", "auto", "native", "resampled"]
    origin: tuple[int, int]


class Pixels(NamedTuple):
    """Reflectance (*lead, plane, y, x) with a halo. missing: where it is NaN. refill: reads it again without NaN."""

    block: NDArray[np.float32]
    missing: NDArray[np.bool_]
    refill: Callable[[], NDArray[np.float32]]

    def filled(self) -> NDArray[np.float32]:
        """Return the pixels without NaN."""
        return self.refill() if self.missing.any() else self.block


class Samples(NamedTuple):
    """Coarse pixels (*lead, plane, y, x), which cover a tile and its halo.

    missing: where they are NaN. start: fine pixels (row, col) of the first one that lie before the tile with its halo.
    holes: where the bands are NaN on the fine grid, if they are read from it. refill: as in `Pixels`.
    """

    block: NDArray[np.float32]
    missing: NDArray[np.bool_]
    start: tuple[int, int]
    ratio: int
    holes: Callable[[], NDArray[np.bool_]] | None
    refill: Callable[[], NDArray[np.float32]]

    def filled(self) -> NDArray[np.float32]:
        """Return the pixels without NaN."""
        return self.refill() if self.missing.any() else self.block

    def missing_on(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return where the bands are missing on the fine grid: (*lead, plane, *size)."""
        if self.holes is not None and self.missing.any():
            return self.holes()  # resampled bands have holes of any shape
        return repeated(self.missing, self.start, size, self.ratio)


def fine_pixels(source: Source, tile: Tile, radiometry: Radiometry, halo: int, stack: int = 0) -> Pixels:
    """Read the planes of one stack, with halo. Raises RadiometryError where they cannot be reflectance."""
    block = read_block(source.take(halo, stack), radiometry, tile, core_of(tile, halo))

    def refill() -> NDArray[np.float32]:
        # A filled pixel depends on pixels up to `halo` away, so the tile needs the halo once more.
        wide = to_reflectance_block(source.take(2 * halo, stack), radiometry, tile)
        return trim(fill(wide, steps=halo), halo)

    return Pixels(block, np.isnan(block), refill)


def coarse_on_fine_grid(
    source: Source, tile: Tile, second: Second, halo: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read bands of pixels twice as wide, interpolated to the fine grid.

    Returns the bands without NaN, and where they were missing: (*lead, plane, y, x) with halo.
    Raises GridError where repeated pixels do not lie at multiples of their size.
    """
    if source.coarse is not None:
        return _interpolated(source.coarse, tile, second, halo)
    if second.layout == "resampled":
        return _resampled(source, tile, second, halo)
    # Two pixels more than are used: the neighbors of each take part in the decision.
    raw, at = samples(source, halo + 2, second.origin, stack=COARSE_STACK)
    constant = _constant(raw)
    share = float(constant.mean())
    if share < NATIVE_SHARE:
        _refuse_other_phase(source, tile, second, halo)
        if second.layout == "native":
            raise _not_native(tile, share, 2)
        _warn_of_resampling(tile, 2)
    from_samples = _interpolated(_Repeated(source, second.origin), tile, second, halo)
    if second.layout == "native" or constant.all():
        return from_samples
    size = (tile.height + 2 * halo, tile.width + 2 * halo)
    # Interpolation of a repeated pixel reads its neighbors, so they must be repeated pixels too.
    sound = constant[..., 1:-1] & constant[..., :-2] & constant[..., 2:]
    sound = sound[..., 1:-1, :] & sound[..., :-2, :] & sound[..., 2:, :]
    native = repeated(sound, at, size)
    resampled = _resampled(source, tile, second, halo)
    block, missing = (np.where(native, one, other) for one, other in zip(from_samples, resampled, strict=True))
    return block, missing


def coarse_samples(source: Source, tile: Tile, second: Second, halo: int, ratio: int) -> Samples:
    """Read coarse bands as samples, one per coarse pixel, of any ratio.

    On the fine grid the mean of the fine pixels that a coarse one covers is its sample: repeated pixels are their own
    mean. Raises GridError where layout="native" does not hold.
    """
    block, at = _sample_block(source, tile, second, halo, ratio)

    def refill() -> NDArray[np.float32]:
        wide, wide_at = _sample_block(source, tile, second, 2 * halo, ratio)
        return _same_part(fill(wide, steps=halo // ratio), wide_at, block, at, halo, ratio)

    def holes() -> NDArray[np.bool_]:
        return np.isnan(to_reflectance_block(source.take(halo, COARSE_STACK), second.radiometry, tile))

    return Samples(block, np.isnan(block), at, ratio, None if source.coarse else holes, refill)


def own_pixels(
    plane: NDArray[np.float32], first: tuple[int, int], ratio: int
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Return the means of the fine pixels that each whole coarse one covers: its sample, as of `coarse_samples`.

    plane: (..., y, x) without NaN. first: row and column of its first pixel, on a grid where coarse pixels begin at
    multiples of `ratio`. Returns (..., y, x), and in which row and column of the plane the first one begins.
    """
    top, left = ((-place) % ratio for place in first)
    if ratio == 1:
        return plane, (top, left)
    rows, columns = (plane.shape[-2] - top) // ratio, (plane.shape[-1] - left) // ratio
    blocks = blocks_of(plane[..., top : top + rows * ratio, left : left + columns * ratio], ratio)
    # In double precision: repeated pixels are then exactly their own mean.
    return blocks.mean(axis=(-4, -3), dtype="float64").astype("float32"), (top, left)


def share_constant(blocks: NDArray[Any]) -> float:
    """Return the share of blocks of repeated pixels, (..., ratio, ratio, y, x), whose pixels are equal."""
    return float(_constant(blocks).mean())


def trim(block: NDArray[Any], halo: int) -> NDArray[Any]:
    """Take `halo` pixels off each side of (..., y, x)."""
    return block[..., halo : block.shape[-2] - halo, halo : block.shape[-1] - halo]


@dataclass(frozen=True)
class _Repeated:
    """Repeated pixels on the fine grid, read as if they had a grid of their own."""

    source: Source
    origin: tuple[int, int]

    def take(self, halo: int) -> tuple[NDArray[Any], tuple[int, int]]:
        raw, at = samples(self.source, halo, self.origin, stack=COARSE_STACK)
        return raw[..., 0, 0, :, :], at


def _interpolated(
    coarse: TakesCoarse | _Repeated, tile: Tile, second: Second, halo: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    size = (tile.height + 2 * halo, tile.width + 2 * halo)
    raw, at = coarse.take(halo)
    block = read_block(raw, second.radiometry, tile, owned(tile, halo, at, raw.shape))
    missing = np.isnan(block)
    if missing.any():
        wide, wide_at = coarse.take(2 * halo)
        filled = fill(to_reflectance_block(wide, second.radiometry, tile), steps=halo // 2)
        block = _same_part(filled, wide_at, block, at, halo, 2)
    return doubled(block, at, size), repeated(missing, at, size)


def _resampled(source: Source, tile: Tile, second: Second, halo: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    pixels = fine_pixels(source, tile, second.radiometry, halo, COARSE_STACK)
    return pixels.filled(), pixels.missing


def _sample_block(
    source: Source, tile: Tile, second: Second, halo: int, ratio: int
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Return coarse pixels that cover a tile with halo, and the fine pixels of the first that lie before it."""
    if source.coarse is not None:
        raw, at = source.coarse.take(halo)
        return read_block(raw, second.radiometry, tile, owned(tile, halo, at, raw.shape, ratio)), at
    raw, at = whole_blocks(source, halo, second.origin, ratio, stack=COARSE_STACK)
    if second.layout != "resampled" and (share := share_constant(raw)) < NATIVE_SHARE:
        if second.layout == "native":
            raise _not_native(tile, share, ratio)
        _warn_of_resampling(tile, ratio)
    *lead, planes, _, _, height, width = raw.shape
    # Each of the fine pixels that a coarse one covers is treated as a band of its own.
    radiometry = _repeated_bands(second.radiometry, ratio**2)
    parts = raw.reshape(*lead, planes * ratio**2, height, width)
    parts = read_block(parts, radiometry, tile, owned(tile, halo, at, parts.shape, ratio), compare=False)
    parts = parts.reshape(*lead, planes, ratio**2, height, width)
    # In double precision: repeated pixels are then exactly their own mean.
    return parts.mean(axis=-3, dtype="float64").astype("float32"), at


def _same_part(
    wide: NDArray[np.float32],
    wide_at: tuple[int, int],
    block: NDArray[np.float32],
    at: tuple[int, int],
    halo: int,
    ratio: int,
) -> NDArray[np.float32]:
    """Cut coarse pixels read with twice the halo to those of a block that was read with `halo`."""
    top, left = ((n + halo - m) // ratio for n, m in zip(wide_at, at, strict=True))
    return wide[..., top : top + block.shape[-2], left : left + block.shape[-1]]


def _repeated_bands(radiometry: Radiometry, times: int) -> Radiometry:
    """Return the radiometry of a stack in which each band stands so many times."""
    names = tuple(f"{name} {part}" for name in radiometry.names for part in range(times))
    return replace(radiometry, names=names, dark=tuple(place * times for place in radiometry.dark))


def _constant(blocks: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the pixels of (..., ratio, ratio, y, x) are one value, or all NaN: (..., y, x)."""
    first = blocks[..., :1, :1, :, :]
    same = blocks == first
    if blocks.dtype.kind == "f":
        same |= np.isnan(blocks) & np.isnan(first)
    constant: NDArray[np.bool_] = same.all(axis=(-4, -3))
    return constant


def _not_native(tile: Tile, share: float, ratio: int) -> GridError:
    return GridError(
        f"Block {tile}: layout='native' expects coarse pixels repeated {ratio} x {ratio} on the fine grid; only "
        f"{share:.0%} of these blocks are constant. Pass the coarse bands on their own grid (other=), or "
        "layout='resampled'."
    )


def _warn_of_resampling(tile: Tile, ratio: int) -> None:
    """Note that coarse bands on the fine grid are not the sensor's own pixels, as a warning of the computation."""
    used = "used as they are" if ratio == 2 else "averaged"
    sentence = (
        f"Bands of pixels {ratio} times as wide are on the fine grid, and not as repeated pixels at multiples of "
        f"their size (in {{blocks}}): they were resampled before. They are {used}; the sensor's own pixels give more "
        "detail: load them on their own grid (other=) or by nearest neighbor. To silence this: layout='resampled'."
    )
    block = (tile.y, tile.x, tile.lead)
    note([Finding("ResolutionWarning", sentence, block, block)])


def _refuse_other_phase(source: Source, tile: Tile, second: Second, halo: int) -> None:
    """Raise where pixels are repeated in blocks that begin one pixel beside those of the 20 m grid."""
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        beside = (second.origin[0] + dy) % 2, (second.origin[1] + dx) % 2
        raw, _ = samples(source, halo, beside, stack=COARSE_STACK)
        if share_constant(raw) >= NATIVE_SHARE:
            raise GridError(
                f"Block {tile}: pixels of the 20 m bands are repeated 2 x 2, but their blocks begin {10 * dy} m in y "
                f"and {10 * dx} m in x off the multiples of 20 m where the sensor's pixels begin. Load the scene on a "
                "grid that fits, xr_sr.snap_geobox(geobox), or pass the 20 m bands on their own grid (other=); "
                "layout='resampled' uses them as they are."
            )
