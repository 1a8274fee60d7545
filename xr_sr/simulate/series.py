"""Degrade a fine image to a series of dates with known shifts, clouds, haze, change and seasons.

Options and cubes only: what a sensor sees is handled in `degradation`, what differs between dates in `conditions`,
`sky` and `blocks`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import check_number, check_whole
from ..cube.coordinates import coords
from ..cube.grid import crs_coord_name, pixel_size_m
from ..cube.names import listed
from ..errors import BandWarning, CubeError, OptionError, warn_caller
from ..radiometry.written import converted_if_written
from . import blocks
from .conditions import DateConditions, PerDate, Shifts, drawn, read_conditions
from .dates import SceneDates, Times, read_dates
from .degradation import GridLike, Kernels, Mtf, NoiseModel, degrade, moves_of, noise_of
from .images import ImageCube, read, sorted_variables
from .sky import Positions, changes_of, season, sky_of

BandShifts: TypeAlias = "float | Mapping[Hashable, tuple[float, float]] | None"
"""Misregistration: (dy, dx) by band, or the largest one along an axis, to be drawn."""

DATES = 8

COARSE_M = 10.0
"""Side of a coarse pixel without a CRS."""

SCL_ATTRS = {
    "long_name": "scene classification: 7 ground, 8 edge of a cloud, 9 cloud",
    "flag_values": np.array([7, 8, 9], dtype="uint8"),
    "flag_meanings": "unclassified cloud_medium_probability cloud_high_probability",
}

MASK_ATTRS = {"long_name": "ground that is other than before the change"}

DATE_ATTRS = {
    "displacement_y": {"long_name": "displacement of the content along y, down is positive", "units": "pixel"},
    "displacement_x": {"long_name": "displacement of the content along x, right is positive", "units": "pixel"},
    "applied_gain": {"long_name": "factor of the measured reflectance", "units": "1"},
}


def degrade_series(
    hr: xr.DataArray | xr.Dataset,
    factor: float | None = None,
    *,
    dates: SceneDates | None = None,
    gsd: float | None = None,
    like: GridLike | None = None,
    mtf: Mtf = None,
    kernel: Kernels = None,
    noise: NoiseModel = None,
    noise_gain: float = 1.0,
    shifts: Shifts = 0.5,
    band_shifts: BandShifts = None,
    gains: PerDate = 0.0,
    clouds: PerDate = 0.0,
    haze: PerDate = 0.0,
    change: float = 0.0,
    changed_from: int | str | np.datetime64 | None = None,
    phenology: float = 0.0,
    reference: int = 0,
    seed: int = 0,
    snap: bool = False,
) -> xr.DataTree:
    """Degrade a fine image to a series of dates that a coarser sensor saw, each with known displacement and weather.

    hr: as in `degrade`, (band, y, x) or a Dataset: the ground on the date `reference`; or with a dimension of dates,
        the ground on each, and then without dates=.
    factor, gsd, like, snap, mtf, kernel, noise, noise_gain: as in `degrade`. Noise differs by date.
    dates: the dates, or their number, by default 8: five days apart from 2023-06-15.
    reference: position of a date that is not displaced and has a gain of 1 where these are drawn.
    shifts: displacement of the content of each date, all bands alike, in coarse pixels, down and right positive: a
        number, within which each is drawn uniformly along y and x; or (dy, dx) for each date.
    band_shifts: misregistration, added to it: (dy, dx) by band, the same on all dates; or a number, within which
        it is drawn for each date and band.
    gains: factor of the measured reflectance: a number, drawn within 1 +- it; or one for each date.
    clouds: fraction of the scene under opaque clouds, 0 to 1, for all dates or one for each; edges are soft, about
        40 m wide. haze: reflectance that a smooth veil adds in B02, on average; less in longer wavelengths.
    change: fraction of the ground, 0 to 1, that is other ground from `changed_from` on (a date or its position; by
        default the middle date): patches of some 100 m with what lies half an image away.
    phenology: by how much the near infrared rises from January to July, 0 to 0.5, on average: by nothing to twice as
        much from place to place; the visible falls by half of it.
    seed: of everything that is drawn. Values depend on seed, date, band and place, not on chunks.

    Returns a DataTree, lazy, reflectance as floats, with two Datasets of bands (time, y, x):
    `lr`: what was seen, with the coordinates `displacement_y`, `displacement_x` (coarse pixels) and `applied_gain` by
        date; with clouds also `SCL`, 9 where they are opaque by half or more, 8 on their edges, 7 elsewhere.
    `hr`: the ground on each date, all dates on the grid of `hr`, without displacement, haze, clouds, gain and noise;
        `displace(hr, lr)` moves it to where each date of `lr` shows it. With change also `change_mask`, where it is
        other ground than before.
    `align` measures the negative of the displacement: the shift that takes a date back.
    Pixels at the edge see what lies on `hr` alone, and are NaN where that is less than half. Without a CRS, a coarse
    pixel counts as 10 m.
    Raises what `degrade` raises, CubeError for dimensions beside time, band, y and x, OptionError for numbers out of
    range, GridError where there are more or fewer of them than dates.
    """
    check_whole("seed", seed)
    change = check_number("change", change, least=0, most=1)
    phenology = check_number("phenology", phenology, least=0, most=0.5)
    check_number("noise_gain", noise_gain, least=0)
    image = _read(hr, dates)
    conditions = read_conditions(
        image.times,
        seed=seed,
        shifts=shifts,
        gains=gains,
        clouds=clouds,
        haze=haze,
        changed_from=changed_from,
        reference=reference,
    )
    moves = _moves(image, conditions, band_shifts, seed)
    options: dict[str, Any] = {"gsd": gsd, "like": like, "mtf": mtf, "kernel": kernel, "snap": snap}
    still = read(degrade(image.on(0), factor, **options))
    coarse, fine = still.grid.geobox, image.cube.grid.geobox
    near, far = _places(fine, coarse)
    extent = near.extent(fine.shape.yx)
    patches = changes_of(seed, change, extent)
    skies = tuple(sky_of(seed, one.stamp, one.clouds, one.haze, extent) for one in conditions)
    since = conditions[reference].day
    ground, views = [], []
    for number, one in enumerate(conditions):
        array = image.on(number)
        rise = tuple(season(band, phenology, one.day, since) for band in image.cube.bands)
        ground.append(blocks.altered(array.data, near, patches if one.changed else None, rise, seed))
        views.append(degrade(array.copy(data=ground[-1]), factor, shifts=moves[number], **options))

    lr = image.series([view.data for view in views], coarse)
    added = noise_of(read(lr), coarse, noise, noise_gain, seed)
    gained = tuple(one.gain for one in conditions)
    lr = lr.copy(data=blocks.seen(lr.data, skies, gained, image.cube.bands, added, far))
    truth = image.series(ground, fine)
    made: dict[Hashable, Any] = {
        "xr_sr:series": f"{len(conditions)} dates, seed {seed}, reference {image.times[reference]:.10}"
    }
    seen = image.dataset(lr, {**still.source.attrs, **made}).assign_coords(date_coords(conditions))
    reference_images = image.dataset(truth, {**image.cube.source.attrs, **made})
    dims = ("time", image.cube.y, image.cube.x)
    if any(sky.clouds.any for sky in skies):
        seen["SCL"] = (dims, blocks.classes(skies, (lr.data.chunks[0], *lr.data.chunks[2:]), far), SCL_ATTRS)
    if patches.any:
        changed = tuple(one.changed for one in conditions)
        mask = blocks.replaced(patches, changed, (truth.data.chunks[0], *truth.data.chunks[2:]), near)
        reference_images["change_mask"] = (dims, mask, MASK_ATTRS)
    return xr.DataTree.from_dict({"/lr": seen, "/hr": reference_images}, name="series")


@dataclass(frozen=True, eq=False)
class _Fine:
    """The fine image. cube: (time?, band, y, x). times: of the series."""

    cube: ImageCube
    times: Times

    def on(self, date: int) -> xr.DataArray:
        """Return what there is for a date, (band, y, x)."""
        array = self.cube.array
        return array.isel({self.cube.lead[0]: date}, drop=True) if self.cube.lead else array

    def series(self, dates: list[da.Array], geobox: GeoBox) -> xr.DataArray:
        """Join (band, y, x) arrays of dates to (time, band, y, x) on a grid."""
        band = str(self.cube.band_dim)
        placed = coords(geobox, crs_coord_name(self.cube.source), dims=(self.cube.y, self.cube.x))
        joined = da.stack(dates)
        return xr.DataArray(
            joined.rechunk((1, *joined.chunks[1:])),
            {"time": self.times, band: list(self.cube.labels), **placed},
            ("time", band, self.cube.y, self.cube.x),
        )

    def dataset(self, series: xr.DataArray, attrs: Mapping[Hashable, Any]) -> xr.Dataset:
        """Return the bands of a series as variables."""
        band = str(self.cube.band_dim)
        name = crs_coord_name(self.cube.source)
        made = xr.Dataset(attrs=attrs)
        for position, label in enumerate(self.cube.labels):
            made[label] = series.isel({band: position}, drop=True).assign_attrs({"units": "1"})
            if name in made.coords:
                made[label].encoding["grid_mapping"] = name
        return made


def _read(hr: xr.DataArray | xr.Dataset, dates: SceneDates | None) -> _Fine:
    """Read the fine image and the dates. Raises CubeError for dimensions beside those of dates, bands, y and x."""
    if isinstance(hr, xr.Dataset):
        hr = converted_if_written(hr)
        light, left, _ = sorted_variables(hr)
        if left:
            warn_caller(f"{listed(left)}: no reflectance, so the result leaves this out.", BandWarning)
        hr = xr.Dataset(light, attrs=hr.attrs).to_dataarray("band").assign_attrs(hr.attrs)
    image = read(hr, "hr")
    if image.band_dim is None:
        image = read(image.source.drop_vars("band", errors="ignore").expand_dims(band=[image.labels[0]]), "hr")
    if not image.lead:
        return _Fine(image, read_dates(DATES if dates is None else dates))
    dim = image.lead[0]
    if len(image.lead) > 1 or dim not in image.array.coords or image.array[dim].dtype.kind != "M":
        raise CubeError(
            f"hr has the dimensions {list(image.lead)} beside band, y and x; expected none, or one of dates with a "
            f"coordinate of datetime64. Select one image: hr.isel({dim}=0)."
        )
    if dates is not None:
        raise OptionError(
            f"dates= cannot be combined with the dates of hr, along {dim!r}: leave it out to use those, or select the "
            f"ground of one date, hr.isel({dim}=0)."
        )
    return _Fine(image, read_dates(image.array[dim].values))


def _places(fine: GeoBox, coarse: GeoBox) -> tuple[Positions, Positions]:
    """Locate the pixels of both grids, in meters from the origin of the CRS; without a CRS, of the fine image."""
    sizes = pixel_size_m(fine)
    place = ~fine.affine @ coarse.affine
    ratios = abs(place.e), abs(place.a)
    if sizes is None:
        sizes = COARSE_M / ratios[0], COARSE_M / ratios[1]
    start = (fine.affine.f / fine.affine.e, fine.affine.c / fine.affine.a) if fine.axis_aligned else (0.0, 0.0)
    first = (start[0] + place.f) / ratios[0], (start[1] + place.c) / ratios[1]
    # Whole numbers as such: crops of one grid then agree to the last bit.
    (top, left), (row, column) = ((_rounded(one), _rounded(other)) for one, other in (start, first))
    return Positions((top, left), sizes), Positions((row, column), (sizes[0] * ratios[0], sizes[1] * ratios[1]))


def _rounded(place: float) -> float:
    return float(round(place)) if abs(place - round(place)) < 1e-4 else place


def _moves(
    image: _Fine, conditions: tuple[DateConditions, ...], band_shifts: BandShifts, seed: int
) -> list[dict[Hashable, tuple[float, float]]]:
    """Return for each date the (dy, dx) of each band in coarse pixels, misregistration added."""
    given = moves_of(image.cube.source, band_shifts, "band_shifts") if isinstance(band_shifts, Mapping) else {}
    limit = 0.0 if band_shifts is None or given else check_number("band_shifts", band_shifts, least=0)
    moves = []
    for one in conditions:
        of_bands = {}
        for label, band in zip(image.cube.labels, image.cube.bands, strict=True):
            own = given.get(label, given.get(band, drawn(limit, seed, "band", str(band or label), one.stamp)))
            of_bands[label] = (one.shift[0] + own[0], one.shift[1] + own[1])
        moves.append(of_bands)
    return moves


def date_coords(conditions: tuple[DateConditions, ...], scale: float = 1.0) -> dict[str, xr.Variable]:
    """Return displacements and gains as coordinates along time. scale: pixels of the grid per pixel of the shifts."""
    values = {
        "displacement_y": [one.shift[0] * scale for one in conditions],
        "displacement_x": [one.shift[1] * scale for one in conditions],
        "applied_gain": [one.gain for one in conditions],
    }
    return {name: xr.Variable(("time",), numbers, DATE_ATTRS[name]) for name, numbers in values.items()}
