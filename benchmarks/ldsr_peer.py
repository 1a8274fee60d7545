"""The peer's side of `ldsr_speed.py`: opensr-model as its own package builds and runs it.

Runs in the peer's environment and does not import xr_sr. Reads .npy and weights, prints one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import opensr_model
import torch
from omegaconf import OmegaConf

from benchmarks.harness.machine import peak_memory_mib


def main() -> None:
    """Draw one image of one window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with contextlib.redirect_stdout(sys.stderr):
        config = OmegaConf.load(Path(opensr_model.__file__).parent / "configs" / "config_10m.yaml")
        model = opensr_model.SRLatentDiffusion(config, device="cpu")
        state = torch.load(given.weights, weights_only=True)["state_dict"]
        networks = {key: value for key, value in state.items() if "." in key}  # its own schedule is the same
        found = model.model.load_state_dict(networks, strict=False)
        rest = [key for key in found.missing_keys if "." in key and "ema" not in key]
        assert not found.unexpected_keys and not rest, (found.unexpected_keys, rest)
        lr = torch.from_numpy(np.load(given.inputs))[None]
        start = time.perf_counter()
        fine = model(lr)
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mib": peak_memory_mib(), "mean": float(fine.mean())}))


if __name__ == "__main__":
    main()
