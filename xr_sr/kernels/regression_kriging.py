"""Upscale coarse bands by area-to-point regression kriging: fine bands say where, their own pixels how much.

    r = sum_k a_k x_k + c        sr = r + K (y - D H r)

x_k are fine bands that have been upscaled already, a_k and c the regression of the coarse band y on them around each of
its pixels, H the band's point spread function, D the sampling of its pixels, and K area-to-point kriging. So what the
sensor would see of r is replaced by what it saw: the result agrees with y wherever y is no noise, and where the guides
say nothing it is kriging of y alone.
Source: Wang, Shi, Li and Atkinson, "Fusion of Sentinel-2 images" (Remote Sensing of Environment 187, 2016); the
regression in a sliding window as in `regression`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..networks import separable
from ..networks.lean import trim
from .kriging import KrigedBand, Kriger, level_of
from .kriging_filters import RADIUS as KRIGING_RADIUS
from .kriging_filters import filters_of
from .measured import agreement_of
from .protocol import RADIUS, BandSensor
from .psf import Gaussian
from .regression import regress, samples_of, weighed
from .regression_spread import MARGIN, GuidedErrorScale, GuideEnergy

EXTRA_WIDTH = 0.8
"""Standard deviation, in fine input pixels, of the blur that makes a measured fine band as blurred as a coarse one:
0.5 of these are its own, and a coarse band has 1.0."""


class RegressionKriger:
    """Coarse bands with pixels twice as wide as those of their guides.

    sensors: of the coarse bands. scale: output pixels per fine input pixel. guides: sensors of the guides. factors: of
    each coarse band, by which deviations are multiplied in the strata; None for bands without deviations.
    """

    ratio = 2

    def __init__(
        self,
        sensors: Sequence[BandSensor],
        scale: int,
        guides: Sequence[BandSensor] = (),
        factors: Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.bands = [KrigedBand(sensor, (1.0, 1.0, 1.0)) for sensor in sensors]
        self.seeing = [agreement_of(sensor.observation) for sensor in sensors]
        self.scale = scale
        wide = self.ratio * scale
        beyond = max(max(one.before, one.after) for one in self.seeing)
        self.around = self.ratio * (KRIGING_RADIUS + math.ceil(beyond / wide))
        """Fine input pixels around the result, an even number, on which upscaled guides are read."""
        self.first, self.taps = samples_of(Gaussian(EXTRA_WIDTH), self.ratio)
        self.blur = math.ceil(max(-self.first, len(self.taps) + self.first - self.ratio) / self.ratio)
        self.bilinear = separable.bilinear(wide)
        coarse = self.around // self.ratio + self.bilinear.margin + RADIUS + self.blur
        self.consumed = self.ratio * max(coarse, Kriger.reach)
        """Fine input pixels around the result on which measured bands are read, an even number."""
        self.guides = guides
        of_guides = [filters_of(sensor.observation) for sensor in guides]
        self.error_scales = [
            GuidedErrorScale(filters_of(sensor.observation), of_guides, own)
            for sensor, own in zip(sensors if factors else (), factors or (), strict=True)
        ]

    def apply(self, coarse: Tensor, guides: Tensor, fine: Tensor, out: Tensor, beside: Sequence[Tensor] = ()) -> None:
        """Upscale coarse bands (band, y, x) to `out`, (band, rows, columns), without gradient.

        coarse: with consumed / 2 pixels around. guides: (guide, y, x) as measured, with `consumed` pixels around. fine:
        the same upscaled, with `around` input pixels around. beside: filled with the standard deviations of the errors,
        and with the strata, each as large as `out`.
        """
        wide, context = self.ratio * self.scale, self.consumed // self.ratio
        rows, columns = (side // wide for side in out.shape[-2:])
        weights, residuals = self._regressed(coarse, guides, context, residuals=bool(beside))
        near = trim(guides, self.consumed - MARGIN)
        energy = GuideEnergy(near, self.guides) if beside else None
        within = self.around // self.ratio  # coarse pixels around the result on which r is there
        tall_rows, wide_columns = rows + 2 * within, columns + 2 * within
        tall = fine.new_empty(tall_rows * wide, weights.shape[-1])
        share = fine.new_empty(tall_rows * wide, wide_columns * wide)
        made = torch.empty_like(share)
        margin = self.bilinear.margin
        inner = context - Kriger.reach
        own = coarse[:, inner : coarse.shape[1] - inner, inner : coarse.shape[2] - inner]
        edge = within * wide
        for place, (band, seeing) in enumerate(zip(self.bands, self.seeing, strict=True)):
            for k, plane in enumerate(weights[place]):
                self.bilinear.along_y(plane, margin, tall_rows, tall)
                self.bilinear.along_x(tall, margin, wide_columns, share)
                if k == 0:
                    torch.mul(share, fine[0], out=made)
                elif k < len(fine):
                    made.addcmul_(share, fine[k])
                else:
                    made.add_(share)
            corner = (within - KRIGING_RADIUS) * wide
            size = rows + 2 * KRIGING_RADIUS, columns + 2 * KRIGING_RADIUS
            seen = seeing.see(made, (corner, corner), size)
            plane = own[place].contiguous()
            noise, signal = band.noise_and_signal(plane)
            level = level_of(noise, signal)
            if energy is not None:
                cut, edge_of_plane = Kriger.reach - separable.MEANS, within + margin
                self.error_scales[place].write(
                    trim(weights[place, :-1], edge_of_plane),
                    energy,
                    residuals[place],
                    trim(plane, Kriger.reach - MARGIN),
                    trim(noise, cut),
                    trim(level, cut),
                    *(each[place] for each in beside),
                )
            missed = band.without_noise(plane, level).sub_(seen)
            band.upsample(missed, out[place])
            out[place].add_(made[edge : edge + rows * wide, edge : edge + columns * wide])

    def _regressed(self, coarse: Tensor, guides: Tensor, context: int, *, residuals: bool) -> tuple[Tensor, Tensor]:
        """Return weights of guides and a constant, (band, guide + 1, y, x), with one coarse pixel beyond `r`.

        And what they leave of the bands, (band, rows + 2 MARGIN, columns + 2 MARGIN); nothing without `residuals`.
        """
        left = self.around // self.ratio + self.bilinear.margin + RADIUS
        seen = guides.double()
        for axis in (-2, -1):
            count = seen.shape[axis] // self.ratio - 2 * (context - left)
            start = (context - left) * self.ratio + self.first
            seen = weighed(seen, self.taps, axis, start, count, self.ratio)
        weights = regress(trim(coarse, context - left), seen)
        if not residuals:
            return weights.float(), coarse[:0]
        own, seen = trim(coarse, context - MARGIN).to(torch.float64, copy=True), trim(seen, left - MARGIN)
        used = trim(weights, left - RADIUS - MARGIN)
        for k, guide in enumerate(seen):
            own.addcmul_(used[:, k], guide, value=-1)
        return weights.float(), own.sub_(used[:, -1]).float()
