"""Map water: an index compared with a threshold, as a map of three classes, for each date."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_choice, check_number, count_of, is_one_of, shown
from ..cube.coordinates import placed
from ..cube.lazy import kept_unread
from ..cube.select import AnyCube
from ..cube.sensors import FOR_INDICES, explains_sensors
from ..cube.time import time_dim
from ..errors import CubeError, OptionError, warns_once
from ..radiometry.resolve import OWN_ATTR, Nodata, Offset, Quantification
from .bands import GridChoice, check_options
from .classes import LEVEL_ATTR, UNKNOWN, WATER, as_class_map, as_water, is_map_of
from .indices import NAME_ATTR, index
from .thresholds import Per, otsu

Threshold: TypeAlias = "float | Literal['otsu'] | xr.DataArray"
"""A threshold of the index, the method that finds it, or thresholds found before, one number or one for each date."""


@warns_once
@explains_sensors(FOR_INDICES)
def water(
    cube: AnyCube,
    index: str | None = "MNDWI",
    threshold: Threshold = "otsu",
    per: Per = "cube",
    *,
    grid: GridChoice | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
) -> xr.DataArray:
    """Map water: where an index is above a threshold.

    cube: bands at LR or SR; clouds are unknown where they were masked before (`cube.sr.mask()`). A map that `water`
        made comes back as it is, and the other arguments are checked only. index: of which water has high values;
        None where `cube` is the index itself.
    threshold: "otsu", a number, or thresholds as `otsu` returns them. per: with "otsu", one threshold for the whole
        "cube" or one for each "date"; lazy, and the same for every chunking. grid and the rest: as in `index`.

    Returns (time?, y, x) uint8, lazy: 0 dry, 1 water, 255 unknown, with the coordinate `threshold`. Otsu's method
    splits any scene in two: without water it splits land. Look at the threshold, and pass a number where it is
    implausible.
    """
    check_threshold(threshold, per)
    check_options(grid=grid, offset=offset, quantification=quantification, nodata=nodata)
    if is_map_of(cube, "water"):
        assert isinstance(cube, xr.DataArray)
        return as_water(cube, role="the cube")
    values = index_of(
        cube, index, grid=grid, offset=offset, quantification=quantification, nodata=nodata, reader="water"
    )
    made = classify(values, level_of([values], threshold, per))
    made.attrs[LEVEL_ATTR] = level_text(threshold, per)
    return made


def index_of(cube: AnyCube, name: str | None, *, reader: str, **options: Any) -> xr.DataArray:
    """Compute an index, or take the DataArray that is one."""
    if name is not None:
        computed: xr.DataArray = index(cube, name, **options)
        return computed
    if not isinstance(cube, xr.DataArray) or cube.dtype.kind != "f":
        raise CubeError(
            f"{reader} with index=None expects the index itself, a DataArray of floats, as index() returns it; this is "
            f"a {type(cube).__name__}. Name an index to compute it from bands."
        )
    return placed(kept_unread(cube))


def check_threshold(threshold: Threshold, per: Per) -> None:
    """Raise OptionError for what is no threshold or no choice of thresholds, also where a map of water needs none."""
    check_choice("per", per, ("cube", "date"))
    if not isinstance(threshold, xr.DataArray) and not is_one_of(threshold, ("otsu",)):
        _number_of(threshold)


def level_of(maps: list[xr.DataArray], threshold: Threshold, per: Per) -> xr.DataArray:
    """Return the threshold of some maps of an index, which share it unless there is one per date."""
    if is_one_of(threshold, ("otsu",)):
        return otsu(maps, per=per)
    if isinstance(threshold, xr.DataArray):
        return threshold
    return xr.DataArray(_number_of(threshold), name="threshold", attrs={"long_name": "level as passed"})


def _number_of(threshold: object) -> float:
    try:
        return check_number("threshold", threshold)
    except OptionError:
        raise OptionError(
            f"threshold={shown(threshold)} is neither 'otsu' nor a number, such as 0.1. Levels found before, one for "
            "each date, are a DataArray (time)."
        ) from None


def level_text(threshold: Threshold, per: Per) -> str:
    """Describe a threshold: a number, the method, or that it was passed."""
    if isinstance(threshold, str):
        return f"{threshold}, one per {per}"
    if isinstance(threshold, xr.DataArray):
        return "as passed" if threshold.ndim or threshold.chunks is not None else f"{float(threshold):.12g}"
    return f"{float(threshold):.12g}"


def classify(values: xr.DataArray, level: xr.DataArray) -> xr.DataArray:
    """Compare an index with a level. level: a scalar, or one for each date of `values`."""
    time = time_dim(values)
    if extra := [dim for dim in level.dims if dim != time]:
        raise OptionError(f"threshold= lies along {extra}; it can be one number, or one for each date.")
    if level.dims and level.sizes[time] != values.sizes[time]:
        raise OptionError(f"threshold= has {count_of(level.sizes[time], 'date')}, the cube {values.sizes[time]}.")
    if level.dims and time in level.indexes and time in values.indexes:
        dates = level[time].values
        if wrong := np.flatnonzero(dates != values[time].values).size:
            raise OptionError(
                f"threshold= is of other dates than the cube, {wrong} of {len(dates)}: expected one for each date, "
                f"in the order of the cube: threshold.sel({time}=cube.{time})."
            )
    bare = level.variable  # coordinates of the level would be aligned, and dates dropped in silence
    compared = xr.apply_ufunc(
        _classify_block, values.drop_vars(list(values.coords)), xr.DataArray(bare), dask="parallelized",
        output_dtypes=[np.uint8],
    )  # fmt: skip
    made = as_class_map(
        compared.transpose(*values.dims).assign_coords(values.coords), WATER, kind="water", title="water", like=values
    )
    name = str(values.attrs.get(NAME_ATTR, values.name or "index"))
    made.attrs[NAME_ATTR] = name
    if OWN_ATTR in values.attrs:
        made.attrs[OWN_ATTR] = values.attrs[OWN_ATTR]
    return made.assign_coords(threshold=(bare.dims, bare.data, dict(level.attrs)))


def _classify_block(values: npt.NDArray[Any], level: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    # In the type of the index: a pixel of exactly 0.1 is not above 0.1, while float32(0.1) is above the double.
    classes = np.where(values > np.asarray(level, values.dtype), np.uint8(1), np.uint8(0))
    classes[np.isnan(values)] = UNKNOWN
    return classes
