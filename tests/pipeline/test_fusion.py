"""Ten bands on two pixel sizes: against the official pipeline, and the promises of the package for both layouts."""

from __future__ import annotations

import re

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from safetensors.torch import load_file, save_file
from torch.nn import functional

import xr_sr
from tests.architectures import Plain
from tests.cubes import array, dataset, geobox_of, reflectance
from xr_sr.catalog import registry
from xr_sr.catalog.models import ModelSpec
from xr_sr.errors import GridError, MissingBandError, ModelError, OptionError, ResolutionWarning
from xr_sr.kernels import fusion
from xr_sr.networks.span import SPAN

pytestmark = pytest.mark.usefixtures("official")

FINE = ("B02", "B03", "B04", "B08")
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


def at_10m(height: int, width: int, seed: int = 3, *lead: int) -> np.ndarray:
    """Ten bands on the 10 m grid, those of 20 m with each pixel repeated."""
    values = reflectance(*lead, 10, height, width, seed=seed)
    for place, band in enumerate(TEN):
        if band in COARSE:
            one = values[..., place, ::2, ::2]
            values[..., place, :, :] = one.repeat(2, -2).repeat(2, -1)[..., :height, :width]
    return values


def tree_of(values: np.ndarray) -> xr.DataTree:
    """The same on two grids; sides are even."""
    fine, coarse = ([TEN.index(band) for band in bands] for bands in (FINE, COARSE))
    geobox = geobox_of(*values.shape[-2:])
    r20m = dataset(values[..., coarse, ::2, ::2], COARSE, geobox=geobox.zoom_out(2))
    return xr.DataTree.from_dict({"r10m": dataset(values[..., fine, :, :], FINE), "r20m": r20m})


def computed(made: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Bands in the sensor's order, whatever the cube."""
    with dask.config.set(scheduler="synchronous"):
        made = made.compute()
    if isinstance(made, xr.Dataset):
        made = made.to_dataarray("band").transpose(..., "band", "y", "x")
    return made.sel(band=[band for band in TEN if band in made.band.values])


TEN_BANDS = pytest.mark.parametrize("model", ["sen2sr-lite", "sen2sr-v1.ten-x4"])
"""The official networks, one after the other, and ours in one pass."""


def lite(cube: xr.DataArray | xr.Dataset | xr.DataTree, model: str = "sen2sr-lite", **options: object) -> xr.DataArray:
    return computed(cube.sr.upscale(model, device="cpu", **options))


def fused(cube: xr.DataArray | xr.Dataset | xr.DataTree, **options: object) -> xr.DataArray:
    return computed(cube.sr.fuse("sen2sr-lite", device="cpu", **options))


def close(one: xr.DataArray, other: xr.DataArray, tolerance: float = 1e-6) -> None:
    """Promise 1: equal within float32's order of summation, NaN in the same places."""
    np.testing.assert_array_equal(one.band, other.band)
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    np.testing.assert_allclose(np.nan_to_num(one), np.nan_to_num(other), rtol=0, atol=tolerance)


# -- against the official pipeline
# ---------------------------------------------------------------------------------------


def by_mask(fine: torch.Tensor, coarse: torch.Tensor, folder, name: str) -> torch.Tensor:
    """What the published code does: clamp, then the mask on the FFT of the whole window."""
    mask = torch.fft.ifftshift(next(iter(load_file(folder / name).values())).reshape(fine.shape[-2:]))
    up = functional.interpolate(coarse, size=fine.shape[-2:], mode="bicubic", antialias=True)
    return torch.fft.ifft2(mask * torch.fft.fft2(up) + (1 - mask) * torch.fft.fft2(fine.clamp(min=0))).real


def network(folder, name: str, *shape: int) -> SPAN:
    made = SPAN(*shape)
    made.load_state_dict(load_file(folder / name), strict=True)
    return made.eval()


@pytest.fixture(scope="module")
def example(shared) -> torch.Tensor:
    """The authors' example, in the order of their code."""
    return load_file(shared / "weights/SEN2SRLite/main/example_data.safetensor")["lr"]


@pytest.fixture(scope="module")
def official_ten(shared, example) -> tuple[np.ndarray, np.ndarray]:
    """One 128-pixel window as the authors' code does it, from its formulas: ten bands at 10 m and at 2.5 m."""
    folder = shared / "weights/SEN2SRLite/main"
    fine, coarse = ([TEN.index(band) for band in bands] for bands in (FINE, COARSE))
    with torch.no_grad():
        samples = example[:, coarse, ::2, ::2]
        up = functional.interpolate(samples, scale_factor=2, mode="bilinear", antialias=True)
        guided = network(folder, "f2_model.safetensor", 10, 6, 24, 1)(torch.cat([up, example[:, fine]], 1))
        middle = by_mask(guided, up, folder, "f2_hard_constraint.safetensor")

        rgbn = example[:, [2, 1, 0, 6]]
        raw = network(folder, "sr_model.safetensor", 4, 4)(rgbn)
        rgbn = by_mask(raw, rgbn, folder, "sr_hard_constraint.safetensor")
        up = functional.interpolate(middle, scale_factor=4, mode="bilinear", antialias=True)
        guided = network(folder, "model.safetensor", 10, 6, 24, 1)(torch.cat([up, rgbn[:, [2, 1, 0, 3]]], 1))
        last = by_mask(guided, middle, folder, "hard_constraint.safetensor")
    at_10m, at_2m5 = example.clone(), torch.empty(1, 10, 512, 512)
    at_10m[:, coarse], at_2m5[:, coarse], at_2m5[:, fine] = middle, last, rgbn[:, [2, 1, 0, 3]]
    return at_10m[0].numpy(), at_2m5[0].numpy()


def test_ten_bands_equal_the_official_ones_inside_a_window(example, official_ten):
    ours = lite(tree_of(example[0].numpy())).values

    assert np.abs(ours - official_ten[1])[:, 80:-80, 80:-80].max() <= 2e-5


@pytest.mark.parametrize("layout", ["two grids", "repeated"])
def test_20_m_to_10_m_equals_the_official_part_inside_a_window(example, official_ten, layout):
    cube = tree_of(example[0].numpy()) if layout == "two grids" else array(example[0].numpy(), TEN)

    ours = fused(cube).values

    assert np.abs(ours - official_ten[0])[:, 16:-16, 16:-16].max() <= 5e-6


# -- same pixel, same result
# ---------------------------------------------------------------------------------------------


@TEN_BANDS
@settings(deadline=None, max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), top=st.integers(0, 1), left=st.integers(0, 1))
def test_result_depends_neither_on_chunks_nor_on_the_layout(model, data, top, left):
    tree = tree_of(at_10m(42, 40))
    crop = {"y": slice(top, None), "x": slice(left, 40 - left)}
    r10m, r20m = tree["r10m"].to_dataset().isel(crop), tree["r20m"].to_dataset()
    repeated = array(at_10m(42, 40), TEN).isel(crop)
    whole = lite(repeated, model, chunks=1000)
    cut = data.draw(st.integers(5, 30))
    side = (data.draw(st.integers(14, 40)), data.draw(st.integers(14, 40)))  # slivers have a test of their own

    close(lite(r10m.chunk(y=cut), model, other=r20m.chunk(x=data.draw(st.integers(3, 20))), chunks=side), whole)
    close(lite(repeated.chunk(band=3, x=cut), model, chunks=side), whole)


@pytest.mark.parametrize("side", [1, (3, 30)])
def test_slivers(side):
    tree = tree_of(at_10m(14, 12))

    close(fused(tree, chunks=side), fused(tree), 4e-6)
    close(lite(tree, "sen2sr-v1.ten-x4", chunks=side), lite(tree, "sen2sr-v1.ten-x4"), 4e-6)


@TEN_BANDS
@pytest.mark.parametrize("top", [0, 1])
def test_a_crop_equals_the_whole_beyond_the_halo(top, model):
    tree = tree_of(at_10m(90, 88))
    whole = lite(tree, model, bands=["B03", "B11"])
    crop = tree["r10m"].to_dataset().isel(y=slice(top, 89), x=slice(top, 87))

    # In the crop the scene is mirrored at other places; 32 pixels further in nothing of it is left.
    inner = lite(crop, model, other=tree["r20m"].to_dataset(), bands=["B03", "B11"]).isel(
        y=slice(132, -132), x=slice(132, -132)
    )

    assert inner.size
    close(inner, whole.sel(y=inner.y, x=inner.x))


def test_the_halo_is_what_the_parts_read():
    values = at_10m(70, 70)
    touched = values.copy()
    touched[[TEN.index(band) for band in FINE], 35, 35] += 0.3

    changed = (lite(tree_of(values)) != lite(tree_of(touched))).values.any(axis=0)

    rows = np.flatnonzero(changed.any(axis=1))
    assert (35 - 32) * 4 <= rows.min() < (35 - 20) * 4
    assert rows.max() < (35 + 1 + 32) * 4


def test_windows_leave_no_trace(monkeypatch):
    tree = tree_of(at_10m(38, 42))
    whole = lite(tree)

    monkeypatch.setattr(fusion, "WINDOW_CPU", 16)
    monkeypatch.setattr(fusion, "PIECE_CPU", 40)

    close(lite(tree), whole)


def test_dates_do_not_see_each_other_and_are_matched():
    values = at_10m(16, 18, 5, 3)
    tree = tree_of(values)
    r10m, r20m = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()

    together = fused(r10m, other=r20m.isel(time=[2, 0, 1]), chunks={"time": 3})

    for n in range(3):
        close(fused(tree_of(values[n])), together.isel(time=n))
    for model in ("sen2sr-lite", "sen2sr-v1.ten-x4"):
        close(lite(tree, model, chunks={"time": 3}).isel(time=1), lite(tree_of(values[1]), model))
    with pytest.raises(GridError, match="2"):
        r10m.sr.fuse("sen2sr-lite", other=r20m.isel(time=[0, 1]))


# -- only the needed work
# ------------------------------------------------------------------------------------------------


@TEN_BANDS
def test_any_bands_in_any_order_are_those_of_all_ten(model):
    tree = tree_of(at_10m(20, 24))
    whole = lite(tree, model)

    for bands in (["B12"], ["B03", "B11"], ["B8A", "B02", "B05"]):
        made = tree.sr.upscale(model, bands=bands)
        assert list(made) == bands
        close(computed(made), whole.sel(band=[band for band in TEN if band in bands]))
    if model == "sen2sr-lite":
        close(lite(tree["r10m"].to_dataset(), bands=FINE[:1]), lite(tree, bands=FINE[:1]))


def untouchable(shape: tuple[int, ...]) -> da.Array:
    def read(block: np.ndarray) -> np.ndarray:
        raise AssertionError("the 20 m bands were read")

    return da.zeros(shape, chunks=-1, dtype="float32").map_blocks(
        read, dtype="float32", meta=np.empty((0,) * len(shape))
    )


def test_10_m_bands_do_not_read_20_m_bands():
    tree = tree_of(at_10m(16, 16))
    r20m = dataset(untouchable((6, 8, 8)), COARSE, geobox=geobox_of(16, 16).zoom_out(2))
    lazy = xr.DataTree.from_dict({"r10m": tree["r10m"].to_dataset(), "r20m": r20m})

    made = lite(lazy, bands=["B04"])

    assert made.shape == (1, 64, 64)
    for model in ("sen2sr-lite.main", "sen2sr-v1.ten-x4"):
        for cube in (lazy, tree["r10m"].to_dataset()):
            alone = computed(cube.sr.upscale(model, bands=["B08", "B04"]))
            close(alone, lite(tree, model).sel(band=["B04", "B08"]))


def test_building_reads_nothing_and_makes_few_tasks():
    r10m = dataset(da.zeros((4, 1024, 1024), chunks=(4, 512, 512), dtype="float32"), FINE)
    r20m = dataset(untouchable((6, 512, 512)), COARSE, geobox=geobox_of(1024, 1024).zoom_out(2))
    made = r10m.sr.upscale("sen2sr-lite", other=r20m)

    (optimised,) = dask.optimize(made)
    ours = [key for key, task in dict(optimised.__dask_graph__()).items() if "sr-sen2sr-lite" in str(key)]

    assert made.sizes == {"y": 4096, "x": 4096}
    assert made["B11"].data.name == r10m.sr.upscale("sen2sr-lite", other=r20m)["B11"].data.name
    assert len(cloudpickle.dumps(dict(made["B11"].data.dask))) < 100_000
    assert len(ours) <= (2 + 10) * 4


# -- NaN and numbers
# -----------------------------------------------------------------------------------------------------


def test_a_bad_pixel_costs_its_own_footprint():
    values = at_10m(40, 40)
    tree = tree_of(values)
    tree["r20m/B11"][5, 7] = np.nan
    tree["r10m/B03"][20, 21] = np.nan
    repeated = values.copy()
    repeated[TEN.index("B11"), 10:12, 14:16] = np.nan
    repeated[TEN.index("B03"), 20, 21] = np.nan

    on_grids, on_one = lite(tree), lite(array(repeated, TEN))

    missing = np.isnan(on_grids)
    assert missing.sel(band="B11")[40:48, 56:64].all() and missing.sel(band="B11").sum() == 64
    assert missing.sel(band="B03")[80:84, 84:88].all() and missing.sel(band="B03").sum() == 16
    assert missing.sum() == 80
    close(on_one, on_grids)


def test_holes_do_not_depend_on_chunks():
    tree = tree_of(at_10m(40, 44))
    tree["r20m/B11"][3:14, 6:12] = np.nan
    tree["r10m/B03"][22:, 30:33] = np.nan

    for model in ("sen2sr-lite", "sen2sr-v1.ten-x4"):
        close(lite(tree, model, chunks=13), lite(tree, model, chunks=100))
    close(fused(tree, chunks=9), fused(tree, chunks=100))


def test_dn_of_both_grids():
    values = at_10m(16, 16)
    dn = (values * 10_000 + 1000).astype("uint16")
    exact = ((dn - 1000.0) / 10_000).astype("float32")

    close(fused(tree_of(dn), offset=-1000), fused(tree_of(exact)))


# -- 20 m bands on the 10 m grid
# -----------------------------------------------------------------------------------------


def resampled(height: int, width: int) -> np.ndarray:
    values = at_10m(height, width)
    places = [TEN.index(band) for band in COARSE]
    values[places] = reflectance(6, height, width, seed=8)
    return values


def test_resampled_bands_are_taken_as_they_stand_with_a_warning():
    values = resampled(24, 26)

    with pytest.warns(ResolutionWarning, match="layout='resampled'"):
        found = fused(array(values, TEN))
    told = fused(array(values, TEN), layout="resampled", chunks=11)

    close(told, found)
    assert told.attrs["xr_sr:layout"] == "resampled"
    with pytest.raises(GridError, match="layout='native'"):
        fused(array(values, TEN), layout="native")


@pytest.mark.filterwarnings("ignore::xr_sr.errors.ResolutionWarning")
def test_a_scene_of_both_kinds_does_not_depend_on_chunks():
    values = resampled(40, 40)
    values[:, :, :20] = at_10m(40, 40)[:, :, :20]

    close(fused(array(values, TEN), chunks=7), fused(array(values, TEN), chunks=100))


def test_repeated_pixels_at_an_odd_place_are_found_or_refused():
    """Where a crop begins in the middle of a 20 m pixel its place says so; if pixels say otherwise, one is wrong."""
    cube = array(at_10m(31, 30), TEN).isel(y=slice(1, None))
    moved = cube.drop_vars(["y", "spatial_ref"]).assign_coords(y=cube.y.values + 10).odc.assign_crs("EPSG:32633")

    assert fused(cube, layout="native").shape == (10, 30, 30)
    with pytest.raises(GridError, match="10 m .*0 m .*snap_geobox"):
        fused(moved)


# -- what goes in comes out
# ----------------------------------------------------------------------------------------------


def test_arrays_of_both_sizes_give_one_array():
    tree = tree_of(at_10m(12, 14))
    r10m = tree["r10m"].to_dataset().to_dataarray("band").assign_coords(band=["blue", "green", "red", "nir"])
    r20m = tree["r20m"].to_dataset().to_dataarray("wavelength").transpose("y", "x", "wavelength")

    made = r10m.sr.fuse("sen2sr-lite", other=r20m, bands=["B12", "red"]).compute()

    assert made.dims == ("band", "y", "x")
    assert list(made.band.values) == ["B12", "red"]
    np.testing.assert_array_equal(made[0], fused(tree).sel(band="B12"))
    assert made.odc.geobox == geobox_of(12, 14)


def test_the_result_says_what_made_it():
    made = tree_of(at_10m(12, 12)).sr.upscale("sen2sr-lite")

    attrs = made["B11"].attrs
    assert list(made) == [*FINE, *COARSE]
    assert made.odc.geobox == geobox_of(12, 12).zoom_to((48, 48))
    assert attrs["xr_sr:model"] == "sen2sr-lite.main"
    assert [part[:8] for part in attrs["xr_sr:weights_sha256"].split()] == ["7bb734f6", "479aa796", "f45c99af"]
    assert attrs["xr_sr:layout"] == "20 m grid"
    assert "sigmoid at 0.0938" in attrs["xr_sr:constraint"]


def test_a_network_of_ones_own_may_read_both_sizes(tmp_path, monkeypatch):
    torch.manual_seed(1)
    save_file(Plain().state_dict(), tmp_path / "two.safetensors")
    record = ModelSpec(
        name="mine.two",
        summary="Two bands of two sizes",
        architecture="tests.architectures:Plain",
        bands=("B04", "B11"),
        bands_out=("B04", "B11"),
        coarse=("B11",),
        scale=2,
        halo=3,
    )
    monkeypatch.setattr(registry, "current", registry.current)
    xr_sr.register_model(record, weights=tmp_path / "two.safetensors")
    values = at_10m(26, 22)

    made = tree_of(values).sr.upscale("mine.two", bands=["B11"], chunks=9)
    on_one = array(values, TEN).sr.upscale("mine.two", layout="native", bands=["B11"])

    assert made.sizes == {"y": 52, "x": 44}
    close(computed(made), computed(on_one))


@pytest.mark.parametrize("name", ["sen2sr-lite", "sen2sr-lite.main"])
def test_weights_by_the_name_of_a_model_are_those_of_each_part(official, name):
    tree = tree_of(at_10m(20, 20))
    plain, named = (
        tree.sr.upscale(name, bands=["B11", "B04"]),
        tree.sr.upscale(name, bands=["B11", "B04"], weights=name),
    )

    assert named.attrs["xr_sr:weights_sha256"] == plain.attrs["xr_sr:weights_sha256"]
    assert (
        tree.sr.fuse("sen2sr-lite", weights="sen2sr-lite").attrs["xr_sr:weights_sha256"]
        in plain.attrs["xr_sr:weights_sha256"]
    )
    close(computed(named), computed(plain))


def test_what_cannot_be_done_says_the_way_out(official):
    tree = tree_of(at_10m(20, 20))
    r10m, r20m = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()
    with pytest.raises(GridError):
        r10m.sr.fuse("sen2sr-lite", other=r20m.isel(y=slice(1, None)))
    with pytest.raises(GridError):
        r10m.sr.fuse("sen2sr-lite", other=dataset(at_10m(20, 20)[:6], COARSE))
    with pytest.raises(GridError):
        r10m.sr.fuse("sen2sr-lite", other=r20m.assign_coords(x=r20m.x + 5))
    with pytest.raises(OptionError, match="other="):
        r10m.sr.upscale("bicubic", other=r20m)
    with pytest.raises(OptionError, match="layout='repeated'"):
        r10m.sr.fuse("sen2sr-lite", other=r20m, layout="repeated")
    with pytest.raises(OptionError, match="to=5"):
        r10m.sr.fuse("sen2sr-lite", other=r20m, to=5)
    with pytest.raises(ModelError, match="B02"):
        tree.sr.fuse("sen2sr-lite", bands=["B02"])
    with pytest.raises(MissingBandError, match="'B12'"):
        r10m.sr.fuse("sen2sr-lite", other=r20m.drop_vars("B12"), bands=["B11"])
    with pytest.raises(GridError, match=r"fine\.sr\.upscale\(other=coarse\)"):
        r20m.sr.upscale(other=r10m)
    with pytest.raises(GridError):
        r10m.sr.fuse("sen2sr-lite", other=r20m.isel(y=slice(None, None, -1)))
    with pytest.raises(ModelError, match=r"cube\.sr\.upscale"):
        tree.sr.fuse("sen2sr-lite.main")
    with pytest.raises(OptionError, match="constraint="):
        tree.sr.fuse("glp-hpm", constraint="bogus")
    with pytest.raises(OptionError, match="weights='sen2sr'"):
        tree.sr.upscale("sen2sr-lite.main", weights="sen2sr")
    with pytest.raises(OptionError, match="model.safetensor"):
        tree.sr.upscale("sen2sr-lite.main", weights=official / "SEN2SRLite/main/model.safetensor")


@pytest.mark.parametrize("way", ["sen2sr-lite", "glp-hpm", "bicubic"])
def test_what_was_sharpened_is_not_sharpened_again(way):
    tree = tree_of(at_10m(24, 24))
    ten = tree.sr.fuse(way).compute()

    for model in ("sen2sr", "sen2sr-lite"):
        if way == "bicubic":
            assert "B11" in ten.sr.upscale(model, layout="resampled")
            continue
        with pytest.raises(ModelError, match="fuse"):
            ten.sr.upscale(model, layout="resampled")
        assert list(ten.sr.upscale(model, bands=["B04"])) == ["B04"]


def test_a_snapped_geobox_cuts_no_coarser_pixel():
    geobox = geobox_of(30, 33)[1:, 1:]

    grown = xr_sr.snap_geobox(geobox)
    of_60m = xr_sr.snap_geobox(geobox, 60)

    assert grown == geobox_of(30, 34)
    assert [edge % 60 for edge in of_60m.boundingbox.bbox] == [0, 0, 0, 0]
    assert of_60m.shape == (36, 36)
    assert xr_sr.snap_geobox(grown) is grown
    with pytest.raises(GridError, match="degrees"):
        xr_sr.snap_geobox(geobox.to_crs("EPSG:4326"))
    with pytest.raises(GridError, match="from_bbox"):
        xr_sr.snap_geobox(geobox.pad(0).zoom_to(resolution=7))


@pytest.mark.parametrize(("pixel", "resolution"), [(7, 20), (15, 20), (25, 20), (10, 25), (10, 20)])
def test_the_advice_of_snap_geobox_makes_a_grid_that_it_takes(pixel, resolution):
    grid = GeoBox.from_bbox((600_003, 5_400_001, 600_903, 5_400_901), "EPSG:32633", resolution=pixel, anchor="floating")

    with pytest.raises(GridError) as caught:
        xr_sr.snap_geobox(grid, resolution)

    advised = float(re.search(r"resolution=([\d.]+), anchor='edge'", str(caught.value))[1])
    anew = GeoBox.from_bbox(grid.boundingbox, grid.crs, resolution=advised, anchor="edge")
    assert xr_sr.snap_geobox(anew, resolution).resolution.x == advised
