"""From a record and the user's words to what a task needs: options checked, constraint chosen, weights found."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import SupportsIndex

from .. import kernels
from ..arguments import check_path
from ..catalog import fetch, registry
from ..errors import OptionError, WeightsNotFoundError
from ..spec import ModelSpec, Option

__all__ = ["kernel_ref", "with_options"]


def with_options(spec: ModelSpec, options: Mapping[str, Option]) -> ModelSpec:
    """Check a model's own options against its list; `scale` is the one that interpolation has."""
    known = dict(spec.options)
    for name, value in options.items():
        if name not in known:
            raise OptionError(f"{spec.name!r} has no option {name!r}; it has {sorted(known) or 'none of its own'}.")
        if type(value) is bool or not isinstance(value, SupportsIndex if name == "scale" else type(known[name])):
            wanted = type(known[name]).__name__
            raise OptionError(
                f"{name}={value!r}: wanted {wanted}, such as {known[name]!r}; not {type(value).__name__}."
            )
    scale = operator.index(options.get("scale", spec.scale))  # type: ignore[arg-type]  # checked above
    if not 1 <= scale <= 16:
        raise OptionError(f"scale={scale!r}: wanted a whole number from 1 to 16.")
    return replace(spec, scale=scale)


def kernel_ref(
    spec: ModelSpec,
    weights: str | Path | None = None,
    device: str = "auto",
    constraint: str = "auto",
    precision: str = "float32",
    wanted: Sequence[str] = (),
) -> kernels.KernelRef:
    """Find the weights of a model and choose its constraint; arguments as in `upscale`.

    wanted: of a model made of several, the bands that it is to give. Raises OptionError, ModelError, WeightsError.
    """
    if not isinstance(weights, str | os.PathLike | None):
        raise OptionError(f"weights={weights!r}: wanted a file, a folder, or the name of a model.")
    if spec.parts:
        if weights in (*registry.FAMILIES, *registry.names()):
            spec, weights = _with_parts_of(str(weights), spec), None
        if weights is not None and check_path("weights", weights, WeightsNotFoundError).is_file():
            raise OptionError(
                f"{spec.name!r} has {len(spec.files)} files of weights, and weights={str(weights)!r} is one. Give the "
                f"folder that holds them: {', '.join(file.path for file in spec.files)}."
            )
        parts = tuple((role, kernel_ref(part, weights, device, constraint, precision)) for role, part in spec.parts)
        return kernels.KernelRef(spec, device=device, precision=precision, parts=parts, bands=tuple(wanted))
    low_pass = kernels.constraint_for(spec, constraint)
    if not spec.architecture:
        if weights is not None:
            raise OptionError(
                f"{spec.name!r} has no weights, so weights={str(weights)!r} has no meaning: leave it out."
            )
        return kernels.KernelRef(spec, device=device, low_pass=low_pass)
    if spec.weights is None and weights is None:  # a network of the user's own that has nothing to load
        return kernels.KernelRef(spec, device=device, precision=precision, low_pass=low_pass)
    located = fetch.locate(spec, weights)
    if weights is not None and Path(weights).expanduser().is_file():
        from .predictors import load_network

        load_network(spec, located.path, located.sha256)  # what does not fit is said here, and not in a task
    return kernels.KernelRef(spec, str(located.path), located.sha256, device, precision, low_pass)


def _with_parts_of(name: str, spec: ModelSpec) -> ModelSpec:
    """Return a model of several parts with the weights that another one has for the same parts."""
    full = (*registry.FAMILIES.get(name, (name,)), *registry.FUSING.get(name, ()))
    known = [dict(registry.get(each).parts) for each in full]
    roles = [role for role, _ in spec.parts]
    parts = next((parts for parts in known if set(roles) <= set(parts)), None)
    if parts is None:
        raise OptionError(
            f"weights={name!r} has no weights for the parts {roles} of {spec.name!r}. Leave weights= out, or give a "
            f"folder that holds them: {', '.join(file.path for file in spec.files)}."
        )
    return replace(spec, parts=tuple((role, replace(part, weights=parts[role].weights)) for role, part in spec.parts))
