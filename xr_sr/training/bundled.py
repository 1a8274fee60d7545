"""How the weights inside the package were made: which imagery, which network, how long, with which seed.

    python -m xr_sr.training.bundled distil --data ../shared/data --folder runs/sen2sr --channels 24

A run saves as it goes; the same command goes on where it was stopped. The imagery is that of this project's shared
folder: public domain or open, listed with its licence in the model card (docs/model_card.md). Places whose licence
asks for sharing alike, or says nothing, are only measured on, never learnt from.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from safetensors.torch import load_file

from .._version import __version__
from ..models.lean import LeanSPAN
from ..samples import simulate_scene
from ..simulate import degrade
from .augment import Augmentation
from .distil import distil
from .export import save_weights
from .fit import fit
from .journal import read_log
from .loop import Settings
from .scenes import FloatArray, Scene, scenes_of
from .teacher import Teacher

BANDS = ("B04", "B03", "B02", "B08")

COPERNICUS = "contains modified Copernicus Sentinel data"

REFLECTANCE_AT_255 = (0.40, 0.40, 0.40, 0.60)
"""What a count of 255 of an aerial camera is taken for: its values are uncalibrated."""

NOT_FOR = (
    "counting, measuring or naming what is smaller than the sensor resolves, without other evidence",
    "legal, military or medical decisions about single objects",
    "sensors other than Sentinel-2, or pixels other than 10 m",
    "cloud, smoke, or values that are not reflectance",
)

DAKOTA = (20090818, 20100629, 20120731, 20140720, 20150926, 20170827)


def training_scenes(data: Path) -> list[Scene]:
    """Read all that is learnt from: Sentinel-2, aerial imagery as it is and as seen at 10 m, synthetic scenes."""
    aerial = [scene for pair in aerial_scenes(data) for scene in _as_lr(*pair)]
    return [*sentinel_scenes(data), *aerial, *synthetic_scenes()]


def sentinel_scenes(data: Path) -> Iterator[Scene]:
    """Read the real Sentinel-2 imagery that may be learnt from."""
    dsen2 = np.moveaxis(np.load(data / "s2_l1c_dsen2" / "S2A_MSIL1C_20170527_T33UUB.npz")["im10"], -1, 0)
    yield Scene("DSen2, T33UUB 2017-05-27, L1C", _float(dsen2, 1e-4), 4.0, f"CC BY 4.0; {COPERNICUS}")
    spyndex = np.load(data / "s2_spyndex" / "S2_10m.npz")["data"][[2, 1, 0, 3]]
    yield Scene("spyndex sample, L2A", _float(spyndex, 1e-4), 3.0, f"MIT; {COPERNICUS}")
    patagonia = _raster(data / "s2_patagonia_10_20m" / "s2_10m.tif").assign_coords(band=["B02", "B03", "B04", "B08"])
    yield from scenes_of(patagonia, BANDS, name="Patagonia", weight=2.0, note=f"MIT; {COPERNICUS}", offset=0)
    months = xr.open_dataset(data / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc")
    months = months.set_coords("crs")[[f"S2-L2A-{band}" for band in BANDS]]
    yield from scenes_of(
        months, BANDS, name="WorldCereal, Belgium", weight=3.0, note=f"MIT; {COPERNICUS}", offset=0, nodata=65535
    )


def aerial_scenes(data: Path) -> Iterator[tuple[str, xr.DataArray, float, str]]:
    """Read the aerial imagery that may be learnt from, at 2.5 m or as if: name, cube, weight, licence."""
    for day in DAKOTA:
        counts = _raster(data / "hr_naip_nd_5m" / f"m_4709963_se_14_1_{day}.tif")
        values = counts.values[:, 4:-4, 8:-8].astype("float32")
        values[:, (values == 0).all(axis=0)] = np.nan
        gain = np.array(REFLECTANCE_AT_255, "float32")[:, None, None] / 255
        yield f"North Dakota {str(day)[:4]}, 5 m as if 2.5 m", _cube(values * gain), 0.4, "NAIP, public domain"
    counts = _raster(data / "hr_noaa_tn_1m" / "20200307aC0853900w361030n.tif")
    counts = counts.rio.write_nodata(0).rio.reproject("EPSG:32616", resolution=2.5, resampling=5)  # average
    red, green, blue = (counts.values[:3].astype("float32") / 255 * 0.4).clip(0)
    # No near infrared was measured: one is made that is bright on what is green, so that four bands can be learnt.
    near = (0.12 + 0.4 * green - 0.16 * red + 0.16 * blue).clip(0)
    values = np.stack([red, green, blue, near])
    values[:, (counts.values == 0).all(axis=0)] = np.nan
    yield "Tennessee 2020, 2.5 m, NIR made up", _cube(values), 2.0, "NOAA, public domain"


def synthetic_scenes() -> Iterator[Scene]:
    """Draw landscapes as Sentinel-2 would see them, in three seasons."""
    for seed, day in ((11, "2023-01-20"), (12, "2023-05-10"), (13, "2023-08-25")):
        tree = simulate_scene(384, day, seed=seed, flood_m=1.0 if seed == 12 else 0.0)
        cube, name = tree["lr/r10m"].to_dataset(), f"synthetic, seed {seed}"
        yield from scenes_of(cube, BANDS, name=name, weight=0.5, note="ours")


def held_out_scenes(data: Path) -> dict[str, FloatArray]:
    """Read the places that are measured on and never learnt from, as (band, y, x) reflectance."""
    found = {}
    chips = (("637U_59R_1_3", "Jutland", 0), ("433D_629L_3_1", "Araucania", -1000), ("609U_541L_3_0", "Ontario", 0))
    for chip, name, offset in chips:
        stack = _raster(data / "s2_terramesh" / f"{chip}_S2L2A.tif").values[[3, 2, 1, 7]]
        found[name] = _float(stack.astype("int32") + offset, 1e-4)
    flood = _raster(data / "flood_spain" / "Spain_7370579_S2Hand.tif").values[[3, 2, 1, 7]]
    return {**found, "Spain": _float(flood, 1e-4)}


def _as_lr(name: str, fine: xr.DataArray, weight: float, note: str) -> Iterator[Scene]:
    """Give an image as if its pixels were 10 m, and as Sentinel-2 would see it at 10 m."""
    yield Scene(f"{name}, taken as 10 m", fine.values, weight, note)
    yield from scenes_of(degrade(fine, factor=4), BANDS, name=f"{name}, seen at 10 m", weight=weight / 2, note=note)


def _raster(path: Path) -> xr.DataArray:
    import rioxarray

    opened = rioxarray.open_rasterio(path)
    assert isinstance(opened, xr.DataArray)
    return opened


def _float(values: NDArray[Any], gain: float) -> FloatArray:
    return np.ascontiguousarray(values.astype("float32") * np.float32(gain))


def _cube(values: NDArray[Any]) -> xr.DataArray:
    """Wrap (band, y, x) as a cube of 2.5 m pixels somewhere in UTM."""
    _, height, width = values.shape
    coords = {
        "band": list(BANDS),
        "y": 5_000_000 - 2.5 * (np.arange(height) + 0.5),
        "x": 500_000 + 2.5 * (np.arange(width) + 0.5),
    }
    cube = xr.DataArray(values.astype("float32"), dims=("band", "y", "x"), coords=coords)
    referenced: xr.DataArray = cube.rio.write_crs("EPSG:32614")
    return referenced


def card_of(folder: Path, network: LeanSPAN, scenes: Sequence[Scene], commit: str) -> dict[str, Any]:
    """Say of a finished run what a user of its weights should know; see docs/model_card.md."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    last = [row for row in read_log(folder / "log.csv") if all(row.values())][-1]
    measured = {key: float(value) for key, value in last.items() if key not in ("step", "rate", "loss", "seconds")}
    return {
        "architecture": "xr_sr.models.lean:LeanSPAN",
        "channels": network.features.out_channels,
        "bands": list(BANDS),
        "gsd_m": [10.0, 2.5],
        "start": "random numbers",
        "settings": run["settings"],
        "teacher": run["batches"].get("teacher"),
        "data": [{"name": scene.name, "licence": scene.note, "weight": round(scene.weight, 4)} for scene in scenes],
        "measured": measured,
        "minutes": round(float(last["seconds"]) / 60),
        "commit": commit,
        "version": __version__,
        "versions": {name: version(name) for name in ("torch", "numpy", "pytorch-optimizer")},
        "processor": platform.processor() or platform.machine(),
        "licence": "Apache-2.0",
        "not_for": NOT_FOR,
    }


def _started(path: Path) -> LeanSPAN:
    """Give a network with the weights of a file of ours."""
    state = load_file(path)
    network = LeanSPAN(channels=len(state["features.bias"]))
    network.load_state_dict(state, strict=True)
    return network


@click.group()
def main() -> None:
    """Make the weights of the package again."""


@main.command("distil")
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the imagery")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="folder of the run")
@click.option("--channels", default=24, show_default=True)
@click.option("--start", type=click.Path(path_type=Path, exists=True), help="weights to begin with, not random numbers")
@click.option("--steps", default=20_000, show_default=True)
@click.option("--rate", default=6e-3, show_default=True, help="highest learning rate")
@click.option("--evenness", default=0.6, show_default=True, help="1 counts all patches the same, 0 by their detail")
@click.option("--snow", default=0.2, show_default=True, help="share of patches that are turned to snow")
@click.option("--beta", default=0.99, show_default=True, help="of the optimiser's second moments")
@click.option("--refresh", default=5, show_default=True, help="steps between the optimiser's decompositions")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
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


@main.command("fit")
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the imagery")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="folder of the run")
@click.option("--start", type=click.Path(path_type=Path, exists=True), required=True, help="weights to begin with")
@click.option(
    "--truth", default=1.0, show_default=True, help="share of the truth in what is learnt; the rest is taught"
)
@click.option("--steps", default=6_000, show_default=True)
@click.option("--rate", default=2e-3, show_default=True, help="highest learning rate")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
def fit_command(
    data: Path, folder: Path, start: Path, truth: float, steps: int, rate: float, seed: int, threads: int
) -> None:
    """Fine-tune distilled weights on aerial imagery, seen through the modelled sensor."""
    network = _started(start)
    scenes = [Scene(name, fine.values, weight, note) for name, fine, weight, note in aerial_scenes(data)]
    settings = Settings(steps, rate, seed=seed, threads=threads, save_every=200, tell_every=100)
    teacher = Teacher("sen2sr-lite", device="cpu") if truth < 1 else None
    fit(network, scenes, folder, settings, teacher=teacher, truth=truth, show=click.echo)


@main.command("export")
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the imagery")
@click.option("--folder", type=click.Path(path_type=Path, exists=True), required=True, help="folder of the run")
@click.option("--commit", required=True, help="of the code that ran")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="file to write")
def export_command(data: Path, folder: Path, commit: str, out: Path) -> None:
    """Write the averaged weights of a finished run, with their card."""
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    network = LeanSPAN(channels=len(state["average"]["features.bias"]))
    network.load_state_dict(state["average"], strict=True)
    save_weights(network, out, card_of(folder, network, training_scenes(data), commit))
    click.echo(f"{out}: {out.stat().st_size} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
