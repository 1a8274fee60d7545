"""Call a function on regions of lazy arrays: one task per region, which reads it from any input chunks.

Arrays and sizes only. What the function returns may be any object; arrays of blocks are made in `halo`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from ..spec import Tile
from ..task_warnings import listen
from .blocks import layered
from .maker import TileMaker
from .source import BandArray, Reader, arrays_of, names_of

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

    listen()
    token = tokenize(function, names_of(stacks), regions, args)
    key = f"{name}-{token}"
    reader = Reader.of(stacks, f"{name}-slice-{token}")
    maker = TileMaker(f"{name}-region-{token}", Regions(tuple(regions)), reader, function, args)
    graph = layered([maker], arrays_of(stacks))
    whole = MaterializedLayer({key: (list, list(maker.keys))})  # a plain tuple: dask can clone it
    layers, needs = {**graph.layers, key: whole}, {**graph.dependencies, key: {maker.name}}
    return Delayed(key, HighLevelGraph(layers, needs))


@dataclass(frozen=True)
class Regions:
    """Regions by number: (rows, columns) each."""

    regions: tuple[tuple[Span, Span], ...]

    @property
    def ranges(self) -> tuple[range, ...]:
        """The numbers of the regions."""
        return (range(len(self.regions)),)

    def tile(self, at: tuple[int, ...]) -> Tile:
        """Return a region as a tile."""
        rows, columns = self.regions[at[0]]
        return Tile(y=rows, x=columns)
