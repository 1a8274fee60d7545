"""A series has the displacements, clouds, haze, change and seasons that were asked for, and a reference by date."""

from __future__ import annotations

import dask
import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import rioxarray  # noqa: F401  registers `.rio`
import xarray as xr

from tests import cubes
from xr_sr import errors, simulate_scene
from xr_sr.registration import align, estimate_shift, warp
from xr_sr.simulate import degrade, degrade_series, displace

RGBN = ["B02", "B03", "B04", "B08"]


@pytest.fixture(scope="module")
def ground() -> xr.DataArray:
    """A synthetic landscape at 2.5 m, 0.96 km a side, of one date."""
    scene = simulate_scene(96, bands=RGBN, seed=5)["hr"].to_dataset().isel(time=0, drop=True)
    return scene.to_dataarray("band").compute()


def bands_of(tree: xr.DataTree, node: str = "lr") -> xr.DataArray:
    """The bands of a node as (time, band, y, x), without masks."""
    return tree[node].to_dataset()[RGBN].to_dataarray("band").transpose("time", "band", "y", "x")


def test_registration_finds_the_displacements(ground):
    lr = bands_of(degrade_series(ground, 4, dates=6, shifts=0.5, noise="sentinel2", seed=2)).compute()

    found = [estimate_shift(image, lr.values[0], method="ecc") for image in lr.values]
    aligned = align(lr, 0)

    known = np.stack([lr.displacement_y, lr.displacement_x], axis=1)
    assert np.abs(known[1:]).max() > 0.3 and np.abs(known).max() <= 0.5 and (known[0] == 0).all()
    np.testing.assert_allclose([(-shift.dy, -shift.dx) for shift in found], known, atol=0.02)
    # `align` measures the way back, under names of its own: what is known stays.
    # Phase correlation is drawn towards 0 by aliasing, by 3 % here.
    np.testing.assert_allclose(aligned.shift_y, -aligned.displacement_y, atol=0.05)
    np.testing.assert_allclose(aligned.shift_x, -aligned.displacement_x, atol=0.05)


def test_a_displaced_slope_is_lower_where_it_moved_to():
    slope = cubes.array(np.broadcast_to(np.arange(80.0)[:, None] + 0.5, (4, 80, 80)))

    tree = degrade_series(slope, 4, dates=3, shifts=[(0, 0), (0.25, 0.4), (-0.5, 0)])
    lr, hr = bands_of(tree).values, bands_of(tree, "hr")
    own = displace(hr, tree["lr"].to_dataset()).values

    inner = (..., slice(5, 15), slice(5, 15))
    np.testing.assert_allclose((lr[1] - lr[0])[inner], -1, atol=2e-3)
    np.testing.assert_allclose((lr[2] - lr[0])[inner], 2, atol=2e-3)
    np.testing.assert_array_equal(hr[1], hr[0])
    inner = (..., slice(20, 60), slice(20, 60))
    np.testing.assert_allclose((own[1] - own[0])[inner], -1, atol=0.02)


def test_the_series_without_weather_is_degrade_date_by_date(ground):
    shifts = [(0.0, 0.0), (0.2, -0.3)]

    lr = bands_of(degrade_series(ground, 4, dates=2, shifts=shifts, noise=0.01, seed=7))

    for date, shift in enumerate(shifts):
        alone = ground.assign_coords(time=lr.time[date])
        expected = degrade(alone, 4, shifts=dict.fromkeys(RGBN, shift), noise=0.01, seed=7)
        np.testing.assert_allclose(lr[date], expected, rtol=1e-5, atol=1e-7)
    noise = (lr - bands_of(degrade_series(ground, 4, dates=2, shifts=shifts))).values[..., 1:-1, 1:-1]
    assert noise.std() == pytest.approx(0.01, rel=0.02)
    assert abs(np.corrcoef(noise.reshape(2, -1))[0, 1]) < 0.02


def test_the_reference_in_its_own_geometry_is_what_the_sensor_saw(ground):
    tree = degrade_series(ground, 4, dates=3, shifts=0.5, change=0.2, phenology=0.3, seed=4)
    lr = bands_of(tree)

    own = displace(bands_of(tree, "hr"), lr)
    again = degrade(own, 4)

    assert own.odc.geobox == ground.odc.geobox
    inner = {"y": slice(4, -4), "x": slice(4, -4)}
    difference = (again - lr).isel(inner)
    assert float(np.sqrt((difference**2).mean())) < 2e-4
    assert float(np.sqrt(((degrade(bands_of(tree, "hr"), 4) - lr).isel(inner)[1:] ** 2).mean())) > 2e-3
    for date in range(3):
        dy, dx = 4 * float(lr.displacement_y[date]), 4 * float(lr.displacement_x[date])
        expected = warp(bands_of(tree, "hr")[date].values, dy, dx)
        np.testing.assert_allclose(own[date, :, 8:-8, 8:-8], expected[:, 8:-8, 8:-8], atol=2e-5)
    one = displace(bands_of(tree, "hr")[2], lr)
    np.testing.assert_array_equal(one, own[2])


def test_a_mask_moves_with_its_ground(ground):
    tree = degrade_series(ground, 4, dates=2, shifts=[(0, 0), (0.5, -0.25)], change=0.3, seed=4)
    hr = tree["hr"].to_dataset()

    moved = displace(hr, tree["lr"].to_dataset())

    assert moved.change_mask.dtype == bool
    np.testing.assert_array_equal(moved.change_mask[1, 2:, :-1], hr.change_mask[1, :-2, 1:])
    np.testing.assert_allclose(moved.B04[1, 10:-10, 10:-10], hr.B04[1, 8:-12, 11:-9], rtol=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_so_much_of_the_ground_changes_from_the_date_on(ground, share):
    tree = degrade_series(ground, 4, dates=4, change=share, changed_from=2, seed=1)
    hr, mask = bands_of(tree, "hr"), tree["hr/change_mask"]

    assert mask.mean(["y", "x"]).values == pytest.approx([0, 0, share, share], abs=0.005)
    other = ~(hr == hr[0]).all("band")
    assert not other[:2].any()
    # Hardly a pixel equals the one that replaces it.
    assert float(other[2].mean()) == pytest.approx(share, abs=0.01)
    np.testing.assert_array_equal(hr[3].where(~mask[3]), hr[0].where(~mask[3]))
    rolled = np.roll(ground.values, (192, 192), axis=(-2, -1))
    np.testing.assert_array_equal(hr[3].values[:, mask[3].values], rolled[:, mask[3].values])


def test_the_date_of_the_change_may_be_a_date(ground):
    dates = ["2023-05-01", "2023-06-01", "2023-07-01"]

    tree = degrade_series(ground, 4, dates=dates, change=0.2, changed_from="2023-05-20")

    np.testing.assert_array_equal(tree["hr/change_mask"].any(["y", "x"]), [False, True, True])


def test_clouds_cover_so_much_and_are_masked(ground):
    tree = degrade_series(ground, 4, dates=3, shifts=0.0, clouds=[0, 0.3, 1.0], seed=3)
    clear = bands_of(degrade_series(ground, 4, dates=3, shifts=0.0, seed=3)).compute()
    lr = tree["lr"].to_dataset().compute()
    seen = bands_of(tree)

    assert ((lr.SCL == 9).mean(["y", "x"])).values == pytest.approx([0, 0.3, 1], abs=0.01)
    assert set(np.unique(lr.SCL)) == {7, 8, 9}
    free = (lr.SCL == 7).values
    np.testing.assert_array_equal(seen.values.swapaxes(0, 1)[:, free], clear.values.swapaxes(0, 1)[:, free])
    opaque = lr.SCL[1] == 9
    assert float(seen[1].where(opaque).mean()) > 0.45 > 0.2 > float(clear[1].where(opaque).mean())
    masked = lr.sr.mask()
    np.testing.assert_array_equal(masked.B04.isnull(), ~free)
    # Soft edges: between ground and cloud.
    edge = (lr.SCL == 8)[1]
    assert 0.01 < float(edge.mean()) < 0.3
    assert bool(((lr.B04[1] >= clear[1, 2]) | ~edge).all())


def test_haze_is_added_smoothly_and_more_in_blue(ground):
    options = {"dates": 2, "shifts": 0.0, "seed": 8}
    veil = bands_of(degrade_series(ground, 4, haze=[0, 0.04], **options)) - bands_of(
        degrade_series(ground, 4, **options)
    )

    assert not veil[0].any()
    blue, nir = veil[1, 0], veil[1, 3]
    assert 0.0159 < float(blue.min()) < float(blue.mean()) < float(blue.max()) < 0.0641
    np.testing.assert_allclose(nir / blue, (492.4 / 832.8) ** 1.5, rtol=1e-3)
    assert float(abs(blue.diff("y")).max()) < 0.002
    assert "SCL" not in degrade_series(ground, 4, haze=0.04)["lr"]


def test_seasons_raise_the_near_infrared_towards_july(ground):
    dates = ["2023-01-15", "2023-04-15", "2023-07-15"]

    hr = bands_of(degrade_series(ground, 4, dates=dates, phenology=0.4), "hr")
    late = bands_of(degrade_series(ground, 4, dates=dates, phenology=0.4, reference=-1), "hr")

    rise = (hr / hr[0] - 1).values
    np.testing.assert_array_equal(hr[0], ground)
    np.testing.assert_array_equal(late[2], ground)
    assert rise[2, 3].mean() == pytest.approx(1.2 / 0.8 - 1, abs=0.15)
    assert rise[2, 3].min() > -1e-6 and rise[2, 3].max() < 2 * (1.2 / 0.8 - 1) + 1e-6
    assert 0 < rise[1, 3].mean() < rise[2, 3].mean()
    np.testing.assert_allclose(rise[2, 2], rise[2, 3] * (0.9 / 1.1 - 1) / (1.2 / 0.8 - 1), atol=1e-4)


def test_gains_multiply_what_is_measured(ground):
    plain = bands_of(degrade_series(ground, 4, dates=3, seed=6))
    given = bands_of(degrade_series(ground, 4, dates=3, gains=[1, 1.1, 0.9], seed=6))
    drawn = bands_of(degrade_series(ground, 4, dates=3, gains=0.1, seed=6, reference=1))

    ratio = (given / plain).isel(y=slice(2, -2), x=slice(2, -2))
    np.testing.assert_allclose(ratio, given.applied_gain.broadcast_like(ratio), rtol=1e-6)
    assert list(given.applied_gain.values) == [1, 1.1, 0.9]
    assert float(drawn.applied_gain[1]) == 1 and 0 < float(abs(drawn.applied_gain - 1).max()) <= 0.1


def test_bands_may_be_misregistered(ground):
    fixed = bands_of(degrade_series(ground, 4, dates=1, band_shifts={"B08": (0.3, -0.2)})).values[0]
    plain = bands_of(degrade_series(ground, 4, dates=1)).values[0]
    drawn = bands_of(degrade_series(ground, 4, dates=2, shifts=0.0, band_shifts=0.2, seed=2)).values

    np.testing.assert_array_equal(fixed[:3], plain[:3])
    shift = estimate_shift(fixed[3], plain[3], method="ecc")
    assert (-shift.dy, -shift.dx) == pytest.approx((0.3, -0.2), abs=0.02)
    moves = [estimate_shift(band, still) for image in drawn for band, still in zip(image, plain, strict=True)]
    assert len({round(move.dy, 2) for move in moves}) > 4 and max(abs(move.dy) for move in moves) < 0.25


FULL = {
    "dates": 3,
    "noise": "sentinel2",
    "band_shifts": 0.1,
    "gains": 0.1,
    "clouds": 0.3,
    "haze": [0, 0.03, 0.0],
    "change": 0.1,
    "phenology": 0.2,
}


@pytest.mark.parametrize("chunks", [{"y": 50, "x": 70}, {"band": 1, "y": 384, "x": 13}])
def test_the_same_seed_gives_the_same_bytes_in_any_chunks(ground, chunks):
    whole = degrade_series(ground, 4, seed=9, **FULL).compute()
    tiled = degrade_series(ground.chunk(chunks), 4, seed=9, **FULL).compute()
    other = degrade_series(ground, 4, seed=10, **FULL).compute()

    for node in ("lr", "hr"):
        xr.testing.assert_identical(tiled[node].to_dataset(), whole[node].to_dataset())
    assert not (whole["lr/B04"] == other["lr/B04"]).all()
    own = displace(whole["hr"].to_dataset(), whole["lr"].to_dataset())
    moved = displace(whole["hr"].to_dataset().chunk(y=50, x=70, time=2), whole["lr"].to_dataset())
    xr.testing.assert_equal(moved.compute(), own.compute())


def test_a_date_does_not_depend_on_other_dates(ground):
    options = {name: value for name, value in FULL.items() if name not in ("dates", "haze")}
    dates = ["2023-06-15", "2023-06-20", "2023-07-20"]
    whole = degrade_series(ground, 4, dates=dates, changed_from="2023-07-01", **options)
    part = degrade_series(ground, 4, dates=dates[::2], changed_from="2023-07-01", **options)

    xr.testing.assert_equal(part["lr"].to_dataset().compute(), whole["lr"].to_dataset().isel(time=[0, 2]).compute())


def test_the_georeference_is_exact_and_nothing_is_computed(ground):
    def refuse(*_: object) -> np.ndarray:
        raise AssertionError("computed too early")

    data = dask.array.from_delayed(dask.delayed(refuse)(), ground.shape, "float32")
    tree = degrade_series(ground.copy(data=data), gsd=10, snap=True, **FULL)

    hr, lr = tree["hr"].to_dataset(), tree["lr"].to_dataset()
    assert hr.odc.geobox == ground.odc.geobox
    assert lr.odc.geobox == ground.odc.geobox.zoom_to((96, 96))
    assert lr.rio.transform() == lr.odc.geobox.affine
    assert lr.B04.dims == ("time", "y", "x") and lr.B04.dtype == "float32"
    assert all(isinstance(array.data, dask.array.Array) for array in (*hr.data_vars.values(), *lr.data_vars.values()))


def test_two_grids_share_weather_ground_and_displacement(ground):
    options = {"shifts": [(0, 0), (0.4, -0.2)], "clouds": 0.3, "change": 0.1, "dates": 2, "seed": 3}
    near = degrade_series(ground, 4, **options)
    coarse = ground.assign_coords(band=["B05", "B06", "B07", "B8A"])
    far = degrade_series(coarse, 8, **{**options, "shifts": [(0, 0), (0.2, -0.1)]})

    cloudy = (near["lr/SCL"] == 9).coarsen(y=2, x=2).mean()
    assert float(abs(cloudy - (far["lr/SCL"] == 9)).mean()) < 0.05
    np.testing.assert_array_equal(near["hr/change_mask"], far["hr/change_mask"])


def test_a_fine_series_keeps_its_own_dates(ground):
    scene = simulate_scene(48, ["2023-03-01", "2023-07-01"], bands=RGBN)["hr"].to_dataset()

    tree = degrade_series(scene, 4, shifts=[(0, 0), (0.5, 0.5)])

    np.testing.assert_array_equal(tree["lr"].time, scene.time)
    xr.testing.assert_equal(bands_of(tree, "hr").drop_attrs().compute(),
                            scene.to_dataarray("band").transpose("time", ...).drop_attrs().compute())  # fmt: skip
    np.testing.assert_allclose(bands_of(tree)[0], degrade(scene.to_dataarray("band")[:, 0], 4), rtol=1e-6)


def test_cubes_of_other_kinds_work():
    values = cubes.reflectance(4, 64, 64)
    array = cubes.array(values)
    plain = xr.DataArray(values, dims=("band", "y", "x"), coords={"band": RGBN})
    one = array.isel(band=2)
    options = {"dates": 2, "noise": 0.01, "clouds": 0.2, "change": 0.1}

    whole = degrade_series(array, 4, **options)
    by_name = degrade_series(array.to_dataset("band"), 4, **options)

    xr.testing.assert_equal(by_name["lr"].to_dataset().compute(), whole["lr"].to_dataset().compute())
    assert dict(degrade_series(plain, 4, **options)["lr"].sizes) == {"time": 2, "y": 16, "x": 16}
    xr.testing.assert_equal(degrade_series(one, 4, **options)["lr/B02"].compute(), whole["lr/B02"].compute())
    rotated = cubes.array(values, geobox=cubes.geobox_of(64, 64).rotate(10))
    assert degrade_series(rotated, 4, **options)["lr"].to_dataset().odc.geobox.shape == (16, 16)


def test_a_series_is_upscaled_and_evaluated(ground):
    tree = degrade_series(ground, 4, dates=2, clouds=[0, 0.2], change=0.1)
    lr, hr = tree["lr"].to_dataset(), tree["hr"].to_dataset()

    fine = lr.sr.upscale("bicubic")

    assert fine.odc.geobox == hr.odc.geobox
    assert fine.SCL.shape == hr.B04.shape
    difference = (fine[RGBN] - displace(hr, lr)[RGBN]).isel(time=0).to_dataarray("band")
    assert float(np.sqrt((difference**2).mean())) < 0.05


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dates": 0}, errors.GridError, "dates"),
        ({"dates": ["2023-06-01"] * 2}, errors.GridError, "2023-06-01"),
        ({"shifts": -1}, errors.OptionError, "shifts=-1"),
        ({"shifts": "far"}, errors.OptionError, "shifts='far'"),
        ({"shifts": [(0, 0)]}, errors.GridError, "shifts"),
        ({"shifts": [0, 0, 0]}, errors.OptionError, "dy, dx"),
        ({"shifts": [(0, 0), (0, np.nan), (0, 0)]}, errors.OptionError, "shifts=nan"),
        ({"band_shifts": {"B11": (0, 0.1)}}, errors.MissingBandError, "band_shifts.*B11"),
        ({"band_shifts": -0.1}, errors.OptionError, "band_shifts"),
        ({"gains": [1, 1]}, errors.GridError, "gains"),
        ({"gains": [1, 0, 1]}, errors.OptionError, "gains=0"),
        ({"clouds": 1.5}, errors.OptionError, "clouds=1.5"),
        ({"clouds": [0.1]}, errors.GridError, "clouds"),
        ({"haze": -0.1}, errors.OptionError, "haze"),
        ({"change": 2}, errors.OptionError, "change=2"),
        ({"changed_from": 7}, errors.GridError, "changed_from=7"),
        ({"changed_from": "someday"}, errors.OptionError, "changed_from='someday'"),
        ({"phenology": 1}, errors.OptionError, "phenology=1"),
        ({"reference": 3}, errors.GridError, "reference=3"),
        ({"reference": "first"}, errors.OptionError, "reference='first'"),
        ({"seed": 0.5}, errors.OptionError, "seed"),
        ({"factor": 1}, errors.OptionError, "factor"),
        ({"noise": "landsat"}, errors.OptionError, "landsat"),
    ],
)
def test_what_makes_no_series_is_refused(options, error, words):
    hr = cubes.array(cubes.reflectance(4, 32, 32))

    with pytest.raises(error, match=words):
        degrade_series(hr, **{"factor": 4, "dates": 3, **options})


def test_dimensions_that_are_no_dates_are_refused():
    hr = cubes.array(cubes.reflectance(4, 32, 32))

    with pytest.raises(errors.CubeError, match="member"):
        degrade_series(hr.expand_dims(member=2), 4)
    with pytest.raises(errors.OptionError, match="dates="):
        degrade_series(cubes.array(cubes.reflectance(2, 4, 32, 32)), 4, dates=2)
    with pytest.raises(errors.RadiometryError):
        degrade_series(cubes.array(np.ones((4, 32, 32), "uint16")), 4)


def test_only_a_series_says_where_dates_lie():
    hr = cubes.array(cubes.reflectance(4, 32, 32))
    tree = degrade_series(hr, 4, dates=2)
    lr = tree["lr"].to_dataset()

    with pytest.raises(errors.CubeError, match="displacement_y"):
        displace(bands_of(tree, "hr"), lr.drop_vars("displacement_y"))
    with pytest.raises(errors.CubeError, match="2023-06-20"):
        displace(bands_of(tree, "hr"), lr.isel(time=[0]))
    with pytest.raises(errors.CubeError, match="dates"):
        displace(hr, lr)
    with pytest.raises(errors.GridError, match="32633"):
        displace(bands_of(tree, "hr"), lr.odc.assign_crs("EPSG:32632"))


def test_what_is_known_of_a_series_stands_beside_what_is_measured(ground):
    """The names of known coordinates differ from those that `align` and `multiframe` measure."""
    tree = degrade_series(ground.isel(y=slice(192), x=slice(192)), 4, dates=4, gains=0.05, noise="sentinel2", seed=3)
    lr, hr = tree["lr"].to_dataset(), tree["hr"].to_dataset()

    joined = lr.sr.multiframe("60D").compute()

    assert "gain" in joined.data_vars and float(joined.applied_gain[0]) == float(lr.applied_gain[-1])
    known = (lr.displacement_y - lr.displacement_y[-1]).values
    np.testing.assert_allclose(joined.shift_y.squeeze(["region_y", "region_x"]), known, atol=0.1)
    own = displace(hr, lr).isel(time=-1).to_dataarray("band") * float(lr.applied_gain[-1])
    single = lr.isel(time=-1).sr.upscale("kriging").to_dataarray("band")
    inner = {"y": slice(16, -16), "x": slice(16, -16)}
    errors_of = [
        float(((image.transpose("band", "y", "x").drop_vars("time", errors="ignore") - own).isel(inner) ** 2).mean())
        for image in (joined.estimate.isel(time=0), single)
    ]
    assert errors_of[0] < 0.97 * errors_of[1]
