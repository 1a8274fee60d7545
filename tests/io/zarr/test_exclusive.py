from __future__ import annotations

import errno
import os
import threading

import pytest
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.memory import MemoryFileSystem
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, MemoryStore, WrapperStore

from xr_sr.io.zarr.exclusive import can_create, create, read, written_at


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
        assert read(store, key) == b"%d" % created[0]
    assert read(store, "another") is None


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
    assert read(store, "object") == b"first"


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
