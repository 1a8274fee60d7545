"""Make networks of diffusion with random weights, for benchmarks of models whose weights are not public."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LDSR: dict[str, Any] = {
    "image_bands": 4,
    "image_channels": 128,
    "image_multipliers": "1-2-4",
    "image_blocks": 2,
    "image_latent": 4,
    "image_embedding": 4,
    "bands": 8,
    "bands_out": 4,
    "channels": 160,
    "multipliers": "1-2-2-4",
    "blocks": 2,
    "attention": "8",
}
"""Sizes of LDSR-S2."""

SMALL: dict[str, Any] = {
    **LDSR,
    "image_channels": 32,
    "image_multipliers": "1-1-1",
    "image_blocks": 1,
    "channels": 32,
    "multipliers": "1-2",
    "blocks": 1,
    "attention": "2",
}
"""The same parts, for windows of 32 pixels and less."""

PIXELS: dict[str, Any] = {
    "bands": 8,
    "bands_out": 4,
    "channels": 64,
    "multipliers": "1-2-4-8",
    "blocks": 2,
    "attention": "8",
}
"""Sizes of a U-Net of pixels as SR3 has it, for windows of 128 fine pixels and more."""


def schedule() -> Any:
    """Return what is left of the image's variance at each of 1000 times, as of LDSR-S2's checkpoint."""
    import numpy as np

    return np.cumprod(1 - np.linspace(0.0015**0.5, 0.0155**0.5, 1000) ** 2)


def latent_weights(path: Path, sizes: Mapping[str, Any] = LDSR) -> None:
    """Write a checkpoint, as training saves it, with random weights that give images within 0 to 1."""
    import torch

    from xr_sr.networks.latent_diffusion import LatentDiffusion

    torch.manual_seed(0)
    network = LatentDiffusion(**sizes)
    with torch.no_grad():
        decoder = network.first_stage_model.decoder.conv_out
        decoder.weight.mul_(0.2)
        decoder.bias.fill_(0.2)
    _save(network, path)


def pixel_weights(path: Path) -> None:
    """Write a checkpoint of diffusion of pixels with random weights."""
    import torch

    from xr_sr.networks.pixel_diffusion import PixelDiffusion

    torch.manual_seed(0)
    _save(PixelDiffusion(**PIXELS), path)


def _save(network: Any, path: Path) -> None:
    import torch

    with torch.no_grad():
        network.alphas_cumprod.copy_(torch.from_numpy(schedule()))
    torch.save({"state_dict": network.state_dict()}, path)
