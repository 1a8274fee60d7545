"""Map a function over blocks with a halo: one task per output block, which reads its tile from any input chunks.

Arrays and sizes only. The input is never rechunked, whether a block lies in one giant chunk or in a hundred slivers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec import Tile
from ..task_warnings import listen
from .source import SIDE, BandArray, Job, Reader, Source, as_array, choose_blocks, names_of
from .two_resolutions import Coarse, CoarseReader

if TYPE_CHECKING:
    import dask.array as da

    from .source import Array

__all__ = ["SIDE", "Source", "Tile", "map_tiles"]


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
    shared = [] if table is None else [(table.name, *(0,) * table.ndim)]

    *lead_blocks, rows, columns = ([*itertools.accumulate(sizes, initial=0)] for sizes in blocks)
    reader = Reader(stacks, f"{name}-slice-{token}")
    second = None if coarse is None else CoarseReader(coarse, f"{name}-coarse-{token}")
    graph: dict[Any, Any] = {}
    for at in itertools.product(*(range(len(sizes)) for sizes in blocks)):
        *lead_at, i, j = at
        lead = tuple((edges[n], edges[n + 1]) for edges, n in zip(lead_blocks, lead_at, strict=True))
        tile = Tile(y=(rows[i], rows[i + 1]), x=(columns[j], columns[j + 1]), lead=lead, halo=halo)
        keys, pieces = reader.gather(graph, tile, reach, at)
        job = Job(function, args, pieces, tile, reader.height, reader.width, reach)
        if second is None:
            graph[(key, *lead_at, 0, i, j)] = (job, keys, None, *shared) if shared else (job, keys)
        else:
            more, both = second.gather(graph, job, at)
            graph[(key, *lead_at, 0, i, j)] = (both, keys, more, *shared)
    return as_array(
        graph,
        key,
        blocks,
        scale=scale,
        bands=bands_out,
        dtype=dtype,
        reader=reader,
        split=split,
        also=[*(second.arrays if second else ()), *([] if table is None else [table])],
    )
