"""LeanSPAN adds detail and no low frequencies to bicubic, whatever its weights; folding it changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from xr_sr.networks import separable, span
from xr_sr.networks.lean import BICUBIC, BODY, SIGMA, LeanSPAN, interpolated


def random_lean(seed: int = 3, **config: int) -> LeanSPAN:
    """Make one whose additions are as large as its image."""
    torch.manual_seed(seed)
    network = LeanSPAN(**{"channels": 12, **config})
    with torch.no_grad():
        network.tail.weight.mul_(20)
    return network.eval()


def bicubic(image: torch.Tensor, upscale: int) -> torch.Tensor:
    ring = LeanSPAN.consumed - BICUBIC
    return interpolated(image[..., ring:-ring, ring:-ring], separable.bicubic(upscale), BICUBIC)


def block_means(image: torch.Tensor, size: int) -> torch.Tensor:
    return functional.avg_pool2d(image, size)


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize("upscale", [2, 3, 4])
def test_without_weights_it_is_bicubic(bands, upscale):
    network = LeanSPAN(bands, 8, upscale)
    with torch.no_grad():
        network.tail.weight.zero_()
    image = torch.rand(2, bands, 30, 25)

    with torch.no_grad():
        fine = network(image)

    # Antialiased upsampling is torch's name for Keys' kernel with a = -0.5.
    wanted = functional.interpolate(image, scale_factor=upscale, mode="bicubic", antialias=True, align_corners=False)
    edge = LeanSPAN.consumed * upscale
    torch.testing.assert_close(fine, wanted[..., edge:-edge, edge:-edge], rtol=0, atol=5e-6)


@pytest.mark.parametrize("upscale", [2, 4])
def test_additions_average_to_little_over_an_input_pixel(upscale):
    network = random_lean(upscale=upscale)
    image = torch.rand(1, 4, 48, 48)

    with torch.no_grad():
        added, whole = network(image) - bicubic(image, upscale), network.added(image)

    assert added.square().mean() > 1e-4
    # Of each pixel's mean a part is left, of the mean of 8 a hundredth: what a sensor saw stays what it saw.
    assert block_means(added, upscale).square().mean() < 0.15 * block_means(whole, upscale).square().mean()
    assert block_means(added, 8 * upscale).square().mean() < 1e-4 * added.square().mean()


@pytest.mark.parametrize("upscale", [2, 3, 4])
def test_the_constraint_is_the_gaussian_on_the_fine_grid(upscale):
    """Sampled once for each input pixel and interpolated again, it differs by little from what it stands for."""
    network = random_lean(upscale=upscale)
    image = torch.rand(1, 4, 48, 48)
    radius = round(4 * SIGMA * upscale)
    taps = torch.tensor(separable.gaussian(SIGMA * upscale, radius).taps, dtype=torch.float32)

    with torch.no_grad():
        whole = network.added(image)
        low = functional.conv2d(whole[0][:, None], (taps.T @ taps)[None, None])[:, 0]
        ring = (LeanSPAN.consumed - BODY) * upscale
        removed = whole[0, :, ring:-ring, ring:-ring] - (network(image) - bicubic(image, upscale))[0]

    ring -= radius
    wanted = low[:, ring : low.shape[1] - ring, ring : low.shape[2] - ring]
    # Noise, half of which is finer than the samples can hold; of images it is less.
    assert (removed - wanted).square().mean() < 0.3 * wanted.square().mean()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("upscale", [2, 3, 4])
def test_folding_changes_nothing(monkeypatch, fused, upscale):
    monkeypatch.setattr(span, "_can_fuse", lambda x: fused)
    network = random_lean(upscale=upscale)
    image = torch.rand(2, 4, 33, 40)

    with torch.no_grad():
        plain, folded = network(image), network.folded()(image.contiguous(memory_format=torch.channels_last))

    assert plain.shape == folded.shape == (2, 4, (33 - 20) * upscale, (40 - 20) * upscale)
    torch.testing.assert_close(folded, plain, rtol=0, atol=1e-5)


def test_a_pixel_beyond_the_context_changes_nothing():
    network = random_lean().double()
    image = torch.rand(1, 4, 21, 21, dtype=torch.float64)

    def reached(row: int) -> bool:
        changed = image.clone()
        changed[0, :, row] += 1
        with torch.no_grad():
            return not torch.equal(network(changed), network(image))

    assert all(reached(row) for row in range(21))


def test_it_costs_no_more_than_the_official_network_pruned():
    network = LeanSPAN(channels=24)
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]

    assert sum(layer.weight.numel() for layer in convolutions) <= 53_280


def test_gradients_reach_every_weight():
    network = random_lean()

    network(torch.rand(1, 4, 26, 26)).square().mean().backward()

    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in network.parameters())


def test_half_precision_touches_what_is_added_alone():
    network = random_lean().folded()
    image = torch.rand(1, 4, 30, 30).contiguous(memory_format=torch.channels_last)

    with torch.no_grad():
        exact = network(image)
        half = network.bfloat16()(image)

    added = exact - bicubic(image, 4)
    assert half.dtype == torch.float32
    # Rounding to 8 bits of what is added, not of the image: 0.4 % of an image of 1 would be 2e-3.
    assert (half - exact).square().mean() < 2e-4 * added.square().mean()


def test_folded_it_can_still_be_differentiated():
    network, image = random_lean(), torch.rand(1, 4, 26, 26, dtype=torch.float64)
    plain, folded = (image.clone().requires_grad_() for _ in range(2))

    network.double()(plain).square().sum().backward()
    random_lean().folded().double()(folded).square().sum().backward()

    torch.testing.assert_close(folded.grad, plain.grad, rtol=1e-4, atol=1e-4)
