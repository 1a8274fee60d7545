"""Build a result in the form of its input, on the finer grid: type, names, order of dimensions, coordinates, flags.

Nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from ..arguments import items_of
from ..bands import is_scl
from ..conventions import BAND_ATTRS
from ..errors import BandWarning, warn_caller
from .align import check_classes
from .coordinates import fine_coords
from .grid import is_crs_coord
from .lazy import check_array
from .names import listed
from .select import Cube, Flags, Plane

if TYPE_CHECKING:
    import dask.array as da

_STALE_ON_NEW_GRID = {
    *("transform", "res", "resolution", "gsd", "bounds", "spec", "grid_mapping", "OVR_RESAMPLING_ALG"),
    *("proj:transform", "proj:shape", "proj:bbox", "spatial:transform", "spatial:shape", "spatial:bbox"),
}
_STALE_WITH_NEW_VALUES = {
    *("scale_factor", "add_offset", "nodata", "_FillValue", "missing_value", "fill_value", "dtype", "_Unsigned"),
    *("nodatavals", "scales", "offsets", "valid_min", "valid_max", "valid_range", "actual_range"),
    *("raster:bands", "raster:scale", "raster:offset", "_eopf_attrs"),
}
_UNITLESS = {"units": "1"}  # as CF writes it; the input may have "DN"


class Repeat(Protocol):
    """Protocol of `tiling.repeat.repeat_pixels`."""

    def __call__(
        self,
        array: da.Array,
        axes: Sequence[int],
        factor: int,
        chunks: Sequence[Sequence[int]],
        *,
        change: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
        dtype: DTypeLike | None = None,
    ) -> da.Array:
        """Repeat pixels along some axes, lazily, in given chunks."""


def assemble(
    cube: Cube,
    planes_out: Sequence[Plane],
    data: da.Array | list[da.Array] | tuple[da.Array, ...],
    *,
    scale: int,
    repeat: Repeat,
    attrs: Mapping[str, Any] | None = None,
    attrs_of: Mapping[str, Mapping[str, Any]] | None = None,
    extra_coords: Mapping[Hashable, xr.Variable] | None = None,
    dtype: DTypeLike = "float32",
) -> xr.DataArray | xr.Dataset:
    """Build a result in the form of the cube, on a grid `scale` times finer.

    planes_out: the bands of `data`, in that order. data: lazy (*lead, band, y * scale, x * scale), or one
    (*lead, y * scale, x * scale) per band, which saves slicing for a Dataset. repeat: brings flags to the finer grid.
    attrs: provenance, for each variable.
    attrs_of: the same for bands that something else made, by canonical name; for a Dataset only.
    extra_coords: off the grid; they replace what the cube has under their names.
    Returns a DataArray for a DataArray, else a Dataset. Names of bands and dims, their order and coordinates off the
    grid are the cube's; bands that are numbered along their dimension, and named elsewhere, are labelled by name. The
    georeference is exact; flags go along by nearest neighbor, chunked as the data; attributes that no longer hold are
    dropped. No task is added to the data, except for a transpose if its order is unusual.
    Warns BandWarning with the names of variables that are neither bands nor flags, and are left out.
    """
    import dask.array as da

    if cube.dropped:
        warn_caller(
            f"{listed(cube.dropped)}: neither a band of Sentinel-2 nor flags, so it is not in the result. "
            "To have it on the finer grid, resample it yourself: cube[name].interp_like(result); a band of another "
            "sensor is kriged alone: cube[name].rename('B08').sr.upscale('kriging', psf=0.5, noise=0.003).",
            BandWarning,
        )
    parts, dtype = list(data) if isinstance(data, list | tuple) else [data], np.dtype(dtype)
    parts = [part if part.dtype == dtype else part.astype(dtype) for part in parts]
    stacked = len(parts) == 1 and parts[0].ndim == len(cube.lead) + 3
    fine_shape = tuple(side * scale for side in cube.geobox.shape)
    assert all(part.shape[-2:] == fine_shape for part in parts), "results are not on the finer grid"
    assert len(planes_out) == (parts[0].shape[-3] if stacked else len(parts)), "there is not one result per band"

    coords = _new_coords(cube, planes_out, scale).assign_coords(extra_coords or {})
    sizes = (*parts[0].chunks[: len(cube.lead)], *parts[0].chunks[-2:])
    chunks = dict(zip((*cube.lead, cube.y, cube.x), sizes, strict=True))
    flags = {flag.name: _to_fine(flag, cube, scale, chunks, repeat) for flag in cube.flags}
    coords = coords.assign_coords({name: flag for name, flag in flags.items() if name in cube.source.coords})
    made_by, encoding = dict(attrs or {}), {"grid_mapping": cube.crs_name} if cube.crs_name in coords.coords else {}

    if isinstance(cube.source, xr.DataArray):
        band = () if cube.band_dim is None else (cube.band_dim,)
        array = parts[0] if stacked or not band else da.stack(parts, axis=-3)
        array = array if band or not stacked else array[..., 0, :, :]
        size = cube.source.sizes[cube.band_dim] if cube.band_dim else 0
        kept = _still_true(cube.source.attrs, planes_out, size=size) | _UNITLESS
        variable = xr.Variable((*cube.lead, *band, cube.y, cube.x), array, kept | made_by)
        result = xr.DataArray(variable.transpose(*cube.source.dims), coords=coords.coords, name=cube.source.name)
        result.encoding = encoding
        return result

    variables: dict[Hashable, xr.Variable] = {}
    for index, plane in enumerate(planes_out):
        source, array = cube.source[plane.name], parts[0][..., index, :, :] if stacked else parts[index]
        own = made_by if attrs_of is None else dict(attrs_of.get(plane.band, made_by))
        variable = xr.Variable((*cube.lead, cube.y, cube.x), array, _still_true(source.attrs) | _UNITLESS | own)
        variables[plane.name] = variable.transpose(*source.dims)
    variables |= {name: flag for name, flag in flags.items() if name not in cube.source.coords}
    for variable in variables.values():
        variable.encoding = encoding.copy()
    variables |= {name: cube.source[name].variable for name in cube.extras if name not in coords.coords}
    whole = coords.assign(variables)
    whole.attrs = _still_true(cube.source.attrs) | made_by
    return whole


def _new_coords(cube: Cube, planes: Sequence[Plane], scale: int) -> xr.Dataset:
    """Return a Dataset of the result's coordinates: new ones on the grid, the cube's own off it."""
    old = cube.source.coords.to_dataset()
    if cube.band_dim:
        old = old.isel({cube.band_dim: [plane.index for plane in planes]}, missing_dims="ignore")
    gone = [name for name, coord in old.coords.items() if {cube.y, cube.x} & set(coord.dims) or is_crs_coord(coord)]
    new = fine_coords(cube.grid, scale, cube.crs_name, dims=(cube.y, cube.x))
    for dim in (cube.y, cube.x):
        if dim in cube.source.coords and dim in new:
            new[dim].attrs |= _still_true(cube.source.coords[dim].attrs)
    labels = old.coords.get(cube.band_dim) if cube.band_dim else None
    if cube.band_dim and (labels is None or labels.dtype.kind in "iuf"):
        # Numbers, as rioxarray counts the bands of a file whose names are in `long_name`: no one can select by them.
        new[cube.band_dim] = xr.DataArray([plane.band for plane in planes], dims=cube.band_dim)
    return old.drop_vars(gone).assign_coords(new)


def _to_fine(
    flags: Flags, cube: Cube, scale: int, chunks: Mapping[str, tuple[int, ...]], repeat: Repeat
) -> xr.Variable:
    """Repeat the pixels of flags on the finer grid, lazily, in the chunks of the data; SCL in floats becomes uint8."""
    check_array(flags.array, repr(flags.name))
    variable, factor = flags.array.variable, flags.factor * scale
    if variable.chunks is None:
        cut = {dim: sizes for dim, sizes in chunks.items() if dim in variable.dims}
        variable = variable.chunk(cut | {dim: max(1, max(chunks[dim]) // factor) for dim in (cube.y, cube.x)})
    old = variable.data
    classes = is_scl(flags.name) and old.dtype.kind == "f"
    fine = repeat(
        old,
        (variable.dims.index(cube.y), variable.dims.index(cube.x)),
        factor,
        [chunks.get(str(dim), old.chunks[axis]) for axis, dim in enumerate(variable.dims)],
        change=_classes_of if classes else None,
        dtype="uint8" if classes else None,
    )
    kept = {key: value for key, value in variable.attrs.items() if key not in _STALE_ON_NEW_GRID}
    return xr.Variable(variable.dims, fine, kept)


def _classes_of(block: NDArray[Any]) -> NDArray[Any]:
    """Return classes in floats as uint8, NaN as 0 (no data)."""
    classes: NDArray[Any] = np.nan_to_num(check_classes(block, "SCL"), nan=0).astype("uint8")
    return classes


def _still_true(attrs: Mapping[Any, Any], planes: Sequence[Plane] = (), *, size: int = 0) -> dict[Any, Any]:
    """Keep the attributes that hold for the result; of a list with a name for each of `size` bands, those that stay."""
    kept = {}
    for key, value in attrs.items():
        stale = key in _STALE_ON_NEW_GRID | _STALE_WITH_NEW_VALUES
        if stale or str(key).startswith(("STATISTICS_", "xr_sr:", "xr_sr_")):  # "_" as in the tags of a GeoTIFF
            continue
        several = items_of(value) if key in BAND_ATTRS else None
        if several and len(several) == size:
            value = tuple(several[plane.index] for plane in planes if plane.index is not None)
        kept[key] = value
    return kept
