"""Join many dates of simulated scenes with 20 m bands, which the 10 m bands of all dates guide.

Part of `multiframe`, which writes the page.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np
import xarray as xr

import xr_sr
from benchmarks.harness.report import Report

SIDE = 96
"""Of a scene, in input pixels."""

DATES = (1, 2, 4, 8)
SEEDS = 2
"""Scenes for each series of a place."""

GOAL = 0.5
"""How many dB 20 m bands of eight dates are to be better than kriging each alone, in the mean of scenes."""

ALONE, GUIDED, JOINED = "kriging, each band alone", "sen2sr, one date", "multiframe"


def measure(seeds: int) -> list[dict[str, Any]]:
    """Return PSNR of each 20 m band of each scene, and how often intervals hold."""
    rows = []
    for seed in range(1, SEEDS * seeds + 1):
        dates = [str(np.datetime64("2023-06-01") + 3 * number) for number in range(DATES[-1])]
        scene = xr_sr.simulate_scene(SIDE, dates, shifts=0.5, seed=seed).compute()
        truth = scene["hr"].to_dataset().isel(time=0, drop=True)
        tree = xr.DataTree.from_dict({name: scene["lr"][name].to_dataset() for name in ("r10m", "r20m")})
        coarse = tree["r20m"].to_dataset()
        bands = [str(band) for band in coarse.data_vars]
        first = xr.DataTree.from_dict({name: tree[name].to_dataset().isel(time=0) for name in ("r10m", "r20m")})
        images = {
            ALONE: coarse.isel(time=0)
            .sr.upscale("kriging", scale=8, allow_gsd=True, device="cpu")
            .to_dataarray("band"),
            GUIDED: first.sr.upscale("sen2sr", device="cpu").to_dataarray("band"),
        }
        for image, values in images.items():
            rows += _judged(image, 1, seed, values.compute(), truth, bands)
        for count in DATES:
            few = xr.DataTree.from_dict(
                {name: tree[name].to_dataset().isel(time=slice(count)) for name in ("r10m", "r20m")}
            )
            made = few.sr.multiframe("60D", reference="2023-06-01", device="cpu").isel(time=0, drop=True).compute()
            rows += _judged(JOINED, count, seed, made["estimate"], truth, bands, made)
    return rows


def _judged(
    image: str, dates: int, seed: int, values: Any, truth: xr.Dataset, bands: list[str], made: Any = None
) -> list[dict[str, Any]]:
    inner = {axis: slice(32, -32) for axis in ("y", "x")}
    rows = []
    for band in bands:
        known = truth[band].isel(inner).values
        found = values.sel(band=band).isel(inner).values
        row = {"image": image, "dates": dates, "seed": seed, "band": band}
        row["psnr"] = float(-10 * np.log10(np.square(found - known).mean(dtype="f8")))
        if made is not None:
            low, high = (made[name].sel(band=band).isel(inner).values for name in ("lower", "upper"))
            row["coverage"] = float(((low <= known) & (known <= high)).mean())
            row["counted"] = float(made["n_effective"].isel(inner).mean())
        rows.append(row)
    return rows


def show(report: Report, rows: list[dict[str, Any]]) -> None:
    """Write the table of bands, and judge it."""
    bands = list(dict.fromkeys(row["band"] for row in rows))
    seeds = {row["seed"] for row in rows}
    report.text(
        "## 20 m bands",
        "",
        f"{len(seeds)} synthetic scenes (`simulate_scene`) of {SIDE} × {SIDE} pixels of 10 m, shifts within ±0.5 px, "
        "noise, haze and seasons as it makes them; the first date is shown. PSNR in dB, mean over scenes, and the gain "
        "over kriging each band alone; in the last line the coverage of intervals of 90 % with eight dates. These "
        "landscapes of straight edges are unlike those that the calibration was fitted on.",
    )

    def mean(image: str, dates: int, band: str, key: str = "psnr") -> float:
        return fmean(row[key] for row in rows if (row["image"], row["dates"], row["band"]) == (image, dates, band))

    lines = [(ALONE, 1, "", *(f"{mean(ALONE, 1, band):.2f}" for band in bands))]
    for image, dates in ((GUIDED, 1), *((JOINED, count) for count in DATES)):
        gains = [mean(image, dates, band) - mean(ALONE, 1, band) for band in bands]
        counted = f"{mean(image, dates, bands[0], 'counted'):.1f}" if image == JOINED else ""
        lines.append((image, dates, counted, *(f"{gain:+.2f}" for gain in gains)))
    covered = [mean(JOINED, DATES[-1], band, "coverage") for band in bands]
    lines.append(("coverage, %", DATES[-1], "", *(f"{100 * share:.1f}" for share in covered)))
    report.table(["image", "dates", "dates that count", *bands], lines)
    each = {
        (row["seed"], row["band"], row["image"]): row["psnr"]
        for row in rows
        if row["dates"] in (1, DATES[-1])
        if row["image"] == ALONE or row["dates"] == DATES[-1]
    }
    gains = [each[seed, band, JOINED] - each[seed, band, ALONE] for seed in seeds for band in bands]
    claim = f"{DATES[-1]} dates: 20 m bands {fmean(gains):+.2f} dB over each alone, at least {GOAL:+.1f}; worst"
    report.target(f"{claim} {min(gains):+.2f}, never worse", fmean(gains) >= GOAL and min(gains) >= 0)
