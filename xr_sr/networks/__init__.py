"""Architectures in torch alone, one per file, and `from_state_dict`, which recognizes them by their weights.

No xarray, dask, files or names of bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from . import (
    kl_autoencoder,
    latent_diffusion,
    latent_unet,
    lean,
    lean_fusion,
    lpips,
    named_unet,
    pixel_diffusion,
    span,
    vector_quantized,
)
from .detect import Architecture, Found, build_from

__all__ = ["ARCHITECTURES", "Found", "from_state_dict"]

ARCHITECTURES: tuple[Architecture, ...] = (
    span.ARCHITECTURE,
    lean.ARCHITECTURE,
    lean_fusion.ARCHITECTURE,
    lean_fusion.COARSE_ARCHITECTURE,
    lpips.ARCHITECTURE,
    latent_diffusion.ARCHITECTURE,
    pixel_diffusion.ARCHITECTURE,
    kl_autoencoder.ARCHITECTURE,
    latent_unet.ARCHITECTURE,
    vector_quantized.ARCHITECTURE,
    named_unet.ARCHITECTURE,
)
"""All that can be recognized, in the order in which they are tried."""


def from_state_dict(state_dict: Mapping[str, Any], **overrides: int | str) -> tuple[nn.Module, Found]:
    """Build the network of a state dict, and load its weights with no key missing or left over.

    state_dict: tensors by name, also inside of `state_dict`, `params_ema` or `params`, or saved from DataParallel.
    overrides: arguments of the architecture, such as `upscale=2`, that shapes cannot tell, or that are another than the
        published ones.

    Returns (module, found). module: in eval mode, on the CPU, in float32; it maps (n, band, y, x) reflectance, channels
    in the published order, to (n, band_out, y * scale, x * scale), and pads inside, by zeros as SPAN does or by
    mirroring. A constraint that is not part of the network is not applied. LPIPS maps two pictures (n, 3, y, x) to
    distances (n,); LatentDiffusion, PixelDiffusion and LatentUNet map what a sampler has, and a time, to noise. found:
    the architecture, its arguments, and which of these were read from shapes, assumed or given.
    Raises WeightsFormatError, with the keys that were found and the known architectures, for another state dict;
    OptionError for an argument that the architecture does not have.
    """
    return build_from(state_dict, ARCHITECTURES, overrides)
