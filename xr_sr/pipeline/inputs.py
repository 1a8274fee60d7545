"""Prepare the inputs of tasks: lazy arrays of bands, of a mask and of a second grid, and the sides of output blocks.

No pixel is read here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, SupportsIndex, TypeAlias

import xarray as xr

from ..arguments import check_whole, shown
from ..cube.align import cut_to, overlay_of, phase_of, to_grid
from ..cube.lazy import in_chunks
from ..cube.select import Cube, Plane
from ..cube.time import scalar_dates
from ..errors import GridError, OptionError
from ..radiometry.cubes import CLOUDY_CLASSES
from ..radiometry.resolve import Radiometry
from ..tiling.blocks import SIDE
from ..tiling.two_resolutions import Coarse
from .readers import Second

if TYPE_CHECKING:
    import dask.array as da

Chunks: TypeAlias = int | tuple[int, int] | Mapping[str, int] | None
"""Sides of an output block in input pixels: one for both, (y, x), or by name of dimension; None chooses."""

LayoutChoice: TypeAlias = Literal["auto", "native", "resampled"]
"""How 20 m bands lie on a 10 m grid: each pixel repeated 2 x 2, or resampled; "auto" decides around each pixel."""

PARTS = 4
"""Blocks that a scene in memory is cut into where it can be: a block is one task, and a task has one core."""

STEP = 16
"""Sides of such blocks are multiples of this many pixels, so that they cut no 20 m pixel."""


def second_grid(
    cube: Cube,
    coarse: Cube | None,
    planes: Sequence[Plane],
    radiometry: Radiometry,
    layout: LayoutChoice,
    ratio: int | None = 2,
) -> tuple[Second, Coarse]:
    """Return how a task reads the coarse bands, from a grid of their own or from the fine grid, and their planes.

    ratio: width of their pixels in finer ones; None finds it where they have a grid of their own.
    """
    if coarse is None:
        assert ratio is not None
        row, col = phase_of(cube, ratio)
        return Second(radiometry, layout, (row, col)), Coarse(stacks_of(cube, planes, None)[0], row, col, ratio)
    overlay = overlay_of(cube, coarse, ratio)
    cut = cut_to(coarse, planes, overlay, cube)
    on_grid = Coarse(stacks_of(coarse, cut, None)[0], overlay.row, overlay.col, overlay.ratio)
    return Second(radiometry, "grids", (overlay.row, overlay.col)), on_grid


def stacks_of(
    cube: Cube, planes: Sequence[Plane], mask: xr.DataArray | None
) -> list[list[tuple[da.Array, int | None]]]:
    """Return the lazy arrays that a task reads: the planes, and the mask if there is one."""
    arrays: dict[int, da.Array] = {}
    stack = []
    for plane in planes:
        key = id(plane.array)
        if key not in arrays:
            arrays[key] = _lazy(plane.array, cube)
        stack.append((arrays[key], plane.index))
    if mask is None:
        return [stack]
    keep = checked_mask(mask, cube)
    sizes = {dim: planes[0].array.sizes[dim] for dim in (*cube.lead, cube.y, cube.x)}
    keep = keep.expand_dims({dim: sizes[dim] for dim in cube.lead if dim not in keep.dims}).transpose(*sizes)
    return [stack, [(_lazy(keep, cube), None)]]


def checked_mask(mask: object, cube: Cube) -> xr.DataArray:
    """Return a mask on the grid of a cube. Raises GridError and OptionError for what is none, or does not fit."""
    if not isinstance(mask, xr.DataArray):
        raise GridError(
            f"mask=: expected a boolean DataArray with {cube.y} and {cube.x}, True where values are kept; got a "
            f"{type(mask).__name__}."
        )
    if mask.dtype != bool:
        name = "" if mask.name is None else f" in {shown(mask.name)}"
        raise OptionError(
            f"mask=: expected a boolean DataArray, True where values are kept; found {mask.dtype}{name}. For a scene "
            f"classification pass mask=~scl.isin({list(CLOUDY_CLASSES)}), or mask the input by cube.sr.mask(scl=scl); "
            "for numbers 1 (keep), 0 and NaN pass mask=(keep == 1)."
        )
    return to_grid(mask, cube, "mask=")


def mask_token(mask: xr.DataArray | None, cube: Cube) -> str:
    """Return a name for a mask, from its values, or its graph if it is lazy: a store must not mix results of two masks.

    A mask with dates counts as input, as pixels do: its name is the same for any dates, so that a store can grow.
    """
    from dask.base import tokenize

    if mask is None:
        return ""
    dates = set(scalar_dates(cube.planes[0].array.coords))
    if set(mask.dims) & {*cube.lead, *dates} or dates & set(scalar_dates(mask.coords)):
        return "by date"
    return str(tokenize(mask.variable, *mask.dims))


def _lazy(array: xr.DataArray, cube: Cube) -> da.Array:
    """Return an array as dask, in blocks that several cores share if it is in memory or in a file."""
    sides = {}
    if array.chunks is None:
        images = math.prod(array.sizes[dim] for dim in cube.lead)
        height, width = _even_sides(array.sizes[cube.y], array.sizes[cube.x], images)
        sides = {cube.y: height, cube.x: width}
    lazy: da.Array = in_chunks(array, lead=cube.lead, band_dim=cube.band_dim, sides=sides).variable.data
    return lazy


def _even_sides(height: int, width: int, images: int) -> tuple[int, int]:
    """Choose sides that divide a scene evenly, at most `SIDE`, and smaller until there are `PARTS` blocks.

    The same on every machine, so that a store has the same chunks wherever it is written.
    """
    parts = [max(1, -(-length // SIDE)) for length in (height, width)]
    while True:
        rows, columns = (
            max(1, -(-length // (part * STEP))) * STEP for length, part in zip((height, width), parts, strict=True)
        )
        if images * parts[0] * parts[1] >= PARTS or max(rows, columns) <= SIDE // 2:
            return rows, columns
        parts[0 if rows >= columns else 1] += 1


def sides_of(chunks: Chunks, cube: Cube) -> list[int | None] | None:
    """Translate `chunks` to sides along (*lead, y, x)."""
    if chunks is None:
        return None
    dims = (*cube.lead, cube.y, cube.x)
    try:
        if isinstance(chunks, Mapping):
            sides = {str(dim): check_whole("chunks", side) for dim, side in chunks.items()}
        else:
            pair = (chunks, chunks) if isinstance(chunks, SupportsIndex) else tuple(chunks)
            sides = dict(zip((cube.y, cube.x), (check_whole("chunks", side) for side in pair), strict=True))
    except (OptionError, TypeError, ValueError):
        sides = {"": 0}
    if not set(sides) <= set(dims) or min(sides.values(), default=1) < 1:
        raise OptionError(
            f"chunks={chunks!r}: expected a number of input pixels, a pair (y, x), or whole numbers from 1 "
            f"by names of dimensions, {list(dims)}."
        )
    return [sides.get(dim) for dim in dims]
