"""A small network that draws, with random weights, for tests of what is around it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

import xr_sr
from xr_sr.kernels.flow_network import FlowNetwork
from xr_sr.networks.flow_residual import STEPS

RGBN = ("B04", "B03", "B02", "B08")
SIZES = {"channels": 8, "pairs": 4, "upscale": 4, "width": 12, "blocks": 1}


def weights_in(folder: Path) -> Path:
    """Write random weights, of which members differ from the mean by some hundredths of reflectance."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = FlowNetwork(RGBN, **SIZES)
        torch.nn.init.normal_(network.speed.weight, std=0.3)
        network.base.copy_(torch.eye(network.planes) + 0.05 * torch.randn(network.planes, network.planes))
    path = folder / "small_flow.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def spec_of(name: str = "small-flow") -> xr_sr.ModelSpec:
    """Return the record of that network."""
    return xr_sr.ModelSpec(
        name,
        "random weights that draw",
        "xr_sr.kernels.flow_network:FlowNetwork",
        bands=RGBN,
        bands_out=RGBN,
        scale=4,
        halo=24,
        error_scale=True,
        stochastic=True,
        most_steps=STEPS,
        config=(("bands", RGBN), *SIZES.items(), ("steps", STEPS), ("seed", 0)),
    )
