"""Conditional simulation: members have the covariance of kriging's error, and agree with the input within the noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from tests.kernels.test_kriging import SCALE, sensor
from tests.kernels.test_kriging_spread import draw_of_the_prior
from xr_sr.kernels.chance import Chance
from xr_sr.kernels.kriging_filters import filters_of
from xr_sr.kernels.protocol import Draws, LeadKeys, simulation_halo
from xr_sr.kernels.sensor_noise import Strength
from xr_sr.kernels.simulation import SimulationKernel, coloring_of
from xr_sr.simulate import degrade
from xr_sr.spec import Tile

NOISE = 5e-4
SENSOR = sensor(Strength(NOISE))
HALO = simulation_halo((SENSOR,))
DRAWS = Draws(8, 0, True, (1,), LeadKeys(((0,),)), LeadKeys(((0,),)), (0, 0), ((1.0, 1.0, 1.0),))


def see(image: np.ndarray) -> np.ndarray:
    return degrade(xr.DataArray(image, dims=("y", "x")), factor=SCALE, mtf=0.26).values


def simulated(seen: np.ndarray, draws: Draws = DRAWS, tile: Tile | None = None) -> np.ndarray:
    """(y, x) to (plane, y, x) without the halo: estimate, standard deviation, members."""
    rows, columns = (side - 2 * HALO for side in seen.shape)
    tile = tile or Tile(y=(0, rows), x=(0, columns), lead=((0, 1),), halo=HALO)
    return SimulationKernel((SENSOR,), draws, "cpu")(seen.astype("float32")[None, None], tile)[0]


@pytest.fixture(scope="module")
def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A draw of the prior, what the sensor sees of it, and members; all without the halo."""
    fine = draw_of_the_prior(640, 1)
    seen = see(fine) + np.random.default_rng(0).normal(0, NOISE, (160, 160))
    inner = slice(HALO * SCALE, -HALO * SCALE)
    return fine[inner, inner], seen[HALO:-HALO, HALO:-HALO], simulated(seen)


def correlation(error: np.ndarray, apart: int) -> float:
    return float((error[:, :-apart] * error[:, apart:]).mean() / (error**2).mean())


def test_members_differ_from_the_estimate_as_the_truth_does(example):
    fine, _, (estimate, deviation, *members) = example
    errors = [member - estimate for member in members[::2]]

    truth = np.sqrt(((fine - estimate) ** 2).mean())
    assert np.sqrt((deviation**2).mean()) == pytest.approx(truth, rel=0.08)
    for apart in (1, 2, 3, 4, 8):
        mean = np.mean([correlation(error, apart) for error in errors])
        assert mean == pytest.approx(correlation(fine - estimate, apart), abs=0.05)


def test_each_phase_varies_as_much_as_the_closed_form_says(example):
    _, _, (_, deviation, *_) = example
    share = filters_of(SENSOR.observation).variance[0]

    by_phase = (deviation.reshape(-1, SCALE, deviation.shape[1] // SCALE, SCALE) ** 2).mean((0, 2))

    np.testing.assert_allclose(by_phase / by_phase.mean(), share / share.mean(), atol=0.05)


def test_members_agree_with_the_input_within_the_noise(example):
    _, seen, (_, _, *members) = example
    inner = slice(6, -6)

    for member in members[:4]:
        missed = (see(member) - seen)[inner, inner]
        assert np.sqrt((missed**2).mean()) == pytest.approx(NOISE, rel=0.1)


def test_pairs_lie_on_both_sides_and_the_deviation_is_theirs(example):
    _, _, (estimate, deviation, *members) = example

    np.testing.assert_allclose(np.mean(members, 0), estimate, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.mean((np.array(members) - estimate) ** 2, 0)), deviation, atol=1e-5)


def test_the_coloring_filter_may_be_cut():
    """A support twice as wide and a rank higher change the variance of kriging's error by a few percent."""
    seen = SENSOR.observation
    short, long = coloring_of(seen), coloring_of(seen, 4 * SCALE, 3)

    def left(kernel: np.ndarray) -> float:
        """Energy of the filter beyond the frequencies that the sensor's pixels resolve."""
        power = np.abs(np.fft.fft2(kernel, (256, 256))) ** 2
        frequency = np.abs(np.fft.fftfreq(256))
        return float(power[np.maximum(frequency[:, None], frequency) > 0.5 / SCALE].sum())

    assert left(short.products.kernel) == pytest.approx(left(long.products.kernel), rel=0.08)


def test_windows_blocks_and_crops_leave_no_trace():
    seen = 0.2 + 0.05 * np.random.default_rng(3).standard_normal((330, 90))
    whole = simulated(seen)

    cut = seen[37 : 37 + 80, 11 : 11 + 70]
    part = simulated(cut, tile=Tile(y=(37, 37 + 40), x=(11, 11 + 30), lead=((0, 1),), halo=HALO))
    moved = simulated(cut, replace(DRAWS, origin=(37, 11)))

    same = whole[:, 37 * SCALE : 77 * SCALE, 11 * SCALE : 41 * SCALE]
    np.testing.assert_allclose(part, same, rtol=0, atol=1e-6)
    np.testing.assert_allclose(moved, same, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"bands": (2,)},
        {"ground": LeadKeys(((5,),))},
        {"ground": LeadKeys(((0,),), (7,))},
        {"origin": (1, 0)},
    ],
)
def test_other_seeds_bands_dates_and_places_are_drawn_otherwise(change):
    seen = 0.2 + 0.05 * np.random.default_rng(3).standard_normal((60, 60))
    one, other = (simulated(seen, draws)[2] - simulated(seen, draws)[0] for draws in (DRAWS, replace(DRAWS, **change)))

    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.15


def test_other_noise_on_the_same_ground_changes_a_little():
    seen = 0.2 + 0.05 * np.random.default_rng(3).standard_normal((60, 60))
    other = replace(DRAWS, noise=LeadKeys(((5,),)))

    one, two = (simulated(seen, draws)[2] - simulated(seen, draws)[0] for draws in (DRAWS, other))

    assert 0 < np.abs(one - two).max() < 0.1 * np.abs(one).max()


def test_bytes_are_those_of_the_pixels_wherever_a_row_begins():
    rows, columns = np.arange(-3, 9), np.arange(-21, 60)
    chance = Chance(3, 4)

    whole, part = chance.plane_bytes(rows, columns), chance.plane_bytes(rows[2:], columns[13:50])

    np.testing.assert_array_equal(part, whole[2:, 13:50])
    assert whole.astype(float).mean() == pytest.approx(127.5, abs=8)
    assert Chance(0, 0).plane_bytes(np.arange(1), np.arange(4)).tolist() == [[68, 174, 142, 26]]  # on any machine
