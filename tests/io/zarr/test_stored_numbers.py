"""What this package wrote means the same whichever way it is opened: stored 0 is reflectance 0, -32768 is nodata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rioxarray
import xarray as xr

import xr_sr
from tests.cubes import array
from xr_sr.errors import RadiometryError, StoreError

WATER, LAND, NODATA = slice(0, 4), slice(4, 10), slice(10, 12)


def scene(*, dates: bool) -> xr.DataArray:
    """DN of baseline 05.09: water of reflectance 0, land of 0.1, and nodata; what `load` says of it."""
    dn = np.full((1, 4, 12, 12), 2000, "uint16")
    dn[..., WATER], dn[..., NODATA] = 1000, 0
    cube = array(dn).assign_coords(boa_add_offset=("time", [-1000.0]), s2_processing_baseline=("time", [5.09]))
    return cube if dates else cube.isel(time=0)


def right(reflectance: xr.DataArray) -> None:
    values = reflectance.values
    pixels = [np.unique(values[..., slice(4 * part.start, 4 * part.stop)]) for part in (WATER, LAND, NODATA)]

    np.testing.assert_allclose(pixels[0], [0.0], atol=1e-6)
    np.testing.assert_allclose(pixels[1], [0.1], atol=1e-6)
    assert np.isnan(pixels[2]).all()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("stored")
    for name, cube in (("one", scene(dates=False)), ("dated", scene(dates=True))):
        fine = cube.sr.upscale("nearest")
        fine.sr.to_zarr(folder / f"{name}.zarr", progress=False)
        fine.to_dataset("band").assign_attrs(fine.attrs).sr.to_zarr(folder / f"{name}_bands.zarr", progress=False)
    flat = scene(dates=False).sr.upscale("nearest")
    flat.sr.to_cog(folder / "int16.tif", progress=False)
    flat.sr.to_cog(folder / "float32.tif", packing="float32", progress=False)
    return folder


HOW = [{}, {"masked": True}, {"mask_and_scale": True}]


@pytest.mark.parametrize("name", ["int16", "float32"])
@pytest.mark.parametrize("how", HOW, ids=str)
def test_a_geotiff_of_ours(files, name, how):
    opened = rioxarray.open_rasterio(files / f"{name}.tif", **how)
    split = rioxarray.open_rasterio(files / f"{name}.tif", band_as_variable=True, **how)
    split = split.rename({band: split[band].attrs["long_name"] for band in split.data_vars})

    right(xr_sr.reflectance(opened))
    right(xr_sr.reflectance(split)["B03"])
    right(xr_sr.reflectance(split["B03"]))
    assert (
        xr_sr.reflectance(opened).attrs["xr_sr:radiometry"].startswith("reflectance = (DN - 1000) / 10000; offset by")
    )


@pytest.mark.parametrize("masked", [True, False])
def test_a_geotiff_of_ours_by_xarray(files, masked):
    opened = xr.open_dataset(files / "int16.tif", engine="rasterio", mask_and_scale=masked)["band_data"]

    right(xr_sr.reflectance(opened))


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("name", ["one", "dated", "one_bands", "dated_bands"])
def test_a_zarr_of_ours(files, name, masked):
    """Beside the stored numbers stand the baseline and the offset of the DN, which are in the numbers already."""
    opened = xr.open_zarr(files / f"{name}.zarr", mask_and_scale=masked, decode_coords="all")
    cube = opened if name.endswith("bands") else next(iter(opened.data_vars.values()))
    found = xr_sr.reflectance(cube)

    right(found["B03"] if name.endswith("bands") else found)
    fine = cube.sr.upscale("nearest", scale=1, allow_gsd=True)
    right(fine["B03"] if name.endswith("bands") else fine)
    if "dated" in name:
        assert found.radiometry_offset.values.tolist() == [-1000]  # of the DN, as before


def test_a_band_that_was_taken_out_of_a_zarr_of_ours(files):
    dated = xr.open_zarr(files / "dated_bands.zarr", mask_and_scale=False, decode_coords="all")["B03"]
    one = xr.open_zarr(files / "one_bands.zarr", mask_and_scale=False, decode_coords="all")["B03"]

    right(xr_sr.reflectance(dated))
    right(xr_sr.reflectance(one))  # radiometry_offset shows that it is of ours


def test_a_geotiff_of_ours_by_odc_stac(files):
    """Which hands on the dtype and nodata, and nothing else."""
    import odc.stac

    item = xr_sr.to_stac(str(files / "int16.tif"))
    loaded = odc.stac.load([item], chunks={})
    item.properties["boa_add_offset"] = xr_sr.io.stac.boa_add_offset(item)
    told = odc.stac.load([item], chunks={}, with_properties=["boa_add_offset"])

    with pytest.raises(RadiometryError, match="offset=-1000"):
        xr_sr.reflectance(loaded)
    right(xr_sr.reflectance(loaded, offset=0)["B03"])
    right(xr_sr.reflectance(told)["B03"])


def test_integers_of_ours_without_a_scale_are_refused(files):
    opened = rioxarray.open_rasterio(files / "int16.tif")
    del opened.attrs["scale_factor"]

    with pytest.raises(RadiometryError, match="scale_factor"):
        xr_sr.reflectance(opened)
    right(xr_sr.reflectance(opened, offset=0))


def test_masked_numbers_of_ours_keep_nodata(files):
    opened = rioxarray.open_rasterio(files / "int16.tif")
    scl = xr.DataArray(np.full(opened.shape[1:], 4, "uint8"), dims=("y", "x"), coords={"y": opened.y, "x": opened.x})

    right(xr_sr.reflectance(xr_sr.mask(opened, scl=scl)))


@pytest.mark.parametrize(("offset", "zero"), [(0.0, 0.0), (-0.1, np.nan)])
def test_0_of_others_is_a_value_where_they_declare_the_packing_of_reflectance_and_nodata_that_no_dn_is(offset, zero):
    cube = array(np.array([-9999, 0, 2000] * 16, "int16").reshape(1, 6, 8), ["B04"])
    cube.attrs = {"scale_factor": 1e-4, "add_offset": offset, "_FillValue": np.int16(-9999)}

    found = xr_sr.reflectance(cube).values.reshape(-1)[:3]
    np.testing.assert_allclose(found, [np.nan, zero, 0.2 + offset], atol=1e-6)


def declaring(how: str) -> xr.DataArray:
    """DN as int16 with two pixels of -9999, declared as nodata in one of the usual places."""
    cube = scene(dates=True).astype("int16")
    cube[..., :2, 0] = -9999
    if how.startswith("rio"):
        return cube.rio.write_nodata(-9999, encoded=how == "rio encoded")
    return cube.assign_attrs({how: -9999})


@pytest.mark.parametrize("zarr_format", [3, 2])
@pytest.mark.parametrize("how", ["_FillValue", "nodata", "missing_value", "rio", "rio encoded"])
def test_integers_keep_the_nodata_that_they_declare(tmp_path, how, zarr_format):
    cube = declaring(how)
    expected = cube.sr.reflectance()
    assert int(np.isnan(expected[..., :2, 0]).sum()) == 8

    cube.sr.to_zarr(tmp_path / "a.zarr", zarr_format=zarr_format)
    cube.isel(time=0).sr.to_cog(tmp_path / "a.tif")

    stored = xr_sr.open_zarr(tmp_path / "a.zarr")
    assert stored.dtype == "int16" and stored.attrs["_FillValue"] == -9999
    plain = next(iter(xr.open_zarr(tmp_path / "a.zarr").data_vars.values()))
    for again in (stored, plain):
        np.testing.assert_array_equal(again.sr.reflectance(), expected)
    assert rioxarray.open_rasterio(tmp_path / "a.tif").rio.nodata == -9999
    stored.sr.to_zarr(tmp_path / "b.zarr")
    assert xr_sr.open_zarr(tmp_path / "b.zarr").attrs["_FillValue"] == -9999


def test_bands_of_two_nodata_values_are_no_geotiff(tmp_path):
    bands = scene(dates=False).to_dataset("band")
    for band, nodata in (("B04", 0), ("B03", 65535)):
        bands[band].attrs["_FillValue"] = nodata

    with pytest.raises(StoreError, match="65535"):
        bands.sr.to_cog(tmp_path / "a.tif")


def test_masked_dn_are_stored_as_the_integers_that_they_were(tmp_path):
    cube = scene(dates=True)
    scl = xr.full_like(cube.isel(band=0, drop=True), 4, dtype="uint8")
    scl[:, 5] = 9
    masked = cube.sr.mask(scl=scl)
    assert masked.dtype == "float32"

    masked.sr.to_zarr(tmp_path / "a.zarr")
    masked.isel(time=0).sr.to_cog(tmp_path / "a.tif")
    opened = rioxarray.open_rasterio(tmp_path / "a.tif", masked=True)
    opened.sr.to_cog(tmp_path / "b.tif")

    stored = xr_sr.open_zarr(tmp_path / "a.zarr")
    assert stored.dtype == "uint16"
    np.testing.assert_array_equal(stored.sr.reflectance(), masked.sr.reflectance())
    for name in ("a.tif", "b.tif"):
        again = rioxarray.open_rasterio(tmp_path / name, masked=True)
        np.testing.assert_array_equal(again, masked.isel(time=0).where(masked.isel(time=0) != 0))
    masked.sr.to_zarr(tmp_path / "float.zarr", packing="float32")
    np.testing.assert_array_equal(xr_sr.open_zarr(tmp_path / "float.zarr"), masked)


def test_reflectance_under_the_encoding_of_integers_is_refused(tmp_path):
    cube = scene(dates=True).astype("float32") / 10_000
    cube.encoding = {"dtype": "uint16", "_FillValue": 0}

    with pytest.raises(StoreError, match="uint16.*drop_encoding"):
        cube.sr.to_zarr(tmp_path / "a.zarr")


@pytest.mark.parametrize("offsets", [(0.0,) * 4, (-0.1,) * 4, (-0.1, -0.1, -0.1, -0.2)])
def test_a_geotiff_whose_scales_differ_per_band_is_reflectance_when_unpacked(tmp_path, offsets):
    import rasterio

    path = tmp_path / "scaled.tif"
    scene(dates=False).rio.write_nodata(0).rio.to_raster(path)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4, 1e-4, 1e-4, 2e-4), offsets
    opened = rioxarray.open_rasterio(path, mask_and_scale=True).assign_coords(band=["B04", "B03", "B02", "B08"])

    np.testing.assert_array_equal(opened.sr.reflectance(), opened)
