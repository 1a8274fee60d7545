"""Regress bands on finer ones around each pixel: least squares in a sliding window.

Source: hypersharpening, Selva et al. 2015 (doi:10.1109/JSTARS.2015.2440092); here in a window that weighs near pixels
most, since a regression over the scene would make a pixel depend on all others.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..networks import separable
from .protocol import RADIUS
from .psf import Profile

RIDGE, NOISE = 1e-3, 1e-3
"""Added to the variances of guides: this share of their mean, and about the square of the sensor's noise. Less would
put noise into the result, mostly on even ground; more costs detail (Wald's protocol: 3 % of the error at most).
"""


def regress(bands: Tensor, guides: Tensor) -> Tensor:
    """Fit bands by guides around each pixel: weights of the guides and a constant, (band, guide + 1, y, x).

    bands: (band, y, x). guides: (guide, y, x). Least squares with a little ridge, in float64, with sums in a fixed
    order, so that no block shows; the result is smaller than the input by RADIUS on each side.
    """
    taps = separable.gaussian(RADIUS / 2, RADIUS).taps[0]
    count, guides, bands = len(guides), guides.double(), bands.double()
    pairs = [(i, j) for i in range(count) for j in range(i, count)]
    squares = torch.stack([guides[i] * guides[j] for i, j in pairs])
    means, squares = _windowed(guides, taps), _windowed(squares, taps)
    upper = {(i, j): square - means[i] * means[j] for (i, j), square in zip(pairs, squares, strict=True)}
    extra = RIDGE / count * sum((upper[i, i] for i in range(count)), torch.zeros_like(means[0])) + NOISE**2
    for i in range(count):
        upper[i, i] = upper[i, i] + extra
    # Elimination without pivots, all pixels at once: the ridge keeps the matrices positive definite.
    factors = {}
    for i in range(count):
        for j in range(i + 1, count):
            factors[i, j] = upper[i, j] / upper[i, i]
            for k in range(j, count):
                upper[j, k] = upper[j, k] - factors[i, j] * upper[i, k]
    return torch.stack([_weights(band, guides, means, upper, factors, taps) for band in bands])


def _weights(
    band: Tensor,
    guides: Tensor,
    means: Tensor,
    upper: dict[tuple[int, int], Tensor],
    factors: dict[tuple[int, int], Tensor],
    taps: NDArray[np.float64],
) -> Tensor:
    """Return the weights of one band. upper, factors: of the eliminated matrix."""
    count = len(guides)
    mean, mixed = _windowed(band[None], taps)[0], _windowed(guides * band, taps)
    known = list((mixed - means * mean).unbind())
    for (i, j), factor in factors.items():
        known[j] = known[j] - factor * known[i]
    weights: list[Tensor] = [mean] * count
    for i in reversed(range(count)):
        rest = known[i]
        for j in range(i + 1, count):
            rest = rest - upper[i, j] * weights[j]
        weights[i] = rest / upper[i, i]
    constant = mean - sum((weight * m for weight, m in zip(weights, means, strict=True)), torch.zeros_like(mean))
    return torch.stack([*weights, constant])


def samples_of(profile: Profile, ratio: int) -> tuple[int, NDArray[np.float64]]:
    """Return the weights of fine pixels in a coarse one, `ratio` times as wide, and the first's place in it."""
    center, reach = (ratio - 1) / 2, math.ceil(profile.reach)
    pixels = np.arange(math.ceil(center - reach), math.floor(center + reach) + 1, dtype=np.float64)
    return int(pixels[0]), profile.weights((pixels - center)[None])[0]


def _windowed(planes: Tensor, taps: NDArray[np.float64]) -> Tensor:
    for axis in (-2, -1):
        planes = weighed(planes, taps, axis, 0, planes.shape[axis] - len(taps) + 1)
    return planes


def weighed(planes: Tensor, taps: NDArray[np.float64], axis: int, start: int, count: int, step: int = 1) -> Tensor:
    """Sum along an axis: out[i] = sum_k taps[k] * planes[start + i * step + k], in the order of k, bit for bit."""
    assert 0 <= start <= start + (count - 1) * step + len(taps) <= planes.shape[axis], "the context is too small"
    out = None
    for k, weight in enumerate(taps):
        where = [slice(None)] * planes.ndim
        where[axis] = slice(start + k, start + k + (count - 1) * step + 1, step)
        part = planes[tuple(where)] * float(weight)
        out = part if out is None else out.add_(part)
    assert out is not None
    return out
