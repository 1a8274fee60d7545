"""Read aerial imagery as reference images at 2.5 m, for the study of trust.

NAIP, public domain, from the shared folder; none of it was used for training (that of North Dakota and Tennessee was).
All are resampled to 2.5 m.
Values are counts of an aerial camera, scaled to the reflectance of a meadow: the spectra are plausible, not measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from benchmarks.harness.runs import shared
from benchmarks.harness.scenes import RGBN

REFLECTANCE_AT_255 = {"B04": 0.40, "B03": 0.40, "B02": 0.40, "B08": 0.60}
GSD_M, SCALE = 2.5, 4
HR_MTF = 0.3
"""Contrast at the Nyquist frequency of the reference: that of a good camera at 2.5 m."""


@dataclass(frozen=True)
class Place:
    """native: (band, y, x) reflectance at the camera's pixels; hr: the reference at 2.5 m, sides a multiple of 4."""

    name: str
    native: Any
    hr: Any


def places() -> list[Place]:
    """Return all places, each read and resampled to 2.5 m."""
    return [_brought(name, native) for name, native in _native()]


def _native() -> list[tuple[str, Any]]:
    import rioxarray

    folder = shared() / "data"
    files = sorted((folder / "hr_naip_va_1m").glob("NAIP-VA-b?.tiff"))
    forest = xr.concat([rioxarray.open_rasterio(file) for file in files], "band")
    found = [("Virginia: forest and roads, 1 m", forest)]
    for name, file in (
        ("Virginia: fields and wood, 1 m", "hr_naip_va_1m/m_3607824_se_17_1_20160620_subset.tif"),
        ("New Mexico: bare land, 2 m", "hr_naip_chips_2m/chip_0_abs_train.tif"),
        ("Virginia: road, houses, meadow, 2 m", "hr_naip_chips_2m/chip_1_pres_train.tif"),
    ):
        found.append((name, rioxarray.open_rasterio(folder / file)))
    return [(name, _reflectance(counts.values, counts.odc.geobox)) for name, counts in found]


def _reflectance(counts: Any, geobox: GeoBox) -> Any:
    """Return (band, y, x) float32 reflectance out of R, G, B and near infrared counts of 0 to 255."""
    gain = np.array([REFLECTANCE_AT_255[band] for band in RGBN], "float32") / np.float32(255)
    values = counts[:4].astype("float32") * gain[:, None, None]
    coords = {**xr_coords(geobox), "band": list(RGBN)}
    return xr.DataArray(values, dims=("band", *geobox.dimensions), coords=coords)


def _brought(name: str, native: Any) -> Place:
    from xr_sr.simulate import degrade

    hr = degrade(native, gsd=GSD_M, mtf=HR_MTF)
    y, x = hr.dims[-2:]
    height, width = (size // SCALE * SCALE for size in hr.shape[-2:])
    return Place(name, native, hr.isel({y: slice(height), x: slice(width)}).compute())
