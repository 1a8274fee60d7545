"""Figures, interactive pages, movies and reports of cubes and of their accuracy (matplotlib, the extra "viz")."""

from __future__ import annotations

from ..cube.select import AnyCube
from ..cube.time import Date
from .animation import Movie, animate
from .comparison import compare
from .document import report
from .explorer import Explorer, explore
from .maps import flood_map, frequency_map
from .ternary_plot import ternary
from .timelines import series
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
