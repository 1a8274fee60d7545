"""Enhanced correlation coefficient: the shift under which two images correlate best, found by Gauss-Newton steps.

Invariant to brightness and contrast. The result is the shift *of the moving image's content*; some tools hand out its
negative, the place from which an output pixel is taken, and then apply it the wrong way.
"""

from __future__ import annotations

import math

import numpy as np

from .channels import Array, Pair
from .correlation import whole_pixels

STEPS = 50
CONVERGED = 1e-3
"""Pixels; smaller steps end the search."""


def shift_by_ecc(pair: Pair, *, max_shift: float) -> tuple[float, float]:
    """Find the shift (dy, dx) that maximises the correlation coefficient of moving, moved, and reference.

    Starts from the best whole pixel, since the steps find a maximum within about a pixel. NaN, NaN if the images do not
    correlate there or the search runs away. Source: Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113, forward
    additive scheme with a translation as its warp.
    """
    dy, dx = whole_pixels(pair, max_shift)
    start = (dy, dx)
    for _ in range(STEPS):
        step = _step(pair, dy, dx)
        if step is None or math.hypot(dy + step[0] - start[0], dx + step[1] - start[1]) > 2:
            return math.nan, math.nan
        dy, dx = dy + step[0], dx + step[1]
        if math.hypot(*step) < CONVERGED:
            break
    return dy, dx


def _step(pair: Pair, dy: float, dx: float) -> tuple[float, float] | None:
    """Return the next step of the shift; None where the images do not correlate."""
    _, weights = pair.weights(dy, dx)
    normal, along_moving, along_reference = np.zeros((2, 2)), np.zeros(2), np.zeros(2)
    power = agreement = 0.0
    for moving, reference in zip(pair.moved(dy, dx), pair.reference, strict=True):
        # Moving the content down by ds takes a pixel from further up: the derivative has the opposite sign
        slopes = [_centred(-slope, weights) for slope in np.gradient(moving)]
        one, other = _centred(moving, weights), _centred(reference, weights)
        normal += [[(left * right).sum() for right in slopes] for left in slopes]
        along_moving += [(slope * one).sum() for slope in slopes]
        along_reference += [(slope * other).sum() for slope in slopes]
        power += (one**2).sum()
        agreement += (one * other).sum()
    if agreement <= 0 or np.linalg.eigvalsh(normal)[0] <= 1e-9 * np.trace(normal):
        return None
    solved = np.linalg.solve(normal, np.stack([along_moving, along_reference], axis=1))
    above = power - along_moving @ solved[:, 0]
    below = agreement - along_reference @ solved[:, 0]
    gain = above / below if below > 0 else power / agreement
    step = gain * solved[:, 1] - solved[:, 0]
    return float(step[0]), float(step[1])


def _centred(image: Array, weights: Array) -> Array:
    """Take the weighted mean off, and apply the weights."""
    return np.asarray((image - (image * weights).sum() / weights.sum()) * weights)
