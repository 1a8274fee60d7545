"""Cubes as metrics see them: (time, band, y, x) blocks of reflectance, with matching bands, dates and ground.

Names, coordinates and grids only; metrics are computed by the modules around it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ..bands import find_band
from ..cube.coordinates import coords, placed
from ..cube.grid import crs_coord_name, geobox_of, spatial_dims
from ..cube.lazy import is_unread, kept_unread
from ..cube.names import dims_text, find_band_dim, listed
from ..cube.time import is_time, scalar_dates_differ
from ..errors import CubeError, GridError, MissingBandError, RadiometryError
from ..radiometry.judge import HIGHEST_MEDIAN
from ..radiometry.written import converted_if_written
from .reduce import SIDE

if TYPE_CHECKING:
    import dask.array as da

Image: TypeAlias = "xr.DataArray | xr.Dataset"


class _InMemory:
    """A NumPy array that dask slices in its tasks; a bare one it would copy as a whole."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __dask_tokenize__(self) -> Any:
        from dask.base import normalize_token

        return normalize_token(self.values)


@dataclass(frozen=True, eq=False)
class ImageSeries:
    """One cube, ready to be measured.

    role: LR, SR or HR, for messages. data: (time, band, y, x) floats, dask; time has length 1 where there is none.
    keys: what bands are matched by: the canonical name where there is one. labels: the user's own names.
    time: name of that dimension, or None. along_time, on_grid: coordinates to hand on. placed: whether y and x have
    coordinates, so that `geobox` says where on Earth the pixels lie. date: scalar coordinates.
    """

    role: str
    data: da.Array
    keys: tuple[Hashable, ...]
    labels: tuple[Hashable, ...]
    band: str
    time: str | None
    y: str
    x: str
    geobox: GeoBox
    placed: bool
    crs_name: str
    along_time: Mapping[Hashable, xr.DataArray]
    on_grid: Mapping[Hashable, xr.DataArray]
    lazy: bool
    date: Mapping[Hashable, xr.DataArray] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.data.shape[-2:]
        return int(height), int(width)

    def select(self, keys: Sequence[Hashable]) -> ImageSeries:
        """Return the scene with some of its bands, in the order asked for."""
        if tuple(keys) == self.keys:
            return self
        places = [self.keys.index(key) for key in keys]
        labels = tuple(self.labels[place] for place in places)
        return replace(self, data=self.data[:, places], keys=tuple(keys), labels=labels)

    def band_coord(self) -> xr.DataArray:
        """Return the coordinate along bands, with the user's own names."""
        return xr.DataArray(list(self.labels), dims=(self.band,))

    def wrap(
        self, data: Any, dims: Sequence[str], *, name: str, patch: int = 0, attrs: Mapping[str, Any] | None = None
    ) -> xr.DataArray:
        """Return values as a DataArray with the names and coordinates of the scene.

        dims: "time", "band", "y", "x" and others, as `data` has them; a "time" that the cube lacks has length 1 and
        goes. patch: side in pixels of what one number of a map stands for; 0 for the pixels of the scene themselves.
        """
        names = {"time": self.time or "time", "band": self.band, "y": self.y, "x": self.x}
        array = xr.DataArray(data, dims=[names.get(dim, dim) for dim in dims], name=name, attrs=dict(attrs or {}))
        if "time" in dims:
            array = array.assign_coords(self.along_time) if self.time else array.isel({names["time"]: 0})
        if "band" in dims:
            array = array.assign_coords({self.band: self.band_coord()})
        if "y" in dims and "x" in dims:
            array = array.assign_coords(self._places(patch))
        return array

    def _places(self, patch: int) -> Mapping[Hashable, xr.DataArray]:
        """Return the coordinates of the pixels, or of patches of them."""
        if not self.placed or not patch:
            return self.on_grid
        from affine import Affine

        height, width = (-(-side // patch) for side in self.shape)
        box = GeoBox((height, width), self.geobox.affine @ Affine.scale(patch), self.geobox.crs)
        return coords(box, self.crs_name, dims=(self.y, self.x))


def read(obj: Image, role: str) -> ImageSeries:
    """Read a cube as a scene; computes nothing.

    obj: DataArray with y and x, and perhaps a dimension of bands and one more, as a rule time; or a Dataset of bands,
    of which the floating variables on the grid are taken. role: LR, SR or HR.
    Raises GridError without y and x, CubeError for more or empty dimensions, RadiometryError for integers.
    """
    array = placed(kept_unread(_as_array(converted_if_written(obj), role)))
    dims = spatial_dims(array)
    box = geobox_of(array) if dims else None
    if dims is None or box is None:
        raise GridError(f"{role} has {dims_text(array.dims)}; expected y and x. Rename yours: .rename(...).")
    y, x = dims
    others = [str(dim) for dim in array.dims if dim not in dims]
    band = (
        "band" if "band" in others else find_band_dim(array, [dim for dim in others if not is_time(dim, array.coords)])
    )
    rest = [dim for dim in others if dim != band]
    if len(rest) > 1 or (rest and not is_time(rest[0], array.coords) and band is None):
        raise CubeError(
            f"{role} has {dims_text(array.dims)}; expected y, x and at most band and time. "
            f"Measure one at a time, for instance .isel({rest[-1]}=0)."
        )
    if empty := [str(dim) for dim in array.dims if not array.sizes[dim]]:
        raise CubeError(f"{role} is empty: its dimension {empty[0]!r} has the length 0, and metrics need values.")
    if array.dtype.kind != "f":
        raise RadiometryError(
            f"{role} holds {array.dtype}; metrics compare reflectance, in floats with NaN at nodata. "
            "Convert it first: cube.sr.reflectance()."
        )
    time = rest[0] if rest else None
    single = _labels(array, band)
    if band is None:
        band = "band"
        array = array.expand_dims(band)
    array = array.transpose(*rest, band, y, x)
    data = _dask(array)
    # Without the scalars that each brings along: a `spatial_ref` beside the time would contradict that of patches.
    alone = {name: coord.reset_coords(drop=True) for name, coord in array.coords.items()}
    along_time = {name: coord for name, coord in alone.items() if time and coord.dims == (time,)}
    on_grid = {name: coord for name, coord in alone.items() if coord.dims in ((y,), (x,))}
    crs_name = crs_coord_name(array)
    if crs_name in array.coords:
        on_grid[crs_name] = array.coords[crs_name]
    keys = tuple(found.name if (found := find_band(label)) else label for label in single)
    if len(set(keys)) < len(keys):
        keys = tuple(single)
    has_places = y in array.coords and x in array.coords
    return ImageSeries(
        role, data if time else data[None], keys, tuple(single), band, time, y, x, box, has_places, crs_name,
        along_time, on_grid, _is_lazy(obj), {name: coord for name, coord in alone.items() if not coord.ndim},
    )  # fmt: skip


def with_reflectance(scene: ImageSeries) -> ImageSeries:
    """Return the scene; its tasks raise RadiometryError for a block with the median of DN rather than reflectance.

    Judged by every fourth row and column; computes nothing.
    """
    import dask.array as da

    checked = da.map_blocks(_refuse_dn, scene.data, role=scene.role, dtype=scene.data.dtype, meta=scene.data._meta)
    return replace(scene, data=checked)


def _refuse_dn(block: npt.NDArray[Any], role: str) -> npt.NDArray[Any]:
    sample = block[..., ::4, ::4]
    known = sample[sample == sample]
    if known.size and (median := float(np.median(known))) > HIGHEST_MEDIAN:
        raise RadiometryError(
            f"{role}: expected reflectance, mostly 0 to 1; found a median of {median:.4g} in a block. Convert DN "
            "first: cube.sr.reflectance()."
        )
    return block


def together(*scenes: ImageSeries) -> tuple[ImageSeries, ...]:
    """Return scenes with the bands that all of them have, in the order of the first, and check that dates match.

    Raises MissingBandError where no band is common, CubeError where dates differ.
    """
    first = scenes[0]
    common = [key for key in first.keys if all(key in scene.keys for scene in scenes)]
    if not common:
        named = [scene for scene in scenes if not _is_numbered(scene.keys)]
        if len(named) > 1 or len({len(scene.keys) for scene in scenes}) > 1:
            raise MissingBandError(
                "the cubes have no band in common: "
                + "; ".join(f"{scene.role} has {listed(scene.keys)}" for scene in scenes)
                + ". Name the bands alike: .assign_coords(band=[...])."
            )
        keys = (named or scenes)[0].keys  # numbered bands are those of the others, one by one
        scenes = tuple(replace(scene, keys=keys) for scene in scenes)
        common = list(keys)
    timed = [scene for scene in scenes if scene.time]
    for scene in timed[1:]:
        one, other = (_stamps(timed[0]), _stamps(scene))
        if (timed[0].time, timed[0].data.shape[0]) != (scene.time, scene.data.shape[0]) or (
            one is not None and other is not None and not np.array_equal(one, other)
        ):
            raise CubeError(
                f"{timed[0].role} and {scene.role} have different dates: {_dates(timed[0])} against {_dates(scene)}. "
                "Select the same ones in the same order, for instance lr.sel(time=sr.time)."
            )
    for scene in scenes[1:]:
        # A reference image of another day is usual; LR and SR are one image.
        differ = None if "HR" in (first.role, scene.role) else scalar_dates_differ(first.date, scene.date)
        if differ:
            raise CubeError(
                f"{first.role} is of {differ[0]}, {scene.role} of {differ[1]}. Compare images of the same date; to "
                "compare these on purpose, drop the date of one: .drop_vars('time')."
            )
    chosen = tuple(scene.select(common) for scene in scenes)
    if timed and chosen[0].time is None:  # the first gives its names and dates to the result
        chosen = (replace(chosen[0], time=timed[0].time, along_time=timed[0].along_time), *chosen[1:])
    return chosen


def finished(result: Any, *scenes: ImageSeries) -> Any:
    """Compute a result whose inputs were all in memory; leave it lazy otherwise."""
    return result if any(scene.lazy for scene in scenes) else result.compute()


def _as_array(obj: Image, role: str) -> xr.DataArray:
    if isinstance(obj, xr.DataArray):
        return obj
    if not isinstance(obj, xr.Dataset):
        raise CubeError(f"{role} must be an xarray DataArray or Dataset of bands; it is a {type(obj).__name__}.")
    dims = spatial_dims(obj)
    on_grid = {name: array for name, array in obj.data_vars.items() if dims and set(dims) <= set(array.dims)}
    floating = {name: array for name, array in on_grid.items() if array.dtype.kind == "f"}
    if not floating:
        raise (RadiometryError if on_grid else GridError)(
            f"{role} has no floating variable with y and x: {listed(obj.data_vars)}. Metrics compare reflectance; "
            "convert first: cube.sr.reflectance()."
        )
    return xr.concat(
        [array.reset_coords(drop=True) for array in floating.values()], xr.Variable("band", list(floating))
    ).assign_coords({name: coord for name, coord in obj.coords.items() if "band" not in coord.dims})


def _labels(array: xr.DataArray, band: str | None) -> list[Hashable]:
    if band is None:
        name = array.coords["band"].item() if "band" in array.coords and not array.coords["band"].ndim else array.name
        return [name if name is not None else 0]
    if band in array.coords:
        return list(array.coords[band].values.tolist())
    return list(range(array.sizes[band]))


def _is_numbered(keys: Sequence[Hashable]) -> bool:
    return all(isinstance(key, int | float) for key in keys) or len(keys) == 1


def _dask(array: xr.DataArray) -> da.Array:
    import dask.array as da

    if array.chunks is None:
        chunks = tuple(min(side, SIDE) for side in array.shape)
        made: da.Array = da.from_array(
            _InMemory(array.values), chunks=chunks, asarray=False, meta=np.empty((0,) * array.ndim, array.dtype)
        )
        return made
    data: da.Array = array.data
    return data


def _is_lazy(obj: Image) -> bool:
    """Return whether an object is backed by dask, or by a file that was not read yet."""
    arrays = obj.data_vars.values() if isinstance(obj, xr.Dataset) else (obj,)
    return any(array.chunks is not None or is_unread(array) for array in arrays)


def _stamps(scene: ImageSeries) -> Any:
    return scene.along_time[scene.time].values if scene.time in scene.along_time else None


def _dates(scene: ImageSeries) -> str:
    stamps = _stamps(scene)
    if stamps is None:
        return f"{scene.data.shape[0]} along {scene.time!r}"
    if stamps.dtype.kind == "M":
        stamps = [str(stamp).removesuffix("T00:00:00") for stamp in stamps.astype("datetime64[s]")]
    more = f" and {len(stamps) - 3} more" if len(stamps) > 3 else ""
    return ", ".join(map(str, stamps[:3])) + more
