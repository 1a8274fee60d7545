"""The meaning of numbers is read from metadata, date by date, or asked for."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from xr_sr.cube.select import recognize
from xr_sr.errors import RadiometryError, RadiometryWarning
from xr_sr.radiometry.metadata import stored_dtype
from xr_sr.radiometry.resolve import OWN_ATTR, Radiometry, offset_coords, resolve

GEOBOX = GeoBox.from_bbox((600_000, 4_699_960, 600_060, 4_700_000), "EPSG:32633", resolution=10)
DATES = pd.to_datetime(["2021-06-01", "2022-02-01", "2023-07-09"])
BANDS = ("B04", "B03", "B02", "B08")


def array(dtype: str = "uint16", *, dates: int | None = None, attrs: Any = None, encoding: Any = None) -> xr.DataArray:
    """Return (time, band, y, x), or (band, y, x) without dates."""
    lead = {} if dates is None else {"time": DATES[:dates]}
    shape = (*(len(each) for each in lead.values()), len(BANDS), *GEOBOX.shape)
    made = xr.DataArray(
        np.full(shape, 1500).astype(dtype),
        dims=(*lead, "band", "y", "x"),
        coords={**lead, "band": list(BANDS), **xr_coords(GEOBOX)},
    )
    made.attrs.update(attrs or {})
    made.encoding.update(encoding or {})
    return made


def dataset(dtype: str = "uint16", *, dates: int | None = None, attrs: Any = None, encoding: Any = None) -> xr.Dataset:
    """Return the same as variables."""
    stack = array(dtype, dates=dates)
    bands = {band: stack.sel(band=band, drop=True) for band in BANDS}
    for band in bands.values():
        band.attrs.update(attrs or {})
        band.encoding.update(encoding or {})
    return xr.Dataset(bands)


def meaning(cube: Any, **arguments: Any) -> Radiometry:
    found = recognize(cube)
    return resolve(found, found.planes, **arguments)


# -- integers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
@pytest.mark.parametrize(
    ("baseline", "offset"), [("05.09", -1000), ("04.00", -1000), ("03.01", 0), (5.09, -1000), (2.14, 0)]
)
@pytest.mark.parametrize("name", ["s2:processing_baseline", "s2_processing_baseline", "PROCESSING_BASELINE"])
def test_the_baseline_of_the_attributes_tells_the_offset(dtype, baseline, offset, name):
    found = meaning(array(dtype, attrs={name: baseline}))

    assert (found.kind, found.offset, found.quantification, found.nodata) == ("dn", (offset,), 10_000, (0,))
    assert name in found.how
    assert found.declared


@pytest.mark.parametrize("make", [array, dataset])
@pytest.mark.parametrize(
    "values", [["03.01", "04.00", "05.09"], ["N0301", "N0400", "N0509"], np.float32([3.01, 4, 5.09])]
)
def test_each_date_has_the_offset_of_its_baseline(make, values):
    cube = make(dates=3).assign_coords({"s2:processing_baseline": ("time", values)})
    found = meaning(cube)

    assert found.offset == (0, -1000, -1000)
    assert found.time_axis == 0
    assert found.how.startswith("reflectance = (DN + radiometry_offset) / 10000; offset by ")


def test_metadata_of_odc_stac_lies_in_variables():
    cube = dataset(dates=3, attrs={"nodata": 0})
    cube["s2_processing_baseline"] = "time", np.float32([5.09, 5.09, 5.09])
    cube["earthsearch_boa_offset_applied"] = "time", np.float32([1, 0, np.nan])

    assert meaning(cube).offset == (0, -1000, -1000)


def test_the_offset_lies_along_time_wherever_time_is():
    stack = array(dates=3).expand_dims(orbit=2).transpose("y", "orbit", "band", "x", "time")
    found = meaning(stack.assign_coords(processing_baseline=("time", ["05.09", "02.01", "05.09"])))

    assert found.offset == (-1000, 0, -1000)
    assert recognize(stack).lead[found.time_axis] == "time"


def test_equal_dates_make_one_offset():
    cube = array(dates=3).assign_coords(processing_baseline=("time", ["05.09", "05.10", "05.11"]))

    assert (meaning(cube).offset, meaning(cube).time_axis) == ((-1000,), 0)


@pytest.mark.parametrize("dates", [1, 3])
def test_the_sentence_is_the_same_for_any_number_of_dates_and_their_coordinate_holds_the_numbers(dates):
    for baselines in (["05.09", "02.01", "05.09"], ["05.09"] * 3):
        cube = recognize(array(dates=dates).assign_coords(processing_baseline=("time", baselines[:dates])))
        found = resolve(cube, cube.planes)

        assert found.how == "reflectance = (DN + radiometry_offset) / 10000; offset by processing_baseline; nodata 0"
        offset = offset_coords(found, cube)["radiometry_offset"]
        assert offset.dims == ("time",) and offset.attrs["units"] == "DN"
        assert offset.values.tolist() == [-1000.0 if each == "05.09" else 0.0 for each in baselines[:dates]]


def test_without_dates_the_offset_stands_in_the_sentence():
    cube = recognize(array(dates=1).isel(time=0).drop_vars("time").assign_coords(processing_baseline="05.09"))
    found = resolve(cube, cube.planes)

    assert found.how == "reflectance = (DN - 1000) / 10000; offset by processing_baseline; nodata 0"
    assert offset_coords(found, cube) == {}


def test_an_image_of_one_date_says_its_offset_as_a_series_does():
    image = array(dates=1).isel(time=0).assign_coords(processing_baseline="05.09")
    found = resolve(recognize(image), recognize(image).planes)

    assert found.how == "reflectance = (DN + radiometry_offset) / 10000; offset by processing_baseline; nodata 0"
    assert offset_coords(found, recognize(image))["radiometry_offset"] == -1000


@pytest.mark.parametrize("flag", [True, 1, 1.0, "true", "True", "1"])
def test_a_flag_counts_more_than_the_baseline(flag):
    attrs = {"earthsearch:boa_offset_applied": flag, "s2:processing_baseline": "05.09"}

    assert meaning(array(attrs=attrs)).offset == (0,)


@pytest.mark.parametrize("flag", [False, 0, "false"])
def test_a_flag_that_says_no_leaves_it_to_the_baseline(flag):
    attrs = {"earthsearch:boa_offset_applied": flag, "s2:processing_baseline": "05.09"}

    assert meaning(array(attrs=attrs)).offset == (-1000,)
    assert meaning(array(attrs={**attrs, "s2:processing_baseline": "02.14"})).offset == (0,)
    with pytest.raises(
        RadiometryError, match=r"boa_offset_applied is False, .* the processing baseline, .* is missing\. Pass"
    ):
        meaning(array(attrs={"earthsearch:boa_offset_applied": flag}))


@pytest.mark.parametrize("unknown", [np.nan, 99.99])
def test_one_date_without_a_known_baseline_is_named(unknown):
    cube = array(dates=3).assign_coords({"s2:processing_baseline": ("time", [5.09, unknown, 2.0])})

    with pytest.raises(RadiometryError, match=r"unknown at 2022-02-01 \(time 1\).*each of the 3 dates"):
        meaning(cube)
    assert meaning(cube, offset=[-1000, -1000, 0]).offset == (-1000, -1000, 0)


def test_what_lies_along_dates_counts_more_than_an_attribute_left_from_one_of_them():
    cube = array(dates=2, attrs={"s2:processing_baseline": "02.01"})
    cube = cube.assign_coords({"s2:processing_baseline": ("time", ["05.09", "02.01"])})

    assert meaning(cube).offset == (-1000, 0)


def test_a_list_in_the_attributes_lies_along_dates():
    assert meaning(array(dates=2, attrs={"processing_baseline": ["05.09", "02.01"]})).offset == (-1000, 0)
    with pytest.warns(RadiometryWarning, match="-1000 DN .*2021-06-01"):  # not for 2022: all products have it then
        assert meaning(array(dates=2, attrs={"processing_baseline": ["05.09"]})).offset == (-1000,)


def test_metadata_along_bands_must_agree():
    cube = array(dates=2)
    same = cube.assign_coords(processing_baseline=(("time", "band"), [["05.09"] * 4, ["02.01"] * 4]))
    assert meaning(same).offset == (-1000, 0)

    with pytest.raises(RadiometryError, match="contradict"):
        meaning(cube.assign_coords(processing_baseline=("band", ["05.09", "05.09", "02.01", "05.09"])))

    bands = dataset(attrs={"processing_baseline": "05.09"})
    bands["B03"].attrs["processing_baseline"] = "02.01"
    with pytest.raises(RadiometryError, match="contradict"):
        meaning(bands)


def test_the_name_of_the_product_tells_the_baseline():
    source = "/vsizip/S2B_MSIL2A_20230821T221941_N{}_R013_T01KAB_20230822T021825.SAFE/IMG_DATA/R10m/B02_10m.jp2"
    cube = dataset(encoding={"source": source.format("0509")})
    assert meaning(cube).offset == (-1000,)
    assert "name of the product" in meaning(cube).how

    cube["B02"].encoding["source"] = source.format("0301")
    with pytest.raises(RadiometryError, match="different baselines"):
        meaning(cube)


@pytest.mark.parametrize("make", [array, dataset])
@pytest.mark.parametrize(
    ("attrs", "offset"),
    [
        ({"scale_factor": 1e-4, "add_offset": -0.1}, -1000),
        ({"scale_factor": 1e-4, "add_offset": 0.0}, 0),
        ({"scale_factor": 1e-4}, 0),
        ({"scale_factor": 1.0, "add_offset": -1000.0}, -1000),
        ({"raster:scale": 1e-4, "raster:offset": -0.1}, -1000),
        ({"raster:offset": -0.1}, -1000),
        ({"raster:bands": [{"nodata": 0, "scale": 1e-4, "offset": -0.1}]}, -1000),
        ({"raster:bands": "[{'scale': 0.0001, 'offset': 0}]"}, 0),
    ],
)
def test_a_scaling_that_is_declared_and_not_applied_tells_the_offset(make, attrs, offset):
    assert meaning(make(attrs=attrs)).offset == (offset,)


def test_scaling_along_bands_is_read_as_stackstac_hands_it_out():
    records = np.empty(4, object)
    records[:] = [{"scale": 1e-4, "offset": -0.1}] * 4

    assert meaning(array().assign_coords({"raster:bands": ("band", records)})).offset == (-1000,)


def test_bands_of_different_scaling_are_refused():
    cube = dataset(attrs={"scale_factor": 1e-4, "add_offset": -0.1})
    cube["B03"].attrs["add_offset"] = 0.0

    with pytest.raises(RadiometryError, match="contradict"):
        meaning(cube)


def test_a_scale_that_is_not_the_quantification_is_refused():
    cube = array(attrs={"scale_factor": 2.75e-5, "add_offset": -0.2})
    with pytest.raises(RadiometryError, match=r"quantification=36363\.6"):
        meaning(cube)

    assert meaning(cube, quantification=36_363.6).offset == (pytest.approx(-7272.727),)


@pytest.mark.parametrize("make", [array, dataset])
@pytest.mark.parametrize("attrs", [{}, {"scale_factor": 1.0, "add_offset": 0.0}, {"processing_version": "1.2"}])
def test_integers_without_a_word_are_refused_with_what_to_pass(make, attrs):
    cube = make("int16", attrs=attrs)
    with pytest.raises(RadiometryError, match=r"int16.*offset=-1000 where.*offset=0 where.*with_properties"):
        meaning(cube)

    assert meaning(cube, offset=0).how == "reflectance = DN / 10000; offset as passed; nodata 0"
    assert not meaning(cube, offset=0).declared


@pytest.mark.parametrize("dtype", ["uint8", "int8", "bool"])
def test_8_bits_are_refused_whatever_is_said(dtype):
    with pytest.raises(RadiometryError, match=rf"'B04' is {dtype}"):
        meaning(array(dtype, attrs={"processing_baseline": "05.09"}), offset=0)
    with pytest.raises(RadiometryError, match="is uint8"):
        meaning(array("float32", encoding={"rasterio_dtype": "uint8"}))


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[ns]", "U3"])
def test_types_that_are_no_numbers_are_refused(dtype):
    with pytest.raises(RadiometryError, match="integers.*floats"):
        meaning(array("int64").astype(dtype), offset=0)


def test_integers_beside_floats_are_refused():
    cube = dataset()
    cube["B08"] = cube["B08"].astype("float32")

    with pytest.raises(RadiometryError, match=r"B02 uint16, B08 float32"):
        meaning(cube, offset=0)


# -- floats ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [array, dataset])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("attrs", "encoding"),
    [
        ({}, {}),
        ({"nodata": np.nan}, {}),
        ({"_FillValue": -9999.0}, {}),
        ({"scale_factor": 1.0, "add_offset": 0.0}, {}),
        (
            {"processing_baseline": "05.09"},
            {"scale_factor": 1e-4, "add_offset": -0.1, "dtype": "uint16", "_FillValue": 0},
        ),
        ({"nodata": 0}, {"scale_factor": 1e-4, "rasterio_dtype": "uint16"}),
        ({OWN_ATTR: "reflectance = DN / 10000", "processing_baseline": "05.09"}, {}),
        ({"processing_version": "2.1.0"}, {}),
    ],
)
def test_floats_that_were_unpacked_or_show_no_sign_of_dn_are_reflectance(make, dtype, attrs, encoding):
    found = meaning(make(dtype, attrs=attrs, encoding=encoding))

    assert (found.kind, found.offset) == ("reflectance", (0,))
    assert found.nodata == ((-9999,) if "_FillValue" in attrs else ())
    assert found.how.startswith("reflectance")


@pytest.mark.parametrize(
    ("attrs", "encoding", "sign"),
    [
        ({"nodata": 0}, {}, "nodata value of 0"),
        ({"_FillValue": 65535.0}, {}, "nodata value of 65535"),
        ({}, {"dtype": "uint16", "_FillValue": 65535}, "stored as uint16"),
        ({}, {"rasterio_dtype": "int16", "scale_factor": 1.0, "add_offset": 0.0}, "stored as int16"),
        ({"earthsearch:boa_offset_applied": False}, {}, "earthsearch:boa_offset_applied"),
    ],
)
def test_masked_dn_are_recognized_and_need_an_offset_too(attrs, encoding, sign):
    cube = array("float32", attrs=attrs, encoding=encoding)
    with pytest.raises(RadiometryError, match=rf"{sign}.*offset=0, quantification=1"):
        meaning(cube)

    assert meaning(cube, offset=-1000).kind == "dn"
    assert 0 in meaning(cube, offset=-1000).nodata
    assert meaning(cube, offset=0, quantification=1).kind == "reflectance"


def test_floats_with_a_scaling_not_applied_are_dn():
    assert meaning(array("float64", attrs={"scale_factor": 1e-4, "add_offset": -0.1})).offset == (-1000,)


def test_our_own_word_is_passed_on_and_needs_all_bands():
    cube = dataset(
        "float32", attrs={OWN_ATTR: "reflectance = (DN - 1000) / 10000; by hand", "processing_baseline": "05.09"}
    )
    assert meaning(cube).how == "reflectance = (DN - 1000) / 10000; by hand"

    del cube["B03"].attrs[OWN_ATTR]
    assert meaning(cube).kind == "dn"
    assert meaning(array("uint16", attrs={OWN_ATTR: "reflectance", "scale_factor": 1e-4})).kind == "dn"


def test_bands_of_which_some_were_unpacked_are_refused():
    cube = dataset("float32", encoding={"scale_factor": 1e-4, "dtype": "int16"})
    cube["B03"].encoding = {"dtype": "int16"}

    with pytest.raises(RadiometryError, match="mask_and_scale=True"):
        meaning(cube)


# -- what is passed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cube", [array(attrs={"s2:processing_baseline": "05.09"}), array("float32"), array()])
def test_an_offset_that_is_passed_counts_most(cube):
    assert (meaning(cube, offset=0).kind, meaning(cube, offset=0).offset) == ("dn", (0,))
    assert meaning(cube, offset=-1000).offset == (-1000,)
    assert meaning(cube, offset=xr.DataArray(-1000)).offset == (-1000,)


def test_offsets_may_be_passed_for_each_date_in_any_order():
    cube = array(dates=3)
    by_date = xr.DataArray(
        [-3.0, -1.0, -2.0, -4.0], {"time": [DATES[2], DATES[0], DATES[1], pd.Timestamp("2030-01-01")]}, ("time",)
    )

    for offset in (
        [-1, -2, -3],
        (-1, -2, -3),
        np.array([-1, -2, -3]),
        by_date,
        xr.DataArray([-1, -2, -3], dims="time"),
    ):
        found = meaning(cube, offset=offset)
        assert (found.offset, found.time_axis) == ((-1, -2, -3), 0)


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        ("-1000", "neither 'auto'"),
        (None, "one number of DN"),
        (np.nan, "one number of DN"),
        ([-1000, np.nan, 0], "one number of DN"),
        ([[-1000]], "one number of DN"),
        ([], "one number of DN"),
        ([-1000, 0], "has 2 values, and 'time' of the cube is 3 long"),
        (-0.1, "offset=-1000"),
        (True, "True is no number of DN"),
        (np.bool_(False), "no number of DN"),
        ([True, False, False], "no number of DN"),
        (xr.DataArray(True), "no number of DN"),
        (xr.DataArray([0, 0], dims="orbit"), "lies along"),
        (xr.DataArray([0, 0], {"time": DATES[:2]}, ("time",)), "lacks.*2023-07-09"),
    ],
)
def test_an_offset_that_cannot_be_meant_is_refused(offset, message):
    with pytest.raises(RadiometryError, match=message):
        meaning(array(dates=3), offset=offset)


@pytest.mark.parametrize("offset", [1000, [-1000, 1000, 0]])
def test_an_offset_of_the_wrong_sign_is_warned_of(offset):
    with pytest.warns(RadiometryWarning, match="BOA_ADD_OFFSET is -1000") as caught:
        meaning(array(dates=3), offset=offset)

    assert [each.filename for each in caught if each.category is RadiometryWarning] == [__file__]


@pytest.mark.parametrize("offset", [[0], np.array([0]), xr.DataArray([0], dims="time"), [0, -1000, 0]])
def test_as_many_offsets_as_dates_are_expected(offset):
    with pytest.raises(RadiometryError, match=r"'time'.* 2 long"):
        meaning(array(dates=2), offset=offset)


def test_one_offset_in_a_list_is_that_of_one_date():
    assert meaning(array(dates=1), offset=[-1000]).offset == (-1000,)
    assert meaning(array(), offset=[-1000]).offset == (-1000,)
    assert meaning(array(dates=2), offset=np.array(-1000)).offset == (-1000,)


def test_offsets_for_dates_need_dates():
    with pytest.raises(RadiometryError, match="is time"):
        meaning(array(), offset=[-1000, 0])


@pytest.mark.parametrize("quantification", [0, -1, np.nan, np.inf])
def test_a_quantification_that_is_no_number_of_dn_is_refused(quantification):
    with pytest.raises(RadiometryError, match="quantification"):
        meaning(array(), offset=0, quantification=quantification)


@pytest.mark.parametrize("make", [array, dataset])
@pytest.mark.parametrize(
    ("attrs", "encoding", "nodata"),
    [
        ({"_FillValue": np.uint16(65535)}, {}, (0, 65535)),
        ({"nodata": 0}, {}, (0,)),
        ({"missing_value": [1, 2]}, {}, (0, 1, 2)),
        ({"nodata": np.nan}, {"_FillValue": -32768}, (-32768, 0)),
        ({"nodata": "none"}, {}, (0,)),
    ],
)
def test_declared_nodata_of_integers_counts_beside_0(make, attrs, encoding, nodata):
    assert meaning(make("int32", attrs=attrs, encoding=encoding), offset=0).nodata == nodata


@pytest.mark.parametrize(
    ("nodata", "values"),
    [(65535, (65535,)), ((0, 65535), (0, 65535)), (None, ()), ([], ()), (np.nan, ()), ([np.nan, 3], (3,))],
)
def test_nodata_that_is_passed_replaces_what_is_declared(nodata, values):
    assert meaning(array(attrs={"nodata": 7}), offset=0, nodata=nodata).nodata == values


@pytest.mark.parametrize("nodata", ["zero", "0", ["x"], {}])
def test_nodata_that_is_no_number_is_refused(nodata):
    with pytest.raises(RadiometryError, match="nodata="):
        meaning(array(), offset=0, nodata=nodata)


def test_dark_bands_are_known_by_their_place():
    cube = recognize(array())

    assert resolve(cube, cube.planes, offset=0).dark == (0,)
    assert resolve(cube, cube.planes[::-1], offset=0).dark == (3,)


def test_no_pixel_is_computed():
    import dask.array as da

    def explode(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    cube = array(dates=3).chunk()
    cube = cube.copy(data=da.map_blocks(explode, cube.data, dtype=cube.dtype, meta=np.empty((0,) * 4, cube.dtype)))
    baselines = xr.DataArray(da.from_array(np.array([5.09, 2.0, 3.0])), dims="time")

    assert meaning(cube.assign_coords(processing_baseline=baselines)).offset == (-1000, 0, 0)


# -- real metadata -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "offset"),
    [
        ("pc_S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531", 0),
        ("pc_S2B_MSIL2A_20240419T095549_R122_T47XML_20240419T123458", -1000),
        ("earthsearch_v1_S2A_29RKH_20200219_0_L2A", 0),
        ("earthsearch_v1_S2A_13TDE_20231008_0_L2A", 0),
        ("earthsearch_v1_S2B_20EPT_20250731_0_L2A", 0),
        ("earthsearch_v1_c1_S2B_T20EPT_20250731T131905_L2A", -1000),
        ("cdse_S2B_MSIL2A_20200322T074609_N0500_R135_T36NYH_20230612T214223", -1000),
        ("cdse_S2C_MSIL2A_20260527T014651_N0512_R017_T55WFR_20260527T042005", -1000),
        ("stactools_S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857", 0),
        ("stactools_S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126", -1000),
    ],
)
def test_items_of_five_catalogues_are_understood(shared, item, offset):
    """The item's properties arrive as attributes, or, by the name that odc-stac gives them, along time."""
    import json

    properties = json.loads((shared / "data" / "stac" / f"{item}.json").read_text())["properties"]
    told = {key: value for key, value in properties.items() if key.split(":")[0] in ("s2", "earthsearch", "processing")}
    plain = {key.replace(":", "_"): ("time", [value]) for key, value in told.items() if isinstance(value, str | bool)}

    assert meaning(array(attrs=told)).offset == (offset,)
    assert meaning(array(dates=1).assign_coords(plain)).offset == (offset,)


def test_bands_that_were_unpacked_with_a_positive_offset_are_named_in_one_warning():
    def said(cube: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert meaning(cube).kind == "reflectance"
        return [str(each.message) for each in caught if each.category is RadiometryWarning]

    cube = dataset("float32", encoding={"scale_factor": 1e-4, "add_offset": 0.1})
    (sentence,) = said(cube)
    assert sentence.startswith("the numbers were unpacked when read, and scale_factor and add_offset declare")

    for band in ("B04", "B08"):
        cube[band].encoding["add_offset"] = -0.1
    (sentence,) = said(cube)
    assert sentence.startswith("'B03', 'B02' were unpacked when read, ") and "the offset 0.1" in sentence

    cube["B04"].encoding["scale_factor"] = 0
    with pytest.raises(RadiometryError, match="^'B04' .*scale 0 "):
        meaning(cube)


@pytest.mark.parametrize("said", ["uint16", "<u2", ">u2", np.dtype("uint16"), np.uint16])
def test_every_spelling_of_the_type_on_disk_is_read(said):
    assert stored_dtype(array("float32", encoding={"dtype": said})) == np.dtype("uint16").newbyteorder(
        ">" if said == ">u2" else "="
    )


@pytest.mark.parametrize("said", ["05.09", "f4,05", "f4, i4", "(3", "(" * 300, "a3", "2023-06-01", "", 7, None])
def test_what_names_no_type_of_numbers_says_nothing(said):
    assert stored_dtype(array("float32", encoding={"dtype": said})) is None


@pytest.mark.parametrize("option", [{"offset": -1e13}, {"offset": 0, "quantification": 1e-13}])
def test_a_conversion_that_float32_cannot_hold_is_refused(option):
    with pytest.raises(RadiometryError, match="such as"):
        meaning(array(), **option)
