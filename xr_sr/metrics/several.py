"""Several super-resolved cubes in one call, by name: what a measure gives for each, along a dimension `model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import xarray as xr

from ..errors import CubeError
from .inputs import Image


def for_each_model(sr: Image | Mapping[str, Image], measure: Callable[[Image], xr.Dataset]) -> xr.Dataset:
    """Measure one cube, or each of several; only the latter gives a dimension `model`."""
    if isinstance(sr, xr.DataArray | xr.Dataset):
        return measure(sr)
    if not isinstance(sr, Mapping) or not sr:
        raise CubeError(
            f"sr must be a cube or a dictionary of cubes by name, such as {{'bicubic': cube}}; it is {sr!r:.60}."
        )
    made = [measure(cube) for cube in sr.values()]
    names = xr.DataArray([str(name) for name in sr], dims="model", name="model")
    return xr.concat(made, names, combine_attrs="drop_conflicts", join="exact")
