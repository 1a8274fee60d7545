"""Measure kriging and the network that adds to it: their kernels beside `sen2sr-v1`'s, and kriging beside the peer.

    python -m benchmarks.peer_env                        # once: the peer's environment
    python -m benchmarks.kriging_speed [--part kernels] [--write]

Kernels: one block of four bands on one thread, all models in turns in one process, by processor time, which other
processes disturb less. Peer: from a cube in memory, on two cores, `cube.sr.upscale("kriging")` to one NumPy array
(`.compute()`) and to blocks (`.persist()`), against `sen2sr.predict_large`; each run is a fresh process, alternating.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.against_peer import PEER_VERSION, require_peer
from benchmarks.harness.machine import cores, peak_memory_mib, touch_memory
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, by_turns, column, parser, ratios, run, shared

if TYPE_CHECKING:
    from xr_sr.kernels.protocol import Kernel

FIRST = "sen2sr-v1.rgbn-x4"
KERNELS = {FIRST: None, "kriging": 4.0, "kriging, with deviations": None, "sen2sr.rgbn-x4": 0.8}
"""How many times as fast as FIRST they are to be."""
PEER = f"package sen2sr {PEER_VERSION}"
DOORS, CORES = {"compute": 12.0, "persist": 25.0}, 2
"""How many times as fast as the peer each way is to be, on as many cores."""


def main() -> int:
    """Compare kernels, then the public door with the peer; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=5, size=1024)
    arguments.add_argument("--part", choices=["kernels", "peer", "all"], default="all")
    arguments.add_argument("--cores", type=int, default=CORES, help="of the comparison with the peer")
    arguments.add_argument("--turns", type=int, default=9, help="of the kernels (default: %(default)s)")
    arguments.add_argument("--block", type=int, default=512, help="side of their block (default: %(default)s)")
    arguments.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    if given.part != "kernels":
        require_peer()
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-kriging-") as folder,
        Report("kriging_speed", "Speed of kriging", given, threads=(1,)) as report,
    ):
        if given.part != "peer":
            _kernels(report, given)
        if given.part != "kernels":
            _peer(report, Path(folder) / "scene.npy", given)
    return report.exit_code


def _side(given: argparse.Namespace) -> dict[str, object]:
    import numpy as np

    from benchmarks.harness import scenes

    if given.side == "kernels":
        return _times(given.block, given.turns)
    if given.side == "scene":
        np.save(given.inputs, scenes.reflectance(given.size))
        return {"files": 1}
    return _door(given.inputs, given.side)


def _kernels(report: Report, given: argparse.Namespace) -> None:
    size = ("--block", str(given.block), "--turns", str(given.turns))
    seen = run(Side("benchmarks.kriging_speed", ("--side", "kernels", *size), cores=1))
    report.saw({"kernels": [seen]})
    report.text(
        "## Kernels",
        "",
        f"Block of {given.block} x {given.block} px, 4 bands, float32, one thread; processor time of {given.turns} "
        f"turns, median [least largest]. The last column compares the times of each turn.",
    )
    speed = {name: Spread.of([a / b for a, b in zip(seen[FIRST], seen[name], strict=True)]) for name in KERNELS}
    head = ["kernel", "ns per input pixel", f"times as fast as {FIRST}"]
    report.table(head, [(name, Spread.of(seen[name]).text(".0f"), speed[name].text()) for name in KERNELS])
    for name, target in KERNELS.items():
        if target:
            claim = f"{name}: {speed[name].median:.2f} times as fast as {FIRST}; at least {target:g}"
            report.target(claim, speed[name].median >= target)
    report.text()


def _times(side: int, count: int) -> dict[str, list[float]]:
    """Return nanoseconds of processor time per input pixel of each turn, by kernel."""
    import numpy as np

    from benchmarks.harness import scenes
    from xr_sr.spec import Tile

    runs = {}
    for name in KERNELS:
        kernel = _kernel(name)
        block = np.ascontiguousarray(scenes.reflectance(side + 2 * kernel.halo)[None])
        runs[name] = (kernel, block, Tile((0, side), (0, side), halo=kernel.halo))
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(count + 1):
        for name, (kernel, block, tile) in runs.items():
            start = time.process_time()
            kernel(block, tile)
            if turn:  # the first one warms up
                found[name].append((time.process_time() - start) / side**2 * 1e9)
    return found


def _kernel(name: str) -> Kernel:
    from benchmarks.harness.scenes import RGBN
    from xr_sr import kernels
    from xr_sr.catalog import fetch, registry
    from xr_sr.catalog.models import Kriging
    from xr_sr.kernels.observe import check_kriging, observed

    spec = registry.get(name.partition(",")[0])
    if isinstance(spec, Kriging):
        sensors = tuple(observed(check_kriging(spec), RGBN, 1, 10.0))
        spread = kernels.Spread(((1.0, 1.0, 1.0),) * len(RGBN)) if "," in name else None
        return kernels.build(kernels.KernelRef(spec, device="cpu", sensors=sensors, spread=spread))
    located = fetch.locate(spec, download=False)
    return kernels.build(kernels.KernelRef(spec, str(located.path), located.sha256, "cpu"))


def _peer(report: Report, scene: Path, given: argparse.Namespace) -> None:
    run(Side("benchmarks.kriging_speed", ("--side", "scene", "--size", str(given.size), "--inputs", str(scene))))
    weights = shared() / "weights" / "SEN2SRLite" / "NonReference_RGBN_x4"
    theirs = ("speed", "--weights", str(weights), "--inputs", str(scene), "--threads", str(given.cores))
    sides = {PEER: Side("benchmarks.peer_side", theirs, cores=given.cores, python=require_peer())}
    for how in DOORS:
        ours = ("--side", how, "--inputs", str(scene))
        sides[how] = Side("benchmarks.kriging_speed", ours, cores=given.cores)
    seen = by_turns(sides, given.repeat)
    report.saw(seen)
    report.text(
        "## Beside the peer",
        "",
        f'{given.size} x {given.size} px of four bands in memory, `upscale("kriging")`, {given.cores} cores, '
        f"{given.repeat} alternating runs; median [least largest]. Where other jobs ran, what both took of the "
        "processors says more, on one core: threads of the peer that wait for each other take of them too.",
    )
    wall, busy = ({name: column(side, key) for name, side in seen.items()} for key in ("seconds", "processor"))
    speed = {name: ratios(wall[PEER], wall[name]) for name in sides}
    rows = [
        (
            name,
            Spread.of(wall[name]).text(".3f"),
            f"**{ratio:.2f}**; pairs {pairs.text()}",
            Spread.of(busy[name]).text(".3f"),
            f"{ratios(busy[PEER], busy[name])[0]:.2f}",
        )
        for name, (ratio, pairs) in speed.items()
    ]
    report.table(["side", "seconds", "times as fast", "seconds of processors", "times as few"], rows)
    for how, target in DOORS.items() if given.cores == CORES else []:
        report.target(f"{how}: {speed[how][0]:.2f} times as fast; at least {target:g}", speed[how][0] >= target)


def _door(path: Path, how: str) -> dict[str, float]:
    import dask
    import numpy as np

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    data = np.load(path)
    with dask.config.set(scheduler="threads", num_workers=cores()):
        scenes.cube(data[:, :128, :128]).sr.upscale("kriging", chunks=64).compute()
        touch_memory()
        start, busy = time.perf_counter(), time.process_time()
        fine = getattr(scenes.cube(data).sr.upscale("kriging"), how)()
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": seconds, "processor": busy, "peak_mib": peak_memory_mib(), "pixels": float(fine.size)}


if __name__ == "__main__":
    sys.exit(main())
