"""Patches out of scenes, and batches out of pools of them: each a function of the seed and of its number.

A pool is some hundred large patches with their targets, which cost time to make; batches are small crops out of it,
at any place, until each of its pixels has been seen a few times and the next pool is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import TrainingError
from .augment import Augmentation
from .loop import Batch
from .scenes import FloatArray, Scene

__all__ = ["Draw", "Maker", "Pool", "PooledBatches"]

ZOOMS = (1.0, 1.0, 0.75, 1.3)
"""Sizes that a scene is seen at, each as often as it stands here; a factor below one shows more ground."""

FLATTEST = 2.5e-7
"""Mean square of the detail that a patch is at least taken to have: (5e-4)^2, the rounding of a few DN. Else a patch of
still water would count as much as a town."""

TYPICAL = 2e-5
"""Mean square of the detail that fields and villages have: losses of any evenness are alike there."""


@dataclass(frozen=True)
class Pool:
    """Patches with their targets.

    lr: (n, band, y + 2 context, x + 2 context). target: (n, band, y scale, x scale). energy: (n, y, x), the mean square
    of what the target has beyond bicubic, for each input pixel; (n, band, y, x) where bands count by themselves.
    """

    lr: FloatArray
    target: FloatArray
    energy: FloatArray


class Maker(Protocol):
    """Makes pools. context: input pixels around what has a target."""

    context: int

    def __call__(self, number: int) -> Pool:
        """Make a pool, a function of its number."""

    def describe(self) -> dict[str, Any]:
        """Say what pools are made of, as JSON."""


class Draw:
    """Draws square patches without NaN from scenes, by their weights, at several zooms, and augments them.

    side: in pixels of the scenes. Raises TrainingError if there is no scene, or one in which no such square is valid.
    """

    def __init__(
        self, scenes: Sequence[Scene], side: int, augmentation: Augmentation | None, zooms: Sequence[float] = ZOOMS
    ) -> None:
        if not scenes:
            raise TrainingError("There is no scene to train on: wanted one or more of `training.scenes_of(cube)`.")
        self.scenes, self.side, self.augmentation, self.zooms = scenes, side, augmentation, tuple(zooms)
        weights = np.array([scene.weight for scene in scenes], float)
        self.shares = weights / weights.sum()
        self._sized: dict[tuple[int, float], tuple[FloatArray, NDArray[np.intp]]] = {}
        for index, scene in enumerate(scenes):
            if not self._at(index, 1.0)[1].size:
                raise TrainingError(
                    f"{scene.name!r} has {scene.values.shape[1:]} pixels and no valid square of {side}. "
                    "Give a larger piece or smaller patches, or leave it out."
                )

    def __call__(self, chance: np.random.Generator) -> tuple[int, FloatArray]:
        """Draw one patch: the number of its scene, and (band, side, side)."""
        index = int(chance.choice(len(self.scenes), p=self.shares))
        values, places = self._at(index, float(chance.choice(self.zooms)))
        if not places.size:
            values, places = self._at(index, 1.0)
        top, left = divmod(int(chance.choice(places)), values.shape[2])
        patch = values[:, top : top + self.side, left : left + self.side]
        return index, self.augmentation(patch, chance) if self.augmentation else patch

    def describe(self) -> dict[str, Any]:
        """Say what is drawn from, as JSON."""
        augmentation = asdict(self.augmentation) if self.augmentation else None
        scenes = [scene.describe() for scene in self.scenes]
        return {"scenes": scenes, "side": self.side, "zooms": list(self.zooms), "augmentation": augmentation}

    def _at(self, index: int, zoom: float) -> tuple[FloatArray, NDArray[np.intp]]:
        """Return a scene at a size, and the corners (y * width + x) of its squares that are wholly valid."""
        if (index, zoom) not in self._sized:
            self._sized[index, zoom] = self.sized(index, zoom)
        return self._sized[index, zoom]

    def sized(self, index: int, zoom: float) -> tuple[FloatArray, NDArray[np.intp]]:
        """Make what `_at` keeps."""
        values = zoomed(self.scenes[index].values, zoom)
        return values, valid_corners(values, self.side)


@dataclass(frozen=True)
class PooledBatches:
    """Batches of crops out of pools; see `loop.Batches`.

    side: of a crop, in input pixels. size: crops in a batch. consumed: context that the network uses up. patch: side
    of the patches in a pool, count: how many there are; seen: how often each pixel of a pool is, before the next.
    evenness: 1 weighs each patch by the inverse of its detail, so that all count the same; 0 weighs none.
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
        return {**{name: getattr(self, name) for name in names}, **self.maker.describe()}


def weigh(energy: FloatArray, evenness: float) -> FloatArray:
    """Return what a square error is multiplied by where a patch has this much detail, a mean square."""
    energy = energy + np.float32(FLATTEST)
    scale = np.float32(TYPICAL ** (evenness - 1))
    return np.asarray(1 / energy if evenness == 1 else energy**-evenness * scale, "float32")


def zoomed(values: FloatArray, zoom: float) -> FloatArray:
    """Resample (band, y, x) to another pixel size; a factor below one gives fewer pixels."""
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
