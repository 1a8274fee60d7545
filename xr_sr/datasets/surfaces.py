"""Surfaces of the synthetic landscape: their spectra, and how crops change through the year. Data only.

Spectra are bottom-of-atmosphere reflectance in the ten bands, with values typical of
central Europe; they are plausible, not measured. A surface with a calendar moves between spectra with the day of the
year.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..simulate.noise import FloatArray

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

SPECTRA: dict[str, tuple[float, ...]] = {
    "clear water": (0.034, 0.038, 0.024, 0.020, 0.015, 0.014, 0.012, 0.011, 0.006, 0.004),
    "turbid water": (0.055, 0.075, 0.066, 0.060, 0.040, 0.038, 0.033, 0.030, 0.012, 0.008),
    "moist soil": (0.045, 0.062, 0.086, 0.100, 0.112, 0.122, 0.132, 0.140, 0.185, 0.152),
    "dry soil": (0.083, 0.114, 0.150, 0.172, 0.188, 0.200, 0.214, 0.224, 0.300, 0.258),
    "sparse green": (0.040, 0.070, 0.065, 0.105, 0.185, 0.215, 0.235, 0.250, 0.215, 0.140),
    "cereal": (0.025, 0.055, 0.028, 0.085, 0.280, 0.360, 0.400, 0.415, 0.190, 0.090),
    "ripe cereal": (0.072, 0.112, 0.158, 0.195, 0.248, 0.275, 0.300, 0.325, 0.345, 0.240),
    "stubble": (0.076, 0.106, 0.144, 0.174, 0.204, 0.222, 0.242, 0.260, 0.338, 0.275),
    "flowering rape": (0.048, 0.125, 0.100, 0.165, 0.320, 0.385, 0.420, 0.435, 0.230, 0.120),
    "rape": (0.028, 0.066, 0.034, 0.100, 0.320, 0.410, 0.450, 0.465, 0.215, 0.100),
    "maize": (0.028, 0.060, 0.030, 0.090, 0.300, 0.385, 0.425, 0.440, 0.205, 0.098),
    "beet": (0.024, 0.060, 0.026, 0.098, 0.360, 0.460, 0.500, 0.510, 0.205, 0.098),
    "grass": (0.032, 0.068, 0.042, 0.105, 0.262, 0.315, 0.345, 0.360, 0.212, 0.112),
    "winter grass": (0.045, 0.068, 0.072, 0.110, 0.180, 0.202, 0.222, 0.240, 0.235, 0.152),
    "broadleaf": (0.020, 0.042, 0.022, 0.070, 0.252, 0.332, 0.362, 0.380, 0.160, 0.074),
    "autumn leaves": (0.030, 0.060, 0.075, 0.120, 0.210, 0.240, 0.265, 0.280, 0.190, 0.105),
    "bare trees": (0.032, 0.044, 0.052, 0.076, 0.112, 0.126, 0.140, 0.154, 0.168, 0.116),
    "conifer": (0.018, 0.030, 0.020, 0.045, 0.132, 0.160, 0.176, 0.188, 0.086, 0.042),
    "asphalt": (0.075, 0.085, 0.094, 0.100, 0.105, 0.109, 0.113, 0.116, 0.126, 0.116),
    "concrete": (0.158, 0.184, 0.204, 0.214, 0.224, 0.231, 0.239, 0.245, 0.270, 0.248),
    "gravel": (0.118, 0.148, 0.178, 0.196, 0.210, 0.220, 0.230, 0.240, 0.308, 0.278),
    "tile roof": (0.060, 0.084, 0.160, 0.198, 0.215, 0.226, 0.240, 0.254, 0.310, 0.288),
    "dark roof": (0.060, 0.065, 0.070, 0.075, 0.080, 0.085, 0.090, 0.092, 0.110, 0.100),
    "bright roof": (0.370, 0.395, 0.412, 0.420, 0.426, 0.430, 0.434, 0.436, 0.420, 0.380),
    "shadow": (0.022, 0.024, 0.024, 0.028, 0.038, 0.042, 0.046, 0.048, 0.046, 0.034),
}


@dataclass(frozen=True)
class Surface:
    """One land cover.

    calendar: (day of the year, spectrum) in order; between entries the spectrum is interpolated linearly, across the
    new year too.
    vigour: variation of growth within a patch, as a fraction of the difference from moist soil to green cereal.
    """

    name: str
    calendar: tuple[tuple[int, str], ...]
    vigour: float = 0.0


def _always(name: str) -> Surface:
    return Surface(name, ((1, name),))


# fmt: off
SURFACES = (
    _always("clear water"),
    _always("turbid water"),
    Surface("winter cereal", (
        (15, "sparse green"), (85, "sparse green"), (125, "cereal"), (165, "cereal"), (198, "ripe cereal"),
        (212, "ripe cereal"), (218, "stubble"), (255, "stubble"), (262, "dry soil"), (300, "moist soil"),
        (335, "sparse green"),
    ), vigour=0.05),
    Surface("winter rape", (
        (15, "sparse green"), (75, "sparse green"), (108, "rape"), (120, "flowering rape"), (138, "flowering rape"),
        (150, "rape"), (180, "rape"), (200, "ripe cereal"), (210, "stubble"), (240, "dry soil"),
        (270, "sparse green"), (310, "rape"),
    ), vigour=0.05),
    Surface("maize", (
        (15, "moist soil"), (110, "dry soil"), (145, "dry soil"), (190, "maize"), (240, "maize"),
        (270, "ripe cereal"), (285, "stubble"), (310, "moist soil"),
    ), vigour=0.06),
    Surface("sugar beet", (
        (15, "moist soil"), (90, "dry soil"), (135, "dry soil"), (175, "beet"), (265, "beet"),
        (295, "sparse green"), (305, "moist soil"),
    ), vigour=0.05),
    Surface("summer cereal", (
        (15, "moist soil"), (80, "dry soil"), (110, "sparse green"), (145, "cereal"), (180, "cereal"),
        (212, "ripe cereal"), (228, "stubble"), (280, "dry soil"), (310, "moist soil"),
    ), vigour=0.05),
    Surface("fallow", (
        (15, "moist soil"), (100, "dry soil"), (170, "sparse green"), (260, "sparse green"), (310, "moist soil"),
    ), vigour=0.08),
    Surface("meadow", (
        (15, "winter grass"), (85, "winter grass"), (120, "grass"), (290, "grass"), (330, "winter grass"),
    ), vigour=0.05),
    Surface("broadleaf forest", (
        (15, "bare trees"), (105, "bare trees"), (130, "broadleaf"), (270, "broadleaf"), (295, "autumn leaves"),
        (320, "bare trees"),
    )),
    _always("conifer"),
    _always("asphalt"),
    _always("concrete"),
    _always("gravel"),
    _always("tile roof"),
    _always("dark roof"),
    _always("bright roof"),
    _always("shadow"),
)
# fmt: on

INDEX = {surface.name: position for position, surface in enumerate(SURFACES)}

VARIANTS = 16
"""Patches of one surface differ: variant = brightness * 4 + shift."""

SHIFTS_DAYS = (-9.0, -3.0, 3.0, 9.0)
BRIGHTNESS = (0.90, 0.97, 1.03, 1.10)


@lru_cache(maxsize=64)
def spectra_on(day: float, bands: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Return the spectrum of every label on a day of the year (1 to 366).

    Returns reflectance and its change per unit of vigour, both (band, label) float32, where
    label = surface * VARIANTS + variant.
    """
    columns = [BANDS.index(band) for band in bands]
    days = np.tile(np.add(SHIFTS_DAYS, day), len(BRIGHTNESS))
    brightness = np.repeat(BRIGHTNESS, len(SHIFTS_DAYS))
    base = np.stack([brightness * _on_calendar(surface.calendar, days)[columns] for surface in SURFACES], axis=1)
    growth = np.subtract(SPECTRA["cereal"], SPECTRA["moist soil"])[columns]
    swing = np.multiply.outer(growth, np.repeat([surface.vigour for surface in SURFACES], VARIANTS))
    return base.reshape(len(bands), -1).astype("float32"), swing.astype("float32")


def _on_calendar(calendar: tuple[tuple[int, str], ...], days: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Interpolate a calendar of spectra at days, periodic over the year: (band, day)."""
    known = [day for day, _ in calendar]
    spectra = np.array([SPECTRA[name] for _, name in calendar])
    return np.stack([np.interp(days, known, values, period=365.25) for values in spectra.T])
