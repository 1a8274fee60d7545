"""Krige one fine image from many dates of the same ground, displaced by parts of a pixel: the image of one of them.

The estimate of the reference date alone (`kriging`) is improved by what the other dates show beyond it, their
innovations (`multiframe_filters`). An innovation that is larger than the ground's variance and the noise allow is no
detail but a change, a cloud or haze: there it loses its weight, and the estimate is that of the reference date alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..networks.separable import MEANS
from ..runtime.device import resolve_device
from .kriging import KrigedBand, level_of
from .kriging_filters import LEVELS, RADIUS, SMOOTHING_RADIUS
from .multiframe_filters import Series, SeriesFilters, series_filters
from .protocol import AVERAGED, SERIES_REACH, UPDATE_RADIUS, BandSensor, FloatArray, SeriesDate, SeriesResult
from .regression_kriging import RegressionKriger

TOLERATED = LEVEL_TOLERATED = 3.0
"""From which on weights fall, as the square of one over it: the ratio of the energy of innovations to its expectation;
and that of the square of their mean: changed ground is mostly brighter or darker as a whole, and detail is not."""

LOWERED = 0.3
"""Steps of LEVELS, each a factor of ten, by which the ratio of noise to signal is lowered where innovations are joined.
What they show is finer than the variance in a window, which chooses the level, says of the ground: worth 0.12 dB at
eight dates; with twice the noise it costs 0.11 dB, and 0.03 dB with a point spread that is 20 % narrower."""

STRIP = 64
"""Coarse rows that are updated at once."""


@dataclass(frozen=True, eq=False)
class Joined:
    """What a block of several dates gives.

    estimate, std: (band, rows * scale, columns * scale), in reflectance. weights: (date, rows, columns), those of the
    other dates, 0 to 1, by pixel.
    """

    estimate: Tensor
    std: Tensor
    weights: Tensor


class SeriesKriger:
    """Kriges the bands of the reference date, and improves them by the other dates.

    sensors: of the bands. dates: beside the reference. factors: as in `protocol.Spread`.
    """

    reach = SERIES_REACH

    def __init__(
        self, sensors: Sequence[BandSensor], dates: Sequence[SeriesDate], factors: Sequence[Sequence[float]]
    ) -> None:
        self.scale = sensors[0].observation.scale
        self.dates = tuple(dates)
        shifts = tuple(date.part for date in dates)
        noise = tuple(1 / date.weight for date in dates)
        self.bands = [
            _Band(KrigedBand(sensor, own), series_filters(Series(sensor.observation, shifts, noise)), self.dates)
            for sensor, own in zip(sensors, factors, strict=True)
        ]

    def join(self, reference: Tensor, others: Tensor, valid: Tensor) -> Joined:
        """Join dates: the reference (band, y, x), others (date, band, y, x), all without NaN, and where others count.

        valid: (date, y, x). All with `reach` pixels around the result, others moved by their whole pixels of shift.
        """
        seen = [
            band.seen(reference[place], others[:, place] if len(others) else others.new_empty(0, *reference.shape[1:]))
            for place, band in enumerate(self.bands)
        ]
        weights = self._weights([each.innovations for each in seen], [each.expected for each in seen], valid)
        made = [band.updated(each, weights) for band, each in zip(self.bands, seen, strict=True)]
        inner = _cut(weights, UPDATE_RADIUS)
        estimate, std = (torch.stack(each) for each in zip(*made, strict=True))
        return Joined(estimate, std, inner)

    def _weights(self, innovations: Sequence[Tensor], expected: Sequence[Tensor], valid: Tensor) -> Tensor:
        """Return by date and pixel how much an innovation counts, with UPDATE_RADIUS pixels around the result."""
        cut = SERIES_REACH - UPDATE_RADIUS - AVERAGED
        known = valid[:, cut:-cut, cut:-cut].to(innovations[0].dtype)
        if not len(known):
            return _cut(known, AVERAGED)
        side, ratio = 2 * AVERAGED + 1, torch.zeros_like(_cut(known, AVERAGED))
        level = torch.zeros_like(ratio)
        for found, usual in zip(innovations, expected, strict=True):
            # The ratio of means, not the mean of ratios: the variance of the ground is itself estimated nearby.
            energy, mean, own = (
                functional.avg_pool2d((each * known)[:, None], side, 1)[:, 0] for each in (found.square(), found, usual)
            )
            own.clamp_(min=1e-12)
            ratio.add_(energy.div_(own))
            level.add_(mean.square_().div_(own), alpha=side**2)
        weights = torch.ones_like(ratio)
        for each, tolerated in ((ratio, TOLERATED), (level, LEVEL_TOLERATED)):
            weights.mul_((tolerated * len(innovations) / each.clamp_(min=1e-12)).clamp_(max=1).square_())
        return weights.mul_(_cut(known, AVERAGED))


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a band shows before dates are joined.

    single, std: fine, of the reference alone. level: place among LEVELS of each coarse pixel, LOWERED. innovations:
    (date, y, x), expected: their variance; both with UPDATE_RADIUS and AVERAGED pixels around the result.
    """

    single: Tensor
    std: Tensor
    level: Tensor
    innovations: Tensor
    expected: Tensor


class _Band:
    """One band of a series."""

    def __init__(self, band: KrigedBand, filters: SeriesFilters, dates: Sequence[SeriesDate]) -> None:
        self.band, self.filters = band, filters
        self.scale = filters.variance.shape[-1]
        self.predicting = torch.from_numpy(filters.predicting[:, None]).float()
        self.phases = filters.updating.shape[1]
        self.updating = torch.from_numpy(filters.updating).float()
        self.innovation = torch.from_numpy(filters.innovation).float()[..., None, None]
        self.noises = torch.tensor([1 / date.weight for date in dates])[:, None, None]
        left = np.sqrt(filters.variance.mean((-2, -1)) / filters.variance[:, :1].mean((-2, -1)))
        self.left = torch.from_numpy(left).float()  # (level, 1 + dates): deviation left, of that without other dates

    def seen(self, reference: Tensor, others: Tensor) -> _Seen:
        """Krige the reference alone, and compare the other dates with it; (y, x) and (date, y, x) with all context."""
        band, around = self.band, UPDATE_RADIUS + AVERAGED
        noise, signal = band.noise_and_signal(reference)
        level = level_of(noise, signal)  # MEANS less on each side
        clean = band.without_noise(reference, level)  # SMOOTHING_RADIUS less, as many
        rows, columns = (side - 2 * SERIES_REACH for side in reference.shape)
        single = reference.new_empty(rows * self.scale, columns * self.scale)
        near = SERIES_REACH - SMOOTHING_RADIUS - RADIUS
        band.upsample(_cut(clean, near).contiguous(), single)
        inner = SERIES_REACH - MEANS
        std = torch.empty_like(single)
        own = _cut(reference, SERIES_REACH - 2)
        band.error_scale.write(own, _cut(noise, inner), _cut(level, inner), std)
        inner -= around
        expected = predicted = others.new_empty(0, rows + 2 * around, columns + 2 * around)
        if len(others):
            own_noise, beside = _cut(noise, inner), _cut(level, inner)
            expected = self.noises.to(own_noise.device) * own_noise
            prior = band.error_scale.prior(_cut(reference, SERIES_REACH - around - 2), own_noise)
            for place, innovation in enumerate(self.innovation.to(own_noise.device)):
                share = (1 - (beside - place).abs_()).clamp_(min=0).mul_(prior)
                expected.addcmul_(innovation, share)
            predicted = functional.conv2d(clean[None, None], self.predicting.to(clean.device))[0]
            predicted = _cut(others, SERIES_REACH - around) - predicted
        lowered = (_cut(level, SERIES_REACH - MEANS) - LOWERED).clamp_(min=0)
        return _Seen(single, std, lowered, predicted, expected)

    def updated(self, seen: _Seen, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return estimate and standard deviation, with innovations of these weights."""
        if not len(weights):
            return seen.single, seen.std
        innovations = _cut(seen.innovations, AVERAGED) * weights
        rows, columns = seen.level.shape
        scale, fine = self.scale, seen.single.view(rows, self.scale, columns, self.scale)
        updating = self.updating.to(innovations.device)
        lowest, highest = int(seen.level.min()), math.ceil(float(seen.level.max()))
        for start in range(0, rows, STRIP):
            stop = min(start + STRIP, rows)
            strip = innovations[None, :, start : stop + 2 * UPDATE_RADIUS]
            total = innovations.new_zeros(self.phases, stop - start, columns)
            for place in range(lowest, min(highest, len(LEVELS) - 1) + 1):
                share = (1 - (seen.level[start:stop] - place).abs_()).clamp_(min=0)
                total.addcmul_(functional.conv2d(strip, updating[place])[0], share)
            by_phase = total.view(scale, scale, stop - start, columns)
            fine[start:stop].add_(by_phase.permute(2, 0, 3, 1))
        by_pixel = seen.std.view(rows, scale, columns, scale)
        by_pixel.mul_(self._left(seen.level, _cut(weights, UPDATE_RADIUS))[:, None, :, None])
        return seen.single, seen.std

    def _left(self, level: Tensor, weights: Tensor) -> Tensor:
        """Return the share of the deviation that is left with dates of these weights, linear between whole numbers."""
        count = weights.sum(0)
        found = torch.zeros_like(count)
        for place, line in enumerate(self.left.to(count.device)):
            share = (1 - (level - place).abs_()).clamp_(min=0)
            if not share.any():
                continue
            below = count.floor().long().clamp_(max=len(line) - 2)
            between = line[below].lerp(line[below + 1], count - below)
            found.addcmul_(between, share)
        return found


def _cut(image: Tensor, margin: int) -> Tensor:
    """Take `margin` pixels off each side of (..., y, x)."""
    return image[..., margin : image.shape[-2] - margin, margin : image.shape[-1] - margin]


@lru_cache(maxsize=16)
def kriger_of(
    sensors: tuple[BandSensor, ...], dates: tuple[SeriesDate, ...], factors: tuple[tuple[float, float, float], ...]
) -> SeriesKriger:
    """Return the kriger of a series, made once in a process."""
    return SeriesKriger(sensors, dates, factors)


def joined(
    sensors: tuple[BandSensor, ...],
    dates: tuple[SeriesDate, ...],
    factors: tuple[tuple[float, float, float], ...],
    device: str,
    reference: FloatArray,
    others: FloatArray,
    valid: FloatArray,
) -> SeriesResult:
    """Join arrays of one block; see `SeriesKriger.join`."""
    place = resolve_device(device)
    kriger = kriger_of(sensors, dates, factors)
    with torch.inference_mode():
        found = kriger.join(*(torch.as_tensor(each).to(place) for each in (reference, others, valid)))
        return SeriesResult(*(each.cpu().numpy() for each in (found.estimate, found.std, found.weights)))


@lru_cache(maxsize=16)
def regression_of(
    sensors: tuple[BandSensor, ...],
    guides: tuple[BandSensor, ...],
    factors: tuple[tuple[float, float, float], ...] | None,
    scale: int,
) -> RegressionKriger:
    """Return the regression kriger of coarse bands, made once in a process."""
    return RegressionKriger(sensors, scale, guides, factors)


def guided(
    sensors: tuple[BandSensor, ...],
    guides: tuple[BandSensor, ...],
    factors: tuple[tuple[float, float, float], ...],
    scale: int,
    device: str,
    coarse: FloatArray,
    measured: FloatArray,
    fine: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Upscale coarse bands of one block; returns estimates and deviations. See `RegressionKriger.apply`."""
    place = resolve_device(device)
    kriger = regression_of(sensors, guides, factors, scale)
    rows, columns = (side - 2 * kriger.around * scale for side in fine.shape[-2:])
    with torch.inference_mode():
        made = torch.empty(2, len(sensors), rows, columns, device=place)
        own, seen, upscaled = (torch.as_tensor(each).to(place) for each in (coarse, measured, fine))
        kriger.apply(own, seen, upscaled, made[0], [made[1]])
        return made[0].cpu().numpy(), made[1].cpu().numpy()
