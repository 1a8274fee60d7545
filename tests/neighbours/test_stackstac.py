"""stackstac: real stacks of local rasters lie where the rasters do, on corners by default and on centers."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pystac
import pytest
import rioxarray  # noqa: F401  registers .rio
import stackstac
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

import xr_sr
from xr_sr.cube.grid import geobox_of, grid_of
from xr_sr.errors import GeoreferenceWarning, GridError

CRS = "EPSG:32633"
ORIGIN = (600_000.0, 5_800_020.0)
N = 36
BANDS = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B11": 20}

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def affine(gsd: float, row: float = 0, col: float = 0) -> Affine:
    return Affine(gsd, 0, ORIGIN[0] + col * gsd, 0, -gsd, ORIGIN[1] - row * gsd)


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[dict]:
    """Two dates of one tile as STAC Items with local COGs; every DN is the number of its pixel."""
    folder: Path = tmp_path_factory.mktemp("cogs")
    found = []
    for day in (1, 6):
        assets = {}
        for band, gsd in BANDS.items():
            count = N * 10 // gsd
            values = (1200 + np.arange(count * count).reshape(count, count) % 2000).astype("uint16")
            grid = GeoBox((count, count), affine(gsd), CRS)
            path = folder / f"{band}_{day}.tif"
            wrap_xr(values, grid, nodata=0).odc.write_cog(path, overview_levels=[])
            assets[band] = {
                "href": str(path),
                "type": "image/tiff; application=geotiff",
                "proj:shape": [count, count],
                "proj:transform": list(affine(gsd))[:6],
            }
        west, south, east, north = GeoBox((N, N), affine(10), CRS).footprint("EPSG:4326").boundingbox.bbox
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        properties = {"datetime": f"2023-06-0{day}T10:00:00Z", "proj:epsg": 32633, "s2:processing_baseline": "05.09"}
        found.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
                "id": f"S2_{day}",
                "collection": "sentinel-2-l2a",
                "bbox": [west, south, east, north],
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": properties,
                "assets": assets,
                "links": [],
            }
        )
    return found


def stack(items, gsd: int = 10, **options):
    options = {"assets": [band for band, size in BANDS.items() if size == gsd], "resolution": gsd} | options
    return stackstac.stack(items, dtype="float64", fill_value=np.nan, **({"rescale": False} | options))


@pytest.mark.parametrize("xy_coords", ["topleft", "center"])
def test_results_lie_where_the_rasters_do(items, xy_coords):
    cube = stack(items, xy_coords=xy_coords)
    assert float(cube.x[0]) == ORIGIN[0] + (5 if xy_coords == "center" else 0)

    with warnings.catch_warnings():
        warnings.simplefilter("error", GeoreferenceWarning)
        for part, row, col in ((cube, 0, 0), (cube[..., 7:, 5:], 7, 5), (cube[..., 4:5, 9:10], 4, 9)):
            fine, ndvi = part.sr.upscale("bicubic"), part.to_dataset("band").sr.index("NDVI")
            assert geobox_of(part).affine == ndvi.odc.geobox.affine == ndvi.rio.transform() == affine(10, row, col)
            assert fine.odc.geobox.affine == fine.rio.transform() == affine(10, row, col) @ Affine.scale(0.25)
            assert fine.odc.crs.epsg == ndvi.odc.crs.epsg == 32633


def test_values_stand_where_they_stood(items):
    fine = stack(items).isel(time=0).sr.upscale("bicubic", scale=1, offset=0, quantification=10_000)

    for row, col in ((0, 0), (7, 11), (35, 35)):
        x, y = affine(10) @ (col + 0.5, row + 0.5)
        wanted = (1200 + (row * N + col) % 2000) / 10_000
        assert float(fine.sel(band="B04").sel(x=x, y=y)) == pytest.approx(wanted, abs=1e-6)


def test_ten_and_twenty_metres_on_corners_are_joined(items):
    fused = stack(items).sr.fuse("glp-hpm", other=stack(items, 20))

    assert geobox_of(fused).affine == affine(10)
    assert "B11" in fused.band.values.tolist()


def test_without_coordinates_the_spec_places_the_whole(items):
    cube = stack(items, xy_coords=False)

    assert geobox_of(cube).affine == affine(10)
    assert grid_of(cube).assumed == ""
    with pytest.warns(GeoreferenceWarning, match="write_transform"):
        cube[..., 3:, :].sr.upscale("bicubic")


def test_arithmetic_cropping_by_rioxarray_and_files_keep_the_place(items, tmp_path):
    cube = stack(items)

    halved = cube / 2
    assert geobox_of(halved).affine == affine(10)
    clipped = cube.rio.write_crs(CRS).rio.clip_box(ORIGIN[0] + 51, ORIGIN[1] - 199, ORIGIN[0] + 149, ORIGIN[1] - 61)
    assert (geobox_of(clipped).affine.c, geobox_of(clipped).affine.f) == (clipped.x[0], clipped.y[0])
    clean = cube.drop_vars(["proj:transform", "proj:shape"])  # lists, for which Zarr has no type
    clean.sr.reflectance().sr.to_zarr(tmp_path / "out.zarr", progress=False)
    assert geobox_of(xr_sr.open_zarr(tmp_path / "out.zarr")).affine == affine(10)


def test_stacks_in_another_crs_are_in_that_one_though_items_keep_their_own(items):
    cube = stack(items, epsg=3035)

    fine = cube.sr.upscale("bicubic", scale=2)

    assert fine.odc.crs.epsg == 3035
    assert geobox_of(cube).affine == cube.attrs["transform"]


def test_pystac_items_whose_properties_were_renamed_are_read(items):
    """`Item.from_dict` makes `proj:code` of `proj:epsg`, which stackstac does not read."""
    found = [pystac.Item.from_dict(item) for item in items]
    cube = stack(found, epsg=32633)

    assert cube.sr.upscale("bicubic", scale=2).odc.crs.epsg == 32633


def test_reprojecting_leaves_the_old_code_behind(items):
    """Neither rioxarray nor odc-geo drops the scalar coordinate `epsg`; the error says how."""
    moved = stack(items).odc.assign_crs(CRS).odc.reproject("EPSG:3035", resolution=10)

    with pytest.raises(GridError, match=r"EPSG:3035.*'epsg' EPSG:32633.*cube.drop_vars"):
        moved.sr.upscale("bicubic", scale=2)
    assert moved.drop_vars("epsg").sr.upscale("bicubic", scale=2).odc.crs.epsg == 3035
