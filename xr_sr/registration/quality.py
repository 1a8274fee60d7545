"""How sure a shift is: the standard error that two images, laid on each other, allow.

Whatever method found the shift, it is judged here, from the images alone.
"""

from __future__ import annotations

import math

import numpy as np

from .channels import Array, Pair

BLOCKS = 8
"""Blocks along each axis within which differences of the images may hang together: clouds, fields, shadows."""

LEAST = 0.01
"""Pixels by which even equal images without noise may be off: interpolation, aliasing, steps of the search."""


def standard_error(pair: Pair, dy: float, dx: float) -> float:
    """Estimate the standard error of a shift (dy, dx), in pixels, along its worst direction.

    Infinite without structure. Noise that the images do not share must not pass for structure, so the information on
    the shift is the product of the derivatives of *both* images, H = sum w^2 d_moving d_reference. What moves the
    estimate are the differences e that remain, B = sum over blocks of (sum w^2 e d)(sum w^2 e d), d the mean
    derivative; the covariance is H^-1 B H^-1 (White 1980, doi:10.2307/1912934, with blocks as clusters, since the
    differences of two dates are no white noise). A single edge tells nothing along itself: H then has a small
    eigenvalue, and the error is large.
    """
    _, weights = pair.weights(dy, dx)
    if weights.sum() < 16:
        return math.inf
    weights = weights**2
    rows, columns = (np.arange(BLOCKS) * size // BLOCKS for size in pair.shape)
    information = np.zeros((2, 2))
    pushes = np.zeros((2, BLOCKS, BLOCKS))
    floor = np.zeros((2, 2))
    for moving, reference, noise in zip(pair.moved(dy, dx), pair.reference, pair.noise, strict=True):
        one, other = _standardised(moving, weights), _standardised(reference, weights)
        left, right = np.array(np.gradient(one)), np.array(np.gradient(other))
        middle = (left + right) / 2
        information += np.einsum("iyx,jyx,yx->ij", left, right, weights)
        push = weights * middle * (other - one)
        pushes += np.add.reduceat(np.add.reduceat(push, rows, axis=1), columns, axis=2)
        floor += noise * np.einsum("iyx,jyx,yx->ij", middle, middle, weights**2)
    information = (information + information.T) / 2
    if np.linalg.eigvalsh(information)[0] <= 1e-9 * max(np.trace(information), 1e-300):
        return math.inf
    scatter = np.einsum("ibc,jbc->ij", pushes, pushes) + floor
    inverse = np.linalg.inv(information)
    return math.hypot(LEAST, math.sqrt(max(float(np.linalg.eigvalsh(inverse @ scatter @ inverse)[-1]), 0.0)))


def _standardised(channel: Array, weights: Array) -> Array:
    """Give zero mean and unit variance under the weights; two dates may differ in light and contrast."""
    total = weights.sum()
    centred = channel - (channel * weights).sum() / total
    spread = math.sqrt((centred**2 * weights).sum() / total)
    return np.asarray(centred / spread if spread > 0 else centred)
