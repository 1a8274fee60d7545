"""Numbers that all blocks need are worked out once when a result is written, and change nothing else."""

from __future__ import annotations

import threading

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

import xr_sr
from tests.cubes import array
from xr_sr.analytics import otsu
from xr_sr.runtime.precompute import once_name, settled


class Counted:
    """An array that counts how often each of its dates is read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.reads, self.lock = values, 0, threading.Lock()
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, index: object) -> np.ndarray:
        with self.lock:
            self.reads += 1
        return self.values[index]


def index_of(counted: Counted, side: int, **attrs: object) -> xr.DataArray:
    """A map of an index, one date and `side` pixels a chunk."""
    lazy = da.from_array(counted, chunks=(1, side, side), asarray=False, fancy=False, meta=np.empty((0, 0, 0), "f4"))
    made = array(np.zeros((*counted.shape[:1], 1, *counted.shape[1:]), "f4"), ("B04",)).isel(band=0, drop=True)
    return made.copy(data=lazy).assign_attrs(attrs).rename("index")


@pytest.fixture
def counted() -> Counted:
    rng = np.random.default_rng(1)
    water = rng.random((4, 64, 64)) < 0.3
    return Counted(np.where(water, 0.4, -0.3).astype("f4") + rng.normal(0, 0.1, water.shape).astype("f4"))


BLOCKS = 4 * 2 * 2


@pytest.mark.parametrize(("attrs", "passes"), [({"xr_sr:bounds": [-1.0, 1.0]}, 1), ({}, 2)])
@pytest.mark.parametrize("per", ["cube", "date"])
def test_a_level_is_found_once_however_many_regions_are_written(counted, attrs, passes, per, tmp_path):
    water = xr_sr.water(index_of(counted, 32, **attrs), None, "otsu", per)
    expected = water.compute(scheduler="synchronous")
    counted.reads = 0

    written = water.sr.to_zarr(tmp_path / "water.zarr", region=1, chunks=32, progress=False)

    assert written == BLOCKS  # so many graphs' worth of regions, each of which rests on the level
    assert counted.reads == BLOCKS * (passes + 1)
    again = xr_sr.open_zarr(tmp_path / "water.zarr")
    np.testing.assert_array_equal(again.values, expected.values)
    np.testing.assert_array_equal(again["threshold"].values, expected["threshold"].values)


def test_areas_and_maps_of_a_flood_share_the_level(counted, tmp_path):
    index = index_of(counted, 32, **{"xr_sr:bounds": [-1.0, 1.0]})
    days = index["time"].values
    found = xr_sr.flood_between(index.sel(time=days[:2]), index.sel(time=days[2:]), index=None)
    expected = found.compute(scheduler="synchronous")
    counted.reads = 0

    found.sr.to_zarr(tmp_path / "flood.zarr", region=1, chunks=32, progress=False)

    # The level; the areas, which go with the template; the map, of which each date rests on those before.
    assert counted.reads == BLOCKS + BLOCKS + (2 + 4) * BLOCKS // 4
    again = xr_sr.open_zarr(tmp_path / "flood.zarr")
    np.testing.assert_array_equal(again["flood"].values, expected["flood"].values)
    np.testing.assert_array_equal(again["area"].values, expected["area"].values)


def test_a_geotiff_is_written_by_one_level_too(counted, tmp_path):
    water = xr_sr.water(index_of(counted, 32, **{"xr_sr:bounds": [-1.0, 1.0]}), None)
    counted.reads = 0

    water.isel(time=0).sr.to_cog(tmp_path / "water.tif", progress=False)

    assert counted.reads == BLOCKS + 4


READ: list[int] = []


def note(block: np.ndarray) -> np.ndarray:
    READ.append(1)
    return block


def test_on_a_cluster_too(counted, tmp_path):
    index = index_of(counted, 32, **{"xr_sr:bounds": [-1.0, 1.0]})
    seen = da.from_array(counted.values, chunks=(1, 32, 32)).map_blocks(note, meta=np.empty((0, 0, 0), "f4"))
    water = xr_sr.water(index.copy(data=seen), None)
    expected = water.compute(scheduler="synchronous")
    READ.clear()

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        water.sr.to_zarr(tmp_path / "water.zarr", region=1, chunks=32, progress=False)

    assert len(READ) == 2 * BLOCKS
    np.testing.assert_array_equal(xr_sr.open_zarr(tmp_path / "water.zarr").values, expected.values)


def test_values_and_names_stay(counted):
    water = xr_sr.water(index_of(counted, 32), None).data

    (made,) = settled([water])

    assert made.name == water.name and made.chunks == water.chunks and made.dtype == water.dtype
    np.testing.assert_array_equal(made.compute(), water.compute())
    assert len(made.__dask_graph__()) < len(water.__dask_graph__())


def test_what_shares_nothing_is_not_touched(counted):
    plain = index_of(counted, 32).data + 1
    counted.reads = 0

    assert settled([plain])[0] is plain
    assert counted.reads == 0


def test_a_graph_without_layers_is_left_alone(counted):
    water = xr_sr.water(index_of(counted, 32), None)
    (flat,) = dask.optimize(water.data)
    bare = da.Array(dict(flat.__dask_graph__()), flat.name, flat.chunks, dtype=flat.dtype)

    (made,) = settled([bare])

    np.testing.assert_array_equal(made.compute(), water.values)


def test_names_tell_what_numbers_depend_on(counted):
    index = index_of(counted, 32)

    assert once_name("level", 1) == once_name("level", 1) != once_name("level", 2)
    assert otsu(index).data.name == otsu(index).data.name
    assert otsu(index).data.name != otsu(index.isel(time=[0])).data.name
