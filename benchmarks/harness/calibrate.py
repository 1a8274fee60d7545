"""Describe the machine of the benchmarks: hardware, load, speed of convolutions and of fresh memory.

python -m benchmarks.harness.calibrate
"""

from __future__ import annotations

import argparse
import json

from benchmarks.harness import machine
from benchmarks.harness.runs import calibrate


def main() -> int:
    """Time convolutions in this process for `runs.calibrate`, or print the description."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--side", help=argparse.SUPPRESS)
    arguments.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(machine.convolve(given.threads)))
        return 0
    print(*machine.describe(), sep="\n")
    print(
        f"load {machine.load_average()}, busy {machine.busy_share()}; first touch, s per GiB: {machine.first_touch()}"
    )
    for threads in (1, 2):
        print(f"{threads} threads, GFLOP/s: {calibrate(threads)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
