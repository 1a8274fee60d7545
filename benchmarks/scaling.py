"""Measure time and peak memory of squares of four sizes, which should grow with the area only.

    python -m benchmarks.scaling [--write]

The input is made block by block as uint16 DN (a real scene, mirrored and repeated); each output block is summed in
its own task, so that no size has to fit into memory. Each size is a fresh process, alternating, on all cores.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.harness.machine import peak_memory_mib, touch_memory
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, by_turns, column, parser

TARGET = 1.25
"""How much more time per pixel, and how much more memory, the largest scene may take than the second smallest. The
smallest is a handful of blocks, so it says little."""


def main() -> int:
    """Measure all sizes; exit code 1 if they grow faster."""
    arguments = parser(__doc__, repeat=2)
    sizes = [1024, 2048, 4096, 8192]
    arguments.add_argument("--size", type=int, nargs="+", default=sizes, dest="sizes", help="default: %(default)s")
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(measure(given.sizes[0])))
        return 0
    with Report("scaling", "Cost and area", given) as report:
        sides = {f"{size}": Side("benchmarks.scaling", ("--side", "sums", "--size", str(size))) for size in given.sizes}
        seen = by_turns(sides, given.repeat)
        report.saw(seen)
        report.text(
            f"sen2sr-lite, 4 bands, uint16 DN to sums of 2.5 m blocks, all cores, {given.repeat} alternating runs; "
            "median [least largest]. Memory is the largest resident size of the process; in brackets what it was "
            "before the run, with libraries and weights loaded."
        )
        rows = []
        for size, values in zip(given.sizes, seen.values(), strict=True):
            rows.append(
                (
                    f"{size} x {size}",
                    f"{values[0]['tasks']:.0f}",
                    Spread.of(column(values, "graph_s")).text(".3f"),
                    Spread.of(column(values, "compute_s")).text(),
                    Spread.of(_per_megapixel(size, values)).text(".3f"),
                    f"{max(column(values, 'peak_mib')):.0f} ({max(column(values, 'idle_mib')):.0f})",
                )
            )
        head = ["input pixels", "tasks", "graph, s", "compute, s", "s per million input pixels", "peak memory, MiB"]
        report.table(head, rows)
        if len(given.sizes) > 2:
            large, middle = (seen[str(size)] for size in (given.sizes[-1], given.sizes[1]))
            names = f"{given.sizes[-1]} against {given.sizes[1]}"
            per_pixel = _seconds_per_megapixel(given.sizes[-1], large) / _seconds_per_megapixel(given.sizes[1], middle)
            report.target(f"{names}: {per_pixel:.2f} of the time per pixel, at most {TARGET}", per_pixel <= TARGET)
            memory = max(column(large, "peak_mib")) / max(column(middle, "peak_mib"))
            report.target(f"{names}: {memory:.2f} of the memory, at most {TARGET}", memory <= TARGET)
    return report.exit_code


def _seconds_per_megapixel(size: int, values: list[dict[str, float]]) -> float:
    return Spread.of(_per_megapixel(size, values)).median


def _per_megapixel(size: int, values: list[dict[str, float]]) -> list[float]:
    return [seconds / (size**2 / 1e6) for seconds in column(values, "compute_s")]


def measure(size: int) -> dict[str, float]:
    """Upscale a square to sums in this process; also the reference of `store.py`."""
    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    sums(scenes.lazy_dn(128, 64).sr.upscale("sen2sr-lite", offset=0)).compute()
    idle = peak_memory_mib()
    cube = scenes.lazy_dn(size)
    touch_memory()
    start = time.perf_counter()
    lazy = sums(cube.sr.upscale("sen2sr-lite", offset=0))
    built = time.perf_counter()
    total = lazy.compute()
    done = time.perf_counter()
    assert total.size == lazy.size
    import dask

    (fused,) = dask.optimize(lazy)
    return {
        "graph_s": built - start,
        "compute_s": done - built,
        "peak_mib": peak_memory_mib(),
        "idle_mib": idle,
        "tasks": len(dict(fused.__dask_graph__())),
    }


def sums(fine: object) -> object:
    """Return one number per block of a lazy DataArray (band, y, x), made in the block's own task."""
    import numpy as np
    import xarray as xr

    assert isinstance(fine, xr.DataArray)
    chunks = tuple((1,) * len(sizes) for sizes in fine.chunks)
    return fine.data.map_blocks(_sum, chunks=chunks, dtype=np.float64, meta=np.empty((0, 0, 0)))


def _sum(block: object) -> object:
    import numpy as np

    assert isinstance(block, np.ndarray)
    return block.sum(dtype="float64").reshape(1, 1, 1)


if __name__ == "__main__":
    sys.exit(main())
