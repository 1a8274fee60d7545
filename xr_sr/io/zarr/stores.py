"""What the stores of zarr-python lack: exclusive creation, time stamps of objects, and listings without claims.

zarr's `Store.set_if_not_exists` is atomic only where a store overrides it; its `FsspecStore` does not, but some file
systems of fsspec create exclusively. A claim is an object beside the arrays: zarr and xarray take it for a member of a
group and ask for its `zarr.json`. Most stores answer that there is none, and zarr warns; obstore's local folders raise,
as a file has nothing below it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, Store
from zarr.buffer.cpu import buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, ObjectStore, WrapperStore

from .target import CLAIM, Target

_ATOMIC_PROTOCOLS = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
"""File systems of fsspec whose `pipe_file(mode="create")` is one conditional request (s3fs, gcsfs, adlfs), or memory.

The base class of fsspec, which all others inherit, looks first and then writes: two callers can both succeed.
"""

_STAMPS = ("LastModified", "last_modified", "mtime", "updated")
"""Where file systems of fsspec say when a file was written last."""


def can_create(store: Store) -> bool:
    """Return whether `create` is atomic on a store, so that one of several callers succeeds and the others know."""
    inner = _unwrapped(store)
    if isinstance(inner, FsspecStore):
        return bool(_protocols(inner) & _ATOMIC_PROTOCOLS)
    return type(inner).set_if_not_exists is not Store.set_if_not_exists


def create(store: Store, key: str, value: bytes) -> bool:
    """Write an object where none exists; return whether this call wrote it.

    value: must differ from what any other caller writes, as it is read back to find out who was first.
    Raises whatever the store raises where it can neither write the object nor show one of another caller.
    """
    return sync(_create(_unwrapped(store), key, value))


def written_at(store: Store, key: str) -> float | None:
    """Return when an object was written last, in seconds by the store's clock; None where the store does not say."""
    return sync(_written_at(_unwrapped(store), key))


async def _create(store: Store, key: str, value: bytes) -> bool:
    refusal: Exception | None = None
    try:
        if isinstance(store, FsspecStore):
            await store.fs._pipe_file(_path(store, key), value, mode="create")
        else:
            await store.set_if_not_exists(key, buffer_prototype.buffer.from_bytes(value))
    except FileExistsError:
        return False
    except Exception as error:  # each object store reports an object that exists in a class of its own
        refusal = error
    found = await store.get(key, buffer_prototype)
    if found is not None:
        return found.to_bytes() == value
    if isinstance(store, LocalStore) and isinstance(refusal, OSError) and not isinstance(refusal, FileNotFoundError):
        return _create_file(store, key, value)
    # FileNotFoundError: another call swept the half-written file of this one away.
    if refusal is not None and not isinstance(refusal, FileNotFoundError):
        raise refusal
    return False


def _create_file(store: LocalStore, key: str, value: bytes) -> bool:
    """Create a file on a file system without hard links, which zarr's own way needs (exFAT, some network mounts)."""
    try:
        with (store.root / key).open("xb") as file:
            file.write(value)
    except FileExistsError:
        return False
    return True


async def _written_at(store: Store, key: str) -> float | None:
    try:
        if isinstance(store, LocalStore):
            return (store.root / key).stat().st_mtime
        if isinstance(store, ObjectStore):
            import obstore

            return _seconds((await obstore.head_async(store.store, key))["last_modified"])
        if isinstance(store, FsspecStore):
            store.fs.invalidate_cache()
            facts = await store.fs._info(_path(store, key))
            return next((_seconds(facts[name]) for name in _STAMPS if facts.get(name)), None)
    except FileNotFoundError:
        return None
    return None


def _unwrapped(store: Store) -> Store:
    """Return the store that does the work; a local folder behind fsspec as zarr's own store of local files."""
    while isinstance(store, WrapperStore):
        store = store._store
    if isinstance(store, FsspecStore) and _protocols(store) & {"file", "local"}:
        return LocalStore(store.path)
    return store


def _protocols(store: FsspecStore) -> set[str]:
    system: Any = getattr(store.fs, "sync_fs", store.fs)
    return {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)


def _path(store: FsspecStore, key: str) -> str:
    return f"{store.path.rstrip('/')}/{key}" if store.path else key


def _seconds(stamp: Any) -> float:
    if isinstance(stamp, str):
        stamp = datetime.fromisoformat(stamp)
    if isinstance(stamp, datetime):
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    return float(stamp)


def members_of(target: Target) -> Store:
    """Return the store of a target without claims, for libraries that list what lies in it.

    A store that commits (Icechunk) takes no claims and is returned itself, as it has abilities that a wrapper lacks.
    """
    return target.store if target.commits else _Unclaimed(target.store)


class _Unclaimed(WrapperStore[Store]):
    """A store in which claims are neither listed nor read; it can be pickled where the store inside can."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        return None if _is_claim(key) else await self._store.get(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        for key, prototype, byte_range in requests:
            yield key, await self.get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        return not _is_claim(key) and await self._store.exists(key)

    async def is_empty(self, prefix: str) -> bool:
        return await Store.is_empty(self, prefix)

    def list(self) -> AsyncIterator[str]:
        return _without_claims(self._store.list())

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        return _without_claims(self._store.list_prefix(prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        return _without_claims(self._store.list_dir(prefix))


async def _without_claims(keys: AsyncIterator[str]) -> AsyncIterator[str]:
    async for key in keys:
        if not _is_claim(key):
            yield key


def _is_claim(key: str) -> bool:
    return any(part.startswith(CLAIM) for part in key.split("/"))
