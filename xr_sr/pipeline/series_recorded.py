"""What `multiframe` measured of the dates of a cube, read back from a result, so that it is not measured again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import shown
from ..errors import GridError, OptionError
from ..kernels.kriging_filters import Doubles
from .series_block import DOWN, FIRST, QUALITY, RIGHT, WEIGHT

BY_DATE = {"shift_y": DOWN, "shift_x": RIGHT, "shift_quality": QUALITY, "region_weight": WEIGHT}
"""Variables (date, region_y, region_x) of a result, and their place in a table."""

BY_BAND = ("gain", "offset")
"""Variables (date, region_y, region_x, measured_band), one after the other from FIRST on."""

EDGES = {axis: (f"region_{axis}_start", f"region_{axis}_stop") for axis in ("y", "x")}
"""Coordinates of regions, in the unit of the CRS, along the direction of rows and of columns."""

NEEDED = (*BY_DATE, *BY_BAND, "date", "window", "measured_band", *EDGES["y"], *EDGES["x"])

CLOSE_PX = 1e-3
"""Pixels by which the edge of a region may lie beside an edge of pixels, and a shift be longer than the longest."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """Tables of all dates: (date, region y, region x, number).

    dates: of the tables. windows: the date that the window of each shows. rows, columns: edges of regions, in pixels
    of the cube that it is used for, beyond which they may lie.
    """

    tables: Doubles
    dates: Any
    windows: Any
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @staticmethod
    def of(given: object, bands: Sequence[str], geobox: GeoBox) -> Recorded:
        """Read a result, for a cube with these bands on a grid of the same pixels: the whole of it or a crop.

        Raises OptionError for what is no result or lacks a band, GridError for another grid.
        """
        if not isinstance(given, xr.Dataset) or (lacking := [name for name in NEEDED if name not in given.variables]):
            what = f"it lacks {lacking}" if isinstance(given, xr.Dataset) else f"got {shown(given)}"
            raise OptionError(
                f"registration=: expected a result of multiframe, or of it the variables {[*BY_DATE, *BY_BAND]} with "
                f"their coordinates; {what}."
            )
        labels = [str(label) for label in given["measured_band"].values]
        if missing := [band for band in bands if band not in labels]:
            raise OptionError(
                f"registration= was measured in {labels}, not in {missing}. Pass one of these bands, or leave it out."
            )
        own = given[[*BY_DATE, *BY_BAND]].transpose("date", "region_y", "region_x", "measured_band").load()
        places = [labels.index(band) for band in bands]
        tables = np.concatenate(
            [
                np.stack([own[name].values for name in BY_DATE], axis=-1),
                *(own[name].values[..., places] for name in BY_BAND),
            ],
            axis=-1,
        )
        assert list(BY_DATE.values()) == list(range(FIRST))
        edges = [
            _edges(np.append(given[start].values, given[stop].values[-1]), geobox, axis)
            for axis, (start, stop) in EDGES.items()
        ]
        return Recorded(tables, given["date"].values, given["window"].values, edges[0], edges[1])

    def shown(self, stamps: Any, dates: Sequence[int]) -> int:
        """Return the position of the date that a window shows. dates: of the window; stamps: of the whole cube."""
        found = {str(self.windows[place]) for date in dates for place in np.flatnonzero(self.dates == stamps[date])}
        at = [date for date in dates if str(stamps[date].astype(self.windows.dtype)) in found]
        if len(found) != 1 or not at:
            raise OptionError(
                f"registration= has no window of the dates {[str(stamps[date])[:10] for date in dates]}; expected a "
                "result of the same window= and dates. Leave registration= out, and they are measured."
            )
        return at[-1]

    def table(self, stamps: Any, dates: Sequence[int], max_shift: float) -> Doubles:
        """Return the table of a window, whose first date is the one shown: (region y, region x, date, number).

        Raises OptionError for dates that were not measured, and for shifts longer than max_shift, of dates that count.
        """
        seen: dict[str, int] = {}
        places = []
        for date in dates:
            same = np.flatnonzero(self.dates == stamps[date])
            turn = seen.get(str(stamps[date]), 0)
            if turn >= len(same):
                raise OptionError(
                    f"registration= has no date {stamps[date]}; expected a result of the same dates. Leave it out, and "
                    "they are measured."
                )
            seen[str(stamps[date])] = turn + 1
            places.append(int(same[turn]))
        table = np.moveaxis(self.tables[places[1:]], 0, 2)
        longest = float(np.abs(table[table[..., WEIGHT] > 0][:, [DOWN, RIGHT]]).max(initial=0))
        if longest > max_shift + CLOSE_PX:
            raise OptionError(
                f"max_shift={max_shift:g}: registration= has shifts up to {longest:.2f} pixels. Pass "
                f"max_shift={math.ceil(longest)}, or leave registration= out, and shifts are measured."
            )
        return table


def region_bounds(rows: Sequence[int], columns: Sequence[int], geobox: GeoBox) -> dict[str, xr.Variable]:
    """Return the edges of regions in the unit of the CRS, as coordinates along regions."""
    affine = geobox.affine
    found = {}
    for name, edges, start, step in (("y", rows, affine.f, affine.e), ("x", columns, affine.c, affine.a)):
        places = start + step * np.array(edges, float)
        for coordinate, edge, values in zip(EDGES[name], ("first", "last"), (places[:-1], places[1:]), strict=True):
            attrs = {"long_name": f"{edge} edge of a region along {name}"}
            if geobox.crs is not None:
                attrs["units"] = dict(zip("yx", geobox.crs.units, strict=True))[name]
            found[coordinate] = xr.Variable((f"region_{name}",), values, attrs)
    return found


def _edges(places: Doubles, geobox: GeoBox, axis: str) -> tuple[int, ...]:
    affine = geobox.affine
    start, step = (affine.f, affine.e) if axis == "y" else (affine.c, affine.a)
    pixels = (places - start) / step
    whole = np.round(pixels)
    if np.abs(pixels - whole).max() > CLOSE_PX or (np.diff(whole) <= 0).any():
        raise GridError(
            f"registration= is of another grid: its regions begin at {places[0]:g} along {axis}, which is no edge "
            "of this cube's pixels. Use it for the same cube or a crop of it."
        )
    return tuple(int(pixel) for pixel in whole)
