"""Where a CRS may stand: each place names the same one, and two that differ are an error."""

from __future__ import annotations

import math

import numpy as np
import odc.geo.xr
import pyproj
import pytest
import rasterio.crs
import rioxarray  # noqa: F401  registers .rio
import xarray as xr
from odc.geo.crs import CRS

import xr_sr
from tests.cubes import RGBN, UTM
from xr_sr.cube.crs import crs_coord_name, find_crs, read_crs, same_crs
from xr_sr.errors import GridError

PROJECTED = pyproj.CRS(32633)
N = 8


class CRSIndex(xr.Index):
    """An index that holds a CRS for a scalar coordinate, by the protocol of xproj."""

    def __init__(self, crs: pyproj.CRS) -> None:
        self.crs = crs

    def _proj_get_crs(self) -> pyproj.CRS:
        return self.crs

    def create_variables(self, variables=None):
        return dict(variables or {})

    def equals(self, other, **_):
        return isinstance(other, CRSIndex) and self.crs == other.crs


def bare(dates: int = 2) -> xr.DataArray:
    """A cube of DN on centers, which says nothing of its CRS."""
    return xr.DataArray(
        np.full((dates, 4, N, N), 2000, "uint16"),
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.datetime64("2023-06-01", "ns") + np.arange(dates) * np.timedelta64(5, "D"),
            "band": list(RGBN),
            "y": 5_799_995 - 10.0 * np.arange(N),
            "x": 600_005 + 10.0 * np.arange(N),
        },
    )


def with_mapping(attrs: dict[str, object], name: str = "spatial_ref") -> xr.DataArray:
    return bare().assign_coords({name: xr.Variable((), 0, attrs)})


def with_index(name: str = "spatial_ref") -> xr.DataArray:
    return bare().assign_coords(xr.Coordinates({name: xr.Variable((), 0)}, indexes={name: CRSIndex(PROJECTED)}))


CF = {key: value for key, value in PROJECTED.to_cf().items() if key != "crs_wkt"}

PLACES = {
    "CF's crs_wkt": lambda: with_mapping({"crs_wkt": PROJECTED.to_wkt()}, "crs"),
    "GDAL's spatial_ref": lambda: with_mapping({"spatial_ref": PROJECTED.to_wkt("WKT1_GDAL")}),
    "CF's parameters without WKT": lambda: with_mapping(CF, "transverse_mercator"),
    "index of xproj": with_index,
    "index of xproj, other name": lambda: with_index("crs"),
    "value of spatial_ref": lambda: bare().assign_coords(spatial_ref=32633),
    "coordinate epsg": lambda: bare().assign_coords(epsg=32633),
    "coordinate epsg, a float": lambda: bare().assign_coords(epsg=32633.0),
    "coordinate proj:epsg": lambda: bare().assign_coords({"proj:epsg": 32633}),
    "coordinate proj:code": lambda: bare().assign_coords({"proj:code": "EPSG:32633"}),
    "coordinate proj:code, per date": lambda: bare().assign_coords({"proj:code": ("time", ["EPSG:32633"] * 2)}),
    "coordinate proj:epsg, lacking at a date": lambda: bare().assign_coords({"proj:epsg": ("time", [32633, math.nan])}),
    "coordinate proj:wkt2": lambda: bare().assign_coords({"proj:wkt2": PROJECTED.to_wkt()}),
    "coordinate proj:projjson, a mapping": lambda: bare().assign_coords(
        {"proj:projjson": xr.Variable((), np.array(PROJECTED.to_json_dict(), dtype=object))}
    ),
    "attribute epsg": lambda: bare().assign_attrs(epsg=32633),
    "attribute crs, a number": lambda: bare().assign_attrs(crs=32633),
    "attribute crs, text": lambda: bare().assign_attrs(crs="epsg:32633"),
    "attribute crs, old text of PROJ": lambda: bare().assign_attrs(crs="+init=epsg:32633"),
    "attribute crs, mapping of rasterio": lambda: bare().assign_attrs(crs={"init": "epsg:32633"}),
    "attribute crs, pyproj": lambda: bare().assign_attrs(crs=PROJECTED),
    "attribute crs, rasterio": lambda: bare().assign_attrs(crs=rasterio.crs.CRS.from_epsg(32633)),
    "attribute crs, odc-geo": lambda: bare().assign_attrs(crs=CRS("EPSG:32633")),
    "attribute proj:code": lambda: bare().assign_attrs({"proj:code": "EPSG:32633"}),
    "attribute proj:wkt2": lambda: bare().assign_attrs({"proj:wkt2": PROJECTED.to_wkt()}),
    "attribute proj:projjson, text": lambda: bare().assign_attrs({"proj:projjson": PROJECTED.to_json()}),
    "Item in the attributes": lambda: bare().assign_attrs(stac_discovery={"properties": {"proj:epsg": 32633}}),
    "metadata of EOPF": lambda: bare().assign_attrs(other_metadata={"horizontal_CRS_code": "EPSG:32633"}),
    "attribute of x": lambda: bare().assign_coords(x=bare().x.assign_attrs(crs="EPSG:32633")),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_crs_is_read_wherever_it_stands(place):
    cube = PLACES[place]()

    assert find_crs(cube).epsg == 32633 or same_crs(find_crs(cube), CRS("EPSG:32633"))
    assert same_crs(find_crs(cube.to_dataset("band")), CRS("EPSG:32633"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.filterwarnings("error::xr_sr.errors.GeoreferenceWarning")
def test_results_have_the_crs_as_cf_wants_it(place):
    cube = PLACES[place]()
    wanted = UTM.affine.__class__(10, 0, 600_000, 0, -10, 5_800_000)

    fine = cube.sr.upscale("bicubic", offset=0, scale=2)
    ndvi = cube.to_dataset("band").sr.index("NDVI", offset=0)

    for result, affine in ((fine, wanted @ wanted.scale(0.5)), (ndvi, wanted)):
        assert same_crs(result.odc.crs, CRS("EPSG:32633"))
        assert same_crs(CRS(result.rio.crs.to_wkt()), CRS("EPSG:32633"))
        assert result.odc.geobox.affine == result.rio.transform() == affine


@pytest.mark.parametrize(
    "cube",
    [
        pytest.param(bare().assign_attrs(crs="EPSG:32633", epsg=32632), id="two attributes"),
        pytest.param(bare().assign_attrs(crs="EPSG:32633").assign_coords(epsg=32632), id="attribute, coordinate"),
        pytest.param(with_mapping({"crs_wkt": PROJECTED.to_wkt()}).assign_coords(epsg=32632), id="CF, coordinate"),
        pytest.param(with_index().assign_attrs(epsg=32632), id="index, attribute"),
        pytest.param(bare().assign_coords({"proj:epsg": ("time", [32633, 32632])}), id="two dates"),
        pytest.param(bare().assign_coords({"proj:epsg": 32633, "proj:code": "EPSG:32632"}), id="two of an Item"),
    ],
)
def test_two_that_differ_are_an_error_that_names_both(cube):
    for call in (
        lambda: cube.sr.upscale("bicubic", offset=0),
        lambda: cube.sr.index("NDVI", offset=0),
        lambda: cube.to_dataset("band").sr.water(offset=0, threshold=0.0, index="NDWI"),
    ):
        with pytest.raises(GridError, match="EPSG:3263[23].* EPSG:3263[23]"):
            call()


def test_a_store_takes_no_contradiction(tmp_path):
    with pytest.raises(GridError, match="EPSG:"):
        bare().assign_attrs(crs="EPSG:32633", epsg=32632).sr.to_zarr(tmp_path / "out.zarr")

    assert not (tmp_path / "out.zarr").exists()


def test_bands_that_name_different_crs_are_an_error():
    cube = bare().to_dataset("band")
    cube["B04"].attrs["crs"], cube["B08"].attrs["crs"] = "EPSG:32633", "EPSG:32632"

    with pytest.raises(GridError, match=r"'crs' of 'B04'.*EPSG:32633.*'crs' of 'B08'.*EPSG:32632"):
        cube.sr.upscale("bicubic", offset=0)


def test_bands_that_point_at_different_grid_mappings_are_an_error():
    codes = {"a": 32633, "b": 32632}
    mappings = {name: xr.Variable((), 0, {"crs_wkt": pyproj.CRS(code).to_wkt()}) for name, code in codes.items()}
    cube = bare().to_dataset("band").assign_coords(mappings)
    cube["B04"].encoding["grid_mapping"], cube["B08"].attrs["grid_mapping"] = "a", "b"

    with pytest.raises(GridError, match="'a'.*EPSG:32633.*'b'.*EPSG:32632"):
        find_crs(cube)
    cube["B08"].attrs["grid_mapping"] = "a"
    assert find_crs(cube).epsg == 32633  # what no variable points at describes something else
    assert crs_coord_name(cube) == "a"


def test_items_that_were_resampled_to_another_crs_keep_their_own():
    """stackstac.stack(items, epsg=3035) and odc-stac with properties; what describes the cube itself counts."""
    cube = bare().assign_coords({"epsg": 3035, "proj:code": ("time", ["EPSG:32633", "EPSG:32632"])})

    assert find_crs(cube).epsg == 3035


def test_assigning_another_crs_leaves_the_notes_of_odc_behind():
    cube = odc.geo.xr.wrap_xr(np.zeros(UTM.shape), UTM)
    assert cube.x.attrs["crs"] == "EPSG:32633"

    assert find_crs(cube.rio.write_crs("EPSG:25833")).epsg == 25833


@pytest.mark.parametrize("value", [None, "", " ", "None", "unknown", b"", 0, 0.0, math.nan, [], {}, np.array([])])
def test_what_says_that_there_is_no_crs_is_passed_over(value):
    assert read_crs(value) is None
    assert find_crs(bare().assign_attrs(crs=value)) is None
    assert find_crs(bare().assign_attrs({"crs": value, "proj:code": "EPSG:32633"})).epsg == 32633


def test_the_name_of_a_grid_mapping_is_no_crs():
    assert find_crs(bare().assign_coords(grid=0).assign_attrs(crs="grid")) is None


@pytest.mark.parametrize("value", ["nonsense", "EPSG:0", "EPSG:99999", 1, 33, 123456, math.inf, True, [1], 10**400])
def test_what_cannot_be_read_counts_only_where_nothing_else_names_a_crs(value):
    assert read_crs(value) is None
    assert find_crs(bare().assign_attrs({"crs": value, "proj:code": "EPSG:32633"})).epsg == 32633
    assert find_crs(bare().assign_attrs({"crs": value}).assign_coords({"proj:epsg": 32633})).epsg == 32633
    with pytest.raises(GridError, match="'crs'.*EPSG"):
        find_crs(bare().assign_attrs(crs=value))


UNREADABLE = {
    "attribute": (lambda: bare().assign_attrs(crs="hello"), "the attribute 'crs' is 'hello'"),
    "attribute, number": (lambda: bare().assign_attrs(epsg=123456), "the attribute 'epsg' is 123456"),
    "coordinate": (lambda: bare().assign_coords(epsg=7), r"the coordinate 'epsg' is .*7\)?, which"),
    "Items": (
        lambda: bare().assign_coords({"proj:code": ("time", ["hello"] * 2)}),
        "the coordinate 'proj:code' along 'time' is 'hello'",
    ),
    "grid mapping": (
        lambda: with_mapping({"crs_wkt": "PROJCRS[broken"}),
        r"the attribute 'crs_wkt' of the coordinate 'spatial_ref' is 'PROJCRS\[broken'",
    ),
    "grid mapping by name": (
        lambda: with_mapping({"grid_mapping_name": "hello"}),
        "the attribute 'grid_mapping_name' of the coordinate 'spatial_ref' is 'hello'",
    ),
    "x": (lambda: bare().assign_coords(x=bare().x.assign_attrs(crs="hello")), "the attribute 'crs' of 'x' is 'hello'"),
}


@pytest.mark.parametrize("place", UNREADABLE)
def test_a_crs_that_cannot_be_read_is_named_with_its_value_and_what_is_accepted(place):
    make, said = UNREADABLE[place]
    for call in (
        lambda: make().sr.upscale("bicubic", offset=0),
        lambda: make().to_dataset("band").sr.index("NDVI", offset=0),
        lambda: make().sr.water(offset=0, threshold=0.0, index="NDWI"),
        lambda: xr.DataTree.from_dict({"r10m": make().to_dataset("band")}).sr.upscale("bicubic", offset=0),
    ):
        with pytest.raises(GridError, match=rf"{said}.*EPSG") as caught:
            call()
        assert "has no CRS" not in str(caught.value)
    assert "cannot be read as a CRS" in repr(make().sr)


def test_one_crs_in_several_dialects_is_one():
    dialects = [PROJECTED.to_wkt("WKT1_GDAL"), PROJECTED.to_wkt("WKT1_ESRI"), PROJECTED.to_wkt(), 32633]

    assert all(same_crs(read_crs(one), read_crs(other)) for one in dialects for other in dialects)
    assert not same_crs(read_crs(32633), read_crs(PROJECTED.to_wkt().replace("15,", "9,")))
    assert not same_crs(read_crs(32633), read_crs(32633 - 1))
    assert not same_crs(read_crs(32633), read_crs(25833))


def test_the_index_of_x_and_y_is_not_taken_for_the_coordinate_of_the_crs():
    assert crs_coord_name(with_index("crs")) == "crs"
    assert crs_coord_name(bare()) == "spatial_ref"


def test_reflectance_leaves_what_names_the_crs_alone():
    cube = with_index()

    done = cube.sr.reflectance(offset=0)

    assert isinstance(done.xindexes["spatial_ref"], CRSIndex)
    assert set(done.coords) - set(cube.coords) == {"radiometry_offset"}


def test_areas_of_maps_whose_attributes_name_the_crs():
    water = bare().assign_attrs(crs=32633).sr.water(offset=0, threshold=0.0, index="NDWI")
    places = {dim: water[dim] for dim in water.dims}
    classes = xr.DataArray(water.data, dims=water.dims, coords=places, attrs=water.attrs | {"epsg": 32633})

    area = xr_sr.flood_between(classes.isel(time=[0]), classes.isel(time=[1]))["area"]

    assert area.sum() == pytest.approx(N * N * 0.01, rel=2e-3)  # 64 pixels of 100 m2, in hectares


@pytest.mark.parametrize(("crs", "kind"), [("EPSG:4978", "Geocentric CRS"), ("EPSG:5773", "Vertical CRS")])
def test_a_crs_that_does_not_say_where_x_and_y_lie_is_an_error(crs, kind):
    with pytest.raises(GridError, match=f"attribute 'crs'.*{kind}.*{crs}.*projected or geographic"):
        find_crs(bare().assign_attrs(crs=crs))


def test_compound_codes_name_their_horizontal_crs():
    found = find_crs(bare().assign_attrs(crs="EPSG:25832+7837"))

    assert found.projected and found.proj.sub_crs_list[0].to_epsg() == 25832
