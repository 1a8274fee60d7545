"""Blocks with context: the result is the same for every way of cutting, and nothing runs before it must."""

from __future__ import annotations

from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from xr_sr.tiling import blocks, halo
from xr_sr.tiling import source as gathering


def box_sum(source: halo.Source, tile: halo.Tile, size: int, scale: int) -> np.ndarray:
    """Sum (2 size + 1)^2 neighbors in integers and repeat: exact, so results can be compared bit for bit."""
    block = source.take(size).astype("int64")
    out = sum(
        block[..., y : y + tile.height, x : x + tile.width] for y in range(2 * size + 1) for x in range(2 * size + 1)
    )
    return out.repeat(scale, -1).repeat(scale, -2)


def explode(source: halo.Source, tile: halo.Tile) -> np.ndarray:
    raise AssertionError("the kernel was called")


def whole_sum(image: np.ndarray, size: int, scale: int) -> np.ndarray:
    """The same without tiles: mirror the whole image and sum."""
    padded = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(size, size)] * 2, mode="symmetric").astype("int64")
    height, width = image.shape[-2:]
    out = sum(padded[..., y : y + height, x : x + width] for y in range(2 * size + 1) for x in range(2 * size + 1))
    return out.repeat(scale, -1).repeat(scale, -2)


def image_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 1000, shape, dtype="uint16")


@st.composite
def cuts(draw: st.DrawFn, length: int) -> tuple[int, ...]:
    """Any way of cutting a length into chunks, slivers included."""
    edges = sorted(draw(st.sets(st.integers(1, length - 1), max_size=6)))
    return tuple(np.diff([0, *edges, length]).tolist())


@settings(deadline=None, max_examples=60)
@given(
    y=cuts(23),
    x=cuts(31),
    bands=st.sampled_from([(3,), (1, 2), (1, 1, 1)]),
    side=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.integers(0, 9),
    scale=st.integers(1, 4),
)
def test_result_does_not_depend_on_input_chunks_or_output_blocks(y, x, bands, side, size, scale):
    image = image_of(2, 3, 23, 31)
    lazy = da.from_array(image, chunks=((1, 1), bands, y, x))

    out = halo.map_tiles(
        box_sum,
        [[(lazy, 2), (lazy, 0)]],
        scale=scale,
        halo=size,
        bands_out=2,
        args=(size, scale),
        chunks=(None, *side),
        dtype="int64",
    )

    assert_array_equal(out.compute(scheduler="sync"), whole_sum(image[:, [2, 0]], size, scale))
    assert out.shape == (2, 2, 23 * scale, 31 * scale)


def test_one_pixel_chunks_and_one_pixel_blocks():
    image = image_of(12, 15)
    lazy = da.from_array(image, chunks=1)

    out = halo.map_tiles(
        box_sum, [[(lazy, None)]], scale=2, halo=3, bands_out=1, args=(3, 2), chunks=(1, 1), dtype="int64"
    )

    assert_array_equal(out.compute(scheduler="sync")[0], whole_sum(image, 3, 2))


def test_halo_larger_than_the_scene_mirrors_again():
    image = image_of(3, 5)
    lazy = da.from_array(image, chunks=(2, 3))

    out = halo.map_tiles(
        box_sum, [[(lazy, None)]], scale=1, halo=11, bands_out=1, args=(11, 1), chunks=(1, 2), dtype="int64"
    )

    assert_array_equal(out.compute(scheduler="sync")[0], whole_sum(image, 11, 1))


def test_dates_can_share_a_block():
    image = image_of(5, 9, 8)
    lazy = da.from_array(image, chunks=((2, 3), 4, 4))

    out = halo.map_tiles(
        box_sum, [[(lazy, None)]], scale=1, halo=1, bands_out=1, args=(1, 1), chunks=(4, None, None), dtype="int64"
    )

    assert out.chunks[0] == (4, 1)
    assert_array_equal(out.compute(scheduler="sync")[:, 0], whole_sum(image, 1, 1))


def test_separate_arrays_give_separate_bands():
    image = image_of(2, 20, 20)
    planes = [(da.from_array(band, chunks=chunk), None) for band, chunk in zip(image, (7, 9), strict=True)]

    one, two = halo.map_tiles(
        box_sum, [planes], scale=3, halo=2, bands_out=2, args=(2, 3), chunks=(11, 6), dtype="int64", split=True
    )

    expected = whole_sum(image, 2, 3)
    assert_array_equal(one.compute(), expected[0])
    assert_array_equal(two.compute(), expected[1])


def test_nothing_runs_before_compute():
    def fail(*_: object) -> None:
        raise AssertionError("the input was read")

    lazy = da.from_array(image_of(4, 64, 64), chunks=32).map_blocks(
        fail, dtype="uint16", meta=np.empty((0, 0, 0), "uint16")
    )

    out = halo.map_tiles(explode, [[(lazy, 0)]], scale=2, halo=1, bands_out=1)

    assert out.shape == (1, 128, 128)
    assert out.dtype == "float32"


def count_tasks(collection: da.Array | xr.Dataset, layer: str) -> int:
    """Count the tasks of a layer after optimisation, those fused with their readers included."""
    (optimised,) = dask.optimize(collection)
    return sum(
        layer in str(key) and type(task).__name__ != "Alias" for key, task in dict(optimised.__dask_graph__()).items()
    )


@pytest.mark.parametrize(("chunk", "side"), [(512, None), (300, None), (64, 256), (2048, None), (2048, 100)])
def test_one_task_per_block_after_optimisation(chunk, side):
    lazy = da.zeros((4, 2048, 2048), chunks=(4, chunk, chunk), dtype="uint16")
    out = halo.map_tiles(
        explode,
        [[(lazy, band) for band in range(4)]],
        scale=4,
        halo=10,
        bands_out=4,
        chunks=(side, side),
        name="tiles",
        reach=20,
    )

    blocks = out.npartitions
    assert count_tasks(out, "tiles") <= 2 * blocks


def test_a_dataset_costs_one_task_more_per_output():
    planes = [(da.zeros((2048, 2048), chunks=512, dtype="uint16"), None) for _ in range(4)]
    out = halo.map_tiles(explode, [planes], scale=4, halo=10, bands_out=4, name="tiles", split=True)

    dataset = xr.Dataset({f"B{n}": (("y", "x"), band) for n, band in enumerate(out)})

    assert count_tasks(dataset, "tiles") <= (2 + 4) * 16


class Reader:
    """An array on disk, as dask sees it, that writes down what was read (to a file: dask may copy this object)."""

    def __init__(self, image: np.ndarray, log: Path) -> None:
        self.image, self.log = image, log
        self.shape, self.dtype, self.ndim = image.shape, image.dtype, image.ndim

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        part = self.image[index]
        with self.log.open("a") as log:
            log.write(f"{part.size}\n")
        return part


def test_a_giant_chunk_is_read_only_where_one_block_needs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(gathering, "GIANT", 1000)
    image, log = image_of(600, 700), tmp_path / "log"
    lazy = da.from_array(Reader(image, log), chunks=-1)
    out = halo.map_tiles(
        box_sum, [[(lazy, None)]], scale=1, halo=4, bands_out=1, args=(4, 1), chunks=(100, 100), dtype="int64"
    )
    log.write_text("")

    block = out.blocks[0, 2, 3].compute(scheduler="sync")

    read = [int(line) for line in log.read_text().split()]
    assert read and max(read) == 108 * 108
    assert_array_equal(block[0], whole_sum(image, 4, 1)[200:300, 300:400])
    assert_array_equal(out.compute()[0], whole_sum(image, 4, 1))


def test_default_blocks_follow_the_input_within_bounds():
    def sides(chunk: int, scale: int = 4, bands: int = 4) -> tuple[int, ...]:
        lazy = da.zeros((3000, 3000), chunks=chunk)
        out = halo.map_tiles(explode, [[(lazy, None)]], scale=scale, halo=1, bands_out=bands)
        return tuple(axis[0] // scale for axis in out.chunks[-2:])

    assert sides(256) == (256, 256)
    assert sides(3000) == (512, 512)
    assert sides(5) == (64, 64)
    assert max(sides(3000, scale=8, bands=10)) < 512


def test_keys_are_the_same_in_every_process():
    lazy = da.zeros((64, 64), chunks=32, name="zeros")
    one = halo.map_tiles(box_sum, [[(lazy, None)]], scale=2, halo=1, bands_out=1, args=(1, 2))
    two = halo.map_tiles(box_sum, [[(lazy, None)]], scale=2, halo=1, bands_out=1, args=(1, 2))
    three = halo.map_tiles(box_sum, [[(lazy, None)]], scale=2, halo=2, bands_out=1, args=(2, 2))

    assert one.name == two.name != three.name


def test_stacks_are_taken_apart():
    image, mask = image_of(20, 20), image_of(20, 20) > 500

    def masked(source: halo.Source, tile: halo.Tile) -> np.ndarray:
        return np.where(source.take(0, stack=1), source.take(0, stack=0), 0)

    out = halo.map_tiles(
        masked,
        [[(da.from_array(image, chunks=7), None)], [(da.from_array(mask, chunks=9), None)]],
        scale=1,
        halo=0,
        bands_out=1,
        chunks=(8, 8),
    )

    assert_array_equal(out.compute()[0], np.where(mask, image, 0))


def test_some_bands_are_views_of_the_blocks_that_hold_all():
    image = np.arange(3 * 2 * 12 * 10).reshape(3, 2, 12, 10)
    whole = da.from_array(image, chunks=(1, 2, 5, 10)).rechunk({1: 2})

    part = blocks.some_bands(whole, 1, 1)

    assert_array_equal(part.compute(scheduler="synchronous"), image[:, 1:2])
    assert part.chunks == (*whole.chunks[:1], (1,), *whole.chunks[2:])
    assert "bands-1-1" in part.name


def plus_table(source: halo.Source, tile: halo.Tile) -> np.ndarray:
    return source.take(0).astype("int64") + int(source.table.sum())


def test_a_table_reaches_each_task_whole_and_changes_the_names_of_results():
    image = image_of(2, 40, 30)
    planes = [[(da.from_array(image, chunks=(1, 16, 16)), 0)]]
    tables = [da.from_array(np.arange(6).reshape(2, 3) + more, chunks=-1) for more in (0, 1)]

    made = [
        halo.map_tiles(plus_table, planes, scale=1, halo=0, bands_out=1, dtype="int64", chunks=(16, 16), table=table)
        for table in tables
    ]

    assert_array_equal(made[0].compute()[0], image[0].astype("int64") + 15)
    assert_array_equal(made[1].compute()[0], image[0].astype("int64") + 21)
    assert made[0].name != made[1].name
