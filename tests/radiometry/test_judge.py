"""Numbers that cannot be true are refused by name, and what is odd is said."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

import xr_sr
from tests.cubes import array, dataset
from xr_sr.cube.detect import recognize
from xr_sr.errors import RadiometryError, RadiometryWarning
from xr_sr.radiometry.convert import Radiometry, to_reflectance_block
from xr_sr.radiometry.judge import core_of, read_block
from xr_sr.radiometry.resolve import resolve
from xr_sr.spec import Tile
from xr_sr.task_warnings import collecting

TILE = Tile(y=(0, 64), x=(128, 192), lead=((2, 3),))
DN = Radiometry("dn", (-1000.0,), nodata=(0.0,), how="offset by a test", declared=True, dark=(0, 1))
RAW = Radiometry("dn", (0.0,), nodata=(0.0,), how="offset by a test", declared=True, dark=(0, 1))
REFLECTANCE = Radiometry("reflectance", how="reflectance, as handed in")


def scene(low: int = 200, high: int = 4000, *, shape: tuple[int, ...] = (1, 4, 64, 64), seed: int = 0) -> np.ndarray:
    """Return DN with offset 0: dark and bright pixels, uint16."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


@pytest.mark.parametrize("block", [np.zeros((1, 4, 0, 3), np.uint16), np.zeros((1, 4, 8, 8), np.uint16)])
def test_blocks_of_nodata_alone_or_of_nothing_pass(block):
    assert np.isnan(read_block(block, DN, TILE)).all()


@pytest.mark.parametrize("radiometry", [RAW, Radiometry("dn", (0.0,))])
def test_a_plausible_scene_passes_without_a_word(radiometry):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_block(scene(), radiometry, TILE)
        read_block(scene(1005, 4000), DN, TILE)
        read_block((scene() / 1e4).astype("float32"), REFLECTANCE, TILE)


def test_dn_taken_for_reflectance_are_refused_with_the_block_and_the_ways_out():
    with pytest.raises(RadiometryError, match=r"\[2:3, 0:64, 128:192\].*offset=0, or offset=-1000"):
        read_block(scene().astype("float32"), REFLECTANCE, TILE)


def test_pictures_of_8_bits_are_recognized():
    with pytest.raises(RadiometryError, match="8 bits"):
        read_block(scene(0, 256).astype("float32"), REFLECTANCE, TILE)


def test_nodata_that_nothing_declares_is_named():
    block = scene()
    block[..., :40] = 65535
    with pytest.raises(RadiometryError, match=r"constant 65535.*nodata=\(0, 65535\)"):
        read_block(block, RAW, TILE)

    floats = (scene() / 1e4).astype("float32")
    floats[..., :40] = 9.96921e36
    with pytest.raises(RadiometryError, match=r"constant 9.96921e\+36.*nodata=9.96921e\+36, or"):
        read_block(floats, REFLECTANCE, TILE)


def test_a_wrong_quantification_is_refused():
    with pytest.raises(RadiometryError, match="quantification=100"):
        read_block(scene(), Radiometry("dn", (0.0,), 100.0, how="offset as passed"), TILE)


def test_some_pixels_of_65535_are_worth_a_warning():
    block = scene()
    block[..., :3] = 65535

    with pytest.warns(RadiometryWarning, match=r"nodata=\(0, 65535\)"):
        read_block(block, RAW, TILE)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_alleged_dn_that_are_fractions_are_refused(dtype):
    fractions = np.random.default_rng(0).uniform(0, 1.2, (1, 2, 32, 32)).astype("float32")
    with pytest.raises(RadiometryError, match="offset=0, quantification=1"):
        read_block(fractions, DN, TILE)

    # Whole numbers as small are what the near infrared of clear water has: no fractions, no error.
    water = np.random.default_rng(0).integers(1, 3, (1, 2, 32, 32)).astype(dtype)
    read_block(water, RAW, TILE)


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("floats", [False, True])
def test_subtraction_in_uint16_is_recognized_and_explained(share, floats):
    rng = np.random.default_rng(1)
    raw = np.where(rng.random((1, 2, 64, 64)) < share, 700 + 20 * rng.random((1, 2, 64, 64)), 1500).astype(np.uint16)
    wrapped = raw - np.uint16(1000)
    block, radiometry = ((wrapped / 1e4).astype("float32"), REFLECTANCE) if floats else (wrapped, RAW)

    with pytest.raises(RadiometryError, match="uint16.*wraps around.*offset=-1000"):
        read_block(block, radiometry, TILE)


def test_nodata_from_which_1000_was_subtracted_is_recognized():
    raw = scene(1000, 4000)
    raw[..., :30] = 0

    with pytest.raises(RadiometryError, match="wraps around"):
        read_block(raw - np.uint16(1000), RAW, TILE)


def test_bright_scenes_may_hold_any_high_number():
    block = scene(6000, 16_000)  # snow, with saturated pixels
    block[..., 0, :3] = 65_000

    with pytest.warns(RadiometryWarning, match=r"^Radiometry: 12 values in 1 block lie outside .*\(6.5\)"):
        read_block(block, RAW, TILE)


def test_an_offset_that_the_pixels_had_already_is_doubted():
    with pytest.warns(RadiometryWarning, match="offset -1000 .*by a test.*pass offset=0"):
        read_block(scene(), DN, TILE)


def test_an_offset_that_the_pixels_still_carry_is_doubted_only_if_metadata_said_otherwise():
    raw = scene() + np.uint16(1000)
    with pytest.warns(RadiometryWarning, match="no offset .*by a test.*pass offset=-1000"):
        read_block(raw, RAW, TILE)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_block(raw, Radiometry("dn", (0.0,), how="offset as passed", dark=(0, 1)), TILE)
        read_block(scene(4000, 9000), RAW, TILE)  # cloud
        read_block(raw, Radiometry("dn", (0.0,), declared=True), TILE)  # near infrared alone


def test_dates_of_one_block_are_judged_one_by_one():
    block = np.concatenate([scene(), scene(), scene()])
    block[1] = 65535
    radiometry = Radiometry("dn", (0.0,), nodata=(0.0,))
    with pytest.raises(RadiometryError, match=r"step \(1,\)"):
        read_block(block, radiometry, Tile((0, 64), (0, 64), ((0, 3),)))

    mixed = np.concatenate([scene() + np.uint16(1000), scene()])
    per_date = Radiometry("dn", (-1000.0, 0.0), nodata=(0.0,), time_axis=0, declared=True, dark=(0, 1))
    read_block(mixed, per_date, Tile((0, 64), (0, 64), ((0, 2),)))


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
            reflectance = read_block(block, radiometry, Tile((0, 9), (0, 9), ((0, 2),)))
        except RadiometryError:
            return
    assert reflectance.shape == block.shape
    assert not np.isinf(reflectance).any()


NAMED = replace(REFLECTANCE, names=("a B04", "a B03", "a B02", "a B08"))


def reflectances(*, shape: tuple[int, ...] = (1, 4, 64, 64)) -> np.ndarray:
    return (scene(shape=shape) / 1e4).astype("float32")


@pytest.mark.parametrize(
    ("stored", "radiometry", "nodata"),
    [
        (np.float32(-9999), REFLECTANCE, r"-9999"),
        (np.float64(-9999), REFLECTANCE, r"-9999"),
        (np.float32(-3.4028235e38), REFLECTANCE, r"-3.4028235e\+38"),
        (np.float64(-1.7976931348623157e308), REFLECTANCE, r"-1.7976931348623157e\+308"),
        (np.float32(-3.2768), REFLECTANCE, r"-3.2768"),
        (np.float32(2.5), replace(REFLECTANCE, nodata=(-1.0,)), r"\(-1, 2.5\)"),
        (np.int16(-9999), RAW, r"\(0, -9999\)"),
        (np.int16(-32768), RAW, r"\(0, -32768\)"),
        (np.int16(32767), Radiometry("dn"), r"32767"),
        (np.int32(-2147483648), DN, r"\(0, -2147483648\)"),
    ],
)
@pytest.mark.parametrize("share", [0.02, 0.6, 1.0])
def test_one_value_that_is_no_reflectance_in_many_pixels_is_an_error_that_names_it(stored, radiometry, nodata, share):
    block = scene(1200) if radiometry.kind == "dn" else scene(1200) / 1e4
    block = block.astype(stored.dtype)
    block[0, 1].flat[: round(share * 4096)] = stored  # of one band, and not on the rows that are looked at first

    with pytest.raises(RadiometryError, match=rf"pass nodata={nodata}, or"):
        read_block(block, radiometry, TILE)


@pytest.mark.filterwarnings("ignore:fuse")  # nothing to sharpen among bands of one size
@pytest.mark.parametrize(
    "door",
    [
        lambda cube, **options: cube.sr.reflectance(**options),
        lambda cube, **options: cube.sr.upscale("bicubic", **options),
        lambda cube, **options: cube.sr.fuse("bicubic", **options),
        lambda cube, **options: cube.sr.index("NDVI", **options),
        lambda cube, **options: cube.sr.water(index="NDWI", threshold=0.0, **options),
        lambda cube, **options: xr_sr.flood(
            cube, "2023-06-01", "2023-06-06", index="NDWI", threshold=0.0, area="projected", **options
        )["flood"],
        lambda cube, **options: xr_sr.flood_between(*cube, index="NDWI", threshold=0.0, area="projected", **options)[
            "flood"
        ],
    ],
)
@pytest.mark.parametrize("declared", [True, False])
def test_the_advice_about_nodata_works_at_every_function(door, declared):
    cube = array((scene(300, shape=(2, 4, 24, 24)) / 1e4).astype("float32"))
    cube[:, :, 8:16, 8:16] = -9999
    if declared:
        cube = cube.assign_attrs(nodata=-1)
    with pytest.raises(RadiometryError, match="cube.sr.reflectance") as error:
        door(cube).compute()
    said = re.search(r"pass (nodata=.*), or convert first: cube\.sr\.reflectance\((.*)\)\.$", str(error.value))

    assert said and said[1] == said[2] == ("nodata=(-1, -9999)" if declared else "nodata=-9999")
    nodata = ast.literal_eval(said[1].removeprefix("nodata="))
    passed, converted = door(cube, nodata=nodata).compute(), door(cube.sr.reflectance(nodata=nodata)).compute()
    assert_array_equal(passed, converted)


@pytest.mark.parametrize("stored", [-9999.0, -3.4028235e38, 1e300, 100.1, -100.1])
def test_values_beyond_every_measurement_are_missing_and_counted(stored):
    block = reflectances().astype("float64" if abs(stored) > 1e38 else "float32")
    block[0, 1, 5, 7:9] = stored
    before = block.copy()
    with pytest.warns(RadiometryWarning, match="^Radiometry: 2 values in 1 block are beyond 100 ") as caught:
        values = read_block(block, REFLECTANCE, TILE)

    assert len(caught) == 1
    assert_array_equal(block, before)
    assert_array_equal(np.argwhere(np.isnan(values)), [[0, 1, 5, 7], [0, 1, 5, 8]])
    assert_array_equal(values, to_reflectance_block(block, REFLECTANCE, TILE))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            [2.01, 2.5, -0.6],
            r"^Radiometry: 3 values in 1 block lie outside of -0.5 to 2 .*\(-0.6 to 2.5\)",
        ),
        ([6.5535, 6.5535], r"^Radiometry: 2 values in 1 block have .*6.5535, which is DN 65535"),
        ([6.4535], "^Radiometry: 1 value in 1 block have .*DN 65535"),
    ],
)
@pytest.mark.parametrize("floats", [True, False])
def test_what_is_said_of_dn_is_said_of_the_same_ground_in_floats(values, sentence, floats):
    block = reflectances()
    block[0, 2, 3, : len(values)] = values
    radiometry = REFLECTANCE
    if not floats:
        radiometry = replace(RAW, offset=(-1000.0 if values == [6.4535] else 0.0,))
        block = np.round(block * 1e4 - radiometry.offset[0]).astype("int32")
        sentence = sentence.replace(".*6.5535, which is DN 65535", "the DN 65535")

    with pytest.warns(RadiometryWarning, match=sentence) as caught:
        read = read_block(block, radiometry, TILE)

    assert len(caught) == 1
    np.testing.assert_allclose(read[0, 2, 3, : len(values)], values, rtol=1e-6)


def test_floats_from_which_the_offset_was_taken_twice_are_doubted():
    with pytest.warns(RadiometryWarning, match=r"below -0.03 \(in 1 block\).*add 0.1.*rescale=False"):
        read_block(reflectances() - np.float32(0.1), replace(REFLECTANCE, how="as passed"), TILE)


def test_floats_that_still_carry_the_offset_are_doubted_unless_the_user_says_that_they_are_right():
    dark = replace(REFLECTANCE, dark=(0, 1), declared=True)
    with pytest.warns(RadiometryWarning, match=r"above 0.1 .*subtract 0.1"):
        read_block(reflectances() + np.float32(0.1), dark, TILE)

    read_block(reflectances() + np.float32(0.1), replace(dark, declared=False), TILE)
    read_block(reflectances() + np.float32(0.1), replace(dark, own=True), TILE)
    soil = reflectances() + np.float32(0.1)
    soil[0, 2] -= np.float32(0.05)  # blue
    read_block(soil, dark, TILE)


def test_counts_are_of_the_core_and_of_each_pixel_once():
    block = reflectances(shape=(2, 4, 30, 40))
    block[:, 3, 0, ::5] = 3  # in the halo
    block[1, 2, 6, 6] = 3
    tile = Tile(y=(100, 120), x=(200, 230), lead=((4, 6),), halo=5)

    def judge_it_often() -> None:
        with collecting():
            for _ in range(3):
                read_block(block, replace(NAMED), tile, core_of(tile, 5))

    with pytest.warns(RadiometryWarning, match="^Radiometry: 1 value in 1 block ") as caught:
        judge_it_often()

    assert len(caught) == 1


def test_counts_of_blocks_add_up():
    def judge_all() -> None:
        with collecting():
            for number, values in enumerate(([2.5, 3], [-0.7, 2.1, 2.2], [])):
                block = reflectances()
                block[0, 0, 0, : len(values)] = values
                read_block(block, NAMED, replace(TILE, y=(64 * number, 64 * number + 64)))

    with pytest.warns(RadiometryWarning, match=r"^Radiometry: 5 values in 2 blocks .* \(-0.7 to 3\)"):
        judge_all()


@pytest.mark.parametrize("whole", [False, True])
def test_dn_0_of_dark_water_is_counted(whole):
    block = scene(300)
    water = np.s_[0, 3, :, :30]
    block[water] = 0 if whole else np.random.default_rng(0).integers(0, 40, (64, 30))
    block[0, 3] = 0 if whole else block[0, 3]
    zeros = int((block[0, 3] == 0).sum())
    with pytest.warns(RadiometryWarning, match=f"^Radiometry: {zeros} values in 1 block .*DN 0"):
        read_block(block, RAW, TILE)


def test_dn_0_outside_of_a_swath_and_with_a_true_offset_is_nodata_without_a_word():
    block = scene(300)
    block[..., :9] = 0
    block[0, 1, :, 9] = 0  # the bands of a swath do not end in one line

    read_block(block, RAW, TILE)
    water = scene(1100)
    water[0, 3, :, :30] = 0
    read_block(water, DN, TILE)


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RadiometryWarning)
        on_device = read_block(DeviceArray(block), radiometry, TILE)

    assert isinstance(on_device, DeviceArray)
    assert_array_equal(on_device.host, to_reflectance_block(block, radiometry, TILE))


@pytest.mark.parametrize("floats", [True, False])
def test_dry_land_in_the_shortwave_infrared_alone_is_no_reason_for_doubt(floats):
    dry = scene(1200, 4000, shape=(4, 64, 64))
    cube = dataset(dry / 1e4 if floats else dry, ("B8A", "B11", "B12", "B05")).assign_attrs(
        {} if floats else {"s2:processing_baseline": "02.14"}
    )
    planes = recognize(cube).planes

    read_block(dry / 1e4 if floats else dry, resolve(recognize(cube), planes), TILE)
