"""Compare models on a real pair: a Sentinel-2 image and an aerial image of the same ground, a few days apart.

    python -m studies.real_pair LR HR [--models bicubic unsharp kriging sen2sr sen2sr-lite] [--json FILE]

LR, HR: GeoTIFF or Zarr, whatever `xr_sr.open` reads, in one CRS; LR with one date. Bands without names are named by
--lr-bands and --hr-bands, in the order of the file; where a file names its bands, leave these out.
HR may be in any unit, and its pixels at most as large as those of the output.

1. HR is seen through the sensor model at the pixels of LR. Its shift against LR is estimated (`estimate_shift`), and
   the HR moved by it, in sub-pixels; twice, since the first move changes what the estimate sees.
2. Gain and offset that bring HR to the reflectance of LR are fitted per band on the pixels of LR, the same for all
   models. HR with these is the reference.
3. Output and reference are split into three bands of frequency by differences of Gaussians, each of half amplitude at
   its limit. In pixels of LR: fine is shorter than 2 (10 m: 20 m), more than LR can hold; mid 2 to 4; coarse 4 to 8.
   The correlation of output and reference in each is blind to gain, haze and slow changes.
4. The error is the rms of what the best gain for the detail (all that is shorter than 8 pixels of LR) leaves, in
   reflectance. That gain is 1 for a right amplitude, above 1 for an output that is too soft.

What cannot be used ends the command with one line and exit code 2: files that cannot be read, two CRS, no common
ground, images that cannot be registered.

`unsharp` is bicubic interpolation with an unsharp mask, a baseline without knowledge. Models whose weights or bands are
missing are left out, and named.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import binary_erosion, gaussian_filter

import xr_sr
from xr_sr.arguments import check_number, check_whole
from xr_sr.bands import find_band
from xr_sr.catalog import registry
from xr_sr.catalog.fetch import find_file
from xr_sr.cube.crs import crs_label
from xr_sr.cube.detect import recognize
from xr_sr.errors import AmbiguousBandError, CubeError, GridError, MissingBandError, OptionError, XrSrError
from xr_sr.registration import Shift, estimate_shift, warp
from xr_sr.registration.estimate import MIN_QUALITY
from xr_sr.simulate import degrade

Array = NDArray[np.floating[Any]]

MODELS = ("bicubic", "unsharp", "kriging", "sen2sr", "sen2sr-lite")
LIMITS = {"fine": 2, "mid": 4, "coarse": 8}
"""The longest wavelength of each band of frequency, in pixels of LR."""

HALF_AMPLITUDE = math.sqrt(math.log(2) / 2) / math.pi
"""Standard deviation of the Gaussian that passes half the amplitude of a wavelength, as a fraction of it."""

BORDER = 5
"""Pixels of LR at edges and beside NaN that do not count: three deviations of the widest Gaussian."""

HR_MTF = 0.3
"""Contrast at the Nyquist frequency with which a finer HR is resampled to the output's pixels."""

AMOUNT, WIDTH = 1.0, 0.5
"""Of the unsharp mask: factor, and deviation of its Gaussian in pixels of LR."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables of one pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lr", type=Path, help="Sentinel-2, 10 m bands, one date")
    parser.add_argument("hr", type=Path, help="aerial image")
    parser.add_argument("--lr-bands", nargs="+", help="names of the bands of LR, such as B02 B03 B04 B08")
    parser.add_argument(
        "--hr-bands",
        nargs="+",
        help="names of the bands of HR by those of LR, such as B04 B03 B02, if the file has no names",
    )
    parser.add_argument("--offset", type=float, help="of LR in DN, where its metadata do not say it")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="(default: %(default)s)")
    parser.add_argument("--scale", type=int, default=4, help="of the models (default: %(default)s)")
    parser.add_argument("--max-shift", type=float, default=3.0, help="in pixels of LR (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    given = parser.parse_args(arguments)
    try:
        run(given)
    except (XrSrError, OSError) as error:
        print(f"real_pair: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def run(given: argparse.Namespace) -> None:
    """Read, compare and print. Raises XrSrError for files and options that cannot be used; OSError in writing JSON."""
    options = {} if given.offset is None else {"offset": given.offset}
    for model in given.models:
        registry.get("bicubic" if model == "unsharp" else model)
    if given.json and not given.json.parent.is_dir():
        raise OptionError(f"--json {given.json}: there is no folder {given.json.parent}. Create it first.")
    with reading("LR", given.lr, "--lr-bands"):
        lr = stacked(xr_sr.reflectance(opened(given.lr, given.lr_bands), **options)).compute()
    with reading("HR", given.hr, "--hr-bands"):
        hr = stacked(opened(given.hr, given.hr_bands))
    found = study(lr, hr, given.models, scale=given.scale, max_shift=given.max_shift)
    print(text_of(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@contextmanager
def reading(role: str, path: Path, names: str) -> Iterator[None]:
    """Name in errors the file they are about, and the option for the names of its bands."""
    try:
        yield
    except AmbiguousBandError:
        raise AmbiguousBandError(
            f"{role}, {path}: its bands are numbered. Name them in their order: {names} B02 B03 B04 B08."
        ) from None
    except XrSrError as error:
        message = str(error).replace("names=", f"{names} ").removeprefix(f"{path}").strip()
        raise CubeError(f"{role}, {path}: {message}") from error


def opened(path: Path, names: Sequence[str] | None) -> xr.DataArray | xr.Dataset:
    """Open a file, of a tree of grids the 10 m bands."""
    if (
        names
        and (own := _own_names(path))
        and own != [band.name if (band := find_band(name)) else name for name in names]
    ):
        raise OptionError(
            f"names={' '.join(names)}, but the file names its bands {' '.join(own)}. Leave the option out."
        )
    cube = xr_sr.open(path, names=names or ())
    return xr_sr.open(path, names=names or (), part="r10m") if isinstance(cube, xr.DataTree) else cube


def _own_names(path: Path) -> list[str]:
    """Return the bands of Sentinel-2 that a file names itself, in its order; [] without."""
    try:
        return list(recognize(xr_sr.open(path)).available)
    except XrSrError:
        return []


def stacked(cube: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the bands of one date as (band, y, x). Raises CubeError for several dates."""
    if isinstance(cube, xr.Dataset):
        planes = cube[[name for name, plane in cube.data_vars.items() if plane.ndim >= 2]]
        cube = planes.to_dataarray("band").assign_attrs(planes.attrs)
    extra = [dim for dim in cube.dims[:-2] if dim != "band"]
    if any(cube.sizes[dim] > 1 for dim in extra):
        raise CubeError(f"it has {dict(cube.sizes)}. Select one date, and pass that.")
    return cube.squeeze(extra)


def study(
    lr: xr.DataArray, hr: xr.DataArray, models: Sequence[str], *, scale: int = 4, max_shift: float = 3.0
) -> dict[str, Any]:
    """Compare models on a pair: shift, radiometry, and for each model the correlations and the error.

    lr: (band, y, x) reflectance. hr: (band, y, x) in any unit, NaN or its `_FillValue` where not valid.
    Raises GridError where the grids or the ground do not fit, MissingBandError without a common band, OptionError for
    numbers out of range, CubeError where the images cannot be registered.
    """
    check_whole("scale", scale, least=2)
    check_number("max_shift", max_shift, above=0)
    bands = [band for band in lr.band.values.tolist() if band in set(hr.band.values.tolist())]
    if not bands:
        raise MissingBandError(
            f"LR has the bands {lr.band.values.tolist()}, HR {hr.band.values.tolist()}: none in common. Name those of "
            "HR by --hr-bands."
        )
    fine = lr.odc.geobox.zoom_to(tuple(size * scale for size in lr.odc.geobox.shape))
    check_ground(lr, hr)
    reference = on_grid(floating(hr.sel(band=bands)), fine)
    if np.isfinite(reference.values).all(axis=0).sum() < (16 * scale) ** 2:
        raise too_small()
    measured = lr.sel(band=bands).transpose("band", "y", "x").values.astype("float64")

    shift = estimate_shift(seen(reference, lr), measured, max_shift=max_shift)
    if not shift.ok:
        too_far = f"the shift found, {shift.dy:.2f}, {shift.dx:.2f} pixels of LR along y and x, exceeds {max_shift:g}"
        uncertain = f"no shift is certain, the standard error is {shift.error:.2g} pixels of LR"
        raise CubeError(
            f"the images could not be registered: {uncertain if shift.quality < MIN_QUALITY else too_far}. Pass a pair "
            "that shows the same ground, or a larger --max-shift."
        )
    moved, coarse, rest = registered(reference, lr, measured, shift, scale)
    if rest.ok:
        shift = replace(shift, dy=shift.dy + rest.dy, dx=shift.dx + rest.dx, error=rest.error)
        moved, coarse, rest = registered(reference, lr, measured, shift, scale)
    gains = [line(x, y) for x, y in zip(coarse, measured, strict=True)]
    target = np.stack([gain * plane + offset for plane, (gain, offset) in zip(moved.values, gains, strict=True)])

    outputs, left_out = upscaled(lr, models, bands, scale)
    valid = np.isfinite(target).all(axis=0)
    for image in outputs.values():
        valid &= np.isfinite(image).all(axis=0)
    inner = binary_erosion(valid, np.ones((3, 3)), iterations=BORDER * scale, border_value=0)
    if inner.sum() < (16 * scale) ** 2:
        raise too_small()
    found = {model: scores(image, target, valid, inner, scale) for model, image in outputs.items()}
    return {
        "bands": bands,
        "pixels": int(inner.sum()),
        "shift": as_dict(shift, lr.odc.geobox),
        "residual shift": as_dict(rest, lr.odc.geobox),
        "radiometry": {
            band: {"gain": gain, "offset": offset} for band, (gain, offset) in zip(bands, gains, strict=True)
        },
        "models": found,
        "left out": left_out,
    }


def too_small() -> GridError:
    """Return the error for a pair with too little ground in common."""
    return GridError(
        "less than 16 x 16 pixels of LR are covered by valid pixels of both images, away from edges and gaps. Pass "
        "images of the same and of more ground."
    )


def registered(
    reference: xr.DataArray, lr: xr.DataArray, measured: Array, shift: Shift, scale: int
) -> tuple[xr.DataArray, Array, Shift]:
    """Move the reference; return it, what the sensor would see of it, and the shift that is left."""
    moved = reference.copy(data=warp(reference.values, shift.dy * scale, shift.dx * scale))
    coarse = seen(moved, lr)
    return moved, coarse, estimate_shift(coarse, measured)


def floating(hr: xr.DataArray) -> xr.DataArray:
    """Return HR as float64 in memory, NaN where it is nodata."""
    marks = [part.get(key) for part in (hr.attrs, hr.encoding) for key in ("_FillValue", "nodata")]
    values = hr.compute().astype("float64")
    for mark in marks:
        if isinstance(mark, int | float | np.number):
            values = values.where(values != mark)
    return values


def check_ground(lr: xr.DataArray, hr: xr.DataArray) -> None:
    """Raise GridError unless both images have one CRS and overlap."""
    ours, theirs = lr.odc.geobox, hr.odc.geobox
    if theirs is None or ours is None:
        raise GridError(
            f"{'LR' if ours is None else 'HR'} has no coordinates along y and x. Pass a georeferenced image."
        )
    if ours.crs != theirs.crs:
        raise GridError(
            f"the CRS of LR is {crs_label(ours.crs)}, that of HR {crs_label(theirs.crs)}. Reproject HR to that of LR, "
            "or state it where it is missing."
        )
    one, other = ours.boundingbox, theirs.boundingbox
    if one.left >= other.right or other.left >= one.right or one.bottom >= other.top or other.bottom >= one.top:
        spans = [", ".join(f"{value:.10g}" for value in box.bbox) for box in (one, other)]
        raise GridError(
            f"LR and HR do not overlap: LR covers ({spans[0]}), HR ({spans[1]}), as left, bottom, right, top. Pass "
            "images of the same ground."
        )


def on_grid(hr: xr.DataArray, fine: GeoBox) -> xr.DataArray:
    """Resample HR to the pixels of the output: a finer one as a camera of such pixels sees it, another by cubic."""
    mine = hr.odc.geobox
    size, wanted = abs(mine.resolution.x), abs(fine.resolution.x)
    if size > 1.2 * wanted:
        raise GridError(f"HR has pixels of {size:g}, the output of {wanted:g}: pass a finer HR or a smaller --scale.")
    if size < 0.8 * wanted:
        return degrade(hr, like=fine, mtf=HR_MTF).transpose("band", "y", "x").compute()
    same = hr if mine == fine else hr.odc.reproject(fine, resampling="cubic", dst_nodata=math.nan)
    return same.transpose("band", *fine.dimensions)


def seen(reference: xr.DataArray, lr: xr.DataArray) -> Array:
    """Return the reference as the sensor would see it at the pixels of LR."""
    return np.asarray(degrade(reference, like=lr.odc.geobox).transpose("band", ...).values)


def line(x: Array, y: Array) -> tuple[float, float]:
    """Return gain and offset of the least-squares line from x to y, where both are finite."""
    both = np.isfinite(x) & np.isfinite(y)
    gain, offset = np.polyfit(x[both], y[both], 1)
    return float(gain), float(offset)


def upscaled(
    lr: xr.DataArray, models: Sequence[str], bands: list[str], scale: int
) -> tuple[dict[str, Array], dict[str, str]]:
    """Upscale by each model: (band, y, x) reflectance by model, and the reasons why others are left out."""
    outputs, left_out = {}, {}
    for model in models:
        name = "bicubic" if model == "unsharp" else model
        if any(find_file(file) is None for file in registry.get(name).files):
            left_out[model] = f"its weights are not at hand; set XR_SR_WEIGHTS, or run: xr-sr fetch {name}"
            continue
        own = {"scale": scale} if name in ("bicubic", "kriging") else {}
        try:
            image = lr.sr.upscale(name, bands=bands, **own).transpose("band", "y", "x").values.astype("float64")
        except MissingBandError as error:
            left_out[model] = str(error).partition("\n")[0]
            continue
        if image.shape[-1] != lr.sizes["x"] * scale:
            left_out[model] = f"its scale is {image.shape[-1] // lr.sizes['x']}, not {scale}"
            continue
        if model == "unsharp":
            image = image + AMOUNT * (image - blurred(image, np.isfinite(image).all(axis=0), WIDTH * scale))
        outputs[model] = image
    return outputs, left_out


def blurred(image: Array, valid: NDArray[np.bool_], sigma: float) -> Array:
    """Return a (band, y, x) image blurred by a Gaussian over its valid pixels."""
    weight = gaussian_filter(valid.astype("float64"), sigma, mode="constant", truncate=4)
    filled = np.where(valid, image, 0.0)
    total = gaussian_filter(filled, (0, sigma, sigma), mode="constant", truncate=4)
    return np.asarray(total / np.maximum(weight, 1e-9))


def detail(image: Array, valid: NDArray[np.bool_], scale: int) -> dict[str, Array]:
    """Split an image into bands of frequency, (band, y, x) each."""
    parts, rest = {}, image
    for name, wavelength in LIMITS.items():
        smooth = blurred(image, valid, HALF_AMPLITUDE * wavelength * scale)
        parts[name], rest = rest - smooth, smooth
    return parts


def scores(
    image: Array, target: Array, valid: NDArray[np.bool_], inner: NDArray[np.bool_], scale: int
) -> dict[str, float]:
    """Return correlations, error and gain of one output, means over its spectral bands."""
    mine, theirs = detail(image, valid, scale), detail(target, valid, scale)
    found = {
        name: float(
            np.mean([np.corrcoef(a[inner], b[inner])[0, 1] for a, b in zip(mine[name], theirs[name], strict=True)])
        )
        for name in LIMITS
    }
    errors, gains = [], []
    for a, b in zip(sum(mine.values()), sum(theirs.values()), strict=True):
        x, y = a[inner] - a[inner].mean(), b[inner] - b[inner].mean()
        gain = float((x * y).sum() / (x * x).sum())
        errors.append(float(((y - gain * x) ** 2).mean()))
        gains.append(gain)
    return {**found, "error": math.sqrt(float(np.mean(errors))), "gain": float(np.mean(gains))}


def as_dict(shift: Shift, geobox: GeoBox) -> dict[str, float]:
    """Return a shift of HR in pixels of LR and in the unit of the CRS."""
    size = abs(geobox.resolution.x)
    return {"dy": shift.dy, "dx": shift.dx, "error": shift.error, "length on the ground": shift.length * size}


def text_of(found: dict[str, Any]) -> str:
    """Return the tables in Markdown."""
    shift, rest = found["shift"], found["residual shift"]
    lines = [
        f"HR was moved by dy {shift['dy']:+.3f}, dx {shift['dx']:+.3f} pixels of LR (standard error "
        f"{shift['error']:.3f}); left: {rest['dy']:+.3f}, {rest['dx']:+.3f}. {found['pixels']} output pixels.",
        "",
        "| band | gain of HR | offset |",
        "|---|---|---|",
        *(f"| {band} | {row['gain']:.4g} | {row['offset']:+.4f} |" for band, row in found["radiometry"].items()),
        "",
        "| model | fine | mid | coarse | error | gain |",
        "|---|---|---|---|---|---|",
    ]
    for model, row in found["models"].items():
        lines.append(
            f"| {model} | {row['fine']:.3f} | {row['mid']:.3f} | {row['coarse']:.3f} | {row['error']:.5f} | "
            f"{row['gain']:.2f} |"
        )
    lines += [f"\n{model} is left out: {reason}" for model, reason in found["left out"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
