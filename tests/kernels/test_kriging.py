"""The kernel of kriging on arrays: noise, flat ground, strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.cubes import array, reflectance
from xr_sr.errors import OptionError
from xr_sr.kernels.kriging import SIGNAL_SHARE, Kriger, level_of
from xr_sr.kernels.kriging_filters import LEVELS, Observation, filters_of
from xr_sr.kernels.protocol import BandSensor
from xr_sr.kernels.psf import gaussian_psf
from xr_sr.kernels.sensor_noise import Strength, strength_of
from xr_sr.kernels.window import WindowKernel
from xr_sr.networks import separable
from xr_sr.spec import Tile

SCALE = 4


USUAL = Strength(0.002)


def sensor(noise: Strength = USUAL, scale: int = SCALE) -> BandSensor:
    return BandSensor(Observation(gaussian_psf(0.26, scale), scale, 1.35, 100.0), noise)


def upscaled(image: np.ndarray, noise: Strength = USUAL, *, strength: float = 1.0) -> np.ndarray:
    """(y, x) to the pixels at least `reach` from the edge, finer."""
    kriger = Kriger([sensor(noise)], strength)
    return kriger.predict(torch.from_numpy(image.astype("float32"))[None, None], 0)[0, 0].numpy()


@pytest.mark.parametrize("value", [0.0, 0.003, 0.05, 0.3, 0.6, 1.2])
def test_flat_ground_stays_flat(value):
    made = upscaled(np.full((60, 70), value))

    assert made.shape == (40 * SCALE, 50 * SCALE)
    assert made.std() < 2e-6
    assert abs(made.mean() - value) < 2e-6


def test_noise_on_flat_ground_is_averaged():
    image = 0.2 + np.random.default_rng(1).normal(0, 0.002, (80, 80))

    assert upscaled(image).std() < 0.3 * 0.002


def test_ground_that_varies_much_more_than_the_noise_is_made_as_sharp_as_the_sensor_allows():
    image = 0.2 + 0.1 * np.random.default_rng(1).standard_normal((80, 80))
    filters = filters_of(sensor().observation)
    clean = torch.from_numpy(image[4:-4, 4:-4].astype("float32"))
    sharpest = torch.empty(240, 240)
    separable.Products(filters.along_y, filters.along_x).apply(clean, sharpest)

    made = upscaled(image, Strength(1e-4))

    np.testing.assert_allclose(made, sharpest.numpy(), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("place", range(len(LEVELS)))
def test_the_ratio_of_noise_to_signal_follows_the_variance(place):
    """On a checkerboard, whose variance is the same around every pixel."""
    deviation = 0.002
    signal = deviation**2 / LEVELS[place]
    swing = (signal / SIGNAL_SHARE + deviation**2) ** 0.5 if place < len(LEVELS) - 1 else 0.0
    image = 0.3 + swing * (-1.0) ** np.add.outer(np.arange(40), np.arange(40))
    (band,) = Kriger([sensor(Strength(deviation))], 1.0).bands

    level = level_of(*band.noise_and_signal(torch.from_numpy(image.astype("float32"))))

    np.testing.assert_allclose(level.numpy(), place, atol=0.02)


def test_the_noise_of_a_band_rises_with_the_light():
    rows = np.arange(60)
    ripple = 0.004 * (-1.0) ** np.add.outer(rows, rows)
    (band,) = Kriger([sensor(strength_of("B02"))], 1.0).bands

    images = (torch.from_numpy((each + ripple).astype("float32")) for each in (0.05, 0.8))
    dark, bright = (level_of(*band.noise_and_signal(image)).mean() for image in images)

    assert bright > dark + 0.5


def test_strength_keeps_a_part_of_the_detail_beyond_bicubic():
    image = 0.2 + 0.05 * np.random.default_rng(2).standard_normal((44, 50))
    bicubic = separable.bicubic(SCALE)
    tall = torch.empty(24 * SCALE, 50)
    bicubic.along_y(torch.from_numpy(image.astype("float32")), 10, 24, tall)
    smooth = torch.empty(24 * SCALE, 30 * SCALE)
    bicubic.along_x(tall, 10, 30, smooth)

    whole, none, more = (upscaled(image, strength=strength) for strength in (1.0, 0.0, 1.5))

    np.testing.assert_allclose(none, smooth.numpy(), atol=1e-6)
    np.testing.assert_allclose(more, smooth.numpy() + 1.5 * (whole - smooth.numpy()), atol=1e-5)


def test_windows_leave_no_trace():
    image = (0.2 + 0.05 * np.random.default_rng(3).standard_normal((1, 1, 320, 300))).astype("float32")
    whole = Kriger([sensor()], 1.0)
    kernel = WindowKernel(whole, None, scale=SCALE, halo=10, bands_out=None, device="cpu")

    cut = kernel(image, Tile(y=(0, 300), x=(0, 280), halo=10))

    np.testing.assert_allclose(cut, whole.predict(torch.from_numpy(image), 0).numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dy", "dx"), [(10, 0), (-10, 3), (0, -10), (7, 10)])
def test_a_pixel_depends_on_pixels_within_the_reach_only(dy, dx):
    image = 0.2 + 0.05 * np.random.default_rng(4).standard_normal((61, 61))
    changed = image.copy()
    changed[30, 30] += 0.3
    reach = Kriger.reach

    different = upscaled(changed) != upscaled(image)

    rows, columns = np.nonzero(different)
    for places in (rows, columns):
        assert places.min() // SCALE >= 30 - 2 * reach
        assert places.max() // SCALE <= 30
    moved = upscaled(np.roll(changed, (dy, dx), (0, 1))) != upscaled(np.roll(image, (dy, dx), (0, 1)))
    assert moved.sum() > 0


@pytest.mark.parametrize("option", ["mtf", "noise", "psf"])
def test_a_band_by_two_of_its_names_is_refused(option):
    """One of the two values would be lost."""
    with pytest.raises(OptionError, match="B04"):
        array(reflectance(1, 24, 24), bands=("B04",)).sr.upscale("kriging", **{option: {"B04": 0.3, "red": 0.2}})
