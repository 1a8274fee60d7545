"""A cluster without a shared disk: `configure` brings the weights to the workers and loads them once."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from distributed import Client, LocalCluster

import xr_sr
from tests.cubes import array, reflectance
from xr_sr import kernels
from xr_sr.catalog import fetch, registry
from xr_sr.errors import WeightsNotFoundError
from xr_sr.pipeline import cluster


def test_workers_without_the_clients_disk_get_the_weights(official, tmp_path, monkeypatch):
    cube = array(reflectance(4, 60, 50)).chunk(y=30)
    expected = cube.sr.upscale("sen2sr-lite", device="cpu")
    folder = tmp_path / "worker"
    environment = {"XR_SR_WEIGHTS": "", "XR_SR_CACHE": str(folder)}
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0", env=environment
        ) as local,
        Client(local) as client,
    ):
        (said,) = xr_sr.configure(client, models=["sen2sr-lite"], device="cpu", torch_threads=1).values()
        spread = cube.sr.upscale("sen2sr-lite", device="cpu").compute()

    assert said["models"] == ["sen2sr-lite.rgbn-x4"]
    assert said["threads"] == 2
    assert said["torch_threads"] == 1
    assert list(folder.rglob("model.safetensor"))
    np.testing.assert_allclose(spread.values, expected.values, rtol=0, atol=1e-6)


def test_a_file_of_ones_own_is_found_where_the_clients_disk_is_not(official, tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    state = load_file(fetch.locate(registry.get("sen2sr-lite")).path)
    tuned = tmp_path / "tuned.safetensors"
    save_file({name: value * 1.01 for name, value in state.items()}, tuned)
    monkeypatch.setenv("XR_SR_CACHE", str(tmp_path / "cache"))
    cube = array(reflectance(4, 40, 40)).chunk()
    fine = cube.sr.upscale("sen2sr-lite", weights=tuned, device="cpu")
    expected = fine.values
    located = fetch.locate(registry.get("sen2sr-lite"), tuned)
    cluster.prepare(
        1, [cluster.Sent(registry.get("sen2sr-lite"), located.sha256, ".safetensors", tuned.read_bytes())], "cpu"
    )
    tuned.unlink()
    kernels._kernels.clear()

    np.testing.assert_array_equal(fine.values, expected)


def test_preparing_twice_writes_once(official, tmp_path, monkeypatch):
    spec = registry.get("sen2sr-lite")
    located = fetch.locate(spec)
    monkeypatch.setenv("XR_SR_CACHE", str(tmp_path))
    files = [cluster.Sent(spec, located.sha256, located.path.suffix, located.path.read_bytes())]

    cluster.prepare(2, files, "cpu")
    (path,) = tmp_path.rglob("model.safetensor")
    stamp = path.stat().st_mtime_ns
    said = cluster.prepare(2, files, "cpu")

    assert path.stat().st_mtime_ns == stamp
    assert said["device"] == "cpu"
    assert not list(tmp_path.rglob("*.part"))


def test_all_files_of_a_model_of_several_are_sent(official, monkeypatch, tmp_path):
    class Plain:
        """A client whose only worker is this process."""

        def register_plugin(self, plugin):
            plugin.setup(self.worker)

        def run(self, report):
            return {"here": report(self.worker)}

        worker = SimpleNamespace(state=SimpleNamespace(nthreads=1))

    here = Plain()
    monkeypatch.setattr(cluster.fetch, "cache_folder", lambda: tmp_path)
    said = xr_sr.configure(here, models=["sen2sr-lite.main"], device="cpu")["here"]

    assert said["models"] == ["sen2sr-lite.main"]
    for file in registry.get("sen2sr-lite.main").files:
        assert fetch.sha256_of(tmp_path / file.path) == file.sha256


def test_a_client_without_weights_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("XR_SR_CACHE", str(tmp_path))
    monkeypatch.setenv("XR_SR_HUB", "http://127.0.0.1:9")
    with pytest.raises(WeightsNotFoundError, match="XR_SR_WEIGHTS"):
        xr_sr.configure(object(), models=["sen2sr-lite"])


@pytest.mark.gpu
@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="no CUDA device")
def test_a_gpu_gives_the_values_of_the_cpu(official):
    cube = array(reflectance(2, 4, 90, 70))
    on_cpu = cube.sr.upscale("sen2sr-lite", device="cpu").compute()

    on_gpu = cube.sr.upscale("sen2sr-lite", device="cuda").compute()

    np.testing.assert_allclose(on_gpu.values, on_cpu.values, rtol=0, atol=1e-5)
