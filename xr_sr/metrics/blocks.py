"""Blocks of fixed places: functions of images, applied block by block, and their sums by scene, patch or object.

Arrays only. Blocks lie where the scene's size puts them, whatever chunks the input has, so neither a value nor the
order of a sum depends on chunking. Sums are in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arguments import shown, whole_or_none
from ..errors import OptionError

if TYPE_CHECKING:
    import dask.array as da

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Level: TypeAlias = "Literal['image', 'pixel'] | int"
Input: TypeAlias = "tuple[da.Array, str]"
"""An array and the letters of its axes: t time, b band, y, x; others are handed on whole."""

SIDE = 256
"""Side of a block in pixels of the finer image. A task holds some thirty times its float32 pixels for a while."""


@dataclass(frozen=True)
class Layout:
    """How a grid is cut. rows, columns: sides of the blocks in pixels; their number is the same for every input."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @classmethod
    def of(cls, height: int, width: int, multiple: int = 1) -> Layout:
        """Cut a grid into blocks of about `SIDE` pixels, all but the last a multiple of `multiple`."""
        return cls(_cut(height, multiple), _cut(width, multiple))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return sum(self.rows), sum(self.columns)

    def coarser(self, factor: int) -> Layout:
        """Return the layout of the same ground with pixels `factor` times larger, the last of which may be cut."""
        return Layout(
            tuple(-(-side // factor) for side in self.rows), tuple(-(-side // factor) for side in self.columns)
        )

    def cut(self, data: da.Array) -> da.Array:
        """Cut (..., y, x) at these places; a date is a block of its own, other axes stay whole."""
        lead = dict.fromkeys(range(1, data.ndim - 2), -1) | ({0: 1} if data.ndim > 2 else {})
        cut: da.Array = data.rechunk({**lead, data.ndim - 2: self.rows, data.ndim - 1: self.columns})
        return cut

    def wider(self, data: da.Array, halo: int, *, fill: float | Literal["nearest"] = np.nan) -> da.Array:
        """Cut (..., y, x) at these places, each block with `halo` pixels of its neighbours on every side.

        fill: what lies beyond the scene: a value, or "nearest", the edge pixel.
        """
        import dask.array as da
        from dask.array.overlap import overlap

        cut = self.cut(data)
        if not halo:
            return cut
        depth, padding = dict.fromkeys(range(data.ndim), 0), [(0, 0)] * data.ndim
        for axis, sides in ((data.ndim - 2, self.rows), (data.ndim - 1, self.columns)):
            if len(sides) > 1:
                assert min(sides) >= halo, "blocks must be wider than the halo"
                depth[axis] = halo
            else:
                padding[axis] = (halo, halo)
        wide = overlap(cut, depth, {axis: fill for axis, size in depth.items() if size}, allow_rechunk=False)
        if any(size for size, _ in padding):
            chunks = list(wide.chunks)
            for axis in (data.ndim - 2, data.ndim - 1):
                if padding[axis][0]:
                    chunks[axis] = (wide.shape[axis] + 2 * halo,)
            wide = da.map_blocks(
                _padded, wide, padding=padding, fill=fill, dtype=wide.dtype, chunks=tuple(chunks), meta=wide._meta
            )
        extended: da.Array = wide
        return extended


def map_images(
    function: Callable[..., npt.NDArray[Any]],
    inputs: Sequence[Input],
    out: str,
    layout: Layout,
    *,
    new: dict[str, int] | None = None,
    dtype: Any = np.float64,
    **options: Any,
) -> da.Array:
    """Apply a function to the blocks of several arrays that are cut alike, one task per block and date.

    function: at module level; gets one NumPy block per input. out: letters of the axes of its result, t, y, x among
    them. layout: sides of the result's blocks along y and x. new: lengths of axes that no input has.
    """
    import dask.array as da

    flat = [item for array, letters in inputs for item in (array, letters)]
    result: da.Array = da.blockwise(
        function, out, *flat, new_axes=new or {}, adjust_chunks={"y": layout.rows, "x": layout.columns},
        align_arrays=False, concatenate=True, dtype=dtype, meta=np.empty((0,) * len(out), dtype), **options,
    )  # fmt: skip
    return result


def sum_up(
    function: Callable[..., FloatArray],
    inputs: Sequence[Input],
    layout: Layout,
    *,
    at: Level,
    fields: int,
    labels: tuple[da.Array, int] | None = None,
    **options: Any,
) -> da.Array:
    """Sum what a function gives per pixel, by scene, patch or object.

    function: gives (field, channel, y, x) for the pixels of a block of one date, NaN where a pixel does not count.
    at: "image", or the side of patches, which start at the first pixel. labels: (y, x) numbers of objects from 0 to
    n - 1 and n for none, and n.
    Returns (time, field + 1, channel, object, y, x): sums, and how many pixels count. Along y and x there is one
    number, or one per patch; along object one, or n. A lazy array of float64.
    """
    import dask.array as da

    count = labels[1] if labels else 1
    given = [*inputs, (layout.cut(labels[0]), "yx")] if labels else list(inputs)
    patch = at if isinstance(at, int) else 0
    out = layout.coarser(patch) if patch else Layout((1,) * len(layout.rows), (1,) * len(layout.columns))
    # How many channels a function gives is asked of the function, on the smallest of blocks.
    channels = options.pop("channels")
    sums = map_images(
        _sums, given, "tfcoyx", out, new={"f": fields + 1, "c": channels, "o": count},
        measure=function, patch=patch, objects=count if labels else 0, **options,
    )  # fmt: skip
    return sums if patch else da.sum(sums, axis=(4, 5), keepdims=True, split_every=16)


_LARGEST_PATCH = 2**31
"""Pixels: what NumPy counts by is no larger on all machines."""


def check_level(at: Level, name: str = "at") -> Level:
    """Give "image", "pixel" or the side of a patch as a plain int, NumPy's too; raises OptionError for all else."""
    if isinstance(at, str):
        if at in ("image", "pixel"):
            return at
    elif (side := whole_or_none(at)) is not None and 1 < side <= _LARGEST_PATCH:
        return side
    raise OptionError(f"{name}={shown(at)}: wanted 'image', 'pixel', or the side of patches in pixels, 2 or more.")


def by_patch(fields: FloatArray, patch: int) -> FloatArray:
    """Sum (..., y, x) by patches, the last of which may be cut: (..., y / patch, x / patch), rounded up."""
    starts = [np.arange(0, side, patch) for side in fields.shape[-2:]]
    rows: FloatArray = np.add.reduceat(fields, starts[0], axis=-2)
    return np.asarray(np.add.reduceat(rows, starts[1], axis=-1))


def _sums(*blocks: npt.NDArray[Any], measure: Any, patch: int, objects: int, **options: Any) -> FloatArray:
    """Sum the fields of one block: (1, field + 1, channel, object, y, x)."""
    images = blocks[:-1] if objects else blocks
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # infinite pixels do not count
        fields = np.asarray(measure(*(image[0] for image in images), **options), dtype=np.float64)
    counts: npt.NDArray[np.bool_] = np.asarray(np.isfinite(fields).all(axis=0))
    fields = np.where(counts, fields, 0.0)
    fields = np.concatenate([fields, counts[None].astype(np.float64)])
    if objects:
        flat = blocks[-1].ravel()
        rows = fields.reshape(-1, flat.size)
        sums = np.stack([np.bincount(flat, weights=row, minlength=objects + 1)[:objects] for row in rows])
        return sums.reshape(1, *fields.shape[:2], objects, 1, 1).astype(np.float64)
    if patch:
        return by_patch(fields, patch)[None, :, :, None]
    whole: FloatArray = fields.sum(axis=(-2, -1))
    return whole[None, :, :, None, None, None]


def _padded(block: FloatArray, *, padding: list[tuple[int, int]], fill: float | str) -> FloatArray:
    if fill == "nearest":
        return np.pad(block, padding, mode="edge")
    return np.pad(block, padding, constant_values=fill)


def _cut(length: int, multiple: int) -> tuple[int, ...]:
    """Cut a length into sides of `SIDE`, rounded down to a multiple; a short rest joins its neighbour."""
    side = max(1, SIDE // multiple) * multiple
    whole, rest = divmod(length, side)
    if not whole:
        return (length,)
    if not rest:
        return (side,) * whole
    if rest < min(side, SIDE) // 4:
        return (*(side,) * (whole - 1), side + rest)
    return (*(side,) * whole, rest)
