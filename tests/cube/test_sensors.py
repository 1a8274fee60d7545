"""A cube that says that another sensor saw it is not upscaled as Sentinel-2 without a word."""

from __future__ import annotations

import warnings

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox

from tests.cubes import array, dataset, geobox_of, reflectance
from xr_sr.cube.detect import recognize
from xr_sr.cube.sensors import other_sensor
from xr_sr.errors import MissingBandError, ResolutionError, SensorWarning, XrSrWarning

FOUR = reflectance(4, 6, 6)
AT_30_M = GeoBox((6, 6), geobox_of(6, 6).affine * geobox_of(6, 6).affine.scale(3), "EPSG:32633")


def said(obj) -> str:
    return other_sensor(obj, recognize(obj))


@pytest.mark.parametrize(
    "attrs",
    [
        {"platform": "landsat-8"},
        {"platform": "LANDSAT_9"},
        {"SPACECRAFT_ID": "LANDSAT_8"},
        {"eo:platform": "landsat-7"},
        {"constellation": "landsat"},
        {"instruments": ["oli", "tirs"]},
        {"SENSOR": "OLI_TIRS; OLI_TIRS"},
        {"platform": "sentinel-3a"},
        {"platform": "worldview-3"},
        {"platform": "gokturk-1"},
        {"landsat:product_id": "LC08_L2SP_193023_20230605_20230614_02_T1"},
        {"PRODUCER_GRANULE_ID": "HLS.L30.T33UUU.2023156T100000.v2.0"},
        {"collection": "HLSL30.v2.0"},
        {"collections": np.array(["landsat-c2-l2"])},
        {"stac_discovery": {"properties": {"platform": "sentinel-3b"}}},
        {"platform": "landsat-8, sentinel-2a"},
    ],
)
def test_metadata_of_other_sensors_is_read(attrs):
    (key,) = attrs
    assert said(array(FOUR).assign_attrs(attrs)).startswith("platform" if key == "stac_discovery" else key)
    assert said(dataset(FOUR).assign_attrs(attrs))


@pytest.mark.parametrize("letter", ["", "a", "b", "c", "d", "A", "B", "C", "D"])
@pytest.mark.parametrize(
    "name",
    ["sentinel-2{}", "Sentinel-2{}", "SENTINEL-2{}", "sentinel2{}", "Sentinel 2{}", "SENTINEL_2{}", "S2{}", "s2{}"],
)
def test_sentinel_2_is_known_in_every_spelling(name, letter):
    for key in ("platform", "constellation", "SPACECRAFT_NAME", "mission"):
        assert not said(array(FOUR).assign_attrs({key: name.format(letter)}))


@pytest.mark.parametrize(
    "attrs",
    [
        {"platform": value}
        for value in ("", "nan", "unknown", None, np.nan, 2, [], b"sentinel-2a", "Copernicus Sentinel-2", "S2A_MSIL2A")
    ]
    + [
        {"instruments": ["msi"]},
        {"instrument": "MultiSpectral Instrument"},
        {"collection": "sentinel-2-l2a"},
        {"collection": "COPERNICUS/S2_SR_HARMONIZED"},
        {"product_uri": "S2B_MSIL2A_20230605T100559_N0509_R022_T33UUU_20230605T130000.SAFE"},
        {"title": "Dates of a flood"},
        {"platform": "simulated"},
    ],
)
def test_what_says_nothing_or_sentinel_2_is_no_reason(attrs):
    assert not said(array(FOUR).assign_attrs(attrs))
    assert not said(array(FOUR))


def test_coordinates_are_read_also_along_time_and_lazy_ones_off_the_grid():
    cube = array(reflectance(2, 4, 6, 6))
    assert not said(cube.assign_coords(platform=("time", ["sentinel-2a", "sentinel-2b"])))
    assert said(cube.assign_coords(platform=("time", ["sentinel-2a", "landsat-9"]))) == "platform is 'landsat-9'"
    assert said(cube.assign_coords({"landsat:wrs_path": 193, "platform": "landsat-8"}))
    lazy = xr.DataArray(np.array(["landsat-9"] * 2), dims="time").chunk()
    assert said(cube.assign_coords(platform=lazy)) == "platform is 'landsat-9'"
    on_grid = xr.DataArray(np.full((6, 6), "landsat-9"), dims=("y", "x")).chunk()
    assert not said(cube.assign_coords(platform=on_grid))
    scalar = xr.DataArray(da.from_array(np.array("landsat-8")))
    assert said(cube.assign_coords(platform=scalar)) == "platform is 'landsat-8'"


@pytest.mark.parametrize("names", [("sur_refl_b01", "sur_refl_b02"), ("Nadir_Reflectance_Band1", "B04")])
def test_names_of_modis_are_known(names):
    assert "products of MODIS" in said(array(FOUR[:2], names))
    assert "products of MODIS" in said(dataset(FOUR[:2], names))


@pytest.mark.parametrize("name", ["2A", "2b", "2C"])
def test_a_platform_may_be_named_by_its_unit(name):
    assert not said(array(FOUR).assign_attrs(platform=name))
    assert said(array(FOUR).assign_attrs(platform="3A"))


def test_attributes_of_a_band_and_of_a_trees_root_are_read():
    bands = dataset(FOUR)
    bands["B04"].attrs["platform"] = "landsat-8"
    assert said(bands)
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"platform": "landsat-8"}), "/r10m": dataset(FOUR)})
    assert said(tree)


@pytest.mark.parametrize(
    "names",
    [("SR_B2", "SR_B3", "SR_B4", "SR_B5"), ("red", "green", "blue", "lwir11"), ("red", "green", "blue", "qa_pixel")],
)
def test_names_that_only_landsat_has_are_known(names):
    assert "Landsat" in said(array(FOUR, names))
    assert "Landsat" in said(dataset(FOUR, names))


def test_pixels_of_30_m_make_numbers_that_landsat_uses_otherwise_doubtful():
    assert "'B05', 'B06'" in said(array(FOUR, ("B03", "B04", "B05", "B06"), geobox=AT_30_M))
    assert "'B5'" in said(dataset(FOUR, ("B2", "B3", "B4", "B5"), geobox=AT_30_M))
    for names in (("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A"), ("red", "green", "blue", "nir08")):
        assert not said(array(FOUR, names, geobox=AT_30_M))
    assert not said(array(FOUR, ("B03", "B04", "B05", "B06")))
    stated = array(FOUR, ("B03", "B04", "B05", "B06"), geobox=AT_30_M).assign_attrs(platform="sentinel-2b")
    assert not said(stated)


def landsat() -> xr.DataArray:
    return array(FOUR, ("B03", "B04", "B08", "B11")).assign_attrs(platform="landsat-8")


@pytest.mark.parametrize(
    "call",
    [
        lambda cube: cube.sr.upscale("bicubic"),
        lambda cube: cube.sr.fuse("bicubic"),
        lambda cube: cube.sr.reflectance(),
        lambda cube: cube.sr.index("NDVI"),
        lambda cube: cube.sr.index(["NDVI"]),
        lambda cube: cube.sr.water(),
        lambda cube: cube.to_dataset("band").assign_attrs(cube.attrs).sr.reflectance(),
        lambda cube: xr.DataTree.from_dict(
            {"/r10m": dataset(FOUR, ("B02", "B03", "B04", "B08")).assign_attrs(cube.attrs)}
        ).sr.reflectance(),
    ],
)
def test_every_call_that_reads_bands_says_it_once(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SensorWarning)
        call(landsat())

    ours = [each for each in caught if each.category is SensorWarning]
    assert len(ours) == 1
    assert ours[0].filename == __file__
    assert "platform is 'landsat-8'" in str(ours[0].message)


def refusal(call, *, beside: int) -> str:
    """Return the message of a refused call. beside: how many warnings it issues, none of them about bands."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises((MissingBandError, ResolutionError)) as error:
            call()
    ours = [each.category for each in caught if issubclass(each.category, XrSrWarning)]
    assert ours == [SensorWarning] * beside
    return str(error.value)


COMMON = ("coastal", "blue", "green", "red", "nir08", "swir22")


@pytest.mark.parametrize("attrs", [{"platform": "landsat-8"}, {}])
@pytest.mark.parametrize("make", [array, dataset])
def test_advice_about_missing_bands_fits_another_sensor(attrs, make):
    cube = make(reflectance(6, 6, 6), COMMON, geobox=AT_30_M).assign_attrs(attrs)
    whose = (
        "from another sensor than Sentinel-2 (platform is 'landsat-8')" if attrs else "30 m wide, as those of Landsat"
    )
    for call, reads, what in (
        (
            lambda: cube.sr.upscale(),
            "'sen2sr.ten-x4' reads",
            "model='bicubic', which takes any band, or a model of your",
        ),
        (lambda: cube.sr.index("NDVI"), "index 'NDVI' reads", "Else choose an index"),
        (lambda: cube.sr.water(), "index 'MNDWI' reads", "Else choose an index"),
    ):
        said = refusal(call, beside=len(attrs))

        assert said.startswith(reads) and whose in said and what in said
        assert "'nir08' as B8A (865 nm)" in said and "'red' as B04 (665 nm)" in said
        assert "oad them" not in said and "Load what" not in said


def test_advice_about_another_sensor_works():
    cube = dataset(reflectance(6, 6, 6), COMMON, geobox=AT_30_M).assign_attrs(platform="landsat-8")
    with pytest.warns(SensorWarning):
        renamed = cube.rename(nir08="B08").sr.index("NDVI")

    expected = (cube.nir08 - cube.red) / (cube.nir08 + cube.red)
    np.testing.assert_allclose(renamed, expected, atol=1e-6)
    with pytest.warns(SensorWarning):
        assert set(cube.sr.upscale(model="bicubic").data_vars) == set(COMMON)


@pytest.mark.parametrize("attrs", [{"platform": "landsat-8"}, {}])
def test_advice_about_pixel_sizes_fits_another_sensor(attrs):
    cube = array(FOUR, ("blue", "green", "red", "swir16"), geobox=AT_30_M).assign_attrs(attrs)
    said = refusal(lambda: cube.sr.fuse(), beside=len(attrs))

    assert "was made for pixels of 10 m; these are 30 m" in said and "upscale with model='bicubic'" in said
    assert "oad the bands" not in said


def test_advice_about_sentinel_2_stays():
    ten = array(FOUR, ("B02", "B03", "B04", "B8A"))
    wide = array(FOUR, ("B02", "B03", "B04", "B8A"), geobox=AT_30_M).assign_attrs(platform="sentinel-2a")
    assert "Load them" in refusal(lambda: ten.sr.upscale(), beside=0)
    assert "Load them" in refusal(lambda: wide.sr.upscale(), beside=0)
    assert "Load what is missing" in refusal(lambda: wide.sr.index("NDVI"), beside=0)
    assert "Load the bands at 10 m" in refusal(lambda: wide.sr.fuse(), beside=0)
