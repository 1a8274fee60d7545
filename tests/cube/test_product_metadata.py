"""Values of metadata are read however they were stored, and what cannot be meant is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_sr.cube.product_metadata import (
    ADD_OFFSETS,
    BASELINES,
    FLAGS,
    PRODUCTS,
    offset_of_baseline,
    plain_name,
    read_baseline,
    read_day,
    read_flag,
    read_number,
    read_product,
)
from xr_sr.errors import RadiometryError

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
    with pytest.raises(RadiometryError, match="neither true nor false"):
        read_flag(value)


@pytest.mark.parametrize("value", ["yes", "True,False", "0.5"])
def test_other_words_are_no_flags(value):
    with pytest.raises(RadiometryError, match="neither true nor false"):
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
