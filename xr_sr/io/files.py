"""Open a path or URL as a lazy cube: GeoTIFF, VRT, Zarr, netCDF, and folders of band files such as SAFE products.

Reads metadata only; pixels stay in their files. What the bands mean is found out later, by `cube` and `radiometry`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from ..arguments import count_of
from ..cube.grid import spatial_dims
from ..cube.names import find_band_dim
from ..cube.select import AnyCube
from ..errors import CubeError, MissingLibraryError
from .rasters import open_folder, open_raster


def is_local(text: str) -> bool:
    """Return whether a text is a path of this machine's file system, and no URL (`file://...` is one)."""
    return not ("://" in text or "::" in text or text.startswith("/vsi"))


def suffix_of(text: str) -> str:
    """Get the suffix of a path or a URL in small letters, such as ".zarr"; of a chain a::b, that of its first link."""
    first = text if is_local(text) else text.split("::", 1)[0]
    return Path(first).suffix.lower()


def is_same(source: str, target: str) -> bool:
    """Return whether two texts name the same thing."""
    first, second = (Path(text.removeprefix("file://").removeprefix("local://")) for text in (source, target))
    if first.exists() and second.exists():
        return first.samefile(second)
    return source.rstrip("/") == target.rstrip("/")


NETCDFS = (".nc", ".nc4", ".cdf", ".h5", ".hdf5")
_ZARR_ROOTS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")


def open(path: str | os.PathLike[str], *, names: Sequence[str] = (), part: str | None = None) -> AnyCube:
    """Open what the command line opens as a lazy cube; reads metadata only.

    path: a GeoTIFF, VRT or other raster of GDAL, a Zarr (of this package or of others), a netCDF file, or a folder of
        band files such as a SAFE product; a local path, or a URL.
    names: of the bands, in order, for a raster that does not hold them. part: of a tree, the node; of a Dataset with
        bands along a dimension, the variable.

    Returns (band, y, x) of a raster, a Dataset of bands on one grid, or a DataTree of grids (`r10m`, ...). Values are
    as stored, unless the file declares a scale or an offset: then they are unpacked, with NaN as nodata. A SAFE product
    keeps its processing baseline and level as attributes, and its time as a coordinate.
    Raises CubeError for what does not exist, cannot be read, or has no such part; MissingLibraryError where the library
    of a format is not installed.
    """
    path = os.fspath(path)
    place = Path(path)
    suffix = place.suffix.lower()
    remote = not is_local(path)
    if not remote and not place.exists():
        raise CubeError(f"{path} does not exist. Check the path.")
    try:
        if suffix == ".zarr" or (place.is_dir() and any((place / root).exists() for root in _ZARR_ROOTS)):
            cube = _open_zarr(path)
        elif place.is_dir():
            cube = open_folder(place)
        elif suffix in NETCDFS:
            cube = _open_netcdf(path)
        else:
            cube = open_raster(path)
    except Exception as error:
        # What goes wrong beyond a URL has as many classes as there are libraries for protocols.
        if isinstance(error, CubeError | MissingLibraryError):
            raise
        if not (remote or isinstance(error, OSError | ValueError | ImportError)):
            raise
        raise CubeError(f"{path} cannot be opened as a cube: {_first_line(error)}") from error
    if part is not None:
        cube = _part(cube, part)
    return _named(cube, names) if names else cube


def _open_zarr(path: str) -> AnyCube:
    import zarr

    from .zarr import open_zarr
    from .zarr.record import KEY

    if KEY in zarr.open_group(path, mode="r").attrs:
        return open_zarr(path)
    with warnings.catch_warnings():
        # Many stores have no consolidated metadata, and reading them without is all that one could do about it.
        warnings.filterwarnings("ignore", ".*consolidated metadata.*", RuntimeWarning)
        dataset: xr.Dataset = xr.open_zarr(path, chunks={}, decode_coords="all")
        if dataset.data_vars:
            return _array_again(dataset)
        tree: xr.DataTree = xr.open_datatree(path, engine="zarr", chunks={}, decode_coords="all")
        return tree


def _open_netcdf(path: str) -> AnyCube:
    # Without chunks: arrays that read themselves by parts, in blocks that fit the work to be done.
    try:
        dataset = xr.open_dataset(path, decode_coords="all")
    except ValueError as error:
        if "engine" not in str(error):
            raise
        raise MissingLibraryError(
            f"no library that reads {path} is installed; run: pip install 'xr-sr[files]'"
        ) from error
    return _array_again(dataset) if dataset.data_vars else xr.open_datatree(path, decode_coords="all")


def _array_again(dataset: xr.Dataset) -> xr.DataArray | xr.Dataset:
    """Return a DataArray where a file holds one with a dimension of bands, as xarray writes a DataArray."""
    if len(dataset.data_vars) != 1:
        return dataset
    array = next(iter(dataset.data_vars.values()))
    grid = spatial_dims(array)
    others = [str(dim) for dim in array.dims if dim not in (grid or ())]
    if grid is None or find_band_dim(array, others) is None:
        return dataset
    array.attrs = {**dataset.attrs, **array.attrs}
    return array.rename(None) if array.name == "__xarray_dataarray_variable__" else array


def _part(cube: AnyCube, part: str) -> AnyCube:
    """Take a node of a tree, or a variable of a Dataset."""
    nodes = [node for node in cube.subtree if node.data_vars] if isinstance(cube, xr.DataTree) else []
    names = [node.path.strip("/") for node in nodes]
    if isinstance(cube, xr.DataTree) and part.strip("/") in names:
        return nodes[names.index(part.strip("/"))]
    if isinstance(cube, xr.Dataset):
        names = [str(name) for name in cube.data_vars]
        if part in names:
            array = cube[part]
            array.attrs = {**cube.attrs, **array.attrs}
            return array
    parts = f"it has {', '.join(names)}" if names else "it is one array; leave part= out"
    raise CubeError(f"part={part!r} is not in the input; {parts}.")


def _named(cube: AnyCube, names: Sequence[str]) -> AnyCube:
    """Assign names to the bands of an array whose file has none."""
    if not isinstance(cube, xr.DataArray) or "band" not in cube.dims:
        raise CubeError("names= is for rasters whose bands have no names; this input names its variables.")
    if len(names) != cube.sizes["band"]:
        raise CubeError(
            f"names={list(names)}: {count_of(len(names), 'name')} for {count_of(cube.sizes['band'], 'band')}."
        )
    named = cube.assign_coords(band=list(names))
    named.attrs.pop("long_name", None)
    return named


def _first_line(error: Exception) -> str:
    text = re.split(r"\n", str(error).strip(), maxsplit=1)[0]
    return text or type(error).__name__
