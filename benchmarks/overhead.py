"""Measure the cost of xarray and dask: `upscale(...).compute()` against the bare kernel called on the same blocks.

    python -m benchmarks.overhead [--write]

Four sides, each a fresh process, alternating: "bare" calls the kernel on tiles in memory, in as many threads as
the scheduler has, and keeps the blocks; "assembled" also copies them into one array; "persist" is
`upscale(...).persist()`, which keeps blocks too; "compute" is `upscale(...).compute()`, which gives one array. The
target is for "compute" against "bare", the strictest pair.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from benchmarks.harness.machine import cores, touch_memory
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, by_turns, column, parser, ratios

SIDES = ("bare", "assembled", "persist", "compute")
TARGET = 1.10


def main() -> int:
    """Compare the sides; exit code 1 if the target is missed."""
    arguments = parser(__doc__, repeat=5, size=1024)
    arguments.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    given = arguments.parse_args()
    if given.side:
        print(json.dumps({"seconds": _measure(given.side, given.size)}))
        return 0
    with Report("overhead", "Overhead of xarray and dask over the bare kernel", given) as report:
        report.text(
            f"{given.size} x {given.size} px of float32 reflectance in memory, {given.repeat} alternating runs; median "
            "[least largest]."
        )
        rows, claims = [], []
        for count in given.cores:
            size = ("--size", str(given.size))
            sides = {name: Side("benchmarks.overhead", ("--side", name, *size), cores=count) for name in SIDES}
            seen = by_turns(sides, given.repeat)
            report.saw(seen)
            bare = column(seen["bare"], "seconds")
            for name in SIDES:
                seconds = column(seen[name], "seconds")
                ratio, pairs = ratios(seconds, bare)
                rows.append((count, name, Spread.of(seconds).text(".3f"), f"{ratio:.3f}; pairs {pairs.text('.3f')}"))
            ratio, _ = ratios(column(seen["compute"], "seconds"), bare)
            claims.append((f"{ratio - 1:+.1%}, cores: {count}; at most {TARGET - 1:.0%}", ratio <= TARGET))
        report.table(["cores", "side", "seconds", "of bare"], rows)
        for claim, met in claims:
            report.target(claim, met)
    return report.exit_code


def _measure(side: str, size: int) -> float:
    import dask

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    data = scenes.reflectance(size)
    count = cores()
    work = _bare(data, count, assemble=side == "assembled") if side in ("bare", "assembled") else _lazy(data, side)
    with dask.config.set(scheduler="threads", num_workers=count):
        scenes.cube(data[:, :128, :128]).sr.upscale("sen2sr-lite", chunks=64).compute()
        touch_memory()
        start = time.perf_counter()
        kept = work()
        seconds = time.perf_counter() - start
    assert kept is not None
    return seconds


def _lazy(data: object, side: str) -> Callable[[], object]:
    from benchmarks.harness import scenes

    cube = scenes.cube(data)
    return lambda: getattr(cube.sr.upscale("sen2sr-lite"), side)()


def _bare(data: object, threads: int, *, assemble: bool) -> Callable[[], object]:
    """Make the tiles of all blocks, and return the function that runs the kernel over them."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from benchmarks.harness import scenes
    from xr_sr import kernels
    from xr_sr.catalog import fetch, registry
    from xr_sr.spec import Tile

    assert isinstance(data, np.ndarray)
    spec = registry.get("sen2sr-lite.rgbn-x4")
    located = fetch.locate(spec, download=False)
    low_pass = kernels.constraint_for(spec, "auto")
    kernel = kernels.build(kernels.KernelRef(spec, str(located.path), located.sha256, "cpu", "float32", low_pass))
    halo = kernel.halo
    padded = np.pad(data, [(0, 0), (halo, halo), (halo, halo)], mode="symmetric")
    fine = scenes.cube(data).sr.upscale("sen2sr-lite")
    edges = [np.cumsum([0, *(length // spec.scale for length in lengths)]).tolist() for lengths in fine.chunks[1:]]
    jobs = []
    for top, bottom in zip(edges[0][:-1], edges[0][1:], strict=True):
        for left, right in zip(edges[1][:-1], edges[1][1:], strict=True):
            block = np.ascontiguousarray(padded[None, :, top : bottom + 2 * halo, left : right + 2 * halo])
            jobs.append((block, Tile((top, bottom), (left, right), halo=halo)))
    pool = ThreadPoolExecutor(threads)
    small = (np.ascontiguousarray(padded[None, :, : 64 + 2 * halo, : 64 + 2 * halo]), Tile((0, 64), (0, 64), halo=halo))
    list(pool.map(lambda job: kernel(*job), [small] * 4 * threads))

    def work() -> object:
        if not assemble:
            return list(pool.map(lambda job: kernel(*job), jobs))
        out = np.empty(fine.shape, dtype="float32")

        def place(job: tuple[object, Tile]) -> None:
            (top, bottom), (left, right) = job[1].y, job[1].x
            s = spec.scale
            out[:, top * s : bottom * s, left * s : right * s] = kernel(*job)[0]

        list(pool.map(place, jobs))
        return out

    return work


if __name__ == "__main__":
    sys.exit(main())
