"""Scales and offsets as files and STAC declare them: where they stand, what they mean in DN, and which cannot be.

One reader for attributes of cubes, coordinates of stackstac and records of Items. Whether one was applied already is
not known here.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ..cube.product_metadata import plain_name, read_number
from ..errors import RadiometryError

__all__ = ["Scaling", "offset_in_dn", "read_scaling", "require_plausible"]

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
    `bands` with either. A scale of 1 with an offset of 0 is what readers write where the file says nothing, so it
    is no information. Returns None without any; what cannot be true is for `require_plausible`.
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
