"""Windows of time: calendar windows as of `resample`, lists, groupers and labels; and the date that each shows."""

from __future__ import annotations

from datetime import date, timedelta

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


def groups_of(length: object, dates: list[pd.Timestamp]) -> list[object]:
    """The label that `resample` of xarray gives to each date; the dates are in order of time."""
    numbered = xr.DataArray(np.arange(len(dates)), dims="time", coords={"time": dates})
    groups = numbered.resample(time=length, origin="start_day").groups
    labels = {int(place): label for label, group in groups.items() for place in numbered.isel(time=group).values}
    return [labels[place] for place in range(len(dates))]


LENGTHS = [
    "30D",
    "1MS",
    "10D",
    "36h",
    "W",
    "2W",
    "W-WED",
    "SME",
    "SMS",
    "ME",
    "3ME",
    "BME",
    "QS",
    "QE",
    "2QE",
    "1YE",
    "YS",
]


@pytest.mark.parametrize("length", [*LENGTHS, pd.Timedelta("30D"), timedelta(days=30), pd.offsets.MonthEnd(2)])
def test_windows_of_the_calendar_are_those_of_resample(length: object):
    own = [pd.Timestamp(date) for date in (*DATES, "2023-05-31T10:30", "2023-06-30T10:30", "2023-12-31T10:30")]
    labels = groups_of(length, own)

    found = windows_of(times(*map(str, own)), length)

    assert [each.dates for each in found] == [
        tuple(place for place, label in enumerate(labels) if label == wanted) for wanted in dict.fromkeys(labels)
    ]
    first = own[0].normalize()
    for window in found:
        start, stop = max(pd.Timestamp(window.start), first), pd.Timestamp(window.stop)
        inside, after, date = [start, stop - pd.Timedelta("1us")], stop, own[window.dates[0]]
        same = dict(zip(ordered := sorted({*own, *inside, after}), groups_of(length, ordered), strict=True))
        assert {same[moment] for moment in inside} == {same[date]} != {same[after]}
        if pd.Timestamp(window.start) > first:
            before = start - pd.Timedelta("1us")
            same = dict(zip(ordered := sorted({*own, before}), groups_of(length, ordered), strict=True))
            assert same[before] != same[date]


@pytest.mark.parametrize(("length", "period"), [("ME", "M"), ("QE", "Q"), ("YE", "Y"), ("W", "W"), ("W-WED", "W-WED")])
def test_bounds_of_weeks_months_quarters_and_years_are_those_of_periods(length: str, period: str):
    for day in ("2023-06-30T10:30", "2023-06-01", "2023-07-05T23:59"):
        (found,) = windows_of(times(day), length)

        wanted = pd.Timestamp(day).to_period(period)
        assert (pd.Timestamp(found.start), pd.Timestamp(found.stop)) == (wanted.start_time, (wanted + 1).start_time)


def test_a_length_may_be_a_difference_of_times():
    assert windows_of(times(), np.timedelta64(30, "D")) == windows_of(times(), "30D")


def test_a_grouper_that_resamples_keeps_its_arguments():
    early, late = windows_of(times("2023-01-05", "2023-01-15"), TimeResampler("10D", closed="right"))

    assert (early.dates, late.dates) == ((0,), (1,))
    assert dates_in(TimeResampler("10D"), "2023-01-05", "2023-01-15") == [(0,), (1,)]
    assert dates_in(TimeResampler("10D", origin="2023-01-01"), "2023-01-05", "2023-01-12") == [(0,), (1,)]
    assert dates_in(TimeResampler("10D"), "2023-01-05", "2023-01-12") == [(0, 1)]


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
        ("0D", "window='0D'"),
        ("-3D", "window='-3D'"),
        ("-1ME", "window='-1ME'"),
        (timedelta(0), "window="),
        (np.timedelta64("NaT"), "window="),
        (pd.DateOffset(months=1), "window="),
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
    with pytest.raises(OptionError, match="each window, 2 dates"):
        shown_dates(own, windows, ["2023-01-20"])
    with pytest.raises(OptionError, match="each window, 1 date[.]"):
        shown_dates(own, windows[:1], own[[0, 1]])


def test_the_date_shown_may_be_an_element_of_the_dates():
    own, windows = times(), windows_of(times(), "60D")

    assert shown_dates(own, windows[:1], own[0]) == [0]
    assert shown_dates(own, windows[:1], own[[1]]) == [1]
    assert shown_dates(own, windows, own[[0, 3]]) == [0, 3]
    assert shown_dates(own, windows, [own[1], own[3]]) == [1, 3]
    assert shown_dates(own, windows[:1], date(2023, 1, 5)) == [0]
    with pytest.raises(OptionError, match="reference="):
        shown_dates(own, windows[:1], xr.DataArray(3))
    with pytest.raises(OptionError, match="reference="):
        shown_dates(own, windows[:1], own[3])


def test_windows_may_begin_at_elements_of_the_dates():
    own = times()

    assert windows_of(own, [own[0], own[2]]) == windows_of(own, [DATES[0], DATES[2]])


def test_bounds_are_those_of_windows():
    found = bounds_of(windows_of(times(), "30D"), "t")

    assert found.dims == ("t", "bounds")
    days = [["2023-01-05", "2023-02-04"], ["2023-02-04", "2023-03-06"], ["2023-04-05", "2023-05-05"]]
    np.testing.assert_array_equal(found.values, np.array(days, "datetime64[ns]"))


@pytest.mark.parametrize(
    "window",
    [
        SeasonResampler(["DJF", "MAM"], drop_incomplete=False),
        xr.DataArray(["a", "a", "a", "b"], dims="time"),
        xr.DataArray(["2023-01", "2023-01", "2023-01", "2023-05"], dims="time"),
    ],
)
def test_windows_without_edges_of_their_own_are_bounded_by_whole_days(window: object):
    found = bounds_of(windows_of(times(), window), "time").values

    days = [["2023-01-05", "2023-02-11"], ["2023-05-01", "2023-05-02"]]
    np.testing.assert_array_equal(found, np.array(days, "datetime64[ns]"))


def test_the_last_date_of_a_list_begins_a_window_of_whole_days():
    found = bounds_of(windows_of(times(), ["2023-01-02T12:00", "2023-02-01"]), "time").values

    bounds = [["2023-01-02T12:00", "2023-02-01"], ["2023-02-01", "2023-05-02"]]
    np.testing.assert_array_equal(found, np.array(bounds, "datetime64[ns]"))
