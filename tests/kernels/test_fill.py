"""Holes are filled from nearby, the same way wherever the array was cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from xr_sr.kernels.fill import fill


def slow_fill(plane: np.ndarray, steps: int) -> np.ndarray:
    """Fill one (y, x) plane as the docstring says it, pixel by pixel."""
    now = plane.copy()
    for _ in range(steps):
        known = now.copy()
        for y, x in np.argwhere(np.isnan(known)):
            window = known[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].ravel()
            valid = window[~np.isnan(window)]
            if valid.size:
                total = np.float32(0)
                for value in valid:
                    total += value
                now[y, x] = total / np.float32(valid.size)
    return np.where(np.isnan(now), np.float32(0), now)


def distance_to_valid(hole: np.ndarray) -> np.ndarray:
    """Return the Chebyshev distance of each pixel to the nearest that is no hole; a big number where there is none."""
    there = np.argwhere(~hole)
    if not there.size:
        return np.full(hole.shape, 10_000)
    places = np.indices(hole.shape)[:, :, :, None]
    return np.abs(places - there.T[:, None, None, :]).max(0).min(-1)


@st.composite
def holed(draw: st.DrawFn, *, least: int = 1, most: int = 24, bands: int = 2) -> np.ndarray:
    """Return (band, y, x) float32 with stripes, blobs, salt, and thinned-out ragged versions of them as NaN."""
    height, width = draw(st.integers(least, most)), draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = rng.uniform(-0.05, 1.5, (bands, height, width)).astype(np.float32)
    for band in range(bands):
        hole = rng.random((height, width)) < draw(st.sampled_from([0, 0.02, 0.5, 0.95, 1]))
        for _ in range(draw(st.integers(0, 3))):
            top, left = rng.integers(0, height), rng.integers(0, width)
            down, along = draw(st.sampled_from([1, 3, 9, most])), draw(st.sampled_from([1, 3, 9, most]))
            blob = hole[top : top + down, left : left + along]
            blob |= rng.random(blob.shape) < draw(st.sampled_from([0.6, 1]))
        block[band, hole] = np.nan
    return block


@given(block=holed(most=14), steps=st.integers(0, 6))
@settings(deadline=None, max_examples=60)
def test_equals_the_plain_reference(block, steps):
    filled = fill(block, steps)

    assert_array_equal(filled, [slow_fill(plane, steps) for plane in block])


@given(block=holed(), steps=st.integers(0, 10))
@settings(deadline=None)
def test_leaves_no_nan_and_no_valid_value_changed(block, steps):
    before = block.copy()
    filled = fill(block, steps)

    assert filled.dtype == np.float32
    assert np.isfinite(filled).all()
    assert_array_equal(filled[~np.isnan(before)], before[~np.isnan(before)])
    assert_array_equal(block, before)


@given(data=st.data(), block=holed(least=8, most=40, bands=1), steps=st.integers(1, 5))
@settings(deadline=None, max_examples=200)
def test_is_the_same_in_a_cut_as_in_the_whole(data, block, steps):
    """In a core, `steps` pixels of context of which a kernel reads, filled from a cut of twice that."""
    height, width = block.shape[-2:]
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))

    def grown(by: int) -> tuple[slice, slice]:
        return slice(max(0, top - by), bottom + by), slice(max(0, left - by), right + by)

    cut, seen = grown(2 * steps), grown(steps)
    whole = fill(block, steps)
    part = np.full_like(block, np.nan)
    part[(..., *cut)] = fill(block[(..., *cut)], steps)

    assert part[(..., *seen)].tobytes() == whole[(..., *seen)].tobytes()


@given(block=holed(most=16, bands=1), steps=st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_is_constant_beyond_the_steps_and_within_the_range_of_the_valid_before(block, steps):
    block = block + np.float32(1)  # no valid value is 0
    hole = np.isnan(block[0])
    distance = distance_to_valid(hole)
    filled = fill(block, steps)[0]

    assert_array_equal(filled[distance > steps], 0)
    near = filled[hole & (distance <= steps)]
    assert near.size == 0 or np.nanmin(block) * 0.999 <= near.min() <= near.max() <= np.nanmax(block) * 1.001


@given(block=holed(least=9, most=20, bands=1), steps=st.integers(1, 4), data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_hole_depends_on_pixels_within_its_distance_only(block, steps, data):
    hole = np.isnan(block[0])
    distance = distance_to_valid(hole)
    places = np.argwhere(hole & (distance <= steps))
    if not places.size:
        return
    y, x = places[data.draw(st.integers(0, len(places) - 1))]
    reach = distance[y, x]
    changed = block + np.float32(0.25)
    near = (..., slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1))
    changed[near] = block[near]

    assert fill(changed, steps)[0, y, x] == fill(block, steps)[0, y, x]


def test_one_bad_pixel_becomes_the_mean_of_its_neighbours_and_costs_nothing_else():
    block = np.arange(25, dtype=np.float32).reshape(1, 5, 5)
    block[0, 2, 2] = np.nan
    filled = fill(block, 8)

    assert filled[0, 2, 2] == 12
    assert np.count_nonzero(filled != block) == 1  # the hole itself


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (4, 3), (4, 0), (2, 0), (0, 1)])
def test_a_bad_pixel_at_the_edge_takes_nothing_from_the_other_side(place):
    block = np.full((2, 5, 4), 0.25, np.float32)
    block[(1, *place)] = np.nan
    block[0] = 9  # the plane before, which lies next to it in memory
    opposite = (slice(None), 3 if place[1] == 0 else 0) if place[0] not in (0, 4) else (4 - place[0], slice(None))
    block[1][opposite] = 7

    assert fill(block, 1)[(1, *place)] == slow_fill(block[1], 1)[place] == 0.25


@pytest.mark.parametrize("steps", [0, 1, 10])
def test_a_plane_without_valid_pixels_becomes_zero_and_leaves_the_others_alone(steps):
    block = np.stack([np.full((6, 7), np.nan, np.float32), np.ones((6, 7), np.float32)])

    assert_array_equal(fill(block, steps), np.stack([np.zeros((6, 7)), np.ones((6, 7))]))
    assert_array_equal(fill(block[:1], steps), np.zeros((1, 6, 7)))


def test_without_nan_the_block_itself_comes_back():
    block = np.ones((3, 4, 5), np.float32)

    assert fill(block, 4) is block


@pytest.mark.parametrize("shape", [(0, 4, 4), (1, 0, 4), (2, 1, 0)])
def test_a_block_of_no_pixels_is_fine(shape):
    assert fill(np.empty(shape, np.float32), 4).shape == shape


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_any_number_of_leading_dimensions_is_filled_plane_by_plane(lead):
    rng = np.random.default_rng(0)
    block = rng.random((*lead, 9, 8), np.float32)
    block[rng.random(block.shape) < 0.4] = np.nan
    filled = fill(block, 3)

    planes = block.reshape(-1, 9, 8)
    assert_array_equal(filled.reshape(-1, 9, 8), [slow_fill(plane, 3) for plane in planes])
