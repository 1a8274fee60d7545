"""The ledger: which regions of which dates are done. Only the client writes it, one key at a time, after the pixels.

1 is done, 0 is not, 2 was done and was found damaged by `verify`.

It may be longer than what is published: dates that are being added have their places in it, and their names in one of
its attributes, so that a rerun finds them again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ...arguments import first_line
from ...errors import StoreDamageError
from .documents import open_array, require_array, write_array
from .record import LEDGER, PENDING, Record
from .target import Document, Target, join_path
from .times import Stamps

_DONE, _LOST = 1, 2


@dataclass(frozen=True, eq=False)
class Ledger:
    """The ledger of one level. regions: their number along y and x. Without time there is one slot, number 0."""

    array: zarr.Array[Any]
    regions: tuple[int, int]
    timed: bool

    def done(self, slots: Sequence[int]) -> NDArray[np.bool_]:
        """Return what is done: (slot, region_y, region_x) booleans, in the order of `slots`."""
        if not len(slots):
            return np.zeros((0, *self.regions), dtype=bool)
        first = min(slots)
        try:
            some = np.asarray(self.array[first : max(slots) + 1] if self.timed else self.array[...])
        except Exception as error:  # of the codec or the store
            raise StoreDamageError(
                f"the ledger {self.array.path!r} cannot be read: {first_line(error)}. Repair it with "
                "xr_sr.verify(store), and run the same call again."
            ) from error
        noted: NDArray[np.bool_] = np.equal(some, _DONE)
        return noted[np.asarray(slots) - first] if self.timed else noted[None]

    def mark(self, slot: int, row: int, col: int, *, lost: bool = False) -> None:
        """Note that a region of a date is done, or was and has to be written again: one write of one key."""
        self.array[self._at(slot, row, col)] = _LOST if lost else _DONE

    def state(self, slot: int, row: int, col: int) -> tuple[bool, bool]:
        """Return whether a region is done, and whether it was lost since. Raises what the store or codec does."""
        noted = int(np.asarray(self.array[self._at(slot, row, col)]).item())
        return noted == _DONE, noted == _LOST

    def _at(self, slot: int, row: int, col: int) -> tuple[int, ...]:
        return (slot, row, col) if self.timed else (row, col)

    def forget(self, slots: Sequence[int]) -> None:
        """Note that nothing of these dates is done."""
        for slot in slots:
            self.array[slot] = 0


def open_ledger(target: Target, record: Record, level: int, length: int) -> Ledger:
    """Open the ledger of a level, with room for `length` dates, published or not."""
    y, x = record.cuts[level]
    array = open_array(target, record, level, LEDGER, length=length)
    return Ledger(array, (len(y.regions) - 1, len(x.regions) - 1), record.time is not None)


def published(target: Target, record: Record, stamps: Stamps, length: int) -> dict[int, int]:
    """Return the slot of each stamp that is published. stamps: of the object, for what they are called."""
    if stamps.kind == "position":
        return {slot: slot for slot in range(length)}
    stored = np.asarray(open_array(target, record, 0, stamps.dim, length=length)[...]).astype(np.int64)
    return {int(stamp): slot for slot, stamp in enumerate(stored)}


def pending(target: Target, record: Record, length: int) -> list[int]:
    """Return the stamps of dates that are being added, in the order of their slots, which begin at `length`."""
    return [stamp for stamp, _ in _noted(target, record, length)]


def reserve(
    target: Target, record: Record, length: int, stamps: Sequence[int], offsets: Sequence[float | None]
) -> None:
    """Assign the slots to these dates from `length` on, before any of their pixels is written.

    offsets: those of their DN. What an earlier run began for other dates, or for these with other offsets, is forgotten
    first, so that no slot counts as done for what it does not hold.
    """
    before, after = _noted(target, record, length), list(zip(stamps, offsets, strict=True))
    if before == after:
        return
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    for level in range(len(record.groups)):
        ledger = open_ledger(target, record, level, length + len(before))
        ledger.forget(range(length + same, length + len(before)))
    document = require_array(target, record, 0, LEDGER)
    document["attributes"] = {
        **document["attributes"],
        PENDING: json.dumps({"first": length, "stamps": [int(stamp) for stamp in stamps], "offsets": list(offsets)}),
    }
    write_array(target, join_path(record.groups[0], LEDGER), document)


def _noted(target: Target, record: Record, length: int) -> list[tuple[int, float | None]]:
    """Read the stamps of dates that are being added, and the offsets of their DN."""
    first, pairs = pending_of(require_array(target, record, 0, LEDGER))
    return pairs[length - first :] if pairs else []


def pending_of(document: Document) -> tuple[int, list[tuple[int, float | None]]]:
    """Read which dates the document of the ledger says are being added: their first slot, stamps and offsets.

    Raises StoreDamageError where the document cannot mean any.
    """
    noted = document["attributes"].get(PENDING)
    if noted is None:
        return 0, []
    try:
        noted = json.loads(noted) if isinstance(noted, str) else noted  # nested in stores of older versions
        pairs = zip(noted["stamps"], noted["offsets"], strict=True)
        return int(noted["first"]), [(int(stamp), offset) for stamp, offset in pairs]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreDamageError(
            f"the document of the ledger is damaged: its attribute {PENDING!r} names no dates. xr_sr.verify(store) "
            "restores it where the store has a copy; overwrite=True rewrites the store."
        ) from error
