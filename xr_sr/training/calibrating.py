"""Fit calibrations of intervals on pairs with a reference, and measure how well intervals hold what they say.

Everything comes from sums and histograms by block, which are added up: no more than a block of pixels is in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
import numpy.typing as npt
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

Cubes: TypeAlias = "AnyCube | Sequence[AnyCube]"
DoubleArray: TypeAlias = npt.NDArray[np.float64]

LEAST_PIXELS = 2000
"""Fine pixels that a band and stratum need for quantiles of their own: their neighbors say much the same."""

PIT_BINS = 10

SIDE = 120
"""Bins along each axis of the joint histogram of standard deviation and error, which are 12 % wide."""

JOINT = np.logspace(-5, 1, SIDE + 1)
"""Edges of these bins, in reflectance; what lies beyond counts in the outer ones."""

FINE = np.logspace(-5, 1, 1201)
"""Edges of the bins of absolute errors alone, 1.2 % wide."""


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
            _scores, (len(STRATA), len(EDGES) - 1), coarse, fine, model, bands, border, device, options, drawn=drawn
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
            _measures, factors.shape, coarse, fine, model, bands, border, device, options, factors, drawn
        )
        found.append((keys, sums))
        for key, one in zip(keys, sums.sum(1)[:, 1 - len(FINE) :], strict=True):
            errors[key] = errors[key] + one if key in errors else one
    halves = {key: [_quantile(one, level) for level in given] for key, one in errors.items()}
    rows = [_row(sums, given, [halves[key] for key in keys]) for keys, sums in found]
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
        return len(STRATA), _count_of_sums(self.levels)

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


def _valid(blocks: Sequence[npt.NDArray[Any]], band: int) -> tuple[DoubleArray, DoubleArray, npt.NDArray[np.int64]]:
    """Return the errors, scales and strata of the pixels of one band that count."""
    estimate, scale, strata, reference = (block[0, band].ravel() for block in blocks)
    error = reference.astype("float64") - estimate
    valid = np.isfinite(error)
    return error[valid], scale[valid].astype("float64"), strata[valid].astype("int64")


def _scores(*blocks: npt.NDArray[Any], table: None, levels: None) -> DoubleArray:
    """Count scores by band, stratum and bin of EDGES."""
    bins = len(EDGES) - 1
    made = np.zeros((1, blocks[0].shape[1], len(STRATA), bins, 1, 1))
    for band in range(made.shape[1]):
        error, scale, strata = _valid(blocks, band)
        place = strata * bins + _bin(np.abs(error) / scale, EDGES)
        made[0, band, :, :, 0, 0] = np.bincount(place, minlength=len(STRATA) * bins).reshape(len(STRATA), bins)
    return made


def _measures(*blocks: npt.NDArray[Any], table: DoubleArray, levels: Sequence[float]) -> DoubleArray:
    """Sum what the report needs by band and stratum; `_row` reads it."""
    made = np.zeros((1, blocks[0].shape[1], len(STRATA), _count_of_sums(levels), 1, 1))
    for band in range(made.shape[1]):
        whole = _valid(blocks, band)
        for stratum in range(len(STRATA)):
            mine = whole[2] == stratum
            made[0, band, stratum, :, 0, 0] = _sums(whole[0][mine], whole[1][mine], table[band, stratum], levels)
    return made


def _count_of_sums(levels: Sequence[float]) -> int:
    return 2 + 3 * len(levels) + PIT_BINS + SIDE * SIDE + len(FINE) - 1


def _sums(error: DoubleArray, scale: DoubleArray, widths: DoubleArray, levels: Sequence[float]) -> DoubleArray:
    size, middle = np.abs(error), int(np.argsort(levels)[len(levels) // 2])
    deviation = scale * (widths[middle] / gaussian_width(levels[middle]))
    parts: list[npt.ArrayLike] = [[float(len(size)), _crps(error, deviation).sum()]]
    for width, level in zip(widths, levels, strict=True):
        half = scale * width
        outside = np.maximum(size - half, 0)
        parts.append([float((size <= half).sum()), 2 * half.sum(), (2 * half + 2 / (1 - level) * outside).sum()])
    below = _normal(error / deviation)
    parts.append(np.bincount(np.minimum((below * PIT_BINS).astype("int64"), PIT_BINS - 1), minlength=PIT_BINS))
    joint = _bin(deviation, JOINT) * SIDE + _bin(size, JOINT)
    parts.append(np.bincount(joint, minlength=SIDE * SIDE))
    parts.append(np.bincount(_bin(size, FINE), minlength=len(FINE) - 1))
    return np.concatenate([np.asarray(part, dtype="float64") for part in parts])


def _row(sums: DoubleArray, levels: Sequence[float], halves: Sequence[Sequence[float]]) -> xr.Dataset:
    """Turn the sums of one place, (band, stratum, number), into its part of the report.

    halves: constant half widths by band and level.
    """
    count = len(levels)
    by_stratum = np.concatenate([sums.sum(0), sums.sum((0, 1))[None]])
    pixels = by_stratum[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = by_stratum / pixels[:, None]
        covered, width, score = (mean[:, 2 + k : 2 + 3 * count : 3] for k in range(3))
        start = 2 + 3 * count
        pit = mean[-1, start : start + PIT_BINS]
        joint = by_stratum[-1, start + PIT_BINS : start + PIT_BINS + SIDE * SIDE].reshape(SIDE, SIDE)
        errors = sums.sum(1)[:, 1 - len(FINE) :]
        constant = [
            sum(_constant_score(band, half[n], level) for band, half in zip(errors, halves, strict=True)) / pixels[-1]
            for n, level in enumerate(levels)
        ]
    strata = ("stratum", [*STRATA, "all"])
    kept = np.linspace(0.1, 1, 10)
    return xr.Dataset(
        {
            "pixels": ("stratum", pixels.astype("int64")),
            "coverage": (("stratum", "level"), covered),
            "width": (("stratum", "level"), width),
            "interval_score": (("stratum", "level"), score),
            "constant_score": ("level", constant),
            "crps": ("stratum", mean[:, 1]),
            "pit": ("part", pit),
            "spread_error": ((), _spearman(joint)),
            "risk": ("kept", _risk(joint, kept)),
        },
        coords={"stratum": strata, "level": [*levels], "part": np.arange(PIT_BINS) / PIT_BINS, "kept": kept},
    )


def _bin(values: DoubleArray, edges: DoubleArray) -> npt.NDArray[np.int64]:
    """Return the bin of each value; edges are evenly spaced in logarithms."""
    step = np.log(edges[1] / edges[0])
    place = np.log(np.maximum(values, edges[0]) / edges[0]) / step
    return np.asarray(np.clip(place.astype("int64"), 0, len(edges) - 2))


def _quantile(errors: DoubleArray, level: float) -> float:
    """Return the quantile of absolute errors, counted in the bins of FINE; 0 of none."""
    total = errors.sum()
    return float(_middle(FINE)[np.searchsorted(errors.cumsum(), level * total)]) if total else 0.0


def _constant_score(errors: DoubleArray, half: float, level: float) -> float:
    """Return the sum of the interval scores of a constant half width."""
    outside = np.maximum(_middle(FINE) - half, 0)
    return float((errors * (2 * half + 2 / (1 - level) * outside)).sum())


def _middle(edges: DoubleArray) -> DoubleArray:
    return np.asarray(np.sqrt(edges[1:] * edges[:-1]))


def _crps(error: DoubleArray, deviation: DoubleArray) -> DoubleArray:
    """Return the CRPS of normal distributions around the estimate; Gneiting and Raftery 2007, equation 21."""
    z = error / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * (2 * _normal(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)))


def _normal(z: DoubleArray) -> DoubleArray:
    """Return the distribution function of the standard normal."""
    import torch

    return np.asarray(torch.special.ndtr(torch.from_numpy(z)).numpy())


def _spearman(joint: DoubleArray) -> float:
    """Return the rank correlation of a joint histogram, all in one bin having its middle rank; NaN without spread."""
    sides = joint.sum(1), joint.sum(0)
    ranks = [side.cumsum() - side / 2 for side in sides]
    total = joint.sum()
    one, other = (rank - (side * rank).sum() / max(total, 1) for rank, side in zip(ranks, sides, strict=True))
    spread = np.sqrt((sides[0] * one**2).sum() * (sides[1] * other**2).sum())
    return float(one @ joint @ other / spread) if spread else float("nan")


def _risk(joint: DoubleArray, kept: DoubleArray) -> DoubleArray:
    """Return the mean absolute error of the shares of pixels with the smallest deviations."""
    count, total = joint.sum(1).cumsum(), (joint @ _middle(JOINT)).cumsum()
    if not count[-1]:
        return np.full(len(kept), np.nan)
    share = np.concatenate([[0.0], count / count[-1]])
    rising = np.concatenate([[True], np.diff(share) > 0])
    return np.asarray(np.interp(kept, share[rising], np.concatenate([[0.0], total])[rising]) / (kept * count[-1]))
