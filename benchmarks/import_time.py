"""Measure the time that `import xr_sr` adds to `import xarray`: alternating interpreters, ratio of medians, spread.

    python -m benchmarks.import_time [--runs 31]

Each run times one import inside its own process, so the start of the interpreter is not in it. Files are warm: the
first pair is thrown away. The spread is the middle 90 % of the ratio over resampled runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from importlib.metadata import version

TIMED = "import time; start = time.perf_counter(); import {name}; print(time.perf_counter() - start)"
LIMIT = 1.3


def seconds_to_import(name: str) -> float:
    """Import a module in a fresh interpreter; return the seconds that the import took."""
    done = subprocess.run([sys.executable, "-c", TIMED.format(name=name)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(runs: int) -> dict[str, list[float]]:
    """Time both imports alternating, so that a slow minute of the machine hits both."""
    times: dict[str, list[float]] = {"xarray": [], "xr_sr": []}
    for run in range(runs + 1):
        for name, seen in times.items():
            seconds = seconds_to_import(name)
            if run:
                seen.append(seconds)
    return times


def ratio_of_medians(times: dict[str, list[float]], draws: int = 2000) -> tuple[float, float, float]:
    """Return the ratio xr_sr / xarray and the 5th and 95th percentile of it over resampled runs."""
    chance = random.Random(0)
    ratios = sorted(
        statistics.median(chance.choices(times["xr_sr"], k=len(times["xr_sr"])))
        / statistics.median(chance.choices(times["xarray"], k=len(times["xarray"])))
        for _ in range(draws)
    )
    middle = statistics.median(times["xr_sr"]) / statistics.median(times["xarray"])
    return middle, ratios[draws // 20], ratios[-draws // 20]


def main() -> int:
    """Measure, print one line for people and one of JSON; exit code 1 if the limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=31)
    runs = parser.parse_args().runs

    times = measure(runs)
    ratio, low, high = ratio_of_medians(times)
    medians = {f"{name}_s": round(statistics.median(seen), 4) for name, seen in times.items()}
    print(
        f"import xr_sr / import xarray = {ratio:.3f} (90 % of resamples: {low:.3f} to {high:.3f}; limit {LIMIT}), "
        f"medians of {runs} runs: {medians['xr_sr_s']:.3f} s and {medians['xarray_s']:.3f} s"
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    facts = {"python": platform.python_version(), "xarray": version("xarray"), "cores": os.cpu_count(), "load": load}
    print(json.dumps({"ratio": round(ratio, 4), "low": round(low, 4), "high": round(high, 4), **medians, **facts}))
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
