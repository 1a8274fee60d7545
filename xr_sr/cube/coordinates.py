"""Make the coordinates of grids and of finer ones, so that odc-geo and rioxarray read the same grid back."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

import numpy as np
import odc.geo.xr
import xarray as xr
from odc.geo.geobox import GeoBox

from .grid import Grid, crs_coord_name, grid_mapping, grid_of, spatial_dims
from .transforms import SHAPE_ATTR

Placeable = TypeVar("Placeable", xr.DataArray, xr.Dataset)


def zoomed(geobox: GeoBox, scale: int) -> GeoBox:
    """Return the geobox of the same ground with `scale` times finer pixels; its shape is exact, in whole numbers."""
    height, width = geobox.shape
    return geobox.zoom_to((height * scale, width * scale))


def coords(
    geobox: GeoBox, name: str = "spatial_ref", *, dims: tuple[str, str] | None = None
) -> dict[Hashable, xr.DataArray]:
    """Make the coordinates of a geobox: y, x (names as in `dims`) and the one of the grid, called `name`."""
    return fine_coords(Grid.alone(geobox), 1, name, dims=dims)


def fine_coords(
    grid: Grid, scale: int, name: str = "spatial_ref", *, dims: tuple[str, str] | None = None
) -> dict[Hashable, xr.DataArray]:
    """Make the coordinates of a grid refined `scale` times: pixel centers, in the CRS's unit.

    The outcome reads back as `zoomed(grid.geobox, scale)`, by odc-geo and by rioxarray, without any rounding. Each
    coordinate is the edge of its coarse pixel on the parent's lattice plus its place inside: a formula that does not
    know where the crop begins. A cube that names a CRS without a place in it gets none, as pixel numbers would be taken
    for one. Rotated grids have their place in `GeoTransform` alone, and no y and x: pixel numbers
    would differ between two crops where they overlap. Grids without a CRS have a `GeoTransform` too.
    (rioxarray takes half a pixel off the first coordinate. Where `edge + half - half != edge` in floating point, once
    in some 1e5 grids of odd numbers and never in whole meters, it is off by the last bit, whatever stands there.)
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
        made[name].attrs[SHAPE_ATTR] = "{} {}".format(*geobox.shape)  # shows slices, which keep the transform
        return {name: made[name]}

    lattice, (height, width) = grid.lattice, grid.geobox.shape
    for dim, count, start, step, origin, fine_step in (
        (y, height, grid.row, lattice.e, lattice.f, geobox.affine.e),
        (x, width, grid.col, lattice.a, lattice.c, geobox.affine.a),
    ):
        edges = np.arange(start, start + count) * step + origin
        centers = edges[:, None] + (np.arange(scale) + 0.5) * fine_step
        made[dim] = xr.DataArray(centers.ravel(), dims=(dim,), attrs=made[dim].attrs)
    return made


def placed(obj: Placeable) -> Placeable:
    """Write the grid into a cube: centers of pixels as coordinates, the CRS as a CF coordinate.

    Returns the same object if odc-geo and rioxarray read it already, or it has no spatial dimensions.
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
