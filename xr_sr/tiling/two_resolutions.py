"""Read tiles from two grids of one ground, the second with coarser pixels. Arrays and sizes only.

Of a scene that begins or ends in the middle of a coarse pixel, half of that pixel is outside. Beyond its edge the scene
is mirrored as on the fine grid, pixel by pixel, so that both grids show the same ground there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..spec import Tile
from .layer import TaskKey
from .source import BandArray, Job, Piece, Reader, Source, pasted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .source import Array

    Places: TypeAlias = NDArray[np.intp]

FAR = 4
"""Fine pixels beyond a halo that coarse ones, twice as wide, may cover, with one more on each side to interpolate."""


@dataclass(frozen=True)
class Coarse:
    """Planes on the coarse grid, cut to the scene. row, col: fine pixels of the first coarse one that lie outside.

    ratio: width of a coarse pixel in fine ones.
    """

    planes: Sequence[BandArray]
    row: int
    col: int
    ratio: int = 2


@dataclass(frozen=True)
class CoarseSource:
    """The coarse planes of one tile, inside its task.

    tile, height, width: of the fine grid. row, col, ratio: as `Coarse` has them.
    """

    arrays: Sequence[Array]
    pieces: tuple[Piece, ...]
    tile: Tile
    height: int
    width: int
    row: int
    col: int
    ratio: int = 2

    def take(self, halo: int) -> tuple[Array, tuple[int, int]]:
        """Return the coarse pixels of a tile with `halo` fine pixels on each side, and one more all around.

        Returns (*lead, plane, y, x), and at which fine row and column of it the tile with its halo begins.
        """
        ratio = self.ratio
        y, y_at = cover(self.tile.y, halo, self.row, ratio)
        x, x_at = cover(self.tile.x, halo, self.col, ratio)
        rows, columns = (
            mirrored_places(y, self.row, self.height, ratio),
            mirrored_places(x, self.col, self.width, ratio),
        )
        have = (int(rows.min()), int(rows.max()) + 1), (int(columns.min()), int(columns.max()) + 1)
        out = pasted(list(zip(self.pieces, self.arrays, strict=True)), self.tile, have)
        for axis, places, (first, _) in ((-2, rows, have[0]), (-1, columns, have[1])):
            if len(places) != out.shape[axis] or (places[1:] <= places[:-1]).any():
                out = out.take(np.asarray(places - first, like=out), axis=axis)
        return out, (y_at, x_at)


@dataclass(frozen=True)
class TwoGridJob:
    """All of a task that reads both grids, but its arrays. job: that of the fine grid."""

    job: Job
    pieces: tuple[Piece, ...]
    row: int
    col: int
    ratio: int

    def __call__(self, arrays: Sequence[Array], coarse: Sequence[Array], table: Array | None = None) -> Array:
        """Run the function on chunks of both grids."""
        job = self.job
        place = (job.tile, job.height, job.width, self.row, self.col, self.ratio)
        return job(arrays, CoarseSource(coarse, self.pieces, *place), table)


@dataclass(frozen=True)
class CoarseReader:
    """Finds what tasks read of the coarse grid. row, col, ratio: as `Coarse` has them."""

    reader: Reader
    row: int
    col: int
    ratio: int

    @classmethod
    def of(cls, coarse: Coarse, slices: str) -> CoarseReader:
        """Return a reader of coarse planes."""
        return cls(Reader.of([coarse.planes], slices), coarse.row, coarse.col, coarse.ratio)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays that are read."""
        return self.reader.names

    def gather(self, job: Job, at: tuple[int, ...]) -> tuple[list[TaskKey], TwoGridJob]:
        """Return the keys of the chunks that hold what a task may ask for, and the task that reads them too."""
        ((reader, wide, reach),) = self.readings(job.tile, job.reach)
        keys, pieces = reader.gather(wide, reach, at)
        return keys, TwoGridJob(job, pieces, self.row, self.col, self.ratio)

    def readings(self, tile: Tile, reach: int) -> list[tuple[Reader, Tile, int]]:
        """Return the reader, and the coarse pixels that it is asked for."""
        (y, _), (x, _) = cover(tile.y, reach, self.row, self.ratio), cover(tile.x, reach, self.col, self.ratio)
        wide = Tile(y=y, x=x, lead=tile.lead)
        return [(self.reader, wide, 1)]  # one more: pixels half outside are mirrored about


def cover(span: tuple[int, int], halo: int, origin: int, ratio: int = 2) -> tuple[tuple[int, int], int]:
    """Get (start, stop) of the coarse pixels that cover a span of fine ones with its halo, and one more on each side.

    origin: fine pixels of the first coarse one that lie before the first fine one. Also gives how many fine pixels of
    the cover lie before the span with its halo: as many as a coarse pixel is wide, and less than twice that.
    """
    start, stop = span[0] - halo + origin, span[1] + halo + origin
    first = start // ratio - 1
    return (first, -(-stop // ratio) + 1), start - ratio * first


def owned(tile: Tile, halo: int, at: tuple[int, int], shape: tuple[int, ...], ratio: int = 2) -> tuple[slice, slice]:
    """Get the rows and columns of a cover that are the tile's own: of each coarse pixel one tile owns the first part.

    halo, at: as `CoarseSource.take` got and gave them. shape: of the cover, (..., y, x). Pixels that are mirrored from
    inside of the scene belong to no tile.
    """
    rows, columns = (
        _owned_along(span, halo, begin, length, ratio)
        for span, begin, length in zip((tile.y, tile.x), at, shape[-2:], strict=True)
    )
    return rows, columns


def _owned_along(span: tuple[int, int], halo: int, at: int, length: int, ratio: int) -> slice:
    ends = span[0] - halo - at + ratio * (np.arange(length) + 1)  # the fine pixels behind each coarse one
    own = np.flatnonzero(
        (ends > 0) & (np.maximum(ends - ratio, 0) >= span[0]) & (np.maximum(ends - ratio, 0) < span[1])
    )
    return slice(int(own[0]), int(own[-1]) + 1) if own.size else slice(0, 0)


def mirrored_places(span: tuple[int, int], origin: int, length: int, ratio: int = 2) -> Places:
    """Return, for coarse pixels in and around a scene of `length` fine pixels, those inside that they mirror."""
    places: Places = np.arange(*span)
    # Of a pixel outside the fine one at its middle is mirrored. The one at the edge may lie half inside: it stays.
    fine = (ratio * places - origin + (ratio - 1) // 2) % (2 * length)
    fine = np.where(fine < length, fine, 2 * length - 1 - fine)
    inside = (places >= 0) & (places <= (length - 1 + origin) // ratio)
    return np.where(inside, places, (fine + origin) // ratio)


def samples(source: Source, halo: int, origin: tuple[int, int], *, stack: int) -> tuple[Array, tuple[int, int]]:
    """Return what `CoarseSource.take` gives, of planes whose coarse pixels are repeated 2 x 2 on the fine grid.

    origin: as `Coarse` has row and col. Returns (*lead, plane, 2, 2, y, x): each coarse pixel as its four fine ones.
    """
    tile = source.tile
    fine = source.take(halo + FAR, stack)
    cuts, starts = [], []
    for span, first in zip((tile.y, tile.x), origin, strict=True):
        (start, stop), at = cover(span, halo, first)
        begin = FAR - at
        cuts.append(slice(begin, begin + 2 * (stop - start)))
        starts.append(at)
    fine = fine[..., cuts[0], cuts[1]]
    return blocks_of(fine), (starts[0], starts[1])


def whole_blocks(
    source: Source, halo: int, origin: tuple[int, int], ratio: int, *, stack: int
) -> tuple[Array, tuple[int, int]]:
    """Return what `CoarseSource.take` gives, of planes on the fine grid, each coarse pixel as all fine ones it covers.

    origin: as `Coarse` has row and col. Beyond the scene coarse pixels are mirrored, not fine ones, so that blocks stay
    whole; of a coarse pixel that lies half outside, what is inside is repeated. The source must reach `far(ratio)` fine
    pixels beyond `halo`. Returns (*lead, plane, ratio, ratio, y, x).
    """
    tile, wide = source.tile, halo + far(ratio)
    fine = source.take(wide, stack)
    starts, chosen = [], []
    for axis, span, first, length in zip(
        (-2, -1), (tile.y, tile.x), origin, (source.height, source.width), strict=True
    ):
        edges = (max(0, span[0] - wide), min(length, span[1] + wide))
        # Whole coarse pixels, but for those that the scene's own edge cuts.
        low = edges[0] if edges[0] == 0 else -(-(edges[0] + first) // ratio) * ratio - first
        high = edges[1] if edges[1] == length else (edges[1] + first) // ratio * ratio - first
        inside = slice(low - span[0] + wide, high - span[0] + wide)
        fine = fine[..., inside, :] if axis == -2 else fine[..., inside]
        before, after = (low + first) % ratio, -(high + first) % ratio
        if before or after:
            widths = [(0, 0)] * fine.ndim
            widths[axis] = (before, after)
            fine = np.pad(fine, widths, mode="edge")
        (start, stop), at = cover(span, halo, first, ratio)
        chosen.append(mirrored_places((start, stop), first, length, ratio) - (low + first) // ratio)
        starts.append(at)
    blocks = blocks_of(fine, ratio)
    for axis, places in zip((-2, -1), chosen, strict=True):
        blocks = blocks.take(np.asarray(places, like=blocks), axis=axis)
    return blocks, (starts[0], starts[1])


def far(ratio: int) -> int:
    """Return the fine pixels beyond a halo that coarse pixels around it, and those that they mirror, may cover."""
    return 4 * ratio


def blocks_of(fine: Array, ratio: int = 2) -> Array:
    """Reshape (..., ratio y, ratio x) to (..., ratio, ratio, y, x): position in the block, and the block."""
    *lead, height, width = fine.shape
    parts: Array = fine.reshape(*lead, height // ratio, ratio, width // ratio, ratio)
    return np.moveaxis(parts, (-3, -1), (-4, -3))


def doubled(coarse: NDArray[np.float32], at: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    """Interpolate linearly to pixels half as wide: (..., y, x) to (..., *size), which begins `at` fine pixels inside.

    Centres keep their places: a fine pixel takes three quarters of the coarse one that it lies in, and a quarter of the
    next. A fine pixel depends on four coarse ones and on nothing else, bit for bit.
    """
    for axis in (-2, -1):
        coarse = np.moveaxis(coarse, axis, -1)
        fine = np.empty_like(coarse, shape=(*coarse.shape[:-1], 2 * coarse.shape[-1] - 4))
        own = np.float32(0.75) * coarse[..., 1:-1]
        quarter = np.float32(0.25) * coarse
        np.add(own, quarter[..., :-2], out=fine[..., ::2])
        np.add(own, quarter[..., 2:], out=fine[..., 1::2])
        start = at[axis] - 2
        coarse = np.moveaxis(fine[..., start : start + size[axis]], -1, axis)
    return np.ascontiguousarray(coarse)


def repeated(coarse: Array, at: tuple[int, int], size: tuple[int, int], ratio: int = 2) -> Array:
    """Repeat pixels on the fine grid: (..., y, x) to (..., *size), which begins `at` fine pixels inside."""
    fine = coarse.repeat(ratio, axis=-2).repeat(ratio, axis=-1)
    cut: Array = fine[..., at[0] : at[0] + size[0], at[1] : at[1] + size[1]]
    return cut
