"""Judge what diffusion draws: single members, their mean and their spread, beside those of kriging's simulation.

    python -m studies.diffusion [--members 8] [--weights FILE] [--write]

The places of the study of trust, which no weights and no calibration of the package saw, through the modeled sensor.
Single members: is their power spectrum that of the reference, do they agree with the input through the point spread
function, what of their detail is right? For the latter, members of diffusion are also moved towards or away from
their mean until they spread as those of kriging do. The mean of members: PSNR. All of them: the continuous ranked
probability score (CRPS, without the bias of few members), and how often intervals of 90 % hold. Then what an interval
costs. --weights: other weights of the same size. Writes results/diffusion.md and, with --write, pictures.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, parser, run

PICTURES = ROOT / "docs" / "_static"
PICTURED = "Virginia: road, houses, meadow, 2 m"
BORDER = 16
"""Fine pixels at the edge of a place that do not count."""

RINGS = 12
BANDS = ["B04", "B03", "B02", "B08"]
DETAIL = ("improvement", "omission", "hallucination")
TIMED = 512
"""Side of the scene whose time is measured, in input pixels."""


def main() -> int:
    """Report on all places."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--members", type=int, default=8, help="of each ensemble (default: %(default)s)")
    arguments.add_argument("--weights", default="", help="file of other weights")
    given = arguments.parse_args()
    if given.side:
        measured = _cost(given) if given.side == "cost" else _measure(given, draw=given.side == "pictures")
        print(json.dumps({"rows": measured}))
        return 0
    given.no_calibration = True
    with Report("diffusion", "What diffusion draws, beside kriging's simulation", given) as report:
        shared = ("--members", str(given.members), "--weights", given.weights)
        rows = run(Side("studies.diffusion", ("--side", "pictures" if given.write else "numbers", *shared)))["rows"]
        cost = run(Side("studies.diffusion", ("--side", "cost", *shared)))["rows"]
        _show(report, rows, cost, given.members)
    return report.exit_code


def _measure(given: Any, *, draw: bool) -> list[dict[str, Any]]:
    from studies import aerial
    from studies.trust import see

    drawing = _registered(given.weights)
    rows = []
    for place in aerial.places():
        lr = see(place, seed=0)
        images = {name: lr.sr.upscale(name, device="cpu").compute() for name in ("bicubic", "kriging", "sen2sr")}
        ensembles = {
            name: lr.sr.ensemble(given.members, model, members=True, device="cpu").compute()
            for name, model in (("diffusion", drawing), ("simulation", "kriging"))
        }
        rows.append({"place": place.name, **_judged(lr, images, ensembles, place.hr)})
        if draw:
            _draw_spectra(place, images, ensembles)
            if place.name == PICTURED:
                _draw(lr, images, ensembles, place.hr)
        print(place.name, file=sys.stderr, flush=True)
    return rows


def _registered(weights: str) -> str:
    """Return the name of the model that draws: with other weights one of its own."""
    if not weights:
        return "diffusion"
    from dataclasses import replace

    import xr_sr
    from xr_sr.catalog import registry

    name = "diffusion.tried"
    xr_sr.register_model(replace(registry.get("diffusion"), name=name, weights=None), weights=weights, check=False)
    return name


def _judged(lr: Any, images: dict[str, Any], ensembles: dict[str, Any], hr: Any) -> dict[str, Any]:
    import numpy as np

    truth = inner(hr)
    expected = spectrum(truth)
    missed = {name: distance_seen(image, lr) for name, image in images.items()}
    found: dict[str, Any] = {f"psnr {name}": psnr_of(inner(image), truth) for name, image in images.items()}
    found |= {f"seen {name}": missed[name] / missed["bicubic"] for name in images}
    found |= {f"spectrum {name}": apart(spectrum(inner(image)), expected) for name, image in images.items()}
    spreads = {name: float(np.sqrt(np.square(inner(each["std"])).mean())) for name, each in ensembles.items()}
    for name, each in ensembles.items():
        members = np.stack([inner(member) for member in each["members"]])
        estimate, deviation = inner(each["estimate"]), inner(each["std"])
        found[f"psnr mean of {name}"] = psnr_of(members.mean(0), truth)
        found[f"psnr member of {name}"] = float(np.mean([psnr_of(member, truth) for member in members]))
        found[f"seen {name}"] = (
            float(np.mean([distance_seen(m, lr) for m in each["members"][:4:2]])) / missed["bicubic"]
        )
        found[f"spectrum {name}"] = float(np.mean([apart(spectrum(member), expected) for member in members]))
        found[f"crps {name}"] = crps(members, truth)
        found[f"coverage {name}"] = float((np.abs(truth - estimate) <= 1.645 * deviation).mean())
        found[f"spread {name}"] = spreads[name] / float(np.sqrt(np.square(truth - estimate).mean()))
        for spread, times in (("own", 1.0), ("equal", spreads["simulation"] / spreads[name])):
            numbers = []
            for member in each["members"][:4:2]:
                moved = each["estimate"] + times * (member - each["estimate"])
                made = moved.assign_attrs(member.attrs).sr.evaluate(lr, hr).compute()
                numbers.append([float(made[key].mean()) for key in DETAIL])
            found |= {f"{key} {name} {spread}": float(n) for key, n in zip(DETAIL, np.mean(numbers, 0), strict=True)}
    made = images["sen2sr"].sr.evaluate(lr, hr).compute()
    return found | {f"{key} sen2sr own": float(made[key].mean()) for key in DETAIL}


def inner(image: Any) -> Any:
    import numpy as np

    return np.asarray(image.sel(band=BANDS).values[..., BORDER:-BORDER, BORDER:-BORDER], "float64")


def psnr_of(one: Any, other: Any) -> float:
    import numpy as np

    return float(-10 * np.log10(np.square(one - other).mean()))


def distance_seen(image: Any, lr: Any) -> float:
    """Return how far an image is from its input as the sensor sees it, rms over all bands."""
    import numpy as np

    from xr_sr.metrics import consistency

    return float(np.sqrt(np.square(consistency(lr, image, operator="psf")["reflectance"].values).mean()))


def spectrum(image: Any) -> Any:
    """Return the radial power spectrum of (band, y, x): (band, ring), rings of equal width up to Nyquist."""
    import numpy as np

    window = np.hanning(image.shape[-2])[:, None] * np.hanning(image.shape[-1])
    power = np.abs(np.fft.fft2((image - image.mean((-2, -1), keepdims=True)) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(image.shape[-2])[:, None], np.fft.fftfreq(image.shape[-1]))
    edges = np.linspace(0.5 / RINGS, 0.5, RINGS + 1)
    return np.stack([power[..., (radius >= low) & (radius < high)].mean(-1) for low, high in pairwise(edges)], -1)


def apart(one: Any, other: Any) -> float:
    """Return by how many dB two spectra differ, in the mean over bands and rings."""
    import numpy as np

    return float(np.abs(10 * np.log10(one / other)).mean())


def crps(members: Any, truth: Any) -> float:
    """Return the fair CRPS of members, (member, band, y, x): without the bias that few of them have.

    Members come in pairs, of noise and of its negative, which are further apart than two that know nothing of each
    other: differences within a pair do not count.
    """
    import numpy as np

    count = len(members)
    assert count % 2 == 0, "an odd number of members has one without its partner"
    rank = (2 * np.arange(count) - count + 1)[:, None, None, None]
    all_pairs = 2 * (rank * np.sort(members, axis=0)).sum(0).mean()  # of all (i, j), in either order
    partners = 2 * np.abs(members[::2] - members[1::2]).sum(0).mean()
    apart = (all_pairs - partners) / (count * (count - 2))
    return float(np.abs(members - truth).mean() - apart / 2)


def _cost(given: Any) -> list[dict[str, Any]]:
    """Return processor seconds of sen2sr, and of members, three times in turns."""
    import torch
    import xarray as xr

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    torch.set_num_threads(1)
    drawing = _registered(given.weights)
    values = scenes.mosaic(scenes.dsen2(), (0, TIMED), (0, TIMED))
    cube = scenes.cube(values).chunk(-1)
    assert isinstance(cube, xr.DataArray)
    options: dict[str, Any] = {"device": "cpu", "offset": 0, "nodata": 0}

    def timed(made: Any) -> float:
        start = time.process_time()
        made.compute(scheduler="synchronous")
        return time.process_time() - start

    small = cube.isel(y=slice(64), x=slice(64))
    for name in ("sen2sr", drawing):
        small.sr.upscale(name, **options).compute()
    return [
        {
            "sen2sr": timed(cube.sr.upscale("sen2sr", **options)),
            "member": timed(cube.sr.upscale(drawing, **options)),
            "members": timed(cube.sr.ensemble(given.members, drawing, **options)[["estimate", "std"]]),
            "simulation": timed(cube.sr.ensemble(given.members, "kriging", **options)[["estimate", "std"]]),
        }
        for _ in range(3)
    ]


def _show(report: Report, rows: list[dict[str, Any]], cost: list[dict[str, Any]], count: int) -> None:
    from statistics import mean, median

    def average(key: str) -> float:
        return mean(row[key] for row in rows)

    def table(title: str, columns: dict[str, str], form: str) -> None:
        report.text(title)
        lines = [(row["place"], *(format(row[key], form) for key in columns)) for row in rows]
        lines.append(("mean", *(format(average(key), form) for key in columns)))
        report.table(["place", *columns.values()], lines)

    report.text(
        f"Modeled sensor, noise of seed 0; {count} members, calibrated as the package does by default. "
        "Simulation: kriging's conditional simulation, `ensemble(model='kriging')`.",
    )
    table(
        "PSNR, dB.",
        {
            "psnr bicubic": "bicubic",
            "psnr kriging": "kriging",
            "psnr sen2sr": "sen2sr",
            "psnr mean of diffusion": "mean of diffusion",
            "psnr member of diffusion": "a member of diffusion",
            "psnr member of simulation": "of the simulation",
        },
        ".2f",
    )
    table(
        "How far the radial power spectrum is from that of the reference, dB, mean over bands and 12 rings.",
        {
            "spectrum kriging": "kriging",
            "spectrum sen2sr": "sen2sr",
            "spectrum simulation": "a member of the simulation",
            "spectrum diffusion": "of diffusion",
        },
        ".1f",
    )
    table(
        "Seen again through the point spread function: distance from the input, over that of bicubic; two members.",
        {
            "seen kriging": "kriging",
            "seen sen2sr": "sen2sr",
            "seen simulation": "a member of the simulation",
            "seen diffusion": "of diffusion",
        },
        ".2f",
    )
    report.text(
        "Detail of single members, the mean of two of different pairs: improvement, omission, hallucination. At equal "
        "spread: moved from their mean until they spread as those of the simulation.",
    )
    sides = {
        "sen2sr": "sen2sr own",
        "a member of the simulation": "simulation own",
        "of diffusion": "diffusion own",
        "of diffusion, equal spread": "diffusion equal",
    }
    lines = [
        (row["place"], *(" ".join(f"{row[f'{key} {side}']:.2f}" for key in DETAIL) for side in sides.values()))
        for row in rows
    ]
    lines.append(("mean", *(" ".join(f"{average(f'{key} {side}'):.3f}" for key in DETAIL) for side in sides.values())))
    report.table(["place", *sides], lines)
    table(
        "All members: CRPS in reflectance; coverage of intervals of 90 %; spread over rms error.",
        {
            "crps simulation": "CRPS, simulation",
            "crps diffusion": "CRPS, diffusion",
            "coverage simulation": "coverage, simulation",
            "coverage diffusion": "coverage, diffusion",
            "spread simulation": "spread, simulation",
            "spread diffusion": "spread, diffusion",
        },
        ".4f",
    )
    times = {key: median(one[key] / one["sen2sr"] for one in cost) for key in ("member", "members", "simulation")}
    report.text(
        f"Time of {TIMED} x {TIMED} pixels of four bands on one processor, in multiples of `sen2sr`, median of three: "
        f"a member {times['member']:.1f}, {count} members {times['members']:.1f}, of the simulation "
        f"{times['simulation']:.1f}.",
    )
    closer = all(row["spectrum diffusion"] < row["spectrum sen2sr"] for row in rows)
    report.target(
        f"spectrum of a member is closer to the reference than sen2sr's on each place: "
        f"{average('spectrum diffusion'):.1f} dB, not {average('spectrum sen2sr'):.1f}",
        closer,
    )
    gain = average("psnr mean of diffusion") - average("psnr kriging")
    report.target(f"PSNR of the mean of members is at least kriging's, mean of places: {gain:+.2f} dB", gain >= 0)
    seen = max(row["seen diffusion"] for row in rows)
    kriged = max(row["seen kriging"] for row in rows)
    report.target(
        f"a member seen again is at most half as far as bicubic on each place: {average('seen diffusion'):.2f} in the "
        f"mean, at most {seen:.2f}, of kriging {kriged:.2f}",
        seen <= 0.5,
    )
    more, less = (average(f"{key} diffusion equal") - average(f"{key} simulation own") for key in DETAIL[::2])
    report.target(f"at equal spread improvement is above the simulation's: {more:+.3f}", more > 0)
    report.target(f"and hallucination below: {less:+.3f}", less < 0)
    gained = 1 - mean(row["crps diffusion"] / row["crps simulation"] for row in rows)
    report.target(f"CRPS is 5 % better than the simulation's, mean over places: {100 * gained:.1f} %", gained >= 0.05)
    covered = average("coverage diffusion")
    report.target(f"coverage at 90 % is within 0.03 in the mean of places: {covered:.3f}", abs(covered - 0.9) <= 0.03)
    report.target(
        f"{count} members take at most 16 times as long as sen2sr: {times['members']:.1f}", times["members"] <= 16
    )


def _draw(lr: Any, images: dict[str, Any], ensembles: dict[str, Any], hr: Any) -> None:
    """Draw LR, sen2sr, two members, what differs between them, and the reference, in one stretch."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    start, side = 40, 120
    drawn = ensembles["diffusion"]
    shown = {
        "Sentinel-2 at 10 m, modeled": lr,
        "sen2sr, the estimate": images["sen2sr"],
        "aerial image at 2.5 m": hr,
        "diffusion, a member": drawn["members"][0],
        "diffusion, another": drawn["members"][2],
    }
    false_color = ["B08", "B04", "B03"]
    part = hr.sel(band=false_color).values[:, start : start + side, start : start + side]
    low, high = (np.percentile(part, share, axis=(1, 2))[:, None, None] for share in (0.5, 99.5))
    figure, axes = plt.subplots(2, 3, figsize=(12.5, 8.8), layout="constrained")
    for axis, (title, image) in zip(axes.flat, shown.items(), strict=False):
        values = image.sel(band=false_color).values
        step = 4 if values.shape[-1] < hr.shape[-1] else 1
        cut = slice(start // step, (start + side) // step)
        color = ((values[:, cut, cut] - low) / (high - low)).clip(0, 1).transpose(1, 2, 0)
        axis.imshow(color, interpolation="nearest")
        axis.set_title(title, loc="left", fontsize=11)
    spread = drawn["std"].sel(band="B04").values[start : start + side, start : start + side]
    seen = axes.flat[5].imshow(spread, cmap="magma", vmin=0, interpolation="nearest")
    axes.flat[5].set_title("standard deviation of members, B04", loc="left", fontsize=11)
    figure.colorbar(seen, ax=axes.flat[5], shrink=0.8, label="reflectance")
    for axis in axes.flat:
        axis.axis("off")
    figure.savefig(PICTURES / "diffusion.jpg", dpi=100, pil_kwargs={"quality": 88})
    plt.close(figure)


_SPECTRA: list[tuple[str, dict[str, Any]]] = []


def _draw_spectra(place: Any, images: dict[str, Any], ensembles: dict[str, Any]) -> None:
    """Draw the spectra of each place, relative to that of the reference; one figure, redrawn as places come."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    expected = spectrum(inner(place.hr))
    made = {
        "bicubic": images["bicubic"],
        "kriging": images["kriging"],
        "sen2sr": images["sen2sr"],
        "a member of kriging's simulation": ensembles["simulation"]["members"][0],
        "a member of diffusion": ensembles["diffusion"]["members"][0],
    }
    ratios = {name: (10 * np.log10(spectrum(inner(image)) / expected)).mean(0) for name, image in made.items()}
    _SPECTRA.append((place.name, ratios))
    figure, axes = plt.subplots(1, len(_SPECTRA), figsize=(3.4 * len(_SPECTRA), 4), sharey=True, layout="constrained")
    cycles = (np.arange(RINGS) + 1) / RINGS * 0.5 * 4  # per input pixel
    for axis, (name, each) in zip(np.atleast_1d(axes), _SPECTRA, strict=True):
        axis.axhline(0, color="0.3", lw=1, ls="--", label="aerial image")
        axis.axvline(0.5, color="0.7", lw=1, ls=":")
        for color, (label, ratio) in enumerate(each.items()):
            axis.plot(cycles, ratio, color=f"C{color}", lw=2.2 if "diffusion" in label else 1.4, label=label)
        axis.set_title(name.rpartition(",")[0], loc="left", fontsize=10)
        axis.set_xlabel("cycles per pixel of 10 m")
        axis.set_ylim(-45, 12)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    np.atleast_1d(axes)[0].set_ylabel("power over that of the aerial image, dB")
    figure.legend(
        *np.atleast_1d(axes)[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False
    )
    figure.savefig(PICTURES / "diffusion_spectra.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
