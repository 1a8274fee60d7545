"""The benchmark of GPUs, tried on a processor."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks import gpu


def test_the_same_runs_on_a_processor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    given = ["--device", "cpu", "--size", "64", "--dates", "2", "--repeat", "1", "--models", "kriging"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *given, "--no-calibration"])

    assert gpu.main() == 0

    page = capsys.readouterr().out
    for run in ("upscale", "interval", "ensemble"):
        (line,) = [line for line in page.splitlines() if line.startswith(f"| kriging, {run}, float32")]
        rate = float(line.split("|")[3])
        assert rate > 0
    assert "no GPU" in page


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])

    with pytest.raises(SystemExit, match="CUDA"):
        gpu.main()


def test_each_case_has_a_name_of_its_own():
    names = [case.name for case in gpu.CASES]

    assert len({*names}) == len(names)
    assert "sen2sr, upscale, float32" in names and "sen2sr, store, float32" in names
