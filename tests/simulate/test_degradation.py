from __future__ import annotations

import math

import dask
import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import rioxarray  # noqa: F401  registers `.rio`
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtri

from tests import cubes
from xr_sr import errors
from xr_sr.kernels.sensor_noise import strength_of
from xr_sr.simulate import MTF_AT_NYQUIST, degrade, hybrid
from xr_sr.tiling import source


def plane(values: np.ndarray, band: str = "B04") -> xr.DataArray:
    return cubes.array(values[None], [band])


def cube(*shape: int, seed: int = 11) -> xr.DataArray:
    return cubes.array(cubes.reflectance(*shape, seed=seed))


@pytest.mark.parametrize("band", ["B02", "B05", "B12"])
@pytest.mark.parametrize("factor", [2, 3, 4, 8, 16.67])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_grating_comes_out_with_the_mtfs_amplitude(band, factor, share):
    """share: frequency of the grating, of the coarse pixel's Nyquist frequency."""
    frequency = share / (2 * factor)
    x = np.arange(round(60 * factor)) + 0.5
    grating = np.tile(0.3 + 0.1 * np.sin(2 * np.pi * frequency * x), (round(9 * factor) + 1, 1))

    seen = degrade(plane(grating, band), factor).values[0, 4, 8:-8]
    place = (np.arange(8, 8 + seen.size) + 0.5) * factor
    waves = np.stack([np.sin(2 * np.pi * frequency * place), np.cos(2 * np.pi * frequency * place), np.ones(seen.size)])
    sine, cosine, mean = np.linalg.lstsq(waves.T, seen, rcond=None)[0]

    expected = 0.1 * MTF_AT_NYQUIST[band] ** (share**2)
    assert math.hypot(sine, cosine) == pytest.approx(expected, rel=0.01)
    assert math.atan2(cosine, sine) == pytest.approx(0, abs=0.01)
    assert mean == pytest.approx(0.3, rel=1e-3)


@pytest.mark.parametrize("factor", [2, 3, 4, 8, 16.67])
@pytest.mark.parametrize("phase", [0, 1, 3])
def test_an_edge_stays_in_its_place(factor, phase):
    edge = round(15 * factor) + phase
    image = np.zeros((round(30 * factor), round(30 * factor)))
    image[:, edge:] = 1

    seen = degrade(plane(image), factor).values[0, 15]
    column = np.arange(seen.size) + 0.5
    slope = (seen > 0.01) & (seen < 0.99)
    # A step seen through a Gaussian is its cumulative distribution: straight on probability paper.
    rise, offset = np.polyfit(column[slope], ndtri(seen[slope]), 1)

    assert -offset / rise == pytest.approx(edge / factor, abs=0.01)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_box_is_the_block_mean(factor):
    hr = cube(4, 12 * factor, 15 * factor)

    seen = degrade(hr, factor, kernel=np.ones((factor, factor)))

    np.testing.assert_allclose(seen, hr.coarsen(y=factor, x=factor).mean().values, rtol=1e-6)


def test_a_kernel_that_is_no_product_is_a_convolution():
    from scipy.ndimage import correlate

    kernel = np.random.default_rng(2).random((5, 5))
    hr = cube(4, 60, 60)

    seen = degrade(hr, 3, kernel=kernel).values[:, 2:-2, 2:-2]

    expected = [correlate(band.astype("float64"), kernel / kernel.sum()) for band in hr.values]
    np.testing.assert_allclose(seen, np.stack(expected)[:, 1::3, 1::3][:, 2:-2, 2:-2], rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    factor=st.sampled_from([2, 3.3, 4, 16.67]),
    chunk=st.tuples(st.integers(5, 90), st.integers(5, 90)),
    noise=st.sampled_from([None, "sentinel2"]),
    hole=st.booleans(),
)
def test_the_result_does_not_depend_on_chunks(factor, chunk, noise, hole):
    hr = cube(2, 4, 70, 85)
    if hole:
        hr = hr.where((hr.x > hr.x[30]) | (hr.y < hr.y[20]))
    whole = degrade(hr, factor, noise=noise, seed=3)
    tiled = degrade(hr.chunk(time=1, band=3, y=chunk[0], x=chunk[1]), factor, noise=noise, seed=3)

    xr.testing.assert_allclose(tiled.compute(), whole.compute(), rtol=1e-6)


def test_nothing_is_computed_before_it_is_asked_for():
    def refuse(*_: object) -> np.ndarray:
        raise AssertionError("computed too early")

    data = dask.array.from_delayed(dask.delayed(refuse)(), (4, 64, 64), "float32")
    seen = degrade(cubes.array(data), 4, noise=0.01)

    assert seen.shape == (4, 16, 16)
    assert seen.chunks is not None


@pytest.mark.parametrize("factor", [2, 4])
def test_the_grid_is_the_coarser_one_of_the_same_ground(factor):
    hr = cube(4, 64, 72)

    seen = degrade(hr, factor)

    assert seen.odc.geobox == hr.odc.geobox.zoom_to((64 // factor, 72 // factor))
    assert seen.rio.transform() == seen.odc.geobox.affine
    assert seen.dims == hr.dims
    assert seen.dtype == hr.dtype
    assert list(seen.band) == list(hr.band)


def test_gsd_and_factor_are_the_same_thing():
    hr = cube(4, 70, 70)

    xr.testing.assert_equal(degrade(hr, 3.5).compute(), degrade(hr, gsd=35).compute())


def test_snapped_pixels_begin_on_multiples_of_their_size():
    hr = cube(4, 64, 64)[:, 3:, 5:]
    assert hr.odc.geobox.affine.c % 40 != 0

    seen = degrade(hr, gsd=40, snap=True)

    affine = seen.odc.geobox.affine
    assert affine.c % 40 == 0 and affine.f % 40 == 0
    assert hr.odc.geobox.extent.contains(seen.odc.geobox.extent)
    # 5 800 300 - 60 and 600 000 + 80 are the first such edges.
    expected = degrade(cube(4, 64, 64)[:, 6:, 8:], 4)
    np.testing.assert_allclose(seen[:, 4:-4, 4:-4], expected[:, 4:-4, 4:-4], rtol=1e-6)


def test_a_crop_sees_what_the_whole_sees():
    hr = cube(4, 96, 96)

    whole, part = (degrade(piece, 4, noise=0.01, seed=5) for piece in (hr, hr[:, 24:, 32:]))

    np.testing.assert_allclose(part[:, 4:, 4:], whole[:, 10:, 12:], rtol=1e-6)


def test_like_takes_any_phase_and_leaves_nan_beyond_the_image():
    hr = cube(4, 80, 80)
    affine = hr.odc.geobox.affine
    grid = GeoBox((12, 12), affine @ affine.translation(-20.5, 6.25) @ affine.scale(7.3, 7.3), hr.odc.geobox.crs)

    seen = degrade(hr, like=grid)

    assert seen.odc.geobox == grid
    assert np.isnan(seen[:, :, 0]).all()
    assert np.isfinite(seen[:, 1:9, 4:12]).all()
    # A plane comes out as itself, wherever pixels lie.
    slope = hr.copy(data=np.broadcast_to(np.arange(80.0) + 0.5, hr.shape))
    place = -20.5 + (np.arange(12) + 0.5) * 7.3
    np.testing.assert_allclose(degrade(slope, like=grid)[0, 4, 5:11], place[5:11], atol=2e-3)


@pytest.mark.parametrize("giant", [10**9, 300])
def test_tasks_are_made_when_they_are_asked_for_also_beyond_the_image(monkeypatch, giant):
    from dask.graph_manipulation import clone

    hr = cube(4, 80, 80).chunk(y=30, x=50)
    affine = hr.odc.geobox.affine
    grid = GeoBox((300, 300), affine @ affine.translation(-900, -900) @ affine.scale(4, 4), hr.odc.geobox.crs)
    expected = degrade(hr.compute(), like=grid).compute()
    monkeypatch.setattr(source, "GIANT", giant)

    lazy = degrade(hr, like=grid).data

    layers = [layer for layer in lazy.dask.layers.values() if type(layer).__name__ == "MadeLayer"]
    assert len(layers) == 1
    assert len(layers[0]) == len(list(layers[0])) > lazy.npartitions - (giant > 10**6)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), expected)
    np.testing.assert_array_equal(clone(lazy).compute(scheduler="sync"), expected)


def test_like_a_cube_is_like_its_geobox():
    hr = cube(4, 64, 64)
    lr = degrade(hr, 4)

    xr.testing.assert_equal(degrade(hr, like=lr).compute(), lr.compute())


def test_an_upside_down_grid_is_seen_upside_down():
    hr = cube(4, 64, 64)
    lr = degrade(hr, 4)

    seen = degrade(hr, like=lr.isel(y=slice(None, None, -1)))

    np.testing.assert_allclose(seen, lr.values[:, ::-1], rtol=1e-6)


def test_dimensions_keep_their_order_and_dates_their_coordinates():
    hr = cube(2, 4, 32, 32).transpose("y", "band", "x", "time").assign_coords(cloud=("time", [3.0, 4.0]))

    seen = degrade(hr, 4)

    assert seen.dims == hr.dims
    np.testing.assert_array_equal(seen.cloud, [3, 4])
    np.testing.assert_allclose(seen.transpose("time", "band", "y", "x"), degrade(cube(2, 4, 32, 32), 4), rtol=1e-6)


def test_a_dataset_is_its_bands():
    values = cubes.reflectance(4, 32, 32)
    hr = cubes.dataset(values).assign(SCL=(("y", "x"), np.ones((32, 32), "uint8")))

    with pytest.warns(errors.BandWarning, match="SCL"):
        seen = degrade(hr, 4, noise=0.01)

    expected = degrade(cubes.array(values), 4)
    assert list(seen) == list(cubes.RGBN)
    assert np.corrcoef((seen.B04 - expected[0]).values.ravel(), (seen.B03 - expected[1]).values.ravel())[0, 1] < 0.5
    xr.testing.assert_allclose(
        degrade(cubes.dataset(values), 4).to_dataarray("band").compute(),
        expected.drop_attrs().compute(),
        rtol=1e-6,
    )


def test_nan_counts_by_weight():
    hr = plane(np.full((80, 80), 0.2))
    hr[:, :, 40:] = np.nan

    seen = degrade(hr, 4).values[0]

    np.testing.assert_allclose(seen[:, :10], 0.2, rtol=1e-6)
    assert np.isnan(seen[:, 10:]).all()


def test_one_missing_pixel_is_made_up_for_by_its_neighbours():
    hr = cube(4, 64, 64)
    holed = hr.copy()
    holed[:, 30, 30] = np.nan

    seen, expected = degrade(holed, 4).values, degrade(hr, 4).values

    assert np.isfinite(seen).all()
    far = np.ones((16, 16), bool)
    far[4:12, 4:12] = False
    np.testing.assert_allclose(seen[:, far], expected[:, far], rtol=1e-6)


@pytest.mark.parametrize("band", ["B04", "B12"])
def test_noise_has_the_strength_that_was_asked_for(band):
    flat = plane(np.full((400, 400), 0.2), band)

    gaussian = degrade(flat, 2, noise=0.01).values - 0.2
    photons = degrade(flat, 2, noise="sentinel2", noise_gain=2).values - 0.2

    assert gaussian.std() == pytest.approx(0.01, rel=0.02)
    assert abs(gaussian.mean()) < 2e-4
    assert photons.std() == pytest.approx(2 * float(strength_of(band)(np.array(0.2))), rel=0.02)


def test_noise_differs_by_seed_band_and_date():
    flat = cubes.array(np.full((2, 4, 64, 64), 0.2))

    one, other = (degrade(flat, 2, noise=0.01, seed=seed).values - 0.2 for seed in (1, 2))
    fields = np.concatenate([one.reshape(8, -1), other.reshape(8, -1)])

    assert np.abs(np.corrcoef(fields) - np.eye(16)).max() < 0.15


def test_noise_of_a_date_does_not_depend_on_other_dates():
    flat = cubes.array(np.full((3, 4, 32, 32), 0.2))

    np.testing.assert_array_equal(degrade(flat, 2, noise=0.01)[1:], degrade(flat[1:], 2, noise=0.01))


def test_the_noise_of_sentinel2_meets_its_requirement_at_the_reference():
    strength = strength_of("B02")

    assert strength.at == pytest.approx(math.pi * 128 / 1959.66)
    assert strength.at / float(strength(np.array(strength.at))) == pytest.approx(154)
    assert float(strength(np.array(-0.01))) == float(strength(np.array(0.01))) > 0


def test_shifted_bands_are_displaced_by_so_much():
    slope = cubes.array(np.broadcast_to(np.arange(80.0) + 0.5, (4, 80, 80)))

    seen = degrade(slope, 4, shifts={"B03": (0.0, 0.2)})[:, 8, 6:14]

    np.testing.assert_allclose(seen[0] - seen[1], 0.2 * 4, atol=1e-3)
    np.testing.assert_allclose(seen[0], seen[2], atol=1e-3)


def test_bands_without_a_name_need_a_number():
    hr = xr.DataArray(cubes.reflectance(3, 32, 32), dims=("band", "y", "x"))

    with pytest.raises(errors.MissingBandError, match="mtf=0.25"):
        degrade(hr, 4)
    with pytest.raises(errors.MissingBandError, match="noise=0.002"):
        degrade(hr, 4, mtf=0.3, noise="sentinel2")
    assert degrade(hr, 4, mtf=0.3, noise=0.01).shape == (3, 8, 8)
    assert degrade(hr[0], 4, mtf=0.3).shape == (8, 8)


def test_options_by_band_go_by_its_name_or_alias():
    hr = cubes.array(cubes.reflectance(2, 32, 32), ["red", "nir"])

    one = degrade(hr, 4, mtf={"B04": 0.24, "nir": 0.26})

    xr.testing.assert_equal(one.drop_attrs().compute(), degrade(hr, 4).drop_attrs().compute())
    with pytest.raises(errors.MissingBandError, match="nir"):
        degrade(hr, 4, mtf={"B04": 0.24})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, errors.OptionError),
        ({"factor": 4, "gsd": 40}, errors.OptionError),
        ({"factor": 1}, errors.OptionError),
        ({"factor": 0.5}, errors.OptionError),
        ({"factor": math.nan}, errors.OptionError),
        ({"factor": 64}, errors.GridError),
        ({"factor": 4, "mtf": 0.2, "kernel": np.ones((4, 4))}, errors.OptionError),
        ({"factor": 4, "noise": "landsat"}, errors.OptionError),
        ({"factor": 4, "noise": -1.0}, errors.OptionError),
        ({"like": GeoBox((4, 4), cubes.UTM.affine, "EPSG:32632")}, errors.GridError),
        ({"like": cubes.geobox_of(8, 8)}, errors.GridError),
        ({"like": cubes.geobox_of(8, 8).rotate(10)}, errors.GridError),
    ],
)
def test_what_cannot_be_is_refused(options, error):
    with pytest.raises(error):
        degrade(cube(4, 32, 32), **options)


def test_digital_numbers_are_refused():
    with pytest.raises(errors.RadiometryError, match="reflectance"):
        degrade(cubes.array(np.ones((4, 32, 32), "uint16")), 4)


def test_a_rotated_grid_and_one_without_crs_work():
    geobox = cubes.geobox_of(32, 32).rotate(10)
    rotated = cubes.array(cubes.reflectance(4, 32, 32), geobox=geobox)
    plain = xr.DataArray(cubes.reflectance(4, 32, 32), dims=("band", "y", "x"), coords={"band": list(cubes.RGBN)})

    seen = degrade(rotated, 4)

    assert seen.odc.geobox.shape == (8, 8)
    assert seen.odc.geobox.affine.almost_equals(geobox.zoom_to((8, 8)).affine, 1e-6)
    np.testing.assert_allclose(degrade(plain, 4), seen, rtol=1e-6)


def test_a_selected_plane_draws_what_it_draws_in_its_cube():
    flat = cubes.array(np.full((2, 4, 32, 32), 0.2))
    whole = degrade(flat, 2, noise=0.01, seed=3)

    for place in ({"time": 1}, {"band": 2}, {"time": 0, "band": 3}):
        alone = degrade(flat.isel(place), 2, noise=0.01, seed=3)
        np.testing.assert_array_equal(alone, whole.isel(place))
    variables = degrade(flat.to_dataset("band"), 2, noise=0.01, seed=3)
    np.testing.assert_array_equal(variables.to_dataarray("band").transpose(*whole.dims), whole)


def test_a_plane_of_an_unknown_band_keeps_its_label():
    flat = cubes.array(np.full((2, 32, 32), 0.2), ["thermal", "radar"])
    whole = degrade(flat, 2, mtf=0.3, noise=0.01)

    np.testing.assert_array_equal(degrade(flat[1], 2, mtf=0.3, noise=0.01), whole[1])


def test_shifts_name_bands_that_are_there():
    hr = cube(4, 32, 32)

    seen = degrade(hr, 4, shifts={"B04": (0, 0.2)})

    assert "shifts {'B04': (0.0, 0.2)}" in seen.attrs["xr_sr:degraded"]
    assert "shifts" not in degrade(hr, 4).attrs["xr_sr:degraded"]
    for obj in (hr, hr.to_dataset("band")):
        degrade(obj, 4, shifts={"B04": (0, 0.2)})
        with pytest.raises(errors.MissingBandError, match="'B11'.*'B04'"):
            degrade(obj, 4, shifts={"B11": (0, 0.2)})


@pytest.mark.parametrize("shift", [0.2, (0.1,), (0.1, math.nan), "ab", None])
def test_a_shift_is_two_numbers(shift):
    with pytest.raises(errors.OptionError, match="shifts=.*dy, dx"):
        degrade(cube(4, 32, 32), 4, shifts={"B04": shift})


@pytest.mark.parametrize("options", [{"noise": math.nan}, {"noise": math.inf}, {"noise": 0.1, "noise_gain": math.nan}])
def test_noise_that_is_no_number_is_refused(options):
    with pytest.raises(errors.OptionError, match="noise"):
        degrade(cube(4, 32, 32), 4, **options)


def images(*shape: int) -> tuple[xr.DataArray, xr.DataArray]:
    shape = shape or (4, 60, 70)
    return cubes.array(cubes.reflectance(*shape)), cubes.array(cubes.reflectance(*shape, seed=5))


@pytest.mark.parametrize("sigma", [0.8, 2.0, 3.3])
def test_hybrid_is_the_sum_of_a_low_and_a_high_pass(sigma):
    low, high = images()

    mixed = hybrid(low, high, sigma=sigma)

    def smooth(image: xr.DataArray) -> np.ndarray:
        """Weighted mean of what there is, as at edges of an image that is padded with nothing."""
        once = [
            gaussian_filter1d(gaussian_filter1d(array, sigma, -1, mode="constant", radius=radius), sigma, -2,
                              mode="constant", radius=radius)
            for array in (image.values.astype("float64"), np.ones(image.shape))
        ]  # fmt: skip
        return once[0] / once[1]

    radius = math.ceil(4 * sigma)
    np.testing.assert_allclose(mixed, smooth(low) + high - smooth(high), rtol=1e-5, atol=1e-7)
    assert mixed.dtype == high.dtype
    xr.testing.assert_equal(mixed.coords.to_dataset(), high.coords.to_dataset())


def test_an_image_with_itself_is_itself():
    low, _ = images()

    np.testing.assert_allclose(hybrid(low, low, sigma=2), low, rtol=1e-6)


def test_at_the_cutoff_half_comes_from_each():
    x = np.arange(200) + 0.5
    wave = np.tile(np.sin(2 * np.pi * 0.1 * x), (60, 1))[None].astype("float64")
    flat = cubes.array(np.zeros_like(wave), ["B04"])

    mixed = hybrid(cubes.array(wave, ["B04"]), flat, cutoff=0.1)

    np.testing.assert_allclose(mixed[0, 30, 50:150], 0.5 * wave[0, 30, 50:150], atol=1e-3)


@settings(max_examples=6, deadline=None)
@given(chunk=st.tuples(st.integers(17, 70), st.integers(17, 70)), hole=st.booleans())
def test_a_hybrid_does_not_depend_on_chunks(chunk, hole):
    low, high = images()
    if hole:
        low = low.where((low.x > low.x[20]) | (low.y < low.y[30]))
    whole = hybrid(low, high, sigma=1.7).compute()
    tiled = hybrid(low.chunk(y=chunk[0], x=chunk[1], band=1), high.chunk(y=chunk[1]), sigma=1.7)

    xr.testing.assert_allclose(tiled.compute(), whole, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(low))


def test_nan_of_either_is_nan_and_spreads_no_further():
    low, high = images()
    low[:, 30, 30] = np.nan
    high[:, 10, 10] = np.nan

    holes = np.isnan(hybrid(low, high, sigma=2))

    assert holes[:, 30, 30].all() and holes[:, 10, 10].all()
    assert int(holes.sum()) == 8


def test_one_date_serves_many_and_dimensions_keep_their_order():
    low, _ = images()
    _, high = images(2, 4, 60, 70)
    high = high.transpose("y", "x", "time", "band")

    mixed = hybrid(low, high, sigma=2)

    assert mixed.dims == high.dims
    second = hybrid(low, high.isel(time=1), sigma=2)
    np.testing.assert_allclose(mixed.isel(time=1), second.transpose("y", "x", "band"), rtol=1e-6)


def test_what_cannot_be_mixed_is_refused():
    low, high = images()

    for options in ({}, {"sigma": 1, "cutoff": 0.1}, {"sigma": 0}, {"cutoff": 0.7}):
        with pytest.raises(errors.OptionError):
            hybrid(low, high, **options)
    with pytest.raises(errors.GridError, match="low.*high"):
        hybrid(low[:, ::2, ::2], high, sigma=1)
    with pytest.raises(errors.GridError, match="bands"):
        hybrid(low[:3], high, sigma=1)


def test_a_dataset_is_told_how_to_become_an_array():
    cube = cubes.array(cubes.reflectance(4, 16, 16)).to_dataset("band")

    with pytest.raises(errors.CubeError, match=r'to_dataarray\("band"\)'):
        hybrid(cube, cube, sigma=2)
