"""Phase correlation with windows that move along: the sub-pixel shift between two images that are not periodic.

Built on the transforms of `phase`. `quality` judges a peak.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .channels import Pair
from .phase import ComplexArray, correlation_at

WHITENING = 0.5
"""How far frequencies are made equally strong: 1 is phase correlation as published, where frequencies that hold noise
and the leaking of the window count as much as those with signal; 0 is plain correlation, of which few frequencies
decide."""

ITERATIONS = 6


def shift_by_phase(pair: Pair, *, max_shift: float, upsample: int) -> tuple[float, float]:
    """Find the shift (dy, dx) of the largest correlation, in steps of 1 / upsample pixel.

    Whole pixels first, up to one beyond `max_shift` along each axis; then repeatedly a fine search around, with windows
    at the shift found before, until it stays. Source: Argyriou and Vlachos 2006, doi:10.1109/TIP.2005.863103
    (gradients); Guizar-Sicairos et al. 2008 (peak by a matrix-multiply DFT).
    """
    dy, dx = whole_pixels(pair, max_shift)
    steps = np.arange(-math.ceil(0.75 * upsample), math.ceil(0.75 * upsample) + 1) / upsample
    for _ in range(ITERATIONS):
        before = (dy, dx)
        dy, dx = _largest(spectrum_of(pair, dy, dx), dy + steps, dx + steps)
        if max(abs(dy - before[0]), abs(dx - before[1])) < 0.6 / upsample:
            break
    return dy, dx


def whole_pixels(pair: Pair, max_shift: float) -> tuple[float, float]:
    """Find the largest correlation among shifts of whole pixels, up to one beyond `max_shift` along each axis."""
    reach = math.floor(max_shift) + 1
    y, x = (np.arange(-min(reach, (size - 1) // 2), min(reach, (size - 1) // 2) + 1.0) for size in pair.shape)
    return _largest(spectrum_of(pair, 0.0, 0.0), y, x)


def spectrum_of(pair: Pair, dy: float, dx: float) -> ComplexArray:
    """Return the cross-spectrum of all channels together, partly whitened, with windows for the shift (dy, dx)."""
    from scipy import fft

    on_moving, on_reference = pair.weights(dy, dx)
    total = np.zeros(pair.shape, np.complex128)
    for moving, reference in zip(pair.moving, pair.reference, strict=True):
        one = fft.fft2(_windowed(moving, on_moving))
        other = fft.fft2(_windowed(reference, on_reference))
        total += other * np.conj(one)
    strength = np.abs(total)
    floor = 1e-12 * strength.max(initial=0.0) or 1.0
    return np.asarray(total / np.maximum(strength, floor) ** WHITENING)


def _windowed(channel: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply weights to what is left of a channel without its mean, which would be the window's own picture."""
    total = weights.sum() or 1.0
    return np.asarray((channel - (channel * weights).sum() / total) * weights)


def _largest(spectrum: ComplexArray, y: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[float, float]:
    """Find where among shifts y times x the correlation is largest; a negative one is contrast turned round."""
    correlation = correlation_at(spectrum, y, x).real
    row, column = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    return float(y[row]), float(x[column])
