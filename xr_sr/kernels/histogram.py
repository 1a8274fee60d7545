"""Match the distribution of values of one image to that of another: by their values, or by counts of a whole cube.

NumPy arrays only. Counts of blocks add up to those of a cube, so a table of them does not depend on how it is cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOW, HIGH, LEVELS = -0.2, 1.8, 40_000
"""Reflectance is counted on this grid, 5e-5 apart; values beyond it count at its ends."""


def matched(values: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values with the distribution of `like`: each gets the value of the same rank, interpolated.

    Both of any shape, without NaN; the result has that of `values`. It is `match_histograms` of scikit-image for one
    band. Exact: needs all values at once.
    """
    _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    theirs, their_counts = np.unique(like.ravel(), return_counts=True)
    ranks, their_ranks = np.cumsum(counts) / values.size, np.cumsum(their_counts) / like.size
    found: NDArray[np.float32] = np.interp(ranks, their_ranks, theirs)[inverse].reshape(values.shape).astype("float32")
    return found


def counted_levels(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count values, NaN left out, in each level of the grid: (..., y, x) to (..., level)."""
    lead = values.shape[:-2]
    planes = values.reshape(-1, values.shape[-2] * values.shape[-1])
    found = np.empty((len(planes), LEVELS), np.int64)
    for plane, out in zip(planes, found, strict=True):
        valid = plane[~np.isnan(plane)]
        places = np.clip((valid.astype(np.float64) - LOW) * (LEVELS / (HIGH - LOW)), 0, LEVELS - 1).astype(np.int64)
        out[:] = np.bincount(places, minlength=LEVELS)
    return found.reshape(*lead, LEVELS)


def table_of(counts: NDArray[np.int64], like: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return for the upper edge of each level of `counts` the value of equal rank in `like`; (level,) to (level + 1,).

    The first number is for the lower end of the grid. Without any value on one side each level keeps its own.
    """
    edges = np.linspace(LOW, HIGH, LEVELS + 1)
    if not counts.sum() or not like.sum():
        return edges.astype(np.float32)
    ranks, theirs = (np.concatenate([[0], np.cumsum(each)]) / each.sum() for each in (counts, like))
    rising = np.concatenate([[True], np.diff(theirs) > 0])
    first = int(np.argmax(like > 0))  # where their values begin: rank 0 lies there, not at the end of the grid
    kept = np.flatnonzero(rising & (np.arange(LEVELS + 1) > first))
    table: NDArray[np.float32] = np.interp(
        ranks, np.concatenate([[0], theirs[kept]]), np.concatenate([[edges[first]], edges[kept]])
    ).astype(np.float32)
    return table


def looked_up(values: NDArray[np.float32], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values after a table of `table_of`, interpolated between edges; NaN stays. Any shape."""
    return np.interp(values, np.linspace(LOW, HIGH, LEVELS + 1), table).astype(np.float32)
