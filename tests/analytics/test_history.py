"""Series: frequency and dates of water, objects, anomalies; against loops over plain arrays."""

from __future__ import annotations

import pickle

import dask
import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.analytics.test_water import U, mask_of, on_grid
from tests.cubes import array, reflectance, times
from xr_sr.analytics import anomaly, object_series, pixel_areas, water_history
from xr_sr.errors import CubeError, DuplicateTimeError, GridError, OptionError


def test_history_of_each_pixel():
    rows = [[[0, 1, U, 1]], [[1, 1, U, U]], [[0, 1, U, 0]], [[1, 0, U, 0]]]
    day = times(4)

    found = water_history(mask_of(rows).chunk(time=1, x=3))

    np.testing.assert_array_equal(found["frequency"].values[0], np.array([0.5, 0.75, np.nan, 1 / 3], "f4"))
    assert found["observations"].values[0].tolist() == [4, 4, 0, 3]
    np.testing.assert_array_equal(found["first"].values[0], [day[1], day[0], np.datetime64("NaT"), day[0]])
    np.testing.assert_array_equal(found["last"].values[0], [day[3], day[2], np.datetime64("NaT"), day[0]])


def test_what_was_masked_was_not_seen():
    mask = mask_of([[[1, 1]], [[0, 1]]])
    clear = xr.DataArray([[[True, False]], [[True, False]]], dims=mask.dims)

    found = water_history(mask.where(clear))

    assert found["observations"].values.tolist() == [[2, 0]]
    np.testing.assert_array_equal(found["frequency"].values, [[0.5, np.nan]])


def test_the_order_of_dates_does_not_matter():
    rng = np.random.default_rng(1)
    mask = mask_of(rng.choice([0, 1, U], (5, 6, 7)))

    xr.testing.assert_equal(water_history(mask.isel(time=[3, 0, 4, 1, 2])).compute(), water_history(mask).compute())


def test_a_history_needs_dates():
    with pytest.raises(CubeError, match="dates"):
        water_history(mask_of([[0, 1]]))


class TestObjects:
    def test_means_are_those_of_a_loop(self):
        rng = np.random.default_rng(2)
        values = reflectance(3, 20, 30)
        values[rng.random(values.shape) < 0.2] = np.nan
        labels = on_grid(rng.integers(0, 5, (20, 30)))
        series = on_grid(values).rename("NDVI")
        areas = pixel_areas(series).values

        found = object_series(series.chunk(time=2, y=7, x=11), labels)

        assert found.object.values.tolist() == [1, 2, 3, 4]
        for place, number in enumerate(found.object.values):
            for date in range(3):
                inside = (labels.values == number) & np.isfinite(values[date])
                weights = areas[inside]
                expected = (values[date][inside] * weights).sum() / weights.sum()
                assert found["mean"].values[date, place] == pytest.approx(expected, rel=1e-6)
                assert found["valid"].values[date, place] == pytest.approx(weights.sum() / 1e4, rel=1e-12)

    def test_water_is_given_in_hectares(self):
        mask = mask_of([[[1, 1, 0, U]], [[1, 0, U, U]]])
        labels = on_grid(np.array([[7, 7, 7, 9]]))

        found = object_series(mask, labels, area="projected")

        np.testing.assert_allclose(found["water"].values, [[0.02, 0], [0.01, 0]])
        np.testing.assert_allclose(found["valid"].values, [[0.03, 0], [0.02, 0]])
        np.testing.assert_array_equal(found["mean"].values, [[2 / 3, np.nan], [0.5, np.nan]])

    def test_only_those_asked_for_and_one_that_is_nowhere(self):
        found = object_series(mask_of([[1, 0]]), on_grid(np.array([[3, 4]])), objects=[4, 8], area="projected")

        np.testing.assert_array_equal(found["water"].values, [0, 0])
        np.testing.assert_array_equal(found["valid"].values, [0.01, 0])

    def test_labels_must_be_whole_numbers(self):
        with pytest.raises(GridError, match="labels"):
            object_series(mask_of([[1, 0]]), on_grid(np.array([[1.0, 2.0]])))


class TestAnomaly:
    @pytest.fixture
    def series(self):
        """Two values a month for three years, the last one 0.1 higher."""
        stamps = np.array(
            [f"{year}-{month:02}-{day}" for year in (2019, 2020, 2021) for month in (5, 6) for day in (10, 20)]
        )
        rng = np.random.default_rng(0)
        values = rng.random((12, 3, 4)).astype("f4")
        values[8:] = values[:4] + np.float32(0.1)
        return on_grid(values).assign_coords(time=stamps.astype("datetime64[ns]")).rename("NDVI")

    def test_by_month_against_a_loop(self, series):
        found = anomaly(series.chunk(time=5, x=3), slice("2019", "2020"), index=None)

        for place, date in enumerate(series.time.values):
            same = [n for n in range(8) if series.time.dt.month.values[n] == date.astype("datetime64[M]").item().month]
            usual = series.values[same]
            off = series.values[place] - usual.mean(axis=0)
            np.testing.assert_allclose(found["anomaly"].values[place], off, atol=1e-6)
            np.testing.assert_allclose(
                found["standardised"].values[place], off / usual.std(axis=0, ddof=1), rtol=1e-4, atol=1e-5
            )
        assert found["anomaly"].dims == ("time", "y", "x") and found["anomaly"].dtype == "float32"
        assert (found.time == series.time).all()

    def test_against_all_dates_of_the_reference(self, series):
        found = anomaly(series, slice("2019", "2020"), index=None, by=None)

        np.testing.assert_allclose(found["anomaly"].values, series.values - series.values[:8].mean(axis=0), atol=1e-6)

    def test_a_month_that_the_reference_lacks_is_nan(self, series):
        found = anomaly(series, slice("2019-05-01", "2019-05-31"), index=None)

        june = series.time.dt.month.values == 6
        assert np.isnan(found["anomaly"].values[june]).all() and np.isfinite(found["anomaly"].values[~june]).all()

    def test_the_order_of_dates_does_not_matter(self, series):
        found = anomaly(series.isel(time=slice(None, None, -1)), slice("2019", "2020"), index=None)

        xr.testing.assert_allclose(found.sortby("time"), anomaly(series, slice("2019", "2020"), index=None))

    def test_dates_that_are_there_twice_are_named(self, series):
        with pytest.raises(DuplicateTimeError, match="2019-05-10"):
            anomaly(series.isel(time=[0, 0, 1]), "2019", index=None)

    def test_no_spread_has_no_standard_deviations(self):
        series = on_grid(np.full((3, 2, 2), 0.4, "f4"))

        found = anomaly(series, slice(None), index=None, by=None)

        assert (found["anomaly"] == 0).all() and found["standardised"].isnull().all()

    def test_from_bands(self):
        cube = array(reflectance(3, 4, 5, 6))

        found = anomaly(cube, slice(times(3)[0], times(3)[1]), by=None)

        ndvi = xr_sr.index(cube, "NDVI")
        np.testing.assert_allclose(found["anomaly"].values, (ndvi - ndvi[:2].mean("time")).values, atol=1e-6)

    def test_what_cannot_be_compared_is_refused(self, series):
        with pytest.raises(CubeError, match="reference="):
            anomaly(series, "2031", index=None)
        with pytest.raises(CubeError, match="reference="):
            anomaly(series, slice("2031", None), index=None)
        with pytest.raises(OptionError, match="week"):
            anomaly(series, slice(None), index=None, by="week")

    def test_a_crop_year_of_real_data(self, shared):
        path = shared / "data" / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc"
        with xr.open_dataset(path) as ds:
            cube = ds[["crs", "S2-L2A-B04", "S2-L2A-B08"]].isel(x=slice(40), y=slice(40)).load()

        found = anomaly(cube, slice(None), by=None, offset=0, nodata=65535).compute()

        ndvi = xr_sr.index(cube, "NDVI", offset=0, nodata=65535).compute()
        assert np.isnan(found["anomaly"].values[1:3]).all()  # two months without data
        np.testing.assert_allclose(found["anomaly"].mean("t").median(), 0, atol=1e-6)
        greenest = int(found["anomaly"].median(("y", "x")).argmax())
        assert greenest == int(ndvi.median(("y", "x")).argmax())


def test_graphs_travel_to_workers():
    """Functions of modules and arrays only: plain pickle takes no lambda and nothing made inside a function."""
    mask = mask_of([[[0, 1, U]], [[1, 1, 0]]]).chunk(time=1)
    cube = array(reflectance(2, 4, 8, 8)).chunk(y=4)
    labels = on_grid(np.array([[1, 2, 2]]))
    made = {
        "flood": xr_sr.flood(cube, times(2)[0], times(2)[1], index="NDWI"),
        "agreement": mask.sr.agreement(mask),
        "history": water_history(mask),
        "objects": object_series(mask, labels),
        "anomaly": anomaly(cube, slice(None), by=None),
        "areas": pixel_areas(cube).to_dataset(),
    }

    for name, result in made.items():
        (optimised,) = dask.optimize(result)
        again = pickle.loads(pickle.dumps(dict(optimised.__dask_graph__())))
        assert again.keys() == optimised.__dask_graph__().keys(), name


def test_a_reference_without_spread_has_no_standard_deviations():
    """0.7 is no number of float32, so the mean of three is not quite each of them."""
    ndvi = on_grid(np.full((4, 5, 5), 0.7, "float32"))
    ndvi[3] = 0.6

    found = anomaly(ndvi, ndvi["time"].values[:3], index=None, by=None)

    assert np.isnan(found["standardised"]).all() and np.allclose(found["anomaly"][3], -0.1)
