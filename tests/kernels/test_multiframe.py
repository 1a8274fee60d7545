"""Joining dates by kriging: filters against simulated fields, the single image where others say nothing, weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from xr_sr.kernels.kriging import Kriger
from xr_sr.kernels.kriging_filters import LEVELS, Observation
from xr_sr.kernels.kriging_network import sensors_of
from xr_sr.kernels.multiframe import SeriesKriger, joined
from xr_sr.kernels.multiframe_filters import Series, series_filters
from xr_sr.kernels.protocol import SERIES_REACH, UPDATE_RADIUS, SeriesDate
from xr_sr.kernels.psf import Gaussian, gaussian_psf

SCALE, SIDE = 4, 64
SEEN = Observation(gaussian_psf(0.26, SCALE), SCALE, 1.35, 100.0)
SHIFTS = ((0.45, 0.0), (-0.25, 0.48), (0.0, -0.4))
PLAIN = ((1.0, 1.0, 1.0),)

Doubles = NDArray[np.float64]


class Fields:
    """Periodic fields with the prior's spectrum, and what dates see of them: exact on the frequencies of the image."""

    def __init__(self, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.frequency = np.fft.fftfreq(SIDE * SCALE, 1 / SCALE)  # cycles per coarse pixel
        squares = np.add.outer(self.frequency**2, self.frequency**2)
        power = (squares + SEEN.outer_scale**-2) ** -SEEN.exponent
        amplitude = np.sqrt(power / power.mean())
        spectrum = np.fft.fft2(self.chance.standard_normal(squares.shape)) * amplitude
        self.spectrum = spectrum
        self.field = np.fft.ifft2(spectrum).real
        (profile, _), *_ = SEEN.psf.terms
        assert isinstance(profile, Gaussian)
        self.passed = np.exp(-2 * (np.pi * profile.sigma / SCALE) ** 2 * squares)

    def seen(self, shift: tuple[float, float], level: float) -> Doubles:
        """Sample the field, displaced by (down, right) coarse pixels, and add noise of `level` of its variance."""
        # The middle of a coarse pixel lies (SCALE - 1) / 2 fine pixels behind its first one.
        places = [(SCALE - 1) / 2 / SCALE - each for each in shift]
        turns = np.add.outer(self.frequency * places[0], self.frequency * places[1])
        smooth = np.fft.ifft2(self.spectrum * self.passed * np.exp(2j * np.pi * turns)).real
        coarse = smooth[::SCALE, ::SCALE]
        return np.asarray(coarse + np.sqrt(level) * self.chance.standard_normal(coarse.shape))


def convolved(images: Doubles, kernels: Doubles) -> Doubles:
    """Apply (out, in, n, n) to periodic images (in, y, x)."""
    margin = kernels.shape[-1] // 2
    wide = np.pad(images, ((0, 0), (margin, margin), (margin, margin)), mode="wrap")
    return functional.conv2d(torch.from_numpy(wide)[None], torch.from_numpy(kernels.copy()))[0].numpy()


def fine_of(phases: Doubles) -> Doubles:
    return functional.pixel_shuffle(torch.from_numpy(phases)[None], SCALE)[0, 0].numpy()


def test_dates_reduce_the_error_of_simulated_ground_by_as_much_as_the_filters_say():
    # At the first level, where what the reference says of other dates needs no smoothing before.
    level = LEVELS[0]
    filters = series_filters(Series(SEEN, SHIFTS, (1.0, 1.0, 1.0)))
    expected = filters.variance[0].mean(axis=(1, 2))
    found = []
    for seed in range(4):
        ground = Fields(seed)
        reference = ground.seen((0, 0), level)
        single = upscaled(reference)
        errors = [np.square(single - ground.field).mean()]
        innovations = np.stack([ground.seen(shift, level) for shift in SHIFTS])
        innovations -= convolved(reference[None], filters.predicting[:, None])
        for count in (1, 2, 3):
            fewer = series_filters(Series(SEEN, SHIFTS[:count], (1.0,) * count))
            better = single + fine_of(convolved(innovations[:count], fewer.updating[0]))
            errors.append(np.square(better - ground.field).mean())
        found.append(errors)
    mean = np.mean(found, axis=0)
    np.testing.assert_allclose(mean / mean[0], expected / expected[0], rtol=0.06)
    assert mean[3] < 0.8 * mean[0]
    assert (np.diff(mean) < 0).all()


def upscaled(image: Doubles) -> Doubles:
    """Krige a periodic image at the first level."""
    from xr_sr.kernels.kriging_filters import RADIUS, filters_of

    filters = filters_of(SEEN)
    kernels = np.einsum("rpi,rqj->pqij", filters.along_y, filters.along_x)
    assert kernels.shape[-1] == 2 * RADIUS + 1
    return fine_of(convolved(image[None], kernels.reshape(SCALE**2, 1, *kernels.shape[-2:])))


def test_what_the_reference_says_of_another_date_is_right_where_that_date_lies_on_it():
    filters = series_filters(Series(SEEN, ((0.0, 0.0), (0.3, -0.2)), (1.0, 1.0)))

    middle = filters.predicting.shape[-1] // 2
    assert filters.predicting[0, middle, middle] > 0.8  # the pixel itself, a little of its noise taken out
    np.testing.assert_allclose(filters.predicting.sum(axis=(1, 2)), 1)
    moved = filters.predicting[1]
    # Content that moved down and left shows here what the reference has further up and right.
    assert moved[middle - 1, middle] > moved[middle + 1, middle]
    assert moved[middle, middle + 1] > moved[middle, middle - 1]


def test_a_noisier_date_counts_less():
    quiet, noisy = (series_filters(Series(SEEN, SHIFTS[:1], (noise,))) for noise in (1.0, 10.0))

    assert np.abs(noisy.updating).sum() < 0.7 * np.abs(quiet.updating).sum()
    assert (noisy.variance[:, 1] > quiet.variance[:, 1]).all()
    np.testing.assert_allclose(noisy.variance[:, 0], quiet.variance[:, 0])


def test_other_dates_never_add_to_the_variance():
    variance = series_filters(Series(SEEN, SHIFTS, (1.0, 2.0, 4.0))).variance

    assert (np.diff(variance, axis=1) <= 1e-12).all()
    assert (np.diff(variance, axis=0) > 0).all()
    assert (variance > 0).all() and (variance < 1).all()


def dates_of(count: int, side: int = 40, seed: int = 3) -> tuple[Doubles, Doubles]:
    """Return a reference (1, y, x) and other dates of the same ground (date, 1, y, x), with reflectance's levels."""
    ground = Fields(seed)
    rows = slice(0, side)
    level = 2e-4
    images = [ground.seen(shift, level)[rows, rows] for shift in ((0.0, 0.0), *SHIFTS[:count])]
    wide = 0.25 + 0.03 * np.stack(images)[:, None]
    return wide[0].astype("float32"), wide[1:].astype("float32")


def join(reference: Doubles, others: Doubles, valid: NDArray[np.bool_] | None = None):
    dates = tuple(SeriesDate(shift) for shift in SHIFTS[: len(others)])
    valid = np.ones((len(others), *reference.shape[-2:]), bool) if valid is None else valid
    sensors = sensors_of(["B08"], SCALE)
    return joined(sensors, dates, PLAIN, "cpu", reference, others.copy(), valid, 0)


def single_of(reference: Doubles) -> NDArray[np.float32]:
    kriger = Kriger(sensors_of(["B08"], SCALE), 1.0)
    cut = SERIES_REACH - Kriger.reach
    with torch.inference_mode():
        inner = torch.from_numpy(reference[None, :, cut:-cut, cut:-cut].copy())
        return kriger.predict(inner, 0)[0].numpy()


def test_without_other_dates_the_image_is_that_of_the_reference_alone():
    reference, others = dates_of(0)

    made = join(reference, others)

    np.testing.assert_array_equal(made.estimate, single_of(reference))
    assert made.weights.shape == (0, 10, 10)


def test_dates_that_are_not_valid_change_nothing():
    reference, others = dates_of(3)

    made = join(reference, np.zeros_like(others), np.zeros((3, 40, 40), bool))

    np.testing.assert_array_equal(made.estimate, single_of(reference))
    assert (made.weights == 0).all()


def test_a_changed_patch_loses_its_weight_and_leaves_the_single_image_there():
    reference, others = dates_of(2, side=60)
    same = join(reference, others)
    changed = others.copy()
    changed[1, :, 20:32, 20:32] += 0.1

    made = join(reference, changed)

    inside = (slice(22 - SERIES_REACH, 30 - SERIES_REACH),) * 2
    assert made.weights[1][inside].max() < 0.05
    assert made.weights[0][inside].min() > 0.5
    assert made.weights[1, -5:, -5:].min() > 0.9  # elsewhere nothing has changed
    one = join(reference, others[:1])
    fine = tuple(slice(each.start * SCALE, each.stop * SCALE) for each in inside)
    apart = np.abs(made.estimate[0][fine] - one.estimate[0][fine]).mean()
    assert apart < 0.5 * np.abs(same.estimate[0][fine] - one.estimate[0][fine]).mean() + 1e-4


def test_deviations_fall_with_the_dates_that_count():
    reference, others = dates_of(3)

    alone, all_dates = join(reference, others[:0]), join(reference, others)
    half = join(reference, others, np.stack([np.ones((40, 40), bool), *np.zeros((2, 40, 40), bool)]))

    assert (all_dates.std <= half.std + 1e-7).all() and (half.std <= alone.std + 1e-7).all()
    assert all_dates.std.mean() < 0.95 * alone.std.mean()


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, -0.5), (-2.5, 1.49), (3.2, 0.75)])
def test_a_shift_is_whole_pixels_and_at_most_half_of_one(shift: tuple[float, float]):
    date = SeriesDate(shift)

    assert all(isinstance(each, int) for each in date.whole)
    np.testing.assert_allclose(np.add(date.whole, date.part), shift)
    assert max(map(abs, date.part)) <= 0.5


def test_the_result_of_a_block_does_not_depend_on_how_much_is_computed_beside_it():
    reference, others = dates_of(3, side=60)
    whole = join(reference, others)

    part = join(reference[:, 4:50, 10:56], others[..., 4:50, 10:56])

    fine = (slice(4 * SCALE, (4 + 16) * SCALE), slice(10 * SCALE, (10 + 16) * SCALE))
    np.testing.assert_allclose(part.estimate[0], whole.estimate[0][fine], rtol=0, atol=1e-6)
    np.testing.assert_allclose(part.std[0], whole.std[0][fine], rtol=0, atol=1e-6)


def test_context_is_used_up_and_no_more():
    reference, others = dates_of(1)
    far = others.copy()
    far[..., 0, :] += 0.05  # one pixel further than anything reads

    near, moved = join(reference, others), join(reference, far)

    rows = slice(SCALE, None)
    np.testing.assert_array_equal(near.estimate[0, rows], moved.estimate[0, rows])
    assert UPDATE_RADIUS < SERIES_REACH


def test_filters_are_made_once_for_all_blocks_of_a_series():
    made = SeriesKriger(sensors_of(["B04", "B08"], SCALE), (SeriesDate((0.25, 0.25)),), PLAIN * 2)

    assert made.scale == SCALE
    assert series_filters(Series(SEEN, SHIFTS, (1.0,) * 3)) is series_filters(Series(SEEN, SHIFTS, (1.0,) * 3))
