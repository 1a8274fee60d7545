"""A comparison shows the same ground in every panel with one stretch, computes only that, and measures what differs."""

from __future__ import annotations

import sys

import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

import xr_sr
from tests.cubes import array, times
from xr_sr import errors
from xr_sr.cube.coordinates import coords
from xr_sr.datasets import sample, simulate_scene
from xr_sr.metrics import consistency
from xr_sr.pipeline.api import upscale
from xr_sr.plot import compare

RGB = ("B04", "B03", "B02")


@pytest.fixture(scope="module")
def scene() -> dict[str, xr.Dataset]:
    """A small synthetic scene of two dates: lr, sr (nearest) and hr, with easy access."""
    tree = simulate_scene((40, 48), ["2023-04-20", "2023-07-20"], bands=RGB, noise=0)
    lr = tree["lr/r10m"].to_dataset().compute()
    return {"lr": lr, "sr": upscale(lr, "nearest"), "hr": tree["hr"].to_dataset().compute()}


def cube(values: np.ndarray, step: float = 2.5, *, crs: str = "EPSG:32633", origin=(500_000, 5_000_000)) -> xr.Dataset:
    """Make reflectance (band, y, x) in R G B a cube on a grid, north-up."""
    geobox = GeoBox(values.shape[1:], Affine(step, 0, origin[0], 0, -step, origin[1]), crs)
    places = coords(geobox)
    y, x = geobox.dimensions
    return xr.Dataset(
        {band: ((y, x), plane.astype("float32")) for band, plane in zip(RGB, values, strict=True)}, places
    )


def pictures(figure) -> dict[str, np.ndarray]:
    """Return what is drawn, by title."""
    return {axes.get_title(loc="left"): axes.images[0].get_array() for axes in figure.axes if axes.images}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.05, 0.25, shape)


def test_panels_are_named_with_their_pixel_size(scene):
    assert list(pictures(compare(**scene))) == ["LR, 10 m", "bicubic, 2.5 m", "nearest, 2.5 m", "HR, 2.5 m"]
    assert list(pictures(compare(sr=scene["sr"]))) == ["nearest, 2.5 m"]
    assert list(pictures(compare(scene["lr"], upscale(scene["lr"], "bicubic")))) == ["LR, 10 m", "bicubic, 2.5 m"]


def test_panels_show_the_same_ground_with_one_stretch(scene):
    shown = pictures(compare(**scene, max_pixels=64))

    assert {image.shape for image in shown.values()} == {(64, 64, 4)}
    np.testing.assert_allclose(shown["LR, 10 m"], shown["nearest, 2.5 m"], atol=1e-5)


def test_limits_are_reflectance_of_black_and_white(scene):
    shown = pictures(compare(sr=scene["sr"], limits=(0.0, 0.2), max_pixels=1000))["nearest, 2.5 m"]

    red = scene["sr"].B04.isel(time=0).values
    np.testing.assert_allclose(shown[..., 0], np.clip(red / 0.2, 0, 1), atol=1e-6)


def test_the_middle_is_shown_on_whole_pixels_of_lr(scene):
    shown = pictures(compare(scene["lr"], scene["sr"], limits=(0, 1), max_pixels=50))["nearest, 2.5 m"]

    # 160 x 192 fine pixels, the middle 50, of which 48 are whole coarse ones.
    np.testing.assert_allclose(
        shown[..., 0], scene["sr"].B04.isel(time=0, y=slice(56, 104), x=slice(72, 120)), atol=1e-6
    )


def test_a_window_is_in_the_unit_of_the_crs(scene):
    left, top = scene["sr"].odc.geobox.affine.c, scene["sr"].odc.geobox.affine.f
    window = (left + 20, top - 80, left + 60, top - 50)

    shown = pictures(compare(scene["lr"], scene["sr"], window=window, limits=(0, 1)))["nearest, 2.5 m"]
    np.testing.assert_allclose(shown[..., 0], scene["sr"].B04.isel(time=0, y=slice(20, 32), x=slice(8, 24)), atol=1e-6)


def test_the_bicubic_panel_is_the_bicubic_model_even_at_the_edge(scene):
    whole = upscale(scene["lr"], "bicubic").isel(time=0)
    shown = pictures(compare(scene["lr"], scene["sr"], limits=(0, 1), max_pixels=1000))["bicubic, 2.5 m"]
    inner = pictures(compare(scene["lr"], scene["sr"], limits=(0, 1), max_pixels=32))["bicubic, 2.5 m"]

    np.testing.assert_allclose(shown[..., 1], whole.B03, atol=1e-5)
    np.testing.assert_allclose(inner[..., 1], whole.B03[64:96, 80:112], atol=1e-5)


@pytest.mark.parametrize("date", ["2023-07-20", "2023-06-30T10:00Z", np.datetime64("2024-01-01"), 1, -1])
def test_a_date_is_the_nearest_stamp_or_a_position(scene, date):
    figure = compare(**scene, date=date, limits=(0, 1), max_pixels=1000)

    np.testing.assert_allclose(pictures(figure)["HR, 2.5 m"][..., 0], scene["hr"].B04[1], atol=1e-6)
    assert any("2023-07-20" in text.get_text() for text in figure.texts)


def test_lr_and_hr_follow_the_date_of_sr(scene):
    later = {"sr": scene["sr"].isel(time=[1]), "lr": scene["lr"], "hr": scene["hr"].isel(time=1)}

    shown = pictures(compare(**later))
    np.testing.assert_allclose(shown["LR, 10 m"], shown["nearest, 2.5 m"], atol=1e-5)


def test_offsets_of_the_date_are_applied():
    dn = xr.Dataset({band: (("time", "y", "x"), np.full((2, 8, 8), 3000, "uint16")) for band in RGB})
    dn["B04"][1, 0, 0] += 500
    places = {
        "time": np.array(["2021-01-01", "2023-01-01"], "datetime64[ns]"),
        "s2:processing_baseline": ("time", ["03.01", "05.09"]),
    }
    lr = dn.assign_coords(places | coords(GeoBox((8, 8), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")))
    sr = upscale(lr, "nearest")

    for position, reflectance in enumerate((0.3, 0.2)):
        shown = pictures(compare(lr, sr, limits=(0, 1), date=position))["LR, 10 m"]
        assert shown[-1, -1, 0] == pytest.approx(reflectance)


def test_radiometry_is_taken_as_by_upscale():
    dn = array(np.full((3, 4, 24, 32), 3000, "uint16")).assign_coords(time=times(3))
    dn[..., 0, 0] = 65535
    numbers = {"offset": -1000, "quantification": 5000, "nodata": [0, 65535]}
    sr = upscale(dn, "nearest", **numbers)

    shown = pictures(compare(dn, sr, limits=(0, 1), **numbers))["LR, 10 m"]
    assert shown[-1, -1, 0] == pytest.approx(0.4)
    assert (shown[0, 0] != shown[-1, -1]).any()
    stretched = xr_sr.plot.explore(dn, limits=(0, 1), **numbers)
    assert stretched.html == xr_sr.plot.explore(dn.sr.set_radiometry(**numbers), limits=(0, 1)).html
    xr_sr.plot.animate(dn, limits=(0, 1), **numbers)
    with pytest.raises(errors.RadiometryError, match="nodata="):
        compare(dn, sr, limits=(0, 1), offset=-1000, quantification=5000, nodata="none")


def test_only_the_window_is_computed():
    touched = []

    def touch(block, block_info=None):
        touched.append(block_info[None]["chunk-location"])
        return block + 0.05

    places = coords(GeoBox((4096, 4096), Affine(2.5, 0, 0, 0, -2.5, 0), "EPSG:32633"))
    lazy = da.zeros((4096, 4096), chunks=512, dtype="float32").map_blocks(
        touch, dtype="float32", meta=np.empty((0, 0), "float32")
    )
    sr = xr.Dataset(dict.fromkeys(RGB, (("y", "x"), lazy)), places)

    compare(sr=sr, max_pixels=600, limits=(0, 1))
    assert set(touched) <= {(row, column) for row in (3, 4) for column in (3, 4)}


def test_a_tree_a_dataset_and_a_stacked_array_look_the_same():
    tree = sample()
    dataset = tree["r10m"].to_dataset()
    stacked = dataset.to_dataarray("band")
    for form in (dataset, stacked.transpose("x", "band", "y")):
        sr, reference = upscale(form, "nearest"), upscale(tree["r10m"], "nearest")

        one, other = pictures(compare(form, sr, max_pixels=80)), pictures(compare(tree, reference, max_pixels=80))
        for title in other:
            np.testing.assert_array_equal(one[title], other[title])


def test_bands_may_be_chosen_and_default_to_what_is_there():
    whole = upscale(sample()["r10m"], "nearest")
    gray = compare(sr=whole, bands=["B08"], max_pixels=40)
    false = compare(sr=whole.drop_vars("B02"), max_pixels=40)

    image = pictures(gray)["nearest, 2.5 m"]
    np.testing.assert_array_equal(image[..., 0], image[..., 2])
    assert any("false color" in text.get_text() for text in false.texts)
    assert any("true color" in text.get_text() for text in compare(sr=whole, max_pixels=40).texts)


def test_what_was_not_measured_is_transparent():
    values = noise(3, 20, 20)
    values[1, 3, 4] = np.nan

    shown = pictures(compare(sr=cube(values), max_pixels=20))["SR, 2.5 m"]
    assert shown[3, 4, 3] == 0
    assert (shown[..., 3] == 0).sum() == 1


def test_north_is_up_on_a_south_up_grid():
    up = cube(noise(3, 16, 12))
    down = up.isel(y=slice(None, None, -1))

    np.testing.assert_array_equal(pictures(compare(sr=down))["SR, 2.5 m"], pictures(compare(sr=up))["SR, 2.5 m"])


def test_pixels_in_degrees_are_drawn_as_wide_as_they_are():
    figure = compare(sr=cube(noise(3, 40, 40), 2.25e-5, crs="EPSG:4326", origin=(12, 60)))

    # At 60 degrees north a degree of longitude is half as long as one of latitude.
    assert figure.axes[0].get_aspect() == pytest.approx(2.0, rel=0.01)


def test_the_scale_bar_has_a_round_length():
    figure = compare(sr=cube(noise(3, 200, 400)))
    axes = figure.axes[0]
    left, right = axes.lines[0].get_xdata()

    assert axes.texts[0].get_text() == "200 m"
    assert (right - left) * 2.5 == pytest.approx(200, rel=0.01)


def maps_of(figure) -> dict[str, np.ndarray]:
    """Return the maps of differences from LR by the title before the rms, the last of each, at the pixels of LR."""
    shown = [(axes.get_title(loc="left"), axes.images[0].get_array()) for axes in figure.axes if axes.images]
    return {title.partition(":")[0]: image[::4, ::4] for title, image in shown if "− LR" in title}


def with_coarse_band(values: np.ndarray, step: float) -> xr.Dataset:
    made = cube(values, step)
    return made[["B04"]].assign(B11=made["B03"])


@pytest.mark.parametrize("options", [{}, {"psf": 2.5}, {"mtf": 0.01}, {"psf": np.ones((9, 51))}])
@pytest.mark.parametrize("band", ["B04", "B11"])
def test_consistency_is_what_the_sensor_sees_minus_lr_even_beside_the_window(band, options):
    lr, fine = with_coarse_band(noise(3, 40, 44), 10), with_coarse_band(noise(3, 160, 176), 2.5)
    whole = consistency(lr[[band]], fine[[band]], at="pixel", **options)["reflectance"]
    window = (500_100, 4_999_750, 500_250, 4_999_900)  # 15 x 15 pixels of lr, of which those of 20 m are cut

    figures = [
        compare(lr, fine, bands=[band], difference="consistency", window=part, max_pixels=1000, **options)
        for part in (None, window)
    ]

    for figure, expected in zip(figures, (whole, whole[10:25, 10:25]), strict=True):
        maps = [axes for axes in figure.axes if "− LR" in axes.get_title(loc="left")]
        titles = [axes.get_title(loc="left") for axes in maps]
        assert len(titles) == 2 and all(title.startswith("seen by the sensor − LR: rms") for title in titles)
        np.testing.assert_allclose(np.abs(maps[-1].images[0].get_array()[::4, ::4]), expected, atol=2e-6)
        assert titles[-1].endswith(f"{np.sqrt(float((expected**2).mean())):.4f}")


def test_the_right_image_agrees_in_the_picture_and_not_by_the_mean_of_pixels():
    fine = cube(noise(3, 80, 96))
    lr = xr_sr.simulate.degrade(fine, factor=4).compute()

    by_sensor, by_mean = (
        maps_of(compare(lr, fine, difference="consistency", max_pixels=48, operator=each)) for each in ("auto", "block")
    )

    assert float(np.abs(by_sensor["seen by the sensor − LR"]).max()) < 1e-6
    assert float(np.abs(by_mean["averaged back − LR"]).max()) > 1e-3


@pytest.mark.parametrize("change", [{"platform": "landsat-8"}, {"B04": "B10"}])
def test_where_no_psf_is_known_pixels_are_averaged_and_the_title_says_so(change):
    lr, fine = cube(noise(3, 20, 24), 10), cube(noise(3, 80, 96))
    if "platform" in change:
        lr.attrs |= change
    else:
        lr, fine = lr.rename(change), fine.rename(change)
    shown = {"difference": "consistency", "bands": [change.get("B04", "B04")]}

    assert set(maps_of(compare(lr, fine, **shown))) == {"averaged back − LR"}
    assert set(maps_of(compare(lr, fine, **shown, psf="20 m"))) == {"seen by the sensor − LR"}
    with pytest.raises(errors.OptionError, match="operator='psf'"):
        compare(lr, fine, **shown, operator="psf")


@pytest.mark.parametrize(
    "options",
    [
        {"operator": "mean"}, {"operator": "block", "psf": 0.5}, {"psf": "x"}, {"mtf": 2}, {"mtf": 0.2, "psf": 0.5},
        {"difference": None, "psf": 0.5}, {"difference": None, "operator": "block"},
    ],
)  # fmt: skip
def test_operators_that_do_not_fit_are_refused(scene, options):
    with pytest.raises(errors.OptionError, match="operator=|mtf=|psf="):
        compare(scene["lr"], scene["sr"], **{"difference": "consistency"} | options)


def test_of_block_the_difference_is_the_average_back_minus_lr():
    fine, lr = noise(3, 40, 60), noise(3, 10, 15)
    figure = compare(cube(lr, 10), cube(fine), difference="consistency", operator="block", max_pixels=1000)

    off = fine.reshape(3, 10, 4, 15, 4).mean(axis=(2, 4)) - lr
    maps = [axes for axes in figure.axes if axes.get_title(loc="left").startswith("averaged back")]
    assert maps[-1].get_title(loc="left").endswith(f"rms {np.sqrt((off**2).mean()):.4f}")
    np.testing.assert_allclose(maps[-1].images[0].get_array()[::4, ::4], off.mean(axis=0), atol=1e-6)
    assert len(maps) == 2


def test_error_is_the_difference_from_hr():
    sr, hr = noise(3, 20, 24), noise(3, 20, 24)[:, ::-1]
    figure = compare(sr=cube(sr), hr=cube(hr), difference="error")

    assert f"minus HR: rms {np.sqrt(((sr - hr) ** 2).mean()):.4f}" in pictures(figure)
    np.testing.assert_allclose(figure.axes[2].images[0].get_array(), (sr - hr).mean(axis=0), atol=1e-6)


def test_equal_pictures_make_a_map_of_zeros():
    same = cube(noise(3, 8, 8))

    figure = compare(sr=same, hr=same, difference="error")
    assert float(np.abs(figure.axes[2].images[0].get_array()).max()) == 0


def test_hr_may_be_coarser_than_sr_and_reach_beyond_it():
    sr = cube(noise(3, 40, 40), 2.5, origin=(500_020, 4_999_990))
    hr = cube(noise(3, 40, 40), 5.0)

    shown = pictures(compare(sr=sr, hr=hr, limits=(0, 1)))
    np.testing.assert_allclose(shown["HR, 5 m"][::2, ::2, 0], hr.B04[2:22, 4:24], atol=1e-6)


def test_a_rotated_grid_is_compared_in_its_own_frame():
    turned = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    lr = xr.Dataset(
        {band: (("y", "x"), plane) for band, plane in zip(RGB, noise(3, 12, 10).astype("float32"), strict=True)}
    )
    lr = lr.assign_coords(coords(GeoBox((12, 10), turned, "EPSG:32633")))

    shown = pictures(compare(lr, upscale(lr, "nearest"), limits=(0, 1)))
    np.testing.assert_allclose(shown["LR, 10 m"], shown["nearest, 2.5 m"], atol=1e-6)


def test_pictures_can_be_saved_and_are_not_kept(tmp_path, scene):
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    figure = compare(**scene, difference="consistency")
    figure.savefig(tmp_path / "compare.png")

    assert (tmp_path / "compare.png").stat().st_size > 10_000
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bands": ["B04", "B03"]}, errors.OptionError, "bands="),
        ({"bands": "B04"}, errors.OptionError, "bands="),
        ({"bands": ["B12"]}, errors.MissingBandError, "B12"),
        ({"date": 7}, errors.OptionError, "2 dates"),
        ({"date": "yesteryear"}, errors.OptionError, "yesteryear"),
        ({"window": (0, 0, 10, 10)}, errors.GridError, "window="),
        ({"difference": "error", "hr": None}, errors.OptionError, "hr="),
        ({"difference": "consistency", "lr": None}, errors.OptionError, "lr="),
        ({"difference": "ssim"}, errors.OptionError, "ssim"),
        ({"sr": {"sen2sr": 1}}, errors.CubeError, "dict"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(scene, change, error, message):
    with pytest.raises(error, match=message):
        compare(**{**scene, **change})


def test_grids_that_do_not_lie_on_each_other_are_refused():
    sr = cube(noise(3, 40, 40))
    for other in (
        cube(noise(3, 40, 40), origin=(500_001, 5_000_000)),
        cube(noise(3, 40, 40), crs="EPSG:32634"),
        cube(noise(3, 30, 30), 3.1),
    ):
        with pytest.raises(errors.GridError, match="reproject"):
            compare(sr=sr, hr=other)


def test_a_window_without_valid_pixels_is_refused():
    with pytest.raises(errors.CubeError, match="window="):
        compare(sr=cube(np.full((3, 8, 8), np.nan)))


def test_without_matplotlib_the_extra_is_named(monkeypatch, scene):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(errors.MissingLibraryError, match=r"xr-sr\[viz\]"):
        compare(**scene)


def test_a_result_that_was_made_to_agree_is_titled_so():
    lr = xr_sr.sample("virginia")["lr/r10m"].to_dataset()

    def titles(**options: str) -> list[str]:
        figure = xr_sr.compare(lr, lr.sr.upscale("bicubic", **options))
        return [axes.get_title(loc="left") for axes in figure.axes]

    assert any("bicubic" in title and "measured" in title for title in titles(constraint="measured"))
    assert not any("measured" in title for title in titles())
