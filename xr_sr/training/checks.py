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


def consumed_by(network: nn.Module) -> int:
    """Return the input pixels that a network consumes on each side, its attribute `consumed`.

    Raises TrainingError without it.
    """
    consumed = getattr(network, "consumed", None)
    if type(consumed) is not int or consumed < 0:
        raise TrainingError(
            f"{type(network).__name__} does not declare its context: expected an attribute `consumed`, input pixels on "
            "each side. Convolve without padding, or crop the output by that much."
        )
    return consumed


def check_teacher(teacher: object) -> Teacher:
    """Return a teacher that can label patches. Raises TrainingError for other types, and for windowed models."""
    if not isinstance(teacher, Teacher):
        raise TrainingError(
            f"teacher={str(teacher)[:80]!r} is a {type(teacher).__name__}: expected training.Teacher('sen2sr-lite'), "
            "or another name in xr_sr.list_models()."
        )
    spec = teacher.spec
    if spec.window:
        raise TrainingError(
            f"{spec.name!r} works on windows of {spec.window} pixels, and its output depends on all of a window; "
            "expected a teacher with a halo, so that a patch has one label."
        )
    return teacher


def check_network(network: nn.Module, *, bands: int, bands_out: int, scale: int, side: int, coarse: int = 0) -> None:
    """Run a network on one patch. Raises TrainingError unless its output has the expected bands and size.

    bands, bands_out: numbers of input and output bands; 0 skips the check. side: of a patch, in input pixels. coarse:
    number of bands with pixels twice as wide.
    """
    if not isinstance(network, nn.Module):
        raise TrainingError(f"network={network!r:.60}: expected an instance of torch.nn.Module.")
    kind, consumed = type(network).__name__, consumed_by(network)
    if not bands:
        return
    if not any(value.requires_grad for value in network.parameters()):
        raise TrainingError(f"{kind} has no parameters to train; expected some with requires_grad.")
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
    except Exception as error:  # anything that a user's network raises
        raise TrainingError(
            f"{kind} cannot be run on (1, {bands}, {size}, {size}), a patch of {side} with {consumed} pixels of "
            f"context: {type(error).__name__}: {error}. Expected a network of {bands} bands, such as "
            f"{such}."
        ) from error
    finally:
        network.train(training)
    if not isinstance(fine, Tensor) or tuple(fine.shape) != wanted:
        found = tuple(fine.shape) if isinstance(fine, Tensor) else type(fine).__name__
        raise TrainingError(
            f"{kind} turns (1, {bands}, {size}, {size}) into {found}; expected {wanted}: {bands_out} bands, {scale} "
            f"times finer, {consumed} input pixels consumed on each side, as in its `consumed`."
        )


def check_sizes(*, side: int, batch: int, patch: int, pool: int, even: bool = False) -> None:
    """Raise TrainingError for invalid or inconsistent sizes of patches.

    even: the bands have two pixel sizes, so patches are whole pixels of the coarser.
    """
    sizes: dict[str, Any] = {"side": side, "batch": batch, "patch": patch, "pool": pool}
    if wrong := {name: value for name, value in sizes.items() if type(value) is not int or value < 1}:
        raise TrainingError(f"{_listed(wrong)}: expected whole numbers, at least 1.")
    if side > patch:
        raise TrainingError(
            f"side={side}, patch={patch}: batches are cut out of patches, so side must not exceed patch."
        )
    if even and patch % 2:
        raise TrainingError(
            f"patch={patch}: the teacher reads bands with pixels twice as wide; expected an even number, such as "
            f"{patch + 1}."
        )


def check_kinds(given: Mapping[str, tuple[object, type]]) -> None:
    """Raise TrainingError for arguments of another type, except None."""
    for name, (value, kind) in given.items():
        if value is not None and not isinstance(value, kind):
            raise TrainingError(
                f"{name}={str(value)[:80]!r} is a {type(value).__name__}; expected training.{kind.__name__} or None."
            )


def check_shares(**shares: object) -> None:
    """Raise TrainingError for anything but shares from 0 to 1."""
    wrong = {name: value for name, value in shares.items() if not (isinstance(value, int | float) and 0 <= value <= 1)}
    if wrong:
        raise TrainingError(f"{_listed(wrong)}: expected plain numbers from 0 to 1.")


def check_seen(seen: object) -> None:
    """Raise TrainingError for anything but a number above 0."""
    if not (isinstance(seen, int | float) and 0 < seen < math.inf):
        raise TrainingError(f"seen={seen!r}: expected how often each pixel is used, a plain number above 0.")


def scenes_for(scenes: object, bands: int, coarse: int = 0) -> tuple[Scene, ...]:
    """Return the scenes, if they are a sequence of Scene with reflectance. bands: their number; 0 is any.

    coarse: number of bands, the last ones, with pixels twice as wide, each repeated. Raises TrainingError otherwise.
    """
    if not isinstance(scenes, Sequence) or not all(isinstance(scene, Scene) for scene in scenes):
        kinds = {type(scene).__name__ for scene in scenes} if isinstance(scenes, list | tuple) else {}
        found = f"a sequence of {', '.join(sorted(kinds))}" if kinds else f"a {type(scenes).__name__}"
        raise TrainingError(
            f"scenes is {found}; expected a sequence of Scene: training.scenes_of(cube) returns one, [scene] is one."
        )
    for scene in scenes:
        if not isinstance(scene.values, np.ndarray) or scene.values.dtype not in (np.float32, np.float64):
            kind = f"{scene.values.dtype} values" if hasattr(scene.values, "dtype") else "values"
            raise TrainingError(
                f"{scene.name!r} has {kind} in a {type(scene.values).__name__}; expected reflectance as a NumPy "
                "array of float32. training.scenes_of(cube) converts DN too."
            )
        shape = scene.values.shape
        if len(shape) != 3 or (bands and shape[0] != bands):
            raise TrainingError(
                f"{scene.name!r} is {shape}; expected (band, y, x) with {bands or 'some'} bands. Pass the bands that "
                "are read, in their order: training.scenes_of(cube, bands)."
            )
        _check_reflectance(repr(scene.name), scene.values)
        _check_repeated(repr(scene.name), scene.values, coarse)
        if not (np.isfinite(scene.weight) and scene.weight >= 0):
            raise TrainingError(f"{scene.name!r} has weight={scene.weight}; expected a number, at least 0.")
    if scenes and not any(scene.weight for scene in scenes):
        raise TrainingError("All scenes have weight=0, so none would be drawn; set a higher one.")
    return tuple(scenes)


def images_of(
    held_out: Mapping[str, FloatArray | Scene] | Sequence[Scene] | None, *, bands: int, coarse: int, reach: int
) -> dict[str, FloatArray]:
    """Return the held-out images, each with valid pixels only and larger than the border that is not measured.

    coarse: number of bands with pixels twice as wide: repeated in a Scene, and interpolated here; interpolated already
    in an array. reach: input pixels that network or teacher consume. Raises TrainingError.
    """
    if held_out is None:
        return {}
    if not isinstance(held_out, Mapping):
        named = scenes_for(held_out, bands, coarse)
        held_out = {scene.name: scene for scene in named}
        if len(held_out) < len(named):
            raise TrainingError("held_out has a name twice; expected another name for each, {'village': scene}.")
    found, least = {}, 2 * max(BORDER, reach) + 1
    for name, given in held_out.items():
        if name in OWN_COLUMNS:
            raise TrainingError(
                f"held_out has the name {name!r}, which is a column of the log; expected other names "
                f"than {', '.join(OWN_COLUMNS)}."
            )
        values = np.asarray(given.values if isinstance(given, Scene) else given)
        if values.ndim != 3 or (bands and len(values) != bands) or values.dtype.kind != "f":
            raise TrainingError(
                f"held_out[{name!r}] is {values.dtype} {values.shape}; expected reflectance (band, y, x) with "
                f"{bands or 'some'} bands, or a Scene of them."
            )
        if min(values.shape[1:]) < least:
            raise TrainingError(
                f"held_out[{name!r}] has {values.shape[1:]} pixels, of which the outer {least // 2} are not measured; "
                f"expected {least} or more on each side."
            )
        if not np.isfinite(values).all():
            raise TrainingError(
                f"held_out[{name!r}] has {np.count_nonzero(~np.isfinite(values))} invalid values; expected "
                "a part without gaps: scene.values[:, top:bottom, left:right]."
            )
        _check_reflectance(f"held_out[{name!r}]", values)
        if coarse and isinstance(given, Scene):
            _check_repeated(f"held_out[{name!r}]", values, coarse)
            values = interpolated(values[:, : values.shape[1] // 2 * 2, : values.shape[2] // 2 * 2], coarse)
        found[str(name)] = np.ascontiguousarray(values, "float32")
    return found


def _check_reflectance(what: str, values: FloatArray) -> None:
    """Raise TrainingError if half of the valid values are higher than the reflectance of any surface."""
    valid = values[np.isfinite(values)]
    if valid.size and (median := float(np.median(valid))) >= HIGHEST_MEDIAN:
        raise TrainingError(
            f"{what}: half of its valid values are {median:.4g} and more, and no surface is so bright: they look like "
            "DN stored as floats, or a picture. Expected reflectance, (DN + offset) / 10000, as "
            "training.scenes_of(cube) returns it."
        )


def _check_repeated(what: str, values: FloatArray, coarse: int) -> None:
    """Raise TrainingError unless nearly all valid coarse pixels of each of the last bands are one value."""
    rows, columns = (size // 2 for size in values.shape[1:])
    for number, band in enumerate(values[-coarse:] if coarse else (), start=1):
        blocks = band[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).transpose(1, 3, 0, 2)
        blocks = blocks[..., np.isfinite(blocks).all(axis=(0, 1))][..., None]
        if blocks.size and (share := share_constant(blocks)) < NATIVE_SHARE:
            raise TrainingError(
                f"{what}: only {share:.0%} of the blocks of 2 x 2 pixels are one value in band {number} of the last "
                f"{coarse}, those with pixels twice as wide. Expected each of these pixels repeated 2 x 2 from the "
                "corner on, as training.repeated(fine, coarse) returns them."
            )


def _listed(sizes: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in sizes.items())
