"""The peer's side of `ten_bands_speed.py`: the official ten-band model as its own package builds and runs it.

Runs in the peer's environment and does not import xr_sr. Reads and writes .npy files, prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import sen2sr
import torch
from safetensors.torch import load_file
from sen2sr import nonreference, referencex2, referencex4
from sen2sr.models.opensr_baseline.cnn import CNNSR
from sen2sr.models.tricks import HardConstraint

from benchmarks.harness.machine import peak_memory_mib, touch_memory


def network(path: Path, *shape: int) -> torch.nn.Module:
    """Build one of the networks from its official file."""
    made = CNNSR(*shape, True, False, 6)
    made.load_state_dict(load_file(path), strict=True)
    return made.eval()


def constraint(path: Path, bands: int) -> HardConstraint:
    """Build one of the constraints from its official file."""
    (mask,) = load_file(path).values()
    return HardConstraint(low_pass_mask=mask, bands=list(range(bands)), device="cpu").eval()


def load(folder: Path) -> torch.nn.Module:
    """Put the three networks and their constraints together, as the authors' own loader does."""
    rgbn = nonreference.srmodel(
        network(folder / "sr_model.safetensor", 4, 4, 24, 4),
        constraint(folder / "sr_hard_constraint.safetensor", 4),
        device="cpu",
    )
    to_10m = referencex2.srmodel(
        network(folder / "f2_model.safetensor", 10, 6, 24, 1),
        constraint(folder / "f2_hard_constraint.safetensor", 6),
        device="cpu",
    )
    last = network(folder / "model.safetensor", 10, 6, 24, 1)
    return referencex4.srmodel(
        rgbn, to_10m, last, constraint(folder / "hard_constraint.safetensor", 6), device="cpu"
    ).eval()


def main() -> None:
    """Upscale one window, or time one scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["equality", "speed"])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--outputs", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with torch.no_grad():  # predict_large does not do so itself, and would keep every activation
        model = load(given.weights)
        scene = torch.from_numpy(np.load(given.inputs))
        if given.task == "equality":
            np.save(given.outputs, model(scene[None])[0].numpy())
            print(json.dumps({"peak_mib": peak_memory_mib()}))
            return
        model(scene[None, :, :128, :128])
        touch_memory()
        start = time.perf_counter()
        fine = sen2sr.predict_large(scene, model, overlap=32).numpy()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "peak_mib": peak_memory_mib(), "mean": float(fine.mean())}))


if __name__ == "__main__":
    main()
