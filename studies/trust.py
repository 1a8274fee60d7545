"""Evaluate models on scenes with a reference, with the right and with a wrong model of the sensor.

    python -m studies.trust [--models bicubic kriging sen2sr-lite sen2sr ...] [--tried NAME=FILE ...] [--write]

Aerial imagery is degraded by `xr_sr.simulate` as Sentinel-2 sees it at 10 m, upscaled, and evaluated against itself at
2.5 m. Then the sensor is not the assumed one: its point spread 20 % wider or narrower, its noise doubled, its
bands 0.2 pixels apart. Each number is the median over places with the least and the largest: places differ more than
models do. --tried: weights of the form and size of `sen2sr-v1` that are not in the package, by names of their own.
Writes results/trust.md and, with --write, docs/_static/trust*.
"""

from __future__ import annotations

import json
import sys
from textwrap import fill
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, Spread, parser, run

MODELS = ("bicubic", "kriging", "kriging-estimate", "sen2sr-lite", "sen2sr", "sen2sr-fast", "sen2sr-v1")

WITH_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {"kriging-estimate": ("kriging", {"mtf": "estimate"})}
"""Names of models with options of their own: kriging with the MTF measured from the cube."""

SHOWN = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "sam": "spectral angle, degrees",
    "reflectance": "consistency: reflectance",
    "synthesis": "synthesis",
    "improvement": "improvement",
    "omission": "omission",
    "hallucination": "hallucination",
}
"""Columns of `xr_sr.evaluate`, and their labels."""

SENSORS: dict[str, dict[str, Any]] = {
    "as modeled": {},
    "point spread 20 % wider": {"wider": 1.2},
    "point spread 20 % narrower": {"wider": 0.8},
    "twice the noise": {"noise_gain": 2.0},
    "bands 0.2 px apart": {"shifts": {"B04": (0, 0), "B03": (0.2, 0), "B02": (0, 0.2), "B08": (0.2, 0.2)}},
}
"""LR pixels for the shifts."""

PEER = "sen2sr-lite"
"""The models with which our own are compared, place by place."""

WORSE = 0.02
"""How much lower the mean PSNR of our own models may be, in dB."""

GOALS = (
    ("sen2sr", "sen2sr-lite", (0.8, 0.8, 0.1, 0.5, 0.5)),
    ("sen2sr", "kriging", (0.3, 0.2, 0.8, 0.2, 0.2)),
    ("kriging", "sen2sr-lite", (0.45, 0.6, -0.8, 0.3, 0.25)),
    ("kriging-estimate", "sen2sr-lite", (0.4, 0.8, 0.3, 0.3, 0.2)),
)
"""What the mean PSNR of the first model shall gain over the second, in dB, by sensor in the order of `SENSORS`."""

DEFAULT = "sen2sr"
"""The model that shall be at least as good as `PEER` on each place, by `EACH`."""

EACH = {"psnr": 1, "ssim": 1, "sam": -1}
"""Measures that are judged on each place, and the sign of what is better."""

AGREEMENT = 0.5
"""How far the default may be from its input, as the sensor sees it, in multiples of `PEER`: means over places."""

PICTURES = ROOT / "docs" / "_static"

PICTURED = "Virginia: road, houses, meadow, 2 m"
"""The place that is shown as maps."""


def main() -> int:
    """Evaluate all models on all places and sensors."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--models", nargs="+", default=list(MODELS), help="names (default: %(default)s)")
    arguments.add_argument("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    arguments.add_argument("--tried", nargs="+", default=[], metavar="NAME=FILE", help="weights of trials")
    given = arguments.parse_args()
    given.models += [tried.split("=", 1)[0] for tried in given.tried]
    if given.side:
        for tried in given.tried:
            _register(*tried.split("=", 1))
        print(json.dumps({"rows": _measure(given.models, given.seed, pictures=given.side == "pictures")}))
        return 0
    given.no_calibration = True  # no times here
    with Report("trust", "Added detail, and how much of it is correct", given) as report:
        side = "pictures" if given.write else "numbers"
        told = given.models[: len(given.models) - len(given.tried)]
        tried = ("--tried", *given.tried) if given.tried else ()
        rows = run(Side("studies.trust", ("--side", side, "--models", *told, *tried, "--seed", str(given.seed))))[
            "rows"
        ]
        _show(report, rows, given.models)
        for model in given.models:
            if PEER in given.models and model not in (PEER, "bicubic"):
                _pair(report, rows, model)
        _judge(report, rows)
        if given.write:
            _plot(rows, given.models)
    return report.exit_code


def _register(name: str, path: str) -> None:
    """Register weights of the architecture and size of the first edition's as a model."""
    from dataclasses import replace

    import xr_sr
    from xr_sr.catalog import registry

    xr_sr.register_model(replace(registry.get("sen2sr-v1"), name=name, weights=None), weights=path, check=False)


def _measure(models: list[str], seed: int, *, pictures: bool) -> list[dict[str, Any]]:
    import xr_sr  # registers .sr
    from studies import aerial

    rows = []
    for place in aerial.places():
        for sensor, options in SENSORS.items():
            lr = see(place, seed=seed, **options)
            fine = {model: _upscaled(lr, model) for model in models}
            found = xr_sr.evaluate(lr, fine, place.hr).compute()
            for model in models:
                one = found.sel(model=model)
                values = {name: float(one[name].mean()) for name in SHOWN}
                rows.append({"place": place.name, "sensor": sensor, "model": model, **values})
            if pictures and place.name == PICTURED and not options:
                _draw(lr, fine, place.hr)
        print(place.name, place.hr.shape, file=sys.stderr, flush=True)
    return rows


def _upscaled(lr: Any, model: str) -> Any:
    name, options = WITH_OPTIONS.get(model, (model, {}))
    return lr.sr.upscale(name, device="cpu", **options)


def see(place: Any, *, seed: int, wider: float = 1.0, **options: Any) -> Any:
    """Degrade a place to 10 m. wider: multiplies the width of the point spread function."""
    from studies.aerial import SCALE
    from xr_sr.simulate import MTF_AT_NYQUIST, degrade

    # A Gaussian k times as wide passes the k^2-th power of the contrast.
    mtf = {band: MTF_AT_NYQUIST[band] ** (wider**2) for band in place.hr.band.values}
    like = place.hr.odc.geobox.zoom_out(SCALE)
    return degrade(place.native, like=like, mtf=mtf, noise="sentinel2", seed=seed, **options).compute()


def _show(report: Report, rows: list[dict[str, Any]], models: list[str]) -> None:
    places = list(dict.fromkeys(row["place"] for row in rows))
    report.text(
        f"{len(places)} places, public-domain aerial imagery at 2.5 m, seen at 10 m through the modeled sensor (noise "
        "seed fixed); `xr_sr.evaluate` with its defaults. Median over places [least largest].",
        "",
        *(f"- {place}" for place in places),
    )
    lines = []
    for sensor in SENSORS:
        for model in models:
            mine = [row for row in rows if row["sensor"] == sensor and row["model"] == model]
            spreads = [Spread.of([row[name] for row in mine]) for name in SHOWN]
            forms = [".2f" if name in ("psnr", "sam") else ".3f" if name != "reflectance" else ".4f" for name in SHOWN]
            lines.append((sensor, model, *(spread.text(form) for spread, form in zip(spreads, forms, strict=True))))
    report.table(["sensor", "model", *SHOWN.values()], lines)


def _pair(report: Report, rows: list[dict[str, Any]], model: str) -> None:
    """Compare a model with the official network: means over places, and each place with the right sensor."""
    report.text(f"`{model}` minus `{PEER}`: the mean over places for each sensor, then each place as modeled.")
    found = {(row["place"], row["sensor"], row["model"]): row for row in rows}

    def minus(place: str, sensor: str, name: str) -> float:
        return float(found[place, sensor, model][name] - found[place, sensor, PEER][name])

    places = list(dict.fromkeys(row["place"] for row in rows))
    lines = [
        (
            f"mean, {sensor}",
            *(f"{sum(minus(place, sensor, name) for place in places) / len(places):+.4f}" for name in SHOWN),
        )
        for sensor in SENSORS
    ]
    lines += [(place, *(f"{minus(place, 'as modeled', name):+.4f}" for name in SHOWN)) for place in places]
    report.table(["", *SHOWN.values()], lines)
    mean = sum(minus(place, "as modeled", "psnr") for place in places) / len(places)
    report.target(f"`{model}` is at most {WORSE} dB worse than `{PEER}`: {mean:+.4f} dB", mean >= -WORSE)


def _judge(report: Report, rows: list[dict[str, Any]]) -> None:
    """Judge the means of all sensors and, as modeled, each place and the agreement with the input."""
    models = {row["model"] for row in rows}
    report.text("What was to be shown. Means over places; each place, and the agreement with the input, as modeled.")
    for model, other, goals in GOALS:
        if {model, other} <= models:
            for sensor, goal in zip(SENSORS, goals, strict=True):
                gain = _mean(rows, model, sensor, "psnr") - _mean(rows, other, sensor, "psnr")
                claim = f"`{model}` over `{other}`, {sensor}: {gain:+.3f} dB PSNR (goal {goal:+.2f})"
                report.target(claim, gain >= goal)
    if not {DEFAULT, PEER} <= models:
        return
    found = {(row["place"], row["model"]): row for row in rows if row["sensor"] == "as modeled"}
    for place in dict.fromkeys(row["place"] for row in rows):
        for name, sign in EACH.items():
            gain = found[place, DEFAULT][name] - found[place, PEER][name]
            better, goal = (sign * gain > 0, "above 0") if name == "psnr" else (sign * gain >= 0, "not worse")
            claim = f"`{DEFAULT}` minus `{PEER}`, {place}: {SHOWN[name]} {gain:+.4f} (goal: {goal})"
            report.target(claim, better)
    ratio = _mean(rows, DEFAULT, "as modeled", "reflectance") / _mean(rows, PEER, "as modeled", "reflectance")
    claim = f"`{DEFAULT}` is {ratio:.2f} times as far from its input as `{PEER}` (goal: at most {AGREEMENT})"
    report.target(claim, ratio <= AGREEMENT)


def _mean(rows: list[dict[str, Any]], model: str, sensor: str, name: str) -> float:
    seen = [row[name] for row in rows if row["model"] == model and row["sensor"] == sensor]
    return float(sum(seen) / len(seen))


def _draw(lr: Any, fine: dict[str, Any], hr: Any) -> None:
    """Draw where models improve, omit and hallucinate, and the density of all pixels between the three."""
    from xr_sr.metrics import correctness
    from xr_sr.plot import ternary, trust_maps

    maps = correctness(lr, fine, hr, at="pixel").compute()
    trust_maps(maps, sr=fine).savefig(PICTURES / "trust_maps.jpg", dpi=110, pil_kwargs={"quality": 88})
    ternary(maps).savefig(PICTURES / "trust_ternary.png", dpi=110)


def _plot(rows: list[dict[str, Any]], models: list[str]) -> None:
    """Draw one panel per metric, one column per sensor, one dot per place."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = ["psnr", "sam", "improvement", "hallucination"]
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), sharex=True, layout="constrained")
    width = 0.8 / len(models)
    for axis, name in zip(axes.flat, names, strict=True):
        for place, model in enumerate(models):
            for column, sensor in enumerate(SENSORS):
                seen = [row[name] for row in rows if row["sensor"] == sensor and row["model"] == model]
                x = column + (place - (len(models) - 1) / 2) * width
                label = model if column == 0 else None
                axis.plot([x] * len(seen), seen, "o", ms=4, alpha=0.45, color=f"C{place}", label=label)
                axis.hlines(Spread.of(seen).median, x - width / 3, x + width / 3, color=f"C{place}", lw=2.5)
        axis.set_title(SHOWN[name], loc="left", fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xticks(range(len(SENSORS)), [fill(sensor, 13) for sensor in SENSORS], fontsize=9)
    figure.legend(
        *axes.flat[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(models), frameon=False
    )
    figure.savefig(PICTURES / "trust.png", dpi=110)


if __name__ == "__main__":
    sys.exit(main())
