"""Hybrid images: against SciPy's Gaussian on whole arrays; chunked equals whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from tests import cubes
from xr_sr import errors
from xr_sr.simulate import hybrid


def images(*shape: int) -> tuple[xr.DataArray, xr.DataArray]:
    shape = shape or (4, 60, 70)
    return cubes.array(cubes.reflectance(*shape)), cubes.array(cubes.reflectance(*shape, seed=5))


@pytest.mark.parametrize("sigma", [0.8, 2.0, 3.3])
def test_hybrid_is_the_sum_of_a_low_and_a_high_pass(sigma):
    low, high = images()

    mixed = hybrid(low, high, sigma=sigma)

    def smooth(image: xr.DataArray) -> np.ndarray:
        """Weighted mean of what there is, as at edges of an image that is padded with nothing."""
        once = [
            gaussian_filter1d(gaussian_filter1d(array, sigma, -1, mode="constant", radius=radius), sigma, -2,
                              mode="constant", radius=radius)
            for array in (image.values.astype("float64"), np.ones(image.shape))
        ]  # fmt: skip
        return once[0] / once[1]

    radius = math.ceil(4 * sigma)
    np.testing.assert_allclose(mixed, smooth(low) + high - smooth(high), rtol=1e-5, atol=1e-7)
    assert mixed.dtype == high.dtype
    xr.testing.assert_equal(mixed.coords.to_dataset(), high.coords.to_dataset())


def test_an_image_with_itself_is_itself():
    low, _ = images()

    np.testing.assert_allclose(hybrid(low, low, sigma=2), low, rtol=1e-6)


def test_at_the_cutoff_half_comes_from_each():
    x = np.arange(200) + 0.5
    wave = np.tile(np.sin(2 * np.pi * 0.1 * x), (60, 1))[None].astype("float64")
    flat = cubes.array(np.zeros_like(wave), ["B04"])

    mixed = hybrid(cubes.array(wave, ["B04"]), flat, cutoff=0.1)

    np.testing.assert_allclose(mixed[0, 30, 50:150], 0.5 * wave[0, 30, 50:150], atol=1e-3)


@settings(max_examples=6, deadline=None)
@given(chunk=st.tuples(st.integers(17, 70), st.integers(17, 70)), hole=st.booleans())
def test_the_result_does_not_depend_on_chunks(chunk, hole):
    low, high = images()
    if hole:
        low = low.where((low.x > low.x[20]) | (low.y < low.y[30]))
    whole = hybrid(low, high, sigma=1.7).compute()
    tiled = hybrid(low.chunk(y=chunk[0], x=chunk[1], band=1), high.chunk(y=chunk[1]), sigma=1.7)

    xr.testing.assert_allclose(tiled.compute(), whole, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(low))


def test_nan_of_either_is_nan_and_spreads_no_further():
    low, high = images()
    low[:, 30, 30] = np.nan
    high[:, 10, 10] = np.nan

    holes = np.isnan(hybrid(low, high, sigma=2))

    assert holes[:, 30, 30].all() and holes[:, 10, 10].all()
    assert int(holes.sum()) == 8


def test_one_date_serves_many_and_dimensions_keep_their_order():
    low, _ = images()
    _, high = images(2, 4, 60, 70)
    high = high.transpose("y", "x", "time", "band")

    mixed = hybrid(low, high, sigma=2)

    assert mixed.dims == high.dims
    second = hybrid(low, high.isel(time=1), sigma=2)
    np.testing.assert_allclose(mixed.isel(time=1), second.transpose("y", "x", "band"), rtol=1e-6)


def test_what_cannot_be_mixed_is_refused():
    low, high = images()

    for options in ({}, {"sigma": 1, "cutoff": 0.1}, {"sigma": 0}, {"cutoff": 0.7}):
        with pytest.raises(errors.OptionError):
            hybrid(low, high, **options)
    with pytest.raises(errors.GridError, match="one grid"):
        hybrid(low[:, ::2, ::2], high, sigma=1)
    with pytest.raises(errors.GridError, match="bands"):
        hybrid(low[:3], high, sigma=1)


def test_a_dataset_is_told_how_to_become_an_array():
    cube = cubes.array(cubes.reflectance(4, 16, 16)).to_dataset("band")

    with pytest.raises(errors.CubeError, match=r'to_dataarray\("band"\)'):
        hybrid(cube, cube, sigma=2)
