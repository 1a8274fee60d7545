from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from zarr.storage import LocalStore, LoggingStore, MemoryStore, WrapperStore

from tests.io.zarr.scenes import DATES, CountingKernel, cube, reflectance
from xr_sr.errors import StoreError
from xr_sr.io.zarr import open_zarr, to_zarr
from xr_sr.io.zarr.reach import fork_of, merge_forks, refuse_unreachable, session_of
from xr_sr.io.zarr.target import Target


class Session:
    """What Icechunk's sessions do, over a dict: a session cannot be pickled, a fork can, and merging adds changes."""

    def __init__(self, data=None, *, fork=False):
        self.data = dict(data or {})
        self.base = dict(self.data)
        self.is_fork = fork

    @property
    def store(self):
        return SessionStore(self)

    def fork(self):
        return Session(self.data, fork=True)

    def merge(self, *others):
        for other in others:
            self.data.update({key: value for key, value in other.data.items() if other.base.get(key) is not value})

    def __getstate__(self):
        if not self.is_fork:
            raise ValueError("a writable session cannot be pickled")
        return self.__dict__


class SessionStore(MemoryStore):
    """A store whose changes live in a session."""

    def __init__(self, session, *, read_only=False):
        super().__init__(session.data, read_only=read_only)
        self.session = session

    def with_read_only(self, read_only=False):
        return SessionStore(self.session, read_only=read_only)

    def __getstate__(self):
        return self.session

    def __setstate__(self, session):
        self.__init__(session)


class OwnMemory(MemoryStore):
    """A memory store of a user."""


class Losing(LocalStore):
    """A folder that loses what is written to some keys, as a disk that is not shared would."""

    loses = True

    async def set(self, key, value):
        if not (self.loses and key.startswith("reflectance/c/1/0/1")):
            await super().set(key, value)


@pytest.fixture(scope="module")
def cluster():
    """A cluster in threads of this process, which pickles what it computes as one of processes does."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        yield client


@pytest.mark.parametrize("pyramid", [0, 1])
def test_tasks_of_a_cluster_write_to_forks_that_the_session_gets_back(pyramid, cluster):
    session = Session()

    with cluster.as_current():
        to_zarr(cube(dates=DATES[:2]), session.store, pyramid=pyramid)
        to_zarr(cube(), session.store, pyramid=pyramid)

        assert to_zarr(cube(), session.store, pyramid=pyramid) == 0
    alone: dict = {}
    to_zarr(cube(), alone, pyramid=pyramid)
    for level in range(pyramid + 1):
        xr.testing.assert_identical(
            open_zarr(session.store, level=level).compute(), open_zarr(alone, level=level).compute()
        )


def test_a_session_is_written_directly_by_tasks_of_this_process(monkeypatch):
    session = Session()
    monkeypatch.setattr(Session, "fork", lambda self: pytest.fail("forked"))

    to_zarr(cube(), session.store)

    xr.testing.assert_identical(open_zarr(session.store).compute(), cube().compute())


def test_what_a_failed_run_did_on_a_cluster_is_in_the_session(cluster):
    session = Session()
    with cluster.as_current(), pytest.raises(RuntimeError, match="the kernel failed"):
        to_zarr(cube(dates=DATES[:2], kernel=CountingKernel(fails_at=9)), session.store, region=1)

    done = int(sum(value.to_bytes() == b"\1" for key, value in session.data.items() if key.startswith("sr_status/c")))
    left = to_zarr(cube(dates=DATES[:2]), session.store)

    assert left == 2 * 12 - done
    xr.testing.assert_identical(open_zarr(session.store).compute(), cube(dates=DATES[:2]).compute())


@pytest.mark.parametrize(
    "store",
    [MemoryStore(), OwnMemory(), LoggingStore(MemoryStore()), WrapperStore(WrapperStore(MemoryStore())), {}],
    ids=["memory", "subclass", "wrapped", "wrapped twice", "dict"],
)
def test_memory_is_refused_on_a_cluster_before_anything_is_written(store, cluster):
    kernel = CountingKernel()

    with cluster.as_current(), pytest.raises(StoreError, match="the workers"):
        to_zarr(cube(kernel=kernel), store)

    assert kernel.calls == 0
    assert Target.of(store).names() == []


def test_a_wrapped_session_is_refused_on_a_cluster(cluster):
    session = Session()

    with cluster.as_current(), pytest.raises(StoreError, match="the workers"):
        to_zarr(cube(), WrapperStore(session.store))

    assert session.data == {}


def test_memory_that_all_threads_of_a_cluster_share_is_written(cluster):
    place = "memory://xr-sr-reach/a.zarr"

    with cluster.as_current():
        to_zarr(cube(), place, overwrite=True)

    xr.testing.assert_identical(open_zarr(place).compute(), cube().compute())


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_nothing_is_probed_where_tasks_run_in_this_process(scheduler):
    store: dict = {}

    with dask.config.set(scheduler=scheduler):
        refuse_unreachable(Target.of(store))
        assert fork_of(Target.of(Session().store)) is None

    assert store == {}


def test_a_probe_leaves_nothing_behind(cluster, tmp_path):
    with cluster.as_current():
        refuse_unreachable(Target.of(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_only_what_can_fork_and_merge_is_a_session():
    session = Session()

    assert session_of(session.store) is session
    assert session_of(MemoryStore()) is session_of(object()) is None
    assert merge_forks([]) is None


def test_a_region_that_cannot_be_read_back_is_not_noted_and_the_rerun_writes_it(tmp_path):
    store = Losing(tmp_path)
    with pytest.raises(StoreError, match="2 of 8 chunks .* reflectance/c/1/0/1"):
        to_zarr(cube(), store, chunks=16, region=2)

    store.loses = False
    to_zarr(cube(), store)

    xr.testing.assert_identical(open_zarr(tmp_path).compute(), cube().compute())


@pytest.mark.parametrize("options", [{}, {"shards": "block"}, {"zarr_format": 2}, {"pyramid": 1}], ids=str)
def test_chunks_of_nothing_but_missing_pixels_are_written_too(options, tmp_path):
    values = reflectance(1, 2, 40, 56)
    values[..., :32] = np.nan

    to_zarr(cube(dates=DATES[:1], values=values), tmp_path, chunks=16, **options)

    group = tmp_path / "0" if "pyramid" in options else tmp_path
    chunks = [path for path in (group / "reflectance").rglob("*") if path.is_file() and path.name[0].isdigit()]
    assert len(chunks) == (1 if "shards" in options else 2) * 3 * 4
