"""Where the pixels lie, said in attributes: the Zarr conventions `proj:`, `spatial:` and `multiscales`, beside CF.

Geoboxes in, attributes out. CF's `grid_mapping` is made of coordinates, by `georeference`.
Sources: zarr-conventions/geo-proj, /spatial and /multiscales, all v1; names, UUIDs and descriptions as their schemas
want them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyproj
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox


def _convention(repository: str, uuid: str, name: str, description: str) -> dict[str, str]:
    return {
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{repository}/refs/tags/v1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{repository}/blob/v1/README.md",
        "uuid": uuid,
        "name": name,
        "description": description,
    }


PROJ = _convention(
    "geo-proj",
    "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "proj:",
    "Coordinate reference system information for geospatial data",
)
SPATIAL = _convention("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "spatial", "Spatial coordinate information")
MULTISCALES = _convention(
    "multiscales", "d35379db-88df-4056-af3a-620245f8e347", "multiscales", "Multiscale layout of zarr datasets"
)

_OWN = ("zarr_conventions", "multiscales")
_CODE = re.compile(r"[A-Z]+:[0-9]+")


def grid_attrs(geobox: GeoBox, dims: tuple[str, str]) -> dict[str, Any]:
    """Describe one grid, for a group and for each array on it.

    The transform is in the order of `Affine`: x = a * col + b * row + c, with (0, 0) at the corner of the first pixel.
    `proj:` is inherited by the direct children of a group only, so every level of a pyramid says it again.
    """
    attrs = _place_attrs(geobox, dims)
    attrs["spatial:transform"] = [float(number) for number in geobox.affine[:6]]
    attrs["spatial:shape"] = [int(side) for side in geobox.shape]
    return attrs


def pyramid_attrs(geoboxes: Sequence[GeoBox], dims: tuple[str, str]) -> dict[str, Any]:
    """Describe a pyramid, for the group above its levels "0" (finest), "1", ...; each has pixels twice as large.

    Transform and shape stand with each level only, as the `spatial` convention asks for where both are used.
    """
    layout: list[dict[str, Any]] = []
    for level, geobox in enumerate(geoboxes):
        entry: dict[str, Any] = {"asset": str(level)}
        if level:
            entry["derived_from"] = str(level - 1)
        scale = 2.0 if level else 1.0
        entry["transform"] = {"scale": [scale, scale], "translation": [0.0, 0.0]}
        entry["spatial:shape"] = [int(side) for side in geobox.shape]
        entry["spatial:transform"] = [float(number) for number in geobox.affine[:6]]
        layout.append(entry)
    attrs = _place_attrs(geoboxes[0], dims)
    attrs["zarr_conventions"] = [MULTISCALES, *attrs["zarr_conventions"]]
    attrs["multiscales"] = {"layout": layout, "resampling_method": "average"}
    return attrs


def crs_text(crs: CRS) -> str:
    """Name a CRS by its code, "EPSG:32633", or by its WKT if no registered one is exactly the same."""
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
    """Give the geobox of the next level: pixels twice as large from the same corner; an odd row or column adds one."""
    height, width = geobox.shape
    a, b, c, d, e, f = geobox.affine[:6]
    return GeoBox((-(-height // 2), -(-width // 2)), Affine(2 * a, 2 * b, c, 2 * d, 2 * e, f), geobox.crs)


def _place_attrs(geobox: GeoBox, dims: tuple[str, str]) -> dict[str, Any]:
    attrs: dict[str, Any] = {"zarr_conventions": [SPATIAL], "spatial:dimensions": list(dims)}
    box = geobox.boundingbox
    attrs["spatial:bbox"] = [float(side) for side in (box.left, box.bottom, box.right, box.top)]
    if geobox.crs is not None:
        attrs["zarr_conventions"] = [PROJ, SPATIAL]
        name = crs_text(geobox.crs)
        attrs["proj:code" if _CODE.fullmatch(name) else "proj:wkt2"] = name
    return attrs
