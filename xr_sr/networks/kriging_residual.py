"""A small network that predicts what kriging leaves, and how far it is still wrong.

    sr = kriging(lr) + addition,    |hr - sr| about as large as `scale`

Each input pixel is seen relative to the pixels around it: its difference from their mean over their standard deviation,
and the ratio of the sensor's noise to the ground's variance there. Both outputs are multiplied by that standard
deviation. So the network is the same for bright and for dark ground, and adds nothing where the ground is even.

The scale of the error is learned from the features of the addition without changing them: the addition is the same with
and without it. Sources: of residual pairs, B. Lim et al., "Enhanced Deep Residual Networks" (CVPRW 2017); of the scale
as the parameter of a Laplace distribution, A. Kendall and Y. Gal (NeurIPS 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .lean import trim
from .separable import MEANS, local_moments
from .span import shuffle

DARKEST = 0.01
"""Reflectance below which the noise of a sensor falls no further."""

LEAST_VARIANCE = 1e-9
"""Added to the variance around a pixel; a standard deviation of 3e-5 reflectance."""

ROUNDING = 2.0**-22
"""Variance of even ground, over the square of its level, that the rounding of its moments can make up."""

HIGHEST_RATIO = 4.0
"""Decades of the ratio of noise to signal, on each side of one, beyond which it makes no difference."""

STRIP = 32
"""Rows of input pixels whose addition is computed at once, so that it stays in the cache until it is in its place."""

START = 0.1
"""Factor of the initial weights of the last convolution, so that training begins near kriging."""


class KrigingResidual(nn.Module):
    """(n, bands, y, x) reflectance to (n, 2 bands, (y - 2 consumed) * upscale, ...): addition and scale of its error.

    Without padding. noise: of each band, (variance, variance per reflectance); it is kept with the weights. pairs:
    residual pairs of convolutions, each 4 pixels wide; 4 pairs of 32 channels cost 80,000 multiply-adds per input
    pixel.
    """

    def __init__(
        self,
        bands: int = 4,
        channels: int = 32,
        pairs: int = 4,
        upscale: int = 4,
        noise: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        super().__init__()
        self.bands, self.upscale = bands, upscale
        self.consumed = MEANS + 1 + 2 * pairs
        self.features = nn.Conv2d(2 * bands, channels, 3)
        self.pairs = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(channels, channels, 3), nn.Conv2d(channels, channels, 3)]) for _ in range(pairs)
        )
        self.tail = nn.Conv2d(channels, bands * upscale**2, 1)
        self.error = nn.Conv2d(channels, bands * upscale**2, 1)
        with torch.no_grad():
            for layer in (self.tail, self.error):
                layer.weight.mul_(START)
                layer.bias.zero_()  # type: ignore[union-attr]  # it has one
        self.noise: Tensor
        self.register_buffer("noise", torch.tensor(noise if noise is not None else [(0.0, 0.0)] * bands).float())

    def forward(self, x: Tensor) -> Tensor:
        """Return addition and scale, one after the other along the bands."""
        features, spread = self.read(x)
        return torch.cat([self.added(features, spread), self.scale(features, spread)], dim=1)

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels as the network sees them, (n, 2 bands, y - 2 MEANS, ...), and the standard deviation there."""
        mean, variance = local_moments(x)
        fixed, per_reflectance = self.noise.T[:, :, None, None]
        noise = mean.clamp(min=DARKEST).mul_(per_reflectance).add_(fixed)
        spread = mean.square().mul_(-ROUNDING).add_(variance).clamp_(min=0).add_(LEAST_VARIANCE).sqrt_()
        ratio = (noise / (variance - noise).clamp_(min=LEAST_VARIANCE)).add_(1e-30).log10_()
        ratio.clamp_(-HIGHEST_RATIO, HIGHEST_RATIO).div_(HIGHEST_RATIO)
        return torch.cat([(trim(x, MEANS) - mean).div_(spread), ratio], dim=1), spread

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, (n, channels, y - 2 consumed, ...), and the standard deviation there, (n, bands, ...)."""
        return self.read_seen(*self.look(x))

    def read_seen(self, seen: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `read` does, of what `look` returns."""
        features: Tensor = self.features(seen.to(self.features.weight.dtype))
        for pair in self.pairs:
            assert isinstance(pair, nn.ModuleList)
            first, last = pair
            features = last(functional.relu(first(features), inplace=True)).add_(trim(features, 2))
        return features, trim(spread, (spread.shape[-1] - features.shape[-1]) // 2)

    def write_added(self, features: Tensor, spread: Tensor, out: Tensor) -> None:
        """Write the addition to kriging to `out`, (n, bands, y * upscale, x * upscale); without a gradient."""
        by_pixel = spread.permute(0, 2, 3, 1)[..., None].contiguous()
        for start in range(0, features.shape[-2], STRIP):
            rows = slice(start, min(start + STRIP, features.shape[-2]))
            phases = self.tail(features[:, :, rows]).to(spread.dtype)
            phases = phases.contiguous(memory_format=torch.channels_last)
            phases.permute(0, 2, 3, 1).unflatten(-1, (self.bands, -1)).mul_(by_pixel[:, rows])
            shuffle(phases, self.upscale, out[..., rows.start * self.upscale : rows.stop * self.upscale, :])

    def added(self, features: Tensor, spread: Tensor) -> Tensor:
        """Return the addition to kriging, in reflectance."""
        return self._fine(self.tail(features), spread)

    def scale(self, features: Tensor, spread: Tensor) -> Tensor:
        """Return the mean absolute error that is expected of kriging with the addition, in reflectance."""
        return self._fine(self.error(features.detach()).clamp(-8, 4).exp(), spread.detach())

    def _fine(self, phases: Tensor, spread: Tensor) -> Tensor:
        scaled = phases.to(spread.dtype).unflatten(1, (self.bands, -1)) * spread[:, :, None]
        return functional.pixel_shuffle(scaled.flatten(1, 2), self.upscale)
