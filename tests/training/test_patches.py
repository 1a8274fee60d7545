"""Patches are valid, a function of seed and number, and their targets lie where they do."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cubes import reflectance
from xr_sr.errors import TrainingError
from xr_sr.training import Augmentation, Scene, Teacher
from xr_sr.training.learning import Labelled
from xr_sr.training.patches import HIGHEST, LOWEST, Draw, PooledBatches, turn, weigh

PLAIN = Augmentation(light=0, snow=0, mix=0)


def scene(name: str = "a", side: int = 60, **options) -> Scene:
    return Scene(name, reflectance(4, side, side + 7, seed=len(name)), **options)


def batches(seed: int = 0, **options) -> PooledBatches:
    maker = Labelled(
        Teacher("bicubic", device="cpu"), [scene()], options.pop("augmentation", PLAIN), seed=seed, patch=20, count=6
    )
    return PooledBatches(maker, 4, 1, seed, side=8, size=3, patch=20, count=6, **options)


def test_a_batch_is_a_function_of_seed_and_step():
    one, other, third = batches(), batches(), batches(seed=1)
    later = one(40)
    first = one(0)

    for own, same in zip(vars(first).values(), vars(other(0)).values(), strict=True):
        assert own.equal(same)
    for own, same in zip(vars(later).values(), vars(other(40)).values(), strict=True):
        assert own.equal(same)
    assert not first.lr.equal(third(0).lr)
    assert not first.lr.equal(later.lr)


def test_targets_lie_where_their_patches_do():
    # The teacher is bicubic, so the context of one pixel suffices at every pixel but those at the edge.
    batch = batches()(3)
    bicubic = Teacher("bicubic", device="cpu")

    fine = bicubic(batch.lr.numpy())

    assert batch.lr.shape == (3, 4, 10, 10) and batch.target.shape == (3, 4, 32, 32)
    np.testing.assert_allclose(batch.target[..., 4:-4, 4:-4].numpy(), fine, atol=1e-6)


def test_a_pool_serves_until_its_pixels_were_seen_often_enough():
    seen = batches(seen=2.0)
    # 6 patches of 20 x 20 seen twice are 4800 pixels, a batch is 3 of 8 x 8.
    steps = round(2 * 6 * 20**2 / (3 * 8**2))

    seen(0)
    assert list(seen._pool) == [0]
    seen(steps - 1)
    assert list(seen._pool) == [0]
    seen(steps)
    assert list(seen._pool) == [1]


def test_patches_with_nan_are_never_drawn():
    values = reflectance(4, 60, 60)
    values[2, 30, 30] = np.nan
    values[0, :, 50] = np.nan
    draw = Draw([Scene("holes", values)], 20, None)
    chance = np.random.default_rng(0)

    patches = [draw(chance)[1] for _ in range(200)]

    assert all(np.isfinite(patch).all() for patch in patches)
    # All that is valid is used: squares above and below the hole, and none in the ten columns right of the stripe.
    assert len({patch.tobytes() for patch in patches}) > 100


def test_scenes_are_drawn_by_their_weights():
    draw = Draw([scene("a", weight=3.0), scene("bb", weight=1.0)], 20, None)
    chance = np.random.default_rng(0)

    share = np.mean([draw(chance)[0] == 0 for _ in range(2000)])

    assert share == pytest.approx(0.75, abs=0.03)


def test_zooms_show_more_or_less_ground():
    ramp = np.broadcast_to(np.linspace(0, 1, 100, dtype="float32"), (4, 100, 100))
    draw = Draw([Scene("ramp", np.ascontiguousarray(ramp))], 20, None, zooms=(0.5,))

    _, patch = draw(np.random.default_rng(0))

    assert np.diff(patch[0], axis=1)[:, 3:-3].mean() == pytest.approx(2 / 99, rel=0.02)


def test_no_scene_and_a_scene_without_room_are_refused():
    with pytest.raises(TrainingError, match="no scene"):
        Draw([], 20, None)
    with pytest.raises(TrainingError, match=r"'small' .*20"):
        Draw([Scene("small", reflectance(4, 10, 50))], 20, None)
    empty = np.full((4, 50, 50), np.nan, "float32")
    with pytest.raises(TrainingError, match="'clouds'"):
        Draw([scene(), Scene("clouds", empty)], 20, None)


def test_the_eight_turns_of_a_square_are_all_different():
    patch = reflectance(4, 5, 5)
    turned = {turn(patch, way).tobytes() for way in range(8)}

    assert len(turned) == 8
    assert all(
        np.sort(turn(patch, way), axis=None).tobytes() == np.sort(patch, axis=None).tobytes() for way in range(8)
    )


def test_augmented_patches_stay_reflectance():
    patch, chance = reflectance(4, 16, 16), np.random.default_rng(5)
    every = Augmentation(light=0.4, snow=0.3, mix=0.3)

    changed = [every(patch, chance) for _ in range(300)]

    assert all(one.dtype == np.float32 and one.shape == patch.shape for one in changed)
    assert min(one.min() for one in changed) >= np.float32(LOWEST)
    assert max(one.max() for one in changed) <= np.float32(HIGHEST)
    # Snow and dark water are among them, which the patch is not.
    assert max(np.median(one) for one in changed) > 0.7
    assert min(np.median(one) for one in changed) < 0.08


def test_without_radiometry_values_only_move():
    patch, chance = reflectance(4, 16, 16), np.random.default_rng(5)

    for _ in range(20):
        assert np.sort(PLAIN(patch, chance), axis=None).tobytes() == np.sort(patch, axis=None).tobytes()


def test_quiet_patches_weigh_as_much_as_the_noise_of_a_few_dn():
    flat = Scene("still water", np.full((4, 60, 60), 0.02, "float32"))
    maker = Labelled(Teacher("bicubic", device="cpu"), [flat], PLAIN, seed=0, patch=20, count=2)

    batch = PooledBatches(maker, 4, 1, 0, side=8, size=3, patch=20, count=2)(0)

    np.testing.assert_allclose(batch.weight.numpy(), 1 / 2.5e-7, rtol=1e-3)


def test_detail_counts_the_more_the_less_even_a_run_is():
    energy = np.array([2e-7, 2e-5, 2e-3], "float32")
    share = {evenness: weigh(energy, evenness) * (energy + 2.5e-7) for evenness in (1.0, 0.6, 0.0)}

    np.testing.assert_allclose(share[1.0], 1, rtol=1e-5)
    assert (np.diff(share[0.6]) > 0).all()
    np.testing.assert_allclose(share[0.0], (energy + 2.5e-7) / 2e-5, rtol=1e-5)
    np.testing.assert_allclose(share[0.6][1], 1, rtol=0.01)


def test_haze_is_taken_from_each_band_by_itself():
    patch = np.random.default_rng(3).uniform(0.05, 0.3, (4, 40, 40)).astype("float32")
    cleared = Augmentation(light=0, snow=0, mix=0, haze=1)(patch, np.random.default_rng(0))
    turned = Augmentation(light=0, snow=0, mix=0)(patch, np.random.default_rng(0))

    for band, plain in zip(cleared, turned, strict=True):
        slope, taken = np.polyfit(plain.ravel(), band.ravel(), 1)
        np.testing.assert_allclose(slope * plain + taken, band, rtol=0, atol=1e-5)
        assert -0.12 <= taken / slope < -0.01
    assert len({round(float(band.mean() - plain.mean()), 4) for band, plain in zip(cleared, turned, strict=True)}) == 4


def test_snow_is_dark_where_it_absorbs():
    patch = np.random.default_rng(3).uniform(0.05, 0.3, (6, 24, 24)).astype("float32")
    snow = Augmentation(light=0, snow=1, mix=0, absorbed=(-2, -1))
    chance = np.random.default_rng(0)

    for _ in range(50):
        made = snow(patch, chance)
        assert made[:4].mean() > made[4:].mean()
        assert made[4:].mean() < 0.21 and made[4:].std() > 0
