"""Harmonize the radiometry of one cube with another's: one curve per band for the whole cube.

Statistics of parts merge into those of the whole, so they are computed chunk by chunk and do not depend on the chunks.
NaN counts nowhere and stays NaN. No pixel is moved.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import compute, tokenize
from dask.delayed import delayed
from dask.graph_manipulation import bind

from ..arguments import check_flag, is_one_of
from ..cube.names import dims_text, listed
from ..errors import CubeError, GridError, OptionError
from ..kernels.psf import DoubleArray, IntArray
from .degradation import Mtf, degrade
from .images import ImageCube, partners, read, same_grid
from .sense import FloatArray

STEP = 1e-5
"""Steps of reflectance in which large cubes are counted: a tenth of what Sentinel-2's products resolve."""

_DENSE = 2**22
"""Span in steps up to which counting by place is cheaper than sorting; 32 MiB."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A map of values: linear between knots, constant beyond them; without knots `gain * value + offset`."""

    knots: FloatArray | None = None
    values: DoubleArray | None = None
    gain: float = 1.0
    offset: float = 0.0

    def __call__(self, array: FloatArray) -> FloatArray:
        """Map an array of any shape; dtype kept."""
        if self.knots is None or self.values is None:
            mapped = array * self.gain + self.offset
        elif self.knots.size:
            mapped = np.interp(array, self.knots, self.values)
        else:
            mapped = np.full(array.shape, np.nan)
        return np.asarray(mapped).astype(array.dtype, copy=False)


EMPTY = Curve(np.empty(0), np.empty(0))
"""The curve of bands without values: everything becomes NaN."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Values that occur, rising, and how many pixels have each."""

    values: DoubleArray
    counts: IntArray

    @classmethod
    def of(cls, array: FloatArray, step: float | None = None) -> Counts:
        """Count the values of an array of any shape; rounded to multiples of `step` where one is given."""
        valid = array[~np.isnan(array)]
        if step is None or not valid.size:
            values, counts = np.unique(valid, return_counts=True)  # float32 is sorted twice as fast as float64
            return cls(values.astype("float64", copy=False), counts.astype("int64"))
        flat: DoubleArray = valid.astype("float64")
        level = np.rint(flat / step).astype("int64")
        least = int(level.min())
        if int(level.max()) - least < _DENSE:
            counts = np.bincount(level - least)
            places = np.flatnonzero(counts)
            return cls(np.multiply(places + least, step, dtype="float64"), counts[places].astype("int64"))
        places, counts = np.unique(level, return_counts=True)
        return cls(np.multiply(places, step, dtype="float64"), counts.astype("int64"))

    @classmethod
    def merge(cls, parts: Sequence[Counts]) -> Counts:
        """Return the counts of several parts together."""
        values, places = np.unique(np.concatenate([part.values for part in parts]), return_inverse=True)
        counts = np.zeros(values.size, dtype="int64")
        np.add.at(counts, places, np.concatenate([part.counts for part in parts]))
        return cls(values, counts)

    @property
    def shares(self) -> DoubleArray:
        """Return the share of pixels up to and including each value."""
        total: DoubleArray = self.counts.cumsum() / max(self.counts.sum(), 1)
        return total


def curve_of_counts(source: Counts, reference: Counts) -> Curve:
    """Match distributions: each value of the source becomes the one of the reference at the same share of pixels.

    The share of a value is that of pixels up to and including it; between the shares of two values of the reference it
    is linear. Without values on either side all becomes NaN.
    """
    if not (source.values.size and reference.values.size):
        return EMPTY
    return Curve(source.values, np.interp(source.shares, reference.shares, reference.values))


@dataclass(frozen=True)
class Moments:
    """Count, means, and sums of products of deviations, of pairs of values (x, y).

    Merged by the formula of Chan, Golub and LeVeque 1983, which keeps digits that plain sums of squares lose.
    """

    count: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    @classmethod
    def of(cls, x: FloatArray, y: FloatArray) -> Moments:
        """Measure two arrays of one shape, where both are valid."""
        valid = ~(np.isnan(x) | np.isnan(y))
        one, other = x[valid].astype("float64"), y[valid].astype("float64")
        if not one.size:
            return cls()
        mean_x, mean_y = float(one.mean()), float(other.mean())
        one -= mean_x
        other -= mean_y
        return cls(one.size, mean_x, mean_y, float(one @ one), float(one @ other))

    @classmethod
    def merge(cls, parts: Sequence[Moments]) -> Moments:
        """Return the moments of several parts together."""
        total = cls()
        for part in (part for part in parts if part.count):
            count = total.count + part.count
            dx, dy, weight = part.x - total.x, part.y - total.y, total.count * part.count / count
            total = cls(
                count,
                total.x + dx * part.count / count,
                total.y + dy * part.count / count,
                total.xx + part.xx + dx * dx * weight,
                total.xy + part.xy + dx * dy * weight,
            )
        return total


def line_of_moments(source: Moments, reference: Moments) -> Curve:
    """Return the line to the mean and the standard deviation of the reference; a source of one value is only moved."""
    if not (source.count and reference.count):
        return EMPTY
    gain = 1.0
    if source.xx > 0:
        gain = float(np.sqrt((reference.xx / reference.count) / (source.xx / source.count)))
    return Curve(gain=gain, offset=reference.x - gain * source.x)


def line_of_fit(pairs: Moments) -> Curve:
    """Return the line of least squares that predicts y from x; for a constant x, the difference of means is added."""
    if not pairs.count:
        return EMPTY
    gain = pairs.xy / pairs.xx if pairs.xx > 0 else 1.0
    return Curve(gain=gain, offset=pairs.y - gain * pairs.x)


HarmonizeMethod: TypeAlias = Literal["histogram", "linear", "moments"]
Lazy: TypeAlias = Any
"""A dask Delayed, of which dask has no types."""

EXACT = 2**22
"""Pixels per band up to which histograms are exact; 2048 x 2048."""

HELD = 2**30
"""Bytes of a source up to which it is held in memory until its curves are known; larger ones are computed twice."""

_FAN_IN = 16


def match_histogram(source: FloatArray, reference: FloatArray) -> FloatArray:
    """Transform `source` to the distribution of values of `reference`, exactly.

    source, reference: floating, any shapes, one band; NaN does not count, and stays NaN. Returns the shape and dtype of
    `source`. Equal to `harmonize` and, without NaN, to `skimage.exposure.match_histograms`, to the last bit.
    """
    valid = ~np.isnan(source)
    values, places, counts = np.unique(source[valid], return_inverse=True, return_counts=True)
    curve = curve_of_counts(Counts(values.astype("float64"), counts), Counts.of(reference))
    out = np.full_like(source, np.nan)
    if curve.values is not None and curve.values.size:  # each value is looked up once, not each pixel
        out[valid] = curve.values.astype(source.dtype)[places]
    return out


def harmonize(
    source: xr.DataArray,
    reference: xr.DataArray,
    *,
    method: HarmonizeMethod = "histogram",
    each: Hashable | Sequence[Hashable] = (),
    mtf: Mtf = None,
    now: bool = False,
) -> xr.DataArray:
    """Transform the radiometry of a cube to that of another: one curve per band, from statistics of the whole cubes.

    source, reference: (..., band, y, x) reflectance, NaN where not valid; bands are matched by name, one band of a
        reference without dimension of bands serves all. each: dimensions, such as "time", whose places are harmonized
        one by one; along others all pixels count together.
    method: "histogram" matches the distribution of the reference, as scikit-image's `match_histograms` does; exactly up
        to 2048 x 2048 pixels per band in both, and with values rounded to 1e-5 for the counting beyond. "moments"
        matches mean and standard deviation of the reference. The grids of both are free in these two. "linear" is the
        line of least squares from source to reference, pixel by pixel on the coarser of both grids, to which the finer
        one is degraded first, as SEN2VENuS does; mtf: that of `degrade` for this step.
    now: compute the curves at once; good where parts of the result are computed one by one, each of which would gather
        the statistics of the whole cubes again.
    Returns `source` with other values: same grid, dtype, chunks and NaN; lazy. A source of more than 1 GiB is computed
    twice, for the statistics and for the result, rather than held: store it first if that takes long. A band without a
    valid pixel in the reference becomes NaN. Raises OptionError for another method, MissingBandError for a band that
    the reference lacks, CubeError and GridError for cubes that cannot be compared.
    Source: Gonzalez and Woods, Digital Image Processing, 3.3.2 (histogram specification); Michel et al. 2022,
    doi:10.3390/data7070096 (SEN2VENuS).
    """
    check_flag("now", now)
    if not is_one_of(method, ("histogram", "linear", "moments")):
        raise OptionError(f"method={method!r}: expected 'histogram', 'linear' or 'moments'.")
    ours, theirs = read(source, "source"), read(reference, "reference")
    apart = [each] if isinstance(each, str) or not isinstance(each, Sequence) else list(each)
    if absent := [dim for dim in apart if dim not in ours.lead]:
        raise CubeError(f"each= names {listed(absent)}; source has {dims_text(ours.lead)} beside band, y and x.")
    places = partners(ours, theirs)
    if method == "linear":
        left, right = _on_coarser(ours, theirs, mtf)
    else:
        left, right = ours, theirs
    data = _mapped(ours, left, right, places, apart, method, now)
    return ours.rebuilt(data, attrs={"xr_sr:harmonized": f"{method}, {theirs.source.name or 'reference'}"})


def _on_coarser(ours: ImageCube, theirs: ImageCube, mtf: Mtf) -> tuple[ImageCube, ImageCube]:
    """Average both to the coarser grid."""
    one, other = ours.grid.geobox, theirs.grid.geobox
    if one.crs is not None and other.crs is not None and one.crs != other.crs:
        raise GridError(f"the source is in {one.crs}, the reference in {other.crs}. Reproject one of them.")
    if same_grid(one, other):
        return ours, theirs
    if abs((~one.affine @ other.affine).determinant) >= 1:
        return read(degrade(ours.source, like=other, mtf=mtf), "source"), theirs
    return ours, read(degrade(theirs.source, like=one, mtf=mtf), "reference")


def _mapped(
    ours: ImageCube,
    left: ImageCube,
    right: ImageCube,
    places: list[int | None],
    apart: Sequence[Hashable],
    method: HarmonizeMethod,
    now: bool,
) -> da.Array:
    """Map all bands by their curves, for each place along the dimensions in `apart`.

    left, right: where statistics are taken of source and reference.
    """
    data, lead = ours.array.data, ours.lead
    counts = {lead.index(str(dim)): ours.array.sizes[dim] for dim in apart}
    known: dict[tuple[int, ...], Lazy] = {}
    for at in itertools.product(*map(range, counts.values())):
        chosen = dict(zip(apart, at, strict=True))
        curves = []
        for position, place in enumerate(places):
            mine = _plane(left, position if left.band_dim else None, chosen)
            other = _plane(right, place, {dim: i for dim, i in chosen.items() if dim in right.lead})
            curves.append(_curve(mine, other, method))
        known[at] = _later(tuple, curves)
    if now:
        known = dict(zip(known, compute(*known.values()), strict=True))
    elif data.nbytes > HELD:
        data = bind(data, list(known.values()), seed=tokenize(data.name, [curves.key for curves in known.values()]))
    pieces = []
    for at, curves in known.items():
        index = [slice(None)] * data.ndim
        for axis, i in zip(counts, at, strict=True):
            index[axis] = slice(i, i + 1)
        pieces.append(
            da.map_blocks(
                _map_block, data[tuple(index)], curves=curves, banded=ours.band_dim is not None, dtype=data.dtype,
                meta=data._meta,
            )
        )  # fmt: skip
    for axis, count in reversed(counts.items()):  # the place along the last axis changes fastest
        pieces = [da.concatenate(pieces[n : n + count], axis=axis) for n in range(0, len(pieces), count)]
    whole: da.Array = pieces[0]
    return whole if whole.chunks == data.chunks else whole.rechunk(data.chunks)


def _plane(image: ImageCube, band: int | None, chosen: Mapping[Hashable, int]) -> xr.DataArray:
    """Return one band at the chosen places: (*rest, y, x), without coordinates along y and x."""
    array = image.array.isel(dict(chosen), drop=True)
    if band is not None:
        array = array.isel({image.band_dim: band}, drop=True)
    return array.drop_vars(
        [name for name, coord in array.coords.items() if {image.y, image.x} & set(coord.dims)]
    ).rename({image.y: "y", image.x: "x"})


def _curve(source: xr.DataArray, reference: xr.DataArray, method: HarmonizeMethod) -> Lazy:
    if method == "linear":
        one, other = _paired(source, reference)
        parts = [_later(Moments.of, a, b) for a, b in zip(_blocks(one), _blocks(other), strict=True)]
        return _later(line_of_fit, _tree(parts, Moments.merge))
    if method == "moments":
        both = [
            _tree([_later(_moments, block) for block in _blocks(array.data)], Moments.merge)
            for array in (source, reference)
        ]
        return _later(line_of_moments, *both)
    step = None if max(source.size, reference.size) <= EXACT else STEP
    counts = [
        _tree([_later(Counts.of, block, step) for block in _blocks(array.data)], Counts.merge)
        for array in (source, reference)
    ]
    return _later(curve_of_counts, *counts)


def _paired(source: xr.DataArray, reference: xr.DataArray) -> tuple[da.Array, da.Array]:
    """Return source and reference pixel by pixel, in the same chunks; a reference without dates serves all dates."""
    if extra := [dim for dim in reference.dims if dim not in source.dims]:
        raise CubeError(f"the reference lies along {listed(extra)} too, the source does not. Select one place first.")
    try:
        source, reference = xr.align(source, reference, join="exact", copy=False)
    except ValueError as error:
        raise GridError(f"source and reference do not have the same dates: {error}") from error
    reference = reference.broadcast_like(source).transpose(*source.dims)
    return source.data, reference.data.rechunk(source.data.chunks)


def _blocks(array: da.Array) -> list[Lazy]:
    return list(array.to_delayed(optimize_graph=False).ravel())


def _tree(parts: list[Lazy], merge: Callable[[Any], Any]) -> Lazy:
    """Merge lazily, a few at a time, so that results of chunks need not all be kept."""
    while len(parts) > 1:
        parts = [_later(merge, parts[start : start + _FAN_IN]) for start in range(0, len(parts), _FAN_IN)]
    return parts[0]


def _later(function: Callable[..., Any], *arguments: Any) -> Lazy:
    """Call a function when the result is computed; equal calls are made once."""
    return delayed(function, pure=True)(*arguments)


def _moments(block: FloatArray) -> Moments:
    return Moments.of(block, block)


def _map_block(block: FloatArray, *, curves: tuple[Curve, ...], banded: bool, block_info: Any = None) -> FloatArray:
    """Map one chunk, (*lead, [band,] y, x), by the curve of each band."""
    if not banded:
        return curves[0](block)
    first, last = block_info[0]["array-location"][-3]
    return np.stack([curve(block[..., n, :, :]) for n, curve in enumerate(curves[first:last])], axis=-3)
