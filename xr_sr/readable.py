"""What of a georeference cannot be read: metadata at which odc-geo raises, coordinates that a CRS in degrees has not.

Knows attributes and geoboxes only; which grid a cube has is found by `georeference`.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from .errors import GridError

__all__ = ["refuse_beyond_degrees", "transform_of", "without_unreadable"]

XarrayObject: TypeAlias = "xr.DataArray | xr.Dataset"


def without_unreadable(obj: XarrayObject) -> XarrayObject:
    """Drop a `grid_mapping` that is no name, and a `GeoTransform` whose pixels have no width: odc-geo raises there."""
    for holder in ("attrs", "encoding"):
        kept = getattr(obj, holder)
        if not isinstance(kept.get("grid_mapping", ""), str):
            obj = obj.copy(deep=False)
            setattr(obj, holder, {key: value for key, value in kept.items() if key != "grid_mapping"})
    for name, coord in obj.coords.items():
        if "GeoTransform" in coord.attrs and coord.ndim == 0 and transform_of(coord) is None:
            plain = {key: value for key, value in coord.attrs.items() if key != "GeoTransform"}
            obj = obj.assign_coords({name: xr.Variable((), coord.variable.data, plain, coord.encoding)})
    return obj


def transform_of(coordinate: xr.DataArray) -> Affine | None:
    """Read `GeoTransform` of a coordinate; None without six finite numbers that give pixels a width."""
    try:
        affine = Affine.from_gdal(*map(float, str(coordinate.attrs.get("GeoTransform", "")).split()))
    except (TypeError, ValueError):
        return None
    return affine if all(map(math.isfinite, affine)) and affine.determinant else None


def refuse_beyond_degrees(geobox: GeoBox) -> None:
    """Raise GridError where a CRS counts in degrees and pixel centres are no latitudes or longitudes."""
    if geobox.crs is None or not geobox.crs.geographic:
        return
    rows, cols = geobox.shape
    corners = [geobox.affine @ (col, row) for col in (0.5, cols - 0.5) for row in (0.5, rows - 0.5)]
    for name, values, limit in (
        ("latitudes", [y for _, y in corners], 90.0),
        ("longitudes", [x for x, _ in corners], 360.0),
    ):
        if not max(map(abs, values)) <= limit + 1e-6:
            raise GridError(
                f"the CRS {_label(geobox.crs)} counts in degrees, and the {name} of the pixels run from "
                f"{min(values):.10g} to {max(values):.10g}; expected at most {limit:g} degrees from zero. If they are "
                "metres, write the CRS that they belong to, such as cube.rio.write_crs('EPSG:32633'); else crop the "
                "cube to what lies on Earth."
            )


def _label(crs: CRS) -> str:
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs)[:60]
