"""What comes out has the form of what came in, on the finer grid, at no cost in tasks."""

from __future__ import annotations

import itertools
from pathlib import Path

import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  registers .odc
import pandas as pd
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from tests.cubes import untouchable
from xr_sr.cube.rebuild import assemble
from xr_sr.cube.select import Cube, Plane, pick, recognize
from xr_sr.errors import BandWarning
from xr_sr.tiling.repeat import repeat_pixels

GB10 = GeoBox((9, 7), Affine(10, 0, 600_000, 0, -10, 5_700_000), "EPSG:32633")
GRIDS = {
    "meters": GB10,
    "south up": GeoBox((9, 7), Affine(10, 0, 600_000, 0, 10, 5_700_000), "EPSG:32733"),
    "degrees": GeoBox((9, 7), Affine(8.983152841195215e-05, 0, 13.1, 0, -8.983152841195215e-05, 52.7), "EPSG:4326"),
    "rotated": GeoBox((9, 7), Affine(8, 5, 600_000, 5, -8, 5_700_000), "EPSG:32633"),
}
RGBN = ["B04", "B03", "B02", "B08"]


def layer(geobox: GeoBox = GB10, lead: dict[str, int] | None = None, **options: object) -> xr.DataArray:
    """One variable that fails when it is computed."""
    return untouchable(geobox, lead, chunk=4, **options)


def stack(labels: list[str] = RGBN, geobox: GeoBox = GB10, time: int = 2, **attrs: object) -> xr.DataArray:
    array = layer(geobox, {"time": time, "band": len(labels)}, **attrs)
    return array.assign_coords(band=labels, time=pd.date_range("2024-05-01", periods=time))


def dataset(*names: str, **kwargs: object) -> xr.Dataset:
    return xr.Dataset({name: layer(**kwargs) for name in names})


def result(cube: Cube, planes: tuple[Plane, ...], scale: int) -> da.Array:
    """Lazy data (*lead, band, y, x) as a kernel gives it; the value is the canonical band's number."""
    lead = [planes[0].array.sizes[dim] for dim in cube.lead]
    height, width = (side * scale for side in cube.geobox.shape)
    numbers = np.array([[[float(plane.band[1:].replace("A", ""))]] for plane in planes], "float32")
    chunks = (*(1,) * len(lead), len(planes), 4 * scale, 4 * scale)
    return da.broadcast_to(da.from_array(numbers), (*lead, len(planes), height, width)).rechunk(chunks)


def upscaled(
    obj: object, wanted: list[str], scale: int = 4, *, apart: bool = False, **attrs: object
) -> xr.DataArray | xr.Dataset:
    cube = recognize(obj)
    planes = pick(cube, wanted, reader="a test")
    data = result(cube, planes, scale)
    given = [data[..., index, :, :] for index in range(len(planes))] if apart else data
    return assemble(cube, planes, given, scale=scale, repeat=repeat_pixels, attrs=attrs)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("piece", [np.s_[:, :], np.s_[2:7, 3:6], np.s_[3:8, 2:3]], ids=["whole", "piece", "column"])
@pytest.mark.parametrize("name", GRIDS)
def test_geography_is_exact_for_arrays_and_datasets(name, piece, scale):
    y, x = GRIDS[name].dimensions
    cut = dict(zip((y, x), piece, strict=True))
    array = stack(geobox=GRIDS[name]).isel(cut)
    shape = tuple(side * scale for side in GRIDS[name][piece].shape)

    for obj in (array, array.to_dataset("band")):
        out = upscaled(obj, RGBN, scale)

        for part in [out] if isinstance(out, xr.DataArray) else [out, *out.data_vars.values()]:
            assert part.odc.geobox == GRIDS[name][piece].zoom_to(shape)
            assert part.rio.transform() == part.odc.geobox.affine
            assert part.rio.crs == array.rio.crs


@pytest.mark.parametrize("dims", itertools.permutations(("time", "band", "y", "x")))
def test_order_of_dims_names_and_coordinates_come_out_as_they_went_in(dims):
    array = stack(["blue", "green", "red", "nir"]).transpose(*dims).rename("cube")
    array = array.assign_coords(platform="S2A", orbit=("time", [22, 65]), gsd=("band", [10, 10, 10, 10]))

    out = upscaled(array, ["B08", "B04"])

    assert out.dims == dims
    assert out.name == "cube"
    assert out.band.values.tolist() == ["nir", "red"]
    assert set(out.coords) == set(array.coords)
    xr.testing.assert_identical(
        out.time.drop_vars(["spatial_ref", "platform"]), array.time.drop_vars(["spatial_ref", "platform"])
    )
    assert out.orbit.values.tolist() == [22, 65]
    assert out.transpose("time", "band", "y", "x")[0, :, 0, 0].values.tolist() == [8, 4]


@pytest.mark.parametrize("apart", [False, True])
def test_datasets_come_out_with_their_names_in_the_order_asked(apart):
    ds = xr.Dataset({"blue": layer(lead={"time": 2}), "red": layer(lead={"time": 2}).transpose("y", "x", "time")})

    out = upscaled(ds, ["red", "blue"], apart=apart)

    assert list(out.data_vars) == ["red", "blue"]
    assert out.red.dims == ("y", "x", "time")
    assert out.blue.dims == ("time", "y", "x")
    assert (out.red == 4).all() and (out.blue == 2).all()
    assert out.red.dtype == "float32"


@pytest.mark.parametrize("apart", [False, True])
def test_an_array_of_one_band_comes_out_as_one(apart):
    array = layer(lead={"time": 2}).transpose("y", "time", "x").rename("red")

    out = upscaled(array, ["B04"], apart=apart)

    assert (out.dims, out.name, out.shape) == (("y", "time", "x"), "red", (36, 2, 28))


def test_a_tree_comes_out_as_one_dataset():
    tree = xr.DataTree.from_dict({"r10m": dataset("b04", "b08"), "r20m": dataset("b11", geobox=GB10.zoom_out(2))})

    out = upscaled(tree, ["B08"])

    assert isinstance(out, xr.Dataset)
    assert list(out.data_vars) == ["b08"]


def test_nothing_is_computed_and_no_task_is_added():
    cube = recognize(stack())
    planes = pick(cube, RGBN, reader="a test")
    data = result(cube, planes, 4)

    array = assemble(cube, planes, data, scale=4, repeat=repeat_pixels)
    parts = [data[:, index] for index in range(4)]
    split = recognize(stack().to_dataset("band"))
    ds = assemble(split, pick(split, RGBN, reader="a test"), parts, scale=4, repeat=repeat_pixels)

    assert array.data is data
    assert all(ds[name].data is part for name, part in zip(RGBN, parts, strict=True))


def test_bands_apart_are_stacked_for_an_array():
    assert upscaled(stack(), ["B08", "B02"], apart=True)[0, :, 0, 0].values.tolist() == [8, 2]


def test_dtype_can_be_asked_for():
    cube = recognize(stack())
    planes = pick(cube, RGBN, reader="a test")

    assert (
        assemble(cube, planes, result(cube, planes, 4), scale=4, repeat=repeat_pixels, dtype="float16").dtype
        == "float16"
    )


def test_stale_attributes_go_and_true_ones_stay():
    stale = {
        "transform": (10.0, 0, 0),
        "res": (10, 10),
        "scale_factor": 1e-4,
        "add_offset": -0.1,
        "nodata": 0,
        "gsd": 10,
    }
    stale |= {
        "_FillValue": 0,
        "valid_range": (0, 1),
        "STATISTICS_MEAN": 3,
        "grid_mapping": "spatial_ref",
        "xr_sr:options": "old",
    }
    array = stack(**stale, long_name=("red", "green", "blue", "nir"), title="Havel", bbox=[1, 2, 3, 4])

    out = upscaled(array, ["B08", "B04"], **{"xr_sr:model": "nearest"})
    ds = upscaled(
        xr.Dataset({"red": layer(**stale, title="Havel")}, attrs=stale | {"title": "all"}),
        ["B04"],
        **{"xr_sr:model": "n"},
    )

    own = {"units": "1", "xr_sr:model": "nearest"}
    assert out.attrs == {"long_name": ("nir", "red"), "title": "Havel", "bbox": [1, 2, 3, 4]} | own
    assert ds.attrs == {"title": "all", "xr_sr:model": "n"}
    assert ds.red.attrs == {"title": "Havel", "units": "1", "xr_sr:model": "n"}


def test_results_are_unitless_whatever_the_input_said():
    assert upscaled(stack(units="DN"), ["B04"]).attrs["units"] == "1"
    assert upscaled(dataset("red", units="DN"), ["B04"]).red.attrs["units"] == "1"


def test_results_of_numbered_bands_are_labelled_by_name(shared: Path):
    chip = rioxarray.open_rasterio(shared / "data" / "flood_spain" / "Spain_7370579_S2Hand.tif")

    out = upscaled(chip, ["B8A", "B04"])

    assert out.band.values.tolist() == ["B8A", "B04"]
    assert out.sel(band="B04").shape == (2048, 2048)
    assert [plane.band for plane in recognize(out).planes] == ["B8A", "B04"]
    assert out.rio.transform() == chip.odc.geobox.zoom_to((2048, 2048)).affine


def test_grid_mapping_is_linked_under_the_users_name():
    ds = dataset("red").rename(spatial_ref="crs").assign(SCL=layer(dtype="uint8").drop_vars("spatial_ref"))

    out = upscaled(ds, ["B04"])

    assert {name: variable.encoding.get("grid_mapping") for name, variable in out.data_vars.items()} == {
        "red": "crs",
        "SCL": "crs",
    }
    assert "spatial_ref" not in out.coords


def test_attributes_of_the_axes_are_kept_and_their_resolution_is_new():
    array = stack()
    array.x.attrs["standard_name"] = "projection_x_coordinate"

    out = upscaled(array, RGBN)

    assert out.x.attrs["standard_name"] == "projection_x_coordinate"
    assert out.x.attrs["resolution"] == 2.5


@pytest.mark.filterwarnings("ignore::xr_sr.errors.GeoreferenceWarning")
def test_without_crs_there_are_coordinates_but_no_grid_mapping():
    array = xr.DataArray(np.zeros((4, 2, 3)), dims=("band", "y", "x"), coords={"band": RGBN, "x": [0.0, 1.0, 2.0]})

    out = upscaled(array, RGBN, 2)

    assert "grid_mapping" not in out.encoding
    assert set(out.coords) == {"band", "y", "x"}
    np.testing.assert_array_equal(out.y, [0.25, 0.75, 1.25, 1.75])


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("x", "time", "y"), ("y", "x")])
@pytest.mark.parametrize("chunks", [None, {"y": 5, "x": 2}])
@pytest.mark.parametrize("scale", [2, 3])
def test_flags_go_to_the_finer_grid_by_nearest_in_the_datas_chunks(dims, chunks, scale):
    values = np.random.default_rng(0).integers(0, 11, (2, 9, 7)).astype("uint8")
    scl = layer(lead={"time": 2}).copy(data=values)
    scl = (scl if "time" in dims else scl[0]).transpose(*dims).assign_attrs(flag_meanings="a b", transform=(1, 2))
    ds = dataset("red", lead={"time": 2}).assign(SCL=scl if chunks is None else scl.chunk(chunks))

    out = upscaled(ds, ["B04"], scale)

    assert out.SCL.dims == dims
    assert out.SCL.dtype == "uint8"
    assert out.SCL.attrs == {"flag_meanings": "a b"}
    assert {dim: out.SCL.chunksizes[dim] for dim in dims} == {dim: out.red.chunksizes[dim] for dim in dims}
    centers = scl.sel(y=out.y, x=out.x, method="nearest")
    np.testing.assert_array_equal(out.SCL.values, centers.values)


def test_flags_are_lazy_and_cost_one_task_a_block():
    ds = dataset("red", lead={"time": 2}).assign(SCL=layer(lead={"time": 2}, dtype="uint8").chunk(time=1, y=4, x=4))

    out = upscaled(ds, ["B04"])

    assert len(out.SCL.data.dask) - len(ds.SCL.data.dask) == out.SCL.data.npartitions


def test_scl_in_floats_becomes_classes_and_nan_no_data():
    scl = layer().copy(data=np.full(GB10.shape, 4.0)).astype("float64")
    scl[0, 0] = np.nan

    out = upscaled(dataset("red").assign(scl=scl), ["B04"], 2)

    assert out.scl.dtype == "uint8"
    assert out.scl.values[:2, :2].tolist() == [[0, 0], [0, 0]]
    assert (out.scl.values[2:] == 4).all()


def test_scl_of_the_coarser_node_comes_along():
    """10 m chunks that do not split along 20 m pixels, and an odd number of them."""
    gb10, gb20 = GeoBox((18, 14), GB10.affine, GB10.crs), GeoBox((9, 7), GB10.zoom_out(2).affine, GB10.crs)
    scl = layer(gb20, {"time": 2}).copy(data=np.arange(126).reshape(2, 9, 7).astype("uint8"))
    tree = xr.DataTree.from_dict(
        {"r10m": dataset("B04", geobox=gb10, lead={"time": 2}), "r20m": xr.Dataset({"SCL": scl, "B11": layer(gb20)})}
    )
    cube = recognize(tree)
    planes = pick(cube, ["B04"], reader="a test")
    data = result(cube, planes, 2).rechunk({-2: (10, 26), -1: (6, 22)})

    out = assemble(cube, planes, data, scale=2, repeat=repeat_pixels)

    np.testing.assert_array_equal(out.SCL, scl.values.repeat(4, axis=1).repeat(4, axis=2))
    assert out.SCL.chunksizes["y"] == (10, 26)


def test_flags_among_the_coordinates_stay_there():
    array = stack().assign_coords(clear=(("y", "x"), np.eye(9, 7, dtype=bool)))

    out = upscaled(array, RGBN, 2)

    np.testing.assert_array_equal(out.clear, np.eye(9, 7, dtype=bool).repeat(2, axis=0).repeat(2, axis=1))


def test_what_has_no_place_on_the_grid_passes_unchanged():
    extras = {"s2_processing_baseline": ("time", [3.01, 5.09]), "sun": 45.0, "matrix": (("time", "n"), np.ones((2, 5)))}
    ds = dataset("red", lead={"time": 2}).assign(extras).assign_coords(time=pd.date_range("2024-05-01", periods=2))

    out = upscaled(ds, ["B04"])

    xr.testing.assert_identical(out[list(extras)].drop_vars("spatial_ref"), ds[list(extras)].drop_vars("spatial_ref"))


def test_strangers_stay_behind_with_a_warning_that_names_them():
    ds = dataset("red").assign(AOT=layer(dtype="float32"), elevation=layer(dtype="int16"))

    with pytest.warns(BandWarning, match="'AOT', 'elevation'") as caught:
        out = upscaled(ds, ["B04"])

    assert list(out.data_vars) == ["red"]
    assert {entry.filename for entry in caught if entry.category is BandWarning} == {__file__}


def test_flags_of_uneven_chunks_and_many_dims_fit_the_dataset():
    """A Dataset whose variables are chunked apart cannot be written as one."""
    ds = dataset("red", lead={"member": 2, "time": 3}).assign(mask=layer(dtype="bool").chunk(y=(1, 8), x=(3, 4)))

    assert set(upscaled(ds, ["B04"], 3).chunks) == {"member", "time", "y", "x"}
