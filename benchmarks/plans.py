"""Measure the cost of planning many blocks: time and memory of `upscale()` before anything is computed.

    python -m benchmarks.plans [--write] [--commit COMMIT]

Twelve dates of 5 x 5 tiles of 10980 px, four bands of zeros in chunks of one date and 2048 px: 139,968 output blocks of
512 px. Sides, each a fresh process, alternating: "plan" is the package as it is; "written out" then also makes every
task of the graph, by the same maker, as a plain dictionary would hold them; with --commit, the package of an earlier
commit too. Each side plans an array (time, band, y, x), and a Dataset of bands and SCL, with the default model. "plan"
also describes the cube by `explain()`, and computes one corner block of it, and a cube that is no larger than this
block.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import forget_peak_memory, peak_memory_mib
from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, Spread, Values, by_turns, column, parser, ratios

FORMS = ("array", "Dataset")
FASTER, MORE_MIB, EXPLAIN_S, CORNER_S = 100, 100e6 / 2**20, 1.0, 1.0


def main() -> int:
    """Compare the sides for both forms; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=3, size=54900)
    arguments.add_argument("--dates", type=int, default=12, help="dates of the cube (default: %(default)s)")
    arguments.add_argument(
        "--chunk", type=int, default=2048, help="side of its chunks in pixels (default: %(default)s)"
    )
    arguments.add_argument("--commit", help="also measure the package of this commit")
    arguments.add_argument("--package", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_measure(given)))
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-plans-") as place,
        Report("plans", "Plans of many blocks", given) as report,
    ):
        packages = {"plan": None, "written out": None}
        if given.commit:
            packages[f"commit {given.commit}"] = _exported(given.commit, Path(place))
        report.text(
            f"{given.dates} dates of {given.size} x {given.size} px, 4 bands, chunks of {given.chunk} px; the default "
            f"model; {given.repeat} alternating runs; median [least largest]."
        )
        for form in FORMS:
            _compare(report, given, form, packages)
    return report.exit_code


def _compare(report: Report, given: argparse.Namespace, form: str, packages: dict[str, Path | None]) -> None:
    numbers = [f"--{name}={getattr(given, name)}" for name in ("size", "dates", "chunk")]
    sides = {
        name: Side(
            "benchmarks.plans",
            (f"--side={name}", f"--form={form}", *numbers, *([f"--package={folder}"] if folder else [])),
        )
        for name, folder in packages.items()
    }
    seen = by_turns(sides, given.repeat)
    report.saw(seen)
    rows = []
    for name, values in seen.items():
        ratio, pairs = ratios(column(values, "seconds"), column(seen["plan"], "seconds"))
        spread = Spread.of(column(values, "seconds"))
        times = f"{ratio:.0f}; pairs {pairs.text('.0f')}"
        rows.append((name, spread.text(".3f"), times, f"{max(column(values, 'mib')):.0f}"))
    report.text(f"{form}: {seen['plan'][0]['blocks']:,.0f} blocks.")
    report.table(["side", "seconds", "times as long", "MiB more"], rows)
    plan = seen["plan"]
    for name in list(packages)[1:]:
        ratio, _ = ratios(column(seen[name], "seconds"), column(plan, "seconds"))
        report.target(f"{form}: {ratio:.0f} times faster than {name}, at least {FASTER}", ratio >= FASTER)
    more = max(column(plan, "mib"))
    report.target(f"{form}: {more:.0f} MiB more, at most {MORE_MIB:.0f} (100 MB)", more <= MORE_MIB)
    _below(report, f"{form}: explain()", plan, "explain_s", EXPLAIN_S)
    _below(report, f"{form}: one block beyond that of a cube of one", plan, "corner_s", CORNER_S)


def _below(report: Report, what: str, values: list[Values], key: str, limit: float) -> None:
    spread = Spread.of(column(values, key))
    report.target(f"{what}: {spread.text('.3f')} s, below {limit:.0f}", spread.median < limit)


def _exported(commit: str, place: Path) -> Path:
    """Write the package of a commit into a folder, and return the folder."""
    archive = subprocess.run(["git", "archive", commit, "xr_sr"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(place)], input=archive, check=True)
    return place


def _measure(given: argparse.Namespace) -> dict[str, float]:
    if given.package:
        sys.path.insert(0, str(given.package))
    import xr_sr  # registers .sr

    assert not given.package or Path(xr_sr.__file__).is_relative_to(given.package)
    cube, one = (_cube(given.form, dates, side, given.chunk) for dates, side in ((given.dates, given.size), (1, 512)))
    small = one.sr.upscale()
    small.compute(scheduler="synchronous")  # so that libraries are imported, and weights are read
    forget_peak_memory()
    before, start = peak_memory_mib(), time.perf_counter()
    fine = cube.sr.upscale()
    arrays = [fine.data] if given.form == "array" else [band.data for band in fine.data_vars.values()]
    kept = [_written_out(arrays)] if given.side == "written out" else []
    found = {
        "seconds": time.perf_counter() - start,
        "mib": peak_memory_mib() - before,
        "blocks": float(arrays[0].npartitions),
    }
    del kept
    if given.side != "plan":
        return found
    start = time.perf_counter()
    assert "blocks" in repr(cube.sr.explain())
    found["explain_s"] = time.perf_counter() - start
    corner = fine.isel(time=slice(0, 1), y=slice(0, small.sizes["y"]), x=slice(0, small.sizes["x"]))
    seconds: dict[str, list[float]] = {"corner": [], "one": []}
    for _ in range(3):
        for name, part in (("corner", corner), ("one", small)):
            start = time.perf_counter()
            part.compute(scheduler="synchronous")
            seconds[name].append(time.perf_counter() - start)
    found["corner_s"] = seconds["corner"][0] - statistics.median(seconds["one"])  # the first has all that is made once
    return found


def _written_out(arrays: list[Any]) -> list[dict[Any, Any]]:
    layers = {name: layer for array in arrays for name, layer in array.dask.layers.items()}
    return [dict(layer) for name, layer in layers.items() if type(layer).__name__ == "MadeLayer"]


def _cube(form: str, dates: int, side: int, chunk: int) -> Any:
    """Return a lazy cube of zeros, which are DN without nodata."""
    import dask.array as da
    import numpy as np
    import xarray as xr

    from benchmarks.harness import scenes

    plane = scenes.cube(da.zeros((1, side, side), chunks=(1, chunk, chunk), dtype="uint16"), scenes.RGBN[:1])
    days = np.datetime64("2024-01-05", "ns") + np.arange(dates) * np.timedelta64(30, "D")
    data = da.zeros((dates, 4, side, side), chunks=(1, 4, chunk, chunk), dtype="uint16")
    coords = {name: coord for name, coord in plane.coords.items() if name != "band"}
    cube = xr.DataArray(
        data, dims=("time", "band", "y", "x"), coords={"time": days, "band": list(scenes.RGBN), **coords}
    )
    cube = cube.sr.set_radiometry(offset=0)
    if form == "array":
        return cube
    classes = da.full((dates, side, side), 4, chunks=(1, chunk, chunk), dtype="uint8")
    return cube.to_dataset("band").assign(SCL=(("time", "y", "x"), classes))


if __name__ == "__main__":
    sys.exit(main())
