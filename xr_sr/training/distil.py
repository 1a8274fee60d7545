"""Distil: learn the function of another model from its outputs, on any scenes.

The teacher labels every patch, so scenes need not be real, only similar to those of later use. Its weights are never
read: a teacher is a kernel, an image in and an image out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..errors import TrainingError
from .checks import (
    check_kinds,
    check_network,
    check_seen,
    check_shares,
    check_sizes,
    check_teacher,
    consumed_by,
    images_of,
    scenes_for,
)
from .loop import Settings, relative_square_error, train
from .patches import Augmentation, Draw, DrawTwoGrids, Pool, PooledBatches
from .scenes import FloatArray, Scene
from .teacher import Teacher, apply, distance

__all__ = ["distil"]


class Labelled:
    """Create pools of patches labelled by a teacher; see `patches.Maker`."""

    def __init__(
        self,
        teacher: Teacher,
        scenes: Sequence[Scene],
        augmentation: Augmentation,
        *,
        seed: int,
        patch: int,
        count: int,
        balance: float = 0.0,
    ) -> None:
        self.teacher, self.seed, self.count, self.balance = teacher, seed, count, balance
        self.bicubic = Teacher("bicubic", device="cpu", scale=teacher.spec.scale)
        self.context = max(teacher.halo, self.bicubic.halo)
        side, coarse = patch + 2 * self.context, len(teacher.spec.coarse)
        self.draw = (
            DrawTwoGrids(scenes, side, augmentation, coarse=coarse) if coarse else Draw(scenes, side, augmentation)
        )

    def __call__(self, number: int) -> Pool:
        """See `patches.Maker`."""
        chance = np.random.default_rng([self.seed, 0, number])
        lr = np.stack([self.draw(chance)[1] for _ in range(self.count)])
        target = self.teacher(inner(lr, self.context - self.teacher.halo))
        energy = energy_of(given(self.teacher, lr), target, self.bicubic, self.context)
        return Pool(lr, target, balanced(energy, self.balance))

    def describe(self) -> dict[str, Any]:
        """See `patches.Maker`."""
        teacher = {"model": self.teacher.spec.name, "sha256": self.teacher.sha256, "gives": list(self.teacher.gives)}
        return {"teacher": teacher, "seed": self.seed, "balance": self.balance, **self.draw.describe()}


def inner(lr: FloatArray, cut: int) -> FloatArray:
    """Cut pixels off each side of images (..., y, x)."""
    return lr[..., cut : lr.shape[-2] - cut, cut : lr.shape[-1] - cut]


def given(teacher: Teacher, lr: FloatArray) -> FloatArray:
    """Select from (..., band, y, x) the bands that a teacher returns, in its order."""
    if teacher.gives == teacher.spec.bands:
        return lr
    return lr[..., [teacher.spec.bands.index(band) for band in teacher.gives], :, :]


def energy_of(lr: FloatArray, target: FloatArray, bicubic: Teacher, context: int) -> FloatArray:
    """Return the mean square of the target minus bicubic, for each input pixel: (n, band, y, x)."""
    square = np.square(target - bicubic(inner(lr, context - bicubic.halo)))
    scale = bicubic.spec.scale
    *lead, height, width = square.shape
    blocks = square.reshape(*lead, height // scale, scale, width // scale, scale)
    return np.asarray(blocks.mean((-3, -1)), "float32")


def balanced(energy: FloatArray, balance: float) -> FloatArray:
    """Return the detail by which bands count, see `distil`: (n, band, y, x), or (n, y, x) where they count together."""
    whole = energy.mean(axis=1)
    if balance == 0:
        return np.asarray(whole, "float32")
    return np.asarray(energy if balance == 1 else energy**balance * whole[:, None] ** (1 - balance), "float32")


def distil(
    network: nn.Module,
    teacher: Teacher,
    scenes: Sequence[Scene],
    folder: str | Path,
    settings: Settings | None = None,
    *,
    augmentation: Augmentation | None = None,
    held_out: Mapping[str, FloatArray | Scene] | Sequence[Scene] | None = None,
    side: int = 48,
    batch: int = 8,
    patch: int = 76,
    pool: int = 144,
    seen: float = 3.0,
    evenness: float = 1.0,
    balance: float | None = None,
    show: Callable[[str], None] | None = None,
) -> nn.Module:
    """Train a network to reproduce the output of a teacher; see `loop.train` for resuming and files.

    network: without padding, of the teacher's bands and scale; `network.consumed` input pixels are used up on each
    side, at most the teacher's halo. scenes: see `scenes_of`; for a teacher that reads two pixel sizes, the bands of
    the wider ones last, as `repeated` gives them. held_out: scenes of other places without NaN, or images (band, y, x)
    by name, bands of wider pixels interpolated; how close the network is to the teacher there goes into the log
    (`closeness`). side, batch: input pixels of a patch and
    patches of a step; patch, pool: of what is labelled at a time; seen: how often each pixel of that is. evenness: 1
    counts all patches the same, 0 counts them by their detail; between them the quiet ones still teach, and errors
    where they show most weigh more. balance: the same among the bands of a patch; by default 1 for a teacher that
    reads two pixel sizes, whose bands differ tenfold in what they lack, else 0.
    Returns the network with its averaged weights. Raises TrainingError, MissingLibraryError (the extra `train`).
    """
    teacher = check_teacher(teacher)
    check_kinds({"settings": (settings, Settings), "augmentation": (augmentation, Augmentation)})
    settings, consumed = settings or Settings(), consumed_by(network)
    bands, coarse, scale = len(teacher.spec.bands), len(teacher.spec.coarse), teacher.spec.scale
    if consumed > teacher.halo:
        raise TrainingError(
            f"The network consumes {consumed} input pixels on each side, more than the halo of {teacher.spec.name!r}, "
            f"{teacher.halo}. Pass a network of that reach or less."
        )
    check_sizes(side=side, batch=batch, patch=patch, pool=pool, even=coarse > 0)
    check_shares(evenness=evenness, balance=float(coarse > 0) if balance is None else balance)
    check_seen(seen)
    check_network(network, bands=bands, bands_out=len(teacher.gives), scale=scale, side=side, coarse=coarse)
    scenes = scenes_for(scenes, bands, coarse)
    held_images = images_of(held_out, bands=bands, coarse=coarse, reach=teacher.halo)
    maker = Labelled(
        teacher,
        scenes,
        augmentation or Augmentation(),
        seed=settings.seed,
        patch=patch,
        count=pool,
        balance=float(coarse > 0) if balance is None else balance,
    )
    batches = PooledBatches(
        maker,
        scale,
        consumed,
        settings.seed,
        side=side,
        size=batch,
        patch=patch,
        count=pool,
        seen=seen,
        evenness=evenness,
    )
    held = {
        name: (lr, teacher(lr[None])[0], given(teacher, maker.bicubic(lr[None])[0])) for name, lr in held_images.items()
    }

    fine = sum(band not in teacher.spec.coarse for band in teacher.gives)
    parts = {" 10 m": slice(fine), " 20 m": slice(fine, None)} if coarse else {"": slice(None)}
    if scale == 1 or not fine:  # the fine bands are what they were, or not there
        parts.pop(" 10 m", None)

    def evaluate(student: nn.Module) -> dict[str, float]:
        found = {}
        for name, (lr, *images) in held.items():
            own = apply(student, lr)
            for part, which in parts.items():
                student_sr, teacher_sr, plain = (image[which] for image in (own, *images))
                found[name + part] = distance(student_sr, teacher_sr, plain, lr.shape[1:], scale=scale)
        return found

    return train(
        network, batches, relative_square_error, Path(folder), settings, evaluate=evaluate if held else None, show=show
    )
