"""Compute the filters of area-to-point kriging: from coarse pixels, seen through a point spread function, to fine ones.

A band is observed as y = D H x + n: the point spread function H, sampling D every `scale` fine pixels, white noise n.
The prior of the fine image x is a stationary Gaussian field with the power spectrum (f^2 + f0^2)^-p. Ordinary kriging
(Kyriakidis 2004, doi:10.1111/j.1538-4632.2004.tb01135.x; for satellite images: Wang et al. 2015,
doi:10.1016/j.rse.2015.06.003) gives the weights of the coarse pixels around each fine one, w = A^-1 (b + lambda 1) with
sum one, where A is their covariance with the ratio of noise to signal on its diagonal, and b their covariance with the
fine pixel.

That ratio differs from place to place. Since A^-1 = A_0^-1 (A_0 A^-1), kriging at any ratio is a filter on the coarse
grid, which takes the noise out, followed by kriging at the smallest ratio: so only one filter works on fine pixels.

NumPy alone, in double precision; distances are in fine pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .psf import Psf

LEVELS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ratios of noise to signal for which filters are computed. At the first the result agrees with its input."""

RADIUS = 6
"""Half the side, in coarse pixels, of the window that a fine pixel is computed from."""

SMOOTHING_RADIUS = 4
"""The same of the filters that take noise out on the coarse grid."""

RANK, SMOOTHING_RANK = 4, 3
"""Products of two one-dimensional filters that approximate each filter; see `Filters.error`."""

MOST_ERROR, MOST_RANK = 0.006, 16
"""Error above which a filter gets more products than RANK, as few as it takes, and the most."""

_PERIOD = 256
"""Coarse pixels after which the sampled spectrum repeats itself: many times the distance of correlation."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """How a sensor observes a band, and what is assumed of the ground.

    psf: point spread function, in fine pixels. scale: fine pixels per coarse one. exponent: p of the power spectrum.
    outer_scale: 1 / f0 in coarse pixels, beyond which the ground is no more variable.
    """

    psf: Psf
    scale: int
    exponent: float
    outer_scale: float


@dataclass(frozen=True, eq=False)
class Filters:
    """Filters of one band.

    along_y, along_x: (rank, scale, 2 RADIUS + 1), of kriging at the first of LEVELS: weights of coarse pixels for each
    phase of a fine one; the filter is the sum of their products, and the weights of each phase sum to one.
    smoothing_y, smoothing_x: (level, rank, 2 SMOOTHING_RADIUS + 1), of the filters before it, for all LEVELS but the
    first, which needs none.
    variance: (level, scale, scale), posterior variance of each phase as a fraction of the prior variance.
    error: largest difference of a filter from its products, as a fraction of its norm.
    roughness: expected energy of second differences between coarse pixels, as a fraction of the prior variance: half
    the sum of the mean squares of those along y and along x, divided by 6, so that white noise has its own variance.
    """

    along_y: Doubles
    along_x: Doubles
    smoothing_y: Doubles
    smoothing_x: Doubles
    variance: Doubles
    error: float
    roughness: float


@lru_cache(maxsize=64)
def filters_of(seen: Observation) -> Filters:
    """Compute the filters of an observation; a tenth of a second, once in a process."""
    coarse, mixed = _covariances(seen)
    upsampling, variance = _kriging(coarse, mixed, LEVELS)
    smoothing = np.stack([_smoothing(coarse, level) for level in LEVELS[1:]])
    along_y, along_x, error = _products(upsampling[0], RANK)
    for rank in range(RANK + 1, MOST_RANK + 1):  # a kernel without symmetry may need more
        if error <= MOST_ERROR:
            break
        along_y, along_x, error = _products(upsampling[0], rank)
    pairs = [_products(each[None, :, None, :], SMOOTHING_RANK) for each in smoothing]
    here = len(coarse) // 2  # no distance
    lines = (coarse[here, here:], coarse[here:, here])
    return Filters(
        along_y,
        along_x,
        np.stack([pair[0][:, 0] for pair in pairs]),
        np.stack([pair[1][:, 0] for pair in pairs]),
        variance,
        max(error, *(pair[2] for pair in pairs)),
        float(sum(6 * line[0] - 8 * line[1] + 2 * line[2] for line in lines) / 12),
    )


def taps_of(seen: Observation) -> tuple[Doubles, Doubles]:
    """Return fine pixels around a coarse one, counted from its first, and their weights, (term, axis, pixel)."""
    center, reach = (seen.scale - 1) / 2, max(seen.psf.reach)
    taps = np.arange(math.ceil(center) - reach - 1, math.floor(center) + reach + 2, dtype=np.float64)
    weights = [[profile.weights((taps - center)[None])[0] for profile in term] for term in seen.psf.terms]
    return taps, np.array(weights)


def _covariances(seen: Observation) -> tuple[Doubles, Doubles]:
    """Return the covariances of coarse pixels with each other, and of fine ones with coarse ones.

    Both as fractions of the variance of a fine pixel: (2 n - 1, 2 n - 1) by distance along y and x, n = 2 RADIUS + 1,
    of which the middle is no distance; and (phase y, pixel y, phase x, pixel x).
    """
    scale, side = seen.scale, 2 * RADIUS + 1
    reach = max(seen.psf.reach)
    longest = 2 * RADIUS * scale + 2 * reach + 2
    prior = _prior(seen, longest)
    signed = np.abs(np.arange(-longest, longest + 1))
    field = prior[np.ix_(signed, signed)]
    # Weights of fine pixels around the center of a coarse one, at all whole distances between fine pixels, and at
    # those between a fine pixel and the center of a coarse one.
    taps, weights = taps_of(seen)
    coarse = np.zeros((2 * side - 1, 2 * side - 1))
    mixed = np.zeros((scale, side, scale, side))
    places = np.arange(scale)[:, None] - scale * np.arange(-RADIUS, RADIUS + 1)
    apart = scale * np.arange(1 - side, side)  # signed: a kernel need not be symmetric
    for rows, columns in weights:
        across = [_summed(places, taps, each, longest) for each in (rows, columns)]
        mixed += np.einsum("pid,de,qje->piqj", across[0], field, across[1], optimize=True)
        for other_rows, other_columns in weights:
            both = [
                _summed(apart, np.arange(1 - taps.size, taps.size), np.correlate(one, other, "full"), longest)
                for one, other in ((rows, other_rows), (columns, other_columns))
            ]
            coarse += both[0] @ field @ both[1].T
    return coarse, mixed


def _summed(places: NDArray[np.int64], taps: Doubles | NDArray[np.int64], weights: Doubles, longest: int) -> Doubles:
    """Return the operator that sums a covariance over taps: (*places, 2 longest + 1), for distances place - tap."""
    operator = np.zeros((*places.shape, 2 * longest + 1))
    for tap, weight in zip(taps, weights, strict=True):
        np.put_along_axis(
            operator,
            (places - int(tap) + longest)[..., None],
            np.take_along_axis(operator, (places - int(tap) + longest)[..., None], -1) + weight,
            -1,
        )
    return operator


def _prior(seen: Observation, longest: int) -> Doubles:
    """Return the covariance of fine pixels by distance along y and x: (longest + 1, longest + 1), at (0, 0) one."""
    frequency = np.arange(_PERIOD * seen.scale // 2 + 1) / _PERIOD  # cycles per coarse pixel
    square = frequency**2
    power = (square[:, None] + square + seen.outer_scale**-2) ** -seen.exponent
    count = np.where((frequency == 0) | (frequency == frequency[-1]), 1.0, 2.0)  # negative frequencies are the same
    waves = np.cos(2 * np.pi / seen.scale * np.arange(longest + 1)[:, None] * frequency) * count
    covariance: Doubles = waves @ power @ waves.T
    return np.asarray(covariance / covariance[0, 0])


def _matrix(coarse: Doubles, side: int) -> Doubles:
    """Return the covariance of the coarse pixels of a window with each other: (side^2, side^2)."""
    apart = np.arange(side)[:, None] - np.arange(side) + len(coarse) // 2
    return np.asarray(coarse[apart[:, None, :, None], apart[None, :, None, :]].reshape(side**2, side**2))


def _kriging(coarse: Doubles, mixed: Doubles, levels: tuple[float, ...]) -> tuple[Doubles, Doubles]:
    """Return the weights, (level, phase y, pixel y, phase x, pixel x), and the posterior variance of each phase."""
    scale, side = mixed.shape[:2]
    known = mixed.transpose(1, 3, 0, 2).reshape(side**2, scale**2)
    matrix = _matrix(coarse, side)
    weights, variance = [], []
    for level in levels:
        noisy = matrix + level * np.eye(len(matrix))
        found = _ordinary(noisy, known)
        left = 1 - 2 * (found * known).sum(0) + (found * (noisy @ found)).sum(0)
        weights.append(found.reshape(side, side, scale, scale).transpose(2, 0, 3, 1))
        variance.append(left.reshape(scale, scale))
    return np.stack(weights), np.stack(variance)


def _smoothing(coarse: Doubles, level: float) -> Doubles:
    """Return the weights that estimate a coarse pixel with the noise of the first level from those of another."""
    side = 2 * SMOOTHING_RADIUS + 1
    matrix = _matrix(coarse, side)
    middle = side**2 // 2
    known = matrix[:, [middle]].copy()
    known[middle] += LEVELS[0]
    return _ordinary(matrix + level * np.eye(len(matrix)), known).reshape(side, side)


def _ordinary(matrix: Doubles, known: Doubles) -> Doubles:
    """Solve for weights that sum to one: (pixel, target)."""
    solved = np.linalg.solve(matrix, np.column_stack([known, np.ones(len(matrix))]))
    free, unit = solved[:, :-1], solved[:, -1:]
    return np.asarray(free + unit * (1 - free.sum(0)) / unit.sum())


def _products(weights: Doubles, rank: int) -> tuple[Doubles, Doubles, float]:
    """Approximate (phase y, pixel y, phase x, pixel x) by products: (rank, phase, pixel) along y and along x.

    The weights of each phase still sum to one: a part of the error in these sums is put into each product.
    Returns the error too, as a fraction of the norm of the weights.
    """
    scale, side = weights.shape[:2]
    left, strength, right = np.linalg.svd(weights.reshape(scale * side, scale * side))
    rank = min(rank, len(strength))
    root = np.sqrt(strength[:rank])
    along_y = (left[:, :rank] * root).T.reshape(rank, scale, side)
    along_x = (right[:rank] * root[:, None]).reshape(rank, scale, side)
    for _ in range(3):  # Newton's steps with the smallest changes of the middle weights
        sums_y, sums_x = along_y.sum(2), along_x.sum(2)
        by_y = np.einsum("pa,rq->pqra", np.eye(scale), sums_x).reshape(scale**2, -1)
        by_x = np.einsum("qa,rp->pqra", np.eye(scale), sums_y).reshape(scale**2, -1)
        missing = (1 - sums_y.T @ sums_x).ravel()
        change = np.linalg.lstsq(np.hstack([by_y, by_x]), missing, rcond=1e-6)[0].reshape(2, rank, scale)
        along_y[:, :, side // 2] += change[0]
        along_x[:, :, side // 2] += change[1]
    kept = np.einsum("rpi,rqj->piqj", along_y, along_x)
    return along_y, along_x, float(np.linalg.norm(kept - weights) / np.linalg.norm(weights))
