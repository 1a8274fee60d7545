"""What lies at a target: nothing, a store of ours (half-built or whole), another Zarr, or something else."""

from __future__ import annotations

from enum import Enum

from ..errors import StoreError
from .record import KEY, Record
from .target import Target

_ZARR_KEYS = {"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"}


class Found(Enum):
    """What a target holds, where it is no store of ours."""

    NOTHING = "nothing"
    ZARR = "a Zarr that xr_sr did not write, or did in a later version"
    OTHER = "files that are no Zarr"


def find(target: Target) -> Record | Found:
    """Look at the root of a target; nothing is changed. A half-built store of ours wins over whatever else is there."""
    group3, attrs2 = target.read("zarr.json") or {}, target.read(".zattrs") or {}
    records = [Record.from_attribute(attrs.get(KEY)) for attrs in (group3.get("attributes", {}), attrs2)]
    ours = sorted((record for record in records if record is not None), key=lambda record: record.state)
    if ours:
        return ours[0]
    names = set(target.names())
    if not names:
        return Found.NOTHING
    if not names & _ZARR_KEYS:
        return Found.OTHER
    empty_group = names <= {"zarr.json", ".zgroup", ".zattrs"} and not group3.get("attributes") and not attrs2
    return Found.NOTHING if empty_group and group3.get("node_type", "group") == "group" else Found.ZARR


def refuse_others(found: Record | Found, target: Target, *, overwrite: bool) -> None:
    """Raise StoreError where something lies that is not ours to touch."""
    if target.store.read_only:
        raise StoreError(f"{target.label} was opened read-only; open it for writing, or write to another place.")
    if found is Found.OTHER:
        raise StoreError(f"{target.label} holds {found.value}. Name a new path: what is no Zarr is never deleted.")
    if found is Found.ZARR and not overwrite:
        raise StoreError(f"{target.label} holds {found.value}. Name a new path, or pass overwrite=True to replace it.")
