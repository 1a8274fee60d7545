"""Draw the figures of README and docs into docs/_static.

    python docs/make_pictures.py

Needs the extra "viz". The scenes are the samples of the package, the flood is a synthetic one.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import ConnectionPatch, Rectangle

import xr_sr
from xr_sr.catalog import registry
from xr_sr.plot.samples import in_a_row

STATIC = Path(__file__).parent / "_static"
FARM = (344_400, 5_819_000, 345_200, 5_819_800)
"""(left, bottom, right, top) in EPSG:32633: a farm with bright roofs, hedges, a road, fields."""

VILLAGE = (344_020, 5_819_760, 345_300, 5_821_040)
"""A village, the end of a lake under ice, fields: what `xr-sr demo` shows."""

INK, GREY, BLUE, RED, PALE = "0.25", "0.96", "#1f77b4", "#c8442b", "#dbe9f4"


def main() -> None:
    """Draw all pictures."""
    STATIC.mkdir(exist_ok=True)
    scene = xr_sr.sample("havel")
    fine = scene.sr.upscale(bands=["B02", "B03", "B04", "B08"]).compute()
    false_colour = ["B08", "B04", "B03"]

    figure = xr_sr.compare(scene, fine, window=FARM, bands=false_colour, percentiles=(0.5, 99.5))
    save(figure, "havel.jpg")
    save(xr_sr.compare(scene, fine, window=VILLAGE, difference="consistency"), "consistency.jpg")
    save(with_reference(), "virginia.jpg")
    save(flood(), "flood.png")
    save(tiles(), "tiles.png")
    save(low_pass(), "low_pass.png")


def save(figure: Any, name: str) -> None:
    """Write one figure, a photograph as JPEG and a drawing as PNG, and print its size."""
    path = STATIC / name
    how = {"pil_kwargs": {"quality": 88}} if path.suffix == ".jpg" else {}
    figure.savefig(path, **how)
    print(f"{name}: {path.stat().st_size / 1000:.0f} kB")


def with_reference() -> Any:
    """Draw the sample that has a reference: input, three models, reference; one stretch, true color."""
    pair = xr_sr.sample("virginia")
    lr, hr = pair["lr/r10m"].to_dataset(), pair["hr"].to_dataset()
    images = {"input, 10 m": xr_sr.reflectance(lr)}
    for model in ("bicubic", "kriging", "sen2sr"):
        fine = lr.sr.upscale(model).compute()
        psnr = float(xr_sr.evaluate(lr, fine, hr)["psnr"].mean())
        images[f"{model}, {psnr:.1f} dB"] = fine
        print(f"virginia, {model}: PSNR {psnr:.2f} dB, mean of four bands")
    images["aerial reference, 2.5 m"] = hr
    return in_a_row(images)


def flood() -> Any:
    """The flood of README."""
    days = xr_sr.simulate_scene(256, dates=2, flood_m=[0, 3], seed=1)["lr/r10m"].to_dataset()
    found = days.sr.upscale().sr.flood("2023-06-15", "2023-06-20", index="NDWI", threshold=0.0)
    return xr_sr.plot.flood_map(found)


def tiles() -> Any:
    """Draw how one output block is made: it gathers its tile, with halo, from the chunks that contain it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 5.0), dpi=140)
    for axes in (left, right):
        axes.set(xlim=(-0.5, 40.5), ylim=(40.5, -0.5), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    x, y, side, halo = 12, 12, 12, 4
    tile = (x - halo, y - halo, side + 2 * halo)
    chosen = {"facecolor": BLUE, "alpha": 0.35, "edgecolor": BLUE, "linewidth": 1.6}
    other = {"facecolor": GREY, "edgecolor": "0.6"}

    for x0, x1 in pairwise((0, 9, 25, 40)):
        for y0, y1 in pairwise((0, 17, 29, 40)):
            read = x0 < tile[0] + tile[2] and x1 > tile[0] and y0 < tile[1] + tile[2] and y1 > tile[1]
            left.add_patch(box(x0, y0, x1 - x0, y1 - y0, **({**other, "facecolor": PALE} if read else other)))
    dashed = {"facecolor": "none", "edgecolor": RED, "linestyle": "--", "linewidth": 1.6}
    left.add_patch(box(tile[0], tile[1], tile[2], tile[2], **dashed))
    left.add_patch(box(x, y, side, side, **chosen))
    left.set_title("input: 10 m, chunks as they happen to be", fontsize=10, color=INK, loc="left")
    left.text(tile[0] + 1.8, tile[1] + 2, "halo", color=RED, fontsize=9)
    left.text(x + side / 2, y + 3, "block", color=INK, fontsize=9, ha="center", va="center")
    left.set_xlabel("the task of this block reads the blue chunks", fontsize=9, color=INK, loc="left")

    for x0, x1 in pairwise((0, 12, 24, 36, 40)):
        for y0, y1 in pairwise((0, 12, 24, 36, 40)):
            mine = (x0, y0) == (x, y)
            right.add_patch(box(x0, y0, x1 - x0, y1 - y0, **(chosen if mine else other)))
    right.set_title("output: 2.5 m, blocks as they were chosen", fontsize=10, color=INK, loc="left")
    steps = "reflectance\njudge\nfill NaN\nmodel\nconstraint\nNaN back"
    right.text(x + side / 2, y + side / 2, steps, color=INK, fontsize=8, ha="center", va="center", linespacing=1.2)
    right.set_xlabel("one task makes a block whole: there is nothing to blend", fontsize=9, color=INK, loc="left")
    arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "mutation_scale": 14}
    ends = {"xyA": (tile[0] + tile[2], 18), "xyB": (x, 18), "coordsA": "data", "coordsB": "data"}
    figure.add_artist(ConnectionPatch(**ends, axesA=left, axesB=right, **arrow))
    figure.tight_layout(pad=0.6, w_pad=2.0)
    return figure


def box(x: float, y: float, width: float, height: float, **style: Any) -> Rectangle:
    """Make a rectangle from its upper left corner."""
    return Rectangle((x, y), width, height, **style)


def low_pass() -> Any:
    """Draw which share of each wavelength comes from the input, and which from the network."""
    spec = registry.get("sen2sr-lite")
    assert spec.low_pass is not None
    sigma_m = spec.low_pass.sigma * 2.5
    wavelength_m = np.geomspace(5, 400, 400)
    share = np.exp(-2 * (math.pi * sigma_m / wavelength_m) ** 2)
    half_m = math.pi * sigma_m / math.sqrt(math.log(2) / 2)

    figure, axes = plt.subplots(figsize=(6.4, 3.0), dpi=140)
    axes.fill_between(wavelength_m, share, color=BLUE, alpha=0.30, linewidth=0)
    axes.fill_between(wavelength_m, share, 1, color=RED, alpha=0.22, linewidth=0)
    axes.plot(wavelength_m, share, color=INK, linewidth=1.4)
    axes.axvline(20, color=INK, linewidth=0.9, linestyle=":")
    axes.text(20.8, 0.04, "finest wave that 10 m pixels hold", fontsize=8, color=INK, va="bottom")
    axes.plot(half_m, 0.5, "o", color=INK, markersize=4)
    axes.text(half_m * 1.06, 0.47, f"half at {half_m:.0f} m", fontsize=8, color=INK, va="top")
    axes.text(150, 0.35, "from the input", fontsize=10, color=BLUE, ha="center")
    axes.text(8.2, 0.62, "from the\nnetwork", fontsize=10, color=RED, ha="center", va="center")
    ticks = [5, 10, 20, 50, 100, 200, 400]
    axes.set(xscale="log", xlim=(5, 400), ylim=(0, 1), xlabel="wavelength on the ground, m", ylabel="share")
    axes.set_xticks(ticks, labels=map(str, ticks))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(pad=0.6)
    return figure


if __name__ == "__main__":
    main()
