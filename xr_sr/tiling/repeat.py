"""Repeat the pixels of masks and classes on a finer grid, in given chunks, one task a block. Arrays and sizes only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import DTypeLike

from ..spec import Tile
from .blocks import layered
from .maker import TileMaker
from .source import Reader, Source

if TYPE_CHECKING:
    import dask.array as da

    from .source import Array


@dataclass(frozen=True)
class FineTile(Tile):
    """The pixels that a block of the finer grid lies in. fine: where the block starts and stops along each axis."""

    fine: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class FineBlocks:
    """Blocks of a finer grid by number along each axis.

    edges: of the blocks along each axis. factors: of the finer grid along each.
    """

    edges: tuple[tuple[int, ...], ...]
    factors: tuple[int, ...]

    @property
    def ranges(self) -> tuple[range, ...]:
        """The numbers of the blocks."""
        return tuple(range(len(edges) - 1) for edges in self.edges)

    def tile(self, at: tuple[int, ...]) -> FineTile:
        """Return the pixels that a block lies in, of which the first and the last may lie in it in part."""
        fine = tuple((edges[n], edges[n + 1]) for edges, n in zip(self.edges, at, strict=True))
        *lead, y, x = (
            (start // factor, -(-stop // factor)) for (start, stop), factor in zip(fine, self.factors, strict=True)
        )
        return FineTile(y=y, x=x, lead=tuple(lead), fine=fine)


def repeat_pixels(
    array: da.Array,
    axes: Sequence[int],
    factor: int,
    chunks: Sequence[Sequence[int]],
    *,
    change: Callable[[Array], Array] | None = None,
    dtype: DTypeLike | None = None,
    name: str = "repeat",
) -> da.Array:
    """Return a lazy array of at least two axes with each pixel repeated along some of them.

    axes: from 0. chunks: of the result, any. change: a function at module level that is applied first, to the pixels of
    a block, and returns `dtype`.
    """
    import dask.array as da
    from dask.base import tokenize

    factors = tuple(factor if axis in axes else 1 for axis in range(array.ndim))
    sizes = tuple(tuple(map(int, each)) for each in chunks)
    assert [sum(each) for each in sizes] == [factor * size for factor, size in zip(factors, array.shape, strict=True)]
    edges = tuple(tuple(itertools.accumulate(each, initial=0)) for each in sizes)
    token = tokenize(array.name, factors, sizes, change, str(dtype))
    reader = Reader.of([[(array, None)]], f"{name}-slice-{token}")
    maker = TileMaker(f"{name}-{token}", FineBlocks(edges, factors), reader, _repeat_tile, (factors, change))
    meta = array._meta if dtype is None else array._meta.astype(dtype)
    return da.Array(layered([maker], [array]), maker.name, chunks=sizes, meta=meta)


def _repeat_tile(
    source: Source, tile: FineTile, factors: tuple[int, ...], change: Callable[[Array], Array] | None
) -> Array:
    block = source.take(0)[..., 0, :, :]
    block = block if change is None else change(block)
    cuts = []
    for axis, (factor, span, (start, stop)) in enumerate(
        zip(factors, (*tile.lead, tile.y, tile.x), tile.fine, strict=True)
    ):
        block = block if factor == 1 else block.repeat(factor, axis=axis)
        cuts.append(slice(start - factor * span[0], stop - factor * span[0]))
    cut: Array = block[tuple(cuts)]
    return cut
