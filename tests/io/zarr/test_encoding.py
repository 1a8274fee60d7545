from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xr_sr.errors import StoreError
from xr_sr.io.zarr.encoding import FLOAT32, INT16, Packing, choose_packing, pack_block, unpack_block

floats = st.floats(-10, 10, width=32) | st.just(float("nan")) | st.sampled_from([float("inf"), -float("inf")])


def by_the_book(values: np.ndarray) -> np.ndarray:
    steps = np.rint(values.astype("float32") * np.float32(10_000))
    return np.where(np.isnan(steps), -32768, np.clip(steps, -32767, 32767)).astype("int16")


@settings(deadline=None)
@given(hnp.arrays("float32", hnp.array_shapes(max_dims=3, max_side=7), elements=floats))
def test_packing_rounds_clips_and_fills(values):
    packed, clipped = pack_block(values, INT16)

    np.testing.assert_array_equal(packed, by_the_book(values))
    assert packed.dtype == np.int16
    assert clipped == np.count_nonzero(np.abs(np.rint(values * np.float32(10_000))) > 32767)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_packing_is_off_by_half_a_step_at_most_in_any_memory_order_and_precision(order, dtype):
    values = np.asarray(np.linspace(-1, 1, 70_000).reshape(70, 1000), dtype=dtype, order=order)
    values[3, 5] = np.nan

    packed, clipped = pack_block(values, INT16)

    assert packed[3, 5] == -32768 and clipped == 0
    there = ~np.isnan(values)
    assert np.abs(packed[there] - values[there].astype("float64") * 1e4).max() <= 0.501


def test_packing_leaves_its_input_alone():
    values = np.array([[0.5, np.nan, 9.0]], dtype="float32")
    before = values.copy()

    pack_block(values, INT16)

    np.testing.assert_array_equal(values, before)


def test_every_stored_step_survives_unpacking_and_packing():
    steps = np.arange(-32768, 32768, dtype="int16")

    values = unpack_block(steps, scale=1e-4, fill=-32768)

    assert values.dtype == np.float32
    assert np.isnan(values[0]) and not np.isnan(values[1:]).any()
    np.testing.assert_array_equal(values[1:], (steps[1:] / 10_000).astype("float32"))
    np.testing.assert_array_equal(pack_block(values, INT16)[0], steps)


def test_decoding_equals_what_xarray_decodes():
    steps = np.array([[-32768, -500, 0, 1, 12_345, 32767]], dtype="int16")
    theirs = xr.decode_cf(
        xr.Dataset({"a": (("y", "x"), steps, {"scale_factor": 1e-4, "_FillValue": np.int16(-32768)})})
    )["a"]

    np.testing.assert_array_equal(unpack_block(steps, scale=1e-4, fill=-32768), theirs.values.astype("float32"))


@pytest.mark.parametrize(
    ("wish", "dtype", "attrs", "named", "expected"),
    [
        ("int16", "float32", {}, False, INT16),
        ("int16", "float64", {"units": "1"}, False, INT16),
        ("int16", "float32", {"units": "reflectance"}, False, INT16),
        ("int16", "float32", {"units": "dB"}, False, FLOAT32),
        ("int16", "float32", {"units": "dB"}, True, INT16),
        ("float32", "float64", {}, False, FLOAT32),
        ("int16", "uint8", {}, False, Packing("native", "uint8")),
        ("int16", "bool", {}, True, Packing("native", "bool")),
        ("float32", "int64", {}, False, Packing("native", "int64")),
    ],
)
def test_the_packing_follows_wish_dtype_and_units(wish, dtype, attrs, named, expected):
    assert choose_packing(wish, np.dtype(dtype), attrs, named=named, name="a") == expected


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "complex64", "U4"])
def test_what_is_no_number_is_refused(dtype):
    with pytest.raises(StoreError, match="no pixels to store"):
        choose_packing("int16", np.dtype(dtype), {}, named=False, name="when")


def test_an_unknown_packing_is_refused_with_the_known_ones():
    with pytest.raises(StoreError, match="'int16', 'float32' and 'native'"):
        choose_packing("uint16", np.dtype("float32"), {}, named=False, name="red")


def test_a_block_on_a_gpu_is_brought_to_the_host():
    class OnDevice:
        __cuda_array_interface__ = "something"

        def get(self):
            return np.array([0.5], dtype="float32")

    packed, _ = pack_block(OnDevice(), INT16)

    assert packed.tolist() == [5000]
