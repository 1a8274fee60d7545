"""How an array is cut: dask blocks, Zarr chunks that divide them, regions of whole blocks that are done or not done.

Numbers only: no array, no store. All places are in output pixels.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ...errors import StoreError

CHUNK = 1024
"""Side of a Zarr chunk by default. 1024 px of int16 are 2 MiB before compression; chunks of 512 cost 1.5 times the
processor time to write (zarr-python's cost per chunk) and four times the files."""

BLOCK = 2048
"""Side of a block where the layout makes blocks itself: 512 input pixels at scale 4."""

_LEAST_CHUNK = 128
_REGION_BLOCKS = 4
_REGION_PX = 4096


@dataclass(frozen=True)
class Cut:
    """How one spatial axis is cut.

    edges: of the blocks, from 0 to the size of the axis. chunk: side of a Zarr chunk; each inner edge is a multiple of
    it. regions: edges of the regions, some of the edges of the blocks.
    """

    edges: tuple[int, ...]
    chunk: int
    regions: tuple[int, ...]

    @property
    def size(self) -> int:
        """The length of the axis in pixels."""
        return self.edges[-1]

    @property
    def block(self) -> int:
        """The largest block, in pixels."""
        return max(stop - start for start, stop in pairwise(self.edges))

    def blocks_of(self, region: int) -> range:
        """Number the blocks that a region is made of."""
        start, stop = self.regions[region], self.regions[region + 1]
        return range(bisect_left(self.edges, start), bisect_left(self.edges, stop))


def edges_of(chunks: Sequence[int]) -> tuple[int, ...]:
    """Convert sizes of chunks into edges: (3, 3, 2) into (0, 3, 6, 8)."""
    return (0, *accumulate(int(size) for size in chunks))


def even_edges(size: int, side: int) -> tuple[int, ...]:
    """Cut an axis into pieces of one side and a rest."""
    return (*range(0, size, side), size)


def choose_cut(
    edges: tuple[int, ...],
    *,
    chunk: int | None = None,
    region_blocks: int | None = None,
    even: bool = False,
    axis: str = "",
) -> Cut:
    """Choose the Zarr chunk and the regions for an axis that comes in blocks.

    chunk: the requested side; raises StoreError if it does not divide the blocks. By default the largest
    side up to 1024 that does. Blocks that no useful side divides (a sliced cube: 300, 512, 512, 200) are replaced by
    even ones, as they are with `even` where they differ in size (shards have one size): compare `Cut.edges` with what
    was given.
    region_blocks: blocks along a side of a region; by default 4, or more where blocks are small, to cover 4096 pixels.
    """
    inner = math.gcd(*edges[1:-1])
    sides = [stop - start for start, stop in pairwise(edges)]
    ragged = even and (len(set(sides[:-1])) > 1 or sides[-1] > sides[0])
    if chunk is not None:
        if chunk < 1 or inner % chunk:
            raise StoreError(
                f"chunks: {chunk} px along {axis!r} do not divide the blocks, whose edges are {_short(edges)}. "
                f"Use one of {_divisors(inner)[-8:]}, or first give the cube blocks that {chunk} px divide: "
                f".chunk({{{axis!r}: {_fitting_block(edges, max(chunk, 1))}}})."
            )
        side = chunk
    else:
        side = CHUNK if inner == 0 else _side(inner)
    if ragged or (chunk is None and inner and side < min(_LEAST_CHUNK, max(sides))):
        side = chunk or min(CHUNK, max(sides))
        edges = even_edges(edges[-1], max(side, max(sides) - max(sides) % side))
    side = min(side, edges[-1])
    return Cut(edges, side, _region_edges(edges, region_blocks))


def _fitting_block(edges: tuple[int, ...], chunk: int) -> int:
    """Return the side of a block, near those that there are, which a chunk divides; -1 for one block of all."""
    sides = [stop - start for start, stop in pairwise(edges)]
    side = min(max(sides), BLOCK) // chunk * chunk or chunk
    return side if side < edges[-1] else -1


def stored_cut(*, chunk: int, unit: int, block: int, regions: tuple[int, ...]) -> Cut:
    """Cut an axis as a store is cut: regions into blocks. unit: what one task must write whole, a chunk or shard."""
    side = max(unit, block - block % unit)
    inner = (stop for first, last in pairwise(regions) for stop in (*range(first + side, last, side), last))
    return Cut((0, *inner), chunk, regions)


def adopt_cut(edges: tuple[int, ...], stored: Cut, *, unit: int) -> Cut:
    """Fit blocks to a store; those that cross one of its units or regions are replaced by blocks of its own."""
    if any(edge % unit for edge in edges[1:-1]) or not set(stored.regions) <= set(edges):
        return stored
    return Cut(edges, stored.chunk, stored.regions)


def even_cut(size: int, *, chunk: int, region_blocks: int | None = None) -> Cut:
    """Cut an axis into even blocks of whole chunks, near 2048 pixels."""
    chunk = min(chunk, size)
    edges = even_edges(size, max(chunk, BLOCK - BLOCK % chunk))
    return Cut(edges, chunk, _region_edges(edges, region_blocks))


def shard_side(cut: Cut) -> int:
    """Return the side of a shard that is exactly one block: a whole number of chunks, as Zarr wants it."""
    return -(-cut.block // cut.chunk) * cut.chunk


def region_numbers(y: Cut, x: Cut) -> list[tuple[int, int]]:
    """Number the regions of a grid, row by row."""
    return [(row, col) for row in range(len(y.regions) - 1) for col in range(len(x.regions) - 1)]


def _region_edges(edges: tuple[int, ...], blocks: int | None) -> tuple[int, ...]:
    count = len(edges) - 1
    mean = edges[-1] / count
    per_region = blocks or max(_REGION_BLOCKS, math.ceil(_REGION_PX / mean))
    regions = math.ceil(count / per_region)
    # Even regions, so that the last one is not a sliver.
    return tuple(edges[round(number * count / regions)] for number in range(regions + 1))


def _side(step: int) -> int:
    """Find the largest divisor up to 1024 of the distance that all blocks keep; or, if tiny, the next one above."""
    divisors = _divisors(step)
    below = [side for side in divisors if side <= CHUNK]
    above = [side for side in divisors if CHUNK < side <= 4 * CHUNK]
    return below[-1] if below[-1] >= _LEAST_CHUNK or not above else above[0]


def _divisors(number: int) -> list[int]:
    small = [side for side in range(1, math.isqrt(number) + 1) if number % side == 0]
    return sorted({*small, *(number // side for side in small)})


def _short(edges: tuple[int, ...]) -> str:
    return str(list(edges)) if len(edges) < 9 else f"[{', '.join(map(str, edges[:5]))}, ..., {edges[-1]}]"
