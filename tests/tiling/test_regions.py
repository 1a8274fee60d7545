"""Regions of lazy arrays: one task each, which reads any input chunks, parts of it too, and nothing before it must."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np

from xr_sr.tiling.regions import map_regions
from xr_sr.tiling.source import Source, Tile

REGIONS = [((0, 9), (0, 20)), ((9, 23), (4, 31)), ((5, 6), (30, 31))]


def sums(source: Source, tile: Tile, factor: int) -> tuple[list[int], int]:
    """Sum the planes of a region, and those of its first row."""
    row = source.of(Tile(y=(tile.y[0], tile.y[0] + 1), x=tile.x))
    return (factor * source.take(0).sum(axis=(1, 2), dtype="int64")).tolist(), int(row.take(0).sum(dtype="int64"))


def explode(source: Source, tile: Tile) -> None:
    raise AssertionError("was called")


def test_each_region_is_read_from_chunks_of_any_kind():
    image = np.random.default_rng(0).integers(0, 1000, (3, 23, 31), dtype="uint16")
    planes = [image[:2], image[2:]]

    for cut in ((1, 23, 31), (2, 4, 7), (1, 23, 3)):
        several, one = (da.from_array(part, chunks=cut) for part in planes)
        found = map_regions(sums, [[(several, 1), (one[0], None)]], REGIONS, args=(2,)).compute(scheduler="sync")
        wanted = [image[1:, slice(*y), slice(*x)] for y, x in REGIONS]
        assert found == [([2 * int(plane.sum()) for plane in part], int(part[:, 0].sum())) for part in wanted]


def test_nothing_is_called_before_compute_and_there_is_one_task_for_each_region():
    image = da.zeros((64, 64), chunks=8)

    lazy = map_regions(explode, [[(image, None)]], [((8 * n, 8 * n + 8), (0, 64)) for n in range(8)])

    (optimized,) = dask.optimize(lazy)
    own = [key for key in dict(optimized.__dask_graph__()) if str(key).startswith("('map-regions")]
    assert len(own) == 8
