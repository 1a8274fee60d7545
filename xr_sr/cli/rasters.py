"""One raster file as a lazy array, in chunks that suit how the file is cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from ..bands import match_bands
from ..errors import CubeError

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
