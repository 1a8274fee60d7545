"""A store that an earlier commit wrote, 29d1a77 of 2026-11-28: it is read, resumed and extended.

`written_by_29d1a77.zip` holds what that commit made of `image(1).sr.upscale("sen2sr").sr.to_zarr("sen2sr.zarr")`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

import xr_sr

HALF_A_STEP = 0.5e-4 + 1e-6
"""What packing as int16 loses, and what processors differ by."""


def image(dates: int) -> xr.DataArray:
    """RGBN reflectance of 12 x 16 pixels by a formula, five days apart."""
    grid = GeoBox((12, 16), Affine(10, 0, 600_000, 0, -10, 5_800_080), "EPSG:32633")
    time = np.datetime64("2023-06-01T10:30:00", "ns") + np.arange(dates) * np.timedelta64(5, "D")
    t, band, y, x = np.ogrid[:dates, :4, :12, :16]
    values = 0.1 + 0.08 * np.sin(0.9 * x + 0.5 * band) * np.cos(0.7 * y + 0.3 * t)
    coords = {**xr_coords(grid), "time": time, "band": ["B04", "B03", "B02", "B08"]}
    return xr.DataArray(values.astype("float32"), dims=("time", "band", "y", "x"), coords=coords).chunk(time=1)


@pytest.fixture
def store(tmp_path):
    shutil.unpack_archive(Path(__file__).with_name("written_by_29d1a77.zip"), tmp_path)
    return tmp_path / "sen2sr.zarr"


def test_it_is_read_and_its_values_are_those_of_today(store):
    read, now = xr_sr.open_zarr(store), image(1).sr.upscale("sen2sr")

    assert read.odc.geobox == now.odc.geobox and read.sizes == now.sizes
    np.testing.assert_allclose(read, now, rtol=0, atol=HALF_A_STEP)


def test_it_is_resumed_without_writing_anything_and_extended_by_a_date(store):
    assert image(1).sr.upscale("sen2sr").sr.to_zarr(store, progress=False) == 0
    assert image(2).sr.upscale("sen2sr").sr.to_zarr(store, progress=False) == 1

    np.testing.assert_allclose(xr_sr.open_zarr(store), image(2).sr.upscale("sen2sr"), rtol=0, atol=HALF_A_STEP)
    assert xr_sr.verify(store, progress=False).ok


def test_another_model_is_refused_in_it(store):
    with pytest.raises(xr_sr.errors.StoreMismatchError, match="model"):
        image(1).sr.upscale("bicubic").sr.to_zarr(store, progress=False)
