"""Check which arrays lie under xarray (NumPy, CuPy, dask, unread files), and wrap them as dask arrays.

File-backed arrays stay lazy through arithmetic and transposing, in the chunks of their file. Arrays of other libraries
(cubed, sparse, pint, ...) raise here: they behave like NumPy in part, and would fail deep inside.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ..errors import CubeError, EngineError

_SIDE = 2048
"""Pixels along y and x of a chunk of what was not in chunks."""

_WAYS = {
    "cubed": "Compute it, cube.copy(data=cube.data.compute()), or open the data with chunked_array_type='dask'",
    "sparse": "Make it dense: cube.copy(data=cube.data.todense()), of a Dataset band by band with .map",
    "pint": "Drop the units: cube.pint.dequantify()",
}
_ANY = "Convert it: cube.as_numpy(), or cube.copy(data=...) with a NumPy array"


def check_array(array: xr.DataArray | xr.Variable, what: str = "the cube") -> None:
    """Raise CubeError for an array of another library than NumPy, CuPy and dask, also in the chunks of dask.

    what: name of the array, for the message. Reads nothing.
    """
    variable = array.variable if isinstance(array, xr.DataArray) else array
    data: Any = getattr(variable, "_data", None)  # `.data` would read what lies in a file
    held = getattr(data, "_meta", None) if _library(data) == "dask" else data
    library = _library(held)
    if held is None or isinstance(held, np.ndarray | np.generic) or library in ("numpy", "cupy", "xarray"):
        return
    where = "dask chunks of " if held is not data else ""
    raise CubeError(
        f"expected NumPy, CuPy or dask arrays; {what} holds {where}{library}.{type(held).__name__}. "
        f"{_WAYS.get(library, _ANY)}."
    )


def is_unread(array: xr.DataArray) -> bool:
    """Return whether an array is in a file, not read yet, and not of dask."""
    # Not public in xarray; without it every array counts as read, and is only read earlier.
    return array.chunks is None and not getattr(array.variable, "_in_memory", True)


_READING = re.compile(r"(original-)?(open_dataset|array|xarray|getitem|concatenate|stack|rechunk-\w+)-")


def is_only_stored(array: xr.DataArray, most: int = 10_000) -> bool:
    """Return whether a lazy array is a small one of a file or of memory, selected or joined, and computed from nothing.

    By the names of the layers of its graph: reading it then costs no more than reading its file. most: its size.
    """
    if array.chunks is None:
        return True
    layers = getattr(array.data.dask, "layers", {"unknown": None})
    return array.size <= most and all(_READING.match(str(layer)) for layer in layers)


def kept_unread(array: xr.DataArray) -> xr.DataArray:
    """Return an array in a file as a dask array in the chunks of the file; any other as it is.

    Raises CubeError for arrays of other libraries.
    """
    check_array(array)
    if not is_unread(array):
        return array
    # Of the file, so they may contain dimensions that a selection such as .squeeze("band") has dropped.
    chunks = array.encoding.get("preferred_chunks", {})
    return array.chunk({dim: sizes for dim, sizes in chunks.items() if dim in array.dims})


def in_chunks(
    array: xr.DataArray,
    *,
    lead: Sequence[str] = (),
    band_dim: str | None = None,
    sides: Mapping[str, int] | None = None,
) -> xr.DataArray:
    """Wrap an array as dask unless it is: chunks of one element of each lead dimension, all bands, 2048 pixels a side.

    sides: other sizes of chunks, by dimension. Raises CubeError for arrays of other libraries.
    """
    check_array(array, "a mask or the cube")
    if array.chunks is not None:
        return array
    chosen = dict.fromkeys(array.dims, _SIDE) | dict.fromkeys(lead, 1) | {band_dim: -1} | dict(sides or {})
    return array.chunk({dim: side for dim, side in chosen.items() if dim in array.dims})


def _library(data: object) -> str:
    return type(data).__module__.partition(".")[0]


def refuse_query_planning() -> None:
    """Raise EngineError where `array.query-planning` is on in this process; imports no dask.array.

    Under it dask's arrays are expressions, which take no graph of tasks (dask 2026.8), and neither `.mean()` nor
    `store` of xarray work on them.
    """
    array = sys.modules.get("dask.array")
    enabled = getattr(array, "ARRAY_EXPR_ENABLED", None)  # fixed when dask.array is imported
    if enabled is None:
        import dask

        enabled = dask.config.get("array.query-planning", None)
    if enabled:
        raise EngineError(
            "dask's query planning of arrays is on (array.query-planning), and xr_sr does not support it yet. Turn it "
            "off before dask.array is imported: set the environment variable DASK_ARRAY__QUERY_PLANNING=False, or call "
            "dask.config.set({'array.query-planning': False}), and start Python again."
        )
