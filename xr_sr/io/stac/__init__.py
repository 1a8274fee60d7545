"""From a STAC catalog to a lazy cube, and from a file back to a STAC Item.

`loading` reads, by `search` and `items` (what they say), `grouping` (dates), `extents` and `target` (where); `writing`
makes Items, by `stored` (what lies in a file).
"""

from __future__ import annotations

from .items import boa_add_offset
from .loading import load
from .search import CATALOGUES
from .writing import to_stac

__all__ = ["CATALOGUES", "boa_add_offset", "load", "to_stac"]
