"""Augmentations: other places, seasons and lights made of the patches there are.

NumPy only, and all chance comes from the generator that is handed in. Geometry first: the eight turns and flips of a
square. Then, in some of the patches, radiometry, so that a network meets snow and dark water where the scenes have
none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import OptionError
from .scenes import FloatArray

__all__ = ["Augmentation", "turn"]

LOWEST, HIGHEST = -0.02, 1.6
"""Reflectance is kept between these: slightly negative over dark water, above one on snow and clouds."""


@dataclass(frozen=True)
class Augmentation:
    """How often a patch is changed, as shares of all patches; the rest is only turned.

    light: gain, contrast, a gain for each band, sometimes an offset. snow: one bright, nearly grey image made of the
    bands. mix: each band a mixture of all four. haze: each band loses some of its darkest reflectance, as by correction
    of the atmosphere, so that forests become as dark in blue as they are on the ground.
    absorbed: places of bands in which snow is dark, those of SWIR. Raises OptionError for shares that no patches have.
    """

    light: float = 0.35
    snow: float = 0.15
    mix: float = 0.1
    haze: float = 0.0
    absorbed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shares = (self.light, self.snow, self.mix, self.haze)
        right = all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares)
        if not right or sum(shares) > 1 + 1e-9:  # 0.7 + 0.2 + 0.1 is a little more or less
            raise OptionError(
                f"light={self.light!r}, snow={self.snow!r}, mix={self.mix!r}, haze={self.haze!r}: wanted plain "
                "numbers from 0 to 1, together at most 1."
            )

    def __call__(self, patch: FloatArray, chance: np.random.Generator) -> FloatArray:
        """Change a patch (band, y, x) of reflectance."""
        patch = turn(patch, int(chance.integers(8)))
        kind = chance.random()
        if kind < self.light:
            patch = _relit(patch, chance)
        elif kind < self.light + self.snow:
            patch = _snowed(patch, chance, self.absorbed)
        elif kind < self.light + self.snow + self.mix:
            patch = _mixed(patch, chance)
        elif kind < self.light + self.snow + self.mix + self.haze:
            patch = _cleared(patch, chance)
        return np.ascontiguousarray(np.clip(patch, LOWEST, HIGHEST), "float32")


def turn(patch: FloatArray, way: int) -> FloatArray:
    """Turn by 90 degrees `way % 4` times, and mirror where `way` is above 3."""
    turned = np.rot90(patch, way % 4, (-2, -1))
    return turned[..., ::-1] if way > 3 else turned


def _relit(patch: FloatArray, chance: np.random.Generator) -> FloatArray:
    mean = patch.mean((1, 2), keepdims=True)
    contrast, gain = np.exp(chance.normal(0, 0.5, 2))
    changed: FloatArray = (mean + (patch - mean) * contrast) * gain * np.exp(chance.normal(0, 0.2, (len(patch), 1, 1)))
    offset: float = chance.normal(0, 0.05) if chance.random() < 0.3 else 0.0
    return changed + offset


def _snowed(patch: FloatArray, chance: np.random.Generator, absorbed: tuple[int, ...] = ()) -> FloatArray:
    bands = len(patch)
    grey = np.tensordot(chance.dirichlet(np.ones(bands)) * chance.choice([-1, 1]), patch, 1)
    grey = (grey - grey.mean()) / (grey.std() + 1e-4)
    colour = (patch - patch.mean((1, 2), keepdims=True)) * chance.uniform(0, 1) + chance.normal(0, 0.04, (bands, 1, 1))
    snowed: FloatArray = chance.uniform(0.25, 0.9) + grey * np.exp(chance.uniform(np.log(0.02), np.log(0.3))) + colour
    for place in absorbed:
        own = (patch[place] - patch[place].mean()) / (patch[place].std() + 1e-4)
        shared = chance.uniform(-0.5, 1)  # of the texture: what is not snow is brighter here, and shadow is dark in all
        texture = (1 - abs(shared)) * own + shared * grey
        snowed[place] = chance.uniform(0.02, 0.2) * (1 + chance.uniform(0.05, 0.5) * texture)
    return snowed


def _mixed(patch: FloatArray, chance: np.random.Generator) -> FloatArray:
    bands = len(patch)
    shares = np.eye(bands) + chance.normal(0, 0.25, (bands, bands))
    mixed: FloatArray = np.tensordot(shares / shares.sum(1, keepdims=True).clip(0.3), patch, 1)
    return mixed


def _cleared(patch: FloatArray, chance: np.random.Generator) -> FloatArray:
    dark = np.percentile(patch, 5, axis=(1, 2), keepdims=True).clip(0, 0.12)
    contrast = np.exp(chance.normal(0, 0.4))
    cleared: FloatArray = (patch - dark * chance.uniform(0.3, 1.0, (len(patch), 1, 1))) * contrast
    return cleared
