"""The baseline of latent diffusion: recognized by the names of diffusers, old and new, and run on rectangles."""

from __future__ import annotations

import pytest
import torch

from xr_sr import networks
from xr_sr.errors import WeightsFormatError
from xr_sr.networks.named_unet import NamedUNet
from xr_sr.networks.vector_quantized import VQAutoencoder

FORMER = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def renamed(state):
    """Return a state dict with the names that layers of attention had."""
    found = {}
    for key, value in state.items():
        for now, former in FORMER.items():
            key = key.replace(f".{now}.", f".{former}.")
        found[key] = value
    return found


@pytest.fixture(scope="module")
def autoencoder():
    torch.manual_seed(2)
    return VQAutoencoder(3, 32, "1-2-2", 1, 4, 20, 3).eval()


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(3)
    return NamedUNet(6, 3, 32, "1-2", 2, "2").eval()


@pytest.mark.parametrize("names", [dict, renamed])
def test_autoencoder_is_recognized_and_gives_its_values(autoencoder, names):
    loaded, found = networks.from_state_dict(names(autoencoder.state_dict()))
    image = torch.rand(2, 3, 16, 24)

    assert dict(found.config) == {
        "bands": 3, "channels": 32, "multipliers": "1-2-2", "blocks": 1, "latent": 4, "codes": 20, "embedding": 3,
    }  # fmt: skip
    with torch.no_grad():
        torch.testing.assert_close(loaded(image), autoencoder(image))
        assert loaded(image).shape == image.shape and loaded.encode(image).shape == (2, 3, 4, 6)


def test_each_pixel_of_a_latent_becomes_the_nearest_code(autoencoder):
    latent = torch.randn(1, 3, 4, 5)

    with torch.no_grad():
        found = autoencoder.quantize(latent)
    codes = autoencoder.quantize.embedding.weight.detach()

    for row in range(4):
        for column in range(5):
            distances = (codes - latent[0, :, row, column]).square().sum(1)
            torch.testing.assert_close(found[0, :, row, column], codes[distances.argmin()])


@pytest.mark.parametrize("names", [dict, renamed])
def test_unet_is_recognized_and_gives_its_values(unet, names):
    loaded, found = networks.from_state_dict(names(unet.state_dict()))
    config, x, time = dict(found.config), torch.rand(2, 6, 8, 12), torch.tensor([3, 900])

    assert (config["multipliers"], config["attention"], config["blocks"]) == ("1-2", "2", 2)
    assert (found.bands, found.bands_out, found.assumed) == (6, 3, ("head_channels",))
    with torch.no_grad():
        torch.testing.assert_close(loaded(x, time), unet(x, time))


def test_a_lost_tensor_is_named(unet):
    state = unet.state_dict()
    del state["mid_block.attentions.0.to_q.weight"]

    with pytest.raises(WeightsFormatError, match=r"mid_block\.attentions\.0\.to_q"):
        networks.from_state_dict(state)
