from __future__ import annotations

import asyncio

import fsspec
import pytest
import zarr
from zarr.buffer.cpu import buffer_prototype
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, StorePath, ZipStore

from xr_sr.errors import StoreError
from xr_sr.io.zarr.record import StoreState, find
from xr_sr.io.zarr.target import Target, cannot_write


@pytest.mark.parametrize(
    "place",
    [
        lambda folder: folder / "a.zarr",
        lambda folder: str(folder / "a.zarr"),
        lambda folder: f"file://{folder}/a.zarr",
        lambda folder: LocalStore(folder / "a.zarr"),
        lambda folder: StorePath(LocalStore(folder), "a.zarr"),
        lambda folder: fsspec.get_mapper(str(folder / "a.zarr")),
    ],
)
def test_every_way_to_name_a_folder_leads_to_the_same_keys(tmp_path, place):
    target = Target.of(place(tmp_path))

    target.write({"a": 1}, "group", "zarr.json")

    assert target.read("group", "zarr.json") == {"a": 1}
    assert target.read("group", "missing.json") is None
    assert target.names() == ["group"]
    assert (tmp_path / "a.zarr/group/zarr.json").exists()


def test_what_is_no_store_is_refused():
    with pytest.raises(StoreError, match="int .*Zarr"):
        Target.of(3)


@pytest.mark.parametrize("place", ["", " "])
def test_an_empty_path_is_refused_and_not_taken_for_this_folder(place):
    with pytest.raises(StoreError, match=f"^the path '{place}' "):
        Target.of(place)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_protocol_that_is_unknown_or_not_installed_is_said_in_a_sentence(read_only, monkeypatch):
    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    with pytest.raises(StoreError, match="nosuch"):
        Target.of("nosuch://a.zarr", read_only=read_only)
    monkeypatch.setattr(FsspecStore, "from_url", missing)
    with pytest.raises(StoreError, match="not installed: Install s3fs to access S3. Install it"):
        Target.of("s3://bucket/a.zarr", read_only=read_only)


def test_stores_that_cannot_rewrite_keys_are_told_from_those_that_can(tmp_path):
    with pytest.raises(StoreError, match="ZipStore"):
        Target.of(ZipStore(tmp_path / "a.zip", mode="w")).refuse_append_only()
    for place in (LocalStore(tmp_path), MemoryStore(), LoggingStore(MemoryStore()), "memory://a.zarr"):
        Target.of(place).refuse_append_only()


@pytest.mark.parametrize("place", ["memory://xr-sr-clear", "folder"])
@pytest.mark.parametrize("keep", [2, 3])
def test_clearing_keeps_the_root_group_of_one_format_only(tmp_path, place, keep):
    target = Target.of(tmp_path / place if place == "folder" else place)
    for key in ("zarr.json", ".zgroup", ".zattrs", ".zmetadata", "a/zarr.json", "a/c/0/0", "b/.zarray"):
        target.write({}, *key.split("/"))

    target.clear(keep=keep)

    assert target.names() == (["zarr.json"] if keep == 3 else [".zattrs", ".zgroup"])


@pytest.mark.parametrize("place", ["memory://xr-sr-present", "folder", {}])
def test_keys_that_hold_something_are_told_from_missing_and_emptied_ones(tmp_path, place):
    target = Target.of(tmp_path / place if place == "folder" else place)
    target.write({}, "a", "zarr.json")
    asyncio.run(target.store.set("b", buffer_prototype.buffer.from_bytes(b"")))

    assert target.present(["a/zarr.json", "b", "c"]) == {"a/zarr.json"}


def test_half_written_files_do_not_count_and_are_swept(tmp_path):
    for name in ("zarr.0a.partial", "a/zarr.0b.partial"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    target = Target.of(tmp_path)

    assert find(Target.of(tmp_path / "a")) is StoreState.NOTHING
    target.sweep()

    assert not list(tmp_path.rglob("*.partial"))


def test_what_lies_there_is_recognized(tmp_path):
    zarr.create_array(tmp_path / "array.zarr", shape=(2,), dtype="i2")
    zarr.create_group(tmp_path / "group.zarr", attributes={"mine": 1})
    zarr.create_group(tmp_path / "empty2.zarr", zarr_format=2)
    zarr.create_group(tmp_path / "empty3.zarr", zarr_format=3)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("notes")

    def found(name: str) -> object:
        return find(Target.of(tmp_path / name))

    assert found("array.zarr") is found("group.zarr") is StoreState.ZARR
    assert found("empty2.zarr") is found("empty3.zarr") is found("missing.zarr") is StoreState.NOTHING
    assert found("other") is StoreState.OTHER


def test_an_error_of_many_lines_becomes_one_sentence():
    error = cannot_write("'red'", RuntimeError("the bucket is gone\n | context:\n |  0: much more"))

    assert str(error).startswith("cannot write 'red': the bucket is gone. What is done is kept")
    assert "\n" not in str(error)
