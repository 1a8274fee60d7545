"""Label the objects of a mask block by block, measure scores over each, and join what blocks have cut apart.

dask-image labels across chunks too, but its number of labels is known only after computing, and a result along size
classes has to be lazy; so blocks are measured first and joined afterwards, without labels of the whole scene.

Arrays only. Which object counts as found, and the size classes, are decided in `objects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CubeError
from ..optional import require

CountArray = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """Options for reading a mask.

    numbered: integers number the objects; else connected pixels that are not 0 are one.
    lone_is_refused: one number alone is taken for a mask of 0 and 1 that should not have been numbered.
    """

    numbered: bool
    connectivity: int
    threshold: float
    lone_is_refused: bool = False


@dataclass(frozen=True, eq=False)
class Pieces:
    """Measures of n pieces, and of k layers of scores over them.

    number: (n,) of the mask, or counted. first: (n,) place of the first pixel, row by row of the whole mask.
    size: (n,) pixels. place: (2, n) sums of rows and of columns. valid: (k, n) pixels with a score. total: (k, n) sum
    of scores. above: (k, n) pixels detected. best: (k, n) highest score, -inf without any.
    """

    number: CountArray
    first: CountArray
    size: CountArray
    place: Reals
    valid: CountArray
    total: Reals
    above: CountArray
    best: Reals

    def centers(self) -> Reals:
        """Return mean row and column of each object, (2, n)."""
        return self.place / self.size

    def means(self) -> Reals:
        """Return mean scores (k, n), NaN without a score."""
        return _ratio(self.total, self.valid)

    def shares(self) -> Reals:
        """Return the share of pixels that are detected (k, n), NaN without a score."""
        return _ratio(self.above.astype("float64"), self.valid)


@dataclass(frozen=True, eq=False)
class BlockObjects:
    """The result of one block: its pieces, the labels along its edges (1 to n, 0 for none), and its detected pixels.

    edges: top, bottom, left, right; empty for numbered masks. alarms: (k,) detected pixels.
    """

    pieces: Pieces
    edges: tuple[CountArray, ...]
    alarms: CountArray


def measure_objects(
    mask: NDArray[Any], scores: NDArray[Any], corner: tuple[int, int], width: int, reading: Reading
) -> BlockObjects:
    """Measure the pieces of a block.

    mask: (y, x). scores: (k, y, x). corner: row and column of its first pixel in the whole mask, `width` pixels wide.
    """
    if reading.numbered:
        # A negative number is nodata in many files.
        rows, columns = np.nonzero(mask > 0)
        number, label = np.unique(mask[rows, columns].astype("int64"), return_inverse=True)
        edges: tuple[CountArray, ...] = ()
    else:
        require("scipy", extra="metrics")
        from scipy import ndimage

        structure = np.ones((3, 3)) if reading.connectivity == 8 else None
        labels = np.zeros(mask.shape, "int32")
        count = int(ndimage.label(mask != 0, structure, output=labels))
        rows, columns = np.nonzero(labels)
        label = labels[rows, columns] - 1
        number = np.arange(1, count + 1)
        edges = tuple(edge.astype("int64") for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    n, k = number.size, scores.shape[0]
    flat = (rows + corner[0]) * width + columns + corner[1]
    first = np.full(n, np.iinfo("int64").max)
    np.minimum.at(first, label, flat)
    place = np.stack([_sums(label, at + start, n) for at, start in zip((rows, columns), corner, strict=True)])
    valid, above = np.zeros((k, n), "int64"), np.zeros((k, n), "int64")
    total, best = np.zeros((k, n)), np.full((k, n), -np.inf)
    alarms = np.zeros(k, "int64")
    for layer, plane in enumerate(scores):
        # At the precision of the scores: 0.7 in float32 is less than 0.7 in float64.
        detected = plane >= plane.dtype.type(reading.threshold)
        alarms[layer] = detected.sum()
        values = plane[rows, columns].astype("float64")
        measured = np.isfinite(values)
        valid[layer] = np.bincount(label[measured], minlength=n)
        total[layer] = _sums(label[measured], values[measured], n)
        above[layer] = np.bincount(label[detected[rows, columns]], minlength=n)
        np.maximum.at(best[layer], label[measured], values[measured])
    size = np.bincount(label, minlength=n)
    return BlockObjects(Pieces(number, first, size, place, valid, total, above, best), edges, alarms)


def join(parts: Sequence[Sequence[BlockObjects]], reading: Reading) -> Pieces:
    """Join the pieces of all blocks, rows of columns of them, to whole objects.

    Numbered ones come in the order of their numbers, others in that of their first pixels, and are counted from 1.
    Raises CubeError for one lone number, if that is refused.
    """
    found = [part.pieces for row in parts for part in row]
    whole = Pieces(*(np.concatenate([getattr(one, each.name) for one in found], axis=-1) for each in fields(Pieces)))
    if reading.numbered:
        number, label = np.unique(whole.number, return_inverse=True)
        if number.size == 1 and reading.lone_is_refused:
            raise CubeError(
                f"the integers of objects= number one object only, {number[0]}. If this is a mask of 0 and "
                f"{number[0]}, pass objects > 0; if it is one object, pass instances=True."
            )
    else:
        label = _connected(parts, reading.connectivity)
        number = np.arange(1, label.max(initial=-1) + 2)
    n = number.size
    first = np.full(n, np.iinfo("int64").max)
    np.minimum.at(first, label, whole.first)
    if not reading.numbered:
        rank = np.empty(n, "int64")
        rank[np.argsort(first)] = np.arange(n)
        label, first = rank[label], np.sort(first)
    best = np.full((whole.best.shape[0], n), -np.inf)
    for layer, values in enumerate(whole.best):
        np.maximum.at(best[layer], label, values)
    sums = {
        name: np.stack([_sums(label, row, n) for row in np.atleast_2d(getattr(whole, name))])
        for name in ("size", "place", "valid", "total", "above")
    }
    size, valid, above = (np.rint(sums[name]).astype("int64") for name in ("size", "valid", "above"))
    return Pieces(number, first, size[0], sums["place"], valid, sums["total"], above, best)


def share_of_alarms(parts: Sequence[Sequence[BlockObjects]]) -> Reals:
    """Return the share of detected pixels that lie in an object (k,), NaN where none is detected."""
    flat = [part for row in parts for part in row]
    inside = sum(part.pieces.above.sum(axis=1) for part in flat)
    return _ratio(np.asarray(inside, "float64"), np.asarray(sum(part.alarms for part in flat)))


def _connected(parts: Sequence[Sequence[BlockObjects]], connectivity: int) -> CountArray:
    """Return the object that each piece of each block belongs to, counted from 0."""
    require("scipy", extra="metrics")
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    counts = [[part.pieces.number.size for part in row] for row in parts]
    total = sum(map(sum, counts))
    starts = (np.cumsum(np.ravel(counts)) - np.ravel(counts)).reshape(len(parts), -1)

    def line(blocks: Sequence[tuple[int, int]], side: int) -> CountArray:
        """Return the labels along one side of a row of blocks, -1 for none."""
        edges = [(parts[i][j].edges[side], starts[i, j]) for i, j in blocks]
        return np.concatenate([np.where(edge > 0, edge - 1 + start, -1) for edge, start in edges])

    rows, columns = range(len(parts)), range(len(parts[0]))
    pairs = [(line([(i, j) for j in columns], 1), line([(i + 1, j) for j in columns], 0)) for i in rows[:-1]]
    pairs += [(line([(i, j) for i in rows], 3), line([(i, j + 1) for i in rows], 2)) for j in columns[:-1]]
    if connectivity == 8:
        pairs += [(a[:-1], b[1:]) for a, b in pairs] + [(a[1:], b[:-1]) for a, b in pairs]
    empty = np.empty(0, "int64")
    one, other = (np.concatenate([empty, *(pair[side] for pair in pairs)]) for side in (0, 1))
    both = (one >= 0) & (other >= 0)
    graph = coo_array((np.ones(both.sum(), "float32"), (one[both], other[both])), shape=(total, total))
    return connected_components(graph, directed=False)[1].astype("int64") if total else empty


def _sums(label: NDArray[Any], values: NDArray[Any], count: int) -> Reals:
    sums: Reals = np.bincount(label, weights=values, minlength=count).astype("float64")
    return sums


def _ratio(part: Reals, whole: CountArray) -> Reals:
    ratio: Reals = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return ratio
