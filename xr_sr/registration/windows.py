"""Measure the shift of one date in windows of a scene.

Lazy arrays only; how pixels are moved by a shift is handled in `alignment`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from ..arguments import count_of
from ..cube.lazy import in_chunks
from ..cube.names import dims_text
from ..cube.select import Cube, Plane, pick, recognize
from ..errors import CubeError, GeoreferenceWarning, GridError
from .estimate import Shift, combined, estimate_shift

WINDOW, WINDOWS = 512, 3
"""Side of a window in pixels, and the most along an axis: nine windows estimate a shift to a hundredth of a pixel; more
would only take longer."""

WindowSlices = tuple[slice, slice]


def places_of(height: int, width: int) -> list[WindowSlices]:
    """Return the windows in which a scene is measured: all of a small one, up to nine spread over a large one."""
    sides = []
    for size in (height, width):
        count = min(WINDOWS, size // WINDOW) if size > 2 * WINDOW else 1
        side = WINDOW if count > 1 else size
        sides.append([slice(int(at), int(at) + side) for at in np.linspace(0, size - side, count)])
    return list(itertools.product(*sides))


def lazy_data(array: xr.DataArray) -> da.Array:
    """Return the dask array of an array; what is not lazy yet is wrapped."""
    data: da.Array = in_chunks(array, lead=[str(dim) for dim in array.dims[:-2]]).data
    return data


def images_of(planes: Sequence[Plane], place: WindowSlices, date: int | None) -> da.Array:
    """Return one window of some bands at one date, or of all dates without one: (..., band, y, x), one chunk a date."""
    bands = []
    for plane in planes:
        data = lazy_data(plane.array)
        data = data if plane.index is None else data[..., plane.index, :, :]
        bands.append((data if date is None else data[date])[..., place[0], place[1]])
    images = da.stack(bands, axis=-3)
    whole: da.Array = images.rechunk(dict.fromkeys(range(images.ndim - 3, images.ndim), -1))
    return whole


def reference_images(
    cube: Cube, planes: Sequence[Plane], reference: Any, places: Sequence[WindowSlices]
) -> list[list[da.Array]]:
    """Return the images to align with, a list of windows for each date of the cube, or one list for all.

    reference: "median", the position or label of a date, or a cube on the same grid.
    """
    if isinstance(reference, xr.DataArray | xr.Dataset):
        return _of_another(cube, planes, reference, places)
    if not cube.lead:
        raise CubeError(
            f"the cube has one image only, so reference={reference!r} cannot be one of its own: pass the cube to "
            "align with, reference=<DataArray or Dataset>."
        )
    if isinstance(reference, str) and reference == "median":
        return [[_median(images_of(planes, place, None)) for place in places]]
    date = _position(cube, reference)
    return [[images_of(planes, place, date) for place in places]]


def measured(moving: Sequence[da.Array], reference: Sequence[da.Array], options: dict[str, Any]) -> da.Array:
    """Return the shift of one date, (dy, dx, quality, 1 if it is reliable), lazily: one task a window.

    moving, reference: a window each, one chunk. They stay tasks that others share: `delayed` would compute them twice.
    """
    key = f"shift-{tokenize([array.name for array in (*moving, *reference)], options)}"
    graph: dict[Any, Any] = {}
    for number, images in enumerate(zip(moving, reference, strict=True)):
        chunks = [(array.name, *[0] * array.ndim) for array in images]
        graph[(f"{key}-window", number)] = (partial(estimate_shift, **options), *chunks)
    graph[(key, 0)] = (_combined, list(graph), options["max_shift"])
    layer = HighLevelGraph.from_collections(key, graph, dependencies=[*moving, *reference])  # type: ignore[list-item]
    return da.Array(layer, key, chunks=((4,),), dtype=np.float64, meta=np.empty(0))


def _combined(shifts: Sequence[Shift], max_shift: float) -> NDArray[np.float64]:
    shift = shifts[0] if len(shifts) == 1 else combined(shifts, max_shift)
    return np.array([shift.dy, shift.dx, shift.quality, float(shift.ok)])


def _median(images: da.Array) -> da.Array:
    """Take the median over all dates; NaN only where no date has a value."""
    dates = images.rechunk((-1, 1, 256, 256))
    median: da.Array = dates.map_blocks(
        _median_block, drop_axis=0, dtype=dates.dtype, meta=np.empty((0, 0, 0), dates.dtype)
    )
    whole: da.Array = median.rechunk(-1)
    return whole


def _median_block(block: NDArray[Any]) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "All-NaN slice": NaN is the answer
        return np.asarray(np.nanmedian(block, axis=0), block.dtype)


def _position(cube: Cube, reference: int | Hashable) -> int:
    dim = cube.lead[0]
    dates = cube.planes[0].array
    size = dates.sizes[dim]
    if isinstance(reference, int | np.integer) and not isinstance(reference, bool):
        if not -size <= reference < size:
            raise CubeError(f"reference={reference} is no position in the cube, which has {count_of(size, 'date')}.")
        return int(reference) % size
    if dim not in dates.coords:
        raise CubeError(f"{dim!r} has no labels, so reference={reference!r} cannot be found; pass its position.")
    positions = xr.DataArray(np.arange(size), {dim: dates[dim]}, (dim,))
    try:
        found = np.atleast_1d(positions.sel({dim: reference}).values)
    except (KeyError, TypeError, ValueError):
        found = np.array([], int)
    if len(found) != 1:
        raise CubeError(
            f"reference={reference!r} names {count_of(len(found), 'date')} of the cube instead of one; it has "
            f"{[str(date)[:19] for date in dates[dim].values[:10]]}. Pass one of them, a position, or 'median'."
        )
    return int(found[0])


def _of_another(
    cube: Cube, planes: Sequence[Plane], reference: xr.DataArray | xr.Dataset, places: Sequence[WindowSlices]
) -> list[list[da.Array]]:
    """Return the images of another cube: of its only date, or of the same date for each of the cube."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)
        other = recognize(reference)
    one, two = cube.geobox, other.geobox
    if (
        one.shape != two.shape
        or one.crs != two.crs
        or not (~one.affine @ two.affine).almost_equals(Affine.identity(), 1e-3)
    ):
        raise GridError(
            f"the reference lies on another grid than the cube: {two.shape.y} x {two.shape.x} pixels against "
            f"{one.shape.y} x {one.shape.x}, or other edges or CRS. Reproject it to this one first, for instance "
            "reference.odc.reproject(cube.odc.geobox, resampling='bilinear'), or degrade the finer one."
        )
    wanted = pick(other, [plane.band for plane in planes], reader="align")
    if not other.lead:
        return [[images_of(wanted, place, None) for place in places]]
    dim = other.lead[0]
    if len(other.lead) > 1 or (wanted[0].array.sizes[dim] > 1 and other.lead != cube.lead):
        raise GridError(f"the reference has {dims_text(other.lead)} beside y and x; expected one date.")
    if wanted[0].array.sizes[dim] == 1:
        return [[images_of(wanted, place, 0) for place in places]]
    dates, given = planes[0].array.indexes.get(dim), wanted[0].array.indexes.get(dim)
    if dates is None or given is None or not given.equals(dates):
        raise GridError(f"the reference has other {dim} than the cube: expected one date, or the same dates.")
    return [[images_of(wanted, place, date) for place in places] for date in range(len(dates))]
