"""The scene in the package is what its attributes say; synthetic scenes are functions of place and seed alone."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xr_sr import errors
from xr_sr.datasets import sample, simulate_scene, surfaces, synthetic
from xr_sr.pipeline.api import upscale
from xr_sr.simulate.noise import Chance

DATA = Path(synthetic.__file__).resolve().with_name("data")
RGBN = ("B02", "B03", "B04", "B08")


def test_havel_has_ten_bands_on_native_grids_that_share_a_corner():
    scene = sample("havel")
    fine, coarse = scene["r10m"].to_dataset(), scene["r20m"].to_dataset()

    assert list(fine) == ["B02", "B03", "B04", "B08"]
    assert list(coarse) == ["B05", "B06", "B07", "B8A", "B11", "B12"]
    assert fine.odc.geobox.zoom_to(coarse.odc.geobox.shape) == coarse.odc.geobox
    assert fine.odc.geobox.resolution.xy == (10, -10)
    assert fine.odc.geobox.crs.epsg == 32633
    assert all(edge % 60 == 0 for edge in (fine.odc.geobox.affine.c, fine.odc.geobox.affine.f))


def test_havel_is_lazy_and_small():
    scene = sample()

    assert all(variable.chunks is not None for node in scene.leaves for variable in node.data_vars.values())
    assert sum(path.stat().st_size for path in DATA.glob("havel_*")) < 1.5e6


def test_havel_holds_the_pixels_of_its_source(shared: Path):
    import rioxarray

    for node in sample().leaves:
        for band, plane in node.data_vars.items():
            path = shared / "data" / "s2_l1c_brandenburg" / f"T33UUU_20170216T102101_{band}.jp2"
            source = rioxarray.open_rasterio(path).squeeze("band", drop=True)

            np.testing.assert_array_equal(plane, source.sel(x=plane.x.values, y=plane.y.values))


def test_havel_shows_water_and_land_and_says_what_it_is():
    scene = sample()
    fine, coarse = scene["r10m"].to_dataset().compute(), scene["r20m"].to_dataset().compute()
    blurred = fine.B08.astype(float).coarsen(x=2, y=2).mean()

    assert np.corrcoef(blurred.values.ravel(), coarse.B8A.values.ravel())[0, 1] > 0.97
    assert 0.05 < float((fine.B08 < 900).mean()) < 0.4
    for attrs in (scene.attrs, fine.attrs, coarse.attrs, fine.B02.attrs, coarse.B8A.attrs):
        assert attrs["product_level"] == "L1C"
        assert attrs["s2:processing_baseline"] == "02.04"
    assert scene.attrs["attribution"] == "Contains modified Copernicus Sentinel data 2017"
    assert fine.time.values == np.datetime64("2017-02-16T10:21:01")
    assert int(fine.to_dataarray().min()) > 0


def test_havel_comes_with_its_notice():
    notice = (DATA / "NOTICE").read_text(encoding="utf-8")

    assert "Contains modified Copernicus Sentinel data 2017" in notice
    assert "Copyright (c) 2018 Benjamin Mack" in notice
    assert "MIT License" in notice


def test_an_unknown_sample_names_those_there_are():
    with pytest.raises(errors.CubeError, match="havel"):
        sample("hawel")


def test_a_continent_is_built_without_drawing_a_pixel(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(synthetic, "survey", None)
    scene = simulate_scene(100_000, ["2023-05-01", "2023-07-01"])

    assert dict(scene["lr/r20m"].sizes) == {"time": 2, "y": 50_000, "x": 50_000}
    assert dict(scene["hr"].sizes) == {"time": 2, "y": 400_000, "x": 400_000}


def test_one_pixel_of_a_continent_costs_one_chunk():
    scene = simulate_scene(100_000, bands=["B04"], chunks=128)

    plane = scene["lr/r10m"].B04.isel(time=0, y=[70_001], x=[33_333]).compute()

    assert 1000 < int(plane.squeeze()) < 8000


@settings(max_examples=8, deadline=None)
@given(
    chunks=st.integers(5, 60),
    top=st.integers(0, 4),
    left=st.integers(0, 4),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 2**31),
)
def test_a_value_depends_on_its_place_and_nothing_around_it(chunks, top, left, size, seed):
    height, width = size[0] * 2, size[1] * 2
    whole = simulate_scene((54, 54), "2023-07-20", seed, chunks=512)
    part = simulate_scene(
        (height, width), "2023-07-20", seed, chunks=chunks, origin=(600_000 + 60 * left, 5_400_000 - 60 * top)
    )

    for node, factor in (("lr/r10m", 1), ("lr/r20m", 2), ("hr", 0.25)):
        rows = slice(int(6 * top / factor), int((6 * top + height) / factor))
        columns = slice(int(6 * left / factor), int((6 * left + width) / factor))
        expected = whole[node].to_dataset().isel(y=rows, x=columns)
        xr.testing.assert_identical(part[node].to_dataset().drop_attrs().compute(), expected.drop_attrs().compute())


def test_windows_within_a_block_leave_no_trace(monkeypatch: pytest.MonkeyPatch):
    whole = simulate_scene(40, bands=["B03", "B11"]).compute()
    monkeypatch.setattr(synthetic, "WINDOW_M", 90)
    tiled = simulate_scene(40, bands=["B03", "B11"]).compute()

    for node in ("lr/r10m", "lr/r20m", "hr"):
        xr.testing.assert_equal(tiled[node].to_dataset(), whole[node].to_dataset())


def test_grids_lie_on_each_other():
    scene = simulate_scene((30, 42), scale=2, origin=(300_000, 0))
    fine, coarse, truth = (scene[node].to_dataset().odc.geobox for node in ("lr/r10m", "lr/r20m", "hr"))

    assert fine.zoom_to(coarse.shape) == coarse
    assert fine.zoom_to(truth.shape) == truth
    assert truth.resolution.xy == (5, -5)
    assert fine.crs.epsg == 32633


def test_seeds_and_dates_make_different_scenes():
    dates = ["2023-01-20", "2023-07-20"]
    one = simulate_scene(40, dates, 1, bands=RGBN)["hr"].to_dataset().compute()
    other = simulate_scene(40, dates, 2, bands=RGBN)["hr"].to_dataset().compute()

    assert float(abs(one.B04 - other.B04).mean()) > 0.005
    assert float(abs(one.B04[0] - one.B04[1]).mean()) > 0.005


def test_fields_are_greener_in_may_than_in_january():
    truth = simulate_scene(120, ["2023-01-20", "2023-05-25"], 0, bands=["B04", "B08"])["hr"].to_dataset().compute()
    ndvi = (truth.B08 - truth.B04) / (truth.B08 + truth.B04)

    january, may = ndvi.mean(["y", "x"]).values
    assert may > january + 0.15


def test_dates_one_year_apart_look_alike_but_for_noise():
    scene = simulate_scene(30, ["2022-06-15", "2023-06-15"], bands=["B04"])
    truth, seen = scene["hr"].B04.compute(), scene["lr/r10m"].B04.compute().astype(int)

    np.testing.assert_array_equal(truth[0], truth[1])
    assert float(abs(seen[0] - seen[1]).mean()) > 3


def test_a_flood_grows_with_the_water_level():
    dates = ["2021-06-15", "2022-06-15", "2023-06-15"]
    truth = simulate_scene(500, dates, bands=["B08"], flood_m=[0.0, 1.0, 2.0], origin=(600_000, 5_400_000))
    near_infrared = truth["hr"].B08.isel(y=slice(0, None, 8), x=slice(0, None, 8)).compute()

    usual, high, highest = (near_infrared < 0.045).mean(["y", "x"]).values
    assert 0.003 < usual < high < highest < 0.5
    assert highest > 1.5 * usual


def test_truth_is_plausible_reflectance():
    truth = simulate_scene(100, "2023-06-15", 3)["hr"].to_dataset().to_dataarray("band").compute()

    assert float(truth.min()) >= 0.001
    assert float(truth.max()) < 0.8
    assert truth.dtype == np.float32
    assert float(truth.sel(band="B8A").median()) > float(truth.sel(band="B04").median())


@pytest.mark.parametrize("band", surfaces.BANDS)
@pytest.mark.parametrize("scale", [2, 4])
def test_the_blur_has_the_mtf_of_the_band(band, scale):
    size = scale * (1 if band in RGBN else 2)
    weights = np.array(synthetic.point_spread(band, size))
    places = np.arange(weights.size) - (weights.size - 1) / 2

    response = (weights * np.cos(np.pi * places / size)).sum()
    assert weights.sum() == pytest.approx(1)
    assert response == pytest.approx(synthetic.MTF_AT_NYQUIST[band], abs=0.015)


def test_without_noise_the_sensor_sees_the_blurred_truth():
    scene = simulate_scene(24, bands=["B04", "B05"], noise=0)
    for node, band, size in (("lr/r10m", "B04", 4), ("lr/r20m", "B05", 8)):
        truth, weights = scene["hr"][band].values[0].astype("float64"), np.array(synthetic.point_spread(band, size))
        pad, inner = synthetic.padding(band, size), 4
        rows = slice(inner * size - pad, (inner + 1) * size + pad)

        expected = weights @ truth[rows, rows] @ weights
        digital = int(scene[node][band].values[0, inner, inner])
        assert digital == pytest.approx(expected * 10_000 + 1000, abs=0.51)


def test_noise_has_the_deviation_that_is_told():
    clean, noisy = (
        simulate_scene(200, bands=["B03"], noise=noise)["lr/r10m"].B03.values[0].astype(float) for noise in (0, 2)
    )

    deviation = 2 * (7 + 0.004 * (clean - 1000))
    score = (noisy - clean) / deviation
    assert abs(score.mean()) < 0.02
    assert score.std() == pytest.approx(1, abs=0.02)


def test_noise_of_neighbours_dates_and_bands_is_independent():
    row, column = np.arange(-300, 0), np.arange(10**6, 10**6 + 300)
    noise = Chance(7, 3).plane_normal(row, column)
    partners = (
        noise[1:, 1:],
        Chance(7, 3).plane_normal(row, column + 1),
        Chance(7, 4).plane_normal(row, column),
        Chance(8, 3).plane_normal(row, column),
    )

    assert noise.std() == pytest.approx(1, abs=0.02)
    for partner in partners:
        height, width = partner.shape
        correlation = np.corrcoef(noise[:height, :width].ravel(), partner.ravel())[0, 1]
        assert abs(correlation) < 0.02


def test_random_numbers_are_those_of_the_first_release():
    bits = Chance(1, 2).bits(np.array([-3, 0, 5]), np.array([7, 7, 7]))
    noise = Chance(1, 2).plane_normal(np.array([10]), np.array([20, 21]))

    assert [hex(int(word)) for word in bits] == ["0x19b44f846ac81d51", "0x648829c1d1c67b66", "0x2179f2bb1eb43bc7"]
    np.testing.assert_array_equal(noise, np.float32([[-1.0256036520004272, -1.0943454504013062]]))


def test_dn_are_those_of_a_product_with_offset():
    plane = simulate_scene(20)["lr/r10m"].B02

    assert plane.dtype == np.uint16
    assert plane.attrs["s2:processing_baseline"] >= "04.00"
    assert int(plane.min()) > 1000
    assert "synthetic" in simulate_scene(20).attrs


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 33}, errors.GridError, "size=33"),
        ({"size": 0}, errors.GridError, "size=0"),
        ({"scale": 0}, errors.GridError, "scale=0"),
        ({"origin": (600_010, 0)}, errors.GridError, "60 m"),
        ({"dates": []}, errors.GridError, "dates"),
        ({"dates": 0}, errors.GridError, "dates"),
        ({"dates": -3}, errors.GridError, "dates"),
        ({"dates": ["2023-06-15", "2023-06-16", "2023-06-15"]}, errors.GridError, "2023-06-15"),
        ({"dates": 1.5}, errors.OptionError, "dates=1.5"),
        ({"dates": True}, errors.OptionError, "dates=True"),
        ({"dates": [1, 2]}, errors.OptionError, "dates="),
        ({"dates": "someday"}, errors.OptionError, "someday"),
        ({"dates": "NaT"}, errors.OptionError, "NaT"),
        ({"dates": "1066-10-14"}, errors.OptionError, "1678"),
        ({"dates": [["2023-06-15"]]}, errors.OptionError, "dates="),
        ({"dates": None}, errors.OptionError, "dates="),
        ({"flood_m": [1.0, 2.0]}, errors.GridError, "flood"),
        ({"flood_m": "high"}, errors.OptionError, "flood_m='high'"),
        ({"flood_m": np.nan}, errors.OptionError, "flood_m=nan"),
        ({"bands": ["B01"]}, errors.MissingBandError, "B01"),
        ({"bands": []}, errors.MissingBandError, "bands"),
        ({"bands": "B04"}, errors.OptionError, r"bands=\['B04"),
        ({"bands": 4}, errors.OptionError, "bands=4"),
        ({"bands": [4]}, errors.OptionError, "bands="),
        ({"bands": ["B04", "B04"]}, errors.OptionError, "bands=.*B04"),
        ({"size": "big"}, errors.OptionError, "size='big'"),
        ({"size": 12.5}, errors.OptionError, "size=12.5"),
        ({"size": (12, 12, 12)}, errors.OptionError, "size="),
        ({"seed": "one"}, errors.OptionError, "seed='one'"),
        ({"scale": 2.5}, errors.OptionError, "scale=2.5"),
        ({"chunks": None}, errors.OptionError, "chunks=None"),
        ({"chunks": "auto"}, errors.OptionError, "chunks='auto'"),
        ({"noise": -1}, errors.OptionError, "noise=-1"),
        ({"noise": "loud"}, errors.OptionError, "noise='loud'"),
        ({"origin": 0}, errors.OptionError, "origin=0"),
        ({"origin": (0.5, 0)}, errors.OptionError, "origin=0.5"),
    ],
)
def test_what_makes_no_scene_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        simulate_scene(**arguments)


@pytest.mark.parametrize("count", [1, 3, np.int64(2), 2.0])
def test_a_number_of_dates_is_that_many_five_days_apart(count):
    times = simulate_scene(8, count, bands=["B04"])["hr"].time

    assert times.size == count
    assert times.values[0] == simulate_scene(8)["hr"].time.values[0]
    assert set(np.diff(times.values)) <= {np.timedelta64(5, "D")}


@pytest.mark.parametrize(
    "dates",
    [
        np.datetime64("2023-06-15"),
        datetime.date(2023, 6, 15),
        pd.Timestamp("2023-06-15"),
        pd.DatetimeIndex(["2023-06-15"]),
        np.array(["2023-06-15"], dtype="datetime64[us]"),
        xr.DataArray(np.array(["2023-06-15"], dtype="datetime64[s]"), dims="time"),
    ],
)
def test_dates_may_be_of_any_kind(dates):
    xr.testing.assert_identical(simulate_scene(8, dates, bands=["B04"]), simulate_scene(8, bands=["B04"]))


def test_whole_numbers_may_come_from_numpy_and_as_floats():
    plain = simulate_scene((8, 6), seed=3, bands=["B04"], scale=2, origin=(600_060, 60))
    odd = simulate_scene(
        np.array([8, 6]),
        seed=np.uint8(3),
        bands=("B04",),
        scale=np.int8(2),
        flood_m=np.float32(0),
        origin=(600_060.0, 60),
    )

    xr.testing.assert_identical(odd.compute(), plain.compute())


@pytest.mark.parametrize("offset", ["auto", 0])
def test_havel_is_upscaled_without_further_words(offset):
    scene = sample()

    fine = upscale(scene["r10m"], "nearest", offset=offset)
    np.testing.assert_allclose(fine.B08[::4, ::4], scene["r10m/B08"] / 1e4, atol=1e-7)
    assert fine.odc.geobox == scene["r10m"].to_dataset().odc.geobox.zoom_to((1280, 1280))


@pytest.mark.parametrize("part", ["lr", "lr/r10m", "/"])
def test_a_synthetic_scene_is_upscaled_to_the_grid_of_its_truth(part):
    scene = simulate_scene(20, noise=0)

    fine = upscale(scene[part], "nearest", bands=["B04"])
    assert fine.odc.geobox == scene["hr"].to_dataset().odc.geobox
    averages = [array.B04.coarsen(y=16, x=16).mean() for array in (fine, scene["hr"].to_dataset())]
    assert float(abs(averages[0] - averages[1]).mean()) < 0.01


def test_an_odd_size_is_fine_for_10_m_bands():
    scene = simulate_scene((7, 5), bands=RGBN)

    assert scene["hr"].to_dataset().B02.shape == (1, 28, 20)
    assert "r20m" not in scene["lr"].children
