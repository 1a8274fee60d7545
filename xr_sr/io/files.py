"""Open a path or URL as a lazy cube: GeoTIFF, VRT, Zarr, netCDF, and folders of band files such as SAFE products.

Reads metadata only; pixels stay in their files. What the bands mean is found out later, by `cube` and `radiometry`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import count_of
from ..cube.grid import spatial_dims
from ..cube.names import find_band_dim
from ..cube.time import nearest_place, read_date
from ..errors import CubeError, MissingLibraryError, OptionError
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


AnyCube: TypeAlias = "xr.DataArray | xr.Dataset | xr.DataTree"

MOST_DAYS = 10
"""How far the nearest date may be from the one that was asked for: the repeat cycle of one Sentinel-2 satellite."""

NETCDFS = (".nc", ".nc4", ".cdf", ".h5", ".hdf5")
_ZARR_ROOTS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")


def open_cube(path: str, names: Sequence[str] = (), part: str | None = None) -> AnyCube:
    """Open a cube, lazily.

    path: a file, a folder or a URL. names: of the bands, where the file does not name them. part: a node of a tree, or
    a variable that has bands along a dimension.
    Raises CubeError if it is of no kind that is known, cannot be read, or has no such part.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    remote = not is_local(path)
    if not remote and not place.exists():
        raise CubeError(f"there is no {path}.")
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
    parts = f"it has {', '.join(names)}" if names else "it is one array; leave --part out"
    raise CubeError(f"--part {part} is not in the input; {parts}.")


def _named(cube: AnyCube, names: Sequence[str]) -> AnyCube:
    """Name the bands of an array whose file names none."""
    if not isinstance(cube, xr.DataArray) or "band" not in cube.dims:
        raise CubeError("--names is for rasters whose bands have no names; this input names its variables.")
    if len(names) != cube.sizes["band"]:
        raise CubeError(
            f"--names={','.join(names)}: {count_of(len(names), 'name')} for {count_of(cube.sizes['band'], 'band')}."
        )
    named = cube.assign_coords(band=list(names))
    named.attrs.pop("long_name", None)
    return named


def _first_line(error: Exception) -> str:
    text = re.split(r"\n", str(error).strip(), maxsplit=1)[0]
    return text or type(error).__name__


def select_date(cube: AnyCube, date: str, *, option: str = "--date", within_days: float | None = None) -> AnyCube:
    """Keep the date nearest to a given one, in every part of a cube that has several.

    option: that the date was given by, for messages. within_days: how far off the nearest may be; None for any.
    Raises OptionError for what is no date, for a cube without any, and where the nearest is further off.
    """
    moment = read_date(date, told=f"{option} {date}")
    parts = _parts(cube)
    stamps = dates_of(cube)
    if not stamps.size:
        dims = ", ".join(dict.fromkeys(str(dim) for part in parts for dim in part.dims))
        raise OptionError(f"{option} {date}: the input has no dates, only {dims or 'nothing'}. Leave {option} out.")
    days = np.nanmin(np.abs((stamps - moment) / np.timedelta64(1, "D")))
    if within_days is not None and not days <= within_days:
        raise OptionError(
            f"{option} {date}: no date of the input is within {within_days:g} days of it. It has {_shown(stamps)}."
        )
    if isinstance(cube, xr.DataTree):
        # From the root: what nodes inherit, their metadata too, stays with them.
        tree: xr.DataTree = cube.root.map_over_datasets(_nearest, moment)[cube.path]
        return tree
    part: xr.DataArray | xr.Dataset = _nearest(cube, moment)
    return part


def dates_of(cube: AnyCube) -> npt.NDArray[np.datetime64]:
    """Return the dates of a cube, of all its parts, ascending and each once."""
    coords = [coord for part in _parts(cube) for coord in part.coords.values() if coord.dtype.kind == "M"]
    found = [np.ravel(coord.values).astype("datetime64[ns]") for coord in coords if coord.ndim < 2]
    return np.unique(np.concatenate(found)) if found else np.empty(0, "datetime64[ns]")


def _parts(cube: AnyCube) -> Sequence[Any]:
    return [node.dataset for node in cube.subtree] if isinstance(cube, xr.DataTree) else [cube]


def _shown(stamps: npt.NDArray[np.datetime64]) -> str:
    texts = stamps.astype("datetime64[D]").astype(str).tolist()
    return ", ".join(texts) if len(texts) <= 6 else f"{texts[0]} to {texts[-1]} ({len(texts)} dates)"


def _nearest(part: Any, moment: np.datetime64) -> Any:
    dims = [dim for dim in part.dims if dim in part.coords and part.coords[dim].dtype.kind == "M"]
    if not dims:
        return part
    return part.isel({dims[0]: nearest_place(part.coords[dims[0]].values, moment)})
