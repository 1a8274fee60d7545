from __future__ import annotations

import dask
import numpy as np
import pytest
from zarr.storage import LocalStore

from tests.cubes import array
from tests.cubes import reflectance as light
from tests.io.zarr.scenes import DATES, CountingKernel, cube, reflectance
from xr_sr.errors import StoreError, StoreMismatchError
from xr_sr.io.zarr import open_zarr, to_zarr

DN = array((light(3, 4, 16, 16) * 10_000 + 1000).astype("uint16"))


def upscaled(dates: list[int], offset: list[int] | int, **options):
    return DN.isel(time=dates).sr.upscale("nearest", scale=2, offset=offset, **options)


def with_coord(dates, **coords):
    return cube(dates=dates, values=reflectance(len(dates), 2, 40, 56)).assign_coords(coords)


def tree(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("first", [[-1000], [0, -1000]])
def test_dates_of_other_offsets_extend_a_store_and_keep_their_own(first, zarr_format, tmp_path):
    whole = [*first, 0, -1000][:3]
    at = list(range(len(whole)))
    to_zarr(upscaled(at[: len(first)], first), tmp_path / "out.zarr", zarr_format=zarr_format)

    to_zarr(upscaled(at, whole), tmp_path / "out.zarr", zarr_format=zarr_format)
    to_zarr(upscaled(at, whole), tmp_path / "out.zarr", zarr_format=zarr_format)

    read = open_zarr(tmp_path / "out.zarr")
    assert read.radiometry_offset.values.tolist() == whole
    np.testing.assert_allclose(read.values, upscaled(at, whole).values, atol=6e-5)


def test_a_date_of_another_offset_is_refused_with_both_values(tmp_path):
    to_zarr(upscaled([0, 1], [0, -1000]).isel(time=[0]), tmp_path / "out.zarr")
    before = tree(tmp_path)

    match = r"radiometry_offset at 2023-06-01T10:30: the store has 0, this is -1000"
    with pytest.raises(StoreMismatchError, match=match):
        to_zarr(upscaled([0, 1], [-1000, 0]), tmp_path / "out.zarr")

    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("dated", "match"),
    [
        (True, r"radiometry_offset at 2023-06-01T10:30: the store has 0, this is -1000"),
        (False, r"radiometry_offset: the store has 0\.0, this is -1000\.0"),
    ],
)
def test_one_raster_has_the_offset_that_it_was_begun_with(dated, match, tmp_path):
    first, second = (upscaled([0, 1], offsets).isel(time=0) for offsets in ([0, -1000], [-1000, 0]))
    if not dated:
        first, second = first.drop_vars("time"), second.drop_vars("time")
    to_zarr(first, tmp_path / "out.zarr")

    with pytest.raises(StoreMismatchError, match=match):
        to_zarr(second, tmp_path / "out.zarr")


def test_the_offsets_of_dates_cannot_be_left_out_later(tmp_path):
    to_zarr(upscaled([0], -1000), tmp_path / "out.zarr")

    with pytest.raises(StoreMismatchError, match="(?s)radiometry_offset: .*Keep the coordinate radiometry_offset"):
        to_zarr(upscaled([0, 1], -1000).drop_vars("radiometry_offset"), tmp_path / "out.zarr")


def test_a_date_that_was_begun_with_another_offset_is_done_anew(tmp_path):
    class UntilMark(LocalStore):
        async def set(self, key, value):
            if key == "sr_status/c/1/1/1":
                raise OSError("stopped here")
            await super().set(key, value)

    options = {"chunks": 4, "region": 1}
    first, second = upscaled([0], 0, chunks=8), upscaled([0, 1], [0, -1000], chunks=8)
    to_zarr(first, tmp_path / "out.zarr", **options)
    with dask.config.set(scheduler="synchronous"), pytest.raises(StoreError, match="stopped here"):
        to_zarr(upscaled([0, 1], [0, 0], chunks=8), UntilMark(tmp_path / "out.zarr"), **options)

    to_zarr(second, tmp_path / "out.zarr", **options)

    read = open_zarr(tmp_path / "out.zarr")
    assert read.radiometry_offset.values.tolist() == [0, -1000]
    np.testing.assert_allclose(read.values, second.values, atol=6e-5)


def test_masks_of_each_date_extend_a_store_and_others_are_refused_with_what_to_do(tmp_path):
    keep = DN.isel(band=0, drop=True) > 2000
    to_zarr(upscaled([0], -1000, mask=keep.isel(time=[0])), tmp_path / "dated.zarr")
    one, other = (keep.isel(time=n, drop=True) for n in (0, 1))  # masks of no date, for any
    to_zarr(upscaled([0], -1000, mask=one), tmp_path / "one.zarr")

    to_zarr(upscaled([0, 1, 2], -1000, mask=keep), tmp_path / "dated.zarr")

    wanted = upscaled([0, 1, 2], -1000, mask=keep)
    np.testing.assert_allclose(open_zarr(tmp_path / "dated.zarr").values, wanted.values, atol=6e-5)
    with pytest.raises(StoreMismatchError, match="(?s)xr_sr:mask: .*time dimension"):
        to_zarr(upscaled([0, 1], -1000, mask=other), tmp_path / "one.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (np.array([10]), np.array([2.5]), r"int64 .*\[2\.5\]"),
        (np.array([10]), np.array([np.nan]), "nan"),
        (np.array([10], "uint8"), np.array([300]), "300"),
        (np.array([1.5], "float32"), np.array([0.1]), r"float32 .*0\.1"),
        (np.array([True]), np.array([2]), "bool .*2"),
        (np.array([1]), np.array(["x"]), "'x'"),
        (np.array(["x"]), np.array([1]), "text"),
        (np.array([7]), DATES[1:2], "int64"),
        (np.array([7]), None, "cannot be missing"),
        (np.array([True]), None, "cannot be missing"),
        (np.array(["x"]), None, "text.*cannot be missing"),
        (DATES[:1], None, "dates.*cannot be missing"),
    ],
)
def test_what_later_dates_cannot_say_without_loss_is_refused(old, new, found, zarr_format, tmp_path):
    to_zarr(with_coord(DATES[:1], cc=("time", old)), tmp_path / "out.zarr", zarr_format=zarr_format)
    before = tree(tmp_path)
    later = with_coord(DATES[1:2], **({} if new is None else {"cc": ("time", new)}))

    with pytest.raises(StoreMismatchError, match=rf"cc: the store has .*{found}"):
        to_zarr(later, tmp_path / "out.zarr", zarr_format=zarr_format)

    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (np.array([10]), np.array([3.0])),
        (np.array([1.5]), np.array([2])),
        (np.array([1.5]), np.array([0.1], "float32")),
        (np.array([1]), np.array([True])),
        (np.array(["x"]), np.array(["longer"], object)),
    ],
)
def test_what_fits_is_taken_whatever_its_type(old, new, tmp_path):
    to_zarr(with_coord(DATES[:1], cc=("time", old)), tmp_path / "out.zarr")
    to_zarr(with_coord(DATES[1:2], cc=("time", new)), tmp_path / "out.zarr")

    assert open_zarr(tmp_path / "out.zarr").cc.values.tolist() == [*old.tolist(), *new.tolist()]


@pytest.mark.parametrize("value", [4.5, "S2B", np.datetime64("2023-02-01", "us")])
def test_what_holds_for_all_later_dates_is_repeated_along_time(value, tmp_path):
    """stackstac gives a scalar where all of its dates agree."""
    old = np.asarray([value, value])
    to_zarr(with_coord(DATES[:2], cc=("time", old)), tmp_path / "out.zarr")
    to_zarr(with_coord(DATES, cc=value), tmp_path / "out.zarr")

    np.testing.assert_array_equal(open_zarr(tmp_path / "out.zarr").cc.values, np.asarray([value] * 3))


def test_what_the_store_says_of_all_dates_must_hold_for_later_ones(tmp_path):
    to_zarr(with_coord(DATES[:1], platform="S2A"), tmp_path / "out.zarr")

    match = r"platform: the store has 'S2A' for all dates, this is 'S2B'.*drop_vars\('platform'\)"
    with pytest.raises(StoreMismatchError, match=match):
        to_zarr(with_coord(DATES[1:2], platform="S2B"), tmp_path / "out.zarr")
    with pytest.raises(StoreMismatchError, match="platform"):
        to_zarr(with_coord(DATES[1:2], platform=("time", ["S2A"])), tmp_path / "out.zarr")

    to_zarr(with_coord(DATES[1:2], platform="S2A"), tmp_path / "out.zarr")
    to_zarr(with_coord(DATES[2:]), tmp_path / "out.zarr")
    assert open_zarr(tmp_path / "out.zarr").sizes["time"] == 3


def test_dates_that_are_there_are_not_looked_at_again(tmp_path):
    to_zarr(with_coord(DATES, cc=("time", [1, 2, 3])), tmp_path / "out.zarr")

    assert to_zarr(with_coord(DATES, cc=("time", [1.5, 2.5, 3.5])), tmp_path / "out.zarr") == 0


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("pyramid", [0, 1])
def test_a_store_without_a_block_is_replaced_by_another_call(zarr_format, pyramid, tmp_path):
    options = {"zarr_format": zarr_format, "pyramid": pyramid}
    with dask.config.set(scheduler="synchronous"), pytest.raises(RuntimeError, match="the kernel failed"):
        to_zarr(cube(kernel=CountingKernel(fails_at=1)), tmp_path / "out.zarr", **options)
    corrected = cube(dates=DATES[1:], values=reflectance(2, 2, 40, 56)).assign_attrs({"xr_sr:model": "another"})

    to_zarr(corrected, tmp_path / "out.zarr", **options)

    to_zarr(corrected, tmp_path / "new.zarr", **options)
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "new.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_with_one_block_is_not(zarr_format, tmp_path):
    with dask.config.set(scheduler="synchronous"), pytest.raises(RuntimeError, match="the kernel failed"):
        to_zarr(cube(kernel=CountingKernel(fails_at=2)), tmp_path / "out.zarr", zarr_format=zarr_format)
    before = tree(tmp_path)

    with pytest.raises(StoreMismatchError, match="xr_sr:model"):
        to_zarr(cube().assign_attrs({"xr_sr:model": "another"}), tmp_path / "out.zarr", zarr_format=zarr_format)

    assert tree(tmp_path) == before


def test_a_store_of_empty_blocks_counts_as_written(tmp_path):
    nothing = cube(values=np.full((3, 2, 40, 56), np.nan, "float32"))
    to_zarr(nothing, tmp_path / "out.zarr")

    with pytest.raises(StoreMismatchError, match="xr_sr:model"):
        to_zarr(nothing.assign_attrs({"xr_sr:model": "another"}), tmp_path / "out.zarr")


def dated(dates, **coords):
    return with_coord(dates, time=DATES[dates], **coords)


@pytest.mark.parametrize("name", ["id", "s2:product_uri", "platform"])
def test_a_stored_date_of_another_image_is_refused_along_time_too(name, tmp_path):
    first = dated([0, 1], **{name: ("time", ["A", "B"])})
    assert to_zarr(first, tmp_path / "a.zarr")
    assert to_zarr(first.isel(time=[1, 0]), tmp_path / "a.zarr") == 0

    for other in ([0], [0, 2]):
        names = ["X", "C"][: len(other)]
        with pytest.raises(StoreMismatchError, match=rf"(?s){name} at 2023.*'A'.*'X'"):
            to_zarr(dated(other, **{name: ("time", names)}), tmp_path / "a.zarr")
    assert to_zarr(dated([1, 2], **{name: ("time", ["B", "C"])}), tmp_path / "a.zarr")


def test_a_store_begun_by_one_image_compares_a_series(tmp_path):
    to_zarr(dated([0], id=("time", ["A"])).isel(time=0), tmp_path / "a.zarr")

    with pytest.raises(StoreMismatchError, match=r"(?s)id at 2023.*'A'.*'X'"):
        to_zarr(dated([0], id=("time", ["X"])), tmp_path / "a.zarr")
    assert to_zarr(dated([0], id=("time", ["A"])), tmp_path / "a.zarr") == 0


@pytest.mark.parametrize("name", ["created", "eo:cloud_cover", "href"])
def test_what_catalogs_change_between_queries_is_not_compared(name, tmp_path):
    to_zarr(dated([0, 1], **{name: ("time", ["1", "2"])}), tmp_path / "a.zarr")

    assert to_zarr(dated([0, 1], **{name: ("time", ["3", "4"])}), tmp_path / "a.zarr") == 0
