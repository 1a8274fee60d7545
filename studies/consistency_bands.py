"""Compare each of the ten bands with the input on its own grid, on all real scenes with 20 m bands.

    python -m studies.consistency_bands [--only WORD ...] [--write]

Two operators. Block: the mean of the 4 x 4 (10 m bands) or 8 x 8 (20 m bands) output pixels that an input pixel covers.
PSF: the output as the modeled sensor sees it, by `xr_sr.simulate.degrade` without noise, three input pixels from the
scene's edge on. The last table applies both to aerial images and to the sensor's view of these, so it shows
what each operator says of an image that is right. Writes results/real_scenes_bands.md.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from odc.geo.xr import wrap_xr

from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, parser, run, shared

WAYS = ("sen2sr", "sen2sr-v1", "sen2sr-lite", "guided fusion", "kriging", "bicubic")
"""Our networks, the first edition too, and the official network; `glp-hpm` then bicubic, which stands in where
inputs of the last two are missing; kriging and interpolation of each band alone."""

MEASURED = {way: f"{way}, measured" for way in ("sen2sr", "sen2sr-v1", "kriging", "bicubic")}
"""The same with `constraint="measured"`."""

ALONE = ("kriging", "bicubic")
"""Those that need no other band, and no network."""

GROUPS = {
    "10 m": ("B02", "B03", "B04", "B08"),
    "red edge, 20 m": ("B05", "B06", "B07", "B8A"),
    "SWIR, 20 m": ("B11", "B12"),
}
BESIDE = {"Jutland": (0, 1), "Araucania": (-1, -1), "Ontario": (-1, 1)}
"""Chips of TerraMesh are not cut at multiples of 20 m, and their samples of 20 m are repeated from the first pixel on.
So these begin (y, x) pixels of 10 m beside the corner of the chip: where B8A correlates best with the mean of B08, by
0.984 to 0.996 for 0.90 to 0.97 at the corner."""

FAR, FAR_MEASURED = 0.5, 0.1
"""How many times as far from the input as bicubic interpolation the default model is to be at most, and the same with
`constraint="measured"`."""

OF_REFERENCE = ("sen2sr", "sen2sr-v1", "kriging", "bicubic")
"""What is made from the sensor's view of aerial images."""

MARGIN = 3
"""Input pixels along the scene's edge, where the point spread function reaches beyond it: not counted."""


def main() -> int:
    """Measure all scenes in one process."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="scenes with one of these in their names"
    )
    given = arguments.parse_args()
    if given.side:
        print(json.dumps({"scenes": _measure(given.only), "reference": _measure_reference()}))
        return 0
    given.no_calibration = True  # no times here
    with Report("real_scenes_bands", "Agreement with the input, band by band", given) as report:
        found = run(
            Side("studies.consistency_bands", ("--side", "all", *(("--only", *given.only) if given.only else ())))
        )
        _show(report, found["scenes"])
        _show_reference(report, found["reference"])
    return report.exit_code


def _show(report: Report, scenes: list[dict[str, Any]]) -> None:
    report.text(
        "Rms difference from the input in reflectance, by block means at the pixels of each band's own grid, over the "
        "bands of a group. Guided fusion: the 20 m bands as they come where inputs of the first edition are missing."
    )
    rows = [
        [scene["name"], group, *(_cell(scene["block"].get(way, {}), bands) for way in WAYS), scene["note"]]
        for scene in scenes
        for group, bands in GROUPS.items()
    ]
    report.table(["scene", "bands", *WAYS, "note"], [row for row in rows if set(row[2:-1]) != {"–"}])
    report.text("", "The same by the point spread function of the sensor, at the same pixels.")
    rows = [
        [scene["name"], group, *(_cell(scene["psf"].get(way, {}), bands) for way in WAYS)]
        for scene in scenes
        for group, bands in GROUPS.items()
    ]
    report.table(["scene", "bands", *WAYS], [row for row in rows if set(row[2:]) != {"–"}])
    report.text(
        "",
        "Each band: how many times as far from the input as bicubic interpolation, least to largest over the scenes; "
        "below 1 is nearer.",
    )
    head = ["band", *(f"{way}, {operator}" for operator in ("block", "psf") for way in WAYS[:-1])]
    report.table(
        head,
        [
            [band, *(_times(scenes, operator, way, band) for operator in ("block", "psf") for way in WAYS[:-1])]
            for bands in GROUPS.values()
            for band in bands
        ],
    )
    report.text(
        "", 'With `constraint="measured"`, by the point spread function: the same, least to largest over scenes.'
    )
    report.table(
        ["band", *MEASURED.values()],
        [
            [band, *(_times(scenes, "psf", way, band, 3) for way in MEASURED.values())]
            for bands in GROUPS.values()
            for band in bands
        ],
    )
    for way, most in (("sen2sr", FAR), (MEASURED["sen2sr"], FAR_MEASURED)):
        farthest, where = max(
            (scene["psf"][way][band] / scene["psf"]["bicubic"][band], f"{band}, {scene['name']}")
            for scene in scenes
            for band in scene["psf"].get(way, {})
        )
        report.target(
            f"`{way}` is at most {most} times as far from the input as bicubic interpolation by the point spread "
            f"function, in every band of every scene: {farthest:.2f} ({where})",
            farthest <= most,
        )


def _show_reference(report: Report, rows: list[list[str]]) -> None:
    report.text(
        "",
        "What the operators say of an image that is right: aerial images at 2.5 m, seen at 10 m by the modeled sensor "
        "without noise, compared with that view; rms over the four 10 m bands.",
    )
    head = [f"{what}, {operator}" for operator in ("block", "psf") for what in ("the aerial image", *OF_REFERENCE)]
    report.table(["place", *head], rows)


def _cell(off: dict[str, float], bands: tuple[str, ...]) -> str:
    seen = [off[band] for band in bands if band in off]
    return f"{np.sqrt(np.mean(np.square(seen))):.5f}" if seen else "–"


def _times(scenes: list[dict[str, Any]], operator: str, way: str, band: str, digits: int = 2) -> str:
    seen = [
        scene[operator][way][band] / scene[operator]["bicubic"][band]
        for scene in scenes
        if band in scene[operator].get(way, {})
    ]
    return f"{min(seen):.{digits}f} to {max(seen):.{digits}f}" if seen else "–"


def _scenes() -> Iterator[Any]:
    """Open all real scenes that have 20 m bands, as trees where these have a grid of their own."""
    import rioxarray
    import xarray as xr

    from benchmarks.harness import ten_scenes

    for scene in ten_scenes.ten_band_scenes():
        chip = next((chip for chip in BESIDE if scene.name.endswith(chip)), None)
        yield scene if chip is None else replace(scene, cube=_in_place(scene.cube, *BESIDE[chip]))
    folder = shared() / "data" / "s2_patagonia_10_20m"
    fine, coarse = (rioxarray.open_rasterio(folder / f"s2_{size}.tif").astype("int32") for size in ("10m", "20m"))
    nodes = {
        "r10m": fine.assign_coords(band=list(GROUPS["10 m"])).to_dataset("band"),
        "r20m": coarse.isel(y=slice(100), x=slice(150)).assign_coords(band=["B11", "B12"]).to_dataset("band"),
    }
    yield ten_scenes.Scene("Patagonia", xr.DataTree.from_dict(nodes), {"offset": 0}, "B11, B12 at 20 m")
    crops = xr.open_dataset(shared() / "data" / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc")
    names = [band for bands in GROUPS.values() for band in bands if f"S2-L2A-{band}" in crops]
    crops = crops.set_coords("crs")[[f"S2-L2A-{band}" for band in names]]
    options = {"offset": 0, "nodata": 65535, "layout": "native"}
    yield ten_scenes.Scene("WorldCereal", crops, options, "12 months, 2 without data; no B8A; 20 m repeated")


def _in_place(tree: Any, dy: int, dx: int) -> Any:
    """Cut both grids of a chip so that the 20 m samples are at their true position; see BESIDE."""
    import xarray as xr

    fine, coarse = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()
    of_fine, of_coarse = ({dim: slice(int(off in edges), None) for dim, off in (("y", dy), ("x", dx))}
                          for edges in ((-1, 1), (-1,)))  # fmt: skip
    fine, coarse = fine.isel(of_fine), coarse.isel(of_coarse)
    sizes = {dim: min(fine.sizes[dim] // 2, coarse.sizes[dim]) for dim in ("y", "x")}
    fine = fine.isel({dim: slice(2 * size) for dim, size in sizes.items()})
    coarse = coarse.isel({dim: slice(size) for dim, size in sizes.items()})
    place = fine.odc.geobox.zoom_out(2)
    values = {name: band.values for name, band in coarse.data_vars.items()}
    return xr.DataTree.from_dict(
        {"r10m": fine, "r20m": xr.Dataset({name: wrap_xr(one, place) for name, one in values.items()})}
    )


def _measure(only: list[str]) -> list[dict[str, Any]]:
    rows = []
    for scene in _scenes():
        if only and not any(word.lower() in scene.name.lower() for word in only):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows.append(_one(scene))
        print(scene.name, file=sys.stderr, flush=True)
    return rows


def _one(scene: Any) -> dict[str, Any]:
    """Measure one scene: by operator, method and band."""
    import xarray as xr

    import xr_sr  # noqa: F401  # registers .sr

    tree = isinstance(scene.cube, xr.DataTree)
    nodes = [node.to_dataset() for node in scene.cube.children.values()] if tree else [scene.cube]
    options = {name: value for name, value in scene.options.items() if name != "layout" or not tree}
    plain = {name: value for name, value in options.items() if name != "layout"}
    # A scene on one grid whose pixels somebody resampled is compared at these; repeated ones at those of 20 m.
    repeated = options.get("layout") == "native"
    lr: dict[str, Any] = {}
    alone: dict[str, dict[str, Any]] = {way: {} for way in (*ALONE, *(MEASURED[way] for way in ALONE))}
    for node in nodes:
        seen = _bands(node.sr.upscale("nearest", scale=1, **plain))
        # Some blocks of 2 x 2 are not constant: their mean is what the package takes for the pixel of 20 m.
        wide = {name: seen[name].coarsen(y=2, x=2).mean() for name in seen if repeated and name not in GROUPS["10 m"]}
        lr |= seen | wide
        times = 4 if "B02" in seen else 8
        parts = [(node, {"scale": times, **plain}), *([(xr.Dataset(wide), {"scale": 8})] if wide else [])]
        for way in ALONE:
            for part, how in parts:
                alone[way] |= _bands(part.sr.upscale(way, **how))
                alone[MEASURED[way]] |= _bands(part.sr.upscale(way, constraint="measured", **how))
    made = alone | _networks(scene.cube, options, set(lr))
    block = {way: _offs(bands, lr, _block) for way, bands in made.items()}
    resampled = options.get("layout") == "resampled"
    psf = {} if resampled else {way: _offs(bands, lr, _psf) for way, bands in made.items()}
    return {"name": scene.name, "block": block, "psf": psf, "note": scene.note}


def _networks(cube: Any, options: dict[str, Any], there: set[str]) -> dict[str, dict[str, Any]]:
    """Upscale by networks; the 20 m bands by guided fusion too, of a cube that lacks one of them, each in its turn."""
    coarse = [band for group, bands in GROUPS.items() if group != "10 m" for band in bands if band in there]
    wanted = [band for bands in GROUPS.values() for band in bands if band in there]

    def made(way: str, bands: list[str], of: Any = cube, **more: Any) -> dict[str, Any]:
        return _bands(of.sr.upscale(way, bands=bands, **options, **more))

    whole = len(coarse) == 6
    guided: dict[str, Any] = {}
    for lost in (coarse[0], coarse[-1]) if whole else (None,):
        few = [band for band in coarse if band != lost]
        guided |= made("sen2sr-v1", few, _without(cube, lost) if lost else cube)
    own = wanted if whole else list(GROUPS["10 m"])  # what the networks that read all ten bands make themselves
    return {
        "sen2sr": made("sen2sr", wanted),
        **{way: made(way, own) for way in ("sen2sr-v1", "sen2sr-lite")},
        "guided fusion": guided,
        **{MEASURED[way]: made(way, bands, constraint="measured")
           for way, bands in (("sen2sr", wanted), ("sen2sr-v1", own))},
    }  # fmt: skip


def _without(cube: Any, band: str) -> Any:
    import xarray as xr

    if isinstance(cube, xr.DataTree):
        nodes = {path: node.to_dataset().drop_vars(band, errors="ignore") for path, node in cube.children.items()}
        return xr.DataTree.from_dict(nodes)
    return cube.sel(band=[name for name in cube.band.values if name != band])


def _bands(made: Any) -> dict[str, Any]:
    """Compute a result: (..., y, x) of each band, by its name at the sensor."""
    import xarray as xr

    made = made.compute()
    if isinstance(made, xr.Dataset):
        return {str(name)[-3:]: values for name, values in made.data_vars.items()}
    return {str(name): made.sel(band=name) for name in made.band.values}


def _offs(fine: dict[str, Any], lr: dict[str, Any], back: Any) -> dict[str, float]:
    """Return the rms difference of each band from the input, at the input's pixels."""
    return {band: float(np.sqrt(np.nanmean((back(fine[band], lr[band], band)) ** 2))) for band in fine}


def _block(fine: Any, lr: Any, band: str) -> Any:
    *lead, height, width = lr.shape
    times = fine.shape[-1] // width
    means = fine.values.reshape(*lead, height, times, width, times).mean(axis=(-3, -1), dtype="float64")
    return means - lr.values


def _psf(fine: Any, lr: Any, band: str) -> Any:
    import xarray as xr

    from xr_sr.kernels.psf import MTF_AT_NYQUIST
    from xr_sr.simulate import degrade

    times = fine.shape[-1] // lr.shape[-1]
    plain = xr.DataArray(
        fine.values[..., None, :, :], dims=(*(f"l{n}" for n in range(fine.ndim - 2)), "band", "y", "x")
    )
    plain = plain.assign_coords(band=[band], y=np.arange(fine.shape[-2]) + 0.5, x=np.arange(fine.shape[-1]) + 0.5)
    seen = degrade(plain, factor=times, mtf=MTF_AT_NYQUIST[band]).values[..., 0, :, :]
    return (seen - lr.values)[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def _measure_reference() -> list[list[str]]:
    """Apply the operators to aerial images, and to what is made from the sensor's view of them."""
    from studies import aerial
    from xr_sr.simulate import degrade

    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in aerial.places():
            lr = degrade(place.hr, factor=aerial.SCALE).compute()
            made = {"reference": place.hr, **{name: lr.sr.upscale(name) for name in OF_REFERENCE}}
            of_lr = _bands(lr)
            row = [place.name]
            for back in (_block, _psf):
                for fine in made.values():
                    off = list(_offs(_bands(fine), of_lr, back).values())
                    row.append(f"{np.sqrt(np.mean(np.square(off))):.5f}")
            rows.append(row)
            print(" | ".join(row), file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
