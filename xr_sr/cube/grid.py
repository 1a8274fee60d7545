"""Find the grid of a cube from its coordinates, its transform and its CRS; `coordinates` makes those of grids.

Coordinates and CRS only, never pixels. Grids come from the coordinates as odc-geo reads them, never from the
`GeoTransform` alone, since slices keep the transform of their parent. The CRS is found in `crs`; `transforms` decides
whether coordinates are centers or corners of pixels.

The lattice. That habit of slices is of use: coordinates in degrees are rounded numbers, so a geobox that is read from
the first two of them is off by some 1e-9 pixels, differently for every crop. Where the coordinates of a piece stand
within 1e-6 pixels on the grid that `GeoTransform` describes, the piece is taken to lie exactly there, and the finer
coordinates are computed from its position on that lattice. So two crops of one parent, in degrees or in thirds of a
meter, give outputs whose coordinates are equal where they overlap, to the last bit. Tools that rewrite `GeoTransform`
(`rio.clip_box`) leave the parent's lattice; use `.sel`, `.isel` or `.odc.crop`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from ..errors import GridError
from .axes import ODC_NAMES, AxisCoords, XarrayObject, axis_of, spatial_dims, step_of, tolerance_px
from .crs import crs_coord_name, crs_label, find_crs, is_crs_coord
from .transforms import SHAPE_ATTR, Axes, Noted, anchor_of, noted_transform, stored_transform

__all__ = [
    "Grid",
    "crs_coord_name",
    "crs_label",
    "geobox_of",
    "grid_mapping",
    "grid_of",
    "is_crs_coord",
    "order_error",
    "pixel_size_m",
    "place_of",
    "spatial_dims",
]

_SNAP_PX = 1e-6


@dataclass(frozen=True)
class Grid:
    """A geobox, and the lattice of pixels that it is a piece of.

    lattice: pixel to CRS, of the parent. row, col: where on the lattice the geobox starts, in pixels.
    shift: (y, x) from the cube's coordinates to the centers of pixels, in units of the CRS; zeros but for corners.
    anchored: whether anything but the coordinates shows that these, with the shift, are centers.
    located: whether coordinates or a transform locate the pixels; else it is the grid of pixel numbers.
    assumed: what had to be assumed, and what to do about it, in sentences; usually "".
    """

    geobox: GeoBox
    lattice: Affine
    row: int = 0
    col: int = 0
    shift: tuple[float, float] = (0.0, 0.0)
    anchored: bool = False
    located: bool = True
    assumed: str = ""

    @classmethod
    def alone(cls, geobox: GeoBox, *, located: bool = True, assumed: str = "") -> Grid:
        """Make the grid of a geobox that is its own parent."""
        return cls(geobox, geobox.affine, located=located, assumed=assumed)


def grid_of(obj: XarrayObject) -> Grid | None:
    """Find the grid of a cube; None without spatial dimensions.

    obj: any order of dimensions. Coordinates on the corners of pixels are moved to their centers if metadata
    show that they are corners. Without coordinates a transform places the grid; without that it is the grid of pixel
    numbers, without CRS: pixel 0 covers 0 to 1 along either axis.
    Raises GridError where there is no pixel, steps are uneven, ground control points take the place of a grid, two CRSs
    are named, or a CRS in degrees has coordinates that are none. Computes nothing: coordinates along dimensions are in
    memory anyway.
    """
    dims = spatial_dims(obj)
    if dims is None:
        return None
    shape = (obj.sizes[dims[0]], obj.sizes[dims[1]])
    if 0 in shape:
        raise GridError(
            f"the cube has no pixels: {dims[0]} is {shape[0]} and {dims[1]} is {shape[1]} long. Mind the order in "
            f"selections: on a north-up grid it is .sel({dims[0]}=slice(north, south), {dims[1]}=slice(west, east))."
        )
    y, x = axis_of(obj, dims[0]), axis_of(obj, dims[1])
    crs, mapping = find_crs(obj), grid_mapping(obj)
    lattice = stored_transform(mapping)
    affine = _odc_affine(obj, dims, mapping)
    if lattice is not None and (lattice.b or lattice.d):
        turned = _rotated(obj, dims, lattice, (y, x))
        if turned is not None:
            return Grid.alone(GeoBox(shape, turned, crs))
    if y is None or x is None or (lattice is not None and (lattice.b or lattice.d)):
        return _without_coordinates(obj, dims, crs, lattice, mapping)

    anchor = anchor_of(obj, dims, (y, x), stored=lattice, crs=crs)
    assumed = [anchor.doubt] if anchor.doubt else []
    lattice = anchor.lattice or lattice
    if affine is None or min(y.itemsize, x.itemsize) < 8:
        affine, square = _from_axes(obj, dims, (y, x), lattice, known=crs is not None)
        assumed += [square] if square else []
    if any(anchor.shift):
        affine = Affine.translation(anchor.shift[1], anchor.shift[0]) @ affine
        y, x = y + anchor.shift[0], x + anchor.shift[1]
    geobox = GeoBox(shape, affine, crs)
    _refuse_beyond_degrees(geobox)
    found = _snapped(geobox, lattice, (y, x)) or Grid.alone(geobox)
    return replace(found, shift=anchor.shift, anchored=anchor.known, assumed=" ".join(assumed))


def geobox_of(obj: XarrayObject) -> GeoBox | None:
    """Find the geobox of a cube, snapped to its parent's lattice; see `grid_of`."""
    grid = grid_of(obj)
    return None if grid is None else grid.geobox


def grid_mapping(obj: XarrayObject) -> dict[Any, Any]:
    """Return the attributes of the variable that describes the grid; none without one."""
    name = crs_coord_name(obj)
    known = name in obj.coords or (isinstance(obj, xr.Dataset) and name in obj.data_vars)
    return dict(obj[name].attrs) if known else {}


def _odc_affine(obj: XarrayObject, dims: tuple[str, str], mapping: dict[Any, Any]) -> Affine | None:
    """Let odc-geo read the coordinates; None where it finds no transform. Raises GridError for ground control points.

    It is shown these alone: names of dimensions that it knows, one grid mapping, no other attributes.
    """
    names = dims if dims in ODC_NAMES else ("y", "x")
    shape = tuple(obj.sizes[dim] for dim in dims)
    along = {new: (new, obj.coords[old].values) for new, old in zip(names, dims, strict=True) if old in obj.coords}
    if stored_transform(mapping) is None:
        mapping = {key: value for key, value in mapping.items() if key != "GeoTransform"}
    bare = xr.DataArray(np.broadcast_to(np.uint8(0), shape), dims=names, coords=along)
    if mapping:
        bare = bare.assign_coords(spatial_ref=xr.Variable((), 0, mapping))
    geobox = bare.odc.geobox
    if geobox is not None and not isinstance(geobox, GeoBox):
        raise GridError(
            "the cube is placed by ground control points, so its pixels form no grid on the map. "
            "Warp it first: cube.odc.reproject(crs, resolution=10)."
        )
    return None if geobox is None else geobox.affine


def _refuse_beyond_degrees(geobox: GeoBox) -> None:
    """Raise GridError where a CRS counts in degrees and pixel centers are no latitudes or longitudes."""
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
                f"the CRS {crs_label(geobox.crs)} counts in degrees, and the {name} of the pixels run from "
                f"{min(values):.10g} to {max(values):.10g}; expected at most {limit:g} degrees from zero. If they are "
                "meters, write the CRS that they belong to, such as cube.rio.write_crs('EPSG:32633'); else crop the "
                "cube to what lies on Earth."
            )


def _without_coordinates(
    obj: XarrayObject, dims: tuple[str, str], crs: CRS | None, stored: Affine | None, mapping: dict[Any, Any]
) -> Grid:
    """Make the grid of a cube that lacks y or x: by a transform, which is right where it has not been sliced."""
    shape = (obj.sizes[dims[0]], obj.sizes[dims[1]])
    lacking = " and ".join(repr(dim) for dim in dims if dim not in obj.coords)
    noted = noted_transform(obj, crs) if stored is None else Noted(stored, _stored_shape(mapping))
    if noted is None:
        unplaced = (
            ""
            if crs is None
            else (
                f"the cube names {crs_label(crs)}, but lacks the coordinate {lacking} and a transform, so its place is "
                "unknown and pixel coordinates without a CRS are used. Assign the coordinates: "
                "cube.assign_coords(odc.geo.xr.xr_coords(geobox))."
            )
        )
        return Grid.alone(GeoBox(shape, Affine.identity(), None), located=False, assumed=unplaced)
    assumed = (
        f"the cube lacks the coordinate {lacking} and is placed by its transform, which is right unless it has been "
        "sliced: a slice keeps the transform of its parent. Load it with coordinates, or write the transform of the "
        "slice: cube.rio.write_transform(affine)."
    )
    return Grid.alone(GeoBox(shape, noted.lattice, crs), assumed="" if noted.shape == shape else assumed)


def _stored_shape(mapping: dict[Any, Any]) -> tuple[int, int] | None:
    numbers = str(mapping.get(SHAPE_ATTR, "")).split()
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 and all(map(str.isdigit, numbers)) else None


def _rotated(
    obj: XarrayObject, dims: tuple[str, str], lattice: Affine, axes: tuple[AxisCoords, AxisCoords]
) -> Affine | None:
    """Make the transform of a rotated grid from where its first pixel stands on the lattice; None if that is unknown.

    Pixel coordinates locate it (0.5, 1.5, ... by odc-geo), or two-dimensional xc and yc (by rioxarray), which odc-geo
    reads as unsliced; it also takes the single pixel of a slice for one of `resolution` pixels.
    """
    (y_dim, x_dim), (y, x) = dims, axes
    shape = obj.sizes[y_dim], obj.sizes[x_dim]
    if y is not None and x is not None:
        first, last = (float(x[0]), float(y[0])), (float(x[-1]), float(y[-1]))
    elif all(name in obj.coords and set(obj.coords[name].dims) == {y_dim, x_dim} for name in ("xc", "yc")):
        ends = obj.coords["xc"][{y_dim: [0, -1], x_dim: [0, -1]}], obj.coords["yc"][{y_dim: [0, -1], x_dim: [0, -1]}]
        first, last = ((float(ends[0][end, end]), float(ends[1][end, end])) for end in (0, 1))
        first, last = ~lattice @ first, ~lattice @ last
    else:
        return None
    col, row = round(first[0] - 0.5, 6), round(first[1] - 0.5, 6)
    if max(abs(last[0] - first[0] - shape[1] + 1), abs(last[1] - first[1] - shape[0] + 1)) > _SNAP_PX:
        return None
    return lattice @ Affine.translation(col, row)


def _from_axes(
    obj: XarrayObject, dims: tuple[str, str], axes: Axes, lattice: Affine | None, *, known: bool
) -> tuple[Affine, str]:
    """Make the transform from whole axes, where odc-geo cannot: one pixel, or float32 steps too coarse for its formula.

    known: whether there is a CRS. Returns it with a sentence on what had to be assumed. Raises GridError for a single
    pixel of unknown size.
    """
    parents = (None, None) if lattice is None else (lattice.e, lattice.a)
    steps = [_step(obj, *each) for each in zip(dims, axes, parents, (-1, 1), strict=True)]
    side = next((abs(step) for step in steps if step), 0.0 if known else 1.0)
    if not side:
        raise GridError(
            "the cube is a single pixel of unknown size. Write its transform, "
            "cube.rio.write_transform(affine), or cut it with .isel from a raster that has one."
        )
    dy, dx = steps[0] or -side, steps[1] or side
    unknown = [dim for dim, step in zip(dims, steps, strict=True) if not step]
    assumed = (
        f"the size of the one pixel along {unknown} is unknown; it is taken as square. Write the transform to be "
        "sure: cube.rio.write_transform(affine)."
    )
    y, x = axes
    return Affine(dx, 0.0, float(x[0]) - dx / 2, 0.0, dy, float(y[0]) - dy / 2), assumed if unknown else ""


def _step(
    obj: XarrayObject, dim: str, axis: NDArray[np.floating[Any]], parent: float | None, sign: float
) -> float | None:
    """Get the step along an axis: from its ends; for a single pixel of its parent, or the `resolution` that is noted.

    odc-geo notes it in a coordinate, with its sign; stackstac and cubo for the whole cube, without.
    """
    if (step := step_of(axis)) is not None:
        return step
    noted: tuple[Any, ...] = (parent, obj.coords[dim].attrs.get("resolution"), obj.attrs.get("resolution"))
    for place, value in enumerate(noted):
        if isinstance(value, int | float | np.number) and value:
            return float(value) if place < 2 else math.copysign(float(value), sign)
    return None


def _snapped(geobox: GeoBox, lattice: Affine | None, axes: Axes) -> Grid | None:
    """Lay a geobox onto its parent's lattice; None if its coordinates do not stand there within 1e-6 pixels."""
    y, x = axes
    if lattice is None or lattice.b or lattice.d:
        return None
    row, col = _place(y, lattice.e, lattice.f), _place(x, lattice.a, lattice.c)
    if row is None or col is None:
        return None
    affine = Affine(lattice.a, 0.0, col * lattice.a + lattice.c, 0.0, lattice.e, row * lattice.e + lattice.f)
    return Grid(GeoBox(geobox.shape, affine, geobox.crs), lattice, row, col)


def _place(axis: NDArray[np.floating[Any]], step: float, origin: float) -> int | None:
    """Find at which pixel of the lattice an axis starts; None if either end stands off the lattice."""
    if not step:
        return None
    tolerance = tolerance_px(axis, step, _SNAP_PX)
    first, last = ((float(end) - origin) / step - 0.5 for end in (axis[0], axis[-1]))
    start = round(first)
    on = abs(first - start) <= tolerance < 0.5 and abs(last - (start + axis.size - 1)) <= tolerance
    return start if on else None


def pixel_size_m(geobox: GeoBox) -> tuple[float, float] | None:
    """Measure the pixel at the center of a geobox along the ground: (height, width) in meters.

    Measured on the ellipsoid, so degrees, feet and Web Mercator need no case of their own; 10 m of UTM are 9.996 m to
    10.01 m of ground. None without a CRS, or where the center lies outside of the world. Source: pyproj `Geod.inv`.
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


def order_error(names: Sequence[str], finer: str, fine: GeoBox, coarse: GeoBox) -> GridError:
    """Return the error for cubes in a wrong order: the first of them must have the largest pixels.

    names: the arguments in their order. finer: the one whose pixels are not smaller. fine, coarse: its grid, and that
    of the first.
    """
    one, other = (
        f"{box.shape.y} x {box.shape.x} of {abs(box.affine.e):g} x {abs(box.affine.a):g}" for box in (fine, coarse)
    )
    return GridError(
        f"the pixels of {finer} must be smaller than those of {names[0]}; {finer} has {one}, {names[0]} {other}. The "
        f"arguments are swapped or of equal resolution; their order is ({', '.join(names)})."
    )
