from __future__ import annotations

import numpy as np
import pytest
from skimage.registration import phase_cross_correlation

from xr_sr.registration import phase_correlation_shift


def images(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    reference = rng.random(shape).astype(dtype)
    moving = np.roll(reference, (2, -3), (0, 1)) + 0.5 * np.roll(reference, (2, -2), (0, 1)) + 0.3 * rng.random(shape)
    return moving.astype(dtype), reference


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(48, 48), (33, 50), (1, 40), (64, 31)])
@pytest.mark.parametrize("upsample", [1, 7, 50])
def test_gives_the_numbers_of_scikit_image(shape, dtype, upsample):
    for seed in range(4):
        moving, reference = images(shape, dtype, seed)

        found = phase_correlation_shift(moving, reference, upsample=upsample)

        wanted, _, _ = phase_cross_correlation(reference, moving, upsample_factor=upsample)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_lays_moving_on_reference():
    reference = np.random.default_rng(1).random((32, 40))

    dy, dx = phase_correlation_shift(np.roll(reference, (3, -4), (0, 1)), reference)

    assert (dy, dx) == (-3, 4)


def test_equal_images_have_no_shift():
    image = np.random.default_rng(1).random((32, 40)).astype("float32")

    assert phase_correlation_shift(image, image) == (0, 0)


def test_what_cannot_be_compared_is_refused():
    image = np.ones((16, 16))

    with pytest.raises(ValueError, match="one shape"):
        phase_correlation_shift(image, image[:8])
    with pytest.raises(ValueError, match="finite"):
        phase_correlation_shift(image, np.full_like(image, np.nan))
    with pytest.raises(ValueError, match="upsample"):
        phase_correlation_shift(image, image, upsample=0)
