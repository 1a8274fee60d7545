"""What `verify` found in a store, as records that say what to do. Looks at nothing itself."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...arguments import count_of

StorePart: TypeAlias = Literal["document", "small variable", "ledger", "pixels"]
Problem: TypeAlias = Literal["missing", "unreadable"]

_SHOWN = 8
"""Damages that a report lists; it counts the others."""

_DATES = 3
"""Dates that an advice lists; it counts the others."""


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong with a store.

    part: what it is. path: its key in the store, below the path of the store itself. problem: whether it is missing, or
    there and cannot be read. place: (position along time on disk, row, column) of the region that a chunk belongs to;
    date: of that position, "" in a store without time.
    repaired: it is as it was; or for pixels and the ledger, the next `to_zarr` of that date writes it.
    """

    part: StorePart
    path: str
    problem: Problem
    place: tuple[int, int, int] | None = None
    repaired: bool = False
    date: str = ""

    def __str__(self) -> str:
        """Describe the damage in a line."""
        date = f"{self.date}, " if self.date else ""
        where = "" if self.place is None else f" ({date}region {self.place[1]}, {self.place[2]})"
        mended = "" if not self.repaired else ", restored" if self.part == "document" else ", to be written"
        return f"{self.path}{where}: {self.part}, {self.problem}{mended}"


@dataclass(frozen=True, eq=False, repr=False)
class Verification:
    """What `verify` found. `print` shows it with the advice.

    store: its name. regions: of all dates and levels. complete: those that are noted as done and whose chunks are all
    there; unwritten: those that `to_zarr` still has to write, after repair. damages: in the order of finding.
    quick: no chunk was read. repaired: the store was changed where that helps. dates: those of the regions that are not
    complete, in the order on disk; none in a store without time. checksums: whether the pixels have them, so that any
    changed byte is found; not in Zarr 2, nor in stores begun by older versions.
    """

    store: str
    regions: int
    complete: int
    damages: tuple[Damage, ...]
    quick: bool
    repaired: bool
    dates: tuple[str, ...] = ()
    checksums: bool = True

    @property
    def unwritten(self) -> int:
        """The number of regions that are not complete."""
        return self.regions - self.complete

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged and nothing is left to write."""
        return not self.damages and not self.unwritten

    @property
    def lost(self) -> tuple[Damage, ...]:
        """The damages that neither a repair nor a rerun mends."""
        return tuple(each for each in self.damages if each.part in ("document", "small variable") and not each.repaired)

    @property
    def advice(self) -> str:
        """What to do, in a sentence."""
        if self.lost and not self.repaired and all(each.part == "document" for each in self.lost):
            return "Run xr_sr.verify(store) with repair=True, which restores documents that the store has copies of."
        if self.lost:
            return "Rewrite the store: to_zarr(..., overwrite=True)."
        if any(not each.repaired for each in self.damages):
            return f"Run xr_sr.verify(store) with repair=True, and then {self._call}."
        if self.unwritten:
            verb = "is" if self.unwritten == 1 else "are"
            call = f"{self._call[0].upper()}{self._call[1:]}"
            return f"{call}: it writes the {count_of(self.unwritten, 'region')} that {verb} missing."
        return "Nothing is to be done."

    @property
    def _call(self) -> str:
        """The call that writes what is missing, with the dates that its cube must hold."""
        if not self.dates:
            return "run the same to_zarr call again"
        more = len(self.dates) - _DATES
        named = [*self.dates[:_DATES], *([count_of(more, "more date")] if more > 0 else [])]
        listed = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
        return f"call to_zarr again with a cube that holds {listed}"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def __repr__(self) -> str:
        """Show what was found and what to do."""
        state = "whole" if self.ok else "damaged" if self.damages else "not finished"
        read = "looked for, not read" if self.quick else "read"
        if not (self.quick or self.checksums):
            read += "; they have no checksums, so a changed byte may not be found"
        more = len(self.damages) - _SHOWN
        lines = [
            f"<xr_sr.Verification of {self.store}: {state}>",
            f"  regions     {self.complete} of {self.regions} complete; chunks were {read}",
            *(f"  damage      {each}" for each in self.damages[:_SHOWN]),
            *([f"  damage      and {more} more" for _ in range(more > 0)]),
            f"  what to do  {self.advice}",
        ]
        return "\n".join(lines)
