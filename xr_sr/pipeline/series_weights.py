"""Carry the weights of dates in the planes of a joined block, so that one task computes both.

Weights belong to input pixels, and there may be many dates. So the scale x scale output pixels of an input pixel hold
those of as many dates in one plane.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import dask.array as da
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from ..registration.warping import FloatArray


def planes_for(dates: int, scale: int) -> int:
    """Return how many planes of output pixels hold the weights of some dates."""
    return -(-dates // scale**2)


def write(weights: FloatArray, planes: FloatArray) -> None:
    """Write weights (date, y, x) into planes (plane, y * scale, x * scale), 0 for dates that there are not."""
    dates = len(weights)
    scale = planes.shape[-1] // weights.shape[-1]
    for place in range(len(planes) * scale**2):
        plane, beside = divmod(place, scale**2)
        y, x = divmod(beside, scale)
        planes[plane, y::scale, x::scale] = weights[place] if place < dates else 0


def read(plane: FloatArray, place: int, scale: int) -> FloatArray:
    """Return the weights of one date, for each output pixel: (1, y * scale, x * scale).

    place: of the date among those of the plane.
    """
    y, x = divmod(place, scale)
    return plane[None, y::scale, x::scale].repeat(scale, axis=1).repeat(scale, axis=2)


def weights_in(planes: Sequence[da.Array], dates: int, scale: int) -> da.Array:
    """Return the lazy weights in planes (y * scale, x * scale) of joined blocks: (date, y * scale, x * scale).

    One chunk holds one date.
    """
    name = f"multiframe-weight-{tokenize([plane.name for plane in planes], dates, scale)}"
    blocks = [*itertools.product(*(range(len(sizes)) for sizes in planes[0].chunks))]
    graph: dict[Any, Any] = {}
    for date in range(dates):
        plane, place = divmod(date, scale**2)
        graph |= {(name, date, *at): (read, (planes[plane].name, *at), place, scale) for at in blocks}
    layer = HighLevelGraph.from_collections(name, graph, dependencies=list(planes))  # type: ignore[arg-type]
    return da.Array(layer, name, chunks=((1,) * dates, *planes[0].chunks), meta=planes[0]._meta[None])
