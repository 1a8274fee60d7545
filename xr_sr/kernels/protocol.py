"""Define what a kernel is (a block of reflectance with context in, a finer block out), without importing torch.

Everything that upscales, from nearest neighbor to a diffusion sampler, is called through these protocols. `Guidance`
describes guided fusion to the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from .kriging_filters import RADIUS as KRIGING_RADIUS
from .kriging_filters import SMOOTHING_RADIUS, Observation
from .psf import gaussian_psf
from .sensor_noise import Strength

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ..spec import Tile

FloatArray: TypeAlias = "NDArray[Any]"
"""float32, in the processor's memory or (CuPy) a GPU's."""


class Kernel(Protocol):
    """A deterministic function of its arguments, safe to call from several threads."""

    halo: int
    scale: int

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """(n, band, height + 2 halo, width + 2 halo) to (n, band_out, height * scale, width * scale).

        block: reflectance without NaN; tile.halo pixels of context on each side, which the kernel uses up.
        Returns float32 of the same kind of array.
        """


class SeriesKernel(Protocol):
    """A deterministic function of several dates of the same ground, for `multiframe`; as a `Kernel` otherwise."""

    halo: int
    scale: int
    dates: int

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """(date, band, height + 2 halo, width + 2 halo) to (band_out, height * scale, width * scale).

        block: reflectance without NaN of `dates` dates, with tile.halo pixels of context on each side. The first is
        the date that is shown, in whose geometry and brightness the result is. The others are brought to its
        brightness, and moved by whole pixels, so that their content lies within half a pixel of the first one's.
        """


class Predictor(Protocol):
    """The part of a kernel that invents detail, before any constraint."""

    reach: int
    """Input pixels that an output pixel depends on, on each side."""

    side_cpu: int
    """Best side of a window on a CPU in input pixels; 0 leaves it to the kernel."""

    def predict(self, window: Tensor, margin: int) -> Tensor:
        """(n, band, h + 2 k, w + 2 k) to (n, band_out, h * scale + 2 margin, w * scale + 2 margin).

        k: `reach + ceil(margin / scale)`. margin: output pixels of context that the caller still needs.
        """


@runtime_checkable
class PredictorInto(Predictor, Protocol):
    """A predictor that can write its result where it belongs, without a margin."""

    def predict_into(self, window: Tensor, out: Tensor) -> None:
        """As `predict` without a margin, into the first planes of `out`."""


@dataclass(frozen=True)
class Spread:
    """What a predictor returns beside its estimates: the scales of their errors.

    A predictor that knows the scale of its error at each fine pixel, a formula or a network with a head for it, returns
    `planes` times as many bands for a kernel with a spread: all estimates, then all scales. A scale is what the
    absolute error is compared with when intervals are calibrated: a standard deviation, or what grows as it does.
    factors: for each band, by which scales are multiplied in the strata flat, edge and bright (`strata`). Without any,
    scales come as they are, and after them the numbers of the strata, 0 to 2.
    """

    factors: tuple[tuple[float, float, float], ...] = ()

    @property
    def planes(self) -> int:
        """Planes per band."""
        return 2 if self.factors else 3


@dataclass(frozen=True)
class BandSensor:
    """How a band was observed, for kriging: through which point spread function, and with which noise."""

    observation: Observation
    noise: Strength


@dataclass(frozen=True)
class LeadKeys:
    """Keys of the places along leading dimensions. lead: for each dimension one for each place. common: of all."""

    lead: tuple[tuple[int, ...], ...]
    common: tuple[int, ...] = ()

    def at(self, lead: Sequence[tuple[int, int]], number: int) -> tuple[int, ...]:
        """Return the keys of one place: the number of a plane of a tile."""
        found = []
        for keys, (start, stop) in zip(reversed(self.lead), reversed(lead), strict=True):
            number, place = divmod(number, stop - start)
            found.append(keys[start + place])
        return tuple(sorted((*found, *self.common)))


@dataclass(frozen=True)
class Draws:
    """Which members of an ensemble a kernel returns, and by what their random numbers are addressed.

    count: of members, which come in pairs on both sides of the estimate; 1 is a member alone. kept: whether they are
    returned, after estimates and standard deviations. bands: for each a key. ground, noise: keys of the fields that are
    drawn for the ground, and of the sensor's noise. origin: row and column of the first pixel of the bands' grid,
    counted from that of its CRS. flipped: whether rows count northward, and columns westward, which are then numbered
    as if they did not. factors: by band, as in `Spread`.
    """

    count: int
    seed: int
    kept: bool
    bands: tuple[int, ...]
    ground: LeadKeys
    noise: LeadKeys
    origin: tuple[int, int]
    factors: tuple[tuple[float, float, float], ...]
    flipped: tuple[bool, bool] = (False, False)

    @property
    def fields(self) -> int:
        """Fields that are drawn: one for each pair of members."""
        return -(-self.count // 2)

    @property
    def planes(self) -> int:
        """Planes per band: of a single member it alone."""
        return 1 if self.count == 1 else 2 + self.count * self.kept


@dataclass(frozen=True)
class DiffusionSamples:
    """Which samples a kernel of diffusion returns, and by what their noise is addressed.

    count: of samples. summed: return of each band their mean and standard deviation instead, and after these with
    `kept` the samples. dates: keys of the places along leading dimensions. origin: row and column of the cube's first
    pixel, counted from that of its CRS.
    """

    dates: LeadKeys
    origin: tuple[int, int]
    count: int = 1
    summed: bool = False
    kept: bool = False

    @property
    def planes(self) -> int:
        """Planes per band that a block has in the end."""
        return 2 + self.count * self.kept if self.summed else self.count


def simulation_halo(sensors: Sequence[BandSensor]) -> int:
    """Return the pixels around a block that drawing members of an ensemble reads, an even number."""
    halo = 0
    for sensor in sensors:
        seen = sensor.observation
        beyond = math.ceil(max(0, max(seen.psf.reach) + 1 - seen.scale / 2) / seen.scale) + COLORING_RADIUS
        halo = max(halo, KRIGING_RADIUS + 2 * SMOOTHING_RADIUS + beyond)  # local moments read as far
    return halo + halo % 2


UPDATE_RADIUS = 3
"""Half the side, in coarse pixels, of the window of other dates' innovations that a fine pixel is computed from."""

AVERAGED = 2
"""Coarse pixels on each side over which the energy of innovations is averaged, before it is compared."""

SERIES_REACH = KRIGING_RADIUS + SMOOTHING_RADIUS + UPDATE_RADIUS + AVERAGED
"""Coarse pixels around its own that a fine pixel depends on, in each date after its whole pixels of shift."""


@dataclass(frozen=True)
class SeriesDate:
    """One date beside the reference. shift: of its content, (down, right) in coarse pixels. weight: in (0, 1]."""

    shift: tuple[float, float]
    weight: float = 1.0

    @property
    def whole(self) -> tuple[int, int]:
        """The nearest whole pixels of the shift, by which the date is read from elsewhere."""
        return math.floor(self.shift[0] + 0.5), math.floor(self.shift[1] + 0.5)

    @property
    def part(self) -> tuple[float, float]:
        """What is left of the shift, at most half a pixel."""
        return self.shift[0] - self.whole[0], self.shift[1] - self.whole[1]


@dataclass(frozen=True, eq=False)
class SeriesResult:
    """What several dates give.

    planes: (2 band + spare, rows * scale, columns * scale), estimates, their standard deviations, and some that are
    still empty. weights: of the other dates, (date, rows, columns). bands: their number.
    """

    planes: FloatArray
    weights: FloatArray
    bands: int

    @property
    def estimate(self) -> FloatArray:
        """(band, rows * scale, columns * scale)."""
        return self.planes[: self.bands]

    @property
    def std(self) -> FloatArray:
        """Standard deviation of the error, as `estimate`."""
        return self.planes[self.bands : 2 * self.bands]


COLORING_RADIUS = 2
"""Half the support of the filter that colors fields, in coarse pixels."""

RADIUS = 3
"""Half the side, in coarse pixels, of the window of the regression; its weights are a Gaussian of half of that."""

CONTEXT = RADIUS + 1
"""Coarse pixels around its own that a fine pixel depends on: the window, and one more to interpolate its weights."""


@dataclass(frozen=True)
class Guidance:
    """How coarser bands come to the grid of finer ones without weights.

    guided: with the detail of the finer bands; else by bicubic interpolation alone. ratio: width of a coarse pixel in
    fine ones. mtf: of each coarse band, at its Nyquist frequency. chosen: for each, the one finer band that guides it;
    None regresses it on all. scale: output pixels per fine pixel, by bicubic interpolation.
    """

    guided: bool
    ratio: int
    mtf: tuple[float, ...]
    chosen: tuple[int | None, ...]
    scale: int = 1
    device: str = "auto"


def guidance_halo(guidance: Guidance) -> int:
    """Return the fine pixels of context that guided fusion depends on, an even number."""
    halo = 2 if guidance.scale > 1 else 0
    if guidance.guided:
        blur = max(gaussian_psf(mtf, guidance.ratio).reach[0] for mtf in guidance.mtf)
        halo += (CONTEXT + 1) * guidance.ratio + blur + 1
    else:
        halo += 3 * guidance.ratio
    return halo + halo % 2


def measured_reach(observations: Sequence[Observation | None], scale: int) -> int:
    """Return the input pixels around a block that agreement with measured pixels reads, an even number.

    scale: output pixels per input pixel; an observation of a coarse band has a multiple of it.
    """
    reach = 0
    for seen in observations:
        if seen is not None:
            beyond = max(seen.psf.reach) + 1 - seen.scale / 2
            # One more: a block may begin inside of a coarse pixel.
            reach = max(reach, seen.scale // scale * (KRIGING_RADIUS + max(0, math.ceil(beyond / seen.scale)) + 1))
    return reach + reach % 2
