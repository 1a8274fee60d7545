"""Learn from another model's output (`distil`), or from high resolution seen through a modeled sensor (`fit`).

`distil`: the teacher labels every patch, so scenes need not be real, only similar to those of later use. Its weights
are never read: a teacher is a kernel, an image in and an image out.
`fit`: the scenes are the reference, so they must be as sharp as the desired output. Point spread, noise and
registration of the bands vary between patches, since a network that was trained for one sensor is worse than its
teacher on the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from ..arguments import renamed
from ..bands import find_band
from ..errors import MissingBandError, OptionError, TrainingError
from ..simulate import MTF_AT_NYQUIST, degrade
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
from .patches import Augmentation, Draw, Pool, PooledBatches
from .scenes import FloatArray, Scene
from .teacher import Teacher, apply, distance

MARGIN = 3
"""Input pixels of context for the point spread function."""

GENTLE = Augmentation(light=0.4, snow=0.05, mix=0.0)
"""For reference images: their spectra should remain realistic."""


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
        side = patch + 2 * self.context
        self.draw = Draw(scenes, side, augmentation, coarse=len(teacher.spec.coarse))

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
    balance = float(coarse > 0) if balance is None else balance
    if consumed > teacher.halo:
        raise TrainingError(
            f"The network consumes {consumed} input pixels on each side, more than the halo of {teacher.spec.name!r}, "
            f"{teacher.halo}. Pass a network of that reach or less."
        )
    check_sizes(side=side, batch=batch, patch=patch, pool=pool, even=coarse > 0)
    check_shares(evenness=evenness, balance=balance)
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
        balance=balance,
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


@dataclass(frozen=True)
class SensorRange:
    """Range of sensors around the modeled one.

    width: of the point spread function, minimum and maximum, as a factor. noise: gain of the modeled noise, minimum
    and maximum. shift_px: standard deviation of each band's shift along y and x, in input pixels. Raises OptionError
    for impossible numbers.
    """

    width: tuple[float, float] = (0.75, 1.25)
    noise: tuple[float, float] = (0.0, 2.0)
    shift_px: float = 0.07

    def __post_init__(self) -> None:
        for name, ends in (("width", self.width), ("noise", self.noise)):
            numbers = isinstance(ends, Sequence) and all(isinstance(end, int | float) for end in ends)
            if not numbers or len(ends) != 2 or not 0 <= ends[0] <= ends[1] < math.inf:
                raise OptionError(f"{name}={ends!r}: expected two plain numbers, at least 0: minimum and maximum.")
        if self.width[0] == 0:
            raise OptionError(f"width={self.width!r}: expected a minimum above 0.")
        if not isinstance(self.shift_px, int | float) or not 0 <= self.shift_px < math.inf:
            raise OptionError(f"shift_px={self.shift_px!r}: expected a plain number, at least 0.")


class Seen:
    """Create pools of degraded patches with their reference; see `patches.Maker`."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        bands: Sequence[str],
        sensors: SensorRange,
        augmentation: Augmentation,
        *,
        scale: int,
        context: int,
        seed: int,
        patch: int,
        count: int,
        teacher: Teacher | None = None,
        hr_weight: float = 1.0,
    ) -> None:
        self.bands, self.sensors, self.scale = tuple(bands), sensors, scale
        self.teacher, self.hr_weight = teacher, hr_weight
        self.bicubic = Teacher("bicubic", device="cpu", scale=scale)
        self.context = max(context, self.bicubic.halo, teacher.halo if teacher else 0)
        context = self.context
        self.seed, self.count = seed, count
        self.draw = Draw(scenes, (patch + 2 * (context + MARGIN)) * scale, augmentation, zooms=(1.0,))

    def __call__(self, number: int) -> Pool:
        """See `patches.Maker`."""
        chance = np.random.default_rng([self.seed, 0, number])
        pairs = [self._seen(self.draw(chance)[1], chance) for _ in range(self.count)]
        lr, target = (np.stack(side) for side in zip(*pairs, strict=True))
        if self.teacher is not None:
            taught = self.teacher(inner(lr, self.context - self.teacher.halo))
            target = np.float32(self.hr_weight) * target + np.float32(1 - self.hr_weight) * taught
        return Pool(lr, target, energy_of(lr, target, self.bicubic, self.context).mean(axis=1))

    def describe(self) -> dict[str, Any]:
        """See `patches.Maker`."""
        facts = {"bands": list(self.bands), "sensors": asdict(self.sensors), "seed": self.seed, **self.draw.describe()}
        if self.teacher is not None:
            facts |= {
                "teacher": {"model": self.teacher.spec.name, "sha256": self.teacher.sha256},
                "truth": self.hr_weight,
            }
        return facts

    def _seen(self, hr: FloatArray, chance: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Degrade one patch (band, y, x); return it with its context, and the reference without."""
        width, noise = chance.uniform(*self.sensors.width), chance.uniform(*self.sensors.noise)
        moves = chance.normal(0, self.sensors.shift_px, (len(self.bands), 2)).clip(-0.3, 0.3)
        lr = degrade(
            _grid(hr, self.bands),
            factor=self.scale,
            # A Gaussian k times as wide passes the k^2-th power of the contrast.
            mtf={band: MTF_AT_NYQUIST[band] ** (width**2) for band in self.bands},
            noise="sentinel2",
            noise_gain=noise,
            shifts={band: (float(dy), float(dx)) for band, (dy, dx) in zip(self.bands, moves, strict=True)},
            seed=int(chance.integers(2**31)),
        )
        edge = (self.context + MARGIN) * self.scale
        return lr.values[:, MARGIN:-MARGIN, MARGIN:-MARGIN], hr[:, edge:-edge, edge:-edge]


@renamed(truth="hr_weight")
def fit(
    network: nn.Module,
    scenes: Sequence[Scene],
    folder: str | Path,
    settings: Settings | None = None,
    *,
    bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
    scale: int = 4,
    sensors: SensorRange | None = None,
    augmentation: Augmentation | None = None,
    teacher: Teacher | None = None,
    hr_weight: float = 1.0,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    side: int = 32,
    batch: int = 16,
    patch: int = 48,
    pool: int = 256,
    show: Callable[[str], None] | None = None,
) -> nn.Module:
    """Train a network on high-resolution images; see `loop.train` for resuming and files.

    network: from random numbers or, to fine-tune, with weights; without padding, `network.consumed` input pixels are
    used up on each side. scenes: the reference, (band, y, x) reflectance at the output's pixel size, in the order
    of `bands` (any alias), whose point spread and noise are in `xr_sr.simulate`. sensors: how much they vary. teacher,
    hr_weight: with a teacher the target is `hr_weight` times the reference, and the rest the teacher's output: the
    higher it is, the more detail, right and wrong. evaluate: numbers for the log. side, batch: input pixels of a patch
    and patches of a step; patch, pool: of what is simulated at a time.
    Returns the network with its averaged weights. Raises TrainingError, MissingBandError, MissingLibraryError.
    """
    kinds = {"sensors": (sensors, SensorRange), "augmentation": (augmentation, Augmentation)}
    check_kinds({"settings": (settings, Settings), **kinds})
    settings = settings or Settings()
    consumed, bands = consumed_by(network), sensed_bands(bands)
    if type(scale) is not int or scale < 2:
        raise TrainingError(f"scale={scale!r}: expected a whole number, at least 2.")
    check_shares(hr_weight=hr_weight)
    if hr_weight < 1 and teacher is None:
        raise TrainingError(
            f"hr_weight={hr_weight!r} needs a teacher for the rest; expected hr_weight=1, or "
            "teacher=training.Teacher(...)."
        )
    check_sizes(side=side, batch=batch, patch=patch, pool=pool)
    check_network(network, bands=len(bands), bands_out=len(bands), scale=scale, side=side)
    scenes = scenes_for(scenes, len(bands))
    if teacher is not None:
        _check_same(check_teacher(teacher), bands, scale)
    maker = Seen(
        scenes,
        bands,
        sensors or SensorRange(),
        augmentation or GENTLE,
        scale=scale,
        context=consumed,
        seed=settings.seed,
        patch=patch,
        count=pool,
        teacher=teacher,
        hr_weight=hr_weight,
    )
    batches = PooledBatches(maker, scale, consumed, settings.seed, side=side, size=batch, patch=patch, count=pool)
    return train(network, batches, relative_square_error, Path(folder), settings, evaluate=evaluate, show=show)


def sensed_bands(bands: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of bands whose point spread is known. Raises MissingBandError for others."""
    names = (bands,) if isinstance(bands, str) else tuple(bands)
    found = tuple(band.name if (band := find_band(name)) else str(name) for name in names)
    unknown = [name for name in found if name not in MTF_AT_NYQUIST]
    if unknown or not found:
        raise MissingBandError(
            f"bands={names}: no sensor is modeled for {unknown or 'none'}; expected some of "
            f"{', '.join(MTF_AT_NYQUIST)}, in the order of the scenes."
        )
    if len(set(found)) < len(found):
        raise TrainingError(f"bands={names} has a band twice; expected one name for each band of the scenes.")
    return found


def _check_same(teacher: Teacher, bands: tuple[str, ...], scale: int) -> None:
    """Raise TrainingError unless a teacher returns the bands of the reference, at its scale."""
    spec = teacher.spec
    reads, gives = spec.bands or bands, spec.bands_out or spec.bands or bands
    if (reads, gives, spec.scale) != (bands, bands, scale) or spec.coarse:
        raise TrainingError(
            f"{spec.name!r} reads {list(reads)} and returns {list(gives)}, {spec.scale} times finer; expected a "
            f"teacher of {list(bands)}, all of one pixel size, at scale {scale}."
        )


def _grid(values: FloatArray, bands: Sequence[str]) -> xr.DataArray:
    """Wrap a patch as a cube of pixels of one unit."""
    _, height, width = values.shape
    coords = {"band": list(bands), "y": -np.arange(height, dtype=float), "x": np.arange(width, dtype=float)}
    return xr.DataArray(values, dims=("band", "y", "x"), coords=coords)
