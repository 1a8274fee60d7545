"""The offset is found under every producer's names, and metadata that stand once are compared with the dates."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, dataset
from xr_sr.conventions import BASELINES, FLAGS, PRODUCTS
from xr_sr.cube.select import recognize
from xr_sr.errors import RadiometryError, RadiometryWarning
from xr_sr.io.stac.items import meaning_of
from xr_sr.radiometry.offsets import days_of
from xr_sr.radiometry.product_metadata import offset_of_baseline, read_baseline
from xr_sr.radiometry.resolve import Radiometry, resolve

PRODUCT = "S2C_MSIL2A_20210126T101311_N{}_R022_T33UXP_20210126T140000.SAFE"
FACTS = [
    *((name, True, 0) for name in FLAGS),
    *((name, value, offset) for name in BASELINES for value, offset in (("05.11", -1000), ("03.01", 0))),
    *((name, PRODUCT.format(digits), offset) for name in PRODUCTS for digits, offset in (("0511", -1000), ("0301", 0))),
]


def meaning(cube: Any) -> Radiometry:
    found = recognize(cube)
    return resolve(found, found.planes)


def dn(dates: int = 2) -> xr.DataArray:
    made = array(np.full((dates, 4, 12, 12), 1500, "uint16"))
    return made.assign_coords(time=np.array(["2021-01-26T10:13:11", "2021-01-27T10:00:00"], "datetime64[ns]")[:dates])


@pytest.mark.parametrize(("name", "value", "offset"), FACTS)
def test_cubes_and_items_are_read_by_the_same_names(name, value, offset):
    import pystac

    key = name.replace("_", ":", 1)
    item = pystac.Item("ITEM", None, None, pystac.utils.str_to_datetime("2021-01-26T10:13:11Z"), {key: value})
    along_time = dn().assign_coords({key: ("time", [value] * 2)})
    variable = dataset(dn().values).assign_coords(time=dn().time).assign({key: ("time", [value] * 2)})
    scalar = dn(1).isel(time=0).assign_coords({key: value})
    attribute = dn(1).assign_attrs({key: value})

    assert meaning_of(item).offset == offset
    assert [meaning(cube).offset for cube in (along_time, variable, scalar, attribute)] == [(offset,)] * 4


def test_the_name_of_the_product_may_differ_between_dates():
    names = [PRODUCT.format("0511"), PRODUCT.format("0301").replace("20210126T", "20210127T")]

    assert meaning(dn().assign_coords({"s2:product_uri": ("time", names)})).offset == (-1000, 0)


def test_texts_along_bands_that_name_no_product_are_no_contradiction():
    cube = dn().assign_coords(title=("band", ["Red", "Green", "Blue", "NIR"]), processing_baseline="05.09")

    assert meaning(cube).offset == (-1000,)


def test_a_name_that_says_nothing_leaves_it_to_the_next():
    cube = dn().assign_coords(
        {"processing:version": ("time", ["1.2", "1.2"]), "s2:product_uri": ("time", [PRODUCT.format("0511")] * 2)}
    )

    assert meaning(cube).offset == (-1000,)


def test_the_same_baseline_in_two_spellings_is_no_contradiction():
    bands = dataset(dn(1).isel(time=0).values)
    bands["B04"].attrs["processing_baseline"] = "05.09"
    for band in ("B03", "B02", "B08"):
        bands[band].attrs["processing_baseline"] = 5.09

    assert meaning(bands).offset == (-1000,)


def test_any_of_several_flags_that_is_true_counts():
    cube = dn().assign_coords(
        {
            "earthsearch:boa_offset_applied": ("time", [False, False]),
            "sentinel:boa_offset_applied": ("time", [True, False]),
            "processing:version": ("time", ["05.09", "05.09"]),
        }
    )

    assert meaning(cube).offset == (0, -1000)


@pytest.mark.parametrize(
    "name", ["earthsearch:boa_offset_applied", "sentinel:boa_offset_applied", "boa_offset_applied"]
)
@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_a_flag_that_is_false_alone_is_said_to_be_false_and_the_baseline_to_be_missing(name, kind):
    cube = dn().astype(kind)
    known = f"{name} is False, .*baseline, .*is missing"

    for flagged in (cube.assign_attrs({name: False}), cube.assign_coords({name: ("time", ["false", "false"])})):
        with pytest.raises(RadiometryError, match=f"{known}. .*[Pp]ass offset=-1000"):
            meaning(flagged)
    with pytest.raises(RadiometryError, match=rf"2021-01-27 \(time 1\): {known}. Drop"):
        meaning(cube.assign_coords({name: ("time", [True, False])}))
    assert meaning(cube.assign_coords({name: False, "s2:processing_baseline": "05.00"})).offset == (-1000,)


def test_what_is_missing_is_named_for_each_kind_of_metadata():
    flag, baseline = "earthsearch:boa_offset_applied", "s2:processing_baseline"
    for facts, why in (
        ({flag: ("time", [True, np.nan])}, f"1\\): {flag} is missing, .*baseline"),
        ({flag: ("time", [True, False]), baseline: ("time", [5.09, 99.99])}, f"{flag} is False, .*, and {baseline} is"),
        ({baseline: ("time", [5.09, np.nan])}, f"1\\): {baseline} is missing, .*ESA"),
        ({baseline: "99.99"}, f": {baseline} is missing, .*ESA"),
        ({"boa_add_offset": ("time", [-1000, np.nan])}, ": boa_add_offset is missing"),
        ({}, ": neither boa_offset_applied, .*baseline, .*scale"),
    ):
        with pytest.raises(RadiometryError, match=why):
            meaning(dn().assign_coords(facts))


@pytest.mark.parametrize("value", [0.5, 2, "True,False"])
def test_a_flag_that_is_neither_true_nor_false_is_refused_with_its_date(value):
    name = "earthsearch_boa_offset_applied"
    cube = dn().assign_coords({name: ("time", [value, type(value)(1)]), "s2_processing_baseline": 5.09})

    with pytest.raises(RadiometryError, match=rf"{name}' at 2021-01-26 \(time 0\): "):
        meaning(cube)
    with pytest.raises(RadiometryError, match=name):
        meaning(cube.astype("float32"))


@pytest.mark.parametrize("count", range(2, 13))
def test_a_mean_of_baselines_on_both_sides_of_the_offset_is_refused_unless_it_is_a_baseline(count):
    before, after = (2.04, 2.07, 2.14, 3.0, 3.01), (4.0, 5.0, 5.09, 5.11)
    for old, new, share in itertools.product(before, after, range(1, count)):
        mean = float(np.float32(old * share + new * (count - share)) / np.float32(count))
        if any(abs(mean - each) < 0.002 for each in (*before, *after)):
            continue
        with pytest.raises(RadiometryError, match="mean of several"):
            read_baseline(mean)


@pytest.mark.parametrize("mean", [5.05, 5.095, 5.0033, 2.105, 2.1, 3.005])
def test_a_mean_of_baselines_of_one_offset_passes(mean):
    assert offset_of_baseline(read_baseline(mean) or 0) == (-1000 if mean > 4 else 0)
    assert meaning(dn().assign_coords(processing_baseline=mean)).offset == (-1000 if mean > 4 else 0,)


def test_the_mean_of_two_baselines_is_refused_with_its_date():
    cube = dn().assign_coords(s2_processing_baseline=("time", np.float32([5.09, (2.14 + 5.09) / 2])))

    with pytest.raises(RadiometryError, match=r"2021-01-27 \(time 1\): 3\.615"):
        meaning(cube)


def test_an_item_with_such_a_flag_is_refused_by_its_name():
    import pystac

    when = pystac.utils.str_to_datetime("2021-01-26T10:13:11Z")
    item = pystac.Item("ITEM", None, None, when, {"earthsearch:boa_offset_applied": 0.5})

    with pytest.raises(RadiometryError, match="ITEM: 'earthsearch:boa_offset_applied': 0.5 is neither"):
        meaning_of(item)


# -- numbers that a loader has rescaled --------------------------------------------------------------------------------

DN = np.arange(200, 3000, 5)[: 4 * 12 * 11].reshape(4, 12, 11)
FLAG = "earthsearch:boa_offset_applied"


def rescaled(offset: float, **facts: Any) -> xr.DataArray:
    """What stackstac makes of DN by a declared scale of 0.0001 and an offset, with what it takes along."""
    cube = array(np.stack([DN * 1e-4 + offset] * 2)).assign_coords(time=dn().time.values, **facts)
    return cube.assign_coords({"raster:bands": ((), np.array({"scale": 1e-4, "offset": offset}, dtype=object))})


def refused(cube: xr.DataArray) -> str:
    with pytest.raises(RadiometryError) as error:
        xr_sr.reflectance(cube).compute()
    return str(error.value)


def test_an_offset_that_a_loader_subtracted_from_pixels_that_had_it_is_named_with_what_helps():
    cube = rescaled(-0.1, **{FLAG: True, "s2:processing_baseline": "05.09"})
    sentence = refused(cube)

    assert "They are 0.1 too low if a loader applied the declared scale and offset" in sentence
    assert "raster:bands declare the scale 0.0001 and the offset -0.1, while an offset of 0 DN is right" in sentence
    assert f"({FLAG}). Load with rescale=False, or add 0.1, and pass offset=0, quantification=1." in sentence
    right = xr_sr.reflectance(cube + 0.1, offset=0, quantification=1)
    np.testing.assert_allclose(right, np.stack([DN * 1e-4] * 2), atol=1e-6)


def test_where_the_declared_offset_is_not_known_the_flag_is_named_with_its_dates():
    """Coordinates that differ between Items are dropped by stackstac, `raster:bands` among them."""
    cube = rescaled(-0.1, **{"s2:processing_baseline": "02.14"}).drop_vars("raster:bands")
    sentence = refused(cube.assign_coords({FLAG: ("time", [False, True])}))

    assert "0.1 too low at 2021-01-27 (time 1) if a loader" in sentence and "add 0.1 there" in sentence


def test_an_offset_that_a_loader_left_out_is_named_too():
    with pytest.warns(RadiometryWarning, match="processing_baseline.* -1000 DN.* raster:bands"):
        assert "0.1 too high if a loader" in refused(rescaled(0.0, **{"s2:processing_baseline": "05.09"}))


@pytest.mark.parametrize(("offset", "baseline"), [(-0.1, "05.09"), (0.0, "02.14")])
def test_where_the_loader_was_right_the_numbers_are_reflectance(offset, baseline):
    assert "If that is what they are, pass offset=0, quantification=1." in refused(
        rescaled(offset, **{"s2:processing_baseline": baseline})
    )


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
    found = recognize(cube)
    return resolve(found, found.planes).offset


@pytest.mark.parametrize("order", [(NEW, OLD), (OLD, NEW), (OLD, LATER, NEW), (LATER, NEW, OLD)])
def test_the_name_of_a_product_does_not_decide_for_another_date(order):
    cube = joined(*(dated(day, source=named(day)) for day in order))
    assert cube.encoding["source"] == named(order[0])  # xarray keeps the first: else there is nothing to test

    with pytest.raises(RadiometryError, match=order[1] if order[0] == OLD else OLD):
        offsets(cube)
    for place, day in enumerate(order):
        one = cube.isel(time=place)
        if place == 0:
            assert offsets(one) == (0 if day == OLD else -1000,)
        elif day == OLD or order[0] == OLD:
            with pytest.raises(RadiometryError, match=day):
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

    with pytest.raises(RadiometryError, match=rf"{name} \(02\.14\) .*{NEW} \(time 1\)"):
        offsets(cube)
    with pytest.raises(RadiometryError, match="2022-07-01"):
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

    with pytest.warns(RadiometryWarning, match=rf" {offset} DN .*{OLD} \(time 1\), "):
        assert offsets(cube) == (offset,)
    assert offsets(cube.isel(time=0)) == (offset,)
    assert resolve(recognize(cube), recognize(cube).planes, offset=[-1000, 0]).offset == (-1000, 0)


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
    with pytest.raises(RadiometryError, match="2022-07-01"):
        offsets(wrong)


@pytest.mark.parametrize("labels", [[1, 2], ["a", "b"]])
def test_without_dates_one_product_for_several_places_is_warned_of(labels):
    cube = joined(dated(OLD, source=named(OLD)), dated(NEW)).assign_coords(time=labels)

    with pytest.warns(RadiometryWarning, match="product"):
        assert offsets(cube) == (0,)


def test_dates_may_be_texts_or_lie_beside_their_dimension():
    cube = joined(dated(OLD, source=named(OLD)), dated(NEW))
    for other in (
        cube.assign_coords(time=[OLD, NEW]),
        cube.rename(time="scene").assign_coords(scene=[0, 1], date=("scene", cube.time.values)),
    ):
        found = recognize(other)
        assert days_of(found, found.planes)[1] == [np.datetime64(OLD, "D"), np.datetime64(NEW, "D")]
        with pytest.raises(RadiometryError, match=OLD):
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

    with pytest.raises(RadiometryError, match=rf"^{found} .*{NEW}, ") as error:
        offsets(cube)
    assert "concat" not in str(error.value) and "each date" not in str(error.value)
    assert "s2:processing_baseline': '05.00'" in str(error.value)
    assert offsets(cube.assign_coords({"s2:processing_baseline": "05.00"})) == (-1000,)


def test_a_coordinate_of_all_dates_is_not_said_to_be_that_of_the_first_array():
    cube = joined(dated(OLD), dated(NEW)).assign_coords(processing_baseline="02.14")

    with pytest.raises(RadiometryError, match=rf"\(02\.14\) .*{NEW} \(time 1\)") as error:
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
        with pytest.raises(RadiometryError, match=OLD):
            door()


HARMONIZED = "COPERNICUS/S2_SR_HARMONIZED"
IMAGE = f"{HARMONIZED}/20230601T100601_20230601T100559_T33UXP"


@pytest.mark.parametrize("name", ["id", "system:id", "asset_id", "collection"])
@pytest.mark.parametrize("text", [HARMONIZED, IMAGE, "projects/earthengine-public/assets/COPERNICUS/S2_HARMONIZED/X"])
def test_earth_engine_has_removed_the_offset_of_harmonized_images(name, text):
    product = {"PROCESSING_BASELINE": "05.09", "PRODUCT_ID": PRODUCT.format("0511").removesuffix(".SAFE")}
    bands = dataset(dn(1).isel(time=0).values)
    for band in bands:
        bands[band].attrs |= {"id": str(band), **product}
    cubes = [
        dn(1).isel(time=0).assign_attrs({**product, name: text}),
        dn(1).isel(time=0).assign_coords({**product, name: text}),
        dn().assign_coords({name: ("time", [text] * 2), "PROCESSING_BASELINE": ("time", ["05.09", "05.10"])}),
        bands.assign_attrs({name: text}),
    ]

    assert [{*meaning(cube).offset} for cube in cubes] == [{0}] * 4
    assert all("HARMONIZED" in meaning(cube).how for cube in cubes)


def test_other_collections_of_earth_engine_are_read_by_the_baseline():
    for text in ("COPERNICUS/S2_SR", "COPERNICUS/S2_SR/X", f"see {HARMONIZED}"):
        assert meaning(dn(1).isel(time=0).assign_attrs(id=text, PROCESSING_BASELINE="05.09")).offset == (-1000,)


def test_the_id_of_one_harmonized_image_is_doubted_for_several_dates_and_that_of_the_collection_is_not(recwarn):
    assert meaning(dn().assign_attrs(id=HARMONIZED)).offset == (0,)
    assert not any(warning.category is RadiometryWarning for warning in recwarn)

    with pytest.warns(RadiometryWarning, match="HARMONIZED"):
        assert meaning(dn().assign_attrs(id=IMAGE)).offset == (0,)
