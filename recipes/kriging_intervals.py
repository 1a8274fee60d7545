"""Fit the calibration of kriging's intervals that is part of the package.

    python -m recipes.kriging_intervals [--out xr_sr/kernels/calibration_kriging.json]

Aerial imagery as Sentinel-2 sees it at 10 m (`xr_sr.simulate`, noise of seed 0), estimated at 2.5 m and compared with
itself. Every place has the same weight. None of the places of the study of trust is among these, so that
`studies.intervals` measures coverage where nothing was fitted. Bands without imagery take the quantiles of all bands.
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

from .imagery import BANDS, aerial_scenes, cube_of

HR_MTF = 0.3
"""Contrast at the Nyquist frequency of the reference at 2.5 m, as in the study of trust."""

MORE = (
    ("Brittany, 0.85 m", "chateaugiron_fr/ortho.jpg", 0.85),
    ("Berkeley, 0.94 m", "berkeley_us/naip.tif", 0.942),
    ("Zurich, 0.5 m", "zurich_ch/1091-322_00.tif", 0.5),
)
"""Places of which the green band stands for near infrared: name, file, size of a pixel in meters."""

SCALE, SEED = 4, 0


def main() -> None:
    """Fit on all places, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "xr_sr" / "kernels" / "calibration_kriging.json")
    out = parser.parse_args().out
    names, lr, hr = zip(*pairs(), strict=True)
    note = f"aerial imagery as Sentinel-2 sees it at 10 m, seed {SEED}: " + "; ".join(names)
    made = xr_sr.calibrate(lr, hr, "kriging", equal=True, device="cpu", note=note)
    made.save(out)
    print(made)
    for (band, stratum), quantiles in made.quantiles.items():
        print(f"{band:4} {stratum:7} {made.pixels[band, stratum]:>12,}", *(f"{value:6.2f}" for value in quantiles))


def pairs() -> Iterator[tuple[str, xr.DataArray, xr.DataArray]]:
    """Yield the places: name, what the sensor sees, and the reference."""
    import rioxarray

    for name, file, size_m in MORE:
        counts = rioxarray.open_rasterio(shared() / "data" / "hr_more" / file)
        assert isinstance(counts, xr.DataArray)
        values = counts.values[:3].astype("float32") * np.float32(0.4 / 255)
        native = cube_of(np.concatenate([values, values[1:2]]), size_m)
        fine = _whole(degrade(native, gsd=2.5, mtf=HR_MTF).compute())
        like = fine.odc.geobox.zoom_out(SCALE)
        mtf: dict[Hashable, float] = {band: MTF_AT_NYQUIST[band] for band in BANDS}
        yield name, degrade(native, like=like, mtf=mtf, noise="sentinel2", seed=SEED).compute(), fine
    for name, cube, *_ in aerial_scenes(shared() / "data"):
        if not name.startswith("North Dakota") or name[13:17] in ("2012", "2014"):  # the same ground
            fine = _whole(cube)
            yield name, degrade(fine, factor=SCALE, noise="sentinel2", seed=SEED).compute(), fine


def _whole(fine: xr.DataArray) -> xr.DataArray:
    """Cut a scene to whole pixels of the sensor."""
    y, x = fine.dims[-2:]
    return fine.isel({y: slice(fine.sizes[y] // SCALE * SCALE), x: slice(fine.sizes[x] // SCALE * SCALE)})


if __name__ == "__main__":
    main()
