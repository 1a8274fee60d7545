"""Synthetic Sentinel-2 cubes of any size, lazy, with the high-resolution truth they were seen from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ...errors import GridError
from ...simulate.random_field import Chance, FloatArray
from . import sensor
from .landscape import Ground, survey
from .surfaces import BANDS, spectra_on
from .wishes import Dates, Times, read_bands, read_dates, read_floods, read_noise, read_pair, read_size, read_whole

if TYPE_CHECKING:
    import dask.array as da

CRS = "EPSG:32633"

GRIDS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "r10m": (10, ("B02", "B03", "B04", "B08")),
    "r20m": (20, ("B05", "B06", "B07", "B8A", "B11", "B12")),
}
"""GSD in metres and bands of the sensor's grids."""

WINDOW_M = 1_280
"""Side of the windows that a block is drawn in: their fine pixels stay in the processor's cache."""

LARGEST_TRUTH = 256
"""Side of the largest chunk of truth, in 10 m pixels: ten float32 bands at 2.5 m are 42 MB."""


@dataclass(frozen=True)
class World:
    """All that a synthetic scene is a function of.

    scale: fine pixels per 10 m. north_row, west_column: fine pixels from the CRS origin to the scene's corner.
    days: of the year, one per date. stamps: the dates as int64 ns. flood_m: water levels, one per date.
    """

    seed: int
    scale: int
    north_row: int
    west_column: int
    days: tuple[int, ...]
    stamps: tuple[int, ...]
    flood_m: tuple[float, ...]
    noise: float


@dataclass(frozen=True)
class Layer:
    """One grid of a scene. size: fine pixels along a pixel. shape: rows and columns. side: of a chunk, in pixels."""

    bands: tuple[str, ...]
    size: int
    shape: tuple[int, int]
    side: int


def simulate_scene(
    size: int | tuple[int, int] = 256,
    dates: Dates = "2023-06-15",
    seed: int = 0,
    *,
    bands: Sequence[str] | None = None,
    scale: int = 4,
    chunks: int = 512,
    flood_m: float | Sequence[float] = 0.0,
    noise: float = 1.0,
    origin: tuple[int, int] = (600_000, 5_400_000),
) -> xr.DataTree:
    """Make a synthetic Sentinel-2 cube with known truth, lazily; 100 000 x 100 000 pixels are built at once.

    size: rows and columns of 10 m pixels; even where 20 m bands are wanted. dates: one or more, each once; or a whole
    number, for that many, five days apart from 15 June 2023 on. bands: canonical names, all ten by default. scale: fine
    pixels per 10 m pixel. chunks: side of a chunk in 10 m pixels. flood_m: water level above the usual one in metres,
    for all dates or one for each. noise: times the usual noise; 0 is none. origin: (east, north) of the upper left
    corner in EPSG:32633, multiples of 60 m.

    Returns a DataTree with
    `lr/r10m`, `lr/r20m`: Datasets of bands (time, y, x), uint16 DN with the offset -1000 of L2A since baseline 04.00,
    so `scene["lr"].sr.upscale(...)` works, and `scene["lr/r10m"].to_dataset()` is an ordinary cube;
    `hr`: a Dataset of the same bands (time, y, x), float32 reflectance at 10 / scale m: what the sensor looked at.

    The land has fields that follow the seasons, woods, roads, villages, yards, rivers and ponds; fine pixels are
    sampled at their centres. The sensor blurs them by each band's MTF, integrates over its pixel and adds noise. A
    value depends on its place, date and band, and on seed, scale, flood and noise: not on chunks, nor on the scene's
    size and origin, so overlapping scenes agree to the last bit. No place on Earth is meant; accuracy measured here is
    accuracy on drawings.

    Raises MissingBandError for bands that Sentinel-2 does not have at 10 m or 20 m, GridError where sizes, dates or
    origin make no scene, OptionError for values of another kind.
    """
    wanted, (height, width) = read_bands(bands), read_size(size)
    scale, chunks, seed = read_whole("scale", scale), read_whole("chunks", chunks), read_whole("seed", seed)
    of_grid = {name: tuple(band for band in members if band in wanted) for name, (_, members) in GRIDS.items()}
    odd = bool(of_grid["r20m"]) and (height % 2 or width % 2)
    if min(height, width, scale, chunks) < 1 or odd:
        raise GridError(
            f"size {height} x {width}, scale {scale} and chunks {chunks} make no scene: all must be positive, and the "
            "size even where 20 m bands are wanted; for an odd one say bands=('B02', 'B03', 'B04', 'B08')."
        )
    origin = read_pair("origin", origin)
    if origin[0] % 60 or origin[1] % 60:
        raise GridError(f"the origin must lie on multiples of 60 m, where all Sentinel-2 grids meet; it is {origin}.")
    times = read_dates(dates)
    world = _world(times, seed, scale, read_floods(flood_m, times.size), read_noise(noise), origin)

    facts = {
        "title": "Synthetic Sentinel-2 scene; no place on Earth",
        "synthetic": "xr_sr.simulate_scene",
        "synthetic_seed": world.seed,
    }
    nodes: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=facts)}
    for name, members in of_grid.items():
        if members:
            gsd_m = GRIDS[name][0]
            layer = Layer(
                bands=members,
                size=gsd_m * scale // 10,
                shape=(height * 10 // gsd_m, width * 10 // gsd_m),
                side=max(1, chunks * 10 // gsd_m),
            )
            level = {"product_level": "L2A", "s2:processing_baseline": sensor.BASELINE, "nodata": 0}
            stack = _lay_out(_observe, np.dtype("uint16"), world, layer)
            nodes[f"/lr/{name}"] = _dataset(stack, layer, times, origin, gsd_m, facts, level)
    layer = Layer(wanted, 1, (height * scale, width * scale), min(chunks, LARGEST_TRUTH) * scale)
    stack = _lay_out(_reveal, np.dtype("float32"), world, layer)
    truth = {"product_level": "truth", "units": "1"}
    nodes["/hr"] = _dataset(stack, layer, times, origin, 10 / scale, facts, truth)
    return xr.DataTree.from_dict(nodes, name="synthetic")


def _world(
    times: Times, seed: int, scale: int, flood_m: tuple[float, ...], noise: float, origin: tuple[int, int]
) -> World:
    """Gather what the scene is a function of."""
    days = (times.astype("datetime64[D]") - times.astype("datetime64[Y]").astype("datetime64[D]")).astype("int64") + 1
    return World(
        seed=seed,
        scale=scale,
        north_row=-origin[1] * scale // 10,
        west_column=origin[0] * scale // 10,
        days=tuple(days.tolist()),
        stamps=tuple(times.astype("int64").tolist()),
        flood_m=flood_m,
        noise=noise,
    )


def _lay_out(kernel: Callable[..., Any], dtype: np.dtype[Any], world: World, layer: Layer) -> da.Array:
    """Make a lazy (time, band, y, x) array: one date, all bands and `side` x `side` pixels a chunk."""
    import dask.array as da
    from dask.array.core import normalize_chunks

    shape = (len(world.days), len(layer.bands), *layer.shape)
    chunks = normalize_chunks((1, len(layer.bands), layer.side, layer.side), shape=shape)
    options = {"dtype": dtype, "meta": np.empty((0, 0, 0, 0), dtype=dtype), "world": world, "layer": layer}
    stack: da.Array = da.map_blocks(kernel, chunks=chunks, **options)
    return stack


def _dataset(
    stack: da.Array,
    layer: Layer,
    times: Times,
    origin: tuple[int, int],
    gsd_m: float,
    facts: Mapping[str, object],
    level: Mapping[str, object],
) -> xr.Dataset:
    """Return the bands of a (time, band, y, x) array as variables on a north-up grid."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    from ...cube.grid import coords

    geobox = GeoBox(layer.shape, Affine(gsd_m, 0, origin[0], 0, -gsd_m, origin[1]), CRS)
    places = {"time": times, **coords(geobox)}
    meta = np.empty((0, 0, 0), dtype=stack.dtype)
    variables = {}
    for position, band in enumerate(layer.bands):
        plane = stack.map_blocks(_take_band, position, drop_axis=1, dtype=stack.dtype, meta=meta)  # type: ignore[arg-type]
        variables[band] = xr.DataArray(plane, places, ("time", "y", "x"), attrs=dict(level))
        variables[band].encoding["grid_mapping"] = "spatial_ref"
    return xr.Dataset(variables, attrs={**facts, **level})


def _take_band(block: npt.NDArray[Any], position: int) -> npt.NDArray[Any]:
    """Take one band of (time, band, y, x)."""
    return block[:, position]


def _observe(*, world: World, layer: Layer, block_id: tuple[int, int, int, int]) -> npt.NDArray[np.uint16]:
    """Compute a block of what the sensor sees, (1, band, y, x) DN."""
    date, size, side = block_id[0], layer.size, layer.side
    pad = max(sensor.padding(band, size) for band in layer.bands)
    height, width = _block_shape(layer, block_id)
    seen = np.empty((1, len(layer.bands), height, width), dtype="uint16")
    # Positions count from the CRS origin, so that noise, too, belongs to the place.
    top, left = world.north_row // size + block_id[2] * side, world.west_column // size + block_id[3] * side
    for y, x in _windows(height, width, max(1, WINDOW_M * world.scale // (10 * size))):
        row, column = np.arange(top + y.start, top + y.stop), np.arange(left + x.start, left + x.stop)
        fine_row = np.arange(row[0] * size - pad, (row[-1] + 1) * size + pad)
        fine_column = np.arange(column[0] * size - pad, (column[-1] + 1) * size + pad)
        ground = survey(world.seed, fine_row, fine_column, 10 / world.scale)
        for position, (band, fine) in enumerate(_reflect(world, ground, layer.bands, date)):
            spare = pad - sensor.padding(band, size)
            inner = fine[spare : fine.shape[0] - spare, spare : fine.shape[1] - spare]
            chance = Chance(world.seed ^ world.stamps[date], 100 + BANDS.index(band))
            reflectance = sensor.integrate(inner, band, size)
            seen[0, position, y, x] = sensor.digitise(reflectance, chance, row, column, world.noise)
    return seen


def _reveal(*, world: World, layer: Layer, block_id: tuple[int, int, int, int]) -> FloatArray:
    """Compute a block of the truth, (1, band, y, x) reflectance."""
    height, width = _block_shape(layer, block_id)
    truth = np.empty((1, len(layer.bands), height, width), dtype="float32")
    top, left = world.north_row + block_id[2] * layer.side, world.west_column + block_id[3] * layer.side
    for y, x in _windows(height, width, max(1, WINDOW_M * world.scale // 10)):
        row, column = np.arange(top + y.start, top + y.stop), np.arange(left + x.start, left + x.stop)
        ground = survey(world.seed, row, column, 10 / world.scale)
        for position, (_, fine) in enumerate(_reflect(world, ground, layer.bands, block_id[0])):
            truth[0, position, y, x] = fine
    return truth


def _block_shape(layer: Layer, block_id: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return the height and width of a block; the last ones are smaller."""
    height, width = (length - layer.side * number for length, number in zip(layer.shape, block_id[2:], strict=True))
    return min(layer.side, height), min(layer.side, width)


def _windows(height: int, width: int, step: int) -> Iterator[tuple[slice, slice]]:
    """Cut a block into windows of at most step x step pixels."""
    for y in range(0, height, step):
        for x in range(0, width, step):
            yield slice(y, min(y + step, height)), slice(x, min(x + step, width))


def _reflect(world: World, ground: Ground, bands: tuple[str, ...], date: int) -> Iterator[tuple[str, FloatArray]]:
    """Return the reflectance of the ground on a date, band by band, (y, x) float32, never below 0.001."""
    label = ground.flooded(world.flood_m[date]).astype("intp")
    lightness = ground.tone + np.float32(1)
    for band, base, swing in zip(bands, *spectra_on(world.days[date], bands), strict=True):
        fine = base.take(label, mode="clip")
        fine *= lightness
        growth = swing.take(label, mode="clip")
        growth *= ground.vigour
        fine += growth
        yield band, np.maximum(fine, np.float32(0.001), out=fine)
