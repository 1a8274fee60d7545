"""Draw what kriging leaves, by flow matching around the mean that `KrigingResidual` predicts.

    sr = kriging(lr) + addition + scale * W e,    e from noise (angle 0) to what the ground may be (a right angle)

All fine pixels of an input pixel are channels of one pixel ("pixel unshuffle"), which loses nothing: an exact latent.
scale is the standard deviation of kriging's error, and e what the mean leaves of the ground over it, made white by
W^-1. So noise and ground have about the same covariance, and on the arc between a draw of noise and the ground

    e_a = cos(a) e_0 + sin(a) e_1,    de_a / da = F(e_a, a, lr) = E[cos(a) e_1 - sin(a) e_0 | e_a, lr]

the speed F is zero for Gaussian ground: the network learns what is not Gaussian, and few steps suffice. At angle 0 it
is zero too, since the mean of e_1 is, so that the first step costs nothing. Steps are those of Adams and Bashforth, of
second order. Sources: Y. Lipman et al., "Flow Matching for Generative Modeling" (ICLR 2023); of the arc, M. Albergo
and E. Vanden-Eijnden, "Building Normalizing Flows with Stochastic Interpolants" (ICLR 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .kriging_residual import KrigingResidual
from .lean import trim

STEPS = 4
"""Most steps from noise to an image. All but the first read one input pixel more on each side."""

CLOCK = 32
"""Hidden units of the function of the angle."""

OWN = 3
"""Convolutions of the features that only the network of paths reads."""


class FlowResidual(KrigingResidual):
    """(n, bands, y, x) reflectance to what paths depend on: (n, planes + bands + 2 channels, y - 2 consumed, ...).

    These are the phases of the addition, planes = bands * upscale^2, band by band, the logarithm of the standard
    deviation around each pixel, the features of the mean, and as many of the paths. width: channels of the network of
    paths. blocks: its pointwise layers.
    """

    def __init__(
        self,
        bands: int = 4,
        channels: int = 32,
        pairs: int = 4,
        upscale: int = 4,
        noise: Sequence[tuple[float, float]] | None = None,
        width: int = 96,
        blocks: int = 2,
    ) -> None:
        super().__init__(bands, channels, pairs, upscale, noise)
        del self.error  # the scale is that of kriging
        self.planes, self.channels = bands * upscale**2, channels
        self.own = nn.ModuleList(nn.Conv2d(channels if n else 2 * bands, channels, 3) for n in range(OWN))
        self.seen = nn.Conv2d(bands + 2 * channels, width, 3)
        self.path = nn.Conv2d(self.planes, width, 3, bias=False)
        self.clock = nn.Sequential(nn.Linear(1, CLOCK), nn.SiLU(), nn.Linear(CLOCK, 2 * width))
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(blocks))
        self.speed = nn.Conv2d(width, self.planes, 1)
        nn.init.zeros_(self.speed.weight)
        nn.init.zeros_(self.speed.bias)  # type: ignore[arg-type]  # it has one
        self.base: Tensor
        self.register_buffer("base", torch.eye(self.planes))

    def forward(self, x: Tensor) -> Tensor:
        """Return what paths depend on."""
        seen, deviation = self.look(x)
        features, spread = self.read_seen(seen, deviation)
        addition = self.tail(features) * spread.repeat_interleave(self.upscale**2, dim=1)
        own = trim(seen, (seen.shape[-1] - features.shape[-1]) // 2 - OWN)
        for layer in self.own:
            own = functional.silu(layer(own))
        return torch.cat([addition, spread.log(), features, own], dim=1)

    def parts(self, condition: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return the phases of the addition, and what the network of paths reads of the rest.

        condition: of `forward`. scale: its phases, of the same pixels: (n, planes, y, x). What is read is one input
        pixel smaller on each side.
        """
        addition, level, features = condition.split([self.planes, self.bands, 2 * self.channels], dim=1)
        relative = scale.log().unflatten(1, (self.bands, -1)).mean(2) - level
        return addition, self.seen(torch.cat([relative, features], dim=1))

    def colored(self, white: Tensor) -> Tensor:
        """Return W e: (n, planes, y, x) with the covariance that errors have within an input pixel."""
        return functional.conv2d(white, self.base[:, :, None, None])

    def whitened(self, error: Tensor) -> Tensor:
        """Return W^-1 of errors over their scale."""
        inverse = torch.linalg.inv(self.base.double()).to(error.dtype)
        return functional.conv2d(error, inverse[:, :, None, None])

    def moving(self, point: Tensor, angle: Tensor, seen: Tensor) -> Tensor:
        """Return the speed at a point of an arc, one input pixel smaller on each side.

        point: e_a, (n, planes, y, x). angle: (n,), from 0 to pi / 2. seen: (n, width, y - 2, x - 2).
        """
        gain, shift = self.clock(angle[:, None])[:, :, None, None].chunk(2, dim=1)
        hidden = functional.silu((self.path(point) + seen) * (1 + gain) + shift)
        for block in self.blocks:
            hidden = hidden + functional.silu(block(hidden))
        speed: Tensor = self.speed(hidden)
        return speed

    def drawn(self, white: Tensor, seen: Tensor, steps: int) -> Tensor:
        """Return e_1 of noise e_0 in so many steps of equal length; steps - 1 input pixels smaller on each side.

        white: (n, planes, y, x). seen: of the same pixels but one on each side (`parts`). steps: 2 or more.
        """
        point, step = white, math.pi / 2 / steps
        before: Tensor | None = None
        for number in range(1, steps):
            angle = point.new_full((len(point),), number * step)
            speed = self.moving(point, angle, trim(seen, number - 1))
            change = speed * 1.5 if before is None else speed * 1.5 - trim(before, 1) * 0.5
            point, before = trim(point, 1) + step * change, speed
        return point
