#!/usr/bin/env bash
# odc-stac 0.5.3: a boolean property of two items of one day comes out as 0.5, which every test for truth takes for true.
#
# Expected: with_properties=["earthsearch:boa_offset_applied"] gives, for a day whose items are True and False, an error,
#   an unknown value, or two dates. A text that is equal in both items, such as the processing baseline "05.09", stays.
# Seen: the flag is 0.5; the two equal texts are joined to "05.09,05.09" and raise ValueError.
# What follows: of two tiles of one day, one gets the other's radiometric offset (0.1 in reflectance), in silence. Note
#   one number with each item, and group by day and by that number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check odc-stac==0.5.3 odc-loader==0.6.5 odc-geo==0.5.3 \
    pystac==1.15.2 rasterio==1.4.4 xarray==2026.9.0 dask==2026.7.1 numpy==2.4.6 pandas==3.1.1
cd "$folder"
env/bin/python - <<'PYTHON'
import warnings
from pathlib import Path

import numpy as np
import odc.stac
import pystac
import rasterio
from rasterio.transform import from_origin

warnings.simplefilter("ignore")
SIDE, WHEN = 64, pystac.utils.str_to_datetime("2023-07-01T10:10:31Z")


def item(name: str, left: float, **properties: object) -> pystac.Item:
    """A tile of 640 m at 15 degrees east, in UTM zone 33."""
    transform = from_origin(left, 5_800_000, 10, 10)
    with rasterio.open(
        f"{name}.tif", "w", driver="GTiff", dtype="uint16", count=1, height=SIDE, width=SIDE, crs="EPSG:32633", transform=transform
    ) as file:
        file.write(np.full((1, SIDE, SIDE), 2000, "uint16"))
    west, east = 15 + (left - 500_000) / 68_000, 15 + (left - 500_000 + 640) / 68_000
    ring = [[west, 52.343], [east, 52.343], [east, 52.349], [west, 52.349], [west, 52.343]]
    where = {"proj:code": "EPSG:32633", "proj:shape": [SIDE, SIDE], "proj:transform": list(transform)[:6]}
    made = pystac.Item(name, {"type": "Polygon", "coordinates": [ring]}, [west, 52.343, east, 52.349], WHEN, {**where, **properties})
    made.stac_extensions = ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"]
    made.add_asset("red", pystac.Asset(str(Path(f"{name}.tif").resolve()), media_type="image/tiff; application=geotiff", roles=["data"]))
    return made


def load(key: str, west: object, east: object) -> object:
    items = [item("west", 500_000, **{key: west}), item("east", 500_640, **{key: east})]
    cube = odc.stac.load(items, bands=["red"], groupby="solar_day", chunks={}, with_properties=[key])
    return cube[key.replace(":", "_")].values.tolist()


print("odc-stac", odc.stac.__version__)
flag = load("earthsearch:boa_offset_applied", True, False)
print(f"expected of True and False: no single truth value; seen: {flag}, as a bool {bool(flag[0])}")
try:
    text = load("s2:processing_baseline", "05.09", "05.09")
except ValueError as error:
    text = error
print(f"expected of '05.09' twice: 5.09; seen: {text!r}")
assert flag == [0.5], "flags are not averaged any more"
assert isinstance(text, ValueError) and "05.09,05.09" in str(text), "equal texts are not joined any more"
PYTHON
