"""The pair in the package: two aligned grids of known pixels, usable as it is, and made anew by its recipe."""

from __future__ import annotations

import hashlib

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest

import xr_sr
from recipes import sample_virginia
from tests.datasets.test_synthetic import DATA
from xr_sr.datasets import sample
from xr_sr.simulate import degrade

SHA256 = {
    "virginia_hr.tif": "a14d07e3625e16559a89b93614786a01e83cadda39a0bc33f1856ee04f60965c",
    "virginia_lr.tif": "3afd53a6061e664c97f6d57cd5648b42885fa09189ed27d8180e8e57bacb9db2",
}
RGBN = ["B02", "B03", "B04", "B08"]


@pytest.fixture
def pair():
    tree = sample("virginia")
    return tree["lr/r10m"].to_dataset(), tree["hr"].to_dataset()


def test_each_input_pixel_is_four_by_four_pixels_of_the_reference(pair):
    lr, hr = pair

    assert list(lr) == list(hr) == RGBN
    assert lr.odc.geobox.crs.epsg == 26917
    assert lr.odc.geobox.zoom_to(hr.odc.geobox.shape) == hr.odc.geobox
    assert (lr.odc.geobox.resolution.xy, hr.odc.geobox.resolution.xy) == ((10, -10), (2.5, -2.5))
    assert lr.odc.geobox.affine.c % 10 == lr.odc.geobox.affine.f % 10 == 0
    np.testing.assert_array_equal(hr.x.values.reshape(-1, 4).mean(axis=1), lr.x)
    np.testing.assert_array_equal(hr.y.values.reshape(-1, 4).mean(axis=1), lr.y)
    assert lr.sr.upscale("kriging").odc.geobox == hr.odc.geobox


def test_the_input_is_what_the_sensor_sees_of_the_reference(pair):
    """Made from pixels of 1 m, so the reference seen again is close to it, not equal; a shift would show."""
    lr, hr = pair
    seen = degrade(hr, factor=4)

    for band in RGBN:
        off = (seen[band] - lr[band] / 1e4).values[2:-2, 2:-2]
        moved = (seen[band].shift(x=1) - lr[band] / 1e4).values[2:-2, 2:-2]
        assert np.sqrt((off**2).mean()) < 0.35 * np.sqrt((moved**2).mean()), band
        assert abs(off.mean()) < 5e-4, band


def test_values_units_and_credit_are_declared(pair):
    lr, hr = pair

    assert all(plane.chunks is not None for part in pair for plane in part.data_vars.values())
    assert {str(plane.dtype) for plane in lr.data_vars.values()} == {"uint16"}
    assert {str(plane.dtype) for plane in hr.data_vars.values()} == {"float32"}
    np.testing.assert_allclose(xr_sr.reflectance(lr).to_dataarray(), lr.to_dataarray() * 1e-4, rtol=1e-6)
    assert 0.01 < float(hr.to_dataarray().min()) < float(hr.to_dataarray().max()) < 0.7
    for attrs in (sample("virginia").attrs, lr.attrs, hr.attrs):
        assert attrs["license"] == "public domain"
        assert "USDA Farm Service Agency" in attrs["attribution"]
    assert "processing" not in sample("virginia").attrs
    assert "virginia_hr.tif" in (DATA / "NOTICE").read_text(encoding="utf-8")


def test_the_pair_is_evaluated_as_it_is(pair):
    lr, hr = pair
    psnr = {
        model: float(xr_sr.evaluate(lr, lr.sr.upscale(model), hr).psnr.mean())
        for model in ("bicubic", "kriging", "sen2sr")
    }

    assert (psnr["bicubic"], psnr["kriging"]) == pytest.approx((33.79, 35.03), abs=0.02)
    assert psnr["sen2sr"] > psnr["bicubic"] + 0.5


def test_files_are_small_and_known():
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.glob("virginia_*")} == SHA256
    assert sum(path.stat().st_size for path in DATA.glob("virginia_*")) < 500_000


def test_the_recipe_writes_the_same_bytes(shared, tmp_path):
    made = sample_virginia.make(shared / "data", tmp_path)

    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made} == SHA256


def test_the_reference_of_the_pair_is_declared_reflectance(recwarn):
    hr = xr_sr.sample("virginia")["hr"].to_dataset()

    hr.sr.reflectance().compute()
    xr_sr.simulate.degrade(hr.to_dataarray("band"), factor=4).sr.upscale("bicubic").compute()

    assert not [each for each in recwarn if issubclass(each.category, xr_sr.errors.RadiometryWarning)]
