"""The tasks that write, one per block of a variable or of a coarser level, and graphs of them, region by region.

What runs in a task is a function at module level that gets arrays, a handle of a Zarr array and numbers; it returns how
many values were clipped. Every Zarr chunk is written by one task, whole, so no locks are needed anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import StorePath

from ...errors import StoreError
from ...runtime.execute import Graph
from .claim import refuse_lost
from .content import Field
from .encoding import Packing, pack_block
from .layout import Cut
from .reach import Session, merge_forks, own_fork
from .target import cannot_write

Region: TypeAlias = tuple[int, int]
Place: TypeAlias = tuple[tuple[slice | int, ...], tuple[slice | int, ...]]
"""Which part of a block goes where in the Zarr array."""

_GRAPH_BLOCKS = 512
"""Blocks per graph: enough to hide what a graph costs, few enough that its tasks weigh nothing."""


@dataclass(frozen=True, eq=False)
class Sink:
    """Where the blocks of a field go.

    array: at its final length, published or not. claim: the id of the claim under which they are written.
    forked: its store is a fork of a session, see `reach`.
    """

    array: zarr.Array[Any]
    packing: Packing
    label: str
    claim: str = ""
    forked: bool = False


@dataclass(frozen=True, eq=False)
class WrittenBlocks:
    """What tasks did. clipped: number of values. changes: the fork that holds what they wrote, if their sink is one."""

    clipped: int
    changes: Session | None = None


@dataclass(frozen=True)
class WriteStep:
    """One block along time: which of its dates are written where.

    start: its first date. moves: (date of the content, slot in the store).
    """

    number: int
    start: int
    moves: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Work:
    """Regions of one step that are computed together. fields: with their sinks; static ones only where they are due."""

    step: WriteStep
    regions: tuple[Region, ...]
    fields: tuple[tuple[Field, Sink], ...]


@dataclass(frozen=True, eq=False)
class CoarserWork:
    """Regions of one date of a coarser level. fields: with the sink of the finer level and their own."""

    slot: int
    regions: tuple[Region, ...]
    fields: tuple[tuple[Field, Sink, Sink], ...]


def write_block(block: NDArray[Any], sink: Sink, places: tuple[Place, ...]) -> WrittenBlocks:
    """Pack a block and write it to its chunks. Raises StoreError if it fails."""
    clipped = 0
    sink, changes = _own(sink)
    for part, place in places:
        packed, beyond = pack_block(block[part], sink.packing)
        clipped += beyond
        _put(sink, place, packed)
    return WrittenBlocks(clipped, changes)


def together(parts: Sequence[WrittenBlocks]) -> WrittenBlocks:
    """Put together what the tasks of a region did."""
    forks = [part.changes for part in parts if part.changes is not None]
    return WrittenBlocks(sum(part.clipped for part in parts), merge_forks(forks))


def write_coarser(
    source: Sink, sink: Sink, place: tuple[slice | int, ...], axes: tuple[int, int], sizes: tuple[int, int]
) -> WrittenBlocks:
    """Read the block of the finer level below a block, halve it, write it; nothing is clipped.

    place: of the block in the coarser array. axes: of y and x. sizes: of the finer level along them.
    Numbers that can be missing are averaged over what is there; classes, masks and counts keep the first pixel of four.
    """
    finer = list(place)
    for axis, size in zip(axes, sizes, strict=True):
        window = place[axis]
        assert isinstance(window, slice)
        finer[axis] = slice(2 * window.start, min(2 * window.stop, size))
    kept = [axis for axis, index in enumerate(place) if isinstance(index, slice)]
    values = np.asarray(source.array[tuple(finer)])
    sink, changes = _own(sink)
    _put(sink, place, halve(values, (kept.index(axes[0]), kept.index(axes[1])), sink.packing))
    return WrittenBlocks(0, changes)


def halve(values: NDArray[Any], axes: tuple[int, int], packing: Packing) -> NDArray[Any]:
    """Average 2 x 2 pixels as they are stored, fill values left out; four of them give the fill value.

    values: any shape with y and x at `axes`. An odd last row or column is averaged with nothing.
    """
    corners = [
        values[_at(values.ndim, axes, (slice(row, None, 2), slice(col, None, 2)))]
        for row, col in itertools.product((0, 1), repeat=2)
    ]
    first = corners[0]
    if packing.fill is None:
        return np.ascontiguousarray(first)
    dtype = np.float64 if values.dtype == np.float64 else np.float32
    total, count = np.zeros(first.shape, dtype), np.zeros(first.shape, np.int8)
    for corner in corners:
        here = tuple(slice(size) for size in corner.shape)
        valid = ~np.isnan(corner) if np.isnan(packing.fill) else corner != packing.fill
        np.add(total[here], corner, out=total[here], where=valid, casting="same_kind")
        count[here] += valid
    with np.errstate(invalid="ignore", divide="ignore"):
        total /= count
    if packing.scale is not None:
        np.rint(total, out=total)
        np.copyto(total, packing.fill, where=count == 0)
    halved: NDArray[Any] = total.astype(values.dtype)
    return halved


def graphs(works: Iterable[Work], y: Cut, x: Cut, dims: tuple[str, str, str | None]) -> Iterator[Graph]:
    """Make the graphs that write regions of lazy fields.

    dims: names of y, x and time. Each block of a region has a task with the key ("write...", ..., *block), each
    region one with the key ("region", number of the work, row, col, ...), whose result is what was `Written` in it;
    that makes the tasks of a region run next to each other. Both kinds are watched.
    """
    from dask.array.optimization import optimize
    from dask.highlevelgraph import HighLevelGraph

    for number_of_work, work in enumerate(works):
        token = uuid4().hex
        layer: dict[Any, Any] = {}
        sums: dict[Hashable, Any] = {}
        for row, col in work.regions:
            keys: list[Hashable] = []
            for number, (field, sink) in enumerate(work.fields):
                for index in _blocks(field, y, x, (row, col), work.step, dims):
                    key = (f"write-{token}", token, number, *index)
                    places = _places(field, index, work.step, dims[2])
                    layer[key] = (write_block, (field.array.name, *index), sink, places)
                    keys.append(key)
            sums[("region", number_of_work, row, col, token)] = (together, keys)
        arrays = {field.array.name: field.array for field, _ in work.fields}
        needs: list[Any] = list(arrays.values())
        written = HighLevelGraph.from_collections(f"write-{token}", layer, dependencies=needs)
        # dask's own optimization fuses each write with the task that makes its block, so that none waits in memory.
        tasks = dict(optimize(written, list(layer)))
        yield Graph({**tasks, **sums}, (*layer, *sums))


def region_of(key: Hashable) -> tuple[int, Region] | None:
    """Read the key of a watched task: (number of the work, region) of a region, None of a block."""
    if isinstance(key, tuple) and key[0] == "region":
        return int(key[1]), (int(key[2]), int(key[3]))
    return None


def coarser_graphs(
    works: Iterable[CoarserWork], cuts: tuple[Cut, Cut], finer: tuple[int, int], dims: tuple[str, str, str | None]
) -> Iterator[Graph]:
    """Make the graphs that write regions of a coarser level from what is stored of the finer one; keys as in `graphs`.

    cuts: y and x of the coarser level. finer: size of the finer one along y and x.
    """
    for number_of_work, work in enumerate(works):
        token = uuid4().hex
        tasks: dict[Hashable, Any] = {}
        for row, col in work.regions:
            keys: list[Hashable] = []
            for number, (field, source, sink) in enumerate(work.fields):
                axes = field.dims.index(dims[0]), field.dims.index(dims[1])
                for i, j in itertools.product(cuts[0].blocks_of(row), cuts[1].blocks_of(col)):
                    place: list[slice | int] = [slice(None)] * len(field.dims)
                    place[axes[0]] = slice(cuts[0].edges[i], cuts[0].edges[i + 1])
                    place[axes[1]] = slice(cuts[1].edges[j], cuts[1].edges[j + 1])
                    if dims[2] in field.dims:
                        place[field.dims.index(dims[2])] = work.slot
                    key = (f"coarser-{token}", token, number, i, j)
                    tasks[key] = (write_coarser, source, sink, tuple(place), axes, finer)
                    keys.append(key)
            tasks[("region", number_of_work, row, col, token)] = (together, keys)
        yield Graph(tasks, tuple(tasks))


def batches(regions: Sequence[Region], per_region: int) -> Iterator[tuple[Region, ...]]:
    """Split the regions of a step into as many as fit one graph."""
    size = max(1, _GRAPH_BLOCKS // max(per_region, 1))
    for start in range(0, len(regions), size):
        yield tuple(regions[start : start + size])


def count_coarser(cuts: tuple[Cut, Cut], region: Region) -> int:
    """Count the blocks of a field in a region of a coarser level."""
    return len(cuts[0].blocks_of(region[0])) * len(cuts[1].blocks_of(region[1]))


def count_blocks(field: Field, cuts: tuple[Cut, Cut], dims: tuple[str, str, str | None], region: Region) -> int:
    """Count the blocks of a field in a region of one step."""
    others = 1
    for dim, sizes in zip(field.dims, field.array.chunks, strict=True):
        if dim not in dims:
            others *= len(sizes)
    return others * count_coarser(cuts, region)


def _blocks(
    field: Field, y: Cut, x: Cut, region: Region, step: WriteStep, dims: tuple[str, str, str | None]
) -> Iterator[tuple[int, ...]]:
    ranges: list[Iterable[int]] = []
    for dim, sizes in zip(field.dims, field.array.chunks, strict=True):
        if dim == dims[0]:
            ranges.append(y.blocks_of(region[0]))
        elif dim == dims[1]:
            ranges.append(x.blocks_of(region[1]))
        elif dim == dims[2]:
            ranges.append((step.number,))
        else:
            ranges.append(range(len(sizes)))
    return itertools.product(*ranges)


def _places(field: Field, index: tuple[int, ...], step: WriteStep, time: str | None) -> tuple[Place, ...]:
    starts = [sum(sizes[:number]) for sizes, number in zip(field.array.chunks, index, strict=True)]
    part: list[slice | int] = [slice(None)] * len(index)
    place: list[slice | int] = [
        slice(start, start + sizes[number])
        for start, sizes, number in zip(starts, field.array.chunks, index, strict=True)
    ]
    if time not in field.dims:
        return ((tuple(part), tuple(place)),)
    axis = field.dims.index(time)
    places = []
    for position, slot in step.moves:
        part[axis], place[axis] = position - step.start, slot
        places.append((tuple(part), tuple(place)))
    return tuple(places)


def _own(sink: Sink) -> tuple[Sink, Session | None]:
    """Return a task with a fork of its own, where the sink is one of a session."""
    if not sink.forked:
        return sink, None
    store, session = own_fork(sink.array.store)
    path = StorePath(store, sink.array.path)
    array = zarr.Array.from_dict(path, sink.array.metadata.to_dict()).with_config(sink.array.config)
    return replace(sink, array=array), session


def chunk_keys(array: zarr.Array[Any], window: Sequence[slice | int]) -> list[str]:
    """Return the keys of a store that hold a window of an array: its chunks, or its shards.

    window: for each dimension a position, or a slice with both ends.
    """
    ranges = [
        range(place // unit, place // unit + 1)
        if isinstance(place, int)
        else range(place.start // unit, -(-place.stop // unit))
        for place, unit in zip(window, array.shards or array.chunks, strict=True)
    ]
    encode = array.metadata.encode_chunk_key
    return [f"{array.path}/{encode(numbers)}" for numbers in itertools.product(*ranges)]


def _put(sink: Sink, place: tuple[slice | int, ...], values: NDArray[Any]) -> None:
    try:
        refuse_lost(sink.claim)
        sink.array[place] = values
    except StoreError:
        raise
    except Exception as error:
        raise cannot_write(f"{sink.array.path!r} of {sink.label}", error) from error


def _at(ndim: int, axes: tuple[int, int], windows: tuple[slice, slice]) -> tuple[slice, ...]:
    index = [slice(None)] * ndim
    for axis, window in zip(axes, windows, strict=True):
        index[axis] = window
    return tuple(index)
