from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from tests.store.scenes import DATES, NORTH_UP, cube, reflectance
from xr_sr.errors import BandWarning, ClippingWarning, StoreError
from xr_sr.store import to_cog


def test_a_raster_comes_back_with_its_grid_values_names_and_provenance(tmp_path):
    written = cube(dates=None)

    path = to_cog(written, tmp_path / "out.tif")

    with rasterio.open(path) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.dtypes == ("int16", "int16") and raster.nodata == -32768
        assert raster.scales == (1e-4, 1e-4) and raster.offsets == (0.0, 0.0)
        assert raster.descriptions == ("B04", "B03")
        assert raster.tags()["xr_sr_model"] == "test.x4"
    with rioxarray.open_rasterio(path, mask_and_scale=True) as read:
        assert read.odc.geobox == NORTH_UP and read.rio.transform() == NORTH_UP.affine
        np.testing.assert_allclose(read.values, written.values, atol=1e-6)
        np.testing.assert_array_equal(np.isnan(read.values), np.isnan(written.values))


@pytest.mark.parametrize(
    "geobox",
    [
        GeoBox((40, 56), Affine(2.5, 0, 5e5, 0, 2.5, 4.5e6), "EPSG:32733"),
        GeoBox((40, 56), Affine(1 / 44_444, 0, 8.1234567, 0, -1 / 44_444, 51.7654321), "EPSG:4326"),
        GeoBox((40, 56), Affine.translation(5e5, 4.6e6) @ Affine.rotation(20) @ Affine.scale(2.5, -2.5), "EPSG:32633"),
    ],
    ids=["south-up", "degrees", "rotated"],
)
def test_transform_and_crs_are_equal_for_other_grids(geobox, tmp_path):
    path = to_cog(cube(geobox, dates=None), tmp_path / "out.tif")

    with rasterio.open(path) as raster:
        assert raster.transform == geobox.affine
        assert raster.crs.to_epsg() == geobox.crs.epsg


def test_what_lies_beside_the_grid_is_left_out_with_its_dimensions(tmp_path):
    written = cube(dates=None).to_dataset("band").assign(area=("state", [1.0, 2.0])).assign_coords(state=["dry", "wet"])

    with rasterio.open(to_cog(written, tmp_path / "out.tif")) as raster:
        assert raster.descriptions == ("B04", "B03")


def test_variables_of_a_dataset_are_bands(tmp_path):
    written = cube(dates=DATES[:1]).to_dataset("band").assign(baseline=("time", [4.0]))

    path = to_cog(written, tmp_path / "out.tif", packing="float32")

    with rasterio.open(path) as raster:
        assert raster.descriptions == ("B04", "B03") and raster.dtypes == ("float32", "float32")
        assert np.isnan(raster.nodata)
        assert raster.tags()["TIFFTAG_DATETIME"] == "2023:01:01 10:00:31"
        np.testing.assert_array_equal(raster.read(2), written.B03[0].values)


@pytest.mark.parametrize(("dtype", "stored"), [("uint8", "uint8"), ("bool", "uint8"), ("int32", "int32")])
def test_classes_masks_and_counts_keep_their_numbers(dtype, stored, tmp_path):
    values = (np.arange(40 * 56) % 2).astype(dtype).reshape(40, 56)
    written = cube(dates=None, bands=None, values=values)

    path = to_cog(written, tmp_path / "out.tif")

    with rasterio.open(path) as raster:
        assert raster.dtypes == (stored,) and raster.nodata is None
        np.testing.assert_array_equal(raster.read(1), values)


def test_overviews_average_what_is_there(tmp_path):
    values = np.full((1024, 1200), 0.25, "float32")
    values[:, ::2] = np.nan
    geobox = GeoBox(values.shape, NORTH_UP.affine, NORTH_UP.crs)

    path = to_cog(cube(geobox, dates=None, bands=None, values=values, side=300), tmp_path / "out.tif")

    with rasterio.open(path) as raster:
        assert raster.overviews(1) == [2, 4]
        assert raster.block_shapes == [(512, 512)]
        assert (raster.read(1, out_shape=(512, 600)) == 2500).all()


def test_blocks_are_written_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("xr_sr.store.cog._BYTES", 2 * 2 * 16 * 16 * 2)
    written = cube(dates=None)

    path = to_cog(written, tmp_path / "out.tif")

    with rioxarray.open_rasterio(path, mask_and_scale=True) as read:
        np.testing.assert_allclose(read.values, written.values, atol=1e-6)


def test_several_dates_are_refused_with_the_way_to_write_them(tmp_path):
    with pytest.raises(StoreError, match=r"isel\(time=0\)"):
        to_cog(cube(), tmp_path / "out.tif")
    plane = cube(dates=None, bands=None)
    with pytest.raises(StoreError, match="one dtype"):
        to_cog(xr.Dataset({"a": plane, "b": plane.assign_attrs(units="dB")}), tmp_path / "out.tif")


def test_classes_and_masks_beside_bands_are_left_out_and_named(tmp_path):
    plane = cube(dates=None, bands=None)
    written = xr.Dataset({"SCL": (plane > 0).astype("uint8"), "B04": plane, "cloud": plane > 0})

    with pytest.warns(BandWarning, match=r"\['SCL', 'cloud'\] are left out"):
        path = to_cog(written, tmp_path / "out.tif")

    with rasterio.open(path) as raster:
        assert raster.descriptions == ("B04",)


@pytest.mark.parametrize("name", ["", "."])
def test_a_folder_is_no_place_for_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StoreError, match="is a folder; name a file, such as 'out.tif'"):
        to_cog(cube(dates=None), name, overwrite=True)


def test_a_file_is_replaced_only_if_asked_for_and_never_left_half_written(tmp_path, monkeypatch):
    path = to_cog(cube(dates=None), tmp_path / "out.tif")
    before = path.read_bytes()

    with pytest.raises(StoreError, match="overwrite=True"):
        to_cog(cube(dates=None), path)
    with monkeypatch.context() as patch:

        def full(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr("rasterio.shutil.copy", full)
        with pytest.raises(StoreError, match="No space left on device"):
            to_cog(cube(dates=None), path, overwrite=True)

    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.tif"]


def test_clipped_values_are_warned_of(tmp_path):
    values = reflectance(2, 40, 56)
    values[0, 30, 30] = 9

    with pytest.warns(ClippingWarning, match="^1 values"):
        to_cog(cube(dates=None, values=values), tmp_path / "out.tif")


def test_the_dimension_that_a_raster_cannot_have_is_named(tmp_path):
    members = cube(dates=None).expand_dims(member=2)

    with pytest.raises(StoreError, match=r"for each place along 'member': obj.isel\(\{'member': 0\}\)"):
        to_cog(members, tmp_path / "a.tif")
