"""Angles, ERGAS and the quality index against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.scenes import on_grid, texture
from xr_sr import errors, metrics
from xr_sr.metrics.spectral import angle_map


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 0.3, 45.0, 90.0])
def test_sam_measures_a_known_angle_however_small(degrees):
    turn = np.radians(degrees)
    one = np.broadcast_to(np.array([0.3, 0.0])[:, None, None], (2, 8, 8))
    other = np.broadcast_to(0.5 * np.array([np.cos(turn), np.sin(turn)])[:, None, None], (2, 8, 8))
    sr, hr = on_grid(one).astype("float64"), on_grid(other).astype("float64")

    found = metrics.sam(sr.copy(data=one), hr.copy(data=other))

    assert found.dims == ()
    np.testing.assert_allclose(found, degrees, rtol=1e-6, atol=1e-12)


def test_sam_is_blind_to_brightness_and_skips_incomplete_spectra():
    hr = on_grid(texture(4, 16, 16))
    sr = hr * np.linspace(0.2, 3, 16).astype("float32")
    sr[2, 3, 4] = np.nan

    angles = metrics.sam(sr, hr, at="pixel")

    assert angles.dims == ("y", "x")
    assert np.isnan(angles[3, 4])
    assert np.isnan(angles).sum() == 1
    assert float(angles.max()) < 1e-4


def test_ergas_of_a_constant_relative_error():
    """A relative error e in every band gives 100 e / scale."""
    hr = on_grid(np.full((4, 12, 12), 0.2) * np.arange(1, 5)[:, None, None])

    np.testing.assert_allclose(metrics.ergas(hr * np.float32(1.1), hr, scale=4), 2.5, rtol=1e-5)
    assert metrics.ergas(hr, hr, scale=4, at=4).shape == (3, 3)
    with pytest.raises(errors.OptionError, match="single pixels"):
        metrics.ergas(hr, hr, scale=4, at="pixel")
    with pytest.raises(errors.OptionError, match="scale"):
        metrics.ergas(hr, hr, scale=0)


def test_q_index_where_nothing_varies_compares_means():
    one, other = on_grid(np.full((1, 16, 16), 0.2)), on_grid(np.full((1, 16, 16), 0.1))

    np.testing.assert_allclose(metrics.q_index(one, other), 2 * 0.02 / 0.05, rtol=1e-5)
    np.testing.assert_allclose(metrics.q_index(one * 0, other * 0), 1.0)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_the_angle_of_vectors_whose_squares_overflow_is_nan():
    huge = np.full((2, 1, 1), 1e300)

    assert np.isnan(angle_map(huge, -huge)).all()
