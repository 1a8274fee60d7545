"""What a user asks `load` for, checked before a catalogue is asked: box, grid, chunks, and items that are handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...arguments import check_number, count_of, is_number, items_of, shown, whole_or_none
from ...errors import CatalogueError, GridError, OptionError
from .extents import covers_some, footprint, item_box, meet
from .target import Area

if TYPE_CHECKING:
    from pystac import Item


def require_metres(crs: Any) -> str:
    """Return the name of a CRS whose grid can be of 10 m and 20 m. Raises GridError for any other."""
    from pyproj import CRS

    name = require_crs(crs)
    axes = CRS.from_user_input(name).axis_info
    if any(axis.unit_conversion_factor != 1 or axis.unit_name != "metre" for axis in axes[:2]):
        raise GridError(
            f"crs={shown(crs)} counts in {axes[0].unit_name}s, and the pixels here are 10 m and 20 m. Load in a CRS in "
            "metres, such as the scenes' own (leave crs= out), or pass resolution= in the unit of this CRS."
        )
    return name


def require_side(chunks: Any) -> int:
    """Return the side of a chunk; raises OptionError for what is no whole number above 0, or beyond any raster."""
    side = whole_or_none(chunks)
    if side is None or not 0 < side < 2**31:
        raise OptionError(f"chunks={shown(chunks)}: wanted is the side of a chunk in pixels of 10 m, such as 1024.")
    return side


def read_items(items: Any) -> list[Item]:
    """Give pystac Items of what was handed in. Raises OptionError for what holds none."""
    from pystac import Item, STACTypeError

    if isinstance(items, Mapping) and "features" in items:  # of a file, or an API's answer
        items = items["features"]
    several = [items] if isinstance(items, Item | Mapping) else items_of(items)
    if several is None:
        raise OptionError(
            f"items={items!r} is no Item. Open a file by pystac.Item.from_file(...) or "
            "pystac.ItemCollection.from_file(...); to search, name bbox= and datetime=."
        )
    found = []
    for each in several:
        if not isinstance(each, Item | Mapping):
            raise OptionError(
                f"items holds {each!r}; wanted are pystac Items, or dictionaries. To search, name bbox= and datetime=."
            )
        try:
            found.append(each if isinstance(each, Item) else Item.from_dict(dict(each)))
        except (STACTypeError, KeyError) as error:
            raise OptionError(f"items holds a dictionary that is no Item: {error}.") from error
    return found


def items_in(items: Sequence[Item], area: Area | None) -> list[Item]:
    """Leave out items that do not meet an area, as a search by it would; those that do not say where they lie stay.

    Raises CatalogueError where none meets it: their pixels would all be nodata.
    """
    if area is None:
        return list(items)
    near = [item for item in items if (box := item_box(item)) is None or meet(box, area.box)]
    near = [item for item in near if covers_some(item, area.ground)] if area.polygon else near
    if items and not near:
        raise CatalogueError(
            f"none of {count_of(len(items), 'item')} meets the area, whose box is {area.box}; the first lies in "
            f"{items[0].bbox}. Check the order of bbox=: (west, south, east, north)."
        )
    return near


def require_crs(crs: Any) -> str:
    """Return the name of a CRS that pyproj knows, as items have it: "EPSG:32633". Raises GridError for any other."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        known = CRS.from_user_input(crs)
    except (CRSError, TypeError, ValueError) as error:
        raise GridError(f"crs={shown(crs)} is not known: wanted one such as 'EPSG:32633'.") from error
    code = known.to_epsg()
    return f"EPSG:{code}" if code else str(known.to_wkt())


def require_place(item: Item) -> None:
    """Raise CatalogueError for an item whose box or geometry cannot be read."""
    try:
        footprint(item)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CatalogueError(
            f"{item.id}: its bbox={shown(item.bbox)} or its geometry cannot be read ({shown(str(error))}); wanted are "
            "four numbers, and GeoJSON. Correct the item, or leave it out."
        ) from error


def clear_enough(items: Sequence[Item], cloud_cover: float | None) -> list[Item]:
    """Leave out items with more cloud than this, in percent; those that do not say it stay, and with None all do."""
    if cloud_cover is None:
        return list(items)
    most = check_number("cloud_cover", cloud_cover)
    covers = [item.properties.get("eo:cloud_cover") for item in items]
    # Text and the like say nothing.
    return [item for item, cover in zip(items, covers, strict=True) if not (is_number(cover) and float(cover) > most)]  # type: ignore[arg-type]
