"""Read the scenes of the benchmarks: real ones, and scenes of any size made from a real one.

Real data is read from the shared folder (see its README for sources and licenses).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from benchmarks.harness.runs import shared

RGBN = ("B04", "B03", "B02", "B08")
"""The order in which the network reads its bands."""


@dataclass(frozen=True)
class Scene:
    """A real scene as a lazy cube, a DataTree where its bands have two grids; options: of `upscale`, for this scene."""

    name: str
    cube: Any
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def dsen2() -> NDArray[np.uint16]:
    """Read a real scene: (4, 600, 600) DN in the order of RGBN, without nodata."""
    archive = np.load(shared() / "data" / "s2_l1c_dsen2" / "S2A_MSIL1C_20170527_T33UUB.npz")
    return np.ascontiguousarray(np.moveaxis(archive["im10"], -1, 0))


def spyndex() -> NDArray[np.uint16]:
    """Read another: (4, 300, 300) DN in the order of RGBN."""
    return np.ascontiguousarray(np.load(shared() / "data" / "s2_spyndex" / "S2_10m.npz")["data"][[2, 1, 0, 3]])


def example() -> NDArray[np.float32]:
    """Read the network's own example: (4, 128, 128) reflectance in the order of RGBN."""
    from safetensors.numpy import load_file

    lr = load_file(shared() / "weights" / "SEN2SRLite" / "main" / "example_data.safetensor")["lr"]
    return np.ascontiguousarray(lr[0, [2, 1, 0, 6]])


def mirrored(start: int, stop: int, side: int) -> NDArray[np.intp]:
    """Return the pixels of a scene of `side` pixels at start to stop of its endless mirrored repetition."""
    place = np.arange(start, stop) % (2 * side)
    return np.where(place < side, place, 2 * side - 1 - place)


def mosaic(scene: NDArray[Any], rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
    """Cut a rectangle out of the endless mirrored repetition of a scene (band, y, x): cheap, real values, no edges."""
    return scene[:, mirrored(*rows, scene.shape[1])[:, None], mirrored(*columns, scene.shape[2])]


def geobox(height: int, width: int) -> GeoBox:
    """Return a 10 m grid in UTM."""
    return GeoBox((height, width), Affine(10, 0, 330_000, 0, -10, 5_822_040), "EPSG:32633")


def cube(data: Any, bands: tuple[str, ...] = RGBN) -> xr.DataArray:
    """Wrap (band, y, x) as a georeferenced cube."""
    place = xr_coords(geobox(*data.shape[-2:]))
    return xr.DataArray(data, dims=("band", "y", "x"), coords={"band": list(bands), **place})


def reflectance(side: int) -> NDArray[np.float32]:
    """Make a scene in memory: (4, side, side) float32 reflectance."""
    return mosaic(dsen2(), (0, side), (0, side)).astype("float32") * np.float32(1e-4)


def lazy_dn(side: int, chunk: int = 512) -> xr.DataArray:
    """Make a lazy cube of uint16 DN, each chunk made on demand, at the cost of a copy."""
    import dask.array as da

    sizes = (chunk,) * (side // chunk) + ((side % chunk,) if side % chunk else ())
    meta = np.empty((0, 0, 0), np.uint16)
    return cube(da.map_blocks(_block, dsen2(), chunks=((4,), sizes, sizes), dtype=np.uint16, meta=meta))


def _block(scene: NDArray[Any], block_info: dict[Any, Any] | None = None) -> NDArray[Any]:
    assert block_info is not None
    _, rows, columns = block_info[None]["array-location"]
    return mosaic(scene, rows, columns)


def real_scenes() -> Iterator[Scene]:
    """Open the real scenes with the bands of RGBN, one after the other."""
    import rioxarray

    data = shared() / "data"
    yield Scene("spyndex", cube(spyndex()), {"offset": 0})
    yield Scene("DSen2", cube(dsen2()), {"offset": 0}, "L1C")
    patagonia = rioxarray.open_rasterio(data / "s2_patagonia_10_20m" / "s2_10m.tif", chunks={})
    assert isinstance(patagonia, xr.DataArray)
    yield Scene("Patagonia", patagonia.assign_coords(band=["B02", "B03", "B04", "B08"]), {"offset": 0})
    names = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
    # Two of the three declare nothing and differ; see the README of the data.
    for chip, place, offset in (
        ("637U_59R_1_3", "Jutland", 0),
        ("433D_629L_3_1", "Araucania", -1000),
        ("609U_541L_3_0", "Ontario", 0),
    ):
        stack = rioxarray.open_rasterio(data / "s2_terramesh" / f"{chip}_S2L2A.tif", chunks={})
        assert isinstance(stack, xr.DataArray)
        note = "snow, offset unclear" if place == "Ontario" else f"offset {offset}"
        stack = stack.assign_coords(band=names).sel(band=list(RGBN))
        yield Scene(f"TerraMesh {place}", stack, {"offset": offset}, note)
    planes = {}
    for band in RGBN:
        path = data / "s2_l1c_brandenburg" / f"T33UUU_20170216T102101_{band}.jp2"
        plane = rioxarray.open_rasterio(path, chunks={"x": 512, "y": 512})
        assert isinstance(plane, xr.DataArray)
        planes[band] = plane.squeeze("band", drop=True)
    yield Scene("Brandenburg", xr.Dataset(planes), {"offset": 0}, "L1C, lossy JPEG 2000")
    flood = rioxarray.open_rasterio(data / "flood_spain" / "Spain_7370579_S2Hand.tif", chunks={})
    assert isinstance(flood, xr.DataArray)
    flood = flood.assign_coords(band=[*names[:10], "B10", *names[10:]]).sel(band=list(RGBN))
    yield Scene("flood in Spain", flood, {"offset": 0, "nodata": 0}, "L1C, EPSG:4326")
    crops = xr.open_dataset(data / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc", chunks={})
    # The variable that holds the CRS would be lost with all that is no band.
    crops = crops.set_coords("crs")[[f"S2-L2A-{band}" for band in RGBN]]
    yield Scene("WorldCereal", crops, {"offset": 0, "nodata": 65535}, "12 months, 2 without data")
