"""Agreement with measured pixels, and the projection: against the definition in NumPy, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xr_sr.kernels import agree, measured_reach
from xr_sr.kernels.kriging_filters import RADIUS, Observation
from xr_sr.kernels.measured import Agreement, agreement_of
from xr_sr.kernels.psf import Axis, gaussian, gaussian_psf
from xr_sr.simulate.sense import Response, Sensor, sense_plane

NUMBERS = np.random.default_rng(5)


def seen_by(mtf: float | str, scale: int) -> Observation:
    return Observation(gaussian_psf(mtf, scale), scale, 1.35, 100.0)


def sensed(fine: np.ndarray, seen: Observation, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """D H as the simulator has it, of an image whose first pixel is that of a coarse one."""
    axes = [Axis(side // seen.scale, side, seen.scale) for side in fine.shape]
    response = Response(seen.psf)
    return sense_plane(fine.astype(float), Sensor(*axes, (response,), None), response, rows, columns)


def rms(values: object) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize(("mtf", "scale"), [("B04", 4), ("B05", 8), ("B11", 2), (0.2, 3), ("B01", 24)])
def test_it_sees_as_the_simulated_sensor_does(mtf, scale):
    seen = seen_by(mtf, scale)
    fine = NUMBERS.random((16 * scale, 14 * scale)).astype("float32")

    found = agreement_of(seen).see(torch.from_numpy(fine), (4 * scale, 4 * scale), (8, 6))

    np.testing.assert_allclose(found.numpy(), sensed(fine, seen, (4, 12), (4, 10)), atol=2e-6)


@pytest.mark.parametrize(("mtf", "scale"), [("B04", 4), ("B08", 4), ("B05", 8), ("B11", 8), ("B12", 2), (0.15, 4)])
def test_any_image_agrees_with_what_was_measured(mtf, scale):
    seen, side, context = seen_by(mtf, scale), 40, 10
    fine = NUMBERS.random((side * scale, side * scale)).astype("float32")
    own = NUMBERS.normal(size=(side, side)).cumsum(0).cumsum(1).astype("float32") / side

    made = agreement_of(seen).apply(torch.from_numpy(fine), torch.from_numpy(own), (0, 0), context * scale).numpy()

    span = context + 4, side - context - 4
    before = own[span[0] : span[1], span[0] : span[1]] - sensed(fine, seen, span, span)
    within = (4, side - 2 * context - 4)
    after = own[span[0] : span[1], span[0] : span[1]] - sensed(made, seen, within, within)
    assert rms(after) < 0.02 * rms(before)


@pytest.mark.parametrize(("mtf", "scale"), [("B04", 4), ("B05", 8), ("B11", 8), ("B11", 2)])
def test_the_projection_takes_what_is_seen_and_nothing_more(mtf, scale):
    """For white noise, the roughest of images, D H P r is below 0.1 of D H r, and P P r is P r to 0.1 of its change."""
    seen, side, context = seen_by(mtf, scale), 52, 10
    rough = torch.from_numpy(NUMBERS.normal(size=(side * scale, side * scale)).astype("float32"))

    once = agreement_of(seen).apply(rough, None, (0, 0), context * scale)
    twice = agreement_of(seen).apply(once, None, (0, 0), context * scale).numpy()

    inner = rough[context * scale : -context * scale, context * scale : -context * scale].numpy()
    span = (4, side - 2 * context - 4)
    assert rms(sensed(once.numpy(), seen, span, span)) < 0.1 * rms(sensed(inner, seen, span, span))
    core = once.numpy()[context * scale : -context * scale, context * scale : -context * scale]
    first_change = inner[context * scale : -context * scale, context * scale : -context * scale] - core
    assert rms(twice - core) < 0.1 * rms(first_change)
    assert rms(once.numpy()) > 0.8 * rms(inner), "most of white noise is finer than the sensor sees"


def test_values_depend_on_no_more_than_the_declared_reach():
    seen, scale = seen_by("B05", 8), 4
    reach, side = measured_reach([seen], scale), 80
    fine = NUMBERS.random((1, 1, side * scale, side * scale)).astype("float32")
    own = NUMBERS.random((1, side // 2, side // 2)).astype("float32")
    whole = agree(fine, [own], [(0, 0)], [seen], reach * scale)

    for start, stop in ((0, side), (3, side - 2), (5, side - 11)):
        part = fine[..., start * scale : stop * scale, start * scale : stop * scale]
        made = agree(part, [own], [(-start * scale, -start * scale)], [seen], reach * scale)

        expected = whole[..., start * scale :, start * scale :][..., : made.shape[-2], : made.shape[-1]]
        np.testing.assert_allclose(made, expected, rtol=0, atol=2e-6)


def test_a_band_without_an_observation_stays():
    fine = NUMBERS.random((2, 1, 20, 20)).astype("float32")

    np.testing.assert_array_equal(agree(fine, [None], [(0, 0)], [None], 4), fine[..., 4:-4, 4:-4])


def test_the_reach_covers_the_filters():
    for mtf, scale, ratio in (("B04", 4, 1), ("B05", 4, 2), ("B01", 1, 6), (0.05, 2, 2)):
        seen = seen_by(mtf, scale * ratio)
        operators = Agreement(seen)
        needed = RADIUS * seen.scale + max(operators.before, operators.after) + (seen.scale - 1 if ratio > 1 else 0)
        assert measured_reach([None, seen], scale) * scale >= needed
    assert measured_reach([], 4) == measured_reach([None], 4) == 0
    wide = Observation(gaussian(12.0), 4, 1.35, 100.0)
    assert measured_reach([wide], 4) > measured_reach([seen_by("B04", 4)], 4)
