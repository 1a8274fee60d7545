"""Map a function over overlapping windows at absolute positions, and blend them into blocks. Arrays and sizes only.

A model whose output depends on its whole input (attention, norms over the image, strides) gives one value for a pixel
only if its input is always the same window. So windows of one size lie on a lattice counted from the origin of the CRS;
neighbors overlap, and are blended by weights that sum to one. Two crops of a scene, or two chunkings, have the same
windows wherever these lie inside of both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec import Tile
from ..task_warnings import listen
from .source import SIDE, BandArray, Job, Piece, Reader, Source, as_array, choose_blocks, mirrored, names_of, spans

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from .source import Array

_STEPS = 4096
"""Weights are multiples of 1 / 4096: products of two are exact in float32, and four of them sum to one exactly."""


@dataclass(frozen=True)
class Lattice:
    """Where windows stand. All numbers are input pixels.

    side: of a window. overlap: what neighbors share, at most half of the side. row, col: the place of the array's
    first pixel, counted from the origin of the CRS.
    """

    side: int
    overlap: int
    row: int = 0
    col: int = 0

    @property
    def step(self) -> int:
        """From one window to the next."""
        return self.side - self.overlap

    def touching(self, y: tuple[int, int], x: tuple[int, int]) -> list[tuple[int, int]]:
        """Number the windows that touch a part of the array, row by row: number n begins at n steps from the origin."""
        rows, columns = (
            range(
                (start + origin - self.side) // self.step + 1,
                -(-(stop + origin) // self.step),
            )
            for (start, stop), origin in ((y, self.row), (x, self.col))
        )
        return list(itertools.product(rows, columns))

    def place(self, window: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Get (start, stop) of a window along y and x, counted in the array; it may begin before it or end behind."""
        top, left = window[0] * self.step - self.row, window[1] * self.step - self.col
        return (top, top + self.side), (left, left + self.side)


@cache
def ramp(side: int, overlap: int, scale: int) -> NDArray[np.float32]:
    """Return the weights along one axis of a window: (side * scale,) float32.

    Rising in a straight line over the overlap, one, and falling so that the next window's rise makes it one again.
    """
    count = overlap * scale
    rise = np.round((np.arange(count) + 0.5) / max(count, 1) * _STEPS) / _STEPS
    weights = np.ones(side * scale)
    weights[:count] = rise
    weights[side * scale - count :] = 1 - rise
    return weights.astype(np.float32)


@dataclass(frozen=True)
class Blend:
    """The windows that one block needs, inside its task: `take` blends them.

    windows: (1, ..., band, side * scale, side * scale) each. leads, places: of each the element of the leading
    dimensions, and (start, stop) along y and x in the array.
    """

    windows: Sequence[Array]
    leads: tuple[tuple[int, ...], ...]
    places: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    tile: Tile
    height: int
    width: int
    reach: int
    lattice: Lattice
    scale: int

    def take(self, halo: int) -> Array:
        """Return the blended output: (*lead, band, (height + 2 halo) * scale, (width + 2 halo) * scale).

        halo: input pixels, at most `reach`. Beyond the edge of the scene the output is mirrored, as the input is. Sums
        are taken in the order of the lattice, so a value does not depend, by a bit, on the block that asks for it.
        """
        assert halo <= self.reach
        tile, s = self.tile, self.scale
        y, x = spans(tile, halo, self.height, self.width)
        first = self.windows[0]
        lead = tuple(stop - start for start, stop in tile.lead)
        shape = (*lead, first.shape[-3], (y[1] - y[0]) * s, (x[1] - x[0]) * s)
        out = np.zeros_like(first, shape=shape)
        weights = np.asarray(ramp(self.lattice.side, self.lattice.overlap, s), like=first)
        for window, element, (rows, columns) in zip(self.windows, self.leads, self.places, strict=True):
            to_y, of_y = _shared(y, rows, s)
            to_x, of_x = _shared(x, columns, s)
            if to_y.start >= to_y.stop or to_x.start >= to_x.stop:
                continue
            at = tuple(slice(n - start, n - start + 1) for n, (start, _) in zip(element, tile.lead, strict=True))
            weight = weights[of_y, None] * weights[of_x]
            out[(*at, slice(None), to_y, to_x)] += (window[..., of_y, of_x] * weight).astype(out.dtype)
        return mirrored(out, tile, halo, (y, x), (self.height, self.width), s)


@dataclass(frozen=True)
class BlendJob:
    """All of a block's task but its arrays."""

    function: Callable[..., Array]
    args: tuple[object, ...]
    pieces: tuple[Piece, ...]
    tile: Tile
    height: int
    width: int
    reach: int
    lattice: Lattice
    scale: int
    leads: tuple[tuple[int, ...], ...]
    places: tuple[tuple[tuple[int, int], tuple[int, int]], ...]

    def __call__(self, arrays: Sequence[Array], windows: Sequence[Array]) -> Array:
        """Run the function on chunks of the input and on windows."""
        size = self.height, self.width
        source = Source(arrays, self.pieces, self.tile, *size, self.reach)
        blend = Blend(windows, self.leads, self.places, self.tile, *size, self.reach, self.lattice, self.scale)
        return self.function(blend, source, self.tile, *self.args)


def least_side(lattice: Lattice) -> int:
    """Return the smallest side, in input pixels, that is chosen for the output blocks of windows.

    Larger than of local kernels: windows are what runs in parallel, and those between two graphs run twice.
    """
    return max(lattice.side, min(4 * lattice.side, SIDE))


def map_windows(
    window_function: Callable[..., Array],
    block_function: Callable[..., Array],
    stacks: Sequence[Sequence[BandArray]],
    *,
    lattice: Lattice,
    scale: int,
    bands_out: int,
    args: tuple[object, ...] = (),
    reach: int = 0,
    chunks: Sequence[int | None] | None = None,
    dtype: Any = np.float32,
    split: bool = False,
    name: str = "map-windows",
) -> da.Array | list[da.Array]:
    """Apply one function to windows at fixed places and another to output blocks that blend them; lazy.

    window_function: `function(source, tile, *args)` gives (*lead, band, side * scale, side * scale) for one window of
        one element of the leading dimensions, from `source.take(0)`; windows that hang over the edge of the scene see
        it mirrored. Each runs once in a graph, whatever blocks need it. Both functions are at module level.
    block_function: `function(blend, source, tile, *args)` gives (*lead, bands_out, height * scale, width * scale) from
        `blend.take(...)` and `source.take(...)`, with no more than `reach` pixels around the tile.
    stacks: groups of planes, as in `halo.map_tiles`; windows read the first group only.
    chunks: as in `halo.map_tiles`, by default at least four windows' sides, as far as 512 pixels hold them.

    Returns what `halo.map_tiles` does. One task per block, and one per window that touches the scene.
    """
    from dask.base import tokenize

    listen()
    planes = [plane for stack in stacks for plane in stack]
    bytes_per_pixel = bands_out * scale**2 * np.dtype(dtype).itemsize
    blocks = choose_blocks(planes, chunks, bytes_per_pixel, least=least_side(lattice))
    token = tokenize(window_function, names_of(stacks[:1]), lattice, scale, args, str(dtype))
    windows_key = f"{name}-window-{token}"
    token = tokenize(token, block_function, names_of(stacks), reach, blocks)
    key = f"{name}-{token}"

    *lead_blocks, rows, columns = ([*itertools.accumulate(sizes, initial=0)] for sizes in blocks)
    reader = Reader(stacks, f"{name}-slice-{token}")
    window_reader = Reader(stacks[:1], f"{windows_key}-slice")
    size = reader.height, reader.width
    graph: dict[Any, Any] = {}
    for at in itertools.product(*(range(len(sizes)) for sizes in blocks)):
        *lead_at, i, j = at
        lead = tuple((edges[n], edges[n + 1]) for edges, n in zip(lead_blocks, lead_at, strict=True))
        tile = Tile(y=(rows[i], rows[i + 1]), x=(columns[j], columns[j + 1]), lead=lead, halo=reach)
        numbers = lattice.touching(*spans(tile, reach, *size))
        elements = list(itertools.product(*(range(start, stop) for start, stop in lead)))
        window_keys = []
        for element, number in itertools.product(elements, numbers):
            window_key = (windows_key, *element, *number)
            if window_key not in graph:
                place_y, place_x = lattice.place(number)
                window = Tile(y=place_y, x=place_x, lead=tuple((n, n + 1) for n in element))
                keys, pieces = window_reader.gather(graph, window, 0, (*element, *number))
                graph[window_key] = (Job(window_function, args, pieces, window, *size, 0), keys)
            window_keys.append(window_key)
        keys, pieces = reader.gather(graph, tile, reach, at)
        graph[(key, *lead_at, 0, i, j)] = (
            BlendJob(
                block_function,
                args,
                pieces,
                tile,
                *size,
                reach,
                lattice,
                scale,
                tuple(element for element in elements for _ in numbers),
                tuple(map(lattice.place, numbers)) * len(elements),
            ),
            keys,
            window_keys,
        )
    return as_array(graph, key, blocks, scale=scale, bands=bands_out, dtype=dtype, reader=reader, split=split)


def _shared(part: tuple[int, int], window: tuple[int, int], scale: int) -> tuple[slice, slice]:
    """Return what a part of an axis and a window share, in output pixels: counted in the part, and in the window."""
    start, stop = max(part[0], window[0]), min(part[1], window[1])
    return (
        slice((start - part[0]) * scale, (stop - part[0]) * scale),
        slice((start - window[0]) * scale, (stop - window[0]) * scale),
    )
