"""LeanFusion adds detail and no low frequencies to bicubic, less to fine bands than to coarse; folding is exact."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from xr_sr.networks import span
from xr_sr.networks.lean_fusion import LeanFusion


def random_fusion(seed: int = 3, **config: int) -> LeanFusion:
    """Make one whose additions are as large as its image."""
    torch.manual_seed(seed)
    network = LeanFusion(**{"channels": 12, "coarse_channels": 10, **config})
    with torch.no_grad():
        network.fine.tail.weight.mul_(20)
        network.coarse.tail.weight.mul_(20)
    return network.eval()


def plain(image: torch.Tensor, upscale: int) -> torch.Tensor:
    # Antialiased upsampling is torch's name for Keys' kernel with a = -0.5.
    fine = functional.interpolate(image, scale_factor=upscale, mode="bicubic", antialias=True, align_corners=False)
    edge = LeanFusion.consumed * upscale
    return fine[..., edge:-edge, edge:-edge]


@pytest.mark.parametrize("upscale", [1, 2, 4])
def test_without_weights_it_is_bicubic(upscale):
    network = LeanFusion(channels=8, coarse_channels=8, upscale=upscale)
    with torch.no_grad():
        network.fine.tail.weight.zero_()
        network.coarse.tail.weight.zero_()
        image = torch.rand(2, 10, 40, 37)

        torch.testing.assert_close(network(image), plain(image, upscale), rtol=0, atol=5e-6)


def test_additions_average_to_little_over_a_pixel_of_their_sensor():
    network = random_fusion()
    image = torch.rand(1, 10, 92, 92)

    with torch.no_grad():
        added = network(image) - plain(image, 4)

    def left(bands: slice, pixels: int) -> float:
        whole = added[:, bands].square().mean()
        return float(functional.avg_pool2d(added[:, bands], 4 * pixels).square().mean() / whole)

    fine, coarse = slice(4), slice(4, None)
    assert added[:, fine].square().mean() > 1e-4 and added[:, coarse].square().mean() > 1e-4
    assert left(fine, 2) < 0.02 and left(fine, 8) < 1e-4
    assert left(coarse, 16) < 2e-3
    # What the sensor did not see of the coarse bands may change over more pixels than what it did not of the fine ones.
    assert left(fine, 4) < left(coarse, 4)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("upscale", [1, 2, 4])
def test_folding_changes_nothing(monkeypatch, fused, upscale):
    monkeypatch.setattr(span, "_can_fuse", lambda x: fused)
    network = random_fusion(upscale=upscale)
    image = torch.rand(2, 10, 45, 52).contiguous(memory_format=torch.channels_last)

    with torch.no_grad():
        wanted, fine = network(image), network.folded()(image)

    torch.testing.assert_close(fine, wanted, rtol=0, atol=5e-6)


@pytest.mark.parametrize("gives", [[0, 3], [5, 9], [1, 8], [2]])
def test_bands_that_are_not_wanted_are_left_out_and_change_nothing(gives):
    network = random_fusion()
    image = torch.rand(2, 10, 45, 52).contiguous(memory_format=torch.channels_last)

    with torch.no_grad():
        folded = network.folded(gives=gives)
        torch.testing.assert_close(folded(image), network(image)[:, gives], rtol=0, atol=5e-6)
        torch.testing.assert_close(folded.double()(image.double()).float(), folded.float()(image), rtol=0, atol=5e-6)

    assert (folded.fine is None) == (min(gives) > 3) and (folded.coarse is None) == (max(gives) < 4)


def test_an_output_pixel_depends_on_the_context_that_is_consumed_and_on_no_more():
    network = random_fusion(channels=6, coarse_channels=6, upscale=2).double()
    side = 2 * LeanFusion.consumed + 1
    image = torch.rand(1, 10, side, side, dtype=torch.float64, requires_grad=True)

    network(image).sum().backward()

    seen = image.grad.abs().sum((0, 1)) > 0
    assert seen.all()
