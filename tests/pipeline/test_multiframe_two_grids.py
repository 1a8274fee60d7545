"""`multiframe` of 20 m bands, guided by the 10 m bands of all dates: better than alone, blocks, layouts, errors."""

from __future__ import annotations

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xr_sr
from xr_sr.errors import BandWarning, MissingBandError, OptionError
from xr_sr.simulate import degrade

FINE, COARSE = ["B03", "B04", "B08"], ["B05", "B11"]
SHIFTS = ((0.3, -0.25), (-0.45, 0.1), (0.15, 0.45), (-0.2, -0.4), (0.4, 0.3), (0.0, 0.0))


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    """The fine ground: 48 x 48 input pixels of a synthetic landscape."""
    scene = xr_sr.simulate_scene(48, "2023-06-15", seed=5)["hr"].to_dataset()
    return scene.isel(time=0, drop=True)[[*FINE, *COARSE]].compute()


def series(truth: xr.Dataset, bands: list[str], factor: int) -> xr.Dataset:
    dates = [
        degrade(
            truth[bands],
            factor=factor,
            noise="sentinel2",
            seed=number,
            shifts=dict.fromkeys(bands, (dy * 4 / factor, dx * 4 / factor)),
        )
        for number, (dy, dx) in enumerate(SHIFTS)
    ]
    days = pd.date_range("2023-06-01", periods=len(SHIFTS), freq="3D")
    return xr.concat(dates, "time").assign_coords(time=days).compute()


@pytest.fixture(scope="module")
def tree(truth: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict({"r10m": series(truth, FINE, 4), "r20m": series(truth, COARSE, 8)})


def on_one_grid(tree: xr.DataTree) -> xr.Dataset:
    """Its 20 m pixels repeated on the 10 m grid."""
    fine, coarse = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()
    wide = coarse.isel(y=np.repeat(np.arange(24), 2), x=np.repeat(np.arange(24), 2))
    return fine.assign({band: (("time", "y", "x"), wide[band].values) for band in COARSE})


def joined(cube: xr.DataArray | xr.Dataset | xr.DataTree, **options: object) -> xr.Dataset:
    with dask.config.set(scheduler="synchronous"):
        return cube.sr.multiframe("60D", device="cpu", **options).compute()


def psnr(found: xr.DataArray, truth: xr.DataArray) -> float:
    inner = (slice(32, -32), slice(32, -32))
    return float(-10 * np.log10(np.square(np.squeeze(found.values)[inner] - truth.values[inner]).mean(dtype="f8")))


def test_20_m_bands_gain_half_a_decibel_over_each_alone(tree: xr.DataTree, truth: xr.Dataset):
    made = joined(tree)
    last = tree["r20m"].to_dataset().isel(time=-1)
    alone = last.sr.upscale("kriging", scale=8, allow_gsd=True, device="cpu").compute()
    many = joined(tree["r20m"].to_dataset(), scale=8, allow_gsd=True, calibrated=False)

    assert made["estimate"].sel(band=["B03", "B05"]).sizes["band"] == 2
    for band in COARSE:
        found = psnr(made["estimate"].sel(band=band), truth[band])
        assert found > psnr(alone[band], truth[band]) + 0.5, band
        assert found > psnr(many["estimate"].sel(band=band), truth[band]), band


@pytest.mark.parametrize("form", ["tree", "other"])
@pytest.mark.parametrize("dates", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0]])
def test_20_m_bands_are_found_by_their_dates(tree: xr.DataTree, form: str, dates: list[int]):
    fine, coarse = (tree[name].to_dataset().isel(y=slice(0, 16), x=slice(0, 16)) for name in ("r10m", "r20m"))
    few, more = fine.isel(time=[1, 3]), coarse.isel(time=dates)
    wanted = joined(xr.DataTree.from_dict({"r10m": few, "r20m": coarse.isel(time=[1, 3])}))

    options = {} if form == "tree" else {"other": more}
    made = joined(xr.DataTree.from_dict({"r10m": few, "r20m": more}) if form == "tree" else few, **options)

    xr.testing.assert_identical(made, wanted)


def test_the_guides_are_those_without_20_m_bands(tree: xr.DataTree):
    made, fine = joined(tree), joined(tree["r10m"].to_dataset())

    for name in ("estimate", "std"):
        np.testing.assert_allclose(made[name].sel(band=FINE).values, fine[name].values, rtol=0, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(made["n_effective"].values, fine["n_effective"].values, rtol=0, atol=1e-5)


def test_values_do_not_depend_on_blocks_or_on_where_20_m_pixels_begin(tree: xr.DataTree):
    whole = joined(tree)

    cut = joined(tree.chunk({"time": 1, "y": 20, "x": 13}), chunks=(17, 31))

    for name in ("estimate", "std"):
        np.testing.assert_allclose(cut[name].values, whole[name].values, rtol=0, atol=1e-6, err_msg=name)


def test_only_20_m_bands_may_be_asked_for_in_any_order(tree: xr.DataTree):
    made, whole = joined(tree, bands=["B11", "B04", "B05"]), joined(tree)

    assert made["estimate"]["band"].values.tolist() == ["B11", "B04", "B05"]
    np.testing.assert_allclose(
        made["estimate"].values, whole["estimate"].sel(band=["B11", "B04", "B05"]).values, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        joined(tree, bands=["B05"])["estimate"].values, whole["estimate"].sel(band=["B05"]).values, rtol=0, atol=1e-6
    )


def test_20_m_bands_repeated_on_the_10_m_grid_and_in_other_are_the_same(tree: xr.DataTree):
    fine, coarse = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()
    whole = joined(tree)

    for made in (joined(fine, other=coarse), joined(on_one_grid(tree))):
        np.testing.assert_allclose(
            made["estimate"].sel(band=COARSE).values, whole["estimate"].sel(band=COARSE).values, rtol=0, atol=1e-6
        )


def test_a_20_m_pixel_without_a_value_is_nan_alone(tree: xr.DataTree):
    holed = tree.copy(deep=True)
    holed["r20m/B05"][-1, 10, 12] = np.nan

    made = joined(holed)

    gone = np.isnan(made["estimate"].sel(band="B05")[0].values)
    assert gone[80:88, 96:104].all() and gone.sum() == 64
    assert np.isfinite(made["estimate"].sel(band=["B11", "B04"]).values).all()


@pytest.mark.parametrize("layout", ["auto", "native", "resampled"])
def test_20_m_bands_repeated_on_the_10_m_grid_are_nan_in_holes_alone(tree: xr.DataTree, layout: str):
    holed = tree.copy(deep=True)
    for band in COARSE:
        holed[f"r20m/{band}"][-1, 8:12, 5:16] = np.nan
    flat = on_one_grid(holed)
    for band in FINE:
        flat[band][-1, 16:24, 10:32] = np.nan
        holed[f"r10m/{band}"][-1, 16:24, 10:32] = np.nan

    made, two = joined(flat, layout=layout), joined(holed)
    cut = joined(flat.chunk({"time": 1, "y": 11, "x": 20}), layout=layout, chunks=(17, 31))

    gone = np.isnan(made["estimate"].sel(band=COARSE)[0].values)
    assert gone[:, 64:96, 40:128].all() and gone[0].sum() == 32 * 88
    assert np.isfinite(made["estimate"].sel(band=FINE)).all()
    for other in (two, cut):
        np.testing.assert_allclose(made["estimate"].values, other["estimate"].values, rtol=0, atol=1e-6)


def test_a_date_shown_without_any_pixel_has_no_20_m_bands(tree: xr.DataTree):
    empty = on_one_grid(tree)
    for band in [*FINE, *COARSE]:
        empty[band][-1] = np.nan

    made = joined(empty)

    assert np.isnan(made["estimate"].sel(band=COARSE)).all()
    assert np.isfinite(made["estimate"].sel(band=FINE)[..., 8:-8, 8:-8]).all()


def test_deviations_of_20_m_bands_are_there_and_positive(tree: xr.DataTree):
    made = joined(tree)

    assert (made["std"].sel(band=COARSE) > 0).all()
    assert (made["lower"] <= made["estimate"]).all()


def test_wider_bands_are_left_out_with_a_warning_or_refused(tree: xr.DataTree, truth: xr.Dataset):
    wide = series(truth.rename(B05="B09")[["B09"]], ["B09"], 24)
    three = xr.DataTree.from_dict({**{name: node.to_dataset() for name, node in tree.children.items()}, "r60m": wide})

    with pytest.warns(BandWarning, match="B09"):
        made = joined(three)

    assert made["estimate"]["band"].values.tolist() == [*FINE, *COARSE]
    with pytest.raises(OptionError, match="B09"):
        joined(three, bands=["B04", "B09"])


def test_20_m_bands_without_a_10_m_band_need_a_cube_of_their_own(tree: xr.DataTree):
    coarse = tree["r20m"].to_dataset()
    repeated = coarse.isel(y=np.repeat(np.arange(24), 2), x=np.repeat(np.arange(24), 2))
    flat = tree["r10m"].to_dataset()[["B04"]].rename(B04="B02").drop_vars("B02")
    flat = flat.assign({band: (("time", "y", "x"), repeated[band].values) for band in COARSE})

    with pytest.raises((MissingBandError, OptionError), match="10 m"):
        joined(flat)
