"""Compute the standard deviation of the error of kriging: local variance of the ground times what kriging leaves of it.

The Gaussian model of kriging leaves 1 - 2 w'b + w'A w of the prior variance in each phase of a fine pixel, a number
that depends on the ratio of noise to signal alone (`kriging_filters.Filters.variance`). The prior variance is estimated
around each coarse pixel from the energy of second differences, of which the prior says how large it is: they are the
finest that was measured, and say more about what is finer still than the variance in a window, most of which is coarse.
On ten aerial places, each with the factors of the others, 90 % intervals cover 0.83 to 0.95 of a place with second
differences, and 0.64 to 0.96 with the variance of the window that chooses the filters and of nine pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..networks.separable import local_mean, local_moments
from .kriging_filters import LEVELS, Filters
from .strata import by_stratum, strata_of

FLOOR = 4
"""Prior variance that is always there, in variances of the noise: ground may vary where nothing of it is seen."""

STRIP = 16
"""Rows of coarse pixels that are expanded at once, so that products stay in the cache."""


class ErrorScale:
    """Standard deviations of one band.

    factors: by which deviations are multiplied in the strata flat, edge and bright.
    """

    def __init__(self, filters: Filters, factors: Sequence[float]) -> None:
        variance = filters.variance
        self.scale = variance.shape[1]
        self.per_roughness = 1 / filters.roughness
        self.factors = factors
        # Linear between levels: the first, and the steps to the next ones.
        steps = np.diff(np.sqrt(variance).reshape(len(LEVELS), -1), axis=0, prepend=0)
        self.steps = torch.from_numpy(np.ascontiguousarray(steps.T, dtype=np.float32))

    def write(self, plane: Tensor, noise: Tensor, level: Tensor, out: Tensor, strata: Tensor | None = None) -> None:
        """Write the standard deviation of each fine pixel, (rows * scale, columns * scale).

        plane: coarse pixels, (rows + 4, columns + 4). noise: its variance, (rows, columns). level: the place of the
        ratio of noise to signal among LEVELS. strata: filled with their numbers, as large as `out`.
        """
        rows, columns = level.shape
        basis = level.new_empty(len(LEVELS), rows * columns)
        torch.sqrt(self.prior(plane, noise, strata), out=basis[0].view(rows, columns))
        for place in range(1, len(LEVELS)):
            torch.mul((level - (place - 1)).clamp_(0, 1).view(-1), basis[0], out=basis[place])
        fine = out.view(rows, self.scale, columns, self.scale)
        steps = self.steps.to(level.device)
        for start in range(0, rows, STRIP):
            by_phase = steps @ basis[:, start * columns : (start + STRIP) * columns]
            by_phase = by_phase.view(self.scale, self.scale, -1, columns)
            fine[start : start + STRIP].copy_(by_phase.permute(2, 0, 3, 1))

    def prior(self, plane: Tensor, noise: Tensor, strata: Tensor | None = None) -> Tensor:
        """Return the prior variance around each coarse pixel, times the square of its factor; arguments as `write`."""
        found = strata_of(*local_moments(plane[1:-1, 1:-1], 1))
        if strata is not None:
            numbers = by_stratum((0, 1, 2), found)[:, None, :, None]
            by_pixel = strata.view(noise.shape[0], self.scale, noise.shape[1], self.scale)
            by_pixel.copy_(numbers.expand_as(by_pixel))
        prior = (roughness(plane) - noise).clamp_(min=0).mul_(self.per_roughness).add_(noise, alpha=FLOOR)
        return prior.mul_(by_stratum([factor**2 for factor in self.factors], found))


def roughness(plane: Tensor) -> Tensor:
    """Return the energy of second differences, as `Filters.roughness`, over nine pixels: two less on each side."""
    middle, sides = plane[1:-1, 1:-1], (plane[:-2, 1:-1], plane[2:, 1:-1], plane[1:-1, :-2], plane[1:-1, 2:])
    along_y, along_x = 2 * middle - sides[0] - sides[1], 2 * middle - sides[2] - sides[3]
    return local_mean(along_y.square_().add_(along_x.square_()), 1).div_(12)
