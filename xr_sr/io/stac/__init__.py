"""From a STAC catalogue to a lazy cube, and from a file back to a STAC Item.

`loading` is the door inward, by `catalogues` (search) and `items` (what they say); `writing` the door outward, by
`stored` (what lies in a file) and `projection` (where).
"""

from __future__ import annotations

from .catalogues import CATALOGUES
from .items import boa_add_offset
from .loading import load
from .writing import to_stac

__all__ = ["CATALOGUES", "boa_add_offset", "load", "to_stac"]
