from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from skimage.exposure import match_histograms

from tests.metrics.scenes import on_grid, texture
from xr_sr.metrics.inputs import read
from xr_sr.metrics.matching import apply_map, measure_shifts, shift_map, spectral_map
from xr_sr.metrics.reduce import Layout
from xr_sr.registration import warp


def table(sr, hr, method):
    sr, hr = read(on_grid(sr), "SR"), read(on_grid(hr), "HR")
    return spectral_map(sr, hr.data, Layout.of(*sr.shape), method, 2).compute()[0]


@pytest.mark.parametrize("method", ["histogram", "linear"])
def test_equal_images_are_left_alone(method):
    image = texture(3, 60, 50)

    np.testing.assert_allclose(apply_map(table(image, image, method), image), image, atol=1e-7)


def test_histograms_are_matched_as_scikit_image_does():
    one, other = texture(2, 120, 100), texture(2, 120, 100, seed=5) ** 1.5
    expected = np.stack([match_histograms(x, y) for x, y in zip(one, other, strict=True)])

    found = apply_map(table(one, other, "histogram"), one)

    np.testing.assert_allclose(found, expected, atol=4e-4)
    np.testing.assert_allclose(np.sort(found.ravel()), np.sort(expected.ravel()), atol=4e-4)


def test_the_linear_map_finds_gain_and_offset():
    one = texture(2, 60, 50)

    found = table(one, 1.3 * one - 0.02, "linear")

    np.testing.assert_allclose(found[:, 0, 0], 1.3, rtol=1e-5)
    np.testing.assert_allclose(found[:, 0, 1], -0.02, atol=1e-6)


def test_maps_go_on_beyond_what_sr_holds():
    """The upsampled LR may hold values that SR does not."""
    one = 0.2 + 0.2 * texture(1, 60, 50)
    found = apply_map(table(one, one + 0.1, "histogram"), np.array([[[0.01, 0.9, 5.0, -3.0]]]))

    np.testing.assert_allclose(found[0, 0], [0.11, 1.0, 5.1, -2.9], atol=1e-3)


def test_maps_rise():
    one, other = texture(1, 60, 50), texture(1, 60, 50, seed=3)
    other[other > 0.3] += 0.2  # a gap
    values = apply_map(table(one, other, "histogram"), np.linspace(-0.1, 0.9, 5000)[None, None])

    assert (np.diff(values) >= -1e-12).all()


def test_the_shift_is_found_and_doubtful_ones_are_left_out():
    image = texture(2, 128, 128)
    moved = warp(image, 1.25, -0.75, edge="repeat")
    scenes = [read(on_grid(each), "SR") for each in (image, moved, texture(2, 128, 128, seed=8))]

    near, unrelated = (shift_map(scenes[0], scene.data, 5.0).compute()[0] for scene in scenes[1:])
    sure, unsure = (measure_shifts(scenes[0].data, scene.data, 5.0).compute()[0, 2] for scene in scenes[1:])

    np.testing.assert_allclose(near, [1.25, -0.75], atol=0.05)
    np.testing.assert_array_equal(unrelated, 0)
    assert unsure < 0.5 < sure


def lazy(image: np.ndarray) -> da.Array:
    return da.from_array(image[None], chunks=(1, -1, 50, 70))


def test_windows_agree_on_one_shift(monkeypatch):
    monkeypatch.setattr("xr_sr.registration.windows.WINDOW", 96)
    image = texture(2, 300, 220)
    moved = warp(image, 0.6, -1.4, edge="repeat")
    moved[:, :110, :120] = np.nan  # one window sees nothing

    dy, dx, quality, ok = measure_shifts(lazy(image), lazy(moved), 5.0).compute()[0]

    np.testing.assert_allclose([dy, dx], [0.6, -1.4], atol=0.05)
    assert quality > 0.5
    assert ok == 1


def test_nothing_to_see_is_no_shift():
    image = texture(1, 64, 64)
    for other in (np.full_like(image, 0.2), image * np.nan, texture(1, 64, 64, seed=4)):
        assert measure_shifts(lazy(image), lazy(other), 5.0).compute()[0, 3] == 0
    assert not measure_shifts(lazy(image[:, :9]), lazy(image[:, :9]), 5.0).compute().any()
