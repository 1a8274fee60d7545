"""Fusion without weights: grids of three sizes, one task per block, and what comes out of `fuse` and `upscale`."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

import xr_sr
from tests.cubes import array, dataset, reflectance
from xr_sr import kernels
from xr_sr.errors import (
    BandWarning,
    GridError,
    MissingBandError,
    ModelError,
    OptionError,
    RadiometryWarning,
    ResolutionError,
    ResolutionWarning,
)

FINE = ("B02", "B03", "B04", "B08")
R20M, R60M = ("B05", "B11"), ("B01", "B09")
BANDS = (*FINE, *R20M, *R60M)


def geobox_of(height: int, width: int) -> GeoBox:
    """A grid of 10 m whose corner lies on multiples of 60 m, as that of the sensor's tiles does."""
    return GeoBox((height, width), Affine(10, 0, 600_000, 0, -10, 5_800_320), "EPSG:32633")


def tree_of(height: int, width: int, *lead: int, seed: int = 5) -> xr.DataTree:
    """Bands of three sizes on their own grids; sides are multiples of six."""
    geobox = geobox_of(height, width)
    nodes = {}
    for name, bands, ratio in (("r10m", FINE, 1), ("r20m", R20M, 2), ("r60m", R60M, 6)):
        values = reflectance(*lead, len(bands), height // ratio, width // ratio, seed=seed + ratio)
        nodes[name] = dataset(values, bands, geobox=geobox if ratio == 1 else geobox.zoom_out(ratio))
    return xr.DataTree.from_dict(nodes)


def on_one_grid(tree: xr.DataTree) -> xr.Dataset:
    """The same with all pixels repeated on the 10 m grid."""
    fine = tree["r10m"].to_dataset()
    bands = {name: array.values for name, array in fine.data_vars.items()}
    for node, ratio in (("r20m", 2), ("r60m", 6)):
        for name, band in tree[node].to_dataset().data_vars.items():
            bands[name] = band.values.repeat(ratio, -2).repeat(ratio, -1)
    return fine.assign({name: (fine["B02"].dims, values) for name, values in bands.items()})


def computed(made: xr.Dataset | xr.DataArray) -> xr.DataArray:
    with dask.config.set(scheduler="synchronous"):
        made = made.compute()
    return made.to_dataarray("band") if isinstance(made, xr.Dataset) else made


def fused(cube: xr.DataArray | xr.Dataset | xr.DataTree, model: str = "glp-hpm", **options: object) -> xr.DataArray:
    return computed(cube.sr.fuse(model, device="cpu", **options))


def same(one: xr.DataArray, other: xr.DataArray) -> None:
    """Equal to the last bit: sums run in one order."""
    np.testing.assert_array_equal(one.band, other.band)
    np.testing.assert_array_equal(one.values, other.values)


@settings(deadline=None, max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), top=st.integers(0, 5), left=st.integers(0, 5))
def test_result_depends_neither_on_chunks_nor_on_the_layout(data, top, left):
    tree = tree_of(48, 54)
    tree["r20m/B11"][4:9, 5] = np.nan
    tree["r60m/B01"][3, 2:4] = np.nan
    tree["r10m/B03"][20:24, 11] = np.nan
    crop = {"y": slice(top, 48 - left), "x": slice(left, None)}
    repeated = on_one_grid(tree).isel(crop)
    tree["r10m"] = xr.DataTree(tree["r10m"].to_dataset().isel(crop))
    whole = fused(tree, chunks=1000)
    side = (data.draw(st.integers(13, 40)), data.draw(st.integers(17, 50)))
    cut = data.draw(st.integers(5, 30))

    lazy = xr.DataTree.from_dict({path: node.to_dataset().chunk(x=cut) for path, node in tree.children.items()})

    same(fused(lazy, chunks=side), whole)
    on_one = fused(repeated.chunk(y=cut), chunks=side, layout="native")
    np.testing.assert_array_equal(np.isnan(on_one), np.isnan(whole))
    np.testing.assert_allclose(on_one.sel(band=whole.band), whole, rtol=0, atol=1e-6)


def test_bands_of_all_sizes_come_out_on_the_finer_grid():
    tree = tree_of(24, 30)

    made = tree.sr.fuse("glp-hpm")

    assert list(made) == list(BANDS)
    assert made.odc.geobox == geobox_of(24, 30)
    attrs = made["B01"].attrs
    assert attrs["xr_sr:model"] == "glp-hpm"
    assert "B05, B11: glp-hpm, pixels 2 times wider, guided by B02, B03, B04, B08" in attrs["xr_sr:guided"]
    assert "B01, B09: glp-hpm, pixels 6 times wider" in attrs["xr_sr:guided"]
    for band in FINE:
        np.testing.assert_array_equal(made[band], tree["r10m"][band])


def test_interpolation_is_bicubic_from_each_grid():
    tree = tree_of(24, 30)

    made = fused(tree, "bicubic")

    for band, ratio in (("B11", 2), ("B09", 6)):
        node = tree[f"r{10 * ratio}m"].to_dataset()
        np.testing.assert_allclose(
            made.sel(band=band), node[[band]].sr.upscale("bicubic", scale=ratio)[band], rtol=0, atol=2e-7
        )


@pytest.mark.parametrize("top", [0, 3])
def test_a_crop_equals_the_whole_beyond_the_halo(top):
    tree = tree_of(120, 120)
    halo = kernels.guidance_halo(kernels.Guidance(True, 6, (0.26,), (None,)))
    whole = fused(tree, bands=["B09"])
    tree["r10m"] = xr.DataTree(tree["r10m"].to_dataset().isel(y=slice(top, None), x=slice(top, 117)))

    inner = fused(tree, bands=["B09"]).isel(y=slice(halo + 6, -halo - 6), x=slice(halo + 6, -halo - 6))

    assert inner.size
    same(inner, whole.sel(y=inner.y, x=inner.x))


def test_the_halo_is_what_is_read():
    tree = tree_of(138, 138)
    whole = fused(tree, bands=["B09"])
    tree["r10m/B04"][69, 69] += 0.2

    changed = (fused(tree, bands=["B09"]) != whole).values[0]

    rows = np.flatnonzero(changed.any(axis=1))
    halo = kernels.guidance_halo(kernels.Guidance(True, 6, (0.26,), (None,)))
    assert 69 - halo <= rows.min() < 69 - halo // 2
    assert rows.max() <= 69 + halo


def test_a_bad_pixel_costs_its_own_footprint():
    tree = tree_of(48, 48)
    tree["r20m/B11"][5, 7] = np.nan
    tree["r60m/B01"][2, 3] = np.nan
    tree["r10m/B03"][20, 21] = np.nan

    missing = np.isnan(fused(tree))

    assert missing.sel(band="B11")[10:12, 14:16].all()
    assert missing.sel(band="B01")[12:18, 18:24].all()
    assert missing.sel(band="B03")[20, 21]
    assert missing.sum() == 4 + 36 + 1


def test_dn_dates_and_a_mask():
    tree = tree_of(24, 24, 3)
    dn = xr.DataTree.from_dict(
        {path: (node.to_dataset() * 10_000 + 1000).astype("uint16") for path, node in tree.children.items()}
    )
    exact = xr.DataTree.from_dict(
        {path: ((node.to_dataset() - 1000.0) / 10_000).astype("float32") for path, node in dn.children.items()}
    )
    keep = xr.full_like(tree["r10m/B02"].isel(time=0, drop=True), True, dtype=bool)
    keep[3:5, 6] = False

    made = fused(dn, offset=-1000, mask=keep, chunks={"time": 2})

    wanted = fused(exact).where(keep)
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-6)
    one = fused(xr.DataTree.from_dict({path: node.to_dataset().isel(time=1) for path, node in exact.children.items()}))
    np.testing.assert_array_equal(fused(exact).isel(time=1), one)


def test_a_band_without_a_known_transfer_function_is_left_out_with_a_warning():
    tree = tree_of(24, 24)
    tree["r60m"] = xr.DataTree(tree["r60m"].to_dataset().rename(B09="B10"))

    with pytest.warns(BandWarning, match="B10"):
        made = tree.sr.fuse("glp-hpm")

    assert list(made) == [*FINE, *R20M, "B01"]
    assert list(tree.sr.fuse("glp-hpm", mtf=0.3)) == [*FINE, *R20M, "B01", "B10"]


def test_resampled_bands_are_averaged_with_a_warning():
    tree = tree_of(24, 24)
    one = on_one_grid(tree)
    one["B11"] = one["B11"] + 0.01 * one["B02"]

    with pytest.warns(ResolutionWarning, match="layout='resampled'"):
        made = fused(one, bands=["B11"])

    np.testing.assert_array_equal(fused(one, bands=["B11"], layout="resampled", chunks=7), made)
    with pytest.raises(GridError, match="layout='native'"):
        fused(one, bands=["B11"], layout="native")


# -- beside a network
# -----------------------------------------------------------------------------------------------


def test_60_m_bands_come_beside_those_of_a_network(official):
    tree = tree_of(48, 54)
    wanted = ["B01", "B04", "B09", "B02"]

    made = tree.sr.upscale("sen2sr-lite", bands=wanted, device="cpu", chunks=20)

    assert list(made) == wanted
    assert made.attrs["xr_sr:model"] == made["B04"].attrs["xr_sr:model"] == "sen2sr-lite.rgbn-x4"
    assert made["B04"].attrs["xr_sr:weights_sha256"]
    assert made["B09"].attrs["xr_sr:model"] == "glp-hpm"
    assert "xr_sr:weights_sha256" not in made["B09"].attrs
    assert made["B09"].attrs["xr_sr:constraint"] == "none"
    assert made["B09"].attrs["xr_sr:guided"].startswith("B01, B09: glp-hpm, pixels 6 times wider, guided by")
    assert made["B09"].attrs["xr_sr:guided"].endswith("then bicubic, 4 times")
    values = computed(made)
    network = computed(tree.sr.upscale("sen2sr-lite", bands=["B02", "B04"], device="cpu"))
    np.testing.assert_allclose(values.sel(band=["B02", "B04"]), network, rtol=0, atol=1e-6)
    alone = tree.sr.upscale("sen2sr-lite", bands=["B01", "B09"], device="cpu")
    assert alone["B01"].attrs["xr_sr:model"] == "glp-hpm"
    np.testing.assert_array_equal(computed(alone), values.sel(band=["B01", "B09"]))
    at_10m = fused(tree, bands=["B01", "B09"])
    again = computed(dataset(at_10m.values, R60M, geobox=geobox_of(48, 54)).sr.upscale("bicubic", scale=4))
    np.testing.assert_allclose(
        computed(alone), again, rtol=0, atol=2e-4
    )  # at the edge the fused band is mirrored there
    np.testing.assert_allclose(computed(alone)[:, 8:-8, 8:-8], again[:, 8:-8, 8:-8], rtol=0, atol=1e-6)


def test_arrays_of_several_sizes_give_one_array(official):
    tree = tree_of(24, 24)
    r10m, r60m = (tree[node].to_dataset().to_dataarray("band") for node in ("r10m", "r60m"))

    made = r10m.sr.upscale("sen2sr-lite.rgbn-x4", bands=["B09", "B03"], other=r60m, device="cpu")

    assert made.dims == ("band", "y", "x")
    assert list(made.band.values) == ["B09", "B03"]
    assert made.odc.geobox == geobox_of(24, 24).zoom_to((96, 96))
    np.testing.assert_array_equal(
        computed(made).sel(band="B09"), computed(tree.sr.upscale("sen2sr-lite", bands=["B09"]))[0]
    )


# -- pansharpening
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [2, 4, 5])
def test_one_fine_band_sharpens_the_others(ratio):
    """A panchromatic band of 2.5 m, and colors that are shares of it with slow differences."""
    side = 24 * ratio
    detail = reflectance(side, side, seed=3)
    ramp = np.linspace(0.5, 1.5, side, dtype="float32")
    truth = np.stack([detail * ramp, detail * ramp[:, None]])
    geobox = geobox_of(side, side).zoom_to(resolution=2.5).crop((side, side))
    pan = dataset(detail[None], ["B08"], geobox=geobox)
    cube = array(truth, ["B03", "B04"], geobox=geobox)
    colors = xr_sr.simulate.degrade(cube, like=geobox.zoom_out(ratio), mtf=0.25).to_dataset("band").compute()

    made = fused(pan, to=None, other=colors, guide="B08", mtf=0.25, bands=["B03", "B04"])

    plain = fused(pan, "bicubic", to=None, other=colors, bands=["B03", "B04"])
    inner = (slice(None), slice(3 * ratio, -3 * ratio), slice(3 * ratio, -3 * ratio))
    off, off_plain = (np.sqrt(((one.values - truth)[inner] ** 2).mean()) for one in (made, plain))
    assert off < 0.1 * off_plain
    with pytest.raises(ResolutionError):
        pan.sr.fuse("glp-hpm", other=colors)


# -- what cannot be done
# --------------------------------------------------------------------------------------------


def test_what_cannot_be_done_says_the_way_out():
    tree = tree_of(24, 24)
    r20m = tree["r20m"].to_dataset()
    with pytest.raises(ModelError, match="fuse"):
        tree.sr.upscale("glp-hpm")
    with pytest.raises(ModelError, match="glp-hpm"):
        tree.sr.fuse("nearest")
    with pytest.raises(OptionError, match="guide='B12'"):
        tree.sr.fuse("glp-hpm", guide="B12")
    with pytest.raises(OptionError, match="mtf=2"):
        tree.sr.fuse("glp-hpm", mtf=2.0)
    with pytest.raises(OptionError, match="no option 'steps'"):
        tree.sr.fuse("glp-hpm", steps=2)
    with pytest.raises(OptionError, match="precision="):
        tree.sr.fuse("glp-hpm", constraint="lowpass")
    with pytest.raises(MissingBandError, match="'B12'"):
        tree.sr.fuse("glp-hpm", bands=["B12"])
    with pytest.raises(GridError, match="2 to 6"):
        tree["r10m"].to_dataset().sr.fuse("glp-hpm", other=r20m.isel(x=slice(None, None, 4), y=slice(None, None, 4)))
    with pytest.raises(OptionError, match="to=None"):
        tree.sr.fuse("sen2sr-lite", to=None)


@pytest.mark.parametrize("chunks", [10, 32, 60])
def test_odd_values_of_both_grids_are_counted_once_for_all_chunks(chunks):
    tree = tree_of(60, 60)
    fine, coarse = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()
    fine["B04"][7, 9] = 2.5
    coarse["B11"][4, 5], coarse["B11"][29, 0] = -0.7, 3.0
    tree = xr.DataTree.from_dict({"r10m": fine, "r20m": coarse})

    with pytest.warns(RadiometryWarning, match=r"^Radiometry: 3 values in .*\(-0.7 to 3\)"):
        fused(tree, bands=["B04", "B11"], chunks=chunks)
