"""Draw maps of improvement, omission and hallucination beside the result that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ..cube.grid import geobox_of, pixel_size_m, spatial_dims
from ..cube.select import AnyCube, model_of, recognize
from ..cube.time import Date, place_of
from ..errors import CubeError, GridError, OptionError
from ..optional import require
from .comparison import choose_bands
from .figure import DPI, colored, finish
from .layers import Sheet
from .ternary_plot import COLORS, QUANTITIES, chosen
from .views import Frame, View, choose_frame, scalar_date

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_IN = 2.7
TITLE_IN, GAP_IN, TOP_IN, KEY_IN = 0.26, 0.06, 0.2, 0.42
MASKED = "#e3e3e3"


def trust_maps(
    correctness: xr.Dataset,
    *,
    sr: AnyCube | Mapping[str, AnyCube] | None = None,
    date: Date = None,
    window: tuple[float, float, float, float] | None = None,
    max_pixels: int = 512,
    percentiles: tuple[float, float] = (2.0, 98.0),
) -> Figure:
    """Draw maps of improvement, omission and hallucination, and of the largest of them; a row per model.

    correctness: maps (..., y, x) of the three, 0 to 1, NaN where not classified; also along `model` and `time`.
    sr: the result that they describe, or a mapping by model, shown beside them in true color; a mapping needs maps
        along `model`.
    date: a time stamp (the nearest date is used) or an index; the first by default.
    window: (left, bottom, right, top) in the unit of the CRS. max_pixels: longest side in pixels of the maps; of larger
        ones the middle is shown. percentiles: of the image, drawn black and white.

    Returns a matplotlib Figure. Computes only the window; the means above the maps are means of the window.
    Raises CubeError for numbers instead of maps, GridError for a window outside of the maps, OptionError for several
    cubes with maps of one, MissingLibraryError without matplotlib.
    """
    require("matplotlib", extra="viz")
    plt: Any = require("matplotlib.pyplot", extra="viz")
    quantities = chosen(correctness)
    cubes = beside(quantities, sr)
    maps, stamp = _at_date(quantities, date)
    dims = spatial_dims(maps)
    if dims is None or set(maps.dims) - {*dims, "model"}:
        raise CubeError(
            f"expected maps along y and x, and along model for several; these have {list(maps.dims)}. "
            "Compute them by xr_sr.metrics.correctness(..., at='pixel'), and select one of any other dimension."
        )
    geobox = geobox_of(maps)
    assert geobox is not None
    frame = choose_frame(Sheet("the maps", maps[QUANTITIES[0]], {}), [], window, max_pixels)
    shown = maps.isel({dims[0]: slice(*frame[:2]), dims[1]: slice(*frame[2:])}).compute()
    models = list(shown.indexes["model"]) if "model" in shown.dims else [None]
    of_all = next(iter(cubes.values()), None)
    found = {model: of_all if model is None else cubes.get(str(model)) for model in models}
    pictures = {model: _picture(cube, stamp, geobox, frame, percentiles) for model, cube in found.items()}
    pictured = any(picture is not None for picture in pictures.values())

    pixel_m = pixel_size_m(geobox)
    aspect = 1.0 if pixel_m is None else pixel_m[0] / pixel_m[1]
    tall = aspect * (frame[1] - frame[0]) / (frame[3] - frame[2])
    count = len(QUANTITIES) + 1 + pictured
    tall_in = PANEL_IN * float(np.clip(tall, 0.25, 4))
    width_in, height_in = count * (PANEL_IN + GAP_IN) + GAP_IN, len(models) * (TITLE_IN + tall_in) + TOP_IN + KEY_IN
    figure: Figure = plt.figure(figsize=(width_in, height_in), dpi=DPI, facecolor="white")

    def axes_at(row: int, column: int) -> Axes:
        left, bottom = GAP_IN + column * (PANEL_IN + GAP_IN), height_in - TOP_IN - (row + 1) * (TITLE_IN + tall_in)
        return figure.add_axes((left / width_in, bottom / height_in, PANEL_IN / width_in, tall_in / height_in))

    order = slice(None, None, -1) if geobox.crs is not None and geobox.affine.e > 0 else slice(None)
    for row, model in enumerate(models):
        part = shown if model is None else shown.sel(model=model)
        three = [part[name].transpose(*dims).values[order] for name in QUANTITIES]
        if pictured:
            axes, picture = axes_at(row, 0), pictures[model]
            _titled(axes, "SR" if model is None else str(model))
            if picture is not None:
                axes.imshow(picture[order], interpolation="antialiased", aspect=aspect)
        lead = f"{model}: " if model is not None and not pictured else ""
        bars = []
        for column, (name, values) in enumerate(zip(QUANTITIES, three, strict=True), int(pictured)):
            bars.append((_quantity(axes_at(row, column), name, values, aspect, lead), column))
            lead = ""
        _prevailing(axes_at(row, count - 1), three, aspect)
    for bar, column in bars:
        left = GAP_IN + column * (PANEL_IN + GAP_IN) + 0.15 * PANEL_IN
        place = figure.add_axes((left / width_in, 0.24 / height_in, 0.7 * PANEL_IN / width_in, 0.07 / height_in))
        legend = figure.colorbar(bar, cax=place, orientation="horizontal", ticks=[0, 0.5, 1])
        legend.ax.tick_params(labelsize=7, length=2)
        legend.outline.set_visible(False)
    _key(figure, 1 - (PANEL_IN / 2 + GAP_IN) / width_in, KEY_IN / height_in)
    if stamp is not None:
        date_text = str(stamp.astype("datetime64[D]"))
        figure.text(GAP_IN / width_in, 1 - 0.04 / height_in, date_text, fontsize=8, color="0.3", va="top")
    return finish(figure)


def by_model(sr: AnyCube | Mapping[str, AnyCube] | None) -> dict[str, AnyCube]:
    """Return cubes by model: those of a mapping or along a dimension `model`; one cube by the model that it names."""
    if sr is None:
        return {}
    if isinstance(sr, xr.DataArray | xr.Dataset) and "model" in sr.dims:
        return {str(name): sr.sel(model=name, drop=True) for name in sr.indexes["model"]}
    if isinstance(sr, xr.DataArray | xr.Dataset | xr.DataTree):
        return {model_of(sr) or "SR": sr}
    return {str(name): cube for name, cube in sr.items()}


def beside(maps: xr.Dataset, sr: AnyCube | Mapping[str, AnyCube] | None) -> dict[str, AnyCube]:
    """Return the cubes to be shown beside maps, by model; a single one for maps without a dimension of models.

    Raises OptionError if it is unknown which of several maps a cube belongs to, or which of several cubes to maps.
    """
    cubes = by_model(sr)
    if "model" in maps.dims:
        names = [str(name) for name in maps.indexes["model"]]
        if not isinstance(sr, xr.DataArray | xr.Dataset | xr.DataTree) or set(cubes) & set(names):
            return cubes
        if len(names) > 1:
            raise OptionError(
                f"the maps describe {names}, and sr= is one cube, by {next(iter(cubes))}. Pass "
                "sr={name: cube, ...}, or select the maps of that cube."
            )
        return dict(zip(names, cubes.values(), strict=False))
    own = str(maps["model"].item()) if "model" in maps.coords else ""
    if own in cubes:
        return {own: cubes[own]}
    if len(cubes) > 1:
        raise OptionError(
            f"the maps have no dimension 'model', so it is unknown which of {list(cubes)} they describe. Compute them "
            "with the same mapping, xr_sr.metrics.correctness(lr, {name: cube, ...}, hr, at='pixel'), or pass the one "
            "cube that they describe as sr=."
        )
    return cubes


def _at_date(maps: xr.Dataset, date: Date) -> tuple[xr.Dataset, np.datetime64 | None]:
    """Select one date; returns the date too."""
    if "time" in maps.dims:
        maps = maps.isel(time=place_of(date, maps["time"].values, holder="the maps"))
    return maps, scalar_date(maps)


def _picture(
    sr: AnyCube | None,
    stamp: np.datetime64 | None,
    geobox: GeoBox,
    frame: Frame,
    percentiles: tuple[float, float],
) -> npt.NDArray[np.float32] | None:
    """Return (y, x, red green blue alpha) of the area of the maps, 0 to 1."""
    if sr is None:
        return None
    cube = recognize(sr)
    view = View.of(cube, "SR", choose_bands(cube.available, None)).at(stamp)
    to_cube = ~cube.geobox.affine @ geobox.affine
    (left, top), (right, bottom) = to_cube @ (frame[2], frame[0]), to_cube @ (frame[3], frame[1])
    height, width = cube.geobox.shape
    # Patches may reach beyond the cube.
    inner = (max(0, round(top)), min(height, round(bottom)), max(0, round(left)), min(width, round(right)))
    if cube.geobox.crs != geobox.crs or inner[0] >= inner[1] or inner[2] >= inner[3]:
        raise GridError("the maps and sr= do not overlap; pass the cube that the maps were computed from.")
    image = np.moveaxis(view.read(inner, view).values, 0, -1)
    low, high = np.nanpercentile(image, percentiles, axis=(0, 1))
    return colored(image, (low, np.maximum(high, low + 1e-4)))


def _titled(axes: Any, title: str) -> None:
    axes.set(xticks=[], yticks=[], facecolor=MASKED)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9, loc="left", pad=3, color="0.1")


def _quantity(axes: Any, name: str, values: npt.NDArray[Any], aspect: float, lead: str) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    ramp = LinearSegmentedColormap.from_list(name, ["white", COLORS[name]])
    mean = f" {np.nanmean(values):.2f}" if np.isfinite(values).any() else ""
    _titled(axes, f"{lead}{name}{mean}")
    return axes.imshow(
        np.ma.masked_invalid(values), cmap=ramp, vmin=0, vmax=1, aspect=aspect, interpolation="antialiased"
    )


def _prevailing(axes: Any, three: list[npt.NDArray[Any]], aspect: float) -> None:
    from matplotlib.colors import ListedColormap

    stack = np.stack(three)
    valid = np.isfinite(stack).all(axis=0)
    largest = np.ma.masked_array(np.where(np.isfinite(stack), stack, -1).argmax(axis=0), ~valid)
    _titled(axes, "prevailing")
    colors = ListedColormap([COLORS[name] for name in QUANTITIES])
    axes.imshow(largest, cmap=colors, vmin=-0.5, vmax=2.5, aspect=aspect, interpolation="nearest")


def _key(figure: Figure, center: float, top: float) -> None:
    from matplotlib.patches import Patch

    parts = [Patch(facecolor=COLORS[name], label=name) for name in QUANTITIES]
    parts.append(Patch(facecolor=MASKED, label="not classified"))
    style: dict[str, Any] = {"handlelength": 1, "handletextpad": 0.4, "columnspacing": 0.9, "borderaxespad": 0.3}
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (center, top)}
    figure.legend(handles=parts, fontsize=7, ncols=2, frameon=False, **place, **style)
