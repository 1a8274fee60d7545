"""Fit calibrations of intervals on pairs with a reference, and measure how well intervals hold what they say.

Everything comes from sums and histograms by block, which are added up: no more than a block of pixels is in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr

from ..arguments import check_flag, check_number, check_text, check_whole, count_of, items_of, shown
from ..catalog import registry
from ..cube.grid import order_error
from ..cube.select import AnyCube, recognize
from ..errors import OptionError
from ..kernels.calibration import EDGES, LEVELS, STRATA, Calibration, fitted, gaussian_width
from ..kernels.resolve import options_with
from ..metrics.inputs import ImageSeries, check_same_grid, read, together
from ..metrics.reduce import Layout, map_images
from ..pipeline.interval import GivenCalibration, calibration_for, draws_itself, full_name, scored
from ..spec import Option
from .interval_scores import FINE, DoubleArray, count_of_sums, measures, quantile_of, row_of, scores

Cubes: TypeAlias = "AnyCube | Sequence[AnyCube]"

LEAST_PIXELS = 2000
"""Fine pixels that a band and stratum need for quantiles of their own: their neighbors say much the same."""


def calibrate(
    lr: Cubes,
    hr: Cubes,
    model: str = "sen2sr",
    *,
    bands: Sequence[str] | None = None,
    border: int = 16,
    equal: bool = False,
    device: str = "auto",
    note: str = "",
    drawn: bool = False,
    **options: Option,
) -> Calibration:
    """Fit how far errors lie from what a model expects, on pairs with a reference, for `interval`.

    lr, hr: a cube (with 20 m bands: a tree) and its reference, a cube on the grid of the model's result and in
        reflectance (of a tree: `tree["hr"].to_dataset()`), or as many of each in two lists. Bands are matched by name;
        pixels that are NaN in either do not count.
    model: as in `interval`. bands, device, options: as in `upscale`.
    border: fine pixels at the edge of each cube that do not count. equal: all pairs have the same weight, whatever
        their size; else all pixels. note: what it was fitted on, for the record; by default how many pairs.
    drawn: fit on the deviations of 16 members, for `ensemble` of a model that draws, "diffusion"; else on the scales of
        `interval`. Kriging has the same for both.

    Returns a `Calibration`, small: pass it as `calibration=`, or `save` it. Quantiles of |error| / scale are kept by
    band and stratum of the input pixel (flat, edge, bright) where there are 2000 pixels of it, with the options of the
    model, outside of which it is refused. What it says holds for
    places like those of the pairs: judge it on others (`calibration_report`), never on pixels of the same place.
    Raises OptionError for a model without an error scale, or without a pixel to compare; GridError where a reference is
    not on the grid of the result.
    """
    pairs = _pairs(lr, hr)
    model = full_name(model, _bands_of(pairs, bands))
    check_whole("border", border, least=0)
    check_text("note", note)
    check_flag("equal", equal)
    check_flag("drawn", drawn)
    names: list[str] = []
    found: list[tuple[list[str], DoubleArray]] = []
    for coarse, fine in pairs:
        keys, counts = _tallied(
            scores, (len(STRATA), len(EDGES) - 1), coarse, fine, model, bands, border, device, options, drawn=drawn
        )
        found.append((keys, counts))
        names += [key for key in keys if key not in names]
    sums = np.zeros((len(names), len(STRATA), len(EDGES) - 1))
    pixels = np.zeros((len(names), len(STRATA)))
    for keys, counts in found:
        places = [names.index(key) for key in keys]
        sums[places] += counts / max(counts.sum(), 1) if equal else counts
        pixels[places] += counts.sum(-1)
    if not sums.any():
        raise OptionError("calibrate(lr, hr): no pixel is valid in both, border=... left out. Pass larger pairs.")
    note = note or f"fitted on {count_of(len(pairs), 'pair')} of one's own"
    known = options_with(model, options) | ({"drawn": drawn} if draws_itself(registry.get(model)) else {})
    return fitted(model, names, sums, pixels, note, LEAST_PIXELS, known)


def calibration_report(
    lr: Cubes,
    hr: Cubes,
    model: str = "sen2sr",
    *,
    levels: Sequence[float] = (0.8, 0.9, 0.95),
    names: Sequence[str] | None = None,
    calibrated: bool = True,
    calibration: GivenCalibration = None,
    bands: Sequence[str] | None = None,
    border: int = 16,
    device: str = "auto",
    drawn: bool = False,
    **options: Option,
) -> xr.Dataset:
    """Measure how well the intervals of a model hold what they say, on pairs with a reference.

    lr, hr, model, border, bands, device, drawn, options: as in `calibrate`; each pair is a place. levels: of the
        intervals, in any order, each once. names: of the places, each once. calibrated, calibration: as in `interval`.

    Returns a Dataset in memory, by place, and where it says so by stratum (flat, edge, bright, all) and level; over all
    bands together:
    `pixels`: how many were compared. `coverage`: share of references within the interval. `width`: mean width of the
    interval, in reflectance. `interval_score`: mean width plus 2 / (1 - level) times what references lie outside
    (Gneiting and Raftery 2007, doi:10.1198/016214506000001437); lower is better. `constant_score`: the same of
    the interval of constant width, one for each band, that is best for all places together: only the references tell.
    `crps`: continuous
    ranked probability score of the normal distribution with the standard deviation of the middle level, in reflectance.
    `pit`: share of references by where they lie in that distribution (probability integral transform), in ten equal
    parts along `part`: 0.1 each where it is right. `spread_error`: Spearman's rank correlation of standard deviation
    and absolute error over all pixels and bands; in bins 12 % wide. `risk`: mean absolute error of the share of pixels
    with the smallest standard deviations, along `kept` (risk-coverage curve).
    Raises and warns as `calibrate` and `interval`.
    """
    pairs = _pairs(lr, hr)
    compared = _bands_of(pairs, bands)
    model = full_name(model, compared)
    given = _levels(levels)
    places = _places(names, len(pairs))
    check_whole("border", border, least=0)
    check_flag("drawn", drawn)
    used = calibration_for(model, calibrated, calibration, options, compared, drawn=drawn)
    found: list[tuple[list[str], DoubleArray]] = []
    errors: dict[str, DoubleArray] = {}
    for coarse, fine in pairs:
        factors = _Widths(given, used)
        keys, sums = _tallied(
            measures, factors.shape, coarse, fine, model, bands, border, device, options, factors, drawn
        )
        found.append((keys, sums))
        for key, one in zip(keys, sums.sum(1)[:, 1 - len(FINE) :], strict=True):
            errors[key] = errors[key] + one if key in errors else one
    halves = {key: [quantile_of(one, level) for level in given] for key, one in errors.items()}
    rows = [row_of(sums, given, [halves[key] for key in keys]) for keys, sums in found]
    return xr.concat(rows, xr.Variable("place", places))


def _levels(levels: object) -> tuple[float, ...]:
    """Return several levels in the order given. Raises OptionError for none, for equal ones, and out of range."""
    items = items_of(levels)
    if not items:
        raise OptionError(f"levels={shown(levels)}: expected one level or more in a list, such as (0.8, 0.9, 0.95).")
    numbers = tuple(check_number("levels", level, least=LEVELS[0], most=LEVELS[-1]) for level in items)
    if twice := [level for level in numbers if numbers.count(level) > 1]:
        raise OptionError(f"levels={shown(levels)}: {twice[0]:g} is there twice. Name each level once.")
    return numbers


def _places(names: object, count: int) -> list[str]:
    """Return a name for each pair. Raises OptionError for another number of names, or equal ones."""
    if names is None:
        return [f"place {place + 1}" for place in range(count)]
    places = [*map(str, items_of(names) or ())]
    if len(places) != count or len(set(places)) < count:
        raise OptionError(f"names={shown(names)}: expected {count_of(count, 'name')}, one of its own for each pair.")
    return places


class _Widths:
    """The levels of a report, and by band and stratum the widths of intervals in error scales."""

    def __init__(self, levels: tuple[float, ...], used: Calibration | None) -> None:
        self.levels, self.used = levels, used

    @property
    def shape(self) -> tuple[int, int]:
        """Strata, and numbers that are summed for each."""
        return len(STRATA), count_of_sums(self.levels)

    def of(self, band: str) -> DoubleArray:
        """Return (stratum, level) half widths."""
        if self.used is None:
            return np.array([[gaussian_width(level) for level in self.levels]] * len(STRATA))
        return np.array([[self.used.width(band, name, level) for level in self.levels] for name in STRATA])

    def __dask_tokenize__(self) -> Any:
        from dask.base import normalize_token

        return normalize_token((self.levels, None if self.used is None else tuple(self.used.quantiles.items())))


def _pairs(lr: Cubes, hr: Cubes) -> list[tuple[Any, Any]]:
    several = [isinstance(each, list | tuple) for each in (lr, hr)]
    if not any(several):
        return [(lr, hr)]
    if not all(several) or len(lr) != len(hr) or not len(lr):
        raise OptionError("lr and hr: expected a cube each, or two lists of as many cubes.")
    return list(zip(lr, hr, strict=True))


def _bands_of(pairs: Sequence[tuple[Any, Any]], bands: Sequence[str] | None) -> list[str]:
    """Return the bands that are compared: those asked for, or all of the first reference."""
    return [str(band) for band in (bands if isinstance(bands, list | tuple) else read(pairs[0][1], "HR").keys)]


def _tallied(
    function: Any,
    shape: tuple[int, int],
    coarse: Any,
    fine: Any,
    model: str,
    bands: Sequence[str] | None,
    border: int,
    device: str,
    options: Mapping[str, Option],
    widths: _Widths | None = None,
    drawn: bool = False,
) -> tuple[list[str], DoubleArray]:
    """Sum a function over the blocks of one pair: canonical names of bands, and (band, *shape)."""
    reference = read(fine, "HR")
    _check_order(coarse, reference)
    made = [read(each, "SR") for each in scored(coarse, model, bands, device, drawn, **options)]
    estimate, reference = together(made[0], reference)
    check_same_grid(estimate, reference)
    scale, strata = (each.select(estimate.keys) for each in made[1:])
    height, width = estimate.shape
    inner = slice(border, height - border), slice(border, width - border)
    if min(height, width) <= 2 * border:
        return [*map(str, estimate.keys)], np.zeros((len(estimate.keys), *shape))
    layout = Layout.of(height - 2 * border, width - 2 * border)
    dates = estimate.data.shape[0]
    inputs = [
        (layout.cut(da.broadcast_to(data, (dates, *data.shape[1:])) if len(data) != dates else data), "tbyx")
        for each in (estimate, scale, strata, reference)
        for data in [each.data[..., inner[0], inner[1]]]
    ]
    keys = tuple(map(str, estimate.keys))
    table = None if widths is None else np.stack([widths.of(key) for key in keys])
    sums = map_images(
        function, inputs, "tbsnyx", layout.one_each(), new={"s": shape[0], "n": shape[1]}, table=table,
        levels=None if widths is None else widths.levels,
    )  # fmt: skip
    return [*keys], np.asarray(sums.sum(axis=(0, -2, -1)).compute())


def _check_order(lr: Any, hr: ImageSeries) -> None:
    """Raise GridError where the pixels of the reference are not smaller than those of LR: they are swapped."""
    coarse = recognize(lr).geobox
    if coarse.crs == hr.geobox.crs and abs(hr.geobox.affine.determinant) >= abs(coarse.affine.determinant) * (1 - 1e-6):
        raise order_error(("lr", "hr"), "hr", hr.geobox, coarse)
