"""Bands of two pixel sizes: drawn by whole wide pixels, interpolated as inside `upscale`, taught by the pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import cubes
from xr_sr.networks.lean_fusion import LeanCoarse, LeanFusion
from xr_sr.tiling.two_resolutions import doubled
from xr_sr.training import Augmentation, Scene, Settings, Teacher, distil
from xr_sr.training.journal import read_log
from xr_sr.training.learning import Labelled, balanced
from xr_sr.training.loop import Batch, relative_square_error
from xr_sr.training.patches import Draw
from xr_sr.training.scenes import halved, interpolated, repeated

PLAIN = Augmentation(light=0, snow=0, mix=0)
BUSY = Augmentation(light=0.4, snow=0.3, mix=0.3)


def scene(side: int = 120, seed: int = 0) -> Scene:
    """Return ten bands, the last six repeated from 20 m."""
    return Scene(
        f"noise {seed}",
        repeated(
            cubes.reflectance(4, side, side + 8, seed=seed),
            cubes.reflectance(6, side // 2, side // 2 + 4, seed=seed + 50),
        ),
    )


def test_wide_pixels_are_repeated_averaged_and_interpolated():
    fine, coarse = cubes.reflectance(2, 8, 12), cubes.reflectance(3, 4, 6, seed=2)
    both = repeated(fine, coarse)

    np.testing.assert_array_equal(both[:2], fine)
    np.testing.assert_array_equal(both[2:, ::2, ::2], coarse)
    np.testing.assert_array_equal(both[2:, 1::2, 1::2], coarse)
    np.testing.assert_allclose(halved(both[2:]), coarse, atol=1e-7)
    smooth = interpolated(both, 3)
    np.testing.assert_array_equal(smooth[:2], fine)
    wanted = doubled(coarse, (2, 2), (4, 8))  # the same inside, where no edge is repeated
    np.testing.assert_allclose(smooth[2:, 2:-2, 2:-2], wanted, atol=1e-7)


@pytest.mark.parametrize("zooms", [(1.0,), (0.75,), (1.3,)])
def test_patches_keep_to_the_wide_pixels_of_their_scene(zooms):
    # A ramp of steps two pixels wide: interpolated from whole pixels it is straight, cut elsewhere it is not.
    ramp = np.broadcast_to(np.arange(100, dtype="float32")[None, None] / 100, (6, 100, 100))
    whole = Scene("ramp", repeated(np.zeros((4, 200, 200), "float32"), ramp))
    draw = Draw([whole], 40, None, zooms, coarse=6)
    chance = np.random.default_rng(0)

    for _ in range(20):
        _, patch = draw(chance)
        steps = np.diff(patch[4:, 2:-2, 2:-2], axis=-1)
        assert np.ptp(steps) < 5e-4 * max(1, abs(steps).max() * 10)
        assert steps.mean() == pytest.approx(0.005 / zooms[0], rel=0.02)


def test_light_and_mixtures_leave_wide_pixels_whole():
    draw = Draw([scene()], 24, BUSY, (1.0,), coarse=6)
    chance = np.random.default_rng(3)

    for _ in range(30):
        _, patch = draw(chance)
        row = patch[4:, 5, 1:-1].astype("float64")  # begins and ends between two wide pixels
        from_left = 1.5 * row[..., 1:-1:2] - 0.5 * row[..., 0:-2:2]
        from_right = 1.5 * row[..., 2:-1:2] - 0.5 * row[..., 3::2]
        # A wide pixel can be told from the border on either side of it, and is one value.
        np.testing.assert_allclose(from_left[..., : from_right.shape[-1]], from_right, atol=2e-6)


def test_ten_bands_are_labelled_by_the_whole_pipeline(official):
    teacher = Teacher("sen2sr-lite.main", device="cpu")
    maker = Labelled(teacher, [scene()], PLAIN, seed=1, patch=16, count=2, balance=1)

    pool = maker(0)

    assert pool.lr.shape == (2, 10, 16 + 2 * teacher.halo, 16 + 2 * teacher.halo)
    assert pool.target.shape == (2, 10, 64, 64) and pool.energy.shape == (2, 10, 16, 16)
    np.testing.assert_array_equal(pool.target, teacher(pool.lr))
    assert len(teacher.sha256.split()) == 3


def test_bands_weigh_by_themselves_where_they_have_weights_of_their_own():
    sr, target = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    target[:, 1] = 10.0

    whole = relative_square_error(sr, Batch(sr, target, torch.tensor([1.0, 3.0])))
    each = relative_square_error(sr, Batch(sr, target, torch.tensor([[1.0, 0.01, 1.0], [1.0, 0.01, 4.0]])))

    assert float(whole) == pytest.approx((1.0 + 3.0) * 34 / 2)
    assert float(each) == pytest.approx((1 + 1 + 1 + 1 + 1 + 4) / 6)


def test_a_student_of_ten_bands_gets_nearer_to_the_pipeline(official, tmp_path):
    torch.manual_seed(0)
    elsewhere = interpolated(scene(96, seed=9).values, 6)
    distil(
        LeanFusion(channels=8, coarse_channels=8),
        Teacher("sen2sr-lite.main", device="cpu"),
        [scene(seed=1), scene(seed=2)],
        tmp_path,
        Settings(60, 8e-3, warm_up=5, log_every=30, device="cpu"),
        held_out={"elsewhere": elsewhere},
        side=16,
        batch=2,
        patch=32,
        pool=4,
    )

    rows = read_log(tmp_path / "log.csv")
    first, last = rows[0], rows[-1]
    assert float(last["elsewhere 10 m"]) < float(first["elsewhere 10 m"])
    assert float(last["elsewhere 20 m"]) < min(0.95, float(first["elsewhere 20 m"]))


def test_a_student_of_the_coarse_bands_alone_is_taught_these(official, tmp_path):
    torch.manual_seed(0)
    teacher = Teacher("sen2sr-lite.main", device="cpu", bands=("B05", "B06", "B07", "B8A", "B11", "B12"))
    held, settings = {"elsewhere": scene(96, seed=9)}, Settings(2, optimizer="adamw", device="cpu")
    sizes = {"side": 16, "batch": 2, "patch": 32, "pool": 4}

    distil(LeanCoarse(channels=4), teacher, [scene(seed=1)], tmp_path, settings, held_out=held, **sizes)

    row = read_log(tmp_path / "log.csv")[-1]
    assert 0 < float(row["elsewhere 20 m"]) < 1.1 and "elsewhere 10 m" not in row
    whole = Teacher("sen2sr-lite.main", device="cpu")
    lr = interpolated(scene(96, seed=9).values, 6)[None]
    np.testing.assert_array_equal(teacher(lr), whole(lr)[:, 4:])


def test_bands_are_balanced_between_all_the_same_and_by_their_detail():
    energy = np.array([1.0, 4.0, 16.0], "float32").reshape(1, 3, 1, 1)

    assert balanced(energy, 0).tolist() == [[[7.0]]]
    np.testing.assert_array_equal(balanced(energy, 1), energy)
    np.testing.assert_allclose(balanced(energy, 0.5).ravel(), np.sqrt(7 * energy.ravel()), rtol=1e-6)
