"""Sub-pixel shifts between images or dates: estimate them, judge them, undo them.

In reading order: `alignment` is the door for cubes and `places` what it measures in; `estimate` is the door for two
images, with its methods in `correlation`, `ecc` and `features` and their judge in `quality`; `warping` moves pixels;
`phase` is the plain correlation of the field's tools. Imports go one way only.
"""

from __future__ import annotations

from .alignment import align
from .estimate import estimate_shift
from .phase import phase_correlation_shift
from .shift import Shift
from .warping import warp

__all__ = ["Shift", "align", "estimate_shift", "phase_correlation_shift", "warp"]
