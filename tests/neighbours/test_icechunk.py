"""Icechunk: what a session's store holds after `to_zarr`, on threads, processes and a cluster of processes."""

from __future__ import annotations

import dask
import icechunk
import pytest
import xarray as xr
import zarr
from distributed import Client, LocalCluster

from tests.io.zarr.scenes import DATES, CountingKernel, cube
from xr_sr.errors import StoreError
from xr_sr.io.zarr import open_zarr, to_zarr


@pytest.fixture(scope="module")
def cluster():
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def repository(tmp_path):
    return icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "repository")))


def committed(repository) -> xr.DataArray:
    return open_zarr(repository.readonly_session("main").store)


@pytest.mark.parametrize("scheduler", ["threads", "processes", "cluster"])
@pytest.mark.parametrize("options", [{}, {"pyramid": 2}, {"shards": "block"}], ids=str)
def test_a_session_holds_what_was_written_and_later_dates_extend_it(scheduler, options, cluster, repository):
    with cluster.as_current() if scheduler == "cluster" else dask.config.set(scheduler=scheduler):
        for dates in (DATES[:2], DATES):
            session = repository.writable_session("main")
            to_zarr(cube(dates=dates), session.store, **options)
            assert to_zarr(cube(dates=dates), session.store, **options) == 0
            session.commit("dates")

    xr.testing.assert_identical(committed(repository).compute(), cube().compute())
    if "pyramid" in options:
        assert not open_zarr(repository.readonly_session("main").store, level=2).isnull().all()


def test_a_fork_of_the_user_holds_what_was_written(cluster, repository):
    session = repository.writable_session("main")
    fork = session.fork()

    with cluster.as_current():
        to_zarr(cube(), fork.store)
    session.merge(fork)
    session.commit("a fork")

    xr.testing.assert_identical(committed(repository).compute(), cube().compute())


def test_a_run_that_failed_keeps_what_was_done_and_resumes_in_the_same_session(repository):
    session = repository.writable_session("main")
    with dask.config.set(scheduler="synchronous"), pytest.raises(RuntimeError, match="the kernel failed"):
        to_zarr(cube(kernel=CountingKernel(fails_at=7)), session.store, region=1)

    left = to_zarr(cube(kernel=CountingKernel()), session.store)
    session.commit("both")

    assert left == 3 * 12 - 6
    xr.testing.assert_identical(committed(repository).compute(), cube().compute())


def test_a_repository_in_memory_is_refused_before_anything_runs(cluster):
    session = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")

    with cluster.as_current(), pytest.raises(StoreError, match="the workers"):
        to_zarr(cube(), session.store)

    assert not session.has_uncommitted_changes


def test_a_session_that_is_wrapped_is_refused_on_a_cluster(cluster, repository):
    session = repository.writable_session("main")

    with cluster.as_current(), pytest.raises(StoreError, match="the workers"):
        to_zarr(cube(), zarr.storage.WrapperStore(session.store))

    assert not session.has_uncommitted_changes


def test_a_read_only_session_is_refused(repository):
    with pytest.raises(StoreError, match="read-only"):
        to_zarr(cube(), repository.readonly_session("main").store)
