"""SPAN loads the published key names strictly, gives the published numbers, and loses nothing when folded."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from xr_sr.networks import span
from xr_sr.networks.span import SPAN, FoldedSPAN, shuffle


def random_span(seed: int = 3, **config: int) -> SPAN:
    torch.manual_seed(seed)
    network = SPAN(4, 4, **{"feature_channels": 12, **config})
    for name, value in network.named_parameters():
        value.data = torch.randn_like(value) * (0.9 / value[0].numel() ** 0.5 if value.ndim > 1 else 0.05)
        assert "eval_conv" in name or value.requires_grad
    return network.eval()


@pytest.fixture
def golden(shared):
    folder = shared / "golden" / "cnnsr"
    config = json.loads((folder / "config.json").read_text())["config"]
    network = SPAN(
        *(config[key] for key in ("in_channels", "out_channels", "feature_channels", "upscale", "num_blocks"))
    )
    network.load_state_dict(load_file(folder / "state_dict.safetensors"), strict=True)
    return network.eval(), load_file(folder / "io.safetensors")


@pytest.mark.parametrize("case", ["square", "rect"])
def test_equals_the_published_network_with_random_weights(golden, case):
    network, cases = golden

    with torch.no_grad():
        out = network(cases[f"{case}.input"])

    torch.testing.assert_close(out, cases[f"{case}.output"], rtol=0, atol=1e-5)


def test_official_keys_and_shapes_load_strictly(shared):
    layout = json.loads((shared / "golden" / "key_layouts" / "cnn_lite_x4.json").read_text())
    own = {name: list(value.shape) for name, value in SPAN(4, 4, 24).state_dict().items()}

    assert own == layout["keys"]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("upscale", [1, 2, 3, 4])
def test_folding_changes_nothing_where_padding_does_not_reach(monkeypatch, fused, upscale):
    monkeypatch.setattr(span, "_can_fuse", lambda x: fused)
    network = random_span(upscale=upscale)
    image = torch.rand(2, 4, 33, 40)

    with torch.no_grad():
        whole = network(image)
        folded = network.folded()(image.contiguous(memory_format=torch.channels_last))

    edge = FoldedSPAN.consumed * upscale
    torch.testing.assert_close(folded, whole[..., edge:-edge, edge:-edge], rtol=1e-5, atol=1e-5)


def test_folding_ten_bands_changes_nothing_where_padding_does_not_reach():
    torch.manual_seed(5)
    network = SPAN(10, 6, 24, 1).eval()
    image = torch.rand(1, 10, 30, 33)

    with torch.no_grad():
        whole = network(image)
        folded = network.folded()(image.contiguous(memory_format=torch.channels_last))

    assert not network.folded().body.from_image
    torch.testing.assert_close(folded, whole[..., 6:-6, 6:-6], rtol=1e-5, atol=1e-5)


def test_clamping_is_part_of_the_folded_network():
    network = random_span()
    image = torch.rand(1, 4, 20, 20) - 0.5

    with torch.no_grad():
        free, clamped = network.folded()(image), network.folded(non_negative=True)(image)

    assert free.min() < 0
    torch.testing.assert_close(clamped, free.clamp(min=0), rtol=0, atol=1e-6)


def test_middle_blocks_do_not_reach_the_output():
    network = random_span()
    image = torch.rand(1, 4, 16, 16)
    with torch.no_grad():
        before = network(image)
        for block in network.blocks[1:-1]:
            for value in block.parameters():
                value.fill_(float("nan"))

        after = network(image)

    assert torch.equal(before, after)


def test_training_reaches_every_live_factor():
    network = random_span().train()

    network(torch.rand(1, 4, 16, 16)).square().mean().backward()

    dead = {name for name, value in network.named_parameters() if value.requires_grad and value.grad is None}
    assert all(name.startswith(("blocks.1.", "blocks.2.", "blocks.3.", "blocks.4.")) for name in dead)


@pytest.mark.parametrize("upscale", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shuffle_is_pixel_shuffle(upscale, dtype):
    image = torch.randn(2, 3 * upscale**2, 5, 7).to(dtype).contiguous(memory_format=torch.channels_last)

    assert torch.equal(shuffle(image, upscale), torch.nn.functional.pixel_shuffle(image, upscale))
