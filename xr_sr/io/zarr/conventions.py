"""Write the grid as attributes of the Zarr conventions `proj:`, `spatial:` and `multiscales`, in addition to CF.

Geoboxes in, attributes out. CF's `grid_mapping` is made of coordinates, by `cube.grid`.
Sources: zarr-conventions/proj, /spatial and /multiscales, release v0.1; names, UUIDs and descriptions as their schemas
require them. A node declares its conventions in `zarr_conventions`, a list of objects. Plain xarray passes attributes
on, and netCDF cannot hold such a list, so nodes that xarray opens as Datasets and variables declare them on request
only (`declared`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyproj
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

DECLARATION = "zarr_conventions"
"""The attribute in which a node declares its conventions."""


def _convention(name: str, uuid: str, description: str) -> dict[str, str]:
    return {
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{name}/blob/v0.1/README.md",
        "uuid": uuid,
        "name": name,
        "description": description,
    }


PROJ = _convention(
    "proj",
    "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "Coordinate reference system information for geospatial data",
)
SPATIAL = _convention("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information")
MULTISCALES = _convention("multiscales", "d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets")

_OWN = (DECLARATION, "multiscales")
_CODE = re.compile(r"[A-Z]+:[0-9]+")


def grid_attrs(geobox: GeoBox, dims: tuple[str, str], *, declared: bool = False) -> dict[str, Any]:
    """Describe the grid of an array; declared: say which conventions these attributes follow.

    The transform is in the order of `Affine`: x = a * col + b * row + c, with (0, 0) at the corner of the first pixel.
    `proj:` is inherited by the direct children of a group only, so every level of a pyramid says it again.
    """
    return {**_place_attrs(geobox, dims, declared=declared), **_pixel_attrs(geobox)}


def group_attrs(geobox: GeoBox, dims: tuple[str, str], *, declared: bool = False) -> dict[str, Any]:
    """Describe the grid of the arrays in a group, with its bounding box; a draft after v0.1 has that on groups only."""
    return {**grid_attrs(geobox, dims, declared=declared), **_box_attrs(geobox)}


def pyramid_attrs(geoboxes: Sequence[GeoBox], dims: tuple[str, str]) -> dict[str, Any]:
    """Describe a pyramid, for the group above its levels "0" (finest), "1", ...; each has pixels twice as large.

    This group has no arrays, so the conventions are always declared. Transform and shape stand with each level only,
    as the `spatial` convention asks for where both are used.
    """
    layout: list[dict[str, Any]] = []
    for level, geobox in enumerate(geoboxes):
        entry: dict[str, Any] = {"asset": str(level)}
        if level:
            entry["derived_from"] = str(level - 1)
        scale = 2.0 if level else 1.0
        entry["transform"] = {"scale": [scale, scale], "translation": [0.0, 0.0]}
        layout.append({**entry, **_pixel_attrs(geobox)})
    attrs = {**_place_attrs(geoboxes[0], dims, declared=True), **_box_attrs(geoboxes[0])}
    attrs[DECLARATION] = [MULTISCALES, *attrs[DECLARATION]]
    attrs["multiscales"] = {"layout": layout, "resampling_method": "average"}
    return attrs


def crs_text(crs: CRS) -> str:
    """Return the name of a CRS by its code, "EPSG:32633", or by its WKT if no registered one is exactly the same."""
    authority = crs.proj.to_authority()
    if authority is not None and pyproj.CRS.from_authority(*authority) == crs.proj:
        return ":".join(authority)
    return str(crs.to_wkt())


def without_conventions(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out what this module writes: readers of the store have it as a geobox."""
    return {
        key: value for key, value in attrs.items() if key not in _OWN and not str(key).startswith(("spatial:", "proj:"))
    }


def coarser(geobox: GeoBox) -> GeoBox:
    """Get the geobox of the next level: pixels twice as large from the same corner; an odd row or column adds one."""
    height, width = geobox.shape
    a, b, c, d, e, f = geobox.affine[:6]
    return GeoBox((-(-height // 2), -(-width // 2)), Affine(2 * a, 2 * b, c, 2 * d, 2 * e, f), geobox.crs)


def _place_attrs(geobox: GeoBox, dims: tuple[str, str], *, declared: bool) -> dict[str, Any]:
    attrs: dict[str, Any] = {"spatial:dimensions": list(dims)}
    if geobox.crs is not None:
        name = crs_text(geobox.crs)
        attrs["proj:code" if _CODE.fullmatch(name) else "proj:wkt2"] = name
    if declared:
        attrs[DECLARATION] = [SPATIAL] if geobox.crs is None else [PROJ, SPATIAL]
    return attrs


def _pixel_attrs(geobox: GeoBox) -> dict[str, Any]:
    transform, shape = [float(number) for number in geobox.affine[:6]], [int(side) for side in geobox.shape]
    return {"spatial:transform": transform, "spatial:shape": shape}


def _box_attrs(geobox: GeoBox) -> dict[str, Any]:
    box = geobox.boundingbox
    return {"spatial:bbox": [float(side) for side in (box.left, box.bottom, box.right, box.top)]}
