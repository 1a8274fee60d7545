from __future__ import annotations

import re
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xr_sr.errors import StoreError
from xr_sr.io.zarr.layout import Cut, adopt_cut, choose_cut, edges_of, even_cut, even_edges, shard_side, stored_cut

sizes = st.lists(st.integers(1, 3000), min_size=1, max_size=12)


def assert_sound(cut: Cut, size: int) -> None:
    """Every chunk belongs to one block, every block to one region, and nothing is left out."""
    assert cut.size == size
    assert all(start < stop for start, stop in pairwise(cut.edges))
    assert all(edge % cut.chunk == 0 for edge in cut.edges[1:-1])
    assert set(cut.regions) <= set(cut.edges) and {0, size} <= set(cut.regions)
    blocks = [number for region in range(len(cut.regions) - 1) for number in cut.blocks_of(region)]
    assert blocks == list(range(len(cut.edges) - 1))


@settings(deadline=None)
@given(sizes, st.none() | st.integers(1, 5), st.booleans())
def test_any_blocks_are_cut_into_chunks_and_regions_that_nest(blocks, region, even):
    cut = choose_cut(edges_of(blocks), region_blocks=region, even=even)

    assert_sound(cut, sum(blocks))
    assert 1 <= cut.chunk <= 4096


@settings(deadline=None)
@given(sizes)
def test_chunks_are_not_tiny_where_blocks_are_not(blocks):
    cut = choose_cut(edges_of(blocks))

    assert cut.chunk >= min(128, max(blocks), sum(blocks))


@settings(deadline=None)
@given(st.integers(1, 20), st.sampled_from([256, 1024, 2048, 2044]))
def test_even_blocks_stay_as_they_are(count, side):
    edges = edges_of([side] * count)

    assert choose_cut(edges).edges == edges


def test_blocks_of_a_scene_at_scale_four_give_chunks_of_1024_and_regions_of_16_blocks():
    cut = choose_cut(edges_of([2048] * 8))

    assert cut.chunk == 1024
    assert cut.regions == (0, 8192, 16384)


def test_one_block_needs_no_chunk_that_divides_it():
    assert choose_cut((0, 1280)).chunk == 1024
    assert choose_cut((0, 1280, 2560)).chunk == 640
    assert choose_cut((0, 700)).chunk == 700


def test_blocks_of_a_sliced_cube_are_replaced_by_even_ones():
    cut = choose_cut(edges_of([1200, 2048, 2047, 801]))

    assert cut.chunk == 1024
    assert cut.edges == (0, 2048, 4096, 6096)


def test_a_chunk_that_does_not_divide_the_blocks_is_refused_with_those_that_do():
    with pytest.raises(StoreError, match=r"600 px along 'y'.*\[.*512, 1024, 2048\]"):
        choose_cut(edges_of([2048] * 3), chunk=600, axis="y")


@settings(deadline=None)
@given(sizes, st.integers(1, 4000))
def test_what_the_message_about_chunks_advises_works(blocks, chunk):
    edges = edges_of(blocks)
    try:
        assert_sound(choose_cut(edges, chunk=chunk, axis="y"), edges[-1])
    except StoreError as error:
        listed, block = re.search(r"Use one of \[([\d, ]+)\], .*\.chunk\(\{'y': (-?\d+)\}\)", str(error)).groups()
        for other in map(int, listed.split(",")):
            choose_cut(edges, chunk=other, axis="y")
        assert block == "-1" or int(block) < edges[-1]  # no block larger than the scene
        advised = even_edges(edges[-1], edges[-1] if block == "-1" else int(block))
        assert choose_cut(advised, chunk=chunk, axis="y").chunk == min(chunk, edges[-1])


def test_a_small_scene_is_not_told_of_large_blocks():
    with pytest.raises(StoreError, match=r"20 px .*\.chunk\(\{'y': 200\}\)"):
        choose_cut(edges_of([202, 202]), chunk=20, axis="y")


@settings(deadline=None)
@given(sizes, sizes, st.integers(1, 4))
def test_a_store_takes_any_later_blocks(first, second, region):
    stored = choose_cut(edges_of(first), region_blocks=region)
    later = [*accumulate([0, *second])]
    edges = (*(edge for edge in later if edge < stored.size), stored.size)

    adopted = adopt_cut(
        edges,
        stored_cut(chunk=stored.chunk, unit=stored.chunk, block=stored.block, regions=stored.regions),
        unit=stored.chunk,
    )

    assert_sound(adopted, stored.size)
    assert (adopted.chunk, adopted.regions) == (stored.chunk, stored.regions)


@settings(deadline=None)
@given(sizes)
def test_a_shard_is_a_whole_block(blocks):
    cut = choose_cut(edges_of(blocks), even=True)
    side = shard_side(cut)

    assert side % cut.chunk == 0
    assert all(edge % side == 0 for edge in cut.edges[1:-1])


@settings(deadline=None)
@given(st.integers(1, 20_000), st.sampled_from([1, 64, 511, 1024]))
def test_coarser_levels_are_cut_evenly(size, chunk):
    assert_sound(even_cut(size, chunk=chunk), size)
