"""Measure the memory of one output block of a scene in one giant chunk.

    python -m benchmarks.giant_chunk [--write] [--folder FOLDER]

Four bands of uint16 DN, 10980 x 10980 px as in a Sentinel-2 tile, lie in a tiled GeoTIFF (opened as one dask chunk of
964 MB, out of which the reader can cut) and in a Zarr with one chunk per band (241 MB each, decoded whole by any
reader). One output block in the middle is computed, and compared with the same block made from a small crop. The files
are made in a process of their own and removed; the disk needs 2 GB for them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import peak_memory_mib
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, Values, by_turns, column, parser, run

TARGET_MIB = 1e9 / 2**20

INPUTS = {"tiff": "GeoTIFF, opened in one chunk", "zarr": "Zarr, one chunk per band"}


def main() -> int:
    """Measure both files; exit code 1 if the target is missed."""
    arguments = parser(__doc__, repeat=2, size=10980)
    folder = Path(tempfile.gettempdir())
    arguments.add_argument("--folder", type=Path, default=folder, help="where to write (default: %(default)s)")
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-giant-", dir=given.folder) as place,
        Report("giant_chunk", "One block of a giant chunk", given) as report,
    ):
        rest = ("--size", str(given.size), "--folder", place)
        run(Side("benchmarks.giant_chunk", ("--side", "make", *rest)))
        seen = by_turns(
            {kind: Side("benchmarks.giant_chunk", ("--side", kind, *rest)) for kind in INPUTS}, given.repeat
        )
        _show(report, given.size, seen)
    return report.exit_code


def _show(report: Report, size: int, seen: dict[str, list[Values]]) -> None:
    report.saw(seen)
    report.text(f"One output block of a scene of {size} x {size} px, 4 bands; libraries and weights are loaded before.")
    rows = [
        (
            INPUTS[kind],
            f"{values[0]['block']:.0f} x {values[0]['block']:.0f}",
            Spread.of(column(values, "seconds")).text(),
            f"{max(column(values, 'peak_mib')):.0f} ({max(column(values, 'idle_mib')):.0f})",
            f"{max(column(values, 'difference')):.1e}",
        )
        for kind, values in seen.items()
    ]
    report.table(["input", "block, input pixels", "seconds", "peak MiB (before)", "difference from a crop"], rows)
    for kind, values in seen.items():
        peak = max(column(values, "peak_mib"))
        report.target(f"{INPUTS[kind]}: peak memory {peak:.0f} MiB, below {TARGET_MIB:.0f} (1 GB)", peak < TARGET_MIB)


def _side(given: argparse.Namespace) -> dict[str, float]:
    if given.side == "make":
        _make(given.folder, given.size)
        return {"made": given.size}
    return _measure(given.folder, given.side)


def _make(folder: Path, size: int) -> None:
    import rasterio
    import zarr

    from benchmarks.harness import scenes

    scene = scenes.dsen2()
    shape = (4, size, size)
    bands = zarr.create_array(str(folder / "scene.zarr"), shape=shape, chunks=(1, size, size), dtype="uint16")
    profile = {"count": 4, "height": size, "width": size, "dtype": "uint16", "tiled": True}
    with rasterio.open(folder / "scene.tif", "w", driver="GTiff", **profile) as tiff:
        for number in range(4):
            band = scenes.mosaic(scene[number : number + 1], (0, size), (0, size))[0]
            bands[number] = band
            tiff.write(band, number + 1)


def _measure(folder: Path, kind: str) -> dict[str, float]:
    import dask.array as da
    import numpy as np
    import rioxarray

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    scenes.lazy_dn(128, 64).sr.upscale("sen2sr-lite", offset=0).compute()
    idle = peak_memory_mib()
    source: Any
    if kind == "tiff":
        source = rioxarray.open_rasterio(folder / "scene.tif", chunks={"band": -1, "y": -1, "x": -1}).data
    else:
        source = da.from_zarr(str(folder / "scene.zarr"))
    fine = scenes.cube(source).sr.upscale("sen2sr-lite", offset=0)
    rows, columns = (len(sizes) // 2 for sizes in fine.chunks[1:])
    start = time.perf_counter()
    block = fine.data.blocks[0, rows, columns].compute()
    seconds = time.perf_counter() - start
    peak = peak_memory_mib()

    side, margin = block.shape[-1] // 4, 40
    top, left = (sum(sizes[:at]) // 4 for sizes, at in zip(fine.chunks[1:], (rows, columns), strict=True))
    margins = [min(margin, top), min(margin, left)]
    rows_lr, columns_lr = (top - margins[0], top + side + margin), (left - margins[1], left + side + margin)
    crop = scenes.mosaic(scenes.dsen2(), rows_lr, columns_lr)
    again = scenes.cube(crop).sr.upscale("sen2sr-lite", offset=0).values
    again = again[:, 4 * margins[0] :, 4 * margins[1] :][:, : block.shape[1], : block.shape[2]]
    difference = float(np.abs(again - block).max())
    return {"seconds": seconds, "peak_mib": peak, "idle_mib": idle, "block": side, "difference": difference}


if __name__ == "__main__":
    sys.exit(main())
