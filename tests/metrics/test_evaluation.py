"""One call gives what the single metrics give, for one model or several, in either profile, lazily."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests.metrics.scenes import on_grid, triple
from xr_sr import errors, metrics
from xr_sr.metrics import evaluate, opensr_test, table
from xr_sr.metrics.published import OpenSRTest, opensr_test_outcome

NAMES = {
    *("rmse", "mae", "psnr", "ssim", "sam", "ergas", "q_index", "reflectance", "spectral", "spatial", "synthesis"),
    *("improvement", "omission", "hallucination"),
}


@pytest.fixture(scope="module")
def scenes():
    return triple(96, 112, dates=2)


def test_one_call_gives_what_the_single_metrics_give(scenes):
    lr, sr, hr = scenes
    found = evaluate(lr, sr, hr, border=0)
    single = {
        "rmse": metrics.rmse(sr, hr),
        "ssim": metrics.ssim(sr, hr),
        "ergas": metrics.ergas(sr, hr, scale=4),
        "reflectance": metrics.consistency(lr, sr).reflectance,
        "synthesis": metrics.synthesis(lr, sr, hr, border=0).synthesis,
        "omission": metrics.correctness(lr, sr, hr, border=0).omission,
    }

    assert set(found) >= NAMES
    for name, expected in single.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, err_msg=name)
    assert set(found.dims) == {"time", "band"}
    assert found.attrs["profile"] == "default"
    assert found.attrs["scale"] == 4


def test_a_lazy_call_computes_nothing_and_gives_the_same(scenes):
    lr, sr, hr = scenes
    lazy = evaluate(lr.chunk(x=9), {"ours": sr.chunk(y=50), "truth": hr}, hr.chunk(time=1))

    assert all(array.chunks is not None for array in lazy.data_vars.values())
    assert lazy.rmse.dims == ("model", "time", "band")
    xr.testing.assert_equal(lazy.sel(model="ours", drop=True).compute(), evaluate(lr, sr, hr))
    assert (lazy.sel(model="truth").improvement > 0.96).all()


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_dn_as_floats_are_refused_when_it_is_computed(scenes, wrong):
    cubes = [cube.chunk() for cube in scenes]
    cubes[wrong] = cubes[wrong] * 10_000

    lazy = evaluate(*cubes)

    with pytest.raises(errors.RadiometryError, match=f"{('LR', 'SR', 'HR')[wrong]}.*reflectance"):
        lazy.compute()


def test_without_a_truth_there_is_consistency_and_synthesis(scenes):
    found = evaluate(*scenes[:2])

    assert set(found) == {"reflectance", "spectral", "spatial", "synthesis"}
    with pytest.raises(errors.OptionError, match="hr="):
        evaluate(*scenes[:2], profile="opensr-test")


def test_numbers_per_object_stand_beside_the_others(scenes):
    lr, sr, hr = scenes
    labels = np.zeros((96, 112), int)
    labels[20:60, 20:60] = 5
    objects = hr[0, 0].drop_vars(["band", "time"]).copy(data=labels)

    found = evaluate(lr, sr, hr, objects=objects)

    assert found.rmse_per_object.dims == ("time", "band", "object")
    expected = metrics.rmse(sr[..., 20:60, 20:60], hr[..., 20:60, 20:60])
    np.testing.assert_allclose(found.rmse_per_object.sel(object=5), expected)
    assert found.improvement_per_object.dims == ("time", "object")


def test_the_published_profile_is_that_tool_date_by_date(scenes):
    lr, sr, hr = scenes
    found = evaluate(lr, sr.chunk(time=1), hr, profile="opensr-test", correctness_distance="l1")
    config = OpenSRTest(correctness_distance="l1")
    outcome = opensr_test_outcome(lr.values[1], sr.values[1], hr.values[1], config)

    assert set(found) == NAMES
    for name in ("reflectance", "spectral", "synthesis", "improvement", "omission", "hallucination"):
        np.testing.assert_allclose(found[name][1], getattr(outcome, name))
    maps = opensr_test(lr, sr, hr, maps=True, correctness_distance="l1")
    assert maps.improvement.shape == (2, 96, 112)
    np.testing.assert_allclose(maps.omission[1, 16:-16, 16:-16], outcome.maps[1])
    assert maps.omission[:, :16].isnull().all()


def test_options_are_checked(scenes):
    lr, sr, hr = scenes
    with pytest.raises(errors.OptionError, match="profile"):
        evaluate(lr, sr, hr, profile="opensr")
    with pytest.raises(errors.OptionError, match="agg_method.*opensr-test"):
        evaluate(lr, sr, hr, agg_method="patch")
    with pytest.raises(errors.OptionError, match="agg_method, patch_size"):
        evaluate(lr, sr, hr, profile="opensr-test", patchsize=3)
    with pytest.raises(errors.OptionError, match="opensr-test.*NaN"):
        evaluate(lr, sr * np.nan, hr, profile="opensr-test")


def test_the_table_has_a_row_per_metric_and_band_and_a_column_per_model(scenes):
    lr, sr, hr = scenes
    evaluation = evaluate(lr, {"ours": sr, "truth": hr}, hr)

    rows = table(evaluation)

    assert list(rows.columns) == ["ours", "truth"]
    assert rows.loc["rmse B08", "ours"] == pytest.approx(float(evaluation.rmse.sel(model="ours", band="B08").mean()))
    assert rows.loc["sam", "ours"] == pytest.approx(float(evaluation.sam.sel(model="ours").mean()))
    assert list(table(evaluate(lr, sr)).columns) == ["value"]


def test_one_band_and_no_coordinates_are_enough():
    lr, sr, hr = (image.isel(band=0, drop=True).drop_vars(["x", "y", "spatial_ref"]) for image in triple(64, 80))

    found = evaluate(lr, sr, hr, mtf=0.25)

    assert found.rmse.dims == ("band",)
    assert "spectral" not in found and "sam" not in found
    assert 0 < float(found.improvement) < 1


def test_results_have_the_names_of_the_user():
    lr, sr, hr = (image.rename(band="channel", y="lat", x="lon") for image in triple(64, 64))
    found = metrics.rmse(sr, hr, at="pixel")

    assert found.dims == ("channel", "lat", "lon")
    assert evaluate(lr, sr, hr).psnr.dims == ("channel",)
    assert on_grid(found.values, 4).shape == found.shape


def test_the_published_profile_refuses_what_it_does_not_heed(scenes):
    lr, sr, hr = scenes
    cases = [
        ({"distance": "l1"}, "correctness_distance"),
        ({"support": 32}, "patch_size"),
        ({"harmonize": None}, "harm_apply_spectral"),
        ({"align": False}, "harm_apply_spatial"),
        ({"max_shift": 2.0}, "spatial_threshold_distance"),
        ({"border": 4}, "border_mask"),
        ({"quantile": 0.5}, "gradient_threshold"),
        ({"scoring": metrics.Scoring(norm="percent")}, "correctness_norm"),
    ]

    for options, own in cases:
        with pytest.raises(errors.OptionError, match=f"{next(iter(options))}=.*{own}"):
            evaluate(lr, sr, hr, profile="opensr-test", **options)


def test_the_published_profile_says_what_is_wrong_before_it_measures(scenes):
    lr, sr, hr = (image.chunk() for image in scenes)
    cases = [
        ({"agg_method": "patch"}, "needs patch_size"),
        ({"border_mask": 15}, "no multiple of the scale 4.*border_mask=16"),
        ({"border_mask": 48}, "leaves nothing"),
        ({"rgb_bands": (0, 1, 9)}, "of 4 bands.*9"),
        ({"gradient_threshold": "auto150"}, "from 1 to 100"),
        ({"patchsize": 3}, "no option 'patchsize'.*patch_size"),
    ]

    for options, message in cases:
        for call in (
            lambda **given: evaluate(lr, sr, hr, profile="opensr-test", **given),
            lambda **given: opensr_test(lr, sr, hr, **given),
        ):
            with pytest.raises(errors.OptionError, match=message):
                call(**options)


def test_options_of_the_default_are_checked_before_anything_is_measured(scenes):
    lr, sr, hr = (image.chunk() for image in scenes)
    cases = [
        ({"scoring": "percent"}, "Scoring"),
        ({"scoring": {}}, "Scoring"),
        ({"quantile": 75}, "share"),
        ({"peak": 0}, "above 0"),
        ({"border": -1}, "at least 0"),
    ]

    for options, message in cases:
        with pytest.raises(errors.OptionError, match=message):
            evaluate(lr, sr, hr, **options)


def test_attributes_say_what_the_numbers_depend_on(scenes):
    lr, sr, hr = (image.chunk() for image in scenes)
    scoring = metrics.Scoring(norm="percent")

    own = evaluate(lr, sr, hr, harmonize=None, align=False, max_shift=3, quantile=0.5, scoring=scoring, peak=0.5).attrs
    published = evaluate(lr, sr, hr, profile="opensr-test", harm_apply_spatial=False).attrs

    assert (own["harmonize"], own["align"], own["max_shift"], own["quantile"]) == ("none", "false", 3.0, 0.5)
    assert own["scoring"].startswith("percent, temperature 0.25") and own["peak"] == 0.5
    assert (published["harmonize"], published["align"], published["border"]) == ("histogram", "false", 16)
    assert "harmonize" not in evaluate(lr, sr).attrs


def test_models_of_other_bands_are_named(scenes):
    lr, sr, hr = (image.chunk() for image in scenes)
    with pytest.raises(errors.MissingBandError, match="'ours' has .*'B08'.*'fewer' has 'B04', 'B03'\\."):
        evaluate(lr, {"ours": sr, "fewer": sr.isel(band=slice(2))}, hr)
    with pytest.raises(errors.CubeError, match="dates"):
        metrics.consistency(lr.isel(time=0), {"ours": sr, "later": sr.isel(time=[1])})
    with pytest.raises(errors.GridError, match="grid"):
        metrics.synthesis(lr, {"ours": sr, "coarse": sr.coarsen(x=2, y=2).mean()}, at="pixel", border=0)


def test_objects_must_lie_on_the_grid_of_sr(scenes):
    lr, sr, hr = (image.chunk() for image in scenes)
    objects = hr[0, 0].drop_vars(["band", "time"]).copy(data=np.ones((96, 112), int))
    for wrong, message in (
        (objects.isel(y=slice(None, None, -1)), "same ground"),
        (objects.assign_coords(x=objects.x + 100), "same ground"),
        (objects.isel(x=slice(9)), "96 x 9 pixels"),
        (objects.odc.assign_crs("EPSG:32634"), "EPSG:32634.*EPSG:32"),
    ):
        with pytest.raises(errors.GridError, match=message):
            evaluate(lr, sr, hr, objects=wrong)

    assert "rmse_per_object" in evaluate(lr, sr, hr, objects=objects.drop_vars(["x", "y", "spatial_ref"]))


@pytest.mark.parametrize("border", [12, 16])
def test_what_lies_in_the_border_does_not_count(border):
    lr, sr, hr = triple(300, 280, dates=2)
    bounded = hr.where((hr.x > hr.x[border - 1]) & (hr.x < hr.x[-border]))
    bounded = bounded.where((hr.y < hr.y[border - 1]) & (hr.y > hr.y[-border]))

    found = evaluate(lr, sr, hr, border=border)

    for name in ("rmse", "psnr", "ssim", "q_index", "sam"):
        np.testing.assert_allclose(found[name], getattr(metrics, name)(sr, bounded), rtol=1e-12)
    judged = metrics.correctness(lr, sr, hr, border=border)
    for name in ("improvement", "omission", "hallucination", "kept", "threshold"):
        np.testing.assert_allclose(found[name], judged[name], rtol=1e-12)
    np.testing.assert_allclose(found.synthesis, metrics.synthesis(lr, sr, hr, border=border).synthesis, rtol=1e-12)


def test_holes_in_the_inputs_do_not_count():
    lr, sr, hr = triple(128, 160)
    hole = xr.zeros_like(hr[0], dtype=bool)
    hole[40:60, 70:90] = True

    for found in (evaluate(lr, sr.where(~hole), hr), evaluate(lr, sr, hr.where(~hole))):
        for name in ("rmse", "mae", "ssim", "q_index", "sam", "ergas"):
            options = {"scale": 4} if name == "ergas" else {}
            inner = {"x": slice(16, -16), "y": slice(16, -16)}
            expected = getattr(metrics, name)(sr.isel(inner), hr.where(~hole).isel(inner), **options)
            np.testing.assert_allclose(found[name], expected, rtol=1e-12)
