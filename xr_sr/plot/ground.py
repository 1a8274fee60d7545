"""One map as a figure: north up, a title, a bar of scale, and room for a legend on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import check_whole
from ..cube.grid import pixel_size_m, spatial_dims
from ..optional import require
from .layout import DPI, scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN, LEGEND_IN, TITLE_IN, EDGE_IN, NOTE_IN = 5.2, 2.0, 0.35, 0.1, 0.32


def thinned(array: xr.DataArray, max_pixels: int) -> tuple[Any, int]:
    """Compute every n-th pixel of (y, x), so that the longest side has at most `max_pixels`; gives n too."""
    check_whole("max_pixels", max_pixels, least=1)
    dims = spatial_dims(array)
    assert dims is not None
    step = max(1, -(-max(array.sizes[dim] for dim in dims) // max_pixels))
    return array.transpose(*dims)[::step, ::step].values, step


def draw_ground(
    picture: Any, geobox: GeoBox, title: str, *, step: int = 1, legend_in: float = LEGEND_IN, note: str = ""
) -> tuple[Figure, Axes, Any]:
    """Draw (y, x, colour), every `step`-th pixel of a grid. legend_in: room on the right; note: a line at the bottom.

    Returns the figure, its axes and the image.
    """
    plt: Any = require("matplotlib.pyplot", extra="viz")
    sides = pixel_size_m(geobox)
    if geobox.crs is not None and geobox.affine.e > 0:
        picture = picture[::-1]
    aspect = 1.0 if sides is None else sides[0] / sides[1]
    rows, columns = picture.shape[:2]
    height_in = WIDTH_IN * float(np.clip(rows * aspect / columns, 0.25, 3.0))
    tall_in = (max(height_in, 1.8) if legend_in else height_in) + TITLE_IN + (NOTE_IN if note else EDGE_IN)
    figure: Figure = plt.figure(figsize=(WIDTH_IN + legend_in + 2 * EDGE_IN, tall_in), dpi=DPI, facecolor="white")
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((EDGE_IN / wide, (high - TITLE_IN - height_in) / high, WIDTH_IN / wide, height_in / high))
    image = axes.imshow(picture, aspect=aspect, interpolation="nearest")
    if note:
        figure.text(EDGE_IN / wide, 0.1 / high, note, fontsize=7.5, color="0.3")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="0.6", linewidth=0.5)
    axes.set_title(title, fontsize=10, loc="left", pad=4)
    if sides is not None:
        scale_bar(axes, sides[1] * step, columns, rows)
    return figure, axes, image


def colour_key(figure: Figure, axes: Axes, colours: Any, ticks: Mapping[float, str], label: str) -> float:
    """Put a scale of colours, from 0 to 1, to the right of a map; gives where it ends, as a share of the figure."""
    from matplotlib.cm import ScalarMappable

    wide, high = figure.get_size_inches()
    box = axes.get_position()
    long_in = min(2.2, box.height * high * 0.7)
    bottom = box.y1 - (0.12 + long_in) / high
    place = figure.add_axes((box.x1 + 0.16 / wide, bottom, 0.16 / wide, long_in / high))
    bar = figure.colorbar(ScalarMappable(cmap=colours), cax=place)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    return float(bottom)


def patch_key(figure: Figure, axes: Axes, entries: Sequence[tuple[str, str]], below: float | None = None) -> None:
    """Name colours to the right of a map. entries: (colour, label). below: where to begin, as a share of the figure."""
    from matplotlib.patches import Patch

    box = axes.get_position()
    top = box.y1 + 0.01 if below is None else below - 0.08 / figure.get_size_inches()[1]
    handles = [Patch(facecolor=colour, edgecolor="0.4", linewidth=0.5, label=label) for colour, label in entries]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(box.x1 + 0.005, top), frameon=False,
                  fontsize=8.5, labelspacing=0.8, handlelength=1.4, handleheight=1.2)  # fmt: skip


def finish(figure: Figure) -> Figure:
    """Let pyplot forget a figure where there is no window to keep it for, or Jupyter shows it twice."""
    if getattr(figure.canvas, "required_interactive_framework", None) is None:
        plt: Any = require("matplotlib.pyplot", extra="viz")
        plt.close(figure)
    return figure
