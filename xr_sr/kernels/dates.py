"""Run networks that read several dates through what runs networks of single images: dates and bands as one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from ..spec import Tile

if TYPE_CHECKING:
    from .protocol import FloatArray, Kernel

KEPT = ("consumed", "receptive_radius", "side_cpu", "clamps_itself", "takes_float32")
"""Attributes by which a network says how it is run; see `predictors`."""


class DatesAsChannels(nn.Module):
    """A network of several dates as one of a single image: (n, date * band, y, x) to (n, band_out, ...).

    network: maps (n, date, band, y, x), in contiguous memory. dates: their number.
    """

    def __init__(self, network: nn.Module, dates: int) -> None:
        super().__init__()
        self.network, self.dates = network, dates
        for name in KEPT:
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.network(x.unflatten(1, (self.dates, -1)).contiguous())
        return out


class DatesKernel:
    """A `protocol.SeriesKernel` over the kernel of a network whose dates and bands are one axis."""

    def __init__(self, kernel: Kernel, dates: int) -> None:
        self.kernel, self.dates = kernel, dates
        self.halo, self.scale = kernel.halo, kernel.scale

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """See `protocol.SeriesKernel`."""
        shown = np.ascontiguousarray(block, np.float32).reshape(1, -1, *block.shape[-2:])
        fine: FloatArray = self.kernel(shown, tile)[0]
        return fine
