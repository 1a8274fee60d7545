"""One run over a store: what is left to do, in which order it is done, and when a date is published."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...arguments import count_of
from ...errors import StoreError
from ...radiometry.resolve import OFFSET_COORD
from ...runtime.execute import Graph, run_graphs
from . import layout
from .blocks import (
    CoarserWork,
    Region,
    Sink,
    Work,
    WriteStep,
    WrittenBlocks,
    batches,
    chunk_keys,
    coarser_graphs,
    count_blocks,
    count_coarser,
    graphs,
    region_of,
)
from .claim import Claim
from .content import Content, Field
from .documents import require_array
from .layout import Cut
from .ledger import Ledger, open_ledger, pending, published, reserve
from .reach import fork_of, merge_into
from .record import Record
from .target import Target, cannot_write, join_path
from .template import publish, stored_length, stretched, write_small

_PUBLISH_S = 1.0
"""Seconds between two publications of whole dates, unless the work ends."""

_Done: TypeAlias = tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, eq=False)
class _Job:
    """What the regions of one work are for. moves: (date of the content, slot). fields: with their sinks."""

    moves: tuple[tuple[int, int], ...]
    fields: tuple[tuple[Field, Sink], ...]


@dataclass(eq=False)
class Run:
    """One run.

    content: with the blocks of the first of `cuts`. slots: where each of its dates goes; (0,) without time. length:
    dates that are published; room: with those that are being added. done: per level, (date of the content, region_y,
    region_x). claim: checked before anything counts as written. clipped: values, so far. fork: what tasks write to,
    where that is not the target. published_at: on the monotonic clock.
    """

    target: Target
    record: Record
    content: Content
    cuts: tuple[tuple[Cut, Cut], ...]
    slots: tuple[int, ...]
    length: int
    room: int
    ledgers: tuple[Ledger, ...]
    done: _Done
    claim: Claim
    clipped: int = 0
    fork: Target | None = None
    published_at: float = -math.inf
    sinks: dict[tuple[int, str], Sink] = field(default_factory=dict)
    dates: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        """Return which date of the content goes to each slot."""
        self.dates = {slot: date for date, slot in enumerate(self.slots)}

    @classmethod
    def begin(cls, target: Target, record: Record, content: Content, cut: tuple[Cut, Cut], claim: Claim) -> Run:
        """Mend what a kill has torn, give each date a slot, and read the ledgers.

        Where the store commits, new dates are there at once: nobody sees them before the commit.
        """
        length = stored_length(target, record)
        publish(target, record, length)
        slots = _slots(target, record, content, length)
        if target.commits and length is not None and max(slots, default=0) >= length:
            new = [date for date, slot in enumerate(slots) if slot >= length]
            length = max(slots) + 1
            publish(target, record, length)
            write_small(target, record, content.small, new, [slots[date] for date in new])
        room = max(length or 0, max(slots, default=-1) + 1)
        ledgers = tuple(open_ledger(target, record, level, room) for level in range(len(record.cuts)))
        cuts = (cut, *(record.cut(level) for level in range(1, len(record.cuts))))
        done = tuple(ledger.done(slots) for ledger in ledgers)
        return cls(target, record, content, cuts, slots, length or 0, room, ledgers, done, claim)

    @property
    def total_blocks(self) -> int:
        """Count the blocks of the whole call, those of the pyramid too."""
        return self._count(tuple(np.zeros_like(level) for level in self.done))

    @property
    def done_blocks(self) -> int:
        """Count the blocks that earlier runs have done."""
        return self.total_blocks - self._count(self.done)

    def finish(self, advance: Callable[[int], None]) -> None:
        """Write what is not done, and publish each date when it is whole. advance: called for each block."""
        self._publish_whole()
        steps = self._steps()
        # Without a pyramid the graphs of all dates form one queue: a cluster need not wait for the end of a date.
        for together in [[step] for step in steps] if len(self.cuts) > 1 else [steps]:
            self._renew_fork()
            works = [work for step in together for work in self._works(step, self.done[0])]
            jobs = [_Job(work.step.moves, tuple(work.fields)) for work in works]
            self._run(graphs(works, *self.cuts[0], self._dims), 0, jobs, advance)
            for level in range(1, len(self.cuts)):
                self._renew_fork()
                coarser = [work for step in together for work in self._coarser(level, step, self.done[level])]
                finer = self.cuts[level - 1][0].size, self.cuts[level - 1][1].size
                jobs = [
                    _Job(((self.dates[work.slot], work.slot),), tuple((each, sink) for each, _, sink in work.fields))
                    for work in coarser
                ]
                self._run(coarser_graphs(coarser, self.cuts[level], finer, self._dims), level, jobs, advance)
            self._publish_whole()

    @property
    def _dims(self) -> tuple[str, str, str | None]:
        return self.content.y, self.content.x, self.content.time

    def _renew_fork(self) -> None:
        """Let tasks see all that is written so far, where they write to a fork."""
        try:
            self.fork = fork_of(self.target)
        except Exception as error:
            raise cannot_write(f"to a fork of {self.target.label}", error) from error
        if self.fork is not None:
            self.sinks.clear()

    def _run(self, graphs: Iterable[Graph], level: int, jobs: Sequence[_Job], advance: Callable[[int], None]) -> None:
        def ended(key: Hashable, written: WrittenBlocks) -> None:
            found = region_of(key)
            if found is None:
                advance(1)
                return
            number, region = found
            self.clipped += written.clipped
            with self.target.writing("the ledger"):
                merge_into(self.target, written.changes)
                self.claim.check()
                self._refuse_lost(level, jobs[number], region)
                for position, slot in jobs[number].moves:
                    self.ledgers[level].mark(slot, *region)
                    self.done[level][(position, *region)] = True
            # Each costs some ten writes: not after every one of a thousand small dates.
            if len(self.cuts) == 1 and time.monotonic() - self.published_at > _PUBLISH_S:
                self._publish_whole()

        run_graphs(graphs, ended)

    def _refuse_lost(self, level: int, job: _Job, region: Region) -> None:
        """Raise StoreError if a chunk of a region cannot be read back through the store of this process."""
        keys = [
            key
            for each, sink in job.fields
            for slot in ([slot for _, slot in job.moves] if self.content.time in each.dims else [0])
            for key in chunk_keys(sink.array, self._window(each, level, region, slot, sink.array.shape))
        ]
        lost = set(keys) - self.target.present(keys)
        if lost:
            raise StoreError(
                f"{len(lost)} of {count_of(len(keys), 'chunk')} of a region of {self.target.label} cannot be found "
                f"after writing, such as {min(lost)}. Do all workers reach this store, and does nothing else write to "
                "it? What is done is kept: mend that, and run the same call again."
            )

    def _window(
        self, each: Field, level: int, region: Region, slot: int, shape: Sequence[int]
    ) -> tuple[slice | int, ...]:
        """Return the place of a region of one date in the array of a field."""
        y, x = (
            slice(axis.regions[number], axis.regions[number + 1])
            for axis, number in zip(self.cuts[level], region, strict=True)
        )
        place: dict[str | None, slice | int] = {self.content.y: y, self.content.x: x, self.content.time: slot}
        return tuple(place.get(dim, slice(0, size)) for dim, size in zip(each.dims, shape, strict=True))

    def _publish_whole(self) -> None:
        """Publish the dates that follow on what is published and are done at all levels."""
        if self.content.stamps is None:
            return
        slots: list[int] = []
        dates: list[int] = []
        while (slot := self.length + len(slots)) in self.dates and self._is_whole(self.dates[slot]):
            slots.append(slot)
            dates.append(self.dates[slot])
        if slots:
            with self.target.writing("the time axis"):
                self.claim.check()
                write_small(self.target, self.record, self.content.small, dates, slots)
                publish(self.target, self.record, self.length + len(slots))
            self.length += len(slots)
            self.published_at = time.monotonic()

    def _is_whole(self, date: int) -> bool:
        return all(bool(level[date].all()) for level in self.done)

    def _steps(self) -> list[WriteStep]:
        """Return the blocks along time, with the dates in each."""
        if self.content.stamps is None:
            return [WriteStep(0, 0, ((0, 0),))]
        leading = self.content.leading
        sizes = leading.array.chunks[leading.dims.index(self.content.stamps.dim)]
        edges = layout.edges_of(sizes)
        return [
            WriteStep(
                number, edges[number], tuple((at, self.slots[at]) for at in range(edges[number], edges[number + 1]))
            )
            for number in range(len(sizes))
        ]

    def _works(self, step: WriteStep, done: NDArray[np.bool_]) -> Iterator[Work]:
        """Return what a step still lacks, as much at a time as fits a graph.

        A field without time is written with the first date of the store.
        """
        regions = layout.region_numbers(*self.cuts[0])
        lacking = {region: tuple(move for move in step.moves if not done[(move[0], *region)]) for region in regions}
        for moves, alike in groupby(
            sorted((r for r in regions if lacking[r]), key=lambda r: (lacking[r], r)), lacking.__getitem__
        ):
            first = any(slot == 0 for _, slot in moves)
            due = tuple(
                (each, self._sink(0, each)) for each in self.content.fields if first or self.content.time in each.dims
            )
            these = list(alike)
            blocks = sum(self._blocks_of(each, 0, these[0]) for each, _ in due)
            for part in batches(these, blocks):
                yield Work(WriteStep(step.number, step.start, moves), part, due)

    def _coarser(self, level: int, step: WriteStep, done: NDArray[np.bool_]) -> Iterator[CoarserWork]:
        for at, slot in step.moves:
            regions = [region for region in layout.region_numbers(*self.cuts[level]) if not done[(at, *region)]]
            due = tuple(
                (each, self._sink(level - 1, each), self._sink(level, each))
                for each in self.content.fields
                if slot == 0 or self.content.time in each.dims
            )
            if regions:
                blocks = len(due) * count_coarser(self.cuts[level], regions[0])
                yield from (CoarserWork(slot, part, due) for part in batches(regions, blocks))

    def _count(self, done: _Done) -> int:
        count = 0
        for step in self._steps():
            for work in self._works(step, done[0]):
                count += sum(self._blocks_of(each, 0, region) for each, _ in work.fields for region in work.regions)
            for level in range(1, len(self.cuts)):
                for coarser in self._coarser(level, step, done[level]):
                    count += sum(count_coarser(self.cuts[level], region) for region in coarser.regions) * len(
                        coarser.fields
                    )
        return count

    def _blocks_of(self, each: Field, level: int, region: Region) -> int:
        return count_blocks(each, self.cuts[level], self._dims, region)

    def _sink(self, level: int, each: Field) -> Sink:
        """Open the array of a field at a level, long enough for every date of this run."""
        if (level, each.name) not in self.sinks:
            path, target = join_path(self.record.groups[level], each.name), self.fork or self.target
            document = require_array(target, path, self.record.zarr_format)
            stretched(document, self.record.time, self.room)
            array = target.array(path, document)
            claim, forked = self.claim.owner.id, self.fork is not None
            self.sinks[level, each.name] = Sink(array, each.packing, target.label, claim, forked)
        return self.sinks[level, each.name]


def _slots(target: Target, record: Record, content: Content, length: int | None) -> tuple[int, ...]:
    """Get the slot of each date: where it is, where an earlier run began it, or the next free one, which is noted."""
    stamps = content.stamps
    if stamps is None or length is None:
        return (0,)
    slots = published(target, record, stamps, length)
    new = [int(stamp) for stamp in stamps.values if int(stamp) not in slots]
    if new:
        begun = [stamp for stamp in pending(target, record, length) if stamp in new]
        new = begun + [stamp for stamp in new if stamp not in begun]
        offset = content.small.variables.get(OFFSET_COORD)
        if offset is None or offset.dims != (stamps.dim,):
            offset = xr.Variable(stamps.dim, [None] * stamps.values.size)
        offsets = dict(zip(map(int, stamps.values), offset.values.tolist(), strict=True))
        reserve(target, record, length, new, [offsets[stamp] for stamp in new])
        slots.update((stamp, length + number) for number, stamp in enumerate(new))
    return tuple(slots[int(stamp)] for stamp in stamps.values)
