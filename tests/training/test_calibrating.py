"""Calibrations fitted on pairs, and reports of coverage, against formulas on all pixels at once."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm, spearmanr

import xr_sr
from xr_sr.errors import CalibrationWarning, GridError, OptionError
from xr_sr.kernels.calibration import gaussian_width

LEVELS = (0.8, 0.9)


def pair(seed: int, size: int = 60) -> tuple[xr.DataArray, xr.DataArray]:
    """What a sensor sees of a synthetic scene, and the scene."""
    scene = xr_sr.simulate_scene(size, seed=seed, bands=("B04", "B08"))
    fine = scene["hr"].to_dataset().to_dataarray("band").isel(time=0, drop=True).compute()
    return xr_sr.simulate.degrade(fine, factor=4, noise="sentinel2").compute(), fine


@pytest.fixture(scope="module")
def pairs() -> list[tuple[xr.DataArray, xr.DataArray]]:
    return [pair(1), pair(2)]


@pytest.fixture(scope="module")
def fitted(pairs):
    with dask.config.set(scheduler="synchronous"):
        return xr_sr.calibrate(*zip(*pairs, strict=True), device="cpu", note="made up", model="kriging")


@pytest.fixture(scope="module")
def pixels(pairs, fitted):
    """All pixels of the first pair at once: error, standard deviation, half width, by level."""
    lr, hr = pairs[0]
    found = {}
    for level in LEVELS:
        made = xr_sr.interval(lr, level, device="cpu", calibration=fitted, model="kriging").compute()
        inner = {"y": slice(16, -16), "x": slice(16, -16)}
        error = (hr.transpose(*made["estimate"].dims) - made["estimate"]).isel(inner).values.astype("float64")
        half = ((made["upper"] - made["lower"]) / 2).isel(inner).values.astype("float64")
        found[level] = error.ravel(), made["std"].isel(inner).values.astype("float64").ravel(), half.ravel()
    return found


def report_of(pairs, **options):
    with dask.config.set(scheduler="synchronous"):
        return xr_sr.calibration_report(
            *zip(*pairs, strict=True), device="cpu", levels=LEVELS, model="kriging", **options
        )


def test_intervals_cover_what_they_say_where_they_were_fitted(pairs, fitted):
    made = report_of(pairs, calibration=fitted)

    every = made.sel(stratum="all")
    share = every["pixels"] / every["pixels"].sum()
    np.testing.assert_allclose((every["coverage"] * share).sum("place"), LEVELS, atol=0.01)


def test_a_report_is_that_of_all_pixels_at_once(pairs, fitted, pixels):
    made = report_of(pairs, calibration=fitted, names=["one", "two"]).sel(place="one")
    every = made.sel(stratum="all")

    for level, (error, _, half) in pixels.items():
        assert float(every["coverage"].sel(level=level)) == pytest.approx((abs(error) <= half).mean(), abs=1e-3)
        assert float(every["width"].sel(level=level)) == pytest.approx(2 * half.mean(), rel=1e-3)
        score = 2 * half + 2 / (1 - level) * np.maximum(abs(error) - half, 0)
        assert float(every["interval_score"].sel(level=level)) == pytest.approx(score.mean(), rel=1e-3)
    error, deviation, _ = pixels[0.9]  # the middle one of two
    z = error / deviation
    crps = deviation * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert float(every["crps"]) == pytest.approx(crps.mean(), rel=1e-3)
    np.testing.assert_allclose(every["pit"], np.histogram(norm.cdf(z), 10, (0, 1))[0] / z.size, atol=2e-3)
    assert float(every["spread_error"]) == pytest.approx(spearmanr(abs(error), deviation)[0], abs=5e-3)
    order = np.argsort(deviation)
    half_of_them = abs(error)[order][: error.size // 2].mean()
    assert float(every["risk"].sel(kept=0.5)) == pytest.approx(half_of_them, rel=0.1)


def test_the_constant_interval_is_the_best_one(pairs, fitted, pixels):
    made = report_of(pairs[:1], calibration=fitted)
    error = abs(pixels[0.9][0]).reshape(2, -1)

    def score(half: np.ndarray, of: np.ndarray) -> float:
        return float((2 * half + 20 * np.maximum(of - half, 0)).mean())

    best = np.mean([min(score(half, band) for half in np.linspace(0, 0.3, 300)) for band in error])
    assert float(made["constant_score"].isel(place=0).sel(level=0.9)) == pytest.approx(best, rel=0.01)


def test_scores_are_those_of_the_library_scores(pairs, fitted, pixels):
    continuous = pytest.importorskip("scores.continuous")
    probability = pytest.importorskip("scores.probability")
    made = report_of(pairs, calibration=fitted).isel(place=0).sel(stratum="all")

    for level, (error, _, half) in pixels.items():
        error, half = (xr.DataArray(each, dims="pixel") for each in (error, half))
        theirs = continuous.interval_score(-half, half, error, interval_range=level)["total"]
        assert float(made["interval_score"].sel(level=level)) == pytest.approx(float(theirs), rel=1e-3)
    error, deviation, _ = (each[::400] for each in pixels[0.9])
    at = np.linspace(-0.5, 0.5, 4001)
    below = xr.DataArray(norm.cdf(at / deviation[:, None]), dims=("pixel", "at"), coords={"at": at})
    theirs = probability.crps_cdf(below, xr.DataArray(error, dims="pixel"), threshold_dim="at", preserve_dims="pixel")
    z = error / deviation
    crps = deviation * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(theirs["total"], crps, atol=2e-4)


def test_blocks_do_not_matter(pairs, fitted):
    lr, hr = pairs[0]

    with dask.config.set(scheduler="synchronous"):
        made = xr_sr.calibrate(lr.chunk(y=17, x=40), hr.chunk(y=100, x=33), device="cpu", model="kriging")
        whole = xr_sr.calibrate(lr, hr, device="cpu", model="kriging")

    for key, values in whole.quantiles.items():
        np.testing.assert_allclose(made.quantiles[key], values, rtol=1e-3)


def test_equal_places_count_alike_whatever_their_size(pairs):
    (lr, hr), (small_lr, small_hr) = (
        pairs[0],
        (each.isel(y=slice(n), x=slice(n)) for each, n in zip(pairs[1], (30, 120), strict=True)),
    )

    with dask.config.set(scheduler="synchronous"):
        twice = xr_sr.calibrate(
            [lr, small_lr, small_lr], [hr, small_hr, small_hr], equal=True, device="cpu", model="kriging"
        )
        once, other = (
            xr_sr.calibrate(*each, device="cpu", model="kriging") for each in ((lr, hr), (small_lr, small_hr))
        )

    found = [each.width("all", "all", 0.9) for each in (once, twice, other)]
    assert found == sorted(found) or found == sorted(found, reverse=True)
    every = ("all", "all")
    assert twice.pixels[every] == once.pixels[every] + 2 * other.pixels[every]
    pooled = xr_sr.calibrate([lr, small_lr, small_lr], [hr, small_hr, small_hr], "kriging", device="cpu").width(
        *every, 0.9
    )
    assert abs(twice.width(*every, 0.9) - other.width(*every, 0.9)) < abs(pooled - other.width(*every, 0.9))


def test_few_pixels_have_no_quantiles_of_their_own_however_they_are_weighed(pairs):
    lr, hr = (each.isel(y=slice(n), x=slice(n)) for each, n in zip(pairs[0], (16, 64), strict=True))

    made = xr_sr.calibrate([lr], [hr], equal=True, border=10, device="cpu", model="kriging")

    assert all(pixels >= 2000 for key, pixels in made.pixels.items() if key != ("all", "all"))
    assert made.pixels["all", "all"] == 2 * 44**2


def test_the_name_of_a_family_is_that_of_its_model(pairs):
    lr, hr = pairs[0]
    four = xr.concat([lr, lr], "band").assign_coords(band=["B04", "B08", "B03", "B02"])
    reference = xr.concat([hr, hr], "band").assign_coords(band=["B04", "B08", "B03", "B02"])

    made = xr_sr.calibrate(four, reference, "sen2sr", device="cpu")

    assert made.model == "sen2sr.rgbn-x4" and made.note == "fitted on 1 pair of one's own"
    four.sr.interval(model="sen2sr", calibration=made, device="cpu")
    report = xr_sr.calibration_report(four, reference, "sen2sr", calibration=made, device="cpu")
    assert abs(report["coverage"].sel(stratum="all", level=0.9).item() - 0.9) < 0.02
    with pytest.raises(OptionError, match="levels"):
        xr_sr.calibration_report(four, reference, levels=[], model="kriging")


def test_pixels_that_are_nan_do_not_count(pairs):
    lr, hr = (each.copy() for each in pairs[0])
    hr[:, :100] = np.nan

    made = report_of([(lr, hr)], calibrated=False)

    assert int(made["pixels"].sel(stratum="all").sum()) == 2 * (240 - 100 - 16) * (240 - 32)


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (lambda lr, hr: ([lr], hr), {}, OptionError),
        (lambda lr, hr: ([lr], [hr, hr]), {}, OptionError),
        (lambda lr, hr: (lr, hr.isel(y=slice(100))), {}, GridError),
        (lambda lr, hr: (lr, hr), {"model": "bicubic"}, OptionError),
        (lambda lr, hr: (lr, hr), {"border": -1}, OptionError),
        (lambda lr, hr: (lr, hr), {"border": 500}, OptionError),
    ],
)
def test_what_does_not_fit_is_refused(pairs, arguments, options, error):
    with pytest.raises(error):
        xr_sr.calibrate(*arguments(*pairs[0]), **{"device": "cpu", "model": "kriging", **options})


def test_a_calibration_records_the_options_it_was_fitted_with(pairs, tmp_path):
    lr, hr = pairs[0]
    made = xr_sr.calibrate(lr, hr, device="cpu", strength=0.5, model="kriging")
    made.save(tmp_path / "half.json")

    assert made.options["strength"] == 0.5 and made.options["scale"] == 4
    again = xr_sr.Calibration.load(tmp_path / "half.json")
    assert again == made
    xr_sr.calibration_report(lr, hr, calibration=again, device="cpu", strength=0.5, model="kriging")
    with pytest.raises(OptionError, match="strength=0.5.*strength=1"):
        xr_sr.calibration_report(lr, hr, calibration=again, model="kriging")
    with pytest.warns(CalibrationWarning, match="strength=0.5"):
        xr_sr.calibration_report(lr, hr, device="cpu", strength=0.5, model="kriging")


def test_levels_and_names_of_a_report_are_checked(pairs):
    wrong = [(0.5, 2), 0.9, np.array(0.9), np.array([]), np.ones((2, 2)), "0.9", (0.8, 0.9, 0.8), (0.9, None)]
    for options in [*({"levels": levels} for levels in wrong), {"names": ["one", "two"]}, {"names": "one"}]:
        with pytest.raises(OptionError, match=next(iter(options))):
            xr_sr.calibration_report(*pairs[0], model="kriging", **options)
    with pytest.raises(OptionError, match="names"):
        xr_sr.calibration_report(*zip(*pairs, strict=True), names=["one", "one"], model="kriging")


def test_levels_come_in_any_order_and_as_an_array(pairs):
    lr, hr = pairs[0]
    rising, other = (
        xr_sr.calibration_report(lr, hr, device="cpu", levels=levels, model="kriging")
        for levels in ((0.8, 0.9, 0.95), np.array([0.9, 0.95, 0.8]))
    )

    assert other["level"].values.tolist() == [0.9, 0.95, 0.8]
    xr.testing.assert_equal(other.sortby("level"), rising)


def test_widths_are_those_of_a_normal_distribution():
    assert gaussian_width(0.9) == pytest.approx(norm.ppf(0.95))
