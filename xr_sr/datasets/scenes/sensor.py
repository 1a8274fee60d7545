"""How the synthetic sensor sees: blur by the point spread function, integration over the detector, noise, counts."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from ...simulate.psf import MTF_AT_NYQUIST
from ...simulate.random_field import Chance, FloatArray, IntArray

OFFSET_DN = -1_000
QUANTIFICATION = 10_000
BASELINE = "05.11"


@cache
def point_spread(band: str, size: int) -> tuple[float, ...]:
    """Get the weights of fine pixels along an axis for one pixel of a band, `size` fine pixels wide; they sum to one.

    A box (the detector) blurred by a Gaussian (optics, motion, electronics): at the Nyquist frequency the box passes
    2 / pi, and the Gaussian the rest of the band's MTF. Symmetric, cut four deviations beyond the pixel's edges.
    """
    sigma = size / math.pi * math.sqrt(-2 * math.log(MTF_AT_NYQUIST[band] * math.pi / 2))
    pad = math.ceil(4 * sigma)
    places = [position + 0.5 - size / 2 for position in range(-pad, size + pad)]
    root = sigma * math.sqrt(2)
    weights = [math.erf((place + size / 2) / root) - math.erf((place - size / 2) / root) for place in places]
    return tuple(weight / sum(weights) for weight in weights)


def padding(band: str, size: int) -> int:
    """Return how many fine pixels beyond a pixel's edge its value depends on."""
    return (len(point_spread(band, size)) - size) // 2


def integrate(fine: FloatArray, band: str, size: int) -> FloatArray:
    """See a fine image through the sensor: (y * size + 2 * padding, x * size + 2 * padding) to (y, x), float32."""
    weights = point_spread(band, size)
    # Shifted sums in a fixed order, so that a pixel's value has the same last bit wherever the window begins.
    rows = _decimate(fine, weights, size)
    return np.ascontiguousarray(_decimate(np.ascontiguousarray(rows.T), weights, size).T)


def _decimate(fine: FloatArray, weights: tuple[float, ...], size: int) -> FloatArray:
    """Blur along the first axis and keep one row in `size`."""
    count = (fine.shape[0] - len(weights)) // size + 1
    total = np.zeros((count, fine.shape[1]), dtype="float32")
    part = np.empty_like(total)
    for position, weight in enumerate(weights):
        np.multiply(fine[position : position + (count - 1) * size + 1 : size], np.float32(weight), out=part)
        total += part
    return total


def digitise(
    reflectance: FloatArray, chance: Chance, row: IntArray, column: IntArray, noise: float
) -> npt.NDArray[np.uint16]:
    """Add the detector's noise and count: (y, x) reflectance to DN, never 0, which would be nodata.

    noise: multiplies a standard deviation of 0.0007 plus 0.4 % of the reflectance: a signal-to-noise ratio near 100
    over land.
    """
    if noise > 0:
        deviation = np.float32(noise) * (np.float32(0.0007) + np.float32(0.004) * reflectance)
        reflectance = reflectance + deviation * chance.plane_normal(row, column)
    counts = np.rint(reflectance * np.float32(QUANTIFICATION) - np.float32(OFFSET_DN))
    digital: npt.NDArray[np.uint16] = np.clip(counts, 1, 65_535).astype("uint16")
    return digital
