"""Measure what intervals and ensembles cost beside the estimate alone.

    python -m benchmarks.interval_cost [--size 1024] [--cores 1] [--members 16] [--write]

A real scene of four bands, mirrored and repeated to the size, in memory. Each run is a fresh process with a small
warm-up, all in turns: `upscale`, then of `interval` the estimate with its standard deviation and all four variables,
by `kriging` and by `sen2sr`, then of `ensemble` by kriging the estimate with its standard deviation; all to blocks that
are kept. Judged by processor time, which other processes disturb less than the time that passes: all of it, and that
without the part which the system takes, mostly to provide memory for results.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

from benchmarks.harness.machine import cores, peak_memory_mib, touch_memory
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, by_turns, column, parser, ratios, run

UPSCALE, STD, ALL, ENSEMBLE = "estimate", "estimate and std", "all four variables", "ensemble"
MODELS = {"kriging": (UPSCALE, STD, ALL, ENSEMBLE), "sen2sr": (UPSCALE, STD, ALL)}
"""What is measured of each model; the first is what the others are compared with."""

VARIABLES = {STD: ["estimate", "std"], ALL: ["estimate", "std", "lower", "upper"], ENSEMBLE: ["estimate", "std"]}

TARGET_INTERVAL = 1.15
TARGET_MEMBERS, MEMBERS = 12.0, 16
"""How many times the estimate an interval, and an ensemble of as many members, may cost at most."""

SEED = 1


def main() -> int:
    """Compare all; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=5, size=1024)
    arguments.add_argument("--cores", type=int, default=1, help="processors of a run (default: %(default)s)")
    arguments.add_argument("--members", type=int, default=MEMBERS, help="of the ensemble (default: %(default)s)")
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    with Report("interval_cost", "What intervals and ensembles cost", given, threads=(given.cores,)) as report:
        options = ("--size", str(given.size), "--members", str(given.members))
        sides = {
            f"{model}: {what}": Side(
                "benchmarks.interval_cost", ("--side", f"{model}:{what}", *options), cores=given.cores
            )
            for model, kinds in MODELS.items()
            for what in kinds
        }
        run(next(iter(sides.values())))  # files of libraries and weights come into memory
        seen = by_turns(sides, given.repeat)
        report.saw(seen)
        report.text(
            f"{given.size} x {given.size} px, 4 bands, {given.members} members; processors: {given.cores}; "
            f"{given.repeat} runs in turns, median [least largest]. Times the estimate: ratio of medians; ratios of "
            "runs of one turn. The program: processor time without that of the system.",
        )
        rows, costs = [], {}
        for model, kinds in MODELS.items():
            alone = seen[f"{model}: {UPSCALE}"]
            for what in kinds:
                one = seen[f"{model}: {what}"]
                compared = {key: ratios(column(one, key), column(alone, key)) for key in ("processor", "program")}
                costs[model, what] = compared["processor"][0]
                said = [f"**{ratio:.2f}**; turns {turns.text()}" for ratio, turns in compared.values()]
                times = [Spread.of(column(one, key)).text() for key in ("seconds", "processor", "program")]
                rows.append((model, what, *times, *(said if what != UPSCALE else ("1", "1"))))
        head = ["model", "computed", "seconds", "of processors", "of the program", "times the estimate, processors"]
        report.table([*head, "program"], rows)
        for (model, what), cost in costs.items():
            if what == ENSEMBLE and given.members == MEMBERS:
                claim = f"{model}, {MEMBERS} members: {cost:.1f} times the estimate; at most {TARGET_MEMBERS:g}"
                report.target(claim, cost <= TARGET_MEMBERS)
            elif what in (STD, ALL):
                claim = f"{model}, {what}: {cost:.2f} times the estimate; at most {TARGET_INTERVAL}"
                report.target(claim, cost <= TARGET_INTERVAL)
    return report.exit_code


def _side(given: argparse.Namespace) -> dict[str, float]:
    import dask

    from benchmarks.harness import scenes

    model, _, what = given.side.partition(":")
    cube = scenes.cube(scenes.reflectance(given.size))
    with dask.config.set(scheduler="threads", num_workers=cores()):
        _lazy(cube[:, :128, :128], model, what, 2).persist()
        touch_memory()
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        made = _lazy(cube, model, what, given.members).persist()
        after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - start
    program = after.ru_utime - before.ru_utime
    return {
        "seconds": seconds,
        "processor": program + after.ru_stime - before.ru_stime,
        "program": program,
        "peak_mib": peak_memory_mib(),
        "bytes": float(made.nbytes),
    }


def _lazy(cube: object, model: str, what: str, members: int) -> object:
    import xarray as xr

    import xr_sr  # noqa: F401  # registers .sr

    assert isinstance(cube, xr.DataArray)
    if what == UPSCALE:
        return cube.sr.upscale(model, device="cpu")
    if what == ENSEMBLE:
        return cube.sr.ensemble(members, seed=SEED, model=model, device="cpu")[VARIABLES[what]]
    return cube.sr.interval(model=model, device="cpu")[VARIABLES[what]]


if __name__ == "__main__":
    sys.exit(main())
