"""Draw reproducible random numbers by position.

Arrays only. A number is a function of (seed, key, position) alone, so a pixel's noise depends on the seed, its band,
its date and its place on the lattice of its grid: it is the same in every chunking, crop and order of work. Per-pixel
work uses additions, products and comparisons, which IEEE 754 fixes to the last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

UintArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
T = TypeVar("T", np.uint8, np.float32)

# Steele, Lea and Flood 2014 ("SplitMix"): an odd step near 2^64 / golden ratio, and the two multipliers of its
# finaliser (Stafford's variant 13).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def scramble(bits: UintArray) -> UintArray:
    """Mix each 64-bit word so that neighbors share nothing; works in place and returns its argument."""
    shifted = bits >> np.uint64(30)
    bits ^= shifted
    bits *= _FIRST
    np.right_shift(bits, np.uint64(27), out=shifted)
    bits ^= shifted
    bits *= _SECOND
    np.right_shift(bits, np.uint64(31), out=shifted)
    bits ^= shifted
    return bits


@dataclass(frozen=True)
class Chance:
    """A stream of random numbers, addressed by position. seed, key: which stream."""

    seed: int
    key: int

    def bits(self, *position: IntArray) -> UintArray:
        """Hash integer coordinates, broadcast against each other, to 64 random bits each."""
        word = np.array([(self.seed * 0x632BE59BD9B4E019 + self.key * 0xD1342543DE82EF95) % 2**64], dtype="uint64")
        word = scramble(word)
        for coordinate in position:
            word = scramble((coordinate.astype("uint64") + _STEP) * _STEP ^ word)
        return word

    def plane_bits(self, y: IntArray, x: IntArray) -> UintArray:
        """Hash every pixel of a window, (y,) and (x,) to (y, x); rows and columns are mixed before, pixels once."""
        rows = Chance(self.seed, 2 * self.key).bits(y)
        columns = Chance(self.seed, 2 * self.key + 1).bits(x)
        return scramble(rows[:, None] ^ columns[None, :])

    def uniform(self, *position: IntArray) -> FloatArray:
        """Return a number in [0, 1) for each position: of 24 bits, since float32 holds no more."""
        return (self.bits(*position) >> np.uint64(40)).astype("float32") * np.float32(2**-24)

    def plane_normal(self, y: IntArray, x: IntArray) -> FloatArray:
        """Return a number of mean 0 and deviation 1 for each pixel, (y, x) float32.

        Four 16-bit uniforms added (Irwin-Hall): bell-shaped, never beyond 3.5, and exact, as a logarithm would not be.
        """
        bits = self.plane_bits(y, x)
        low = np.uint64(0xFFFF)
        total = (bits & low) + (bits >> np.uint64(16) & low) + (bits >> np.uint64(32) & low) + (bits >> np.uint64(48))
        # Four uniforms on 0..65535 have the mean 131070 and the variance 4 * (65536^2 - 1) / 12.
        normal: FloatArray = (total.astype("float32") - np.float32(131_070)) * np.float32(3**0.5 / 65_536)
        return normal

    def plane_gaussian(self, y: IntArray, x: IntArray) -> FloatArray:
        """Return a normal number for each pixel, (y, x) float32, by Box and Muller, with all of its tails.

        It passes through logarithm and cosine in double precision, which other processors may round differently by a
        last bit, seldom seen in float32.
        """
        bits = self.plane_bits(y, x)
        half = 2.0**-32
        radius = np.sqrt(-2 * np.log(((bits >> np.uint64(32)).astype("float64") + 0.5) * half))
        angle = 2 * np.pi * half * (bits & np.uint64(2**32 - 1)).astype("float64")
        normal: FloatArray = (radius * np.cos(angle)).astype("float32")
        return normal

    def plane_bytes(self, y: IntArray, x: IntArray) -> npt.NDArray[np.uint8]:
        """Return a byte for each pixel, (y, x), eight times as fast as bits; x: consecutive numbers."""
        first = int(x[0]) // 8
        words = self.plane_bits(y, np.arange(first, int(x[-1]) // 8 + 1, dtype="int64")).astype("<u8", copy=False)
        start = int(x[0]) - 8 * first
        return words.view("uint8")[:, start : start + len(x)]

    def smooth_line(self, place_m: DoubleArray, period_m: float, *line: IntArray) -> tuple[DoubleArray, DoubleArray]:
        """Return smooth noise along a line and its slope per meter, both of the shape of `place_m`.

        Its deviation is about 1, and it stays within 2.4.
        line: further coordinates that distinguish lines, broadcast against `place_m`.
        """
        knot, weights = _spline(place_m / period_m)
        fraction = place_m / period_m - knot
        slopes = (fraction - 1, 1 - 2 * fraction, fraction)
        value, slope = np.zeros(place_m.shape), np.zeros(place_m.shape)
        for offset, weight, change in zip((-1, 0, 1), weights, slopes, strict=True):
            node = self.uniform(knot + offset, *line) * 2.0 - 1.0
            value += weight * node
            slope += change * node
        # Uniform nodes have the variance 1/3, the spline's weights the mean square sum 0.55.
        gain = (3 / 0.55) ** 0.5
        return value * gain, slope * (gain / period_m)

    def smooth_plane(self, y_m: DoubleArray, x_m: DoubleArray, period_m: float) -> FloatArray:
        """Return smooth noise over a window, (y,) and (x,) in m to (y, x) float32: deviation about 1, within 5.5."""
        row, row_weights = _spline(y_m / period_m)
        column, column_weights = _spline(x_m / period_m)
        rows = np.arange(row.min() - 1, row.max() + 2)
        columns = np.arange(column.min() - 1, column.max() + 2)
        nodes = self.uniform(rows[:, None], columns[None, :]) * 2 - 1
        # First along y on the few columns of nodes, then along x on pixels.
        lines = np.zeros((y_m.size, columns.size), dtype="float32")
        for offset, weight in zip((-1, 0, 1), row_weights, strict=True):
            lines += weight.astype("float32")[:, None] * nodes[row + offset - rows[0]]
        # Between two knots the nodes stay the same, so a run of pixels is a sum of three outer products.
        plane = np.empty((y_m.size, x_m.size), dtype="float32")
        starts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
        for start, stop in zip(starts, [*starts[1:], x_m.size], strict=True):
            first = int(column[start] - columns[0]) - 1
            run = plane[:, start:stop]
            near, middle, far = (weight[start:stop].astype("float32")[None, :] for weight in column_weights)
            np.multiply(lines[:, first, None], near, out=run)
            run += lines[:, first + 1, None] * middle
            run += lines[:, first + 2, None] * far
        plane *= 3 / 0.55
        return plane


def _spline(place: DoubleArray) -> tuple[IntArray, tuple[DoubleArray, DoubleArray, DoubleArray]]:
    """Split places (in periods) into a knot and the three weights of the uniform quadratic B-spline."""
    knot = np.floor(place).astype("int64")
    fraction = place - knot
    return knot, (0.5 * (1 - fraction) ** 2, 0.5 + fraction * (1 - fraction), 0.5 * fraction**2)


def key_of(*parts: Hashable) -> int:
    """Hash what distinguishes planes, such as band and date, to 64 bits; the same in every process."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def drawn(
    draw: Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[T]],
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    flipped: tuple[bool, bool],
) -> npt.NDArray[T]:
    """Draw by the numbers of pixels that they have on a grid with rows from the north and columns from the west."""
    north_up = [
        -1 - places[::-1] if turned else places for places, turned in zip((rows, columns), flipped, strict=True)
    ]
    found = draw(*north_up)
    return np.ascontiguousarray(found[:: -1 if flipped[0] else 1, :: -1 if flipped[1] else 1])
