"""Patches whose bands have two pixel sizes, as a network that reads both on one grid sees them.

A scene holds the bands of the wider pixels last, each pixel repeated 2 x 2 from its corner on. What is drawn keeps to
these blocks, also where it is zoomed, turned or mixed, and ends as inside `upscale`: interpolated linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tiling.two_resolutions import doubled
from .augment import Augmentation
from .patches import ZOOMS, Draw, valid_corners, zoomed
from .scenes import FloatArray, Scene

__all__ = ["DrawTwoGrids", "halved", "interpolated", "repeated"]


class DrawTwoGrids(Draw):
    """Draws as `Draw` does, from scenes whose last `coarse` bands have pixels twice as wide; `side` is even."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        side: int,
        augmentation: Augmentation | None,
        zooms: Sequence[float] = ZOOMS,
        *,
        coarse: int,
    ) -> None:
        assert side % 2 == 0
        self.coarse = coarse
        super().__init__(scenes, side, augmentation, zooms)

    def __call__(self, chance: np.random.Generator) -> tuple[int, FloatArray]:
        """See `Draw`."""
        index, patch = super().__call__(chance)
        return index, interpolated(patch, self.coarse)

    def describe(self) -> dict[str, Any]:
        """See `Draw`."""
        return {**super().describe(), "coarse": self.coarse}

    def sized(self, index: int, zoom: float) -> tuple[FloatArray, NDArray[np.intp]]:
        """Zoom each grid by itself; squares begin at the corner of a wide pixel."""
        values = self.scenes[index].values
        fine, coarse = zoomed(values[: -self.coarse], zoom), zoomed(values[-self.coarse :, ::2, ::2], zoom)
        rows, columns = (min(fine.shape[axis] // 2, coarse.shape[axis]) for axis in (-2, -1))
        values = repeated(fine[..., : 2 * rows, : 2 * columns], coarse[..., :rows, :columns])
        corners = valid_corners(values, self.side)
        top, left = np.divmod(corners, values.shape[2])
        return values, corners[(top % 2 == 0) & (left % 2 == 0)]


def repeated(fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Put (band, 2 y, 2 x) and (band, y, x) on one grid: each pixel of the latter four times."""
    return np.concatenate([fine, coarse.repeat(2, axis=-2).repeat(2, axis=-1)]).astype("float32")


def halved(fine: FloatArray) -> FloatArray:
    """Average blocks of four pixels: (band, 2 y, 2 x) to (band, y, x)."""
    bands, height, width = fine.shape
    return np.asarray(fine.reshape(bands, height // 2, 2, width // 2, 2).mean((2, 4)), "float32")


def interpolated(patch: FloatArray, coarse: int) -> FloatArray:
    """Interpolate the last bands between their wide pixels, the means of blocks of four; edges are repeated."""
    wide = np.pad(halved(patch[-coarse:]), ((0, 0), (1, 1), (1, 1)), mode="edge")
    fine = doubled(wide, (2, 2), (patch.shape[-2], patch.shape[-1]))
    return np.concatenate([patch[:-coarse], fine])
