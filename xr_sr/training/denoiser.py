"""Train the network of diffusion: to find the noise in a fine image, or in its latent, given the coarse image.

What it finds noise in (x) has variance near 1. It is the latent of a trained autoencoder, or without one reflectance,
shifted and scaled. The condition is the coarse image between its pixels, encoded in the same way:

    x_t = sqrt(kept_t) x + sqrt(1 - kept_t) noise,    loss = mean |noise - network([x_t, condition], t)|^2

Source: J. Ho, A. Jain and P. Abbeel 2020, arXiv:2006.11239, formula 14; condition as in C. Saharia et al. 2021,
arXiv:2104.07636.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arguments import check_number, check_whole, checked_fields
from ..kernels.sampling import Schedule, sample_dpm_solver
from ..networks.kl_autoencoder import KLAutoencoder
from ..networks.latent_unet import LatentUNet
from ..runtime.device import resolve_device
from .checks import check_kinds, check_seen, check_sizes, scenes_for
from .latents import LIMITS, Latents, check_fits, latents_of, linear_schedule
from .learning import GENTLE, Seen, SensorRange, sensed_bands
from .loop import Batch, Settings, mark, train
from .patches import Augmentation, PooledBatches
from .scenes import Scene

CONTEXT = 1
"""Input pixels around a patch that interpolation reads."""


@checked_fields("xr_sr.training.Masking")
@dataclass(frozen=True)
class Masking:
    """What is hidden of the input: its values become 0, as nodata, before they are interpolated.

    pixels: share of the input pixels, each in all bands. bands: share of the bands, each in the whole patch; in a patch
    that would keep none, all are kept. Raises OptionError for other numbers than from 0 to 1.
    """

    pixels: float = 0.0
    bands: float = 0.0

    def __post_init__(self) -> None:
        for name in ("pixels", "bands"):
            check_number(name, getattr(self, name), least=0, most=1)

    def __call__(self, lr: Tensor) -> Tensor:
        """Hide some of (n, band, y, x); which, is drawn from torch's generator."""
        n, bands, height, width = lr.shape
        if self.pixels:
            lr = lr * (torch.rand(n, 1, height, width) >= self.pixels).to(lr)
        if self.bands:
            kept = torch.rand(n, bands, 1, 1) >= self.bands
            lr = lr * (kept | ~kept.any(1, keepdim=True)).to(lr)
        return lr


class Denoising(nn.Module):
    """A denoiser with what it depends on: coarse images, with `CONTEXT` pixels around, to their conditions."""

    def __init__(self, network: LatentUNet, latents: Latents, scale: int, masking: Masking | None = None) -> None:
        super().__init__()
        self.network = network
        self.latents, self.scale, self.masking = latents, scale, masking

    def forward(self, lr: Tensor) -> Tensor:
        """Return the condition: (n, latent, y, x) on the grid of latents."""
        if self.masking is not None:
            lr = self.masking(lr)
        fine = functional.interpolate(lr, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        edge = CONTEXT * self.scale
        return self.latents.encode(fine[..., edge:-edge, edge:-edge].contiguous())

    def estimate(self, x: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        """Return the noise in x at times (n,)."""
        noise: Tensor = self.network(torch.cat([x, condition], dim=1), time)
        return noise


class NoiseLoss:
    """The mean square error of the noise that is found, at a time drawn for each patch."""

    def __init__(self, denoising: Denoising, schedule: Schedule) -> None:
        self.denoising = denoising
        self.kept = torch.from_numpy(schedule.kept).float()

    def __call__(self, condition: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch; times and noise are drawn from torch's generator."""
        x = self.denoising.latents.encode(batch.target)
        time = torch.randint(len(self.kept), (len(x),))
        kept = self.kept[time].to(x.device)[:, None, None, None]
        noise = torch.randn_like(x)
        noisy = kept.sqrt() * x + (1 - kept).sqrt() * noise
        return (self.denoising.estimate(noisy, condition, time.to(x.device)) - noise).square().mean()


def fit_denoiser(
    network: LatentUNet,
    scenes: Sequence[Scene],
    folder: str | Path,
    settings: Settings | None = None,
    *,
    autoencoder: KLAutoencoder | None = None,
    schedule: Schedule | None = None,
    bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
    scale: int = 4,
    limits: tuple[float, float] = LIMITS,
    masking: Masking | None = None,
    sensors: SensorRange | None = None,
    augmentation: Augmentation | None = None,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    side: int = 16,
    batch: int = 8,
    patch: int = 32,
    pool: int = 64,
    seen: float = 3.0,
    show: Callable[[str], None] | None = None,
) -> LatentUNet:
    """Train a denoiser on fine images and what drawn sensors see of them; see `loop.train` for resuming and files.

    network: reads latents and conditions side by side, and returns the noise. scenes: the reference, (band, y, x)
    reflectance at the output's pixel size, in the order of `bands` (any alias). autoencoder: with trained weights, such
    as of `fit_autoencoder`, which stay as they are; None is diffusion of reflectance, of which `limits` become -1 and
    1. schedule: of noise; by default `linear_schedule`. masking: what is hidden of the input. sensors: how much they
    vary. evaluate: numbers for the log, of the network. side, batch: input pixels of a patch and patches of a step;
    patch, pool: of what is simulated at a time; seen: how often each pixel of that is.
    Returns the network with its averaged weights. Raises TrainingError, MissingBandError, MissingLibraryError (the
    extra `train`).
    """
    kinds = {"settings": (settings, Settings), "masking": (masking, Masking), "sensors": (sensors, SensorRange)}
    check_kinds({**kinds, "augmentation": (augmentation, Augmentation)})
    settings, bands = settings or Settings(), sensed_bands(bands)
    check_sizes(side=side, batch=batch, patch=patch, pool=pool)
    check_seen(seen)
    check_whole("scale", scale, least=2)
    latents = latents_of(autoencoder, limits, len(bands))
    check_fits(network, autoencoder, len(bands), side * scale)
    schedule = schedule or linear_schedule()
    maker = Seen(
        scenes_for(scenes, len(bands)),
        bands,
        sensors or SensorRange(),
        augmentation or GENTLE,
        scale=scale,
        context=CONTEXT,
        seed=settings.seed,
        patch=patch,
        count=pool,
    )
    more: dict[str, Any] = {"schedule": [float(schedule.kept[0]), float(schedule.kept[-1]), schedule.times]}
    more |= {"masking": asdict(masking)} if masking else {}
    more |= {"limits": list(limits)} if autoencoder is None else {"autoencoder": mark(autoencoder)}
    batches = PooledBatches(
        maker, scale, CONTEXT, settings.seed, side=side, size=batch, patch=patch, count=pool, seen=seen, more=more
    )
    if autoencoder is not None:
        autoencoder.to(resolve_device(settings.device)).eval().requires_grad_(False)
    denoising = Denoising(network, latents, scale, masking)
    train(
        denoising,
        batches,
        NoiseLoss(denoising, schedule),
        Path(folder),
        settings,
        evaluate=None if evaluate is None else lambda module: evaluate(module.network),  # type: ignore[arg-type]
        show=show,
    )
    return network


def draw_images(
    network: LatentUNet,
    lr: Tensor,
    *,
    autoencoder: KLAutoencoder | None = None,
    schedule: Schedule | None = None,
    scale: int = 4,
    limits: tuple[float, float] = LIMITS,
    steps: int = 20,
    seed: int = 0,
) -> Tensor:
    """Draw fine images by DPM-Solver++, for looking at what a denoiser has learned: (n, band, y * scale, x * scale).

    lr: (n, band, y + 2, x + 2) reflectance, hidden values 0; one pixel at each edge is context. Others: as in
    `fit_denoiser`. Cubes are not drawn by this, but by `upscale`, whose noise depends on the place.
    """
    schedule = schedule or linear_schedule()
    denoising = Denoising(network, latents_of(autoencoder, limits, lr.shape[1]), scale)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        condition = denoising(lr)

        def estimate(x: Tensor, time: int) -> Tensor:
            return denoising.estimate(x, condition, torch.full((len(x),), time, device=x.device))

        start = torch.randn(condition.shape).to(condition)
        found = sample_dpm_solver(estimate, start, schedule, steps)
        return denoising.latents.decode(found)
