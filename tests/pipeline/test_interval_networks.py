"""`interval` of networks that know the scale of their error: the second edition of `sen2sr`, and one of one's own."""

import numpy as np
import pytest
import torch

from tests.cubes import array, reflectance
from tests.pipeline.test_repeated_bands import at_10m, tree_of
from xr_sr.catalog import registry
from xr_sr.catalog.models import ModelSpec, Normalization
from xr_sr.errors import ModelError, OptionError
from xr_sr.kernels.calibration import LEVELS, Calibration, gaussian_width
from xr_sr.kernels.kriging_network import KrigingNetwork

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
    kriged = cube.sr.interval(calibrated=False, device="cpu")
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


def test_bands_without_an_error_scale_are_refused_with_those_that_have_one():
    tree = tree_of(at_10m(40, 40))
    with pytest.raises(OptionError, match="bands="):
        tree.sr.interval(model="sen2sr")
    made = tree.sr.interval(model="sen2sr", bands=list(RGBN), calibration=ONES, device="cpu")
    assert list(made.band.values) == list(RGBN)


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
    for options in ({"window": 64}, {"normalization": Normalization(scale=0.3)}):
        with pytest.raises(ModelError, match="error_scale"):
            ModelSpec("own", "", **spec, **options)


@torch.no_grad()
def test_the_scale_comes_after_all_bands():
    network = KrigingNetwork(("B04", "B08"), channels=8, pairs=2).eval()
    image = torch.rand(2, 2, 40, 38) * 0.2
    found = network.with_scale(image)
    torch.testing.assert_close(found[:, :2], network(image), rtol=0, atol=1e-6)
    assert (found[:, 2:] > 0).all() and found.shape[1] == 4
    assert registry.get(NAME).error_scale
