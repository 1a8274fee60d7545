"""Tiles on disk, and the STAC Items that describe them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from odc.geo.geobox import GeoBox

BANDS = ("red", "green", "blue", "nir")
SIDE = 64
WEST, EAST = 500_000, 500_000 + SIDE * 10


def item(
    folder: Path, name: str, left: float, dn: int, *, top: float = 5_800_000, epsg: int = 32633, **properties: Any
) -> pystac.Item:
    """A tile of one DN, as a catalogue describes it."""
    box = GeoBox.from_bbox((left, top - SIDE * 10, left + SIDE * 10, top), f"EPSG:{epsg}", resolution=10)
    when = pystac.utils.str_to_datetime("2023-07-01T10:10:31Z")
    described = {"proj:code": f"EPSG:{epsg}", "proj:shape": list(box.shape), "proj:transform": list(box.affine)[:6]}
    footprint = box.geographic_extent
    made = pystac.Item(name, footprint.json, list(footprint.boundingbox), when, {**described, **properties})
    made.stac_extensions = ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"]
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": SIDE, "width": SIDE, "nodata": 0}
    for band in BANDS:
        path = folder / f"{name}_{band}.tif"
        with rasterio.open(path, "w", crs=f"EPSG:{epsg}", transform=box.affine, **profile) as file:
            file.write(np.full((1, SIDE, SIDE), dn, "uint16"))
        made.add_asset(band, pystac.Asset(str(path), media_type="image/tiff; application=geotiff", roles=["data"]))
    return made
