"""Add the noise of a detector to planes, by position: see `kernels.chance`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.chance import Chance, DoubleArray, FloatArray, IntArray, key_of, scramble
from ..kernels.sensor_noise import Strength

__all__ = ["Chance", "DoubleArray", "FloatArray", "IntArray", "Noise", "key_of", "scramble"]


@dataclass(frozen=True)
class Noise:
    """Adds noise to planes.

    strengths: one for each place along the axis of bands, or a single one. keys: for each leading dimension, a number
    for each place. common: numbers that all planes share, such as that of a date which is no dimension; the order of
    keys does not count, so a plane draws the same alone and in its cube. origin: row and column of the first pixel on
    the lattice of the grid.
    """

    seed: int
    strengths: tuple[Strength, ...]
    band_axis: int | None
    keys: tuple[tuple[int, ...], ...]
    origin: tuple[int, int]
    common: tuple[int, ...] = ()

    def __call__(self, plane: DoubleArray, place: tuple[int, ...], first: tuple[int, int]) -> DoubleArray:
        """Add noise to a (y, x) plane. place: along leading dimensions. first: the plane's first row and column."""
        strength = self.strengths[0 if self.band_axis is None else place[self.band_axis]]
        own = (keys[i] for keys, i in zip(self.keys, place, strict=True))
        chance = Chance(self.seed, key_of(*sorted((*own, *self.common))) >> 2)
        rows = np.arange(plane.shape[0], dtype="int64") + (self.origin[0] + first[0])
        columns = np.arange(plane.shape[1], dtype="int64") + (self.origin[1] + first[1])
        return np.asarray(plane + strength(plane) * chance.plane_normal(rows, columns))
