"""Measure the cost of writing: `to_zarr` as int16 to the local disk, against the same graph reduced to sums.

    python -m benchmarks.store [--write] [--folder FOLDER]

Each run is a fresh process, alternating, on all cores; the store is removed after each. The disk needs room for one:
2.5 GB for the default size (16384 x 16384 x 4 bands). Time is until `to_zarr` returns: what the system has not yet
brought to the disk by then is not waited for.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness.machine import peak_memory_mib, touch_memory
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, Values, by_turns, column, parser, ratios

TARGET_RATIO = 1.5
TARGET_MIB = 1.5 * 1024


def main() -> int:
    """Compare writing with summing; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=3, size=4096)
    folder = Path(tempfile.gettempdir())
    arguments.add_argument("--folder", type=Path, default=folder, help="where to write (default: %(default)s)")
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_measure(given)))
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-store-", dir=given.folder) as place,
        Report("store", "Writing to Zarr", given) as report,
    ):
        size = ("--size", str(given.size))
        sides = {
            "sums": Side("benchmarks.scaling", ("--side", "sums", *size)),
            "to_zarr": Side("benchmarks.store", ("--side", "to_zarr", *size, "--folder", place)),
        }
        _show(report, given, by_turns(sides, given.repeat))
    return report.exit_code


def _show(report: Report, given: argparse.Namespace, seen: dict[str, list[Values]]) -> None:
    report.saw(seen)
    report.text(
        f"{given.size} x {given.size} px of uint16 DN, 4 bands, to {4 * given.size} x {4 * given.size} int16, "
        f"{given.repeat} alternating runs; median [least largest]. Building the graph is within the time of both."
    )
    summing = [values["graph_s"] + values["compute_s"] for values in seen["sums"]]
    writing = column(seen["to_zarr"], "seconds")
    ratio, pairs = ratios(writing, summing)
    peak_sums, peak = (max(column(seen[name], "peak_mib")) for name in ("sums", "to_zarr"))
    against, stored = f"{ratio:.2f}; pairs {pairs.text()}", f"{seen['to_zarr'][0]['stored_mb']:.0f}"
    rows = [
        ("sums", Spread.of(summing).text(), "1", f"{peak_sums:.0f}", "-"),
        ("to_zarr", Spread.of(writing).text(), against, f"{peak:.0f}", stored),
    ]
    report.table(["side", "seconds", "of sums", "peak MiB", "on disk, MB"], rows)
    report.target(f"{ratio:.2f} of the time of sums, at most {TARGET_RATIO}", ratio <= TARGET_RATIO)
    report.target(f"peak memory {peak:.0f} MiB, at most {TARGET_MIB:.0f}", peak <= TARGET_MIB)


def _measure(given: argparse.Namespace) -> dict[str, float]:
    import xr_sr
    from benchmarks.harness import scenes

    small, target = given.folder / "warm-up.zarr", given.folder / "scene.zarr"
    try:
        xr_sr.to_zarr(scenes.lazy_dn(128, 64).sr.upscale("sen2sr-lite", offset=0), str(small), progress=False)
        cube = scenes.lazy_dn(given.size)
        touch_memory()
        start = time.perf_counter()
        xr_sr.to_zarr(cube.sr.upscale("sen2sr-lite", offset=0), str(target), progress=False)
        seconds = time.perf_counter() - start
        stored = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        return {"seconds": seconds, "peak_mib": peak_memory_mib(), "stored_mb": stored / 1e6}
    finally:
        for store in (small, target):
            shutil.rmtree(store, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
