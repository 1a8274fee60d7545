"""Join the dates of one window of time: what the tasks of `multiframe` run. Arrays, no cubes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..kernels import BandSensor
from ..kernels.fill import fill
from ..kernels.kriging_filters import Doubles
from ..registration.series import widened
from ..registration.warping import FloatArray
from ..spec import Tile
from ..tiling.source import Source
from . import series_weights
from .readers import trim
from .series_holes import (
    AROUND,
    BESIDE,
    SeenDates,
    box_of,
    completed,
    moved_to_reference,
    seen_from,
    shown_instead,
    stand_ins,
)

DOWN, RIGHT, QUALITY, WEIGHT, FIRST = 0, 1, 2, 3, 4
"""Numbers of a date in a region, along the last axis of a table; from FIRST on the gains of all bands, then their
offsets. DOWN, RIGHT: of the content, relative to the reference, in input pixels."""

ASSUMED = 0.0
"""Quality of a date that was compared with an anchor only, of which it is not known where it lies. Of a date that was
compared with the reference it is more."""

FILLED = 4
"""Input pixels that holes of a date are filled inwards, so that kriging near them has something to read."""


@dataclass(frozen=True)
class DatesRecipe:
    """How the dates of a block are read, and brought to the reference.

    bands, dates: their numbers, the reference first. most: dates beside the reference that are joined, the first ones
    that count. rows, columns: edges of the regions, in input pixels. max_shift: longest shift, in input pixels. margin:
    input pixels around its own that an output pixel depends on, in each date after its whole pixels of shift. filled:
    input pixels that holes of a date are filled inwards. same_pass: for each date, those before it of one overpass,
    whose pixels it may repeat.
    """

    bands: int
    dates: int
    most: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    max_shift: float
    margin: int
    filled: int
    same_pass: tuple[tuple[int, ...], ...]

    @property
    def context(self) -> int:
        """Input pixels around a block that its dates are read with: the margin, and the longest shift."""
        return self.margin + math.ceil(self.max_shift + 0.5)

    @property
    def reach(self) -> int:
        """Input pixels around a block that it depends on: holes are filled from beyond the context."""
        return self.context + self.filled


@dataclass(frozen=True)
class SeriesRecipe(DatesRecipe):
    """How a block of several dates is computed by kriging.

    sensors: of the bands. factors: by which their deviations are multiplied, as in `Spread`. device: as `upscale` takes
    it. nearness: rank in time of each date beside the reference, 0 the nearest, for those that stand in for it.
    """

    sensors: tuple[BandSensor, ...]
    factors: tuple[tuple[float, float, float], ...]
    device: str
    nearness: tuple[int, ...]

    @property
    def scale(self) -> int:
        """Output pixels per input pixel."""
        return self.sensors[0].observation.scale


def join_block(source: Source, tile: Tile, recipe: SeriesRecipe) -> FloatArray:
    """Compute one block: (plane, height * scale, width * scale), estimates, deviations, dates that count, and weights.

    These are one plane a band, one a band, one, and those that `series_weights` writes for all dates.
    source: stack 0 holds the bands of each date, the reference first; stack 1, if present, a mask for each, True where
    values are kept; the table what was measured. NaN where no date is valid.
    """
    out = joined(source, tile, recipe)
    np.copyto(out[: recipe.bands], np.float32(np.nan), where=np.isnan(out[recipe.bands : 2 * recipe.bands]))
    return out


def joined(source: Source, tile: Tile, recipe: SeriesRecipe, around: int = 0) -> FloatArray:
    """Join the dates with `around` input pixels on each side, as `join_block`; estimates even if no date is valid."""
    scale = recipe.scale
    height, width = ((side + 2 * around) * scale for side in (tile.height, tile.width))
    out: FloatArray | None = None
    count = 2 * recipe.bands
    for inner, part, weights, known in parts(source, tile, recipe, around):
        planes: FloatArray = part.planes
        if not known.all():
            np.copyto(part.std, np.float32(np.nan), where=~known.repeat(scale, axis=-2).repeat(scale, axis=-1))
        total = np.where(known.any(axis=0), weights.sum(axis=0), 0)
        planes[count] = total.repeat(scale, axis=-2).repeat(scale, axis=-1)
        series_weights.write(weights, planes[count + 1 :])
        if planes.shape[-2:] == (height, width):
            return planes
        out = np.empty((len(planes), height, width), np.float32) if out is None else out
        rows, columns = (slice(each.start * scale, each.stop * scale) for each in inner)
        out[:, rows, columns] = planes
    assert out is not None
    return out


def read_dates(source: Source, recipe: DatesRecipe, halo: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Read all dates of a tile with a halo, (date, band, y, x), holes filled inwards; and where they are valid."""
    steps = recipe.filled
    dates = np.asarray(source.take(halo + steps), np.float32)
    dates = dates.reshape(recipe.dates, recipe.bands, *dates.shape[-2:])
    # In place, and below too: the dates of a block are most of the memory of its task.
    valid = np.isfinite(dates)
    if source.has(1):
        valid &= source.take(halo + steps, 1).astype(bool)[:, None]
    np.copyto(dates, np.float32(np.nan), where=~valid)
    return trim(fill(dates, steps=steps), steps), trim(valid, steps)


def parts(source: Source, tile: Tile, recipe: SeriesRecipe, around: int = 0) -> Iterator[tuple[Any, ...]]:
    """Join a block region by region: where it lies in the tile, what was joined, and the weights of dates.

    around: input pixels on each side of the tile that are joined too.
    Yields (rows, columns) in input pixels from the first that is joined, the planes of `joined`, of which those after
    the deviations are still empty, the weights (date, y, x), and where bands are known.
    """
    inner = (slice(recipe.margin, -recipe.margin),) * 2
    for place, seen in aligned_parts(source, tile, recipe, around):
        images = seen.reference, seen.others, seen.beside(kernels.UPDATE_RADIUS)
        holes = not seen.measured[:, *inner].all()
        own = SeenDates(seen.dates, *(trim(each, BESIDE) for each in images))
        own = replace(own, others=own.others.copy()) if holes else own  # read again to fill them
        part = _joined(recipe, own, 1 + series_weights.planes_for(recipe.dates, recipe.scale))
        weights = np.zeros((recipe.dates, *part.weights.shape[1:]), np.float32)
        weights[0] = seen.valid[inner]
        for number, date in enumerate(seen.counted):
            weight = part.weights[number] * seen.dates[number].weight
            weights[date + 1] = np.where(seen.shown[number][inner], np.float32(1), weight)
        if holes:
            _fill_holes(recipe, seen, part.planes, weights)
        yield place, part, weights, seen.known[:, *inner]


def _joined(recipe: SeriesRecipe, seen: SeenDates, spare: int = 0) -> kernels.SeriesResult:
    """Join dates, of which all but the reference are overwritten; spare: planes of the result that are left empty."""
    made_of = recipe.sensors, seen.dates, recipe.factors, recipe.device
    return kernels.join_dates(made_of, seen.reference, seen.others, seen.visible, spare)


def _fill_holes(recipe: SeriesRecipe, seen: AlignedDates, planes: FloatArray, weights: FloatArray) -> None:
    """Write what the other dates give where the reference was not measured into what was joined, and their weights."""
    inner = (slice(recipe.margin, -recipe.margin),) * 2
    hole, scale = ~seen.measured[:, *inner], recipe.scale
    nearness = [recipe.nearness[date] for date in seen.counted]
    for number, where in stand_ins(np.asarray(hole.any(axis=0)), seen.visible[:, *inner], seen.dates, nearness):
        rows, columns = box_of(where)
        area = tuple(slice(each.start, each.stop + 2 * recipe.margin) for each in (rows, columns))
        own, rest = seen_from(number, seen.dates, seen.others[:, :, *area], seen.visible[:, *area])
        found = _joined(recipe, own)
        moved = moved_to_reference(found.planes, recipe.bands, seen.dates[number].part, scale)
        fine = tuple(slice(each.start * scale, each.stop * scale) for each in (rows, columns))
        filled = np.tile(hole[:, rows, columns] & where[rows, columns], (2, 1, 1))
        np.copyto(planes[: 2 * recipe.bands, *fine], moved, where=filled.repeat(scale, axis=-2).repeat(scale, axis=-1))
        weights[seen.counted[number] + 1, rows, columns][where[rows, columns]] = 1
        for date, counted in zip(rest, trim(found.weights, AROUND), strict=True):
            weight = counted * seen.dates[date].weight
            np.copyto(weights[seen.counted[date] + 1, rows, columns], weight, where=where[rows, columns])


@dataclass(frozen=True, eq=False)
class AlignedDates:
    """Dates of one part of a block, in the brightness of the reference, moved to it by whole pixels.

    All have `margin` pixels around the part. counted: numbers of the dates beside the reference that are joined, from
    0, and dates: what is known of these. reference, known: (band, y, x), holes filled from others, and where that is
    so or nothing was to fill; measured: (band, y, x), where it shows itself or an anchor, and was not filled. valid:
    (y, x), where the reference itself is, in all bands. others: (date, band, y, x). visible: (date, y, x), where these
    are valid in all bands, except where they are the anchor that is shown instead of the reference: shown. own: (y, x),
    where the reference itself is, in any band. assumed: whether it is not known where the date lies. None of the images
    holds NaN.
    """

    counted: tuple[int, ...]
    dates: tuple[kernels.SeriesDate, ...]
    reference: FloatArray
    known: NDArray[np.bool_]
    measured: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    others: FloatArray
    visible: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    own: NDArray[np.bool_]
    assumed: tuple[bool, ...]

    def beside(self, steps: int) -> NDArray[np.bool_]:
        """Return where dates count beside what is shown, (date, y, x).

        Those of which it is not known where they lie do not within `steps` pixels of the reference's own.
        """
        if not (any(self.assumed) and self.own.any()):
            return self.visible
        apart = np.array(self.assumed)[:, None, None] & widened(self.own, steps)
        found: NDArray[np.bool_] = self.visible & ~apart
        return found


def aligned_parts(
    source: Source, tile: Tile, recipe: DatesRecipe, around: int = 0
) -> Iterator[tuple[tuple[slice, slice], AlignedDates]]:
    """Bring dates to the reference region by region: where each lies, as in `parts`, and what is there."""
    table = source.table
    assert table is not None
    context = recipe.context
    dates, valid = read_dates(source, recipe, context + around)
    spans = [(start - around, stop + around) for start, stop in (tile.y, tile.x)]
    regions = [*itertools.product(_regions(recipe.rows, spans[0]), _regions(recipe.columns, spans[1]))]
    for left, ((number_y, rows), (number_x, columns)) in zip(range(len(regions) - 1, -1, -1), regions, strict=True):
        area = tuple(slice(each.start, each.stop + 2 * context) for each in (rows, columns))
        at = [each.start + begin for each, (begin, _) in zip((rows, columns), spans, strict=True)]
        own = _Area(dates[..., area[0], area[1]], valid[..., area[0], area[1]], context)
        aligned = own.aligned(recipe, table, (number_y, number_x), (at[0], at[1]))
        del own
        if not left:  # memory for those who join
            del dates, valid
        yield (rows, columns), aligned


def _regions(edges: Sequence[int], span: tuple[int, int]) -> Iterator[tuple[int, slice]]:
    """Yield the regions that some pixels lie in, and which they are, counted from the first; the outer ones go on."""
    edges = [min(edges[0], span[0]), *edges[1:-1], max(edges[-1], span[1])]
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        first, last = max(start, span[0]), min(stop, span[1])
        if first < last:
            yield number, slice(first - span[0], last - span[0])


@dataclass(frozen=True, eq=False)
class _Area:
    """The part of a block in one region. dates, valid: (date, band, y, x) with `context` pixels around."""

    dates: FloatArray
    valid: NDArray[np.bool_]
    context: int

    def aligned(
        self, recipe: DatesRecipe, table: Doubles, region: tuple[int, int], at: tuple[int, int]
    ) -> AlignedDates:
        """Return the dates that count in the region, brought to the reference."""
        own = table[region]
        counted = tuple(date for date in range(len(own)) if own[date, WEIGHT] > 0)[: recipe.most]
        cut = self.context - recipe.margin
        shifts = [(float(own[date, DOWN]), float(own[date, RIGHT])) for date in counted]
        dates = tuple(
            kernels.SeriesDate((round(shift[0], 3), round(shift[1], 3)), float(own[date, WEIGHT]))
            for date, shift in zip(counted, shifts, strict=True)
        )
        reference, known = trim(self.dates[0], cut), trim(self.valid[0], cut)
        stacked = np.empty((len(counted), *reference.shape), np.float32)
        visible = np.empty((len(counted), *reference.shape[-2:]), bool)
        for place, (date, each) in enumerate(zip(counted, dates, strict=True)):
            gain, offset = (trim(numbers, cut) for numbers in self._brightness(table, date, recipe, at))
            rows, columns = (
                slice(cut + whole, side - cut + whole)
                for whole, side in zip(each.whole, self.dates.shape[-2:], strict=True)
            )
            np.subtract(self.dates[date + 1][:, rows, columns], offset, out=stacked[place])
            stacked[place] /= gain
            visible[place] = self.valid[date + 1][:, rows, columns].all(axis=0)
            for other in recipe.same_pass[date + 1]:
                if other == 0 or other - 1 in counted:
                    visible[place] &= ~self._repeated(date + 1, other)[rows, columns]
        valid = np.asarray(known.all(axis=0))
        shown, measured, itself = np.zeros_like(visible), known, np.asarray(known.any(axis=0))
        assumed = tuple(bool(own[date, QUALITY] == ASSUMED) for date in counted)
        if not valid.all() and len(stacked):
            anchors = [unsure and not any(each.shift) for unsure, each in zip(assumed, dates, strict=True)]
            reference, known, shown = shown_instead(reference, known, stacked, visible, anchors)
            visible, measured = visible & ~shown, known
            reference, known = completed(reference, known, stacked, visible, dates)
        reference = np.ascontiguousarray(reference, np.float32)
        known, measured = known.copy(), measured.copy()
        return AlignedDates(counted, dates, reference, known, measured, valid, stacked, visible, shown, itself, assumed)

    def _repeated(self, date: int, other: int) -> NDArray[np.bool_]:
        """Return where two dates have the very same valid pixels, (y, x): one measurement, which counts once."""
        same = (self.dates[date] == self.dates[other]) & self.valid[date] & self.valid[other]
        found: NDArray[np.bool_] = same.all(axis=0)
        return found

    def _brightness(
        self, table: Doubles, date: int, recipe: DatesRecipe, at: tuple[int, int]
    ) -> tuple[FloatArray, FloatArray]:
        """Return gain and offset of each band at each pixel: linear between the middles of regions."""
        numbers: FloatArray = np.moveaxis(table[:, :, date, FIRST:], -1, 0)  # (number, region y, region x)
        for axis, edges in ((1, recipe.rows), (2, recipe.columns)):
            middles = (np.array(edges[:-1]) + np.array(edges[1:])) / 2
            places = at[axis - 1] - self.context + np.arange(self.dates.shape[axis - 3]) + 0.5
            numbers = _linear(numbers, middles, places, axis)
        gain, offset = numbers.reshape(2, recipe.bands, *numbers.shape[1:])
        return gain, offset


def _linear(numbers: FloatArray, known: FloatArray, places: FloatArray, axis: int) -> FloatArray:
    """Interpolate along an axis linearly, and beyond the outer known places by their own numbers; float32."""
    if len(known) == 1:
        return np.repeat(numbers.astype("float32"), len(places), axis)
    before = np.searchsorted(known, places, side="right").clip(1, len(known) - 1) - 1
    share = ((places - known[before]) / (known[before + 1] - known[before])).clip(0, 1).astype("float32")
    share = share.reshape(-1, *[1] * (numbers.ndim - axis - 1))
    first, second = (numbers.take(before + step, axis).astype("float32") for step in (0, 1))
    second -= first
    second *= share
    first += second
    return first
