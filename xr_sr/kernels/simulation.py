"""Draw images that a sensor may have seen as it did: conditional simulation by kriging; on arrays.

    x_i = K y + (z_i - K (D H z_i + n_i))

K is kriging with the ratios of noise to signal of y, z_i a field of the prior around zero, n_i the noise of the sensor
(Journel and Huijbregts 1978, chapter VII; Chiles and Delfiner 2012, doi:10.1002/9781118136188, section 7.3). The
bracket has the covariance of kriging's error, and nothing of y but the local variances: seen through D H, x_i differs
from y by the noise. The field is white noise by place, times the local standard deviation, then colored by the root of
the prior's spectrum. That filter is long, but what is coarser than the sensor's pixels cancels in z - K D H z, so it is
cut; `Coloring.of` says where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..networks import separable
from ..runtime.device import settle_threads
from ..spec import Tile
from .chance import Chance, drawn, key_of
from .kriging import KrigedBand, Kriger, level_of
from .kriging_filters import Observation, filters_of
from .kriging_spread import ErrorScale
from .measured import terms_of
from .protocol import COLORING_RADIUS, BandSensor, Draws, FloatArray, simulation_halo
from .window import from_tensor, new_block, placed, to_tensor

SIDE = 256
"""Side of a window in input pixels: its fields stay in the cache in part."""

RANK = 2
"""Products of two one-dimensional filters that approximate the coloring filter. With 3, and with twice the support, the
standard deviation of members is the same within 1 %; with three quarters of the support it is 5 % larger."""

DEVIATION_OF_BYTES = ((256**2 - 1) / 12) ** 0.5


class SimulationKernel:
    """A `Kernel` of kriging that returns all estimates, all standard deviations, and all of each member."""

    def __init__(self, sensors: Sequence[BandSensor], draws: Draws, device: str) -> None:
        kriger = Kriger(sensors, 1.0)
        self.scale, self.halo = kriger.scale, simulation_halo(sensors)
        self.bands = [
            _Simulator(band, sensor.observation, factors, self.halo, draws)
            for band, sensor, factors in zip(kriger.bands, sensors, draws.factors, strict=True)
        ]
        self.draws = draws
        self.device = torch.device(device)

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """See `protocol.Kernel`."""
        settle_threads()
        with torch.inference_mode():
            source = to_tensor(block).to(self.device, torch.float32)
            n, bands = source.shape[:2]
            shape = (n, bands * self.draws.planes, tile.height * self.scale, tile.width * self.scale)
            out = new_block(shape, self.device)
            windows = placed(tile, SIDE, self.halo, self.scale, self.draws.origin)
            for read, (rows, columns), place in windows:
                for date in range(n):
                    for number, band in enumerate(self.bands):
                        keys = tuple(
                            (self.draws.bands[number], *each.at(tile.lead, date))
                            for each in (self.draws.ground, self.draws.noise)
                        )
                        planes = out[date, number::bands, rows, columns]
                        band.draw(source[date, number, *read], planes, place, keys)
            return from_tensor(out, block)


@dataclass(frozen=True, eq=False)
class Coloring:
    """The filter that gives white noise the spectrum of the prior. radius: half its support in fine pixels."""

    products: separable.Products
    radius: int


@lru_cache(maxsize=64)
def coloring_of(seen: Observation, radius: int | None = None, rank: int = RANK) -> Coloring:
    """Return the coloring filter of a prior with variance one, cut smoothly at `radius` fine pixels."""
    radius = COLORING_RADIUS * seen.scale if radius is None else radius
    size = 256 * min(seen.scale, 8)  # fine pixels until the spectrum repeats itself; beyond the outer scale mostly
    frequency = np.fft.fftfreq(size) * seen.scale  # cycles per coarse pixel
    power = (frequency[:, None] ** 2 + frequency**2 + seen.outer_scale**-2) ** -seen.exponent
    kernel = np.fft.ifft2(np.sqrt(power)).real
    kernel /= np.sqrt((kernel**2).sum())
    places = np.arange(-radius, radius + 1)
    distance = np.hypot(places[:, None], places) / (radius + 1)
    kept: npt.NDArray[np.float64] = kernel[np.ix_(places, places)] * np.where(
        distance < 1, np.cos(np.pi / 2 * np.clip(distance, 0, 1)) ** 2, 0
    )
    return Coloring(separable.products_of(kept, rank), radius)


class _Simulator:
    """Draws of one band.

    around: coarse pixels around a window of which fields are drawn.
    """

    def __init__(self, band: KrigedBand, seen: Observation, factors: Sequence[float], halo: int, draws: Draws) -> None:
        self.band, self.halo, self.draws = band, halo, draws
        self.scale = seen.scale
        self.error_scale = ErrorScale(filters_of(seen), factors)
        self.coloring = coloring_of(seen)
        self.first, taps = terms_of(seen)
        self.psf = [[separable.Operator(np.array([each]), 0, seen.scale) for each in term] for term in taps]
        self.around = halo - separable.MEANS

    def draw(self, plane: Tensor, planes: Tensor, place: tuple[int, int], keys: tuple[tuple[int, ...], ...]) -> None:
        """Fill the planes of a window: estimate, standard deviation, and members if they are kept.

        plane: (rows + 2 halo, columns + 2 halo). place: absolute row and column of the window's first coarse pixel.
        keys: of the field and of the noise.
        """
        noise, signal = self.band.noise_and_signal(plane)
        level = level_of(noise, signal)
        near = Kriger.reach - separable.MEANS
        level = _inner(level, self.around - near)
        reach = self.halo - Kriger.reach
        estimate, deviation, *members = planes
        self.band.krige(_inner(plane, reach), level, estimate)
        prior = self.error_scale.prior(_inner(plane, self.halo - self.around - 2), noise).sqrt_()
        noise = _inner(noise, self.around - Kriger.reach).sqrt()
        squares = deviation.zero_()
        kriged = torch.empty_like(estimate)
        for number in range(self.draws.fields):
            # Both may have one key, so the noise is drawn from the next stream; a stream doubles its key.
            ground, other = (key_of(*key, number) >> 2 for key in keys)
            field = self._field(Chance(self.draws.seed, ground), prior, place)
            seen = self._seen(field, noise.shape)
            seen.addcmul_(noise, self._noise(Chance(self.draws.seed, other + 1), place, noise))
            self.band.krige(seen, level, kriged)
            margin = (field.shape[0] - kriged.shape[0]) // 2
            error = _inner(field, margin).sub_(kriged)
            squares.addcmul_(error, error)
            for sign, member in zip((1, -1), members[2 * number : 2 * number + 2], strict=False):
                torch.add(estimate, error, alpha=sign, out=member)
        deviation.div_(self.draws.fields).sqrt_()

    def _field(self, chance: Chance, prior: Tensor, place: tuple[int, int]) -> Tensor:
        """Return a field of the prior: fine pixels of the window and around it, but for the radius of the coloring."""
        rows, columns = (
            np.arange((first - self.around) * self.scale, (first - self.around + count) * self.scale)
            for first, count in zip(place, prior.shape, strict=True)
        )
        found = drawn(chance.plane_bytes, rows, columns, self.draws.flipped)
        white = torch.from_numpy(found).to(prior.device, torch.float32).sub_(127.5)
        by_pixel = white.view(prior.shape[0], self.scale, prior.shape[1], self.scale)
        by_pixel.mul_((prior / DEVIATION_OF_BYTES)[:, None, :, None])
        radius = self.coloring.radius
        return self.coloring.products.apply(white, white.new_empty(len(rows) - 2 * radius, len(columns) - 2 * radius))

    def _seen(self, field: Tensor, shape: Sequence[int]) -> Tensor:
        """Return what the sensor sees of a field, of the coarse pixels of the window and `Kriger.reach` around it."""
        rows, columns = shape
        start = (self.around - Kriger.reach) * self.scale - self.coloring.radius + self.first
        seen = field.new_empty(rows, columns)
        for number, (along_y, along_x) in enumerate(self.psf):
            tall = along_y.along_y(field[start:], 0, rows, field.new_empty(rows, field.shape[1]))
            along_x.along_x(tall[:, start:], 0, columns, seen, add=int(number > 0))
        return seen

    def _noise(self, chance: Chance, place: tuple[int, int], like: Tensor) -> Tensor:
        rows, columns = (
            np.arange(first - Kriger.reach, first - Kriger.reach + count)
            for first, count in zip(place, like.shape, strict=True)
        )
        return torch.from_numpy(drawn(chance.plane_normal, rows, columns, self.draws.flipped)).to(like.device)


def _inner(plane: Tensor, margin: int) -> Tensor:
    """Return a plane without `margin` pixels on each side."""
    return plane[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]
