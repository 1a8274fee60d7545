from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.io.zarr.scenes import NORTH_UP, CountingKernel, cube
from xr_sr.errors import StoreError
from xr_sr.io.zarr import layout
from xr_sr.io.zarr.content import describe, fingerprint, plain_attrs


def test_pixels_are_not_computed_and_what_lies_beside_the_grid_is_loaded():
    kernel = CountingKernel()
    lazy = cube(kernel=kernel).assign_coords(cloud=("time", da.from_array(np.array([0.1, 0.2, 0.3]), chunks=1)))

    content = describe(lazy, "int16")

    assert kernel.calls == 0
    assert [field.name for field in content.fields] == ["reflectance"]
    assert content.small.cloud.chunks is None and content.small.cloud.values.tolist() == [0.1, 0.2, 0.3]


def test_the_object_is_left_alone():
    given = cube().assign_attrs(scale_factor=3.0)
    given.encoding["dtype"] = "uint8"
    before = given.copy(deep=False)

    describe(given, "int16")

    xr.testing.assert_identical(given, before)
    assert given.encoding == {"dtype": "uint8"} and given.spatial_ref.attrs == before.spatial_ref.attrs


def test_coordinates_on_the_grid_are_fields_in_their_own_dtype():
    lonely = cube(dates=None).assign_coords(lon=(("y", "x"), np.zeros((40, 56))))

    fields = {field.name: field for field in describe(lonely, "int16").fields}

    assert fields["lon"].coordinate and fields["lon"].packing.dtype == "float64"
    assert not fields["reflectance"].coordinate


def test_all_fields_get_the_blocks_of_the_largest_that_varies_with_time():
    dataset = cube(side=20).to_dataset("band").assign(mask=(("y", "x"), np.ones((40, 56), bool)))
    content = describe(dataset, "int16")
    y, x = (layout.choose_cut(layout.edges_of(sizes)) for sizes in content.leading.array.chunks[-2:])

    cut = content.cut_like(y, x)

    assert {field.array.chunks[-2:] for field in cut.fields} == {((20, 20), (20, 20, 16))}


def test_the_fingerprint_holds_what_pixels_depend_on_and_not_how_they_are_cut():
    one, other = fingerprint(describe(cube(), "int16")), fingerprint(describe(cube(side=40).chunk(time=3), "int16"))

    assert one == other
    assert one["attrs"] == {"xr_sr:model": "test.x4", "xr_sr:weights_sha256": "ab12"}
    assert one["grid"]["crs"] == "EPSG:32633" and one["grid"]["transform"] == list(NORTH_UP.affine[:6])
    assert one["labels"] == {"band": ["B04", "B03"]}


def test_attributes_of_variables_count_too():
    dataset = cube().to_dataset("band")
    dataset.attrs = {"xr_sr:model": "test.x4"}
    dataset["B03"].attrs = {"xr_sr:model": "another", "title": "green"}

    attrs = fingerprint(describe(dataset, "int16"))["attrs"]

    assert attrs == {"xr_sr:model": "test.x4", "B03: xr_sr:model": "another"}


def test_attributes_become_json_and_those_of_cf_and_of_stores_are_dropped():
    attrs = {
        "a": np.float32(0.5),
        "b": np.array([1, 2]),
        "c": (1, "x"),
        "d": float("nan"),
        "e": {"f": np.int64(3)},
        "g": None,
        "scale_factor": 2,
        "spatial:shape": [1, 1],
        "xr_sr:store": {},
        5: object,
    }

    assert plain_attrs(attrs) == {
        "a": 0.5,
        "b": [1, 2],
        "c": [1, "x"],
        "d": "NaN",
        "e": {"f": 3},
        "5": str(object),
    }


@pytest.mark.parametrize("missing", ["B04", "B03"])
def test_a_variable_off_the_grid_is_no_field(missing):
    dataset = cube().to_dataset("band").assign(total=("time", [1.0, 2.0, 3.0])).drop_vars(missing)

    assert len(describe(dataset, "int16").fields) == 1
    with pytest.raises(StoreError, match=r"\(y, x\): \['total'\]"):
        describe(dataset[["total"]].assign_coords(y=dataset.y, x=dataset.x), "int16")
