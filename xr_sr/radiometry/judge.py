"""Check whether the values of a block can be reflectance: raise for impossible ones, note implausible ones.

Runs inside tasks, on arrays only, as `convert` does. Errors and warnings may depend on how an array is cut;
counts are of the pixels of a block without its halo, so that they add up to the same for every chunking.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arguments import count_of
from ..conventions.own import OFFSET_COORD
from ..errors import RadiometryError
from ..spec import Tile
from ..task_warnings import Finding, note
from .convert import IMPOSSIBLE, Block, Radiometry, converted_block, partial_zeros, without_impossible

Core: TypeAlias = tuple[slice, slice]
"""The rows and columns of a block that are its own, without those that it shares with its neighbors."""

PLAUSIBLE = (-0.5, 2.0)
"""Reflectance. Wrong corrections reach -0.1, sun glint, metal roofs and sunlit snow 1 and more, rarely 2."""

REPEATED = (0.01, 4)
"""The share, and the number, of a band's pixels beyond which one exact value out of `PLAUSIBLE` is no measurement."""

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

SAMPLE_ENOUGH = 256
"""Valid pixels below which a share of them is not significant."""

_DN_PER_REFLECTANCE = 10_000.0
_BOA_ADD_OFFSET = -1000.0


def core_of(tile: Tile, halo: int) -> Core:
    """Return the rows and columns of a tile in a block that has `halo` pixels more on each side."""
    return slice(halo, halo + tile.height), slice(halo, halo + tile.width)


def read_block(
    block: Block, radiometry: Radiometry, tile: Tile, core: Core = (slice(None), slice(None)), *, compare: bool = True
) -> npt.NDArray[np.float32]:
    """Convert a block to reflectance, as `to_reflectance_block` does, and judge whether that can be true.

    block: (*lead, band, y, x). core: its rows and columns whose pixels are counted. compare: the bands of a pixel are
    compared with each other.
    Raises RadiometryError, naming the block and what to do, where the numbers cannot be reflectance as they are read.
    Notes, as warnings of the computation: values that are no reflectance; pixels that contradict the metadata; DN 0
    that may be dark water. Each place along the leading dimensions is judged by itself; shares are judged by every
    fourth row and column of a large block.
    """
    values = converted_block(block, radiometry, tile)
    thin = 4 if min(values.shape[-2:]) >= 64 else 1
    findings: list[Finding] = []
    some_odd = False
    for lead in np.ndindex(values.shape[:-3]):
        pixels = values[lead]
        ends = _ends(pixels)
        judge = _Judge(radiometry, tile, lead, values.shape[:-3], block[lead], core)
        if compare:
            findings += judge.dark_zeros(pixels)
        if ends is None:
            continue
        sample = pixels[..., ::thin, ::thin]
        valid = sample[sample == sample]
        with np.errstate(over="ignore"):
            odd = ends[0] < PLAUSIBLE[0] or ends[1] > PLAUSIBLE[1]
            some_odd |= odd
            if odd:
                judge.refuse_wrapped(pixels, valid)
                if not judge.is_bright_throughout(valid):
                    judge.refuse_repeated(pixels)
            if valid.size:
                judge.refuse_bright(valid)
                judge.refuse_fractions(valid)
            if odd:
                findings += judge.odd_values(pixels)
            if valid.size >= SAMPLE_ENOUGH and not radiometry.own:
                findings += judge.contradictions(sample, valid)
    note(findings)
    return without_impossible(values, block, radiometry) if some_odd else values


def _ends(pixels: Block) -> tuple[float, float] | None:
    """Return the lowest and the highest valid value; None where nothing is valid."""
    if not pixels.size:
        return None
    lowest = float(pixels.min())
    if lowest == lowest:
        return lowest, float(pixels.max())
    if not (pixels == pixels).any():
        return None
    return float(np.nanmin(pixels)), float(np.nanmax(pixels))


class _Judge:
    """Judges one element along the leading dimensions: `pixels` are (band, y, x) reflectance, NaN where invalid."""

    def __init__(
        self,
        radiometry: Radiometry,
        tile: Tile,
        lead: tuple[int, ...],
        shape: tuple[int, ...],
        stored: Block,
        core: Core,
    ) -> None:
        self.radiometry, self.tile, self.lead, self.stored, self.core = radiometry, tile, lead, stored, core
        self.is_dn = radiometry.kind == "dn"
        self.offset = radiometry.offset_at(tile, lead) if self.is_dn else 0.0
        self.where = f"Block {tile}" if shape in ((), (1,)) else f"Block {tile}, step {lead} in it"

    def refuse_wrapped(self, pixels: Block, valid: Block) -> None:
        """Raise where 1000 was taken from uint16, which turns the darkest pixels into the brightest of all."""
        quantification, offset = self.radiometry.quantification, self.offset
        limit = (WRAPPED_FROM - 0.5 + offset) / quantification
        bright = pixels > limit
        if not bright.any():
            return
        dn = pixels[bright] * np.float32(quantification) - np.float32(offset)
        wrapped = dn[dn < SATURATED - 0.5]
        if wrapped.size == 0:
            return
        lowest, highest = float(wrapped.min()), float(wrapped.max())
        others = valid[valid <= limit]
        one_constant = highest - lowest < 0.5 and lowest > WRAPPED_FROM + 0.5
        if one_constant or (others.size and _at_share(others, 0.5) > 0.5):
            return
        raise RadiometryError(
            f"{self.where}: it is dark, but has {count_of(wrapped.size, 'pixel')} between {lowest:.0f} and "
            f"{highest:.0f}. That is what becomes of DN below 1000 where 1000 is subtracted from uint16: it wraps "
            "around (uint16 500 - 1000 = 65036). Pass the original DN with offset=-1000, or convert to "
            "float32 before you subtract."
        )

    def refuse_repeated(self, pixels: Block) -> None:
        """Raise where one exact value that is no reflectance fills a share of a band: undeclared nodata."""
        own = pixels[:, self.core[0], self.core[1]]  # not those that are mirrored, several times in a corner
        for band, plane in enumerate(own):
            beyond = plane[_is_odd(plane)]
            least = max(REPEATED[0] * plane.size, REPEATED[1])
            if beyond.size <= least:
                continue
            constants, counts = np.unique(beyond, return_counts=True)
            most = int(counts.argmax())
            value, count = constants[most], int(counts[most])
            if count <= least or self._is_saturated(float(value)):
                continue
            stored = _written(self.stored[band][self.core][plane == value][0])
            share = f"{100 * count / plane.size:.2g} %"
            raise RadiometryError(
                f"{self.where}: {share} of the pixels of one band are the constant {stored}, a "
                f"reflectance of {float(value):.4g}, which no surface has: it looks like nodata that nothing declares "
                f"(xarray's to_array(), for one, drops a declared fill value). {self._pass_nodata(stored)}."
            )

    def is_bright_throughout(self, valid: Block) -> bool:
        """Return whether most values are too bright and no constant explains it, as in DN stored as floats."""
        median = _at_share(valid, 0.5) if valid.size else 0.0
        return median > HIGHEST_MEDIAN and int((valid == median).sum()) <= valid.size / 2

    def refuse_bright(self, valid: Block) -> None:
        """Raise where the median is higher than any surface is."""
        median = _at_share(valid, 0.5)
        if median <= HIGHEST_MEDIAN:
            return
        radiometry = self.radiometry
        dn = median if not self.is_dn else median * radiometry.quantification - self.offset
        share = int((valid == median).sum()) / valid.size
        if share > 0.5:
            constant = f"{float(f'{dn:.7g}'):g}"
            ways = (
                f"{share:.0%} of them are the constant {constant}, which looks like nodata that nothing declares. "
                f"{self._pass_nodata(constant)}."
            )
        elif self.is_dn:
            ways = (
                f"As DN that is {dn:.6g} and more. Check quantification={radiometry.quantification:g} and "
                f"offset={self.offset:g} ({radiometry.how})."
            )
        elif float(valid.max()) <= 255:
            ways = (
                "Values up to 255 look like a picture of 8 bits (a true color or preview asset), which no model can "
                "read: load the bands themselves (B02, B03, ...)."
            )
        else:
            ways = (
                "They look like DN stored as floats, reflectance x 10000: pass offset=0, or offset=-1000 if the "
                "processing baseline is 04.00 or later and the offset is not applied yet."
            )
            if radiometry.how.endswith(OFFSET_COORD):
                ways = (
                    f"They were taken for reflectance by the coordinate {OFFSET_COORD!r} of a result. Where it was "
                    f"copied by selecting dates, leave it out: cube.drop_vars({OFFSET_COORD!r}), or "
                    "cube.sel(time=result.time.values)."
                )
        raise RadiometryError(
            f"{self.where}: half of its valid values are reflectances of {median:.4g} and more, and no surface is so "
            f"bright. {ways}"
        )

    def refuse_fractions(self, valid: Block) -> None:
        """Raise if values read as DN are fractions between 0 and 2, as reflectance is."""
        quantification, offset = self.radiometry.quantification, self.offset
        if not self.is_dn or quantification < 100:
            return
        if abs(_at_share(valid, 0.5) * quantification - offset) > 2:
            return
        dn = valid * np.float32(quantification) - np.float32(offset)
        if _at_share(dn, 0.99) > 2 or float(abs(dn - dn.round()).max()) < 0.01:
            return
        raise RadiometryError(
            f"{self.where}: its numbers are read as DN ({self.radiometry.how}), but they are fractions from "
            f"{float(dn.min()):.3g} to {float(dn.max()):.3g}, as reflectance is. "
            f"{self.radiometry.advice or 'If that is what they are, pass offset=0, quantification=1.'}"
        )

    def odd_values(self, pixels: Block) -> Iterator[Finding]:
        """Find values that hardly any surface has, and those that none has, in the core."""
        own = pixels[:, self.core[0], self.core[1]]
        for band, plane in enumerate(own):
            beyond = plane[_is_odd(plane)]
            if not beyond.size:
                continue
            far = abs(beyond) > IMPOSSIBLE
            full = self._is_saturated(beyond)
            for chosen, sentence in (
                (far, self._say_impossible),
                (full, self._say_saturated),
                (~(far | full), self._say_odd),
            ):
                if chosen.any():
                    yield self._finding(sentence(), beyond[chosen], band)

    def contradictions(self, sample: Block, valid: Block) -> Iterator[Finding]:
        """Find where the offset that was applied, and the one that the pixels suggest, are different ones."""
        radiometry, how = self.radiometry, self.radiometry.how
        if (self.offset < 0 or not self.is_dn) and _at_share(valid, 0.01) < APPLIED_TWICE:
            if self.is_dn:
                yield self._finding(
                    f"the offset {self.offset:g} was applied ({how}), but then many reflectances are below "
                    f"{APPLIED_TWICE} (in {{blocks}}): the pixels look as if they had it already. If so, pass offset=0."
                )
            else:
                yield self._finding(
                    f"many reflectances are below {APPLIED_TWICE} (in {{blocks}}): the pixels look as if the offset of "
                    "-1000 DN had been subtracted twice, for instance by the loader from pixels that had it already. "
                    "If so, add 0.1, or load the DN without a scale (stackstac: rescale=False)."
                )
        if self.offset == 0 and radiometry.declared:
            dark = sample[[band for band in radiometry.dark if band < sample.shape[0]]]
            dark = dark[dark == dark]
            if dark.size < SAMPLE_ENOUGH:
                return
            per_unit = radiometry.quantification if self.is_dn else _DN_PER_REFLECTANCE
            if not NOT_APPLIED[0] <= _at_share(dark, 0.01) * per_unit < NOT_APPLIED[1]:
                return
            # The offset in floats is unknown: then no band may be darker. Over bare soil blue is.
            if not self.is_dn and _at_share(valid, 0.01) * per_unit < NOT_APPLIED[0]:
                return
            if self.is_dn:
                yield self._finding(
                    f"no offset was applied ({how}), but even the darkest pixels have more than {NOT_APPLIED[0]:.0f} "
                    "DN (in {blocks}): they look as if they still carried +1000. If so, pass offset=-1000."
                )
            else:
                yield self._finding(
                    "even the darkest reflectances are above 0.1 (in {blocks}): they look as if they still carried the "
                    "+1000 DN that processing baselines from 04.00 on add. If so, subtract 0.1. To declare them "
                    "right: offset=0, quantification=1."
                )

    def dark_zeros(self, pixels: Block) -> Iterator[Finding]:
        """Find, in the core, DN 0 in one band beside valid ones in others: water, where what is negative was cut off.

        At the edge of a swath DN 0 stands beside valid pixels too, but then its band has no dark pixels, and more are
        missing from all bands. One block does not show it, so the findings of a band and a date are judged together.
        """
        if pixels.shape[0] < 2 or not self.radiometry.zero_may_be_water(self.tile, self.lead):
            return
        own, stored = pixels[:, self.core[0], self.core[1]], self.stored[:, self.core[0], self.core[1]]
        missing = np.isnan(own)
        everywhere = missing.all(axis=0)
        for band in range(own.shape[0]):
            zeros = missing[band] & ~everywhere & (stored[band] == 0)
            yield from partial_zeros(
                "{values} in {blocks} are missing because of DN 0, while other bands have values there",
                zeros=int(zeros.sum()),
                nodata=int(everywhere.sum()),
                valid=own[band][~missing[band]],
                quantification=self.radiometry.quantification,
                tile=self.tile,
                lead=self.lead,
                name=str(self._place(band)[0]),
            )

    @property
    def _block(self) -> tuple[Any, ...]:
        return self.tile.y, self.tile.x, self.tile.lead

    def _place(self, band: int | None) -> tuple[Any, ...]:
        names, band = self.radiometry.names, band or 0
        return (names[band] if band < len(names) else band, self.lead, *self._block)

    def _finding(self, text: str, values: Block | None = None, band: int | None = None) -> Finding:
        sentence = f"Radiometry: {text}"
        if values is None:
            return Finding("RadiometryWarning", sentence, self._block, self._place(band))
        ends = float(values.min()), float(values.max())
        return Finding("RadiometryWarning", sentence, self._block, self._place(band), int(values.size), *ends)

    def _say_odd(self) -> str:
        advice = f"check quantification={self.radiometry.quantification:g} and offset={self.offset:g}"
        return (
            f"{{values}} in {{blocks}} lie outside of {PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g} in reflectance ({{range}}), "
            "as hardly any surface does. They are kept. If they are nodata, pass nodata= with the value as it is "
            f"stored; if there are many, {advice if self.is_dn else 'check how the numbers were scaled'}."
        )

    def _say_impossible(self) -> str:
        return (
            f"{{values}} in {{blocks}} are beyond {IMPOSSIBLE:g} in reflectance ({{range}}), which is no measurement. "
            "They are set to NaN. If they are nodata, pass nodata= with the value as it is stored."
        )

    def _say_saturated(self) -> str:
        value = f"{SATURATED:.0f}"
        if not self.is_dn:
            return (
                f"{{values}} in {{blocks}} have a reflectance of {{range}}, which is DN {value} and marks saturated "
                "pixels, or nodata that nothing declares. In the second case pass nodata= with that value."
            )
        return (
            f"{{values}} in {{blocks}} have the DN {value}, which marks saturated pixels, or nodata that nothing "
            f"declares. In the second case pass {self._nodata(value)}."
        )

    def _pass_nodata(self, value: str) -> str:
        """Return what to do about nodata, in words that hold for every function, with nodata= or without."""
        nodata = self._nodata(value)
        return f"If it is nodata, pass {nodata}, or convert first: cube.sr.reflectance({nodata})"

    def _nodata(self, value: str) -> str:
        known = [f"{each:g}" for each in self.radiometry.nodata]
        return f"nodata=({', '.join([*known, value])})" if known else f"nodata={value}"

    def _is_saturated(self, reflectance: Any) -> Any:
        """Return which values are the DN of saturated pixels, of floats with the offset of either kind of baseline."""
        if self.is_dn:
            return abs(reflectance * self.radiometry.quantification - self.offset - SATURATED) < 0.5
        with_offset, without = ((SATURATED + each) / _DN_PER_REFLECTANCE for each in (_BOA_ADD_OFFSET, 0.0))
        return (abs(reflectance - with_offset) < 5e-5) | (abs(reflectance - without) < 5e-5)


def _is_odd(plane: Block) -> Block:
    odd: Block = (plane < PLAUSIBLE[0]) | (plane > PLAUSIBLE[1])
    return odd


def _written(stored: Any) -> str:
    """Write a number of an array so that it is found again: -9999, -3.4028235e+38."""
    return str(stored).removesuffix(".0")


def _at_share(values: Block, share: float) -> float:
    """Return the value below which a share of the values lies: 0.5 for the median. No interpolation."""
    place = int((values.size - 1) * share)
    return float(np.partition(values, place)[place])  # one place a call: NumPy's fast path
