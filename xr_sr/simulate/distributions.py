"""How values are distributed, and the curve that turns one distribution into another.

NumPy only. Statistics of parts merge into those of the whole, so that a cube's are made chunk by chunk and do not
depend on the chunks. NaN counts nowhere and stays NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Curve", "Counts", "Moments", "curve_of_counts", "line_of_fit", "line_of_moments"]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
DoubleArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

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


@dataclass(frozen=True, eq=False)
class Counts:
    """Values that occur, rising, and how many pixels have each."""

    values: DoubleArray
    counts: IntArray

    @classmethod
    def of(cls, array: FloatArray, step: float | None = None) -> Counts:
        """Count the values of an array of any shape; rounded to multiples of `step` where one is given."""
        flat: DoubleArray = array[~np.isnan(array)].astype("float64")
        if step is None or not flat.size:
            values, counts = np.unique(flat, return_counts=True)
            return cls(values.astype("float64", copy=False), counts.astype("int64"))
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
        return Curve(np.empty(0), np.empty(0))
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
    """Get the source with the mean and the standard deviation of the reference; a source of one value is only moved."""
    if not (source.count and reference.count):
        return Curve(np.empty(0), np.empty(0))
    gain = 1.0
    if source.xx > 0:
        gain = float(np.sqrt((reference.xx / reference.count) / (source.xx / source.count)))
    return Curve(gain=gain, offset=reference.x - gain * source.x)


def line_of_fit(pairs: Moments) -> Curve:
    """Get the line of least squares that predicts y from x; where x has one value only, y's mean less x's is added."""
    if not pairs.count:
        return Curve(np.empty(0), np.empty(0))
    gain = pairs.xy / pairs.xx if pairs.xx > 0 else 1.0
    return Curve(gain=gain, offset=pairs.y - gain * pairs.x)
