"""What zarr and xarray see of a store that is being written: everything but the claims.

A claim is an object beside the arrays. Whoever lists the members of a group takes it for a member that may be a group,
and asks for its `zarr.json`. Most stores answer that there is none, and zarr warns; obstore's local folders raise, as a
file has nothing below it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, Store
from zarr.storage import WrapperStore

from .target import CLAIM, Target


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
