"""Measure how well intervals hold what they say, of kriging and of sen2sr, at places not calibrated on.

    python -m studies.intervals [--write]

The places of the study of trust, with the calibration of the package, which saw none of them; by place and stratum, for
the sensor as modeled and as it is not. Then the same intervals without calibration, and with the best constant width
for each band over all places. Bands of 20 m: real ones seen eight times as wide, each place by what the others say.
Writes results/intervals.md.
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

COARSE_MODELS = ("kriging", "sen2sr.ten-x4")

COLUMNS = ("interval score", "constant", "CRPS", "Spearman")


def main() -> int:
    """Report on all places and sensors."""
    arguments = parser(__doc__, repeat=1)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps({"rows": _measure_coarse() if given.side == "coarse" else _measure()}))
        return 0
    given.no_calibration = True  # no times here
    with Report("intervals", "Intervals, and how often they hold", given) as report:
        rows = run(Side("studies.intervals", ("--side", "numbers")))["rows"]
        coarse = run(Side("studies.intervals", ("--side", "coarse")))["rows"]
        report.text(
            "Places of the study of trust, `xr_sr.interval` with its defaults; the package was calibrated at "
            "other places. Coverage in percent at 80, 90 and 95 %, over all pixels and bands; interval score at 90 % "
            "in 1e-3 reflectance, beside that of one constant width per band, the best for all four places, which only "
            "references could tell; CRPS in 1e-3; Spearman's correlation of standard deviation and absolute error.",
        )
        for model in MODELS:
            report.text(f"## {model}")
            _show(report, [row for row in rows if row["model"] == model], model)
        report.text(
            "## Bands of 20 m",
            "",
            "Real Sentinel-2 with pixels taken eight times as wide: its bands of 20 m are the reference, what the "
            "sensor sees of them at 160 m the input, with bands of 10 m seen at 80 m as guides (`recipes.intervals`). "
            "One out: the calibration of the four other places. Package: that of the package, fitted on none of "
            "these two. Synthetic: fitted on three synthetic scenes with a reference at 2.5 m. The network was trained "
            "on DSen2, with other pixel sizes.",
        )
        for model in COARSE_MODELS:
            _show_coarse(report, {row["way"]: row["report"] for row in coarse if row["model"] == model}, model)
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


def _measure_coarse() -> list[dict[str, Any]]:
    import xr_sr
    from recipes import intervals
    from xr_sr.kernels.calibration import Calibration

    places = (*intervals.SHIFTED, *intervals.UNSEEN_20M)
    found = {name: (lr, hr) for name, lr, hr in intervals.shifted_pairs(places)}

    def judged(names: Any, model: str, **options: Any) -> Any:
        lr, hr = zip(*(found[name] for name in names), strict=True)
        bands = list(intervals.COARSE)
        return xr_sr.calibration_report(lr, hr, model, levels=LEVELS, names=names, bands=bands, device="cpu", **options)

    def one_out(model: str) -> Any:
        import xarray as xr

        def others(name: str) -> Calibration:
            return intervals.of_20m(model, [each for each in places if each != name])

        return xr.concat([judged([name], model, calibration=others(name)) for name in places], "place")

    rows = []
    for model in COARSE_MODELS:
        ways = {
            "one out": one_out(model),
            "package": judged(intervals.UNSEEN_20M, model),
            "synthetic": judged(places, model, calibration=intervals.of_synthetic(model)),
            "as it is": judged(places, model, calibrated=False),
        }
        # What no calibration changes: the best constant width is that of all places together.
        ways["one out"]["constant_score"] = ways["as it is"]["constant_score"].sel(place=ways["one out"]["place"])
        rows += [{"model": model, "way": way, "report": each.to_dict()} for way, each in ways.items()]
        print(model, file=sys.stderr, flush=True)
    return rows


def _show_coarse(report: Report, reports: dict[str, Any], model: str) -> None:
    import xarray as xr

    found = {way: xr.Dataset.from_dict(each) for way, each in reports.items()}
    lines = []
    for way, one in found.items():
        every = one.sel(stratum="all")
        mean = every["coverage"].mean("place")
        share = every["pixels"] / every["pixels"].sum()
        lines.append((way, "mean of places", *_coverage(mean), "", "", "", ""))
        lines.append((way, "all pixels", *_coverage((every["coverage"] * share).sum("place")), "", "", "", ""))
        lines += [
            (way, place, *_coverage(every["coverage"].sel(place=place)), *_numbers(one.sel(place=place)))
            for place in one["place"].values
        ]
    report.text(f"### {model}, 20 m bands")
    report.table(["calibration", "place", "80 %", "90 %", "95 %", *COLUMNS], lines)
    one = found["one out"]
    report.text("Coverage by stratum, one out, and the share of pixels.")
    report.table(["place", "stratum", "pixels", "80 %", "90 %", "95 %"], _by_stratum(one))
    mean = one["coverage"].sel(stratum="all").mean("place")
    worst = float(abs(mean - one["level"]).max())
    report.target(f"{model}, 20 m: mean coverage of places left out is within 0.03: {worst:.3f}", worst <= 0.03)
    part = one["pixels"].sel(stratum="all") / one["pixels"].sel(stratum="all").sum()
    worst = float(abs((one["coverage"].sel(stratum="all") * part).sum("place") - one["level"]).max())
    report.target(f"{model}, 20 m: coverage of all their pixels is within 0.03: {worst:.3f}", worst <= 0.03)
    _targets(report, one, f"{model}, 20 m")
    score = one["interval_score"].sel(stratum="all", level=0.9).mean()
    gain = 1 - float(score / one["constant_score"].sel(level=0.9).mean())
    claim = f"{model}, 20 m: interval score is 15 % better than the best constant width: {100 * gain:.0f} %"
    report.target(claim, gain >= 0.15)


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
            numbers = _numbers(mine)
            lines.append(
                (sensor, "calibrated" if calibrated else "as it is", place, *_coverage(every["coverage"]), *numbers)
            )
    report.table(["sensor", "scale", "place", "80 %", "90 %", "95 %", *COLUMNS], lines)
    one = found["as modeled", True]
    report.text("Coverage by stratum, as modeled and calibrated, and the share of pixels.")
    report.table(["place", "stratum", "pixels", "80 %", "90 %", "95 %"], _by_stratum(one))
    share = one["pixels"].sel(stratum="all") / one["pixels"].sel(stratum="all").sum()
    pooled = (one["coverage"].sel(stratum="all") * share).sum("place")
    worst = float(abs(pooled - one["level"]).max())
    report.target(f"{model}: pooled coverage is within 0.03 of the level: {worst:.3f}", worst <= 0.03)
    _targets(report, one, model)
    score = (one["interval_score"].sel(stratum="all") * share).sum("place").sel(level=0.9)
    constant = (one["constant_score"] * share).sum("place").sel(level=0.9)
    gain = 1 - float(score / constant)
    report.target(
        f"{model}: interval score is 15 % better than the best constant width: {100 * gain:.0f} %", gain >= 0.15
    )


def _numbers(mine: Any) -> tuple[str, ...]:
    """Return the numbers of one place, in the order of COLUMNS."""
    every = mine.sel(stratum="all")
    return (
        f"{1e3 * float(every['interval_score'].sel(level=0.9)):.1f}",
        f"{1e3 * float(every['constant_score'].sel(level=0.9)):.1f}",
        f"{1e3 * float(every['crps']):.2f}",
        f"{float(every['spread_error']):.2f}",
    )


def _by_stratum(one: Any) -> list[tuple[str, ...]]:
    lines = []
    for place in one["place"].values:
        for stratum in ("flat", "edge", "bright"):
            mine = one.sel(place=place, stratum=stratum)
            part = float(mine["pixels"] / one["pixels"].sel(place=place, stratum="all"))
            if part:
                lines.append((place, stratum, f"{100 * part:.0f} %", *_coverage(mine["coverage"])))
    return lines


def _targets(report: Report, one: Any, model: str) -> None:
    off = abs(one["coverage"] - one["level"])
    large = off.where(one["pixels"] >= 1000)
    report.target(
        f"{model}: coverage of each place and stratum is within 0.08: {float(large.max()):.3f}",
        float(large.max()) <= 0.08,
    )
    median = float(one["spread_error"].median())
    report.target(f"{model}: Spearman's correlation, median over places, is at least 0.5: {median:.2f}", median >= 0.5)


def _coverage(found: Any) -> tuple[str, ...]:
    return tuple(f"{100 * float(found.sel(level=level)):.1f}" for level in LEVELS)


if __name__ == "__main__":
    sys.exit(main())
