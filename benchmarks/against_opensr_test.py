"""Compare with opensr-test from the package index: numbers and times.

    python -m benchmarks.peer_env                              # once: the peer's environment
    python -m benchmarks.against_opensr_test [--write]

Images of the network and references made from them, of two sizes, as in a set of test patches. The peer takes one image
a call, `opensr_test.Metrics().compute`; `xr_sr.metrics.opensr_test` takes all as dates of a cube. `xr_sr.evaluate()`,
in its default profile, measures more: PSNR, SSIM, SAM, ERGAS and Q-index as well, and shifts with their quality. The
best of three rounds in a fresh process counts, after one that warms up; alternating, on one core. Both profiles are to
be twice as fast as the peer, the default one at 512 x 512. With --large also the memory of an evaluation of 4096 x 4096
pixels.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.against_peer import require_peer
from benchmarks.harness.machine import peak_memory_mib
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, by_turns, column, parser, ratios, run

IMAGES = {48: 32, 128: 8}
"""Sides of the LR images, and how many of them."""

LARGE = 1024
TARGET, TARGET_MIB = 2.0, 2e9 / 2**20
DEFAULT_FROM = 128
"""Least side of the LR images at which the default profile has the target too."""

NAMES = {
    "reflectance": "reflectance",
    "spectral": "spectral",
    "spatial": "spatial",
    "synthesis": "synthesis",
    "improvement": "im_metric",
    "omission": "om_metric",
    "hallucination": "ha_metric",
}
"""Our name of a number, and the peer's."""


def main() -> int:
    """Compare numbers and times; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=3)
    arguments.add_argument("--large", action="store_true", help="also the memory of a large evaluation")
    arguments.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--lr", type=int, default=0, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        made = {"inputs": _make, "large": _large}.get(given.side)
        print(json.dumps(made(given) if made else _measure(given.inputs, given.side)))
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-opensr-test-") as folder,
        Report("against_opensr_test", "Against opensr-test 1.3.3", given, threads=(1,)) as report,
    ):
        for size in IMAGES:
            _compare(report, Path(folder), size, given.repeat)
        if given.large:
            found = run(Side("benchmarks.against_opensr_test", ("--side", "large", "--lr", str(LARGE))))
            report.text("## A large evaluation")
            report.target(
                f"{4 * LARGE} x {4 * LARGE} x 4, both dask-backed: {found['seconds']:.0f} s, peak memory "
                f"{found['peak_mib']:.0f} MiB, below {TARGET_MIB:.0f} (2 GB)",
                found["peak_mib"] < TARGET_MIB,
            )
    return report.exit_code


def _compare(report: Report, folder: Path, size: int, repeat: int) -> None:
    inputs = folder / str(size)
    inputs.mkdir()
    run(Side("benchmarks.against_opensr_test", ("--side", "inputs", "--inputs", str(inputs), "--lr", str(size))))
    read = ("--inputs", str(inputs))
    sides = {
        "opensr-test": Side("benchmarks.opensr_test_side", read, python=require_peer(), cores=1),
        "profile opensr-test": Side("benchmarks.against_opensr_test", ("--side", "opensr-test", *read), cores=1),
        "default profile": Side("benchmarks.against_opensr_test", ("--side", "default", *read), cores=1),
    }
    seen = by_turns(sides, repeat)
    report.saw(seen)
    theirs, ours = seen["opensr-test"][0]["found"], seen["profile opensr-test"][0]["found"]
    report.text(f"## {IMAGES[size]} images of {size} x {size} to {4 * size} x {4 * size} pixels, 4 bands")
    rows = []
    slow = column(seen["opensr-test"], "seconds")
    for name in sides:
        ratio, _ = ratios(slow, column(seen[name], "seconds"))
        rows.append((name, Spread.of(column(seen[name], "seconds")).text(".3f"), f"{ratio:.1f}"))
    report.table(["side", "seconds", "times as fast"], rows)
    report.table(
        ["number", "opensr-test", "profile opensr-test"],
        [(name, f"{theirs[peer]:.6f}", f"{ours[name]:.6f}") for name, peer in NAMES.items()],
    )
    for name in ("profile opensr-test", "default profile"):
        if name == "default profile" and size < DEFAULT_FROM:
            continue
        ratio, _ = ratios(slow, column(seen[name], "seconds"))
        report.target(f"{name}: {ratio:.2f} times as fast as opensr-test, at least {TARGET:g}", ratio >= TARGET)
    report.text()


def _make(given: argparse.Namespace) -> dict[str, float]:
    """Upscale a real image, and make a reference from it: sharper, shifted, of other brightness, noisy."""
    import numpy as np
    from scipy import ndimage

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    chance, side = np.random.default_rng(5), given.lr
    made: dict[str, list[Any]] = {"lr": [], "sr": [], "hr": []}
    count = IMAGES[side]
    for number in range(count):
        lr = scenes.reflectance(side * count)[:, side * number : side * (number + 1), :side]
        sr = scenes.cube(lr).sr.upscale("sen2sr-lite", device="cpu").values
        sharp = sr + 1.1 * (sr - ndimage.gaussian_filter(sr, (0, 1.2, 1.2)))
        moved = ndimage.shift(sharp, (0, -1.2, 0.5), order=3, mode="nearest")
        hr = 1.05 * moved + 0.004 + chance.normal(0, 0.002, moved.shape)
        for name, image in (("lr", lr), ("sr", sr), ("hr", hr)):
            made[name].append(image)
    for name, images in made.items():
        np.save(given.inputs / f"{name}.npy", np.stack(images).astype("float32"))
    return {"made": given.lr}


def _cubes(inputs: Path) -> list[Any]:
    import numpy as np
    import xarray as xr

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    images = np.load(inputs / "lr.npy")
    dates = np.datetime64("2023-01-01", "ns") + np.arange(len(images)) * np.timedelta64(5, "D")
    lr = xr.concat([scenes.cube(image) for image in images], xr.DataArray(dates, dims="time", name="time"))
    fine = lr.sr.upscale("nearest", device="cpu")
    return [lr, *(fine.copy(data=np.load(inputs / f"{name}.npy")) for name in ("sr", "hr"))]


def _measure(inputs: Path, profile: str, times: int = 3) -> dict[str, Any]:
    import dask

    import xr_sr

    lr, sr, hr = _cubes(inputs)
    measure = xr_sr.metrics.opensr_test if profile == "opensr-test" else xr_sr.evaluate
    seconds = []
    with dask.config.set(scheduler="sync"):
        measure(*(cube.isel(time=slice(2)) for cube in (lr, sr, hr))).compute()
        for _ in range(times):
            start = time.perf_counter()
            found = measure(lr, sr, hr).compute()
            seconds.append(time.perf_counter() - start)
    numbers = {name: float(found[name].mean()) for name in NAMES}
    return {"seconds": min(seconds), "peak_mib": peak_memory_mib(), "found": numbers}


def _large(given: argparse.Namespace) -> dict[str, float]:
    import dask.array as da

    import xr_sr
    from benchmarks.harness import scenes

    lr = scenes.cube(scenes.reflectance(given.lr)).chunk(y=256, x=256)
    sr = lr.sr.upscale("bicubic", device="cpu")
    noise = da.random.default_rng(1).normal(0, 0.01, sr.shape, chunks=sr.chunks).astype("float32")
    start = time.perf_counter()
    xr_sr.evaluate(lr, sr, sr.copy(data=sr.data + noise)).compute()
    return {"seconds": time.perf_counter() - start, "peak_mib": peak_memory_mib()}


if __name__ == "__main__":
    sys.exit(main())
