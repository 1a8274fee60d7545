"""Stores are damaged key by key; each is small and in memory."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping

import dask
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from click.testing import CliRunner
from odc.geo.geobox import GeoBox
from zarr.storage import LocalStore

from tests.io.zarr.scenes import DATES, CountingKernel, cube
from xr_sr.cli import main
from xr_sr.errors import StoreDamageError, StoreError, StoreWarning, XrSrError
from xr_sr.io.zarr import open_zarr, to_zarr, verify
from xr_sr.io.zarr.claim import claimed
from xr_sr.io.zarr.encoding import codec
from xr_sr.io.zarr.target import Target

SMALL = GeoBox((32, 32), Affine(2.5, 0, 5e5, 0, -2.5, 4.6e6), "EPSG:32633")
LAYOUTS = {"flat": {}, "format 2": {"zarr_format": 2}, "pyramid": {"pyramid": 1}, "shards": {"shards": "block"}}
HARMS = {"gone": None, "cut": 0.5, "emptied": 0.0}
TRIED = [*(("flat", harm) for harm in HARMS), ("format 2", "cut"), ("pyramid", "gone"), ("shards", "cut")]


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def scene(**options) -> xr.DataArray:
    """Two dates of one band, in two by two regions, of values that Blosc can compress."""
    rows = np.linspace(0.1, 0.2, 32, dtype="float32").round(4)
    return cube(SMALL, dates=DATES[:2], bands=None, side=16, values=np.tile(rows, (2, 32, 1)), **options)


def write(store, *, layout: Mapping | None = None, **options) -> int:
    return to_zarr(scene(), store, chunks=16, region=1, **(layout or {}), **options)


def is_right(store) -> bool:
    return open_zarr(store).compute().identical(scene().compute())


def harmed(whole: Mapping, key: str, harm: str) -> dict:
    """Copy a store in memory, in which one key is deleted, cut to half, or emptied."""
    share, store = HARMS[harm], dict(whole)
    value = store.pop(key)
    if share is not None:
        store[key] = type(value).from_bytes(value.to_bytes()[: int(share * len(value))])
    return store


def kinds(whole: Mapping) -> list[str]:
    """Take one key of each kind: documents of groups and arrays, chunks of each sort of array at each level."""
    chosen: dict[object, str] = {}
    for key in sorted(whole):
        parts = [part for part in key.split("/") if not part.replace(".", "").isdigit() or part in ("0", "1")]
        name = parts[-1] if not parts[-1][-1].isdigit() else "chunk"
        array = next((part for part in ("reflectance", "time", "x", "spatial_ref", "sr_status") if part in parts), "")
        level = parts[0] if parts[0] in ("0", "1") else ""
        chosen.setdefault((name, array, level), key)
    return list(chosen.values())


@pytest.fixture(scope="module")
def wholes():
    stores: dict[str, dict] = {name: {} for name in LAYOUTS}
    with dask.config.set(scheduler="synchronous"):
        for name, layout in LAYOUTS.items():
            write(stores[name], layout=layout)
    return stores


def is_right_or_refused(store, call=lambda store: None) -> bool:
    try:
        call(store)
        return is_right(store)
    except XrSrError:
        return True


@pytest.mark.parametrize(("layout", "harm"), TRIED)
def test_whatever_is_damaged_ends_in_an_error_of_ours_or_in_the_right_result(layout, harm, wholes):
    whole = wholes[layout]
    tried = kinds(whole)
    assert len(tried) >= 9
    for key in tried:
        what = f"{key} {harm}"
        pixels = "reflectance/" in key and key.rsplit("/", 1)[-1][-1].isdigit()
        store = harmed(whole, key, harm)

        # A chunk that is gone reads as what is not written yet, and a rerun believes the ledger.
        assert (pixels and harm == "gone") or is_right_or_refused(store), what
        assert pixels or is_right_or_refused(store, lambda store: write(store, layout=LAYOUTS[layout])), what

        store = harmed(whole, key, harm)
        try:
            lost = verify(store).lost
        except StoreDamageError:
            lost = ("root",)
        assert not (pixels and lost), what
        if not lost:
            write(store, layout=LAYOUTS[layout])
            assert is_right(store) and verify(store).ok, what

        if lost or key.count("/") < 2:
            store = harmed(whole, key, harm)
            write(store, layout=LAYOUTS[layout], overwrite=True)
            assert is_right(store) and verify(store, quick=True).ok, what


@pytest.mark.parametrize("layout", ["flat", "format 2", "pyramid"])
@pytest.mark.parametrize("name", ["reflectance", "sr_status", "time"])
def test_documents_are_restored_to_the_same_bytes(layout, name, wholes):
    documents = [key for key in wholes[layout] if f"{name}/" in key and key.endswith((".json", ".zarray", ".zattrs"))]
    store = {key: value for key, value in wholes[layout].items() if key not in documents}

    report = verify(store)

    assert {each.path for each in report.damages} == set(documents)
    assert not report.lost and report.ok is False
    assert {key: value.to_bytes() for key, value in store.items()} == {
        key: value.to_bytes() for key, value in wholes[layout].items()
    }


def test_a_lost_chunk_is_named_and_only_its_region_is_written_again(wholes):
    store = harmed(wholes["flat"], "reflectance/c/1/0/1", "gone")

    report = verify(store)

    assert (report.regions, report.complete, report.unwritten) == (8, 7, 1)
    assert [(each.part, each.path, each.place) for each in report.damages] == [
        ("pixels", "reflectance/c/1/0/1", (1, 0, 1))
    ]
    assert report.dates == ("2023-01-06",)
    assert report.advice == (
        "Call to_zarr again with a cube that holds 2023-01-06: it writes the 1 region that is missing."
    )
    assert "reflectance/c/1/0/1 (2023-01-06, region 0, 1): pixels, missing, to be written" in repr(report)
    assert "reflectance/c/1/0/1" in report._repr_html_() and "&lt;" in report._repr_html_()
    assert write(store) == 1
    assert verify(store).ok and "whole" in repr(verify(store)) and "Nothing is to be done" in verify(store).advice


@pytest.mark.parametrize(
    ("layout", "harm", "array"), [*((*each, "reflectance") for each in TRIED), ("flat", "emptied", "sr_status")]
)
def test_a_second_look_says_the_same_until_the_region_is_written(layout, harm, array, wholes):
    key = next(key for key in sorted(wholes[layout]) if array in key and key[-1].isdigit())
    store = harmed(wholes[layout], key, harm)

    first, second, third = verify(store), verify(store), verify(store, repair=False)

    assert not first.ok and first.damages and all(each.repaired for each in first.damages)
    for again in (second, third):
        assert (again.complete, again.advice, again.dates) == (first.complete, first.advice, first.dates)
        assert [(each.part, each.place) for each in again.damages] == [
            (each.part, each.place) for each in first.damages
        ]
        assert ": damaged>" in repr(again)
    write(store, layout=LAYOUTS[layout])
    assert verify(store).ok
    assert store == wholes[layout]


def test_dates_that_were_written_in_a_loop_are_named_with_the_cube_that_they_need(tmp_path):
    dates = cube()
    for step in range(3):
        to_zarr(dates.isel(time=step), tmp_path)
    for step in (0, 2):
        min(path for path in (tmp_path / f"reflectance/c/{step}").rglob("*") if path.is_file()).unlink()

    report = verify(tmp_path)

    assert report.dates == ("2023-01-01T10:00:31.024", "2023-01-11")
    assert report.advice == (
        "Call to_zarr again with a cube that holds 2023-01-01T10:00:31.024 and 2023-01-11: it writes the 2 regions "
        "that are missing."
    )
    to_zarr(dates.isel(time=1), tmp_path)
    assert verify(tmp_path).unwritten == 2
    for step in (0, 2):
        to_zarr(dates.isel(time=step), tmp_path)
    assert verify(tmp_path).ok


def test_a_store_without_dates_names_none(tmp_path):
    to_zarr(cube(dates=None), tmp_path)
    min(path for path in (tmp_path / "reflectance/c").rglob("*") if path.is_file()).unlink()

    report = verify(tmp_path)

    assert report.dates == () and report.advice.startswith("Run the same to_zarr call again: it writes the 1 region ")
    assert "(region 0, 0): pixels, missing" in repr(report)


def test_without_repair_nothing_is_changed(wholes):
    store = harmed(wholes["flat"], "reflectance/c/1/0/1", "gone")
    before = dict(store)

    report = verify(store, repair=False)

    assert store == before
    assert "repair=True" in report.advice and not report.damages[0].repaired


def test_a_quick_look_reads_no_chunk(wholes):
    assert verify(harmed(wholes["flat"], "reflectance/c/1/0/1", "cut"), quick=True).ok
    assert not verify(harmed(wholes["flat"], "reflectance/c/1/0/1", "gone"), quick=True).ok


def test_to_zarr_verifies_first_on_request(wholes):
    store = harmed(wholes["flat"], "reflectance/c/1/0/1", "cut")

    assert write(store, verify=True) == 1
    assert is_right(store)
    lost = harmed(wholes["flat"], "time/c/0", "gone")
    with pytest.raises(StoreDamageError, match=r"time/c/0: small variable, missing.*overwrite=True"):
        write(lost, verify=True)


def test_dates_that_are_being_added_are_verified_too(tmp_path):
    to_zarr(cube(dates=DATES[:1]), tmp_path, region=1)
    with pytest.raises(RuntimeError, match="the kernel failed"):
        to_zarr(cube(kernel=CountingKernel(fails_at=5)), tmp_path, region=1)
    lost = min(path for path in (tmp_path / "reflectance/c/1").rglob("*") if path.is_file())
    lost.unlink()

    report = verify(tmp_path)

    assert [each.path for each in report.damages] == [str(lost.relative_to(tmp_path))]
    to_zarr(cube(), tmp_path)
    assert verify(tmp_path).ok
    xr.testing.assert_identical(open_zarr(tmp_path).compute(), cube().compute())


def test_variables_without_time_are_verified_with_the_first_date(tmp_path):
    mask = xr.DataArray(np.ones((32, 32), bool), dims=("y", "x"))
    written = scene().to_dataset(name="red").assign(mask=mask)
    to_zarr(written, tmp_path, chunks=16, region=1)
    (tmp_path / "mask/c/1/1").unlink()

    assert [each.place for each in verify(tmp_path).damages] == [(0, 1, 1)]
    to_zarr(written, tmp_path)

    xr.testing.assert_identical(open_zarr(tmp_path).compute(), written.compute())


def test_a_chunk_that_was_cut_is_an_error_of_ours_when_it_is_computed(wholes):
    lazy = open_zarr(harmed(wholes["flat"], "reflectance/c/1/0/1", "cut"))

    with pytest.raises(StoreDamageError, match=r"'reflectance' of a dict.*verify\(store\)"):
        lazy.compute()


def test_a_chunk_that_was_not_compressed_and_cut_is_found(tmp_path):
    """Blosc reads beyond its end, so that decoding alone finds nothing."""
    to_zarr(cube(SMALL, dates=None, bands=None, side=4), tmp_path, chunks=4)
    chunk = tmp_path / "reflectance/c/5/5"
    chunk.write_bytes(chunk.read_bytes()[:-8])

    assert [each.path for each in verify(tmp_path).damages] == ["reflectance/c/5/5"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_changed_bit_in_any_chunk_is_found(layout, wholes):
    """Pixels of format 2 are left out: they have no checksum."""
    rng = np.random.default_rng(3)
    without = ("sr_status", *(["reflectance"] if layout == "format 2" else []))
    chunks = [key for key in kinds(wholes[layout]) if key[-1].isdigit() and not any(name in key for name in without)]
    assert len(chunks) >= 3
    for key in chunks:
        value = wholes[layout][key].to_bytes()
        for _ in range(4):
            changed = bytearray(value)
            changed[rng.integers(len(value))] ^= 1 << rng.integers(8)
            store = {**wholes[layout], key: type(wholes[layout][key]).from_bytes(bytes(changed))}

            assert any(key.startswith(each.path) for each in verify(store).damages), key


@pytest.mark.parametrize("layout", ["flat", "format 2"])
def test_a_store_without_checksums_is_extended_as_it_is_and_verify_says_so(layout, tmp_path, monkeypatch):
    two = layout == "format 2"
    blosc = codec(2 if two else 3)[:1]
    with monkeypatch.context() as older:
        older.setattr("xr_sr.io.zarr.encoding.codec", lambda zarr_format: blosc)
        older.setattr("xr_sr.io.zarr.template.small_codec", lambda zarr_format: "auto")
        to_zarr(scene().isel(time=[0]), tmp_path, chunks=16, region=1, **LAYOUTS[layout])
    document = tmp_path / "reflectance" / (".zarray" if two else "zarr.json")
    codecs = {key: json.loads(document.read_text()).get(key) for key in ("codecs", "compressor", "filters")}

    assert write(tmp_path, layout=LAYOUTS[layout]) == 4

    assert is_right(tmp_path) and verify(tmp_path).ok
    assert {key: json.loads(document.read_text()).get(key) for key in codecs} == codecs
    assert "have no checksums, so a changed byte may not be found" in repr(verify(tmp_path))
    assert "no checksums" not in repr(verify(tmp_path, quick=True))


def test_what_is_no_store_of_ours_is_not_verified(tmp_path):
    xr.Dataset({"a": ("x", [1])}).to_zarr(tmp_path / "other.zarr")

    with pytest.raises(StoreError, match="did not write"):
        verify(tmp_path / "other.zarr")
    with pytest.raises(StoreError, match=r"there is no .*missing\.zarr\. Check the path"):
        verify(tmp_path / "missing.zarr")
    assert not (tmp_path / "missing.zarr").exists()


def test_a_store_that_is_being_written_is_not_repaired_meanwhile(tmp_path):
    write(tmp_path)

    with claimed(Target.of(tmp_path)):
        with pytest.raises(StoreError, match="one writer"):
            verify(tmp_path)
        assert verify(tmp_path, repair=False).ok


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"notes"])
def test_a_file_that_only_bears_the_name_of_a_document_is_never_deleted(content, tmp_path):
    (tmp_path / "zarr.json").write_bytes(content)
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(StoreError):
        write(tmp_path)
    with pytest.raises(StoreError, match="never deleted"):
        write(tmp_path, overwrite=True)

    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_of_stores_is_never_deleted(tmp_path):
    write(tmp_path / "a.zarr")
    write(tmp_path / "b.zarr")

    with pytest.raises(StoreError, match="never deleted"):
        write(tmp_path, overwrite=True)

    assert is_right(tmp_path / "a.zarr")


def test_the_command_says_what_is_wrong_by_its_exit_code(tmp_path):
    write(tmp_path / "out.zarr")
    run = CliRunner()

    whole = run.invoke(main, ["verify", str(tmp_path / "out.zarr")])
    (tmp_path / "out.zarr/reflectance/c/1/0/1").unlink()
    looked = run.invoke(main, ["verify", str(tmp_path / "out.zarr"), "--no-repair", "--quick"])
    repaired = run.invoke(main, ["verify", str(tmp_path / "out.zarr"), "-q"])
    with pytest.raises(ValueError, match="stop"):
        to_zarr(scene_that_stops(), tmp_path / "stopped.zarr")
    unfinished = run.invoke(main, ["verify", str(tmp_path / "stopped.zarr"), "-q"])
    none = run.invoke(main, ["verify", str(tmp_path / "none.zarr")])

    assert whole.exit_code == 0 and "whole" in whole.output
    assert (looked.exit_code, repaired.exit_code, unfinished.exit_code, none.exit_code) == (4, 4, 3, 1)
    assert "missing" in looked.output and "to be written" in repaired.output
    assert none.output.startswith("Error: ") and "there is no " in none.output


def test_stores_that_are_read_only_are_only_looked_at(tmp_path):
    write(tmp_path)

    assert not verify(LocalStore(tmp_path, read_only=True)).repaired


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_where_this_user_may_not_write_nothing_is_repaired_and_a_warning_says_so(number, tmp_path, monkeypatch):
    write(tmp_path)
    (tmp_path / "reflectance/c/1/0/1").unlink()

    async def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(LocalStore, "set_if_not_exists", refuse)
    monkeypatch.setattr("xr_sr.io.zarr.stores._create_file", lambda *_: (_ for _ in ()).throw(OSError(number, "no")))

    with pytest.warns(StoreWarning, match=r"\(no\), .*repair") as warned:
        report = verify(tmp_path)

    assert [each.path for each in report.damages] == ["reflectance/c/1/0/1"]
    assert not report.repaired and not report.damages[0].repaired
    assert len(warned) == 1


def scene_that_stops() -> xr.DataArray:
    """A scene whose tasks fail, so that its store stays unfinished."""
    whole = scene()
    return whole.copy(data=whole.data.map_blocks(_stop, dtype=whole.dtype, meta=whole.data._meta))


def _stop(block: np.ndarray) -> np.ndarray:
    raise ValueError("stop")
