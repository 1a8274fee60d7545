"""`estimate_mtf` and `mtf="estimate"`: accuracy, chunks, dates, grids, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, reflectance
from tests.pipeline.test_pansharpen import geobox_of, on_one_grid, tree_of
from xr_sr.errors import OptionError, SensorWarning, XrSrError
from xr_sr.kernels.psf import MTF_AT_NYQUIST


def scene(side: int = 400, **options: object) -> xr.DataArray:
    """What a sensor sees of a simulated landscape: (band, y, x)."""
    fine = xr_sr.simulate_scene(side // 4, seed=3, bands=("B02", "B04", "B08"))["hr"].to_dataset()
    fine = fine.to_dataarray("band").isel(time=0, drop=True).compute()
    return xr_sr.simulate.degrade(fine, factor=4, noise="sentinel2", **options).compute()


def estimated(cube: object, **options: object) -> xr.Dataset:
    with dask.config.set(scheduler="synchronous"):
        return xr_sr.estimate_mtf(cube, **options).compute()  # type: ignore[arg-type]


def test_at_places_that_it_has_not_learnt_from(shared: Path):
    from studies import aerial

    errors = []
    for place in aerial.places():
        like = place.hr.odc.geobox.zoom_out(aerial.SCALE)
        for mtf in (0.15, 0.2, 0.3, 0.4):
            for gain in (0.5, 1.0, 2.0):
                seen = xr_sr.simulate.degrade(place.native, like=like, mtf=mtf, noise="sentinel2", noise_gain=gain)
                errors.append(estimated(seen, offset=0, quantification=1).mtf.values - mtf)
    found = np.array(errors)
    measured = found[np.isfinite(found)]

    assert measured.size == 3 * 12 * 4  # nothing on bare land
    assert np.sqrt((measured**2).mean()) < 0.034
    assert (abs(measured) < 0.03).mean() > 0.6  # two thirds
    assert abs(measured).max() < 0.09
    assert abs(measured.mean()) < 0.02


def test_chunks_and_dates_do_not_matter():
    cube = scene()
    cube[0, 20:24, 30] = np.nan
    dates = xr.concat([cube, cube], xr.DataArray(np.array(["2024-05-01", "2024-05-06"], "M8[ns]"), dims="time"))

    whole = estimated(cube)

    xr.testing.assert_identical(estimated(cube.chunk(y=17, x=40)), whole)
    twice = estimated(dates.chunk(time=1, y=50))
    np.testing.assert_allclose(twice.mtf_measured, whole.mtf_measured, atol=2e-4)
    assert list(twice.windows.values) == [2 * count for count in whole.windows.values]


def test_nothing_is_computed_before_it_is_asked_for_and_the_method_is_named():
    found = scene().chunk(y=40).sr.estimate_mtf()

    assert dask.is_dask_collection(found)
    assert set(found.data_vars) == {"mtf", "mtf_std", "mtf_measured", "windows", "reason"}
    assert "published" in found.attrs["method"]
    assert "spectrum" in found.attrs["source"]


def test_a_sharper_sensor_has_a_larger_estimate():
    found = [estimated(scene(mtf=mtf), toward=None).mtf.mean() for mtf in (0.15, 0.25, 0.4)]

    assert found[0] < found[1] < found[2]


def test_bands_of_all_grids_are_measured_on_their_own_pixels():
    tree = tree_of(96, 108)

    found, repeated = estimated(tree), estimated(on_one_grid(tree))

    assert {"B04", "B11"} <= set(found.band.values)
    for band in ("B04", "B11"):
        assert int(found.windows.sel(band=band)) == int(repeated.windows.sel(band=band))
    assert int(found.windows.sel(band="B11")) < int(found.windows.sel(band="B04")) / 3


def test_where_nothing_can_be_measured_it_says_why():
    small = estimated(array(reflectance(1, 20, 20), bands=("B04",), geobox=geobox_of(20, 20)))
    noise = 0.05 + np.random.default_rng(1).normal(0, 0.002, (1, 80, 80))
    flat = estimated(array(noise.astype("float32"), bands=("B04",), geobox=geobox_of(80, 80)))

    for found, word in ((small, "windows"), (flat, "contrast")):
        assert np.isnan(found.mtf.values).all()
        assert word in str(found.reason.values[0])


def test_kriging_records_the_numbers_which_give_the_same_values_for_any_crop():
    cube = scene(mtf=0.4)
    with dask.config.set(scheduler="synchronous"):
        made = cube.sr.upscale("kriging", mtf="estimate", device="cpu").compute()
        numbers = json.loads(made.attrs["xr_sr:options"])["mtf"]
        crop = cube.isel(y=slice(20, 80), x=slice(10, 90)).sr.upscale("kriging", mtf=numbers, device="cpu").compute()

    assert numbers == dict(zip(*[estimated(cube)[name].values.tolist() for name in ("band", "mtf")], strict=True))
    inner = crop.isel(y=slice(48, -48), x=slice(48, -48))
    np.testing.assert_allclose(inner.values, made.sel(y=inner.y, x=inner.x).values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("constraint", ["auto", "measured"])
def test_explain_reads_no_pixel_and_says_that_the_mtf_is_measured(constraint):
    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("a pixel was read")

    tree = tree_of(48, 54)
    unread = tree.map_over_datasets(
        lambda node: node.chunk().map(
            lambda each: each.copy(
                data=each.data.map_blocks(refuse, dtype=each.dtype, meta=np.empty((0, 0), each.dtype))
            )
        )
    )
    options = {"bands": ["B04", "B11"], "constraint": constraint, "device": "cpu"}

    told = repr(unread.sr.explain("kriging", mtf="estimate", **options)).splitlines()

    plain = repr(unread.sr.explain("kriging", **options)).splitlines()
    other = [each for each in told if each not in plain]
    assert [each.split()[:4] for each in other if each.split()[0] == "mtf"] == [["mtf", "measured", "from", "the"]]
    rest = [each for each in other if each.split()[0] != "mtf"]
    assert [each.split()[0] for each in rest] == (["constraint"] if constraint == "measured" else [])
    assert all(each.endswith("MTF estimated") for each in rest)
    assert [each.split()[0] for each in told if "mtf" not in each] == [each.split()[0] for each in plain]
    with pytest.raises(AssertionError, match="read"), dask.config.set(scheduler="synchronous"):
        unread.sr.upscale("kriging", mtf="estimate", **options)


def test_kriging_takes_the_published_value_where_nothing_can_be_measured():
    cube = array(reflectance(1, 24, 24), bands=("B04",), geobox=geobox_of(24, 24))

    with pytest.warns(SensorWarning, match="B04"):
        made = cube.sr.upscale("kriging", mtf="estimate", device="cpu")

    assert json.loads(made.attrs["xr_sr:options"])["mtf"] == {"B04": MTF_AT_NYQUIST["B04"]}


def test_what_is_wrong_is_refused():
    cube = array(reflectance(1, 24, 24), bands=("B04",), geobox=geobox_of(24, 24))
    unknown = array(reflectance(1, 24, 24), bands=("B10",), geobox=geobox_of(144, 144).zoom_out(6))

    with pytest.raises(OptionError, match="toward"):
        xr_sr.estimate_mtf(cube, toward="nominal")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="bands"):
        xr_sr.estimate_mtf(cube, bands=[4])  # type: ignore[list-item]
    with pytest.raises(OptionError, match="B10"):
        unknown.sr.upscale("kriging", mtf="estimate")
    with pytest.raises(OptionError, match="estimate_mtf"):
        cube.sr.upscale("bicubic", constraint="measured", mtf="estimate")


def test_masks_that_are_no_booleans_and_finer_results_are_refused():
    cube = scene()
    classes = xr.full_like(cube.isel(band=0, drop=True), 4, dtype="uint8")
    with pytest.raises(OptionError, match="mask"):
        cube.sr.estimate_mtf(mask=classes)
    with pytest.raises(XrSrError, match="super-resolved"):
        cube.sr.upscale("bicubic", device="cpu").sr.estimate_mtf()


def without(tree: xr.DataTree, mask: xr.DataArray) -> xr.DataTree:
    """The same with NaN in each pixel with a pixel of 10 m under it that the mask drops, or with none at all."""
    nodes = {}
    for name, ratio in (("r10m", 1), ("r20m", 2), ("r60m", 6)):
        node = tree[name].to_dataset()
        kept = np.zeros(node["y"].shape + node["x"].shape, bool)
        for row, y in enumerate(node["y"].values):
            for column, x in enumerate(node["x"].values):
                near = [abs(mask[dim].values - at) < 5 * ratio for dim, at in (("y", y), ("x", x))]
                under = mask.values[np.ix_(*near)]
                kept[row, column] = under.size > 0 and under.all()
        nodes[name] = node.where(xr.DataArray(kept, dims=("y", "x")))
    return xr.DataTree.from_dict(nodes)


@pytest.mark.parametrize(("top", "left", "end"), [(0, 0, None), (1, 0, None), (13, 7, 90), (18, 24, -5)])
def test_a_mask_of_10_m_counts_on_all_grids_wherever_they_begin(top, left, end):
    """The rest of the pipeline takes such a mask: kriging runs through, with the numbers that are recorded."""
    tree = tree_of(96, 108)
    fine = tree["r10m"].to_dataset().isel(y=slice(top, end), x=slice(left, end))
    tree["r10m"] = xr.DataTree(fine)
    mask = fine["B04"] > 0
    mask[20:27, 31:44] = False

    found = estimated(tree, mask=mask)

    xr.testing.assert_identical(found, estimated(without(tree, mask)))
    assert int(found.windows.sel(band="B11")) < int(estimated(tree).windows.sel(band="B11"))
    with dask.config.set(scheduler="synchronous"):
        made = tree.sr.upscale("kriging", bands=["B04", "B11"], mask=mask, mtf="estimate", device="cpu")
    recorded = json.loads(made.attrs["xr_sr:options"])["mtf"]
    assert recorded == dict(zip(("B04", "B11"), found.mtf.sel(band=["B04", "B11"]).values.tolist(), strict=True))


def test_a_mask_counts_alike_for_repeated_pixels_and_those_of_a_grid_of_their_own():
    tree = tree_of(96, 108)
    mask = tree["r10m/B04"] > 0
    mask[21, 32:44] = False

    found = estimated(on_one_grid(tree), mask=mask)

    xr.testing.assert_equal(found.windows, estimated(tree, mask=mask).windows.sel(band=found.band))
    for cube in (tree, on_one_grid(tree)):
        xr.testing.assert_identical(estimated(cube, mask=mask | True), estimated(cube))


def test_a_mask_with_dates_counts_on_the_dates_of_each_grid():
    """A coarse grid with more dates than the fine one: those of the mask are its own."""
    tree = tree_of(96, 108, 2)
    dates = np.array(["2024-05-01", "2024-05-06"], "M8[ns]")
    tree = tree.map_over_datasets(lambda node: node.assign_coords(time=dates) if node.data_vars else node)
    mask = tree["r10m/B04"] > 0
    mask[0] = False
    second = xr.DataTree.from_dict({name: node.to_dataset().isel(time=[1]) for name, node in tree.children.items()})

    found = estimated(tree, mask=mask)

    xr.testing.assert_equal(found, estimated(second))
    tree["r10m"] = xr.DataTree(second["r10m"].to_dataset())
    xr.testing.assert_equal(estimated(tree, mask=mask.isel(time=[1])), estimated(second))


def test_a_mask_beside_a_coarse_grid_keeps_nothing_of_it():
    tree = tree_of(96, 108)
    far = tree["r20m"].to_dataset()
    far = far.assign_coords(x=far.x + 6000)
    fine = tree["r10m"].to_dataset()

    found = estimated(fine, other=far, mask=fine["B04"] > 0)

    assert int(found.windows.sel(band="B11")) == 0 < int(found.windows.sel(band="B04"))
    assert int(estimated(fine, other=far).windows.sel(band="B11")) > 0


def test_a_band_has_one_number_whichever_are_asked_for():
    """Also for kriging: the same band of fewer bands has the same values."""
    cube = scene()
    whole = estimated(cube)
    for names in (["B04"], ["B08", "B02"]):
        xr.testing.assert_identical(estimated(cube, bands=names), whole.sel(band=names))
    with dask.config.set(scheduler="synchronous"):
        one, all_bands = (
            cube.sr.upscale("kriging", mtf="estimate", bands=names, device="cpu").sel(band="B04").values
            for names in (["B04"], None)
        )
    np.testing.assert_array_equal(one, all_bands)
