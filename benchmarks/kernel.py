"""Measure the kernel on one thread: windows of several sizes, page faults, and half precision with its error.

    python -m benchmarks.kernel [--write]

A block of 512 x 512 input pixels is cut into windows of each side, in a thread of a pool as dask has them (the C
library serves such threads from other arenas than the main one). Each side is a fresh process, pinned to one core, by
turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import MALLOC_KEPT, Side, Spread, Values, by_turns, column, parser, run


def main() -> int:
    """Measure windows and precisions."""
    arguments = parser(__doc__, repeat=3, size=512)
    windows = [64, 96, 128, 176, 200, 256, 512]
    arguments.add_argument("--windows", type=int, nargs="+", default=windows, help="sides (default: %(default)s)")
    arguments.add_argument("--blocks", type=int, default=3, help="timed blocks per run (default: %(default)s)")
    arguments.add_argument("--window", type=int, default=0, help=argparse.SUPPRESS)
    arguments.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_errors() if given.side == "errors" else _measure(given)))
        return 0
    with Report("kernel", "The kernel alone", given, threads=(1,)) as report:
        _windows(report, given)
        _precision(report, given)
    return report.exit_code


def _side(given: argparse.Namespace, window: int, *, kept: bool = False, precision: str = "float32") -> Side:
    args = ("--side", "time", "--window", str(window), "--precision", precision)
    size = ("--size", str(given.size), "--blocks", str(given.blocks))
    return Side("benchmarks.kernel", (*args, *size), cores=1, env=MALLOC_KEPT if kept else {})


def _windows(report: Report, given: argparse.Namespace) -> None:
    from benchmarks.against_peer import MAC_PER_PIXEL

    sides = {
        f"{window}{' kept' * kept}": _side(given, window, kept=kept)
        for window in given.windows
        for kept in (False, True)
    }
    seen = by_turns(sides, given.repeat)
    report.saw(seen)
    report.text(
        f"Block of {given.size} x {given.size} px, 4 bands, float32, one thread; {given.repeat} alternating runs, "
        "median [least largest]. Page faults are per block; the result itself, fresh memory each time, costs "
        f"{4 * 16 * given.size**2 * 4 // resource.getpagesize():,} where the C library gives it back in between."
    )
    rows, best = [], report.best_gflops(1)
    for window in given.windows:
        default, kept = seen[f"{window}"], seen[f"{window} kept"]
        rate = 2 * MAC_PER_PIXEL / Spread.of(column(default, "ns")).median
        rows.append(
            (
                window,
                Spread.of(column(default, "ns")).text(".0f"),
                f"{Spread.of(column(default, 'faults')).median:,.0f}",
                Spread.of(column(kept, "ns")).text(".0f"),
                f"{Spread.of(column(kept, 'faults')).median:,.0f}",
                f"{rate:.1f}",
                f"{rate / best:.0%}" if best else "-",
            )
        )
    head = ["window", "ns per input pixel", "page faults", "malloc kept: ns", "page faults"]
    report.table([*head, "useful GFLOP/s", "of best convolution"], rows)


def _precision(report: Report, given: argparse.Namespace) -> None:
    sides = {precision: _side(given, 0, precision=precision) for precision in ("float32", "bfloat16")}
    seen = by_turns(sides, given.repeat)
    report.saw(seen)
    errors = run(Side("benchmarks.kernel", ("--side", "errors")))
    told = "Windows as by default. Errors are against float32 on the same scene, in reflectance."
    report.text("## Half precision", "", told)
    times = [(name, Spread.of(column(values, "ns")).text(".0f")) for name, values in seen.items()]
    report.table(["precision", "ns per input pixel"], times)
    off = [(name, f"{high:.1e}", f"{rms:.1e}") for name, (high, rms) in _pairs(errors).items()]
    report.table(["scene", "max error of bfloat16", "rms"], off)


def _pairs(errors: Values) -> dict[str, tuple[float, float]]:
    return {name: (value[0], value[1]) for name, value in errors.items() if isinstance(value, list)}


def _measure(given: argparse.Namespace) -> dict[str, float]:
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from benchmarks.harness import scenes
    from xr_sr import kernels
    from xr_sr.catalog import fetch, registry
    from xr_sr.kernels import window
    from xr_sr.spec import Tile

    window.WINDOW_CPU = given.window or window.WINDOW_CPU
    spec = registry.get("sen2sr-lite.rgbn-x4")
    located = fetch.locate(spec, download=False)
    low_pass = kernels.constraint_for(spec, "auto")
    kernel = kernels.build(kernels.KernelRef(spec, str(located.path), located.sha256, "cpu", given.precision, low_pass))
    block = np.ascontiguousarray(scenes.reflectance(given.size + 2 * kernel.halo)[None])
    tile = Tile((0, given.size), (0, given.size), halo=kernel.halo)

    def run_blocks(count: int) -> tuple[float, float]:
        faults, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        for _ in range(count):
            kernel(block, tile)
        seconds = time.perf_counter() - start
        return seconds / count, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / count

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run_blocks, 1).result()
        seconds, faults = pool.submit(run_blocks, given.blocks).result()
    return {"ns": seconds / given.size**2 * 1e9, "faults": faults}


def _errors() -> dict[str, Any]:
    import numpy as np

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    found = {}
    dsen2, spyndex = (scene.astype("float32") * np.float32(1e-4) for scene in (scenes.dsen2(), scenes.spyndex()))
    for name, values in {"example of the network": scenes.example(), "DSen2": dsen2, "spyndex": spyndex}.items():
        cube = scenes.cube(values)
        exact = cube.sr.upscale("sen2sr-lite").values.astype("float64")
        off = cube.sr.upscale("sen2sr-lite", precision="bfloat16").values - exact
        found[name] = [float(np.abs(off).max()), float(np.sqrt((off**2).mean()))]
    return found


if __name__ == "__main__":
    sys.exit(main())
