"""A network lacks some of its inputs: what it still computes, what guided fusion computes instead, what is refused."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import xr_sr
from tests.architectures import Plain
from tests.cubes import array, dataset, geobox_of, reflectance
from tests.pipeline.test_fusion import COARSE, FINE, TEN, at_10m, close, computed, tree_of
from xr_sr.catalog import registry
from xr_sr.catalog.models import ModelSpec
from xr_sr.errors import BandWarning, MissingBandError, ModelError, OptionError, StoreError

pytestmark = pytest.mark.filterwarnings("ignore:.* without the network:xr_sr.errors.BandWarning")

LAYOUTS = ("tree", "other", "one grid")


def scene_with(held: tuple[str, ...], layout: str = "tree", fine: tuple[str, ...] = FINE, *lead: int, side: int = 24):
    """A scene of some bands in one of three layouts, as (cube, options of upscale)."""
    values = at_10m(side, side, 3, *lead)
    if layout == "one grid":
        wanted = [band for band in TEN if band in (*fine, *held)]
        return dataset(values[..., [TEN.index(band) for band in wanted], :, :], wanted), {}
    tree = tree_of(values)
    r10m, r20m = tree["r10m"].to_dataset()[list(fine)], tree["r20m"].to_dataset()[list(held)]
    if layout == "other":
        return r10m, {"other": r20m}
    return xr.DataTree.from_dict({"r10m": r10m, "r20m": r20m}), {}


def upscaled(held: tuple[str, ...], layout: str = "tree", **options: object) -> xr.Dataset:
    cube, more = scene_with(held, layout)
    with pytest.warns(BandWarning, match="xr_sr:guided"):
        return cube.sr.upscale("sen2sr-v1", **more, **options)


@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=st.sets(st.sampled_from(COARSE), min_size=1, max_size=5), layout=st.sampled_from(LAYOUTS))
def test_all_bands_come_out_of_any_subset_in_any_layout(held, layout):
    held = tuple(band for band in COARSE if band in held)
    cube, more = scene_with(held, layout)
    missing = [band for band in COARSE if band not in held]

    with pytest.warns(BandWarning, match=re.escape(f"{list(held)}")) as told:
        made = cube.sr.upscale("sen2sr-v1", **more)

    assert set(made) == {*FINE, *held}
    assert made.sizes["y"] == 96
    (words,) = {str(warning.message) for warning in told if issubclass(warning.category, BandWarning)}
    assert f"{missing} are missing" in words
    attrs = made[held[0]].attrs
    assert attrs["xr_sr:model"] == "glp-hpm" and "xr_sr:weights_sha256" not in attrs
    assert made["B04"].attrs["xr_sr:model"] == "sen2sr-v1.rgbn-x4" and "xr_sr:weights_sha256" in made["B04"].attrs
    assert attrs["xr_sr:guided"].startswith(", ".join(held) + ": glp-hpm, pixels 2 times wider, guided by B02")
    assert attrs["xr_sr:guided"].endswith("then bicubic, 4 times")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_are_those_of_the_network_and_of_fusion_then_interpolation(layout):
    held = ("B05", "B11", "B12")
    cube, more = scene_with(held, layout)

    made = upscaled(held, layout)

    close(computed(made[list(FINE)]), computed(cube.sr.upscale("sen2sr-v1", bands=FINE)))
    at_10m = computed(cube.sr.fuse(bands=held, **more))
    again = computed(dataset(at_10m.values, held, geobox=geobox_of(24, 24)).sr.upscale("bicubic", scale=4))
    inner = {"y": slice(8, -8), "x": slice(8, -8)}  # at the edge of the scene the fused band is mirrored there
    np.testing.assert_allclose(computed(made[list(held)]).isel(inner), again.isel(inner), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_band_of_20_m_is_enough_for_an_index(layout):
    made = upscaled(("B11",), layout, bands=["B11", "B03"])

    assert list(made) == ["B11", "B03"]
    index = made.sr.index("MNDWI").compute()
    values = made.compute()
    both = values.B03 + values.B11
    wanted = ((values.B03 - values.B11) / both).clip(-1, 1).where(both > 0)
    np.testing.assert_allclose(index, wanted, rtol=0, atol=1e-6)
    assert "B11: glp-hpm" in index.attrs["xr_sr:guided"]
    alone = upscaled(("B11",), layout, bands=["swir16"])
    assert alone["B11"].attrs["xr_sr:model"] == "glp-hpm"
    np.testing.assert_array_equal(alone["B11"].compute(), values["B11"])


def test_an_array_on_one_grid_keeps_its_form():
    bands = [band for band in TEN if band != "B8A"]
    cube = array(at_10m(24, 24, 3, 2)[:, [TEN.index(band) for band in bands]], bands)

    with pytest.warns(BandWarning, match=r"\['B8A'\]"):
        made = cube.sr.upscale("sen2sr-v1")

    assert made.dims == cube.dims
    assert list(made.band.values) == bands
    one = cube.isel(time=1).sr.upscale("sen2sr-v1", bands=["B12", "B02"])
    close(computed(made).isel(time=1).sel(band=["B02", "B12"]), computed(one))


@pytest.mark.parametrize(("layout", "side", "cut"), [("tree", 13, 7), ("other", 8, 5), ("one grid", 9, 11)])
def test_neither_chunks_nor_holes_of_others_change_a_band(layout, side, cut):
    cube, more = scene_with(("B11", "B12"), layout)
    cube, more = cube.copy(deep=True), {name: other.copy(deep=True) for name, other in more.items()}
    where = cube["r20m"] if layout == "tree" else more.get("other", cube)
    (where["B11"][4:6, 6:8] if layout == "one grid" else where["B11"][2:3, 3:4])[...] = np.nan
    (cube["r10m/B03"] if layout == "tree" else cube["B03"])[15, 16] = np.nan
    whole = computed(cube.sr.upscale("sen2sr-v1", **more, chunks=100))
    if layout == "tree":
        lazy = xr.DataTree.from_dict({path: node.to_dataset().chunk(y=cut) for path, node in cube.children.items()})
    else:
        lazy = cube.chunk(x=cut)

    cut_up = computed(lazy.sr.upscale("sen2sr-v1", **more, chunks=side))

    close(cut_up, whole)
    missing = np.isnan(whole)
    assert missing.sel(band="B11")[16:24, 24:32].all()
    assert missing.sel(band="B03")[60:64, 64:68].all()
    assert missing.sum() == 64 + 16


def test_numbers_of_both_grids_are_read_as_their_own_metadata_says():
    cube, _ = scene_with(("B11",))
    dn = {path: (node.to_dataset() * 10_000 + 1000).round() for path, node in cube.children.items()}
    exact = xr.DataTree.from_dict({path: ((node - 1000) / 10_000).astype("float32") for path, node in dn.items()})
    fine = dn["r10m"].astype("uint16").assign_coords(boa_add_offset=-1000)
    wide = (dn["r20m"] - 1000).astype("uint16").assign_coords(boa_add_offset=0)
    mixed = xr.DataTree.from_dict({"r10m": fine, "r20m": wide})

    made = mixed.sr.upscale("sen2sr-v1")

    np.testing.assert_allclose(computed(made), computed(exact.sr.upscale("sen2sr-v1")), rtol=0, atol=2e-6)
    assert "; B11: " in made["B11"].attrs["xr_sr:radiometry"]


def test_a_store_says_so_and_refuses_what_the_network_made(tmp_path):
    first, _ = scene_with(("B11", "B12"), "tree", FINE, 2)
    whole, _ = scene_with(COARSE, "tree", FINE, 2)
    made = first.sr.upscale("sen2sr-v1", bands=["B03", "B11"])

    made.isel(time=[0]).sr.to_zarr(tmp_path / "sr.zarr")
    made.sr.to_zarr(tmp_path / "sr.zarr")

    read = xr_sr.open_zarr(tmp_path / "sr.zarr")
    close(computed(read), computed(made), 6e-5)
    assert read["B11"].attrs["xr_sr:guided"] == made["B11"].attrs["xr_sr:guided"]
    with pytest.raises(StoreError, match="xr_sr:guided"):
        whole.sr.upscale("sen2sr-v1", bands=["B03", "B11"]).sr.to_zarr(tmp_path / "sr.zarr")


def test_a_complete_scene_is_left_to_the_network():
    for layout in LAYOUTS:
        cube, more = scene_with(COARSE, layout)
        with warnings.catch_warnings():
            warnings.simplefilter("error", BandWarning)
            made = cube.sr.upscale("sen2sr-v1", **more, bands=["B03", "B11"])
        assert made["B11"].attrs["xr_sr:model"] == "sen2sr-v1.ten-x4"
        assert "xr_sr:guided" not in made["B11"].attrs


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_its_10_m_bands_the_network_is_not_replaced(layout):
    cube, more = scene_with(("B11",), layout, ("B03",))

    for bands in (None, ["B03", "B11"]):
        with warnings.catch_warnings():
            warnings.simplefilter("error", BandWarning)  # nothing is said to be computed that is then refused
            with pytest.raises(MissingBandError, match=r"'B02', 'B04', 'B08'\]") as told:
                cube.sr.upscale("sen2sr-v1", **more, bands=bands)
        assert "bands=['B11'] need none of them" in str(told.value)
    with pytest.warns(BandWarning, match=r"\['B03'\]"):
        assert list(cube.sr.upscale("sen2sr-v1", **more, bands=["B11"])) == ["B11"]
    assert set(cube.sr.fuse(**more)) == {"B03", "B11"}


def test_without_any_10_m_band_nothing_can_guide():
    wide = tree_of(at_10m(24, 24))["r20m"].to_dataset()

    for bands in (None, ["B11"]):
        with pytest.raises(MissingBandError, match="'B02', 'B03', 'B04', 'B08'"):
            wide.sr.upscale("sen2sr-v1", bands=bands, allow_gsd=True)


def test_options_of_a_network_have_no_meaning_for_guided_fusion_alone():
    cube, _ = scene_with(("B11",))

    with pytest.raises(OptionError, match=r"B11.*precision="):
        cube.sr.upscale("sen2sr-v1", bands=["B11"], precision="bfloat16")
    assert cube.sr.upscale("sen2sr-v1", precision="bfloat16")["B04"].attrs["xr_sr:precision"] == "bfloat16"


@pytest.mark.parametrize("bands", [["B11"], ["B03", "B11"], None])
def test_what_was_fused_is_not_fused_again(bands):
    cube, _ = scene_with(("B11",))
    ten = cube.sr.fuse().compute()

    with pytest.raises(ModelError, match="fuse"):
        ten.sr.upscale("sen2sr-v1", bands=bands)
    with pytest.raises(ModelError, match="fuse"):
        ten.sr.fuse()


def test_fuse_needs_no_weights_and_does_not_look_for_any(official):
    """Official weights are at hand here: what comes out does not depend on that."""
    made = tree_of(at_10m(24, 24)).sr.fuse()

    assert made["B11"].attrs["xr_sr:model"] == "glp-hpm"
    assert list(made) == [*FINE, *COARSE]


def test_a_network_of_ones_own_falls_back_to_its_own_scale(tmp_path, monkeypatch):
    save_file(Plain().state_dict(), tmp_path / "two.safetensors")
    record = ModelSpec(
        name="mine.two",
        summary="Three bands of two sizes",
        architecture="tests.architectures:Plain",
        bands=("B04", "B11"),
        bands_out=("B04", "B11"),
        coarse=("B11",),
        scale=2,
        halo=3,
        fine_alone=False,
    )
    monkeypatch.setattr(registry, "current", registry.current)
    xr_sr.register_model(record, weights=tmp_path / "two.safetensors")
    cube, _ = scene_with(("B11",), "tree", ("B08",))

    made = cube.sr.upscale("mine.two", bands=["B11"])

    assert made.sizes == {"y": 48, "x": 48}
    assert made["B11"].attrs["xr_sr:guided"].endswith("then bicubic, 2 times")


def test_fuse_warns_where_nothing_is_to_be_sharpened():
    cube = array(reflectance(4, 16, 16))

    with pytest.warns(BandWarning, match=r"fuse.*B04.*other="):
        cube.sr.fuse()
    with warnings.catch_warnings():
        warnings.simplefilter("error", BandWarning)
        cube.sr.fuse(bands=["B04"])
