"""Kriging plus a draw of what it leaves, as one torch network: reflectance in, a finer image that may be there out.

    member = K y + P (addition + scale * W e)

K is kriging and the scale the standard deviation of its error, the addition is that of `KrigingResidual`, e is drawn
(`FlowResidual`), and P takes out what the band's sensor would see of it (`measured`): seen through the point spread
function, a member agrees with the input as kriging does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.flow_residual import STEPS, FlowResidual
from ..networks.lean import trim
from ..networks.separable import MEANS
from .kriging import Kriger
from .kriging_filters import RADIUS
from .kriging_network import kriger_of, sensors_of
from .measured import agreement_of


@dataclass(frozen=True, eq=False)
class Around:
    """What the members of an image are drawn from, by phase.

    scale, addition: (n, planes, y, x). seen: what the network of paths reads, one input pixel smaller on each side.
    """

    scale: Tensor
    addition: Tensor
    seen: Tensor


class FlowNetwork(FlowResidual):
    """(n, bands, y, x) to (n, bands, (y - 2 consumed) * upscale, ...), reflectance in and out, without padding.

    bands: names of bands of Sentinel-2 with pixels of 10 m. steps: from noise to an image, 1 to STEPS; 1 is the mean.
    seed: of the noise, which `flow` draws.
    `forward` returns the mean, `members` what is drawn. Kriging and the projection are computed in float32.
    """

    takes_float32 = True
    side_cpu = 192

    def __init__(
        self,
        bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
        channels: int = 32,
        pairs: int = 4,
        upscale: int = 4,
        width: int = 96,
        blocks: int = 2,
        steps: int = STEPS,
        seed: int = 0,
    ) -> None:
        super().__init__(len(bands), channels, pairs, upscale, None, width, blocks)
        self.steps, self.seed = steps, seed
        sensors = sensors_of(bands, upscale)
        self.kriger = kriger_of(bands, upscale)
        self.seeing = [agreement_of(sensor.observation) for sensor in sensors]
        beyond = max(max(each.before, each.after) for each in self.seeing)
        self.projected = RADIUS + math.ceil(beyond / upscale)
        """Input pixels around a place that the projection reads."""
        self.beyond = self.projected + STEPS - 1
        """Input pixels around the result of which members are drawn."""
        self.consumed += self.beyond

    def forward(self, x: Tensor) -> Tensor:
        """Return kriging with the mean addition."""
        with torch.no_grad():
            return self.kriged(x).add_(self.mean(self.around(x)))

    def with_scale(self, x: Tensor) -> Tensor:
        """Return the mean of the bands, and after all of them the standard deviations of kriging's errors."""
        with torch.no_grad():
            around = self.around(x)
            scale = functional.pixel_shuffle(trim(around.scale, self.beyond), self.upscale)
            return torch.cat([self.kriged(x).add_(self.mean(around)), scale], dim=1)

    def kriged(self, x: Tensor) -> Tensor:
        """Return kriging of the result's pixels."""
        return self.kriger.predict(trim(x, self.consumed - Kriger.reach), 0)

    def around(self, x: Tensor) -> Around:
        """Return what members are drawn from, with `beyond` input pixels around the result."""
        deviation = self.kriger.deviations(trim(x, self.consumed - self.beyond - MEANS))
        scale = functional.pixel_unshuffle(deviation, self.upscale)
        condition = super().forward(x.contiguous(memory_format=torch.channels_last))
        return Around(scale, *self.parts(condition, scale))

    def mean(self, around: Around) -> Tensor:
        """Return the mean of what is added to kriging: (n, bands, y * upscale, x * upscale)."""
        return self.added(trim(around.addition, STEPS - 1))

    def members(self, around: Around, white: Tensor, wide: Tensor | None = None) -> Tensor:
        """Return what members add to kriging: (draw, bands, y * upscale, x * upscale).

        around: of one image, or of one for each draw. white: (draw, planes, y, x) of the same pixels. wide: factors of
        the scale, (1 or draw, planes, y, x), or none.
        """
        if self.steps == 1:
            mean = self.mean(around)
            return mean.repeat(len(white) // len(mean), 1, 1, 1)  # each is written into
        unused = STEPS - self.steps
        drawn = self.drawn(trim(white, unused), trim(around.seen, unused), self.steps)
        scale = trim(around.scale if wide is None else around.scale * wide, STEPS - 1)
        return self.added(trim(around.addition, STEPS - 1) + scale * self.colored(drawn))

    def added(self, phases: Tensor) -> Tensor:  # type: ignore[override]  # of phases that are there already
        """Return P of phases, (n, planes, y, x), without the pixels that it reads: (n, bands, y * upscale, ...)."""
        fine = functional.pixel_shuffle(phases.float(), self.upscale)
        context = self.projected * self.upscale
        rows, columns = (side - 2 * context for side in fine.shape[-2:])
        out = fine.new_empty(*fine.shape[:2], rows, columns)
        for image, made in zip(fine, out, strict=True):
            for plane, place, seeing in zip(image, made, self.seeing, strict=True):
                place.copy_(seeing.apply(plane, None, (0, 0), context))
        return out
