"""Map floods: water before against water after, as classes with areas; and compare masks of LR and SR likewise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_choice
from ..cube.grid import geobox_of, order_error, spatial_dims
from ..cube.select import AnyCube
from ..cube.sensors import FOR_INDICES, explains_sensors
from ..cube.time import When, listed_dates, positions_of, scalar_dates_differ, time_dim
from ..errors import CubeError, GridError, warns_once
from ..radiometry.resolve import OWN_ATTR, Nodata, Offset, Quantification
from ..spec import BEFORE_ATTR, SOURCE_ITEMS, SOURCE_LINKS
from .area import AREA_METHODS, AreaMethod, areas_of_members, class_areas
from .bands import GridChoice, check_options, factor_between, on_finer_grid
from .classes import (
    AGREEMENT,
    AREA_ATTR,
    FLOOD,
    LEVEL_ATTR,
    LIMITS_ATTR,
    UNCERTAIN_FLOOD,
    UNCERTAIN_WATER,
    UNKNOWN,
    WATER,
    Classes,
    as_class_map,
    as_water,
    is_map_of,
)
from .history import usual_water
from .indices import NAME_ATTR
from .surface_water import (
    Per,
    Threshold,
    check_threshold,
    classify,
    index_with_error,
    level_of,
    level_text,
    water_chances,
)
from .uncertain import (
    USUAL_LIMITS,
    Limits,
    Uncertain,
    check_limits,
    check_same_members,
    limits_text,
    majority_of,
    share_of,
    water_within,
    with_chances,
)


@warns_once
@explains_sensors(FOR_INDICES)
def flood(
    cube: AnyCube,
    before: When,
    after: When,
    *,
    index: str | None = "MNDWI",
    threshold: Threshold = "otsu",
    per: Per = "cube",
    area: AreaMethod = "ellipsoidal",
    grid: GridChoice | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    limits: tuple[float, float] = USUAL_LIMITS,
) -> xr.Dataset:
    """Map what was flooded between dates of one cube, and measure it.

    cube: bands at LR or SR, an index, or a map of water, as in `water`; a result of `ensemble` or `interval` is mapped
        with its error.
    before, after: selections of time, such as "2023-06" or slice("2023-06-20", "2023-07-05"), without a date in common.
        Dates before are one state: water where at least half of the dates that saw the pixel have it. Dates after are
        mapped one by one.
    index, threshold, per: as in `water`; with per="cube" one threshold holds before and after. area: "ellipsoidal" or
        "projected". limits: as in `water`. grid and the rest: as in `index`.

    Returns a lazy Dataset: `flood` (time, y, x) uint8, 0 dry, 1 permanent water, 2 flooded, 3 receded, 255 unknown
    (clouds, nodata; mask clouds first); `area` (time, state) in hectares; the coordinate `threshold`. Compute it by
    `found.compute()`: `dask.compute(found)` fails on any Dataset with one variable made from another (xarray 2026.9).
    With an error: `flood` has 4 uncertain, where water before or after has a probability between the limits;
    `probability` (time, y, x) of being flooded, float32. From members, `members` are their maps (member, time, y, x),
    and `area` is the mean of their areas, with `area_lower`, `area_upper` as `areas` gives them for `flooded` (NaN for
    other classes): calibrated for NDWI > -0.1 and 16 members, else with a CalibrationWarning. Without members it is the
    area of the map's classes, uncertain among them, and dates are taken as independent.
    Raises CubeError where a selection is empty, or both share a date; what `water` and `index` raise.
    """
    check_threshold(threshold, per)
    within = check_limits(limits)
    check_choice("area", area, AREA_METHODS)
    options: dict[str, Any] = {"grid": grid, "offset": offset, "quantification": quantification, "nodata": nodata}
    check_options(**options)
    if is_map_of(cube, "water"):
        assert isinstance(cube, xr.DataArray)
        wet = as_water(cube, role="the cube")
        dim, places = _choose(wet, before, after)
        return _compared(wet.isel({dim: places[0]}), wet.isel({dim: places[1]}), area, threshold=None)
    values = index_with_error(cube, index, reader="flood", **options)
    if isinstance(values, Uncertain):
        dim, places = _choose(values.estimate, before, after)
        first, second = (values.isel(dim, each) for each in places)
        return _flooded_with_error(first, second, threshold, per, area, within)
    dim, places = _choose(values, before, after)
    return _flooded(values.isel({dim: places[0]}), values.isel({dim: places[1]}), threshold, per, area)


@warns_once
@explains_sensors(FOR_INDICES)
def flood_between(
    before: AnyCube,
    after: AnyCube,
    *,
    index: str | None = "MNDWI",
    threshold: Threshold = "otsu",
    per: Per = "cube",
    area: AreaMethod = "ellipsoidal",
    grid: GridChoice | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    limits: tuple[float, float] = USUAL_LIMITS,
) -> xr.Dataset:
    """Map what was flooded between two cubes on one grid, and measure it.

    before, after: cubes of bands, maps of an index with index=None, or maps that `water` made. Dates of the first are
        one state, those of the second are mapped one by one; or two results of `ensemble` or two of `interval`. Other
        arguments and the result: as in `flood`; with per="cube" both share one threshold.
    Raises GridError where the grids differ, CubeError where one of the two has an error, or members of other number.
    """
    check_threshold(threshold, per)
    within = check_limits(limits)
    check_choice("area", area, AREA_METHODS)
    options: dict[str, Any] = {"grid": grid, "offset": offset, "quantification": quantification, "nodata": nodata}
    check_options(**options)
    if is_map_of(before, "water") and is_map_of(after, "water"):
        assert isinstance(before, xr.DataArray) and isinstance(after, xr.DataArray)
        before, after = as_water(before, role="before"), as_water(after, role="after")
        return _compared(before, _same_place(after, before), area, threshold=None)
    first, second = (index_with_error(each, index, reader="flood_between", **options) for each in (before, after))
    if isinstance(first, Uncertain) and isinstance(second, Uncertain):
        return _flooded_with_error(first, second.moved(_same_place, first), threshold, per, area, within)
    if isinstance(first, Uncertain) or isinstance(second, Uncertain):
        raise CubeError("one of before and after has an error, the other has none. Pass two ensembles, or estimates.")
    return _flooded(first, _same_place(second, first), threshold, per, area)


def agreement(lr_mask: xr.DataArray, sr_mask: xr.DataArray, *, area: AreaMethod = "ellipsoidal") -> xr.Dataset:
    """Compare a mask of LR with one of SR: where both have water, and where only one has.

    lr_mask, sr_mask: results of `water`, or 0 and 1 with NaN or 255 for unknown; a pixel of LR is a whole number of
        pixels of SR and is repeated over them. Two masks on one grid are compared too, such as a result with a
        reference: "LR" is then the first. Dates must be the same, or stand in one of the two only.
    Returns a lazy Dataset: `agreement` (time?, y, x) on the grid of SR, uint8, 0 background, 1 water in both, 2 in LR
    only, 3 in SR only, 255 unknown in one of them; `pixels` and `area` (hectares; left out without CRS), each
    (time?, state). Raises GridError where the grids do not nest or the first is finer, CubeError for what is no mask.
    """
    coarse, fine = as_water(lr_mask, role="lr_mask"), as_water(sr_mask, role="sr_mask")
    coarse, fine = _without_level(coarse), _without_level(fine)
    dim, other = time_dim(coarse), time_dim(fine)
    if dim and other and not (dim == other and _same_dates(coarse, fine, dim)):
        raise CubeError(
            "lr_mask and sr_mask have different dates, or another order of them. Select the same: "
            "lr_mask.sel(time=sr_mask.time)."
        )
    if differ := scalar_dates_differ(coarse.coords, fine.coords):
        raise CubeError(f"lr_mask is of {differ[0]}, sr_mask of {differ[1]}. Compare masks of the same date.")
    here, there = geobox_of(coarse), geobox_of(fine)
    if here is not None and there is not None and (factor_between(there, here) or 0) > 1:
        raise order_error(("lr_mask", "sr_mask"), "sr_mask", there, here)
    repeated = on_finer_grid(coarse, fine, what="agreement compares two masks")
    codes = _joined(repeated, fine, first_only=2, second_only=3).transpose(..., *(spatial_dims(fine) or ()))
    made = as_class_map(codes.assign_coords(fine.coords), AGREEMENT, kind="agreement", title="LR against SR", like=fine)
    return _with_area(made, AGREEMENT, area).assign(pixels=_pixels(made, AGREEMENT))


def _flooded(first: xr.DataArray, second: xr.DataArray, threshold: Threshold, per: Per, area: AreaMethod) -> xr.Dataset:
    """Classify two maps of an index, by thresholds that they share or have by date, and compare them."""
    levels = _levels(first, second, threshold, per)
    maps = [classify(values, level) for values, level in zip((first, second), levels, strict=True)]
    maps = [each.assign_attrs({LEVEL_ATTR: level_text(threshold, per)}) for each in maps]
    return _compared(maps[0], maps[1], area, threshold=levels[1])


def _levels(
    first: xr.DataArray, second: xr.DataArray, threshold: Threshold, per: Per
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the thresholds of two maps of an index."""
    if isinstance(threshold, xr.DataArray) and threshold.dims:
        raise CubeError("flood takes one level for all dates here: pass a number, or per='date' with 'otsu'.")
    if isinstance(threshold, str) and per == "date":
        return level_of([first], threshold, per), level_of([second], threshold, per)
    return (level_of([first, second], threshold, per),) * 2


def _flooded_with_error(
    first: Uncertain, second: Uncertain, threshold: Threshold, per: Per, area: AreaMethod, within: Limits
) -> xr.Dataset:
    """Compare two maps of an index with their errors: by members, or by what normal distributions give."""
    check_same_members(first, second)
    levels = _levels(first.estimate, second.estimate, threshold, per)
    how = level_text(threshold, per)
    (past, past_maps), (after, maps) = (
        water_chances(values, level, how) for values, level in zip((first, second), levels, strict=True)
    )
    dim = time_dim(first.estimate)
    members = None
    if past_maps is None or maps is None:
        before = past if dim is None else majority_of(past, dim)
        probability = _bare(after) * (1 - _bare(before))
    else:
        usual = usual_water(past_maps, dim)
        before = share_of(usual, WATER["water"])
        both = _joined(usual, maps, first_only=3, second_only=2).transpose(*maps.dims).assign_coords(maps.coords)
        members = _as_flood(both, FLOOD, past, after, title="flood, by member")
        probability = share_of(both, FLOOD["flooded"])
    states = [water_within(each, within) for each in (before, after)]
    codes = _joined(*states, first_only=3, second_only=2, unsure=UNCERTAIN_FLOOD["uncertain"])
    codes, probability = (each.transpose(*after.dims).assign_coords(after.coords) for each in (codes, probability))
    made = _as_flood(codes, UNCERTAIN_FLOOD, past, after, title="flood")
    made.attrs |= {AREA_ATTR: area, LIMITS_ATTR: limits_text(within)}
    result = with_chances(made, probability, members, second.level, levels[1])
    if (geobox := geobox_of(made)) is None or geobox.crs is None:
        return result
    if members is None:
        return result.assign(area=class_areas(made, UNCERTAIN_FLOOD, area))
    return result.assign(areas_of_members(members, area, None, second.level).data_vars)


def _bare(array: xr.DataArray) -> xr.DataArray:
    """Return an array without coordinates, which would be aligned."""
    return array.drop_vars(list(array.coords))


def _compared(
    first: xr.DataArray, second: xr.DataArray, area: AreaMethod, threshold: xr.DataArray | None
) -> xr.Dataset:
    past, now = _without_level(first), _without_level(second)
    codes = _joined(usual_water(past, time_dim(past)), now, first_only=3, second_only=2)
    codes = codes.transpose(*now.dims).assign_coords(now.coords)
    result = _with_area(_as_flood(codes, FLOOD, first, second, title="flood"), FLOOD, area)
    if threshold is not None:
        result = result.assign_coords(threshold=(threshold.dims, threshold.data, dict(threshold.attrs)))
    return result


def _as_flood(
    codes: xr.DataArray, meaning: Classes, first: xr.DataArray, second: xr.DataArray, *, title: str
) -> xr.DataArray:
    """Return a map of a flood. first, second: maps that it was made from, with attributes and dates."""
    made = as_class_map(codes, meaning, kind="flood", title=title, like=second)
    made.attrs[NAME_ATTR] = str(second.attrs.get(NAME_ATTR, ""))
    if levels := dict.fromkeys(str(each.attrs[LEVEL_ATTR]) for each in (first, second) if LEVEL_ATTR in each.attrs):
        made.attrs[LEVEL_ATTR] = ", ".join(levels)
    if OWN_ATTR in second.attrs:
        made.attrs[OWN_ATTR] = second.attrs[OWN_ATTR]
    made.attrs["xr_sr:before"] = _dates_of(first)
    made.attrs |= _sources_before(first)
    return made


def _with_area(made: xr.DataArray, meaning: Classes, area: AreaMethod) -> xr.Dataset:
    """Return a Dataset of a class map and the area of each class; without CRS, of the map alone."""
    made.attrs[AREA_ATTR] = area
    result = made.to_dataset()
    if (geobox := geobox_of(made)) is not None and geobox.crs is not None:
        result["area"] = class_areas(made, meaning, area)
    return result


def _sources_before(first: xr.DataArray) -> dict[str, str]:
    """Return the sources of the state before, as `load` noted them; those of later dates are in coordinates."""
    return {
        f"{BEFORE_ATTR}{name}": " ".join(dict.fromkeys(" ".join(map(str, np.atleast_1d(coord.values))).split()))
        for name in (SOURCE_ITEMS, SOURCE_LINKS)
        if (coord := first.coords.get(name)) is not None
    }


def _joined(
    first: xr.DataArray, second: xr.DataArray, *, first_only: int, second_only: int, unsure: int = UNKNOWN
) -> xr.DataArray:
    """Join two maps of water pixel by pixel: 0 neither, 1 both, and the numbers passed for one of them alone.

    unsure: where one of two that are known is uncertain.
    """
    codes = np.full((256, 256), UNKNOWN, np.uint8)
    codes[: len(UNCERTAIN_WATER) - 1, : len(UNCERTAIN_WATER) - 1] = unsure
    codes[0, 0], codes[1, 1], codes[1, 0], codes[0, 1] = 0, 1, first_only, second_only
    # Scalars such as a single date may differ; what the result carries is left to the caller.
    bare = [each.drop_vars([name for name in each.coords if name not in each.dims]) for each in (first, second)]
    joined: xr.DataArray = xr.apply_ufunc(
        _look_up_pair, *bare, kwargs={"codes": codes}, dask="parallelized", output_dtypes=[np.uint8]
    )
    return joined


def _look_up_pair(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], *, codes: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    found: npt.NDArray[np.uint8] = codes[first, second]
    return found


def _choose(maps: xr.DataArray, before: When, after: When) -> tuple[str, list[npt.NDArray[np.intp]]]:
    """Return the dimension of time, and the places of dates before and after."""
    dim = time_dim(maps)
    if dim is None or dim not in maps.coords:
        raise CubeError(
            "flood selects dates, but the cube has no dates. For two cubes of one date each: xr_sr.flood_between(a, b)."
        )
    chosen = [positions_of(when, maps[dim], role=role) for role, when in (("before", before), ("after", after))]
    if shared := sorted(set(chosen[0].tolist()) & set(chosen[1].tolist())):
        raise CubeError(f"before and after share {_dates_of(maps.isel({dim: shared}))}; a date is one or the other.")
    return dim, chosen


def _dates_of(maps: xr.DataArray) -> str:
    dim = time_dim(maps) or "time"
    return listed_dates(maps[dim]) if dim in maps.coords else "no dates"


def _same_place(second: xr.DataArray, first: xr.DataArray) -> xr.DataArray:
    """Return the second map with the coordinates of the first, whose grid it must have."""
    moved = on_finer_grid(second, first, what="flood_between compares two cubes")
    if moved.sizes != second.sizes:
        raise GridError(
            f"before has pixels that are finer than those of after ({dict(first.sizes)} against {dict(second.sizes)}). "
            "Reproject both to one grid, for instance by upscaling both with one model."
        )
    return moved


def _same_dates(first: xr.DataArray, second: xr.DataArray, dim: str) -> bool:
    one, other = first.indexes.get(dim), second.indexes.get(dim)
    if one is None or other is None:
        return bool(first.sizes[dim] == second.sizes[dim])
    return bool(one.equals(other))


def _without_level(mask: xr.DataArray) -> xr.DataArray:
    return mask.drop_vars("threshold", errors="ignore")


def _pixels(classes: xr.DataArray, meaning: Classes) -> xr.DataArray:
    dim = time_dim(classes)
    space = [each for each in classes.dims if each != dim]
    codes = xr.DataArray(list(meaning.values()), {"state": list(meaning)}, "state")
    counts = (classes == codes).sum(space).transpose(..., "state")
    return counts.drop_vars([name for name in counts.coords if name not in counts.dims]).assign_attrs(units="pixels")
