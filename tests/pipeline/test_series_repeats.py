"""Dates that repeat others of their overpass, region by region."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from xr_sr.pipeline.series_block import FIRST, WEIGHT
from xr_sr.pipeline.series_repeats import find_repeats, without_repeats
from xr_sr.tiling.regions import map_regions

GROUND = np.random.default_rng(0).uniform(0, 0.4, (2, 6, 8)).astype("float32")


def parts(*columns: slice) -> np.ndarray:
    """The same ground on several dates, (date, band, y, x), each valid in some columns."""
    dates = np.full((len(columns), *GROUND.shape), np.nan, "float32")
    for date, own in zip(dates, columns, strict=True):
        date[..., own] = GROUND[..., own]
    return dates


def repeated(dates: np.ndarray, same_pass: list[tuple[int, ...]], keep: np.ndarray | None = None) -> list[bool]:
    stacks = [[(da.from_array(plane), None) for plane in dates.reshape(-1, *dates.shape[-2:])]]
    if keep is not None:
        stacks.append([(da.from_array(plane), None) for plane in keep])
    regions = [((0, dates.shape[-2]), (0, dates.shape[-1]))]
    (found,) = map_regions(find_repeats, stacks, regions, args=(2, tuple(same_pass))).compute(scheduler="synchronous")
    return found.tolist()


ALL = slice(None)


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ((ALL, ALL, ALL), [False, True, True]),  # the first is the reference
        ((slice(0, 0), ALL, ALL), [False, True, False]),  # of equal ones the last
        ((slice(0, 0), ALL, slice(0, 6)), [False, False, True]),
        ((slice(0, 5), slice(3, 8), slice(1, 7)), [False, False, True]),  # two that cover it together
        ((slice(0, 0), slice(0, 5), slice(3, 8)), [False, False, False]),
    ],
)
def test_a_date_is_a_repeat_where_others_show_all_of_its_pixels(columns: tuple[slice, ...], wanted: list[bool]):
    assert repeated(parts(*columns), [(), (0,), (0, 1)]) == wanted


def test_only_dates_of_one_overpass_are_compared():
    assert repeated(parts(ALL, ALL, ALL), [(), (), (1,)]) == [False, True, False]


def test_other_values_of_one_band_are_another_measurement_and_what_a_mask_hides_is_none():
    dates = parts(slice(0, 0), ALL, ALL)
    dates[1, 1, 2, 3] += 1e-4
    assert repeated(dates, [(), (0,), (0, 1)]) == [False, False, False]
    keep = np.ones((3, 6, 8), bool)
    keep[1, 2, 3] = False
    assert repeated(dates, [(), (0,), (0, 1)], keep) == [False, True, False]


def test_repeats_weigh_nothing_in_their_region():
    table = np.ones((1, 2, 3, FIRST + 4))
    found = [np.array([False, True]), np.array([False, False])]

    made = without_repeats(table, [0, 2], found)

    assert made[..., WEIGHT].tolist() == [[[1, 0, 1], [1, 1, 1]]]
    assert (np.delete(made, WEIGHT, axis=-1) == 1).all() and (table == 1).all()
