"""Point spread functions: how a coarse pixel weighs the fine ones around its center.

Arrays and numbers only. A function is a sum of separable terms, each a profile along y times one along x, that can be
evaluated at any place: so a coarse pixel may be centered anywhere between fine ones, at any ratio of their sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..arguments import shown
from ..errors import OptionError

DoubleArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

MTF_AT_NYQUIST = {
    "B01": 0.32, "B02": 0.26, "B03": 0.28, "B04": 0.24, "B05": 0.38, "B06": 0.34, "B07": 0.34,
    "B08": 0.26, "B8A": 0.33, "B09": 0.26, "B11": 0.22, "B12": 0.23,
}  # fmt: skip
"""Of the whole instrument, as sharpening papers use it (Ulfarsson et al. 2019, after ESA's quality reports)."""

DEVIATIONS = 4.0
"""Standard deviations at which a Gaussian is cut; 6e-5 of its weight lie beyond."""


@dataclass(frozen=True)
class Gaussian:
    """A bell along one axis, cut at four deviations. sigma: standard deviation in fine pixels."""

    sigma: float

    @property
    def reach(self) -> float:
        """Fine pixels from the center to the last weight."""
        # A quarter pixel more than a whole number: no tap of a whole ratio then stands on the very edge, where
        # rounding would decide whether it counts.
        return math.ceil(DEVIATIONS * self.sigma) + 0.25

    def weights(self, offset: DoubleArray) -> DoubleArray:
        """Weigh fine pixels, (pixel, tap) offsets from the center; the weights of each pixel sum to one."""
        weights = np.exp(-0.5 * (offset / self.sigma) ** 2)
        weights[np.abs(offset) > self.reach] = 0
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Sampled:
    """A profile given by samples one fine pixel apart, centered, and linear between them."""

    samples: tuple[float, ...]

    @property
    def reach(self) -> float:
        """Fine pixels from the center to the last weight."""
        return (len(self.samples) + 1) / 2

    def weights(self, offset: DoubleArray) -> DoubleArray:
        """Weigh fine pixels, (pixel, tap) offsets from the center; weights of a pixel sum to what the samples do."""
        places = np.arange(-1, len(self.samples) + 1) - (len(self.samples) - 1) / 2
        return np.interp(offset, places, (0.0, *self.samples, 0.0), left=0, right=0)


@dataclass(frozen=True)
class Lanczos:
    """A sinc in a window of `lobes` lobes to each side: interpolation between fine pixels that keeps detail."""

    lobes: int = 4

    @property
    def reach(self) -> float:
        """Fine pixels from the center to the last weight."""
        return float(self.lobes)

    def weights(self, offset: DoubleArray) -> DoubleArray:
        """Weigh fine pixels, (pixel, tap) offsets from the center; the weights of each pixel sum to one."""
        weights = np.sinc(offset) * np.sinc(offset / self.lobes)
        weights[np.abs(offset) >= self.lobes] = 0
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


Profile: TypeAlias = Gaussian | Sampled | Lanczos


@dataclass(frozen=True)
class Psf:
    """A point spread function in fine pixels, with a sum of one: terms of (profile along y, profile along x)."""

    terms: tuple[tuple[Profile, Profile], ...]

    @property
    def reach(self) -> tuple[int, int]:
        """Fine pixels along y and x beyond the center that a pixel may depend on."""
        rows, columns = (math.ceil(max(term[axis].reach for term in self.terms)) for axis in (0, 1))
        return rows, columns


@dataclass(frozen=True)
class Axis:
    """Positions of coarse pixels along an axis: coarse pixel i is centered at `origin + (i + 0.5) * step` fine pixels.

    size: number of coarse pixels. fine: number of fine pixels; fine pixel k is centered at k + 0.5.
    """

    size: int
    fine: int
    step: float
    origin: float = 0.0

    def taps(
        self, profile: Profile, start: int, stop: int, shift: float = 0.0
    ) -> tuple[npt.NDArray[np.int64], DoubleArray]:
        """Return for coarse pixels start to stop the first fine pixel of each, (pixel,), and weights, (pixel, tap).

        shift: moves the content of the coarse image towards larger i, in coarse pixels. Weights of fine pixels that do
        not exist are 0, so that what is missing shows in the sum. They depend on a pixel's number alone, not on where a
        block begins.
        """
        center = self.origin + (np.arange(start, stop) + 0.5 - shift) * self.step
        first = np.ceil(center - 0.5 - profile.reach)
        pixels = first[:, None] + np.arange(math.floor(2 * profile.reach) + 1)
        weights = profile.weights(pixels + 0.5 - center[:, None])
        weights[(pixels < 0) | (pixels >= self.fine)] = 0
        return first.astype("int64"), weights

    def window(self, start: int, stop: int, reach: int) -> tuple[int, int]:
        """Return the fine pixels (first, last + 1) within `reach` of coarse pixels start to stop, within the image."""
        ends = [self.origin + (i + 0.5) * self.step for i in (start, stop - 1)]
        return max(0, math.floor(min(ends)) - reach - 1), min(self.fine, math.ceil(max(ends)) + reach + 1)


def gaussian(sigma: float | tuple[float, float]) -> Psf:
    """Return the Gaussian of `sigma` fine pixels, along (y, x) where two are given."""
    rows, columns = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    if not (rows > 0 and columns > 0 and math.isfinite(rows + columns)):
        raise OptionError(f"a Gaussian has a standard deviation above 0 pixels; got {sigma}.")
    return Psf(((Gaussian(float(rows)), Gaussian(float(columns))),))


def width_of(mtf: float) -> float:
    """Return the standard deviation, in pixels, of the Gaussian with this MTF at the pixels' Nyquist frequency.

    The MTF exp(-2 (pi sigma f)^2) is m at f = 1/2 cycle per pixel, so sigma = sqrt(-2 ln m) / pi.
    """
    return math.sqrt(-2 * math.log(mtf)) / math.pi


def gaussian_psf(band: str | float, factor: float | tuple[float, float]) -> Psf:
    """Return the Gaussian PSF with the MTF of a band at the Nyquist frequency of the coarse pixel.

    band: canonical name of a Sentinel-2 band, or the modulation transfer function (MTF) at Nyquist itself, in (0, 1).
    factor: size of a coarse pixel in fine pixels, along (y, x) where two are given.
    Its standard deviation is `width_of` of the MTF, times factor; a system wider by w has the MTF m ** (w * w) there.
    Source: Ulfarsson et al. 2019, doi:10.1109/TGRS.2019.2906048.
    Raises OptionError for a band without a known MTF, or an MTF that is not between 0 and 1.
    """
    mtf = MTF_AT_NYQUIST.get(band) if isinstance(band, str) else float(band)
    if mtf is None:
        raise OptionError(f"no MTF is known of {band!r}; known are {', '.join(MTF_AT_NYQUIST)}. Pass a number: 0.25.")
    if not 0 < mtf < 1:
        raise OptionError(f"an MTF at Nyquist lies between 0 and 1; got {mtf:g}. Sentinel-2's are 0.22 to 0.38.")
    rows, columns = factor if isinstance(factor, tuple) else (factor, factor)
    width = width_of(mtf)
    return gaussian((abs(rows) * width, abs(columns) * width))


def checked_kernel(kernel: npt.ArrayLike) -> DoubleArray:
    """Return a (y, x) array of weights. Raises OptionError unless they are finite with a sum above 0."""
    try:
        array = np.asarray(kernel, dtype="float64")
    except (TypeError, ValueError) as error:
        raise OptionError(f"a kernel is a (y, x) array of finite weights; got {shown(kernel)}.") from error
    if array.ndim != 2 or not array.size or not np.isfinite(array).all() or not array.sum() > 0:
        raise OptionError(
            "a kernel is a (y, x) array of finite weights with a sum above 0; this one has the shape "
            f"{array.shape} and the sum {array.sum():g}."
        )
    return array


def kernel_psf(kernel: npt.ArrayLike) -> Psf:
    """Return a point spread function from a (y, x) array of weights, one per fine pixel, centered on the pixel.

    kernel: any size, finite, of a sum above 0, by which it is divided. Where a coarse pixel's center does not lie as
    the middle of the array does (on a fine pixel for an odd size, between two for an even one), it is interpolated
    linearly.
    Raises OptionError for anything else.
    """
    array = checked_kernel(kernel)
    # Any matrix is a sum of products of columns and rows; a Gaussian or a box is a single one.
    left, strength, right = np.linalg.svd(array / array.sum())
    count = int((strength > 1e-12 * strength[0]).sum())
    return Psf(tuple(_term(left[:, n] * strength[n], right[n]) for n in range(count)))


def _term(column: Sequence[float] | DoubleArray, row: Sequence[float] | DoubleArray) -> tuple[Sampled, Sampled]:
    return Sampled(tuple(map(float, column))), Sampled(tuple(map(float, row)))
