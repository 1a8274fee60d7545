"""Read and write keys, JSON documents and arrays in a Zarr store of any kind.

Knows Zarr's keys and its two formats, and nothing of rasters. Every function here is one or a few operations on keys,
in a stated order; a write of one key is atomic in all stores that matter (local files are renamed into place).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import zarr
from zarr.abc.store import RangeByteRequest, Store
from zarr.buffer.cpu import buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

from ...arguments import check_path, first_line
from ...errors import StoreDamageError, StoreError, XrSrError
from .encoding import ZarrFormat

StoreLike: TypeAlias = "str | os.PathLike[str] | Store | StorePath | Mapping[str, Any]"
"""A path, a URL that fsspec knows, a store of zarr-python (Icechunk's and obstore's too), an fsspec mapper, a dict."""

Document: TypeAlias = dict[str, Any]

CLAIM = ".xr_sr_claim"
"""How the objects begin that keep other writers away; see `claim`. They are not part of the Zarr."""

_AT_ONCE = 32
"""Keys that are requested at the same time."""

_Result = TypeVar("_Result")
_OUR_FAULTS = (AssertionError, AttributeError, LookupError, NameError, TypeError)
_ARRAY_KEYS = {"zarr.json", ".zarray", ".zattrs"}
_ROOT_KEYS = {3: ("zarr.json",), 2: (".zgroup", ".zattrs")}


@dataclass(frozen=True, eq=False)
class Target:
    """A store and a path in it.

    label: how messages call it.
    """

    store: Store
    prefix: str
    label: str

    @classmethod
    def of(
        cls, place: StoreLike, *, read_only: bool = False, storage_options: Mapping[str, Any] | None = None
    ) -> Target:
        """Make a target from a path, a URL or a store. Nothing is written.

        Raises StoreError for anything but a store, and for a URL whose protocol is unknown or not installed.
        """
        if isinstance(place, StorePath):
            return cls(place.store, place.path, str(place))
        if isinstance(place, Store):
            return cls(place, "", first_line(place).strip("<>"))
        if isinstance(place, str | os.PathLike):
            text = os.fspath(place)
            if not text.strip():
                raise StoreError(f"the path {text!r} is empty; name a folder or a URL, such as 'out.zarr'.")
            if "://" in text or "::" in text:
                if text.startswith(("file://", "local://")):
                    return cls.of(text.split("://", 1)[1], read_only=read_only)
                options = dict(storage_options) if storage_options else None
                return cls(_remote(text, options, read_only=read_only), "", text)
            path = check_path("store", text, StoreError)
            if path.exists() and not path.is_dir():
                raise StoreError(f"{text} is a file; a Zarr store is a folder. Name another path.")
            return cls(LocalStore(path, read_only=read_only), "", text)
        if isinstance(place, dict):
            if other := [key for key in place if not isinstance(key, str)]:
                raise StoreError(f"the keys of a dict of Zarr are text; this one has {other[0]!r}. Pass an empty dict.")
            return cls(MemoryStore(place, read_only=read_only), "", "a dict")
        if hasattr(place, "fs") and hasattr(place, "root"):
            if "file" in place.fs.protocol:  # LocalStore makes folders, and renames what is whole into place
                return cls.of(place.root, read_only=read_only)
            return cls(FsspecStore.from_mapper(place, read_only=read_only), "", str(place.root))
        raise StoreError(f"a {type(place).__name__} is not a Zarr store: pass a path, a URL or a store of zarr-python.")

    @property
    def commits(self) -> bool:
        """Return whether the store shows changes only when its user commits them, as Icechunk does.

        Such a store takes no consolidated metadata, as it has no use for them, and no chunk beyond the shape of its
        array.
        """
        return not self.store.supports_consolidated_metadata

    def refuse_append_only(self) -> None:
        """Raise StoreError if keys cannot be rewritten and deleted, as in a ZIP file; resuming needs both."""
        store = self.store
        if not store.read_only and not (store.supports_writes and store.supports_deletes):
            raise StoreError(
                f"{self.label} is a {type(store).__name__}, which cannot rewrite or delete keys, as resuming a run "
                "needs. Write to a folder or a URL, and pack it afterwards."
            )

    def path(self, *parts: str) -> str:
        """Join a path inside the store."""
        return "/".join(part for part in (self.prefix, *parts) if part)

    def read(self, *parts: str) -> Document | None:
        """Read a JSON document; None where there is none. Raises StoreDamageError for one that cannot be read."""
        found = self.text(*parts)
        if found is None:
            return None
        try:
            document = json.loads(found)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise StoreDamageError(
                f"{join_path(*parts)} of {self.label} is damaged: {len(found)} bytes that are not a JSON document. "
                "xr_sr.verify(store) says what can be repaired; overwrite=True rewrites the store."
            )
        return document

    def readable(self, *parts: str) -> Document | None:
        """Read a JSON document; None where there is none that can be read."""
        try:
            return self.read(*parts)
        except StoreDamageError:
            return None

    def text(self, *parts: str) -> bytes | None:
        """Read what a key holds; None where there is nothing, or a folder."""
        found = _wait(self.store.get(self.path(*parts), buffer_prototype))
        return None if found is None else found.to_bytes()

    def write(self, document: Document, *parts: str) -> None:
        """Write a JSON document, in place of an empty folder too."""
        if self.is_folder(*parts):
            (self.store.root / self.path(*parts)).rmdir()  # type: ignore[attr-defined]
        value = buffer_prototype.buffer.from_bytes(json.dumps(document, indent=2).encode())
        _wait(self.store.set(self.path(*parts), value))

    def is_folder(self, *parts: str) -> bool:
        """Return whether a key is a folder of local files."""
        return isinstance(self.store, LocalStore) and (self.store.root / self.path(*parts)).is_dir()

    @property
    def is_absent(self) -> bool:
        """Return whether it is a path of local files where nothing exists."""
        return isinstance(self.store, LocalStore) and not (self.store.root / self.prefix).exists()

    def delete(self, *parts: str) -> None:
        """Delete one key; nothing happens where it is missing."""
        _wait(self.store.delete(self.path(*parts)))

    def names(self, *parts: str) -> list[str]:
        """List the names directly below, without claims and the half-written files that a killed process leaves."""

        async def collect() -> list[str]:
            return [name async for name in self.store.list_dir(self.path(*parts))]

        found = (name.rstrip("/").rsplit("/", 1)[-1] for name in _wait(collect()))
        return sorted({name for name in found if name and not name.startswith(CLAIM) and not name.endswith(".partial")})

    def has_chunks(self, path: str) -> bool:
        """Return whether anything of an array is written beside its documents."""
        return not set(self.names(path)) <= _ARRAY_KEYS

    def present(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that exist and are not empty; reads a byte of each, as listings may be stale."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def look(key: str) -> tuple[str, bool]:
            async with limit:
                found = await self.store.get(key, buffer_prototype, RangeByteRequest(0, 1))
            return key, found is not None and len(found) > 0

        async def collect() -> list[tuple[str, bool]]:
            return list(await asyncio.gather(*map(look, keys)))

        return {key for key, there in _wait(collect()) if there}

    def blosc_is_whole(self, key: str) -> bool:
        """Return whether a chunk is as long as its header says; Blosc reads beyond the end of some that were cut."""

        async def look() -> tuple[bytes, int]:
            found = await self.store.get(key, buffer_prototype, RangeByteRequest(0, 16))
            return (b"" if found is None else found.to_bytes()), await self.store.getsize(key)

        header, size = _wait(look())
        return int.from_bytes(header[12:16], "little") == size

    def clear(self, *, keep: ZarrFormat) -> None:
        """Delete everything below except for the documents of the root group in one format."""
        for name in set(self.names()) - set(_ROOT_KEYS[keep]):
            if name.startswith(".z") or name == "zarr.json":
                self.delete(name)
            else:
                try:
                    _wait(self.store.delete_dir(self.path(name)))
                except ValueError:  # LocalStore says so of a plain file
                    self.delete(name)

    def sweep(self) -> None:
        """Delete half-written documents that a killed process left in a local folder."""
        if isinstance(self.store, LocalStore):
            root = self.store.root / self.prefix
            for depth in ("*.partial", "*/*.partial", "*/*/*.partial"):
                for leftover in root.glob(depth):
                    leftover.unlink(missing_ok=True)

    def array(self, path: str, document: Document) -> zarr.Array[Any]:
        """Open the array that a document describes. The document may be ahead of the one in the store: longer.

        Chunks of nothing but the fill value are written too, so that a missing chunk is one that was lost.
        """
        array = zarr.Array.from_dict(StorePath(self.store, self.path(path)), document)
        return array.with_config({"write_empty_chunks": True})

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Convert any error while the body reads into a StoreDamageError of one sentence."""
        try:
            yield
        except XrSrError:
            raise
        except Exception as error:
            raise StoreDamageError(
                f"{what} of {self.label} cannot be read: {first_line(error)}. If the store can be reached, it is "
                "damaged: xr_sr.verify(store) says what is, and what to do."
            ) from error

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Convert any error while the body writes into a StoreError of one sentence."""
        try:
            yield
        except (StoreError, Warning, *_OUR_FAULTS):
            raise
        except Exception as error:
            raise cannot_write(f"{what} of {self.label}", error) from error


def cannot_write(what: str, error: Exception) -> StoreError:
    """Return the error of a failed write: what failed, why, and that the same call resumes it."""
    reason = first_line(getattr(error, "strerror", None) or error)
    return StoreError(
        f"cannot write {what}: {reason}. What is done is kept: remove the cause and run the same call again."
    )


def _remote(url: str, options: dict[str, Any] | None, *, read_only: bool) -> Store:
    """Make the store of a URL. Raises StoreError for a protocol that fsspec does not know or cannot load."""
    try:
        return FsspecStore.from_url(url, storage_options=options, read_only=read_only)
    except ImportError as error:
        reason = first_line(error)
        raise StoreError(
            f"{url} needs a library that is not installed: {reason}. Install it, or use a path."
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{url} cannot be reached: {first_line(error)}. Use a path, or a URL that fsspec knows, such as s3://..."
        ) from error


def _wait(awaitable: Awaitable[_Result]) -> _Result:
    async def run() -> _Result:
        return await awaitable

    return sync(run())


def join_path(*parts: str) -> str:
    """Join parts of a path, leaving out empty ones."""
    return "/".join(part for part in parts if part)
