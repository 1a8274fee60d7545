from __future__ import annotations

import numpy as np
import pytest

from xr_sr.registration import phase_correlation_shift
from xr_sr.registration.correlation import _around, _correlation_at, _largest


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


def test_a_search_of_few_shifts_finds_what_a_search_of_all_does():
    chance = np.random.default_rng(4)
    shape, steps = (48, 50), np.arange(-75, 76) / 100
    smooth = np.exp(-40 * np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(50)) ** 2)
    frequency = np.fft.fftfreq(48)[:, None] * 0.21 - np.fft.rfftfreq(50) * 0.34
    clear = smooth * np.exp(-2j * np.pi * frequency)
    noise = np.fft.rfft2(chance.normal(size=shape))

    for spectrum in (clear, clear + 0.05 * noise, noise):
        found = _around(spectrum, shape, 2 + steps, steps - 1)

        assert found == _largest(spectrum, shape, 2 + steps, steps - 1)
    assert _around(clear, shape, steps, steps) == (0.21, -0.34, True)


@pytest.mark.parametrize("shape", [(12, 14), (13, 15), (12, 15)])
def test_half_of_a_spectrum_holds_the_whole_correlation(shape):
    image = np.random.default_rng(5).normal(size=shape)
    y, x = np.array([0.0, 1.0, 2.0, -1.37]), np.array([0.0, 1.0, 0.46])
    down = np.exp(2j * np.pi * np.outer(y, np.fft.fftfreq(shape[0])))
    along = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(shape[1]), x))

    found = _correlation_at(np.fft.rfft2(image), shape, y, x)

    np.testing.assert_allclose(found, (down @ np.fft.fft2(image) @ along).real, atol=1e-10)
    np.testing.assert_allclose(found[:3, :2] / image.size, image[:3, :2], atol=1e-12)
