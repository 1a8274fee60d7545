"""Read the values of product metadata: baselines, flags, names of ESA products, declared scales and offsets.

One reader for attributes of cubes, coordinates of stackstac and records of STAC Items. The names of these metadata are
in `conventions`; `metadata` finds them in a cube. Whether a declared scale was applied already is not known here.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ..conventions import plain_name
from ..errors import RadiometryError

BOA_ADD_OFFSET = -1000.0
"""In DN, from FIRST_BASELINE_WITH_OFFSET on. Source: ESA, Sentinel-2 Products Specification Document."""

FIRST_BASELINE_WITH_OFFSET = 4.0

FIRST_DAY_WITH_OFFSET = np.datetime64("2022-01-26", "D")
"""Every product sensed from this day on has a baseline with the offset; older days may have been reprocessed with it.

Baseline 04.00 came into operation on 25 January 2022.
"""

_BETWEEN = ((2.142, 2.998), (3.012, 3.998), (4.002, 4.998))
"""No baseline of ESA lies here: 02.14 was followed by 03.00, 03.01, 04.00 and 05.00. Source: Copernicus SentiWiki.

The mean of baselines without and with the offset lies here, for up to 12 items of 02.04 and later, unless it happens to
be a baseline itself, as that of 03.00 and 05.00 is.
"""

_PRODUCT = re.compile(r"S2[A-Z]_MSIL(?:1C|2A)_(\d{4})(\d{2})(\d{2})T\d{6}_N(\d{4})_R\d{3}")
_HARMONIZED = re.compile(r"(?:\S*[/:])?COPERNICUS/S2(?:_SR)?_HARMONIZED(/\S+)?/?", re.IGNORECASE)
_UNKNOWN = {"", "nan", "nat", "none", "null", "unknown", "n/a", "na"}


@dataclass(frozen=True)
class Product:
    """What the name of a product contains. days: of sensing, UTC; several where several products are named."""

    baseline: float
    days: frozenset[np.datetime64]


def read_product(value: object) -> Product | None:
    """Find names of ESA products, such as "S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_...", in a text.

    None where there is none. Raises RadiometryError where products of several baselines are named.
    """
    found = _PRODUCT.findall(_text(value)) if isinstance(value, str | bytes) else []
    products = [
        (baseline, f"{year}-{month}-{day}")
        for year, month, day, digits in found
        if (baseline := read_baseline(digits)) is not None
    ]
    if not products:
        return None
    baselines = {baseline for baseline, _ in products}
    if len(baselines) > 1:
        raise RadiometryError(f"it names products of different baselines, {sorted(baselines)}")
    return Product(baselines.pop(), frozenset(day for _, text in products if (day := read_day(text)) is not None))


def read_day(value: object) -> np.datetime64 | None:
    """Read a day from a date or from a text that begins with one, "2022-07-01"; None where there is none."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[D]")
    text = _text(value)[:10] if isinstance(value, str | bytes) else str(value)[:10]
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return None
    try:
        return np.datetime64(text, "D")
    except ValueError:  # 30 February, of a calendar of 360 days
        return None


def read_baseline(value: object) -> float | None:
    """Read a processing baseline as a number: 5.09 of 5.09, "05.09", "N0509", "0509", 5 of "5.0"; None if not known.

    99.99 is what a local run of Sen2Cor writes, whatever its version, so it means nothing.
    Raises RadiometryError for numbers in `_BETWEEN`, as the mean of baselines on both sides of 04.00 is. Other means,
    such as 5.05 of 05.00 and 05.10, pass: what is averaged there has one offset.
    """
    text = _text(value).strip().upper().removeprefix("N") if isinstance(value, str | bytes) else None
    if text is not None and not re.fullmatch(r"\d{4}|\d{2}\.\d|\d{1,2}\.\d{2}|0?[45](\.0)?|0[23]", text):
        return None  # "1.2" or "2" is the version of something else
    number = read_number(value if text is None else text)
    if number is None or not math.isfinite(number):
        return None
    number = number / 100 if number >= 100 else number
    if not 0 < number < 90:
        return None
    if text is None and any(low < number < high for low, high in _BETWEEN):
        raise RadiometryError(
            f"{number:.4g} is no processing baseline of ESA, but may be the mean of several: load items of different "
            "baselines as different dates, or pass offset="
        )
    return number


def read_flag(value: object) -> bool | None:
    """Read a flag that may have been stored as a number or as text; None where it is not known.

    Raises RadiometryError for what is neither true nor false, such as 0.5, the mean of a flag over two items.
    """
    if isinstance(value, str | bytes):
        text = _text(value).strip().lower()
        if text in _UNKNOWN:
            return None
        known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
        if text in known:
            return known[text]
    else:
        number = read_number(value)
        if number is None or math.isnan(number):
            return None
        if number in (0, 1):
            return number == 1
    raise RadiometryError(
        f"{value!r} is neither true nor false; a fraction is the mean of the flags of several items: load items "
        "with different flags as different dates, or pass offset="
    )


def read_harmonized(value: object) -> str | None:
    """Return whether a text is the id of a HARMONIZED "collection" of Earth Engine, or of an "image" of one; else None.

    Earth Engine subtracts 1000 DN from the images there, and keeps the properties of the ESA product: the baseline
    says nothing of the pixels. Source: COPERNICUS/S2_SR_HARMONIZED in Earth Engine's catalog.
    """
    found = _HARMONIZED.fullmatch(_text(value).strip()) if isinstance(value, str | bytes) else None
    return None if found is None else "image" if found[1] else "collection"


def read_number(value: object) -> float | None:
    """Read one number; None where it is none."""
    try:
        return float(np.asarray(value).reshape(()).item()) if value is not None else None
    except (TypeError, ValueError):
        return None


def offset_of_baseline(baseline: float) -> float:
    """Return the offset in DN that a processing baseline means."""
    return BOA_ADD_OFFSET if baseline >= FIRST_BASELINE_WITH_OFFSET else 0.0


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


_CF = "scale_factor and add_offset"
_CORRECT = "Correct the metadata, or pass offset="


@dataclass(frozen=True)
class Scaling:
    """A declared linear conversion, value = stored * scale + offset; `scale` is None where only the offset is declared.

    name: of what declares it. kept: it stands in attributes, of which joining keeps those of the first array.
    """

    name: str
    scale: float | None
    offset: float
    kept: bool = False

    def __str__(self) -> str:
        """Return what is declared, for a message."""
        scale = "no scale" if self.scale is None else f"the scale {self.scale:g}"
        return f"{self.name} declare {scale} and the offset {self.offset:g}"


def read_scaling(holder: Mapping[Any, Any], *, kept: bool = False) -> Scaling | None:
    """Find a scale and an offset in attributes, coordinates of one band, an encoding, or the record of an asset.

    Known are CF's `scale_factor` and `add_offset`, STAC's `raster:scale` and `raster:offset`, and `raster:bands` and
    `bands` with either. A scale of 1 with an offset of 0 is what readers write by default, so it is no
    information. Returns None without any; what cannot be true is for `require_plausible`.
    """
    plain = {plain_name(key): value for key, value in holder.items()}
    nested = _first_record(plain.get("raster_bands")) or _first_record(plain.get("bands"))
    for name, scale_key, offset_key, where in (
        (_CF, "scale_factor", "add_offset", plain),
        ("raster:scale and raster:offset", "raster_scale", "raster_offset", plain),
        ("raster:bands", "scale", "offset", nested),
        ("raster:bands", "raster_scale", "raster_offset", nested),
    ):
        scale, offset = read_number(where.get(scale_key)), read_number(where.get(offset_key))
        if scale not in (None, 1.0) or offset not in (None, 0.0):
            return Scaling(name, scale, offset or 0.0, kept)
    return None


def require_plausible(scaling: Scaling) -> None:
    """Raise RadiometryError for a scale or an offset that no reflectance can have."""
    scale, offset = scaling.scale, scaling.offset
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise RadiometryError(f"{scaling}; a scale is reflectance per DN, such as 0.0001. {_CORRECT}.")
    if not math.isfinite(offset):
        raise RadiometryError(f"{scaling}; an offset is a number, such as -0.1 beside a scale of 0.0001. {_CORRECT}.")
    if scale is not None and scale > 1:
        raise RadiometryError(
            f"{scaling}; a scale is reflectance per DN, such as 0.0001. {_CORRECT}, with quantification={scale:g} if "
            "that many DN are reflectance 1."
        )
    if scale not in (None, 1.0) and abs(offset) > 1:
        raise RadiometryError(
            f"{scaling}, which makes reflectance {offset:g} of DN 0; beside a scale the offset is in reflectance, such "
            f"as -0.1. {_CORRECT}, in DN."
        )


def offset_in_dn(scaling: Scaling, quantification: float) -> float:
    """Return the offset in DN that a declared scale and offset mean.

    Raises RadiometryError where it cannot be known: for what `require_plausible` refuses, and for a scale that is not
    that of `quantification` DN per unit of reflectance.
    """
    require_plausible(scaling)
    scale, offset = scaling.scale, scaling.offset
    if scale is None or scale == 1:
        if scale is None and 0 < abs(offset) < 1:
            return round(offset * quantification, 3)
        if offset == int(offset):
            return offset
        raise RadiometryError(f"{scaling}, which is no offset in DN. Pass offset=.")
    if not math.isclose(1 / scale, quantification, rel_tol=1e-3):
        raise RadiometryError(
            f"{scaling}, so {1 / scale:.6g} DN are reflectance 1, and not quantification={quantification:g}. Pass "
            f"quantification={1 / scale:.6g}, and offset= if you know better."
        )
    return round(offset / scale, 3)


def _first_record(value: object) -> Mapping[Any, Any]:
    """Return the first record of `raster:bands`, which may be a list, one record, an array of them, or its text."""
    if isinstance(value, xr.DataArray):
        value = value.values.reshape(-1)[0] if value.ndim == 0 else None
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
            return {}
    if isinstance(value, list | tuple | np.ndarray) and len(value):
        value = value[0]
    return {plain_name(key): each for key, each in value.items()} if isinstance(value, Mapping) else {}
