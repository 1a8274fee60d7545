"""One call says a thing once, however many bands, grids and nodes it reads."""

from __future__ import annotations

import pickle
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import RGBN, dataset, geobox_of, reflectance
from xr_sr.errors import (
    BandWarning,
    CubeError,
    MissingBandError,
    RadiometryWarning,
    XrSrWarning,
    warn_caller,
    warns_once,
)

TWENTY = ("B05", "B06", "B07", "B8A", "B11", "B12")
DATES = np.array(["2019-06-01", "2019-06-06"], "datetime64[ns]")


def tree(change: Any) -> xr.DataTree:
    """Two dates on the grids of 10 m and 20 m."""
    fine, coarse = reflectance(2, 4, 12, 12), reflectance(2, 6, 6, 6)
    bands = {
        "r10m": dataset(fine, RGBN, geobox=geobox_of(12, 12)),
        "r20m": dataset(coarse, TWENTY, geobox=geobox_of(12, 12).zoom_out(2)),
    }
    return xr.DataTree.from_dict({name: change(node.assign_coords(time=DATES)) for name, node in bands.items()})


def unpacked(node: xr.Dataset) -> xr.Dataset:
    """What a reader makes of a scale and a positive offset."""
    for band in node.data_vars.values():
        band.encoding.update(scale_factor=1e-4, add_offset=0.1)
    return node


def without_crs(node: xr.Dataset) -> xr.Dataset:
    return node.drop_vars("spatial_ref").assign_coords(y=node.y.values, x=node.x.values)


def integers(**attrs: Any) -> Any:
    def change(node: xr.Dataset) -> xr.Dataset:
        stored = (node * 1e4 + 1000).astype("uint16")
        for band in stored.data_vars.values():
            band.attrs.update(attrs)
        return stored

    return change


def messages(call: Any) -> Counter[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    ours = [each for each in caught if issubclass(each.category, XrSrWarning)]
    assert all(each.filename == __file__ for each in ours)
    return Counter(str(each.message) for each in ours)


DOORS = {
    "reflectance": xr_sr.reflectance,
    "upscale": lambda tree: tree["r10m"].to_dataset().sr.upscale("bicubic"),
    "fuse": lambda tree: tree.sr.fuse("bicubic"),
    "index": lambda tree: tree.sr.index(["NDVI", "MNDWI"]),
    "water": lambda tree: tree.sr.water(),
    "flood": lambda tree: tree.sr.flood("2019-06-01", "2019-06-06"),
}


@pytest.mark.parametrize(
    ("door", "change", "sentences"),
    [
        *((door, unpacked, ["the numbers were unpacked"]) for door in DOORS),
        *((door, without_crs, ["the cube has no CRS"]) for door in ("upscale", "fuse", "index")),
        ("reflectance", lambda node: node.assign_attrs(platform="landsat-8"), ["the cube seems to come from another"]),
        ("index", lambda node: node.assign_attrs(platform="landsat-8"), ["the cube seems to come from another"]),
        ("fuse", integers(boa_add_offset=1000.0), ["boa_add_offset is 1000", "an offset of 1000 DN is used"]),
        ("index", integers(scale_factor=1e-4, add_offset=0.1), ["scale_factor and add_offset", "an offset of 1000"]),
        ("reflectance", integers(**{"s2:processing_baseline": "05.00"}), ["an offset of -1000 DN is used"]),
    ],
)
def test_a_call_issues_each_warning_once(door, change, sentences):
    said = messages(lambda: DOORS[door](tree(change)))

    assert set(said.values()) == {1}
    for sentence in sentences:
        assert sum(each.startswith(sentence) for each in said) == 1, said


def test_two_calls_say_it_twice_and_calls_in_a_call_do_not():
    @warns_once
    def inner(message: str) -> None:
        warn_caller(message, RadiometryWarning)
        warn_caller(message, RadiometryWarning)

    @warns_once
    def outer() -> None:
        inner("a")
        inner("a")
        inner("b")
        warn_caller("a", BandWarning)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outer()
        inner("a")

    said = [(str(each.message), each.category) for each in caught]
    assert said == [("a", RadiometryWarning), ("b", RadiometryWarning), ("a", BandWarning), ("a", RadiometryWarning)]


@pytest.mark.parametrize("raises", [True, False])
def test_a_band_warning_is_issued_with_the_result_and_never_beside_an_error(raises):
    @warns_once
    def call() -> None:
        warn_caller("left out", BandWarning)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BandWarning)
            warn_caller("hidden", BandWarning)
        warn_caller("radiometry", RadiometryWarning)
        if raises:
            raise CubeError("wanted.", "Do this.")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if raises:
            with pytest.raises(CubeError, match="^wanted. Do this.$"):
                call()
        else:
            call()

    assert [str(each.message) for each in caught] == ["radiometry", "left out"][: 1 if raises else 2]
    assert all(each.filename == __file__ for each in caught)


def test_errors_in_two_parts_keep_them_through_pickle():
    error = pickle.loads(pickle.dumps(MissingBandError("'B08' is missing.", "Load it.")))

    assert (str(error), error.found) == ("'B08' is missing. Load it.", "'B08' is missing.")
    assert (str(CubeError("one part")), CubeError("one part").found) == ("one part", "one part")


def test_a_call_that_raises_leaves_nothing_behind():
    @warns_once
    def refuse() -> None:
        warn_caller("a", RadiometryWarning)
        raise ValueError("b")

    for _ in range(2):
        with pytest.warns(RadiometryWarning, match="a"), pytest.raises(ValueError, match="b"):
            refuse()
