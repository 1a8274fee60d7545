"""Compare the first edition of our networks with the official network: closeness, speed, the effect of their size.

    python -m studies.bundled [--runs FOLDER] [--write]

Closeness on places that no weights here were trained on; `upscale` of one scene on one and two cores with the official
network and with ours in several sizes, alternating; a picture. --runs names a folder with runs of `recipes.bundled`
called z12, z16 and so on, each of as many steps, for the table of sizes, and --long further ones there; --curve those
of the package's own run, whose logs are drawn. Writes results/bundled.md, and with --write docs/_static/bundled.jpg.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, Spread, by_turns, column, parser, run, shared

MODELS = ("sen2sr-v1", "sen2sr-v1-fast")
"""The distilled ones of four bands in the package."""

SIZES = (12, 16, 24, 32)
"""Channels of LeanSPAN."""

HELD = "the official network, held by our form of the constraint"

CLOSE = 0.15
"""The largest difference allowed for distilled weights, on each place."""

PICTURES = ROOT / "docs" / "_static"
PICTURE = PICTURES / "bundled.jpg"


def main() -> int:
    """Measure closeness, then speed."""
    arguments = parser(__doc__, repeat=5, size=1024)
    arguments.add_argument("--runs", type=Path, help="folder of the runs z12, z16, ...")
    arguments.add_argument(
        "--long",
        nargs="*",
        default={},
        type=lambda pair: tuple(pair.split("=", 1)),
        help="long runs there by channels: 12=NAME 24=NAME",
    )
    arguments.add_argument("--curve", type=Path, nargs="+", help="folders of the run, in turn, to draw its curve")
    arguments.add_argument("--model", default="", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    given.long = dict(given.long)
    if given.side:
        print(json.dumps(_time(given.model, given.size) if given.side == "time" else _closeness(draw=given.write)))
        return 0
    sys.path.insert(0, str(ROOT))  # as `run` does for its processes
    if given.curve:
        _curve(given.curve)
    with Report("bundled", "Weights in the package against the official ones", given) as report:
        _report_cards(report)
        _report_closeness(report, given)
        _report_sizes(report, given)
    return report.exit_code


def _report_cards(report: Report) -> None:
    """List the metadata of the files."""
    cards = {f"`{name}`": _card(name) for name in MODELS}
    cards["`sen2sr-v1`, 20 m bands"] = _card("sen2sr-v1.ten-x4")["coarse"]
    shown: dict[str, str] = {}
    for name, card in cards.items():
        settings, teacher = card["settings"], card["teacher"]
        source = f"distilled from {teacher['model']}" if teacher else "trained on high resolution"
        report.text(
            f"## {name}: how it was made",
            "",
            f"- {card['architecture']}, {card['channels']} channels, from {_origin(card['start'])}, seed "
            f"{settings['seed']}",
            f"- {source}: {settings['steps']} steps, {card['minutes']} minutes on {settings['threads']} thread(s) of "
            f"{card['processor']}, optimizer {settings['optimiser']}",
            f"- commit {card['commit']}, {', '.join(f'{key} {value}' for key, value in card['versions'].items())}",
            f"- license {card['licence']}",
            "",
        )
        rows, before = _series(card["data"]), shown.get(repr(card["data"]))
        if before:
            report.text(f"Trained on what {before} was trained on.", "")
        else:
            report.table(["trained on", "license", "weight of each"], rows)
        shown.setdefault(repr(card["data"]), name)
    uses = dict.fromkeys(use for card in cards.values() for use in card["not_for"])
    report.text("## What they are not for", "", *(f"- {use}" for use in uses), "")


def _series(data: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """Join imagery that differs only by a year or a number in one row."""
    rows: dict[tuple[str, str, float], list[str]] = {}
    for entry in data:
        number = re.search(r"(?<= )\d+(?=,|$)", entry["name"])
        stem = entry["name"] if number is None else entry["name"].replace(number[0], "{}", 1)
        rows.setdefault((stem, entry["licence"], entry["weight"]), []).extend([number[0]] if number else [])
    return [(stem.format("/".join(numbers)), *rest) for (stem, *rest), numbers in rows.items()]


def _origin(start: Any) -> str:
    """Describe what a run started from: random numbers, or an earlier run, and what that started from."""
    if not isinstance(start, dict):
        return str(start)
    before = f"{start['settings']['steps']} steps, {start['minutes']} minutes, commit {start['commit']}"
    return f"weights of ours ({before}, from {_origin(start['start'])})"


def _card(name: str) -> dict[str, Any]:
    from safetensors import safe_open

    from xr_sr.catalog import fetch, registry

    with safe_open(fetch.locate(registry.get(name)).path, "np") as file:
        card: dict[str, Any] = json.loads(file.metadata()["card"])
    return card


def _report_closeness(report: Report, given: argparse.Namespace) -> None:
    found = run(Side("studies.bundled", ("--side", "closeness", *(("--write",) if given.write else ()))))["rows"]
    report.text(
        "## Closeness",
        "",
        "rms difference from the official output over that of bicubic from it, after the constraint, without 10 input "
        "pixels at the border; 0 is the official network, 1 bicubic. Places on which no model here was trained.",
    )
    places = list(found[MODELS[0]])
    report.table(
        ["model", *places], [(name, *(f"{row[place]:.3f}" for place in places)) for name, row in found.items()]
    )
    for name, row in found.items():
        if name == MODELS[0]:
            worst = max(row.values())
            report.target(f"`{name}` is at most {CLOSE} from the official network on each: {worst:.3f}", worst <= CLOSE)


def _report_sizes(report: Report, given: argparse.Namespace) -> None:
    names = ["sen2sr-lite", *(f"{channels} channels" for channels in SIZES)]
    times: dict[tuple[str, int], Spread] = {}
    for cores in (1, 2):
        sides = {
            name: Side("studies.bundled", ("--side", "time", "--model", name, "--size", str(given.size)), cores=cores)
            for name in names
        }
        seen = by_turns(sides, given.repeat)
        report.saw(seen)
        for name in names:
            pairs = zip(column(seen["sen2sr-lite"], "seconds"), column(seen[name], "seconds"), strict=True)
            times[name, cores] = Spread.of([official / own for official, own in pairs])
    report.text(
        "",
        "## Sizes",
        "",
        f"`upscale` of {given.size} x {given.size} px to an array, how many times as fast as `sen2sr-lite` in the same "
        f"turn: median [least largest] of {given.repeat}. Multiply-adds are per input pixel, before folding. Closeness "
        "is of runs from random numbers: short ones of equal steps, which distinguish 32 channels from the others "
        "only, and long ones, from which the training of the package's weights was continued.",
    )
    rows = []
    for name in names:
        channels = name.split()[0]
        found = [_closeness_of(given.runs, run) for run in (f"z{channels}", given.long.get(channels, ""))]
        rows.append((name, f"{_cost(name):,}", *(times[name, cores].text() for cores in (1, 2)), *found))
    head = ["network", "multiply-adds", "one core, times as fast", "two cores"]
    report.table([*head, "closeness by place, short run", "long run"], rows)
    for name, channels in (("sen2sr-v1", 24), ("sen2sr-v1-fast", 12)):
        found = [times[f"{channels} channels", cores] for cores in (1, 2)]
        said = " on one core, ".join(spread.text() for spread in found)
        report.target(
            f"`{name}`, {channels} channels, is as fast as `sen2sr-lite` at least: {said} on two",
            all(spread.median >= 1 for spread in found),
        )


def _cost(name: str) -> int:
    if name == "sen2sr-lite":
        return 53_280
    channels = int(name.split()[0])
    return 36 * channels + 67 * channels**2 + 576 * channels


def _closeness_of(folder: Path | None, name: str) -> str:
    """Return the closeness of a run, from its log; "-" without a log."""
    if folder is None or not name or not (folder / name).is_dir():
        return "-"
    from xr_sr.training.journal import read_log

    rows = [row for row in read_log(folder / name / "log.csv") if all(row.values())]
    if not rows:
        return "-"
    shown = {key: value for key, value in rows[-1].items() if key not in ("step", "rate", "loss", "seconds")}
    places = ", ".join(f"{place} {float(value):.3f}" for place, value in shown.items())
    return f"{places} ({rows[-1]['step']} steps, {float(rows[-1]['seconds']) / 60:.0f} min)"


def _held_out() -> dict[str, Any]:
    """Read the scenes that no network was trained on."""
    sys.path.insert(0, str(ROOT))  # recipes/ stands in the repository and is not installed
    from recipes.imagery import held_out_scenes

    return dict(held_out_scenes(shared() / "data"))


def _closeness(*, draw: bool) -> dict[str, Any]:
    from xr_sr.training import Teacher
    from xr_sr.training.teacher import distance

    official, bicubic = Teacher("sen2sr-lite", device="cpu"), Teacher("bicubic", device="cpu")
    rows = {}
    for name in MODELS:
        student = Teacher(name, device="cpu")
        rows[name] = {
            place: distance(*(model(lr[None])[0] for model in (student, official, bicubic)), lr.shape[1:], scale=4)
            for place, lr in _held_out().items()
        }
    if draw:
        _draw()
    return {"rows": {**rows, HELD: _held_by_ours()}}


def _held_by_ours() -> dict[str, float]:
    """Measure the effect of our form of the constraint alone, applied to the official network."""
    import torch

    from benchmarks.harness import scenes
    from xr_sr.networks.lean import LeanSPAN, assembled
    from xr_sr.training import Teacher
    from xr_sr.training.teacher import distance

    official, bicubic = Teacher("sen2sr-lite", device="cpu"), Teacher("bicubic", device="cpu")
    found = {}
    for place, lr in _held_out().items():
        cube = scenes.cube(lr)
        raw, plain = (
            torch.from_numpy(cube.sr.upscale(model, constraint="none", device="cpu").values)
            for model in ("sen2sr-lite", "bicubic")
        )
        ours = assembled(torch.from_numpy(lr)[None], (raw - plain)[None], LeanSPAN().blur())[0].numpy()
        images = (ours, official(lr[None])[0], bicubic(lr[None])[0])
        found[place] = distance(*images, lr.shape[1:], scale=4)
    return found


def _draw() -> None:
    """Draw one place with a reference: LR, bicubic, the official network, ours, HR."""
    import matplotlib.pyplot as plt
    import numpy as np

    import xr_sr  # noqa: F401  # registers .sr
    from studies import aerial, trust

    place = next(place for place in aerial.places() if place.name == trust.PICTURED)
    lr = trust.see(place, seed=0)
    panels = {"LR, 10 m": lr}
    panels |= {name: lr.sr.upscale(name, device="cpu").compute() for name in ("bicubic", "sen2sr-lite", *MODELS)}
    panels["HR"] = place.hr
    low, high = (float(place.hr.sel(band=["B04", "B03", "B02"]).quantile(share)) for share in (0.01, 0.99))
    figure, axes = plt.subplots(1, len(panels), figsize=(3.1 * len(panels), 3.5), layout="constrained")
    for axis, (name, cube) in zip(axes, panels.items(), strict=True):
        image = cube.sel(band=["B04", "B03", "B02"]).transpose(..., "band").values
        axis.imshow(np.clip((image - low) / (high - low), 0, 1), interpolation="nearest")
        axis.set_title(name, fontsize=10, loc="left")
        axis.set(xticks=[], yticks=[])
    figure.savefig(PICTURE, dpi=110, pil_kwargs={"quality": 88})


def _curve(folders: list[Path]) -> None:
    """Draw the logs of consecutive runs as one."""
    import matplotlib.pyplot as plt

    from xr_sr.training.journal import read_log

    figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
    before, shown = 0.0, dict[str, list[tuple[float, float]]]()
    for folder in folders:
        rows = read_log(folder / "log.csv")
        minutes = [before + float(row["seconds"]) / 60 for row in rows]
        axis.plot(minutes, [float(row["loss"]) for row in rows], color="0.8", linewidth=0.7)
        for minute, row in zip(minutes, rows, strict=True):
            for name in (key for key in row if key not in ("step", "rate", "loss", "seconds") and row[key]):
                shown.setdefault(name, []).append((minute, float(row[name])))
        before = minutes[-1]
        axis.axvline(before, color="0.7", linestyle=":", linewidth=1)
    for name, points in shown.items():
        axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axis.set(xlabel="minutes on one core", ylabel="closeness; gray: loss of single batches", yscale="log")
    axis.legend(fontsize="small")
    axis.grid(alpha=0.3)
    figure.savefig(PICTURES / "bundled_curve.png", dpi=110)


def _time(name: str, size: int) -> dict[str, float]:
    import os
    import tempfile
    import time

    import dask
    import torch

    import xr_sr
    from benchmarks.harness import scenes
    from benchmarks.harness.machine import touch_memory
    from xr_sr.networks.lean import LeanSPAN
    from xr_sr.training import save_weights

    if name != "sen2sr-lite":  # speed does not depend on what the weights are
        channels = int(name.split()[0])
        torch.manual_seed(0)
        path = save_weights(LeanSPAN(channels=channels), Path(tempfile.mkdtemp()) / "lean.safetensors", {})
        name = f"lean-{channels}"
        record = xr_sr.ModelSpec(
            name=name,
            summary="random weights",
            architecture="xr_sr.networks.lean:LeanSPAN",
            bands=scenes.RGBN,
            halo=10,
            config=(("channels", channels),),
            constrained=True,
        )
        xr_sr.register_model(record, weights=path, check=False)
    data = scenes.reflectance(size)
    with dask.config.set(scheduler="threads", num_workers=len(os.sched_getaffinity(0))):
        scenes.cube(data[:, :128, :128]).sr.upscale(name, chunks=64).compute()
        touch_memory()
        start = time.perf_counter()
        scenes.cube(data).sr.upscale(name).compute()
        return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    sys.exit(main())
