"""Look models up by name, and choose the variant of a family that computes the requested bands.

Names and bands only: files of weights are in `fetch`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ..bands import find_band
from ..errors import BandWarning, MissingBandError, ModelError, UnknownModelError, warn_caller
from . import records
from .models import Cascade, Model, Network, Pansharpening


@dataclass(frozen=True)
class Registry:
    """Models by full name, and families of them: a value, so that a change returns another registry.

    models: in reading order. families, fusing: by name of a family, the full names of its variants for `upscale` and
    for `fuse`, in the order in which they are tried. own: names of the user's models.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fusing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("models", "families", "fusing"):  # read-only copies: what is shared is never changed
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for family, variants in (*self.families.items(), *self.fusing.items()):
            if unknown := [name for name in variants if name not in self.models]:
                raise ModelError(f"The family {family!r} has variants that are no models: {unknown}.")

    def add(self, model: Model, *, own: bool = False, replace: bool = False) -> Registry:
        """Return a registry with one model more. own: it is the user's, whose record `replace` may exchange.

        Raises ModelError if the name is taken by a model or a family.
        """
        mine = model.name in self.own
        if model.name in self.families or (model.name in self.models and not (mine and replace)):
            hint = "to replace it, pass replace=True" if mine else "give yours another name"
            raise ModelError(f"A model named {model.name!r} already exists; {hint}.")
        names = self.own | {model.name} if own else self.own
        return Registry({**self.models, model.name: model}, self.families, self.fusing, names)

    def without(self, name: str) -> Registry:
        """Return a registry without one of the user's models."""
        models = {each: model for each, model in self.models.items() if each != name or each not in self.own}
        return Registry(models, self.families, self.fusing, self.own - {name})

    def variants(self, name: str, *, fusing: bool = False) -> tuple[Model, ...]:
        """Return the models that a full name or the name of a family stands for, for `upscale` or for `fuse`.

        Raises UnknownModelError, which lists similar names; ModelError if `fuse` cannot use the model.
        """
        model = self.models.get(name)
        if fusing and name in self.fusing:
            return tuple(self.models[full] for full in self.fusing[name])
        if fusing and (name in self.families or (model and not (model.coarse or isinstance(model, Pansharpening)))):
            raise ModelError(
                f"{name!r} does not sharpen coarse bands to the grid of fine ones. Use one of {list(self.fusing)}."
            )
        if fusing and model and model.scale != 1:
            raise ModelError(
                f"{name!r} upscales by {model.scale}, beyond the grid of the fine bands: cube.sr.upscale({name!r}). "
                f"fuse uses one of {list(self.fusing)}."
            )
        if name in self.families:
            return tuple(self.models[full] for full in self.families[name])
        if model is None:
            known = [*self.families, *self.models]
            near = difflib.get_close_matches(str(name).lower(), known, n=3)
            hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"There are {known}."
            raise UnknownModelError(f"There is no model {name!r}. {hint} See xr_sr.list_models().")
        return (model,)


current = Registry({model.name: model for model in records.MODELS}, records.FAMILIES, records.FUSING)
"""The registry of this process."""

GUIDED = "glp-hpm"
"""The model for coarse bands that a network does not return; see `fallback`."""

SHARPENED = tuple(
    model.name for model in records.MODELS if model.guided or (isinstance(model, Cascade) and model.scale == 1)
)
"""Models for `fuse` that add detail to the coarse bands."""


def register(model: Model, *, own: bool = False, replace: bool = False) -> None:
    """Add a model to the registry of this process; see `Registry.add`."""
    global current
    current = current.add(model, own=own, replace=replace)


def forget(name: str) -> None:
    """Remove one of the user's models from the registry of this process; see `Registry.without`."""
    global current
    current = current.without(name)


def names() -> tuple[str, ...]:
    """Return the full names of all models, in reading order."""
    return tuple(current.models)


def is_name(name: object) -> bool:
    """Return whether a name is that of a model or a family."""
    return isinstance(name, str) and (name in current.families or name in current.models)


def get(name: str) -> Model:
    """Return the model of a full name; the name of a family stands for its first variant.

    Raises UnknownModelError, which lists similar names.
    """
    return current.variants(name)[0]


def name_now(name: str, sha256: str) -> str:
    """Return the present name of the model that a result names, whose weights had this hash.

    Networks of the package were renamed when another edition took their name; see `records.FORMER_NAMES`.
    """

    def has(full: str) -> bool:
        return full in current.models and sha256 in {file.sha256 for file in current.models[full].files}

    renamed = (now for now, former in records.FORMER_NAMES.items() if former == name and has(now))
    return name if has(name) else next(renamed, name)


def is_own(name: str) -> bool:
    """Return whether a full name is that of a model that the user registered."""
    return name in current.own


def variants_of(name: str, *, fusing: bool = False) -> tuple[Model, ...]:
    """Return the models that a name stands for; see `Registry.variants`."""
    return current.variants(name, fusing=fusing)


def without_weights(model: str, *, fusing: bool) -> bool:
    """Return whether a model sharpens bands by a formula: guided, or by interpolation. Raises as `get`."""
    return fusing and all(isinstance(each, Pansharpening) for each in current.variants(model, fusing=True))


def fusing(model: str) -> Model:
    """Return the model that `fuse` uses for a name. Raises as `get`."""
    return current.variants(model, fusing=True)[0]


def coarse_bands(model: str, *, fusing: bool = False) -> tuple[str, ...]:
    """Return the bands that a model, or any variant of a family, reads with pixels twice as wide. Raises as `get`."""
    return tuple(dict.fromkeys(band for each in current.variants(model, fusing=fusing) for band in each.coarse))


def choose(
    model: str,
    available: Sequence[str],
    bands: Sequence[str] | None = None,
    *,
    fusing: bool = False,
    elsewhere: Sequence[str] = (),
    fallback: Sequence[str] = (),
) -> tuple[Model, tuple[str, ...]]:
    """Choose the variant of a model for a cube, and the bands of the output.

    model: full name or family. available: canonical names of the cube's bands, in its order.
    bands: of the output, by any alias, in that order; None is every band of the cube that the model can compute, in
    the cube's order, with a BandWarning that names those that are left out.
    fusing: the model sharpens coarse bands to the grid of the fine ones, and does no more. elsewhere: bands of other
    nodes of a tree, which are not read: a model of certain bands leaves them out with the others.
    fallback: those of `available` that are computed without the model, which neither reads nor returns them.
    The record is reduced to what the requested bands need: without coarse ones these are not read.
    Raises UnknownModelError; ModelError if the model does not return a requested band; MissingBandError if the cube
    lacks one that the model reads. Whether it has the bands requested of a model for any band is left to `cube.pick`,
    which also knows the other nodes of a tree.
    """
    variants = current.variants(model, fusing=fusing)
    if isinstance(variants[0], Pansharpening) and not fusing:
        raise ModelError(
            f"{model!r} sharpens coarse bands to the grid of the fine ones, and does not upscale these. Use "
            f"cube.sr.fuse({model!r})."
        )
    usable = [band for band in available if band not in fallback]
    if bands is None:
        needed = [{*each.bands} - {*each.coarse} | coarse_for(each, usable) for each in variants]
        whole = [each for each, inputs in zip(variants, needed, strict=True) if inputs <= {*usable}] or variants
        possible = {band for each in whole for band in given_by(each, usable)}
        wanted = tuple(band for band in usable if band in possible)
        if not wanted:
            raise _lacking(variants[0], available, variants[0].bands, fallback=fallback)
        beside = elsewhere if any(each.bands for each in variants) else ()
        if dropped := [band for band in (*usable, *beside) if band not in possible]:
            shown = [band for band in available if band in wanted or band in fallback]
            warn_caller(
                f"{model!r} computes {in_order({*possible, *fallback})}; {dropped} of the cube are left out. "
                f"To silence this, name the bands that you want: bands={shown}.",
                BandWarning,
            )
    else:
        wanted = tuple(canonical(band) for band in bands)
        twice = [band for band in dict.fromkeys(wanted) if wanted.count(band) > 1]
        if not wanted or twice:
            same = [name for name, band in zip(bands, wanted, strict=True) if band in twice[:1]]
            found = f" {' and '.join(map(repr, same))} are both {twice[0]}." if twice else ""
            raise ModelError(f"bands={list(bands)}: expected one band or more, each once.{found}")

    chosen = next((each for each in variants if set(wanted) <= set(given_by(each, wanted))), None)
    if chosen is None:
        most = given_by(variants[-1], wanted)
        excess = [band for band in wanted if band not in most]
        raise ModelError(
            f"{model!r} computes {in_order(most)}; bands= has {excess} too. {_other_models(wanted, excess, fusing)}"
        )
    chosen = narrowed(chosen, wanted)
    if missing := set(chosen.bands) - set(usable):
        lesser = [band for band in usable if band in given_by(variants[0], ())]
        if chosen.name == variants[0].name or set(variants[0].bands) - set(usable):
            lesser = []
        raise _lacking(chosen, available, missing, lesser, fallback)
    return chosen, wanted


def narrowed(model: Model, wanted: Iterable[str]) -> Model:
    """Return a record without what only other bands need: any of them, or the coarse ones all together."""
    wanted = set(wanted)
    if isinstance(model, Network) and model.selects:
        model = replace(model, bands_out=tuple(band for band in model.bands_out or model.bands if band in wanted))
    if isinstance(model, Network) and model.coarse_alone and set(model.coarse) & wanted:
        coarse = tuple(band for band in model.coarse if band in wanted)
        config = tuple((key, coarse if key == "coarse" else value) for key, value in model.config)
        bands = tuple(band for band in model.bands if band not in model.coarse or band in coarse)
        return replace(model, bands=bands, coarse=coarse, config=config)
    if not (model.parts or model.fine_alone) or set(model.coarse) & wanted:
        return model
    fine = tuple(band for band in model.bands if band not in model.coarse)
    if model.scale == 1:
        raise ModelError(
            f"{model.name!r} sharpens {in_order(model.coarse)} to the grid of {in_order(fine)}; bands= has only "
            f"{in_order(wanted)}, which are there already."
        )
    if isinstance(model, Cascade):
        parts = tuple((role, part) for role, part in model.parts if role == "fine")
        return replace(model, bands=fine, coarse=(), parts=parts)
    assert isinstance(model, Network)
    return replace(model, bands=fine, coarse=(), fine_alone=False, coarse_alone=False)


def coarse_for(model: Model, wanted: Iterable[str]) -> set[str]:
    """Return the coarse bands that a model reads for these bands of the output."""
    alone = isinstance(model, Network) and model.coarse_alone
    return set(model.coarse) & set(wanted) if alone else set(model.coarse)


def given_by(model: Model, asked: Iterable[str]) -> tuple[str, ...]:
    """Return the bands that a model returns; one that processes each band by itself returns those asked for."""
    return model.bands_out or model.bands or tuple(asked)


def canonical(name: str) -> str:
    """Return a band's canonical name; any other name is returned as it is."""
    band = find_band(name)
    return band.name if band else str(name)


def in_order(bands: Iterable[str]) -> list[str]:
    """Sort bands as the sensor does: B8A after B08."""
    return sorted(bands, key=lambda band: band.replace("B8A", "B08A"))


def unknown_bands(bands: Iterable[str]) -> str:
    """Return a sentence on names that are neither bands of Sentinel-2 nor returned by a model; "" for none."""
    given = {band for model in current.models.values() for band in given_by(model, ())}
    unknown = [band for band in bands if find_band(band) is None and band not in given]
    return f"bands= has unknown names: {unknown}; expected such as 'B04', 'red' or 'B02_10m'." if unknown else ""


def _lacking(
    model: Model,
    available: Sequence[str],
    missing: Iterable[str],
    instead: Sequence[str] = (),
    fallback: Sequence[str] = (),
) -> MissingBandError:
    have = f"the cube has {list(available)}" if available else "the cube has no known band"
    missing = list(missing)
    guided = set(missing) <= set(model.coarse) and set(model.coarse) & set(available)
    return MissingBandError(
        f"{model.name!r} reads {list(model.bands)}; {have}, so {in_order(missing)} are missing.",
        f"Load them{', or request the bands that these suffice for: bands=' + str(list(instead)) if instead else ''}, "
        f"or use a model that processes each band by itself, such as model={'kriging' if available else 'bicubic'!r}"
        f"{f'; cube.sr.fuse({GUIDED!r}) sharpens those that are there to the finer grid' if guided else ''}"
        f"{f'; bands={list(fallback)} need none of them, and cube.sr.fuse() returns all at 10 m' if fallback else ''}.",
    )


def _other_models(wanted: Sequence[str], excess: Sequence[str], fusing: bool) -> str:
    """Return advice on bands that a model does not return."""
    if unknown := unknown_bands(excess):
        return unknown
    members = {full for family in current.families.values() for full in family}
    names = current.fusing if fusing else [*current.families, *(one for one in current.models if one not in members)]
    others = [
        name
        for name in names
        if any(
            set(wanted) <= set(given_by(each, wanted))
            and (fusing or (each.scale > 1 and not each.dates and not isinstance(each, Pansharpening)))
            for each in current.variants(name, fusing=fusing)
        )
    ]
    return f"Leave them out, or use another model: {others}."
