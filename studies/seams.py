"""Look for seams in what diffusion draws: along the borders of blocks, and of windows that are blended.

    python -m studies.seams [--size 160] [--write]

A real scene of four bands, drawn by `diffusion` in blocks of 40 input pixels, and by LDSR-S2 with a small network of
random weights, on windows of 32 pixels that overlap by 8. A seam would be a larger step between neighboring pixels
where a block or the overlap of windows begins or ends. Writes results/seams.md and, with --write, a picture.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, parser, run

PICTURE = ROOT / "docs" / "_static" / "diffusion_seams.jpg"
SCALE, BLOCK, WINDOW, OVERLAP = 4, 40, 32, 8
MOST = 1.1
"""Times the mean step elsewhere that the mean step at borders may be."""

DIFFUSION, WINDOWS = "diffusion, blocks", "small LDSR-S2, windows"


def main() -> int:
    """Compare steps at borders with others; exit code 1 if they are larger."""
    given = parser(__doc__, repeat=1, size=160).parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    given.no_calibration = True
    with Report("seams", "Seams of what diffusion draws", given) as report:
        found = run(Side("studies.seams", ("--side", "all", "--size", str(given.size), *["--write"] * given.write)))
        report.text(
            f"{given.size} x {given.size} px at 10 m. Mean absolute step between neighboring pixels of 2.5 m, 1e-3 of "
            f"reflectance: at borders of blocks of {BLOCK} px, or where the overlap of two windows begins or ends; at "
            "all other edges of input pixels; and their ratio. Rows and columns together. Windows are blended before "
            "anything is corrected; their network has random weights, so that two windows agree in nothing but the "
            "noise of their common pixels.",
        )
        rows = []
        for name in (DIFFUSION, WINDOWS):
            at, elsewhere = found[name]
            rows.append((name, f"{1e3 * at:.3f}", f"{1e3 * elsewhere:.3f}", f"{at / elsewhere:.3f}"))
            report.target(
                f"{name}: {at / elsewhere:.3f} times the step elsewhere; at most {MOST}", at <= MOST * elsewhere
            )
        report.table(["image", "at borders", "elsewhere", "ratio"], rows)
    return report.exit_code


def _side(given: Any) -> dict[str, tuple[float, float]]:
    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes

    images, edges = {}, {}
    cube = scenes.cube(scenes.reflectance(given.size))
    images[DIFFUSION] = cube.sr.upscale("diffusion", device="cpu", chunks=BLOCK).compute()
    edges[DIFFUSION] = {axis: [place * SCALE for place in range(BLOCK, given.size, BLOCK)] for axis in ("y", "x")}
    images[WINDOWS], edges[WINDOWS] = _by_windows(cube)
    if given.write:
        _draw(images, edges)
    return {name: _steps(image, edges[name]) for name, image in images.items()}


def _by_windows(cube: Any) -> tuple[Any, dict[str, list[int]]]:
    """Return an image, and the fine rows and columns where overlaps begin and end."""
    from benchmarks.harness.diffusers import SMALL, latent_weights
    from xr_sr.catalog import registry
    from xr_sr.cube.grid import place_of
    from xr_sr.cube.select import recognize

    registry.register(replace(registry.get("ldsr-s2"), name="small", window=WINDOW, overlap=OVERLAP))
    with tempfile.TemporaryDirectory(prefix="xr-sr-seams-") as folder:
        path = Path(folder) / "small.ckpt"
        latent_weights(path, SMALL)
        image = cube.sr.upscale("small", weights=str(path), device="cpu", constraint="none").compute()
    step, edges = WINDOW - OVERLAP, {}
    for axis, first in zip(("y", "x"), place_of(recognize(cube).grid), strict=True):
        side = cube.sizes[axis]
        begins = [place - first for place in range(first // step * step, first + side + step, step)]
        edges[axis] = [place * SCALE for begin in begins for place in (begin, begin + OVERLAP) if 0 < place < side]
    return image, edges


def _steps(image: Any, edges: dict[str, list[int]]) -> tuple[float, float]:
    """Return the mean absolute step at borders, and at the other edges of input pixels."""
    import numpy as np

    at, elsewhere = [], []
    for axis, places in edges.items():
        steps = _along(image, axis)
        place = np.arange(1, steps.size + 1)
        border = np.isin(place, places)
        at.append(steps[border])
        elsewhere.append(steps[~border & (place % SCALE == 0)])
    return float(np.concatenate(at).mean()), float(np.concatenate(elsewhere).mean())


def _along(image: Any, axis: str) -> Any:
    """Return the mean absolute step from each pixel to the next along an axis."""
    import numpy as np

    steps = np.abs(np.diff(image.values, axis=image.dims.index(axis)))
    return steps.mean(axis=tuple(n for n, name in enumerate(image.dims) if name != axis))


def _draw(images: dict[str, Any], edges: dict[str, dict[str, list[int]]]) -> None:
    """Draw each image with its borders at the edge, and below it the mean step between columns."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(2, 2, figsize=(11, 7.6), height_ratios=[4, 1.2], sharex="col", layout="constrained")
    for (top, below), (name, image) in zip(axes.T, images.items(), strict=True):
        values = image.sel(band=["B08", "B04", "B03"]).values
        low, high = (np.nanpercentile(values, share, axis=(1, 2))[:, None, None] for share in (1, 99))
        rows = slice(0, values.shape[-1] * 3 // 4)
        color = ((values[:, rows] - low) / (high - low)).clip(0, 1).transpose(1, 2, 0)
        top.imshow(color, interpolation="nearest", aspect="auto")
        top.set_yticks([place for place in edges[name]["y"] if place < rows.stop], [])
        top.set_title(name, loc="left", fontsize=11)
        steps = 1e3 * _along(image, "x")
        below.plot(np.arange(1, steps.size + 1) - 0.5, steps, lw=0.8)
        for place in edges[name]["x"]:
            below.axvline(place - 0.5, color="C3", lw=0.8, alpha=0.6)
        below.set_xticks(edges[name]["x"], [])
        below.set_ylim(0, None)
        below.spines[["top", "right"]].set_visible(False)
    axes[1][0].set_ylabel("mean step,\n1e-3 reflectance")
    figure.savefig(PICTURE, dpi=100, pil_kwargs={"quality": 85})
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
