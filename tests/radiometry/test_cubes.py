"""DN become reflectance and clouds NaN, lazily, in whatever object they came, and nothing else changes."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from tests import cubes
from xr_sr.datasets import sample
from xr_sr.errors import CubeError, GridError, RadiometryError, RadiometryWarning
from xr_sr.pipeline.api import upscale
from xr_sr.radiometry.cubes import mask, reflectance

GEOBOX = GeoBox.from_bbox((600_000, 4_699_900, 600_140, 4_700_000), "EPSG:32633", resolution=10)  # 10 x 14
GEOBOX_20 = GEOBOX.zoom_to((5, 7))
DATES = pd.to_datetime(["2021-06-01", "2022-02-01", "2023-07-09"])
BANDS = ("B04", "B03", "B02")


def dataset(geobox: GeoBox = GEOBOX, *, seed: int = 0, dtype: str = "uint16", bands: Any = BANDS) -> xr.Dataset:
    """Return dates of mixed baselines, a variable along dates, and nodata in a corner."""
    rng = np.random.default_rng(seed)
    ds = xr.Dataset(coords={"time": DATES, **xr_coords(geobox)})
    for band in bands:
        values = rng.integers(100, 3000, (3, *geobox.shape))
        values[1:] += 1000  # as the baselines below want it
        values[:, :2, :3] = 0
        values = values.astype(dtype)
        ds[band] = xr.DataArray(values, dims=("time", "y", "x"), attrs={"nodata": 0, "long_name": band})
        ds[band].encoding["grid_mapping"] = "spatial_ref"
    ds["s2_processing_baseline"] = "time", np.float32([3.01, 4.0, 5.09])
    ds.attrs["title"] = "a cube"
    return ds


def array(**arguments: Any) -> xr.DataArray:
    ds = dataset(**arguments)
    baseline = ds["s2_processing_baseline"]
    stack = ds.drop_vars("s2_processing_baseline").to_dataarray("band").transpose("time", "band", "y", "x")
    return stack.assign_coords(s2_processing_baseline=baseline)


def classes(geobox: GeoBox = GEOBOX_20, *, dates: int = 3, dtype: str = "uint8", seed: int = 1) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    return xr.DataArray(
        rng.integers(0, 12, (dates, *geobox.shape)).astype(dtype),
        dims=("time", "y", "x"),
        coords={"time": DATES[:dates], **xr_coords(geobox)},
        name="SCL",
    )


def by_hand(values: np.ndarray) -> np.ndarray:
    """Convert (time, ...) as the baselines of `dataset` want it."""
    offset = np.array([0.0, -1000.0, -1000.0]).reshape(3, *[1] * (values.ndim - 1))
    return np.where(values == 0, np.nan, (values + offset) / 1e4).astype("float32")


class Explosive:
    """A lazy array that must not be read."""

    def __init__(self, like: np.ndarray) -> None:
        self.shape, self.dtype, self.ndim = like.shape, like.dtype, like.ndim

    def __getitem__(self, key: Any) -> np.ndarray:
        raise AssertionError("read")


def explosive(like: xr.DataArray) -> xr.DataArray:
    chunks = {dim: max(1, size // 2) for dim, size in like.sizes.items()}
    shape = tuple(chunks[dim] for dim in like.dims)
    return like.copy(
        data=da.from_array(Explosive(like.values), chunks=shape, asarray=False, meta=np.empty(0, like.dtype))
    )


# -- reflectance -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, {}, {"time": 1, "y": 3, "x": 4}, {"time": 2, "y": 10, "x": 1}])
def test_dn_of_a_dataset_become_reflectance_date_by_date(chunks):
    cube = dataset()
    found = reflectance(cube if chunks is None else cube.chunk(chunks))

    for band in BANDS:
        assert found[band].chunks is not None
        assert found[band].dtype == "float32"
        np.testing.assert_allclose(found[band].compute(), by_hand(cube[band].values), atol=1e-7)


@pytest.mark.parametrize("dims", [("time", "band", "y", "x"), ("band", "y", "x", "time"), ("x", "time", "y", "band")])
@given(sides=st.tuples(*[st.integers(1, 14)] * 4))
@settings(deadline=None, max_examples=15)
def test_dn_of_an_array_become_reflectance_whatever_its_dims_and_chunks(dims, sides):
    cube = array().transpose(*dims)
    found = reflectance(cube.chunk(dict(zip(dims, sides, strict=True))))

    assert found.dims == cube.dims
    exact = by_hand(cube.transpose("time", "band", "y", "x").values)
    np.testing.assert_allclose(found.transpose("time", "band", "y", "x"), exact, atol=1e-7)


def test_every_node_of_a_tree_that_holds_bands_is_converted():
    nodes = {
        "r10m": dataset(),
        "r20m": dataset(GEOBOX_20, bands=("B05", "B11")),
        "quality/mask/r10m": dataset(dtype="uint8"),
    }
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"title": "a scene"}), **nodes}, name="scene")
    found = reflectance(tree)

    assert (found.name, found.attrs) == ("scene", {"title": "a scene"})
    np.testing.assert_allclose(found["r20m/B11"], by_hand(nodes["r20m"]["B11"].values), atol=1e-7)
    np.testing.assert_allclose(found["r10m/B02"], by_hand(nodes["r10m"]["B02"].values), atol=1e-7)
    xr.testing.assert_identical(found["quality"].to_dataset(), tree["quality"].to_dataset())
    xr.testing.assert_identical(found["quality/mask/r10m"].to_dataset(), tree["quality/mask/r10m"].to_dataset())
    np.testing.assert_allclose(reflectance(tree["r20m"])["B11"], by_hand(nodes["r20m"]["B11"].values), atol=1e-7)


def test_coordinates_that_a_node_inherits_stay_where_they_are():
    cube = dataset()
    tree = xr.DataTree.from_dict({"/": xr.Dataset(coords={"time": DATES}), "r10m": cube.drop_vars("time")})
    found = reflectance(tree)

    np.testing.assert_allclose(found["r10m/B02"], by_hand(cube["B02"].values), atol=1e-7)
    assert "time" not in found["r10m"].to_dataset(inherit=False).coords
    assert "time" in found["r10m"].coords


def test_all_else_stays_and_what_no_longer_holds_goes():
    cube = dataset().assign(SCL=classes(GEOBOX), elevation=(("y", "x"), np.ones(GEOBOX.shape)))
    cube["B02"].attrs.update(scale_factor=1.0, add_offset=0.0)
    found = reflectance(cube)

    assert list(found.variables) == [*cube.variables, "radiometry_offset"]
    xr.testing.assert_identical(found.drop_vars([*BANDS, "radiometry_offset"]), cube.drop_vars(BANDS))
    assert set(found["B02"].attrs) == {"long_name", "units", "xr_sr:radiometry"}
    assert "(DN + radiometry_offset) / 10000; offset by s2" in found["B02"].attrs["xr_sr:radiometry"]
    assert found.radiometry_offset.values.tolist() == [0, -1000, -1000]
    assert found["B02"].encoding == {"grid_mapping": "spatial_ref"}
    assert found.odc.geobox == cube.odc.geobox
    assert found["B02"].odc.geobox == GEOBOX


def test_layers_of_an_array_that_are_no_bands_keep_their_values():
    scl = classes(GEOBOX).assign_coords(band="SCL").expand_dims("band", 1)
    stack = xr.concat(
        [array().isel(band=[0]), scl.astype("uint16"), array().isel(band=[1, 2])],
        "band",
        coords="minimal",
        compat="override",
    )
    found = reflectance(stack)

    assert list(found.band.values) == ["B04", "SCL", "B03", "B02"]
    assert_array_equal(found.sel(band="SCL"), scl.isel(band=0))
    np.testing.assert_allclose(found.sel(band=list(BANDS)), by_hand(stack.sel(band=list(BANDS)).values), atol=1e-7)


def test_a_single_band_without_dimension_of_bands_is_converted():
    band = dataset()["B04"].isel(time=0)
    np.testing.assert_allclose(reflectance(band, offset=0), np.where(band == 0, np.nan, band / 1e4), atol=1e-7)


@pytest.mark.parametrize("make", [dataset, array])
def test_reflectance_of_reflectance_changes_nothing(make):
    once = reflectance(make())
    twice = reflectance(once)

    xr.testing.assert_identical(twice.compute(), once.compute())


@pytest.mark.parametrize("change", [reflectance, lambda cube: mask(cube, scl=explosive(classes()))])
def test_nothing_is_read_before_it_is_computed(change):
    stack = explosive(array())
    found = change(stack)

    assert found.chunks is not None
    with pytest.raises(AssertionError, match="read"):
        found.compute()


def test_arrays_in_files_are_wrapped_not_read(tmp_path):
    path = tmp_path / "cube.nc"
    dataset().to_netcdf(path)
    with xr.open_dataset(path, decode_coords="all", mask_and_scale=False) as cube:
        found = reflectance(cube)

        assert not cube["B02"]._in_memory
        np.testing.assert_allclose(found["B02"], by_hand(cube["B02"].values), atol=1e-7)


def test_numbers_that_cannot_be_true_raise_when_computed_and_name_their_block():
    cube = dataset().drop_vars("s2_processing_baseline")
    cube["B03"] = cube["B03"].astype("float32")
    cube["B03"].attrs.clear()
    lazy = reflectance(cube[["B03"]].chunk({"time": 1, "y": 5, "x": 14}))

    with pytest.raises(RadiometryError, match=r"Block \[2:3, 5:10, 0:14\]"):
        lazy.isel(time=2, y=slice(5, None)).compute()


def test_flag_and_pixels_that_disagree_are_warned_of():
    wide = GeoBox((80, 80), GEOBOX.affine, GEOBOX.crs)
    cube = array(geobox=wide).assign_coords(earthsearch_boa_offset_applied=("time", [1, 1, 1]))

    with pytest.warns(RadiometryWarning, match=r"earthsearch_boa_offset_applied.*pass offset=-1000"):
        reflectance(cube).compute()


def test_the_blue_haze_of_the_upper_atmosphere_is_no_offset():
    # L1C: B02 has more than 1000 DN everywhere, as air scatters blue. A warning would fail the test.
    scene = sample("havel")

    blue = reflectance(scene)["r10m"]["B02"].compute()

    assert blue.min() > 0.1


def test_the_offset_may_be_passed():
    cube = dataset().drop_vars("s2_processing_baseline")
    with pytest.raises(RadiometryError, match="offset=0"):
        reflectance(cube)

    xr.testing.assert_equal(
        reflectance(cube, offset=[0, -1000, -1000]).compute(), reflectance(dataset())[list(BANDS)].compute()
    )


def test_objects_without_bands_are_refused():
    nothing = xr.Dataset({"B02": ("z", [1, 2])})

    for cube in (nothing, nothing["B02"], xr.DataTree.from_dict({"a": nothing}), xr.DataTree(), np.ones((4, 3, 2))):
        with pytest.raises(CubeError):
            reflectance(cube)


# -- mask --------------------------------------------------------------------------------------------------------------


def expected(scl: np.ndarray, hidden: tuple[int, ...] = (0, 1, 3, 8, 9, 10)) -> np.ndarray:
    """Return where 10 m pixels are hidden by (time, y, x) classes on 20 m."""
    return np.isin(scl, hidden).repeat(2, -2).repeat(2, -1)


@pytest.mark.parametrize("chunks", [None, {"time": 1, "y": 3, "x": 4}])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_bands_on_10_m_are_masked_by_classes_on_20_m(chunks, dtype):
    cube, scl = array(), classes(dtype=dtype)
    found = mask(cube.chunk(chunks) if chunks else cube, scl=scl.chunk({"y": 2}) if chunks else scl)

    assert found.dims == cube.dims
    assert found.chunks is not None
    hidden = np.broadcast_to(expected(scl.values)[:, None], cube.shape)
    assert_array_equal(np.isnan(found), hidden)
    assert_array_equal(found.values[~hidden], cube.values[~hidden])
    for name in cube.coords:
        xr.testing.assert_identical(found[name], cube[name])


def test_the_classes_to_mask_are_chosen_and_nan_is_always_masked():
    scl = classes(dtype="float32")
    scl[0, 1, 1] = np.nan
    found = mask(array(), scl=scl, classes=[6, 11])

    hidden = expected(scl.values, (6, 11)) | np.isnan(scl.values).repeat(2, -2).repeat(2, -1)
    assert_array_equal(np.isnan(found.isel(band=0)), hidden)


def test_scl_is_found_in_a_dataset_an_array_and_a_tree():
    cube, fine = dataset(), classes(GEOBOX)
    hidden = np.isin(fine.values, (0, 1, 3, 8, 9, 10))
    found = mask(cube.assign(scl=fine))
    assert_array_equal(np.isnan(found["B02"]), hidden)
    xr.testing.assert_identical(found["scl"], cube.assign(scl=fine)["scl"])
    assert_array_equal(np.isnan(mask(cube.assign(classified=fine), scl="classified")["B02"]), hidden)
    assert_array_equal(np.isnan(mask(array().assign_coords(SCL=fine)).sel(band="B02")), hidden)

    stack = xr.concat(
        [array(), fine.astype("uint16").assign_coords(band="SCL")], "band", coords="minimal", compat="override"
    )
    found = mask(stack)
    assert_array_equal(np.isnan(found.sel(band="B02")), hidden)
    assert_array_equal(found.sel(band="SCL"), fine)

    coarse = classes()
    tree = xr.DataTree.from_dict({"r10m": cube, "r20m": dataset(GEOBOX_20, bands=("B11",)).assign(SCL_20m=coarse)})
    found = mask(tree)
    assert_array_equal(np.isnan(found["r10m/B02"]), expected(coarse.values))
    assert_array_equal(np.isnan(found["r20m/B11"]), np.isin(coarse.values, (0, 1, 3, 8, 9, 10)))
    xr.testing.assert_identical(found["r20m/SCL_20m"], tree["r20m/SCL_20m"])


@given(
    top=st.integers(0, 8),
    left=st.integers(0, 12),
    height=st.integers(1, 10),
    width=st.integers(1, 14),
    factor=st.sampled_from([1, 2, 3, 6]),
    flip=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_each_pixel_takes_the_class_at_its_centre(top, left, height, width, factor, flip):
    """Also in crops that start inside a coarse pixel, and on south-up grids; xarray's `sel` is the reference."""
    coarse = GEOBOX.zoom_to(resolution=10 * factor).pad(1)
    scl = classes(coarse)
    cube = array().isel(y=slice(top, top + height), x=slice(left, left + width))
    cube = cube.isel(y=slice(None, None, -1)) if flip else cube
    found = mask(cube, scl=scl)

    nearest = scl.sel(y=cube.y, x=cube.x, method="nearest")
    assert_array_equal(np.isnan(found.isel(band=0)), nearest.isin([0, 1, 3, 8, 9, 10]))


@pytest.mark.parametrize("factor", [2, 3])
def test_coarse_bands_take_the_fine_class_at_their_centre(factor):
    cube = array(geobox=GEOBOX.zoom_to(resolution=20))
    fine = classes(cube.odc.geobox.zoom_to(resolution=20 / factor))
    found = mask(cube, scl=fine)

    at_centre = fine.values[:, factor // 2 :: factor, factor // 2 :: factor]
    assert_array_equal(np.isnan(found.isel(band=0)), np.isin(at_centre, (0, 1, 3, 8, 9, 10)))


def test_without_coordinates_the_shapes_tell():
    bare = array().drop_vars(["x", "y", "spatial_ref"])
    scl = classes()
    found = mask(bare, scl=scl.drop_vars(["x", "y", "spatial_ref"]))

    assert_array_equal(np.isnan(found.isel(band=0)), expected(scl.values))


def test_dates_are_matched_by_their_stamps_and_none_may_lack():
    cube, scl = array(), classes()
    shuffled = scl.isel(time=[2, 0, 1])
    assert_array_equal(np.isnan(mask(cube, scl=shuffled).isel(band=0)), expected(scl.values))
    assert_array_equal(np.isnan(mask(cube.isel(time=[1]), scl=scl).isel(band=0)), expected(scl.values[1:2]))
    assert_array_equal(np.isnan(mask(cube, scl=scl.isel(time=0, drop=True)).isel(band=0))[2], expected(scl.values)[0])

    with pytest.raises(GridError, match="2023-07-09"):
        mask(cube, scl=scl.isel(time=[0, 1]))
    with pytest.raises(GridError, match="2 along .time., the cube 3"):
        mask(cube, scl=scl.isel(time=[0, 1]).drop_vars("time"))


@pytest.mark.parametrize(
    "geobox",
    [
        GEOBOX_20.translate_pix(1, 0),
        GEOBOX_20.translate_pix(0.25, 0),
        GEOBOX.zoom_to(resolution=15),
        GEOBOX.rotate(20),
        GeoBox(GEOBOX_20.shape, GEOBOX_20.affine, "EPSG:32632"),
    ],
)
def test_a_classification_elsewhere_is_refused(geobox):
    with pytest.raises(GridError, match="scl="):
        mask(array(), scl=classes(geobox))


def test_a_classification_of_other_dimensions_is_refused():
    with pytest.raises(GridError, match="model"):
        mask(array(), scl=classes().expand_dims(model=2))
    with pytest.raises(GridError, match="y and x"):
        mask(array(), scl=xr.DataArray([1, 2], dims="time"))


def test_no_classification_is_said_so():
    with pytest.raises(CubeError, match="no SCL"):
        mask(dataset())
    with pytest.raises(CubeError, match="no 'classified'"):
        mask(dataset(), scl="classified")


@pytest.mark.parametrize("make", [array, dataset])
def test_masked_dn_are_still_known_as_dn_and_give_the_same_reflectance(make):
    cube = make()
    scl = classes()
    masked_first = reflectance(mask(cube, scl=scl))
    masked_last = mask(reflectance(cube), scl=scl)

    xr.testing.assert_equal(masked_first.compute(), masked_last.compute())


def test_masked_dn_are_written_as_integers_and_unpacked_floats_stay_reflectance(tmp_path):
    masked = mask(dataset(), scl=classes())
    masked.to_netcdf(tmp_path / "dn.nc")
    with xr.open_dataset(tmp_path / "dn.nc", mask_and_scale=False) as stored:
        assert stored["B02"].dtype == "uint16"
        assert_array_equal(stored["B02"], masked["B02"].fillna(0))

    packed = reflectance(dataset()).compute()
    packed.to_netcdf(
        tmp_path / "sr.nc",
        encoding={band: {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -1} for band in BANDS},
    )
    with xr.open_dataset(tmp_path / "sr.nc", decode_coords="all") as opened:
        for band in BANDS:
            opened[band].attrs.clear()
        again = reflectance(mask(opened, scl=classes()))
        np.testing.assert_allclose(again["B02"], mask(packed, scl=classes())["B02"], atol=6e-5)


@pytest.mark.parametrize("make", [array, dataset])
def test_the_grid_needs_no_crs_and_no_warning(make):
    cube = make().drop_vars("spatial_ref")  # a warning of ours is an error in these tests

    reflectance(cube)
    mask(cube, scl=classes().drop_vars("spatial_ref"))


def test_the_real_classification_masks_its_own_scene(shared):
    """Barbellino: 10 m bands with nodata 65535, SCL of water and bare ground on 20 m."""
    import rioxarray

    folder = shared / "data" / "s2_barbellino_scl"
    bands = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B11", "B12"]
    boa = rioxarray.open_rasterio(folder / "S2A2A_20170703_022_Barbellino_BOA_10.tif").assign_coords(band=bands)
    scl = rioxarray.open_rasterio(folder / "S2A2A_20170703_022_Barbellino_SCL_10.tif")
    found = reflectance(mask(boa, scl=scl, classes=[6]), offset=0).compute()

    water = (scl.isel(band=0).values == 6).repeat(2, 0).repeat(2, 1)
    assert 0 < water.mean() < 1
    assert_array_equal(np.isnan(found.sel(band="B08")), water)
    assert 0 < found.min() < found.max() < 1


@pytest.mark.parametrize("where", ["attrs", "encoding"])
@pytest.mark.parametrize("fill", [-9999, 32767])
def test_declared_nodata_of_integers_stays_nodata_when_the_cube_is_masked(fill, where):
    """Floats forget what an encoding declares, so -9999 came back as a reflectance of -1."""
    cube = dataset(dtype="int16")
    for band in BANDS:
        cube[band].attrs.clear()
        cube[band][:, 3, 4] = fill
        getattr(cube[band], where)["_FillValue"] = np.int16(fill)
    masked = mask(cube, scl=classes())

    wanted = reflectance(cube)
    for band in BANDS:
        assert masked[band].encoding["_FillValue"] == fill
        assert_array_equal(np.isnan(masked[band].values[:, 3, 4]), True)
        hidden = np.isnan(mask(wanted, scl=classes())[band])
        assert_array_equal(np.isnan(reflectance(masked)[band]), hidden)


def test_stored_numbers_whose_fill_value_to_array_dropped_are_refused_by_name(tmp_path):
    values = cubes.reflectance(4, 20, 20)
    values[:, :, :5] = np.nan
    cubes.dataset(values).chunk().sr.to_zarr(tmp_path / "own.zarr")
    stored = xr.open_zarr(tmp_path / "own.zarr", mask_and_scale=False)[["B02", "B03", "B04", "B08"]].to_array("bands")

    with pytest.raises(RadiometryError, match=r"25 % .* constant -32768.*to_array.*nodata=\(0, -32768\)"):
        stored.sr.reflectance(offset=0).compute()

    right = stored.sr.reflectance(offset=0, nodata=-32768).compute()
    expected = values[[2, 1, 0, 3]]  # B04, B03, B02, B08 as B02, B03, B04, B08
    np.testing.assert_allclose(right.values, expected, atol=5.1e-5)


@pytest.mark.parametrize("value", [8.5, 5.25, 0.9, 40, -1])
def test_numbers_that_are_no_classes_are_refused_when_computed(value):
    scl = classes(dtype="float32")
    scl[0, 1, 1] = value
    found = mask(array(), scl=scl)

    with pytest.raises(CubeError, match=f"scl= has {value:g}"):
        found.compute()


def test_a_probability_of_integers_is_no_classification():
    with pytest.raises(CubeError, match="scl= has 80"):
        mask(array(), scl=xr.full_like(classes(), 80)).compute()


def test_booleans_are_no_classification_and_the_error_says_mask():
    with pytest.raises(CubeError, match=r"bool.*mask=mask"):
        mask(array(), scl=classes() > 3)


def test_upscale_refuses_a_classification_that_was_resampled_by_bilinear():
    scene = dataset()
    scl = classes(GEOBOX, dtype="float32")
    right = upscale(scene.assign(SCL=scl), "nearest")
    assert_array_equal(right["SCL"], scl.astype("uint8").values.repeat(4, -2).repeat(4, -1))

    scl[0, 1, 1] = 8.5
    with pytest.raises(CubeError, match=r"SCL.* 8\.5"):
        upscale(scene.assign(SCL=scl), "nearest")["SCL"].compute()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("method", ["upscale", "multiframe"])
def test_dates_selected_by_those_of_a_result_leave_dn_what_they_are(masked: bool, method: str):
    """`sel` copies the coordinate radiometry_offset of the result; the attributes of the cube say that it holds DN."""
    cube = dataset().drop_vars("s2_processing_baseline").assign_attrs({"s2:processing_baseline": "05.11"})
    cube = cube.isel(time=[1, 2])
    if masked:
        cube = mask(cube, scl=xr.full_like(classes(GEOBOX, dates=2).assign_coords(time=cube.time), 4))
    made = cube.sr.upscale("kriging") if method == "upscale" else cube.sr.multiframe("1D")

    found = reflectance(cube.sel(time=made.time))

    assert_array_equal(found["B04"], reflectance(cube)["B04"])


def test_where_nothing_else_is_known_the_message_names_the_coordinate_that_was_copied():
    cube = dataset()
    copied = cube.sel(time=cube.sr.upscale("kriging").time)
    floats = copied.map(lambda band: band.astype("float32") if band.ndim == 3 else band, keep_attrs=False)

    with pytest.raises(
        RadiometryError, match=r"drop_vars\('radiometry_offset'\), or cube.sel\(time=result.time.values"
    ):
        reflectance(copied)
    with pytest.raises(RadiometryError, match=r"drop_vars\('radiometry_offset'\)"):
        reflectance(floats.drop_attrs()).compute()
    assert_array_equal(reflectance(copied.drop_vars("radiometry_offset"))["B04"], reflectance(cube)["B04"])
