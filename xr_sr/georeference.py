"""Geobox in, geobox out: where a cube lies, where the finer grid lies, how large a pixel is on the ground.

Knows coordinates and CRS only, never pixels: nothing here touches the values of an array. Grids come from
`obj.odc.geobox`, never from the `GeoTransform` alone, since slices keep the transform of their parent.

The lattice. That very habit of slices is put to use: coordinates in degrees are rounded numbers, so a geobox that is
read from the first two of them is off by some 1e-9 pixels, differently for every crop. Where the coordinates of a piece
stand within 1e-6 pixels on the grid that `GeoTransform` describes, the piece is taken to lie exactly there, and the
finer coordinates are computed from its place on that lattice. So two crops of one parent, in degrees or in thirds of a
metre, give outputs whose coordinates are equal where they overlap, to the last bit. Crops made by tools that rewrite
`GeoTransform` (`rio.clip_box`) have left their parent's lattice; use `.sel`, `.isel` or `.odc.crop`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import odc.geo.xr
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from .errors import GridError
from .planning import refuse_query_planning
from .readable import refuse_beyond_degrees, transform_of, without_unreadable

__all__ = [
    "Grid",
    "coords",
    "crs_coord_name",
    "fine_coords",
    "geobox_of",
    "grid_of",
    "is_crs_coord",
    "named_crs",
    "pixel_size_m",
    "place_of",
    "spatial_dims",
    "zoomed",
]

XarrayObject: TypeAlias = "xr.DataArray | xr.Dataset"
_Axis: TypeAlias = "NDArray[np.floating[Any]] | None"

_SNAP_PX = 1e-6
_UNEVEN_PX = 1e-2
_ODC_NAMES = (("y", "x"), ("yc", "xc"), ("latitude", "longitude"), ("lat", "lon"))
_OTHER_NAMES = (("northing", "easting"), ("row", "col"), ("rows", "cols"))


@dataclass(frozen=True)
class Grid:
    """A geobox, and the lattice of pixels that it is a piece of.

    lattice: pixel to CRS, of the parent. row, col: where on the lattice the geobox starts, in pixels.
    assumed: a sentence on what had to be assumed for lack of coordinates; "" as a rule.
    """

    geobox: GeoBox
    lattice: Affine
    row: int = 0
    col: int = 0
    assumed: str = ""

    @classmethod
    def alone(cls, geobox: GeoBox, *, assumed: str = "") -> Grid:
        """Make the grid of a geobox that is its own parent."""
        return cls(geobox, geobox.affine, assumed=assumed)


def spatial_dims(obj: XarrayObject) -> tuple[str, str] | None:
    """Name the (y, x) dimensions: y and x, latitude and longitude, rows and columns, or what odc-geo finds; or None.

    Raises GridError where the name of a dimension is no text, EngineError under dask's query planning.
    """
    refuse_query_planning()  # here, since whatever reads a cube comes by
    if odd := [dim for dim in obj.dims if not isinstance(dim, str)]:
        raise GridError(
            f"names of dimensions must be text; {odd} are not. Rename them: cube.rename({{{odd[0]!r}: 'band'}})."
        )
    names = {str(dim).lower(): str(dim) for dim in obj.dims}
    for y, x in (*_ODC_NAMES, *_OTHER_NAMES):
        if y in names and x in names:
            return names[y], names[x]
    found = odc.geo.xr.spatial_dims(obj, relaxed=True)
    return None if found is None else (str(found[0]), str(found[1]))


def crs_coord_name(obj: XarrayObject) -> str:
    """Name the coordinate that holds the CRS; "spatial_ref" where there is none yet."""
    coord = _readable(obj, spatial_dims(obj)).odc.crs_coord  # not .odc.grid_mapping: that fails where the value is 0
    return "spatial_ref" if coord is None else str(coord.name)


def is_crs_coord(coord: xr.DataArray) -> bool:
    """Tell whether a variable describes a CRS rather than data: CF's `crs_wkt`, GDAL's `spatial_ref`."""
    return coord.ndim == 0 and not {"crs_wkt", "spatial_ref"}.isdisjoint(coord.attrs)


def named_crs(*attributes: Mapping[Any, Any]) -> CRS | None:
    """Find a CRS that attributes name beside CF: STAC's `proj:code`, `proj:epsg`, EOPF's `horizontal_CRS_code`.

    attributes: of a variable, a group, its parents; the first that names a CRS is believed.
    """
    for attrs in attributes:
        other, item = attrs.get("other_metadata"), attrs.get("stac_discovery")
        properties = item.get("properties") if isinstance(item, Mapping) else None
        for holder in (attrs, other, properties):
            for key in ("proj:code", "proj:epsg", "horizontal_CRS_code"):
                code = holder.get(key) if isinstance(holder, Mapping) else None
                if code is None:
                    continue
                try:
                    return CRS(str(code) if ":" in str(code) else f"EPSG:{int(code)}")
                except (CRSError, OverflowError, TypeError, ValueError):  # infinity has no whole number
                    continue
    return None


def grid_of(obj: XarrayObject, *, crs: CRS | None = None) -> Grid | None:
    """Find the grid of a cube; None without spatial dimensions.

    obj: any order of dimensions. crs: what to believe where the object itself names none.
    Without coordinates and transform it is the grid of the pixels: pixel 0 covers 0 to 1 along either axis.
    Raises GridError where there is no pixel, steps are uneven, ground control points take the place of a grid, or a
    CRS in degrees has coordinates that are none.
    Computes nothing: coordinates along dimensions are in memory anyway.
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
    axes = _axis(obj, dims[0]), _axis(obj, dims[1])
    plain = _readable(obj, dims)
    geobox, assumed = plain.odc.geobox, ""
    if geobox is not None and not isinstance(geobox, GeoBox):
        raise GridError(
            "the cube is placed by ground control points, so its pixels form no grid on the map. "
            "Warp it first: cube.odc.reproject(crs, resolution=10)."
        )
    lattice = _stored_transform(plain)
    if lattice is not None and (lattice.b or lattice.d):
        geobox = _rotated(plain, lattice, axes) or geobox
    elif axes[0] is None or axes[1] is None:
        geobox = geobox or GeoBox(shape, Affine.identity(), plain.odc.crs)
    elif geobox is None or min(axes[0].itemsize, axes[1].itemsize) < 8:
        geobox, assumed = _from_axes(plain, axes[0], axes[1])
    if geobox.crs is None and crs is not None:
        geobox = GeoBox(geobox.shape, geobox.affine, crs)
    if axes[0] is not None and axes[1] is not None:
        refuse_beyond_degrees(geobox)
    return _snapped(geobox, lattice, axes) or Grid.alone(geobox, assumed=assumed)


def geobox_of(obj: XarrayObject) -> GeoBox | None:
    """Find the geobox of a cube, snapped to its parent's lattice; see `grid_of`."""
    grid = grid_of(obj)
    return None if grid is None else grid.geobox


def zoomed(geobox: GeoBox, scale: int) -> GeoBox:
    """Give the geobox of the same ground with `scale` times finer pixels; its shape is exact, in whole numbers."""
    height, width = geobox.shape
    return geobox.zoom_to((height * scale, width * scale))


def coords(
    geobox: GeoBox, name: str = "spatial_ref", *, dims: tuple[str, str] | None = None
) -> dict[Hashable, xr.DataArray]:
    """Make the coordinates of a geobox: y, x (names as `dims` says) and the one of the CRS, called `name`."""
    return fine_coords(Grid.alone(geobox), 1, name, dims=dims)


def fine_coords(
    grid: Grid, scale: int, name: str = "spatial_ref", *, dims: tuple[str, str] | None = None
) -> dict[Hashable, xr.DataArray]:
    """Make the coordinates of a grid refined `scale` times: pixel centres, in the CRS's unit.

    The outcome reads back as `zoomed(grid.geobox, scale)`, by odc-geo and by rioxarray, without any rounding. Each
    coordinate is the edge of its coarse pixel on the parent's lattice plus its place inside: a formula that does not
    know where the crop begins. Rotated grids have pixel coordinates, and their place in `GeoTransform` alone.
    (rioxarray takes half a pixel off the first coordinate. Where `edge + half - half != edge` in floating point, once
    in some 1e5 grids of odd numbers and never in whole metres, it is off by the last bit, whatever stands there.)
    """
    geobox = zoomed(grid.geobox, scale)
    made = odc.geo.xr.xr_coords(geobox, name, dims=dims or geobox.dimensions)
    y, x = list(made)[:2]
    if not geobox.axis_aligned:
        if geobox.crs is None:
            transform = " ".join(map(repr, geobox.affine.to_gdal()))
            made[name] = xr.DataArray(np.int32(0), attrs={"GeoTransform": transform})
        return made

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
    """Give the row and column of a grid's first pixel, counted in its pixels from the origin of the CRS.

    All crops of one parent are counted alike, exactly: only the parent's own place is rounded to whole pixels.
    """
    turn = Affine(grid.lattice.a, grid.lattice.b, 0.0, grid.lattice.d, grid.lattice.e, 0.0)
    col, row = ~turn @ (grid.lattice.c, grid.lattice.f)
    # Not at halves, where parents that begin at the middle of a pixel would be rounded one way or the other.
    return math.floor(row + 0.501) + grid.row, math.floor(col + 0.501) + grid.col


def _axis(obj: XarrayObject, dim: str) -> _Axis:
    """Give the coordinate along a dimension; None without one. Raises GridError if its steps differ."""
    if dim not in obj.coords:
        return None
    values = np.asarray(obj.coords[dim].values)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise GridError(f"the coordinate {dim!r} holds {values.dtype}, not places; cube.drop_vars({dim!r}) or mend it.")
    values = values if values.dtype.kind == "f" else values.astype("float64")
    if values.size > 1:
        even = np.linspace(float(values[0]), float(values[-1]), values.size)
        step = (even[-1] - even[0]) / (values.size - 1)
        deviation = np.abs(values - even).max()
        if step == 0 or not deviation <= _tolerance_px(values, step, _UNEVEN_PX) * abs(step):
            raise GridError(
                f"the coordinate {dim!r} is not evenly spaced: it strays by {deviation:g} from steps of {step:g}. "
                "A grid has one pixel size; reindex or reproject the cube first, and look for gaps and doubled places."
            )
    return values


def _tolerance_px(values: NDArray[np.floating[Any]], step: float, least: float) -> float:
    """Say how many pixels coordinates may be off because of their own precision: float32 knows metres badly."""
    return max(least, 2 * float(np.finfo(values.dtype).eps) * float(np.abs(values).max()) / abs(step))


def _readable(obj: XarrayObject, dims: tuple[str, str] | None) -> XarrayObject:
    """Rename spatial dimensions to what odc-geo reads, and leave out of the metadata what it cannot read."""
    obj = without_unreadable(obj)
    if dims is None or dims in _ODC_NAMES:
        return obj
    return obj.rename({name: plain for name, plain in zip(dims, ("y", "x"), strict=True) if name != plain})


def _rotated(obj: XarrayObject, lattice: Affine, axes: tuple[_Axis, _Axis]) -> GeoBox | None:
    """Make the geobox of a rotated grid from where its first pixel stands on the lattice; None if that is unknown.

    That pixel is told by pixel coordinates (0.5, 1.5, ... by odc-geo), or by two-dimensional xc and yc (by rioxarray),
    which odc-geo reads as unsliced; it also takes the single pixel of a slice for one of `resolution` pixels.
    """
    y_dim, x_dim = obj.odc.spatial_dims
    shape = obj.sizes[y_dim], obj.sizes[x_dim]
    y, x = axes
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
    return GeoBox(shape, lattice @ Affine.translation(col, row), obj.odc.crs)


def _from_axes(obj: XarrayObject, y: NDArray[np.floating[Any]], x: NDArray[np.floating[Any]]) -> tuple[GeoBox, str]:
    """Make the geobox from whole axes, where odc-geo cannot: one pixel, or float32 steps too coarse for its formula.

    Returns it with a sentence on what had to be assumed. Raises GridError for a single pixel of unknown size.
    """
    dims = obj.odc.spatial_dims
    steps = [_step(obj, dim, axis) for dim, axis in zip(dims, (y, x), strict=True)]
    known = next((abs(step) for step in steps if step), 0.0 if obj.odc.crs else 1.0)
    if not known:
        raise GridError(
            "the cube is a single pixel, and nothing says of what size. Write its transform, "
            "cube.rio.write_transform(affine), or cut it with .isel from a raster that has one."
        )
    dy, dx = steps[0] or -known, steps[1] or known
    unknown = [dim for dim, step in zip(dims, steps, strict=True) if not step]
    assumed = f"nothing says how large the one pixel along {unknown} is; it is taken as square" if unknown else ""
    affine = Affine(dx, 0.0, float(x[0]) - dx / 2, 0.0, dy, float(y[0]) - dy / 2)
    return GeoBox((y.size, x.size), affine, obj.odc.crs), assumed


def _step(obj: XarrayObject, dim: str, axis: NDArray[np.floating[Any]]) -> float | None:
    """Give the step along an axis: from its ends; for a single pixel from the transform, or `resolution` by odc-geo."""
    if axis.size > 1:
        return (float(axis[-1]) - float(axis[0])) / (axis.size - 1)
    if stored := _stored_transform(obj):
        return stored.e if dim == obj.odc.spatial_dims[0] else stored.a
    noted = obj.coords[dim].attrs.get("resolution")
    return float(noted) if isinstance(noted, int | float | np.number) else None


def _stored_transform(obj: XarrayObject) -> Affine | None:
    """Read `GeoTransform` of the CRS coordinate: the lattice of the raster that the cube was cut from."""
    coordinate = obj.odc.crs_coord
    return None if coordinate is None else transform_of(coordinate)


def _snapped(geobox: GeoBox, lattice: Affine | None, axes: tuple[_Axis, _Axis]) -> Grid | None:
    """Lay a geobox onto its parent's lattice; None if its coordinates do not stand there within 1e-6 pixels."""
    y, x = axes
    if lattice is None or y is None or x is None or not geobox.axis_aligned or lattice.b or lattice.d:
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
    tolerance = _tolerance_px(axis, step, _SNAP_PX)
    first, last = ((float(end) - origin) / step - 0.5 for end in (axis[0], axis[-1]))
    start = round(first)
    on = abs(first - start) <= tolerance < 0.5 and abs(last - (start + axis.size - 1)) <= tolerance
    return start if on else None
