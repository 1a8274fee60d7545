"""Convert blocks of digital numbers (DN) to reflectance, and count DN 0 that may be dark water.

Arrays only; `resolve` finds what the numbers of a cube mean, and `judge` whether they can be true. A block may be
NumPy's or CuPy's: all calls are methods, operators, or NumPy functions that dispatch on their argument, and only single
numbers come to the host.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..spec import Tile
from ..task_warnings import Finding, listen

Block: TypeAlias = npt.NDArray[Any]

IMPOSSIBLE = 100.0
"""Reflectance. What is beyond, above or below zero, is no measurement of anything: it is missing, as infinity is."""

NODATA_TOLERANCE = 1e-6
"""Relative: nodata that went through text or float32 comes back a little off."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Radiometry:
    """What the numbers of a cube mean: reflectance = (DN + offset) / quantification, or reflectance as it stands.

    offset: in DN; one for all, or one per place along the leading dimension `time_axis`, which DN with dates have in
    either case. quantification: DN per unit of reflectance. nodata: values that mean "not measured", in the units of
    the array as handed in; NaN and infinity always do. how: a sentence for messages and the attributes of results.
    declared: by metadata or the type, not by the user, so pixels that contradict it lead to a warning. dark: places
    along `band` of red and shortwave-infrared bands, which are dark somewhere in almost every scene. own: it is a
    result of this package, whose input was compared with its metadata already. dated: DN of one date, which a scalar
    coordinate names: results have the offset of the date as a coordinate, as those with a time axis do.
    names: of the bands, and of the object that they come from: two blocks with the same are of the same pixels. advice:
    what to do where DN turn out to be fractions. Both count neither for equality nor for dask's tokens.
    """

    kind: Literal["reflectance", "dn"]
    offset: tuple[float, ...] = (0.0,)
    quantification: float = 10_000.0
    nodata: tuple[float, ...] = ()
    time_axis: int | None = None
    how: str = ""
    declared: bool = False
    dark: tuple[int, ...] = ()
    own: bool = False
    dated: bool = False
    names: tuple[str, ...] = field(default=(), compare=False)
    advice: str = field(default="", compare=False)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Return what distinguishes records."""
        return (type(self).__name__, *(getattr(self, each.name) for each in fields(self) if each.compare))

    def __getstate__(self) -> dict[str, Any]:
        """Pickle for another process, whose warnings are collected here."""
        listen()
        return dict(self.__dict__)

    def zero_may_be_water(self, tile: Tile, lead: tuple[int, ...]) -> bool:
        """Return whether DN 0 at a place, which is read as nodata, may be reflectance of which the rest was cut off."""
        return self.kind == "dn" and 0.0 in self.nodata and self.offset_at(tile, lead) == 0

    def offset_at(self, tile: Tile, lead: tuple[int, ...]) -> float:
        """Return the offset, in DN, at a place along the leading dimensions, counted from the start of the tile."""
        if len(self.offset) == 1 or self.time_axis is None:
            return self.offset[0]
        return self.offset[tile.lead[self.time_axis][0] + lead[self.time_axis]]


def to_reflectance_block(block: Block, radiometry: Radiometry, tile: Tile) -> npt.NDArray[np.float32]:
    """Convert a block to reflectance, without judging it.

    block: (*lead, band, y, x), integers or floats. tile: where it lies; per-time offsets are chosen by `tile.lead`.
    Returns the same shape as float32, unitless, within -100 to 100; NaN at nodata, where a value is not finite, and
    where it is beyond that; slightly negative over dark water. It is the block itself, not a copy, where there is
    nothing to change: do not write into it. Source: ESA, Sentinel-2 Products Specification Document:
    (DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE.
    """
    return without_impossible(converted_block(block, radiometry, tile), block, radiometry)


def converted_block(block: Block, radiometry: Radiometry, tile: Tile) -> npt.NDArray[np.float32]:
    """Convert a block as `to_reflectance_block` does, but for values beyond `IMPOSSIBLE`, which stay finite."""
    missing = _missing(block, radiometry.nodata)
    with np.errstate(over="ignore"):  # beyond float32's range: infinite here, and the largest finite number below
        values: npt.NDArray[np.float32] = block.astype(np.float32, copy=radiometry.kind == "dn")
    if block.dtype.kind == "f":
        infinite = np.isinf(values)
        if infinite.any():
            if block.dtype.itemsize > 4:
                overflown = infinite & np.isfinite(block)
                values[overflown] = np.copysign(np.float32(_LARGEST), values[overflown])
                infinite &= ~overflown
            missing = infinite if missing is None else missing | infinite
    if radiometry.kind == "dn":
        # Float first: NumPy 2 refuses uint16 + (-1000), and NumPy 1 wrapped it around.
        if len(radiometry.offset) == 1:
            values += np.float32(radiometry.offset[0])
        else:
            for lead in np.ndindex(values.shape[:-3]):
                values[lead] += np.float32(radiometry.offset_at(tile, lead))
        with np.errstate(over="ignore"):
            values /= np.float32(radiometry.quantification)
        if radiometry.quantification < 1:
            np.clip(values, -_LARGEST, _LARGEST, out=values)
    if missing is not None:
        values = values.copy() if values is block else values
        values[missing] = np.nan
    return values


def without_impossible(
    values: npt.NDArray[np.float32], block: Block, radiometry: Radiometry
) -> npt.NDArray[np.float32]:
    """Set what is beyond `IMPOSSIBLE` to NaN in what `converted_block` made of a block, which is not written into."""
    if block.dtype.kind != "f" and _is_within(np.iinfo(block.dtype), radiometry):
        return values
    impossible = (values > np.float32(IMPOSSIBLE)) | (values < np.float32(-IMPOSSIBLE))
    if impossible.any():
        values = values.copy() if values is block else values
        values[impossible] = np.nan
    return values


def _is_within(limits: Any, radiometry: Radiometry) -> bool:
    """Return whether no number of a type of integers can be beyond `IMPOSSIBLE`."""
    ends = [
        (float(end) + offset) / radiometry.quantification
        for end in (limits.min, limits.max)
        for offset in (min(radiometry.offset), max(radiometry.offset))
    ]
    return radiometry.kind == "dn" and max(map(abs, ends)) <= IMPOSSIBLE


def _missing(block: Block, nodata: tuple[float, ...]) -> npt.NDArray[np.bool_] | None:
    """Return where a block holds nodata; None where it holds none."""
    missing: npt.NDArray[np.bool_] | None = None
    for value in nodata:
        if block.dtype.kind == "f":
            largest = float(np.finfo(block.dtype).max)
            ends = (value * (1 - NODATA_TOLERANCE), value * (1 + NODATA_TOLERANCE))
            low, high = (block.dtype.type(min(max(end, -largest), largest)) for end in sorted(ends))
            found = block == low if low == high else (block >= low) & (block <= high)
        elif value == int(value) and np.iinfo(block.dtype).min <= value <= np.iinfo(block.dtype).max:
            found = block == block.dtype.type(int(value))
        else:
            continue
        if found.any():
            missing = found if missing is None else missing | found
    return missing


DARK_DN = 50.0
"""DN. Where 1000 was subtracted and what is negative cut off, some valid pixels of the band are as dark as this."""


def partial_zeros(
    found: str,
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

    found: the first sentence of the warning, without its stop; {names} in it becomes `label`. zeros: pixels that are
    missing from this band alone; nodata: from all. valid: reflectance of the band. lead: place within the tile. name:
    of the band, and of whose.
    """
    lowest = float(valid.min()) * quantification if valid.size else math.inf  # CuPy knows no min(where=)
    if not (zeros or nodata or lowest <= DARK_DN):
        return
    date = tuple(start + at for (start, _), at in zip(tile.lead, lead, strict=False))
    yield Finding(
        "RadiometryWarning",
        f"Radiometry: {found}. DN 0 is nodata, but it is also what dark water becomes where 1000 was subtracted and "
        "what is negative was cut off (harmonized DN). If that is how these were made, pass nodata=None, and mask what "
        "is outside of the swath.",
        (tile.y, tile.x, tile.lead),
        (name, lead, tile.y, tile.x, tile.lead),
        zeros,
        lowest,
        group=(name, date),
        limit=DARK_DN,
        beside=nodata,
        name=label,
    )
