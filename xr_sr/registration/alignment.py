"""Align the dates of a cube: measure the shift of each, lazily, and move its pixels.

How shifts are measured is in `estimate` and `windows`, how pixels move in `warping`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from os import fspath
from typing import Any, TypeVar

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..cube.select import Cube, Plane, check_lead, pick, recognize
from ..errors import CubeError, GeoreferenceWarning, RadiometryError
from ..radiometry.written import converted_if_written
from ..spec import Tile
from ..tiling.blocks import SIDE
from ..tiling.halo import map_tiles
from ..tiling.source import Source
from .channels import Channel
from .estimate import ShiftMethod, checked_options
from .features import Weights
from .warping import RADIUS, Edge, KernelName, beyond, blank, checked_kernel, sampled
from .windows import images_of, lazy_data, measured, places_of, reference_images

Flat = TypeVar("Flat", xr.DataArray, xr.Dataset)

SHARP = ("B02", "B03", "B04", "B08")
"""The bands that shifts are measured in by default, as far as a cube has them: the others are blurred."""


def align(
    cube: Flat,
    reference: str | int | Hashable | xr.DataArray | xr.Dataset = "median",
    *,
    method: ShiftMethod = "phase",
    bands: Sequence[str] | None = None,
    max_shift: float = 5.0,
    upsample: int = 100,
    channel: Channel = "gradients",
    kernel: KernelName = "lanczos",
    edge: Edge = "nan",
    weights: Weights | None = None,
) -> Flat:
    """Align each date of a cube with a reference, by sub-pixel shifts.

    cube: DataArray (time?, band?, y, x) or Dataset of bands, reflectance as floats, NaN at nodata; or DN with what
    `set_radiometry` wrote, which are converted to reflectance.
    reference: "median", that of all dates, pixel by pixel; the label or the position of a date; or a DataArray or
    Dataset on the same grid with the same bands: one image, or one for each date.
    bands: those to measure in; by default B02, B03, B04 and B08 as far as they are there, else all. One shift moves all
    bands of a date. max_shift: the longest reliable shift, along each axis, in pixels.
    method, upsample, channel, weights: as in `estimate_shift`. kernel, edge: as in `warp`.

    Returns the same type on the same grid, in the same chunks, lazily, whatever the chunks are with the same values.
    Flags that have the cube's dates, such as SCL, move along by nearest neighbor. New coordinates record for each date
    `shift_y` and `shift_x`, what was measured, in pixels (NaN: nothing could be), `shift_quality`, 0 to 1, and
    `aligned`. Where `aligned` is False, as quality is below one half or the shift beyond `max_shift`, the pixels are
    left where they were. Scenes above 1024 pixels are measured in up to nine windows of 512, one task each.
    Raises CubeError if it is no cube or has no such date, GridError if the reference lies on another grid,
    RadiometryError for other integers, MissingBandError, and what `estimate_shift` raises.
    """
    checked_options(method=method, max_shift=max_shift, upsample=upsample, channel=channel, weights=weights)
    checked_kernel(kernel, edge)
    cube = converted_if_written(cube)
    if isinstance(reference, xr.DataArray | xr.Dataset):
        reference = converted_if_written(reference)
    found = _recognized(cube)
    planes = _measured_bands(found, bands)
    options = {
        "method": method,
        "max_shift": float(max_shift),
        "upsample": int(upsample),
        "channel": channel,
        "weights": None if weights is None else {name: fspath(path) for name, path in weights.items()},
    }
    shifts = _shifts(found, planes, reference, options)
    reliable = da.where(shifts[..., 3:] > 0, shifts[..., :2], 0.0)
    mover = _Mover(found, reliable, kernel, edge, math.ceil(max_shift) + RADIUS)
    what = "another cube" if isinstance(reference, xr.DataArray | xr.Dataset) else str(reference)
    summary = f"reference {what}, method {method}, at most {max_shift:g} pixels"
    return _with_shifts(mover.moved(cube), found, shifts, summary)


def _recognized(cube: Any) -> Cube:
    """Recognize a cube, and refuse what cannot be aligned as a whole."""
    if isinstance(cube, xr.DataTree):
        raise CubeError(
            "the grids of a tree have shifts of their own, in their own pixels: align its nodes one by one, "
            "for instance cube['r10m'].to_dataset()."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)  # shifts are in pixels, wherever these lie
        found = recognize(cube)
    if len(found.lead) > 1:
        raise CubeError(f"expected one dimension beside band, y and x; found {list(found.lead)}. Select one.")
    for plane in found.planes:
        if plane.array.dtype.kind != "f":
            raise RadiometryError(
                f"{plane.name!r} is {plane.array.dtype}; sub-pixel shifts need floats, with NaN at "
                "nodata. Convert first, cube.sr.reflectance(), or write what the numbers mean into the cube: "
                "cube.sr.set_radiometry(offset=...)."
            )
    check_lead(found.planes, found)
    return found


def _measured_bands(cube: Cube, bands: Sequence[str] | None) -> tuple[Plane, ...]:
    if bands is not None:
        return pick(cube, bands, reader="align")
    sharp = tuple(plane for plane in cube.planes if plane.band in SHARP)
    return sharp or cube.planes


def _shifts(cube: Cube, planes: Sequence[Plane], reference: Any, options: dict[str, Any]) -> da.Array:
    """Return the shift of each date, or the one of a cube without dates: lazy (date?, dy dx quality aligned)."""
    dates = range(planes[0].array.sizes[cube.lead[0]]) if cube.lead else [None]
    places = places_of(*cube.geobox.shape)
    references = reference_images(cube, planes, reference, places)
    shifts = [
        measured(
            [images_of(planes, place, date) for place in places],
            references[0] if len(references) == 1 else references[number],
            options,
        )
        for number, date in enumerate(dates)
    ]
    return da.stack(shifts) if cube.lead else shifts[0]


@dataclass(frozen=True, eq=False)
class _Mover:
    """Moves what lies on the grid of a cube by the shifts of its dates.

    shifts: (date?, dy dx), lazy. reach: pixels of context, enough for any shift and kernel.
    """

    cube: Cube
    shifts: da.Array
    kernel: KernelName
    edge: Edge
    reach: int

    def moved(self, obj: Flat) -> Flat:
        """Return the object with its bands and flags moved, and all else as it was."""
        if isinstance(obj, xr.Dataset):
            return obj.assign(self._bands() | self._flags())
        return self._layers(obj).assign_coords(self._flags())

    def _flags(self) -> dict[Hashable, xr.Variable]:
        """Move what classes or masks lie on the grid at each date, by nearest neighbor."""
        lead, y, x = self.cube.lead, self.cube.y, self.cube.x
        flags = {}
        for flag in self.cube.flags:
            if flag.factor == 1 and set(flag.array.dims) == {*lead, y, x}:
                array = flag.array.transpose(*lead, y, x)
                [data] = self._run([(lazy_data(array), None)], ("nearest",), array.dtype)
                flags[flag.name] = array.copy(data=data).transpose(*flag.array.dims).variable
        return flags

    def _bands(self) -> dict[Hashable, xr.Variable]:
        order = (*self.cube.lead, self.cube.y, self.cube.x)
        arrays = [plane.array.transpose(*order) for plane in self.cube.planes]
        dtype = np.result_type(*(array.dtype for array in arrays))
        data = self._run([(lazy_data(array), None) for array in arrays], (self.kernel,) * len(arrays), dtype)
        variables = {}
        for plane, array, moved in zip(self.cube.planes, arrays, data, strict=True):
            whole = array.copy(data=moved.astype(array.dtype))
            variables[plane.name] = whole.transpose(*self.cube.source[plane.name].dims).variable
        return variables

    def _layers(self, obj: xr.DataArray) -> xr.DataArray:
        """Move the layers of a DataArray; those that are no bands, such as SCL, by nearest neighbor."""
        cube, array = self.cube, self.cube.planes[0].array
        data = lazy_data(array)
        if cube.band_dim is None:
            [moved] = self._run([(data, None)], (self.kernel,), array.dtype)
        else:
            bands = {plane.index for plane in cube.planes}
            layers = range(array.sizes[cube.band_dim])
            kernels = tuple(self.kernel if layer in bands else "nearest" for layer in layers)
            moved = self._run([(data, layer) for layer in layers], kernels, array.dtype, split=False)
        return array.copy(data=moved).transpose(*obj.dims)

    def _run(
        self,
        planes: list[tuple[da.Array, int | None]],
        kernels: tuple[KernelName, ...],
        dtype: np.dtype[Any],
        *,
        split: bool = True,
    ) -> Any:
        """Move planes of one grid: a list of (*lead, y, x), or where not `split` one (*lead, band, y, x)."""
        first = planes[0][0]
        # Blocks as the chunks are, but of giant ones: those are cut by `map_tiles`, and put together again
        largest = [max(first.chunks[axis]) for axis in (-2, -1)]
        sides = largest if max(largest) <= 2 * SIDE else [None, None]
        result = map_tiles(
            move_block,
            [planes, self._fields(first)],
            scale=1,
            halo=self.reach,
            reach=self.reach,
            bands_out=len(planes),
            args=(kernels, self.edge),
            chunks=(*((1,) if self.cube.lead else ()), *sides),
            dtype=dtype,
            split=split,
            name="align",
        )
        if isinstance(result, list):
            return [array.rechunk(plane.chunks) for array, (plane, _) in zip(result, planes, strict=True)]
        return result.rechunk(first.chunks)

    def _fields(self, like: da.Array) -> list[tuple[da.Array, int | None]]:
        """Return the shifts as two planes of the grid: an array without pixels of its own, repeated in place."""
        shape = (*self.shifts.shape, *like.shape[-2:])
        chunks = (*self.shifts.chunks, *like.chunks[-2:])
        field = da.broadcast_to(self.shifts[..., None, None], shape, chunks=chunks)
        return [(field, 0), (field, 1)]


def move_block(source: Source, tile: Tile, kernels: tuple[KernelName, ...], edge: Edge) -> NDArray[Any]:
    """Move one block of one date, inside its task: (*lead, plane, y, x)."""
    dy, dx = (float(field.flat[0]) for field in np.moveaxis(source.take(0, stack=1), -3, 0))
    if dy == 0 and dx == 0:
        return source.take(0)
    reach = tile.halo
    rows = np.clip(np.arange(tile.y[0] - reach, tile.y[1] + reach), 0, source.height - 1) - tile.y[0] + reach
    columns = np.clip(np.arange(tile.x[0] - reach, tile.x[1] + reach), 0, source.width - 1) - tile.x[0] + reach
    block = source.take(reach)[..., rows[:, None], columns]
    runs = {kernel: [place for place, one in enumerate(kernels) if one == kernel] for kernel in dict.fromkeys(kernels)}
    moved = np.empty((*block.shape[:-2], tile.y[1] - tile.y[0], tile.x[1] - tile.x[0]), block.dtype)
    for kernel, layers in runs.items():
        moved[..., layers, :, :] = sampled(block[..., layers, :, :], reach, dy, dx, kernel)
    if edge == "nan" and moved.dtype.kind == "f":
        blank(moved, beyond(*tile.y, source.height, dy), beyond(*tile.x, source.width, dx))
    return moved


def _with_shifts(moved: Flat, cube: Cube, shifts: da.Array, summary: str) -> Flat:
    about = {
        "shift_y": {"long_name": "shift along y to lie on the reference, as measured", "units": "pixel"},
        "shift_x": {"long_name": "shift along x to lie on the reference, as measured", "units": "pixel"},
        "shift_quality": {"long_name": "quality of the shift, one half where its error is 0.2 pixels", "units": "1"},
        "aligned": {"long_name": "whether the pixels were moved by the shift"},
    }
    coords = {name: xr.Variable(cube.lead, shifts[..., n], text) for n, (name, text) in enumerate(about.items())}
    coords["aligned"] = coords["aligned"].astype(bool)
    result: Flat = moved.assign_coords(coords)
    return result.assign_attrs({"xr_sr:alignment": summary})
