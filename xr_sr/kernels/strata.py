"""Sort coarse pixels into the strata by which error scales are calibrated: flat, edge and bright.

A pixel is flat where the standard deviation of the nine pixels around it is below FLAT of their mean; else bright where
that mean is BRIGHT or more; else an edge. So the stratum depends on the input alone, on no sensor and on no model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FLAT, BRIGHT = 0.05, 0.3

DARK = 0.02
"""Least mean that FLAT is taken of: over dark water noise would count as contrast. In reflectance, as BRIGHT."""


def strata_of(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return where pixels are flat, and where they are bright; the rest are edges. Moments of nine pixels."""
    flat = variance < (FLAT * mean.clamp(min=DARK)).square()
    return flat, (mean >= BRIGHT) & ~flat


def by_stratum(values: Sequence[float], strata: tuple[Tensor, Tensor]) -> Tensor:
    """Return one of three numbers (flat, edge, bright) for each pixel."""
    flat, bright = strata
    made = torch.full(flat.shape, values[1], device=flat.device)
    return made.masked_fill_(flat, values[0]).masked_fill_(bright, values[2])
