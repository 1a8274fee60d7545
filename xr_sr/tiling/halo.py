"""Map a function over blocks with a halo: one task per output block, which reads its tile from any input chunks.

Arrays and sizes only. The input is never rechunked, whether a block lies in one giant chunk or in a hundred slivers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec import Tile
from ..task_warnings import listen
from .blocks import as_array, choose_blocks
from .maker import Blocks, TileMaker
from .source import BandArray, Reader, Source, names_of
from .two_resolutions import Coarse, CoarseReader

if TYPE_CHECKING:
    import dask.array as da

    from .source import Array

__all__ = ["Source", "Tile", "map_tiles"]


def map_tiles(
    function: Callable[..., Array],
    stacks: Sequence[Sequence[BandArray]],
    *,
    scale: int,
    halo: int,
    bands_out: int,
    args: tuple[object, ...] = (),
    reach: int | None = None,
    chunks: Sequence[int | None] | None = None,
    dtype: Any = np.float32,
    split: bool = False,
    coarse: Coarse | None = None,
    table: da.Array | None = None,
    name: str = "map-tiles",
) -> da.Array | list[da.Array]:
    """Apply `function` to every output block of lazy arrays on one grid; nothing is called or read before compute.

    No task is made before it is asked for: the graph costs as much for a million blocks as for one.

    function: at module level, picklable; `function(source, tile, *args)` gives (*lead, bands_out, height * scale,
        width * scale) from `source.take(...)` and depends on no more than `reach` pixels around the tile.
    stacks: groups of planes; `source.take(halo, stack=i)` gives the planes of one group. All share lead, y and x.
    halo: what the tile records as its context. reach: the most context that `take` may be asked for; default `halo`.
    chunks: sides of an output block in input pixels, along (*lead, y, x). None, as a whole or in a place, is one
        element of a leading dimension, and the input's chunk, at least 64, at most 512, and at most 256 MiB of output.
    coarse: planes on a second grid with wider pixels; `source.coarse.take(halo)` gives them.
    table: an array of one chunk, small, which each task gets whole as `source.table`: what was found of the scene.
    split: give one array (*lead, y, x) per output band (one small task more each) instead of one (*lead, band, y, x).

    Returns `dtype`. After optimization there is one task per block, two where an input chunk
    is giant.
    """
    from dask.base import tokenize

    listen()
    reach = halo if reach is None else reach
    planes = [plane for stack in stacks for plane in stack]
    blocks = choose_blocks(planes, chunks, bands_out * scale**2 * np.dtype(dtype).itemsize)
    token = tokenize(function, names_of(stacks), scale, halo, reach, args, blocks, str(dtype))
    if coarse is not None:
        token = tokenize(token, names_of([coarse.planes]), coarse.row, coarse.col, coarse.ratio)
    if table is not None:
        token = tokenize(token, table.name)
    key = f"{name}-{token}"
    read = list(stacks) if coarse is None else [*stacks, coarse.planes]
    maker = TileMaker(
        key,
        Blocks.of(blocks, halo),
        Reader.of(stacks, f"{name}-slice-{token}"),
        function,
        args,
        reach,
        None if coarse is None else CoarseReader.of(coarse, f"{name}-coarse-{token}"),
        None if table is None else (table.name, *(0,) * table.ndim),
    )
    read += [] if table is None else [[(table, None)]]
    return as_array([maker], blocks, read, scale=scale, bands=bands_out, dtype=dtype, split=split)
