"""DN 0 in one band beside valid pixels of others: counted block by block, judged for a whole band and date.

DN 0 is nodata. Where 1000 was subtracted from DN and what is negative was cut off ("harmonised" DN), it is dark water
too. Arrays only; what the numbers mean is known by whoever calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from ..spec import Tile
from ..task_warnings import Finding

__all__ = ["partial_zeros"]

DARK_DN = 50.0
"""DN. Where 1000 was subtracted and what is negative cut off, some valid pixels of the band are as dark as this."""


def partial_zeros(
    text: str,
    *,
    zeros: int,
    nodata: int,
    valid: npt.NDArray[Any],
    quantification: float,
    tile: Tile,
    lead: tuple[int, ...],
    name: str,
    label: str = "",
) -> Iterator[Finding]:
    """Make the finding of DN 0 in one band of a block, if there is anything to add to those of the other blocks.

    zeros: pixels that are missing from this band alone; nodata: from all. valid: reflectance
    of the band. lead: place within the tile. name: of the band, and of whose; label: for {names} in the text.
    """
    lowest = float(valid.min()) * quantification if valid.size else math.inf  # CuPy knows no min(where=)
    if not (zeros or nodata or lowest <= DARK_DN):
        return
    date = tuple(start + at for (start, _), at in zip(tile.lead, lead, strict=False))
    yield Finding(
        "RadiometryWarning",
        text,
        (tile.y, tile.x, tile.lead),
        (name, lead, tile.y, tile.x, tile.lead),
        zeros,
        lowest,
        group=(name, date),
        limit=DARK_DN,
        beside=nodata,
        name=label,
    )
