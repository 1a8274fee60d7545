"""Sharpness finds back the blur that was put in."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from tests.metrics.scenes import texture
from xr_sr import errors, metrics


def edges(sigma: float, noise: float = 0.002, side: int = 128) -> xr.DataArray:
    """Straight edges at four angles, blurred by a Gaussian of `sigma` pixels."""
    y, x = np.mgrid[:side, :side] - side / 2 + 0.3
    steps = [0.1 + 0.1 * (1 + erf((x * np.cos(a) + y * np.sin(a)) / np.sqrt(2) / sigma)) for a in (0.1, 0.5, 1.1, 2)]
    rng = np.random.default_rng(1)
    return xr.DataArray(np.stack(steps) + rng.normal(0, noise, (4, side, side)), dims=("band", "y", "x"))


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0])
def test_edge_response_finds_the_blur(sigma):
    found = metrics.edge_response(edges(sigma))

    np.testing.assert_allclose(found.fwhm, 2.3548 * sigma, rtol=0.03)
    np.testing.assert_allclose(found.rer, erf(0.5 / sigma / np.sqrt(2)), rtol=0.03)
    np.testing.assert_allclose(found.mtf_nyquist, np.exp(-0.5 * (np.pi * sigma) ** 2), rtol=0.25)
    assert (found.edges >= 8).all()


def test_edge_response_says_nothing_without_edges():
    rng = np.random.default_rng(0)
    smooth = xr.DataArray(0.2 + rng.normal(0, 0.002, (1, 64, 64)), dims=("band", "y", "x"))
    for image in (smooth, smooth * np.nan):
        found = metrics.edge_response(image)

        assert np.isnan(found.fwhm).all()
        assert (found.edges == 0).all()


def test_edge_response_does_not_depend_on_chunks(monkeypatch):
    image = edges(1.0)
    whole = metrics.edge_response(image)

    xr.testing.assert_equal(metrics.edge_response(image.chunk(y=30, x=50)).compute(), whole)


def test_mtf_of_a_gaussian_blur_is_gaussian():
    hr = np.random.default_rng(0).random((1, 256, 256))
    sr = gaussian_filter(hr, (0, 1, 1), mode="wrap")
    found = metrics.mtf(*(xr.DataArray(image, dims=("band", "y", "x")) for image in (sr, hr)))
    low = found.sel(frequency=slice(0.03, 0.3))

    assert low.transfer.dims == ("band", "frequency")
    np.testing.assert_allclose(low.transfer[0], np.exp(-2 * (np.pi * low.frequency) ** 2), rtol=0.05)
    assert (low.coherence > 0.98).all()


def test_mtf_tells_invented_detail_from_true_detail():
    hr = texture(2, 128, 128)
    invented = texture(2, 128, 128, seed=9)
    found = metrics.mtf(*(xr.DataArray(image, dims=("band", "y", "x")) for image in (invented, hr)))
    fine = found.sel(frequency=slice(0.1, 0.5))

    assert (abs(fine.amplitude.mean("frequency") - 1) < 0.3).all()
    assert (fine.coherence.mean("frequency") < 0.1).all()
    with pytest.raises(errors.GridError, match="window"):
        metrics.mtf(*(xr.DataArray(image, dims=("band", "y", "x")) for image in (hr, hr)), window=256)
