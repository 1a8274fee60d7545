"""The weights of `diffusion` in the package: how they were made, and what single members, their mean and spread are."""

import json

import numpy as np
import pytest
from safetensors import safe_open

import xr_sr
from studies import aerial, diffusion
from studies.trust import see
from tests.cubes import array, reflectance
from xr_sr.catalog import fetch, registry
from xr_sr.errors import CalibrationWarning
from xr_sr.kernels.calibration import shipped
from xr_sr.kernels.register import measure_halo

RGBN = ("B04", "B03", "B02", "B08")


def _of_mean(file):
    return [key for key in file.keys() if key.startswith(("features", "pairs", "tail"))]  # noqa: SIM118  # no mapping


def test_the_card_says_what_it_was_made_of():
    """Of the weights of sen2sr, which do not change, and open imagery, none of it of places that it is measured on."""
    path = fetch.locate(registry.get("diffusion")).path
    with safe_open(path, "np") as file:
        card = json.loads(file.metadata()["card"])
        sen2sr = {key: file.get_tensor(key) for key in _of_mean(file)}
    with safe_open(fetch.locate(registry.get("sen2sr.rgbn-x4")).path, "np") as file:
        assert all(np.array_equal(value, file.get_tensor(key)) for key, value in sen2sr.items())
    assert {"settings", "measured", "commit", "not_for", "minutes"} <= card.keys()
    assert all(entry["licence"] for entry in card["data"])
    assert not [entry["name"] for entry in card["data"] if "Virginia" in entry["name"] or "New Mexico" in entry["name"]]
    assert path.stat().st_size <= 6e6


def test_a_pixel_depends_on_at_most_24_around_it():
    spec = registry.get("diffusion")
    assert spec.halo == 24
    assert measure_halo(spec).halo <= 24


@pytest.mark.parametrize("level", [0.05, 0.3])
def test_even_ground_has_the_noise_of_the_sensor_at_most(level):
    """A member invents nothing on even ground but what kriging's deviation of it allows."""
    flat = array(np.full((4, 64, 64), level, "float32"), RGBN)
    spread = float(flat.sr.upscale("diffusion", device="cpu").std())
    assert spread <= 3 * float(flat.sr.interval(model="kriging", device="cpu")["std"].mean())


def test_calibrations_are_of_members_and_of_intervals():
    members, intervals = shipped("diffusion.members"), shipped("diffusion")
    assert members.options["drawn"] is True and intervals.options["drawn"] is False
    cube = array(reflectance(4, 32, 32), RGBN)
    assert cube.sr.ensemble(2, "diffusion", device="cpu").attrs["xr_sr:calibration"] == members.note
    assert cube.sr.interval(model="diffusion", device="cpu").attrs["xr_sr:calibration"] == intervals.note


def test_members_are_as_rich_as_the_ground_and_their_mean_is_near_it(shared):
    """On four places that were never seen: spectra, agreement with the input, and the mean."""
    known = {"device": "cpu", "offset": 0, "quantification": 1}
    for place in aerial.places():
        lr = see(place, seed=0)
        drawn = lr.sr.ensemble(8, "diffusion", members=True, **known).compute()
        bicubic, kriging, sen2sr = (lr.sr.upscale(name, **known).compute() for name in ("bicubic", "kriging", "sen2sr"))
        truth = diffusion.inner(place.hr)
        expected = diffusion.spectrum(truth)
        apart = [
            diffusion.apart(diffusion.spectrum(diffusion.inner(image)), expected)
            for image in (drawn["members"][0], sen2sr)
        ]
        assert apart[0] < 0.6 * apart[1], place.name
        mean = diffusion.inner(drawn["members"].mean("member"))
        assert diffusion.psnr_of(mean, truth) >= diffusion.psnr_of(diffusion.inner(kriging), truth) - 0.15, place.name
        seen = [diffusion.distance_seen(image, lr) for image in (drawn["members"][0], kriging, bicubic)]
        assert seen[0] <= seen[1] + 1e-4 and seen[0] <= 0.75 * seen[2], place.name


def test_floods_take_its_ensembles():
    """Water has a probability from members, and areas their interval."""
    scene = xr_sr.sample("virginia")["lr/r10m"].to_dataset()
    drawn = scene.sr.ensemble(4, "diffusion", members=True, device="cpu")
    water = drawn.sr.water(index="NDWI", threshold=0.0).compute()
    assert {"water", "probability"} <= set(water.data_vars)
    with pytest.warns(CalibrationWarning, match="model diffusion"):  # shares of members were fitted for kriging
        area = water.sr.areas()
    assert bool((area["area_lower"] <= area["area"]).all() and (area["area"] <= area["area_upper"]).all())
