"""SPAN, the attention-free convolution network of SEN2SRLite: as published, and folded for speed.

`SPAN` has the key names of the published checkpoints, so they load with `strict=True`; it can be trained.
`SPAN.folded` returns `FoldedSPAN`, the same function with less work.

Sources: C. Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution" (CVPRW 2024);
SEN2SRLite, C. Aybar et al., Remote Sensing of Environment (2026), 10.1016/j.rse.2025.115222. Written from the
published formulas and key names alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from .detect import Architecture, Arguments, Shapes, has_all, number, root_of

Convolution: TypeAlias = tuple[Tensor, Tensor]
"""Weight and bias."""


class Conv3XC(nn.Module):
    """A 3x3 convolution trained as 1x1, 3x3, 1x1 plus a 1x1 skip.

    (n, in, y, x) to (n, out, y, x), zero padding. `eval_conv` is the folded form that checkpoints have beside the
    factors; it is kept for the key names and ignored, as in the published code, which folds the factors at every call.
    """

    def __init__(self, channels_in: int, channels_out: int, gain: int = 2) -> None:
        super().__init__()
        self.sk = nn.Conv2d(channels_in, channels_out, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, channels_in * gain, 1),
            nn.Conv2d(channels_in * gain, channels_out * gain, 3),
            nn.Conv2d(channels_out * gain, channels_out, 1),
        )
        self.eval_conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.eval_conv.requires_grad_(False)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the weight (out, in, 3, 3) and bias (out,) of the one 3x3 convolution that this is."""
        first, middle, last = (layer for layer in self.conv if isinstance(layer, nn.Conv2d))
        assert first.bias is not None and middle.bias is not None and last.bias is not None and self.sk.bias is not None
        # Double precision: the three factors multiply, and this happens once per load.
        w1, w2, w3 = (layer.weight.double() for layer in (first, middle, last))
        weight = torch.einsum("om,mkyx,ki->oiyx", w3[..., 0, 0], w2, w1[..., 0, 0])
        inner = torch.einsum("mkyx,k->m", w2, first.bias.double()) + middle.bias.double()
        bias = w3[..., 0, 0] @ inner + last.bias.double()
        center = torch.zeros_like(weight)
        center[:, :, 1, 1] = self.sk.weight[..., 0, 0].double()
        dtype = self.sk.weight.dtype
        return (weight + center).to(dtype), (bias + self.sk.bias.double()).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.folded()
        return functional.conv2d(x, weight, bias, padding=1)


class SPAB(nn.Module):
    """Three convolutions and a parameter-free gate: `(c3 + x) * (sigmoid(c3) - 1/2)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c1_r = Conv3XC(channels, channels)
        self.c2_r = Conv3XC(channels, channels)
        self.c3_r = Conv3XC(channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output and the activated output of its first convolution, both (n, channels, y, x)."""
        c1 = functional.silu(self.c1_r(x))
        c3 = self.c3_r(functional.silu(self.c2_r(c1)))
        return (c3 + x) * (torch.sigmoid(c3) - 0.5), c1


class SPAN(nn.Module):
    """The network as published: (n, in_channels, y, x) to (n, out_channels, y * upscale, x * upscale).

    Every block reads the first convolution's output (the published code does so), hence only the first and the last
    block reach the result; the others are kept because checkpoints have them.
    """

    receptive_radius = 6
    """Input pixels on each side that an output pixel depends on: conv_1, three of a block, conv_2, upsampler."""

    def __init__(
        self, in_channels: int, out_channels: int, feature_channels: int = 24, upscale: int = 4, num_blocks: int = 6
    ) -> None:
        super().__init__()
        self.conv_1 = Conv3XC(in_channels, feature_channels)
        self.blocks = nn.ModuleList([SPAB(feature_channels) for _ in range(num_blocks)])
        self.conv_cat = nn.Conv2d(feature_channels * 4, feature_channels, 1)
        self.conv_2 = Conv3XC(feature_channels, feature_channels)
        self.upsampler = nn.Sequential(
            nn.Conv2d(feature_channels, out_channels * upscale**2, 3, padding=1), nn.PixelShuffle(upscale)
        )
        self.upscale = upscale

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv_1(x)
        first, _ = self.blocks[0](features)
        last, activated = self.blocks[-1](features)
        tail = self.conv_cat(torch.cat([features, self.conv_2(last), first, activated], dim=1))
        out: Tensor = self.upsampler(tail)
        return out

    def folded(self, *, non_negative: bool = False) -> FoldedSPAN:
        """Return the same function with less work; see `FoldedSPAN`."""
        return FoldedSPAN(self, non_negative=non_negative)

    def layers(self) -> Layers:
        """Return weight and bias of each convolution that reaches the output, every Conv3XC as one."""
        first, last = self.blocks[0], self.blocks[-1]
        assert isinstance(first, SPAB) and isinstance(last, SPAB)
        head, tail = self.conv_cat, self.upsampler[0]
        assert isinstance(tail, nn.Conv2d) and head.bias is not None and tail.bias is not None
        return Layers(
            features=self.conv_1.folded(),
            first=(first.c1_r.folded(), first.c2_r.folded(), first.c3_r.folded()),
            last=(last.c1_r.folded(), last.c2_r.folded(), last.c3_r.folded()),
            mix=self.conv_2.folded(),
            gather=(head.weight, head.bias),
            tail=(tail.weight, tail.bias),
        )


@dataclass(frozen=True)
class Layers:
    """Weight (out, in, y, x) and bias (out,) of the convolutions of a pruned SPAN.

    first, last: the three of each block that reaches the output. mix: after the last block. gather: 1x1, of the
    features, the output of mix, the first block and the last one's activation, in this order. tail: before the shuffle.
    """

    features: Convolution
    first: tuple[Convolution, Convolution, Convolution]
    last: tuple[Convolution, Convolution, Convolution]
    mix: Convolution
    gather: Convolution
    tail: Convolution


class FoldedSPAN(nn.Module):
    """SPAN for inference, on channels-last batches, without padding.

    (n, in, y, x) to (n, out, (y - 12) * upscale, (x - 12) * upscale). Equal to `SPAN` up to float32 rounding wherever
    zero padding does not reach, with less than half its work.
    non_negative: clamp the output at zero, as the published pipeline does.
    """

    consumed = SPAN.receptive_radius
    """Input pixels of context consumed on each side."""

    def __init__(self, network: SPAN, *, non_negative: bool = False) -> None:
        super().__init__()
        self.body = FoldedBody(network.layers(), non_negative=non_negative)
        self.upscale = network.upscale

    def forward(self, x: Tensor) -> Tensor:
        return shuffle(self.body(x), self.upscale)


class FoldedBody(nn.Module):
    """A pruned SPAN up to the shuffle: (n, in, y, x) to (n, out * upscale^2, y - 12, x - 12), channels last.

    Dead blocks are removed, and consecutive convolutions with nothing between them are merged: that of the features and
    the first of a block (5x5 on four bands, half the work; on ten it would be more), mix and its part of gather. The
    other parts of gather are added to that, which avoids the concatenation. Convolutions do not pad.
    """

    def __init__(self, layers: Layers, *, non_negative: bool = False) -> None:
        super().__init__()
        parts = layers.gather[0].detach().double().split(layers.gather[0].shape[0], dim=1)
        from_features, from_mix, from_first, from_activated = parts
        mix_weight, mix_bias = (part.detach().double() for part in layers.mix)

        def keep(name: str, weight: Tensor, bias: Tensor | None = None) -> None:
            self.register_buffer(
                f"{name}_weight", weight.detach().float().contiguous(memory_format=torch.channels_last)
            )
            self.register_buffer(f"{name}_bias", None if bias is None else bias.detach().float())

        keep("features", *layers.features)
        channels, bands = layers.features[0].shape[:2]
        self.from_image = 25 * bands < 9 * channels  # one 5x5 of the image, where that is less than 3x3 of the features
        for name, block in (("first", layers.first), ("last", layers.last)):
            keep(f"{name}_c1", *(_one_after_the_other(layers.features, block[0]) if self.from_image else block[0]))
            keep(f"{name}_c2", *block[1])
            keep(f"{name}_c3", *block[2])
        mixed = torch.einsum("om,miyx->oiyx", from_mix[..., 0, 0], mix_weight)
        keep("mixed", mixed, from_mix[..., 0, 0] @ mix_bias + layers.gather[1].detach().double())
        keep("from_features", from_features)
        keep("from_first", from_first)
        keep("from_activated", from_activated)
        keep("tail", *layers.tail)
        self.non_negative = non_negative
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.gathered(x))

    def gathered(self, x: Tensor) -> Tensor:
        """Return the input of the last convolution: (n, channels, y - 10, x - 10)."""
        if self.from_image:
            features, seen = self._convolve("features", x[..., 3:-3, 3:-3]), x
        else:
            seen = self._convolve("features", x)
            features = seen[..., 3:-3, 3:-3]
        first, _ = self._block("first", seen, features)
        last, activated = self._block("last", seen, features)
        mixed = self._convolve("mixed", last)
        mixed += self._convolve("from_features", features)[..., 1:-1, 1:-1]
        mixed += self._convolve("from_first", first)[..., 1:-1, 1:-1]
        mixed += self._convolve("from_activated", activated)[..., 3:-3, 3:-3]
        return mixed

    def last(self, gathered: Tensor) -> Tensor:
        """Run the last convolution: (n, channels, y, x) to (n, out * upscale^2, y - 2, x - 2)."""
        return self._convolve("tail", gathered, "relu" if self.non_negative else "none")

    def _block(self, name: str, x: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        activated = self._convolve(f"{name}_c1", x, "swish")
        c3 = self._convolve(f"{name}_c3", self._convolve(f"{name}_c2", activated, "swish"))
        if c3.requires_grad:  # values with a gradient must not be overwritten
            return (c3 + features) * (torch.sigmoid(c3) - 0.5), activated
        gate = torch.sigmoid(c3).sub_(0.5)
        return c3.add_(features).mul_(gate), activated

    def _convolve(self, name: str, x: Tensor, activation: str = "none") -> Tensor:
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        if _can_fuse(x):
            fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, weight, bias, [0, 0], [1, 1], [1, 1], 1, activation, [], ""
            )
            return fused
        out = functional.conv2d(x, weight, bias)
        if activation == "swish":
            return functional.silu(out, inplace=not out.requires_grad)
        return functional.relu_(out) if activation == "relu" else out


def _one_after_the_other(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that equals two 3x3 ones in turn: (out, in, 5, 5), (out,)."""
    (weight, bias), (weight_2, bias_2) = ([part.detach().double() for part in pair] for pair in (one, other))
    # The kernels of a convolution of convolutions are the convolution of their kernels; torch's conv2d correlates.
    both = functional.conv2d(weight.transpose(0, 1), weight_2.flip(-2, -1), padding=2).transpose(0, 1)
    return both, torch.einsum("omyx,m->o", weight_2, bias) + bias_2


def shuffle(x: Tensor, upscale: int, out: Tensor | None = None) -> Tensor:
    """Compute `pixel_shuffle` of a channels-last tensor: (n, c u u, y, x) to (n, c, y u, x u), row by row, in `out`.

    A run of `upscale` values stays together, so each run is moved as one word, if torch has one of that size:
    12 times faster on the CPU than `pixel_shuffle(x.contiguous())`.
    """
    n, channels, height, width = x.shape
    bands = channels // upscale**2
    if out is None:
        out = x.new_empty(n, bands, height * upscale, width * upscale)
    pixels, moved = x.permute(0, 2, 3, 1).contiguous(), out
    word = {8: torch.int64, 16: torch.complex128}.get(upscale * x.element_size())
    if word is not None:
        pixels, moved = pixels.view(word), moved.view(word)
    pixels = pixels.view(n, height, width, bands, upscale, -1)
    moved.view(n, bands, height, upscale, width, -1).copy_(pixels.permute(0, 3, 1, 4, 2, 5))
    return out


def _can_fuse(x: Tensor) -> bool:
    """Return whether oneDNN can apply the activation inside the convolution, which saves a quarter of the time."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and _fuses()


@cache
def _fuses() -> bool:
    """Try the operator once. torch's own compiler emits it, but its name is not documented, and may change."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    image = torch.linspace(-1, 1, 2 * 8 * 8).view(1, 2, 8, 8).contiguous(memory_format=torch.channels_last)
    weight = torch.linspace(-1, 1, 4 * 2 * 9).view(4, 2, 3, 3).contiguous(memory_format=torch.channels_last)
    wanted = functional.silu(functional.conv2d(image, weight))
    try:
        found = torch.ops.mkldnn._convolution_pointwise(image, weight, None, [0, 0], [1, 1], [1, 1], 1, "swish", [], "")
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    return bool(torch.allclose(found, wanted, atol=1e-5))


def _sizes(shapes: Shapes, given: Arguments) -> Arguments:
    features, bands = shapes["conv_1.sk.weight"][:2]
    last = shapes["upsampler.0.weight"][0]  # out_channels * upscale^2: the published networks have 4 * 4^2 and 6 * 1
    returned = number(given, "out_channels", bands)
    upscale = number(given, "upscale", root_of(last, returned) or 1)
    return {
        "in_channels": bands,
        "out_channels": last // upscale**2,
        "feature_channels": features,
        "upscale": upscale,
        "num_blocks": len({key.split(".")[1] for key in shapes if key.startswith("blocks.")}),
    }


ARCHITECTURE = Architecture(
    "xr_sr.networks.span:SPAN",
    SPAN,
    detect=has_all("conv_1.sk.weight", "conv_1.eval_conv.weight", "conv_cat.weight", "upsampler.0.weight"),
    sizes=_sizes,
    reads="in_channels",
    returns="out_channels",
    scale="upscale",
    assumed=("upscale",),
)
