"""A distillation small enough for a test, as a program: it can be killed.

python -m tests.training.small FOLDER STEPS [KILL_AT]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from tests.cubes import reflectance
from xr_sr.training import LeanSPAN, Scene, Settings, Teacher, distil, save_weights
from xr_sr.training.patches import PooledBatches

SCENES = [Scene(f"noise {seed}", reflectance(4, 60, 70, seed=seed)) for seed in (1, 2)]


def learn(folder: Path, steps: int, channels: int = 12) -> Path:
    """Distil the official network, save the weights, give their place."""
    torch.manual_seed(0)
    settings = Settings(steps, 6e-3, warm_up=10, save_every=50, log_every=10, device="cpu")
    network = distil(
        LeanSPAN(channels=channels),
        Teacher("sen2sr-lite", device="cpu"),
        SCENES,
        folder,
        settings,
        side=12,
        batch=2,
        patch=24,
        pool=8,
    )
    return save_weights(network, folder / "weights.safetensors", {"steps": steps})


def main() -> None:
    folder, steps, *kill = sys.argv[1:]
    if kill:
        give = PooledBatches.__call__

        def until(self, step):
            if step == int(kill[0]):
                os.kill(os.getpid(), signal.SIGKILL)
            return give(self, step)

        PooledBatches.__call__ = until
    learn(Path(folder), int(steps))


if __name__ == "__main__":
    main()
