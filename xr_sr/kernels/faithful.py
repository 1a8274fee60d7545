"""Whether a network that is said to hold its constraint inside does so: even and slowly varying ground stays itself.

Only what is coarser than the input's pixels is looked at, as that is what a constraint keeps; detail is the network's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import ModelError
from ..spec import ModelSpec
from .interpolate import Interpolator
from .network import NetworkPredictor

SIDE = 48
"""Input pixels of the images that are tried, where the model has no window of its own."""

WAVES = (math.inf, 32.0)
"""Their lengths in input pixels: even ground, and what every constraint keeps."""

LEVELS = (0.05, 0.3, 0.9)
"""Reflectance about which they swing."""

SHARE, LEAST = 0.5, 5e-4
"""What the means over input pixels may differ by from those of bicubic: a share of what the network adds, or the
rounding of a few DN. Measured: ours 0.24 of it on waves and 0 on even ground, the official network without its
constraint 1.2 to 1.9."""


def check_constrained(spec: ModelSpec, predictor: NetworkPredictor) -> None:
    """Compare the means of a network's output over input pixels with those of bicubic interpolation.

    Raises ModelError if they differ, on even ground or on slow waves, by more than a constraint lets pass.
    """
    bicubic = Interpolator("bicubic", spec.scale)
    side = spec.window or SIDE + 2 * max(predictor.reach, bicubic.reach)
    half = (spec.window or SIDE) // 2
    kept = half + (side - half) % 2  # in the middle, by whole input pixels
    blocks = spec.scale if spec.scale > 1 else 4  # at the scale of one a pixel is its own mean
    gives = [spec.bands.index(band) for band in spec.bands_out or spec.bands]
    for level in LEVELS:
        for wave in WAVES:
            image = _swinging(len(spec.bands), side, level, wave)
            with torch.no_grad():
                fine = predictor.predict(image, 0)
                plain = bicubic.predict(image[:, gives], 0)
            added = _middle(fine, kept * spec.scale) - _middle(plain, kept * spec.scale)
            means = torch.nn.functional.avg_pool2d(added, blocks)
            off, allowed = float(means.abs().max()), max(LEAST, SHARE * float(added.square().mean().sqrt()))
            if not off <= allowed:  # NaN too
                ground = "even ground" if math.isinf(wave) else f"a wave of {wave:.0f} pixels"
                raise ModelError(
                    f"{spec.name!r} is said to be constrained=True, and over {ground} of reflectance {level} its means "
                    f"over an input pixel are up to {off:.2g} from bicubic's; at most {allowed:.2g} is wanted. Take "
                    "away inside the network what it adds in low frequencies, or write low_pass=LowPass(...) instead "
                    "of constrained=True, which is put on its output."
                )


def _swinging(bands: int, side: int, level: float, wave: float) -> Tensor:
    """Draw a wave along y and x about a level, each band at its own phase: (1, band, y, x)."""
    places = torch.arange(side, dtype=torch.float32) * (2 * math.pi / wave)
    phases = torch.arange(bands, dtype=torch.float32)[:, None]
    rows, columns = torch.sin(places + phases), torch.cos(places + 2 * phases)
    return (level * (1 + 0.3 * rows[:, :, None] * columns[:, None, :]))[None]


def _middle(fine: Tensor, side: int) -> Tensor:
    top, left = ((length - side) // 2 for length in fine.shape[-2:])
    return fine[..., top : top + side, left : left + side]
