"""Which items belong together: versions and parts of one acquisition, and the dates of a cube. Knows no bands."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from ...arguments import shown
from ...cube.names import listed
from ...errors import CatalogError, CatalogWarning, OptionError, warn_caller
from .extents import footprint, item_box, middle, overlap
from .items import Meaning

if TYPE_CHECKING:
    from pystac import Item

_STRIP = re.compile(r"S2[A-Z]_\w+_DS_\w{4}_(\d{8}T\d{6})_S(\d{8}T\d{6})")
"""Name of a data strip: when it was made, and when its sensing began."""

_PLATFORM = re.compile(r"sentinel-?2([a-z])", re.IGNORECASE)
_NAMED_PLATFORM = re.compile(r"^S2([A-Z])_")
_NAMED_TILE = re.compile(r"_T?(\d{1,2}[C-X][A-HJ-NP-Z]{2})_")
_TILE_KEYS = ("grid:code", "s2:mgrs_tile")
_TILE_PARTS = ("utm_zone", "latitude_band", "grid_square")
_PRODUCT_KEYS = ("s2:product_uri", "sentinel:product_id", "title")
_MADE_KEYS = ("processing:datetime", "s2:generation_time")
_DISCRIMINATOR = re.compile(r"_(\d{8}T\d{6})(?:\.SAFE)?$")

_ONE_PASS = timedelta(seconds=60)
"""A tile is imaged within some 15 seconds, and again after an orbit of 100 minutes at the earliest."""

_ONE_OVERPASS = timedelta(minutes=5)

_APART, _SAME_GROUND = 0.1, 0.8
"""Shares of overlap: below the first, footprints are parts of a mosaic; above the second (of the union), equal."""


Groupby: TypeAlias = "str | Callable[[Item, Any, int], Hashable]"
"""As `odc.stac.load` has it: "solar_day", "time", "id", a property, or a function of (item, parsed item, index)."""


@dataclass(frozen=True, eq=False)
class Group:
    """Items that make one date of a cube: one overpass, one baseline, one offset. stamp: of the first of them, UTC."""

    stamp: datetime
    items: tuple[Item, ...]
    meaning: Meaning


class _Relation(Enum):
    """What two items of one tile and overpass are to each other."""

    PARTS = "parts"
    VERSIONS = "versions"
    MAYBE_PARTS = "probably parts"
    MAYBE_VERSIONS = "probably versions"


def group(
    items: Iterable[Item],
    meanings: Mapping[int, Meaning],
    *,
    longitude: float | None = None,
    by: Groupby | None = None,
) -> list[Group]:
    """Sort items into dates of a cube, by solar day and baseline, so that no mosaic mixes baselines.

    meanings: by `id()` of the item. longitude: at which days are counted; by default the middle of each item.
    by: groups by something else than the solar day, see `Groupby`. By solar day and by time, of versions of one
    acquisition the newest is kept, see `newest_versions`. In a group, items are in the order of time, the newest
    version first. Stamps are made unique, by milliseconds, where one day has two baselines.
    Raises OptionError where no item has the property `by`.
    """
    by = "solar_day" if by is None else by
    if not isinstance(by, str) and not callable(by):
        raise OptionError(
            f"groupby={shown(by)}: known are 'solar_day', 'time', 'id', the name of a property, and functions of "
            "(item, parsed, index)."
        )
    kept = newest_versions(items, meanings) if by in ("solar_day", "time") else list(items)
    days = _key_of(by, kept, longitude)
    members: dict[tuple[Hashable, str, float], list[Item]] = defaultdict(list)
    for item in kept:
        meaning = meanings[id(item)]
        members[days(item), f"{meaning.baseline:.2f}", meaning.offset].append(item)
    made: list[Group] = []
    for together in members.values():
        newest_first = sorted(together, key=lambda item: _rank(item, meanings), reverse=True)
        ordered = tuple(sorted(newest_first, key=moment_of))
        made.append(Group(moment_of(ordered[0]), ordered, meanings[id(ordered[0])]))
    made.sort(key=lambda each: (each.stamp, each.meaning.baseline))
    unique: list[Group] = []
    for each in made:
        stamp = each.stamp
        if unique and stamp <= unique[-1].stamp:
            stamp = unique[-1].stamp + timedelta(milliseconds=1)
        unique.append(Group(stamp, each.items, each.meaning))
    return unique


def newest_versions(items: Iterable[Item], meanings: Mapping[int, Meaning]) -> list[Item]:
    """Of versions of one acquisition keep the newest; keep all parts of it. Order is that of the input.

    Products of one tile, satellite and overpass are versions where their data strips began at the same moment, and
    parts where these began at different moments. Where items do not name their strip (`s2:datastrip_id`,
    `eopf:datastrip_id`, or a property of another prefix), footprints and baselines decide: separate footprints are
    parts, and equal footprints of different baselines are versions. Warns CatalogWarning where this is not certain;
    without such information all are kept.
    """
    items = list({id(item): item for item in items}.values())
    passes: dict[tuple[str, str], list[list[Item]]] = defaultdict(list)
    for item in sorted(items, key=moment_of):
        runs = passes[tile_of(item), _platform_of(item)]
        if runs and moment_of(item) - moment_of(runs[-1][-1]) <= _ONE_PASS:
            runs[-1].append(item)
        else:
            runs.append([item])
    chosen: set[int] = set()
    doubts: dict[_Relation, list[tuple[Item, Item]]] = defaultdict(list)
    for run in (run for runs in passes.values() for run in runs):
        kept: list[Item] = []
        for item in sorted(run, key=lambda item: _rank(item, meanings), reverse=True):
            relations = [(_relation(item, other, meanings), other) for other in kept]
            for relation, other in relations:
                doubts[relation].append((item, other))
            if not any(relation in (_Relation.VERSIONS, _Relation.MAYBE_VERSIONS) for relation, _ in relations):
                kept.append(item)
        chosen |= {id(item) for item in kept}
    _warn(doubts)
    return [item for item in items if id(item) in chosen]


def _relation(item: Item, other: Item, meanings: Mapping[int, Meaning]) -> _Relation:
    """Judge two items of one tile, satellite and overpass."""
    (strip, certain), (other_strip, other_certain) = _strip_of(item), _strip_of(other)
    if strip and other_strip:
        if strip == other_strip:
            return _Relation.VERSIONS
        return _Relation.PARTS if certain and other_certain else _Relation.MAYBE_PARTS
    if item.id == other.id and item.collection_id == other.collection_id:
        return _Relation.VERSIONS
    ground, other_ground = footprint(item), footprint(other)
    of_smaller, of_union = (1.0, 1.0) if ground is None or other_ground is None else overlap(ground, other_ground)
    if of_smaller < _APART:
        return _Relation.PARTS
    baselines = {f"{meanings[id(each)].baseline:.2f}" for each in (item, other)}
    reprocessed = len(baselines) == 2 and "nan" not in baselines
    return _Relation.MAYBE_VERSIONS if reprocessed and of_union > _SAME_GROUND else _Relation.MAYBE_PARTS


def _warn(doubts: Mapping[_Relation, Sequence[tuple[Item, Item]]]) -> None:
    """Warn once for each kind of item that was kept or left out without certainty."""
    if pairs := doubts.get(_Relation.MAYBE_PARTS):
        item, other = pairs[0]
        count = len({id(item) for item, _ in pairs})
        warn_caller(
            f"{count} item(s) cover a tile that another item of the same overpass covers too, such as {item.id} "
            f"and {other.id}, and no known property names their data strips (s2:datastrip_id, eopf:datastrip_id). They "
            "may be parts of the tile or versions of one product; all are kept, and the newest is on top. If they are "
            "versions, leave the older ones out of the items.",
            CatalogWarning,
        )
    if pairs := doubts.get(_Relation.MAYBE_VERSIONS):
        item, other = pairs[0]
        count = len({id(item) for item, _ in pairs})
        warn_caller(
            f"{count} item(s) are left out because a newer baseline covers the same tile, overpass and ground, such as "
            f"{item.id} beside {other.id}; no property names their data strips (s2:datastrip_id, eopf:datastrip_id). "
            "If they are parts of the tile, load them one by one.",
            CatalogWarning,
        )


def _key_of(by: Groupby, items: Sequence[Item], longitude: float | None) -> Callable[[Item], Hashable]:
    """Return the function that assigns an item to a group."""
    if by == "solar_day":
        return _overpass_days(items, longitude)
    if by == "time":
        return moment_of
    if by == "id":
        return id
    if isinstance(by, str):
        if not any(by in item.properties for item in items):
            raise OptionError(
                f"groupby={by!r}: no item has this property. Known are 'solar_day', 'time', 'id', and properties such "
                f"as {listed(sorted(items[0].properties)[:6])}."
            )
        return lambda item: repr(item.properties.get(by))
    import odc.stac

    parsed = odc.stac.parse_items(items)
    keys = {id(item): by(item, each, place) for place, (item, each) in enumerate(zip(items, parsed, strict=True))}
    return lambda item: keys[id(item)]


def moment_of(item: Item) -> datetime:
    """Return the time of an item in UTC, without zone."""
    moment = item.datetime or item.common_metadata.start_datetime
    if moment is None:
        raise CatalogError(f"{item.id} has no datetime, so it has no place in a series.")
    return moment.replace(tzinfo=None)


def solar_day(item: Item, longitude: float | None = None) -> str:
    """Return the solar day of an item: UTC plus an hour for each 15 degrees east.

    longitude: by default that of the middle of the item. Items on both sides of the antimeridian have different days
    at their own longitudes, and the same one at a common longitude.
    """
    if longitude is None:
        box = item_box(item)
        longitude = 0.0 if box is None else middle(box)
    return (moment_of(item) + timedelta(hours=longitude / 15)).date().isoformat()


def tile_of(item: Item) -> str:
    """Return the MGRS tile of an item, "33UUU"; its box where neither properties nor names contain the tile."""
    texts = [str(item.properties[key]) for key in _TILE_KEYS if key in item.properties]
    for prefix in ("mgrs", "sentinel"):
        parts = [str(item.properties.get(f"{prefix}:{part}", "")) for part in _TILE_PARTS]
        texts += ["".join(parts)] if all(parts) else []
    if texts:
        return texts[0].removeprefix("MGRS-").lstrip("0")
    if found := next(filter(None, map(_NAMED_TILE.search, _names(item))), None):
        return found[1].lstrip("0")
    return ",".join(f"{side:.3f}" for side in item.bbox) if item.bbox else item.id


def _overpass_days(items: Sequence[Item], longitude: float | None) -> Callable[[Item], Hashable]:
    """Return the solar day of each item; what was imaged in one overpass has one day, at midnight too."""
    days: dict[int, str] = {}
    previous: Item | None = None
    for item in sorted(items, key=moment_of):
        near = previous is not None and moment_of(item) - moment_of(previous) <= _ONE_OVERPASS
        days[id(item)] = days[id(previous)] if near else solar_day(item, longitude)
        previous = item
    return lambda item: days[id(item)]


def _platform_of(item: Item) -> str:
    """Return the letter of the satellite, "A"; "" if unknown."""
    if found := _PLATFORM.search(str(item.properties.get("platform", ""))):
        return found[1].upper()
    found = next(filter(None, map(_NAMED_PLATFORM.search, _names(item))), None)
    return found[1] if found else ""


def _strip_of(item: Item) -> tuple[str, bool]:
    """Return when the sensing of an item's data strip began, and whether a known property says so; "" without any."""
    others = ""
    for key, value in item.properties.items():
        if isinstance(value, str) and (found := _STRIP.search(value)):
            if key.endswith("datastrip_id"):
                return found[2], True
            others = others or found[2]
    return others, False


def _names(item: Item) -> list[str]:
    """Return what may be the name of a product: the id, and the properties that hold one."""
    return [item.id, *(str(item.properties[key]) for key in _PRODUCT_KEYS if key in item.properties)]


def _rank(item: Item, meanings: Mapping[int, Meaning]) -> tuple[float, str, str, str]:
    """Order versions: by baseline, by when the product was made, by when the item was, by name."""
    baseline = meanings[id(item)].baseline
    updated = str(item.properties.get("updated") or item.properties.get("created") or "")
    return (baseline if baseline == baseline else -1.0, _made(item), _digits(updated), item.id)


def _made(item: Item) -> str:
    """Return when a product was made, as digits that sort; "" if unknown."""
    texts = [str(item.properties[key]) for key in _MADE_KEYS if item.properties.get(key)]
    texts += [
        found[1] for value in item.properties.values() if isinstance(value, str) and (found := _STRIP.search(value))
    ]
    texts += [found[1] for name in _names(item) if (found := _DISCRIMINATOR.search(name))]
    return _digits(texts[0]) if texts else ""


def _digits(moment: str) -> str:
    return re.sub(r"\D", "", moment)[:14]
