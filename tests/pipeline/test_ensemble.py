"""`ensemble` on cubes: moments and members, blocks, crops, dates, grids, NaN and errors."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr

from tests.cubes import array, reflectance
from tests.pipeline.test_pansharpen import geobox_of, tree_of
from xr_sr.errors import OptionError


def drawn(cube: xr.DataArray | xr.Dataset | xr.DataTree, n: int = 4, **options: object) -> xr.Dataset:
    with dask.config.set(scheduler="synchronous"):
        return cube.sr.ensemble(n, device="cpu", **options).compute()


def cube_of(height: int = 40, width: int = 36) -> xr.DataArray:
    return array(reflectance(2, height, width), bands=("B04", "B08"), geobox=geobox_of(height, width))


def close(one: xr.Dataset, other: xr.Dataset) -> None:
    """The ground is white noise, of which members reach -0.4: hence more than 1e-6."""
    for name in other.data_vars:
        np.testing.assert_allclose(one[name].values, other[name].values, rtol=0, atol=3e-6)


def test_the_result_is_as_that_of_interval_with_the_members_beside_it():
    cube = cube_of()
    within = cube.sr.interval(device="cpu", model="kriging").compute()

    made = drawn(cube, 16, members=True)

    assert list(made.data_vars) == ["estimate", "std", "lower", "upper", "members"]
    np.testing.assert_array_equal(made["estimate"].values, within["estimate"].values)
    assert made["members"].dims == ("member", *within["estimate"].dims)
    assert made["members"].odc.geobox == within["estimate"].odc.geobox
    spread = np.sqrt(((made["members"] - made["estimate"]) ** 2).mean("member"))
    np.testing.assert_allclose(made["std"].values, spread.values, atol=1e-5)
    rms = [float(np.sqrt((each["std"] ** 2).mean())) for each in (made, within)]
    assert rms[0] == pytest.approx(rms[1], rel=0.1)
    assert (made.attrs["xr_sr:seed"], made.attrs["xr_sr:members"]) == (0, 16)


@pytest.mark.parametrize("turned", [("y",), ("x",), ("y", "x")])
def test_the_order_of_rows_and_columns_changes_nothing(turned):
    tree = tree_of(36, 48)
    backwards = tree.isel({dim: slice(None, None, -1) for dim in turned})
    bands = ["B03", "B11"]

    made = drawn(tree, 4, members=True, bands=bands)
    again = drawn(backwards, 4, members=True, bands=bands)

    close(again.isel({dim: slice(None, None, -1) for dim in turned}), made)


def test_members_need_not_be_kept_and_fewer_are_the_first_of_more():
    cube = cube_of()
    kept, more = drawn(cube, 4, members=True), drawn(cube, 7, members=True)

    close(drawn(cube, 4), kept.drop_vars("members"))
    np.testing.assert_array_equal(more["members"][:4].values, kept["members"].values)
    assert not np.array_equal(drawn(cube, 4, seed=1)["std"].values, kept["std"].values)


@pytest.mark.parametrize("sides", [(40, 24), (17, 61)])
def test_values_do_not_depend_on_blocks(sides):
    tree = tree_of(96, 108)
    tree["r20m/B11"][14:19, 15] = np.nan
    tree["r10m/B03"][40:44, 31] = np.nan
    bands = ["B03", "B11", "B01"]

    made, whole = (drawn(tree, 2, members=True, bands=bands, **each) for each in ({"chunks": sides}, {}))

    close(made, whole)
    assert all(
        np.isnan(whole[name].isel(member=0, missing_dims="ignore").sel(band="B11")).sum() == 5 * 64 for name in whole
    )


def test_a_crop_has_the_values_of_the_whole():
    cube = cube_of(120, 110)
    whole = drawn(cube, 2, members=True)

    crop = drawn(cube.isel(y=slice(8, 112), x=slice(12, 104)), 2, members=True)

    inner = crop.isel(y=slice(164, 252), x=slice(164, 204))
    close(inner, whole.sel(y=inner.y, x=inner.x))


@pytest.mark.parametrize("same_ground", [True, False])
def test_a_date_is_drawn_alike_alone_and_in_a_series(same_ground):
    series = two_dates()

    whole, alone = (drawn(each, 2, members=True, same_ground=same_ground) for each in (series, series.isel(time=1)))

    close(alone, whole.isel(time=1))


@pytest.mark.parametrize(("same_ground", "least", "most"), [(True, 0.99, 0.9999), (False, -0.1, 0.1)])
def test_dates_share_the_detail_of_the_ground_and_not_the_noise(same_ground, least, most):
    made = drawn(two_dates(), 2, members=True, same_ground=same_ground)

    errors = (made["members"] - made["estimate"]).isel(member=0)
    assert least < np.corrcoef(errors[0].values.ravel(), errors[1].values.ravel())[0, 1] < most


def two_dates() -> xr.DataArray:
    """The same ground twice."""
    times = np.array(["2024-05-01", "2024-05-06"], "datetime64[ns]")
    return xr.concat([cube_of(), cube_of()], xr.Variable("time", times))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"n": 1}, "n"),
        ({"n": 2000}, "n"),
        ({"n": 2.5}, "n"),
        ({"seed": -1}, "seed"),
        ({"members": 3}, "members"),
        ({"level": 2}, "level"),
        ({"model": "bicubic"}, "bicubic"),
        ({"strength": 0.5}, "strength"),
        ({"calibrated": None}, "calibrated"),
    ],
)
def test_what_does_not_fit_is_refused(options, named):
    with pytest.raises(OptionError, match=named):
        cube_of().sr.ensemble(**options)
