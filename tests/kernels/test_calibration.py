"""Calibrations: quantiles of histograms, what stands in for what is missing, files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xr_sr.errors import OptionError
from xr_sr.kernels.calibration import EDGES, LEVELS, STRATA, Calibration, fitted, gaussian_width, shipped
from xr_sr.kernels.psf import MTF_AT_NYQUIST


def counts_of(scores: np.ndarray) -> np.ndarray:
    return np.histogram(scores.clip(EDGES[0], EDGES[-1]), EDGES)[0].astype(float)


def example() -> Calibration:
    chance = np.random.default_rng(0)
    counts = np.zeros((2, 3, len(EDGES) - 1))
    for band in range(2):
        for stratum in range(3):
            counts[band, stratum] = counts_of(np.abs(chance.standard_normal(50_000)) * (1 + band) * (1 + stratum))
    counts[1, 2] = 0
    return fitted("kriging", ["B04", "B08"], counts, counts.sum(-1), "made up", 1000)


@pytest.mark.parametrize("level", LEVELS)
def test_quantiles_are_those_of_the_scores(level):
    made = example()

    assert made.width("B04", "flat", level) == pytest.approx(gaussian_width(level), rel=0.05)
    assert made.width("B08", "edge", level) == pytest.approx(4 * gaussian_width(level), rel=0.05)


def test_factors_are_those_of_a_normal_distribution():
    assert example().factors("B04", 0.9) == pytest.approx((1, 2, 3), rel=0.03)


def test_what_is_missing_is_taken_from_all_bands():
    made = example()

    assert made.width("B08", "bright", 0.9) == made.width("all", "bright", 0.9)
    assert made.width("B11", "edge", 0.9) == made.width("all", "edge", 0.9)


def test_a_file_holds_all_of_it(tmp_path):
    made = example()
    made.save(tmp_path / "mine.json")

    again = Calibration.load(tmp_path / "mine.json")

    assert again == made
    assert "kriging" in repr(again) and "B04, B08" in repr(again)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"model": "kriging", "note": "", "levels": [0.5], "scores": []}'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "other.json").write_text(text)

    with pytest.raises(OptionError, match="calibration"):
        Calibration.load(tmp_path / "other.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(OptionError, match="calibration"):
        Calibration.load(tmp_path / "none.json")


@pytest.mark.parametrize("quantiles", [{}, {("all", "all"): (1.0,)}, {("all", "all"): tuple(range(17, 0, -1))}])
def test_quantiles_have_to_be_complete_and_rise(quantiles):
    with pytest.raises(OptionError):
        Calibration("kriging", quantiles)


def test_the_package_has_one_of_kriging():
    made = shipped("kriging")

    assert made is not None
    assert {band for band, _ in made.quantiles} == {*MTF_AT_NYQUIST, "all"} - {"B10"}
    assert {stratum for _, stratum in made.quantiles} == {*STRATA, "all"}
    assert "Virginia" not in made.note  # which intervals are judged on
    assert shipped("bicubic") is None


def test_merged_calibrations_keep_what_each_says_of_its_bands():
    """Also where it is taken from all bands together: what it says, and not what the other does."""
    first, second = example(), Calibration("kriging", {("all", "all"): tuple(np.arange(1, 1 + len(LEVELS)) / 2.0)})
    second = dataclasses.replace(
        second, quantiles={**second.quantiles, ("B11", "flat"): tuple(np.arange(1, 1 + len(LEVELS)) / 1.0)}, note="swir"
    )

    made = first.merge(second)

    for stratum in STRATA:
        for band in ("B04", "B08", "B99"):
            assert made.width(band, stratum, 0.9) == first.width(band, stratum, 0.9)
        assert made.width("B11", stratum, 0.9) == second.width("B11", stratum, 0.9)
    assert made.width("B11", "flat", 0.9) == 2 * made.width("B11", "edge", 0.9)
    assert made.note == "made up; B11: swir" and made.model == "kriging"


def test_calibrations_with_other_options_are_not_merged():
    alike = dataclasses.replace(example(), options={"strength": 1.0})
    assert alike.merge(example()).options == {"strength": 1.0}
    with pytest.raises(OptionError, match="merge.*0.5"):
        alike.merge(dataclasses.replace(alike, options={"strength": 0.5}))


@pytest.mark.parametrize("other", ["kriging.json", None, Calibration("sen2sr.ten-x4", example().quantiles)])
def test_only_calibrations_of_one_family_are_merged(other):
    with pytest.raises(OptionError, match="merge"):
        example().merge(other)
