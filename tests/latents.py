"""A small network of latent diffusion with random weights, and models of the catalog on small windows that use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from xr_sr.catalog import registry
from xr_sr.networks.latent_diffusion import LatentDiffusion

SIZES: Mapping[str, Any] = {
    "image_bands": 4,
    "image_channels": 32,
    "image_multipliers": "1-1-1",
    "image_blocks": 1,
    "image_latent": 4,
    "image_embedding": 4,
    "bands": 8,
    "bands_out": 4,
    "channels": 32,
    "multipliers": "1-2",
    "blocks": 1,
    "attention": "2",
}
WINDOW, OVERLAP = 16, 4


@cache
def small_state() -> Mapping[str, torch.Tensor]:
    """Random weights, such that images are within reflectance, and the schedule of LDSR-S2."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LatentDiffusion(**SIZES)
    with torch.no_grad():
        network.alphas_cumprod.copy_(torch.from_numpy(np.cumprod(1 - np.linspace(0.0015**0.5, 0.0155**0.5, 1000) ** 2)))
        network.first_stage_model.decoder.conv_out.weight.mul_(0.2)
        network.first_stage_model.decoder.conv_out.bias.fill_(0.2)
    return network.state_dict()


def saved(folder: Path, changes: Mapping[str, torch.Tensor] | None = None) -> str:
    """Save the weights, some of them changed, and return the path."""
    path = folder / "small.safetensors"
    save_file({**small_state(), **(changes or {})}, path)
    return str(path)


def register_small() -> None:
    """Register "small" and "small.v1", as "ldsr-s2" and "ldsr-s2.v1.0" on windows of 16 pixels."""
    for name, known in (("small", "ldsr-s2"), ("small.v1", "ldsr-s2.v1.0")):
        registry.register(replace(registry.get(known), name=name, window=WINDOW, overlap=OVERLAP))
