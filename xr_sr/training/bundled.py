"""How the weights inside the package were made: which imagery, which network, how long, with which seed.

    python -m xr_sr.training.bundled distil --data ../shared/data --folder runs/sen2sr --channels 24

A run saves as it goes; the same command goes on where it was stopped. Of the imagery see `imagery`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import load_file
from torch import Tensor

from ..models.lean import LeanSPAN
from ..models.lean_fusion import LeanFusion
from .augment import Augmentation
from .distil import distil
from .export import save_weights
from .fit import fit
from .imagery import (
    BANDS,
    FINE,
    aerial_scenes,
    held_out_scenes,
    held_out_ten_bands,
    ten_band_scenes,
    training_scenes,
)
from .journal import read_run
from .loop import Settings
from .model_card import card_of
from .scenes import Scene
from .teacher import Teacher


def network_of(state: dict[str, Tensor]) -> LeanSPAN:
    """Give a network of four or ten bands with these weights."""
    channels, bands = state["features.weight"].shape[:2]
    network = LeanSPAN(channels=channels) if bands == len(BANDS) else LeanFusion(channels=channels)
    network.load_state_dict(state, strict=True)
    return network


def _started(path: Path) -> LeanSPAN:
    """Give a network with the weights of a file of ours."""
    return network_of(load_file(path))


def beginning(network: LeanSPAN, seed: int, start: Path | None) -> LeanSPAN:
    """Give what the commands below begin with, for a network of this form. start: weights; None for random numbers."""
    torch.manual_seed(seed)
    channels = network.features.out_channels
    if start is None:
        return type(network)(channels=channels)
    first = _started(start)
    widens = isinstance(network, LeanFusion) and not isinstance(first, LeanFusion)
    return widened(first, channels) if widens else first


def _to_fit(data: Path) -> list[Scene]:
    """Read the truth that is fitted."""
    return [Scene(name, fine.values, weight, note) for name, fine, weight, note in aerial_scenes(data)]


def _licences(run: Mapping[str, Any], data: Path) -> dict[str, str]:
    """Give the licence of each scene that a run of one of the commands below may have seen, by name."""
    batches = run["batches"]
    read = _to_fit if "sensors" in batches else ten_band_scenes if "coarse" in batches else training_scenes
    return {scene.name: scene.note for scene in read(data)}


def widened(small: LeanSPAN, channels: int) -> LeanFusion:
    """Give a network of ten bands that treats the four of 10 m as one of four bands does, before its constraint.

    The first channels are those of `small`; the others begin with random numbers, and are not seen by the tail yet.
    """
    wide = LeanFusion(channels=channels)
    old, phases = small.features.out_channels, small.upscale**2
    places = [FINE.index(band) for band in BANDS]
    rows = [place * phases + phase for place in places for phase in range(phases)]
    with torch.no_grad():
        for name, layer in wide.named_modules():
            if not isinstance(layer, torch.nn.Conv2d):
                continue
            theirs = small.get_submodule(name)
            assert isinstance(theirs, torch.nn.Conv2d)
            assert layer.bias is not None
            assert theirs.bias is not None
            if name == "tail":
                layer.weight[:, old:].mul_(0.1)
                layer.weight[rows] = torch.cat([theirs.weight, layer.weight[rows, old:].mul(0.1)], dim=1)
                layer.bias[rows] = theirs.bias
                continue
            into = layer.weight[:old]
            if name == "features":
                into.zero_()
                into[:, places] = theirs.weight
            elif name == "gather":  # four maps of features stand one after the other
                into.zero_()
                for part in range(4):
                    into[:, part * channels : part * channels + old] = theirs.weight[:, part * old : (part + 1) * old]
            else:
                into.zero_()
                into[:, :old] = theirs.weight
            layer.bias[:old] = theirs.bias
    return wide


DATA = click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the imagery")
FOLDER = click.option("--folder", type=click.Path(path_type=Path), required=True, help="folder of the run")
START = click.option(
    "--start", type=click.Path(path_type=Path, exists=True), required=True, help="weights to begin with"
)
SEED = click.option("--seed", default=0, show_default=True)
THREADS = click.option("--threads", default=1, show_default=True)


@click.group()
def main() -> None:
    """Make the weights of the package again."""


@main.command("distil")
@DATA
@FOLDER
@click.option("--channels", default=24, show_default=True)
@click.option("--start", type=click.Path(path_type=Path, exists=True), help="weights to begin with, not random numbers")
@click.option("--steps", default=20_000, show_default=True)
@click.option("--rate", default=6e-3, show_default=True, help="highest learning rate")
@click.option("--evenness", default=0.6, show_default=True, help="1 counts all patches the same, 0 by their detail")
@click.option("--snow", default=0.2, show_default=True, help="share of patches that are turned to snow")
@click.option("--beta", default=0.99, show_default=True, help="of the optimiser's second moments")
@click.option("--refresh", default=5, show_default=True, help="steps between the optimiser's decompositions")
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
    snow: float,
    beta: float,
    refresh: int,
    seed: int,
    threads: int,
) -> None:
    """Learn the official network's function."""
    torch.manual_seed(seed)
    network = _started(start) if start else LeanSPAN(channels=channels)
    settings = Settings(
        steps,
        rate,
        betas=(0.95, beta),
        refresh=refresh,
        seed=seed,
        threads=threads,
        save_every=200,
        tell_every=100,
    )
    distil(
        network,
        Teacher("sen2sr-lite", device="cpu"),
        training_scenes(data),
        folder,
        settings,
        augmentation=Augmentation(light=0.35, snow=snow, mix=0.1),
        held_out=held_out_scenes(data),
        evenness=evenness,
        show=click.echo,
    )


@main.command("distil-ten")
@DATA
@FOLDER
@START
@click.option("--channels", default=32, show_default=True, help="where those are of four bands")
@click.option("--steps", default=12_000, show_default=True)
@click.option("--rate", default=4e-3, show_default=True, help="highest learning rate")
@SEED
@THREADS
def distil_ten_command(
    data: Path, folder: Path, start: Path, channels: int, steps: int, rate: float, seed: int, threads: int
) -> None:
    """Learn what the official pipeline of ten bands gives, in one pass; begins with weights of ours."""
    torch.manual_seed(seed)
    network = _started(start)
    if not isinstance(network, LeanFusion):
        network = widened(network, channels)
    settings = Settings(steps, rate, seed=seed, threads=threads, save_every=200, tell_every=50)
    distil(
        network,
        Teacher("sen2sr-lite.main", device="cpu"),
        ten_band_scenes(data),
        folder,
        settings,
        augmentation=Augmentation(light=0.35, snow=0.15, mix=0.1),
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
    "--truth", default=1.0, show_default=True, help="share of the truth in what is learnt; the rest is taught"
)
@click.option("--steps", default=6_000, show_default=True)
@click.option("--rate", default=2e-3, show_default=True, help="highest learning rate")
@SEED
@THREADS
def fit_command(
    data: Path, folder: Path, start: Path, truth: float, steps: int, rate: float, seed: int, threads: int
) -> None:
    """Fine-tune distilled weights on aerial imagery, seen through the modelled sensor."""
    network = _started(start)
    scenes = _to_fit(data)
    settings = Settings(steps, rate, seed=seed, threads=threads, save_every=200, tell_every=100)
    teacher = Teacher("sen2sr-lite", device="cpu") if truth < 1 else None
    fit(network, scenes, folder, settings, teacher=teacher, truth=truth, show=click.echo)


@main.command("export")
@DATA
@click.option("--folder", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the run")
@click.option("--commit", required=True, help="of the code that ran")
@click.option("--start", type=click.Path(path_type=Path, exists=True), help="weights that the run began with")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="file to write")
def export_command(data: Path, folder: Path, commit: str, start: Path | None, out: Path) -> None:
    """Write the averaged weights of a finished run, with their card."""
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    network, run = network_of(state["average"]), read_run(folder)
    first = beginning(network, run["settings"]["seed"], start)
    save_weights(network, out, card_of(folder, network, first, _licences(run, data), commit, start))
    click.echo(f"{out}: {out.stat().st_size} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
