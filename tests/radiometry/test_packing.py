"""A declared scale and offset means one offset in DN, or cannot be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xr_sr
from tests.cubes import array
from xr_sr.errors import RadiometryError, RadiometryWarning
from xr_sr.radiometry.packing import offset_in_dn, read_scaling

ABSURD = [
    (0.0, -0.1),
    (math.nan, -0.1),
    (math.inf, 0.0),
    (-1e-4, 0.0),
    (1e4, -0.1),
    (1e-4, math.nan),
    (1e-4, math.inf),
    (1e-4, -1000.0),
    (None, math.nan),
]
SPELLINGS = {
    "CF": lambda scale, offset: {"scale_factor": scale, "add_offset": offset},
    "STAC": lambda scale, offset: {"raster:scale": scale, "raster:offset": offset},
    "raster:bands": lambda scale, offset: {"raster:bands": [{"scale": scale, "offset": offset}]},
    "STAC 1.1": lambda scale, offset: {"bands": [{"name": "B04", "raster:scale": scale, "raster:offset": offset}]},
}


def dn(**attrs: Any) -> xr.DataArray:
    return array(np.full((4, 12, 12), 2000, "uint16")).assign_attrs(attrs)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("scale", "offset"), ABSURD)
def test_what_cannot_be_is_refused_with_a_sentence(scale, offset, spelling):
    scaling = read_scaling(SPELLINGS[spelling](scale, offset))
    assert scaling is not None

    with pytest.raises(RadiometryError, match=r"declare .* the offset .*Correct the metadata, or pass offset="):
        offset_in_dn(scaling, 10_000)


@given(
    scale=st.one_of(st.none(), st.floats(allow_subnormal=False)),
    offset=st.floats(),
    quantification=st.sampled_from([1.0, 10_000.0]),
)
def test_any_numbers_give_a_finite_offset_or_a_sentence(scale, offset, quantification):
    scaling = read_scaling({"scale_factor": scale, "add_offset": offset})
    if scaling is None:
        assert scale in (None, 1.0) and offset == 0.0
        return
    try:
        found = offset_in_dn(scaling, quantification)
    except RadiometryError:
        return
    assert math.isfinite(found)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("scale", "offset", "in_dn"), [(1e-4, -0.1, -1000), (1e-4, 0, 0), (None, -0.1, -1000)])
def test_a_plausible_one_is_read_in_all_spellings(scale, offset, in_dn, spelling):
    scaling = read_scaling(SPELLINGS[spelling](scale, offset))

    assert scaling is not None
    assert offset_in_dn(scaling, 10_000) == in_dn


@pytest.mark.parametrize(
    "holder", [{}, {"scale_factor": 1.0, "add_offset": 0.0}, {"bands": ["B04"]}, {"bands": "(" * 200}]
)
def test_where_nothing_is_declared_there_is_no_scaling(holder):
    assert read_scaling(holder) is None


@pytest.mark.parametrize(("scale", "offset"), [case for case in ABSURD if case[0] is not None])
def test_a_cube_with_such_attributes_or_encoding_is_refused_at_the_call(scale, offset):
    unpacked = dn().astype("float32") * 1e-4
    unpacked.encoding = {"scale_factor": scale, "add_offset": offset, "dtype": "uint16"}

    with pytest.raises(RadiometryError, match="pass offset="):
        dn(scale_factor=scale, add_offset=offset).sr.upscale("bicubic")
    with pytest.raises(RadiometryError, match=r"unpacked when read, and .* offset=0, quantification=1"):
        unpacked.sr.upscale("bicubic")
    means = [dn(scale_factor=scale, add_offset=offset).sr.upscale("nearest", offset=-1000).mean(),
             unpacked.sr.upscale("nearest", offset=0, quantification=1).mean()]  # fmt: skip
    assert [float(mean) for mean in means] == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    ("attrs", "encoding"),
    [
        ({"scale_factor": 1e-4, "add_offset": 0.1}, {}),
        ({"raster:offset": 0.1}, {}),
        ({"boa_add_offset": 1000}, {}),
        ({}, {"scale_factor": 1e-4, "add_offset": 0.1}),
    ],
)
def test_an_offset_of_the_wrong_sign_is_warned_of(attrs, encoding):
    cube = dn(**attrs)
    if encoding:
        cube = cube * 1e-4 + 0.1
        cube.encoding = encoding

    with pytest.warns(RadiometryWarning, match="brighter"):
        means = xr_sr.reflectance(cube).mean()
    assert float(means) == pytest.approx(0.3)


@pytest.mark.parametrize("offset", [-500.0, -2000 / 3])
@pytest.mark.parametrize("read", [lambda cube: cube.sr.upscale("bicubic"), lambda cube: cube.sr.index("NDVI")])
def test_the_mean_of_two_offsets_is_refused(read, offset):
    """odc-stac averages a number that is noted with each item over the items of a day."""
    cube = array(np.full((2, 4, 12, 12), 2000, "uint16")).assign_coords(boa_add_offset=("time", [-1000.0, offset]))

    with pytest.raises(RadiometryError, match=r"'boa_add_offset' at .* \(time 1\): .* may be the mean of several"):
        read(cube)


@pytest.mark.parametrize("offset", [-0.1, math.inf])
def test_an_offset_in_dn_that_is_none_is_refused(offset):
    cube = array(np.full((2, 4, 12, 12), 2000, "uint16")).assign_coords(boa_add_offset=("time", [-1000, offset]))

    with pytest.raises(RadiometryError, match=r"'boa_add_offset' at .* \(time 1\): .* is no offset in DN"):
        cube.sr.upscale("bicubic")
