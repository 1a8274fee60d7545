"""Where in a region dates are compared: in the middle, unless clouds or even ground are there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.registration.test_series import ground
from xr_sr.registration.parts import COMPARED, RegionDates, parts_of
from xr_sr.registration.series import compare, is_known
from xr_sr.registration.warping import warp

SHIFTS = ((0.0, 0.0), (0.4, -0.3), (-0.2, 0.1))
"""Of the content of the dates; the reference is the first."""

SIDE = 300
MIDDLE = (slice(SIDE // 2 - 60, SIDE // 2 + 60),) * 2


def dates_of(clear: np.ndarray) -> np.ndarray:
    """(date, band, y, x)."""
    chance = np.random.default_rng(4)
    made = np.stack([warp(clear, dy, dx, edge="repeat") for dy, dx in SHIFTS])
    return (made + chance.normal(0, 5e-4, made.shape)).astype("float32")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return dates_of(ground(3, SIDE))


def compared(images: np.ndarray) -> list[object]:
    dates = RegionDates(lambda part: images[:, :, *part], images.shape[-2:], [0, 1], 3.0)
    return dates.against(0, range(1, len(images)))


def moved(found: list[object]) -> np.ndarray:
    return np.array([[-each.shift.dy, -each.shift.dx] for each in found])


@pytest.mark.parametrize("shape", [(128, 40), (129, 128), (512, 80), (767, 300)])
def test_parts_cover_a_region_that_in_the_middle_first(shape: tuple[int, int]):
    parts = parts_of(*shape)

    covered = np.zeros(shape, int)
    for part in parts[1:] or parts:
        covered[part] += 1
        assert covered[part].shape == tuple(min(side, COMPARED) for side in shape)
    assert covered.min() == 1
    assert all(abs(each.start + each.stop - side) <= 1 for each, side in zip(parts[0], shape, strict=True))


def test_dates_that_are_clear_are_compared_in_the_middle(images: np.ndarray):
    middle = (slice(86, 214),) * 2

    found = compared(images)

    for each, image in zip(found, images[1:], strict=True):
        alone = compare(image[:, *middle], images[0][:, *middle], [0, 1], 3.0)
        assert (each.shift, each.residual) == (alone.shift, alone.residual)


@pytest.mark.parametrize("hidden", [[0], [1, 2], [0, 1, 2]])
def test_a_cloud_in_the_middle_does_not_hinder_the_comparison(images: np.ndarray, hidden: list[int]):
    cloudy = images.copy()
    cloudy[hidden, :, *MIDDLE] = np.nan

    found = compared(cloudy)

    np.testing.assert_allclose(moved(found), SHIFTS[1:], atol=0.04)
    np.testing.assert_allclose(
        [each.residual for each in found], [each.residual for each in compared(images)], rtol=0.5
    )


def test_dates_that_show_other_sides_are_compared_each_on_its_own():
    clear = ground(3, SIDE)
    clear[..., :150] *= 4  # more detail
    images = dates_of(clear)
    images[1, :, :, 80:] = np.nan
    images[2, :, :, :200] = np.nan

    found = compared(images)

    np.testing.assert_allclose(moved(found), SHIFTS[1:], atol=0.04)
    left = compare(images[1, :, 86:214, :128], images[0, :, 86:214, :128], [0, 1], 3.0)
    assert left.residual > 2.5 * found[1].residual
    assert found[0].residual < 0.4 * left.residual


def test_a_lake_in_the_middle_is_no_reason_to_lose_dates():
    lake = ground(3, SIDE)
    lake[:, 80:220, 80:220] = 0.03
    images = dates_of(lake)
    middle = images[:, :, 86:214, 86:214]
    assert not is_known(compare(middle[1], middle[0], [0, 1], 3.0))

    np.testing.assert_allclose(moved(compared(images)), SHIFTS[1:], atol=0.04)


def test_dates_without_common_pixels_are_told_from_those_that_differ(images: np.ndarray):
    apart = images.copy()
    apart[0, :, 150:] = np.nan
    apart[1, :, :150] = np.nan
    apart[2] = ground(9, SIDE)

    found = compared(apart)

    assert not any(map(is_known, found))
    assert math.isnan(found[0].residual) and found[1].residual == math.inf
