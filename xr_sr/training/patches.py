"""Draw, augment and batch training patches: each a function of the seed and of its number.

A pool holds some hundred large patches with their targets, which take time to compute; batches are small crops of it,
until each of its pixels has been seen a few times and the next pool is made. Random numbers come from the generators
that are passed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import OptionError, TrainingError
from .loop import Batch
from .scenes import FloatArray, Scene, interpolated, repeated

LOWEST, HIGHEST = -0.02, 1.6
"""Reflectance is clipped to these: slightly negative over dark water, above one on snow and clouds."""


@dataclass(frozen=True)
class Augmentation:
    """Shares of patches with each augmentation; the rest is only rotated and flipped.

    light: gain, contrast, a gain for each band, sometimes an offset. snow: one bright, nearly gray image made of the
    bands. mix: each band a mixture of all. haze: each band loses some of its darkest reflectance, as by atmospheric
    correction, so that forests become as dark in blue as they are on the ground.
    absorbed: indices of bands in which snow is dark, those of SWIR. Raises OptionError for invalid shares.
    """

    light: float = 0.35
    snow: float = 0.15
    mix: float = 0.1
    haze: float = 0.0
    absorbed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shares = (self.light, self.snow, self.mix, self.haze)
        right = all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares)
        if not right or sum(shares) > 1 + 1e-9:  # 0.7 + 0.2 + 0.1 is not exactly 1
            raise OptionError(
                f"light={self.light!r}, snow={self.snow!r}, mix={self.mix!r}, haze={self.haze!r}: expected plain "
                "numbers from 0 to 1, in total at most 1."
            )

    def __call__(self, patch: FloatArray, chance: np.random.Generator) -> FloatArray:
        """Augment a patch (band, y, x) of reflectance."""
        patch = turn(patch, int(chance.integers(8)))
        kind = chance.random()
        if kind < self.light:
            patch = _relit(patch, chance)
        elif kind < self.light + self.snow:
            patch = _snowed(patch, chance, self.absorbed)
        elif kind < self.light + self.snow + self.mix:
            patch = _mixed(patch, chance)
        elif kind < self.light + self.snow + self.mix + self.haze:
            patch = _cleared(patch, chance)
        return np.ascontiguousarray(np.clip(patch, LOWEST, HIGHEST), "float32")


def turn(patch: FloatArray, way: int) -> FloatArray:
    """Rotate by 90 degrees `way % 4` times, and flip if `way` is above 3."""
    turned = np.rot90(patch, way % 4, (-2, -1))
    return turned[..., ::-1] if way > 3 else turned


def _relit(patch: FloatArray, chance: np.random.Generator) -> FloatArray:
    mean = patch.mean((1, 2), keepdims=True)
    contrast, gain = np.exp(chance.normal(0, 0.5, 2))
    changed: FloatArray = (mean + (patch - mean) * contrast) * gain * np.exp(chance.normal(0, 0.2, (len(patch), 1, 1)))
    offset: float = chance.normal(0, 0.05) if chance.random() < 0.3 else 0.0
    return changed + offset


def _snowed(patch: FloatArray, chance: np.random.Generator, absorbed: tuple[int, ...] = ()) -> FloatArray:
    bands = len(patch)
    grey = np.tensordot(chance.dirichlet(np.ones(bands)) * chance.choice([-1, 1]), patch, 1)
    grey = (grey - grey.mean()) / (grey.std() + 1e-4)
    color = (patch - patch.mean((1, 2), keepdims=True)) * chance.uniform(0, 1) + chance.normal(0, 0.04, (bands, 1, 1))
    snowed: FloatArray = chance.uniform(0.25, 0.9) + grey * np.exp(chance.uniform(np.log(0.02), np.log(0.3))) + color
    for place in absorbed:
        own = (patch[place] - patch[place].mean()) / (patch[place].std() + 1e-4)
        shared = chance.uniform(
            -0.5, 1
        )  # of the texture: other surfaces are brighter in these bands, and shadows are dark in all
        texture = (1 - abs(shared)) * own + shared * grey
        snowed[place] = chance.uniform(0.02, 0.2) * (1 + chance.uniform(0.05, 0.5) * texture)
    return snowed


def _mixed(patch: FloatArray, chance: np.random.Generator) -> FloatArray:
    bands = len(patch)
    shares = np.eye(bands) + chance.normal(0, 0.25, (bands, bands))
    mixed: FloatArray = np.tensordot(shares / shares.sum(1, keepdims=True).clip(0.3), patch, 1)
    return mixed


def _cleared(patch: FloatArray, chance: np.random.Generator) -> FloatArray:
    dark = np.percentile(patch, 5, axis=(1, 2), keepdims=True).clip(0, 0.12)
    contrast = np.exp(chance.normal(0, 0.4))
    cleared: FloatArray = (patch - dark * chance.uniform(0.3, 1.0, (len(patch), 1, 1))) * contrast
    return cleared


ZOOMS = (1.0, 1.0, 0.75, 1.3)
"""Zoom factors of scenes, drawn with equal probability; a factor below one covers more ground."""

FLATTEST = 2.5e-7
"""Lower bound of the mean square of a patch's detail: (5e-4)^2, the rounding of a few DN. Without it a patch of water
would count as much as a town."""

TYPICAL = 2e-5
"""Mean square of the detail of fields and villages, at which losses of any evenness are equal."""


@dataclass(frozen=True)
class Pool:
    """Patches with their targets.

    lr: (n, band, y + 2 context, x + 2 context). target: (n, band, y scale, x scale). energy: (n, y, x), the mean square
    of the target minus bicubic, for each input pixel; (n, band, y, x) if bands are weighted separately.
    """

    lr: FloatArray
    target: FloatArray
    energy: FloatArray


class Maker(Protocol):
    """Creates pools. context: input pixels around the target."""

    context: int

    def __call__(self, number: int) -> Pool:
        """Create a pool, a function of its number."""

    def describe(self) -> dict[str, Any]:
        """Describe the pools as JSON."""


class Draw:
    """Draw square patches without NaN from scenes, by their weights, at several zooms, and augment them.

    side: in pixels of the scenes. coarse: number of bands, the last ones, with pixels twice as wide, each repeated
    2 x 2: crops, zooms and augmentations keep to these pixels, which are then interpolated linearly, as in `upscale`;
    `side` is even. Raises TrainingError without scenes, and for one without a valid square.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        side: int,
        augmentation: Augmentation | None,
        zooms: Sequence[float] = ZOOMS,
        *,
        coarse: int = 0,
    ) -> None:
        if not scenes:
            raise TrainingError("There is no scene to train on: expected at least one, as of training.scenes_of(cube).")
        assert not coarse or side % 2 == 0
        self.scenes, self.side, self.augmentation, self.zooms = scenes, side, augmentation, tuple(zooms)
        self.coarse = coarse
        weights = np.array([scene.weight for scene in scenes], float)
        self.shares = weights / weights.sum()
        self._sized: dict[tuple[int, float], tuple[FloatArray, NDArray[np.intp]]] = {}
        for index, scene in enumerate(scenes):
            if not self.sized(index, 1.0)[1].size:
                raise TrainingError(
                    f"{scene.name!r} has {scene.values.shape[1:]} pixels and no valid square of {side}. "
                    "Use a larger part or smaller patches, or leave it out."
                )

    def __call__(self, chance: np.random.Generator) -> tuple[int, FloatArray]:
        """Draw one patch: the number of its scene, and (band, side, side)."""
        index = int(chance.choice(len(self.scenes), p=self.shares))
        values, places = self.sized(index, float(chance.choice(self.zooms)))
        if not places.size:
            values, places = self.sized(index, 1.0)
        top, left = divmod(int(chance.choice(places)), values.shape[2])
        patch = values[:, top : top + self.side, left : left + self.side]
        patch = self.augmentation(patch, chance) if self.augmentation else patch
        return index, interpolated(patch, self.coarse) if self.coarse else patch

    def describe(self) -> dict[str, Any]:
        """Describe the scenes as JSON."""
        augmentation = asdict(self.augmentation) if self.augmentation else None
        scenes = [scene.describe() for scene in self.scenes]
        facts = {"scenes": scenes, "side": self.side, "zooms": list(self.zooms), "augmentation": augmentation}
        return facts | ({"coarse": self.coarse} if self.coarse else {})

    def sized(self, index: int, zoom: float) -> tuple[FloatArray, NDArray[np.intp]]:
        """Return a zoomed scene, and the corners (y * width + x) of its valid squares; each is computed once."""
        if (index, zoom) not in self._sized:
            values = self.scenes[index].values
            if not self.coarse:
                values = zoomed(values, zoom)
                corners = valid_corners(values, self.side)
            else:
                fine, coarse = zoomed(values[: -self.coarse], zoom), zoomed(values[-self.coarse :, ::2, ::2], zoom)
                rows, columns = (min(fine.shape[axis] // 2, coarse.shape[axis]) for axis in (-2, -1))
                values = repeated(fine[..., : 2 * rows, : 2 * columns], coarse[..., :rows, :columns])
                corners = valid_corners(values, self.side)
                top, left = np.divmod(corners, values.shape[2])
                corners = corners[(top % 2 == 0) & (left % 2 == 0)]  # squares begin at the corner of a coarse pixel
            self._sized[index, zoom] = values, corners
        return self._sized[index, zoom]


@dataclass(frozen=True)
class PooledBatches:
    """Batches of crops of pools; see `loop.Batches`.

    side: of a crop, in input pixels. size: crops in a batch. consumed: context that the network consumes. patch: side
    of the patches in a pool; count: their number; seen: how often each pixel of a pool is used before the next.
    evenness: 1 weights each patch by the inverse of its detail, so that all count the same; 0 weights none. more: what
    else a run with these batches is known by, as JSON.
    """

    maker: Maker
    scale: int
    consumed: int
    seed: int
    side: int = 48
    size: int = 8
    patch: int = 76
    count: int = 144
    seen: float = 3.0
    evenness: float = 1.0
    more: Mapping[str, Any] = field(default_factory=dict)
    _pool: dict[int, Pool] = field(default_factory=dict, compare=False)

    def __call__(self, step: int) -> Batch:
        """See `loop.Batches`."""
        number = step // max(1, round(self.seen * self.count * (self.patch / self.side) ** 2 / self.size))
        if number not in self._pool:
            self._pool.clear()
            self._pool[number] = self.maker(number)
        pool, chance = self._pool[number], np.random.default_rng([self.seed, 1, step])
        which = chance.integers(len(pool.lr), size=self.size)
        corners = chance.integers(self.patch - self.side + 1, size=(self.size, 2))
        skip, scale, wide = self.maker.context - self.consumed, self.scale, self.side + 2 * self.consumed
        lr, target, energy = [], [], []
        for index, (top, left) in zip(which, corners, strict=True):
            bottom, right = top + self.side, left + self.side
            lr.append(pool.lr[index, :, top + skip : top + skip + wide, left + skip : left + skip + wide])
            target.append(pool.target[index, :, top * scale : bottom * scale, left * scale : right * scale])
            energy.append(pool.energy[index, ..., top:bottom, left:right].mean((-2, -1)))
        weight = weigh(np.array(energy, "float32"), self.evenness)
        return Batch(*map(torch.from_numpy, (np.stack(lr), np.stack(target), weight)))

    def describe(self) -> dict[str, Any]:
        """See `loop.Batches`."""
        names = ("scale", "consumed", "seed", "side", "size", "patch", "count", "seen", "evenness")
        return {**{name: getattr(self, name) for name in names}, **self.maker.describe(), **self.more}


def weigh(energy: FloatArray, evenness: float) -> FloatArray:
    """Return the weight of the square error of a patch with this mean square of detail."""
    energy = energy + np.float32(FLATTEST)
    scale = np.float32(TYPICAL ** (evenness - 1))
    return np.asarray(1 / energy if evenness == 1 else energy**-evenness * scale, "float32")


def zoomed(values: FloatArray, zoom: float) -> FloatArray:
    """Resample (band, y, x) to another pixel size; a factor below one returns fewer pixels."""
    if zoom == 1.0:
        return values
    sized = torch.nn.functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(values))[None],
        scale_factor=zoom,
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    return np.ascontiguousarray(sized[0].numpy())


def valid_corners(values: FloatArray, side: int) -> NDArray[np.intp]:
    """Return the corners, y * width + x, of the squares without NaN."""
    bad = ~np.isfinite(values).all(axis=0)
    height, width = bad.shape
    if height < side or width < side:
        return np.empty(0, np.intp)
    sums = np.zeros((height + 1, width + 1), np.int64)
    np.cumsum(np.cumsum(bad, axis=0), axis=1, out=sums[1:, 1:])
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    rows, columns = np.nonzero(inside == 0)
    return np.asarray(rows * width + columns, np.intp)
