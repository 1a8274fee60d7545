"""Read pixels, grid and bands of a cube for simulation, and rebuild cubes from results.

Unlike upscaling, a blur works on any bands, so names other than Sentinel-2's are accepted as labels.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..cube.coordinates import coords
from ..cube.detect import recognize
from ..cube.grid import Grid, crs_coord_name, is_crs_coord, spatial_dims
from ..cube.lazy import in_chunks
from ..cube.names import listed
from ..cube.select import dataset_of
from ..errors import (
    BandWarning,
    CubeError,
    GeoreferenceWarning,
    MissingBandError,
    RadiometryError,
    warn_caller,
)
from ..radiometry.written import converted_if_written

Flat = TypeVar("Flat", xr.DataArray, xr.Dataset)
Variables: TypeAlias = dict[Hashable, xr.DataArray]

_STALE = re.compile(
    r"transform|res|resolution|gsd|bounds|spec|grid_mapping|(proj|spatial):(transform|shape|bbox)|STATISTICS_.*|"
    r"OVR_RESAMPLING_ALG"
)
"""Attributes that tell of a grid or of statistics that no longer hold."""


@dataclass(frozen=True, eq=False)
class ImageCube:
    """A cube, read.

    array: (*lead, [band,] y, x), floating, lazy. source: as handed in. y, x, band_dim: names of dimensions. labels: one
    for each band, as the cube calls it; bands: the same as canonical names, None for what is none of Sentinel-2's.
    """

    array: xr.DataArray
    source: xr.DataArray
    y: str
    x: str
    band_dim: str | None
    labels: tuple[Hashable, ...]
    bands: tuple[str | None, ...]
    grid: Grid

    @property
    def lead(self) -> tuple[str, ...]:
        """The dimensions beside band, y and x, in order."""
        return tuple(str(dim) for dim in self.array.dims if dim not in (self.band_dim, self.y, self.x))

    @property
    def band_axis(self) -> int | None:
        """The axis of the bands; None where there is none."""
        return None if self.band_dim is None else self.array.ndim - 3

    def rebuilt(
        self, data: da.Array, *, geobox: GeoBox | None = None, attrs: Mapping[str, Any] | None = None
    ) -> xr.DataArray:
        """Return the cube again with other pixels, in the order of dimensions that it had.

        data: in the order of `array`. geobox: where the pixels lie; by default where they lay. attrs: to be added.
        """
        made = dict(attrs or {})
        if geobox is None:
            result = self.array.copy(data=data).transpose(*self.source.dims)
            result.attrs = {**self.source.attrs, **made}
            return result
        old = self.array.coords
        kept = {
            name: coord
            for name, coord in old.items()
            if not {self.y, self.x} & set(coord.dims) and not is_crs_coord(coord)
        }
        name = crs_coord_name(self.source)
        placed = coords(geobox, name, dims=(self.y, self.x))
        result = xr.DataArray(data, dims=self.array.dims, coords=kept | placed).rename(self.source.name)
        result.attrs = {key: value for key, value in self.source.attrs.items() if not _STALE.fullmatch(str(key))} | made
        if name in result.coords:
            result.encoding = {"grid_mapping": name}
        return result.transpose(*self.source.dims)


def read(obj: xr.DataArray, what: str = "the cube") -> ImageCube:
    """Find grid, bands and pixels of a DataArray; computes nothing.

    DN whose radiometry `set_radiometry` wrote are converted to reflectance. Raises CubeError for what is no DataArray,
    GridError without y and x, RadiometryError for other integers.
    """
    if not isinstance(obj, xr.DataArray):
        grid = dataset_of(obj) if isinstance(obj, xr.DataTree) else "ds" if isinstance(obj, xr.Dataset) else ""
        way = f' Make one of its variables: {grid}.to_dataarray("band").' if grid else ""
        raise CubeError(f"{what} must be an xarray DataArray with y and x; this is a {type(obj).__name__}.{way}")
    obj = converted_if_written(obj)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)  # pixels are enough
        cube = recognize(obj, allow_other_bands=True, role=what)
    if obj.dtype.kind != "f":
        raise RadiometryError(
            f"{what} holds {obj.dtype}; expected reflectance as floating-point numbers, with NaN where there is no "
            "data. Convert digital numbers first, cube.sr.reflectance(), or write what they mean into the cube: "
            "cube.sr.set_radiometry(offset=...)."
        )
    source = cube.source
    assert isinstance(source, xr.DataArray)
    array = in_chunks(source, lead=cube.lead, band_dim=cube.band_dim)
    array = array.transpose(*cube.lead, *([cube.band_dim] if cube.band_dim else []), cube.y, cube.x)
    if array.dtype.itemsize < 4:
        array = array.astype("float32")
    labels = tuple(plane.name for plane in cube.planes)
    bands = tuple(plane.band or None for plane in cube.planes)
    return ImageCube(array, source, cube.y, cube.x, cube.band_dim, labels, bands, cube.grid)


def partners(ours: ImageCube, theirs: ImageCube) -> list[int | None]:
    """Find for each of our bands its place among theirs; None for all where they have no dimension of bands.

    Canonical names come first, then labels. Raises MissingBandError for a band that they lack.
    """
    if theirs.band_dim is None:
        return [None] * len(ours.labels)
    places: list[int | None] = []
    for label, band in zip(ours.labels, ours.bands, strict=True):
        if band is not None and band in theirs.bands:
            places.append(theirs.bands.index(band))
        elif label in theirs.labels:
            places.append(theirs.labels.index(label))
        elif len(theirs.labels) == len(ours.labels) == 1:
            places.append(0)
        else:
            raise MissingBandError(
                f"one cube has the bands {listed(ours.labels)}, the other {listed(theirs.labels)}: {label!r} has no "
                "partner. Name bands alike, or select those that both have."
            )
    return places


def each_variable(obj: Flat, change: Callable[[xr.DataArray], xr.DataArray]) -> Flat:
    """Apply a change to a DataArray, or to each floating variable of a Dataset that lies on y and x.

    Variables off the grid pass; others on the grid, such as flags, are left out, and a BandWarning names them.
    Raises CubeError where nothing is left.
    """
    if not isinstance(obj, xr.Dataset):
        return change(obj)
    obj = converted_if_written(obj)
    light, left, rest = sorted_variables(obj)
    if left:
        warn_caller(f"{listed(left)}: no reflectance, so the result leaves this out.", BandWarning)
    changed = {name: change(array) for name, array in light.items()}
    return xr.Dataset(changed, attrs=obj.attrs).assign({name: array.variable for name, array in rest.items()})


def sorted_variables(obj: xr.Dataset) -> tuple[Variables, Variables, Variables]:
    """Return the floating variables on y and x, the others on y and x, and those off the grid.

    Raises CubeError without floating ones.
    """
    dims = spatial_dims(obj)
    obj = obj.set_coords([name for name, variable in obj.data_vars.items() if is_crs_coord(variable)])
    light: Variables = {}
    left: Variables = {}
    rest: Variables = {}
    for name, array in obj.data_vars.items():
        is_on_grid = dims is not None and set(dims) <= set(array.dims)
        kind = rest if not is_on_grid else light if array.dtype.kind == "f" else left
        kind[name] = array
    if not light:
        raise CubeError(
            f"no floating-point variable of the Dataset lies on y and x; it has {listed(obj.data_vars)}. "
            "Convert digital numbers first: cube.sr.reflectance()."
        )
    return light, left, rest


def same_grid(one: GeoBox, other: GeoBox) -> bool:
    """Return whether two geoboxes have the same pixels, to a thousandth of one."""
    if one.shape != other.shape or (one.crs is not None and other.crs is not None and one.crs != other.crs):
        return False
    strays = ~one.affine @ other.affine
    corners = [(0, 0), (one.shape.x, one.shape.y)]
    return all(np.allclose(strays @ corner, corner, rtol=0, atol=1e-3) for corner in corners)
