"""Train the network that adds to kriging: imagery, sizes, steps and seed.

    python -m recipes.residual fit --data ../shared/data --folder runs/residual
    python -m recipes.residual export --data ../shared/data --folder runs/residual --commit HASH --out FILE

A run saves checkpoints; the same command resumes it. The log has by how many dB the error is below kriging's on a strip
of Chateaugiron that is not trained on, through the published sensor, a sharper and a blurrier one, and the noise
doubled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from xr_sr.datasets import simulate_scene
from xr_sr.kernels.kriging_network import residual_of
from xr_sr.simulate import degrade
from xr_sr.training.journal import read_checkpoint, read_run, save_weights
from xr_sr.training.learning import GENTLE
from xr_sr.training.loop import Settings
from xr_sr.training.residual import Sensed, SensorDraw, fit_residual
from xr_sr.training.scenes import FloatArray, Scene, scenes_of

from .imagery import BANDS, aerial_scenes, cube_of, mirrored, raster_of, sentinel_scenes
from .model_card import card_of

REFERENCE_MTF = 0.3
"""Contrast of the reference at the Nyquist frequency of its pixels, that of a good camera."""

IGN = "IGN, BD ORTHO, Licence Ouverte 2.0"

SIDE = 448
"""Least side of a scene, in pixels of the reference, so that a patch with its context fits."""

HELD_OUT_FROM = 3100
"""Column of the picture of Chateaugiron from which it is not trained on."""


def reference_scenes(data: Path) -> Iterator[Scene]:
    """Read aerial imagery as a good camera sees it, at 2.5 m or with pixels taken as such."""
    yield from real_scenes(data)
    yield from made_scenes()
    for name, cube, weight, note in aerial_scenes(data):
        if name.startswith("North Dakota"):
            yield Scene(name, cube.values, weight, note)
    counts = raster_of(data / "hr_noaa_tn_1m" / "20200307aC0853900w361030n.tif")
    tennessee = counts.rio.write_nodata(0).rio.reproject("EPSG:32616", resolution=1.25, resampling=5).values
    berkeley = raster_of(data / "hr_more" / "berkeley_us" / "naip.tif").values
    for name, pixels, steps, note in (
        ("Tennessee 2020", tennessee, ((2.0, 1.6), (1.4, 1.0)), "NOAA, public domain"),
        ("Chateaugiron", chateaugiron(data)[..., :HELD_OUT_FROM], ((2.94, 3.0), (2.2, 2.0)), IGN),
        ("Berkeley", berkeley, ((2.0, 1.0),), "NAIP, USDA Farm Service Agency, public domain"),
    ):
        for step, weight in steps:
            values = colored(pixels, step)
            for kind, near in (("made up", vegetation), ("as green", greener)):
                yield Scene(f"{name}, every {step:g} pixels, NIR {kind}", near(values), weight / 2, note)


def real_scenes(data: Path) -> Iterator[Scene]:
    """Read Sentinel-2 at 10 m, to be seen at 40 m: spectra and bands as they are, of fields, forests and mountains."""
    for scene in sentinel_scenes(data):
        yield Scene(f"{scene.name}, seen at 40 m", mirrored(scene.values, SIDE), 0.4 * scene.weight, scene.note)


def made_scenes() -> Iterator[Scene]:
    """Make landscapes, and textures without a shape for which kriging is as good as can be."""
    for seed, day in ((21, "2023-02-10"), (22, "2023-06-15"), (23, "2023-09-20")):
        tree = simulate_scene(192, day, seed=seed, flood_m=1.0 if seed == 22 else 0.0)
        (scene,) = scenes_of(tree["hr"].to_dataset(), BANDS, name=f"synthetic, seed {seed}", weight=0.3, note="ours")
        yield scene
    for seed, exponent in enumerate((1.05, 1.2, 1.35, 1.5, 1.7)):
        yield Scene(f"texture, exponent {exponent}", texture(exponent, seed), 0.3, "ours")


def texture(exponent: float, seed: int, side: int = 768) -> FloatArray:
    """Draw four bands of Gaussian noise with the power spectrum f^(-2 exponent), partly common to all bands."""
    chance = np.random.default_rng([3, seed])
    squares = np.add.outer(np.fft.fftfreq(side) ** 2, np.fft.rfftfreq(side) ** 2) + (1 / 400) ** 2
    fields = []
    for _ in range(len(BANDS) + 1):
        field = np.fft.irfft2(np.fft.rfft2(chance.standard_normal((side, side))) * squares ** (-exponent / 2))
        fields.append(field / field.std())
    common, own = fields[0], np.stack(fields[1:])
    level, contrast = np.array([0.08, 0.08, 0.06, 0.3]), np.array([0.25, 0.2, 0.2, 0.2])
    relative = 0.8 * common + 0.6 * own
    values = level[:, None, None] * (1 + contrast[:, None, None] * relative)
    return np.asarray(values.clip(0.005), "float32")


def chateaugiron(data: Path) -> NDArray[np.uint8]:
    """Read red, green and blue of a French town with its fields, (3, y, x) counts at 0.85 m."""
    with Image.open(data / "hr_more" / "chateaugiron_fr" / "ortho.jpg") as picture:
        return np.ascontiguousarray(np.moveaxis(np.asarray(picture), -1, 0))


def colored(pixels: NDArray[np.uint8], step: float) -> FloatArray:
    """Return counts of a camera as reflectance, one pixel for `step` of them; NaN where all colors are zero."""
    values = pixels[:3].astype("float32") / 255 * np.float32(0.4)
    values[:, (pixels[:3] == 0).all(axis=0)] = np.nan
    return np.asarray(degrade(cube_of(values), factor=step, mtf=REFERENCE_MTF).values, "float32")


def vegetation(colors: FloatArray) -> FloatArray:
    """Add a near infrared that is bright over vegetation, since none was measured."""
    red, green, blue = colors
    return np.stack([red, green, blue, (0.12 + 0.4 * green - 0.16 * red + 0.16 * blue).clip(0)])


def greener(colors: FloatArray) -> FloatArray:
    """Add a near infrared of the texture of green, a half brighter."""
    return np.concatenate([colors, 1.5 * colors[1:2]])


def gains(data: Path, context: int) -> Callable[[nn.Module], dict[str, float]]:
    """Return a function that measures how many dB the error is below that of kriging, on the held-out strip.

    context: input pixels that the network consumes on each side.
    """
    scene = Scene("held out", vegetation(colored(chateaugiron(data)[..., HELD_OUT_FROM:], 2.94)))
    pools, more = {}, 0
    for name, wide, noisy in (("as modeled", 1.0, 1.0), ("wider", 1.2, 1.0), ("narrower", 0.8, 1.0), ("noise", 1, 2)):
        maker = Fixed(scene, wide, noisy, context)
        pools[name], more = maker(0), maker.context - context  # kriging may read more than the network

    def measure(network: nn.Module) -> dict[str, float]:
        found = {}
        for name, pool in pools.items():
            lr = torch.from_numpy(pool.lr[..., more : pool.lr.shape[-2] - more, more : pool.lr.shape[-1] - more])
            out = network(lr.contiguous(memory_format=torch.channels_last)).numpy()
            addition = out[:, : len(BANDS)]
            before, after = (
                np.square(wrong, dtype="float64").mean() for wrong in (pool.target, pool.target - addition)
            )
            found[name] = float(10 * np.log10(before / after))
        return found

    return measure


class Fixed(Sensed):
    """Eight patches of one scene, through a sensor of given width and noise."""

    def __init__(self, scene: Scene, wide: float, noisy: float, context: int) -> None:
        same = SensorDraw(width=0, band_width=0, anisotropy=0, noise=0, shift_px=0, flat=0)
        super().__init__([scene], BANDS, same, GENTLE, scale=4, context=context, seed=1, patch=40, count=8)
        self.draw.augmentation = None
        self.wide, self.noisy = wide, noisy

    def differences(self, chance: np.random.Generator) -> tuple[float, float]:
        """See `Sensed`."""
        return self.wide, self.noisy


DATA = click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the imagery")
FOLDER = click.option("--folder", type=click.Path(path_type=Path), required=True, help="folder of the run")


def finished(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the record, the checkpoint and the averaged weights of a run."""
    run, state = read_run(folder), read_checkpoint(folder)
    if state is None:
        raise click.ClickException(f"{folder} has no checkpoint.pt; expected the folder of a finished run.")
    return run, state, state["average"]


def licenses_of(data: Path) -> dict[str, str]:
    """Return the license of each scene by its name."""
    return {scene.name: scene.note for scene in reference_scenes(data)}


def write(network: nn.Module, out: Path, card: dict[str, Any]) -> None:
    """Write weights with their model card, and say which file they are."""
    save_weights(network, out, card)
    click.echo(f"{out}: {out.stat().st_size} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


@click.group()
def main() -> None:
    """Train the network that adds to kriging, for four bands."""


@main.command("fit")
@DATA
@FOLDER
@click.option("--channels", default=32, show_default=True)
@click.option("--pairs", default=4, show_default=True)
@click.option("--steps", default=4_000, show_default=True)
@click.option("--rate", default=4e-3, show_default=True, help="highest learning rate")
@click.option("--visible", default=0.0, show_default=True, help="weight of what the sensor would see of the addition")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
def fit_command(
    data: Path,
    folder: Path,
    channels: int,
    pairs: int,
    steps: int,
    rate: float,
    visible: float,
    seed: int,
    threads: int,
) -> None:
    """Train, or resume the run in the folder."""
    network = residual_of(BANDS, channels=channels, pairs=pairs, seed=seed)
    fit_residual(
        network,
        list(reference_scenes(data)),
        folder,
        Settings(steps, rate, seed=seed, threads=threads, save_every=200, log_every=50),
        bands=BANDS,
        evaluate=gains(data, network.consumed),
        visible=visible,
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
    channels, pairs = len(weights["features.bias"]), sum(key.endswith(".0.bias") for key in weights)
    network, first = (
        residual_of(BANDS, channels=channels, pairs=pairs, seed=run["settings"]["seed"]) for _ in range(2)
    )
    network.load_state_dict(weights)
    write(network, out, card_of(folder, network, first, licenses_of(data), commit, step=state["step"]))


if __name__ == "__main__":
    main()
