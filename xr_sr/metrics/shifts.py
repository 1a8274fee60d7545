"""The shift between two images of each date, measured in a few windows spread over the scene, each a task of its own.

How a shift is estimated and judged is handled in `registration`; windows bound the memory, however large the scene.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from ..registration.estimate import LEAST_SIDE, estimate_shift
from ..registration.shift import Shift, combined, judged
from .blocks import FloatArray, Layout, map_images

if TYPE_CHECKING:
    import dask.array as da

SIDE = 512
"""Side of a window in pixels; three along an axis at most."""


def measure_shifts(moving: da.Array, reference: da.Array, max_shift: float) -> da.Array:
    """Measure by how many pixels `moving` must be moved to lie on `reference`: (time, 4), dy, dx, quality, ok.

    moving, reference: (time, band, y, x) of one size, NaN where unknown. ok: 1 where the shift is to be believed, else
    0; always 0 for images that are less than 16 pixels wide.
    """
    import dask.array as da

    height, width = moving.shape[-2:]
    count = max(moving.shape[0], reference.shape[0])
    if min(height, width) < LEAST_SIDE:
        nothing: da.Array = da.zeros((count, 4), chunks=(1, 4))
        return nothing
    windows = []
    for rows, columns in itertools.product(_windows(height), _windows(width)):
        whole = Layout((rows.stop - rows.start,), (columns.stop - columns.start,))
        inputs = [(whole.cut(image[..., rows, columns]), "tbyx") for image in (moving, reference)]
        windows.append(map_images(_estimate, inputs, "tsyx", Layout((1,), (1,)), new={"s": 4}, max_shift=max_shift))
    together = da.concatenate(windows, axis=2).rechunk({2: -1})
    shifts: da.Array = da.map_blocks(_combine, together, drop_axis=(2, 3), max_shift=max_shift, dtype=np.float64)
    return shifts


def _windows(size: int) -> list[slice]:
    side = min(size, SIDE)
    count = 1 if size <= SIDE else 2 if size <= 3 * SIDE else 3
    return [slice(int(start), int(start) + side) for start in np.linspace(0, size - side, count)]


def _estimate(moving: FloatArray, reference: FloatArray, *, max_shift: float) -> FloatArray:
    """Measure one window: (1, 4, 1, 1), dy, dx, error, ok; all NaN but the last where nothing is known."""
    if not (np.isfinite(moving).any() and np.isfinite(reference).any()):
        return np.array([np.nan, np.nan, np.inf, 0.0])[None, :, None, None]
    shift = estimate_shift(moving[0], reference[0], max_shift=max_shift)
    return np.array([shift.dy, shift.dx, shift.error, float(shift.ok)])[None, :, None, None]


def _combine(numbers: FloatArray, *, max_shift: float) -> FloatArray:
    """Make one shift of those of all windows (1, 4, window, 1): (1, 4)."""
    shifts = [_shift(*column) for column in numbers[0, :, :, 0].T.tolist()]
    known = [shift for shift in shifts if np.isfinite(shift.dy)]
    if not known:
        return np.zeros((1, 4))
    shift = known[0] if len(known) == 1 else combined(known, max_shift)
    return np.array([[shift.dy, shift.dx, shift.quality, float(shift.ok)]])


def _shift(dy: float, dx: float, error: float, ok: float) -> Shift:
    return judged(dy, dx, error, np.inf if ok else -1.0)
