"""Estimate, assess and remove sub-pixel shifts between images or dates.

In reading order: `alignment` aligns the dates of a cube, measured in `windows`; `estimate` compares two images, by the
methods of `correlation` and `features`; `warping` moves pixels. Imports go one way only.
"""

from __future__ import annotations

from .alignment import align
from .correlation import phase_correlation_shift
from .estimate import Shift, estimate_shift
from .warping import warp

__all__ = ["Shift", "align", "estimate_shift", "phase_correlation_shift", "warp"]
