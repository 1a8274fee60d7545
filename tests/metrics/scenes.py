"""Triples of LR, SR and HR for tests of metrics: small, seeded, on real grids."""

from __future__ import annotations

import numpy as np
import xarray as xr
from odc.geo.xr import xr_coords
from scipy.ndimage import gaussian_filter

from tests.cubes import RGBN, geobox_of, times
from xr_sr.simulate.resample import downsample, upsample


def on_grid(values: np.ndarray, factor: int = 1, bands: tuple[str, ...] = RGBN) -> xr.DataArray:
    """(band, y, x) or (time, band, y, x) on the 10 m grid, or on one `factor` times finer."""
    height, width = (side // factor for side in values.shape[-2:])
    box = geobox_of(height, width)
    if factor > 1:
        box = box.zoom_to(values.shape[-2:])
    coords = dict(xr_coords(box)) | {"band": ("band", list(bands[: values.shape[-3]]))}
    dims = ("band", "y", "x")
    if values.ndim == 4:
        coords["time"], dims = ("time", times(values.shape[0])), ("time", *dims)
    return xr.DataArray(values.astype("float32"), coords, dims)


def texture(*shape: int, seed: int = 0) -> np.ndarray:
    """Reflectance with structure at every scale, 0.03 to 0.5, (..., y, x)."""
    rng = np.random.default_rng(seed)
    total = np.zeros(shape)
    for sigma in (0.7, 2.0, 6.0):
        wide = (*(0,) * (len(shape) - 2), sigma, sigma)
        noise = gaussian_filter(rng.normal(size=shape), wide, mode="wrap")
        total += noise / noise.std() * sigma**0.5
    return 0.03 + 0.47 / (1 + np.exp(-total))


def triple(
    height: int = 96, width: int = 128, *, scale: int = 4, bands: int = 4, dates: int = 0, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """LR, SR and HR; SR has some of HR's detail, some error, another gain and offset; sizes are HR's."""
    lead = (dates, bands) if dates else (bands,)
    hr = texture(*lead, height, width, seed=seed)
    lr = downsample(hr, scale)
    rng = np.random.default_rng(seed + 1)
    sr = 0.9 * (0.6 * hr + 0.4 * upsample(lr, scale)) + 0.01 + rng.normal(0, 0.003, hr.shape)
    return on_grid(lr), on_grid(sr, scale), on_grid(hr, scale)
