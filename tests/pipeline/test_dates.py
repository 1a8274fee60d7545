"""Dates of two grids and of masks: pixels and offsets go by date, and images of different dates are refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array
from xr_sr.errors import CubeError, GridError, RadiometryError

TIMES = np.array(["2023-06-01", "2023-06-11", "2023-06-21"], dtype="datetime64[ns]")
BASELINES = ["05.00", "02.14", "05.00"]
OFFSETS = np.array([-1000, 0, -1000])
FINE, COARSE = ("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12")
DN = np.array([3000, 2500, 4000], "uint16")
"""Of each date, in all pixels."""


def series(bands: tuple[str, ...], side: int, gsd: int) -> xr.Dataset:
    """Three even images whose baselines differ."""
    geobox = array(np.zeros((1, 16, 16), "uint16"), ["B02"]).odc.geobox
    values = np.broadcast_to(DN[:, None, None, None], (3, len(bands), side, side))
    cube = array(values.copy(), list(bands), geobox=geobox.zoom_to((side, side)))
    return cube.assign_coords(time=TIMES, **{"s2:processing_baseline": ("time", BASELINES)}).to_dataset("band")


R10, R20 = series(FINE, 16, 10), series(COARSE, 8, 20)
CHOICES = {"subset": [1], "other order": [2, 0, 1], "two": [2, 1]}


def expected(places: list[int]) -> np.ndarray:
    return (DN[places].astype(float) + OFFSETS[places]) / 10_000


@pytest.mark.parametrize("places", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("way", ["other", "tree"])
def test_coarse_bands_have_the_offset_of_their_own_date(places, way):
    fine = R10.isel(time=places)
    for call, options in (("upscale", {}), ("fuse", {}), ("fuse", {"model": "bicubic"})):
        if way == "other":
            result = getattr(fine.sr, call)(other=R20, **options)
        else:
            result = getattr(xr.DataTree.from_dict({"r10m": fine, "r20m": R20}).sr, call)(**options)

        np.testing.assert_allclose(result["B11"].mean(("y", "x")), expected(places), atol=1e-3)
        np.testing.assert_allclose(result["B04"].mean(("y", "x")), expected(places), atol=1e-3)


@pytest.mark.parametrize("grid", ["fine", "coarse"])
@pytest.mark.parametrize("places", CHOICES.values(), ids=CHOICES)
def test_an_index_of_two_grids_takes_the_dates_of_the_fine_one(places, grid):
    tree = xr.DataTree.from_dict({"r10m": R10.isel(time=places), "r20m": R20})

    found = tree.sr.index("MNDWI", grid=grid)

    np.testing.assert_array_equal(found.time, TIMES[places])
    np.testing.assert_allclose(found, 0, atol=1e-6)  # the bands are equal, so their difference is zero


def test_images_of_two_dates_are_not_joined():
    fine, coarse = R10.isel(time=0), R20.isel(time=1)
    tree = xr.DataTree.from_dict({"r10m": fine, "r20m": coarse})

    for call in (
        lambda: fine.sr.upscale(other=coarse),
        lambda: tree.sr.upscale(),
        lambda: tree.sr.fuse(),
        lambda: tree.sr.index("MNDWI", grid="fine"),
        lambda: tree.sr.water(grid="fine"),
    ):
        with pytest.raises(GridError, match="2023-06-11.*2023-06-01"):
            call()
    assert fine.sr.upscale(other=coarse.drop_vars("time")).sizes["y"] == 64


MASKS = xr.DataArray(np.arange(3 * 256).reshape(3, 16, 16) % 5 > 0, dims=("time", "y", "x"), coords={"time": TIMES})


@pytest.mark.parametrize(
    "choose",
    [lambda n: MASKS.isel(time=n), lambda n: MASKS.isel(time=[n]), lambda n: MASKS],
    ids=["one", "list", "all"],
)
def test_a_loop_over_dates_uses_the_mask_of_each_date(choose, tmp_path):
    store = tmp_path / "masked.zarr"
    for n in range(3):
        R10.isel(time=n).sr.upscale("bicubic", mask=choose(n)).sr.to_zarr(store)

    whole = R10.sr.upscale("bicubic", mask=MASKS).compute()
    for name, band in xr_sr.open_zarr(store).items():
        np.testing.assert_array_equal(np.isnan(band), np.isnan(whole[name]))


def test_a_mask_or_classes_of_another_date_are_refused():
    scl = xr.zeros_like(MASKS, dtype="uint8").isel(time=0) + 4
    for call in (
        lambda: R10.isel(time=1).sr.upscale("bicubic", mask=MASKS.isel(time=0)),
        lambda: R10.sr.upscale("bicubic", mask=MASKS.isel(time=0)),
        lambda: R10.isel(time=1).sr.mask(scl=scl),
        lambda: R10.sr.mask(scl=scl),
    ):
        with pytest.raises(GridError, match=r"2023-06-01.*drop_vars"):
            call()
    R10.sr.mask(scl=scl.drop_vars("time"))
    R10.isel(time=[0]).sr.mask(scl=scl)


def test_images_of_two_dates_are_not_compared():
    reflectance = R10.to_dataarray("band").sr.reflectance().compute()
    fine = reflectance.isel(time=0).sr.upscale("bicubic").compute()
    water = reflectance.sr.water(index="NDWI", threshold=0.0)

    for call in (
        lambda: fine.sr.consistency(reflectance.isel(time=1)),
        lambda: fine.sr.evaluate(reflectance.isel(time=1)),
        lambda: water.isel(time=0).sr.agreement(water.isel(time=1)),
    ):
        with pytest.raises(CubeError, match="2023-06-11|2023-06-01"):
            call()
    assert fine.sr.consistency(reflectance.isel(time=0))["reflectance"].max() < 1e-3


def test_names_of_products_in_another_order_than_the_dates_are_refused():
    cube = R10.isel(time=[0, 1]).drop_vars("s2:processing_baseline")
    names = [
        "S2A_MSIL2A_20230601T100601_N0509_R022_T33UXP_20230601T180000.SAFE",
        "S2A_MSIL2A_20230611T100601_N0214_R022_T33UXP_20230611T180000.SAFE",
    ]
    right = cube.assign_attrs({"s2:product_uri": names}).sr.reflectance()

    np.testing.assert_allclose(right["B04"].mean(("y", "x")), expected([0, 1]), atol=1e-6)
    with pytest.raises(RadiometryError, match="2023-06-11"):
        cube.assign_attrs({"s2:product_uri": names[::-1]}).sr.reflectance()


def test_bands_with_and_without_dates_are_refused_before_they_are_computed():
    mixed = R10.assign(B08=R10["B08"].isel(time=0, drop=True))

    with pytest.raises(GridError, match="B08"):
        mixed.sr.reflectance()
