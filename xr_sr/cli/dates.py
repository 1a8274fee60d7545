"""Select one date of an input by a command-line option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..cube.select import AnyCube
from ..cube.time import nearest_place, read_date
from ..errors import OptionError

MOST_DAYS = 10
"""The largest distance of the nearest date from the requested one: the repeat cycle of one Sentinel-2 satellite."""


def select_date(cube: AnyCube, date: str, *, option: str = "--date", within_days: float | None = None) -> AnyCube:
    """Keep the date nearest to a given one, in every part of a cube that has several.

    option: that the date was given by, for messages. within_days: how far off the nearest may be; None for any.
    Raises OptionError for anything but a date, for a cube without dates, and where the nearest is further off.
    """
    moment = read_date(date, argument=f"{option} {date}")
    parts = _parts(cube)
    stamps = dates_of(cube)
    if not stamps.size:
        dims = ", ".join(dict.fromkeys(str(dim) for part in parts for dim in part.dims))
        raise OptionError(f"{option} {date}: the input has no dates, only {dims or 'nothing'}. Leave {option} out.")
    days = np.nanmin(np.abs((stamps - moment) / np.timedelta64(1, "D")))
    if within_days is not None and not days <= within_days:
        raise OptionError(
            f"{option} {date}: no date of the input is within {within_days:g} days of it. It has {_shown(stamps)}."
        )
    if isinstance(cube, xr.DataTree):
        # From the root: what nodes inherit, their metadata too, stays with them.
        tree: xr.DataTree = cube.root.map_over_datasets(_nearest, moment)[cube.path]
        return tree
    part: xr.DataArray | xr.Dataset = _nearest(cube, moment)
    return part


def dates_of(cube: AnyCube) -> npt.NDArray[np.datetime64]:
    """Return the dates of a cube, of all its parts, ascending and each once."""
    coords = [coord for part in _parts(cube) for coord in part.coords.values() if coord.dtype.kind == "M"]
    found = [np.ravel(coord.values).astype("datetime64[ns]") for coord in coords if coord.ndim < 2]
    return np.unique(np.concatenate(found)) if found else np.empty(0, "datetime64[ns]")


def _parts(cube: AnyCube) -> Sequence[Any]:
    return [node.dataset for node in cube.subtree] if isinstance(cube, xr.DataTree) else [cube]


def _shown(stamps: npt.NDArray[np.datetime64]) -> str:
    texts = stamps.astype("datetime64[D]").astype(str).tolist()
    return ", ".join(texts) if len(texts) <= 6 else f"{texts[0]} to {texts[-1]} ({len(texts)} dates)"


def _nearest(part: Any, moment: np.datetime64) -> Any:
    dims = [dim for dim in part.dims if dim in part.coords and part.coords[dim].dtype.kind == "M"]
    if not dims:
        return part
    return part.isel({dims[0]: nearest_place(part.coords[dims[0]].values, moment)})
