"""Make an HTML page to compare layers: a swipe, maps on top, dates, zoom, legends and scale, in one offline file.

The page (`swipe.html`, beside this module) needs no library and no network, on purpose. Of the libraries tested in
2026, none makes a swipe that works from a file without a network: Panel 1.9 with inline resources is 3 MB, and its
Swipe fails, as `swipe.css` stays on a server; folium 0.20 and maplibre 0.3 load Leaflet and MapLibre from a server. A
canvas, two images and a slider are enough. A content security policy in the page forbids requests.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from affine import Affine

from ..arguments import check_text, check_whole, count_of, is_one_of, shown
from ..cube.crs import crs_label
from ..cube.select import AnyCube, Cube, title_of
from ..cube.time import Date, Dates, check_date, nearest_place
from ..errors import OptionError, warns_once
from ..optional import require
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..runtime.files import file_target, write_whole
from .comparison import BICUBIC_REACH, bicubic_of, choose_bands, image_of, note_of, stretch_of
from .layers import (
    PageLayer,
    Sheet,
    class_layer,
    cube_or_none,
    dates_before,
    picture_layer,
    quantity_layer,
    quantity_limits,
    sheet_of,
    stamps_of,
)
from .views import Frame, ImageArray, Placed, RadiometryChoice, View, check_order, choose_frame

HEIGHT_PX = 560
"""Height of the page in a notebook."""

MOST_DATES = 4
"""Number of dates that are shown by default: each takes time, and some MB of the page."""

_ROLES = ("LR", "SR", "HR")
_ESTIMATE = "Super-resolved: detail beyond the sensor is an estimate, not an observation."
Key: TypeAlias = tuple[str, str]
"""Of a layer: its name, and its date as text, "" without."""

_MARK = re.compile(r"__(TITLE|DATA)__")


@dataclass(frozen=True, eq=False)
class Explorer:
    """A page with its layers: Jupyter displays it, and `save` writes it. html: the page."""

    title: str
    layers: tuple[str, ...]
    html: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the page; an existing file is replaced. Raises StoreError if the folder does not exist."""
        target = file_target(path, "explore.html")
        return write_whole(target, lambda part: part.write_text(self.html, encoding="utf-8"))

    def _repr_html_(self) -> str:
        # In a sandboxed frame, so that the page and the notebook cannot affect each other.
        return (
            f'<iframe srcdoc="{escape(self.html, quote=True)}" sandbox="allow-scripts" title="{escape(self.title)}" '
            f'style="width:100%;height:{HEIGHT_PX}px;border:1px solid #ccc"></iframe>'
        )


@warns_once
def explore(
    lr: AnyCube | None = None,
    sr: AnyCube | None = None,
    hr: AnyCube | None = None,
    *,
    layers: Mapping[str, AnyCube] | None = None,
    show: tuple[str, str] | None = None,
    bands: Sequence[str] | None = None,
    date: Dates = None,
    window: tuple[float, float, float, float] | None = None,
    max_pixels: int = 1024,
    percentiles: tuple[float, float] = (2.0, 98.0),
    limits: tuple[float, float] | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    title: str = "LR and SR",
) -> Explorer:
    """Make an HTML page that compares two layers with a swipe: LR and SR, before and after, a flood over its scene.

    lr: the cube that sr was made from (DN or reflectance). sr: the result of `upscale`; with lr, a layer of bicubic
        interpolation is added. hr: a reference image. The pixels of all grids must nest, and those of sr and hr be
        smaller than those of lr; cubes of one resolution, such as before and after, are `layers`.
    layers: more layers, by name: cubes of bands; maps of classes, the results of `water`, `flood` and `agreement`; maps
        of one quantity, such as `index` or `water_history(...)["frequency"]`. lr may be such a map too.
        Maps are drawn over the cubes, with dry land transparent and one opacity for all.
    show: names of the layers on the left and on the right at first. By default: of two or more cubes in `layers`, the
        first and the last; for a flood, the date before it and its own; else LR and SR, or the first and the last date.
        The last map is on the right; the first of several, or the same map if both sides show one date, on the left.
    bands: three for red, green and blue, or one for gray; by default true color if available.
    date: a time stamp (the nearest date is used) or an index, for all layers; or a list of these, from which each side
        can select in the page. By default the dates of a flood in `layers`, else up to four from the first to the last.
    window: (left, bottom, right, top) in the unit of the CRS. max_pixels: longest side in pixels of the finest layer;
        of larger areas the middle is shown. It limits memory and the file: 3 to 5 MB for a layer of three bands at
        1024.
    percentiles, limits, offset, quantification, nodata: as in `compare`; one stretch of colors for all cubes, one for
        all maps of a quantity.

    Returns an Explorer: the last line of a cell displays it, `.save("explore.html")` writes a file that works offline.
    Computes only the window, except for areas: those of a Dataset with a map of classes, as of `flood`, are of the
    whole map.
    As a method of SR, `sr.sr.explore(lr)`, as of `compare`; a cube that no model made is LR where it is alone.
    Raises CubeError if no pixel is valid, GridError if grids do not nest or lr is not the coarsest,
    MissingLibraryError without matplotlib.
    """
    require("matplotlib", extra="viz")
    require("PIL.Image", extra="viz")
    given: dict[str, AnyCube] = {name: cube for name, cube in (("LR", lr), ("SR", sr), ("HR", hr)) if cube is not None}
    if layers is not None and not isinstance(layers, Mapping):
        raise OptionError(f"layers={shown(layers)}: expected cubes or maps by name, such as {{'flood': found}}.")
    check_text("title", title)
    if twice := sorted(set(given) & set(layers or {})):
        raise OptionError(f"layers= uses the names {twice}, which are those of lr=, sr= and hr=. Choose other names.")
    given |= layers or {}
    if not given:
        raise OptionError("explore needs at least one of lr=, sr=, hr= and layers=.")
    check_whole("max_pixels", max_pixels, least=1)
    dated, chosen, left_out = _placed(
        given, bands, date, {"offset": offset, "quantification": quantification, "nodata": nodata}
    )
    placed = dated[0]
    finest = min(placed.values(), key=lambda each: abs(each.geobox.affine.determinant))
    frame = choose_frame(finest, [each for each in placed.values() if each is not finest], window, max_pixels)
    flip = finest.is_south_up()

    labels = {name: each.role + each.gsd_text() for name, each in placed.items()}
    if "SR" in labels and isinstance(placed["SR"], View):
        labels["SR"] = f"SR ({title_of(given['SR'])}){placed['SR'].gsd_text()}"
    images: dict[Key, tuple[ImageArray, np.datetime64 | None]] = {}
    for each in dated:
        _read_images(each, finest, frame, images)
    made: dict[Key, PageLayer] = {}
    if images:
        pictures = [image for image, _ in images.values()]  # the first date that holds anything sets the colors
        stretch = stretch_of(
            next((each for each in pictures if np.isfinite(each).any()), pictures[0]), percentiles, limits
        )
        if any(name == "bicubic" for name, _ in images):
            labels["bicubic"] = f"bicubic{placed['SR'].gsd_text()}"
        for (name, when), (image, stamp) in images.items():
            text = note_of(chosen, stamp, stretch)
            made[name, when] = picture_layer(labels[name], image, stretch, text, flip=flip, date=when)
    made |= _sheets(dated, labels, finest, frame, percentiles, flip=flip)
    order = [name for name in dict.fromkeys(("LR", "bicubic", "SR", "HR", *given)) if any(name == n for n, _ in made)]
    keys = [key for name in order for key in sorted(key for key in made if key[0] == name)]  # LR first, then by date
    has_flood = any(dates_before(obj) for name, obj in given.items() if isinstance(placed[name], Sheet))
    in_order = [(name, made[name, when]) for name, when in keys]
    start = first_view(show, in_order, [*(layers or {})], has_flood=has_flood and len(dated) > 1)
    facts = _facts(frame, finest, flip=flip) | start | {
        "title": title, "note": _ESTIMATE if sr is not None else "",
        "cut": " ".join(filter(None, [_cut_text(frame, finest, placed, window), left_out])),
    }  # fmt: skip
    return Explorer(
        title, tuple(labels[name] for name in order), _filled(title, facts, [layer for _, layer in in_order])
    )


def _placed(
    given: Mapping[str, AnyCube], bands: Sequence[str] | None, date: Dates, radiometry: RadiometryChoice
) -> tuple[list[dict[str, Placed]], tuple[str, ...], str]:
    """Return the views and maps of each date by name, the bands, and a sentence on dates that are not shown."""
    cubes: dict[str, Cube] = {name: seen for name, obj in given.items() if (seen := cube_or_none(obj)) is not None}
    chosen: tuple[str, ...] = ()
    views: dict[str, View] = {}
    if cubes:
        chosen = choose_bands(cubes.get("SR", next(iter(cubes.values()))).available, bands)
        for name, cube in cubes.items():
            views[name] = View.of(cube, name, chosen, **radiometry) if name == "LR" else View.of(cube, name, chosen)
    check_order(views.get("LR"), views.get("SR"), views.get("HR"))
    dates, left_out = _dates(given, views, date)
    dated: list[dict[str, Placed]] = []
    for each in dates:
        placed: dict[str, Placed] = {}
        for name, obj in given.items():
            if name in views:
                placed[name] = views[name].at(each if isinstance(each, np.datetime64) else None)
            else:
                title = name if cubes or name not in _ROLES else ""  # a map alone goes by its own name
                placed[name] = sheet_of(title, obj, each)
        dated.append(placed)
    return dated, chosen, left_out


def _dates(given: Mapping[str, AnyCube], views: Mapping[str, View], date: Dates) -> tuple[list[Date], str]:
    """Return the dates that are shown, as time stamps if known, and a sentence on those that are not shown."""
    holder = next((view for view in views.values() if view.time is not None), next(iter(views.values()), None))
    if isinstance(date, list | tuple):
        if not date:
            raise OptionError("date=[]: expected one date or more.")
        found = [one for each in date for one in _dates(given, views, each)[0]]
        return [each for n, each in enumerate(found) if each not in found[:n]], ""
    check_date(date)
    alone = None if holder is None else holder.stamp(date)
    if date is not None:
        return [date if alone is None else alone], ""
    stamps = np.empty(0, "datetime64[ns]") if holder is None else holder.stamps()
    maps = {name: stamps_of(obj) for name, obj in given.items() if name not in views}
    floods = [name for name in maps if dates_before(given[name])]
    if floods and stamps.size:
        wanted = [moment for name in floods for moment in (np.datetime64(dates_before(given[name])[-1]), *maps[name])]
        stamps = stamps[sorted({nearest_place(stamps, moment) for moment in wanted})]
    elif not stamps.size and alone is None:
        stamps = next((each for each in maps.values() if each.size > 1), stamps)
    if stamps.size < 2:
        return [stamps[0] if stamps.size else alone], ""
    stamps = np.sort(stamps[~np.isnat(stamps)])
    if len(stamps) <= MOST_DATES:
        return list(stamps), ""
    kept = np.linspace(0, len(stamps) - 1, MOST_DATES).round().astype(int)
    return list(stamps[kept]), f"Shown: {MOST_DATES} of {count_of(len(stamps), 'date')}; others by date=[...]."


def _read_images(
    placed: Mapping[str, Placed],
    finest: Placed,
    frame: Frame,
    images: dict[Key, tuple[ImageArray, np.datetime64 | None]],
) -> None:
    """Read the cubes of one date that were not read before, LR first; with LR and SR interpolate LR too."""
    lr, sr = placed.get("LR"), placed.get("SR")
    views = {name: each for name, each in placed.items() if isinstance(each, View)}
    for name in ("LR", "bicubic", *views):
        view = views.get("LR" if name == "bicubic" else name)
        if view is None:
            continue
        stamp = view.stamp(view.position)  # its own: the nearest date may differ from the requested one
        key = name, "" if stamp is None else str(stamp.astype("datetime64[m]"))
        if key in images:
            continue
        if name != "bicubic":
            images[key] = image_of(view.read(frame, finest)), stamp
        elif isinstance(sr, View):
            assert isinstance(lr, View)
            factor, (top, _, left, _) = sr.factor(finest), sr.extent(finest)
            here = tuple((edge - start) // factor for edge, start in zip(frame, (top, top, left, left), strict=True))
            own: Frame = (here[0], here[1], here[2], here[3])
            images[key] = image_of(bicubic_of(lr.read(own, sr, margin=BICUBIC_REACH), own, lr, sr)), stamp


def _sheets(
    dated: Sequence[Mapping[str, Placed]],
    labels: Mapping[str, str],
    finest: Placed,
    frame: Frame,
    percentiles: tuple[float, float],
    *,
    flip: bool,
) -> dict[Key, PageLayer]:
    """Read and color the maps, each date once, with one color scale per quantity."""
    sheets = {(name, each.when): each for placed in dated for name, each in placed.items() if isinstance(each, Sheet)}
    values = {key: sheet.read(frame, finest) for key, sheet in sheets.items()}
    made = {}
    for key, sheet in sheets.items():
        if sheet.has_classes:
            made[key] = class_layer(sheet, labels[key[0]], values[key], flip=flip)
            continue
        alike = [
            values[other] for other, each in sheets.items() if not each.has_classes and each.quantity == sheet.quantity
        ]
        limits = quantity_limits(sheet.quantity, alike, percentiles)
        made[key] = quantity_layer(sheet, labels[key[0]], values[key], limits, flip=flip)
    return made


def _facts(frame: Frame, finest: Placed, *, flip: bool) -> dict[str, Any]:
    """Return the geometry that the page needs: size and georeference of the frame, size of its pixels."""
    rows, columns = frame[1] - frame[0], frame[3] - frame[2]
    affine = finest.geobox.affine @ Affine.translation(frame[2], frame[0])
    if flip:
        affine = affine @ Affine.translation(0, rows) @ Affine.scale(1, -1)
    crs = finest.geobox.crs
    return {
        "rows": rows,
        "columns": columns,
        "pixelM": finest.pixel_m(),
        "affine": list(affine)[:6],
        "crs": "" if crs is None else crs_label(crs),
        "digits": 6 if crs is not None and crs.geographic else 1,
    }


def _cut_text(frame: Frame, finest: Placed, placed: Mapping[str, Placed], window: Any) -> str:
    """Return a sentence on the shown part of the area, "" if all of it is shown."""
    extents = [each.extent(finest) for each in placed.values()]
    whole = [min(each[side + 1] for each in extents) - max(each[side] for each in extents) for side in (0, 2)]
    shown = [frame[1] - frame[0], frame[3] - frame[2]]
    if shown[0] >= whole[0] and shown[1] >= whole[1]:
        return ""
    part = "the window's" if window is not None else "the middle"
    return f"Shown: {part} {shown[0]} × {shown[1]} of {whole[0]} × {whole[1]} pixels."


def _filled(title: str, facts: Mapping[str, Any], layers: Any) -> str:
    entries = [
        {
            "name": layer.name,
            "src": "data:image/png;base64," + base64.b64encode(layer.png).decode("ascii"),
            "legend": layer.legend,
            "date": layer.date,
            "isMap": layer.is_map,
            "ground": layer.ground,
        }
        for layer in layers
    ]
    # A "<" in the data could end the script element that contains it.
    data = json.dumps({**facts, "layers": entries}, ensure_ascii=False).replace("<", "\\u003c")
    parts = {"TITLE": escape(title), "DATA": data}
    page = files(__package__).joinpath("swipe.html").read_text(encoding="utf-8")
    return _MARK.sub(lambda mark: parts[mark[1]], page)


def first_view(
    show: tuple[str, str] | None, entries: Sequence[tuple[str, PageLayer]], added: Sequence[str], *, has_flood: bool
) -> dict[str, int]:
    """Choose the layers that are shown first: indices of the left, the right, and the maps over them, -1 for none.

    show: names of the left and the right layer, if the user passed them. entries: layers with their names, in the order
    of names, dates ascending. added: names of `layers=`. has_flood: one of the maps has a date before and one after a
    flood. Raises OptionError for an unknown name.
    """
    names = list(dict.fromkeys(name for name, _ in entries))
    if show is not None and not (isinstance(show, list | tuple) and len(show) == 2):
        raise OptionError(f"show={shown(show)}: expected the names of two layers, of {list(names)}.")
    if show is not None and (missing := [name for name in show if not is_one_of(name, names)]):
        raise OptionError(f"show={show!r}: unknown layers {missing}; expected two of {names}.")
    maps = list(dict.fromkeys(name for name, layer in entries if layer.is_map))
    places = {name: [n for n, (other, _) in enumerate(entries) if other == name] for name in names}
    dated = [name for name in names if len(places[name]) > 1] if has_flood else []
    left, right = show or _names(names, maps, added, dated)
    # One layer is compared with itself at its first and last date; two layers at one date.
    first, last = places[left][0], places[right][-1 if left == right or has_flood else 0]
    over = {"leftOver": -1, "rightOver": -1}
    if maps and left not in maps and right not in maps:
        over["rightOver"] = places[maps[-1]][-1]
        if len(maps) > 1:
            over["leftOver"] = places[maps[0]][0]
        elif entries[first][1].date[:10] == entries[last][1].date[:10]:
            over["leftOver"] = over["rightOver"]
    return {"left": first, "right": last, **over}


def _names(names: Sequence[str], maps: Sequence[str], added: Sequence[str], dated: Sequence[str]) -> tuple[str, str]:
    """Choose the names by default. dated: layers that can be shown before and after a flood."""
    cubes = [name for name in names if name not in maps]
    if not cubes:
        return names[0], names[-1]
    own = [name for name in added if name in cubes]
    if len(own) > 1:
        return own[0], own[-1]
    best = next(name for name in ("SR", "LR", *cubes) if name in cubes)
    if own:
        return best, own[0]
    if before_and_after := [name for name in (best, *cubes) if name in dated]:
        return before_and_after[0], before_and_after[0]
    return ("LR" if "LR" in cubes else cubes[0]), ("SR" if "SR" in cubes else cubes[-1])
