"""Define where to load: the requested area, and the grids that cover it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from odc.geo.geom import box as rectangle

from ...arguments import is_number, is_one_of, shown
from ...cube.grid import geobox_of, pixel_size_m
from ...cube.names import listed
from ...errors import GeoreferenceWarning, GridError, OptionError, warn_caller
from .extents import Box, as_shape, continuous, geometry_box, read_box
from .items import native_gsd_m

Form: TypeAlias = "float | Literal['native', 'exact']"
"""The grids of the result: a tree of native grids, exactly one given grid, or one grid of that pixel size."""

DEGREES = "EPSG:4326"


class GeoInterface(Protocol):
    """A geometry of shapely, a GeoDataFrame of GeoPandas, and any other object with `__geo_interface__`."""

    @property
    def __geo_interface__(self) -> Mapping[str, Any]:
        """The same as GeoJSON."""


Polygon: TypeAlias = Geometry | Mapping[str, Any] | GeoInterface
"""A geometry of odc-geo, GeoJSON, or what can be written as GeoJSON."""

_NATIVE_GSD_M = (10.0, 20.0, 60.0)
_ON_LATTICE = 1e-3
"""Of a pixel."""

_GEOMETRY = (
    "GeoJSON in degrees or with a member crs, a geometry of shapely in degrees, of GeoPandas, or an "
    "odc.geo.geom.Geometry"
)


@dataclass(frozen=True, eq=False)
class Area:
    """What a user wants to load.

    box: around it, in degrees. shape: in a CRS of its own; in degrees its longitudes are continuous. polygon: whether
    items that meet the box and not the shape are left out. exact: the grid, where one was given.
    """

    box: Box
    shape: Geometry
    polygon: bool = False
    exact: GeoBox | None = None

    @property
    def ground(self) -> Geometry:
        """The shape in degrees, its longitudes continuous; its hull where lines cross, as in a bow tie."""
        shape = self.shape
        if shape.crs != DEGREES:
            shape = as_shape(continuous(shape.to_crs(DEGREES, resolution="auto").json), DEGREES)
        return shape if shape.is_valid else shape.convex_hull


def read_area(
    *, bbox: Any = None, geopolygon: Polygon | None = None, geobox: Any = None, like: Any = None
) -> Area | None:
    """Read the one argument that says where to load; None where none does.

    Raises OptionError where several do, or for one that is not an area; GridError for a grid without a CRS.
    """
    given = {"bbox": bbox, "geopolygon": geopolygon, "geobox": geobox, "like": like}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        passed = ", ".join(f"{name}=" for name in named)
        raise OptionError(f"{passed} were passed, and each defines the area to load; pass only one of them.")
    if bbox is not None:
        return area_around(read_box(bbox))
    if geopolygon is not None:
        shape = _polygon(geopolygon)
        return Area(_box_of(shape), shape, polygon=True)
    if like is not None:
        geobox = grid_like(like)
    elif geobox is not None and not isinstance(geobox, GeoBox):
        raise OptionError(
            f"geobox= is a {type(geobox).__name__}; expected an odc.geo.geobox.GeoBox, such as cube.odc.geobox. To "
            "load on the grid of a cube, pass like=cube."
        )
    if geobox is None:
        return None
    if geobox.crs is None:
        raise GridError(f"{named[0]}= has no CRS, so it has no place on Earth: set one with cube.odc.assign_crs(...).")
    return Area(_box_of(geobox.extent), geobox.extent, exact=geobox)


def grid_like(like: Any) -> GeoBox:
    """Find the grid of a cube; of a tree, that of its finest node. Raises OptionError and GridError without any."""
    if isinstance(like, GeoBox):
        return like
    nodes = [node.to_dataset() for node in like.subtree if node.data_vars] if isinstance(like, xr.DataTree) else [like]
    if not all(isinstance(node, xr.DataArray | xr.Dataset) for node in nodes):
        raise OptionError(f"like= is a {type(like).__name__}; expected a DataArray, Dataset, DataTree or GeoBox.")
    found = [geobox for node in nodes if (geobox := geobox_of(node)) is not None]
    if not found:
        raise GridError("like= has no grid: it needs y, x and a CRS, such as what load gave.")
    return max(found, key=lambda geobox: geobox.shape.x * geobox.shape.y)


def area_around(box: Box) -> Area:
    """Return the area of a box."""
    return Area(box, rectangle(*box, DEGREES))


def read_form(grid: Any, resolution: Any, crs: str | None, area: Area | None, like: Any) -> Form:
    """Read which grids the result has. Raises OptionError for what is unknown, or says the same thing twice."""
    if not is_one_of(grid, (None, "native", 10, 20)):
        raise OptionError(f"grid={shown(grid)}: known are 'native', 10 and 20; any other pixel size is resolution=.")
    if resolution is not None:
        if not is_number(resolution) or not 0 < float(resolution) < float("inf"):
            raise OptionError(
                f"resolution={shown(resolution)}: expected the side of a pixel in the unit of the CRS, a number above "
                "0. A grid of other pixels is given by geobox=."
            )
        if grid is not None:
            raise OptionError(f"grid={grid!r} and resolution={resolution!r} both say the size of pixels: pass one.")
    if area is not None and area.exact is not None:
        known = {"crs": crs, "resolution": resolution, "grid": None if grid == "native" else grid}
        if double := [f"{name}={value!r}" for name, value in known.items() if value is not None]:
            raise OptionError(
                f"{', '.join(double)}: geobox= and like= say the CRS and the pixels already. Leave out one of the two."
            )
        return "native" if grid == "native" or isinstance(like, xr.DataTree) else "exact"
    if resolution is not None:
        return float(resolution)
    return "native" if grid in (None, "native") else float(grid)


def grids_of(form: Form, area: Area, zone: str, bands: Sequence[str]) -> dict[str, tuple[GeoBox, list[str]]]:
    """Return the grids to load, by the names of their nodes, each with its bands, the finest first.

    zone: CRS of the result. Grids of a tree nest: each pixel of 20 m, or 60 m, holds whole pixels of 10 m. One grid of
    10 m or 20 m is snapped in the same way, so repeated pixels are whole.
    Raises GridError where the grid that was given cannot be one of a nested tree.
    """
    largest = 60.0 if any(native_gsd_m(band) == 60 for band in bands) else 20.0
    if form == "exact":
        assert area.exact is not None
        _warn_between_pixels(area.exact, zone, bands)
        return {"": (area.exact, list(bands))}
    if form != "native":
        snapped = largest if in_metres(zone) and largest % form == 0 else form
        return {"": (_divided(_covering(area.shape, zone, snapped), snapped, form), list(bands))}
    base = _covering(area.shape, zone, largest) if area.exact is None else _coarsest(area.exact, zone, largest)
    sizes: dict[float, list[str]] = {}
    for band in bands:
        sizes.setdefault(native_gsd_m(band), []).append(band)
    return {f"r{size:g}m": (_divided(base, largest, size), sizes[size]) for size in sorted(sizes)}


def chunk_side(geobox: GeoBox, chunks: int) -> int:
    """Return the side of a chunk in pixels of a grid. chunks: in pixels of 10 m."""
    ground = pixel_size_m(geobox)
    return max(16, round(chunks * 10 / (ground[1] if ground else 10.0)))


def _polygon(given: Polygon) -> Geometry:
    """Read a geometry: odc-geo's, GeoJSON, shapely's, GeoPandas', or what has `__geo_interface__`."""
    shape = given if isinstance(given, Geometry) else None
    found = given if isinstance(given, Mapping) else getattr(given, "__geo_interface__", None)
    try:
        if shape is None and isinstance(found, Mapping):
            shape = as_shape(_geometry_of(found), getattr(given, "crs", None) or _named_crs(found))
        if shape is not None and shape.crs is not None and not shape.is_empty and shape.crs.geographic:
            _refuse_beyond_degrees(shape)
            shape = as_shape(continuous(shape.json), shape.crs)
    except Exception as error:  # of shapely, which is reached through odc-geo
        raise OptionError(f"geopolygon= cannot be read as a geometry: {error}. Expected {_GEOMETRY}.") from error
    if shape is None or shape.crs is None or shape.is_empty:
        what = "empty or without a CRS" if shape is not None else f"a {type(given).__name__}"
        raise OptionError(f"geopolygon= is {what}; expected {_GEOMETRY}.")
    return shape


def _named_crs(found: Mapping[str, Any]) -> str:
    """Return the CRS of a GeoJSON object: that of its member `crs` of 2008, or of a part; else degrees.

    Raises OptionError for one that pyproj does not know, and where parts have several.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    features = found.get("features")
    parts = [found, *(features if isinstance(features, list | tuple) else [])]
    parts += [part.get("geometry") for part in parts if isinstance(part, Mapping)]
    members = [part["crs"] for part in parts if isinstance(part, Mapping) and part.get("crs") is not None]
    names = set()
    for member in members:
        properties = member.get("properties") if isinstance(member, Mapping) else None
        name = properties.get("name") if isinstance(properties, Mapping) else member
        try:
            # Longitude first, as in all of GeoJSON.
            names.add(DEGREES if "CRS84" in str(name) else CRS.from_user_input(name).to_string())
        except (CRSError, TypeError, ValueError) as error:
            raise OptionError(
                f"geopolygon= has the member crs={shown(member)}, which is not known; expected the name of a CRS, such "
                "as 'urn:ogc:def:crs:EPSG::32633', or no crs for degrees."
            ) from error
    if len(names) > 1:
        raise OptionError(f"geopolygon= has parts in {listed(sorted(names))}; expected one CRS. Reproject the parts.")
    return names.pop() if names else DEGREES


def _refuse_beyond_degrees(shape: Geometry) -> None:
    """Raise OptionError if coordinates in degrees are not longitudes and latitudes."""
    west, south, east, north = shape.boundingbox.bbox
    if -90 <= south <= north <= 90 and -360 <= west <= east <= 360:
        return
    raise OptionError(
        f"geopolygon= spans x={west:.10g} to {east:.10g} and y={south:.10g} to {north:.10g}; expected longitudes and "
        "latitudes in degrees. For another CRS pass odc.geo.geom.Geometry(geometry, 'EPSG:32633'), or name it in the "
        "member crs of GeoJSON."
    )


def _geometry_of(found: Any) -> dict[str, Any]:
    """Return the geometry in a GeoJSON object; of a feature its own, of several all together."""
    kind = found.get("type")
    if kind == "Feature":
        return _geometry_of(found.get("geometry") or {})
    if kind == "FeatureCollection":
        parts = [_geometry_of(each) for each in found.get("features", ())]
        return parts[0] if len(parts) == 1 else {"type": "GeometryCollection", "geometries": parts}
    if kind == "GeometryCollection" or "coordinates" in found:
        return dict(found)
    raise ValueError(f"type {kind!r} has no coordinates")


def _box_of(shape: Geometry) -> Box:
    """Return the box in degrees around a shape of any CRS, across the antimeridian too."""
    in_degrees = shape if shape.crs == DEGREES else shape.to_crs(DEGREES, resolution="auto")
    west, south, east, north = geometry_box(in_degrees.json)
    return west, max(south, -90.0), east, min(north, 90.0)


def _covering(shape: Geometry, crs: str, size: float) -> GeoBox:
    """Return the grid of pixels of a size that covers a shape, with edges on multiples of the size."""
    # With points along the edges: a parallel is not a straight line in UTM, by 120 m over a degree.
    return GeoBox.from_bbox(shape.to_crs(crs, resolution="auto").boundingbox, crs, resolution=size, anchor="edge")


def _divided(base: GeoBox, largest: float, size: float) -> GeoBox:
    return base.zoom_to((round(base.shape.y * largest / size), round(base.shape.x * largest / size)))


def _coarsest(geobox: GeoBox, zone: str, largest: float) -> GeoBox:
    """Return the grid of the coarsest bands that holds whole pixels of the given one. Raises GridError without any."""
    size = abs(geobox.affine.a)
    if not geobox.axis_aligned or not in_metres(zone) or size not in _NATIVE_GSD_M or abs(geobox.affine.e) != size:
        raise GridError(
            f"a tree of native grids needs pixels of 10 m, 20 m or 60 m along the axes of a CRS in meters; these are "
            f"{geobox.resolution.x:g} by {geobox.resolution.y:g} in {geobox.crs}. Leave out grid='native' to load all "
            "bands on this one grid."
        )
    factor = largest / size
    edges = (geobox.affine.c, geobox.affine.f)
    if any(side % factor for side in geobox.shape) or any(edge % largest for edge in edges):
        raise GridError(
            f"the grid of {size:g} m cuts pixels of {largest:g} m: it has {geobox.shape.y} x {geobox.shape.x} pixels "
            f"and begins at x={edges[0]:g}, y={edges[1]:g}. Grow it: geobox=xr_sr.snap_geobox(geobox, {largest:g})."
        )
    return geobox.zoom_to((round(geobox.shape.y / factor), round(geobox.shape.x / factor)))


def _warn_between_pixels(geobox: GeoBox, zone: str, bands: Sequence[str]) -> None:
    """Warn where the grid that was given lies between the pixels of the sensor, whose CRS is the same."""
    size = min(native_gsd_m(band) for band in bands)
    edges = (geobox.affine.c, geobox.affine.f)
    between = [edge for edge in edges if abs(edge / size - round(edge / size)) > _ON_LATTICE]
    if between and in_metres(zone):
        warn_caller(
            f"the grid begins at {listed(between)}, between the pixels of {size:g} m, and is filled by nearest "
            "neighbor: pixels are shifted by up to half of one.",
            GeoreferenceWarning,
        )


def in_metres(crs: str) -> bool:
    """Return whether a CRS counts in meters along both axes."""
    from pyproj import CRS

    return all(axis.unit_conversion_factor == 1 and axis.unit_name == "metre" for axis in CRS(crs).axis_info[:2])
