"""What a GeoTIFF says of itself: names and colors of bands, date, classes, what made it. Writes no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ..analytics.area import HECTARE_M2, lazy_areas
from ..analytics.classes import AREA_ATTR, CLASS_COLORS, classes_of
from ..bands import match_bands
from ..conventions.own import ACQUISITION
from ..radiometry.resolve import OFFSET_COORD
from ..spec import SOURCE_ITEMS, SOURCE_LINKS
from .zarr.content import Content, Field

if TYPE_CHECKING:
    import dask.array as da
    from rasterio.enums import ColorInterp

_COLORS = {"B04": "red", "B03": "green", "B02": "blue"}


def color_interpretation(names: Sequence[str]) -> list[ColorInterp]:
    """Return the color of each band, so that a GIS shows true color for any order of bands.

    names: of all bands of a file. Without all three colors the first band is gray. No band is alpha, which GDAL makes
    of the fourth of four 8-bit bands by default.
    """
    from rasterio.enums import ColorInterp

    found = [band.name if band else "" for band in match_bands(names)]
    if all(found.count(band) == 1 for band in _COLORS):
        return [ColorInterp[_COLORS.get(band, "undefined")] for band in found]
    return [ColorInterp.gray, *[ColorInterp.undefined] * (len(names) - 1)]


def file_tags(content: Content, field: Field) -> dict[str, str]:
    """Return provenance as tags, `xr_sr_model` for `xr_sr:model` (a colon is GDAL's own), and the date in UTC."""
    provenance = {**field.attrs, **content.attrs}
    for name in (SOURCE_ITEMS, SOURCE_LINKS):
        if name in content.small.coords and content.small.coords[name].ndim == 0:
            provenance[f"xr_sr:{name}"] = str(content.small.coords[name].values)
    tags = {key.replace(":", "_"): str(value) for key, value in provenance.items() if key.startswith("xr_sr:")}
    offset = content.small.coords.get(OFFSET_COORD)
    if offset is not None and offset.ndim == 0:  # a file has no coordinates to look in
        added = float(offset)
        formula = f"(DN {'-' if added < 0 else '+'} {abs(added):g})" if added else "DN"
        if "xr_sr_radiometry" in tags:
            tags["xr_sr_radiometry"] = tags["xr_sr_radiometry"].replace(f"(DN + {OFFSET_COORD})", formula)
        if "xr_sr_dn_offset" in tags:
            tags["xr_sr_dn_offset"] = f"{added:g}"
    if "xr_sr_dn_nodata" in tags:
        tags["xr_sr_dn_nodata"] = " ".join(map(str, np.ravel(provenance["xr_sr:dn_nodata"])))
    date = _date_of(content.small)
    if date is not None:
        tags["TIFFTAG_DATETIME"] = str(date.dt.strftime("%Y:%m:%d %H:%M:%S").item())
        tags[ACQUISITION] = str(date.dt.strftime("%Y-%m-%dT%H:%M:%SZ").item())
    elif ACQUISITION in provenance:  # of a file of ours that was the input
        tags[ACQUISITION] = str(provenance[ACQUISITION])
    return tags


def class_tags(field: Field) -> dict[str, str]:
    """Return what the numbers of a band mean: "0 1 255" and "dry water unknown" for a map of classes, else {}."""
    values, words = field.attrs.get("flag_values"), field.attrs.get("flag_meanings")
    if values is None or words is None:
        return {}
    # Read back from a file, they are the text of the tag.
    return {
        "flag_values": values if isinstance(values, str) else " ".join(map(str, values)),
        "flag_meanings": str(words),
    }


def areas_to_measure(content: Content, field: Field) -> da.Array | None:
    """Return the areas of pixels in m2, (y, x), for a map of classes whose attributes say how to measure them."""
    method = field.attrs.get(AREA_ATTR)
    # Comparisons with a map of classes keep its attributes, and so does the float that `where` returns.
    whole = field.array.ndim == 2 and field.array.dtype.kind in "iu" and bool(classes_of(field.attrs))
    if method is None or not whole or content.geobox.crs is None:
        return None
    return lazy_areas(content.geobox, method, field.array.chunks)


def area_tag(areas_m2: Sequence[float]) -> dict[str, str]:
    """Return the areas of classes in hectares, down to square meters, in the order of `flag_values`."""
    return {"area_ha": " ".join(f"{area / HECTARE_M2:.4f}" for area in areas_m2)}


def color_table(fields: Sequence[Field]) -> dict[int, tuple[int, int, int]] | None:
    """Return the colors of a single map of classes, by value, as `plot` draws them; None for anything else."""
    if len(fields) != 1 or fields[0].array.ndim != 2 or fields[0].packing.dtype != "uint8":
        return None
    classes = classes_of(fields[0].attrs)
    if not classes or not set(classes) <= set(CLASS_COLORS):
        return None
    table = {}
    for name, value in classes.items():
        red, green, blue = bytes.fromhex(CLASS_COLORS[name].removeprefix("#"))
        table[value] = red, green, blue
    return table


def unknown_class(fields: Sequence[Field]) -> int | None:
    """Return the number that means "unknown" in all fields, which are maps of classes, else None.

    It is the nodata value of their file: a GeoTIFF has one for all of its bands.
    """
    found = {classes_of(field.attrs).get("unknown") for field in fields}
    return found.pop() if len(found) == 1 else None


def _date_of(small: xr.Dataset) -> xr.DataArray | None:
    """Return the one date of a raster: the scalar `time`, else the only other scalar date; None without one."""
    scalars = {name: coord for name, coord in small.coords.items() if coord.ndim == 0 and coord.dtype.kind == "M"}
    known = [date for name, date in scalars.items() if not date.isnull() and ("time" not in scalars or name == "time")]
    return known[0] if len(known) == 1 else None
