from __future__ import annotations

import errno
import json
import os

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import LocalStore, MemoryStore, ZipStore

from tests.io.zarr.scenes import DATES, CountingKernel, cube, reflectance
from xr_sr.errors import (
    ClippingWarning,
    DuplicateTimeError,
    GridError,
    OptionError,
    StoreError,
    StoreMismatchError,
)
from xr_sr.io.zarr import open_zarr, to_zarr


class Watched(LocalStore):
    """A local store that notes what is set, and can fail at a set of a key."""

    def __init__(self, root, *, read_only=False, fails=None, error=None):
        super().__init__(root, read_only=read_only)
        self.keys: list[str] = []
        self.fails = fails
        self.error = error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def set(self, key, value):
        if self.fails is not None and self.fails(key, len(self.keys)):
            raise self.error
        self.keys.append(key)
        await super().set(key, value)


def fill_at(number: int):
    """Make the disk full at the number-th chunk of pixels."""
    seen = []

    def fails(key: str, count: int) -> bool:
        if key.startswith("reflectance/c/"):
            seen.append(key)
        return len(seen) >= number

    return fails


def tree(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_template_is_written_before_any_kernel_is_called(tmp_path):
    kernel = CountingKernel(fails_at=1)

    with dask.config.set(scheduler="synchronous"), pytest.raises(RuntimeError, match="the kernel failed"):
        to_zarr(cube(kernel=kernel), tmp_path / "out.zarr")

    read = open_zarr(tmp_path / "out.zarr")
    assert read.shape == (3, 2, 40, 56) and np.isnan(read.values).all()


def test_each_block_is_computed_once_and_each_chunk_written_once(tmp_path):
    kernel = CountingKernel()
    store = Watched(tmp_path / "out.zarr")

    to_zarr(cube(kernel=kernel), store)

    chunks = [key for key in store.keys if key.startswith("reflectance/c/")]
    assert kernel.calls == 3 * 3 * 4
    assert len(chunks) == len(set(chunks))
    assert {key for key in chunks if "/c/0/0/" in key} == {
        f"reflectance/c/0/0/{row}/{col}" for row in range(3) for col in range(4)
    }


def test_a_region_is_noted_after_its_pixels_and_only_then(tmp_path):
    store = Watched(tmp_path / "out.zarr")

    to_zarr(cube(dates=DATES[:1]), store, region=2)

    marks = [number for number, key in enumerate(store.keys) if key.startswith("sr_status/c/")]
    assert len(marks) == 4
    for mark in marks:
        _, row, col = map(int, store.keys[mark].split("/")[2:])
        later = store.keys[mark:]
        rows, cols = range(2 * row, 2 * row + 2), range(2 * col, 2 * col + 2)
        assert not [
            key
            for key in later
            if any(key.endswith(f"/{i}/{j}") for i in rows for j in cols) and key.startswith("reflectance/c")
        ]


def test_a_second_call_computes_nothing_and_changes_nothing(tmp_path):
    kernel = CountingKernel()
    to_zarr(cube(kernel=kernel), tmp_path / "out.zarr", pyramid=1)
    before, calls = tree(tmp_path), kernel.calls
    store = Watched(tmp_path / "out.zarr")

    to_zarr(cube(kernel=kernel), store, pyramid=1)

    assert kernel.calls == calls
    assert store.keys == []
    assert tree(tmp_path) == before


def test_a_rerun_after_a_failure_does_what_is_left_and_gives_the_same_bytes(tmp_path):
    to_zarr(cube(kernel=CountingKernel()), tmp_path / "whole.zarr", region=1)
    with dask.config.set(scheduler="synchronous"), pytest.raises(RuntimeError):
        to_zarr(cube(kernel=CountingKernel(fails_at=20)), tmp_path / "out.zarr", region=1)
    kernel = CountingKernel()

    to_zarr(cube(kernel=kernel), tmp_path / "out.zarr", region=1)

    assert kernel.calls == 36 - 19
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "whole.zarr")


def test_ctrl_c_leaves_a_store_that_can_be_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        to_zarr(cube(kernel=CountingKernel(fails_at=9, error=KeyboardInterrupt())), tmp_path / "out.zarr", region=1)

    to_zarr(cube(), tmp_path / "out.zarr", region=1)

    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), cube().compute())


@pytest.mark.parametrize("options", [{}, {"shards": "block"}])
def test_a_full_disk_is_one_sentence_and_the_rerun_completes(tmp_path, options):
    full = Watched(tmp_path / "out.zarr", fails=fill_at(5))

    match = r"^cannot write 'reflectance' of .*: No space left on device\. .*run the same call again\.$"
    with dask.config.set(scheduler="synchronous"), pytest.raises(StoreError, match=match) as caught:
        to_zarr(cube(), full, region=1, **options)

    status = zarr.open_group(tmp_path / "out.zarr", mode="r")["sr_status"][...]
    read = open_zarr(tmp_path / "out.zarr")
    done = np.kron(status, np.ones((1, 16, 16), dtype=bool))[:, None, :40, :56].astype(bool)
    np.testing.assert_array_equal(read.where(done), cube().where(done))
    assert isinstance(caught.value, OSError) and isinstance(caught.value.__cause__, OSError)
    assert 0 < status.sum() < status.size
    to_zarr(cube(), tmp_path / "out.zarr", region=1, **options)
    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), cube().compute())


@pytest.mark.parametrize("key", ["zarr.json", "reflectance/zarr.json", "sr_status/c/0/0/0"])
def test_a_disk_that_is_full_at_metadata_or_the_ledger_is_told_the_same_way(tmp_path, key):
    full = Watched(tmp_path / "out.zarr", fails=lambda at, _: at == key)

    with pytest.raises(StoreError, match="No space left"):
        to_zarr(cube(), full)

    to_zarr(cube(), tmp_path / "out.zarr")
    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), cube().compute())


def test_a_read_only_target_is_refused(tmp_path):
    to_zarr(cube(), tmp_path / "out.zarr")

    with pytest.raises(StoreError, match="read-only"):
        to_zarr(cube(), LocalStore(tmp_path / "out.zarr", read_only=True))


def test_a_place_without_permission_is_refused(tmp_path):
    denied = Watched(
        tmp_path / "out.zarr", fails=lambda *_: True, error=PermissionError(errno.EACCES, "Permission denied")
    )

    with pytest.raises(StoreError, match="Permission denied"):
        to_zarr(cube(), denied)


@pytest.mark.parametrize(
    ("change", "field", "old", "new"),
    [
        (lambda c: c.assign_attrs({"xr_sr:model": "other"}), "xr_sr:model", "'test.x4'", "'other'"),
        (lambda c: c.assign_attrs({"xr_sr:options": "steps=9"}), "xr_sr:options", "no such attribute", "'steps=9'"),
        (lambda c: c.isel(x=slice(0, 48)), "grid.shape", r"\[40, 56\]", r"\[40, 48\]"),
        (lambda c: c.assign_coords(x=c.x + 10), "grid.transform", "500000", "500010"),
        (lambda c: c.assign_coords(band=["B04", "B08"]), "labels.band", "B03", "B08"),
        (lambda c: c.to_dataset("band"), "object.kind", "DataArray", "Dataset"),
        (lambda c: c.rename("other"), "object.name", "reflectance", "other"),
        (lambda c: c.isel(time=0, drop=True), "time", "time", "none"),
        (lambda c: c > 0.5, "variables.reflectance.dtype", "int16", "bool"),
    ],
)
def test_another_result_is_refused_and_the_field_is_named(tmp_path, change, field, old, new):
    to_zarr(cube(), tmp_path / "out.zarr")
    before = tree(tmp_path)

    with pytest.raises(
        StoreMismatchError, match=f"{field}.*: the store has .*{old}.*, this (is|has|result has) .*{new}"
    ):
        to_zarr(change(cube()), tmp_path / "out.zarr")

    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"packing": "float32"}, "variables.reflectance.packing"),
        ({"zarr_format": 2}, "layout.zarr_format"),
        ({"pyramid": 1}, "layout.pyramid"),
        ({"shards": "block"}, "layout.shards"),
        ({"chunks": 8}, "layout.chunks"),
    ],
)
def test_another_layout_is_refused_and_the_field_is_named(tmp_path, options, field):
    to_zarr(cube(), tmp_path / "out.zarr")

    with pytest.raises(StoreMismatchError, match=field):
        to_zarr(cube(), tmp_path / "out.zarr", **options)


def test_a_new_version_of_the_package_goes_on_with_an_old_store(tmp_path):
    to_zarr(cube().assign_attrs({"xr_sr:version": "0.1.0"}), tmp_path / "out.zarr")

    to_zarr(cube().assign_attrs({"xr_sr:version": "0.2.0"}), tmp_path / "out.zarr")


def test_other_blocks_go_on_with_a_store_and_leave_the_same_bytes(tmp_path):
    to_zarr(cube(), tmp_path / "whole.zarr", region=1)
    with dask.config.set(scheduler="synchronous"), pytest.raises(RuntimeError):
        to_zarr(cube(kernel=CountingKernel(fails_at=20)), tmp_path / "out.zarr", region=1)

    to_zarr(cube(side=24).chunk(time=2, band=1), tmp_path / "out.zarr")

    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "whole.zarr")


def test_equal_dates_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DuplicateTimeError, match="solar_day"):
        to_zarr(cube(dates=DATES[[0, 1, 0]]), tmp_path / "out.zarr")

    assert not (tmp_path / "out.zarr").exists()


def test_another_zarr_is_kept_unless_it_may_be_overwritten(tmp_path):
    xr.Dataset({"a": ("x", [1, 2])}).to_zarr(tmp_path / "out.zarr", consolidated=False)
    before = tree(tmp_path)

    with pytest.raises(StoreError, match="xr_sr did not write.*overwrite=True"):
        to_zarr(cube(), tmp_path / "out.zarr")

    assert tree(tmp_path) == before
    to_zarr(cube(), tmp_path / "out.zarr", overwrite=True)
    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), cube().compute())
    assert not (tmp_path / "out.zarr" / "a").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_zarr_is_never_deleted(tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")

    with pytest.raises(StoreError, match="Zarr"):
        to_zarr(cube(), tmp_path / "out", overwrite=overwrite)
    with pytest.raises(StoreError, match="is a file"):
        to_zarr(cube(), tmp_path / "out" / "thesis.txt", overwrite=overwrite)

    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2)])
def test_overwriting_leaves_nothing_of_the_other_format(tmp_path, first, second):
    to_zarr(cube(), tmp_path / "out.zarr", zarr_format=first, pyramid=1)
    to_zarr(cube(), tmp_path / "out.zarr", zarr_format=second, overwrite=True)
    to_zarr(cube(), tmp_path / "new.zarr", zarr_format=second)

    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "new.zarr")


def test_an_empty_folder_or_group_is_as_good_as_none(tmp_path):
    (tmp_path / "folder").mkdir()
    group = MemoryStore()
    zarr.create_group(group)

    for place in (tmp_path / "folder", group):
        to_zarr(cube(), place)
        xr.testing.assert_identical(open_zarr(place).compute(), cube().compute())


def test_clipped_values_are_counted_and_warned_of_once(tmp_path):
    values = reflectance(3, 2, 40, 56)
    values[0, 0, 30, 30:34] = 7.0
    values[2, 1, 35, 50] = -np.inf

    with pytest.warns(ClippingWarning, match=r"^5 values .*'reflectance'") as caught:
        to_zarr(cube(values=values), tmp_path / "out.zarr")

    read = open_zarr(tmp_path / "out.zarr")
    ours = [warning for warning in caught if issubclass(warning.category, ClippingWarning)]
    assert len(ours) == 1 and ours[0].filename == __file__
    np.testing.assert_allclose(read[0, 0, 30, 30:34], 3.2767, rtol=1e-6)
    np.testing.assert_allclose(read[2, 1, 35, 50], -3.2767, rtol=1e-6)


def test_float32_keeps_what_int16_would_clip(tmp_path):
    values = reflectance(3, 2, 40, 56) * np.float32(np.pi * 100)

    to_zarr(cube(values=values), tmp_path / "out.zarr", packing="float32")

    np.testing.assert_array_equal(open_zarr(tmp_path / "out.zarr").values, values)


def test_packing_may_be_chosen_by_variable_and_unknown_names_are_refused(tmp_path):
    bands = cube().to_dataset("band")
    to_zarr(bands, tmp_path / "out.zarr", packing={"B04": "float32"})
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")

    assert group["B04"].dtype == np.float32 and group["B03"].dtype == np.int16
    with pytest.raises(StoreError, match=r"\['red'\].*\['B04', 'B03'\]"):
        to_zarr(bands, tmp_path / "other.zarr", packing={"red": "float32"})


def test_arrays_in_memory_are_cut_into_blocks(tmp_path):
    to_zarr(cube().compute(), tmp_path / "out.zarr")

    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), cube().compute())


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (lambda: cube().isel(x=slice(0, 0)), (GridError, StoreError), "no pixels"),
        (lambda: xr.DataArray(np.zeros(4), dims="time"), StoreError, "no spatial dimensions"),
        (lambda: cube().to_dataset(name="sr_status"), StoreError, "ledger"),
        (lambda: cube().astype("datetime64[ns]"), StoreError, "no pixels to store"),
    ],
)
def test_what_cannot_be_stored_is_told_and_nothing_is_written(tmp_path, broken, error, message):
    with pytest.raises(error, match=message):
        to_zarr(broken(), tmp_path / "out.zarr")

    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zarr_format": 4}, "^zarr_format=4: expected 2 or 3.$"),
        ({"zarr_format": "3"}, "^zarr_format='3': expected 2 or 3.$"),
        ({"zarr_format": True}, "^zarr_format=True: expected 2 or 3.$"),
        ({"shards": "blocks"}, "^shards='blocks': expected None or 'block'.$"),
        ({"zarr_format": 2, "shards": "block"}, "needs zarr_format=3"),
        ({"pyramid": 9}, "5 coarser levels at most"),
        ({"chunks": 7}, r"7 px along 'y'.*\[1, 2, 4, 8, 16\]"),
    ],
)
def test_impossible_options_are_refused(tmp_path, options, message):
    with pytest.raises(StoreError, match=message):
        to_zarr(cube(), tmp_path / "out.zarr", **options)


@pytest.mark.parametrize("chunks", [(20, 10), [20, 10]])
def test_chunks_along_y_and_x_are_a_tuple_or_a_list(tmp_path, chunks):
    to_zarr(cube(side=20, dates=None), tmp_path / "out.zarr", chunks=chunks)

    assert zarr.open_array(tmp_path / "out.zarr/reflectance", mode="r").chunks == (1, 20, 10)


def test_a_pyramid_of_true_ends_in_one_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("xr_sr.io.zarr.layout.CHUNK", 16)

    to_zarr(cube(), tmp_path / "out.zarr", pyramid=True)

    assert open_zarr(tmp_path / "out.zarr", level="all")["2"].sizes["x"] == 14


@pytest.mark.parametrize("store", ["memory://xr-sr-test/a.zarr", "dict", "store"])
def test_memory_is_a_place_too(store):
    place = {"dict": {}, "store": MemoryStore()}.get(store, store)

    to_zarr(cube(dates=DATES[:2]), place, overwrite=True)
    to_zarr(cube(), place)

    xr.testing.assert_identical(open_zarr(place).compute(), cube().compute())


@pytest.mark.parametrize("place", ["memory://xr-sr-test/b.zarr", {}])
def test_memory_is_refused_where_other_processes_would_write(place):
    with (
        dask.config.set(scheduler="processes"),
        pytest.raises(StoreError, match="workers.*threads"),
    ):
        to_zarr(cube(), place)


def test_the_bar_counts_blocks_and_starts_at_what_was_done(tmp_path, capsys):
    to_zarr(cube(dates=DATES[:2]), tmp_path / "out.zarr")
    assert capsys.readouterr().err == ""

    to_zarr(cube(), tmp_path / "out.zarr", progress=True)

    assert "24/36" in (told := capsys.readouterr().err)
    assert "36/36" in told


def test_metadata_is_valid_json_without_nan(tmp_path):
    written = cube().assign_attrs(nodata=np.nan, range=np.array([0.0, np.inf]), shape=(1, 2))
    to_zarr(written, tmp_path / "out.zarr")

    def refuse(text: str) -> None:
        raise AssertionError(text)

    for path in (tmp_path / "out.zarr").rglob("zarr.json"):
        json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"region": 0}, "region=0"),
        ({"region": 1.5}, "region=1.5"),
        ({"chunks": 0}, "chunks=0"),
        ({"chunks": (8, -1)}, "chunks="),
        ({"chunks": (8,)}, "chunks="),
    ],
)
def test_impossible_sides_are_refused_before_anything_is_written(options, words, tmp_path):
    with pytest.raises(StoreError, match=words):
        to_zarr(cube(), tmp_path / "out.zarr", **options)

    assert not list(tmp_path.iterdir())


def test_a_tree_is_refused_with_the_way_to_write_its_nodes(tmp_path):
    with pytest.raises(StoreError, match="DataTree.*Dataset"):
        to_zarr(xr.DataTree(cube().to_dataset("band")), tmp_path / "out.zarr")


def test_a_store_that_cannot_rewrite_keys_is_refused(tmp_path):
    with pytest.raises(StoreError, match="ZipStore"):
        to_zarr(cube(), ZipStore(tmp_path / "out.zip", mode="w"))


def test_the_number_of_blocks_written_is_given(tmp_path):
    blocks = cube().data.npartitions

    assert to_zarr(cube(), tmp_path / "out.zarr", progress=False) == blocks
    assert to_zarr(cube(), tmp_path / "out.zarr", progress=False) == 0


@pytest.mark.parametrize("packing", [3, None, True, ["int16"], np.int16], ids=repr)
def test_packing_is_a_word_or_words_by_name(packing, tmp_path):
    with pytest.raises(OptionError, match="packing=.*'int16', 'float32' or 'native'"):
        to_zarr(cube(), tmp_path / "a.zarr", packing=packing)
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("pyramid", ["a", "1", None, 1.5, [1], -1], ids=repr)
def test_a_pyramid_is_a_number_of_levels_or_a_flag(pyramid, tmp_path):
    with pytest.raises(OptionError, match="pyramid=.*True"):
        to_zarr(cube(), tmp_path / "a.zarr", pyramid=pyramid)
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("place", ["x" * 300, "a\0b", "~no-such-user/a.zarr"], ids=["long", "null", "nobody's"])
def test_a_path_that_no_file_system_takes_is_one_sentence(place):
    with pytest.raises(StoreError, match="^store="):
        to_zarr(cube(), place)
    with pytest.raises(StoreError, match="^store="):
        open_zarr(place)


def test_a_tree_is_told_of_a_node_that_it_has(tmp_path):
    tree = xr.DataTree.from_dict({"/scene/fine": cube().to_dataset("band")})

    with pytest.raises(StoreError, match=r"tree\['/scene/fine'\]\.to_dataset\(\)"):
        to_zarr(tree, tmp_path / "a.zarr")
