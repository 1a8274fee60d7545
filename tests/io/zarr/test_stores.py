"""Exclusive creation in stores of many kinds, and the listing of a store without its claims."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import threading
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.memory import MemoryFileSystem
from zarr.abc.store import RangeByteRequest, Store
from zarr.buffer.cpu import buffer_prototype
from zarr.storage import FsspecStore, LocalStore, MemoryStore, WrapperStore

from tests.io.zarr.scenes import cube
from xr_sr.io.zarr import open_zarr, to_zarr, verify
from xr_sr.io.zarr.stores import can_create, create, members_of, written_at
from xr_sr.io.zarr.target import CLAIM, Target


class Plain(MemoryStore):
    """A store that creates as the base class does: it looks first, and writes then."""

    set_if_not_exists = Store.set_if_not_exists


class Ftp(MemoryFileSystem):
    """A file system of fsspec of which nothing is known."""

    protocol = "ftp-like"


def places(folder):
    return {
        "local": LocalStore(folder / "local"),
        "wrapped": WrapperStore(LocalStore(folder / "wrapped")),
        "memory": MemoryStore(),
        "fsspec memory": FsspecStore.from_url("memory://exclusive-test"),
        "fsspec file": FsspecStore.from_url(f"file://{folder}/fsspec"),
    }


@pytest.mark.parametrize("kind", ["local", "wrapped", "memory", "fsspec memory", "fsspec file"])
def test_one_of_many_creates_an_object_and_the_others_know(kind, tmp_path):
    store = places(tmp_path)[kind]
    assert can_create(store)
    for attempt in range(5):
        key, created, ready = f"group/object-{attempt}", [], threading.Barrier(8)

        def race(number, key=key, created=created, ready=ready):
            ready.wait()
            if create(store, key, b"%d" % number):
                created.append(number)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

        assert len(created) == 1
        assert Target(store, "", "").text(key) == b"%d" % created[0]
    assert Target(store, "", "").text("another") is None


def test_a_store_that_looks_first_and_writes_then_cannot():
    assert not can_create(Plain())
    assert not can_create(WrapperStore(Plain()))
    assert not can_create(FsspecStore(AsyncFileSystemWrapper(Ftp()), path="exclusive-test"))


@pytest.mark.parametrize("missing", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_creates_too(missing, tmp_path, monkeypatch):
    def link(*_):
        raise OSError(missing, os.strerror(missing))

    monkeypatch.setattr("os.link", link)
    store = LocalStore(tmp_path)

    assert create(store, "object", b"first")
    assert not create(store, "object", b"second")
    assert Target(store, "", "").text("object") == b"first"


def test_a_place_without_permission_says_so(tmp_path, monkeypatch):
    async def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(LocalStore, "set_if_not_exists", refuse)
    monkeypatch.setattr(
        "pathlib.Path.open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no"))
    )

    with pytest.raises(PermissionError):
        create(LocalStore(tmp_path), "object", b"value")


def test_the_time_of_writing_is_that_of_the_store(tmp_path):
    for name, store in places(tmp_path).items():
        create(store, "object", name.encode())
    for name in ("local", "wrapped", "fsspec"):
        os.utime(tmp_path / name / "object", (1, 1234.5))

    stamps = {name: written_at(store, "object") for name, store in places(tmp_path).items()}

    assert stamps == {"local": 1234.5, "wrapped": 1234.5, "fsspec file": 1234.5, "memory": None, "fsspec memory": None}
    assert written_at(LocalStore(tmp_path / "local"), "nothing") is None


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
