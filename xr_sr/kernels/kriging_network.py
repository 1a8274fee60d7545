"""Kriging plus what a small network adds to it, as one torch network: reflectance in, finer reflectance out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..catalog import registry
from ..catalog.models import Kriging
from ..errors import MissingBandError
from ..networks.kriging_residual import KrigingResidual
from ..networks.lean import refuse_clamp, trim
from ..networks.separable import MEANS
from .kriging import KrigedBand, Kriger
from .observe import check_kriging, observed
from .protocol import BandSensor, Spread
from .regression_kriging import RegressionKriger
from .sensor_noise import SIGNAL_TO_NOISE, strength_of


def sensors_of(bands: Sequence[str], scale: int, ratio: int = 1) -> tuple[BandSensor, ...]:
    """Return how Sentinel-2 observes bands with pixels of `ratio` times 10 m, as published. scale: as of 10 m bands."""
    spec = registry.get("kriging")
    assert isinstance(spec, Kriging)
    return observed(check_kriging(replace(spec, scale=scale)), bands, ratio, 10.0)


def kriger_of(bands: Sequence[str], scale: int) -> Kriger:
    """Return kriging of 10 m bands with the published point spread function and noise, to which the network adds."""
    return Kriger(sensors_of(bands, scale), 1.0)


def residual_of(
    bands: Sequence[str], *, channels: int = 32, pairs: int = 4, scale: int = 4, seed: int | None = None
) -> KrigingResidual:
    """Create the network that adds to kriging, untrained, with the published noise of bands of Sentinel-2.

    bands: by any of their names, in the order in which they are read. channels, pairs: see `KrigingResidual`. scale:
    output pixels per input pixel. seed: of its random numbers; None takes those of the process.
    Raises MissingBandError for a band whose noise is not known.
    """
    bands = [registry.canonical(band) for band in bands]
    if unknown := [band for band in bands if band not in SIGNAL_TO_NOISE]:
        raise MissingBandError(f"bands= has {unknown}, whose noise is not known; expected bands of Sentinel-2.")
    noise = [(0.0, strength.deviation**2 / strength.at) for strength in map(strength_of, bands)]
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return KrigingResidual(len(bands), channels, pairs, scale, noise)


class KrigingNetwork(KrigingResidual):
    """(n, bands, y, x) to (n, bands, (y - 2 consumed) * upscale, ...), reflectance in and out, without padding.

    bands: names of bands of Sentinel-2 with pixels of 10 m. strength: of the addition, 0 is kriging alone. Weights are
    those of `KrigingResidual`. Kriging is computed in float32 at any precision of the weights, and has no gradient.
    """

    takes_float32 = True
    side_cpu = 256  # less context than in smaller windows; features of larger ones leave the cache

    def __init__(
        self,
        bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
        channels: int = 32,
        pairs: int = 4,
        upscale: int = 4,
        strength: float = 1.0,
    ) -> None:
        super().__init__(len(bands), channels, pairs, upscale)
        self.kriger = kriger_of(bands, upscale)
        self.names, self.strength = tuple(bands), strength
        self.own, self.consumed = self.consumed, max(self.consumed, Kriger.reach)
        self.fine_consumed = self.consumed
        self._judge: tuple[Spread, Kriger] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return kriging with the addition."""
        if not torch.is_grad_enabled():
            return self._written(x, self.bands)
        with torch.no_grad():  # it works in place
            fine = self.kriger.predict(trim(x, self.fine_consumed - Kriger.reach), 0)
        return fine + self.strength * self.added(*self.read(trim(x, self.fine_consumed - self.own)))

    def write(self, x: Tensor, out: Tensor) -> None:
        """Write kriging with the addition to `out`; without a gradient."""
        if self.strength:
            features, spread = self.read(trim(x, self.fine_consumed - self.own))
            self.write_added(features, spread * self.strength, out)
        self.kriger.predict_into(trim(x, self.fine_consumed - Kriger.reach), out, add=self.strength != 0)

    def _written(self, x: Tensor, bands: int) -> Tensor:
        rows, columns = ((side - 2 * self.consumed) * self.upscale for side in x.shape[-2:])
        out = x.new_empty(len(x), bands, rows, columns)
        self.write(x, out)
        return out

    def _judging(self, spread: Spread) -> Kriger:
        """Return kriging with the errors that are asked for; one network has one `spread`."""
        if self._judge is None or self._judge[0] != spread:
            self._judge = spread, Kriger(sensors_of(self.names, self.upscale), 1.0, spread)
        return self._judge[1]

    def write_judged(self, x: Tensor, out: Tensor, spread: Spread) -> None:
        """Write all estimates, then the planes of `spread`, to `out`; without a gradient.

        The scale of the error is the standard deviation of kriging, which holds for the sum too: on four places its
        rank correlation with the error was 0.14 to 0.42, that of the scale which the network learned 0.11 to 0.41,
        lower on each.
        """
        if self.strength:
            features, deviation = self.read(trim(x, self.fine_consumed - self.own))
            self.write_added(features, deviation * self.strength, out[:, : self.bands])
        window = trim(x, self.fine_consumed - Kriger.reach)
        self._judging(spread).predict_into(window, out, add=self.strength != 0)

    def with_scale(self, x: Tensor) -> Tensor:
        """Return the bands, and after all of them the scale of their errors; without a gradient."""
        rows, columns = ((side - 2 * self.consumed) * self.upscale for side in x.shape[-2:])
        bands = len(getattr(self, "gives", range(self.bands)))
        out = x.new_empty(len(x), 2 * bands, rows, columns)
        with torch.no_grad():
            self.write_judged(x, out, Spread(((1.0, 1.0, 1.0),) * bands))
        return out


class KrigingFusion(KrigingNetwork):
    """(n, bands, y, x) of two pixel sizes to (n, bands, (y - 2 consumed) * upscale, ...), reflectance, without padding.

    bands: the fine ones, which come as those of `KrigingNetwork`, whose weights these are. coarse: those with pixels
    twice as wide, by regression kriging on the upscaled fine ones. Of the input the coarse bands are the last ones,
    each pixel repeated 2 x 2 from the corner on. `gives` are the indices of the bands that are returned.
    """

    side_cpu = 256
    """Windows of this side: the context is wide, and more of it would be computed twice."""

    def __init__(
        self,
        bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
        coarse: Sequence[str] = ("B05", "B06", "B07", "B8A", "B11", "B12"),
        channels: int = 32,
        pairs: int = 4,
        upscale: int = 4,
        strength: float = 1.0,
    ) -> None:
        super().__init__(bands, channels, pairs, upscale, strength)
        self.coarse, self.reads_coarse = tuple(coarse), len(coarse)
        self.gives = tuple(range(len(bands) + len(coarse)))
        self.regression = RegressionKriger(sensors_of(coarse, upscale, 2), upscale)
        self._judge_all: tuple[Spread, list[KrigedBand], RegressionKriger] | None = None
        around = self.regression.around
        self.consumed = max(self.regression.consumed, around + self.fine_consumed + (around + self.fine_consumed) % 2)

    def folded(self, *, non_negative: bool = False, gives: Sequence[int] | None = None) -> KrigingFusion:
        """Return the same network for some output bands alone, by their sorted indices; None is all.

        Raises ModelError for non_negative: clamping would undo the agreement with the input.
        """
        refuse_clamp(non_negative)
        if gives is not None:
            self.gives = tuple(gives)
            given = [self.coarse[place - self.bands] for place in self._coarse_given]
            self.regression = RegressionKriger(sensors_of(given or self.coarse, self.upscale, 2), self.upscale)
        return self

    @property
    def _fine_given(self) -> list[int]:
        return [place for place in self.gives if place < self.bands]

    @property
    def _coarse_given(self) -> list[int]:
        return [place for place in self.gives if place >= self.bands]

    def forward(self, x: Tensor) -> Tensor:
        """Return the bands upscaled."""
        with torch.no_grad():
            return self._written(x, len(self.gives))

    def write(self, x: Tensor, out: Tensor) -> None:
        """Write the bands upscaled to `out`; without a gradient."""
        self._write(x, out, self.regression)

    def write_judged(self, x: Tensor, out: Tensor, spread: Spread) -> None:
        """Write all estimates, then the planes of `spread`, to `out`; without a gradient.

        Scales of errors are the deviations of kriging, and of regression kriging (`regression_spread`).
        """
        if self._judge_all is None or self._judge_all[0] != spread:
            factors = spread.factors or ((1.0, 1.0, 1.0),) * len(self.gives)
            own = [factors[n] for n, place in enumerate(self.gives) if place < self.bands]
            names = [self.names[place] for place in self.gives if place < self.bands]
            kriged = [KrigedBand(*pair) for pair in zip(sensors_of(names, self.upscale), own, strict=True)]
            given = [self.coarse[place - self.bands] for place in self._coarse_given]
            guides = sensors_of(self.names, self.upscale)
            sensors, rest = sensors_of(given, self.upscale, 2), factors[len(own) :]
            regression = RegressionKriger(sensors, self.upscale, guides, rest) if given else self.regression
            self._judge_all = spread, kriged, regression
        _, kriged, regression = self._judge_all
        count = len(self.gives)
        planes = out.unflatten(1, (-1, count))
        self._write(x, planes[:, 0], regression, planes[:, 1:])
        for date in range(len(x)):
            for place, (band, plane) in enumerate(zip(kriged, self._fine_given, strict=True)):
                band.judge(trim(x[date, plane], self.consumed - MEANS), [*planes[date, 1:, place]])

    def _write(self, x: Tensor, out: Tensor, regression: RegressionKriger, beside: Tensor | None = None) -> None:
        scale, count = self.upscale, self.bands
        fine_given = self._fine_given
        around = regression.around if self._coarse_given else 0
        seen = trim(x[:, :count], self.consumed - around - self.fine_consumed)
        rows, columns = ((side - 2 * self.fine_consumed) * scale for side in seen.shape[-2:])
        fine = x.new_empty(len(x), count, rows, columns)
        super().write(seen, fine)
        inner = trim(fine, around * scale)
        out[:, : len(fine_given)] = inner if len(fine_given) == count else inner[:, fine_given]
        if self._coarse_given:
            measured = trim(x, self.consumed - regression.consumed)
            coarse = measured[:, self._coarse_given, ::2, ::2]
            for date in range(len(x)):
                more = [] if beside is None else [*beside[date, :, len(fine_given) :]]
                regression.apply(coarse[date], measured[date, :count], fine[date], out[date, len(fine_given) :], more)
