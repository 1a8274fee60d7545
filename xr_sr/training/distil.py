"""Distil: learn the function of another model from what it gives, on any scenes.

The teacher labels every patch, so what is seen need not be true, only like what will be seen. Its weights are never
read: a teacher is a kernel, an image in and an image out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..errors import TrainingError
from .augment import Augmentation
from .loop import Settings, consumed_by, train
from .losses import relative_square_error
from .patches import Draw, Pool, PooledBatches
from .report import closeness
from .scenes import FloatArray, Scene
from .teacher import Teacher
from .two_grids import DrawTwoGrids

__all__ = ["distil"]


class Labelled:
    """Makes pools of patches that a teacher has labelled; see `patches.Maker`."""

    def __init__(
        self,
        teacher: Teacher,
        scenes: Sequence[Scene],
        augmentation: Augmentation,
        *,
        seed: int,
        patch: int,
        count: int,
    ) -> None:
        self.teacher, self.seed, self.count, self.context = teacher, seed, count, teacher.halo
        side, coarse = patch + 2 * self.context, len(teacher.spec.coarse)
        self.draw = (
            DrawTwoGrids(scenes, side, augmentation, coarse=coarse) if coarse else Draw(scenes, side, augmentation)
        )
        self.bicubic = Teacher("bicubic", device="cpu")

    def __call__(self, number: int) -> Pool:
        """See `patches.Maker`."""
        chance = np.random.default_rng([self.seed, 0, number])
        lr = np.stack([self.draw(chance)[1] for _ in range(self.count)])
        target = self.teacher(lr)
        energy = energy_of(lr, target, self.bicubic, self.context)
        # Bands of two pixel sizes differ tenfold in what they lack: each counts by itself.
        return Pool(lr, target, energy if self.teacher.spec.coarse else energy.mean(axis=1))

    def describe(self) -> dict[str, Any]:
        """See `patches.Maker`."""
        teacher = {"model": self.teacher.spec.name, "sha256": self.teacher.sha256}
        return {"teacher": teacher, "seed": self.seed, **self.draw.describe()}


def energy_of(lr: FloatArray, target: FloatArray, bicubic: Teacher, context: int) -> FloatArray:
    """Give the mean square of what a target has beyond bicubic, for each input pixel: (n, band, y, x)."""
    skip = context - bicubic.halo
    inner = lr[..., skip : lr.shape[-2] - skip, skip : lr.shape[-1] - skip]
    square = np.square(target - bicubic(inner))
    scale = bicubic.spec.scale
    *lead, height, width = square.shape
    blocks = square.reshape(*lead, height // scale, scale, width // scale, scale)
    return np.asarray(blocks.mean((-3, -1)), "float32")


def distil(
    network: nn.Module,
    teacher: Teacher,
    scenes: Sequence[Scene],
    folder: str | Path,
    settings: Settings | None = None,
    *,
    augmentation: Augmentation | None = None,
    held_out: Mapping[str, FloatArray] | None = None,
    side: int = 48,
    batch: int = 8,
    patch: int = 76,
    pool: int = 144,
    seen: float = 3.0,
    evenness: float = 1.0,
    show: Callable[[str], None] | None = None,
) -> nn.Module:
    """Train a network to give what the teacher gives; see `loop.train` for resuming and files.

    network: without padding, of the teacher's bands and scale; `network.consumed` input pixels are used up on each
    side, at most the teacher's halo. scenes: see `scenes_of`; for a teacher that reads two pixel sizes, the bands of
    the wider ones last, as `two_grids.repeated` gives them. held_out: images (band, y, x) of other places; how close
    the network is to the teacher there goes into the log (`report.closeness`). side, batch: input pixels of a patch and
    patches of a step; patch, pool: of what is labelled at a time; seen: how often each pixel of that is. evenness: 1
    counts all patches the same, 0 counts them by their detail; between them the quiet ones still teach, and errors
    where they show most weigh more.
    Returns the network with its averaged weights. Raises TrainingError, MissingLibraryError (the extra `train`).
    """
    settings, consumed = settings or Settings(), consumed_by(network)
    if consumed > teacher.halo:
        raise TrainingError(
            f"The network uses up {consumed} input pixels on each side, {teacher.spec.name!r} looks no further than "
            f"{teacher.halo}. Give a network of that reach or less."
        )
    maker = Labelled(teacher, scenes, augmentation or Augmentation(), seed=settings.seed, patch=patch, count=pool)
    batches = PooledBatches(
        maker,
        teacher.spec.scale,
        consumed,
        settings.seed,
        side=side,
        size=batch,
        patch=patch,
        count=pool,
        seen=seen,
        evenness=evenness,
    )
    held = {name: (values, teacher(values[None])[0]) for name, values in (held_out or {}).items()}
    bicubic = Teacher("bicubic", device="cpu")

    fine = len(teacher.spec.bands) - len(teacher.spec.coarse)
    parts = {"": slice(None)} if fine == len(teacher.spec.bands) else {" 10 m": slice(fine), " 20 m": slice(fine, None)}

    def evaluate(student: nn.Module) -> dict[str, float]:
        return {
            name + part: closeness(student, lr, sr, bicubic, bands)
            for name, (lr, sr) in held.items()
            for part, bands in parts.items()
        }

    return train(
        network, batches, relative_square_error, Path(folder), settings, evaluate=evaluate if held else None, show=show
    )
