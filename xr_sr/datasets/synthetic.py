"""Simulate Sentinel-2 cubes of any size lazily, with their high-resolution reference.

`landscape` draws the ground, `surfaces` has its spectra; here the sensor sees it (point spread function, integration
over the detector, noise, digital numbers), and the blocks become cubes. What hides the ground on some dates, and
changes it, is drawn in `simulate.sky`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.array.core import normalize_chunks

from ..arguments import check_number
from ..errors import GridError
from ..kernels.psf import MTF_AT_NYQUIST
from ..simulate.blocks import classes, replaced
from ..simulate.conditions import DateConditions, PerDate, Shifts, read_conditions
from ..simulate.dates import SceneDates, Times, days_of, for_each_date, read_dates, read_whole
from ..simulate.noise import Chance, FloatArray, IntArray
from ..simulate.series import MASK_ATTRS, SCL_ATTRS, date_coords
from ..simulate.sky import Blobs, Positions, Sky, changes_of, sky_of
from .arguments import read_bands, read_pair, read_size
from .landscape import Ground, survey
from .surfaces import BANDS, spectra_on

CRS = "EPSG:32633"

OFFSET_DN = -1_000
QUANTIFICATION = 10_000
BASELINE = "05.11"

GRIDS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "r10m": (10, ("B02", "B03", "B04", "B08")),
    "r20m": (20, ("B05", "B06", "B07", "B8A", "B11", "B12")),
}
"""GSD in meters and bands of the sensor's grids."""

WINDOW_M = 1_280
"""Side of the windows in which a block is drawn: their fine pixels fit into the cache of the processor."""

ANOTHER = 0x5EED
"""Changes the seed of the landscape into that of the ground after a change."""

LARGEST_REFERENCE = 256
"""Side of the largest chunk of the reference, in 10 m pixels: ten float32 bands at 2.5 m are 42 MB."""


@dataclass(frozen=True)
class SceneSetup:
    """All that a synthetic scene depends on.

    scale: fine pixels per 10 m. north_row, west_column: fine pixels from the CRS origin to the scene's corner.
    days: of the year, one per date. stamps: the dates as int64 ns. flood_m: water levels, one per date. conditions,
    skies: what differs between dates, one per date. patches: of ground that changes.
    """

    seed: int
    scale: int
    north_row: int
    west_column: int
    days: tuple[int, ...]
    stamps: tuple[int, ...]
    flood_m: tuple[float, ...]
    noise: float
    conditions: tuple[DateConditions, ...]
    skies: tuple[Sky, ...]
    patches: Blobs

    def lie(self, size: int) -> Positions:
        """Locate pixels of so many fine ones, in meters from the CRS origin."""
        start = float(self.north_row // size), float(self.west_column // size)
        return Positions(start, (10 * size / self.scale,) * 2)


@dataclass(frozen=True)
class SceneGrid:
    """One grid of a scene. size: fine pixels along a pixel. shape: rows and columns. side: of a chunk, in pixels."""

    bands: tuple[str, ...]
    size: int
    shape: tuple[int, int]
    side: int


def simulate_scene(
    size: int | tuple[int, int] = 256,
    dates: SceneDates = "2023-06-15",
    seed: int = 0,
    *,
    bands: Sequence[str] | None = None,
    scale: int = 4,
    chunks: int = 512,
    flood_m: float | Sequence[float] = 0.0,
    noise: float = 1.0,
    shifts: Shifts = 0.0,
    gains: PerDate = 0.0,
    clouds: PerDate = 0.0,
    haze: PerDate = 0.0,
    change: float = 0.0,
    changed_from: int | str | np.datetime64 | None = None,
    origin: tuple[int, int] = (600_000, 5_400_000),
) -> xr.DataTree:
    """Simulate a Sentinel-2 cube with its high-resolution reference, lazily and at any size.

    size: rows and columns of 10 m pixels; even with 20 m bands. dates: one or more, or their number: five days apart
    from 2023-06-15. bands: canonical names, all ten by default. scale: fine pixels per 10 m pixel. chunks: side of a
    chunk in 10 m pixels. flood_m: water level above the usual one in meters, for all dates or one for each. noise:
    factor of the usual noise; 0 is none. origin: (east, north) of the upper left corner in EPSG:32633, multiples of 60
    m.
    shifts, gains, clouds, haze, change, changed_from: as in `simulate.degrade_series`, for a series of dates. Shifts
    are in 10 m pixels; where these and gains are drawn, the first date keeps its own. Fractions of clouds and change
    are those of a large area: a small scene has more or less.

    Returns a DataTree with
    `lr/r10m`, `lr/r20m`: Datasets of bands (time, y, x), uint16 DN with the offset -1000 of L2A since baseline 04.00,
    for `scene["lr"].sr.upscale(...)`; `scene["lr/r10m"].to_dataset()` is an ordinary cube;
    `hr`: a Dataset of the same bands (time, y, x), float32 reflectance at 10 / scale m: the reference.
    With shifts or gains, the coordinates `displacement_y`, `displacement_x`, in pixels of the grid, and `applied_gain`
    of `lr` record them; `hr` is not displaced (`simulate.displace(hr, lr)` does that). With clouds, `SCL` in both grids
    shows them; with change, `change_mask` in `hr` shows where it is other ground than before.

    The land has fields that follow the seasons, woods, roads, villages, yards, rivers and ponds; fine pixels are
    sampled at their centers. The sensor blurs them by the MTF of each band, integrates over its pixels and adds noise.
    A value depends on its position, date and band, and on seed, scale, flood, noise and conditions: not on chunks, nor
    on the size and origin of the scene, so overlapping scenes agree to the last bit. Accuracy measured here is accuracy
    on a synthetic landscape, not on any place on Earth.

    Raises MissingBandError for bands that Sentinel-2 does not have at 10 m or 20 m, GridError if sizes, dates or origin
    do not fit together, OptionError for values of the wrong type.
    """
    wanted, (height, width) = read_bands(bands), read_size(size)
    scale, chunks, seed = read_whole("scale", scale), read_whole("chunks", chunks), read_whole("seed", seed)
    of_grid = {name: tuple(band for band in members if band in wanted) for name, (_, members) in GRIDS.items()}
    odd = bool(of_grid["r20m"]) and (height % 2 or width % 2)
    if min(height, width, scale, chunks) < 1 or odd:
        raise GridError(
            f"size={height} x {width}, scale={scale}, chunks={chunks}: all must be positive, and size even with 20 m "
            "bands. For an odd size pass bands=('B02', 'B03', 'B04', 'B08')."
        )
    origin = read_pair("origin", origin)
    if origin[0] % 60 or origin[1] % 60:
        raise GridError(f"origin={origin}: expected multiples of 60 m, where all Sentinel-2 grids share a corner.")
    times = read_dates(dates)
    change = check_number("change", change, least=0, most=1)
    conditions = read_conditions(
        times, seed=seed, shifts=shifts, gains=gains, clouds=clouds, haze=haze, changed_from=changed_from
    )
    world = SceneSetup(
        seed=seed,
        scale=scale,
        north_row=-origin[1] * scale // 10,
        west_column=origin[0] * scale // 10,
        days=days_of(times),
        stamps=tuple(times.astype("int64").tolist()),
        flood_m=for_each_date("flood_m", flood_m, times.size),
        noise=check_number("noise", noise, least=0),
        conditions=conditions,
        skies=tuple(sky_of(seed, one.stamp, one.clouds, one.haze, None) for one in conditions),
        patches=changes_of(seed, change, None),
    )

    facts = {
        "title": "Synthetic Sentinel-2 scene; no place on Earth",
        "synthetic": "xr_sr.simulate_scene",
        "synthetic_seed": world.seed,
    }
    nodes: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=facts)}
    for name, members in of_grid.items():
        if members:
            gsd_m = GRIDS[name][0]
            layer = SceneGrid(
                bands=members,
                size=gsd_m * scale // 10,
                shape=(height * 10 // gsd_m, width * 10 // gsd_m),
                side=max(1, chunks * 10 // gsd_m),
            )
            level = {"product_level": "L2A", "s2:processing_baseline": BASELINE, "nodata": 0}
            stack = _lay_out(_observe, np.dtype("uint16"), world, layer)
            node = _dataset(stack, layer, times, origin, gsd_m, facts, level)
            if any(sky.clouds.any for sky in world.skies):
                flags = classes(world.skies, _flag_chunks(stack), world.lie(layer.size))
                node = node.assign(SCL=(("time", "y", "x"), flags, SCL_ATTRS))
            if any(one.shift != (0, 0) or one.gain != 1 for one in conditions):
                node = node.assign_coords(date_coords(conditions, 10 / gsd_m))
            nodes[f"/lr/{name}"] = node
    layer = SceneGrid(wanted, 1, (height * scale, width * scale), min(chunks, LARGEST_REFERENCE) * scale)
    stack = _lay_out(_reveal, np.dtype("float32"), world, layer)
    level = {"product_level": "truth", "units": "1"}
    nodes["/hr"] = _dataset(stack, layer, times, origin, 10 / scale, facts, level)
    if world.patches.any:
        changed = tuple(one.changed for one in conditions)
        mask = replaced(world.patches, changed, _flag_chunks(stack), world.lie(1))
        nodes["/hr"] = nodes["/hr"].assign(change_mask=(("time", "y", "x"), mask, MASK_ATTRS))
    return xr.DataTree.from_dict(nodes, name="synthetic")


def _flag_chunks(stack: da.Array) -> tuple[tuple[int, ...], ...]:
    """Return the chunks (time, y, x) of flags beside (time, band, y, x) bands."""
    return (stack.chunks[0], *stack.chunks[2:])


def _lay_out(kernel: Callable[..., Any], dtype: np.dtype[Any], world: SceneSetup, layer: SceneGrid) -> da.Array:
    shape = (len(world.days), len(layer.bands), *layer.shape)
    chunks = normalize_chunks((1, len(layer.bands), layer.side, layer.side), shape=shape)
    options = {"dtype": dtype, "meta": np.empty((0, 0, 0, 0), dtype=dtype), "world": world, "layer": layer}
    stack: da.Array = da.map_blocks(kernel, chunks=chunks, **options)
    return stack


def _dataset(
    stack: da.Array,
    layer: SceneGrid,
    times: Times,
    origin: tuple[int, int],
    gsd_m: float,
    facts: Mapping[str, object],
    level: Mapping[str, object],
) -> xr.Dataset:
    """Return the bands of a (time, band, y, x) array as variables on a north-up grid."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    from ..cube.coordinates import coords

    geobox = GeoBox(layer.shape, Affine(gsd_m, 0, origin[0], 0, -gsd_m, origin[1]), CRS)
    places = {"time": times, **coords(geobox)}
    variables = {}
    for position, band in enumerate(layer.bands):
        variables[band] = xr.DataArray(stack[:, position], places, ("time", "y", "x"), attrs=dict(level))
        variables[band].encoding["grid_mapping"] = "spatial_ref"
    return xr.Dataset(variables, attrs={**facts, **level})


def _observe(*, world: SceneSetup, layer: SceneGrid, block_id: tuple[int, int, int, int]) -> npt.NDArray[np.uint16]:
    """Compute a block of what the sensor sees, (1, band, y, x) DN."""
    date, size, side = block_id[0], layer.size, layer.side
    pad = max(padding(band, size) for band in layer.bands)
    height, width = _block_shape(layer, block_id)
    seen = np.empty((1, len(layer.bands), height, width), dtype="uint16")
    # Positions count from the CRS origin, so that noise depends on the position too.
    top, left = world.north_row // size + block_id[2] * side, world.west_column // size + block_id[3] * side
    sky, gain = world.skies[date], world.conditions[date].gain
    # Of the displacement, whole fine pixels move the window, and the rest the point spread function.
    moves = [shift * world.scale for shift in world.conditions[date].shift]
    whole = [round(move) for move in moves]
    rest = (moves[0] - whole[0], moves[1] - whole[1])
    for y, x in _windows(height, width, max(1, WINDOW_M * world.scale // (10 * size))):
        row, column = np.arange(top + y.start, top + y.stop), np.arange(left + x.start, left + x.stop)
        fine_row = np.arange(row[0] * size - pad, (row[-1] + 1) * size + pad) - whole[0]
        fine_column = np.arange(column[0] * size - pad, (column[-1] + 1) * size + pad) - whole[1]
        ground = _ground(world, date, fine_row, fine_column)
        for position, (band, fine) in enumerate(_reflect(world, ground, layer.bands, date)):
            spare = pad - padding(band, size)
            inner = fine[spare : fine.shape[0] - spare, spare : fine.shape[1] - spare]
            chance = Chance(world.seed ^ world.stamps[date], 100 + BANDS.index(band))
            reflectance = integrate(inner, band, size, rest)
            if not sky.clear:
                here = Positions((float(row[0]), float(column[0])), (10 * size / world.scale,) * 2)
                places = here.at((0, row.size), (0, column.size))
                reflectance = sky.over((band,), reflectance[None], *places)[0].astype("float32")
            if gain != 1:
                reflectance = reflectance * np.float32(gain)
            seen[0, position, y, x] = digitize(reflectance, chance, row, column, world.noise)
    return seen


def _reveal(*, world: SceneSetup, layer: SceneGrid, block_id: tuple[int, int, int, int]) -> FloatArray:
    """Compute a block of the reference, (1, band, y, x) reflectance."""
    height, width = _block_shape(layer, block_id)
    reference = np.empty((1, len(layer.bands), height, width), dtype="float32")
    top, left = world.north_row + block_id[2] * layer.side, world.west_column + block_id[3] * layer.side
    for y, x in _windows(height, width, max(1, WINDOW_M * world.scale // 10)):
        row, column = np.arange(top + y.start, top + y.stop), np.arange(left + x.start, left + x.stop)
        ground = _ground(world, block_id[0], row, column)
        for position, (_, fine) in enumerate(_reflect(world, ground, layer.bands, block_id[0])):
            reference[0, position, y, x] = fine
    return reference


def _ground(world: SceneSetup, date: int, row: IntArray, column: IntArray) -> Ground:
    """Draw the ground of a date in a window: where it has changed, that of another landscape."""
    pixel_m = 10 / world.scale
    ground = survey(world.seed, row, column, pixel_m)
    if not (world.conditions[date].changed and world.patches.any):
        return ground
    here = Positions((float(row[0]), float(column[0])), (pixel_m, pixel_m))
    changed = world.patches.height(*here.at((0, row.size), (0, column.size))) > 0
    if not changed.any():
        return ground
    other = survey(world.seed ^ ANOTHER, row, column, pixel_m)
    fields = ((getattr(other, name), getattr(ground, name)) for name in ("label", "tone", "vigour", "height_m"))
    return Ground(*(np.where(changed, now, before) for now, before in fields))


def _block_shape(layer: SceneGrid, block_id: tuple[int, int, int, int]) -> tuple[int, int]:
    height, width = (length - layer.side * number for length, number in zip(layer.shape, block_id[2:], strict=True))
    return min(layer.side, height), min(layer.side, width)


def _windows(height: int, width: int, step: int) -> Iterator[tuple[slice, slice]]:
    for y in range(0, height, step):
        for x in range(0, width, step):
            yield slice(y, min(y + step, height)), slice(x, min(x + step, width))


def _reflect(world: SceneSetup, ground: Ground, bands: tuple[str, ...], date: int) -> Iterator[tuple[str, FloatArray]]:
    """Return the reflectance of the ground on a date, band by band, (y, x) float32, never below 0.001."""
    label = ground.flooded(world.flood_m[date]).astype("intp")
    lightness = ground.tone + 1
    for band, base, swing in zip(bands, *spectra_on(world.days[date], bands), strict=True):
        fine = base.take(label, mode="clip")
        fine *= lightness
        growth = swing.take(label, mode="clip")
        growth *= ground.vigour
        fine += growth
        yield band, np.maximum(fine, 0.001, out=fine)


@cache
def point_spread(band: str, size: int, shift: float = 0.0) -> tuple[float, ...]:
    """Return the weights of fine pixels along an axis for one pixel of a band, `size` fine pixels wide; they sum to 1.

    A box (the detector) convolved with a Gaussian (optics, motion, electronics): at the Nyquist frequency the box
    passes 2 / pi, and the Gaussian the rest of the MTF of the band. Truncated four deviations beyond the edges of the
    pixel. shift: of the content towards larger numbers, within half a fine pixel.
    """
    sigma = size / math.pi * math.sqrt(-2 * math.log(MTF_AT_NYQUIST[band] * math.pi / 2))
    pad = math.ceil(4 * sigma)
    places = [position + 0.5 - size / 2 + shift for position in range(-pad, size + pad)]
    root = sigma * math.sqrt(2)
    weights = [math.erf((place + size / 2) / root) - math.erf((place - size / 2) / root) for place in places]
    return tuple(weight / sum(weights) for weight in weights)


def padding(band: str, size: int) -> int:
    """Return the number of fine pixels beyond the edge of a pixel on which its value depends."""
    return (len(point_spread(band, size)) - size) // 2


def integrate(fine: FloatArray, band: str, size: int, shift: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
    """Blur and integrate a fine image: (y * size + 2 * padding, x * size + 2 * padding) to (y, x), float32.

    shift: (dy, dx) by which the content is displaced, within half a fine pixel.
    """
    down, right = (point_spread(band, size, one) for one in shift)
    # Shifted sums in a fixed order: a value has the same last bit wherever the window begins.
    rows = _decimate(fine, down, size)
    return np.ascontiguousarray(_decimate(np.ascontiguousarray(rows.T), right, size).T)


def _decimate(fine: FloatArray, weights: tuple[float, ...], size: int) -> FloatArray:
    """Blur along the first axis and keep every `size`-th row."""
    count = (fine.shape[0] - len(weights)) // size + 1
    total = np.zeros((count, fine.shape[1]), dtype="float32")
    part = np.empty_like(total)
    for position, weight in enumerate(weights):
        np.multiply(fine[position : position + (count - 1) * size + 1 : size], weight, out=part)
        total += part
    return total


def digitize(
    reflectance: FloatArray, chance: Chance, row: IntArray, column: IntArray, noise: float
) -> npt.NDArray[np.uint16]:
    """Add noise and digitize: (y, x) reflectance to DN, never 0, which would be nodata.

    noise: factor of a standard deviation of 0.0007 plus 0.4 % of the reflectance: a signal-to-noise ratio near 100
    over land.
    """
    if noise > 0:
        deviation = noise * (0.0007 + 0.004 * reflectance)
        reflectance = reflectance + deviation * chance.plane_normal(row, column)
    counts = np.rint(reflectance * QUANTIFICATION - OFFSET_DN)
    digital: npt.NDArray[np.uint16] = np.clip(counts, 1, 65_535).astype("uint16")
    return digital
