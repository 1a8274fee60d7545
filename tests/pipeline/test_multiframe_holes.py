"""Holes of the date that `multiframe` shows: what the other dates give alone, in its geometry."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests.pipeline.test_multiframe import SHIFTS, fine_ground, joined, series, upscaled
from xr_sr.kernels import SeriesDate
from xr_sr.pipeline.series_holes import stand_ins
from xr_sr.registration.warping import warp

HOLE = (slice(None), slice(14, 30), slice(16, 34))
FINE = (slice(None), slice(56, 120), slice(64, 136))
"""The hole in input and output pixels, and all bands."""


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    return series()


@pytest.fixture(scope="module")
def holed(cube: xr.DataArray) -> xr.DataArray:
    """The cube with a hole in the last date alone."""
    made = cube.copy(deep=True)
    made[-1][HOLE] = np.nan
    return made


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values, dtype="float64").mean()))


def test_a_hole_has_the_error_deviation_and_coverage_of_the_other_dates_alone(cube: xr.DataArray, holed: xr.DataArray):
    made, alone = joined(holed), joined(cube.isel(time=slice(0, -1)))

    truth = fine_ground().values[FINE]
    found, std = made["estimate"][0].values[FINE], made["std"][0].values[FINE]
    single = upscaled(cube.isel(time=-1)).values[FINE]
    assert rms(found - truth) < 0.9 * rms(single - truth)  # 1.3 times as much with an interpolated reference
    down, right = SHIFTS[-2]
    moved = warp(alone["estimate"][0].values, -4 * down, -4 * right, edge="repeat")[FINE]
    assert rms(found - moved) < 0.2 * rms(moved - truth)
    assert rms(std) == pytest.approx(rms(alone["std"][0].values[FINE]), rel=0.02)
    inside = (truth >= made["lower"][0].values[FINE]) & (truth <= made["upper"][0].values[FINE])
    assert 0.85 < inside.mean() < 0.97
    assert (made["weight"][-1].values[FINE[1:]] == 0).all() and (made["weight"][-2].values[FINE[1:]] == 1).all()
    assert made["weight"][:-2].values[:, *FINE[1:]].mean() > 0.9


def test_nothing_changes_where_the_date_shown_is_valid_and_far_from_the_hole(cube: xr.DataArray, holed: xr.DataArray):
    numbers = joined(cube)

    made = joined(holed, registration=numbers)

    for name in ("estimate", "std", "weight"):
        above = (made[name].values[..., :8, :], numbers[name].values[..., :8, :])
        np.testing.assert_allclose(*above, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("scale", [2, 8])
def test_holes_are_filled_at_other_scales(cube: xr.DataArray, holed: xr.DataArray, scale: int):
    made = joined(holed, scale=scale, calibrated=False)["estimate"][0].values

    alone = joined(cube.isel(time=slice(0, -1)), scale=scale, calibrated=False)["estimate"][0].values
    moved = warp(alone, *(-scale * shift for shift in SHIFTS[-2]), edge="repeat")
    inner = tuple(slice(scale * each.start, scale * each.stop) for each in HOLE[1:])
    assert rms((made - moved)[:, *inner]) < 0.003  # the ground's own deviation is 0.03


def test_filled_values_do_not_depend_on_how_the_cube_is_cut(holed: xr.DataArray):
    several = holed.copy(deep=True)
    several[-2, :, 20:40, :24] = np.nan
    several[-3, :, 22:26, 17:22] = np.nan
    several[-1, 0, 40:44, 5:15] = np.nan  # of one band

    whole = joined(several.chunk(-1))
    cut = joined(several.chunk({"time": 2, "y": 48, "x": 11}), chunks=19)

    assert np.isfinite(whole["estimate"]).all()
    for name in ("estimate", "std", "n_effective", "weight"):
        np.testing.assert_allclose(cut[name].values, whole[name].values, rtol=0, atol=1e-6, err_msg=name)


def test_where_the_nearest_date_is_hidden_too_the_next_one_stands_in(holed: xr.DataArray):
    hidden = holed.copy(deep=True)
    hidden[-2, :, 14:22, 16:34] = np.nan

    made = joined(hidden)

    upper, lower = (slice(60, 80), slice(70, 130)), (slice(96, 116), slice(70, 130))
    assert (made["weight"].values[-2][upper] == 0).all() and (made["weight"].values[-3][upper] == 1).all()
    assert (made["weight"].values[-2][lower] == 1).all()
    rest = joined(holed.isel(time=[0, 1, 2]))["estimate"][0].values
    moved = warp(rest, *(-4 * shift for shift in SHIFTS[2]), edge="repeat")
    assert rms((made["estimate"][0].values - moved)[:, *upper]) < 0.003
    assert rms((made["estimate"][0].values - moved)[:, *lower]) > 0.003  # four dates


def test_dates_stand_in_by_weight_and_then_by_nearness_each_for_pixels_that_are_left():
    dates = [SeriesDate((0.1, 0.0), 1.0), SeriesDate((0.2, 0.0), 0.5), SeriesDate((0.3, 0.0), 1.0)]
    visible = np.array([[[1, 1, 0, 0]], [[1, 1, 1, 0]], [[0, 1, 0, 0]]], bool)
    empty = np.array([[True, True, True, True]])

    found = {place: where.ravel().tolist() for place, where in stand_ins(empty, visible, dates, [2, 0, 1])}

    assert found == {2: [False, True, False, False], 0: [True, False, False, False], 1: [False, False, True, False]}
