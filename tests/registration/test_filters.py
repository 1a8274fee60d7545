from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from xr_sr.registration import warp
from xr_sr.registration.filters import STRIP, averaged_over_7, filtered, moved_along


@pytest.mark.parametrize("height", [7, STRIP - 1, STRIP, 3 * STRIP + 5])
@pytest.mark.parametrize("axis", [-2, -1])
def test_filtered_is_a_correlation_without_the_edges(height, axis):
    image = np.random.default_rng(1).normal(size=(2, height + 4, height + 9))
    weights = np.array([0.2, -0.1, 0.5, 0.3, 0.7])

    found = filtered(image, weights, axis=axis)

    whole = ndimage.correlate1d(image, weights, axis=axis)
    inner = (slice(None), slice(2, -2)) if axis == -2 else (slice(None), slice(None), slice(2, -2))
    np.testing.assert_allclose(found, whole[inner], atol=1e-14)


def test_an_average_over_7_is_that_of_a_box():
    image = np.random.default_rng(2).normal(size=(3, 20, 31))

    found = averaged_over_7(image.copy())

    np.testing.assert_allclose(found, ndimage.uniform_filter(image, (0, 7, 7))[:, 3:-3, 3:-3], atol=1e-14)


def test_dark_pixels_beside_bright_ones_have_no_rounding_errors_of_theirs():
    image = np.full((9, 400), 1e-9)
    image[:, :200] = 1e6

    assert np.all(averaged_over_7(image)[:, 207:] == averaged_over_7(np.full((9, 9), 1e-9))[0, 0])


@pytest.mark.parametrize("shift", [(0.37, -1.81), (-2.0, 0.5), (3.0, -1.0)])
def test_images_move_along_axes_as_warp_moves_them(shift):
    image = np.random.default_rng(3).normal(size=(2, 40, 44))
    margin = 8

    moved = moved_along(moved_along(image, shift[0], 40 - 2 * margin, axis=-2), shift[1], 44 - 2 * margin, axis=-1)

    expected = warp(image, *shift)[:, margin:-margin, margin:-margin]
    np.testing.assert_allclose(moved, expected, atol=1e-12)
