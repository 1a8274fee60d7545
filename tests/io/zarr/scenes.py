"""Cubes to store: small, georeferenced, lazy, and able to tell how often their kernel was called."""

from __future__ import annotations

from collections.abc import Sequence

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

NORTH_UP = GeoBox((40, 56), Affine(2.5, 0, 5e5, 0, -2.5, 4.6e6), "EPSG:32633")

BANDS = ("B04", "B03")
DATES = np.array(["2023-01-01T10:00:31.024", "2023-01-06", "2023-01-11"], dtype="datetime64[ns]")


class CountingKernel:
    """A kernel that doubles and counts its calls; with `fails_at` it raises at that call."""

    def __init__(self, fails_at: int | None = None, error: BaseException | None = None) -> None:
        self.calls = 0
        self.fails_at = fails_at
        self.error = error or RuntimeError("the kernel failed")

    def __call__(self, block: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.calls == self.fails_at:
            raise self.error
        return block * np.float32(2)


def reflectance(*shape: int, seed: int = 5, holes: bool = True) -> np.ndarray:
    """Plausible values on the steps of int16, so that packing loses nothing; a corner and a stripe are NaN."""
    values = (np.random.default_rng(seed).integers(-300, 12_000, shape) / 10_000).astype("float32")
    if holes:
        values[..., :3, :5] = np.nan
        values[..., 20:22, :] = np.nan
    return values


def cube(
    geobox: GeoBox = NORTH_UP,
    *,
    dates: Sequence[np.datetime64] | np.ndarray | None = DATES,
    bands: Sequence[str] | None = BANDS,
    side: int = 16,
    kernel: CountingKernel | None = None,
    values: np.ndarray | None = None,
    name: str | None = "reflectance",
) -> xr.DataArray:
    """A lazy cube (time, band, y, x) with whatever of its leading dimensions is asked for; `side` of its blocks."""
    coords = {str(key): coord for key, coord in xr_coords(geobox).items()}
    dims, shape, chunks = [*list(coords)[:2]], [*geobox.shape], [side, side]
    if bands is not None:
        dims, shape, chunks = ["band", *dims], [len(bands), *shape], [len(bands), *chunks]
        coords["band"] = xr.DataArray(list(bands), dims="band")
    if dates is not None:
        dims, shape, chunks = ["time", *dims], [len(dates), *shape], [1, *chunks]
        coords["time"] = xr.DataArray(np.asarray(dates), dims="time")
    if values is None:
        values = reflectance(*shape)
    lazy = da.from_array(values, chunks=tuple(chunks))
    if kernel is not None:
        lazy = da.map_blocks(kernel, lazy / np.float32(2), dtype="float32", meta=np.empty((0,) * len(shape), "float32"))
    attrs = {"xr_sr:model": "test.x4", "xr_sr:weights_sha256": "ab12", "units": "1"}
    return xr.DataArray(lazy, dims=dims, coords=coords, name=name, attrs=attrs)
