"""Open the small real scenes that are part of the package; `recipes/` has the scripts that cut them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ..errors import CubeError

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).with_name("data")

GRIDS: Mapping[str, tuple[str, ...]] = {"havel": ("r10m", "r20m")}
"""The grids of each sample: one GeoTIFF `<name>_<grid>.tif` each, with the bands in the band descriptions."""


def sample(name: str = "havel") -> xr.DataTree:
    """Open a small real Sentinel-2 scene that is part of the package.

    "havel": lakes (partly under ice), villages, fields and forest near Brandenburg an der Havel, 3.2 x 3.2 km on
    2017-02-16. Returns a DataTree with `r10m` (B02 B03 B04 B08; 320 x 320) and `r20m` (B05 B06 B07 B8A B11 B12;
    160 x 160): uint16 DN, reflectance * 10000, offset 0, no nodata, EPSG:32633. Lazy: pixels are read when computed.

    The level is L1C, top-of-atmosphere reflectance: good for trying things, while most models were trained on L2A. The
    source is lossy JPEG 2000 in steps of 8 to 16 DN, so do not measure accuracy on it. Contains modified Copernicus
    Sentinel data 2017; see `xr_sr/datasets/data/NOTICE`.

    Raises CubeError if there is no such sample.
    """
    if name not in GRIDS:
        raise CubeError(f"There is no sample {name!r}; expected one of {', '.join(map(repr, GRIDS))}.")
    grids = {grid: _open_grid(DATA / f"{name}_{grid}.tif") for grid in GRIDS[name]}
    root = xr.Dataset(attrs=next(iter(grids.values())).attrs)
    return xr.DataTree.from_dict({"/": root, **grids}, name=name)


def _open_grid(path: Path) -> xr.Dataset:
    """Open one GeoTIFF as a lazy Dataset of bands, with the scene's metadata as attrs and a scalar `time`."""
    import rioxarray

    stack = rioxarray.open_rasterio(path, chunks={"band": 1, "y": -1, "x": -1})
    assert isinstance(stack, xr.DataArray)
    tags, names = stack.attrs, stack.attrs["long_name"]
    # GDAL's tags are text that rioxarray reads as a number: 2.04 was "02.04".
    band_attrs = {
        "product_level": tags["product_level"],
        "s2:processing_baseline": f"{float(tags['processing_baseline']):05.2f}",
    }
    stack = stack.assign_coords(time=np.datetime64(tags["datetime"].removesuffix("Z"), "ns"))
    # Without "as DN = reflectance * 10000": attributes outlive the conversion.
    quantity = tags["quantity"].partition(" as DN")[0]
    bands = {}
    for position, band in enumerate(names):
        bands[band] = stack.isel(band=position, drop=True).rename(band)
        bands[band].attrs = {"long_name": f"{band}, {quantity}", **band_attrs}
        bands[band].encoding = {"grid_mapping": "spatial_ref"}
    origin = {key: tags[key] for key in ("title", "source", "attribution")}
    return xr.Dataset(bands, attrs={**origin, **band_attrs, "s2:mgrs_tile": tags["mgrs_tile"]})
