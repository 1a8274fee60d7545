"""Documents of Zarr metadata: read, write, validate and consolidate those of groups and arrays.

Knows the two formats of Zarr and nothing of rasters. A valid JSON object may still describe no array or group.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import zarr
from zarr.storage import MemoryStore, StorePath

from ...errors import StoreDamageError
from .encoding import ZarrFormat
from .record import Record
from .target import Document, Target, join_path


def can_be_opened(document: Mapping[str, Any]) -> bool:
    """Return whether zarr can open the array that a document describes; names of dimensions are not looked at."""
    try:
        zarr.Array.from_dict(StorePath(MemoryStore({}), ""), deepcopy(dict(document)))
        return isinstance(document["shape"], list | tuple)
    except Exception:  # zarr raises errors of many classes
        return False


def is_array(document: Mapping[str, Any]) -> bool:
    """Return whether a document, with its attributes, describes an array that can be opened, with named dimensions."""
    attrs = document.get("attributes", {})
    if not isinstance(attrs, Mapping) or not can_be_opened(document):
        return False
    names = document.get("dimension_names") or [] if document["zarr_format"] == 3 else attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, list | tuple) or len(names) != len(document["shape"]):
        return False
    return all(isinstance(name, str) for name in names)


def is_group(document: Mapping[str, Any]) -> bool:
    """Return whether a document describes a group: `zarr.json`, or `.zgroup` of Zarr 2."""
    if document.get("zarr_format") == 2:
        return True
    attrs = document.get("attributes", {})
    return document.get("zarr_format") == 3 and document.get("node_type") == "group" and isinstance(attrs, Mapping)


def consolidated(document: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Return the documents that consolidated metadata hold, by path; None if they are not documents.

    document: `zarr.json` of a group, {} where it has none; or `.zmetadata`, whose paths are those of its keys.
    """
    outer = document if "zarr_consolidated_format" in document else document.get("consolidated_metadata") or {}
    inner = outer.get("metadata", {}) if isinstance(outer, Mapping) else None
    if not isinstance(inner, Mapping) or not all(isinstance(node, Mapping) for node in inner.values()):
        return None
    return {str(path): dict(node) for path, node in inner.items()}


def read_group(target: Target, group: str, zarr_format: ZarrFormat) -> Document:
    """Read the attributes of a group; {} where it has none."""
    if zarr_format == 3:
        return dict((target.read(group, "zarr.json") or {}).get("attributes") or {})
    return target.read(group, ".zattrs") or {}


def write_group(target: Target, group: str, zarr_format: ZarrFormat, attrs: Document) -> None:
    """Make a group with these attributes, or replace what it has; consolidated metadata is dropped (Zarr 3).

    Zarr 2: the attributes come first, so that a group that exists has them.
    """
    if zarr_format == 3:
        target.write({"attributes": attrs, "zarr_format": 3, "node_type": "group"}, group, "zarr.json")
        return
    target.write(attrs, group, ".zattrs")
    target.write({"zarr_format": 2}, group, ".zgroup")


def require_array(target: Target, record: Record, level: int, name: str) -> Document:
    """Read the document of an array that the template has, in the form that `Target.array` takes.

    Raises StoreDamageError where it is missing, or describes no array.
    """
    path, mend = join_path(record.groups[level], name), "where the store has a copy; overwrite=True rewrites the store."
    document = target.read(path, "zarr.json" if record.zarr_format == 3 else ".zarray")
    if document is None:
        raise StoreDamageError(f"{target.label} lacks the document of {path!r}. xr_sr.verify(store) restores it {mend}")
    if record.zarr_format == 2:
        document = {**document, "attributes": target.read(path, ".zattrs") or {}}
    if not is_array(document):
        raise StoreDamageError(
            f"the document of {path!r} in {target.label} is damaged: it describes no array. xr_sr.verify(store) "
            f"restores it {mend}"
        )
    return document


def open_array(target: Target, record: Record, level: int, name: str, *, length: int | None = None) -> zarr.Array[Any]:
    """Open an array that the template has. length: of its time axis, for dates that are not published yet."""
    document = require_array(target, record, level, name)
    if length is not None:
        stretched(document, record.time, length)
    return target.array(join_path(record.groups[level], name), document)


def stretched(document: Document, time: str | None, length: int) -> bool:
    """Set the length of the time axis in an array's document; says whether that changed it."""
    dims = dimensions(document)
    if time not in dims or document["shape"][dims.index(time)] == length:
        return False
    document["shape"][dims.index(time)] = length
    return True


def write_array(target: Target, path: str, document: Document) -> None:
    """Write the document of an array. Zarr 2: the attributes first."""
    if document["zarr_format"] == 3:
        target.write(document, path, "zarr.json")
        return
    plain = {key: value for key, value in document.items() if key != "attributes"}
    target.write(document["attributes"], path, ".zattrs")
    target.write(plain, path, ".zarray")


def dimensions(document: Document) -> tuple[str, ...]:
    """Return the names of the dimensions of an array."""
    if document["zarr_format"] == 3:
        return tuple(document.get("dimension_names") or ())
    return tuple(document["attributes"].get("_ARRAY_DIMENSIONS", ()))


def consolidate(
    target: Target, group: str, zarr_format: ZarrFormat, nodes: Mapping[str, Document | None], attrs: Document
) -> None:
    """Publish the contents of a group by one write: the documents of all arrays and subgroups below it, in its own.

    nodes: path below the group to the document of an array, or None for a subgroup. attrs: of the group itself.
    A reader that uses consolidated metadata (xarray does by default, GDAL for Zarr 2) sees the old state or the new
    one, never a mixture. Nothing is written where all this is published already. Stores that do without (Icechunk
    commits instead) get the attributes only.
    """
    able = not target.commits
    if zarr_format == 3:
        document: Document = {"attributes": attrs, "zarr_format": 3, "node_type": "group"}
        if able:
            inner = {path: node or _inner_group(target, group, path) for path, node in sorted(nodes.items())}
            document["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": inner}
        _write_changed(target, document, group, "zarr.json")
        return
    _write_changed(target, attrs, group, ".zattrs")
    _write_changed(target, {"zarr_format": 2}, group, ".zgroup")
    if able:
        flat: Document = {".zattrs": attrs, ".zgroup": {"zarr_format": 2}}
        for path, node in sorted(nodes.items()):
            if node is None:
                flat[f"{path}/.zattrs"] = read_group(target, join_path(group, path), 2)
                flat[f"{path}/.zgroup"] = {"zarr_format": 2}
            else:
                flat[f"{path}/.zattrs"] = node["attributes"]
                flat[f"{path}/.zarray"] = {key: value for key, value in node.items() if key != "attributes"}
        _write_changed(target, {"metadata": flat, "zarr_consolidated_format": 1}, group, ".zmetadata")


def is_consolidated(target: Target, group: str, zarr_format: ZarrFormat) -> bool:
    """Return whether a group has consolidated metadata."""
    if zarr_format == 3:
        return "consolidated_metadata" in (target.readable(group, "zarr.json") or {})
    return target.readable(group, ".zmetadata") is not None


def _inner_group(target: Target, group: str, path: str) -> Document:
    empty = {"kind": "inline", "must_understand": False, "metadata": {}}
    attrs = read_group(target, join_path(group, path), 3)
    return {"attributes": attrs, "zarr_format": 3, "consolidated_metadata": empty, "node_type": "group"}


def _write_changed(target: Target, document: Document, *parts: str) -> None:
    if target.readable(*parts) != document:
        target.write(document, *parts)
