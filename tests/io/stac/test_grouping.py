"""Dates of a cube: versions of an acquisition collapse, its parts stay, and an overpass is one date."""

from __future__ import annotations

import json
import re
import warnings
from datetime import datetime

import numpy as np
import pystac
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

import xr_sr
from xr_sr.errors import CatalogWarning
from xr_sr.io.stac.grouping import group, newest_versions, solar_day, tile_of
from xr_sr.io.stac.items import Meaning, meaning_of

WHOLE = (12.0, 50.0, 13.0, 51.0)
NORTH, SOUTH = (12.0, 50.48, 13.0, 51.0), (12.0, 50.0, 13.0, 50.52)
KEYS = ("s2:datastrip_id", "eopf:datastrip_id", "other:datastrip_id")
FIRST, SECOND = "20230601T095959", "20230601T100412"


def item(
    name: str = "a",
    *,
    key: str = "",
    began: str = FIRST,
    made: str = "20230601T120000",
    box: tuple[float, ...] = WHOLE,
    when: str = "2023-06-01T10:00:00Z",
    **properties: object,
) -> pystac.Item:
    """An item of tile 33UUU; with `key`, the property that names its data strip."""
    strip = {key: f"S2A_OPER_MSI_L2A_DS_2APS_{made}_S{began}_N05.09"} if key else {}
    common = {"grid:code": "MGRS-33UUU", "platform": "sentinel-2a", "processing:datetime": made}
    return pystac.Item(name, None, list(box), pystac.utils.str_to_datetime(when), {**common, **strip, **properties})


def kept(*items: pystac.Item, baselines: tuple[float, ...] | None = None) -> list[str]:
    meanings = {
        id(each): Meaning(0.0, baseline, "test")
        for each, baseline in zip(items, baselines or (5.09,) * len(items), strict=True)
    }
    return [each.id for each in newest_versions(items, meanings)]


class TestVersionsAndParts:
    @pytest.mark.parametrize("key", KEYS)
    def test_strips_that_began_at_different_moments_are_parts(self, key):
        assert kept(item("a", key=key), item("b", key=key, began=SECOND)) == ["a", "b"]

    @pytest.mark.parametrize("key", [*KEYS, "strip"])
    def test_versions_of_a_strip_collapse_to_the_newest(self, key):
        old, new = item("b", key=key), item("a", key=key, made="20240101T000000")

        assert kept(old, new) == kept(new, old) == ["a"]

    def test_a_newer_baseline_counts_more_than_a_later_run(self):
        old, new = item("a", key=KEYS[0], made="20240101T000000"), item("b", key=KEYS[0])

        assert kept(old, new, baselines=(2.14, 5.0)) == ["b"]

    def test_two_versions_of_two_strips(self):
        items = [item(f"{began}{made}", key=KEYS[0], began=began, made=made)
                 for began in (FIRST, SECOND) for made in ("20230601T120000", "20240101T000000")]  # fmt: skip

        assert kept(*items) == [f"{FIRST}20240101T000000", f"{SECOND}20240101T000000"]

    @pytest.mark.parametrize("key", ["", "strip"])
    def test_where_no_known_property_names_the_strip_both_are_kept_with_a_warning(self, key):
        with pytest.warns(CatalogWarning, match="s2:datastrip_id"):
            assert kept(item("a", key=key), item("b", key=key, began=SECOND)) == ["a", "b"]

    def test_separate_footprints_are_parts_without_a_warning(self):
        assert kept(item("a", box=NORTH), item("b", box=SOUTH)) == ["a", "b"]
        assert kept(item("a", box=NORTH), item("b", box=SOUTH), baselines=(2.14, 5.0)) == ["a", "b"]

    def test_equal_footprints_of_two_baselines_are_versions_and_a_warning_says_so(self):
        with pytest.warns(CatalogWarning, match="a newer baseline"):
            assert kept(item("a"), item("b"), baselines=(2.14, 5.0)) == ["b"]

    def test_half_of_a_footprint_is_no_version_of_the_whole(self):
        with pytest.warns(CatalogWarning, match="all are kept"):
            assert kept(item("a", box=NORTH), item("b"), baselines=(2.14, 5.0)) == ["a", "b"]

    def test_an_item_that_was_handed_in_twice_counts_once(self):
        one = item()

        assert [each.id for each in newest_versions([one, one], {id(one): Meaning(0.0, 5.09, "")})] == ["a"]
        assert kept(one, item(updated="2024-01-01T00:00:00Z")) == ["a"]

    def test_other_satellites_passes_and_tiles_are_no_versions(self):
        items = [
            item("a"),
            item("b", platform="sentinel-2c", when="2023-06-01T10:00:30Z"),
            item("c", when="2023-06-01T11:40:00Z"),
            item("d", **{"grid:code": "MGRS-33UVU"}),
        ]

        assert kept(*items) == ["a", "b", "c", "d"]

    def test_moments_that_differ_by_a_fraction_of_a_second_are_one_acquisition(self):
        """Cut to whole seconds, these two would be different ones."""
        one = item("a", key=KEYS[0], when="2023-06-01T10:00:00.999Z")
        other = item("b", key=KEYS[0], when="2023-06-01T10:00:01.001Z", made="20240101T000000")

        assert kept(one, other) == ["b"]

    @pytest.mark.parametrize(
        ("name", "properties"),
        [
            ("S2A_MSIL2A_20230601T095959_N0509_R022_T03UUU_20230601T120000", {}),
            ("S2A_3UUU_20230601_0_L2A", {}),
            ("x", {"s2:mgrs_tile": "03UUU"}),
            ("x", {"grid:code": "MGRS-3UUU"}),
            ("x", {"mgrs:utm_zone": 3, "mgrs:latitude_band": "U", "mgrs:grid_square": "UU"}),
            ("x", {"sentinel:utm_zone": 3, "sentinel:latitude_band": "U", "sentinel:grid_square": "UU"}),
        ],
    )
    def test_the_tile_is_found_under_the_names_of_each_catalogue(self, name, properties):
        assert tile_of(pystac.Item(name, None, [1, 2, 3, 4], datetime(2023, 6, 1), properties)) == "3UUU"

    def test_all_real_items_name_their_tile(self, shared):
        for path in (shared / "data" / "stac").glob("*.json"):
            found = pystac.Item.from_dict(json.loads(path.read_text(encoding="utf-8")))

            assert tile_of(found) in path.stem and len(tile_of(found)) in (4, 5)

    def test_a_real_item_and_its_reprocessing_are_versions_and_its_other_strip_a_part(self, shared):
        """Each as its catalogue writes it; `earthsearch_v0` does not name its strip."""
        for path in sorted((shared / "data" / "stac").glob("*.json")):
            text = path.read_text(encoding="utf-8")
            found = [pystac.Item.from_dict(json.loads(text)) for _ in range(3)]
            found[1].id, found[2].id = "newer", "part"
            for each in found[1:]:
                for key in ("processing:datetime", "s2:generation_time"):
                    if key in each.properties:
                        each.properties[key] = "2027-01-01T00:00:00Z"
            named = [key for key in found[2].properties if key.endswith("datastrip_id")]
            for key in named:
                name, count = re.subn(r"_S\d{8}T\d{6}_", "_S20200101T000000_", found[2].properties[key])
                assert count == 1
                found[2].properties[key] = name
            meanings = {id(each): meaning_of(each) for each in found}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if not named else "error")
                left = [each.id for each in newest_versions(found, meanings)]

            assert len(left) == (2 if named else 3) and "part" in left, path.stem


class TestDates:
    @pytest.mark.parametrize(
        ("bbox", "when", "day"),
        [
            ([12, 50, 13, 51], "2023-06-01T23:40:00Z", "2023-06-02"),
            ([150, -30, 151, -29], "2023-06-01T23:40:00Z", "2023-06-02"),
            ([-150, 60, -149, 61], "2023-06-01T01:00:00Z", "2023-05-31"),
            ([178.6, -17, -179.9, -16], "2023-06-01T22:19:00Z", "2023-06-02"),
        ],
    )
    def test_the_day_is_that_of_the_sun(self, bbox, when, day):
        assert solar_day(item(box=bbox, when=when)) == day

    def test_of_two_data_strips_both_parts_of_a_tile_are_kept(self):
        upper, lower, again = (
            item("upper", key="s2:datastrip_id"),
            item("lower", key="s2:datastrip_id", began=SECOND),
            item("again", key="s2:datastrip_id"),
        )
        meanings = {id(upper): Meaning(0, 5.09, ""), id(lower): Meaning(0, 5.09, ""), id(again): Meaning(0, 5.10, "")}

        groups = group([upper, lower, again], meanings)

        assert {each.id for one in groups for each in one.items} == {"lower", "again"}

    def test_times_are_unique_where_one_day_has_two_baselines(self):
        one, other = item("a"), item("b", **{"grid:code": "MGRS-33UVU"})
        meanings = {id(one): Meaning(0, 2.14, ""), id(other): Meaning(-1000, 5.09, "")}

        groups = group([one, other], meanings)

        assert len({each.stamp for each in groups}) == 2
        assert sorted(each.meaning.offset for each in groups) == [-1000, 0]

    def test_the_newest_of_what_may_be_versions_is_on_top(self):
        one, other = item("z"), item("a", made="20240101T000000")
        meanings = {id(each): Meaning(0, 5.09, "") for each in (one, other)}

        with pytest.warns(CatalogWarning):
            (only,) = group([one, other], meanings)

        assert [each.id for each in only.items] == ["a", "z"]

    @pytest.mark.parametrize("longitude", [179.9, -179.9, None])
    def test_an_overpass_across_the_antimeridian_is_one_date(self, longitude):
        east, west = (
            item(name, box=box, when=when, **{"grid:code": f"MGRS-{name}"})
            for name, box, when in (("60KYF", (178.9, -17.3, 179.9, -16.3), "2023-08-21T22:19:41Z"),
                                    ("01KBB", (-179.9, -17.3, -178.9, -16.3), "2023-08-21T22:19:55Z"))
        )  # fmt: skip
        meanings = {id(each): Meaning(0, 5.09, "") for each in (east, west)}

        assert len(group([east, west], meanings, longitude=longitude)) == 1

    def test_an_overpass_at_midnight_is_one_date(self):
        times = ("2023-06-01T23:59:50Z", "2023-06-02T00:00:04Z", "2023-06-02T23:59:50Z")
        items = [item(f"{place}", box=(-1, 80, 1, 81), when=when, **{"grid:code": f"MGRS-3{place}XVK"})
                 for place, when in enumerate(times)]  # fmt: skip
        meanings = {id(each): Meaning(0, 5.09, "") for each in items}

        groups = group(items, meanings, longitude=0.0)

        assert [len(each.items) for each in groups] == [2, 1]


class TestPixels:
    """Files on disk, so that it is seen which pixels come out."""

    def file(self, path, values: np.ndarray, west: float, north: float, crs: str) -> GeoBox:
        grid = GeoBox(values.shape, Affine(20, 0, west, 0, -20, north), crs)
        wrap_xr(values.astype("uint16"), grid, nodata=0).odc.write_cog(path, overview_levels=[])
        return grid

    def scene(self, path, name: str, grid: GeoBox, **properties: object) -> pystac.Item:
        shape = grid.footprint("EPSG:4326", wrapdateline=True)
        parts = [part.boundingbox for part in shape.geoms] or [shape.boundingbox]
        crossing = len(parts) > 1
        west = max(part.left for part in parts) if crossing else parts[0].left
        east = min(part.right for part in parts) if crossing else parts[0].right
        box = (west, min(part.bottom for part in parts), east, max(part.top for part in parts))
        made = item(
            name, box=box, **{"proj:code": f"EPSG:{grid.crs.epsg}", "s2:processing_baseline": "02.14"} | properties
        )
        made.geometry = json.loads(json.dumps(shape.json))
        fields = {"proj:shape": list(grid.shape), "proj:transform": list(grid.affine)[:6]}
        made.add_asset("B11", pystac.Asset(str(path), media_type="image/tiff", extra_fields=fields))
        return made

    def test_both_strips_of_a_tile_are_in_the_mosaic(self, tmp_path):
        whole = np.arange(1, 64 * 64 + 1).reshape(64, 64)
        items = []
        for name, rows, began in (("north", slice(0, 40), FIRST), ("south", slice(36, 64), SECOND)):
            part = np.zeros_like(whole)
            part[rows] = whole[rows]
            grid = self.file(tmp_path / f"{name}.tif", part, 600_000, 5_400_000, "EPSG:32633")
            strip = f"S2A_OPER_MSI_L2A_DS_2APS_20230601T120000_S{began}_N02.14"
            items.append(self.scene(tmp_path / f"{name}.tif", name, grid, **{"eopf:datastrip_id": strip}))

        b11 = xr_sr.load(items, bands=["B11"])["r20m/B11"]
        inside = b11.sel(x=slice(600_000, 601_280), y=slice(5_400_000, 5_398_720))

        assert b11.sizes["time"] == 1
        np.testing.assert_array_equal(inside.values[0], whole)

    @pytest.mark.parametrize("crs", [None, "EPSG:32660", "EPSG:32760"])
    def test_tiles_of_zones_60_and_1_join_across_the_antimeridian(self, tmp_path, crs):
        """DN grow by 1 for each 1e-5 degrees of longitude, so each pixel says where it is from."""
        items = []
        # Between the two tiles of zone 1 there is a gap, which that of zone 60 fills.
        places = (("01KAB", 32701, 178_000, 80), ("60KZF", 32760, 818_000, 110), ("01KAC", 32701, 180_600, 110))
        for name, code, west, columns in places:
            north, shape = 8_119_000, (100, columns)
            x = west + 20 * np.arange(shape[1]) + 10
            y = north - 20 * np.arange(shape[0]) - 10
            dn = np.round((self.degrees(*np.meshgrid(x, y), code)[0] - 179.9) * 1e5)
            assert dn.min() > 0 and dn.max() < 60_000
            grid = self.file(tmp_path / f"{name}.tif", dn, west, north, f"EPSG:{code}")
            items.append(self.scene(tmp_path / f"{name}.tif", name, grid, **{"grid:code": f"MGRS-{name}"}))
        box = (179.985, -17.005, -179.99, -16.995)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", xr_sr.errors.GeoreferenceWarning)
            b11 = xr_sr.load(items, bbox=box, bands=["B11"], crs=crs)["r20m/B11"]
        found = b11.values.astype(float)
        x, y = np.meshgrid(b11.x, b11.y)
        lon, lat = self.degrees(x, y, b11.odc.crs.epsg)
        inside = (lon > 179.985) & (lon < 180.01) & (lat > -17.005) & (lat < -16.995)

        assert b11.sizes["time"] == 1 and b11.odc.crs == (crs or "EPSG:32701")
        assert inside.mean() > 0.9 and b11.sizes["x"] < 200
        # Half a pixel of 20 m, as nearest neighbor may be off, is 9.4e-5 degrees.
        assert np.abs(found[0][inside] - (lon[inside] - 179.9) * 1e5).max() < 15

    def degrees(self, x: np.ndarray, y: np.ndarray, code: int) -> tuple[np.ndarray, np.ndarray]:
        from pyproj import Transformer

        lon, lat = Transformer.from_crs(code, 4326, always_xy=True).transform(x, y)
        return lon % 360, lat
