"""Decide what the numbers of a cube mean: DN or reflectance, and which offset at which date.

By dtypes and metadata, while the graph is built; pixels are converted and judged inside the tasks, by `convert` and
`judge`. `metadata` finds the metadata.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from ..arguments import is_one_of, shown
from ..conventions.own import ADD_OFFSET_COORD, OFFSET_ATTR, OFFSET_COORD, OWN_ATTR
from ..cube.names import listed
from ..cube.select import Cube, Plane
from ..cube.time import scalar_dates
from ..errors import RadiometryError, RadiometryWarning, warn_caller
from .convert import Radiometry
from .given import MOST_DN, Nodata, Offset, Quantification, given_nodata, given_offset, given_quantification
from .metadata import (
    check_one_nodata,
    check_one_quantification,
    declared_nodata,
    declared_scaling,
    stored_dtype,
    stored_nodata,
    time_axis,
    unpacked_by,
    written_radiometry,
)
from .offsets import advice_for_fractions, find_add_offset, find_baseline, find_flags, find_offset
from .product_metadata import Scaling, offset_in_dn, require_plausible

__all__ = [
    "ADD_OFFSET_COORD",
    "OFFSET_COORD",
    "OWN_ATTR",
    "Nodata",
    "Offset",
    "Quantification",
    "Radiometry",
    "check_not_converted",
    "offset_coords",
    "resolve",
]


_OWN_NODATA = -32768.0  # of what is packed in `io.zarr.encoding`


# Not blue and green: at the top of the atmosphere (L1C) haze alone lifts them above 1000 DN. Shortwave infrared only
# beside red: over dry land even its darkest place has 1000 DN (the official ten-band example has 1120 and 1830).
_DARK_BANDS = frozenset({"B04", "B11", "B12"})


def resolve(
    cube: Cube,
    planes: Sequence[Plane],
    *,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
) -> Radiometry:
    """Decide what the numbers of some bands mean; computes nothing but metadata along dates.

    An `offset` that is passed counts most, then what `set_radiometry` wrote, then the attributes of our own
    results, then the dtype.
    Integers are DN. Their offset is read from `boa_add_offset` (of `load`), `earthsearch:boa_offset_applied` (true: 0),
    the processing baseline or the name of the product (04.00 and later: -1000, else 0), or a scale and offset that is
    declared and not applied; all names are in `conventions`. Dates may differ.
    Floats are reflectance if they were unpacked with a scale when read, or if no metadata indicate DN. With a flag or
    baseline as above, a scale not applied, a nodata value as uint16 has it, or stored as integers, they are DN that
    have NaN for nodata, and need an offset as integers do.

    quantification: DN per unit of reflectance; 'auto' is what `set_radiometry` wrote, else 10000. offset=0 with
    quantification=1 declares floats to be reflectance.
    nodata: 'auto' is 0 for DN, and what is declared; other values replace that. NaN and infinity are nodata always.
    Raises RadiometryError for types that hold no reflectance (uint8), where the offset cannot be known (naming the
    dates if it is some of them), where metadata contradicts itself, or where it stands once and cannot hold for all
    dates. Warns RadiometryWarning if it may hold, and RadiometryWarning of a positive `offset`.
    """
    floats = _check_dtypes(planes)
    written = written_radiometry(cube, planes)
    by = "passed" if not isinstance(offset, str) else "set by set_radiometry"
    if is_one_of(quantification, ("auto",)):
        if written.quantification is not None:
            check_one_quantification(cube, planes)
        quantification = 10_000 if written.quantification is None else written.quantification
    quantification = given_quantification(quantification)
    if isinstance(nodata, str) and nodata == "auto" and written.nodata is not None:
        check_one_nodata(cube, planes)
        nodata = written.nodata
    if isinstance(offset, str) and offset == "auto" and written.offset is not None:
        offset = written.offset
    kind: Literal["reflectance", "dn"] = "dn"
    offsets: tuple[float, ...] = (0.0,)
    axis, declared, stored, ours, dated, advice = None, False, False, False, False, ""
    if not isinstance(offset, str):
        offsets, axis = given_offset(offset, cube, planes, quantification, warn=by == "passed")
        how = f"offset as {by}"
        if floats and quantification == 1 and set(offsets) == {0.0}:
            kind, how, offsets = "reflectance", f"reflectance, as {by}: offset=0, quantification=1", (0.0,)
    elif offset != "auto":
        raise RadiometryError(f"offset={shown(offset)} is neither 'auto' nor in DN, such as 0 or -1000.")
    elif own := _own_words(cube, planes):
        how, scaling, ours = own, declared_scaling(planes), True
        if scaling is not None:  # numbers as they are stored: what was added to the DN before is in them
            offsets, stored = (offset_in_dn(scaling, quantification),), True
        elif floats:
            kind = "reflectance"
        else:
            raise _unscaled(planes, own)
    elif floats and not (sign := _sign_of_dn(cube, planes)):
        kind, how, declared = "reflectance", f"reflectance, as handed in ({planes[0].array.dtype})", True
    else:
        offsets, axis, how = find_offset(cube, planes, quantification, sign if floats else "")
        advice = advice_for_fractions(cube, planes, offsets, axis, quantification) if floats else ""
        declared = True

    if beyond := [each for each in offsets if abs(each) > MOST_DN]:
        raise RadiometryError(
            f"the offset is {beyond[0]:g} DN ({how}); expected at most {MOST_DN:g}, such as 0 or -1000. Pass offset=."
        )
    values = _nodata_values(cube, planes, kind, nodata, offsets)
    if kind == "reflectance" or stored:
        axis = None
    else:
        # Dates of one offset may be followed by dates of another, in a store say, so each carries its own.
        axis = time_axis(cube, planes) if axis is None else axis
        dated = axis is None and bool(scalar_dates(planes[0].array.coords))
        formula = _formula(None if dated or axis is not None else offsets[0], quantification)
        how = f"{formula}; {how}; nodata {', '.join(f'{value:g}' for value in values) or 'NaN'}"
    if len(set(offsets)) == 1:
        offsets = offsets[:1]
    red = any(plane.band == "B04" for plane in planes)
    dark = tuple(place for place, plane in enumerate(planes) if red and plane.band in _DARK_BANDS)
    names = tuple(map(_identity, planes))
    return Radiometry(kind, offsets, quantification, values, axis, how, declared, dark, ours, dated, names, advice)


def _identity(plane: Plane) -> str:
    """Return a name for the pixels of a band, by which findings count once, however many tasks read them."""
    data = plane.array.variable._data
    return f"{getattr(data, 'name', '') or id(data)} {plane.name}"


def check_not_converted(cube: Cube, planes: Sequence[Plane]) -> None:
    """Raise RadiometryError where the bands are reflectance that this package computed, by their attributes."""
    holders = [{**cube.source.attrs, **plane.array.attrs} for plane in planes]
    words = [held.get(OWN_ATTR) or held.get(OWN_ATTR.replace(":", "_")) for held in holders]
    packed_or_float = planes[0].array.dtype.kind == "f" or declared_scaling(planes) is not None
    if packed_or_float and all(words):
        raise RadiometryError(
            f"the cube is reflectance already, a result of this package: {words[0]}. offset= and quantification= are "
            "for DN; only nodata= can be written into it. To convert DN in another way, start from the DN: "
            f"dn.sr.set_radiometry(offset=...). If the numbers were scaled since, remove the attribute {OWN_ATTR!r}."
        )


def offset_coords(radiometry: Radiometry, cube: Cube) -> dict[Hashable, xr.Variable]:
    """Return the coordinate with what was added to the DN of each date; {} for reflectance and without dates.

    Along time, or a scalar where the date is one: an image of one date and a series of them can share a store.
    """
    coord = cube.planes[0].array.coords.get(OFFSET_COORD)
    to_be_added = coord is not None and OFFSET_ATTR in coord.attrs  # which no longer holds for the result
    if not to_be_added and (radiometry.kind != "dn" or (radiometry.time_axis is None and not radiometry.dated)):
        return {}
    attrs = {"long_name": "added to DN before the division", "units": "DN"}
    if radiometry.time_axis is None:
        return {OFFSET_COORD: xr.Variable((), np.float64(radiometry.offset[0]), attrs)}
    dim = cube.lead[radiometry.time_axis]
    values = np.broadcast_to(radiometry.offset, cube.planes[0].array.sizes[dim]).astype("float64")
    return {OFFSET_COORD: xr.Variable(dim, values, attrs)}


def _check_dtypes(planes: Sequence[Plane]) -> bool:
    """Return whether the bands are floats; raises RadiometryError for what cannot be reflectance or DN."""
    kinds = set()
    for plane in planes:
        dtype, stored = plane.array.dtype, stored_dtype(plane.array)
        if stored is None or dtype.kind != "f" or unpacked_by(plane.array):
            stored = dtype
        if stored.kind == "b" or (stored.kind in "iu" and stored.itemsize == 1):
            raise RadiometryError(
                f"{plane.name!r} is {stored}: that is a picture or a mask, and the reflectance is lost. Load the bands "
                "themselves (B02, B03, ...; uint16 in all catalogues), not the true color or preview asset."
            )
        if dtype.kind not in "iuf":
            raise RadiometryError(f"{plane.name!r} holds {dtype}; expected integers (DN) or floats (reflectance).")
        kinds.add("float" if dtype.kind == "f" else "integer")
    if len(kinds) > 1:
        types = ", ".join(f"{plane.name} {plane.array.dtype}" for plane in planes)
        raise RadiometryError(
            f"some bands are integers and some floats ({types}), so they mean different things. Convert each "
            "kind with xr_sr.reflectance(...) first, and merge then."
        )
    return kinds == {"float"}


def _own_words(cube: Cube, planes: Sequence[Plane]) -> str | None:
    """Return the radiometry text of an earlier result of this package; None for other cubes.

    Bands that were taken out of a Dataset have lost its attributes, and have the coordinate of results still.
    """
    names = (OWN_ATTR, OWN_ATTR.replace(":", "_"))  # the second is the tag in a GeoTIFF
    holders = [(plane.array.attrs, cube.source.attrs) for plane in planes]
    words = [next((held[name] for held in each for name in names if held.get(name)), "") for each in holders]
    if all(words):
        return str(words[0])
    coords = [plane.array.coords.get(OFFSET_COORD) for plane in planes]
    if not all(coord is not None and OFFSET_ATTR not in coord.attrs for coord in coords):  # else it is to be added
        return None
    # Selecting dates by those of a result, cube.sel(time=result.time), copies the coordinate onto DN. An attribute that
    # is known of DN is lost together with those of results, so where it stands alone this is what happened.
    facts = [find_add_offset(cube, planes), *find_flags(cube, planes), find_baseline(cube, planes, products=False)]
    if any(fact is not None and fact.known and fact.kept for fact in facts):
        return None
    return f"{_BY_COORD}{OFFSET_COORD}"


_BY_COORD = "reflectance of an earlier result, which has "


def _unscaled(planes: Sequence[Plane], own: str) -> RadiometryError:
    """Make the error of integers that are a result of this package, without a scale."""
    if own.startswith(_BY_COORD):
        return RadiometryError(
            f"the cube ({', '.join(str(plane.name) for plane in planes)}: {planes[0].array.dtype}) holds integers and "
            f"has the coordinate {OFFSET_COORD!r} of a result, so that its numbers may be DN or packed reflectance. "
            f"Where it was copied by selecting dates, leave it out: cube.drop_vars({OFFSET_COORD!r}), or "
            "cube.sel(time=result.time.values). Else pass offset=0 if they are reflectance x quantification."
        )
    return RadiometryError(
        f"the cube ({', '.join(str(plane.name) for plane in planes)}: {planes[0].array.dtype}) holds integers and is a "
        f"result of this package ({own}), but has no scale_factor for their packing. Open what was written with "
        "xr_sr.open_zarr, or with rioxarray and mask_and_scale=True, or pass offset=0 if they are reflectance x "
        "quantification."
    )


def _sign_of_dn(cube: Cube, planes: Sequence[Plane]) -> str:
    """Return what indicates that floats are DN; "" if nothing does, or if they were unpacked when read."""
    unpacked = [unpacked_by(plane.array) for plane in planes]
    _check_unpacked(planes, unpacked)
    if all(unpacked):
        return ""
    if any(unpacked):
        names = [str(plane.name) for plane, scaling in zip(planes, unpacked, strict=True) if scaling]
        raise RadiometryError(
            f"{names} were unpacked with a scale when read, the other bands not. Read all with mask_and_scale=True."
        )
    baseline = find_baseline(cube, planes, products=False)
    facts = [find_add_offset(cube, planes), *find_flags(cube, planes), baseline]
    if known := [fact.name for fact in facts if fact is not None and fact.known]:
        return f"{known[0]} in its metadata"
    scaling = declared_scaling(planes)
    if scaling is not None:
        return f"{scaling.name} that were not applied"
    # -9999 and the like are in use for reflectance too; these are in use for uint16.
    if whole := [value for value in declared_nodata(cube, planes) if 0 <= value <= 65_535 and value == int(value)]:
        return f"a nodata value of {whole[0]:g}"
    stored = stored_dtype(planes[0].array)
    return f"pixels stored as {stored}" if stored is not None and stored.kind in "iu" else ""


def _check_unpacked(planes: Sequence[Plane], unpacked: Sequence[Scaling | None]) -> None:
    """Refuse a scale or an offset that cannot be, of those with which bands were unpacked; warn of positive offsets."""
    way = "Passing offset=0, quantification=1 declares the numbers to be reflectance all the same."
    bands_by_scaling: dict[Scaling, list[Hashable]] = defaultdict(list)
    for plane, each in zip(planes, unpacked, strict=True):
        if each is not None:
            bands_by_scaling[each].append(plane.name)
    for scaling, bands in bands_by_scaling.items():
        some = f"{listed(bands)} {'was' if len(bands) == 1 else 'were'}"
        which = "the numbers were" if len(bands) == len(planes) else some
        try:
            require_plausible(scaling)
        except RadiometryError as error:
            raise RadiometryError(f"{which} unpacked when read, and {error} {way}") from None
        if scaling.offset > 0:
            warn_caller(
                f"{which} unpacked when read, and {scaling}, which is positive, so it makes everything brighter: "
                f"Sentinel-2's is -0.1. {way}",
                RadiometryWarning,
            )


def _nodata_values(
    cube: Cube, planes: Sequence[Plane], kind: str, nodata: Nodata, offsets: Sequence[float]
) -> tuple[float, ...]:
    if isinstance(nodata, str) and nodata == "auto":
        zero = kind == "dn" and not _zero_is_a_value(cube, planes, offsets)
        return tuple(sorted({*declared_nodata(cube, planes), *([0.0] if zero else [])}))
    return given_nodata(nodata)


def _zero_is_a_value(cube: Cube, planes: Sequence[Plane], offsets: Sequence[float]) -> bool:
    """Return whether a stored 0 is reflectance 0, and not ESA's nodata.

    It is in what this package wrote, as far as that can be recognized: odc-stac keeps the dtype and nodata only, which
    are int16 and -32768. And where a file declares both its packing, without an offset, and nodata that no DN can be,
    such as -9999.
    """
    if _own_words(cube, planes) is not None:
        return True
    packed = all(plane.array.dtype == np.int16 for plane in planes) and not any(offsets)
    if packed and _OWN_NODATA in stored_nodata(cube, planes):
        return True
    with contextlib.suppress(RadiometryError):  # of bands that declare different ones; the offset may be passed
        scaling = declared_scaling(planes)
        return scaling is not None and scaling.offset == 0 and any(value < 0 for value in stored_nodata(cube, planes))
    return False


def _formula(offset: float | None, quantification: float) -> str:
    """Write down the conversion for people. offset: None where each date has its own."""
    if offset is None:
        return f"reflectance = (DN + {OFFSET_COORD}) / {quantification:g}"
    dn = "DN" if offset == 0 else f"(DN {'-' if offset < 0 else '+'} {abs(offset):g})"
    return f"reflectance = {dn} / {quantification:g}"
