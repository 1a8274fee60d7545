"""`interval` on cubes: the estimate of `upscale`, bounds, levels, blocks, NaN, calibrations and errors."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

import dask
import numpy as np
import pytest
import xarray as xr

from tests.cubes import array, reflectance
from tests.pipeline.test_pansharpen import FINE, R20M, R60M, geobox_of, tree_of
from xr_sr.errors import CalibrationWarning, MissingBandError, OptionError
from xr_sr.kernels.calibration import LEVELS, Calibration
from xr_sr.kernels.psf import MTF_AT_NYQUIST
from xr_sr.kernels.resolve import options_with


def within(cube: xr.DataArray | xr.Dataset | xr.DataTree, level: float = 0.9, **options: object) -> xr.Dataset:
    with dask.config.set(scheduler="synchronous"):
        return cube.sr.interval(level, device="cpu", model="kriging", **options).compute()


def cube_of(height: int = 40, width: int = 36) -> xr.DataArray:
    return array(reflectance(2, height, width), bands=("B04", "B08"), geobox=geobox_of(height, width))


def calibration(width: float) -> Calibration:
    return Calibration("kriging", {("all", "all"): tuple(width * level for level in LEVELS)}, note="mine")


def test_the_estimate_is_that_of_upscale_with_its_dims_coordinates_and_grid():
    cube = cube_of()
    whole = cube.sr.upscale("kriging", device="cpu").compute()

    made = within(cube)

    assert list(made.data_vars) == ["estimate", "std", "lower", "upper"]
    np.testing.assert_array_equal(made["estimate"].values, whole.values)
    for each in made.data_vars.values():
        assert each.dims == whole.dims and each.dtype == "float32"
        assert each.odc.geobox == whole.odc.geobox
    xr.testing.assert_equal(made["estimate"].coords.to_dataset(), whole.coords.to_dataset())


def test_bounds_lie_around_the_estimate_and_widen_with_the_level():
    cube = cube_of()

    narrow, wide = within(cube, 0.5), within(cube, 0.95)

    for each in (narrow, wide):
        assert (each["lower"] < each["estimate"]).all() and (each["estimate"] < each["upper"]).all()
    assert (wide["upper"] > narrow["upper"]).all()
    assert wide.attrs["xr_sr:level"] == 0.95
    assert "aerial" in wide["upper"].attrs["xr_sr:calibration"]


def test_bands_of_a_tree_lie_along_band_each_from_its_own_grid():
    tree = tree_of(96, 108)
    whole = tree.sr.upscale("kriging", device="cpu").compute()

    made = within(tree)

    assert list(made["band"].values) == list(whole.data_vars)
    assert set(made["band"].values) == {*FINE, *R20M, *R60M}
    for band in whole.data_vars:
        np.testing.assert_array_equal(made["estimate"].sel(band=band).values, whole[band].values)
    assert (made["std"] > 0).all()


@pytest.mark.parametrize("sides", [(96, 108), (40, 24), (17, 61)])
def test_values_do_not_depend_on_blocks(sides):
    tree = tree_of(96, 108)
    tree["r20m/B11"][14:19, 15] = np.nan
    tree["r10m/B03"][40:44, 31] = np.nan

    made, whole = within(tree, chunks=sides), within(tree)

    for name in whole.data_vars:
        np.testing.assert_allclose(made[name].values, whole[name].values, rtol=0, atol=1e-6)
        assert np.isnan(whole[name].sel(band="B11").values).sum() == 5 * 64
        assert np.isnan(whole[name].sel(band="B03").values).sum() == 4 * 16


def test_a_crop_has_the_values_of_the_whole():
    cube = cube_of(80, 80)
    whole = within(cube)

    crop = within(cube.isel(y=slice(8, 60), x=slice(12, 70)))

    inner = crop.isel(y=slice(80, 128), x=slice(80, 152))
    part = whole.sel(y=inner.y, x=inner.x)
    for name in whole.data_vars:
        np.testing.assert_allclose(inner[name].values, part[name].values, rtol=0, atol=1e-6)


def test_uncalibrated_deviations_are_those_of_a_normal_distribution():
    cube = cube_of()

    plain, other = within(cube, 0.9, calibrated=False), within(cube, 0.5, calibrated=False)

    np.testing.assert_array_equal(plain["std"].values, other["std"].values)
    half = (plain["upper"] - plain["estimate"]).values
    np.testing.assert_allclose(half, 1.6449 * plain["std"].values, rtol=1e-3)
    assert plain.attrs["xr_sr:calibration"] == "none"


def test_a_calibration_of_ones_own_scales_the_width(tmp_path):
    cube = cube_of()
    calibration(3.0).save(tmp_path / "mine.json")

    plain = within(cube, 0.9, calibrated=False)["std"].values
    mine, from_file = within(cube, calibration=calibration(3.0)), within(cube, calibration=tmp_path / "mine.json")

    np.testing.assert_allclose((mine["upper"] - mine["estimate"]).values, 2.7 * plain, rtol=1e-3)
    xr.testing.assert_equal(mine, from_file)


def test_nothing_is_computed_and_equal_calls_have_equal_graphs():
    cube = cube_of().chunk(y=20)

    one, other = (cube.sr.interval(device="cpu", model="kriging") for _ in range(2))

    assert all(one[name].data.name == other[name].data.name for name in one.data_vars)


def test_the_default_is_that_of_upscale_and_its_errors_name_kriging():
    lr, bands = reflectance(4, 24, 20), ("B04", "B03", "B02", "B08")
    cube = array(lr, bands=bands, geobox=geobox_of(24, 20))

    made = cube.sr.interval(device="cpu")

    assert made["estimate"].attrs["xr_sr:model"] == "sen2sr.rgbn-x4"
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(made["estimate"].values, cube.sr.upscale(device="cpu").values)
    with pytest.raises(MissingBandError, match="model='kriging'"):
        cube_of().sr.interval()


@pytest.mark.parametrize("level", [0, 1, 0.999, "high", True, None, [0.8, 0.9], (0.9,), np.array([0.8, 0.9])])
def test_levels_that_are_none_are_refused(level):
    with pytest.raises(OptionError, match="level=.*number"):
        cube_of().sr.interval(level, model="kriging")
    with pytest.raises(OptionError, match="level=.*number"):
        cube_of().sr.ensemble(level=level)


@pytest.mark.parametrize("model", ["bicubic", "bilinear"])
def test_models_without_an_error_scale_are_refused(model):
    with pytest.raises(OptionError, match=f"model='{model}.*'kriging', 'sen2sr', 'sen2sr-fast'"):
        cube_of().sr.interval(model=model)


MTF = {"B04": 0.3, "B08": 0.2}


def fitted_with(**options) -> Calibration:
    """A calibration with a record of the options that it was fitted with."""
    return replace(calibration(1.0), options=options_with("kriging", options))


OTHER_OPTIONS = ({"scale": 2}, {"psf": "5.3 m"}, {"mtf": 0.3}, {"noise": 0.01})


@pytest.mark.parametrize(
    ("options", "made_by"),
    [
        ({"strength": 0.3}, "interval"),  # an ensemble has no strength
        *((options, made_by) for options in OTHER_OPTIONS for made_by in ("interval", "ensemble")),
    ],
)
def test_a_calibration_of_other_options_is_refused_and_that_of_the_package_warns(options, made_by):
    name, make = next(iter(options)), partial(getattr(cube_of().sr, made_by), model="kriging")

    with pytest.raises(OptionError, match=f"calibration= .*{name}=.*{name}="):
        make(calibration=fitted_with(), **options)
    with pytest.raises(OptionError, match=f"calibration= .*{name}=.*{name}="):
        make(calibration=fitted_with(**options))
    with pytest.warns(CalibrationWarning, match=f"calibration .*{name}=.*{name}=") as issued:
        make(**options)
    assert [each.filename for each in issued if each.category is CalibrationWarning] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error", CalibrationWarning)
        make(calibration=fitted_with(**options), **options)
        make(calibration=calibration(1.0), **options)  # without a record
        make(calibrated=False, **options)
        make()


@pytest.mark.parametrize(
    ("fitted", "asked"),
    [
        ({}, {"strength": 1, "scale": 4, "mtf": "published", "psf": "mtf"}),
        ({}, {"mtf": {"B04": MTF_AT_NYQUIST["B04"], "red edge 1": 0.2}}),  # of bands that are there, as published
        ({"mtf": {"red": 0.3, "nir": 0.2}}, {"mtf": MTF}),
        ({"mtf": "estimate"}, {"mtf": MTF}),
        ({"psf": np.ones((5, 5))}, {"psf": np.ones((5, 5)).tolist()}),
    ],
)
def test_options_that_say_the_same_are_the_same(fitted, asked, tmp_path):
    fitted_with(**fitted).save(tmp_path / "mine.json")

    cube_of().sr.interval(calibration=tmp_path / "mine.json", model="kriging", **asked)


@pytest.mark.parametrize(
    "options",
    [
        {"calibration": "no/such/file.json"},
        {"calibration": 3},
        {"calibrated": False, "calibration": calibration(1)},
        {"calibration": Calibration("bicubic", calibration(1).quantiles)},
        {"calibrated": "yes"},
    ],
)
def test_calibrations_that_do_not_fit_are_refused(options):
    with pytest.raises(OptionError, match="calibrat"):
        cube_of().sr.interval(model="kriging", **options)
