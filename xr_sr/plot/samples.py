"""Draw images of one place in a row, in true color with a stretch for dark and bright ground: of the samples.

For the demo and the documentation, of small cubes in memory; `comparison` is for cubes of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ..optional import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POND = (680_970, 4_207_350, 681_270, 4_207_650)
"""Of `sample("virginia")`: left, bottom, right, top in the unit of its CRS. Forest, a pond, bare ground and a track."""

_TRUE_COLOR = ["B04", "B03", "B02"]
_GAMMA = 0.7
"""The forest is dark beside the bare ground."""


def in_a_row(images: Mapping[str, xr.Dataset], window: tuple[float, float, float, float] = POND) -> Figure:
    """Draw a window of images by their titles. The last is the reference: its 0.5 and 99.5 % are black and white.

    images: with the variables B04, B03, B02 in reflectance, (y, x).
    """
    require("matplotlib", extra="viz")
    from matplotlib.figure import Figure

    left, bottom, right, top = window
    shown = {
        title: image[_TRUE_COLOR].sel(x=slice(left, right), y=slice(top, bottom)).to_dataarray().values
        for title, image in images.items()
    }
    low, high = np.nanpercentile([*shown.values()][-1], (0.5, 99.5))
    figure = Figure(figsize=(2.6 * len(shown), 2.85), dpi=150)
    for panel, (title, image) in zip(np.ravel(figure.subplots(1, len(shown))), shown.items(), strict=True):
        colors = ((image - low) / (high - low)).clip(0, 1) ** _GAMMA
        panel.imshow(colors.transpose(1, 2, 0), interpolation="nearest")
        panel.set_title(title, fontsize=11, color="0.25", loc="left")
        panel.set_axis_off()
    figure.subplots_adjust(left=0.005, right=0.995, top=0.9, bottom=0.01, wspace=0.03)
    return figure
