"""Picking bands, checking the pixel size."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from tests.cubes import untouchable
from xr_sr.cube import select as door
from xr_sr.cube.select import check_gsd, pick, recognize
from xr_sr.errors import (
    AmbiguousBandError,
    GridError,
    MissingBandError,
    ResolutionError,
    ResolutionWarning,
)

GB10 = GeoBox((8, 6), Affine(10, 0, 600_000, 0, -10, 5_700_000), "EPSG:32633")
RGBN = ("B04", "B03", "B02", "B08")


def layer(geobox: GeoBox = GB10, lead: dict[str, int] | None = None, **options: object) -> xr.DataArray:
    """One variable that fails when it is computed."""
    return untouchable(geobox, lead, **options)


def dataset(*names: str, **kwargs: object) -> xr.Dataset:
    return xr.Dataset({name: layer(**kwargs) for name in names})


def stack(*labels: str) -> xr.DataArray:
    return layer(lead={"band": len(labels)}).assign_coords(band=list(labels))


def names(planes: tuple[door.Plane, ...]) -> list[object]:
    return [plane.name for plane in planes]


def test_planes_come_in_the_wanted_order():
    for obj in (dataset("blue", "green", "red", "nir"), stack("blue", "green", "red", "nir")):
        planes = pick(recognize(obj), RGBN, reader="a model")

        assert names(planes) == ["red", "green", "blue", "nir"]
        assert [plane.band for plane in planes] == list(RGBN)


@pytest.mark.parametrize("wanted", [["B04"], ["red"], ["b4"], ["B04_10m"], ["R"]])
def test_wanted_may_be_any_name(wanted):
    cube = recognize(dataset("red", "nir") if wanted != ["R"] else dataset("nir").assign(R=layer(long_name="B04")))

    assert [plane.band for plane in pick(cube, wanted, reader="a model")] == ["B04"]


def test_nothing_wanted_is_nothing():
    assert pick(recognize(dataset("red")), [], reader="a model") == ()


def test_missing_bands_are_listed_with_what_is_needed_and_found():
    with pytest.raises(MissingBandError) as caught:
        pick(recognize(dataset("red", "nir08")), RGBN, reader="'sen2sr-lite'")

    message = str(caught.value)
    assert "'sen2sr-lite' reads 'B04', 'B03', 'B02', 'B08'" in message
    assert "has B04 ('red'), B8A ('nir08')" in message
    assert "'B03', 'B02', 'B08' are missing" in message
    assert "list_models(bands=['B04', 'B8A'])" in message
    assert isinstance(caught.value, ValueError)


def test_missing_bands_of_a_tree_name_the_node():
    tree = xr.DataTree.from_dict({"r10m": dataset("B04"), "r20m": dataset("B11", geobox=GB10.zoom_out(2))})

    with pytest.raises(MissingBandError, match="'/r10m'.*B04.*'B11'"):
        pick(recognize(tree, model_gsd_m=10.0), ["B11"], reader="a model")
    with pytest.raises(MissingBandError, match=r"B11 is in node r20m: cube\['r20m'\]\.sr\.upscale"):
        pick(recognize(tree, model_gsd_m=10.0), ["swir16", "B01"], reader="a model")


def test_two_names_of_one_band_are_ambiguous_where_it_is_wanted():
    cube = recognize(dataset("B04", "red", "nir"))

    assert names(pick(cube, ["B08"], reader="a model")) == ["nir"]
    assert names(pick(cube, ["red"], reader="a model")) == ["red"]
    with pytest.raises(AmbiguousBandError, match=r"'B04', 'red' of the cube.*drop_vars\(\['red'\]\)"):
        pick(cube, ["B04"], reader="a model")


def test_the_way_out_of_doubled_labels_works():
    array = stack("B04", "B08", "B04")
    with pytest.raises(AmbiguousBandError, match=r"isel\(band=\[0, 1\]\)"):
        pick(recognize(array), ["B04"], reader="a model")

    assert names(pick(recognize(array.isel(band=[0, 1])), ["B04"], reader="a model")) == ["B04"]


def test_of_one_band_in_two_resolutions_the_native_one_is_read():
    """CDSE offers B02_10m, B02_20m and B02_60m, B11_20m and B11_60m."""
    cube = recognize(dataset("B02_20m", "B02_10m", "B11_60m", "B11_20m"))

    assert names(pick(cube, ["B02", "B11"], reader="a model")) == ["B02_10m", "B11_20m"]


def test_a_band_cannot_be_wanted_twice():
    with pytest.raises(AmbiguousBandError, match="'B04' .*'B04'"):
        pick(recognize(dataset("red", "nir")), ["B04", "red"], reader="a model")


def test_bands_with_other_dimensions_cannot_be_read_together():
    cube = recognize(dataset("red", "nir", lead={"time": 2}).assign(blue=layer()))

    assert names(pick(cube, ["B04", "B08"], reader="a model")) == ["red", "nir"]
    with pytest.raises(GridError, match=r"'blue'.*'time'.*broadcast"):
        pick(cube, ["B04", "B02"], reader="a model")


def grid(step: float, crs: int = 32633, y: float = 5_700_000, wide: float = 1) -> door.Cube:
    return recognize(
        dataset("red", geobox=GeoBox((8, 6), Affine(step * wide, 0, 0 if crs != 32633 else 500_000, 0, -step, y), crs))
    )


@pytest.mark.parametrize("step", [9.1, 10.0, 10.9])
def test_pixels_within_ten_per_cent_are_fine(step):
    check_gsd(grid(step), 10.0, allow=False, model="a model")


@pytest.mark.parametrize(("step", "wide"), [(8.0, 1), (11.5, 1), (14.9, 1), (10.0, 1.3), (10.0, 0.75)])
def test_pixels_a_little_off_are_warned_of(step, wide):
    with pytest.warns(ResolutionWarning, match=r"10 m; .*resolution=10") as caught:
        check_gsd(grid(step, wide=wide), 10.0, allow=False, model="a model")

    assert {entry.filename for entry in caught if entry.category is ResolutionWarning} == {__file__}


@pytest.mark.parametrize(("step", "wide"), [(60.0, 1), (20.0, 1), (6.0, 1), (10.0, 2)])
def test_other_pixels_are_an_error_unless_allowed(step, wide):
    cube = grid(step, wide=wide)

    # As the page on stores says: a resampled pixel is not one that the network has seen.
    advice = r"Load the bands at 10 m in the UTM zone .*do not resample these pixels.*allow_gsd=True"
    with pytest.raises(ResolutionError, match=advice):
        check_gsd(cube, 10.0, allow=False, model="a model")
    check_gsd(cube, 10.0, allow=True, model="a model")


def test_web_mercator_is_judged_on_the_ground():
    """10 m of Web Mercator are 5 m of ground at 60 degrees north, and 20 m are 10 m."""
    north = 8_399_737.9

    with pytest.raises(ResolutionError, match=r"5 m high and 5\.01 m wide"):
        check_gsd(grid(10.0, 3857, north), 10.0, allow=False, model="a model")
    check_gsd(grid(20.0, 3857, north), 10.0, allow=False, model="a model")


def test_degrees_are_judged_along_both_axes():
    with pytest.warns(ResolutionWarning, match=r"9\.97 m high and 7\.8\d m wide"):
        check_gsd(grid(8.983e-5, 4326, 38.1), 10.0, allow=False, model="a model")


@pytest.mark.filterwarnings("ignore::xr_sr.errors.GeoreferenceWarning")
def test_without_crs_nothing_is_known_and_nothing_is_said():
    array = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"), name="red")

    check_gsd(recognize(array), 10.0, allow=False, model="a model")
