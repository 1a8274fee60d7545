from __future__ import annotations

import numpy as np
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from pyproj import Geod, Transformer

import xr_sr
from xr_sr.analytics import class_areas, pixel_areas
from xr_sr.analytics.area import area_text
from xr_sr.errors import CubeError, GridError, OptionError

GEOD = Geod(ellps="WGS84")

GRIDS = {
    "UTM at the edge of its zone": GeoBox((700, 900), Affine(10, 0, 240_000, 0, -10, 5_400_000), "EPSG:32633"),
    "UTM at the central meridian": GeoBox((400, 400), Affine(10, 0, 498_000, 0, -10, 10_000), "EPSG:32633"),
    "UTM south, 2.5 m": GeoBox((2400, 1600), Affine(2.5, 0, 700_000, 0, -2.5, 7_000_000), "EPSG:32719"),
    "degrees": GeoBox((900, 700), Affine(9e-5, 0, -0.76, 0, -9e-5, 38.1), "EPSG:4326"),
    "degrees far north, coarse": GeoBox((40, 60), Affine(0.02, 0, 20, 0, -0.02, 79), "EPSG:4326"),
    "Web Mercator": GeoBox((300, 300), Affine(10, 0, 1_500_000, 0, -10, 8_400_000), "EPSG:3857"),
    "equal area": GeoBox((300, 300), Affine(10, 0, 4_300_000, 0, -10, 3_200_000), "EPSG:3035"),
    "turned UTM": GeoBox(
        (300, 300), Affine.translation(600_000, 5e6) @ Affine.rotation(30) @ Affine.scale(10, -10), "EPSG:32633"
    ),
}


def cube_on(geobox: GeoBox, chunks: int = 128) -> xr.DataArray:
    dims = geobox.dimensions if geobox.axis_aligned else ("y", "x")
    values = xr.DataArray(np.zeros(geobox.shape, "uint8"), dims=dims, coords=xr_coords(geobox, dims=dims))
    return values.chunk(dict.fromkeys(dims, chunks))


def polygon_m2(geobox: GeoBox, rows: tuple[int, int], cols: tuple[int, int]) -> float:
    """The geodesic area of a rectangle of pixels, its edges cut at each pixel: geodesics are no straight grid lines."""
    (top, bottom), (left, right) = rows, cols
    ring = [(col, top) for col in range(left, right)] + [(right, row) for row in range(top, bottom)]
    ring += [(col, bottom) for col in range(right, left, -1)] + [(left, row) for row in range(bottom, top, -1)]
    x, y = zip(*(geobox.affine @ place for place in ring), strict=True)
    lon, lat = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True).transform(x, y)
    return abs(GEOD.polygon_area_perimeter(lon, lat)[0])


@pytest.mark.parametrize("name", GRIDS)
def test_areas_equal_geodesic_polygons(name):
    geobox = GRIDS[name]
    areas = pixel_areas(cube_on(geobox)).values
    height, width = geobox.shape

    for rows in ((0, height // 3), (height // 2, height)):
        for cols in ((0, width // 4), (width // 2, width)):
            expected = polygon_m2(geobox, rows, cols)

            # An edge of n pixels is cut into n geodesics; of coarse degrees these bend visibly from the parallel.
            tolerance = 1e-6 if name != "degrees far north, coarse" else 3e-6
            assert areas[slice(*rows), slice(*cols)].sum() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("name", ["UTM at the edge of its zone", "degrees"])
def test_single_pixels_equal_their_neighbours_share(name):
    """One pixel of 100 m2 is too small for the polygon's rounding: its area must be that of its surroundings."""
    geobox = GRIDS[name]
    areas = pixel_areas(cube_on(geobox)).values

    for row, col in ((5, 5), (350, 300), (690, 650)):
        expected = polygon_m2(geobox, (row - 5, row + 5), (col - 5, col + 5)) / 100
        assert areas[row, col] == pytest.approx(expected, rel=1e-6)


def test_degrees_have_the_closed_form_of_their_row():
    """The area between two parallels of an ellipsoid, Snyder 1987 eq. 3-12 and 14-18."""
    geobox = GRIDS["degrees"]
    eccentricity = np.sqrt(GEOD.es)

    def zone(lat: np.ndarray) -> np.ndarray:
        sine = np.sin(np.deg2rad(lat))
        logarithm = np.log((1 - eccentricity * sine) / (1 + eccentricity * sine)) / (2 * eccentricity)
        return GEOD.b**2 / 2 * (sine / (1 - GEOD.es * sine**2) - logarithm)

    edges = 38.1 - 9e-5 * np.arange(901)
    expected = (zone(edges[:-1]) - zone(edges[1:])) * np.deg2rad(9e-5)

    areas = pixel_areas(cube_on(geobox)).values

    np.testing.assert_allclose(areas, np.repeat(expected[:, None], 700, axis=1), rtol=1e-7)


def test_chunks_do_not_matter():
    geobox = GRIDS["UTM at the edge of its zone"]

    fine, whole = pixel_areas(cube_on(geobox, 37)), pixel_areas(cube_on(geobox, 1000))

    np.testing.assert_allclose(fine.values, whole.values, rtol=1e-13)
    assert fine.chunks is not None and fine.odc.geobox == geobox


def test_projected_areas_are_those_of_the_plane():
    cube = cube_on(GRIDS["UTM at the central meridian"])

    assert (pixel_areas(cube, "projected") == 100).all()
    # The scale factor of UTM at its central meridian is 0.9996.
    np.testing.assert_allclose(pixel_areas(cube).values, 100 / 0.9996**2, rtol=2e-7)


def test_classes_add_up_to_the_whole():
    geobox = GRIDS["UTM south, 2.5 m"]
    cube = cube_on(geobox, 500)
    rng = np.random.default_rng(0)
    classes = cube.copy(data=rng.integers(0, 3, cube.shape).astype("uint8")).chunk(300)

    found = class_areas(classes, {"none": 0, "some": 1, "other": 2}, "ellipsoidal")

    assert float(found.sum()) * 1e4 == pytest.approx(polygon_m2(geobox, (0, 2400), (0, 1600)), rel=1e-6)
    np.testing.assert_allclose(found.sel(state="some"), (pixel_areas(cube) * (classes == 1)).sum() / 1e4, rtol=1e-12)


def test_what_has_no_area_is_refused():
    with pytest.raises(GridError, match="degrees"):
        pixel_areas(cube_on(GRIDS["degrees"]), "projected")
    with pytest.raises(GridError, match="no CRS"):
        pixel_areas(xr.DataArray(np.zeros((4, 4)), dims=("y", "x")))
    with pytest.raises(OptionError, match="area='plane'"):
        pixel_areas(cube_on(GRIDS["degrees"]), "plane")


@pytest.mark.parametrize(
    ("hectares", "text"),
    [
        (0.0, "0 ha"),
        (0.000123, "1.23 m²"),
        (0.0238, "238 m²"),
        (0.09994, "999 m²"),
        (0.09996, "0.1 ha"),
        (14.43, "14.4 ha"),
        (99.96, "100 ha"),
        (12345.6, "12,346 ha"),
    ],
)
def test_areas_are_written_with_sensible_digits(hectares, text):
    assert area_text(hectares) == text


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("area", ["ellipsoidal", "projected"])
def test_pixels_outside_of_the_world_are_refused(area):
    steps = np.arange(4) * 1e300
    cube = xr.DataArray(np.zeros((4, 4)), dims=("y", "x"), coords={"y": -steps, "x": steps}).odc.assign_crs(32633)

    with pytest.raises(GridError, match="outside|world"):
        pixel_areas(cube, area=area)


GRID = GeoBox((20, 30), Affine(10, 0, 600_000, 0, -10, 5_400_000), "EPSG:32633")
WATER = {"flag_values": [0, 1, 255], "flag_meanings": "dry water unknown"}


def on_grid(values, *, chunk: int | None = 7, name: str | None = None, **attrs: object) -> xr.DataArray:
    """A map on GRID; leading dimensions are time, then member."""
    values = np.asarray(values)
    dims = (*("time", "member")[: values.ndim - 2], "y", "x")
    array = xr.DataArray(values, dims=dims, coords=xr_coords(GRID), attrs=attrs, name=name)
    if "time" in dims:
        array = array.assign_coords(
            time=np.arange(values.shape[0]) * np.timedelta64(1, "D") + np.datetime64("2023-06-01", "ns")
        )
    return array if chunk is None else array.chunk(y=chunk, x=chunk)


def part(share: int) -> np.ndarray:
    """True in the first `share` rows."""
    values = np.zeros(GRID.shape, bool)
    values[:share] = True
    return values


def hectares(array: xr.DataArray, **options) -> dict[str, float]:
    return dict(
        zip(array.sr.areas(**options).state.values.tolist(), array.sr.areas(**options).values.tolist(), strict=True)
    )


PLANE = {"area": "projected"}
"""10 m x 10 m are 0.01 ha; a row of GRID has 0.3 ha."""


@pytest.mark.parametrize(
    ("values", "attrs", "expected"),
    [
        (part(5), {}, {"false": 4.5, "true": 1.5}),
        (part(5), WATER, {"false": 4.5, "true": 1.5}),  # a comparison keeps the attributes of its map
        (part(5).astype("uint8"), {}, {"false": 4.5, "true": 1.5, "unknown": 0}),
        (part(5).astype("int16"), {}, {"false": 4.5, "true": 1.5, "unknown": 0}),
        (np.where(part(2), 255, part(5)).astype("uint8"), {}, {"false": 4.5, "true": 0.9, "unknown": 0.6}),
        (np.where(part(2), np.nan, part(5)), {}, {"false": 4.5, "true": 0.9, "unknown": 0.6}),
        (np.where(part(2), 255, part(5)).astype("uint8"), WATER, {"dry": 4.5, "water": 0.9, "unknown": 0.6}),
        (np.where(part(2), np.nan, part(5)), WATER, {"dry": 4.5, "water": 0.9, "unknown": 0.6}),
        (np.where(part(2), 0.5, part(5)), WATER, {"dry": 4.5, "water": 0.9, "unknown": 0.6}),
        (part(5) * 7, {"flag_values": "0 7", "flag_meanings": "none some"}, {"none": 4.5, "some": 1.5, "unknown": 0}),
        (part(5) * 700, {"flag_values": [0, 700], "flag_meanings": "a b"}, {"a": 4.5, "b": 1.5, "unknown": 0}),
    ],
)
def test_each_kind_of_mask_is_read(values, attrs, expected):
    assert hectares(on_grid(values, **attrs), **PLANE) == pytest.approx(expected)


def test_scl_has_the_names_of_its_classes():
    scl = on_grid(np.where(part(5), 6, 4).astype("uint8"), name="SCL")

    found = hectares(scl, **PLANE)

    assert {name: value for name, value in found.items() if value} == pytest.approx({"water": 1.5, "vegetation": 4.5})
    assert hectares(scl, classes={"lake": 6}, **PLANE) == pytest.approx({"lake": 1.5, "other": 4.5})


def test_a_comparison_with_unknown_pixels_can_keep_them():
    ndvi = on_grid(np.where(part(2), np.nan, np.where(part(5), 0.6, 0.1)))

    green = (ndvi > 0.4).where(ndvi.notnull())

    assert hectares(green, **PLANE) == pytest.approx({"false": 4.5, "true": 0.9, "unknown": 0.6})


@settings(max_examples=20, deadline=None)
@given(
    codes=st.lists(st.integers(0, 12), min_size=1, max_size=5, unique=True),
    seed=st.integers(0, 99), chunk=st.sampled_from([None, 4, 11]),
)  # fmt: skip
def test_each_pixel_counts_once_whatever_the_chunks(codes, seed, chunk):
    values = np.random.default_rng(seed).integers(0, 13, (2, *GRID.shape)).astype("uint8")
    array = on_grid(values, chunk=chunk)

    found = array.sr.areas(classes={f"c{code}": code for code in codes})

    total = float(xr_sr.analytics.pixel_areas(array).sum()) / 10_000
    np.testing.assert_allclose(found.sum("state"), [total, total])
    count = [(values[0] == code).mean() * total for code in codes]
    np.testing.assert_allclose(found[0, : len(codes)], count, rtol=1e-6)


def test_dates_and_members_stay_and_nothing_is_computed():
    values = np.stack([np.stack([part(date + member) for member in range(2)]) for date in range(3)])
    array = on_grid(values).assign_coords(member=["a", "b"])

    found = array.sr.areas(**PLANE)

    assert found.chunks is not None and found.dims == ("time", "member", "state") and found.attrs["units"] == "ha"
    assert found.member.values.tolist() == ["a", "b"]
    np.testing.assert_allclose(found.sel(state="true"), [[0, 0.3], [0.3, 0.6], [0.6, 0.9]])
    table = on_grid(values[:, 0]).sr.areas().to_pandas()
    assert table.index.equals(array.indexes["time"]) and list(table) == ["false", "true"]


class TestWithWater:
    @pytest.fixture
    def water(self):
        scene = xr_sr.simulate_scene((48, 48), bands=["B03", "B08"], seed=1)
        return xr_sr.water(getattr(scene, "lr", scene), "NDWI", threshold=0.0)

    def test_water_gives_its_classes(self, water):
        found = water.sr.areas()

        assert found.state.values.tolist() == ["dry", "water", "unknown"]
        xr.testing.assert_allclose(found, xr_sr.areas(water))
        assert float(found.sum()) == pytest.approx(
            float(xr_sr.analytics.pixel_areas(water).sum()) * found.sizes.get("time", 1) / 1e4
        )

    def test_a_dataset_gives_the_areas_of_its_one_mask(self, water):
        other = water.astype("float32").drop_attrs(deep=False)

        xr.testing.assert_identical(xr.Dataset({"w": water, "b": other}).sr.areas(), water.sr.areas())
        with pytest.raises(CubeError, match=r"'a', 'b'.*dataset\['name'\].sr.areas\(\)"):
            xr.Dataset({"a": water, "b": water}).sr.areas()
        with pytest.raises(CubeError, match="'b'"):
            xr.Dataset({"b": other}).sr.areas()

    def test_a_file_of_ours_gives_the_same(self, water, tmp_path):
        one = water.isel(time=0) if "time" in water.dims else water
        path = one.sr.to_cog(tmp_path / "water.tif", progress=False)

        with rioxarray.open_rasterio(path) as read:
            np.testing.assert_allclose(read.sr.areas().squeeze(), one.sr.areas())


@pytest.mark.parametrize(
    ("array", "options", "error", "words"),
    [
        (on_grid(np.full(GRID.shape, 6, "uint8")), {}, CubeError, "the mask holds 6.*classes="),
        (on_grid(np.full(GRID.shape, 0.3)), {}, CubeError, r"the mask holds 0.3.*\(array > 0.4\)"),
        (on_grid(np.full(GRID.shape, "a", dtype=object)), {}, CubeError, "no mask"),
        (on_grid(np.zeros(GRID.shape, "complex64")), {}, CubeError, "of complex64"),
        (xr.DataArray(part(3), dims=("y", "x")), {}, GridError, "CRS"),
        (on_grid(part(3)), {"classes": ["water"]}, OptionError, "'water': 6"),
        (on_grid(part(3)), {"classes": {}}, OptionError, "'water': 6"),
        (on_grid(part(3)), {"classes": {"water": -1}}, OptionError, "'water': 6"),
        (on_grid(part(3)), {"classes": {"water": 0.5}}, OptionError, "'water': 6"),
        (on_grid(part(3)), {"area": "round"}, OptionError, "'projected'"),
        (xr.DataTree(), {}, CubeError, "a DataTree"),
    ],
)  # fmt: skip
def test_what_has_no_areas_is_refused(array, options, error, words):
    with pytest.raises(error, match=words):
        array.sr.areas(**options).compute()


def test_no_member_and_no_date_give_a_table_without_rows():
    water = on_grid(np.stack([part(5)] * 4).reshape(2, 2, *GRID.shape))

    members = water.isel(member=slice(0)).sr.areas()
    dates = water.isel(time=slice(0)).sr.areas()

    assert dict(members.sizes) == {"time": 2, "member": 0, "state": 2}
    assert dict(dates.sizes) == {"time": 0, "member": 2, "state": 2}
    assert members.compute().dtype == "float64"
