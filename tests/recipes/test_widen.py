"""A network of more channels begins with the function of one of fewer, and all of it learns."""

import pytest
import torch

from recipes.widen import widened
from xr_sr.errors import ModelError
from xr_sr.networks.lean import LeanSPAN
from xr_sr.networks.lean_fusion import LeanCoarse


@pytest.mark.parametrize(("form", "bands"), [(LeanSPAN, 4), (LeanCoarse, 10)])
def test_a_wider_network_gives_the_same_and_then_learns_with_all_its_channels(form, bands):
    torch.manual_seed(2)
    narrow, wide = form(channels=8), form(channels=12)
    before = wide.first[1].weight.detach().clone()
    widened(narrow, wide)
    image = torch.rand(1, bands, 40, 40)
    wanted = narrow(image)
    torch.testing.assert_close(wide(image), wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(wide.first[1].weight[8:, 8:], before[8:, 8:])

    torch.optim.SGD(wide.parameters(), 0.1).zero_grad()
    wide(image).square().sum().backward()
    assert wide.tail.weight.grad[:, 8:].abs().max() > 0
    torch.optim.SGD(wide.parameters(), 0.1).step()
    assert not torch.allclose(wide(image), wanted)


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="LeanSPAN of 12 .*LeanSPAN .*8"):
        widened(LeanSPAN(channels=12), LeanSPAN(channels=8))
    with pytest.raises(ModelError, match="LeanCoarse"):
        widened(LeanSPAN(channels=8), LeanCoarse(channels=8))


@pytest.mark.parametrize(
    ("form", "narrow", "wide", "words"),
    [
        (LeanSPAN, {"upscale": 2}, {}, "4 bands to 4, 2 times .* 4 bands to 4, 4 times"),
        (LeanSPAN, {}, {"upscale": 2}, "4 bands to 4, 4 times .* 4 bands to 4, 2 times"),
        (LeanSPAN, {"bands": 1}, {}, "1 bands to 1, 4 times .* 4 bands to 4"),
        (LeanSPAN, {"bands": 3}, {}, "3 bands to 3"),
        (LeanCoarse, {"coarse": 4, "upscale": 2}, {"coarse": 1}, "10 bands to 4, 2 times .* 10 bands to 1, 4 times"),
    ],
)
def test_a_start_of_other_bands_or_scale_is_refused(form, narrow, wide, words):
    mine = form(channels=8, **wide)
    before = [value.clone() for value in mine.parameters()]

    with pytest.raises(ModelError, match=words):
        widened(form(channels=8, **narrow), mine)

    assert all(torch.equal(own, old) for own, old in zip(mine.parameters(), before, strict=True))
