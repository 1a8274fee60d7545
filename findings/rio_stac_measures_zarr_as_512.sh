#!/usr/bin/env bash
# rio-stac 0.12.0 (rasterio 1.4.4, GDAL 3.10.3): the Item of a Zarr store with two bands says 512 x 512 pixels without a place.
#
# Expected: `create_stac_item` describes the grid that both bands share, or raises, as it does for what it cannot open.
# Seen: the Item has proj:shape [512, 512] and the identity as its transform. GDAL opens a group of several arrays as a
#   container without bands, whose size is a placeholder; rio-stac takes it. A store of one band gets the right shape.
# What follows: describe a store of several bands from xarray, or array by array ('ZARR:"path":/B04'), not by its path.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check \
    rio-stac==0.12.0 rasterio==1.4.4 xarray==2026.4.0 zarr==3.1.6 numpy==2.4.6
cd "$folder"
env/bin/python -W ignore - <<'PYTHON'
import numpy as np
import rasterio
import xarray as xr
from rio_stac import create_stac_item

values = np.arange(96.0, dtype="float32").reshape(8, 12)
grid = {"y": 5_800_075.0 - 10 * np.arange(8), "x": 600_005.0 + 10 * np.arange(12)}
shapes = {}
for names in (["B04"], ["B04", "B08"]):
    path = f"{len(names)}.zarr"
    xr.Dataset({name: (("y", "x"), values) for name in names}, grid).to_zarr(path, zarr_format=2)
    shapes[len(names)] = create_stac_item(path, with_proj=True).properties["proj:shape"]
print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}; stores of 8 x 12 pixels")
print(f"expected: proj:shape [8, 12]; seen: {shapes[1]} for one band, {shapes[2]} for two")
assert list(shapes[1]) == [8, 12], "one band is no longer described"
assert list(shapes[2]) == [512, 512], "two bands are described otherwise now"
PYTHON
