"""Latent diffusion: the values of opensr-model, the layout of its published checkpoint, and clear refusals."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import interpolate

from xr_sr import networks
from xr_sr.errors import OptionError, WeightsFormatError
from xr_sr.networks.kl_autoencoder import KLAutoencoder, RepeatPixels
from xr_sr.networks.latent_diffusion import LatentDiffusion
from xr_sr.networks.latent_unet import LatentUNet

SMALL = {
    "image_bands": 3,
    "image_channels": 32,
    "image_multipliers": "1-2",
    "image_blocks": 1,
    "image_latent": 2,
    "image_embedding": 2,
    "bands": 4,
    "bands_out": 2,
    "channels": 32,
    "multipliers": "1-2-2",
    "blocks": 2,
    "attention": "2-4",
}


@pytest.fixture(scope="module")
def golden(shared):
    folder = shared / "golden/ldsr"
    network, found = networks.from_state_dict(load_file(folder / "state_dict.safetensors"), head_channels=16)
    return network, found, load_file(folder / "io_v1_0_8.safetensors")


def test_all_sizes_but_those_of_heads_are_read_from_shapes(golden):
    _, found, _ = golden
    config = dict(found.config)

    assert found.given == ("head_channels",) and not found.assumed
    assert (found.bands, found.bands_out, found.scale) == (4, 4, 4)
    assert (config["multipliers"], config["attention"], config["image_multipliers"]) == ("1-2", "2", "1-2-1")


def test_autoencoder_gives_the_values_of_opensr_model(golden):
    network, _, io = golden
    autoencoder = network.first_stage_model

    with torch.inference_mode():
        mean, log_variance = autoencoder.encode(interpolate(io["lr_square"], scale_factor=4, mode="bilinear"))
        decoded = autoencoder.decode(io["ae_mean"])

    for found, expected in ((mean, "ae_mean"), (log_variance, "ae_logvar"), (decoded, "ae_dec_of_mean")):
        torch.testing.assert_close(found, io[expected], rtol=0, atol=1e-4)


def test_unet_gives_the_values_of_opensr_model(golden):
    network, _, io = golden

    with torch.inference_mode():
        noise = network(io["unet_x"], io["ae_mean"], io["unet_t"])

    torch.testing.assert_close(noise, io["unet_eps"], rtol=0, atol=1e-4)


def test_layout_of_the_published_checkpoint_is_recognized_and_loads(shared):
    keys = json.loads((shared / "golden/key_layouts/ldsr_s2.json").read_text(encoding="utf-8"))["keys"]
    state = {key: torch.zeros(shape) for key, shape in keys.items()}

    network, found = networks.from_state_dict({"state_dict": state, "epoch": 3})
    config = dict(found.config)

    assert found.assumed == ("head_channels",) and config["head_channels"] == 32
    assert (config["channels"], config["multipliers"], config["blocks"], config["attention"]) == (
        160,
        "1-2-2-4",
        2,
        "8",
    )
    assert sum(weight.numel() for weight in network.model.parameters()) == 113_626_884
    assert sum(weight.numel() for weight in network.first_stage_model.parameters()) == 55_328_232


def test_averages_and_losses_of_training_are_left_out():
    network = LatentDiffusion(**SMALL, times=10)
    state = network.state_dict()
    more = {
        "model_ema.decay": torch.ones(()),
        "model_ema.diffusion_modelout2bias": torch.ones(2),
        "first_stage_model.loss.logvar": torch.ones(()),
    }

    loaded, found = networks.from_state_dict({**state, **more})

    assert dict(found.config) == {**SMALL, "times": 10, "head_channels": 32}
    torch.testing.assert_close(loaded.state_dict(), state)


@pytest.mark.parametrize(
    ("network", "config"),
    [
        (KLAutoencoder(2, 32, "1-1-2", 1, 3, 2), {"bands": 2, "multipliers": "1-1-2", "latent": 3, "embedding": 2}),
        (LatentUNet(5, 3, 32, "1-2", 1, ""), {"bands": 5, "bands_out": 3, "multipliers": "1-2", "attention": ""}),
    ],
)
def test_parts_are_recognized_by_themselves(network, config):
    loaded, found = networks.from_state_dict(network.state_dict())

    assert config.items() <= dict(found.config).items()
    torch.testing.assert_close(loaded.state_dict(), network.state_dict())


def test_autoencoder_keeps_the_sides_of_rectangles():
    image = torch.rand(1, 2, 24, 40)

    with torch.inference_mode():
        assert KLAutoencoder(2, 32, "1-1-2", 1, 3, 2)(image).shape == image.shape


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(OptionError, match="head_channels"):
        networks.from_state_dict(LatentDiffusion(**SMALL).state_dict(), head_channels=24)


def test_a_lost_tensor_is_named():
    state = LatentDiffusion(**SMALL).state_dict()
    del state["model.diffusion_model.out.2.bias"]

    with pytest.raises(WeightsFormatError, match=r"model\.diffusion_model\.out\.2\.bias"):
        networks.from_state_dict(state)


@pytest.mark.parametrize("size", [(5, 8), (1, 1), (4, 3)])
def test_repeated_pixels_are_convolved_alike_with_and_without_gradients(size):
    torch.manual_seed(4)
    layer, image = RepeatPixels(6), torch.randn(2, 6, *size)

    plain = layer(image)
    with torch.inference_mode():
        quick = layer(image)

    assert plain.requires_grad and plain.shape == (2, 6, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(quick, plain.detach(), rtol=0, atol=1e-6)
