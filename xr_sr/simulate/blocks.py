"""Apply change, seasons, clouds, haze, gain and noise to the lazy arrays of a series, block by block.

Arrays only; what is applied is defined in `sky` and `noise`. Blocks hold one date.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from .noise import FloatArray, Noise
from .sky import Blobs, Positions, Sky, growth

Bands = tuple[str | None, ...]


def altered(ground: da.Array, places: Positions, patches: Blobs | None, rise: tuple[float, ...], seed: int) -> da.Array:
    """Return the ground of one date, (band, y, x), from what it was.

    patches: where it is now what lies half an image away. rise: of reflectance since, by band, as a fraction.
    """
    if patches is not None and patches.any:
        height, width = ground.shape[-2:]
        other = da.roll(ground, (height // 2, width // 2), axis=(-2, -1)).rechunk(ground.chunks)
        ground = da.map_blocks(_changed, ground, other, places=places, patches=patches, **_like(ground))
    if any(rise):
        ground = da.map_blocks(_grown, ground, places=places, rise=rise, seed=seed, **_like(ground))
    return ground


def seen(
    series: da.Array,
    skies: tuple[Sky, ...],
    gains: tuple[float, ...],
    bands: Bands,
    noise: Noise | None,
    places: Positions,
) -> da.Array:
    """Return what is measured of a series (time, band, y, x) without noise, below the sky of each date."""
    if noise is None and set(gains) == {1.0} and all(sky.clear for sky in skies):
        return series
    options = {"skies": skies, "gains": gains, "bands": bands, "noise": noise, "places": places}
    measured: da.Array = da.map_blocks(_measured, series, **options, **_like(series))
    return measured


def classes(skies: tuple[Sky, ...], chunks: tuple[tuple[int, ...], ...], places: Positions) -> da.Array:
    """Return classes of SCL, (time, y, x) uint8."""
    return _made(_classes, "uint8", chunks, skies=skies, places=places)


def replaced(
    patches: Blobs, changed: tuple[bool, ...], chunks: tuple[tuple[int, ...], ...], places: Positions
) -> da.Array:
    """Return where each date shows other ground, (time, y, x) bool. changed: for each date, whether it is after."""
    return _made(_replaced, "bool", chunks, patches=patches, changed=changed, places=places)


def _like(array: da.Array) -> dict[str, Any]:
    return {"dtype": array.dtype, "meta": array._meta}


def _made(block: Any, dtype: str, chunks: tuple[tuple[int, ...], ...], **options: Any) -> da.Array:
    """Make a (time, y, x) array of blocks that depend on their position alone."""
    chunks = ((1,) * sum(chunks[0]), *chunks[1:])
    made: da.Array = da.map_blocks(block, chunks=chunks, dtype=dtype, meta=np.empty((0, 0, 0), dtype), **options)
    return made


def _changed(
    block: FloatArray, other: FloatArray, places: Positions, patches: Blobs, block_info: dict[Any, Any]
) -> FloatArray:
    y, x = block_info[0]["array-location"][-2:]
    here = (patches.height(*places.at(y, x)) > 0) & np.isfinite(other)
    return np.where(here, other, block)


def _grown(
    block: FloatArray, places: Positions, rise: tuple[float, ...], seed: int, block_info: dict[Any, Any]
) -> FloatArray:
    bands, y, x = block_info[0]["array-location"]
    strength = growth(seed, *places.at(y, x))
    steps = np.array(rise[slice(*bands)], dtype=block.dtype)[:, None, None]
    return np.asarray(block * (1 + steps * strength), dtype=block.dtype)


def _measured(
    block: FloatArray,
    skies: tuple[Sky, ...],
    gains: tuple[float, ...],
    bands: Bands,
    noise: Noise | None,
    places: Positions,
    block_info: dict[Any, Any],
) -> FloatArray:
    (date, _), band, y, x = block_info[0]["array-location"]
    planes = skies[date].over(bands[slice(*band)], block[0], *places.at(y, x)) * gains[date]
    if noise is not None:
        for position, plane in enumerate(planes):
            planes[position] = noise(plane, (date, band[0] + position), (y[0], x[0]))
    return np.asarray(planes[None], dtype=block.dtype)


def _classes(skies: tuple[Sky, ...], places: Positions, block_info: dict[Any, Any]) -> npt.NDArray[np.uint8]:
    (date, _), y, x = block_info[None]["array-location"]
    return np.asarray(skies[date].classes(*places.at(y, x))[None])


def _replaced(
    patches: Blobs, changed: tuple[bool, ...], places: Positions, block_info: dict[Any, Any]
) -> npt.NDArray[np.bool_]:
    (date, _), y, x = block_info[None]["array-location"]
    if not changed[date]:
        return np.zeros((1, y[1] - y[0], x[1] - x[0]), dtype=bool)
    return (patches.height(*places.at(y, x)) > 0)[None]
