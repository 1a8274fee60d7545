"""Find the bands of a cube that are computed by guided fusion because a network does not return them.

They are the bands of 60 m, which no network returns, and those of 20 m if other inputs of the network are missing.
Names only, without a cube.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..bands import BANDS
from .registry import canonical, coarse_for, given_by, in_order, variants_of

BEYOND = tuple(band.name for band in BANDS if band.gsd_m == 60 and band.name != "B10")  # which does not show the ground


def beyond(model: str, bands: Sequence[str] | None, *, fusing: bool) -> tuple[str, ...]:
    """Return the bands of 60 m among the requested ones, by any alias, that a model does not return.

    Raises UnknownModelError, or ModelError with `fusing` for a model that `fuse` cannot use.
    """
    wanted = [canonical(band) for band in bands or ()]
    given = {band for each in variants_of(model, fusing=fusing) for band in given_by(each, wanted)}
    return tuple(band for band in wanted if band in BEYOND and band not in given)


def incomplete(
    model: str, bands: Sequence[str] | None, fine: Sequence[str], wide: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the requested coarse bands of a cube that a model cannot compute from the cube's other bands.

    fine, wide: canonical names of the bands on the finer grid, and on a coarser grid. bands: by any alias; None is all
    of these.
    Each band comes with the missing inputs of the model: none if all are there, but not on one grid.
    Raises UnknownModelError.
    """
    there = dict.fromkeys((*fine, *wide))
    found: dict[str, tuple[str, ...]] = {}
    wanted = [*there] if bands is None else [canonical(band) for band in bands]
    for band in wanted:
        variants = [each for each in variants_of(model) if band in each.coarse and band in given_by(each, ())]
        whole = [
            each
            for each in variants
            if set(each.bands) - set(each.coarse) <= set(fine)
            and (coarse_for(each, wanted) <= set(fine) or coarse_for(each, wanted) <= set(wide))
        ]
        if band in there and variants and not whole:
            found[band] = tuple(in_order(set(variants[0].bands) - set(there)))
    return found
