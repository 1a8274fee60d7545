"""cubed and sparse: arrays under xarray that are neither NumPy nor dask are one CubeError; what it advises works."""

from __future__ import annotations

import cubed
import numpy as np
import pytest
import sparse
import xarray as xr

from tests.cubes import array, reflectance
from xr_sr.errors import CubeError

PLAIN = array(reflectance(4, 24, 20))


def held(kind: str) -> xr.DataArray:
    values = PLAIN.values
    if kind == "cubed":
        return PLAIN.copy(data=cubed.from_array(values, chunks=(4, 12, 20), spec=cubed.Spec(allowed_mem="1GB")))
    if kind == "sparse":
        return PLAIN.copy(data=sparse.COO.from_numpy(values))
    meta = sparse.COO.from_numpy(np.zeros((1, 1, 1), "float32"))
    lazy = PLAIN.chunk(y=12).data.map_blocks(sparse.COO.from_numpy, dtype="float32", meta=meta)
    return PLAIN.copy(data=lazy)


@pytest.mark.parametrize("kind", ["cubed", "sparse", "sparse in dask"])
@pytest.mark.parametrize(
    "call",
    [
        lambda cube: cube.sr.upscale("bicubic"),
        lambda cube: cube.to_dataset("band").sr.upscale("bicubic"),
        lambda cube: cube.sr.reflectance(),
        lambda cube: cube.sr.index("NDVI"),
        lambda cube: cube.sr.to_zarr("never.zarr"),
        lambda cube: PLAIN.sr.upscale("bicubic", mask=cube[0] > 0.1),
    ],
)
def test_every_door_refuses_them(kind, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CubeError, match="NumPy, CuPy"):
        call(held(kind))
    assert list(tmp_path.iterdir()) == []


def test_what_the_error_advises_works():
    wanted = PLAIN.sr.upscale("bicubic")

    for kind, dense in (("cubed", "compute"), ("sparse", "todense")):
        cube = held(kind)
        cube = cube.copy(data=getattr(cube.data, dense)())
        xr.testing.assert_allclose(cube.sr.upscale("bicubic").compute(), wanted.compute(), atol=1e-7)
