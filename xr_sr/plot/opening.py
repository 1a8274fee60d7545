"""What a page to explore shows when it opens: which layers stand left and right, and which maps lie over them.

Names and dates only; layers are drawn in `layers`, the page is put together in `exploring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..arguments import is_one_of, shown
from ..errors import OptionError

__all__ = ["Entry", "Opening", "first_view"]


@dataclass(frozen=True)
class Entry:
    """One layer at one date. date: "2023-07-01", "" without. is_map: it can lie over others."""

    name: str
    date: str
    is_map: bool


@dataclass(frozen=True)
class Opening:
    """Numbers of entries: left and right, and of the maps over these; -1 for none."""

    left: int
    right: int
    left_over: int = -1
    right_over: int = -1

    def facts(self) -> dict[str, int]:
        """Return them under the names that the page reads."""
        return {"left": self.left, "right": self.right, "leftOver": self.left_over, "rightOver": self.right_over}


def first_view(
    show: tuple[str, str] | None, entries: Sequence[Entry], added: Sequence[str], *, has_flood: bool
) -> Opening:
    """Choose what is seen first.

    show: names of the left and the right layer, if the user named them. entries: in the order of names, dates
    ascending. added: names of `layers=`. has_flood: one of the maps tells of a date before and one after.
    Raises OptionError for a name that there is not.
    """
    names = list(dict.fromkeys(entry.name for entry in entries))
    if show is not None and not (isinstance(show, list | tuple) and len(show) == 2):
        raise OptionError(f"show={shown(show)}: expected the names of two layers, of {list(names)}.")
    if show is not None and (missing := [name for name in show if not is_one_of(name, names)]):
        raise OptionError(f"show={show!r}: there is no layer {missing}; there are {names}.")
    maps = [name for name in names if any(entry.is_map for entry in entries if entry.name == name)]
    places = {name: [n for n, entry in enumerate(entries) if entry.name == name] for name in names}
    dated = [name for name in names if len(places[name]) > 1] if has_flood else []
    left, right = show or _names(names, maps, added, dated)
    # One layer is compared with itself at its first and last date; two layers at one date.
    first, last = places[left][0], places[right][-1 if left == right or has_flood else 0]
    if not maps or left in maps or right in maps:
        return Opening(first, last)
    over_right = places[maps[-1]][-1]
    if len(maps) > 1:
        return Opening(first, last, places[maps[0]][0], over_right)
    same_date = entries[first].date == entries[last].date
    return Opening(first, last, over_right if same_date else -1, over_right)


def _names(names: Sequence[str], maps: Sequence[str], added: Sequence[str], dated: Sequence[str]) -> tuple[str, str]:
    """Choose names where the user did not. dated: what can be shown before and after a flood."""
    cubes = [name for name in names if name not in maps]
    if not cubes:
        return names[0], names[-1]
    own = [name for name in added if name in cubes]
    if len(own) > 1:
        return own[0], own[-1]
    best = next(name for name in ("SR", "LR", *cubes) if name in cubes)
    if own:
        return best, own[0]
    if before_and_after := [name for name in (best, *cubes) if name in dated]:
        return before_and_after[0], before_and_after[0]
    return ("LR" if "LR" in cubes else cubes[0]), ("SR" if "SR" in cubes else cubes[-1])
