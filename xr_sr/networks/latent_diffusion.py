"""Latent diffusion as one network: the autoencoder, the U-Net, and the schedule of noise, as LDSR-S2 is published.

Names of tensors are those of opensr-model. Weights that only training needs are left out: the exponential averages
(`model_ema.`), since official inference uses the raw weights, and what losses had.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import kl_autoencoder, latent_unet
from .detect import Architecture, Arguments, Shapes, has_all
from .kl_autoencoder import KLAutoencoder
from .latent_unet import LatentUNet

SCHEDULE = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)
"""Numbers by time. All follow from `alphas_cumprod`, the share of the variance that is still the image's."""

_PARTS = (
    ("image_", "first_stage_model.", kl_autoencoder.ARCHITECTURE),
    ("", "model.diffusion_model.", latent_unet.ARCHITECTURE),
)


class Denoiser(nn.Module):
    """The name under which checkpoints hold the U-Net."""

    def __init__(self, network: LatentUNet) -> None:
        super().__init__()
        self.diffusion_model = network


class LatentDiffusion(nn.Module):
    """A latent with noise, its condition and the time to the noise in it; all parts that sampling needs.

    The latent of the low-resolution image, upscaled to the fine grid, is the condition. times: of the schedule. Other
    arguments: those of LatentUNet, and with `image_` before them those of KLAutoencoder.
    """

    alphas_cumprod: Tensor

    def __init__(self, times: int = 1000, **arguments: int | str) -> None:
        super().__init__()
        own = {name: value for name, value in arguments.items() if not name.startswith("image_")}
        image = {name.removeprefix("image_"): value for name, value in arguments.items() if name not in own}
        self.first_stage_model = KLAutoencoder(**image)  # type: ignore[arg-type]
        self.model = Denoiser(LatentUNet(**own))  # type: ignore[arg-type]
        for name in SCHEDULE:
            self.register_buffer(name, torch.zeros(times))

    @property
    def factor(self) -> int:
        """Pixels of an image per pixel of its latent, along an axis."""
        return self.first_stage_model.factor

    @property
    def multiple(self) -> int:
        """Pixels of a latent of which its sides are multiples."""
        return self.model.diffusion_model.factor

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the latent of an image."""
        mean, log_variance = self.first_stage_model.encode(image)
        return mean, (log_variance / 2).exp()

    def image_of(self, sample: Tensor) -> Tensor:
        """Return the image of a latent."""
        return self.first_stage_model.decode(sample)

    def forward(self, x: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        """Return the noise in a latent: (n, latent, y, x), twice, and (n,), to (n, latent, y, x)."""
        noise: Tensor = self.model.diffusion_model(torch.cat([x, condition], dim=1), time)
        return noise


def _sizes(shapes: Shapes, given: Arguments) -> Arguments | None:
    found: dict[str, int | str] = {"times": shapes["alphas_cumprod"][0]}
    for prefix, beginning, part in _PARTS:
        own = {key.removeprefix(beginning): shape for key, shape in shapes.items() if key.startswith(beginning)}
        theirs = part.sizes(own, given) if part.detect(own) else None
        if theirs is None:
            return None
        found |= {f"{prefix}{name}": value for name, value in theirs.items()}
    return found


ARCHITECTURE = Architecture(
    "xr_sr.networks.latent_diffusion:LatentDiffusion",
    LatentDiffusion,
    detect=has_all(
        "alphas_cumprod",
        "model.diffusion_model.input_blocks.0.0.weight",
        "first_stage_model.quant_conv.weight",
    ),
    sizes=_sizes,
    reads="image_bands",
    returns="image_bands",
    scale=4,
    assumed=latent_unet.ARCHITECTURE.assumed,
    ignored=("model_ema.", "first_stage_model.loss.", "loss."),
)
