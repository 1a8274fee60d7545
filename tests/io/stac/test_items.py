"""What STAC Items say of their bands, radiometry and CRS."""

from __future__ import annotations

import json
import math
import sys
import warnings

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine

import xr_sr
from xr_sr.errors import CatalogError, MissingBandError, OptionError, RadiometryError, RadiometryWarning
from xr_sr.io.stac.items import ItemSource, bands_in, boa_add_offset, counted, epsg_of, meaning_of, sources_of
from xr_sr.io.stac.search import read_items

REAL = {
    "cdse_S2B_MSIL2A_20200322T074609_N0500_R135_T36NYH_20230612T214223": (-1000, 5.0, 32636),
    "cdse_S2C_MSIL2A_20260527T014651_N0512_R017_T55WFR_20260527T042005": (-1000, 5.12, 32655),
    "earthsearch_v0_S2A_28QCH_20200714_0_L2A": (0, 2.14, 32628),
    "earthsearch_v1_S2A_13TDE_20231008_0_L2A": (0, 5.09, 32613),
    "earthsearch_v1_S2A_29RKH_20200219_0_L2A": (0, 2.14, 32629),
    "earthsearch_v1_S2B_20EPT_20250731_0_L2A": (0, 5.11, 32720),
    "earthsearch_v1_c1_S2B_T20EPT_20250731T131905_L2A": (-1000, 5.11, 32720),
    "pc_S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531": (0, 2.12, 32606),
    "pc_S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext": (0, 2.12, 32606),
    "pc_S2B_MSIL2A_20240419T095549_R122_T47XML_20240419T123458": (-1000, 5.1, 32647),
    "stactools_S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857": (0, 2.12, 32707),
    "stactools_S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_20230822T021825": (-1000, 5.09, 32701),
    "stactools_S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126": (-1000, 4.0, 32633),
}
"""Offset of the pixels as the catalogue documents them, baseline, CRS."""


@pytest.fixture(params=REAL)
def real(request, shared):
    text = (shared / "data" / "stac" / f"{request.param}.json").read_text(encoding="utf-8")
    return pystac.Item.from_dict(json.loads(text)), REAL[request.param]


def item(**properties: object) -> pystac.Item:
    """A small item with a red band."""
    when = pystac.utils.str_to_datetime("2023-06-01T10:00:00Z")
    made = pystac.Item("ITEM", None, [12.0, 50.0, 13.0, 51.0], when, properties)
    made.add_asset("red", pystac.Asset("red.tif", media_type="image/tiff"))
    return made


def test_there_are_thirteen(shared):
    assert {path.stem for path in (shared / "data" / "stac").glob("*.json")} == REAL.keys()


def test_the_offset_is_the_right_one_and_nothing_is_said(real):
    found, (offset, baseline, _) = real

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meaning = meaning_of(found)

    assert meaning.offset == boa_add_offset(found) == offset
    assert meaning.baseline == pytest.approx(baseline)


def test_each_band_is_found_at_its_native_size(real):
    found, (_, _, epsg) = real

    names = bands_in(found)
    sources = sources_of(found, names)

    assert set(names) >= {"B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL"}
    for band, size in (("B04", 10), ("B11", 20), ("SCL", 20)):
        shape = found.assets[sources[band].asset].extra_fields.get("proj:shape")
        assert shape == [109_800 // size] * 2
    assert epsg_of(found) == f"EPSG:{epsg}"


def test_a_lazy_cube_is_built_without_reading_anything(real, monkeypatch):
    found, (offset, _, epsg) = real

    class Library:
        @staticmethod
        def sign_url(href: str) -> str:
            return href + "?sig=none"

    monkeypatch.setitem(sys.modules, "planetary_computer", Library)
    west, south, east, north = found.bbox
    middle = [(west + east) / 2, (south + north) / 2]
    if east < west:
        middle[0] -= 180
    found.set_self_href(f"https://catalogue.example/{found.id}.json")  # some have relative addresses
    bbox = [middle[0], middle[1], middle[0] + 0.02, middle[1] + 0.01]

    tree = xr_sr.load(found, bbox=bbox, bands=["B03", "B11", "SCL"])

    assert tree["r10m/B03"].chunks is not None
    assert tree["r10m"]["boa_add_offset"].values.tolist() == [offset]
    assert tree["r10m"].to_dataset().odc.geobox == tree["r20m"].to_dataset().odc.geobox.zoom_out(0.5)
    assert tree["r20m"].to_dataset().odc.geobox.crs.epsg == epsg
    assert tree.sr.index("MNDWI", grid="fine").chunks is not None


class TestContradictions:
    def test_without_anything_it_is_an_error_with_the_way_out(self):
        with pytest.raises(RadiometryError, match=r"ITEM: no processing baseline.*Pass offset=-1000"):
            meaning_of(item())

    def test_what_the_user_says_counts(self):
        meaning = meaning_of(item(), offset=-1000)

        assert meaning.offset == -1000 and math.isnan(meaning.baseline)

    def test_a_baseline_in_the_name_of_the_product_is_read(self):
        name = "S2B_MSIL2A_20240419T095549_N0510_R122_T47XML_20240419T123458.SAFE"

        assert meaning_of(item(**{"s2:product_uri": name})).offset == -1000

    def test_assets_that_contradict_the_baseline_are_named(self):
        made = item(**{"s2:processing_baseline": "05.09"})
        made.assets["red"].extra_fields["raster:bands"] = [{"scale": 0.0001, "offset": 0.0}]

        with pytest.warns(RadiometryWarning, match=r"05\.09 .*-1000 DN"):
            assert meaning_of(made).offset == -1000

    def test_assets_alone_are_believed(self):
        made = item()
        made.assets["red"].extra_fields |= {"raster:scale": 0.0001, "raster:offset": -0.1}

        assert meaning_of(made).offset == -1000

    def test_a_local_run_of_the_processor_tells_nothing(self):
        with pytest.raises(RadiometryError):
            meaning_of(item(**{"s2:processing_baseline": "99.99"}))


def test_relative_addresses_without_a_home_are_refused():
    made = item(**{"s2:processing_baseline": "05.09", "proj:epsg": 32633})

    with pytest.raises(CatalogError, match="set_self_href"):
        xr_sr.load(made)


def test_a_collection_of_features_is_read_and_what_is_none_is_refused(shared):
    found = json.loads((shared / "data" / "stac" / f"{next(iter(REAL))}.json").read_text(encoding="utf-8"))

    assert [item.id for item in read_items({"type": "FeatureCollection", "features": [found]})] == [found["id"]]
    with pytest.raises(OptionError, match="Item"):
        read_items({"type": "Feature"})


@pytest.mark.parametrize(("scale", "offset"), [(0.0, -0.1), (1e-4, math.nan), (1e-4, math.inf), (1e-4, -1000.0)])
def test_a_scale_or_an_offset_that_cannot_be_is_refused_by_its_item_and_does_not_count_beside_a_baseline(scale, offset):
    untold, told = item(), item(**{"s2:processing_baseline": "05.09"})
    for each in (untold, told):
        each.assets["red"].extra_fields["raster:bands"] = [{"scale": scale, "offset": offset}]

    with pytest.raises(RadiometryError, match="ITEM: raster:bands declare .* the offset"):
        meaning_of(untold)
    with pytest.warns(RadiometryWarning, match=r"05\.09"):
        assert meaning_of(told).offset == -1000
    assert meaning_of(untold, offset=0).offset == 0


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


def asset_item(
    fields: dict, *, key: str = "data", href: str = "https://store.example/data.tif", **more: dict
) -> pystac.Item:
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
    made = asset_item(LISTS[how], href=file)

    node = xr_sr.load(made, bbox=BOX, bands=["B08", "B03", "B04", "B02"])["r10m"]

    found = {name: int(node[name].max()) for name in node.data_vars}
    assert found == {"B08": 1400, "B03": 1200, "B04": 1100, "B02": 1300}
    assert node["boa_add_offset"].values.tolist() == [-1000]


@pytest.mark.parametrize("how", LISTS)
def test_all_bands_of_the_asset_are_loaded_by_default(how):
    assert bands_in(asset_item(LISTS[how])) == ["B02", "B03", "B04", "B08"]


def test_the_offset_is_read_in_the_list_of_bands():
    made = asset_item({"bands": [{"name": name, "raster:scale": 1e-4, "raster:offset": -0.1} for name in NAMES]})
    del made.properties["s2:processing_baseline"]

    assert meaning_of(made).offset == -1000


def test_an_asset_of_one_band_comes_before_one_of_several_and_a_key_before_both():
    one = {"eo:bands": [{"name": "B04"}]}

    sources = sources_of(asset_item(LISTS["eo:bands of STAC 1.0"], B03={}, single=one), ["B02", "B03", "B04"])

    assert sources == {"B02": ItemSource("data", 3, 4), "B03": ItemSource("B03"), "B04": ItemSource("single")}


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
        sources_of(asset_item(LISTS["eo:bands of STAC 1.0"] | fields, key=key), ["B04"])


def test_a_real_item_without_its_red_asset_does_not_take_red_from_the_picture(shared):
    for path in sorted((shared / "data" / "stac").glob("*.json")):
        found = pystac.Item.from_dict(json.loads(path.read_text(encoding="utf-8")))
        source = sources_of(found, ["B04"])["B04"]
        del found.assets[source.asset]

        with pytest.raises(MissingBandError, match="B04"):
            sources_of(found, ["B04"])


def test_a_missing_band_is_named_before_an_unknown_offset():
    made = asset_item(LISTS["bands of STAC 1.1"])
    del made.properties["s2:processing_baseline"]

    with pytest.raises(MissingBandError, match=r"no asset for 'B11'.*'data' \(bands B04, B03, B02, B08\)"):
        xr_sr.load(made, bbox=BOX, bands=["B11"])


def test_the_item_itself_is_left_as_it_was():
    made = asset_item(LISTS["eo:bands of STAC 1.0"])
    before = made.to_dict()

    assert counted(made, sources_of(made, ["B02"])) is not made
    assert made.to_dict() == before
