"""Map water: an index compared with a threshold, as a map of three classes, for each date.

Thresholds are numbers, or found by Otsu's method: one lazy number for a whole cube, or one for each date; never one per
chunk. Pixels are counted in whole numbers, so a threshold is the same to the last bit however an array is chunked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, overload

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_array, check_choice, check_number, count_of, is_one_of, shown
from ..cube.coordinates import placed
from ..cube.grid import spatial_dims
from ..cube.lazy import kept_unread
from ..cube.select import AnyCube
from ..cube.sensors import FOR_INDICES, explains_sensors
from ..cube.time import time_dim
from ..errors import CubeError, OptionError, warns_once
from ..radiometry.resolve import OWN_ATTR, Nodata, Offset, Quantification
from ..runtime.precompute import once_name
from .bands import GridChoice, check_options
from .classes import LEVEL_ATTR, UNKNOWN, WATER, as_class_map, as_water, is_map_of
from .indices import NAME_ATTR, index
from .uncertain import (
    USUAL_LIMITS,
    Uncertain,
    chance_above,
    check_limits,
    share_of,
    uncertain_of,
    water_within,
    with_chances,
)

if TYPE_CHECKING:
    import dask.array as da

Per: TypeAlias = Literal["cube", "date"]

Threshold: TypeAlias = "float | Literal['otsu'] | xr.DataArray"
"""A threshold of the index, the method that finds it, or thresholds found before, one number or one for each date."""


@overload
def water(
    cube: xr.DataArray | xr.DataTree,
    index: str | None = ...,
    threshold: Threshold = ...,
    per: Per = ...,
    *,
    limits: tuple[float, float] = ...,
    grid: GridChoice | None = ...,
    offset: Offset = ...,
    quantification: Quantification = ...,
    nodata: Nodata = ...,
) -> xr.DataArray: ...


@overload
def water(
    cube: AnyCube,
    index: str | None = ...,
    threshold: Threshold = ...,
    per: Per = ...,
    *,
    limits: tuple[float, float] = ...,
    grid: GridChoice | None = ...,
    offset: Offset = ...,
    quantification: Quantification = ...,
    nodata: Nodata = ...,
) -> xr.DataArray | xr.Dataset: ...


@warns_once
@explains_sensors(FOR_INDICES)
def water(
    cube: AnyCube,
    index: str | None = "MNDWI",
    threshold: Threshold = "otsu",
    per: Per = "cube",
    *,
    limits: tuple[float, float] = USUAL_LIMITS,
    grid: GridChoice | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
) -> xr.DataArray | xr.Dataset:
    """Map water: where an index is above a threshold.

    cube: bands at LR or SR; clouds are unknown where they were masked before (`cube.sr.mask()`). A map that `water`
        made comes back, uncertain pixels as unknown, and the other arguments are checked only. index: of which water
        has high values; None where `cube` is the index itself. A result of `ensemble`, `interval` or `multiframe`,
        or of `index` of one, is mapped with its error.
    threshold: "otsu", a number, or thresholds as `otsu` returns them. per: with "otsu", one threshold for the whole
        "cube" or one for each "date"; lazy, and the same for every chunking. limits: with an error, the
        probabilities between which a pixel is uncertain. grid and the rest: as in `index`.

    Returns (time?, y, x) uint8, lazy: 0 dry, 1 water, 255 unknown, with the coordinate `threshold`. Otsu's method
    splits any scene in two: without water it splits land. Look at the threshold, and pass a number where it is
    implausible.
    With an error, a lazy Dataset of (time?, y, x): `water` uint8, 0 dry, 1 water, 2 uncertain, 255 unknown;
    `probability` of water, float32, NaN where unknown, which is the share of members with water, or without members
    what a normal distribution with the deviation of the index gives to values above the threshold; and `members`, the
    map of each member (member, time?, y, x), of which `areas` gives the area with an interval. Otsu's threshold is that
    of the estimate, and its own error is not counted.
    """
    check_threshold(threshold, per)
    within = check_limits(limits)
    check_options(grid=grid, offset=offset, quantification=quantification, nodata=nodata)
    if is_map_of(cube, "water"):
        assert isinstance(cube, xr.DataArray)
        return as_water(cube, role="the cube")
    values = index_with_error(
        cube, index, grid=grid, offset=offset, quantification=quantification, nodata=nodata, reader="water"
    )
    if isinstance(values, Uncertain):
        level = level_of([values.estimate], threshold, per)
        probability, members = water_chances(values, level, level_text(threshold, per))
        return with_chances(water_within(probability, within), probability, members, values.level, level)
    made = classify(values, level_of([values], threshold, per))
    made.attrs[LEVEL_ATTR] = level_text(threshold, per)
    return made


def water_chances(values: Uncertain, level: xr.DataArray, how: str) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Return the probability that an index is above a level, and the map of each member; None without members.

    how: the level in words, for the attributes.
    """
    of_estimate = classify(values.estimate, level).drop_vars("threshold").assign_attrs({LEVEL_ATTR: how})
    if values.members is None:
        members, probability = None, chance_above(values.estimate, values.std, level)
    else:
        found = _compared(values.members, level)
        members = as_class_map(found, WATER, kind="water", title="water, by member", like=values.members)
        members.attrs = {**of_estimate.attrs, **members.attrs}
        probability = share_of(members, WATER["water"])
    probability = probability.transpose(*of_estimate.dims).assign_coords(of_estimate.coords)
    probability.attrs = of_estimate.attrs  # with its provenance; what are classes is replaced
    return probability, members


def index_of(cube: AnyCube, name: str | None, *, reader: str, **options: Any) -> xr.DataArray:
    """Compute an index, or take the DataArray that is one."""
    found = index_with_error(cube, name, reader=reader, **options)
    if isinstance(found, Uncertain):
        raise CubeError(f"{reader} does not take ensembles and intervals. Pass the estimate: drawn['estimate'].")
    return found


def index_with_error(cube: AnyCube, name: str | None, *, reader: str, **options: Any) -> xr.DataArray | Uncertain:
    """Compute an index, or take what is one: a DataArray, or a result of `index` with its error."""
    computed = cube if name is None else index(cube, name, **options)
    if (given := uncertain_of(computed)) is not None:
        return given
    if not isinstance(computed, xr.DataArray) or computed.dtype.kind != "f":
        raise CubeError(
            f"{reader} with index=None expects the index itself, a DataArray of floats, as index() returns it; this is "
            f"a {type(computed).__name__}. Name an index to compute it from bands."
        )
    return computed if name is not None else placed(kept_unread(computed))


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
    made = as_class_map(_compared(values, level), WATER, kind="water", title="water", like=values)
    name = str(values.attrs.get(NAME_ATTR, values.name or "index"))
    made.attrs[NAME_ATTR] = name
    if OWN_ATTR in values.attrs:
        made.attrs[OWN_ATTR] = values.attrs[OWN_ATTR]
    return made.assign_coords(threshold=(level.dims, level.data, dict(level.attrs)))


def _compared(values: xr.DataArray, level: xr.DataArray) -> xr.DataArray:
    """Return the classes of an index, or of one for each member, that is compared with a level."""
    bare = level.variable  # coordinates of the level would be aligned, and dates dropped in silence
    compared = xr.apply_ufunc(
        _classify_block, values.drop_vars(list(values.coords)), xr.DataArray(bare), dask="parallelized",
        output_dtypes=[np.uint8],
    )  # fmt: skip
    made: xr.DataArray = compared.transpose(*values.dims).assign_coords(values.coords)
    return made


def _classify_block(values: npt.NDArray[Any], level: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    # In the type of the index: a pixel of exactly 0.1 is not above 0.1, while float32(0.1) is above the double.
    classes = np.where(values > np.asarray(level, values.dtype), np.uint8(1), np.uint8(0))
    classes[np.isnan(values)] = UNKNOWN
    return classes


BINS = 4096
"""Bins of the histogram; in -1..1 each is 0.0005 wide."""


def otsu(index: xr.DataArray | Sequence[xr.DataArray], *, per: Per = "cube") -> xr.DataArray:
    """Find the threshold that splits an index into two classes, lazily.

    index: (time?, y, x) floats; NaN does not count. Several arrays, on any grids, share one threshold (per="cube"
    only). per: "cube", one threshold for all dates; "date", one for each.

    Returns float64, a scalar or (time,); NaN where nothing is finite. The histogram has 4096 bins over -1..1 for an
    index with these bounds (its attribute `xr_sr:bounds`), else from the smallest to the largest finite value, found in
    a pass of its own. Values far outside of such bounds raise CubeError when they are computed. The threshold is the
    upper edge of the last bin of the lower class; where several are equally good, the middle of them; of values that
    are all alike, none lies above it. `to_zarr` and `to_cog` compute it once, before they write.
    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076.
    """
    import dask.array as da

    arrays = list(index) if isinstance(index, list | tuple) else [cast("xr.DataArray", index)]
    for array in arrays:
        check_array("index", array)
    if not is_one_of(per, ("cube", "date")):
        raise OptionError(f"per={per!r}: known are 'cube', one threshold for all dates, and 'date', one for each.")
    if per == "date" and len(arrays) != 1:
        raise OptionError("per='date' takes one array; several can share one threshold only, with per='cube'.")
    if per == "date" and time_dim(arrays[0]) is None:
        per = "cube"
    blocks = [_blocks(array) for array in arrays]
    bounds = [array.attrs.get("xr_sr:bounds") for array in arrays]
    known = [bound for bound in bounds if bound is not None]
    if len(known) == len(bounds):
        ends = da.from_array(np.array([min(b[0] for b in known), max(b[1] for b in known)], "float64"), chunks=-1)
    else:
        least = reduce(da.fmin, [_extreme(block, np.fmin) for block in blocks])
        ends = da.stack([least, reduce(da.fmax, [_extreme(block, np.fmax) for block in blocks])]).rechunk(-1)
        ends = da.map_blocks(np.asarray, ends, name=once_name("ends", ends.name), dtype="float64", meta=ends._meta)
    counts = [_histogram(block, ends) for block in blocks]
    # Named so that `to_zarr` computes the threshold once, and not again for each region that it writes.
    how = {"drop_axis": 1, "dtype": "float64", "meta": np.empty(0, "float64")}
    if per == "date":
        levels = da.map_blocks(_levels, counts[0], ends, name=once_name("otsu", counts[0].name, ends.name), **how)
        dim = str(time_dim(arrays[0]))
        made = xr.DataArray(levels, dims=(dim,), coords={dim: arrays[0][dim]} if dim in arrays[0].coords else None)
    else:
        total = sum(count.sum(axis=0, keepdims=True) for count in counts)
        name = once_name("otsu", total.name, ends.name)
        made = xr.DataArray(da.map_blocks(_levels, total, ends, name=name, **how)[0])
    return made.rename("threshold").assign_attrs(
        {"long_name": f"level by Otsu's method, one per {per}", "xr_sr:bins": BINS}
    )


def _blocks(array: xr.DataArray) -> da.Array:
    """Return (time, y, x) in dask, time of length 1 where there is none."""
    import dask.array as da

    dims, time = spatial_dims(array), time_dim(array)
    if dims is None:
        raise CubeError(f"there are no y and x among {list(array.dims)}, so this is no map.")
    if array.dtype.kind not in "buif":
        raise CubeError(
            f"a threshold is computed from numbers; {shown(array.name)} has the type {array.dtype}. Convert it first: "
            "array.astype('float32')."
        )
    data = kept_unread(array).transpose(*([time] if time else []), *dims).data
    lazy = data if isinstance(data, da.Array) else da.from_array(data, chunks={-1: 2048, -2: 2048})
    return lazy if time else lazy[None]


def _extreme(values: da.Array, which: Any) -> da.Array:
    """Find the smallest or largest finite value, () float64; NaN without any."""
    import dask.array as da

    finite = da.where(da.isfinite(values), values, np.nan).astype("float64")
    found: da.Array = da.reduction(
        finite, partial(_extreme_of_block, which=which), partial(_extreme_of_block, which=which), dtype="float64"
    )
    return found


def _extreme_of_block(block: Any, axis: Any, keepdims: bool, *, which: Any) -> Any:
    return which.reduce(block, axis=axis, keepdims=keepdims, initial=np.nan)


def _histogram(values: da.Array, ends: da.Array) -> da.Array:
    """Count the finite values of each date: (time, bin) int64, in one chunk along bins."""
    import dask.array as da

    sides = {axis: (1,) * values.numblocks[place] for axis, place in (("y", 1), ("x", 2))}
    blocks = da.blockwise(
        _count, "tnyx", values, "tyx", ends, "e", new_axes={"n": BINS}, adjust_chunks=sides, dtype=np.int64,
        concatenate=True, align_arrays=False, meta=np.empty((0,) * 4, np.int64),
    )  # fmt: skip
    total: da.Array = da.sum(blocks, axis=(2, 3), dtype=np.int64, split_every=16)
    return total


def _count(block: npt.NDArray[Any], ends: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    low, high = ends
    counts = np.zeros((len(block), BINS), np.int64)
    if np.isfinite(ends).all():
        for row, date in zip(counts, block, strict=True):
            finite = date[np.isfinite(date)].astype("float64")
            if finite.size and (finite.min() < 2 * low - high or finite.max() > 2 * high - low):
                raise CubeError(
                    f"the index holds {finite.min():.4g} to {finite.max():.4g}, and its attribute xr_sr:bounds says "
                    f"{low:g} to {high:g}. Numbers made from an index keep its attributes: take the index itself, or "
                    "array.drop_attrs(deep=False)."
                )
            places = (finite - low) * (BINS / (high - low) if high > low else 0.0)
            row += np.bincount(np.clip(places, 0, BINS - 1).astype(np.int64), minlength=BINS)
    return counts[:, :, None, None]


def _levels(counts: npt.NDArray[np.int64], ends: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low, high = ends
    return np.array([low + (high - low) * _best_edge(row) / BINS if row.any() else np.nan for row in counts])


def _best_edge(row: npt.NDArray[np.int64]) -> float:
    """Return the number of bins in the lower class with the largest variance between classes; the middle of equals."""
    places = np.arange(BINS, dtype="float64") + 0.5
    below = np.cumsum(row)[:-1].astype("float64")
    moment = np.cumsum(row * places)
    above, total = row.sum() - below, float(moment[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = moment[:-1] / below - (total - moment[:-1]) / above
        between = np.where((below > 0) & (above > 0), below * above * gap**2, -1.0)
    if between.max() < 0:  # all values in one bin: no two classes, so nothing lies above
        return float(np.flatnonzero(row)[0] + 1)
    equal = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float((equal[0] + equal[-1]) / 2 + 1)
