"""Coarse bands guided by fine ones: the regression, and kriging of what it leaves."""

import numpy as np
import pytest
import torch

from tests.cubes import reflectance
from xr_sr.catalog import registry
from xr_sr.catalog.models import Kriging
from xr_sr.kernels.kriging import Kriger
from xr_sr.kernels.kriging_network import KrigingFusion, residual_of
from xr_sr.kernels.measured import agreement_of
from xr_sr.kernels.observe import check_kriging, observed
from xr_sr.kernels.protocol import RADIUS
from xr_sr.kernels.psf import MTF_AT_NYQUIST, Gaussian, width_of
from xr_sr.kernels.regression import NOISE, RIDGE, regress

FINE = ("B04", "B08")
COARSE = ("B8A", "B11")


def fusion(**options: float) -> KrigingFusion:
    """The network of two fine and two coarse bands, with random weights for the fine ones."""
    network = KrigingFusion(FINE, COARSE, channels=8, pairs=2, **options)
    network.load_state_dict(residual_of(FINE, channels=8, pairs=2, seed=1).state_dict())
    return network.eval()


def seen(fine: torch.Tensor, band: str, scale: int) -> torch.Tensor:
    """What a band's sensor sees of an image (y, x), edges repeated."""
    sensor = observed(check_kriging(registry.get("kriging")), [band], scale // 4, 10.0)[0]
    margin = 64
    wide = torch.nn.functional.pad(fine[None, None], (margin,) * 4, mode="replicate")[0, 0]
    size = fine.shape[0] // scale, fine.shape[1] // scale
    return agreement_of(sensor.observation).see(wide, (margin, margin), size)


def given(truth: dict[str, torch.Tensor]) -> torch.Tensor:
    """The network's input for a truth by band: coarse pixels repeated."""
    planes = [seen(truth[band], band, 4) for band in FINE]
    coarse = [seen(truth[band], band, 8) for band in COARSE]
    planes += [plane.repeat_interleave(2, 0).repeat_interleave(2, 1) for plane in coarse]
    return torch.stack(planes)[None]


def landscape(size: int, seed: int) -> torch.Tensor:
    """Fields with sharp edges at any place, (size, size)."""
    chance = np.random.default_rng(seed)
    places = chance.uniform(0, size, (size // 8, 2))
    values = chance.uniform(0.05, 0.4, len(places))
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)
    nearest = np.square(pixels[:, :, None] - places).sum(-1).argmin(-1)
    return torch.from_numpy(values[nearest].astype("float32"))


def test_weights_are_those_of_weighted_least_squares():
    """At one pixel, by NumPy: with the window's Gaussian weights and the ridge."""
    guides, band = reflectance(3, 15, 15, seed=1).astype("float64"), reflectance(15, 15, seed=2).astype("float64")
    (found,) = regress(torch.from_numpy(band)[None], torch.from_numpy(guides)).numpy()
    assert found.shape == (4, 15 - 2 * RADIUS, 15 - 2 * RADIUS)
    y, x = 7, 5
    near = slice(y - RADIUS, y + RADIUS + 1), slice(x - RADIUS, x + RADIUS + 1)
    bell = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / (RADIUS / 2)) ** 2)
    weight = np.outer(bell, bell).ravel() / bell.sum() ** 2
    columns, target = guides[:, *near].reshape(3, -1), band[near].ravel()
    centred = columns - (columns @ weight)[:, None]
    matrix = (centred * weight) @ centred.T
    matrix += np.eye(3) * (RIDGE / 3 * np.trace(matrix) + NOISE**2)
    slopes = np.linalg.solve(matrix, (centred * weight) @ target)
    expected = [*slopes, target @ weight - slopes @ (columns @ weight)]
    np.testing.assert_allclose(found[:, y - RADIUS, x - RADIUS], expected, rtol=1e-9)


@torch.no_grad()
def test_detail_that_guides_show_is_found_in_coarse_bands():
    """Mixtures of the guides have half the error of kriging on their own, and hardly more than the guides' mixture."""
    shares = {"B8A": (0.02, 0.1, 0.9), "B11": (0.05, 0.6, 0.2)}
    truth = {"B04": landscape(480, 1), "B08": landscape(480, 2)}
    truth |= {band: first + red * truth["B04"] + near * truth["B08"] for band, (first, red, near) in shares.items()}
    image, network = given(truth), fusion(strength=0.0)
    made = network(image)[0]
    cut = 4 * network.consumed
    spec = registry.get("kriging")
    assert isinstance(spec, Kriging)
    alone = Kriger(observed(check_kriging(spec), COARSE, 2, 10.0), 1.0).predict(image[:, 2:, ::2, ::2], 0)[0]
    lost = 8 * Kriger.reach
    for place, band in enumerate(COARSE):
        inner = truth[band][cut:-cut, cut:-cut]
        guided = (made[2 + place] - inner).square().mean()
        own = (alone[place] - truth[band][lost:-lost, lost:-lost])[cut - lost : lost - cut, cut - lost : lost - cut]
        first, red, near = shares[band]
        mixed = first + red * made[0] + near * made[1] - inner
        assert guided < 0.6 * own.square().mean(), (band, guided, own.square().mean())
        assert guided < 1.2 * mixed.square().mean(), (band, guided, mixed.square().mean())


@torch.no_grad()
def test_coarse_bands_agree_with_what_was_measured():
    """Unrelated guides or not: seen again by the sensor, ground brighter than its noise is what it was."""
    truth = {band: landscape(480, seed) for seed, band in enumerate((*FINE, *COARSE), start=5)}
    network = fusion()
    image = given(truth)
    made, cut = network(image)[0], network.consumed // 2
    for place, band in enumerate(COARSE):
        again = seen(made[2 + place], band, 8)[3:-3, 3:-3]
        measured = image[0, 2 + place, ::2, ::2][cut:-cut, cut:-cut][3:-3, 3:-3]
        assert float((again - measured).std()) < 0.06 * float(measured.std())


@torch.no_grad()
@pytest.mark.parametrize("level", [0.0, 0.3, 0.6])
def test_even_ground_stays_even(level):
    """No pattern of eight pixels."""
    made = fusion()(torch.full((1, 4, 76, 80), level))
    assert float(made.std()) < 2e-5
    assert abs(float(made.mean()) - level) < 1e-5


@torch.no_grad()
def test_bands_that_are_not_asked_for_are_left_out():
    """What remains is unchanged; fine bands alone need no coarse ones."""
    image = torch.rand(2, 4, 72, 76, generator=torch.Generator().manual_seed(3)) * 0.3
    image[:, 2:] = image[:, 2:, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    whole = fusion()(image)
    for gives in ([1], [0, 3], [2], [2, 3]):
        torch.testing.assert_close(fusion().folded(gives=gives)(image), whole[:, gives], rtol=0, atol=1e-6)
    fine = fusion().folded(gives=[0, 1])(image[:, :2])
    torch.testing.assert_close(fine, whole[:, :2], rtol=0, atol=1e-6)


def test_measured_guides_are_blurred_to_the_sharpness_of_coarse_bands():
    """The blur is what the squares of the two widths leave, in pixels of 10 m, within a tenth for each pair."""
    from xr_sr.kernels.regression_kriging import EXTRA_WIDTH

    fine = np.mean([width_of(MTF_AT_NYQUIST[band]) for band in ("B02", "B03", "B04", "B08")])
    coarse = [2 * width_of(MTF_AT_NYQUIST[band]) for band in ("B05", "B06", "B07", "B8A", "B11", "B12")]
    left = np.sqrt(np.square(coarse) - fine**2)
    assert abs(EXTRA_WIDTH - left.mean()) < 0.05, left
    assert Gaussian(EXTRA_WIDTH).reach > 3
