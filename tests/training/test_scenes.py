"""Cubes become plain arrays of reflectance, one for each date, bands in the network's order."""

from __future__ import annotations

import numpy as np
import pytest

from tests import cubes
from xr_sr.errors import MissingBandError, OptionError, RadiometryError
from xr_sr.training import scenes_of
from xr_sr.training.scenes import check_names


def test_dn_become_reflectance_and_bands_the_order_asked_for():
    dn = np.arange(4 * 6 * 5, dtype="uint16").reshape(4, 6, 5) * 10 + 1000
    cube = cubes.array(dn, ("B02", "B03", "B04", "B08"))

    (scene,) = scenes_of(cube, ("B08", "B02"), name="field", offset=-1000, weight=2.0, note="mine")

    assert scene.values.dtype == np.float32
    np.testing.assert_allclose(scene.values, (dn[[3, 0]].astype(float) - 1000) / 10_000, atol=1e-7)
    assert (scene.name, scene.weight, scene.note) == ("field", 2.0, "mine")


@pytest.mark.parametrize("kind", [cubes.array, cubes.dataset])
@pytest.mark.parametrize("lazy", [False, True])
def test_each_date_is_a_scene_and_an_empty_one_is_none(kind, lazy):
    values = cubes.reflectance(3, 4, 12, 10)
    values[1] = np.nan
    values[2, 0, 3, 4] = np.nan
    cube = kind(values)
    cube = cube.chunk({"time": 1}) if lazy else cube

    scenes = scenes_of(cube, name="series", weight=3.0)

    assert [scene.name for scene in scenes] == ["series 0", "series 2"]
    assert [scene.weight for scene in scenes] == [1.0, 1.0]
    np.testing.assert_array_equal(scenes[1].values, values[2])


def test_bands_are_a_list_of_any_of_their_names():
    cube = cubes.array(cubes.reflectance(4, 9, 9))

    own, alias = (scenes_of(cube, bands)[0] for bands in (["B04", "B08"], ["red", "nir"]))

    np.testing.assert_array_equal(own.values, alias.values)
    with pytest.raises(OptionError, match=r"bands='B04'.*bands=\['B04'\]"):
        scenes_of(cube, "B04")
    with pytest.raises(OptionError, match=r"bands=\(\).*bands=\['B04'\]"):
        scenes_of(cube, ())


def test_what_a_run_is_made_of_is_told_by_content():
    one, same, other = (scenes_of(cubes.array(cubes.reflectance(4, 9, 9, seed=seed)))[0] for seed in (1, 1, 2))

    assert one.describe() == same.describe() != other.describe()


def test_what_cannot_be_read_is_refused():
    dn = np.ones((4, 6, 5), "uint16")
    with pytest.raises(RadiometryError):
        scenes_of(cubes.array(dn))
    with pytest.raises(MissingBandError):
        scenes_of(cubes.array(cubes.reflectance(2, 6, 5), ("B02", "B03")))


def test_names_of_bands_in_an_array_are_read_as_a_list():
    assert check_names(np.array(["B04", "B08"])) == ["B04", "B08"]
