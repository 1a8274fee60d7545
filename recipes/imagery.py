"""Read the imagery with which the weights of the package were trained and evaluated.

It is in the shared folder of this project: in the public domain or openly licensed, listed with its license in the
model card (docs/model_card.md). Imagery under a share-alike license, or without a stated one, is used for evaluation
only, never for training. Four bands at 10 m are (band, y, x) in the order of `BANDS`; ten bands in that of `TEN`, where
each pixel of 20 m is repeated on the grid of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_sr.datasets import simulate_scene
from xr_sr.simulate import degrade
from xr_sr.training.scenes import FloatArray, Scene, halved, interpolated, repeated, scenes_of

BANDS = ("B04", "B03", "B02", "B08")

FINE = ("B02", "B03", "B04", "B08")
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
TEN = (*FINE, *COARSE)

COPERNICUS = "contains modified Copernicus Sentinel data"

REFLECTANCE_AT_255 = (0.40, 0.40, 0.40, 0.60)
"""The reflectance assigned to a count of 255 of an aerial camera, whose values are uncalibrated."""

DAKOTA = (20090818, 20100629, 20120731, 20140720, 20150926, 20170827)


def training_scenes(data: Path) -> list[Scene]:
    """Read all training imagery: Sentinel-2, aerial imagery as it is and degraded to 10 m, synthetic scenes."""
    aerial = [scene for pair in aerial_scenes(data) for scene in _as_lr(*pair)]
    return [*sentinel_scenes(data), *aerial, *synthetic_scenes()]


def sentinel_scenes(data: Path) -> Iterator[Scene]:
    """Read the Sentinel-2 imagery for training."""
    dsen2 = np.moveaxis(np.load(data / "s2_l1c_dsen2" / "S2A_MSIL1C_20170527_T33UUB.npz")["im10"], -1, 0)
    yield Scene("DSen2, T33UUB 2017-05-27, L1C", _float(dsen2, 1e-4), 4.0, f"CC BY 4.0; {COPERNICUS}")
    spyndex = np.load(data / "s2_spyndex" / "S2_10m.npz")["data"][[2, 1, 0, 3]]
    yield Scene("spyndex sample, L2A", _float(spyndex, 1e-4), 3.0, f"MIT; {COPERNICUS}")
    patagonia = raster_of(data / "s2_patagonia_10_20m" / "s2_10m.tif").assign_coords(band=["B02", "B03", "B04", "B08"])
    yield from scenes_of(patagonia, BANDS, name="Patagonia", weight=2.0, note=f"MIT; {COPERNICUS}", offset=0)
    months = xr.open_dataset(data / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc")
    months = months.set_coords("crs")[[f"S2-L2A-{band}" for band in BANDS]]
    yield from scenes_of(
        months, BANDS, name="WorldCereal, Belgium", weight=3.0, note=f"MIT; {COPERNICUS}", offset=0, nodata=65535
    )


def aerial_scenes(data: Path) -> Iterator[tuple[str, xr.DataArray, float, str]]:
    """Read the aerial imagery for training, with pixels of 2.5 m or taken as such: name, cube, weight, license."""
    for day in DAKOTA:
        counts = raster_of(data / "hr_naip_nd_5m" / f"m_4709963_se_14_1_{day}.tif")
        values = counts.values[:, 4:-4, 8:-8].astype("float32")
        values[:, (values == 0).all(axis=0)] = np.nan
        gain = np.array(REFLECTANCE_AT_255, "float32")[:, None, None] / 255
        yield f"North Dakota {str(day)[:4]}, 5 m as if 2.5 m", cube_of(values * gain), 0.4, "NAIP, public domain"
    counts = raster_of(data / "hr_noaa_tn_1m" / "20200307aC0853900w361030n.tif")
    counts = counts.rio.write_nodata(0).rio.reproject("EPSG:32616", resolution=2.5, resampling=5)  # average
    red, green, blue = (counts.values[:3].astype("float32") / 255 * 0.4).clip(0)
    # Near infrared was not measured: it is simulated as bright over vegetation, so that four bands can be trained.
    near = (0.12 + 0.4 * green - 0.16 * red + 0.16 * blue).clip(0)
    values = np.stack([red, green, blue, near])
    values[:, (counts.values == 0).all(axis=0)] = np.nan
    yield "Tennessee 2020, 2.5 m, NIR made up", cube_of(values), 2.0, "NOAA, public domain"


def synthetic_scenes() -> Iterator[Scene]:
    """Simulate landscapes as Sentinel-2 would observe them, in three seasons."""
    for seed, day in ((11, "2023-01-20"), (12, "2023-05-10"), (13, "2023-08-25")):
        tree = simulate_scene(384, day, seed=seed, flood_m=1.0 if seed == 12 else 0.0)
        cube, name = tree["lr/r10m"].to_dataset(), f"synthetic, seed {seed}"
        yield from scenes_of(cube, BANDS, name=name, weight=0.5, note="ours")


def held_out_scenes(data: Path) -> dict[str, FloatArray]:
    """Read the held-out places, which are never trained on, as (band, y, x) reflectance."""
    found = {}
    chips = (("637U_59R_1_3", "Jutland", 0), ("433D_629L_3_1", "Araucania", -1000), ("609U_541L_3_0", "Ontario", 0))
    for chip, name, offset in chips:
        stack = raster_of(data / "s2_terramesh" / f"{chip}_S2L2A.tif").values[[3, 2, 1, 7]]
        found[name] = _float(stack.astype("int32") + offset, 1e-4)
    flood = raster_of(data / "flood_spain" / "Spain_7370579_S2Hand.tif").values[[3, 2, 1, 7]]
    return {**found, "Spain": _float(flood, 1e-4)}


def _as_lr(name: str, fine: xr.DataArray, weight: float, note: str) -> Iterator[Scene]:
    """Yield an image with its pixels taken as 10 m, and as Sentinel-2 would observe it at 10 m."""
    yield Scene(f"{name}, taken as 10 m", fine.values, weight, note)
    yield from scenes_of(degrade(fine, factor=4), BANDS, name=f"{name}, seen at 10 m", weight=weight / 2, note=note)


def raster_of(path: Path) -> xr.DataArray:
    """Open a raster as (band, y, x)."""
    import rioxarray

    opened = rioxarray.open_rasterio(path)
    assert isinstance(opened, xr.DataArray)
    return opened


def _float(values: NDArray[Any], gain: float) -> FloatArray:
    return np.ascontiguousarray(values.astype("float32") * np.float32(gain))


def cube_of(values: NDArray[Any], size_m: float = 2.5) -> xr.DataArray:
    """Wrap (band, y, x) as a cube of pixels of this size somewhere in UTM."""
    import rioxarray  # noqa: F401  # registers .rio

    bands, height, width = values.shape
    coords = {
        "band": list(BANDS[:bands]),
        "y": 5_000_000 - size_m * (np.arange(height) + 0.5),
        "x": 500_000 + size_m * (np.arange(width) + 0.5),
    }
    cube = xr.DataArray(values.astype("float32"), dims=("band", "y", "x"), coords=coords)
    referenced: xr.DataArray = cube.rio.write_crs("EPSG:32614")
    return referenced


def ten_band_scenes(data: Path) -> list[Scene]:
    """Read all training imagery of ten bands: Sentinel-2, and aerial imagery with synthetic missing bands."""
    aerial = [
        _with_made_up(name, fine.values, weight / 2, note, seed=seed)
        for seed, (name, fine, weight, note) in enumerate(aerial_scenes(data))
    ]
    scenes = (*_ten_of_sentinel(data), *aerial, *_ten_of_synthetic())
    return [Scene(scene.name, mirrored(scene.values), scene.weight, scene.note) for scene in scenes]


def held_out_ten_bands(data: Path) -> dict[str, FloatArray]:
    """Read the held-out places, which are never trained on: ten bands, those of 20 m interpolated to 10 m."""
    found = {}
    chips = (("637U_59R_1_3", "Jutland", 0), ("433D_629L_3_1", "Araucania", -1000), ("609U_541L_3_0", "Ontario", 0))
    for chip, name, offset in chips:
        stack = raster_of(data / "s2_terramesh" / f"{chip}_S2L2A.tif").values[[1, 2, 3, 7, 4, 5, 6, 8, 10, 11]]
        found[name] = interpolated(_float(stack.astype("int32") + offset, 1e-4), len(COARSE))
    flood = raster_of(data / "flood_spain" / "Spain_7370579_S2Hand.tif").values[[1, 2, 3, 7, 4, 5, 6, 8, 11, 12]]
    return {**found, "Spain": _float(flood, 1e-4)}  # its 20 m bands were resampled by its authors


def _ten_of_sentinel(data: Path) -> Iterator[Scene]:
    """Read real Sentinel-2 imagery; a band that a data set lacks is computed from its neighbors."""
    stored = np.load(data / "s2_l1c_dsen2" / "S2A_MSIL1C_20170527_T33UUB.npz")
    fine, coarse = (np.moveaxis(stored[key], -1, 0) for key in ("im10", "im20"))
    values = repeated(_float(fine[[2, 1, 0, 3]], 1e-4), _float(coarse, 1e-4))
    yield Scene("DSen2, T33UUB 2017-05-27, L1C", values, 6.0, f"CC BY 4.0; {COPERNICUS}")
    folder, product = data / "s2_l1c_brandenburg", "T33UUU_20170216T102101"
    fine, coarse = (
        np.stack([raster_of(folder / f"{product}_{band}.jp2").values[0] for band in bands]) for bands in (FINE, COARSE)
    )
    # Its values come in steps of 8 to 16 DN, which would be learned as edges.
    chance = np.random.default_rng(0)
    fine, coarse = (part + chance.uniform(-6, 6, part.shape) for part in (fine, coarse))
    values = repeated(_float(fine, 1e-4), _float(coarse, 1e-4))
    yield Scene("Brandenburg, 2017-02-16, L1C, dithered", values, 3.0, f"MIT; {COPERNICUS}")
    fine = _float(raster_of(data / "s2_patagonia_10_20m" / "s2_10m.tif").values, 1e-4)
    swir = _float(raster_of(data / "s2_patagonia_10_20m" / "s2_20m.tif").values[:, :100, :150], 1e-4)
    coarse = np.concatenate([_red_edge(halved(fine)), swir])
    yield Scene("Patagonia", repeated(fine, coarse), 1.0, f"MIT; {COPERNICUS}; red edge made up")
    months = xr.open_dataset(data / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc").set_coords("crs")
    bands = (*FINE, *(band for band in COARSE if band != "B8A"))
    kept = months[[f"S2-L2A-{band}" for band in bands]]
    note = f"MIT; {COPERNICUS}; B8A made up"
    for scene in scenes_of(kept, bands, name="WorldCereal, Belgium", weight=3.0, note=note, offset=0, nodata=65535):
        fine, coarse = scene.values[:4], scene.values[4:, ::2, ::2]
        coarse = np.concatenate([coarse[:3], halved(fine)[3:4], coarse[3:]])
        yield Scene(scene.name, repeated(fine, coarse), scene.weight, note)


def mirrored(values: FloatArray, side: int = 256) -> FloatArray:
    """Pad (band, y, x) by reflection to at least `side` pixels, so that a patch with its context fits."""
    rows, columns = (max(0, side - length) for length in values.shape[-2:])
    return np.ascontiguousarray(np.pad(values, ((0, 0), (0, rows), (0, columns)), mode="symmetric"))


def _ten_of_synthetic() -> Iterator[Scene]:
    for seed, day in ((11, "2023-01-20"), (12, "2023-05-10"), (13, "2023-08-25")):
        tree = simulate_scene(384, day, seed=seed, flood_m=1.0 if seed == 12 else 0.0)
        (fine,) = scenes_of(tree["lr/r10m"].to_dataset(), FINE)
        (coarse,) = scenes_of(tree["lr/r20m"].to_dataset(), COARSE)
        yield Scene(f"synthetic, seed {seed}", repeated(fine.values, coarse.values), 0.4, "ours")


def _with_made_up(name: str, values: FloatArray, weight: float, note: str, *, seed: int) -> Scene:
    """Return an image of four bands with its pixels taken as 10 m, and 20 m bands that are mixtures of them."""
    fine = values[[2, 1, 0, 3], : values.shape[1] // 2 * 2, : values.shape[2] // 2 * 2]
    small, chance = halved(fine), np.random.default_rng([2, seed])
    shares = chance.dirichlet(np.ones(4), 2) * chance.uniform(0.6, 1.4, (2, 1))
    swir = np.tensordot(shares, small, 1).astype("float32")
    coarse = np.concatenate([_red_edge(small), swir])
    return Scene(f"{name}, taken as 10 m, 20 m bands made up", repeated(fine, coarse), weight, note)


def _red_edge(small: FloatArray) -> FloatArray:
    """Compute B05, B06, B07 and B8A from B04 and B08 at 20 m, (band, y, x) in the order of `FINE`."""
    red, near = small[2], small[3]
    return np.stack([share * near + (1 - share) * red for share in (0.3, 0.75, 0.95, 1.03)]).astype("float32")
