"""Compare LR, SR and HR pairwise, block by block, on one grid and harmonized.

Returns distances on the HR grid, per pixel, patch or image; `improvement` interprets them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import dask.array as da
import numpy as np

from ..arguments import check_number, check_whole, is_one_of
from ..errors import GridError, OptionError
from ..registration.warping import RADIUS, warp
from ..simulate.resample import upsample
from .distances import MTF_SIDE, Distance, find_distance, mean, mtf_patch
from .inputs import ImageSeries, scale_of, together
from .matching import Spectral, apply_map, shift_map, spectral_map
from .reduce import FloatArray, Input, Layout, Level, by_patch, map_images, trimmed

DistanceName = Literal["ref", "im", "om"]
"""ref: upsampled LR against HR; im: SR against HR; om: upsampled LR against SR."""


@dataclass(frozen=True, eq=False)
class Triple:
    """Three scenes of the same bands and dates, and what harmonizes them.

    hr: (time, band, y, x), NaN in the border too. table: values of SR and LR to those of HR, or None. shift: (time, 2)
    of `matching.shift_map`, or None. scale: HR pixels per LR pixel. max_shift: in HR pixels.
    """

    lr: ImageSeries
    sr: ImageSeries
    hr: da.Array
    scale: int
    table: da.Array | None
    shift: da.Array | None
    max_shift: float

    def layout(self, multiple: int = 1) -> Layout:
        """Cut the ground into blocks of whole LR pixels: the layout of the HR grid."""
        return Layout.of(*self.sr.shape, multiple=math.lcm(self.scale, multiple))


@dataclass(frozen=True)
class PairTask:
    """The work of a block. support: on what a distance is taken. reach: HR pixels of context; lr_reach: LR pixels."""

    distance: str
    pairs: tuple[DistanceName, ...]
    support: Level
    scale: int
    reach: int
    lr_reach: int
    mapped: bool
    shifted: bool


def bring_together(
    lr: ImageSeries,
    sr: ImageSeries,
    hr: ImageSeries | None,
    *,
    harmonize: Spectral,
    align: bool,
    max_shift: float,
    border: int,
) -> Triple:
    """Match bands, dates and grids, and estimate lazily what harmonizes the three.

    hr: None compares SR with LR only, and nothing is harmonized. border: HR pixels at the scene's edges that do not
    count. Raises CubeError, GridError, MissingBandError, OptionError.
    """
    if not is_one_of(harmonize, ("histogram", "linear", None)):
        raise OptionError(f"harmonize={harmonize!r}: expected 'histogram', 'linear' or None.")
    max_shift = check_number("max_shift", max_shift, above=0, most=32)
    border = check_whole("border", border, least=0, unit="pixels")
    sr, lr, *rest = together(*((sr, lr) if hr is None else (sr, lr, hr)))
    reference = sr if hr is None else rest[0]
    scale = scale_of(lr, sr, None if hr is None else reference)
    layout = Layout.of(*sr.shape, multiple=scale)
    true = inside(layout.cut(reference.data), border, layout, sr.role)
    table = shift = None
    if hr is not None:
        table = spectral_map(sr, true, layout, harmonize, scale)
        if align:
            shift = shift_map(sr, true, max_shift)
    return Triple(lr, sr, true, scale, table, shift, max_shift)


def inside(data: da.Array, border: int, layout: Layout, role: str) -> da.Array:
    """Set what lies within `border` pixels of the scene's edges to NaN."""
    if not border:
        return data
    height, width = layout.shape
    if 2 * border >= min(height, width):
        raise OptionError(f"border={border} leaves nothing of {role}, {height} x {width} pixels; pass border=0.")
    rows, columns = (
        da.from_array((np.arange(side) >= border) & (np.arange(side) < side - border), chunks=(cuts,))
        for side, cuts in ((height, layout.rows), (width, layout.columns))
    )
    cut: da.Array = da.where(rows[:, None] & columns, layout.cut(data), data.dtype.type(np.nan))
    return cut


def distances(triple: Triple, name: str, pairs: tuple[DistanceName, ...], support: Level) -> tuple[da.Array, Layout]:
    """Measure distances between pairs of the three: (time, pair, y, x) and how it is cut.

    float32 with the pixels of HR for support "pixel"; one number a patch for a side; one number for "image".
    """
    if name == "mtf" and support == "pixel":
        raise OptionError("'mtf' has no value for a single pixel; pass the side of patches, such as support=32.")
    if name == "sad" and len(triple.sr.keys) == 1:
        raise OptionError("'sad' is an angle between spectra, and there is one band only; take 'l1' or 'nd'.")
    distance = _distance(name)
    patch = support if isinstance(support, int) else MTF_SIDE if name == "mtf" else 1
    layout = triple.layout(patch)
    if patch > min(layout.shape):
        raise GridError(f"patches of {patch} pixels are larger than the scene, {layout.shape[0]} x {layout.shape[1]}.")
    moving = math.ceil(triple.max_shift) + RADIUS if triple.shift is not None else 0
    reach = distance.halo + moving
    lr_reach = math.ceil(reach / triple.scale) + 1
    recipe = PairTask(
        name, pairs, support, triple.scale, reach, lr_reach, triple.table is not None, triple.shift is not None
    )
    coarse = layout.coarser(triple.scale)
    inputs: list[Input] = [
        (coarse.wider(triple.lr.data, lr_reach, fill="nearest"), "tbyx"),
        (layout.wider(triple.sr.data, reach), "tbyx"),
        (layout.wider(triple.hr, distance.halo), "tbyx"),
    ]
    inputs += [(triple.table, "tblv")] if triple.table is not None else []
    inputs += [(triple.shift, "ts")] if triple.shift is not None else []
    if support == "image":
        new = {"p": len(pairs), "f": distance.fields + 1}
        sums = map_images(_sums, inputs, "tpfyx", layout.one_each(), new=new, recipe=recipe)
        total = sums.sum(axis=(3, 4), keepdims=True, split_every=16)
        values = da.map_blocks(_of_image, total, name=None, distance=name, drop_axis=2, dtype=np.float64)
        return values, Layout((1,), (1,))
    out = layout if support == "pixel" else layout.coarser(patch)
    kind = np.float32 if support == "pixel" else np.float64
    values = map_images(_values, inputs, "tpyx", out, new={"p": len(pairs)}, dtype=kind, recipe=recipe)
    return values, out


def _distance(name: str) -> Distance:
    return Distance("mtf", "1", _nothing, mean) if name == "mtf" else find_distance(name)


def _nothing(x: FloatArray, y: FloatArray) -> FloatArray:
    raise AssertionError("mtf has no pixels")


def _of_image(sums: FloatArray, *, distance: str) -> FloatArray:
    """Finish sums (1, pair, field + 1, 1, 1) of a whole image."""
    fields = np.moveaxis(sums, 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _distance(distance).finish(fields[:-1] / fields[-1])


def _values(*blocks: FloatArray, recipe: PairTask) -> FloatArray:
    """Return the distances of pixels or patches of a block: (1, pair, y, x)."""
    fields = _fields(*(block[0] for block in blocks), recipe=recipe)
    patch, name = recipe.support, recipe.distance
    if isinstance(patch, int) and name != "mtf":
        counts = np.isfinite(fields[0]).all(axis=0)
        sums = by_patch(np.where(counts, fields, 0.0), patch)
        with np.errstate(divide="ignore", invalid="ignore"):
            fields = sums / by_patch(counts.astype(np.float64), patch)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _distance(name).finish(np.moveaxis(fields, 1, 0))[None]
    return values.astype(np.float32) if patch == "pixel" else values


def _sums(*blocks: FloatArray, recipe: PairTask) -> FloatArray:
    """Sum the fields of a block, and count them: (1, pair, field + 1, 1, 1)."""
    fields = _fields(*(block[0] for block in blocks), recipe=recipe)
    counts = np.isfinite(fields).all(axis=1, keepdims=True)
    both = np.concatenate([np.where(counts, fields, 0.0), counts], axis=1)
    return np.asarray(both.sum(axis=(-2, -1), keepdims=True))[None]


def _fields(lr: FloatArray, sr: FloatArray, hr: FloatArray, *maps: FloatArray, recipe: PairTask) -> FloatArray:
    """Return the fields of the distance for each pair: (pair, field, y, x), of patches for "mtf"."""
    distance = _distance(recipe.distance)
    images = _harmonized(lr, sr, hr, *maps, recipe=recipe, halo=distance.halo)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, fine, true = images
        # In this order SR = HR makes "om" what "ref" is, for the distances that are not symmetric too.
        members = {"ref": (low, true), "im": (fine, true), "om": (low, fine)}
        if recipe.distance != "mtf":
            return np.stack([distance.per_pixel(*members[pair]) for pair in recipe.pairs])
        side = recipe.support if isinstance(recipe.support, int) else MTF_SIDE
        return np.stack([_patches(*members[pair], side, recipe.scale)[None] for pair in recipe.pairs])


def _harmonized(
    lr: FloatArray, sr: FloatArray, hr: FloatArray, *maps: FloatArray, recipe: PairTask, halo: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return upsampled LR, SR and HR with `halo` pixels around the block, NaN in all where it is in one of them."""
    images = [trimmed(upsample(lr.astype(np.float64), recipe.scale), recipe.lr_reach * recipe.scale - recipe.reach)]
    images.append(sr.astype(np.float64))
    if recipe.mapped:
        images = [apply_map(maps[0], image) for image in images]
    if recipe.shifted:
        dy, dx = maps[-1]
        if dy or dx:
            images = [warp(image, float(dy), float(dx)) for image in images]
    low, fine = (trimmed(image, recipe.reach - halo) for image in images)
    true = hr.astype(np.float64)
    valid = np.isfinite(low + fine + true).all(axis=0)
    if not valid.all():
        low, fine, true = (np.where(valid, image, np.nan) for image in (low, fine, true))
    return low, fine, true


def _patches(one: FloatArray, other: FloatArray, side: int, scale: int) -> FloatArray:
    rows, columns = (range(0, length, side) for length in one.shape[-2:])
    cuts = [[(..., slice(y, y + side), slice(x, x + side)) for x in columns] for y in rows]
    return np.array([[mtf_patch(one[cut], other[cut], scale=scale) for cut in row] for row in cuts])
