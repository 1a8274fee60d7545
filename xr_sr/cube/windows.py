"""Sort the dates of a cube into windows of time, and choose the date of each that a result is to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from pandas.tseries.offsets import (
    BaseOffset,
    BMonthEnd,
    BQuarterEnd,
    BYearEnd,
    MonthEnd,
    QuarterEnd,
    Week,
    YearEnd,
)
from xarray.groupers import Grouper, TimeResampler

from ..arguments import count_of, items_of, shown
from ..errors import CubeError, OptionError
from .time import read_date

TimeWindow: TypeAlias = (
    "str | timedelta | np.timedelta64 | BaseOffset | Sequence[str | np.datetime64 | date] | Grouper | xr.DataArray"
)
"""A length as of `resample`, "30D"; dates at which windows begin; a grouper of xarray; or a label for each date."""

_NAMED_LAST = (Week, MonthEnd, QuarterEnd, YearEnd, BMonthEnd, BQuarterEnd, BYearEnd)


@dataclass(frozen=True)
class DateWindow:
    """Dates that make one image.

    dates: their positions along time, in order of time. start, stop: its bounds, the first moment and that after the
    last.
    """

    dates: tuple[int, ...]
    start: np.datetime64
    stop: np.datetime64


def windows_of(times: xr.DataArray, window: TimeWindow) -> list[DateWindow]:
    """Sort dates into windows; those without a date are left out.

    times: (time,) dates of a cube, in any order; dates may be there twice. window: see `multiframe`. A date before the
    first of a list of dates is refused.
    Bounds, from the first moment of a window to the first after it: of lengths the edges that pandas resamples to; of
    dates in a list up to the next one. What has no such edges, labels, other groupers and the last date of a list, is
    bounded by whole days: from the day of its first date to the day after its last.
    Raises OptionError for what is no window of time, CubeError for a cube without dates.
    """
    stamps = np.asarray(times.values)
    if stamps.dtype.kind != "M" or not stamps.size:
        raise CubeError(
            f"multiframe needs a dimension of dates; {times.name!r} holds {stamps.dtype}. Decode times when opening, "
            "or assign_coords(time=...) with datetime64."
        )
    if np.isnat(stamps).any():
        raise CubeError("a date is missing (NaT) along time. Leave it out: cube.dropna('time', subset=...), or isel.")
    stamps = stamps.astype("datetime64[ns]")
    if isinstance(window, str | timedelta | np.timedelta64 | BaseOffset):
        return _calendar(stamps, window)
    if isinstance(window, xr.DataArray):
        return _labelled(stamps, window)
    if isinstance(window, Grouper):
        return _grouped(stamps, window)
    listed = items_of(window)
    if not listed:
        raise OptionError(
            f"window={shown(window)}: expected a length of time such as '30D' or '1MS', a list of dates at which "
            "windows begin, a grouper of xarray such as xarray.groupers.SeasonResampler, or a DataArray with a label "
            "for each date."
        )
    starts = np.unique(np.array([read_date(each, argument=f"window= has {each!r}, which") for each in listed]))
    if (early := stamps < starts[0]).any():
        raise OptionError(
            f"window= begins on {_day(starts[0])}, and the cube has {count_of(int(early.sum()), 'date')} before it, "
            f"the first on {_day(stamps.min())}. Add a date before them, or select the dates: "
            "cube.sel(time=slice(...))."
        )
    places = np.searchsorted(starts, stamps, side="right") - 1
    last = _next_day(max(stamps.max(), starts[-1]))
    return _sorted(stamps, places, [*zip(starts, [*starts[1:], last], strict=True)])


def window_text(window: TimeWindow) -> str:
    """Write a window for the attributes of a result: a length, "dates", "labels", or the class of a grouper."""
    if isinstance(window, str):
        return window
    if isinstance(window, BaseOffset):
        return str(window.freqstr)
    if isinstance(window, timedelta | np.timedelta64):
        return str(pd.tseries.frequencies.to_offset(pd.Timedelta(window)).freqstr)
    if isinstance(window, Grouper):
        return type(window).__name__
    return "labels" if isinstance(window, xr.DataArray) else "dates"


def _calendar(stamps: Any, length: Any, **options: Any) -> list[DateWindow]:
    """Sort dates as `resample` does. options: of it."""
    order = np.argsort(stamps, kind="stable")
    series = pd.Series(1, index=pd.DatetimeIndex(stamps[order]))
    try:
        offset = pd.tseries.frequencies.to_offset(
            pd.Timedelta(length) if isinstance(length, np.timedelta64) else length
        )
        if offset is None or offset.n <= 0:
            raise ValueError("not above zero")
        left, right = (series.resample(offset, label=side, **options).size() for side in ("left", "right"))
    except (ValueError, TypeError, OverflowError, NotImplementedError) as error:
        raise OptionError(
            f"window={shown(length)} is no length of time above zero; expected such as '30D', '1MS' or '10D'."
        ) from error
    # Of weeks and of periods that are named after their last day, pandas takes that day whole, unless closed="left".
    named_last = isinstance(offset, _NAMED_LAST) and options.get("closed") != "left"
    edges = [each.index + pd.Timedelta(days=1) if named_last else each.index for each in (left, right)]
    starts, stops = (each.to_numpy().astype("datetime64[ns]") for each in edges)
    ends = np.cumsum(left.to_numpy())
    return [
        DateWindow(tuple(order[ends[place] - count : ends[place]].tolist()), starts[place], stops[place])
        for place, count in enumerate(left)
        if count
    ]


def _grouped(stamps: Any, grouper: Grouper) -> list[DateWindow]:
    if isinstance(grouper, TimeResampler):
        options = {"closed": grouper.closed, "origin": grouper.origin, "offset": grouper.offset}
        return _calendar(stamps, grouper.freq, **options)
    order = np.argsort(stamps, kind="stable")
    numbers = xr.DataArray(np.arange(len(stamps)), dims="time", coords={"time": stamps[order]})
    try:
        groups = numbers.groupby({"time": grouper}).groups
    except (ValueError, TypeError) as error:
        raise OptionError(f"window={grouper!r} cannot group these dates: {error}") from error
    found = [
        dates
        for group in groups.values()
        if (dates := tuple(int(order[place]) for place in np.atleast_1d(numbers.isel(time=group).values)))
    ]
    if not found:
        raise OptionError(
            f"window={grouper!r} makes no window of the {len(stamps)} dates from {_day(stamps.min())} to "
            f"{_day(stamps.max())}. Seasons that the dates do not cover wholly are dropped; to keep them: "
            "SeasonResampler(..., drop_incomplete=False)."
        )
    return _whole_days(stamps, found)


def _labelled(stamps: Any, labels: xr.DataArray) -> list[DateWindow]:
    if labels.ndim != 1 or labels.size != len(stamps):
        raise OptionError(
            f"window= is a DataArray with the dimensions {dict(labels.sizes)}; expected one label for each of the "
            f"{len(stamps)} dates."
        )
    values = pd.Series(np.asarray(labels.values).ravel())
    if values.isna().any():
        raise OptionError("window= has a label that is missing (NaN). Give each date one, or leave the date out.")
    found: dict[Any, list[int]] = {}
    for place in np.argsort(stamps, kind="stable"):
        found.setdefault(values[int(place)], []).append(int(place))
    return _whole_days(stamps, [tuple(dates) for dates in found.values()])


def _whole_days(stamps: Any, groups: Sequence[tuple[int, ...]]) -> list[DateWindow]:
    """Return windows of dates that are in order of time, from the day of the first to that after the last."""
    return [
        DateWindow(dates, stamps[dates[0]].astype("datetime64[D]"), _next_day(stamps[dates[-1]]))
        for dates in sorted(groups, key=lambda dates: stamps[dates[0]])
    ]


def _sorted(stamps: Any, places: Any, bounds: Sequence[tuple[Any, Any]]) -> list[DateWindow]:
    order = np.argsort(stamps, kind="stable")
    found = []
    for number, (start, stop) in enumerate(bounds):
        if dates := tuple(int(place) for place in order if places[place] == number):
            found.append(DateWindow(dates, start, stop))
    return found


def shown_dates(times: xr.DataArray, windows: Sequence[DateWindow], reference: object) -> list[int]:
    """Return for each window the position of the date that its image is to show.

    reference: "latest", or a date, or one for each window: the last date of the cube on that day, or at that time.
    Dates may be those of a DataArray, such as cube.time[3].
    Raises OptionError for a date that is not in its window.
    """
    if isinstance(reference, xr.DataArray):
        reference = reference.values[()]
    if isinstance(reference, str) and reference == "latest":
        return [window.dates[-1] for window in windows]
    single = isinstance(reference, str | np.datetime64 | date)
    listed: list[Any] = [reference] * len(windows) if single else list(items_of(reference) or [])
    if not single and len(listed) != len(windows):
        raise OptionError(
            f"reference={shown(reference)}: expected 'latest', 'median', a date, or a list with one for each window, "
            f"{count_of(len(windows), 'date')}."
        )
    stamps = np.asarray(times.values).astype("datetime64[ns]")
    found = []
    for window, wanted in zip(windows, listed, strict=True):
        text = shown(wanted.values if isinstance(wanted, xr.DataArray) else wanted)
        moment = read_date(wanted, argument=f"reference={text}")
        exact = [place for place in window.dates if stamps[place] == moment]
        day = [place for place in window.dates if stamps[place].astype("datetime64[D]") == moment]
        if not (exact or day):
            raise OptionError(
                f"reference={text} is no date of the window from {_day(window.start)} on, which has "
                f"{', '.join(_day(stamps[place]) for place in window.dates[:6])}"
                f"{' ...' if len(window.dates) > 6 else ''}. With several windows give one date for each."
            )
        found.append((exact or day)[-1])
    return found


def _day(moment: Any) -> str:
    return str(moment.astype("datetime64[D]"))


def _next_day(moment: Any) -> Any:
    return moment.astype("datetime64[D]") + np.timedelta64(1, "D")


def bounds_of(windows: Sequence[DateWindow], time: str) -> xr.Variable:
    """Return the bounds of windows, (time, bounds), as CF writes them: from the first moment to that after the last.

    time: the name of the dimension.
    """
    values = np.array([[window.start, window.stop] for window in windows], "datetime64[ns]")
    return xr.Variable((time, "bounds"), values)
