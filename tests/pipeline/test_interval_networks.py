"""`interval` of networks that know the scale of their error: the second edition of `sen2sr`, and one of one's own."""

import dask
import numpy as np
import pytest
import torch
import xarray as xr

import xr_sr
from tests.cubes import array, dataset, geobox_of, reflectance
from tests.pipeline.test_repeated_bands import COARSE, at_10m, tree_of
from xr_sr.catalog import registry
from xr_sr.catalog.models import ModelSpec, Normalization
from xr_sr.errors import ModelError, OptionError
from xr_sr.kernels.calibration import LEVELS, Calibration, gaussian_width, shipped
from xr_sr.kernels.kriging_network import KrigingNetwork
from xr_sr.kernels.predictors import NetworkPredictor
from xr_sr.kernels.protocol import Spread

RGBN = ("B04", "B03", "B02", "B08")
NAME = "sen2sr.rgbn-x4"
ONES = Calibration(NAME, {("all", "all"): tuple(gaussian_width(level) for level in LEVELS)})
"""Scales come as they are."""


def within(cube, **options):
    """The interval, computed, with the error scale of the model unless another calibration is given."""
    return cube.sr.interval(model=NAME, device="cpu", **{"calibration": ONES, **options}).compute()


def test_the_estimate_is_that_of_upscale_and_the_deviation_that_of_kriging():
    cube = array(reflectance(4, 40, 44), RGBN)
    made = within(cube)
    np.testing.assert_allclose(made.estimate, cube.sr.upscale(NAME, device="cpu"), rtol=0, atol=1e-6)
    kriged = cube.sr.interval(calibrated=False, device="cpu", model="kriging")
    np.testing.assert_allclose(made["std"], kriged["std"], rtol=2e-3)
    assert float(abs(made.estimate - kriged.estimate).max()) > 1e-3


def test_factors_are_those_of_the_stratum_and_the_band():
    """Bright ground, an edge, and even ground have each their own, in one band alone."""
    values = np.full((4, 48, 48), 0.08, "float32")
    values[3, :, 24:] = 0.48
    table = {
        (band, stratum): tuple(gaussian_width(level) * times for level in LEVELS)
        for band, stratum, times in (
            ("all", "all", 1),
            ("B08", "flat", 2),
            ("B08", "edge", 3),
            ("B08", "bright", 5),
        )
    }
    cube = array(values, RGBN)
    plain, mine = within(cube), within(cube, calibration=Calibration(NAME, table))
    ratio = (mine["std"] / plain["std"]).values
    np.testing.assert_allclose(ratio[:3], 1, rtol=1e-5)
    assert ratio[3, 96, 20] == pytest.approx(2) and ratio[3, 96, 170] == pytest.approx(2)
    assert set(np.round(np.unique(ratio[3]), 3)) <= {2, 3, 5}
    assert ratio[3, 96, 97] == pytest.approx(5)


def test_values_depend_neither_on_chunks_nor_on_other_bands():
    cube = array(reflectance(4, 60, 52), RGBN)
    cube[2, 20:24, 30] = np.nan
    whole = within(cube)
    for made in (within(cube.chunk(y=17, x=23)), within(cube, bands=["B02", "B08"])):
        for name in whole.data_vars:
            np.testing.assert_allclose(made[name], whole[name].sel(band=made.band), rtol=0, atol=1e-6)
    assert int(np.isnan(whole["std"].sel(band="B02")).sum()) == 4 * 16


def ten(tree: xr.DataTree, **options: object) -> xr.Dataset:
    """The interval of all ten bands, computed."""
    return tree.sr.interval(model="sen2sr", device="cpu", **options).compute()


def test_ten_bands_have_the_estimate_of_upscale_and_its_dims():
    """The 10 m bands with the interval that they have without the others."""
    tree = tree_of(at_10m(72, 64))
    whole = tree.sr.upscale("sen2sr", device="cpu").compute()

    made = ten(tree)

    assert list(made.band.values) == list(whole.data_vars)
    assert len(made.band) == 10 and made.estimate.dims == ("band", "y", "x")
    for band in whole.data_vars:
        np.testing.assert_array_equal(made.estimate.sel(band=band), whole[band])
        assert made.estimate.odc.geobox == whole.odc.geobox
    assert (made["std"] > 0).all()
    half = gaussian_width(0.9) * made["std"]
    np.testing.assert_allclose(made.upper - made.estimate, half, rtol=1e-3, atol=1e-6)
    alone = tree["r10m"].to_dataset().sr.interval(model="sen2sr", device="cpu").compute()
    for name in made.data_vars:
        np.testing.assert_allclose(made[name].sel(band=alone.band), alone[name], rtol=0, atol=2e-6)


@pytest.mark.parametrize("chunks", [19, {"y": 33, "x": 72}, 72])
def test_ten_bands_depend_neither_on_blocks_nor_on_layout(chunks):
    """Odd blocks cut pixels of 20 m; repeated on the grid of the others these are the same."""
    values = at_10m(84, 72)
    tree = tree_of(values)
    tree["r20m/B11"][14:19, 15] = np.nan
    repeated = array(values, (*RGBN, *COARSE))
    repeated.loc[{"band": "B11"}] = np.kron(tree["r20m/B11"].values, np.ones((2, 2), "float32"))
    whole = ten(tree)

    made, other = ten(tree, chunks=chunks), ten(repeated, chunks=chunks)

    for name in whole.data_vars:
        np.testing.assert_array_equal(made[name], whole[name])
        np.testing.assert_allclose(other[name].sel(band=whole.band), whole[name], rtol=0, atol=2e-6)


def test_some_bands_of_a_crop_have_the_values_of_the_whole():
    tree = tree_of(at_10m(160, 160))
    whole = ten(tree)

    crop = xr.DataTree.from_dict({
        "r10m": tree["r10m"].to_dataset().isel(y=slice(0, 120), x=slice(20, 140)),
        "r20m": tree["r20m"].to_dataset().isel(y=slice(0, 60), x=slice(10, 70)),
    })  # fmt: skip
    made = ten(crop, bands=["B12", "B03"])

    inner = made.isel(y=slice(0, 160), x=slice(160, 320))
    for name in whole.data_vars:
        part = whole[name].sel(band=made.band, y=inner.y, x=inner.x)
        np.testing.assert_allclose(inner[name], part, rtol=0, atol=2e-6)


def test_nan_is_where_upscale_has_it_in_each_variable():
    tree = tree_of(at_10m(64, 72))
    tree["r20m/B11"][8:12, 9] = np.nan
    tree["r10m/B03"][40:44, 31] = np.nan
    whole = tree.sr.upscale("sen2sr", device="cpu").compute()

    made = ten(tree)

    for band in whole.data_vars:
        for name in made.data_vars:
            np.testing.assert_array_equal(np.isnan(made[name].sel(band=band)), np.isnan(whole[band]))
    assert int(np.isnan(made["std"].sel(band="B11")).sum()) == 4 * 64


def test_factors_of_20_m_bands_are_those_of_their_own_strata():
    values = at_10m(64, 64)
    values[8] = 0.1
    table = {
        (band, stratum): tuple(gaussian_width(level) * times for level in LEVELS)
        for band, stratum, times in (("all", "all", 1), ("B11", "flat", 2), ("B11", "edge", 7))
    }
    plain, mine = (
        ten(tree_of(values), calibration=Calibration("sen2sr.ten-x4", each)) for each in (ONES.quantiles, table)
    )
    ratio = mine["std"] / plain["std"]
    np.testing.assert_allclose(ratio.sel(band="B11"), 2, rtol=1e-4)
    np.testing.assert_allclose(ratio.drop_sel(band="B11"), 1, rtol=1e-4)


def test_bands_that_come_without_the_network_are_refused():
    tree = tree_of(at_10m(48, 48))
    tree["r60m"] = xr.DataTree(dataset(reflectance(2, 8, 8), ("B01", "B09"), geobox=geobox_of(48, 48).zoom_out(6)))
    with pytest.raises(OptionError, match="kriging"):
        tree.sr.interval(model="sen2sr", bands=["B04", "B01"])


def test_a_calibration_of_pairs_holds_at_another_place():
    """Synthetic ground, fitted on one place and date, all ten bands, at another: within 4 points of what it says."""
    pairs = [xr_sr.simulate_scene(80, seed=seed, origin=(600_000 + 6_000 * seed, 5_400_000)) for seed in (1, 2, 3, 4)]
    lr = [tree["lr"] for tree in pairs]
    hr = [tree["hr"].to_dataset().compute() for tree in pairs]
    with dask.config.set(scheduler="synchronous"):
        mine = xr_sr.calibrate(lr[:3], hr[:3], "sen2sr", device="cpu")
        report = xr_sr.calibration_report(lr[3], hr[3], "sen2sr", calibration=mine, device="cpu")
        plain = xr_sr.calibration_report(lr[3], hr[3], "sen2sr", calibrated=False, device="cpu")

    assert mine.model == "sen2sr.ten-x4"
    every = report.sel(stratum="all")
    np.testing.assert_allclose(every["coverage"].squeeze("place"), every["level"], atol=0.04)
    assert float(plain.sel(stratum="all", level=0.9)["coverage"].squeeze()) < 0.8


@pytest.mark.parametrize("model", ["sen2sr.ten-x4", "kriging"])
def test_the_packages_calibration_of_20_m_bands_holds_at_a_place_that_it_has_not_seen(shared, model):
    """Jutland, real bands of 20 m seen at 160 m: what it says within 3 points, which is nearer than without."""
    from recipes.intervals import COARSE, UNSEEN_20M, shifted_pairs

    ((_, lr, hr),) = shifted_pairs(UNSEEN_20M[:1])

    found, plain = (
        xr_sr.calibration_report(lr, hr, model, bands=list(COARSE), calibrated=way, device="cpu")["coverage"].sel(
            stratum="all", place="place 1"
        )
        for way in (True, False)
    )

    assert "Jutland" not in shipped(model).note.partition("160 m")[2]
    np.testing.assert_allclose(found, found["level"], atol=0.03)
    assert float(abs(plain - plain["level"]).max()) > 0.05


def test_members_belong_to_kriging_alone():
    with pytest.raises(OptionError, match="members"):
        array(reflectance(4, 40, 40), RGBN).sr.ensemble(2, model=NAME)


def test_the_package_has_a_calibration_of_its_own():
    """Without one given, that of the package is used, fitted at places that neither trained nor judge the model."""
    made = array(reflectance(4, 30, 30), RGBN).sr.interval(model=NAME, device="cpu")
    note = made.attrs["xr_sr:calibration"]
    assert "Zurich" in note and "Jutland" in note and "Virginia" not in note


def test_records_that_contradict_themselves_are_refused():
    spec = {"architecture": "my:Net", "bands": ("B04",), "error_scale": True}
    ModelSpec("own", "", halo=2, **spec)
    for options in (
        {"window": 64},
        {"normalization": Normalization(scale=0.3)},
        {"bands": ("B04", "B11"), "coarse": ("B11",)},
    ):
        with pytest.raises(ModelError, match="error_scale"):
            ModelSpec("own", "", **{**spec, **options})


class Repeating(torch.nn.Module):
    """Repeats the middle of its input, and says that every error is 1."""

    consumed = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., 3:-3, 3:-3].repeat_interleave(4, -2).repeat_interleave(4, -1)

    def with_scale(self, x: torch.Tensor) -> torch.Tensor:
        fine = self(x)
        return torch.cat([fine, torch.ones_like(fine)], 1)


def test_a_network_of_ones_own_gets_the_strata_of_coarse_pixels_too():
    """Of a band whose pixels come 2 x 2 times, each pixel counts once, wherever the window is cut."""
    spec = ModelSpec(
        "own", "", architecture="my:Net", bands=("B04", "B11"), coarse=("B11",), coarse_as="repeated", halo=6,
        error_scale=True,
    )  # fmt: skip
    coarse = 0.1 + 0.06 * (-1.0) ** np.add.outer(np.arange(20), np.arange(20))
    coarse[:, 10:] = 0.4 + 0.2 * (-1.0) ** np.add.outer(np.arange(20), np.arange(10))
    image = np.stack([np.full((40, 40), 0.2), coarse.repeat(2, 0).repeat(2, 1)]).astype("float32")
    factors = Spread(((2.0, 1.0, 1.0), (1.0, 3.0, 5.0)))
    found = [
        NetworkPredictor(spec, Repeating(), device="cpu", precision="float32", spread=spread)
        .predict(torch.from_numpy(image)[None], 0)[0]
        .numpy()
        for spread in (factors, Spread())
    ]
    assert (found[0][2] == 2).all() and (found[1][4] == 0).all()
    stratum = found[1][5]
    np.testing.assert_array_equal(found[0][3], np.choose(stratum.astype(int), [1, 3, 5]))
    assert (stratum[:, :48] == 1).all() and (stratum[:, 76:] == 2).all()  # the first pixel of 20 m is cut in half
    np.testing.assert_array_equal(stratum[:, 4:132].reshape(136, 16, 8), stratum[:, 4:132:8][..., None] * np.ones(8))


def test_kriging_has_a_calibration_for_every_pixel_size():
    """Of ten bands and those of 60 m; what was measured of 10 m bands is not taken for them."""
    made = shipped("kriging")
    for band in (*COARSE, "B01", "B09"):
        assert (band, "flat") in made.quantiles and (band, "bright") in made.quantiles
        assert made.width(band, "edge", 0.9) != made.width("all", "edge", 0.9)
    ten_bands, four = shipped("sen2sr.ten-x4"), shipped(NAME)
    for band in RGBN:
        for stratum in ("flat", "edge", "bright"):
            assert ten_bands.width(band, stratum, 0.8) == four.width(band, stratum, 0.8)


@torch.no_grad()
def test_the_scale_comes_after_all_bands():
    network = KrigingNetwork(("B04", "B08"), channels=8, pairs=2).eval()
    image = torch.rand(2, 2, 40, 38) * 0.2
    found = network.with_scale(image)
    torch.testing.assert_close(found[:, :2], network(image), rtol=0, atol=1e-6)
    assert (found[:, 2:] > 0).all() and found.shape[1] == 4
    assert registry.get(NAME).error_scale
