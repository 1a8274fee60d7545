"""Diffusion of the fine image itself, with the interpolated input beside it, as SR3 does: no autoencoder.

Saharia et al. 2021, arXiv:2104.07636, with the U-Net of latent diffusion and its names of tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import latent_unet
from .detect import Architecture, Arguments, Shapes, has_all, number
from .latent_diffusion import SCHEDULE, Denoiser
from .latent_unet import LatentUNet

UPSCALE = 4
"""Output pixels per input pixel along an axis, which shapes do not tell."""


class PixelDiffusion(nn.Module):
    """An image with noise, the interpolated input and the time to the noise: what a sampler of fine images needs.

    Images are reflectance from 0 to 1, brought to -1 to 1. times: of the schedule. upscale: of the image. Other
    arguments: those of LatentUNet, whose `bands` are twice `bands_out`.
    """

    alphas_cumprod: Tensor
    factor = 1
    """Pixels of an image per pixel of what is sampled, along an axis."""

    def __init__(self, times: int = 1000, upscale: int = UPSCALE, **arguments: int | str) -> None:
        super().__init__()
        self.upscale = upscale
        self.model = Denoiser(LatentUNet(**arguments))  # type: ignore[arg-type]
        for name in SCHEDULE:
            self.register_buffer(name, torch.zeros(times))

    @property
    def multiple(self) -> int:
        """Pixels of the fine image of which its sides are multiples."""
        return self.model.diffusion_model.factor

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of what an image is as a condition: itself, without noise."""
        mean = 2 * image - 1
        return mean, torch.zeros_like(mean)

    def image_of(self, sample: Tensor) -> Tensor:
        """Return the image of what was sampled."""
        return (sample + 1) / 2

    def forward(self, x: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        """Return the noise in an image: (n, bands, y, x), twice, and (n,), to (n, bands, y, x)."""
        noise: Tensor = self.model.diffusion_model(torch.cat([x, condition], dim=1), time)
        return noise


def _sizes(shapes: Shapes, given: Arguments) -> Arguments | None:
    beginning = "model.diffusion_model."
    own = {key.removeprefix(beginning): shape for key, shape in shapes.items() if key.startswith(beginning)}
    unet = latent_unet.ARCHITECTURE
    found = unet.sizes(own, given) if unet.detect(own) else None
    if found is None or found["bands"] != 2 * int(found["bands_out"]):
        return None
    return {"times": shapes["alphas_cumprod"][0], "upscale": number(given, "upscale", UPSCALE), **found}


ARCHITECTURE = Architecture(
    "xr_sr.networks.pixel_diffusion:PixelDiffusion",
    PixelDiffusion,
    detect=has_all(
        "alphas_cumprod",
        "model.diffusion_model.input_blocks.0.0.weight",
        but_not=("first_stage_model.quant_conv.weight", "first_stage_model.encoder.conv_in.weight"),
    ),
    sizes=_sizes,
    reads="bands_out",
    returns="bands_out",
    scale="upscale",
    assumed=("upscale", *latent_unet.ARCHITECTURE.assumed),
    ignored=("model_ema.", "loss."),
)
