"""Latent diffusion on cubes: one result however a scene is cut, agreement with the input, members, clear refusals."""

from __future__ import annotations

import json
from collections import Counter

import dask
import numpy as np
import pytest
import torch
import xarray as xr

import xr_sr
from tests.cubes import array, dataset, reflectance
from tests.latents import OVERLAP, WINDOW, register_small, saved, small_state
from xr_sr.catalog import registry
from xr_sr.errors import OptionError, WeightsError, WeightsFormatError, WeightsNotFoundError
from xr_sr.networks.kl_autoencoder import KLAutoencoder
from xr_sr.pipeline import samples


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """Models that a test registers are gone after it."""
    monkeypatch.setattr(registry, "current", registry.current)
    register_small()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("weights"))


def upscaled(cube, weights, model="small", **options):
    return cube.sr.upscale(model, weights=weights, device="cpu", **options)


def block_means(fine: xr.DataArray) -> np.ndarray:
    return fine.coarsen(y=4, x=4).mean().values


# -- the same pixel, the same result


@pytest.fixture(scope="module")
def scene():
    return array(reflectance(4, 44, 37))


@pytest.fixture(scope="module")
def whole(scene, weights):
    registered = registry.current
    register_small()
    found = upscaled(scene, weights).compute()
    registry.current = registered
    return found


@pytest.mark.parametrize("chunks", [{"y": 13, "x": 37}, {"y": 44, "x": 5}])
def test_result_does_not_depend_on_chunks(scene, whole, weights, chunks):
    found = upscaled(scene.chunk(chunks), weights, chunks=17)

    np.testing.assert_allclose(found.values, whole.values, rtol=0, atol=1e-5)


def test_crop_has_the_same_values_where_windows_lie_inside_of_both(scene, whole, weights):
    found = upscaled(scene[:, 5:, 3:], weights)

    edge = 4 * WINDOW  # windows that touch where the crop was cut are mirrored there
    inside = found.values[:, edge:, edge:]
    assert inside.shape == (4, 4 * 23, 4 * 18)
    np.testing.assert_allclose(inside, whole.values[:, 4 * 5 + edge :, 4 * 3 + edge :], rtol=0, atol=1e-5)


def test_two_processes_give_the_same_values(scene, whole, weights):
    with dask.config.set(scheduler="processes", num_workers=2):
        found = upscaled(scene, weights, chunks=24).compute()

    np.testing.assert_allclose(found.values, whole.values, rtol=0, atol=1e-5)


def test_noise_belongs_to_seed_and_place(scene, whole, weights):
    other = upscaled(scene, weights, seed=1).compute()
    moved = scene.assign_coords(x=scene.x + 10)

    assert float(np.abs(other - whole).mean()) > 1e-3
    assert float(np.abs(upscaled(moved, weights).compute().values - whole.values).mean()) > 1e-3


def test_there_is_no_seam_where_windows_end(weights):
    """Steps between neighboring pixels are as large at the edges of windows as inside of them."""
    fine = upscaled(array(reflectance(4, 8, 12 * 30)), weights, constraint="none").compute()
    steps = np.abs(fine.diff("x")).mean(["band", "y"]).values
    step = WINDOW - OVERLAP
    first = xr_sr.cube.grid.place_of(xr_sr.cube.select.recognize(array(reflectance(4, 8, 360))).grid)[1] % step
    edges = {(place * step - first) * 4 - 1 + more for place in range(1, 30) for more in (0, 4 * OVERLAP)}
    at = np.array([place in edges for place in range(steps.size)])

    assert at.sum() > 50
    assert steps[at].mean() < 1.1 * steps[~at].mean()


# -- what is returned


@pytest.mark.parametrize("size", [(20, 33), (7, 50), (16, 16)])
def test_any_size_agrees_with_the_input(weights, size):
    cube = array(reflectance(4, *size))

    fine = upscaled(cube, weights).compute()

    assert fine.shape == (4, 4 * size[0], 4 * size[1])
    np.testing.assert_allclose(block_means(fine), cube.values, rtol=0, atol=1e-6)


def test_what_is_missing_stays_missing_and_spreads_no_further(weights):
    values = reflectance(4, 40, 40)
    values[1, 5, 6] = np.nan
    values[:, 24:, 24:] = np.nan
    cube = array(values)

    fine = upscaled(cube, weights, chunks=13).compute()

    missing = np.isnan(values).repeat(4, -2).repeat(4, -1)
    np.testing.assert_array_equal(np.isnan(fine.values), missing)
    np.testing.assert_allclose(block_means(fine)[~np.isnan(values)], values[~np.isnan(values)], rtol=0, atol=1e-6)


def test_digital_numbers_with_nodata_and_bands_of_any_order(weights):
    values = (reflectance(4, 20, 18) * 10_000).astype("uint16")
    values[:, 3, 4] = 0
    cube = dataset(values, ("B08", "B02", "B03", "B04"))

    fine = upscaled(cube, weights, bands=["B02", "B08"], offset=0).compute()

    assert list(fine.data_vars) == ["B02", "B08"]
    assert int(np.isnan(fine["B02"]).sum()) == 16
    np.testing.assert_allclose(block_means(fine["B08"])[5:], values[0, 5:] / 10_000, rtol=0, atol=1e-6)


def test_dates_are_drawn_alone_as_in_a_series(weights):
    cube = array(reflectance(2, 4, 18, 17))

    series, alone = (upscaled(each, weights).compute() for each in (cube, cube.isel(time=1)))

    np.testing.assert_allclose(series.isel(time=1).values, alone.values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("constraint", ["none", "lowpass", "measured"])
def test_other_constraints_take_the_place_of_block_means(scene, whole, weights, constraint):
    other = upscaled(scene, weights, constraint=constraint).compute()
    again = upscaled(scene, weights, constraint=constraint, chunks=19).compute()

    np.testing.assert_allclose(again.values, other.values, rtol=0, atol=1e-5)
    assert float(np.abs(other - whole).max()) > 1e-4
    assert ("block means" in other.attrs["xr_sr:constraint"]) == (constraint == "measured")


def test_options_are_recorded(scene, weights):
    fine = upscaled(scene, weights, sampler="ddim", steps=2, eta=1, seed=3)

    assert json.loads(fine.attrs["xr_sr:options"]) == {
        "sampler": "ddim", "steps": 2, "eta": 1.0, "temperature": 1.0, "seed": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 1001}, "1000"),
        ({"steps": 2.5}, "steps"),
        ({"sampler": "euler"}, "dpm-solver"),
        ({"eta": 0.5}, "ddim"),
        ({"sampler": "ddim", "eta": 2}, "eta"),
        ({"sampler": "ddpm", "eta": 0.5}, "eta"),
        ({"sampler": "ddpm", "temperature": -1}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"strength": 1}, "strength"),
        ({"scale": 2}, "scale"),
    ],
)
def test_options_are_checked_against_those_of_the_model(scene, weights, options, named):
    with pytest.raises(OptionError, match=named):
        upscaled(scene, weights, **options)


@pytest.mark.parametrize("options", [{"sampler": "ddpm", "steps": 3}, {"sampler": "ddim", "steps": 2, "eta": 0.5}])
def test_other_samplers_agree_with_the_input_too(weights, options):
    cube = array(reflectance(4, 12, 12))

    np.testing.assert_allclose(block_means(upscaled(cube, weights, **options).compute()), cube.values, atol=1e-6)


# -- the distribution of the input


def test_first_edition_has_the_distribution_of_the_cube(weights, tmp_path):
    values = reflectance(2, 4, 40, 40)
    values[0, :, :9, :9] = np.nan
    cube = array(values)

    fine = upscaled(cube, weights, "small.v1", steps=2).compute()
    cut = upscaled(cube.chunk(y=11), weights, "small.v1", steps=2, chunks=20).compute()

    np.testing.assert_allclose(cut.values, fine.values, rtol=0, atol=1e-5)
    shares = [0.05, 0.2, 0.5, 0.8, 0.95]
    for date in range(2):
        for band in range(4):
            found, expected = (np.nanquantile(each[date, band], shares) for each in (fine.values, values))
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


def test_distribution_is_counted_once_for_a_store_and_is_the_same(weights, tmp_path, monkeypatch):
    cube = array(reflectance(1, 4, 40, 40))
    counted: Counter[str] = Counter()
    original = samples.sample_window

    def counting(source, tile, recipe):
        counted[str(tile)] += 1
        return original(source, tile, recipe)

    monkeypatch.setattr("xr_sr.pipeline.steps.sample_window", counting)
    fine = upscaled(cube, weights, "small.v1", steps=1, chunks=20)
    with dask.config.set(scheduler="synchronous"):
        fine.sr.to_zarr(tmp_path / "fine.zarr", progress=False)
    stored = xr_sr.open_zarr(tmp_path / "fine.zarr")

    assert max(counted.values()) == 2  # for the counts, and for the pixels
    np.testing.assert_allclose(stored.values, fine.compute().values, rtol=0, atol=1e-4)


# -- windows that run again


@pytest.mark.parametrize("graph_blocks", [4, 512])
def test_a_store_runs_few_windows_twice(weights, tmp_path, monkeypatch, graph_blocks):
    """With fewer blocks per graph than a store has regions, windows between them run once for each."""
    monkeypatch.setattr("xr_sr.io.zarr.blocks._GRAPH_BLOCKS", graph_blocks)
    cube = array(reflectance(4, 256, 256))
    counted: Counter[str] = Counter()

    def counting(source, tile, recipe):
        counted[str(tile)] += 1
        return np.full((recipe.kernel.samples.count * 4, tile.height * 4, tile.width * 4), 0.2, "float32")

    monkeypatch.setattr("xr_sr.pipeline.steps.sample_window", counting)
    with dask.config.set(scheduler="synchronous"):
        upscaled(cube, weights).sr.to_zarr(tmp_path / "fine.zarr", progress=False)

    assert counted.total() <= 1.3 * len(counted)


# -- members


def test_members_agree_with_the_input_and_are_summed_up(scene, whole, weights):
    found = scene.sr.ensemble(4, "small", weights=weights, device="cpu", members=True, level=0.9).compute()

    members = found["members"]
    assert members.sizes["member"] == 4
    np.testing.assert_allclose(members[0].values, whole.values, rtol=0, atol=1e-5)
    for member in members:
        np.testing.assert_allclose(block_means(member), scene.values, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["estimate"].values, members.mean("member").values, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["std"].values, members.std("member", ddof=1).values, rtol=0, atol=1e-5)
    assert float(found["std"].mean()) > 1e-3
    assert (found["lower"] <= found["estimate"]).all() and found.attrs["xr_sr:members"] == 4


def test_members_do_not_depend_on_chunks_or_on_being_kept(scene, weights):
    options = {"weights": weights, "device": "cpu", "seed": 5}

    one = scene.sr.ensemble(2, "small", members=True, **options).compute()
    other = scene.chunk(y=9).sr.ensemble(2, "small", chunks=21, **options).compute()

    for name in ("estimate", "std", "lower", "upper"):
        np.testing.assert_allclose(other[name].values, one[name].values, rtol=0, atol=1e-5)


def test_condition_is_encoded_once_for_all_members(weights, monkeypatch):
    calls: Counter[str] = Counter()
    for name in ("encode", "decode"):
        original = getattr(KLAutoencoder, name)

        def counted(self, x, original=original, name=name):
            calls[name] += len(x)
            return original(self, x)

        monkeypatch.setattr(KLAutoencoder, name, counted)
    cube = array(reflectance(4, 12, 12))
    with dask.config.set(scheduler="synchronous"):
        cube.sr.ensemble(3, "small", weights=weights, device="cpu").compute()

    assert calls["decode"] == 3 * calls["encode"]


def test_ensembles_that_have_no_meaning_are_refused(scene, weights):
    with pytest.raises(OptionError, match="histogram|distribution"):
        scene.sr.ensemble(2, "small.v1", weights=weights)
    with pytest.raises(OptionError, match="calibration"):
        scene.sr.ensemble(2, "small", weights=weights, calibration="file.json")
    with pytest.raises(OptionError, match="small"):
        scene.sr.interval(model="small", weights=weights)


# -- checkpoints


def checkpoint(path, state=None, **more):
    torch.save({"state_dict": dict(small_state() if state is None else state), "epoch": 3, **more}, path)
    return str(path)


def test_checkpoints_of_training_are_read_with_averages_left_out(scene, whole, tmp_path):
    state = {**small_state(), "model_ema.decay": torch.ones(()), "first_stage_model.loss.logvar": torch.ones(())}
    config = {
        "opensr_inference_config": {"denoiser_settings": {"parameterization": "eps"}, "encode_conditioning": True}
    }

    found = upscaled(scene, checkpoint(tmp_path / "small.ckpt", state, metadata=config)).compute()

    np.testing.assert_array_equal(found.values, whole.values)


class Trainer:
    """What a pickle holds beside tensors."""


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"metadata": {"opensr_inference_config": {"apply_normalization": True}}}, ["apply_normalization", "metadata"]),
        (
            {"metadata": {"opensr_inference_config": {"denoiser_settings": {"parameterization": "v"}}}},
            ["parameterization='v'", "eps"],
        ),
        ({"callbacks": Trainer()}, ["Trainer", "state_dict"]),
    ],
)
def test_checkpoints_for_something_else_are_refused(scene, tmp_path, fault, named):
    with pytest.raises(WeightsFormatError) as caught:
        upscaled(scene, checkpoint(tmp_path / "odd.ckpt", **fault))

    assert [text for text in named if text not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"alphas_cumprod": torch.linspace(0.1, 0.9, 1000)}, "alphas_cumprod"),
        ({"alphas_cumprod": torch.full((1000,), torch.nan)}, "alphas_cumprod"),
        ({"model.diffusion_model.out.2.bias": torch.full((4,), torch.nan)}, "out.2.bias"),
        ({"unknown": torch.zeros(2)}, "unknown"),
    ],
)
def test_damaged_tensors_are_named(scene, tmp_path, changes, named):
    with pytest.raises(WeightsFormatError, match=named):
        upscaled(scene, saved(tmp_path, changes))


def test_weights_of_another_network_and_no_file_are_refused(scene, tmp_path):
    (tmp_path / "cut.ckpt").write_bytes(b"not a checkpoint")
    torch.save(KLAutoencoder(4, 32, "1-1-1", 1).state_dict(), tmp_path / "part.pt")
    torch.save({key: value for key, value in small_state().items() if "decoder.mid" not in key}, tmp_path / "less.pt")

    for name, text in (("cut.ckpt", "cut.ckpt"), ("part.pt", "KLAutoencoder"), ("less.pt", "decoder.mid")):
        with pytest.raises(WeightsFormatError, match=text):
            upscaled(scene, str(tmp_path / name))
    with pytest.raises(WeightsNotFoundError, match="simon-donike"):
        scene.sr.upscale("ldsr-s2")


def test_a_file_with_the_official_name_and_another_hash_is_refused(scene, tmp_path, monkeypatch):
    (tmp_path / "opensr-ldsrs2_v1_0_0.ckpt").write_bytes(b"1234")
    monkeypatch.setenv("XR_SR_WEIGHTS", str(tmp_path))

    with pytest.raises(WeightsError, match=r"e2621e39\.\.\.c27dc3a"):
        scene.sr.upscale("ldsr-s2")


def test_plan_without_weights_says_what_would_run(scene):
    text = repr(scene.sr.explain("ldsr-s2"))

    assert "windows of 128 pixels" in text and "opensr-ldsrs2_v1_0_0.ckpt" in text and "back-projection" in text


def test_a_file_stands_for_the_model(scene, weights, monkeypatch):
    monkeypatch.setattr(registry, "current", registry.current)
    text = repr(scene.sr.explain(weights))

    assert "recognized as LatentDiffusion" in text and "windows of 128 pixels" in text and "back-projection" in text
