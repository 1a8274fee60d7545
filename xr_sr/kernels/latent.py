"""Draw fine windows by diffusion, of latents or of pixels, with noise by place. The kernel of LDSR-S2.

The condition is drawn from the latent of the bilinear image, as opensr-model does; it is encoded once for all samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..catalog.generative import Diffusion
from ..catalog.states import read_tensors
from ..errors import WeightsFormatError
from ..networks import from_state_dict
from ..networks.latent_diffusion import LatentDiffusion
from ..networks.pixel_diffusion import PixelDiffusion
from ..runtime.device import compiled, in_batches, keep_float32_exact, keep_freed_memory, settle_threads
from ..spec import Tile
from .chance import Chance, key_of
from .predictors import DTYPES, hashed_bytes
from .protocol import DiffusionSamples, FloatArray
from .sampling import Schedule, sample_ddim, sample_ddpm, sample_dpm_solver
from .window import from_tensor, to_tensor

DiffusionNetwork: TypeAlias = LatentDiffusion | PixelDiffusion

BATCH_GPU = 4
"""Samples per batch on a GPU, to begin with."""


class LatentKernel:
    """Draws samples of windows: (n, band, side, side) to (n, sample * band, side * scale, side * scale).

    Fine values are not below 0, but where their distribution is matched afterward. A sample is a function of the
    window's pixels, the seed, its number, the date, and the place of the window on the grid of the CRS.
    """

    halo = 0

    def __init__(
        self, spec: Diffusion, path: Path, sha256: str, samples: DiffusionSamples, *, device: str, precision: str
    ) -> None:
        self.spec, self.samples, self.scale = spec, samples, spec.scale
        self.device, self.dtype = torch.device(device), DTYPES[precision]
        keep_float32_exact(device, precision)
        self.network, self.schedule = _loaded(spec, path, sha256, device, precision)
        if self.device.type == "cpu":
            keep_freed_memory()  # a window needs gigabytes, again and again: a fifth of its time would be page faults
        self.noise_of = compiled(self.network.forward)

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """See `protocol.Kernel`; the block is a whole window, and a tile says where it lies."""
        settle_threads()
        dates, count = len(block), self.samples.count
        drawn = list(product(range(dates), range(count)))
        with torch.inference_mode():
            seen = to_tensor(block).to(self.device, torch.float32)
            fine = seen.new_empty(dates, count, len(self.spec.bands), *(side * self.scale for side in seen.shape[-2:]))
            posterior = [self._encoded(seen[date : date + 1]) for date in range(dates)]

            def run(some: list[tuple[int, int]]) -> None:
                chances = [_Drawn(self.spec.seed, number, self._keys(tile, date)) for date, number in some]
                images = self._sampled([posterior[date] for date, _ in some], chances, tile)
                for place, image in zip(some, images, strict=True):
                    fine[place] = image

            in_batches(run, drawn, size=1 if self.device.type == "cpu" else BATCH_GPU)
            made = fine.flatten(1, 2)
            return from_tensor(made if _is_on(block, made) else made.cpu(), block)

    def _keys(self, tile: Tile, date: int) -> tuple[int, ...]:
        return self.samples.dates.at(tile.lead, date)

    def _encoded(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of what the upscaled image is to the network."""
        wide = functional.interpolate(seen, scale_factor=self.scale, mode="bilinear")
        mean, deviation = self.network.posterior(wide.to(self.dtype))
        return mean.float(), deviation.float()

    def _sampled(self, posterior: Sequence[tuple[Tensor, Tensor]], drawn: Sequence[_Drawn], tile: Tile) -> Tensor:
        """Draw one image for each posterior: (n, band, side * scale, side * scale)."""
        mean, deviation = (torch.cat(parts) for parts in zip(*posterior, strict=True))
        fold = self.scale // self.network.factor
        place = tuple(
            np.arange((start + first) * fold, (stop + first) * fold)
            for (start, stop), first in zip((tile.y, tile.x), self.samples.origin, strict=True)
        )

        def noise(what: str) -> Tensor:
            planes = [each.planes(what, mean.shape[1], place) for each in drawn]
            return torch.from_numpy(np.stack(planes)).to(self.device)

        condition = (mean + deviation * noise("condition")).to(self.dtype)

        def estimate(x: Tensor, time: int) -> Tensor:
            times = torch.full((len(x),), time, device=self.device)
            found: Tensor = self.noise_of(x.to(self.dtype), condition, times)
            return found.float()

        def at_step(number: int) -> Tensor:
            return noise(f"step {number}")

        latent = self._denoised(estimate, noise("start"), at_step)
        image = self.network.image_of(latent.to(self.dtype)).float()
        return image if self.spec.correction == "histogram" else image.clamp(min=0)

    def _denoised(self, estimate: Any, start: Tensor, noise: Any) -> Tensor:
        spec = self.spec
        if spec.sampler == "dpm-solver++":
            return sample_dpm_solver(estimate, start, self.schedule, spec.steps)
        if spec.sampler == "ddpm":
            return sample_ddpm(estimate, start, noise, self.schedule, spec.steps, temperature=spec.temperature)
        return sample_ddim(
            estimate, start, noise, self.schedule, spec.steps, eta=spec.eta, temperature=spec.temperature
        )


class _Drawn:
    """The random numbers of one sample of one date, by place."""

    def __init__(self, seed: int, number: int, keys: tuple[int, ...]) -> None:
        self.seed, self.parts = seed, (number, *keys)

    def planes(self, what: str, count: int, place: tuple[Any, ...]) -> FloatArray:
        """Return normal noise, (count, y, x) float32. place: rows and columns on the grid of the CRS."""
        return np.stack(
            [
                Chance(self.seed, key_of("latent", what, plane, *self.parts)).plane_gaussian(*place)
                for plane in range(count)
            ]
        )


def load_latent(spec: Diffusion, path: Path, sha256: str) -> tuple[DiffusionNetwork, Schedule]:
    """Read a checkpoint of diffusion, as a state dict or as training saved it, without executing anything in it.

    Weights are the raw ones, not their averages, as in official inference. Raises WeightsHashError if the file is
    another one, WeightsFormatError for what is no such checkpoint, or one that was made for other input.
    """
    found = read_checkpoint(path, sha256)
    _check_config(found, path)
    try:
        network, known = from_state_dict(found)
    except WeightsFormatError as error:
        raise WeightsFormatError(f"{path} does not hold {spec.name!r}: {error}") from error
    if not isinstance(network, LatentDiffusion | PixelDiffusion):
        raise WeightsFormatError(
            f"{path} holds {known.architecture.rpartition(':')[2]}; {spec.name!r} needs U-Net and schedule "
            "in one file, and of latent diffusion the autoencoder, as checkpoints have them."
        )
    wide = network.factor if isinstance(network, LatentDiffusion) else network.upscale
    side = spec.window * spec.scale // network.factor
    if (known.bands, wide) != (len(spec.bands), spec.scale) or side % network.multiple:
        raise WeightsFormatError(
            f"{path} reads {known.bands} bands, for images {wide} times as fine, and samples sides of a multiple of "
            f"{network.multiple} pixels; {spec.name!r} has {len(spec.bands)} bands, scale {spec.scale} and windows of "
            f"{side} such pixels. Pass the weights of this model."
        )
    if broken := [key for key, value in network.state_dict().items() if not _is_sound(key, value)]:
        raise WeightsFormatError(f"{path} has values that are not finite, in {broken[0]!r}: fetch it again.")
    return network, Schedule(network.alphas_cumprod.double().numpy())


def read_checkpoint(path: Path, sha256: str) -> Any:
    """Return what a file holds, tensors by name or a training's checkpoint. Raises WeightsFormatError."""
    try:
        return read_tensors(hashed_bytes(path, sha256), path.suffix)
    except ValueError as error:
        # Not `from error`: torch's message recommends loading the file unsafely.
        raise WeightsFormatError(
            f"{path} cannot be read as weights: {error}. Fetch it again, or save its tensors alone: "
            "torch.save(checkpoint['state_dict'], file)."
        ) from None


_EXPECTED = {
    "apply_normalization": (False, "reflectance that is not normalized"),
    "encode_conditioning": (True, "a condition that is encoded"),
    "parameterization": ("eps", "a network that estimates noise, 'eps'"),
}
"""What the configuration of a checkpoint may say, and what that means."""


def _check_config(found: Any, path: Path) -> None:
    """Raise WeightsFormatError if the configuration that newer checkpoints carry asks for what is not done here."""
    if not isinstance(found, dict):
        return
    metadata = found.get("metadata")
    config = metadata.get("opensr_inference_config") if isinstance(metadata, dict) else None
    config = config if isinstance(config, dict) else found.get("hyper_parameters")  # as training by Lightning has them
    if not isinstance(config, dict):
        return
    settings = {**config, **(inner if isinstance(inner := config.get("denoiser_settings"), dict) else {})}
    for name, (expected, meaning) in _EXPECTED.items():
        if name in settings and settings[name] != expected:
            raise WeightsFormatError(
                f"{path} was made for {name}={settings[name]!r}, by its metadata; expected {meaning}. Use a checkpoint "
                "of the first version, such as opensr-ldsrs2_v1_0_0.ckpt."
            )


def _is_sound(key: str, value: Tensor) -> bool:
    """Return whether all numbers are finite; of the schedule only what is used counts, since others are infinite."""
    return bool(value.isfinite().all()) or ("." not in key and key != "alphas_cumprod")


def _is_on(block: FloatArray, made: Tensor) -> bool:
    return made.device.type == "cpu" or not isinstance(block, np.ndarray)


def _loaded(spec: Diffusion, path: Path, sha256: str, device: str, precision: str) -> tuple[DiffusionNetwork, Schedule]:
    """Load a network once per process for all kernels that differ in their options only."""
    return _by_file(path, sha256, device, precision, spec.name, spec.bands, spec.scale, spec.window)


@cache
def _by_file(
    path: Path, sha256: str, device: str, precision: str, name: str, bands: tuple[str, ...], scale: int, window: int
) -> tuple[DiffusionNetwork, Schedule]:
    spec = Diffusion(name, "", "a:b", bands=bands, scale=scale, window=window)
    network, schedule = load_latent(spec, path, sha256)
    network.requires_grad_(False)
    return network.to(device=device, dtype=DTYPES[precision]), schedule
