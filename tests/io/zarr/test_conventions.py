from __future__ import annotations

import json

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from xr_sr.io.zarr.conventions import coarser, crs_text, grid_attrs, group_attrs, pyramid_attrs, without_conventions

UTM = GeoBox((41, 30), Affine(2.5, 0, 5e5, 0, -2.5, 4.6e6), "EPSG:32633")


def test_a_grid_is_described_as_the_conventions_ask():
    attrs = group_attrs(UTM, ("y", "x"))

    assert attrs["proj:code"] == "EPSG:32633"
    assert attrs["spatial:dimensions"] == ["y", "x"]
    assert Affine(*attrs["spatial:transform"]) == UTM.affine
    assert attrs["spatial:shape"] == [41, 30]
    assert attrs["spatial:bbox"] == [500000.0, 4599897.5, 500075.0, 4600000.0]
    assert json.loads(json.dumps(attrs)) == attrs


def test_the_released_conventions_are_declared_where_that_is_asked_for():
    attrs = grid_attrs(UTM, ("y", "x"), declared=True)

    assert [(entry["name"], entry["uuid"]) for entry in attrs["zarr_conventions"]] == [
        ("proj", "f17cb550-5864-4468-aeb7-f3180cfb622f"),
        ("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4"),
    ]
    for entry in attrs["zarr_conventions"]:
        assert entry["schema_url"].endswith(f"/zarr-conventions/{entry['name']}/refs/tags/v0.1/schema.json")
        assert entry["spec_url"].endswith(f"/zarr-conventions/{entry['name']}/blob/v0.1/README.md")
    assert "zarr_conventions" not in grid_attrs(UTM, ("y", "x"))


def test_a_bounding_box_is_of_groups_alone():
    assert "spatial:bbox" not in grid_attrs(UTM, ("y", "x"), declared=True)
    assert "spatial:bbox" in group_attrs(UTM, ("y", "x"))
    assert "spatial:bbox" in pyramid_attrs([UTM], ("y", "x"))


def test_a_crs_without_a_code_is_written_as_wkt():
    attrs = grid_attrs(GeoBox((4, 4), UTM.affine, "+proj=laea +lat_0=46.5 +lon_0=9.1"), ("y", "x"))

    assert "proj:code" not in attrs
    assert attrs["proj:wkt2"].startswith("PROJCRS")


def test_without_crs_the_place_is_said_alone():
    attrs = grid_attrs(GeoBox((4, 4), Affine.identity(), None), ("row", "col"), declared=True)

    assert [entry["name"] for entry in attrs["zarr_conventions"]] == ["spatial"]
    assert not any(key.startswith("proj:") for key in attrs)


@pytest.mark.parametrize("code", ["EPSG:32633", "EPSG:4326", "ESRI:54009"])
def test_a_registered_crs_is_named_by_its_code(code):
    assert crs_text(GeoBox((2, 2), Affine.identity(), code).crs) == code


def test_levels_share_their_corner_and_double_their_pixels():
    half = coarser(UTM)

    assert half.shape == (21, 15)
    assert half.affine == Affine(5, 0, 5e5, 0, -5, 4.6e6)


def test_a_pyramid_gives_transform_and_shape_with_each_level_only():
    attrs = pyramid_attrs([UTM, coarser(UTM)], ("y", "x"))
    layout = attrs["multiscales"]["layout"]

    assert [entry["asset"] for entry in layout] == ["0", "1"]
    assert layout[1]["derived_from"] == "0" and layout[1]["transform"]["scale"] == [2.0, 2.0]
    assert layout[1]["spatial:shape"] == [21, 15]
    assert "spatial:transform" not in attrs and "spatial:shape" not in attrs
    assert [entry["name"] for entry in attrs["zarr_conventions"]] == ["multiscales", "proj", "spatial"]
    assert attrs["zarr_conventions"][0]["uuid"] == "d35379db-88df-4056-af3a-620245f8e347"


def test_what_was_added_can_be_taken_off():
    assert without_conventions({**pyramid_attrs([UTM], ("y", "x")), "title": "mine"}) == {"title": "mine"}
