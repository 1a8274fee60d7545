"""One run over a store: what is left to do, in which order it is done, and when a date is published."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...arguments import count_of
from ...errors import StoreError
from ...radiometry.resolve import OFFSET_COORD
from ...runtime.execute import run_graphs
from . import layout
from .blocks import Region, Sink, Work, WriteStep, WrittenBlocks, chunks_in, graphs, region_of
from .claim import Claim
from .content import Content, Field
from .documents import open_array
from .layout import Cut
from .ledger import Ledger, open_ledger, pending, published, reserve
from .reach import fork_of, merge_into
from .record import Record
from .target import Target, cannot_write
from .template import publish, stored_length, write_small

_PUBLISH_S = 1.0
"""Seconds between two publications of whole dates, unless the work ends."""

_Done: TypeAlias = tuple[NDArray[np.bool_], ...]


@dataclass(eq=False)
class Run:
    """One run.

    content: with the blocks of the first of `cuts`. slots: where each of its dates goes; (0,) without time. length:
    dates that are published; room: with those that are being added. done: per level, (date of the content, region_y,
    region_x). claim: checked before anything counts as written. clipped: values by variable, so far. fork: what tasks
    write to, where that is not the target. published_at: on the monotonic clock.
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
    clipped: Counter[str] = field(default_factory=Counter)
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

    def _count(self, done: _Done) -> int:
        levels, steps = range(len(self.cuts)), self._steps()
        return sum(work.count() for step in steps for level in levels for work in self._works(level, step, done[level]))

    def finish(self, advance: Callable[[int], None]) -> None:
        """Write what is not done, and publish each date when it is whole. advance: called for each block."""
        self._publish_whole()
        steps = self._steps()
        # Without a pyramid the graphs of all dates form one queue: a cluster need not wait for the end of a date.
        for together in [[step] for step in steps] if len(self.cuts) > 1 else [steps]:
            for level in range(len(self.cuts)):
                self._renew_fork()
                works = [work for step in together for work in self._works(level, step, self.done[level])]
                self._run(works, advance)
            self._publish_whole()

    def _renew_fork(self) -> None:
        """Let tasks see all that is written so far, where they write to a fork."""
        try:
            self.fork = fork_of(self.target)
        except Exception as error:
            raise cannot_write(f"to a fork of {self.target.label}", error) from error
        if self.fork is not None:
            self.sinks.clear()

    def _run(self, works: Sequence[Work], advance: Callable[[int], None]) -> None:
        def ended(key: Hashable, written: WrittenBlocks) -> None:
            found = region_of(key)
            if found is None:
                advance(1)
                return
            work, region = works[found[0]], found[1]
            self.clipped += written.clipped
            with self.target.writing("the ledger"):
                merge_into(self.target, written.changes)
                self.claim.check()
                self._refuse_lost(work, region)
                for position, slot in work.step.moves:
                    self.ledgers[work.level].mark(slot, *region)
                    self.done[work.level][(position, *region)] = True
            # Each costs some ten writes: not after every one of a thousand small dates.
            if len(self.cuts) == 1 and time.monotonic() - self.published_at > _PUBLISH_S:
                self._publish_whole()

        run_graphs(graphs(works), ended)

    def _refuse_lost(self, work: Work, region: Region) -> None:
        """Raise StoreError if a chunk of a region cannot be read back through the store of this process."""
        keys = [
            key
            for each, _, sink in work.fields
            for slot in ([slot for _, slot in work.step.moves] if self.record.time in each.dims else [0])
            for key in chunks_in(
                sink.array, self.record.window(work.level, (slot, *region), each.dims, sink.array.shape)
            )
        ]
        lost = set(keys) - self.target.present(keys)
        if lost:
            raise StoreError(
                f"{len(lost)} of {count_of(len(keys), 'chunk')} of a region of {self.target.label} cannot be found "
                f"after writing, such as {min(lost)}. Do all workers reach this store, and does nothing else write to "
                "it? What is done is kept: mend that, and run the same call again."
            )

    def _publish_whole(self) -> None:
        """Publish the dates that follow on what is published and are done at all levels."""
        if self.content.stamps is None:
            return
        slots = range(self.length, self.length)
        while slots.stop in self.dates and all(level[self.dates[slots.stop]].all() for level in self.done):
            slots = range(slots.start, slots.stop + 1)
        if slots:
            with self.target.writing("the time axis"):
                self.claim.check()
                write_small(self.target, self.record, self.content.small, [self.dates[slot] for slot in slots], slots)
                publish(self.target, self.record, slots.stop)
            self.length = slots.stop
            self.published_at = time.monotonic()

    def _steps(self) -> list[WriteStep]:
        """Return the blocks along time, with the dates in each."""
        if self.content.stamps is None:
            return [WriteStep(0, 0, ((0, 0),))]
        return [
            WriteStep(number, start, tuple((at, self.slots[at]) for at in range(start, stop)))
            for number, (start, stop) in enumerate(pairwise(self.content.edges(self.content.stamps.dim)))
        ]

    def _works(self, level: int, step: WriteStep, done: NDArray[np.bool_]) -> Iterator[Work]:
        """Return what a step still lacks at a level, as much at a time as fits a graph.

        A coarser level is made date by date. A field without time is written with the first date of the store.
        """
        regions = layout.region_numbers(*self.cuts[level])
        for among in [(move,) for move in step.moves] if level else [step.moves]:
            lacking = {
                region: moves for region in regions if (moves := tuple(m for m in among if not done[(m[0], *region)]))
            }
            for moves, alike in groupby(sorted(lacking, key=lacking.__getitem__), lacking.__getitem__):
                first = any(slot == 0 for _, slot in moves)
                fields = tuple(
                    (each, self._sink(level - 1, each) if level else None, self._sink(level, each))
                    for each in self.content.fields
                    if first or self.record.time in each.dims
                )
                dims = (*self.record.dims, self.record.time)
                whole = Work(level, self.cuts[level], dims, replace(step, moves=moves), tuple(alike), fields)
                yield from whole.split()

    def _sink(self, level: int, each: Field) -> Sink:
        """Open the array of a field at a level, long enough for every date of this run."""
        if (level, each.name) not in self.sinks:
            array = open_array(self.fork or self.target, self.record, level, each.name, length=self.room)
            claim, forked = self.claim.owner.id, self.fork is not None
            self.sinks[level, each.name] = Sink(array, each.packing, self.target.label, claim, forked)
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
