"""LeanSPAN, our own small network: the live parts of SPAN on top of bicubic, with the constraint inside.

    sr = bicubic(lr) + s - sinc(G s)

s is the output of SPAN's two live blocks and tail. G s is s blurred by the Gaussian of SEN2SR's constraint and sampled
once for each input pixel, which is nearly sufficient for so smooth an image; sinc interpolates it to the output again.
So low frequencies are those of the input, whatever the weights are, and no wide filter runs on the fine grid.

Source of the network: C. Wan et al., "Swift Parameter-free Attention Network" (CVPRW 2024), pruned as in `span`; of
the Gaussian: C. Aybar et al., Remote Sensing of Environment (2026), doi:10.1016/j.rse.2025.115222.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ModelError
from . import separable
from .detect import Architecture, Arguments, Shapes, has_all, root_of
from .separable import Operator, Products
from .span import FoldedBody, Layers, shuffle

SIGMA = 512 / (2 * math.pi * 35) / 4
"""Of the Gaussian, in input pixels: its gain falls to exp(-1/2) at bin 35 of 512, at a scale of 4."""

BODY, SINC, BICUBIC = 6, 3, 2
"""Input pixels of context that the network and the interpolations use up on each side."""

START = 0.1
"""Factor of the initial weights of the last convolution, so that training begins near bicubic."""


class LeanFeatures(nn.Module):
    """LeanSPAN before its tail: (n, bands, y, x) to (n, channels, y - 10, x - 10)."""

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(bands, channels, 3)
        self.first = nn.ModuleList([nn.Conv2d(channels, channels, 3) for _ in range(3)])
        self.last = nn.ModuleList([nn.Conv2d(channels, channels, 3) for _ in range(3)])
        self.mix = nn.Conv2d(channels, channels, 3)
        self.gather = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        first, _ = _block(self.first, features)
        last, activated = _block(self.last, features)
        parts = [features[..., 4:-4, 4:-4], self.mix(last), first[..., 1:-1, 1:-1], activated[..., 3:-3, 3:-3]]
        out: Tensor = self.gather(torch.cat(parts, dim=1))
        return out

    def layers(self, tail: nn.Conv2d) -> Layers:
        """Return weight and bias of each convolution, with those of a tail."""
        order = (self.features, *self.first, *self.last, self.mix, self.gather, tail)
        pairs = [(layer.weight, layer.bias) for layer in order]
        return Layers(
            features=pairs[0],
            first=(pairs[1], pairs[2], pairs[3]),
            last=(pairs[4], pairs[5], pairs[6]),
            mix=pairs[7],
            gather=pairs[8],
            tail=pairs[9],
        )


class LeanSPAN(LeanFeatures):
    """(n, bands, y, x) to (n, bands, (y - 20) * upscale, (x - 20) * upscale), reflectance in and out, without padding.

    channels: of the features; 24 costs 53,280 multiply-adds per input pixel before it is folded.
    """

    blur_reach = 3
    """Input pixels along which s is blurred."""
    consumed = BODY + blur_reach // 2 + SINC
    """Input pixels of context used up on each side."""

    def __init__(self, bands: int = 4, channels: int = 24, upscale: int = 4) -> None:
        super().__init__(bands, channels)
        self.bands, self.upscale = bands, upscale
        self.tail = tail_of(channels, bands, upscale)

    def forward(self, x: Tensor) -> Tensor:
        return assembled(trim(x, BODY), self.added(x), self.blur())

    def blur(self) -> Products:
        """Return the low-pass filter of the constraint, sampled once for each input pixel."""
        return separable.sampled_gaussian(SIGMA * self.upscale, self.blur_reach * self.upscale, self.upscale)

    def added(self, x: Tensor) -> Tensor:
        """Return s: (n, bands, y, x) to (n, bands, (y - 12) * upscale, (x - 12) * upscale)."""
        return functional.pixel_shuffle(self.tail(super().forward(x)), self.upscale)

    def folded(self, *, non_negative: bool = False, gives: Sequence[int] | None = None) -> FoldedLeanSPAN:
        """Return the same function with less work. Raises ModelError for non_negative: clamping undoes the constraint.

        gives: indices of the output bands; work for other bands is skipped. None is all.
        """
        refuse_clamp(non_negative)
        return FoldedLeanSPAN(self, gives)


def tail_of(channels: int, bands: int, upscale: int) -> nn.Conv2d:
    """Create a last convolution with small initial weights."""
    tail = nn.Conv2d(channels, bands * upscale**2, 3)
    with torch.no_grad():
        tail.weight.mul_(START)
        tail.bias.zero_()  # type: ignore[union-attr]  # it has one
    return tail


def narrowed(tail: nn.Conv2d, gives: Sequence[int], upscale: int) -> nn.Conv2d:
    """Return a last convolution of some bands only, by their indices."""
    fewer = nn.Conv2d(tail.in_channels, len(gives) * upscale**2, 3)
    with torch.no_grad():
        for own, other in zip(fewer.parameters(), tail.parameters(), strict=True):
            own.copy_(other.unflatten(0, (-1, upscale**2))[list(gives)].flatten(0, 1))
    return fewer


def assembled(x: Tensor, added: Tensor, blur: Products) -> Tensor:
    """Add s without its low frequencies to the bicubic image; the context of `blur` and `SINC` is consumed.

    x: (n, bands, y, x). added: (n, bands, y * upscale, x * upscale).
    """
    upscale = blur.stride
    ring = blur.reach // upscale // 2 + SINC
    low = interpolated(sampled(added, blur), separable.sinc(upscale), SINC)
    plain = interpolated(trim(x, ring - BICUBIC), separable.bicubic(upscale), BICUBIC)
    return plain + trim(added, ring * upscale) - low


def sampled(image: Tensor, blur: Products) -> Tensor:
    """Blur each band and keep one pixel for each stride: (n, bands, y, x), without the context of the blur."""
    n, bands, height, width = image.shape
    kernel = torch.from_numpy(blur.kernel).to(image)[None, None]
    found = functional.conv2d(image.reshape(n * bands, 1, height, width), kernel, stride=blur.stride)
    return found.view(n, bands, *found.shape[-2:])


def interpolated(image: Tensor, operator: Operator, ring: int) -> Tensor:
    """Interpolate each band, one convolution for all phases at once; `ring` pixels are consumed on each side."""
    n, bands, height, width = image.shape
    rows = torch.from_numpy(operator.taps).to(image)
    taps = (rows[:, None, :, None] * rows[None, :, None, :]).reshape(-1, 1, *[rows.shape[1]] * 2)
    cut = ring - rows.shape[1] // 2  # bicubic at the scale of one reads no neighbor
    inner = trim(image, cut).reshape(n * bands, 1, height - 2 * cut, width - 2 * cut)
    fine = functional.pixel_shuffle(functional.conv2d(inner, taps), operator.scale)
    return fine.view(n, bands, *fine.shape[-2:])


def trim(image: Tensor, pixels: int) -> Tensor:
    """Cut pixels off each side of images (..., y, x)."""
    return image[..., pixels : image.shape[-2] - pixels, pixels : image.shape[-1] - pixels]


def _block(block: nn.ModuleList, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output of SPAN's block, with its gate, and the activated output of its first convolution."""
    activated = functional.silu(block[0](x))
    c3 = block[2](functional.silu(block[1](activated)))
    return (c3 + x[..., 3:-3, 3:-3]) * (torch.sigmoid(c3) - 0.5), activated


def refuse_clamp(non_negative: bool) -> None:
    """Raise ModelError if a network with its constraint inside is to be clamped at zero."""
    if non_negative:
        raise ModelError(
            "non_negative=True: clamping at zero would undo the constraint inside the network; expected "
            "non_negative=False. Clip the result for display: fine.clip(0)."
        )


class FoldedLeanSPAN(nn.Module):
    """LeanSPAN for inference, on channels-last batches; shapes as there.

    Only the convolutions run at the precision of the weights; interpolation runs at that of the image.
    gives: indices of the output bands; None is all.
    """

    takes_float32 = True
    """The image is float32 even if the weights have half precision."""

    def __init__(self, network: LeanSPAN, gives: Sequence[int] | None = None) -> None:
        super().__init__()
        self.gives = list(range(network.bands) if gives is None else gives)
        self.body = FoldedBody(network.layers(narrowed(network.tail, self.gives, network.upscale)))
        self.consumed, self.upscale, self.blur = network.consumed, network.upscale, network.blur()
        self.bicubic, self.sinc = separable.bicubic(network.upscale), separable.sinc(network.upscale)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        phases = self.body(x.to(next(self.body.buffers()).dtype)).to(x.dtype)
        image = x[:, self.gives]
        if x.requires_grad or x.dtype != torch.float32:  # the rest is for float32, without gradient
            return assembled(trim(image, BODY), functional.pixel_shuffle(phases, self.upscale), self.blur)
        added = shuffle(phases, self.upscale)
        image = image.contiguous()  # not channels-last, which each matrix product would copy
        n, bands, height, width = image.shape
        rows, columns = height - 2 * self.consumed, width - 2 * self.consumed
        fine = trim(added, (self.consumed - BODY) * self.upscale)
        samples = x.new_empty(rows + 2 * SINC, columns + 2 * SINC)
        # Along y first, while the images are still narrow.
        plain = x.new_empty(rows * self.upscale, width)
        low = x.new_empty(rows * self.upscale, columns + 2 * SINC)
        for date in range(n):
            for band in range(bands):
                self.blur.apply(added[date, band], samples)
                out = fine[date, band]
                self.bicubic.along_y(image[date, band], self.consumed, rows, plain)
                self.bicubic.along_x(plain, self.consumed, columns, out, add=1)
                self.sinc.along_y(samples, SINC, rows, low)
                self.sinc.along_x(low, SINC, columns, out, add=-1)
        return fine


def _sizes(shapes: Shapes, given: Arguments) -> Arguments | None:
    channels, bands = shapes["features.weight"][:2]
    upscale = root_of(shapes["tail.weight"][0], bands)
    return None if upscale is None else {"bands": bands, "channels": channels, "upscale": upscale}


ARCHITECTURE = Architecture(
    "xr_sr.networks.lean:LeanSPAN",
    LeanSPAN,
    detect=has_all("features.weight", "first.0.weight", "last.2.weight", "mix.weight", "gather.weight", "tail.weight"),
    sizes=_sizes,
    reads="bands",
    returns="bands",
    scale="upscale",
)
