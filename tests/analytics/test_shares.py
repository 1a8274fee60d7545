"""Shares of members that users fit themselves, by the code of docs/floods.md, bound the area of other places."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from odc.geo.xr import xr_coords

import xr_sr
from tests.cubes import geobox_of, times
from xr_sr.analytics.shares import shares_at

PAGE = Path(__file__).parents[2] / "docs" / "floods.md"


def place(seed: int) -> tuple[xr.Dataset, float]:
    """An index that rises over 60 rows, whose estimate is off along the whole edge; returns the true area too."""
    rng = np.random.default_rng(seed)
    index = np.linspace(-1, 1, 60).repeat(20).reshape(1, 60, 20)
    shape = {"dims": ("time", "y", "x"), "coords": {**xr_coords(geobox_of(60, 20)), "time": times(2)}}
    estimate = xr.DataArray(np.concatenate([index * 0 - 0.9, index + rng.normal(0, 0.05)]).astype("f4"), **shape)
    members = xr.concat([estimate + rng.normal(0, 0.2, estimate.shape).astype("f4") for _ in range(16)], "member")
    cube = xr.Dataset({"estimate": estimate, "std": xr.full_like(estimate, 0.2), "members": members})
    return cube, 0.01 * float((index > 0).sum())


@pytest.mark.filterwarnings("ignore::xr_sr.errors.CalibrationWarning")
def test_shares_of_the_page_bound_the_area_of_other_places():
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"xr_sr": xr_sr}
    exec(compile(code, "floods.md", "exec"), names)
    found = [
        (cube.sr.flood(*times(2), index=None, threshold=0.0).compute(), true) for cube, true in map(place, range(24))
    ]

    shares = names["shares_of"]([names["share_at"](each.isel(time=0), true) for each, true in found[:12]])

    assert 0 < shares[0] < 0.5 < shares[1] < 1
    inside = 0
    for each, true in found[12:]:
        areas = each.sr.areas(shares=shares).isel(time=0).sel(state="flooded")
        inside += float(areas["area_lower"]) * 0.999 <= true <= float(areas["area_upper"]) * 1.001
    assert inside >= 9


def test_a_higher_level_has_shares_farther_apart():
    found = [shares_at(level) for level in (0.5, 0.8, 0.9, 0.99)]

    assert found == sorted(found, key=lambda each: each[1] - each[0])
    assert found[2] == pytest.approx((0.37, 0.64), abs=0.01)
