"""Make an image agree with what its sensor measured, through the band's point spread function; on arrays.

    x <- x + K0 (y - D H x)        P r = r - K0 D H r

y is the measured image, H the point spread function, D the sampling of every `scale`-th pixel, and K0 area-to-point
kriging at the smallest ratio of noise to signal (`kriging_filters`). K0 answers D H to a few percent at the highest
frequencies: x then agrees with y, and P takes from an addition r what the sensor would have seen of it. All three have
finite support, so a pixel depends on no other than those around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..networks import separable
from ..runtime.device import settle_threads
from .kriging_filters import RADIUS, Observation, filters_of, taps_of
from .protocol import FloatArray
from .window import from_tensor, new_block, to_tensor

STRIP = 64
"""Coarse rows that are corrected at once, so that what lies between two filters stays in the cache."""


class Agreement:
    """The operators D H and K0 of one band.

    before, after: fine pixels in front of the first one of a coarse pixel, and behind its last one, that D H reads.
    """

    def __init__(self, seen: Observation) -> None:
        filters = filters_of(seen)
        self.scale = seen.scale
        self.first, self.taps = terms_of(seen)
        length = len(self.taps[0][0])
        self.before, self.after = max(0, -self.first), max(0, self.first + length - self.scale)
        self._upsampling = separable.Upsampling(filters.along_y, filters.along_x)

    def see(self, fine: Tensor, at: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Return D H of an image: coarse (*size) of fine (y, x).

        at: row and column in `fine` of the first fine pixel of the first coarse one, with `before` and `after` around.
        """
        scale, (rows, columns) = self.scale, size
        top, left = (place + self.first for place in at)
        coarse = fine.new_zeros(rows, columns)
        for along_y, along_x in self.taps:
            # One product after another, in a fixed order: a matrix product might add them otherwise in another block.
            tall = fine.new_zeros(rows, fine.shape[1])
            for tap, weight in enumerate(along_y):
                start = top + tap
                tall.add_(fine[start : start + (rows - 1) * scale + 1 : scale], alpha=weight)
            for tap, weight in enumerate(along_x):
                start = left + tap
                coarse.add_(tall[:, start : start + (columns - 1) * scale + 1 : scale], alpha=weight)
        return coarse

    def spread(self, coarse: Tensor) -> Tensor:
        """Return K0 of an image: (y, x) to ((y - 2 RADIUS) * scale, (x - 2 RADIUS) * scale)."""
        return self._upsampling.apply(coarse)

    def apply(self, fine: Tensor, measured: Tensor | None, at: tuple[int, int], context: int) -> Tensor:
        """Return x + K0 (y - D H x) without the context; for `measured` None, where y is 0, P x.

        fine: x, (y, x) with `context` pixels on each side. measured: y, (y, x). at: row and column in `fine` of the
        first fine pixel of the first coarse one; below 0 where the measured image begins before.
        """
        height, width = (side - 2 * context for side in fine.shape)
        out = fine[context : context + height, context : context + width].clone()
        # The coarse pixels under the result, and where in them it begins.
        spans = [
            ((context - place) // self.scale, -(-(context + side - place) // self.scale))
            for place, side in zip(at, (height, width), strict=True)
        ]
        (top, bottom), (left, right) = spans
        columns = right - left + 2 * RADIUS
        into_x = context - at[1] - left * self.scale
        for start in range(top, bottom, STRIP):
            stop = min(start + STRIP, bottom)
            rows = stop - start + 2 * RADIUS
            corner = at[0] + (start - RADIUS) * self.scale, at[1] + (left - RADIUS) * self.scale
            seen = self.see(fine, corner, (rows, columns))
            if measured is None:
                missed = -seen
            else:
                missed = measured[start - RADIUS : stop + RADIUS, left - RADIUS : right + RADIUS] - seen
            change = self.spread(missed)
            row = at[0] + start * self.scale - context  # of the strip, in the result
            first, last = max(row, 0), min(row + (stop - start) * self.scale, height)
            out[first:last] += change[first - row : last - row, into_x : into_x + width]
        return out


@lru_cache(maxsize=64)
def agreement_of(seen: Observation) -> Agreement:
    """Return the operators of an observation, built once in a process."""
    return Agreement(seen)


def agree(
    fine: FloatArray,
    measured: Sequence[FloatArray | None],
    at: Sequence[tuple[int, int]],
    observations: Sequence[Observation | None],
    context: int,
) -> FloatArray:
    """Make each band agree with its own pixels: (n, band, y, x) without its context of fine pixels on each side.

    measured: for each band (n, y, x) reflectance on its own grid without NaN; None takes out what the sensor would see
    (the projection P). at: as in `Agreement.apply`. observations: None leaves a band as it is.
    """
    settle_threads()
    with torch.inference_mode():
        images = to_tensor(fine)
        n, bands, height, width = images.shape
        shape = (n, bands, height - 2 * context, width - 2 * context)
        out = new_block(shape, images.device)
        for band, (own, place, seen) in enumerate(zip(measured, at, observations, strict=True)):
            planes = None if own is None else to_tensor(own).to(images.device, torch.float32)
            for date in range(n):
                image = images[date, band]
                if seen is None:
                    out[date, band] = image[context : height - context, context : width - context]
                else:
                    target = None if planes is None else planes[date]
                    out[date, band] = agreement_of(seen).apply(image, target, place, context)
        return from_tensor(out, fine)


def terms_of(seen: Observation) -> tuple[int, list[tuple[list[float], list[float]]]]:
    """Return the weights of fine pixels along y and x of each term, and the first one's offset in a coarse pixel."""
    taps, weights = taps_of(seen)
    used = np.flatnonzero(weights.any(axis=(0, 1)))
    first, last = int(used[0]), int(used[-1]) + 1
    return int(taps[first]), [(rows[first:last].tolist(), columns[first:last].tolist()) for rows, columns in weights]
