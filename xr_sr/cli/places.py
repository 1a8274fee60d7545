"""What a text on the command line names: a local path, or a URL that fsspec or GDAL reads. Opens nothing."""

from __future__ import annotations

from pathlib import Path


def is_local(text: str) -> bool:
    """Return whether a text is a path of this machine's file system, and no URL (`file://...` is one)."""
    return not ("://" in text or "::" in text or text.startswith("/vsi"))


def suffix_of(text: str) -> str:
    """Get the suffix of a path or a URL in small letters, such as ".zarr"; of a chain a::b, that of its first link."""
    first = text if is_local(text) else text.split("::", 1)[0]
    return Path(first).suffix.lower()


def is_same(source: str, target: str) -> bool:
    """Return whether two texts name the same thing."""
    first, second = (Path(text.removeprefix("file://").removeprefix("local://")) for text in (source, target))
    if first.exists() and second.exists():
        return first.samefile(second)
    return source.rstrip("/") == target.rstrip("/")
