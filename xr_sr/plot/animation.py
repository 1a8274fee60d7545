"""Animate a time series: one frame per date, with one stretch of colors and the date as title."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..arguments import check_number
from ..cube.select import AnyCube
from ..cube.time import time_dim
from ..errors import CubeError, MissingLibraryError, OptionError
from ..optional import require
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..runtime.files import file_target, write_whole
from .comparison import choose_bands, image_of, note_of, stretch_of
from .figure import LEGEND_IN, color_key, draw_ground, finish, patch_key
from .layers import (
    PageLayer,
    Sheet,
    class_layer,
    cube_or_none,
    picture_layer,
    quantity_layer,
    quantity_limits,
    sheet_of,
)
from .maps import map_in
from .views import Frame, Placed, RadiometryChoice, View, choose_frame

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

SUFFIXES = (".gif", ".png", ".html", ".mp4")
MOST_FRAMES = 400

_ICONS = {"fast-backward": "⇤", "step-backward": "<", "play": "▶", "pause": "❚❚", "step-forward": ">",
          "fast-forward": "⇥", "minus": "−", "plus": "+"}  # fmt: skip
"""Characters for the icons in the HTML page of matplotlib."""


@dataclass(frozen=True, eq=False)
class Movie:
    """An animation: Jupyter displays it, and `save` writes it. dates: the title of each frame."""

    dates: tuple[str, ...]
    fps: float
    animation: FuncAnimation = field(repr=False)
    figure: Figure = field(repr=False)

    def save(self, path: str | Path, *, dpi: int = 110) -> Path:
        """Write the animation in the format of the suffix; an existing file is replaced.

        path: .gif (256 colors), .png (all colors), .html (a page with buttons that works offline), or .mp4, which needs
            ffmpeg. dpi: dots per inch, of about 5 to 7 inches.
        Raises OptionError for another suffix, StoreError if the folder does not exist, MissingLibraryError for .mp4
        without ffmpeg.
        """
        target = file_target(path, "series.gif")
        suffix = target.suffix.lower()
        if suffix not in SUFFIXES:
            raise OptionError(f"path={target.name!r}: expected a file that ends in one of {', '.join(SUFFIXES)}.")
        if suffix == ".html":
            text = self._page(dpi)
            return write_whole(target, lambda part: part.write_text(text, encoding="utf-8"))
        animation: Any = require("matplotlib.animation", extra="viz")
        if suffix == ".mp4" and not animation.FFMpegWriter.isAvailable():
            raise MissingLibraryError(".mp4 needs ffmpeg, which is not on PATH. Save as .gif or .html.", name="ffmpeg")
        writer = (animation.FFMpegWriter if suffix == ".mp4" else animation.PillowWriter)(fps=self.fps)
        return write_whole(target, lambda part: self.animation.save(part, writer=writer, dpi=dpi))

    def _page(self, dpi: int) -> str:
        """Return the HTML page of matplotlib without the icon font, which it would load from a server."""
        matplotlib: Any = require("matplotlib", extra="viz")
        # Beyond the default limit, matplotlib drops frames with only a log message.
        with matplotlib.rc_context({"savefig.dpi": dpi, "animation.embed_limit": 1000}):
            inner = self.animation.to_jshtml(fps=self.fps, embed_frames=True)  # type: ignore[arg-type]  # floats work
        icons = "".join(f'.fa-{name}::before {{ content: "{sign}"; }}' for name, sign in _ICONS.items())
        style = f"body {{ font-family: sans-serif; }} .fa {{ font-style: normal; }} {icons}"
        style += ".fa-flip-horizontal { display: inline-block; transform: scaleX(-1); } img { max-width: 100%; }"
        inner = re.sub(r"<link[^>]*>", "", inner)
        head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n<style>{style}</style></head>\n'
        return f"{head}<body>{inner}</body></html>\n"

    def _repr_html_(self) -> str:
        wide, high = (side * 80 for side in self.figure.get_size_inches())
        return (
            f'<iframe srcdoc="{escape(self._page(80), quote=True)}" sandbox="allow-scripts" title="series" '
            f'style="width:{wide + 40:.0f}px;max-width:100%;height:{high + 130:.0f}px;border:0"></iframe>'
        )


def animate(
    cube: AnyCube,
    *,
    bands: Sequence[str] | None = None,
    window: tuple[float, float, float, float] | None = None,
    max_pixels: int = 512,
    fps: float = 2.0,
    percentiles: tuple[float, float] = (2.0, 98.0),
    limits: tuple[float, float] | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    title: str = "",
) -> Movie:
    """Animate all dates of a cube, or of a map of classes or of a quantity.

    cube: bands along time, LR or SR; or the result of `water` or `flood`; or an index. bands, window, percentiles,
        limits, offset, quantification, nodata: as in `compare`, with one stretch for all dates. max_pixels: longest
        side; of larger areas the middle is shown. fps: dates per second. title: text before the date above each frame.

    Returns a Movie: the last line of a cell displays it, `.save("series.gif")` writes it. Computes the window of all
    dates, held as floats at once: 12 bytes per pixel and date. Select dates by `.sel(time=...)`.
    Raises CubeError for a cube without dates, OptionError for more than 400, MissingLibraryError without matplotlib.
    """
    check_number("fps", fps, above=0, most=1000)
    require("matplotlib", extra="viz")
    animation: Any = require("matplotlib.animation", extra="viz")
    placed = _placed(cube, bands, {"offset": offset, "quantification": quantification, "nodata": nodata})
    first = placed[0]
    frame = choose_frame(first, [], window, max_pixels)
    layers, note = _layers(placed, first, frame, percentiles, limits)
    dates = tuple(each.date if isinstance(each, Sheet) else str(each.stamp(each.position))[:10] for each in placed)
    has_key = not isinstance(first, View)
    heads = [f"{title}  {date}".strip() for date in dates]
    figure, axes, image = draw_ground(
        _decoded(layers[0]), first.geobox, heads[0], legend_in=LEGEND_IN if has_key else 0.0, note=note
    )
    axes.set_facecolor("0.85")
    if has_key:
        _key(figure, axes, layers)

    def show(number: int) -> tuple[Any, ...]:
        picture = _decoded(layers[number])
        image.set_data(picture[::-1] if first.is_south_up() else picture)
        axes.set_title(heads[number], fontsize=10, loc="left", pad=4)
        return (image,)

    moving = animation.FuncAnimation(figure, show, frames=len(layers), interval=1000 / fps, blit=False)
    # An animation may never be shown; matplotlib would warn of that.
    moving._draw_was_started = True
    return Movie(dates, fps, moving, finish(figure))


def _placed(cube: AnyCube, bands: Sequence[str] | None, radiometry: RadiometryChoice) -> list[View] | list[Sheet]:
    seen = cube_or_none(cube)
    if seen is not None:
        view = View.of(seen, "the cube", choose_bands(seen.available, bands), **radiometry)
        count = view.stamps().size
        _check(count)
        return [view.at(view.stamp(place)) for place in range(count)]
    # Without areas: they are those of one date, and there is one legend for all.
    array = map_in(cube) if isinstance(cube, xr.Dataset) else cube
    assert isinstance(array, xr.DataArray)
    dim = time_dim(array)
    _check(0 if dim is None else array.sizes[dim])
    return [sheet_of("", array, place) for place in range(array.sizes[str(dim)])]


def _check(count: int) -> None:
    if not count:
        raise CubeError("the cube has no dimension of time with coordinates; an animation needs dates.")
    if count > MOST_FRAMES:
        raise OptionError(
            f"the cube has {count} dates; expected at most {MOST_FRAMES}. Select some: cube.sel(time=slice(...))."
        )


def _layers(
    placed: Sequence[View] | Sequence[Sheet],
    first: Placed,
    frame: Frame,
    percentiles: tuple[float, float],
    limits: tuple[float, float] | None,
) -> tuple[list[PageLayer], str]:
    """Read and color all dates in the same way; returns the note below them too."""
    if isinstance(first, View):
        views = [each for each in placed if isinstance(each, View)]
        images = [image_of(view.read(frame, first)) for view in views]
        stretch = stretch_of(np.concatenate(images), percentiles, limits)
        note = note_of([plane.band for plane in first.planes], None, stretch)
        return [picture_layer("", image, stretch, note, flip=False) for image in images], note
    sheets = [each for each in placed if isinstance(each, Sheet)]
    values = [sheet.read(frame, first) for sheet in sheets]
    if sheets[0].has_classes:
        pairs = zip(sheets, values, strict=True)
        return [class_layer(sheet, "", each, flip=False) for sheet, each in pairs], ""
    ends = limits or quantity_limits(sheets[0].quantity, values, percentiles)
    return [quantity_layer(sheet, "", each, ends, flip=False) for sheet, each in zip(sheets, values, strict=True)], ""


def _decoded(layer: PageLayer) -> Any:
    """Return (y, x, RGBA) of a layer. Layers are kept as PNG, since a hundred dates take little memory so."""
    return np.asarray(require("PIL.Image", extra="viz").open(io.BytesIO(layer.png)).convert("RGBA"))


def _key(figure: Any, axes: Any, layers: Sequence[PageLayer]) -> None:
    from matplotlib.colors import ListedColormap

    legend = layers[0].legend
    if legend["kind"] == "ramp":
        color_key(
            figure, axes, ListedColormap(legend["colors"]), {0.0: legend["low"], 1.0: legend["high"]}, legend["label"]
        )
        return
    entries = {entry["label"]: entry["color"] for layer in layers for entry in layer.legend["entries"]}
    patch_key(figure, axes, [(color, label) for label, color in entries.items()])
