"""Measure how often the interval of a flooded area has the true area in it, on floods with a known reference.

    python -m studies.flood_areas [--write] [--fit]

Floods of `xr_sr.simulate_scene`, whose water is known at 2.5 m: seed, day, rise of the water and place vary. Members of
an ensemble are mapped by NDWI above a threshold that was fixed on other seeds, `TUNING`, as were the shares of members
between which the area is counted. `--fit` prints both, from those seeds alone. Writes results/flood_areas.md.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from statistics import NormalDist, fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, parser, run

TUNING, REPORTED = range(1000, 1048), range(2000, 2050)

SIDE, SEARCHED = 96, 384
"""Sides of a scene, and of the land on which it lies where most is flooded, in pixels of 10 m."""

FINE_HA = 2.5**2 / 1e4

MEMBERS, LEVEL, THRESHOLD = 16, 0.9, -0.1

THRESHOLDS = (-0.2, -0.15, -0.1, -0.05, 0.0)

OTHER = 0.2
"""A threshold that nothing was fitted to, as of water in the literature."""

ERROR = 0.040
"""Standard deviation of the error of the mean area over the tuning scenes, by `--fit`; for comparison."""

USUAL = NormalDist().inv_cdf((1 + LEVEL) / 2)


def main() -> int:
    """Report on all scenes."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--fit", action="store_true", help="fit the threshold and the shares on other seeds")
    given = arguments.parse_args()
    if given.fit:
        fit()
        return 0
    if given.side:
        print(json.dumps({"rows": [measured(*each) for each in scenes(REPORTED)]}))
        return 0
    given.no_calibration = True  # no times here
    with Report("flood_areas", "Flooded areas, and how often their intervals hold", given) as report:
        show(report, run(Side("studies.flood_areas", ("--side", "numbers")))["rows"])
    return report.exit_code


def scenes(seeds: Sequence[int], side: int = SIDE) -> Iterator[tuple[dict[str, Any], Any, NDArray[np.bool_]]]:
    """Yield for each seed with a flood what varies, the cube of two dates, and where it is flooded, (y, x) at 2.5 m."""
    import xr_sr

    for seed in seeds:
        chance = np.random.default_rng(seed)
        day, rise = int(chance.integers(60, 300)), float(chance.uniform(0.5, 4))
        first = np.datetime64("2023-01-01") + day
        dates = [str(first), str(first + 5)]
        options: dict[str, Any] = {"dates": dates, "seed": seed, "flood_m": [0, rise], "bands": ["B03", "B08"]}
        origin, share = _most_flooded(xr_sr.simulate_scene(SEARCHED, scale=1, **options)["hr"], side)
        if share < 0.01:
            continue
        scene = xr_sr.simulate_scene(side, origin=origin, **options)
        yield {"seed": seed, "rise_m": rise, "day": day}, scene["lr"].compute(), _flooded(scene["hr"])


def _flooded(reference: Any) -> NDArray[np.bool_]:
    """Return what has water on the second date and had none on the first; each surface is on one side of NDWI = 0."""
    bands = reference.to_dataset()
    wet = (bands["B03"] > bands["B08"]).values
    found: NDArray[np.bool_] = wet[1] & ~wet[0]
    return found


def _most_flooded(reference: Any, side: int) -> tuple[tuple[int, int], float]:
    """Return the corner of the window of so many pixels in which most is flooded, and the share that is."""
    sums = np.pad(_flooded(reference).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    counts = (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side])[::6, ::6]
    row, column = np.unravel_index(int(counts.argmax()), counts.shape)
    return (600_000 + 60 * int(column), 5_400_000 - 60 * int(row)), float(counts.max()) / side**2


def measured(facts: dict[str, Any], lr: Any, truth: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the true area in hectares, and lower and upper bounds of it by several ways."""
    index = index_of(lr)
    when = (index["time"].values[0], index["time"].values[1])
    true_ha = float(truth.sum()) * FINE_HA
    found = {threshold: index.sr.flood(*when, index=None, threshold=threshold, area="projected").compute()
             for threshold in (THRESHOLD, OTHER)}  # fmt: skip
    here = found[THRESHOLD]
    package, wide = (
        here.sr.areas(area="projected", **options).isel(time=0).sel(state="flooded").compute()
        for options in ({}, {"shares": (0.05, 0.95)})
    )
    maps = (here["members"].isel(time=0) == 2).values
    other = (found[OTHER]["members"].isel(time=0) == 2).values
    bounds = {
        "shares": [package["area_lower"].item(), package["area_upper"].item()],
        "dependent": [wide["area_lower"].item(), wide["area_upper"].item()],
        "members": of_members(maps),
        "members, half of them": of_members(maps[: MEMBERS // 2]),
        "members, usual threshold": of_members(other),
        "independent": independent(maps),
        "equal": [package["area"].item() * (1 + sign * USUAL * ERROR) for sign in (-1, 1)],
    }
    print(f"{facts['seed']}: {true_ha:.1f} ha, {bounds['shares']}", file=sys.stderr, flush=True)
    return {**facts, "true_ha": true_ha, "area": package["area"].item(), "bounds": bounds}


def index_of(lr: Any) -> Any:
    """Compute NDWI of the estimate and of members."""
    drawn = lr.sr.ensemble(MEMBERS, members=True, bands=["B03", "B08"], device="cpu")
    return drawn.sr.index("NDWI").compute()


def of_members(maps: NDArray[np.bool_]) -> list[float]:
    """Return the interval of a normal distribution with the mean and deviation of the areas of (member, y, x)."""
    areas = maps.sum((1, 2)) * FINE_HA
    return [float(areas.mean() + sign * USUAL * areas.std(ddof=1)) for sign in (-1, 1)]


def independent(maps: NDArray[np.bool_]) -> list[float]:
    """Return the same where each pixel has its probability, but nothing to do with its neighbors."""
    share = maps.mean(0)
    deviation = math.sqrt(float((share * (1 - share)).sum()))
    return [(float(share.sum()) + sign * USUAL * deviation) * FINE_HA for sign in (-1, 1)]


def share_at(maps: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the share of members such that what more of them have is as large as the truth, between their steps."""
    count = len(maps)
    places = (np.arange(count) + 0.5) / count
    areas = [(maps.mean(0) > place).sum() for place in places]
    return float(np.interp(-truth.sum(), np.negative(areas), places))


def fit() -> None:
    """Print for several thresholds the error of the mean area, and the shares of members, over the tuning scenes."""
    rows: dict[float, list[tuple[float, float]]] = {threshold: [] for threshold in THRESHOLDS}
    for facts, lr, truth in scenes(TUNING):
        members = index_of(lr)["members"].values
        for threshold, found in rows.items():
            wet = members > threshold
            maps = wet[:, 1] & ~wet[:, 0]
            found.append((float(maps.mean(0).sum() / truth.sum() - 1), share_at(maps, truth)))
        print(facts, file=sys.stderr, flush=True)
    for threshold, found in rows.items():
        errors, quantiles = [error for error, _ in found], [NormalDist().inv_cdf(share) for _, share in found]
        print(
            f"NDWI > {threshold}: {len(found)} scenes, error {100 * fmean(errors):+.1f} +- {100 * stdev(errors):.1f} "
            f"%, normal quantile of the share {fmean(quantiles):.3f} +- {stdev(quantiles):.3f}"
        )


WAYS = {
    "shares": "`areas`: what more than 64 % and 37 % of the members have",
    "members": "mean and deviation of the members' areas",
    "members, half of them": "the same of 8 members",
    "members, usual threshold": f"the same, NDWI > {OTHER}",
    "independent": "each pixel by itself, without spatial correlation",
    "equal": f"mean area of the members, plus and minus {100 * USUAL * ERROR:.1f} % in all scenes",
    "dependent": "what more than 95 % and 5 % of the members have",
}
"""Intervals that are compared, and their names in the table."""


def show(report: Report, rows: list[dict[str, Any]]) -> None:
    """Write the tables, and what they must show."""
    count = len(rows)
    hectares = [row["true_ha"] for row in rows]
    report.text(
        f"{count} floods of `simulate_scene`, {SIDE} x {SIDE} pixels of 10 m each, on one date before and one after: "
        f"seeds {REPORTED[0]} to {REPORTED[-1]}, day 60 to 299 of the year, water up to 4 m higher, and the place "
        f"within {SEARCHED} x {SEARCHED} pixels where most is flooded; {min(hectares):.1f} to {max(hectares):.1f} ha. "
        f"`cube.sr.ensemble({MEMBERS}, members=True)`, then `flood` by NDWI > {THRESHOLD}. The threshold and the "
        f"shares of members were fixed on seeds {TUNING[0]} to {TUNING[-1]}, which are not among these (`--fit`). "
        "Widths are in percent of the true area; so is the interval score at 90 %: the width, plus 20 times what the "
        "true area lies outside."
    )
    lines, covered = [], {}
    for way, title in WAYS.items():
        inside, width, score = _scores(rows, way)
        covered[way] = inside
        lines.append((title, f"{100 * inside:.0f} %", f"{width:.1f}", f"{score:.1f}"))
    report.table(["interval of 90 %", "contains the true area", "mean width, %", "interval score, %"], lines)
    spreads = [100 * (row["bounds"]["members"][1] - row["area"]) / USUAL / row["true_ha"] for row in rows]
    errors = [100 * (row["area"] / row["true_ha"] - 1) for row in rows]
    report.text(
        f"The mean area of the members differs from the truth by {fmean(errors):+.1f} % on average, with a "
        f"standard deviation over scenes of {stdev(errors):.1f} %; the members of one scene differ from each other "
        f"by {fmean(spreads):.1f} %. Why: errors of kriging are as long as a pixel of the input, so along kilometers "
        "of shoreline they cancel, and neighbors that differ together hardly matter: members and independent pixels "
        "give nearly the same. What is left does not cancel. A pixel of 10 m that is half water and half a bright "
        "field has the NDWI of land, beside dark asphalt that of water; a threshold finds the edge too far inside or "
        "outside, by as much as the land along it is bright, all along a field or a whole scene. So the interval has "
        "to be that of errors that belong together over the scene; if they did so entirely, it would be far too wide. "
        "How much they do is fitted: the share of members at which the area is the true one lies in a narrow range in "
        "all scenes."
    )
    inside = covered["shares"]
    report.target(f"at least 40 scenes: {count}", count >= 40)
    report.target(
        f"intervals contain the true area in 85 to 95 % of scenes: {100 * inside:.0f} %", 0.85 <= inside <= 0.95
    )
    alone = covered["independent"]
    report.target(f"without spatial correlation they do not: {100 * alone:.0f} %", alone < 0.85)
    lines = [
        (str(row["seed"]), f"{row['rise_m']:.1f}", str(row["day"]), f"{row['true_ha']:.2f}", f"{row['area']:.2f}",
         *(f"{bound:.2f}" for bound in row["bounds"]["shares"]),
         "yes" if _contains(row, "shares") else "no")
        for row in rows
    ]  # fmt: skip
    report.table(["seed", "rise, m", "day", "true area, ha", "mean of members", "lower", "upper", "contained"], lines)


def _contains(row: dict[str, Any], way: str) -> bool:
    lower, upper = row["bounds"][way]
    return bool(lower <= row["true_ha"] <= upper)


def _scores(rows: list[dict[str, Any]], way: str) -> tuple[float, float, float]:
    """Return the share of scenes whose interval has the truth in it, the mean width, and the mean score, both in %."""
    widths, scores = [], []
    for row in rows:
        lower, upper = (100 * bound / row["true_ha"] for bound in row["bounds"][way])
        widths.append(upper - lower)
        scores.append(upper - lower + 2 / (1 - LEVEL) * (max(0.0, lower - 100) + max(0.0, 100 - upper)))
    return fmean(_contains(row, way) for row in rows), fmean(widths), fmean(scores)


if __name__ == "__main__":
    sys.exit(main())
