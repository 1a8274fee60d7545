"""LPIPS, the learned perceptual distance between two pictures: squeeze, alex or vgg features with learned heads.

It has the key names of the authors' checkpoints, so they load with `strict=True`. Sources: R. Zhang et al., "The
Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018); the backbones are SqueezeNet 1.1,
AlexNet and VGG-16 as torchvision numbers their layers. Written from the published formulas and key names alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from .detect import Architecture, Arguments, Shapes, has_all

Net: TypeAlias = Literal["squeeze", "alex", "vgg"]

ConvLayer: TypeAlias = tuple[str, int, int, int, int]
"""("conv", channels out, side, stride, padding), ("fire", squeezed, expanded, 0, 0), ("pool", 0, side, stride, 0)."""

_POOL: ConvLayer = ("pool", 0, 3, 2, 0)
_POOL_2: ConvLayer = ("pool", 0, 2, 2, 0)


def _conv(channels: int, side: int = 3, stride: int = 1, padding: int = 1) -> ConvLayer:
    return "conv", channels, side, stride, padding


def _fire(squeezed: int, expanded: int) -> ConvLayer:
    return "fire", squeezed, expanded, 0, 0


SLICES: dict[str, tuple[tuple[ConvLayer, ...], ...]] = {
    "squeeze": (
        (_conv(64, 3, 2, 0),),
        (_POOL, _fire(16, 64), _fire(16, 64)),
        (_POOL, _fire(32, 128), _fire(32, 128)),
        (_POOL, _fire(48, 192)),
        (_fire(48, 192),),
        (_fire(64, 256),),
        (_fire(64, 256),),
    ),
    "alex": (
        (_conv(64, 11, 4, 2),),
        (_POOL, _conv(192, 5, 1, 2)),
        (_POOL, _conv(384)),
        (_conv(256),),
        (_conv(256),),
    ),
    "vgg": (
        (_conv(64), _conv(64)),
        (_POOL_2, _conv(128), _conv(128)),
        (_POOL_2, _conv(256), _conv(256), _conv(256)),
        (_POOL_2, _conv(512), _conv(512), _conv(512)),
        (_POOL_2, _conv(512), _conv(512), _conv(512)),
    ),
}
"""Layers of each backbone, cut where features are compared; a convolution is followed by a rectifier."""

LEAST = 64
"""Smallest side of a picture in pixels; smaller ones are enlarged, since the deepest features would be empty."""


class Fire(nn.Module):
    """The block of SqueezeNet: (n, in, y, x) to (n, 2 * expanded, y, x)."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.squeeze(x))
        return functional.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class Backbone(nn.Module):
    """The convolutions of a classifier: (n, 3, y, x) to a list of features, one per slice, finest first.

    channels: of each. names: "features.0" of torchvision's classifier to "slice1.0", the same layer here.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.channels: list[int] = []
        self.names: dict[str, str] = {}
        number, width = 0, 3
        for position, layers in enumerate(SLICES[net], 1):
            piece = nn.Sequential()
            for kind, channels, side, stride, padding in layers:
                if kind == "pool":
                    # SqueezeNet alone keeps the last, incomplete window.
                    piece.add_module(str(number), nn.MaxPool2d(side, stride, ceil_mode=net == "squeeze"))
                    number += 1
                    continue
                self.names[f"features.{number}"] = f"slice{position}.{number}"
                if kind == "fire":
                    piece.add_module(str(number), Fire(width, channels, side))
                    number, width = number + 1, 2 * side
                else:
                    piece.add_module(str(number), nn.Conv2d(width, channels, side, stride, padding))
                    piece.add_module(str(number + 1), nn.ReLU())
                    number, width = number + 2, channels
            self.add_module(f"slice{position}", piece)
            self.channels.append(width)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for piece in self.children():
            x = piece(x)
            features.append(x)
        return features


class ScalingLayer(nn.Module):
    """Scale -1..1 to the range that the backbones were trained on, per color."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale


class Head(nn.Module):
    """A weighted sum over channels, without offset; the first of the two layers is dropout, for training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        weighted: Tensor = self.model(x)
        return weighted


class LPIPS(nn.Module):
    """Two pictures (n, 3, y, x), red, green, blue in -1..1, to their distances (n,).

    Per layer: features of unit length along channels, squared differences, weighted over channels by the head,
    averaged over pixels; the sum over layers. valid: (n, 1, y, x) of 0 and 1; pixels of features are weighted by their
    valid share, and a picture without any is NaN. Sides below 64 pixels are enlarged to that.
    """

    def __init__(self, net: Net = "alex") -> None:
        super().__init__()
        self.scaling_layer = ScalingLayer()
        self.net = Backbone(net)
        for number, channels in enumerate(self.net.channels):
            self.add_module(f"lin{number}", Head(channels))

    def forward(self, a: Tensor, b: Tensor, valid: Tensor | None = None) -> Tensor:
        return torch.stack(list(self.per_layer(a, b, valid))).sum(dim=0)

    def per_layer(self, a: Tensor, b: Tensor, valid: Tensor | None = None) -> Iterator[Tensor]:
        """Return the distances (n,) of each layer, finest first."""
        pairs = zip(self.net(self._scaled(a)), self.net(self._scaled(b)), strict=True)
        for number, (one, other) in enumerate(pairs):
            distance = self.get_submodule(f"lin{number}")((_unit(one) - _unit(other)) ** 2)
            if valid is None:
                yield distance.mean(dim=(1, 2, 3))
                continue
            weight = functional.adaptive_avg_pool2d(valid, distance.shape[-2:])
            yield (distance * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))

    def _scaled(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if min(height, width) < LEAST:
            size = (max(LEAST, height), max(LEAST, width))
            x = functional.interpolate(x, size=size, mode="bilinear", antialias=True)
        scaled: Tensor = self.scaling_layer(x)
        return scaled


def _unit(features: Tensor) -> Tensor:
    """Scale to unit length along channels."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _net_of(shapes: Shapes, given: Arguments) -> Arguments:
    if any(".squeeze." in key for key in shapes):
        return {"net": "squeeze"}
    return {"net": "alex" if shapes["net.slice1.0.weight"][-1] == 11 else "vgg"}


ARCHITECTURE = Architecture(
    "xr_sr.networks.lpips:LPIPS",
    LPIPS,
    detect=has_all("scaling_layer.shift", "net.slice1.0.weight", "lin0.model.1.weight"),
    sizes=_net_of,
    reads=3,
    returns=0,
    scale=1,
    ignored=("lins.",),  # the heads under a second name
)
