"""Pictures of cubes and of how far they can be trusted (matplotlib, the extra "viz")."""

from __future__ import annotations

from ..cube.select import AnyCube
from ..cube.time import Date
from .comparison import compare
from .document import report
from .exploring import Explorer, explore
from .floods import flood_map
from .frequencies import frequency_map
from .moving import Movie, animate
from .timelines import series
from .triangle import ternary
from .trust import trust_maps

__all__ = [
    "AnyCube",
    "Date",
    "Explorer",
    "Movie",
    "animate",
    "compare",
    "explore",
    "flood_map",
    "frequency_map",
    "report",
    "series",
    "ternary",
    "trust_maps",
]
