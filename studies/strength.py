"""Show what more or less added detail buys and costs: PSNR and improvement for hallucination.

    python -m studies.strength [--write]

The places of the study of trust, through the sensor as modeled. Detail is scaled: what the network of `sen2sr` adds to
kriging (its `strength`), all that `sen2sr`, the official network, kriging and an unsharp mask add to bicubic
interpolation. Models are compared where they hallucinate as much, by linear interpolation between steps. Writes
results/strength.md and, with --write, docs/_static/strength.png.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, parser, run

PEER = "sen2sr-lite"
KNOB, WHOLE = "sen2sr, strength", "sen2sr, all detail"

STEPS: dict[str, tuple[float, ...]] = {
    KNOB: (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
    WHOLE: (0.25, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25),
    PEER: (0.5, 1.0, 1.5, 1.75, 2.0, 2.5),
    "kriging, strength": (0.25, 0.5, 0.75, 1.0, 1.25),
    "bicubic, unsharp mask": (0.5, 1.0, 2.0, 3.0, 4.0),
}
"""Factors of the detail of each curve, in rising order; 0 is bicubic interpolation, of the knob kriging."""

BICUBIC = "bicubic"

SHOWN = {"psnr": "PSNR, dB", "improvement": "improvement", "omission": "omission", "hallucination": "hallucination"}

WIDTH = 0.5
"""Deviation of the Gaussian of the unsharp mask, in pixels of LR; as in `real_pair`."""

FLAT = 0.01
"""Rms of the standard deviation within 3 x 3 pixels of LR, reflectance, below which a place is called flat."""

GOAL = 1.15
"""How many times the official network's improvement ours is to have, where it hallucinates as much."""

PICTURE = ROOT / "docs" / "_static" / "strength.png"


@dataclass(frozen=True)
class Row:
    """One image of one place. contrast: of LR, see `FLAT`; step: factor of the detail."""

    place: str
    contrast: float
    curve: str
    step: float
    psnr: float
    improvement: float
    omission: float
    hallucination: float


def main() -> int:
    """Evaluate all curves on all places."""
    given = parser(__doc__, repeat=1).parse_args()
    if given.side:
        print(json.dumps({"rows": [asdict(row) for row in _measure()]}))
        return 0
    given.no_calibration = True  # no times here
    with Report("strength", "More or less detail: what it buys and costs", given) as report:
        rows = [Row(**row) for row in run(Side("studies.strength", ("--side", "numbers")))["rows"]]
        _show(report, rows)
        _compare(report, rows)
        if given.write:
            _plot(rows)
    return report.exit_code


def _measure() -> list[Row]:
    from studies import aerial
    from studies.trust import see
    from xr_sr.metrics import correctness, psnr

    rows = []
    for place in aerial.places():
        lr = see(place, seed=0)
        images = _images(lr)
        judged = correctness(lr, images, place.hr).compute()
        for (curve, step), name in _names().items():
            shares = {key: float(judged[key].sel(model=name)) for key in SHOWN if key != "psnr"}
            near = float(psnr(images[name], place.hr).mean())
            rows.append(Row(place.name, _contrast(lr), curve, step, psnr=near, **shares))
        print(place.name, file=sys.stderr, flush=True)
    return rows


def _names() -> dict[tuple[str, float], str]:
    return {
        (BICUBIC, 0.0): BICUBIC,
        **{(curve, step): f"{curve} {step:g}" for curve, steps in STEPS.items() for step in steps},
    }


def _images(lr: Any) -> dict[str, Any]:
    """Return every image of `_names`. All are linear in the step, so each model runs once."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    import xr_sr  # noqa: F401  # registers .sr
    from studies.aerial import SCALE

    bicubic, kriging, ours, official = (
        lr.sr.upscale(model, device="cpu").compute() for model in (BICUBIC, "kriging", "sen2sr", PEER)
    )
    most = lr.sr.upscale("sen2sr", strength=1.5, device="cpu").values
    np.testing.assert_allclose(most, (kriging + 1.5 * (ours - kriging)).values, atol=2e-5)
    blurred = gaussian_filter(bicubic.values, (0, WIDTH * SCALE, WIDTH * SCALE), mode="reflect", truncate=4)
    details = {
        KNOB: (kriging, ours - kriging),
        WHOLE: (bicubic, ours - bicubic),
        PEER: (bicubic, official - bicubic),
        "kriging, strength": (bicubic, kriging - bicubic),
        "bicubic, unsharp mask": (bicubic, bicubic - blurred),
    }
    made = {BICUBIC: bicubic}
    for (curve, step), name in _names().items():
        if curve in details:
            start, detail = details[curve]
            made[name] = (start + step * detail).astype("float32").assign_attrs(ours.attrs)
    return made


def _contrast(lr: Any) -> float:
    """Return the rms of the standard deviation within 3 x 3 pixels, over all bands."""
    import numpy as np
    from scipy.ndimage import uniform_filter

    values = lr.values.astype("float64")
    mean = uniform_filter(values, (0, 3, 3))
    variance = (uniform_filter(values**2, (0, 3, 3)) - mean**2)[:, 1:-1, 1:-1]
    return float(np.sqrt(variance.clip(min=0).mean()))


def _show(report: Report, rows: list[Row]) -> None:
    places = {row.place: row.contrast for row in rows}
    report.text(
        f"{len(places)} places, public-domain aerial imagery at 2.5 m, seen at 10 m through the sensor as modeled. "
        "Factor: of the detail that is added to bicubic interpolation; of `strength`, of what the network adds to "
        "kriging. Means over places. Contrast is the rms of the standard deviation within 3 x 3 input pixels: a place "
        f"below {FLAT} is called flat, others edge places.",
        "",
        *(f"- {place}: {contrast:.4f}, {_kind(contrast)}" for place, contrast in places.items()),
    )
    lines = []
    for curve, step in _names():
        mine = [row for row in rows if (row.curve, row.step) == (curve, step)]
        values = [sum(getattr(row, name) for row in mine) / len(mine) for name in SHOWN]
        forms = [".2f" if name == "psnr" else ".3f" for name in SHOWN]
        shown = (f"{value:{form}}" for value, form in zip(values, forms, strict=True))
        lines.append((curve, "–" if curve == BICUBIC else f"{step:g}", *shown))
    report.table(["image", "factor", *SHOWN.values()], lines)


def _kind(contrast: float) -> str:
    return "flat" if contrast < FLAT else "edge"


def _compare(report: Report, rows: list[Row]) -> None:
    """Compare improvement and PSNR where images hallucinate as much: as the official network, and as ours do."""
    report.text(
        f"Where `sen2sr` hallucinates as much as `{PEER}`: its detail over bicubic interpolation is reduced to that "
        f"point; then where `{PEER}`, its detail enlarged, hallucinates as much as `sen2sr`. Improvement of each, "
        "their ratio, and the difference of PSNR."
    )
    lines, at_equal = [], 0.0
    for title, chosen in _groups(rows).items():
        official, ours = _mean(rows, chosen, PEER), _mean(rows, chosen, WHOLE)
        for fixed, moved, ahead in ((official, ours, False), (ours, official, True)):
            at = fixed[1.0]["hallucination"]
            found = _crossing(moved, at)
            if found is None:
                lines.append((title, f"{at:.3f}", "–", "–", "–", "–", "–"))
                continue
            step, values = found
            one, two = (fixed[1.0], values) if ahead else (values, fixed[1.0])
            ratio = one["improvement"] / two["improvement"]
            factors = ("1", f"{step:.2f}") if ahead else (f"{step:.2f}", "1")
            numbers = (f"{one['improvement']:.3f} (× {factors[0]})", f"{two['improvement']:.3f} (× {factors[1]})")
            lines.append((title, f"{at:.3f}", *numbers, f"{ratio:.2f}", f"{one['psnr'] - two['psnr']:+.2f}"))
            if title == "all places" and not ahead:
                at_equal = ratio
    head = ["places", "hallucination", "improvement of sen2sr", f"of {PEER}", "ratio", "PSNR, dB"]
    report.table(head, lines)
    report.target(
        f"`sen2sr` has at least {GOAL} times the improvement of `{PEER}` where it hallucinates as much: {at_equal:.2f}",
        at_equal >= GOAL,
    )


def _groups(rows: list[Row]) -> dict[str, list[str]]:
    """Return the names of places by the titles of what is averaged."""
    places = {row.place: row.contrast for row in rows}
    groups = {place: [place] for place in places}
    for kind in ("edge", "flat"):
        chosen = [place for place, contrast in places.items() if _kind(contrast) == kind]
        if len(chosen) > 1:
            groups[f"{kind} places"] = chosen
    return {**groups, "all places": [*places]}


def _mean(rows: list[Row], places: list[str], curve: str) -> dict[float, dict[str, float]]:
    """Return the means of a curve over places by step, from bicubic interpolation on."""
    steps = {0.0: BICUBIC} if curve != KNOB else {}
    steps |= dict.fromkeys(STEPS[curve], curve)
    found = {}
    for step, name in steps.items():
        mine = [row for row in rows if row.place in places and (row.curve, row.step) == (name, step)]
        found[step] = {key: sum(getattr(row, key) for row in mine) / len(mine) for key in SHOWN}
    return found


def _crossing(curve: dict[float, dict[str, float]], hallucination: float) -> tuple[float, dict[str, float]] | None:
    """Return the first step at which a curve hallucinates so much, and its values there; None where it never does."""
    points = sorted(curve.items())
    for (low, before), (high, after) in pairwise(points):
        if before["hallucination"] <= hallucination <= after["hallucination"]:
            share = (hallucination - before["hallucination"]) / (after["hallucination"] - before["hallucination"])
            values = {key: before[key] + share * (after[key] - before[key]) for key in SHOWN}
            return low + share * (high - low), values
    return None


def _plot(rows: list[Row]) -> None:
    """Draw improvement and PSNR against hallucination, for edge places and flat ones."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = {kind: [row.place for row in rows if _kind(row.contrast) == kind] for kind in ("edge", "flat")}
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), sharex="col", layout="constrained")
    for column, (kind, places) in enumerate(kinds.items()):
        for axis, name in zip(axes[:, column], ("improvement", "psnr"), strict=True):
            for color, curve in enumerate(STEPS):
                points = _mean(rows, places, curve)
                x = [point["hallucination"] for point in points.values()]
                y = [point[name] for point in points.values()]
                axis.plot(x, y, "o-", ms=3.5, lw=1.6, color=f"C{color}", label=curve)
                if 1.0 in points:
                    one = points[1.0]
                    axis.plot(one["hallucination"], one[name], "o", ms=9, mfc="none", mew=1.6, color=f"C{color}")
            start = _mean(rows, places, PEER)[0.0]
            axis.plot(start["hallucination"], start[name], "s", ms=7, color="0.25", label="bicubic")
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25)
            axis.set_ylabel(SHOWN[name])
        count = len(dict.fromkeys(places))
        axes[0, column].set_title(f"{kind} places, mean of {count}" if count > 1 else f"{kind} place", loc="left")
        axes[1, column].set_xlabel("hallucination")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
