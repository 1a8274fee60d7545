"""Open a path or URL as a lazy cube: GeoTIFF, VRT, Zarr, netCDF, and folders of band files such as SAFE products.

Reads metadata only; pixels stay in their files. What the bands mean is found out later, by `cube` and `radiometry`.
Each band of a folder is taken from the file of its native pixel size; one grid makes a Dataset, several a DataTree.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..arguments import count_of, first_line
from ..bands import BANDS, is_scl, match_bands
from ..conventions.own import ACQUISITION
from ..cube.grid import spatial_dims
from ..cube.names import find_band_dim
from ..cube.select import AnyCube
from ..errors import CubeError, GridError, MissingLibraryError

if TYPE_CHECKING:
    import rasterio

NETCDFS = (".nc", ".nc4", ".cdf", ".h5", ".hdf5")
RASTERS = (".tif", ".tiff", ".jp2", ".vrt")
_ZARR_ROOTS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")

_SIDE = 512
"""Side of a chunk in pixels, rounded up to whole blocks of the file."""

# Of a SAFE product: masks, footprints and previews, some of which carry the name of a band.
_NO_IMAGES = {"QI_DATA", "AUX_DATA", "HTML", "DATASTRIP"}

_BASELINE_IN_NAME = re.compile(r"_N(\d{2})(\d{2})_")
_BASELINE_IN_XML = re.compile(r"<PROCESSING_BASELINE>\s*([\d.]+)\s*</PROCESSING_BASELINE>")
_LEVEL_IN_NAME = re.compile(r"MSI(L1C|L2A)", re.IGNORECASE)
_TIME_IN_NAME = re.compile(r"(?<!\d)(\d{8}T\d{6})(?!\d)")


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
        raise CubeError(f"{path} cannot be opened as a cube: {first_line(error)}.") from error
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
        if not re.search("engine|dependencies may not be installed", str(error)):  # xarray's two sentences
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
    parts: dict[str, Any] = {}
    if isinstance(cube, xr.DataTree):
        part = part.strip("/")
        parts = {node.path.strip("/"): node for node in cube.subtree if node.data_vars}
    elif isinstance(cube, xr.Dataset):
        parts = {str(name): array for name, array in cube.data_vars.items()}
    if part not in parts:
        known = f"it has {', '.join(parts)}" if parts else "it is one array; leave part= out"
        raise CubeError(f"part={part!r} is not in the input; {known}.")
    found: AnyCube = parts[part]
    if isinstance(cube, xr.Dataset):
        found.attrs = {**cube.attrs, **found.attrs}
    return found


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


def open_raster(path: str | Path) -> xr.DataArray:
    """Open a raster that GDAL reads as a lazy (band, y, x) array, its bands labelled by their descriptions.

    Numbers come as they are stored, except where the file declares a scale or an offset: then they are unpacked. The
    tag ACQUISITIONDATETIME, which `to_cog` writes, becomes the coordinate `time`.
    Raises CubeError for a file of several rasters, rasterio's errors for what is none.
    """
    import rasterio
    import rioxarray

    with rasterio.open(path) as file:
        packed = any(scale != 1 for scale in file.scales) or any(offset != 0 for offset in file.offsets)
        names, chunks = file.descriptions, _chunks(file)
    opened = rioxarray.open_rasterio(path, chunks=chunks, mask_and_scale=packed)
    if not isinstance(opened, xr.DataArray):
        raise CubeError(f"{path} holds several rasters; give the path of one of them, as gdalinfo lists them.")
    stamp = _acquired(opened.attrs.get(ACQUISITION))
    if stamp is not None and "time" not in opened.coords:
        opened = opened.assign_coords(time=stamp)
    if not any(match_bands(names)) or None in names or len(set(names)) < len(names):
        return opened
    # The descriptions are bands, so results carry them on instead of numbers.
    named = opened.assign_coords(band=list(names))
    named.attrs.pop("long_name", None)
    return named


def _acquired(text: object) -> np.datetime64 | None:
    """Return the date of a tag in UTC, None for what is no date."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    utc = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return np.datetime64(utc, "ns")


def _chunks(file: rasterio.DatasetReader) -> dict[str, int]:
    """Choose chunks of whole blocks: squares where the file has tiles, as many rows where it has strips."""
    height, width = file.block_shapes[0]
    if width >= file.width > _SIDE:
        rows = max(1, _SIDE * _SIDE // file.width // height) * height
        return {"band": 1, "y": rows, "x": file.width}
    return {"band": 1, "y": -(-_SIDE // height) * height, "x": -(-_SIDE // width) * width}


@dataclass(frozen=True)
class BandFile:
    """One raster of a folder. band: canonical name, or "SCL". pixel: its size along x, in the unit of its CRS."""

    path: Path
    band: str
    pixel: float


def open_folder(folder: Path) -> xr.Dataset | xr.DataTree:
    """Open a folder of band files, or one that holds such folders, as a SAFE product does (IMG_DATA/R10m, ...).

    Returns a Dataset of bands, or a DataTree with `r10m`, `r20m`, ...; the scene classification comes along. Attributes
    say the processing baseline and the product level if metadata or file names contain them.
    Raises CubeError if there are no band files, or several for one band.
    """
    files = _one_each(_find(folder), folder)
    grids: dict[float, list[BandFile]] = defaultdict(list)
    for file in files:
        grids[file.pixel].append(file)
    facts = _facts(folder, files)
    datasets = {pixel: _open_grid(members, facts) for pixel, members in sorted(grids.items())}
    if len(datasets) == 1:
        return next(iter(datasets.values()))
    nodes = {f"/r{pixel:g}m": dataset for pixel, dataset in datasets.items()}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=facts), **nodes}, name=folder.name)


def _find(folder: Path) -> list[BandFile]:
    """Find the rasters whose names hold that of a band, and the size of their pixels."""
    import rasterio

    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in RASTERS and not _NO_IMAGES & set(path.relative_to(folder).parts)
    )
    files = []
    for path, band in zip(paths, match_bands([path.stem for path in paths]), strict=True):
        words = re.split(r"_(?=SCL)", path.stem)
        name = band.name if band else "SCL" if is_scl(words[-1]) else ""
        if name:
            with rasterio.open(path) as raster:
                files.append(BandFile(path, name, float(raster.transform.a)))
    if not any(file.band != "SCL" for file in files):
        seen = ", ".join(path.name for path in paths[:5]) or "no raster at all"
        raise CubeError(f"{folder} holds no file with the name of a Sentinel-2 band, such as *_B04.jp2; found {seen}.")
    return files


def _one_each(files: Iterable[BandFile], folder: Path) -> list[BandFile]:
    """Keep one file for each band: that of the native pixel size, else of the finest."""
    native = {band.name: band.gsd_m for band in BANDS}
    by_band: dict[str, list[BandFile]] = defaultdict(list)
    for file in files:
        by_band[file.band].append(file)
    chosen = []
    for band, candidates in by_band.items():
        best = min(candidates, key=lambda file: (file.pixel != native.get(band), file.pixel))
        equals = [file.path for file in candidates if file.pixel == best.pixel]
        if len(equals) > 1:
            raise CubeError(
                f"{folder} holds several files for {band}, {equals[0].name} and {equals[1].name} among them. "
                "Give the folder of one date and one tile."
            )
        chosen.append(best)
    return chosen


def _open_grid(files: Iterable[BandFile], facts: dict[str, str]) -> xr.Dataset:
    """Open files on one grid as a Dataset of bands."""
    order = [band.name for band in BANDS] + ["SCL"]
    planes = {}
    for file in sorted(files, key=lambda file: order.index(file.band)):
        raster = open_raster(file.path)
        if raster.sizes["band"] != 1:
            raise CubeError(
                f"{file.path.name} holds {count_of(raster.sizes['band'], 'band')}; a folder is read as one band a file."
            )
        planes[file.band] = raster.squeeze("band", drop=True)
    first = next(iter(planes.values()))
    for band, plane in planes.items():
        if _place_of(plane) != _place_of(first):
            raise GridError(
                f"{band} is not on the grid of {first.name or 'the other bands'}, with pixels of the same size."
            )
        # Without the tags of its file, such as a scale of 1, that say nothing of the band.
        plane.attrs = {key: value for key, value in plane.attrs.items() if key == "_FillValue"} | facts
    dataset = xr.Dataset(planes, attrs=facts)
    if time := _TIME_IN_NAME.search(min(files, key=lambda file: file.path.name).path.stem):
        stamp = np.datetime64(datetime.strptime(time[1], "%Y%m%dT%H%M%S"), "ns")
        dataset = dataset.assign_coords(time=stamp)
    return dataset


def _place_of(plane: xr.DataArray) -> tuple[object, ...]:
    return plane.rio.crs, plane.shape, plane.rio.transform()


def _facts(folder: Path, files: Iterable[BandFile]) -> dict[str, str]:
    """Read processing baseline and product level from metadata and file names."""
    metadata = sorted(folder.rglob("*MTD*.xml"))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in reversed(metadata)]
    names = [folder.resolve().name, *(part for file in files for part in file.path.relative_to(folder).parts)]
    names += [path.stem for path in metadata]
    facts = {}
    if found := _first_match(_BASELINE_IN_XML, texts):
        facts["s2:processing_baseline"] = found[1]
    elif found := _first_match(_BASELINE_IN_NAME, names):
        facts["s2:processing_baseline"] = f"{found[1]}.{found[2]}"
    if found := _first_match(_LEVEL_IN_NAME, names):
        facts["product_level"] = found[1].upper()
    return facts


def _first_match(pattern: re.Pattern[str], texts: Iterable[str]) -> re.Match[str] | None:
    return next(filter(None, map(pattern.search, texts)), None)
