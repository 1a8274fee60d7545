"""Measure how much the 16 phases of an input pixel differ in the mean, on all real scenes.

    python -m studies.phases [--models bicubic kriging sen2sr sen2sr-fast] [--write]

Of each output pixel the value of its input pixel is subtracted; the differences are averaged over the whole scene (all
dates, nodata left out) for each of the 4 x 4 places inside an input pixel, band by band. Where output is right, these
16 means hardly differ: nothing on the ground knows where pixels begin. Their standard deviation is the pattern that
repeats every 4 output pixels. Writes results/phases.md.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, parser, run

MODELS = ("bicubic", "kriging", "sen2sr", "sen2sr-fast")
JUDGED, BESIDE = "sen2sr", "kriging"
TARGET = 1.5
"""How many times kriging's deviation that of the default model may be at most, in every band of every scene."""

SCALE = 4


def main() -> int:
    """Measure all scenes in one process."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--models", nargs="+", default=list(MODELS), help="names (default: %(default)s)")
    given = arguments.parse_args()
    if given.side:
        print(json.dumps({"rows": _measure(given.models)}))
        return 0
    given.no_calibration = True  # no times here
    with Report("phases", "The pattern of four pixels", given) as report:
        _show(report, run(Side("studies.phases", ("--side", "all", "--models", *given.models)))["rows"], given.models)
    return report.exit_code


def _measure(models: list[str]) -> list[dict[str, Any]]:
    import xr_sr
    from benchmarks.harness import scenes

    havel = scenes.Scene("havel", xr_sr.sample("havel")["r10m"].to_dataset())
    rows = []
    for scene in (havel, *scenes.real_scenes()):
        common = {"bands": scenes.RGBN, **scene.options}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", xr_sr.errors.XrSrWarning)
            coarse = _planes(xr_sr.upscale(scene.cube, "nearest", scale=1, **common))
            for model in models:
                options = {"scale": SCALE} if model in ("bicubic", "kriging") else {}
                fine = _planes(xr_sr.upscale(scene.cube, model, device="cpu", **options, **common))
                for band in scenes.RGBN:
                    off = deviation(fine[band], coarse[band])
                    rows.append({"scene": scene.name, "band": band, "model": model, "deviation": off})
        print(scene.name, file=sys.stderr, flush=True)
    return rows


def deviation(fine: Any, coarse: Any) -> float:
    """Return the standard deviation of the means of the phases, in units of the values.

    fine: (..., y * SCALE, x * SCALE), coarse: (..., y, x), of one band, NaN is nodata.
    """
    import numpy as np

    *lead, height, width = coarse.shape
    parts = np.asarray(fine, "float64").reshape(*lead, height, SCALE, width, SCALE)
    off = parts - np.asarray(coarse, "float64")[..., :, None, :, None]
    of_phases = np.moveaxis(off, (-3, -1), (0, 1)).reshape(SCALE * SCALE, -1)
    return float(np.nanmean(of_phases, axis=1).std())


def _planes(made: Any) -> dict[str, Any]:
    """Compute a result: (..., y, x) values by band."""
    made = made.compute()
    if hasattr(made, "data_vars"):
        return {str(name)[-3:]: values.values for name, values in made.data_vars.items()}
    return {str(name): made.sel(band=name).values for name in made.band.values}


def _show(report: Report, rows: list[dict[str, Any]], models: list[str]) -> None:
    found = {(row["scene"], row["band"], row["model"]): row["deviation"] for row in rows}
    places = list(dict.fromkeys((row["scene"], row["band"]) for row in rows))
    report.text(
        "Standard deviation of the means of the 16 phases, each minus that of its input pixel, whole scene, in 1e-4 of "
        f"reflectance; in brackets as a multiple of that of {BESIDE}.",
    )
    lines = []
    for scene, band in places:
        beside = found.get((scene, band, BESIDE))
        cells = []
        for model in models:
            one = found[scene, band, model]
            times = f" ({one / beside:.1f})" if beside and model != BESIDE else ""
            cells.append(f"{one * 1e4:.2f}{times}")
        lines.append((scene, band, *cells))
    report.table(["scene", "band", *models], lines)
    if not {JUDGED, BESIDE} <= set(models):
        return
    times = {place: found[*place, JUDGED] / found[*place, BESIDE] for place in places}
    kept = sum(one <= TARGET for one in times.values())
    (scene, band), most = max(times.items(), key=lambda item: item[1])
    report.target(
        f"`{JUDGED}` at most {TARGET} times {BESIDE}, in every band of every scene: {most:.1f} ({band}, {scene}), "
        f"median {Spread.of(list(times.values())).median:.1f}; {kept} of {len(times)} keep to it",
        most <= TARGET,
    )


if __name__ == "__main__":
    sys.exit(main())
