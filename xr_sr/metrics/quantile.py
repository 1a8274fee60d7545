"""The exact quantile of a large lazy array: from the bits of its float32 numbers, in two passes over its blocks.

Every number is counted as a number, not as a bin, and counts do not depend on how an array is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .blocks import FloatArray

if TYPE_CHECKING:
    import dask.array as da

_HALF = 1 << 16


def lazy_quantile(values: da.Array, share: float) -> da.Array:
    """Find, for each date, the k-th smallest of the finite numbers, k = share * count rounded down, at least 1.

    values: (time, y, x) float32. share: 0 to 1. Gives (time,) float32, NaN where no number is finite.
    """
    import dask.array as da

    count = values.shape[0]
    coarse = _histogram(values)
    pick = da.map_blocks(_pick, coarse, share=share, dtype=np.int64, chunks=((1,) * count, (2,)), drop_axis=(1, 2, 3),
                         new_axis=1, meta=np.empty((0, 0), np.int64))  # fmt: skip
    fine = _histogram(values, pick)
    found: da.Array = da.blockwise(
        _found, "t", fine, "tnyx", pick, "tp", dtype=np.float32, concatenate=True, align_arrays=False,
        meta=np.empty(0, np.float32),
    )  # fmt: skip
    return found


def _histogram(values: da.Array, pick: da.Array | None = None) -> da.Array:
    """Count by the upper half of the bits, or within one upper half by the lower: (time, half, 1, 1)."""
    import dask.array as da

    picked = [] if pick is None else [pick, "tp"]
    sides = {axis: (1,) * values.numblocks[place] for axis, place in (("y", 1), ("x", 2))}
    blocks = da.blockwise(
        _count, "tnyx", values, "tyx", *picked, new_axes={"n": _HALF}, adjust_chunks=sides, dtype=np.int32,
        concatenate=True, align_arrays=False, meta=np.empty((0,) * 4, np.int32),
    )  # fmt: skip
    total: da.Array = da.sum(blocks, axis=(2, 3), keepdims=True, dtype=np.int64, split_every=16)
    return total


def _ordered_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Give whole numbers in the order of the finite values."""
    finite = values[np.isfinite(values)] + np.float32(0)  # -0 becomes 0
    bits = finite.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _count(values: npt.NDArray[np.float32], pick: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int32]:
    bits = _ordered_bits(np.ascontiguousarray(values, dtype=np.float32))
    halves = bits >> 16 if pick is None else bits[bits >> 16 == pick[0, 0]] & np.uint32(_HALF - 1)
    return np.bincount(halves, minlength=_HALF).astype(np.int32)[None, :, None, None]


def _pick(coarse: npt.NDArray[np.int64], *, share: float) -> npt.NDArray[np.int64]:
    """Find the upper half that holds the number, and its rank there, from 1; -1 without any number."""
    counts = np.cumsum(coarse[0, :, 0, 0])
    if not counts[-1]:
        return np.array([[-1, 0]])
    rank = max(1, int(share * float(counts[-1])))
    half = int(np.searchsorted(counts, rank))
    return np.array([[half, rank - (counts[half - 1] if half else 0)]])


def _found(fine: npt.NDArray[np.int64], pick: npt.NDArray[Any]) -> FloatArray:
    half, rank = (int(number) for number in pick[0])
    if half < 0:
        return np.array([np.nan], np.float32)
    low = int(np.searchsorted(np.cumsum(fine[0, :, 0, 0]), rank))
    bits = np.uint32((half << 16) | low)
    plain = bits & np.uint32((1 << 31) - 1) if bits >> 31 else ~bits
    return np.array([plain], np.uint32).view(np.float32)
