"""Read the parts of input chunks that a tile needs, and cut outputs into blocks; `halo` and `lattice` build on it.

Arrays and sizes only.
"""

from __future__ import annotations

import itertools
import math
import operator
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ..spec import Tile

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    """A NumPy array, or one of CuPy that behaves like it."""

    class TakesCoarse(Protocol):
        """Protocol of `two_resolutions.CoarseSource`."""

        def take(self, halo: int) -> tuple[Array, tuple[int, int]]:
            """Return the coarse pixels of a tile with a halo, and where in them it begins."""


SIDE = 512
"""Largest side of an output block by default, in input pixels."""

SIDE_LEAST = 64
"""Smallest side by default: a block of slivers costs more context than pixels."""

BYTES = 256 * 2**20
"""Largest output block by default."""

GIANT = 64 * 2**20
"""A chunk of more bytes than this is sliced by a task of its own: dask can push the slice into the reader where one
block is computed, and only the slice travels between machines."""

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


class Reader:
    """Finds what the tasks of one graph read, and adds tasks that slice giant chunks."""

    def __init__(self, stacks: Sequence[Sequence[BandArray]], slices: str) -> None:
        """stacks: groups of planes on one grid. slices: first part of the keys of what is cut out."""
        planes = [plane for stack in stacks for plane in stack]
        *lead, self.height, self.width = shape_of(planes[0])
        assert all(shape_of(plane) == (*lead, self.height, self.width) for plane in planes), "planes must share a grid"
        self.stacks = stacks
        self.arrays = list({array.name: array for array, _ in planes}.values())
        self.meta = planes[0][0]._meta
        self.lead_dims = len(lead)
        self._slices = slices
        self._finders = _finders(stacks)

    def gather(
        self, graph: dict[Any, Any], tile: Tile, reach: int, at: tuple[int, ...]
    ) -> tuple[list[Any], tuple[Piece, ...]]:
        """Return the keys of the chunks that hold a tile with `reach` pixels around it, and the place of each.

        at: what makes the keys of this task's slices its own. Tiles may hang over the edge of the scene.
        """
        window = spans(tile, reach, self.height, self.width)
        keys, pieces = [], []
        for finder in self._finders:
            for number, (chunk_key, piece) in enumerate(finder.find(tile.lead, *window)):
                if finder.nbytes(piece) > GIANT:
                    index, piece = _cut_out(piece, tile.lead, window)
                    sliced = (self._slices, finder.number, number, *at)
                    graph[sliced] = (_getitem(), chunk_key, finder.index(index))
                    chunk_key = sliced
                keys.append(chunk_key)
                pieces.append(piece)
        return keys, tuple(pieces)


def names_of(stacks: Sequence[Sequence[BandArray]]) -> list[list[tuple[str, int | None]]]:
    """Return what stands for the planes in a token."""
    return [[(array.name, index) for array, index in stack] for stack in stacks]


def as_array(
    graph: dict[Any, Any],
    key: str,
    blocks: Sequence[tuple[int, ...]],
    *,
    scale: int,
    bands: int,
    dtype: Any,
    reader: Reader,
    split: bool,
    also: Sequence[da.Array] = (),
) -> da.Array | list[da.Array]:
    """Wrap a low-level graph as a dask array (*lead, band, y * scale, x * scale), or with `split` as one per band.

    blocks: sizes in input pixels along (*lead, y, x). also: arrays that the graph reads beside the reader's.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    # An array in the task's own kind: a GPU array in gives a GPU array out.
    meta = np.empty_like(reader.meta, shape=(0,) * (reader.lead_dims + 3), dtype=dtype)
    layer = HighLevelGraph.from_collections(key, graph, dependencies=[*reader.arrays, *also])  # type: ignore[list-item]
    fine = [*blocks[:-2], (bands,), *(tuple(n * scale for n in sizes) for sizes in blocks[-2:])]
    whole = da.Array(layer, key, chunks=tuple(fine), meta=meta)
    return [_one_band(whole, band, f"{key}-band-{band}") for band in range(bands)] if split else whole


def _one_band(whole: da.Array, band: int, name: str) -> da.Array:
    """Return one band of blocks that hold all of them: (*lead, y, x), one small task a block."""
    return _view(whole, band, (*whole.chunks[:-3], *whole.chunks[-2:]), name)


def some_bands(whole: da.Array, first: int, count: int) -> da.Array:
    """Return consecutive bands of blocks that hold all of them, (*lead, count, y, x), one small task a block.

    Each block is a view of the whole one; slices by dask would be copies.
    """
    chunks = (*whole.chunks[:-3], (count,), *whole.chunks[-2:])
    return _view(whole, slice(first, first + count), chunks, f"{whole.name}-bands-{first}-{count}")


def _view(whole: da.Array, bands: int | slice, chunks: tuple[tuple[int, ...], ...], name: str) -> da.Array:
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    index = (*[slice(None)] * (whole.ndim - 3), bands)
    graph: dict[Any, Any] = {}
    for at in itertools.product(*(range(len(sizes)) for sizes in chunks)):
        lead = at[: whole.ndim - 3]
        graph[(name, *at)] = (operator.getitem, (whole.name, *lead, 0, *at[-2:]), index)
    layer = HighLevelGraph.from_collections(name, graph, dependencies=[whole])  # type: ignore[list-item]
    return da.Array(layer, name, chunks=chunks, meta=whole._meta.reshape((0,) * len(chunks)))


def choose_blocks(
    planes: Sequence[BandArray], chunks: Sequence[int | None] | None, bytes_per_pixel: int, *, least: int = SIDE_LEAST
) -> tuple[tuple[int, ...], ...]:
    """Choose the sizes of the output blocks, in input pixels, along (*lead, y, x); see `halo.map_tiles`.

    least: the smallest side that is chosen where none is asked for.
    """
    least = max(least, SIDE_LEAST)
    shape = shape_of(planes[0])
    asked = [None] * len(shape) if chunks is None else list(chunks)
    assert len(asked) == len(shape)
    sides: list[int] = [1 if side is None else side for side in asked[:-2]]
    for axis in (-2, -1):
        largest = max(max(array.chunks[axis]) for array, _ in planes)
        sides.append(asked[axis] or min(max(largest, least), max(SIDE, least)))
    if asked[-2] is None and asked[-1] is None:
        while np.prod(sides) * bytes_per_pixel > BYTES and max(sides[-2:]) > SIDE_LEAST:
            longer = -2 if sides[-2] >= sides[-1] else -1
            sides[longer] = -(-sides[longer] // 2)
    return tuple(_cut(length, min(side, length)) for length, side in zip(shape, sides, strict=True))


def _cut(length: int, side: int) -> tuple[int, ...]:
    whole, rest = divmod(length, side)
    return (side,) * whole + ((rest,) if rest else ())


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


class _Finder:
    """Finds the chunks of one array, along one chunk of its bands, that a window needs."""

    def __init__(
        self, number: int, stack: int, array: da.Array, band_chunk: int | None, bands: list[tuple[int, int | None]]
    ) -> None:
        self.number = number
        self.stack = stack
        self.array = array
        self.band_chunk = band_chunk
        self.bands = tuple(bands)
        sizes = [*array.chunks[: array.ndim - 2 - (band_chunk is not None)], *array.chunks[-2:]]
        self.edges = [[*itertools.accumulate(chunk, initial=0)] for chunk in sizes]

    def find(
        self, lead: tuple[tuple[int, int], ...], y: tuple[int, int], x: tuple[int, int]
    ) -> Iterator[tuple[tuple[Any, ...], Piece]]:
        """Return the key and the place of every chunk that touches the window."""
        ranges = [_touched(edges, window) for edges, window in zip(self.edges, (*lead, y, x), strict=True)]
        for at in itertools.product(*ranges):
            place = [(edges[n], edges[n + 1]) for edges, n in zip(self.edges, at, strict=True)]
            middle = () if self.band_chunk is None else (self.band_chunk,)
            key = (self.array.name, *at[:-2], *middle, *at[-2:])
            yield key, Piece(self.stack, tuple(place[:-2]), place[-2], place[-1], self.bands)

    def nbytes(self, piece: Piece) -> int:
        """Count the bytes of the whole chunk that a piece stands for."""
        sides = [stop - start for start, stop in (*piece.lead, piece.y, piece.x)]
        bands = 1 if self.band_chunk is None else self.array.chunks[-3][self.band_chunk]
        return math.prod(sides) * int(bands) * int(self.array.dtype.itemsize)

    def index(self, slices: tuple[slice, ...]) -> tuple[slice, ...]:
        """Put a slice for the band axis into an index along (*lead, y, x)."""
        middle = () if self.band_chunk is None else (slice(None),)
        return (*slices[:-2], *middle, *slices[-2:])


def _touched(edges: list[int], window: tuple[int, int]) -> range:
    """Get the numbers of the chunks that overlap a window that is not empty; chunks of size zero may be among them."""
    return range(bisect_right(edges, window[0]) - 1, bisect_right(edges, window[1] - 1))


def _finders(stacks: Sequence[Sequence[BandArray]]) -> list[_Finder]:
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
        _Finder(number, stack, array, chunk, bands)
        for number, ((stack, _, chunk), (array, bands)) in enumerate(groups.items())
    ]


def _cut_out(
    piece: Piece, lead: tuple[tuple[int, int], ...], window: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[tuple[slice, ...], Piece]:
    """Return the index along (*lead, y, x), and the place, of the part of a chunk that a tile needs."""
    have = [*piece.lead, piece.y, piece.x]
    need = [_overlap(one, other) for one, other in zip(have, [*lead, *window], strict=True)]
    index = tuple(slice(start - origin, stop - origin) for (start, stop), (origin, _) in zip(need, have, strict=True))
    return index, Piece(piece.stack, tuple(need[:-2]), need[-2], need[-1], piece.bands)
