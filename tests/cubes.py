"""Small synthetic cubes for tests: known numbers on known grids, no files."""

from __future__ import annotations

from collections.abc import Sequence

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr, xr_coords

RGBN = ("B04", "B03", "B02", "B08")
UTM = GeoBox.from_bbox((600_000, 5_800_000, 600_400, 5_800_300), "EPSG:32633", resolution=10)


def reflectance(*shape: int, seed: int = 11) -> np.ndarray:
    """Smooth-looking noise between 0.02 and 0.4, float32."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((*shape[:-2], -(-shape[-2] // 3), -(-shape[-1] // 3)))
    fine = coarse.repeat(3, -2).repeat(3, -1)[..., : shape[-2], : shape[-1]]
    return (0.02 + 0.3 * fine + 0.08 * rng.random(shape)).astype("float32")


def geobox_of(height: int, width: int) -> GeoBox:
    """A UTM grid of 10 m with the corner on multiples of 60 m."""
    return GeoBox((height, width), UTM.affine, UTM.crs)


def array(
    values: np.ndarray, bands: Sequence[str] = RGBN, *, band: str = "band", geobox: GeoBox | None = None
) -> xr.DataArray:
    """(band, y, x) or (time, band, y, x) as a DataArray on a UTM grid of 10 m."""
    geobox = geobox or geobox_of(*values.shape[-2:])
    dims = (*(("time",) if values.ndim == 4 else ()), band, *geobox.dimensions)
    coords = dict(xr_coords(geobox))
    coords[band] = (band, list(bands))
    if values.ndim == 4:
        coords["time"] = ("time", times(values.shape[0]))
    return xr.DataArray(values, dims=dims, coords=coords)


def dataset(values: np.ndarray, bands: Sequence[str] = RGBN, *, geobox: GeoBox | None = None) -> xr.Dataset:
    """The same as a Dataset of bands."""
    geobox = geobox or geobox_of(*values.shape[-2:])
    time = times(values.shape[0]) if values.ndim == 4 else None
    return xr.Dataset({name: wrap_xr(values[..., n, :, :], geobox, time=time) for n, name in enumerate(bands)})


def times(count: int) -> np.ndarray:
    """Dates five days apart."""
    return np.datetime64("2023-06-01T10:30:00", "ns") + np.arange(count) * np.timedelta64(5, "D")


def untouchable(
    geobox: GeoBox, lead: dict[str, int] | None = None, dtype: str = "uint16", *, chunk: int = 3, **attrs: object
) -> xr.DataArray:
    """A lazy (*lead, y, x) that fails when anybody computes it; lead: sizes by name."""
    lead = lead or {}
    shape = (*lead.values(), *geobox.shape)
    zeros = da.zeros(shape, dtype=dtype, chunks=tuple(min(side, chunk) for side in shape))
    data = zeros.map_blocks(_fail, dtype=dtype, meta=np.empty((0,) * len(shape), dtype))
    return xr.DataArray(data, dims=(*lead, *geobox.dimensions), coords=xr_coords(geobox), attrs=attrs)


def _fail(block: np.ndarray) -> np.ndarray:
    raise AssertionError("a pixel was computed")
