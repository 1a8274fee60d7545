"""Geobox in, geobox out: the coordinates of a finer grid, and how large a pixel is on the ground.

Knows coordinates and CRS only, never pixels: nothing here touches the values of an array. The grid of a cube is found
in `locating`, its CRS in `crs`; both are offered here too, for what works with grids.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TypeVar

import numpy as np
import odc.geo.xr
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from .axes import spatial_dims
from .crs import crs_coord_name, crs_label, is_crs_coord
from .locating import Grid, geobox_of, grid_mapping, grid_of
from .transforms import SHAPE_ATTR

__all__ = [
    "Grid",
    "coords",
    "crs_coord_name",
    "crs_label",
    "fine_coords",
    "geobox_of",
    "grid_of",
    "is_crs_coord",
    "pixel_size_m",
    "place_of",
    "placed",
    "spatial_dims",
    "zoomed",
]

Placeable = TypeVar("Placeable", xr.DataArray, xr.Dataset)


def placed(obj: Placeable) -> Placeable:
    """Write into a cube what `grid_of` found: centers of pixels as coordinates, the CRS as a CF coordinate.

    What odc-geo and rioxarray read already comes back as the same object; so does what has no spatial dimensions.
    """
    grid, dims = grid_of(obj), spatial_dims(obj)
    if grid is None or dims is None:
        return obj
    name, mapping, moved = crs_coord_name(obj), grid_mapping(obj), any(grid.shift)
    if not moved and (grid.geobox.crs is None or not {"crs_wkt", "spatial_ref"}.isdisjoint(mapping)):
        return obj
    made = coords(grid.geobox, name, dims=dims)
    if moved:
        for dim in dims:
            made[dim].attrs = dict(obj.coords[dim].attrs)
    else:
        made = {name: made[name]}
        if "GeoTransform" in mapping:
            made[name].attrs["GeoTransform"] = mapping["GeoTransform"]
    return obj.drop_vars([name], errors="ignore").assign_coords(made)


def zoomed(geobox: GeoBox, scale: int) -> GeoBox:
    """Return the geobox of the same ground with `scale` times finer pixels; its shape is exact, in whole numbers."""
    height, width = geobox.shape
    return geobox.zoom_to((height * scale, width * scale))


def coords(
    geobox: GeoBox, name: str = "spatial_ref", *, dims: tuple[str, str] | None = None
) -> dict[Hashable, xr.DataArray]:
    """Make the coordinates of a geobox: y, x (names as `dims` says) and the one of the grid, called `name`."""
    return fine_coords(Grid.alone(geobox), 1, name, dims=dims)


def fine_coords(
    grid: Grid, scale: int, name: str = "spatial_ref", *, dims: tuple[str, str] | None = None
) -> dict[Hashable, xr.DataArray]:
    """Make the coordinates of a grid refined `scale` times: pixel centres, in the CRS's unit.

    The outcome reads back as `zoomed(grid.geobox, scale)`, by odc-geo and by rioxarray, without any rounding. Each
    coordinate is the edge of its coarse pixel on the parent's lattice plus its place inside: a formula that does not
    know where the crop begins. A cube that names a CRS without a place in it gets none, as pixel numbers would be taken
    for one. Rotated grids have their place in `GeoTransform` alone, and no y and x: pixel numbers
    would differ between two crops where they overlap. Grids without a CRS have a `GeoTransform` too.
    (rioxarray takes half a pixel off the first coordinate. Where `edge + half - half != edge` in floating point, once
    in some 1e5 grids of odd numbers and never in whole metres, it is off by the last bit, whatever stands there.)
    """
    if not grid.located and grid.assumed:
        return {}
    geobox = zoomed(grid.geobox, scale)
    made = odc.geo.xr.xr_coords(geobox, name, dims=dims or geobox.dimensions)
    y, x = list(made)[:2]
    if geobox.crs is None and grid.located:
        transform = " ".join(map(repr, geobox.affine.to_gdal()))
        made[name] = xr.DataArray(np.int32(0), attrs={"GeoTransform": transform})
    if not geobox.axis_aligned:
        made[name].attrs[SHAPE_ATTR] = "{} {}".format(*geobox.shape)  # tells a slice, which keeps the transform
        return {name: made[name]}

    lattice, (height, width) = grid.lattice, grid.geobox.shape
    for dim, count, start, step, origin, fine_step in (
        (y, height, grid.row, lattice.e, lattice.f, geobox.affine.e),
        (x, width, grid.col, lattice.a, lattice.c, geobox.affine.a),
    ):
        edges = np.arange(start, start + count) * step + origin
        centres = edges[:, None] + (np.arange(scale) + 0.5) * fine_step
        made[dim] = xr.DataArray(centres.ravel(), dims=(dim,), attrs=made[dim].attrs)
    return made


def pixel_size_m(geobox: GeoBox) -> tuple[float, float] | None:
    """Measure the pixel at the centre of a geobox along the ground: (height, width) in metres.

    Measured on the ellipsoid, so degrees, feet and Web Mercator need no case of their own; 10 m of UTM are 9.996 m to
    10.01 m of ground. None without a CRS, or where the centre lies outside of the world. Source: pyproj `Geod.inv`.
    """
    if geobox.crs is None:
        return None
    from pyproj import Transformer

    crs = geobox.crs.proj
    geod, geographic = crs.get_geod(), crs.geodetic_crs
    if geod is None or geographic is None:
        return None
    row, col = geobox.shape.y / 2, geobox.shape.x / 2
    ends = [geobox.affine @ end for end in ((col, row - 0.5), (col, row + 0.5), (col - 0.5, row), (col + 0.5, row))]
    to_lonlat = Transformer.from_crs(crs, geographic, always_xy=True)
    lon, lat = to_lonlat.transform([end[0] for end in ends], [end[1] for end in ends])
    if not np.isfinite([*lon, *lat]).all():
        return None
    _, _, (height, width) = geod.inv(lon[::2], lat[::2], lon[1::2], lat[1::2])
    return float(height), float(width)


def place_of(grid: Grid) -> tuple[int, int]:
    """Return the row and column of a grid's first pixel, counted in its pixels from the origin of the CRS.

    All crops of one parent are counted alike, exactly: only the parent's own place is rounded to whole pixels.
    """
    turn = Affine(grid.lattice.a, grid.lattice.b, 0.0, grid.lattice.d, grid.lattice.e, 0.0)
    col, row = ~turn @ (grid.lattice.c, grid.lattice.f)
    # Not at halves, where parents that begin at the middle of a pixel would be rounded one way or the other.
    return math.floor(row + 0.501) + grid.row, math.floor(col + 0.501) + grid.col
