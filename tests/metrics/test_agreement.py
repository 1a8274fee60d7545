"""Consistency and synthesis: exact for what is averaged or interpolated, aware of holes, the same for any chunking."""

from __future__ import annotations

from functools import partial

import numpy as np
import odc.geo.xr  # noqa: F401  registers .odc
import pytest
import xarray as xr

from tests import cubes
from tests.metrics.scenes import on_grid, texture, triple
from xr_sr import errors, metrics
from xr_sr.metrics import synthesis
from xr_sr.registration import warp
from xr_sr.simulate.resample import downsample, upsample

consistency = partial(metrics.consistency, operator="block")
"""As the literature has it; `test_seen` is about the point spread function."""


@pytest.fixture(scope="module")
def scenes():
    return triple(160, 128)


def test_what_averages_back_to_lr_agrees_with_it(scenes):
    lr, _, hr = scenes
    found = consistency(lr, hr)

    assert float(found.reflectance) < 1e-7
    assert float(found.spectral) < 1e-4
    assert float(found.spatial) < 0.02
    assert found.attrs["scale"] == 4


@pytest.mark.parametrize("distance", ["l1", "l2", "nd", "ssim"])
def test_numbers_are_means_of_maps_on_the_grid_of_lr(scenes, distance):
    lr, sr, _ = scenes
    number, maps = consistency(lr, sr, reflectance=distance), consistency(lr, sr, reflectance=distance, at="pixel")

    assert maps.odc.geobox == lr.odc.geobox
    assert float(maps.reflectance.mean()) == pytest.approx(float(number.reflectance), rel=1e-5)


def test_reflectance_and_angle_of_known_changes(scenes):
    lr, _, hr = scenes
    brighter, offset = consistency(lr, hr * np.float32(1.2)), consistency(lr, hr + np.float32(0.05))

    assert float(brighter.reflectance) == pytest.approx(0.2 * float(abs(lr).mean()), rel=1e-4)
    assert float(brighter.spectral) < 1e-3
    assert float(offset.reflectance) == pytest.approx(0.05, rel=1e-4)
    assert float(offset.spectral) > 0.5


def test_the_shift_is_measured_in_pixels_of_lr(scenes):
    lr, _, hr = scenes
    moved = hr.copy(data=warp(hr.values, 3.0, -4.0, edge="repeat"))

    assert float(consistency(lr, moved).spatial) == pytest.approx(5 / 4, abs=0.05)
    assert np.isnan(consistency(lr, on_grid(texture(4, 160, 128, seed=9), 4)).spatial)
    assert np.isnan(consistency(lr, hr * 0 + np.float32(0.2)).spatial)


def test_holes_are_left_out_and_half_seen_pixels_count(scenes):
    lr, _, hr = scenes
    hole = hr.copy()
    hole[:, 40:44, 40:44] = np.nan  # one pixel of LR

    maps = consistency(lr, hole, at="pixel")

    assert np.isnan(maps.reflectance.values).sum() == 0 or np.isnan(maps.reflectance[10, 10])
    far = np.ones((40, 32), bool)
    far[9:12, 9:12] = False
    assert maps.reflectance.values[far].max() < 1e-6
    hole[:, 30:54, 30:54] = np.nan
    assert np.isnan(consistency(lr, hole, at="pixel").reflectance[10, 10])


def test_the_edge_is_averaged_as_on_the_whole_image(monkeypatch):
    lr, sr, _ = triple(96, 160, scale=4)
    whole = consistency(lr, sr, at="pixel")
    monkeypatch.setattr("xr_sr.metrics.reduce.SIDE", 32)

    expected = np.abs(lr.values - downsample(sr.values.astype("float64"), 4)).mean(axis=0)
    np.testing.assert_allclose(whole.reflectance, expected, atol=1e-7)
    np.testing.assert_allclose(consistency(lr, sr, at="pixel").reflectance, expected, atol=1e-7)


@pytest.mark.parametrize("at", ["image", "pixel", 5])
def test_results_do_not_depend_on_chunks(scenes, at):
    lr, sr, _ = scenes
    sr = sr.where(sr > 0.1)
    lazy = consistency(lr.chunk(x=5), sr.chunk(y=37, x=50), at=at)

    assert lazy.reflectance.chunks is not None
    xr.testing.assert_equal(lazy.compute(), consistency(lr, sr, at=at))


def test_plain_interpolation_adds_nothing(scenes):
    lr, sr, hr = scenes
    nothing = sr.copy(data=upsample(lr.values, 4))

    assert float(synthesis(lr, nothing).synthesis) < 1e-7
    assert float(synthesis(lr, nothing, hr).synthesis) < 1e-6
    assert float(synthesis(lr, sr).synthesis) > 1e-3
    known = np.abs(upsample(lr.values.astype("float64"), 4) - sr.values)[:, 16:-16, 16:-16].mean()
    assert float(synthesis(lr, sr).synthesis) == pytest.approx(known, rel=1e-6)
    assert synthesis(lr, sr, at=8).synthesis.shape == (20, 16)


def test_dates_bands_and_models():
    lr, sr, hr = triple(64, 64, dates=2)
    found = consistency(lr, {"a": sr.sel(band=["B08", "B04"]), "b": hr.sel(band=["B08", "B04"])})

    assert found.reflectance.dims == ("model", "time")
    assert (found.reflectance.sel(model="b") < 1e-6).all()
    assert "spectral" not in consistency(lr.sel(band=["B04"]), sr)
    with pytest.raises(errors.OptionError, match="no distance"):
        consistency(lr, sr, spectral="angle")


def test_a_border_is_a_whole_number_of_pixels():
    lr, sr, _ = triple(32, 32)
    for border in (-3, 1.5):
        with pytest.raises(errors.OptionError, match="border="):
            consistency(lr, sr, border=border)


@pytest.mark.parametrize("value", [0, 32633])
def test_patches_of_dated_cubes_have_their_own_grid_whatever_number_spatial_ref_has(value):
    """rioxarray's is 0, odc-geo's the EPSG code: xarray compares them where results are put together."""
    lr = cubes.array(cubes.reflectance(2, 4, 12, 12))
    lr = lr.assign_coords(spatial_ref=xr.DataArray(value, attrs=lr.spatial_ref.attrs))
    sr = lr.sr.upscale("nearest")

    patches = consistency(lr, sr, at=4)

    assert dict(patches.sizes) == {"time": 2, "y": 3, "x": 3}
    assert patches.odc.geobox.resolution.x == 40
