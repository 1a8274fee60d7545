"""Read what `ensemble` and `interval` return, and what indices of them are: estimates with deviations or members.

Records and the checks of them only: indices are computed in `indices`, decisions in `surface_water` and `flooding`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_numbers, shown
from ..errors import CubeError, OptionError
from ..kernels.calibration import gaussian_width
from ..spec import INTERVAL_LEVEL_ATTR
from .classes import KIND_ATTR, LIMITS_ATTR, UNCERTAIN_WATER, UNKNOWN, as_class_map, is_map_of

MEMBER = "member"

MEMBERS, PROBABILITY = "members", "probability"
"""Variables of a Dataset: of each member something, and the probability of water or of a flood."""

USUAL_LEVEL = 0.9

USUAL_LIMITS = (0.05, 0.95)

Limits: TypeAlias = tuple[float, float]
"""Two probabilities, or shares of members, the smaller one first."""


@dataclass(frozen=True)
class Uncertain:
    """A cube or an index with its error: `estimate` and `std` are alike, `members` have the dimension `member` too.

    level: of the bounds that go with it.
    """

    estimate: xr.DataArray
    std: xr.DataArray
    members: xr.DataArray | None
    level: float

    def isel(self, dim: str, places: npt.NDArray[np.intp]) -> Uncertain:
        """Select along a dimension."""
        return self.moved(lambda array, _: array.isel({dim: places}), self)

    def moved(self, move: Callable[[xr.DataArray, xr.DataArray], xr.DataArray], like: Uncertain) -> Uncertain:
        """Return each array as `move` makes it from it and the estimate of another."""
        members = None if self.members is None else move(self.members, like.estimate)
        return replace(
            self, estimate=move(self.estimate, like.estimate), std=move(self.std, like.estimate), members=members
        )


def uncertain_of(obj: Any) -> Uncertain | None:
    """Read a result of `ensemble` or `interval`, or an index of one; None for anything else.

    Raises CubeError for members without the dimension `member`.
    """
    if not isinstance(obj, xr.Dataset) or not {"estimate", "std"} <= set(obj.data_vars):
        return None
    members = obj.get(MEMBERS)
    if members is not None and MEMBER not in members.dims:
        raise CubeError(
            f"members= lies along {list(members.dims)}; expected a dimension {MEMBER!r}, as ensemble returns it. For a "
            "single one pass it as a cube: drawn['members']."
        )
    return Uncertain(obj["estimate"], obj["std"], members, level_in(obj))


def level_in(obj: xr.Dataset) -> float:
    """Return the level of the intervals of a Dataset, as `interval` and `ensemble` note it; else 0.9."""
    try:
        return float(obj.attrs.get(INTERVAL_LEVEL_ATTR, USUAL_LEVEL))
    except (TypeError, ValueError):
        return USUAL_LEVEL


def with_bounds(estimate: xr.DataArray, std: xr.DataArray, members: xr.DataArray | None, level: float) -> xr.Dataset:
    """Return an index with its error as a Dataset: estimate, std, lower, upper, and members where there are any.

    Bounds are those of a normal distribution, within those of the index.
    """
    std = std.where(estimate.notnull())
    half = std * np.float32(gaussian_width(level))
    bounds = {"lower": estimate - half, "upper": estimate + half}
    if limits := estimate.attrs.get("xr_sr:bounds"):
        bounds = {name: bound.clip(*limits) for name, bound in bounds.items()}
    found = {"estimate": estimate, "std": std, **bounds}
    if members is not None:
        found[MEMBERS] = members
    made: dict[str, xr.DataArray] = {}
    for name, array in found.items():
        made[name] = array.rename(name)
        made[name].attrs = dict(estimate.attrs)
        made[name].encoding = estimate.encoding.copy()
    made["std"].attrs.pop("xr_sr:bounds", None)  # else it would be packed for -1..1
    return xr.Dataset(made, attrs={**estimate.attrs, INTERVAL_LEVEL_ATTR: level})


def deviation_of(members: xr.DataArray, estimate: xr.DataArray) -> xr.DataArray:
    """Return the root of the mean squared difference of members from an estimate, float32; NaN does not count."""
    found: xr.DataArray = (((members - estimate) ** 2).mean(MEMBER, skipna=True) ** 0.5).astype("float32")
    return found.transpose(*estimate.dims)


def check_same_members(first: Uncertain, second: Uncertain) -> None:
    """Raise CubeError where two have other numbers of members: the first of one belongs to the first of the other."""
    counts = [0 if each.members is None else each.members.sizes[MEMBER] for each in (first, second)]
    if counts[0] != counts[1]:
        raise CubeError(f"before has {counts[0]} members, after {counts[1]}. Draw as many of both: n={max(counts)}.")


def check_limits(limits: object, *, name: str = "limits") -> Limits:
    """Raise OptionError for what are not two probabilities in order. name: of the argument."""
    low, high = check_numbers(name, limits, 2)
    if not 0 <= low < high <= 1:
        raise OptionError(f"{name}={shown(limits)}: expected two numbers from 0 to 1, the smaller one first.")
    return low, high


def share_of(maps: xr.DataArray, code: int) -> xr.DataArray:
    """Return the share of members in which a pixel has a class, among those that know it; NaN where none does."""
    known = (maps != UNKNOWN).sum(MEMBER, dtype="int32")
    found = (maps == code).sum(MEMBER, dtype="int32")
    return (found / known.where(known > 0)).astype("float32")


def chance_above(estimate: xr.DataArray, std: xr.DataArray, level: xr.DataArray) -> xr.DataArray:
    """Return the probability that a normal distribution gives to what lies above a level; NaN where either is NaN.

    level: a scalar, or one for each date.
    """
    bare = [each.drop_vars(list(each.coords)) for each in (estimate, std)]
    found = xr.apply_ufunc(
        _chance_of_block, *bare, xr.DataArray(level.variable), dask="parallelized", output_dtypes=[np.float32]
    )
    made: xr.DataArray = found.transpose(*estimate.dims).assign_coords(estimate.coords)
    return made


def _chance_of_block(
    estimate: npt.NDArray[np.float32], std: npt.NDArray[np.float32], level: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        away = (estimate - level) / std
    away = np.where((std == 0) & np.isnan(away), -np.inf, away)  # exactly at the level is not above it
    return np.where(np.isnan(estimate) | np.isnan(std), np.nan, _normal_below(away)).astype("float32")


def _normal_below(away: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probability that a standard normal distribution gives to what lies below, right to 1e-7.

    Source: Abramowitz and Stegun 1964, 7.1.26.
    """
    x = np.abs(away) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail *= np.exp(-np.minimum(x * x, 700)) / 2
    below: npt.NDArray[np.float64] = np.where(away > 0, 1 - tail, tail)
    return below


def majority_of(chances: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the probability that an event happens on at least half of the dates that know it, dates being independent.

    chances: of the event on each date; NaN where a date knows nothing. NaN where none does.
    """
    whole = chances.chunk({dim: -1}) if chances.chunks is not None else chances
    found: xr.DataArray = xr.apply_ufunc(
        _majority_of_block, whole, input_core_dims=[[dim]], dask="parallelized", output_dtypes=[np.float32]
    )
    return found


def _majority_of_block(chances: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(..., time) to (...): the upper half of a Poisson binomial distribution, by adding one date after another."""
    known = np.isfinite(chances)
    dates = chances.shape[-1]
    counts = np.zeros((dates + 1, *chances.shape[:-1]))  # probability of that many events
    counts[0] = 1
    for date in range(dates):
        happens = np.where(known[..., date], chances[..., date], 0.0)
        counts[1:] = counts[1:] * (1 - happens) + counts[:-1] * happens
        counts[0] *= 1 - happens
    seen = known.sum(-1)
    enough = 2 * np.arange(dates + 1).reshape(-1, *(1,) * seen.ndim) >= seen
    return np.where(seen > 0, (counts * enough).sum(0), np.nan).astype("float32")


def with_chances(
    made: xr.DataArray, probability: xr.DataArray, members: xr.DataArray | None, level: float, threshold: xr.DataArray
) -> xr.Dataset:
    """Return a map of classes with the probability that it was made from, the maps of members, and the threshold."""
    what = f"probability of {'a flood' if made.name == 'flood' else 'water'}"
    chance = probability.rename(PROBABILITY)
    dropped = ("flag_values", "flag_meanings", KIND_ATTR, LIMITS_ATTR)
    chance.attrs = {name: value for name, value in made.attrs.items() if name not in dropped}
    chance.attrs |= {"long_name": what, "units": "1"}
    chance.encoding = made.encoding.copy()
    found = {str(made.name): made, PROBABILITY: chance}
    if members is not None:
        found[MEMBERS] = members.rename(MEMBERS)
    return xr.Dataset(found, attrs={INTERVAL_LEVEL_ATTR: level}).assign_coords(
        threshold=(threshold.dims, threshold.data, dict(threshold.attrs))
    )


def water_within(probability: xr.DataArray, limits: Limits) -> xr.DataArray:
    """Return a map of a probability of water: dry, uncertain or water; unknown where it is NaN."""
    made = xr.apply_ufunc(
        _state_of_block, probability, kwargs={"limits": limits}, dask="parallelized", output_dtypes=[np.uint8]
    )
    found = as_class_map(made, UNCERTAIN_WATER, kind="water", title="water", like=probability)
    found.attrs = {**probability.attrs, **found.attrs, LIMITS_ATTR: limits_text(limits)}
    return found


def limits_text(limits: Limits) -> str:
    """Return two probabilities as an attribute has them."""
    return "{:g} to {:g}".format(*limits)


def _state_of_block(probability: npt.NDArray[np.float32], *, limits: Limits) -> npt.NDArray[np.uint8]:
    # In the type of probabilities: a share of exactly 0.95 reaches the limit, while float32(0.95) is below the double.
    low, high = np.asarray(limits, probability.dtype)
    codes = UNCERTAIN_WATER
    found = np.where(probability >= high, codes["water"], codes["uncertain"])
    found[probability <= low] = codes["dry"]
    found[np.isnan(probability)] = UNKNOWN
    return found.astype(np.uint8)


def is_decision(obj: Any) -> bool:
    """Return whether a Dataset is what `water` or `flood` make of an ensemble or an interval."""
    if not isinstance(obj, xr.Dataset) or PROBABILITY not in obj:
        return False
    return any(name in obj and is_map_of(obj[name], name) for name in ("water", "flood"))
