"""Measure time and memory of joining dates, beside as many single images.

    python -m benchmarks.multiframe [--size 1024] [--dates 8 40] [--repeat 3] [--write]

A real scene, mirrored and repeated to the size, gets a sub-pixel shift and noise on each date, and is written
as DN to a Zarr in chunks of one date and 512 pixels, by a process of its own. Then, each run in a fresh process and in
turns: one image of all dates by `multiframe`, with the weights of all dates, and the last date alone by `interval` and
by `upscale`, all by kriging, to sums of blocks. Shifts and brightness are measured in the same run. Memory is the
largest resident size of the process.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness.machine import peak_memory_mib
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, by_turns, column, parser, ratios, run
from benchmarks.scaling import sums

TARGET_MIB = 3e9 / 2**20
TARGET_TIMES = 1.5
"""How many times as long joining may take as the single images of all dates."""

CHUNK = 512
WINDOW = "3650D"
INTERVAL, ESTIMATE = "one date, interval", "one date, upscale"


def main() -> int:
    """Measure all numbers of dates; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=3, size=1024)
    arguments.add_argument("--dates", type=int, nargs="+", default=[8, 40], help="default: %(default)s")
    arguments.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-multiframe-") as folder,
        Report("multiframe_speed", "Speed and memory of many dates", given) as report,
    ):
        store = str(Path(folder) / "dates.zarr")
        shared = ("--size", str(given.size), "--store", store, "--dates")
        run(Side("benchmarks.multiframe", ("--side", "make", *shared, str(max(given.dates)))))
        sides = {
            INTERVAL: Side("benchmarks.multiframe", ("--side", "interval", *shared, "1")),
            ESTIMATE: Side("benchmarks.multiframe", ("--side", "upscale", *shared, "1")),
        }
        for dates in given.dates:
            sides[f"{dates} dates"] = Side("benchmarks.multiframe", ("--side", "multiframe", *shared, str(dates)))
        seen = by_turns(sides, given.repeat)
        report.saw(seen)
        report.text(
            f"{given.size} x {given.size} pixels of four bands, all cores, {given.repeat} runs in turns; median [least "
            "largest]. Times as long: the ratio of medians, and that of runs of one turn, to the single images of as "
            "many dates, with standard deviations (`interval`) and without (`upscale`).",
        )
        single = {name: column(seen[name], "seconds") for name in (INTERVAL, ESTIMATE)}
        lines, found = [], {}
        for name, values in seen.items():
            seconds = column(values, "seconds")
            times = ["", ""]
            if name not in single:
                count = int(name.split()[0])
                compared = {other: ratios(seconds, [count * each for each in one]) for other, one in single.items()}
                times = [f"**{ratio:.2f}**; turns {turns.text()}" for ratio, turns in compared.values()]
                found[name] = compared[INTERVAL][0], max(column(values, "peak_mib"))
            peak = Spread.of(column(values, "peak_mib")).text(".0f")
            busy = Spread.of(column(values, "processor")).text()
            lines.append((name, Spread.of(seconds).text(), *times, busy, peak))
        head = ["side", "seconds", "times as long as interval", "as upscale", "processor, s", "peak memory, MiB"]
        report.table(head, lines)
        for name, (ratio, peak) in found.items():
            claim = f"{name}: {ratio:.2f} times as long as their intervals one by one; at most {TARGET_TIMES}"
            report.target(claim, ratio <= TARGET_TIMES)
            report.target(f"{name}: {peak:.0f} MiB; at most {TARGET_MIB:.0f} (3 GB)", peak <= TARGET_MIB)
    return report.exit_code


def _side(given: argparse.Namespace) -> dict[str, float]:
    import xarray as xr

    import xr_sr  # noqa: F401  # registers .sr

    count = given.dates[0]
    if given.side == "make":
        return _make(given.store, given.size, count)
    cube = xr.open_zarr(given.store, decode_coords="all")["dn"].isel(time=slice(-count, None))
    declared = {"offset": 0, "nodata": 0, "device": "cpu"}
    small = cube.isel(y=slice(64), x=slice(64), time=slice(-2, None))
    _lazy(small, given.side, declared).compute()  # loads libraries
    start, busy = time.perf_counter(), time.process_time()
    found = _lazy(cube, given.side, declared).compute()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": seconds, "processor": busy, "peak_mib": peak_memory_mib(), "sum": float(found)}


def _lazy(cube: object, how: str, declared: dict[str, object]) -> object:
    """Return one number that needs all of the estimate, and of the standard deviation if there is one."""
    import xarray as xr

    assert isinstance(cube, xr.DataArray)
    if how == "multiframe":
        made = cube.sr.multiframe(WINDOW, **declared).isel(time=0)
    else:
        made = getattr(cube.isel(time=-1, drop=True).sr, how)(model="kriging", **declared)
    planes = [made] if how == "upscale" else [made["estimate"], made["std"]]
    total = sum(sums(plane).sum() for plane in planes)
    if how == "multiframe":
        total = total + made["n_effective"].data.sum() + sums(made["weight"]).sum()
    return total


def _make(store: Path, side: int, dates: int) -> dict[str, float]:
    """Write the dates; the last one is not shifted."""
    import numpy as np

    from benchmarks.harness import scenes
    from xr_sr.registration import warp

    chance = np.random.default_rng(0)
    scene = scenes.mosaic(scenes.dsen2(), (0, side), (0, side)).astype("float32")
    for date in range(dates):
        dy, dx = (0.0, 0.0) if date == dates - 1 else chance.uniform(-0.5, 0.5, 2)
        image = warp(scene, dy, dx, edge="repeat") + chance.normal(0, 10, scene.shape)
        stamp = np.array([np.datetime64("2023-01-01", "ns") + np.timedelta64(5 * date, "D")])
        one = scenes.cube(image.clip(1, 65535).astype("uint16")).expand_dims(time=stamp).to_dataset(name="dn")
        one["dn"].encoding = {"chunks": (1, len(one.band), CHUNK, CHUNK)}
        one.to_zarr(store, append_dim="time" if date else None)
    return {"dates": float(dates)}


if __name__ == "__main__":
    sys.exit(main())
