"""Run a predictor and the constraint over a block, window by window, on a CPU or GPU.

Windows are cut so that the features of a network stay in the CPU's cache (or fill a GPU); each has its own context
from the block's halo, so the cuts leave no trace. Dates and windows are batched on a GPU, and
a batch is halved on out-of-memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError
from ..runtime.device import in_batches, settle_threads
from ..spec import LowPass, RadialSigmoid, Tile
from .constrain import Constraint, constraint_of
from .protocol import FloatArray, Predictor, PredictorInto

WINDOW_CPU, WINDOW_GPU = 128, 512
"""Side of a window in input pixels. On a CPU what larger windows save in context they lose in cache and page faults:
from 96 to 256 the time is equal (`benchmarks.kernel`), and 128 takes little memory."""

WINDOW_CPU_WIDE, WIDE = 192, 12
"""The same for predictors that read `WIDE` input pixels or more around a window: saves a tenth of the time."""

BATCH_GPU = 16
"""Windows per batch on a GPU, to begin with; halved as often as its memory asks for."""

Window: TypeAlias = tuple[int, int, int, int]
"""First row, rows, first column, columns, in input pixels of the block."""


class WindowKernel:
    """A predictor with an optional constraint, as a `Kernel`.

    whole: pass each block as one, for a model whose output depends on all of its input. step: windows begin at its
    multiples, and blocks are a multiple of it high and wide.
    sources: for each output band the index of the input band that constrains it; None if they are the same.
    """

    def __init__(
        self,
        predictor: Predictor,
        constraint: Constraint | None,
        *,
        scale: int,
        halo: int,
        bands_out: int | None,
        device: str,
        whole: bool = False,
        step: int = 1,
        sources: Sequence[int] | None = None,
    ) -> None:
        self.predictor = predictor
        self.constraint = constraint
        self.scale = scale
        self.halo = halo
        self.bands_out = bands_out
        self.device = torch.device(device)
        self.whole, self.step = whole, step
        self.sources = list(sources) if sources else None
        self.margin = constraint.margin if constraint else 0
        self.reach = predictor.reach + math.ceil(self.margin / scale)
        """Input pixels of context that the predictor gets on each side of a window."""
        needed = max(self.reach, constraint.reach if constraint else 0)
        if needed > halo:
            raise ModelError(
                f"the network and its constraint read {needed} input pixels on each side; the record has halo={halo}. "
                "See xr_sr.measure_halo(...), and correct the record."
            )

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """See `protocol.Kernel`."""
        settle_threads()
        with torch.inference_mode():
            source = to_tensor(block)
            n, bands = source.shape[:2]
            shape = (n, self.bands_out or bands, tile.height * self.scale, tile.width * self.scale)
            target = new_block(shape, source.device)
            windows = self._windows(tile)
            if self.device.type == "cpu":
                for window in windows:
                    self._run(source, target, tile.halo, [window])
            else:
                for same in by_size(windows):
                    in_batches(lambda some: self._run(source, target, tile.halo, some), same, size=BATCH_GPU)
            return from_tensor(target, block)

    def _windows(self, tile: Tile) -> list[Window]:
        if self.whole:
            return [(0, tile.height, 0, tile.width)]
        on_cpu = self.predictor.side_cpu or (WINDOW_CPU_WIDE if self.reach >= WIDE else WINDOW_CPU)
        return cut(tile.height, tile.width, on_cpu if self.device.type == "cpu" else WINDOW_GPU, self.step)

    def _run(self, source: Tensor, target: Tensor, halo: int, windows: list[Window]) -> None:
        """Compute windows of one size for all dates of the block."""
        n, s = source.shape[0], self.scale
        context = max(self.reach, self.constraint.reach if self.constraint else 0)
        skip = halo - context
        pieces = [
            source[
                :, :, top + skip : top + skip + height + 2 * context, left + skip : left + skip + width + 2 * context
            ]
            for top, height, left, width in windows
        ]
        batch = (pieces[0] if len(pieces) == 1 else torch.cat(pieces)).to(self.device, torch.float32)
        inner = context - self.reach
        seen = batch[..., inner : batch.shape[-2] - inner, inner : batch.shape[-1] - inner]
        kept = batch if self.sources is None else batch[:, self.sources]
        places = [
            target[:, :, top * s : (top + height) * s, left * s : (left + width) * s]
            for top, height, left, width in windows
        ]
        direct = len(places) == 1 and self.constraint is None and target.device == batch.device
        if direct and isinstance(self.predictor, PredictorInto):  # else a window is copied, and memory fetched for it
            self.predictor.predict_into(seen, places[0])
            return
        fine = self.predictor.predict(seen, self.margin)
        for index, out in enumerate(places):
            part = slice(index * n, (index + 1) * n)
            self._constrain(fine[part], kept[part], out)

    def _constrain(self, fine: Tensor, kept: Tensor, out: Tensor) -> None:
        """Write a window to its place in the block.

        fine: what the predictor returned. kept: input pixels of the bands that constrain it.
        """
        if self.constraint is None:
            out.copy_(fine)
        elif out.device == fine.device:
            self.constraint.apply(fine, kept, out)
        else:
            local = fine.new_empty(out.shape)
            self.constraint.apply(fine, kept, local)
            out.copy_(local)


def constrain_block(low_pass: LowPass | RadialSigmoid, scale: int, fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Apply the constraint, as `kernels.constrain_blend` describes, overwriting `fine`."""
    settle_threads()
    constraint = _constraint(low_pass, scale)
    with torch.inference_mode():
        upscaled = to_tensor(fine)
        source = to_tensor(coarse).to(upscaled.device, torch.float32)
        n, bands, height, width = upscaled.shape
        margin = 2 * constraint.margin
        out = torch.empty(n, bands, height - margin, width - margin, device=upscaled.device)
        constraint.apply(upscaled, source, out)
        return from_tensor(out, fine)


@cache
def _constraint(low_pass: LowPass | RadialSigmoid, scale: int) -> Constraint:
    return constraint_of(low_pass, scale)


def cut(height: int, width: int, side: int, step: int = 1) -> list[Window]:
    """Cut a block into the fewest windows with sides not above `side`, as equal as can be, of multiples of `step`."""
    rows, columns = _split(height, side, step), _split(width, side, step)
    return [(top, tall, left, wide) for top, tall in rows for left, wide in columns]


def placed(
    tile: Tile, side: int, halo: int, scale: int, origin: tuple[int, int]
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice], tuple[int, int]]]:
    """Cut a tile into windows for kernels that draw by place; sides in input pixels, at most `side`.

    Yields the rows and columns that a window reads of the tile, with `halo` pixels around, those that it writes of the
    fine block, and the row and column of its first pixel, counted from `origin`.
    """
    skip = tile.halo - halo
    for top, height, left, width in cut(tile.height, tile.width, side):
        spans = ((top, height), (left, width))
        read = [slice(first + skip, first + skip + count + 2 * halo) for first, count in spans]
        write = [slice(first * scale, (first + count) * scale) for first, count in spans]
        place = tile.y[0] + top + origin[0], tile.x[0] + left + origin[1]
        yield (read[0], read[1]), (write[0], write[1]), place


def _split(length: int, side: int, step: int) -> list[tuple[int, int]]:
    """Cut a length into the fewest parts not above `side`, as equal as can be: (start, length) each."""
    parts = max(1, -(-length // side))
    edges = [length // step * part // parts * step for part in range(parts + 1)]
    return [(start, stop - start) for start, stop in pairwise(edges)]


def by_size(windows: list[Window]) -> list[list[Window]]:
    """Sort windows into groups of one size."""
    groups: dict[tuple[int, int], list[Window]] = {}
    for window in windows:
        groups.setdefault((window[1], window[3]), []).append(window)
    return list(groups.values())


def new_block(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return memory for a result, where its input is: CuPy on the GPU, NumPy on the host.

    NumPy requests huge pages and torch does not: 33 page faults instead of 16,000 for a block of 64 MiB.
    """
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=torch.float32, device=device)


def to_tensor(block: FloatArray) -> Tensor:
    """Return a tensor over the block's own memory, on the host or the GPU where it lies."""
    if _is_numpy(block):
        return torch.from_numpy(np.ascontiguousarray(block))
    return torch.utils.dlpack.from_dlpack(block)


def from_tensor(tensor: Tensor, like: FloatArray) -> FloatArray:
    """Return the tensor as an array of the kind of `like`, over the same memory."""
    if _is_numpy(like):
        array: FloatArray = tensor.numpy()
        return array
    # The module of the array's own type, such as `cupy`: not all versions of it answer `__array_namespace__`.
    moved: FloatArray = import_module(type(like).__module__.partition(".")[0]).from_dlpack(tensor)
    return moved


def _is_numpy(array: object) -> bool:
    return isinstance(array, np.ndarray)
