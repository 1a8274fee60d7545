"""Learn to draw what the mean leaves of the ground: flow matching on patches that drawn sensors see.

The network of `networks.flow_residual` begins with a trained mean, which stays as it is; what is trained is the network
of paths from noise to the ground.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arguments import check_whole
from ..errors import TrainingError
from ..networks.flow_residual import FlowResidual
from ..networks.lean import trim
from ..networks.separable import MEANS
from .checks import check_kinds, check_seen, check_sizes, scenes_for
from .learning import GENTLE, sensed_bands
from .loop import Batch, Settings, train
from .patches import Augmentation, Pool, PooledBatches
from .residual import Sensed, SensorDraw
from .scenes import Scene

FARTHEST = 12.0
"""Errors beyond this many times their expected scale count as if they were there."""

TRAINED = ("own", "seen", "path", "clock", "blocks", "speed")
"""The network of paths; all else stays as it is."""

FIRST, LAST = 0.15, 1.5
"""Angles at which speeds are learned; steps begin at pi / 8 or later, and end before a right angle."""

COVARIANCE_BATCHES = 60
"""Batches from which the covariance of errors within an input pixel is estimated."""


class Judged(Sensed):
    """Pools whose target has the standard deviations of kriging's error behind what kriging leaves, by band."""

    def __call__(self, number: int) -> Pool:
        """See `patches.Maker`."""
        pool = super().__call__(number)
        with torch.no_grad():
            scale = self.kriger.deviations(trim(torch.from_numpy(pool.lr), self.context - MEANS)).numpy()
        return replace(pool, target=np.concatenate([pool.target, scale], axis=1))


class FlowMatching:
    """The loss of `FlowResidual`: the square error of the speed along arcs from noise to the ground.

    Half of it is that of reflectance over the scale of errors, half that of the white variables, in which fine detail
    of little contrast counts as much as coarse detail.
    """

    def __init__(self, network: FlowResidual) -> None:
        self.network = network

    def __call__(self, condition: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch, with an angle and a draw of noise for each patch from torch's generator."""
        network = self.network
        left, seen = errors(network, condition, batch.target)
        end = network.whitened(left)
        white = torch.randn_like(end)
        angle = torch.rand(len(end), device=end.device) * (LAST - FIRST) + FIRST
        cosine, sine = (each[:, None, None, None] for each in (angle.cos(), angle.sin()))
        speed = trim(cosine * end - sine * white, 1)
        wrong = network.moving(cosine * white + sine * end, angle, seen) - speed
        return 0.5 * wrong.square().mean() + 0.5 * network.colored(wrong).square().mean()


def errors(network: FlowResidual, condition: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the mean leaves over its scale, (n, planes, y, x), and what the network of paths sees.

    target: as of `Judged`.
    """
    left, scale = functional.pixel_unshuffle(target, network.upscale).chunk(2, dim=1)
    addition, seen = network.parts(condition, scale)
    return ((left - addition) / scale).clamp(-FARTHEST, FARTHEST), seen


def estimate_base(network: FlowResidual, batches: Callable[[int], Batch], count: int) -> None:
    """Set W of a network to the root of the covariance of errors over their scale, of some batches."""
    planes = network.planes
    total, pixels = torch.zeros(planes, planes, dtype=torch.float64), 0
    with torch.no_grad():
        for step in range(count):
            batch = batches(step)
            left, _ = errors(network, network(batch.lr), batch.target)
            rows = left.movedim(1, -1).reshape(-1, planes).double()
            total += rows.T @ rows
            pixels += len(rows)
    values, vectors = torch.linalg.eigh(total / pixels)
    network.base.copy_(vectors @ torch.diag(values.clamp(min=float(values.max()) * 1e-4).sqrt()) @ vectors.T)


def fit_flow(
    network: FlowResidual,
    scenes: Sequence[Scene],
    folder: str | Path,
    settings: Settings | None = None,
    *,
    bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
    scale: int = 4,
    sensors: SensorDraw | None = None,
    augmentation: Augmentation | None = None,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    batch: int = 16,
    side: int = 24,
    patch: int = 64,
    pool: int = 96,
    seen: float = 2.0,
    show: Callable[[str], None] | None = None,
) -> nn.Module:
    """Train the network of paths of a `FlowResidual`; see `loop.train` for resuming and files.

    network: with trained weights of `KrigingResidual`, which are not changed. scenes, bands, sensors, augmentation,
    evaluate, pool, seen: as in `fit_residual`. batch: patches of a step; side, patch: their side, and that of the
    patches of a pool, in input pixels.
    Returns the network with its averaged weights. Raises TrainingError, MissingBandError, MissingLibraryError (the
    extra `train`).
    """
    kinds = {"settings": (settings, Settings), "sensors": (sensors, SensorDraw)}
    check_kinds({**kinds, "augmentation": (augmentation, Augmentation)})
    settings, bands = settings or Settings(), sensed_bands(bands)
    check_sizes(side=side, batch=batch, patch=patch, pool=pool)
    check_seen(seen)
    check_whole("scale", scale, least=2)
    if not isinstance(network, FlowResidual) or (network.bands, network.upscale) != (len(bands), scale):
        raise TrainingError(
            f"network={network!r:.60}: expected a FlowResidual of {len(bands)} bands and upscale={scale}, as bands= "
            "and scale= say."
        )
    maker = Judged(
        scenes_for(scenes, len(bands)),
        bands,
        sensors or SensorDraw(),
        augmentation or GENTLE,
        scale=scale,
        context=network.consumed,
        seed=settings.seed,
        patch=patch,
        count=pool,
    )
    batches = PooledBatches(
        maker,
        scale,
        network.consumed,
        settings.seed,
        side=side,
        size=batch,
        patch=patch,
        count=pool,
        seen=seen,
        more={"covariance_batches": COVARIANCE_BATCHES},
    )
    learned = {name: value.requires_grad for name, value in network.named_parameters()}
    for name, value in network.named_parameters():
        value.requires_grad_(name.split(".")[0] in TRAINED)
    if not is_trained(network):
        estimate_base(network, batches, COVARIANCE_BATCHES)
    try:
        train(network, batches, FlowMatching(network), Path(folder), settings, evaluate=evaluate, show=show)
    finally:
        for name, value in network.named_parameters():
            value.requires_grad_(learned[name])
    return network


def is_trained(network: FlowResidual) -> bool:
    """Return whether a network has a covariance of errors already, in which its paths were learned."""
    return not torch.equal(network.base, torch.eye(network.planes, device=network.base.device))
