"""Losses of images that are made: how far they are from a reference, how they look, and how their values spread.

Each is a function of tensors that returns one number, with a gradient. Weights between them are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Features: TypeAlias = Callable[[Tensor], list[Tensor]]
"""Pictures (n, 3, y, x), from 0 to 1, to features of each layer."""

Adversarial: TypeAlias = Literal["hinge", "least-squares"]
Divergence: TypeAlias = Literal["jensen-shannon", "kullback-leibler"]

SMALLEST = 1e-6
"""Share that each bin of a histogram has at least, so that logarithms and their gradients are finite."""


def mean_absolute_error(made: Tensor, reference: Tensor) -> Tensor:
    """Return the mean of the absolute difference."""
    return (made - reference).abs().mean()


def kl_of_posterior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of a normal distribution from the standard one, the mean over its numbers, in nats.

    Source: D. Kingma and M. Welling 2014, arXiv:1312.6114, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def discriminator_loss(reference: Tensor, made: Tensor, kind: Adversarial = "hinge") -> Tensor:
    """Return the loss of the scores of a discriminator, on references and on made images.

    hinge: nothing is gained beyond 1 and -1 (J. Lim and J. Ye 2017, arXiv:1705.02894). least-squares: the square of the
    distance from 1 and from 0 (X. Mao et al. 2017, arXiv:1611.04076).
    """
    if kind == "hinge":
        return 0.5 * (functional.relu(1 - reference).mean() + functional.relu(1 + made).mean())
    return 0.5 * ((reference - 1).square().mean() + made.square().mean())


def generator_loss(made: Tensor, kind: Adversarial = "hinge") -> Tensor:
    """Return the loss, for what makes images, of the scores of a discriminator on them."""
    return -made.mean() if kind == "hinge" else 0.5 * (made - 1).square().mean()


def three_bands(bands: int) -> Tensor:
    """Draw three bands of so many from torch's generator: (3,), different ones where there are three."""
    if bands >= 3:
        return torch.randperm(bands)[:3]
    return torch.arange(3) % bands


def perceptual_distance(
    made: Tensor,
    reference: Tensor,
    features: Features,
    *,
    bands: Sequence[int] | Tensor | None = None,
    limits: tuple[float, float] = (0.0, 0.4),
) -> Tensor:
    """Return the distance of images (n, band, y, x) in the features of three bands, shown as red, green and blue.

    bands: which three; by default they are drawn (`three_bands`), since networks of pictures know no infrared, and each
    band is to look right. limits: reflectance of black and of white. Features of a layer have unit length along
    channels, as in LPIPS (R. Zhang et al. 2018, arXiv:1801.03924), and no learned weights: the sum over channels of the
    square difference, the mean over pixels, the mean over layers.
    """
    which = three_bands(made.shape[1]) if bands is None else torch.as_tensor(bands)
    black, white = limits
    shown = [(image[:, which.to(image.device)] - black) / (white - black) for image in (made, reference)]
    with torch.no_grad():
        wanted = features(shown[1])
    layers = [
        (_unit(found) - _unit(right)).square().sum(1).mean()
        for found, right in zip(features(shown[0]), wanted, strict=True)
    ]
    return torch.stack(layers).mean()


def _unit(features: Tensor) -> Tensor:
    """Scale to unit length along channels, with a gradient where all are zero."""
    return features / (features.square().sum(1, keepdim=True) + 1e-10).sqrt()


def soft_histogram(values: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """Count values (rows, n) in bins, centers evenly spaced from `low` to `high`, (rows,): shares (rows, bins).

    A value counts in the two nearest bins, the more the nearer, so counts have a gradient. Values beyond the centers
    count in the outermost bins, without a gradient.
    """
    span = (high - low).clamp(min=SMALLEST)[:, None]
    place = ((values - low[:, None]) / span * (bins - 1)).clamp(0, bins - 1)
    lower = place.detach().floor().clamp(max=bins - 2)
    upper_share, index = place - lower, lower.long()
    counts = values.new_zeros(len(values), bins)
    counts = counts.scatter_add(1, index, 1 - upper_share).scatter_add(1, index + 1, upper_share)
    return counts / values.shape[1]


def histogram_divergence(
    made: Tensor, reference: Tensor, *, bins: int = 64, kind: Divergence = "jensen-shannon"
) -> Tensor:
    """Return how far the values of each band of each image are spread from those of the reference, in nats.

    (n, band, y, x) reflectance, both; the mean over images and bands. Bins are spaced from the least to the greatest
    value of the reference. Jensen-Shannon is symmetric and at most ln 2; Kullback-Leibler is that of the reference from
    what is made. Where values are, does not matter.
    """
    rows, wanted = (image.flatten(0, 1).flatten(1) for image in (made, reference))
    low, high = wanted.amin(1), wanted.amax(1)
    p, q = (_kept(soft_histogram(each, low, high, bins)) for each in (wanted, rows))
    if kind == "kullback-leibler":
        return _divergence(p, q)
    middle = (p + q) / 2
    return 0.5 * (_divergence(p, middle) + _divergence(q, middle))


def _kept(shares: Tensor) -> Tensor:
    return (shares + SMALLEST) / (1 + SMALLEST * shares.shape[1])


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(1).mean()
