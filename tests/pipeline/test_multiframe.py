"""`multiframe` on cubes: one date, detail of several, change, blocks, NaN, windows, coordinates and errors."""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from xarray.groupers import SeasonResampler

from tests.cubes import array
from tests.pipeline.test_pansharpen import geobox_of
from xr_sr.analytics.history import water_history
from xr_sr.cube.select import title_of
from xr_sr.errors import BandWarning, CubeError, GridError, OptionError, StoreError
from xr_sr.simulate import degrade

SHIFTS = ((0.3, -0.2), (-0.4, 0.1), (0.15, 0.45), (-0.1, -0.35), (0.0, 0.0))
"""Of the content of the dates, in input pixels; the last one is shown."""

SIDE = 48


def fine_ground(side: int = SIDE, seed: int = 0) -> xr.DataArray:
    """Two bands at 2.5 m with fields, roads and texture."""
    chance = np.random.default_rng(seed)
    size = 4 * side
    squares = np.add.outer(np.fft.fftfreq(size) ** 2, np.fft.rfftfreq(size) ** 2) + 1e-4
    texture = np.fft.irfft2(np.fft.rfft2(chance.standard_normal((size, size))) * squares**-0.75)
    rows, columns = np.indices((size, size))
    fields = 0.05 * ((rows // 37 + columns // 53) % 2) + 0.08 * ((rows + 2 * columns) % 90 < 6)
    red = 0.08 + fields + 0.01 * texture / texture.std()
    near = 0.3 - fields + 0.02 * texture / texture.std()
    box = geobox_of(side, side).zoom_to((size, size))
    return array(np.stack([red, near]).astype("float32"), bands=("B04", "B08"), geobox=box)


def series(shifts: tuple[tuple[float, float], ...] = SHIFTS, side: int = SIDE) -> xr.DataArray:
    """The ground as Sentinel-2 sees it on several dates."""
    fine = fine_ground(side)
    dates = [
        degrade(fine, factor=4, noise="sentinel2", seed=number, shifts={"B04": shift, "B08": shift})
        for number, shift in enumerate(shifts)
    ]
    days = pd.date_range("2023-06-01T10:30", periods=len(shifts), freq="3D")
    return xr.concat(dates, "time").assign_coords(time=days).compute()


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    return series()


def joined(cube: xr.DataArray | xr.Dataset | xr.DataTree, window: object = "60D", **options: object) -> xr.Dataset:
    with dask.config.set(scheduler="synchronous"):
        return cube.sr.multiframe(window, device="cpu", **options).compute()


def upscaled(cube: xr.DataArray) -> xr.DataArray:
    with dask.config.set(scheduler="synchronous"):
        return cube.sr.upscale("kriging", device="cpu").compute()


def psnr(found: xr.DataArray, truth: xr.DataArray) -> float:
    inner = (slice(None), slice(24, -24), slice(24, -24))
    return float(-10 * np.log10(np.square(found.values[inner] - truth.values[inner], dtype="float64").mean()))


def test_several_dates_are_sharper_than_one_with_shifts_that_were_measured(cube: xr.DataArray):
    truth = fine_ground()

    made = joined(cube)

    alone = psnr(upscaled(cube.isel(time=-1)), truth)
    together = psnr(made["estimate"].isel(time=0), truth)
    assert together > alone + 1.0
    found = np.stack([made["shift_y"].values.ravel(), made["shift_x"].values.ravel()], -1)
    np.testing.assert_allclose(found, SHIFTS, atol=0.05)
    assert (made["shift_quality"] > 0.9).all()


def test_one_date_is_its_single_image(cube: xr.DataArray):
    one = cube.isel(time=[-1])

    made = joined(one)

    np.testing.assert_array_equal(made["estimate"].values, upscaled(one).values)
    assert (made["n_effective"] == 1).all()
    assert made.sizes["time"] == 1
    np.testing.assert_array_equal(made["std"].values, one.sr.interval(device="cpu", model="kriging")["std"].values)


def test_windows_of_one_date_are_the_single_images_and_those_without_one_are_left_out(cube: xr.DataArray):
    seldom = cube.isel(time=[0, 1, 4])

    made = joined(seldom, "3D")

    np.testing.assert_array_equal(made["time"].values, seldom["time"].values)
    np.testing.assert_array_equal(made["estimate"].values, upscaled(seldom).values)
    known = np.isfinite(made["estimate"].values).all(axis=1)  # shifted dates end in a corner
    assert known.mean() > 0.95
    np.testing.assert_array_equal(made["n_effective"].values, known)
    np.testing.assert_array_equal(made["weight"].values, known)


def test_the_result_has_the_form_and_grid_of_upscale_and_says_when(cube: xr.DataArray):
    made = joined(cube, "9D")

    whole = upscaled(cube.isel(time=[2, 4]))
    assert made["estimate"].dims == whole.dims
    assert made["estimate"].odc.geobox == whole.odc.geobox
    np.testing.assert_array_equal(made["time"].values, cube["time"].values[[2, 4]])
    np.testing.assert_array_equal(
        made["time_bounds"].values.astype("datetime64[D]"),
        np.array([["2023-06-01", "2023-06-10"], ["2023-06-10", "2023-06-19"]], "datetime64[D]"),
    )
    assert made["window_dates"].values.tolist() == [3, 2]
    np.testing.assert_array_equal(made["window"].values, cube["time"].values[[2, 2, 2, 4, 4]])
    assert made["weight"].dims == ("date", "y", "x") and made.sizes["date"] == 5
    assert made["gain"].sizes["measured_band"] == 2
    edges = ("region_y_start", "region_y_stop", "region_x_start", "region_x_stop")
    assert all(made[name].attrs["long_name"] for name in ("date", "window", "measured_band", *edges))
    box = cube.odc.geobox.extent.boundingbox
    assert [made[name].item() for name in edges] == [box.top, box.bottom, box.left, box.right]
    assert {made[name].attrs["units"] for name in edges} == {made["y"].attrs["units"]}
    assert made.attrs["xr_sr:model"] == "kriging"
    assert (made["lower"] < made["estimate"]).all() and (made["estimate"] < made["upper"]).all()


def test_nothing_is_read_before_it_is_computed(cube: xr.DataArray):
    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("was read")

    lazy = cube.chunk({"time": 1, "y": 24, "x": 24})
    lazy = lazy.copy(data=lazy.data.map_blocks(refuse, dtype="float32", meta=np.empty((0,) * 4, "float32")))

    made = lazy.sr.multiframe("60D", device="cpu")

    assert made.chunks
    with pytest.raises(AssertionError, match="was read"):
        made["estimate"].compute(scheduler="synchronous")


def test_values_do_not_depend_on_how_the_cube_is_cut(cube: xr.DataArray):
    whole = joined(cube.chunk(-1))

    for chunks, block in (({"time": 1, "y": 17, "x": 48}, None), ({"time": 2, "y": 48, "x": 11}, 16)):
        cut = joined(cube.chunk(chunks), chunks=block)
        for name in ("estimate", "std", "n_effective", "weight"):
            np.testing.assert_allclose(cut[name].values, whole[name].values, rtol=0, atol=1e-6, err_msg=name)


def test_changed_ground_falls_back_to_the_single_image_and_says_so(cube: xr.DataArray):
    changed = cube.copy(deep=True)
    changed[:-1, :, 14:26, 14:26] += 0.15  # on all dates but the one that is shown

    made = joined(changed)

    inside, beside = (slice(72, 88),) * 2, (slice(150, 186),) * 2
    single, clean = upscaled(cube.isel(time=-1)), joined(cube)
    apart = np.abs(made["estimate"][0].values - single.values)[:, *inside].max()
    assert apart < 0.004
    assert made["n_effective"][0].values[inside].max() < 1.5
    assert made["n_effective"][0].values[beside].mean() > 4
    assert (made["std"][0].values[:, *inside] > clean["std"][0].values[:, *inside]).all()


def test_faint_change_is_noticed_by_its_extent(cube: xr.DataArray):
    changed = cube.copy(deep=True)
    changed[:-1, :, 14:26, 14:26] += 0.005  # three times the noise: little beside the detail of these images

    counted = joined(changed)["n_effective"][0].values

    assert counted[72:88, 72:88].max() < 1.2  # 2.8 by the energy of innovations alone
    assert counted[150:186, 150:186].mean() > 4.5


def test_a_brighter_date_is_brought_to_the_reference(cube: xr.DataArray):
    bright = cube.copy(deep=True)
    bright[1] = bright[1] * 1.1 + 0.01

    made, clean = joined(bright), joined(cube)

    np.testing.assert_allclose(made["gain"].values[1].ravel(), 1.1, atol=0.02)
    np.testing.assert_allclose(made["offset"].values[1].ravel(), 0.01, atol=0.003)
    assert abs(psnr(made["estimate"][0], fine_ground()) - psnr(clean["estimate"][0], fine_ground())) < 0.15


def test_dates_and_pixels_without_values_do_not_count(cube: xr.DataArray):
    holes = cube.copy(deep=True)
    holes[0] = np.nan  # a whole date
    holes[1, :, :20] = np.nan  # a part of one
    holes[:, :, 40:, 40:] = np.nan  # on all dates

    made = joined(holes)

    assert (made["weight"][0] == 0).all()
    assert (made["weight"][1, : 20 * 4] == 0).all() and made["weight"][1, 100:150, :150].mean() > 0.5
    assert np.isnan(made["estimate"][0, :, 160:, 160:]).all()
    assert (made["n_effective"][0, 160:, 160:] == 0).all()
    assert np.isfinite(made["estimate"][0, :, :160, :160]).all()
    assert np.isnan(made["shift_y"][0]).all() and made["region_weight"][0] == 0


def test_holes_of_the_reference_are_filled_from_other_dates_and_marked(cube: xr.DataArray):
    holes = cube.copy(deep=True)
    holes[-1, :, 10:20, 12:22] = np.nan

    made = joined(holes)

    filled = made["estimate"][0].values[:, 40:80, 48:88]
    assert np.isfinite(filled).all()
    assert (made["weight"][-1, 40:80, 48:88] == 0).all()
    truth = fine_ground().values[:, 40:80, 48:88]
    plain = upscaled(cube.isel(time=-1)).values[:, 40:80, 48:88]
    assert np.square(filled - truth).mean() < 1.5 * np.square(plain - truth).mean()


@pytest.mark.parametrize("rest", [0, 12])
def test_a_reference_under_clouds_is_filled_from_dates_that_are_compared_with_each_other(cube: xr.DataArray, rest: int):
    cloudy = cube.copy(deep=True)
    cloudy[-1] = np.nan
    cloudy[-1, :, :rest, :rest] = cube[-1, :, :rest, :rest]  # 6 % of the date, or nothing

    made, clear = joined(cloudy), joined(cube.isel(time=slice(0, -1)))

    assert made["time"].values[0] == cube["time"].values[-1]
    assert np.isfinite(made["estimate"]).all()
    found = np.stack([made["shift_y"].values.ravel(), made["shift_x"].values.ravel()], -1)
    np.testing.assert_allclose(found[:-1], np.array(SHIFTS[:-1]) - SHIFTS[-2], atol=0.05)  # it lies as the anchor does
    assert (made["region_weight"] == 1).all()
    assert made["shift_quality"].values.ravel().tolist() == [0, 0, 0, 0, 1]  # where it lies is not known
    beside = (slice(0, 1), slice(None), slice(4 * (rest + 14), None), slice(4 * (rest + 14), None))
    apart = made["estimate"].values[beside] - clear["estimate"].values[beside]
    assert np.sqrt(np.square(apart).mean()) < 1.5e-3  # the standard deviation is 0.013
    np.testing.assert_allclose(made["std"].values[beside], clear["std"].values[beside], rtol=1e-4)
    weights = made["weight"].values[:, 4 * rest : -8, 4 * rest : -8]  # some dates end in a corner
    assert (weights[-1] == 0).all() and (weights[-2] == 1).all()
    np.testing.assert_allclose(made["n_effective"][0].values, made["weight"].sum("date").values, rtol=1e-5)
    corner = made["weight"].values[:, : 4 * rest, : 4 * rest]  # what the date shows itself
    assert (corner[-1] == 1).all() and (corner[:-1] == 0).all()


def test_dates_of_unknown_place_leave_pixels_of_the_reference_as_they_are(cube: xr.DataArray):
    cloudy = cube.copy(deep=True)
    cloudy[-1, :, 30:] = np.nan
    numbers = joined(cube)[["shift_y", "shift_x", "shift_quality", "region_weight", "gain", "offset"]]
    numbers["shift_quality"].values[:-1] = 0

    made = joined(cloudy, registration=numbers)

    reach = 4 * 12  # of the kernel, and of filling
    single = upscaled(cloudy.isel(time=-1)).values[:, : 120 - reach]
    np.testing.assert_allclose(made["estimate"][0].values[:, : 120 - reach], single, rtol=0, atol=1e-6)
    assert (made["n_effective"][0].values[:120] == 1).all()
    assert made["n_effective"][0].values[124:-8, 8:-8].min() > 1.5
    assert np.isfinite(made["estimate"][0].values[:, :-8]).all()


def test_a_median_reference_is_one_of_the_dates_that_show_enough(cube: xr.DataArray):
    cloudy = cube.copy(deep=True)
    cloudy[0], cloudy[3, :, 4:] = np.nan, np.nan

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        chosen = cloudy.sr.multiframe("60D", device="cpu", reference="median")["time"].values[0]

    shifts = np.array(SHIFTS)[[1, 2, 4]]
    nearest = int(np.argmin(np.hypot(*(shifts - np.median(shifts, axis=0)).T)))
    assert chosen == cube["time"].values[[1, 2, 4]][nearest]


def test_a_mask_with_dates_leaves_out_what_it_hides(cube: xr.DataArray):
    keep = xr.ones_like(cube.isel(band=0, drop=True), dtype=bool)
    keep[1, :20] = False
    hidden = cube.where(keep)

    np.testing.assert_allclose(
        joined(cube, mask=keep)["estimate"].values, joined(hidden)["estimate"].values, rtol=0, atol=1e-6
    )


def test_digital_numbers_with_offsets_are_joined_as_reflectance(cube: xr.DataArray):
    counts = (cube * 10_000 + 1000).round().astype("uint16")

    made = joined(counts, offset=-1000)

    np.testing.assert_allclose(made["estimate"].values, joined(cube)["estimate"].values, atol=3e-3)


def test_two_measurements_of_one_time_count_twice():
    own = series((*SHIFTS, SHIFTS[1]), side=24)
    twice = own.assign_coords(time=own["time"].values[[0, 1, 2, 3, 4, 1]]).sortby("time")

    made = joined(twice)

    assert made.sizes["date"] == 6
    assert made["n_effective"].max() > 5.5


@pytest.mark.parametrize("date", [1, 4])  # the last one is shown
@pytest.mark.parametrize("later", [0, 25])
def test_a_date_given_twice_counts_once(cube: xr.DataArray, date: int, later: int):
    small = cube.isel(y=slice(0, 24), x=slice(0, 24))
    again = small.isel(time=[date])
    again = again.assign_coords(time=again["time"] + np.timedelta64(later, "s"))
    twice = xr.concat([small, again], "time").sortby("time")

    made, once = joined(twice), joined(small)

    assert made.sizes["date"] == 6 and twice.sizes["time"] == 6
    for name in ("estimate", "std", "n_effective"):
        np.testing.assert_allclose(made[name].values, once[name].values, rtol=0, atol=1e-6, err_msg=name)
    copy, own = sorted([date, date + 1], key=lambda place: made["weight"].values[place].sum())
    assert (made["weight"][copy] == 0).all()
    np.testing.assert_array_equal(made["weight"][own].values, once["weight"][date].values)


def test_only_pixels_that_two_images_of_an_overpass_share_count_once(cube: xr.DataArray):
    left, right = cube.isel(time=[1]).copy(deep=True), cube.isel(time=[1]).copy(deep=True)
    left[..., 32:], right[..., :16] = np.nan, np.nan  # both show columns 16 to 31
    halves = xr.concat([cube.isel(time=[0]), left, right, cube.isel(time=slice(2, None))], "time")

    made = joined(halves)

    both = made["weight"].values[1:3]
    inside, shared = (slice(20, -20), slice(20, -20)), (slice(20, -20), slice(64 + 8, 128 - 8))
    assert both.sum(axis=0).max() <= 1
    assert both.sum(axis=0)[inside].mean() > 0.85
    assert (both[1][shared] == 0).all() and both[0][shared].mean() > 0.8
    assert both[1][20:-20, 136:-20].mean() > 0.8 and made["n_effective"].max() <= 5


def test_the_reference_may_be_a_date_or_the_one_nearest_to_the_median_shift(cube: xr.DataArray):
    dated = joined(cube, reference="2023-06-04")
    middle = joined(cube, reference="median")

    assert dated["time"].values[0] == cube["time"].values[1]
    np.testing.assert_allclose(dated["shift_y"].values.ravel(), np.array(SHIFTS)[:, 0] - SHIFTS[1][0], atol=0.05)
    shifts = np.array(SHIFTS)
    nearest = int(np.argmin(np.hypot(*(shifts - np.median(shifts, axis=0)).T)))
    assert middle["time"].values[0] == cube["time"].values[nearest]


def test_a_dataset_and_other_scales_work_alike(cube: xr.DataArray):
    bands = cube.to_dataset("band")

    made, whole = joined(bands), joined(cube)

    np.testing.assert_allclose(
        made["estimate"].sel(band="B08").values, whole["estimate"].sel(band="B08").values, rtol=0, atol=1e-6
    )
    assert joined(cube, scale=2, calibrated=False)["estimate"].sizes["y"] == 2 * SIDE


def test_the_result_is_an_interval_for_indices(cube: xr.DataArray):
    made = joined(cube)

    found = made.sr.index("NDVI")

    assert {"estimate", "std"} <= set(found.data_vars)


def test_a_summary_counts_the_dates_that_could_not_be_used(cube: xr.DataArray):
    cloudy = cube.copy(deep=True)
    cloudy[1] = np.nan

    lazy = cloudy.sr.multiframe("60D", device="cpu")

    assert "5 dates to 1 image; which" in repr(lazy.sr)
    assert "1 of the dates" in repr(joined(cloudy).sr)
    assert "all dates are used" in repr(joined(cube).sr)


def test_a_window_without_dates_and_a_geotiff_of_dates_say_what_to_do(cube: xr.DataArray, tmp_path: Path):
    with pytest.raises(OptionError, match="drop_incomplete=False"):
        cube.sr.multiframe(SeasonResampler(["MAM", "JJA", "SON", "DJF"]))
    with pytest.raises(StoreError, match=r"2 along 'time'"):
        joined(cube, "9D")[["estimate", "std"]].sr.to_cog(tmp_path / "fine.tif")


def test_a_geotiff_holds_the_images_of_one_window(cube: xr.DataArray, tmp_path: Path):
    rioxarray = pytest.importorskip("rioxarray")
    made = joined(cube).isel(time=0)

    with pytest.warns(BandWarning, match=r"made\[\['estimate', 'std', 'lower', 'upper'\]\]"):
        path = made.sr.to_cog(tmp_path / "fine.tif")

    found = rioxarray.open_rasterio(path, mask_and_scale=True)
    assert found.attrs["long_name"][:3] == ("estimate B04", "estimate B08", "std B04") and len(found) == 8
    np.testing.assert_allclose(found[:2].values, made["estimate"].values, atol=6e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BandWarning)
        made[["estimate", "std"]].sr.to_cog(tmp_path / "two.tif")


def test_a_summary_and_a_picture_say_that_dates_were_joined(cube: xr.DataArray):
    made = joined(cube, "9D")

    assert "made by  kriging, multiframe, 2 to 3 dates, from" in repr(made["estimate"].sr)
    assert title_of(made["estimate"].isel(time=0)) == "multiframe, 3 dates"
    assert title_of(made.isel(time=1)) == "multiframe, 2 dates"
    assert title_of(upscaled(cube.isel(time=0))) == "kriging"
    text = repr(made.drop_dims("time").sr)
    assert "dates of multiframe" in text and "5 dates to 2 images" in text and "rename" not in text
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    figure = made["estimate"].isel(time=0).sr.compare(cube.isel(time=2), bands=["B04"])
    assert any("multiframe, 3 dates" in each.get_title(loc="left") + each.get_title() for each in figure.axes)


def test_water_of_joined_dates_says_which_map_is_wanted(cube: xr.DataArray):
    water = joined(cube)["estimate"].sel(band=["B08"]).mean("band")
    found = xr.Dataset({"estimate": water, "std": 0 * water + 0.01}).sr.water(None, threshold=0.2)

    with pytest.raises(CubeError, match="multiframe draws none"):
        found.sr.areas()
    with pytest.raises(CubeError, match=r"mask\['water'\]"):
        water_history(found)
    assert found["water"].sr.areas().sum() > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "sen2sr"}, "model='sen2sr'"),
        ({"strength": 0.5}, "strength="),
        ({"max_shift": 20}, "max_shift"),
        ({"window": "soon"}, "window='soon'"),
        ({"reference": "2020-01-01"}, "reference='2020-01-01'"),
        ({"level": 2}, "level"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_what_is_wanted(
    cube: xr.DataArray, options: dict[str, object], words: str
):
    with pytest.raises(OptionError, match=words):
        cube.sr.multiframe(**options)


def test_cubes_without_dates_and_with_other_dimensions_are_refused(cube: xr.DataArray):
    with pytest.raises(CubeError, match="dimension of dates"):
        cube.isel(time=0).sr.multiframe()
    with pytest.raises(CubeError, match="run"):
        cube.expand_dims("run").sr.multiframe()
    with pytest.raises(CubeError, match="assign_coords"):
        cube.drop_vars("time").sr.multiframe()


def test_attributes_say_how_windows_and_dates_were_chosen(cube: xr.DataArray):
    small = cube.isel(y=slice(0, 16), x=slice(0, 16))

    def said(made: xr.Dataset) -> list[object]:
        return [made.attrs[f"xr_sr:{name}"] for name in ("window", "reference", "max_shift", "registration")]

    middle = joined(small, timedelta(days=60), reference="median", max_shift=2)
    assert said(joined(small, "9D")) == ["9D", "latest", 3.0, "measured"]
    assert said(middle)[1:] == ["median", 2.0, "measured"]
    assert said(joined(small, ["2023-06-01"], reference="2023-06-04")) == ["dates", "given", 3.0, "measured"]
    assert said(joined(small, ["2023-06-01"], registration=middle)) == ["dates", "median", 3.0, "given"]
    assert said(joined(small, SeasonResampler(["JJA"], drop_incomplete=False)))[0] == "SeasonResampler"


def test_the_dimension_of_dates_keeps_its_name(cube: xr.DataArray):
    small = cube.isel(y=slice(0, 16), x=slice(0, 16))

    made, wanted = joined(small.rename(time="t"), "9D"), joined(small, "9D")

    assert made["t"].attrs["bounds"] == "t_bounds" and "time" not in made.variables
    assert made["t_bounds"].dims == ("t", "bounds")
    np.testing.assert_array_equal(made["t_bounds"].values, wanted["time_bounds"].values)
    np.testing.assert_array_equal(made["t"].values, wanted["time"].values)
    np.testing.assert_array_equal(made["estimate"].values, wanted["estimate"].values)


@pytest.mark.parametrize("name", ["date", "window", "bounds", "region_y", "measured_band"])
def test_a_dimension_of_dates_with_a_name_of_the_result_is_refused(cube: xr.DataArray, name: str):
    with pytest.raises(CubeError, match=rf"rename\({name}='time'\)"):
        cube.rename(time=name).sr.multiframe()


def test_what_was_measured_serves_a_crop_and_gives_the_values_of_the_whole():
    wide = series(side=96)
    whole = joined(wide)
    crop = wide.isel(y=slice(20, 80), x=slice(8, 72))

    made = joined(crop, registration=whole)

    np.testing.assert_array_equal(made["shift_y"].values, whole["shift_y"].values)
    edge = 4 * 23  # beyond the reach of the kernel: a crop mirrors what lies beyond its edge
    inner = (..., slice(edge, 4 * 60 - edge), slice(edge, 4 * 64 - edge))
    there = (..., slice(80 + edge, 320 - edge), slice(32 + edge, 288 - edge))
    for name in ("estimate", "std", "n_effective"):
        np.testing.assert_allclose(made[name].values[inner], whole[name].values[there], rtol=0, atol=1e-6, err_msg=name)


def test_numbers_that_were_measured_are_not_measured_again(cube: xr.DataArray, monkeypatch: pytest.MonkeyPatch):
    whole = joined(cube)
    numbers = whole[["shift_y", "shift_x", "shift_quality", "region_weight", "gain", "offset"]]

    def refuse(*given: object) -> None:
        raise AssertionError("dates were compared")

    monkeypatch.setattr("xr_sr.registration.series.compare", refuse)
    monkeypatch.setattr("xr_sr.registration.parts.compare", refuse)

    made = joined(cube, registration=numbers)

    np.testing.assert_allclose(made["estimate"].values, whole["estimate"].values, rtol=0, atol=1e-7)


def test_recorded_shifts_that_are_longer_than_asked_for_are_refused(cube: xr.DataArray):
    numbers = joined(cube)[["shift_y", "shift_x", "shift_quality", "region_weight", "gain", "offset"]]

    with pytest.raises(OptionError, match=r"max_shift=0.1: .* 0.4\d pixels.*max_shift=1"):
        cube.sr.multiframe("60D", registration=numbers, max_shift=0.1)
    numbers["shift_x"].values[1] = 5.2
    with pytest.raises(OptionError, match="max_shift=3: .* up to 5.20 pixels"):
        cube.sr.multiframe("60D", registration=numbers)
    assert joined(cube, registration=numbers, max_shift=6)["weight"].max() == 1
    numbers["region_weight"].values[1] = 0  # not used
    assert (joined(cube, registration=numbers)["weight"][1] == 0).all()


def test_a_registration_of_other_dates_bands_or_grids_is_refused(cube: xr.DataArray):
    whole = joined(cube)

    with pytest.raises(OptionError, match="registration="):
        joined(cube, registration=cube)
    with pytest.raises(OptionError, match="registration=.*B08"):
        joined(cube, registration=whole.sel(measured_band=["B04"]))
    with pytest.raises(OptionError, match="registration="):
        joined(cube.assign_coords(time=cube.time + np.timedelta64(400, "D")), registration=whole)
    with pytest.raises(OptionError, match="registration="):
        joined(cube, registration=whole, reference="2023-06-04")
    with pytest.raises(GridError, match="registration="):
        joined(cube.assign_coords(x=cube.x + 3.0), registration=whole)


@pytest.mark.parametrize("hidden", [-1, 1])
def test_a_cloud_in_the_middle_of_a_region_leaves_shifts_and_weights_as_they_are(
    monkeypatch: pytest.MonkeyPatch, hidden: int
):
    monkeypatch.setattr("xr_sr.registration.parts.COMPARED", 48)
    cloudy = series(side=120)
    cloudy[hidden, :, 34:86, 34:86] = np.nan

    with dask.config.set(scheduler="synchronous"):
        found = cloudy.sr.multiframe("60D")[["shift_y", "shift_x", "shift_quality", "region_weight"]].compute()

    shifts = np.stack([found["shift_y"].values.ravel(), found["shift_x"].values.ravel()], -1)
    np.testing.assert_allclose(shifts, SHIFTS, atol=0.07)
    assert (found["region_weight"] == 1).all() and (found["shift_quality"] > 0.9).all()
