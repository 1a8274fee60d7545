"""All models by name, as data, and the rule that picks one. Knows no file's content and no network: see `fetch`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..bands import find_band
from ..errors import (
    BandWarning,
    MissingBandError,
    ModelError,
    UnknownModelError,
    warn_caller,
)
from ..spec import ModelSpec
from . import records

if TYPE_CHECKING:
    pass

__all__ = ["choose", "get", "is_own", "names", "register"]

SCALES = range(1, 17)
"""Those that interpolation can give."""

_models: dict[str, ModelSpec] = {}
_own: set[str] = set()


def register(spec: ModelSpec, *, own: bool = False, replace: bool = False) -> None:
    """Add a model under its full name. Raises ModelError if the name is taken, be it by a model or by a family.

    own: it is the user's, of which `replace` may put another record under the same name.
    """
    mine = spec.name in _own
    if spec.name in FAMILIES or (spec.name in _models and not (mine and replace)):
        hint = "to put this one in its place: replace=True" if mine else "give yours another name"
        raise ModelError(f"A model named {spec.name!r} is in the catalogue already; {hint}.")
    _models[spec.name] = spec
    if own:
        _own.add(spec.name)


FAMILIES: dict[str, tuple[str, ...]] = {
    "sen2sr": ("sen2sr.rgbn-x4", "sen2sr.ten-x4"),
    "sen2sr-lite": ("sen2sr-lite.rgbn-x4", "sen2sr-lite.main"),
}
"""Families with their variants, the one that reads least first: the first that gives all wanted bands is taken."""

FUSING: dict[str, tuple[str, ...]] = {
    "glp-hpm": ("glp-hpm",),
    "sen2sr-lite": ("sen2sr-lite.rswir-x2",),
    "bicubic": ("bicubic.same-grid",),
}
"""Families with the variants that bring coarse bands to the grid of the fine ones, and no further."""

SHARPENED = ("sen2sr-lite.rswir-x2", "glp-hpm")
"""Of these what adds detail to the coarse bands."""

GUIDED = "glp-hpm"
"""What computes bands of wider pixels where a network does not; see `fallback`."""

register(
    ModelSpec(
        name="nearest",
        summary="Each input pixel repeated: what the sensor saw, on a finer grid",
        options=(("scale", 4),),
        halo=0,
        gsd_m=None,
    )
)
register(
    ModelSpec(
        name="bilinear",
        summary="Linear interpolation between the four nearest pixels",
        options=(("scale", 4),),
        halo=1,
        gsd_m=None,
    )
)
register(
    ModelSpec(
        name="bicubic",
        summary="Cubic convolution over the sixteen nearest pixels: the baseline of every comparison",
        options=(("scale", 4),),
        halo=2,
        gsd_m=None,
    )
)
register(records.SEN2SR_RGBN)
register(records.SEN2SR_FAST)
register(records.SEN2SR_TEN)
register(records.SEN2SR_LITE_RGBN)
register(
    ModelSpec(
        name="glp-hpm",
        summary="Coarser bands to the grid of finer ones, for fuse: Laplacian pyramid matched to the MTF, modulated",
        scale=1,
        options=(("guide", "regression"), ("mtf", 0.0)),
        halo=18,
        gsd_m=None,
        citation="Photogrammetric Engineering and Remote Sensing 72 (2006), 591; doi:10.1109/TGRS.2014.2361734",
        fuses=True,
    )
)
register(
    ModelSpec(
        name="bicubic.same-grid",
        summary="Coarser bands to the grid of finer ones, for fuse: by cubic convolution, without a guide",
        scale=1,
        halo=6,
        gsd_m=None,
        fuses=True,
    )
)
register(records.SEN2SR_LITE_MAIN)
register(records.SEN2SR_LITE_RSWIR)


def names() -> tuple[str, ...]:
    """Return the full names of all models, in reading order."""
    return tuple(_models)


def get(name: str) -> ModelSpec:
    """Return the model of a full name; a family's name stands for its first variant.

    Raises UnknownModelError, which names the nearest ones.
    """
    return variants_of(name)[0]


def is_own(name: str) -> bool:
    """Return whether a full name is that of a model of the user's own."""
    return name in _own


def without_weights(model: str, *, fusing: bool) -> bool:
    """Return whether a model fuses bands by a formula: guided, or by interpolation. Raises as `get`."""
    return fusing and all(spec.fuses for spec in variants_of(model, fusing=True))


def fusing(model: str) -> ModelSpec:
    """Return the model that `fuse` takes for a name. Raises as `get`."""
    return variants_of(model, fusing=True)[0]


def coarse_bands(model: str, *, fusing: bool = False) -> tuple[str, ...]:
    """Return the bands that a model, or any variant of a family, reads on pixels twice as wide. Raises as `get`."""
    return tuple(dict.fromkeys(band for spec in variants_of(model, fusing=fusing) for band in spec.coarse))


def choose(
    model: str,
    available: Sequence[str],
    bands: Sequence[str] | None = None,
    *,
    fusing: bool = False,
    elsewhere: Sequence[str] = (),
    fallback: Sequence[str] = (),
) -> tuple[ModelSpec, tuple[str, ...]]:
    """Pick the variant of a model for a cube, and the bands that come out.

    model: full name or family. available: canonical names of the cube's bands, in its order.
    bands: what is wanted out, by any alias, in that order; None means every band of the cube that the model can give
    from what the cube has, in the cube's order, with a BandWarning that names those that are left out.
    fusing: the model brings coarse bands to the grid of the fine ones, and does no more. elsewhere: bands of other
    nodes of a tree, which are not read: a model of certain bands leaves them out with the others.
    fallback: those of `available` that are computed without the model, which neither reads nor gives them.
    The record is narrowed to what the wanted bands need: without coarse ones these are not read.
    Raises UnknownModelError; ModelError if the model cannot give a wanted band; MissingBandError if the cube lacks one
    that the model reads. Whether it has the bands wanted of a model that takes any band is left to `cube.pick`, which
    also knows the other nodes of a tree.
    """
    variants = variants_of(model, fusing=fusing)
    if variants[0].fuses and not fusing:
        raise ModelError(
            f"{model!r} brings bands of wider pixels to the grid of finer ones, no further: cube.sr.fuse({model!r})."
        )
    usable = [band for band in available if band not in fallback]
    if bands is None:
        whole = [spec for spec in variants if set(spec.bands) <= set(usable)] or variants
        givable = {band for spec in whole for band in given_by(spec, usable)}
        wanted = tuple(band for band in usable if band in givable)
        if not wanted:
            raise _lacking(variants[0], available, variants[0].bands, fallback=fallback)
        beside = elsewhere if any(spec.bands for spec in variants) else ()
        if dropped := [band for band in (*usable, *beside) if band not in givable]:
            shown = [band for band in available if band in wanted or band in fallback]
            warn_caller(
                f"{model!r} gives {in_order({*givable, *fallback})}; {dropped} of the cube are left out. "
                f"To silence this, name the bands that you want: bands={shown}.",
                BandWarning,
            )
    else:
        wanted = tuple(canonical(band) for band in bands)
        if not wanted or len(set(wanted)) < len(wanted):
            raise ModelError(f"bands={list(bands)}: wanted one band or more, each once.")

    spec = next((spec for spec in variants if set(wanted) <= set(given_by(spec, wanted))), None)
    if spec is None:
        most = given_by(variants[-1], wanted)
        excess = [band for band in wanted if band not in most]
        raise ModelError(
            f"{model!r} gives {in_order(most)}; bands= asks for {excess} too. {_way_out(wanted, excess, fusing)}"
        )
    spec = narrowed(spec, wanted)
    if missing := set(spec.bands) - set(usable):
        lesser = [band for band in usable if band in given_by(variants[0], ())]
        if spec.name == variants[0].name or set(variants[0].bands) - set(usable):
            lesser = []
        raise _lacking(spec, available, missing, lesser, fallback)
    return spec, wanted


def unknown_bands(bands: Iterable[str]) -> str:
    """Say which canonical names are neither of a band of Sentinel-2 nor of one that a model gives; "" for none."""
    given = {band for spec in _models.values() for band in given_by(spec, ())}
    unknown = [band for band in bands if find_band(band) is None and band not in given]
    said = f"{unknown} of bands= are names of no band that is known; wanted are such as 'B04', 'red' or 'B02_10m'."
    return said if unknown else ""


def narrowed(spec: ModelSpec, wanted: Iterable[str]) -> ModelSpec:
    """Leave out what bands need that are not wanted: any of them, or only the coarse ones all together."""
    wanted = set(wanted)
    if spec.selects:
        spec = replace(spec, bands_out=tuple(band for band in spec.bands_out or spec.bands if band in wanted))
    if not (spec.parts or spec.fine_alone) or set(spec.coarse) & wanted:
        return spec
    fine = tuple(band for band in spec.bands if band not in spec.coarse)
    if spec.scale == 1:
        raise ModelError(
            f"{spec.name!r} brings {in_order(spec.coarse)} to the grid of {in_order(fine)}; bands= asks for "
            f"{in_order(wanted)} alone, which are there already."
        )
    parts = tuple((role, part) for role, part in spec.parts if role == "fine")
    return replace(spec, bands=fine, coarse=(), parts=parts)


def variants_of(name: str, *, fusing: bool = False) -> tuple[ModelSpec, ...]:
    alone = name in FAMILIES or (name in _models and not (_models[name].coarse or _models[name].fuses))
    if fusing and alone and name not in FUSING:
        raise ModelError(f"{name!r} brings no bands to the grid of others. Use one of {list(FUSING)}.")
    if fusing and name in FUSING:
        return tuple(_models[full] for full in FUSING[name])
    if fusing and name in _models and _models[name].scale != 1:
        raise ModelError(
            f"{name!r} gives pixels {_models[name].scale} times finer, more than bringing bands to the grid of others "
            f"does: cube.sr.upscale({name!r}). fuse takes one of {list(FUSING)}."
        )
    if name in FAMILIES:
        return tuple(_models[full] for full in FAMILIES[name])
    if name not in _models:
        known = [*FAMILIES, *_models]
        near = difflib.get_close_matches(str(name).lower(), known, n=3)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"There are {known}."
        raise UnknownModelError(f"There is no model {name!r}. {hint} See xr_sr.list_models().")
    return (_models[name],)


def given_by(spec: ModelSpec, asked: Iterable[str]) -> tuple[str, ...]:
    """Return the bands that a model gives; one that does each band by itself gives what it is asked for."""
    return spec.bands_out or spec.bands or tuple(asked)


def canonical(name: str) -> str:
    """Return a band's canonical name; what is no band's name stays as it is."""
    band = find_band(name)
    return band.name if band else str(name)


def in_order(bands: Iterable[str]) -> list[str]:
    """Order bands as the sensor does: B8A after B08."""
    return sorted(bands, key=lambda band: band.replace("B8A", "B08A"))


def _lacking(
    spec: ModelSpec,
    available: Sequence[str],
    missing: Iterable[str],
    instead: Sequence[str] = (),
    fallback: Sequence[str] = (),
) -> MissingBandError:
    have = f"the cube has {list(available)}" if available else "the cube has no band that is known"
    missing = list(missing)
    guided = set(missing) <= set(spec.coarse) and set(spec.coarse) & set(available)
    return MissingBandError(
        f"{spec.name!r} reads {list(spec.bands)}; {have}, so {in_order(missing)} are missing.",
        f"Load them{', or name the bands that can be had with these: bands=' + str(list(instead)) if instead else ''}, "
        "or use a model that takes each band by itself, such as model='bicubic'"
        f"{f'; cube.sr.fuse({GUIDED!r}) brings to the finer grid those that are there' if guided else ''}"
        f"{f'; bands={list(fallback)} need none of them, and cube.sr.fuse() takes all at 10 m' if fallback else ''}.",
    )


def _way_out(wanted: Sequence[str], excess: Sequence[str], fusing: bool) -> str:
    """Say what to do where bands are wanted that a model does not give."""
    if unknown := unknown_bands(excess):
        return unknown
    members = {full for family in FAMILIES.values() for full in family}
    names = FUSING if fusing else [*FAMILIES, *(name for name in _models if name not in members)]
    others = [
        name
        for name in names
        if any(
            set(wanted) <= set(given_by(spec, wanted)) and (fusing or (spec.scale > 1 and not spec.fuses))
            for spec in variants_of(name, fusing=fusing)
        )
    ]
    return f"Leave them out, or use another model: {others}."
