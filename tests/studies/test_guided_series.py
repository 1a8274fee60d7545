"""The study of 20 m bands of many dates, on one small scene."""

from __future__ import annotations

from statistics import fmean

import dask
import pytest

from studies import guided_series


def test_bands_of_all_images_are_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guided_series, "SIDE", 48)
    monkeypatch.setattr(guided_series, "SEEDS", 1)
    monkeypatch.setattr(guided_series, "DATES", (1, 3))

    with dask.config.set(scheduler="synchronous"):
        rows = guided_series.measure(1)

    assert len(rows) == 6 * 4
    alone, joined = (
        fmean(row["psnr"] for row in rows if (row["image"], row["dates"]) == kind)
        for kind in ((guided_series.ALONE, 1), (guided_series.JOINED, 3))
    )
    assert joined > alone + 0.5
    assert all(0.5 < row["coverage"] <= 1 and 1 <= row["counted"] <= 3 for row in rows if "coverage" in row)
