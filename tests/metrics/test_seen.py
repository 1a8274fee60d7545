"""Consistency through the sensor: the right image agrees with what was measured, but not by its block means."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, dataset, reflectance
from tests.metrics.scenes import triple
from tests.pipeline.test_pansharpen import geobox_of
from xr_sr.errors import OptionError
from xr_sr.metrics import consistency


@pytest.fixture(scope="module")
def pair() -> tuple[xr.DataArray, xr.DataArray]:
    """What the modeled sensor measures without noise, and the right image."""
    hr = triple(256, 192)[2]
    return xr_sr.simulate.degrade(hr, factor=4).compute(), hr


def test_the_right_image_agrees_through_the_sensor_and_fails_the_mean_of_pixels(pair):
    lr, hr = pair
    bicubic = lr.sr.upscale("bicubic")

    through, mean = (
        {name: float(consistency(lr, image, operator=operator, border=16).reflectance) for name, image in
         (("right", hr), ("bicubic", bicubic))}
        for operator in ("psf", "block")
    )  # fmt: skip

    assert through["right"] < 1e-6 < 1e-3 < through["bicubic"]
    assert mean["right"] > 5e-3, "of an image without an error"


def test_bands_of_wider_pixels_are_compared_at_their_own():
    geobox = geobox_of(48, 60)
    hr = dataset(reflectance(2, 192, 240), ("B04", "B11"), geobox=geobox.zoom_to((192, 240)))
    fine = xr_sr.simulate.degrade(hr[["B04"]], factor=4).compute()
    coarse = xr_sr.simulate.degrade(hr[["B11"]], factor=8).compute()
    lr = fine.assign(B11=(fine.B04.dims, coarse.B11.values.repeat(2, 0).repeat(2, 1)))

    maps = consistency(lr, hr, at="pixel")
    resampled = lr.assign(B11=lr.B11 + 0.1 * ((np.arange(60) % 2) - 0.5))  # the mean of the two is the sensor's pixel

    assert float(maps.reflectance[6:-6, 6:-6].max()) < 1e-6
    np.testing.assert_allclose(consistency(resampled, hr, at="pixel").reflectance, maps.reflectance, atol=1e-6)
    crop = lr.isel(y=slice(1, 45), x=slice(3, 59)), hr.isel(y=slice(4, 180), x=slice(12, 236))
    assert float(consistency(*crop, at="pixel").reflectance[6:-6, 6:-6].max()) < 1e-6


@pytest.mark.parametrize("at", ["image", "pixel", 5])
def test_results_do_not_depend_on_chunks(pair, at):
    lr, hr = pair
    hr = hr.where(hr > 0.1)

    lazy = consistency(lr.chunk(x=5), hr.chunk(y=37, x=50), at=at)

    assert lazy.reflectance.chunks is not None
    xr.testing.assert_equal(lazy.compute(), consistency(lr, hr, at=at))


def test_a_sensor_whose_mtf_is_not_known_needs_it(pair):
    lr, hr = (cube.assign_coords(band=["a", "b", "c", "d"]) for cube in pair)

    with pytest.raises(OptionError, match="mtf=.*operator='block'"):
        consistency(lr, hr)
    with pytest.raises(OptionError, match="mtf="):
        xr_sr.evaluate(lr, hr)
    landsat = pair[0].assign_attrs(platform="landsat-8")
    with pytest.raises(OptionError, match="another sensor"):
        consistency(landsat, pair[1])

    assert float(consistency(lr, hr, mtf=0.25).reflectance) > 0
    by_band = consistency(landsat, pair[1], mtf={"B02": 0.26, "B03": 0.28, "B04": 0.24, "B08": 0.26})
    assert float(by_band.reflectance) == float(consistency(*pair).reflectance)
    assert consistency(lr, hr, operator="block").attrs["operator"] == "block"
    for options in ({"operator": "mean"}, {"mtf": 1.5}, {"operator": "block", "mtf": 0.2}):
        with pytest.raises(OptionError, match=r"operator=|mtf="):
            consistency(lr, hr, **options)


def test_a_result_made_to_agree_is_found_to_agree():
    lr = array(reflectance(4, 64, 64))
    before, made = (lr.sr.upscale("bicubic", constraint=which, device="cpu") for which in ("none", "measured"))

    assert float(consistency(lr, made, border=32).reflectance) < 0.1 * float(
        consistency(lr, before, border=32).reflectance
    )
    assert xr_sr.evaluate(lr, made).attrs["operator"] == "psf"
