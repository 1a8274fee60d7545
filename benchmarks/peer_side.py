"""The peer's side of `against_peer.py`: the official model as its own package builds and runs it.

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
from sen2sr.models.opensr_baseline.cnn import CNNSR
from sen2sr.models.tricks import HardConstraint
from sen2sr.nonreference import srmodel

from benchmarks.harness.machine import peak_memory_mib, touch_memory


def load(folder: Path) -> torch.nn.Module:
    """Build the model and its constraint from the official files, as the authors' own loader does."""
    network = CNNSR(4, 4, 24, 4, True, False, 6)
    network.load_state_dict(load_file(folder / "model.safetensor"), strict=True)
    network.eval()
    (mask,) = load_file(folder / "hard_constraint.safetensor").values()
    constraint = HardConstraint(low_pass_mask=mask, bands=[0, 1, 2, 3], device="cpu").eval()
    return srmodel(network, constraint, device="cpu")


def main() -> None:
    """Upscale all windows and scenes of a folder, or time one scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["equality", "speed"])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--outputs", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with torch.no_grad():  # predict_large does not do so itself, and would keep every activation
        model = load(given.weights)
        if given.task == "speed":
            scene = torch.from_numpy(np.load(given.inputs))
            model(scene[None, :, :128, :128])
            touch_memory()
            for _ in range(given.passes):
                start, busy = time.perf_counter(), time.process_time()
                fine = sen2sr.predict_large(scene, model).numpy()
                seconds, busy = time.perf_counter() - start, time.process_time() - busy
            values = {"seconds": seconds, "processor": busy, "peak_mib": peak_memory_mib(), "mean": float(fine.mean())}
            print(json.dumps(values))
            return
        for path in sorted(given.inputs.glob("*.npy")):
            scene = torch.from_numpy(np.load(path))
            # predict_large leaves a part of its own window size unwritten, so a single window goes through the model.
            fine = model(scene[None])[0] if path.stem.startswith("window") else sen2sr.predict_large(scene, model)
            np.save(given.outputs / path.name, fine.numpy())
    print(json.dumps({"peak_mib": peak_memory_mib()}))


if __name__ == "__main__":
    main()
