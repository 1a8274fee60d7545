"""Draw improvement, omission and hallucination in a ternary plot: they add up to 1, so each image is a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..cube.grid import spatial_dims
from ..errors import CubeError
from ..optional import require
from .figure import DPI, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTITIES = ("improvement", "omission", "hallucination")

COLORS = {"improvement": "#0072b2", "omission": "#e6a817", "hallucination": "#d55e00"}
"""Distinguishable with red-green color blindness, and in gray by lightness."""

INKS = COLORS | {"omission": "#9a6d00"}
"""The same for text, dark enough to be read on white."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#7a5195", "#e6a817", "#56b4e9", "#555555", "#cc79a7")
MARKERS = "osD^vP*X"

_HEIGHT = math.sqrt(3) / 2
_CORNERS = {"improvement": (0.5, _HEIGHT), "omission": (0.0, 0.0), "hallucination": (1.0, 0.0)}

BINS = 120
"""Cells of a density along each axis."""

FEW = 12
"""Up to this number of cells each gets a marker, since a single cell is hardly visible."""

PANEL_IN = 3.9


def ternary(correctness: xr.Dataset, *, title: str | None = None) -> Figure:
    """Draw improvement, omission and hallucination in a ternary plot.

    correctness: variables improvement, omission and hallucination, 0 to 1. Numbers are drawn as points, with a color
        and a marker per `model`; maps (with y and x) as a density of pixels, one triangle per model. NaN is ignored.

    Returns a matplotlib Figure. Computes the three variables; of lazy maps only counts are kept.
    Raises CubeError without the three variables or without a valid value, MissingLibraryError without matplotlib.
    """
    require("matplotlib", extra="viz")
    plt: Any = require("matplotlib.pyplot", extra="viz")
    three = chosen(correctness)
    models = [None] if "model" not in three.dims else list(three.indexes["model"])
    parts = [three if model is None else three.sel(model=model) for model in models]
    dense = spatial_dims(three) is not None
    panels = len(models) if dense else 1
    tall_in = PANEL_IN * (0.8 if dense else 0.94)
    figure: Figure = plt.figure(figsize=(PANEL_IN * panels, tall_in), dpi=DPI, facecolor="white", layout="constrained")
    axes = [figure.add_subplot(1, panels, 1 + number) for number in range(panels)]
    drawn = 0
    if dense:
        for place, part, model in zip(axes, parts, models, strict=True):
            _frame(place)
            drawn += _density(figure, place, part)
            place.set_title(str(model) if model is not None else title or "", fontsize=10)
        if title and models[0] is not None:
            figure.suptitle(title, fontsize=10)
    else:
        _frame(axes[0])
        drawn = _points(axes[0], parts, models)
        axes[0].set_title(title or "", fontsize=10)
    finish(figure)
    if not drawn:
        raise CubeError("improvement, omission and hallucination are NaN everywhere; there is nothing to draw.")
    return figure


def chosen(correctness: xr.Dataset) -> xr.Dataset:
    """Return the three quantities. Raises CubeError if one is missing."""
    known = correctness if isinstance(correctness, xr.Dataset) else ()
    if missing := [name for name in QUANTITIES if name not in known]:
        raise CubeError(
            f"expected the result of xr_sr.metrics.correctness, with {list(QUANTITIES)}; {missing} are missing."
        )
    return correctness[list(QUANTITIES)]


def places(improvement: Any, omission: Any, hallucination: Any) -> tuple[Any, Any]:
    """Return positions in the plot: x 0 to 1, y 0 to the height of the triangle, NaN where the three add up to 0."""
    total = improvement + omission + hallucination
    total = np.where(total > 0, total, np.nan)
    return (improvement / 2 + hallucination) / total, improvement * _HEIGHT / total


def _points(axes: Axes, parts: Sequence[xr.Dataset], models: Sequence[Any]) -> int:
    drawn = 0
    for number, (part, model) in enumerate(zip(parts, models, strict=True)):
        values = xr.broadcast(*(part[name] for name in QUANTITIES))
        x, y = places(*(np.asarray(value.values, "float64").ravel() for value in values))
        valid = np.isfinite(x)
        drawn += int(valid.sum())
        style: dict[str, Any] = {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}
        size = 46 if valid.sum() <= 12 else 22
        axes.scatter(
            x[valid], y[valid], s=size, edgecolor="white", linewidth=0.8, zorder=4, alpha=0.9, label=str(model), **style
        )
    if models[0] is not None:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(-0.04, 1.02), handletextpad=0.2)
    return drawn


def _density(figure: Figure, axes: Axes, part: xr.Dataset) -> int:
    """Draw the number of pixels per cell, on a logarithmic scale; returns the number of pixels."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, LogNorm
    from matplotlib.patches import Polygon

    counts, x_edges, y_edges = _histogram([part[name].data for name in QUANTITIES])
    total = int(counts.sum())
    if not total:
        return 0
    share = np.ma.masked_equal(counts.T / total, 0)
    # The palest blues are hardly visible on white.
    blues = ListedColormap(colormaps["Blues"](np.linspace(0.2, 1, 256)))
    most = max(float(share.max()), 2e-6)
    # At least a tenth, so that a single value has a scale too.
    norm = LogNorm(vmin=min(max(float(share.min()), 1e-6), most / 10), vmax=most)
    picture = axes.pcolormesh(x_edges, y_edges, share, cmap=blues, norm=norm, zorder=2, rasterized=True)
    picture.set_clip_path(Polygon(list(_CORNERS.values()), transform=axes.transData))
    filled = np.argwhere(counts)
    if len(filled) <= FEW:
        x, y = ((edges[at] + edges[at + 1]) / 2 for edges, at in zip((x_edges, y_edges), filled.T, strict=True))
        colors = share.T[counts > 0].filled()
        axes.scatter(x, y, s=46, c=colors, cmap=blues, norm=norm, edgecolor="0.25", linewidth=0.8, zorder=4)
    bar = figure.colorbar(picture, ax=axes, shrink=0.55, aspect=22, pad=0.01)
    bar.set_label("share of pixels", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return total


def _histogram(three: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    edges = np.linspace(0, 1, BINS + 1), np.linspace(0, _HEIGHT, BINS + 1)
    if all(isinstance(values, np.ndarray) for values in three):
        return cells(*three, edges=edges), *edges
    three = da.broadcast_arrays(*map(da.asarray, three))
    three = [values.rechunk(three[0].chunks) for values in three]
    counts = da.map_blocks(
        _block_cells,
        *three,
        edges,
        dtype="float64",
        chunks=(*((1,) * n for n in three[0].numblocks), BINS, BINS),
        new_axis=(three[0].ndim, three[0].ndim + 1),
        meta=np.empty((0,) * (three[0].ndim + 2)),
    )
    return counts.sum(axis=tuple(range(three[0].ndim))).compute(), *edges


def cells(
    improvement: NDArray[Any], omission: NDArray[Any], hallucination: NDArray[Any], *, edges: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """Count points per cell (x, y); NaN is ignored."""
    x, y = places(*(np.asarray(values, "float64").ravel() for values in (improvement, omission, hallucination)))
    valid = np.isfinite(x) & np.isfinite(y)
    # Rounding may move points on the edge out of the triangle.
    x, y = (np.clip(axis[valid], side[0], side[-1]) for axis, side in zip((x, y), edges, strict=True))
    counts: NDArray[np.float64] = np.histogram2d(x, y, bins=list(edges))[0]
    return counts


def _block_cells(
    improvement: NDArray[Any], omission: NDArray[Any], hallucination: NDArray[Any], edges: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    counts = cells(improvement, omission, hallucination, edges=edges)
    return counts.reshape((1,) * improvement.ndim + counts.shape)


def _frame(axes: Axes) -> None:
    corners = {name: np.array(place) for name, place in _CORNERS.items()}
    names = list(QUANTITIES)
    for name in names:
        one, other = (corners[rest] for rest in names if rest != name)
        for fifth in (0.2, 0.4, 0.6, 0.8):
            ends = np.stack([corners[name] * fifth + end * (1 - fifth) for end in (one, other)])
            axes.plot(*ends.T, color=COLORS[name], linewidth=0.5, alpha=0.45, zorder=1)
    # Numbers are placed where the lines of a corner meet the edge that runs to it.
    for name, end, shift, side in (
        ("improvement", "omission", (-0.015, 0.006), "right"),
        ("omission", "hallucination", (-0.012, -0.03), "center"),
        ("hallucination", "improvement", (0.015, 0.006), "left"),
    ):
        for fifth in (0.2, 0.4, 0.6, 0.8):
            place = corners[name] * fifth + corners[end] * (1 - fifth) + np.array(shift)
            axes.text(
                float(place[0]), float(place[1]), f"{fifth:.1f}", fontsize=6.5, color=INKS[name], ha=side, va="center"
            )
    outline = np.stack([*corners.values(), corners[names[0]]])
    axes.plot(*outline.T, color="0.25", linewidth=1.0, zorder=3)
    for name, align, up in (
        ("improvement", "center", 0.035),
        ("omission", "left", -0.075),
        ("hallucination", "right", -0.075),
    ):
        x, y = _CORNERS[name]
        beside = {"center": 0.0, "left": -0.06, "right": 0.06}[align]
        axes.text(x + beside, y + up, name, fontsize=9, color=INKS[name], ha=align, va="center", fontweight="bold")
    axes.set(xlim=(-0.08, 1.08), ylim=(-0.12, _HEIGHT + 0.08), aspect="equal")
    axes.set_axis_off()
