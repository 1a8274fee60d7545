"""Synthetic scenes of several dates are series: displaced, clouded and changed as asked, by place and seed alone."""

from __future__ import annotations

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import xarray as xr

from xr_sr import errors
from xr_sr.datasets import simulate_scene, synthetic
from xr_sr.registration import estimate_shift
from xr_sr.simulate import displace

RGBN = ("B02", "B03", "B04", "B08")
SHIFTS = [(0.0, 0.0), (0.3, -0.45), (-0.25, 0.5), (0.7, 0.1)]
NODES = ("lr/r10m", "lr/r20m", "hr")
OPTIONS = {"dates": 2, "shifts": 0.5, "gains": 0.1, "clouds": 0.3, "haze": [0, 0.03], "change": 0.2, "seed": 3}


def array_of(tree: xr.DataTree, node: str) -> xr.DataArray:
    """The bands of a node as reflectance, (time, band, y, x)."""
    bands = tree[node].to_dataset().drop_vars(["SCL", "change_mask"], errors="ignore")
    bands = bands.sr.reflectance() if node.startswith("lr") else bands
    return bands.to_dataarray("band").transpose("time", "band", "y", "x").compute()


def test_displacements_are_found_on_both_grids():
    # The same day of the year: fields that ripen between dates would cost registration up to 0.1 pixels.
    dates = [f"{year}-06-15" for year in range(2022, 2026)]
    scene = simulate_scene(128, dates, shifts=SHIFTS)
    for node, scale in (("lr/r10m", 1.0), ("lr/r20m", 0.5)):
        lr = array_of(scene, node)

        found = [estimate_shift(image, lr.values[0], method="ecc") for image in lr.values]

        np.testing.assert_allclose(lr.displacement_y, scale * np.array(SHIFTS)[:, 0])
        np.testing.assert_allclose(lr.displacement_x, scale * np.array(SHIFTS)[:, 1])
        np.testing.assert_allclose([-shift.dy for shift in found], lr.displacement_y, atol=0.02)
        np.testing.assert_allclose([-shift.dx for shift in found], lr.displacement_x, atol=0.02)


def test_the_displaced_reference_is_what_the_sensor_saw():
    scene = simulate_scene(40, dates=2, shifts=[(0, 0), (0.25, -0.5)], noise=0, bands=["B04"], change=0.3)
    own = displace(scene["hr"].to_dataset(), scene["lr/r10m"].to_dataset()).compute()
    weights, pad = np.array(synthetic.point_spread("B04", 4)), synthetic.padding("B04", 4)

    for row in (8, 20, 33):
        part = slice(row * 4 - pad, (row + 1) * 4 + pad)
        expected = weights @ own.B04.values[1, part, part].astype("float64") @ weights
        assert int(scene["lr/r10m"].B04[1, row, row]) == pytest.approx(expected * 10_000 + 1000, abs=0.6)
    np.testing.assert_array_equal(own.change_mask[1, 1:, :-2], scene["hr"].change_mask[1, :-1, 2:])


def test_clouds_are_masked_and_cover_about_so_much():
    scene = simulate_scene(400, dates=3, clouds=[0, 0.3, 1], bands=RGBN)
    lr = scene["lr/r10m"].to_dataset().compute()

    shares = (lr.SCL == 9).mean(["y", "x"]).values
    assert shares == pytest.approx([0, 0.3, 1], abs=0.05)
    assert lr.SCL.dtype == np.uint8
    assert float(lr.B08.where(lr.SCL == 9).mean()) > 5000 > 4500 > float(lr.B08.where(lr.SCL == 7).mean())
    np.testing.assert_array_equal(lr.sr.mask().B04.isnull(), lr.SCL != 7)


def test_ground_changes_from_a_date_on_and_is_other_ground():
    dates = ["2021-06-15", "2022-06-15", "2023-06-15"]
    scene = simulate_scene(100, dates, change=0.3, changed_from=1, bands=["B04", "B08"])["hr"].to_dataset().compute()
    plain = simulate_scene(100, dates, bands=["B04", "B08"])["hr"].to_dataset().compute()

    differs = (scene.B04 != plain.B04) | (scene.B08 != plain.B08)
    mask = scene.change_mask
    assert mask.mean(["y", "x"]).values == pytest.approx([0, 0.3, 0.3], abs=0.05)
    assert not (differs & ~mask).any() and float(differs.where(mask).mean()) > 0.95
    other = simulate_scene(100, dates, seed=synthetic.ANOTHER, bands=["B04", "B08"])["hr"].to_dataset().compute()
    np.testing.assert_array_equal(scene.B04.where(mask), other.B04.where(mask))


def test_gains_and_haze_act_on_what_is_measured():
    plain, hazy, gained = (
        array_of(simulate_scene(60, 2, noise=0, bands=RGBN, **options), "lr/r10m")
        for options in ({}, {"haze": [0, 0.04]}, {"gains": [1, 1.1]})
    )

    veil = hazy - plain
    assert not veil[0].any()
    assert 0.0158 < float(veil[1, 0].min()) < float(veil[1, 0].max()) < 0.0642
    assert float(veil[1, 3].mean() / veil[1, 0].mean()) == pytest.approx((492.4 / 832.8) ** 1.5, rel=0.01)
    np.testing.assert_allclose(gained[1], 1.1 * plain[1], atol=1.1e-4)
    np.testing.assert_array_equal(gained.applied_gain, [1, 1.1])


@pytest.mark.parametrize("chunks", [7, 30])
def test_a_value_depends_on_its_place_and_nothing_around_it(chunks):
    whole = simulate_scene((54, 54), chunks=512, **OPTIONS)
    part = simulate_scene((24, 36), chunks=chunks, origin=(600_060, 5_400_000 - 120), **OPTIONS)

    for node, factor in (("lr/r10m", 1), ("lr/r20m", 2), ("hr", 0.25)):
        rows = slice(int(12 / factor), int(36 / factor))
        columns = slice(int(6 / factor), int(42 / factor))
        expected = whole[node].to_dataset().isel(y=rows, x=columns)
        xr.testing.assert_identical(part[node].to_dataset().drop_attrs().compute(), expected.drop_attrs().compute())


def test_seeds_make_other_conditions_and_a_plain_scene_has_none():
    one, other = (simulate_scene(24, **{**OPTIONS, "seed": seed}) for seed in (1, 2))
    plain = simulate_scene(24, 2)

    assert not np.array_equal(one["lr/r10m"].displacement_y, other["lr/r10m"].displacement_y)
    for node in NODES:
        assert not {"SCL", "change_mask", "displacement_y", "applied_gain"} & set(plain[node].to_dataset().variables)
    assert {"SCL", "displacement_y", "applied_gain"} <= set(one["lr/r20m"].to_dataset().variables)


def test_a_series_of_two_grids_is_upscaled():
    scene = simulate_scene(24, **OPTIONS)

    fine = scene["lr"].sr.upscale("bicubic", bands=["B04"])

    assert fine.odc.geobox == scene["hr"].to_dataset().odc.geobox
    np.testing.assert_allclose(fine.displacement_y, scene["lr/r10m"].displacement_y)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shifts": [(0, 0)]}, errors.GridError, "shifts"),
        ({"shifts": "far"}, errors.OptionError, "shifts='far'"),
        ({"clouds": 2}, errors.OptionError, "clouds=2"),
        ({"haze": [0.1]}, errors.GridError, "haze"),
        ({"gains": [1, -1]}, errors.OptionError, "gains=-1"),
        ({"change": 1.5}, errors.OptionError, "change=1.5"),
        ({"changed_from": 5}, errors.GridError, "changed_from=5"),
    ],
)
def test_what_makes_no_series_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        simulate_scene(8, 2, **arguments)
