"""Whether the tasks of a run reach the store, and how the changes of a forked session come back.

Tasks in other processes, and all tasks of a `dask.distributed` cluster, write through a pickled copy of the store. A
copy of a store on disk or in a bucket leads to the same keys; one of memory does not. The store of a session
(Icechunk's) is forked: each task writes to a fork of its own, and the client merges the forks of a region into the
user's session. Sessions are recognized by their methods, so Icechunk is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import zarr
from zarr.abc.store import Store

from ...arguments import first_line
from ...errors import StoreError
from ...runtime.execute import Graph, active_client, run_graphs, shares_memory
from .target import Target

_PROBE = 1024
"""Bytes that a probe of a session writes: beyond the 512 that Icechunk keeps in its own files."""


class Session(Protocol):
    """A session: its forks can be pickled, written to through their stores, and merged back."""

    @property
    def store(self) -> Store:
        """The store that writes to this session."""
        ...

    def fork(self) -> Session:
        """Make a session that can be pickled, with all changes so far."""
        ...

    def merge(self, *others: Session) -> None:
        """Add what was changed in forks."""
        ...


def session_of(store: object) -> Session | None:
    """Return the session that a store writes to; None for other stores."""
    session: Any = getattr(store, "session", None)
    able = session is not None and all(callable(getattr(session, name, None)) for name in ("fork", "merge"))
    return session if able and hasattr(session, "store") else None


def fork_of(target: Target) -> Target | None:
    """Return a target for tasks that work on pickled copies, where the store must be forked for them; else None."""
    session = session_of(target.store) if _is_pickled() else None
    return None if session is None else Target(session.fork().store, target.prefix, target.label)


def own_fork(store: Store) -> tuple[Store, Session]:
    """Fork the store of a session once more, inside a task: two tasks of one worker never share their changes."""
    session = session_of(store)
    assert session is not None, "only stores of sessions are forked"
    fork = session.fork()
    return fork.store, fork


def merge_forks(forks: list[Session]) -> Session | None:
    """Put the changes of several forks into the first of them."""
    if len(forks) > 1:
        forks[0].merge(*forks[1:])
    return forks[0] if forks else None


def merge_into(target: Target, changes: Session | None) -> None:
    """Merge what tasks wrote to a fork into the session of the user."""
    session = session_of(target.store)
    if changes is not None and session is not None:
        session.merge(changes)


def refuse_unreachable(target: Target) -> None:
    """Raise StoreError if tasks of the active scheduler would write to the store in vain.

    A task writes a small key, or a chunk to a fork, and the client looks whether it is there; both are deleted. Nothing
    is done where tasks run in this process and get the store itself.
    """
    if not _is_pickled():
        return
    session = session_of(target.store)
    try:
        arrived = _probe_keys(target) if session is None else _probe_forks(session)
        reason = "what a task wrote did not arrive"
    except Exception as error:  # of pickling, of the worker, or of the store: each has its own
        arrived, reason = False, first_line(error)
    if not arrived:
        raise StoreError(
            f"{target.label} cannot be reached by the workers of the active scheduler ({reason}). The memory of this "
            "process, and a disk that the workers do not share, are such places. Write to a path or URL that they "
            "reach, or run on threads: close the dask.distributed client, or dask.config.set(scheduler='threads')."
        )


def put_probe(store: Store, key: str) -> str:
    """Write a probe, in a task."""
    Target(store, "", "").write({}, key)
    return key


def put_probe_chunk(store: Store) -> Session:
    """Write the chunk of the probe to a fork, in a task, and return the fork."""
    own, session = own_fork(store)
    zarr.open_array(own, path="xr_sr_probe", mode="r+")[:] = 1
    return session


def _is_pickled() -> bool:
    """Return whether tasks get a pickled copy of the store. A cluster pickles even for threads of this process."""
    return active_client() is not None or not shares_memory()


def _probe_keys(target: Target) -> bool:
    key = target.path(f"probe.{uuid4().hex}.partial")  # such names do not count, should it be left behind
    try:
        _on_workers(put_probe, target.store, key)
        return bool(target.present([key]))
    finally:
        Target(target.store, "", "").delete(key)


def _probe_forks(session: Session) -> bool:
    scratch = session.fork()
    zarr.create_array(
        scratch.store,
        name="xr_sr_probe",
        shape=(_PROBE,),
        chunks=(_PROBE,),
        dtype="uint8",
        compressors=None,
        overwrite=True,
    )
    scratch.merge(_on_workers(put_probe_chunk, scratch.store))
    found = np.asarray(zarr.open_array(scratch.store, path="xr_sr_probe", mode="r")[:])
    return bool((found == 1).all())


def _on_workers(function: Callable[..., Any], *args: Any) -> Any:
    """Run one task on the active scheduler, whichever it is."""
    key = f"probe-{uuid4().hex}"
    results: dict[Hashable, Any] = {}
    run_graphs([Graph({key: (function, *args)}, (key,))], results.__setitem__)
    return results[key]
