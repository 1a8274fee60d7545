"""What cubes tell: spectral indices, water, floods and their areas, series over time, vegetation against the usual.

In reading order: `indices` (by `formulas`, `table`, `reading`), `surface_water` (by `levels`), `flooding`, `hectares`,
`history`, `vegetation`; `area` and `classes` serve them all. Nothing here knows a model: LR and SR are read alike.
"""

from __future__ import annotations

from .area import class_areas, pixel_areas
from .flooding import agreement, flood, flood_between
from .hectares import areas
from .history import object_series, water_history
from .indices import index
from .levels import otsu
from .surface_water import water
from .vegetation import anomaly

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
