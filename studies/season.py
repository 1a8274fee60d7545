"""Compute the water frequency of a season on two worker processes, killed halfway and resumed, and measure the memory.

Part of `floods.py`, which shows it. 12 dates x 10 bands x 2048 x 2048 pixels of DN, all ten bands in each chunk: a
synthetic scene of 256 x 256 pixels whose water rises and falls, mirrored and repeated. Water by MNDWI and one threshold
for all dates at the input's 10 m, `water_history`, `to_zarr`. At LR, since ten bands of a season at 2.5 m take hours
and show nothing new about memory: that of the network's blocks is bounded, see `scaling.py` and `store.py`.

The run is a process of its own with two worker processes. Their memory is summed over the whole tree ten times a
second, as resident (what they share counts twice), and every second as proportional (it counts once).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.report import Report
from benchmarks.harness.runs import environment

DATES, TILE, SIDE, CHUNK = 12, 256, 2048, 512

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

RISES_M = (0, 0, 0.5, 1, 2, 3, 2.5, 2, 1, 0.5, 0, 0)

TARGET_MIB = 3 * 1000**3 / 2**20
"""3 GB."""

LIMIT_S = 1500


def show(report: Report) -> None:
    """Run it without interruption, then killed halfway and again, and write the measurements."""
    with tempfile.TemporaryDirectory(prefix="xr-sr-season-") as folder:
        place = Path(folder)
        subprocess.run(_command(place, "tile.npy"), env=environment({}), check=True)
        whole = _watch(place, "whole.zarr")
        killed = _watch(place, "killed.zarr", kill=True)
        rest = _watch(place, "killed.zarr")
        equal = _content(place / "whole.zarr") == _content(place / "killed.zarr")
    report.text(
        "## A season",
        "",
        f"{DATES} dates x {len(BANDS)} bands x {SIDE} x {SIDE} pixels of uint16 DN ({_gb()} GB, made chunk by chunk), "
        "water by MNDWI with one threshold by Otsu for all dates at 10 m, its frequency and the number of observations "
        "to Zarr, by `LocalCluster(n_workers=2, threads_per_worker=1)`. Memory is the largest sum over client, "
        "scheduler and workers: resident, in which what they share counts more than once, and proportional.",
    )
    lines = [
        (name, f"{run['blocks']} of {run['all']}", f"{run['rss']:.0f}", f"{run['pss']:.0f}")
        for name, run in (("uninterrupted", whole), ("killed halfway", killed), ("resumed", rest))
    ]
    report.table(["run", "blocks in the store after it", "resident, MiB", "proportional, MiB"], lines)
    peak = max(run["rss"] for run in (whole, killed, rest))
    report.target(f"peak memory {peak:.0f} MiB over all processes, at most {TARGET_MIB:.0f} (3 GB)", peak <= TARGET_MIB)
    between = 0 < killed["blocks"] < killed["all"]
    report.target("killed by SIGKILL with some blocks written and others not", between)
    report.target("after the second run the store has the bytes of the uninterrupted one", equal)
    report.text("")


def _gb() -> str:
    return f"{DATES * len(BANDS) * SIDE * SIDE * 2 / 1e9:.1f}"


def _write_tile(path: Path) -> None:
    """Draw the small scene: (time, band, y, x) DN on the 10 m grid, 20 m pixels repeated."""
    import xr_sr

    scene: Any = xr_sr.simulate_scene(TILE, DATES, seed=3, flood_m=RISES_M)["lr"]
    planes = []
    for band in BANDS:
        node = "r10m" if band in scene["r10m"] else "r20m"
        values = scene[f"{node}/{band}"].values
        factor = TILE // values.shape[-1]
        planes.append(values.repeat(factor, 1).repeat(factor, 2))
    np.save(path, np.stack(planes, axis=1))


def _season(tile: NDArray[np.uint16]) -> Any:
    """Make the lazy cube: (time, band, y, x), one date and all bands a chunk."""
    import dask.array as da
    import pandas as pd
    import xarray as xr
    from odc.geo.xr import xr_coords

    from benchmarks.harness.scenes import geobox

    sides = (CHUNK,) * (SIDE // CHUNK)
    data = da.map_blocks(
        _block, tile, chunks=((1,) * DATES, (len(BANDS),), sides, sides), dtype=np.uint16,
        meta=np.empty((0, 0, 0, 0), np.uint16),
    )  # fmt: skip
    coords = {"time": pd.date_range("2023-03-01", periods=DATES, freq="10D"), "band": list(BANDS)}
    return xr.DataArray(data, dims=("time", "band", "y", "x"), coords={**coords, **xr_coords(geobox(SIDE, SIDE))})


def _block(tile: NDArray[Any], block_info: dict[Any, Any] | None = None) -> NDArray[Any]:
    from benchmarks.harness.scenes import mirrored

    assert block_info is not None
    dates, _, rows, columns = block_info[None]["array-location"]
    part = tile[slice(*dates)]
    return part[:, :, mirrored(*rows, TILE)[:, None], mirrored(*columns, TILE)]


def _run(folder: Path, name: str) -> None:
    """The run itself, in a process of its own."""
    import warnings

    from distributed import Client, LocalCluster

    import xr_sr
    from xr_sr.analytics import water_history

    warnings.simplefilter("ignore")
    tile = np.load(folder / "tile.npy")
    # Limits as two workers of 3 GB have them, less what client and scheduler need.
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="1.1GB", dashboard_address=None) as cluster,
        Client(cluster),
    ):
        history = water_history(xr_sr.water(_season(tile), "MNDWI", offset=-1000))[["frequency", "observations"]]
        history.sr.to_zarr(folder / name, region=1, chunks=CHUNK, progress=False)


def _watch(folder: Path, name: str, *, kill: bool = False) -> dict[str, Any]:
    """Start a run and watch its memory; with `kill`, end it and its workers once half of the blocks are written."""
    import psutil

    env = {**environment({}), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(_command(folder, name), env=env, start_new_session=True)
    own, most, start = psutil.Process(process.pid), {"rss": 0.0, "pss": 0.0}, time.monotonic()
    number = 0
    while process.poll() is None:
        _note(own, most, proportional=number % 10 == 0)
        number += 1
        if kill and _blocks(folder / name) >= _all_blocks() // 2:
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own: client, scheduler, workers and their nannies
        if time.monotonic() - start > LIMIT_S:
            os.killpg(process.pid, signal.SIGKILL)
            raise SystemExit(f"The season took more than {LIMIT_S} s.")
        time.sleep(0.1)
    if process.returncode and not kill:
        raise SystemExit(f"The season failed: {process.returncode}.")
    return {"blocks": _blocks(folder / name), "all": _all_blocks(), **most}


def _command(folder: Path, name: str) -> list[str]:
    """Return the command that makes a file of the folder: the small scene, or a store."""
    return [sys.executable, "-m", "studies.season", "--folder", str(folder), "--name", name]


def _note(own: Any, most: dict[str, float], *, proportional: bool) -> None:
    """Record the memory of a process and all below it. proportional: that too, which takes longer to ask."""
    import psutil

    sums = {"rss": 0.0, "pss": 0.0}
    try:
        family = [own, *own.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in family:
        try:
            sums["rss"] += each.memory_info().rss / 2**20
            if proportional:
                sums["pss"] += getattr(each.memory_full_info(), "pss", 0) / 2**20
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    for key, value in sums.items():
        most[key] = max(most[key], value)


def _blocks(store: Path) -> int:
    """Count the blocks of `frequency` in a store."""
    return sum(path.is_file() for path in (store / "frequency" / "c").rglob("*"))


def _all_blocks() -> int:
    return (SIDE // CHUNK) ** 2


def _content(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    if given.name.endswith(".npy"):
        _write_tile(given.folder / given.name)
    else:
        _run(given.folder, given.name)
