"""Levels, water, floods, agreement: against closed forms and other libraries, for every chunking."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

import xr_sr
from tests.cubes import array, dataset, geobox_of, reflectance, times
from xr_sr.analytics import class_areas, otsu, water_history
from xr_sr.analytics.classes import FLOOD, WATER, as_class_map, as_water
from xr_sr.errors import (
    CubeError,
    DuplicateTimeError,
    GridError,
    OptionError,
    RadiometryWarning,
    StoreMismatchError,
)

U = 255


def on_grid(values: np.ndarray, **attrs: object) -> xr.DataArray:
    """A map (time?, y, x) on a UTM grid."""
    made = array(values[..., None, :, :], ("B04",)).isel(band=0, drop=True)
    return made.assign_attrs(attrs)


def two_humps(*shape: int, seed: int = 0, share: float = 0.3) -> np.ndarray:
    """An index with land about -0.3 and water about 0.4, overlapping a little."""
    rng = np.random.default_rng(seed)
    water = rng.random(shape) < share
    return np.clip(np.where(water, rng.normal(0.4, 0.12, shape), rng.normal(-0.3, 0.15, shape)), -1, 1).astype("f4")


def mask_of(values: list) -> xr.DataArray:
    """A map of water from rows of 0, 1 and 255, one date each."""
    return xr_sr.water(on_grid(np.where(np.array(values) == U, np.nan, np.array(values) * 1.0)), None, 0.5)


def plain(result: xr.DataArray) -> list:
    return result.values.tolist()


class TestOtsu:
    def test_the_level_is_that_of_scikit_image(self):
        values = two_humps(120, 90)

        level = float(otsu(on_grid(values, **{"xr_sr:bounds": [-1.0, 1.0]})))

        # Both count in bins: theirs span the values, and give a bin's center.
        assert level == pytest.approx(threshold_otsu(values, nbins=4096), abs=0.002)

    @pytest.mark.parametrize("bounds", [{}, {"xr_sr:bounds": [-1.0, 1.0]}])
    @given(
        chunks=st.tuples(st.integers(1, 3), st.integers(5, 24), st.integers(4, 21)),
        holes=st.floats(0, 0.9),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=5, deadline=None)
    def test_chunks_change_no_bit(self, bounds, chunks, holes, seed):
        values = two_humps(3, 24, 21, seed=seed)
        values[np.random.default_rng(seed).random(values.shape) < holes] = np.nan
        whole = on_grid(values, **bounds)
        cut = whole.chunk(time=chunks[0], y=chunks[1], x=chunks[2])

        for per in ("cube", "date"):
            np.testing.assert_array_equal(otsu(cut, per=per).values, otsu(whole, per=per).values)

    def test_one_level_per_date_is_that_of_each_date_alone(self):
        values = on_grid(np.stack([two_humps(30, 30), two_humps(30, 30, seed=1) / 2]), **{"xr_sr:bounds": [-1.0, 1.0]})

        levels = otsu(values, per="date")

        assert levels.dims == ("time",)
        assert levels.values.tolist() == [float(otsu(values.isel(time=place))) for place in (0, 1)]
        assert levels.values[0] != levels.values[1]

    def test_between_two_values_it_is_the_middle(self):
        values = on_grid(np.where(np.arange(40).reshape(4, 10) % 3 == 0, 0.6, -0.2), **{"xr_sr:bounds": [-1.0, 1.0]})

        assert float(otsu(values)) == pytest.approx(0.2, abs=1e-3)

    def test_without_any_number_it_is_nan(self):
        assert np.isnan(float(otsu(on_grid(np.full((5, 5), np.nan)))))

    @pytest.mark.parametrize("value", [-0.3, 0.0001, 0.4, 1.0])
    @pytest.mark.parametrize("bounds", [{}, {"xr_sr:bounds": [-1.0, 1.0]}])
    def test_of_values_that_are_all_alike_none_is_water(self, value, bounds):
        found = xr_sr.water(on_grid(np.full((4, 4), value, "float32"), **bounds), None)

        assert (found == 0).all()

    def test_several_maps_share_a_level(self):
        first, second = on_grid(two_humps(20, 20)), on_grid(two_humps(30, 20, seed=3))
        joined = on_grid(np.concatenate([first.values, second.values]))

        assert float(otsu([first, second])) == float(otsu(joined))


class TestWater:
    def test_classes_are_dry_water_and_unknown(self):
        found = xr_sr.water(on_grid(np.array([[-0.2, 0.3, np.nan, 0.1]])), None, 0.1)

        assert plain(found) == [[0, 1, U, 0]]
        assert found.dtype == "uint8" and found.attrs["flag_meanings"] == "dry water unknown"
        assert float(found.threshold) == 0.1

    @given(y=st.integers(5, 30), x=st.integers(4, 24), per=st.sampled_from(["cube", "date"]))
    @settings(max_examples=5, deadline=None)
    def test_result_does_not_depend_on_chunks(self, y, x, per):
        cube = array(reflectance(2, 4, 30, 24))

        tiled = xr_sr.water(cube.chunk(time=1, band=2, y=y, x=x), "NDWI", per=per)

        xr.testing.assert_equal(tiled.compute(), xr_sr.water(cube, "NDWI", per=per).compute())

    def test_otsu_is_not_per_chunk(self):
        """Land alone in one chunk, water alone in the other: a level for each would split both."""
        values = (
            np.concatenate([np.full((4, 8), -0.3), np.full((4, 8), 0.4)], axis=1) + np.linspace(0, 0.05, 8).tolist() * 2
        )

        found = xr_sr.water(on_grid(values).chunk(x=8), None)

        np.testing.assert_array_equal(found.values, np.repeat([[0] * 8 + [1] * 8], 4, axis=0))

    def test_levels_found_before_are_taken(self):
        cube = array(reflectance(2, 4, 12, 12))
        level = otsu(xr_sr.index(cube, "NDWI"), per="date").compute()

        xr.testing.assert_equal(
            xr_sr.water(cube, "NDWI", level).compute(), xr_sr.water(cube, "NDWI", per="date").compute()
        )

    def test_nothing_is_computed(self):
        def burst(block):
            raise AssertionError("a pixel was computed")

        data = da.map_blocks(burst, da.zeros((2, 4, 8, 8), chunks=4), dtype="f4", meta=np.empty((0,) * 4, "f4"))
        cube = array(reflectance(2, 4, 8, 8)).copy(data=data)

        with dask.config.set(scheduler="synchronous"):
            mask = xr_sr.water(cube, "NDWI")
            found = xr_sr.flood(cube, times(2)[0], times(2)[1], index="NDWI")
            xr_sr.agreement(mask, mask)
            water_history(mask)

        assert found["area"].chunks is not None and found["flood"].chunks is not None

    @pytest.mark.parametrize("threshold", ["otzu", True, float("nan"), None, [0.1], np.array([0.1])])
    def test_other_thresholds_are_refused(self, threshold):
        with pytest.raises(OptionError, match="neither"):
            xr_sr.water(array(reflectance(4, 4, 4)), "NDWI", threshold)

    def test_numbers_of_numpy_are_thresholds(self):
        cube = array(reflectance(4, 4, 4))

        assert float(xr_sr.water(cube, "NDWI", np.float32(0.25)).threshold) == 0.25

    def test_a_masked_map_is_unknown_where_it_was_masked(self):
        mask = mask_of([[[0, 1, 1]], [[1, 1, 0]]])
        clear = xr.DataArray([[[True, False, True]], [[True, True, False]]], dims=mask.dims)

        for found in (xr_sr.water(mask.where(clear)), xr_sr.water(mask.chunk(x=2).where(clear))):
            assert found.dtype == "uint8" and plain(found) == [[[0, U, 1]], [[1, 1, U]]]
            assert found.attrs == mask.attrs

    def test_stored_and_reopened(self, tmp_path):
        mask = mask_of([[[0, 1], [U, 0]], [[1, 1], [0, U]]])

        mask.sr.to_zarr(tmp_path / "mask.zarr", progress=False)
        again = xr_sr.open_zarr(tmp_path / "mask.zarr")

        assert again.dtype == "uint8" and plain(again) == plain(mask)
        assert plain(xr_sr.water(again)) == plain(mask)


class TestFlood:
    def test_each_pair_of_states_has_its_class(self):
        before, after = [0, 0, 1, 1, U, 0, U], [0, 1, 1, 0, 1, U, U]
        mask = mask_of([[before], [after]])

        found = xr_sr.flood(mask, times(2)[0], times(2)[1])

        assert plain(found["flood"]) == [[[0, 2, 1, 3, U, U, U]]]
        assert found["flood"].time.values.tolist() == times(2)[1:].tolist()
        expected = [[1, 1, 1, 1, 3]]
        np.testing.assert_allclose(found["area"].values, np.array(expected) * 0.01, rtol=2e-3)
        assert found["area"].state.values.tolist() == list(FLOOD)

    def test_dates_before_are_one_state_of_what_was_usual(self):
        mask = mask_of([[[1, 1, 0, U]], [[1, 0, 0, U]], [[0, U, 0, U]], [[1, 1, 1, 1]]])

        found = xr_sr.flood(mask, slice("2023-06-01", "2023-06-12"), "2023-06-16")

        assert plain(found["flood"]) == [[[1, 1, 2, U]]]

    def test_from_bands_to_areas_in_a_tree_with_two_grids(self):
        scene = xr_sr.simulate_scene(64, dates=3, flood_m=[0, 3, 5], chunks=32)["lr"]

        found = scene.sr.flood("2023-06-15", slice("2023-06-20", None), grid="fine").compute()

        assert found["flood"].dims == ("time", "y", "x")
        assert found["flood"].odc.geobox == scene["r10m"].to_dataset().odc.geobox
        total = found["area"].sum("state")
        np.testing.assert_allclose(total, total[0], rtol=1e-12)
        flooded = found["area"].sel(state="flooded").values
        assert flooded[1] > flooded[0] > 0

    def test_between_two_cubes_is_as_between_two_dates(self):
        cube = array(reflectance(2, 4, 14, 10))

        of_dates = xr_sr.flood(cube, times(2)[0], times(2)[1], index="NDWI")
        of_cubes = xr_sr.flood_between(cube.isel(time=0), cube.isel(time=1), index="NDWI")

        np.testing.assert_array_equal(of_cubes["flood"].values, of_dates["flood"].values[0])
        np.testing.assert_array_equal(of_cubes["area"].values, of_dates["area"].values[0])
        assert float(of_cubes.threshold) == float(of_dates.threshold)

    def test_one_date_before_and_a_series_after(self):
        cube = array(reflectance(3, 4, 14, 10))

        found = xr_sr.flood_between(cube.isel(time=0), cube.isel(time=[1, 2]), index="NDWI", threshold=0.1)

        of_dates = xr_sr.flood(cube, times(3)[0], slice(times(3)[1], None), index="NDWI", threshold=0.1)
        xr.testing.assert_equal(found["flood"].compute(), of_dates["flood"].compute())

    @pytest.mark.parametrize("change", [{"threshold": 0.99}, {"threshold": "otsu"}, {"area": "projected"}])
    def test_a_store_does_not_go_on_with_another_level_or_area(self, change, tmp_path):
        cube = array(reflectance(3, 4, 14, 10))
        asked = {"index": "NDWI", "threshold": 0.1, "area": "ellipsoidal"}

        def written(**options):
            xr_sr.flood(cube, times(3)[0], slice(times(3)[1], None), **options).sr.to_zarr(
                tmp_path / "flood.zarr", progress=False
            )

        written(**asked)
        written(**asked)  # the same goes on
        with pytest.raises(StoreMismatchError, match=f"xr_sr:{next(iter(change))}"):
            written(**asked | change)

    def test_a_store_of_maps_of_water_knows_their_level(self, tmp_path):
        cube = array(reflectance(3, 4, 14, 10))
        xr_sr.water(cube, "NDWI", 0.1).sr.to_zarr(tmp_path / "water.zarr", progress=False)
        xr_sr.flood(xr_sr.water(cube, "NDWI", 0.1), *times(3)[:2]).sr.to_zarr(tmp_path / "flood.zarr", progress=False)

        other = xr_sr.water(cube, "NDWI", 0.2)
        for made, place in ((other, "water.zarr"), (xr_sr.flood(other, *times(3)[:2]), "flood.zarr")):
            with pytest.raises(StoreMismatchError, match="xr_sr:threshold"):
                made.sr.to_zarr(tmp_path / place, progress=False)

    def test_masked_maps_of_water_are_unknown_where_they_were_masked(self):
        mask = mask_of([[[0, 0, 1, 1]], [[1, 1, 0, 0]]])
        clear = xr.DataArray([[[True, False, True, True]], [[True, True, True, False]]], dims=mask.dims)
        masked = mask.where(clear)

        of_dates = xr_sr.flood(masked, times(2)[0], times(2)[1])
        of_cubes = xr_sr.flood_between(masked.isel(time=[0]), masked.isel(time=1))
        one_date = xr_sr.flood_between(masked.isel(time=0), masked.isel(time=1))

        assert plain(of_dates["flood"]) == [[[2, U, 3, U]]]
        assert plain(of_cubes["flood"]) == plain(one_date["flood"]) == [[2, U, 3, U]]
        np.testing.assert_allclose(of_dates["area"].sel(state="unknown"), 0.02, rtol=2e-3)

    def test_the_order_of_dates_does_not_matter(self):
        cube = array(reflectance(3, 4, 14, 10))
        selections = ("2023-06-01", slice("2023-06-05", None))

        found = xr_sr.flood(cube.isel(time=[2, 0, 1]), *selections, index="NDWI")

        xr.testing.assert_equal(found.compute(), xr_sr.flood(cube, *selections, index="NDWI").compute())

    def test_dates_that_are_there_twice_are_named(self):
        mask = mask_of([[[1, 0]], [[0, 0]]])

        with pytest.raises(DuplicateTimeError, match=r"2023-06-01.*solar_day"):
            xr_sr.flood(mask.isel(time=[0, 0, 1]), "2023-06-01", ["2023-06-06"])

    def test_one_level_per_date(self):
        cube = array(reflectance(3, 4, 14, 10))

        found = xr_sr.flood(cube, times(3)[0], slice(times(3)[1], None), index="NDWI", per="date")

        assert found.threshold.dims == ("time",)
        np.testing.assert_array_equal(found.threshold, otsu(xr_sr.index(cube, "NDWI"), per="date")[1:])

    def test_selections_that_select_nothing_or_too_much_are_refused(self):
        mask = mask_of([[[1, 0]], [[0, 0]]])

        with pytest.raises(CubeError, match="before=|after="):
            xr_sr.flood(mask, "1999", "2023-06-06")
        with pytest.raises(CubeError, match="share 2023-06-01"):
            xr_sr.flood(mask, "2023", "2023-06-01")
        # 5 January to pandas, 1 May to others
        early = mask.assign_coords(time=np.array(["2023-01-05", "2023-05-01"], "datetime64[ns]"))
        for when in ("1.5.2023", "2022-01-05", slice("1/5/2023", None), ["2023-01-05", "2024-01-05"], "soon"):
            with pytest.raises(CubeError, match="2023-01-05, 2023-05-01.*ISO 8601") as caught:
                xr_sr.flood(early, when, "2023-05-01")
            assert "method" not in str(caught.value)
        with pytest.raises(CubeError, match="flood_between"):
            xr_sr.flood(mask.isel(time=0), "2023", "2024")

    def test_two_cubes_must_lie_on_one_grid(self):
        cube = array(reflectance(4, 8, 8))

        with pytest.raises(GridError, match="grids"):
            xr_sr.flood_between(cube, cube.isel(x=slice(2, None)), index="NDWI")
        with pytest.raises(GridError):
            xr_sr.flood_between(cube, cube.isel(x=slice(4), y=slice(4)), index="NDWI")


class TestAgreement:
    def test_four_classes_and_their_counts(self):
        lr = mask_of([[0, 1]])
        sr_values = np.zeros((4, 8))
        sr_values[0, 0], sr_values[1:, 4:], sr_values[3, 7] = 1, 1, U
        fine = geobox_of(1, 2).zoom_out(0.25)
        sr = array(sr_values[None], ("B04",), geobox=fine).isel(band=0, drop=True)

        found = lr.sr.agreement(sr)

        counts = dict(zip(found.state.values.tolist(), found["pixels"].values.tolist(), strict=True))
        assert counts == {"background": 15, "water": 11, "lr_only": 4, "sr_only": 1, "unknown": 1}
        assert found["agreement"].odc.geobox == fine
        np.testing.assert_allclose(found["area"].sum(), 2 * 0.01, rtol=2e-3)
        assert found["agreement"].values[0].tolist() == [3, 0, 0, 0, 2, 2, 2, 2]

    def test_dates_may_stand_in_one_of_the_two(self):
        series = mask_of([[[0, 1, U]], [[1, 1, 0]]])
        one = mask_of([[0, 0, 0]])

        for found, alone in ((series.sr.agreement(one), 2), (one.sr.agreement(series), 3)):
            assert found["agreement"].dims == ("time", "y", "x")
            assert plain(found["agreement"]) == [[[0, alone, U]], [[alone, alone, 0]]]
            assert found["pixels"].dims == ("time", "state")

    def test_masks_of_different_dates_are_refused(self):
        series = mask_of([[[0, 1]], [[1, 1]]])

        with pytest.raises(CubeError, match="dates"):
            series.isel(time=[0]).sr.agreement(series)

    def test_a_mask_agrees_with_itself(self):
        mask = mask_of([[[0, 1, U]], [[1, 1, 0]]])

        found = xr_sr.agreement(mask, mask)

        assert found["pixels"].sel(state=["lr_only", "sr_only"]).sum() == 0
        assert found["pixels"].sum("state").values.tolist() == [3, 3]

    def test_comparisons_of_class_maps_are_masks(self):
        """They keep the attributes, so that they say of themselves that they are floods."""
        like = mask_of([[0, 1, 0]])
        codes = like.copy(data=np.array([[0, 2, 3]], "uint8"))
        flooded = as_class_map(codes, FLOOD, kind="flood", title="flood", like=like) == 2
        flooded.attrs["xr_sr:classes"] = "flood"

        found = xr_sr.agreement(flooded, mask_of([[0, 1, 1]]))["agreement"]

        assert found.values.tolist() == [[0, 1, 3]]

    def test_masked_masks_are_unknown_where_they_were_masked(self):
        mask = mask_of([[0, 1, 1, 0]])
        clear = xr.DataArray([[True, True, False, False]], dims=("y", "x"))

        for masked in (mask.where(clear), (mask == 1).astype("float32").where(clear)):
            assert plain(xr_sr.agreement(masked, mask)["agreement"]) == [[0, 1, U, U]]

    def test_numbers_that_say_they_are_a_flood_are_refused_with_the_way_out(self):
        mask = mask_of([[[0, 1]], [[1, 1]]])
        numbers = (xr_sr.flood(mask, *times(2))["flood"].isel(time=0) == 2).astype("uint8")

        with pytest.raises(CubeError, match=r"map of flood.*drop_attrs"):
            xr_sr.agreement(numbers, mask.isel(time=0))
        assert plain(xr_sr.agreement(numbers.drop_attrs(deep=False), mask.isel(time=1))["agreement"]) == [[1, 3]]

    def test_what_is_no_mask_is_refused(self):
        with pytest.raises(CubeError, match="lr_mask"):
            xr_sr.agreement(dataset(reflectance(4, 4, 4)), mask_of([[0, 1]]))


class TestRealFlood:
    """The chip of a flood with a hand label: properties that hold for any sensible map of water, not scores."""

    @pytest.fixture
    def chip(self, shared):
        import rioxarray

        folder = shared / "data" / "flood_spain"
        cube = rioxarray.open_rasterio(folder / "Spain_7370579_S2Hand.tif", chunks={"band": 1})
        label = rioxarray.open_rasterio(folder / "Spain_7370579_LabelHand.tif").isel(band=0, drop=True)
        return cube, label.where(label >= 0)

    @staticmethod
    def scores(mask: xr.DataArray, label: xr.DataArray) -> tuple[float, float]:
        """IoU and F1 from the counts of `agreement`, the label in the place of LR."""
        counts = xr_sr.agreement(label, mask)["pixels"]
        both, missed, false = (int(counts.sel(state=state)) for state in ("water", "lr_only", "sr_only"))
        return both / (both + missed + false), 2 * both / (2 * both + missed + false)

    @pytest.mark.parametrize("index", ["MNDWI", "NDWI"])
    def test_scores_are_those_of_plain_numpy_and_hold_together(self, chip, index):
        cube, label = chip
        bands = dict(zip(cube.attrs["long_name"], cube.values.astype("float64"), strict=True))
        green, other = bands["B3"], bands["B11" if index == "MNDWI" else "B8"]
        with np.errstate(all="ignore"):
            quotient = (green - other) / (green + other)
        truth, known = label.values == 1, np.isfinite(label.values) & (green > 0) & (other > 0)
        random = truth[known].mean()

        for threshold in (0.0, 0.1003, 0.2007):  # quotients of whole numbers are often 0.1: there rounding decides
            iou, f1 = self.scores(xr_sr.water(cube, index, threshold, offset=0), label)

            guess = quotient > threshold
            both = (guess & truth & known).sum()
            assert iou == pytest.approx(both / ((guess | truth) & known).sum(), abs=1e-4)
            assert f1 == pytest.approx(2 * iou / (1 + iou), rel=1e-12)
            assert iou > random  # better than to call everything water

    @pytest.mark.parametrize("index", ["MNDWI", "NDWI"])
    def test_otsu_lies_between_the_medians_of_land_and_water(self, chip, index):
        cube, label = chip
        values = xr_sr.index(cube, index, offset=0).compute()

        level = float(otsu(values))

        assert float(values.where(label == 0).median()) < level < float(values.where(label == 1).median())

    def test_areas_in_degrees_are_those_of_the_ground(self, chip):
        cube, _ = chip
        mask = xr_sr.water(cube, "MNDWI", 0.1, offset=0).compute()

        hectares = class_areas(mask, WATER, "ellipsoidal")

        pixels = [(mask == code).sum().item() for code in WATER.values()]
        np.testing.assert_allclose(hectares.values, np.array(pixels) * 7.88 * 9.97 / 1e4, rtol=5e-3)


def test_an_empty_map_among_others_changes_no_level():
    index = on_grid(two_humps(20, 20))

    assert float(otsu([index * np.nan, index])) == float(otsu(index))
    assert np.isnan(float(otsu([index * np.nan, index * np.nan])))


def test_levels_of_other_dates_are_refused():
    series = on_grid(two_humps(2, 20, 20))
    levels = otsu(series, per="date")

    assert xr_sr.water(series, None, levels).shape == (2, 20, 20)
    with pytest.raises(OptionError, match="threshold=.*2 of 2"):
        xr_sr.water(series.isel(time=[1, 0]), None, levels)


def test_an_index_that_was_multiplied_is_not_taken_for_the_index():
    index = on_grid(two_humps(40, 40), **{"xr_sr:bounds": [-1.0, 1.0]})
    scaled = (index * 10_000).assign_attrs(index.attrs)

    with pytest.raises(CubeError, match="xr_sr:bounds.*-1 to 1"):
        otsu(scaled).compute()
    assert float(otsu(scaled.drop_attrs(deep=False))) == pytest.approx(float(otsu(index)) * 10_000, abs=10)


def test_means_of_classes_are_no_class():
    water = mask_of([[[0, 1, 1, U]], [[0, 1, 0, 1]]])
    mean = water.mean("time").assign_attrs(water.attrs)

    found = class_areas(as_water(mean, role="water"), WATER, "projected")

    shares = (found / found.sum()).to_series().to_dict()
    assert shares == pytest.approx({"dry": 0.25, "water": 0.25, "unknown": 0.5})


def test_what_lies_in_files_is_not_read_before_it_is_asked_for(tmp_path):
    index = on_grid(two_humps(2, 40, 40)).rename("MNDWI")
    index.to_zarr(tmp_path / "index.zarr")
    opened = xr.open_dataset(tmp_path / "index.zarr", engine="zarr", decode_coords="all")["MNDWI"]
    water = xr_sr.water(opened, None, 0.1)

    assert otsu(opened).chunks is not None and water.chunks is not None
    assert not opened.variable._in_memory
    assert float(otsu(opened)) == float(otsu(index))
    np.testing.assert_array_equal(water, xr_sr.water(index, None, 0.1))


def harmonized(kind: str, *, swath: bool = False):
    """Return DN of clear water beside land, 1000 subtracted and the rest cut off at 0: (B03, B11), and the water."""
    rng = np.random.default_rng(0)
    is_water = np.arange(40) < 20
    green = np.where(is_water, rng.normal(350, 30, (30, 40)), rng.normal(800, 30, (30, 40)))
    swir = np.where(is_water, rng.normal(15, 30, (30, 40)), rng.normal(2500, 50, (30, 40)))
    dn = np.stack([green, swir]).clip(0).astype("uint16")
    if swath:
        dn[1, :, :20] = rng.integers(1500, 2000, (30, 20))
        dn[:, :, :3], dn[1, :, 3] = 0, 0
    cube = array(dn, ("B03", "B11")).chunk(y=12)
    return cube if kind == "DataArray" else cube.to_dataset("band"), int((dn[1] == 0).sum())


@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_water_that_is_unknown_because_of_dn_0_is_counted(kind):
    cube, unknown = harmonized(kind)
    with pytest.warns(
        RadiometryWarning, match=rf"^Radiometry: index 'MNDWI' is unknown in {unknown} values in 3 blocks"
    ):
        found = cube.sr.water(threshold=0.0, offset=0).compute()

    assert int((found == 255).sum()) == unknown

    whole = cube.sr.water(threshold=0.0, offset=0, nodata=None).compute()

    assert int((whole == 1).sum()) == 30 * 20


def test_floods_count_dn_0_of_each_date():
    cube, unknown = harmonized("Dataset")
    season = cube.expand_dims(time=times(2))
    with pytest.warns(RadiometryWarning, match=f"unknown in {2 * unknown} values in 3 blocks") as caught:
        season.sr.flood("2023-06-01", "2023-06-06", threshold=0.0, offset=0).compute()

    assert [each.category for each in caught].count(RadiometryWarning) == 1


def test_dn_0_at_the_edge_of_a_swath_and_below_a_true_offset_is_nodata_without_a_word():
    cube, _ = harmonized("DataArray", swath=True)
    cube.sr.water(threshold=0.0, offset=0).compute()
    cube, _ = harmonized("DataArray")
    (cube + np.uint16(1000)).where(cube > 0, 0).astype("uint16").sr.water(threshold=0.0, offset=-1000).compute()


@pytest.mark.parametrize("turned", [{"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}])
@pytest.mark.parametrize("scale", [1, 2])
def test_masks_of_the_same_ground_agree_whichever_way_their_axes_run(scale, turned):
    cube = array(np.clip(two_humps(1, 4, 12, 12), 0, 1).astype("float32"))
    lr = (cube.isel(band=0, drop=True) > 0.2).compute()
    sr = lr.copy(deep=True)
    sr[:, 2:5, 1:4] = ~sr[:, 2:5, 1:4]
    if scale == 2:
        sr = cube.sr.upscale("nearest", scale=2).isel(band=0, drop=True).compute() > 0.4
    expected = lr.sr.agreement(sr)["pixels"]
    assert int((expected > 0).sum()) >= 2

    for found in (lr.isel(turned).sr.agreement(sr), lr.sr.agreement(sr.isel(turned))):
        np.testing.assert_array_equal(found["pixels"], expected)
