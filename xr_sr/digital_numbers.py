"""Digital numbers on blocks of pixels: DN to reflectance, and whether what comes out can be true.

Knows arrays only; what the numbers of a cube mean is found by `radiometry`. A block may be NumPy's or CuPy's: all calls
are methods, operators, or NumPy functions that dispatch on their argument, and only single numbers come to the host.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import RadiometryError, RadiometryWarning
from .spec import Tile

__all__ = ["Radiometry", "judge_block", "to_reflectance_block"]

Block: TypeAlias = npt.NDArray[Any]

HIGHEST_MEDIAN = 3.0
"""Reflectance. No median of a block comes near: fresh snow and thick cloud stay below 1.5."""

APPLIED_TWICE = -0.03
"""Reflectance. A wrong -1000 puts vegetation and water at -0.05 to -0.09; of right values hardly any are so low."""

NOT_APPLIED = (1000.0, 2000.0)
"""DN of the darkest hundredth of a scene that still carries +1000. Thick cloud and bare desert lie higher."""

WRAPPED_FROM = 64_536.0
"""From here to SATURATED is what uint16 makes of DN 0 to 998 minus 1000."""

SATURATED = 65_535.0
"""DN of saturated pixels in ESA's products; for others it is nodata."""

NODATA_TOLERANCE = 1e-6
"""Relative: nodata that went through text or float32 comes back a little off."""

SAMPLE_ENOUGH = 256
"""Valid pixels below which a share of them says nothing."""


@dataclass(frozen=True)
class Radiometry:
    """What the numbers of a cube mean: reflectance = (DN + offset) / quantification, or reflectance as it stands.

    offset: in DN; one for all, or one per place along the leading dimension `time_axis`, which DN with dates have in
    either case. quantification: DN per unit of reflectance. nodata: values that mean "not measured", in the units of
    the array as handed in; NaN and infinity always do. how: a sentence for people, and for the attrs of results.
    declared: metadata told the offset, not the user, so pixels that contradict it deserve a warning. dark: places along
    `band` of red and shortwave-infrared bands, which are dark somewhere in almost every scene.
    """

    kind: Literal["reflectance", "dn"]
    offset: tuple[float, ...] = (0.0,)
    quantification: float = 10_000.0
    nodata: tuple[float, ...] = ()
    time_axis: int | None = None
    how: str = ""
    declared: bool = False
    dark: tuple[int, ...] = ()

    def offset_at(self, tile: Tile, lead: tuple[int, ...]) -> float:
        """Give the offset, in DN, at a place along the leading dimensions, counted from the start of the tile."""
        if len(self.offset) == 1 or self.time_axis is None:
            return self.offset[0]
        return self.offset[tile.lead[self.time_axis][0] + lead[self.time_axis]]


def to_reflectance_block(block: Block, radiometry: Radiometry, tile: Tile) -> npt.NDArray[np.float32]:
    """Convert a block to reflectance.

    block: (*lead, band, y, x), integers or floats. tile: where it lies; per-time offsets are chosen by `tile.lead`.
    Returns the same shape as float32, unitless, NaN at nodata and where a value is not finite; slightly negative over
    dark water. It is the block itself, not a copy, where there is nothing to change: do not write into it. Source: ESA,
    Sentinel-2 Products Specification Document: (DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE.
    """
    missing = _missing(block, radiometry.nodata)
    with np.errstate(over="ignore"):  # -1.8e308 becomes an infinity, and NaN below
        values: npt.NDArray[np.float32] = block.astype(np.float32, copy=radiometry.kind == "dn")
    if block.dtype.kind == "f":
        infinite = np.isinf(values)
        if infinite.any():
            missing = infinite if missing is None else missing | infinite
    if radiometry.kind == "dn":
        # Float first: NumPy 2 refuses uint16 + (-1000), and NumPy 1 wrapped it around.
        if len(radiometry.offset) == 1:
            values += np.float32(radiometry.offset[0])
        else:
            for lead in np.ndindex(values.shape[:-3]):
                values[lead] += np.float32(radiometry.offset_at(tile, lead))
        values /= np.float32(radiometry.quantification)
    if missing is not None:
        values = values.copy() if values is block else values
        values[missing] = np.nan
    return values


def judge_block(reflectance: npt.NDArray[np.floating[Any]], radiometry: Radiometry, tile: Tile) -> None:
    """Look whether reflectance can be true, at each place along the leading dimensions by itself.

    reflectance: (*lead, band, y, x), NaN where invalid, as `to_reflectance_block` gives it. Nothing but NaN is fine.
    Raises RadiometryError, naming the block and the ways out, where the numbers cannot be what they were taken for.
    Warns with RadiometryWarning where pixels contradict the metadata. Judges by every fourth row and column of a large
    block, so what is raised depends on the chunks, while no value does.
    """
    thin = 4 if min(reflectance.shape[-2:]) >= 64 else 1
    for lead in np.ndindex(reflectance.shape[:-3]):
        pixels = reflectance[lead]
        sample = pixels[..., ::thin, ::thin]
        valid = sample[sample == sample]
        if not valid.size:
            continue
        with np.errstate(over="ignore"):  # undeclared nodata such as 1e37 times 10000 is infinite, which is high enough
            offset = radiometry.offset_at(tile, lead) if radiometry.kind == "dn" else 0.0
            where = f"Block {tile}" if reflectance.shape[:-3] in ((), (1,)) else f"Block {tile}, step {lead} in it"
            _refuse_wrapped(pixels, valid, radiometry, offset, where)
            _refuse_bright(valid, radiometry, offset, where)
            _refuse_fractions(valid, radiometry, offset, where)
            if radiometry.kind == "dn":
                _compare_with_metadata(sample, valid, radiometry, offset)


def _missing(block: Block, nodata: tuple[float, ...]) -> npt.NDArray[np.bool_] | None:
    """Tell where a block holds nodata; None where it holds none."""
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


def _refuse_wrapped(pixels: Block, valid: Block, radiometry: Radiometry, offset: float, where: str) -> None:
    """Raise where 1000 was taken from uint16, which turns the darkest pixels into the brightest of all."""
    limit = (WRAPPED_FROM - 0.5 + offset) / radiometry.quantification
    bright = pixels > limit
    if not bright.any():
        return
    dn = pixels[bright] * np.float32(radiometry.quantification) - np.float32(offset)
    wrapped = dn[dn < SATURATED - 0.5]
    if wrapped.size == 0:
        return
    lowest, highest = float(wrapped.min()), float(wrapped.max())
    others = valid[valid <= limit]
    one_constant = highest - lowest < 0.5 and lowest > WRAPPED_FROM + 0.5
    if one_constant or (others.size and _at_share(others, 0.5) > 0.5):
        return
    raise RadiometryError(
        f"{where}: it is dark, but {wrapped.size} pixels have values between {lowest:.0f} and {highest:.0f}. That is "
        "what becomes of DN below 1000 where 1000 is subtracted from uint16: it wraps around (uint16 500 - 1000 = "
        "65036). Hand in the DN as they were and offset=-1000, or convert to float32 before you subtract."
    )


def _refuse_bright(valid: Block, radiometry: Radiometry, offset: float, where: str) -> None:
    """Raise where the median is higher than any surface is."""
    median = _at_share(valid, 0.5)
    if median <= HIGHEST_MEDIAN:
        return
    stored = median if radiometry.kind == "reflectance" else median * radiometry.quantification - offset
    share = int((valid == median).sum()) / valid.size
    what = f"{where}: half of its valid values are reflectances of {median:.4g} and more, and no surface is so bright."
    if share > 0.5:
        constant = float(f"{stored:.7g}")
        zero = "0, " if radiometry.kind == "dn" else ""
        ways = (
            f"{share:.0%} of them are the constant {constant:g}, which looks like nodata that nothing declares: "
            f"pass nodata=({zero}{constant:g}{'' if zero else ','}) to upscale() or reflectance()."
        )
    elif radiometry.kind == "dn":
        ways = (
            f"As DN that is {stored:.6g} and more. Check quantification={radiometry.quantification:g} and "
            f"offset={offset:g} ({radiometry.how})."
        )
    elif float(valid.max()) <= 255:
        ways = (
            "Values up to 255 look like a picture of 8 bits (a true colour or preview asset), which no model can "
            "read: load the bands themselves (B02, B03, ...)."
        )
    else:
        ways = (
            "They look like DN stored as floats, reflectance x 10000: pass offset=0, or offset=-1000 if the "
            "processing baseline is 04.00 or later and nobody has applied the offset yet."
        )
    raise RadiometryError(f"{what} {ways}")


def _refuse_fractions(valid: Block, radiometry: Radiometry, offset: float, where: str) -> None:
    """Raise where alleged DN are fractions between 0 and 2, as reflectance is."""
    if radiometry.kind != "dn" or radiometry.quantification < 100:
        return
    if abs(_at_share(valid, 0.5) * radiometry.quantification - offset) > 2:
        return
    dn = valid * np.float32(radiometry.quantification) - np.float32(offset)
    if _at_share(dn, 0.99) > 2 or float(abs(dn - dn.round()).max()) < 0.01:
        return
    raise RadiometryError(
        f"{where}: its numbers were taken for DN ({radiometry.how}), but they are fractions from {float(dn.min()):.3g} "
        f"to {float(dn.max()):.3g}, as reflectance is. If that is what they are, pass offset=0, quantification=1."
    )


def _compare_with_metadata(sample: Block, valid: Block, radiometry: Radiometry, offset: float) -> None:
    """Warn where the offset that was applied, and the one that the pixels suggest, are different ones."""
    if abs(float(valid.max()) * radiometry.quantification - offset - SATURATED) < 0.5:
        _doubt(
            f"some pixels have the DN {SATURATED:.0f}, which marks saturated ones, or nodata that nothing declares. In "
            f"the second case pass nodata=(0, {SATURATED:.0f})."
        )
    if valid.size < SAMPLE_ENOUGH:
        return
    if offset < 0 and _at_share(valid, 0.01) < APPLIED_TWICE:
        _doubt(
            f"the offset {offset:g} was applied ({radiometry.how}), but then many reflectances are below "
            f"{APPLIED_TWICE}: the pixels look as if they had it already. If so, pass offset=0."
        )
    if offset == 0 and radiometry.declared:
        dark = sample[[band for band in radiometry.dark if band < sample.shape[0]]]
        dark = dark[dark == dark]
        if dark.size < SAMPLE_ENOUGH:
            return
        darkest = _at_share(dark, 0.01) * radiometry.quantification
        if NOT_APPLIED[0] <= darkest < NOT_APPLIED[1]:
            _doubt(
                f"no offset was applied ({radiometry.how}), but even the darkest pixels have more than "
                f"{NOT_APPLIED[0]:.0f} DN: they look as if they still carried +1000. If so, pass offset=-1000."
            )


def _at_share(values: Block, share: float) -> float:
    """Give the value below which a share of the values lies: 0.5 for the median. No interpolation."""
    place = int((values.size - 1) * share)
    return float(np.partition(values, place)[place])  # one place a call: NumPy's fast path


def _doubt(sentence: str) -> None:
    """Warn from inside a task. No block is named, so that Python shows the sentence once and not once per block."""
    warnings.warn(f"Radiometry: {sentence}", RadiometryWarning, stacklevel=4)
