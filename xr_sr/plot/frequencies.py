"""A map of how often there was water, and of what nobody saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..cube.grid import geobox_of, spatial_dims
from ..errors import CubeError
from ..optional import require
from .floods import COLOURS
from .ground import colour_key, draw_ground, finish, patch_key, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def frequency_map(history: xr.Dataset | xr.DataArray, *, max_pixels: int = 1024) -> Figure:
    """Draw the share of dates with water.

    history: what `water_history` gave, or its `frequency` (y, x), 0 to 1, NaN where no date saw the pixel.
    max_pixels: longest side of the picture; of what is larger, every n-th pixel is drawn.

    Returns a matplotlib Figure; North is up. Pixels without water on any date have a colour of their own, so that a
    single date with water stands out. Computes the map. Raises CubeError for anything else, MissingLibraryError.
    """
    frequency, dates = _parts(history)
    require("matplotlib", extra="viz")
    geobox = geobox_of(frequency)
    assert geobox is not None
    values, step = thinned(frequency, max_pixels)
    shown = np.ma.masked_where(~(values > 0), values)
    picture = _ramp()(shown)[..., :3]
    from matplotlib.colors import to_rgb

    picture[~np.isfinite(values)] = to_rgb(COLOURS["unknown"])
    picture[values == 0] = to_rgb(COLOURS["dry"])
    figure, axes, _ = draw_ground(picture, geobox, f"frequency of water{dates}", step=step)
    ticks = {share: f"{share:.0%}" for share in (0.0, 0.25, 0.5, 0.75, 1.0)}
    below = colour_key(figure, axes, _ramp(), ticks, "share of the dates that saw the pixel")
    others = [("dry", "never water", (values == 0).any()), ("unknown", "never seen", not np.isfinite(values).all())]
    patch_key(figure, axes, [(COLOURS[name], label) for name, label, is_there in others if is_there], below)
    return finish(figure)


def _parts(history: xr.Dataset | xr.DataArray) -> tuple[xr.DataArray, str]:
    """Return the frequency, and how many dates saw the pixels."""
    frequency = history.get("frequency") if isinstance(history, xr.Dataset) else history
    if (
        not isinstance(frequency, xr.DataArray)
        or frequency.dtype.kind != "f"
        or frequency.ndim != 2
        or spatial_dims(frequency) is None
    ):
        raise CubeError("frequency_map draws what water_history() gave; this has no frequency along y and x.")
    dates = ""
    if isinstance(history, xr.Dataset) and "observations" in history:
        fewest, most = int(history["observations"].min()), int(history["observations"].max())
        dates = f", {most} dates" if fewest == most else f", {fewest} to {most} dates"
    return frequency, dates


def _ramp() -> Any:
    """From a light to a dark blue, which all eyes and grey prints put in order; the palest would look like land."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["GnBu"](np.linspace(0.3, 1, 256)))
