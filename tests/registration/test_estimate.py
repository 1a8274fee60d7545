from __future__ import annotations

import json
import math

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.registration.pairs import fourier_moved, pairs, scene, smoothed
from xr_sr.errors import CubeError, OptionError
from xr_sr.registration import estimate_shift, warp
from xr_sr.registration.channels import pair_of
from xr_sr.registration.estimate import NOTHING, combined, judged


def strays(found, wanted):
    """Distances in pixels of shifts from the true ones."""
    return np.array([math.hypot(one.dy - dy, one.dx - dx) for one, (dy, dx) in zip(found, wanted, strict=True)])


def run(cases, **options):
    cases = list(cases)
    found = [estimate_shift(moving, reference, **options) for moving, reference, _, _ in cases]
    return found, strays(found, [case[2:] for case in cases])


@pytest.mark.parametrize("method", ["phase", "ecc"])
@pytest.mark.parametrize("side", [64, 96])
def test_known_shifts_of_real_patches_are_found(method, side):
    found, off = run(pairs(24 if method == "phase" else 10, side=side, seed=side), method=method)

    good = np.array([one.ok for one in found])
    assert good.mean() > 0.9
    assert np.median(off) < 0.05
    assert np.quantile(off[good], 0.95) < 0.1


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_the_mean_of_the_bands_does_too(method):
    found, off = run(pairs(12, seed=3), method=method, channel="mean")

    assert np.median(off) < 0.05
    assert np.quantile(off[[one.ok for one in found]], 0.95) < 0.1


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_noise_of_the_sensor_is_borne(method):
    """0.002 is the noise of Sentinel-2 at a reflectance of 0.2."""
    found, off = run(pairs(12, noise=0.002, side=64, seed=5), method=method)

    good = np.array([one.ok for one in found])
    assert good.mean() > 0.9
    assert np.quantile(off[good], 0.95) < 0.15


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_errors_are_of_the_size_that_was_promised(method):
    ratios = []
    for noise in (0.002, 0.005, 0.01):
        found, off = run(pairs(8, side=64, noise=noise, seed=7), method=method)
        ratios += [stray / one.error for stray, one in zip(off, found, strict=True) if one.ok]

    assert len(ratios) > 12
    assert np.quantile(ratios, 0.95) < 4  # both axes together, along the worst of which `error` is
    assert np.median(ratios) > 0.2


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_moving_the_moving_image_by_its_shift_lays_it_on_the_reference(shared, method):
    """Nearer than what the peer moved it by, whose phase correlation misses and whose ECC moves it the other way."""
    arrays = load_file(shared / "golden" / "satalign" / "io.safetensors")
    golden = json.loads((shared / "golden" / "satalign" / "golden.json").read_text())
    reference, core = arrays["reference"], np.s_[..., 8:-8, 8:-8]
    for number, (dy, dx) in enumerate(golden["applied_shift_dy_dx"]):
        moving = arrays["cube"][number]
        peers = [run["warp_tx_ty"][number] for run in golden["runs"].values()]

        shift = estimate_shift(moving, reference, method=method)

        off = math.hypot(shift.dy + dy, shift.dx + dx)
        assert off < 0.01 and shift.ok
        assert number == 0 or off < min(math.hypot(ty + dy, tx + dx) for tx, ty in peers)
        before, after = (image[core] - reference[core] for image in (moving, warp(moving, shift.dy, shift.dx)))
        assert number == 0 or np.sqrt(np.mean(after**2)) < np.sqrt(np.mean(before**2)) / 50


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_the_way_back_is_the_negative(method):
    for moving, reference, _, _ in pairs(3, side=64, seed=9):
        there, back = (
            estimate_shift(moving, reference, method=method),
            estimate_shift(reference, moving, method=method),
        )

        assert there.dy == pytest.approx(-back.dy, abs=0.03)
        assert there.dx == pytest.approx(-back.dx, abs=0.03)


def test_brightness_and_contrast_do_not_matter():
    for moving, reference, dy, dx in pairs(4, seed=11):
        gains = np.array([0.5, 1.3, 0.8, 2.0])[:, None, None]

        shift = estimate_shift(moving * gains + 0.1, reference)

        assert math.hypot(shift.dy - dy, shift.dx - dx) < 0.1 and shift.ok


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_pixels_that_are_nan_do_not_count(method):
    """A gap that stays where it is must not hold the estimate at zero."""
    for moving, reference, dy, dx in pairs(4, seed=13):
        moving[:, 30:55, 20:60] = np.nan
        reference[:, 40:70, 45:60] = np.nan
        reference[0, 5, 5] = np.nan

        shift = estimate_shift(moving, reference, method=method)

        assert math.hypot(shift.dy - dy, shift.dx - dx) < 0.12 and shift.ok


def test_equal_images_have_no_shift_and_full_quality():
    shift = estimate_shift(scene()[:, :64, :64], scene()[:, :64, :64])

    assert (shift.dy, shift.dx) == (0, 0)
    assert shift.quality > 0.95


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_smooth_patches_are_flagged_rather_than_wrong(method):
    smooth = smoothed(scene(), 25)
    rng, wrong, flagged = np.random.default_rng(15), 0, 0
    for _ in range(12):
        dy, dx = rng.uniform(-3, 3, 2)
        top, left = rng.integers(40, 216, 2)
        cut = np.s_[:, top : top + 64, left : left + 64]
        noise = 0.002 * rng.standard_normal((2, 4, 64, 64))

        shift = estimate_shift(fourier_moved(smooth, -dy, -dx)[cut] + noise[0], smooth[cut] + noise[1], method=method)

        flagged += not shift.ok
        wrong += shift.ok and math.hypot(shift.dy - dy, shift.dx - dx) > 0.5
    assert flagged >= 9
    assert wrong == 0


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_images_of_different_places_are_flagged(method):
    rng, ok = np.random.default_rng(17), 0
    for _ in range(12):
        (top, left), (down, right) = rng.integers(0, 120, 2), rng.integers(150, 256, 2)

        ok += estimate_shift(
            scene()[:, top : top + 64, left : left + 64],
            scene()[:, down : down + 64, right : right + 64],
            method=method,
        ).ok
    assert ok <= 1


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_noise_is_flagged(method):
    rng = np.random.default_rng(19)

    assert sum(estimate_shift(*rng.random((2, 64, 64)), method=method).ok for _ in range(12)) <= 1


def test_one_straight_edge_does_not_tell_how_far_along_it():
    image = np.zeros((64, 64))
    image[:, 30:] = 0.2
    noise = 0.001 * np.random.default_rng(21).standard_normal((2, 64, 64))

    assert not estimate_shift(image + noise[0], np.roll(image, 1, axis=1) + noise[1]).ok


@pytest.mark.parametrize("method", ["phase", "ecc"])
def test_without_structure_or_pixels_there_is_nothing(method):
    flat, gone = np.full((32, 32), 0.3), np.full((32, 32), np.nan)

    for moving, reference in ((flat, flat), (gone, flat), (gone, gone)):
        shift = estimate_shift(moving, reference, method=method)

        assert not shift.ok and shift.quality == 0 and math.isnan(shift.dy)


def test_a_shift_beyond_the_limit_is_refused():
    for moving, reference, _, _ in pairs(4, longest=0.2, seed=23):
        shift = estimate_shift(np.roll(moving, 3, axis=-1), reference, max_shift=2)

        assert not shift.ok


def test_images_taken_as_periodic_need_no_window():
    image = np.random.default_rng(25).random((48, 48))
    image = smoothed(image, 1.2)

    shift = estimate_shift(fourier_moved(image, 1.3, -0.45), image, window=False)

    assert shift.dy == pytest.approx(-1.3, abs=0.05)
    assert shift.dx == pytest.approx(0.45, abs=0.05)


def test_integers_are_taken_too():
    for moving, reference, dy, dx in pairs(1, seed=27):
        dn = [np.round(image * 10_000).astype("uint16") for image in (moving, reference)]

        shift = estimate_shift(*dn)

        assert math.hypot(shift.dy - dy, shift.dx - dx) < 0.1


def test_what_cannot_be_compared_is_refused():
    image = np.ones((32, 32))

    for bad in (image[:20], image[0], image[None, None], np.ones((2, 32, 32))):
        with pytest.raises(CubeError, match=r"\(y, x\)"):
            estimate_shift(bad, image)
    with pytest.raises(CubeError, match="16 pixels"):
        estimate_shift(image[:8, :8], image[:8, :8])
    for option in ({"method": "sift"}, {"channel": "red"}, {"max_shift": 0}, {"upsample": 0}):
        with pytest.raises(OptionError, match=next(iter(option))):
            estimate_shift(image, image, **option)


def test_quality_is_one_half_at_the_error_that_is_still_good():
    assert judged(1.0, 0.0, 0.2, 5).quality == pytest.approx(0.5)
    assert judged(1.0, 0.0, 0.19, 5).ok and not judged(1.0, 0.0, 0.21, 5).ok
    assert judged(1.0, 0.0, 0.0, 5).quality == 1


def test_a_shift_beyond_the_limit_is_not_ok_however_sure():
    assert judged(5.0, -5.0, 0.01, 5).ok
    assert not judged(0.0, -5.1, 0.01, 5).ok


def test_what_is_not_finite_is_nothing():
    assert judged(math.nan, 0.0, 0.1, 5) is NOTHING


def test_length_is_the_distance():
    assert judged(3.0, -4.0, 0.1, 5).length == 5


def test_the_surer_place_counts_more_and_a_stray_one_nothing():
    places = [judged(1.0, 0.0, 0.01, 5), judged(1.04, 0.0, 0.02, 5), judged(4.0, 4.0, 0.01, 5), NOTHING]

    both = combined(places, 5)

    assert both.ok
    assert both.dy == pytest.approx((4 * 1.0 + 1.04) / 5)
    assert both.dx == 0


def test_places_that_disagree_make_a_larger_error():
    agreeing = combined([judged(1.0, 0.0, 0.02, 5)] * 4, 5)
    torn = combined([judged(1.0 + step, 0.0, 0.02, 5) for step in (-0.3, -0.1, 0.1, 0.3)], 5)

    assert agreeing.error == pytest.approx(0.01)
    assert torn.error == pytest.approx(math.sqrt(0.05 / 3))


def test_without_a_good_place_the_surest_one_stays_not_ok():
    assert combined([judged(1.0, 0.0, 0.5, 5), judged(2.0, 0.0, 0.9, 5)], 5) == judged(1.0, 0.0, 0.5, 5)
    assert combined([], 5) is NOTHING


def test_single_precision_finds_the_very_shift_of_double():
    """Float32 images are measured in float32 where that decides, and shifts are steps of a hundredth of a pixel."""
    cases = list(pairs(20, side=64, noise=0.001, seed=11))

    for moving, reference, _, _ in cases:
        single = estimate_shift(moving.astype("float32"), reference.astype("float32"))
        double = estimate_shift(
            moving.astype("float32").astype("float64"), reference.astype("float32").astype("float64")
        )

        assert (single.dy, single.dx, single.ok) == (double.dy, double.dx, double.ok)
        assert single.error == pytest.approx(double.error, rel=1e-3)


def test_what_single_precision_cannot_decide_is_measured_in_double(monkeypatch):
    from xr_sr.registration import correlation, estimate

    moving, reference, dy, dx = next(iter(pairs(1, side=64, seed=12)))
    kinds = []

    def seen(*args, dtype, **options):
        kinds.append(dtype)
        return pair_of(*args, dtype=dtype, **options)

    monkeypatch.setattr(estimate, "pair_of", seen)
    monkeypatch.setattr(correlation, "ROUNDING", 10.0)
    found = estimate_shift(moving.astype("float32"), reference.astype("float32"))

    assert kinds == [np.float32, np.float64]
    assert math.hypot(found.dy - dy, found.dx - dx) < 0.1


def test_stripes_hold_no_shift_along_themselves():
    stripes = np.tile(np.sin(np.arange(64) / 3) * 0.1 + 0.3, (64, 1)).astype("float32")

    found = estimate_shift(stripes, np.roll(stripes, 1, axis=1))

    assert not found.ok and found.error > 1
