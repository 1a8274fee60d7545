"""Draw what hides or alters the ground in a simulated series: patches that change, clouds, haze, seasons.

Arrays only. Fields are smooth noise by seed, date and place in meters, so that no value depends on chunks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..bands import BANDS
from .noise import Chance, DoubleArray, FloatArray, key_of

CLOUD_M, PATCH_M, HAZE_M, SEASON_M = 300.0, 70.0, 1_200.0, 260.0
"""Spacing of the knots of the smooth noise: clouds, changed patches, haze, and how much seasons do."""

DETAIL, DETAIL_SHARE = 0.3, 0.4
"""A second noise gives edges detail: its spacing and its deviation, relative to the first."""

EDGE = 0.2
"""Half the width of the edge of a cloud, in deviations of its field: about 20 m."""

CLOUD = 0.55
"""Reflectance of an opaque cloud up to 1 um; 0.35 beyond, where its water and ice absorb."""

CLASS_CLEAR, CLASS_EDGE, CLASS_CLOUD = 7, 8, 9
"""Classes of SCL: unclassified ground, cloud of medium and of high probability."""

SAMPLES = 256
"""Positions along each axis at which a field is sampled to find the threshold of a fraction."""

_WAVELENGTH_NM = {band.name: band.wavelength_nm for band in BANDS}


Extent: TypeAlias = "tuple[tuple[float, float], tuple[float, float]]"
"""(first, last) along y and x, in meters."""


@dataclass(frozen=True)
class Positions:
    """Where the pixels of a grid lie, in meters from the origin of its CRS, southward and eastward.

    start: row and column of the first pixel. size_m: of a pixel, along (y, x).
    """

    start: tuple[float, float]
    size_m: tuple[float, float]

    def at(
        self, y: tuple[int, int], x: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[DoubleArray, DoubleArray]:
        """Return the centers of rows and columns (first, last + 1). shift: of the content, in pixels."""
        rows, columns = (
            np.asarray((start + np.arange(first, last) + (0.5 - moved)) * size, dtype="float64")
            for start, (first, last), moved, size in zip(self.start, (y, x), shift, self.size_m, strict=True)
        )
        return rows, columns

    def extent(self, shape: tuple[int, int]) -> Extent:
        """Return the edges of an image of so many rows and columns."""
        (top, bottom), (left, right) = (
            (start * size, (start + count) * size)
            for start, count, size in zip(self.start, shape, self.size_m, strict=True)
        )
        return (top, bottom), (left, right)


@dataclass(frozen=True)
class Blobs:
    """Round patches that cover a fraction of a scene: where smooth noise is above a threshold.

    seed, key: which noise. period_m: its spacing. threshold: in deviations of the noise; infinite for no patch.
    """

    seed: int
    key: int
    period_m: float
    threshold: float

    @property
    def any(self) -> bool:
        """Whether there is a patch at all."""
        return self.threshold < math.inf

    def height(self, y_m: DoubleArray, x_m: DoubleArray) -> FloatArray:
        """Return the noise above the threshold, (y,) and (x,) in meters to (y, x) float32: positive inside patches."""
        return _field(self.seed, self.key, self.period_m, y_m, x_m) - np.float32(self.threshold)


def blobs(
    seed: int,
    key: int,
    period_m: float,
    fraction: float,
    extent_m: Extent | None,
) -> Blobs:
    """Return patches that cover a fraction, 0 to 1, of a scene.

    extent_m: edges of the scene. Without, the fraction is that of the plane: a scene has more or less of it, and its
    crops agree.
    """
    if fraction <= 0:
        return Blobs(seed, key, period_m, math.inf)
    if fraction >= 1:
        return Blobs(seed, key, period_m, -math.inf)
    if extent_m is None:
        return Blobs(seed, key, period_m, _threshold_of_plane(fraction))
    y_m, x_m = (_spread(first, last, SAMPLES) for first, last in extent_m)
    return Blobs(seed, key, period_m, float(np.quantile(_field(seed, key, period_m, y_m, x_m), 1 - fraction)))


@lru_cache(maxsize=64)
def _threshold_of_plane(fraction: float) -> float:
    """Return what a fraction of the noise is above, over 200 x 200 knots."""
    places = _spread(0, 200, 4 * SAMPLES)
    return float(np.quantile(_field(0, 0, 1.0, places, places), 1 - fraction))


def _spread(first: float, last: float, count: int) -> DoubleArray:
    return np.asarray(first + (np.arange(count) + 0.5) * ((last - first) / count), dtype="float64")


def _field(seed: int, key: int, period_m: float, y_m: DoubleArray, x_m: DoubleArray) -> FloatArray:
    """Return smooth noise of deviation 1: (y,) and (x,) in meters to (y, x)."""
    plane = Chance(seed, 2 * key).smooth_plane(y_m, x_m, period_m)
    plane += np.float32(DETAIL_SHARE) * Chance(seed, 2 * key + 1).smooth_plane(y_m, x_m, DETAIL * period_m)
    plane *= np.float32(1 / math.hypot(1, DETAIL_SHARE))
    return plane


@dataclass(frozen=True)
class Sky:
    """Clouds and haze of one date. haze: mean reflectance that is added in B02. key: which noise."""

    clouds: Blobs
    haze: float

    @property
    def clear(self) -> bool:
        """Whether the sky hides nothing."""
        return self.haze == 0 and not self.clouds.any

    def opacity(self, y_m: DoubleArray, x_m: DoubleArray) -> FloatArray:
        """Return how opaque clouds are, 0 to 1: (y,) and (x,) in meters to (y, x) float32."""
        if math.isinf(self.clouds.threshold):
            return np.full((y_m.size, x_m.size), float(self.clouds.threshold < 0), dtype="float32")
        place = np.clip(self.clouds.height(y_m, x_m) / np.float32(2 * EDGE) + np.float32(0.5), 0, 1)
        smooth: FloatArray = place * place * (3 - 2 * place)
        return smooth

    def classes(self, y_m: DoubleArray, x_m: DoubleArray) -> npt.NDArray[np.uint8]:
        """Return classes of SCL: 9 where clouds are opaque by half or more, 8 on their edges, 7 elsewhere."""
        opacity = self.opacity(y_m, x_m)
        scl = np.where(opacity > 0, CLASS_EDGE, CLASS_CLEAR)
        return np.where(opacity >= 0.5, CLASS_CLOUD, scl).astype("uint8")

    def over(
        self, bands: tuple[str | None, ...], planes: FloatArray, y_m: DoubleArray, x_m: DoubleArray
    ) -> DoubleArray:
        """Return what is seen of reflectance (band, y, x) below this sky, float64."""
        seen = planes.astype("float64")
        if self.haze:
            thickness = Chance(self.clouds.seed, ~self.clouds.key).smooth_plane(y_m, x_m, HAZE_M)
            veil = 1 + np.clip(0.3 * thickness, -0.6, 0.6)
            for plane, band in zip(seen, bands, strict=True):
                plane += self.haze * scattering(band) * veil
        if self.clouds.any:
            opacity = self.opacity(y_m, x_m).astype("float64")
            bright = Chance(self.clouds.seed, self.clouds.key ^ 1).smooth_plane(y_m, x_m, 0.5 * CLOUD_M) * 0.04
            for plane, band in zip(seen, bands, strict=True):
                top = CLOUD if _WAVELENGTH_NM.get(band or "", 0) < 1_000 else 0.35
                plane += opacity * (top + bright - plane)
        return seen


def sky_of(
    seed: int,
    stamp: int,
    clouds: float,
    haze: float,
    extent_m: Extent | None,
) -> Sky:
    """Return the sky of a date. clouds: fraction of the extent. stamp: the date in ns."""
    return Sky(blobs(seed, key_of("clouds", stamp) >> 2, CLOUD_M, clouds, extent_m), haze)


def scattering(band: str | None) -> float:
    """Return the light that haze scatters in a band, relative to B02: it falls with the wavelength to the power 1.5.

    1 for bands whose wavelength is not known. The exponent is of Angstrom's law, 1 to 2 for fine aerosol.
    """
    wavelength_nm = _WAVELENGTH_NM.get(band or "")
    return 1.0 if wavelength_nm is None else (_WAVELENGTH_NM["B02"] / wavelength_nm) ** 1.5


def changes_of(seed: int, fraction: float, extent_m: Extent | None) -> Blobs:
    """Return the patches of ground that change; they are the same on all dates."""
    return blobs(seed, key_of("change") >> 2, PATCH_M, fraction, extent_m)


def season(band: str | None, amplitude: float, day: int, since: int) -> float:
    """Return by how much reflectance has changed since another day of the year, as a fraction.

    The near infrared and the red edge beyond 720 nm rise by `amplitude` from January to July, the rest falls by half
    of it, as leaves absorb more: a cosine over the year. 0 for bands whose wavelength is not known.
    """
    wavelength_nm = _WAVELENGTH_NM.get(band or "")
    if wavelength_nm is None:
        return 0.0
    size = amplitude / 2 if 720 < wavelength_nm < 1_000 else -amplitude / 4
    now, then = (1 - size * math.cos(2 * math.pi * (number - 15) / 365.25) for number in (day, since))
    return now / then - 1


def growth(seed: int, y_m: DoubleArray, x_m: DoubleArray) -> FloatArray:
    """Return how much the seasons change each place, 0 to 2, 1 on average: (y,) and (x,) in meters to (y, x)."""
    field = Chance(seed, key_of("season") >> 2).smooth_plane(y_m, x_m, SEASON_M)
    return np.asarray(np.clip(1 + np.float32(0.4) * field, 0, 2))
