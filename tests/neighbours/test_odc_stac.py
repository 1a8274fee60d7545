"""odc-stac loads two tiles of one day; the offset of each pixel is right, or an error says why it cannot be known."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox

import xr_sr
from tests.neighbours.tiles import BANDS, EAST, SIDE, WEST, item
from xr_sr.errors import RadiometryError

DOCS = Path(__file__).parents[2] / "docs" / "inputs.md"

PAIRS = {
    "flags differ": (
        (2000, {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}),
        (3000, {"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "05.09"}),
    ),
    "flags are equal": ((2000, {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}),) * 2,
    "baselines are equal": ((3000, {"s2:processing_baseline": "05.09"}),) * 2,
    "baselines differ": ((3000, {"s2:processing_baseline": "05.09"}), (2000, {"s2:processing_baseline": "02.14"})),
    "names of products": (
        (3000, {"s2:product_uri": "S2A_MSIL2A_20230701T101031_N0509_R022_T33UUU_20230701T161800.SAFE"}),
        (3000, {"s2:product_uri": "S2A_MSIL2A_20230701T101031_N0510_R022_T33UVU_20230701T161800.SAFE"}),
    ),
}
"""Of the western and the eastern tile: the DN of reflectance 0.2, and what tells it."""


def pair(folder: Path, name: str) -> list[pystac.Item]:
    west, east = PAIRS[name]
    return [item(folder, "west", WEST, west[0], **west[1]), item(folder, "east", EAST, east[0], **east[1])]


def recipe(items: list[pystac.Item], bbox: list[float]) -> xr.Dataset:
    """Run the code of the docs, with a catalogue that has these items."""
    code = next(
        block
        for block in re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        if "boa_add_offset(item)" in block
    )
    found = SimpleNamespace(items=lambda: iter(items))
    names: dict[str, Any] = {"catalog": SimpleNamespace(search=lambda **_: found), "bbox": bbox}
    exec(code, names)
    assert set(names["fine"].data_vars) >= set(BANDS)
    cube: xr.Dataset = names["cube"]
    return cube


def around(items: list[pystac.Item]) -> list[float]:
    boxes = np.array([each.bbox for each in items])
    return [*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist()]


@pytest.mark.parametrize("name", PAIRS)
def test_the_recipe_of_the_docs_works_on_two_tiles(tmp_path, name):
    items = pair(tmp_path, name)
    cube = recipe(items, around(items))
    found = xr_sr.reflectance(cube)["red"]

    assert cube.sizes["time"] == len({each.properties["boa_add_offset"] for each in items})
    whole = found.max("time")
    np.testing.assert_allclose(whole.values[np.isfinite(whole.values)], 0.2, atol=1e-6)
    for left in (WEST, EAST):
        assert np.isfinite(whole.sel(x=left + SIDE * 5, y=5_799_680, method="nearest"))
    np.testing.assert_array_equal(np.isfinite(found).sum("time") <= 1, True)


def test_the_recipe_and_load_agree(tmp_path):
    items = pair(tmp_path, "flags differ")
    bbox = around(items)
    ours = xr_sr.reflectance(xr_sr.load(items, bbox=bbox, bands=["B04"], grid=10))["B04"].max("time")
    theirs = xr_sr.reflectance(recipe(items, bbox))["red"].max("time")

    np.testing.assert_allclose(np.unique(ours.values[np.isfinite(ours.values)]), [0.2], atol=1e-6)
    assert np.isfinite(ours).sum() == np.isfinite(theirs).sum() == 2 * SIDE * SIDE


def test_a_box_on_two_zones_works_too(tmp_path):
    lon = 15.0  # between zones 32 and 33, where the tiles of both overlap
    box = GeoBox.from_bbox((lon - 3.01, 52.0, lon - 2.99, 52.01), "EPSG:4326", resolution=0.001)
    items = []
    for name, epsg, dn, baseline in (("west", 32632, 3000, "05.09"), ("east", 32633, 2000, "03.01")):
        corner = box.extent.to_crs(f"EPSG:{epsg}").boundingbox
        place = {"left": round(corner.left, -1), "top": round(corner.top, -1), "epsg": epsg}
        items.append(item(tmp_path, name, dn=dn, **place, **{"s2:processing_baseline": baseline}))
    cube = recipe(items, around(items))
    values = xr_sr.reflectance(cube)["red"].values

    assert cube.sizes["time"] == 2
    np.testing.assert_allclose(np.unique(values[np.isfinite(values)]), [0.2], atol=1e-6)


def test_a_flag_that_odc_stac_averages_is_refused(tmp_path):
    items = pair(tmp_path, "flags differ")
    cube = odc.stac.load(
        items,
        bands=BANDS,
        chunks={},
        groupby="solar_day",
        with_properties=["earthsearch:boa_offset_applied"],
    )
    assert cube.sizes["time"] == 1
    assert cube["earthsearch_boa_offset_applied"].values.tolist() == [0.5]  # else there is nothing to refuse

    with pytest.raises(RadiometryError, match=r"boa_offset_applied' at 2023-07-01 .*0\.5 "):
        cube.sr.upscale("bicubic")


def test_odc_stac_cannot_join_texts_of_a_day(tmp_path):
    """The reason for the recipe; where this changes, the page can become simpler."""
    with pytest.raises(ValueError, match="float"):
        odc.stac.load(
            pair(tmp_path, "baselines are equal"),
            bands=BANDS,
            chunks={},
            groupby="solar_day",
            with_properties=["s2:processing_baseline"],
        )
