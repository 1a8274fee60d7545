"""Results of `multiframe` in stores: what is kept, growth by windows and by dates, interruptions, other processes."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
import zarr.storage

import xr_sr
from tests.pipeline.test_multiframe import joined, series
from xr_sr.errors import ClippingWarning, StoreMismatchError
from xr_sr.pipeline.series_block import SeriesRecipe, join_block
from xr_sr.spec import Tile
from xr_sr.tiling.source import Source

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    return series()


def test_a_store_keeps_counts_of_dates_and_what_was_measured(cube: xr.DataArray, tmp_path: Path):
    made = joined(cube)
    assert made["n_effective"].max() > 4

    with warnings.catch_warnings():
        warnings.simplefilter("error", ClippingWarning)
        made.sr.to_zarr(tmp_path / "fine.zarr")

    read = xr_sr.open_zarr(tmp_path / "fine.zarr")
    for name in ("n_effective", "shift_y", "shift_x", "shift_quality", "region_weight", "gain", "offset"):
        np.testing.assert_array_equal(read[name].values, made[name].values, err_msg=name)
    for name in ("estimate", "std", "lower", "upper", "weight"):
        np.testing.assert_allclose(read[name].values, made[name].values, rtol=0, atol=6e-5, err_msg=name)
    np.testing.assert_allclose(
        joined(cube, registration=read)["estimate"].values, made["estimate"].values, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_regions_of_the_store_are_not_those_that_dates_were_compared_in(
    cube: xr.DataArray, tmp_path: Path, zarr_format: int
):
    path = tmp_path / "fine.zarr"
    with dask.config.set(scheduler="synchronous"):
        made = cube.sr.multiframe("60D", device="cpu", chunks=16).compute()
        lazy = made.chunk(y=64, x=64)

        lazy.sr.to_zarr(path, region=1, zarr_format=zarr_format)

    with xr.open_zarr(path, consolidated=True) as plain:
        assert plain["sr_status"].sizes == {"time": 1, "sr_status_y": 3, "sr_status_x": 3}
        assert plain["sr_status"].values.all()
        assert plain["shift_y"].sizes == {"date": 5, "region_y": 1, "region_x": 1}
        plain.load().sr.to_zarr(tmp_path / "copy.zarr")  # the ledger is not copied
    assert xr_sr.verify(path).ok
    for name in ("shift_y", "gain", "n_effective"):
        np.testing.assert_array_equal(xr_sr.open_zarr(path)[name].values, made[name].values, err_msg=name)


def test_a_store_grows_by_windows_without_what_lies_along_dates(cube: xr.DataArray, tmp_path: Path):
    first, both = joined(cube.isel(time=slice(0, 3)), "9D"), joined(cube, "9D")
    first.drop_dims("date").sr.to_zarr(tmp_path / "series.zarr")
    first.sr.to_zarr(tmp_path / "dates.zarr")

    written = both.drop_dims("date").sr.to_zarr(tmp_path / "series.zarr")

    assert written == 5  # blocks of the second window, one for each variable
    read = xr_sr.open_zarr(tmp_path / "series.zarr")
    np.testing.assert_array_equal(read["time"].values, both["time"].values)
    np.testing.assert_array_equal(read["time_bounds"].values, both["time_bounds"].values)
    np.testing.assert_allclose(read["estimate"].values, both["estimate"].values, rtol=0, atol=6e-5)
    with pytest.raises(StoreMismatchError, match=r"drop_dims\('date'\)") as caught:
        both.sr.to_zarr(tmp_path / "dates.zarr")
    assert "3 dates, 2023-06-01 to 2023-06-07" in str(caught.value) and "00000" not in str(caught.value)


def lazily(cube: xr.DataArray, window: str = "9D", **options: object) -> xr.Dataset:
    """The images of windows alone, as a store keeps them, in blocks of 16 input pixels."""
    return cube.chunk(time=1).sr.multiframe(window, device="cpu", chunks=16, **options).drop_dims("date")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the blocks that are joined from now on, by their first row."""
    blocks: list[int] = []

    def noting(source: Source, tile: Tile, recipe: SeriesRecipe) -> np.ndarray:
        blocks.append(tile.y[0])
        return join_block(source, tile, recipe)

    monkeypatch.setattr("xr_sr.pipeline.series.join_block", noting)
    return blocks


def test_only_the_blocks_of_new_windows_are_computed(
    cube: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    blocks = counted(monkeypatch)
    with dask.config.set(scheduler="synchronous"):
        lazily(cube.isel(time=slice(0, 3))).sr.to_zarr(tmp_path / "a.zarr")
        assert len(blocks) == 9

        lazily(cube).sr.to_zarr(tmp_path / "a.zarr")
        assert len(blocks) == 18

        assert lazily(cube).sr.to_zarr(tmp_path / "a.zarr") == 0
    assert len(blocks) == 18


def test_estimates_and_weights_come_from_one_task(cube: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    blocks = counted(monkeypatch)
    with dask.config.set(scheduler="synchronous"):
        made = cube.chunk(time=1).sr.multiframe("60D", device="cpu", chunks=16)
        dask.compute(made["estimate"], made["std"], made["n_effective"], made["weight"])
        assert len(blocks) == 9

        made.sr.to_zarr(tmp_path / "a.zarr")
    assert len(blocks) == 18


@pytest.mark.parametrize("reference", ["latest", "2023-06-04"])
def test_a_stored_window_that_has_got_another_date_is_refused(cube: xr.DataArray, tmp_path: Path, reference: str):
    fewer, more = (joined(cube.isel(time=slice(0, count)), "9D", reference=reference) for count in (2, 3))
    fewer.drop_dims("date").sr.to_zarr(tmp_path / "images.zarr")
    fewer.drop_dims("time").sr.to_zarr(tmp_path / "dates.zarr")
    before = tree(tmp_path)

    window = "2023-06-01 to 2023-06-10"
    with pytest.raises(StoreMismatchError, match=f"the store has {window} of 2 dates, this has {window} of 3 dates"):
        more.drop_dims("date").sr.to_zarr(tmp_path / "images.zarr")
    if reference == "latest":
        with pytest.raises(StoreMismatchError, match="2023-06-01 against 2023-06-04, this against 2023-06-07"):
            more.drop_dims("time").sr.to_zarr(tmp_path / "dates.zarr")

    assert tree(tmp_path) == before


def test_windows_that_overlap_stored_ones_are_refused(cube: xr.DataArray, tmp_path: Path):
    first = joined(cube.isel(time=slice(0, 3)), "9D").drop_dims("date")
    first.sr.to_zarr(tmp_path / "a.zarr")
    later = cube.isel(time=slice(3, None))

    with pytest.raises(StoreMismatchError, match="2023-06-01 to 2023-06-10.*2023-06-04 to 2023-06-13"):
        joined(cube.isel(time=slice(1, None)), "9D").drop_dims("date").sr.to_zarr(tmp_path / "a.zarr")

    joined(later, ["2023-06-10"]).drop_dims("date").sr.to_zarr(tmp_path / "a.zarr")
    assert xr_sr.open_zarr(tmp_path / "a.zarr")["window_dates"].values.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"max_shift": 2.0}, "max_shift"),
        ({"reference": "median"}, "reference"),
        ({"registration": True}, "registration"),
    ],
)
def test_windows_that_were_made_with_other_arguments_are_refused(
    cube: xr.DataArray, tmp_path: Path, options: dict[str, object], name: str
):
    small = cube.isel(y=slice(0, 16), x=slice(0, 16))
    joined(small.isel(time=slice(0, 3)), "9D").drop_dims("date").sr.to_zarr(tmp_path / "a.zarr")
    before = tree(tmp_path)
    if "registration" in options:
        options = {"registration": joined(small, "9D")}

    with pytest.raises(StoreMismatchError, match=f"xr_sr:{name}"):
        joined(small, "9D", **options).drop_dims("date").sr.to_zarr(tmp_path / "a.zarr")

    assert tree(tmp_path) == before


def test_what_lies_along_dates_grows_in_a_store_of_its_own_and_serves_as_registration(
    cube: xr.DataArray, tmp_path: Path
):
    first, both = joined(cube.isel(time=slice(0, 3)), "9D"), joined(cube, "9D")
    first.drop_dims("time").sr.to_zarr(tmp_path / "dates.zarr")

    both.drop_dims("time").sr.to_zarr(tmp_path / "dates.zarr")

    read = xr_sr.open_zarr(tmp_path / "dates.zarr")
    for name in ("date", "window", "shift_y", "shift_x", "shift_quality", "region_weight", "gain", "offset"):
        np.testing.assert_array_equal(read[name].values, both[name].values, err_msg=name)
    np.testing.assert_allclose(read["weight"].values, both["weight"].values, rtol=0, atol=6e-5)
    again = joined(cube, "9D", registration=read)
    np.testing.assert_allclose(again["estimate"].values, both["estimate"].values, rtol=0, atol=1e-6)


KILLED = """
import os, signal, sys
import dask, zarr.storage
from tests.pipeline.test_multiframe_store import lazily, series

count = 0
write = zarr.storage.LocalStore.set

async def counting(self, key, *args, **kwargs):
    global count
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return await write(self, key, *args, **kwargs)

zarr.storage.LocalStore.set = counting
with dask.config.set(scheduler="synchronous"):
    lazily(series()).sr.to_zarr(sys.argv[1], region=1)
"""


def test_a_job_that_was_killed_is_resumed_and_equals_one_that_was_not(
    cube: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    operations = 0
    write = zarr.storage.LocalStore.set

    async def counting(self: zarr.storage.LocalStore, *args: object, **kwargs: object) -> None:
        nonlocal operations
        operations += 1
        await write(self, *args, **kwargs)

    blocks = counted(monkeypatch)
    with dask.config.set(scheduler="synchronous"):
        with monkeypatch.context() as patched:
            patched.setattr(zarr.storage.LocalStore, "set", counting)
            lazily(cube).sr.to_zarr(tmp_path / "whole.zarr", region=1)
        assert len(blocks) == 18
        blocks.clear()
        command = [sys.executable, "-c", KILLED, str(tmp_path / "killed.zarr"), str(operations * 2 // 3)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == -9, ended.stderr

        lazily(cube).sr.to_zarr(tmp_path / "killed.zarr", region=1)

    assert 0 < len(blocks) < 12  # more than a third was there
    whole, resumed = tree(tmp_path / "whole.zarr"), tree(tmp_path / "killed.zarr")
    assert {name: data for name, data in resumed.items() if not name.endswith(".partial")} == whole


def test_other_processes_compute_the_same_values(cube: xr.DataArray):
    lazy = cube.chunk(time=1).sr.multiframe("60D", device="cpu", chunks=24)[["estimate", "std", "weight"]]
    whole = joined(cube)

    with dask.config.set(scheduler="processes", num_workers=2):
        spread = lazy.compute()

    for name in ("estimate", "std", "weight"):
        np.testing.assert_allclose(spread[name].values, whole[name].values, rtol=0, atol=1e-6, err_msg=name)
