"""Compare the output, averaged to 10 m, with the input, on all real scenes, and draw it.

    python -m studies.consistency [--write] [--pictures]

Each output is averaged over the 4 x 4 pixels of each input pixel and compared with the input's reflectance, nodata
left out. Our networks, the official one, that without its constraint, kriging and bicubic interpolation. Writes
results/real_scenes.md, and docs/_static/real_*.jpg with --pictures.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, parser, run

WAYS = {
    "sen2sr": {"model": "sen2sr"},
    "sen2sr-v1": {"model": "sen2sr-v1"},
    "sen2sr-v1-fast": {"model": "sen2sr-v1-fast"},
    "sen2sr-lite": {"model": "sen2sr-lite"},
    "without constraint": {"model": "sen2sr-lite", "constraint": "none"},
    "kriging": {"model": "kriging"},
    "bicubic": {"model": "bicubic"},
}
PICTURES = ROOT / "docs" / "_static"
NOT_SHOWN = ("TerraMesh", "flood")
"""Share-alike, or without a stated license: measured, but no picture of them goes into the docs."""


def main() -> int:
    """Measure all scenes in one process."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--pictures", action="store_true", help="draw LR, bicubic and SR of each scene")
    arguments.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="scenes with one of these in their names"
    )
    given = arguments.parse_args()
    if given.side:
        print(json.dumps({"rows": _measure(given.only, pictures=given.pictures)}))
        return 0
    given.no_calibration = True  # no times here
    with Report("real_scenes", "Agreement with the input on real scenes", given) as report:
        only = ("--only", *given.only) if given.only else ()
        pictures = ("--pictures",) if given.pictures else ()
        rows = run(Side("studies.consistency", ("--side", "all", *only, *pictures)))["rows"]
        report.text(
            "Output averaged back to the input's pixels, minus the input, in reflectance: rms and largest over all "
            "bands (B04 B03 B02 B08) and dates. Contrast is the standard deviation of the input within 3 x 3 pixels, "
            "rms: the detail in which they can differ."
        )
        head = ["scene", "input pixels", "valid", "contrast", *(f"{way}: rms, max" for way in WAYS), "note"]
        report.table(head, rows)
    return report.exit_code


def _measure(only: list[str], *, pictures: bool) -> list[list[str]]:
    import warnings

    import xr_sr
    from benchmarks.harness import scenes

    rows = []
    for scene in scenes.real_scenes():
        if only and not any(word.lower() in scene.name.lower() for word in only):
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", xr_sr.errors.XrSrWarning)
            common = {"bands": scenes.RGBN, **scene.options}
            results = {way: xr_sr.upscale(scene.cube, **arguments, **common) for way, arguments in WAYS.items()}
            coarse = _stack(xr_sr.upscale(scene.cube, "nearest", scale=1, **common))
        kinds = {warning.category for warning in caught}
        said = {kind.__name__ for kind in kinds if issubclass(kind, xr_sr.errors.XrSrWarning)}
        height, width = coarse.shape[-2:]
        dates = coarse.shape[1]
        rows.append(
            [
                scene.name,
                f"{height} x {width}" + (f" x {dates} dates" if dates > 1 else ""),
                f"{_share(coarse):.0%}",
                f"{_contrast(coarse):.4f}",
                *("{:.5f}, {:.4f}".format(*_off(_stack(fine), coarse)) for fine in results.values()),
                "; ".join(filter(None, [scene.note, *sorted(said)])),
            ]
        )
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
        if pictures:
            _draw(scene, results["sen2sr-lite"])
    return rows


def _stack(fine: Any) -> Any:
    """Return (band, time, y, x) float32, of a DataArray or a Dataset, with one date where there is no time."""
    import numpy as np

    bands = [fine[name] for name in fine.data_vars] if hasattr(fine, "data_vars") else fine
    planes = np.stack([band.values for band in bands])
    return planes if planes.ndim == 4 else planes[:, None]


def _share(coarse: Any) -> float:
    import numpy as np

    return float(np.isfinite(coarse).mean())


def _contrast(coarse: Any) -> float:
    """Return the rms standard deviation within 3 x 3 pixels."""
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(coarse, (3, 3), axis=(-2, -1))
    return float(np.sqrt(np.nanmean(windows.var(axis=(-2, -1)))))


def _off(fine: Any, coarse: Any) -> tuple[float, float]:
    """Return rms and largest difference of the averaged output from the input."""
    import numpy as np

    *lead, height, width = coarse.shape
    back = fine.reshape(*lead, height, 4, width, 4).mean(axis=(-3, -1), dtype="float64")
    off = back - coarse
    assert (np.isnan(back) == np.isnan(coarse)).all(), "nodata must stay where it is"
    return float(np.sqrt(np.nanmean(off**2))), float(np.nanmax(np.abs(off)))


def _draw(scene: Any, fine: Any) -> None:
    from xr_sr import compare

    if scene.name.startswith(NOT_SHOWN):
        return
    PICTURES.mkdir(parents=True, exist_ok=True)
    figure = compare(scene.cube, fine, offset=scene.options["offset"], max_pixels=400)
    name = scene.name.lower().replace(" ", "_")
    figure.savefig(PICTURES / f"real_{name}.jpg", dpi=110, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    sys.exit(main())
