"""The whole way on a STAC API of this machine: search, load, upscale, flood, Zarr and GeoTIFF, Item, open again.

With all that is hard on the way: baselines before and after 04.00, a flag that lies, corners on odd multiples of 10 m,
nodata at an edge, pages, and a server that fails every third request.
"""

from __future__ import annotations

import numpy as np
import odc.stac
import pystac
import pystac_client
import pytest
import xarray as xr

import xr_sr
from tests.io.stac.server import NORTH, SIDE_M, Scene, geobox, serve, truth
from tests.io.stac.test_loading import box
from xr_sr.analytics.classes import FLOOD
from xr_sr.errors import RadiometryWarning

OLD = Scene(0, "2021-06-01T10:00:00Z", "03.01")
RAW = Scene(0, "2022-06-05T10:00:00Z", "04.00", added=1000, edge=True)
LYING = Scene(0, "2023-06-10T10:00:00Z", "05.09", added=1000, applied=True, flooded=True)
HONEST = Scene(0, "2023-06-15T10:00:00Z", "05.09", applied=True, flooded=True, edge=True)
ODD = box(110, 1270, 830, 130)
"""From inside the tile to its nodata edge; its corners are odd multiples of 10 m."""

LEVEL = 0.2
"""Between land, where NDWI is below -0.02, and water, where it is above 0.4."""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serve([OLD, RAW, LYING, HONEST], tmp_path_factory.mktemp("cogs")) as api:
        yield api


def expected_flood(fine: xr.Dataset) -> np.ndarray:
    """What `flood` must say of the last two dates: (time, y, x), by the truth under each fine pixel."""
    center = ~geobox(0, 10).affine @ (fine.odc.geobox.affine @ (0.5, 0.5))
    rows = np.floor(center[1] + np.arange(fine.sizes["y"]) / 4).astype(int)
    cols = np.floor(center[0] + np.arange(fine.sizes["x"]) / 4).astype(int)
    at = np.ix_(rows, cols)
    wet = [
        truth("B03", 0, 10, flooded=flooded)[at] > truth("B08", 0, 10, flooded=flooded)[at] for flooded in (False, True)
    ]
    classes = np.where(wet[0], FLOOD["permanent"], np.where(wet[1], FLOOD["flooded"], FLOOD["dry"]))
    unknown = (fine["y"].values < NORTH - SIDE_M * 7 / 8)[:, None] & np.ones_like(wet[0])
    return np.stack([classes, np.where(unknown, FLOOD["unknown"], classes)])


@pytest.mark.parametrize("model", ["nearest", "sen2sr-lite"])
def test_from_the_catalogue_to_an_item_of_a_flood(model, api, official, tmp_path):
    api.fail_every = 3

    found = list(
        pystac_client.Client.open(api.url, stac_io=_patient()).search(datetime="2021-01-01/2023-12-31").items()
    )
    assert len(found) == 4 and sum(path == "/search" for _, path, _ in api.log) >= 2
    for item in found:
        if "2023-06-10" in item.id:  # as `test_the_lie_is_noticed` shows, pixels contradict this flag
            item.properties["earthsearch:boa_offset_applied"] = False

    tree = xr_sr.load(found, bbox=ODD, bands=["B02", "B03", "B04", "B08"])
    assert tree["r10m"]["boa_add_offset"].values.tolist() == [0, -1000, -1000, 0]
    fine = tree.sr.upscale(model, bands=["B03", "B08"])
    flood = fine.sr.flood(slice("2021", "2022"), slice("2023", None), index="NDWI", threshold=LEVEL)
    flood.sr.to_zarr(tmp_path / "flood.zarr", progress=False)
    fine.isel(time=2).sr.to_cog(tmp_path / "fine.tif", progress=False)
    xr_sr.to_stac(tmp_path / "flood.zarr")
    xr_sr.to_stac(tmp_path / "fine.tif")

    assert any(status == 503 and path.startswith("/cogs/") for _, path, status in api.log)
    of_flood, of_fine = (pystac.Item.from_file(tmp_path / name) for name in ("flood.json", "fine.json"))
    for item in (of_flood, of_fine):
        assert item.properties["xr_sr:note"] == "super-resolved, not observed"
        assert item.properties["gsd"] == pytest.approx(10, rel=1e-3)
        assert ("mlm:name" in item.properties) is (model != "nearest")
    sources = {link.href for link in of_flood.get_links("derived_from")}
    assert sources == {f"{api.url}/items/{scene.name}" for scene in (OLD, RAW, LYING, HONEST)}
    assert not any("before_source" in key for key in of_flood.properties)

    asset = of_flood.assets["data"]
    again = xr.open_dataset(asset.get_absolute_href(), **asset.extra_fields["xarray:open_kwargs"])
    assert again.odc.geobox == fine.odc.geobox == tree["r10m"].to_dataset().odc.geobox.zoom_out(0.25)
    expected = expected_flood(fine)
    if model == "nearest":
        np.testing.assert_array_equal(again["flood"].values, expected)
    else:  # a network moves the shore by a pixel of the input at most, and leaves nodata where it is
        shore = _near_a_change(expected[0], 8)
        assert (again["flood"].values == expected)[:, ~shore].mean() > 0.99
        np.testing.assert_array_equal(again["flood"].values == 255, expected == 255)
    counted = (again["flood"] == FLOOD["flooded"]).sum(("y", "x")) * 2.5**2 / 1e4
    np.testing.assert_allclose(again["area"].sel(state="flooded"), counted, rtol=1e-3)

    raster = odc.stac.load([of_fine], bands=["B03", "B08"])
    assert raster.odc.geobox == fine.odc.geobox
    values = raster["B03"].where(raster["B03"] != raster["B03"].nodata) * 1e-4
    np.testing.assert_allclose(values[0], fine["B03"].isel(time=2).values, atol=0.51e-4)


def test_the_lie_is_noticed(api):
    tree = xr_sr.load(datetime="2023-06-10", catalog=api.url, bbox=ODD, bands=["B03", "B04", "B08"])

    with pytest.warns(RadiometryWarning, match="still carried"):
        tree.sr.upscale("nearest").compute()


def _patient() -> pystac_client.stac_api_io.StacApiIO:
    """A user's own client, that asks again where a server is busy."""
    from urllib3 import Retry

    retry = Retry(total=5, backoff_factor=0.05, status_forcelist=[503], allowed_methods=None)
    return pystac_client.stac_api_io.StacApiIO(max_retries=retry)


def _near_a_change(classes: np.ndarray, pixels: int) -> np.ndarray:
    """Where another class, or the edge of the map, is within some pixels."""
    from scipy import ndimage

    size = 2 * pixels + 1
    low, high = (each(classes, size, mode="nearest") for each in (ndimage.minimum_filter, ndimage.maximum_filter))
    return low != high
