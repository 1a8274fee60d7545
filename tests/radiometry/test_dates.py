"""What metadata say once is held against the dates of the cube before it decides for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array
from xr_sr.cube.select import recognise
from xr_sr.errors import RadiometryError, RadiometryWarning
from xr_sr.radiometry.dates import days_of
from xr_sr.radiometry.resolve import resolve

OLD, NEW, LATER = "2017-07-06", "2022-07-01", "2023-07-01"
DIGITS = {OLD: "0214", NEW: "0400", LATER: "0509"}


def named(day: str, digits: str | None = None) -> str:
    stamp = day.replace("-", "")
    return f"/S2A_MSIL2A_{stamp}T101021_N{digits or DIGITS[day]}_R022_T33UUU_{stamp}T131313.SAFE/B04.jp2"


def dated(day: str, *, attrs: Any = None, source: str | None = None) -> xr.DataArray:
    """One date, with what a reader of one file knows of it."""
    made = array(np.full((1, 4, 12, 12), 2000, "uint16")).assign_coords(time=[np.datetime64(f"{day}T10:10:21", "ns")])
    made.attrs.update(attrs or {})
    if source is not None:
        made.encoding["source"] = source
    return made


def joined(*arrays: xr.DataArray) -> xr.DataArray:
    return xr.concat(arrays, dim="time", coords="different", compat="equals")


def offsets(cube: Any) -> tuple[float, ...]:
    """What `resolve` finds; a warning that is not expected is an error in these tests."""
    found = recognise(cube)
    return resolve(found, found.planes).offset


@pytest.mark.parametrize("order", [(NEW, OLD), (OLD, NEW), (OLD, LATER, NEW), (LATER, NEW, OLD)])
def test_the_name_of_a_product_does_not_decide_for_another_date(order):
    cube = joined(*(dated(day, source=named(day)) for day in order))
    assert cube.encoding["source"] == named(order[0])  # xarray keeps the first: else there is nothing to test

    with pytest.raises(RadiometryError, match=rf"cannot be that of .*{order[1] if order[0] == OLD else OLD}"):
        offsets(cube)
    for place, day in enumerate(order):
        one = cube.isel(time=place)
        if place == 0:
            assert offsets(one) == (0 if day == OLD else -1000,)
        elif day == OLD or order[0] == OLD:
            with pytest.raises(RadiometryError, match=f"cannot be that of .*{day}"):
                offsets(one)


def test_from_2022_on_every_product_has_the_offset_whichever_is_named():
    assert offsets(joined(dated(NEW, source=named(NEW)), dated(LATER, source=named(LATER)))) == (-1000,)
    assert offsets(dated(NEW, source=named(OLD, "0500"))) == (-1000,)


def test_parts_of_one_day_and_the_day_of_a_solar_date_belong_to_its_product():
    twice = joined(dated(OLD, source=named(OLD)), dated("2017-07-07", source=named(OLD)))

    assert offsets(twice) == (0,)


@pytest.mark.parametrize("baseline", ["02.14", 2.14, "N0214"])
@pytest.mark.parametrize("name", ["s2:processing_baseline", "processing:version"])
def test_an_old_baseline_in_an_attribute_cannot_be_that_of_a_date_from_2022_on(name, baseline):
    cube = joined(dated(OLD, attrs={name: baseline}), dated(NEW, attrs={name: "05.09"}))

    with pytest.raises(RadiometryError, match=rf"{name} \(02\.14\) cannot be that of {NEW} \(time 1\)"):
        offsets(cube)
    with pytest.raises(RadiometryError, match="cannot be that of 2022-07-01"):
        offsets(cube.isel(time=1))
    assert offsets(cube.isel(time=0)) == (0,)


@pytest.mark.parametrize(
    ("attrs", "offset"),
    [
        ({"s2:processing_baseline": "05.00"}, -1000),  # older dates may have been processed again
        ({"earthsearch:boa_offset_applied": True}, 0),
        ({"scale_factor": 1e-4, "add_offset": -0.1}, -1000),
        ({"raster:offset": -0.1}, -1000),
        ({"boa_add_offset": -1000.0}, -1000),
    ],
)
def test_an_attribute_that_may_hold_for_all_dates_is_warned_of(attrs, offset):
    cube = joined(dated(NEW, attrs=attrs), dated(OLD))

    with pytest.warns(RadiometryWarning, match=rf"^an offset of {offset} DN is used for .*{OLD} \(time 1\), by one "):
        assert offsets(cube) == (offset,)
    assert offsets(cube.isel(time=0)) == (offset,)
    assert resolve(recognise(cube), recognise(cube).planes, offset=[-1000, 0]).offset == (-1000, 0)


def test_a_baseline_in_an_attribute_is_sure_from_2022_on():
    cube = joined(dated(NEW, attrs={"s2:processing_baseline": "04.00"}), dated(LATER))

    assert offsets(cube) == (-1000,)


def test_what_was_noted_with_each_array_holds():
    """As the error advises it."""
    each = [
        dated(day, source=named(day)).assign_coords({"s2:processing_baseline": ("time", [baseline])})
        for day, baseline in ((NEW, "05.00"), (OLD, "02.14"))
    ]

    assert offsets(joined(*each)) == (-1000, 0)


def test_a_coordinate_that_all_dates_share_holds_but_not_against_the_dates():
    """xarray turns coordinates that differ into one value per date."""
    differing = joined(*(dated(day).assign_coords(processing_baseline=DIGITS[day]) for day in (OLD, NEW)))
    same = joined(*(dated(day).assign_coords(processing_baseline="05.00") for day in (OLD, NEW)))
    wrong = joined(*(dated(day).assign_coords(processing_baseline="02.14") for day in (OLD, NEW)))

    assert offsets(differing) == (0, -1000)
    assert offsets(same) == (-1000,)
    with pytest.raises(RadiometryError, match="cannot be that of 2022-07-01"):
        offsets(wrong)


@pytest.mark.parametrize("labels", [[1, 2], ["a", "b"]])
def test_without_dates_one_product_for_several_places_is_warned_of(labels):
    cube = joined(dated(OLD, source=named(OLD)), dated(NEW)).assign_coords(time=labels)

    with pytest.warns(RadiometryWarning, match="name of the product"):
        assert offsets(cube) == (0,)


def test_dates_may_be_texts_or_lie_beside_their_dimension():
    cube = joined(dated(OLD, source=named(OLD)), dated(NEW))
    for other in (
        cube.assign_coords(time=[OLD, NEW]),
        cube.rename(time="scene").assign_coords(scene=[0, 1], date=("scene", cube.time.values)),
    ):
        found = recognise(other)
        assert days_of(found, found.planes)[1] == [np.datetime64(OLD, "D"), np.datetime64(NEW, "D")]
        with pytest.raises(RadiometryError, match="cannot be that of"):
            offsets(other)


def test_a_dated_flag_leaves_to_the_attribute_only_the_other_dates():
    cube = joined(dated(OLD, attrs={"processing_baseline": "02.14"}), dated(NEW))
    flagged = cube.assign_coords({"earthsearch:boa_offset_applied": ("time", [False, True])})

    with pytest.warns(RadiometryWarning, match=rf"used for {OLD}"):
        assert offsets(flagged) == (0,)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"attrs": {"s2:processing_baseline": "02.14"}}, r"s2:processing_baseline \(02\.14\)"),
        ({"source": named(OLD)}, rf"the name of the product \(baseline 02\.14 of {OLD}\)"),
    ],
)
@pytest.mark.parametrize("along_time", [True, False])
def test_one_date_is_compared_without_a_word_of_other_arrays(facts, found, along_time):
    cube = dated(NEW, **facts) if along_time else dated(NEW, **facts).isel(time=0)

    with pytest.raises(RadiometryError, match=rf"^{found} cannot be that of {NEW}, the date of the cube: ") as error:
        offsets(cube)
    assert "concat" not in str(error.value) and "each date" not in str(error.value)
    assert "s2:processing_baseline': '05.00'" in str(error.value)
    assert offsets(cube.assign_coords({"s2:processing_baseline": "05.00"})) == (-1000,)


def test_a_coordinate_of_all_dates_is_not_said_to_be_that_of_the_first_array():
    cube = joined(dated(OLD), dated(NEW)).assign_coords(processing_baseline="02.14")

    with pytest.raises(RadiometryError, match=rf"\(02\.14\) cannot be that of {NEW} \(time 1\)") as error:
        offsets(cube)
    assert "first array" not in str(error.value)


def test_each_door_refuses_a_name_that_cannot_be():
    cube = joined(dated(NEW, source=named(NEW)), dated(OLD, source=named(OLD)))
    files = xr.concat([dated(day, source=named(day)).to_dataset("band") for day in (NEW, OLD)], "time")
    for band in files.data_vars.values():
        band.encoding["source"] = named(NEW)
    tree = xr.DataTree.from_dict({"r10m": files})
    for door in (
        lambda: cube.sr.upscale("bicubic"),
        lambda: files.sr.upscale("bicubic"),
        lambda: tree.sr.upscale("bicubic"),
        lambda: xr_sr.reflectance(tree),
        lambda: cube.sr.index("NDVI"),
        lambda: cube.sr.water(index="NDWI"),
    ):
        with pytest.raises(RadiometryError, match="cannot be that of"):
            door()
