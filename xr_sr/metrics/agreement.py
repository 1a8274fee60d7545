"""Compare SR with LR: consistency with what was measured, and synthesis of new detail. Neither needs a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import dask.array as da
import numpy as np
import xarray as xr

from ..arguments import check_flag, check_whole, renamed
from ..simulate.resample import downsample
from .distances import find_distance, mean
from .fidelity import for_each_model, measure_blocks
from .improvement import check_support
from .inputs import Image, ImageSeries, read, scale_of, together
from .matching import Spectral, measure_shifts
from .records import METRICS, Formula
from .reduce import FloatArray, Layout, Level, check_level, map_images
from .seen import NyquistMtf, SeenBy, check_operator, seen_again
from .triples import Triple, bring_together, distances, inside


def consistency(
    lr: Image,
    sr: Image | Mapping[str, Image],
    *,
    operator: SeenBy = "psf",
    mtf: NyquistMtf = None,
    reflectance: str = "l1",
    spectral: str = "sad",
    at: Level = "image",
    max_shift: float = 5.0,
    border: int = 0,
) -> xr.Dataset:
    """Compare SR, seen again by the sensor of LR, with LR itself.

    lr, sr: (time?, band, y, x) reflectance, NaN is nodata; a pixel of LR is a whole number of pixels of SR along each
        axis. Bands are matched by name. sr: one cube, or several by name, for a dimension `model`.
    operator: "psf" sees SR through the point spread function of each band, a Gaussian, at the band's own pixels: 20 m
        bands on a 10 m grid are compared at 20 m. The right image agrees with what the sensor measured, up to noise.
        "block" averages SR under a triangle two LR pixels wide, as the literature does. The right image fails that: at
        the Nyquist frequency the mean of a pixel passes 0.64, the sensor 0.22 to 0.38.
    mtf: of operator "psf", the transfer at the Nyquist frequency of a band's own pixels: one number, or a dict by band;
        None is Sentinel-2's, as published. Bands of other sensors need it.
    reflectance, spectral: distances, see `correctness`; taken per pixel of LR. at: "image", their means per date;
        "pixel", maps on the grid of LR; or the side of patches in pixels of LR.
    max_shift: the longest reliable shift, in pixels of LR. border: pixels of SR at the edges that do not count.

    Returns a Dataset, lazy if an input is: `reflectance`, in units of its distance; `spectral`, degrees for "sad", and
    absent for a single band; `spatial`, the length of the shift from SR to LR per date, in pixels of LR, NaN where
    images are too smooth or too different to estimate it. An LR pixel of whose weight less than half is valid does not
    count. Raises GridError, CubeError, MissingBandError; OptionError, also for a band whose MTF is not known.
    """
    check_operator(operator, mtf)
    at = check_level(at)
    border = check_whole("border", border, least=0, unit="pixels")
    coarse = read(lr, "LR")

    def of_one(fine: ImageSeries) -> xr.Dataset:
        return agree(coarse, fine, reflectance, spectral, at, max_shift, border, operator, mtf)

    return for_each_model(sr, of_one, coarse)


@renamed(harmonise="harmonize")
def synthesis(
    lr: Image,
    sr: Image | Mapping[str, Image],
    hr: Image | None = None,
    *,
    distance: str = "l1",
    at: Level = "image",
    support: Level | None = None,
    harmonize: Spectral = "histogram",
    align: bool = True,
    max_shift: float = 5.0,
    border: int = 16,
) -> xr.Dataset:
    """Measure how much SR adds: its distance to the upsampled LR. Neither good nor bad; 0 for plain interpolation.

    hr: where given, SR and LR are first harmonized with it, as for `correctness`, so that the two can be read together.
    Arguments as in `correctness`. Returns a Dataset with `synthesis`, in units of the distance, lazy if an input is.
    """
    check_flag("align", align)
    at = check_level(at)
    support = check_support(at, support, distance)
    coarse = read(lr, "LR")
    true = None if hr is None else read(hr, "HR")

    def of_one(fine: ImageSeries) -> xr.Dataset:
        triple = bring_together(
            coarse, fine, true, harmonize=harmonize, align=align, max_shift=max_shift, border=border
        )
        return xr.Dataset({"synthesis": added(triple, distance, at, support)}, attrs={"distance": distance})

    return for_each_model(sr, of_one, coarse, true)


def added(triple: Triple, distance: str, at: Level, support: Level) -> xr.DataArray:
    """Measure synthesis of scenes that were brought together; always lazy."""
    found, _ = distances(triple, distance, ("om",), support)
    if at != "image":
        return triple.sr.wrap(found[:, 0], ("time", "y", "x"), name="synthesis", at=at)
    values = da.nanmean(found[:, 0].astype("float64"), axis=(1, 2))
    return triple.sr.wrap(values, ("time",), name="synthesis")


def agree(
    lr: ImageSeries,
    sr: ImageSeries,
    reflectance: str,
    spectral: str,
    at: Level,
    max_shift: float,
    border: int,
    operator: SeenBy,
    mtf: NyquistMtf,
) -> xr.Dataset:
    """Measure consistency of two scenes; always lazy. Arguments as in `consistency`."""
    named, layout, coarse, down = on_lr_grid(lr, sr, at, border, operator, mtf)
    made = {}
    for name, distance in (("reflectance", reflectance), ("spectral", spectral)):
        chosen = find_distance(distance)
        if distance == "sad" and len(named.keys) == 1:
            continue
        formula = Formula(_per_pixel, mean, halo=chosen.halo, bands="pixels")
        metric = replace(METRICS[name], unit=chosen.units, formula=formula)
        made[name] = measure_blocks(named, [coarse, down], layout, metric, at=at, distance=distance)
    shifts = measure_shifts(down, coarse, max_shift)
    lengths = da.where(shifts[:, 3] > 0, da.hypot(shifts[:, 0], shifts[:, 1]), np.nan)
    made["spatial"] = named.wrap(lengths, ("time",), name="spatial", attrs=METRICS["spatial"].attrs)
    return xr.Dataset(made, attrs={"scale": sr.shape[0] // lr.shape[0], "operator": operator})


def on_lr_grid(
    lr: ImageSeries, sr: ImageSeries, at: Level, border: int, operator: SeenBy, mtf: NyquistMtf
) -> tuple[ImageSeries, Layout, da.Array, da.Array]:
    """Return LR with the dates of the result, the layout of its grid, and LR and SR on it, (time, band, y, x)."""
    sr, lr = together(sr, lr)
    scale = scale_of(lr, sr)
    layout = Layout.of(*sr.shape, multiple=scale * (at if isinstance(at, int) else 1)).coarser(scale)
    measured, seen = seen_again(lr, sr, scale, mtf) if operator == "psf" else (lr.data, averaged_back(sr, scale))
    coarse = inside(layout.cut(measured), -(-border // scale), layout, "LR")
    named = lr if lr.time or not sr.time else replace(lr, time=sr.time, along_time=sr.along_time)
    return named, layout, coarse, layout.cut(seen)


def averaged_back(sr: ImageSeries, scale: int) -> da.Array:
    """Average SR to pixels `scale` times larger, lazily: (time, band, y / scale, x / scale), NaN kept."""
    layout = Layout.of(*sr.shape, multiple=scale)
    wide = layout.wider(sr.data, scale)
    return map_images(_down, [(wide, "tbyx")], "tcyx", layout.coarser(scale), new={"c": sr.data.shape[1]}, scale=scale)


def _down(block: FloatArray, *, scale: int) -> FloatArray:
    """Average a block with `scale` pixels of context. NaN has no weight, and half of the weight must be seen."""
    values = block.astype(np.float64)
    valid = np.isfinite(values)
    inner = (..., slice(1, -1), slice(1, -1))
    total = downsample(np.where(valid, values, 0.0), scale)[inner]
    if valid.all():
        return total
    weight = downsample(valid.astype(np.float64), scale)[inner]
    return np.where(weight >= 0.5, total / np.maximum(weight, 0.5), np.nan)


def _per_pixel(lr: FloatArray, down: FloatArray, *, distance: str) -> FloatArray:
    """Return the distance of each pixel: (1, 1, y, x)."""
    chosen = find_distance(distance)
    with np.errstate(divide="ignore", invalid="ignore"):
        fields = chosen.per_pixel(lr.astype(np.float64), down.astype(np.float64))
        distances: FloatArray = chosen.finish(fields)[None, None]
    return distances
