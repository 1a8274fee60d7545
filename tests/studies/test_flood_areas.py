"""The study of flooded areas: what it fits is not what it reports on, and its intervals are what their names say."""

from __future__ import annotations

import math

import dask
import numpy as np
import pytest

from studies import flood_areas
from xr_sr.analytics.shares import shares_at
from xr_sr.errors import CalibrationWarning


def test_no_scene_is_fitted_and_reported():
    assert not set(flood_areas.TUNING) & set(flood_areas.REPORTED)
    assert len(flood_areas.REPORTED) >= 40


def test_the_table_names_the_shares_of_the_package():
    low, high = shares_at(flood_areas.LEVEL)

    assert f"{100 * high:.0f} % and {100 * low:.0f} %" in flood_areas.WAYS["shares"]


def test_the_share_at_which_an_area_is_true_is_found():
    """Of eight members, member k has the first k + 1 of eight columns."""
    maps = np.arange(8)[None, None, :] <= np.arange(8)[:, None, None].repeat(5, 1)

    shares = [flood_areas.share_at(maps, (np.arange(8) < count)[None, :].repeat(5, 0)) for count in (2, 4, 7)]

    assert shares == pytest.approx([13 / 16, 9 / 16, 3 / 16])  # column c is had by 8 - c members


def test_independent_pixels_add_their_variances():
    maps = np.zeros((4, 10, 10), bool)
    maps[:2] = True

    lower, upper = (bound / flood_areas.FINE_HA for bound in flood_areas.independent(maps))
    of_whole_maps = [bound / flood_areas.FINE_HA for bound in flood_areas.of_members(maps)]

    assert (lower, upper) == pytest.approx((50 - 1.645 * 5, 50 + 1.645 * 5), abs=0.01)
    assert of_whole_maps[1] == pytest.approx(50 + 1.645 * 50 * math.sqrt(4 / 3), abs=0.1)


def test_a_flood_is_measured_in_every_way():
    with dask.config.set(scheduler="synchronous"):
        ((facts, lr, truth),) = flood_areas.scenes([1002], side=24)
        with pytest.warns(CalibrationWarning, match="km2"):  # smaller than those of the study
            row = flood_areas.measured(facts, lr, truth)

    assert set(row["bounds"]) == set(flood_areas.WAYS)
    assert row["true_ha"] == pytest.approx(flood_areas.flooded(truth).sum() * 6.25e-4)
    assert row["area"] == pytest.approx(row["true_ha"], rel=0.15)
    widths = {way: upper - lower for way, (lower, upper) in row["bounds"].items()}
    assert widths["independent"] < widths["shares"] < widths["dependent"]
    inside, width, score = flood_areas._scores([row], "dependent")
    assert inside == 1 and width == score
