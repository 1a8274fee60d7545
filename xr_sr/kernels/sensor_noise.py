"""The noise of a detector by band: the signal-to-noise ratios of Sentinel-2, and how noise rises with the light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]

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
