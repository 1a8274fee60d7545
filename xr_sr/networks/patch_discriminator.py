"""Classify patches of images as reference or generated: PatchGAN, P. Isola et al. 2017, arXiv:1611.07004."""

from __future__ import annotations

from torch import Tensor, nn

from .kl_autoencoder import normalized

SLOPE = 0.2
"""Of negative values, after each convolution but the last."""


class PatchDiscriminator(nn.Module):
    """(n, bands, y, x) to scores (n, 1, y / 2^layers - 2, x / 2^layers - 2): higher looks more like a reference.

    channels: of the first convolution, a multiple of 32; they double at each of `layers`, up to eight times as many. A
    score sees 70 pixels along an axis with three layers. Groups of channels are normalized, not batches: what an image
    is judged by does not depend on the others.
    """

    def __init__(self, bands: int = 4, channels: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.bands, self.layers = bands, layers
        found: list[nn.Module] = [nn.Conv2d(bands, channels, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        width = channels
        for layer in range(1, layers + 1):
            before, width = width, channels * min(2**layer, 8)
            convolution = nn.Conv2d(before, width, 4, 2 if layer < layers else 1, 1, bias=False)
            found += [convolution, normalized(width, 1e-5), nn.LeakyReLU(SLOPE)]
        self.stages = nn.Sequential(*found, nn.Conv2d(width, 1, 4, 1, 1))

    @property
    def least(self) -> int:
        """Pixels that an image has at least along an axis."""
        return int(3 * 2**self.layers)

    def forward(self, image: Tensor) -> Tensor:
        score: Tensor = self.stages(image)
        return score
