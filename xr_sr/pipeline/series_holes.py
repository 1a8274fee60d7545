"""Fill holes of the date that is shown from other dates: one of them stands in for it there. Arrays, no cubes.

Where the date shown has no pixel, nothing of it was measured, and other dates are not to be compared with it. The
nearest of them in time takes its place: all dates are joined as if it were shown, and the fine image is moved by what
is left of the shift between the two. So a hole has the estimate and the deviation that the other dates give alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import SeriesDate
from ..kernels.kriging_filters import Doubles
from ..registration.warping import FloatArray, warp

APART = 1
"""Input pixels by which a date may have to be read from elsewhere, so that it lies beside the one that stands in."""

AROUND = 3
"""Input pixels around a filled part that it is computed with, as its fine image is moved by up to half a pixel."""

BESIDE = APART + AROUND
"""Input pixels beyond the reach of the kernel that filling depends on."""


@dataclass(frozen=True, eq=False)
class SeenDates:
    """Dates as they are joined: reference (band, y, x), others (date, band, y, x), and where these count, (date, y, x).

    dates: what is known of the others, relative to the reference.
    """

    dates: tuple[SeriesDate, ...]
    reference: FloatArray
    others: FloatArray
    visible: NDArray[np.bool_]


def stand_ins(
    empty: NDArray[np.bool_], visible: NDArray[np.bool_], dates: Sequence[SeriesDate], nearness: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the dates that stand in for the reference, by their place, and where each does: (y, x).

    empty: (y, x), where one is wanted. visible: (date, y, x). nearness: rank of each in time, 0 the nearest. Of the
    dates that see a pixel that of the largest weight is taken, then the nearest.
    """
    left = empty.copy()
    for place in sorted(range(len(dates)), key=lambda date: (-dates[date].weight, nearness[date])):
        own = left & visible[place]
        if own.any():
            yield place, own
            left &= ~own


def box_of(where: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns that hold all of (y, x)."""
    rows, columns = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def seen_from(
    place: int, dates: Sequence[SeriesDate], images: FloatArray, visible: NDArray[np.bool_]
) -> tuple[SeenDates, list[int]]:
    """Return one date as the reference and the rest relative to it, with APART pixels less on each side; and which.

    images: (date, band, y, x). The date that had no pixel takes no part: filters that count on it would be weaker.
    """
    rest = [number for number in range(len(dates)) if number != place]
    down, right = dates[place].part
    relative = tuple(
        SeriesDate((round(part[0] - down, 3), round(part[1] - right, 3)), weight)
        for part, weight in ((dates[number].part, dates[number].weight) for number in rest)
    )
    rows, columns = (side - 2 * APART for side in visible.shape[-2:])
    others = np.empty((len(rest), images.shape[1], rows, columns), np.float32)
    there = np.empty((len(rest), rows, columns), bool)
    for number, (date, which) in enumerate(zip(relative, rest, strict=True)):
        y, x = (
            slice(APART + whole, APART + whole + side) for whole, side in zip(date.whole, (rows, columns), strict=True)
        )
        others[number], there[number] = images[which, :, y, x], visible[which, y, x]
    inner = (slice(APART, -APART),) * 2
    known = np.broadcast_to(visible[place][inner], (images.shape[1], rows, columns))
    reference, _ = completed(images[place][:, *inner], known, others, there, relative)
    return SeenDates(relative, np.ascontiguousarray(reference), others, there), rest


def moved_to_reference(planes: FloatArray, bands: int, part: tuple[float, float], scale: int) -> FloatArray:
    """Move fine estimates and deviations, (2 band, y, x), from the geometry of a date to that of the reference.

    part: of the date's shift, in input pixels. Returns AROUND input pixels less on each side.
    """
    down, right = (0 - scale * each for each in part)
    cut = (slice(None), *(slice(AROUND * scale, -AROUND * scale),) * 2)
    estimates = warp(planes[:bands], down, right, kernel="lanczos", edge="repeat")
    spread = warp(planes[bands : 2 * bands], down, right, kernel="linear", edge="repeat")
    return np.concatenate([estimates[cut], spread[cut]])


def shown_instead(
    reference: FloatArray,
    known: NDArray[np.bool_],
    others: FloatArray,
    visible: NDArray[np.bool_],
    anchors: Sequence[bool],
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """Put an anchor that lies where the reference does, by definition, in its place, where the reference shows nothing.

    Returns the reference, where it is known, and where each date is shown, so that it counts once.
    """
    shown = np.zeros_like(visible)
    empty = ~known.any(axis=0)
    for place, anchor in enumerate(anchors):
        if anchor:
            shown[place] = empty & visible[place]
            reference = np.where(shown[place], others[place], reference)
            known, empty = known | shown[place], empty & ~shown[place]
    return reference, known, shown


def completed(
    reference: FloatArray,
    known: NDArray[np.bool_],
    others: FloatArray,
    visible: NDArray[np.bool_],
    dates: Sequence[SeriesDate],
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Fill holes of the reference with the weighted mean of the other dates, moved to it linearly.

    What lies beside a hole has context then; and a network, which is to see all of an image, the hole too.
    """
    total, summed = np.zeros(known.shape[-2:], np.float64), np.zeros(reference.shape, np.float64)
    for image, seen, date in zip(others, visible, dates, strict=True):
        weight = (date.weight * seen).astype("float64")
        total += _moved(weight, date.part)
        summed += _moved(np.where(seen, image, 0) * weight, date.part)
    there = visible.any(axis=0)  # the pixel of a date that lies nearest
    filled = summed / np.where(there, total, 1)
    return np.where(~known & there, filled, reference).astype("float32"), known | there


def _moved(image: Doubles, part: tuple[float, float]) -> Doubles:
    """Return (..., y, x) read `part` of a pixel further down and right, linearly; edges are repeated."""
    for axis, share in ((-2, part[0]), (-1, part[1])):
        step = 1 if share > 0 else -1
        length = image.shape[axis]
        beside = np.take(image, np.clip(np.arange(length) + step, 0, length - 1), axis=axis)
        image = image * (1 - abs(share)) + beside * abs(share)
    return image
