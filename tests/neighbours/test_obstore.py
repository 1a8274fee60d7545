"""obstore: its stores behind `zarr.storage.ObjectStore`, on threads and on a cluster of processes."""

from __future__ import annotations

import dask
import obstore.store
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from zarr.storage import ObjectStore

from tests.io.zarr.scenes import DATES, cube
from xr_sr.errors import StoreError
from xr_sr.io.zarr import open_zarr, to_zarr


@pytest.fixture(scope="module")
def cluster():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        yield client


def local(folder) -> ObjectStore:
    return ObjectStore(obstore.store.LocalStore(prefix=str(folder), mkdir=True))


@pytest.mark.parametrize("scheduler", ["threads", "processes", "cluster"])
def test_a_folder_holds_what_was_written(scheduler, cluster, tmp_path):
    store = local(tmp_path / "a.zarr")

    with cluster.as_current() if scheduler == "cluster" else dask.config.set(scheduler=scheduler):
        to_zarr(cube(dates=DATES[:2]), store)
        to_zarr(cube(), store)
        assert to_zarr(cube(), store) == 0

    xr.testing.assert_identical(open_zarr(tmp_path / "a.zarr").compute(), cube().compute())


def test_memory_is_written_on_threads(tmp_path):
    store = ObjectStore(obstore.store.MemoryStore())

    to_zarr(cube(), store)

    xr.testing.assert_identical(open_zarr(store).compute(), cube().compute())


@pytest.mark.parametrize("scheduler", ["processes", "cluster"])
def test_memory_is_refused_where_tasks_run_elsewhere(scheduler, cluster):
    store = ObjectStore(obstore.store.MemoryStore())

    with (
        cluster.as_current() if scheduler == "cluster" else dask.config.set(scheduler=scheduler),
        pytest.raises(StoreError, match="the workers"),
    ):
        to_zarr(cube(), store)


def test_overwriting_works_though_emptied_folders_stay(tmp_path):
    store = local(tmp_path / "a.zarr")
    to_zarr(cube(), store, pyramid=1)

    to_zarr(cube(bands=("B08",)), store, overwrite=True)

    xr.testing.assert_identical(open_zarr(store).compute(), cube(bands=("B08",)).compute())
