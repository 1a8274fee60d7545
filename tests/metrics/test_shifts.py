"""Shifts are measured in windows, put together, and doubted where there is nothing to see."""

from __future__ import annotations

import dask.array as da
import numpy as np

from tests.metrics.scenes import texture
from xr_sr.metrics.shifts import measure_shifts
from xr_sr.registration import warp


def lazy(image: np.ndarray) -> da.Array:
    return da.from_array(image[None], chunks=(1, -1, 50, 70))


def test_windows_agree_on_one_shift(monkeypatch):
    monkeypatch.setattr("xr_sr.metrics.shifts.SIDE", 96)
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
