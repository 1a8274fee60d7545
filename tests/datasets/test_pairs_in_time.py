"""Many dates beside one fine image: which are chosen, how each is tested, and what is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pystac
import pytest
import xarray as xr

from tests.datasets.test_pairs import SIDE, scene
from xr_sr import errors
from xr_sr.datasets.pairs import make_pairs
from xr_sr.simulate import degrade_series

DAY = np.timedelta64(1, "D")
HR_DATE = np.datetime64("2023-06-15T17:00", "ns")


def series(days: list[int], **options: object) -> tuple[xr.DataArray, xr.DataArray]:
    """A series of dates so many days from that of the fine image, each displaced, and the fine image."""
    _, hr = scene()
    options = {"shifts": 0.3, "noise": 0.001, "seed": 2, **options}
    tree = degrade_series(hr, 4, dates=[HR_DATE + day * DAY for day in days], **options)
    lr = tree["lr"].to_dataset().drop_vars("SCL", errors="ignore").to_dataarray("band")
    return lr.transpose("time", "band", "y", "x").compute(), hr.assign_coords(time=HR_DATE)


def test_sixteen_dates_lie_beside_one_fine_image(tmp_path: Path):
    lr, hr = series([*range(-8, 9), 11, 12])

    made = make_pairs(lr, hr, tmp_path / "set", size=SIDE, dates=16, harmonize=None)
    pairs = xr.open_zarr(tmp_path / "set" / "pairs.zarr")

    xr.testing.assert_identical(made.compute(), pairs.compute())
    assert dict(pairs.lr.sizes) == {"patch": 6, "time": 16, "band": 4, "y": 32, "x": 32}
    assert dict(pairs.hr.sizes) == {"patch": 6, "band": 4, "y_hr": 128, "x_hr": 128}
    assert pairs.lr.encoding["chunks"] == (1, 16, 4, 32, 32)
    assert pairs.time_hr.values == HR_DATE
    # 8 days before and after are equally near: the earlier one of the series is taken.
    np.testing.assert_array_equal(pairs.time, HR_DATE + np.arange(-8, 8) * DAY)
    chosen = lr.sel(time=pairs.time)
    for n, (row, column) in enumerate(zip(pairs.row.values, pairs.column.values, strict=True)):
        np.testing.assert_array_equal(pairs.lr[n], chosen[..., row : row + 32, column : column + 32])
        np.testing.assert_array_equal(pairs.hr[n], hr[:, row * 4 : row * 4 + 128, column * 4 : column * 4 + 128])
    assert pairs.shift_y.dims == pairs.usable.dims == ("patch", "time") and bool(pairs.usable.all())
    # The way of the fine image to each date; drawn towards zero, as detail of one fine pixel is aliased.
    for found, known in ((pairs.shift_y, chosen.displacement_y), (pairs.shift_x, chosen.displacement_x)):
        for patch in found.values:
            assert np.corrcoef(patch, known)[0, 1] > 0.97
            assert np.abs(patch - known).max() < 0.15


def test_dates_come_in_order_and_within_so_many_days(tmp_path: Path):
    lr, hr = series([9, -3, 4, 20, -12, 0])

    pairs = make_pairs(lr, hr, tmp_path / "set", size=SIDE, harmonize=None)
    few = make_pairs(lr, hr, tmp_path / "few", size=SIDE, harmonize=None, max_days=5, dates=2)

    np.testing.assert_array_equal(pairs.time, HR_DATE + np.array([-3, 0, 4, 9]) * DAY)
    np.testing.assert_array_equal(few.time, HR_DATE + np.array([-3, 0]) * DAY)
    np.testing.assert_array_equal(few.lr[0, 0], lr[1, :, :32, :32])


def test_dates_that_fail_are_written_and_marked(tmp_path: Path):
    lr, hr = series([0, 1, 2], shifts=[(0, 0), (0.9, 0), (0.2, 0)])
    lr[2, :, 3:16, 3:16] = np.nan
    options = {"size": SIDE, "harmonize": None, "min_valid": 0.9}

    pairs = make_pairs(lr, hr, tmp_path / "set", **options)
    table = xr.open_zarr(tmp_path / "set" / "pairs.zarr", group="selection").load()
    two = make_pairs(lr, hr, tmp_path / "two", min_dates=2, **options)

    assert pairs.sizes["patch"] == 6
    np.testing.assert_array_equal(pairs.usable[0], [True, False, False])
    np.testing.assert_array_equal(pairs.usable[1:], np.tile([True, False, True], (5, 1)))
    assert list(table.reason.values[0]) == ["kept", "shifted", "too few valid pixels"]
    assert table.reason.dims == ("tested", "time")
    np.testing.assert_array_equal(pairs.lr[0], lr[:, :, :32, :32])
    assert two.sizes["patch"] == 5
    np.testing.assert_array_equal(
        xr.open_zarr(tmp_path / "two" / "pairs.zarr", group="selection").kept, [False] + [True] * 5
    )
    with pytest.raises(errors.CubeError, match="shifted"):
        make_pairs(lr, hr, tmp_path / "three", min_dates=3, **options)


def test_the_nearest_date_sets_the_radiometry(tmp_path: Path):
    lr, hr = series([-6, 1, 5], shifts=0.0, gains=[1.5, 1.2, 0.8], noise=None)

    pairs = make_pairs(lr, hr, tmp_path / "set", size=SIDE)

    np.testing.assert_allclose(pairs.hr[0], 1.2 * hr[:, :128, :128], rtol=0.02)


def test_items_have_the_span_of_the_dates(tmp_path: Path):
    lr, hr = series([-6, 1, 5])

    make_pairs(lr, hr, tmp_path / "set", size=SIDE, harmonize=None)
    collection = pystac.Collection.from_file(str(tmp_path / "set" / "collection.json"))
    item = next(iter(collection.get_items()))

    assert item.datetime.isoformat() == "2023-06-15T17:00:00+00:00"
    assert item.properties["start_datetime"] == "2023-06-09T17:00:00Z"
    assert item.properties["end_datetime"] == "2023-06-20T17:00:00Z"
    assert item.properties["xr_sr:dates"] == ["2023-06-09T17:00:00Z", "2023-06-16T17:00:00Z", "2023-06-20T17:00:00Z"]
    assert item.properties["xr_sr:usable"] == [True, True, True]
    first, last = collection.extent.temporal.intervals[0]
    assert (first.day, last.day) == (9, 20)


def test_one_date_may_have_a_dimension(tmp_path: Path):
    lr, hr = series([2])

    flat = make_pairs(lr, hr, tmp_path / "flat", size=SIDE, harmonize=None)
    deep = make_pairs(lr, hr, tmp_path / "deep", size=SIDE, harmonize=None, dates=1)

    assert flat.lr.dims == ("patch", "band", "y", "x") and flat.time.values == HR_DATE + 2 * DAY
    assert deep.lr.dims == ("patch", "time", "band", "y", "x")
    np.testing.assert_array_equal(deep.lr[:, 0], flat.lr)


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (lambda lr, hr: (lr, hr), {"dates": 4}, errors.CubeError, "3 dates.*expected 4"),
        (lambda lr, hr: (lr, hr), {"max_days": 0.5}, errors.CubeError, "0 dates"),
        (lambda lr, hr: (lr, hr.drop_vars("time")), {}, errors.CubeError, "hr"),
        (lambda lr, hr: (lr.isel(time=0), hr), {"dates": 2}, errors.CubeError, "dates=2"),
        (lambda lr, hr: (lr.isel(time=0), hr), {"min_dates": 2}, errors.CubeError, "min_dates=2"),
        (lambda lr, hr: (lr.drop_vars("time"), hr), {}, errors.CubeError, "time"),
        (lambda lr, hr: (lr, hr), {"dates": 2, "min_dates": 3}, errors.OptionError, "dates=2"),
        (lambda lr, hr: (lr, hr), {"max_days": -1}, errors.OptionError, "max_days"),
        (lambda lr, hr: (lr.expand_dims(member=2), hr), {}, errors.CubeError, "member"),
    ],
)
def test_what_makes_no_pairs_is_refused(change, options, error, words, tmp_path: Path):
    lr, hr = change(*series([1, 2, 3]))

    with pytest.raises(error, match=words):
        make_pairs(lr, hr, tmp_path / "set", **{"size": SIDE, "harmonize": None, **options})
    assert list(tmp_path.iterdir()) == []
