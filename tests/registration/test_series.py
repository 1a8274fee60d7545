"""Comparing the dates of a series: shift, gain and offset against changes, weights, and shifts by region."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xr_sr.registration.estimate import NOTHING, Shift
from xr_sr.registration.series import SAME, WEIGHTS, compare, rounded, settled, weights_of
from xr_sr.registration.warping import warp


def ground(seed: int = 0, side: int = 96, bands: int = 2) -> np.ndarray:
    """Smooth random ground, (band, y, x), around 0.2 with a deviation of 0.03."""
    chance = np.random.default_rng(seed)
    squares = np.add.outer(np.fft.fftfreq(side) ** 2, np.fft.rfftfreq(side) ** 2) + 1e-3
    fields = [np.fft.irfft2(np.fft.rfft2(chance.standard_normal((side, side))) * squares**-0.9) for _ in range(bands)]
    return np.stack([0.2 + 0.03 * field / field.std() for field in fields])


def test_shift_gain_and_offset_of_a_date_are_found():
    reference = ground()
    moving = warp(reference * 1.1 + 0.02, 0.4, -0.3, edge="repeat")
    moving += np.random.default_rng(1).normal(0, 5e-4, moving.shape)

    found = compare(moving, reference, [0, 1], 3.0)

    assert (found.shift.dy, found.shift.dx) == pytest.approx((-0.4, 0.3), abs=0.04)
    np.testing.assert_allclose(found.gain, 1.1, atol=0.01)
    np.testing.assert_allclose(found.offset, 0.02, atol=0.002)
    assert found.residual < 2e-3


def test_ground_that_changed_and_clouds_left_out_do_not_move_the_gain():
    reference = ground(2)
    moving = reference * 0.9 + 0.01
    moving[:, :30, :30] = 0.5
    moving[:, 60:80, 60:80] = np.nan

    found = compare(moving, reference, [0, 1], 3.0)

    assert math.hypot(found.shift.dy, found.shift.dx) < 0.1
    np.testing.assert_allclose(found.gain, 0.9, atol=0.02)


def test_even_ground_says_nothing_of_a_gain():
    reference = np.full((1, 64, 64), 0.3) + np.random.default_rng(0).normal(0, 1e-3, (1, 64, 64))
    reference[:, 20:40, 20:40] += 0.2  # enough to see a shift, too little for the median
    found = compare(reference + 0.05, reference, [0], 3.0)

    assert found.gain[0] == 1.0
    assert found.offset[0] == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize("other", [np.full((2, 96, 96), np.nan), ground(7)])
def test_a_date_without_common_ground_is_not_measured(other: np.ndarray):
    found = compare(other, ground(2), [0, 1], 3.0)

    assert not found.shift.ok
    assert found.residual == math.inf
    np.testing.assert_array_equal(found.gain, 1)


def test_a_region_that_is_too_small_is_not_measured():
    assert compare(ground(side=12), ground(side=12), [0], 3.0).residual == math.inf


def test_dates_that_remain_different_weigh_less_in_few_steps():
    found = weights_of([0.002, 0.002, 0.0021, 0.0028, 0.006, 0.03, math.inf])

    assert found[:4] == [1.0] * 4
    assert found[4] in (0.25, 0.5)
    assert found[5:] == [0.0, 0.0]
    assert set(found) <= {*WEIGHTS, 0.0}
    assert weights_of([math.inf, math.inf]) == [0.0, 0.0]
    assert weights_of([0.004]) == [1.0]


def test_weights_are_rounded_by_their_logarithm():
    assert [rounded(each) for each in (1.0, 0.8, 0.6, 0.3, 0.12, 0.06, 0.04)] == [1.0, 1.0, 0.5, 0.25, 0.1, 0.1, 0.0]


def shift_of(dy: float, dx: float, error: float = 0.01) -> Shift:
    return Shift(dy, dx, 0.99, error, True)


def test_regions_share_the_shift_of_a_date_unless_one_differs_surely():
    near = [shift_of(0.30, 0.1), shift_of(0.31, 0.1), shift_of(0.3, 0.11), NOTHING]

    shared = settled(near, 3.0)

    assert len({(each.dy, each.dx) for each in shared}) == 1
    assert shared[0].dy == pytest.approx(0.303, abs=0.005)
    apart = settled([*near[:3], shift_of(0.3 + 20 * SAME, 0.1, 0.005)], 3.0)
    assert apart[3].dy == pytest.approx(0.9)
    assert apart[0].dy != apart[3].dy


def test_a_date_whose_shift_is_nowhere_known_has_none():
    assert settled([NOTHING, NOTHING], 3.0) == [NOTHING, NOTHING]
