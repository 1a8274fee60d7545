"""Thirteen real items of five catalogues: offset, bands; and what is done where they contradict themselves."""

from __future__ import annotations

import json
import math
import sys
import warnings

import pystac
import pytest

import xr_sr
from xr_sr.errors import CatalogueError, OptionError, RadiometryError, RadiometryWarning
from xr_sr.io.stac.asking import read_items
from xr_sr.io.stac.assets import bands_in, sources_of
from xr_sr.io.stac.items import boa_add_offset, epsg_of, meaning_of

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

        with pytest.warns(RadiometryWarning, match="05.09 means an offset of -1000 DN"):
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

    with pytest.raises(CatalogueError, match="set_self_href"):
        xr_sr.load(made)


def test_a_collection_of_features_is_read_and_what_is_none_is_refused(shared):
    found = json.loads((shared / "data" / "stac" / f"{next(iter(REAL))}.json").read_text(encoding="utf-8"))

    assert [item.id for item in read_items({"type": "FeatureCollection", "features": [found]})] == [found["id"]]
    with pytest.raises(OptionError, match="no Item"):
        read_items({"type": "Feature"})


@pytest.mark.parametrize(("scale", "offset"), [(0.0, -0.1), (1e-4, math.nan), (1e-4, math.inf), (1e-4, -1000.0)])
def test_a_scale_or_an_offset_that_cannot_be_is_refused_by_its_item_and_does_not_count_beside_a_baseline(scale, offset):
    untold, told = item(), item(**{"s2:processing_baseline": "05.09"})
    for each in (untold, told):
        each.assets["red"].extra_fields["raster:bands"] = [{"scale": scale, "offset": offset}]

    with pytest.raises(RadiometryError, match="ITEM: raster:bands declare .* the offset"):
        meaning_of(untold)
    with pytest.warns(RadiometryWarning, match=r"The offset of its processing baseline 05\.09 is used"):
        assert meaning_of(told).offset == -1000
    assert meaning_of(untold, offset=0).offset == 0
