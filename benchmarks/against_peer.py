"""Compare with sen2sr from the package index: values and times.

    python -m benchmarks.peer_env                        # once: the peer's environment
    python -m benchmarks.against_peer [--write]

Equality: the official model run by the peer, on windows of 128 pixels and through predict_large, on real and random
input; compared 8 input pixels and more inside the edge, where the peer's circular wrap and zero padding do not reach.
Speed: one square scene of float32 reflectance in memory to a NumPy array of the result:
`cube.sr.upscale("sen2sr-lite").compute()`, xarray and dask included, against `sen2sr.predict_large`. Each run is a
fresh process with a small warm-up (weights loaded), alternating, pinned to its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness.machine import cores, peak_memory_mib, touch_memory
from benchmarks.harness.report import Report
from benchmarks.harness.runs import MALLOC_KEPT, ROOT, Side, Spread, by_turns, column, parser, ratios, run, shared

PEER_VERSION = "0.8.5"

MAC_PER_PIXEL = 53_280
"""Multiply-adds of the network per input pixel, without the blocks that do not reach its output: "useful" work."""

EDGE_LR, SCALE = 8, 4
TOLERANCE = 1e-5
TARGETS = {1: 6.0, 2: 8.0}
"""Cores: how many times faster."""


def peer_folder() -> Path:
    """Return the folder of the peer's environment."""
    return Path(os.environ.get("XR_SR_BENCH_ENV") or ROOT / ".bench-env")


def peer_python(folder: Path) -> str:
    """Return the interpreter of an environment."""
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def require_peer() -> str:
    """Return the interpreter of the peer's environment; exits with a hint if there is none."""
    python = peer_python(peer_folder())
    if not Path(python).is_file():
        raise SystemExit(
            "There is no peer: run `python -m benchmarks.peer_env`, or name its folder in XR_SR_BENCH_ENV."
        )
    return python


def main() -> int:
    """Compare values, then times; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=5, size=1024)
    arguments.add_argument("--part", choices=["equality", "speed", "all"], default="all")
    arguments.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--malloc-kept", action="store_true", help="also with freed memory kept, both sides")
    arguments.add_argument("--passes", type=int, default=1, help="over the scene in each run; the last one is timed")
    arguments.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--outputs", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    require_peer()
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-peer-") as folder,
        Report("against_peer", f"Against sen2sr {PEER_VERSION}", given) as report,
    ):
        if given.part != "speed":
            _equality(report, Path(folder))
        if given.part != "equality":
            _speed(report, Path(folder), given)
    return report.exit_code


def _side(given: argparse.Namespace) -> dict[str, float]:
    if given.side == "inputs":
        return _write_inputs(given.inputs, given.size if given.part == "speed" else None)
    return (
        _our_equality(given.inputs, given.outputs)
        if given.side == "equality"
        else _our_speed(given.inputs, given.passes)
    )


def _write_inputs(target: Path, size: int | None) -> dict[str, float]:
    """Write what both sides read, (4, y, x) float32 reflectance: one scene of `size`, or windows and scenes."""
    import numpy as np

    from benchmarks.harness import scenes

    if size is not None:
        np.save(target, scenes.reflectance(size))
        return {"files": 1}
    chance = np.random.default_rng(0)
    dsen2, spyndex = (scene.astype("float32") * np.float32(1e-4) for scene in (scenes.dsen2(), scenes.spyndex()))
    inputs = {
        "window_example": scenes.example(),
        "window_DSen2": dsen2[:, 200:328, 300:428],
        "window_spyndex": spyndex[:, 100:228, 60:188],
        "window_random_0..0.4": chance.random((4, 128, 128), dtype="float32") * np.float32(0.4),
        "window_random_0..1": chance.random((4, 128, 128), dtype="float32"),
        # predict_large: square scenes alone, and none of 128, are right there.
        "scene_DSen2": dsen2,
        "scene_spyndex": spyndex,
        "scene_random_0..0.4": chance.random((4, 250, 250), dtype="float32") * np.float32(0.4),
    }
    for name, values in inputs.items():
        np.save(target / f"{name}.npy", np.ascontiguousarray(values))
    return {"files": len(inputs)}


def _peer(task: str, *args: str, **options: object) -> Side:
    weights = shared() / "weights" / "SEN2SRLite" / "NonReference_RGBN_x4"
    python = require_peer()
    return Side("benchmarks.peer_side", (task, "--weights", str(weights), *args), python=python, **options)  # type: ignore[arg-type]


def _equality(report: Report, folder: Path) -> None:
    import numpy as np

    inputs, theirs, ours = (folder / name for name in ("inputs", "theirs", "ours"))
    for made in (inputs, theirs, ours):
        made.mkdir()
    run(Side("benchmarks.against_peer", ("--side", "inputs", "--inputs", str(inputs))))
    run(_peer("equality", "--inputs", str(inputs), "--outputs", str(theirs), "--threads", "2"))
    run(Side("benchmarks.against_peer", ("--side", "equality", "--inputs", str(inputs), "--outputs", str(ours))))
    cut, worst, rows = EDGE_LR * SCALE, 0.0, []
    for path in sorted(inputs.glob("*.npy")):
        reference = np.load(theirs / path.name).astype("float64")[:, cut:-cut, cut:-cut]
        off = np.load(ours / path.name)[:, cut:-cut, cut:-cut] - reference
        worst = max(worst, float(np.abs(off).max()))
        low, high = reference.min(), reference.max()
        side = np.load(path, mmap_mode="r").shape[-1]
        most, rms = np.abs(off).max(), np.sqrt((off**2).mean())
        name = path.stem.replace("_", " ")
        rows.append((name, f"{side} x {side}", f"{low:.3f} .. {high:.3f}", f"{most:.1e}", f"{rms:.1e}"))
    report.text("## The same values", "", f"Reflectance, {EDGE_LR} input pixels and more inside the edge.")
    report.table(["input", "input pixels", "official output", "max difference", "rms difference"], rows)
    report.target(f"max difference {worst:.1e}, at most {TOLERANCE:.0e}", worst <= TOLERANCE)
    report.text()


def _our_equality(inputs: Path, outputs: Path) -> dict[str, float]:
    import numpy as np

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    for path in sorted(inputs.glob("*.npy")):
        np.save(outputs / path.name, scenes.cube(np.load(path)).sr.upscale("sen2sr-lite").values)
    return {"peak_mib": peak_memory_mib()}


def _speed(report: Report, folder: Path, given: argparse.Namespace) -> None:
    scene = folder / "scene.npy"
    size = ("--part", "speed", "--size", str(given.size))
    run(Side("benchmarks.against_peer", ("--side", "inputs", *size, "--inputs", str(scene))))
    read = ("--inputs", str(scene), "--passes", str(given.passes))
    pixels = given.size**2
    report.text(
        "## Speed",
        "",
        f"{given.size} x {given.size} px, {given.repeat} alternating runs of each side; median [least largest]. Useful "
        f"work is {MAC_PER_PIXEL:,} multiply-adds per input pixel, for both sides. Timed is pass "
        f"{given.passes} of a process over the scene.",
    )
    rows, claims = [], []
    for count in given.cores:
        for kept, env in ((False, {}), (True, MALLOC_KEPT)) if given.malloc_kept else ((False, {}),):
            sides = {
                "sen2sr": _peer("speed", *read, "--threads", str(count), cores=count, env=env),
                "xr_sr": Side("benchmarks.against_peer", ("--side", "speed", *read), cores=count, env=env),
            }
            seen = by_turns(sides, given.repeat)
            report.saw(seen)
            seconds = {name: column(side, "seconds") for name, side in seen.items()}
            ratio, pairs = ratios(seconds["sen2sr"], seconds["xr_sr"])
            for name, side in seen.items():
                rate = 2 * MAC_PER_PIXEL * pixels / Spread.of(seconds[name]).median / 1e9
                best = report.best_gflops(count)
                rows.append(
                    (
                        count,
                        "kept" if kept else "default",
                        name,
                        Spread.of(seconds[name]).text(),
                        f"**{ratio:.2f}**; pairs {pairs.text()}" if name == "xr_sr" else "1",
                        f"{rate:.1f}",
                        f"{rate / best:.0%}" if best else "-",
                        f"{Spread.of(column(side, 'peak_mib')).largest:.0f}",
                    )
                )
            if not kept and (target := TARGETS.get(count)):
                claims.append((f"{ratio:.2f} times as fast, cores: {count}; at least {target:g}", ratio >= target))
    head = ["cores", "malloc", "side", "seconds", "ratio", "useful GFLOP/s", "of best convolution", "peak MiB"]
    report.table(head, rows)
    for claim, met in claims:
        report.target(claim, met)


def _our_speed(path: Path, passes: int) -> dict[str, float]:
    import dask
    import numpy as np

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    data = np.load(path)
    with dask.config.set(scheduler="threads", num_workers=cores()):
        scenes.cube(data[:, :128, :128]).sr.upscale("sen2sr-lite", chunks=64).compute()
        touch_memory()
        for _ in range(passes):
            start = time.perf_counter()
            fine = scenes.cube(data).sr.upscale("sen2sr-lite").compute().values
            seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mib": peak_memory_mib(), "mean": float(fine.mean())}


if __name__ == "__main__":
    sys.exit(main())
