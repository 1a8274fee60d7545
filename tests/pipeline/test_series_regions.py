"""The table of a window: what a date has in regions where it was not measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xr_sr.pipeline.series_block import DOWN, FIRST, WEIGHT
from xr_sr.pipeline.series_regions import table_of
from xr_sr.registration.anchors import ComparedRegion
from xr_sr.registration.estimate import NOTHING, judged
from xr_sr.registration.series import Compared


def measured(down: float, residual: float = 0.002, gain: float = 1.0) -> Compared:
    return Compared(judged(-down, 0.0, 0.02, 3.0), np.array([gain]), np.zeros(1), residual)


def unknown(residual: float) -> Compared:
    return Compared(NOTHING, np.ones(1), np.zeros(1), residual)


def region(*dates: Compared) -> ComparedRegion:
    return ComparedRegion((1.0,) * (1 + len(dates)), dates, None, {})


@pytest.mark.parametrize(("residual", "weight"), [(math.nan, 0.25), (math.inf, 0.0)])
def test_a_date_with_few_common_pixels_weighs_what_it_does_in_other_regions(residual: float, weight: float):
    hazy = measured(0.3, residual=0.006, gain=1.2)
    regions = [region(hazy, measured(-0.2), measured(0.1)), region(unknown(residual), measured(-0.2), measured(0.1))]

    table = table_of(regions, (1, 2), 1, 3.0)[0]

    assert table[0, 0, WEIGHT] == 0.25
    assert table[1, 0, WEIGHT] == weight
    assert table[1, 0, DOWN] == pytest.approx(0.3)
    assert table[1, 0, FIRST] == pytest.approx(1.2)


def test_a_date_that_was_measured_nowhere_counts_for_nothing():
    table = table_of([region(unknown(math.nan), measured(0.1))] * 2, (2, 1), 1, 3.0)

    assert (table[..., 0, WEIGHT] == 0).all() and (table[..., 1, WEIGHT] == 1).all()
