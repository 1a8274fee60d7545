"""What diffusion works on: the latents of an autoencoder, or reflectance itself; and a schedule of noise for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..arguments import check_number, check_numbers, check_whole
from ..errors import OptionError, TrainingError
from ..kernels.sampling import Schedule
from ..networks import from_state_dict
from ..networks.kl_autoencoder import KLAutoencoder
from ..networks.latent_diffusion import LatentDiffusion
from ..networks.latent_unet import HeadedAttention, LatentUNet
from ..networks.pixel_diffusion import PixelDiffusion

HEAD_CHANNELS = 32
"""Channels of a head of attention in published networks, and in files of weights, which do not tell."""

LIMITS = (0.0, 0.5)
"""Reflectance that without an autoencoder becomes -1 and 1."""


def linear_schedule(times: int = 1000, first: float = 0.0015, last: float = 0.0155) -> Schedule:
    """Return the schedule of latent diffusion: roots of the variances of steps rise linearly, as in LDSR-S2.

    times: of the schedule, 1 or more. first, last: variance of the noise of the first and the last one, from 0 to less
    than 1. Raises OptionError.
    """
    times = check_whole("times", times, least=1)
    first, last = (check_number(name, value, least=0, most=0.999) for name, value in (("first", first), ("last", last)))
    variances = np.linspace(first**0.5, last**0.5, times) ** 2
    return Schedule(np.cumprod(1 - variances))


class Latents:
    """Images to what has noise added, and back.

    autoencoder: with trained weights, which stay as they are; None is for reflectance itself, of which `limits` become
    -1 and 1.
    """

    def __init__(self, autoencoder: KLAutoencoder | None, limits: tuple[float, float] = LIMITS) -> None:
        self.autoencoder, self.limits = autoencoder, limits

    def encode(self, image: Tensor) -> Tensor:
        """Return the latent of images, drawn from its distribution by torch's generator, without a gradient."""
        low, high = self.limits
        if self.autoencoder is None:
            return (image - low) * (2 / (high - low)) - 1
        with torch.no_grad():
            mean, log_variance = self.autoencoder.encode(image)
            return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the images of latents."""
        low, high = self.limits
        if self.autoencoder is None:
            return (latent + 1) * ((high - low) / 2) + low
        with torch.no_grad():
            return self.autoencoder.decode(latent)


def latents_of(autoencoder: KLAutoencoder | None, limits: object, bands: int) -> Latents:
    """Return latents of images of so many bands. Raises OptionError for the limits, TrainingError for the bands."""
    low, high = check_numbers("limits", limits, 2)
    if low >= high:
        raise OptionError(f"limits={limits!r}: expected two reflectances, the lower one first, such as {LIMITS}.")
    if autoencoder is not None and autoencoder.encoder.conv_in.in_channels != bands:
        raise TrainingError(
            f"The autoencoder is for {autoencoder.encoder.conv_in.in_channels} bands, and bands= names {bands}; "
            "expected one that was trained on these bands."
        )
    return Latents(autoencoder, (low, high))


def check_fits(network: object, autoencoder: KLAutoencoder | None, bands: int, side: int) -> None:
    """Raise TrainingError unless a denoiser reads and returns latents of images of this side."""
    if not isinstance(network, LatentUNet):
        raise TrainingError(f"network={network!r:.60}: expected a LatentUNet of xr_sr.networks.latent_unet.")
    channels = autoencoder.post_quant_conv.in_channels if autoencoder else bands
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    reads, returns = shapes["input_blocks.0.0.weight"][1], shapes["out.2.weight"][0]
    if (reads, returns) != (2 * channels, channels):
        raise TrainingError(
            f"The network reads {reads} channels and returns {returns}; expected LatentUNet(bands={2 * channels}, "
            f"bands_out={channels}), which reads latents of {channels} channels beside their condition."
        )
    multiple = network.factor * (autoencoder.factor if autoencoder else 1)
    if side % multiple:
        raise TrainingError(
            f"Patches have {side} fine pixels a side; expected a multiple of {multiple}, by which the networks "
            "make images smaller. Change side=."
        )


def latent_diffusion(
    autoencoder: KLAutoencoder, network: LatentUNet, schedule: Schedule | None = None
) -> LatentDiffusion:
    """Join a trained autoencoder and a denoiser of its latents to one network, whose weights can be saved as a model.

    schedule: that of training. Its names of tensors are those of LDSR-S2. Raises TrainingError for a network that does
    not fit the autoencoder, or has heads of attention of other than 32 channels.
    """
    check_fits(network, autoencoder, autoencoder.encoder.conv_in.in_channels, 0)
    state = _schedule_state(schedule)
    state |= {f"first_stage_model.{key}": value for key, value in autoencoder.state_dict().items()}
    state |= {f"model.diffusion_model.{key}": value for key, value in network.state_dict().items()}
    _check_heads(network)
    joined, _ = from_state_dict(state)
    assert isinstance(joined, LatentDiffusion)
    return joined


def pixel_diffusion(
    network: LatentUNet, schedule: Schedule | None = None, *, limits: tuple[float, float]
) -> PixelDiffusion:
    """Make a denoiser of reflectance a model of its own, whose weights can be saved and used: `upscale("FILE")`.

    schedule: that of training, which was for scale=4. limits: those of training; of a model they are 0 and 1. Raises
    TrainingError for others, and for a network that does not read the fine image beside its condition.
    """
    if tuple(limits) != (0, 1):
        raise TrainingError(
            f"limits={limits!r}: a model of pixels has 0 and 1. Train with fit_denoiser(limits=(0, 1)), and pass the "
            "same here."
        )
    check_fits(network, None, _returned(network), 0)
    _check_heads(network)
    state = _schedule_state(schedule)
    state |= {f"model.diffusion_model.{key}": value for key, value in network.state_dict().items()}
    made, _ = from_state_dict(state)
    assert isinstance(made, PixelDiffusion)
    return made


def _check_heads(network: LatentUNet) -> None:
    """Raise TrainingError for heads of attention that a file of weights would not tell."""
    middle = next(layer for layer in network.middle_block if isinstance(layer, HeadedAttention))
    if (channels := int(middle.norm.num_channels // middle.heads)) != HEAD_CHANNELS:
        raise TrainingError(
            f"The network has heads of {channels} channels, which a file of weights does not tell: a model is read as "
            f"of {HEAD_CHANNELS}, as published ones. Train LatentUNet(head_channels={HEAD_CHANNELS})."
        )


def _returned(network: object) -> int:
    """Return the channels that a denoiser returns; 1 for what is none."""
    return int(network.state_dict()["out.2.weight"].shape[0]) if isinstance(network, LatentUNet) else 1


def _schedule_state(schedule: Schedule | None) -> dict[str, Tensor]:
    """Return all numbers of a schedule by time, under the names of LDSR-S2."""
    kept = (schedule or linear_schedule()).kept
    before = np.append(1.0, kept[:-1])
    variances = 1 - kept / before
    posterior = variances * (1 - before) / (1 - kept)
    numbers = {
        "betas": variances,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(kept),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - kept),
        "log_one_minus_alphas_cumprod": np.log(1 - kept),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / kept),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / kept - 1),
        "posterior_variance": posterior,
        "posterior_log_variance_clipped": np.log(posterior.clip(min=1e-20)),
        "posterior_mean_coef1": variances * np.sqrt(before) / (1 - kept),
        "posterior_mean_coef2": (1 - before) * np.sqrt(1 - variances) / (1 - kept),
    }
    return {name: torch.from_numpy(values).float() for name, values in numbers.items()}
