"""What `verify` found in a store, as records that say what to do. Looks at nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_SHOWN = 8
"""Damages that a report lists; it counts the others."""


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong with a store.

    part: what it is. path: its key in the store, below the path of the store itself. problem: whether it is missing, or
    there and cannot be read. place: (position along time on disk, row, column) of the region that a chunk belongs to.
    repaired: it is as it was; or for pixels and the ledger, the next `to_zarr` writes it.
    """

    part: Literal["document", "small variable", "ledger", "pixels"]
    path: str
    problem: Literal["missing", "unreadable"]
    place: tuple[int, int, int] | None = None
    repaired: bool = False

    def __str__(self) -> str:
        """Name the damage in a line."""
        where = "" if self.place is None else " (date {}, region {}, {})".format(*self.place)
        mended = "" if not self.repaired else ", restored" if self.part == "document" else ", to be written"
        return f"{self.path}{where}: {self.part}, {self.problem}{mended}"


@dataclass(frozen=True, eq=False, repr=False)
class Verification:
    """What `verify` found. `print` shows it with the advice.

    store: its name. regions: of all dates and levels. complete: those that are noted as done and whose chunks are all
    there; unwritten: those that `to_zarr` still has to write, after repair. damages: in the order of finding.
    quick: no chunk was read. repaired: the store was changed where that helps.
    """

    store: str
    regions: int
    complete: int
    damages: tuple[Damage, ...]
    quick: bool
    repaired: bool

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
            return "Write the store anew: to_zarr(..., overwrite=True)."
        if any(not each.repaired for each in self.damages):
            return "Run xr_sr.verify(store) with repair=True, and then the same to_zarr call again."
        if self.unwritten:
            return f"Run the same to_zarr call again: it writes the {self.unwritten} regions that are missing."
        return "Nothing is to be done."

    def __repr__(self) -> str:
        """Show what was found and what to do."""
        state = "whole" if self.ok else "damaged" if self.damages else "not finished"
        read = "looked for, not read" if self.quick else "read"
        more = len(self.damages) - _SHOWN
        lines = [
            f"<xr_sr.Verification of {self.store}: {state}>",
            f"  regions     {self.complete} of {self.regions} complete; chunks were {read}",
            *(f"  damage      {each}" for each in self.damages[:_SHOWN]),
            *([f"  damage      and {more} more" for _ in range(more > 0)]),
            f"  what to do  {self.advice}",
        ]
        return "\n".join(lines)
