"""The store that zarr and xarray list: what lies in it but the claims, whatever kind of store it is."""

from __future__ import annotations

import asyncio
import errno
import pickle
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.abc.store import RangeByteRequest
from zarr.buffer.cpu import buffer_prototype
from zarr.storage import LocalStore, MemoryStore

from tests.io.zarr.scenes import cube
from xr_sr.io.zarr import open_zarr, to_zarr, verify
from xr_sr.io.zarr.members import members_of
from xr_sr.io.zarr.target import CLAIM, Target


class Strict(LocalStore):
    """A store like obstore's local folders: it raises for a key below a file."""

    async def get(self, key, prototype, byte_range=None):
        if any(parent.is_file() for parent in (self.root / key).parents):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", key)
        return await super().get(key, prototype, byte_range)


class Committing(MemoryStore):
    """A store that shows changes only when they are committed, as Icechunk's does."""

    supports_consolidated_metadata = False


async def listed(keys) -> set[str]:
    return {key async for key in keys}


def claimed_target(store, prefix: str = "") -> Target:
    target = Target(store, prefix, "a store")
    zarr.create_array(store, name=target.path("B08"), shape=(2,), dtype="uint8", chunks=(2,), fill_value=0)[:] = 7
    for end in ("", "_clock", "_takeover"):
        target.write({"kind": "exclusive"}, CLAIM + end)
    return target


@pytest.mark.parametrize("prefix", ["", "deep/below"])
@pytest.mark.parametrize("make", [MemoryStore, "LocalStore", "Strict"])
def test_zarr_sees_the_arrays_and_no_claim(make, prefix, tmp_path):
    store = make() if callable(make) else {"LocalStore": LocalStore, "Strict": Strict}[make](tmp_path)
    target = claimed_target(store, prefix)
    seen = members_of(target)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(seen, path=prefix, mode="r")
        assert [name for name, _ in group.members()] == ["B08"]
    np.testing.assert_array_equal(group["B08"][:], 7)

    everything = asyncio.run(listed(store.list()))
    kept = {key for key in everything if CLAIM not in key}
    assert len(everything) == len(kept) + 3
    assert asyncio.run(listed(seen.list())) == kept
    assert asyncio.run(listed(seen.list_prefix(target.path(CLAIM)))) == set()
    assert asyncio.run(listed(seen.list_dir(prefix))) == {"B08", "zarr.json"}


def test_a_claim_is_neither_read_nor_there():
    target = claimed_target(MemoryStore())
    seen, part = members_of(target), RangeByteRequest(0, 1)
    asked = [("zarr.json", part), (CLAIM, part), (f"{CLAIM}/zarr.json", None)]

    async def ask():
        found = [await seen.get(key, buffer_prototype, which) for key, which in asked]
        some = await seen.get_partial_values(buffer_prototype, asked)
        many = [each async for each in seen._get_many([(key, buffer_prototype, which) for key, which in asked])]
        return found, some, [value for _, value in many], [await seen.exists(key) for key, _ in asked]

    *answers, there = asyncio.run(ask())

    for found in answers:
        assert found[0].to_bytes() == b"{"
        assert found[1:] == [None, None]
    assert there == [True, False, False]


def test_a_store_with_nothing_but_claims_is_empty():
    target = Target(MemoryStore(), "", "a store")
    target.write({}, CLAIM)

    assert asyncio.run(members_of(target).is_empty(""))


def test_what_is_written_reaches_the_store_and_copies_lead_to_the_same_keys(tmp_path):
    target = claimed_target(LocalStore(tmp_path))

    copy = pickle.loads(pickle.dumps(members_of(target)))
    zarr.open_array(copy, path="B08", mode="r+")[0] = 9

    assert zarr.open_array(target.store, path="B08", mode="r")[:].tolist() == [9, 7]
    assert copy == members_of(target)


def test_a_store_that_commits_is_handed_on_as_it_is():
    store = Committing()

    assert members_of(Target(store, "", "a store")) is store


@pytest.mark.parametrize("options", [{"zarr_format": 2}, {"zarr_format": 3, "pyramid": 1}], ids=str)
def test_a_store_that_refuses_keys_below_a_file_is_written_extended_and_read(options, tmp_path):
    store, scene = Strict(tmp_path), cube()

    to_zarr(scene.isel(time=[0, 1]), store, **options)
    to_zarr(scene, store, **options)

    xr.testing.assert_identical(open_zarr(store).compute(), scene.compute())
    assert not verify(store).damages


def test_a_store_without_consolidated_metadata_is_read_while_another_call_writes(tmp_path):
    store, scene = Strict(tmp_path), cube()
    to_zarr(scene, store)
    target = Target.of(store)
    document = target.read("zarr.json")
    del document["consolidated_metadata"]
    target.write(document, "zarr.json")
    target.write({"kind": "exclusive"}, CLAIM)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.testing.assert_identical(open_zarr(store).compute(), scene.compute())
