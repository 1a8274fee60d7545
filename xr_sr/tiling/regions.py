"""Call a function on regions of lazy arrays: one task per region, which reads it from any input chunks.

Arrays and sizes only. What the function returns may be any object; arrays of blocks are made in `halo`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..spec import Tile
from ..task_warnings import listen
from .source import BandArray, Job, Reader, names_of

Span = tuple[int, int]
"""Where a region starts and stops along an axis, in pixels."""


def map_regions(
    function: Callable[..., Any],
    stacks: Sequence[Sequence[BandArray]],
    regions: Sequence[tuple[Span, Span]],
    *,
    args: tuple[object, ...] = (),
    name: str = "map-regions",
) -> Any:
    """Return the lazy list (dask's Delayed) of what `function(source, tile, *args)` returns for each region.

    function: at module level, picklable; it reads `source.take(0)`, or parts of the region: `source.of(tile)`.
    stacks: groups of planes (y, x) on one grid. regions: (rows, columns), in order.
    """
    from dask.base import tokenize
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    listen()
    token = tokenize(function, names_of(stacks), regions, args)
    key = f"{name}-{token}"
    reader = Reader(stacks, f"{name}-slice-{token}")
    graph: dict[Any, Any] = {}
    for number, (rows, columns) in enumerate(regions):
        tile = Tile(y=rows, x=columns, halo=0)
        keys, pieces = reader.gather(graph, tile, 0, (number,))
        graph[(key, number)] = (Job(function, args, pieces, tile, reader.height, reader.width, 0), keys)
    graph[key] = (list, [(key, number) for number in range(len(regions))])
    layer = HighLevelGraph.from_collections(key, graph, dependencies=reader.arrays)  # type: ignore[arg-type]
    return Delayed(key, layer)
