"""Apply functions to fixed blocks of images, and reduce them by image, patch or object.

Arrays only. Blocks lie where the scene's size puts them, whatever chunks the input has, so neither a value nor the
order of a sum depends on chunking. Sums are in float64; quantiles are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.array.overlap import overlap

from ..arguments import shown, whole_or_none
from ..errors import OptionError

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Level: TypeAlias = "Literal['image', 'pixel'] | int"
Input: TypeAlias = "tuple[da.Array, str]"
"""An array and the letters of its axes: t time, b band, y, x; others are passed whole."""

SIDE = 256
"""Side of a block in pixels of the finer image. A task holds some thirty times its float32 pixels for a while."""


@dataclass(frozen=True)
class Layout:
    """The blocks of a grid. rows, columns: sides of the blocks in pixels; their number is the same for every input."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @classmethod
    def of(cls, height: int, width: int, multiple: int = 1) -> Layout:
        """Cut a grid into blocks of about `SIDE` pixels, all but the last a multiple of `multiple`."""
        return cls(_cut(height, multiple), _cut(width, multiple))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return sum(self.rows), sum(self.columns)

    def coarser(self, factor: int) -> Layout:
        """Return the layout of the same ground with pixels `factor` times larger, the last of which may be cut."""
        return Layout(
            tuple(-(-side // factor) for side in self.rows), tuple(-(-side // factor) for side in self.columns)
        )

    def one_each(self) -> Layout:
        """Return the layout of one number for each block."""
        return Layout((1,) * len(self.rows), (1,) * len(self.columns))

    def cut(self, data: da.Array) -> da.Array:
        """Cut (..., y, x) at these places; a date is a block of its own, other axes stay whole."""
        lead = dict.fromkeys(range(1, data.ndim - 2), -1) | ({0: 1} if data.ndim > 2 else {})
        cut: da.Array = data.rechunk({**lead, data.ndim - 2: self.rows, data.ndim - 1: self.columns})
        return cut

    def wider(self, data: da.Array, halo: int, *, fill: float | Literal["nearest"] = np.nan) -> da.Array:
        """Cut (..., y, x) at these places, each block with `halo` pixels of its neighbors on every side.

        fill: what lies beyond the scene: a value, or "nearest", the edge pixel.
        """
        if not halo:
            return self.cut(data)
        padding = [(0, 0)] * (data.ndim - 2) + [(halo, halo)] * 2
        options: dict[str, Any] = {"mode": "edge"} if fill == "nearest" else {"constant_values": fill}
        outer = Layout(_with_margin(self.rows, halo), _with_margin(self.columns, halo))
        padded = outer.cut(da.pad(data, padding, **options))
        wide: da.Array = overlap(padded, {data.ndim - 2: halo, data.ndim - 1: halo}, "none", allow_rechunk=False)
        return wide


def map_images(
    function: Callable[..., npt.NDArray[Any]],
    inputs: Sequence[Input],
    out: str,
    layout: Layout,
    *,
    new: dict[str, int] | None = None,
    dtype: Any = np.float64,
    **options: Any,
) -> da.Array:
    """Apply a function to the blocks of several arrays that are cut alike, one task per block and date.

    function: at module level; gets one NumPy block per input. out: letters of the axes of its result, t, y, x among
    them. layout: sides of the result's blocks along y and x. new: lengths of axes that no input has.
    """
    flat = [item for array, letters in inputs for item in (array, letters)]
    result: da.Array = da.blockwise(
        function, out, *flat, new_axes=new or {}, adjust_chunks={"y": layout.rows, "x": layout.columns},
        align_arrays=False, concatenate=True, dtype=dtype, meta=np.empty((0,) * len(out), dtype), **options,
    )  # fmt: skip
    return result


def sum_up(
    function: Callable[..., FloatArray],
    inputs: Sequence[Input],
    layout: Layout,
    *,
    at: Level,
    fields: int,
    channels: int,
    labels: tuple[da.Array, int] | None = None,
    **options: Any,
) -> da.Array:
    """Sum the values of a function per pixel, by scene, patch or object.

    function: returns (field, channel, y, x) for the pixels of a block of one date, NaN where a pixel does not count.
    at: "image", or the side of patches, which start at the first pixel. labels: (y, x) numbers of objects from 0 to
    n - 1 and n for none, and n.
    Returns (time, field + 1, channel, object, y, x): sums, and how many pixels count. Along y and x there is one
    number, or one per patch; along object one, or n. A lazy array of float64.
    """
    count = labels[1] if labels else 1
    given = [*inputs, (layout.cut(labels[0]), "yx")] if labels else list(inputs)
    patch = at if isinstance(at, int) else 0
    out = layout.coarser(patch) if patch else layout.one_each()
    sums = map_images(
        _sums, given, "tfcoyx", out, new={"f": fields + 1, "c": channels, "o": count},
        measure=function, patch=patch, objects=count if labels else 0, **options,
    )  # fmt: skip
    return sums if patch else da.sum(sums, axis=(4, 5), keepdims=True, split_every=16)


_LARGEST_PATCH = 2**31
"""Pixels: what NumPy counts by is no larger on all machines."""


def check_level(at: Level, name: str = "at") -> Level:
    """Return "image", "pixel" or the side of a patch as an int; raises OptionError for anything else."""
    if isinstance(at, str):
        if at in ("image", "pixel"):
            return at
    elif (side := whole_or_none(at)) is not None and 1 < side <= _LARGEST_PATCH:
        return side
    raise OptionError(f"{name}={shown(at)}: expected 'image', 'pixel', or the side of patches in pixels, 2 or more.")


def by_patch(fields: FloatArray, patch: int) -> FloatArray:
    """Sum (..., y, x) by patches, the last of which may be cut: (..., y / patch, x / patch), rounded up."""
    starts = [np.arange(0, side, patch) for side in fields.shape[-2:]]
    rows: FloatArray = np.add.reduceat(fields, starts[0], axis=-2)
    return np.asarray(np.add.reduceat(rows, starts[1], axis=-1))


def trimmed(image: FloatArray, margin: int) -> FloatArray:
    """Cut pixels off each side of (..., y, x)."""
    return image[..., margin:-margin, margin:-margin] if margin else image


def _sums(*blocks: npt.NDArray[Any], measure: Any, patch: int, objects: int, **options: Any) -> FloatArray:
    """Sum the fields of one block: (1, field + 1, channel, object, y, x)."""
    images = blocks[:-1] if objects else blocks
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # infinite pixels do not count
        fields = np.asarray(measure(*(image[0] for image in images), **options), dtype=np.float64)
    counts: npt.NDArray[np.bool_] = np.asarray(np.isfinite(fields).all(axis=0))
    fields = np.where(counts, fields, 0.0)
    fields = np.concatenate([fields, counts[None].astype(np.float64)])
    if objects:
        flat = blocks[-1].ravel()
        rows = fields.reshape(-1, flat.size)
        sums = np.stack([np.bincount(flat, weights=row, minlength=objects + 1)[:objects] for row in rows])
        return sums.reshape(1, *fields.shape[:2], objects, 1, 1).astype(np.float64)
    if patch:
        return by_patch(fields, patch)[None, :, :, None]
    whole: FloatArray = fields.sum(axis=(-2, -1))
    return whole[None, :, :, None, None, None]


def _with_margin(sides: tuple[int, ...], margin: int) -> tuple[int, ...]:
    """Widen the first and the last block."""
    wide = list(sides)
    wide[0] += margin
    wide[-1] += margin
    return tuple(wide)


def _cut(length: int, multiple: int) -> tuple[int, ...]:
    """Cut a length into sides of `SIDE`, rounded down to a multiple; a short rest joins its neighbor."""
    side = max(1, SIDE // multiple) * multiple
    whole, rest = divmod(length, side)
    if not whole:
        return (length,)
    if not rest:
        return (side,) * whole
    if rest < min(side, SIDE) // 4:
        return (*(side,) * (whole - 1), side + rest)
    return (*(side,) * whole, rest)


_HALF = 1 << 16


def lazy_quantile(values: da.Array, share: float) -> da.Array:
    """Find, for each date, the k-th smallest of the finite numbers, k = share * count rounded down, at least 1.

    values: (time, y, x) float32. share: 0 to 1. Returns (time,) float32, NaN where no number is finite.
    """
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
    picked = [] if pick is None else [pick, "tp"]
    sides = {axis: (1,) * values.numblocks[place] for axis, place in (("y", 1), ("x", 2))}
    blocks = da.blockwise(
        _count, "tnyx", values, "tyx", *picked, new_axes={"n": _HALF}, adjust_chunks=sides, dtype=np.int32,
        concatenate=True, align_arrays=False, meta=np.empty((0,) * 4, np.int32),
    )  # fmt: skip
    total: da.Array = da.sum(blocks, axis=(2, 3), keepdims=True, dtype=np.int64, split_every=16)
    return total


def _ordered_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
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
