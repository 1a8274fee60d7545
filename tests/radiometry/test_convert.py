"""DN to reflectance on blocks; DN 0 beside valid pixels is counted per band and date."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from tests.cubes import array
from xr_sr.errors import RadiometryWarning
from xr_sr.radiometry.convert import Radiometry, to_reflectance_block
from xr_sr.spec import Tile

TILE = Tile(y=(0, 64), x=(128, 192), lead=((2, 3),))
DN = Radiometry("dn", (-1000.0,), nodata=(0.0,), how="offset by a test", declared=True, dark=(0, 1))
RAW = Radiometry("dn", (0.0,), nodata=(0.0,), how="offset by a test", declared=True, dark=(0, 1))
REFLECTANCE = Radiometry("reflectance", how="reflectance, as handed in")


def scene(low: int = 200, high: int = 4000, *, shape: tuple[int, ...] = (1, 4, 64, 64), seed: int = 0) -> np.ndarray:
    """Return DN with offset 0: dark and bright pixels, uint16."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


@given(
    block=hnp.arrays(np.uint16, (1, 2, 3, 5)),
    offset=st.sampled_from([0.0, -1000.0]),
    nodata=st.lists(st.sampled_from([0.0, 65535.0, 7.0]), unique=True),
)
def test_dn_become_reflectance_by_the_formula_of_the_product(block, offset, nodata):
    given_radiometry = Radiometry("dn", (offset,), nodata=tuple(nodata))
    reflectance = to_reflectance_block(block, given_radiometry, TILE)

    exact = (block.astype("float64") + offset) / 10_000
    exact[np.isin(block, nodata)] = np.nan
    assert reflectance.dtype == np.float32
    np.testing.assert_allclose(reflectance, exact, rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32", "int64", "float32", "float64"])
def test_dn_of_every_type_give_the_same_reflectance(dtype):
    block = scene()
    block[0, 0, 3:5, 7] = 0

    assert_array_equal(to_reflectance_block(block.astype(dtype), DN, TILE), to_reflectance_block(block, DN, TILE))


def test_dark_water_comes_out_slightly_negative_and_nodata_does_not():
    block = np.array([900, 1000, 0], np.uint16).reshape(1, 1, 1, 3)

    assert_array_equal(to_reflectance_block(block, DN, TILE).ravel(), np.float32([-0.01, 0, np.nan]))


def test_each_date_gets_its_own_offset_by_its_place_in_the_whole():
    block = np.full((2, 3, 1, 4, 4), 3000, np.uint16)
    radiometry = Radiometry("dn", (0.0, -1000.0, 0.0, -500.0), nodata=(0.0,), time_axis=1)
    tile = Tile(y=(0, 4), x=(0, 4), lead=((5, 7), (1, 4)))
    reflectance = to_reflectance_block(block, radiometry, tile)

    assert_array_equal(reflectance[:, :, 0, 0, 0], np.float32([[0.2, 0.3, 0.25]] * 2))


@given(cut=st.integers(1, 11), seed=st.integers(0, 9))
def test_values_do_not_depend_on_how_the_array_was_cut(cut, seed):
    block = scene(0, 3000, shape=(3, 2, 4, 12), seed=seed)
    radiometry = Radiometry("dn", (0.0, -1000.0, -1000.0), nodata=(0.0, 17.0), time_axis=0)
    whole = to_reflectance_block(block, radiometry, Tile((0, 4), (0, 12), ((0, 3),)))
    parts = [
        to_reflectance_block(block[date : date + 1, ..., x], radiometry, Tile((0, 4), (0, 12), ((date, date + 1),)))
        for x in (slice(cut), slice(cut, None))
        for date in range(3)
    ]

    assert_array_equal(np.concatenate([np.concatenate(parts[:3]), np.concatenate(parts[3:])], -1), whole)


def test_float_reflectance_without_anything_to_change_is_not_copied():
    block = (scene() / 1e4).astype(np.float32)
    with_nan = block.copy()
    with_nan[0, 0, 0, 0] = np.nan
    declared = Radiometry("reflectance", nodata=(-9999.0,))

    assert to_reflectance_block(block, REFLECTANCE, TILE) is block
    assert to_reflectance_block(with_nan, declared, TILE) is with_nan


@pytest.mark.parametrize(
    ("dtype", "declared", "stored"),
    [
        ("float32", -9999.0, -9999.0),
        ("float32", 0.1, np.float32(0.1)),
        ("float64", -3.4028235e38, np.float64(np.float32(-3.4028234663852886e38))),
        ("float32", -3.4028234663852886e38, np.finfo("float32").min),
        ("float64", -1.7976931348623157e308, -1.7976931348623157e308),
        ("float32", 0.0, 0.0),
        ("float32", 1.0, np.inf),
        ("float64", 1.0, 1e300),
    ],
)
def test_nodata_of_floats_is_found_within_rounding_and_so_is_infinity(dtype, declared, stored):
    block = np.array([0.25, stored, 1e-9, np.nan], dtype).reshape(1, 1, 1, 4)
    before = block.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reflectance = to_reflectance_block(block, Radiometry("reflectance", nodata=(declared,)), TILE)

    assert_array_equal(reflectance.ravel(), np.float32([0.25, np.nan, 1e-9, np.nan]))
    assert_array_equal(block, before)


def test_nodata_that_the_type_cannot_hold_is_no_obstacle():
    radiometry = Radiometry("dn", nodata=(-9999.0, 0.5, 70_000.0, 0.0))

    assert_array_equal(to_reflectance_block(np.uint16([[[[0, 5000]]]]), radiometry, TILE), [[[[np.nan, 0.5]]]])


@pytest.mark.filterwarnings("error")
def test_a_quotient_beyond_float32_is_missing():
    block = np.full((1, 1, 2), 3e38, np.float32)
    block[..., 0] = 0
    radiometry = Radiometry("dn", quantification=0.5)

    np.testing.assert_array_equal(to_reflectance_block(block, radiometry, TILE)[0, 0], [0, np.nan])


SIDE = 40


def zeros_scene(*, water: int = 0, nodata: int = 0, seam: int = 0, valid_swir: int = 2500) -> np.ndarray:
    """Return DN of (B03, B11): columns of nodata in both bands, then of DN 0 in B11 alone, then of land."""
    dn = np.empty((2, SIDE, SIDE), "uint16")
    dn[0], dn[1] = 800, valid_swir
    dn[1, :, : nodata + seam + water] = 0
    dn[0, :, :nodata] = 0
    return dn


def warned(compute) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compute()
    return [str(each.message) for each in caught if each.category is RadiometryWarning]


@pytest.mark.parametrize("chunk", [7, 10, 20, SIDE])
@pytest.mark.parametrize(
    "dn",
    [zeros_scene(water=30), zeros_scene(water=5, nodata=8, valid_swir=40)],
    ids=["no-dark-pixel-left", "dark-pixels-left"],
)
def test_dark_water_is_counted_alike_for_all_chunks(chunk, dn):
    cube = array(dn, ("B03", "B11")).chunk(y=chunk, x=chunk)
    lost = int(((dn[1] == 0) & (dn[0] > 0)).sum())

    [said] = warned(lambda: cube.sr.water(threshold=0.0, offset=0).compute())
    assert f"unknown in {lost} values in" in said and "DN 0 in B11" in said

    [said] = warned(lambda: cube.sr.upscale("nearest", scale=2, offset=0, chunks=chunk).compute())
    assert f"{lost} values in" in said and "because of DN 0" in said


@pytest.mark.parametrize("chunk", [2, 7, SIDE])
@pytest.mark.parametrize(
    "dn", [zeros_scene(), zeros_scene(nodata=9), zeros_scene(nodata=9, seam=3)], ids=["whole", "nodata", "seam"]
)
def test_nodata_at_the_edge_of_a_swath_is_no_reason_to_warn_for_any_chunks(chunk, dn):
    cube = array(dn, ("B03", "B11")).chunk(y=chunk if chunk > 2 else SIDE, x=chunk)

    assert not warned(lambda: cube.sr.water(threshold=0.0, offset=0).compute())
    assert not warned(lambda: cube.sr.upscale("nearest", scale=2, offset=0).compute())


def test_each_date_is_judged_by_itself():
    season = np.stack([zeros_scene(nodata=30, seam=2), zeros_scene(water=20)])
    cube = array(season, ("B03", "B11")).chunk(time=1, y=20, x=20)

    [said] = warned(lambda: cube.sr.water(threshold=0.0, offset=0).compute())
    assert f"unknown in {20 * SIDE} values in" in said
