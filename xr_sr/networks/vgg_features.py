"""Features of pictures by a chain of 3 x 3 convolutions, as VGG-16 has: how many, and how wide, the weights tell.

Source: K. Simonyan and A. Zisserman 2015, arXiv:1409.1556.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import WeightsFormatError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colors of the pictures from 0 to 1 on which VGG was trained."""


class VGGFeatures(nn.Module):
    """Pictures (n, 3, y, x), red, green, blue from 0 to 1, to features at each pixel size, finest first.

    widths: channels of the convolutions of each pixel size; between them the largest of 2 x 2 pixels is taken.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, widths: Sequence[Sequence[int]]) -> None:
        super().__init__()
        inputs = itertools.pairwise([3, *itertools.chain.from_iterable(widths)])
        self.levels = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(*next(inputs), 3, padding=1) for _ in level) for level in widths
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def forward(self, picture: Tensor) -> list[Tensor]:
        x, found = (picture - self.mean) / self.deviation, []
        for number, level in enumerate(self.levels):
            x = functional.max_pool2d(x, 2) if number else x
            for layer in level:  # type: ignore[attr-defined]  # a list of modules
                x = functional.relu(layer(x))
            found.append(x)
        return found


def vgg_features(state: Mapping[str, Tensor]) -> VGGFeatures:
    """Build the network of a state dict; tensors of other layers, as of a classifier, are left out.

    The order is that of the numbers in the names. Pixels are joined where these leave out a place ("features.2",
    "features.5"), where they name a new block ("conv1_2", "conv2_1"), or where they do neither, where channels grow.
    Raises WeightsFormatError unless there is a chain of 3 x 3 convolutions from three colors on, with biases, without
    normalization.
    """
    ends = [key.removesuffix(".weight") for key in state if key.endswith(".weight")]
    names = sorted((name for name in ends if tuple(state[f"{name}.weight"].shape[2:]) == (3, 3)), key=_numbers)
    shapes = [state[f"{name}.weight"].shape for name in names]
    channels = [3, *(shape[0] for shape in shapes)]
    scaled = [name for name in ends if state[f"{name}.weight"].ndim == 1]
    right = names and not scaled and all(f"{name}.bias" in state for name in names)
    if not right or [shape[1] for shape in shapes] != channels[:-1]:
        raise WeightsFormatError(
            f"The weights have {len(names)} convolutions of 3 x 3 pixels, of {[*map(tuple, shapes)][:4]} first, and "
            f"{len(scaled)} normalizations; expected a chain from 3 channels on with biases, such as VGG-16 without "
            "batch normalization."
        )
    levels: list[list[str]] = [[]]
    for name, (before, after) in zip(names, itertools.pairwise([None, *names]), strict=True):
        if before is not None and after is not None and _joined(before, after, names, channels):
            levels.append([])
        levels[-1].append(name)
    network = VGGFeatures([[state[f"{name}.weight"].shape[0] for name in level] for level in levels])
    own = {
        f"levels.{number}.{place}.{kind}": state[f"{name}.{kind}"]
        for number, level in enumerate(levels)
        for place, name in enumerate(level)
        for kind in ("weight", "bias")
    }
    network.load_state_dict(own, strict=False)
    return network.eval().requires_grad_(False)


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _joined(before: str, after: str, names: Sequence[str], channels: Sequence[int]) -> bool:
    """Return whether pixels are joined between two layers that follow each other."""
    blocks = [re.search(r"(\d+)\D*?_\D*(\d+)$", name) for name in (before, after)]
    if blocks[0] and blocks[1]:
        return blocks[0][1] != blocks[1][1]
    step = _numbers(after)[-1] - _numbers(before)[-1] if _numbers(before) and _numbers(after) else 1
    if step > 1:
        return step > 2
    place = names.index(after)
    return channels[place + 1] > channels[place]
