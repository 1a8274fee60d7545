#!/usr/bin/env bash
# odc-stac 0.5.3: of an asset that holds several bands, names work for the first band only, or for none.
#
# Expected: an asset that lists its bands by name, as STAC 1.0 (`eo:bands`) and STAC 1.1 (`bands`) have it, is loaded by
#   these names; "blue" is the third band of the file.
# Seen: with `eo:bands` alone, all names are known as aliases, "red" (the first) is loaded, and "blue" is a
#   KeyError(('data', 3)), since bands are counted by `raster:bands` or `bands`. With `bands` of STAC 1.1 they are counted
#   ("data.3" works), and no name is known.
# What follows: add `raster:bands` with as many entries and load by "ASSET.NUMBER", which works for both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check odc-stac==0.5.3 pystac==1.15.2 rasterio==1.4.4 xarray==2026.9.0
cd "$folder"
env/bin/python - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import odc.stac
import pystac
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

GRID = GeoBox((16, 16), Affine(10, 0, 500_000, 0, -10, 5_800_000), "EPSG:32633")
WORDS = ("red", "green", "blue", "nir")
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
with rasterio.open("data.tif", "w", width=16, height=16, count=4, dtype="uint16", crs="EPSG:32633", transform=GRID.affine) as file:
    for number in range(1, 5):
        file.write(np.full((16, 16), 100 * number, "uint16"), number)


def item(stac_version: str, fields: dict) -> pystac.Item:
    asset = {"href": "data.tif", "type": "image/tiff; application=geotiff", "roles": ["data"],
             "proj:shape": [16, 16], "proj:transform": list(GRID.affine)[:6], **fields}
    made = pystac.Item.from_dict({
        "type": "Feature", "stac_version": stac_version, "stac_extensions": [EO], "id": "x", "collection": "c", "links": [],
        "geometry": {"type": "Point", "coordinates": [15.0, 52.35]}, "bbox": [15.0, 52.34, 15.01, 52.35],
        "properties": {"datetime": "2023-06-15T10:00:00Z", "proj:epsg": 32633}, "assets": {"data": asset}})
    made.set_self_href("item.json")
    return made


def seen(found: pystac.Item, band: str) -> object:
    try:
        return int(odc.stac.load([found], bands=[band], geobox=GRID)[band].max())
    except (KeyError, ValueError) as error:
        return repr(error)


old = {"eo:bands": [{"name": word, "common_name": word} for word in WORDS]}
new = {"bands": [{"name": word, "eo:common_name": word} for word in WORDS]}
counted = {**old, "raster:bands": [{}] * 4}
print(f"odc-stac {version('odc-stac')}, pystac {version('pystac')}; expected: red 100, blue 300 for each")
results = {}
for name, stac_version, fields in (("eo:bands", "1.0.0", old), ("bands", "1.1.0", new), ("eo:bands, raster:bands", "1.0.0", counted)):
    results[name] = [seen(item(stac_version, fields), band) for band in ("red", "blue", "data.3")]
    print(f"{name}: red {results[name][0]}, blue {results[name][1]}, data.3 {results[name][2]}")
assert results["eo:bands"][0] == 100 and "KeyError" in str(results["eo:bands"][1]), "eo:bands are counted now"
assert "No such band" in str(results["bands"][0]) and results["bands"][2] == 300, "names of STAC 1.1 are known now"
assert results["eo:bands, raster:bands"] == [100, 300, 300]
PYTHON
