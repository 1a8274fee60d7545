"""The second edition of `sen2sr`: how it was made, what it must not do, and that it is nearer to the reference."""

import json

import numpy as np
import pytest
from safetensors import safe_open

import xr_sr
from studies import aerial, phases
from studies.trust import see
from tests.cubes import array, reflectance
from xr_sr.catalog import fetch, registry
from xr_sr.errors import OptionError

NAME = "sen2sr.rgbn-x4"
RGBN = ("B04", "B03", "B02", "B08")


@pytest.mark.parametrize("name", [NAME, "sen2sr-fast"])
def test_the_card_says_what_it_was_made_of(name):
    """From random numbers, of open imagery, none of it of the places that it is measured on."""
    with safe_open(fetch.locate(registry.get(name)).path, "np") as file:
        card = json.loads(file.metadata()["card"])
    assert card["start"] == "random numbers"
    assert card["teacher"] is None
    assert {"settings", "measured", "commit", "not_for", "minutes"} <= card.keys()
    assert all(entry["licence"] for entry in card["data"])
    named = " ".join(entry["name"] for entry in card["data"])
    assert not [place for place in ("Virginia", "New Mexico") if place in named]


@pytest.mark.parametrize("level", [0.0, 0.05, 0.3, 0.6])
def test_even_ground_stays_even(level):
    """Its standard deviation is at most 2e-5: there is no pattern of four pixels."""
    flat = array(np.full((4, 40, 40), level, "float32"), RGBN)
    assert float(flat.sr.upscale("sen2sr", device="cpu").std()) <= 2e-5


def test_strength_is_an_option():
    """0 is kriging alone, to the bit; beyond 1.5 it is refused, and first-edition networks have none."""
    cube = array(reflectance(4, 40, 44), RGBN)
    none, half, whole = (
        cube.sr.upscale("sen2sr", strength=strength, device="cpu").values for strength in (0, 0.5, 1.0)
    )
    np.testing.assert_array_equal(none, cube.sr.upscale("kriging", device="cpu").values)
    np.testing.assert_allclose(half, (none + whole) / 2, atol=2e-6)
    np.testing.assert_array_equal(whole, cube.sr.upscale("sen2sr", device="cpu").values)
    assert np.abs(whole - none).max() > 1e-3
    for model, strength in (("sen2sr", 1.6), ("sen2sr", -0.1), ("sen2sr-v1", 0.5)):
        with pytest.raises(OptionError, match="strength"):
            cube.sr.upscale(model, strength=strength)


def test_values_depend_neither_on_chunks_nor_on_crops():
    """Beyond the declared halo nothing matters."""
    cube = array(reflectance(4, 70, 64), RGBN)
    whole = cube.sr.upscale("sen2sr", device="cpu").values
    parts = cube.chunk(y=23, x=17).sr.upscale("sen2sr", device="cpu").values
    np.testing.assert_allclose(parts, whole, atol=2e-6)
    halo = registry.get(NAME).halo
    crop = cube[:, 10:60, 8:58].sr.upscale("sen2sr", device="cpu").values
    inner = slice(4 * halo, -4 * halo)
    np.testing.assert_allclose(crop[:, inner, inner], whole[:, 40:240, 32:232][:, inner, inner], atol=2e-6)


def test_phases_of_a_real_scene_differ_by_little_more_than_a_digital_number():
    """The mean of each of the 16 phases over the whole scene: their deviation is at most 1.3e-4, by kriging 0.5e-4."""
    scene = xr_sr.sample("havel")["r10m"].to_dataset()[list(RGBN)]
    coarse = scene.sr.upscale("nearest", scale=1)
    for model, most in (("kriging", 0.5e-4), ("sen2sr", 1.3e-4)):
        fine = scene.sr.upscale(model, device="cpu")
        found = {band: phases.deviation(fine[band].values, coarse[band].values) for band in RGBN}
        assert max(found.values()) <= most, (model, found)


def test_it_is_nearer_to_the_reference_than_kriging_and_the_first_edition(shared):
    """On four places that it never saw, through the modeled sensor: PSNR, mean over bands and places."""
    gains = []
    for place in aerial.places():
        lr = see(place, seed=0)
        edge = slice(48, -48) if min(place.hr.shape[-2:]) > 140 else slice(24, -24)
        error = {
            model: np.square(
                (lr.sr.upscale(model, offset=0, quantification=1, device="cpu").values - place.hr.values)[:, edge, edge]
            ).mean(axis=(1, 2))
            for model in ("kriging", "sen2sr-v1", "sen2sr", "sen2sr-fast")
        }
        pairs = [(model, other) for model in ("sen2sr", "sen2sr-fast") for other in ("sen2sr-v1", "kriging")]
        gains.append([10 * np.log10(error[other] / error[model]).mean() for model, other in pairs])
    over_first, over_kriging, fast_over_first, fast_over_kriging = np.mean(gains, axis=0)
    assert over_first > 0.55
    assert over_kriging > 0.1
    assert fast_over_first > 0.5
    assert fast_over_kriging > 0.05
