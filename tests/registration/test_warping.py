from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registration.pairs import fourier_moved, smoothed
from xr_sr.errors import OptionError
from xr_sr.registration import warp


def smooth_image(*shape: int, seed: int = 0) -> np.ndarray:
    return smoothed(np.random.default_rng(seed).random(shape), 1.5)


@pytest.mark.parametrize(("kernel", "tolerance"), [("lanczos", 0.004), ("cubic", 0.02), ("linear", 0.15)])
@pytest.mark.parametrize("shift", [(0.5, 0.5), (-1.3, 2.25), (0.01, -3.7)])
def test_a_well_sampled_image_moves_as_in_fourier_space(kernel, tolerance, shift):
    image = smooth_image(2, 64, 64)
    core = np.s_[..., 12:-12, 12:-12]

    moved = warp(image, *shift, kernel=kernel)

    wanted = fourier_moved(image, *shift)
    assert np.abs(moved - wanted)[core].max() < tolerance * np.ptp(image)


@settings(max_examples=25, deadline=None)
@given(dy=st.integers(-6, 6), dx=st.integers(-6, 6), kernel=st.sampled_from(["nearest", "linear", "cubic", "lanczos"]))
def test_whole_pixels_move_without_change(dy, dx, kernel):
    image = np.random.default_rng(1).random((3, 20, 24)).astype("float32")

    moved = warp(image, dy, dx, kernel=kernel)

    wanted = np.full_like(image, np.nan)
    rows, columns = np.arange(20), np.arange(24)
    rows, columns = rows[(rows + dy >= 0) & (rows + dy < 20)], columns[(columns + dx >= 0) & (columns + dx < 24)]
    wanted[:, (rows + dy)[:, None], columns + dx] = image[:, rows[:, None], columns]
    np.testing.assert_array_equal(moved, wanted)
    assert moved.dtype == image.dtype


@pytest.mark.parametrize("kernel", ["linear", "cubic", "lanczos"])
def test_a_flat_image_stays_flat(kernel):
    moved = warp(np.full((20, 20), 0.3), 1.37, -0.61, kernel=kernel, edge="repeat")

    np.testing.assert_allclose(moved, 0.3, rtol=1e-12)


def test_the_edge_is_nan_or_goes_on():
    image = np.random.default_rng(2).random((16, 16))

    gone = np.isnan(warp(image, 2.4, -1.6))

    assert gone[:2].all() and not gone[2:, :14].any() and gone[:, 14:].all()
    np.testing.assert_array_equal(warp(image, 3, 0, edge="repeat")[:3], image[[0, 0, 0]])


def test_nan_keeps_its_place_and_its_size():
    image = smooth_image(40, 40)
    holed = image.copy()
    holed[10:15, 20:25] = np.nan

    moved, whole = warp(holed, 2.3, 1.7), warp(image, 2.3, 1.7)

    hole = np.isnan(moved) & ~np.isnan(whole)
    rows, columns = np.nonzero(hole)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 16, 22, 26)
    assert 20 <= hole.sum() <= 25
    known = ~np.isnan(moved)
    assert np.abs(moved - whole)[known].max() < 0.1 * np.ptp(image)
    far = known.copy()
    far[6:24, 15:34] = False
    np.testing.assert_array_equal(moved[far], whole[far])


def test_classes_move_by_nearest():
    classes = np.arange(48, dtype="uint8").reshape(6, 8)

    moved = warp(classes, 1.4, -0.6, kernel="nearest")

    assert moved.dtype == classes.dtype
    np.testing.assert_array_equal(moved[1:, :-1], classes[:-1, 1:])
    np.testing.assert_array_equal(moved[0], moved[1])


def test_what_cannot_be_moved_is_refused():
    with pytest.raises(OptionError, match="nearest"):
        warp(np.ones((8, 8), "uint8"), 0.5, 0)
    with pytest.raises(OptionError, match="kernel"):
        warp(np.ones((8, 8)), 0.5, 0, kernel="spline")
    with pytest.raises(OptionError, match="finite"):
        warp(np.ones((8, 8)), np.nan, 0)
