"""Areas of pixels against geodesic polygons by pyproj, in UTM, in degrees and in projections that distort a lot."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from pyproj import Geod, Transformer

from xr_sr.analytics import class_areas, pixel_areas
from xr_sr.analytics.area import area_text
from xr_sr.errors import GridError, OptionError

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

    with pytest.raises(GridError, match="outside of the world"):
        pixel_areas(cube, area=area)
