"""Lay out figures: rows of panels, single maps, scale bars and legends.

Knows images and inches; of cubes, only the pixel size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import check_whole
from ..cube.grid import pixel_size_m, spatial_dims
from ..optional import require
from .views import ImageArray, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Stretch: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Reflectance of black and of white, each (band,)."""

DPI = 160
PANEL_IN = 3.2
"""Side of a panel in inches: 512 dots, so that the default window is drawn pixel by pixel."""

TITLE_IN, GAP_IN, NOTE_IN = 0.30, 0.06, 0.30
WIDTH_IN, LEGEND_IN, HEAD_IN, EDGE_IN, LINE_IN = 5.2, 2.0, 0.35, 0.1, 0.32
"""Of figures with one map."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One image. factor: pixels of the finest cube along one of its pixels. is_reference: it is HR."""

    title: str
    image: ImageArray
    factor: int = 1
    is_reference: bool = False


@dataclass(frozen=True, eq=False)
class Map:
    """One map of differences, (y, x); factor as in `Panel`."""

    title: str
    values: npt.NDArray[np.float32]
    factor: int


def draw(panels: Sequence[Panel], maps: Mapping[int, Map], stretch: Stretch, note: str, fine: View) -> Figure:
    """Draw panels in a row, each map below the panel of its index, and a note at the bottom."""
    plt: Any = require("matplotlib.pyplot", extra="viz")
    first = panels[0]
    rows, columns = (side * first.factor for side in first.image.shape[:2])
    pixel_m = fine.pixel_m()
    aspect = 1.0 if pixel_m is None else pixel_m[0] / pixel_m[1]
    panel_in = PANEL_IN * float(np.clip(rows * aspect / columns, 0.25, 4.0))
    row_in = TITLE_IN + panel_in + GAP_IN
    width_in = len(panels) * (PANEL_IN + GAP_IN) + GAP_IN
    height_in = row_in * (2 if maps else 1) + NOTE_IN
    figure: Figure = plt.figure(figsize=(width_in, height_in), dpi=DPI, facecolor="white")

    def place(number: int, row: int) -> Axes:
        left = GAP_IN + number * (PANEL_IN + GAP_IN)
        bottom = height_in - row * row_in - TITLE_IN - panel_in
        return figure.add_axes((left / width_in, bottom / height_in, PANEL_IN / width_in, panel_in / height_in))

    # South-up grids are flipped: north is up in every figure.
    order = slice(None, None, -1) if fine.is_south_up() else slice(None)
    for number, panel in enumerate(panels):
        axes = place(number, 0)
        _show(axes, _enlarged(colored(panel.image, stretch), panel.factor)[order], panel.title, aspect)
        if number == 0 and pixel_m is not None:
            scale_bar(axes, pixel_m[1], columns, rows)
    if maps:
        drawn_values = np.concatenate([np.abs(part.values).ravel() for part in maps.values()])
        widest = float(np.nanpercentile(drawn_values, 99)) if np.isfinite(drawn_values).any() else 0.0
        span = max(widest, 1e-5)
        for number, part in maps.items():
            values = _enlarged(part.values, part.factor)[order]
            style = {"cmap": "RdBu_r", "vmin": -span, "vmax": span}
            picture = _show(place(number, 1), values, part.title, aspect, **style)
        free = min(set(range(len(panels))) - set(maps))
        _color_bar(figure, picture, place(free, 1), span)
    figure.text(GAP_IN / width_in, 0.10 / height_in, note, fontsize=7.5, color="0.3")
    return finish(figure)


def finish(figure: Figure) -> Figure:
    """Close a figure in pyplot if there is no window; otherwise Jupyter shows it twice. Returns the figure."""
    if getattr(figure.canvas, "required_interactive_framework", None) is None:
        plt: Any = require("matplotlib.pyplot", extra="viz")
        plt.close(figure)
    return figure


def colored(image: ImageArray, stretch: Stretch) -> npt.NDArray[np.float32]:
    """Convert reflectance to (y, x, RGBA), 0 to 1, transparent at nodata."""
    low, high = stretch
    values = np.clip((image - low) / (high - low), 0, 1)
    valid = np.isfinite(values).all(axis=-1, keepdims=True)
    if values.shape[-1] == 1:
        values = values.repeat(3, axis=-1)
    return np.concatenate([np.where(valid, values, 0), valid], axis=-1).astype("float32")


def _enlarged(image: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _show(axes: Axes, image: npt.NDArray[np.float32], title: str, aspect: float, **style: Any) -> Any:
    """Draw an image with its title and without ticks, on a gray background."""
    picture = axes.imshow(image, aspect=aspect, interpolation="antialiased", **style)
    axes.set(xticks=[], yticks=[], facecolor="0.8")
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10, loc="left", pad=4)
    return picture


def scale_bar(axes: Axes, pixel_m: float, columns: int, rows: int) -> None:
    """Draw a scale bar of a round length, at most 30 % of the width."""
    from matplotlib import patheffects

    longest_m = columns * pixel_m * 0.3
    power = 10.0 ** math.floor(math.log10(longest_m))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= longest_m)
    left, below = columns * 0.04, rows * 0.955
    text = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    border = [patheffects.withStroke(linewidth=3.6, foreground="black")]
    axes.plot([left, left + length_m / pixel_m], [below, below], color="white", linewidth=2, path_effects=border)
    border = [patheffects.withStroke(linewidth=1.8, foreground="black")]
    axes.text(left, below - rows * 0.02, text, color="white", fontsize=8.5, va="bottom", path_effects=border)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))


def _color_bar(figure: Figure, picture: Any, free: Axes, span: float) -> None:
    free.set_axis_off()
    bar = figure.colorbar(picture, cax=free.inset_axes((0.1, 0.52, 0.8, 0.045)), orientation="horizontal")
    bar.set_ticks([-span, 0, span], labels=[f"−{span:.2g}", "0", f"{span:.2g}"])
    bar.set_label("difference of reflectance, mean of the bands", fontsize=8)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)


def thinned(array: xr.DataArray, max_pixels: int) -> tuple[Any, int]:
    """Compute every n-th pixel of (y, x), so that the longest side has at most `max_pixels`; returns n too."""
    check_whole("max_pixels", max_pixels, least=1)
    dims = spatial_dims(array)
    assert dims is not None
    step = max(1, -(-max(array.sizes[dim] for dim in dims) // max_pixels))
    return array.transpose(*dims)[::step, ::step].values, step


def draw_ground(
    picture: Any, geobox: GeoBox, title: str, *, step: int = 1, legend_in: float = LEGEND_IN, note: str = ""
) -> tuple[Figure, Axes, Any]:
    """Draw (y, x, color), every `step`-th pixel of a grid. legend_in: space on the right; note: a line at the bottom.

    Returns the figure, its axes and the image.
    """
    plt: Any = require("matplotlib.pyplot", extra="viz")
    sides = pixel_size_m(geobox)
    if geobox.crs is not None and geobox.affine.e > 0:
        picture = picture[::-1]
    aspect = 1.0 if sides is None else sides[0] / sides[1]
    rows, columns = picture.shape[:2]
    height_in = WIDTH_IN * float(np.clip(rows * aspect / columns, 0.25, 3.0))
    tall_in = (max(height_in, 1.8) if legend_in else height_in) + HEAD_IN + (LINE_IN if note else EDGE_IN)
    figure: Figure = plt.figure(figsize=(WIDTH_IN + legend_in + 2 * EDGE_IN, tall_in), dpi=DPI, facecolor="white")
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((EDGE_IN / wide, (high - HEAD_IN - height_in) / high, WIDTH_IN / wide, height_in / high))
    image = axes.imshow(picture, aspect=aspect, interpolation="nearest")
    if note:
        figure.text(EDGE_IN / wide, 0.1 / high, note, fontsize=7.5, color="0.3")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="0.6", linewidth=0.5)
    axes.set_title(title, fontsize=10, loc="left", pad=4)
    if sides is not None:
        scale_bar(axes, sides[1] * step, columns, rows)
    return figure, axes, image


def color_key(figure: Figure, axes: Axes, colors: Any, ticks: Mapping[float, str], label: str) -> float:
    """Draw a color bar from 0 to 1 to the right of a map; returns its lower end as a fraction of the figure."""
    from matplotlib.cm import ScalarMappable

    wide, high = figure.get_size_inches()
    box = axes.get_position()
    long_in = min(2.2, box.height * high * 0.7)
    bottom = box.y1 - (0.12 + long_in) / high
    place = figure.add_axes((box.x1 + 0.16 / wide, bottom, 0.16 / wide, long_in / high))
    bar = figure.colorbar(ScalarMappable(cmap=colors), cax=place)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    return float(bottom)


def patch_key(figure: Figure, axes: Axes, entries: Sequence[tuple[str, str]], below: float | None = None) -> None:
    """Draw a legend to the right of a map. below: its top as a fraction of the figure.

    entries: (color, label); with the color "none", text without a patch.
    """
    from matplotlib.patches import Patch

    box = axes.get_position()
    top = box.y1 + 0.01 if below is None else below - 0.08 / figure.get_size_inches()[1]
    handles = [
        Patch(facecolor=color, edgecolor="none" if color == "none" else "0.4", linewidth=0.5, label=label)
        for color, label in entries
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(box.x1 + 0.005, top), frameon=False,
                  fontsize=8.5, labelspacing=0.8, handlelength=1.4, handleheight=1.2)  # fmt: skip
