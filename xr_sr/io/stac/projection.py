"""Where a grid lies, as fields of STAC: the projection extension, and a footprint in degrees."""

from __future__ import annotations

import json
from typing import Any

from odc.geo.geobox import GeoBox

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"


def projection_fields(geobox: GeoBox) -> dict[str, Any]:
    """Give `proj:code` (or `proj:wkt2` where the CRS has no code), `proj:bbox`, `proj:shape` and `proj:transform`."""
    facts: dict[str, Any] = {}
    if geobox.crs is not None:
        epsg = geobox.crs.epsg
        facts["proj:code"] = f"EPSG:{epsg}" if epsg else None
        if not epsg:
            facts["proj:wkt2"] = geobox.crs.to_wkt()
        facts["proj:bbox"] = list(geobox.boundingbox.bbox)
    return {**facts, "proj:shape": list(geobox.shape.yx), "proj:transform": list(geobox.affine)[:6]}


def outline(geobox: GeoBox) -> tuple[dict[str, Any], list[float]]:
    """Return the footprint of a grid with a CRS as GeoJSON in degrees, and its bbox (west, south, east, north).

    A grid across the antimeridian becomes two polygons, and the bbox has west > east, as GeoJSON wants it.
    """
    shape = geobox.footprint("EPSG:4326", npoints=10, wrapdateline=True)
    west, south, east, north = shape.boundingbox.bbox
    if boxes := [part.boundingbox for part in shape.geoms]:
        west = min(box.left for box in boxes if box.left > 0)
        east = max(box.right for box in boxes if box.right < 0)
    geometry: dict[str, Any] = json.loads(json.dumps(shape.json))  # lists: validators take tuples for no arrays
    return geometry, [float(side) for side in (west, south, east, north)]
