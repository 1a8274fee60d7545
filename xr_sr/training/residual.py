"""Learn what kriging leaves, from high resolution seen through sensors that are drawn anew for each patch.

The network of `networks.kriging_residual` adds to kriging with the published point spread function; the sensor that
observed a patch is sharper or blurrier than that, noisier or less noisy, and its bands do not quite coincide. So the
network learns to recognize from the image by how much kriging is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arguments import check_number
from ..errors import OptionError
from ..kernels.kriging import Kriger
from ..kernels.kriging_filters import taps_of
from ..kernels.kriging_network import kriger_of, sensors_of
from ..kernels.protocol import BandSensor
from ..kernels.psf import MTF_AT_NYQUIST, Axis, Gaussian, width_of
from ..kernels.sensor_noise import strength_of
from .checks import check_kinds, check_network, check_seen, check_sizes, consumed_by, scenes_for
from .learning import GENTLE, MARGIN, sensed_bands
from .loop import Batch, Settings, relative_square_error, train
from .patches import Augmentation, Draw, Pool, PooledBatches
from .scenes import FloatArray, Scene

STEP = 1e-4
"""Of reflectance between two digital numbers of Sentinel-2."""

ERROR_SHARE = 0.05
"""Weight of the loss of the error's scale, which has no part in the addition."""


@dataclass(frozen=True)
class SensorDraw:
    """How sensors differ from the published one, each a standard deviation of a normal distribution.

    width: of the logarithm of the width of the point spread function, the same in all bands; band_width: of each band's
    on top; anisotropy: of the ratio of the widths along y and x. noise: of the logarithm of the noise. shift_px: of the
    position of each band, along y and x, in input pixels. reference_mtf: contrast at the Nyquist frequency of the
    reference, which has lost as much before it is observed. flat: share of patches that are even ground.
    """

    width: float = 0.14
    band_width: float = 0.05
    anisotropy: float = 0.04
    noise: float = 0.4
    shift_px: float = 0.08
    reference_mtf: float = 0.3
    flat: float = 0.04

    def __post_init__(self) -> None:
        for name in ("width", "band_width", "anisotropy", "noise", "shift_px", "flat"):
            check_number(name, getattr(self, name), least=0)
        if not 0 < self.reference_mtf < 1:
            raise OptionError(f"reference_mtf={self.reference_mtf!r}: expected a contrast between 0 and 1.")


class Sensed:
    """Create pools of patches as drawn sensors see them, with what kriging leaves of each; see `patches.Maker`."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        bands: Sequence[str],
        sensors: SensorDraw,
        augmentation: Augmentation,
        *,
        scale: int,
        context: int,
        seed: int,
        patch: int,
        count: int,
    ) -> None:
        self.bands, self.sensors, self.scale = tuple(bands), sensors, scale
        self.context, self.seed, self.count = max(context, Kriger.reach), seed, count
        self.draw = Draw(scenes, (patch + 2 * (self.context + MARGIN)) * scale, augmentation, zooms=(1.0,))
        self.kriger = kriger_of(self.bands, scale)

    def __call__(self, number: int) -> Pool:
        """See `patches.Maker`."""
        chance = np.random.default_rng([self.seed, 0, number])
        lr, target = (np.stack(side) for side in zip(*(self._pair(chance) for _ in range(self.count)), strict=True))
        square = np.square(target).mean(axis=1)
        side = square.shape[-1] // self.scale
        energy = square.reshape(len(square), side, self.scale, side, self.scale).mean((2, 4))
        return Pool(lr, target, np.asarray(energy, "float32"))

    def describe(self) -> dict[str, Any]:
        """See `patches.Maker`."""
        return {"bands": list(self.bands), "drawn": asdict(self.sensors), "seed": self.seed, **self.draw.describe()}

    def _pair(self, chance: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw one patch and a sensor; return the input with its context, and the reference minus kriging."""
        hr = self.draw(chance)[1]
        if chance.random() < self.sensors.flat:
            hr = np.broadcast_to(chance.uniform(0, 0.8, (len(hr), 1, 1)).astype("float32"), hr.shape)
        lr = self.observe(hr, chance)
        cut = self.context - Kriger.reach
        inner = lr[:, cut : lr.shape[1] - cut, cut : lr.shape[2] - cut]
        with torch.no_grad():
            kriged = self.kriger.predict(torch.from_numpy(np.ascontiguousarray(inner))[None], 0)[0].numpy()
        edge = (self.context + MARGIN) * self.scale
        return lr, hr[:, edge:-edge, edge:-edge] - kriged

    def observe(self, hr: FloatArray, chance: np.random.Generator) -> FloatArray:
        """Return what a drawn sensor sees of (band, y, x), without `MARGIN` pixels at each edge."""
        drawn, scale = self.sensors, self.scale
        common, noisy = self.differences(chance)
        own = width_of(drawn.reference_mtf)
        seen = []
        for band, plane in zip(self.bands, hr, strict=True):
            width = common * np.exp(chance.normal(0, drawn.band_width))
            ratio = np.exp(chance.normal(0, drawn.anisotropy))
            moves = chance.normal(0, drawn.shift_px, 2).clip(-0.25, 0.25)
            rows, columns = (
                _sampling(length, scale, _left(width * factor * width_of(MTF_AT_NYQUIST[band]) * scale, own), move)
                for length, factor, move in zip(plane.shape, (ratio, 1 / ratio), moves, strict=True)
            )
            clean = rows @ plane.astype("float64") @ columns.T
            seen.append(clean + noisy * strength_of(band)(clean) * chance.standard_normal(clean.shape))
        lr = np.stack(seen)[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        return np.asarray(np.round(lr / STEP) * STEP if chance.random() < 0.7 else lr, "float32")

    def differences(self, chance: np.random.Generator) -> tuple[float, float]:
        """Draw the width of the point spread function and the noise, both relative to what is published."""
        common, noisy = np.exp(chance.normal(0, (self.sensors.width, self.sensors.noise)))
        return float(common), float(noisy)


def _left(width: float, own: float) -> float:
    """Return the width of the Gaussian that, after one of width `own`, gives one of `width`."""
    return math.sqrt(max(width**2 - own**2, 0.25))


def _sampling(length: int, scale: int, width: float, move: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the matrix (coarse, fine) of blurring and sampling along one axis; edges are repeated."""
    count = length // scale
    first, weights = Axis(count, length, scale).taps(Gaussian(width), 0, count, move)
    matrix = np.zeros((count, length))
    places = (first[:, None] + np.arange(weights.shape[1])).clip(0, length - 1)
    np.add.at(matrix, (np.arange(count)[:, None], places), weights)
    return np.asarray(matrix / matrix.sum(1, keepdims=True))


class ErrorAndScale:
    """The loss of `KrigingResidual`: the relative square error, and that of the error's scale.

    The latter is the negative logarithm of a Laplace distribution's density; its gradient reaches the head alone.
    sensors: of the bands, as published. visible: weight of the square of what these would see of the addition at the
    input's pixels. Kriging agrees with the input already, so what is visible of the addition is only right where the
    sensor is another than the published one: that is learned from few places, and holds less well on others.
    """

    def __init__(self, sensors: Sequence[BandSensor], visible: float = 0.0) -> None:
        self.visible = visible
        self.scale = sensors[0].observation.scale
        found = [taps_of(sensor.observation) for sensor in sensors]
        first = min(int(taps[0]) for taps, _ in found)
        last = max(int(taps[-1]) for taps, _ in found)
        wide = np.zeros((len(sensors), 1, last - first + 1, last - first + 1))
        for place, (taps, weights) in enumerate(found):
            own = slice(int(taps[0]) - first, int(taps[-1]) - first + 1)
            wide[place, 0, own, own] = np.einsum("ty,tx->yx", weights[:, 0], weights[:, 1])
        self.kernels = torch.from_numpy(wide).float()
        self.first = first % self.scale
        """Fine pixel at which the first kernel begins that lies within the image: `first` before a coarse pixel."""

    def __call__(self, out: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch."""
        addition, scale = out.chunk(2, dim=1)
        wrong = (batch.target - addition).detach().abs()
        likely = (wrong / scale + scale.log()).mean()
        loss = relative_square_error(addition, batch) + ERROR_SHARE * likely
        if not self.visible:
            return loss
        kernels = self.kernels.to(addition.device)
        inner = addition[..., self.first :, self.first :]
        seen = functional.conv2d(inner, kernels, stride=self.scale, groups=len(kernels))
        return loss + self.visible * (seen.square().mean(dim=(1, 2, 3)) * batch.weight).mean()


def fit_residual(
    network: nn.Module,
    scenes: Sequence[Scene],
    folder: str | Path,
    settings: Settings | None = None,
    *,
    bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
    scale: int = 4,
    sensors: SensorDraw | None = None,
    augmentation: Augmentation | None = None,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    batch: int = 6,
    patch: int = 64,
    pool: int = 96,
    seen: float = 2.0,
    evenness: float = 0.8,
    visible: float = 0.0,
    show: Callable[[str], None] | None = None,
) -> nn.Module:
    """Train a network to predict what kriging leaves; see `loop.train` for resuming and files.

    network: `KrigingResidual`, or another that returns an addition and the scale of its error. scenes: the reference,
    (band, y, x) reflectance at the output's pixel size, in the order of `bands` (any alias). sensors: how much they
    vary. evaluate: numbers for the log. batch: patches of a step; patch: their side in input pixels; pool: how many are
    simulated at a time; seen: how often each is used. evenness: 1 counts all patches the same, 0 by what kriging leaves
    of them. visible: weight, from 0, of the square of what the published sensor would see of the addition; more lets
    the result agree better with its input, and undo less where the sensor is another.
    Returns the network with its averaged weights. Raises TrainingError, MissingBandError, MissingLibraryError (the
    extra `train`).
    """
    check_kinds(
        {
            "settings": (settings, Settings),
            "sensors": (sensors, SensorDraw),
            "augmentation": (augmentation, Augmentation),
        }
    )
    settings, consumed, bands = settings or Settings(), consumed_by(network), sensed_bands(bands)
    check_sizes(side=patch, batch=batch, patch=patch, pool=pool)
    check_seen(seen)
    check_network(network, bands=len(bands), bands_out=2 * len(bands), scale=scale, side=patch)
    maker = Sensed(
        scenes_for(scenes, len(bands)),
        bands,
        sensors or SensorDraw(),
        augmentation or GENTLE,
        scale=scale,
        context=consumed,
        seed=settings.seed,
        patch=patch,
        count=pool,
    )
    batches = PooledBatches(
        maker,
        scale,
        consumed,
        settings.seed,
        side=patch,
        size=batch,
        patch=patch,
        count=pool,
        seen=seen,
        evenness=evenness,
        more={"visible": visible} if visible else {},
    )
    loss = ErrorAndScale(sensors_of(bands, scale), check_number("visible", visible, least=0))
    return train(network, batches, loss, Path(folder), settings, evaluate=evaluate, show=show)
