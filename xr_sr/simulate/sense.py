"""Blur and resample lazily: each block of coarse pixels gathers the fine ones that its point spread function weighs.

Arrays only. Any ratio of pixel sizes, any phase; a pixel's value does not depend on chunks, since its weights are a
function of its number and its sum runs in one fixed order, in float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from ..kernels.psf import Axis, DoubleArray, Psf
from ..spec import Tile
from ..tiling.blocks import layered
from ..tiling.maker import TileMaker
from ..tiling.regions import Span
from ..tiling.source import Reader, Source

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
After: TypeAlias = Callable[[DoubleArray, tuple[int, ...], tuple[int, int]], DoubleArray]
"""A function of a plane of coarse pixels: (plane, place along the leading dimensions, first row and column)."""

VALID = 0.5
"""Share of a pixel's weight that must lie on valid fine pixels, or it is NaN."""

LARGEST = 2048
"""Fine pixels per side that a block of coarse ones may span."""


@dataclass(frozen=True)
class Response:
    """The response of a sensor in one band. shift: (dy, dx) by which its content is displaced, in coarse pixels."""

    psf: Psf
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Sensor:
    """The response of a sensor in all planes of a cube.

    responses: one for each position along the leading axis `band_axis`, or a single one. least: share of the weight
    that must be valid. after: what is done to each plane at the end, such as noise.
    """

    rows: Axis
    columns: Axis
    responses: tuple[Response, ...]
    band_axis: int | None
    least: float = VALID
    after: After | None = None

    @property
    def reach(self) -> tuple[int, int]:
        """Fine pixels along y and x that a coarse pixel depends on, shifts included."""
        reaches = [
            [
                reach + math.ceil(abs(shift * axis.step))
                for reach, shift, axis in zip(one.psf.reach, one.shift, (self.rows, self.columns), strict=True)
            ]
            for one in self.responses
        ]
        rows, columns = map(max, zip(*reaches, strict=True))
        return rows, columns

    def response(self, lead: tuple[int, ...]) -> Response:
        """Return the response at a place along the leading dimensions."""
        return self.responses[0 if self.band_axis is None else lead[self.band_axis]]


def sense_plane(
    plane: FloatArray,
    sensor: Sensor,
    response: Response,
    y: tuple[int, int],
    x: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> DoubleArray:
    """Apply a response to one plane: fine (y, x), NaN where not valid, to coarse (y, x) float64.

    y, x: numbers of the coarse pixels, (start, stop). origin: row and column of the plane's first pixel in the image.
    A pixel is the weighted mean of its valid fine pixels; NaN where less than `sensor.least` of the weight is valid.
    What lies beyond the image is not valid.
    """
    hole = np.isnan(plane)
    holes = bool(hole.any())
    values, known = (np.where(hole, 0, plane), (~hole).astype("float64")) if holes else (plane, None)
    total, weight = np.zeros((2, y[1] - y[0], x[1] - x[0]))
    for along_y, along_x in response.psf.terms:
        first_row, rows = sensor.rows.taps(along_y, *y, response.shift[0])
        first_column, columns = sensor.columns.taps(along_x, *x, response.shift[1])
        first_row, first_column = first_row - origin[0], first_column - origin[1]
        total += _weigh(_weigh(values, first_row, rows).T, first_column, columns).T
        if known is None:
            weight += rows.sum(axis=1)[:, None] * columns.sum(axis=1)
        else:
            weight += _weigh(_weigh(known, first_row, rows).T, first_column, columns).T
    enough = weight > max(sensor.least - 1e-9, 0)
    total[~enough] = np.nan
    np.divide(total, weight, out=total, where=enough)
    return total


def _weigh(plane: FloatArray, first: npt.NDArray[np.int64], weights: DoubleArray) -> DoubleArray:
    """Sum rows: out[i] = sum_k weights[i, k] * plane[first[i] + k], in the order of k; weights beyond are 0."""
    out = np.zeros((len(first), plane.shape[1]))
    taps, count = weights.shape[1], len(first)
    step = int(first[1] - first[0]) if count > 1 else 1
    if step < 1 or (np.diff(first) != step).any():
        plane, last = np.ascontiguousarray(plane), plane.shape[0] - 1
        for tap in range(taps):
            out += weights[:, tap, None] * plane[np.clip(first + tap, 0, last)]
        return out
    # Rows at even distances are a view of the plane, which gets rows of zeros where weights lie beyond.
    before = max(-int(first[0]), 0)
    after = max(int(first[-1]) + taps - plane.shape[0], 0)
    padded = np.zeros((before + plane.shape[0] + after, plane.shape[1]))
    padded[before : before + plane.shape[0]] = plane
    product = np.empty_like(out)
    for tap in range(taps):
        start = int(first[0]) + before + tap
        out += np.multiply(weights[:, tap, None], padded[start : start + step * (count - 1) + 1 : step], out=product)
    return out


def sense(data: da.Array, sensor: Sensor, *, name: str = "sense") -> da.Array:
    """Apply a sensor to a lazy (*lead, y, x) floating array: (*lead, y, x) of coarse pixels, one task a block.

    Leading chunks stay as they are. Blocks of coarse pixels span about as much ground as the chunks, at most 2048 fine
    pixels a side.
    """
    axes, reaches = (sensor.rows, sensor.columns), sensor.reach
    sides = [_cut(axis, sizes) for axis, sizes in zip(axes, data.chunks[-2:], strict=True)]
    blocks = (*data.chunks[:-2], *sides)
    edges = tuple(tuple(itertools.pairwise(itertools.accumulate(sizes, initial=0))) for sizes in blocks)
    dtype = str(data.dtype)
    key = f"{name}-{tokenize(data.name, sensor, dtype, blocks)}"
    reader = Reader.of([[(data, None)]], f"{key}-slice")
    maker = TileMaker(key, CoarseBlocks(edges, axes, reaches), reader, _sense_block, (sensor, dtype))
    meta = np.empty((0,) * data.ndim, dtype=dtype)
    return da.Array(layered([maker], [data]), key, chunks=blocks, meta=meta)


@dataclass(frozen=True)
class CoarseTile(Tile):
    """The fine pixels that a block of coarse ones depends on. coarse: numbers of the coarse ones along y and x."""

    coarse: tuple[Span, Span] = ((0, 0), (0, 0))


@dataclass(frozen=True)
class CoarseBlocks:
    """Blocks of coarse pixels by number along each dimension.

    spans: of the blocks along (*lead, y, x). axes, reaches: along y and x, as `Sensor` has them.
    """

    spans: tuple[tuple[Span, ...], ...]
    axes: tuple[Axis, Axis]
    reaches: tuple[int, int]

    @property
    def ranges(self) -> tuple[range, ...]:
        """The numbers of the blocks."""
        return tuple(range(len(spans)) for spans in self.spans)

    def tile(self, at: tuple[int, ...]) -> CoarseTile:
        """Return the fine pixels of a block, none where it lies beyond them."""
        *lead, y, x = (spans[n] for spans, n in zip(self.spans, at, strict=True))
        fine_y, fine_x = (
            axis.window(*span, reach) for axis, span, reach in zip(self.axes, (y, x), self.reaches, strict=True)
        )
        return CoarseTile(y=fine_y, x=fine_x, lead=tuple(lead), coarse=(y, x))


def _sense_block(source: Source, tile: CoarseTile, sensor: Sensor, dtype: str) -> FloatArray:
    """Compute the coarse pixels of a tile, (*lead, y, x), from the window of fine pixels that it covers."""
    y, x = tile.coarse
    size = (y[1] - y[0], x[1] - x[0])
    if not source.pieces:
        return np.full((*(stop - start for start, stop in tile.lead), *size), np.nan, dtype)
    planes = source.take(0)[..., 0, :, :]
    out = np.empty((*planes.shape[:-2], *size), dtype=dtype)
    for index in np.ndindex(planes.shape[:-2]):
        place = tuple(first + i for (first, _), i in zip(tile.lead, index, strict=True))
        coarse = sense_plane(planes[index], sensor, sensor.response(place), y, x, (tile.y[0], tile.x[0]))
        if sensor.after is not None:
            coarse = sensor.after(coarse, place, (y[0], x[0]))
        out[index] = coarse
    return out


def _cut(axis: Axis, chunks: tuple[int, ...]) -> tuple[int, ...]:
    span = min(max(max(chunks), 64), LARGEST)
    side = min(max(1, round(span / abs(axis.step))), axis.size)
    whole, rest = divmod(axis.size, side)
    return (side,) * whole + ((rest,) if rest else ())
