"""Train the network that draws what `sen2sr` leaves of the ground: imagery, sizes, steps and seed.

    python -m recipes.diffusion fit --data ../shared/data --folder runs/diffusion
    python -m recipes.diffusion export --data ../shared/data --folder runs/diffusion --commit HASH --out FILE

It begins with the weights of `sen2sr` in the package, which give the mean and are not changed, and sees the same
imagery through the same drawn sensors. A run saves checkpoints; the same command resumes it. The log has, on a strip of
Chateaugiron that is not trained on: the continuous ranked probability score of eight draws over that of the errors'
covariance alone ("crps"), by how many dB the power spectrum of a draw is away from that of the ground, without the
network ("gaussian") and with it ("spectrum"), and the spread of draws over that of errors ("spread").
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

import xr_sr.catalog
from xr_sr.kernels.kriging_network import residual_of
from xr_sr.networks.flow_residual import STEPS, FlowResidual
from xr_sr.networks.lean import trim
from xr_sr.training.flow import TRAINED, Judged, fit_flow
from xr_sr.training.loop import Settings
from xr_sr.training.scenes import Scene

from .imagery import BANDS
from .model_card import card_of
from .residual import (
    DATA,
    FOLDER,
    HELD_OUT_FROM,
    Fixed,
    chateaugiron,
    colored,
    finished,
    licenses_of,
    reference_scenes,
    vegetation,
    write,
)

START = Path(xr_sr.catalog.__file__).parent / "kriging_residual_32.safetensors"
"""The weights of `sen2sr`."""

DRAWS = 8


def network_of(start: Path, *, width: int, blocks: int, seed: int) -> FlowResidual:
    """Create the network with the mean of a file of `KrigingResidual`, and an untrained network of paths."""
    state = {key: value for key, value in load_file(start).items() if not key.startswith("error.")}
    channels, pairs = len(state["features.bias"]), sum(key.endswith(".0.bias") for key in state)
    noise = residual_of(BANDS, channels=1, pairs=1, seed=0).noise
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FlowResidual(len(BANDS), channels, pairs, noise=noise.tolist(), width=width, blocks=blocks)
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected and {key.split(".")[0] for key in missing} == {*TRAINED, "base"}
    return network


class FixedAndJudged(Judged, Fixed):
    """Eight patches of one scene, with the standard deviations of kriging's error."""


def scores(data: Path, context: int) -> Callable[[nn.Module], dict[str, float]]:
    """Return a function that judges draws on the held-out strip; see the log above."""
    scene = Scene("held out", vegetation(colored(chateaugiron(data)[..., HELD_OUT_FROM:], 2.94)))
    maker = FixedAndJudged(scene, 1.0, 1.0, context)
    pool, more = maker(0), maker.context - context
    lr = torch.from_numpy(pool.lr[..., more : pool.lr.shape[-2] - more, more : pool.lr.shape[-1] - more].copy())
    target = torch.from_numpy(pool.target)

    def measure(network: nn.Module) -> dict[str, float]:
        assert isinstance(network, FlowResidual)
        left, scale = functional.pixel_unshuffle(target, network.upscale).chunk(2, dim=1)
        addition, seen = network.parts(network(lr), scale)
        cut, fine = STEPS - 1, network.upscale
        truth = functional.pixel_shuffle(trim(left - addition, cut), fine)
        generator = torch.Generator().manual_seed(0)
        found = {}
        draws: dict[str, list[Tensor]] = {"gaussian": [], "drawn": []}
        for _ in range(DRAWS):
            white = torch.randn(addition.shape, generator=generator)
            ends = {"gaussian": trim(white, cut), "drawn": network.drawn(white, seen, STEPS)}
            for name, end in ends.items():
                wrong = network.colored(end) * trim(scale, cut)
                draws[name].append(functional.pixel_shuffle(wrong, fine))
        crps = {name: fair_crps(torch.stack(each), truth) for name, each in draws.items()}
        found["crps"] = crps["drawn"] / crps["gaussian"]
        expected = spectrum(truth)
        for name, key in (("gaussian", "gaussian"), ("drawn", "spectrum")):
            apart = 10 * np.log10(spectrum(draws[name][0]) / expected)
            found[key] = float(np.abs(apart).mean())
        found["spread"] = float(torch.stack(draws["drawn"]).square().mean().sqrt() / truth.square().mean().sqrt())
        return found

    return measure


def fair_crps(draws: Tensor, truth: Tensor) -> float:
    """Return the mean continuous ranked probability score of equally likely draws, (draw, ...), without bias."""
    count = len(draws)
    wrong = (draws - truth).abs().mean()
    apart = sum((draws[k] - draws[j]).abs().mean() for k in range(count) for j in range(k))
    return float(wrong - apart / (count * (count - 1)))


def spectrum(images: Tensor) -> NDArray[np.float64]:
    """Return the radial power spectrum of (n, band, y, x), over all bands by their mean of logarithms; 8 bins."""
    side = min(images.shape[-2:])
    window = np.hanning(images.shape[-2])[:, None] * np.hanning(images.shape[-1])
    power = np.abs(np.fft.fft2(images.numpy() * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(images.shape[-2])[:, None], np.fft.fftfreq(images.shape[-1]))
    edges = np.linspace(1 / side, 0.5, 9)
    rings = [power[..., (radius >= low) & (radius < high)].mean((0, -1)) for low, high in pairwise(edges)]
    return np.asarray(np.exp(np.log(np.stack(rings)).mean(axis=1)))


@click.group()
def main() -> None:
    """Train the network that draws what sen2sr leaves, for four bands."""


@main.command("fit")
@DATA
@FOLDER
@click.option("--width", default=96, show_default=True)
@click.option("--blocks", default=2, show_default=True)
@click.option("--steps", default=12_000, show_default=True)
@click.option("--rate", default=3e-3, show_default=True, help="highest learning rate")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
def fit_command(
    data: Path, folder: Path, width: int, blocks: int, steps: int, rate: float, seed: int, threads: int
) -> None:
    """Train, or resume the run in the folder."""
    network = network_of(START, width=width, blocks=blocks, seed=seed)
    fit_flow(
        network,
        list(reference_scenes(data)),
        folder,
        Settings(steps, rate, seed=seed, threads=threads, save_every=200, log_every=100),
        bands=BANDS,
        evaluate=scores(data, network.consumed),
        show=click.echo,
    )


@main.command("export")
@DATA
@FOLDER
@click.option("--commit", required=True, help="of the code that ran")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="file to write")
def export_command(data: Path, folder: Path, commit: str, out: Path) -> None:
    """Write the averaged weights of a finished run, with their model card."""
    run, state, weights = finished(folder)
    width, blocks = len(weights["seen.bias"]), sum(key.startswith("blocks.") and "bias" in key for key in weights)
    network, first = (network_of(START, width=width, blocks=blocks, seed=run["settings"]["seed"]) for _ in range(2))
    network.load_state_dict(weights)
    first.base.copy_(weights["base"])  # estimated before the first step, and not changed by it
    write(network, out, card_of(folder, network, first, licenses_of(data), commit, START, step=state["step"]))


if __name__ == "__main__":
    main()
