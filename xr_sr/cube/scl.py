"""Check that a scene classification (SCL) holds numbers of classes, which resampling and other layers do not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CubeError

__all__ = ["LAST_CLASS", "check_classes"]

LAST_CLASS = 11
"""SCL has the classes 0 (no data) to 11 (snow or ice). Source: ESA, Sentinel-2 Products Specification Document."""

_NODATA = 255  # of 8-bit rasters after reprojection


def check_classes(block: NDArray[Any], name: str, last: int = LAST_CLASS) -> NDArray[Any]:
    """Return a block of classes, inside a task; NaN may be among floats.

    last: the highest class. Raises CubeError for fractions, and for numbers beyond 0 to `last` but 255.
    """
    wrong = block[((block < 0) | (block > last)) & (block != _NODATA)]
    fractions = block[np.isfinite(block) & (block != np.rint(block))] if block.dtype.kind == "f" else block[:0]
    if not fractions.size and not wrong.size:
        return block
    value = float((fractions if fractions.size else wrong).flat[0])
    found = "is not a whole number" if fractions.size else f"is outside 0 to {last}"
    raise CubeError(
        f"{name} has {value:g}, which {found}, so it is not a class of the scene classification. Resample classes by "
        "nearest neighbor (bilinear makes 8.5 of 8 and 9); for a mask or a probability use cube.where(...)."
    )
