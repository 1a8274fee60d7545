from __future__ import annotations

import math

import pytest

from xr_sr.registration.shift import NOTHING, combined, judged


def test_quality_is_one_half_at_the_error_that_is_still_good():
    assert judged(1.0, 0.0, 0.2, 5).quality == pytest.approx(0.5)
    assert judged(1.0, 0.0, 0.19, 5).ok and not judged(1.0, 0.0, 0.21, 5).ok
    assert judged(1.0, 0.0, 0.0, 5).quality == 1


def test_a_shift_beyond_the_limit_is_not_ok_however_sure():
    assert judged(5.0, -5.0, 0.01, 5).ok
    assert not judged(0.0, -5.1, 0.01, 5).ok


def test_what_is_not_finite_is_nothing():
    assert judged(math.nan, 0.0, 0.1, 5) is NOTHING


def test_length_is_the_distance():
    assert judged(3.0, -4.0, 0.1, 5).length == 5


def test_the_surer_place_counts_more_and_a_stray_one_nothing():
    places = [judged(1.0, 0.0, 0.01, 5), judged(1.04, 0.0, 0.02, 5), judged(4.0, 4.0, 0.01, 5), NOTHING]

    both = combined(places, 5)

    assert both.ok
    assert both.dy == pytest.approx((4 * 1.0 + 1.04) / 5)
    assert both.dx == 0


def test_places_that_disagree_make_a_larger_error():
    agreeing = combined([judged(1.0, 0.0, 0.02, 5)] * 4, 5)
    torn = combined([judged(1.0 + step, 0.0, 0.02, 5) for step in (-0.3, -0.1, 0.1, 0.3)], 5)

    assert agreeing.error == pytest.approx(0.01)
    assert torn.error == pytest.approx(math.sqrt(0.05 / 3))


def test_without_a_good_place_the_surest_one_stays_not_ok():
    assert combined([judged(1.0, 0.0, 0.5, 5), judged(2.0, 0.0, 0.9, 5)], 5) == judged(1.0, 0.0, 0.5, 5)
    assert combined([], 5) is NOTHING
