"""Catalogues by name, and the search in any of them: paging, retries, signed access. Knows no pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from ..errors import CatalogueError
from ..optional import require
from .extents import Box, split

if TYPE_CHECKING:
    from pystac import Item

Bbox: TypeAlias = Sequence[float]
"""(west, south, east, north) in degrees."""

RETRIES = 5

_TRANSIENT = (408, 429, 500, 502, 503, 504)
_SIGNED_HOST = ".blob.core.windows.net"


@dataclass(frozen=True)
class Catalogue:
    """A STAC API. collection: of Sentinel-2 L2A there, asked for where the user names none."""

    url: str
    collection: str = "sentinel-2-l2a"


CATALOGUES: dict[str, Catalogue] = {
    # Collection 1 has its offset in the metadata; of sentinel-2-l2a there most, not all, have it in the pixels.
    "earth-search": Catalogue("https://earth-search.aws.element84.com/v1", "sentinel-2-c1-l2a"),
    "planetary-computer": Catalogue("https://planetarycomputer.microsoft.com/api/stac/v1"),
    "cdse": Catalogue("https://stac.dataspace.copernicus.eu/v1"),
}
"""What can be named; any other STAC API is given by its URL."""


def find_catalogue(name: str) -> Catalogue:
    """Look a catalogue up by name, or take a URL. Raises CatalogueError for any other text."""
    if name in CATALOGUES:
        return CATALOGUES[name]
    if urlsplit(name).scheme in ("http", "https"):
        return Catalogue(name)
    raise CatalogueError(f"catalogue={name!r} is neither a URL nor one of {', '.join(map(repr, CATALOGUES))}.")


def search(
    catalogue: str,
    bbox: Box | None,
    datetime: str | None,
    *,
    collection: str | None = None,
) -> list[Item]:
    """Find items, page by page, each once; transient errors are tried again, five times, waiting longer each time.

    datetime: as STAC has it, "2023-06-01/2023-06-30". Raises CatalogueError where the catalogue does not answer.
    """
    from pystac_client import Client
    from pystac_client.exceptions import APIError
    from pystac_client.stac_api_io import StacApiIO
    from requests import RequestException
    from urllib3 import Retry

    where = find_catalogue(catalogue)
    retry = Retry(total=RETRIES, backoff_factor=0.2, status_forcelist=_TRANSIENT, allowed_methods=None)
    try:
        client = Client.open(where.url, stac_io=StacApiIO(max_retries=retry, timeout=60))
        found: dict[tuple[str | None, str], Item] = {}
        for box in [None] if bbox is None else split(bbox):
            # One search for each side of the antimeridian: few APIs take west > east.
            hits = client.search(collections=[collection or where.collection], bbox=box, datetime=datetime, limit=100)
            found |= {(item.collection_id, item.id): item for item in hits.items()}
        return list(found.values())
    except (APIError, RequestException) as error:
        raise CatalogueError(f"{where.url} does not answer the search: {error}") from error


def signer(hrefs: Iterable[str]) -> Callable[[str], str] | None:
    """Give the function that signs addresses, where they need it; None where none does.

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
