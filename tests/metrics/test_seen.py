"""Consistency through the sensor: the right image agrees with what was measured, but not by its block means."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, dataset, reflectance
from tests.metrics.scenes import triple
from tests.pipeline.test_pansharpen import geobox_of
from xr_sr.errors import CubeError, GridError, MissingBandError, OptionError, RadiometryError
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
    wrong = (
        {"operator": "mean"}, {"mtf": 1.5}, {"operator": "block", "mtf": 0.2}, {"mtf": {"zz": 0.2}}, {"psf": "wide"},
        {"psf": 9.0}, {"psf": 0.5, "mtf": 0.2}, {"operator": "block", "psf": 0.5}, {"psf": {"zz": 0.5}},
        {"psf": {"a": 0.5}}, {"psf": np.zeros((3, 3))},
    )  # fmt: skip
    for options in wrong:
        for call in (consistency, xr_sr.evaluate):
            with pytest.raises(OptionError, match=r"operator=|mtf=|psf=|kernel"):
                call(lr, hr, **options)


@pytest.mark.parametrize(
    ("psf", "degraded"),
    [
        (0.45, {"mtf": float(np.exp(-0.5 * (np.pi * 0.45) ** 2))}),
        ("4.5 m", {"mtf": float(np.exp(-0.5 * (np.pi * 0.45) ** 2))}),
        (np.ones((4, 4)), {"kernel": np.ones((4, 4))}),
        ("mtf", {}),
    ],
)
def test_through_the_point_spread_function_that_is_passed_the_right_image_agrees(pair, psf, degraded):
    hr = pair[1]
    lr = xr_sr.simulate.degrade(hr, factor=4, **degraded).compute()
    nominal = not degraded
    mapped = psf if nominal else {"B02": psf, "green": psf, "red": psf, "B08": psf}

    for given in (psf, mapped):
        assert float(consistency(lr, hr, psf=given, border=16).reflectance) < 1e-6
        assert float(xr_sr.evaluate(lr, hr, psf=given)["reflectance"]) < 1e-6
    if not nominal:
        assert float(consistency(lr, hr, border=16).reflectance) > 1e-4
        other = lr.assign_attrs(platform="landsat-8").assign_coords(band=["a", "b", "c", "d"])
        assert float(consistency(other, hr.assign_coords(band=other.band), psf=psf, border=16).reflectance) < 1e-6


@pytest.fixture(scope="module")
def two_grids() -> tuple[xr.DataTree, xr.Dataset]:
    """What the modeled sensor measures at 10 m and 20 m, and the right image of both."""
    geobox = geobox_of(48, 60)
    hr = dataset(reflectance(4, 192, 240), ("B04", "B08", "B11", "B12"), geobox=geobox.zoom_to((192, 240)))
    fine = xr_sr.simulate.degrade(hr[["B04", "B08"]], factor=4).compute()
    coarse = xr_sr.simulate.degrade(hr[["B11", "B12"]], factor=8).compute()
    # As products have it: at 20 m the 10 m bands too, which are not what the sensor measured.
    coarse["B04"] = coarse["B11"] * 0 + 0.5
    return xr.DataTree.from_dict({"r10m": fine, "r20m": coarse}), hr


@pytest.mark.parametrize("at", ["image", "pixel"])
def test_each_node_of_a_tree_is_compared_on_its_own_grid(two_grids, at):
    tree, hr = two_grids
    found = hr.sr.consistency(tree, at=at, border=16)

    assert isinstance(found, xr.DataTree) and set(found.children) == {"r10m", "r20m"}
    for path, bands in (("r10m", ["B04", "B08"]), ("r20m", ["B11", "B12"])):
        alone = consistency(tree[path].to_dataset()[bands], hr, at=at, border=16)
        xr.testing.assert_identical(found[path].to_dataset(), alone)
        assert float(found[path]["reflectance"].max()) < 1e-6


def test_bands_that_sr_has_as_they_were_measured_are_left_out(two_grids):
    tree, _ = two_grids
    fused = tree.sr.fuse("bicubic", constraint="measured")
    found = fused.sr.consistency(tree)

    assert set(found.children) == {"r20m"}
    assert float(found["r20m"]["reflectance"]) < 0.2 * float(
        tree.sr.fuse("bicubic").sr.consistency(tree)["r20m"]["reflectance"]
    )
    assert set(consistency(tree, {"one": fused}).children) == {"r20m"}
    with pytest.raises(GridError, match=r"equal resolution.*\(lr, sr\)"):
        consistency(tree, fused[["B04"]])


def test_sr_may_be_a_tree_several_models_or_without_the_bands_of_a_node(two_grids):
    tree, hr = two_grids
    other = xr.DataTree.from_dict({"r20m": hr[["B11"]], "r60m": hr})
    models = consistency(tree, {"right": hr, "darker": hr * 0.9})

    assert set(consistency(tree, other).children) == {"r20m"}
    assert set(consistency(tree, hr[["B12"]]).children) == {"r20m"}
    assert models["r20m"]["model"].values.tolist() == ["right", "darker"]
    assert float(models["r20m"]["reflectance"].diff("model").item()) > 0.01
    with pytest.raises(MissingBandError, match="B04"):
        consistency(tree, hr[["B12"]].rename(B12="B05"))
    with pytest.raises(MissingBandError, match="r10m"):
        consistency(tree, xr.DataTree.from_dict({"other": hr}))
    with pytest.raises(GridError, match="'r10m'"):
        consistency(tree, hr.isel(y=slice(1, None)))
    with pytest.raises(RadiometryError, match="'r10m'"):
        consistency(tree.map_over_datasets(lambda node: (node * 1e4).astype("uint16")), hr)
    with pytest.raises(CubeError, match="DataTree"):
        consistency(tree["r10m"].to_dataset(), other)


def test_a_result_made_to_agree_is_found_to_agree():
    lr = array(reflectance(4, 64, 64))
    before, made = (lr.sr.upscale("bicubic", constraint=which, device="cpu") for which in ("none", "measured"))

    assert float(consistency(lr, made, border=32).reflectance) < 0.1 * float(
        consistency(lr, before, border=32).reflectance
    )
    assert xr_sr.evaluate(lr, made).attrs["operator"] == "psf"
