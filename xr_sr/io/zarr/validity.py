"""Whether the metadata documents of Zarr say what they must: a JSON object may still describe no array or group.

Pure functions of documents, without a store.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import zarr
from zarr.storage import MemoryStore, StorePath


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
    """Return the documents that consolidated metadata hold, by path; None where they are no documents.

    document: `zarr.json` of a group, {} where it has none; or `.zmetadata`, whose paths are those of its keys.
    """
    outer = document if "zarr_consolidated_format" in document else document.get("consolidated_metadata") or {}
    inner = outer.get("metadata", {}) if isinstance(outer, Mapping) else None
    if not isinstance(inner, Mapping) or not all(isinstance(node, Mapping) for node in inner.values()):
        return None
    return {str(path): dict(node) for path, node in inner.items()}
