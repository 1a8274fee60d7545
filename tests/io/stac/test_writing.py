"""Items for what was written: true to the file, open to the tools that read Items, and plain about what made it."""

from __future__ import annotations

import json

import numpy as np
import odc.stac
import pystac
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension

import xr_sr
from xr_sr.catalog import registry
from xr_sr.errors import OptionError, StoreError
from xr_sr.io.stac.stored import outline

WORDS = "super-resolved, not observed"


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    """Three bands on two dates, DN, with sources as `load` notes them."""
    made = xr_sr.simulate_scene(24, ["2023-06-15", "2023-06-20"], bands=["B03", "B04", "B08"], flood_m=[0, 3])
    dataset = made["lr/r10m"].to_dataset().compute()
    links = ["https://stac.example/a.json https://stac.example/b.json", "https://stac.example/c.json"]
    return dataset.assign_coords(source_items=("time", ["A B", "C"]), source_links=("time", links))


@pytest.fixture(scope="module")
def fine(scene) -> xr.Dataset:
    return scene.sr.upscale("bicubic", scale=4).compute()


@pytest.fixture
def zarr(fine, tmp_path):
    fine.sr.to_zarr(tmp_path / "fine.zarr", progress=False)
    return tmp_path / "fine.zarr"


@pytest.fixture
def cog(fine, tmp_path):
    return fine.isel(time=0).sr.to_cog(tmp_path / "fine.tif", progress=False)


def fields_of(item: pystac.Item) -> dict[str, object]:
    return item.to_dict(include_self_link=False, transform_hrefs=False)["properties"]


@pytest.mark.parametrize("kind", ["zarr", "cog"])
def test_place_numbers_and_what_made_it_are_told(kind, request, fine):
    place = request.getfixturevalue(kind)

    item = xr_sr.to_stac(place)

    projection = ProjectionExtension.ext(item.assets["data"])
    assert projection.code == "EPSG:32633"
    assert GeoBox(projection.shape, Affine(*projection.transform), projection.code) == fine.odc.geobox
    bands = RasterExtension.ext(item.assets["data"]).bands
    assert [(band.data_type, band.scale, band.nodata) for band in bands] == [("int16", 1e-4, -32768)] * 3
    assert [band["name"] for band in item.assets["data"].extra_fields["bands"]] == ["B03", "B04", "B08"]
    west, south, east, north = fine.odc.geobox.footprint("EPSG:4326").boundingbox.bbox
    np.testing.assert_allclose(item.bbox, [west, south, east, north], atol=1e-6)
    properties = fields_of(item)
    assert WORDS in properties["description"].lower() and properties["xr_sr:note"] == WORDS
    assert properties["xr_sr:model"] == "bicubic"
    assert properties["processing:software"] == {"xr_sr": xr_sr.__version__}


@pytest.mark.parametrize("kind", ["zarr", "cog"])
def test_the_sensor_and_the_pixels_are_told_apart(kind, request):
    item = xr_sr.to_stac(request.getfixturevalue(kind))

    assert item.properties["gsd"] == pytest.approx(10, rel=1e-3)
    sizes = [band.spatial_resolution for band in RasterExtension.ext(item.assets["data"]).bands]
    assert sizes == pytest.approx([2.5] * 3, rel=1e-3)


def test_dates_are_those_of_the_file(zarr, cog):
    series, one = xr_sr.to_stac(zarr, zarr.with_name("series.json")), xr_sr.to_stac(cog)

    assert series.datetime is None
    assert series.properties["start_datetime"] == "2023-06-15T00:00:00Z"
    assert series.properties["end_datetime"] == "2023-06-20T00:00:00Z"
    assert one.datetime == pystac.utils.str_to_datetime("2023-06-15T00:00:00Z")


def test_sources_are_linked_and_named(zarr, cog):
    known = pystac.Item("D", None, None, pystac.utils.str_to_datetime("2023-06-15T00:00:00Z"), {})
    known.set_self_href("https://stac.example/d.json")

    series = xr_sr.to_stac(zarr, sources=[known, "https://stac.example/c.json"])
    one = xr_sr.to_stac(cog, cog.with_name("one.json"))

    assert [link.href.rpartition("/")[2] for link in series.get_links("derived_from")] == [
        "a.json",
        "b.json",
        "c.json",
        "d.json",
    ]
    assert series.properties["xr_sr:source_items"] == ["A", "B", "C", "D"]
    assert [link.href.rpartition("/")[2] for link in one.get_links("derived_from")] == ["a.json", "b.json"]
    assert one.properties["xr_sr:source_items"] == ["A", "B"]


def test_a_geotiff_opens_through_odc_stac(cog, fine):
    xr_sr.to_stac(cog)
    item = pystac.Item.from_file(cog.with_suffix(".json"))

    opened = odc.stac.load([item], bands=["B03", "B04", "B08"], chunks={})

    assert opened.odc.geobox == fine.odc.geobox
    assert opened["B04"].dtype == "int16" and opened["B04"].attrs["nodata"] == -32768
    np.testing.assert_allclose(opened["B04"].values[0] * 1e-4, fine["B04"].values[0], atol=0.5001e-4)


@pytest.mark.parametrize("zarr_format", [3, 2])
def test_a_zarr_opens_through_xarray_by_what_the_item_says(fine, tmp_path, zarr_format):
    fine.sr.to_zarr(tmp_path / "fine.zarr", zarr_format=zarr_format, progress=False)
    xr_sr.to_stac(tmp_path / "fine.zarr")
    item = pystac.Item.from_file(tmp_path / "fine.json")
    asset = item.assets["data"]

    opened = xr.open_dataset(asset.get_absolute_href(), **asset.extra_fields["xarray:open_kwargs"])

    assert opened.odc.geobox == fine.odc.geobox
    np.testing.assert_allclose(opened["B08"].values, fine["B08"].values, atol=0.5001e-4)
    again = xr_sr.open_zarr(asset.get_absolute_href())
    np.testing.assert_array_equal(again["time"], fine["time"])


def test_the_json_moves_with_its_file(cog, tmp_path):
    xr_sr.to_stac(cog)
    (tmp_path / "elsewhere").mkdir()
    for path in (cog, cog.with_suffix(".json")):
        path.rename(tmp_path / "elsewhere" / path.name)

    item = pystac.Item.from_file(tmp_path / "elsewhere" / "fine.json")

    assert item.assets["data"].href == "./fine.tif"
    assert odc.stac.load([item], bands=["B03"])["B03"].shape == (1, 96, 96)


def test_a_network_is_described_with_its_weights(official, scene, tmp_path):
    rgbn = xr_sr.simulate_scene(24, bands=["B02", "B03", "B04", "B08"])["lr/r10m"].to_dataset()
    rgbn.sr.upscale("sen2sr-lite").sr.to_zarr(tmp_path / "net.zarr", progress=False)

    item = xr_sr.to_stac(tmp_path / "net.zarr")

    model = MLMExtension.ext(item)
    assert model.mlm_name == "sen2sr-lite.rgbn-x4" and model.architecture == "SPAN"
    assert model.input[0].bands == ["B04", "B03", "B02", "B08"]
    assert model.hyperparameters.to_dict()["scale"] == 4
    assert item.assets["model"].roles == ["mlm:model"]
    assert item.assets["model"].href.startswith("https://")
    assert "479aa796" in model.hyperparameters.to_dict()["weights_sha256"]


def test_the_ten_band_network_names_all_its_files(official, tmp_path):
    tree = xr_sr.simulate_scene(24)["lr"]
    tree.sr.upscale("sen2sr-lite", bands=["B03", "B11"]).sr.to_zarr(tmp_path / "ten.zarr", progress=False)

    item = xr_sr.to_stac(tmp_path / "ten.zarr")

    assert item.properties["mlm:name"] == "sen2sr-lite.main"
    assert len([asset for asset in item.assets.values() if asset.roles == ["mlm:model"]]) == 3


def test_interpolation_is_no_network_and_what_no_model_made_says_nothing_of_one(scene, zarr, tmp_path):
    scene.sr.reflectance().sr.to_zarr(tmp_path / "lr.zarr", progress=False)

    interpolated, observed = xr_sr.to_stac(zarr), xr_sr.to_stac(tmp_path / "lr.zarr")

    assert not any(key.startswith("mlm:") for key in interpolated.properties)
    assert WORDS not in json.dumps(observed.to_dict())
    assert observed.properties["gsd"] == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("kind", ["zarr", "tif"])
def test_a_flood_map_says_what_its_numbers_mean_and_what_it_rests_on(kind, fine, tmp_path):
    found = fine.sr.flood("2023-06-15", "2023-06-20", index="NDWI", threshold=0.1)
    if kind == "zarr":
        found.sr.to_zarr(tmp_path / "flood.zarr", progress=False)
    else:
        found.isel(time=0).sr.to_cog(tmp_path / "flood.tif", progress=False)

    item = xr_sr.to_stac(tmp_path / f"flood.{kind}")

    classes = ClassificationExtension.ext(item.assets["data"]).classes
    assert {each.name: each.value for each in classes} == {
        "dry": 0,
        "permanent": 1,
        "flooded": 2,
        "receded": 3,
        "unknown": 255,
    }
    assert item.properties["xr_sr:note"] == WORDS and item.properties["xr_sr:index"] == "NDWI"
    assert [band["name"] for band in item.assets["data"].extra_fields["bands"]] == ["flood"]
    assert item.datetime == pystac.utils.str_to_datetime("2023-06-20T00:00:00Z")


def test_an_array_of_bands_and_a_pyramid_have_their_bands(fine, tmp_path):
    array = fine[["B03", "B04", "B08"]].to_dataarray("band")
    array.sr.to_zarr(tmp_path / "array.zarr", pyramid=1, progress=False)

    item = xr_sr.to_stac(tmp_path / "array.zarr")

    assert [band["name"] for band in item.assets["data"].extra_fields["bands"]] == ["B03", "B04", "B08"]
    assert tuple(item.assets["data"].extra_fields["proj:shape"]) == (96, 96)


def test_pystac_accepts_the_item(zarr, cog):
    """By its copy of the schemas of the core; those of the extensions are on the web only."""
    pytest.importorskip("jsonschema")
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    for place in (zarr, cog):
        document = xr_sr.to_stac(place, place.with_name(f"{place.name}.json")).to_dict()
        validator = JsonSchemaSTACValidator()

        validator.validate_core(document, pystac.STACObjectType.ITEM, document["stac_version"])


def test_what_cannot_be_told_is_refused(zarr, cog, fine, tmp_path):
    xr_sr.to_stac(zarr)
    with pytest.raises(StoreError, match="overwrite=True"):
        xr_sr.to_stac(zarr)
    assert xr_sr.to_stac(zarr, overwrite=True, name="other", license="CC-BY-4.0").properties["license"] == "CC-BY-4.0"

    undated = fine.isel(time=0, drop=True).sr.to_cog(tmp_path / "undated.tif", progress=False)
    with pytest.raises(OptionError, match="datetime="):
        xr_sr.to_stac(undated)
    assert xr_sr.to_stac(undated, datetime="2023-06-15T12:00+02:00").datetime.hour == 10
    with pytest.raises(OptionError, match="no date"):
        xr_sr.to_stac(undated, datetime="soon", overwrite=True)
    with pytest.raises(OptionError, match="no date"):
        xr_sr.to_stac(undated, datetime="", overwrite=True)

    with pytest.raises(StoreError, match="Zarr.*tif"):
        xr_sr.to_stac(zarr.with_suffix(".json"), tmp_path / "new.json")
    with pytest.raises(StoreError, match="to_zarr"):
        xr_sr.to_stac(tmp_path / "absent.zarr", tmp_path / "new.json")
    with pytest.raises(StoreError, match="cannot be read"):
        xr_sr.to_stac(tmp_path / "absent.tif", tmp_path / "new.json")
    with pytest.raises(OptionError, match="path="):
        xr_sr.to_stac("s3://bucket/out.zarr")

    homeless = xr.DataArray(np.zeros((1, 8, 8), "float32"), dims=("time", "y", "x"), name="B04")
    homeless.to_dataset().sr.to_zarr(tmp_path / "homeless.zarr", progress=False)
    with pytest.raises(StoreError, match="no CRS"):
        xr_sr.to_stac(tmp_path / "homeless.zarr", datetime="2023")


def test_a_footprint_across_the_antimeridian_has_two_parts():
    geobox = GeoBox((1000, 10_000), Affine(10, 0, 150_000, 0, -10, 1_800_000), "EPSG:32601")
    geometry, (west, south, east, north) = outline(geobox)

    assert geometry["type"] == "MultiPolygon"
    assert west > 179 and east < -179 and south < north

    degrees = GeoBox((10, 20), Affine(0.1, 0, 5, 0, -0.1, 50), "EPSG:4326")
    assert outline(degrees)[1] == pytest.approx([5, 49, 7, 50])
    assert set(xr_coords(degrees)) >= {"latitude", "longitude"}


def test_weights_inside_the_package_are_named_by_its_package_url(tmp_path):
    rgbn = xr_sr.simulate_scene(24, bands=["B02", "B03", "B04", "B08"])["lr/r10m"].to_dataset()
    rgbn.sr.upscale().sr.to_zarr(tmp_path / "ours.zarr", progress=False)

    asset = xr_sr.to_stac(tmp_path / "ours.zarr").assets["model"]

    assert asset.href == f"pkg:pypi/xr-sr@{xr_sr.__version__}#xr_sr/catalog/{registry.get('sen2sr').weights.path}"
