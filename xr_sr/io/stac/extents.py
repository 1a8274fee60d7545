"""Boxes and footprints in degrees, across the antimeridian too. Knows nothing of pixels and grids.

A box here is (west, south, east, north) with -180 <= west < 180 and west <= east; east is above 180 where the box
crosses the antimeridian. GeoJSON (RFC 7946, section 5.2) writes the same box with west > east.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ...errors import GridError, OptionError

if TYPE_CHECKING:
    from odc.geo.geom import Geometry
    from pystac import Item

Box: TypeAlias = tuple[float, float, float, float]

_WIDEST_CROSSING = 180.0
"""Degrees. A wider box with west > east is much more likely to have its corners swapped."""


def read_box(bbox: Any) -> Box:
    """Read (west, south, east, north) in degrees; west > east is a box across the antimeridian.

    Longitudes may also exceed 180 or below -180: (179, -17, 181, -16). Raises OptionError for anything else.
    """
    try:
        sides = [] if isinstance(bbox, str) else [float(side) for side in bbox]
    except (TypeError, ValueError):
        sides = []
    if len(sides) == 6:  # with heights, as STAC allows
        sides = [*sides[:2], *sides[3:5]]
    crossing = len(sides) == 4 and sides[0] > sides[2]
    valid = (
        len(sides) == 4
        and all(math.isfinite(side) for side in sides)
        and -90 <= sides[1] < sides[3] <= 90
        and sides[0] != sides[2]
        and max(map(abs, sides)) <= 360
    )
    if not valid or (not crossing and sides[2] - sides[0] > 360):
        raise OptionError(
            f"bbox={bbox!r}: expected (west, south, east, north) in degrees, numbers with west < east, south < north."
        )
    west, south, east, north = sides
    if crossing and east + 360 - west > _WIDEST_CROSSING:
        raise OptionError(
            f"bbox={bbox!r}: expected west < east; west > east is a box across the antimeridian, and this one would "
            f"be {east + 360 - west:g} degrees wide. Check the order (west, south, east, north)."
        )
    return normalized(west, south, east + 360 * crossing, north)


def normalized(west: float, south: float, east: float, north: float) -> Box:
    """Shift a box by whole turns until -180 <= west < 180."""
    turns = math.floor((west + 180) / 360)
    return west - 360 * turns, south, east - 360 * turns, north


def split(box: Box) -> list[Box]:
    """Cut a box at the antimeridian: the one or two boxes within -180 to 180 degrees."""
    west, south, east, north = box
    if east <= 180:
        return [box]
    if east - west >= 360:
        return [(-180.0, south, 180.0, north)]
    return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]


def meet(one: Box, other: Box) -> bool:
    """Return whether two boxes share at least a point."""
    along = any(one[0] + turn <= other[2] and one[2] + turn >= other[0] for turn in (-360, 0, 360))
    return along and one[1] <= other[3] and one[3] >= other[1]


def around(boxes: Sequence[Box]) -> Box:
    """Return the narrowest box that contains all boxes: it begins at the west of one of them, seen eastward."""
    spans = {normalized(*box)[::2] for box in boxes}

    def width(start: float) -> float:
        return max((west - start) % 360 + east - west for west, east in spans)

    start = min(sorted(west for west, _ in spans), key=width)
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    return start, south, start + width(start), north


def middle(box: Box) -> float:
    """Return the longitude of the middle of a box, between -180 and 180."""
    return ((box[0] + box[2]) / 2 + 180) % 360 - 180


def item_box(item: Item) -> Box | None:
    """Return the box of an Item; of its geometry where its own box spans the globe, as many do at the antimeridian.

    None where the Item has neither.
    """
    if item.bbox:
        west, south, east, north = item.bbox if len(item.bbox) == 4 else (*item.bbox[:2], *item.bbox[3:5])
        east += 360 * (west > east)
        if east - west <= 180 or not item.geometry:
            return normalized(west, south, east, north)
    return geometry_box(item.geometry) if item.geometry else None


def geometry_box(geometry: Mapping[str, Any]) -> Box:
    """Return the box of a GeoJSON geometry in degrees, which may be cut at the antimeridian or cross it."""
    points = list(_points(geometry))
    turn = _turn(points)
    lons, lats = [lon + turn * (lon < 0) for lon, _ in points], [lat for _, lat in points]
    return normalized(min(lons), min(lats), max(lons), max(lats))


def box_of_items(items: Iterable[Item]) -> Box:
    """Return the narrowest box around all items. Raises GridError if none has a position."""
    boxes = [box for item in items if (box := item_box(item)) is not None]
    if not boxes:
        raise GridError("the items have neither bbox nor geometry: pass bbox=(west, south, east, north).")
    return around(boxes)


def footprint(item: Item) -> Geometry | None:
    """Return the ground that an Item covers, in degrees, its longitudes continuous; None where it does not say."""
    from odc.geo.geom import box

    outline = item_box(item)
    if outline is None:
        return None
    if item.geometry:
        made = as_shape(continuous(item.geometry), "EPSG:4326")
        if made.geom.is_valid and made.area > 0:
            return made
    return box(*outline, "EPSG:4326")


def as_shape(geometry: Mapping[str, Any], crs: Any) -> Geometry:
    """Make a shape of GeoJSON; the parts of a collection, which odc-geo does not read, are united."""
    from odc.geo.geom import Geometry, unary_union

    if geometry.get("type") != "GeometryCollection":
        return Geometry(dict(geometry), crs)
    united = unary_union([as_shape(part, crs) for part in geometry["geometries"]])
    if united is None:
        raise ValueError("a GeometryCollection without geometries")
    return united


def covers_some(item: Item, ground: Geometry) -> bool:
    """Return whether an Item meets a shape in degrees; one without a position may."""
    from affine import Affine

    own = footprint(item)
    if own is None:
        return True
    return any(own.transform(Affine.translation(turn, 0)).intersects(ground) for turn in (-360, 0, 360))


def overlap(one: Geometry, other: Geometry) -> tuple[float, float]:
    """Return the ground that two footprints share, as shares of the smaller one and of their union (0 to 1)."""
    common: float = (one & other).area
    smaller, union = min(one.area, other.area), one.area + other.area - common
    return common / smaller if smaller else 0.0, common / union if union else 0.0


def continuous(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a GeoJSON geometry without the jump at the antimeridian: longitudes continue beyond 180."""
    turn = _turn(list(_points(geometry)))

    def moved(part: Any) -> Any:
        if part and isinstance(part[0], int | float):
            return (part[0] + turn * (part[0] < 0), *part[1:2])
        return [moved(each) for each in part]

    if geometry.get("type") == "GeometryCollection":
        return {"type": "GeometryCollection", "geometries": [
            {**part, "coordinates": moved(part["coordinates"])} for part in geometry["geometries"]]}  # fmt: skip
    return {"type": geometry["type"], "coordinates": moved(geometry["coordinates"])}


def _turn(points: Sequence[tuple[float, float]]) -> float:
    """Return what western longitudes lack to continue beyond 180: 360 across the antimeridian, else 0.

    The cut leaves parts on both sides, so the plain width is about 360 degrees; counted from 0 it is the true one.
    """
    plain = [lon for lon, _ in points] or [0.0]
    turned = [lon + 360 * (lon < 0) for lon in plain]
    width = max(plain) - min(plain)
    return 360.0 if width > 180 and max(turned) - min(turned) < width else 0.0


def _points(geometry: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """Yield all (longitude, latitude) of a GeoJSON geometry."""
    parts: list[Any] = [part["coordinates"] for part in geometry.get("geometries", ())]
    stack = parts or [geometry.get("coordinates", ())]
    while stack:
        part = stack.pop()
        if len(part) and isinstance(part[0], int | float):
            yield float(part[0]), float(part[1])
        elif isinstance(part, Sequence) and not isinstance(part, str):
            stack.extend(part)
        else:
            raise ValueError(f"{part!r} are not coordinates")
