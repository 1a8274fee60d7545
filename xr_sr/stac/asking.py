"""What a user asks `load` for, checked before a catalogue is asked: box, grid, chunks, and items that are handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CatalogueError, GridError, OptionError
from .extents import covers_some, item_box, meet
from .target import Area

if TYPE_CHECKING:
    from pystac import Item


def require_metres(crs: str) -> str:
    """Give a CRS back whose grid can be of 10 m and 20 m; raises GridError for others, and for what is none."""
    from pyproj import CRS

    axes = CRS.from_user_input(require_crs(crs)).axis_info
    if any(axis.unit_conversion_factor != 1 or axis.unit_name != "metre" for axis in axes[:2]):
        raise GridError(
            f"crs={crs!r} counts in {axes[0].unit_name}s, and the pixels here are 10 m and 20 m. Load in a CRS in "
            "metres, such as the scenes' own (leave crs= out), or pass resolution= in the unit of this CRS."
        )
    return crs


def require_side(chunks: int) -> int:
    """Give the side of a chunk back; raises OptionError for what is no whole number above 0."""
    if not isinstance(chunks, int) or isinstance(chunks, bool) or chunks < 1:
        raise OptionError(f"chunks={chunks!r}: wanted is the side of a chunk in pixels of 10 m, such as 1024.")
    return chunks


def read_items(items: Any) -> list[Item]:
    """Give pystac Items of what was handed in. Raises OptionError for what holds none."""
    from pystac import Item, STACTypeError

    if isinstance(items, Mapping) and "features" in items:  # of a file, or an API's answer
        items = items["features"]
    several: Iterable[Any] = [items] if isinstance(items, Item | Mapping) else items
    if isinstance(items, str) or not isinstance(several, Iterable):
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
            f"none of the {len(items)} items meets the area, whose box is {area.box}; the first lies in "
            f"{items[0].bbox}. Check the order of bbox=: (west, south, east, north)."
        )
    return near


def require_crs(crs: str) -> str:
    """Return a CRS that pyproj knows. Raises GridError for any other."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        CRS.from_user_input(crs)
    except CRSError as error:
        raise GridError(f"crs={crs!r} is not known: wanted one such as 'EPSG:32633'.") from error
    return crs


def clear_enough(items: Sequence[Item], cloud_cover: float | None) -> list[Item]:
    """Leave out items with more cloud than this, in percent; those that do not say it stay, and with None all do."""
    most = float("inf") if cloud_cover is None else cloud_cover
    return [item for item in items if not (float(item.properties.get("eo:cloud_cover") or 0) > most)]
