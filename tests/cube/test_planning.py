"""dask's query planning of arrays: one sentence, whatever is called, and nothing where it is off."""

from __future__ import annotations

import os
import subprocess
import sys

import dask
import dask.array
import pytest

from tests.cubes import array, reflectance
from xr_sr.cube.planning import refuse_query_planning
from xr_sr.errors import EngineError

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
