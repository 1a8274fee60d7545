"""Comparing dates by way of another one, where the reference shows too little: in one region of several, and in all."""

from __future__ import annotations

import numpy as np

from tests.registration.test_series import ground
from xr_sr.registration.anchors import ComparedRegion, against_reference, compare_dates
from xr_sr.registration.parts import RegionDates
from xr_sr.registration.series import is_known
from xr_sr.registration.warping import warp

SHIFTS = ((0.0, 0.0), (0.4, -0.3), (-0.2, 0.1), (0.3, 0.3))
"""Of the content of the dates; the reference is the first."""


def dates(seed: int, hidden: tuple[int, ...] = (), gain: float = 1.0) -> list[np.ndarray]:
    """One region on four dates, some of them hidden; the last one brighter by a gain."""
    clear, chance = ground(seed), np.random.default_rng(seed + 50)
    made = [warp(clear, dy, dx, edge="repeat") for dy, dx in SHIFTS]
    made[-1] = made[-1] * gain
    noisy = [image + chance.normal(0, 5e-4, image.shape) for image in made]
    return [np.full_like(image, np.nan) if date in hidden else image for date, image in enumerate(noisy)]


def compared(seed: int, hidden: tuple[int, ...] = (), gain: float = 1.0) -> ComparedRegion:
    images = np.stack(dates(seed, hidden, gain))
    return compare_dates(RegionDates(lambda part: images[:, :, *part], images.shape[-2:], [0, 1], 3.0))


def moved(found: list[list[object]]) -> np.ndarray:
    return np.array([[[-each.shift.dy, -each.shift.dx] for each in region] for region in found])


def test_a_reference_that_shows_enough_is_compared_directly_and_only():
    region = compared(0, hidden=(2,))

    assert region.anchor is None
    assert against_reference([region], 2, 3.0) == [list(region.direct)]


def test_a_region_without_the_reference_keeps_shifts_of_the_others_and_gets_weights():
    found = against_reference([compared(0), compared(1, hidden=(0,))], 2, 3.0)

    assert all(is_known(each) for each in found[0])
    assert not any(each.shift.ok for each in found[1])
    assert all(each.residual < 0.01 for each in found[1])


def test_a_date_that_is_seen_with_an_anchor_only_is_linked_to_the_reference():
    regions = [compared(0, hidden=(2, 3)), compared(1, hidden=(0,), gain=1.1)]

    found = against_reference(regions, 2, 3.0)

    np.testing.assert_allclose(moved(found)[1, 1:], SHIFTS[2:], atol=0.06)
    np.testing.assert_allclose(found[1][2].gain, 1.1, atol=0.02)
    assert not any(each.assumed for region in found for each in region)


def test_regions_with_other_anchors_lie_alike_where_the_reference_is_seen_nowhere():
    regions = [compared(0, hidden=(0,)), compared(1, hidden=(0, 3)), compared(2, hidden=(0,))]
    assert [region.anchor for region in regions] == [2, 1, 2]

    found = moved(against_reference(regions, 2, 3.0))

    wanted = np.array(SHIFTS[1:]) - SHIFTS[3]
    for place, seen in ((0, [0, 1, 2]), (1, [0, 1]), (2, [0, 1, 2])):
        np.testing.assert_allclose(found[place][seen], wanted[seen], atol=0.06)


def test_an_anchor_is_linked_by_a_date_that_is_seen_with_both():
    images = np.stack(dates(0))
    images[0, :, :, 24:] = np.nan  # a strip of the reference, and only one date in it
    images[1, :, 60:], images[2:, :, :, :28] = np.nan, np.nan

    region = compare_dates(RegionDates(lambda part: images[:, :, *part], images.shape[-2:], [0, 1], 3.0))
    found = against_reference([region], 2, 3.0)

    assert region.anchor == 2 and is_known(region.direct[0])
    np.testing.assert_allclose(moved(found)[0], SHIFTS[1:], atol=0.1)
    assert not any(each.assumed for each in found[0])


def test_only_what_nothing_links_to_the_reference_is_assumed():
    regions = [compared(0, hidden=(0, 1)), compared(1, hidden=(2, 3)), compared(2, hidden=(0, 1))]

    found = against_reference(regions, 2, 3.0)

    assert [[each.assumed for each in region] for region in found] == [
        [False, True, True],
        [False] * 3,
        [False, True, True],
    ]
    np.testing.assert_allclose(moved(found)[[0, 2]][:, 1:], [np.array(SHIFTS[2:]) - SHIFTS[3]] * 2, atol=0.06)


def test_one_date_that_is_seen_takes_the_place_of_the_reference():
    found = against_reference([compared(0, hidden=(0, 1, 3))], 2, 3.0)[0]

    assert (found[1].shift.dy, found[1].shift.dx, found[1].residual, found[1].assumed) == (0, 0, 0, True)
    assert not is_known(found[0]) and not is_known(found[2])


def test_nothing_is_known_where_no_date_is_seen():
    found = against_reference([compared(0, hidden=(0, 1, 2, 3))], 2, 3.0)[0]

    assert not any(is_known(each) for each in found)
