"""Class maps: which number means what, in uint8 and in attributes that CF readers know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import xarray as xr

from ..errors import CubeError
from ..georeference import crs_coord_name
from ..spec import provenance_of

Classes: TypeAlias = Mapping[str, int]

UNKNOWN = 255
"""Not seen: NaN in a band, as clouds and nodata are."""

WATER: Classes = {"dry": 0, "water": 1, "unknown": UNKNOWN}

FLOOD: Classes = {"dry": 0, "permanent": 1, "flooded": 2, "receded": 3, "unknown": UNKNOWN}

AGREEMENT: Classes = {"background": 0, "water": 1, "lr_only": 2, "sr_only": 3, "unknown": UNKNOWN}

KIND_ATTR = "xr_sr:classes"
"""The attribute in which a class map says which of these it is."""


def as_class_map(data: xr.DataArray, classes: Classes, *, kind: str, title: str, like: xr.DataArray) -> xr.DataArray:
    """Make a uint8 map say what its numbers mean. like: gives the name of the CRS coordinate, and says what made it."""
    made = data.astype("uint8").rename(kind)
    made.attrs = {
        "long_name": title,
        "flag_values": list(classes.values()),
        "flag_meanings": " ".join(classes),
        KIND_ATTR: kind,
        **provenance_of(like.attrs),
    }
    name = crs_coord_name(like)
    made.encoding = {"grid_mapping": name} if name in made.coords else {}
    return made


def is_map_of(obj: Any, kind: str) -> bool:
    """Tell whether something is a class map of a kind, as its attributes say."""
    # Not what a comparison made of one, such as flood == 2, which keeps the attributes.
    return isinstance(obj, xr.DataArray) and obj.attrs.get(KIND_ATTR) == kind and obj.dtype.kind != "b"


def as_water(mask: xr.DataArray, *, role: str) -> xr.DataArray:
    """Read a mask of water: 0 and 1 or false and true, beside them NaN or 255 for unknown; gives uint8 of `WATER`.

    role: for the message of the CubeError that is raised for a DataArray of another kind.
    """
    if is_map_of(mask, "water"):
        return mask
    if not isinstance(mask, xr.DataArray) or mask.dtype.kind not in "buif" or is_map_of(mask, "flood"):
        raise CubeError(
            f"{role} is no mask of water. Wanted is what water() gives, or a DataArray of true and false, or of 0 and "
            "1 with NaN or 255 for unknown."
        )
    values = mask.astype("uint8") if mask.dtype.kind == "b" else mask
    known = values.isin((0, 1))
    classes = xr.where(known, values, UNKNOWN) if mask.dtype.kind != "b" else values
    return as_class_map(classes.assign_coords(mask.coords), WATER, kind="water", title="water", like=mask)
