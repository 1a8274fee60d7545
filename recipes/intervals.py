"""Fit the calibrations of intervals that are part of the package, of kriging and of the network that adds to it.

    python -m recipes.intervals [--model NAME] [--out xr_sr/kernels/calibration_NAME.json]

NAME: kriging, sen2sr.rgbn-x4, sen2sr-fast, diffusion, diffusion.members for its ensembles, or sen2sr.ten-x4, which
takes its 10 m bands from sen2sr.rgbn-x4.

Aerial imagery as Sentinel-2 sees it at 10 m (`xr_sr.simulate`, noise of seed 0), estimated at 2.5 m and compared with
itself. Every place has the same weight. None of the places of the study of trust is among these, so that
`studies.intervals` measures coverage where nothing was fitted. Bands without imagery take the quantiles of all bands.
A network is not judged by the imagery that it was trained on: instead by the strip of Chateaugiron that its training
left out, Zurich, and Sentinel-2 of places that it never saw, taken as the reference at 10 m and seen at 40 m.

Bands of 20 m: no imagery has them at 2.5 m, so real ones are taken eight times as wide. Sentinel-2 at 20 m is the
reference, and the same seen at 160 m the input, with the 10 m bands seen at 80 m as guides. Fitted on SHIFTED, with the
places of `UNSEEN_20M` left out, which `studies.intervals` judges. Synthetic scenes were tried in their place: intervals
of 90 % then cover 95 to 99 % of each of five real places, those of real ones 77 to 96 % of a place left out.
Bands of 60 m, of kriging alone: the 10 m band of the nearest wavelength in their place, seen at 240 m.
"""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

import xr_sr
from benchmarks.harness.runs import ROOT, shared
from benchmarks.harness.ten_scenes import COARSE, TEN, on_grids, ten_band_scenes
from xr_sr.datasets import simulate_scene
from xr_sr.kernels.calibration import Calibration, shipped
from xr_sr.simulate import MTF_AT_NYQUIST, degrade
from xr_sr.training.scenes import FloatArray

from .imagery import BANDS, aerial_scenes, cube_of, held_out_scenes, raster_of
from .residual import HELD_OUT_FROM

HR_MTF = 0.3
"""Contrast at the Nyquist frequency of the reference at 2.5 m, as in the study of trust."""

MORE = (
    ("Brittany, 0.85 m", "chateaugiron_fr/ortho.jpg", 0.85),
    ("Berkeley, 0.94 m", "berkeley_us/naip.tif", 0.942),
    ("Zurich, 0.5 m", "zurich_ch/1091-322_00.tif", 0.5),
)
"""Places of which the green band stands for near infrared: name, file, size of a pixel in meters."""

SCALE, SEED = 4, 0

SEEN_FROM = ("Jutland", "Araucania")
"""Places of Sentinel-2 that no network was trained on, without snow."""


SHIFTED = ("DSen2", "Brandenburg", "TerraMesh Araucania")
UNSEEN_20M = ("TerraMesh Jutland", "TerraMesh Ontario")
"""Places of Sentinel-2 with ten bands, for the calibration of those of 20 m, and to judge it."""

SHIFT = 8
"""How many times as wide the pixels are taken of which the real ones are the reference: 2.5 m of 20 m."""

STANDS_FOR = {"B02": "B01", "B08": "B09"}
"""Bands of 60 m, and the band of 10 m in their place."""

RATIO_60M = 24
"""Pixels of 2.5 m along one of 60 m."""


def main() -> None:
    """Fit on all places, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="kriging", help="full name of a model (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="file to write (default: that of the package)")
    given = parser.parse_args()
    out = given.out or ROOT / "xr_sr" / "kernels" / f"calibration_{given.model}.json"
    made = calibrated(given.model)
    made.save(out)
    print(made)
    for (band, stratum), quantiles in made.quantiles.items():
        print(f"{band:4} {stratum:7} {made.pixels[band, stratum]:>12,}", *(f"{value:6.2f}" for value in quantiles))


def calibrated(model: str) -> Calibration:
    """Return the calibration of a model, of the bands of all pixel sizes that it computes."""
    drawn = model.endswith(".members")
    if model == "sen2sr.ten-x4":
        alone = shipped("sen2sr.rgbn-x4")
        assert alone is not None
        return replace(alone.merge(of_20m(model, SHIFTED)), model=model)
    names, lr, hr = zip(*(pairs() if model == "kriging" else unseen_pairs()), strict=True)
    note = f"aerial imagery as Sentinel-2 sees it at 10 m, seed {SEED}: " + "; ".join(names)
    name = model.removesuffix(".members")
    fine = xr_sr.calibrate(lr, hr, name, equal=True, device="cpu", note=note, drawn=drawn)
    if model != "kriging":
        return fine
    # Of their own grid 24 is the scale of 60 m bands, where that of the finest grid is 4.
    return fine.merge(of_20m(model, SHIFTED)).merge(replace(of_60m(SHIFTED), options=fine.options))


def of_20m(model: str, places: Sequence[str]) -> Calibration:
    """Return the calibration of 20 m bands, on real ones of places whose pixels are taken eight times as wide."""
    names, lr, hr = zip(*shifted_pairs(places), strict=True)
    note = f"Sentinel-2 at 20 m seen at 160 m, seed {SEED}: " + "; ".join(names)
    return xr_sr.calibrate(lr, hr, model, bands=list(COARSE), equal=True, device="cpu", note=note)


def of_synthetic(model: str) -> Calibration:
    """Return the calibration of 20 m bands on three synthetic scenes, for comparison alone."""
    lr, hr = [], []
    for seed, day in ((21, "2023-02-10"), (22, "2023-06-15"), (23, "2023-09-20")):
        tree = simulate_scene(192, day, seed=seed)
        lr.append(tree["lr"])
        hr.append(tree["hr"].to_dataset()[list(COARSE)])
    note = "synthetic scenes, seeds 21 to 23"
    return xr_sr.calibrate(lr, hr, model, bands=list(COARSE), equal=True, device="cpu", note=note)


def of_60m(places: Sequence[str]) -> Calibration:
    """Return the calibration of kriging of 60 m bands, on 10 m bands in their place that are seen at 240 m."""
    lr, hr, names = [], [], []
    for name, bands in real_places(places):
        seen = {STANDS_FOR[band]: values for band, values in bands.items() if band in STANDS_FOR}
        rows, columns = (side // RATIO_60M * RATIO_60M for side in seen["B01"].shape)
        fine = xr.Dataset(
            {band: wrap_xr(values[:rows, :columns], _grid(rows, columns)) for band, values in seen.items()}
        )
        coarse = degrade(fine.to_dataarray("band"), factor=RATIO_60M, noise="sentinel2", seed=SEED)
        lr.append(coarse.compute())
        hr.append(fine)
        names.append(name)
    note = f"B02 and B08 in their place, Sentinel-2 at 10 m seen at 240 m, seed {SEED}: " + "; ".join(names)
    return xr_sr.calibrate(lr, hr, "kriging", scale=RATIO_60M, equal=True, device="cpu", note=note)


def shifted_pairs(places: Sequence[str]) -> Iterator[tuple[str, xr.DataTree, xr.Dataset]]:
    """Yield places of ten bands: name, what the sensor sees of them eight times as wide, and the 20 m bands."""
    for name, bands in real_places(places):
        rows, columns = (min(bands[band].shape[axis] for band in COARSE) // SHIFT * SHIFT for axis in range(2))
        place = _grid(rows, columns)
        seen = {}
        for band in TEN:
            ratio = 1 if band in COARSE else 2
            values = bands[band][: ratio * rows, : ratio * columns]
            cube = xr.DataArray(values[None], dims=("band", "y", "x"), coords={"band": [band]})
            seen[band] = degrade(cube, factor=SHIFT, noise="sentinel2", seed=SEED).values[0].astype("float32")
        tree = on_grids(seen, place.zoom_to((2 * rows // SHIFT, 2 * columns // SHIFT)))
        hr = xr.Dataset({band: wrap_xr(bands[band][:rows, :columns], place) for band in COARSE})
        yield name, tree, hr


def real_places(places: Sequence[str]) -> Iterator[tuple[str, dict[str, FloatArray]]]:
    """Yield real places of Sentinel-2 with ten bands on their own grids: name, and reflectance by band, (y, x)."""
    for scene in ten_band_scenes():
        if scene.name in places:
            nodes = [scene.cube[node].to_dataset().data_vars.items() for node in ("r10m", "r20m")]
            step = 1.0 if scene.name == "DSen2" else 1e-4
            offset = scene.options.get("offset", 0)
            yield (
                scene.name,
                {
                    str(band): ((plane.values.squeeze() + offset) * step).astype("float32")
                    for variables in nodes
                    for band, plane in variables
                },
            )


def _grid(rows: int, columns: int) -> GeoBox:
    """Return a grid of pixels of 2.5 m somewhere in UTM."""
    return GeoBox((rows, columns), Affine(2.5, 0, 600_000, 0, -2.5, 5_000_000), "EPSG:32614")


def pairs() -> Iterator[tuple[str, xr.DataArray, xr.DataArray]]:
    """Yield the places: name, what the sensor sees, and the reference."""
    for name, file, size_m in MORE:
        yield name, *_seen(_colors(file), size_m)
    for name, cube, *_ in aerial_scenes(shared() / "data"):
        if not name.startswith("North Dakota") or name[13:17] in ("2012", "2014"):  # the same ground
            fine = _whole(cube)
            yield name, degrade(fine, factor=SCALE, noise="sentinel2", seed=SEED).compute(), fine


def unseen_pairs() -> Iterator[tuple[str, xr.DataArray, xr.DataArray]]:
    """Yield places that the network which adds to kriging was not trained on, as `pairs`."""
    data = shared() / "data"
    strip = _colors("chateaugiron_fr/ortho.jpg")[..., HELD_OUT_FROM:]
    yield "Brittany, 0.85 m, columns left out", *_seen(strip, 0.85)
    yield "Zurich, 0.5 m", *_seen(_colors("zurich_ch/1091-322_00.tif"), 0.5)
    for name, values in held_out_scenes(data).items():
        if name in SEEN_FROM:
            fine = _whole(cube_of(values))
            yield f"{name}, 10 m", degrade(fine, factor=SCALE, noise="sentinel2", seed=SEED).compute(), fine


def _colors(file: str) -> FloatArray:
    """Read red, green and blue as reflectance, and green again for near infrared: (band, y, x)."""
    counts = raster_of(shared() / "data" / "hr_more" / file)
    values = counts.values[:3].astype("float32") * np.float32(0.4 / 255)
    return np.concatenate([values, values[1:2]])


def _seen(values: FloatArray, size_m: float) -> tuple[xr.DataArray, xr.DataArray]:
    """Return what the sensor sees of an image with pixels of this size, and the reference at 2.5 m."""
    native = cube_of(values, size_m)
    fine = _whole(degrade(native, gsd=2.5, mtf=HR_MTF).compute())
    like = fine.odc.geobox.zoom_out(SCALE)
    mtf: dict[Hashable, float] = {band: MTF_AT_NYQUIST[band] for band in BANDS}
    return degrade(native, like=like, mtf=mtf, noise="sentinel2", seed=SEED).compute(), fine


def _whole(fine: xr.DataArray) -> xr.DataArray:
    """Cut a scene to whole pixels of the sensor."""
    y, x = fine.dims[-2:]
    return fine.isel({y: slice(fine.sizes[y] // SCALE * SCALE), x: slice(fine.sizes[x] // SCALE * SCALE)})


if __name__ == "__main__":
    main()
