"""Fit the calibrations of intervals that are part of the package, of kriging and of the network that adds to it.

    python -m recipes.intervals [--model NAME] [--out xr_sr/kernels/calibration_NAME.json]

Aerial imagery as Sentinel-2 sees it at 10 m (`xr_sr.simulate`, noise of seed 0), estimated at 2.5 m and compared with
itself. Every place has the same weight. None of the places of the study of trust is among these, so that
`studies.intervals` measures coverage where nothing was fitted. Bands without imagery take the quantiles of all bands.
A network is not judged by the imagery that it was trained on: instead by the strip of Chateaugiron that its training
left out, Zurich, and Sentinel-2 of places that it never saw, taken as the reference at 10 m and seen at 40 m.
"""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr

import xr_sr
from benchmarks.harness.runs import ROOT, shared
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


def main() -> None:
    """Fit on all places, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="kriging", help="full name of a model (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="file to write (default: that of the package)")
    given = parser.parse_args()
    out = given.out or ROOT / "xr_sr" / "kernels" / f"calibration_{given.model}.json"
    names, lr, hr = zip(*(pairs() if given.model == "kriging" else unseen_pairs()), strict=True)
    note = f"aerial imagery as Sentinel-2 sees it at 10 m, seed {SEED}: " + "; ".join(names)
    made = xr_sr.calibrate(lr, hr, given.model, equal=True, device="cpu", note=note)
    made.save(out)
    print(made)
    for (band, stratum), quantiles in made.quantiles.items():
        print(f"{band:4} {stratum:7} {made.pixels[band, stratum]:>12,}", *(f"{value:6.2f}" for value in quantiles))


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
