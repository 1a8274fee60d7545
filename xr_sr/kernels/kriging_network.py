"""Kriging plus what a small network adds to it, as one torch network: reflectance in, finer reflectance out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..catalog import registry
from ..catalog.models import Kriging
from ..errors import MissingBandError
from ..networks.kriging_residual import KrigingResidual
from ..networks.lean import trim
from .kriging import Kriger
from .observe import check_kriging, observed
from .sensor_noise import SIGNAL_TO_NOISE, strength_of


def kriger_of(bands: Sequence[str], scale: int) -> Kriger:
    """Return kriging of 10 m bands with the published point spread function and noise, to which the network adds."""
    spec = registry.get("kriging")
    assert isinstance(spec, Kriging)
    return Kriger(observed(check_kriging(replace(spec, scale=scale)), bands, 1, 10.0), 1.0)


def residual_of(
    bands: Sequence[str], *, channels: int = 32, pairs: int = 4, scale: int = 4, seed: int | None = None
) -> KrigingResidual:
    """Create the network that adds to kriging, untrained, with the published noise of bands of Sentinel-2.

    bands: by any of their names, in the order in which they are read. channels, pairs: see `KrigingResidual`. scale:
    output pixels per input pixel. seed: of its random numbers; None takes those of the process.
    Raises MissingBandError for a band whose noise is not known.
    """
    bands = [registry.canonical(band) for band in bands]
    if unknown := [band for band in bands if band not in SIGNAL_TO_NOISE]:
        raise MissingBandError(f"bands= has {unknown}, whose noise is not known; expected bands of Sentinel-2.")
    noise = [(0.0, strength.deviation**2 / strength.at) for strength in map(strength_of, bands)]
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return KrigingResidual(len(bands), channels, pairs, scale, noise)


class KrigingNetwork(KrigingResidual):
    """(n, bands, y, x) to (n, bands, (y - 2 consumed) * upscale, ...), reflectance in and out, without padding.

    bands: names of bands of Sentinel-2 with pixels of 10 m. strength: of the addition, 0 is kriging alone. Weights are
    those of `KrigingResidual`. Kriging is computed in float32 at any precision of the weights, and has no gradient.
    """

    takes_float32 = True

    def __init__(
        self,
        bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
        channels: int = 32,
        pairs: int = 4,
        upscale: int = 4,
        strength: float = 1.0,
    ) -> None:
        super().__init__(len(bands), channels, pairs, upscale)
        self.kriger = kriger_of(bands, upscale)
        self.strength = strength
        self.own, self.consumed = self.consumed, max(self.consumed, Kriger.reach)

    def forward(self, x: Tensor) -> Tensor:
        """Return kriging with the addition."""
        # Kriging works on planes, the network on channels that lie together.
        with torch.no_grad():  # it works in place
            fine = self.kriger.predict(trim(x, self.consumed - Kriger.reach).contiguous(), 0)
        if not self.strength:
            return fine
        features, spread = self.read(trim(x, self.consumed - self.own))
        added = self.added(features, spread)
        return fine + self.strength * added if added.requires_grad else fine.add_(added, alpha=self.strength)
