"""The dates of a cube, as `multiframe` joins them: which steps there are, and the lazy arrays of each window."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed

from .. import kernels
from ..catalog import registry
from ..catalog.models import Kriging, Network
from ..cube.select import AnyCube
from ..cube.windows import DateWindow
from ..errors import BandWarning, MissingBandError, ModelError, OptionError, warn_caller
from ..registration.alignment import SHARP
from ..registration.anchors import POOR
from ..tiling.halo import map_tiles
from ..tiling.regions import map_regions
from ..tiling.source import BandArray
from ..tiling.two_resolutions import far
from .inputs import sides_of
from .interval import Factors
from .plan import Plan
from .planning import plan
from .readers import COARSE_STACK
from .request import Request
from .series_block import FILLED, FIRST, WEIGHT, SeriesRecipe, join_block
from .series_guided import GuidedRecipe, join_guided_block, reach_of
from .series_holes import BESIDE as HOLES
from .series_network import BESIDE, NetworkRecipe, fuse_dates_block
from .series_recorded import Recorded
from .series_regions import compare_region, table_of
from .series_repeats import find_repeats, without_repeats
from .series_weights import planes_for, weights_in
from .steps import Step

REGION = 512
"""Side of a region in input pixels, about."""

PASS = np.timedelta64(10, "m")
"""Longest time between two images of one overpass; the next one is about 100 minutes later."""


@dataclass(frozen=True, eq=False)
class CubeSeries:
    """The dates of a cube, as they are joined.

    plan: of the bands that are wanted. step: for bands of the cube's grid, all that are joined; coarse: for bands of
    pixels twice as wide, which these guide. The model is kriging, or a network that reads several dates.
    """

    plan: Plan
    step: Step
    coarse: Step | None
    time: str
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    max_shift: float
    recorded: Recorded | None = None

    @staticmethod
    def of(cube: AnyCube, request: Request, time: str, max_shift: float, registration: object = None) -> CubeSeries:
        """Plan all dates by themselves. Raises OptionError for another model, and for bands of other grids.

        registration: what was measured before, a result.
        """
        model = registry.get(request.model)
        if model.dates:
            made = plan(cube, request)
            if not isinstance(made.spec, Network) or len(made.steps) > 1:
                raise ModelError(
                    f"{model.name!r} returns {list(registry.given_by(model, ()))}; bands={request.bands} has others. "
                    "Leave these out."
                )
            return CubeSeries._with(registration, made, made.steps[0], None, time, max_shift)
        if not isinstance(model, Kriging):
            raise OptionError(
                f"model={request.model!r} computes single images, and cannot join dates. Use model='kriging', or a "
                "network of your own that reads several: xr_sr.ModelSpec(dates=...)."
            )
        made = plan(cube, request)
        assert isinstance(made.spec, Kriging)
        if made.spec.strength != 1:
            raise OptionError("strength=: dates are joined by kriging itself, strength=1. Leave it out.")
        wide = [band for step in made.steps if _ratio(step) > 2 for band in step.bands]
        if wide:
            rest = [band for band in made.wanted if band not in wide]
            if request.bands is not None or not rest:
                raise OptionError(
                    f"bands= has {wide}, with pixels more than twice as wide as the finest, which multiframe does not "
                    "join. Leave them out, and upscale them date by date: upscale(model='kriging')."
                )
            warn_caller(
                f"multiframe does not join {wide}, with pixels of 60 m. To silence this: bands={rest}.", BandWarning
            )
            made = plan(cube, replace(request, bands=rest))
        steps = {_ratio(step): step for step in made.steps}
        if 2 in steps:
            guides = [band for band in made.cube.available if band in SHARP]
            if not guides:
                raise MissingBandError(
                    f"20 m bands are joined with the help of 10 m bands, and the cube has none of {list(SHARP)}. Load "
                    "them too, or pass the 20 m bands as a cube of their own: scale=8, allow_gsd=True."
                )
            fine_bands = steps[1].bands if 1 in steps else ()
            fine = [band for band in made.wanted if band in fine_bands]
            both = [*fine, *(band for band in guides if band not in fine), *steps[2].bands]
            steps = {_ratio(step): step for step in plan(cube, replace(request, bands=both)).steps}
        return CubeSeries._with(registration, made, steps[1], steps.get(2), time, max_shift)

    @staticmethod
    def _with(
        registration: object, made: Plan, step: Step, coarse: Step | None, time: str, max_shift: float
    ) -> CubeSeries:
        """Divide the cube into regions, those of what was measured before, if something was."""
        height, width = made.cube.geobox.shape
        series = CubeSeries(made, step, coarse, time, _edges(height), _edges(width), max_shift)
        if registration is None:
            return series
        recorded = Recorded.of(registration, series.bands, made.cube.geobox)
        return replace(series, rows=recorded.rows, columns=recorded.columns, recorded=recorded)

    @property
    def stamps(self) -> Any:
        """The dates of the cube, as numbers."""
        return np.asarray(self.plan.cube.planes[0].array.coords[self.time].values)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that are joined, as the kernel reads them."""
        return self.plan.spec.bands or self.step.bands

    @property
    def coarse_bands(self) -> tuple[str, ...]:
        """Names of the bands that are guided by them."""
        return () if self.coarse is None else self.coarse.bands

    @property
    def fine_given(self) -> tuple[int, ...]:
        """Positions of the joined bands that are returned, before the guided ones."""
        return tuple(n for n, band in enumerate(self.bands) if band in self.plan.wanted)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the bands that a block returns, in its order."""
        if self.plan.spec.dates:
            return self.step.bands
        return (*(self.bands[place] for place in self.fine_given), *self.coarse_bands)

    @property
    def measured(self) -> list[int]:
        """Indices of the bands that shifts are measured in."""
        return [n for n, band in enumerate(self.bands) if band in SHARP] or [*range(len(self.bands))]

    def planes(self, dates: Sequence[int]) -> list[list[BandArray]]:
        """Return the lazy arrays (y, x) of all bands of some dates, date by date; and of their masks, if there are."""
        return [[(array[date], index) for date in dates for array, index in stack] for stack in self.step.stacks]

    def nearness(self, dates: Sequence[int]) -> tuple[int, ...]:
        """Return the rank in time of each date beside the first one, 0 the nearest; of equal ones the later."""
        apart = [(abs(self.stamps[date] - self.stamps[dates[0]]), -place) for place, date in enumerate(dates[1:])]
        order = sorted(range(len(apart)), key=apart.__getitem__)
        return tuple(order.index(place) for place in range(len(apart)))

    def read_as(self, dates: Sequence[int]) -> dict[str, Any]:
        """Return how a task reads dates, whatever joins them: fields of a `DatesRecipe`."""
        return {
            "bands": len(self.bands),
            "dates": len(dates),
            "rows": self.rows,
            "columns": self.columns,
            "max_shift": self.max_shift,
            "same_pass": self.same_pass(dates),
        }

    def same_pass(self, dates: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Return for each date the places of those before it that may be the same image: there twice, or as tiles."""
        stamps = self.stamps[list(dates)]
        return tuple(
            tuple(np.flatnonzero(np.abs(stamps[:place] - stamp) <= PASS).tolist()) for place, stamp in enumerate(stamps)
        )

    def table(self, dates: Sequence[int]) -> da.Array:
        """Return the lazy table of a window, whose first date is the reference: (region y, region x, date, number)."""
        if self.recorded is not None:
            known: da.Array = da.from_array(self.recorded.table(self.stamps, dates, self.max_shift), chunks=-1)
            return known
        found = self._table_of(self._compared(dates))
        twice = {place for date, others in enumerate(self.same_pass(dates)) if others for place in (date, *others)}
        if twice:
            places = sorted({0, *twice})
            found = delayed(without_repeats)(found, places, self._repeats([dates[place] for place in places]))
        shape = len(self.rows) - 1, len(self.columns) - 1, len(dates) - 1, FIRST + 2 * len(self.bands)
        table: da.Array = da.from_delayed(found, shape, np.float64)
        return table

    def _compared(self, dates: Sequence[int]) -> Any:
        """Return the lazy list of what is found of dates in each region."""
        regions = [*itertools.product(itertools.pairwise(self.rows), itertools.pairwise(self.columns))]
        args = len(self.bands), tuple(self.measured), self.max_shift
        return map_regions(compare_region, self.planes(dates), regions, args=args, name="multiframe-compare")

    def _repeats(self, dates: Sequence[int]) -> Any:
        """Return the lazy list of which of some dates repeat others of their overpass in each region."""
        regions = [*itertools.product(itertools.pairwise(self.rows), itertools.pairwise(self.columns))]
        args = len(self.bands), self.same_pass(dates)
        return map_regions(find_repeats, self.planes(dates), regions, args=args, name="multiframe-repeats")

    def _table_of(self, regions: Any) -> Any:
        """Return the task that makes a table of them."""
        shape = len(self.rows) - 1, len(self.columns) - 1
        return delayed(table_of)(regions, shape, len(self.bands), self.max_shift)

    def nearest_to_median(self, window: DateWindow) -> int:
        """Return the date of a window that lies nearest to the median of the shifts; measured now.

        Dates that show less than half as much as the best date are not shown.
        """
        if len(window.dates) == 1:
            return window.dates[0]
        regions = self._compared(window.dates)
        table, found = da.compute(self._table_of(regions), regions)
        valid = np.sum([region.valid for region in found], axis=0)
        known = np.concatenate([[True], table[..., WEIGHT].max(axis=(0, 1)) > 0]) & (valid >= POOR * valid.max())
        if not known.any():
            return window.dates[-1]
        shifts = np.zeros((len(known), 2))
        for date in np.flatnonzero(known[1:]):
            shifts[date + 1] = np.nanmedian(table[:, :, date, :2], axis=(0, 1))
        apart = np.hypot(*(shifts - np.median(shifts[known], axis=0)).T)
        return window.dates[int(np.argmin(np.where(known, apart, np.inf)))]


def _ratio(step: Step) -> int:
    """Return the width of a step's pixels in those of the finest grid."""
    return 1 if step.coarse is None else step.coarse.ratio


def _edges(length: int) -> tuple[int, ...]:
    count = max(1, round(length / REGION))
    return tuple(round(float(place)) for place in np.linspace(0, length, count + 1))


@dataclass(frozen=True, eq=False)
class JoinedWindow:
    """One window. dates: the reference first. planes: (y, x), as of `join_block`. weights: (date, y, x)."""

    window: DateWindow
    dates: tuple[int, ...]
    table: da.Array
    planes: list[da.Array]
    weights: da.Array

    @staticmethod
    def of(series: CubeSeries, window: DateWindow, date: int, factors: tuple[tuple[Factors, ...], ...]) -> JoinedWindow:
        """Join the dates of a window; date: the position of the one that is shown. factors: of fine, coarse bands.

        A network has no factors, and gets the dates nearest in time first.
        """
        others = [other for other in window.dates if other != date]
        if series.plan.spec.dates:
            others.sort(key=lambda other: abs(series.stamps[other] - series.stamps[date]))
        dates = (date, *others)
        table = series.table(dates)
        sides = sides_of(series.plan.request.chunks, series.plan.cube)
        chunks = None if sides is None else sides[-2:]
        shared = {"scale": series.plan.scale, "chunks": chunks, "table": table, "split": True}
        last = planes_for(len(dates), series.plan.scale)
        planes = (
            _fused(series, dates, last, shared)
            if series.plan.spec.dates
            else _kriged(series, dates, last, factors, shared)
        )
        weights = weights_in(planes[-last:], len(dates), series.plan.scale)
        return JoinedWindow(window, dates, table, planes[:-last], weights)


def _fused(series: CubeSeries, dates: Sequence[int], last: int, shared: dict[str, Any]) -> Any:
    """Return the lazy planes of dates that a network joins; last: those of their weights."""
    own = series.step.recipe
    recipe = NetworkRecipe(
        **series.read_as(dates),
        most=own.kernel.spec.dates - 1,
        margin=own.halo + BESIDE,
        filled=own.halo + BESIDE,
        kernel=own.kernel,
        out_of=own.out_of,
        give=own.give,
    )
    shared = {"halo": recipe.reach, "args": (recipe,), **shared}
    bands_out = len(recipe.give) + 1 + last
    return map_tiles(fuse_dates_block, series.planes(dates), bands_out=bands_out, name="multiframe", **shared)


def _kriged(
    series: CubeSeries,
    dates: Sequence[int],
    last: int,
    factors: tuple[tuple[Factors, ...], ...],
    shared: dict[str, Any],
) -> Any:
    """Return the lazy planes of dates that are joined by kriging; last: those of their weights."""
    stacks = series.planes(dates)
    kernel = series.step.recipe.kernel
    recipe = SeriesRecipe(
        **series.read_as(dates),
        most=len(dates),
        margin=kernels.SERIES_REACH + HOLES,
        filled=FILLED,
        sensors=kernel.sensors,
        factors=factors[0],
        device=kernel.device,
        nearness=series.nearness(dates),
    )
    if series.coarse is None:
        own: dict[str, Any] = {"halo": recipe.reach, "args": (recipe,), **shared}
        return map_tiles(join_block, stacks, bands_out=2 * recipe.bands + 1 + last, name="multiframe", **own)
    step, second = series.coarse, series.coarse.second
    assert second is not None
    assert step.coarse is not None
    guided = GuidedRecipe(step.recipe.kernel.sensors, factors[1], second, series.fine_given)
    lead = [(array[date], index) for date in dates[:1] for array, index in step.coarse.planes]
    on_grid = second.layout == "grids"
    read = stacks if on_grid else [*stacks, *([] for _ in range(COARSE_STACK - len(stacks))), lead]
    return map_tiles(
        join_guided_block,
        read,
        halo=reach_of(recipe, guided),
        reach=reach_of(recipe, guided) + far(2),
        args=(recipe, guided),
        bands_out=2 * guided.bands + 1 + last,
        coarse=replace(step.coarse, planes=lead) if on_grid else None,
        name="multiframe-guided",
        **shared,
    )
