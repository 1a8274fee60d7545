"""Several super-resolved cubes in one call, by name: what a measure gives for each, along a dimension `model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import xarray as xr

from ..cube.names import listed
from ..errors import CubeError, GridError, MissingBandError
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
    _check_alike(list(map(str, sr)), made)
    names = xr.DataArray([str(name) for name in sr], dims="model", name="model")
    return xr.concat(made, names, combine_attrs="drop_conflicts", join="exact")


def _check_alike(names: Sequence[str], made: Sequence[xr.Dataset]) -> None:
    """Raise unless results can stand side by side: MissingBandError for bands, CubeError for dates, GridError."""
    first = made[0]
    for name, found in zip(names[1:], made[1:], strict=True):
        for dim in first.sizes:
            if dim in found.sizes and first[dim].equals(found[dim]):
                continue
            labels, others = (list(one[dim].values) if dim in one.sizes else [] for one in (first, found))
            kind = first[dim].dtype.kind
            if kind in "OUT" or dim == "band":
                raise MissingBandError(
                    f"models side by side need the same bands: {names[0]!r} has {listed(labels)}, {name!r} has "
                    f"{listed(others)}. Give all the same ones, in one order and by the same names, for instance by "
                    f".sel({dim}=[...]); or measure them one by one."
                )
            if kind == "M":
                raise CubeError(
                    f"models side by side need the same dates; {names[0]!r} and {name!r} differ along {dim!r}, with "
                    f"{len(labels)} and {len(others)}. Select the same ones, or measure them one by one."
                )
            raise GridError(
                f"models side by side need one grid; {names[0]!r} and {name!r} differ along {dim!r}, with "
                f"{len(labels)} and {len(others)} pixels. Measure them one by one, or bring them to one grid."
            )
