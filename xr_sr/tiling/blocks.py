"""Choose the sizes of output blocks, and wrap the tasks that make them as lazy arrays. Arrays and sizes only."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from dask._task_spec import Task, TaskRef
from dask.highlevelgraph import HighLevelGraph

from .layer import MadeLayer, TaskKey, TaskKeys, TaskMaker
from .source import BandArray, arrays_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dask.array as da

SIDE = 512
"""Largest side of an output block by default, in input pixels."""

SIDE_LEAST = 64
"""Smallest side by default: a block of slivers costs more context than pixels."""

BYTES = 256 * 2**20
"""Largest output block by default."""


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


def as_array(
    makers: Sequence[TaskMaker],
    blocks: Sequence[tuple[int, ...]],
    stacks: Sequence[Sequence[BandArray]],
    *,
    scale: int,
    bands: int,
    dtype: Any,
    split: bool,
) -> da.Array | list[da.Array]:
    """Return a dask array (*lead, band, y * scale, x * scale) of tasks not made yet, or with `split` one per band.

    makers: that of the blocks last; those before it make what it reads. blocks: sizes in input pixels along (*lead, y,
    x). stacks: all that is read; the first array of the first one says of which kind the result is.
    """
    import dask.array as da

    # An array in the task's own kind: a GPU array in gives a GPU array out.
    like = stacks[0][0][0]._meta
    meta = np.empty_like(like, shape=(0,) * (len(blocks) + 1), dtype=dtype)
    fine = [*blocks[:-2], (bands,), *(tuple(n * scale for n in sizes) for sizes in blocks[-2:])]
    name = makers[-1].names[0]
    whole = da.Array(layered(makers, arrays_of(stacks)), name, chunks=tuple(fine), meta=meta)
    return [_one_band(whole, band, f"{name}-band-{band}") for band in range(bands)] if split else whole


def layered(makers: Sequence[TaskMaker], arrays: Sequence[da.Array]) -> HighLevelGraph:
    """Return the graph of some arrays and of a layer for each maker, of which the last reads those before it."""
    *inner, outer = makers
    graph = HighLevelGraph.from_collections(outer.names[0], MadeLayer(outer), dependencies=arrays)  # type: ignore[arg-type]
    layers, needs = dict(graph.layers), dict(graph.dependencies)
    for maker in inner:
        name = maker.names[0]
        layers[name] = MadeLayer(maker)
        needs[name] = {layer for array in arrays if array.name in maker.sources for layer in array.__dask_layers__()}
        needs[outer.names[0]] = {*needs[outer.names[0]], name}
    return HighLevelGraph(layers, needs)


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

    maker = BandMaker(name, (whole.name,), tuple(range(len(sizes)) for sizes in chunks), whole.ndim - 3, bands)
    graph = layered([maker], [whole])
    return da.Array(graph, name, chunks=chunks, meta=whole._meta.reshape((0,) * len(chunks)))


def stacked(bands: Sequence[da.Array]) -> da.Array:
    """Return arrays (*lead, y, x) of the same blocks as one, (*lead, band, y, x), one small task a block of a band.

    The array is that of `dask.array.stack`, which makes all tasks at once.
    """
    import dask.array as da
    from dask.base import tokenize

    first = bands[0]
    assert all(each.chunks == first.chunks and each.dtype == first.dtype for each in bands), "blocks of bands differ"
    lead = first.ndim - 2
    names = [each.name for each in bands]
    name = f"stack-{tokenize(names, lead)}"
    chunks = (*first.chunks[:lead], (1,) * len(bands), *first.chunks[lead:])
    maker = BandMaker(name, tuple(names), tuple(range(len(sizes)) for sizes in chunks), lead, None)
    return da.Array(layered([maker], bands), name, chunks=chunks, meta=np.expand_dims(first._meta, lead))


@dataclass(frozen=True)
class BandMaker:
    """Makes tasks that each take bands out of a block of all, (*lead, band, y, x), or turn a band into such a block.

    blocks: names of the arrays of the blocks: one of all bands, or one of each band. ranges: of the numbers in the keys
    of its own; lead: how many of them come before the bands. bands: index along the bands; None makes their axis.
    """

    name: str
    blocks: tuple[str, ...]
    ranges: tuple[range, ...]
    lead: int
    bands: int | slice | None

    @property
    def keys(self) -> TaskKeys:
        """The keys of the blocks."""
        return TaskKeys(self.name, self.ranges)

    @property
    def names(self) -> tuple[str, ...]:
        """The one name of its keys."""
        return (self.name,)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the blocks that are read."""
        return self.blocks

    def own(self) -> Iterator[TaskKey]:
        """Return nothing: there are no other tasks."""
        return iter(())

    def own_count(self) -> int:
        """Return 0."""
        return 0

    def task(self, key: TaskKey) -> Task:
        """Make the task of a block. Raises KeyError for another key."""
        if key not in self.keys:
            raise KeyError(key)
        lead, place = key[1 : self.lead + 1], key[-2:]
        block = (self.blocks[key[-3]], *lead, *place) if self.bands is None else (self.blocks[0], *lead, 0, *place)
        return Task(key, operator.getitem, TaskRef(block), (*[slice(None)] * self.lead, self.bands))
