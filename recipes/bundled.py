"""Reproduce the training of the distilled weights in the package: imagery, networks, steps and seeds.

    python -m recipes.bundled distil --data ../shared/data --folder runs/sen2sr-v1 --channels 24

A run saves checkpoints; the same command resumes it. The imagery is in `imagery`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from xr_sr.errors import TrainingError, XrSrError
from xr_sr.networks.lean import LeanSPAN
from xr_sr.networks.lean_fusion import LeanCoarse, LeanFusion
from xr_sr.training.journal import read_checkpoint, read_run, save_weights
from xr_sr.training.learning import distil, fit
from xr_sr.training.loop import Settings
from xr_sr.training.patches import Augmentation
from xr_sr.training.scenes import Scene
from xr_sr.training.teacher import Teacher

from .imagery import (
    BANDS,
    COARSE,
    FINE,
    aerial_scenes,
    held_out_scenes,
    held_out_ten_bands,
    ten_band_scenes,
    training_scenes,
)
from .model_card import card_in, card_of
from .widen import widened


def network_of(state: dict[str, Tensor]) -> LeanSPAN | LeanCoarse:
    """Return the LeanSPAN (four bands) or LeanCoarse (the six coarse bands of ten) that has these weights.

    Raises TrainingError for weights of another architecture.
    """
    try:
        channels, bands = state["features.weight"].shape[:2]
        network = LeanSPAN(channels=channels) if bands == len(BANDS) else LeanCoarse(channels=channels)
        network.load_state_dict(state, strict=True)
    except (KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            "expected weights of LeanSPAN or LeanCoarse, as the commands distil, distil-coarse and export write them; "
            f"found {len(state)} tensors, {', '.join(sorted(state)[:3])}, ..."
        ) from error
    return network


def _stored(path: Path) -> LeanSPAN | LeanCoarse:
    """Read the network of an exported file."""
    try:
        return network_of(load_file(path))
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path} cannot be read as weights in safetensors: {error}") from error
    except TrainingError as error:
        raise TrainingError(f"{path}: {error}") from error


def beginning(network: LeanSPAN | LeanCoarse, seed: int, start: Path | None) -> LeanSPAN | LeanCoarse:
    """Return the initial network of the commands below, of the architecture and size of `network`.

    start: a file of weights, of as many channels or fewer (see `widened`); None for random numbers.
    """
    torch.manual_seed(seed)
    wide = type(network)(channels=network.features.out_channels)
    return widened(_stored(start), wide) if start else wide


def together(fine: LeanSPAN, coarse: LeanCoarse) -> LeanFusion:
    """Join the network of four bands, whose bands are reordered, and that of the coarse bands to one of ten bands."""
    both = LeanFusion(channels=fine.features.out_channels, coarse_channels=coarse.features.out_channels)
    both.coarse.load_state_dict(coarse.state_dict())
    state, order = fine.state_dict(), [BANDS.index(band) for band in FINE]
    state["features.weight"] = state["features.weight"][:, order]
    for key in ("tail.weight", "tail.bias"):
        state[key] = state[key].unflatten(0, (len(BANDS), -1))[order].flatten(0, 1)
    both.fine.load_state_dict(state)
    return both


def _to_fit(data: Path) -> list[Scene]:
    """Read the reference imagery for `fit`."""
    return [Scene(name, fine.values, weight, note) for name, fine, weight, note in aerial_scenes(data)]


def _licenses(run: Mapping[str, Any], data: Path) -> dict[str, str]:
    """Return the license of each scene that a run of one of the commands below may have read, by name."""
    batches = run["batches"]
    read = _to_fit if "sensors" in batches else ten_band_scenes if "coarse" in batches else training_scenes
    return {scene.name: scene.note for scene in read(data)}


DATA = click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the imagery")
FOLDER = click.option("--folder", type=click.Path(path_type=Path), required=True, help="folder of the run")
START = click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True),
    help="exported weights to start from; random numbers by default",
)
RATE = click.option("--rate", default=6e-3, show_default=True, help="highest learning rate")
SEED = click.option("--seed", default=0, show_default=True)
THREADS = click.option("--threads", default=1, show_default=True)


class _Group(click.Group):
    """Commands that print errors without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors of the package are printed in one line on stderr, with exit code 1."""
        try:
            return super().invoke(ctx)
        except XrSrError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
def main() -> None:
    """Reproduce the weights of the package."""


@main.command("distil")
@DATA
@FOLDER
@click.option("--channels", default=24, show_default=True)
@START
@click.option("--steps", default=20_000, show_default=True)
@RATE
@click.option("--evenness", default=0.6, show_default=True, help="1 weights all patches equally, 0 by their detail")
@click.option("--balance", default=0.0, show_default=True, help="the same among the bands of a patch")
@click.option("--snow", default=0.2, show_default=True, help="share of patches that are turned to snow")
@click.option("--haze", default=0.0, show_default=True, help="share of patches from which haze is subtracted")
@click.option("--beta", default=0.99, show_default=True, help="of the optimizer's second moments")
@click.option("--refresh", default=5, show_default=True, help="steps between the optimizer's decompositions")
@SEED
@THREADS
def distil_command(
    data: Path,
    folder: Path,
    channels: int,
    start: Path | None,
    steps: int,
    rate: float,
    evenness: float,
    balance: float,
    snow: float,
    haze: float,
    beta: float,
    refresh: int,
    seed: int,
    threads: int,
) -> None:
    """Distill the official network."""
    network = beginning(LeanSPAN(channels=channels), seed, start)
    settings = Settings(
        steps,
        rate,
        betas=(0.95, beta),
        refresh=refresh,
        seed=seed,
        threads=threads,
        save_every=200,
        log_every=100,
    )
    distil(
        network,
        Teacher("sen2sr-lite", device="cpu"),
        training_scenes(data),
        folder,
        settings,
        augmentation=Augmentation(light=0.35, snow=snow, mix=0.1, haze=haze),
        held_out=held_out_scenes(data),
        evenness=evenness,
        balance=balance,
        show=click.echo,
    )


@main.command("distil-coarse")
@DATA
@FOLDER
@click.option("--channels", default=24, show_default=True)
@START
@click.option("--steps", default=12_000, show_default=True)
@RATE
@click.option("--snow", default=0.15, show_default=True, help="share of patches that are turned to snow, dark in SWIR")
@SEED
@THREADS
def distil_coarse_command(
    data: Path,
    folder: Path,
    channels: int,
    start: Path | None,
    steps: int,
    rate: float,
    snow: float,
    seed: int,
    threads: int,
) -> None:
    """Distill the official pipeline for the 20 m bands into one network."""
    distil(
        beginning(LeanCoarse(channels=channels), seed, start),
        Teacher("sen2sr-lite.main", device="cpu", bands=COARSE),
        ten_band_scenes(data),
        folder,
        Settings(steps, rate, betas=(0.95, 0.99), refresh=5, seed=seed, threads=threads, save_every=200, log_every=50),
        augmentation=Augmentation(light=0.35, snow=snow, mix=0.1, absorbed=(-2, -1)),
        held_out=held_out_ten_bands(data),
        side=72,
        batch=4,
        patch=152,
        pool=32,
        seen=8.0,
        evenness=0.8,
        show=click.echo,
    )


@main.command("fit")
@DATA
@FOLDER
@START
@click.option(
    "--truth",
    default=1.0,
    show_default=True,
    help="share of the reference image in the target; the rest is the teacher's",
)
@click.option("--steps", default=6_000, show_default=True)
@RATE
@SEED
@THREADS
def fit_command(
    data: Path, folder: Path, start: Path | None, truth: float, steps: int, rate: float, seed: int, threads: int
) -> None:
    """Train on aerial imagery as the modeled sensor observes it; start from distilled weights to fine-tune them."""
    network = beginning(LeanSPAN(), seed, start)
    scenes = _to_fit(data)
    settings = Settings(steps, rate, seed=seed, threads=threads, save_every=200, log_every=100)
    teacher = Teacher("sen2sr-lite", device="cpu") if truth < 1 else None
    fit(network, scenes, folder, settings, teacher=teacher, hr_weight=truth, show=click.echo)


@main.command("export")
@DATA
@click.option("--folder", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the run")
@click.option("--commit", required=True, help="of the code that ran")
@START
@click.option("--out", type=click.Path(path_type=Path), required=True, help="file to write")
def export_command(data: Path, folder: Path, commit: str, start: Path | None, out: Path) -> None:
    """Write the averaged weights of a finished run, with their model card."""
    run, state = read_run(folder), read_checkpoint(folder)
    if state is None:
        raise TrainingError(f"{folder} has no checkpoint.pt; expected the folder of a finished run.")
    network = network_of(state["average"])
    first = beginning(network, run["settings"]["seed"], start)
    save_weights(network, out, card_of(folder, network, first, _licenses(run, data), commit, start, step=state["step"]))
    click.echo(_summary_of(out))


@main.command("join")
@click.option("--fine", type=click.Path(path_type=Path, exists=True), required=True, help="exported, of four bands")
@click.option("--coarse", type=click.Path(path_type=Path, exists=True), required=True, help="exported, of the others")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="file to write")
def join_command(fine: Path, coarse: Path, out: Path) -> None:
    """Join two exported networks to one of ten bands, and write it with the model cards of both."""
    four, six = _stored(fine), _stored(coarse)
    if not isinstance(four, LeanSPAN) or not isinstance(six, LeanCoarse):
        raise click.UsageError(f"{fine} must be of four bands and {coarse} of the coarse ones; see the command export.")
    save_weights(together(four, six), out, {"fine": card_in(fine), "coarse": card_in(coarse)})
    click.echo(_summary_of(out))


def _summary_of(out: Path) -> str:
    return f"{out}: {out.stat().st_size} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}"


if __name__ == "__main__":
    main()
