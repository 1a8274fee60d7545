"""From a STAC catalog to a lazy cube, and from a file back to a STAC Item.

`loading` reads, by `search` and `items` (what they say), `grouping` (dates), `extents` and `target` (where); `writing`
makes Items, by `stored` (what lies in a file).
"""

from __future__ import annotations

from typing import Any

from ...errors import warn_caller
from .items import boa_add_offset
from .loading import load
from .search import CATALOGS
from .writing import to_stac

__all__ = ["CATALOGS", "boa_add_offset", "load", "to_stac"]


def __getattr__(name: str) -> Any:
    if name == "CATALOGUES":  # its spelling in an earlier release
        warn_caller("CATALOGUES is now spelled CATALOGS; the old name will be removed.", FutureWarning)
        return CATALOGS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
