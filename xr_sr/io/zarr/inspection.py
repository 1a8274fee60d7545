"""What lies at a target: nothing, a store of ours (half-built, whole or damaged), another Zarr, or something else."""

from __future__ import annotations

from enum import Enum

from ...errors import StoreDamageError, StoreError
from .record import KEY, LEDGER, Record
from .target import Target, join_path

_ZARR_KEYS = {"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"}
_ZARR_WORDS = (b'"zarr_format"', b'"node_type"', KEY.encode())


class Found(Enum):
    """What a target holds, where it is no store of ours."""

    NOTHING = "nothing"
    ZARR = "a Zarr that xr_sr did not write, or did in a later version"
    DAMAGED = "a damaged Zarr, whose root document is missing or cannot be read"
    OTHER = "files that are no Zarr"


def find(target: Target) -> Record | Found:
    """Look at the root of a target; nothing is changed. A half-built store of ours wins over whatever else is there."""
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
        return Found.NOTHING
    unread: set[str] = {name for name in ("zarr.json", ".zattrs") if name in names and target.readable(name) is None}
    if _lacks_root(target, names, unread, rooted=bool(group3 or attrs2)):
        return Found.DAMAGED
    if not (names - unread) & _ZARR_KEYS:
        return Found.OTHER
    empty_group = names <= {"zarr.json", ".zgroup", ".zattrs"} and not group3.get("attributes") and not attrs2
    return Found.NOTHING if empty_group and group3.get("node_type", "group") == "group" else Found.ZARR


def require_record(target: Target) -> Record:
    """Read the record of a store whose template is whole. Raises StoreError for anything else."""
    try:
        found = find(target)
    except FileNotFoundError:
        found = Found.NOTHING
    if found is Found.DAMAGED:
        raise _damaged(target)
    if found is Found.NOTHING and target.is_absent:
        raise StoreError(f"there is no {target.label}. Check the path, or write the store first, with to_zarr.")
    if isinstance(found, Found):
        raise StoreError(
            f"{target.label} holds {found.value}. Open what others wrote with xarray.open_zarr or rioxarray."
        )
    if found.state == "building":
        raise StoreError(f"{target.label} was left before its template was whole. Run the same to_zarr call again.")
    return found


def refuse_others(found: Record | Found, target: Target, *, overwrite: bool) -> None:
    """Raise StoreError where something lies that is not ours to touch."""
    if target.store.read_only:
        raise StoreError(f"{target.label} was opened read-only; open it for writing, or write to another place.")
    if found is Found.OTHER:
        raise StoreError(f"{target.label} holds {found.value}. Name a new path: what is no Zarr is never deleted.")
    if found is Found.ZARR and not overwrite:
        raise StoreError(f"{target.label} holds {found.value}. Name a new path, or pass overwrite=True to replace it.")
    if found is Found.DAMAGED and not overwrite:
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
        f"{target.label} holds {Found.DAMAGED.value}, so what was written cannot be told. Restore that document from a "
        "copy of the store, or write the store anew with overwrite=True."
    )
