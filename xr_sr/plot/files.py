"""Where pages and pictures are written: a folder that is there, a file that is whole or not there at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from ..arguments import check_path
from ..errors import StoreError


def target_of(path: str | Path, example: str) -> Path:
    """Check that a file can stand there. example: a name, for the message.

    Raises StoreError where its folder is missing, or where it is a folder.
    """
    target = check_path("path", path, StoreError)
    if not target.parent.is_dir():
        raise StoreError(f"{target.parent} is no folder, so {target.name} cannot be written there. Make it first.")
    if target.is_dir():
        raise StoreError(f"{target} is a folder; wanted the name of a file, such as {target / example}.")
    return target


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file as a whole or not at all. write: does it, to a path beside the last one, with the same ending."""
    part = path.with_name(f".{uuid.uuid4().hex[:12]}.part{path.suffix}")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
