"""Which asset holds which band: by its key, by its list of bands, several in one; never in a picture."""

from __future__ import annotations

import json

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine

import xr_sr
from xr_sr.errors import MissingBandError
from xr_sr.io.stac.assets import Source, bands_in, counted, sources_of
from xr_sr.io.stac.items import meaning_of

NAMES = {"B04": "red", "B03": "green", "B02": "blue", "B08": "nir"}
BOX = (15.0, 52.33, 15.02, 52.36)
GRID = Affine(10, 0, 500_000, 0, -10, 5_800_000)
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"

LISTS = {
    "bands of STAC 1.1": {"bands": [{"name": name, "eo:common_name": word} for name, word in NAMES.items()]},
    "common names alone": {"bands": [{"eo:common_name": word} for word in NAMES.values()]},
    "framed names": {"bands": [{"name": f"S2_{name}_boa"} for name in NAMES]},
    "eo:bands of STAC 1.0": {"eo:bands": [{"name": name, "common_name": word} for name, word in NAMES.items()]},
    "eo:bands and raster:bands": {
        "eo:bands": [{"name": word} for word in NAMES.values()],
        "raster:bands": [{"data_type": "uint16", "nodata": 0, "scale": 1e-4, "offset": -0.1}] * 4,
    },
}


def item(fields: dict, *, key: str = "data", href: str = "https://store.example/data.tif", **more: dict) -> pystac.Item:
    """An item with one asset that holds four bands, and others in `more`."""
    ring = [[15.0, 52.33], [15.02, 52.33], [15.02, 52.36], [15.0, 52.36], [15.0, 52.33]]
    grid = {"proj:shape": [64, 64], "proj:transform": list(GRID)[:6]}
    assets = {key: fields, **more}
    return pystac.Item.from_dict({
        "type": "Feature", "stac_version": "1.1.0" if "bands" in fields else "1.0.0", "stac_extensions": [EO],
        "id": "several", "collection": "of-mine", "links": [], "bbox": list(BOX),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": "2023-06-15T10:00:00Z", "proj:epsg": 32633, "s2:processing_baseline": "05.09"},
        "assets": {name: {"href": href, "type": "image/tiff; application=geotiff", **grid, **each}
                   for name, each in assets.items()},
    })  # fmt: skip


@pytest.fixture
def file(tmp_path):
    """Four bands of constant DN: 1100, 1200, 1300, 1400, in the order of NAMES."""
    path = tmp_path / "data.tif"
    profile = {"width": 64, "height": 64, "count": 4, "dtype": "uint16", "crs": "EPSG:32633", "transform": GRID}
    with rasterio.open(path, "w", driver="GTiff", **profile) as out:
        for number in range(1, 5):
            out.write(np.full((64, 64), 1000 + 100 * number, "uint16"), number)
    return str(path)


@pytest.mark.parametrize("how", LISTS)
def test_each_band_comes_from_its_place_in_the_file(how, file):
    made = item(LISTS[how], href=file)

    node = xr_sr.load(made, bbox=BOX, bands=["B08", "B03", "B04", "B02"])["r10m"]

    found = {name: int(node[name].max()) for name in node.data_vars}
    assert found == {"B08": 1400, "B03": 1200, "B04": 1100, "B02": 1300}
    assert node["boa_add_offset"].values.tolist() == [-1000]


@pytest.mark.parametrize("how", LISTS)
def test_all_bands_of_the_asset_are_loaded_by_default(how):
    assert bands_in(item(LISTS[how])) == ["B02", "B03", "B04", "B08"]


def test_the_offset_is_read_in_the_list_of_bands():
    made = item({"bands": [{"name": name, "raster:scale": 1e-4, "raster:offset": -0.1} for name in NAMES]})
    del made.properties["s2:processing_baseline"]

    assert meaning_of(made).offset == -1000


def test_an_asset_of_one_band_comes_before_one_of_several_and_a_key_before_both():
    one = {"eo:bands": [{"name": "B04"}]}

    sources = sources_of(item(LISTS["eo:bands of STAC 1.0"], B03={}, single=one), ["B02", "B03", "B04"])

    assert sources == {"B02": Source("data", 3, 4), "B03": Source("B03"), "B04": Source("single")}


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("visual", {}),
        ("TCI_10m", {}),
        ("x", {"roles": ["overview"]}),
        ("x", {"title": "True color image"}),
        ("x", {"data_type": "uint8"}),
        ("x", {"raster:bands": [{"data_type": "uint8"}] * 4}),
        ("x-jp2", {}),
    ],
)
def test_a_picture_or_an_original_is_no_source(key, fields):
    with pytest.raises(MissingBandError, match=r"B04.*bands B04, B03, B02, B08"):
        sources_of(item(LISTS["eo:bands of STAC 1.0"] | fields, key=key), ["B04"])


def test_a_real_item_without_its_red_asset_does_not_take_red_from_the_picture(shared):
    for path in sorted((shared / "data" / "stac").glob("*.json")):
        found = pystac.Item.from_dict(json.loads(path.read_text(encoding="utf-8")))
        source = sources_of(found, ["B04"])["B04"]
        del found.assets[source.asset]

        with pytest.raises(MissingBandError, match="B04"):
            sources_of(found, ["B04"])


def test_a_missing_band_is_named_before_an_unknown_offset():
    made = item(LISTS["bands of STAC 1.1"])
    del made.properties["s2:processing_baseline"]

    with pytest.raises(MissingBandError, match=r"no asset for 'B11'.*'data' \(bands B04, B03, B02, B08\)"):
        xr_sr.load(made, bbox=BOX, bands=["B11"])


def test_the_item_itself_is_left_as_it_was():
    made = item(LISTS["eo:bands of STAC 1.0"])
    before = made.to_dict()

    assert counted(made, sources_of(made, ["B02"])) is not made
    assert made.to_dict() == before
