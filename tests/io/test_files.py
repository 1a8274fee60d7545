"""Paths open as lazy cubes: rasters, SAFE folders, Zarr, netCDF."""

from __future__ import annotations

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import rasterio
import xarray as xr

from tests.cli.inputs import RGBN, dated_scene, refused, run, safe, write_band, write_raster
from xr_sr import errors
from xr_sr.datasets import sample
from xr_sr.io.files import open as open_cube
from xr_sr.io.files import open_raster
from xr_sr.io.zarr import open_zarr


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return dated_scene()


def test_a_safe_product_gives_bands_on_native_grids(tmp_path, scene):
    tree = open_cube(str(safe(tmp_path, scene)))

    assert set(tree.children) == {"r10m", "r20m"}
    assert list(tree["r10m"].data_vars) == list(RGBN)
    assert list(tree["r20m"].data_vars) == ["B8A", "SCL"]
    for node in tree.leaves:
        assert node.attrs["s2:processing_baseline"] == "05.09"
        assert node.attrs["product_level"] == "L2A"
        assert node.time.values == np.datetime64("2023-07-01T10:10:31")
    np.testing.assert_array_equal(tree["r10m/B04"], scene.B04[0])


def test_the_baseline_is_read_from_the_name_where_metadata_lack(tmp_path, scene):
    root = safe(tmp_path, scene)
    (root / "MTD_MSIL2A.xml").unlink()

    assert open_cube(str(root)).attrs["s2:processing_baseline"] == "03.01"


def test_a_folder_on_one_grid_is_a_dataset(tmp_path, scene):
    for band in RGBN:
        write_band(tmp_path / f"2023-07-01_Sentinel-2_L2A_{band}_(Raw).tiff", scene[band].values[0])

    dataset = open_cube(str(tmp_path))
    assert isinstance(dataset, xr.Dataset)
    assert list(dataset.data_vars) == list(RGBN)
    assert "s2:processing_baseline" not in dataset.attrs
    refused(run("upscale", tmp_path, tmp_path / "out.zarr", "-m", "nearest"), 1, "offset")


def test_the_folder_of_brandenburg_opens_with_its_three_grids(shared):
    tree = open_cube(str(shared / "data" / "s2_l1c_brandenburg"))

    assert {name: len(node.data_vars) for name, node in tree.children.items()} == {"r10m": 4, "r20m": 6, "r60m": 3}
    window = tree["r10m/B04"].isel(y=slice(96, 99), x=slice(1212, 1215))
    np.testing.assert_array_equal(window, sample()["r10m/B04"][:3, :3])


def test_several_dates_in_a_folder_are_refused(tmp_path, scene):
    for date in ("20230701T101031", "20230711T101031"):
        write_band(tmp_path / f"T33UUU_{date}_B04.tif", scene.B04.values[0])

    refused(run("info", tmp_path), 1, "B04", "one date")


def test_bands_that_do_not_lie_on_each_other_are_refused(tmp_path, scene):
    write_band(tmp_path / "B04.tif", scene.B04.values[0])
    write_band(tmp_path / "B03.tif", scene.B03.values[0][2:])

    refused(run("info", tmp_path), 1, "grid")


def test_opening_reads_no_pixel_of_files_larger_than_memory(tmp_path):
    import netCDF4
    import zarr

    side = 150_000
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(tmp_path / "big.tif", "w", **profile, SPARSE_OK=True, BIGTIFF=True, compress="deflate"):
        pass
    group = zarr.open_group(tmp_path / "big.zarr", mode="w", zarr_format=3)
    group.create_array("B04", shape=(side, side), chunks=(512, 512), dtype="uint16", dimension_names=("y", "x"))
    with netCDF4.Dataset(tmp_path / "big.nc", "w") as file:
        for dim in ("y", "x"):
            file.createDimension(dim, side)
        file.createVariable("B04", "u2", ("y", "x"), zlib=True, chunksizes=(512, 512))

    for name in ("big.tif", "big.zarr", "big.nc"):
        cube = open_cube(str(tmp_path / name))
        assert cube.nbytes > 40e9
        part = cube.isel(y=slice(70_000, 70_004), x=slice(9, 12))
        assert (part if isinstance(part, xr.DataArray) else part.B04).values.size == 12


@pytest.mark.parametrize(("tiled", "chunk"), [(True, (512, 512)), (False, (74, 3500))])
def test_rasters_are_read_in_whole_blocks(tmp_path, tiled, chunk):
    path = tmp_path / "in.tif"
    blocks = {"tiled": True, "blockxsize": 128, "blockysize": 128} if tiled else {"blockysize": 2}
    write_band(path, np.zeros((600, 3500), "uint16"), **blocks)

    assert open_raster(path).data.chunksize == (1, *chunk)


def test_a_declared_scale_is_applied_and_counts_as_reflectance(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    with rasterio.open(source, "r+") as file:
        file.scales, file.offsets = (1e-4,) * 4, (-0.1,) * 4
    result = run("upscale", source, tmp_path / "out.zarr", "-m", "nearest")

    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(
        open_zarr(str(tmp_path / "out.zarr"))[0, ::4, ::4], (scene.B02[0].astype(float) - 1000) / 1e4, atol=6e-5
    )


@pytest.mark.parametrize("packing", ["int16", "float32"])
def test_a_geotiff_of_a_result_is_shown_as_that_result_with_its_date(tmp_path, packing):
    crop = sample("havel")["r10m"].to_dataset().isel(y=slice(16), x=slice(16))
    fine = crop.sr.upscale("bicubic")
    fine.sr.to_cog(tmp_path / "fine.tif", packing=packing)

    cube = open_cube(tmp_path / "fine.tif")

    assert cube.time.values == fine.time.values.astype("datetime64[s]")
    text = repr(cube.sr)
    assert "dates    2017-02-16" in text
    assert "values   float32: reflectance\n" in text
    assert "made by  bicubic, from reflectance = DN / 10000" in text
    index = cube.sr.index("NDVI")
    assert index.attrs["xr_sr:model"] == "bicubic"
    assert index.time.values == cube.time.values


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2023-07-01T10:10:31Z", "2023-07-01T10:10:31"),
        ("2023-07-01T12:10:31+02:00", "2023-07-01T10:10:31"),
        ("2023-07-01", "2023-07-01"),
        ("soon", None),
    ],
)
def test_the_date_of_a_raster_is_read_in_utc_and_nothing_else_taken_for_one(tmp_path, scene, text, date):
    path = write_raster(tmp_path / "scene.tif", scene.isel(time=0))
    with rasterio.open(path, "r+") as file:
        file.update_tags(ACQUISITIONDATETIME=text)

    cube = open_cube(path)

    assert ("time" in cube.coords) is (date is not None)
    assert date is None or cube.time.values == np.datetime64(date)


def test_a_broken_zarr_is_a_cube_error(tmp_path):
    (tmp_path / "in.zarr").mkdir()
    (tmp_path / "in.zarr" / "zarr.json").write_text("{")

    with pytest.raises(errors.CubeError, match="cannot be opened"):
        open_cube(str(tmp_path / "in.zarr"))


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
@pytest.mark.parametrize("name", [None, "reflectance"])
def test_a_stored_array_of_bands_is_that_array(tmp_path, scene, kind, name):
    path = tmp_path / ("in.nc" if kind == "netcdf" else "in.zarr")
    array = scene.to_dataarray("band", name=name).drop_vars("band")
    (array.to_netcdf if kind == "netcdf" else array.to_zarr)(path)

    opened = open_cube(str(path))
    assert isinstance(opened, xr.DataArray)
    assert opened.name == name
    names = ("--names", ",".join(RGBN))
    assert "B02, B03, B04, B08" in run("info", path, *names).stdout
    result = run("upscale", path, tmp_path / "out.zarr", "-m", "nearest", "--offset", -1000, *names)
    assert result.exit_code == 0, result.output
    written = open_zarr(str(tmp_path / "out.zarr"))
    np.testing.assert_allclose(written.sel(band="B03")[:, ::4, ::4], (scene.B03.astype(float) - 1000) / 1e4, atol=6e-5)
