"""Which bands of a cube are computed by guided fusion, because a network does not give them: as data, without a cube.

They are the bands of 60 m, which no network gives, and those of 20 m for which inputs of the network are missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from .registry import canonical, given_by, in_order, variants_of

__all__ = ["beyond", "incomplete"]

BEYOND = ("B01", "B09")
"""Bands of 60 m that no network gives; B10 shows no ground."""


def beyond(model: str, bands: Sequence[str] | None, *, fusing: bool) -> tuple[str, ...]:
    """Return the bands of 60 m among those asked for, by any alias, that a model does not give.

    Raises UnknownModelError, or ModelError where `fusing` is asked of a model that does not fuse.
    """
    wanted = [canonical(band) for band in bands or ()]
    given = {band for spec in variants_of(model, fusing=fusing) for band in given_by(spec, wanted)}
    return tuple(band for band in wanted if band in BEYOND and band not in given)


def incomplete(
    model: str, bands: Sequence[str] | None, fine: Sequence[str], wide: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the wanted bands of wider pixels that are there, but that a model cannot compute from what is there.

    fine, wide: canonical names of the bands on the finer grid, and on a grid of wider pixels. bands: by any alias; None
    means all that are there.
    Each band comes with the inputs of the model that are missing: none, where all are there, but not on one grid.
    Raises UnknownModelError.
    """
    there = dict.fromkeys((*fine, *wide))
    found: dict[str, tuple[str, ...]] = {}
    for band in there if bands is None else map(canonical, bands):
        specs = [spec for spec in variants_of(model) if band in spec.coarse and band in given_by(spec, ())]
        whole = [
            spec
            for spec in specs
            if set(spec.bands) - set(spec.coarse) <= set(fine)
            and (set(spec.coarse) <= set(fine) or set(spec.coarse) <= set(wide))
        ]
        if band in there and specs and not whole:
            found[band] = tuple(in_order(set(specs[0].bands) - set(there)))
    return found
