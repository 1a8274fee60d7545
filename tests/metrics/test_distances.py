"""Every distance is 0 between equal images, never negative, and what its formula says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xr_sr import errors
from xr_sr.metrics.distances import DISTANCES, find_distance, mtf_patch

IMAGES = hnp.arrays("float64", (3, 16, 17), elements=st.floats(-0.05, 1.5))


@settings(deadline=None, max_examples=20)
@given(x=IMAGES, y=IMAGES)
@example(x=np.full((3, 16, 17), 2.9e-81), y=np.zeros((3, 16, 17)))  # whose squares underflow
def test_distances_are_not_negative_and_zero_for_equal_images(x, y):
    for distance in DISTANCES.values():
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = distance.finish(distance.per_pixel(x, y))
            same = distance.finish(distance.per_pixel(x, x))

        assert not (apart < -1e-12).any(), distance.name
        np.testing.assert_allclose(same, 0, atol=3e-6, err_msg=distance.name)
    assert mtf_patch(x, x, scale=4) == 0
    assert 0 <= mtf_patch(x, y, scale=4) <= 1


def test_distances_of_known_images():
    x, y = np.full((2, 3, 3), 0.3), np.full((2, 3, 3), 0.2)
    expected = {
        "l1": 0.1,
        "l2": 0.01,
        "sad": 0.0,
        "psnr": 80.0,
        "kl": 0.1 * np.log(1.5),
        "pbias": 0.5,
        "nd": 0.2,
    }
    for name, value in expected.items():
        distance = find_distance(name)
        np.testing.assert_allclose(distance.finish(distance.per_pixel(x, y)), value, atol=1e-6)


def test_mtf_of_a_patch():
    rng = np.random.default_rng(0)
    y = rng.random((2, 32, 48))

    assert mtf_patch(0.7 * y, y, scale=4) == pytest.approx(0.3)
    assert mtf_patch(0 * y, y, scale=4) == pytest.approx(1)
    assert np.isnan(mtf_patch(y[:, :8], y[:, :8], scale=4))
    assert np.isnan(mtf_patch(np.where(y > 0.99, np.nan, y), y, scale=4))


def test_a_miss_names_what_there_is():
    with pytest.raises(errors.OptionError, match="'clip'.*l1.*mtf"):
        find_distance("clip")
