"""Align masks, classes and coarser bands with the grid of a cube, without interpolation; `time` matches their dates.

`to_grid` selects pixels of a mask or of classes, which `check_classes` checks inside tasks. `coarser_cube`,
`overlay_of` and `joined` find the 20 m and 60 m bands that belong to a cube, and make one cube of both. While the graph
is built, no pixel is read.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from affine import Affine
from odc.geo import Shape2d
from odc.geo.geobox import GeoBox

from ..arguments import check_number
from ..conventions import BAND_ATTRS
from ..errors import CubeError, GeoreferenceWarning, GridError, MissingBandError
from .grid import Grid, crs_label, grid_of, place_of, spatial_dims
from .lazy import in_chunks
from .names import dims_text
from .select import AnyCube, Cube, Plane, recognize
from .time import on_its_date, same_dates

LAST_CLASS = 11
"""SCL has the classes 0 (no data) to 11 (snow or ice). Source: ESA, Sentinel-2 Products Specification Document."""

_NODATA = 255  # of 8-bit rasters after reprojection


def to_grid(scl: xr.DataArray, cube: Cube, what: str = "scl=") -> xr.DataArray:
    """Select the pixels of classes or a mask at the centers of the pixels of a cube.

    what: the argument, for messages. Returns (*lead, y, x) without spatial coordinates; lazy if `scl` is.
    """
    dims, grid = spatial_dims(scl), grid_of(scl)
    if dims is None or grid is None:
        raise GridError(f"{what} has {dims_text(scl.dims)}; expected y and x, as in the cube.")
    scl = on_its_date(scl, cube, what)
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
            "Reproject the first to the grid of the cube, by nearest neighbor: .odc.reproject(cube.odc.geobox)."
        )
    size, wanted = grid.geobox.shape, cube.geobox.shape
    if not (grid.located and cube.grid.located):
        places = [Affine.scale(size.x / wanted.x, size.y / wanted.y)]  # only the shapes are known
    else:
        places = [~affine @ cube.geobox.affine for affine in _affines(grid, cube.grid)]
    nested = [found for place in places if (found := _rows_and_columns(place, wanted, size)) is not None]
    if not nested:
        raise GridError(
            f"the pixels of {what} ({size.y} x {size.x}) do not cover those of the cube ({wanted.y} x {wanted.x}), or "
            "are not a whole number of times larger or smaller at the same edges. Load both with one geobox, or "
            f"reproject {what} by nearest neighbor."
        )
    for dim, chosen in zip(dims, nested[0], strict=True):
        if not np.array_equal(chosen, np.arange(scl.sizes[dim])):
            scl = scl.isel({dim: chosen})
    scl = scl.drop_vars([name for name in scl.coords if name not in scl.dims or name in dims])
    return same_dates(scl.rename(dict(zip(dims, (cube.y, cube.x), strict=True))), cube, what)


def check_classes(block: npt.NDArray[Any], name: str, last: int = LAST_CLASS) -> npt.NDArray[Any]:
    """Return a block of classes, inside a task; NaN may be among floats.

    last: the highest class. Raises CubeError for fractions, and for numbers beyond 0 to `last` but 255.
    """
    wrong = block[((block < 0) | (block > last)) & (block != _NODATA)]
    fractions = block[np.isfinite(block) & (block != np.rint(block))] if block.dtype.kind == "f" else block[:0]
    if not fractions.size and not wrong.size:
        return block
    value = float((fractions if fractions.size else wrong).flat[0])
    found = "is not a whole number" if fractions.size else f"is outside 0 to {last}"
    raise CubeError(
        f"{name} has {value:g}, which {found}, so it is not a class of the scene classification. Resample classes by "
        "nearest neighbor (bilinear makes 8.5 of 8 and 9); for a mask or a probability use cube.where(...)."
    )


def _affines(grid: Grid, main: Grid) -> list[Affine]:
    """Return the transforms that a grid may have beside a main one, the likelier one first.

    Where the cube's coordinates are corners, those of a mask without such information came from the same loader.
    """
    own = grid.geobox.affine
    if grid.anchored or not any(main.shift):
        return [own]
    dy, dx = (math.copysign(abs(side) / 2, by) for side, by in zip((own.e, own.a), main.shift, strict=True))
    return [Affine.translation(dx, dy) @ own, own]


def _rows_and_columns(
    place: Affine, wanted: Shape2d, size: Shape2d
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None:
    """Find the row and column, among `size`, that hold the center of each pixel of a cube; None unless they nest."""
    if abs(place.b) + abs(place.d) >= 1e-9:
        return None
    rows, columns = _nearest(place.e, place.f, wanted.y, size.y), _nearest(place.a, place.c, wanted.x, size.x)
    return None if rows is None or columns is None else (rows, columns)


def _nearest(step: float, start: float, count: int, size: int) -> npt.NDArray[np.intp] | None:
    """Find in which of `size` pixels the centers of `count` others lie; None unless they nest and are covered.

    step, start: width and first edge of the others, in pixels of the first.
    """
    factor = max(abs(step), 1 / abs(step))
    unit = min(abs(step), 1.0)  # the finer of both pixels, on whose edges both start
    if abs(factor - round(factor)) * count > 0.05 or abs(start / unit - round(start / unit)) > 0.05:
        return None
    factor, fine_start = round(factor), round(start / unit)
    places = np.arange(count) if step > 0 else -1 - np.arange(count)
    # Whole numbers of the finer pixel: a center on an edge, as with a factor of 2, then always goes the same way.
    centers = fine_start + (places * factor + factor // 2 if abs(step) > 1 else places)
    found = centers if abs(step) > 1 else centers // factor
    return found if found.min() >= 0 and found.max() < size else None


def snap_geobox(geobox: GeoBox, resolution: float = 20) -> GeoBox:
    """Grow a geobox outwards until its edges lie on multiples of `resolution`, so that no coarser pixel is cut.

    geobox: of 10 m, say, north-up or south-up, in meters. resolution: the coarser pixel, in units of the CRS; 60 fits
    the bands of all three sizes. Load with the result: `odc.stac.load(items, geobox=xr_sr.snap_geobox(geobox))`.
    Returns a geobox with the same pixels, at most one coarser pixel larger on each side; the same one where it fits.
    Raises GridError where it is rotated or in degrees, or where its own pixels do not fit into `resolution`.
    """
    if not isinstance(geobox, GeoBox):
        raise GridError(f"snap_geobox needs a geobox, such as cube.odc.geobox; this is a {type(geobox).__name__}.")
    resolution = check_number("resolution", resolution, above=0)
    affine = geobox.affine
    if not geobox.axis_aligned or (geobox.crs is not None and geobox.crs.geographic):
        raise GridError(
            "snap_geobox needs a grid along the axes of a projected CRS, as Sentinel-2's tiles are (UTM); this is "
            f"{'in degrees' if geobox.axis_aligned else 'rotated'}. Make one with odc.geo.GeoBox.from_bbox."
        )
    places = []
    for start, step, count in ((affine.f, affine.e, geobox.shape.y), (affine.c, affine.a, geobox.shape.x)):
        factor, first = resolution / abs(step), start / step
        nests = abs(factor - round(factor)) <= 1e-6 and round(factor) >= 1
        if not nests or abs(first - round(first)) > 1e-3:
            side = abs(step) if nests else _dividing(resolution, factor)
            raise GridError(
                f"the pixels, {abs(step):g} wide from {start:g} on, do not divide multiples of {resolution:g}. "
                f"Make the grid anew: GeoBox.from_bbox(bbox, crs, resolution={side:g}, anchor='edge')."
            )
        factor, first = round(factor), round(first)
        low = first // factor * factor
        places.append((low - first, -(-(first + count) // factor) * factor - low))
    (row, rows), (col, columns) = places
    if (row, col, rows, columns) == (0, 0, *geobox.shape):
        return geobox
    return GeoBox((rows, columns), affine @ Affine.translation(col, row), geobox.crs)


def _dividing(resolution: float, factor: float) -> float:
    """Return a size of pixels, in few digits, of which a whole number not below `factor` makes `resolution`."""
    least = max(1, math.ceil(factor))
    sides = ((count, float(f"{resolution / count:g}")) for count in range(least, least + 16))
    return next((side for count, side in sides if side * count == resolution), resolution / least)


@dataclass(frozen=True)
class Overlay:
    """How the pixels of a coarser cube lie on a finer grid.

    rows, columns: of the coarser cube, those that the finer grid touches. row, col: finer pixels of the first of these
    that lie outside of the finer grid. ratio: width of a coarser pixel in finer ones.
    """

    rows: slice
    columns: slice
    row: int
    col: int
    ratio: int


def coarser_cube(obj: AnyCube, cube: Cube, other: AnyCube | None, wanted: Sequence[str]) -> Cube | None:
    """Find the cube of 20 m that belongs to one of 10 m: `other`, or another node of its tree; None without one.

    wanted: canonical names of bands; a node of the tree that has none of them is not looked at.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)  # the first cube has warned already
        if other is not None:
            return recognize(other, model_gsd_m=20.0)
        if not isinstance(obj, xr.DataTree) or not any(set(bands) & set(wanted) for _, bands in cube.elsewhere):
            return None
        try:
            found = recognize(obj, model_gsd_m=20.0)
        except CubeError:
            return None
    return None if found.node == cube.node else found


def coarser_cubes(obj: AnyCube, cube: Cube, other: AnyCube | None) -> list[Cube]:
    """Find all cubes with wider pixels that belong to one: in `other`, and in the other nodes of its tree.

    Of a tree they are the nodes whose pixels are nearest to 10, 20 and 60 m, in that order.
    """
    found: list[Cube] = []
    known: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)  # the first cube has warned already
        if other is not None and not isinstance(other, xr.DataTree):
            found.append(recognize(other))
        for tree in (other, obj):
            if not isinstance(tree, xr.DataTree):
                continue
            for gsd_m in (10.0, 20.0, 60.0):
                with contextlib.suppress(CubeError):
                    one = recognize(tree, model_gsd_m=gsd_m)
                    wider = abs(one.geobox.affine.a) > 1.1 * abs(cube.geobox.affine.a)
                    if wider and (tree is other or one.node != cube.node) and one.node not in known:
                        found.append(one)
                        known.add(one.node)
    return found


def phase_of(cube: Cube, ratio: int = 2) -> tuple[int, int]:
    """Return how many fine pixels (row, col) of the first coarse pixel lie outside of the fine grid.

    In meters coarse pixels begin at multiples of their size; in degrees, where the cube's parent begins.
    """
    crs = cube.geobox.crs
    row, col = (cube.grid.row, cube.grid.col) if crs is not None and crs.geographic else place_of(cube.grid)
    return row % ratio, col % ratio


_WAY = (
    "Load both with one geobox, xr_sr.snap_geobox(geobox), the coarser one with geobox.zoom_out(2); or cut the "
    "finer one with .isel to what both have."
)


def start_of(cube: Cube, coarse: Cube, ratio: int | None = 2) -> tuple[int, int, int]:
    """Return the finer (row, column) at which a coarser cube begins, which may be negative, and its pixels' width.

    Both in pixels of the finer cube. ratio and errors: as in `overlay_of`, but for covering.
    """
    size = "coarser" if ratio is None else "20 m"
    here, there = cube.geobox.crs, coarse.geobox.crs
    if here is not None and there is not None and here != there:
        raise GridError(f"the {size} bands are in {crs_label(there)}, the 10 m bands in {crs_label(here)}. {_WAY}")
    # Without a location both begin at the same corner.
    beside = Affine.scale(ratio or max(2, round(cube.geobox.shape.x / coarse.geobox.shape.x)))
    located = cube.grid.located and coarse.grid.located
    place = ~cube.geobox.affine @ coarse.geobox.affine if located else beside
    times = ratio or min(max(round(place.a), 2), 6)
    off = max(abs(place.a - times), abs(place.e - times)) * max(coarse.geobox.shape)
    if off > 0.05 or abs(place.b) + abs(place.d) > 1e-6:
        wanted = "twice as wide as" if ratio == 2 else "2 to 6 times, a whole number, as wide as"
        turned = " Their rows or columns run the other way: turn one round, coarse.isel(y=slice(None, None, -1))."
        raise GridError(
            f"the pixels of the second grid are not {wanted} those of the first, along the same axes: "
            f"{abs(place.e):.4g} times in y, {abs(place.a):.4g} times in x."
            f"{turned if min(place.a, place.e) < 0 else ''} {_WAY}"
        )
    row, col = round(place.f), round(place.c)
    if max(abs(place.f - row), abs(place.c - col)) > 0.05:
        found = f"the {size} pixels begin {place.f % 1:.3g} and {place.c % 1:.3g} of a pixel beside the 10 m grid"
        off = (times - 1) / 2  # these centers are corners: each grid is off by half of its own pixel
        if max(abs(start + off - round(start + off)) for start in (place.f, place.c)) <= 0.05:
            raise GridError(
                f"{found}, as where x and y are the corners of pixels and are read as their centers. Load both with "
                "centers (xy_coords='center' in stackstac and cubo), or move the coordinates of both by half a pixel."
            )
        raise GridError(f"{found}. {_WAY}")
    return row, col, times


def overlay_of(cube: Cube, coarse: Cube, ratio: int | None = 2) -> Overlay:
    """Find how a coarser cube lies on the grid of a finer one.

    ratio: width of its pixels in finer ones; None finds it, a whole number from 2 to 6.
    Raises GridError where its pixels are not as wide, do not begin where finer ones do, or do not cover the finer grid.
    """
    row, col, times = start_of(cube, coarse, ratio)
    size = "coarser" if ratio is None else "20 m"
    spans = []
    for start, fine, count in (
        (row, cube.geobox.shape.y, coarse.geobox.shape.y),
        (col, cube.geobox.shape.x, coarse.geobox.shape.x),
    ):
        first, last = -start // times, -(-(fine - start) // times)
        if first < 0 or last > count:
            raise GridError(
                f"the {size} bands ({coarse.geobox.shape.y} x {coarse.geobox.shape.x} pixels) do not cover the 10 m "
                f"bands ({cube.geobox.shape.y} x {cube.geobox.shape.x} pixels). {_WAY}"
            )
        spans.append((slice(first, last), -start % times))
    (rows, outside_y), (columns, outside_x) = spans
    return Overlay(rows, columns, outside_y, outside_x, times)


def cut_to(coarse: Cube, planes: Sequence[Plane], overlay: Overlay, cube: Cube) -> tuple[Plane, ...]:
    """Cut planes of a cube that has the dates of the finer one to what the finer grid touches; lazily."""
    arrays: dict[int, xr.DataArray] = {}
    for plane in planes:
        key = id(plane.array)
        if key not in arrays:
            array = plane.array.isel({coarse.y: overlay.rows, coarse.x: overlay.columns})
            band = [dim for dim in array.dims if dim not in (*coarse.lead, coarse.y, coarse.x)]
            arrays[key] = array.transpose(*cube.lead, *band, coarse.y, coarse.x)
    return tuple(replace(plane, array=arrays[id(plane.array)]) for plane in planes)


def joined(cube: Cube, coarse: Cube) -> Cube:
    """Make one cube for a result: the planes of both, on the finer grid, with names and attributes and no pixels.

    Raises GridError where one is a DataArray along bands and the other is not; MissingBandError if two bands have one
    name.
    """
    mine = {plane.name for plane in cube.planes}
    known = {plane.band for plane in cube.planes}
    new = [plane for plane in coarse.planes if plane.band not in known]
    if twice := [plane.name for plane in new if plane.name in mine]:
        raise MissingBandError(f"both grids have something named {twice}, and not the same band. Rename one of them.")
    sizes = {dim: cube.planes[0].array.sizes[dim] for dim in (*cube.lead, cube.y, cube.x)}
    if isinstance(cube.source, xr.Dataset):
        nothing = np.broadcast_to(np.float32(0), tuple(sizes.values()))
        attrs_of = {plane.name: plane.array.attrs if plane.index is None else {} for plane in new}
        whole: xr.Dataset = cube.source.assign({name: (tuple(sizes), nothing, own) for name, own in attrs_of.items()})
        planes = [*cube.planes, *(replace(plane, array=whole[plane.name], index=None) for plane in new)]
        dropped = tuple(name for name in cube.dropped if name not in {plane.name for plane in new})
        return replace(cube, source=whole, planes=tuple(planes), dropped=dropped)
    if cube.band_dim is None or coarse.band_dim is None:
        raise GridError(
            "a DataArray of several bands is joined with another one of several bands; one of these two is something "
            "else. Pass two Datasets, for instance cube.to_dataset('band')."
        )
    places = [plane.index for plane in cube.planes]
    labels = [*(plane.name for plane in cube.planes), *(plane.name for plane in new)]
    band, source = cube.band_dim, cube.source
    dims = tuple(str(dim) for dim in source.dims)
    shape = tuple(len(labels) if dim == band else source.sizes[dim] for dim in dims)
    coords: dict[Any, Any] = {name: coord for name, coord in source.coords.items() if band not in coord.dims}
    for name, coord in source.coords.items():
        if coord.dims == (band,):
            there = coarse.source.coords.get(name)
            if name == band:
                coords[name] = (band, labels)
            elif there is not None and there.dims == (coarse.band_dim,):
                values = [*coord.values[places], *there.values[[plane.index for plane in new]]]
                coords[name] = (band, values)
    # Lists with a name for each band of one grid do not fit both.
    attrs = {key: value for key, value in source.attrs.items() if key not in BAND_ATTRS or isinstance(value, str)}
    nothing = np.broadcast_to(np.float32(0), shape)
    array = xr.DataArray(nothing, dims=dims, coords=coords, name=source.name, attrs=attrs)
    planes = [replace(plane, array=array, index=index) for index, plane in enumerate([*cube.planes, *new])]
    return replace(cube, source=array, planes=tuple(planes))
