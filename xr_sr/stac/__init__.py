"""From a STAC catalogue to a lazy cube; `loading` is the door, by `catalogues` (search) and `items` (what they say)."""

from __future__ import annotations

from .catalogues import CATALOGUES
from .loading import load

__all__ = ["CATALOGUES", "load"]
