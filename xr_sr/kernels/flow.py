"""Draw members of an ensemble by a network of paths from noise to an image, with noise by place; on arrays.

The noise of a fine pixel depends on the seed, its band, the keys of its date and its place on the grid, as in
`simulation`: members are the same in every chunking and crop. They come in pairs, of noise and of its negative.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..networks.lean import trim
from ..networks.separable import local_moments
from ..runtime.device import compiled, in_batches, keep_float32_exact, settle_threads
from ..spec import Tile
from .chance import Chance, drawn, key_of
from .flow_network import Around, FlowNetwork
from .predictors import DTYPES
from .protocol import Draws, FloatArray
from .strata import by_stratum, strata_of
from .window import from_tensor, new_block, placed, to_tensor

SIDE_CPU, SIDE_GPU = 128, 384
"""Sides of windows in input pixels."""

BATCH = {"cpu": 2, "cuda": 16}
"""Members that are drawn at once, to begin with; halved on a GPU as often as its memory asks for."""

DATES = {"cpu": 1, "cuda": 16}
"""Dates of a block whose members share batches."""


class FlowKernel:
    """A `Kernel` that returns one member, or all estimates, all standard deviations, and all of each member."""

    def __init__(self, network: FlowNetwork, draws: Draws, device: str, precision: str) -> None:
        keep_float32_exact(device, precision)
        self.network = network.eval().to(device)
        network.moving = compiled(network.moving)  # type: ignore[method-assign]
        for value in self.network.parameters():
            if value.ndim == 4:
                value.data = value.data.contiguous(memory_format=torch.channels_last)
        self.scale, self.halo = network.upscale, network.consumed + network.consumed % 2
        self.draws, self.device, self.precision = draws, torch.device(device), DTYPES[precision]

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """See `protocol.Kernel`."""
        settle_threads()
        with torch.inference_mode():
            source = to_tensor(block).to(self.device, torch.float32)
            n, bands = source.shape[:2]
            shape = (n, bands * self.draws.planes, tile.height * self.scale, tile.width * self.scale)
            out = new_block(shape, self.device)
            side = SIDE_CPU if self.device.type == "cpu" else SIDE_GPU
            windows = placed(tile, side, self.network.consumed, self.scale, self.draws.origin)
            together = DATES[self.device.type]
            for read, (rows, columns), place in windows:
                for first in range(0, n, together):
                    dates = slice(first, min(first + together, n))
                    planes = out[dates, :, rows, columns].unflatten(1, (self.draws.planes, bands))
                    keys = [self._keys(tile, date) for date in range(dates.start, dates.stop)]
                    self._draw(source[dates, :, *read], planes, place, keys)
            return from_tensor(out, block)

    def _keys(self, tile: Tile, date: int) -> list[tuple[int, ...]]:
        return [(band, *self.draws.ground.at(tile.lead, date)) for band in self.draws.bands]

    def _draw(self, x: Tensor, planes: Tensor, place: tuple[int, int], keys: list[list[tuple[int, ...]]]) -> None:
        """Fill the planes of a window of some dates, (date, plane, band, y, x).

        place: absolute row and column of its first pixel. keys: of each date and band.
        """
        network, draws = self.network, self.draws
        kriged = network.kriged(x)
        around = network.around(x)
        size = tuple(around.scale.shape[-2:])
        corner = tuple(first - network.beyond for first in place)
        wide = self._factors(x, size)

        def white(date: int, number: int) -> Tensor:
            field = self._noise(number // 2, corner, size, keys[date])
            return field if number % 2 == 0 else -field

        def additions(some: list[tuple[int, int]]) -> Tensor:
            """Return what members add to kriging, of (date, number) each."""
            own, factors = around, wide
            if len(x) > 1:
                which = torch.tensor([date for date, _ in some], device=self.device)
                own = Around(around.scale[which], around.addition[which], around.seen[which])
                factors = None if wide is None else wide[which]
            return self._members(own, torch.cat([white(*each) for each in some]), factors)

        batch = BATCH[self.device.type]
        everything = list(itertools.product(range(len(x)), range(draws.count)))
        if draws.count == 1:

            def single(some: list[tuple[int, int]]) -> None:
                for (date, _), addition in zip(some, additions(some), strict=True):
                    torch.add(kriged[date], addition, out=planes[date, 0])

            in_batches(single, everything, size=batch)
            return
        estimate, deviation = planes[:, 0], planes[:, 1]
        torch.add(kriged, network.mean(around), out=estimate)
        deviation.zero_()

        def several(some: list[tuple[int, int]]) -> None:
            for (date, number), addition in zip(some, additions(some), strict=True):
                member = addition.add_(kriged[date])
                if draws.kept:
                    planes[date, 2 + number] = member
                deviation[date].add_((member - estimate[date]).square_())

        in_batches(several, everything, size=batch)
        deviation.div_(draws.count).sqrt_()

    def _members(self, around: Around, noise: Tensor, wide: Tensor | None) -> Tensor:
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            return self.network.members(around, noise, wide)

    def _noise(self, field: int, corner: tuple[int, ...], size: tuple[int, ...], keys: list[tuple[int, ...]]) -> Tensor:
        """Return the noise of one pair of members, (1, planes, rows, columns) of input pixels from a corner on."""
        rows, columns = (
            np.arange(first * self.scale, (first + count) * self.scale)
            for first, count in zip(corner, size, strict=True)
        )
        bands = [
            drawn(Chance(self.draws.seed, key_of(*key, field) >> 2).plane_normal, rows, columns, self.draws.flipped)
            for key in keys
        ]
        fine = torch.from_numpy(np.stack(bands)[None]).to(self.device)
        return functional.pixel_unshuffle(fine, self.scale).contiguous(memory_format=torch.channels_last)

    def _factors(self, x: Tensor, size: tuple[int, ...]) -> Tensor | None:
        """Return by what members are moved away from their mean, (1, planes, rows, columns); None for 1."""
        if all(factor == 1 for own in self.draws.factors for factor in own):
            return None
        near = trim(x, self.network.consumed - self.network.beyond - 1)
        strata = strata_of(*local_moments(near, 1))
        made = [
            by_stratum(own, (strata[0][:, band], strata[1][:, band])) for band, own in enumerate(self.draws.factors)
        ]
        return torch.stack(made, 1).repeat_interleave(self.scale**2, dim=1)
