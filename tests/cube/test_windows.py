"""Windows of time: calendar windows as of `resample`, lists, groupers and labels; and the date that each shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from xarray.groupers import SeasonResampler, TimeResampler

from xr_sr.cube.windows import bounds_of, shown_dates, windows_of
from xr_sr.errors import CubeError, OptionError

DATES = ("2023-01-05T10:30", "2023-01-20T10:30", "2023-02-10T10:30", "2023-05-01T10:30")


def times(*dates: str) -> xr.DataArray:
    return xr.DataArray(pd.to_datetime(list(dates or DATES), format="ISO8601"), dims="time", name="time")


def dates_in(window: object, *dates: str) -> list[tuple[int, ...]]:
    return [each.dates for each in windows_of(times(*dates), window)]


@pytest.mark.parametrize("length", ["30D", "1MS", "10D", "2W", "QS", "1YE"])
def test_windows_of_the_calendar_are_those_of_resample(length: str):
    own = times()
    numbered = xr.DataArray(np.arange(4), dims="time", coords={"time": own})
    groups = numbered.resample(time=length, origin="start_day").groups
    wanted = [tuple(numbered.isel(time=group).values.tolist()) for group in groups.values()]

    found = windows_of(own, length)

    assert [each.dates for each in found] == [dates for dates in wanted if dates]
    assert [pd.Timestamp(each.start) for each in found] == [
        pd.Timestamp(start) for start, dates in zip(groups, wanted, strict=True) if dates
    ]


def test_windows_of_days_begin_on_the_day_of_the_first_date():
    first, *_ = windows_of(times(), "30D")

    assert first.start == np.datetime64("2023-01-05") and first.stop == np.datetime64("2023-02-04")
    assert dates_in("30D") == [(0, 1), (2,), (3,)]


def test_windows_without_a_date_are_left_out_and_each_date_is_in_one():
    assert dates_in("10D") == [(0,), (1,), (2,), (3,)]
    assert sorted(date for dates in dates_in("7D") for date in dates) == [0, 1, 2, 3]


def test_dates_in_any_order_are_sorted_within_their_window_and_may_be_there_twice():
    mixed = (DATES[2], DATES[0], DATES[1], DATES[0], DATES[3])

    assert dates_in("60D", *mixed) == [(1, 3, 2, 0), (4,)]


def test_a_list_of_dates_says_where_windows_begin():
    found = windows_of(times(), ["2023-02-01", "2023-01-01"])

    assert [each.dates for each in found] == [(0, 1), (2, 3)]
    assert found[0].stop == found[1].start == np.datetime64("2023-02-01")
    with pytest.raises(OptionError, match=r"window=.* 2 dates"):
        windows_of(times(), ["2023-02-01"])


def test_groupers_of_xarray_and_labels_make_windows():
    assert dates_in(SeasonResampler(["DJF", "MAM", "JJA", "SON"], drop_incomplete=False)) == [(0, 1, 2), (3,)]
    assert dates_in(TimeResampler("30D")) == dates_in("30D")
    assert dates_in(xr.DataArray(["b", "a", "a", "b"], dims="time")) == [(0, 3), (1, 2)]


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ("30 potatoes", "30 potatoes"),
        ([], "window="),
        (30, "window="),
        (["first of May"], "first of May"),
        (xr.DataArray([1, 2], dims="time"), "each of the 4 dates"),
        (xr.DataArray([1.0, 2, np.nan, 3], dims="time"), "NaN"),
    ],
)
def test_what_is_no_window_is_refused_with_what_is_wanted(window: object, words: str):
    with pytest.raises(OptionError, match=words):
        windows_of(times(), window)


def test_cubes_without_dates_are_refused():
    with pytest.raises(CubeError, match="dimension of dates"):
        windows_of(xr.DataArray([0, 1], dims="time", name="time"), "30D")
    with pytest.raises(CubeError, match="NaT"):
        windows_of(xr.DataArray(np.array(["2023-01-01", "NaT"], "datetime64[ns]"), dims="time", name="time"), "30D")


def test_the_date_shown_is_the_last_or_the_one_asked_for():
    own, windows = times(), windows_of(times(), "60D")

    assert shown_dates(own, windows, "latest") == [2, 3]
    assert shown_dates(own, windows, ["2023-01-20", "2023-05-01T10:30"]) == [1, 3]
    assert shown_dates(own, windows[:1], np.datetime64("2023-01-05")) == [0]
    with pytest.raises(OptionError, match=r"reference='2023-01-06'.* 2023-01-05"):
        shown_dates(own, windows[:1], "2023-01-06")
    with pytest.raises(OptionError, match="the 2 windows"):
        shown_dates(own, windows, ["2023-01-20"])


def test_bounds_are_those_of_windows():
    found = bounds_of(windows_of(times(), "30D"))

    assert found.dims == ("time", "bounds") and found.shape == (3, 2)
    assert (found.values[:, 1] > found.values[:, 0]).all()
