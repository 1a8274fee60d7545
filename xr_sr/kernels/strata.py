"""Sort coarse pixels into the strata by which error scales are calibrated: flat, edge and bright.

A pixel is flat where the standard deviation of the nine pixels around it is below FLAT of their mean; else bright where
that mean is BRIGHT or more; else an edge. So the stratum depends on the input alone, on no sensor and on no model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["by_stratum", "moments_of_nine", "strata_of"]

FLAT, BRIGHT = 0.05, 0.3

DARK = 0.02
"""Least mean that FLAT is taken of: over dark water noise would count as contrast. In reflectance, as BRIGHT."""


def moments_of_nine(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each pixel and its eight neighbors: (..., y, x) with one less on each side."""
    both = torch.stack([plane, plane.square()])
    for axis in (-2, -1):
        # Three terms in a fixed order: the same in every block.
        side = both.shape[axis] - 2
        both = both.narrow(axis, 0, side) + both.narrow(axis, 1, side) + both.narrow(axis, 2, side)
    mean, square = both.div_(9)
    return mean, square - mean.square()


def strata_of(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return where pixels are flat, and where they are bright; the rest are edges. Moments as of `moments_of_nine`."""
    flat = variance < (FLAT * mean.clamp(min=DARK)).square()
    return flat, (mean >= BRIGHT) & ~flat


def by_stratum(values: Sequence[float], strata: tuple[Tensor, Tensor]) -> Tensor:
    """Return one of three numbers (flat, edge, bright) for each pixel."""
    flat, bright = strata
    made = torch.full(flat.shape, values[1], device=flat.device)
    return made.masked_fill_(flat, values[0]).masked_fill_(bright, values[2])
