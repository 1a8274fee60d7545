"""A page to explore: two layers under a swipe, with zoom, layers, legends and scale, in one HTML file.

The page (`swipe.html`, beside this) needs no library and no network, on purpose. Of the libraries that were tried in
2026, none gives a swipe that works from a file without a network: Panel 1.9 with inline resources is 3 MB, and its
Swipe falls apart, as `swipe.css` stays on a server; folium 0.20 and maplibre 0.3 load Leaflet and MapLibre from one.
What is needed here is a canvas, two images and a slider. A policy in the page forbids it any request.
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
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from ..cube import AnyCube, Cube
from ..errors import OptionError
from ..moments import Date
from ..optional import require
from .comparison import BICUBIC_REACH, bicubic_of, choose_bands, image_of, model_of, note_of, stretch_of
from .files import target_of, write_whole
from .layers import Layer, Sheet, class_layer, cube_or_none, picture_layer, quantity_layer, quantity_limits, sheet_of
from .views import Frame, Image, Placed, View, choose_frame

if TYPE_CHECKING:
    from ..radiometry import Offset

HEIGHT_PX = 560
"""Of the page inside a notebook."""

_ROLES = ("LR", "SR", "HR")
_ESTIMATE = "Super-resolved: detail beyond the sensor is an estimate, not an observation."
_MARK = re.compile(r"__(TITLE|DATA)__")


@dataclass(frozen=True, eq=False)
class Explorer:
    """A page with its layers inside: shows itself in Jupyter, and can be saved. html: the page."""

    title: str
    layers: tuple[str, ...]
    html: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the page; the file is replaced if it is there. Raises StoreError where the path has no folder."""
        target = target_of(path, "explore.html")
        return write_whole(target, lambda part: part.write_text(self.html, encoding="utf-8"))

    def _repr_html_(self) -> str:
        # A frame of its own, without rights: neither can the page touch the notebook, nor its style this one.
        return (
            f'<iframe srcdoc="{escape(self.html, quote=True)}" sandbox="allow-scripts" title="{escape(self.title)}" '
            f'style="width:100%;height:{HEIGHT_PX}px;border:1px solid #ccc"></iframe>'
        )


def explore(
    lr: AnyCube | None = None,
    sr: AnyCube | None = None,
    hr: AnyCube | None = None,
    *,
    layers: Mapping[str, AnyCube] | None = None,
    show: tuple[str, str] | None = None,
    bands: Sequence[str] | None = None,
    date: Date = None,
    window: tuple[float, float, float, float] | None = None,
    max_pixels: int = 1024,
    percentiles: tuple[float, float] = (2.0, 98.0),
    limits: tuple[float, float] | None = None,
    offset: Offset = "auto",
    title: str = "LR and SR",
) -> Explorer:
    """Make a page on which one layer is swiped over another: LR over SR, before over after, a flood over its scene.

    lr: the cube that sr was made from (DN or reflectance). sr: what `upscale` gave; with lr comes a layer of bicubic
        interpolation. hr: a truth or reference. All on grids whose pixels nest.
    layers: more of them, by name: cubes of bands; maps of classes, as `water`, `flood` and `agreement` give them; maps
        of one quantity, such as `index` or `water_history(...)["frequency"]`. lr may be such a map too.
    show: names of the layers on the left and on the right at first; by default LR and SR, or the first and the last.
    bands: three for red, green and blue, or one for grey; by default true colour where there is.
    date: a time stamp, of which the nearest is taken, or a position; the first by default, for all layers.
    window: (left, bottom, right, top) in the unit of the CRS. max_pixels: longest side in pixels of the finest layer;
        of what is larger, the middle is shown. It bounds memory and file: 3 to 5 MB for a layer of three bands at 1024.
    percentiles, limits, offset: as in `compare`; one stretch of colours for all cubes, one for all maps of a quantity.

    Returns an Explorer: the last line of a cell shows it, `.save("explore.html")` writes a file that works offline.
    Computes the window and no more, but for areas: those of a Dataset that `flood` gave are of the whole map.
    Raises CubeError where nothing is valid, GridError where grids do not nest, MissingLibraryError without matplotlib.
    """
    require("matplotlib", extra="viz")
    require("PIL.Image", extra="viz")
    given: dict[str, AnyCube] = {name: cube for name, cube in (("LR", lr), ("SR", sr), ("HR", hr)) if cube is not None}
    if twice := sorted(set(given) & set(layers or {})):
        raise OptionError(f"layers= names {twice}, which lr=, sr= and hr= are called already; choose other names.")
    given |= layers or {}
    if not given:
        raise OptionError("there is nothing to explore: pass lr=, sr=, hr= or layers=.")
    if max_pixels < 1:
        raise OptionError(f"max_pixels={max_pixels}: a picture has one pixel at least.")
    placed, chosen = _placed(given, bands, date, offset)
    finest = min(placed.values(), key=lambda each: abs(each.geobox.affine.determinant))
    frame = choose_frame(finest, [each for each in placed.values() if each is not finest], window, max_pixels)
    flip = finest.is_south_up()

    labels = {name: each.role + each.gsd_text() for name, each in placed.items()}
    if "SR" in labels and isinstance(placed["SR"], View):
        labels["SR"] = f"SR ({model_of(given['SR'])}){placed['SR'].gsd_text()}"
    images = _images(placed, finest, frame)
    made: dict[str, Layer] = {}
    if images:
        stretch = stretch_of(next(iter(images.values())), percentiles, limits)
        if "bicubic" in images:
            labels["bicubic"] = f"bicubic{placed['SR'].gsd_text()}"
        for name, image in images.items():
            text = note_of(chosen, _own_stamp(placed["LR" if name == "bicubic" else name]), stretch)
            made[name] = picture_layer(labels[name], image, stretch, text, flip=flip)
    made |= _sheets(placed, labels, finest, frame, percentiles, flip=flip)
    order = [name for name in ("LR", "bicubic", "SR", "HR", *given) if name in made]
    made = {name: made[name] for name in order}  # once each, LR first
    first = _first(show, list(made))
    facts = _facts(frame, finest, flip=flip) | {
        "title": title, "left": first[0], "right": first[1], "note": _ESTIMATE if sr is not None else "",
        "cut": _cut_text(frame, finest, placed, window),
    }  # fmt: skip
    return Explorer(title, tuple(layer.name for layer in made.values()), _filled(title, facts, made.values()))


def _placed(
    given: Mapping[str, AnyCube], bands: Sequence[str] | None, date: Date, offset: Offset
) -> tuple[dict[str, Placed], tuple[str, ...]]:
    """Recognise all that is given, each at the date nearest to the one wanted; cubes first, as maps follow them."""
    cubes: dict[str, Cube] = {name: seen for name, obj in given.items() if (seen := cube_or_none(obj)) is not None}
    chosen: tuple[str, ...] = ()
    views: dict[str, View] = {}
    stamp = None
    if cubes:
        chosen = choose_bands(cubes.get("SR", next(iter(cubes.values()))).available, bands)
        for name, cube in cubes.items():
            views[name] = View.of(cube, name, chosen, offset if name == "LR" else "auto")
        dated = [view for view in views.values() if view.time is not None] or list(views.values())
        stamp = dated[0].stamp(date)
    placed: dict[str, Placed] = {}
    for name, obj in given.items():
        if name in views:
            placed[name] = views[name].at(stamp)
        else:
            title = name if cubes or name not in _ROLES else ""  # a map alone goes by its own name
            placed[name] = sheet_of(title, obj, date if stamp is None else stamp)
    return placed, chosen


def _own_stamp(placed: Placed) -> np.datetime64 | None:
    """Give the date of a view itself: the nearest that its cube has need not be the one wanted."""
    return placed.stamp(placed.position) if isinstance(placed, View) else None


def _images(placed: Mapping[str, Placed], finest: Placed, frame: Frame) -> dict[str, Image]:
    """Read the cubes, LR first; with LR and SR interpolate too."""
    images: dict[str, Image] = {}
    lr, sr = placed.get("LR"), placed.get("SR")
    if isinstance(lr, View):
        images["LR"] = image_of(lr.read(frame, finest))
    if isinstance(lr, View) and isinstance(sr, View) and lr.factor(sr) > 1:
        factor, (top, _, left, _) = sr.factor(finest), sr.extent(finest)
        here = tuple((edge - start) // factor for edge, start in zip(frame, (top, top, left, left), strict=True))
        own: Frame = (here[0], here[1], here[2], here[3])
        images["bicubic"] = image_of(bicubic_of(lr.read(own, sr, margin=BICUBIC_REACH), own, lr, sr))
    for name, each in placed.items():
        if isinstance(each, View) and name not in images:
            images[name] = image_of(each.read(frame, finest))
    return images


def _sheets(
    placed: Mapping[str, Placed],
    labels: Mapping[str, str],
    finest: Placed,
    frame: Frame,
    percentiles: tuple[float, float],
    *,
    flip: bool,
) -> dict[str, Layer]:
    """Read and colour the maps; those of one quantity alike."""
    sheets = {name: each for name, each in placed.items() if isinstance(each, Sheet)}
    values = {name: sheet.read(frame, finest) for name, sheet in sheets.items()}
    made = {}
    for name, sheet in sheets.items():
        if sheet.has_classes:
            made[name] = class_layer(sheet, labels[name], values[name], flip=flip)
            continue
        alike = [
            values[other] for other, each in sheets.items() if not each.has_classes and each.quantity == sheet.quantity
        ]
        limits = quantity_limits(sheet.quantity, alike, percentiles)
        made[name] = quantity_layer(sheet, labels[name], values[name], limits, flip=flip)
    return made


def _first(show: tuple[str, str] | None, names: Sequence[str]) -> tuple[int, int]:
    """Give the numbers of the layers that are shown at first, left and right."""
    if show is None:
        right = "SR" if "SR" in names else names[-1]
        return (names.index("LR") if "LR" in names else 0), names.index(right)
    if missing := [name for name in show if name not in names]:
        raise OptionError(f"show={show!r}: there is no layer {missing}; there are {list(names)}.")
    return names.index(show[0]), names.index(show[1])


def _facts(frame: Frame, finest: Placed, *, flip: bool) -> dict[str, Any]:
    """Say what the page must know of places: size of the frame, of its pixels, and where it lies."""
    rows, columns = frame[1] - frame[0], frame[3] - frame[2]
    affine = finest.geobox.affine @ Affine.translation(frame[2], frame[0])
    if flip:
        affine = affine @ Affine.translation(0, rows) @ Affine.scale(1, -1)
    crs = finest.geobox.crs
    name = "" if crs is None else f"EPSG:{crs.epsg}" if crs.epsg else str(crs)[:40]
    return {
        "rows": rows, "columns": columns, "pixelM": finest.pixel_m(), "affine": list(affine)[:6], "crs": name,
        "digits": 6 if crs is not None and crs.geographic else 1,
    }  # fmt: skip


def _cut_text(frame: Frame, finest: Placed, placed: Mapping[str, Placed], window: Any) -> str:
    """Say that not all is shown, where that is so."""
    extents = [each.extent(finest) for each in placed.values()]
    whole = [min(each[1] for each in extents) - max(each[0] for each in extents)]
    whole.append(min(each[3] for each in extents) - max(each[2] for each in extents))
    shown = [frame[1] - frame[0], frame[3] - frame[2]]
    if shown[0] >= whole[0] and shown[1] >= whole[1]:
        return ""
    part = "the window's" if window is not None else "the middle"
    return f"Shown: {part} {shown[0]} × {shown[1]} of {whole[0]} × {whole[1]} pixels."


def _filled(title: str, facts: Mapping[str, Any], layers: Any) -> str:
    """Put title and data into the page."""
    entries = [
        {
            "name": layer.name,
            "src": "data:image/png;base64," + base64.b64encode(layer.png).decode("ascii"),
            "legend": layer.legend,
        }
        for layer in layers
    ]
    # No "<" may stand in the data, or it could end the script that holds it.
    data = json.dumps({**facts, "layers": entries}, ensure_ascii=False).replace("<", "\\u003c")
    parts = {"TITLE": escape(title), "DATA": data}
    page = files(__package__).joinpath("swipe.html").read_text(encoding="utf-8")
    return _MARK.sub(lambda mark: parts[mark[1]], page)
