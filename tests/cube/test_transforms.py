"""Coordinates on the corners of pixels: moved to the centers where the cube tells, else a warning, never by a guess."""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace

import numpy as np
import odc.geo.xr
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

import xr_sr
from tests.cubes import RGBN
from xr_sr.cube.coordinates import placed
from xr_sr.cube.grid import geobox_of, grid_of
from xr_sr.errors import GeoreferenceWarning, GridError

ORIGIN = (600_000.0, 5_800_000.0)
TEN = Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
N = 24


def stacked(
    gsd: float = 10.0, n: int = N, bands: tuple[str, ...] = RGBN, *, center: bool = False, attrs: bool = True
) -> xr.DataArray:
    """A cube as stackstac makes it: corners by default, the transform of the raster in the attributes."""
    affine = Affine(gsd, 0, ORIGIN[0], 0, -gsd, ORIGIN[1])
    half = 0.5 if center else 0.0
    values = np.random.default_rng(5).integers(1200, 4000, (1, len(bands), n, n)).astype("float64")
    return xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(["2023-06-01T10:00"], "datetime64[ns]"),
            "band": list(bands),
            "y": ORIGIN[1] - gsd * (np.arange(n) + half),
            "x": ORIGIN[0] + gsd * (np.arange(n) + half),
            "epsg": 32633,
        },
        attrs={"crs": "epsg:32633", "transform": affine, "resolution": gsd} if attrs else {},
    )


def origin(obj: xr.DataArray | xr.Dataset) -> tuple[float, float]:
    affine = geobox_of(obj).affine
    return affine.c, affine.f


def doubt(obj: xr.DataArray | xr.Dataset) -> str:
    return grid_of(obj).assumed


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("kind", ["DataArray", "Dataset", "band of a Dataset"])
def test_the_transform_in_the_attributes_tells_corners_from_centers(kind, center):
    cube = stacked(center=center)
    if kind != "DataArray":
        cube = cube.to_dataset("band")
    if kind == "band of a Dataset":
        cube.attrs, cube["B04"].attrs = {}, cube.attrs

    assert geobox_of(cube).affine == TEN
    assert doubt(cube) == ""


@settings(deadline=None, max_examples=25)
@given(st.booleans(), st.tuples(*[st.integers(0, N - 6)] * 2), st.sampled_from([1, 3, 5]), st.booleans())
def test_slices_lie_where_they_were_cut(center, start, step, flipped):
    """Every n-th pixel too, for odd n: of even ones the mean of corners stands where a center does."""
    cube = stacked(center=center)[..., start[0] :: step, start[1] :: step]
    cube = cube[..., ::-1, :] if flipped else cube

    for part in (cube, cube.odc.assign_crs(32633)):
        first = geobox_of(part).affine @ (0.5, part.sizes["y"] - 0.5 if flipped else 0.5)

        assert first == TEN @ (start[1] + 0.5, start[0] + 0.5)
        assert doubt(part) == ""


@pytest.mark.parametrize("center", [False, True])
def test_means_of_three_pixels_lie_where_they_were_taken(center):
    cube = stacked(center=center).coarsen(y=3, x=3).mean(keep_attrs=True)

    assert geobox_of(cube).affine == Affine(30, 0, ORIGIN[0], 0, -30, ORIGIN[1])


@pytest.mark.parametrize("center", [False, True])
def test_means_of_two_pixels_are_a_doubt_that_can_be_settled(center):
    cube = stacked(center=center).coarsen(y=2, x=2).mean(keep_attrs=True)

    assert "half of such a pixel" in doubt(cube)
    assert doubt(cube.rio.write_crs(32633).rio.write_transform()) == ""


@pytest.mark.parametrize(
    "call",
    [
        lambda cube: cube.sr.upscale("bicubic"),
        lambda cube: cube.to_dataset("band").sr.upscale("bicubic"),
        lambda cube: cube.sr.reflectance().sr.upscale("bicubic"),
        lambda cube: cube.sr.index("NDVI"),
        lambda cube: cube.sr.water("NDWI", threshold=0.0),
        lambda cube: xr_sr.flood_between(cube, cube, index="NDWI", threshold=0.0).flood,
        lambda cube: xr.DataTree.from_dict({"r10m": cube.to_dataset("band")}).sr.upscale("bicubic"),
        lambda cube: (
            cube.sr.index("NDVI").assign_coords(x=cube.x, y=cube.y).assign_attrs(cube.attrs).sr.water(index=None)
        ),
    ],
)
@pytest.mark.filterwarnings("error::xr_sr.errors.GeoreferenceWarning")
def test_every_result_lies_where_the_raster_does(call):
    cube = stacked(center=False)
    crop = cube[..., 4:, 6:]
    for part, wanted in ((cube, ORIGIN), (crop, TEN @ (6, 4))):
        part = part.assign_coords({"s2:processing_baseline": "05.09"})

        out = call(part)

        assert origin(out) == wanted
        assert (out.odc.geobox.affine.c, out.odc.geobox.affine.f) == wanted
        assert (out.rio.transform().c, out.rio.transform().f) == wanted


def test_two_grids_on_corners_are_joined():
    twenty = stacked(20.0, N // 2, ("B05", "B11"))

    fine = stacked().sr.fuse("glp-hpm", other=twenty, offset=0)

    assert origin(fine) == ORIGIN


def test_two_grids_on_corners_that_nobody_names_are_an_error_that_says_so():
    ten, twenty = stacked(attrs=False), stacked(20.0, N // 2, ("B05", "B11"), attrs=False)

    with (
        pytest.raises(GridError, match="xy_coords='center'"),
        pytest.warns(GeoreferenceWarning, match="half a pixel"),
    ):
        ten.sr.fuse("glp-hpm", other=twenty, offset=0)


def test_stores_and_rasters_lie_where_the_raster_does(tmp_path):
    cube = stacked(center=False).sr.reflectance(offset=0)

    cube.sr.to_zarr(tmp_path / "out.zarr", progress=False)
    cube.isel(time=0).sr.to_cog(tmp_path / "out.tif", progress=False)

    assert origin(xr_sr.open_zarr(tmp_path / "out.zarr")) == ORIGIN
    assert rioxarray.open_rasterio(tmp_path / "out.tif").rio.transform() == TEN


def test_metrics_compare_corners_with_centers():
    corners, centers = stacked().sr.reflectance(offset=0), stacked(center=True).sr.reflectance(offset=0)

    assert float(xr_sr.metrics.rmse(corners, centers).max()) == 0
    with pytest.raises(GridError):  # without its attributes it is read half a pixel off
        xr_sr.metrics.rmse(corners.drop_attrs(deep=False), centers)


def test_reflectance_and_mask_keep_the_coordinates_of_the_cube():
    """Other arrays of the user have the same; xarray would join them to nothing if these were moved."""
    cube = stacked()
    scl = xr.DataArray(np.full((N, N), 4, "uint8"), dims=("y", "x"), coords={"y": cube.y, "x": cube.x})

    for done in (cube.sr.reflectance(offset=0), cube.sr.mask(scl=scl), cube.to_dataset("band").sr.mask(scl=scl)):
        assert done.x.identical(cube.x)
        assert done.y.identical(cube.y)
        assert done.where(scl == 4).sizes == done.sizes
        assert origin(done) == ORIGIN


@pytest.mark.parametrize("gsd", [10.0, 20.0])
@pytest.mark.parametrize("attrs", [False, True])
@pytest.mark.parametrize("center", [False, True])
def test_a_mask_beside_corners_is_read_like_the_cube_or_as_it_says(gsd, attrs, center):
    """One that says nothing, such as `scl == 4` of older xarray, has the corners of the same loader."""
    cube = stacked()
    scl = stacked(gsd, int(N * 10 / gsd), ("SCL",), attrs=attrs, center=center and attrs)[0, 0].drop_vars("band")
    wanted = xr.full_like(scl, 4)
    wanted[2:5, 3:4] = 3  # cloud shadow

    kept = cube.sr.mask(scl=wanted)

    k = int(gsd / 10)
    hidden = np.isnan(kept.isel(time=0, band=0).values)
    assert hidden[2 * k : 5 * k, 3 * k : 4 * k].all()
    assert hidden.sum() == 3 * k * k


def test_the_spec_of_stackstac_tells_after_rioxarray_has_cropped():
    """`rio.clip_box` drops `transform` and writes a GeoTransform from coordinates that it takes for centers."""
    spec = SimpleNamespace(epsg=32633, transform=TEN, shape=(N, N))
    cube = stacked().assign_attrs(spec=spec).rio.write_crs(32633)

    part = cube.rio.clip_box(ORIGIN[0] + 40, ORIGIN[1] - 150, ORIGIN[0] + 150, ORIGIN[1] - 30)

    assert "transform" not in part.attrs
    assert origin(part) == (part.x[0], part.y[0])


def test_a_spec_in_another_crs_tells_nothing():
    spec = SimpleNamespace(epsg=32632, transform=TEN, shape=(N, N))
    cube = stacked(attrs=False).assign_attrs(spec=spec)

    assert origin(cube) == (ORIGIN[0] - 5, ORIGIN[1] + 5)


def test_degrees_keep_corners_and_centers_apart():
    step = 8.983152841195215e-05
    affine = Affine(step, 0, 12.3456789, 0, -step, 52.1)
    for half in (0.0, 0.5):
        x, y = affine.c + step * (np.arange(3, 40) + half), affine.f - step * (np.arange(5, 30) + half)
        cube = xr.DataArray(np.zeros((25, 37)), dims=("y", "x"), coords={"y": y, "x": x})
        cube.attrs = {"transform": tuple(affine), "crs": 4326}

        assert geobox_of(cube).affine.almost_equals(affine @ Affine.translation(3, 5), 1e-12)


def test_float32_coordinates_in_metres_tell():
    cube = stacked()
    cube = cube.assign_coords({dim: cube[dim].astype("float32") for dim in ("y", "x")})

    assert geobox_of(cube).affine == TEN


@pytest.mark.parametrize(
    "transform",
    [
        "0 1 2",
        [1, 2],
        [0.0] * 6,
        [math.nan] * 6,
        None,
        7,
        TEN @ Affine.rotation(30),
        TEN @ Affine.translation(0.3, 0.3),
    ],
)
def test_a_transform_that_does_not_fit_is_passed_over(transform):
    cube = stacked(center=True).assign_attrs(transform=transform)

    assert origin(cube) == ORIGIN
    assert doubt(cube) == ""


def cubo(*, center: bool = False, distance: bool = True) -> xr.DataArray:
    """A cube as cubo makes it: no transform, the CRS as a number, a distance that is measured from centers."""
    cube = stacked(attrs=False, center=center)
    middle = {"central_x": ORIGIN[0] + 10 * N / 2 + 3.25, "central_y": ORIGIN[1] - 10 * N / 2 - 1.5}
    x, y = ORIGIN[0] + 10 * (np.arange(N) + 0.5), ORIGIN[1] - 10 * (np.arange(N) + 0.5)
    away = np.hypot(y[:, None] - middle["central_y"], x[None] - middle["central_x"])
    cube = cube.assign_attrs(epsg=32633, resolution=10, edge_size=N, **middle)
    return cube.assign_coords({"cubo:distance_from_center": (("y", "x"), away)}) if distance else cube


@pytest.mark.parametrize("center", [False, True])
def test_the_distances_of_cubo_tell_corners_from_centers(center):
    cube = cubo(center=center)

    assert geobox_of(cube).affine == TEN
    assert origin(cube[..., 5:, 7:]) == TEN @ (7, 5)
    assert origin(cube[..., 5:6, 7:8]) == TEN @ (7, 5)
    assert doubt(cube) == ""


def test_without_evidence_a_cube_is_not_moved_and_the_warning_shows_both_ways():
    cube = cubo(distance=False)

    with pytest.warns(GeoreferenceWarning, match="whole multiples of 10 m") as said:
        fine = cube.sr.upscale("bicubic", offset=0)
    assert origin(fine) == (ORIGIN[0] - 5, ORIGIN[1] + 5)
    (text,) = [str(each.message) for each in said if each.category is GeoreferenceWarning]
    assert "cube.assign_coords(x=cube.x + 5, y=cube.y - 5)" in text
    assert "cube.rio.write_transform()" in text

    with warnings.catch_warnings():
        warnings.simplefilter("error", GeoreferenceWarning)
        moved = cube.assign_coords(x=cube.x + 5, y=cube.y - 5)
        assert origin(moved.sr.upscale("bicubic", offset=0)) == ORIGIN
        settled = cube.rio.write_crs(32633).rio.write_transform()
        assert origin(settled.sr.upscale("bicubic", offset=0)) == (ORIGIN[0] - 5, ORIGIN[1] + 5)


def test_a_store_says_what_it_doubts(tmp_path):
    with pytest.warns(GeoreferenceWarning, match="whole multiples of 10 m"):
        cubo(distance=False).sr.reflectance(offset=0).sr.to_zarr(tmp_path / "out.zarr", progress=False)


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        (lambda cube: cube, True),
        (lambda cube: cube.assign_coords(x=cube.x + 5, y=cube.y - 5), False),
        (lambda cube: cube.assign_coords(x=cube.x + 3, y=cube.y - 3), False),
        (lambda cube: cube.drop_vars("epsg").assign_attrs(crs=3035), False),
        (lambda cube: cube.assign_coords(x=ORIGIN[0] + 30.0 * np.arange(N), y=ORIGIN[1] - 30.0 * np.arange(N)), False),
        (lambda cube: cube.assign_coords(x=ORIGIN[0] + 60.0 * np.arange(N), y=5_799_960 - 60.0 * np.arange(N)), True),
    ],
    ids=["multiples of 10 in UTM", "centers of Sentinel-2", "another grid", "no UTM", "pixels of Landsat", "60 m"],
)
def test_corners_are_suspected_where_sentinel_2_has_its_edges(change, warned):
    assert ("multiples" in doubt(change(stacked(attrs=False)))) == warned


def wrapped(affine: Affine = TEN, n: int = N) -> xr.DataArray:
    """A cube as odc-geo makes it: centers, `resolution` on the coordinates, `GeoTransform` on `spatial_ref`."""
    values = np.full((len(RGBN), n, n), 0.2, "float32")
    cube = odc.geo.xr.wrap_xr(values, GeoBox((n, n), affine, 32633), axis=1)
    return cube.rename({cube.dims[0]: "band"}).assign_coords(band=list(RGBN))


def on_corners(cube: xr.DataArray) -> xr.DataArray:
    """Move centers to the upper left corners and keep all attributes, as arithmetic does."""
    half = float(cube.x[1] - cube.x[0]) / 2
    return cube.assign_coords(x=cube.x.copy(data=cube.x - half), y=cube.y.copy(data=cube.y + half))


PARTS = {
    "all": {},
    "a slice": {"x": slice(3, 20), "y": slice(5, 11)},
    "every third": {"x": slice(0, None, 3), "y": slice(0, None, 3)},
    "a row": {"y": slice(4, 5)},
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_a_geotransform_tells_corners_from_centers_as_the_attribute_does(kind, part):
    """Also where `resolution` is left on the coordinates, which alone would count for centers."""
    centers = wrapped().isel(PARTS[part])
    corners = on_corners(wrapped()).isel(PARTS[part])
    noted = on_corners(wrapped()).drop_vars("spatial_ref").assign_attrs(transform=tuple(TEN), crs=32633)
    made = [cube if kind == "DataArray" else cube.to_dataset("band") for cube in (corners, noted.isel(PARTS[part]))]

    assert geobox_of(made[0]) == geobox_of(made[1])
    if part != "every third":
        assert geobox_of(made[0]) == geobox_of(centers)
    with pytest.warns(GeoreferenceWarning, match="'GeoTransform'"):  # it may be that of another cube
        fine = made[0].sr.upscale("bicubic")
    np.testing.assert_allclose(
        fine.x[:2], geobox_of(made[0]).affine.c + geobox_of(made[0]).affine.a / 8 * np.array([1, 3])
    )


def test_a_move_by_a_transform_from_before_interp_is_warned_of_and_the_advice_helps():
    cube = wrapped().rio.write_crs(32633).rio.write_transform().astype("float32")
    cube = cube.interp(x=cube.x.values[:-1] + 5, y=cube.y.values[:-1] - 5)
    with pytest.warns(GeoreferenceWarning, match="'GeoTransform'.*recalc=True"):
        cube.sr.upscale("bicubic", offset=0, quantification=1)

    fresh = cube.rio.write_transform(cube.rio.transform(recalc=True))
    affine = geobox_of(fresh).affine
    assert (affine.c, affine.f) == (float(cube.x[0]) - 5, float(cube.y[0]) + 5)


def test_a_resolution_that_arithmetic_kept_does_not_silence_the_doubt():
    moved = on_corners(wrapped()).drop_vars("spatial_ref").assign_attrs(crs=32633)

    assert "resolution" in moved.x.attrs
    with pytest.warns(GeoreferenceWarning, match="whole multiples of 10 m"):
        moved.sr.upscale("bicubic")


@pytest.mark.filterwarnings("error::xr_sr.errors.GeoreferenceWarning")
@pytest.mark.parametrize("offset", [0, 5], ids=["centers beside the multiples of 10", "centers on the multiples of 10"])
def test_a_geotransform_of_centers_moves_nothing(offset):
    """Slices keep that of their parent; rioxarray writes its own; means of 3 × 3 stand on centers again."""
    affine = Affine.translation(offset, -offset) @ TEN
    cube = wrapped(affine)
    rewritten = cube.drop_vars("spatial_ref").rio.write_crs(32633).rio.write_transform()

    for array in (cube, rewritten):
        assert geobox_of(array).affine == affine
        assert geobox_of(array.isel(x=slice(4, 9), y=slice(2, 8))).affine == affine @ Affine.translation(4, 2)
        clipped = array.rio.clip_box(*array.odc.geobox[2:8, 4:9].boundingbox)
        assert origin(clipped) == (affine.c + 40, affine.f - 20)
        assert geobox_of(array.coarsen(x=3, y=3).mean()).affine == affine @ Affine.scale(3)


def test_means_of_two_by_two_are_never_moved_by_a_geotransform():
    """The mean of two corners stands where the center of a pair does."""
    centers, corners = (cube.coarsen(x=2, y=2).mean() for cube in (wrapped(), on_corners(wrapped())))

    assert geobox_of(centers).affine == TEN @ Affine.scale(2)
    assert geobox_of(corners).affine.almost_equals(TEN @ Affine.translation(-0.5, -0.5) @ Affine.scale(2), 1e-6)


def test_rewriting_the_transform_confirms_centers_where_a_geotransform_says_corners():
    """As the warning of doubtful coordinates advises."""
    cube = on_corners(wrapped())

    assert origin(cube) == ORIGIN
    assert origin(cube.rio.write_transform()) == (ORIGIN[0] - 5, ORIGIN[1] + 5)
    assert doubt(cube.rio.write_transform()) == ""


def test_a_crs_without_coordinates_is_no_place():
    cube = stacked().drop_vars(["x", "y"]).assign_attrs(transform=None)

    with pytest.warns(GeoreferenceWarning, match="'y' and 'x'") as said:
        fine = cube.sr.upscale("bicubic", offset=0)

    assert len([each for each in said if each.category is GeoreferenceWarning]) == 1
    assert not {"x", "y"} & set(fine.coords)  # pixel numbers would be taken for places
    assert fine.odc.geobox is None


def test_without_coordinates_the_transform_places_what_has_the_shape_of_its_raster():
    cube = stacked().drop_vars(["x", "y"]).assign_attrs(spec=SimpleNamespace(epsg=32633, transform=TEN, shape=(N, N)))

    assert geobox_of(cube).affine == TEN
    assert doubt(cube) == ""
    assert "a slice keeps the transform of its parent" in doubt(cube[..., 3:, :])


def test_a_raster_opened_without_coordinates_is_placed_with_a_doubt(tmp_path):
    stacked(center=True)[0].astype("uint16").rio.write_crs(32633).rio.to_raster(tmp_path / "a.tif")
    opened = rioxarray.open_rasterio(tmp_path / "a.tif", parse_coordinates=False)

    assert geobox_of(opened).affine == TEN
    assert "a slice keeps" in doubt(opened)


def test_what_is_well_placed_is_the_same_object():
    cube = stacked(center=True).rio.write_crs(32633)

    assert placed(cube) is cube
    assert placed(placed(stacked())).identical(placed(stacked()))
    assert placed(xr.Dataset()).identical(xr.Dataset())
