"""Kriging with a learned addition, as one network."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import xr_sr
from tests.cubes import array, reflectance
from xr_sr.catalog import registry
from xr_sr.catalog.models import Kriging
from xr_sr.errors import MissingBandError
from xr_sr.kernels import sensor_noise
from xr_sr.kernels.kriging import Kriger
from xr_sr.kernels.kriging_network import KrigingNetwork, residual_of
from xr_sr.kernels.observe import check_kriging, observed
from xr_sr.networks import kriging_residual
from xr_sr.networks.lean import trim

BANDS = ("B04", "B08")


def kriged(image: torch.Tensor) -> torch.Tensor:
    """Return the kriging of the catalog, without its context."""
    spec = registry.get("kriging")
    assert isinstance(spec, Kriging)
    return Kriger(observed(check_kriging(spec), BANDS, 1, 10.0), 1.0).predict(image, 0)


@pytest.mark.parametrize("pairs", [2, 4])
@torch.no_grad()
def test_output_is_kriging_and_the_addition(pairs):
    """Each has its own context, and both see the same place, whichever needs more."""
    residual = residual_of(BANDS, channels=8, pairs=pairs, seed=1)
    network = KrigingNetwork(BANDS, channels=8, pairs=pairs)
    network.load_state_dict(residual.state_dict())
    assert network.consumed == max(Kriger.reach, residual.consumed)
    image = torch.rand(2, 2, 40, 38) * 0.2
    expected = (
        kriged(trim(image, network.consumed - Kriger.reach))
        + residual(trim(image, network.consumed - residual.consumed))[:, :2]
    )
    torch.testing.assert_close(network(image), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_strength_multiplies_the_addition():
    """0 is kriging alone, 0.5 lies in the middle."""
    image = torch.rand(1, 2, 40, 38) * 0.2
    found = []
    for strength in (0.0, 0.5, 1.0):
        network = KrigingNetwork(BANDS, channels=8, pairs=4, strength=strength)
        network.load_state_dict(residual_of(BANDS, channels=8, pairs=4, seed=1).state_dict())
        found.append(network(image))
    assert (found[2] - found[0]).abs().max() > 1e-3
    torch.testing.assert_close(found[1], (found[0] + found[2]) / 2, rtol=0, atol=1e-6)
    torch.testing.assert_close(found[0], kriged(trim(image, 3)), rtol=0, atol=0)


def test_seeded_numbers_do_not_touch_those_of_the_process():
    """The same seed gives the same network, and the next draw of the process is what it would have been."""
    torch.manual_seed(5)
    before = torch.rand(3)
    torch.manual_seed(5)
    one, other = (residual_of(BANDS, channels=8, pairs=1, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.rand(3), before)


def test_it_upscales_a_cube_as_a_model(tmp_path, monkeypatch):
    """Registered by its architecture, values do not depend on chunks, and NaN stays where it was."""
    monkeypatch.setattr(registry, "current", registry.current)  # what is registered here is gone afterwards
    save_file(residual_of(BANDS, channels=8, pairs=4, seed=1).state_dict(), tmp_path / "two.safetensors")
    xr_sr.register_model(
        xr_sr.ModelSpec(
            "kriging-two",
            "two bands",
            architecture="xr_sr.kernels.kriging_network:KrigingNetwork",
            config={"bands": BANDS, "channels": 8, "pairs": 4},
            bands=BANDS,
            halo=14,
        ),
        weights=tmp_path / "two.safetensors",
    )
    cube = array(reflectance(2, 60, 52), BANDS)
    cube[:, 20:23, 30] = np.nan
    whole = cube.sr.upscale("kriging-two", device="cpu")
    parts = cube.chunk(y=17, x=23).sr.upscale("kriging-two", device="cpu")
    np.testing.assert_allclose(parts.values, whole.values, atol=2e-6)
    assert np.isnan(whole.values[:, 80:92, 120:124]).all()
    assert np.isfinite(whole.values[:, 80:92, 124:]).all()


def test_bands_have_any_of_their_names_and_must_be_known():
    """The noise that goes with the weights is that of the bands."""
    torch.testing.assert_close(residual_of(("red", "nir"), seed=1).noise, residual_of(("B04", "B08"), seed=1).noise)
    with pytest.raises(MissingBandError, match="B99"):
        residual_of(("B04", "B99"))


def test_darkness_is_the_same_in_kriging_and_in_the_network():
    """Below it the noise of a sensor falls no further."""
    assert kriging_residual.DARKEST == sensor_noise.DARKEST
