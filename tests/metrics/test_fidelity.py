from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tests.metrics.scenes import on_grid, texture, triple
from xr_sr import errors, metrics
from xr_sr.metrics.distances import angle_map

NUMBERS = (metrics.rmse, metrics.mae, metrics.psnr, metrics.ssim, metrics.sam, metrics.q_index)


@pytest.fixture(scope="module")
def pair():
    return triple(70, 90, scale=2, dates=2)[1:]


def test_numbers_equal_scikit_image(pair):
    sr, hr = pair
    for date in range(2):
        for band in range(4):
            x, y = (image.values[date, band].astype("float64") for image in (hr, sr))
            ours = [metric(sr, hr).values[date, band] for metric in (metrics.psnr, metrics.ssim, metrics.q_index)]
            theirs = [
                peak_signal_noise_ratio(x, y, data_range=1),
                structural_similarity(
                    x, y, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
                ),
                structural_similarity(x, y, data_range=1, K1=0, K2=0, win_size=7),
            ]

            np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_errors_equal_numpy_where_both_are_valid(pair):
    sr, hr = pair
    sr = sr.where(sr > 0.1)
    error = sr.values.astype("float64") - hr.values

    np.testing.assert_allclose(metrics.rmse(sr, hr), np.sqrt(np.nanmean(error**2, axis=(-2, -1))), rtol=1e-12)
    np.testing.assert_allclose(metrics.mae(sr, hr), np.nanmean(np.abs(error), axis=(-2, -1)), rtol=1e-12)
    np.testing.assert_allclose(metrics.rmse(sr, hr, at="pixel"), np.abs(error), atol=1e-7)


@pytest.mark.parametrize("metric", NUMBERS)
def test_equal_images_are_perfect(metric, pair):
    perfect = {"psnr": np.inf, "ssim": 1.0, "q_index": 1.0}.get(metric.__name__, 0.0)

    np.testing.assert_allclose(metric(pair[1], pair[1]), perfect, atol=1e-6)


@settings(deadline=None, max_examples=12)
@given(
    metric=st.sampled_from(NUMBERS),
    rows=st.integers(9, 70),
    columns=st.integers(9, 90),
    at=st.sampled_from(["image", "pixel", 16]),
)
def test_results_do_not_depend_on_chunks(pair, metric, rows, columns, at):
    sr, hr = (image.isel(time=0) for image in pair)
    sr = sr.where(sr > 0.06)

    chunked = metric(sr.chunk(y=rows, x=columns), hr.chunk(band=2, y=columns), at=at)

    assert isinstance(chunked.data, da.Array)
    np.testing.assert_array_equal(chunked.compute(), metric(sr, hr, at=at))


@pytest.mark.parametrize("metric", NUMBERS)
def test_blocks_leave_no_seams(metric, monkeypatch):
    sr, hr = triple(96, 160, scale=2)[1:]
    whole = [metric(sr, hr, at=at) for at in ("image", "pixel", 16)]
    monkeypatch.setattr("xr_sr.metrics.reduce.SIDE", 32)

    for at, expected in zip(("image", "pixel", 16), whole, strict=True):
        np.testing.assert_allclose(metric(sr, hr, at=at), expected, rtol=1e-6, atol=1e-9)


def test_nothing_is_computed_until_asked():
    def forbidden(block):
        raise AssertionError("computed")

    lazy = on_grid(texture(1, 16, 16)).chunk()
    lazy = lazy.copy(data=lazy.data.map_blocks(forbidden, dtype="float32", meta=np.empty((0, 0, 0), "float32")))

    assert metrics.rmse(lazy, lazy).chunks is not None
    assert metrics.rmse(lazy, lazy, at=4).sizes == {"band": 1, "y": 4, "x": 4}


def test_a_cube_is_its_dates(pair):
    sr, hr = pair
    for metric in NUMBERS:
        alone = [metric(sr.isel(time=date), hr.isel(time=date)) for date in range(2)]

        np.testing.assert_array_equal(metric(sr, hr), xr.concat(alone, "time"))


def test_dims_pool_errors_and_not_numbers(pair):
    sr, hr = pair
    each = metrics.rmse(sr, hr)

    pooled = metrics.rmse(sr, hr, dims=("time", "band", "y", "x"))

    np.testing.assert_allclose(pooled, np.sqrt((each**2).mean()), rtol=1e-12)
    assert metrics.rmse(sr, hr, dims=("band", "y", "x")).dims == ("time",)
    with pytest.raises(errors.OptionError, match="dims="):
        metrics.rmse(sr, hr, dims=("band",))


def test_patches_and_their_places(pair):
    sr, hr = (image.isel(time=0) for image in pair)
    found = metrics.mae(sr, hr, at=16)
    error = np.abs(sr.values.astype("float64") - hr.values)

    assert found.shape == (4, 5, 6)
    np.testing.assert_allclose(found[:, 0, 1], error[:, :16, 16:32].mean(axis=(1, 2)))
    np.testing.assert_allclose(found[:, -1, -1], error[:, 64:, 80:].mean(axis=(1, 2)))
    assert found.odc.geobox.affine == sr.odc.geobox.affine @ Affine.scale(16)
    assert found.odc.geobox.crs == sr.odc.geobox.crs


def test_numbers_per_object(pair):
    sr, hr = (image.isel(time=0) for image in pair)
    labels = np.zeros((70, 90), "int16")
    labels[:20, :20], labels[30:, 40:] = 7, 3
    objects = hr[0].drop_vars("band").copy(data=labels)
    error = np.abs(sr.values.astype("float64") - hr.values)

    found = metrics.mae(sr.chunk(x=33), hr, objects=objects)

    assert found["object"].values.tolist() == [3, 7]
    for number in (3, 7):
        np.testing.assert_allclose(found.sel(object=number), error[:, labels == number].mean(axis=-1))


def test_a_window_with_a_hole_has_no_value(pair):
    sr, hr = (image.isel(time=0).copy() for image in pair)
    sr[0, 30, 40] = np.nan

    hole = np.isnan(metrics.ssim(sr, hr, at="pixel").values[0])

    expected = np.ones((70, 90), bool)
    expected[5:-5, 5:-5] = False
    expected[25:36, 35:46] = True
    np.testing.assert_array_equal(hole, expected)


def test_datasets_and_catalogue_names_are_understood(pair):
    sr, hr = (image.isel(time=0) for image in pair)
    expected = metrics.rmse(sr, hr)
    dataset = sr.to_dataset("band").assign(SCL=sr[0].drop_vars("band").astype("uint8"))
    renamed = hr.assign_coords(band=["red", "green", "blue", "nir"]).isel(band=[3, 0, 1, 2])

    found = metrics.rmse(dataset, renamed)

    np.testing.assert_array_equal(found, expected)
    assert found["band"].values.tolist() == ["B04", "B03", "B02", "B08"]


def test_one_truth_serves_every_date(pair):
    sr, hr = pair
    once = hr.isel(time=0, drop=True)

    np.testing.assert_array_equal(metrics.rmse(sr, once), metrics.rmse(sr, xr.concat([once] * 2, sr.time)))
    assert metrics.rmse(once, sr).dims == ("time", "band")


def test_what_cannot_be_compared_is_refused(pair):
    sr, hr = (image.isel(time=0) for image in pair)
    with pytest.raises(errors.RadiometryError, match="reflectance"):
        metrics.rmse((sr * 10_000).astype("uint16"), hr)
    with pytest.raises(errors.GridError, match="HR.*SR"):
        metrics.rmse(sr.isel(x=slice(8)), hr)
    with pytest.raises(errors.GridError, match="HR and SR|SR and HR"):
        metrics.rmse(sr.assign_coords(x=sr.x + 2), hr)
    with pytest.raises(errors.MissingBandError, match="band.*SR has.*HR has"):
        metrics.rmse(sr.sel(band=["B04"]).isel(band=[0, 0]).assign_coords(band=["B11", "B12"]), hr)
    with pytest.raises(errors.CubeError, match="SR and HR.*dates"):
        metrics.rmse(pair[0], pair[1].isel(time=[1, 0]))
    with pytest.raises(errors.CubeError, match=r"\d against \d{4}-\d\d-\d\d[T, ]") as caught:
        metrics.rmse(pair[0], pair[1].isel(time=[1, 0]))
    assert ".000000" not in str(caught.value)
    with pytest.raises(errors.GridError, match="HR.*EPSG:32634.*SR.*EPSG:326"):
        metrics.rmse(sr, hr.odc.assign_crs("EPSG:32634"))
    for measure in (metrics.psnr, metrics.ssim):
        with pytest.raises(errors.OptionError, match="peak"):
            measure(sr, hr, peak=0)
    with pytest.raises(errors.OptionError, match="'pixel'"):
        metrics.rmse(sr, hr, at="pixels")
    with pytest.raises(errors.CubeError, match="SR.*band and time"):
        metrics.rmse(pair[0].expand_dims(member=2), hr)


def test_a_side_of_patches_may_be_an_integer_of_numpy(pair):
    sr, hr = pair
    xr.testing.assert_identical(metrics.rmse(sr, hr, at=np.int64(16)), metrics.rmse(sr, hr, at=16))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("metric", [metrics.rmse, metrics.mae])
def test_infinite_pixels_do_not_count(metric):
    hr = xr.DataArray(np.zeros((3, 4, 4)), dims=("band", "y", "x"), coords={"band": ["B02", "B03", "B04"]})
    sr = hr + 0.5
    one = {"band": 0, "y": 1, "x": 2}
    sr[one], hr[one] = np.inf, np.inf

    np.testing.assert_allclose(metric(sr, hr), 0.5)


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 0.3, 45.0, 90.0])
def test_sam_measures_a_known_angle_however_small(degrees):
    turn = np.radians(degrees)
    one = np.broadcast_to(np.array([0.3, 0.0])[:, None, None], (2, 8, 8))
    other = np.broadcast_to(0.5 * np.array([np.cos(turn), np.sin(turn)])[:, None, None], (2, 8, 8))
    sr, hr = on_grid(one).astype("float64"), on_grid(other).astype("float64")

    found = metrics.sam(sr.copy(data=one), hr.copy(data=other))

    assert found.dims == ()
    np.testing.assert_allclose(found, degrees, rtol=1e-6, atol=1e-12)


def test_sam_is_blind_to_brightness_and_skips_incomplete_spectra():
    hr = on_grid(texture(4, 16, 16))
    sr = hr * np.linspace(0.2, 3, 16).astype("float32")
    sr[2, 3, 4] = np.nan

    angles = metrics.sam(sr, hr, at="pixel")

    assert angles.dims == ("y", "x")
    assert np.isnan(angles[3, 4])
    assert np.isnan(angles).sum() == 1
    assert float(angles.max()) < 1e-4


def test_ergas_of_a_constant_relative_error():
    """A relative error e in every band gives 100 e / scale."""
    hr = on_grid(np.full((4, 12, 12), 0.2) * np.arange(1, 5)[:, None, None])

    np.testing.assert_allclose(metrics.ergas(hr * np.float32(1.1), hr, scale=4), 2.5, rtol=1e-5)
    assert metrics.ergas(hr, hr, scale=4, at=4).shape == (3, 3)
    with pytest.raises(errors.OptionError, match="ergas.*at="):
        metrics.ergas(hr, hr, scale=4, at="pixel")
    with pytest.raises(errors.OptionError, match="scale"):
        metrics.ergas(hr, hr, scale=0)


def test_q_index_where_nothing_varies_compares_means():
    one, other = on_grid(np.full((1, 16, 16), 0.2)), on_grid(np.full((1, 16, 16), 0.1))

    np.testing.assert_allclose(metrics.q_index(one, other), 2 * 0.02 / 0.05, rtol=1e-5)
    np.testing.assert_allclose(metrics.q_index(one * 0, other * 0), 1.0)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_the_angle_of_vectors_whose_squares_overflow_is_nan():
    huge = np.full((2, 1, 1), 1e300)

    assert np.isnan(angle_map(huge, -huge)).all()
