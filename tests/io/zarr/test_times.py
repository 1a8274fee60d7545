"""The time axis of a store; a loop over dates, each a raster of its own, equals one call with all dates."""

from __future__ import annotations

from datetime import timedelta

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xr_sr
from tests import cubes
from tests.io.zarr.scenes import DATES, cube, reflectance
from tests.io.zarr.test_growth import tree
from xr_sr.errors import DuplicateTimeError, StoreError, StoreMismatchError, StoreWarning
from xr_sr.io.zarr import open_zarr, to_zarr
from xr_sr.io.zarr.times import as_dates, scalar_date, stamps_of, time_dim


def along(values, dim: str = "time") -> xr.Dataset:
    return xr.Dataset(coords={dim: values})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_stamps_are_nanoseconds_whatever_the_unit(unit):
    stamps = stamps_of(along(np.array(["2023-01-01T10:00", "2023-01-06"], dtype=f"datetime64[{unit}]")), "time")

    assert stamps.kind == "date"
    assert stamps.values.tolist() == [1672567200 * 10**9, 1672963200 * 10**9]
    assert as_dates(stamps.values)[0] == np.datetime64("2023-01-01T10:00")


@pytest.mark.parametrize("kind", ["objects", "index"])
def test_a_time_zone_is_taken_off(kind):
    stamps = [pd.Timestamp("2023-01-01T10:00", tz="+02:00"), pd.Timestamp("2023-01-01T10:30", tz="+02:00")]
    there = along(np.array(stamps, dtype=object) if kind == "objects" else pd.DatetimeIndex(stamps))

    assert stamps_of(there, "time").values.tolist() == [1672560000 * 10**9, 1672561800 * 10**9]


def test_calendar_objects_are_dates():
    there = along([cftime.DatetimeGregorian(2023, 1, 1, 10), cftime.DatetimeGregorian(2023, 1, 6)])

    assert stamps_of(there, "time").values.tolist() == [1672567200 * 10**9, 1672963200 * 10**9]


def test_equal_dates_are_an_error_that_shows_the_way_out():
    twice = along(np.array(["2023-01-01", "2023-01-02", "2023-01-01"], dtype="datetime64[ns]"))

    with pytest.raises(DuplicateTimeError, match=r'2023-01-01.*groupby="solar_day"'):
        stamps_of(twice, "time")


def test_a_missing_date_is_named():
    with pytest.raises(StoreError, match=r"NaT.*\[1\]"):
        stamps_of(along(np.array(["2023-01-01", "NaT"], dtype="datetime64[ns]")), "time")


def test_text_is_no_date():
    with pytest.raises(StoreError, match="assign_coords"):
        stamps_of(along(["monday", "tuesday"]), "time")


@pytest.mark.parametrize(
    "dates",
    [
        np.array(["3000-01-01"], "datetime64[s]"),
        np.array(["1600-01-01", "2020-01-01"], "datetime64[ms]"),
        [cftime.Datetime360Day(2023, 2, 30)],
        [cftime.DatetimeNoLeap(5000, 1, 1)],
    ],
    ids=["year 3000", "year 1600", "30 February", "year 5000"],
)
def test_dates_that_nanoseconds_cannot_hold_are_refused(dates):
    with pytest.raises(StoreError, match=r"'time' .*convert_calendar\('standard'"):
        stamps_of(along(dates), "time")


def test_dates_beside_something_else_are_no_dates():
    mixed = np.array([pd.Timestamp("2023-01-01"), 3], dtype=object)

    with pytest.raises(StoreError, match=r"coordinate .*assign_coords\(time="):
        stamps_of(along(mixed), "time")


def test_whole_numbers_and_no_coordinate_serve_too():
    assert stamps_of(along([7, 3]), "time").values.tolist() == [7, 3]
    assert stamps_of(xr.Dataset({"a": ("time", [1.0, 2.0])}), "time").values.tolist() == [0, 1]


def test_the_time_dimension_is_found_by_name_or_by_its_dates():
    dates = np.array(["2023-01-01"], dtype="datetime64[ns]")

    assert time_dim(along([1]), ["band", "time"]) == "time"
    assert time_dim(along(dates, "t"), ["band", "t"]) == "t"
    assert time_dim(along([1], "member"), ["member"]) is None
    with pytest.raises(StoreError, match="one time axis"):
        time_dim(along(dates, "t").assign_coords(u=dates), ["t", "u"])


VALUES = reflectance(3, 2, 40, 56)


def dated() -> xr.DataArray:
    """Three dates with what loaders note of each."""
    return cube(values=VALUES).assign_coords(
        platform=("time", ["S2A", "S2B", "S2A"]),
        cloud=("time", [0.5, np.nan, 12.25]),
        orbit=("time", [22, 22, 122]),
        created=("time", DATES + np.timedelta64(9, "h")),
        tile="33UUU",
    )


def as_dataset() -> xr.Dataset:
    """Bands, classes that differ from date to date, and numbers beside them."""
    bands = dated().to_dataset("band")
    classes = (np.arange(3 * 40 * 56) % 11).astype("uint8").reshape(3, 40, 56)
    return bands.assign(
        scl=(("time", "y", "x"), classes),
        area=(("time", "state"), np.arange(6.0).reshape(3, 2)),
        level=("time", [0.1, 0.2, 0.3]),
    ).assign_coords(state=["dry", "water"])


def one_band() -> xr.DataArray:
    return dated().sel(band="B03").drop_vars("band").rename("NDVI")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("make", [dated, as_dataset, one_band])
def test_a_loop_over_dates_writes_each_of_them(make, zarr_format, tmp_path):
    whole, place = make(), tmp_path / "loop.zarr"
    written = [to_zarr(whole.isel(time=step), place, zarr_format=zarr_format) for step in (1, 0, 2)]

    again = [to_zarr(whole.isel(time=step), place, zarr_format=zarr_format) for step in (0, 1, 2)]

    assert min(written) > 0 and again == [0, 0, 0]
    read = open_zarr(place)
    for step, date in enumerate(DATES):
        one = read.sel(time=date).compute()
        expected = whole.isel(time=step).compute()
        xr.testing.assert_identical(one, expected.transpose(*one.dims) if isinstance(one, xr.DataArray) else expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("make", [dated, as_dataset, one_band])
def test_one_date_comes_back_as_it_was_written(make, zarr_format, tmp_path):
    written = make().isel(time=1)

    to_zarr(written, tmp_path / "out.zarr", zarr_format=zarr_format)

    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), written.compute())


def test_levels_of_a_pyramid_of_one_date_have_no_time_either(tmp_path):
    to_zarr(dated().isel(time=0), tmp_path / "out.zarr", pyramid=1)

    assert {level.reflectance.dims for level in open_zarr(tmp_path / "out.zarr", level="all").values()} == {
        ("band", "y", "x")
    }


@pytest.mark.parametrize("dims", [("time", "band", "y", "x"), ("band", "y", "time", "x"), ("y", "x", "band", "time")])
def test_rasters_of_one_date_extend_a_store_of_several_and_the_other_way_round(dims, tmp_path):
    whole = dated().transpose(*dims)
    to_zarr(whole.isel(time=[0, 1]), tmp_path / "series.zarr")
    to_zarr(dated().isel(time=0), tmp_path / "single.zarr")

    to_zarr(whole.isel(time=2), tmp_path / "series.zarr")
    to_zarr(dated().isel(time=[1, 2]), tmp_path / "single.zarr")

    assert open_zarr(tmp_path / "series.zarr").compute().identical(whole.compute())
    np.testing.assert_array_equal(open_zarr(tmp_path / "single.zarr").values, dated().values)


def test_what_a_store_has_for_all_dates_stays_so(tmp_path):
    whole = as_dataset().assign(dem=(("y", "x"), np.ones((40, 56), "float32")))
    to_zarr(whole.isel(time=[0, 1]), tmp_path / "out.zarr", packing={"dem": "float32"})

    to_zarr(whole.isel(time=2), tmp_path / "out.zarr", packing={"dem": "float32"})
    later = whole.isel(time=2).assign_coords(tile="32UNE", time=np.datetime64("2023-02-01", "ns"))
    with pytest.raises(StoreMismatchError, match="tile: .*'33UUU'.*'32UNE'"):
        to_zarr(later, tmp_path / "out.zarr", packing={"dem": "float32"})

    read = open_zarr(tmp_path / "out.zarr")
    assert read.sizes["time"] == 3
    assert read.dem.dims == ("y", "x") and read.tile.dims == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time", np.datetime64("2023-06-01")),
        ("t", np.datetime64("2023-06-01T10:00", "s")),
        ("acq_date", np.datetime64("2023-06-01", "ns")),
        ("datetime", cftime.DatetimeGregorian(2023, 6, 1)),
    ],
)
def test_dates_of_any_type_and_usual_name_extend_a_store(name, value, tmp_path):
    later = value + (np.timedelta64(1, "D") if isinstance(value, np.datetime64) else timedelta(days=1))
    for moment in (value, later):
        to_zarr(cube(dates=None).assign_coords({name: moment}), tmp_path / "out.zarr")

    assert open_zarr(tmp_path / "out.zarr").sizes[name] == 2


def test_the_date_of_something_else_is_not_the_date():
    there = xr.Dataset(coords={"created": np.datetime64("2023-06-01", "ns")})

    assert scalar_date(there) is None
    assert scalar_date(there.assign_coords(time="2023-06-01")) is None
    assert scalar_date(there.assign_coords(time=np.datetime64("NaT", "ns"))) is None
    there["created"].attrs["standard_name"] = "time"
    assert scalar_date(there) == "created"


@pytest.mark.parametrize(
    "date",
    [np.datetime64("9999-01-01", "s"), cftime.DatetimeGregorian(1500, 1, 1), cftime.Datetime360Day(2023, 2, 30)],
    ids=["year 9999", "year 1500", "30 February"],
)
@pytest.mark.parametrize("name", ["time", "acq_date"])
def test_a_date_that_a_store_cannot_hold_is_not_lost(name, date, tmp_path):
    image = cube(dates=None).assign_coords({name: date})

    for written in (image, image.to_dataset("band")):
        with pytest.raises(StoreError, match=rf"'{name}' .*Assign one"):
            to_zarr(written, tmp_path / "out.zarr")

    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(
    ("coordinate", "old", "new"),
    [
        ("platform", "S2A", "S2B"),
        ("id", "A", "B"),
        ("acq_date", "2023-06-01", "2023-06-06"),
        ("time", "2023-06-01", "2023-06-06"),
        ("created", np.datetime64("2023-06-01", "ns"), np.datetime64("2023-06-06", "ns")),
        ("orbit", 22, 122),
        ("cloud", 0.5, np.nan),
        ("band", "B04", "B08"),
        ("centers", ("band", [1.0, 2.0]), ("band", [1.0, 3.0])),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_without_a_date_any_other_coordinate_is_refused_by_name(coordinate, old, new, zarr_format, tmp_path):
    bands = None if coordinate == "band" else ("B04", "B03")
    plain = cube(dates=None, bands=bands)
    to_zarr(plain.assign_coords({coordinate: old}), tmp_path / "out.zarr", zarr_format=zarr_format)
    before = tree(tmp_path)

    with pytest.raises(StoreMismatchError, match=rf"(?s)\n  {coordinate}: .*give each"):
        to_zarr(plain.assign_coords({coordinate: new}), tmp_path / "out.zarr", zarr_format=zarr_format)

    assert tree(tmp_path) == before


def test_a_date_that_is_there_as_another_image_is_refused_by_name(tmp_path):
    first = dated().isel(time=0)
    to_zarr(first, tmp_path / "out.zarr")

    match = "(?s)platform at 2023-01-01T10:00:31.*: the store has 'S2A', this is 'S2B'.*cloud at .*0.5, this is 0.75"
    with pytest.raises(StoreMismatchError, match=match):
        to_zarr(first.assign_coords(platform="S2B", cloud=0.75), tmp_path / "out.zarr")
    assert to_zarr(first.assign_coords(cloud=0.5 + 1e-9), tmp_path / "out.zarr") == 0


def test_bands_do_not_pass_for_dates_of_each_other(tmp_path):
    to_zarr(dated().isel(time=0).sel(band="B04"), tmp_path / "out.zarr")

    with pytest.raises(StoreMismatchError, match="band: .*'B04'.*'B03'"):
        to_zarr(dated().isel(time=1).sel(band="B03"), tmp_path / "out.zarr")


def test_a_raster_without_any_date_says_so_when_it_is_written_again(tmp_path):
    to_zarr(cube(dates=None, values=VALUES[0]), tmp_path / "out.zarr")
    before = tree(tmp_path)

    with pytest.warns(StoreWarning, match=r"assign_coords\(time=.*overwrite=True"):
        assert to_zarr(cube(dates=None, values=VALUES[1]), tmp_path / "out.zarr") == 0

    assert tree(tmp_path) == before


def test_a_store_without_dates_does_not_become_a_series_in_silence(tmp_path):
    to_zarr(cube(dates=None), tmp_path / "out.zarr")

    with pytest.raises(StoreMismatchError, match=r"time: .*'time'"):
        to_zarr(dated().isel(time=0), tmp_path / "out.zarr")


def test_a_series_still_refuses_equal_dates(tmp_path):
    with pytest.raises(DuplicateTimeError):
        to_zarr(xr.concat([dated().isel(time=0)] * 2, "time"), tmp_path / "out.zarr")


def dn_of_two_baselines() -> xr.DataArray:
    """DN before and after ESA added 1000 to them, with the baseline of each date."""
    values = np.random.default_rng(0).integers(1300, 3000, (2, 4, 12, 12)).astype("uint16")
    values[0] -= 1000
    cube = cubes.array(values).assign_coords(time=np.array(["2021-06-05", "2022-06-10"], "datetime64[ns]"))
    return cube.assign_coords({"s2:processing_baseline": ("time", ["03.00", "04.00"])})


@pytest.mark.parametrize("kind", ["array", "dataset"])
@pytest.mark.parametrize("make", ["upscale", "reflectance", "index"])
def test_a_loop_over_dates_of_several_baselines_fills_one_store(kind, make, tmp_path):
    """Each date has its own offset, and an image of one date says it as a series of dates does."""
    cube = dn_of_two_baselines() if kind == "array" else dn_of_two_baselines().to_dataset("band")
    made = {
        "upscale": lambda dates: dates.sr.upscale("bicubic"),
        "reflectance": lambda dates: dates.sr.reflectance(),
        "index": lambda dates: dates.sr.index("NDVI"),
    }[make]

    for date in (0, 1):
        made(cube.isel(time=date)).sr.to_zarr(tmp_path / "a.zarr", progress=False)

    assert made(cube).sr.to_zarr(tmp_path / "a.zarr", progress=False) == 0
    read = xr_sr.open_zarr(tmp_path / "a.zarr")
    xr.testing.assert_allclose(read, made(cube).compute(), rtol=0, atol=0.6e-4)
    np.testing.assert_array_equal(read["radiometry_offset"], [0, -1000])


def test_images_and_series_share_a_store_in_any_order(tmp_path):
    cube = dn_of_two_baselines()
    orders = [
        [cube.isel(time=[0]), cube.isel(time=1)],
        [cube.isel(time=0), cube],
        [cube.isel(time=1), cube.isel(time=[0])],
    ]

    for number, parts in enumerate(orders):
        for part in parts:
            part.sr.upscale("bicubic").sr.to_zarr(tmp_path / f"{number}.zarr", progress=False)
        read = xr_sr.open_zarr(tmp_path / f"{number}.zarr")
        np.testing.assert_array_equal(read["radiometry_offset"], [0, -1000])


def test_an_offset_may_be_read_for_one_date_and_passed_for_the_next(tmp_path):
    cube = dn_of_two_baselines()
    cube.isel(time=[0]).sr.upscale("bicubic").sr.to_zarr(tmp_path / "a.zarr", progress=False)

    cube.isel(time=[1]).sr.upscale("bicubic", offset=-1000).sr.to_zarr(tmp_path / "a.zarr", progress=False)

    np.testing.assert_array_equal(xr_sr.open_zarr(tmp_path / "a.zarr")["radiometry_offset"], [0, -1000])
    with pytest.raises(StoreMismatchError, match="radiometry_offset at 2022-06-10"):
        cube.isel(time=1).sr.upscale("bicubic", offset=0).sr.to_zarr(tmp_path / "a.zarr", progress=False)
