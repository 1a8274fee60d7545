"""Read rasters of GDAL as lazy arrays, and folders of band files, such as SAFE products, as Datasets or DataTrees.

Each band of a folder is taken from the file of its native pixel size; one grid makes a Dataset, several a DataTree.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ..arguments import count_of
from ..bands import BANDS, is_scl, match_bands
from ..errors import CubeError, GridError

if TYPE_CHECKING:
    import rasterio

SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")

SIDE = 512
"""Side of a chunk in pixels, rounded up to whole blocks of the file."""


def open_raster(path: str | Path) -> xr.DataArray:
    """Open a raster that GDAL reads as a lazy (band, y, x) array, its bands labelled by their descriptions.

    Numbers come as they are stored, except where the file declares a scale or an offset: then they are unpacked.
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
    if not any(match_bands(names)) or None in names or len(set(names)) < len(names):
        return opened
    # The descriptions are bands, so results carry them on instead of numbers.
    named = opened.assign_coords(band=list(names))
    named.attrs.pop("long_name", None)
    return named


def _chunks(file: rasterio.DatasetReader) -> dict[str, int]:
    """Choose chunks of whole blocks: squares where the file has tiles, as many rows where it has strips."""
    height, width = file.block_shapes[0]
    if width >= file.width > SIDE:
        rows = max(1, SIDE * SIDE // file.width // height) * height
        return {"band": 1, "y": rows, "x": file.width}
    return {"band": 1, "y": -(-SIDE // height) * height, "x": -(-SIDE // width) * width}


# Of a SAFE product: masks, footprints and previews, some of which carry the name of a band.
_NO_IMAGES = {"QI_DATA", "AUX_DATA", "HTML", "DATASTRIP"}

_BASELINE_IN_NAME = re.compile(r"_N(\d{2})(\d{2})_")
_BASELINE_IN_XML = re.compile(r"<PROCESSING_BASELINE>\s*([\d.]+)\s*</PROCESSING_BASELINE>")
_LEVEL_IN_NAME = re.compile(r"MSI(L1C|L2A)", re.IGNORECASE)
_TIME_IN_NAME = re.compile(r"(?<!\d)(\d{8}T\d{6})(?!\d)")


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
        if path.suffix.lower() in SUFFIXES and not _NO_IMAGES & set(path.relative_to(folder).parts)
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
        if (
            plane.rio.crs != first.rio.crs
            or plane.shape != first.shape
            or plane.rio.transform() != first.rio.transform()
        ):
            raise GridError(
                f"{band} is not on the grid of {first.name or 'the other bands'}, with pixels of the same size."
            )
        # Without the tags of its file, such as a scale of 1, that say nothing of the band.
        plane.attrs = {key: value for key, value in plane.attrs.items() if key == "_FillValue"} | facts
    dataset = xr.Dataset(planes, attrs=facts)
    time = _TIME_IN_NAME.search(min(files, key=lambda file: file.path.name).path.stem)
    if time:
        digits = time[1]
        stamp = f"{digits[:4]}-{digits[4:6]}-{digits[6:11]}:{digits[11:13]}:{digits[13:]}"
        dataset = dataset.assign_coords(time=np.datetime64(stamp, "ns"))
    return dataset


def _facts(folder: Path, files: Iterable[BandFile]) -> dict[str, str]:
    """Read processing baseline and product level from metadata and file names."""
    facts = {}
    names = [folder.resolve().name, *(part for file in files for part in file.path.relative_to(folder).parts)]
    for metadata in sorted(folder.rglob("*MTD*.xml")):
        found = _BASELINE_IN_XML.search(metadata.read_text(encoding="utf-8", errors="replace"))
        if found:
            facts["s2:processing_baseline"] = found[1]
        names.append(metadata.stem)
    if "s2:processing_baseline" not in facts:
        baseline = next((match for name in names if (match := _BASELINE_IN_NAME.search(name))), None)
        if baseline:
            facts["s2:processing_baseline"] = f"{baseline[1]}.{baseline[2]}"
    level = next((match for name in names if (match := _LEVEL_IN_NAME.search(name))), None)
    if level:
        facts["product_level"] = level[1].upper()
    return facts
