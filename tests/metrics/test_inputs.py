"""Cubes come in one order, (lr, sr, hr), and a wrong order is called so."""

from __future__ import annotations

import inspect
import warnings

import pytest
import xarray as xr

import xr_sr
from tests.metrics.scenes import triple
from xr_sr import errors, metrics
from xr_sr.datasets.pairs import make_pairs

LR, SR, HR = triple(64, 64)
WITHOUT = [cube.drop_vars(["x", "y", "spatial_ref"]) for cube in (LR, SR, HR)]

OF_THREE = {
    "evaluate": xr_sr.evaluate,
    "correctness": metrics.correctness,
    "synthesis": metrics.synthesis,
    "opensr_test": metrics.opensr_test,
}
OF_TWO = {"consistency": metrics.consistency, "evaluate": xr_sr.evaluate, "synthesis": metrics.synthesis}


@pytest.mark.parametrize("name", OF_THREE)
@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 2), (0, 1, 0), (2, 1, 0), (0, 0, 0)])
def test_three_cubes_in_a_wrong_order_are_called_so(name, order):
    for cubes in ((LR, SR, HR), WITHOUT):
        with pytest.raises(errors.GridError, match=r"\(lr, sr, hr\)"):
            OF_THREE[name](*(cubes[place] for place in order))


@pytest.mark.parametrize("name", OF_TWO)
@pytest.mark.parametrize("cubes", [(SR, LR), (LR, LR), (WITHOUT[1], WITHOUT[0])])
def test_two_cubes_in_a_wrong_order_are_called_so(name, cubes):
    with pytest.raises(errors.GridError, match=r"\(lr, sr\)"):
        OF_TWO[name](*cubes)


def made(cube, model="sen2sr"):
    return cube.assign_attrs({"xr_sr:model": model})


OF_PAIRS = {
    "evaluate": lambda sr, hr: xr_sr.evaluate(LR, sr, hr),
    "correctness": lambda sr, hr: metrics.correctness(LR, sr, hr),
    "opensr_test": lambda sr, hr: metrics.opensr_test(LR, sr, hr),
    "rmse": metrics.rmse,
    "mtf": lambda sr, hr: metrics.mtf(sr, hr, window=16),
    "compare": lambda sr, hr: xr_sr.compare(LR, sr, hr),
    "explore": lambda sr, hr: xr_sr.explore(LR, sr, hr),
}


@pytest.mark.parametrize("name", OF_PAIRS)
def test_a_reference_from_a_model_is_warned_of_where_the_result_is_from_none(name):
    with pytest.warns(errors.ReferenceWarning, match=r"'sen2sr'.*\(lr, sr, hr\)") as caught:
        OF_PAIRS[name](HR, made(SR))
    assert len([each for each in caught if each.category is errors.ReferenceWarning]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.ReferenceWarning)
        for sr, hr in ((made(SR), HR), (SR, HR), (made(SR), made(HR, "teacher"))):  # a student and its teacher
            OF_PAIRS[name](sr, hr)


def test_a_reference_from_a_model_is_known_by_its_bands_and_in_a_geotiff_too(tmp_path):
    bands = SR.to_dataset("band")
    xr_sr.to_cog(made(SR), tmp_path / "sr.tif")
    for hr in (bands.assign(B04=made(bands["B04"])), xr_sr.open(tmp_path / "sr.tif")):
        with pytest.warns(errors.ReferenceWarning, match="sen2sr"):
            metrics.rmse(HR, hr)


@pytest.mark.parametrize("function", [lambda sr: xr_sr.evaluate(LR, sr, HR), lambda sr: metrics.rmse(sr, HR)])
def test_what_is_no_reflectance_on_one_grid_is_refused_with_the_call_that_makes_it(function):
    dn = SR.to_dataset("band").astype("uint16")

    with pytest.raises(errors.RadiometryError, match=r"SR holds uint16.*cube\.sr\.reflectance\(\)"):
        function(dn)
    with pytest.raises(errors.GridError, match="x, y|y and x"):
        function(dn.isel(x=0))
    tree = xr.DataTree.from_dict({"r10m": SR.to_dataset("band")})
    with pytest.raises(errors.CubeError, match=r"SR is a DataTree.*cube\['r10m'\]\.to_dataset\(\)"):
        function(tree)
    with pytest.raises(errors.CubeError, match=r"cube\.to_dataset\(\)"):
        function(tree["r10m"])
    function(tree["r10m"].to_dataset())


def test_lr_may_hold_dn_as_for_upscale_and_compare():
    scene = xr_sr.sample("havel")
    fine = scene["r10m"].to_dataset().isel(y=slice(48), x=slice(48)).sr.upscale("bicubic")
    dn = scene["r10m"].to_dataset().isel(y=slice(48), x=slice(48))
    bare = dn.drop_attrs().assign({name: band.drop_attrs() for name, band in dn.data_vars.items()})
    written = bare.sr.set_radiometry(offset=0, nodata=None, quantification=10_000)
    expected = metrics.consistency(dn.sr.reflectance(), fine).compute()

    for lr in (dn, written, dn.to_dataarray("band")):
        xr.testing.assert_identical(metrics.consistency(lr, fine).compute(), expected)
        assert float(xr_sr.evaluate(lr, fine)["reflectance"]) == float(
            xr_sr.evaluate(dn.sr.reflectance(), fine)["reflectance"]
        )
    tree = xr.DataTree.from_dict({"r10m": dn})
    xr.testing.assert_identical(fine.sr.consistency(tree)["r10m"].to_dataset().compute(), expected)
    for function in (metrics.consistency, xr_sr.evaluate):
        with pytest.raises(errors.RadiometryError, match=r"1000 .*lr\.sr\.set_radiometry\(offset="):
            function(bare, fine)
        with pytest.raises(errors.RadiometryError, match="SR holds uint16"):
            function(dn, fine.astype("uint16"))


@pytest.mark.parametrize("draw", ["interval", "ensemble"])
def test_of_a_result_with_an_error_the_estimate_is_to_be_passed(draw):
    pair = xr_sr.sample("virginia")
    lr, hr = (pair[node].to_dataset() for node in ("lr/r10m", "hr"))
    found = getattr(lr.sr, draw)(**({"n": 2} if draw == "ensemble" else {"model": "kriging"}))

    for function in (metrics.consistency, xr_sr.evaluate, lambda lr, sr: metrics.rmse(sr, hr)):
        with pytest.raises(errors.CubeError, match=r"cube\['estimate'\]"):
            function(lr, found)
    assert float(found["estimate"].sr.consistency(lr).reflectance) > 0


def test_variables_of_unlike_dimensions_are_no_bands_of_one_cube():
    bands = SR.to_dataset("band")

    with pytest.raises(errors.CubeError, match=r"unlike dimensions.*'weight'"):
        metrics.consistency(LR, bands.assign(weight=bands["B02"].expand_dims(date=2)))


def test_masks_pictures_and_pairs_have_the_same_order(tmp_path):
    lr_mask, sr_mask = (cube.isel(band=0, drop=True) > 0.2 for cube in (LR, SR))

    with pytest.raises(errors.GridError, match=r"\(lr_mask, sr_mask\)"):
        xr_sr.agreement(sr_mask, lr_mask)
    for cubes in ((SR, LR), (LR, LR), (LR, SR, LR), (LR, SR, LR.coarsen(x=2, y=2).mean())):
        for show in (xr_sr.compare, xr_sr.explore):
            with pytest.raises(errors.GridError, match=r"\(lr, sr, hr\)"):
                show(*cubes)
    with pytest.raises(errors.OptionError, match=r"sr=.*\(lr, sr, hr\)"):
        xr_sr.compare(SR)
    for cubes in ((SR, LR), (LR, LR)):
        with pytest.raises(errors.GridError, match=r"\(lr, hr\)"):
            make_pairs(*cubes, tmp_path / "pairs")


def test_two_masks_of_one_grid_are_compared():
    """A result and a reference map, say: neither is LR."""
    one, other = SR.isel(band=0, drop=True) > 0.2, SR.isel(band=0, drop=True) > 0.3

    counts = xr_sr.agreement(one, other)["pixels"].compute()

    assert int(counts.sum()) == one.size
    assert int(counts.sel(state="lr_only")) == int((one & ~other).sum())


def test_a_smaller_part_of_a_finer_cube_is_not_called_swapped():
    with pytest.raises(errors.GridError, match="SR.*LR") as raised:
        metrics.consistency(LR, SR.isel(x=slice(0, 8), y=slice(0, 8)))

    assert "swapped" not in str(raised.value)


@pytest.mark.parametrize("function", [*OF_THREE.values(), metrics.consistency, xr_sr.compare, xr_sr.explore])
def test_only_the_cubes_are_passed_by_position(function):
    parameters = inspect.signature(function).parameters.values()
    by_position = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]

    assert by_position == ["lr", "sr", "hr"][: len(by_position)]


@pytest.mark.parametrize("function", [metrics.lpips, metrics.clip_distance])
def test_perceptual_distances_take_sr_and_hr(function):
    with pytest.warns(FutureWarning, match="a= .*sr="), pytest.raises(errors.WeightsNotFoundError):
        function(a=SR, hr=HR)


def test_a_pair_that_is_swapped_or_a_dictionary_is_called_so():
    pair = xr_sr.sample("virginia")
    lr, hr = (pair[node].to_dataset() for node in ("lr/r10m", "hr"))

    with pytest.raises(errors.GridError, match=r"\(lr, hr\)"):
        xr_sr.calibrate(hr, lr.sr.reflectance())
    with pytest.raises(errors.CubeError, match=r"sr\[name\]"):
        xr_sr.compare(lr, {"one": hr})


def test_errors_of_options_name_what_has_them():
    lr = xr_sr.sample("virginia")["lr/r10m"].to_dataset()

    with pytest.raises(errors.OptionError, match="model='kriging'"):
        lr.sr.interval("kriging")
    with pytest.raises(errors.OptionError, match="'kriging'.*'sen2sr'"):
        lr.sr.interval(model="bicubic")
    with pytest.raises(errors.OptionError, match="'noise'.*model='kriging'"):
        lr.sr.upscale(noise=0.002)
    with pytest.warns(errors.SensorWarning, match=r"\{'B02': 0\.26\}"):
        lr.isel(x=slice(20), y=slice(20)).sr.upscale("kriging", mtf="estimate")
