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
from ..registration.filters import moved_along
from ..registration.warping import RADIUS, warp
from ..simulate.resample import upsample
from .distances import MTF_SIDE, Distance, find_distance, frame_of, mean, mtf_patch
from .inputs import ImageSeries, scale_of, together
from .matching import Spectral, apply_map, shift_map, spectral_map
from .reduce import STRIP, FloatArray, Input, Layout, Level, by_patch, map_images, trimmed

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
    """The work of a block.

    pairs: which distance of which two. support: on what distances are taken. halo, reach: HR pixels of context of HR
    and of SR; lr_reach: LR pixels of LR.
    """

    pairs: tuple[tuple[str, DistanceName], ...]
    support: Level
    scale: int
    halo: int
    reach: int
    lr_reach: int
    mapped: bool
    shifted: bool

    @property
    def first(self) -> str:
        """The distance of the first pair: of all, where the support is no pixel."""
        return self.pairs[0][0]


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
    check_border(border, layout.shape, role)
    rows, columns = (
        da.from_array((np.arange(side) >= border) & (np.arange(side) < side - border), chunks=(cuts,))
        for side, cuts in ((height, layout.rows), (width, layout.columns))
    )
    cut: da.Array = da.where(rows[:, None] & columns, layout.cut(data), data.dtype.type(np.nan))
    return cut


def check_border(border: int, shape: tuple[int, int], role: str) -> None:
    """Raise OptionError where a border leaves nothing of a scene."""
    height, width = shape
    if border and 2 * border >= min(height, width):
        raise OptionError(f"border={border} leaves nothing of {role}, {height} x {width} pixels; pass border=0.")


def distances(triple: Triple, pairs: tuple[tuple[str, DistanceName], ...], support: Level) -> tuple[da.Array, Layout]:
    """Measure distances between pairs of the three: (time, pair, y, x) and how it is cut.

    pairs: the distance of each, one for all unless support is "pixel". float32 with the pixels of HR for support
    "pixel"; one number a patch for a side; one number for "image".
    """
    names = {name for name, _ in pairs}
    assert support == "pixel" or len(names) == 1
    if "mtf" in names and support == "pixel":
        raise OptionError("'mtf' has no value for a single pixel; pass the side of patches, such as support=32.")
    if "sad" in names and len(triple.sr.keys) == 1:
        raise OptionError("'sad' is an angle between spectra, and there is one band only; take 'l1' or 'nd'.")
    halo = max(_distance(name).halo for name in names)
    patch = support if isinstance(support, int) else MTF_SIDE if "mtf" in names else 1
    layout = triple.layout(patch)
    if patch > min(layout.shape):
        raise GridError(f"patches of {patch} pixels are larger than the scene, {layout.shape[0]} x {layout.shape[1]}.")
    reach = halo + (math.ceil(triple.max_shift) + RADIUS if triple.shift is not None else 0)
    lr_reach = math.ceil(reach / triple.scale) + 1
    mapped, shifted = triple.table is not None, triple.shift is not None
    recipe = PairTask(pairs, support, triple.scale, halo, reach, lr_reach, mapped, shifted)
    coarse = layout.coarser(triple.scale)
    inputs: list[Input] = [
        (coarse.wider(triple.lr.data, lr_reach, fill="nearest"), "tbyx"),
        (layout.wider(triple.sr.data, reach), "tbyx"),
        (layout.wider(triple.hr, halo), "tbyx"),
    ]
    inputs += [(triple.table, "tblv")] if triple.table is not None else []
    inputs += [(triple.shift, "ts")] if triple.shift is not None else []
    if support == "image":
        name = recipe.first
        new = {"p": len(pairs), "f": _distance(name).fields + 1}
        sums = map_images(_sums, inputs, "tpfyx", layout.one_each(), new=new, recipe=recipe)
        total = sums.sum(axis=(3, 4), keepdims=True, split_every=16)
        values = da.map_blocks(_of_image, total, name=None, distance=name, drop_axis=2, dtype=np.float64)
        return values, Layout((1,), (1,))
    if support == "pixel":
        new = {"p": len(pairs)}
        return map_images(_pixels, inputs, "tpyx", layout, new=new, dtype=np.float32, recipe=recipe), layout
    out = layout.coarser(patch)
    return map_images(_of_patches, inputs, "tpyx", out, new={"p": len(pairs)}, recipe=recipe), out


def _distance(name: str) -> Distance:
    return Distance("mtf", "1", _nothing, mean) if name == "mtf" else find_distance(name)


def _nothing(x: FloatArray, y: FloatArray) -> FloatArray:
    raise AssertionError("mtf has no pixels")


def _of_image(sums: FloatArray, *, distance: str) -> FloatArray:
    """Finish sums (1, pair, field + 1, 1, 1) of a whole image."""
    fields = np.moveaxis(sums, 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _distance(distance).finish(fields[:-1] / fields[-1])


def _pixels(*blocks: FloatArray, recipe: PairTask) -> FloatArray:
    """Return the distances of the pixels of a block: (1, pair, y, x)."""
    lr, sr, hr, *maps = (block[0] for block in blocks)
    halo = recipe.halo
    shape = (1, len(recipe.pairs), *(side - 2 * halo for side in hr.shape[-2:]))
    # Nothing counts in the border, where HR is NaN: that part of the work is left out.
    frame = frame_of(np.isfinite(hr)) if not halo else whole_of(hr)
    values = np.full(shape, np.nan, np.float32)
    if frame[0].start == frame[0].stop:
        return values
    images = _harmonized(lr, sr, hr, *maps, recipe=recipe, frame=frame)
    inner = values[..., frame[0], frame[1]] if not halo else values
    # What a strip makes fits into a cache, unless a distance has context.
    rows = inner.shape[-2] if halo else STRIP // (images[0].shape[0] * inner.shape[-1]) or 1
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, inner.shape[-2], rows):
            members = _members(tuple(image[..., start : start + rows + 2 * halo, :] for image in images))
            for place, (name, pair) in enumerate(recipe.pairs):
                distance = _distance(name)
                one, other = (trimmed(image, halo - distance.halo) for image in members[pair])
                inner[0, place, start : start + rows] = distance.finish(distance.per_pixel(one, other))
    return values


def _of_patches(*blocks: FloatArray, recipe: PairTask) -> FloatArray:
    """Return the distances of the patches of a block: (1, pair, y, x)."""
    fields = _fields(*(block[0] for block in blocks), recipe=recipe)
    if recipe.first != "mtf":
        assert isinstance(recipe.support, int)
        counts = np.isfinite(fields[0]).all(axis=0)
        sums = by_patch(np.where(counts, fields, 0.0), recipe.support)
        with np.errstate(divide="ignore", invalid="ignore"):
            fields = sums / by_patch(counts.astype(np.float64), recipe.support)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _distance(recipe.first).finish(np.moveaxis(fields, 1, 0))[None]


def _sums(*blocks: FloatArray, recipe: PairTask) -> FloatArray:
    """Sum the fields of a block, and count them: (1, pair, field + 1, 1, 1)."""
    fields = _fields(*(block[0] for block in blocks), recipe=recipe)
    counts = np.isfinite(fields).all(axis=1, keepdims=True)
    both = np.concatenate([np.where(counts, fields, 0.0), counts], axis=1)
    return np.asarray(both.sum(axis=(-2, -1), keepdims=True))[None]


def _fields(lr: FloatArray, sr: FloatArray, hr: FloatArray, *maps: FloatArray, recipe: PairTask) -> FloatArray:
    """Return the fields of the distance for each pair: (pair, field, y, x), of patches for "mtf"."""
    members = _members(_harmonized(lr, sr, hr, *maps, recipe=recipe, frame=whole_of(hr)))
    with np.errstate(divide="ignore", invalid="ignore"):
        if recipe.first != "mtf":
            return np.stack([_distance(name).per_pixel(*members[pair]) for name, pair in recipe.pairs])
        side = recipe.support if isinstance(recipe.support, int) else MTF_SIDE
        return np.stack([_patches(*members[pair], side, recipe.scale)[None] for _, pair in recipe.pairs])


def _members(images: tuple[FloatArray, ...]) -> dict[DistanceName, tuple[FloatArray, FloatArray]]:
    low, fine, true = images
    # In this order SR = HR makes "om" what "ref" is, for the distances that are not symmetric too.
    return {"ref": (low, true), "im": (fine, true), "om": (low, fine)}


def whole_of(image: FloatArray) -> tuple[slice, slice]:
    """Return all rows and columns."""
    return slice(0, image.shape[-2]), slice(0, image.shape[-1])


def _harmonized(
    lr: FloatArray, sr: FloatArray, hr: FloatArray, *maps: FloatArray, recipe: PairTask, frame: tuple[slice, slice]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return upsampled LR, SR and HR, NaN in all where it is in one of them; of HR's rows and columns `frame`."""
    dy, dx = map(float, maps[-1]) if recipe.shifted else (0.0, 0.0)
    margin = math.ceil(max(abs(dy), abs(dx))) + RADIUS if dy or dx else 0
    extra = recipe.reach - recipe.halo  # of SR around HR
    spans = [(side.start + extra - margin, side.stop + extra + margin) for side in frame]
    images = np.empty((2, sr.shape[0], *(stop - start for start, stop in spans)))
    images[0] = _upsampled(lr, spans, recipe)
    images[1] = sr[..., slice(*spans[0]), slice(*spans[1])]
    if recipe.mapped:
        for image in images:
            image[...] = apply_map(maps[0], image)
    if margin:
        images = moved_by(images, dy, dx, margin)
    low, fine = images
    true = hr[..., frame[0], frame[1]].astype(np.float64)
    valid = np.isfinite(low + fine + true).all(axis=0)
    if not valid.all():
        low, fine, true = (np.where(valid, image, np.nan) for image in (low, fine, true))
    return low, fine, true


def _upsampled(lr: FloatArray, spans: list[tuple[int, int]], recipe: PairTask) -> FloatArray:
    """Upsample LR to rows and columns of the pixels that SR has in its block."""
    scale = recipe.scale
    ahead = recipe.lr_reach * scale - recipe.reach  # HR pixels that LR's block begins before SR's
    parts, inner = [], []
    for (start, stop), side in zip(spans, lr.shape[-2:], strict=True):
        first, last = max((start + ahead) // scale - 1, 0), min(-(-(stop + ahead) // scale) + 1, side)
        parts.append(slice(first, last))
        inner.append(slice(start + ahead - first * scale, stop + ahead - first * scale))
    fine = upsample(lr[..., parts[0], parts[1]].astype(np.float64), scale)
    return fine[..., inner[0], inner[1]]


def moved_by(images: FloatArray, dy: float, dx: float, margin: int) -> FloatArray:
    """Move (..., y, x) by (dy, dx) as `warp` does, and cut off the `margin` pixels on each side that it needs."""
    if not np.isfinite(images).all():
        return np.stack([trimmed(warp(image, dy, dx), margin) for image in images])
    height, width = (side - 2 * margin for side in images.shape[-2:])
    return moved_along(moved_along(images, dy, height, axis=-2), dx, width, axis=-1)


def _patches(one: FloatArray, other: FloatArray, side: int, scale: int) -> FloatArray:
    rows, columns = (range(0, length, side) for length in one.shape[-2:])
    cuts = [[(..., slice(y, y + side), slice(x, x + side)) for x in columns] for y in rows]
    return np.array([[mtf_patch(one[cut], other[cut], scale=scale) for cut in row] for row in cuts])
