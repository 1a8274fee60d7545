"""Carry the weights of dates in the planes of a joined block, so that one task computes both.

Weights belong to input pixels, and there may be many dates. So the scale x scale output pixels of an input pixel hold
those of as many dates in one plane.
"""

from __future__ import annotations

import dask.array as da
import numpy as np

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


def read(planes: FloatArray, dates: int, scale: int) -> FloatArray:
    """Return the weights of all dates in such planes, for each output pixel: (date, y * scale, x * scale)."""
    out = np.empty((dates, *planes.shape[-2:]), np.float32)
    for date in range(dates):
        plane, beside = divmod(date, scale**2)
        y, x = divmod(beside, scale)
        out[date] = planes[plane, y::scale, x::scale].repeat(scale, axis=0).repeat(scale, axis=1)
    return out


def weights_in(image: da.Array, dates: int, scale: int) -> da.Array:
    """Return the lazy weights in the last planes of joined blocks, by output pixel: (date, y * scale, x * scale)."""
    planes = image[-planes_for(dates, scale) :]
    found: da.Array = planes.map_blocks(
        read,
        dates,
        scale,
        dtype=np.float32,
        chunks=((dates,), *planes.chunks[1:]),
        meta=np.empty((0, 0, 0), np.float32),
    )
    return found
