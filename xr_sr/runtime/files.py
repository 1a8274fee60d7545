"""Write files completely or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from ..arguments import check_path
from ..errors import StoreError


def file_target(path: str | Path, example: str) -> Path:
    """Return the path of a file to be written. example: a file name, for the message.

    Raises StoreError if its folder does not exist, or if it is a folder.
    """
    target = check_path("path", path, StoreError)
    if not target.parent.is_dir():
        raise StoreError(f"path={str(path)!r}: the folder {target.parent} does not exist. Create it first.")
    if target.is_dir():
        raise StoreError(f"path={str(path)!r} is a folder; expected a file, such as {target / example}.")
    return target


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file completely or not at all.

    write: writes to a temporary path in the same folder, with the same suffix; the file then replaces `path`, so that
    a reader sees the old file or the new one, however many processes write it at once.
    """
    part = path.with_name(f".{uuid.uuid4().hex[:12]}.part{path.suffix}")
    try:
        write(part)
        with part.open("r+b") as file:
            os.fsync(file.fileno())  # else a crash of the machine could leave an empty file under the name
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
