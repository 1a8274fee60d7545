"""Find the offset in DN that the metadata of a cube declare, date by date, and check whether it can hold for all dates.

`xarray.concat` and `open_mfdataset` keep the attributes and the file name of the first array, whatever the others had.
So attributes and names of products are compared with the dates before they count. Coordinates are not: xarray compares
them itself, and turns those that differ into one value per date. `metadata` finds where metadata stand; `resolve`
decides what integers and floats mean.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import numpy as np

from ..conventions import ADD_OFFSETS, BASELINES, FLAGS, plain_name
from ..cube.select import Cube, Plane
from ..cube.time import DATES
from ..errors import RadiometryError, RadiometryWarning, warn_caller
from .metadata import Fact, declared_scaling, find_facts, find_harmonized, find_products, step_names, time_axis
from .product_metadata import (
    BOA_ADD_OFFSET,
    FIRST_BASELINE_WITH_OFFSET,
    FIRST_DAY_WITH_OFFSET,
    Product,
    offset_in_dn,
    offset_of_baseline,
    read_baseline,
    read_day,
    read_flag,
    read_number,
)

_ONLY_THE_FIRST = "xarray.concat and open_mfdataset keep the attributes and the file name of the first array only"
_ONE_DAY = np.timedelta64(1, "D")  # time stamps of solar days, and midnight between two granules


def check_dates(
    fact: Fact, offset: float, cube: Cube, planes: Sequence[Plane], *, places: Sequence[int] | None = None
) -> None:
    """Compare a fact without a time axis with the dates for which it decides; a fact with a time axis passes.

    offset: in DN, what the fact means. places: along time, where it decides; everywhere by default.
    Raises RadiometryError where it cannot hold for a date. Warns RadiometryWarning where it may be right, and nothing
    shows that it is.
    """
    if fact.axis is not None:
        _check_products(fact, cube, planes)
        return
    axis, days = days_of(cube, planes)
    several = len(days) > 1
    where = range(len(days)) if places is None else places
    verdicts = {place: _holds(fact, days[place], offset, several=several) for place in where}
    labels = step_names(cube, planes, axis) if several and axis is not None else [str(day) for day in days]
    if wrong := [place for place, holds in verdicts.items() if holds is False]:
        raise _contradiction(
            fact, [labels[place] for place in wrong], cube.lead[axis] if several and axis is not None else ""
        )
    if unsure := [labels[place] for place, holds in verdicts.items() if holds is None]:
        warn_caller(
            f"an offset of {offset:g} DN is used for {listed_steps(unsure)}, by one {fact.name} ({_said(fact)}) for "
            f"all dates. {_ONLY_THE_FIRST}, so other dates may have had another. Pass offset= with one number for each "
            "date to be sure.",
            RadiometryWarning,
        )


def _check_products(fact: Fact, cube: Cube, planes: Sequence[Plane]) -> None:
    """Raise where names of products along dates are of other days: an attribute stays when a cube is reordered."""
    axis, days = days_of(cube, planes)
    if axis != fact.axis or not fact.kept:
        return
    labels = step_names(cube, planes, axis) if axis is not None else []
    for label, day, product in zip(labels, days, fact.values, strict=True):
        if not isinstance(product, Product) or day is None or not product.days:
            continue
        if all(abs(day - other) > _ONE_DAY for other in product.days):
            raise RadiometryError(
                f"{fact.name} lists a product of {listed_steps(sorted(map(str, product.days)))} for {label}: the list "
                "is in another order than the dates, as after .sortby or .isel. Make it a coordinate along time when "
                "the cube is loaded, or pass offset= with one number for each date."
            )


def _contradiction(fact: Fact, dates: Sequence[str], dim: str) -> RadiometryError:
    """Make the error of a fact that cannot hold for some dates. dim: of several dates; "" where the cube has one."""
    found = f"{fact.name} ({_said(fact)}) cannot be that of {listed_steps(dates)}"
    if isinstance(fact.values[0], Product):
        why = "that product was sensed on another day"
    else:
        why = f"products of {FIRST_DAY_WITH_OFFSET} and later have baseline {FIRST_BASELINE_WITH_OFFSET:05.2f} or later"
    baseline = "'s2:processing_baseline'"
    if dim:
        joined = f" {_ONLY_THE_FIRST}. Before joining" if fact.kept else " Instead"
        return RadiometryError(
            f"{found}: {why}.{joined}, give each array its own, array.assign_coords({{{baseline}: ('{dim}', "
            "['05.00'])}), or pass offset= with one number for each date."
        )
    return RadiometryError(
        f"{found}, the date of the cube: {why}. Correct what is wrong, the date or the metadata, "
        f"cube.assign_coords({{{baseline}: '05.00'}}), or pass offset=: -1000 where the pixels are as ESA delivers "
        "them from baseline 04.00 on, else 0."
    )


def days_of(cube: Cube, planes: Sequence[Plane]) -> tuple[int | None, list[np.datetime64 | None]]:
    """Return the time axis, if any, and the day of each place along it, None where it is not known; computes nothing.

    Without a time axis, the one day of a scalar coordinate such as "time".
    """
    axis, coords = time_axis(cube, planes), planes[0].array.coords
    dims = () if axis is None else (cube.lead[axis],)
    names = [*dims, *DATES, *(name for name, coord in coords.items() if coord.dtype.kind == "M")]
    for name in names:
        coord = coords.get(name)
        if coord is None or coord.dims != dims:
            continue
        days = [read_day(value) for value in np.atleast_1d(np.asarray(coord.values))]
        if any(day is not None for day in days):
            return axis, days
    return axis, [None] * (1 if axis is None else planes[0].array.sizes[cube.lead[axis]])


def _holds(fact: Fact, day: np.datetime64 | None, offset: float, *, several: bool) -> bool | None:
    """Return whether a fact holds for a day: True, False, or None where it is open.

    From `FIRST_DAY_WITH_OFFSET` on, all products have the offset, whichever is meant.
    """
    value = fact.values[0]
    late = day is not None and day >= FIRST_DAY_WITH_OFFSET
    if isinstance(value, Product):
        if day is None or not value.days:
            return None if several else True
        return bool(late and offset == BOA_ADD_OFFSET) or any(
            bool(abs(day - other) <= _ONE_DAY) for other in value.days
        )
    if late and offset == BOA_ADD_OFFSET:
        return True
    if late and plain_name(fact.name) in BASELINES and (fact.kept or several):
        return False
    return None if fact.kept and several else True


def _said(fact: Fact) -> str:
    """Return the value of a fact as text, for a message."""
    value = fact.values[0]
    if isinstance(value, Product):
        days = sorted(map(str, value.days))
        return f"baseline {value.baseline:05.2f}{f' of {listed_steps(days)}' if days else ''}"
    if isinstance(value, float) and plain_name(fact.name) in BASELINES:
        return f"{value:05.2f}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed_steps(labels: Sequence[str]) -> str:
    """Write dates for a message: all of a few, else the first four and how many others there are."""
    return f"{', '.join(labels[:4])}{f' and {len(labels) - 4} others' if len(labels) > 4 else ''}"


_WHAT_TO_PASS = (
    "Pass offset=-1000 where the processing baseline is 04.00 or later (so for all dates from "
    f"{FIRST_DAY_WITH_OFFSET} on) and the pixels are as ESA delivers them (Planetary Computer, CDSE, "
    "sentinel-2-c1-l2a), offset=0 where it is older or the offset is already in the pixels (Earth Engine's HARMONIZED, "
    "openEO, most of Earth Search's sentinel-2-l2a), or one number for each date. To have it read, load by "
    "xr_sr.load(items), or set it in each item, item.properties['boa_add_offset'] = "
    "xr_sr.stac.boa_add_offset(item), and load by odc.stac.load(..., with_properties=['boa_add_offset'])"
)


def find_offset(
    cube: Cube, planes: Sequence[Plane], quantification: float, sign: str
) -> tuple[tuple[float, ...], int | None, str]:
    """Read the offset of DN in the metadata: offsets, the axis along which they lie, and by what.

    sign: what shows that floats are DN, for messages. In this order: an offset in DN; a flag that is true (0), or a
    collection of which the offset is removed (0); the processing baseline, else that in the name of the product; a
    declared scale and offset.
    Raises RadiometryError where it is unknown, for some dates too, and for what is found once and cannot hold for
    all dates; warns RadiometryWarning where it may.
    """
    added = find_add_offset(cube, planes)
    if added is not None and all(value is not None for value in added.values):
        numbers = tuple(value for value in added.values if isinstance(value, float))
        check_dates(added, numbers[0], cube, planes)
        _compare_with_scaling(added.name, numbers, planes, quantification)
        _warn_of_positive(f"{added.name} is {max(numbers):g}", max(numbers))
        return numbers, added.axis, f"offset by {added.name}"
    flags = [*find_flags(cube, planes), *find_harmonized(cube, planes)]
    baseline = find_baseline(cube, planes)
    facts = [*flags, *([] if baseline is None else [baseline])]
    names = " and ".join(fact.name for fact in facts)
    axes = {fact.axis for fact in facts} - {None}
    if len(axes) > 1:
        raise RadiometryError(f"{names} lie along different dimensions. Pass offset=.")
    axis = axes.pop() if axes else None
    steps = 1 if axis is None else planes[0].array.sizes[cube.lead[axis]]
    decided = [_decide(step, flags, baseline) for step in range(steps)]
    known = [each[0] for each in decided if each is not None]
    if len(known) == steps:
        for fact in facts:
            places = [step for step, each in enumerate(decided) if each is not None and each[1] is fact]
            if places:
                where = places if axis is not None and axis == time_axis(cube, planes) else None
                check_dates(fact, known[places[0]], cube, planes, places=where)
        if baseline is not None:
            by_baseline = [each[0] for each in decided if each is not None and each[1] is baseline]
            _compare_with_scaling(baseline.name, by_baseline, planes, quantification)
        return tuple(known), axis, f"offset by {names}"
    if known and axis is not None:
        labels = step_names(cube, planes, axis)
        unknown = [step for step, each in enumerate(decided) if each is None]
        raise RadiometryError(
            f"the offset is unknown at {listed_steps([labels[step] for step in unknown])}: "
            f"{_why_unknown(added, flags, baseline, unknown)}. Drop these dates, or pass offset= with one number for "
            f"each of the {steps} dates: -1000 where the processing baseline is 04.00 or later and the offset is not "
            "in the pixels yet, else 0."
        )
    scaling = declared_scaling(planes)
    if scaling is not None:
        offset = offset_in_dn(scaling, quantification)
        _warn_of_positive(str(scaling), offset)
        check_dates(Fact(scaling.name, (offset,), kept=scaling.kept), offset, cube, planes)
        return (offset,), None, f"offset by {scaling.name}"
    raise _unknown_offset(planes, sign, _why_unknown(added, flags, baseline, range(steps)))


def advice_for_fractions(
    cube: Cube, planes: Sequence[Plane], offsets: Sequence[float], axis: int | None, quantification: float
) -> str:
    """Return advice in case that values which are DN by their metadata are fractions, as reflectance is; usually "".

    offsets, axis: as `find_offset` found them. A loader that applies a declared scale and offset (stackstac does by
    default) subtracts 0.1 from pixels that have the offset already, as most of Earth Search's have.
    """
    flags = [fact for fact in find_flags(cube, planes) if any(fact.values)]
    names = " and ".join(fact.name for fact in flags)
    scaling = None
    with contextlib.suppress(RadiometryError):  # one that cannot be was not applied
        scaling = declared_scaling(planes)
    if scaling is not None:
        declared = scaling.offset / (scaling.scale or 1 / quantification)
        wrong = [place for place, offset in enumerate(offsets) if round(offset - declared)]
        why = f"{scaling}, while an offset of {{offset:g}} DN is right ({names or 'by the baseline'})"
    else:  # stackstac drops what differs between Items
        declared = BOA_ADD_OFFSET
        wrong = [place for place in range(len(offsets)) if any(flag.at(place) for flag in flags)]
        why = f"by {names}, the offset was in the pixels already"
    if not wrong:
        return ""
    excess = (offsets[wrong[0]] - declared) / quantification
    labels = step_names(cube, planes, axis) if axis is not None and len(wrong) < len(offsets) else []
    where = f" at {', '.join(labels[place] for place in wrong[:4])}" if labels else ""
    change = f"{'add' if excess > 0 else 'subtract'} {abs(excess):g}{' there' if where else ''}"
    return (
        f"They are {abs(excess):g} too {'low' if excess > 0 else 'high'}{where} if a loader applied the declared scale "
        f"and offset, as stackstac does by default: {why.format(offset=offsets[wrong[0]])}. Load with rescale=False, "
        f"or {change}, and pass offset=0, quantification=1."
    )


def find_add_offset(cube: Cube, planes: Sequence[Plane]) -> Fact | None:
    """Find an offset that stands in DN, such as the `boa_add_offset` of `load`; None without one that is known."""
    return _first(find_facts(cube, planes, ADD_OFFSETS, _read_offset))


def find_flags(cube: Cube, planes: Sequence[Plane]) -> list[Fact]:
    """Find the flags for an offset that is in the pixels already; those along dates, if there are any."""
    found = [fact for fact in find_facts(cube, planes, FLAGS, read_flag) if fact.known]
    return [fact for fact in found if fact.axis is not None] or found


def find_baseline(cube: Cube, planes: Sequence[Plane], *, products: bool = True) -> Fact | None:
    """Find the processing baseline: what lies along dates and is known everywhere counts more than what does not.

    products: read the names of products too. If none is known, the first that is present without a value.
    """
    found = find_facts(cube, planes, BASELINES, read_baseline)
    named = find_products(cube, planes) if products and not any(fact.known for fact in found) else []
    return _first([*found, *named]) or (found[0] if found else None)


def _first(facts: Sequence[Fact]) -> Fact | None:
    known = [fact for fact in facts if fact.known]
    dated = [fact for fact in known if fact.axis is not None] or known
    return next((fact for fact in dated if None not in fact.values), dated[0] if dated else None)


def _read_offset(value: object) -> float | None:
    """Read an offset in DN; None where it is not known.

    Raises RadiometryError for one in reflectance, as -0.1 is, and for what only the mean of several offsets can be.
    """
    number = read_number(value)
    if number is None or math.isnan(number):
        return None
    if math.isinf(number) or 0 < abs(number) < 1:
        raise RadiometryError(f"{number:g} is no offset in DN, such as -1000 or 0; correct it, or pass offset=")
    if BOA_ADD_OFFSET < number < 0:
        raise RadiometryError(
            f"{number:g} is no offset of ESA (0 or {BOA_ADD_OFFSET:g}), but may be the mean of several: load items of "
            "different offsets as different dates, or pass offset="
        )
    return number


def _warn_of_positive(declared: str, offset: float) -> None:
    if offset > 0:
        warn_caller(
            f"{declared}, so {offset:g} is added to DN, which makes everything brighter: BOA_ADD_OFFSET is -1000. Pass "
            "offset=-1000 where 1000 must still be subtracted, else offset=0.",
            RadiometryWarning,
        )


def _compare_with_scaling(name: str, offsets: Sequence[float], planes: Sequence[Plane], quantification: float) -> None:
    """Warn where a declared scale and offset contradict the offset of an offset in DN or a baseline."""
    with contextlib.suppress(RadiometryError):  # one that cannot be does not count
        scaling = declared_scaling(planes)
        declared = None if scaling is None else offset_in_dn(scaling, quantification)
        if others := sorted({offset for offset in offsets if declared is not None and offset != declared}):
            warn_caller(
                f"{name} means an offset of {others[0]:g} DN, and {scaling}, which is {declared:g} DN. {others[0]:g} "
                "is used; look at dark pixels, and pass offset= if it is wrong.",
                RadiometryWarning,
            )


def _decide(step: int, flags: Sequence[Fact], baseline: Fact | None) -> tuple[float, Fact] | None:
    """Return the offset of one date and the fact that decides it; None where it is unknown."""
    for flag in flags:
        if flag.at(step):
            return 0.0, flag
    value = None if baseline is None else baseline.at(step)
    number = value.baseline if isinstance(value, Product) else value
    if baseline is None or not isinstance(number, float):
        return None
    return offset_of_baseline(number), baseline


def _why_unknown(added: Fact | None, flags: Sequence[Fact], baseline: Fact | None, steps: Sequence[int]) -> str:
    """Write, for a message, which metadata of some dates leave the offset open, and which are missing."""
    known = []
    if added is not None:
        known.append(f"{added.name} is missing at some of the dates")
    for flag in flags:
        values = {flag.at(step) for step in steps}
        states = [word for value, word in ((False, "is False"), (None, "is missing")) if value in values]
        known.append(f"{flag.name} {' or '.join(states)}{', so the offset is not in the pixels' * (values == {False})}")
    if baseline is not None:
        return ", and ".join([*known, f"{baseline.name} is missing, or is no baseline of ESA such as 05.09"])
    if not known:
        return "neither boa_offset_applied, nor a processing baseline, nor a scale is in its metadata"
    return f"{' and '.join(known)}, but the processing baseline, which decides whether there is an offset, is missing"


def _unknown_offset(planes: Sequence[Plane], sign: str, why: str) -> RadiometryError:
    """Make the error of a cube whose offset is unknown. why: what is known of it, and what is missing."""
    bands = ", ".join(str(plane.name) for plane in planes)
    what = f"has {sign}, so it holds DN with NaN for nodata" if sign else "holds integers, so digital numbers (DN)"
    floats = " If it is reflectance already, pass offset=0, quantification=1." if sign else ""
    return RadiometryError(
        f"the cube ({bands}: {planes[0].array.dtype}) {what}, but whether 1000 must still be subtracted is unknown: "
        f"{why}.{floats} {_WHAT_TO_PASS}."
    )
