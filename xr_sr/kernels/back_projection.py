"""Make a fine image agree with the coarse one it was made of, by iterative back-projection (Irani and Peleg 1991).

As in opensr-model 1.2, where an observed pixel is the mean of a block of fine ones, at wish after a Gaussian blur.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MOST_ITERATIONS, TOLERANCE = 100, 1e-6


def back_project(
    fine: Tensor,
    coarse: Tensor,
    *,
    valid: Tensor | None = None,
    sigma: float = 0.0,
    relaxation: float = 1.0,
    iterations: int = MOST_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """Return a fine image whose pixels, seen coarsely, are those of `coarse`: x + r s^2 D'(y - D x), repeatedly.

    fine: (n, band, y * s, x * s). coarse: (n, band, y, x). valid: boolean, which coarse pixels count, of the shape of
    `coarse` or broadcast to it; None: all. sigma: of a blur before block means, in fine pixels, periodic at the edges;
    0 is none, and one iteration is then exact, and each coarse pixel changes its own fine ones alone. relaxation: r.
    It ends where the root mean square of what is left is at most `tolerance`. Values may become negative.
    """
    scale = fine.shape[-1] // coarse.shape[-1]
    counts = torch.ones_like(coarse, dtype=torch.bool) if valid is None else valid.expand_as(coarse)
    for _ in range(iterations):
        rest = torch.where(counts, coarse - functional.avg_pool2d(_blurred(fine, sigma), scale), 0)
        if rest.square().sum() <= tolerance**2 * counts.sum():
            break
        wide = rest.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
        fine = fine + relaxation * _blurred(wide, sigma)
    return fine


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """Convolve with a Gaussian of 4 deviations, the image continued periodically."""
    if sigma == 0:
        return image
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    taps = torch.exp(-(offsets**2) / (2 * sigma**2))
    taps = taps / taps.sum()
    for axis in (-2, -1):
        image = sum(
            (tap * image.roll(int(offset), axis) for tap, offset in zip(taps, offsets.tolist(), strict=True)),
            start=torch.zeros_like(image),
        )
    return image
