"""The standard deviation of kriging's error: by its formula, on draws of its own prior, in blocks and strata."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from tests.kernels.test_kriging import SCALE, USUAL, sensor
from xr_sr.kernels import KernelRef, Spread
from xr_sr.kernels.kriging import Kriger
from xr_sr.kernels.kriging_filters import filters_of
from xr_sr.kernels.sensor_noise import Strength
from xr_sr.kernels.window import WindowKernel
from xr_sr.simulate import degrade
from xr_sr.spec import Tile


def spread_of(image: np.ndarray, spread: Spread, noise: Strength = USUAL) -> np.ndarray:
    """(y, x) to (plane, y, x): the estimate, its standard deviation, and the stratum if `spread` has no factors."""
    kriger = Kriger([sensor(noise)], 1.0, spread)
    return kriger.predict(torch.from_numpy(image.astype("float32"))[None, None], 0)[0].numpy()


def draw_of_the_prior(side: int, seed: int) -> np.ndarray:
    """A field of the power spectrum of kriging's prior, periodic, with deviation 0.05 around 0.3."""
    frequency = np.fft.fftfreq(side)
    power = (frequency[:, None] ** 2 + frequency**2 + (1 / (100 * SCALE)) ** 2) ** -1.35
    white = np.fft.fft2(np.random.default_rng(seed).standard_normal((side, side)))
    field = np.fft.ifft2(white * np.sqrt(power)).real
    return 0.3 + 0.05 * (field - field.mean()) / field.std()


def test_the_estimate_is_that_without_a_spread():
    image = 0.2 + 0.05 * np.random.default_rng(2).standard_normal((44, 50))
    alone = Kriger([sensor()], 1.0).predict(torch.from_numpy(image.astype("float32"))[None, None], 0)

    both = spread_of(image, Spread(((1.0, 1.0, 1.0),)))

    np.testing.assert_array_equal(both[0], alone[0, 0].numpy())
    assert both[1].min() > 0


def test_it_is_the_rms_of_the_error_on_draws_of_the_prior():
    """Where the Gaussian model is true, nothing needs to be calibrated."""
    errors, expected = [], []
    for seed in range(3):
        fine = draw_of_the_prior(512, seed)
        seen = degrade(xr.DataArray(fine, dims=("y", "x")), factor=SCALE, mtf=0.26).values
        seen = seen + np.random.default_rng(seed).normal(0, 5e-4, seen.shape)
        estimate, deviation = spread_of(seen, Spread(((1.0, 1.0, 1.0),)), Strength(5e-4))
        inner = slice(Kriger.reach * SCALE, -Kriger.reach * SCALE)
        errors.append(((estimate - fine[inner, inner]) ** 2).mean())
        expected.append((deviation**2).mean())

    assert np.sqrt(np.mean(errors)) == pytest.approx(np.sqrt(np.mean(expected)), rel=0.1)


def test_flat_ground_has_what_the_noise_leaves():
    _, deviation, stratum = spread_of(np.full((40, 40), 0.2), Spread())

    share = filters_of(sensor().observation).variance[-1]
    np.testing.assert_allclose(deviation[:SCALE, :SCALE], 0.002 * np.sqrt(4 * share), rtol=1e-4)
    assert (stratum == 0).all()


def test_strata_are_flat_edges_and_bright_pixels():
    image = np.full((60, 60), 0.1)
    image[:, 30:] = 0.2
    image[40:, :30] = 0.5
    image[40:] += 0.1 * (-1.0) ** np.arange(60)

    stratum = spread_of(image, Spread())[2][::SCALE, ::SCALE]

    assert (stratum[:20, :15] == 0).all()
    assert (stratum[:18, 19:21] == 1).all()
    assert (stratum[32:, :15] == 2).all()


def test_factors_multiply_by_stratum():
    image = 0.2 + 0.05 * np.random.default_rng(5).standard_normal((60, 60))
    image[:, 30:] = 0.25
    _, plain, stratum = spread_of(image, Spread())

    _, scaled = spread_of(image, Spread(((3.0, 1.0, 0.5),)))

    np.testing.assert_allclose(scaled, plain * np.choose(stratum.astype(int), [3.0, 1.0, 0.5]), rtol=1e-5)
    assert set(np.unique(stratum)) >= {0, 1}


def test_windows_leave_no_trace():
    image = (0.2 + 0.05 * np.random.default_rng(3).standard_normal((1, 1, 620, 300))).astype("float32")
    kriger = Kriger([sensor()], 1.0, Spread())
    kernel = WindowKernel(kriger, None, scale=SCALE, halo=10, bands_out=3, device="cpu")

    cut = kernel(image, Tile(y=(0, 600), x=(0, 280), halo=10))

    np.testing.assert_allclose(cut, kriger.predict(torch.from_numpy(image), 0).numpy(), rtol=0, atol=1e-6)


def test_a_kernel_with_a_spread_is_another_kernel():
    from dask.base import tokenize

    from xr_sr.catalog import registry

    spec = registry.get("kriging")

    assert tokenize(KernelRef(spec)) != tokenize(KernelRef(spec, spread=Spread()))
