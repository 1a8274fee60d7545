"""`constraint="measured"`: any model agrees with each band's own pixels, seen through the band's PSF."""

from __future__ import annotations

from typing import Any

import dask
import numpy as np
import pytest
import rioxarray
import xarray as xr

import xr_sr
from tests.cubes import array, dataset, reflectance
from tests.kernels.test_register import WINDOWED, weights_of
from tests.pipeline.test_pansharpen import geobox_of, on_one_grid, tree_of
from xr_sr.bands import BANDS
from xr_sr.errors import OptionError
from xr_sr.kernels.psf import Axis, gaussian_psf
from xr_sr.simulate.sense import Response, Sensor, sense_plane

RGBN = ("B02", "B03", "B04", "B08")
TWENTY = ("B05", "B06", "B07", "B8A", "B11", "B12")
TERRAMESH = ("B01", *RGBN[:3], *TWENTY[:3], "B08", "B8A", "B09", "B11", "B12")
EDGE = 8
"""Own pixels at the edge that are not judged: there the scene beyond is guessed."""


def computed(cube: Any, model: str, constraint: str = "measured", **options: Any) -> Any:
    with dask.config.set(scheduler="synchronous"):
        return cube.sr.upscale(model, constraint=constraint, device="cpu", **options).compute()


def missed(own: xr.DataArray, fine: xr.DataArray, band: str | float, edge: int = EDGE) -> float:
    """Root mean square of D H x - y over the pixels of one band, (y, x), but for the edge."""
    scale = fine.shape[0] // own.shape[0]
    axes = [Axis(side, side * scale, scale) for side in own.shape]
    response = Response(gaussian_psf(band, scale))
    spans = [(edge, side - edge) for side in own.shape]
    seen = sense_plane(fine.values.astype(float), Sensor(*axes, (response,), None), response, *spans)
    return float(np.sqrt(np.nanmean((seen - own.values[tuple(slice(*span) for span in spans)]) ** 2)))


def ten_bands(shared: Any, chip: str = "637U_59R_1_3") -> xr.DataTree:
    """A real scene of 128 pixels of 10 m, its 20 m bands on a grid of their own; that chip repeats them 2 x 2."""
    path = shared / "data" / "s2_terramesh" / f"{chip}_S2L2A.tif"
    planes = dict(zip(TERRAMESH, rioxarray.open_rasterio(path).values[:, :128, :128], strict=True))
    # Its 20 m pixels begin where the chip does, which the grid of 20 m does not know: the place is another.
    geobox = geobox_of(128, 128)
    fine = dataset(np.stack([planes[band] for band in RGBN]), RGBN, geobox=geobox)
    coarse = np.stack([planes[band][::2, ::2] for band in TWENTY])
    return xr.DataTree.from_dict({"r10m": fine, "r20m": dataset(coarse, TWENTY, geobox=geobox.zoom_out(2))})


@pytest.mark.parametrize(("chip", "offset"), [("637U_59R_1_3", 0), ("433D_629L_3_1", -1000), ("609U_541L_3_0", 0)])
def test_all_ten_bands_of_real_scenes_agree_ten_times_better_than_bicubic(shared, chip, offset):
    tree = ten_bands(shared, chip)
    nodes = {4: tree["r10m"].to_dataset(), 8: tree["r20m"].to_dataset()}
    own = {band: plane for node in nodes.values() for band, plane in node.sr.reflectance(offset=offset).items()}
    plain, bicubic = (
        {
            name: plane
            for scale, node in nodes.items()
            for name, plane in computed(node, "bicubic", which, scale=scale, offset=offset).items()
        }
        for which in ("auto", "measured")
    )

    ours = computed(tree, "sen2sr", offset=offset)

    for band in (*RGBN, *TWENTY):
        limit = 0.1 * missed(own[band], plain[band], band)
        assert missed(own[band], bicubic[band], band) < limit, f"bicubic, {band}"
        assert missed(own[band], ours[band], band) < limit, f"sen2sr, {band}"


@pytest.mark.parametrize("model", ["bicubic", "nearest", "sen2sr", "kriging"])
def test_any_model_agrees(model):
    cube = xr_sr.simulate_scene(64, seed=4, bands=RGBN)["lr/r10m"].to_dataset().isel(time=0).sr.reflectance().compute()
    before = computed(cube, model, "auto")

    made = computed(cube, model)

    assert made.B04.shape == before.B04.shape
    for band in RGBN:
        assert missed(cube[band], made[band], band) < 0.1 * missed(
            cube[band], computed(cube, "bicubic", "auto")[band], band
        )


@pytest.mark.parametrize("sides", [(96, 108), (40, 24), (17, 61)])
@pytest.mark.parametrize("model", ["bicubic", "kriging"])
def test_values_depend_neither_on_blocks_nor_on_where_nan_lies(model, sides):
    tree = tree_of(96, 108)
    tree["r20m/B11"][14:19, 15] = np.nan
    tree["r10m/B03"][40:44, 31] = np.nan
    cube = tree if model == "kriging" else on_one_grid(tree)

    made, whole, before = (
        computed(cube, model, chunks=sides),
        computed(cube, model),
        computed(cube, model, "auto"),
    )

    for band in whole.data_vars:
        np.testing.assert_allclose(made[band], whole[band], rtol=0, atol=2e-6)
        np.testing.assert_array_equal(np.isnan(whole[band]), np.isnan(before[band]))


def test_a_crop_equals_the_whole_beyond_the_reach():
    cube = on_one_grid(tree_of(240, 240))[["B04", "B05"]]
    part = cube.isel(x=slice(30, 210), y=slice(27, 207))
    reach = xr_sr.explain(cube, "bicubic", constraint="measured").steps[0].recipe.halo

    made, whole = computed(part, "bicubic"), computed(cube, "bicubic")

    edge = 4 * reach
    for band in ("B04", "B05"):
        expected = whole[band][27 * 4 : 207 * 4, 30 * 4 : 210 * 4]
        np.testing.assert_allclose(
            made[band][edge:-edge, edge:-edge], expected[edge:-edge, edge:-edge], rtol=0, atol=2e-6
        )


def test_coarse_bands_agree_with_their_own_pixels_however_they_are_laid_out():
    scene = xr_sr.simulate_scene(96, seed=2, bands=(*RGBN, *TWENTY))["lr"].isel(time=0)
    tree = xr.DataTree.from_dict({
        node: scene[node].to_dataset().sr.reflectance().compute() for node in ("r10m", "r20m")
    })  # fmt: skip
    fine, own = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()
    repeated = own.isel(x=np.arange(96) // 2, y=np.arange(96) // 2).assign_coords(x=fine.x, y=fine.y)
    flat = fine.assign(repeated.data_vars)

    by_grids, by_layout = computed(tree, "sen2sr"), computed(flat, "sen2sr")
    bicubic = computed(flat, "bicubic")

    for band in TWENTY:
        usual = missed(own[band], computed(own[[band]], "bicubic", "auto", scale=8)[band], band)
        np.testing.assert_allclose(by_grids[band], by_layout[band], rtol=0, atol=2e-6)
        assert missed(own[band], by_grids[band], band) < 0.1 * usual
        assert missed(own[band], bicubic[band], band) < 0.1 * usual


def test_a_registered_network_that_works_on_windows_agrees(tmp_path):
    xr_sr.register_model(WINDOWED, weights=weights_of(WINDOWED, tmp_path / "w.safetensors"))
    cube = array(reflectance(2, 48, 40), ("B04", "B08")).isel(band=[1, 0])
    before = computed(cube, "windowed", "none")

    made, in_blocks = computed(cube, "windowed"), computed(cube, "windowed", chunks=16)

    np.testing.assert_allclose(in_blocks, made, rtol=0, atol=2e-6)
    for place, band in enumerate(("B08", "B04")):
        assert missed(cube[place], made[place], band) < 0.1 * missed(cube[place], before[place], band)


def test_fused_bands_agree_with_the_pixels_that_were_sharpened():
    tree = tree_of(120, 132)
    before = tree.sr.fuse().compute()

    made = tree.sr.fuse(constraint="measured").compute()

    for node, band in (("r20m", "B11"), ("r60m", "B01")):
        own = tree[node][band]
        assert missed(own, made[band], band, 6) < 0.1 * missed(own, before[band], band, 6)
    np.testing.assert_array_equal(made.B04, before.B04)
    assert "measured" in made.B11.attrs["xr_sr:constraint"] or "measured" in made.attrs["xr_sr:constraint"]


@pytest.mark.filterwarnings("ignore::xr_sr.errors.SensorWarning")
def test_other_sensors_pass_their_mtf():
    cube = array(reflectance(2, 48, 48), ("B04", "B08")).assign_attrs(platform="landsat-8")

    with pytest.raises(OptionError, match="mtf="):
        cube.sr.upscale("bicubic", constraint="measured")
    made = computed(cube, "bicubic", mtf=0.25)

    assert missed(cube[0], made[0], 0.25) < 0.1 * missed(cube[0], computed(cube, "bicubic", "auto")[0], 0.25)
    by_band = computed(cube, "bicubic", mtf={"B04": 0.25, "B08": 0.25})
    np.testing.assert_array_equal(made, by_band)
    with pytest.raises(OptionError, match="mtf"):
        cube.sr.upscale("bicubic", mtf=0.25)


def test_results_plans_and_stores_say_that_they_agree(tmp_path):
    cube = array(reflectance(4, 48, 48), RGBN)

    made = cube.sr.upscale("sen2sr", constraint="measured", device="cpu")

    assert "measured" in made.attrs["xr_sr:constraint"]
    assert "measured" in repr(cube.sr.explain("bicubic", constraint="measured"))
    made.sr.to_zarr(tmp_path / "agreeing.zarr", progress=False)
    assert xr_sr.open_zarr(tmp_path / "agreeing.zarr").attrs["xr_sr:constraint"] == made.attrs["xr_sr:constraint"]
    with pytest.raises(xr_sr.errors.XrSrError):
        cube.sr.upscale("sen2sr", device="cpu").sr.to_zarr(tmp_path / "agreeing.zarr", progress=False)


def test_every_band_of_sentinel_2_that_has_an_mtf_is_on_its_own_grid():
    widths = {band.name: int(band.gsd_m) for band in BANDS}
    plan = xr_sr.explain(on_one_grid(tree_of(96, 108)), "bicubic", constraint="measured")

    recipe = plan.steps[0].recipe

    seen = dict(zip(plan.wanted, recipe.measured, strict=True))
    assert {band: one.scale for band, one in seen.items()} == {band: 4 * widths[band] // 10 for band in plan.wanted}
