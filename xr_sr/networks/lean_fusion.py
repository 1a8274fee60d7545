"""LeanFusion: ten bands of two pixel sizes to the finest grid in one pass, by two small networks.

    fine bands:    as `lean`, with the mask that SEN2SR's ten-band model has for them
    coarse bands:  sr = s + bicubic(image - k * mean(s))

image has the coarse bands on the input's grid, by linear interpolation; s is the output of the network for all bands,
mean its average over the output pixels of one input pixel, and k a Gaussian on the input's grid, which is wide, since
these bands have a lower resolution. So low frequencies are those of the input, whatever the weights are. The networks
are independent: requesting bands of one size only runs one of them.

Sources: of the networks as `lean`; of the mask (a sigmoid of the distance from zero) and of the width of k: SEN2SR's
ten-band model, C. Aybar et al., Remote Sensing of Environment (2026), doi:10.1016/j.rse.2025.115222.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import lean, separable
from .detect import Architecture, Arguments, Shapes, has_all, number, root_of
from .lean import (
    BICUBIC,
    BODY,
    FoldedLeanSPAN,
    LeanFeatures,
    LeanSPAN,
    interpolated,
    narrowed,
    refuse_clamp,
    tail_of,
    trim,
)
from .separable import Products
from .span import FoldedBody, shuffle

CUTOFF, SHARPNESS = 4 * 48 / 512, 4 * 7.25 / 512
"""Of the fine bands' mask, in cycles per input pixel: bins 48 and 7.25 of 512, at a scale of 4."""

RANK = 2
"""Number of products that approximate the mask; the error of two is below that of the sampling."""

SIGMA, RADIUS = 2.7, 6
"""Of k, in input pixels; at a little above two deviations it has a hundredth of its weight left."""


class LeanFine(LeanSPAN):
    """LeanSPAN with the low-pass filter of a sharper mask, which reaches farther."""

    blur_reach = 5
    consumed = LeanSPAN.consumed + 1

    def blur(self) -> Products:
        """Return the low-pass filter of the constraint, sampled once for each input pixel."""
        u = self.upscale
        kernel = separable.radial_sigmoid(CUTOFF / u, SHARPNESS / u, self.blur_reach * u, RANK, u).kernel
        return separable.products_of(kernel / kernel.sum(), RANK, u)


class LeanCoarse(LeanFeatures):
    """(n, bands, y, x) to (n, coarse, (y - 28) * upscale, (x - 28) * upscale), reflectance, without padding.

    coarse: how many of the bands, the last ones, are those of the coarser pixels, and come out.
    """

    consumed = BODY + RADIUS + BICUBIC
    """Input pixels of context used up on each side: by the network, by k, and by the interpolation."""

    def __init__(self, bands: int = 10, coarse: int = 6, channels: int = 24, upscale: int = 4) -> None:
        super().__init__(bands, channels)
        self.coarse, self.upscale, self.reads_coarse = coarse, upscale, coarse
        self.tail = tail_of(channels, coarse, upscale)

    def forward(self, x: Tensor) -> Tensor:
        return _assembled(x[:, -self.coarse :], self.tail(super().forward(x)), self.upscale)


class LeanFusion(nn.Module):
    """(n, bands, y, x) to (n, bands, (y - 28) * upscale, (x - 28) * upscale), reflectance, without padding.

    coarse: how many of the bands, the last ones, are those of the coarser pixels. channels, coarse_channels: of the
    networks for the fine and for the coarse bands.
    """

    consumed = LeanCoarse.consumed
    """Input pixels of context used up on each side."""

    def __init__(
        self, bands: int = 10, coarse: int = 6, channels: int = 24, coarse_channels: int = 24, upscale: int = 4
    ) -> None:
        super().__init__()
        self.bands, self.reads_coarse = bands, coarse
        self.fine = LeanFine(bands - coarse, channels, upscale)
        self.coarse = LeanCoarse(bands, coarse, coarse_channels, upscale)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.fine(_fine_bands(x, self.fine.bands)), self.coarse(x)], dim=1)

    def folded(self, *, non_negative: bool = False, gives: Sequence[int] | None = None) -> FoldedLeanFusion:
        """Return the same function with less work. Raises ModelError for non_negative: clamping undoes the constraint.

        gives: sorted indices of the output bands; work for other bands is skipped. None is all.
        """
        refuse_clamp(non_negative)
        return FoldedLeanFusion(self, gives)


def _fine_bands(x: Tensor, count: int) -> Tensor:
    """Return the first bands, with the context that their network needs."""
    return trim(x[:, :count], LeanCoarse.consumed - LeanFine.consumed)


def _assembled(image: Tensor, phases: Tensor, upscale: int) -> Tensor:
    """Add s without its low frequencies to the bicubic image.

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
    """LeanFusion for inference, on channels-last batches; shapes as there, or with the bands of `gives` alone.

    Only the convolutions run at the precision of the weights; interpolation runs at that of the image.
    """

    consumed = LeanFusion.consumed
    takes_float32 = True
    """The image is float32 even if the weights have half precision."""

    def __init__(self, network: LeanFusion, gives: Sequence[int] | None = None) -> None:
        super().__init__()
        self.first_coarse, self.reads_coarse = network.fine.bands, network.reads_coarse
        places = range(network.bands) if gives is None else gives
        fine = [place for place in places if place < self.first_coarse]
        coarse = [place - self.first_coarse for place in places if place >= self.first_coarse]
        self.fine = FoldedLeanSPAN(network.fine, fine) if fine else None
        self.coarse = FoldedLeanCoarse(network.coarse, coarse) if coarse else None

    def forward(self, x: Tensor) -> Tensor:
        found = []
        if self.fine is not None:
            seen = _fine_bands(x, self.first_coarse).contiguous(memory_format=torch.channels_last)
            found.append(self.fine(seen))
        if self.coarse is not None:
            found.append(self.coarse(x))
        return torch.cat(found, dim=1) if len(found) > 1 else found[0]


class FoldedLeanCoarse(nn.Module):
    """LeanCoarse for inference, on channels-last batches. gives: indices of the output bands among the coarse ones.

    The last convolution runs only where its detail is kept; the mean of its phases is a separate convolution.
    """

    def __init__(self, network: LeanCoarse, gives: Sequence[int]) -> None:
        super().__init__()
        tail = narrowed(network.tail, gives, network.upscale)
        self.body = FoldedBody(network.layers(tail))
        self.places, self.upscale = [place - network.coarse for place in gives], network.upscale
        self.mean = nn.Conv2d(tail.in_channels, len(gives), 3)
        for own, other in zip(self.mean.parameters(), tail.parameters(), strict=True):
            own.data = other.detach().unflatten(0, (len(gives), -1)).mean(1)
        self.bicubic = separable.bicubic(network.upscale)
        self.blur = separable.gaussian(SIGMA, RADIUS)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        gathered = self.body.gathered(x.to(next(self.body.buffers()).dtype))
        image = x[:, self.places]
        if x.requires_grad or x.dtype != torch.float32:  # the rest is for float32, without gradient
            return _assembled(image, self.body.last(gathered).to(x.dtype), self.upscale)
        n, bands, height, width = image.shape
        rows, columns = height - 2 * LeanCoarse.consumed, width - 2 * LeanCoarse.consumed
        fine = shuffle(self.body.last(trim(gathered, RADIUS + BICUBIC)), self.upscale).to(x.dtype)
        mean = self.mean(gathered).to(x.dtype).contiguous()
        kept = trim(image, BODY + RADIUS).contiguous()
        wide = x.new_empty(rows + 2 * BICUBIC, mean.shape[-1])
        tall = x.new_empty(rows * self.upscale, columns + 2 * BICUBIC)
        for date in range(n):
            for band in range(bands):
                inner = kept[date, band]
                self.blur.along_y(mean[date, band], RADIUS, rows + 2 * BICUBIC, wide)
                self.blur.along_x(wide, RADIUS, columns + 2 * BICUBIC, inner, add=-1)
                self.bicubic.along_y(inner, BICUBIC, rows, tall)
                self.bicubic.along_x(tall, BICUBIC, columns, fine[date, band], add=1)
        return fine


def _sizes(shapes: Shapes, given: Arguments) -> Arguments | None:
    channels, fine = shapes["fine.features.weight"][:2]
    coarse_channels, bands = shapes["coarse.features.weight"][:2]
    upscale = root_of(shapes["fine.tail.weight"][0], fine)
    if upscale is None:
        return None
    sizes = {"bands": bands, "coarse": bands - fine, "channels": channels, "coarse_channels": coarse_channels}
    return {**sizes, "upscale": upscale}


def _sizes_of_coarse(shapes: Shapes, given: Arguments) -> Arguments | None:
    channels, bands = shapes["features.weight"][:2]
    upscale = number(given, "upscale", 4)
    coarse, rest = divmod(shapes["tail.weight"][0], upscale**2)
    return None if rest else {"bands": bands, "coarse": coarse, "channels": channels, "upscale": upscale}


ARCHITECTURE = Architecture(
    "xr_sr.networks.lean_fusion:LeanFusion",
    LeanFusion,
    detect=has_all("fine.features.weight", "fine.tail.weight", "coarse.features.weight", "coarse.tail.weight"),
    sizes=_sizes,
    reads="bands",
    returns="bands",
    scale="upscale",
)
COARSE_ARCHITECTURE = Architecture(
    "xr_sr.networks.lean_fusion:LeanCoarse",
    LeanCoarse,
    detect=lean.ARCHITECTURE.detect,  # has the keys of LeanSPAN, and fewer bands out than in
    sizes=_sizes_of_coarse,
    reads="bands",
    returns="coarse",
    scale="upscale",
    assumed=("upscale",),
)
