"""Indices, water, floods and areas of ensembles and intervals: by members, and by normal distributions without."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom, norm

import xr_sr
from tests.cubes import array, reflectance, times
from xr_sr.analytics.classes import FLOOD, UNCERTAIN_FLOOD, UNCERTAIN_WATER
from xr_sr.analytics.uncertain import majority_of
from xr_sr.errors import CalibrationWarning, CubeError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore::xr_sr.errors.CalibrationWarning")
"""Of all members here: they are fewer, of other maps, and nothing is said of how well their intervals hold."""

U = 255
BANDS = ("B03", "B08")
AT = {"index": "NDWI", "threshold": 0.0}


def drawn(
    dates: int = 0, members: int = 6, *, side: tuple[int, int] = (24, 21), spread: float = 0.03, seed: int = 0
) -> xr.Dataset:
    """Something like an ensemble: reflectance with members that differ from it by normal errors."""
    rng = np.random.default_rng(seed)
    shape = (*((dates,) if dates else ()), 2, *side)
    estimate = array(reflectance(*shape, seed=seed), BANDS)
    estimate.attrs = {"units": "1", "xr_sr:scale_reflectance": 1.0}
    if members:
        each = [estimate + rng.normal(0, spread, shape).astype("f4") for _ in range(members)]
        kept = xr.concat(each, xr.Variable("member", np.arange(members))).transpose("member", ...)
        std = np.sqrt(((kept - estimate) ** 2).mean("member"))
    else:
        kept, std = None, xr.full_like(estimate, spread)
    found = {"estimate": estimate, "std": std, "lower": estimate - 2 * std, "upper": estimate + 2 * std}
    made = xr.Dataset(found if kept is None else {**found, "members": kept}, attrs={"xr_sr:level": 0.9})
    return made.map(lambda each: each.assign_attrs(estimate.attrs), keep_attrs=True)


def ndwi(bands: xr.DataArray) -> np.ndarray:
    green, near = (bands.sel(band=band).values.astype("f8").clip(1e-4) for band in BANDS)
    return (green - near) / (green + near)


class TestIndex:
    def test_members_have_the_index_of_each(self):
        cube = drawn(2)

        found = cube.sr.index("NDWI")

        assert list(found.data_vars) == ["estimate", "std", "lower", "upper", "members"]
        assert found["members"].dims == ("member", "time", "y", "x")
        np.testing.assert_array_equal(found["estimate"].values, xr_sr.index(cube["estimate"], "NDWI").values)
        np.testing.assert_allclose(found["members"].values, ndwi(cube["members"]).clip(-1, 1), atol=1e-6)
        spread = np.sqrt(((found["members"] - found["estimate"]) ** 2).mean("member"))
        np.testing.assert_allclose(found["std"].values, spread.values, atol=1e-6)
        assert found.attrs["xr_sr:level"] == 0.9

    @pytest.mark.parametrize("name", ["NDWI", "SAVI", "AWEInsh"])
    def test_without_members_the_deviation_is_that_of_many_draws(self, name):
        bands = ("B03", "B04", "B08", "B11", "B12")
        estimate = array(0.2 + reflectance(5, 12, 12), bands).astype("f8")
        std = xr.full_like(estimate, 0.004)
        rng = np.random.default_rng(0)
        draws = xr.concat([estimate + rng.normal(0, 0.004, estimate.shape) for _ in range(400)], "draw")
        truth = xr_sr.index(draws, name).std("draw")

        found = xr_sr.index(xr.Dataset({"estimate": estimate, "std": std}), name)

        assert float(abs(found["std"] / truth - 1).mean()) < 0.04
        assert float((found["std"] / truth).mean()) == pytest.approx(1, abs=0.01)

    def test_bounds_are_of_the_level_and_within_those_of_the_index(self):
        cube = drawn(members=0, spread=0.2).assign_attrs({"xr_sr:level": 0.8})

        found = cube.sr.index("NDWI")

        width = norm.ppf(0.9) * found["std"]
        np.testing.assert_allclose(found["upper"], (found["estimate"] + width).clip(-1, 1), atol=1e-6)
        np.testing.assert_allclose(found["lower"], (found["estimate"] - width).clip(-1, 1), atol=1e-6)
        assert float(found["upper"].max()) == 1

    def test_the_deviation_of_a_normalized_difference_is_at_most_1_over_dark_water(self):
        estimate = array(np.array([1e-6, 1e-5, 1e-4, 0.01, 0.2], "f4").reshape(1, 5) * np.ones((2, 1, 5), "f4"), BANDS)
        std = xr.full_like(estimate, 0.004)

        found = xr_sr.index(xr.Dataset({"estimate": estimate, "std": std}), "NDWI")["std"].values.ravel()

        assert found[:3].tolist() == [1, 1, 1]
        np.testing.assert_allclose(found[3:], 0.004 / np.sqrt(2) / np.array([0.01, 0.2]), rtol=1e-3)

    @pytest.mark.parametrize("members", [0, 4])
    def test_nan_stays_nan_and_nothing_else_becomes_so(self, members):
        cube = drawn(members=members)
        cube = cube.where((cube.x != cube.x[3]) | (cube.y != cube.y[5]))

        found = cube.sr.index("NDWI")

        for name in ("estimate", "std", "lower", "upper"):
            assert np.argwhere(np.isnan(found[name].values)).tolist() == [[5, 3]]

    def test_members_below_zero_have_the_index_of_dark_water(self):
        cube = drawn()
        cube["members"][{"band": 1, "y": 3}] = -0.3

        found = cube.sr.index("NDWI")

        assert (found["members"].isel(y=3) > 0.95).all() and found["std"].notnull().all()

    def test_one_index_at_a_time(self):
        with pytest.raises(OptionError, match="name="):
            drawn().sr.index(["NDWI", "NDVI"])


class TestWater:
    def test_the_probability_is_the_share_of_members(self):
        cube = drawn(2, 8)

        found = cube.sr.water(**AT)

        wet = ndwi(cube["members"]) > 0
        np.testing.assert_allclose(found["probability"].values, wet.mean(0), atol=1e-6)
        np.testing.assert_array_equal(found["members"].values, wet.astype("u1"))
        assert found["members"].dims == ("member", "time", "y", "x") and float(found["threshold"]) == 0

    def test_between_the_limits_a_pixel_is_uncertain(self):
        cube = drawn(2, 8)

        found = cube.sr.water(**AT, limits=(0.2, 0.75))

        share = found["probability"].values
        np.testing.assert_array_equal(found["water"].values, np.where(share <= 0.2, 0, np.where(share >= 0.75, 1, 2)))
        assert found["water"].attrs["flag_meanings"].split() == list(UNCERTAIN_WATER)
        assert len(np.unique(found["water"])) == 3

    def test_without_members_it_is_that_of_a_normal_distribution(self):
        cube = drawn(2, 0)

        found = cube.sr.water("NDWI", 0.1)

        index = cube.sr.index("NDWI")
        expected = norm.cdf((index["estimate"].astype("f8") - 0.1) / index["std"])
        np.testing.assert_allclose(found["probability"].values, expected, atol=1e-5)
        assert "members" not in found

    def test_an_index_with_its_error_gives_the_same(self):
        for cube in (drawn(2), drawn(2, 0)):
            xr.testing.assert_identical(cube.sr.index("NDWI").sr.water(None, 0.0), cube.sr.water(**AT))

    def test_otsu_is_that_of_the_estimate(self):
        cube = drawn(2)

        found = cube.sr.water("NDWI", per="date")

        levels = xr_sr.analytics.otsu(xr_sr.index(cube["estimate"], "NDWI"), per="date")
        np.testing.assert_array_equal(found["threshold"].values, levels.values)
        np.testing.assert_array_equal(found["members"].values, ndwi(cube["members"]) > levels.values[:, None, None])

    def test_without_any_error_it_is_the_map_itself(self):
        cube = drawn(members=0, spread=0.0)

        found = cube.sr.water(**AT)

        np.testing.assert_array_equal(found["water"].values, xr_sr.water(cube["estimate"], **AT).values)

    @pytest.mark.parametrize("members", [0, 4])
    def test_what_is_nan_is_unknown(self, members):
        cube = drawn(members=members)
        cube = cube.where(cube.x != cube.x[3])

        found = cube.sr.water(**AT)

        assert (found["water"].isel(x=3) == U).all() and (found["water"].drop_isel(x=3) != U).all()
        assert found["probability"].isel(x=3).isnull().all() and found["probability"].drop_isel(x=3).notnull().all()

    @pytest.mark.parametrize("limits", [(0.9, 0.1), (0.5, 0.5), (-0.1, 0.5), (0.2,), "no", 0.5, (0.1, "x")])
    def test_limits_are_two_probabilities(self, limits):
        with pytest.raises(OptionError, match="limits="):
            drawn().sr.water(**AT, limits=limits)

    def test_a_map_with_uncertain_pixels_is_read_as_a_mask(self):
        found = drawn(2).sr.water(**AT)["water"]

        frequency = xr_sr.analytics.water_history(found)

        seen = (found < 2).sum("time")
        np.testing.assert_array_equal(frequency["observations"], seen)


class TestFlood:
    def test_members_are_compared_one_by_one(self):
        cube = drawn(4)
        before, after = cube.time.values[:3], cube.time.values[3:]

        found = cube.sr.flood(before, after, **AT)

        for number in range(6):
            member = cube["members"].isel(member=number).drop_vars("member").clip(1e-4, keep_attrs=True)
            alone = member.sr.flood(before, after, **AT)
            np.testing.assert_array_equal(found["members"].isel(member=number), alone["flood"])
        share = (found["members"] == FLOOD["flooded"]).mean("member")
        np.testing.assert_allclose(found["probability"].values, share.values, atol=1e-6)

    @pytest.mark.parametrize("members", [0, 6])
    def test_a_pixel_is_uncertain_where_either_state_is(self, members):
        cube = drawn(2, members)

        found = cube.sr.flood(*cube.time.values, **AT)

        (first, second) = (cube.isel(time=[place]).sr.water(**AT)["water"].values for place in (0, 1))
        expected = np.where((first == 2) | (second == 2), 4, first * (second == 0) * 3 + second * (first == 0) * 2)
        expected[(first == 1) & (second == 1)] = 1
        np.testing.assert_array_equal(found["flood"].values, expected)
        assert found["flood"].attrs["flag_meanings"].split() == list(UNCERTAIN_FLOOD)
        assert set(np.unique(found["flood"])) >= {0, 1, 2, 3, 4}

    def test_without_members_dates_are_independent(self):
        cube = drawn(2, 0)

        found = cube.sr.flood(*cube.time.values, **AT)

        dry, wet = (cube.isel(time=[place]).sr.water(**AT)["probability"].values for place in (0, 1))
        np.testing.assert_allclose(found["probability"].values, wet * (1 - dry), atol=1e-6)

    def test_two_cubes_give_the_same_as_one(self):
        for cube in (drawn(3), drawn(3, 0)):
            first, second = cube.isel(time=[0, 1]), cube.isel(time=[2])

            found = xr_sr.flood_between(first, second, **AT)

            same = cube.sr.flood(cube.time.values[:2], cube.time.values[2:], **AT)
            xr.testing.assert_allclose(found.drop_vars("spatial_ref"), same.drop_vars("spatial_ref"))

    def test_two_of_different_kinds_are_refused(self):
        with pytest.raises(CubeError, match="members"):
            xr_sr.flood_between(drawn(1), drawn(1, 4), **AT)
        with pytest.raises(CubeError, match="error"):
            xr_sr.flood_between(drawn(1), drawn(1)["estimate"], **AT)

    def test_a_pixel_seen_neither_before_nor_after_is_unknown(self):
        for cube in (drawn(2), drawn(2, 0)):
            cube = cube.where((cube.time != cube.time[0]) | (cube.x != cube.x[2]))

            found = cube.sr.flood(*cube.time.values, **AT)

            assert (found["flood"].isel(x=2) == U).all() and (found["flood"].drop_isel(x=2) != U).all()
            assert found["probability"].isel(x=2).isnull().all()


def test_a_majority_of_dates_has_the_binomial_probability():
    chances = xr.DataArray(np.full((2, 5), 0.3), dims=("x", "time"))
    chances[1, 3:] = np.nan

    found = majority_of(chances, "time")

    np.testing.assert_allclose(found.values, [binom.sf(2, 5, 0.3), binom.sf(1, 3, 0.3)], atol=1e-6)
    assert np.isnan(majority_of(chances * np.nan, "time")).all()


class TestAreas:
    def test_bounds_are_the_areas_of_what_shares_of_the_members_have(self):
        cube = drawn(2, 30)
        cube = cube.where((cube.x != cube.x[2]) | (cube.time == cube.time[0]))
        found = cube.sr.flood(*cube.time.values, **AT)

        areas = found.sr.areas(area="projected", shares=(0.3, 0.6))

        each = found["members"].sr.areas(area="projected")
        assert each.dims == ("time", "member", "state")
        np.testing.assert_allclose(areas["area"], each.mean("member"))
        for state, code in FLOOD.items():
            share = (found["members"] == code).mean("member")
            lower, upper = (0.01 * float((share > limit).sum()) for limit in (0.6, 0.3))
            mean = float(areas["area"].sel(state=state)[0])
            assert float(areas["area_lower"].sel(state=state)[0]) == pytest.approx(min(lower, mean))
            assert float(areas["area_upper"].sel(state=state)[0]) == pytest.approx(max(upper, mean))

    def test_a_flood_has_the_interval_of_its_level_and_a_higher_one_is_wider(self):
        cube = drawn(2, 30)
        found = cube.sr.flood(*cube.time.values, **AT)

        areas, wider = found.sr.areas(), found.sr.areas(level=0.99)

        assert areas["area"].dims == ("time", "state")
        for name in areas:
            np.testing.assert_allclose(areas[name], found[name])
        width, more = ((each["area_upper"] - each["area_lower"]).sel(state="flooded") for each in (areas, wider))
        assert 0 < float(width[0]) < float(more[0])

    def test_without_members_there_is_no_interval_and_the_map_has_areas(self):
        found = drawn(members=0).sr.water(**AT)

        with pytest.raises(CubeError, match="members"):
            found.sr.areas()
        areas = found["water"].sr.areas()
        assert areas["state"].values.tolist() == list(UNCERTAIN_WATER) and float(areas.sel(state="uncertain")) > 0

    def test_a_flood_without_members_has_the_areas_of_its_map(self):
        cube = drawn(2, 0)
        found = cube.sr.flood(*cube.time.values, **AT)

        np.testing.assert_allclose(found["area"].values, found["flood"].sr.areas().values)
        assert "area_lower" not in found

    def test_an_ensemble_itself_is_no_mask(self):
        with pytest.raises(CubeError, match="'std'.* Map water"):
            drawn().sr.areas()

    def test_arguments_that_have_no_use_are_refused(self):
        with pytest.raises(OptionError, match="classes="):
            drawn().sr.water(**AT).sr.areas(classes={"water": 1})
        for option in ({"level": 0.9}, {"shares": (0.3, 0.6)}):
            with pytest.raises(OptionError, match=f"{next(iter(option))}="):
                xr_sr.water(drawn()["estimate"], **AT).sr.areas(**option)
        with pytest.raises(OptionError, match="shares="):
            drawn().sr.water(**AT).sr.areas(shares=(0.6, 0.3))


AS_FITTED = {"index": "NDWI", "threshold": -0.1}
SIDE = (90, 92)


class TestCalibration:
    """Shares are those of floods by NDWI > -0.1 and 16 members; whatever else they are used for is said."""

    def of_flood(self, cube: xr.Dataset, **options: object) -> xr.Dataset:
        return cube.sr.flood(*cube.time.values, **{**AS_FITTED, **options})

    @pytest.mark.filterwarnings("error::xr_sr.errors.CalibrationWarning")
    def test_nothing_is_said_of_what_they_were_fitted_for(self):
        cube = drawn(2, 16, side=SIDE)

        found = self.of_flood(cube)
        areas = (found.sr.areas(), found.sr.areas(level=0.8), found.sr.areas(shares=(0.2, 0.7)))

        assert "flooded" in areas[0]["area_upper"].attrs["comment"] and "comment" not in areas[2]["area_upper"].attrs
        for name in ("area_lower", "area_upper"):
            known = areas[0][name].notnull().all("time")
            assert known["state"].values[known].tolist() == ["flooded"]
            assert areas[2][name].notnull().all()
        drawn(2, 6).sr.water("NDWI", 0.3).sr.areas(shares=(0.2, 0.7))
        xr_sr.flood(cube["estimate"], *cube.time.values, **AS_FITTED)

    @pytest.mark.parametrize(
        ("what", "members", "options"),
        [
            ("5 members", 5, {}),
            ("17 members", 17, {}),
            ("threshold 0.2", 16, {"threshold": 0.2}),
            ("threshold otsu, one per cube", 16, {"threshold": "otsu"}),
            ("index NDVI", 16, {"index": "NDVI"}),
        ],
    )
    def test_what_differs_is_named_with_what_to_do(self, what, members, options):
        cube = drawn(2, members, side=SIDE)
        if "NDVI" in what:
            cube = cube.assign_coords(band=["B04", "B08"])

        with pytest.warns(CalibrationWarning, match=rf"here: {what}\. .*shares=") as caught:
            self.of_flood(cube, **options)

        ours = [each for each in caught if each.category is CalibrationWarning]
        assert len(ours) == 1 and ours[0].filename == __file__

    def test_all_water_and_other_models_are_no_flood(self):
        water = drawn(2, 16, side=SIDE).sr.water(**AS_FITTED)
        with pytest.warns(CalibrationWarning, match="here: maps of water\\. "):
            water.sr.areas()
        other = drawn(2, 16, side=SIDE)
        for each in other.data_vars.values():
            each.attrs["xr_sr:model"] = "mine"
        with pytest.warns(CalibrationWarning, match="here: model mine"):
            self.of_flood(other)

    @pytest.mark.parametrize(
        ("what", "attrs"),
        [
            ("same_ground=False", {"xr_sr:same_ground": 0}),
            ("members without the package's calibration", {"xr_sr:calibration": "none"}),
            ("mtf=", {"xr_sr:options": '{"mtf": {"B03": 0.3, "B08": 0.26}, "scale": 4}'}),
            ("noise=, scale=", {"xr_sr:options": '{"mtf": {"B03": 0.28}, "noise": [0.01, 0.0], "scale": 2}'}),
        ],
    )
    def test_other_ways_of_drawing_are_named(self, what, attrs):
        cube = drawn(2, 16, side=SIDE)
        for each in cube.data_vars.values():
            each.attrs |= {"xr_sr:model": "kriging", **attrs}

        with pytest.warns(CalibrationWarning, match=rf"here: {what}\. "):
            self.of_flood(cube)

    def test_what_ensemble_notes_of_its_defaults_is_what_they_were_fitted_for(self):
        dates = ["2023-06-15", "2023-06-20"]
        lr = xr_sr.simulate_scene(24, dates, 1002, bands=BANDS)["lr"]
        with pytest.warns(CalibrationWarning, match="scene of 0.058"):
            self.of_flood(lr.sr.ensemble(16, members=True))
        with pytest.warns(CalibrationWarning, match="same_ground=False, a scene"):
            self.of_flood(lr.sr.ensemble(16, members=True, same_ground=False))

    def test_parts_of_a_scene_are_not_covered(self):
        found = self.of_flood(drawn(2, 16, side=SIDE))

        with pytest.warns(CalibrationWarning, match="scene of 0.18"):
            found.isel(x=slice(20)).sr.areas()

    def test_a_threshold_passed_as_an_array_counts(self):
        cube = drawn(2, 16)

        with pytest.warns(CalibrationWarning, match="threshold 0.1"):
            self.of_flood(cube, threshold=xr.DataArray(0.1))

    def test_one_member_has_no_interval_and_few_have_no_step_between_close_shares(self):
        found = drawn(0, 4).sr.water(**AT)

        with pytest.raises(CubeError, match="one member"):
            found.isel(member=[0]).sr.areas()
        with pytest.warns(CalibrationWarning, match="4 members .* 0.5 and 0.6.* at least 1[01]"):
            areas = found.sr.areas(shares=(0.5, 0.6))
        with pytest.warns(CalibrationWarning, match="3 members .* 0.4.* at least"):
            found.isel(member=slice(3)).sr.areas(shares=(0.4, 0.6))
        assert areas.sizes == {"state": 3}


@pytest.mark.parametrize("members", [0, 4])
def test_chunks_change_nothing_and_nothing_is_computed(members):
    cube = drawn(4, members)
    tiled = cube.chunk({"time": 1, "y": 7, "x": 9} | ({"member": 1} if members else {}))
    when = cube.time.values[:3], cube.time.values[3:]

    def fail(block):
        raise AssertionError("a pixel was computed")

    untouchable = cube.map(
        lambda each: each.copy(
            data=da.map_blocks(
                fail, da.zeros(each.shape, "f4", chunks=7), dtype="f4", meta=np.empty((0,) * each.ndim, "f4")
            )
        ),
        keep_attrs=True,
    )
    with dask.config.set(scheduler="synchronous"):
        untouchable.sr.water("NDWI"), untouchable.sr.flood(*when, index="NDWI")
        if members:
            untouchable.sr.water("NDWI").sr.areas()

        for threshold in (0.0, "otsu"):
            lazy = tiled.sr.flood(*when, index="NDWI", threshold=threshold)
            xr.testing.assert_allclose(
                lazy.compute(), cube.sr.flood(*when, index="NDWI", threshold=threshold).compute(), rtol=1e-6
            )
            np.testing.assert_array_equal(
                tiled.sr.water("NDWI", threshold)["water"].values, cube.sr.water("NDWI", threshold)["water"].values
            )


def test_an_ensemble_of_a_tree_goes_all_the_way(tmp_path):
    scene = xr_sr.simulate_scene(
        32, ["2023-06-15", "2023-06-20"], 1002, flood_m=[0, 2], bands=["B03", "B11"], origin=(601_260, 5_396_700)
    )
    with dask.config.set(scheduler="synchronous"):
        cube = scene["lr"].sr.ensemble(4, members=True, bands=["B03", "B11"], device="cpu")
        found = cube.sr.flood("2023-06-15", "2023-06-20", threshold=0.0).compute()

        assert found["flood"].shape == (1, 128, 128)
        lower, area, upper = (found[name].sel(state="flooded").item() for name in ("area_lower", "area", "area_upper"))
        assert 0 < lower <= area <= upper and lower < upper
        found["flood"].isel(time=0).sr.to_cog(tmp_path / "flood.tif", progress=False)
    import rasterio

    with rasterio.open(tmp_path / "flood.tif") as file:
        assert file.tags(1)["flag_meanings"].split() == list(UNCERTAIN_FLOOD)
        assert file.colormap(1)[4][:3] == (0xC8, 0xA2, 0xD8)


def test_a_map_that_was_stored_has_the_same_interval(tmp_path):
    found = drawn(2).chunk().sr.water(**AT)

    found.sr.to_zarr(tmp_path / "water.zarr", progress=False)

    stored = xr_sr.open_zarr(tmp_path / "water.zarr")
    for name, areas in stored.sr.areas(level=0.8).items():
        np.testing.assert_allclose(areas, found.sr.areas(level=0.8)[name])


def test_an_ensemble_of_one_date_is_mapped():
    cube = drawn()

    found = cube.sr.water(**AT)

    assert found["water"].dims == ("y", "x") and found["members"].dims == ("member", "y", "x")
    assert times(1).dtype.kind == "M" and float(found.sr.areas()["area"].sum()) == pytest.approx(5.04, rel=1e-2)
