"""Open the small real scenes that are part of the package; `recipes/` has the scripts that cut them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ..errors import CubeError
from ..radiometry.resolve import OWN_ATTR
from ..radiometry.written import set_radiometry

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).with_name("data")

GRIDS: Mapping[str, Mapping[str, str]] = {
    "havel": {"r10m": "havel_r10m.tif", "r20m": "havel_r20m.tif"},
    "virginia": {"lr/r10m": "virginia_lr.tif", "hr": "virginia_hr.tif"},
}
"""The nodes of each sample: one GeoTIFF each, with the bands in the band descriptions."""


def sample(name: str = "havel") -> xr.DataTree:
    """Open a small scene that is part of the package: real Sentinel-2, or a pair with a reference.

    "havel": lakes (partly under ice), villages, fields and forest near Brandenburg an der Havel, 3.2 x 3.2 km on
    2017-02-16. Returns a DataTree with `r10m` (B02 B03 B04 B08; 320 x 320) and `r20m` (B05 B06 B07 B8A B11 B12;
    160 x 160): uint16 DN, reflectance * 10000, offset 0, no nodata, EPSG:32633. Lazy: pixels are read when computed.

    The level is L1C, top-of-atmosphere reflectance: good for trying things, while most models were trained on L2A. The
    source is lossy JPEG 2000 in steps of 8 to 16 DN, so do not measure accuracy on it. Contains modified Copernicus
    Sentinel data 2017; see `xr_sr/datasets/data/NOTICE`.

    "virginia": forest, a pond and tracks near Sherando, Virginia, 560 x 460 m of aerial imagery without a date (NAIP,
    public domain). Returns a DataTree with the nodes that `simulate_scene` has, lazily, B02 B03 B04 B08 in EPSG:26917:
    `lr/r10m`: 46 x 56 pixels of 10 m, what Sentinel-2 would see (its point spread function and noise, simulated):
    uint16 DN, reflectance * 10000, offset 0, no nodata, as written by `set_radiometry`;
    `hr`: 184 x 224 pixels of 2.5 m, the reference: float32 reflectance. Each 10 m pixel is exactly 4 x 4 of these.

    Counts of the camera are uncalibrated, so colors and NDVI are plausible, not measured. No model in the package was
    trained on the place. One place is not a measure of accuracy. Credit: USDA Farm Service Agency.

    >>> pair = xr_sr.sample("virginia")
    >>> lr, hr = pair["lr/r10m"].to_dataset(), pair["hr"].to_dataset()
    >>> scores = xr_sr.evaluate(lr, lr.sr.upscale("kriging"), hr)

    Raises CubeError if there is no such sample.
    """
    if name not in GRIDS:
        raise CubeError(f"There is no sample {name!r}; expected one of {', '.join(map(repr, GRIDS))}.")
    read = {"havel": _open_grid, "virginia": _open_simulated}[name]
    grids = {node: read(DATA / file) for node, file in GRIDS[name].items()}
    first, *others = (grid.attrs for grid in grids.values())
    root = xr.Dataset(
        attrs={key: value for key, value in first.items() if all(key in o and o[key] == value for o in others)}
    )
    return xr.DataTree.from_dict({"/": root, **grids}, name=name)


def _open_simulated(path: Path) -> xr.Dataset:
    """Open one GeoTIFF of a pair as a lazy Dataset of bands: DN of the input, reflectance of the reference."""
    stack = _open_stack(path)
    facts = {key: stack.attrs[key] for key in ("title", "source", "attribution", "license", "processing")}
    quantity = stack.attrs["quantity"].partition(",")[0]
    bands = _bands_of(stack, quantity, {})
    if path.name.endswith("_lr.tif"):
        return set_radiometry(xr.Dataset(bands, attrs=facts), offset=0, nodata=None, quantification=10_000)
    # Forest without a dark pixel of red: said to be right, it is not suspected of carrying +1000 DN.
    declared = {"units": "1", OWN_ATTR: "reflectance, as handed in (sample)"}
    for band, plane in bands.items():
        bands[band] = (plane.astype("float32") / np.float32(10_000)).assign_attrs(plane.attrs | declared)
        bands[band].encoding = plane.encoding
    return xr.Dataset(bands, attrs=facts | declared)


def _open_stack(path: Path) -> xr.DataArray:
    import rioxarray

    stack = rioxarray.open_rasterio(path, chunks={"band": 1, "y": -1, "x": -1})
    assert isinstance(stack, xr.DataArray)
    return stack


def _bands_of(stack: xr.DataArray, quantity: str, attrs: Mapping[str, str]) -> dict[str, xr.DataArray]:
    """Return the bands of a (band, y, x) stack by the names in its band descriptions."""
    bands = {}
    for position, band in enumerate(stack.attrs["long_name"]):
        bands[band] = stack.isel(band=position, drop=True).rename(band)
        bands[band].attrs = {"long_name": f"{band}, {quantity}", **attrs}
        bands[band].encoding = {"grid_mapping": "spatial_ref"}
    return bands


def _open_grid(path: Path) -> xr.Dataset:
    """Open one GeoTIFF as a lazy Dataset of bands, with the scene's metadata as attrs and a scalar `time`."""
    stack = _open_stack(path)
    tags = stack.attrs
    # GDAL's tags are text that rioxarray reads as a number: 2.04 was "02.04".
    band_attrs = {
        "product_level": tags["product_level"],
        "s2:processing_baseline": f"{float(tags['processing_baseline']):05.2f}",
    }
    stack = stack.assign_coords(time=np.datetime64(tags["datetime"].removesuffix("Z"), "ns"))
    # Without "as DN = reflectance * 10000": attributes outlive the conversion.
    quantity = tags["quantity"].partition(" as DN")[0]
    bands = _bands_of(stack, quantity, band_attrs)
    origin = {key: tags[key] for key in ("title", "source", "attribution")}
    return xr.Dataset(bands, attrs={**origin, **band_attrs, "s2:mgrs_tile": tags["mgrs_tile"]})
