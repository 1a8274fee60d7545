"""Packing, codecs, and small variables as types of Zarr."""

from __future__ import annotations

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.io.zarr.scenes import cube
from xr_sr.errors import BandWarning, StoreError
from xr_sr.io.zarr import open_zarr, to_zarr
from xr_sr.io.zarr.encoding import FLOAT32, INT16, Packing, choose_packing, pack_block, storable, unpack_block

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
    with pytest.raises(StoreError, match="no pixels"):
        choose_packing("int16", np.dtype(dtype), {}, named=False, name="when")


def test_an_unknown_packing_is_refused_with_the_known_ones():
    with pytest.raises(StoreError, match="uint16.*int16.*float32.*native"):
        choose_packing("uint16", np.dtype("float32"), {}, named=False, name="red")


def test_a_block_on_a_gpu_is_brought_to_the_host():
    class OnDevice:
        __cuda_array_interface__ = "something"

        def get(self):
            return np.array([0.5], dtype="float32")

    packed, _ = pack_block(OnDevice(), INT16)

    assert packed.tolist() == [5000]


MOMENTS = np.array(["2023-01-01T10:00:31", "2023-01-06", "NaT"], dtype="datetime64[s]")


def objects(*elements: object) -> np.ndarray:
    """One-dimensional, whatever the elements are."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_and_durations_of_any_unit_come_back_equal(unit, zarr_format, tmp_path):
    moments = MOMENTS.astype(f"datetime64[{unit}]")
    spans = np.array([1, 86_400, 3], f"timedelta64[{unit}]")
    along = cube().assign_coords(sensed=("time", moments), exposure=("time", spans), start=moments[0], of=spans[0])
    along = along.assign_coords(made=("band", moments[:2]), lag=("band", spans[:2]))
    scalar = cube(dates=moments[:1]).isel(time=0)

    for number, written in enumerate((along, along.to_dataset("band"), scalar)):
        to_zarr(written, tmp_path / f"{number}.zarr", zarr_format=zarr_format)
        read = open_zarr(tmp_path / f"{number}.zarr")

        for name in ("sensed", "exposure", "start", "of", "made", "lag", "time"):
            if name in written.coords:
                assert read[name].dims == written[name].dims
                np.testing.assert_array_equal(read[name].values, written[name].values, err_msg=name)


def test_later_dates_bring_dates_of_another_unit(tmp_path):
    for part, unit in ((slice(0, 2), "s"), (slice(2, 3), "us")):
        given = cube().isel(time=part)
        to_zarr(given.assign_coords(sensed=given.time.astype(f"datetime64[{unit}]").variable), tmp_path / "out.zarr")

    read = open_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(read.sensed.values, read.time.values.astype("datetime64[s]"))


def test_objects_become_what_they_are_made_of():
    given = xr.Dataset(
        {
            "text": ("n", objects("a", "bcd")),
            "number": ("n", objects(1.5, None)),
            "whole": ("n", objects(1, 2)),
            "date": ("n", objects(pd.Timestamp("2021-01-01T12:00+02:00"), pd.Timestamp("2022-01-01T00:00Z"))),
            "calendar": ("n", objects(cftime.DatetimeGregorian(2021, 1, 1), cftime.DatetimeGregorian(2022, 1, 1))),
        }
    )

    made, left = storable(given)

    assert left == ()
    assert made.text.values.tolist() == ["a", "bcd"]
    np.testing.assert_array_equal(made.number.values, [1.5, np.nan])
    assert made.whole.values.tolist() == [1, 2] and made.whole.dtype.kind == "i"
    np.testing.assert_array_equal(made.date.values, np.array(["2021-01-01T10", "2022-01-01"], "datetime64[ns]"))
    np.testing.assert_array_equal(made.calendar.values, np.array(["2021-01-01", "2022-01-01"], "datetime64[ns]"))


@pytest.mark.parametrize(
    "values",
    [
        objects({"scale": 1e-4}, {"scale": 1e-4}),
        objects([1, 2], [3]),
        objects({1}, {2}),
        objects("a", None),
        np.array(["9999-12-31", "2023-01-01"], "datetime64[s]"),
        np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), ("b", "f4")]),
    ],
)
def test_what_zarr_cannot_hold_is_left_out_with_its_name(values, tmp_path):
    written = cube().assign_coords({"raster:bands": ("band", values)})

    with pytest.warns(BandWarning, match=r"^'raster:bands': .*drop_vars\(\['raster:bands'\]\)") as caught:
        to_zarr(written, tmp_path / "out.zarr")

    ours = [warning for warning in caught if issubclass(warning.category, BandWarning)]
    assert len(ours) == 1 and ours[0].filename == __file__
    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), written.drop_vars("raster:bands").compute())


def test_a_data_variable_that_zarr_cannot_hold_is_left_out_too(tmp_path):
    written = cube().to_dataset("band").assign(items=("time", objects({}, {}, {})))

    with pytest.warns(BandWarning, match="'items'"):
        to_zarr(written, tmp_path / "out.zarr")

    assert list(open_zarr(tmp_path / "out.zarr").data_vars) == ["B04", "B03"]
