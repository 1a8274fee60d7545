"""Diffusion of pixels: recognized by its keys, and drawn on cubes like any other diffusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.cubes import array, reflectance
from xr_sr import networks
from xr_sr.catalog import fetch, records, registry
from xr_sr.errors import WeightsFormatError
from xr_sr.networks.pixel_diffusion import PixelDiffusion
from xr_sr.spec import WeightsFile

SIZES = {"bands": 8, "bands_out": 4, "channels": 32, "multipliers": "1-1", "blocks": 1, "attention": ""}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    made = PixelDiffusion(**SIZES)
    made.alphas_cumprod.copy_(torch.from_numpy(np.cumprod(1 - np.linspace(0.0015**0.5, 0.0155**0.5, 1000) ** 2)))
    return made


@pytest.fixture
def weights(network, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "current", registry.current)
    path = tmp_path / "pixels.safetensors"
    save_file(network.state_dict(), path)
    file = WeightsFile(str(path), fetch.sha256_of(path), path.stat().st_size, home="user")
    registry.register(replace(records.PIXEL_DIFFUSION, name="pixels", window=8, overlap=2, steps=2, weights=file))
    return str(path)


def test_it_is_recognized_and_what_shapes_cannot_tell_is_assumed(network):
    loaded, found = networks.from_state_dict(network.state_dict())

    assert SIZES.items() <= dict(found.config).items() and dict(found.config)["times"] == 1000
    assert (found.bands, found.bands_out, found.scale) == (4, 4, 4)
    assert found.assumed == ("upscale", "head_channels")
    x, condition, time = torch.rand(1, 4, 8, 12), torch.rand(1, 4, 8, 12), torch.tensor([7])
    with torch.no_grad():
        torch.testing.assert_close(loaded(x, condition, time), network(x, condition, time))


def test_images_and_what_is_sampled_are_the_same_but_for_their_range(network):
    image = torch.rand(1, 4, 8, 8)

    mean, deviation = network.posterior(image)

    assert -1 <= mean.min() < mean.max() <= 1 and not deviation.any()
    torch.testing.assert_close(network.image_of(mean), image)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm-solver++"])
def test_samples_agree_with_the_input_however_it_is_cut(weights, sampler):
    cube = array(reflectance(4, 14, 19))

    one = cube.sr.upscale("pixels", weights=weights, device="cpu", sampler=sampler).compute()
    other = cube.chunk(x=6).sr.upscale("pixels", weights=weights, device="cpu", sampler=sampler, chunks=9).compute()

    np.testing.assert_allclose(one.coarsen(y=4, x=4).mean().values, cube.values, rtol=0, atol=1e-5)
    np.testing.assert_allclose(other.values, one.values, rtol=0, atol=1e-5)


def test_a_file_of_its_weights_is_a_model(network, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "current", registry.current)
    save_file(network.state_dict(), tmp_path / "mine.safetensors")

    text = repr(array(reflectance(4, 14, 19)).sr.explain(str(tmp_path / "mine.safetensors")))

    assert "recognized as PixelDiffusion" in text and "windows of 64 pixels" in text


def test_windows_that_do_not_fit_the_network_are_refused(weights, network, tmp_path):
    deep = PixelDiffusion(**{**SIZES, "multipliers": "1-1-1-1-1-1-1"}, times=4)
    deep.alphas_cumprod.copy_(torch.tensor([0.9, 0.7, 0.5, 0.1]))
    save_file(deep.state_dict(), tmp_path / "deep.safetensors")

    with pytest.raises(WeightsFormatError, match="multiple of 64"):
        array(reflectance(4, 14, 19)).sr.upscale("pixels", weights=str(tmp_path / "deep.safetensors"))
