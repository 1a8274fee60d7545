"""Ten bands: accuracy of 20 m bands at 10 m, of indices, a flood at three pixel sizes.

    python -m studies.ten_bands [--models NAME ...] [--write]

Wald's protocol: a real scene is seen by a sensor with pixels twice as large, by each band's own transfer function, its
20 m bands thus at 40 m and its 10 m bands at 20 m; the 20 m bands that are made of these are compared with the real
ones. Indices: bands of the output averaged back, against those of the input. Flood: a chip with a label drawn by hand.
--models: further ten-band models, by default ours; their differences from the official one are included. Writes
results/ten_bands.md, and with --write docs/_static/ten_bands_flood.jpg.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.harness.report import Report
from benchmarks.harness.runs import ROOT, Side, parser, run

FUSED: dict[str, dict[str, Any]] = {
    "bicubic": {"model": "bicubic"},
    "glp-hpm": {"model": "glp-hpm"},
    "glp-hpm, MTF of 0.15 assumed": {"model": "glp-hpm", "mtf": 0.15},
    "glp-hpm, MTF of 0.45 assumed": {"model": "glp-hpm", "mtf": 0.45},
    "sen2sr-lite, x2 part": {"model": "sen2sr-lite"},
}
"""The rows of the table of Wald's protocol, and the options of `fuse` for each."""

OFFICIAL, OURS = "sen2sr-lite.main", "sen2sr-v1.ten-x4"

SECOND = "sen2sr.ten-x4"
"""The default for ten bands, which is no imitation of the official model."""

TRAINED_ON = ("DSen2", "Brandenburg")
"""Scenes on which our models were trained."""
CLOSE, CLOSE_PAIR = 0.20, 0.25
"""What ours may differ by from the official model, each band of each other scene, and from our model of four bands."""
EDGE = 8
"""Pixels of the result that are excluded on each side."""

DARK = 0.05
"""Reflectance: where two bands have less together, their normalized difference is noise."""

LEVELS = (0.0, 0.1)
PICTURE = ROOT / "docs" / "_static" / "ten_bands_flood.jpg"


def main() -> int:
    """Measure all in one process."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--models", nargs="*", default=[OURS], help="further ten-band models of `upscale`")
    given = arguments.parse_args()
    if unfit := _other_than_ten_bands(given.models):
        arguments.error(f"--models: {', '.join(unfit)}: expected networks that compute all ten bands, such as {OURS}.")
    if given.side:
        print(json.dumps(_measure(given.models, picture=given.side == "picture")))
        return 0
    given.no_calibration = True  # no times here
    with Report("ten_bands", "Ten bands", given) as report:
        side = "picture" if given.write else "numbers"
        found = run(Side("studies.ten_bands", ("--side", side, "--models", *given.models)))
        _show(report, found, given.models)
    return report.exit_code


def _other_than_ten_bands(models: list[str]) -> list[str]:
    """Return the names that stand for no model of ten bands, such as interpolation, which computes one grid alone."""
    from benchmarks.harness.ten_scenes import TEN
    from xr_sr.catalog import registry

    return [
        name
        for name in models
        if not registry.is_name(name)
        or not any(set(TEN) <= set(registry.given_by(model, ())) for model in registry.variants_of(name))
    ]


def _measure(models: list[str], *, picture: bool) -> dict[str, Any]:
    import warnings

    import xr_sr

    warnings.simplefilter("ignore", xr_sr.errors.XrSrWarning)
    return {
        "wald": _wald(models),
        "coarsest": _wald_60m(),
        "indices": _indices([OFFICIAL, SECOND, *models]),
        "flood": _flood([OFFICIAL, SECOND, *models], picture=picture),
        "against": _against(models),
        "pairs": _pairs() if models else [],
    }


def _show(report: Report, found: dict[str, Any], models: list[str]) -> None:
    from benchmarks.harness.ten_scenes import COARSE, COARSEST, TEN

    report.text(
        "## 20 m bands at 10 m, by Wald's protocol",
        "",
        "One step coarser: 40 m bands and 20 m guides to 20 m, against the sensor's own. The input is blurred by "
        "the transfer functions that glp-hpm assumes; two rows show the error of wrong ones. Rms in 10⁻⁴ of reflectance"
        "; models of one pass give 5 m, which is seen through the band's point spread function again, as by the "
        f"sensor. sen2sr-v1 was trained on {' and '.join(TRAINED_ON)}, the four bands of sen2sr on DSen2.",
    )
    report.table(["scene", "method", *COARSE], found["wald"])
    report.text(
        "The 60 m bands, from 360 m and 60 m guides to 60 m (DSen2, 16 x 16 coarse pixels); networks do not return "
        "these."
    )
    report.table(["method", *COARSEST], found["coarsest"])
    report.text(
        "## Indices, averaged back",
        "",
        f"Bands of the 2.5 m output averaged to the input's pixels, then the index, minus that of the input: rms, max. "
        f"Where the sum of both bands is at least {DARK}. MNDWI at 20 m is what the sensor measured; at 10 m the "
        "input's B11 is repeated, so that the difference there is what fusion adds.",
    )
    report.table(["scene", "model", "NDVI, 10 m", "MNDWI, 20 m", "MNDWI, 10 m", "note"], found["indices"])
    report.text(
        "## A flood",
        "",
        "Water is MNDWI above a threshold; intersection over union with the label drawn by hand (10 m; at 2.5 m each "
        "of its pixels counts 16 times). Otsu's threshold is that of each map.",
    )
    report.table(["pixels", "way", *(f"level {level:g}" for level in LEVELS), "Otsu's level"], found["flood"])
    if models:
        report.text(
            "## Against the official model",
            "",
            "Rms difference from it at 2.5 m, divided by that of bicubic interpolation from it, without 10 input "
            "pixels at the border, by `upscale` of the scene as it is stored: tests measure images whose 20 m bands "
            f"were interpolated before, which changes a number by up to 0.03. Trained on: {', '.join(TRAINED_ON)}.",
        )
        report.table(
            ["scene", "model", *TEN],
            [[row["scene"], row["model"], *(f"{share:.3f}" for share in row["shares"])] for row in found["against"]],
        )
        for row in found["against"]:
            if row["scene"] not in TRAINED_ON:
                worst = max(row["shares"])
                claim = f"{row['model']}, {row['scene']}: every band at most {CLOSE:.2f} from the official model"
                report.target(f"{claim}: {worst:.3f}", worst <= CLOSE)
        report.text(
            "The four 10 m bands by the model of ten bands and by that of four, relative to bicubic's rms from the "
            "latter: only their masks differ.",
        )
        report.table(
            ["scene", "official", "ours"], [[name, *(f"{x:.3f}" for x in pair)] for name, *pair in found["pairs"]]
        )
        for name, _, ours in found["pairs"]:
            report.target(f"{name}: ours differ by at most {CLOSE_PAIR:.2f}: {ours:.3f}", ours <= CLOSE_PAIR)


def _rms(off: Any) -> float:
    import numpy as np

    return float(np.sqrt(np.nanmean(np.square(off, dtype="float64"))))


def _seen(bands: dict[str, Any], ratio: int) -> dict[str, Any]:
    """Degrade bands, (y, x) each, to pixels `ratio` times as wide, each by its own transfer function."""
    import numpy as np

    from benchmarks.harness.scenes import cube
    from xr_sr.simulate import degrade

    found = {}
    for name, values in bands.items():
        cut = values[: values.shape[0] // ratio * ratio, : values.shape[1] // ratio * ratio]
        found[name] = np.asarray(degrade(cube(cut[None], (name,)), factor=ratio).values[0], "float32")
    return found


def _wald(models: list[str]) -> list[list[str]]:
    import numpy as np

    from benchmarks.harness.scenes import geobox
    from benchmarks.harness.ten_scenes import COARSE, FINE, on_grids, ten_band_scenes

    rows = []
    for scene in ten_band_scenes():
        if not scene.name.startswith(("DSen2", "TerraMesh J", "TerraMesh A")):
            continue  # lossy, resampled, or without a known offset
        shift = scene.options.get("offset", 0) * 1e-4
        scale = 1 if scene.name == "DSen2" else 1e-4
        bands = {
            name: (band.values * scale + shift).astype("float32")
            for node in ("r10m", "r20m")
            for name, band in scene.cube[node].data_vars.items()
        }
        side = min(band.shape[0] for band in bands.values()) // 2 * 2
        reference = {name: bands[name][:side, :side] for name in COARSE}
        fine = _seen({name: bands[name][: 2 * side, : 2 * side] for name in FINE}, 2)
        tree = on_grids(fine | _seen(reference, 2), geobox(side, side))
        ways = {way: tree.sr.fuse(**told) for way, told in FUSED.items()}
        for model in ("kriging", SECOND, *models):
            made = tree.sr.upscale(model, bands=list(COARSE)).compute()
            ways[model] = _seen({band: np.asarray(made[band]) for band in COARSE}, 4)
        for way, made in ways.items():
            off = [np.asarray(made[band]) - reference[band] for band in COARSE]
            rows.append([scene.name, way, *(f"{1e4 * _rms(one[EDGE:-EDGE, EDGE:-EDGE]):.1f}" for one in off)])
    return rows


def _wald_60m() -> list[list[str]]:
    import xarray as xr
    from odc.geo.xr import wrap_xr

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness.scenes import geobox
    from benchmarks.harness.ten_scenes import COARSEST, FINE, dsen2_bands

    bands = dsen2_bands()
    fine = _seen({name: bands[name][:576, :576] for name in FINE}, 6)
    reference = {name: bands[name][:96, :96] for name in COARSEST}
    place = geobox(96, 96)
    r10m = xr.Dataset({name: wrap_xr(values, place) for name, values in fine.items()})
    r60m = xr.Dataset({name: wrap_xr(values, place.zoom_out(6)) for name, values in _seen(reference, 6).items()})
    rows = []
    for model in ("bicubic", "glp-hpm"):
        made = r10m.sr.fuse(model, other=r60m, bands=COARSEST).compute()
        off = [made[band].values - reference[band] for band in COARSEST]
        rows.append([model, *(f"{1e4 * _rms(one[EDGE:-EDGE, EDGE:-EDGE]):.1f}" for one in off)])
    return rows


def _planes(cube: Any) -> dict[str, Any]:
    """Return computed bands, (y, x) each, of a Dataset or an array."""
    done = cube.compute()
    if hasattr(done, "data_vars"):
        return {name: band.values for name, band in done.data_vars.items()}
    return {str(name): done.sel(band=name).values for name in done.band.values}


def _index(bands: dict[str, Any], one: str, other: str) -> Any:
    """Return the normalized difference, NaN where both are dark."""
    import numpy as np

    total = bands[one] + bands[other]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total >= DARK, (bands[one] - bands[other]) / total, np.nan)


def _mean(plane: Any, ratio: int) -> Any:
    """Average over pixels `ratio` times as wide."""
    height, width = (side // ratio for side in plane.shape)
    blocks = plane[: height * ratio, : width * ratio].reshape(height, ratio, width, ratio)
    return blocks.mean(axis=(1, 3), dtype="float64")


def _indices(models: list[str]) -> list[list[str]]:
    from benchmarks.harness.ten_scenes import ten_band_scenes

    used = ["B03", "B04", "B08", "B11"]
    rows = []
    for scene in ten_band_scenes():
        told = {key: value for key, value in scene.options.items() if key != "layout"}
        here = _input(scene, told)
        for model in models:
            fine = _planes(scene.cube.sr.upscale(model, bands=used, **scene.options))
            back = {name: _mean(plane, 4) for name, plane in fine.items()}
            pairs = [
                (_index(back, "B08", "B04"), _index(here, "B08", "B04")),
                tuple(
                    _index({name: _mean(bands[name], 2) for name in ("B03", "B11")}, "B03", "B11")
                    for bands in (back, here)
                ),
                (_index(back, "B03", "B11"), _index(here, "B03", "B11")),
            ]
            rows.append([scene.name, model, *(_off(*pair) for pair in pairs), scene.note])
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    return rows


def _input(scene: Any, told: dict[str, Any]) -> dict[str, Any]:
    """Return the input's reflectance of all bands on the 10 m grid, 20 m pixels repeated."""
    if not hasattr(scene.cube, "children"):
        return _planes(scene.cube.sr.upscale("nearest", scale=1, **told))
    fine = _planes(scene.cube["r10m"].to_dataset().sr.upscale("nearest", scale=1, **told))
    return fine | _planes(scene.cube["r20m"].to_dataset().sr.upscale("nearest", scale=2, **told))


def _off(one: Any, other: Any) -> str:
    import numpy as np

    rows, columns = (min(sides) for sides in zip(one.shape, other.shape, strict=True))
    off = one[:rows, :columns] - other[:rows, :columns]
    return f"{_rms(off):.4f}, {np.nanmax(np.abs(off)):.3f}"


def _flood(models: list[str], *, picture: bool) -> list[list[str]]:
    import numpy as np
    import xarray as xr

    from benchmarks.harness.ten_scenes import flood
    from xr_sr.analytics import otsu

    scene, label = flood()
    used = ["B03", "B11"]
    coarse = _input(scene, {key: value for key, value in scene.options.items() if key != "layout"})
    maps = {("20 m", "as measured"): _index({name: _mean(coarse[name], 2) for name in used}, *used)}
    for model in ("glp-hpm", "sen2sr-lite"):
        ten = _planes(scene.cube.sr.fuse(model, bands=used, **scene.options))
        maps["10 m", "sen2sr-lite, x2 part" if model == "sen2sr-lite" else model] = _index(ten, *used)
    for model in models:
        fine = _planes(scene.cube.sr.upscale(model, bands=used, **scene.options))
        maps["2.5 m", model] = _index(fine, *used)
    rows = []
    for (pixels, way), index in maps.items():
        level = float(otsu(xr.DataArray(index, dims=("y", "x"))))
        scores = [_overlap(index > one, label) for one in (*LEVELS, level)]
        rows.append([pixels, way, *(f"{score:.3f}" for score in scores[:-1]), f"{scores[-1]:.3f} ({level:.2f})"])
    if picture:
        _draw(maps, label, models[0], np)
    return rows


def _overlap(water: Any, label: Any) -> float:
    """Return intersection over union with the label, on the finer of the two grids."""
    factor = water.shape[0] / label.shape[0]
    if factor < 1:
        water = water.repeat(round(1 / factor), 0).repeat(round(1 / factor), 1)
    else:
        label = label.repeat(round(factor), 0).repeat(round(factor), 1)
    known, wet = label >= 0, label == 1
    return float((water & wet & known).sum() / ((water | wet) & known).sum())


def _draw(maps: dict[tuple[str, str], Any], label: Any, model: str, np: Any) -> None:
    """Draw a part of the flood at three pixel sizes, and its label."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    top, left, side = WINDOW
    shown = [
        ("20 m, as measured", maps["20 m", "as measured"]),
        ("10 m, fused", maps["10 m", "sen2sr-lite, x2 part"]),
        ("2.5 m", maps["2.5 m", model]),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(13.2, 3.9), layout="constrained")
    for axis, (title, index) in zip(axes, shown, strict=False):
        factor = index.shape[0] / label.shape[0]
        rows, columns = (slice(round(n * factor), round((n + side) * factor)) for n in (top, left))
        drawn = axis.imshow(index[rows, columns], cmap="BrBG", vmin=-0.6, vmax=0.6, interpolation="nearest")
        axis.set_title(title, loc="left", fontsize=11)
    part = np.where(label < 0, np.nan, label)[top : top + side, left : left + side]
    axes[-1].imshow(part, cmap="BrBG", vmin=-0.6, vmax=1.4, interpolation="nearest")
    axes[-1].set_title("label, 10 m", loc="left", fontsize=11)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes[:3], label="MNDWI", shrink=0.8, pad=0.01)
    figure.savefig(PICTURE, dpi=110, pil_kwargs={"quality": 88})


WINDOW = (180, 180, 150)
"""First row, first column and side of the part of the flood that is drawn, in 10 m pixels."""


def _against(models: list[str]) -> list[dict[str, Any]]:
    from benchmarks.harness.ten_scenes import COARSE, TEN, ten_band_scenes

    rows = []
    for scene in ten_band_scenes() if models else ():
        official = _planes(scene.cube.sr.upscale(OFFICIAL, **scene.options))
        plain = _planes(scene.cube.sr.fuse("bicubic", **scene.options).sr.upscale("bicubic"))
        for model in models:
            mine = _planes(scene.cube.sr.upscale(model, **scene.options))
            assert set(COARSE) <= set(mine), f"{model} gives {list(mine)}"
            shares = [_share(mine[band], official[band], plain[band]) for band in TEN]
            rows.append({"scene": scene.name, "model": model, "shares": shares})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _share(own: Any, wanted: Any, plain: Any) -> float:
    """Return the rms error of `own` divided by that of `plain`, inside."""
    inner = (..., slice(40, -40), slice(40, -40))
    return _rms((own - wanted)[inner]) / _rms((plain - wanted)[inner])


def _pairs() -> list[tuple[str, float, float]]:
    """Compare models of ten and of four bands, the official ones and ours, in the 10 m bands."""
    import numpy as np

    from benchmarks.harness.ten_scenes import FINE, ten_band_scenes

    def four(cube: Any, model: str, told: dict[str, Any]) -> Any:
        planes = _planes(cube.sr.upscale(model, bands=FINE, **told))
        return np.stack([planes[band] for band in FINE])

    rows = []
    for scene in ten_band_scenes():
        told = {key: value for key, value in scene.options.items() if key != "layout"}
        r10m = scene.cube["r10m"].to_dataset() if hasattr(scene.cube, "children") else scene.cube
        plain, found = four(r10m, "bicubic", told), []
        for ten, rgbn in ((OFFICIAL, "sen2sr-lite.rgbn-x4"), (OURS, "sen2sr-v1.rgbn-x4")):
            # Asked for fine bands alone, the models of ten bands read the others neither.
            found.append(_share(four(scene.cube, ten, scene.options), four(r10m, rgbn, told), plain))
        rows.append((scene.name, *found))
    return rows


if __name__ == "__main__":
    sys.exit(main())
