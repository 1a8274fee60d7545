"""What stackstac makes of declared scales and offsets: the reflectance is right, or an error says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import stackstac
import xarray as xr

import xr_sr
from tests.neighbours.tiles import EAST, WEST, item
from xr_sr.errors import RadiometryError

TRUTH = 0.2
APPLIED = {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}
RAW = {"s2:processing_baseline": "05.09"}
OLD = {"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "02.14"}


def described(folder: Path, name: str, left: float, dn: int, offset: float, properties: dict[str, Any]) -> pystac.Item:
    """An Item with the scale and offset that a catalogue declares for its assets."""
    made = item(folder, name, left, dn, **properties)
    for asset in made.assets.values():
        asset.extra_fields["raster:bands"] = [{"nodata": 0, "data_type": "uint16", "scale": 1e-4, "offset": offset}]
    return made


def earth_search(folder: Path) -> list[pystac.Item]:
    """As collection sentinel-2-l2a has it: -0.1 is declared, and in the pixels already."""
    return [described(folder, "applied", WEST, 2000, -0.1, APPLIED)]


def mixed(folder: Path) -> list[pystac.Item]:
    return [*earth_search(folder), described(folder, "old", EAST, 2000, 0.0, OLD)]


def stacked(items: list[pystac.Item], **options: Any) -> xr.DataArray:
    made: xr.DataArray = stackstac.stack(items, epsg=32633, resolution=10, chunksize=64, xy_coords="center", **options)
    return made


def values(cube: xr.DataArray, **options: Any) -> np.ndarray:
    found = xr_sr.reflectance(cube, **options).values
    return np.unique(found[np.isfinite(found)])


@pytest.mark.parametrize("make", [earth_search, mixed])
@pytest.mark.parametrize("options", [{}, {"dtype": "uint16", "fill_value": np.uint16(0)}], ids=["float64", "uint16"])
def test_numbers_as_they_are_stored_are_right(tmp_path, make, options):
    cube = stacked(make(tmp_path), rescale=False, **options)

    np.testing.assert_allclose(values(cube), TRUTH, atol=1e-6)


@pytest.mark.parametrize(("make", "where"), [(earth_search, ""), (mixed, r" at 2023-07-01 \(time 0\)")])
def test_rescaled_numbers_that_had_the_offset_already_are_refused_with_what_helps(tmp_path, make, where):
    cube = stacked(make(tmp_path))
    assert ("raster:bands" in cube.coords) == (make is earth_search)  # stackstac drops what differs

    with pytest.raises(RadiometryError, match=rf"0\.1 too low{where} if a loader .*boa_offset_applied.*rescale=False"):
        values(cube)
    applied = cube["earthsearch:boa_offset_applied"]
    np.testing.assert_allclose(values(cube + 0.1 * applied, offset=0, quantification=1), TRUTH, atol=1e-6)


def test_rescaled_numbers_that_needed_the_offset_are_reflectance_when_said_to_be(tmp_path):
    cube = stacked([described(tmp_path, "raw", WEST, 3000, -0.1, RAW)])

    with pytest.raises(RadiometryError, match="offset=0, quantification=1"):
        values(cube)
    np.testing.assert_allclose(values(cube, offset=0, quantification=1), TRUTH, atol=1e-6)
