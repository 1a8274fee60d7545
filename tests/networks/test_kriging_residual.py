"""The network that adds to kriging: its shapes, what it must not depend on, and how its error's scale is learned."""

import pytest
import torch

from xr_sr.networks.kriging_residual import KrigingResidual

NOISE = [(0.0, 2e-5), (1e-6, 0.0)]


@pytest.fixture
def network() -> KrigingResidual:
    """A network of two bands with random weights as large as those of a trained one."""
    torch.manual_seed(0)
    made = KrigingResidual(bands=2, channels=8, pairs=2, upscale=4, noise=NOISE).eval()
    with torch.no_grad():
        for layer in (made.tail, made.error):
            layer.weight.mul_(10)
            layer.bias.normal_()
    return made


def test_addition_and_scale_have_the_size_of_the_output(network):
    """Context is used up: the window of the moments, and one pixel for each convolution of three."""
    assert network.consumed == 4 + 1 + 2 * 2
    out = network(torch.rand(3, 2, 30, 26))
    assert out.shape == (3, 4, 4 * 12, 4 * 8)
    assert (out[:, 2:] > 0).all()


@pytest.mark.parametrize("level", [0.0, 0.05, 0.6, 1.2])
def test_even_ground_stays_even(network, level):
    """Its standard deviation is that of a flat window, a hundredth of what a digital number is."""
    flat = network(torch.full((1, 2, 24, 24), level))[:, :2]
    assert flat.std() < 1e-4


def test_addition_grows_with_the_contrast(network):
    """Without noise, twice the contrast at any level gives twice the addition."""
    network.noise.zero_()
    texture = torch.rand(1, 2, 24, 24) * 0.1
    once, twice = network(texture), network(texture * 2 + 0.3)
    torch.testing.assert_close(twice, 2 * once, rtol=1e-2, atol=1e-4)


def test_noise_changes_the_addition_where_it_is_as_large_as_the_ground(network):
    """The ratio of noise to signal is an input."""
    texture = torch.rand(1, 2, 24, 24) * 0.01 + 0.1
    quiet = network(texture)
    network.noise.mul_(100)
    assert (network(texture) - quiet).abs().max() > 0.1 * quiet.abs().max()


def test_pixels_beyond_the_context_do_not_matter(network):
    """A crop with its context gives the values of the whole."""
    image = torch.rand(1, 2, 40, 44) * 0.2
    whole, part = network(image), network(image[..., 7:35, 5:40])
    torch.testing.assert_close(
        part, whole[..., 28 : 28 + part.shape[-2], 20 : 20 + part.shape[-1]], rtol=1e-5, atol=1e-6
    )


def test_the_scale_of_the_error_teaches_its_own_layer_alone(network):
    """The addition is the same with and without it."""
    network(torch.rand(1, 2, 24, 24))[:, 2:].sum().backward()
    taught = {name for name, value in network.named_parameters() if value.grad.any()}
    assert taught == {"error.weight", "error.bias"}
