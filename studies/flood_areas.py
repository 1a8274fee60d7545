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
import warnings
from collections.abc import Iterator, Sequence
from statistics import NormalDist, fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, parser, run
from xr_sr.analytics.shares import shares_at

TUNING, REPORTED = range(1000, 1048), range(2000, 2050)

SIDE, SEARCHED = 96, 384
"""Sides of a scene, and of the land on which it lies where most is flooded, in pixels of 10 m."""

WINDOW = 32
"""Side of the windows that are looked at alone too, in pixels of 10 m."""

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
    """Yield for each seed with a flood what varies, the cube of two dates, and their water, (time, y, x) at 2.5 m."""
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
        yield {"seed": seed, "rise_m": rise, "day": day}, scene["lr"].compute(), _wet(scene["hr"])


def _wet(reference: Any) -> NDArray[np.bool_]:
    """Return where water is on each date; each surface is on one side of NDWI = 0."""
    bands = reference.to_dataset()
    found: NDArray[np.bool_] = (bands["B03"] > bands["B08"]).values
    return found


def flooded(wet: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what has water on the second date and had none on the first: (..., time, y, x) to (..., y, x)."""
    return wet[..., 1, :, :] & ~wet[..., 0, :, :]


def _most_flooded(reference: Any, side: int) -> tuple[tuple[int, int], float]:
    """Return the corner of the window of so many pixels in which most is flooded, and the share that is."""
    sums = np.pad(flooded(_wet(reference)).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    counts = (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side])[::6, ::6]
    row, column = np.unravel_index(int(counts.argmax()), counts.shape)
    return (600_000 + 60 * int(column), 5_400_000 - 60 * int(row)), float(counts.max()) / side**2


def measured(facts: dict[str, Any], lr: Any, wet: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the true area in hectares, and lower and upper bounds of it by several ways."""
    import xr_sr

    index, truth = index_of(lr), flooded(wet)
    when = (index["time"].values[0], index["time"].values[1])
    true_ha = float(truth.sum()) * FINE_HA
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xr_sr.errors.CalibrationWarning)  # of the other threshold
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
        "shares, other threshold": [
            found[OTHER][name].isel(time=0).sel(state="flooded").item() for name in ("area_lower", "area_upper")
        ],
        "dependent": [wide["area_lower"].item(), wide["area_upper"].item()],
        "members": of_members(maps),
        "members, half of them": of_members(maps[: MEMBERS // 2]),
        "members, usual threshold": of_members(other),
        "independent": independent(maps),
        "equal": [package["area"].item() * (1 + sign * USUAL * ERROR) for sign in (-1, 1)],
    }
    print(f"{facts['seed']}: {true_ha:.1f} ha, {bounds['shares']}", file=sys.stderr, flush=True)
    water = index["members"].values > THRESHOLD
    return {
        **facts,
        "true_ha": true_ha,
        "area": package["area"].item(),
        "bounds": bounds,
        "elsewhere": {
            "all water of the second date": [within_shares(water[:, 1], wet[1])],
            "water of both dates": [within_shares(water.all(1), wet.all(0))],
            "flooded, in windows": list(in_windows(maps, truth)),
        },
    }


def within_shares(maps: NDArray[np.bool_], truth: NDArray[np.bool_]) -> list[float]:
    """Return the true area, and bounds between the usual shares of members, as `areas` counts them, in hectares."""
    share = maps.mean(0)
    mean, (least, most) = share.sum(), shares_at(LEVEL)
    bounds = min((share > most).sum(), mean), max((share > least).sum(), mean)
    return [float(pixels * FINE_HA) for pixels in (truth.sum(), *bounds)]


def in_windows(maps: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Iterator[list[float]]:
    """Yield the same of each window in which at least 0.5 ha are flooded, and at least 0.5 ha are not."""
    fine = 4 * WINDOW
    for row in range(0, truth.shape[0], fine):
        for column in range(0, truth.shape[1], fine):
            here = slice(row, row + fine), slice(column, column + fine)
            if 0.5 <= truth[here].sum() * FINE_HA <= fine**2 * FINE_HA - 0.5:
                yield within_shares(maps[:, *here], truth[here])


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
    for facts, lr, wet in scenes(TUNING):
        members, truth = index_of(lr)["members"].values, flooded(wet)
        for threshold, found in rows.items():
            maps = flooded(members > threshold)
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
    "shares, other threshold": f"`areas`, NDWI > {OTHER}",
    "members": "mean and deviation of the members' areas",
    "members, half of them": "the same, of 8 members",
    "members, usual threshold": f"mean and deviation of the members' areas, NDWI > {OTHER}",
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
        f"by {fmean(spreads):.1f} %. Errors of kriging are as long as a pixel of the input, so along kilometers of "
        "shoreline they cancel: members, whose neighbors are correlated, and independent pixels give nearly the same "
        "interval, and both fail. A likely reason for what is left: a pixel of 10 m that is half water and half a "
        "bright field has the NDWI of land, beside dark asphalt that of water, so a threshold finds the edge too far "
        "inside or outside all along a field or a whole scene. `areas` therefore does not use how members are "
        "correlated in space. It takes each pixel's share of members, and counts as if errors went together over the "
        "scene: entirely, the interval is far too wide (last row); how much they do is fitted."
    )
    report.text("", "The same shares for what they were not fitted for:")
    lines = []
    for what in rows[0]["elsewhere"]:
        seen = [each for row in rows for each in row["elsewhere"][what]]
        below, above = (
            fmean(side) for side in zip(*((true < low, true > high) for true, low, high in seen), strict=True)
        )
        lines.append(
            (what, str(len(seen)), f"{100 * (1 - below - above):.0f} %", f"{100 * below:.0f} %", f"{100 * above:.0f} %")
        )
    head = ["area", "intervals", "contain the true area", "true area below", "true area above"]
    report.table(head, lines)
    report.text(
        f"Windows are of {WINDOW} x {WINDOW} pixels of 10 m, cut out of the same scenes, those with at least 0.5 ha "
        "flooded and 0.5 ha not."
    )
    inside = covered["shares"]
    report.target(f"at least 40 scenes: {count}", count >= 40)
    report.target(
        f"intervals contain the true area in 85 to 95 % of scenes: {100 * inside:.0f} % "
        "(of so many scenes, a coverage of {:.0f} to {:.0f} % is compatible with it)".format(
            *_compatible(inside, count)
        ),
        0.85 <= inside <= 0.95,
    )
    alone = covered["independent"]
    report.target(f"with independent pixels they do not: {100 * alone:.0f} %", alone < 0.85)
    lines = [
        (str(row["seed"]), f"{row['rise_m']:.1f}", str(row["day"]), f"{row['true_ha']:.2f}", f"{row['area']:.2f}",
         *(f"{bound:.2f}" for bound in row["bounds"]["shares"]),
         "yes" if _contains(row, "shares") else "no")
        for row in rows
    ]  # fmt: skip
    report.table(["seed", "rise, m", "day", "true area, ha", "mean of members", "lower", "upper", "contained"], lines)


def _compatible(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of scenes, in percent. Source: Wilson 1927, JASA 22, 209."""
    z = NormalDist().inv_cdf(0.975)
    middle, half = share + z**2 / (2 * count), z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low, high = (100 * (middle + sign * half) / (1 + z**2 / count) for sign in (-1, 1))
    return low, high


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
