"""Check that network, teacher and scenes fit together, before the first step. Nothing is trained or drawn here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..pipeline.readers import NATIVE_SHARE, share_constant
from ..radiometry.judge import HIGHEST_MEDIAN
from .journal import OWN_COLUMNS
from .scenes import FloatArray, Scene, interpolated
from .teacher import BORDER, Teacher

__all__ = [
    "check_kinds",
    "check_network",
    "check_seen",
    "check_shares",
    "check_sizes",
    "check_teacher",
    "consumed_by",
    "images_of",
    "scenes_for",
]


def consumed_by(network: nn.Module) -> int:
    """Return the input pixels that a network uses up on each side, which it says as `consumed`.

    Raises TrainingError if it does not.
    """
    consumed = getattr(network, "consumed", None)
    if type(consumed) is not int or consumed < 0:
        raise TrainingError(
            f"{type(network).__name__} does not say how much context it uses up: wanted an attribute `consumed`, input "
            "pixels on each side. Convolve without padding, or cut that much off the output."
        )
    return consumed


def check_teacher(teacher: object) -> Teacher:
    """Return a teacher that can label patches. Raises TrainingError for another thing, or one that works on windows."""
    if not isinstance(teacher, Teacher):
        raise TrainingError(
            f"teacher={str(teacher)[:80]!r} is a {type(teacher).__name__}: wanted training.Teacher('sen2sr-lite'), or "
            "of another name in xr_sr.list_models()."
        )
    spec = teacher.spec
    if spec.window:
        raise TrainingError(
            f"{spec.name!r} works on windows of {spec.window} pixels, and what it gives depends on all of a window; "
            "wanted is a teacher with a halo, so that a patch has one answer."
        )
    return teacher


def check_network(network: nn.Module, *, bands: int, bands_out: int, scale: int, side: int, coarse: int = 0) -> None:
    """Show a network one patch. Raises TrainingError unless bands and size of what it gives are the wanted ones.

    bands, bands_out: how many it is to read, and to give; 0 reads what it gives. side: of a patch, in input pixels.
    coarse: how many of them are of pixels twice as wide.
    """
    if not isinstance(network, nn.Module):
        raise TrainingError(f"wanted a network, an instance of torch.nn.Module; found {network!r:.60}.")
    kind, consumed = type(network).__name__, consumed_by(network)
    if not bands:
        return
    if not any(value.requires_grad for value in network.parameters()):
        raise TrainingError(f"{kind} has no parameters to train; wanted some with requires_grad.")
    such = f"LeanSPAN(bands={bands}, upscale={scale})"
    if coarse:
        fusion = "LeanFusion" if bands_out == bands else "LeanCoarse"
        such = f"{fusion}(bands={bands}, coarse={coarse}, upscale={scale})"
    size, wanted = side + 2 * consumed, (1, bands_out, side * scale, side * scale)
    first = next(network.parameters())
    training = network.training
    try:
        with torch.no_grad():
            fine = network.eval()(torch.zeros(1, bands, size, size, dtype=first.dtype, device=first.device))
    except Exception as error:  # whatever a network of the user's raises
        raise TrainingError(
            f"{kind} cannot be run on (1, {bands}, {size}, {size}), a patch of {side} with {consumed} pixels of "
            f"context: {type(error).__name__}: {error}. Wanted is a network of {bands} bands, such as "
            f"{such}."
        ) from error
    finally:
        network.train(training)
    if not isinstance(fine, Tensor) or tuple(fine.shape) != wanted:
        found = tuple(fine.shape) if isinstance(fine, Tensor) else type(fine).__name__
        raise TrainingError(
            f"{kind} turns (1, {bands}, {size}, {size}) into {found}; wanted is {wanted}: {bands_out} bands, {scale} "
            f"times finer, {consumed} input pixels of context used up on each side as its `consumed` says."
        )


def check_sizes(*, side: int, batch: int, patch: int, pool: int, even: bool = False) -> None:
    """Raise TrainingError for sizes of patches that are none, or that do not go together.

    even: the bands have pixels of two sizes, so patches are whole pixels of the wider.
    """
    sizes: dict[str, Any] = {"side": side, "batch": batch, "patch": patch, "pool": pool}
    if wrong := {name: value for name, value in sizes.items() if type(value) is not int or value < 1}:
        raise TrainingError(f"{_told(wrong)}: wanted whole numbers from 1 on.")
    if side > patch:
        raise TrainingError(
            f"side={side}, patch={patch}: batches are cut out of patches, so wanted is a side of at most the patch."
        )
    if even and patch % 2:
        raise TrainingError(
            f"patch={patch}: the teacher reads bands of pixels twice as wide, so wanted is an even number, such as "
            f"{patch + 1}."
        )


def check_kinds(given: Mapping[str, tuple[object, type]]) -> None:
    """Raise TrainingError where what is given under a name is neither None nor of its kind."""
    for name, (value, kind) in given.items():
        if value is not None and not isinstance(value, kind):
            raise TrainingError(
                f"{name}={str(value)[:80]!r} is a {type(value).__name__}; wanted is training.{kind.__name__}(...), or "
                "nothing for the usual one."
            )


def check_shares(**shares: object) -> None:
    """Raise TrainingError for what is no share."""
    wrong = {name: value for name, value in shares.items() if not (isinstance(value, int | float) and 0 <= value <= 1)}
    if wrong:
        raise TrainingError(f"{_told(wrong)}: wanted plain numbers from 0 to 1.")


def check_seen(seen: object) -> None:
    """Raise TrainingError for what is not how often pixels can be seen."""
    if not (isinstance(seen, int | float) and 0 < seen < math.inf):
        raise TrainingError(f"seen={seen!r}: wanted is how often each pixel is, a plain number above 0.")


def scenes_for(scenes: object, bands: int, coarse: int = 0) -> tuple[Scene, ...]:
    """Return the scenes, if they are a sequence of those with reflectance of these bands. bands: how many; 0 for any.

    coarse: how many of them, the last ones, are of pixels twice as wide, each repeated. Raises TrainingError otherwise.
    """
    if not isinstance(scenes, Sequence) or not all(isinstance(scene, Scene) for scene in scenes):
        kinds = {type(scene).__name__ for scene in scenes} if isinstance(scenes, list | tuple) else {}
        found = f"a sequence of {', '.join(sorted(kinds))}" if kinds else f"a {type(scenes).__name__}"
        raise TrainingError(
            f"scenes is {found}; wanted is a sequence of Scene: training.scenes_of(cube) gives one, [scene] makes one."
        )
    for scene in scenes:
        if not isinstance(scene.values, np.ndarray) or scene.values.dtype not in (np.float32, np.float64):
            kind = f"{scene.values.dtype} values" if hasattr(scene.values, "dtype") else "values"
            raise TrainingError(
                f"{scene.name!r} has {kind} in a {type(scene.values).__name__}; wanted is reflectance as a NumPy array "
                "of float32. training.scenes_of(cube) makes it of DN too."
            )
        shape = scene.values.shape
        if len(shape) != 3 or (bands and shape[0] != bands):
            raise TrainingError(
                f"{scene.name!r} is {shape}; wanted is (band, y, x) with {bands or 'some'} bands. Give the bands that "
                "are read, in their order: training.scenes_of(cube, bands)."
            )
        _check_reflectance(repr(scene.name), scene.values)
        _check_repeated(repr(scene.name), scene.values, coarse)
        if not (np.isfinite(scene.weight) and scene.weight >= 0):
            raise TrainingError(f"{scene.name!r} has weight={scene.weight}; wanted is a number from 0 on.")
    if scenes and not any(scene.weight for scene in scenes):
        raise TrainingError("All scenes have weight=0, so none would be drawn; give one of them more.")
    return tuple(scenes)


def images_of(
    held_out: Mapping[str, FloatArray | Scene] | Sequence[Scene] | None, *, bands: int, coarse: int, reach: int
) -> dict[str, FloatArray]:
    """Return the images of places held out, each with all its pixels valid and larger than the border left out.

    coarse: how many of the bands are of pixels twice as wide: repeated in a Scene, and interpolated here; interpolated
    already in an array. reach: input pixels that network or teacher use up. Raises TrainingError.
    """
    if held_out is None:
        return {}
    if not isinstance(held_out, Mapping):
        named = scenes_for(held_out, bands, coarse)
        held_out = {scene.name: scene for scene in named}
        if len(held_out) < len(named):
            raise TrainingError("held_out names a place twice; wanted is a name for each, {'village': scene}.")
    found, least = {}, 2 * max(BORDER, reach) + 1
    for name, given in held_out.items():
        if name in OWN_COLUMNS:
            raise TrainingError(
                f"held_out names a place {name!r}, as the log names one of its own columns; wanted are other names "
                f"than {', '.join(OWN_COLUMNS)}."
            )
        values = np.asarray(given.values if isinstance(given, Scene) else given)
        if values.ndim != 3 or (bands and len(values) != bands) or values.dtype.kind != "f":
            raise TrainingError(
                f"held_out[{name!r}] is {values.dtype} {values.shape}; wanted is reflectance (band, y, x) with "
                f"{bands or 'some'} bands, or a Scene of them."
            )
        if min(values.shape[1:]) < least:
            raise TrainingError(
                f"held_out[{name!r}] has {values.shape[1:]} pixels, of which the outer {least // 2} are not measured; "
                f"wanted is {least} or more on each side."
            )
        if not np.isfinite(values).all():
            raise TrainingError(
                f"held_out[{name!r}] has {np.count_nonzero(~np.isfinite(values))} values that are no numbers; wanted "
                "is a piece without gaps: scene.values[:, top:bottom, left:right]."
            )
        _check_reflectance(f"held_out[{name!r}]", values)
        if coarse and isinstance(given, Scene):
            _check_repeated(f"held_out[{name!r}]", values, coarse)
            values = interpolated(values[:, : values.shape[1] // 2 * 2, : values.shape[2] // 2 * 2], coarse)
        found[str(name)] = np.ascontiguousarray(values, "float32")
    return found


def _check_reflectance(what: str, values: FloatArray) -> None:
    """Raise TrainingError where half of the valid values are higher than any surface is."""
    valid = values[np.isfinite(values)]
    if valid.size and (median := float(np.median(valid))) >= HIGHEST_MEDIAN:
        raise TrainingError(
            f"{what}: half of its valid values are {median:.4g} and more, and no surface is so bright: they look like "
            "DN stored as floats, or a picture. Wanted is reflectance, (DN + offset) / 10000; training.scenes_of(cube) "
            "makes it."
        )


def _check_repeated(what: str, values: FloatArray, coarse: int) -> None:
    """Raise TrainingError unless nearly all valid wide pixels of each of the last bands are one value."""
    rows, columns = (size // 2 for size in values.shape[1:])
    for number, band in enumerate(values[-coarse:] if coarse else (), start=1):
        blocks = band[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).transpose(1, 3, 0, 2)
        blocks = blocks[..., np.isfinite(blocks).all(axis=(0, 1))][..., None]
        if blocks.size and (share := share_constant(blocks)) < NATIVE_SHARE:
            raise TrainingError(
                f"{what}: only {share:.0%} of the blocks of 2 x 2 pixels are one value in band {number} of the last "
                f"{coarse}, those of pixels twice as wide. Wanted is each of these pixels repeated from the corner on: "
                "training.repeated(fine, coarse) does so with what stands on two grids."
            )


def _told(sizes: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in sizes.items())
