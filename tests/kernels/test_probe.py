"""The receptive field as it is measured: exact where there is one, and an error that says why where there is none."""

from __future__ import annotations

import pytest
import torch

import xr_sr
from tests import architectures
from xr_sr.errors import ModelError
from xr_sr.kernels import probe
from xr_sr.spec import ReceptiveField


def field_of(network: torch.nn.Module, **options: int) -> ReceptiveField:
    torch.manual_seed(1)
    return xr_sr.measure_halo(network, **{"bands": 2} | options)


@pytest.mark.parametrize("depth", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_field_of_convolutions_is_their_number(depth, scale):
    assert field_of(architectures.Plain(depth=depth, scale=scale)) == ReceptiveField(depth, depth, depth, depth)


@pytest.mark.parametrize("dilations", [(1, 50), (1, 6, 60), (60,), (1, 24, 48), (111,)])
def test_kernels_that_jump_are_followed(dilations):
    assert field_of(architectures.Jumping(dilations)).halo == max(dilations)


def test_a_network_that_says_what_it_loses_in_no_whole_number_is_refused():
    network = architectures.Valid()
    network.consumed = 2.5
    with pytest.raises(ModelError, match=r"consumed=2\.5"):
        field_of(network)


def test_a_measurement_draws_no_random_numbers_of_torch():
    network = architectures.Plain(depth=2, scale=2)
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    xr_sr.measure_halo(network, bands=2)

    torch.testing.assert_close(torch.rand(4), wanted)


def test_a_network_that_takes_no_narrow_image_is_measured_on_a_wider_one():
    assert field_of(architectures.Wide()) == ReceptiveField(3, 3, 3, 3)


def test_every_side_has_its_own_number_and_needs_no_gradient():
    assert field_of(architectures.Oblique()) == ReceptiveField(top=4, bottom=1, left=2, right=0)
    assert field_of(architectures.Oblique()).halo == 4


@pytest.mark.parametrize("network", [architectures.Valid, architectures.Rounded])
def test_field_of_networks_without_padding_and_without_gradient(network):
    assert field_of(network()).halo == 3


def test_a_network_that_insists_on_single_precision_is_measured_in_it():
    assert field_of(architectures.Single()) == ReceptiveField(2, 2, 2, 2)


def test_taps_of_no_weight_are_not_read():
    network = torch.nn.Conv2d(2, 2, 7, padding=3)
    with torch.no_grad():
        network.weight[..., 0, :] = 0
        network.weight[..., :, 5:] = 0

    assert field_of(network) == ReceptiveField(top=2, bottom=3, left=3, right=1)


def test_bands_are_those_of_the_first_convolution():
    assert xr_sr.measure_halo(architectures.Plain(bands=5)).halo == 3
    with pytest.raises(ModelError, match="bands=4"):
        xr_sr.measure_halo(architectures.Oblique())


def test_the_network_is_left_as_it_was():
    network = architectures.Plain().train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    threads = torch.get_num_threads()

    field_of(network)

    assert network.training
    assert torch.get_num_threads() == threads
    assert all(
        value.dtype == torch.float32 and torch.equal(value, state[name]) for name, value in network.named_parameters()
    )
    assert all(value.grad is None for value in network.parameters())


@pytest.mark.parametrize("network", [architectures.InstanceNorm, architectures.Attention])
def test_a_network_that_depends_on_all_it_sees_is_told_to_use_windows(network, monkeypatch):
    monkeypatch.setattr(probe, "LENGTHS", (24, 48))  # attention over 240 x 16 pixels takes its time
    with pytest.raises(ModelError, match="window="):
        field_of(network())


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (architectures.Strided, "moved down by one pixel"),
        (architectures.Columns, "moved to the right by one pixel"),
    ],
)
def test_another_function_at_another_place_is_told_to_use_windows(network, what):
    with pytest.raises(ModelError, match=what) as caught:
        field_of(network())

    assert "window=" in str(caught.value)


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (architectures.Eights, "windows of any size"),
        (architectures.Random, "two results for one input"),
        (architectures.BatchStatistics, "another image stands beside"),
        (torch.nn.Flatten, "without padding"),
    ],
)
def test_what_cannot_be_a_model_is_refused_with_the_reason(network, what):
    with pytest.raises(ModelError, match=what):
        field_of(network())


def test_official_network_reads_six_pixels(official):
    """Its own word, `receptive_radius`, is what the catalogue's halo is made of."""
    assert xr_sr.measure_halo("sen2sr-lite") == ReceptiveField(6, 6, 6, 6)


def test_interpolation_has_no_network_to_measure():
    with pytest.raises(ModelError, match="bicubic"):
        xr_sr.measure_halo("bicubic")
