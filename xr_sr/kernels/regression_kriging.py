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
from .kriging import KrigedBand, Kriger, level_of
from .kriging_filters import RADIUS as KRIGING_RADIUS
from .measured import agreement_of
from .protocol import RADIUS, BandSensor
from .psf import Gaussian
from .regression import regress, samples_of, weighed

EXTRA_WIDTH = 0.8
"""Standard deviation, in fine input pixels, of the blur that makes a measured fine band as blurred as a coarse one:
0.5 of these are its own, and a coarse band has 1.0."""


class RegressionKriger:
    """Coarse bands with pixels twice as wide as those of their guides.

    sensors: of the coarse bands. scale: output pixels per fine input pixel.
    """

    ratio = 2

    def __init__(self, sensors: Sequence[BandSensor], scale: int) -> None:
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

    def apply(self, coarse: Tensor, guides: Tensor, fine: Tensor, out: Tensor) -> None:
        """Upscale coarse bands (band, y, x) to `out`, (band, rows, columns), without gradient.

        coarse: with consumed / 2 pixels around. guides: (guide, y, x) as measured, with `consumed` pixels around. fine:
        the same upscaled, with `around` input pixels around.
        """
        wide, context = self.ratio * self.scale, self.consumed // self.ratio
        rows, columns = (side // wide for side in out.shape[-2:])
        weights = self._weights(coarse, guides, context).float()
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
            missed = band.without_noise(plane, level_of(*band.noise_and_signal(plane))).sub_(seen)
            band.upsample(missed, out[place])
            out[place].add_(made[edge : edge + rows * wide, edge : edge + columns * wide])

    def _weights(self, coarse: Tensor, guides: Tensor, context: int) -> Tensor:
        """Return the weights of guides and a constant, (band, guide + 1, y, x), with one coarse pixel beyond `r`."""
        left = self.around // self.ratio + self.bilinear.margin + RADIUS
        seen = guides.double()
        for axis in (-2, -1):
            count = seen.shape[axis] // self.ratio - 2 * (context - left)
            start = (context - left) * self.ratio + self.first
            seen = weighed(seen, self.taps, axis, start, count, self.ratio)
        cut = context - left
        return regress(coarse[:, cut : coarse.shape[1] - cut, cut : coarse.shape[2] - cut], seen)
