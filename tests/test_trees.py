"""What stands on the root of a tree belongs to its nodes, though xarray hands down indexed coordinates only."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS

from tests.cubes import dataset, reflectance
from xr_sr.errors import GeoreferenceWarning, GridError
from xr_sr.georeference import geobox_of
from xr_sr.trees import node_dataset

SIDE = 12
UTM33 = xr.Variable((), 0, {"crs_wkt": CRS("EPSG:32633").to_wkt(), "GeoTransform": "600000 60 0 5800300 0 -60"})


def node(bands: tuple[str, ...] = ("B03", "B04", "B08")) -> xr.Dataset:
    """Bands on two dates whose CRS is told by nobody."""
    cube = dataset(reflectance(2, len(bands), SIDE, SIDE), bands).drop_vars("spatial_ref")
    for name in ("y", "x"):
        cube[name].attrs = {}
    for array in cube.data_vars.values():
        array.encoding, array.attrs = {}, {}
    return cube


ROOTS = {
    "coordinate": xr.Dataset(coords={"spatial_ref": UTM33}),
    "variable": xr.Dataset({"crs": UTM33}),
    "scalar epsg": xr.Dataset(coords={"epsg": 32633}),
    "attribute": xr.Dataset(attrs={"proj:code": "EPSG:32633"}),
    "attribute of EOPF": xr.Dataset(attrs={"stac_discovery": {"properties": {"proj:epsg": 32633}}}),
}


@pytest.mark.parametrize("depth", ["/r10m", "/measurements/reflectance/r10m"])
@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.filterwarnings("error::xr_sr.errors.GeoreferenceWarning")
def test_the_crs_of_the_root_is_that_of_the_nodes(root, depth):
    tree = xr.DataTree.from_dict({"/": ROOTS[root], depth: node()})
    wanted = Affine(10, 0, 600_000, 0, -10, 5_800_300)

    for result in (
        tree.sr.upscale("bicubic", scale=2),
        tree[depth].sr.upscale("bicubic", scale=2),
        tree.sr.index("NDVI"),
        tree.sr.water("NDWI", threshold=0.0),
        tree.sr.reflectance().sr.index("NDVI"),
    ):
        assert geobox_of(result).crs.epsg == result.odc.crs.epsg == 32633
        assert geobox_of(result).affine.c == wanted.c
        assert abs(result.odc.geobox.affine.a) in (10, 5)


def test_what_a_node_names_itself_counts():
    own = node().assign_coords(spatial_ref=xr.Variable((), 0, {"crs_wkt": CRS("EPSG:32632").to_wkt()}))
    tree = xr.DataTree.from_dict({"/": ROOTS["coordinate"], "/r10m": own})

    assert tree.sr.upscale("bicubic").odc.crs.epsg == 32632


def test_a_node_and_its_root_that_differ_under_two_names_are_an_error():
    tree = xr.DataTree.from_dict({"/": ROOTS["coordinate"], "/r10m": node().assign_coords(epsg=32632)})

    with pytest.raises(GridError, match="expected one CRS"):
        tree.sr.upscale("bicubic")


def test_numbers_per_date_on_the_root_come_along_where_the_dates_are_the_nodes():
    times = node().time
    root = xr.Dataset(coords={"time": times, "boa_add_offset": ("time", [-1000, 0]), "tile": "33UUU"})
    tree = xr.DataTree.from_dict({"/": root, "/r10m": node(), "/r20m": node(("B05",)).isel(time=0, drop=True)})

    assert node_dataset(tree["r10m"]).boa_add_offset.values.tolist() == [-1000, 0]
    assert node_dataset(tree["r10m"]).tile == "33UUU"


def test_the_transform_of_the_root_is_no_nodes():
    """Nodes have pixels of several sizes; one that lacks coordinates is not placed by the transform of another."""
    tree = xr.DataTree.from_dict({"/": ROOTS["coordinate"], "/r10m": node().drop_vars(["x", "y"])})

    with pytest.warns(GeoreferenceWarning, match="lacks the coordinate"):
        fine = tree.sr.upscale("bicubic")
    assert geobox_of(fine).crs is None


def test_a_node_without_parents_is_what_it_was():
    cube = node()

    assert node_dataset(xr.DataTree(cube)).identical(cube)
    assert np.shares_memory(node_dataset(xr.DataTree(cube)).B04.values, cube.B04.values)
