"""Arrays that are neither NumPy nor dask are refused at every door by one sentence, and so is query planning."""

from __future__ import annotations

import os
import subprocess
import sys

import dask
import dask.array
import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, reflectance
from xr_sr.cube.lazy import check_array, refuse_query_planning
from xr_sr.errors import CubeError, EngineError


class Foreign(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of another library: NumPy's protocols, no conversion in silence."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape, self.dtype, self.ndim, self.size = values.shape, values.dtype, values.ndim, values.size

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not converted by itself")

    def __array_function__(self, function, types, args, kwargs):
        return NotImplemented

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        plain = [each.values if isinstance(each, Foreign) else each for each in args]
        return Foreign(getattr(ufunc, method)(*plain, **kwargs))

    def __getitem__(self, key):
        return Foreign(self.values[key])


PLAIN = array(reflectance(4, 16, 16))
CUBE = PLAIN.copy(data=Foreign(PLAIN.values))
MASK = xr.ones_like(PLAIN[0], dtype=bool).drop_vars("band")

DOORS = {
    "upscale": lambda: CUBE.sr.upscale("bicubic"),
    "upscale, a Dataset": lambda: CUBE.to_dataset("band").sr.upscale("bicubic"),
    "upscale, a tree": lambda: xr.DataTree.from_dict({"r10m": CUBE.to_dataset("band")}).sr.upscale("bicubic"),
    "upscale, mask=": lambda: PLAIN.sr.upscale("bicubic", mask=MASK.copy(data=Foreign(MASK.values))),
    "upscale, flags": lambda: (
        PLAIN.to_dataset("band").assign(SCL=MASK.astype("uint8").copy(data=Foreign(MASK.values.astype("uint8"))))
    ).sr.upscale("bicubic"),
    "mask": lambda: PLAIN.sr.mask(scl=MASK.astype("uint8").copy(data=Foreign(MASK.values.astype("uint8")))),
    "fuse": lambda: CUBE.sr.fuse("bicubic"),
    "reflectance": lambda: CUBE.sr.reflectance(),
    "index": lambda: CUBE.sr.index("NDVI"),
    "water": lambda: CUBE.sr.water("NDWI", threshold=0.0),
    "water, of an index": lambda: CUBE[0].sr.water(index=None, threshold=0.0),
    "to_zarr": lambda: CUBE.sr.to_zarr("never.zarr"),
    "to_cog": lambda: CUBE.sr.to_cog("never.tif"),
    "metrics": lambda: xr_sr.metrics.rmse(CUBE, PLAIN),
    "simulate": lambda: xr_sr.simulate.degrade(CUBE, 2),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_refuses_arrays_of_other_libraries(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CubeError, match=r"NumPy, CuPy.*\.Foreign\."):
        DOORS[door]()

    assert list(tmp_path.iterdir()) == []


def test_chunks_of_dask_are_looked_into():
    lazy = da.from_array(np.zeros((4, 4))).map_blocks(lambda block: block, meta=np.zeros((0, 0)))
    foreign = da.Array(lazy.dask, lazy.name, lazy.chunks, meta=Foreign(np.zeros((0, 0))))

    check_array(xr.DataArray(lazy))
    with pytest.raises(CubeError, match="dask chunks of"):
        check_array(xr.Variable(("y", "x"), foreign))


def test_the_summary_says_what_is_wrong():
    assert "expected NumPy, CuPy or dask arrays" in repr(CUBE.sr)


def test_what_lies_in_a_file_is_taken_and_stays_unread(tmp_path):
    PLAIN.to_dataset("band").to_netcdf(tmp_path / "cube.nc")

    with xr.open_dataset(tmp_path / "cube.nc", decode_coords="all") as opened:
        check_array(opened["B04"])
        assert not opened["B04"].variable._in_memory
        opened.sr.upscale("bicubic")
        assert not opened["B04"].variable._in_memory


SCRIPT = """
import dask.array
import xr_sr
from tests.cubes import array, reflectance

cube = array(reflectance(4, 32, 32))
calls = (
    lambda: cube.sr.upscale("bicubic"),
    lambda: cube.chunk().sr.upscale("bicubic"),
    lambda: cube.sr.reflectance(),
    lambda: cube.to_dataset("band").sr.index("NDVI"),
    lambda: cube.chunk().sr.water("NDWI"),
    lambda: cube.sr.to_zarr({}),
    lambda: cube.sr.to_cog("never.tif"),
    lambda: xr_sr.open_zarr({}),
    lambda: xr_sr.load([]),
    lambda: xr_sr.evaluate(cube, cube),
    lambda: xr_sr.simulate.degrade(cube, 2),
)
for call in calls:
    try:
        call()
    except xr_sr.errors.EngineError as error:
        print(error)
print(repr(cube.sr))
"""


def test_query_planning_is_refused_by_whatever_reads_a_cube():
    environment = {**os.environ, "DASK_ARRAY__QUERY_PLANNING": "True"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)

    lines = done.stdout.splitlines()
    assert len(lines) == 11 + 2
    assert all("DASK_ARRAY__QUERY_PLANNING=False" in line for line in lines[:11])
    assert "EngineError" in lines[-1]


NEIGHBORS = """
import dask.array as da, numpy as np, xarray as xr
cube = xr.DataArray(np.zeros((4, 6)), dims=("y", "x")).chunk(y=2)
calls = {
    "a sum": lambda: (cube + 1).compute(),
    "map_blocks": lambda: xr.map_blocks(lambda block: block + 1, cube, template=cube).compute(),
    "mean": lambda: cube.mean().compute(),
    "store": lambda: da.store(cube.data, np.zeros((4, 6))),
}
for name, call in calls.items():
    try:
        call()
    except Exception:
        print(name, "fails")
    else:
        print(name, "works")
"""


def test_query_planning_is_refused_as_long_as_xarray_does_not_work_under_it():
    """Its failure says that the neighbors are ready, so that this package can be.

    An ArrayExpr whose `_layer` calls a `tiling.maker.TileMaker`, and whose `_simplify_up` slices the source too, can
    then take the place of the refusal.
    """
    environment = {**os.environ, "DASK_ARRAY__QUERY_PLANNING": "True"}
    done = subprocess.run(
        [sys.executable, "-c", NEIGHBORS], env=environment, capture_output=True, text=True, check=True
    )

    found = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert found.pop("a sum") == "works"
    assert set(found) == {"map_blocks", "mean", "store"}
    assert "fails" in found.values()


def test_what_dask_array_was_imported_with_counts(monkeypatch):
    cube = array(reflectance(4, 16, 16))
    with dask.config.set({"array.query-planning": True}):  # too late: dask.array is imported
        cube.sr.upscale("bicubic")

    monkeypatch.setattr(dask.array, "ARRAY_EXPR_ENABLED", True)
    with pytest.raises(EngineError, match="array.query-planning"):
        refuse_query_planning()

    monkeypatch.setattr(dask.array, "ARRAY_EXPR_ENABLED", None)
    refuse_query_planning()
    with dask.config.set({"array.query-planning": True}), pytest.raises(EngineError):
        refuse_query_planning()
