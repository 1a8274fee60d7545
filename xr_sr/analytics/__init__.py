"""Compute spectral indices, water, floods and their areas, series over time and anomalies of vegetation.

In reading order: `indices` (by `formulas` and `bands`), `surface_water`, `flooding`, `history`;
`area` and `classes` serve them all. LR and SR are read alike.
"""

from __future__ import annotations

from .area import areas, class_areas, pixel_areas
from .flooding import agreement, flood, flood_between
from .history import anomaly, object_series, water_history
from .indices import index
from .surface_water import otsu, water

__all__ = [
    "agreement",
    "anomaly",
    "areas",
    "class_areas",
    "flood",
    "flood_between",
    "index",
    "object_series",
    "otsu",
    "pixel_areas",
    "water",
    "water_history",
]
