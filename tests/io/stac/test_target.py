"""Where to load, as odc-stac has it: geopolygon, geobox, like, resolution; groups of items; and grids that nest."""

from __future__ import annotations

import numpy as np
import odc.stac
import pyproj
import pystac
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, box
from odc.geo.xr import xr_zeros

import xr_sr
from tests.io.stac.server import CRS, NORTH, WEST, Scene, serve
from xr_sr.errors import CatalogError, GeoreferenceWarning, GridError, OptionError, XrSrError
from xr_sr.io.stac.target import area_around, grids_of, read_area, read_form

DAY = "2021-07-01"
PAIR = (Scene(0, f"{DAY}T10:00:00Z", "03.01"), Scene(1, f"{DAY}T10:00:14Z", "03.01", cloud=40.0))
LATER = Scene(0, "2021-07-11T10:00:00Z", "03.01")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with serve([*PAIR, LATER], tmp_path_factory.mktemp("cogs")) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        yield running


@pytest.fixture
def items(api):
    api.queries.clear()
    return [pystac.Item.from_dict(each) for each in api.items]


def utm(west: float, south: float, east: float, north: float) -> Geometry:
    """A rectangle in meters, counted from the north-west corner of tile 0, east and down."""
    return box(WEST + west, NORTH - south, WEST + east, NORTH - north, CRS)


INSIDE = utm(205, 805, 695, 195)
GRID = GeoBox.from_bbox(utm(200, 800, 700, 200).boundingbox, resolution=10)
BOTH = GeoBox.from_bbox(utm(1000, 800, 1500, 200).boundingbox, resolution=10)
"""Of both tiles."""


def degrees(shape: Geometry) -> Geometry:
    return shape.to_crs("EPSG:4326")


class TestOneArea:
    @pytest.mark.parametrize("other", ["geopolygon", "geobox", "like"])
    def test_two_ways_to_say_where_are_refused(self, items, other):
        values = {"geopolygon": INSIDE, "geobox": GRID, "like": GRID}

        with pytest.raises(OptionError, match=f"bbox=, {other}="):
            xr_sr.load(items, bbox=(12, 50, 13, 51), **{other: values[other]})

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"geobox": "EPSG:32633"}, OptionError, "GeoBox"),
            ({"geobox": GeoBox((4, 4), GRID.affine, None)}, GridError, "no CRS"),
            ({"like": 3}, OptionError, "like= is a int.*DataArray"),
            ({"like": xr.Dataset({"a": ("t", [1])})}, GridError, "like= has no grid"),
            ({"geopolygon": "POLYGON"}, OptionError, "geopolygon= is a str.*GeoJSON"),
            ({"geopolygon": {"type": "Polygon", "coordinates": "x"}}, OptionError, "cannot be read"),
            ({"geopolygon": {"type": "FeatureCollection", "features": []}}, OptionError, "GeoJSON"),
            ({"geopolygon": shapely.Polygon()}, OptionError, "empty"),
            ({"geobox": GRID, "crs": "EPSG:32633"}, OptionError, "crs='EPSG:32633': geobox= and like= say"),
            ({"like": GRID, "resolution": 10}, OptionError, "resolution=10"),
            ({"like": GRID, "grid": 10}, OptionError, "grid=10"),
            ({"geopolygon": INSIDE, "grid": 10, "resolution": 10}, OptionError, "pass one"),
            ({"resolution": -10}, OptionError, "above 0"),
            ({"resolution": True}, OptionError, "above 0"),
            ({"resolution": (10, 10)}, OptionError, "geobox="),
            ({"geopolygon": INSIDE, "crs": "EPSG:4326"}, GridError, "resolution="),
            ({"geopolygon": INSIDE, "crs": "moon", "resolution": 1}, GridError, "crs='moon'"),
            ({"groupby": "orbit"}, OptionError, "no item has this property.*'datetime'"),
            ({"groupby": 4}, OptionError, "function"),
            ({"query": {"a": {"eq": 1}}}, OptionError, "query= is for a search"),
            ({"filter": "a=1", "datetime": "2021"}, OptionError, "datetime= and filter= are for a search"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_meant_is_refused(self, items, options, error, words):
        with pytest.raises(error, match=words):
            xr_sr.load(items, bands=["B04"], **options)

    @pytest.mark.parametrize(
        "option",
        ["bands", "cloud_cover", "offset", "grid", "resolution", "crs", "groupby", "chunks", "catalogue", "query"],
    )
    @pytest.mark.parametrize(
        "value", [5.5j, b"x", np.array([1, 2]), {"a": 1}, object()], ids=lambda odd: type(odd).__name__
    )
    def test_odd_values_are_one_error_of_ours(self, items, option, value):
        search = option in ("catalogue", "query")
        options = {"datetime": DAY, "catalogue": "http://127.0.0.1:9/"} if search else {"items": items}

        with pytest.raises(XrSrError):
            xr_sr.load(**options | {"geopolygon": INSIDE, option: value})

    @pytest.mark.parametrize(
        "broken",
        [
            {"bbox": [1]},
            {"bbox": ["a", "b", "c", "d"]},
            {"geometry": {"type": "Polygon"}},
            {"properties": {"proj:epsg": 7, "datetime": "2021-07-01T00:00:00Z", "s2:processing_baseline": "05.09"}},
        ],
    )
    def test_an_item_that_cannot_be_read_is_one_error_of_ours(self, api, broken):
        with pytest.raises(XrSrError):
            xr_sr.load({**api.items[0], **broken}, bands=["B04"])

    @pytest.mark.parametrize("crs", ["epsg:32633", 32633, pyproj.CRS(32633)])
    def test_a_crs_is_the_same_however_it_is_written(self, items, crs):
        """Without a warning that pixels are resampled."""
        tree = xr_sr.load(items, geopolygon=INSIDE, bands=["B04"], crs=crs)

        assert tree["r10m"].to_dataset().odc.crs == CRS


class TestPolygon:
    def forms(self) -> dict[str, object]:
        shape = degrees(INSIDE)
        return {
            "odc-geo": shape,
            "odc-geo in meters": INSIDE,
            "shapely": shape.geom,
            "geometry": shape.json,
            "feature": {"type": "Feature", "properties": {}, "geometry": shape.json},
            "features": {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": shape.json}] * 2},
            "collection": {"type": "GeometryCollection", "geometries": [shape.json]},
        }

    def test_each_form_of_a_polygon_gives_the_grid_around_it(self, items):
        for name, shape in self.forms().items():
            tree = xr_sr.load(items, geopolygon=shape, bands=["B04", "B11"])
            fine = tree["r10m"].to_dataset().odc.geobox

            assert fine.boundingbox.bbox == (WEST + 200, NORTH - 820, WEST + 700, NORTH - 180), name
            assert fine == tree["r20m"].to_dataset().odc.geobox.zoom_out(0.5)

    def test_items_that_meet_the_box_and_not_the_polygon_are_left_out(self, api):
        def polygon(*points: tuple[float, float]) -> Geometry:
            ring = [(WEST + x, NORTH + y) for x, y in (*points, points[0])]
            return Geometry({"type": "Polygon", "coordinates": [ring]}, CRS)

        around = polygon((100, -1270), (100, -10), (2500, -10), (2500, 5000), (-50, 5000), (-50, -1270))
        slope = polygon((-3000, 100), (1000, -900), (1500, 3000))
        where = {"datetime": f"{DAY}T00:00:00Z/{DAY}T23:59:59Z", "catalogue": api.url, "bands": ["B04"]}

        for shape, tiles in ((around, 2), (slope, 1)):
            node = xr_sr.load(geopolygon=shape, **where)["r10m"]
            assert len(str(node.source_items.values[0]).split()) == tiles
        with pytest.raises(CatalogError, match="none of 3 items meets"):
            xr_sr.load([pystac.Item.from_dict(each) for each in api.items], geopolygon=utm(9000, 9900, 9900, 9000))

    def test_a_polygon_across_the_antimeridian_has_a_narrow_box(self):
        cut = {"type": "MultiPolygon", "coordinates": [
            [[[179.5, -17], [180, -17], [180, -16], [179.5, -16], [179.5, -17]]],
            [[[-180, -17], [-179.5, -17], [-179.5, -16], [-180, -16], [-180, -17]]]]}  # fmt: skip
        zone = box(818_000, 8_110_000, 825_000, 8_118_000, "EPSG:32760")

        assert read_area(geopolygon=cut).box == (179.5, -17, 180.5, -16)
        west, _, east, _ = read_area(geopolygon=zone).box
        assert 179.9 < west < 180 < east < 180.1
        assert read_area(geobox=GeoBox.from_bbox(zone.boundingbox, resolution=10)).box == pytest.approx(
            read_area(geopolygon=zone).box, abs=1e-5
        )


class TestGivenGrid:
    @pytest.mark.parametrize("name", ["geobox", "like GeoBox", "like array", "like dataset"])
    def test_one_dataset_on_exactly_that_grid_as_odc_stac_gives(self, items, name):
        like = {
            "like GeoBox": GRID,
            "like array": xr_zeros(GRID),
            "like dataset": xr_zeros(GRID).to_dataset(name="B04"),
        }
        options = {"like": like[name]} if name in like else {"geobox": GRID}

        found = xr_sr.load(items, bands=["B04", "B11"], **options)

        theirs = odc.stac.load(
            items, bands=["red", "swir16"], geobox=GRID, groupby="solar_day", dtype="uint16", nodata=0
        )
        assert found.odc.geobox == GRID
        np.testing.assert_array_equal(found["B04"], theirs["red"])
        np.testing.assert_array_equal(found["B11"], theirs["swir16"])

    def test_like_a_tree_gives_the_same_tree(self, items):
        first = xr_sr.load(items, geopolygon=INSIDE, bands=["B04", "B11"])

        again = xr_sr.load(items, like=first, bands=["B08", "SCL"])

        for node in ("r10m", "r20m"):
            assert again[node].to_dataset().odc.geobox == first[node].to_dataset().odc.geobox

    @pytest.mark.parametrize("size", [10, 20])
    def test_a_tree_nests_in_the_grid_on_request(self, items, size):
        geobox = GeoBox.from_bbox(utm(200, 800, 700, 200).boundingbox, resolution=size)

        tree = xr_sr.load(items, geobox=geobox, grid="native", bands=["B04", "B11"])

        assert tree[f"r{size}m"].to_dataset().odc.geobox == geobox
        assert tree["r10m"].to_dataset().odc.geobox == tree["r20m"].to_dataset().odc.geobox.zoom_out(0.5)

    @pytest.mark.parametrize("extent", [utm(200, 800, 710, 200), utm(210, 800, 710, 200)])
    def test_a_grid_that_cuts_pixels_of_20_m_is_refused_until_it_is_snapped(self, items, extent):
        geobox = GeoBox.from_bbox(extent.boundingbox, resolution=10)

        with pytest.raises(GridError, match=r"snap_geobox\(geobox, 20\)"):
            xr_sr.load(items, geobox=geobox, grid="native", bands=["B04"])
        tree = xr_sr.load(items, geobox=xr_sr.snap_geobox(geobox, 20), grid="native", bands=["B04", "B11"])
        assert tree["r10m"].to_dataset().odc.geobox == xr_sr.snap_geobox(geobox, 20)

    @pytest.mark.parametrize("resolution", [30, 15.5])
    def test_no_tree_in_other_pixels(self, items, resolution):
        geobox = GeoBox.from_bbox(INSIDE.boundingbox, resolution=resolution)

        with pytest.raises(GridError, match="Leave out grid='native'"):
            xr_sr.load(items, geobox=geobox, grid="native")

    def test_a_grid_between_the_pixels_warns(self, items):
        with pytest.warns(GeoreferenceWarning, match="pixels of 10 m"):
            xr_sr.load(items, geobox=GRID.translate_pix(0.3, 0), bands=["B04"])

    def test_a_grid_in_degrees_is_filled_with_a_warning(self, items):
        geobox = GeoBox.from_bbox(degrees(INSIDE).boundingbox, resolution=1e-4)

        with pytest.warns(GeoreferenceWarning, match="are resampled from .* to EPSG:4326"):
            found = xr_sr.load(items, geobox=geobox, bands=["B04"])

        assert found.odc.geobox == geobox and int(found["B04"].min()) > 0


class TestResolution:
    @pytest.mark.parametrize("resolution", [30, 60, 100])
    def test_other_pixels_are_those_of_odc_stac(self, items, resolution):
        found = xr_sr.load(items, geopolygon=INSIDE, resolution=resolution, bands=["B04", "B11"])

        theirs = odc.stac.load(items, bands=["red", "swir16"], geopolygon=INSIDE, resolution=resolution, crs=CRS,
                               groupby="solar_day", dtype="uint16", nodata=0)  # fmt: skip
        assert found.odc.geobox == theirs.odc.geobox
        np.testing.assert_array_equal(found["B11"], theirs["swir16"])

    @pytest.mark.parametrize("size", [10, 20])
    def test_ten_and_twenty_metres_are_those_of_grid(self, items, size):
        by_grid, by_resolution = (
            xr_sr.load(items, geopolygon=INSIDE, bands=["B04", "B11"], **{name: size})
            for name in ("grid", "resolution")
        )

        assert by_grid.odc.geobox == by_resolution.odc.geobox
        xr.testing.assert_identical(by_grid, by_resolution)

    def test_the_unit_is_that_of_the_crs(self, items):
        with pytest.warns(GeoreferenceWarning):
            found = xr_sr.load(items, geopolygon=INSIDE, resolution=2e-4, crs="EPSG:4326", bands=["B04"])

        assert found.odc.geobox.resolution.x == pytest.approx(2e-4) and found.odc.crs == "EPSG:4326"


class TestGroupby:
    @pytest.mark.parametrize(
        "by",
        ["solar_day", "time", "id", "grid:code", lambda item, parsed, index: index // 2,
         lambda item, parsed, index: parsed.nominal_datetime.day],
    )  # fmt: skip
    def test_groups_are_those_of_odc_stac(self, items, by):
        found = xr_sr.load(items, geobox=BOTH, bands=["B04"], groupby=by)

        theirs = odc.stac.load(items, bands=["red"], geobox=BOTH, groupby=by, chunks={})
        assert found.sizes["time"] == theirs.sizes["time"]
        assert found.indexes["time"].is_unique
        ours, others = (np.sort(array.sum(("y", "x"))) for array in (found["B04"], theirs["red"]))  # ours are by time
        np.testing.assert_array_equal(ours, others)

    @pytest.mark.parametrize(("by", "dates"), [(None, 1), ("time", 1), ("id", 2), ("name", 2)])
    def test_versions_collapse_where_items_are_grouped_by_overpass(self, api, by, dates):
        old = api.items[0]
        new = {**old, "id": "new", "properties": {**old["properties"], "name": "new"}}

        found = xr_sr.load([old, new], geobox=GRID, bands=["B04"], groupby=by)

        assert found.sizes["time"] == dates

    def test_a_group_never_mixes_offsets(self, api):
        raw = {**api.items[1], "properties": {**api.items[1]["properties"], "s2:processing_baseline": "05.09"}}

        found = xr_sr.load([api.items[0], raw], geobox=BOTH, bands=["B04"], groupby=lambda item, parsed, index: 0)

        assert sorted(found["boa_add_offset"].values.tolist()) == [-1000, 0]


class TestSearch:
    @pytest.mark.parametrize("query", [{"eo:cloud_cover": {"lt": 20}}, ["eo:cloud_cover<20"]])
    def test_a_query_limits_the_search(self, api, query):
        day = {"datetime": f"{DAY}T00:00:00Z/{DAY}T23:59:59Z", "catalogue": api.url, "bands": ["B04"]}

        both, one = (xr_sr.load(geobox=BOTH, query=each, **day) for each in (None, query))

        assert [len(str(each.source_items.values[0]).split()) for each in (both, one)] == [2, 1]

    def test_query_and_filter_arrive_as_pystac_client_sends_them(self, api, items):
        filters = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}
        where = {"geobox": GRID, "datetime": DAY, "catalogue": api.url, "bands": ["B04"]}

        xr_sr.load(**where, query=["eo:cloud_cover<=90", "platform=sentinel-2a"], filter=filters)

        sent = api.queries[0]
        assert sent["query"] == {"eo:cloud_cover": {"lte": 90}, "platform": {"eq": "sentinel-2a"}}
        assert sent["filter"] == filters
        assert sent["bbox"] == pytest.approx(list(GRID.geographic_extent.boundingbox.bbox), abs=1e-4)

    @pytest.mark.parametrize("wrong", [{"query": "cloud<20"}, {"query": 3}, {"filter": 3}])
    def test_what_is_no_query_is_refused(self, api, wrong):
        with pytest.raises(OptionError, match="expected"):
            xr_sr.load(geobox=GRID, datetime=DAY, catalog=api.url, **wrong)


@settings(max_examples=30, deadline=None)
@given(
    lon=st.floats(12.01, 17.5), lat=st.floats(-70, 70), width=st.floats(0.001, 0.5), height=st.floats(0.001, 0.3),
    zone=st.sampled_from(["EPSG:32633", "EPSG:32632", "EPSG:3035"]), wide=st.booleans(),
)  # fmt: skip
def test_native_grids_nest_and_cover_the_box(lon, lat, width, height, zone, wide):
    bands = ["B04", "B11", *(["B01"] if wide else [])]
    if zone == "EPSG:3035":
        lat = 35 + abs(lat) / 3
    area = area_around((lon, lat, lon + width, lat + height))

    grids = grids_of(read_form(None, None, None, area, None), area, zone, bands)

    boxes = {name: geobox for name, (geobox, _) in grids.items()}
    assert list(boxes) == ["r10m", "r20m", "r60m"][: len(bands)]
    coarsest = boxes[list(boxes)[-1]]
    size = 60 if wide else 20
    assert coarsest.affine.c % size == 0 and coarsest.affine.f % size == 0
    for name, ratio in (("r10m", size // 10), ("r20m", size // 20)):
        assert boxes[name].affine.c == coarsest.affine.c and boxes[name].affine.f == coarsest.affine.f
        assert boxes[name].shape == (coarsest.shape.y * ratio, coarsest.shape.x * ratio)
        assert boxes[name].resolution.x == size / ratio
    inner = area.shape.to_crs(zone, resolution=width / 50)
    assert coarsest.extent.buffer(5).contains(inner)


class TestCrsOfGeoJson:
    @staticmethod
    def geojson(shape: Geometry, kind: str, crs: object) -> dict:
        member = {} if crs is None else {"crs": crs}
        feature = {"type": "Feature", "properties": {}, "geometry": shape.json}
        return {
            "geometry": {**shape.json, **member},
            "feature": {**feature, **member},
            "collection": {"type": "FeatureCollection", "features": [feature], **member},
            "in a feature": {"type": "FeatureCollection", "features": [{**feature, **member}]},
        }[kind]

    @pytest.mark.parametrize("kind", ["geometry", "feature", "collection", "in a feature"])
    @pytest.mark.parametrize("name", ["urn:ogc:def:crs:EPSG::32633", "EPSG:32633"])
    def test_the_member_crs_is_read(self, kind, name):
        shape = box(600_000, 5_790_000, 610_000, 5_800_000, "EPSG:32633")
        given = self.geojson(shape, kind, {"type": "name", "properties": {"name": name}})

        area = read_area(geopolygon=given)

        assert area.shape.crs == "EPSG:32633"
        np.testing.assert_allclose(area.box, read_area(geopolygon=shape).box)

    @pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326"])
    def test_degrees_by_name_are_degrees(self, name):
        shape = box(12.0, 52.0, 13.0, 53.0, "EPSG:4326")
        crs = {"type": "name", "properties": {"name": name}}

        assert read_area(geopolygon=self.geojson(shape, "geometry", crs)).box == (12.0, 52.0, 13.0, 53.0)

    @pytest.mark.parametrize(
        ("sides", "crs", "said"),
        [
            ((600_000, 5_790_000, 610_000, 5_800_000), None, "expected longitudes and latitudes"),
            ((12, 52, 13, 91), None, "y=52 to 91"),
            ((-361, 52, 13, 53), None, "x=-361 to 13"),
            ((12, 52, 13, 53), {"type": "name", "properties": {"name": "nowhere"}}, "member crs"),
            ((12, 52, 13, 53), {"type": "link", "properties": {"href": "there"}}, "member crs"),
        ],
    )
    def test_what_is_no_place_is_refused_before_a_search(self, sides, crs, said):
        shape = box(*sides, "EPSG:4326")

        with pytest.raises(OptionError, match=said):
            read_area(geopolygon=self.geojson(shape, "geometry", crs))
        if crs is None:
            with pytest.raises(OptionError, match=said):
                read_area(geopolygon=shapely.box(*sides))
