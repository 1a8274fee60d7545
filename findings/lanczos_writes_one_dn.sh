#!/usr/bin/env bash
# odc-stac 0.5.3 with rasterio 1.4.4 (GDAL's warper): resampling="lanczos" turns dark, valid pixels beside a bright
# edge into DN 1.
#
# Expected: uint16 bands hold 1050 (water, processing baseline 04.00: reflectance 0.005) and 12000 (a roof); resampled to half
#   the pixel, values stay near these two, or what would be below 0 is clipped and can be distinguished from data.
# Seen: cubic undershoots to 280, lanczos to below zero, and since 0 is the declared nodata, the warper writes 1
#   in its place: a valid DN. With the offset of -1000 that is a reflectance of -0.0999. No flag, no warning.
# What follows: load reflectance with nearest or bilinear, or subtract the offset before resampling.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check \
    odc-stac==0.5.3 odc-geo==0.5.3 rasterio==1.4.4 pystac==1.15.2 numpy==2.3.5
cd "$folder"
env/bin/python -W ignore - <<'PYTHON'
import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import odc.stac
import pystac
import rasterio
from pyproj import Transformer
from rasterio.transform import from_origin

west, north, side = 600_000, 5_800_000, 60
dn = np.full((side, side), 1050, "uint16")
dn[:, side // 2 :] = 12_000
dn[20:40, 10:20] = 0
path = Path("band.tif").resolve()
with rasterio.open(
    path, "w", driver="GTiff", width=side, height=side, count=1, dtype="uint16", nodata=0,
    crs="EPSG:32633", transform=from_origin(west, north, 20, 20),
) as file:
    file.write(dn, 1)
to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
w, s, e, n = to_degrees.transform_bounds(west, north - 20 * side, west + 20 * side, north)
item = pystac.Item(
    "scene",
    {"type": "Polygon", "coordinates": [[[w, s], [e, s], [e, n], [w, n], [w, s]]]},
    [w, s, e, n],
    datetime.datetime(2023, 6, 1, tzinfo=datetime.timezone.utc),
    {"proj:code": "EPSG:32633", "proj:shape": [side, side], "proj:transform": [20, 0, west, 0, -20, north]},
)
bands = {"raster:bands": [{"nodata": 0, "data_type": "uint16"}]}
item.add_asset("band", pystac.Asset(str(path), media_type="image/tiff", roles=["data"], extra_fields=bands))
lowest = {}
for method in ("nearest", "bilinear", "cubic", "lanczos"):
    cube = odc.stac.load(
        [item], bands=["band"], crs="EPSG:32633", resolution=10, resampling=method,
        x=(west, west + 20 * side), y=(north - 20 * side, north),
    )
    values = cube.band.values
    lowest[method] = int(values[values > 0].min())
print(", ".join(f"{name} {version(name)}" for name in ("odc-stac", "rasterio", "numpy")))
print("expected: no valid DN far below 1050 that a reader cannot tell from data")
print(f"seen, lowest valid DN: {lowest}; with lanczos and the offset -1000: {(lowest['lanczos'] - 1000) / 10_000:.4f}")
assert lowest["nearest"] == lowest["bilinear"] == 1050, "nearest or bilinear has changed"
assert lowest["cubic"] < 500, "cubic does not undershoot any more"
assert lowest["lanczos"] == 1, "lanczos does not write DN 1 any more"
PYTHON
