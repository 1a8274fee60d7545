"""Upscale bands by area-to-point kriging with the point spread function of their sensor; no weights, no training.

Where the ground varies much more than the noise, the result is as sharp as what was measured allows; where it does
not, noise is taken out: the ratio of noise to signal is estimated around each input pixel. The filters, and their
sources, are in `kriging_filters`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..networks import separable
from ..networks.lean import trim
from .kriging_filters import LEVELS, RADIUS, SMOOTHING_RADIUS, Filters, filters_of
from .kriging_spread import ErrorScale
from .protocol import BandSensor, Spread
from .sensor_noise import DARKEST

SIGNAL_SHARE = 12.5
"""Variance that the ground is taken to have per variance of the coarse pixels around a place, its noise subtracted.

The prior alone would have 4. More keeps edges sharp, whose variance is spread over the whole window, and leaves more of
the noise: on aerial imagery as Sentinel-2 sees it 12.5 was the best compromise between sensors (docs/models.md).
"""

LEAST_VARIANCE = 1e-9
"""Below which a window counts as flat; a standard deviation of 3e-5 reflectance."""


STRIP = 512
"""Fine rows that are computed at once: more take fewer calls, fewer take less memory."""


class Kriger:
    """Each band by itself, as a `Predictor`.

    strength: how much of the detail beyond bicubic interpolation is kept; 1 is kriging. spread: what is returned beside
    the estimates.
    """

    reach = RADIUS + SMOOTHING_RADIUS
    side_cpu = 512  # fewer calls, and long rows; only STRIP fine rows are computed at once

    def __init__(self, sensors: Sequence[BandSensor], strength: float, spread: Spread | None = None) -> None:
        factors = spread.factors if spread and spread.factors else [(1.0, 1.0, 1.0)] * len(sensors)
        self.bands = [KrigedBand(sensor, own) for sensor, own in zip(sensors, factors, strict=True)]
        self.scale = sensors[0].observation.scale
        self.strength = strength
        self.planes = spread.planes if spread else 1

    def predict(self, window: Tensor, margin: int) -> Tensor:
        """See `protocol.Predictor`."""
        n, bands, height, width = window.shape
        rows, columns = (side - 2 * self.reach for side in (height, width))
        out = window.new_empty(n, bands * self.planes, rows * self.scale, columns * self.scale)
        self.predict_into(window, out)
        cut = -(-margin // self.scale) * self.scale - margin
        return out[..., cut : out.shape[-2] - cut, cut : out.shape[-1] - cut]

    def predict_into(self, window: Tensor, out: Tensor, *, add: bool = False) -> None:
        """See `protocol.PredictorInto`. add: to what `out` holds, for a strength of 1."""
        for date in range(window.shape[0]):
            for place, band in enumerate(self.bands):
                estimate, *beside = out[date, place :: len(self.bands)]
                band.apply(window[date, place], estimate, self.strength, beside, add=add)

    def deviations(self, window: Tensor) -> Tensor:
        """Return the standard deviations of errors alone, (n, band, rows * scale, columns * scale).

        window: (n, band, y, x) with MEANS pixels on each side of the result.
        """
        n, bands, height, width = window.shape
        rows, columns = ((side - 2 * separable.MEANS) * self.scale for side in (height, width))
        out = window.new_empty(n, bands, rows, columns)
        for image, planes in zip(window, out, strict=True):
            for band, plane, place in zip(self.bands, image, planes, strict=True):
                band.judge(plane.contiguous(), [place])
        return out


class KrigedBand:
    """The filters of one band."""

    def __init__(self, sensor: BandSensor, factors: Sequence[float]) -> None:
        filters = filters_of(sensor.observation)
        self.noise = sensor.noise
        self.upsampling = separable.Upsampling(filters.along_y, filters.along_x)
        self.smoothing = _steps(filters)
        self.bicubic = separable.bicubic(sensor.observation.scale)
        self.error_scale = ErrorScale(filters, factors)

    def apply(
        self, plane: Tensor, out: Tensor, strength: float, beside: Sequence[Tensor] = (), *, add: bool = False
    ) -> None:
        """Upscale (rows + 2 reach, columns + 2 reach) to (rows * scale, columns * scale), in `out`.

        beside: filled with the standard deviation of the error, and with the strata.
        """
        noise, signal = self.noise_and_signal(plane)
        level = level_of(noise, signal)
        if beside:
            cut = Kriger.reach - separable.MEANS
            near = trim(plane, Kriger.reach - 2)
            self.error_scale.write(near, trim(noise, cut), trim(level, cut), *beside)
        self.krige(plane, level, out, add=add)
        if strength == 1:
            return
        reach, scale = Kriger.reach, self.bicubic.scale
        rows, columns = (side // scale for side in out.shape)
        tall = plane.new_empty(rows * scale, plane.shape[1])
        self.bicubic.along_y(plane, reach, rows, tall)
        smooth = torch.empty_like(out)
        self.bicubic.along_x(tall, reach, columns, smooth)
        out.lerp_(smooth, 1 - strength)

    def judge(self, plane: Tensor, beside: Sequence[Tensor]) -> None:
        """Write what `apply` writes beside the estimate, alone. plane: with MEANS pixels on each side of the result."""
        noise, signal = self.noise_and_signal(plane)
        self.error_scale.write(trim(plane, separable.MEANS - 2), noise, level_of(noise, signal), *beside)

    def krige(self, plane: Tensor, level: Tensor, out: Tensor, *, add: bool = False) -> None:
        """Upscale as `apply`, with ratios of noise to signal that may be those of another image."""
        self.upsample(self.without_noise(plane, level), out, add=add)

    def upsample(self, clean: Tensor, out: Tensor, *, add: bool = False) -> None:
        """Krige pixels without noise, (rows + 2 RADIUS, columns + 2 RADIUS) to (rows * scale, columns * scale)."""
        scale = self.bicubic.scale
        rows, step = out.shape[0] // scale, max(1, STRIP // scale)
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            fine, place = self.upsampling.apply(clean[start : stop + 2 * RADIUS]), out[start * scale : stop * scale]
            if add:
                place.add_(fine)
            else:
                place.copy_(fine)

    def without_noise(self, plane: Tensor, level: Tensor) -> Tensor:
        """Filter (rows, columns) as its own variance asks for, to SMOOTHING_RADIUS less on each side."""
        cut = slice(SMOOTHING_RADIUS, -SMOOTHING_RADIUS)  # separable.MEANS of the level are as wide
        clean, share = plane[cut, cut].clone(), torch.empty_like(level)
        for place, step in enumerate(self.smoothing.apply(plane).unbind(1)):
            clean.addcmul_(torch.sub(level, place, out=share).clamp_(0, 1), step)
        return clean

    def noise_and_signal(self, plane: Tensor) -> tuple[Tensor, Tensor]:
        """Return the variance of the noise, and that of the ground, with MEANS pixels less on each side."""
        mean, variance = separable.local_moments(plane)
        if self.noise.at:
            noise = self.noise.deviation**2 / self.noise.at * mean.clamp_(min=DARKEST)
        else:
            noise = torch.full_like(mean, self.noise.deviation**2)
        return noise, SIGNAL_SHARE * (variance - noise).clamp_(min=LEAST_VARIANCE)


def level_of(noise: Tensor, signal: Tensor) -> Tensor:
    """Return where the ratio of noise to signal lies among LEVELS, from 0 to the last, between them by its log."""
    step = math.log10(LEVELS[1] / LEVELS[0])
    return (noise / signal).log10_().sub_(math.log10(LEVELS[0])).div_(step).clamp_(0, len(LEVELS) - 1)


def _steps(filters: Filters) -> separable.Bank:
    """Return the filters of all levels, each without that of the level before."""
    kernels = np.einsum("lri,lrj->lij", filters.smoothing_y, filters.smoothing_x)
    unchanged = np.zeros_like(kernels[:1])
    unchanged[:, SMOOTHING_RADIUS, SMOOTHING_RADIUS] = 1
    return separable.Bank(np.diff(kernels, axis=0, prepend=unchanged))
