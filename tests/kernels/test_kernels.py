"""Kernels as a whole: the halo is what the spec says, windows leave no trace, and a process builds each once."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xr_sr import kernels
from xr_sr.catalog import fetch, registry
from xr_sr.errors import OptionError, WeightsFormatError, WeightsHashError
from xr_sr.kernels import KernelRef, constraint_for, halo_for, window
from xr_sr.kernels.predictors import load_network, read_state
from xr_sr.spec import LowPass, Tile


def reflectance(*shape: int) -> np.ndarray:
    return (np.random.default_rng(5).random(shape) * 0.4).astype("float32")


def run(ref: KernelRef, block: np.ndarray, halo: int) -> np.ndarray:
    height, width = block.shape[-2] - 2 * halo, block.shape[-1] - 2 * halo
    return kernels.build(ref)(block, Tile((0, height), (0, width), ((0, len(block)),), halo))


@pytest.fixture
def lite(official) -> KernelRef:
    spec = registry.get("sen2sr-lite")
    located = fetch.locate(spec, download=False)
    return KernelRef(spec, str(located.path), located.sha256, "cpu", "float32", spec.low_pass)


def baseline(name: str, scale: int, constraint: str) -> KernelRef:
    spec = replace(registry.get(name), scale=scale)
    return KernelRef(spec, device="cpu", low_pass=constraint_for(spec, constraint))


@pytest.mark.parametrize("constraint", ["none", "lowpass"])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic"])
def test_halo_of_a_baseline_is_wide_enough(name, scale, constraint):
    ref = baseline(name, scale, constraint)
    assert_zero_beyond(ref, halo_for(ref.spec, ref.low_pass), bands=1)


def test_halo_of_the_network_is_wide_enough(lite):
    assert_zero_beyond(lite, halo_for(lite.spec, lite.low_pass), bands=4)


def assert_zero_beyond(ref: KernelRef, halo: int, bands: int) -> None:
    """Change one input pixel: outputs further away than the halo do not change by a bit."""
    block = reflectance(1, bands, 24 + 4 * halo, 24 + 4 * halo)
    other = block.copy()
    other[..., block.shape[-2] // 2, block.shape[-1] // 2] += 1.0

    changed = (run(ref, block, halo) != run(ref, other, halo)).any(axis=(0, 1))

    rows, columns = np.nonzero(changed)
    s, center = ref.spec.scale, block.shape[-1] // 2 - halo
    assert rows.size
    assert rows.min() >= (center - halo) * s and rows.max() < (center + halo + 1) * s
    assert columns.min() >= (center - halo) * s and columns.max() < (center + halo + 1) * s


def test_windows_leave_no_trace(lite, monkeypatch):
    block = reflectance(2, 4, 90, 77)
    monkeypatch.setattr(window, "WINDOW_CPU", 1000)
    whole = run(lite, block, 10)

    for side in (9, 16, 31):
        monkeypatch.setattr(window, "WINDOW_CPU", side)
        np.testing.assert_allclose(run(lite, block, 10), whole, rtol=0, atol=1e-6)


def test_the_constraint_keeps_the_mean(lite):
    block = np.full((1, 4, 40, 40), 0.123, "float32")

    out = run(lite, block, 10)

    np.testing.assert_allclose(out, 0.123, atol=0.01)  # a flat field stays flat, whatever the network thinks of it


def test_lowpass_leaves_bicubic_as_it_is():
    block = reflectance(1, 2, 50, 50)

    np.testing.assert_allclose(
        run(baseline("bicubic", 4, "lowpass"), block, 6),
        run(baseline("bicubic", 4, "none"), block, 6),
        rtol=0,
        atol=1e-6,
    )


def test_bfloat16_is_near_and_is_not_float32(lite):
    block = reflectance(1, 4, 52, 52)

    half, full = run(replace(lite, precision="bfloat16"), block, 10), run(lite, block, 10)

    assert 0 < np.abs(half - full).max() < 0.03


def test_built_once_per_process_however_many_threads(lite, monkeypatch):
    monkeypatch.setattr(kernels, "_kernels", {})
    made = []
    original = kernels._make
    monkeypatch.setattr(kernels, "_make", lambda *key: made.append(1) or original(*key))
    found = []
    threads = [threading.Thread(target=lambda: found.append(kernels.build(lite))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1
    assert len(set(map(id, found))) == 1


def test_a_worker_without_the_clients_path_finds_the_hash(lite):
    block = reflectance(1, 4, 28, 28)

    elsewhere = run(replace(lite, weights="/nowhere/on/this/worker.safetensor"), block, 10)

    np.testing.assert_array_equal(elsewhere, run(lite, block, 10))


def test_a_file_that_changed_is_refused(lite, tmp_path):
    spec = lite.spec
    path = tmp_path / "model.safetensor"
    path.write_bytes(b"\0" * 100)

    with pytest.raises(WeightsHashError, match="sha256"):
        load_network(spec, path, lite.sha256)
    with pytest.raises(WeightsFormatError, match="weights"):
        load_network(spec, path, "")


def test_weights_of_another_network_are_refused_with_the_keys(lite, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(3)}, path)

    with pytest.raises(WeightsFormatError, match=r"204 keys missing.*1 unknown \['layer.weight'\]"):
        load_network(lite.spec, path, "")


def test_pickles_are_not_executed(tmp_path):
    path = tmp_path / "evil.pt"
    torch.save({"call": print}, path)

    with pytest.raises(WeightsFormatError, match="cannot be read"):
        read_state(path, "")


def test_checkpoint_wrappers_are_opened(tmp_path):
    path = tmp_path / "wrapped.pth"
    torch.save({"params_ema": {"a": torch.ones(2)}}, path)

    assert list(read_state(path, "")) == ["a"]


def test_constraints_have_names():
    bicubic = registry.get("bicubic")

    assert constraint_for(bicubic, "auto") is None
    assert constraint_for(bicubic, "none") is None
    low_pass = constraint_for(bicubic, "lowpass")
    assert isinstance(low_pass, LowPass)
    assert (low_pass.sigma, low_pass.radius) == (pytest.approx(2.328, abs=1e-3), 10)
    with pytest.raises(OptionError, match="constraint=.*'auto', 'measured', 'lowpass', 'none'"):
        constraint_for(bicubic, "fourier")


class Elsewhere(np.ndarray):
    """An array that is not NumPy's own, as CuPy's are not: it gives itself by DLPack and takes results the same way."""


Elsewhere.__module__ = "elsewhere._core"


def test_an_array_from_elsewhere_comes_back_as_one(lite, monkeypatch):
    block = reflectance(1, 4, 30, 30)
    plain = run(lite, block, 10)
    # Only exact NumPy arrays take the host's path; a subclass stands in for CuPy's class here.
    monkeypatch.setattr(window, "_is_numpy", lambda array: type(array) is np.ndarray)
    package = SimpleNamespace(from_dlpack=lambda tensor: np.from_dlpack(tensor).view(Elsewhere))
    monkeypatch.setitem(sys.modules, "elsewhere", package)

    out = run(lite, block.view(Elsewhere), 10)

    assert type(out) is Elsewhere
    np.testing.assert_array_equal(np.asarray(out), plain)
