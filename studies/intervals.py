"""Measure how well intervals hold what they say, of kriging and of sen2sr, at places not calibrated on.

    python -m studies.intervals [--write]

The places of the study of trust, with the calibration of the package, which saw none of them; by place and stratum, for
the sensor as modeled and as it is not. Then the same intervals without calibration, and with the best constant width
for each band over all places. Writes results/intervals.md.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, parser, run

LEVELS = (0.8, 0.9, 0.95)

MODELS = ("kriging", "sen2sr.rgbn-x4")

COLUMNS = ("interval score", "constant", "CRPS", "Spearman")


def main() -> int:
    """Report on all places and sensors."""
    arguments = parser(__doc__, repeat=1)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps({"rows": _measure()}))
        return 0
    given.no_calibration = True  # no times here
    with Report("intervals", "Intervals, and how often they hold", given) as report:
        rows = run(Side("studies.intervals", ("--side", "numbers")))["rows"]
        report.text(
            "Places of the study of trust, `xr_sr.interval` with its defaults; the package was calibrated at "
            "other places. Coverage in percent at 80, 90 and 95 %, over all pixels and bands; interval score at 90 % "
            "in 1e-3 reflectance, beside that of one constant width per band, the best for all four places, which only "
            "references could tell; CRPS in 1e-3; Spearman's correlation of standard deviation and absolute error.",
        )
        for model in MODELS:
            report.text(f"## {model}")
            _show(report, [row for row in rows if row["model"] == model], model)
    return report.exit_code


def _measure() -> list[dict[str, Any]]:
    import xr_sr
    from studies import aerial
    from studies.trust import SENSORS, see

    places = aerial.places()
    rows = []
    for sensor, options in SENSORS.items():
        lr = [see(place, seed=0, **options) for place in places]
        for model, calibrated in product(MODELS, (True, False)):
            found = xr_sr.calibration_report(
                lr, [place.hr for place in places], model, levels=LEVELS, names=[place.name for place in places],
                calibrated=calibrated, device="cpu",
            )  # fmt: skip
            rows.append({"sensor": sensor, "model": model, "calibrated": calibrated, "report": found.to_dict()})
        print(sensor, file=sys.stderr, flush=True)
    return rows


def _show(report: Report, rows: list[dict[str, Any]], model: str) -> None:
    import xarray as xr

    found = {(row["sensor"], row["calibrated"]): xr.Dataset.from_dict(row["report"]) for row in rows}
    lines = []
    for (sensor, calibrated), one in found.items():
        share = one["pixels"].sel(stratum="all") / one["pixels"].sel(stratum="all").sum()
        pooled = (one["coverage"].sel(stratum="all") * share).sum("place")
        lines.append(
            (sensor, "calibrated" if calibrated else "as it is", "all places", *_coverage(pooled), "", "", "", "")
        )
        if sensor != "as modeled":
            continue
        for place in one["place"].values:
            mine = one.sel(place=place)
            every = mine.sel(stratum="all")
            numbers = (
                f"{1e3 * float(every['interval_score'].sel(level=0.9)):.1f}",
                f"{1e3 * float(every['constant_score'].sel(level=0.9)):.1f}",
                f"{1e3 * float(every['crps']):.2f}",
                f"{float(every['spread_error']):.2f}",
            )
            lines.append(
                (sensor, "calibrated" if calibrated else "as it is", place, *_coverage(every["coverage"]), *numbers)
            )
    report.table(["sensor", "scale", "place", "80 %", "90 %", "95 %", *COLUMNS], lines)
    one = found["as modeled", True]
    report.text("Coverage by stratum, as modeled and calibrated, and the share of pixels.")
    lines = []
    for place in one["place"].values:
        for stratum in ("flat", "edge", "bright"):
            mine = one.sel(place=place, stratum=stratum)
            part = float(mine["pixels"] / one["pixels"].sel(place=place, stratum="all"))
            if part:
                lines.append((place, stratum, f"{100 * part:.0f} %", *_coverage(mine["coverage"])))
    report.table(["place", "stratum", "pixels", "80 %", "90 %", "95 %"], lines)
    share = one["pixels"].sel(stratum="all") / one["pixels"].sel(stratum="all").sum()
    pooled = (one["coverage"].sel(stratum="all") * share).sum("place")
    worst = float(abs(pooled - one["level"]).max())
    report.target(f"{model}: pooled coverage is within 0.03 of the level: {worst:.3f}", worst <= 0.03)
    off = abs(one["coverage"] - one["level"])
    large = off.where(one["pixels"] >= 1000)
    report.target(
        f"{model}: coverage of each place and stratum is within 0.08: {float(large.max()):.3f}",
        float(large.max()) <= 0.08,
    )
    median = float(one["spread_error"].median())
    report.target(f"{model}: Spearman's correlation, median over places, is at least 0.5: {median:.2f}", median >= 0.5)
    score = (one["interval_score"].sel(stratum="all") * share).sum("place").sel(level=0.9)
    constant = (one["constant_score"] * share).sum("place").sel(level=0.9)
    gain = 1 - float(score / constant)
    report.target(
        f"{model}: interval score is 15 % better than the best constant width: {100 * gain:.0f} %", gain >= 0.15
    )


def _coverage(found: Any) -> tuple[str, ...]:
    return tuple(f"{100 * float(found.sel(level=level)):.1f}" for level in LEVELS)


if __name__ == "__main__":
    sys.exit(main())
