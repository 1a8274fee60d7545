"""Describe a cube as it was recognized, as text and as HTML for Jupyter: bands, grid, dates, values, chunks.

No pixel is read, only small coordinates of a file. What cannot be recognized is described by its error, since a repr
must not raise.
"""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from ..arguments import count_of
from ..conventions import ADD_OFFSETS, BASELINES, COLLECTIONS, FLAGS, PRODUCTS, plain_name
from ..conventions.own import QUANTIFICATION_COORD
from ..cube.crs import crs_label
from ..cube.grid import pixel_size_m
from ..cube.lazy import is_only_stored
from ..cube.select import AnyCube, Cube, bands_of, joined_by, model_of, recognize
from ..errors import CubeError, RadiometryError
from ..spec import CALIBRATION_ATTR, INTERVAL_LEVEL_ATTR, MEMBERS_ATTR, SEED_ATTR, stated
from .metadata import is_nodata_coord
from .resolve import OFFSET_COORD, offset_coords, resolve

_WITH_ERROR = {"estimate", "std"}
"""Variables by which a result of `interval` or `ensemble`, or what was computed of one, is recognized."""

Lines = Sequence[tuple[str, str]]
"""Title and text of each line."""


def summary(obj: AnyCube) -> str:
    """Return a few lines of text on what was recognized, or the reason why nothing was."""
    return text_of(*_described(obj))


def summary_html(obj: AnyCube) -> str:
    """Return the same as an HTML table."""
    return html_of(*_described(obj))


def text_of(heading: str, lines: Lines) -> str:
    """Write lines as text, the titles in a column."""
    width = max((len(title) for title, _ in lines), default=0)
    return "\n".join([f"<{heading}>", *(f"  {f'{title:<{width}}  {text}'.strip()}" for title, text in lines)])


def html_of(heading: str, lines: Lines) -> str:
    """Write lines as an HTML table, in the colors of the page that shows it."""
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
    rows = "".join(
        f"<tr><th style='{cell};font-weight:600;white-space:nowrap'>{html.escape(title)}</th>"
        f"<td style='{cell}'>{html.escape(text)}</td></tr>"
        for title, text in lines
    )
    return f"<div><strong>{html.escape(heading)}</strong><table style='border:none;margin:4px 0'>{rows}</table></div>"


def dates_with_offsets(offset: xr.Variable, dates: xr.DataArray | None) -> str:
    """Describe the offset of each run of dates: "2022-02-01 to 2022-03-01, 3 dates (offset -1000 DN); ...".

    offset: the coordinate of `offset_coords`. dates: the time stamps along it; None counts the steps.
    """
    values = np.atleast_1d(offset.values)
    days = [f"step {n}" for n in range(values.size)] if dates is None else [*map(_day, np.atleast_1d(dates.values))]
    ends = [*map(int, np.flatnonzero(np.diff(values))), values.size - 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    runs = []
    for start, end in zip(starts, ends, strict=True):
        span = days[start] if start == end else f"{days[start]} to {days[end]}, {count_of(end - start + 1, 'date')}"
        runs.append(f"{span} (offset {values[start]:g} DN)")
    return "; ".join(runs)


def meters(size: tuple[float, float] | None) -> str:
    """Write the size of a pixel, (height, width) in meters: "10 m", "10 x 6.6 m"; "" where it is unknown."""
    if size is None:
        return ""
    height, width = size
    return f"{height:.3g} m" if math.isclose(height, width, rel_tol=0.01) else f"{height:.3g} x {width:.3g} m"


def _described(obj: AnyCube) -> tuple[str, Lines]:
    kind = type(obj).__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(obj, xr.Dataset) and set(obj.data_vars) >= _WITH_ERROR:
                return f"xr_sr: {kind}, an estimate with its error", _shown(_with_error(obj))
            if isinstance(obj, xr.Dataset) and "region_weight" in obj and "estimate" not in obj:
                return f"xr_sr: {kind}, dates of multiframe", _shown(_dates_of_windows(obj))
            return f"xr_sr: {kind}", _shown(_lines(recognize(obj)))
    except Exception as error:  # a repr that raises hides the object that one wants to look at
        return f"xr_sr: {kind}, not a cube", [(type(error).__name__, str(error))]


def _shown(lines: Iterator[tuple[str, str]]) -> Lines:
    return [(title, text) for title, text in lines if text]


def _with_error(obj: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Describe what `interval` and `ensemble` return: its variables, and the estimate as any cube."""
    level = stated(obj.attrs, INTERVAL_LEVEL_ATTR)
    yield "holds", ", ".join(map(str, obj.data_vars))
    yield "interval", "" if level is None or "lower" not in obj else f"lower to upper, of level {float(level):.3g}"
    note = str(stated(obj.attrs, CALIBRATION_ATTR) or "")
    if (seed := stated(obj.attrs, SEED_ATTR)) is not None:
        yield "drawn", f"{count_of(int(stated(obj.attrs, MEMBERS_ATTR) or 0), 'member')}, seed {seed}"
    yield "joined", _joined(obj)
    yield "calibrated", f"{note:.100}{'...' if len(note) > 100 else ''}"
    try:
        yield from _lines(recognize(obj["estimate"]))
    except CubeError:  # of an index, which has no bands
        array = obj["estimate"]
        yield "size", ", ".join(f"{dim} {size}" for dim, size in array.sizes.items())
        yield "values", f"{array.dtype}: {array.attrs.get('long_name', 'no bands, as an index')}"


def _dates_of_windows(obj: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Describe what `multiframe` returns along dates, without the images: weights, shifts and brightness."""
    yield "holds", ", ".join(map(str, obj.data_vars))
    yield "size", ", ".join(f"{dim} {size}" for dim, size in obj.sizes.items())
    yield "joined", _joined(obj)
    yield "use", "multiframe(registration=...) reads it instead of measuring again"


def _joined(obj: xr.Dataset) -> str:
    """Return as text how many dates of a result of `multiframe` were used, where that is computed; "" for others."""
    weight = obj.get("region_weight")
    if weight is None or "date" not in weight.dims or "window" not in obj.coords:
        return ""
    count, images = weight.sizes["date"], len(np.unique(obj["window"].values))
    text = f"{count_of(count, 'date')} to {count_of(images, 'image')}"
    if not is_only_stored(weight):
        return f"{text}; which of them can be used is not computed yet"
    lost = int((weight.max([dim for dim in weight.dims if dim != "date"]) == 0).sum())
    return f"{text}; {lost} of the dates could not be used" if lost else f"{text}; all dates are used"


def _meaning(array: xr.DataArray) -> str:
    """Return which part of a result with its error an array is, to precede its unit; "" for any other array."""
    level = stated(array.attrs, INTERVAL_LEVEL_ATTR)
    if level is None:
        return ""
    interval = f"of the interval of level {float(level):.3g}, in "
    meanings = {
        "std": "standard deviation of the error, in ",
        "lower": f"lower bound {interval}",
        "upper": f"upper bound {interval}",
        "members": "members of an ensemble, in ",
    }
    return meanings.get(str(array.name), "")


def _lines(cube: Cube) -> Iterator[tuple[str, str]]:
    array = cube.planes[0].array
    yield "node", cube.node
    yield "bands", bands_of(cube)
    yield "other nodes", "; ".join(f"{path}: {', '.join(bands)}" for path, bands in cube.others)
    yield "size", ", ".join(f"{dim} {array.sizes[dim]}" for dim in (*cube.lead, cube.y, cube.x))
    place = crs_label(cube.geobox.crs) if cube.geobox.crs else "no CRS"
    size = meters(pixel_size_m(cube.geobox))
    moved = ", moved from the corners of pixels to their centers" if any(cube.grid.shift) else ""
    yield "grid", place + (f", pixels of {size} on the ground" if size else "") + moved
    yield from _dates_and_values(cube)
    chunks = array.variable.chunksizes  # of the pixels alone: a lazy coordinate may have other chunks along time
    yield "chunks", ", ".join(f"{dim} {max(chunks[dim])}" for dim in array.dims if dim in chunks)
    yield "flags", ", ".join(str(flags.name) for flags in cube.flags)
    yield "unchanged", ", ".join(map(str, cube.extras))
    yield "left out", ", ".join(map(str, cube.dropped))


def _dates_and_values(cube: Cube) -> Iterator[tuple[str, str]]:
    """Return the dates, with the offset where values are DN, and what the values mean."""
    dtypes = ", ".join(dict.fromkeys(str(plane.array.dtype) for plane in cube.planes))
    times = times_of(cube)
    dates = "" if times is None else _span(times)
    names = {OFFSET_COORD, QUANTIFICATION_COORD, *ADD_OFFSETS, *FLAGS, *BASELINES, *PRODUCTS, *COLLECTIONS}
    coords = cube.source.coords.items()
    facts = {name: coord for name, coord in coords if plain_name(name) in names or is_nodata_coord(name)}
    if unknown := [str(name) for name, coord in facts.items() if not is_only_stored(coord)]:  # it could be expensive
        yield "dates", dates
        way = f"cube[{unknown[0]!r}].load()"
        yield "values", f"{dtypes}; their offset is in {', '.join(unknown)}, not computed yet: {way}"
        return
    try:
        radiometry = resolve(cube, cube.planes)
    except RadiometryError as error:
        yield "dates", dates
        reason = str(error).partition(". ")[0]
        yield "values", f"{dtypes}: {reason}. To state it: cube.sr.set_radiometry(offset=...)"
        return
    offset = offset_coords(radiometry, cube).get(OFFSET_COORD)
    if offset is not None and offset.ndim:
        dates = dates_with_offsets(offset, times)
    elif offset is not None and dates:
        dates = f"{dates} (offset {float(offset):g} DN)"
    yield "dates", dates
    if not radiometry.own:
        yield "values", f"{dtypes}: {radiometry.how.removesuffix(f' ({dtypes})')}"
        return
    # Of a result the formula is what was done to its input, whose numbers they no longer are.
    packed = any(plane.array.dtype.kind in "iu" for plane in cube.planes)
    nodata = ", ".join(f"{value:g}" for value in radiometry.nodata)
    meaning = f"reflectance{', packed with a scale' if packed else ''}{f'; nodata {nodata}' if nodata else ''}"
    part = _meaning(cube.source) if isinstance(cube.source, xr.DataArray) else ""
    yield "values", f"{dtypes}: {part}{meaning}"
    made_by = ", ".join(filter(None, (model_of(cube.source), joined_by(cube.source))))
    yield ("made by", f"{made_by}, from {radiometry.how}") if made_by else ("read as", radiometry.how)


def times_of(cube: Cube) -> xr.DataArray | None:
    """Return the time stamps of a cube, along its dimension of dates or a scalar; None without any."""
    coords = [coord for coord in cube.source.coords.values() if coord.dtype.kind == "M" and not coord.chunks]
    along = [coord for coord in coords if coord.dims and coord.name in cube.lead]
    return next(iter([*along, *(coord for coord in coords if not coord.dims)]), None)


def _span(times: xr.DataArray) -> str:
    days = [*map(_day, np.atleast_1d(times.values))]
    if len(days) < 2:
        return "".join(days)
    return f"{min(days)} to {max(days)}, {count_of(len(days), 'date')}"


def _day(stamp: np.datetime64) -> str:
    return str(stamp)[:10]
