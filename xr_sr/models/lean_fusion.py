"""LeanFusion: ten bands of two pixel sizes to the finest grid in one pass, by two small networks.

    fine bands:    as `lean`, with the mask that SEN2SR's ten-band model has for them
    coarse bands:  sr = s + bicubic(image - k * mean(s))

image holds the coarse bands on the input's grid, by linear interpolation; s is what the network gives from all bands,
mean its average over the output pixels of one input pixel, and k a Gaussian on the input's grid, wide, since of these
bands the sensor saw less. So low frequencies are those of the input, whatever the weights are. Neither network needs
the other: who wants bands of one size only pays for these. Torch alone: no bands, files or places.

Sources: of the networks as `lean`; of the mask (a sigmoid of the distance from zero) and of the width of k: SEN2SR's
ten-band model, C. Aybar et al., Remote Sensing of Environment (2026), doi:10.1016/j.rse.2025.115222.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import separable
from .lean import BICUBIC, BODY, LeanFeatures, LeanSPAN, interpolated, refuse_clamp, tail_of, trim
from .separable import Products
from .span import FoldedBody, shuffle

CUTOFF, SHARPNESS = 4 * 48 / 512, 4 * 7.25 / 512
"""Of the fine bands' mask, in cycles per input pixel: 48 and 7.25 of the 512 bins of output pixels of a quarter."""

RANK = 2
"""Products that stand for the mask; two of them leave out less than the sampling does."""

SIGMA, RADIUS = 2.7, 6
"""Of k, in input pixels; at a little above two deviations it has a hundredth of its weight left."""


class LeanFine(LeanSPAN):
    """LeanSPAN with the low-pass filter of a sharper mask, which reaches farther."""

    blur_reach = 5
    consumed = LeanSPAN.consumed + 1

    def blur(self) -> Products:
        """Give the low-pass filter of the constraint, sampled once for each input pixel."""
        u = self.upscale
        kernel = separable.radial_sigmoid(CUTOFF / u, SHARPNESS / u, self.blur_reach * u, RANK, u).kernel
        return Products(kernel / kernel.sum(), RANK, u)


class LeanCoarse(LeanFeatures):
    """(n, bands, y, x) to (n, coarse, (y - 28) * upscale, (x - 28) * upscale), reflectance, without padding.

    coarse: how many of the bands, the last ones, are those of the coarser pixels, and come out.
    """

    consumed = BODY + RADIUS + BICUBIC
    """Input pixels of context used up on each side: by the network, by k, and by the interpolation."""

    def __init__(self, bands: int = 10, coarse: int = 6, channels: int = 24, upscale: int = 4) -> None:
        super().__init__(bands, channels)
        self.coarse, self.upscale = coarse, upscale
        self.tail = tail_of(channels, coarse, upscale)

    def forward(self, x: Tensor) -> Tensor:
        return _assembled(x[:, -self.coarse :], self.tail(super().forward(x)), self.upscale)


class LeanFusion(nn.Module):
    """(n, bands, y, x) to (n, bands, (y - 28) * upscale, (x - 28) * upscale), reflectance, without padding.

    coarse: how many of the bands, the last ones, are those of the coarser pixels. channels: of the network for the fine
    bands, and of that for the coarse ones.
    """

    consumed = LeanCoarse.consumed
    """Input pixels of context used up on each side."""

    def __init__(
        self, bands: int = 10, coarse: int = 6, channels: tuple[int, int] = (24, 24), upscale: int = 4
    ) -> None:
        super().__init__()
        self.fine = LeanFine(bands - coarse, channels[0], upscale)
        self.coarse = LeanCoarse(bands, coarse, channels[1], upscale)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.fine(_fine_bands(x, self.fine.bands)), self.coarse(x)], dim=1)

    def folded(self, *, non_negative: bool = False) -> FoldedLeanFusion:
        """Give the same function with less work. Raises ModelError for non_negative: clamping undoes the constraint."""
        refuse_clamp(non_negative)
        return FoldedLeanFusion(self)


def _fine_bands(x: Tensor, count: int) -> Tensor:
    """Give the first bands, with the context that their network needs."""
    return trim(x[:, :count], LeanCoarse.consumed - LeanFine.consumed)


def _assembled(image: Tensor, phases: Tensor, upscale: int) -> Tensor:
    """Add s to the bicubic image without its low frequencies.

    image: (n, coarse, y, x). phases: s before the shuffle, (n, coarse * upscale^2, y - 12, x - 12).
    """
    n, coarse, height, width = image.shape
    mean = phases.unflatten(1, (coarse, -1)).mean(2).reshape(n * coarse, 1, height - 2 * BODY, width - 2 * BODY)
    taps = torch.from_numpy(separable.gaussian(SIGMA, RADIUS).taps[0]).to(image)
    low = functional.conv2d(functional.conv2d(mean, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    kept = trim(image, BODY + RADIUS) - low.view(n, coarse, *low.shape[-2:])
    added = functional.pixel_shuffle(trim(phases, RADIUS + BICUBIC).contiguous(), upscale)
    return added + interpolated(kept, separable.bicubic(upscale), BICUBIC)


class FoldedLeanFusion(nn.Module):
    """LeanFusion for inference, on channels-last batches; shapes as there.

    Only the convolutions run at the precision of the weights: what is interpolated keeps that of the image.
    """

    consumed = LeanFusion.consumed
    takes_float32 = True
    """The image is float32 also where the weights are of half precision."""

    def __init__(self, network: LeanFusion) -> None:
        super().__init__()
        self.fine, self.coarse = network.fine.folded(), FoldedLeanCoarse(network.coarse)
        self.bands = network.fine.bands

    def forward(self, x: Tensor) -> Tensor:
        seen = _fine_bands(x, self.bands).contiguous(memory_format=torch.channels_last)
        return torch.cat([self.fine(seen), self.coarse(x)], dim=1)


class FoldedLeanCoarse(nn.Module):
    """LeanCoarse for inference, on channels-last batches; shapes as there.

    The last convolution runs where its detail is kept alone; the mean of its phases is a convolution of its own.
    """

    def __init__(self, network: LeanCoarse) -> None:
        super().__init__()
        self.body = FoldedBody(network.layers(network.tail))
        self.coarse, self.upscale = network.coarse, network.upscale
        weight, bias = network.tail.weight.detach(), network.tail.bias
        assert bias is not None
        self.mean = nn.Conv2d(weight.shape[1], self.coarse, 3)
        self.mean.weight.copy_(weight.unflatten(0, (self.coarse, -1)).mean(1))
        assert self.mean.bias is not None
        self.mean.bias.copy_(bias.detach().unflatten(0, (self.coarse, -1)).mean(1))
        self.bicubic = separable.bicubic(network.upscale)
        self.blur = separable.gaussian(SIGMA, RADIUS)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        features = self.body.gathered(x.to(next(self.body.buffers()).dtype))
        image = x[:, -self.coarse :]
        if x.requires_grad or x.dtype != torch.float32:  # what follows is for float32, and knows no gradient
            return _assembled(image, self.body.last(features).to(x.dtype), self.upscale)
        n, _, height, width = x.shape
        rows, columns = height - 2 * LeanCoarse.consumed, width - 2 * LeanCoarse.consumed
        fine = shuffle(self.body.last(trim(features, RADIUS + BICUBIC)), self.upscale).to(x.dtype)
        mean = self.mean(features).to(x.dtype).contiguous()
        kept = trim(image, BODY + RADIUS).contiguous()
        wide = x.new_empty(rows + 2 * BICUBIC, mean.shape[-1])
        tall = x.new_empty(rows * self.upscale, columns + 2 * BICUBIC)
        for date in range(n):
            for band in range(self.coarse):
                inner = kept[date, band]
                self.blur.along_y(mean[date, band], RADIUS, rows + 2 * BICUBIC, wide)
                self.blur.along_x(wide, RADIUS, columns + 2 * BICUBIC, inner, add=-1)
                self.bicubic.along_y(inner, BICUBIC, rows, tall)
                self.bicubic.along_x(tall, BICUBIC, columns, fine[date, band], add=1)
        return fine
