"""DN 0 in one band beside valid pixels of others: dark water, or the edge of a swath, whatever the chunks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.cubes import array
from xr_sr.errors import RadiometryWarning

SIDE = 40


def scene(*, water: int = 0, nodata: int = 0, seam: int = 0, valid_swir: int = 2500) -> np.ndarray:
    """Return DN of (B03, B11): columns of nodata in both bands, then of DN 0 in B11 alone, then of land."""
    dn = np.empty((2, SIDE, SIDE), "uint16")
    dn[0], dn[1] = 800, valid_swir
    dn[1, :, : nodata + seam + water] = 0
    dn[0, :, :nodata] = 0
    return dn


def warned(compute) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compute()
    return [str(each.message) for each in caught if each.category is RadiometryWarning]


@pytest.mark.parametrize("chunk", [7, 10, 20, SIDE])
@pytest.mark.parametrize(
    "dn", [scene(water=30), scene(water=5, nodata=8, valid_swir=40)], ids=["no-dark-pixel-left", "dark-pixels-left"]
)
def test_dark_water_is_counted_alike_for_all_chunks(chunk, dn):
    cube = array(dn, ("B03", "B11")).chunk(y=chunk, x=chunk)
    lost = int(((dn[1] == 0) & (dn[0] > 0)).sum())

    [said] = warned(lambda: cube.sr.water(threshold=0.0, offset=0).compute())
    assert f"unknown in {lost} values in" in said and "DN 0 in B11" in said

    [said] = warned(lambda: cube.sr.upscale("nearest", scale=2, offset=0, chunks=chunk).compute())
    assert f"{lost} values in" in said and "because of DN 0" in said


@pytest.mark.parametrize("chunk", [2, 7, SIDE])
@pytest.mark.parametrize("dn", [scene(), scene(nodata=9), scene(nodata=9, seam=3)], ids=["whole", "nodata", "seam"])
def test_nodata_at_the_edge_of_a_swath_is_no_reason_to_warn_for_any_chunks(chunk, dn):
    cube = array(dn, ("B03", "B11")).chunk(y=chunk if chunk > 2 else SIDE, x=chunk)

    assert not warned(lambda: cube.sr.water(threshold=0.0, offset=0).compute())
    assert not warned(lambda: cube.sr.upscale("nearest", scale=2, offset=0).compute())


def test_each_date_is_judged_by_itself():
    season = np.stack([scene(nodata=30, seam=2), scene(water=20)])
    cube = array(season, ("B03", "B11")).chunk(time=1, y=20, x=20)

    [said] = warned(lambda: cube.sr.water(threshold=0.0, offset=0).compute())
    assert f"unknown in {20 * SIDE} values in" in said
