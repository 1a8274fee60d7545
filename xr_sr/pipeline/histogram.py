"""Match the histogram of each band of a result to that of its input, by date, from counts of the whole cube.

Counts of blocks are added up, so that a result does not depend on chunks; it does depend on how much of a scene there
is. The tables are named so that `to_zarr` computes them once, and not again for each region that it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels.histogram import LEVELS, counted_levels, looked_up, table_of
from ..radiometry.convert import Radiometry
from ..runtime.precompute import once_name
from ..spec import Tile
from ..tiling.halo import map_tiles
from .readers import fine_pixels

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from ..tiling.source import BandArray, Source


def matched_to_input(
    made: da.Array,
    stacks: Sequence[Sequence[BandArray]],
    radiometry: Radiometry,
    planes: tuple[int, ...],
    sides: Sequence[int],
) -> da.Array:
    """Return a result (*lead, band, y, x) with the distribution of its input, and nothing below 0.

    stacks: as the tasks of the result read them, a mask among them. planes: for each band its plane of the input.
    sides: of the blocks, in input pixels. Counted are valid pixels that the mask keeps.
    """
    import dask.array as da

    seen = map_tiles(
        counting_block,
        stacks,
        halo=0,
        scale=1,
        bands_out=len(planes),
        args=(radiometry, planes),
        chunks=sides,
        name="sr-counted",
    )
    assert not isinstance(seen, list)
    ours, theirs = (_counts(image) for image in (made, seen))
    tables = da.map_blocks(
        _tables,
        ours,
        theirs,
        name=once_name("distribution", ours.name, theirs.name),
        dtype="float32",
        chunks=(*ours.chunks[:-1], (LEVELS + 1,)),
        meta=np.empty((0,) * ours.ndim, "float32"),
    )
    lead = tuple(range(made.ndim - 3))
    band, y, x, level = (len(lead) + place for place in range(4))
    found: da.Array = da.blockwise(
        _applied,
        (*lead, band, y, x),
        made,
        (*lead, band, y, x),
        tables,
        (*lead, band, level),
        concatenate=True,
        dtype="float32",
        meta=made._meta,
        align_arrays=False,
    )
    return found


def counting_block(source: Source, tile: Tile, radiometry: Radiometry, planes: tuple[int, ...]) -> NDArray[np.float32]:
    """Return reflectance of a block, NaN where it is not valid or the mask keeps nothing: (*lead, band, y, x)."""
    block = fine_pixels(source, tile, radiometry, 0).block[..., list(planes), :, :]
    return np.where(source.take(0, stack=1), block, np.float32(np.nan)) if source.has(1) else block


def _counts(image: da.Array) -> da.Array:
    """Count values in levels: (*lead, band, y, x) to (*lead, band, level)."""
    import dask.array as da

    rows, columns = image.numblocks[-2:]
    counts = da.map_blocks(
        _counted,
        image,
        dtype="int64",
        chunks=(*image.chunks[:-2], (1,) * rows, (1,) * columns, (LEVELS,)),
        new_axis=image.ndim,
        meta=np.empty((0,) * (image.ndim + 1), "int64"),
    )
    found: da.Array = counts.sum(axis=(-3, -2))
    return found


def _counted(block: NDArray[np.float32]) -> NDArray[np.int64]:
    return counted_levels(block)[..., None, None, :]


def _tables(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.float32]:
    pairs = zip(ours.reshape(-1, LEVELS), theirs.reshape(-1, LEVELS), strict=True)
    return np.stack([table_of(*pair) for pair in pairs]).reshape(*ours.shape[:-1], LEVELS + 1)


def _applied(block: NDArray[np.float32], tables: NDArray[Any]) -> NDArray[np.float32]:
    flat = zip(block.reshape(-1, *block.shape[-2:]), tables.reshape(-1, tables.shape[-1]), strict=True)
    return np.stack([looked_up(plane, table) for plane, table in flat]).reshape(block.shape).clip(min=0)
