"""Where names of bands are looked for, in which order, and what is a flag."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests import cubes
from xr_sr.cube.names import (
    find_band_dim,
    is_flags,
    listed,
    name_labels,
    name_single,
    name_variables,
    no_bands,
    own_name,
)
from xr_sr.errors import AmbiguousBandError, MissingBandError


def array(dtype: str = "uint16", **attrs: object) -> xr.DataArray:
    return xr.DataArray(np.zeros((2, 3), dtype), dims=("y", "x"), attrs=attrs)


def stack(labels: list[object] | None = None, size: int = 2, **attrs: object) -> xr.DataArray:
    size = size if labels is None else len(labels)
    coords = {} if labels is None else {"band": labels}
    return xr.DataArray(np.zeros((size, 2, 3), "uint16"), dims=("band", "y", "x"), coords=coords, attrs=attrs)


@pytest.mark.parametrize(
    ("name", "dtype", "attrs", "flags"),
    [
        ("SCL", "uint8", {}, True),
        ("anything", "uint8", {}, True),
        ("B04", "uint8", {}, False),
        ("B04", "bool", {}, True),
        ("B04", "uint16", {"flag_values": [0, 1]}, True),
        ("cloud_mask", "int64", {}, True),
        ("QA60", "uint16", {}, True),
        ("blu", "uint16", {}, False),  # misspelt, so nobody may carry it along as if it were a class
        ("scl", "float64", {}, True),
        ("cloud_probability", "float32", {}, False),
    ],
)
def test_flags_are_told_by_type_attributes_and_name(name, dtype, attrs, flags):
    assert is_flags(name, array(dtype, **attrs)) is flags


def test_labels_count_more_than_coordinates_and_these_more_than_attributes():
    labelled = (
        stack(["B04", "B08"])
        .assign_coords(common_name=("band", ["blue", "green"]))
        .assign_attrs(long_name=("B11", "B12"))
    )
    numbered = (
        stack([1, 2]).assign_coords(common_name=("band", ["blue", "green"])).assign_attrs(long_name=("B11", "B12"))
    )

    assert [band.name for band in name_labels(labelled, "band")[1]] == ["B04", "B08"]
    assert [band.name for band in name_labels(numbered, "band")[1]] == ["B02", "B03"]
    assert name_labels(numbered, "band")[0] == (1, 2)


def test_lists_of_another_length_are_no_names():
    with pytest.raises(AmbiguousBandError):
        name_labels(stack([1, 2], long_name=("B04", "B08", "B11")), "band")


@pytest.mark.parametrize(
    ("size", "first", "last"),
    [(1, "'B02'", "'B02'"), (4, "'B02'", "'B08'"), (10, "'B02'", "'B12'"), (12, "'B01'", "'B12'")],
)
def test_the_example_has_as_many_names_as_there_are_bands(size, first, last):
    with pytest.raises(AmbiguousBandError) as caught:
        name_labels(stack(size=size), "band")

    inside = str(caught.value).partition("assign_coords(band=[")[2].partition("]")[0].split(", ")
    assert (len(inside), inside[0], inside[-1]) == (size, first, last)


def test_the_band_dimension_is_found_by_labels_then_by_name():
    cube = xr.DataArray(np.zeros((1, 2, 3, 3)), dims=("channel", "b", "y", "x"))

    assert find_band_dim(cube, ["channel", "b"]) == "channel"
    assert find_band_dim(cube.assign_coords(b=["red", "nir"]), ["channel", "b"]) == "b"
    assert find_band_dim(cube, ["b"]) is None


def test_one_array_is_named_by_coordinate_name_or_attribute():
    assert name_single(array().assign_coords(band="B8A").rename("red"))[1].name == "B8A"
    assert name_single(array(long_name="nir").rename("red"))[1].name == "B04"
    assert name_single(array(long_name="nir"))[1].name == "B08"
    with pytest.raises(MissingBandError, match="expand_dims"):
        name_single(array().rename("SCL"))


def test_variables_keep_their_order():
    found = name_variables({"nir": array(), "mask": array("uint8"), "blue": array(), "other": array(long_name="B04")})

    assert [(name, band.name) for name, band in found.items()] == [("nir", "B08"), ("blue", "B02"), ("other", "B04")]


def test_names_are_listed_as_one_types_them():
    assert listed(["red", 1, np.int64(2), np.str_("nir")]) == "'red', 1, 2, 'nir'"
    assert listed([]) == "nothing"


def test_masks_with_names_of_bands_are_named_with_their_type():
    message = str(no_bands({"B04": array("bool"), "B08": array("bool")}))

    assert "'B04', 'B08'" in message and "bool" in message


@pytest.mark.parametrize(
    "name", ["B04", "ndvi-2023", "scene-20230601", "a-c02b967807bd424fe68c972c95faa483-b", None, 7]
)
def test_names_of_users_are_kept(name):
    array = xr.DataArray(da.zeros((2, 2)), dims=("y", "x")).rename(name)

    assert own_name(array) == (None if name is None else str(name))
    assert own_name(array.compute()) == own_name(array)


@pytest.mark.parametrize("operate", [lambda a: a, lambda a: a.chunk(y=1), lambda a: a.compute(), lambda a: a.isel(x=0)])
def test_keys_of_dask_are_no_names_whatever_was_done_to_the_array(operate):
    values = np.zeros((2, 2))
    for array in (da.from_array(values), da.from_array(values, name=False), da.from_array(values, name="mine") + 1):
        assert own_name(operate(xr.DataArray(array, dims=("y", "x")))) is None
    assert own_name(xr.DataArray(da.from_array(values, name="mine"), dims=("y", "x"))) is None


NAMED_BY_DASK = (
    lambda cube: cube.sr.upscale("bicubic"),
    lambda cube: cube.sr.fuse(),
    lambda cube: cube.sr.reflectance(),
    lambda cube: cube.sr.mask(scl=(cube[0, :, :] > 0).astype("uint8")),
    lambda cube: xr_sr.align(cube, cube),
    lambda cube: xr_sr.simulate.degrade(cube, 2),
    lambda cube: xr_sr.simulate.harmonize(cube, cube),
    lambda cube: xr_sr.simulate.hybrid(cube, cube, sigma=2),
)


@pytest.mark.filterwarnings("ignore:fuse")  # nothing to sharpen among bands of one size
@pytest.mark.parametrize("door", NAMED_BY_DASK, ids=range(len(NAMED_BY_DASK)))
def test_results_have_the_name_that_a_user_gave_and_none_by_dask(door):
    named = cubes.array(cubes.reflectance(4, 24, 24)).chunk(y=12)
    unnamed = xr.DataArray(named.data, dims=named.dims, coords=named.coords)
    assert unnamed.name is not None and own_name(unnamed) is None

    assert door(unnamed).name is None
    assert door(named.rename("scene")).name == "scene"
