"""The public function `multiframe`: many dates of one place make one finer image for each window of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr

from ..arguments import check_number, is_one_of, shown
from ..cube.select import AnyCube, Cube, recognize
from ..cube.sensors import FOR_MODELS, explains_sensors
from ..cube.time import at_places
from ..cube.windows import TimeWindow, bounds_of, shown_dates, window_text, windows_of
from ..errors import CubeError, OptionError, warns_once
from ..radiometry.cubes import reflectance
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..spec import (
    CALIBRATION_ATTR,
    INTERVAL_LEVEL_ATTR,
    LEAST_LEVEL,
    MAX_SHIFT_ATTR,
    MOST_LEVEL,
    REFERENCE_ATTR,
    REGISTRATION_ATTR,
    WINDOW,
    WINDOW_ATTR,
    WINDOW_DATES,
    Option,
)
from .api import described_as_in_upscale
from .inputs import Chunks, LayoutChoice
from .interval import GivenCalibration, as_array, bounded, calibration_for, factors_of
from .plan import Plan, rebuild
from .planning import plan
from .request import Request
from .series import CubeSeries, JoinedWindow
from .series_block import FIRST, QUALITY, WEIGHT
from .series_recorded import BY_BAND, BY_DATE, NEEDED, region_bounds

MOST_SHIFT = 8.0
"""Longest shift in pixels that may be asked for: all dates are read with as much context."""

LEVEL = 0.9
"""Share of pixels that an interval covers, where none is asked for."""

OWN_NAMES = (*NEEDED, "region_y", "region_x", "bounds")
"""Names in a result that are not those of the cube."""

Shown: TypeAlias = (
    "Literal['latest', 'median'] | str | np.datetime64 | date | Sequence[str | np.datetime64 | date] | xr.DataArray"
)


@warns_once
@explains_sensors(FOR_MODELS)
@described_as_in_upscale
def multiframe(
    obj: AnyCube,
    window: TimeWindow = "30D",
    model: str = "kriging",
    *,
    reference: Shown = "latest",
    max_shift: float = 3.0,
    registration: xr.Dataset | None = None,
    level: float = LEVEL,
    calibrated: bool = True,
    calibration: GivenCalibration = None,
    bands: Sequence[str] | None = None,
    other: AnyCube | None = None,
    layout: LayoutChoice = "auto",
    weights: str | Path | None = None,
    device: str = "auto",
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    mask: xr.DataArray | None = None,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    chunks: Chunks = None,
    allow_gsd: bool = False,
    **options: Option,
) -> xr.Dataset:
    """Join the dates of each window of time to one finer image, lazily: detail that was measured, not guessed.

    Dates of one place have sub-pixel shifts between them, so each samples the ground elsewhere. All valid pixels of a
    window are joined by area-to-point kriging with their shifts, the point spread function and the noise of the band.
    The image is that of one date, the reference, in its own geometry: where other dates show other ground, or nothing
    is gained from them, it is what `upscale(model="kriging")` gives for that date. Bands of 20 m are made from their
    own pixels of that date, guided by the 10 m bands of all dates, which the cube then needs (regression kriging).
    A cube of 20 m bands alone, such as `tree["r20m"]`, is joined like one of 10 m bands, to pixels of 5 m.

    obj: as in `upscale`, with a dimension of dates, in any order; one date is enough.
    window: a length as `resample` takes it: "30D" or timedelta(days=30), counted from the day of the first date, or a
        period of the calendar, such as "1MS", months from the 1st; or dates at which windows begin; or a grouper of
        xarray, such as SeasonResampler; or a DataArray with a label for each date. Windows without a date are left out.
    model: "kriging", or a network of yours that reads several dates, registered with `xr_sr.ModelSpec(dates=...)`. It
        gets the reference, and after it those dates nearest in time whose `region_weight` is above 0, as many as it
        reads: each in the brightness of the reference, and moved by the whole pixels of its shift, so that at most half
        a pixel is left. Where a date is not valid, or there are fewer, it gets the reference again.
    reference: the date that a window's image shows. "latest", its last one; a date, such as cube.time[3], or one for
        each window; or "median", the date that lies nearest to the median of the shifts, of those that show at least
        half as much as the best: these are then measured at once.
    registration: a result of this function, or of it the variables by date and region, whose numbers are used instead
        of measuring them again: for the same cube or a crop of it, with the same windows; values are then those of the
        whole. Compute these few numbers first where the result is written region by region.
    max_shift: the longest shift of a date that is used, along each axis, in input pixels, up to 8; with `registration`
        at least the longest that it has.
    level, calibrated, calibration: as in `interval`, for kriging.
    Other arguments: as in `upscale`; `mask` may have dates.

    What is measured of the dates, each compared with the reference, in regions of about 512 input pixels, there in a
    part of 128 pixels: the one in the middle, unless both dates have clearly more valid pixels in another, or cannot be
    compared in it: the shift (`registration`), the gain and offset of each band (robust), and a weight from 0 to 1,
    lower where a date remains different, as by haze. With kriging, pixel by pixel too: where a date shows more than the
    ground's variance and the noise explain (a change, the edge of a cloud), its weight falls. Clouds should be masked.
    Images of one overpass, less than 10 minutes apart, as of overlapping tiles or a date that is there twice, count
    once where their pixels are identical; the others weigh 0 there.

    Returns a Dataset on the finer grid, `time` holding the date that each image shows, `time_bounds` the bounds of its
    window, from its first moment to the first after it, and `window_dates` the number of its dates. Labels, groupers
    that do not resample, and the last date of a list are bounded by whole days, from the first date to the last. It has
    `estimate`, `std`, `lower` and `upper` as `interval` does; `n_effective` (time, y, x), the sum of the weights of all
    dates, 1 where the reference alone counts, 0 where no date is valid; `weight` (date, y, x), the weight of each date
    of the cube in its window's image, 1 for a reference, 0 where a date is not valid in all bands that are joined.
    In holes of the reference the image is what the other dates give without it, moved to its geometry: of the dates
    that are valid there, the nearest in time of those that count most is shown, perhaps older ground; the weight of the
    reference is 0. NaN where no date is valid.
    A reference that shows too little of a region to be compared there, as under clouds, is filled like this too: the
    other dates are compared with the one that shows most, the anchor, which is shown in its place. Where no other
    region says how these two lie, the image lies as the anchor does there: `shift_quality` of dates compared with it is
    0, and they only fill holes, and change no valid pixel of the reference. Bands of 20 m are NaN where the reference
    is.
    With a network `estimate` comes without `std`, `lower` and `upper`, since it does not know its error; the weight is
    1 where it reads a valid pixel of a date, else 0, and only dates that it reads fill holes.
    By date and region: `shift_y`, `shift_x`, of the content against the reference, in input pixels, positive downward
    and to the right as arrays are stored, `shift_quality`, as in `align`, and `region_weight`; by band too `gain` and
    `offset`, along `measured_band`. A `region_weight` of 0 is that of a date which differs, could not be registered, or
    repeats another image. `region_y_start`, `region_y_stop`, `region_x_start` and `region_x_stop` are the edges of
    regions, in the unit of the CRS; `window` is the date that the image of a date's window shows, one of `time`. None
    of these depends on how arrays are cut. Each date counts in one window. A store grows along one axis:
    `made.drop_dims("date").sr.to_zarr(store)` holds images and grows by windows, `made.drop_dims("time")` in another
    store what lies along dates. A window that is stored is refused once it has other dates, and so are windows with
    another `max_shift`, or another choice of `reference` or `registration`: attributes `xr_sr:*` have these.
    Raises what `upscale` raises, CubeError for a cube without dates or with other dimensions, OptionError for a window,
    a reference, or a model that does not fit, and for arguments that have no meaning for the model.
    """
    check_number("max_shift", max_shift, above=0, most=MOST_SHIFT)
    check_number("level", level, least=LEAST_LEVEL, most=MOST_LEVEL)
    request = Request(
        model,
        bands=bands,
        other=other,
        layout=layout,
        weights=weights,
        device=device,
        mask=mask,
        precision=precision,
        chunks=chunks,
        allow_gsd=allow_gsd,
        options=options,
        joins=True,
    )
    numbers: dict[str, Any] = {"offset": offset, "quantification": quantification, "nodata": nodata}
    times = _times_of(recognize(obj, model_gsd_m="finest"))
    windows = windows_of(times, window)
    converted: AnyCube = reflectance(obj, **numbers)  # type: ignore[type-var]  # of the same kind as obj
    if other is not None:
        beside: AnyCube = reflectance(other, **numbers)  # type: ignore[type-var]
        request = replace(request, other=beside)
    series = CubeSeries.of(converted, request, str(times.dims[0]), float(max_shift), registration)
    used = None
    if not series.plan.spec.dates:
        used = calibration_for(series.plan.spec.name, calibrated, calibration, options, series.plan.wanted)
    elif level != LEVEL or not calibrated or calibration is not None:
        raise OptionError(
            f"level=, calibrated=, calibration=: {series.plan.spec.name!r} does not know the scale of its error, and "
            "its result has no bounds. Leave them out."
        )
    factors = factors_of(used, series.bands, level), factors_of(used, series.coarse_bands, level)
    if series.recorded is not None:
        dates = [series.recorded.shown(series.stamps, each.dates) for each in windows]
        if not is_one_of(reference, ("latest", "median")) and dates != shown_dates(times, windows, reference):
            raise OptionError(
                f"reference={shown(reference)}: registration= was measured against other dates, "
                f"{[str(series.stamps[date])[:10] for date in dates]}. Leave one of them out."
            )
    elif is_one_of(reference, ("median",)):
        dates = [series.nearest_to_median(each) for each in windows]
    else:
        dates = shown_dates(times, windows, reference)
    made = [JoinedWindow.of(series, each, date, factors) for each, date in zip(windows, dates, strict=True)]
    result = _result(series, converted, request, made, level, "none" if used is None else used.note)
    result.attrs |= {
        WINDOW_ATTR: window_text(window),
        REFERENCE_ATTR: _chosen(reference, registration, dates == [each.dates[-1] for each in windows]),
        MAX_SHIFT_ATTR: float(max_shift),
        REGISTRATION_ATTR: "measured" if registration is None else "given",
    }
    return result


def _chosen(reference: Shown, registration: xr.Dataset | None, latest: bool) -> str:
    """Return how the dates that are shown were chosen, now or when shifts were measured. latest: they are the last."""
    if registration is None:
        return next((each for each in ("latest", "median") if is_one_of(reference, (each,))), "given")
    return str(registration.attrs.get(REFERENCE_ATTR, "latest" if latest else "given"))


def _times_of(cube: Cube) -> xr.DataArray:
    """Return the dates along the leading dimension. Raises CubeError where there are none, or other dimensions."""
    array = cube.planes[0].array
    if len(cube.lead) != 1:
        found = f"has {list(cube.lead)}" if cube.lead else "has no dimension of dates"
        raise CubeError(
            f"multiframe joins dates along one dimension beside band, y and x; this cube {found}. One date alone: "
            "cube.expand_dims('time'). Other dimensions: select one element of each."
        )
    if cube.lead[0] not in array.coords:
        raise CubeError(f"the dimension {cube.lead[0]!r} has no dates: assign_coords({cube.lead[0]}=...).")
    if cube.lead[0] in OWN_NAMES:
        raise CubeError(
            f"the dimension of dates is called {cube.lead[0]!r}, a name that results of multiframe have for something "
            f"else. Rename it: cube.rename({cube.lead[0]}='time')."
        )
    times: xr.DataArray = array.coords[cube.lead[0]]
    return times


def _result(
    series: CubeSeries, cube: AnyCube, request: Request, joined: Sequence[JoinedWindow], level: float, calibration: str
) -> xr.Dataset:
    """Put windows together, with what was measured of their dates."""
    time, count = series.time, len(series.given)
    shows = [each.dates[0] for each in joined]
    order = [series.given.index(band) for band in series.plan.wanted]
    dates = series.plan.cube.planes[0].array.coords[time]
    beside = None if request.other is None else at_places(request.other, dates, shows)
    # A network says nothing of its error: no deviations follow its estimates.
    last = plan(
        at_places(cube, dates, shows), replace(request, bands=list(series.plan.wanted), other=beside, mask=None)
    )
    parts = []
    for first in (0,) if last.spec.dates else (0, count):
        arrays = [da.stack([each.planes[first + place] for each in joined]) for place in order]
        parts.append(as_array(last, rebuild(last, da.stack(arrays, axis=1))))
    found = {"estimate": parts[0]} if last.spec.dates else bounded(parts[0], parts[1], level)
    grid = parts[0].isel({_band_dim(parts[0], last): 0}, drop=True)
    y, x = last.cube.y, last.cube.x
    grid = grid.transpose(time, y, x)
    counted = grid.copy(data=da.stack([each.planes[-1] for each in joined]))
    dataset = xr.Dataset({**found, "n_effective": _named(counted, "sum of the weights of dates", "dates")})
    places = [date for each in joined for date in each.dates]
    where = np.argsort(places, kind="stable")
    weights = da.concatenate([each.weights for each in joined])[where]
    own = series.stamps[np.array(places)[where]]
    windowed = np.repeat(grid[time].values, [len(each.dates) for each in joined])[where]
    dataset = dataset.assign_coords(
        {
            "date": ("date", own, {"long_name": "date of the cube"}),
            WINDOW: ("date", windowed, {"long_name": "date that the image of the window shows"}),
            "measured_band": ("measured_band", [*series.bands], {"long_name": "band of gain and offset"}),
        }
    )
    facts = _facts(series, joined, where, weights.chunks[0])
    dataset["weight"] = xr.Variable(("date", y, x), weights, {"long_name": "weight of a date", "units": "1"})
    dataset = dataset.assign(facts)
    dataset = dataset.assign_coords(region_bounds(series.rows, series.columns, series.plan.cube.geobox))
    counts = xr.Variable((time,), [len(each.dates) for each in joined], {"long_name": "dates in the window"})
    dataset = dataset.assign_coords(
        {f"{time}_bounds": bounds_of([each.window for each in joined], time), WINDOW_DATES: counts}
    )
    dataset[time].attrs["bounds"] = f"{time}_bounds"
    dataset.attrs = dict(parts[0].attrs)
    if not last.spec.dates:
        dataset.attrs |= {INTERVAL_LEVEL_ATTR: float(level), CALIBRATION_ATTR: calibration}
    return dataset


def _band_dim(array: xr.DataArray, made: Plan) -> str:
    spatial = {*made.cube.lead, made.cube.y, made.cube.x}
    return next(str(dim) for dim in array.dims if dim not in spatial)


def _named(array: xr.DataArray, title: str, units: str) -> xr.DataArray:
    array.attrs = {"long_name": title, "units": units}
    return array


def _facts(
    series: CubeSeries, joined: Sequence[JoinedWindow], where: Any, chunks: tuple[int, ...]
) -> dict[str, xr.Variable]:
    """Return what was measured of all dates: by date and region, and by band too."""
    bands = len(series.bands)
    neutral = np.zeros((len(series.rows) - 1, len(series.columns) - 1, 1, FIRST + 2 * bands))
    neutral[..., [QUALITY, WEIGHT]] = 1
    neutral[..., FIRST : FIRST + bands] = 1
    first = da.from_array(neutral, chunks=-1)
    tables = da.concatenate([da.concatenate([first, each.table], axis=2) for each in joined], axis=2)[:, :, where]
    tables = tables.transpose(2, 0, 1, 3).rechunk({0: chunks})
    dims = ("date", "region_y", "region_x")
    titles = {
        "shift_y": ("shift of the content along y, against the date shown", "pixel"),
        "shift_x": ("shift of the content along x, against the date shown", "pixel"),
        "shift_quality": ("quality of the shift, one half where its error is 0.2 pixels", "1"),
        "region_weight": ("weight of a date in a region", "1"),
    }
    found = {
        name: xr.Variable(dims, tables[..., place], dict(zip(("long_name", "units"), titles[name], strict=True)))
        for name, place in BY_DATE.items()
    }
    for place, (name, title) in enumerate(zip(BY_BAND, ("brightness", "reflectance"), strict=True)):
        start = FIRST + place * bands
        text = {"long_name": f"{name} of {title} against the date shown", "units": "1"}
        found[name] = xr.Variable((*dims, "measured_band"), tables[..., start : start + bands], text)
    return found
