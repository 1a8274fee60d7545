"""Search catalogs: arguments, catalogs by name, paging, retries, signed URLs. Reads no pixels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from ...arguments import check_number, check_text, count_of, is_number, items_of, shown, whole_or_none
from ...cube.time import read_date
from ...errors import CatalogError, GridError, OptionError
from ...optional import require
from .extents import Box, covers_some, footprint, item_box, meet, split
from .target import Area, in_metres

if TYPE_CHECKING:
    from pystac import Item

Bbox: TypeAlias = Sequence[float]
"""(west, south, east, north) in degrees."""

Query: TypeAlias = Mapping[str, Mapping[str, Any]] | Sequence[str]
"""As pystac-client takes it: {"eo:cloud_cover": {"lt": 20}}, or ["eo:cloud_cover<20"]."""

Filter: TypeAlias = Mapping[str, Any] | str
"""CQL2, as JSON or as text."""

RETRIES = 5

_TRANSIENT = (408, 429, 500, 502, 503, 504)
_OPERATORS = {">=": "gte", "<=": "lte", "=": "eq", "<>": "neq", ">": "gt", "<": "lt"}
_COMPARISON = re.compile(r"([^<>=\s]+)\s*(>=|<=|<>|=|>|<)\s*([-+]?\d+(?:\.\d+)?)")
_SIGNED_HOST = ".blob.core.windows.net"


@dataclass(frozen=True)
class Catalog:
    """A STAC API. collection: of Sentinel-2 L2A there, used if the user names none."""

    url: str
    collection: str = "sentinel-2-l2a"


CATALOGS: dict[str, Catalog] = {
    # Collection 1 has its offset in the metadata; of sentinel-2-l2a there most, not all, have it in the pixels.
    "earth-search": Catalog("https://earth-search.aws.element84.com/v1", "sentinel-2-c1-l2a"),
    "planetary-computer": Catalog("https://planetarycomputer.microsoft.com/api/stac/v1"),
    "cdse": Catalog("https://stac.dataspace.copernicus.eu/v1"),
}
"""What can be named; any other STAC API is given by its URL."""


def find_catalog(name: str) -> Catalog:
    """Look a catalog up by name, or take a URL. Raises CatalogError for any other text."""
    check_text("catalog", name)
    if name in CATALOGS:
        return CATALOGS[name]
    if urlsplit(name).scheme in ("http", "https"):
        return Catalog(name)
    raise CatalogError(f"catalog={name!r} is neither a URL nor one of {', '.join(map(repr, CATALOGS))}.")


@dataclass(frozen=True)
class Search:
    """What to ask a catalog for, beside the area; each as pystac-client has it."""

    datetime: str | None
    catalog: str = "earth-search"
    collection: str | None = None
    query: Query | None = None
    filter: Filter | None = None

    def given(self) -> list[str]:
        """Name what was passed and has a meaning in a search only."""
        options = {name: getattr(self, name) for name in ("datetime", "collection", "query", "filter")}
        return [f"{name}=" for name, value in options.items() if value is not None]


def _check_datetime(datetime: str | None) -> None:
    """Raise OptionError for text that is neither a moment nor a span of two; other types are left to the client."""
    if not isinstance(datetime, str):
        return
    parts = datetime.split("/")
    if len(parts) > 2:
        raise OptionError(f"datetime={datetime!r}: expected one date, or first/last, such as 2023-06-01/2023-06-30.")
    for part in parts:
        if len(parts) == 1 or part not in ("", ".."):
            read_date(part, argument=f"datetime={datetime!r}: {part!r}")


def search(area: Box | None, ask: Search) -> list[Item]:
    """Find items, page by page, each once; transient errors are tried again, five times, waiting longer each time.

    area: one search is made for each side of the antimeridian. Raises CatalogError where the catalog does not
    answer, OptionError for a query or filter of the wrong kind. pystac-client warns where an API does not support them.
    """
    from pystac_client import Client
    from pystac_client.exceptions import APIError
    from pystac_client.stac_api_io import StacApiIO
    from urllib3 import Retry

    where = find_catalog(ask.catalog)
    _check_datetime(ask.datetime)
    retry = Retry(total=RETRIES, backoff_factor=0.2, status_forcelist=_TRANSIENT, allowed_methods=None)
    query, filters = _read_query(ask.query), _read_filter(ask.filter)
    try:
        client = Client.open(where.url, stac_io=StacApiIO(max_retries=retry, timeout=60))
        found: dict[tuple[str | None, str], Item] = {}
        for box in [None] if area is None else split(area):
            # Few APIs take west > east.
            hits = client.search(
                collections=[ask.collection or where.collection],
                bbox=box,
                datetime=ask.datetime,
                query=query,
                filter=filters,
                limit=100,
            )
            found |= {(item.collection_id, item.id): item for item in hits.items()}
        return list(found.values())
    except APIError as error:
        raise CatalogError(f"{where.url} does not answer the search: {error}") from error


def _read_query(query: Any) -> Any:
    if query is None or isinstance(query, Mapping):
        return None if query is None else dict(query)
    if isinstance(query, Sequence) and not isinstance(query, str) and all(isinstance(each, str) for each in query):
        return _with_numbers(query)
    raise OptionError(
        f"query={query!r}: expected a dictionary such as {{'eo:cloud_cover': {{'lt': 20}}}}, or a list of texts such "
        "as ['eo:cloud_cover<20']."
    )


def _with_numbers(query: Sequence[str]) -> list[str]:
    """Write comparisons with numbers as JSON: of "eo:cloud_cover<20" pystac-client sends the text "20"."""
    made = []
    for text in query:
        if not re.search(r"[<>=]", text):
            raise OptionError(f"query={text!r}: expected a comparison, such as query=['eo:cloud_cover<20'].")
        found = _COMPARISON.fullmatch(text.strip())
        made.append(json.dumps({found[1]: {_OPERATORS[found[2]]: float(found[3])}}) if found else text)
    return made


def _read_filter(filters: Any) -> Any:
    if filters is None or isinstance(filters, str):
        return filters
    if isinstance(filters, Mapping):
        return dict(filters)
    raise OptionError(f"filter={filters!r}: expected CQL2, as text or as a dictionary. See query= for comparisons.")


def signer(hrefs: Iterable[str]) -> Callable[[str], str] | None:
    """Return the function that signs addresses, where they need it; None where none does.

    Planetary Computer hands pixels out to signed addresses only, which hold for about an hour. Raises
    MissingLibraryError where its library is not installed.
    """
    if not any(_needs_signature(href) for href in hrefs):
        return None
    library: Any = require("planetary_computer", extra="planetary")

    def sign(href: str) -> str:
        return str(library.sign_url(href)) if _needs_signature(href) else href

    return sign


def _needs_signature(href: str) -> bool:
    parts = urlsplit(href)
    return (parts.hostname or "").endswith(_SIGNED_HOST) and "sig=" not in parts.query


def require_metres(crs: Any) -> str:
    """Return the name of a CRS whose grid can be of 10 m and 20 m. Raises GridError for any other."""
    from pyproj import CRS

    name = require_crs(crs)
    if not in_metres(name):
        unit = CRS(name).axis_info[0].unit_name
        raise GridError(
            f"crs={shown(crs)} counts in {unit}s, and the pixels here are 10 m and 20 m. Load in a CRS in meters, such "
            "as the scenes' own (leave crs= out), or pass resolution= in the unit of this CRS."
        )
    return name


def require_side(chunks: Any) -> int:
    """Return the side of a chunk; raises OptionError unless it is a whole number above 0 and within any raster."""
    side = whole_or_none(chunks)
    if side is None or not 0 < side < 2**31:
        raise OptionError(f"chunks={shown(chunks)}: expected the side of a chunk in pixels of 10 m, such as 1024.")
    return side


def read_items(items: Any) -> list[Item]:
    """Convert the input to pystac Items. Raises OptionError for anything else."""
    from pystac import Item, STACTypeError

    if isinstance(items, Mapping) and "features" in items:  # of a file, or an API's answer
        items = items["features"]
    several = [items] if isinstance(items, Item | Mapping) else items_of(items)
    if several is None:
        raise OptionError(
            f"items={items!r} is not an Item. Open a file by pystac.Item.from_file(...) or "
            "pystac.ItemCollection.from_file(...); to search, name bbox= and datetime=."
        )
    found = []
    for each in several:
        if not isinstance(each, Item | Mapping):
            raise OptionError(
                f"items holds {each!r}; expected pystac Items, or dictionaries. To search, name bbox= and datetime=."
            )
        try:
            found.append(each if isinstance(each, Item) else Item.from_dict(dict(each)))
        except (STACTypeError, KeyError) as error:
            raise OptionError(f"items holds a dictionary that is not an Item: {error}.") from error
    return found


def items_in(items: Sequence[Item], area: Area | None) -> list[Item]:
    """Leave out items that do not meet an area, as a search by it would; those without a position are kept.

    Raises CatalogError where none meets it: their pixels would all be nodata.
    """
    if area is None:
        return list(items)
    near = [item for item in items if (box := item_box(item)) is None or meet(box, area.box)]
    near = [item for item in near if covers_some(item, area.ground)] if area.polygon else near
    if items and not near:
        raise CatalogError(
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
        raise GridError(f"crs={shown(crs)} is unknown; expected a CRS such as 'EPSG:32633'.") from error
    code = known.to_epsg()
    return f"EPSG:{code}" if code else str(known.to_wkt())


def require_place(item: Item) -> None:
    """Raise CatalogError for an item whose box or geometry cannot be read."""
    try:
        footprint(item)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CatalogError(
            f"{item.id}: its bbox={shown(item.bbox)} or its geometry cannot be read ({shown(str(error))}); expected "
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
