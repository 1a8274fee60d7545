"""Make the tasks of tiles, windows and regions from their keys: what each reads, and the function that it calls.

Arrays are known by name and size only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dask._task_spec import Task, TaskRef

from ..spec import Tile
from .layer import TaskKey, TaskKeys, references
from .source import Job, Reader


class TilePlaces(Protocol):
    """Protocol of where the tiles of a layer lie."""

    @property
    def ranges(self) -> tuple[range, ...]:
        """What follows the name in a key. Places along one range do not depend on those along another."""

    def tile(self, at: tuple[int, ...]) -> Tile:
        """Return the tile at a place."""


class Beside(Protocol):
    """Protocol of what tasks read beside chunks of the grid of their tiles."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what is read."""

    def gather(self, job: Job, at: tuple[int, ...]) -> tuple[list[TaskKey], Callable[..., Any]]:
        """Return the keys of what the task at a place reads, and the function that gets it as its second argument."""

    def readings(self, tile: Tile, reach: int) -> list[tuple[Reader, Tile, int]]:
        """Return each reader that may slice giant chunks, and the tile and the reach that it is asked for."""


@dataclass(frozen=True)
class Blocks:
    """Output blocks side by side, as chunks of an array: places are (*lead, 0, row, column), with one chunk of bands.

    edges: of the blocks in input pixels, along (*lead, y, x). halo: what the tiles record as their context.
    """

    edges: tuple[tuple[int, ...], ...]
    halo: int

    @classmethod
    def of(cls, sizes: Sequence[Sequence[int]], halo: int) -> Blocks:
        """Return the blocks of some sizes along (*lead, y, x)."""
        return cls(tuple(tuple(itertools.accumulate(each, initial=0)) for each in sizes), halo)

    @property
    def ranges(self) -> tuple[range, ...]:
        """The numbers of the blocks."""
        *lead, rows, columns = (range(len(edges) - 1) for edges in self.edges)
        return (*lead, range(1), rows, columns)

    def tile(self, at: tuple[int, ...]) -> Tile:
        """Return the tile of a block."""
        numbers = (*at[:-3], *at[-2:])
        *lead, y, x = ((edges[n], edges[n + 1]) for edges, n in zip(self.edges, numbers, strict=True))
        return Tile(y=y, x=x, lead=tuple(lead), halo=self.halo)


@dataclass(frozen=True)
class TileMaker:
    """Makes one task for each tile, which calls `function(source, tile, *args)`, and those that slice giant chunks.

    name: first part of the keys. reach: pixels around a tile that its task reads. beside: what it reads beside. table:
    key of an array of one chunk that each task gets whole.
    """

    name: str
    places: TilePlaces
    reader: Reader
    function: Callable[..., Any]
    args: tuple[object, ...] = ()
    reach: int = 0
    beside: Beside | None = None
    table: TaskKey | None = None

    @property
    def keys(self) -> TaskKeys:
        """The keys of the tiles."""
        return TaskKeys(self.name, self.places.ranges)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tiles and, where chunks are sliced, of the slices."""
        if not len(self.keys):
            return (self.name,)
        first = tuple(positions.start for positions in self.places.ranges)
        return (self.name, *(reader.slices for reader, _, _ in self._readings(first) if reader.cuts))

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the arrays that are read."""
        beside = () if self.beside is None else self.beside.names
        return (*self.reader.names, *beside, *(() if self.table is None else self.table[:1]))

    def own(self) -> Iterator[TaskKey]:
        """Return the keys of the slices."""
        if len(self.names) > 1:
            for at in itertools.product(*self.places.ranges):
                yield from self._slices(at)

    def own_count(self) -> int:
        """Count the slices: for each array a product of sums along the axes, which do not depend on each other."""
        if len(self.names) == 1:
            return 0
        first = tuple(positions.start for positions in self.places.ranges)
        counts = self._slice_counts(first)
        if 0 in counts:  # the first tile reads nothing
            return sum(1 for _ in self.own())
        totals = [1] * len(counts)
        for axis, positions in enumerate(self.places.ranges):
            along = [self._slice_counts((*first[:axis], n, *first[axis + 1 :])) for n in positions]
            totals = [total * sum(each) for total, each in zip(totals, zip(*along, strict=True), strict=True)]
        others = len(first) - 1  # axes on which the first place was counted again
        return sum(total // count**others for total, count in zip(totals, counts, strict=True))

    def task(self, key: TaskKey) -> Task:
        """Make the task of a tile, or of a slice. Raises KeyError for a key of neither."""
        if key not in self.keys:
            at = key[3:]
            if (self.name, *at) not in self.keys:
                raise KeyError(key)
            return self._slices(at)[key]
        at = key[1:]
        tile = self.places.tile(at)
        keys, pieces = self.reader.gather(tile, self.reach, at)
        job = Job(self.function, self.args, pieces, tile, self.reader.height, self.reader.width, self.reach)
        table = () if self.table is None else (TaskRef(self.table),)
        if self.beside is None:
            return Task(key, job, references(keys), *((None, *table) if table else ()))
        more, function = self.beside.gather(job, at)
        return Task(key, function, references(keys), references(more), *table)

    def _readings(self, at: tuple[int, ...]) -> list[tuple[Reader, Tile, int]]:
        tile = self.places.tile(at)
        beside = [] if self.beside is None else self.beside.readings(tile, self.reach)
        return [(self.reader, tile, self.reach), *beside]

    def _slices(self, at: tuple[int, ...]) -> dict[TaskKey, Task]:
        return {
            key: task
            for reader, tile, reach in self._readings(at)
            for key, task in reader.slicing(tile, reach, at).items()
        }

    def _slice_counts(self, at: tuple[int, ...]) -> list[int]:
        return [count for reader, tile, reach in self._readings(at) for count in reader.slice_counts(tile, reach)]
