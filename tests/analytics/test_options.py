"""Options are checked at the call, also where they have no effect: on maps of water, and on bands of one grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, reflectance
from xr_sr.errors import OptionError, RadiometryError

BANDS = array(np.stack([reflectance(4, 8, 8, seed=seed) for seed in (1, 2)]))
MAP = xr_sr.water(BANDS, "NDWI", threshold=0.0)
DATES = [str(date)[:10] for date in BANDS.time.values]

WRONG: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "grid": ({"grid": "x"}, OptionError),
    "offset": ({"offset": "x"}, RadiometryError),
    "offset of a truth value": ({"offset": True}, RadiometryError),
    "offset of a ragged list": ({"offset": [[1], [1, 2]]}, RadiometryError),
    "quantification": ({"quantification": True}, RadiometryError),
    "nodata": ({"nodata": True}, RadiometryError),
    "nodata in a pair": ({"nodata": (0, True)}, RadiometryError),
    "nodata of NumPy": ({"nodata": np.True_}, RadiometryError),
    "nodata of text": ({"nodata": ["0"]}, RadiometryError),
}
LEVELS: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "threshold": ({"threshold": "x"}, OptionError),
    "threshold of a truth value": ({"threshold": True}, OptionError),
    "threshold of a list": ({"threshold": [0.1]}, OptionError),
    "per": ({"per": "x"}, OptionError),
}
DOORS: dict[str, Any] = {
    "water": lambda cube, **options: xr_sr.water(cube, "NDWI", **options),
    "flood": lambda cube, **options: xr_sr.flood(cube, DATES[0], DATES[1], index="NDWI", **options),
    "flood_between": lambda cube, **options: xr_sr.flood_between(
        cube.isel(time=[0]), cube.isel(time=[1]), index="NDWI", **options
    ),
}


@pytest.mark.parametrize("case", WRONG | LEVELS)
@pytest.mark.parametrize("cube", [BANDS, MAP], ids=["bands", "map"])
@pytest.mark.parametrize("door", DOORS)
def test_wrong_options_are_refused_of_bands_and_of_maps(door, cube, case):
    options, error = (WRONG | LEVELS)[case]

    with pytest.raises(error, match=f"{next(iter(options))}="):
        DOORS[door](cube, **options)


@pytest.mark.parametrize("case", WRONG)
def test_an_index_refuses_wrong_options(case):
    options, error = WRONG[case]

    with pytest.raises(error, match=f"{next(iter(options))}="):
        xr_sr.index(BANDS, "NDWI", **options)


@pytest.mark.parametrize("door", DOORS)
def test_right_options_have_no_effect_on_maps(door):
    options = {"grid": "fine", "offset": -1000, "quantification": 5000, "nodata": [0, -1], "threshold": 0.3}

    xr.testing.assert_identical(DOORS[door](MAP, **options).compute(), DOORS[door](MAP).compute())


@pytest.mark.parametrize("nodata", [True, (0, True), np.True_], ids=repr)
def test_a_truth_value_is_no_nodata(nodata):
    with pytest.raises(RadiometryError, match="nodata=.*'auto'.*number"):
        xr_sr.reflectance(BANDS, nodata=nodata)
    with pytest.raises(RadiometryError, match="nodata=.*'auto'.*number"):
        BANDS.sr.upscale("bicubic", nodata=nodata)


@pytest.mark.parametrize("chunks", [True, (True, 8), {"y": True}, (8.0, 8)], ids=repr)
def test_a_truth_value_is_no_chunk(chunks):
    for door in (BANDS.sr.upscale, BANDS.sr.fuse):
        with pytest.raises(OptionError, match="chunks=.*pixels"):
            door("bicubic", chunks=chunks)


@pytest.mark.parametrize("date", [True, [True], np.True_], ids=repr)
def test_pictures_take_no_truth_value_for_a_date(date):
    sr = BANDS.sr.upscale("bicubic")
    for one in (slice(None), 0):
        lr, fine = BANDS.isel(time=one), sr.isel(time=one)
        with pytest.raises(OptionError, match="date="):
            xr_sr.plot.compare(lr, fine, date=date)
        with pytest.raises(OptionError, match="date=.*position"):
            xr_sr.plot.explore(lr, fine, date=date)
