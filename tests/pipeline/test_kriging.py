"""`model="kriging"` on cubes: bands of all grids, chunks, georeference, options and their errors."""

from __future__ import annotations

import json
import math

import dask
import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, dataset, reflectance
from tests.pipeline.test_pansharpen import FINE, R20M, R60M, geobox_of, on_one_grid, tree_of
from xr_sr.errors import GridError, MissingBandError, OptionError
from xr_sr.kernels.psf import MTF_AT_NYQUIST

SCALES = {"r10m": 4, "r20m": 8}
"""From the pixels of each node of the sample to 2.5 m."""


def kriged(cube: xr.DataArray | xr.Dataset | xr.DataTree, **options: object) -> xr.Dataset | xr.DataArray:
    with dask.config.set(scheduler="synchronous"):
        return cube.sr.upscale("kriging", device="cpu", **options).compute()


def close(one: xr.DataArray, other: xr.DataArray) -> None:
    np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-6)


def pair() -> tuple[xr.DataArray, xr.DataArray]:
    """A fine scene, and what the sensor sees of it."""
    scene = xr_sr.simulate_scene(100, seed=3, bands=("B02", "B04", "B08"))
    fine = scene["hr"].to_dataset().to_dataarray("band").isel(time=0, drop=True).compute()
    return fine, xr_sr.simulate.degrade(fine, factor=4, noise="sentinel2").compute()


def test_bands_of_all_grids_come_from_their_own_pixels():
    tree = tree_of(96, 108)

    made = kriged(tree)

    assert set(made.data_vars) == {*FINE, *R20M, *R60M}
    assert made.odc.geobox == tree["r10m"].to_dataset().odc.geobox.zoom_to((384, 432))
    for node, bands, scale in (("r20m", R20M, 8), ("r60m", R60M, 24)):
        alone = kriged(tree[node].to_dataset(), scale=scale)
        assert alone.odc.geobox == made.odc.geobox
        for band in bands:
            close(made[band], alone[band])


def test_the_other_cube_brings_its_bands():
    tree = tree_of(96, 108)
    fine, coarse = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()

    made, whole = kriged(fine, other=coarse), kriged(tree)

    assert set(made.data_vars) == {*FINE, *R20M}
    for band in made.data_vars:
        close(made[band], whole[band])


def test_repeated_pixels_on_the_fine_grid_are_read_as_the_pixels_of_the_sensor():
    tree = tree_of(96, 108)

    made, whole = kriged(on_one_grid(tree)), kriged(tree)

    for band in whole.data_vars:
        close(made[band], whole[band])


@pytest.mark.parametrize("sides", [(96, 108), (40, 24), (17, 61)])
def test_values_do_not_depend_on_blocks(sides):
    tree = tree_of(96, 108)
    tree["r20m/B11"][14:19, 15] = np.nan
    tree["r60m/B01"][3, 2:4] = np.nan
    tree["r10m/B03"][40:44, 31] = np.nan

    made, whole = kriged(tree, chunks=sides), kriged(tree)

    for band in whole.data_vars:
        close(made[band], whole[band])
    assert np.isnan(whole["B11"].values).sum() == 5 * 64
    assert np.isnan(whole["B01"].values).sum() == 2 * 24**2
    assert np.isnan(whole["B03"].values).sum() == 4 * 16


def test_a_crop_has_the_values_of_the_whole():
    cube = array(reflectance(2, 80, 80), bands=("B04", "B08"), geobox=geobox_of(80, 80))

    whole, crop = kriged(cube), kriged(cube.isel(y=slice(20, 60), x=slice(24, 70)))

    inner = crop.isel(y=slice(80, -80), x=slice(80, -80))
    close(inner, whole.sel(y=inner.y, x=inner.x))


@pytest.mark.parametrize("scale", [2, 3, 5, 8])
def test_scales(scale):
    cube = array(reflectance(1, 40, 44), bands=("B04",), geobox=geobox_of(40, 44))

    made = kriged(cube, scale=scale, noise=1e-4)

    assert made.odc.geobox == cube.odc.geobox.zoom_to((40 * scale, 44 * scale))
    again = xr_sr.simulate.degrade(made, factor=scale, mtf=MTF_AT_NYQUIST["B04"])
    inner = (slice(None), slice(10, -10), slice(10, -10))
    assert (again - cube).values[inner].std() < 0.05 * cube.values[inner].std()


def test_seen_again_through_the_sensor_the_result_agrees_with_its_input():
    _, cube = pair()

    def again(model: str, **options: object) -> xr.DataArray:
        made = cube.sr.upscale(model, device="cpu", **options)
        return xr_sr.simulate.degrade(made, factor=4) - cube

    def rms(difference: xr.DataArray) -> float:
        return float((difference.isel(y=slice(12, -12), x=slice(12, -12)) ** 2).mean() ** 0.5)

    assert rms(again("kriging")) < 0.5 * rms(again("bicubic"))
    assert rms(again("kriging", noise=1e-5)) < 0.1 * rms(again("bicubic"))


def test_it_is_nearer_to_the_reference_than_bicubic_interpolation():
    fine, cube = pair()

    found = xr_sr.evaluate(cube, {each: cube.sr.upscale(each) for each in ("bicubic", "kriging")}, fine).compute()

    gain = found.psnr.sel(model="kriging") - found.psnr.sel(model="bicubic")
    assert float(gain.min()) > 0.5


def test_options_are_recorded_and_change_values():
    cube = array(reflectance(2, 40, 40), bands=("B04", "B08"), geobox=geobox_of(40, 40))
    plain = kriged(cube)

    for options in (
        {"mtf": 0.4},
        {"mtf": {"B04": 0.4}},
        {"noise": 0.01},
        {"noise": {"red": 0.01}},
        {"prior": (1.6, 1000)},
        {"strength": 0.5},
    ):
        other = kriged(cube, **options)
        assert other.attrs["xr_sr:options"] != plain.attrs["xr_sr:options"]
        assert float(abs(other - plain).sel(band="B04").max()) > 1e-4
    assert float(abs(kriged(cube, mtf={"B04": 0.4}) - plain).sel(band="B08").max()) == 0
    close(kriged(cube, mtf={band: MTF_AT_NYQUIST[band] for band in ("B04", "B08")}), plain)


def test_numbers_of_numpy_are_recorded_as_they_are():
    cube = array(reflectance(1, 24, 24), bands=("B04",), geobox=geobox_of(24, 24))

    made = cube.sr.upscale("kriging", mtf=np.float32(0.25), scale=np.int64(2), noise={"red": np.float64(0.002)})

    recorded = {"mtf": 0.25, "noise": {"B04": 0.002}, "prior": [1.35, 1000.0], "scale": 2, "strength": 1.0}
    assert json.loads(made.attrs["xr_sr:options"]) == recorded


def test_a_point_spread_function_is_given_by_its_width_or_its_weights():
    cube = array(reflectance(2, 40, 40), bands=("B04", "B08"), geobox=geobox_of(40, 40))
    width = math.sqrt(-2 * math.log(0.2)) / math.pi
    by_mtf = kriged(cube, mtf=0.2)

    for psf in (width, f"{width * 10} m", {"red": width, "B08": width}):
        close(kriged(cube, psf=psf), by_mtf)
    even = np.exp(-0.5 * ((np.arange(24) - 11.5) / 4 / width) ** 2)
    sampled = kriged(cube, psf=np.outer(even, even))
    assert float(abs(sampled - by_mtf).max()) < 2e-3 * float(abs(by_mtf - kriged(cube)).max())
    assert json.loads(sampled.attrs["xr_sr:options"])["psf"][0] == pytest.approx(even[0] * even)
    only_red = kriged(cube, psf={"B04": width})
    close(only_red.sel(band="B08"), kriged(cube).sel(band="B08"))


def bell(side: int, width: float) -> np.ndarray:
    """Weights of a Gaussian, (side, side). width: standard deviation in samples."""
    profile = np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / width) ** 2)
    return np.outer(profile, profile)


@pytest.mark.parametrize("constraint", ["auto", "measured"])
def test_a_kernel_may_be_as_wide_as_the_window_of_the_filters(constraint):
    """13 pixels of its own band, on each grid."""
    tree = tree_of(48, 54)

    def made(psf: object, bands: list[str]) -> xr.DataArray:
        return kriged(tree, scale=2, bands=bands, psf=psf, constraint=constraint).to_dataarray("band")

    wide = {"B04": bell(26, 2 * 0.53), "B11": bell(52, 4 * 0.53)}
    gaussian = made(0.53, ["B04", "B11"])
    assert float(abs(made(wide, ["B04", "B11"]) - gaussian).max()) < 0.02 * float(gaussian.std())
    for band, side in (("B04", 26), ("B11", 52)):
        for shape in ((side + 1, 3), (3, side + 1)):
            with pytest.raises(OptionError, match=rf"psf= of {band}.* {shape[0]} x {shape[1]} .* {side} a side"):
                tree.sr.upscale("kriging", scale=2, bands=[band], psf={band: np.ones(shape)}, constraint=constraint)


def test_what_no_filter_could_see_is_refused_before_anything_is_computed_of_it():
    """A kernel of some 10 000 x 10 000 weights would take gigabytes as rows of numbers, and hours as products."""
    cube = array(reflectance(1, 24, 24), bands=("B04",), geobox=geobox_of(24, 24))
    enormous = np.broadcast_to(np.float32(1), (100_000, 100_000))

    for psf in (enormous, {"B04": enormous}):
        with pytest.raises(OptionError, match="psf.*100000 x 100000 .* 1872"):
            cube.sr.upscale("kriging", psf=psf)
    for model, options in (("kriging", {}), ("bicubic", {"constraint": "measured"})):
        with pytest.raises(OptionError, match="mtf=1e-30 of B04 .* at most 3"):
            cube.sr.upscale(model, mtf=1e-30, **options)
    assert np.isfinite(kriged(cube, mtf=1e-19)).all()


@pytest.mark.parametrize("factor", [4, 3])
def test_a_kernel_of_any_shape_agrees_with_degrade(factor):
    fine, _ = pair()
    rows, columns = np.mgrid[-6:7, -5:6]
    kernel = np.exp(-0.5 * ((rows - 0.8) ** 2 / 4 + (columns + 0.5) ** 2 / 6)) * (rows + columns > -6)
    seen = xr_sr.simulate.degrade(fine, factor=factor, kernel=kernel).compute()

    made = kriged(seen, scale=factor, psf=kernel, noise=1e-5)

    again = xr_sr.simulate.degrade(made, factor=factor, kernel=kernel) - seen
    smooth = xr_sr.simulate.degrade(kriged(seen, scale=factor, noise=1e-5), factor=factor, kernel=kernel) - seen
    inner = {"y": slice(12, -12), "x": slice(12, -12)}
    assert float(again.isel(inner).std()) < 0.2 * float(smooth.isel(inner).std())


def test_the_measured_constraint_sees_through_the_same_point_spread_function():
    fine, _ = pair()
    rows, columns = np.mgrid[-6:6, -6:6] + 0.5
    kernel = np.exp(-0.5 * ((rows + columns) ** 2 / 8 + (rows - columns) ** 2 / 14))
    seen = xr_sr.simulate.degrade(fine, factor=4, kernel=kernel).compute()

    made = kriged(seen, psf=kernel, constraint="measured")

    again = xr_sr.simulate.degrade(made, factor=4, kernel=kernel) - seen
    plain = xr_sr.simulate.degrade(kriged(seen, constraint="measured"), factor=4, kernel=kernel) - seen
    inner = {"y": slice(16, -16), "x": slice(16, -16)}
    assert float(again.isel(inner).std()) < 0.2 * float(plain.isel(inner).std())
    assert "psf=" in made.attrs["xr_sr:constraint"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"mtf": 1.2}, "mtf=1.2"),
        ({"mtf": {"B04": 0}}, "B04"),
        ({"mtf": {"B4x": 0.2}}, "B4x"),
        ({"mtf": {1: 0.2}}, "1"),
        ({"mtf": (0.2, 0.3)}, r"mtf=\(0.2, 0.3\)"),
        ({"mtf": [0.2]}, "mtf"),
        ({"mtf": "measured"}, "published"),
        ({"psf": 0}, "psf=0"),
        ({"psf": True}, "psf=True"),
        ({"psf": 5}, "B04"),
        ({"psf": "53"}, "meters"),
        ({"psf": [0.5, 0.5]}, "psf"),
        ({"psf": [[0.0]]}, "kernel"),
        ({"psf": {"B4x": 0.5}}, "B4x"),
        ({"psf": {"B04": "wide"}}, "B04"),
        ({"psf": 0.5, "mtf": 0.3}, "psf="),
        ({"noise": -1}, "noise=-1"),
        ({"noise": "photon"}, "sentinel2"),
        ({"prior": 1.35}, "prior"),
        ({"prior": (0.5, 1000)}, "prior"),
        ({"strength": 2}, "strength"),
        ({"scale": 1}, "scale=1"),
        ({"scale": 30}, "scale=30"),
        ({"steps": 3}, "steps"),
        ({"mtf": True}, "mtf"),
        ({"precision": "bfloat16"}, "precision"),
        ({"weights": "model.safetensors"}, "weights"),
    ],
)
def test_bad_options_are_refused(options, names):
    cube = array(reflectance(1, 24, 24), bands=("B04",), geobox=geobox_of(24, 24))

    with pytest.raises(OptionError, match=names):
        cube.sr.upscale("kriging", **options)


def test_bands_without_a_known_mtf_need_one():
    cube = array(reflectance(1, 24, 24), bands=("B10",), geobox=geobox_of(144, 144).zoom_out(6))

    with pytest.raises(OptionError, match=r"mtf.*B10"):
        cube.sr.upscale("kriging")
    assert kriged(cube, mtf=0.2).sizes["y"] == 96


def test_what_is_missing_or_does_not_fit_is_refused():
    tree = tree_of(48, 54)

    with pytest.raises(MissingBandError, match="B12"):
        tree.sr.upscale("kriging", bands=["B04", "B12"])
    shifted = dataset(reflectance(2, 24, 27), R20M, geobox=geobox_of(24, 27).zoom_to((24, 27)))
    with pytest.raises(GridError):
        tree["r10m"].to_dataset().sr.upscale("kriging", other=shifted, bands=["B05"])


def test_it_is_explained_and_stored(tmp_path):
    tree = tree_of(48, 54)
    text = repr(tree.sr.explain("kriging"))

    assert "kriging" in text
    assert "B05, B11 on their own grid" in text

    made = tree.sr.upscale("kriging", device="cpu")
    made.sr.to_zarr(tmp_path / "kriged.zarr", progress=False)

    back = xr_sr.open_zarr(tmp_path / "kriged.zarr")
    assert back.attrs["xr_sr:model"] == "kriging"
    np.testing.assert_allclose(back["B11"].values, made["B11"].values, atol=6e-5)


def test_on_a_real_scene_each_band_agrees_with_its_input_through_its_own_sensor():
    scene = xr_sr.sample("havel")
    corner = {"r10m": slice(0, 120), "r20m": slice(0, 60)}
    tree = xr.DataTree.from_dict({node: scene[node].to_dataset().isel(y=part, x=part) for node, part in corner.items()})

    made = {
        "bicubic": {node: tree[node].to_dataset().sr.upscale("bicubic", scale=scale) for node, scale in SCALES.items()},
        "kriging": dict.fromkeys(SCALES, tree.sr.upscale("kriging", noise=1e-5)),
    }

    for node, scale in SCALES.items():
        lr = tree[node].to_dataset().sr.reflectance()
        for band in (name for name, values in lr.data_vars.items() if values.dtype.kind == "f"):
            rms = {}
            for model, results in made.items():
                again = xr_sr.simulate.degrade(results[node][[band]], factor=scale)[band]
                inner = (again - lr[band]).isel(y=slice(12, -12), x=slice(12, -12))
                rms[model] = float((inner**2).mean() ** 0.5)
            assert rms["kriging"] < 0.1 * rms["bicubic"], (band, rms)
