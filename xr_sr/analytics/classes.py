"""Class maps: which number means what, in uint8 and in attributes that CF readers know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import xarray as xr

from ..arguments import items_of
from ..cube.coordinates import placed
from ..cube.grid import crs_coord_name
from ..cube.lazy import kept_unread
from ..errors import CubeError
from ..spec import provenance_of

Classes: TypeAlias = Mapping[str, int]

UNKNOWN = 255
"""The class of pixels that are NaN in a band, such as clouds and nodata."""

WATER: Classes = {"dry": 0, "water": 1, "unknown": UNKNOWN}

FLOOD: Classes = {"dry": 0, "permanent": 1, "flooded": 2, "receded": 3, "unknown": UNKNOWN}

UNCERTAIN_WATER: Classes = {"dry": 0, "water": 1, "uncertain": 2, "unknown": UNKNOWN}

UNCERTAIN_FLOOD: Classes = {
    "dry": 0, "permanent": 1, "flooded": 2, "receded": 3, "uncertain": 4, "unknown": UNKNOWN,
}  # fmt: skip
"""Of maps with an error: uncertain is what has a probability between two limits, unknown what nothing was seen of."""

AGREEMENT: Classes = {"background": 0, "water": 1, "lr_only": 2, "sr_only": 3, "unknown": UNKNOWN}

# Okabe and Ito 2008, "Color Universal Design": distinguishable with any color vision, and ordered by lightness in gray.
CLASS_COLORS: Mapping[str, str] = {
    "dry": "#EFEBE0", "background": "#EFEBE0", "permanent": "#00456E", "water": "#0072B2", "flooded": "#E69F00",
    "receded": "#009E73", "lr_only": "#D55E00", "sr_only": "#F0E442", "unknown": "#9A9A9A",
    "uncertain": "#C8A2D8",  # no color of Okabe and Ito is left that looks neither like water nor like a flood
}  # fmt: skip

_EXPECTED = (
    "Expected the result of water(), or a DataArray of true and false, or of 0 and 1 with NaN or 255 for unknown."
)

KIND_ATTR = "xr_sr:classes"
"""The attribute in which a class map says which of these it is."""

LEVEL_ATTR, AREA_ATTR, LIMITS_ATTR = "xr_sr:threshold", "xr_sr:area", "xr_sr:limits"
"""The options of a class map, as attributes: a store is not resumed with others."""


def as_class_map(data: xr.DataArray, classes: Classes, *, kind: str, title: str, like: xr.DataArray) -> xr.DataArray:
    """Return a uint8 map with the meaning of its values in attributes. like: has the CRS coordinate and provenance."""
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
    """Return whether something is a class map of a kind, as its attributes say."""
    # Not what a comparison made of one, such as flood == 2, which keeps the attributes.
    return isinstance(obj, xr.DataArray) and obj.attrs.get(KIND_ATTR) == kind and obj.dtype.kind != "b"


def classes_of(attrs: Mapping[str, Any]) -> Classes:
    """Read the meaning of values from attributes of CF, or from the tags of a raster, "0 1 255"; {} without any."""
    values = attrs.get("flag_values", ())
    several = values.split() if isinstance(values, str) else items_of(values)
    codes = [values] if several is None else several
    try:
        return dict(zip(str(attrs.get("flag_meanings", "")).split(), map(int, codes), strict=False))
    except (OverflowError, TypeError, ValueError):  # infinity, a mapping, a word
        return {}


def whole_classes(classes: xr.DataArray) -> xr.DataArray:
    """Return a class map with whole numbers; NaN, which `where` leaves in it, and means become unknown.

    Raises CubeError for true and false: a comparison keeps the attributes of its map, and has lost the classes.
    """
    if classes.dtype.kind == "b":
        raise CubeError(
            f"expected a map of classes ({classes.attrs.get('flag_meanings')}); this holds booleans, as a "
            "comparison with such a map returns. Pass the map itself, or a mask: "
            "comparison.drop_attrs(deep=False)."
        )
    if classes.dtype.kind != "f":
        return classes
    # Means of classes, which xarray returns with the attributes of their map, are not classes.
    codes = list(classes_of(classes.attrs).values())
    known = classes.isin(codes) if codes else classes.notnull()
    return classes.where(known, UNKNOWN).astype("uint8").assign_attrs(classes.attrs)


def as_water(mask: xr.DataArray, *, role: str) -> xr.DataArray:
    """Read a mask of water: 0 and 1 or false and true, beside them NaN or 255 for unknown; returns uint8 of `WATER`.

    What is uncertain becomes unknown.

    role: for the message of the CubeError that is raised for a DataArray of another kind.
    """
    if is_map_of(mask, "water"):
        made = whole_classes(placed(kept_unread(mask)))
        if "uncertain" not in classes_of(made.attrs):
            return made
        made = made.where(made != UNCERTAIN_WATER["uncertain"], UNKNOWN).assign_attrs(made.attrs)
        return made.assign_attrs(flag_values=list(WATER.values()), flag_meanings=" ".join(WATER))
    if isinstance(mask, xr.Dataset) and "water" in mask:
        raise CubeError(
            f"{role} is a map of water with its error, and the map alone is wanted: pass {role}['water'], of which "
            "uncertain pixels count as unknown."
        )
    if not isinstance(mask, xr.DataArray) or mask.dtype.kind not in "buif":
        raise CubeError(f"{role} is no mask of water, but a {type(mask).__name__}. {_EXPECTED}")
    if kind := next((kind for kind in ("flood", "agreement") if is_map_of(mask, kind)), None):
        raise CubeError(
            f"{role} is no mask of water: its attributes say that it is a map of {kind}. {_EXPECTED} Numbers made from "
            "such a map keep its attributes: pass the comparison itself (found == 2), or drop_attrs(deep=False)."
        )
    mask = placed(kept_unread(mask))
    values = mask.drop_vars(list(mask.coords))
    if mask.dtype.kind != "b":
        values = xr.where(values.isin((0, 1)), values, UNKNOWN)
    return as_class_map(values.assign_coords(mask.coords), WATER, kind="water", title="water", like=mask)
