"""Compare SR with LR: consistency with what was measured, and synthesis of new detail. Neither needs a reference."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any, overload

import dask.array as da
import numpy as np
import xarray as xr

from ..arguments import check_flag, check_whole, renamed
from ..cube.select import recognize
from ..cube.trees import node_dataset
from ..errors import CubeError, MissingBandError, OptionError, RadiometryError
from ..radiometry.cubes import cubes_of
from ..simulate.resample import downsample
from .distances import find_distance, mean
from .fidelity import for_each_model, measure_blocks
from .improvement import check_support
from .inputs import Image, ImageSeries, read, scale_of, together
from .matching import Spectral, measure_shifts
from .records import METRICS, Formula, Metric
from .reduce import FloatArray, Layout, Level, check_level, map_images
from .seen import BandPsf, NyquistMtf, ObservationOperator, SeenBy, check_operator, seen_again
from .several import measure_several
from .triples import Triple, bring_together, distances, inside


@overload
def consistency(
    lr: Image,
    sr: Image | Mapping[str, Image],
    *,
    operator: SeenBy = ...,
    mtf: NyquistMtf = ...,
    psf: BandPsf = ...,
    reflectance: str = ...,
    spectral: str = ...,
    at: Level = ...,
    max_shift: float = ...,
    border: int = ...,
) -> xr.Dataset: ...


@overload
def consistency(
    lr: xr.DataTree,
    sr: Image | xr.DataTree | Mapping[str, Image | xr.DataTree],
    *,
    operator: SeenBy = ...,
    mtf: NyquistMtf = ...,
    psf: BandPsf = ...,
    reflectance: str = ...,
    spectral: str = ...,
    at: Level = ...,
    max_shift: float = ...,
    border: int = ...,
) -> xr.DataTree: ...


def consistency(
    lr: Image | xr.DataTree,
    sr: Image | xr.DataTree | Mapping[str, Image | xr.DataTree],
    *,
    operator: SeenBy = "psf",
    mtf: NyquistMtf = None,
    psf: BandPsf = None,
    reflectance: str = "l1",
    spectral: str = "sad",
    at: Level = "image",
    max_shift: float = 5.0,
    border: int = 0,
) -> xr.Dataset | xr.DataTree:
    """Compare SR, seen again by the sensor of LR, with LR itself.

    lr, sr: (time?, band, y, x) reflectance, NaN is nodata; a pixel of LR is a whole number of pixels of SR along each
        axis. Bands are matched by name. sr: one cube, or several by name, for a dimension `model`.
        lr may be a DataTree with a node for each pixel size, such as r10m and r20m: each band of SR is compared with
        LR's at the finest node that has it; bands whose pixels SR has as they are, as `fuse` returns the 10 m bands,
        are left out. sr is then one cube with bands of all of them, as `upscale` returns it, or a tree too, of which
        the node of the same path is taken.
        lr may hold DN, as `upscale` takes them: what they mean is read from the metadata, or from what `set_radiometry`
        wrote.
    operator: "psf" sees SR through the point spread function of each band, a Gaussian, at the band's own pixels: 20 m
        bands on a 10 m grid are compared at 20 m. The right image agrees with what the sensor measured, up to noise.
        "block" averages SR under a triangle two LR pixels wide, as the literature does. The right image fails that: at
        the Nyquist frequency the mean of a pixel passes 0.64, the sensor 0.22 to 0.38.
    mtf: of operator "psf", the transfer at the Nyquist frequency of a band's own pixels: one number, or a dict by band;
        None or "published" is Sentinel-2's. Bands of other sensors need it, or psf.
    psf: of operator "psf", in place of mtf, as in kriging: the standard deviation of a Gaussian in pixels of the band,
        or in meters ("5.3 m"); a (y, x) array of weights, one per pixel of SR; or a dict of these by band, others
        having the Gaussian of Sentinel-2's MTF.
    reflectance, spectral: distances, see `correctness`; taken per pixel of LR. at: "image", their means per date;
        "pixel", maps on the grid of LR; or the side of patches in pixels of LR.
    max_shift: the longest reliable shift, in pixels of LR. border: pixels of SR at the edges that do not count.

    Returns a Dataset, lazy if an input is: `reflectance`, in units of its distance; `spectral`, degrees for "sad", and
    absent for a single band; `spatial`, the length of the shift from SR to LR per date, in pixels of LR, NaN where
    images are too smooth or too different to estimate it. An LR pixel of whose weight less than half is valid does not
    count. Where lr is a DataTree, so is the result: a Dataset at each node with bands of SR.
    Raises GridError, CubeError, MissingBandError; RadiometryError for DN of which the offset is not known; OptionError,
    also for a band whose MTF is not known.
    """
    seen = check_operator(operator, mtf, psf)
    at = check_level(at)
    border = check_whole("border", border, least=0, unit="pixels")

    def on_one_grid(coarse: ImageSeries, fine: Any) -> xr.Dataset:
        def of_one(fine: ImageSeries) -> xr.Dataset:
            return agree(coarse, fine, reflectance, spectral, at, max_shift, border, seen)

        return for_each_model(fine, of_one, coarse)

    return _by_node(lr, sr, on_one_grid) if isinstance(lr, xr.DataTree) else on_one_grid(read(lr, "LR"), sr)


def _by_node(lr: xr.DataTree, sr: Any, measure: Callable[[ImageSeries, Any], xr.Dataset]) -> xr.DataTree:
    """Measure each node of a tree with bands of SR that no node of smaller pixels has; a tree of the results.

    Raises CubeError and others, which name the node; MissingBandError where no node has a band of SR.
    """
    cubes = cubes_of(lr) or {"/": recognize(lr)}  # whose error says what is there instead
    known: set[Hashable] = set()
    made: dict[str, xr.Dataset] = {}
    as_fine: list[tuple[ImageSeries, Any]] = []
    there: dict[str, list[str]] = {}
    for path, cube in sorted(cubes.items(), key=lambda found: abs(found[1].geobox.affine.determinant)):
        try:
            coarse, fine = read(cube.source, "LR"), _at_node(sr, path)
            there[path] = [key for key in map(str, coarse.keys) if key not in known]
            ours = _keys_of(fine)
            if shared := [key for key in coarse.keys if key not in known and key in ours]:
                if _as_fine(coarse, fine):  # what `fuse` passes on: LR is no coarser view of it
                    as_fine.append((coarse.select(shared), fine))
                else:
                    made[path] = measure(coarse.select(shared), fine)
        except (CubeError, OptionError, RadiometryError) as error:
            raise type(error)(f"node {path!r} of lr: {error}") from error
        known.update(coarse.keys)
    if not made and as_fine:
        measure(*as_fine[0])  # raises that the cubes are swapped or of equal resolution
    if not made:
        raise MissingBandError(f"SR has no band of a node of lr at that node; lr has {there}. Pass what was upscaled.")
    return xr.DataTree.from_dict(made)


def _as_fine(coarse: ImageSeries, sr: Any) -> bool:
    """Return whether LR has the pixels of SR, or of the first of several."""
    first = next(iter(sr.values())) if isinstance(sr, Mapping) and not isinstance(sr, xr.Dataset) else sr
    fine = read(first, "SR")
    return fine.shape == coarse.shape and fine.geobox == coarse.geobox


def _at_node(sr: Any, path: str) -> Any:
    """Return SR for a node of LR: of a tree the node of the same path, None without."""
    if isinstance(sr, xr.DataTree):
        node = sr if path == "/" else next((each for each in sr.subtree if each.relative_to(sr) == path), None)
        return node_dataset(node) if node is not None and node.data_vars else None
    if isinstance(sr, Mapping) and not isinstance(sr, xr.Dataset):
        found = {name: _at_node(each, path) for name, each in sr.items()}
        return None if any(each is None for each in found.values()) else found
    return sr


def _keys_of(sr: Any) -> set[Hashable]:
    """Return the bands of one cube, or of the first of several; none of None."""
    if isinstance(sr, Mapping) and not isinstance(sr, xr.Dataset):
        sr = next(iter(sr.values()), None)
    return set() if sr is None else set(read(sr, "SR").keys)


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
    found, _ = distances(triple, ((distance, "om"),), support)
    return mean_added(triple, found, at)


def mean_added(triple: Triple, found: da.Array, at: Level) -> xr.DataArray:
    """Return synthesis from the distances of SR to the upsampled LR, (time, 1, y, x)."""
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
    seen: ObservationOperator,
) -> xr.Dataset:
    """Measure consistency of two scenes; always lazy. Arguments as in `consistency`."""
    named, layout, coarse, down = on_lr_grid(lr, sr, at, border, seen)
    metrics: dict[str, tuple[Metric, dict[str, Any]]] = {}
    for name, distance in (("reflectance", reflectance), ("spectral", spectral)):
        chosen = find_distance(distance)
        if distance == "sad" and len(named.keys) == 1:
            continue
        formula = Formula(_per_pixel, mean, halo=chosen.halo, bands="pixels")
        metrics[name] = (replace(METRICS[name], unit=chosen.units, formula=formula), {"distance": distance})
    images = [coarse, down]
    if at == "image":
        made = measure_several(named, images, layout, metrics)
    else:
        made = {
            name: measure_blocks(named, images, layout, metric, at=at, **options)
            for name, (metric, options) in metrics.items()
        }
    shifts = measure_shifts(down, coarse, max_shift)
    lengths = da.where(shifts[:, 3] > 0, da.hypot(shifts[:, 0], shifts[:, 1]), np.nan)
    made["spatial"] = named.wrap(lengths, ("time",), name="spatial", attrs=METRICS["spatial"].attrs)
    return xr.Dataset(made, attrs={"scale": sr.shape[0] // lr.shape[0], "operator": seen.kind})


def on_lr_grid(
    lr: ImageSeries, sr: ImageSeries, at: Level, border: int, operator: ObservationOperator
) -> tuple[ImageSeries, Layout, da.Array, da.Array]:
    """Return LR with the dates of the result, the layout of its grid, and LR and SR on it, (time, band, y, x)."""
    sr, lr = together(sr, lr)
    scale = scale_of(lr, sr)
    layout = Layout.of(*sr.shape, multiple=scale * (at if isinstance(at, int) else 1)).coarser(scale)
    by_psf = operator.kind == "psf"
    measured, seen = seen_again(lr, sr, scale, operator) if by_psf else (lr.data, averaged_back(sr, scale))
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
