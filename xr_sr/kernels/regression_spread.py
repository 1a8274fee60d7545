"""Compute the standard deviation of the error of regression kriging, of coarse bands guided by finer ones.

    sr - z = sum_k a_k (x_k - g_k) - (e - K D H e) + K n        where the band is z = sum_k a_k g_k + c + e

g_k are the guides as they are, x_k as they were upscaled, a_k the weights of the regression, e what these leave of the
band, n its noise. (Put sr = r + K (y - D H r) and y = D H z + n in; K D H, which sees hardly any of the detail in which
x_k and g_k differ, is left out of the first term.) The terms are independent in the Gaussian model, so variances add:

    var = left_10m(phase) * prior of sum_k a_k g_k  +  left_20m(phase) * prior of e

`left` is the share 1 - 2 w'b + w'A w of the prior variance that kriging leaves (`kriging_filters.Filters.variance`, at
the ratio of noise to signal), for the guides on their own pixels and for e on those of the band. Prior variances are
estimated as for kriging (`kriging_spread`), from the energy of second differences: of the guides' pixels, of which
the weights make a quadratic form, so that it counts that errors of guides are alike; and of the residuals of the
regression on the band's pixels, each with its noise.
Source: propagation of errors through regression kriging as in Hengl, Heuvelink and Rossiter 2007
(doi:10.1016/j.cageo.2007.05.001), without the error of the weights themselves, and with that of the guides instead,
which are estimates here. Measured where real bands of 20 m are seen at 160 m, five places: the rms of the error is 0.74
to 1.54 times that of the deviation, and 2 to 14 times that of the second term alone, which is what the regression
leaves: most of the error is that of the guides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..networks.separable import local_mean, local_moments
from .kriging_filters import LEVELS, Filters, filters_of
from .kriging_spread import FLOOR, STRIP, roughness
from .protocol import BandSensor
from .sensor_noise import DARKEST
from .strata import by_stratum, strata_of

MARGIN = 2
"""Pixels around the result that are read: of the guides on their grid, and of the residuals on that of the band."""


class GuideEnergy:
    """Energy of second differences of the guides around each of their pixels, and their noise, for all bands at once.

    guides: (guide, 2 rows + 4, 2 columns + 4). sensors: of the guides. Energies are relative to those that a prior
    variance of one has, so that their quadratic form is a prior variance.
    """

    def __init__(self, guides: Tensor, sensors: Sequence[BandSensor]) -> None:
        filters = [filters_of(sensor.observation) for sensor in sensors]
        middle = guides[:, 1:-1, 1:-1]
        along_y = 2 * middle - guides[:, :-2, 1:-1] - guides[:, 2:, 1:-1]
        along_x = 2 * middle - guides[:, 1:-1, :-2] - guides[:, 1:-1, 2:]
        for plane, each in enumerate(filters):
            root = (12 * each.roughness) ** -0.5
            along_y[plane].mul_(root)
            along_x[plane].mul_(root)
        count = len(sensors)
        self.pairs = [(i, j) for i in range(count) for j in range(i, count)]
        products = torch.stack([(along_y[i] * along_y[j]).addcmul_(along_x[i], along_x[j]) for i, j in self.pairs])
        self.energy = local_mean(products, 1)
        mean = local_mean(middle, 1)
        self.noise = torch.stack([_noise(sensor, one) for sensor, one in zip(sensors, mean, strict=True)])
        self.relative = [1 / each.roughness for each in filters]

    def prior(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prior variance of the weighted sum of guides, and the variance of its noise.

        Both (rows, 2, columns, 2). weights: (guide, rows, columns), one for 2 x 2 pixels of the guides.
        """
        _, rows, columns = weights.shape
        energy = self.energy.view(-1, rows, 2, columns, 2)
        noise = self.noise.view(-1, rows, 2, columns, 2)
        shared = weights[:, :, None, :, None]
        found, own = torch.zeros_like(energy[0]), torch.zeros_like(energy[0])
        for place, (i, j) in enumerate(self.pairs):
            product = shared[i] * shared[j]
            found.addcmul_(product, energy[place], value=1 if i == j else 2)
            if i == j:
                own.addcmul_(product, noise[i])
                found.addcmul_(product, noise[i], value=-self.relative[i])
        return found.clamp_(min=0).add_(own, alpha=FLOOR), own


class GuidedErrorScale:
    """Standard deviations of one coarse band, with pixels twice as wide as those of its guides.

    filters: of the band. guides: those of its guides. factors: by which deviations are multiplied in the strata flat,
    edge and bright of the band's pixels.
    """

    def __init__(self, filters: Filters, guides: Sequence[Filters], factors: Sequence[float]) -> None:
        self.scale = filters.variance.shape[1] // 2
        self.per_roughness = 1 / filters.roughness
        self.factors = factors
        wide = filters.variance.reshape(len(LEVELS), 2, self.scale, 2, self.scale).transpose(1, 3, 0, 2, 4)
        narrow = np.mean([each.variance for each in guides], axis=0)
        # By the quarter of the band's pixel that a guide's pixel is: (phase, 2 levels), linear between levels.
        self.steps = [
            [torch.from_numpy(np.concatenate([_steps(narrow), _steps(wide[y, x])], axis=1)) for x in range(2)]
            for y in range(2)
        ]

    def write(
        self,
        weights: Tensor,
        energy: GuideEnergy,
        residual: Tensor,
        plane: Tensor,
        noise: Tensor,
        level: Tensor,
        out: Tensor,
        strata: Tensor | None = None,
    ) -> None:
        """Write the standard deviation of each fine pixel, (rows * 2 scale, columns * 2 scale).

        weights: of the guides, (guide, rows, columns). residual, plane: what the regression leaves of the band, and the
        band, (rows + 4, columns + 4). noise: its variance, (rows, columns). level: the place of its ratio of noise to
        signal among LEVELS. strata: filled with their numbers, as large as `out`.
        """
        rows, columns = level.shape
        found = strata_of(*local_moments(plane[1:-1, 1:-1], 1))
        if strata is not None:
            numbers = by_stratum((0, 1, 2), found)[:, None, :, None]
            by_pixel = strata.view(rows, 2 * self.scale, columns, 2 * self.scale)
            by_pixel.copy_(numbers.expand_as(by_pixel))
        factor = by_stratum([one**2 for one in self.factors], found)
        left = (roughness(residual) - noise).clamp_(min=0).mul_(self.per_roughness).add_(noise, alpha=FLOOR)
        guided, its_noise = energy.prior(weights)
        step = float(np.log10(LEVELS[1] / LEVELS[0]))
        # The ratio that belongs to the prior; no more than 1 / FLOOR. Where there is neither, the first level.
        ratio = its_noise.clamp(min=1e-30).div_(guided.clamp(min=1e-30))
        its_level = ratio.log10_().sub_(float(np.log10(LEVELS[0]))).div_(step).clamp_(0, len(LEVELS) - 1)
        guided *= factor[:, None, :, None]
        count = len(LEVELS)
        basis = level.new_empty(2 * count, rows, columns)
        _levels(left.mul_(factor), level, basis[count:])
        fine = out.view(rows, 2, self.scale, columns, 2, self.scale)
        for y in range(2):
            for x in range(2):
                _levels(guided[:, y, :, x], its_level[:, y, :, x], basis[:count])
                steps = self.steps[y][x].to(level.device)
                for start in range(0, rows, STRIP):
                    part = basis[:, start : start + STRIP].reshape(2 * count, -1)
                    by_phase = (steps @ part).clamp_(min=0).sqrt_().view(self.scale, self.scale, -1, columns)
                    fine[start : start + STRIP, y, :, :, x].copy_(by_phase.permute(2, 0, 3, 1))


def _steps(variance: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the variance of each phase at the first level, and the steps to the next ones: (phase, level)."""
    return np.diff(variance.reshape(len(LEVELS), -1), axis=0, prepend=0).T.astype(np.float32)


def _levels(prior: Tensor, level: Tensor, out: Tensor) -> None:
    """Write a prior variance by level, as `_steps` are multiplied by: (level, rows, columns)."""
    out[0] = prior
    for place in range(1, len(LEVELS)):
        torch.mul((level - (place - 1)).clamp_(0, 1), prior, out=out[place])


def _noise(sensor: BandSensor, mean: Tensor) -> Tensor:
    noise = sensor.noise
    if noise.at:
        return noise.deviation**2 / noise.at * mean.clamp(min=DARKEST)
    return torch.full_like(mean, noise.deviation**2)
