"""Exact geography: what comes out reads back as the zoomed geobox, in odc-geo, rioxarray and GDAL, without rounding."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import odc.geo.xr
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Proj

from xr_sr.cube.coordinates import coords, fine_coords, zoomed
from xr_sr.cube.grid import Grid, crs_coord_name, geobox_of, grid_of, pixel_size_m, place_of, spatial_dims
from xr_sr.errors import GridError

UTM = Affine(10, 0, 499_980, 0, -10, 5_800_020)
ROTATED = Affine.translation(500_000.5, 5_800_000.25) @ Affine.rotation(30) @ Affine.scale(10, -10)
GRIDS = {
    "north up": GeoBox((9, 7), UTM, "EPSG:32633"),
    "south up": GeoBox((9, 7), Affine(10, 0, 499_980, 0, 10, 5_800_020), "EPSG:32733"),
    "mirrored": GeoBox((9, 7), Affine(-10, 0, 499_980, 0, -10, 5_800_020), "EPSG:32633"),
    "thirds of a meter": GeoBox((9, 7), Affine(10 / 3, 0, 499_980.1, 0, -10 / 3, 5_800_020.7), "EPSG:32633"),
    "degrees": GeoBox(
        (9, 7), Affine(8.983152841195215e-05, 0, -0.78189362329, 0, -8.983152841195215e-05, 38.1288125), 4326
    ),
    "degrees, south up": GeoBox((9, 7), Affine(1e-4 / 1.1, 0, 151.2093, 0, 1e-4 / 1.1, -33.8688), "EPSG:4326"),
    "web mercator": GeoBox((9, 7), Affine(10, 0, 1_000_000, 0, -10, 8_400_000), "EPSG:3857"),
    "rotated": GeoBox((9, 7), ROTATED, "EPSG:32633"),
}
PIECES = {
    "whole": np.s_[:, :],
    "piece": np.s_[2:7, 3:6],
    "one column": np.s_[1:8, 3:4],
    "one row": np.s_[4:5, 2:7],
    "one pixel": np.s_[0:1, 0:1],
}
UPRIGHT = [name for name in GRIDS if name != "rotated"]


def raster(geobox: GeoBox) -> xr.DataArray:
    return odc.geo.xr.wrap_xr(np.zeros(geobox.shape, "uint8"), geobox)


def undescribed(array: xr.DataArray) -> xr.DataArray:
    """Take the attributes off y and x, in which odc-geo notes CRS and resolution a second time."""
    return array.assign_coords({dim: array[dim].drop_attrs(deep=False) for dim in spatial_dims(array)})


def refined(array: xr.DataArray, scale: int) -> xr.DataArray:
    """Do what `rebuild` does, without bands."""
    grid, dims = grid_of(array), spatial_dims(array)
    shape = zoomed(grid.geobox, scale).shape
    out = xr.DataArray(np.zeros(shape, "uint8"), dims=dims, coords=fine_coords(grid, scale, dims=dims))
    out.encoding["grid_mapping"] = "spatial_ref"
    return out


def cut(array: xr.DataArray, piece: tuple[slice, slice]) -> xr.DataArray:
    return array.isel(dict(zip(spatial_dims(array), piece, strict=True)))


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("name", GRIDS)
def test_odc_and_rioxarray_read_exactly_the_zoomed_geobox(name, piece, scale):
    array = cut(raster(GRIDS[name]), PIECES[piece])
    geobox = geobox_of(array)

    out = refined(array, scale)

    assert geobox == GRIDS[name][PIECES[piece]]
    assert out.rio.transform() == geobox.zoom_to(tuple(side * scale for side in geobox.shape)).affine
    assert out.rio.crs == array.rio.crs
    if scale > 1 or name != "rotated":  # odc-geo misreads single pixels of rotated grids, and only those
        assert out.odc.geobox == geobox.zoom_to(tuple(side * scale for side in geobox.shape))


@pytest.mark.parametrize("name", [name for name in GRIDS if "degrees" not in name and "third" not in name])
def test_pieces_in_whole_metres_are_what_odc_reads(name):
    array = cut(raster(GRIDS[name]), np.s_[2:7, 3:6])

    assert geobox_of(array) == array.odc.geobox


@pytest.mark.parametrize("name", GRIDS)
def test_whole_rasters_keep_the_geobox_that_odc_reads(name):
    array = raster(GRIDS[name])

    assert geobox_of(array) == array.odc.geobox == GRIDS[name]


@st.composite
def parents(draw):
    """Grids of any size in degrees or meters, with origins of six decimals, as they come in files."""
    degrees = draw(st.booleans())
    reach = (170, 80) if degrees else (900_000, 9_000_000)
    unit = 8.983152841195215e-05 if degrees else 10.0
    step_x, step_y = (unit * draw(st.integers(1, 400)) / draw(st.integers(1, 400)) for _ in range(2))
    x, y = (draw(st.integers(-limit * 10**6, limit * 10**6)) / 10**6 for limit in reach)
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    sign = draw(st.sampled_from([-1, 1]))
    return GeoBox(shape, Affine(step_x, 0, x, 0, sign * step_y, y), "EPSG:4326" if degrees else "EPSG:32633")


def has_exact_half(edge: float, step: float, scale: int) -> bool:
    """Whether half a fine pixel can be added to an edge and taken off again, as rioxarray does, without loss."""
    half = step * (1 / scale) / 2
    return edge + half - half == edge


@settings(deadline=None)
@given(parents(), st.data(), st.sampled_from([2, 3, 4, 5, 6]))
def test_any_piece_of_any_grid_is_exact(parent, data, scale):
    top, left = (data.draw(st.integers(0, side - 1)) for side in parent.shape)
    bottom, right = (
        data.draw(st.integers(start + 1, side)) for start, side in zip((top, left), parent.shape, strict=True)
    )
    piece = parent[top:bottom, left:right]
    assume(has_exact_half(piece.affine.c, parent.affine.a, scale))
    assume(has_exact_half(piece.affine.f, parent.affine.e, scale))

    out = refined(cut(raster(parent), np.s_[top:bottom, left:right]), scale)

    assert out.odc.geobox == piece.zoom_to((piece.shape.y * scale, piece.shape.x * scale))
    assert out.rio.transform() == out.odc.geobox.affine


@settings(deadline=None)
@given(parents(), st.data(), st.sampled_from([1, 2, 3, 4]))
def test_outputs_of_two_crops_have_equal_coordinates_where_they_overlap(parent, data, scale):
    whole, array = refined(raster(parent), scale), raster(parent)
    top, left = (data.draw(st.integers(0, side - 1)) for side in parent.shape)

    part = refined(cut(array, np.s_[top:, left:]), scale)

    y, x = spatial_dims(array)
    np.testing.assert_array_equal(part[y].values, whole[y].values[top * scale :])
    np.testing.assert_array_equal(part[x].values, whole[x].values[left * scale :])


@settings(deadline=None)
@given(parents(), st.data())
def test_crops_are_counted_from_the_origin_of_the_crs_like_their_parent(parent, data):
    top, left = (data.draw(st.integers(0, side - 1)) for side in parent.shape)

    row, col = place_of(grid_of(raster(parent)))
    cropped = place_of(grid_of(cut(raster(parent), np.s_[top:, left:])))

    assert cropped == (row + top, col + left)
    assert abs(row - parent.affine.f / parent.affine.e) < 0.502
    assert abs(col - parent.affine.c / parent.affine.a) < 0.502


@pytest.mark.parametrize("name", GRIDS)
def test_crops_whose_transform_was_rewritten_are_counted_alike(name):
    """As `rio.clip_box` does it: the parent is forgotten, and its place is found again by rounding."""
    row, col = place_of(Grid.alone(GRIDS[name]))

    assert place_of(Grid.alone(GRIDS[name][4:, 3:])) == (row + 4, col + 3)


def test_places_in_whole_metres_are_what_one_expects():
    assert place_of(Grid.alone(GRIDS["north up"])) == (-580_002, 49_998)
    assert place_of(Grid.alone(GRIDS["south up"])) == (580_002, 49_998)


@settings(deadline=None)
@given(parents(), st.sampled_from([2, 3, 4]))
def test_block_means_of_the_coordinates_are_the_input_coordinates(parent, scale):
    array = raster(parent)
    y, x = spatial_dims(array)

    out = refined(array, scale)

    for dim, step in ((y, parent.affine.e), (x, parent.affine.a)):
        back = out[dim].values.reshape(-1, scale).mean(axis=1)
        np.testing.assert_allclose(back, array[dim].values, rtol=0, atol=abs(step) * 1e-6)


@pytest.mark.parametrize("name", UPRIGHT)
def test_coordinates_are_those_of_odc_to_the_last_bits(name):
    geobox = zoomed(GRIDS[name], 4)

    ours, theirs = coords(geobox), odc.geo.xr.xr_coords(geobox)

    assert list(ours) == list(theirs)
    for dim in ours:
        np.testing.assert_allclose(ours[dim].values, theirs[dim].values, rtol=4e-16, atol=0)
        assert ours[dim].attrs == theirs[dim].attrs


@pytest.mark.parametrize("name", GRIDS)
def test_gdal_reads_the_same_transform(name, tmp_path: Path):
    out = refined(cut(raster(GRIDS[name]), np.s_[2:7, 3:6]), 4)

    out.odc.write_cog(tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform == out.odc.geobox.affine
        assert file.crs == out.rio.crs
        assert file.shape == out.shape


@pytest.mark.parametrize("scale", [1, 3, 4])
def test_results_on_rotated_grids_have_no_coordinates_that_differ_between_crops(scale):
    """Pixel numbers do; the place stands in the transform, and a slice, which keeps it, is a doubt."""
    whole, crop = refined(raster(GRIDS["rotated"]), scale), refined(raster(GRIDS["rotated"])[2:7, 3:6], scale)

    assert not {"x", "y"} & {*whole.coords, *crop.coords}
    assert geobox_of(crop) == crop.odc.geobox == zoomed(GRIDS["rotated"][2:7, 3:6], scale)
    assert grid_of(crop).assumed == ""
    assert "a slice keeps" in grid_of(crop[1:]).assumed


@pytest.mark.parametrize("scale", [2, 3, 4, 7, 11, 15, 16])
@pytest.mark.parametrize("name", UPRIGHT)
def test_without_a_crs_the_zoomed_geobox_is_read_exactly_too(name, scale):
    geobox = GeoBox(GRIDS[name].shape, GRIDS[name].affine, None)
    array = undescribed(raster(GRIDS[name]).drop_vars("spatial_ref"))

    out = refined(array, scale)

    assert out.odc.geobox.affine.almost_equals(zoomed(geobox, scale).affine, 1e-9 * abs(geobox.affine.a))
    assert out.rio.transform() == zoomed(geobox_of(array), scale).affine


def test_netcdf_and_back_is_exact(tmp_path: Path):
    out = refined(cut(raster(GRIDS["degrees"]), np.s_[2:7, 3:6]), 4).rename("sr")

    out.to_netcdf(tmp_path / "out.nc")

    with xr.open_dataset(tmp_path / "out.nc", decode_coords="all") as back:
        assert geobox_of(back) == out.odc.geobox


def test_rotated_rasters_opened_and_sliced_lie_where_they_are(tmp_path: Path):
    """rioxarray gives two-dimensional xc and yc then, which slicing keeps true, unlike the transform."""
    raster(GRIDS["rotated"]).rio.to_raster(tmp_path / "rotated.tif")
    opened = rioxarray.open_rasterio(tmp_path / "rotated.tif")

    assert geobox_of(opened).affine.almost_equals(GRIDS["rotated"].affine, 1e-6)
    assert geobox_of(opened[:, 2:6, 3:4]).affine.almost_equals(GRIDS["rotated"][2:6, 3:4].affine, 1e-6)


def test_every_other_pixel_is_a_grid_of_its_own():
    array = raster(GRIDS["north up"])[::2, ::2]

    assert geobox_of(array) == array.odc.geobox
    assert geobox_of(array).resolution.x == 20


def test_flipped_cubes_keep_their_place():
    array = raster(GRIDS["north up"])[::-1]

    assert geobox_of(array) == array.odc.geobox
    assert geobox_of(array).boundingbox == GRIDS["north up"].boundingbox


def test_order_of_dims_does_not_matter():
    array = raster(GRIDS["degrees"]).expand_dims(time=3)

    for dims in itertools.permutations(array.dims):
        assert geobox_of(array.transpose(*dims)) == GRIDS["degrees"]


@pytest.mark.parametrize(
    "dims", [("Y", "X"), ("row", "col"), ("northing", "easting"), ("lat", "lon"), ("LATITUDE", "LONGITUDE")]
)
def test_other_names_of_the_dimensions_are_read(dims):
    array = raster(GRIDS["north up"]).rename(dict(zip(("y", "x"), dims, strict=True)))

    assert spatial_dims(array) == dims
    assert geobox_of(array) == GRIDS["north up"]
    assert spatial_dims(refined(array, 2)) == dims


def test_dims_in_the_order_x_y_are_not_mixed_up():
    array = raster(GRIDS["north up"]).rename(y="Y", x="X").transpose("X", "Y")

    assert geobox_of(array) == GRIDS["north up"]


def test_without_crs_coordinates_are_refined_in_their_own_unit():
    array = undescribed(raster(GRIDS["north up"]).drop_vars("spatial_ref"))

    out = refined(array, 4)

    assert geobox_of(array) == GeoBox((9, 7), UTM, None)
    assert out.odc.crs is None
    assert out.rio.crs is None
    np.testing.assert_array_equal(out.x, odc.geo.xr.xr_coords(zoomed(GRIDS["north up"], 4))["x"])


def test_without_coordinates_places_are_input_pixels():
    array = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"))

    out = refined(array, 2)

    assert geobox_of(array) == GeoBox((2, 3), Affine.identity(), None)
    np.testing.assert_array_equal(out.x, [0.25, 0.75, 1.25, 1.75, 2.25, 2.75])


def test_rotation_without_crs_survives():
    array = raster(GRIDS["rotated"])
    array.coords["spatial_ref"].attrs = {"GeoTransform": array.spatial_ref.attrs["GeoTransform"]}
    array.encoding["grid_mapping"] = "spatial_ref"

    assert refined(array, 4).odc.geobox == zoomed(GeoBox((9, 7), ROTATED, None), 4)


def test_name_of_the_crs_coordinate_is_kept():
    array = raster(GRIDS["north up"]).rename(spatial_ref="transverse_mercator")
    array.encoding["grid_mapping"] = "transverse_mercator"

    assert crs_coord_name(array) == "transverse_mercator"
    assert crs_coord_name(xr.DataArray(np.zeros((2, 2)), dims=("y", "x"))) == "spatial_ref"


@pytest.mark.parametrize("crs", [4326, 32633])
def test_float32_coordinates_do_not_distort_the_grid(crs):
    """The first two coordinates in float32 give a step that is off by up to some ten per cent."""
    truth = GeoBox((50, 60), Affine(8.98e-5, 0, 100.1, 0, -8.98e-5, 52.3) if crs == 4326 else UTM, crs)
    array = raster(truth)
    y, x = spatial_dims(array)
    coarse = array.assign_coords({dim: array[dim].astype("float32") for dim in (y, x)})
    bare = coarse.copy()
    del bare.spatial_ref.attrs["GeoTransform"]

    assert geobox_of(coarse) == truth
    assert abs(geobox_of(bare).resolution.x / truth.resolution.x - 1) < 0.01


def test_a_single_column_without_transform_is_taken_as_square_and_says_so():
    array = raster(GRIDS["north up"])
    del array.spatial_ref.attrs["GeoTransform"]
    bare = undescribed(array)[:, 2:3]

    assert geobox_of(array[:, 2:3]) == GRIDS["north up"][:, 2:3]  # odc-geo notes the step in the coordinate
    assert grid_of(array[:, 2:3]).assumed == ""
    assert geobox_of(bare) == GRIDS["north up"][:, 2:3]
    assert "'x'" in grid_of(bare).assumed
    with pytest.raises(GridError, match="write_transform"):
        geobox_of(bare[:1])


def test_no_space_is_no_grid():
    assert grid_of(xr.DataArray(np.zeros((2, 3)), dims=("time", "band"))) is None
    assert geobox_of(xr.Dataset()) is None


@pytest.mark.parametrize("piece", [np.s_[0:0, :], np.s_[:, 3:3]])
def test_no_pixels_is_an_error_that_shows_the_order_of_selections(piece):
    with pytest.raises(GridError, match=r"slice\(north, south\)"):
        geobox_of(raster(GRIDS["north up"])[piece])


@pytest.mark.parametrize("gone", [[0, 1, 3, 4], [0, 1, 1, 2], [0, 0]])
def test_gaps_and_doubled_places_are_an_error(gone):
    with pytest.raises(GridError, match="evenly spaced"):
        geobox_of(raster(GRIDS["north up"])[gone])


def test_places_that_are_no_numbers_are_an_error():
    array = xr.DataArray(np.zeros((2, 2)), dims=("y", "x"), coords={"y": ["a", "b"], "x": [0.0, 1.0]})

    with pytest.raises(GridError, match="drop_vars"):
        geobox_of(array)


def test_control_points_are_an_error():
    array = raster(GRIDS["north up"])
    points = [
        {"properties": {"row": r, "col": c}, "geometry": {"type": "Point", "coordinates": [c, r]}}
        for r in (0, 9)
        for c in (0, 7)
    ]
    features = [{"type": "Feature", "id": str(n), **point} for n, point in enumerate(points)]
    array.spatial_ref.attrs["gcps"] = {"type": "FeatureCollection", "features": features}

    with pytest.raises(GridError, match="control points"):
        geobox_of(array)


@pytest.mark.parametrize("latitude", [0.01, 45.0, 60.0, -70.0])
def test_web_mercator_pixels_shrink_with_latitude(latitude):
    y = Proj("EPSG:3857")(0, latitude)[1]
    height, width = pixel_size_m(GeoBox((2, 2), Affine(10, 0, 0, 0, -10, y + 10), "EPSG:3857"))

    radius = math.cos(math.radians(latitude)) / math.sqrt(1 - 0.00669437999 * math.sin(math.radians(latitude)) ** 2)
    assert width == pytest.approx(10 * radius, rel=1e-4)  # circle of latitude on the ellipsoid
    assert height == pytest.approx(10 * math.cos(math.radians(latitude)), rel=0.01)


@pytest.mark.parametrize("latitude", [0.0, 38.1, 70.0])
def test_pixels_in_degrees_are_measured_in_metres(latitude):
    height, width = pixel_size_m(GeoBox((2, 2), Affine(1e-4, 0, 13, 0, -1e-4, latitude + 1e-4), "EPSG:4326"))

    e2, a, phi = 0.00669437999, 6_378_137.0, math.radians(latitude)
    w = math.sqrt(1 - e2 * math.sin(phi) ** 2)
    assert height == pytest.approx(math.radians(1e-4) * a * (1 - e2) / w**3, rel=1e-5)
    assert width == pytest.approx(math.radians(1e-4) * a * math.cos(phi) / w, rel=1e-5)


def test_utm_feet_and_rotated_pixels_are_measured_on_the_ground():
    assert pixel_size_m(GRIDS["north up"]) == pytest.approx((10, 10), rel=1e-3)
    assert pixel_size_m(GRIDS["rotated"]) == pytest.approx((10, 10), rel=1e-3)
    assert pixel_size_m(GeoBox((4, 4), Affine(30, 0, 1e6, 0, -60, 2e5), "EPSG:2263")) == pytest.approx(
        (60 * 0.3048006, 30 * 0.3048006), rel=1e-4
    )


def test_ground_size_is_unknown_without_crs_or_off_the_globe():
    assert pixel_size_m(GeoBox((4, 4), UTM, None)) is None
    assert pixel_size_m(GeoBox((4, 4), Affine(10, 0, 1e30, 0, -10, 1e30), "EPSG:32633")) is None


@pytest.mark.parametrize(
    "text",
    ["0 0 0 0 0 0", "499980 10 0 5800020 0 0", "nan nan nan nan nan nan", "inf 10 0 5800020 0 -10", "a b"],
)
def test_a_transform_whose_pixels_have_no_width_is_passed_over(text):
    """odc-geo raises where it is inverted; the coordinates say where the pixels are."""
    plain = raster(GRIDS["north up"])
    there = plain.assign_coords(spatial_ref=plain.spatial_ref.assign_attrs(GeoTransform=text))

    assert geobox_of(there) == GRIDS["north up"]
    assert geobox_of(there.isel(x=slice(2, 3))).affine.xoff == 500_000
    assert there.spatial_ref.attrs["GeoTransform"] == text  # what the user holds is left alone


@pytest.mark.parametrize("name", [{"a": 1}, 3, None, ("spatial_ref",)], ids=repr)
@pytest.mark.parametrize("holder", ["attrs", "encoding"])
def test_a_grid_mapping_that_is_no_name_is_passed_over(name, holder):
    there = raster(GRIDS["north up"])
    setattr(there, holder, {"grid_mapping": name})

    assert geobox_of(there) == GRIDS["north up"]
    assert getattr(there, holder) == {"grid_mapping": name}


def test_metres_are_no_degrees():
    meters = raster(GRIDS["north up"])
    places = {dim: meters[dim].values for dim in ("y", "x")}
    wrong = meters.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": "EPSG:4326"}))

    with pytest.raises(GridError, match=r"EPSG:4326.* latitudes .* 5799935 to 5800015"):
        geobox_of(wrong)
    with pytest.raises(GridError, match="counts in degrees"):
        grid_of(xr.DataArray(meters.values, dims=("y", "x"), coords=places, attrs={"crs": 4326}))


@pytest.mark.parametrize("north", [90.0, 89.5])
def test_latitudes_end_at_the_pole(north):
    latitudes, longitudes = north - np.arange(4.0), 359.5 - np.arange(3.0)
    crs = {"spatial_ref": xr.DataArray(0, attrs={"crs_wkt": "EPSG:4326"})}
    coordinates = {"latitude": latitudes, "longitude": longitudes[::-1], **crs}
    cube = xr.DataArray(np.zeros((4, 3)), dims=("latitude", "longitude"), coords=coordinates)

    assert geobox_of(cube).shape == (4, 3)
    with pytest.raises(GridError, match="latitudes.* 88 to 91.* 90 degrees"):
        geobox_of(cube.assign_coords(latitude=91.0 - np.arange(4)))
    with pytest.raises(GridError, match="longitudes.* 359.5 to 361.5.* 360 degrees"):
        geobox_of(cube.assign_coords(longitude=359.5 + np.arange(3)))


@pytest.mark.parametrize("name", [1, None, ("a", "b")], ids=repr)
def test_names_of_dimensions_are_text(name):
    cube = xr.DataArray(np.zeros((2, 3, 4)), dims=(name, "y", "x"))

    with pytest.raises(GridError, match=r"cube.rename\("):
        spatial_dims(cube)
