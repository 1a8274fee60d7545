"""Real scenes with ten bands or more, on two grids or on one; for sources and licenses see the shared data's README.

Used by `studies.ten_bands`, `studies.consistency_bands` and `benchmarks.ten_bands_speed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from benchmarks.harness.runs import shared
from benchmarks.harness.scenes import Scene, geobox

FINE = ("B02", "B03", "B04", "B08")
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
COARSEST = ("B01", "B09")
TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

_TERRAMESH = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


def on_grids(bands: dict[str, NDArray[Any]], place: GeoBox) -> xr.DataTree:
    """Put bands of 10, 20 and 60 m, (y, x) each, on their own grids. place: that of the 10 m bands."""
    nodes = {}
    for node, names, ratio in (("r10m", FINE, 1), ("r20m", COARSE, 2), ("r60m", COARSEST, 6)):
        grid = place if ratio == 1 else place.zoom_out(ratio)
        if set(names) <= set(bands):
            nodes[node] = xr.Dataset({name: wrap_xr(bands[name], grid) for name in names})
    return xr.DataTree.from_dict(nodes)


def dsen2_bands() -> dict[str, NDArray[np.float32]]:
    """Read DSen2's scene: reflectance of 12 bands, 600, 300 and 100 pixels a side."""
    archive = np.load(shared() / "data" / "s2_l1c_dsen2" / "S2A_MSIL1C_20170527_T33UUB.npz")
    groups = {"im10": ("B04", "B03", "B02", "B08"), "im20": COARSE, "im60": COARSEST}
    return {
        band: np.ascontiguousarray(archive[key][..., n]).astype("float32") * np.float32(1e-4)
        for key, names in groups.items()
        for n, band in enumerate(names)
    }


def dsen2() -> Scene:
    """Return DSen2's scene on its two grids."""
    bands = {name: values for name, values in dsen2_bands().items() if name not in COARSEST}
    return Scene("DSen2", on_grids(bands, geobox(600, 600)), note="L1C")


def flood() -> tuple[Scene, NDArray[np.int16]]:
    """Open the flood chip, and its label drawn by hand: -1 unknown, 0 dry, 1 water."""
    import rioxarray

    folder = shared() / "data" / "flood_spain"
    stack = rioxarray.open_rasterio(folder / "Spain_7370579_S2Hand.tif", chunks={})
    assert isinstance(stack, xr.DataArray)
    stack = stack.assign_coords(band=[*_TERRAMESH[:10], "B10", *_TERRAMESH[10:]]).sel(band=list(TEN))
    label = rioxarray.open_rasterio(folder / "Spain_7370579_LabelHand.tif").squeeze("band", drop=True)
    options = {"offset": 0, "nodata": 0, "layout": "resampled"}
    return Scene("flood in Spain", stack, options, "L1C, EPSG:4326, resampled"), label.values


def ten_band_scenes() -> Iterator[Scene]:
    """Open the real scenes with all ten bands, one after the other."""
    import rioxarray

    yield dsen2()
    for chip, place, offset in (
        ("637U_59R_1_3", "Jutland", 0),
        ("433D_629L_3_1", "Araucania", -1000),
        ("609U_541L_3_0", "Ontario", 0),
    ):
        stack = rioxarray.open_rasterio(shared() / "data" / "s2_terramesh" / f"{chip}_S2L2A.tif", chunks={})
        assert isinstance(stack, xr.DataArray)
        stack = stack.assign_coords(band=_TERRAMESH).sel(band=list(TEN))
        note = "snow, offset unclear" if place == "Ontario" else f"offset {offset}"
        # Native samples repeated from its first pixel on, wherever the chip was cut.
        bands = {name: stack.sel(band=name).values for name in TEN}
        bands = {name: values[::2, ::2] if name in COARSE else values for name, values in bands.items()}
        yield Scene(f"TerraMesh {place}", on_grids(bands, stack.odc.geobox), {"offset": offset}, note)
    folder, planes = shared() / "data" / "s2_l1c_brandenburg", {}
    for band in TEN:
        plane = rioxarray.open_rasterio(folder / f"T33UUU_20170216T102101_{band}.jp2")
        assert isinstance(plane, xr.DataArray)
        planes[band] = plane.squeeze("band", drop=True)
    tree = xr.DataTree.from_dict(
        {node: xr.Dataset({b: planes[b] for b in names}) for node, names in (("r10m", FINE), ("r20m", COARSE))}
    )
    yield Scene("Brandenburg", tree, {"offset": 0}, "L1C, lossy JPEG 2000")
    yield flood()[0]
