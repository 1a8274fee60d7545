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
from .blocks import SIDE, as_array, choose_blocks
from .layer import TaskKey
from .maker import Blocks, TileMaker
from .source import BandArray, Job, Reader, Source, mirrored, names_of, shape_of, spans

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
        return list(itertools.product(*self.ranges(y, x)))

    def ranges(self, y: tuple[int, int], x: tuple[int, int]) -> tuple[range, range]:
        """Return the numbers of the rows and of the columns of windows that touch a part of the array."""
        rows, columns = (
            range(
                (start + origin - self.side) // self.step + 1,
                -(-(stop + origin) // self.step),
            )
            for (start, stop), origin in ((y, self.row), (x, self.col))
        )
        return rows, columns

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
    """All of a block's task but its arrays. leads, places: as `Blend` has them."""

    job: Job
    lattice: Lattice
    scale: int
    leads: tuple[tuple[int, ...], ...]
    places: tuple[tuple[tuple[int, int], tuple[int, int]], ...]

    def __call__(self, arrays: Sequence[Array], windows: Sequence[Array]) -> Array:
        """Run the function on chunks of the input and on windows."""
        job = self.job
        size = job.height, job.width
        source = Source(arrays, job.pieces, job.tile, *size, job.reach)
        blend = Blend(windows, self.leads, self.places, job.tile, *size, job.reach, self.lattice, self.scale)
        return job.function(blend, source, job.tile, *job.args)


@dataclass(frozen=True)
class Windows:
    """The windows that touch a scene: their places are (*lead, row, column), numbered as the lattice does.

    name: first part of their keys. size: of the scene, (*lead, y, x).
    """

    name: str
    lattice: Lattice
    size: tuple[int, ...]
    scale: int

    @property
    def ranges(self) -> tuple[range, ...]:
        """The numbers of the elements of the leading dimensions, and of the windows."""
        *lead, height, width = self.size
        return (*map(range, lead), *self.lattice.ranges((0, height), (0, width)))

    def tile(self, at: tuple[int, ...]) -> Tile:
        """Return where a window stands."""
        *element, row, column = at
        y, x = self.lattice.place((row, column))
        return Tile(y=y, x=x, lead=tuple((n, n + 1) for n in element))

    @property
    def names(self) -> tuple[str, ...]:
        """The name of the windows that blocks read."""
        return (self.name,)

    def gather(self, job: Job, at: tuple[int, ...]) -> tuple[list[TaskKey], BlendJob]:
        """Return the keys of the windows that a block needs, and its task."""
        numbers = self.lattice.touching(*spans(job.tile, job.reach, job.height, job.width))
        elements = list(itertools.product(*(range(start, stop) for start, stop in job.tile.lead)))
        keys = [(self.name, *element, *number) for element in elements for number in numbers]
        leads = tuple(element for element in elements for _ in numbers)
        places = tuple(map(self.lattice.place, numbers)) * len(elements)
        return keys, BlendJob(job, self.lattice, self.scale, leads, places)

    def readings(self, tile: Tile, reach: int) -> list[tuple[Reader, Tile, int]]:
        """Return nothing: windows are tasks of their own, and read by themselves."""
        return []


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

    window_reader = Reader.of(stacks[:1], f"{windows_key}-slice")
    reader = Reader.of(stacks, f"{name}-slice-{token}")
    windows = Windows(windows_key, lattice, shape_of(planes[0]), scale)
    makers = [
        TileMaker(windows_key, windows, window_reader, window_function, args),
        TileMaker(key, Blocks.of(blocks, reach), reader, block_function, args, reach, windows),
    ]
    return as_array(makers, blocks, stacks, scale=scale, bands=bands_out, dtype=dtype, split=split)


def _shared(part: tuple[int, int], window: tuple[int, int], scale: int) -> tuple[slice, slice]:
    """Return what a part of an axis and a window share, in output pixels: counted in the part, and in the window."""
    start, stop = max(part[0], window[0]), min(part[1], window[1])
    return (
        slice((start - part[0]) * scale, (stop - part[0]) * scale),
        slice((start - window[0]) * scale, (stop - window[0]) * scale),
    )
