from __future__ import annotations

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xr_sr.errors import DuplicateTimeError, StoreError
from xr_sr.io.zarr.times import as_dates, stamps_of, time_dim


def along(values, dim: str = "time") -> xr.Dataset:
    return xr.Dataset(coords={dim: values})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_stamps_are_nanoseconds_whatever_the_unit(unit):
    stamps = stamps_of(along(np.array(["2023-01-01T10:00", "2023-01-06"], dtype=f"datetime64[{unit}]")), "time")

    assert stamps.kind == "date"
    assert stamps.values.tolist() == [1672567200 * 10**9, 1672963200 * 10**9]
    assert as_dates(stamps.values)[0] == np.datetime64("2023-01-01T10:00")


@pytest.mark.parametrize("kind", ["objects", "index"])
def test_a_time_zone_is_taken_off(kind):
    stamps = [pd.Timestamp("2023-01-01T10:00", tz="+02:00"), pd.Timestamp("2023-01-01T10:30", tz="+02:00")]
    there = along(np.array(stamps, dtype=object) if kind == "objects" else pd.DatetimeIndex(stamps))

    assert stamps_of(there, "time").values.tolist() == [1672560000 * 10**9, 1672561800 * 10**9]


def test_calendar_objects_are_dates():
    there = along([cftime.DatetimeGregorian(2023, 1, 1, 10), cftime.DatetimeGregorian(2023, 1, 6)])

    assert stamps_of(there, "time").values.tolist() == [1672567200 * 10**9, 1672963200 * 10**9]


def test_equal_dates_are_an_error_that_shows_the_way_out():
    twice = along(np.array(["2023-01-01", "2023-01-02", "2023-01-01"], dtype="datetime64[ns]"))

    with pytest.raises(DuplicateTimeError, match=r'2023-01-01.*groupby="solar_day"'):
        stamps_of(twice, "time")


def test_a_missing_date_is_named():
    with pytest.raises(StoreError, match=r"NaT.*\[1\]"):
        stamps_of(along(np.array(["2023-01-01", "NaT"], dtype="datetime64[ns]")), "time")


def test_text_is_no_date():
    with pytest.raises(StoreError, match="assign_coords"):
        stamps_of(along(["monday", "tuesday"]), "time")


@pytest.mark.parametrize(
    "dates",
    [
        np.array(["3000-01-01"], "datetime64[s]"),
        np.array(["1600-01-01", "2020-01-01"], "datetime64[ms]"),
        [cftime.Datetime360Day(2023, 2, 30)],
        [cftime.DatetimeNoLeap(5000, 1, 1)],
    ],
    ids=["year 3000", "year 1600", "30 February", "year 5000"],
)
def test_dates_that_nanoseconds_cannot_hold_are_refused(dates):
    with pytest.raises(StoreError, match=r"'time' holds dates that a store cannot: .*convert_calendar\('standard'"):
        stamps_of(along(dates), "time")


def test_dates_beside_something_else_are_no_dates():
    mixed = np.array([pd.Timestamp("2023-01-01"), 3], dtype=object)

    with pytest.raises(StoreError, match="neither dates nor whole numbers"):
        stamps_of(along(mixed), "time")


def test_whole_numbers_and_no_coordinate_serve_too():
    assert stamps_of(along([7, 3]), "time").values.tolist() == [7, 3]
    assert stamps_of(xr.Dataset({"a": ("time", [1.0, 2.0])}), "time").values.tolist() == [0, 1]


def test_the_time_dimension_is_found_by_name_or_by_its_dates():
    dates = np.array(["2023-01-01"], dtype="datetime64[ns]")

    assert time_dim(along([1]), ["band", "time"]) == "time"
    assert time_dim(along(dates, "t"), ["band", "t"]) == "t"
    assert time_dim(along([1], "member"), ["member"]) is None
    with pytest.raises(StoreError, match="one time axis"):
        time_dim(along(dates, "t").assign_coords(u=dates), ["t", "u"])
