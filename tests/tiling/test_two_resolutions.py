"""The second grid: where its pixels lie, what is outside of the scene, and how they come to the first."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from xr_sr.spec import Tile
from xr_sr.tiling.halo import map_tiles
from xr_sr.tiling.two_resolutions import Coarse, blocks_of, cover, doubled, mirrored_places, owned, repeated


@given(start=st.integers(0, 50), length=st.integers(1, 20), halo=st.integers(0, 20), origin=st.integers(0, 1))
def test_a_cover_holds_the_span_and_one_pixel_more_on_each_side(start, length, halo, origin):
    (first, last), at = cover((start, start + length), halo, origin)

    assert at in (2, 3)
    assert 2 * first - origin + at == start - halo
    assert 2 <= 2 * last - origin - (start + length + halo) <= 3


@given(
    length=st.integers(1, 40),
    side=st.integers(1, 15),
    halo=st.integers(0, 12),
    ratio=st.sampled_from([2, 3, 6]),
    outside=st.integers(0, 5),
)
def test_each_coarse_pixel_is_owned_by_one_tile_of_any_size(length, side, halo, ratio, outside):
    origin = outside % ratio
    found = []
    for start in range(0, length, side):
        span = start, min(start + side, length)
        (first, last), at = cover(span, halo, origin, ratio)
        rows, columns = owned(Tile(y=span, x=span), halo, (at, at), (1, last - first, last - first), ratio)
        found += range(first, last)[rows]

        assert rows == columns
    assert found == list(range((length + origin - 1) // ratio + 1))


@given(length=st.integers(1, 12), origin=st.integers(0, 1))
def test_the_scene_is_mirrored_as_on_the_fine_grid(length, origin):
    """Repeated pixels of the fine scene, mirrored there, are the coarse ones that are found."""
    count = (length + origin + 1) // 2
    fine = np.repeat(np.arange(count), 2)[origin : origin + length]
    wide = np.pad(fine, 3 * length, mode="symmetric")

    span = (-length // 2, count + length // 2)
    places = mirrored_places(span, origin, length)

    for coarse, place in zip(range(*span), places, strict=True):
        inside = [2 * coarse - origin, 2 * coarse - origin + 1]
        assert place in wide[[n + 3 * length for n in inside]]


def test_doubling_is_linear_interpolation_between_centres():
    coarse = np.random.default_rng(0).random((3, 8, 9), dtype=np.float32)

    fine = doubled(coarse, (3, 2), (10, 12))

    wanted = functional.interpolate(torch.from_numpy(coarse)[None], scale_factor=2, mode="bilinear")[0].numpy()
    np.testing.assert_allclose(fine, wanted[:, 3:13, 2:14], rtol=0, atol=3e-7)


def test_blocks_are_what_repeating_made():
    coarse = np.arange(12).reshape(3, 4)

    blocks = blocks_of(repeated(coarse, (0, 0), (6, 8)))

    assert blocks.shape == (2, 2, 3, 4)
    assert (blocks == coarse).all()


def sums(source, tile, halo):
    """The fine planes and, one plane more, the coarse ones repeated."""
    coarse, at = source.coarse.take(halo)
    size = (tile.height + 2 * halo, tile.width + 2 * halo)
    wide = np.concatenate([source.take(halo), repeated(coarse, at, size)], axis=-3)
    return wide[..., halo : size[0] - halo, halo : size[1] - halo].astype("float32")


@pytest.mark.parametrize(("row", "col"), [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("chunks", [3, 100])
def test_one_task_reads_both_grids(row, col, chunks):
    coarse = np.arange(2 * 6 * 7).reshape(2, 6, 7)
    fine = coarse.repeat(2, 1).repeat(2, 2)[:, row:11, col:13]
    planes = [(da.from_array(fine, chunks=4), band) for band in range(2)]
    second = [(da.from_array(coarse, chunks=(1, 2, 3)), band) for band in range(2)]

    out = map_tiles(
        sums, [planes], scale=1, halo=5, bands_out=4, args=(5,), chunks=(chunks, 2), coarse=Coarse(second, row, col)
    ).compute(scheduler="synchronous")

    np.testing.assert_array_equal(out[:2], fine)
    np.testing.assert_array_equal(out[2:], fine)
