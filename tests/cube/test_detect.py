"""What is taken for a cube, and how its parts are told apart; nothing here may compute a pixel."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  registers .odc
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

import xr_sr
from tests.cubes import array, reflectance, untouchable
from xr_sr.cube.detect import recognize, warn_caller
from xr_sr.errors import (
    AmbiguousBandError,
    BandWarning,
    CubeError,
    GeoreferenceWarning,
    GridError,
    MissingBandError,
)

GB10 = GeoBox((8, 6), Affine(10, 0, 600_000, 0, -10, 5_700_000), "EPSG:32633")
RGBN = ["B04", "B03", "B02", "B08"]


def layer(geobox: GeoBox = GB10, lead: dict[str, int] | None = None, **options: object) -> xr.DataArray:
    """One variable that fails when it is computed."""
    return untouchable(geobox, lead, **options)


def dataset(names: list[str], **kwargs: object) -> xr.Dataset:
    return xr.Dataset({name: layer(**kwargs) for name in names})


def stack(
    labels: list[object] | None, geobox: GeoBox = GB10, dim: str = "band", size: int = 4, **attrs: object
) -> xr.DataArray:
    array = layer(geobox, lead={dim: size if labels is None else len(labels)}, **attrs)
    return array if labels is None else array.assign_coords({dim: labels})


def bands_of(obj: object) -> list[str]:
    return [plane.band for plane in recognize(obj).planes]


@pytest.mark.parametrize("dims", itertools.permutations(("time", "band", "y", "x")))
def test_any_order_of_dims_is_read(dims):
    array = layer(lead={"time": 2, "band": 4}).assign_coords(band=RGBN).transpose(*dims).rename("image")

    cube = recognize(array)

    assert [(plane.band, plane.name, plane.index) for plane in cube.planes] == [(n, n, i) for i, n in enumerate(RGBN)]
    assert cube.planes[0].array.dims == ("time", "band", "y", "x")
    assert (cube.lead, cube.band_dim, cube.y, cube.x) == (("time",), "band", "y", "x")
    assert cube.geobox == GB10
    assert cube.source is array


@pytest.mark.parametrize("dim", ["band", "bands", "wavelength", "Channel", "variable", "spectral_index"])
def test_the_band_dimension_may_have_many_names(dim):
    assert recognize(stack(RGBN, dim=dim)).band_dim == dim


def test_labels_decide_between_two_band_dimensions():
    array = layer(lead={"band": 1, "name_of_it": 2}).assign_coords(band=[1], name_of_it=["red", "nir"])

    cube = recognize(array)

    assert (cube.band_dim, cube.lead) == ("name_of_it", ("band",))


@pytest.mark.parametrize(
    "names", [("blue", "nir08"), ("B02", "B8A"), ("B02_10m", "B8A_20m"), ("B2", "B8A"), ("b02", "b8a")]
)
def test_names_of_all_catalogues_in_variables_and_labels(names):
    assert bands_of(dataset(list(names))) == bands_of(stack(list(names))) == ["B02", "B8A"]
    assert [plane.name for plane in recognize(dataset(list(names))).planes] == list(names)


@pytest.mark.parametrize("attribute", ["long_name", "description", "common_name"])
@pytest.mark.parametrize("kind", [tuple, list, np.array])
def test_numbered_bands_are_named_by_attributes(attribute, kind):
    array = stack([1, 2, 3], **{attribute: kind(["B4", "B8", "B8A"])})

    cube = recognize(array)

    assert [(plane.band, plane.name) for plane in cube.planes] == [("B04", 1), ("B08", 2), ("B8A", 3)]


def test_numbered_bands_are_named_by_coordinates_along_them():
    array = stack([0, 1]).assign_coords(common_name=("band", ["red", "nir08"]), gsd=("band", [10, 20]))

    assert bands_of(array) == ["B04", "B8A"]


def test_bands_without_coordinate_are_named_by_attributes():
    cube = recognize(stack(None, size=2, long_name=("B04", "B08")))

    assert [plane.name for plane in cube.planes] == ["B04", "B08"]


def test_variables_are_named_by_attributes():
    cube = recognize(
        xr.Dataset({"band_1": layer(long_name="B8"), "band_2": layer(description="B8A, central wavelength 865 nm")})
    )

    assert {plane.name: plane.band for plane in cube.planes} == {"band_1": "B08", "band_2": "B8A"}


def test_a_name_counts_more_than_an_attribute():
    ds = xr.Dataset(
        {"red": layer(long_name="B08"), "red_sd": layer(dtype="float32", long_name="B04 standard deviation")}
    )

    cube = recognize(ds)

    assert [(plane.name, plane.band) for plane in cube.planes] == [("red", "B04")]
    assert cube.dropped == ("red_sd",)


@pytest.mark.parametrize("dims", [("y", "x"), ("time", "y", "x"), ("y", "x", "time")])
@pytest.mark.parametrize("how", ["name", "long_name", "coordinate", "length one"])
def test_an_array_of_one_band_needs_no_band_dimension(dims, how):
    array = layer(lead={"time": 2} if "time" in dims else {}).transpose(*dims)
    if how == "name":
        array = array.rename("red")
    elif how == "long_name":
        array = array.rename("reflectance").assign_attrs(long_name="B04")
    elif how == "coordinate":
        array = array.assign_coords(band="B4")
    else:
        array = array.expand_dims(band=[1]).rename("B04")

    cube = recognize(array)

    assert [plane.band for plane in cube.planes] == ["B04"]
    assert cube.band_dim == ("band" if how == "length one" else None)
    assert cube.lead == tuple(dim for dim in dims if dim == "time")


@pytest.mark.parametrize("labels", [[1, 2, 3, 4], None])
def test_numbers_alone_are_an_error_that_shows_the_way_out(labels):
    with pytest.raises(AmbiguousBandError, match=r"assign_coords\(band=\['B02', 'B03', 'B04', 'B08'\]\)"):
        recognize(stack(labels))


def test_variables_that_are_numbered_show_the_way_out():
    with pytest.raises(MissingBandError, match=r"rename\(\{'band_1': 'B02'"):
        recognize(dataset(["band_1", "band_2"]))


def test_a_dataset_around_one_array_says_so():
    with pytest.raises(MissingBandError, match=r"cube\['band_data'\]"):
        recognize(stack(RGBN).to_dataset(name="band_data"))


def test_strange_names_are_an_error_that_lists_them():
    with pytest.raises(MissingBandError, match="'VV', 'VH'"):
        recognize(stack(["VV", "VH"]))
    with pytest.raises(MissingBandError, match="'elevation'"):
        recognize(layer(dtype="float32").rename("elevation"))
    with pytest.raises(MissingBandError, match="y and x"):
        recognize(xr.Dataset(coords=xr_coords(GB10)))


def test_other_types_are_an_error_that_shows_how_to_wrap():
    with pytest.raises(CubeError, match=r"xr.DataArray\(array, dims="):
        recognize(np.zeros((4, 8, 6)))


def test_no_space_is_an_error_that_shows_rename():
    with pytest.raises(GridError, match="rename"):
        recognize(xr.DataArray(np.zeros((2, 3)), dims=("time", "band")))


@pytest.mark.parametrize("empty", [{"y": slice(0)}, {"x": slice(0)}, {"time": slice(0)}])
def test_nothing_is_an_error(empty):
    array = layer(lead={"time": 2, "band": 4}).assign_coords(band=RGBN).isel(empty)

    with pytest.raises(GridError):
        recognize(array)


def test_flags_extras_and_strangers_are_told_apart():
    """As odc-stac loads with_properties, with masks, classes and products beside the bands."""
    time = {"time": 2}
    cube = recognize(
        dataset(["red", "nir"], lead=time).assign(
            SCL=layer(dtype="uint8", lead=time),
            clear=layer(dtype="bool"),
            QA60=layer(dtype="uint16"),
            landcover=layer(dtype="int32", flag_values=[1, 2]),
            s2_processing_baseline=("time", [5.09, 5.09]),
            mean_sun=45.0,
            AOT=layer(dtype="float32", lead=time),
            elevation=layer(dtype="int16"),
            row_noise=("y", np.zeros(8)),
        )
    )

    assert [plane.band for plane in cube.planes] == ["B04", "B08"]
    assert [flags.name for flags in cube.flags] == ["SCL", "clear", "QA60", "landcover"]
    assert cube.extras == ("s2_processing_baseline", "mean_sun")
    assert cube.dropped == ("AOT", "elevation", "row_noise")


@pytest.mark.parametrize(
    "mask", [layer(dtype="bool"), layer(flag_meanings="cloud shadow")], ids=["bool", "flag_meanings"]
)
def test_flags_are_never_bands_even_by_name(mask):
    cube = recognize(xr.Dataset({"B04": layer(), "B03": mask, "mask_B02": layer(), "B08_cloud": layer()}))

    assert [plane.band for plane in cube.planes] == ["B04"]
    assert {flags.name for flags in cube.flags} == {"B03", "mask_B02", "B08_cloud"}


def test_floats_that_are_named_like_flags_are_no_bands_and_pass_unchanged():
    """A probability, or a mask after `where`: in a frame of its own around the names of bands."""
    names = ("S2_B04", "S2_B08", "mask_B04", "mask_B08")
    cube = dataset(names, dtype="float32")

    assert [plane.name for plane in recognize(cube).planes] == ["S2_B04", "S2_B08"]
    converted = cube.sr.reflectance(offset=0)
    for name in names[2:]:
        assert converted[name].data is cube[name].data
    with pytest.raises(MissingBandError, match="red_valid"):
        recognize(dataset(["red_valid", "nir_valid"], dtype="float32"))


def test_flags_among_labels_are_left_out_by_name():
    cube = recognize(stack(["B04", "SCL", "nir"]))

    assert [(plane.band, plane.index) for plane in cube.planes] == [("B04", 0), ("B08", 2)]
    assert cube.dropped == ("SCL",)


def test_eight_bit_bands_stay_bands():
    """So that `radiometry` can say what is wrong with them."""
    assert bands_of(dataset(["B04", "B03"], dtype="uint8")) == ["B04", "B03"]


def test_coordinates_on_the_grid_are_sorted_too():
    array = stack(RGBN).assign_coords(clear=(("y", "x"), np.ones((8, 6), bool)), height=(("y", "x"), np.ones((8, 6))))

    cube = recognize(array)

    assert [flags.name for flags in cube.flags] == ["clear"]
    assert cube.dropped == ("height",)


def test_two_dims_orders_in_one_dataset_share_their_lead():
    ds = xr.Dataset(
        {
            "red": layer(lead={"time": 2, "member": 3}),
            "nir": layer(lead={"member": 3, "time": 2}).transpose("y", "member", "x", "time"),
        }
    )

    cube = recognize(ds)

    assert cube.lead == ("time", "member")
    assert {plane.array.dims for plane in cube.planes} == {("time", "member", "y", "x")}


def test_degrees_have_latitude_and_longitude():
    geobox = GeoBox((4, 5), Affine(1e-4, 0, 13, 0, -1e-4, 52), "EPSG:4326")

    cube = recognize(dataset(["red"], geobox=geobox))

    assert (cube.y, cube.x) == ("latitude", "longitude")
    assert cube.geobox == geobox


def test_no_crs_warns_at_the_callers_line_and_goes_on():
    located = layer(GeoBox((5, 6), GB10.affine, GB10.crs), {"band": 4})
    array = located.drop_vars(["y", "x", "spatial_ref"]).assign_coords(band=RGBN)

    with pytest.warns(GeoreferenceWarning, match="assign_crs") as caught:
        cube = recognize(array)

    assert not cube.has_crs
    assert cube.geobox.shape == (5, 6)
    assert {entry.filename for entry in caught if entry.category is GeoreferenceWarning} == {__file__}


def test_crs_is_found_where_it_is_a_variable():
    """As after open_zarr or open_dataset without decode_coords="all"."""
    ds = dataset(["red", "nir"]).reset_coords("spatial_ref").rename(spatial_ref="crs")

    cube = recognize(ds)

    assert cube.geobox == GB10
    assert (cube.crs_name, cube.extras) == ("crs", ())


def test_files_are_not_read(shared: Path):
    data = shared / "data"
    chip = rioxarray.open_rasterio(data / "flood_spain" / "Spain_7370579_S2Hand.tif")
    series = xr.open_dataset(data / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc")

    chip_cube, series_cube = recognize(chip), recognize(series)

    names = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
    assert [plane.band for plane in chip_cube.planes] == names
    assert [plane.band for plane in series_cube.planes] == [
        name for name in names if name not in ("B01", "B8A", "B09", "B10")
    ]
    assert series_cube.planes[0].name == "S2-L2A-B02"
    assert series_cube.dropped == (
        "S1-SIGMA0-VH",
        "S1-SIGMA0-VV",
        "slope",
        "elevation",
        "AGERA5-PRECIP",
        "AGERA5-TMEAN",
    )
    assert chip_cube.has_crs and series_cube.has_crs
    assert not any(obj.variable._in_memory for obj in (chip, *series.data_vars.values()) if obj.ndim > 1)


def test_files_in_an_unusual_order_are_wrapped_not_read(shared: Path):
    chip = rioxarray.open_rasterio(shared / "data" / "flood_spain" / "Spain_7370579_S2Hand.tif").transpose(
        "y", "x", "band"
    )

    plane = recognize(chip).planes[3]

    assert not chip.variable._in_memory
    assert plane.array.chunks is not None
    np.testing.assert_array_equal(plane.array[plane.index, :9, :9], chip.sel(band=4)[:9, :9])


def nodes(prefix: str = "") -> dict[str, xr.Dataset]:
    """Native grids of one tile, as EOPF and our sample have them."""
    gb20, gb60 = GB10.zoom_out(2), GeoBox((2, 1), Affine(60, 0, 600_000, 0, -60, 5_700_000), "EPSG:32633")
    return {
        f"{prefix}r10m": dataset(["b02", "b03", "b04", "b08"], geobox=GB10),
        f"{prefix}r20m": dataset(["b02", "b05", "b8a", "b11"], geobox=gb20),
        f"{prefix}r60m": dataset(["b01", "b09"], geobox=gb60),
    }


def test_the_node_of_the_models_pixel_size_is_read():
    tree = xr.DataTree.from_dict(nodes())

    found = {gsd: [plane.band for plane in recognize(tree, model_gsd_m=gsd).planes] for gsd in (None, 10.0, 20.0, 60.0)}

    assert found[None] == found[10.0] == ["B02", "B03", "B04", "B08"]
    assert found[20.0] == ["B02", "B05", "B8A", "B11"]
    assert found[60.0] == ["B01", "B09"]
    assert recognize(tree).kind == "DataTree"
    assert recognize(tree).node == "/r10m"


def test_bands_of_other_nodes_are_known_each_with_its_node():
    tree = xr.DataTree.from_dict(nodes("a/"))

    assert recognize(tree).elsewhere == (("a/r20m", ("B05", "B8A", "B11")), ("a/r60m", ("B01", "B09")))
    assert recognize(tree["a"], model_gsd_m=20.0).elsewhere == (
        ("r10m", ("B03", "B04", "B08")),
        ("r60m", ("B01", "B09")),
    )
    assert recognize(tree["a/r20m"]).elsewhere == recognize(dataset(RGBN)).elsewhere == ()


def test_a_map_or_an_index_is_called_what_it_is():
    cube = dataset(RGBN, dtype="float32").chunk() / 10
    index = cube.sr.index("NDWI", offset=0, quantification=1)
    water = cube.sr.water(index="NDWI", threshold=0.0, offset=0, quantification=1)

    for product, words in (
        (index, "'NDWI' is the index NDWI"),
        (index.to_dataset(), "'NDWI' is the index NDWI"),
        (water, r"classes \(dry, water, unknown\)"),
        (water.to_dataset(), r"classes \(dry, water, unknown\)"),
    ):
        with pytest.raises(MissingBandError, match=words) as caught:
            recognize(product)
        assert "rename" not in str(caught.value)
        assert "classes" in repr(product.sr) or "the index" in repr(product.sr)


@pytest.mark.parametrize("path", ["scene.tif", Path("scene.tif")])
def test_a_path_is_to_be_opened_first(path):
    with pytest.raises(CubeError, match=r"xr_sr\.open\('scene\.tif'\)"):
        recognize(path)


def with_truth() -> xr.DataTree:
    """Nodes of one tile with a reference image of finer pixels beside them, as `simulate_scene` returns them."""
    finer = dataset(["b02", "b03", "b04", "b05", "b08", "b8a"], geobox=GB10.zoom_out(0.25))
    return xr.DataTree.from_dict({"hr": finer, **nodes("lr/")})


def test_the_node_nearest_to_10_m_is_read_whatever_else_is_there():
    tree = with_truth()
    cube = recognize(tree)

    assert cube.node == "/lr/r10m"
    assert cube.elsewhere == (("lr/r20m", ("B05", "B8A", "B11")), ("lr/r60m", ("B01", "B09")))
    assert [path for path, _ in cube.others] == ["hr", "lr/r20m", "lr/r60m"]
    assert recognize(tree, model_gsd_m="finest").node == "/hr"
    assert recognize(xr.DataTree.from_dict({name: nodes()[name] for name in ("r20m", "r60m")})).node == "/r20m"


def test_of_the_levels_of_a_result_the_finest_is_read():
    sizes = {"0": 0.25, "1": 0.5, "2": 1}
    levels = {name: dataset(RGBN, geobox=GB10.zoom_out(size)) for name, size in sizes.items()}
    made = {name: level.assign_attrs({"xr_sr:model": "bicubic"}) for name, level in levels.items()}

    assert recognize(xr.DataTree.from_dict(made)).node == "/0"
    assert recognize(xr.DataTree.from_dict(levels)).node == "/2"


def test_bands_left_behind_are_named_with_the_way_out():
    tree = xr.DataTree.from_dict(nodes())
    cube = recognize(tree)

    with pytest.warns(BandWarning, match="B05, B8A, B11 of r20m; B01, B09 of r60m") as caught:
        cube.warn_left_behind("'bicubic'")
    assert "cube['r20m'].sr.upscale(...)" in str(caught[0].message)
    assert "cube['/r10m'].sr.upscale(...)" in str(caught[0].message)
    assert caught[0].filename == __file__
    for node, band in (("r20m", "B05"), ("/r10m", "B08")):
        way_out = recognize(tree[node], model_gsd_m=10.0)
        assert band in way_out.available
        way_out.warn_left_behind("'bicubic'")  # silent: a warning would be an error here


def test_nodes_of_any_name_are_told_by_pixel_size():
    tree = xr.DataTree.from_dict(
        {f"a/{size}": node for size, node in zip(("fine", "middle", "coarse"), nodes().values(), strict=True)}
    )

    assert recognize(tree, model_gsd_m=20.0).node == "/a/middle"


def test_eopf_products_are_read():
    """CRS in attributes of the root, masks named as bands, SCL as float beside them: as the EOPF samples are."""

    def bare(ds: xr.Dataset) -> xr.Dataset:
        return (
            ds.drop_vars("spatial_ref")
            .assign_coords({dim: ds[dim].drop_attrs(deep=False) for dim in ("y", "x")})
            .drop_vars("spatial_ref")
        )

    gb20 = GB10.zoom_out(2)
    tree = xr.DataTree.from_dict(
        {
            **{path: bare(ds) for path, ds in nodes("measurements/reflectance/").items()},
            "quality/mask/r10m": bare(dataset(["b02", "b03", "b04", "b08"], dtype="uint8")),
            "conditions/mask/detector_footprint/r10m": bare(dataset(["b02"], dtype="uint8")),
            "conditions/mask/l2a_classification/r20m": bare(dataset(["scl"], geobox=gb20, dtype="float64")),
            "conditions/mask/l2a_classification/r60m": bare(dataset(["scl"], geobox=GB10.zoom_out(4), dtype="float64")),
        }
    )
    tree.attrs["other_metadata"] = {"horizontal_CRS_code": "EPSG:32633"}

    cube = recognize(tree, model_gsd_m=10.0)

    assert cube.node == "/measurements/reflectance/r10m"
    assert cube.geobox == GB10
    assert [(flags.name, flags.factor) for flags in cube.flags] == [("scl", 2)]


def test_scl_of_another_place_is_not_taken():
    tree = xr.DataTree.from_dict(
        {**nodes(), "r20m": dataset(["b05", "scl"], geobox=GB10.zoom_out(2).translate_pix(1, 0), dtype="uint8")}
    )

    assert recognize(tree).flags == ()


def test_two_nodes_of_one_size_are_an_error_that_names_them():
    tree = xr.DataTree.from_dict({"first/r10m": dataset(["B02"]), "second/r10m": dataset(["B02"])})

    with pytest.raises(AmbiguousBandError, match=r"'/first/r10m', '/second/r10m'.*cube\['/first/r10m'\]"):
        recognize(tree)


def test_a_tree_without_bands_says_what_it_has():
    with pytest.raises(MissingBandError, match="'/a', '/b'"):
        recognize(xr.DataTree.from_dict({"a": dataset(["VV"]), "b": dataset(["VH"])}))
    with pytest.raises(MissingBandError):
        recognize(xr.DataTree())


def test_a_tree_whose_nodes_have_no_pixels_says_so():
    tree = xr.DataTree.from_dict({"r10m": dataset(RGBN), "r20m": dataset(["B05"], geobox=GB10.zoom_out(2))})

    with pytest.raises(GridError, match="^node '/r10m': "):
        recognize(tree.isel(y=slice(0, 0)))


def test_a_tree_of_one_dataset_is_that_dataset():
    cube = recognize(xr.DataTree(dataset(["red", "nir"])))

    assert (cube.kind, cube.node, cube.available) == ("DataTree", "/", ("B04", "B08"))


def test_warnings_point_out_of_the_package():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_caller("so it is", BandWarning)

    assert caught[0].filename == __file__


UNKNOWN_SIZES = (
    lambda cube: cube.sr.upscale("bicubic"),
    lambda cube: cube.sr.fuse(),
    lambda cube: cube.sr.reflectance(),
    lambda cube: cube.sr.index("NDVI"),
    lambda cube: cube.sr.water(),
    lambda cube: cube.sr.to_zarr("never-written.zarr"),
    lambda cube: cube.sr.to_cog("never-written.tif"),
    lambda cube: xr_sr.simulate.degrade(cube, 2),
    lambda cube: xr_sr.metrics.psnr(cube, cube),
    lambda cube: xr_sr.align(cube, cube),
)


@pytest.mark.parametrize("door", UNKNOWN_SIZES, ids=range(len(UNKNOWN_SIZES)))
@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_dask_arrays_of_unknown_size_are_refused_with_the_way_to_compute_it(kind, door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cube = array(reflectance(4, 8, 8)).chunk(y=4).drop_vars("y")
    rows = da.from_array(np.ones(8, bool), chunks=4)
    unsized = xr.DataArray(cube.data[:, rows], dims=cube.dims, coords=cube.coords)
    if kind == "Dataset":
        unsized = unsized.isel(band=0, drop=True).to_dataset(name="B04")

    with pytest.raises(CubeError, match=r"along y.*data\.compute_chunk_sizes\(\)"):
        door(unsized)
    assert not list(tmp_path.iterdir())
