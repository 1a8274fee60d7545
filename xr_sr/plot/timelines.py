"""Draw time series: areas of classes, values of objects, and a reference period as a band behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..analytics.area import class_areas
from ..analytics.classes import CLASS_COLORS, KIND_ATTR, classes_of, whole_classes
from ..arguments import check_array, count_of, items_of, shown
from ..cube.names import dims_text, listed
from ..cube.time import When, positions_of
from ..errors import CubeError, OptionError
from ..optional import require
from .figure import DPI, finish
from .maps import CLASS_TITLES
from .ternary_plot import MARKERS, SERIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = len(SERIES)
"""Number of distinguishable colors."""

_BASE = ("dry", "background")
"""Classes that are left out: their area would hide the differences of all others."""

_WIDTH_IN, _PANEL_IN, _SMALL_IN = 7.2, 3.3, 2.1
_USUAL = "#c9c9c9"


def series(
    data: xr.Dataset | xr.DataArray,
    *,
    reference: When | xr.Dataset | xr.DataArray | None = None,
    objects: Sequence[int] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a time series.

    data: the result of `flood`, or maps of classes (`water`): hectares of each class except land, of an ensemble with
        the interval of an area as a bar where it is known (`area_lower`, `area_upper`). Or the result of
        `object_series`: hectares of water, or the mean, of each object. Or a DataArray (time) or (time, other).
    reference: the dates of the reference period, as in `.sel(time=...)`, or the same kind of data for other years. Its
        mean and standard deviation per calendar month are drawn as a band behind the other dates, with a panel for
        each object; not for classes. objects: labels of the objects to draw.

    Returns a matplotlib Figure; NaN is a gap. Computes the values. Raises CubeError for data without dates, OptionError
    for more than 8 lines or a reference that selects nothing, MissingLibraryError without matplotlib.
    """
    plt: Any = require("matplotlib.pyplot", extra="viz")
    lines, label, styles = _lines(data, objects)
    if styles and reference is not None:
        raise OptionError("reference= is not available for areas of classes, only for objects and other series.")
    bounds = _bounds(data, lines) if styles else None
    usual: xr.DataArray | None = None
    if reference is not None:
        lines, usual = _against(lines, reference, objects)
    if lines.sizes["line"] > MOST_LINES:
        raise OptionError(
            f"data= has {lines.sizes['line']} lines; expected at most {MOST_LINES}. Select some by objects=, such as "
            f"objects={lines['line'].values[:3].tolist()}."
        )
    engine: Any = require("matplotlib.layout_engine", extra="viz").ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06)
    panels = lines.sizes["line"] if usual is not None else 1
    tall = _PANEL_IN if panels == 1 else _SMALL_IN * panels
    figure: Figure = plt.figure(figsize=(_WIDTH_IN, tall), dpi=DPI, facecolor="white", layout=engine)
    places = figure.subplots(panels, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for number, name in enumerate(lines["line"].values.tolist()):
        axes = places[number if panels > 1 else 0]
        values, style = lines.sel(line=name), styles.get(str(name), {})
        if usual is not None:
            _band(axes, values["time"].values, usual.sel(line=name), first=number == 0)
        kept = {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)], "label": str(name)}
        axes.plot(values["time"].values, values.values, linewidth=1.6, markersize=4.5, markeredgecolor="white",
                  markeredgewidth=0.6, **{**kept, **style})  # fmt: skip
        if bounds is not None and (edges := bounds.sel(line=name)).notnull().all("edge").any():
            axes.vlines(values["time"].values, *edges.transpose("edge", "time").values, linewidth=1.2,
                        color=style.get("color", kept["color"]), zorder=1.5)  # fmt: skip
        if panels > 1:
            axes.set_title(str(name), fontsize=9, loc="left", pad=3)
    stamps = lines["time"].values
    for axes in places:
        _dressed(axes, stamps[0] if len(stamps) == 1 else None)
    if styles:
        places[0].set_ylim(bottom=0)
    figure.supylabel(label, fontsize=9) if panels > 1 else places[0].set_ylabel(label, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    if lines.sizes["line"] > 1 or styles or usual is not None:
        _legend(figure, places, one_each=panels > 1)
    return finish(figure)


def _lines(
    data: xr.Dataset | xr.DataArray, objects: Sequence[int] | None
) -> tuple[xr.DataArray, str, Mapping[str, Mapping[str, Any]]]:
    """Return computed (time, line) values, the label of the axis, and the styles of lines that have their own."""
    if isinstance(data, xr.Dataset) and "water" in data and KIND_ATTR in data["water"].attrs:
        data = data["water"]  # of an ensemble, beside its probability
    if isinstance(data, xr.DataArray) and KIND_ATTR in data.attrs:
        data = whole_classes(data)
        return _classes(class_areas(data, classes_of(data.attrs), "ellipsoidal"))
    if isinstance(data, xr.Dataset):
        if "area" in data and "state" in data["area"].dims:
            return _classes(data["area"])
        name = next((name for name in ("water", "mean") if name in data), None)
        if name is None:
            raise CubeError(
                "data= has no series; expected a result of flood(), water() or object_series(), or a DataArray."
            )
        units = str(data[name].attrs.get("units", "1"))
        return _values(data[name], objects, units)
    check_array("data", data)
    return _values(data, objects, str(data.attrs.get("units", "1")))


def _classes(area: xr.DataArray) -> tuple[xr.DataArray, str, Mapping[str, Mapping[str, Any]]]:
    """Return hectares by class, without land and empty classes."""
    hectares = _dated(area).transpose("time", "state").compute()
    kept = [
        str(name)
        for name in hectares["state"].values
        if name not in _BASE and bool((hectares.sel(state=name) > 0).any())
    ]
    titles = [CLASS_TITLES.get(name, name) for name in kept]
    styles: dict[str, Mapping[str, Any]] = {
        title: {"color": CLASS_COLORS.get(name, CLASS_COLORS["unknown"])}
        for name, title in zip(kept, titles, strict=True)
    }
    if "unknown" in styles:
        styles["unknown"] = {"color": "#777777", "linestyle": "--"}
    lines = hectares.sel(state=kept).rename(state="line").assign_coords(line=titles)
    return lines.drop_vars([name for name in lines.coords if name not in lines.dims]), "area, ha", styles


def _bounds(data: xr.Dataset | xr.DataArray, lines: xr.DataArray) -> xr.DataArray | None:
    """Return the interval of the hectares of each line, (time, line, edge), NaN where none is known; None without."""
    names = ("area_lower", "area_upper")
    if not isinstance(data, xr.Dataset) or not {"area", *names} <= set(data.data_vars):
        return None
    titles = [CLASS_TITLES.get(str(name), str(name)) for name in data["area"]["state"].values]
    edges = [_dated(data[name]).transpose("time", "state").compute().values for name in names]
    found = xr.DataArray(np.stack(edges, -1), {"line": titles}, ("time", "line", "edge"))
    return found.sel(line=lines["line"].values)


def _values(
    values: xr.DataArray, objects: Sequence[int] | None, units: str
) -> tuple[xr.DataArray, str, Mapping[str, Mapping[str, Any]]]:
    """Return one series, or one for each entry of another dimension."""
    values = _dated(values)
    others = [dim for dim in values.dims if dim != "time"]
    if len(others) > 1:
        raise CubeError(f"data= has {dims_text(values.dims)}; expected (time) or (time, other). Select by .isel first.")
    label = str(values.attrs.get("long_name", values.name or ""))
    label += "" if units in ("1", "") else f", {units}"
    if not others:
        return values.compute().expand_dims(line=[str(values.name or "value")], axis=1), label, {}
    chosen = values.transpose("time", others[0])
    if objects is not None:
        known, asked = chosen[others[0]].values.tolist(), items_of(objects)
        if asked is None:
            raise OptionError(f"objects={shown(objects)}: expected a list, of {listed(known)}.")
        if missing := [each for each in asked if np.ndim(each) or each not in known]:
            raise OptionError(f"objects={asked}: unknown are {missing}; expected some of {listed(known)}.")
        chosen = chosen.sel({others[0]: asked})
    names = [f"{others[0]} {each}" for each in chosen[others[0]].values.tolist()]
    return chosen.compute().rename({others[0]: "line"}).assign_coords(line=names), label, {}


def _dated(values: xr.DataArray) -> xr.DataArray:
    """Rename the dimension of dates to "time". Raises CubeError if there is none."""
    dated = [dim for dim in values.dims if dim in values.coords and values[dim].dtype.kind == "M"]
    if len(dated) != 1:
        raise CubeError(f"data= has {dims_text(values.dims)}; expected one of dates.")
    return values if dated[0] == "time" else values.rename({dated[0]: "time"})


def _against(
    lines: xr.DataArray, reference: When | xr.Dataset | xr.DataArray, objects: Sequence[int] | None
) -> tuple[xr.DataArray, xr.DataArray]:
    """Split off the reference; returns the other dates, and the reference on them: (time, line, edge)."""
    if isinstance(reference, xr.Dataset | xr.DataArray):
        usual = _lines(reference, objects)[0]
        if missing := sorted(set(lines["line"].values.tolist()) - set(usual["line"].values.tolist())):
            raise OptionError(f"reference= has no values for {missing}.")
    else:
        try:
            found = positions_of(reference, lines["time"], role="reference")
        except CubeError as error:
            raise OptionError(str(error)) from error
        if found.size == lines.sizes["time"]:
            raise OptionError(
                f"reference={reference!r} selects {found.size} of {count_of(lines.sizes['time'], 'date')}; expected "
                "some, not all."
            )
        usual, lines = lines.isel(time=found), lines.isel(time=np.setdiff1d(np.arange(lines.sizes["time"]), found))
    months = lines["time"].dt.month.values
    if not np.isin(months, usual["time"].dt.month.values).any():
        raise OptionError("reference= has no date in any calendar month of data=. Select other dates, or leave it out.")
    parts = []
    for month in months:
        same = usual.isel(time=np.flatnonzero(usual["time"].dt.month.values == month)).sel(line=lines["line"])
        mean = same.mean("time") if same.sizes["time"] else xr.full_like(lines.isel(time=0, drop=True), np.nan)
        spread = same.std("time", ddof=1) if same.sizes["time"] > 1 else mean * 0
        parts.append(xr.concat([mean - spread, mean, mean + spread], "edge"))
    return lines, xr.concat(parts, "time").assign_coords(time=lines["time"])


def _band(axes: Any, times: Any, usual: xr.DataArray, *, first: bool) -> None:
    low, mean, high = usual.transpose("edge", "time").values
    names = ("reference ± 1 standard deviation", "reference, mean of the month") if first else (None, None)
    axes.fill_between(times, low, high, color=_USUAL, alpha=0.6, linewidth=0, label=names[0], zorder=0)
    axes.plot(times, mean, color="#7d7d7d", linewidth=1.1, linestyle="--", label=names[1], zorder=1)


def _dressed(axes: Any, only: np.datetime64 | None) -> None:
    """Format the axes: dates, grid, no box. only: the date of a series with a single one."""
    dates: Any = require("matplotlib.dates", extra="viz")
    locator = dates.AutoDateLocator(maxticks=9)
    if only is not None:
        # Matplotlib widens an axis of one date to four years, and warns.
        axes.set_xlim(only - np.timedelta64(5, "D"), only + np.timedelta64(5, "D"))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.grid(color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.get_offset_text().set_fontsize(8)


def _legend(figure: Any, places: Any, *, one_each: bool) -> None:
    """Draw the legend below the panels; with one panel per line, only for the band."""
    handles, labels = places[0].get_legend_handles_labels()
    if one_each:
        pairs = [(handle, text) for handle, text in zip(handles, labels, strict=True) if text.startswith("reference")]
        handles, labels = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), fontsize=8, frameon=False)
