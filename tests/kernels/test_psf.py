"""Point spread functions: the width that an MTF asks for, kernels of any rank, and their weights at any phase."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_sr import errors
from xr_sr.kernels.psf import MTF_AT_NYQUIST, Axis, Gaussian, Sampled, gaussian, gaussian_psf, kernel_psf


@pytest.mark.parametrize("band", MTF_AT_NYQUIST)
@pytest.mark.parametrize("factor", [2, 4, 16.67])
def test_the_gaussian_passes_the_bands_share_at_nyquist(band, factor):
    ((along_y, along_x),) = gaussian_psf(band, factor).terms

    assert along_y == along_x
    assert math.exp(-2 * (math.pi * along_y.sigma / (2 * factor)) ** 2) == pytest.approx(MTF_AT_NYQUIST[band])


def test_a_wider_system_has_the_mtf_to_the_square_of_its_width():
    narrow, wide = gaussian_psf(0.26, 4).terms[0][0], gaussian_psf(0.26 ** (1.2**2), 4).terms[0][0]

    assert wide.sigma == pytest.approx(1.2 * narrow.sigma)


@given(
    step=st.floats(1.01, 20),
    origin=st.floats(-3, 3),
    sigma=st.floats(0.5, 9),
    start=st.integers(0, 5),
    length=st.integers(1, 5),
)
def test_weights_belong_to_a_pixel_and_sum_to_one(step, origin, sigma, start, length):
    axis = Axis(12, 10_000, step, origin + 200)
    first, weights = axis.taps(Gaussian(sigma), 0, 12)
    part_first, part = axis.taps(Gaussian(sigma), start, start + length)

    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(part, weights[start : start + length])
    np.testing.assert_array_equal(part_first, first[start : start + length])
    low, high = axis.window(start, start + length, math.ceil(Gaussian(sigma).reach))
    assert low <= part_first.min()
    assert part_first.max() + weights.shape[1] <= high + 2


def test_the_middle_of_the_weights_is_the_middle_of_the_pixel():
    axis = Axis(9, 1000, 3.3, 100.1)
    first, weights = axis.taps(Gaussian(2.0), 0, 9)

    middles = (weights * (first[:, None] + np.arange(weights.shape[1]) + 0.5)).sum(axis=1)

    np.testing.assert_allclose(middles, 100.1 + (np.arange(9) + 0.5) * 3.3, atol=2e-3)


def test_a_kernel_of_any_rank_is_the_sum_of_its_terms():
    kernel = np.random.default_rng(1).random((5, 7))

    terms = kernel_psf(kernel).terms
    again = sum(np.outer(along_y.samples, along_x.samples) for along_y, along_x in terms)

    assert len(terms) == 5
    np.testing.assert_allclose(again, kernel / kernel.sum(), atol=1e-12)
    assert len(kernel_psf(np.ones((4, 4))).terms) == 1


@given(st.floats(-0.5, 0.5))
def test_a_sampled_profile_keeps_its_sum_at_any_phase(phase):
    profile = Sampled((0.1, 0.5, 0.3, 0.1))

    assert profile.weights(np.arange(-5, 6)[None] + phase).sum() == pytest.approx(1)


@pytest.mark.parametrize("make", [lambda: gaussian_psf("B10", 4), lambda: gaussian_psf(1.2, 4), lambda: gaussian(0.0)])
def test_impossible_gaussians_are_refused(make):
    with pytest.raises(errors.OptionError):
        make()


@pytest.mark.parametrize("kernel", [np.ones(3), np.zeros((3, 3)), np.full((2, 2), np.nan)])
def test_impossible_kernels_are_refused(kernel):
    with pytest.raises(errors.OptionError, match="kernel"):
        kernel_psf(kernel)
