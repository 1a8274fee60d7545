from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from xr_sr.registration.channels import _distance_to_gaps, pair_of, slopes


def test_slopes_are_those_of_numpy():
    image = np.random.default_rng(1).normal(size=(2, 17, 19))

    np.testing.assert_array_equal(slopes(image), np.stack(np.gradient(image, axis=(-2, -1)), axis=1))


FRAMES = {
    "all sides": (slice(3, 20), slice(4, 25)),
    "top only": (slice(5, None), slice(None)),
    "left and bottom": (slice(None, 21), slice(2, None)),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_distances_to_a_frame_are_those_of_the_transform(frame):
    known = np.zeros((24, 30), bool)
    known[FRAMES[frame]] = True

    np.testing.assert_array_equal(_distance_to_gaps(known), ndimage.distance_transform_edt(known))


def test_distances_to_holes_are_those_of_the_transform():
    known = np.ones((24, 30), bool)
    known[10:12, 7:9] = known[0, 29] = False

    np.testing.assert_array_equal(_distance_to_gaps(known), ndimage.distance_transform_edt(known))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_channels_have_unit_variance_and_no_nan(kind):
    image = np.random.default_rng(2).normal(0.2, 0.05, (3, 40, 48)).astype("float32")
    image[:, 9:12, 9:12] = np.nan

    pair = pair_of(image, 2 * image + 1, channel="gradients", window=True, dtype=kind)

    assert pair is not None and pair.moving.dtype == kind
    known = pair.known_moving
    assert known[10, 10] == 0 and known[30, 30] == 1
    np.testing.assert_allclose((np.square(pair.moving) * known).sum(axis=(1, 2)) / known.sum(), 1, rtol=1e-3)
    np.testing.assert_allclose(pair.reference, pair.moving, atol=1e-4)


def test_constant_images_have_no_channels():
    flat = np.full((2, 20, 20), 0.3, "float32")

    assert pair_of(flat, flat, channel="gradients", window=True, dtype=np.float32) is None
