"""Apply functions to fixed blocks of images, and reduce them by image, patch or object.

Arrays only. Blocks lie where the scene's size puts them, whatever chunks the input has, so neither a value nor the
order of a sum depends on chunking. Sums are in float64; quantiles are exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from ..arguments import shown, whole_or_none
from ..errors import OptionError
from ..tiling.source import GIANT

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Level: TypeAlias = "Literal['image', 'pixel'] | int"
Input: TypeAlias = "tuple[da.Array, str]"
"""An array and the letters of its axes: t time, b band, y, x; others are passed whole."""

SIDE = 256
"""Side of a block in pixels of the finer image. A task holds some thirty times its float32 pixels for a while."""


STRIP = 2**15
"""Values of an image that a function takes at once: what it makes of them fits into a processor's cache."""


@dataclass(frozen=True)
class Layout:
    """The blocks of a grid. rows, columns: sides of the blocks in pixels; their number is the same for every input.

    border: pixels of the scene outside of the blocks, at each edge.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    border: int = 0

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

    def inside(self, border: int) -> Layout:
        """Return the layout of what is left without `border` pixels at each edge, cut at the same places if it may."""
        rows, columns = (_shorter(cuts, border) for cuts in (self.rows, self.columns))
        return Layout(rows, columns, self.border + border)

    def one_each(self) -> Layout:
        """Return the layout of one number for each block."""
        return Layout((1,) * len(self.rows), (1,) * len(self.columns))

    def cut(self, data: da.Array) -> da.Array:
        """Cut (..., y, x) at these places; a date is a block of its own, other axes stay whole."""
        return self.wider(data, 0)

    def wider(self, data: da.Array, halo: int, *, fill: float | Literal["nearest"] = np.nan) -> da.Array:
        """Cut (..., y, x) at these places, each block with `halo` pixels of its neighbors on every side.

        fill: what lies beyond the scene: a value, or "nearest", the edge pixel.
        """
        lead = dict.fromkeys(range(1, data.ndim - 2), -1) | ({0: 1} if data.ndim > 2 else {})
        sides = (self.rows, self.columns)
        if not (halo or self.border) and data.chunks[-2:] == sides:
            same: da.Array = data.rechunk(lead)
            return same
        if math.prod(map(max, data.chunks)) * data.dtype.itemsize > GIANT and data.chunks[-2:] != sides:
            lead |= {data.ndim - 2: SIDE, data.ndim - 1: SIDE}
        source = data.rechunk(lead)
        spans = [
            _spans_of(cuts, self.border, halo, chunks) for cuts, chunks in zip(sides, source.chunks[-2:], strict=True)
        ]
        name = f"blocks-{tokenize(source.name, self, halo, fill)}"
        graph: dict[Any, Any] = {}
        for lead_of in itertools.product(*(range(count) for count in source.numblocks[:-2])):
            for (i, rows), (j, columns) in itertools.product(*map(enumerate, spans)):
                keys = [[(source.name, *lead_of, y, x) for x, _ in columns.parts] for y, _ in rows.parts]
                graph[(name, *lead_of, i, j)] = (partial(_pasted, rows=rows, columns=columns, fill=fill), keys)
        layer = HighLevelGraph.from_collections(name, graph, dependencies=[source])
        wide = [tuple(span.size for span in along) for along in spans]
        return da.Array(layer, name, chunks=(*source.chunks[:-2], *wide), meta=source._meta)


@dataclass(frozen=True)
class _Span:
    """What a block with context covers along one axis, in pixels.

    parts: the chunks that it is made of, each with what is taken of it. before, after: how much lies beyond the scene.
    """

    parts: tuple[tuple[int, slice], ...]
    before: int
    after: int
    size: int


def _spans_of(sides: tuple[int, ...], border: int, halo: int, chunks: tuple[int, ...]) -> list[_Span]:
    cuts = [border + place for place in itertools.accumulate(sides, initial=0)]
    edges = list(itertools.pairwise(itertools.accumulate(chunks, initial=0)))
    spans = []
    for start, stop in itertools.pairwise(cuts):
        first, last = max(start - halo, border), min(stop + halo, cuts[-1])
        parts = tuple(
            (number, slice(max(first, left) - left, min(last, right) - left))
            for number, (left, right) in enumerate(edges)
            if left < last and right > first
        )
        spans.append(_Span(parts, first - (start - halo), stop + halo - last, stop - start + 2 * halo))
    return spans


def _pasted(
    blocks: list[list[npt.NDArray[Any]]], *, rows: _Span, columns: _Span, fill: float | Literal["nearest"]
) -> npt.NDArray[Any]:
    """Put the parts of blocks together, (..., y, x), and fill what lies beyond the scene."""
    first = blocks[0][0]
    if len(rows.parts) == len(columns.parts) == 1 and not (
        rows.before or rows.after or columns.before or columns.after
    ):
        return first[..., rows.parts[0][1], columns.parts[0][1]]
    shape = (*first.shape[:-2], rows.size, columns.size)
    out = np.empty_like(first, shape=shape, order="C", subok=False)
    if fill != "nearest" and (rows.before or rows.after or columns.before or columns.after):
        out[...] = fill
    top = rows.before
    for line, (_, of_rows) in zip(blocks, rows.parts, strict=True):
        left, bottom = columns.before, top + of_rows.stop - of_rows.start
        for block, (_, of_columns) in zip(line, columns.parts, strict=True):
            right = left + of_columns.stop - of_columns.start
            out[..., top:bottom, left:right] = block[..., of_rows, of_columns]
            left = right
        top = bottom
    if fill == "nearest":
        for axis, span in ((-2, rows), (-1, columns)):
            values = np.moveaxis(out, axis, 0)
            values[: span.before] = values[span.before]
            end = span.size - span.after
            values[end:] = values[end - 1]
    return out


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
    if not (objects or patch):
        return summed(fields)[None, :, :, None, None, None]
    counts, valued = _counted(fields)
    fields = np.concatenate([valued, counts[None].astype(np.float64)])
    if objects:
        flat = blocks[-1].ravel()
        rows = fields.reshape(-1, flat.size)
        sums = np.stack([np.bincount(flat, weights=row, minlength=objects + 1)[:objects] for row in rows])
        return sums.reshape(1, *fields.shape[:2], objects, 1, 1).astype(np.float64)
    return by_patch(fields, patch)[None, :, :, None]


def summed(fields: FloatArray) -> FloatArray:
    """Sum (field, channel, y, x) over the pixels where all fields are finite, and count these: (field + 1, channel)."""
    counts, fields = _counted(fields)
    return np.concatenate([fields.sum(axis=(-2, -1)), counts.sum(axis=(-2, -1), dtype=np.float64)[None]])


def _counted(fields: FloatArray) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Return which pixels count, (channel, y, x), and the fields with 0 where one does not."""
    counts: npt.NDArray[np.bool_] = np.asarray(np.isfinite(fields).all(axis=0))
    return counts, fields if counts.all() else np.where(counts, fields, 0.0)


def _shorter(cuts: tuple[int, ...], border: int) -> tuple[int, ...]:
    inner = list(cuts)
    inner[0] -= border
    inner[-1] -= border
    return tuple(inner) if min(inner) > 0 else _cut(sum(cuts) - 2 * border, 1)


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
    if math.prod(values.shape[1:]) <= _SORTED_AT_ONCE:
        whole: da.Array = da.blockwise(
            _kth, "t", values, "tyx", share=share, dtype=np.float32, concatenate=True, align_arrays=False,
            meta=np.empty(0, np.float32),
        )  # fmt: skip
        return whole
    coarse = _histogram(values)
    pick = da.map_blocks(_pick, coarse, share=share, dtype=np.int64, chunks=((1,) * count, (2,)), drop_axis=(1, 2, 3),
                         new_axis=1, meta=np.empty((0, 0), np.int64))  # fmt: skip
    fine = _histogram(values, pick)
    found: da.Array = da.blockwise(
        _found, "t", fine, "tnyx", pick, "tp", dtype=np.float32, concatenate=True, align_arrays=False,
        meta=np.empty(0, np.float32),
    )  # fmt: skip
    return found


_SORTED_AT_ONCE = 2**22
"""Pixels of an image whose quantile is found in one task; of larger ones blocks are counted."""


def _kth(values: npt.NDArray[np.float32], *, share: float) -> FloatArray:
    known = values[np.isfinite(values)]
    if not known.size:
        return np.array([np.nan], np.float32)
    rank = max(1, int(share * float(known.size))) - 1
    return np.partition(known, rank)[rank : rank + 1] + np.float32(0)  # -0 becomes 0


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
