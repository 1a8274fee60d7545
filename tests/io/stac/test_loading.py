"""From a STAC API to a cube, over HTTP on this machine: grids, dates, offsets, failures, and the way on to a flood."""

from __future__ import annotations

import dataclasses
import os
import sys

import numpy as np
import pystac
import pystac_client
import pytest
import xarray as xr

import xr_sr
from tests.io.stac.server import ASSETS, CRS, NORTH, SIDE_M, WEST, Scene, geobox, serve, truth
from xr_sr.errors import (
    BandWarning,
    CatalogError,
    GridError,
    MissingBandError,
    MissingLibraryError,
    OptionError,
    RadiometryError,
    RadiometryWarning,
)
from xr_sr.io.stac.extents import read_box
from xr_sr.io.stac.search import Search, search

OLD = Scene(0, "2021-06-01T10:00:00Z", "03.01")
RAW = Scene(0, "2022-06-05T10:00:00Z", "04.00", added=1000, edge=True)
APPLIED = Scene(0, "2023-06-10T10:00:00Z", "05.09", applied=True)
CLOUDED = Scene(0, "2023-06-20T10:00:00Z", "05.09", added=1000, applied=False, cloud=60.0, cloudy=True)
MIXED = (Scene(0, "2024-06-15T10:00:00Z", "05.10", added=1000), Scene(1, "2024-06-15T10:00:00Z", "02.14"))
TWICE = (Scene(0, "2020-05-05T10:00:00Z", "02.14"), Scene(0, "2020-05-05T10:00:00Z", "05.00", added=1000))
PAIR = (Scene(0, "2021-07-01T10:00:00Z", "03.01"), Scene(1, "2021-07-01T10:00:14Z", "03.01"))
LYING = Scene(0, "2025-06-25T10:00:00Z", "05.11", added=1000, applied=True)
SCENES = [*TWICE, OLD, *PAIR, RAW, APPLIED, CLOUDED, *MIXED, LYING]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serve(SCENES, tmp_path_factory.mktemp("cogs")) as api:
        yield api


def box(west: float, south: float, east: float, north: float) -> list[float]:
    """A box in degrees inside a rectangle of meters, counted from the north-west corner of tile 0, east and down."""
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    x, y = np.array([west, east, east, west]) + WEST, NORTH - np.array([south, south, north, north])
    lon, lat = to_degrees.transform(x, y)
    return [max(lon[0], lon[3]), max(lat[0], lat[1]), min(lon[1], lon[2]), min(lat[2], lat[3])]


INSIDE = box(110, 910, 830, 130)
"""Inside tile 0; its corners are odd multiples of 10 m."""


def load(api, when: str, **options: object) -> xr.DataTree:
    options = {"bbox": INSIDE} | options
    return xr_sr.load(datetime=f"{when}T00:00:00Z/{when}T23:59:59Z", catalog=api.url, **options)


def expected(cube: xr.DataArray, band: str, tile: int = 0, size: int = 10) -> np.ndarray:
    """The truth under a cube on the grid of a tile, reflectance."""
    offset = ~geobox(tile, size).affine @ (cube.odc.geobox.affine @ (0.5, 0.5))
    col, row = (int(np.floor(place)) for place in offset)
    height, width = cube.shape[-2:]
    return truth(band, tile, size)[row : row + height, col : col + width] / 10_000


class TestGrid:
    def test_an_odd_box_is_snapped_so_that_both_grids_nest(self, api):
        tree = load(api, "2021-06-01")

        fine, coarse = tree["r10m"].to_dataset().odc.geobox, tree["r20m"].to_dataset().odc.geobox
        assert fine == coarse.zoom_out(0.5)
        assert coarse.affine.c % 20 == 0 and coarse.affine.f % 20 == 0
        assert fine.crs == CRS
        assert set(tree["r10m"].data_vars) == {"B02", "B03", "B04", "B08"}
        assert set(tree["r20m"].data_vars) == {"B11", "SCL"}

    def test_native_pixels_come_unchanged(self, api):
        tree = load(api, "2021-06-01")

        for node, band, size in (("r10m", "B04", 10), ("r20m", "B11", 20)):
            array = tree[f"{node}/{band}"]
            assert array.dtype == "uint16"
            np.testing.assert_array_equal(array.values[0] / 10_000, expected(array, band, size=size))

    def test_one_grid_on_request(self, api):
        dataset = load(api, "2021-06-01", grid=10, bands=["red", "swir16"])

        assert isinstance(dataset, xr.Dataset) and list(dataset) == ["B04", "B11"]
        swir = dataset["B11"].values[0]
        np.testing.assert_array_equal(swir, swir[::2, ::2].repeat(2, 0).repeat(2, 1))

    def test_without_a_box_all_of_the_items_is_loaded(self, api):
        items = [pystac.Item.from_dict(each) for each in api.items if "2021-06-01" in each["id"]]
        west, south, east, north = items[0].bbox
        items[0].bbox = [west, south, 0.0, east, north, 100.0]  # STAC allows heights too

        tree = xr_sr.load(items, bands=["B04"])

        extent = tree["r10m"].to_dataset().odc.geobox.boundingbox
        assert extent.left <= WEST and extent.right >= WEST + SIDE_M and extent.top >= NORTH

    def test_two_tiles_of_a_day_are_one_date(self, api):
        array = load(api, "2021-07-01", bbox=box(700, 500, 1900, 200))["r10m/B08"]

        assert array.sizes["time"] == 1
        both = np.concatenate([truth("B08", tile, 10) for tile in (0, 1)], axis=1) / 10_000
        col, row = (round(place) for place in ~geobox(0, 10).affine @ (array.odc.geobox.affine @ (0, 0)))
        np.testing.assert_array_equal(
            array.values[0] / 10_000, both[row : row + array.sizes["y"], col : col + array.sizes["x"]]
        )


class TestDatesAndOffsets:
    @pytest.mark.parametrize(("scene", "offset"), [(OLD, 0), (RAW, -1000), (APPLIED, 0), (CLOUDED, -1000)])
    def test_each_item_has_the_offset_that_its_pixels_have(self, api, scene, offset):
        tree = load(api, scene.when[:10])
        node = tree["r10m"].to_dataset()

        assert node["boa_add_offset"].values.tolist() == [offset]
        red = xr_sr.reflectance(node)["B04"]
        valid = np.isfinite(red.values[0])
        np.testing.assert_allclose(red.values[0][valid], expected(red, "B04")[valid], atol=1e-6)
        assert valid.mean() > 0.7

    def test_a_series_over_the_change_of_baseline_has_no_step(self, api):
        tree = xr_sr.load(datetime="2021-06-01/2023-06-15", catalog=api.url, bbox=INSIDE, bands=["B04", "B08"])

        ndvi = tree.sr.index("NDVI").compute()

        assert tree["r10m"]["boa_add_offset"].values.tolist() == [0, 0, -1000, 0]
        for date in range(1, 4):
            np.testing.assert_allclose(ndvi[date].where(ndvi[date].notnull(), ndvi[0]), ndvi[0], atol=1e-5)

    def test_a_mosaic_never_mixes_baselines(self, api):
        tree = load(api, "2024-06-15", bbox=box(700, 500, 1900, 200))
        node = tree["r10m"].to_dataset()

        assert node.sizes["time"] == 2 and node.indexes["time"].is_unique
        assert sorted(node["boa_add_offset"].values.tolist()) == [-1000, 0]
        red = xr_sr.reflectance(node)["B04"]
        seen = np.isfinite(red.values)
        assert not (seen[0] & seen[1]).any() and (seen[0] | seen[1]).all()
        raw = int(node["boa_add_offset"].argmin("time"))
        tiles = [expected(red.isel(x=slice(0, 5)), "B04", 0)]
        np.testing.assert_allclose(red.values[raw][:, :5], tiles[0], atol=1e-6)

    def test_of_a_scene_processed_twice_the_newer_is_taken(self, api):
        node = load(api, "2020-05-05")["r10m"].to_dataset()

        assert node.sizes["time"] == 1
        assert node["s2_processing_baseline"].values.tolist() == [5.0]
        np.testing.assert_allclose(xr_sr.reflectance(node)["B04"][0], expected(node["B04"], "B04"), atol=1e-6)

    def test_a_flag_that_lies_is_doubted_when_pixels_are_read(self, api):
        node = load(api, "2025-06-25")["r10m"].to_dataset()
        assert node["boa_add_offset"].values.tolist() == [0]

        with pytest.warns(RadiometryWarning, match="still carried"):
            xr_sr.reflectance(node)["B04"].compute()

        right = load(api, "2025-06-25", offset=-1000)["r10m"].to_dataset()
        np.testing.assert_allclose(xr_sr.reflectance(right)["B04"][0], expected(right["B04"], "B04"), atol=1e-6)

    def test_nodata_at_the_edge_is_nan(self, api):
        node = load(api, "2022-06-05", bbox=box(110, 1270, 830, 130))["r10m"].to_dataset()

        red = xr_sr.reflectance(node)["B04"].values[0]

        bottom = (NORTH - node["y"].values) > SIDE_M * 7 / 8
        assert np.isnan(red[bottom]).all() and np.isfinite(red[~bottom]).all()

    def test_an_item_that_says_nothing_is_refused_until_the_user_speaks(self, api):
        mute = next(each for each in api.items if "2021-06-01" in each["id"])
        mute = {
            **mute,
            "properties": {key: value for key, value in mute["properties"].items() if "baseline" not in key},
        }

        with pytest.raises(RadiometryError, match="Pass offset="):
            xr_sr.load(mute, bbox=INSIDE)
        assert xr_sr.load(mute, bbox=INSIDE, offset=0)["r10m"]["boa_add_offset"].values.tolist() == [0]


class TestClouds:
    def test_scenes_with_too_many_clouds_are_left_out(self, api):
        options = {"datetime": "2023-06-01/2023-06-30", "catalogue": api.url, "bbox": INSIDE}

        assert xr_sr.load(**options)["r10m"].sizes["time"] == 2
        assert xr_sr.load(**options, cloud_cover=20)["r10m"].sizes["time"] == 1

    def test_clouds_are_masked_on_both_grids_on_request(self, api):
        tree = load(api, "2023-06-20", mask=True, bands=["B04", "B11"])

        for path in ("r10m/B04", "r20m/B11"):
            array = tree[path]
            east = (array["x"].values - WEST) > SIDE_M / 2
            assert np.isnan(array.values[0][:, east]).all() and np.isfinite(array.values[0][:, ~east]).all()

    def test_masked_dn_still_know_their_offset(self, api):
        node = load(api, "2023-06-20", mask=True, bands=["B04"])["r10m"].to_dataset()

        red = xr_sr.reflectance(node)["B04"][0]

        seen = np.isfinite(red.values)
        np.testing.assert_allclose(red.values[seen], expected(red, "B04")[seen], atol=1e-6)


class TestCatalogue:
    def test_all_pages_are_read(self, api):
        tree = xr_sr.load(datetime="2019-01-01/2026-01-01", catalog=api.url, bbox=INSIDE, bands=["B04"])

        assert tree["r10m"].sizes["time"] == 8
        assert sum(path == "/search" for _, path, _ in api.log) > 3

    def test_an_area_across_the_antimeridian_is_searched_on_both_sides_and_each_item_comes_once(self, api):
        item = next(each for each in api.items if "2021-06-01" in each["id"])
        sides = {"west": [179.8, 48, 179.9, 49], "across": [179.9, 48, -179.9, 49], "east": [-179.9, 48, -179.8, 49]}
        others = [{**item, "id": name, "bbox": bbox} for name, bbox in sides.items()]
        api.items.extend(others)
        try:
            found = [search(read_box(box), Search("2021-06-01/2021-06-02", api.url))
                     for box in ((179.85, 48.1, -179.85, 48.9), (179.85, 48.1, 180.15, 48.9))]  # fmt: skip
        finally:
            del api.items[-len(others) :]

        for each in found:
            assert sorted(item.id for item in each) == ["across", "east", "west"]

    def test_nothing_but_the_catalogue_is_read_before_compute(self, api):
        tree = load(api, "2021-06-01")
        asked = {path for _, path, _ in api.log}
        assert asked == {"/", "/search"}

        tree["r10m/B02"].compute()  # no other test reads this band, so GDAL has nothing of it in its cache

        ranges = [path for method, path, _ in api.log if path.startswith("/cogs/")]
        assert ranges and all(path.endswith("blue.tif") for path in ranges)

    def test_a_server_that_fails_every_third_request(self, api):
        api.fail_every = 3

        tree = load(api, "2021-07-01", bbox=box(700, 500, 1900, 200))
        values = tree["r20m/B11"].compute(scheduler="synchronous")

        assert {path.split("/")[1] for _, path, status in api.log if status == 503} >= {"cogs"}
        both = np.concatenate([truth("B11", tile, 20) for tile in (0, 1)], axis=1)
        col, row = (round(place) for place in ~geobox(0, 20).affine @ (values.odc.geobox.affine @ (0, 0)))
        np.testing.assert_array_equal(values[0], both[row : row + values.sizes["y"], col : col + values.sizes["x"]])

    def test_what_a_search_of_ones_own_gave_is_taken(self, api):
        found = pystac_client.Client.open(api.url).search(collections=["sentinel-2-l2a"], datetime="2021-07-01")

        tree = xr_sr.load(found.item_collection(), bbox=INSIDE)

        assert tree["r10m"].sizes["time"] == 1

    def test_names_of_bands_are_free_and_wrong_ones_are_refused(self, api):
        assert set(load(api, "2021-06-01", bands=["B4", "nir", "scl"])["r10m"].data_vars) == {"B04", "B08"}
        with pytest.raises(MissingBandError, match="'B12'"):
            load(api, "2021-06-01", bands=["B12"])
        with pytest.raises(MissingBandError, match="'magenta'"):
            load(api, "2021-06-01", bands=["magenta"])

    def test_nothing_found_and_nobody_there(self, api):
        with pytest.raises(CatalogError, match="no item"):
            load(api, "1999-01-01")
        with pytest.raises(CatalogError, match="neither a URL"):
            xr_sr.load(bbox=INSIDE, datetime="2021", catalog="moon")
        with pytest.raises(OptionError, match="datetime= and an area"):
            xr_sr.load(datetime="2021")

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"crs": "EPSG:4326"}, GridError, "degrees"),
            ({"crs": "EPSG:2263"}, GridError, "meters"),
            ({"crs": "EPSG:99999"}, GridError, "EPSG:32633"),
            ({"bbox": "1,2,3,4"}, OptionError, "four|numbers"),
            ({"bbox": (3, 2, 1, 4)}, OptionError, "west < east"),
            ({"chunks": -1}, OptionError, "chunks=-1"),
            ({"chunks": {"x": 256}}, OptionError, "such as 1024"),
            ({"mask": ["cloud"]}, OptionError, "numbers"),
            ({"grid": 30}, OptionError, "'native', 10 and 20"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(self, api, options, error, words):
        with pytest.raises(error, match=words):
            load(api, "2021-06-01", **options)
        assert not api.log

    @pytest.mark.parametrize(("items", "words"), [("item.json", "from_file"), ((12.4, 52.3, 12.5, 52.4), "bbox=")])
    def test_what_is_no_item_is_refused(self, items, words):
        with pytest.raises(OptionError, match=words):
            xr_sr.load(items)

    def test_items_that_were_given_are_not_searched_again(self, api):
        item = next(each for each in api.items if "2021-06-01" in each["id"])

        with pytest.raises(OptionError, match="for a search"):
            xr_sr.load(item, datetime="2019")

    def test_items_outside_of_the_box_are_left_out(self, api):
        item = next(each for each in api.items if "2021-06-01" in each["id"])
        other = {**item, "id": "far", "bbox": [100.0, 10.0, 101.0, 11.0]}
        other["properties"] = {**item["properties"], "datetime": "2021-06-03T10:00:00Z", "grid:code": "MGRS-47PRM"}

        tree = xr_sr.load([item, other], bbox=INSIDE, bands="B04")

        assert tree["r10m"].sizes["time"] == 1 and list(tree["r10m"].data_vars) == ["B04"]
        with pytest.raises(CatalogError, match="none of 1 item meets"):
            xr_sr.load(other, bbox=INSIDE)

    def test_signed_addresses_need_their_library_and_the_message_says_so(self, api, monkeypatch):
        item = next(each for each in api.items if "2021-06-01" in each["id"])
        assets = {
            key: {**asset, "href": f"https://account.blob.core.windows.net/{key}.tif"}
            for key, asset in item["assets"].items()
        }
        monkeypatch.setitem(sys.modules, "planetary_computer", None)

        with pytest.raises(MissingLibraryError, match=r"xr-sr\[planetary\]"):
            xr_sr.load({**item, "assets": assets}, bbox=INSIDE)

    def test_signed_addresses_are_signed(self, api, monkeypatch):
        """By a library in the place of the real one, which sends each address to this server."""
        item = next(each for each in api.items if "2021-06-01" in each["id"])
        home = {key: asset["href"] for key, asset in item["assets"].items()}
        assets = {
            key: {**asset, "href": f"https://account.blob.core.windows.net/{key}.tif"}
            for key, asset in item["assets"].items()
        }

        class Library:
            @staticmethod
            def sign_url(href: str) -> str:
                return home[href.rpartition("/")[2].removesuffix(".tif")]

        monkeypatch.setitem(sys.modules, "planetary_computer", Library)
        tree = xr_sr.load({**item, "assets": assets}, bbox=INSIDE, bands=["B04"])

        np.testing.assert_array_equal(tree["r10m/B04"].values[0] / 10_000, expected(tree["r10m/B04"], "B04"))


class TestOnward:
    def test_load_upscale_flood_store_and_open(self, api, tmp_path):
        tree = xr_sr.load(
            datetime="2021-06-01/2022-06-30", catalog=api.url, bbox=box(110, 500, 510, 130), bands=["B03", "B08"]
        )
        fine = tree.sr.upscale("bicubic", scale=4)
        assert fine.odc.geobox == tree["r10m"].to_dataset().odc.geobox.zoom_out(0.25)

        found = fine.sr.flood("2021-06-01", slice("2022", None), index="NDWI")
        found["flood"].sr.to_zarr(tmp_path / "flood.zarr", progress=False)
        again = xr_sr.open_zarr(tmp_path / "flood.zarr")

        assert again.odc.geobox == fine.odc.geobox
        np.testing.assert_array_equal(again.values, found["flood"].values)
        # The land is the same on all dates, so whatever water is, none was flooded.
        assert float(found["area"].sel(state=["flooded", "receded"]).sum()) == 0


def test_environment_is_left_as_it_was(api):
    before = {key: value for key, value in os.environ.items() if key.startswith("GDAL")}

    load(api, "2021-06-01")

    assert {key: value for key, value in os.environ.items() if key.startswith("GDAL")} == before
    assert dataclasses.is_dataclass(OLD) and set(ASSETS) >= {"SCL"}


def test_bands_that_some_items_lack_are_left_out_with_a_word(api):
    full, less = (dict(each) for each in api.items if "2021-07-01" in each["id"])
    less["assets"] = {key: asset for key, asset in less["assets"].items() if key != "nir"}

    with pytest.warns(BandWarning, match="'B08' left out"):
        tree = xr_sr.load([full, less])

    assert "B08" not in tree["r10m"]


@pytest.mark.parametrize(
    "wrong", [{"datetime": "2023-13-01"}, {"datetime": "2023-01-01/2023-02-30"}, {"query": ["eo:cloud_cover"]}]
)
def test_a_malformed_search_is_refused_before_the_catalogue_is_asked(wrong):
    options = {"datetime": "../2023-06", "catalogue": "https://nobody.invalid", "bbox": (12.0, 52.0, 13.0, 53.0)}

    with pytest.raises(OptionError, match=next(iter(wrong))):
        xr_sr.load(**(options | wrong))


def test_the_spellings_of_an_earlier_release_warn():
    import xr_sr.errors

    with pytest.warns(FutureWarning, match="catalog="), pytest.raises(CatalogError, match="catalog='moon'"):
        xr_sr.load(bbox=INSIDE, datetime="2021", catalogue="moon")
    with pytest.warns(FutureWarning, match="CATALOGS"):
        assert xr_sr.stac.CATALOGUES is xr_sr.stac.CATALOGS
    with pytest.warns(FutureWarning, match="CatalogError"):
        assert xr_sr.errors.CatalogueError is CatalogError
