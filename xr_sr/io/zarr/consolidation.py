"""Consolidated metadata: the documents of all arrays and groups below a group, published in one document of its own."""

from __future__ import annotations

from collections.abc import Mapping

from .encoding import ZarrFormat
from .target import Document, Target, join_path, read_group


def consolidate(
    target: Target, group: str, zarr_format: ZarrFormat, nodes: Mapping[str, Document | None], attrs: Document
) -> bool:
    """Publish what lies in a group by one write: the documents of all arrays and subgroups below it, in its own.

    nodes: path below the group to the document of an array, or None for a subgroup. attrs: of the group itself.
    A reader that uses consolidated metadata (xarray does by default, GDAL for Zarr 2) sees the old state or the new
    one, never a mixture. Returns False, having written nothing, where all this is published already. Stores that do
    without (Icechunk commits instead) get the attributes only.
    """
    able = not target.commits
    if zarr_format == 3:
        document: Document = {"attributes": attrs, "zarr_format": 3, "node_type": "group"}
        if able:
            inner = {path: node or _inner_group(target, group, path) for path, node in sorted(nodes.items())}
            document["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": inner}
        return _write_changed(target, document, group, "zarr.json")
    changed = _write_changed(target, attrs, group, ".zattrs")
    changed |= _write_changed(target, {"zarr_format": 2}, group, ".zgroup")
    if able:
        flat: Document = {".zattrs": attrs, ".zgroup": {"zarr_format": 2}}
        for path, node in sorted(nodes.items()):
            if node is None:
                flat[f"{path}/.zattrs"] = read_group(target, join_path(group, path), 2)
                flat[f"{path}/.zgroup"] = {"zarr_format": 2}
            else:
                flat[f"{path}/.zattrs"] = node["attributes"]
                flat[f"{path}/.zarray"] = {key: value for key, value in node.items() if key != "attributes"}
        changed |= _write_changed(target, {"metadata": flat, "zarr_consolidated_format": 1}, group, ".zmetadata")
    return changed


def is_consolidated(target: Target, group: str, zarr_format: ZarrFormat) -> bool:
    """Return whether a group has consolidated metadata."""
    if zarr_format == 3:
        return "consolidated_metadata" in (target.readable(group, "zarr.json") or {})
    return target.readable(group, ".zmetadata") is not None


def _inner_group(target: Target, group: str, path: str) -> Document:
    empty = {"kind": "inline", "must_understand": False, "metadata": {}}
    attrs = read_group(target, join_path(group, path), 3)
    return {"attributes": attrs, "zarr_format": 3, "consolidated_metadata": empty, "node_type": "group"}


def _write_changed(target: Target, document: Document, *parts: str) -> bool:
    if target.readable(*parts) == document:
        return False
    target.write(document, *parts)
    return True
