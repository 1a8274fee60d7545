"""The record of a store (its cuts and the fingerprint of its content), and what lies at a target.

The record is one attribute of the root group. A store is "building" until its template is complete, then "ready".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np

from ...arguments import count_of, shown
from ...bands import find_band
from ...catalog import registry
from ...catalog.records import FORMER_NAMES
from ...errors import StoreDamageError, StoreError, StoreMismatchError
from ...kernels.recorded import same_options
from ...radiometry.resolve import OFFSET_COORD, OWN_ATTR
from ...spec import CONSTRAINT_ATTR, MODEL_ATTR, OPTIONS_ATTR, SEEN_BY, WEIGHTS_ATTR
from .encoding import ZarrFormat
from .layout import Cut, stored_cut
from .target import Target, join_path

KEY = "xr_sr:store"
"""The attribute of the root group that holds the record."""

LEDGER = "sr_status"
"""The array that says which regions are done."""

LEDGER_DIMS = (("region_y", "region_x"), (f"{LEDGER}_y", f"{LEDGER}_x"))
"""Dimensions of the ledger after that of dates: the second pair where what is stored has one of the first, as results
of `multiframe` have."""

HIDDEN = "coordinates"
"""The attribute of a group in which xarray notes coordinates that belong to no variable, such as the ledger."""

PENDING = "xr_sr:pending"
"""The attribute of the ledger that names dates which are being written and are not published yet."""

_VERSION = 1

_LEAST_DATE = 10**16
"""Nanoseconds from 1970 on, four months, below which a label is taken for a number."""


@dataclass(frozen=True)
class CutRecord:
    """How one spatial axis of one level is cut; see `layout.Cut`. block: what readers take at a time."""

    chunk: int
    shard: int | None
    block: int
    regions: tuple[int, ...]

    @property
    def unit(self) -> int:
        """What one task must write whole: a shard, or a chunk."""
        return self.shard or self.chunk


@dataclass(frozen=True)
class Record:
    """All that is needed to resume a store, and to read it as it was written.

    kind: type of the object. name: of a DataArray, None if it has none. variable: what a DataArray is called on disk.
    dims: names of y and x. time: name of the time dimension, or None. fields: variables on the grid. text: coordinates
    that were fixed-length text. variables: data variables in their order. arrays: all arrays of the finest level;
    fine_only: those of them that coarser levels do not have. cuts: (y, x) for each level, finest first.
    fingerprint: what the pixels depend on, JSON; two runs may share a store only if theirs are equal. one_date: the
    store was begun with a raster whose date was a scalar coordinate, and is read as such until it has two dates.
    every_chunk: those of nothing but fill values are written too; not so in stores of older versions.
    """

    state: Literal["building", "ready"]
    zarr_format: ZarrFormat
    kind: Literal["DataArray", "Dataset"]
    name: str | None
    variable: str
    dims: tuple[str, str]
    time: str | None
    fields: tuple[str, ...]
    text: tuple[str, ...]
    variables: tuple[str, ...]
    arrays: tuple[str, ...]
    fine_only: tuple[str, ...]
    cuts: tuple[tuple[CutRecord, CutRecord], ...]
    fingerprint: Mapping[str, Any]
    one_date: bool = False
    every_chunk: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the names of the groups that hold the levels, finest first; "" is the root."""
        return ("",) if len(self.cuts) == 1 else tuple(str(level) for level in range(len(self.cuts)))

    def arrays_of(self, level: int) -> tuple[str, ...]:
        """Return the names of the arrays of a level."""
        return tuple(name for name in self.arrays if not level or name not in self.fine_only)

    def small_of(self, level: int) -> tuple[str, ...]:
        """Return the names of the arrays of a level that have no pixels, the ledger left out."""
        return tuple(name for name in self.arrays_of(level) if name not in (*self.fields, LEDGER))

    def cut(self, level: int) -> tuple[Cut, Cut]:
        """Return the blocks, chunks and regions of a level along y and x."""
        y, x = (
            stored_cut(chunk=axis.chunk, unit=axis.unit, block=axis.block, regions=axis.regions)
            for axis in self.cuts[level]
        )
        return y, x

    def window(
        self, level: int, place: tuple[int, int, int], dims: Sequence[str], shape: Sequence[int]
    ) -> tuple[slice | int, ...]:
        """Return the part of an array that a region of a date has. place: (slot, row, column). dims: of the array."""
        slot, *numbers = place
        here: dict[str | None, slice | int] = {self.time: slot}
        for dim, axis, number in zip(self.dims, self.cuts[level], numbers, strict=True):
            here[dim] = slice(axis.regions[number], axis.regions[number + 1])
        return tuple(here.get(dim, slice(0, size)) for dim, size in zip(dims, shape, strict=True))

    def to_attribute(self) -> str:
        """Convert the record into text: plain xarray passes attributes on, and netCDF cannot hold nested ones."""
        return json.dumps({"version": _VERSION, **asdict(self)})

    @classmethod
    def from_attribute(cls, attribute: Any) -> Record | None:
        """Read a record, of text or nested as it was once; None for what no known version of ours has written."""
        if isinstance(attribute, str):
            try:
                attribute = json.loads(attribute)
            except ValueError:
                return None
        if not isinstance(attribute, Mapping) or attribute.get("version") != _VERSION:
            return None
        stored = {key: value for key, value in attribute.items() if key != "version"}
        try:
            for key in ("dims", "fields", "text", "variables", "arrays", "fine_only"):
                stored[key] = tuple(stored[key])
            stored["cuts"] = tuple(
                tuple(CutRecord(**{**axis, "regions": tuple(axis["regions"])}) for axis in level)
                for level in stored["cuts"]
            )
            record = cls(**stored)
        except (AttributeError, KeyError, TypeError):
            return None
        known = record.state in ("building", "ready") and record.zarr_format in (2, 3)
        return record if known and record.cuts and isinstance(record.fingerprint, Mapping) else None


def check_fingerprint(stored: Mapping[str, Any], wanted: Mapping[str, Any], label: str, hint: str = "") -> None:
    """Raise StoreMismatchError that names every field in which a store differs from what should go into it.

    hint: what to do, beside writing elsewhere.
    """
    old, new = dict(_flat(stored)), dict(_flat(wanted))
    bands = _bands_of(wanted)
    differing = [name for name in {**old, **new} if not _same(name, old, new, bands)]
    if differing:
        words, said = _in_words(stored, wanted)
        lines = "".join(f"\n  {line}" for line in words) + "".join(
            f"\n  {name}: the store has {_show(old, name)}, "
            f"{'this is' if name in new else 'this result has'} {_show(new, name)}"
            for name in differing
            if not f"{name}.".startswith(said)
        )
        known = (text for name, text in _HINTS.items() if name in differing)
        hints = "".join(f"{text}\n" for text in (*known, _other_edition(old, differing), hint) if text)
        raise StoreMismatchError(
            f"{label} holds something else:{lines}\n{hints}"
            "Write to another path, or pass overwrite=True to replace the store."
        )


def _in_words(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """Describe what differs as a whole, variables and dates; return it with the beginnings of the fields it covers."""
    lines: list[str] = []
    said: list[str] = []
    old, new = (fields.get("variables") for fields in (stored, wanted))
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for here, there, text in ((old, new, "the store has {}, this lacks them"), (new, old, "the store lacks {}")):
            if names := [name for name in here if name not in there]:
                lines.append(f"variables: {text.format(', '.join(names))}")
                said += [f"variables.{name}." for name in names]
    if "time" in stored and "time" in wanted and (stored["time"] is None) != (wanted["time"] is None):
        dates = [
            "none" if each["time"] is None else f"dates along {each['time']['dim']!r}" for each in (stored, wanted)
        ]
        lines.append(f"time: the store has {dates[0]}, this has {dates[1]}")
        said += ["time.", *(f"variables.{name}.dims." for name in {**(old or {}), **(new or {})})]
    old, new = ({} if (found := fields.get("labels")) is None else found for fields in (stored, wanted))
    for name in [each for each in old if each in new and old[each] != new[each]]:
        dates = [_in_dates(each[name]) for each in (old, new)]
        if all(dates):
            along = (stored.get("time") or {}).get("dim")
            other = "" if along is None else f", and what does in another store: obj.drop_dims({along!r})"
            grows = "no axis of it can grow" if along is None else f"only its axis {along!r} can grow"
            lines.append(
                f"labels along {name!r}: the store has {dates[0]}, this has {dates[1]}; {grows}. Store what lies not "
                f"along {name!r}: obj.drop_dims({name!r}).sr.to_zarr(...), from the first call on{other}"
            )
            said.append(f"labels.{name}.")
    return lines, tuple(said)


def _in_dates(labels: Any) -> str:
    """Describe labels that are dates, as nanoseconds: "6 dates, 2023-06-15 to 2023-07-20"; "" for others."""
    if not isinstance(labels, list) or not all(isinstance(each, int) and abs(each) > _LEAST_DATE for each in labels):
        return ""
    days = [str(np.datetime64(each, "ns").astype("datetime64[D]")) for each in sorted(labels)]
    return f"{count_of(len(days), 'date')}, {days[0]} to {days[-1]}" if days else ""


def _same(name: str, old: Mapping[str, Any], new: Mapping[str, Any], bands: set[str] | None) -> bool:
    """Return whether a field is the same, the name of a model also if it was renamed and has the same weights.

    bands: whose options count; None for any.
    """
    if _compared(name, old) == _compared(name, new):
        return True
    if name.endswith(_OPTIONS):
        one, other = (str(fields.get(name, "")) for fields in (old, new))
        model, constraint = (_beside(name, _OPTIONS, end, new) for end in (_MODEL, _CONSTRAINT))
        return same_options(model, one, other, bands, seen=SEEN_BY in constraint)
    renamed = name.endswith(_MODEL) and name in old and FORMER_NAMES.get(str(new.get(name))) == old[name]
    return renamed and bool(_weights_of(name, old)) and _weights_of(name, old) == _weights_of(name, new)


def _weights_of(name: str, fields: Mapping[str, Any]) -> str:
    """Return the hash of the weights that belongs to the name of a model; a variable has its own if they differ."""
    return _beside(name, _MODEL, _WEIGHTS, fields)


def _beside(name: str, end: str, other: str, fields: Mapping[str, Any]) -> str:
    """Return the attribute that ends in `other` instead of `end`; that of the object where a variable has no own."""
    return str(fields.get(f"{name.removesuffix(end)}{other}", fields.get(f"xr_sr:{other}", "")))


def _bands_of(fields: Mapping[str, Any]) -> set[str] | None:
    """Return canonical names of the bands that a store holds; None if it holds anything else, such as an index."""
    labels, variables = (fields.get(key) or {} for key in ("labels", "variables"))
    for names in (*(names for names in labels.values() if isinstance(names, list)), [*variables]):
        found = [find_band(name) if isinstance(name, str) else None for name in names]
        if found and None not in found:
            return {band.name for band in found if band is not None}
    return None


def _other_edition(old: Mapping[str, Any], differing: Sequence[str]) -> str:
    """Return a hint on how to extend a store written by an earlier edition of a model; "" for other stores."""
    models = [name for name in old if name.endswith(_MODEL)]
    changed = [name for name in models if {name, f"{name.removesuffix(_MODEL)}{_WEIGHTS}", WEIGHTS_ATTR} & {*differing}]
    now = {str(old[name]): registry.name_now(str(old[name]), _weights_of(name, old)) for name in changed}
    families = sorted({registry.get(name).family for former, name in now.items() if name != former})
    if not families:
        return ""
    said = " or ".join(f"model={family!r}" for family in families)
    return (
        f"The store was written by an earlier edition of the model, which has another name now. To extend it: {said}."
    )


def _compared(name: str, fields: Mapping[str, Any]) -> Any:
    """Return what is compared of a field: of the radiometry the formula and nodata, not where the offset is known from.

    An offset that was read from the metadata of one date may be passed for the next, and reflectance is reflectance
    whether the cube or the user says so. Of a constraint, the sensor is compared with the options.
    """
    value = fields.get(name, _ABSENT)
    if name.endswith(_CONSTRAINT) and isinstance(value, str):
        return value.partition(SEEN_BY)[0]
    return _OFFSET_FROM.sub("", value) if name == OWN_ATTR and isinstance(value, str) else value


_MODEL, _WEIGHTS, _OPTIONS, _CONSTRAINT = (
    attr.removeprefix("xr_sr:") for attr in (MODEL_ATTR, WEIGHTS_ATTR, OPTIONS_ATTR, CONSTRAINT_ATTR)
)
"""Ends of the names of fields: of the model itself, of that of a variable, and of that of earlier dates."""

_OFFSET_FROM = re.compile(r"; offset .*(?=; nodata )|(?<=reflectance), as [^;]*")
_ABSENT = object()
_HINTS = {
    "xr_sr:mask": "A mask without time belongs to the whole store: pass the one it was begun with. Where masks differ "
    "from date to date, give them a time dimension from the first call on: mask.expand_dims(time=cube.time).",
    OFFSET_COORD: f"Keep the coordinate {OFFSET_COORD}: it says what was added to the DN of each date.",
}
"""What to do, apart from rewriting the store, if a certain field differs."""


def _flat(fields: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Flatten nested mappings: {"grid": {"crs": 1}} into [("grid.crs", 1)]; attributes keep their plain names."""
    flat: list[tuple[str, Any]] = []
    for key, value in fields.items():
        if isinstance(value, Mapping):
            flat += _flat(value, "" if key == "attrs" else f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _show(fields: Mapping[str, Any], name: str) -> str:
    if name not in fields:
        kind = "attribute" if name.startswith("xr_sr:") else "coordinate" if name == OFFSET_COORD else "field"
        return f"no such {kind}"
    return shown(fields[name], 200)


_ZARR_KEYS = {"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"}
_ZARR_WORDS = (b'"zarr_format"', b'"node_type"', KEY.encode())


class StoreState(Enum):
    """What a target holds, where it is not a store of this package."""

    NOTHING = "nothing"
    ZARR = "a Zarr that xr_sr did not write, or did in a later version"
    DAMAGED = "a damaged Zarr, whose root document is missing or cannot be read"
    OTHER = "files that are not a Zarr store"


def find(target: Target) -> Record | StoreState:
    """Identify what is at the root of a target. An incomplete store of this package takes precedence."""
    group3, attrs2 = target.readable("zarr.json") or {}, target.readable(".zattrs") or {}
    attrs3 = group3.get("attributes", {})
    if not isinstance(attrs3, dict):
        group3 = attrs3 = {}
    records = [Record.from_attribute(attrs.get(KEY)) for attrs in (attrs3, attrs2)]
    ours = sorted((record for record in records if record is not None), key=lambda record: record.state)
    if ours:
        return ours[0]
    names = set(target.names())
    if not names:
        return StoreState.NOTHING
    unread: set[str] = {name for name in ("zarr.json", ".zattrs") if name in names and target.readable(name) is None}
    if _lacks_root(target, names, unread, rooted=bool(group3 or attrs2)):
        return StoreState.DAMAGED
    if not (names - unread) & _ZARR_KEYS:
        return StoreState.OTHER
    empty_group = names <= {"zarr.json", ".zgroup", ".zattrs"} and not group3.get("attributes") and not attrs2
    return StoreState.NOTHING if empty_group and group3.get("node_type", "group") == "group" else StoreState.ZARR


def require_record(target: Target) -> Record:
    """Read the record of a store whose template is whole. Raises StoreError for anything else."""
    try:
        found = find(target)
    except FileNotFoundError:
        found = StoreState.NOTHING
    if found is StoreState.DAMAGED:
        raise _damaged(target)
    if found is StoreState.NOTHING and target.is_absent:
        raise StoreError(f"there is no {target.label}. Check the path, or write the store first, with to_zarr.")
    if isinstance(found, StoreState):
        raise StoreError(
            f"{target.label} holds {found.value}. Open what others wrote with xarray.open_zarr or rioxarray."
        )
    if found.state == "building":
        raise StoreError(f"{target.label} was left before its template was whole. Run the same to_zarr call again.")
    return found


def refuse_others(found: Record | StoreState, target: Target, *, overwrite: bool) -> None:
    """Raise StoreError for anything that this package must not overwrite."""
    if target.store.read_only:
        raise StoreError(f"{target.label} was opened read-only; open it for writing, or write to another place.")
    if found is StoreState.OTHER:
        raise StoreError(f"{target.label} holds {found.value}. Name a new path: other files are never deleted.")
    if found is StoreState.ZARR and not overwrite:
        raise StoreError(f"{target.label} holds {found.value}. Name a new path, or pass overwrite=True to replace it.")
    if found is StoreState.DAMAGED and not overwrite:
        raise _damaged(target)


def _lacks_root(target: Target, names: set[str], unread: set[str], *, rooted: bool) -> bool:
    """Return whether this was a Zarr with a root document: one is there that cannot be read, or the ledger of a store.

    unread: root documents that cannot be read. A file that only bears the name of one is no sign.
    """
    if any(word in (target.text(name) or b"") for name in unread for word in _ZARR_WORDS):
        return True
    if rooted:
        return False
    return any(
        target.text(join_path(group, LEDGER, name)) is not None
        for group in ("", "0")
        for name in ("zarr.json", ".zarray")
        if not group or group in names
    )


def _damaged(target: Target) -> StoreDamageError:
    return StoreDamageError(
        f"{target.label} holds {StoreState.DAMAGED.value}, so its content is unknown. Restore that document from a "
        "copy of the store, or rewrite the store with overwrite=True."
    )
