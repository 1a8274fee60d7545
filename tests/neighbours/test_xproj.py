"""xproj and rasterix: a CRS that stands in an index alone, coordinates that an affine transform computes."""

from __future__ import annotations

import numpy as np
import pytest
import rasterix
import rioxarray  # noqa: F401  registers .rio
import xarray as xr
import xproj
from affine import Affine

from tests.cubes import RGBN, array, reflectance
from xr_sr.cube.grid import geobox_of
from xr_sr.errors import GeoreferenceWarning, GridError

TEN = Affine(10, 0, 600_000, 0, -10, 5_800_300)

pytestmark = pytest.mark.filterwarnings("error::xr_sr.errors.GeoreferenceWarning")


def bare() -> xr.DataArray:
    cube = array(reflectance(4, 24, 20)).drop_vars("spatial_ref")
    return cube.assign_coords({dim: cube[dim].drop_attrs(deep=False) for dim in ("y", "x")})


def test_the_crs_of_an_index_alone_is_read_and_written_as_cf_wants_it():
    cube = bare().proj.assign_crs(spatial_ref="EPSG:32633")
    assert not cube.spatial_ref.attrs  # until proj.write_crs_info()

    for result, affine in (
        (cube.sr.upscale("bicubic"), TEN @ Affine.scale(0.25)),
        (cube.to_dataset("band").sr.index("NDVI"), TEN),
        (cube[:, 3:, 2:].sr.upscale("bicubic"), TEN @ Affine.translation(2, 3) @ Affine.scale(0.25)),
    ):
        assert result.odc.crs.epsg == 32633
        assert result.odc.geobox.affine == result.rio.transform() == affine
    assert isinstance(cube.sr.reflectance().xindexes["spatial_ref"], xproj.CRSIndex)


def test_an_index_and_an_attribute_that_differ_are_an_error():
    with pytest.raises(GridError, match="index of 'spatial_ref' names EPSG:32633, the attribute 'epsg' EPSG:32632"):
        bare().proj.assign_crs(spatial_ref="EPSG:32633").assign_attrs(epsg=32632).sr.upscale("bicubic")


def test_coordinates_of_a_raster_index_are_read_sliced_too():
    plain = xr.DataArray(reflectance(4, 24, 20), dims=("band", "y", "x"), coords={"band": list(RGBN)}, name="r")
    mapping = {
        "GeoTransform": " ".join(map(str, TEN.to_gdal())),
        "crs_wkt": array(np.zeros((1, 2, 2)), ["B04"]).spatial_ref.crs_wkt,
    }
    cube = rasterix.assign_index(plain.assign_coords(spatial_ref=xr.Variable((), 0, mapping)).to_dataset())["r"]
    assert isinstance(cube.xindexes["x"], rasterix.RasterIndex)

    assert geobox_of(cube).affine == TEN
    part, wanted = cube[:, 5:, 7:], TEN @ Affine.translation(7, 5)
    assert geobox_of(part).affine == wanted
    assert part.sr.upscale("bicubic").odc.geobox.affine == wanted @ Affine.scale(0.25)


def test_without_any_crs_there_is_the_warning():
    with pytest.warns(GeoreferenceWarning, match="no CRS"):
        bare().sr.upscale("bicubic")
