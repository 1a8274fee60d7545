"""Resolve the options, constraint and weights of a model to a `KernelRef`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from .. import kernels
from ..arguments import check_number, check_path, check_whole, whole_or_none
from ..catalog import fetch, registry
from ..catalog.generative import Diffusion
from ..catalog.models import MOST_STRENGTH, Cascade, Kriging, Model, Network, scales_of
from ..errors import OptionError, WeightsNotFoundError
from ..spec import Option
from .observe import check_kriging

M = TypeVar("M", bound=Model)


def with_options(spec: M, options: Mapping[str, Option]) -> M:
    """Check options against those of a model, and apply `scale` and `strength`. Raises OptionError."""
    if isinstance(spec, Diffusion):
        _check_names(spec, options, ("eta", "temperature"))
        return spec.sampled(options)  # type: ignore[return-value]  # of the same class
    _check_names(spec, options)
    known = dict(spec.options)
    if isinstance(spec, Network):
        spec = replace(spec, config=tuple({**dict(spec.config), **_checked(spec, options)}.items()))
    for name, value in options.items():
        checked = name in ("scale", "strength", "steps", "seed")
        if not checked and (type(value) is bool or not isinstance(value, type(known[name]))):
            kind = type(known[name]).__name__
            raise OptionError(
                f"{name}={value!r}: expected {kind}, such as {known[name]!r}; got {type(value).__name__}."
            )
    return replace(spec, scale=_scale(spec, options))


def _checked(spec: Network, options: Mapping[str, Option]) -> dict[str, Option]:
    """Return those options that are arguments of a network."""
    found: dict[str, Option] = {}
    if "strength" in options:
        found["strength"] = float(check_number("strength", options["strength"], least=0, most=MOST_STRENGTH))
    if "steps" in options:
        steps = check_whole("steps", options["steps"], least=1)
        found["steps"] = int(check_number("steps", steps, most=spec.most_steps))
    if "seed" in options:
        found["seed"] = check_whole("seed", options["seed"], least=0)
    return found


def kriging_with(spec: Kriging, options: Mapping[str, Option]) -> Kriging:
    """Return kriging with a user's options. Raises OptionError."""
    _check_names(spec, options)
    chosen: dict[str, Any] = {**options, "scale": _scale(spec, options)}
    return check_kriging(replace(spec, **chosen))


def options_with(name: str, options: Mapping[str, Option]) -> dict[str, Option]:
    """Return all options of a model that its errors depend on, those of a user among them. Raises OptionError."""
    spec = registry.get(name)
    found = (kriging_with(spec, options) if isinstance(spec, Kriging) else with_options(spec, options)).options
    return {option: value for option, value in found if option != "seed"}


_SENSOR = {
    "mtf": ", and with constraint='measured' all models have",
    "psf": ", and consistency(psf=...) measures with it",
}
"""What else takes options that describe the sensor."""


def _check_names(spec: Model, options: Mapping[str, Option], more: Sequence[str] = ()) -> None:
    """Raise OptionError for names of no option. more: of those that only other options of the model allow."""
    known = {*dict(spec.options), *more}
    for name, value in options.items():
        if name == "scale" and name not in known:
            raise OptionError(
                f"scale={value!r}: {spec.name!r} upscales {spec.scale} times, and by no other factor. Leave scale= "
                "out, or use an interpolation, such as model='bicubic'."
            )
        if name not in known:
            others = [each for each in ("kriging", "bicubic") if name in dict(registry.get(each).options)]
            hint = f" model={others[0]!r} has it{_SENSOR.get(name, '')}." if others and others[0] != spec.name else ""
            raise OptionError(f"{spec.name!r} has no option {name!r}; its options are {sorted(known) or 'none'}.{hint}")


def _scale(spec: Model, options: Mapping[str, Option]) -> int:
    value = options.get("scale", spec.scale)
    scale = whole_or_none(value)
    if scale is None:
        raise OptionError(f"scale={value!r}: expected int, such as {spec.scale!r}; got {type(value).__name__}.")
    scales = scales_of(spec)
    if scale not in scales:
        raise OptionError(f"scale={scale!r}: expected a whole number from {min(scales)} to {max(scales)}.")
    return scale


def kernel_ref(
    spec: Model,
    weights: str | Path | None = None,
    device: str = "auto",
    constraint: str = "auto",
    precision: str = "float32",
    wanted: Sequence[str] = (),
    *,
    download: bool = True,
) -> kernels.KernelRef:
    """Find the weights of a model and choose its constraint; arguments as in `upscale`.

    wanted: of a cascade, the bands that it returns. download: False for a reference that only describes: weights that
    would be downloaded are named by their record, and no file is there. Raises OptionError, ModelError, WeightsError.
    """
    if not isinstance(weights, str | os.PathLike | None):
        raise OptionError(f"weights={weights!r}: expected a file, a folder, or the name of a model.")
    if isinstance(spec, Cascade):
        if registry.is_name(weights):
            spec, weights = _with_parts_of(str(weights), spec), None
        if weights is not None and check_path("weights", weights, WeightsNotFoundError).is_file():
            raise OptionError(
                f"{spec.name!r} has {len(spec.files)} files of weights, and weights={str(weights)!r} is one. Pass the "
                f"folder that holds them: {', '.join(file.path for file in spec.files)}."
            )
        parts = tuple(
            (role, kernel_ref(part, weights, device, constraint, precision, download=download))
            for role, part in spec.parts
        )
        return kernels.KernelRef(spec, device=device, precision=precision, parts=parts, bands=tuple(wanted))
    low_pass = kernels.constraint_for(spec, constraint)
    if isinstance(spec, Diffusion) and constraint in ("lowpass", "none"):
        spec = replace(spec, correction="none")
    if not isinstance(spec, Network):
        if weights is not None:
            raise OptionError(f"{spec.name!r} has no weights: leave weights={str(weights)!r} out.")
        return kernels.KernelRef(spec, device=device, low_pass=low_pass)
    if spec.weights is None and weights is None:  # a network of the user's own without any tensors
        return kernels.KernelRef(spec, device=device, precision=precision, low_pass=low_pass)
    known = spec.weights
    if (
        not download
        and weights is None
        and known is not None
        and known.home in ("hub", "authors")
        and fetch.find_file(known) is None
    ):
        text = f"{'to be downloaded' if known.home == 'hub' else 'not on this machine'}: {known.path}"
        return kernels.KernelRef(spec, text, known.sha256, device, precision, low_pass)
    located = fetch.locate(spec, weights)
    if weights is not None and Path(weights).expanduser().is_file():
        from .latent import load_latent
        from .predictors import load_network

        # Raises here, and not in a task, for a file that does not fit.
        if isinstance(spec, Diffusion):
            load_latent(spec, located.path, located.sha256)
        else:
            load_network(spec, located.path, located.sha256)
    return kernels.KernelRef(spec, str(located.path), located.sha256, device, precision, low_pass)


def _with_parts_of(name: str, spec: Cascade) -> Cascade:
    """Return a cascade with the weights that another one has for the same roles."""
    same = registry.current.families.get(name, (name,)), registry.current.fusing.get(name, ())
    known = [dict(registry.get(full).parts) for names in same for full in names]
    roles = [role for role, _ in spec.parts]
    parts = next((parts for parts in known if set(roles) <= set(parts)), None)
    if parts is None:
        raise OptionError(
            f"weights={name!r} has no weights for the parts {roles} of {spec.name!r}. Leave weights= out, or pass a "
            f"folder that holds them: {', '.join(file.path for file in spec.files)}."
        )
    return replace(spec, parts=tuple((role, replace(part, weights=parts[role].weights)) for role, part in spec.parts))
