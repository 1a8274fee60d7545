"""Find the parts of input chunks that a tile needs, and read them inside of its task; `halo` and `lattice` build on it.

Arrays and sizes only.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from dask._task_spec import Task, TaskRef

from ..spec import Tile
from .layer import TaskKey

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    """A NumPy array, or one of CuPy that behaves like it."""

    class TakesCoarse(Protocol):
        """Protocol of `two_resolutions.CoarseSource`."""

        def take(self, halo: int) -> tuple[Array, tuple[int, int]]:
            """Return the coarse pixels of a tile with a halo, and where in them it begins."""


GIANT = 64 * 2**20
"""Of an array with a chunk of more bytes than this, each chunk is sliced by a task of its own: dask can push the slice
into the reader where one block is computed, and only the slice travels between machines."""

BandArray = tuple["da.Array", int | None]
"""One band: (*lead, y, x) with None, or (*lead, band, y, x) with the position along `band`."""


@dataclass(frozen=True)
class Piece:
    """The part of a tile that one input chunk holds: its position, and which of its bands are which planes."""

    stack: int
    lead: tuple[tuple[int, int], ...]
    y: tuple[int, int]
    x: tuple[int, int]
    bands: tuple[tuple[int, int | None], ...]


@dataclass(frozen=True)
class Source:
    """The input of one tile, inside its task: `take` assembles as much context as is asked for.

    coarse: that of the same ground on wider pixels, where there is a second grid. table: numbers that all tiles share.
    """

    arrays: Sequence[Array]
    pieces: tuple[Piece, ...]
    tile: Tile
    height: int
    width: int
    reach: int
    coarse: TakesCoarse | None = None
    table: Array | None = None

    def of(self, tile: Tile) -> Source:
        """Return the input of a part of the tile."""
        return replace(self, tile=tile)

    def has(self, stack: int) -> bool:
        """Return whether there is such a group of planes."""
        return any(piece.stack == stack for piece in self.pieces)

    def take(self, halo: int, stack: int = 0) -> Array:
        """Return the tile with `halo` pixels on each side: (*lead, plane, height + 2 halo, width + 2 halo).

        Beyond the edge of the scene the image is mirrored, its edge pixels repeated ("symmetric"). halo is at most
        `reach`.
        """
        assert halo <= self.reach
        tile = self.tile
        have = spans(tile, halo, self.height, self.width)
        mine = [(piece, array) for piece, array in zip(self.pieces, self.arrays, strict=True) if piece.stack == stack]
        out = pasted(mine, tile, have)
        return mirrored(out, tile, halo, have, (self.height, self.width))


@dataclass(frozen=True)
class Job:
    """All of a task but its input arrays."""

    function: Callable[..., Array]
    args: tuple[object, ...]
    pieces: tuple[Piece, ...]
    tile: Tile
    height: int
    width: int
    reach: int

    def __call__(self, arrays: Sequence[Array], coarse: TakesCoarse | None = None, table: Array | None = None) -> Array:
        """Run the function on the chunks that the pieces describe."""
        source = Source(arrays, self.pieces, self.tile, self.height, self.width, self.reach, coarse, table)
        return self.function(source, self.tile, *self.args)


def pasted(mine: Sequence[tuple[Piece, Array]], tile: Tile, have: tuple[tuple[int, int], tuple[int, int]]) -> Array:
    """Put together what pieces hold of a tile: (*lead, plane, y, x), of the rows and columns `have`."""
    (top, bottom), (left, right) = have
    planes = 1 + max(plane for piece, _ in mine for plane, _ in piece.bands)
    shape = (*(stop - start for start, stop in tile.lead), planes, bottom - top, right - left)
    out = np.empty_like(
        mine[0][1], shape=shape, dtype=np.result_type(*(array.dtype for _, array in mine)), order="C", subok=False
    )
    for piece, array in mine:
        # First what is cheap to ask: a tile of slivers has hundreds of pieces, most of them out of reach of a
        # small halo.
        if piece.y[0] >= bottom or piece.y[1] <= top or piece.x[0] >= right or piece.x[1] <= left:
            continue
        here = [
            *map(_overlap, piece.lead, tile.lead),
            _overlap(piece.y, (top, bottom)),
            _overlap(piece.x, (left, right)),
        ]
        if any(start >= stop for start, stop in here):
            continue
        whole = [*tile.lead, (top, bottom), (left, right)]
        part = [*piece.lead, piece.y, piece.x]
        to = [slice(start - origin, stop - origin) for (start, stop), (origin, _) in zip(here, whole, strict=True)]
        of = [slice(start - origin, stop - origin) for (start, stop), (origin, _) in zip(here, part, strict=True)]
        for plane, band in piece.bands:
            chosen: tuple[slice | int, ...] = tuple(of) if band is None else (*of[:-2], band, *of[-2:])
            target: tuple[slice | int, ...] = (*to[:-2], plane, *to[-2:])
            out[target] = array[chosen]
    return out


def spans(tile: Tile, halo: int, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Get the rows and the columns of the scene that a tile with `halo` pixels around it shows, mirrored ones too."""
    y, x = (
        (
            max(0, min(start - halo, length - max(0, stop + halo - length))),
            min(length, max(stop + halo, halo - start)),
        )
        for (start, stop), length in ((tile.y, height), (tile.x, width))
    )
    return y, x


def mirrored(
    image: Array,
    tile: Tile,
    halo: int,
    have: tuple[tuple[int, int], tuple[int, int]],
    size: tuple[int, int],
    scale: int = 1,
) -> Array:
    """Return a tile with `halo` pixels on each side, mirroring the scene beyond its edges, edge pixels repeated.

    image: (..., y, x), the part of the scene that `spans` gives, `have`, in pixels of which each is `scale` wide.
    size: of the scene, in input pixels. A tile may hang over the edge itself.
    """
    widths, kept = [], []
    for (start, stop), (first, _), length in zip((tile.y, tile.x), have, size, strict=True):
        before, after = max(0, halo - start), max(0, stop + halo - length)
        widths.append((before * scale, after * scale))
        begin = (start - halo - first + before) * scale
        kept.append(slice(begin, begin + (stop - start + 2 * halo) * scale))
    if any(map(any, widths)):
        image = np.pad(image, [*[(0, 0)] * (image.ndim - 2), *widths], mode="symmetric")
    cut: Array = image[..., kept[0], kept[1]]
    return cut


@dataclass(frozen=True)
class Reader:
    """Finds by arithmetic what tasks read. It holds names and sizes and no array, so it travels without their graphs.

    slices: first part of the keys of what is cut out of giant chunks.
    """

    finders: tuple[Finder, ...]
    height: int
    width: int
    slices: str

    @classmethod
    def of(cls, stacks: Sequence[Sequence[BandArray]], slices: str) -> Reader:
        """Return a reader of groups of planes on one grid."""
        planes = [plane for stack in stacks for plane in stack]
        *lead, height, width = shape_of(planes[0])
        assert all(shape_of(plane) == (*lead, height, width) for plane in planes), "planes must share a grid"
        return cls(tuple(_finders(stacks)), height, width, slices)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays that are read."""
        return tuple(finder.name for finder in self.finders)

    @property
    def cuts(self) -> bool:
        """Whether tasks of their own slice giant chunks."""
        return any(finder.giant for finder in self.finders)

    def gather(self, tile: Tile, reach: int, at: tuple[int, ...]) -> tuple[list[TaskKey], tuple[Piece, ...]]:
        """Return the keys of the chunks that hold a tile with `reach` pixels around it, and the place of each.

        at: what makes the keys of this task's slices its own. Tiles may hang over the edge of the scene.
        """
        window = spans(tile, reach, self.height, self.width)
        keys: list[TaskKey] = []
        pieces: list[Piece] = []
        for finder in self.finders:
            found = finder.find(tile.lead, *window)
            if finder.giant:
                for number, (_, piece) in enumerate(found):
                    keys.append((self.slices, finder.number, number, *at))
                    pieces.append(_cut_out(piece, tile.lead, window)[1])
                continue
            for key, piece in found:
                keys.append(key)
                pieces.append(piece)
        return keys, tuple(pieces)

    def slicing(self, tile: Tile, reach: int, at: tuple[int, ...]) -> dict[TaskKey, Task]:
        """Return the tasks that slice giant chunks for the tile for which `gather` gave their keys."""
        window = spans(tile, reach, self.height, self.width)
        tasks: dict[TaskKey, Task] = {}
        for finder in self.finders:
            if finder.giant:
                for number, (chunk, piece) in enumerate(finder.find(tile.lead, *window)):
                    key = (self.slices, finder.number, number, *at)
                    index = finder.index(_cut_out(piece, tile.lead, window)[0])
                    tasks[key] = Task(key, _getitem(), TaskRef(chunk), index)
        return tasks

    def slice_counts(self, tile: Tile, reach: int) -> list[int]:
        """Count the slices for a tile, by array: each count is a product of counts along the axes."""
        window = spans(tile, reach, self.height, self.width)
        return [finder.count(tile.lead, *window) for finder in self.finders if finder.giant]


def arrays_of(stacks: Sequence[Sequence[BandArray]]) -> list[da.Array]:
    """Return the arrays that hold the planes, each once."""
    return list({array.name: array for stack in stacks for array, _ in stack}.values())


def names_of(stacks: Sequence[Sequence[BandArray]]) -> list[list[tuple[str, int | None]]]:
    """Return what stands for the planes in a token."""
    return [[(array.name, index) for array, index in stack] for stack in stacks]


def _getitem() -> Callable[..., Any]:
    """dask's own slicing, which its optimizer knows how to push into a reader."""
    from dask.array.chunk import getitem

    return getitem


def shape_of(plane: BandArray) -> tuple[int, ...]:
    """Return the sizes along (*lead, y, x)."""
    array, index = plane
    shape = tuple(int(n) for n in array.shape)
    return shape if index is None else (*shape[:-3], *shape[-2:])


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(one[0], other[0]), min(one[1], other[1])


@dataclass(frozen=True)
class Finder:
    """Finds the chunks of one array, along one chunk of its bands, that a window needs.

    number: of this finder in its reader. name: of the array. bands: which planes are which bands of the chunk. edges:
    of the chunks along (*lead, y, x). giant: whether its chunks are sliced by tasks of their own.
    """

    number: int
    stack: int
    name: str
    band_chunk: int | None
    bands: tuple[tuple[int, int | None], ...]
    edges: tuple[tuple[int, ...], ...]
    giant: bool

    def find(
        self, lead: tuple[tuple[int, int], ...], y: tuple[int, int], x: tuple[int, int]
    ) -> Iterator[tuple[TaskKey, Piece]]:
        """Return the key and the place of every chunk that touches the window."""
        middle = () if self.band_chunk is None else (self.band_chunk,)
        for at in itertools.product(*self._ranges(lead, y, x)):
            place = [(edges[n], edges[n + 1]) for edges, n in zip(self.edges, at, strict=True)]
            key = (self.name, *at[:-2], *middle, *at[-2:])
            yield key, Piece(self.stack, tuple(place[:-2]), place[-2], place[-1], self.bands)

    def count(self, lead: tuple[tuple[int, int], ...], y: tuple[int, int], x: tuple[int, int]) -> int:
        """Count the chunks that touch the window."""
        return math.prod(map(len, self._ranges(lead, y, x)))

    def index(self, slices: tuple[slice, ...]) -> tuple[slice, ...]:
        """Put a slice for the band axis into an index along (*lead, y, x)."""
        middle = () if self.band_chunk is None else (slice(None),)
        return (*slices[:-2], *middle, *slices[-2:])

    def _ranges(self, lead: tuple[tuple[int, int], ...], y: tuple[int, int], x: tuple[int, int]) -> list[range]:
        return [_touched(edges, window) for edges, window in zip(self.edges, (*lead, y, x), strict=True)]


def _touched(edges: Sequence[int], window: tuple[int, int]) -> range:
    """Get the numbers of the chunks that overlap a window, none if it is empty; chunks of size 0 may be among them."""
    if window[0] >= window[1]:
        return range(0)
    return range(bisect_right(edges, window[0]) - 1, bisect_right(edges, window[1] - 1))


def _finders(stacks: Sequence[Sequence[BandArray]]) -> list[Finder]:
    groups: dict[tuple[int, str, int | None], tuple[da.Array, list[tuple[int, int | None]]]] = {}
    for stack, planes in enumerate(stacks):
        for position, (array, index) in enumerate(planes):
            chunk, offset = None, None
            if index is not None:
                edges = [*itertools.accumulate(array.chunks[-3], initial=0)]
                chunk = bisect_right(edges, index) - 1
                offset = index - edges[chunk]
            group = groups.setdefault((stack, array.name, chunk), (array, []))
            group[1].append((position, offset))
    return [
        _finder(number, stack, array, chunk, bands)
        for number, ((stack, _, chunk), (array, bands)) in enumerate(groups.items())
    ]


def _finder(
    number: int, stack: int, array: da.Array, band_chunk: int | None, bands: list[tuple[int, int | None]]
) -> Finder:
    sizes = [*array.chunks[: array.ndim - 2 - (band_chunk is not None)], *array.chunks[-2:]]
    largest = math.prod(max(chunk, default=0) for chunk in sizes) * int(array.dtype.itemsize)
    largest *= 1 if band_chunk is None else int(array.chunks[-3][band_chunk])
    edges = tuple(tuple(itertools.accumulate(map(int, chunk), initial=0)) for chunk in sizes)
    return Finder(number, stack, array.name, band_chunk, tuple(bands), edges, largest > GIANT)


def _cut_out(
    piece: Piece, lead: tuple[tuple[int, int], ...], window: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[tuple[slice, ...], Piece]:
    """Return the index along (*lead, y, x), and the place, of the part of a chunk that a tile needs."""
    have = [*piece.lead, piece.y, piece.x]
    need = [_overlap(one, other) for one, other in zip(have, [*lead, *window], strict=True)]
    index = tuple(slice(start - origin, stop - origin) for (start, stop), (origin, _) in zip(need, have, strict=True))
    return index, Piece(piece.stack, tuple(need[:-2]), need[-2], need[-1], piece.bands)
