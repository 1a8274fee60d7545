"""The peer's side of `against_opensr_test.py`; runs in the peer's environment, which has no xr_sr."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness.machine import peak_memory_mib


def main() -> None:
    """Measure all triples of images several times; print their means and the best seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    # torchvision from the index does not find its operators beside a CPU build of torch; nothing here calls them.
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import opensr_test

    stacks = [torch.from_numpy(np.load(given.inputs / f"{name}.npy")) for name in ("lr", "sr", "hr")]
    triples = list(zip(*stacks, strict=True))
    metrics = opensr_test.Metrics()
    metrics.compute(*triples[0])
    seconds = []
    for _ in range(given.times):
        start = time.perf_counter()
        found = [metrics.compute(*triple) for triple in triples]
        seconds.append(time.perf_counter() - start)
    means = {name: float(np.mean([float(one[name]) for one in found])) for name in found[0]}
    print(json.dumps({"seconds": min(seconds), "peak_mib": peak_memory_mib(), "found": means}))


if __name__ == "__main__":
    main()
