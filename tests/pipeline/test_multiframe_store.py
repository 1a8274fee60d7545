"""Results of `multiframe` in stores: what is kept, growth by windows and by dates, interruptions, other processes."""

from __future__ import annotations

import warnings
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.pipeline.test_multiframe import joined, series
from xr_sr.errors import ClippingWarning, StoreMismatchError


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    return series()


def test_a_store_keeps_counts_of_dates_and_what_was_measured(cube: xr.DataArray, tmp_path: Path):
    made = joined(cube)
    assert made["n_effective"].max() > 4

    with warnings.catch_warnings():
        warnings.simplefilter("error", ClippingWarning)
        made.sr.to_zarr(tmp_path / "fine.zarr")

    read = xr_sr.open_zarr(tmp_path / "fine.zarr")
    for name in ("n_effective", "shift_y", "shift_x", "shift_quality", "region_weight", "gain", "offset"):
        np.testing.assert_array_equal(read[name].values, made[name].values, err_msg=name)
    for name in ("estimate", "std", "lower", "upper", "weight"):
        np.testing.assert_allclose(read[name].values, made[name].values, rtol=0, atol=6e-5, err_msg=name)
    np.testing.assert_allclose(
        joined(cube, registration=read)["estimate"].values, made["estimate"].values, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_regions_of_the_store_are_not_those_that_dates_were_compared_in(
    cube: xr.DataArray, tmp_path: Path, zarr_format: int
):
    path = tmp_path / "fine.zarr"
    with dask.config.set(scheduler="synchronous"):
        made = cube.sr.multiframe("60D", device="cpu", chunks=16).compute()
        lazy = made.chunk(y=64, x=64)

        lazy.sr.to_zarr(path, region=1, zarr_format=zarr_format)

    with xr.open_zarr(path, consolidated=True) as plain:
        assert plain["sr_status"].sizes == {"time": 1, "sr_status_y": 3, "sr_status_x": 3}
        assert plain["sr_status"].values.all()
        assert plain["shift_y"].sizes == {"date": 5, "region_y": 1, "region_x": 1}
        plain.load().sr.to_zarr(tmp_path / "copy.zarr")  # the ledger is not copied
    assert xr_sr.verify(path).ok
    for name in ("shift_y", "gain", "n_effective"):
        np.testing.assert_array_equal(xr_sr.open_zarr(path)[name].values, made[name].values, err_msg=name)


def test_a_store_grows_by_windows_without_what_lies_along_dates(cube: xr.DataArray, tmp_path: Path):
    first, both = joined(cube.isel(time=slice(0, 3)), "9D"), joined(cube, "9D")
    first.drop_dims("date").sr.to_zarr(tmp_path / "series.zarr")
    first.sr.to_zarr(tmp_path / "dates.zarr")

    written = both.drop_dims("date").sr.to_zarr(tmp_path / "series.zarr")

    assert written == 5  # blocks of the second window, one for each variable
    read = xr_sr.open_zarr(tmp_path / "series.zarr")
    np.testing.assert_array_equal(read["time"].values, both["time"].values)
    np.testing.assert_array_equal(read["time_bounds"].values, both["time_bounds"].values)
    np.testing.assert_allclose(read["estimate"].values, both["estimate"].values, rtol=0, atol=6e-5)
    with pytest.raises(StoreMismatchError, match=r"drop_dims\('date'\)") as caught:
        both.sr.to_zarr(tmp_path / "dates.zarr")
    assert "3 dates, 2023-06-01 to 2023-06-07" in str(caught.value) and "00000" not in str(caught.value)
