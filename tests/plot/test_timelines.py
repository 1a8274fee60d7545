"""Series: lines are the numbers, the band is what is usual, gaps stay gaps."""

from __future__ import annotations

import warnings

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from odc.geo.xr import xr_coords

import xr_sr
from tests.cubes import geobox_of, times
from xr_sr.analytics import class_areas, object_series
from xr_sr.analytics.classes import CLASS_COLORS
from xr_sr.errors import CubeError, OptionError
from xr_sr.plot import series

mpl.use("Agg")


@pytest.fixture
def water() -> xr.DataArray:
    values = np.random.default_rng(0).choice([0.0, 1.0, np.nan], (4, 40, 60), p=[0.6, 0.3, 0.1])
    mask = xr.DataArray(values, dims=("time", "y", "x"), coords={**xr_coords(geobox_of(40, 60)), "time": times(4)})
    return xr_sr.water(mask, None, 0.5).compute()


@pytest.fixture
def years() -> xr.Dataset:
    """Two objects, three months of four years; NDVI that rises by 0.1 a year from 0.3 and 0.4."""
    stamps = [np.datetime64(f"{year}-{month:02d}-15", "ns") for year in range(2019, 2023) for month in (5, 6, 7)]
    values = 0.3 + 0.1 * np.repeat(np.arange(4), 3)[:, None] + np.array([0.0, 0.1])
    attrs = {"long_name": "mean of NDVI", "units": "1"}
    return xr.Dataset({"mean": (("time", "object"), values, attrs)}, coords={"time": stamps, "object": [3, 7]})


def lines_of(figure, place: int = 0) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_ydata()) for line in figure.axes[place].lines}


def test_areas_of_a_flood_are_lines_in_the_colors_of_the_map(water):
    found = xr_sr.flood(water, times(4)[0], slice(times(4)[1], None)).compute()
    figure = series(found)

    lines = lines_of(figure)
    assert lines.keys() == {"permanent water", "flooded", "receded", "unknown"}
    np.testing.assert_allclose(lines["flooded"], found["area"].sel(state="flooded"))
    colors = {line.get_label(): to_hex(line.get_color()) for line in figure.axes[0].lines}
    assert colors["flooded"] == CLASS_COLORS["flooded"].lower()
    assert figure.axes[0].get_ylabel() == "area, ha" and figure.axes[0].get_ylim()[0] == 0
    assert {text.get_text() for text in figure.legends[0].get_texts()} == lines.keys()


def test_areas_of_water_are_reckoned_from_its_map(water):
    expected = class_areas(water, {"dry": 0, "water": 1, "unknown": 255}, "ellipsoidal").sel(state="water")

    figure = series(water)
    np.testing.assert_allclose(lines_of(figure)["water"], expected)
    assert "water" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_objects_are_lines_and_nan_is_a_gap(water, years):
    labels = xr.zeros_like(water.isel(time=0, drop=True), dtype="int32").assign_attrs({})
    labels[:, :20], labels[:, 30:] = 1, 2
    objects = object_series(water, labels).compute()
    years["mean"][1, 0] = np.nan

    assert series(objects).axes[0].get_ylabel() == "area of water, ha"
    np.testing.assert_allclose(lines_of(series(objects))["object 2"], objects["water"].sel(object=2))
    assert np.isnan(lines_of(series(years))["object 3"][1])
    assert lines_of(series(years.rename(time="t"), objects=[7])).keys() == {"object 7"}
    with pytest.raises(OptionError, match=r"objects=.*\[99\]"):
        series(years, objects=[99])


def test_the_band_is_mean_and_deviation_of_the_month_in_the_reference(years):
    figure = series(years, reference=slice("2019", "2021"))

    assert [axes.get_title(loc="left") for axes in figure.axes] == ["object 3", "object 7"]
    lines = lines_of(figure, 1)
    np.testing.assert_allclose(lines["object 7"], [0.7] * 3)  # of 2022 only
    (mean,) = [line.get_ydata() for line in figure.axes[1].lines if line.get_label() != "object 7"]
    np.testing.assert_allclose(mean, [0.5] * 3)
    (band,) = [each for each in figure.axes[1].collections if isinstance(each, PolyCollection)]
    edges = band.get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([edges.min(), edges.max()], [0.4, 0.6], atol=1e-6)


def test_a_reference_can_be_data_of_other_years(years):
    now, before = years.sel(time="2022"), years.sel(time=slice("2019", "2021"))
    one, other = series(now, reference=before), series(years, reference=slice("2019", "2021"))

    for place in (0, 1):
        for line, same in zip(one.axes[place].lines, other.axes[place].lines, strict=True):
            np.testing.assert_allclose(line.get_ydata(), same.get_ydata())


def test_months_that_the_reference_lacks_have_no_band(years):
    usual = years.sel(time=slice("2019", "2021")).isel(time=[0, 1, 3, 4, 6, 7])
    (mean,) = [
        line.get_ydata()
        for line in series(years.sel(time="2022"), reference=usual, objects=[3]).axes[0].lines
        if line.get_label() != "object 3"
    ]

    assert np.isfinite(mean).tolist() == [True, True, False]


def test_one_date_has_an_axis_of_days_and_no_warning(water):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        figure = series(water.isel(time=[1]))
        figure.canvas.draw()

    assert np.ptp(figure.axes[0].get_xlim()) <= 31


def test_masked_maps_are_unknown_where_they_were_masked(water):
    clear = xr.ones_like(water, bool)
    clear[1] = False

    lines = lines_of(series(water.where(clear)))

    assert lines["water"][1] == 0
    np.testing.assert_allclose(lines["unknown"][1], 40 * 60 * 0.01, rtol=2e-3)


def test_a_comparison_of_a_map_is_no_map_of_its_classes(water):
    with pytest.raises(CubeError, match="dry"):
        series(water == 1)


def test_what_cannot_be_told_apart_or_has_no_dates_is_refused(water, years):
    many = xr.concat([years["mean"].isel(object=0)] * 9, "object").assign_coords(object=range(9))

    with pytest.raises(OptionError, match="9 .*objects="):
        series(many)
    with pytest.raises(CubeError, match="dates"):
        series(years["mean"].isel(time=0, drop=True))
    with pytest.raises(CubeError, match="flood"):
        series(xr.Dataset({"a": 1}))
    with pytest.raises(OptionError, match="reference="):
        series(years, reference=slice("2019", "2030"))
    for when in ("2031-01-01", "1.7.2019", slice("2031", None)):
        with pytest.raises(OptionError, match="reference"):
            series(years, reference=when)
    with pytest.raises(OptionError, match="reference="):
        series(years.sel(time=years.time.dt.month == 7), reference=years.sel(time=years.time.dt.month == 5))
    with pytest.raises(OptionError, match="reference="):
        series(water, reference="2023-06-01")


def test_the_interval_of_an_area_is_a_bar():
    dates = np.array(["2023-06-15", "2023-06-20"], "datetime64[ns]")
    state = ["dry", "flooded", "receded"]
    area = xr.DataArray([[9.0, 2.0, 1.0], [8.0, 3.0, 1.0]], {"time": dates, "state": state}, ("time", "state"))
    known = area.where(area["state"] == "flooded")
    data = xr.Dataset({"area": area, "area_lower": known - 0.5, "area_upper": known + 1.0})

    axes = series(data).axes[0]

    (bars,) = axes.collections
    np.testing.assert_allclose([bar[:, 1] for bar in bars.get_segments()], [[1.5, 3.0], [2.5, 4.0]])
    assert not series(data[["area"]]).axes[0].collections
