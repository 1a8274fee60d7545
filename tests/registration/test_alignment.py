from __future__ import annotations

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.cubes import array, dataset, geobox_of
from tests.registration.pairs import fourier_moved, scene
from xr_sr.errors import CubeError, GridError, MissingBandError, OptionError, RadiometryError, WeightsNotFoundError
from xr_sr.registration import align, warp, windows
from xr_sr.registration.windows import places_of

BANDS = ("B02", "B03", "B04", "B08")
TRUE = np.array([(0.0, 0.0), (1.3, -0.7), (-2.4, 0.35)])
"""How far the content of each date was moved away."""

CORE = {"y": slice(12, -12), "x": slice(12, -12)}


def values(side: int = 96) -> np.ndarray:
    """Three dates of one place, (time, band, y, x)."""
    moved = [fourier_moved(scene(), *shift)[:, 100 : 100 + side, 60 : 60 + side] for shift in TRUE]
    return np.stack(moved).astype("float32")


@pytest.fixture(scope="module")
def dates() -> xr.DataArray:
    return array(values(), BANDS)


def never(*_: object, **__: object) -> None:
    raise AssertionError("computed")


def test_dates_come_to_lie_on_the_one_that_was_named(dates):
    aligned = align(dates, "2023-06-01").compute()

    np.testing.assert_allclose(aligned.shift_y, -TRUE[:, 0], atol=0.05)
    np.testing.assert_allclose(aligned.shift_x, -TRUE[:, 1], atol=0.05)
    assert aligned["aligned"].values.all() and (aligned.shift_quality > 0.5).all()
    before, after = (float(np.abs(cube - dates[0]).isel(CORE).mean()) for cube in (dates, aligned))
    assert after < before / 8


@pytest.mark.parametrize("reference", [0, np.datetime64("2023-06-01T10:30:00", "ns"), "2023-06-01T10:30"])
def test_a_date_is_named_by_position_or_label(dates, reference):
    np.testing.assert_allclose(align(dates, reference).shift_y, -TRUE[:, 0], atol=0.05)


def test_without_a_reference_dates_meet_at_their_median(dates):
    aligned = align(dates)

    apart = aligned.isel(CORE).std("time").mean() / dates.isel(CORE).std("time").mean()
    assert apart < 0.3


def test_another_cube_may_be_the_reference(dates):
    by_array = align(dates, dates[0].drop_vars("time"))
    by_dataset = align(dates, dataset(dates.values[:1], BANDS))
    by_dates = align(dates, dates[[0, 0, 0]].assign_coords(time=dates.time))

    for aligned in (by_array, by_dataset, by_dates):
        np.testing.assert_allclose(aligned.shift_x, -TRUE[:, 1], atol=0.05)


def test_one_image_gets_one_shift(dates):
    aligned = align(dates[1].drop_vars("time"), dates[0].drop_vars("time"))

    assert aligned.shift_y.ndim == 0
    assert float(aligned.shift_y) == pytest.approx(-1.3, abs=0.05)
    assert aligned.dims == ("band", "y", "x")


def test_pixels_move_as_warp_moves_them(dates):
    aligned = align(dates, 0).compute()

    for date in range(3):
        wanted = warp(dates.values[date], float(aligned.shift_y[date]), float(aligned.shift_x[date]))
        np.testing.assert_array_equal(aligned.values[date], wanted)
    np.testing.assert_array_equal(aligned.values[0], dates.values[0])


@pytest.mark.parametrize("chunks", [(1, 4, 96, 96), (3, 1, 40, 33), (2, 3, 29, 96)])
@pytest.mark.parametrize("reference", ["median", 0])
def test_the_result_does_not_depend_on_chunking(dates, chunks, reference):
    whole = align(dates, reference).compute()

    lazy = dates.chunk(dict(zip(dates.dims, chunks, strict=True)))
    aligned = align(lazy, reference)

    assert aligned.chunks == lazy.chunks
    xr.testing.assert_identical(aligned.compute(), whole)


@pytest.mark.parametrize("reference", ["median", 0])
def test_nothing_is_computed_before_it_is_asked_for(dates, reference):
    lazy = dates.copy(data=da.from_array(dates.values, chunks=(1, 4, 50, 50)).map_blocks(never, dtype="float32"))

    aligned = align(lazy, reference)

    assert isinstance(aligned.data, da.Array)
    assert all(isinstance(aligned[name].data, da.Array) for name in ("shift_y", "shift_quality", "aligned"))


def test_the_graph_travels(dates):
    aligned = align(dates.chunk(y=50), 0)

    graph = pickle.loads(pickle.dumps(aligned))

    np.testing.assert_array_equal(graph.values, aligned.values)


def test_a_shift_is_measured_once_for_all_blocks(dates, monkeypatch):
    calls = []
    measure = windows.estimate_shift
    monkeypatch.setattr(windows, "estimate_shift", lambda *args, **given: calls.append(1) or measure(*args, **given))

    with dask.config.set(scheduler="sync"):
        align(dates.chunk(y=32, x=32), 0).compute()

    assert len(calls) == 3


def test_grid_coordinates_and_attributes_stay(dates):
    dates = dates.assign_coords(cloud=("time", [1, 2, 3])).assign_attrs(title="three dates")

    aligned = align(dates, 0)

    assert aligned.odc.geobox == dates.odc.geobox
    assert aligned.attrs["title"] == "three dates" and "max" not in dates.attrs
    assert "at most 5 pixels" in aligned.attrs["xr_sr:alignment"]
    xr.testing.assert_equal(aligned.cloud.drop_vars(["shift_y", "shift_x", "shift_quality", "aligned"]), dates.cloud)
    assert aligned.dtype == dates.dtype and aligned.dims == dates.dims


def test_dimensions_may_stand_in_any_order(dates):
    turned = dates.transpose("y", "time", "x", "band")

    aligned = align(turned, 0)

    assert aligned.dims == turned.dims
    np.testing.assert_array_equal(aligned.transpose(*dates.dims).values, align(dates, 0).values)


def test_a_dataset_moves_band_by_band_with_its_flags(dates):
    cube = dataset(dates.values, BANDS)
    classes = (dates.isel(band=3) > 0.12).astype("uint8").values
    cube["SCL"] = cube["B02"].copy(data=classes)
    cube["quality_of_day"] = ("time", [0.1, 0.2, 0.3])

    aligned = align(cube, 0)

    np.testing.assert_array_equal(aligned["B08"].values, align(dates, 0).sel(band="B08").values)
    np.testing.assert_array_equal(aligned["SCL"].values[1], warp(classes[1], -1.3, 0.7, kernel="nearest"))
    assert aligned["SCL"].dtype == "uint8"
    np.testing.assert_array_equal(aligned["quality_of_day"], cube["quality_of_day"])
    assert "aligned" in aligned.coords


def test_a_layer_that_is_no_band_moves_by_nearest(dates):
    classes = (dates.values[:, 3:] > 0.12).astype("float32")
    cube = array(np.concatenate([dates.values, classes], axis=1), (*BANDS, "SCL"))

    aligned = align(cube, 0)

    assert set(np.unique(aligned.sel(band="SCL").values[~np.isnan(aligned.sel(band="SCL").values)])) <= {0.0, 1.0}
    np.testing.assert_array_equal(aligned.sel(band="B08").values, align(dates, 0).sel(band="B08").values)


def test_a_date_that_cannot_be_aligned_is_left_where_it_was(dates):
    rng = np.random.default_rng(1)
    spoilt = dates.copy(deep=True)
    spoilt[1] = 0.1 + 0.01 * rng.standard_normal(spoilt[1].shape)
    spoilt[2] = np.nan

    aligned = align(spoilt, 0)

    assert aligned["aligned"].values.tolist() == [True, False, False]
    assert np.isnan(aligned.shift_y[2]) and aligned.shift_quality[2] == 0
    np.testing.assert_array_equal(aligned.values, spoilt.values)


def test_a_shift_beyond_the_limit_is_refused(dates):
    aligned = align(dates, 0, max_shift=2.0)

    assert aligned["aligned"].values.tolist() == [True, True, False]
    assert float(aligned.shift_y[2]) == pytest.approx(2.4, abs=0.05)
    np.testing.assert_array_equal(aligned.values[2], dates.values[2])


def test_clouds_move_with_their_ground_and_do_not_hold_the_shift(dates):
    cloudy = dates.copy(deep=True)
    cloudy[1, :, 40:60, 30:70] = np.nan

    aligned = align(cloudy, 0)

    assert float(aligned.shift_y[1]) == pytest.approx(-1.3, abs=0.08)
    hole = np.isnan(aligned.values[1, 0, 8:-8, 8:-8])
    rows, _ = np.nonzero(hole)
    assert (rows.min() + 8, rows.max() + 8) == (39, 58)


def test_one_band_without_a_dimension_moves_too(dates):
    aligned = align(dates.sel(band="B08"), 0)

    assert aligned.dims == ("time", "y", "x")
    np.testing.assert_allclose(aligned.shift_y, -TRUE[:, 0], atol=0.1)


def test_giant_chunks_are_moved_in_blocks_and_come_back_whole():
    rng = np.random.default_rng(5)
    cube = array(rng.random((2, 1, 40, 1100), dtype="float32"), ("B03",)).chunk()

    aligned = align(cube, cube.isel(time=0, drop=True).roll(x=1, roll_coords=False))

    assert aligned.chunks == cube.chunks
    assert aligned["aligned"].values.tolist() == [True, False]
    np.testing.assert_array_equal(aligned.values[0, 0, :, 1:], cube.values[0, 0, :, :-1])


def test_edges_may_go_on(dates):
    assert np.isnan(align(dates, 0).values).any()
    assert not np.isnan(align(dates, 0, edge="repeat").values).any()


def test_large_scenes_are_measured_in_windows():
    assert places_of(1024, 700) == [(slice(0, 1024), slice(0, 700))]
    windows = places_of(1600, 10_980)

    assert len(windows) == 9
    assert all(y.stop - y.start == x.stop - x.start == 512 for y, x in windows)
    assert windows[0] == (slice(0, 512), slice(0, 512))
    assert windows[-1] == (slice(1088, 1600), slice(10_468, 10_980))


def test_windows_are_one_measurement(monkeypatch):
    monkeypatch.setattr(windows, "WINDOW", 64)
    side = 200
    rng = np.random.default_rng(3)
    whole = np.repeat(np.repeat(rng.random((1, 1, side // 4, side // 4)), 4, -1), 4, -2).astype("float32")
    cube = array(np.concatenate([whole, np.roll(whole, (2, -1), (-2, -1))]), ("B03",))

    aligned = align(cube.chunk(y=64, x=64), 0)

    assert len(places_of(side, side)) == 9
    np.testing.assert_allclose(aligned.shift_y, [0, -2], atol=0.02)
    np.testing.assert_allclose(aligned.shift_x, [0, 1], atol=0.02)


def test_what_cannot_be_aligned_is_refused(dates):
    with pytest.raises(RadiometryError, match=r"cube\.sr\.reflectance"):
        align((dates * 10_000).astype("uint16"))
    with pytest.raises(CubeError, match="nodes"):
        align(xr.DataTree.from_dict({"r10m": dataset(dates.values, BANDS)}))
    with pytest.raises(CubeError, match="reference="):
        align(dates[0].drop_vars("time"))
    with pytest.raises(CubeError, match="0 dates"):
        align(dates, "2020-01-01")
    with pytest.raises(CubeError, match="3 dates"):
        align(dates, "2023-06")
    with pytest.raises(CubeError, match="reference="):
        align(dates, 3)
    with pytest.raises(MissingBandError):
        align(dates, bands=["B11"])
    with pytest.raises(MissingBandError):
        align(dates, dates.sel(band=["B02"])[0])
    with pytest.raises(GridError, match="reference.*grid"):
        align(dates, dates[0, :, :50])
    with pytest.raises(GridError, match="reference.*grid"):
        align(dates, array(dates.values[0], BANDS, geobox=geobox_of(96, 96).pad(1)[:96, :96]))
    with pytest.raises(GridError, match="reference.*dates"):
        align(dates, dates[:2])
    with pytest.raises(OptionError, match="kernel"):
        align(dates, kernel="spline")
    with pytest.raises(OptionError, match="method"):
        align(dates, method="sift")
    with pytest.raises(WeightsNotFoundError):
        align(dates, method="features")
