"""The standard deviation of regression kriging: by matrix algebra at one pixel, and on draws of its own model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from tests.cubes import reflectance
from tests.kernels.test_kriging_spread import draw_of_the_prior
from tests.kernels.test_regression_kriging import COARSE, FINE, fusion, seen
from xr_sr.kernels.kriging_filters import LEVELS, Observation, taps_of
from xr_sr.kernels.kriging_network import KrigingFusion, sensors_of
from xr_sr.kernels.kriging_spread import FLOOR
from xr_sr.kernels.protocol import RADIUS, BandSensor, Spread
from xr_sr.kernels.psf import Gaussian
from xr_sr.kernels.regression import NOISE, RIDGE, samples_of
from xr_sr.kernels.regression_kriging import EXTRA_WIDTH

ONES = Spread(((1.0, 1.0, 1.0),) * 4)


def judged(network, image: torch.Tensor, spread: Spread = ONES) -> NDArray[np.float32]:
    """(plane, band, y, x): estimates, deviations, and strata where `spread` has no factors."""
    rows, columns = ((side - 2 * network.consumed) * network.upscale for side in image.shape[-2:])
    out = torch.full((1, spread.planes * len(network.gives), rows, columns), float("nan"))
    with torch.no_grad():
        network.write_judged(image, out, spread)
    return out[0].unflatten(0, (spread.planes, -1)).numpy()


def input_of(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> torch.Tensor:
    wide = coarse.repeat(2, -2).repeat(2, -1)
    return torch.from_numpy(np.concatenate([fine, wide]).astype("float32"))[None]


def kriging_variance(observation: Observation, level: float) -> NDArray[np.float64]:
    """What kriging from 13 x 13 pixels leaves of a prior variance of one, by phase, from covariances of all pixels."""
    scale, side = observation.scale, 13
    taps, weights = taps_of(observation)
    around = int(max(-taps[0], taps[-1] - scale + 1))
    size = side * scale + 2 * around
    frequency = np.fft.fftfreq(256 * scale) * scale
    power = (frequency[:, None] ** 2 + frequency**2 + observation.outer_scale**-2) ** -observation.exponent
    covariance = np.fft.ifft2(power).real
    covariance /= covariance[0, 0]
    apart = np.arange(1 - size, size)
    kernel = covariance[np.ix_(apart, apart)]
    aperture = sum(np.outer(rows, columns) for rows, columns in weights)
    seeing = np.zeros((side, side, size, size))
    for i in range(side):
        for j in range(side):
            y, x = (around + place * scale + int(taps[0]) for place in (i, j))
            seeing[i, j, y : y + len(taps), x : x + len(taps)] = aperture
    flat = seeing.reshape(side**2, -1)
    inner = slice(size - 1, 2 * size - 1)
    fields = np.stack([fftconvolve(one, kernel)[inner, inner] for one in seeing.reshape(-1, size, size)])
    first = around + side // 2 * scale
    known = fields[:, first : first + scale, first : first + scale].reshape(side**2, -1)
    between = flat @ fields.reshape(side**2, -1).T

    def at(ratio: float) -> NDArray[np.float64]:
        noisy = between + ratio * np.eye(side**2)
        ones = np.ones((side**2, 1))
        bordered = np.block([[noisy, ones], [ones.T, np.zeros((1, 1))]])
        found = np.linalg.solve(bordered, np.vstack([known, np.ones((1, scale**2))]))[:-1]
        left = 1 - 2 * (found * known).sum(0) + (found * (noisy @ found)).sum(0)
        return left.reshape(scale, scale)

    below = min(int(level), len(LEVELS) - 2)
    return at(LEVELS[below]) * (below + 1 - level) + at(LEVELS[below + 1]) * (level - below)


def level_of(ratio: float) -> float:
    return float(np.clip(np.log10(ratio) + 4, 0, 4))


def noise_of(sensor: BandSensor, mean: float) -> float:
    return sensor.noise.deviation**2 / sensor.noise.at * max(mean, 0.01)


def second_differences(plane: NDArray[np.float64], y: int, x: int) -> NDArray[np.float64]:
    """Along y and x, of the nine pixels around one: (2, 9)."""
    near = [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return np.array([
        [2 * plane[i, j] - plane[i - 1, j] - plane[i + 1, j] for i, j in near],
        [2 * plane[i, j] - plane[i, j - 1] - plane[i, j + 1] for i, j in near],
    ])  # fmt: skip


def roughness_of(observation: Observation) -> float:
    """Their mean square over 12 for a prior variance of one, from covariances in double precision."""
    from xr_sr.kernels.kriging_filters import _covariances

    coarse = _covariances(observation)[0]
    here = len(coarse) // 2
    lines = coarse[here], coarse[:, here]
    return float(sum(6 * one[here] - 8 * one[here + 1] + 2 * one[here + 2] for one in lines) / 12)


def test_it_is_what_matrices_say_at_one_pixel():
    """Both terms, from weights by least squares at each pixel and covariances of all pixels of a window."""
    network, cut = KrigingFusion(FINE, COARSE, channels=8, pairs=2, upscale=2, strength=0.0).eval(), 18
    chance = np.random.default_rng(4)
    fine = reflectance(2, 76, 76, seed=2)
    blurred = fine.reshape(2, 38, 2, 38, 2).mean((2, 4))
    coarse = np.stack([0.6 * blurred[0] + 0.3 * blurred[1], 0.1 + 0.2 * blurred[0]])
    coarse = (coarse + 0.01 * chance.standard_normal(coarse.shape)).astype("float32")
    found = judged(network, input_of(fine, coarse))[1]
    y = x = cut
    first, taps = samples_of(Gaussian(EXTRA_WIDTH), 2)
    rows = np.zeros((38, 76))
    for place in range(6, 32):
        rows[place, 2 * place + first : 2 * place + first + len(taps)] = taps
    guides = np.einsum("iy,kyx,jx->kij", rows, fine.astype("float64"), rows)
    bell = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / (RADIUS / 2)) ** 2)
    weight = np.outer(bell, bell).ravel() / bell.sum() ** 2
    own, narrow = sensors_of(COARSE, 2, 2), sensors_of(FINE, 2)

    def regressed(band: int, i: int, j: int) -> tuple[NDArray[np.float64], float]:
        near = slice(i - RADIUS, i + RADIUS + 1), slice(j - RADIUS, j + RADIUS + 1)
        columns, target = guides[:, *near].reshape(2, -1), coarse[band][near].astype("float64").ravel()
        centred = columns - (columns @ weight)[:, None]
        matrix = (centred * weight) @ centred.T
        matrix += np.eye(2) * (RIDGE / 2 * np.trace(matrix) + NOISE**2)
        slopes = np.linalg.solve(matrix, (centred * weight) @ target)
        return slopes, coarse[band, i, j] - slopes @ guides[:, i, j] - (weight @ target - slopes @ (columns @ weight))

    for band in range(2):
        slopes = regressed(band, y, x)[0]
        residual = np.full((38, 38), np.nan)
        for i in range(y - 2, y + 3):
            for j in range(x - 2, x + 3):
                residual[i, j] = regressed(band, i, j)[1]
        # Moments by four means of three pixels each, as weights of nine pixels along an axis.
        means = np.ones(1)
        for _ in range(4):
            means = np.convolve(means, np.ones(3) / 3)
        around = np.outer(means, means)
        window = coarse[band, y - 4 : y + 5, x - 4 : x + 5].astype("float64")
        mean = (around * window).sum()
        noise = noise_of(own[band], mean)
        signal = 12.5 * max((around * window**2).sum() - mean**2 - noise, 1e-9)
        energy = (second_differences(residual, y, x) ** 2).mean(1).sum() / 12
        prior = max(energy - noise, 0) / roughness_of(own[band].observation) + FLOOR * noise
        wide = prior * kriging_variance(own[band].observation, level_of(noise / signal))
        for quarter in range(4):
            down, right = divmod(quarter, 2)
            place = 2 * y + down, 2 * x + right
            apart = [second_differences(plane.astype("float64"), *place) for plane in fine]
            root = [(12 * roughness_of(sensor.observation)) ** -0.5 for sensor in narrow]
            combined = sum(a * r * d for a, r, d in zip(slopes, root, apart, strict=True))
            nine = slice(place[0] - 1, place[0] + 2), slice(place[1] - 1, place[1] + 2)
            own_noise = [noise_of(s, plane[nine].mean()) for s, plane in zip(narrow, fine, strict=True)]
            total = sum(a**2 * n for a, n in zip(slopes, own_noise, strict=True))
            less = sum(a**2 * n * 12 * r**2 for a, n, r in zip(slopes, own_noise, root, strict=True))
            guided = max((combined**2).mean(1).sum() - less, 0) + FLOOR * total
            left = np.mean([kriging_variance(s.observation, level_of(total / guided)) for s in narrow], axis=0)
            here = slice(2 * down, 2 * down + 2), slice(2 * right, 2 * right + 2)
            expected = np.sqrt(guided * left + wide[here])
            top, start = (4 * (side - network.consumed // 2) + 2 * more for side, more in ((y, down), (x, right)))
            made = found[2 + band, top : top + 2, start : start + 2]
            np.testing.assert_allclose(made, expected, rtol=2e-3)


@pytest.mark.parametrize("own", [0.0, 0.5, 2.0])
def test_it_is_the_rms_of_the_error_on_draws_of_its_model(own):
    """Bands that are mixtures of the guides, and more or less of their own beside: nothing needs to be calibrated."""
    errors, expected = [], []
    network = fusion(strength=0.0)
    for seed in range(2):
        truth = {band: torch.from_numpy(draw_of_the_prior(480, 10 * seed + n)) for n, band in enumerate(FINE)}
        for n, band in enumerate(COARSE):
            rest = torch.from_numpy(draw_of_the_prior(480, 10 * seed + 5 + n)) - 0.3
            truth[band] = 0.05 + 0.5 * truth["B04"] + 0.4 * truth["B08"] + own * rest
        chance = torch.Generator().manual_seed(seed)

        def noisy(band: str, scale: int, image: torch.Tensor, chance: torch.Generator = chance) -> torch.Tensor:
            plane = seen(image.float(), band, scale)
            strength = (sensors_of([band], 4) if scale == 4 else sensors_of([band], 4, 2))[0].noise
            return plane + torch.randn(plane.shape, generator=chance) * torch.from_numpy(strength(plane.numpy()))

        fine = np.stack([noisy(band, 4, truth[band]).numpy() for band in FINE])
        coarse = np.stack([noisy(band, 8, truth[band]).numpy() for band in COARSE])
        estimate, deviation = judged(network, input_of(fine, coarse))
        cut = 4 * network.consumed
        for n, band in enumerate(COARSE):
            errors.append(((estimate[2 + n] - truth[band][cut:-cut, cut:-cut].numpy()) ** 2).mean())
            expected.append((deviation[2 + n] ** 2).mean())

    assert np.sqrt(np.mean(errors)) == pytest.approx(np.sqrt(np.mean(expected)), rel=0.15)


def test_estimates_and_deviations_of_fine_bands_are_those_without_coarse_ones():
    network, image = fusion(), input_of(reflectance(2, 80, 76, seed=1), reflectance(2, 40, 38, seed=2))

    found = judged(network, image, Spread())

    alone = fusion().folded(gives=[0, 1])
    np.testing.assert_array_equal(found[0], network(image)[0].detach().numpy())
    again = judged(alone, image, Spread())
    np.testing.assert_allclose(again, found[:, :2], rtol=0, atol=1e-6)
    assert (found[1] > 0).all()


def test_strata_are_those_of_a_bands_own_pixels_and_factors_belong_to_them():
    """A checkerboard of 20 m pixels is an edge, and bright in its brighter half; guides are even."""
    coarse = np.full((2, 44, 44), 0.1, "float32")
    coarse[1] += 0.06 * (-1.0) ** np.add.outer(np.arange(44), np.arange(44)).astype("float32")
    coarse[1, :, 22:] += 0.3
    image = input_of(np.full((2, 88, 88), 0.2, "float32"), coarse)

    plain = judged(fusion(), image, Spread())
    scaled = judged(fusion(), image, Spread(((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 3.0, 5.0))))

    assert (plain[2, :3] == 0).all()
    assert set(np.unique(plain[2, 3])) == {1, 2}
    assert (plain[2, 3].reshape(16, 8, 16, 8) == plain[2, 3, ::8, ::8][:, None, :, None]).all()
    np.testing.assert_allclose(scaled[1, 2], 2 * plain[1, 2], rtol=1e-5)
    np.testing.assert_allclose(scaled[1, 3], np.choose(plain[2, 3].astype(int), [1, 3, 5]) * plain[1, 3], rtol=1e-5)


def test_even_ground_has_what_the_noise_leaves():
    found = judged(fusion(), torch.full((1, 4, 80, 80), 0.2))

    assert found[1, 2:].min() > 0 and found[1, 2:].max() < 0.01
