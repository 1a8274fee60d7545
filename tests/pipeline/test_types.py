"""What a type checker sees of `upscale` and `fuse`: the type of the result follows from that of the cube."""

from __future__ import annotations

import subprocess
import sys

import pytest

CALLS = """
import xarray as xr
from xr_sr import fuse, upscale

def check(array: xr.DataArray, dataset: xr.Dataset, tree: xr.DataTree) -> None:
    a: xr.DataArray = upscale(array, "sen2sr", bands=["B04"])
    b: xr.Dataset = upscale(dataset)
    c: xr.Dataset = fuse(tree, to=10, guide="nearest")
    upscale(array, bands=3)  # type: ignore[call-overload]
    d: xr.DataArray = upscale(dataset)  # type: ignore[assignment]
"""


@pytest.mark.slow
def test_the_type_of_the_result_follows_from_that_of_the_cube(tmp_path):
    (tmp_path / "calls.py").write_text(CALLS)
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", str(tmp_path / "calls.py")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
