"""Measure whether super-resolution helps to map floods: a real one with a label, and synthetic ones with a reference.

    python -m studies.floods [--write] [--parts chip drawn season]

`chip`: a chip of Sen1Floods11, water by MNDWI and NDWI at LR, bicubic and SR, with three thresholds, compared with the
label.
`drawn`: scenes of `xr_sr.simulate_scene` before and after, with the flood known at 2.5 m: errors of area and of
boundaries. `season`: memory of a series of dates on two worker processes, killed halfway; see `season.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, parser, run, shared

MODELS = ("LR", "bicubic", "kriging", "sen2sr-lite", "sen2sr")

LEVELS: dict[str, Any] = {"0": 0.0, "0.1": 0.1, "Otsu": "otsu"}

BANDS = {"MNDWI": ["B03", "B11"], "NDWI": ["B03", "B08"]}

SEEDS = (1, 2, 3, 4)

SIDE, BEFORE, AFTER, RISE_M = 256, "2023-06-15", "2023-06-20", 2.0

FINE_M = 2.5


def main() -> int:
    """Measure all parts."""
    arguments = parser(__doc__, repeat=1)
    parts = ("chip", "drawn", "season")
    arguments.add_argument("--parts", nargs="+", choices=parts, default=list(parts), help="default: all")
    given = arguments.parse_args()
    if given.side:
        rows = list(_chip() if given.side == "chip" else _drawn())
        print(json.dumps({"rows": rows}))
        return 0
    given.no_calibration = True  # no times here
    with Report("floods", "Floods, with and without super-resolution", given) as report:
        if "chip" in given.parts:
            _show_chip(report, run(Side("studies.floods", ("--side", "chip")))["rows"])
        if "drawn" in given.parts:
            _show_drawn(report, run(Side("studies.floods", ("--side", "drawn")))["rows"])
        if "season" in given.parts:
            from studies import season

            season.show(report)
    return report.exit_code


def _chip() -> Iterator[dict[str, Any]]:
    """Map water in the real chip, by all methods; returns a row each."""
    import rioxarray

    import xr_sr

    folder = shared() / "data" / "flood_spain"
    names = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
    chip: Any = rioxarray.open_rasterio(folder / "Spain_7370579_S2Hand.tif", chunks={})
    label: Any = rioxarray.open_rasterio(folder / "Spain_7370579_LabelHand.tif")
    reference = label.isel(band=0).values
    cube = chip.assign_coords(band=names)
    options: dict[str, Any] = {"offset": 0, "nodata": 0}
    for index, bands in BANDS.items():
        for model in MODELS:
            if model == "LR":
                values = xr_sr.index(cube, index, **options)
            else:
                fine = cube.sr.upscale(model, bands=bands, device="cpu", allow_gsd=True, **options)
                values = xr_sr.index(fine, index)
            values = values.compute()
            for name, threshold in LEVELS.items():
                water = xr_sr.water(values, None, threshold)
                fits = _fits(water.values, reference)
                yield {"index": index, "model": model, "level": name, "at": float(water["threshold"]), **fits}


def _fits(water: NDArray[np.uint8], reference: NDArray[Any]) -> dict[str, float]:
    """Compare water with a label: pixel by pixel on the map's grid, and by majority on the label's.

    water: 0, 1, 255, a whole number of times as fine as the label. reference: 1 water, 0 dry, else unknown.
    """
    factor = water.shape[0] // reference.shape[0]
    repeated = reference.repeat(factor, 0).repeat(factor, 1)
    blocks = (water == 1).reshape(reference.shape[0], factor, reference.shape[1], factor)
    fine = _scores(water == 1, repeated == 1, (repeated >= 0) & (water != 255))
    coarse = _scores(blocks.mean((1, 3)) >= 0.5, reference == 1, reference >= 0)
    return {"iou": fine[0], "f1": fine[1], "iou_10m": coarse[0], "f1_10m": coarse[1]}


def _scores(found: NDArray[np.bool_], true: NDArray[np.bool_], known: NDArray[np.bool_]) -> tuple[float, float]:
    """Return IoU and F1 of a mask where the reference is known."""
    both = int((found & true & known).sum())
    one = int(((found ^ true) & known).sum())
    return both / max(both + one, 1), 2 * both / max(2 * both + one, 1)


def _show_chip(report: Report, rows: list[dict[str, Any]]) -> None:
    report.text(
        "## A real flood",
        "",
        "Sen1Floods11, Spain_7370579: the Segura on 18 September 2019, 512 x 512 pixels of L1C in degrees (7.9 x 10 m "
        "on the ground, resampled by its producers), with a hand-made label of water, 27 % of it. LR is the chip "
        "as it is; the models (sen2sr-lite: `main` for MNDWI, `rgbn-x4` for NDWI) are four times finer. Each fine "
        "pixel against the label repeated, and, last two columns, the majority of the 16 in each pixel of the label. "
        "The label cannot reward what is finer than itself, and the network was made for L2A in meters.",
    )
    lines = [
        (row["index"], row["model"], f"{row['level']} ({row['at']:.3f})" if row["level"] == "Otsu" else row["level"],
         f"{row['iou']:.4f}", f"{row['f1']:.4f}", f"{row['iou_10m']:.4f}", f"{row['f1_10m']:.4f}")
        for row in rows
    ]  # fmt: skip
    report.table(["index", "at", "level", "IoU", "F1", "IoU, majority", "F1, majority"], lines)
    best = {model: max((row for row in rows if row["model"] == model), key=lambda row: row["iou"]) for model in MODELS}
    at_lr = {(row["index"], row["level"]): row["iou"] for row in rows if row["model"] == "LR"}
    gains = {
        model: [row["iou"] - at_lr[row["index"], row["level"]] for row in rows if row["model"] == model]
        for model in MODELS[2:]
    }
    changes = "; ".join(f"{model} {min(found):+.3f} to {max(found):+.3f}" for model, found in gains.items())
    best_of = "; ".join(f"{model} {row['iou']:.3f} ({row['index']}, {row['level']})" for model, row in best.items())
    report.text(
        f"Best IoU of each: {best_of}. The choice of index and threshold changes IoU by "
        f"{max(row['iou'] for row in rows) - min(row['iou'] for row in rows):.2f}; a model instead of LR, all else "
        f"equal: {changes}."
    )


def _drawn() -> Iterator[dict[str, Any]]:
    """Map floods in synthetic scenes by all methods; returns a row each."""
    import xr_sr

    for seed in SEEDS:
        scene: Any = xr_sr.simulate_scene(SIDE, [BEFORE, AFTER], seed, flood_m=[0, RISE_M])
        never: Any = xr_sr.simulate_scene(SIDE, [BEFORE, AFTER], seed, flood_m=0, bands=["B11"])
        # Place and day are equal, so all that differs was flooded; noise and sensor are not in `hr`.
        after = scene["hr/B11"].isel(time=1).values
        reference = after != never["hr/B11"].isel(time=1).values
        lr = scene["lr"]
        for index, bands in BANDS.items():
            for model in MODELS:
                values = _index(lr, index, bands, model).compute()
                for name, threshold in LEVELS.items():
                    found = xr_sr.flood_between(values.isel(time=[0]), values.isel(time=[1]), index=None,
                                                threshold=threshold)  # fmt: skip
                    flooded = (found["flood"].isel(time=0) == 2).values
                    factor = reference.shape[0] // flooded.shape[0]
                    flooded = flooded.repeat(factor, 0).repeat(factor, 1)
                    iou, f1 = _scores(flooded, reference, np.ones_like(reference))
                    area, true_ha = (float(mask.sum()) * FINE_M**2 / 1e4 for mask in (flooded, reference))
                    yield {
                        "seed": seed, "index": index, "model": model, "level": name, "iou": iou, "f1": f1,
                        "area": (area / true_ha - 1) * 100, "true_ha": true_ha,
                        "boundary_m": _boundary_error_m(flooded, reference),
                    }  # fmt: skip


def _index(lr: Any, index: str, bands: list[str], model: str) -> Any:
    """Compute an index of both dates at LR, or of what a model makes of it."""
    import xarray as xr

    import xr_sr

    if model == "LR":
        return xr_sr.index(lr, index, grid="fine")
    if model != "bicubic":
        return xr_sr.index(lr.sr.upscale(model, bands=bands, device="cpu"), index)
    tens = lr["r10m"].to_dataset()[[band for band in bands if band in lr["r10m"]]]
    parts = [tens.sr.upscale("bicubic", scale=4)]
    if "B11" in bands:
        twenties = lr["r20m"].to_dataset()[["B11"]].sr.upscale("bicubic", scale=8)
        parts.append(twenties.drop_vars("radiometry_offset"))
    return xr_sr.index(xr.merge(parts, combine_attrs="override", compat="override", join="override"), index)


def _boundary_error_m(found: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Return the mean distance between two boundaries in meters, in both directions; beyond 40 m it counts as 40 m."""
    from scipy import ndimage

    edges = [mask ^ ndimage.binary_erosion(mask, border_value=1) for mask in (found, reference)]
    if not all(edge.any() for edge in edges):
        return 40.0
    ways = []
    for edge, other in (edges, edges[::-1]):
        away = ndimage.distance_transform_edt(~other) * FINE_M
        ways.append(np.minimum(away[edge], 40).mean())
    return float(np.mean(ways))


def _show_drawn(report: Report, rows: list[dict[str, Any]]) -> None:
    hectares = Spread.of([row["true_ha"] for row in rows])
    report.text(
        "## Synthetic floods",
        "",
        f"{len(SEEDS)} scenes of `simulate_scene`, {SIDE} x {SIDE} pixels of 10 m, {BEFORE} and {AFTER}, the water "
        f"{RISE_M:g} m higher on the second; {hectares.least:.0f} to {hectares.largest:.0f} hectares were covered. "
        "Otsu's threshold holds for both dates. Against the reference at 2.5 m: error of the flooded area, IoU and F1 "
        "of the flood, and mean distance of its boundary from that of the reference, in both directions (farther than "
        "40 m counts as 40 m). Median over scenes [least largest]. Synthetic scenes have edges that no network was "
        "trained on.",
    )
    lines = []
    for index in BANDS:
        for level in LEVELS:
            for model in MODELS:
                mine = [r for r in rows if (r["index"], r["level"], r["model"]) == (index, level, model)]
                spreads = [(Spread.of([row[name] for row in mine]), form) for name, form in
                           (("area", "+.1f"), ("boundary_m", ".1f"), ("iou", ".3f"), ("f1", ".3f"))]  # fmt: skip
                lines.append((index, level, model, *(spread.text(form) for spread, form in spreads)))
    report.table(["index", "level", "at", "error of area, %", "boundary error, m", "IoU", "F1"], lines)


if __name__ == "__main__":
    sys.exit(main())
