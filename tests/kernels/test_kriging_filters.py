"""The filters of kriging against formulas and simulated fields."""

from __future__ import annotations

import numpy as np
import pytest

from xr_sr.kernels import kriging_filters as kriging
from xr_sr.kernels.kriging_filters import LEVELS, RADIUS, SMOOTHING_RADIUS, Filters, Observation, filters_of
from xr_sr.kernels.psf import gaussian_psf, kernel_psf

MTF, SCALE, EXPONENT, OUTER = 0.26, 4, 1.35, 100.0


def observation(scale: int = SCALE, mtf: float = MTF) -> Observation:
    return Observation(gaussian_psf(mtf, scale), scale, EXPONENT, OUTER)


def upsampling(filters: Filters) -> np.ndarray:
    """Weights by (phase y, phase x, pixel y, pixel x)."""
    return np.einsum("rpi,rqj->pqij", filters.along_y, filters.along_x)


def smoothing(filters: Filters, level: int) -> np.ndarray:
    return np.einsum("ri,rj->ij", filters.smoothing_y[level - 1], filters.smoothing_x[level - 1])


@pytest.mark.parametrize("scale", [2, 3, 4, 5, 6, 8, 24])
def test_weights_of_each_phase_sum_to_one(scale):
    filters = filters_of(observation(scale))

    assert np.abs(upsampling(filters).sum((2, 3)) - 1).max() < 1e-6
    for level in range(1, len(LEVELS)):
        assert abs(smoothing(filters, level).sum() - 1) < 1e-12


@pytest.mark.parametrize(("mtf", "most"), [(0.15, 7e-3), (0.22, 4e-3), (0.4, 4e-3)])
def test_products_are_the_filters(mtf, most):
    assert filters_of(observation(mtf=mtf)).error < most


def test_weights_are_those_of_the_integrals_over_frequency():
    """The covariances by integrals of the spectrum and the MTF, not by sums over pixels as the package has them."""
    top, period = 2.0, 256
    frequency = np.arange(int(top * period)) / period
    count = np.where(frequency == 0, 1.0, 2.0)
    power = (frequency[:, None] ** 2 + frequency**2 + OUTER**-2) ** -EXPONENT * count[:, None] * count
    passed = MTF ** (4 * frequency**2)
    side = 2 * RADIUS + 1

    def covariance(distance, gain):
        waves = np.cos(2 * np.pi * np.ravel(distance)[:, None] * frequency) * gain
        return waves @ power @ waves.T / power.sum()

    apart = np.abs(np.arange(side)[:, None] - np.arange(side))
    coarse = covariance(np.arange(side), passed**2)[apart[:, None, :, None], apart[None, :, None, :]]
    phases = (np.arange(SCALE) + 0.5) / SCALE - 0.5
    distances = np.abs(phases[:, None] - np.arange(-RADIUS, RADIUS + 1))
    known = covariance(distances, passed).reshape(SCALE, side, SCALE, side).transpose(1, 3, 0, 2).reshape(side**2, -1)
    matrix = coarse.reshape(side**2, side**2) + LEVELS[0] * np.eye(side**2)
    free, unit = np.linalg.solve(matrix, known), np.linalg.solve(matrix, np.ones((side**2, 1)))
    weights = free + unit * (1 - free.sum(0)) / unit.sum()
    expected = weights.reshape(side, side, SCALE, SCALE).transpose(2, 3, 0, 1)

    found = upsampling(filters_of(observation()))

    assert np.linalg.norm(found - expected) < 5e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_the_posterior_variance_is_the_squared_error_on_fields_of_the_prior(level):
    scale, size = SCALE, 96
    filters, psf = filters_of(observation()), gaussian_psf(MTF, SCALE)
    errors, variances = [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        fine = field(size * scale, scale, random)
        coarse = seen(fine, psf, scale) + random.normal(0, LEVELS[level] ** 0.5, (size, size))
        clean = coarse
        if level:
            clean = filtered(coarse, smoothing(filters, level))
        cut = SMOOTHING_RADIUS if level else 0
        weights = upsampling(filters)
        inner = slice((RADIUS + cut) * scale, -(RADIUS + cut) * scale)
        made = np.zeros_like(fine[inner, inner])
        for row in range(scale):
            for column in range(scale):
                made[row::scale, column::scale] = filtered(clean, weights[row, column])
        squared = (made - fine[inner, inner]) ** 2
        errors.append([[squared[row::scale, column::scale].mean() for column in range(scale)] for row in range(scale)])
        variances.append(filters.variance[level])

    ratio = np.mean(errors, axis=0) / np.mean(variances, axis=0)

    assert np.abs(ratio - 1).max() < 0.12, ratio
    assert abs(ratio.mean() - 1) < 0.06


def test_at_the_smallest_ratio_the_result_agrees_with_its_input():
    """Seen again through the PSF, a wave at the Nyquist frequency of the input keeps nearly all of its contrast."""
    size, scale = 64, SCALE
    coarse = np.cos(np.pi * np.arange(size))[:, None] * np.ones(size)
    weights = upsampling(filters_of(observation()))
    inner = size - 2 * RADIUS
    made = np.zeros((inner * scale, inner * scale))
    for row in range(scale):
        for column in range(scale):
            made[row::scale, column::scale] = filtered(coarse, weights[row, column])

    again = seen(made, gaussian_psf(MTF, scale), scale)
    middle = slice(8, -8)
    gain = (again * coarse[RADIUS:-RADIUS, RADIUS:-RADIUS])[middle, middle].mean()

    assert 0.95 < gain < 1.0


def test_a_point_spread_function_that_is_displaced_moves_the_weights():
    kernel = np.zeros((9, 9))
    kernel[2:5, 3:6] = 1  # its center lies one fine pixel above the middle
    shifted = Observation(kernel_psf(kernel), SCALE, EXPONENT, OUTER)
    weights = kriging._kriging(*kriging._covariances(shifted), LEVELS)[0][2]  # (phase y, pixel y, phase x, pixel x)

    sums = weights.sum((1, 2, 3)) / SCALE
    places = (weights.sum(3) * np.arange(-RADIUS, RADIUS + 1)[None, :, None]).sum((1, 2)) / SCALE

    np.testing.assert_allclose(sums, 1)
    # Phase p lies p - 1.5 fine pixels below the center of its coarse pixel, and p - 0.5 below what that one sees.
    np.testing.assert_allclose(places * SCALE, np.arange(SCALE) - 0.5, atol=0.2)


def field(size: int, scale: int, random: np.random.Generator) -> np.ndarray:
    """A periodic field with the spectrum of the prior and the variance 1."""
    frequency = np.fft.fftfreq(size) * scale
    power = (frequency[:, None] ** 2 + frequency**2 + OUTER**-2) ** -EXPONENT
    waves = np.fft.fft2(random.standard_normal((size, size))) * np.sqrt(power / power.mean())
    return np.fft.ifft2(waves).real


def seen(fine: np.ndarray, psf, scale: int) -> np.ndarray:
    """The fine image through the point spread function, at the centers of coarse pixels; periodic."""
    ((profile, _),) = psf.terms
    reach = psf.reach[0] + scale
    taps = np.arange(-reach, reach + scale)
    weights = profile.weights((taps - (scale - 1) / 2)[None])[0]
    for axis in (0, 1):
        fine = sum(weight * np.roll(fine, -tap, axis) for tap, weight in zip(taps, weights, strict=True))
    return fine[::scale, ::scale]


def filtered(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of the pixels around each one, where all are there."""
    windows = np.lib.stride_tricks.sliding_window_view(image, weights.shape)
    return np.einsum("yxij,ij->yx", windows, weights, optimize=True)
