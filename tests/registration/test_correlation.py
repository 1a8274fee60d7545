from __future__ import annotations

import numpy as np
import pytest

from xr_sr.registration import phase_correlation_shift


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(47, 49), (33, 51), (63, 31)])
@pytest.mark.parametrize("upsample", [1, 7, 50])
def test_finds_the_shift_of_a_periodic_image_to_a_step(dtype, shape, upsample):
    reference = np.random.default_rng(0).random(shape)
    phases = np.fft.fftfreq(shape[0])[:, None] * 2.3 + np.fft.fftfreq(shape[1]) * -1.6
    moving = np.fft.ifft2(np.fft.fft2(reference) * np.exp(2j * np.pi * phases)).real  # moved by (-2.3, 1.6)

    found = phase_correlation_shift(moving.astype(dtype), reference.astype(dtype), upsample=upsample)

    np.testing.assert_allclose(found, (2.3, -1.6), atol=0.51 / upsample)
    np.testing.assert_allclose(np.array(found) * upsample, np.rint(np.array(found) * upsample), atol=1e-4)


def test_an_axis_of_one_pixel_holds_no_shift():
    reference = np.random.default_rng(1).random((1, 40))

    assert phase_correlation_shift(np.roll(reference, 3, axis=1), reference) == (0, -3)


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
