"""Run the sides of a comparison in fresh processes, alternating, and summarize their times.

A side is a module whose last printed line is JSON. The processor time of other processes is recorded while it runs, so
that a disturbed run can be distinguished from a slow one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import machine

ROOT = Path(__file__).resolve().parents[2]
"""Root of the repository: the package is imported from here, installed or not."""

LIMIT_S = 1200
"""Time limit of a single run."""

MALLOC_KEPT = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824:"
    "glibc.malloc.top_pad=67108864"
}
"""The settings of `xr_sr.runtime.device.keep_freed_memory`, for programs that do not import xr_sr too."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One way to do the work. cores: the number of processors it is pinned to; None does not pin it."""

    module: str
    args: tuple[str, ...] = ()
    cores: int | None = None
    python: str = sys.executable
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Median, least and largest of repeated measurements."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize values, at least one."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, form: str = ".2f") -> str:
        """Write it as "median [least largest]"."""
        return f"{self.median:{form}} [{self.least:{form}} {self.largest:{form}}]"


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a run: this package and the official weights."""
    env = {**os.environ, **extra}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [env.get("PYTHONPATH")])])
    weights = shared() / "weights"
    env.setdefault("XR_SR_WEIGHTS", str(weights))
    return env


def shared() -> Path:
    """Return the folder of real scenes and official weights: `$XR_SR_SHARED`, else `../shared` beside the project."""
    named = os.environ.get("XR_SR_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    if not (folder / "weights").is_dir():
        raise SystemExit(
            f"{folder} is not the folder of real scenes and weights that benchmarks read. Set XR_SR_SHARED."
        )
    return folder


def run(side: Side) -> Values:
    """Run a side once and return what it printed, and `others`: the fraction of all processors other processes used.

    Raises SystemExit with the end of its messages if it fails.
    """
    busy, own, start = machine.busy_seconds(), _children_seconds(), time.perf_counter()
    command = [side.python, "-m", side.module, *side.args]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(side.env),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            preexec_fn=_pin(side.cores),
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{' '.join(command)} took more than {LIMIT_S} s.") from None
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    values: Values = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    if busy is not None:
        wall = time.perf_counter() - start
        rest = (machine.busy_seconds() or 0.0) - busy - (_children_seconds() - own)
        values["others"] = max(0.0, rest / wall / (os.cpu_count() or 1))
    return values


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pin(cores: int | None) -> Callable[[], None] | None:
    """Return a function that pins a new process to the last `cores` processors; the first ones serve interrupts."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        return None
    chosen = sorted(os.sched_getaffinity(0))[-cores:]
    return lambda: os.sched_setaffinity(0, chosen)


def by_turns(sides: Mapping[str, Side], repeat: int) -> dict[str, list[Values]]:
    """Run all sides in order, `repeat` times, so that a slow minute of the machine affects all of them."""
    seen: dict[str, list[Values]] = {name: [] for name in sides}
    for turn in range(repeat):
        for name, side in sides.items():
            seen[name].append(run(side))
            print(f"  {turn + 1}/{repeat} {name}: {_short(seen[name][-1])}", file=sys.stderr, flush=True)
    return seen


def _short(values: Values) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in values.items() if isinstance(value, (int, float)))


def column(seen: Sequence[Values], key: str) -> list[float]:
    """Return one measurement of all runs of a side."""
    return [float(values[key]) for values in seen]


def ratios(slow: Sequence[float], fast: Sequence[float]) -> tuple[float, Spread]:
    """Return the ratio of medians, and the spread of the ratios of consecutive runs."""
    pairs = [one / other for one, other in zip(slow, fast, strict=True)]
    return statistics.median(slow) / statistics.median(fast), Spread.of(pairs)


def parser(doc: str, *, repeat: int, size: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts share. doc: of the script. size: default size of the scene."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repeat", type=int, default=repeat, help="runs of each side (default: %(default)s)")
    made.add_argument("--write", action="store_true", help="also write results/NAME.md beside the script")
    made.add_argument("--no-calibration", action="store_true", help="do not time convolutions before and after")
    made.add_argument("--side", help=argparse.SUPPRESS)
    if size is not None:
        made.add_argument("--size", type=int, default=size, help="side of the scene in pixels (default: %(default)s)")
    return made


def calibrate(threads: int) -> dict[str, float]:
    """Time convolutions in a separate process, pinned to as many processors as it has threads."""
    rates = run(Side("benchmarks.harness.calibrate", ("--side", "convolve", "--threads", str(threads)), cores=threads))
    return {key: float(value) for key, value in rates.items() if key != "others"}
