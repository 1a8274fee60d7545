"""The folder in which a set of pairs is made until it is whole: its name, its lock, and what killed runs left behind.

The lock is the operating system's on the folder itself: it ends with its process, however that ends.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["YOUNG_S", "partial_folder"]

YOUNG_S = 60.0
"""Seconds for which a folder without a lock is left alone: its run may be about to lock it."""


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside the target, to be renamed to it; what is still there at the end is removed.

    Before, folders that killed runs for the same target left are removed. Where the system or the file system has no
    locks, nobody can tell that a run is dead, and they stay.
    """
    # No dot behind the first letter: pystac takes a folder with one for a file. Hence no name of the target in clear.
    stem = f".partial-{hashlib.sha256(target.name.encode()).hexdigest()[:8]}-"
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f"{stem}*"):
        _remove_if_dead(left)
    partial = target.with_name(f"{stem}{uuid.uuid4().hex[:12]}")
    partial.mkdir()
    lock = _lock(partial)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_if_dead(left: Path) -> None:
    """Remove a folder that is not young and that no process holds."""
    try:
        if time.time() - left.stat().st_mtime < YOUNG_S:
            return
    except OSError:
        return  # another run was faster
    lock = _lock(left)
    if lock is not None:
        shutil.rmtree(left, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder; None where another holds it, or where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
