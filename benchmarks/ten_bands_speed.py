"""Compare ten bands with sen2sr from the package index: values and times.

    python -m benchmarks.peer_env                        # once: the peer's environment
    python -m benchmarks.ten_bands_speed [--models sen2sr-lite ...] [--size 512] [--cores 1 2] [--write]

Equality: the authors' example, one window of 128 pixels, run by the peer; compared 20 input pixels and more inside its
edge. Speed: one square scene of float32 reflectance in memory, 20 m pixels repeated, to a NumPy array of ten bands at
2.5 m: `cube.sr.upscale(model).compute()`, xarray and dask included, against `sen2sr.predict_large` with its windows of
128 pixels and an overlap of 32. Each run is a fresh process with a small warm-up, alternating, pinned to its cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.against_peer import PEER_VERSION, require_peer
from benchmarks.harness.machine import cores, peak_memory_mib, touch_memory
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, by_turns, column, parser, ratios, run, shared

OFFICIAL = "sen2sr-lite"
PEER = f"package sen2sr {PEER_VERSION}"
"""Not our model of that name."""
EDGE_LR, SCALE = 20, 4
TOLERANCE = 1e-4
TARGETS = {OFFICIAL: 5.0}
"""Times as fast as the peer, by model; ONE_PASS for any other."""
ONE_PASS = 25.0


def main() -> int:
    """Compare values, then times; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=3, size=512)
    arguments.add_argument("--part", choices=["equality", "speed", "all"], default="all")
    arguments.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    arguments.add_argument(
        "--models", nargs="+", default=[OFFICIAL, "sen2sr-v1"], help="ten-band models (default: %(default)s)"
    )
    arguments.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--outputs", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    require_peer()
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-peer-") as folder,
        Report("ten_bands_speed", f"Ten bands against sen2sr {PEER_VERSION}", given, threads=given.cores) as report,
    ):
        if given.part != "speed":
            _equality(report, Path(folder))
        if given.part != "equality":
            _speed(report, Path(folder), given)
    return report.exit_code


def _side(given: argparse.Namespace) -> dict[str, float]:
    import numpy as np

    if given.side == "example":
        from safetensors.numpy import load_file

        example = load_file(shared() / "weights" / "SEN2SRLite" / "main" / "example_data.safetensor")["lr"][0]
        np.save(given.inputs, np.ascontiguousarray(example))
        return {"files": 1}
    if given.side == "scene":
        np.save(given.inputs, _scene(given.size))
        return {"files": 1}
    if given.side == "equality":
        np.save(given.outputs, _cube(np.load(given.inputs)).sr.upscale(f"{OFFICIAL}.main").values)
        return {"peak_mib": peak_memory_mib()}
    return _timed(given.inputs, given.side)


def _scene(side: int) -> object:
    """Make a scene of real values: (10, side, side) float32 reflectance, pixels of 20 m repeated."""
    import numpy as np

    from benchmarks.harness.scenes import mosaic
    from benchmarks.harness.ten_scenes import TEN, dsen2_bands

    bands = dsen2_bands()
    planes = [bands[name] if bands[name].shape[0] == 600 else bands[name].repeat(2, 0).repeat(2, 1) for name in TEN]
    return np.ascontiguousarray(mosaic(np.stack(planes), (0, side), (0, side)))


def _cube(data: object) -> object:
    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes
    from benchmarks.harness.ten_scenes import TEN

    return scenes.cube(data, TEN)


def _peer(task: str, *args: str, count: int | None = None) -> Side:
    weights = shared() / "weights" / "SEN2SRLite" / "main"
    python = require_peer()
    return Side("benchmarks.ten_bands_peer", (task, "--weights", str(weights), *args), python=python, cores=count)


def _equality(report: Report, folder: Path) -> None:
    import numpy as np

    source, theirs, ours = (folder / f"{name}.npy" for name in ("example", "theirs", "ours"))
    run(Side("benchmarks.ten_bands_speed", ("--side", "example", "--inputs", str(source))))
    run(_peer("equality", "--inputs", str(source), "--outputs", str(theirs), "--threads", "2"))
    run(Side("benchmarks.ten_bands_speed", ("--side", "equality", "--inputs", str(source), "--outputs", str(ours))))
    from benchmarks.harness.ten_scenes import TEN

    cut = slice(EDGE_LR * SCALE, -EDGE_LR * SCALE)
    off = np.abs(np.load(ours).astype("float64") - np.load(theirs))[:, cut, cut].max(axis=(1, 2))
    report.text("## The same values", "", f"Largest difference, reflectance, {EDGE_LR} input pixels and more inside.")
    report.table(TEN, [[f"{one:.1e}" for one in off]])
    report.target(f"max difference {off.max():.1e}, at most {TOLERANCE:.0e}", bool(off.max() <= TOLERANCE))
    report.text()


def _speed(report: Report, folder: Path, given: argparse.Namespace) -> None:
    scene = folder / "scene.npy"
    run(Side("benchmarks.ten_bands_speed", ("--side", "scene", "--size", str(given.size), "--inputs", str(scene))))
    read = ("--inputs", str(scene))
    report.text(
        "## Speed",
        "",
        f"{given.size} x {given.size} px at 10 m, ten bands; {given.repeat} alternating runs of each side; median "
        "[least largest].",
    )
    rows, claims = [], []
    for count in given.cores:
        sides = {PEER: _peer("speed", *read, "--threads", str(count), count=count)}
        sides |= {
            model: Side("benchmarks.ten_bands_speed", ("--side", model, *read), cores=count) for model in given.models
        }
        seen = by_turns(sides, given.repeat)
        report.saw(seen)
        seconds = {name: column(side, "seconds") for name, side in seen.items()}
        for name, side in seen.items():
            ratio, pairs = ratios(seconds[PEER], seconds[name])
            peak = Spread.of(column(side, "peak_mib")).largest
            said = "1" if name == PEER else f"**{ratio:.2f}**; pairs {pairs.text()}"
            rows.append((count, name, Spread.of(seconds[name]).text(), said, f"{peak:.0f}"))
            if name != PEER:
                target = TARGETS.get(name, ONE_PASS)
                claims.append(
                    (f"{name}: {ratio:.2f} times as fast, cores: {count}; at least {target:g}", ratio >= target)
                )
    report.table(["cores", "side", "seconds", "ratio", "peak MiB"], rows)
    for claim, met in claims:
        report.target(claim, met)


def _timed(path: Path, model: str) -> dict[str, float]:
    import dask
    import numpy as np

    data = np.load(path)
    with dask.config.set(scheduler="threads", num_workers=cores()):
        _cube(data[:, :128, :128]).sr.upscale(model, chunks=64).compute()  # type: ignore[attr-defined]
        touch_memory()
        start = time.perf_counter()
        fine = _cube(data).sr.upscale(model).compute().values  # type: ignore[attr-defined]
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mib": peak_memory_mib(), "mean": float(fine.mean())}


if __name__ == "__main__":
    sys.exit(main())
