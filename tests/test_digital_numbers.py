"""Blocks of DN become reflectance, and numbers that cannot be true are refused by name."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from xr_sr.digital_numbers import Radiometry, judge_block, to_reflectance_block
from xr_sr.errors import RadiometryError, RadiometryWarning
from xr_sr.spec import Tile

TILE = Tile(y=(0, 64), x=(128, 192), lead=((2, 3),))
DN = Radiometry("dn", (-1000.0,), nodata=(0.0,), how="offset by a test", declared=True, dark=(0, 1))
RAW = Radiometry("dn", (0.0,), nodata=(0.0,), how="offset by a test", declared=True, dark=(0, 1))
REFLECTANCE = Radiometry("reflectance", how="reflectance, as handed in")


def scene(low: int = 200, high: int = 4000, *, shape: tuple[int, ...] = (1, 4, 64, 64), seed: int = 0) -> np.ndarray:
    """Give DN with offset 0: dark and bright pixels, uint16."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


def convert_and_judge(block: np.ndarray, radiometry: Radiometry, tile: Tile = TILE) -> np.ndarray:
    reflectance = to_reflectance_block(block, radiometry, tile)
    judge_block(reflectance, radiometry, tile)
    return reflectance


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


@pytest.mark.parametrize("block", [np.zeros((1, 4, 0, 3), np.uint16), np.zeros((1, 4, 8, 8), np.uint16)])
def test_blocks_of_nodata_alone_or_of_nothing_pass(block):
    assert np.isnan(convert_and_judge(block, DN)).all()


@pytest.mark.parametrize("radiometry", [RAW, Radiometry("dn", (0.0,))])
def test_a_plausible_scene_passes_without_a_word(radiometry):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert_and_judge(scene(), radiometry)
        convert_and_judge(scene(1005, 4000), DN)
        convert_and_judge((scene() / 1e4).astype("float32"), REFLECTANCE)


def test_dn_taken_for_reflectance_are_refused_with_the_block_and_the_ways_out():
    with pytest.raises(RadiometryError, match=r"\[2:3, 0:64, 128:192\].*offset=0, or offset=-1000"):
        convert_and_judge(scene().astype("float32"), REFLECTANCE)


def test_pictures_of_8_bits_are_recognised():
    with pytest.raises(RadiometryError, match="8 bits"):
        convert_and_judge(scene(0, 256).astype("float32"), REFLECTANCE)


def test_nodata_that_nothing_declares_is_named():
    block = scene()
    block[..., :40] = 65535
    with pytest.raises(RadiometryError, match=r"constant 65535.*nodata=\(0, 65535\)"):
        convert_and_judge(block, RAW)

    floats = (scene() / 1e4).astype("float32")
    floats[..., :40] = 9.96921e36
    with pytest.raises(RadiometryError, match=r"constant 9.96921e\+36.*nodata=\(9.96921e\+36,\)"):
        convert_and_judge(floats, REFLECTANCE)


def test_a_wrong_quantification_is_refused():
    with pytest.raises(RadiometryError, match="quantification=100"):
        convert_and_judge(scene(), Radiometry("dn", (0.0,), 100.0, how="offset as passed"))


def test_some_pixels_of_65535_are_worth_a_warning():
    block = scene()
    block[..., :3] = 65535

    with pytest.warns(RadiometryWarning, match=r"nodata=\(0, 65535\)"):
        convert_and_judge(block, RAW)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_alleged_dn_that_are_fractions_are_refused(dtype):
    fractions = np.random.default_rng(0).uniform(0, 1.2, (1, 2, 32, 32)).astype("float32")
    with pytest.raises(RadiometryError, match="offset=0, quantification=1"):
        convert_and_judge(fractions, DN)

    # Whole numbers as small are what the near infrared of clear water has: no fractions, no error.
    water = np.random.default_rng(0).integers(1, 3, (1, 2, 32, 32)).astype(dtype)
    convert_and_judge(water, RAW)


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("floats", [False, True])
def test_subtraction_in_uint16_is_recognised_and_explained(share, floats):
    rng = np.random.default_rng(1)
    raw = np.where(rng.random((1, 2, 64, 64)) < share, 700 + 20 * rng.random((1, 2, 64, 64)), 1500).astype(np.uint16)
    wrapped = raw - np.uint16(1000)
    block, radiometry = ((wrapped / 1e4).astype("float32"), REFLECTANCE) if floats else (wrapped, RAW)

    with pytest.raises(RadiometryError, match="uint16.*wraps around.*offset=-1000"):
        convert_and_judge(block, radiometry)


def test_nodata_from_which_1000_was_subtracted_is_recognised():
    raw = scene(1000, 4000)
    raw[..., :30] = 0

    with pytest.raises(RadiometryError, match="wraps around"):
        convert_and_judge(raw - np.uint16(1000), RAW)


def test_bright_scenes_may_hold_any_high_number():
    block = scene(6000, 16_000)  # snow, with saturated pixels
    block[..., 0, :3] = 65_000

    convert_and_judge(block, RAW)


def test_an_offset_that_the_pixels_had_already_is_doubted():
    with pytest.warns(RadiometryWarning, match="offset -1000 .*by a test.*pass offset=0"):
        convert_and_judge(scene(), DN)


def test_an_offset_that_the_pixels_still_carry_is_doubted_only_if_metadata_said_otherwise():
    raw = scene() + np.uint16(1000)
    with pytest.warns(RadiometryWarning, match="no offset .*by a test.*pass offset=-1000"):
        convert_and_judge(raw, RAW)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert_and_judge(raw, Radiometry("dn", (0.0,), how="offset as passed", dark=(0, 1)))
        convert_and_judge(scene(4000, 9000), RAW)  # cloud
        convert_and_judge(raw, Radiometry("dn", (0.0,), declared=True))  # near infrared alone


def test_dates_of_one_block_are_judged_one_by_one():
    block = np.concatenate([scene(), scene(), scene()])
    block[1] = 65535
    radiometry = Radiometry("dn", (0.0,), nodata=(0.0,))
    with pytest.raises(RadiometryError, match=r"step \(1,\)"):
        convert_and_judge(block, radiometry, Tile((0, 64), (0, 64), ((0, 3),)))

    mixed = np.concatenate([scene() + np.uint16(1000), scene()])
    per_date = Radiometry("dn", (-1000.0, 0.0), nodata=(0.0,), time_axis=0, declared=True, dark=(0, 1))
    convert_and_judge(mixed, per_date, Tile((0, 64), (0, 64), ((0, 2),)))


@given(
    block=hnp.arrays(
        st.sampled_from([np.uint16, np.int16, np.float32, np.float64]),
        st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(0, 9), st.integers(0, 9)),
    ),
    radiometry=st.sampled_from([DN, RAW, REFLECTANCE, Radiometry("reflectance", nodata=(-1.0,))]),
)
@settings(deadline=None, max_examples=300)
def test_no_block_breaks_the_judge(block, radiometry):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RadiometryWarning)
        try:
            reflectance = convert_and_judge(block, radiometry, Tile((0, 9), (0, 9), ((0, 2),)))
        except RadiometryError:
            return
    assert reflectance.shape == block.shape
    assert not np.isinf(reflectance).any()


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """Stand-in for CuPy: the same protocols, and a refusal to become a NumPy array unasked."""

    def __init__(self, host: np.ndarray) -> None:
        self.host = host

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.host, name)
        return (lambda *args, **named: wrap(found(*unwrap(args), **unwrap(named)))) if callable(found) else found

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        assert all(np.ndim(each) == 0 for each in inputs if isinstance(each, np.ndarray)), "mixes host and device"
        return wrap(getattr(ufunc, method)(*unwrap(inputs), **unwrap(named)))

    def __array_function__(self, function: Any, types: Any, args: Any, named: Any) -> Any:
        return wrap(function(*unwrap(args), **unwrap(named)))

    def __getitem__(self, place: Any) -> Any:
        return wrap(self.host[unwrap(place)])

    def __setitem__(self, place: Any, value: Any) -> None:
        assert not (isinstance(value, np.ndarray) and value.ndim), "mixes host and device"
        self.host[unwrap(place)] = unwrap(value)

    def __bool__(self) -> bool:
        return bool(self.host)

    def __float__(self) -> float:
        return float(self.host)

    def __int__(self) -> int:
        return int(self.host)

    def __abs__(self) -> Any:
        return wrap(abs(self.host))


def wrap(value: Any) -> Any:
    return DeviceArray(value) if isinstance(value, np.ndarray | np.generic) else value


def unwrap(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value.host
    if isinstance(value, tuple | list):
        return type(value)(unwrap(each) for each in value)
    return {key: unwrap(each) for key, each in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("radiometry", [RAW, DN, REFLECTANCE, Radiometry("dn", (0.0, 0.0, -10.0), time_axis=0)])
def test_arrays_of_a_device_stay_there(radiometry):
    block = scene() if radiometry.kind == "dn" else (scene() / 1e4).astype("float32")
    block[..., 5, 5] = 0
    on_device = to_reflectance_block(DeviceArray(block), radiometry, TILE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RadiometryWarning)
        judge_block(on_device, radiometry, TILE)

    assert isinstance(on_device, DeviceArray)
    assert_array_equal(on_device.host, to_reflectance_block(block, radiometry, TILE))
