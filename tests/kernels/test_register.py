"""A network of the user's own as a model: what its record says is held, and what it says wrongly is found."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

import xr_sr
from tests import architectures
from tests.cubes import array, dataset, geobox_of, reflectance
from xr_sr import ModelSpec, Normalization
from xr_sr.catalog import registry
from xr_sr.errors import (
    ModelError,
    OptionError,
    StoreMismatchError,
    StoreWarning,
    WeightsFormatError,
    WeightsHashError,
    WeightsNotFoundError,
)
from xr_sr.networks.lean import LeanSPAN
from xr_sr.networks.lean_fusion import LeanFusion
from xr_sr.spec import LowPass

MINE = ModelSpec(
    name="mine",
    summary="Three convolutions",
    architecture="tests.architectures:Plain",
    bands=("B08", "B04"),
    scale=2,
    halo=3,
    config=(("depth", 3),),
)


@pytest.fixture(autouse=True)
def _own_catalogue(monkeypatch):
    """Models that a test registers are gone after it."""
    monkeypatch.setattr(registry, "current", registry.current)


@pytest.fixture
def weights(tmp_path) -> Path:
    return weights_of(MINE, tmp_path / "mine.safetensors")


def network_of(spec: ModelSpec) -> torch.nn.Module:
    torch.manual_seed(4)
    return getattr(architectures, spec.architecture.split(":")[1])(**dict(spec.config)).eval()


def weights_of(spec: ModelSpec, path: Path) -> Path:
    save_file(network_of(spec).state_dict(), path)
    return path


def direct(spec: ModelSpec, image: np.ndarray) -> np.ndarray:
    """Run the network on the whole image, mirrored by its halo, with nothing of this package."""
    wide = np.pad(image, [(0, 0), (spec.halo,) * 2, (spec.halo,) * 2], mode="symmetric")
    norm = [np.reshape(np.broadcast_to(value, len(image)), (-1, 1, 1)) for value in vars(spec.normalization).values()]
    with torch.no_grad():
        fine = network_of(spec)(torch.from_numpy(((wide - norm[0]) / norm[1]).astype("float32"))[None])[0].numpy()
    cut = spec.halo * spec.scale
    return fine[:, cut:-cut, cut:-cut] * norm[0] * 0 + fine[:, cut:-cut, cut:-cut] * norm[1] + norm[0]


def upscaled(cube: xr.DataArray | xr.Dataset, **options: object) -> xr.DataArray:
    with dask.config.set(scheduler="threads", num_workers=2):
        return cube.sr.upscale(device="cpu", **options).compute()


# -- a model like any other


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_registered_network_is_a_model_of_the_accessor(scale, tmp_path):
    spec = replace(MINE, scale=scale, config=(("depth", 3), ("scale", scale)))
    xr_sr.register_model(spec, weights=weights_of(spec, tmp_path / "a.safetensors"))
    values = reflectance(3, 40, 33)
    cube = array(values, ("B04", "B03", "B08")).chunk(y=11, x=17)

    out = upscaled(cube, model="mine", bands=["B04", "B08"])

    assert out.odc.geobox == cube.odc.geobox.zoom_to((40 * scale, 33 * scale))
    assert list(out.band.values) == ["B04", "B08"]
    np.testing.assert_allclose(out.values[::-1], direct(spec, values[[2, 0]]), rtol=0, atol=2e-6)


def test_the_table_and_the_output_say_what_it_is(weights, tmp_path):
    xr_sr.register_model(replace(MINE, license="MIT", gsd_m=None), weights=weights)
    row = xr_sr.list_models(bands=["B08"]).set_index("name").loc["mine"]
    out = upscaled(array(reflectance(2, 20, 20), ("B04", "B08")), model="mine")

    assert (row["halo"], row["scale"], row["where"], row["license"], row["bands"]) == (3, 2, "file", "MIT", "B08 B04")
    assert out.attrs["xr_sr:model"] == "mine"
    assert out.attrs["xr_sr:weights_sha256"] == registry.get("mine").weights.sha256
    weights.rename(tmp_path / "gone")
    assert xr_sr.list_models().set_index("name").loc["mine", "where"] == "missing"


@pytest.mark.parametrize("chunks", [5, 16, {"y": 40, "x": 3}])
def test_its_values_do_not_depend_on_chunks(weights, chunks):
    xr_sr.register_model(MINE, weights=weights)
    cube = dataset(reflectance(2, 2, 40, 40), ("B04", "B08"))
    cube["B04"][0, 11:13, 20] = np.nan

    whole = upscaled(cube, model="mine", chunks=64)
    cut = upscaled(cube.chunk(time=1, y=9, x=13), model="mine", chunks=chunks)

    for band in ("B04", "B08"):
        np.testing.assert_allclose(cut[band], whole[band], rtol=0, atol=4e-6)
    assert int(np.isnan(whole["B04"]).sum()) == 2 * 4 and not np.isnan(whole["B08"]).any()


def test_each_band_has_its_own_normalisation(tmp_path):
    norm = Normalization(shift=(0.1, 0.3), scale=(0.05, 0.2))
    spec = replace(MINE, normalization=norm)
    xr_sr.register_model(spec, weights=weights_of(spec, tmp_path / "a.safetensors"))
    values = reflectance(2, 30, 30)

    out = upscaled(array(values, ("B08", "B04")), model="mine")

    np.testing.assert_allclose(out.values, direct(spec, values), rtol=0, atol=2e-6)


def test_fewer_bands_may_come_out_in_another_order_each_turned_back_its_own_way(tmp_path):
    norm = Normalization(shift=(0.1, 0.3, 0.5), scale=(0.05, 0.2, 0.4))
    spec = replace(
        MINE,
        bands=("B02", "B03", "B04"),
        bands_out=("B04", "B02"),
        normalization=norm,
        config=(("bands", 3), ("bands_out", 2)),
        low_pass=LowPass(1.2, 4),
        halo=5,
    )
    xr_sr.register_model(spec, weights=weights_of(spec, tmp_path / "a.safetensors"))
    values = reflectance(3, 30, 30)
    cube = array(values, ("B02", "B03", "B04"))
    with torch.no_grad():
        wide = np.pad(values, [(0, 0), (5, 5), (5, 5)], mode="symmetric")
        norms = [np.reshape(value, (-1, 1, 1)) for value in (norm.shift, norm.scale)]
        fine = network_of(spec)(torch.from_numpy(((wide - norms[0]) / norms[1]).astype("float32"))[None])[0].numpy()
    fine = (fine * norms[1][[2, 0]] + norms[0][[2, 0]])[:, 10:-10, 10:-10]

    free = upscaled(cube, model="mine", bands=["B04", "B02"], constraint="none")
    held = upscaled(cube, model="mine", bands=["B04", "B02"])

    np.testing.assert_allclose(free.values, fine, rtol=0, atol=2e-6)
    # Held to the input band of its own name: their means agree, which those of other bands do not.
    means = cube.sel(band=["B04", "B02"]).mean(("y", "x")).values
    np.testing.assert_allclose(held.mean(("y", "x")).values, means, atol=0.01)
    assert np.abs(free.mean(("y", "x")).values - means).max() > 0.02


def test_non_negative_holds_for_networks_that_are_not_folded(tmp_path):
    spec = replace(MINE, architecture="tests.architectures:Valid", non_negative=True)
    xr_sr.register_model(spec, weights=weights_of(spec, tmp_path / "a.safetensors"))
    xr_sr.register_model(replace(spec, name="free", non_negative=False), weights=tmp_path / "a.safetensors")
    cube = array(reflectance(2, 30, 30), ("B04", "B08"))

    out, free = upscaled(cube, model="mine"), upscaled(cube, model="free")

    assert float(free.min()) < 0
    np.testing.assert_array_equal(out.values, free.values.clip(0))


def test_a_network_without_weights_needs_no_file():
    spec = ModelSpec("oblique", "", "tests.architectures:Oblique", ("B04",), scale=2, halo=4)
    report = xr_sr.register_model(spec)

    out = upscaled(array(reflectance(1, 20, 20), ("B04",)), model="oblique")

    assert out.shape == (1, 40, 40)
    assert "xr_sr:weights_sha256" not in out.attrs
    assert "weights none" in str(report)


def test_a_store_knows_it_by_weights_and_record(weights, tmp_path):
    cube = array(reflectance(2, 64, 64), ("B04", "B08")).chunk(y=32)
    xr_sr.register_model(MINE, weights=weights)
    assert xr_sr.to_zarr(cube.sr.upscale("mine", device="cpu"), tmp_path / "out.zarr") > 0
    with pytest.warns(StoreWarning, match="complete"):
        assert xr_sr.to_zarr(cube.sr.upscale("mine", device="cpu"), tmp_path / "out.zarr") == 0

    other = replace(MINE, normalization=Normalization(scale=2.0))
    xr_sr.register_model(other, weights=weights, replace=True)

    with pytest.raises(StoreMismatchError, match="xr_sr:record"):
        xr_sr.to_zarr(cube.sr.upscale("mine", device="cpu"), tmp_path / "out.zarr")


# -- the registry


def test_registering_again_is_no_error_and_changing_needs_a_word(weights, tmp_path):
    xr_sr.register_model(MINE, weights=weights)
    xr_sr.register_model(MINE, weights=str(weights))
    larger = replace(MINE, halo=4)

    with pytest.raises(ModelError, match="replace=True"):
        xr_sr.register_model(larger, weights=weights)
    xr_sr.register_model(larger, weights=weights, replace=True)

    assert registry.get("mine").halo == 4


@pytest.mark.parametrize("name", ["bicubic", "sen2sr-lite", "sen2sr-lite.rgbn-x4"])
def test_names_of_the_package_are_never_replaced(name, weights):
    with pytest.raises(ModelError, match=name):
        xr_sr.register_model(replace(MINE, name=name), weights=weights, replace=True)


def test_lists_and_aliases_are_understood(weights):
    spec = replace(MINE, bands=["nir", "red"], config=[("depth", 3)], normalization=Normalization([0.1, 0.2], 1))

    report = xr_sr.register_model(spec, weights=weights)

    assert report.spec.bands == ("B08", "B04")
    assert report.spec.normalization == Normalization((0.1, 0.2), 1.0)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"architecture": "tests.architectures:Nothing"}, ["tests.architectures:Nothing", "upload_file"]),
        ({"architecture": "math:sqrt"}, ["math:sqrt", "config="]),
        ({"config": (("color", 3),)}, ["config=", "color"]),
        ({"scale": 4}, ["scale=", "4 times finer"]),
        ({"bands": ("B08", "B04"), "bands_out": ("B04",)}, ["bands_out=", "1 bands"]),
        ({"halo": 2}, ["halo=2", "Write halo=3"]),
        ({"halo": 3, "low_pass": LowPass(1.0, 5)}, ["Write halo=6", "3 of the network, 3 of its low_pass"]),
        ({"halo": 0, "architecture": "tests.architectures:InstanceNorm"}, ["window="]),
        ({"halo": 0, "window": 64, "architecture": "tests.architectures:Valid"}, ["window=64", "consumes 3 pixels"]),
        ({"architecture": "tests.architectures:FoldedFlag"}, ["`folded`", "FoldedFlag"]),
        ({"architecture": "tests.architectures:FoldedBare"}, ["`folded`", "FoldedBare"]),
        ({"bands": ("B08", "B04", "B03")}, ["3 bands", "on 2", "bands="]),
        ({"bands": ("B08",), "halo": 0, "window": 64}, ["1 band,", "on 2"]),
    ],
)
def test_a_record_that_contradicts_the_network_is_refused_and_nothing_is_registered(change, names, weights):
    with pytest.raises(ModelError) as caught:
        xr_sr.register_model(replace(MINE, **change), weights=weights)

    assert [name for name in names if name not in str(caught.value)] == []
    assert "mine" not in registry.names()


@pytest.mark.parametrize("name", ["Hazy", "Snowy", "Murky"])
def test_paths_that_only_bright_or_dark_ground_opens_are_measured(name, tmp_path):
    spec = replace(MINE, architecture=f"tests.architectures:{name}", config=(), halo=1)
    path = weights_of(spec, tmp_path / "a.safetensors")

    with pytest.raises(ModelError, match="Write halo=16"):
        xr_sr.register_model(spec, weights=path)
    assert xr_sr.measure_halo(network_of(spec)).halo == 16


def test_a_network_that_cannot_take_dark_water_says_so(tmp_path):
    spec = replace(MINE, architecture="tests.architectures:Rooted")

    with pytest.raises(ModelError, match=r"-0\.05 .*1\.60"):
        xr_sr.register_model(spec, weights=weights_of(spec, tmp_path / "a.safetensors"))


@pytest.mark.parametrize(("network", "halo"), [(architectures.Transposed(), 1), (architectures.Depthwise(), 2)])
def test_bands_of_a_module_are_found_whatever_convolution_is_first(network, halo):
    assert xr_sr.measure_halo(network).halo == halo
    with pytest.raises(ModelError, match="5 bands.* 3.*bands=3"):
        xr_sr.measure_halo(network, bands=5)
    with pytest.raises(ModelError, match="bands=0"):
        xr_sr.measure_halo(network, bands=0)


# -- the constraint inside


HELD = ModelSpec(
    name="held",
    summary="Ours, in a size of the user's",
    architecture="xr_sr.networks.lean:LeanSPAN",
    bands=("B08", "B04"),
    scale=2,
    halo=10,
    config=(("bands", 2), ("channels", 6), ("upscale", 2)),
    constrained=True,
)


def held_weights(path: Path) -> Path:
    """Weights whose detail is as large as their image."""
    torch.manual_seed(2)
    network = LeanSPAN(bands=2, channels=6, upscale=2)
    with torch.no_grad():
        network.tail.weight.mul_(20)
        network.tail.bias.add_(0.1)
    save_file(network.state_dict(), path)
    return path


def test_an_architecture_is_found_by_the_folder_where_it_was_before(tmp_path):
    weights = held_weights(tmp_path / "a.safetensors")
    cube = array(reflectance(2, 24, 24), ("B08", "B04"))

    xr_sr.register_model(replace(HELD, architecture="xr_sr.models.lean:LeanSPAN"), weights=weights)
    before = upscaled(cube, model="held").values
    xr_sr.register_model(HELD, weights=weights, replace=True)

    np.testing.assert_array_equal(before, upscaled(cube, model="held").values)


def test_a_network_that_holds_its_constraint_inside_is_a_model_of_ones_own(tmp_path):
    xr_sr.register_model(HELD, weights=held_weights(tmp_path / "a.safetensors"))
    cube = array(reflectance(2, 40, 40), ("B08", "B04"))

    out = upscaled(cube, model="held")

    assert out.attrs["xr_sr:constraint"].startswith("inside the network")
    plain = upscaled(cube, model="bicubic", scale=2)
    off = (out - plain).isel(y=slice(32, 48), x=slice(32, 48))
    assert abs(float(off.mean())) < 0.05 * float(off.std())
    with pytest.raises(OptionError, match="constraint='none'"):
        cube.sr.upscale("held", constraint="none")


def test_a_wide_halo_is_checked_like_a_narrow_one(tmp_path):
    xr_sr.register_model(replace(HELD, name="far", halo=40), weights=held_weights(tmp_path / "a.safetensors"))

    assert "far" in set(xr_sr.list_models()["name"])


@pytest.mark.parametrize("change", [{}, {"halo": 0, "window": 65, "overlap": 16}])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_constraint_that_is_only_said_to_be_inside_is_refused(scale, change, tmp_path):
    spec = replace(MINE, scale=scale, config=(("depth", 3), ("scale", scale)), constrained=True, **change)

    with pytest.raises(ModelError, match=r"constrained=True.*low_pass=LowPass"):
        xr_sr.register_model(spec, weights=weights_of(spec, tmp_path / "a.safetensors"))


def test_the_official_network_without_its_constraint_is_not_taken_for_one_that_has_it(official):
    spec = registry.get("sen2sr-lite")
    bare = replace(spec, name="bare", low_pass=None, constrained=True)

    with pytest.raises(ModelError, match="constrained=True"):
        xr_sr.register_model(bare, weights=official / spec.weights.path)


def test_a_network_that_clamps_cannot_hold_its_constraint(tmp_path):
    path = held_weights(tmp_path / "a.safetensors")

    with pytest.raises(ModelError, match="non_negative=True"):
        xr_sr.register_model(replace(HELD, non_negative=True), weights=path)


def test_a_halo_that_is_too_small_is_told_with_what_is_written_measured_and_needed(weights):
    with pytest.raises(ModelError) as caught:
        xr_sr.register_model(replace(MINE, halo=1), weights=weights)

    for part in ("'mine'", "3 above, 3 below, 3 to the left, 3 to the right", "halo=1", "Write halo=3"):
        assert part in str(caught.value)


def test_what_a_network_says_of_itself_is_checked_too(tmp_path, monkeypatch):
    monkeypatch.setattr(architectures.Plain, "receptive_radius", 2, raising=False)
    path = weights_of(MINE, tmp_path / "a.safetensors")

    with pytest.raises(ModelError, match="`receptive_radius` says 2"):
        xr_sr.register_model(MINE, weights=path)


def test_a_halo_that_is_larger_than_needed_is_fine_and_reported(weights):
    report = xr_sr.register_model(replace(MINE, halo=9), weights=weights)

    assert (report.field.halo, report.halo, report.spec.halo) == (3, 3, 9)
    assert "halo=3 is sufficient" in str(report)
    values = reflectance(2, 20, 20)
    out = upscaled(array(values, ("B08", "B04")), model="mine")
    np.testing.assert_allclose(out.values, direct(replace(MINE, halo=9), values), rtol=0, atol=2e-6)


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 8, 13])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_reach_of_the_constraint_is_what_it_reads(radius, scale):
    from xr_sr.kernels import constraint_reach
    from xr_sr.kernels.constrain import LowPassConstraint

    low_pass = LowPass(1.0, radius)

    assert constraint_reach(low_pass, scale) == LowPassConstraint(low_pass, scale).reach


def test_a_halo_without_a_check_that_is_too_small_says_so_when_it_is_used(tmp_path):
    spec = replace(MINE, architecture="tests.architectures:Valid", halo=1)
    report = xr_sr.register_model(spec, weights=weights_of(spec, tmp_path / "a.safetensors"), check=False)

    assert "not checked" in str(report)
    with pytest.raises(ModelError, match="read 3 input pixels"):
        upscaled(array(reflectance(2, 20, 20), ("B08", "B04")), model="mine")


# -- weights


def test_weights_are_needed_where_there_are_tensors():
    with pytest.raises(ModelError, match=r"6 .*'body\.0\.weight'"):
        xr_sr.register_model(MINE)


def test_weights_that_are_not_there_or_are_others_are_refused(weights, tmp_path):
    with pytest.raises(WeightsNotFoundError, match="nothing.safetensors"):
        xr_sr.register_model(MINE, weights=tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsFormatError, match="do"):
        xr_sr.register_model(replace(MINE, config=(("depth", 4),), halo=4), weights=weights)


def test_weights_that_changed_or_went_since_are_not_used(weights):
    xr_sr.register_model(MINE, weights=weights)
    cube = array(reflectance(2, 20, 20), ("B08", "B04"))
    save_file({name: value + 1 for name, value in network_of(MINE).state_dict().items()}, weights)

    with pytest.raises(WeightsHashError, match="sha256.*register_model"):
        cube.sr.upscale("mine")
    weights.unlink()
    with pytest.raises(WeightsNotFoundError, match="'mine'.*weights="):
        cube.sr.upscale("mine")


def test_weights_may_be_a_file_of_torch(tmp_path):
    torch.save({"state_dict": network_of(MINE).state_dict()}, tmp_path / "mine.pth")

    report = xr_sr.register_model(MINE, weights=tmp_path / "mine.pth")

    assert report.spec.weights.home == "user"
    assert report.field.halo == 3


def test_a_folder_of_weights_serves_where_the_file_is_elsewhere(weights, tmp_path, monkeypatch):
    xr_sr.register_model(MINE, weights=weights)
    cube = array(reflectance(2, 20, 20), ("B08", "B04"))
    before = upscaled(cube, model="mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    weights.rename(folder / weights.name)
    monkeypatch.setenv("XR_SR_WEIGHTS", str(folder))

    np.testing.assert_array_equal(upscaled(cube, model="mine").values, before.values)


def test_workers_that_share_nothing_get_record_and_weights(tmp_path, monkeypatch):
    """Their disk is elsewhere, they know no model of ours, and get the module as a file."""
    from distributed import Client, LocalCluster

    source = Path(architectures.__file__).read_text(encoding="utf-8")
    (tmp_path / "networks_of_mine.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    spec = replace(MINE, architecture="networks_of_mine:Plain")
    path = weights_of(MINE, tmp_path / "mine.safetensors")
    xr_sr.register_model(spec, weights=path)
    cube = array(reflectance(2, 40, 40), ("B08", "B04")).chunk(y=20)
    expected = upscaled(cube, model="mine")
    fine = cube.sr.upscale("mine", device="cpu")
    environment = {"XR_SR_WEIGHTS": "", "XR_SR_CACHE": str(tmp_path / "worker")}
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", env=environment
        ) as local,
        Client(local) as client,
    ):
        client.upload_file(str(tmp_path / "networks_of_mine.py"))
        (said,) = xr_sr.configure(client, models=["mine"], device="cpu").values()
        path.rename(tmp_path / "elsewhere.safetensors")
        spread = fine.compute()

    assert said["models"] == ["mine"]
    np.testing.assert_allclose(spread.values, expected.values, rtol=0, atol=1e-6)


# -- windows

WINDOWED = ModelSpec(
    name="windowed",
    summary="Attention",
    architecture="tests.architectures:Attention",
    bands=("B08", "B04"),
    scale=2,
    window=16,
    overlap=6,
)


@pytest.fixture
def windowed(tmp_path) -> ModelSpec:
    return xr_sr.register_model(WINDOWED, weights=weights_of(WINDOWED, tmp_path / "w.safetensors")).spec


def test_windows_are_told_in_report_and_table(windowed):
    report = xr_sr.register_model(windowed)

    assert "windows of 16 input pixels, 6 shared" in str(report)
    assert xr_sr.list_models().set_index("name").loc["windowed", ["halo", "window"]].tolist() == [0, 16]


def test_one_window_is_the_network_itself(windowed):
    values = reflectance(2, 16, 16)
    geobox = geobox_of(16, 16)
    spec = replace(WINDOWED, name="apart", overlap=0)
    xr_sr.register_model(replace(spec, weights=windowed.weights))
    # 16 pixels of 10 m fit 160 m: this corner is a whole number of windows from the origin of the CRS.
    geobox = geobox_of(16, 16).translate_pix(-(60_000 % 16), -(-580_030 % 16))

    out = upscaled(array(values, ("B08", "B04"), geobox=geobox), model="apart")

    with torch.no_grad():
        wanted = network_of(WINDOWED)(torch.from_numpy(values)[None])[0].numpy()
    np.testing.assert_allclose(out.values, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("constraint", ["none", "lowpass"])
@pytest.mark.parametrize("chunks", [5, 13, {"y": 40, "x": 3}])
def test_windowed_values_do_not_depend_on_chunks(windowed, chunks, constraint):
    values = reflectance(2, 2, 40, 44)
    values[0, 0, 10:14, 8:30] = np.nan
    values[1, :, 20:, 25:] = np.nan
    cube = array(values, ("B04", "B08"))

    whole = upscaled(cube, model="windowed", chunks=64, constraint=constraint)
    cut = upscaled(cube.chunk(time=1, y=7, x=40), model="windowed", chunks=chunks, constraint=constraint)

    if constraint == "none":
        np.testing.assert_array_equal(cut.values, whole.values)
    np.testing.assert_allclose(cut.values, whole.values, rtol=0, atol=4e-6)
    missing = np.isnan(values).repeat(2, -1).repeat(2, -2)
    np.testing.assert_array_equal(np.isnan(whole.values), missing)


@pytest.mark.parametrize("where", [(3, 5), (11, 0), (9, 17)])
def test_windowed_crops_agree_with_their_parent(windowed, where):
    values = reflectance(2, 80, 80)
    values[0, 30:50, 35:38] = np.nan
    parent = array(values, ("B04", "B08"))
    top, left = where
    crop = parent.isel(y=slice(top, top + 60), x=slice(left, left + 60))

    whole, part = upscaled(parent, model="windowed"), upscaled(crop, model="windowed")

    inside = slice(2 * 16, -2 * 16)
    there = whole.sel(y=part.y[inside], x=part.x[inside])
    np.testing.assert_array_equal(part[:, inside, inside].values, there.values)


def test_windowed_crops_in_degrees_stand_on_the_lattice_of_their_parent(windowed):
    from affine import Affine
    from odc.geo.geobox import GeoBox

    geobox = GeoBox((80, 80), Affine(8.98e-5, 0, 12.512345, 0, -8.98e-5, 52.41), "EPSG:4326")
    parent = array(reflectance(2, 80, 80), ("B04", "B08"), geobox=geobox)
    crop = parent.isel(latitude=slice(7, 67), longitude=slice(13, 73))

    whole, part = (upscaled(cube, model="windowed", allow_gsd=True) for cube in (parent, crop))

    inside = slice(2 * 16, -2 * 16)
    np.testing.assert_array_equal(
        part.values[:, inside, inside], whole.values[:, 14 + 32 : 14 + 120 - 32, 26 + 32 : 26 + 120 - 32]
    )


def test_the_constraint_holds_over_windows_and_beside_holes(windowed):
    values = np.full((2, 60, 60), 0.2, "float32")
    values[:, 20:, :30] = np.nan
    cube = array(values, ("B04", "B08"))

    free = upscaled(cube, model="windowed", constraint="none")
    held = upscaled(cube, model="windowed", constraint="lowpass")

    def off(out: xr.DataArray) -> float:
        """The mean over 10 pixels of the output: low frequencies."""
        return float(np.abs(out.coarsen(y=20, x=20).mean() - 0.2).max())

    assert off(free) > 0.05
    assert off(held) < 0.02


def test_a_mask_and_a_dataset_go_through_windows(windowed):
    cube = dataset(reflectance(2, 30, 30), ("B04", "B08"))
    keep = xr.ones_like(cube["B04"], dtype=bool)
    keep[3:6, 4] = False

    out = upscaled(cube, model="windowed", mask=keep)

    assert isinstance(out, xr.Dataset)
    for band in ("B04", "B08"):
        assert int(np.isnan(out[band]).sum()) == 3 * 4
        assert np.isnan(out[band].values[6:12, 8:10]).all()


def test_a_store_refuses_other_windows_and_keeps_what_was_written(windowed, tmp_path):
    cube = array(reflectance(2, 48, 48), ("B04", "B08")).chunk(y=24)
    fine = cube.sr.upscale("windowed", device="cpu")
    xr_sr.to_zarr(fine, tmp_path / "a.zarr", packing="float32")
    back = xr_sr.open_zarr(tmp_path / "a.zarr")

    xr_sr.register_model(replace(windowed, overlap=4), replace=True)

    np.testing.assert_array_equal(back.values, fine.values)
    with pytest.raises(StoreMismatchError, match="xr_sr:record"):
        xr_sr.to_zarr(cube.sr.upscale("windowed", device="cpu"), tmp_path / "a.zarr", packing="float32")


def test_a_store_runs_few_windows_twice(windowed):
    """A store computes a scene in several graphs; what two of them need is run by both. Counted, not run."""
    import dask.array as da

    from xr_sr.io.zarr import layout
    from xr_sr.io.zarr.blocks import batches

    xr_sr.register_model(replace(windowed, scale=4, window=128, overlap=32), check=False, replace=True)
    cube = array(da.zeros((2, 10_980, 10_980), chunks=(2, 1024, 1024), dtype="float32"), ("B04", "B08"))
    fine = cube.sr.upscale("windowed").data
    tasks = {key: task for key, task in dict(fine.dask).items() if key[0] == fine.name}
    windows = {key[-2:]: [need for need in task.dependencies if "window" in need[0]] for key, task in tasks.items()}

    y, x = (layout.choose_cut(layout.edges_of(sizes)) for sizes in fine.chunks[-2:])
    graphs = [
        {
            window
            for row, col in part
            for i, j in product(y.blocks_of(row), x.blocks_of(col))
            for window in windows[i, j]
        }
        for part in batches(layout.region_numbers(y, x), len(y.blocks_of(0)) * len(x.blocks_of(0)))
    ]

    assert (y.edges, x.edges) == tuple(layout.edges_of(sizes) for sizes in fine.chunks[-2:])
    assert len(graphs) > 1
    assert sum(map(len, graphs)) <= 1.014 * len(set().union(*graphs))


# -- bands of two pixel sizes


FUSED = ModelSpec(
    name="both",
    summary="Ours, of three bands",
    architecture="xr_sr.networks.lean_fusion:LeanFusion",
    bands=("red", "nir", "swir16"),
    coarse=["swir16"],
    scale=4,
    halo=14,
    config=(("bands", 3), ("channels", 4), ("coarse", 1), ("coarse_channels", 4)),
    constrained=True,
    selects=True,
)


def fused_weights(path: Path) -> Path:
    torch.manual_seed(2)
    save_file(LeanFusion(3, 1, 4, 4).state_dict(), path)
    return path


def test_bands_of_wider_pixels_are_named_by_any_alias(tmp_path):
    report = xr_sr.register_model(FUSED, weights=fused_weights(tmp_path / "a.safetensors"))

    assert (report.spec.bands, report.spec.coarse) == (("B04", "B08", "B11"), ("B11",))
    fine, wide = dataset(reflectance(2, 40, 40), ("B04", "B08")), reflectance(1, 20, 20)
    coarse = dataset(wide, ("B11",), geobox=geobox_of(40, 40).zoom_out(2))
    whole = fine.sr.upscale("both", other=coarse, device="cpu")
    some = fine.sr.upscale("both", other=coarse, bands=["B11", "B04"], device="cpu")

    assert list(whole) == ["B04", "B08", "B11"] and list(some) == ["B11", "B04"]
    for band in some:
        np.testing.assert_allclose(some[band], whole[band], rtol=0, atol=2e-6)


class Mixing(torch.nn.Module):
    """Gives each of three bands with some of the last."""

    def __init__(self) -> None:
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.share * x[:, -1:]).repeat_interleave(2, -1).repeat_interleave(2, -2)

    def folded(self, *, non_negative: bool = False, gives: list[int] | None = None) -> torch.nn.Module:
        return torch.nn.Sequential(self, Chosen(gives))


class Chosen(torch.nn.Module):
    def __init__(self, gives: list[int] | None) -> None:
        super().__init__()
        self.gives = gives

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.gives is None else x[:, self.gives]


def test_fine_bands_alone_need_no_coarse_ones_where_the_record_says_so(tmp_path):
    xr_sr.register_model(replace(FUSED, fine_alone=True), weights=fused_weights(tmp_path / "a.safetensors"))
    fine = dataset(reflectance(2, 40, 40), ("B04", "B08"))
    coarse = dataset(reflectance(1, 20, 20), ("B11",), geobox=geobox_of(40, 40).zoom_out(2))
    whole = fine.sr.upscale("both", other=coarse, device="cpu")

    np.testing.assert_allclose(
        fine.sr.upscale("both", bands=["nir"], device="cpu")["B08"], whole["B08"], rtol=0, atol=2e-6
    )


def test_fine_bands_that_need_the_coarse_ones_are_found_out(tmp_path):
    file = tmp_path / "mixing.safetensors"
    save_file(Mixing().state_dict(), file)
    spec = replace(
        FUSED, name="mixed", architecture=f"{__name__}:Mixing", scale=2, halo=1, constrained=False, config=()
    )

    xr_sr.register_model(spec, weights=file)
    with pytest.raises(ModelError, match=r"'mixed\.alone' says fine_alone.*B08.*another"):
        xr_sr.register_model(replace(spec, name="mixed.alone", fine_alone=True), weights=file)
    with pytest.raises(ModelError, match=r"coarse=\(\.\.\.\) and selects=True"):
        xr_sr.register_model(replace(spec, name="mixed.alone", fine_alone=True, selects=False), weights=file)


def test_a_network_of_two_pixel_sizes_needs_a_record_of_two(tmp_path):
    with pytest.raises(ModelError, match=r"Write coarse=\('B11',\)"):
        xr_sr.register_model(replace(FUSED, coarse=()), weights=fused_weights(tmp_path / "a.safetensors"))


def test_a_file_that_does_not_fit_is_refused_before_anything_runs(weights, tmp_path):
    xr_sr.register_model(MINE, weights=weights)
    other = held_weights(tmp_path / "other.safetensors")
    (tmp_path / "notes.py").write_text("x = 1")
    cube = array(reflectance(2, 20, 20), ("B08", "B04"))

    for file in (other, tmp_path / "notes.py"):
        with pytest.raises(WeightsFormatError):
            cube.sr.upscale("mine", weights=file)
    with pytest.raises(OptionError, match="weights=5"):
        cube.sr.upscale("mine", weights=5)
