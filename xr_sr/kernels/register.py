"""A network of the user's own as a model of the accessor: one record, a file of weights, and a check of what it says.

The record is kept for this process; graphs carry it to workers, which know no catalogue but the package's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeAlias

import numpy as np

from ..arguments import check_flag, check_path, count_of, items_of
from ..bands import find_band
from ..catalog import fetch, registry
from ..errors import ModelError, WeightsNotFoundError
from ..spec import LowPass, ModelSpec, Normalisation, RadialSigmoid, ReceptiveField, WeightsFile
from . import constraint_reach

if TYPE_CHECKING:
    from torch.nn import Module

    from .predictors import NetworkPredictor
    from .probe import Probe

    Model: TypeAlias = ModelSpec | Module | str
    """A record, a torch module, or the name of a model of the catalogue."""

__all__ = ["ModelCheck", "measure_halo", "register_model"]


@dataclass(frozen=True, repr=False)
class ModelCheck:
    """What was registered, and what was found.

    spec: the record as it stands in the catalogue, with the hash of its weights. field: the receptive field of the
    network, measured; None for a windowed model, or where nothing was checked. halo: the smallest that would do, its
    constraint included; None likewise.
    """

    spec: ModelSpec
    field: ReceptiveField | None = None
    halo: int | None = None

    def __str__(self) -> str:
        spec = self.spec
        reads, gives = " ".join(spec.bands), " ".join(spec.bands_out or spec.bands)
        said = f"{spec.name}: {reads} to {gives if gives != reads else 'the same'}, {spec.scale} times finer; "
        if spec.window:
            said += f"windows of {spec.window} input pixels, {spec.overlap} shared with the next"
        elif self.field is None or self.halo is None:
            said += f"halo={spec.halo}, not checked"
        else:
            said += f"halo={spec.halo}, measured: {self.field}"
            if self.halo < spec.halo:
                said += f"; halo={self.halo} would do, and read less"
        return f"{said}; weights {spec.weights.sha256[:12] if spec.weights else 'none'}"

    __repr__ = __str__


def register_model(
    spec: ModelSpec, *, weights: str | Path | None = None, check: bool = True, replace: bool = False
) -> ModelCheck:
    """Make a torch module and a file of weights a model of `upscale`, `list_models` and all that stands on them.

    spec: the record. `architecture` is "module:attribute", importable here and on the workers, called with `config`;
        it maps (n, band, y, x) to (n, band_out, y * scale, x * scale), of reflectance after `normalisation`, the bands
        in the order of `bands` and `bands_out` (any alias; `bands_out` is among `bands`, () are the same). It has a
        `halo`, or a `window` with an `overlap` of at most half of it; see `ModelSpec`.
    weights: a file, safetensors or what torch's weights-only loader reads; its hash is taken now, and verified at
        every use. None: the record names its weights, or the module has none.
    check: build it, load its weights, run it, and measure its receptive field (seconds; on the processor).
    replace: put it in the place of a model of yours of the same name; an equal record may be registered again anyway.

    Returns the record as registered, and what was measured; printed it says whether a smaller halo would do.
    Raises ModelError for a record that contradicts itself or the network: a halo that is too small (measured, written,
    needed), a network that must be shown windows, another shape, another result at another place, randomness, or
    constrained=True of one that does not keep the means of bicubic interpolation.
    WeightsError for a file that is not there or holds another network. Nothing is registered then. For this process:
    call it where graphs are built, in a notebook or a script.
    """
    check_flag("check", check)
    check_flag("replace", replace)
    spec = _settled(spec)
    if weights is not None:
        spec = _with_weights(spec, check_path("weights", weights, WeightsNotFoundError))
    report = _check(spec) if check else ModelCheck(spec)
    if spec.name not in registry.names() or registry.get(spec.name) != spec:
        registry.register(spec, own=True, replace=replace)
    return report


def measure_halo(model: Model, *, weights: str | Path | None = None, bands: int | None = None) -> ReceptiveField:
    """Measure on how much of the input an output pixel of a network depends, in input pixels on each side.

    model: a torch module in the state that it is in, a record, or the name of a model. weights: a file for a record or
        a name; None takes what it names. bands: that a module reads; None takes those of its first convolution.

    Returns the field of the network alone: a constraint (`low_pass`) reads more, which `register_model` counts in. It
    is measured on random reflectance of several levels, from dark water to snow, in double precision, by gradients and
    by changes. A path whose weights are zero is not seen: measure a trained network, or one with random weights.
    Raises ModelError, which says why, for a network without such a field: one that depends on all it is shown, or that
    is another function at another place.
    """
    from torch.nn import Module

    from .probe import Probe

    if isinstance(model, Module):
        if bands is not None and (type(bands) is not int or bands < 1):
            raise ModelError(f"bands={bands!r}: wanted how many bands the module reads, such as 4.")
        count = bands or _bands_of(model)
        return Probe(model, f"the {type(model).__name__}", bands=count).field()
    spec = registry.get(model) if isinstance(model, str) else _settled(model)
    if not spec.architecture:
        raise ModelError(
            f"{spec.name!r} is interpolation, and reads {spec.halo} pixels; there is no network to measure."
        )
    if spec.window:
        raise ModelError(f"{spec.name!r} works on windows of {spec.window} pixels, and needs no halo.")
    return _probe(spec, _predictor(spec, weights)).field()


def _check(spec: ModelSpec) -> ModelCheck:
    """Build and run what a record describes, and compare. Raises ModelError or WeightsError."""
    from .predictors import reach_of
    from .probe import check_constrained

    predictor = _predictor(spec)
    probe = _probe(spec, predictor)
    if (coarse := getattr(predictor.network, "reads_coarse", len(spec.coarse))) != len(spec.coarse):
        raise ModelError(
            f"{spec.name!r}: its network takes the last {coarse} of its bands for those of pixels twice as wide, "
            f"interpolated; its record names coarse={list(spec.coarse)}. Write coarse={spec.bands[-coarse:]}."
        )
    if spec.fine_alone:
        _check_fine_alone(spec, predictor)
    if spec.window:
        if probe.consumed:
            raise ModelError(
                f"{spec.name!r} has window={spec.window}, and its network consumes {probe.consumed} pixels of it on "
                "each side; wanted is one that pads, and gives the whole window."
            )
        probe.check_window(spec.window)
        if spec.constrained:
            check_constrained(spec, predictor)
        return ModelCheck(spec)
    field = probe.field()
    blur = math.ceil(spec.low_pass.radius / spec.scale) if spec.low_pass else 0
    least = constraint_reach(spec.low_pass, spec.scale) if spec.low_pass else 0
    shown = reach_of(spec, probe.network)
    said = next((name for name in ("consumed", "receptive_radius") if hasattr(probe.network, name)), "")
    if said and field.halo > shown:
        raise ModelError(
            f"{spec.name!r} depends on input pixels up to {field.halo} away, measured ({field}); its attribute "
            f"`{said}` says {shown}. Correct the attribute, or leave it out."
        )
    needed = max((shown if said else field.halo) + blur, least)
    if spec.halo < needed:
        parts = f" ({field.halo} of the network, {needed - field.halo} of its low_pass)" if spec.low_pass else ""
        raise ModelError(
            f"{spec.name!r} depends on input pixels up to {field.halo} away, measured ({field}); its record says "
            f"halo={spec.halo}, so results would depend on how a scene is cut. Write halo={needed}{parts}."
        )
    if spec.constrained:
        check_constrained(spec, predictor)
    return ModelCheck(spec, field, needed)


def _check_fine_alone(spec: ModelSpec, predictor: NetworkPredictor) -> None:
    """Raise ModelError where the fine bands are another result, or none, if the coarse ones are not shown."""
    import torch

    fine = [band for band in spec.bands if band not in spec.coarse]
    given = [band for band in spec.bands_out or spec.bands if band in fine]
    side = 2 * spec.halo + 8
    image = torch.rand(1, len(spec.bands), side, side, generator=torch.Generator().manual_seed(0))
    image = image.contiguous(memory_format=torch.channels_last)
    alone = _predictor(registry.narrowed(spec, given)).network
    said = f"{spec.name!r} says fine_alone, and where {given} alone are wanted"
    with torch.inference_mode():
        whole = predictor.network(image)[:, : len(given)]
        try:
            found = alone(image[:, : len(fine)].contiguous(memory_format=torch.channels_last))
        except (RuntimeError, IndexError) as error:
            raise ModelError(f"{said} its network cannot do without the coarse bands: {error}") from error
    if found.shape != whole.shape or not torch.allclose(found, whole, rtol=0, atol=1e-5):
        raise ModelError(f"{said} the result is another. Leave fine_alone out: coarse bands are then always read.")


def _predictor(spec: ModelSpec, weights: str | Path | None = None) -> NetworkPredictor:
    from .predictors import NetworkPredictor, load_network

    located = fetch.locate(spec, weights) if spec.weights or weights else None
    network = load_network(spec, located.path if located else None, located.sha256 if located else "")
    return NetworkPredictor(spec, network, device="cpu", precision="float32")


def _probe(spec: ModelSpec, predictor: NetworkPredictor) -> Probe:
    from .probe import Probe

    return Probe(
        predictor.network,
        repr(spec.name),
        bands=len(spec.bands),
        bands_out=len(spec.bands_out or spec.bands),
        scale=spec.scale,
        shift=predictor.shift,
        width=predictor.scale,
    )


def _bands_of(network: Module) -> int:
    """Return the channels that the first convolution reads, or the first weight of four dimensions."""
    for layer in network.modules():
        count = getattr(layer, "in_channels", None)  # those of a transposed or depthwise one stand elsewhere in weights
        if type(count) is int:
            return count
    found = next((weight for weight in network.parameters() if weight.ndim == 4), None)
    if found is None:
        raise ModelError(f"how many bands does the {type(network).__name__} read? Say it: measure_halo(..., bands=4).")
    return int(found.shape[1])


def _with_weights(spec: ModelSpec, path: Path) -> ModelSpec:
    if not path.is_file():
        raise WeightsNotFoundError(f"weights={str(path)!r} of {spec.name!r} is no file; name the file itself.")
    path = path.resolve()
    return replace(spec, weights=WeightsFile(str(path), fetch.sha256_of(path), path.stat().st_size, home="user"))


def _settled(spec: ModelSpec) -> ModelSpec:
    """Return a record with canonical names of bands, and tuples where lists were written.

    Raises ModelError for what contradicts itself, as far as it shows without building anything.
    """
    if not isinstance(spec, ModelSpec):
        raise ModelError(f"wanted a record, xr_sr.ModelSpec(name=..., architecture=..., bands=...); not {type(spec)}.")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", str(spec.name)):
        raise ModelError(f"name={spec.name!r}: wanted letters, digits, '.', '-' and '_', such as 'mine-x2'.")
    if not re.fullmatch(r"[\w.]+:\w+", str(spec.architecture)):
        raise ModelError(
            f"{spec.name!r}: architecture={spec.architecture!r}: wanted 'module:attribute', such as 'my_nets:Small'."
        )
    _check_kinds(spec)
    bands = _canonical(spec, "bands", spec.bands)
    bands_out = _canonical(spec, "bands_out", spec.bands_out)
    coarse = _canonical(spec, "coarse", spec.coarse)
    if not bands:
        raise ModelError(f"{spec.name!r}: bands=() names no band; wanted those that it reads, such as ('B04', 'B08').")
    if extra := [band for band in bands_out if band not in bands]:
        raise ModelError(
            f"{spec.name!r}: bands_out= names {extra}, which bands= does not: an output takes name, place and nodata "
            "of a band that is read."
        )
    if spec.options:
        raise ModelError(f"{spec.name!r}: options= are for the package's own models; arguments of a class are config=.")
    if spec.fuses:
        raise ModelError(
            f"{spec.name!r}: fuses=True is of the package's own formulas; a network has scale=1 and coarse=."
        )
    spec = replace(spec, bands=bands, bands_out=bands_out, coarse=coarse)
    _check_numbers(spec)
    norm = spec.normalisation
    norm = Normalisation(*(_tuple(value) for value in (norm.shift, norm.scale)))
    for what, value in (("shift", norm.shift), ("scale", norm.scale)):
        if isinstance(value, tuple) and len(value) != len(bands):
            raise ModelError(
                f"{spec.name!r}: normalisation has {len(value)} of {what} for {count_of(len(bands), 'band')}, {bands}."
            )
    if 0 in (norm.scale if isinstance(norm.scale, tuple) else (norm.scale,)):
        raise ModelError(f"{spec.name!r}: normalisation divides by scale={norm.scale}; wanted numbers other than 0.")
    settled = replace(
        spec,
        normalisation=norm,
        config=tuple(sorted((str(key), value) for key, value in dict(spec.config).items())),
    )
    try:
        hash(settled)
    except TypeError as error:
        raise ModelError(
            f"{spec.name!r}: config={dict(spec.config)}: wanted numbers, texts, booleans or tuples of them ({error})."
        ) from error
    return settled


def _canonical(spec: ModelSpec, field: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ModelError(f"{spec.name!r}: {field}={names!r}: wanted a tuple of names, ({names!r},).")
    names = tuple(names)
    if odd := [name for name in names if not isinstance(name, str)]:
        raise ModelError(f"{spec.name!r}: {field}={names} holds {odd}, which are no names; wanted are such as 'B04'.")
    found = [(name, find_band(name)) for name in names]
    bands = tuple(band.name if band else name for name, band in found)
    if len(set(bands)) < len(bands):
        raise ModelError(f"{spec.name!r}: {field}={tuple(names)} names a band twice.")
    return bands


def _check_kinds(spec: ModelSpec) -> None:
    """Raise ModelError for what is not of the kind that a field has."""
    said = repr(spec.name)
    for what in ("bands", "bands_out", "coarse"):
        names = getattr(spec, what)
        if not isinstance(names, str) and items_of(names) is None:
            raise ModelError(f"{said}: {what}={names!r}: wanted a tuple of names, such as ('B04', 'B08').")
    for what in ("non_negative", "constrained", "selects", "fine_alone", "fuses"):
        check_flag(f"{said}: {what}", getattr(spec, what))
    try:
        dict(spec.config)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{said}: config={spec.config!r}: wanted pairs of a name and a value, such as (('width', 16),)."
        ) from error
    if not isinstance(spec.low_pass, LowPass | RadialSigmoid | None):
        raise ModelError(f"{said}: low_pass={spec.low_pass!r}: wanted xr_sr.LowPass(sigma, radius), or None.")
    numbers = vars(spec.low_pass) if spec.low_pass else {}
    if odd := [name for name, value in numbers.items() if not _is_number(value)]:
        raise ModelError(f"{said}: low_pass={spec.low_pass!r}: wanted numbers for {odd}.")
    norm = spec.normalisation
    values = [value for part in vars(norm).values() for value in _each(part)] if isinstance(norm, Normalisation) else []
    if not values or not all(isinstance(value, SupportsFloat) and math.isfinite(value) for value in values):
        raise ModelError(
            f"{said}: normalisation={norm!r}: wanted xr_sr.Normalisation(shift=0.1, scale=0.2), a number or a tuple of "
            "them each."
        )
    gsd = spec.gsd_m
    if gsd is not None and not (isinstance(gsd, int | float) and 0 < gsd < math.inf):
        raise ModelError(f"{said}: gsd_m={gsd!r}: wanted metres above 0, such as 10, or None for any size.")


def _check_numbers(spec: ModelSpec) -> None:
    """Raise ModelError for sizes that are none, or that do not go together."""
    for what, least in (("scale", 1), ("halo", 0), ("window", 0), ("overlap", 0)):
        value = getattr(spec, what)
        if type(value) is not int or value < least:
            raise ModelError(f"{spec.name!r}: {what}={value!r}: wanted a whole number from {least} on.")
    if spec.scale > max(registry.SCALES):
        raise ModelError(f"{spec.name!r}: scale={spec.scale}: wanted at most {max(registry.SCALES)}.")
    if isinstance(low := spec.low_pass, LowPass) and not (
        low.sigma > 0 and type(low.radius) is int and low.radius >= 0
    ):
        raise ModelError(f"{spec.name!r}: low_pass={low}: wanted a sigma above 0, and a whole radius from 0 on.")
    if isinstance(low, RadialSigmoid) and not (
        low.cutoff > 0 and low.sharpness > 0 and all(type(n) is int and n >= 1 for n in (low.radius, low.rank))
    ):
        raise ModelError(
            f"{spec.name!r}: low_pass={low!r}: wanted a cutoff and a sharpness above 0, and a whole radius and rank "
            "from 1 on."
        )
    if spec.selects and list(spec.bands_out) != [band for band in spec.bands if band in spec.bands_out]:
        raise ModelError(
            f"{spec.name!r} selects, and has bands_out={list(spec.bands_out)}: wanted them in the order of "
            f"bands={list(spec.bands)}."
        )
    if spec.fine_alone and not (spec.selects and spec.coarse):
        raise ModelError(f"{spec.name!r} says fine_alone: wanted is a record with coarse=(...) and selects=True.")
    if spec.window and spec.halo:
        raise ModelError(
            f"{spec.name!r} has halo={spec.halo} and window={spec.window}; wanted one: a halo where an output pixel "
            "depends on pixels nearby, a window where it depends on all that the network is shown."
        )
    if spec.parts:
        raise ModelError(
            f"{spec.name!r} has parts={[role for role, _ in spec.parts]}: wanted one network. Join them in one."
        )
    if spec.coarse and (spec.window or spec.bands[-len(spec.coarse) :] != spec.coarse):
        raise ModelError(
            f"{spec.name!r} has coarse={list(spec.coarse)}: wanted the last of bands={list(spec.bands)}, and a halo "
            "instead of a window."
        )
    if spec.overlap > spec.window // 2:
        raise ModelError(
            f"{spec.name!r}: overlap={spec.overlap} of window={spec.window}: wanted at most half of it, such as "
            f"{max(spec.window, 64) // 4}; without a window there is no overlap."
        )


def _each(value: Any) -> list[Any]:
    found: list[Any] = np.ravel(value).tolist()
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _tuple(value: Any) -> float | tuple[float, ...]:
    return tuple(map(float, value)) if np.ndim(value) else float(value)
