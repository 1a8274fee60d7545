from __future__ import annotations

import errno
import os
import resource
import warnings

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

import xr_sr
from tests.io.zarr.scenes import DATES, NORTH_UP, cube, reflectance
from xr_sr.errors import BandWarning, ClippingWarning, OptionError, ResolutionError, StoreError
from xr_sr.io.cog import _require_whole, to_cog
from xr_sr.pipeline.api import upscale


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


@pytest.mark.parametrize("side", ["big", None, True, 512.0, 200, 8192])
def test_a_side_of_tiles_that_the_format_does_not_have_is_refused(side, tmp_path):
    with pytest.raises(OptionError, match="blocksize=.*expected a (whole number|multiple of 128)"):
        to_cog(cube(dates=None), tmp_path / "out.tif", blocksize=side)

    assert not list(tmp_path.iterdir())


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
    monkeypatch.setattr("xr_sr.io.cog._BYTES", 2 * 2 * 16 * 16 * 2)
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

    with pytest.raises(StoreError, match=r"'out\.tif'"):
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
        with pytest.raises(StoreError, match="No space left"):
            to_cog(cube(dates=None), path, overwrite=True)

    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.tif"]


@pytest.mark.parametrize("limit", [500, 3_000, 6_000])
def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path, limit):
    """As a limit on the size of files, at which GDAL fails in other places, and sometimes without an exception."""
    written = cube(dates=None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StoreError, match="check the space"):
            to_cog(written, tmp_path / "out.tif", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lacks_blocks_is_not_taken_for_whole(tmp_path):
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 64, "height": 64, "tiled": True}
    for name, wanted in (("whole.tif", 4), ("sparse.tif", 3)):
        with rasterio.open(tmp_path / name, "w", **profile, blockxsize=32, blockysize=32, sparse_ok=True) as raster:
            for place in range(wanted):
                raster.write(np.ones((1, 32, 32), "uint8"), window=Window(32 * (place % 2), 32 * (place // 2), 32, 32))

    _require_whole(tmp_path / "whole.tif")
    with pytest.raises(OSError, match="incomplete"):
        _require_whole(tmp_path / "sparse.tif")
    whole = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "short.tif").write_bytes(whole[:-100])
    with pytest.raises(OSError, match="incomplete|not recognized"):
        _require_whole(tmp_path / "short.tif")


class TestInAGis:
    @pytest.mark.parametrize(
        ("bands", "colors"),
        [
            (["B02", "B03", "B04", "B08"], ["blue", "green", "red", "undefined"]),
            (["B04", "B03", "B02"], ["red", "green", "blue"]),
            (["blue", "green", "red", "swir16"], ["blue", "green", "red", "undefined"]),
            (["B08", "B04", "B03"], ["gray", "undefined", "undefined"]),
            (["NDVI"], ["gray"]),
        ],
    )
    @pytest.mark.parametrize("packing", ["int16", "float32"])
    def test_the_default_picture_is_true_color(self, tmp_path, bands, colors, packing):
        written = cube(dates=None, bands=bands, values=reflectance(len(bands), 40, 56))

        path = to_cog(written, tmp_path / "out.tif", packing=packing, progress=False)

        with rasterio.open(path) as raster:
            assert [color.name for color in raster.colorinterp] == colors
            assert raster.descriptions == tuple(bands)

    def test_four_masks_have_no_transparency(self, tmp_path):
        plane = cube(dates=None, bands=None) > 0.1
        written = xr.Dataset(dict.fromkeys("abcd", plane))

        with rasterio.open(to_cog(written, tmp_path / "out.tif", progress=False)) as raster:
            assert [color.name for color in raster.colorinterp] == ["gray", "undefined", "undefined", "undefined"]

    @pytest.mark.parametrize("name", ["time", "acquired"])
    def test_the_date_of_acquisition_is_a_tag(self, tmp_path, name):
        written = cube(dates=None).assign_coords({name: np.datetime64("2023-06-15T10:20:31.024", "ns")})

        with rasterio.open(to_cog(written, tmp_path / "out.tif", progress=False)) as raster:
            assert raster.tags()["ACQUISITIONDATETIME"] == "2023-06-15T10:20:31Z"
            assert raster.tags()["TIFFTAG_DATETIME"] == "2023:06:15 10:20:31"

    def test_the_date_comes_along_from_a_file_to_the_next(self, tmp_path):
        date = np.datetime64("2023-06-15T10:20:31", "ns")
        first = to_cog(cube(dates=None).assign_coords(time=date), tmp_path / "a.tif", progress=False)
        with rioxarray.open_rasterio(first, mask_and_scale=True) as read:
            to_cog(read, tmp_path / "b.tif", progress=False)

        with rasterio.open(tmp_path / "b.tif") as raster:
            assert raster.tags()["ACQUISITIONDATETIME"] == "2023-06-15T10:20:31Z"

    def test_dates_that_differ_or_are_unknown_are_no_date(self, tmp_path):
        first, second = np.datetime64("2023-06-15", "ns"), np.datetime64("2023-06-16", "ns")
        several = cube(dates=None).assign_coords(before=first, after=second)
        unknown = cube(dates=None).assign_coords(time=np.datetime64("NaT", "ns"))

        for number, written in enumerate((several, unknown)):
            with rasterio.open(to_cog(written, tmp_path / f"{number}.tif", progress=False)) as raster:
                assert not {"ACQUISITIONDATETIME", "TIFFTAG_DATETIME"} & raster.tags().keys()


def test_clipped_values_are_warned_of(tmp_path):
    values = reflectance(2, 40, 56)
    values[0, 30, 30] = 9

    with pytest.warns(ClippingWarning, match="^1 value did"):
        to_cog(cube(dates=None, values=values), tmp_path / "out.tif")


@pytest.mark.parametrize("chunks", [None, {"member": 1, "y": 16}])
def test_members_and_bands_are_named_planes(tmp_path, chunks):
    members = xr.concat([cube(dates=None) + shift / 100 for shift in range(3)], "member").assign_coords(
        member=[0, 1, 2]
    )
    members = members.transpose("band", "y", "member", "x").chunk(chunks) if chunks else members

    path = to_cog(members.rename("members"), tmp_path / "a.tif", packing="float32", progress=False)

    with rasterio.open(path) as raster:
        labels = [(member, band) for member in range(3) for band in ("B04", "B03")]
        assert raster.descriptions == tuple(f"member {member} {band}" for member, band in labels)
        for number, (member, band) in enumerate(labels, 1):
            expected = members.sel(member=member, band=band).transpose("y", "x")
            np.testing.assert_array_equal(raster.read(number), expected)
    path = to_cog(members.sel(band="B04", drop=True), tmp_path / "b.tif", progress=False)
    with rasterio.open(path) as raster:
        assert raster.descriptions == ("member 0", "member 1", "member 2")


@pytest.mark.parametrize("how", ["interval", "ensemble"])
def test_an_estimate_with_its_error_is_written_with_the_names_of_its_parts(tmp_path, how):
    scene = xr_sr.simulate_scene(24, bands=["B03", "B08"], seed=3)["lr/r10m"].to_dataset().isel(time=0)
    drawn = (
        scene.sr.ensemble(2, members=True, device="cpu")
        if how == "ensemble"
        else scene.sr.interval(device="cpu", model="kriging")
    )
    drawn = drawn.compute()

    path = to_cog(drawn, tmp_path / "a.tif", progress=False)

    parts = ["estimate", "std", "lower", "upper", *(["member 0", "member 1"] if how == "ensemble" else [])]
    with rasterio.open(path) as raster:
        assert raster.descriptions == tuple(f"{part} {band}" for part in parts for band in ("B03", "B08"))
        assert raster.tags()["xr_sr_level"] == "0.9" and raster.dtypes[0] == "int16"
        np.testing.assert_allclose(raster.read(4) * 1e-4, drawn["std"].sel(band="B08"), atol=0.51e-4)
        if how == "ensemble":
            np.testing.assert_allclose(raster.read(11) * 1e-4, drawn["members"].sel(member=1, band="B03"), atol=0.51e-4)
    index = drawn.sr.index("NDWI")
    with pytest.raises(StoreError, match="packing='float32'"):
        to_cog(index, tmp_path / "index.tif")
    with rasterio.open(to_cog(index, tmp_path / "index.tif", packing="float32", progress=False)) as raster:
        assert raster.descriptions == tuple(parts)


def test_planes_of_one_name_are_refused(tmp_path):
    twice = xr.Dataset({"a": cube(dates=None, bands=["B04", "B04"], values=reflectance(2, 40, 56))})

    with pytest.raises(StoreError, match=r"named \['a B04'\]"):
        to_cog(twice, tmp_path / "a.tif")


def test_bands_of_a_file_that_was_read_again_are_selected_by_name(tmp_path):
    bands = ["B04", "B03", "B11"]
    path = to_cog(cube(dates=None, bands=bands, values=reflectance(3, 40, 56)), tmp_path / "out.tif", progress=False)

    with rioxarray.open_rasterio(path, mask_and_scale=True) as read:
        fine = upscale(read, "nearest", scale=2, allow_gsd=True)
        order = upscale(read, "nearest", scale=2, allow_gsd=True, bands=["B11", "B04"])

        assert fine.band.values.tolist() == bands and order.band.values.tolist() == ["B11", "B04"]
        np.testing.assert_array_equal(fine.sel(band="B11")[::2, ::2], read[2])
        np.testing.assert_array_equal(order.sel(band="B11"), fine.sel(band="B11"))


@pytest.mark.filterwarnings("error::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_a_place_is_written_without_a_warning_of_rasterio(tmp_path):
    values = np.arange(16, dtype="float32").reshape(4, 4) / 100

    path = to_cog(xr.DataArray(values, dims=("y", "x")), tmp_path / "a.tif", packing="float32", progress=False)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(rasterio.open(path).read(1), values)


def test_the_unknown_class_is_the_nodata_value_and_maps_that_are_read_back_mean_the_same(tmp_path):
    values = np.where(np.arange(64) < 20, np.nan, np.where(np.arange(64) < 30, 0.5, -0.5))
    coords = {"y": 5_799_995 - 10.0 * np.arange(64), "x": 600_005 + 10.0 * np.arange(64)}
    index = xr.DataArray(np.broadcast_to(values, (64, 64)).copy(), coords, ("y", "x"))
    water = xr_sr.water(index.rio.write_crs("EPSG:32633"), None, 0.0)
    path = to_cog(water, tmp_path / "water.tif")

    with rasterio.open(path) as file:
        assert file.nodata == 255
        assert file.tags(1)["flag_values"] == "0 1 255"
    plain = rioxarray.open_rasterio(path).squeeze("band", drop=True)
    masked = rioxarray.open_rasterio(path, masked=True).squeeze("band", drop=True)
    np.testing.assert_array_equal(masked.isnull(), water == 255)
    for again in (plain, masked):
        xr.testing.assert_allclose(
            xr_sr.areas(again).sel(state="water", drop=True), xr_sr.areas(water).sel(state="water", drop=True)
        )
    second = to_cog(plain, tmp_path / "again.tif")
    with rasterio.open(second) as file:
        assert file.nodata == 255
        assert file.tags(1)["flag_values"] == "0 1 255"


def test_classes_without_an_unknown_one_and_mixed_bands_have_no_nodata_value(tmp_path):
    classes = cube(dates=None, bands=None).notnull().astype("uint8")
    known = classes.assign_attrs(flag_values=[0, 1], flag_meanings="dry water").rename("known")
    unknown = classes.assign_attrs(flag_values=[0, 9], flag_meanings="dry unknown").rename("doubt")

    for obj, nodata in ((known, None), (unknown, 9), (xr.merge([known, unknown], compat="override"), None)):
        with rasterio.open(to_cog(obj, tmp_path / "classes.tif", overwrite=True)) as file:
            assert file.nodata == nodata


def test_a_map_of_classes_has_the_colors_of_the_plots(tmp_path):
    from xr_sr.analytics.classes import FLOOD, as_class_map

    values = np.array([[0, 1], [2, 255]], "uint8").repeat(64, 0).repeat(64, 1)
    plain = xr.DataArray(values, dims=("y", "x"))
    to_cog(as_class_map(plain, FLOOD, kind="flood", title="flood", like=plain), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.colorinterp[0].name == "palette"
        assert file.colormap(1)[2][:3] == (0xE6, 0x9F, 0x00)
        np.testing.assert_array_equal(file.read(1), values)


@pytest.mark.parametrize("area", ["ellipsoidal", "projected"])
def test_a_flood_map_has_the_area_of_each_class_and_no_block_is_computed_twice(area, tmp_path):
    scene = xr_sr.simulate_scene((150, 200), dates=2, flood_m=[0, 3], bands=["B03", "B08"], seed=4)
    dn = scene["lr/r10m"].to_dataset().compute()
    computed = []

    def counted(block: np.ndarray) -> np.ndarray:
        computed.append(block.shape)
        return block

    dn["B03"] = dn["B03"].chunk(time=1, y=64, x=70)
    dn["B03"].data = dn["B03"].data.map_blocks(counted, dtype=dn["B03"].dtype, meta=np.empty((0, 0, 0), "uint16"))
    found = xr_sr.flood_between(dn.isel(time=0), dn.isel(time=1), index="NDWI", threshold=0.1, area=area)

    path = to_cog(found, tmp_path / "flood.tif", blocksize=128)

    assert len(computed) == 2 * 9
    with rasterio.open(path) as file:
        tags = file.tags(1)
    expected = dict(zip(found.state.values, found.area.values, strict=True))
    written = dict(zip(tags["flag_meanings"].split(), map(float, tags["area_ha"].split()), strict=True))
    assert written == pytest.approx(expected, abs=1e-4) and written["flooded"] > 0


def test_only_maps_that_say_how_to_measure_have_areas(tmp_path):
    flood = cube(dates=None, bands=None).notnull().astype("uint8")
    flood.attrs = {"flag_values": [0, 1], "flag_meanings": "dry flooded", "xr_sr:area": "ellipsoidal"}
    plain, compared = flood.drop_attrs(deep=False), (flood == 1).assign_attrs(flood.attrs)
    homeless = xr.DataArray(flood.values, dims=("y", "x"), attrs=flood.attrs)

    for number, obj in enumerate((flood, plain, compared, homeless)):
        with rasterio.open(to_cog(obj, tmp_path / f"{number}.tif")) as file:
            assert ("area_ha" in file.tags(1)) == (obj is flood)


def test_a_name_of_a_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"out\.zarr.*to_zarr"):
        to_cog(cube(), tmp_path / "out.zarr")


@pytest.mark.parametrize("form", ["cog", "array", "dataset", "variable"])
def test_a_raster_of_a_result_is_said_to_be_super_resolved_already(tmp_path, form):
    """rio.to_raster cuts names of attributes at the colon, so one of them is left."""
    lr = xr_sr.sample("havel")["r10m"].to_dataset().isel(y=slice(16), x=slice(16))
    fine, path = lr.sr.upscale("bicubic", scale=2), tmp_path / "fine.tif"
    bands = [str(name) for name in fine.data_vars]
    if form == "cog":
        to_cog(fine, path)
    else:
        made = {"array": fine.to_dataarray("band"), "dataset": fine, "variable": fine["B04"]}[form]
        made.rio.to_raster(path)

    read = xr_sr.open(path, names=bands if form == "array" else ())

    with pytest.raises(ResolutionError, match="already super-resolved.*allow_gsd"):
        read.sr.upscale("bicubic")
    assert read.sr.upscale("bicubic", scale=2, allow_gsd=True).sizes["y"] == 64


def test_a_raster_of_what_no_model_made_finer_is_upscaled(tmp_path):
    lr = xr_sr.sample("havel")["r10m"].to_dataset().isel(y=slice(16), x=slice(16))
    for number, made in enumerate((lr.sr.reflectance(), lr.sr.upscale("bicubic", scale=1))):
        path = tmp_path / f"{number}.tif"
        made.rio.to_raster(path)

        assert xr_sr.open(path).sr.upscale("bicubic", scale=2).sizes["y"] == 32
