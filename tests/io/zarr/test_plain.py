from __future__ import annotations

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.io.zarr.scenes import cube
from xr_sr.errors import BandWarning
from xr_sr.io.zarr import open_zarr, to_zarr
from xr_sr.io.zarr.plain import storable

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
