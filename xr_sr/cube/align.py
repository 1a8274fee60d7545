"""Bring masks and classes to the grid and the dates of a cube by selecting pixels and dates, without interpolation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import xarray as xr
from affine import Affine
from odc.geo import Shape2d

from ..errors import GridError
from .grid import Grid, crs_label, grid_of, spatial_dims
from .lazy import in_chunks
from .select import Cube

__all__ = ["same_dates", "to_grid"]


def to_grid(scl: xr.DataArray, cube: Cube, what: str = "scl=") -> xr.DataArray:
    """Bring classes or a mask to the grid of a cube: each pixel takes what lies at its centre.

    what: the argument, for messages. Gives (*lead, y, x) without coordinates of space; lazy if `scl` is.
    """
    dims, grid = spatial_dims(scl), grid_of(scl)
    if dims is None or grid is None:
        raise GridError(f"{what} has the dimensions {list(scl.dims)}; wanted are y and x, as the cube has them.")
    one = {dim: 0 for dim in scl.dims if dim not in (*dims, *cube.lead) and scl.sizes[dim] == 1}
    scl = in_chunks(scl.isel(one, drop=True), lead=cube.lead, band_dim=cube.band_dim)
    if extra := [dim for dim in scl.dims if dim not in (*dims, *cube.lead)]:
        raise GridError(
            f"{what} lies along {extra} too, which the bands do not: their dimensions are "
            f"{[*cube.lead, cube.y, cube.x]}."
        )
    own, crs = grid.geobox.crs, cube.geobox.crs
    if own is not None and crs is not None and own != crs:
        raise GridError(
            f"{what} is in {crs_label(own)}, the cube in {crs_label(crs)}. "
            "Reproject the first to the grid of the cube, by nearest neighbour: .odc.reproject(cube.odc.geobox)."
        )
    size, wanted = grid.geobox.shape, cube.geobox.shape
    if not (grid.located and cube.grid.located):
        places = [Affine.scale(size.x / wanted.x, size.y / wanted.y)]  # nothing but the shapes tells
    else:
        places = [~affine @ cube.geobox.affine for affine in _affines(grid, cube.grid)]
    nested = [found for place in places if (found := _rows_and_columns(place, wanted, size)) is not None]
    if not nested:
        raise GridError(
            f"the pixels of {what} ({size.y} x {size.x}) do not cover those of the cube ({wanted.y} x {wanted.x}), or "
            "are not a whole number of times larger or smaller at the same edges. Load both with one geobox, or "
            f"reproject {what} by nearest neighbour."
        )
    for dim, chosen in zip(dims, nested[0], strict=True):
        if not np.array_equal(chosen, np.arange(scl.sizes[dim])):
            scl = scl.isel({dim: chosen})
    scl = scl.drop_vars([name for name in scl.coords if name not in scl.dims or name in dims])
    return same_dates(scl.rename(dict(zip(dims, (cube.y, cube.x), strict=True))), cube, what)


def _affines(grid: Grid, main: Grid) -> list[Affine]:
    """Return the transforms that a grid may have beside a main one, the likelier one first.

    Where the cube's coordinates are corners, those of a mask that does not tell were made by the same loader.
    """
    own = grid.geobox.affine
    if grid.anchored or not any(main.shift):
        return [own]
    dy, dx = (math.copysign(abs(side) / 2, by) for side, by in zip((own.e, own.a), main.shift, strict=True))
    return [Affine.translation(dx, dy) @ own, own]


def _rows_and_columns(
    place: Affine, wanted: Shape2d, size: Shape2d
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None:
    """Find the row and the column of `size` pixels that hold the center of each wanted one; None unless they nest."""
    if abs(place.b) + abs(place.d) >= 1e-9:
        return None
    rows, columns = _nearest(place.e, place.f, wanted.y, size.y), _nearest(place.a, place.c, wanted.x, size.x)
    return None if rows is None or columns is None else (rows, columns)


def _nearest(step: float, start: float, count: int, size: int) -> npt.NDArray[np.intp] | None:
    """Find in which of `size` pixels the centres of `count` others lie; None unless they nest and are covered.

    step, start: width and first edge of the others, in pixels of the first.
    """
    factor = max(abs(step), 1 / abs(step))
    unit = min(abs(step), 1.0)  # the finer of both pixels, on whose edges both start
    if abs(factor - round(factor)) * count > 0.05 or abs(start / unit - round(start / unit)) > 0.05:
        return None
    factor, fine_start = round(factor), round(start / unit)
    places = np.arange(count) if step > 0 else -1 - np.arange(count)
    # Whole numbers of the finer pixel: a centre on an edge, as with a factor of 2, then always goes the same way.
    centres = fine_start + (places * factor + factor // 2 if abs(step) > 1 else places)
    found = centres if abs(step) > 1 else centres // factor
    return found if found.min() >= 0 and found.max() < size else None


def same_dates(scl: xr.DataArray, cube: Cube, what: str) -> xr.DataArray:
    """Choose the dates of a cube; xarray would drop those that one side lacks, in silence."""
    for dim in (dim for dim in scl.dims if dim in cube.lead):
        array = cube.planes[0].array
        dates, given = array.indexes.get(dim), scl.indexes.get(dim)
        if dates is None or given is None:
            if array.sizes[dim] != scl.sizes[dim]:
                raise GridError(f"{what} is {scl.sizes[dim]} long along {dim!r}, the cube {array.sizes[dim]}.")
            scl = scl.drop_vars(dim, errors="ignore")
        elif not given.equals(dates):
            if not given.is_unique or len(lacking := dates.difference(given)):
                raise GridError(
                    f"{what} must have each {dim} once; of the cube's it lacks {[str(date) for date in lacking]}."
                )
            scl = scl.isel({dim: given.get_indexer(dates)})
    return scl
