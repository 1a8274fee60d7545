"""Show what is learned where some of the input is hidden: a small denoiser, trained with and without masks.

    python -m studies.masked [--steps 1200] [--write]

Two networks of one size, initial weights and batches find the noise in reflectance; of the input of one, pixels and
bands are hidden during training (`Masking`). Both are used on other places with all of the input, and with some of it
hidden. The networks are far too small, and trained far too briefly, for good images: only differences between rows
count. Writes results/masked.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, parser, run

if TYPE_CHECKING:
    import torch

TRAINED = {"all of the input": (0.0, 0.0), "some hidden": (0.15, 0.1)}
"""Shares of pixels and of bands that are hidden during training."""

USED = {
    "nothing": (0.0, 0),
    "10 % of the pixels": (0.1, 0),
    "30 % of the pixels": (0.3, 0),
    "one of four bands": (0.0, 1),
}
"""Share of pixels, and number of bands, that are hidden in use; each of the bands in turn."""

SIDE = 20
"""Input pixels of a crop along an axis."""

DRAWS, STEPS = 4, 12
"""Images of a crop, and evaluations of the network for each."""

LEFT_OUT = "Virginia: forest and roads, 1 m"
"""The place of the scene that is trained on."""

INTERPOLATED = "interpolated"


@dataclass(frozen=True)
class Row:
    """Mean square errors of one crop: of the mean of draws, of a draw, and of the mean in bands that are hidden."""

    trained: str
    used: str
    place: str
    mean: float
    single: float
    hidden: float


def main() -> int:
    """Train both networks, then use them."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--steps", type=int, default=1200, help="steps of training of each network")
    given = arguments.parse_args()
    if given.side:
        print(json.dumps({"rows": [asdict(row) for row in measure(given.steps)]}))
        return 0
    given.no_calibration = True  # no times here
    with Report("masked", "Parts of the input hidden, in training and in use", given) as report:
        side = Side("studies.masked", ("--side", "numbers", "--steps", str(given.steps)))
        show(report, [Row(**row) for row in run(side)["rows"]], given.steps)
    return report.exit_code


def measure(steps: int, crops: int = 1) -> list[Row]:
    """Train the networks, and use each on crops of other places."""
    import numpy as np
    import torch

    networks = {name: learned(steps, *shares) for name, shares in TRAINED.items()}
    rows = []
    for place, lr, hr in _crops(crops):
        plain = torch.nn.functional.interpolate(lr, scale_factor=4, mode="bilinear")[..., 4:-4, 4:-4]
        wrong = float((plain - hr).square().mean())
        rows.append(Row(INTERPOLATED, "nothing", place, wrong, wrong, 0.0))
        for used, (pixels, bands) in USED.items():
            for band in range(lr.shape[1]) if bands else (-1,):
                seen = hidden(lr, pixels, band, np.random.default_rng(band + 1))
                rows += [_row(trained, used, place, network, seen, hr, band) for trained, network in networks.items()]
        print(place, file=sys.stderr, flush=True)
    return rows


def learned(steps: int, pixels: float, bands: float, pool: int = 64) -> Any:
    """Train a network from the same random numbers, on the aerial scene in the package."""
    import torch

    import xr_sr
    from xr_sr import training

    scene = xr_sr.sample("virginia")["hr"].to_dataset()
    torch.manual_seed(0)
    network = training.LatentUNet(8, 4, 32, "1-1-2", 1, "")
    settings = training.Settings(
        steps, 2e-3, average=0.99, optimizer="adamw", save_every=max(1, steps), log_every=100, device="cpu"
    )
    masking = training.Masking(pixels, bands) if pixels or bands else None
    with tempfile.TemporaryDirectory() as folder:
        return training.fit_denoiser(
            network,
            training.scenes_of(scene, name="virginia"),
            Path(folder),
            settings,
            masking=masking,
            side=6,
            batch=8,
            patch=24,
            pool=pool,
            show=lambda row: print(row, file=sys.stderr, flush=True),
        )


def _crops(count: int) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Return crops of places: input (1, band, y + 2, x + 2) and reference (1, band, 4 y, 4 x)."""
    import numpy as np
    import torch

    from studies import aerial
    from studies.trust import see

    found = []
    for place in aerial.places():
        if place.name == LEFT_OUT:
            continue
        lr, hr = see(place, seed=0).values, place.hr.values
        chance = np.random.default_rng(0)
        for _ in range(count):
            top, left = (int(chance.integers(1, length - SIDE)) for length in lr.shape[-2:])
            fine = hr[:, 4 * top : 4 * (top + SIDE), 4 * left : 4 * (left + SIDE)]
            coarse = lr[:, top - 1 : top + SIDE + 1, left - 1 : left + SIDE + 1]
            found.append((place.name, *(torch.from_numpy(each.copy())[None].float() for each in (coarse, fine))))
    return found


def hidden(lr: torch.Tensor, pixels: float, band: int, chance: Any) -> torch.Tensor:
    """Set a share of the pixels of an image to 0, and one band, unless that is -1."""
    import torch

    seen = lr * torch.from_numpy(chance.random((1, 1, *lr.shape[-2:])) >= pixels)
    if band >= 0:
        seen[:, band] = 0
    return seen


def _row(trained: str, used: str, place: str, network: Any, lr: torch.Tensor, hr: torch.Tensor, band: int) -> Row:
    from xr_sr.training import draw_images

    wrong = draw_images(network, lr.expand(DRAWS, -1, -1, -1), steps=STEPS) - hr
    mean = wrong.mean(0).square()
    own = float(mean[band].mean()) if band >= 0 else 0.0
    return Row(trained, used, place, float(mean.mean()), float(wrong.square().mean()), own)


def show(report: Report, rows: list[Row], steps: int) -> None:
    """Write the table, and whether masks in training helped where some of the input is hidden."""
    places = dict.fromkeys(row.place for row in rows)
    pixels, bands = TRAINED["some hidden"]
    report.text(
        f"A denoiser of reflectance, scale 4, trained in {steps} steps on the aerial scene in the package, used on "
        f"{len(places)} other places, a crop of {SIDE} x {SIDE} input pixels each, through the sensor as modeled. In "
        f"training all of the input was seen, or {pixels:.0%} of its pixels and {bands:.0%} of its bands were hidden, "
        f"drawn anew at each step. Root mean square error in 1e-3 reflectance: of the mean of {DRAWS} images, of a "
        "single one, and of the mean in the hidden band alone.",
        "",
        *(f"- {place}" for place in places),
    )
    lines = []
    for trained, used in dict.fromkeys((row.trained, row.used) for row in rows):
        mine = [row for row in rows if (row.trained, row.used) == (trained, used)]
        single, own = (f"{rms(mine, name):.1f}" for name in ("single", "hidden"))
        shown = ("–" if trained == INTERPOLATED else single, own if USED[used][1] else "–")
        lines.append((trained, used, f"{rms(mine, 'mean'):.1f}", *shown))
    lines.sort(key=lambda line: [INTERPOLATED, *TRAINED].index(line[0]))
    report.table(["seen in training", "hidden in use", "mean", "single", "hidden band"], lines)
    for used in USED:
        without, masked = (
            rms([row for row in rows if (row.trained, row.used) == (trained, used)], "mean") for trained in TRAINED
        )
        report.text(
            f"Hidden in use, {used}: masks in training changed the error of the mean by {masked / without - 1:+.0%}."
        )


def rms(rows: list[Row], name: str) -> float:
    """Return the root of the mean square error of rows, in 1e-3 reflectance."""
    return 1e3 * (sum(getattr(row, name) for row in rows) / len(rows)) ** 0.5


if __name__ == "__main__":
    sys.exit(main())
