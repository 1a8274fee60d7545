"""Paths from noise to an image: where they begin and end, what they depend on, and exact Gaussian ground."""

from __future__ import annotations

import pytest
import torch

from xr_sr.networks.flow_residual import STEPS, FlowResidual


def network_of(**changed: int) -> FlowResidual:
    torch.manual_seed(3)
    network = FlowResidual(**{"bands": 2, "channels": 6, "pairs": 1, "upscale": 2, "width": 8, "blocks": 1, **changed})
    torch.nn.init.normal_(network.speed.weight, std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def seen() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(1, 2, 30, 28) * 0.2 + 0.1


def view_of(network: FlowResidual, seen: torch.Tensor) -> torch.Tensor:
    condition = network(seen)
    return network.parts(condition, torch.full_like(condition[:, : network.planes], 0.01))[1]


def test_the_addition_is_that_of_the_network_alone(seen):
    network = network_of()
    with torch.no_grad():
        condition = network(seen)
        addition, _ = network.parts(condition, torch.ones_like(condition[:, : network.planes]))
        torch.testing.assert_close(
            torch.pixel_shuffle(addition, 2), network.added(*network.read(seen)), rtol=1e-5, atol=1e-8
        )


def test_the_scale_counts_relative_to_the_contrast(seen):
    """Twice the contrast with twice the scale looks the same but for the noise, which is none here."""
    network = network_of()
    with torch.no_grad():
        views = []
        for times in (1.0, 2.0, 1.0):
            condition = network(seen * times)
            scale = torch.full_like(condition[:, : network.planes], 0.01 * times * (1 + len(views) // 2))
            views.append(network.parts(condition, scale)[1])
    torch.testing.assert_close(views[1], views[0], rtol=0, atol=1e-4)
    assert (views[2] - views[0]).abs().max() > 1e-2


@pytest.mark.parametrize("steps", range(2, STEPS + 1))
def test_each_step_after_the_first_reads_one_more_pixel(seen, steps):
    network = network_of()
    with torch.no_grad():
        view = view_of(network, seen)
        white = torch.randn(1, network.planes, view.shape[-2] + 2, view.shape[-1] + 2)
        made = network.drawn(white, view, steps)
        assert made.shape[-1] == white.shape[-1] - 2 * (steps - 1)
        changed = white.clone()
        row, column = (side // 2 for side in white.shape[-2:])
        changed[..., row, column] += 1
        rows, columns = (network.drawn(changed, view, steps) - made).abs().amax((0, 1)).nonzero(as_tuple=True)
        reach = steps - 1
        assert rows.min() == row - 2 * reach and rows.max() == row
        assert columns.min() == column - 2 * reach and columns.max() == column


@pytest.mark.parametrize("steps", range(2, STEPS + 1))
def test_without_speed_noise_stays_as_it_is(steps):
    """Which is right for Gaussian ground: it has the covariance of the noise."""
    network = network_of()
    torch.nn.init.zeros_(network.speed.weight)
    white, view = torch.randn(1, network.planes, 12, 12), torch.zeros(1, 8, 10, 10)
    with torch.no_grad():
        made = network.drawn(white, view, steps)
    inner = slice(steps - 1, 1 - steps)
    torch.testing.assert_close(made, white[..., inner, inner], rtol=0, atol=0)


def test_more_steps_end_nearer_to_the_end_of_the_path():
    """For the speed sin(2 a), which is zero where paths begin, they end one further."""
    network = network_of()

    class Known(FlowResidual):
        def moving(self, point, angle, seen):
            return torch.sin(2 * angle)[:, None, None, None] * torch.ones_like(point[..., 1:-1, 1:-1])

    network.__class__ = Known
    white, view = torch.zeros(1, network.planes, 12, 12), torch.zeros(1, 8, 10, 10)
    ends = [float(network.drawn(white, view, steps).mean()) for steps in (2, 3, 4)]
    assert abs(ends[2] - 1) < abs(ends[1] - 1) < abs(ends[0] - 1) < 0.2


def test_whitening_undoes_the_coloring():
    network = network_of()
    torch.manual_seed(1)
    root = torch.randn(network.planes, network.planes) / 4 + torch.eye(network.planes)
    network.base.copy_(root)
    white = torch.randn(2, network.planes, 5, 6)
    torch.testing.assert_close(network.whitened(network.colored(white)), white, rtol=0, atol=1e-4)
