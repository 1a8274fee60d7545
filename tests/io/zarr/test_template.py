from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
import zarr
from zarr.storage import LocalStore

from tests.io.zarr.scenes import DATES, NORTH_UP, cube
from xr_sr.io.zarr import to_zarr


def document(path) -> dict:
    return json.loads(path.read_text())


def test_the_fill_value_is_said_twice_in_format_3(tmp_path):
    to_zarr(cube(), tmp_path / "out.zarr")
    stored = document(tmp_path / "out.zarr/reflectance/zarr.json")

    assert stored["fill_value"] == -32768
    assert stored["attributes"]["_FillValue"] == -32768
    assert stored["attributes"]["scale_factor"] == 1e-4 and "add_offset" not in stored["attributes"]
    assert stored["data_type"] == "int16"
    assert [step["name"] for step in stored["codecs"]] == ["bytes", "blosc", "zstd"]
    assert (
        stored["codecs"][1]["configuration"] | {"cname": "zstd", "clevel": 1, "shuffle": "bitshuffle"}
        == stored["codecs"][1]["configuration"]
    )


def test_grid_and_conventions_stand_on_group_and_arrays_beside_cf(tmp_path):
    to_zarr(cube(), tmp_path / "out.zarr")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")

    for attrs in (dict(group.attrs), dict(group["reflectance"].attrs)):
        assert attrs["proj:code"] == "EPSG:32633"
        assert attrs["spatial:transform"] == [2.5, 0.0, 500000.0, 0.0, -2.5, 4600000.0]
        assert attrs["spatial:shape"] == [40, 56] and attrs["spatial:dimensions"] == ["y", "x"]
        assert "zarr_conventions" not in attrs  # netCDF cannot hold it, and plain xarray passes it on
    assert group["reflectance"].attrs["grid_mapping"] == "spatial_ref"
    assert group.attrs["xr_sr:model"] == "test.x4"


def test_conventions_are_declared_by_the_root_of_a_pyramid_and_on_request_by_each_node(tmp_path):
    to_zarr(cube(), tmp_path / "flat.zarr", geozarr=True)
    to_zarr(cube(), tmp_path / "levels.zarr", pyramid=1)
    flat, levels = zarr.open_group(tmp_path / "flat.zarr"), zarr.open_group(tmp_path / "levels.zarr")

    assert [entry["name"] for entry in levels.attrs["zarr_conventions"]] == ["multiscales", "proj", "spatial"]
    assert "zarr_conventions" not in levels["0"].attrs
    for attrs in (flat.attrs, flat["reflectance"].attrs):
        assert [entry["name"] for entry in attrs["zarr_conventions"]] == ["proj", "spatial"]


def test_every_level_says_its_own_grid_and_the_root_the_layout(tmp_path):
    to_zarr(cube(), tmp_path / "out.zarr", pyramid=1)
    root = zarr.open_group(tmp_path / "out.zarr", mode="r")

    assert [entry["asset"] for entry in root.attrs["multiscales"]["layout"]] == ["0", "1"]
    assert "spatial:transform" not in root.attrs
    assert root["1"].attrs["spatial:transform"][0] == 5.0 and root["1"].attrs["proj:code"] == "EPSG:32633"
    with xr.open_datatree(tmp_path / "out.zarr", engine="zarr", decode_coords="all") as tree:
        assert tree["1"].dataset.sizes["x"] == 28
        assert tree["0"].dataset.rio.crs.to_epsg() == 32633


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("pyramid", [0, 1])
def test_consolidated_metadata_equal_what_zarr_would_write(tmp_path, zarr_format, pyramid):
    to_zarr(cube(), tmp_path / "out.zarr", zarr_format=zarr_format, pyramid=pyramid)
    name = "zarr.json" if zarr_format == 3 else ".zmetadata"
    ours = document(tmp_path / "out.zarr" / name)

    with warnings.catch_warnings(action="ignore"):
        zarr.consolidate_metadata(tmp_path / "out.zarr", zarr_format=zarr_format)

    theirs = document(tmp_path / "out.zarr" / name)
    key = "consolidated_metadata" if zarr_format == 3 else "metadata"
    flat = (lambda found: found["metadata"]) if zarr_format == 3 else (lambda found: found)
    assert set(flat(ours[key])) == set(flat(theirs[key]))
    for path, entry in flat(theirs[key]).items():
        assert {**flat(ours[key])[path], "consolidated_metadata": 0} == {**entry, "consolidated_metadata": 0}, path


def test_a_longer_time_axis_is_published_by_the_last_write_of_the_root(tmp_path):
    keys: list[str] = []

    class Noting(LocalStore):
        async def set(self, key, value):
            keys.append(key)
            await super().set(key, value)

    to_zarr(cube(dates=DATES[:2]), tmp_path / "out.zarr")
    to_zarr(cube(dates=DATES[2:]), Noting(tmp_path / "out.zarr"))

    assert keys[-1] == "zarr.json" and keys.count("zarr.json") == 1
    pixels = max(number for number, key in enumerate(keys) if key.startswith("reflectance/c/"))
    assert pixels < keys.index("time/c/0") < keys.index("reflectance/zarr.json") < keys.index("zarr.json")


def test_gdal_reads_format_2(tmp_path):
    written = cube(dates=None)
    to_zarr(written, tmp_path / "out.zarr", zarr_format=2)

    with rasterio.open(f'ZARR:"{tmp_path / "out.zarr"}":/reflectance') as raster:
        assert raster.count == 2 and raster.dtypes == ("int16", "int16")
        assert raster.crs.to_epsg() == 32633
        assert raster.transform == NORTH_UP.affine
        assert raster.nodata == -32768 and raster.scales == (1e-4, 1e-4)
        stored = raster.read()
    values = np.where(stored == -32768, np.nan, stored * 1e-4)
    np.testing.assert_allclose(values, written.values, atol=1e-7)


@pytest.mark.parametrize("shards", [None, "block"])
def test_a_shard_is_a_block_and_holds_whole_chunks(tmp_path, shards):
    to_zarr(cube(side=20), tmp_path / "out.zarr", chunks=10, shards=shards)
    array = zarr.open_group(tmp_path / "out.zarr", mode="r")["reflectance"]

    assert array.chunks == (1, 1, 10, 10)
    assert array.shards == ((1, 2, 20, 20) if shards else None)
    files = list((tmp_path / "out.zarr/reflectance/c").rglob("*"))
    assert sum(path.is_file() for path in files) == (3 * 2 * 3 if shards else 3 * 2 * 4 * 6)


def test_blocks_of_missing_pixels_are_stored_small_and_count_as_done(tmp_path):
    to_zarr(cube(values=np.full((3, 2, 40, 56), np.nan, "float32")), tmp_path / "out.zarr")

    chunks = [path for path in (tmp_path / "out.zarr/reflectance/c").rglob("*") if path.is_file()]
    assert chunks and max(path.stat().st_size for path in chunks) < 100
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["sr_status"][...].all()
