"""Train the autoencoder of latent diffusion: that images come back, look right, and that latents are near to normal.

Losses as in R. Rombach et al. 2022 (doi:10.1109/CVPR52688.2022.01042), and the divergence of histograms. A
discriminator, which is trained beside the autoencoder, is not kept. Both have one optimizer, which treats each number
by itself as Adam does: it equals two of the same learning rate that step at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..arguments import check_choice, check_number, check_whole, checked_fields
from ..errors import TrainingError
from ..networks.kl_autoencoder import KLAutoencoder
from ..networks.patch_discriminator import PatchDiscriminator
from ..runtime.device import resolve_device
from .checks import check_kinds, scenes_for
from .learning import GENTLE
from .loop import Batch, Settings, mark, train
from .losses import (
    Adversarial,
    Divergence,
    discriminator_loss,
    generator_loss,
    histogram_divergence,
    kl_of_posterior,
    mean_absolute_error,
    perceptual_distance,
)
from .patches import Augmentation, Draw
from .scenes import Scene

MEASURED_BATCHES = 16
"""Batches from which mean and deviation of latents are measured after training."""


@checked_fields("xr_sr.training.AutoencoderLosses")
@dataclass(frozen=True)
class AutoencoderLosses:
    """Weights of the losses of an autoencoder; 0 leaves one out.

    mae: of the mean absolute error of reflectance. kl: of the divergence of latents from a standard normal
    distribution. gan: of the score of a discriminator, of the kind `adversarial`, from step `gan_from` on. perceptual:
    of the distance in features of three bands that are drawn at each step; it needs `features=`. histogram: of the
    `divergence` of the values of each band, in `bins` bins.
    Raises OptionError for impossible numbers and unknown fields.
    """

    mae: float = 1.0
    kl: float = 1e-6
    gan: float = 1e-3
    perceptual: float = 0.0
    histogram: float = 1e-2
    gan_from: int = 1_000
    adversarial: Adversarial = "hinge"
    divergence: Divergence = "jensen-shannon"
    bins: int = 64

    def __post_init__(self) -> None:
        for name in ("mae", "kl", "gan", "perceptual", "histogram"):
            check_number(name, getattr(self, name), least=0)
        check_whole("gan_from", self.gan_from, least=0)
        check_whole("bins", self.bins, least=2)
        check_choice("adversarial", self.adversarial, ("hinge", "least-squares"))
        check_choice("divergence", self.divergence, ("jensen-shannon", "kullback-leibler"))


class Opponents(nn.Module):
    """An autoencoder with its discriminator: images (n, band, y, x) to mean and log-variance of latents, side by side.

    steps: how many were trained, which a checkpoint so holds.
    """

    steps: Tensor

    def __init__(self, autoencoder: KLAutoencoder, discriminator: PatchDiscriminator | None) -> None:
        super().__init__()
        self.autoencoder, self.discriminator = autoencoder, discriminator
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Tensor) -> Tensor:
        """Return what latents are drawn from: (n, 2 latent, y / f, x / f)."""
        return torch.cat(self.autoencoder.encode(image), dim=1)


class AutoencoderLoss:
    """The sum of the losses of an autoencoder, and that of its discriminator; see `AutoencoderLosses`."""

    def __init__(self, opponents: Opponents, losses: AutoencoderLosses, features: nn.Module | None = None) -> None:
        self.opponents, self.losses, self.features = opponents, losses, features

    def __call__(self, posterior: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch; latents and bands are drawn from torch's generator."""
        losses, opponents = self.losses, self.opponents
        mean, log_variance = posterior.chunk(2, dim=1)
        made = opponents.autoencoder.decode(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        total = losses.mae * mean_absolute_error(made, batch.target) + losses.kl * kl_of_posterior(mean, log_variance)
        if losses.perceptual and self.features is not None:
            total = total + losses.perceptual * perceptual_distance(made, batch.target, self.features)
        if losses.histogram:
            apart = histogram_divergence(made, batch.target, bins=losses.bins, kind=losses.divergence)
            total = total + losses.histogram * apart
        if opponents.discriminator is not None:
            if int(opponents.steps) >= losses.gan_from:
                total = total + self._contest(opponents.discriminator, made, batch.target)
            opponents.steps += 1
        return total

    def _contest(self, discriminator: PatchDiscriminator, made: Tensor, reference: Tensor) -> Tensor:
        """Return the weighted loss of what is made, whose gradient does not reach the discriminator, and its own."""
        still = {name: value.detach() for name, value in discriminator.named_parameters()}
        score: Tensor = functional_call(discriminator, still, (made,))
        own = discriminator_loss(discriminator(reference), discriminator(made.detach()), self.losses.adversarial)
        return self.losses.gan * generator_loss(score, self.losses.adversarial) + own


@dataclass(frozen=True, eq=False)
class Images:
    """Batches of images that are their own targets; see `loop.Batches`. more: what else a run is known by."""

    draw: Draw
    size: int
    seed: int
    more: Mapping[str, Any]

    def __call__(self, step: int) -> Batch:
        """See `loop.Batches`."""
        chance = np.random.default_rng([self.seed, 1, step])
        images = torch.from_numpy(np.stack([self.draw(chance)[1] for _ in range(self.size)]))
        return Batch(images, images, torch.ones(self.size))

    def describe(self) -> dict[str, Any]:
        """See `loop.Batches`."""
        return {"size": self.size, "seed": self.seed, **self.draw.describe(), **self.more}


def fit_autoencoder(
    network: KLAutoencoder,
    scenes: Sequence[Scene],
    folder: str | Path,
    settings: Settings | None = None,
    *,
    losses: AutoencoderLosses | None = None,
    features: nn.Module | None = None,
    discriminator: PatchDiscriminator | None = None,
    augmentation: Augmentation | None = None,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    side: int = 64,
    batch: int = 8,
    show: Callable[[str], None] | None = None,
) -> KLAutoencoder:
    """Train an autoencoder on images; see `loop.train` for resuming and files.

    scenes: (band, y, x) reflectance at the pixel size of later use. losses: their weights. features: of pictures, as
    `perceptual_features` returns them, for the perceptual loss. discriminator: trained in place;
    by default one of 64 channels. evaluate: numbers for the log, of the network. side: of an image in pixels; batch:
    images of a step.
    Returns the network with its averaged weights; its latents then have mean 0 and variance 1 in each channel, over
    images as in training. Raises TrainingError, MissingLibraryError (the extra `train`).
    """
    kinds = {"settings": (settings, Settings), "losses": (losses, AutoencoderLosses)}
    check_kinds({**kinds, "augmentation": (augmentation, Augmentation)})
    if not isinstance(network, KLAutoencoder):
        raise TrainingError(f"network={network!r:.60}: expected a KLAutoencoder of xr_sr.networks.kl_autoencoder.")
    settings, losses = settings or Settings(), losses or AutoencoderLosses()
    if bool(losses.perceptual) != (features is not None):
        raise TrainingError(
            f"perceptual={losses.perceptual:g} and features={type(features).__name__}: expected both or none, a weight "
            "in losses= and training.perceptual_features(...) in features=."
        )
    bands = network.encoder.conv_in.in_channels
    discriminator = _opponent(discriminator, bands, settings.seed) if losses.gan else None
    least = max(network.factor, discriminator.least if discriminator else 1)
    if check_whole("side", side, least=1) % network.factor or side < least:
        raise TrainingError(
            f"side={side}: expected a multiple of {network.factor}, by which latents are smaller, and at least {least}."
        )
    check_whole("batch", batch, least=1)
    more: dict[str, Any] = {"losses": asdict(losses)}
    if features is not None:
        more["features"] = mark(features)
    draw = Draw(scenes_for(scenes, bands), side, augmentation or GENTLE, zooms=(1.0,))
    images = Images(draw, batch, settings.seed, more)
    opponents = Opponents(network, discriminator)
    if features is not None:
        features.to(resolve_device(settings.device))
    train(
        opponents,
        images,
        AutoencoderLoss(opponents, losses, features),
        Path(folder),
        settings,
        evaluate=None if evaluate is None else lambda module: evaluate(module.autoencoder),  # type: ignore[arg-type]
        show=show,
    )
    standardize(network, images, settings.steps)
    return network


def _opponent(given: PatchDiscriminator | None, bands: int, seed: int) -> PatchDiscriminator:
    """Return the discriminator that is given, or one of its own. Raises TrainingError for one of other bands."""
    if given is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return PatchDiscriminator(bands)
    if given.bands != bands:
        raise TrainingError(
            f"The discriminator of {given.bands} bands cannot judge images of {bands}; expected "
            f"PatchDiscriminator({bands}), or None."
        )
    return given


@torch.no_grad()
def standardize(network: KLAutoencoder, images: Callable[[int], Batch], first: int) -> None:
    """Change an autoencoder so that latents have mean 0 and variance 1 in each channel; its images stay the same.

    They are measured on some batches, from number `first` on. The two convolutions between encoder, latents and decoder
    take the change. Noise of a schedule is then relative to latents of the size that it was made for.
    """
    device = next(network.parameters()).device
    means = [network.encode(images(first + number).lr.to(device))[0] for number in range(MEASURED_BATCHES)]
    values = torch.cat([mean.movedim(1, 0).flatten(1) for mean in means], dim=1).double()
    middle, deviation = values.mean(1), values.std(1).clamp(min=1e-6)
    into, back = network.quant_conv, network.post_quant_conv
    assert into.bias is not None and back.bias is not None
    count = len(middle)
    weight, bias = into.weight.double(), into.bias.double()
    weight[:count] /= deviation[:, None, None, None]
    bias[:count] = (bias[:count] - middle) / deviation
    bias[count:] -= 2 * deviation.log()
    back_weight = back.weight.double()
    back_bias = back.bias.double() + (back_weight[..., 0, 0] * middle).sum(1)
    for parameter, value in (
        (into.weight, weight),
        (into.bias, bias),
        (back.weight, back_weight * deviation[:, None, None]),
        (back.bias, back_bias),
    ):
        parameter.copy_(value)
