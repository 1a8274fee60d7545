"""Fill NaN in a block before it is passed to a network.

The fill is local on purpose: a value depends on nearby pixels only, so a pixel is filled in the same way wherever the
array was cut. Restoring NaN after the kernel is left to the caller.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Places: TypeAlias = npt.NDArray[np.intp]

OUTSIDE, KNOWN, WAITING = 0, 1, 2
"""States of a pixel. OUTSIDE is also a hole that is already in the front: it neither counts nor waits."""


def fill(block: FloatArray, steps: int) -> FloatArray:
    """Replace NaN by the mean of its known 3x3 neighbors, growing inwards `steps` times; by 0 further in.

    block: (..., y, x) floating, finite or NaN; each (y, x) plane is filled by itself. steps: in pixels, 0 or more.
    Returns the same shape and dtype without NaN: a new array, or the block itself (no copy) if nothing is NaN. In
    turn k every hole that touches pixels known since turn k - 1 (valid, or filled by then) becomes their mean, all at
    once. So a hole at Chebyshev distance d <= steps from the nearest valid pixel depends on the pixels within d of it
    only, bit for bit: sums are taken in one fixed order, and beyond the edge of the array nothing is known. NumPy or
    CuPy. Time: some passes over the block, then proportional to the number of pixels that are filled with a mean.
    """
    hole = np.isnan(block)
    if not hole.any():
        return block
    if hole.all():
        return np.zeros_like(block)
    rows, columns = _span(hole, -2), _span(hole, -1)  # all beyond is valid, and stays as it is
    filled = block.copy()
    filled[..., rows, columns] = _fill_box(block[..., rows, columns], hole[..., rows, columns], steps)
    return filled


def _span(hole: BoolArray, axis: int) -> slice:
    """Return the part of an axis with holes, and one pixel more on both sides for their neighbors."""
    others = tuple(i for i in range(hole.ndim) if i != axis % hole.ndim)
    places = np.flatnonzero(hole.any(axis=others))
    return slice(max(0, int(places[0]) - 1), int(places[-1]) + 2)


def _fill_box(block: FloatArray, hole: BoolArray, steps: int) -> FloatArray:
    """Fill (..., y, x) as `fill` does."""
    height, width = block.shape[-2:]
    padded = (*block.shape[:-2], height + 2, width + 2)  # a ring OUTSIDE: neighbors need no bounds then
    inside = (..., slice(1, -1), slice(1, -1))
    values, state = np.zeros_like(block, shape=padded), np.zeros_like(hole, shape=padded, dtype=np.uint8)
    values[inside], state[inside] = block, hole + np.uint8(KNOWN)  # KNOWN + True is WAITING
    values[state == WAITING] = 0

    around = [dy * (width + 2) + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    front = _first_front(state)
    flat_values, flat_state = values.reshape(-1), state.reshape(-1)
    for _ in range(steps):
        if not front.size:
            break
        front = _grow(flat_values, flat_state, front, around)
    filled: FloatArray = values[inside]
    return filled


def _first_front(state: npt.NDArray[np.uint8]) -> Places:
    """Return the flat places of the holes that touch a valid pixel, and mark them as no longer waiting."""
    known = state == KNOWN
    rows = known.copy()
    rows[..., 1:, :] |= known[..., :-1, :]
    rows[..., :-1, :] |= known[..., 1:, :]
    near = rows.copy()
    near[..., 1:] |= rows[..., :-1]
    near[..., :-1] |= rows[..., 1:]
    front = np.flatnonzero(near & (state == WAITING))
    state.reshape(-1)[front] = OUTSIDE
    return front


def _grow(values: FloatArray, state: npt.NDArray[np.uint8], front: Places, around: list[int]) -> Places:
    """Fill the front in place, and return the next one: the holes that touch it, each once."""
    total = np.zeros_like(values, shape=front.shape)
    count = np.zeros_like(state, shape=front.shape)
    following = []
    for shift in around:  # the fixed order of summation
        places = front + shift
        neighbor = state[places]
        total += values[places]  # 0 where not KNOWN
        count += neighbor == KNOWN
        places = places[neighbor == WAITING]
        state[places] = OUTSIDE  # so that no other direction finds them again
        following.append(places)
    values[front] = total / count
    state[front] = KNOWN
    return np.concatenate(following)
