"""Kriging plus a draw of what it leaves, as one torch network: reflectance in, a finer image that may be there out.

    member = K y + P (addition + scale * W e)

K is kriging, the addition and the scale of its error are those of `KrigingResidual`, e is drawn (`FlowResidual`), and P
takes out what the band's sensor would see of it (`measured`): seen through the point spread function, a member agrees
with the input as kriging does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.flow_residual import STEPS, FlowResidual
from ..networks.lean import trim
from .kriging import Kriger
from .kriging_filters import RADIUS
from .kriging_network import kriger_of, sensors_of
from .measured import agreement_of


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
        """Return the mean of the bands, and after all of them the scale of their errors."""
        with torch.no_grad():
            parts = self.around(x)
            scale = functional.pixel_shuffle(trim(parts[1], self.beyond), self.upscale)
            return torch.cat([self.kriged(x).add_(self.mean(parts)), scale], dim=1)

    def kriged(self, x: Tensor) -> Tensor:
        """Return kriging of the result's pixels."""
        return self.kriger.predict(trim(x, self.consumed - Kriger.reach), 0)

    def around(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `parts`, with `beyond` input pixels around the result."""
        return self.parts(super().forward(x.contiguous(memory_format=torch.channels_last)))

    def mean(self, parts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the mean of what is added to kriging: (n, bands, y * upscale, x * upscale)."""
        return self.added(trim(parts[0], STEPS - 1))

    def members(self, parts: tuple[Tensor, Tensor, Tensor], white: Tensor, wide: Tensor | None = None) -> Tensor:
        """Return what members add to kriging: (draw, bands, y * upscale, x * upscale).

        parts: of one image, as `around` returns them. white: (draw, planes, y, x) of the same pixels. wide: factors of
        the scale, (1, planes, y, x), or none.
        """
        addition, scale, seen = parts
        if self.steps == 1:
            return self.mean(parts).expand(len(white), -1, -1, -1)
        unused = STEPS - self.steps
        drawn = self.drawn(trim(white, unused), trim(seen, unused), self.steps)
        scale = trim(scale if wide is None else scale * wide, STEPS - 1)
        return self.added(trim(addition, STEPS - 1) + scale * self.colored(drawn))

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
