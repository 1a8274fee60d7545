"""Krige one fine image from many dates of the same ground with sub-pixel shifts: the image of one of them.

The estimate of the reference date alone (`kriging`) is improved by what the other dates show beyond it, their
innovations (`multiframe_filters`). An innovation that is larger than the ground's variance and the noise allow is no
detail but a change, a cloud or haze: there it loses its weight, and the estimate is that of the reference date alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..networks.separable import MEANS
from ..runtime.device import resolve_device
from .kriging import KrigedBand, level_of
from .kriging_filters import LEVELS, RADIUS, SMOOTHING_RADIUS, Doubles
from .multiframe_filters import Series, SeriesFilters, series_filters
from .protocol import AVERAGED, SERIES_REACH, UPDATE_RADIUS, BandSensor, FloatArray, SeriesDate, SeriesResult
from .regression_kriging import RegressionKriger

TOLERATED, LEVEL_TOLERATED = 2.5, 2.0
"""From which on weights fall, as the square of one over it: the ratio of the energy of innovations to its expectation;
and that of the square of their mean: changed ground is mostly brighter or darker as a whole, and detail is not. With 3
and 3, eight dates gain 0.01 dB more, and changed ground is up to 0.21 dB worse than in its single image, not 0.12."""

LOWERED = 0.3
"""Steps of LEVELS, each a factor of ten, by which the ratio of noise to signal is lowered where innovations are joined.
What they show is finer than the variance in a window, which chooses the level, says of the ground: worth 0.12 dB at
eight dates; with twice the noise it costs 0.11 dB, and 0.03 dB with a point spread that is 20 % narrower."""

MOST_ERROR = 0.02
"""Error of the filters that stand for those of all levels, as a fraction of their norm."""

STRIP = 64
"""Coarse rows that are updated at once."""


class SeriesKriger:
    """Kriges the bands of the reference date, and improves them by the other dates.

    sensors: of the bands. dates: beside the reference. factors: as in `protocol.Spread`.
    """

    def __init__(
        self, sensors: Sequence[BandSensor], dates: Sequence[SeriesDate], factors: Sequence[Sequence[float]]
    ) -> None:
        self.scale = sensors[0].observation.scale
        shifts = tuple(date.part for date in dates)
        noise = tuple(1 / date.weight for date in dates)
        self.bands = [
            _Band(KrigedBand(sensor, own), series_filters(Series(sensor.observation, shifts, noise)), dates)
            for sensor, own in zip(sensors, factors, strict=True)
        ]

    def join(self, reference: Tensor, others: Tensor, valid: Tensor, out: Tensor) -> Tensor:
        """Join dates: the reference (band, y, x), others (date, band, y, x), all without NaN, and where others count.

        valid: (date, y, x). All with SERIES_REACH pixels around the result, others moved by the whole pixels of shifts.
        others is overwritten. out: filled, (2 band, rows * scale, columns * scale), with the estimates, then their
        standard deviations. Returns the weights of the other dates, 0 to 1, by pixel: (date, rows, columns).
        """
        count, kept = len(self.bands), []
        compared = _Compared(valid) if len(others) else None
        for place, band in enumerate(self.bands):
            seen = band.seen(reference[place], others[:, place], out[place], out[count + place])
            if compared is not None:
                compared.add(seen)
                kept.append((band, replace(seen, expected=None)))  # the largest arrays there are, and many of them
        if compared is None:
            return valid.new_empty(0, *(side - 2 * SERIES_REACH for side in reference.shape[-2:]), dtype=out.dtype)
        weights = compared.weights(count)
        for place, (band, seen) in enumerate(kept):
            band.update(seen, weights, out[place], out[count + place])
        return _cut(weights, UPDATE_RADIUS)


class _Compared:
    """How much innovations are, and how much was expected of them, over all bands.

    valid: as of `SeriesKriger.join`.
    """

    def __init__(self, valid: Tensor) -> None:
        cut = SERIES_REACH - UPDATE_RADIUS - AVERAGED
        self.known = valid[:, cut:-cut, cut:-cut].float()
        self.ratio = torch.zeros_like(_cut(self.known, AVERAGED))
        self.level, self.count = torch.zeros_like(self.ratio), _summed(self.known).clamp_(min=1)

    def add(self, seen: _Seen) -> None:
        """Add a band; what it expects is overwritten."""
        assert seen.expected is not None
        # The ratio of means, not the mean of ratios: the variance of the ground is itself estimated nearby.
        own, innovations = seen.expected.clamp_(min=1e-12).mul_(self.count), seen.innovations * self.known
        self.level.add_(_summed(innovations).square_().div_(own))
        self.ratio.add_(_summed(innovations.square_()).div_(own))

    def weights(self, bands: int) -> Tensor:
        """Return by date and pixel how much an innovation counts, with UPDATE_RADIUS pixels around the result."""
        weights = torch.ones_like(self.ratio)
        for ratio, tolerated in ((self.ratio, TOLERATED), (self.level, LEVEL_TOLERATED)):
            weights.mul_((tolerated * bands / ratio.clamp_(min=1e-12)).clamp_(max=1).square_())
        return weights.mul_(_cut(self.known, AVERAGED))


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a band shows before dates are joined.

    level: place among LEVELS of each coarse pixel, LOWERED. innovations: (date, y, x), with UPDATE_RADIUS and AVERAGED
    pixels around the result. expected: their mean variance, with UPDATE_RADIUS; None where it is used up.
    """

    level: Tensor
    innovations: Tensor
    expected: Tensor | None


class _Band:
    """One band of a series."""

    def __init__(self, band: KrigedBand, filters: SeriesFilters, dates: Sequence[SeriesDate]) -> None:
        self.band = band
        self.scale = filters.variance.shape[-1]
        self.predicting = torch.from_numpy(filters.predicting[:, None]).float()
        self.phases = filters.updating.shape[1]
        self.basis, self.mixing = (torch.from_numpy(each).float() for each in products_of(filters.updating))
        # Variance of an innovation: by level of the prior variance, and of the noise.
        noises = np.array([[1 / date.weight] for date in dates]).reshape(len(dates), 1)
        self.innovation = torch.from_numpy(np.hstack([filters.innovation.T, noises])).float()
        left = np.sqrt(filters.variance.mean((-2, -1)) / filters.variance[:, :1].mean((-2, -1)))
        self.left = torch.from_numpy(left).float()  # (level, 1 + dates): deviation left, of that without other dates

    def seen(self, reference: Tensor, others: Tensor, single: Tensor, std: Tensor) -> _Seen:
        """Krige the reference alone, and compare the other dates with it; (y, x) and (date, y, x) with all context.

        others: overwritten by the innovations. single, std: filled, the estimate and its deviation.
        """
        band, around = self.band, UPDATE_RADIUS + AVERAGED
        noise, signal = band.noise_and_signal(reference)
        level = level_of(noise, signal)  # MEANS less on each side
        clean = band.without_noise(reference, level)  # SMOOTHING_RADIUS less, as many
        band.upsample(_cut(clean, SERIES_REACH - SMOOTHING_RADIUS - RADIUS).contiguous(), single)
        inner = SERIES_REACH - MEANS
        band.error_scale.write(_cut(reference, SERIES_REACH - 2), _cut(noise, inner), _cut(level, inner), std)
        own = (_cut(level, inner) - LOWERED).clamp_(min=0)
        if not len(others):
            return _Seen(own, others, others)
        noise, level = _cut(noise, inner - around), _cut(level, inner - around)
        prior = band.error_scale.prior(_cut(reference, SERIES_REACH - around - 2), noise)
        planes = [(1 - (level - place).abs_()).clamp_(min=0).mul_(prior) for place in range(len(LEVELS))]
        mean = _summed(torch.stack([*planes, noise])).div_((2 * AVERAGED + 1) ** 2)
        expected = (self.innovation.to(mean.device) @ mean.flatten(1)).view(len(others), *mean.shape[1:])
        predicted = functional.conv2d(clean[None, None], self.predicting.to(clean.device))[0]
        return _Seen(own, _cut(others, SERIES_REACH - around).sub_(predicted), expected)

    def update(self, seen: _Seen, weights: Tensor, estimate: Tensor, std: Tensor) -> None:
        """Add what innovations of these weights say to the estimate, and lower its deviation."""
        innovations = _cut(seen.innovations, AVERAGED) * weights
        rows, columns = seen.level.shape
        scale, fine = self.scale, estimate.view(rows, self.scale, columns, self.scale)
        basis, mixing = self.basis.to(innovations.device), self.mixing.to(innovations.device)
        lowest, highest = int(seen.level.min()), math.ceil(float(seen.level.max()))
        for start in range(0, rows, STRIP):
            stop = min(start + STRIP, rows)
            strip = innovations[None, :, start : stop + 2 * UPDATE_RADIUS]
            total = innovations.new_zeros(self.phases, stop - start, columns)
            found = functional.conv2d(strip, basis)[0].flatten(1)
            for place in range(lowest, min(highest, len(LEVELS) - 1) + 1):
                share = (1 - (seen.level[start:stop] - place).abs_()).clamp_(min=0)
                total.addcmul_((mixing[place] @ found).view_as(total), share)
            by_phase = total.view(scale, scale, stop - start, columns)
            fine[start:stop].add_(by_phase.permute(2, 0, 3, 1))
        by_pixel = std.view(rows, scale, columns, scale)
        by_pixel.mul_(self._left(seen.level, _cut(weights, UPDATE_RADIUS))[:, None, :, None])

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


def products_of(updating: Doubles) -> tuple[Doubles, Doubles]:
    """Approximate the filters of all levels and phases by sums of a few: (filter, date, n, n), and how they are mixed.

    updating: (level, phase, date, n, n). Returns the few, and (level, phase, filter). Filters of neighboring phases and
    levels are alike: 20 to 30 take the place of 80 with an error of MOST_ERROR of their norm.
    """
    levels, phases, *shape = updating.shape
    if not updating.size:
        return np.zeros((0, *shape)), np.zeros((levels, phases, 0))
    left, strength, right = np.linalg.svd(updating.reshape(levels * phases, -1), full_matrices=False)
    error = np.sqrt(np.cumsum(np.square(strength)[::-1])[::-1] / max(np.square(strength).sum(), 1e-300))
    count = max(1, int((error > MOST_ERROR).sum()))
    return right[:count].reshape(count, *shape), (left[:, :count] * strength[:count]).reshape(levels, phases, count)


def _summed(images: Tensor) -> Tensor:
    """Sum (2 AVERAGED + 1)^2 pixels around each: (..., y, x) to AVERAGED less on each side."""
    for axis in (-2, -1):
        side = images.shape[axis] - 2 * AVERAGED
        total = images.narrow(axis, 0, side) + images.narrow(axis, 1, side)
        for step in range(2, 2 * AVERAGED + 1):
            total.add_(images.narrow(axis, step, side))
        images = total
    return images


def _cut(image: Tensor, margin: int) -> Tensor:
    """Take `margin` pixels off each side of (..., y, x)."""
    return image[..., margin : image.shape[-2] - margin, margin : image.shape[-1] - margin]


@lru_cache(maxsize=64)
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
    spare: int,
) -> SeriesResult:
    """Join arrays of one block, and leave room for `spare` more planes; see `SeriesKriger.join`.

    others may be overwritten.
    """
    place = resolve_device(device)
    kriger = kriger_of(sensors, dates, factors)
    rows, columns = ((side - 2 * SERIES_REACH) * kriger.scale for side in reference.shape[-2:])
    with torch.inference_mode():
        out = torch.empty(2 * len(sensors) + spare, rows, columns, device=place)
        seen, beside, counted = (torch.as_tensor(each).to(place) for each in (reference, others, valid))
        weights = kriger.join(seen, beside, counted, out[: 2 * len(sensors)])
        return SeriesResult(out.cpu().numpy(), weights.cpu().numpy(), len(sensors))


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
