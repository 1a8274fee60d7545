"""cubo: real cubes of a local STAC API lie where its rasters do, on corners by default and on centers."""

from __future__ import annotations

import warnings

import cubo
import numpy as np
import pytest
import rioxarray  # noqa: F401  registers .rio
import xarray as xr
from affine import Affine
from pyproj import Transformer

from tests.io.stac.server import CRS, NORTH, WEST, Api, Scene, serve, truth
from xr_sr.cube.grid import geobox_of, grid_of
from xr_sr.errors import GeoreferenceWarning

SIDE = 32
MIDDLE = (WEST + 643.0, NORTH - 638.0)  # not on an edge: cubo rounds it to 10 m
ORIGIN = (WEST + 640 - 10 * SIDE / 2, NORTH - 640 + 10 * SIDE / 2)
BANDS = ["blue", "green", "red", "nir"]

pytestmark = pytest.mark.filterwarnings("ignore::xr_sr.errors.BandWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with serve(
        [Scene(0, "2023-06-01T10:00:00Z"), Scene(0, "2023-06-06T10:00:00Z")], tmp_path_factory.mktemp("stac")
    ) as made:
        yield made


def create(api: Api, **options):
    lon, lat = Transformer.from_crs(CRS, 4326, always_xy=True).transform(*MIDDLE)
    return cubo.create(
        lat=lat, lon=lon, collection="sentinel-2-l2a", bands=BANDS, start_date="2023-06-01", end_date="2023-06-30",
        edge_size=SIDE, resolution=10, stac=api.url, stackstac_kw={"rescale": False, "fill_value": np.float64("nan")},
        **options,
    )  # fmt: skip


def affine(row: int = 0, col: int = 0) -> Affine:
    return Affine(10, 0, ORIGIN[0] + 10 * col, 0, -10, ORIGIN[1] - 10 * row)


@pytest.mark.parametrize("dataset", [False, True])
@pytest.mark.parametrize("xy_coords", ["topleft", "center"])
def test_results_lie_where_the_rasters_do(api, xy_coords, dataset):
    cube = create(api, xy_coords=xy_coords, dataset=dataset)
    assert float(cube.x[0]) == ORIGIN[0] + (5 if xy_coords == "center" else 0)
    assert "transform" not in cube.attrs

    with warnings.catch_warnings():
        warnings.simplefilter("error", GeoreferenceWarning)
        for part, row, col in ((cube, 0, 0), (cube.isel(x=slice(5, None), y=slice(7, None)), 7, 5)):
            fine, ndvi = part.sr.upscale("bicubic", offset=0), part.sr.index("NDVI", offset=0)
            assert geobox_of(part).affine == ndvi.odc.geobox.affine == ndvi.rio.transform() == affine(row, col)
            assert fine.odc.geobox.affine == affine(row, col) @ Affine.scale(0.25)
            assert fine.odc.crs.epsg == ndvi.odc.crs.epsg == 32633


def test_values_stand_where_they_stood(api):
    fine = create(api).isel(time=0).sr.upscale("bicubic", scale=1, offset=0, quantification=10_000)

    x, y = affine() @ (3.5, 9.5)
    row, col = int((NORTH - y) // 10), int((x - WEST) // 10)
    assert float(fine.sel(band="red").sel(x=x, y=y)) == pytest.approx(truth("B04", 0, 10)[row, col] / 10_000, abs=1e-6)


@pytest.mark.parametrize("xy_coords", ["topleft", "center"])
def test_trees_lie_where_the_rasters_do(api, xy_coords):
    """x, y and the distances stand on the root alone, the distances without an index."""
    tree = create(api, xy_coords=xy_coords, datatree=True, dataset=True)
    assert isinstance(tree, xr.DataTree)

    assert geobox_of(tree.sr.index("NDVI", offset=0)).affine == affine()
    assert tree.sr.upscale("bicubic", offset=0).odc.crs.epsg == 32633


def test_what_lost_the_distances_is_warned_of_and_not_moved(api):
    cube = create(api).drop_vars("cubo:distance_from_center")

    with pytest.warns(GeoreferenceWarning, match="half a pixel"):
        fine = cube.sr.upscale("bicubic", offset=0)
    assert geobox_of(fine).affine.c == ORIGIN[0] - 5
    assert grid_of(create(api, xy_coords="center").drop_vars("cubo:distance_from_center")).assumed == ""
