"""Correctness: what must be improvement, omission or hallucination is found to be, for every distance and chunking."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from tests.metrics.scenes import on_grid, texture, triple
from xr_sr import errors
from xr_sr.metrics import Scoring, correctness
from xr_sr.metrics.distances import DISTANCES
from xr_sr.metrics.improvement import CLASSES
from xr_sr.registration import warp
from xr_sr.simulate.resample import downsample, upsample

CERTAIN = 1 / (1 + 2 * np.exp(-4))
"""The share of the winner where its distance is 0 and those of the other two are 1, at a temperature of 0.25."""

ALL = [*DISTANCES, "mtf"]


@pytest.fixture(scope="module")
def scenes():
    return triple(96, 128)


@pytest.mark.parametrize("distance", ALL)
def test_the_truth_is_improvement(scenes, distance):
    lr, _, hr = scenes

    found = correctness(lr, hr, hr, distance=distance)

    assert float(found.improvement) == pytest.approx(CERTAIN, abs=1e-3)
    assert float(sum(found[name] for name in CLASSES)) == pytest.approx(1)


@pytest.mark.parametrize("distance", ALL)
def test_the_upsampled_input_is_omission(scenes, distance):
    lr, sr, hr = scenes
    nothing = sr.copy(data=upsample(lr.values, 4))

    found = correctness(lr, nothing, hr, distance=distance)

    assert float(found.omission) == pytest.approx(CERTAIN, abs=2e-3)


def test_shares_by_class_are_whole_where_every_place_agrees(scenes):
    lr, sr, hr = scenes
    nothing = sr.copy(data=upsample(lr.values, 4))

    found = correctness(lr, {"truth": hr, "nothing": nothing}, hr, scoring=Scoring(norm="percent"))

    assert found.improvement.values.tolist() == [1, 0]
    assert found.omission.values.tolist() == [0, 1]


@pytest.mark.parametrize("distance", ["l1", "l2", "sad"])
def test_invented_texture_is_hallucination(distance):
    """More than five times as far from either as they are from each other."""
    hr = 0.3 + 0.01 * (texture(4, 64, 64) - 0.25)
    invented = hr + np.where(np.indices((4, 64, 64)).sum(axis=0) % 2, 0.2, -0.2)
    lr = downsample(hr, 4)

    found = correctness(
        on_grid(lr), on_grid(invented, 4), on_grid(hr, 4), distance=distance, harmonize=None, align=False
    )

    assert float(found.hallucination) > 0.999


def test_level_and_place_of_the_other_sensor_are_no_invention(scenes):
    """HR of another gain and a pixel aside: taken out of SR and LR alike, little of them is left."""
    lr, _, hr = scenes
    moved = hr.copy(data=1.2 * warp(hr.values, 0.0, 1.3, edge="repeat") + 0.02)
    nothing = hr.copy(data=upsample(lr.values, 4))

    raw = correctness(lr, hr, moved, harmonize=None, align=False)
    for method in ("linear", "histogram"):
        found = correctness(lr, hr, moved, harmonize=method)
        assert float(found.improvement) > 0.9 > float(raw.improvement) + 0.1
        assert float(correctness(lr, nothing, moved, harmonize=method).omission) == pytest.approx(CERTAIN, abs=2e-3)


@pytest.mark.parametrize("options", [{}, {"at": "pixel"}, {"at": 16}, {"distance": "ssim"}, {"support": 24}])
def test_results_do_not_depend_on_chunks(scenes, options):
    lr, sr, hr = scenes
    hr = hr.where(hr > 0.05)

    lazy = correctness(lr.chunk(x=7, band=1), sr.chunk(y=41, x=31), hr.chunk(x=50), **options)

    assert all(array.chunks is not None for array in lazy.data_vars.values())
    xr.testing.assert_equal(lazy.compute(), correctness(lr, sr, hr, **options))


@pytest.mark.parametrize("distance", ["nd", "ssim", "mtf"])
def test_blocks_leave_no_seams(distance, monkeypatch):
    scenes = triple(160, 192, scale=2)
    options = {"distance": distance, "max_shift": 3.0, "support": 16 if distance == "mtf" else "pixel"}
    whole = correctness(*scenes, **options)
    monkeypatch.setattr("xr_sr.metrics.reduce.SIDE", 64)

    xr.testing.assert_allclose(correctness(*scenes, **options), whole, rtol=1e-6)


def test_maps_agree_with_numbers(scenes):
    number, maps = correctness(*scenes), correctness(*scenes, at="pixel")

    for place, name in enumerate(CLASSES):
        assert maps[name].dims == ("y", "x")
        assert float(maps[name].mean()) == pytest.approx(float(number[name]), rel=1e-5)
        largest = np.argmax(np.nan_to_num(np.stack([maps[each] for each in CLASSES])), axis=0)
        np.testing.assert_array_equal((maps.classification == place), (largest == place) & maps[name].notnull())
    assert maps.odc.geobox == scenes[1].odc.geobox
    assert maps.improvement[:16].isnull().all()
    assert maps.improvement[:, -16:].isnull().all()


def test_a_patch_is_the_image_of_its_pixels():
    """Distances of one patch that is the whole scene are those of the image."""
    scenes = triple(64, 64)
    options = {"threshold": 0.0, "border": 0, "align": False}
    for distance in ("l1", "sad", "psnr"):
        image = correctness(*scenes, distance=distance, support="image", **options)
        patch = correctness(*scenes, distance=distance, support=64, **options)

        for name in CLASSES:
            assert float(image[name]) == pytest.approx(float(patch[name]), rel=1e-9)


@pytest.mark.parametrize("distance", [name for name in ALL if name not in ("mtf", "ssim")])
def test_an_image_as_a_whole_needs_no_threshold(scenes, distance):
    found = correctness(*scenes, distance=distance, support="image")

    assert float(sum(found[name] for name in CLASSES)) == pytest.approx(1)


def test_a_cube_is_its_dates_and_models_are_side_by_side():
    lr, sr, hr = triple(64, 80, dates=2)
    found = correctness(lr, {"ours": sr, "truth": hr}, hr)
    alone = correctness(lr.isel(time=1), sr.isel(time=1), hr.isel(time=1))

    assert found.improvement.dims == ("model", "time")
    np.testing.assert_array_equal(found.sel(model="ours").isel(time=1).improvement, alone.improvement)
    assert (found.sel(model="truth").improvement > 0.96).all()


def test_numbers_per_object_are_means_of_the_map(scenes):
    lr, sr, hr = scenes
    labels = np.zeros((96, 128), int)
    labels[20:50, 20:60], labels[60:80, 70:100] = 4, 9
    objects = hr[0].drop_vars("band").copy(data=labels)
    maps = correctness(lr, sr, hr, at="pixel")

    found = correctness(lr, sr, hr, objects=objects)

    for number in (4, 9):
        expected = maps.omission.where(objects == number).mean()
        np.testing.assert_allclose(found.omission.sel(object=number), expected, rtol=1e-5)


def test_nodata_does_not_count(scenes):
    """Whatever stands in the half where one of the three is NaN."""
    lr, sr, hr = scenes
    half = hr.x < hr.x[64]
    options = {"align": False, "harmonize": None, "threshold": 0.02}

    one = correctness(lr, sr.where(half), hr, **options)
    other = correctness(lr, sr.where(half), hr.where(half, 5.0), **options)

    xr.testing.assert_equal(one, other)
    assert correctness(lr, sr * np.nan, hr).improvement.isnull()


def test_agreement_to_the_last_bit_makes_any_change_a_hallucination():
    flat = np.full((2, 48, 48), 0.2)
    changed = flat.copy()
    changed[:, 20:28, 20:28] += 0.1

    found = correctness(
        on_grid(flat[:, ::4, ::4]), on_grid(changed, 4), on_grid(flat, 4), harmonize=None, align=False, distance="l1"
    )

    assert float(found.hallucination) == 1
    assert float(found.kept) == pytest.approx(64 / 256)


def test_one_band_rectangles_and_other_scales_work():
    lr, sr, hr = triple(90, 60, scale=3, bands=1)
    found = correctness(lr, sr, hr, at=20, border=0)

    assert found.improvement.shape == (5, 3)
    with pytest.raises(errors.OptionError, match="sad"):
        correctness(lr, sr, hr, distance="sad")


def test_impossible_questions_are_refused(scenes):
    lr, sr, hr = scenes
    cases = [
        ({"distance": "lpips"}, "lpips"),
        ({"distance": "mtf", "support": "pixel"}, "mtf"),
        ({"at": "pixel", "support": 16}, "support="),
        ({"harmonize": "gamma"}, "harmonize"),
        ({"border": 48}, "border=48"),
        ({"quantile": 75}, "quantile=75"),
        ({"threshold": "auto50"}, "quantile"),
        ({"max_shift": 0}, "max_shift"),
        ({"border": -4}, "border=-4"),
        ({"scoring": "percent"}, "Scoring"),
        ({"threshold": float("nan")}, "threshold"),
    ]
    for options, message in cases:
        with pytest.raises(errors.OptionError, match=message):
            correctness(lr, sr, hr, **options)
    with pytest.raises(errors.GridError, match="SR.*LR"):
        correctness(lr.isel(x=slice(0, 30)), sr, hr)
    with pytest.raises(errors.CubeError, match="sr"):
        correctness(lr, [sr], hr)


def test_an_image_without_dates_serves_every_date():
    lr, sr, hr = triple(64, 80, dates=2)
    once = hr.isel(time=0, drop=True)
    twice = xr.concat([once] * 2, hr.time)

    xr.testing.assert_equal(correctness(lr, sr, once), correctness(lr, sr, twice))
    still = correctness(lr.isel(time=0, drop=True), sr.isel(time=0, drop=True), hr)
    assert still.improvement.dims == ("time",)
    np.testing.assert_array_equal(still.time, hr.time)


def test_graphs_can_be_sent_to_other_processes():
    lr, sr, hr = triple(64, 80)
    lazy = correctness(lr.chunk(), sr.chunk(x=50), hr)

    xr.testing.assert_equal(pickle.loads(pickle.dumps(lazy)).compute(), lazy.compute())
