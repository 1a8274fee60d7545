"""Pictures of cubes and of how far they can be trusted (matplotlib, the extra "viz")."""

from __future__ import annotations

from ..cube import AnyCube
from .comparison import compare
from .document import report
from .floods import flood_map
from .triangle import ternary
from .trust import trust_maps
from .views import Date

__all__ = ["AnyCube", "Date", "compare", "flood_map", "report", "ternary", "trust_maps"]
