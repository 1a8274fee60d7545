"""The study of many dates: means over rows, gains over other images, and images that need no model."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from studies import multiframe, series
from studies.aerial import SCALE
from tests.cubes import array
from tests.pipeline.test_pansharpen import geobox_of
from xr_sr.registration import parts
from xr_sr.simulate import degrade_series


def row(image: str, dates: int, psnr: float, place: str = "one") -> dict[str, object]:
    return {"image": image, "dates": dates, "spread": 0.5, "psnr": psnr, "place": place}


def test_gains_are_over_the_last_date_or_over_as_many_dates():
    rows = [
        row(multiframe.JOINED, 8, 36.0),
        row(multiframe.JOINED, 8, 38.0, "two"),
        row(multiframe.KRIGING, 1, 34.0),
        row(multiframe.KRIGING, 1, 35.0, "two"),
        row(multiframe.MEAN, 8, 35.0),
        row(multiframe.MEAN, 8, 36.0, "two"),
    ]

    assert multiframe._gain(rows, 8, 0.5, multiframe.KRIGING) == pytest.approx(2.5)
    assert multiframe._gain(rows, 8, 0.5, multiframe.MEAN) == pytest.approx(1.5)
    assert multiframe._gain(rows, 8, 0.5, multiframe.KRIGING, place="two") == pytest.approx(3.0)


@pytest.fixture(scope="module")
def ground() -> xr.DataArray:
    """A smooth image at 2.5 m: interpolation is then right, whatever the displacement."""
    rows, columns = np.mgrid[:128, :128] / 128
    waves = 0.2 + 0.05 * np.sin(9 * rows + 4 * columns) + 0.03 * np.cos(11 * columns)
    box = geobox_of(32, 32).zoom_to((128, 128))
    return array(np.stack([waves, 2 * waves]).astype("float32"), bands=("B04", "B08"), geobox=box)


def test_the_mean_of_aligned_images_and_shift_and_add_lie_where_the_last_date_does(ground: xr.DataArray):
    shifts = [(0.4, -0.3), (-0.35, 0.2), (0.0, 0.0)]
    lr = series.bands_of(degrade_series(ground, SCALE, dates=3, shifts=shifts).compute())

    for found in (series.mean_of_bicubic(lr), series.shift_and_add(lr, ground)):
        image = found.sel(band=ground.band).values[:, 24:-24, 24:-24]
        moves = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
        beside = [np.roll(ground.values, move, (1, 2))[:, 24:-24, 24:-24] for move in moves]
        assert np.argmin([np.square(image - moved).mean() for moved in beside]) == 0


def test_errors_are_added_to_shifts_and_taken_away_again(ground: xr.DataArray):
    lr = degrade_series(ground, SCALE, dates=2, shifts=[(0.3, 0.1), (0.0, 0.0)])["lr"].to_dataset()
    images = lr.to_dataarray("band").transpose("time", "band", "y", "x").values
    measured = parts.compare

    with series.wrong_shifts(0.1, seed=3):
        found = parts.compare(images[0], images[1], [0, 1], 3.0).shift

    right = parts.compare(images[0], images[1], [0, 1], 3.0).shift
    assert parts.compare is measured
    wanted = np.random.default_rng(3).normal(0, 0.1, 2)
    np.testing.assert_allclose([found.dy - right.dy, found.dx - right.dx], wanted, atol=1e-9)
