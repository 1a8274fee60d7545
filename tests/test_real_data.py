"""Real scenes as they come: opened, upscaled, written, reopened; each with the traps that it has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rioxarray
import xarray as xr

import xr_sr
from xr_sr.errors import BandWarning, RadiometryError, ResolutionWarning

RGBN = ["B02", "B03", "B04", "B08"]


def there_and_back(cube: xr.DataArray | xr.Dataset | xr.DataTree, folder: Path, **options: object) -> xr.Dataset:
    """Upscale, write, open again, and look whether it is the same place and the same numbers."""
    fine = cube.sr.upscale("sen2sr-lite", bands=RGBN, device="cpu", chunks=128, **options)
    fine.sr.to_zarr(folder / "out.zarr", progress=False)
    again = xr_sr.open_zarr(folder / "out.zarr")

    assert type(again) is type(fine)
    assert again.odc.geobox == fine.odc.geobox
    if fine.odc.geobox.crs is not None:
        assert again.rio.transform() == fine.odc.geobox.affine
        assert again.rio.crs == fine.rio.crs
    expected, found = as_array(fine).compute(), as_array(again).compute()
    assert found.dtype == "float32"
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert float(np.abs(found - np.clip(expected, -3.2767, 3.2767)).max()) <= 0.5e-4 * 1.01
    return again


def as_array(cube: xr.DataArray | xr.Dataset) -> xr.DataArray:
    return cube if isinstance(cube, xr.DataArray) else cube[RGBN].to_dataarray("band")


def block_means(fine: xr.DataArray, like: xr.DataArray) -> np.ndarray:
    return fine.coarsen(dict.fromkeys(like.odc.spatial_dims, 4)).mean().values


@pytest.mark.usefixtures("official")
class TestScenes:
    def test_brandenburg_jp2_in_three_sizes(self, shared, tmp_path):
        folder = shared / "data" / "s2_l1c_brandenburg"
        bands = {
            name: rioxarray.open_rasterio(folder / f"T33UUU_20170216T102101_{name}.jp2", chunks={"x": 512, "y": 512})
            .squeeze("band", drop=True)
            .isel(x=slice(300, 500), y=slice(200, 330))
            for name in RGBN
        }

        again = there_and_back(xr.Dataset(bands), tmp_path, offset=0)

        assert again.sizes == {"x": 800, "y": 520}
        assert again.odc.geobox.affine @ (0, 0) == (333_000.0, 5_820_040.0)
        with pytest.raises(RadiometryError, match="offset"):
            xr.Dataset(bands).sr.upscale("sen2sr-lite")

    def test_patagonia_two_grids_in_a_tree(self, shared, tmp_path):
        folder = shared / "data" / "s2_patagonia_10_20m"
        ten = rioxarray.open_rasterio(folder / "s2_10m.tif").assign_coords(band=RGBN)
        twenty = rioxarray.open_rasterio(folder / "s2_20m.tif").assign_coords(band=["B11", "B12"])
        tree = xr.DataTree.from_dict({"r10m": ten.to_dataset("band"), "r20m": twenty.to_dataset("band")})

        again = there_and_back(tree, tmp_path, offset=0)

        assert again.odc.geobox == ten.odc.geobox.zoom_to((800, 1200))

    @pytest.mark.parametrize(("name", "offset"), [("637U_59R_1_3", 0), ("433D_629L_3_1", -1000), ("609U_541L_3_0", 0)])
    def test_terramesh_with_its_undeclared_offsets(self, shared, tmp_path, name, offset):
        bands = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
        cube = rioxarray.open_rasterio(shared / "data" / "s2_terramesh" / f"{name}_S2L2A.tif").assign_coords(band=bands)

        again = there_and_back(cube, tmp_path, offset=offset)

        lr = cube.sel(band=RGBN)
        valid = lr.where(lr != 0)
        strays = block_means(again, lr) - (valid + offset).values / 10_000
        assert np.sqrt(np.nanmean(strays**2)) < 0.02

    def test_flood_chip_in_degrees(self, shared, tmp_path):
        cube = rioxarray.open_rasterio(shared / "data" / "flood_spain" / "Spain_7370579_S2Hand.tif")
        crop = cube.isel(y=slice(100, 300), x=slice(50, 290))

        with pytest.warns(ResolutionWarning, match="7.88 m wide"):
            again = there_and_back(crop, tmp_path, offset=0)

        assert again.rio.crs.to_epsg() == 4326
        assert again.sizes == {"band": 4, "y": 800, "x": 960}

    def test_worldcereal_months_without_data(self, shared, tmp_path):
        path = shared / "data" / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc"
        with xr.open_dataset(path) as ds:
            cube = ds[["crs", "S2-L2A-B02", "S2-L2A-B03", "S2-L2A-B04", "S2-L2A-B08", "S1-SIGMA0-VV"]]
            with pytest.warns(BandWarning, match="S1-SIGMA0-VV"):
                fine = cube.sr.upscale("sen2sr-lite", device="cpu", offset=0, nodata=65535)
            fine.sr.to_zarr(tmp_path / "out.zarr", progress=False)
            with pytest.warns(BandWarning), pytest.raises(RadiometryError, match="nodata"):
                cube.sr.upscale("sen2sr-lite", device="cpu", offset=0).isel(t=1).compute()
        again = xr_sr.open_zarr(tmp_path / "out.zarr")

        empty = again["S2-L2A-B04"].isnull().all(dim=["y", "x"]).values
        assert np.flatnonzero(empty).tolist() == [1, 2]
        assert again.sizes["y"] == again.sizes["x"] == 400
        assert again.rio.crs.to_epsg() == 32631

    def test_arrays_ordered_as_eo_learn_has_them_are_joined_as_the_cube_is(self, shared):
        path = shared / "data" / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc"
        names = {f"S2-L2A-{band}": band for band in RGBN}
        with xr.open_dataset(path) as ds:
            months = ds.set_coords("crs")[[*names]].rename(names).rename(t="time").isel(time=slice(3, 7)).load()
        made = months.sr.multiframe("4MS", offset=0, nodata=65535, device="cpu").compute()
        clear = np.stack([months[band].values != 65535 for band in RGBN], axis=-1).all(axis=-1)
        bands = np.stack([months[band].values for band in RGBN], axis=-1).astype("float32") / 10_000

        cube = xr.DataArray(
            bands,  # (time, height, width, band), reflectance
            dims=("time", "y", "x", "band"),
            coords={"time": months["time"].values, "y": months["y"].values, "x": months["x"].values, "band": RGBN},
        ).rio.write_crs(32631)
        mask = xr.DataArray(clear, dims=("time", "y", "x"), coords={"time": cube.time, "y": cube.y, "x": cube.x})
        found = cube.sr.multiframe("4MS", offset=0, quantification=1, mask=mask, device="cpu").compute()

        assert found["n_effective"].mean() > 0.9
        np.testing.assert_allclose(
            found["estimate"].transpose("time", "band", "y", "x").values,
            made["estimate"].transpose("time", "band", "y", "x").values,
            rtol=0,
            atol=2e-6,
        )
        np.testing.assert_allclose(found["weight"].values, made["weight"].values, rtol=0, atol=2e-3)
