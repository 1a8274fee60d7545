"""What stands on the root of a tree belongs to its nodes, though xarray hands down indexed coordinates only."""

from __future__ import annotations

import warnings
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS

import xr_sr
from tests.cubes import dataset, reflectance
from tests.cubes import geobox_of as geobox_of_cube
from xr_sr.cube.grid import geobox_of
from xr_sr.cube.trees import node_dataset
from xr_sr.errors import GeoreferenceWarning, GridError, RadiometryError

SIDE = 12
UTM33 = xr.Variable((), 0, {"crs_wkt": CRS("EPSG:32633").to_wkt(), "GeoTransform": "600000 60 0 5800300 0 -60"})


def node(bands: tuple[str, ...] = ("B03", "B04", "B08")) -> xr.Dataset:
    """Bands on two dates without any CRS."""
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


OTHERS = {
    "grid mapping": lambda cube: cube.assign_coords(
        spatial_ref=xr.Variable((), 0, {"crs_wkt": CRS("EPSG:32632").to_wkt()})
    ),
    "scalar epsg": lambda cube: cube.assign_coords(epsg=32632),
    "attribute": lambda cube: cube.assign_attrs(crs="EPSG:32632"),
    "attribute of x": lambda cube: cube.assign_coords(x=cube.x.assign_attrs(crs="EPSG:32632")),
}


@pytest.mark.parametrize("where", OTHERS)
@pytest.mark.parametrize(
    "root", ["coordinate", "variable", "scalar epsg", pytest.param("crs", id="attribute of the cube")]
)
def test_a_root_that_names_another_crs_than_its_node_is_an_error(root, where):
    """Under one name or two; no node is passed over because of it, though another one could be read."""
    above = xr.Dataset(attrs={"crs": 32633}) if root == "crs" else ROOTS[root]
    coarse = node(("B05",)).isel(x=slice(0, 6), y=slice(0, 6))
    tree = xr.DataTree.from_dict({"/": above, "/r10m": OTHERS[where](node()), "/r20m": coarse})

    for call in (
        lambda: tree.sr.upscale("bicubic"),
        lambda: tree.sr.index("NDVI"),
        lambda: tree.sr.reflectance(),
        lambda: tree["r10m"].sr.upscale("bicubic"),
        lambda: tree.sr.fuse("bicubic"),
    ):
        with pytest.raises(GridError, match=r"EPSG:32632.*'/'.*EPSG:32633"):
            call()


def test_items_of_the_root_may_lie_in_another_crs_than_the_node():
    own = node().assign_coords(spatial_ref=xr.Variable((), 0, {"crs_wkt": CRS("EPSG:32632").to_wkt()}))
    tree = xr.DataTree.from_dict({"/": ROOTS["attribute of EOPF"], "/r10m": own})

    assert tree.sr.upscale("bicubic").odc.crs.epsg == 32632


def test_a_node_uses_the_grid_mapping_that_it_points_at():
    other = xr.Variable((), 0, {"crs_wkt": CRS("EPSG:32632").to_wkt()})
    bands = node()
    for array in bands.data_vars.values():
        array.encoding["grid_mapping"] = "utm33"
    tree = xr.DataTree.from_dict({"/": xr.Dataset(coords={"utm33": UTM33, "utm32": other}), "/r10m": bands})

    assert geobox_of(tree.sr.upscale("bicubic")).crs.epsg == 32633


def test_a_value_that_cannot_be_read_is_an_error_unless_the_root_names_the_crs():
    bands = node().assign_attrs(crs="hello")
    named = xr.DataTree.from_dict({"/": ROOTS["scalar epsg"], "/r10m": bands})
    alone = xr.DataTree.from_dict({"/r10m": bands})
    above = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"epsg": 123456}), "/r10m": node()})

    assert named.sr.upscale("bicubic").odc.crs.epsg == 32633
    with pytest.raises(GridError, match=r"'crs'.*'hello'"):
        alone.sr.upscale("bicubic")
    with pytest.raises(GridError, match=r"'epsg'.*'/'.*123456"):
        above.sr.upscale("bicubic")


# -- a transform on the root ------------------------------------------------------------------------------------------


def placed_node(bands: tuple[str, ...], gsd: int, anchor: float) -> xr.Dataset:
    """A node whose x and y stand in its pixels at `anchor`: 0 is the upper left corner, 0.5 the center."""
    count = 120 // gsd
    steps = gsd * (np.arange(count) + anchor)
    places = {"y": 5_800_300 - steps, "x": 600_000 + steps}
    return xr.Dataset({band: (("y", "x"), np.full((count, count), 0.2, "float32")) for band in bands}, places)


TRANSFORM = (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_800_300.0)
PLACED = {
    "attribute": {"attrs": {"transform": TRANSFORM, "crs": "EPSG:32633"}},
    "coordinate": {"coords": {"transform": ("affine", list(TRANSFORM)), "epsg": 32633}},
    "GeoTransform": {"coords": {"utm": ((), 0, {**UTM33.attrs, "GeoTransform": "600000 10 0 5800300 0 -10"})}},
}


@pytest.mark.parametrize("anchor", [0.0, 0.5])
@pytest.mark.parametrize("where", PLACED)
@pytest.mark.filterwarnings("error::xr_sr.errors.GeoreferenceWarning")
def test_the_transform_of_the_root_tells_whether_nodes_are_on_corners(where, anchor):
    """Nodes with wider pixels too, whose corners and centers both stand on corners of the root's pixels."""
    nodes = {
        "/r10m": placed_node(("B03", "B04", "B08"), 10, anchor),
        "/r20m": placed_node(("B05", "B11"), 20, anchor),
        "/r60m": placed_node(("B01",), 60, anchor),
    }
    tree = xr.DataTree.from_dict({"/": xr.Dataset(**PLACED[where]), **nodes})
    if (where, anchor) == ("GeoTransform", 0.0):  # the move is warned of
        warnings.filterwarnings("ignore", ".*'GeoTransform'", GeoreferenceWarning)

    for result in (
        tree.sr.upscale("bicubic", bands=["B04"]),
        tree.sr.fuse("bicubic"),
        tree.sr.index("NDVI"),
        tree.sr.index("MNDWI", grid="coarse"),
        tree.sr.reflectance().sr.upscale("bicubic", bands=["B04"]),
        *(tree[name].sr.upscale("bicubic", scale=2) for name in ("r10m", "r20m", "r60m")),
    ):
        affine = result.odc.geobox.affine
        assert (affine.c, affine.f) == (600_000, 5_800_300)
        assert result.odc.crs.epsg == 32633


@pytest.mark.parametrize("anchor", [0.0, 0.5])
def test_nodes_of_wider_pixels_alone_are_a_doubt(anchor):
    root = xr.Dataset(**PLACED["attribute"])
    tree = xr.DataTree.from_dict({"/": root, "/r20m": placed_node(("B05", "B11"), 20, anchor)})

    assert "transform" not in node_dataset(tree["r20m"]).attrs


def test_a_geotransform_of_a_node_counts_more_than_that_of_the_root():
    root = xr.Dataset(**PLACED["GeoTransform"])
    own = xr.Variable((), 0, {**UTM33.attrs, "GeoTransform": "599990 20 0 5800310 0 -20"})
    node = placed_node(("B05", "B11"), 20, 0.0).assign_coords(utm=own)  # centers on its own lattice
    tree = xr.DataTree.from_dict({"/": root, "/r10m": placed_node(("B04",), 10, 0.0), "/r20m": node})

    assert geobox_of(node_dataset(tree["r20m"])).affine[2:6:3] == (599_990, 5_800_310)
    assert geobox_of(node_dataset(tree["r10m"])).affine[2:6:3] == (600_000, 5_800_300)


@pytest.mark.parametrize("size", [10, 20])
def test_the_geotransform_of_the_root_confirms_centers_in_pixels_of_its_size(size):
    """Centers on whole multiples of 10 m would be a doubt without it."""
    mapping = xr.Variable((), 0, {**UTM33.attrs, "GeoTransform": f"599995 {size} 0 5800305 0 -{size}"})
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(coords={"spatial_ref": mapping}), "/r10m": placed_node(("B03", "B04", "B08"), 10, 0.0)}
    )

    if size == 20:
        with pytest.warns(GeoreferenceWarning, match="whole multiples of 10 m"):
            fine = tree.sr.upscale("bicubic")
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GeoreferenceWarning)
            fine = tree.sr.upscale("bicubic")
    assert (fine.odc.geobox.affine.c, fine.odc.geobox.affine.f) == (599_995, 5_800_305)


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


# -- what tells the offset of DN --------------------------------------------------------------------------------------

GROUND = 0.2
OFFSETS = [-1000.0, 0.0]
TIME = np.array(["2023-06-01T10:30:00", "2023-06-06T10:30:00"], "datetime64[ns]")


def dn(names: tuple[str, ...], ratio: int = 1) -> xr.Dataset:
    """DN of one reflectance at two dates of different offsets, on the grid of 10 m or one of wider pixels."""
    box = geobox_of_cube(SIDE, SIDE).zoom_out(ratio)
    values = np.full((2, len(names), *box.shape), GROUND * 10_000)
    values[0] += 1000
    return dataset(values.astype("uint16"), names, geobox=box).drop_vars("time")


def two_grids(root: xr.Dataset) -> xr.DataTree:
    nodes = {"/r10m": dn(("B04", "B03", "B02", "B08")), "/r20m": dn(("B05", "B11"), 2)}
    return xr.DataTree.from_dict({"/": root, **nodes})


FACTS: dict[str, dict[str, Any]] = {
    "offset": {"boa_add_offset": ("time", OFFSETS)},
    "flags and baselines": {
        "earthsearch:boa_offset_applied": ("time", [False, True]),
        "s2:processing_baseline": ("time", ["05.09", "05.09"]),
    },
    "names of products": {
        "s2:product_uri": (
            "time",
            [
                "S2A_MSIL2A_20230601T101031_N0509_R022_T33UUU_20230601T161800.SAFE",
                "S2A_MSIL2A_20230606T101031_N0214_R022_T33UUU_20230606T161800.SAFE",
            ],
        )
    },
    "not read yet": {"boa_add_offset": ("time", da.from_array(np.array(OFFSETS)))},
}


def root_with(facts: str, where: str) -> xr.Dataset:
    root = xr.Dataset(coords={"time": TIME})
    if where == "attributes":
        return root.assign_attrs({name: np.asarray(values).tolist() for name, (_, values) in FACTS[facts].items()})
    return root.assign_coords(FACTS[facts]) if where == "coordinates" else root.assign(FACTS[facts])


@pytest.mark.parametrize("where", ["coordinates", "variables", "attributes"])
@pytest.mark.parametrize("facts", FACTS)
def test_each_date_of_each_node_has_the_offset_that_the_root_tells(facts, where):
    found = xr_sr.reflectance(two_grids(root_with(facts, where)))

    for name in ("r10m", "r20m"):
        assert found[name].radiometry_offset.values.tolist() == OFFSETS
        for band in found[name].data_vars.values():
            np.testing.assert_allclose(band, GROUND, atol=1e-6)


@pytest.mark.parametrize("where", ["coordinates", "attributes"])
def test_every_reader_of_a_tree_finds_it(where):
    tree = two_grids(root_with("flags and baselines", where))
    fine = [
        tree.sr.upscale("nearest", scale=2, bands=["B04"]),
        tree["r10m"].sr.upscale("nearest", scale=2),
        tree["r20m"].sr.upscale("nearest", scale=2),
        tree.sr.reflectance().sr.upscale("nearest", scale=2, bands=["B04"]),
        tree.sr.fuse("bicubic"),
    ]

    for result in fine:
        for band in result.data_vars.values():
            np.testing.assert_allclose(band, GROUND, atol=1e-6)
    assert "B11" in fine[-1]
    for index in (tree.sr.index("NDVI"), tree.sr.index("MNDWI", grid="coarse")):
        np.testing.assert_allclose(index, 0, atol=1e-6)


def test_what_a_node_tells_counts_more_than_its_parents():
    cube = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"s2:processing_baseline": "02.14"}),
            "/r10m": dn(("B04",)).isel(time=0).assign_attrs({"s2_processing_baseline": "05.09"}),
        }
    )

    np.testing.assert_allclose(xr_sr.reflectance(cube)["r10m/B04"], GROUND, atol=1e-6)


def test_the_nearest_parent_counts_and_what_tells_no_offset_stays_where_it_is():
    product = xr.Dataset(
        {"mean_sun": ("time", [40.0, 41.0]), "boa_add_offset": ("time", OFFSETS)}, {"time": TIME}, {"title": "a scene"}
    )
    cube = xr.DataTree.from_dict(
        {
            "/": xr.Dataset({"boa_add_offset": 7.0, "orbit": 22}, attrs={"history": "made"}),
            "/product": product,
            "/product/r10m": dn(("B04",)),
        }
    )
    found = node_dataset(cube["product/r10m"])

    assert found["boa_add_offset"].values.tolist() == OFFSETS
    assert found.attrs == {"title": "a scene"}
    assert not {"mean_sun", "orbit"} & set(found.variables)


def test_numbers_of_other_dates_are_not_taken():
    root = xr.Dataset({"boa_add_offset": ("date", [-1000.0, 0.0, 0.0])})

    with pytest.raises(RadiometryError, match="offset=-1000"):
        xr_sr.reflectance(two_grids(root))
