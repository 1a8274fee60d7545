"""The tasks that write, one per block of a variable or of a coarser level, and graphs of them, region by region.

What runs in a task is a function at module level that gets arrays, a handle of a Zarr array and numbers; it returns how
many values were clipped. Every Zarr chunk is written by one task, whole, so no locks are needed anywhere.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
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
from .layout import Cut, edges_of
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
    """What tasks did.

    clipped: number of values, by variable. changes: the fork that holds what they wrote, if their sink is one.
    """

    clipped: Counter[str]
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
    """Regions of one level that are computed together, for the same dates.

    level: 0 is the finest, computed from the blocks of `step`; a coarser one is made of what is stored of the level
    below, one date at a time. cut: of the level along y and x. dims: names of y, x and time. fields: each with the sink
    of the finer level (None at level 0) and its own; static ones only where they are due.
    """

    level: int
    cut: tuple[Cut, Cut]
    dims: tuple[str, str, str | None]
    step: WriteStep
    regions: tuple[Region, ...]
    fields: tuple[tuple[Field, Sink | None, Sink], ...]

    def blocks(self, field: Field, region: Region) -> list[range]:
        """Number the blocks of a field in a region along each dimension; coarser levels have one along others."""
        (y, x), (row, col) = self.cut, region
        steps = range(self.step.number, self.step.number + 1)
        here = dict(zip(self.dims, (y.blocks_of(row), x.blocks_of(col), steps), strict=True))
        chunks = zip(field.dims, field.array.chunks, strict=True)
        return [here.get(dim, range(1 if self.level else len(sizes))) for dim, sizes in chunks]

    def count(self) -> int:
        """Count the blocks of all fields in all regions."""
        return sum(
            math.prod(map(len, self.blocks(field, region))) for field, _, _ in self.fields for region in self.regions
        )

    def split(self) -> Iterator[Work]:
        """Split into as many regions as fit one graph."""
        per_region = replace(self, regions=self.regions[:1]).count()
        return (replace(self, regions=part) for part in batches(self.regions, per_region))


def write_block(block: NDArray[Any], sink: Sink, places: tuple[Place, ...]) -> WrittenBlocks:
    """Pack a block and write it to its chunks. Raises StoreError if it fails."""
    clipped: Counter[str] = Counter()
    sink, changes = _own(sink)
    for part, place in places:
        packed, beyond = pack_block(block[part], sink.packing)
        if beyond:
            clipped[sink.array.basename] += beyond
        _put(sink, place, packed)
    return WrittenBlocks(clipped, changes)


def together(parts: Sequence[WrittenBlocks]) -> WrittenBlocks:
    """Put together what the tasks of a region did."""
    forks = [part.changes for part in parts if part.changes is not None]
    return WrittenBlocks(sum((part.clipped for part in parts), Counter()), merge_forks(forks))


def write_coarser(source: Sink, sink: Sink, place: tuple[slice | int, ...], axes: tuple[int, int]) -> WrittenBlocks:
    """Read the block of the finer level below a block, halve it, write it; nothing is clipped.

    place: of the block in the coarser array. axes: of y and x.
    Numbers that can be missing are averaged over what is there; classes, masks and counts keep the first pixel of four.
    """
    finer = list(place)
    for axis in axes:
        window = place[axis]
        assert isinstance(window, slice)
        finer[axis] = slice(2 * window.start, 2 * window.stop)  # may end beyond an odd side, as slices do
    kept = [axis for axis, index in enumerate(place) if isinstance(index, slice)]
    values = np.asarray(source.array[tuple(finer)])
    sink, changes = _own(sink)
    _put(sink, place, halve(values, (kept.index(axes[0]), kept.index(axes[1])), sink.packing))
    return WrittenBlocks(Counter(), changes)


def halve(values: NDArray[Any], axes: tuple[int, int], packing: Packing) -> NDArray[Any]:
    """Average 2 x 2 pixels as they are stored, fill values left out; four of them give the fill value.

    values: any shape with y and x at `axes`. An odd last row or column is averaged with nothing.
    """
    last = np.moveaxis(values, axes, (-2, -1))
    corners = [last[..., row::2, col::2] for row, col in itertools.product((0, 1), repeat=2)]
    if packing.fill is None:
        return np.ascontiguousarray(np.moveaxis(corners[0], (-2, -1), axes))
    dtype = np.float64 if values.dtype == np.float64 else np.float32
    total, count = np.zeros(corners[0].shape, dtype), np.zeros(corners[0].shape, np.int8)
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
    halved: NDArray[Any] = np.moveaxis(total, (-2, -1), axes).astype(values.dtype)
    return halved


def graphs(works: Iterable[Work]) -> Iterator[Graph]:
    """Make the graphs that write regions, of lazy fields or of the level below.

    Each block of a region has a task with the key ("write...", ..., *block), each region one with the key ("region",
    number of the work, row, col, ...), whose result is what was `Written` in it; that makes the tasks of a region run
    next to each other. Both kinds are watched.
    """
    from dask.array.optimization import optimize
    from dask.highlevelgraph import HighLevelGraph

    for number_of_work, work in enumerate(works):
        token = uuid4().hex
        layer: dict[Any, Any] = {}
        sums: dict[Hashable, Any] = {}
        for region in work.regions:
            keys: list[Hashable] = []
            for number, (field, source, sink) in enumerate(work.fields):
                for index in itertools.product(*work.blocks(field, region)):
                    key = (f"write-{token}", token, number, *index)
                    if source is None:
                        places = _places(field, index, work)
                        layer[key] = (write_block, (field.array.name, *index), sink, places)
                    else:
                        axes = field.dims.index(work.dims[0]), field.dims.index(work.dims[1])
                        layer[key] = (write_coarser, source, sink, _coarser_place(field, index, work), axes)
                    keys.append(key)
            sums[("region", number_of_work, *region, token)] = (together, keys)
        arrays = {field.array.name: field.array for field, source, _ in work.fields if source is None}
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


def batches(regions: Sequence[Region], per_region: int) -> Iterator[tuple[Region, ...]]:
    """Split the regions of a step into as many as fit one graph."""
    size = max(1, _GRAPH_BLOCKS // max(per_region, 1))
    for start in range(0, len(regions), size):
        yield tuple(regions[start : start + size])


def _places(field: Field, index: tuple[int, ...], work: Work) -> tuple[Place, ...]:
    """Say which parts of a block go where: each date of the step that lacks it, or all of a field without time."""
    part: list[slice | int] = [slice(None)] * len(index)
    place: list[slice | int] = [
        slice(*edges_of(sizes)[number : number + 2]) for sizes, number in zip(field.array.chunks, index, strict=True)
    ]
    if work.dims[2] not in field.dims:
        return ((tuple(part), tuple(place)),)
    axis = field.dims.index(work.dims[2])
    places = []
    for position, slot in work.step.moves:
        part[axis], place[axis] = position - work.step.start, slot
        places.append((tuple(part), tuple(place)))
    return tuple(places)


def _coarser_place(field: Field, index: tuple[int, ...], work: Work) -> tuple[slice | int, ...]:
    """Say where a block of a coarser level goes: at its pixels, of its one date, whole along other dimensions."""
    at = dict(zip(field.dims, index, strict=True))
    spans = [slice(*cut.edges[at[dim] : at[dim] + 2]) for cut, dim in zip(work.cut, work.dims[:2], strict=True)]
    place: dict[str | None, slice | int] = dict(zip(work.dims, (*spans, work.step.moves[0][1]), strict=True))
    return tuple(place.get(dim, slice(None)) for dim in field.dims)


def _own(sink: Sink) -> tuple[Sink, Session | None]:
    """Return a task with a fork of its own, where the sink is one of a session."""
    if not sink.forked:
        return sink, None
    store, session = own_fork(sink.array.store)
    path = StorePath(store, sink.array.path)
    array = zarr.Array.from_dict(path, sink.array.metadata.to_dict()).with_config(sink.array.config)
    return replace(sink, array=array), session


def chunks_in(array: zarr.Array[Any], window: Sequence[slice | int]) -> dict[str, tuple[slice | int, ...]]:
    """Return the parts of a window that lie in one chunk of an array, or shard, by the keys of a store that hold them.

    window: for each dimension a position, or a slice with both ends.
    """
    parts: list[dict[int, slice | int]] = []
    for place, unit in zip(window, array.shards or array.chunks, strict=True):
        if isinstance(place, int):
            parts.append({place // unit: place})
        else:
            numbers = range(place.start // unit, -(-place.stop // unit))
            parts.append({n: slice(max(n * unit, place.start), min((n + 1) * unit, place.stop)) for n in numbers})
    encode = array.metadata.encode_chunk_key
    return {
        f"{array.path}/{encode(numbers)}": tuple(part[number] for part, number in zip(parts, numbers, strict=True))
        for numbers in itertools.product(*parts)
    }


def _put(sink: Sink, place: tuple[slice | int, ...], values: NDArray[Any]) -> None:
    try:
        refuse_lost(sink.claim)
        sink.array[place] = values
    except StoreError:
        raise
    except Exception as error:
        raise cannot_write(f"{sink.array.path!r} of {sink.label}", error) from error
