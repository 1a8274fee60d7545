"""Cubes as metrics see them: (time, band, y, x) blocks of reflectance, with matching bands, dates and ground.

Names, coordinates and grids only; metrics are computed by the modules around it.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from affine import Affine
from dask.base import normalize_token
from odc.geo.geobox import GeoBox

from ..conventions import BAND_DIMS
from ..cube.coordinates import coords
from ..cube.crs import crs_label
from ..cube.detect import recognize
from ..cube.grid import geobox_of, order_error, spatial_dims
from ..cube.lazy import is_unread, kept_unread
from ..cube.names import dims_text, listed, no_bands
from ..cube.select import dataset_of, model_of, warn_if_swapped
from ..cube.sensors import other_sensor
from ..cube.time import is_time, scalar_dates_differ
from ..errors import (
    CubeError,
    GeoreferenceWarning,
    GridError,
    MissingBandError,
    RadiometryError,
)
from ..radiometry.judge import HIGHEST_MEDIAN
from ..radiometry.written import converted_if_dn, converted_if_written
from .reduce import SIDE, Level

Image: TypeAlias = "xr.DataArray | xr.Dataset"
Result = TypeVar("Result", xr.DataArray, xr.Dataset)


class _InMemory:
    """A NumPy array that dask slices in its tasks; a bare one it would copy as a whole."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __dask_tokenize__(self) -> Any:
        return normalize_token(self.values)


@dataclass(frozen=True, eq=False)
class ImageSeries:
    """One cube, ready to be measured.

    role: LR, SR or HR, for messages. data: (time, band, y, x) floats, dask; time has length 1 where there is none.
    keys: what bands are matched by: the canonical name where there is one. labels: the user's own names.
    time: name of that dimension, or None. along_time, on_grid: coordinates to hand on. placed: whether y and x have
    coordinates, so that `geobox` says where on Earth the pixels lie. date: scalar coordinates. model: the name of the
    model that computed it, by its attributes; "" without. sensor: reasons to think that it is not
    Sentinel-2's; "" without.
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
    date: Mapping[Hashable, xr.DataArray]
    lazy: bool
    model: str
    sensor: str = ""

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

    def wrap(
        self, data: Any, dims: Sequence[str], *, name: str, at: Level = "pixel", attrs: Mapping[str, Any] | None = None
    ) -> xr.DataArray:
        """Return values as a DataArray with the names and coordinates of the scene.

        dims: "time", "band", "y", "x" and others, as `data` has them; a "time" that the cube lacks has length 1 and
        goes. at: of a map, "pixel", or the side of patches in pixels.
        """
        names = {"time": self.time or "time", "band": self.band, "y": self.y, "x": self.x}
        array = xr.DataArray(data, dims=[names.get(dim, dim) for dim in dims], name=name, attrs=dict(attrs or {}))
        if "time" in dims:
            array = array.assign_coords(self.along_time) if self.time else array.isel({names["time"]: 0})
        if "band" in dims:
            array = array.assign_coords({self.band: list(self.labels)})
        if "y" in dims and "x" in dims:
            places = self.on_grid
            if self.placed and isinstance(at, int):
                height, width = (-(-side // at) for side in self.shape)
                box = GeoBox((height, width), self.geobox.affine @ Affine.scale(at), self.geobox.crs)
                places = coords(box, self.crs_name, dims=(self.y, self.x))
            array = array.assign_coords(places)
        return array


def read(obj: Image, role: str) -> ImageSeries:
    """Read a cube as a scene; computes nothing.

    obj: DataArray with y and x, and perhaps a dimension of bands and one more, as a rule time; or a Dataset of bands,
    of which the floating variables on the grid are taken. role: LR, SR or HR; LR may hold DN of Sentinel-2, which are
    converted as their metadata say.
    Raises GridError without y and x or without pixels, CubeError for more dimensions and for results with an error,
    RadiometryError for integers, of LR those whose meaning is not known.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)  # pixels are enough
        converted = converted_if_dn(obj) if role == "LR" else converted_if_written(obj)
        cube = recognize(kept_unread(_as_array(converted, role)), allow_other_bands=True, role=role)
    array, y, x = cube.planes[0].array, cube.y, cube.x
    if len(cube.lead) > 1 or (cube.lead and not cube.band_dim and not is_time(cube.lead[0], array.coords)):
        raise CubeError(
            f"{role} has {dims_text(array.dims)}; expected y, x and at most band and time. "
            f"Measure one at a time, for instance .isel({cube.lead[-1]}=0)."
        )
    if array.dtype.kind != "f":
        raise _no_floats(role, str(array.dtype))
    time, data = next(iter(cube.lead), None), _dask(array)
    data = data if cube.band_dim else data[..., None, :, :]
    labels = tuple(0 if plane.name is None else plane.name for plane in cube.planes)
    keys = tuple(plane.band or label for plane, label in zip(cube.planes, labels, strict=True))
    # Without the scalars that each brings along: a `spatial_ref` beside the time would contradict that of patches.
    alone = {name: coord.reset_coords(drop=True) for name, coord in array.coords.items()}
    on_grid = {name: coord for name, coord in alone.items() if coord.dims in ((y,), (x,)) or name == cube.crs_name}
    return ImageSeries(
        role=role,
        data=data if time else data[None],
        keys=keys if len(set(keys)) == len(keys) else labels,
        labels=labels,
        band=cube.band_dim or "band",
        time=time,
        y=y,
        x=x,
        geobox=cube.geobox,
        placed=y in array.coords and x in array.coords,
        crs_name=cube.crs_name,
        along_time={name: coord for name, coord in alone.items() if time and coord.dims == (time,)},
        on_grid=on_grid,
        date={name: coord for name, coord in alone.items() if not coord.ndim},
        lazy=_is_lazy(obj),
        model=model_of(obj),
        sensor=other_sensor(obj, cube),
    )


def with_reflectance(scene: ImageSeries) -> ImageSeries:
    """Return the scene; its tasks raise RadiometryError for a block with the median of DN rather than reflectance.

    Judged by every fourth row and column; computes nothing.
    """
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
        named = [
            scene
            for scene in scenes
            if len(scene.keys) > 1 and any(not isinstance(key, int | float) for key in scene.keys)
        ]
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


def check_reference(sr: ImageSeries, hr: ImageSeries) -> None:
    """Raise GridError unless SR and HR have the same pixels; warn where it is HR that a model computed, and not SR."""
    check_same_grid(sr, hr)
    warn_if_swapped(sr.model, hr.model)


def check_same_grid(one: ImageSeries, other: ImageSeries) -> None:
    """Raise GridError unless two scenes have the same pixels."""
    check_factor(one, other, 1)


def scale_of(lr: ImageSeries, sr: ImageSeries, hr: ImageSeries | None = None) -> int:
    """Return the number of pixels of SR along one of LR.

    Raises GridError where it is not a whole number above 1, where HR is not on the grid of SR, and with one sentence
    where the cubes are in a wrong order or of equal resolution.
    """
    names = ("lr", "sr") if hr is None else ("lr", "sr", "hr")
    for fine in (sr, hr):
        if fine is not None and _relative_area(fine, lr) > 1 - 1e-6:
            raise order_error(names, fine.role.lower(), fine.geobox, lr.geobox)
    factor = max(1, round(sr.shape[0] / lr.shape[0]))
    check_factor(lr, sr, factor)
    if hr is not None:
        check_reference(sr, hr)
    return factor


def _relative_area(fine: ImageSeries, coarse: ImageSeries) -> float:
    """Return the area of a pixel of one scene over that of another; of equal ground where one has no coordinates."""
    if fine.placed and coarse.placed and fine.geobox.crs == coarse.geobox.crs:
        return abs(fine.geobox.affine.determinant / coarse.geobox.affine.determinant)
    return float(np.prod(coarse.shape) / np.prod(fine.shape))


def check_factor(coarse: ImageSeries, fine: ImageSeries, factor: int) -> None:
    """Raise GridError unless each pixel of `coarse` is made of `factor` x `factor` pixels of `fine`."""
    if fine.shape != tuple(side * factor for side in coarse.shape):
        raise GridError(
            f"{fine.role} must have {'as many pixels as' if factor == 1 else 'a whole number of pixels for each of'} "
            f"{coarse.role}; they are {_size(fine)} and {_size(coarse)}. Cut both to the same ground."
        )
    if coarse.placed and fine.placed:
        way = "Reproject one to the grid of the other first: hr.odc.reproject(sr.odc.geobox)"
        _check_ground(coarse, fine.geobox, fine.role, f"{way}, or align it: .sr.align(...).", factor)


def check_objects(objects: xr.DataArray, dims: tuple[str, str], scene: ImageSeries) -> None:
    """Raise GridError unless a map of objects (y, x) has the pixels of a scene; without coordinates shape suffices."""
    way = "Reproject it to that grid: objects.odc.reproject(sr.odc.geobox, resampling='nearest')."
    height, width = (objects.sizes[dim] for dim in dims)
    if (height, width) != scene.shape:
        raise GridError(f"objects= has {height} x {width} pixels, {scene.role} has {_size(scene)}. {way}")
    box = geobox_of(objects)
    if box is not None and scene.placed and all(dim in objects.coords for dim in dims):
        _check_ground(scene, box, "objects=", way)


def _check_ground(coarse: ImageSeries, fine: GeoBox, role: str, way: str, factor: int = 1) -> None:
    """Raise GridError unless the grid `fine` has `factor` pixels along each of a scene's, on the same ground."""
    box = coarse.geobox
    if box.crs is not None and fine.crs is not None and box.crs != fine.crs:
        raise GridError(f"{role} is in {crs_label(fine.crs)}, {coarse.role} in {crs_label(box.crs)}. {way}")
    place = ~fine.affine @ box.affine
    off = max(abs(place.a - factor), abs(place.e - factor)) * max(box.shape)
    if max(off, *map(abs, (place.b, place.d, place.c, place.f))) > 0.05 * factor:
        raise GridError(
            f"{role} and {coarse.role} do not lie on the same ground: they start at {_corner(fine)} and "
            f"{_corner(box)}. {way}"
        )


def finished(result: Result, *scenes: ImageSeries | None) -> Result:
    """Compute a result whose inputs were all in memory; leave it lazy otherwise."""
    return result if any(scene is not None and scene.lazy for scene in scenes) else result.compute()


def _no_floats(role: str, *dtypes: str) -> RadiometryError:
    return RadiometryError(
        f"{role} holds {', '.join(dict.fromkeys(dtypes))}; metrics compare reflectance, in floats with NaN at nodata. "
        "Convert it first: cube.sr.reflectance()."
    )


def _as_array(obj: Image, role: str) -> xr.DataArray:
    if isinstance(obj, xr.DataArray):
        return obj
    if isinstance(obj, xr.DataTree):
        raise CubeError(f"{role} is a DataTree; metrics compare cubes of one grid. Pass a node: {dataset_of(obj)}.")
    if not isinstance(obj, xr.Dataset):
        raise CubeError(f"{role} must be an xarray DataArray or Dataset of bands; it is a {type(obj).__name__}.")
    dims = spatial_dims(obj)
    on_grid = {name: array for name, array in obj.data_vars.items() if dims and set(dims) <= set(array.dims)}
    floating = {name: array for name, array in on_grid.items() if array.dtype.kind == "f"}
    if not on_grid:
        raise GridError(
            f"{role} has no variable with y and x; it has {listed(obj.data_vars) or 'none'}. Check the cube."
        )
    if not floating:
        raise _no_floats(role, *(str(array.dtype) for array in on_grid.values()))
    if any(str(dim).lower() in BAND_DIMS for array in floating.values() for dim in array.dims):
        raise no_bands(floating)  # such as results of interval, whose estimate is an array of bands
    first, *others = floating
    for name in others:
        if set(floating[name].dims) != set(floating[first].dims):
            raise CubeError(
                f"{role} has variables of unlike dimensions: {first!r} has {dims_text(floating[first].dims)}, {name!r} "
                f"has {dims_text(floating[name].dims)}. Pass the bands alone: cube[[{first!r}, ...]]."
            )
    return xr.concat(
        [array.reset_coords(drop=True) for array in floating.values()], xr.Variable("band", list(floating))
    ).assign_coords({name: coord for name, coord in obj.coords.items() if "band" not in coord.dims})


def _dask(array: xr.DataArray) -> da.Array:
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


def _size(scene: ImageSeries) -> str:
    return f"{scene.shape[0]} x {scene.shape[1]} pixels"


def _corner(box: GeoBox) -> str:
    affine = box.affine
    return f"({affine.c:.10g}, {affine.f:.10g}) with pixels of {affine.a:g} x {affine.e:g}"
