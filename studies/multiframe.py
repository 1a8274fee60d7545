"""Measure what many dates of one place are worth, what goes wrong with them, and how real series fare.

    python -m studies.multiframe [--seeds 3] [--part gains|losses|guided|real] [--write]

The places of the study of trust, as Sentinel-2 sees them on up to 16 dates with sub-pixel shifts
(`xr_sr.simulate.degrade_series`), joined by `cube.sr.multiframe` with the shifts that it measures itself. Compared with
the last date alone, with the mean of aligned bicubic images, and with shift-and-add. Then the same with errors: of
registration, brightness, clouds and changed ground; how often intervals hold; 20 m bands of simulated scenes; and two
real series. Writes results/multiframe.md and, with --write, docs/_static/multiframe*.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, parser, run

DATES = (1, 2, 4, 8, 16)
SPREADS = (0.5, 0.3, 0.0)
"""Longest displacement along an axis, in input pixels."""

KRIGING, NETWORK, BICUBIC = "kriging, one date", "sen2sr, one date", "bicubic, one date"
JOINED, MEAN, ADDED = "multiframe", "mean of bicubic images", "shift-and-add"

FREQUENCIES = {"mtf_10": 0.125, "mtf_5": 0.25}
"""Cycles per fine pixel of 2.5 m: the Nyquist frequencies of pixels of 10 and 5 m."""

GOALS = (
    (8, 0.5, KRIGING, 1.8),
    (8, 0.3, KRIGING, 1.4),
    (8, 0.5, NETWORK, 1.0),
    (8, 0.5, MEAN, 0.8),
    (16, 0.5, KRIGING, 2.2),
    (8, 0.0, KRIGING, 0.0),
)
"""Dates, spread, image, and how many dB better than it the mean over places is to be."""

LATER = 7
"""The last of eight dates: the one that is shown."""

LOSSES: dict[str, dict[str, Any]] = {
    "clean": {},
    "registration off by 0.05 px": {"error": 0.05},
    "registration off by 0.1 px": {"error": 0.1},
    "gain of 10 % on one date": {"gains": [1, 1, 1, 1.1, 1, 1, 1, 1]},
    "haze of 0.03 on one date": {"haze": [0, 0, 0, 0.03, 0, 0, 0, 0]},
    "cloud edge on one date, not masked": {"clouds": [0, 0, 0, 0.3, 0, 0, 0, 0]},
    "5 % of the ground changed": {"change": 0.05, "changed_from": LATER},
}
"""Options of the series of eight dates within 0.5 pixels; error: of shifts, added to what is measured."""

CHANGED_LOSS = 0.2
"""How many dB changed ground may be worse than in its single image."""

COVERED = (0.85, 0.95)
"""Coverage of intervals of 90 % that is asked for."""

PICTURED = "Virginia: road, houses, meadow, 2 m"

PICTURES = ROOT / "docs" / "_static"


def main() -> int:
    """Measure all parts, each in a process of its own."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--seeds", type=int, default=3, help="series of each place (default: %(default)s)")
    arguments.add_argument("--part", choices=["gains", "losses", "guided", "real"], help="only one (default: all)")
    given = arguments.parse_args()
    if given.side:
        print(json.dumps({"rows": _side(given)}))
        return 0
    given.no_calibration = True  # no times here
    with Report("multiframe", "Many dates of one place", given) as report:
        shown = {"gains": _show_gains, "losses": _show_losses, "guided": _show_guided, "real": _show_real}
        for part, show in shown.items():
            if given.part in (None, part):
                chosen = ("--side", part, "--seeds", str(given.seeds), *(["--write"] if given.write else []))
                show(report, run(Side("studies.multiframe", chosen))["rows"], given)
    return report.exit_code


def _side(given: Any) -> list[dict[str, Any]]:
    import dask

    import xr_sr  # noqa: F401  # registers .sr

    with dask.config.set(scheduler="synchronous"):  # errors of shifts are drawn in the order of the tasks
        if given.side == "real":
            from studies import real_series

            return real_series.measure(pictures=given.write)
        if given.side == "guided":
            from studies import guided_series

            return guided_series.measure(given.seeds)
        return _gains(given) if given.side == "gains" else _losses(given.seeds)


def _gains(given: Any) -> list[dict[str, Any]]:
    from studies import aerial, series

    rows = []
    for place in aerial.places():
        for seed in range(given.seeds):
            for spread in SPREADS:
                whole = series.bands_of(series.seen(place, DATES[-1], spread=spread, seed=seed))
                for dates in DATES:
                    lr = whole.isel(time=slice(-dates, None))
                    images, extra = _images(lr, place.hr)
                    if given.write and (place.name, seed, spread, dates) == (PICTURED, 0, SPREADS[0], 8):
                        _draw(lr, images, place.hr)
                    for image, values in images.items():
                        found = {"image": image, **_judged(values, place.hr), **(extra if image == JOINED else {})}
                        rows.append({"place": place.name, "seed": seed, "spread": spread, "dates": dates, **found})
            print(place.name, seed, file=sys.stderr, flush=True)
    return rows


def _images(lr: Any, hr: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the images of a series, and how well the joined one's intervals and shifts hold."""
    from studies import series

    found = series.joined(lr)
    images = {JOINED: found["estimate"]}
    if lr.sizes["time"] == 1:
        singles = {KRIGING: "kriging", NETWORK: "sen2sr", BICUBIC: "bicubic"}
        images |= {name: series.of_one(lr, model) for name, model in singles.items()}
    else:
        images |= {MEAN: series.mean_of_bicubic(lr), ADDED: series.shift_and_add(lr, hr)}
    return images, {"coverage": _coverage(found, hr), "error": _shift_error(found, lr)}


def _inner(image: Any) -> Any:
    from studies.series import MARGIN

    y, x = image.dims[-2:]
    return image.isel({y: slice(MARGIN, -MARGIN), x: slice(MARGIN, -MARGIN)})


def _coverage(found: Any, hr: Any) -> float:
    """Return the share of pixels, of all bands, whose reference lies within the interval."""
    inside = (found["lower"] <= hr.values) & (hr.values <= found["upper"])
    return float(_inner(inside).mean())


def _shift_error(found: Any, lr: Any) -> float:
    """Return the root mean square of the errors of shifts, in input pixels."""
    off = [(found[f"shift_{axis}"].values - lr[f"displacement_{axis}"].values[:, None, None]) ** 2 for axis in "yx"]
    return float((off[0] + off[1]).mean() ** 0.5)


def _judged(image: Any, hr: Any) -> dict[str, float]:
    from xr_sr import metrics

    one, other = _inner(image.sel(band=hr.band)), _inner(hr)
    passed = metrics.mtf(one, other)["transfer"].mean("band")
    return {
        "psnr": float(metrics.psnr(one, other).mean()),
        "ssim": float(metrics.ssim(one, other).mean()),
        **{name: float(passed.sel(frequency=frequency)) for name, frequency in FREQUENCIES.items()},
    }


def _losses(seeds: int) -> list[dict[str, Any]]:
    from contextlib import nullcontext

    from studies import aerial, series

    rows = []
    for place in aerial.places():
        for seed in range(seeds):
            for case, options in LOSSES.items():
                told = {name: value for name, value in options.items() if name != "error"}
                tree = series.seen(place, LATER + 1, spread=SPREADS[0], seed=seed, **told)
                lr, hr = series.bands_of(tree), series.last_ground(place, tree)
                error = options.get("error")
                with series.wrong_shifts(error, seed) if error else nullcontext():
                    found = series.joined(lr)
                single = series.of_one(lr, "kriging")
                row = {"place": place.name, "seed": seed, "case": case, "coverage": _coverage(found, hr)}
                row["psnr"], row["single"] = (_judged(each, hr)["psnr"] for each in (found["estimate"], single))
                row["dates"] = float(_inner(found["n_effective"]).mean())
                if "change" in options:
                    where = series.changed_ground(place, tree)
                    row["changed"], row["changed_single"] = (
                        _psnr_at(each, hr, where) for each in (found["estimate"], single)
                    )
                    row["share"] = float(_inner(where).mean())
                    row["changed_dates"] = float(_inner(found["n_effective"].where(where)).mean())
                rows.append(row)
            print(place.name, seed, file=sys.stderr, flush=True)
    return rows


def _psnr_at(image: Any, hr: Any, where: Any) -> float:
    """Return the mean over bands of the PSNR of some pixels, in dB."""
    import numpy as np

    square = _inner((image.sel(band=hr.band) - hr.values) ** 2).values
    return float(np.mean([-10 * np.log10(plane[_inner(where).values].mean()) for plane in square]))


def _mean(rows: Iterable[dict[str, Any]], key: str, **wanted: Any) -> float:
    """Return the mean of a column over the rows that have these values."""
    return fmean(row[key] for row in rows if all(row[name] == value for name, value in wanted.items()))


def _show_gains(report: Report, rows: list[dict[str, Any]], given: Any) -> None:
    places = list(dict.fromkeys(row["place"] for row in rows))
    report.text(
        f"{len(places)} places, public-domain aerial imagery, seen at 10 m through the modeled sensor with the noise "
        f"of Sentinel-2, {given.seeds} series of each: displacements are drawn within the given spread along each "
        "axis, the last date is not shifted, and a series of fewer dates is the end of that of 16. `multiframe` with "
        "its defaults measures shifts itself. Mean of bicubic images: each date is aligned with the last one (`align`, "
        "method `ecc`) and interpolated. Shift-and-add: by the shifts that `align` measures, each pixel is shared "
        "among the four nearest fine ones, and empty ones are interpolated linearly. Means over places, series and "
        "bands; MTF: the share of the reference's detail at the Nyquist frequency of pixels of 10 and of 5 m.",
        "",
        *(f"- {place}" for place in places),
    )
    _table_of_gains(report, rows)
    _by_place(report, rows, places)
    for dates, spread, image, goal in GOALS:
        gain = _gain(rows, dates, spread, image)
        claim = f"{dates} dates within ±{spread:g} px: {gain:+.2f} dB over {image}; at least {goal:+.1f}"
        report.target(claim, gain >= goal)
    _intervals(report, rows, places)
    if given.write:
        _plot(rows)


def _gain(rows: list[dict[str, Any]], dates: int, spread: float, image: str, **wanted: Any) -> float:
    """Return how many dB joining dates is better than another image of as many dates, or of the last one."""
    other = {"dates": dates if image in (MEAN, ADDED) else 1, "spread": spread, "image": image}
    joined = _mean(rows, "psnr", dates=dates, spread=spread, image=JOINED, **wanted)
    return joined - _mean(rows, "psnr", **other, **wanted)


def _table_of_gains(report: Report, rows: list[dict[str, Any]]) -> None:
    lines = []
    for spread in SPREADS:
        for image in (BICUBIC, NETWORK, KRIGING, ADDED, MEAN, JOINED):
            for dates in DATES:
                chosen = {"spread": spread, "image": image, "dates": dates}
                if dates == 1 and image == JOINED:
                    continue
                if not any(all(row[name] == value for name, value in chosen.items()) for row in rows):
                    continue
                psnr, ssim, *mtf = (_mean(rows, name, **chosen) for name in ("psnr", "ssim", *FREQUENCIES))
                error = f"{_mean(rows, 'error', **chosen):.3f}" if image == JOINED else ""
                gain = psnr - _mean(rows, "psnr", spread=spread, image=KRIGING)
                numbers = (f"{psnr:.2f}", f"{gain:+.2f}", f"{ssim:.3f}", *(f"{share:.3f}" for share in mtf))
                lines.append((f"±{spread:g} px", image, dates, *numbers, error))
    head = ["shifts within", "image", "dates", "PSNR, dB", f"over {KRIGING}", "SSIM", "MTF, 10 m", "MTF, 5 m"]
    report.table([*head, "rms error of shifts, px"], lines)


def _by_place(report: Report, rows: list[dict[str, Any]], places: Sequence[str]) -> None:
    report.text(
        f"By place, within ±{SPREADS[0]:g} px: PSNR of one date in dB, and the gain of `multiframe` over it with 2 to "
        "16 dates; over `sen2sr` and over the mean of bicubic images with 8.",
    )
    lines = []
    for place in places:
        gains = [f"{_gain(rows, dates, SPREADS[0], KRIGING, place=place):+.2f}" for dates in DATES[1:]]
        others = [f"{_gain(rows, 8, SPREADS[0], image, place=place):+.2f}" for image in (NETWORK, MEAN)]
        single = _mean(rows, "psnr", spread=SPREADS[0], image=KRIGING, place=place)
        lines.append((place, f"{single:.2f}", *gains, *others))
    head = ["place", KRIGING, *(f"{dates} dates" for dates in DATES[1:])]
    report.table([*head, f"8, over {NETWORK}", f"8, over {MEAN}"], lines)


def _intervals(report: Report, rows: list[dict[str, Any]], places: Sequence[str]) -> None:
    """Show the coverage of intervals, whose calibration saw none of the places."""
    report.text(
        "## Intervals",
        "",
        "Coverage of intervals of 90 % in percent, by the calibration of kriging in the package, fitted on single "
        f"images of other places; within ±{SPREADS[0]:g} px.",
    )

    def covered(dates: int, **wanted: Any) -> float:
        return _mean(rows, "coverage", image=JOINED, spread=SPREADS[0], dates=dates, **wanted)

    lines = [(place, *(f"{100 * covered(dates, place=place):.1f}" for dates in DATES)) for place in places]
    lines.append(("all places", *(f"{100 * covered(dates):.1f}" for dates in DATES)))
    report.table(["place", *(f"{dates} dates" if dates > 1 else "1 date" for dates in DATES)], lines)
    low, high = COVERED
    for name, found in (("all places", covered(8)), *((place, covered(8, place=place)) for place in places)):
        claim = f"8 dates, {name}: {100 * found:.1f} % are covered; {100 * low:.0f} to {100 * high:.0f} %"
        report.target(claim, low <= found <= high)


def _show_losses(report: Report, rows: list[dict[str, Any]], given: Any) -> None:
    report.text(
        "## What goes wrong",
        "",
        f"Eight dates within ±{SPREADS[0]:g} px, {given.seeds} series of each place. Registration: normal errors of "
        "this deviation along each axis are added to each shift that is measured. One date, the fourth: brighter, "
        "below haze (mean 0.03 in B02), or with a cloud over 30 % of the scene that no mask tells. Changed: the last "
        "date, which is shown, has other ground in 5 % of the scene than the seven before. PSNR in dB, means over "
        "places, series and bands; dates that count: mean of `n_effective`; coverage of intervals of 90 %.",
    )
    lines = []
    for case in LOSSES:
        psnr, single, dates, coverage = (
            _mean(rows, name, case=case) for name in ("psnr", "single", "dates", "coverage")
        )
        loss = psnr - _mean(rows, "psnr", case="clean")
        shown = "" if case == "clean" or "changed" in case else f"{loss:+.2f}"
        lines.append((case, f"{psnr:.2f}", f"{psnr - single:+.2f}", shown, f"{dates:.2f}", f"{100 * coverage:.1f}"))
    head = ["series", "PSNR", f"over {KRIGING}", "against clean", "dates that count", "coverage, %"]
    report.table(head, lines)
    changed = [row for row in rows if "changed" in row]
    report.text("On changed ground alone, by place, the mean over series:")
    lines, worst = [], 0.0
    for place in dict.fromkeys(row["place"] for row in changed):
        share, joined, single, dates = (
            _mean(changed, name, place=place) for name in ("share", "changed", "changed_single", "changed_dates")
        )
        worst = min(worst, joined - single)
        lines.append((place, f"{100 * share:.1f} %", f"{single:.2f}", f"{joined - single:+.2f}", f"{dates:.2f}"))
    report.table(["place", "changed", f"PSNR, {KRIGING}", "joined", "dates that count"], lines)
    mean = _mean(changed, "changed") - _mean(changed, "changed_single")
    claim = f"changed ground is at most {CHANGED_LOSS} dB worse than in its single image: mean {mean:+.2f}, worst place"
    report.target(f"{claim} {worst:+.2f}", mean >= -CHANGED_LOSS and worst >= -CHANGED_LOSS)


def _show_guided(report: Report, rows: list[dict[str, Any]], given: Any) -> None:
    from studies import guided_series

    guided_series.show(report, rows)


def _show_real(report: Report, rows: list[dict[str, Any]], given: Any) -> None:
    report.text(
        "## Real series",
        "",
        "WorldCereal: monthly composites of a year in Belgium, two without data, in windows of three months; openEO: "
        "three dates in June, in one window. There is no reference; what can be seen is whether the image of a window, "
        "shifted and blurred as the sensor does, predicts each date, its gain and offset taken out: the root mean "
        "square of the difference in 1e-3 of reflectance, of the joined image and of the last date's single image. "
        "Shift of the content in input pixels.",
    )
    head = ["series", "window's date", "date", "shift", "weight", "joined", "single image"]
    report.table(
        head,
        [
            (
                row["series"],
                row["shows"],
                row["date"],
                f"{row['shift'][0]:+.2f} {row['shift'][1]:+.2f}",
                f"{row['weight']:.2f}",
                f"{1e3 * row['joined']:.2f}",
                f"{1e3 * row['single']:.2f}",
            )
            for row in rows
        ],
    )


def _draw(lr: Any, images: dict[str, Any], hr: Any) -> None:
    """Draw a part of a place: LR, one date, eight dates, and the reference; and the gain in false color."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from studies.aerial import SCALE
    from studies.series import of_one

    start, side = 40, 120
    shown = {
        "one date at 10 m": lr.isel(time=-1).to_dataarray("band"),
        "kriging of one date": of_one(lr, "kriging"),
        "multiframe, eight dates": images[JOINED],
        "aerial image at 2.5 m": hr,
    }
    part = hr.sel(band=["B08", "B04", "B03"]).values[:, start : start + side, start : start + side]
    low, high = (_each(part, share) for share in (0.5, 99.5))
    figure, axes = plt.subplots(2, 2, figsize=(9, 9.5), layout="constrained")
    for axis, (title, image) in zip(axes.flat, shown.items(), strict=True):
        values = image.sel(band=["B08", "B04", "B03"]).values
        step = SCALE if values.shape[-1] < hr.shape[-1] else 1
        cut = slice(start // step, (start + side) // step)
        color = ((values[:, cut, cut] - low) / (high - low)).clip(0, 1).transpose(1, 2, 0)
        axis.imshow(color, interpolation="nearest")
        axis.set_title(title, loc="left", fontsize=11)
        axis.axis("off")
    figure.savefig(PICTURES / "multiframe.jpg", dpi=110, pil_kwargs={"quality": 88})
    plt.close(figure)


def _each(values: Any, share: float) -> Any:
    """Return the percentile of each band, (band, 1, 1)."""
    import numpy as np

    return np.percentile(values, share, axis=(1, 2))[:, None, None]


def _plot(rows: list[dict[str, Any]]) -> None:
    """Draw the gain over the number of dates, for each spread and each way to join."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(SPREADS), figsize=(12, 4.2), sharey=True, layout="constrained")
    for axis, spread in zip(axes, SPREADS, strict=True):
        single = _mean(rows, "psnr", spread=spread, image=KRIGING)
        axis.axhline(0, color="0.3", lw=1.2, ls="--", label=KRIGING)
        network = _mean(rows, "psnr", spread=spread, image=NETWORK) - single
        axis.axhline(network, color="C3", lw=1.2, ls=":", label=NETWORK)
        for color, image in enumerate((JOINED, MEAN, ADDED)):
            first: Callable[[], float] = lambda: _mean(rows, "psnr", spread=spread, image=BICUBIC) - single  # noqa: B023,E731
            starts = {JOINED: 0.0, MEAN: first()}
            points = [(1, starts[image])] if image in starts else []
            points += [(n, _mean(rows, "psnr", spread=spread, image=image, dates=n) - single) for n in DATES[1:]]
            axis.plot(*zip(*points, strict=True), "o-", ms=4, color=f"C{color}", label=image)
        axis.set_xscale("log", base=2)
        axis.set_xticks(DATES, [str(dates) for dates in DATES])
        axis.set_xlabel("dates")
        axis.set_title(f"shifts within ±{spread:g} pixels" if spread else "no shifts", loc="left", fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("PSNR over one date's kriging, dB")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    figure.savefig(PICTURES / "multiframe.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
