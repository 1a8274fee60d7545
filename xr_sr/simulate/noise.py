"""Noise of a detector: how strong it is at each reflectance, and random numbers that belong to places.

Arrays only. What one pixel draws depends on the seed, its band, its date and its place on the lattice of its grid, so
it is the same in every chunking, in every crop, and in every order of work.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from .psf import DoubleArray
from .random_field import Chance

__all__ = ["SIGNAL_TO_NOISE", "Noise", "Strength", "key_of", "strength_of"]

SIGNAL_TO_NOISE = {
    "B01": (129, 129.0, 1884.69), "B02": (154, 128.0, 1959.66), "B03": (168, 128.0, 1823.24),
    "B04": (142, 108.0, 1512.06), "B05": (117, 74.5, 1424.64), "B06": (89, 68.0, 1287.61),
    "B07": (105, 67.0, 1162.08), "B08": (174, 103.0, 1041.63), "B8A": (72, 52.5, 955.32),
    "B09": (114, 9.0, 812.92), "B10": (50, 6.0, 367.15), "B11": (100, 4.0, 245.59), "B12": (100, 1.5, 85.25),
}  # fmt: skip
"""(signal-to-noise ratio, at which radiance in W / (m2 sr um), irradiance of the sun in W / (m2 um)) of Sentinel-2A.

Ratios are what the mission requires at its reference radiances (Drusch et al. 2012, doi:10.1016/j.rse.2011.11.026; ESA,
Sentinel-2 MSI Technical Guide); in orbit they are somewhat better. Irradiances are those of the products' metadata.
"""

DARKEST = 0.01
"""Reflectance below which the noise falls no further: the electronics' own is left."""


@dataclass(frozen=True)
class Strength:
    """Standard deviation of the noise of a band.

    deviation: at the reflectance `at`, and rising with its square root; the same everywhere where `at` is 0.
    """

    deviation: float
    at: float = 0.0

    def __call__(self, reflectance: DoubleArray) -> DoubleArray | float:
        """Return the standard deviation for each pixel."""
        if not self.at:
            return self.deviation
        return np.asarray(self.deviation * np.sqrt(np.maximum(reflectance, DARKEST) / self.at))


def strength_of(band: str) -> Strength:
    """Return the noise of a Sentinel-2 band at the top of the atmosphere, for the sun at the zenith.

    Photons arrive at random, so the variance is proportional to the light; the required signal-to-noise ratio at the
    reference radiance fixes the factor. Reflectance: pi * radiance / irradiance.
    """
    ratio, radiance, irradiance = SIGNAL_TO_NOISE[band]
    reflectance = math.pi * radiance / irradiance
    return Strength(reflectance / ratio, reflectance)


def key_of(*parts: Hashable) -> int:
    """Hash what tells planes apart, such as band and date, to 64 bits; the same in every process."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


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
