"""LPIPS loads the authors' key names strictly and gives their numbers; its backbones are the published ones."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from xr_sr.networks.lpips import LPIPS


@pytest.fixture
def golden(shared):
    folder = shared / "golden" / "lpips"
    network = LPIPS("squeeze")
    network.load_state_dict(load_file(folder / "state_dict.safetensors"), strict=True)
    return network.eval(), load_file(folder / "io.safetensors")


def test_equals_the_authors_network(golden):
    network, case = golden

    with torch.no_grad():
        out = network(case["a"], case["b"])
        layers = list(network.per_layer(case["a"], case["b"]))

    torch.testing.assert_close(out, case["out"].flatten(), rtol=1e-4, atol=0)
    for number, layer in enumerate(layers):
        torch.testing.assert_close(layer, case[f"layer{number}"].flatten(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("net", "parameters", "channels"),
    [
        # Of torchvision's squeezenet1_1, alexnet and vgg16, without their classifiers.
        ("squeeze", 722_496, [64, 128, 256, 384, 384, 512, 512]),
        ("alex", 2_469_696, [64, 192, 384, 256, 256]),
        ("vgg", 14_714_688, [64, 128, 256, 512, 512]),
    ],
)
def test_backbones_are_the_published_ones(net, parameters, channels):
    with torch.device("meta"):
        network = LPIPS(net)

    assert sum(value.numel() for value in network.net.parameters()) == parameters
    assert network.net.channels == channels
    heads = {name: value.shape for name, value in network.named_parameters() if name.startswith("lin")}
    assert heads == {f"lin{n}.model.1.weight": (1, width, 1, 1) for n, width in enumerate(channels)}


@pytest.mark.parametrize(
    ("net", "names"),
    [
        ("alex", "slice1.0 slice2.3 slice3.6 slice4.8 slice5.10"),
        (
            "vgg",
            "slice1.0 slice1.2 slice2.5 slice2.7 slice3.10 slice3.12 slice3.14 "
            "slice4.17 slice4.19 slice4.21 slice5.24 slice5.26 slice5.28",
        ),
    ],
)
def test_layers_are_numbered_as_the_authors_do(net, names):
    with torch.device("meta"):
        network = LPIPS(net)

    convolutions = [key.removesuffix(".weight") for key, _ in network.net.named_parameters() if key.endswith("weight")]
    assert convolutions == names.split()


@pytest.mark.parametrize(
    ("net", "sides"), [("squeeze", [31, 15, 7, 3, 3, 3, 3]), ("alex", [15, 7, 3, 3, 3]), ("vgg", [64, 32, 16, 8, 4])]
)
def test_features_have_the_published_sizes(net, sides):
    with torch.device("meta"):
        features = LPIPS(net).net(torch.zeros(1, 3, 64, 64))

    assert [feature.shape[-1] for feature in features] == sides


def test_equal_pictures_are_at_no_distance_and_order_does_not_matter(golden):
    network, case = golden

    with torch.no_grad():
        assert float(network(case["a"], case["a"]).abs().max()) == 0
        torch.testing.assert_close(network(case["a"], case["b"]), network(case["b"], case["a"]))


def test_all_valid_is_the_same_as_no_mask_and_none_valid_is_nan(golden):
    network, case = golden
    valid = torch.ones(2, 1, 64, 64)

    with torch.no_grad():
        torch.testing.assert_close(network(case["a"], case["b"], valid), network(case["a"], case["b"]))
        assert network(case["a"], case["b"], valid * 0).isnan().all()


def test_small_pictures_are_enlarged(golden):
    network, case = golden
    small = {name: case[name][..., :20, :40] for name in "ab"}
    large = {
        name: torch.nn.functional.interpolate(value, size=(64, 64), mode="bilinear", antialias=True)
        for name, value in small.items()
    }

    with torch.no_grad():
        torch.testing.assert_close(network(**small), network(**large))
