"""Open what `to_zarr` wrote: the type, names, dates, grid and attributes that it had, lazily, in float32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...arguments import check_whole, first_line, shown
from ...cube.lazy import refuse_query_planning
from ...errors import OptionError, StoreDamageError, StoreError
from .conventions import without_conventions
from .documents import is_consolidated, read_group
from .encoding import unpack_block
from .record import HIDDEN, KEY, LEDGER, Record, require_record
from .stores import members_of
from .target import StoreLike, Target
from .verification import missing_small, refuse

_Chunks: TypeAlias = "int | Mapping[Any, Any] | Literal['auto'] | None"
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@overload
def open_zarr(
    store: StoreLike,
    *,
    level: int = 0,
    chunks: int | Mapping[Any, Any] | Literal["auto"] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataArray | xr.Dataset: ...


@overload
def open_zarr(
    store: StoreLike,
    *,
    level: Literal["all"],
    chunks: int | Mapping[Any, Any] | Literal["auto"] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataTree: ...


def open_zarr(
    store: StoreLike,
    *,
    level: int | Literal["all"] = 0,
    chunks: int | Mapping[Any, Any] | Literal["auto"] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataArray | xr.Dataset | xr.DataTree:
    """Open what `to_zarr` wrote: a DataArray if one was written, else a Dataset; no pixel is read.

    Packed variables come as float32, never as float64; NaN where the input was NaN and where nothing is written yet.
    Geobox, CRS and `rio.transform()` equal those of what was written, attributes are kept. Dates are sorted, in
    whatever order they came.

    store: as in `to_zarr`. level: of the pyramid, 0 is the finest; "all" gives a DataTree of Datasets "0", "1", ...
    chunks: of dask, as in xarray; by default the blocks that were written.
    storage_options: for fsspec, where `store` is a URL.
    Raises StoreError for anything but a store of this package, for an incomplete template, and for a missing level;
    StoreDamageError if metadata or small variables are missing or cannot be read, and, when pixels are computed,
    for a chunk that cannot be read. A chunk that is missing reads as what is not written yet: see `verify`.
    """
    refuse_query_planning()
    target = Target.of(store, read_only=True, storage_options=storage_options)
    record = require_record(target)
    levels = len(record.cuts)
    if isinstance(level, str) and level == "all":
        return xr.DataTree.from_dict({str(number): _level(target, record, number, chunks) for number in range(levels)})
    if not 0 <= check_whole("level", level, unit="a level of the pyramid, or 'all'") < levels:
        raise StoreError(f"{target.label} has {levels} level(s), 0 to {levels - 1}; level {level} is not among them.")
    dataset = _level(target, record, level, chunks)
    if record.kind == "Dataset":
        return dataset
    return dataset[record.variable].rename(record.name)


def _level(target: Target, record: Record, level: int, chunks: _Chunks) -> xr.Dataset:
    """Open a level; any error becomes a StoreDamageError."""
    with target.reading(f"level {level}" if level else "the metadata"):
        refuse(target, missing_small(target, record, level))
        dataset = plain_level(target, record, level).drop_vars(LEDGER, errors="ignore")
        _check_chunks(chunks, dataset)
        # xarray notes a coordinate with the variables along its dimension, of which a Dataset of bands may have none.
        dataset = dataset.set_coords([name for name in dataset.data_vars if name not in record.variables])
        for name in record.fields:
            # Only variables on the grid become dask: dates share a chunk on disk, which chunks of one date would read
            # again and again.
            array = dataset[name]
            asked = _blocks(record, level) if chunks is None else chunks
            if isinstance(asked, Mapping):
                asked = {dim: side for dim, side in asked.items() if dim in array.dims}
            dataset[name] = _decoded(_lazy(array, array.chunk(asked).data, f"{name!r} of {target.label}"))
        dataset.drop_vars(record.fields).load()  # in place: variables are shared
        for name in record.text:
            if name in dataset.variables:
                var = dataset.variables[name]
                text = np.asarray(var.values.tolist(), dtype=str)
                dataset = dataset.assign({name: (var.dims, text, var.attrs)})  # a coordinate stays one
        for var in dataset.variables.values():
            # Chunks and codecs of this store would conflict with those of another.
            var.encoding = _link_to_crs(var.encoding)
        dataset.attrs = {} if record.kind == "DataArray" else _plain(read_group(target, "", record.zarr_format))
        dataset = xr.Dataset({name: dataset[name] for name in record.variables}, dataset.coords, dataset.attrs)
        if record.time is None:
            return dataset
        if record.one_date and dataset.sizes[record.time] == 1:
            return dataset.isel({record.time: 0})
        index = dataset.indexes.get(record.time)
        return dataset if index is None or index.is_monotonic_increasing else dataset.sortby(record.time)


def plain_level(target: Target, record: Record, level: int) -> xr.Dataset:
    """Open a level as xarray does, without dask, its variables on the grid as they are packed."""
    consolidated = is_consolidated(target, record.groups[level], record.zarr_format)
    dataset: xr.Dataset = xr.open_zarr(
        target.store if consolidated else members_of(target),
        group=target.path(record.groups[level]) or None,
        chunks=None,
        mask_and_scale=dict.fromkeys(record.fields, False),
        decode_coords="all",
        zarr_format=record.zarr_format,
        consolidated=consolidated,
    )
    return dataset


def _check_chunks(chunks: object, dataset: xr.Dataset) -> None:
    """Raise OptionError for chunks that dask cannot make, or of a dimension that the store does not have."""
    sides = list(chunks.items()) if isinstance(chunks, Mapping) else [] if chunks is None else [("", chunks)]
    unknown = [dim for dim, _ in sides if dim and dim not in dataset.dims]
    for dim, side in sides:
        sizes = side if isinstance(side, tuple) and dim else (side,)
        whole = all(isinstance(size, int | np.integer) and not isinstance(size, bool) for size in sizes)
        good = side in (None, "auto", -1) or (whole and min(sizes, default=0) >= 1)
        if len(sizes) > 1 and not unknown:
            good = good and sum(sizes) == dataset.sizes[dim]
        if not good or unknown:
            raise OptionError(
                f"chunks={shown(chunks)}: expected a number of pixels, at least 1, -1 for a whole dimension, 'auto', "
                f"or these by name of a dimension, of {list(dataset.dims)}; None takes the blocks as written."
            )


class _Stored:
    """The pixels of a variable as they are stored; reading a chunk that is damaged is an error of ours."""

    def __init__(self, variable: xr.Variable, label: str) -> None:
        self.variable, self.label = variable, label
        self.shape, self.dtype, self.ndim = variable.shape, variable.dtype, variable.ndim

    def __getitem__(self, key: tuple[slice | int, ...]) -> NDArray[Any]:
        try:
            return np.asarray(self.variable[key].values)
        except Exception as error:  # of the codec or the store, each has its own
            raise StoreDamageError(
                f"{self.label} cannot be read: {first_line(error)}. If the store can be reached, a chunk is damaged: "
                "xr_sr.verify(store) finds it and lets the next to_zarr write it again."
            ) from error


def _lazy(array: xr.DataArray, plain: Any, label: str) -> xr.DataArray:
    """Make a variable in a store a dask array. plain: the one of xarray, whose chunks and name it takes over."""
    import dask.array as da

    stored = _Stored(array.variable, label)
    meta = np.empty((0,) * stored.ndim, stored.dtype)
    lazy = array.copy(data=da.from_array(stored, plain.chunks, name=f"stored-{plain.name}", meta=meta))
    lazy.encoding = array.encoding
    return lazy


def _decoded(array: xr.DataArray) -> xr.DataArray:
    """Unpack a variable on the grid lazily, and remove the attributes of the packing; integers keep their nodata."""
    attrs = dict(array.attrs)
    scale, fill = attrs.pop("scale_factor", None), attrs.pop("_FillValue", None)
    if scale is not None:
        data = array.data.map_blocks(
            unpack_block,
            scale=float(scale),
            fill=float(fill),
            dtype=np.float32,
            meta=np.empty((0,) * array.ndim, np.float32),
        )
        encoding = _link_to_crs(array.encoding)
        array = array.copy(data=data)
        array.encoding = encoding
    array.attrs = _plain(attrs) | ({"_FillValue": int(fill)} if fill is not None and array.dtype.kind in "ui" else {})
    return array


def _blocks(record: Record, level: int) -> dict[str, int]:
    """Return dask chunks as large as the blocks that were written, in whole Zarr chunks, one date at a time."""
    sides = {
        dim: max(axis.unit, axis.block - axis.block % axis.unit)
        for dim, axis in zip(record.dims, record.cuts[level], strict=True)
    }
    return {**sides, **({} if record.time is None else {record.time: 1})}


def _plain(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out what the store added, and turn the words for numbers that JSON lacks into numbers again."""
    kept = {key: value for key, value in without_conventions(attrs).items() if key not in (KEY, HIDDEN)}
    return {key: _NUMBERS.get(value, value) if isinstance(value, str) else value for key, value in kept.items()}


def _link_to_crs(encoding: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in encoding.items() if key == "grid_mapping"}
