"""The ten-band model beyond one array in memory: stores, clusters, degrees, south-up grids, trees of three sizes."""

from __future__ import annotations

import re

import dask
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from distributed import Client, LocalCluster
from odc.geo.geobox import GeoBox
from zarr.storage import LocalStore

import xr_sr
from tests.cubes import array, dataset, geobox_of, reflectance
from tests.pipeline.test_fusion import COARSE, FINE, TEN, at_10m, close, computed, fused, lite, tree_of
from xr_sr.errors import BandWarning, GridError, MissingBandError, ModelError, OptionError, StoreError

pytestmark = pytest.mark.usefixtures("official")

DEGREES = GeoBox((42, 40), Affine(9e-5, 0, 10.0, 0, -9e-5, 2.0), "EPSG:4326")
"""Near the equator, where a degree is as long along both axes: pixels of 10 m."""

SOUTH_UP = GeoBox((42, 40), Affine(10, 0, 600_000, 0, 10, 5_800_020), "EPSG:32633")

PACKED = 6e-5
"""Half a step of int16, and rounding."""


def tree_on(geobox: GeoBox, values: np.ndarray) -> xr.DataTree:
    """Ten bands on two grids, those of 20 m taken from repeated pixels."""
    fine, coarse = ([TEN.index(band) for band in bands] for bands in (FINE, COARSE))
    r20m = dataset(values[coarse][:, ::2, ::2], COARSE, geobox=geobox.zoom_out(2))
    return xr.DataTree.from_dict({"r10m": dataset(values[fine], FINE, geobox=geobox), "r20m": r20m})


def named(made: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Computed, with y and x for latitude and longitude."""
    axes = {"latitude": "y", "longitude": "x"}
    return computed(made.rename({old: new for old, new in axes.items() if old in made.dims}))


def cut(node: xr.DataTree, top: int) -> xr.Dataset:
    """Rows and columns from `top` on, but for the last row."""
    made = node.to_dataset()
    y, x = ("y", "x") if "y" in made.dims else ("latitude", "longitude")
    return made.isel({y: slice(top, 41), x: slice(top, None)})


def same_pixels(one: xr.DataArray, other: xr.DataArray) -> None:
    """The same numbers, wherever on Earth."""
    np.testing.assert_array_equal(one.band, other.band)
    np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-6)


# -- stores
# ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dates() -> xr.DataTree:
    return tree_of(at_10m(24, 28, 5, 2))


def up_to(tree: xr.DataTree, count: int) -> xr.Dataset:
    """Two of the ten bands of the first dates, from both grids."""
    r10m, r20m = (tree[node].to_dataset().isel(time=slice(count)) for node in ("r10m", "r20m"))
    return r10m.sr.upscale("sen2sr-lite", other=r20m, bands=["B03", "B11"], chunks=13, device="cpu")


def test_a_store_holds_what_was_computed_and_says_what_made_it(dates, tmp_path):
    up_to(dates, 2).sr.to_zarr(tmp_path / "ten.zarr")

    read = xr_sr.open_zarr(tmp_path / "ten.zarr")

    close(computed(read), computed(up_to(dates, 2)), PACKED)
    assert read["B11"].attrs["xr_sr:model"] == "sen2sr-lite.main"
    assert read["B11"].attrs["xr_sr:layout"] == "20 m grid"
    assert read.odc.geobox == geobox_of(24, 28).zoom_to((96, 112))


def test_a_store_grows_by_a_date(dates, tmp_path):
    up_to(dates, 1).sr.to_zarr(tmp_path / "ten.zarr")

    up_to(dates, 2).sr.to_zarr(tmp_path / "ten.zarr")

    read = xr_sr.open_zarr(tmp_path / "ten.zarr")
    assert read.sizes["time"] == 2
    close(computed(read), computed(up_to(dates, 2)), PACKED)


def test_a_store_that_was_stopped_goes_on(dates, tmp_path):
    class UntilMark(LocalStore):
        async def set(self, key, value):
            if key.startswith("sr_status/c/1"):
                raise OSError("stopped here")
            await super().set(key, value)

    with dask.config.set(scheduler="synchronous"), pytest.raises(StoreError, match="stopped here"):
        up_to(dates, 2).sr.to_zarr(UntilMark(tmp_path / "ten.zarr"), region=1)

    up_to(dates, 2).sr.to_zarr(tmp_path / "ten.zarr", region=1)

    close(computed(xr_sr.open_zarr(tmp_path / "ten.zarr")), computed(up_to(dates, 2)), PACKED)


# -- a cluster
# ---------------------------------------------------------------------------------------------------------


def test_a_cluster_gives_the_values_of_this_process(official, tmp_path):
    tree = tree_of(at_10m(40, 36))
    lazy = xr.DataTree.from_dict({path: node.to_dataset().chunk(y=12) for path, node in tree.children.items()})
    made = lazy.sr.upscale("sen2sr-lite", bands=["B03", "B11", "B12"], chunks=20, device="cpu")
    environment = {"XR_SR_WEIGHTS": "", "XR_SR_CACHE": str(tmp_path / "worker")}
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0", env=environment
        ) as local,
        Client(local) as client,
    ):
        (said,) = xr_sr.configure(client, models=["sen2sr-lite.main"], device="cpu", torch_threads=1).values()
        spread = made.compute()

    assert said["models"] == ["sen2sr-lite.main"]
    assert len(list((tmp_path / "worker").rglob("*.safetensor"))) == 3
    close(computed(spread), computed(made))


# -- grids
# -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("geobox", [DEGREES, SOUTH_UP], ids=["degrees", "south-up"])
def test_pixels_count_whatever_the_map(geobox):
    values = at_10m(42, 40)
    wanted = lite(tree_of(values))
    tree = tree_on(geobox, values)

    made = tree.sr.upscale("sen2sr-lite", device="cpu", chunks=17)

    assert made.odc.geobox == geobox.zoom_to((168, 160))
    same_pixels(named(made), wanted)


@pytest.mark.parametrize("geobox", [DEGREES, SOUTH_UP], ids=["degrees", "south-up"])
@pytest.mark.parametrize("top", [0, 1])
def test_a_crop_that_cuts_20_m_pixels_fits_in_degrees_and_south_up(geobox, top):
    values = at_10m(42, 40)
    tree, north_up = tree_on(geobox, values), tree_of(values)

    made = cut(tree["r10m"], top).sr.fuse("sen2sr-lite", other=tree["r20m"].to_dataset(), device="cpu")

    same_pixels(named(made), fused(cut(north_up["r10m"], top), other=north_up["r20m"].to_dataset()))


@pytest.mark.parametrize("geobox", [DEGREES, SOUTH_UP], ids=["degrees", "south-up"])
def test_repeated_pixels_in_degrees_begin_where_the_grid_does(geobox):
    values = at_10m(42, 40)

    made = array(values, TEN, geobox=geobox).sr.fuse("sen2sr-lite", layout="native", device="cpu")

    same_pixels(named(made), named(tree_on(geobox, values).sr.fuse("sen2sr-lite", device="cpu")))


def test_grids_of_different_maps_are_refused():
    values = at_10m(42, 40)
    r10m = tree_of(values)["r10m"].to_dataset()
    with pytest.raises(GridError, match="EPSG:4326"):
        r10m.sr.fuse("sen2sr-lite", other=tree_on(DEGREES, values)["r20m"].to_dataset())


def tree_of_60_m(values: np.ndarray) -> xr.DataTree:
    tree = tree_of(values)
    geobox = geobox_of(*values.shape[-2:]).zoom_out(6)
    tree["r60m"] = xr.DataTree(dataset(reflectance(2, *geobox.shape), ("B01", "B09"), geobox=geobox))
    return tree


def test_a_tree_with_a_60_m_node_gives_the_ten_bands():
    values = at_10m(42, 48)
    tree, plain = tree_of_60_m(values), tree_of(values)

    with pytest.warns(BandWarning, match=r"\['B01', 'B09'\]"):
        made = tree.sr.upscale("sen2sr-lite", device="cpu")

    assert list(made) == [*FINE, *COARSE]
    close(computed(made), lite(plain))
    close(fused(tree, bands=["B11"]), fused(plain, bands=["B11"]))


# -- what is left out is said
# ------------------------------------------------------------------------------------------------


def test_a_model_of_four_bands_names_what_it_leaves_of_a_tree():
    tree = tree_of_60_m(at_10m(24, 24))

    with pytest.warns(BandWarning, match=r"'sen2sr-fast'.*'B05'.*'B12'.*'B01', 'B09'\]"):
        made = tree.sr.upscale("sen2sr-fast")

    assert set(made) == set(FINE)


def test_a_second_cube_without_wider_bands_is_refused():
    r10m = tree_of(at_10m(24, 24))["r10m"].to_dataset()

    with pytest.raises(MissingBandError, match=r"other=.*\['B02', .*\].*'B12'"):
        r10m.sr.upscale(other=r10m)


@pytest.mark.parametrize(
    ("model", "bands", "words"),
    [
        ("sen2sr-fast", ["B04", "B11"], r"\['B11'\].*another model: \['sen2sr', 'sen2sr-v1', 'sen2sr-lite', 'near"),
        ("sen2sr", ["B99"], r"bands=.*\['B99'\]"),
        ("sen2sr", 4, r"bands=4"),
        ("sen2sr", [4], r"bands=\[4\]"),
    ],
)
def test_bands_that_a_model_does_not_give_are_told_with_a_way_that_works(model, bands, words):
    cube = array(at_10m(24, 24), TEN)

    with pytest.raises((ModelError, OptionError), match=words) as told:
        cube.sr.upscale(model, bands=bands)

    for name in re.findall(r"'([a-z][-a-z0-9.]+)'", str(told.value).partition("another model")[2]):
        assert cube.sr.upscale(name, bands=bands).sizes["band"] == len(bands)
