"""Networks that draw, on cubes: members by place, in any chunking, that agree with the input; options and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dask
import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, dataset, geobox_of, reflectance
from tests.flows import RGBN, spec_of, weights_in
from xr_sr.catalog import registry
from xr_sr.errors import ModelError, OptionError
from xr_sr.kernels.calibration import LEVELS, Calibration, gaussian_width

NAME = "small-flow"
HALO = 24
STRATA = {"all": 2.0, "flat": 1.0, "edge": 3.0, "bright": 2.0}


@pytest.fixture(scope="module", autouse=True)
def _registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    xr_sr.register_model(spec_of(NAME), weights=weights_in(tmp_path_factory.mktemp("flow")))
    yield
    registry.forget(NAME)


def computed(made: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset:
    with dask.config.set(scheduler="synchronous"):
        return made.compute()


def upscaled(cube: xr.DataArray | xr.Dataset, **options: object) -> xr.DataArray | xr.Dataset:
    return computed(cube.sr.upscale(NAME, device="cpu", **options))


def drawn(cube: xr.DataArray | xr.Dataset, n: int = 4, **options: object) -> xr.Dataset:
    return computed(cube.sr.ensemble(n, NAME, device="cpu", **{"calibrated": False, **options}))


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    return array(reflectance(4, 96, 88), RGBN)


@pytest.fixture(scope="module")
def whole(cube: xr.DataArray) -> xr.DataArray:
    return upscaled(cube)


def test_a_member_depends_on_no_chunk(cube, whole):
    chunked = upscaled(cube.chunk(y=17, x=31), chunks=(64, 40))
    np.testing.assert_allclose(chunked.values, whole.values, rtol=0, atol=1e-5)


def test_a_crop_has_the_values_of_the_whole(cube, whole):
    part = cube.isel(y=slice(7, 90), x=slice(9, 85))
    made = upscaled(part)
    inner = made.isel(y=slice(4 * HALO, -4 * HALO), x=slice(4 * HALO, -4 * HALO))
    np.testing.assert_allclose(inner.values, whole.sel(x=inner.x, y=inner.y).values, rtol=0, atol=1e-5)
    assert inner.shape[-1] == 4 * (76 - 2 * HALO)


@pytest.mark.parametrize("scheduler", ["processes", "threads"])
def test_other_processes_and_threads_draw_the_same(cube, whole, scheduler):
    with dask.config.set(scheduler=scheduler, num_workers=2):
        made = cube.chunk(y=48).sr.upscale(NAME, device="cpu", chunks=48).compute()
    np.testing.assert_allclose(made.values, whole.values, rtol=0, atol=1e-5)


def test_members_begin_with_the_one_of_upscale_and_come_in_pairs(cube, whole):
    made = drawn(cube, 4, members=True)
    np.testing.assert_allclose(made["members"][0].values, whole.values, rtol=0, atol=1e-6)
    errors = (made["members"] - made["estimate"]).values
    assert np.abs(errors[0]).mean() > 1e-3
    # Paths are bent, so that a pair is not on both sides exactly, as it is for kriging.
    assert -1 < np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1] < -0.5
    assert abs(np.corrcoef(errors[0].ravel(), errors[2].ravel())[0, 1]) < 0.3
    spread = np.sqrt((errors**2).mean(0))
    np.testing.assert_allclose(made["std"].values, spread, rtol=0, atol=1e-6)
    without = drawn(cube, 4)
    np.testing.assert_array_equal(without["std"].values, made["std"].values)
    assert "members" not in without and without.attrs["xr_sr:members"] == 4


def test_one_step_is_the_estimate_of_ensembles_and_intervals(cube):
    mean = upscaled(cube, steps=1)
    within = computed(cube.sr.interval(model=NAME, calibrated=False, device="cpu"))
    np.testing.assert_allclose(mean.values, drawn(cube, 2)["estimate"].values, rtol=0, atol=1e-6)
    np.testing.assert_allclose(mean.values, within["estimate"].values, rtol=0, atol=1e-6)
    assert mean.attrs["xr_sr:options"] == '{"seed": 0, "steps": 1}'


def test_members_agree_with_the_input_as_kriging_does(cube, whole):
    missed = whole.sr.consistency(cube, operator="psf")["reflectance"]
    kriged = computed(cube.sr.upscale("kriging", device="cpu")).sr.consistency(cube, operator="psf")["reflectance"]
    assert float(missed.max()) < float(kriged.max()) + 4e-4
    assert float(abs(whole - computed(cube.sr.upscale("kriging", device="cpu"))).mean()) > 3e-3


def test_members_of_one_step_are_the_mean(cube):
    small = cube.isel(y=slice(20), x=slice(33))
    found = drawn(small, 4, members=True, steps=1)

    np.testing.assert_allclose(found["estimate"].values, upscaled(small, steps=1).values, rtol=0, atol=1e-6)
    for member in found["members"].values:
        np.testing.assert_allclose(member, found["estimate"].values, rtol=0, atol=1e-6)
    assert float(found["std"].max()) < 1e-6


def test_members_are_recorded_with_their_seed(cube):
    small = cube.isel(y=slice(20), x=slice(33))
    found = drawn(small, 2, seed=5, members=True)

    assert found.attrs["xr_sr:seed"] == 5
    assert json.loads(found["estimate"].attrs.get("xr_sr:options", found.attrs["xr_sr:options"]))["seed"] == 5


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_any_number_of_steps(cube, steps):
    made = upscaled(cube.isel(y=slice(20), x=slice(33)), steps=steps)
    assert made.shape == (4, 80, 132) and np.isfinite(made.values).all()


def test_seeds_dates_bands_and_places_are_drawn_otherwise(cube):
    small = cube.isel(y=slice(24), x=slice(24))
    one = drawn(small, 2, members=True)
    others = [
        drawn(small, 2, members=True, seed=1),
        drawn(small.assign_coords(x=small.x + 240), 2, members=True),
    ]
    error = (one["members"] - one["estimate"]).values[0]
    for other in others:
        theirs = (other["members"] - other["estimate"]).values[0]
        assert abs(np.corrcoef(error.ravel(), theirs.ravel())[0, 1]) < 0.2
    assert abs(np.corrcoef(error[0].ravel(), error[1].ravel())[0, 1]) < 0.5


def test_dates_share_their_ground_unless_they_are_drawn_apart(cube):
    small = cube.isel(y=slice(24), x=slice(24)).values
    series = array(np.stack([small, small]), RGBN)
    same = drawn(series, 2, members=True)["members"].values[0]
    apart = drawn(series, 2, members=True, same_ground=False)["members"].values[0]
    np.testing.assert_allclose(same[0], same[1], rtol=0, atol=1e-6)
    assert np.abs(apart[0] - apart[1]).mean() > 1e-3
    single = drawn(series.isel(time=1), 2, members=True, same_ground=False)["members"].values[0]
    np.testing.assert_allclose(apart[1], single, rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [{"members": True}, {"members": True, "steps": 1}, {"calibrated": True}])
def test_dates_drawn_together_are_those_drawn_one_by_one(cube, options, monkeypatch):
    small = cube.isel(y=slice(24), x=slice(24)).values
    series = array(np.stack([small, small[:, ::-1], 0.5 * small]), RGBN)
    given = {"chunks": {"time": 3}, "same_ground": False, "calibration": None, **options}
    if given.pop("calibrated", False):
        table = {
            ("all", kind): tuple(times * gaussian_width(level) for level in LEVELS) for kind, times in STRATA.items()
        }
        given |= {"calibrated": True, "calibration": Calibration(NAME, table)}

    one_by_one = drawn(series, 3, **given)
    monkeypatch.setattr("xr_sr.kernels.flow.DATES", {"cpu": 2, "cuda": 2})
    monkeypatch.setattr("xr_sr.kernels.flow.BATCH", {"cpu": 4, "cuda": 4})
    together = drawn(series, 3, **given)

    for name in one_by_one.data_vars:
        np.testing.assert_allclose(together[name].values, one_by_one[name].values, rtol=0, atol=2e-6, err_msg=name)


def test_images_of_dates_drawn_together(cube, monkeypatch):
    small = cube.isel(y=slice(24), x=slice(24)).values
    series = array(np.stack([small, small[:, ::-1], 0.5 * small]), RGBN)
    one_by_one = upscaled(series, chunks={"time": 3})
    monkeypatch.setattr("xr_sr.kernels.flow.DATES", {"cpu": 3, "cuda": 3})

    np.testing.assert_allclose(upscaled(series, chunks={"time": 3}).values, one_by_one.values, rtol=0, atol=2e-6)


def test_nan_costs_its_own_footprint(cube):
    holed = cube.copy(deep=True)
    holed[1, 30, 40] = np.nan
    made = upscaled(holed)
    assert int(made.isnull().sum()) == 16 and bool(made[1, 120:124, 160:164].isnull().all())


def test_datasets_bands_and_half_precision(cube):
    variables = dataset(cube.values, RGBN)
    made = upscaled(variables, bands=["B08", "B04"])
    whole = upscaled(variables)
    assert list(made.data_vars) == ["B08", "B04"]
    np.testing.assert_array_equal(made["B08"].values, whole["B08"].values)
    half = upscaled(variables, precision="bfloat16")
    assert 0 < float(abs(half["B04"] - whole["B04"]).max()) < 0.02
    many, rough = (
        drawn(cube, 2, members=True, **precision)["members"] for precision in ({}, {"precision": "bfloat16"})
    )
    assert 0 < float(abs(rough - many).max()) < 0.02
    with pytest.raises(OptionError, match="computed in float32"):
        cube.sr.ensemble(2, "kriging", precision="bfloat16")


def test_calibration_widens_members_by_band_and_stratum(cube):
    """To the deviation of `interval`, where factors are the same for all strata."""
    small = cube.isel(y=slice(40), x=slice(40))
    table = {("all", "all"): tuple(2.0 * gaussian_width(level) for level in LEVELS)}
    table |= {("B08", "all"): tuple(4.0 * gaussian_width(level) for level in LEVELS)}
    made = drawn(small, 16, calibrated=True, calibration=Calibration(f"{NAME}", table))
    plain = drawn(small, 16)
    ratio = (made["std"].mean(("y", "x")) / plain["std"].mean(("y", "x"))).values
    assert ratio[3] / ratio[0] == pytest.approx(2, rel=0.05)


def test_a_store_is_resumed_with_equal_members(cube, whole, tmp_path):
    made = cube.sr.upscale(NAME, device="cpu")
    made.sr.to_zarr(tmp_path / "one.zarr", progress=False)
    stored = xr_sr.open_zarr(tmp_path / "one.zarr")
    np.testing.assert_allclose(stored.values, np.clip(whole.values, None, 3), rtol=0, atol=1e-4)
    other = cube.sr.upscale(NAME, device="cpu", seed=1)
    with pytest.raises(xr_sr.errors.XrSrError, match="seed"):
        other.sr.to_zarr(tmp_path / "one.zarr", progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps=0: expected a whole number, at least 1"),
        ({"steps": 5}, "steps=5: expected a finite number at most 4"),
        ({"steps": 2.5}, "steps=2.5: expected a whole number"),
        ({"seed": -1}, "seed=-1: expected a whole number, at least 0"),
        ({"eta": 1.0}, "has no option 'eta'; its options are"),
    ],
)
def test_wrong_options_are_refused(cube, options, message):
    with pytest.raises(OptionError, match=message):
        cube.sr.upscale(NAME, **options)


def test_only_models_that_draw_have_members(cube):
    with pytest.raises(OptionError, match="model='sen2sr.rgbn-x4' cannot draw members"):
        cube.sr.ensemble(4, "sen2sr")


def test_a_record_that_draws_has_a_seed():
    spec = spec_of("no-seed")
    with pytest.raises(ModelError, match="stochastic=True: expected config= with a seed"):
        xr_sr.ModelSpec(**{**vars(spec), "config": tuple(pair for pair in spec.config if pair[0] != "seed")})


def test_grids_and_dims_are_those_of_upscale(cube, whole):
    assert whole.odc.geobox == cube.odc.geobox.zoom_to((384, 352))
    assert geobox_of(96, 88) == cube.odc.geobox
