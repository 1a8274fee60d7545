"""Draw maps of classes (flood, water, agreement) and of water frequency, with legend, areas and scale bar."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..analytics.area import AREA_METHODS, area_text, class_areas
from ..analytics.classes import AREA_ATTR, CLASS_COLORS, KIND_ATTR, LIMITS_ATTR, classes_of, whole_classes
from ..analytics.uncertain import level_in
from ..arguments import check_whole
from ..cube.grid import geobox_of, spatial_dims
from ..cube.time import Date, place_of
from ..errors import CubeError, GridError
from ..optional import require
from .figure import color_key, draw_ground, finish, patch_key, thinned
from .views import scalar_date

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASS_TITLES = {"lr_only": "water in LR only", "sr_only": "water in SR only", "permanent": "permanent water"}
_MAPS = ("flood", "agreement", "water")
_MOST_CODES = 65536
"""Numbers of classes that are counted are below this."""


def flood_map(found: xr.Dataset | xr.DataArray, *, date: Date = None, max_pixels: int = 1024) -> Figure:
    """Draw a result of `flood`, `agreement` or `water` for one date.

    found: their result, of an ensemble or interval too. date: a time stamp (the nearest date is used) or an index; the
        first by default.
    max_pixels: longest side of the figure; of larger maps every n-th pixel is drawn, but areas are of all pixels.

    Returns a matplotlib Figure, north up, with a scale bar and a legend. The hectares of a class are those of its
    pixels in this map, so uncertain pixels count in no other class; a map without CRS has none. Uncertain is where the
    probability of water, of a flood before or after it, lies between the limits that the legend has. Of an ensemble,
    the total flooded area with its interval (`area`, `area_lower`, `area_upper`: part of what is uncertain is in it)
    has lines of its own, unless the map was cut out of the one that they belong to. Computes the map and the areas.
    Raises CubeError for other inputs, MissingLibraryError without matplotlib.
    """
    require("matplotlib", extra="viz")
    classes = map_in(found)
    dims = spatial_dims(classes)
    assert dims is not None
    classes, stamp = at_date(classes, dims, date)
    check_whole("max_pixels", max_pixels, least=1)
    if max(classes.sizes[dim] for dim in dims) <= max_pixels:
        classes = classes.compute()  # else every n-th pixel is computed, and the areas again
    values, step = thinned(classes, max_pixels)
    meaning = classes_of(classes.attrs)
    names, codes = list(meaning), list(meaning.values())
    areas = map_areas(classes)
    geobox = geobox_of(classes)
    assert geobox is not None
    title = f"{classes.attrs.get('long_name', classes.name)}  {when_of(classes, stamp)}".strip()
    figure, axes, _ = draw_ground(class_colors(values, names, codes), geobox, title, step=step)
    present = {name for name, code in zip(names, codes, strict=True) if code in values}
    entries = []
    for name in names:
        if name in present or areas.get(name):  # classes without pixels are left out
            label = class_title(name, classes.attrs) + (f"\n{area_text(areas[name])}" if name in areas else "")
            entries.append((CLASS_COLORS.get(name, CLASS_COLORS["unknown"]), label))
    if areas.get("uncertain"):
        entries.append(("none", "Areas are of the pixels\nof each color."))
    if interval := _interval_of(found, dims, date, sum(areas.values())):
        entries.append(("none", interval))
    patch_key(figure, axes, entries)
    return finish(figure)


def map_in(found: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Return the map of classes of a result. Raises CubeError where it has none."""
    if isinstance(found, xr.Dataset):
        name = next((name for name in _MAPS if name in found), None)
        if name is not None:
            return whole_classes(found[name])
    elif isinstance(found, xr.DataArray) and "flag_meanings" in found.attrs and spatial_dims(found) is not None:
        return whole_classes(found)
    raise CubeError("found= has no map of classes; expected the result of flood(), agreement() or water().")


def class_title(name: str, attrs: Mapping[str, Any], line: str = "\n") -> str:
    """Return the name of a class in a legend, of what is uncertain with its probability. line: between its lines."""
    limits = re.fullmatch(r"([\d.e-]+) to ([\d.e-]+)", str(attrs.get(LIMITS_ATTR, "")))
    if name != "uncertain" or limits is None:
        return CLASS_TITLES.get(name, name.replace("_", " "))
    low, high = (f"{100 * float(each):g}" for each in limits.groups())
    when = "" if attrs.get(KIND_ATTR) == "water" else f"{line}before or after"
    return f"uncertain (probability{line}of water {low} to {high} %{when})"


def at_date(classes: xr.DataArray, dims: tuple[str, str], date: Date) -> tuple[xr.DataArray, str]:
    """Select one date; returns its text too, "" without a date."""
    time = next((str(dim) for dim in classes.dims if dim not in dims), None)
    if time is None:
        alone = scalar_date(classes)  # of a date chosen before
        return classes, "" if alone is None else str(alone)[:10]
    place = place_of(date, classes[time].values, holder="the map")
    stamp = str(classes[time].values[place])[:10] if time in classes.coords else ""
    return classes.isel({time: place}), stamp


def map_areas(classes: xr.DataArray) -> dict[str, float]:
    """Compute the hectares of each class in a map (y, x), all pixels; {} where it has no place on Earth."""
    meaning = classes_of(classes.attrs)
    if not meaning or not all(0 <= code < _MOST_CODES for code in meaning.values()) or classes.dtype.kind not in "iu":
        return {}
    method = classes.attrs.get(AREA_ATTR)
    try:
        hectares = class_areas(classes, meaning, method if method in AREA_METHODS else "ellipsoidal")
    except GridError:
        return {}
    return dict(zip(meaning, hectares.values.tolist(), strict=True))


def _interval_of(found: xr.Dataset | xr.DataArray, dims: tuple[str, str], date: Date, whole: float) -> str:
    """Return the flooded area of an ensemble in words; "" without. whole: the hectares of the map that is drawn."""
    names = ("area", "area_lower", "area_upper")
    if not isinstance(found, xr.Dataset) or not set(names) <= set(found.data_vars):
        return ""
    classes, states = map_in(found), found["area"]["state"].values.tolist()
    time = next((dim for dim in classes.dims if dim not in dims), None)
    at = {} if time is None else {time: place_of(date, classes[time].values, holder="the map")}
    here = found[list(names)].isel(at).compute()
    if "flooded" not in states or not math.isclose(float(here["area"].sum()), whole, rel_tol=1e-6):
        return ""
    area, lower, upper = (area_text(float(here[name].sel(state="flooded"))) for name in names)
    return f"total flooded area:\n{area}, {100 * level_in(found):g} % between\n{lower} and {upper}"


def class_colors(values: Any, names: list[str], codes: Any) -> Any:
    """Convert classes to (y, x, RGB), 0 to 1; other values are drawn as unknown."""
    from matplotlib.colors import to_rgb

    picture = np.empty((*values.shape, 3), "float32")
    picture[:] = to_rgb(CLASS_COLORS["unknown"])
    for name, code in zip(names, codes, strict=True):
        picture[values == code] = to_rgb(CLASS_COLORS.get(name, CLASS_COLORS["unknown"]))
    return picture


def when_of(classes: xr.DataArray, stamp: str) -> str:
    """Return the date of a map, for floods with the dates before; "" without."""
    before = classes.attrs.get("xr_sr:before")
    return f"{before} → {stamp}" if before and stamp else stamp


def frequency_map(history: xr.Dataset | xr.DataArray, *, max_pixels: int = 1024) -> Figure:
    """Draw the fraction of dates with water.

    history: the result of `water_history`, or its `frequency` (y, x), 0 to 1, NaN where a pixel was never observed.
    max_pixels: longest side of the figure; of larger maps every n-th pixel is drawn.

    Returns a matplotlib Figure, north up. Pixels without water on any date have a separate color, so that a single date
    with water is visible. Computes the map. Raises CubeError for other inputs, MissingLibraryError without matplotlib.
    """
    frequency, dates = _frequency_of(history)
    require("matplotlib", extra="viz")
    from matplotlib.colors import to_rgb

    geobox = geobox_of(frequency)
    assert geobox is not None
    values, step = thinned(frequency, max_pixels)
    shown = np.ma.masked_where(~(values > 0), values)
    picture = _ramp()(shown)[..., :3]
    picture[~np.isfinite(values)] = to_rgb(CLASS_COLORS["unknown"])
    picture[values == 0] = to_rgb(CLASS_COLORS["dry"])
    figure, axes, _ = draw_ground(picture, geobox, f"frequency of water{dates}", step=step)
    ticks = {share: f"{share:.0%}" for share in (0.0, 0.25, 0.5, 0.75, 1.0)}
    below = color_key(figure, axes, _ramp(), ticks, "share of the dates that saw the pixel")
    others = [("dry", "never water", (values == 0).any()), ("unknown", "never seen", not np.isfinite(values).all())]
    patch_key(figure, axes, [(CLASS_COLORS[name], label) for name, label, is_there in others if is_there], below)
    return finish(figure)


def _frequency_of(history: xr.Dataset | xr.DataArray) -> tuple[xr.DataArray, str]:
    """Return the frequency, and text with the number of observations."""
    frequency = history.get("frequency") if isinstance(history, xr.Dataset) else history
    if (
        not isinstance(frequency, xr.DataArray)
        or frequency.dtype.kind != "f"
        or frequency.ndim != 2
        or spatial_dims(frequency) is None
    ):
        raise CubeError("history= has no frequency along y and x; expected the result of water_history().")
    dates = ""
    if isinstance(history, xr.Dataset) and "observations" in history:
        fewest, most = int(history["observations"].min()), int(history["observations"].max())
        dates = f", {most} dates" if fewest == most else f", {fewest} to {most} dates"
    return frequency, dates


def _ramp() -> Any:
    """Return a colormap from light to dark blue; the palest part is left out, since it looks like land."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["GnBu"](np.linspace(0.3, 1, 256)))
