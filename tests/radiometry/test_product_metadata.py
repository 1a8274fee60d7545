"""Baselines, flags, names of products, scales and offsets are read in every form that producers write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xr_sr
from tests.cubes import array
from xr_sr.conventions import ADD_OFFSETS, BASELINES, FLAGS, PRODUCTS, plain_name
from xr_sr.errors import RadiometryError, RadiometryWarning
from xr_sr.radiometry.product_metadata import (
    offset_in_dn,
    offset_of_baseline,
    read_baseline,
    read_day,
    read_flag,
    read_number,
    read_product,
    read_scaling,
)

NAME = "S2A_MSIL2A_20170706T101021_N0214_R022_T33UUU_20170706T101306"


def test_names_are_listed_once_and_as_they_are_compared():
    names = [*ADD_OFFSETS, *FLAGS, *BASELINES, *PRODUCTS]

    assert len(set(names)) == len(names)
    assert [plain_name(name) for name in names] == names


@pytest.mark.parametrize("value", ["05.09", "5.09", 5.09, np.float32(5.09), "N0509", "0509", 509, b"05.09"])
def test_a_baseline_is_read_in_all_spellings(value):
    assert read_baseline(value) == pytest.approx(5.09, abs=1e-6)
    assert offset_of_baseline(5.09) == -1000


@pytest.mark.parametrize("value", [None, "", "1.2", "02.11.00", "99.99", 99.99, math.nan, math.inf, -1, 0, [5.09, 5.1]])
def test_what_is_no_baseline_is_unknown(value):
    assert read_baseline(value) is None


@pytest.mark.parametrize("value", [(2.14 + 5.09) / 2, np.float32(3.5), 3.62, 4.05, 4.255, 2.8775, 2.15, 4.99])
def test_the_mean_of_two_baselines_is_refused(value):
    with pytest.raises(RadiometryError, match="mean of several"):
        read_baseline(value)


@pytest.mark.parametrize("value", [True, 1, 1.0, np.bool_(True), np.float32(1), "true", "True ", "1", b"1.0"])
def test_a_true_flag_is_read_in_all_spellings(value):
    assert read_flag(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, np.int8(0), "false", "0", b"False"])
def test_a_false_flag_is_read_in_all_spellings(value):
    assert read_flag(value) is False


@pytest.mark.parametrize("value", [None, math.nan, "", "nan", "None", "unknown"])
def test_an_empty_flag_is_unknown(value):
    assert read_flag(value) is None


@given(st.floats(allow_nan=False).filter(lambda value: value not in (0, 1)))
def test_numbers_other_than_0_and_1_are_no_flags(value):
    with pytest.raises(RadiometryError, match="true nor false"):
        read_flag(value)


@pytest.mark.parametrize("value", ["yes", "True,False", "0.5"])
def test_other_words_are_no_flags(value):
    with pytest.raises(RadiometryError, match="true nor false"):
        read_flag(value)


@pytest.mark.parametrize("text", [NAME, f"/vsizip/{NAME}.zip/IMG_DATA/B02.jp2", f"{NAME} {NAME}", NAME.encode()])
def test_the_name_of_a_product_tells_baseline_and_day(text):
    product = read_product(text)

    assert product is not None
    assert (product.baseline, product.days) == (2.14, {np.datetime64("2017-07-06")})


@pytest.mark.parametrize(
    "text",
    [
        "S2A_29RKH_20200219_0_L2A",
        "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531",  # without baseline, as Planetary Computer has it
        NAME.replace("N0214", "N9999"),
        "Red (band 4)",
        5,
        None,
    ],
)
def test_other_texts_name_no_product(text):
    assert read_product(text) is None


def test_products_of_two_baselines_in_one_text_are_refused():
    with pytest.raises(RadiometryError, match=r"different baselines, \[2\.14, 5\.0\]"):
        read_product(f"{NAME},{NAME.replace('N0214', 'N0500')}")


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (np.datetime64("2022-07-01T10:00:00", "ns"), "2022-07-01"),
        ("2022-07-01", "2022-07-01"),
        ("2022-07-01T10:10:21Z", "2022-07-01"),
        (np.datetime64("NaT"), None),
        ("2022-02-30 00:00:00", None),  # of a calendar of 360 days
        ("t1", None),
        (3, None),
    ],
)
def test_days_are_read_from_dates_and_texts(value, day):
    assert read_day(value) == (None if day is None else np.datetime64(day, "D"))


@pytest.mark.parametrize("value", [None, "x", [1, 2], {}, np.array([1, 2])])
def test_what_is_not_one_number_is_none(value):
    assert read_number(value) is None


ABSURD = [
    (0.0, -0.1),
    (math.nan, -0.1),
    (math.inf, 0.0),
    (-1e-4, 0.0),
    (1e4, -0.1),
    (1e-4, math.nan),
    (1e-4, math.inf),
    (1e-4, -1000.0),
    (None, math.nan),
]
SPELLINGS = {
    "CF": lambda scale, offset: {"scale_factor": scale, "add_offset": offset},
    "STAC": lambda scale, offset: {"raster:scale": scale, "raster:offset": offset},
    "raster:bands": lambda scale, offset: {"raster:bands": [{"scale": scale, "offset": offset}]},
    "STAC 1.1": lambda scale, offset: {"bands": [{"name": "B04", "raster:scale": scale, "raster:offset": offset}]},
}


def dn(**attrs: Any) -> xr.DataArray:
    return array(np.full((4, 12, 12), 2000, "uint16")).assign_attrs(attrs)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("scale", "offset"), ABSURD)
def test_what_cannot_be_is_refused_with_a_sentence(scale, offset, spelling):
    scaling = read_scaling(SPELLINGS[spelling](scale, offset))
    assert scaling is not None

    with pytest.raises(RadiometryError, match=r"declare .*pass offset="):
        offset_in_dn(scaling, 10_000)


@given(
    scale=st.one_of(st.none(), st.floats(allow_subnormal=False)),
    offset=st.floats(),
    quantification=st.sampled_from([1.0, 10_000.0]),
)
def test_any_numbers_give_a_finite_offset_or_a_sentence(scale, offset, quantification):
    scaling = read_scaling({"scale_factor": scale, "add_offset": offset})
    if scaling is None:
        assert scale in (None, 1.0) and offset == 0.0
        return
    try:
        found = offset_in_dn(scaling, quantification)
    except RadiometryError:
        return
    assert math.isfinite(found)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("scale", "offset", "in_dn"), [(1e-4, -0.1, -1000), (1e-4, 0, 0), (None, -0.1, -1000)])
def test_a_plausible_one_is_read_in_all_spellings(scale, offset, in_dn, spelling):
    scaling = read_scaling(SPELLINGS[spelling](scale, offset))

    assert scaling is not None
    assert offset_in_dn(scaling, 10_000) == in_dn


@pytest.mark.parametrize(
    "holder", [{}, {"scale_factor": 1.0, "add_offset": 0.0}, {"bands": ["B04"]}, {"bands": "(" * 200}]
)
def test_where_nothing_is_declared_there_is_no_scaling(holder):
    assert read_scaling(holder) is None


@pytest.mark.parametrize(("scale", "offset"), [case for case in ABSURD if case[0] is not None])
def test_a_cube_with_such_attributes_or_encoding_is_refused_at_the_call(scale, offset):
    unpacked = dn().astype("float32") * 1e-4
    unpacked.encoding = {"scale_factor": scale, "add_offset": offset, "dtype": "uint16"}

    with pytest.raises(RadiometryError, match="pass offset="):
        dn(scale_factor=scale, add_offset=offset).sr.upscale("bicubic")
    with pytest.raises(RadiometryError, match=r"unpacked .*offset=0, quantification=1"):
        unpacked.sr.upscale("bicubic")
    means = [dn(scale_factor=scale, add_offset=offset).sr.upscale("nearest", offset=-1000).mean(),
             unpacked.sr.upscale("nearest", offset=0, quantification=1).mean()]  # fmt: skip
    assert [float(mean) for mean in means] == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    ("attrs", "encoding"),
    [
        ({"scale_factor": 1e-4, "add_offset": 0.1}, {}),
        ({"raster:offset": 0.1}, {}),
        ({"boa_add_offset": 1000}, {}),
        ({}, {"scale_factor": 1e-4, "add_offset": 0.1}),
    ],
)
def test_an_offset_of_the_wrong_sign_is_warned_of(attrs, encoding):
    cube = dn(**attrs)
    if encoding:
        cube = cube * 1e-4 + 0.1
        cube.encoding = encoding

    with pytest.warns(RadiometryWarning, match="brighter"):
        means = xr_sr.reflectance(cube).mean()
    assert float(means) == pytest.approx(0.3)


@pytest.mark.parametrize("offset", [-500.0, -2000 / 3])
@pytest.mark.parametrize("read", [lambda cube: cube.sr.upscale("bicubic"), lambda cube: cube.sr.index("NDVI")])
def test_the_mean_of_two_offsets_is_refused(read, offset):
    """odc-stac averages a number that is noted with each item over the items of a day."""
    cube = array(np.full((2, 4, 12, 12), 2000, "uint16")).assign_coords(boa_add_offset=("time", [-1000.0, offset]))

    with pytest.raises(RadiometryError, match=r"'boa_add_offset' at .* \(time 1\): .*mean of several"):
        read(cube)


@pytest.mark.parametrize("offset", [-0.1, math.inf])
def test_an_offset_in_dn_that_is_none_is_refused(offset):
    cube = array(np.full((2, 4, 12, 12), 2000, "uint16")).assign_coords(boa_add_offset=("time", [-1000, offset]))

    with pytest.raises(RadiometryError, match=r"'boa_add_offset' at .* \(time 1\): .* in DN"):
        cube.sr.upscale("bicubic")


@pytest.mark.parametrize(("text", "baseline"), [("5.0", 5), ("4.0", 4), ("5", 5), ("04", 4), ("05", 5), ("03", 3)])
def test_short_texts_are_baselines_as_the_numbers_are(text, baseline):
    assert read_baseline(text) == baseline


@pytest.mark.parametrize("text", ["2", "1", "2.0", "12", "6"])
def test_versions_of_other_things_are_no_baselines(text):
    assert read_baseline(text) is None
