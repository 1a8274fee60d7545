from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import LocalStore

from tests.io.zarr.scenes import DATES, CountingKernel, cube, reflectance
from xr_sr.errors import BandWarning, StoreError
from xr_sr.io.zarr import open_zarr, to_zarr

ROOT = Path(__file__).parents[3]
LATER = np.array(["2023-01-16", "2023-01-21"], dtype="datetime64[ns]")


class UntilKey(LocalStore):
    """A local store that takes nothing more from a certain key on."""

    key = ""

    async def set(self, key, value):
        if self.key and key.startswith(self.key):
            raise OSError("stopped here")
        await super().set(key, value)


def stopped_at(path: Path, key: str, written: xr.DataArray, **options) -> None:
    store = UntilKey(path)
    store.key = key
    with dask.config.set(scheduler="synchronous"), pytest.raises(StoreError, match="stopped here"):
        to_zarr(written, store, **options)


def values_for(dates: np.ndarray) -> np.ndarray:
    """Values that a date has wherever it stands in a cube."""
    return np.concatenate([reflectance(1, 2, 40, 56, seed=int(date.astype("int64") % 9973)) for date in dates])


def dated(dates: np.ndarray, **options) -> xr.DataArray:
    return cube(dates=dates, values=values_for(dates), **options)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children that it forks; the logic is the same everywhere")
@pytest.mark.parametrize(
    ("scenario", "kills"),
    [
        ("flat-create", 4),
        ("flat-extend", 5),
        ("flat-overwrite", 2),
        ("pyramid-create", 2),
        ("pyramid-extend", 3),
        ("v2-extend", 2),
        ("shards-extend", 2),
    ],
)
def test_a_run_killed_at_any_operation_is_resumed_to_the_same_bytes(scenario, kills, tmp_path):
    """SIGKILL at random operations of the store; in between, plain xarray must read every date that was there."""
    program = [sys.executable, "-W", "ignore", str(ROOT / "tests/io/zarr/kill_runs.py")]
    seed = sum(map(ord, scenario))
    ran = subprocess.run(
        [*program, str(tmp_path), scenario, str(kills), str(seed)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["kills"] == kills and result["failures"] == []


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_new_dates_are_added_once_and_only_they_are_computed(tmp_path, zarr_format):
    options = {"zarr_format": zarr_format}
    to_zarr(dated(DATES), tmp_path / "out.zarr", **options)
    everything, kernel = np.concatenate([DATES, LATER]), CountingKernel()

    for _ in range(2):
        to_zarr(dated(everything, kernel=kernel), tmp_path / "out.zarr", **options)

    assert kernel.calls == 2 * 12
    to_zarr(dated(everything), tmp_path / "whole.zarr", **options)
    xr.testing.assert_identical(
        open_zarr(tmp_path / "out.zarr").compute(), open_zarr(tmp_path / "whole.zarr").compute()
    )


def test_what_goes_along_with_dates_grows_with_them(tmp_path):
    def described(dates, tile, baseline):
        return dated(dates).assign_coords(tile=("time", tile), baseline=("time", baseline))

    to_zarr(described(DATES[:2], ["33UUU", "33UUV"], [4.0, 5.09]), tmp_path / "out.zarr")
    to_zarr(described(DATES[2:], ["a much longer name"], [5.1]), tmp_path / "out.zarr")
    read = open_zarr(tmp_path / "out.zarr")

    assert read.tile.values.tolist() == ["33UUU", "33UUV", "a much longer name"]
    assert read.baseline.values.tolist() == [4.0, 5.09, 5.1]


def test_variables_that_later_dates_lack_or_add_do_not_stop_them(tmp_path):
    to_zarr(dated(DATES[:2]).assign_coords(baseline=("time", [4.0, 5.09])), tmp_path / "out.zarr")

    with pytest.warns(BandWarning, match=r"\['orbit'\]"):
        to_zarr(dated(DATES[2:]).assign_coords(orbit=("time", [22])), tmp_path / "out.zarr")

    read = open_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(read.baseline.values, [4.0, 5.09, np.nan])
    assert "orbit" not in read.coords


def test_dates_are_matched_in_any_order_and_block(tmp_path):
    to_zarr(dated(DATES[[2, 0]]), tmp_path / "out.zarr")
    mixed = np.concatenate([LATER[:1], DATES[[0, 2, 1]], LATER[1:]])
    kernel = CountingKernel()

    to_zarr(dated(mixed, kernel=kernel).chunk(time=2), tmp_path / "out.zarr")

    read = open_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(read.time.values, np.sort(mixed))
    np.testing.assert_array_equal(read.values, values_for(np.sort(mixed)))
    assert kernel.calls == 5 * 12


def test_a_date_appears_when_it_is_whole_and_not_before(tmp_path):
    to_zarr(dated(DATES), tmp_path / "out.zarr", region=1)
    stopped_at(tmp_path / "out.zarr", "sr_status/c/4/1/1", dated(LATER), region=1)

    with xr.open_zarr(tmp_path / "out.zarr") as plain:
        np.testing.assert_array_equal(plain.time.values, np.concatenate([DATES, LATER[:1]]))
        np.testing.assert_allclose(plain.reflectance.values, values_for(plain.time.values), rtol=1e-6)
    to_zarr(dated(LATER), tmp_path / "out.zarr", region=1)
    assert open_zarr(tmp_path / "out.zarr").sizes["time"] == 5


def test_dates_begun_by_a_run_that_was_stopped_do_not_pass_for_others(tmp_path):
    to_zarr(dated(DATES), tmp_path / "out.zarr", region=1)
    stopped_at(tmp_path / "out.zarr", "sr_status/c/3/2/1", dated(LATER[:1]), region=1)

    to_zarr(dated(LATER[1:]), tmp_path / "out.zarr", region=1)
    read = open_zarr(tmp_path / "out.zarr")

    np.testing.assert_array_equal(read.time.values, np.concatenate([DATES, LATER[1:]]))
    np.testing.assert_array_equal(read.values, values_for(read.time.values))
    to_zarr(dated(LATER), tmp_path / "out.zarr", region=1)
    read = open_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(read.values, values_for(np.concatenate([DATES, LATER])))


def test_begun_dates_are_gone_on_with_by_a_call_that_holds_them_too(tmp_path):
    to_zarr(dated(DATES), tmp_path / "out.zarr", region=1)
    stopped_at(tmp_path / "out.zarr", "sr_status/c/3/2/1", dated(LATER[1:]), region=1)
    kernel = CountingKernel()

    to_zarr(dated(LATER, kernel=kernel), tmp_path / "out.zarr", region=1)

    assert kernel.calls < 24
    read = open_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(read.values, values_for(np.concatenate([DATES, LATER])))


def test_a_store_that_commits_gets_its_time_axis_first(tmp_path):
    """Icechunk takes no chunk beyond an array's shape, and shows nothing before its commit."""

    class Committing(LocalStore):
        supports_consolidated_metadata = False
        length = 3

        async def set(self, key, value):
            if key == "reflectance/zarr.json":
                self.length = json.loads(value.to_bytes())["shape"][0]
            if key.startswith("reflectance/c/"):
                assert int(key.split("/")[2]) < self.length, key
            await super().set(key, value)

    to_zarr(dated(DATES), Committing(tmp_path / "out.zarr"))
    to_zarr(dated(LATER), Committing(tmp_path / "out.zarr"))

    read = open_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(read.values, values_for(read.time.values))
    assert read.sizes["time"] == 5
    assert "consolidated_metadata" not in json.loads((tmp_path / "out.zarr/zarr.json").read_text())


def test_a_variable_without_time_is_written_with_the_first_date_only(tmp_path):
    kernel = CountingKernel()
    mask = cube(dates=None, bands=None, kernel=kernel, name=None) > 0.4
    static = dated(DATES[:1]).to_dataset("band").assign(water=mask)
    more = dated(DATES[1:]).to_dataset("band").assign(water=mask)

    to_zarr(static, tmp_path / "out.zarr")
    calls = kernel.calls
    to_zarr(more, tmp_path / "out.zarr")

    assert calls == kernel.calls == 12
    np.testing.assert_array_equal(open_zarr(tmp_path / "out.zarr").water.values, mask.values)


def test_variables_from_one_kernel_share_its_calls(tmp_path):
    kernel = CountingKernel()
    bands = cube(kernel=kernel).to_dataset("band")

    to_zarr(bands, tmp_path / "out.zarr")

    assert kernel.calls == 3 * 12


def test_a_store_without_time_can_be_stopped_and_gone_on_with(tmp_path):
    stopped_at(tmp_path / "out.zarr", "sr_status/c/1/2", cube(dates=None), region=1)
    to_zarr(cube(dates=None), tmp_path / "out.zarr", region=1)

    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), cube(dates=None).compute())
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["sr_status"].shape == (3, 4)


def test_two_processes_of_a_cluster_write_the_same_bytes_and_only_the_client_keeps_the_ledger(tmp_path):
    from distributed import Client, LocalCluster

    def tree(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    to_zarr(dated(DATES), tmp_path / "threads.zarr", region=1, pyramid=1)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        to_zarr(dated(DATES), tmp_path / "cluster.zarr", region=1, pyramid=1)
        values = reflectance(2, 2, 40, 56)
        values[0, 0, 30, 30] = 5
        with pytest.warns(UserWarning, match=r"^1 value of 'reflectance'"):
            to_zarr(cube(dates=LATER, values=values), tmp_path / "clipped.zarr")
        with pytest.raises(StoreError, match="memory"):
            to_zarr(dated(DATES), "memory://xr-sr-test/c.zarr")
        with pytest.raises(RuntimeError, match="the kernel failed"):
            to_zarr(dated(DATES, kernel=CountingKernel(fails_at=1)), tmp_path / "failed.zarr")

    assert tree(tmp_path / "cluster.zarr") == tree(tmp_path / "threads.zarr")
