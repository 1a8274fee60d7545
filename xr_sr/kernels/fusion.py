"""Run a cascade for ten bands: coarse bands to the input's grid, fine bands to the output's, then coarse bands too.

    x2:    interpolated coarse bands and fine bands -> coarse bands with the detail of the fine ones
    fine:  fine bands -> fine bands, `scale` times finer
    x4:    what x2 gave, interpolated, and what fine gave -> coarse bands, `scale` times finer

each followed by its own constraint. Only those parts run that a requested band needs. The block already has the coarse
bands on the input's grid, by linear interpolation, which is done in the pipeline.
Source: SEN2SR (Aybar et al. 2026), its ten-band pipeline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..catalog.models import Cascade, Network
from ..networks import separable
from ..runtime.device import in_batches, settle_threads
from ..spec import Tile
from .constrain import Constraint
from .predictors import NetworkPredictor
from .protocol import FloatArray
from .window import BATCH_GPU, Window, by_size, cut, from_tensor, to_tensor

WINDOW_CPU, WINDOW_GPU = 256, 512
"""Side of a window in input pixels. Larger than of one network alone: the constraint of the coarse bands reads 11 input
pixels further, which 128 pixels would pay with a third of the time."""

PIECE_CPU = 192
"""Side in output pixels of what the network on the output's grid is shown at once: its features stay in the cache."""


@dataclass(frozen=True)
class Part:
    """A network with its constraint; None if it was turned off."""

    predictor: NetworkPredictor
    constraint: Constraint | None

    @property
    def spec(self) -> Network:
        """The record of the network."""
        return self.predictor.spec

    @property
    def margin(self) -> int:
        """Output pixels of context that the constraint reads."""
        return self.constraint.margin if self.constraint else 0

    @property
    def reach(self) -> int:
        """Input pixels that the part reads on each side."""
        own = math.ceil(self.margin / self.spec.scale) + self.predictor.reach
        return max(own, self.constraint.reach if self.constraint else 0)

    def run(self, image: Tensor, k: int, out: Tensor, kept: Sequence[int]) -> None:
        """Write the constrained bands to `out`, (n, band, h * scale, w * scale).

        image: (n, band, h + 2 k, w + 2 k), k at least `reach`. kept: for each output band, the index of the input band
        that constrains it.
        """
        skip = k - math.ceil(self.margin / self.spec.scale) - self.predictor.reach
        fine = self.predictor.predict(_trim(image, skip), self.margin)
        if self.constraint is None:
            out.copy_(fine)
        else:
            self.constraint.apply(fine, image[:, list(kept)], out)


class FusionKernel:
    """The parts in turn, as a `Kernel`: (n, len(spec.bands), ...) to (n, len(wanted), ...).

    wanted: canonical names of the output bands, in that order.
    """

    def __init__(self, spec: Cascade, parts: dict[str, Part], wanted: Sequence[str], *, halo: int, device: str) -> None:
        self.spec, self.parts = spec, parts
        self.scale, self.halo = spec.scale, halo
        self.wanted = list(wanted)
        self.device = torch.device(device)
        self.needs_coarse = any(band in spec.coarse for band in wanted)
        self.bilinear = separable.bilinear(spec.scale)
        self.contexts = self._contexts()
        assert self.contexts[0] <= halo, f"the parts read {self.contexts[0]} input pixels, and halo={halo}"

    def _contexts(self) -> tuple[int, int]:
        """Return the input pixels of context that the input must have, and the coarse bands after "x2"."""
        if self.scale == 1:
            return (self.parts["x2"].reach if self.needs_coarse else 0), 0
        around = 0  # of the fine bands, after "fine"
        middle = 0
        if self.needs_coarse:
            last = self.parts["x4"]
            around = math.ceil((last.margin + last.predictor.reach) / self.scale)
            middle = max(around + self.bilinear.margin, last.constraint.reach if last.constraint else 0)
        needed = around + self.parts["fine"].reach
        return max(needed, middle + self.parts["x2"].reach if self.needs_coarse else 0), middle

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """See `protocol.Kernel`."""
        settle_threads()
        with torch.inference_mode():
            source = to_tensor(block)
            shape = (source.shape[0], len(self.wanted), tile.height * self.scale, tile.width * self.scale)
            if source.device.type == "cpu":
                target = torch.from_numpy(np.empty(shape, np.float32))
            else:
                target = torch.empty(shape, dtype=torch.float32, device=source.device)
            on_cpu = self.device.type == "cpu"
            windows = cut(tile.height, tile.width, WINDOW_CPU if on_cpu else WINDOW_GPU)
            for same in [[window] for window in windows] if on_cpu else by_size(windows):
                in_batches(lambda some: self._run(source, target, tile.halo, some), same, size=BATCH_GPU)
            return from_tensor(target, block)

    def _run(self, source: Tensor, target: Tensor, halo: int, windows: list[Window]) -> None:
        """Compute windows of one size for all dates of the block."""
        n, s, k = source.shape[0], self.scale, self.contexts[0]
        skip = halo - k
        pieces = [
            source[:, :, top + skip : top + skip + height + 2 * k, left + skip : left + skip + width + 2 * k]
            for top, height, left, width in windows
        ]
        image = (pieces[0] if len(pieces) == 1 else torch.cat(pieces)).to(self.device, torch.float32)
        bands = self._same_grid(image) if s == 1 else self._finer(image)
        for index, (top, height, left, width) in enumerate(windows):
            out = target[:, :, top * s : (top + height) * s, left * s : (left + width) * s]
            for place, band in enumerate(self.wanted):
                out[:, place].copy_(bands[band][index * n : (index + 1) * n])

    def _same_grid(self, image: Tensor) -> dict[str, Tensor]:
        """Return the bands on the input's grid, the fine ones unchanged."""
        k = self.contexts[0]
        given = dict(zip(self.spec.bands, _trim(image, k).unbind(1), strict=True))
        return given | self._coarse(image, k, 0) if self.needs_coarse else given

    def _coarse(self, image: Tensor, k: int, around: int) -> dict[str, Tensor]:
        """Return the coarse bands on the input's grid, with `around` pixels of context of the `k` there are."""
        part = self.parts["x2"]
        out = image.new_empty(
            image.shape[0], len(part.spec.bands_out), *(n - 2 * (k - around) for n in image.shape[-2:])
        )
        seen = image[:, [self.spec.bands.index(band) for band in part.spec.bands]]
        kept = [part.spec.bands.index(band) for band in part.spec.bands_out]
        part.run(_trim(seen, k - around - part.reach), part.reach, out, kept)
        return dict(zip(part.spec.bands_out, out.unbind(1), strict=True))

    def _finer(self, image: Tensor) -> dict[str, Tensor]:
        """Return the requested bands, and others computed with them, on the output's grid."""
        s, (k, middle) = self.scale, self.contexts
        part, last = self.parts["fine"], self.parts["x4"] if self.needs_coarse else None
        around = math.ceil((last.margin + last.predictor.reach) / s) if last else 0
        n, height, width = image.shape[0], image.shape[-2] - 2 * k, image.shape[-1] - 2 * k
        size = ((height + 2 * around) * s, (width + 2 * around) * s)
        fine_bands = part.spec.bands_out
        # What the last part reads is written in its place at once: the coarse bands first, then the fine ones.
        names = last.spec.bands if last else fine_bands
        stack = image.new_empty(n, len(names), *size)
        fine = image.new_empty(n, len(fine_bands), *size)
        seen = image[:, [self.spec.bands.index(band) for band in part.spec.bands]]
        kept = [part.spec.bands.index(band) for band in fine_bands]
        part.run(_trim(seen, k - around - part.reach), part.reach, fine, kept)
        for place, band in enumerate(fine_bands):
            stack[:, names.index(band)].copy_(fine[:, place])
        del fine
        bands = {band: _trim(stack[:, names.index(band)], around * s) for band in fine_bands}
        if last is None:
            return bands
        coarse = self._coarse(image, k, middle)
        tall = image.new_empty(size[0], width + 2 * middle)
        for band, planes in coarse.items():
            for date, plane in enumerate(planes):
                self.bilinear.along_y(plane, middle - around, height + 2 * around, tall)
                self.bilinear.along_x(tall, middle - around, width + 2 * around, stack[date, names.index(band)])
        wanted = [band for band in last.spec.bands_out if band in self.wanted]
        out = image.new_empty(n, len(wanted), height * s, width * s)
        raw = self._last(_trim(stack, around * s - last.margin - last.predictor.reach), wanted)
        if last.constraint is None:
            out.copy_(raw)
        else:
            last.constraint.apply(raw, torch.stack([coarse[band] for band in wanted], 1), out)
        return bands | dict(zip(wanted, out.unbind(1), strict=True))

    def _last(self, stack: Tensor, wanted: Sequence[str]) -> Tensor:
        """Run the network on the output's grid piece by piece: (n, band, y, x) to (n, wanted, y - 2 k, x - 2 k)."""
        predictor = self.parts["x4"].predictor
        k, places = predictor.reach, [self.parts["x4"].spec.bands_out.index(band) for band in wanted]
        height, width = (side - 2 * k for side in stack.shape[-2:])
        out = stack.new_empty(stack.shape[0], len(wanted), height, width)
        side = PIECE_CPU if stack.device.type == "cpu" else max(height, width)
        for top, rows, left, columns in cut(height, width, side):
            piece = stack[..., top : top + rows + 2 * k, left : left + columns + 2 * k]
            out[..., top : top + rows, left : left + columns] = predictor.predict(piece, 0)[:, places]
        return out


def _trim(image: Tensor, pixels: int) -> Tensor:
    return image[..., pixels : image.shape[-2] - pixels, pixels : image.shape[-1] - pixels]
