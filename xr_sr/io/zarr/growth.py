"""Whether dates go with what a store holds beside the pixels: radiometry, numbers and names for each date or for all.

Nothing is changed in silence: what does not fit is refused, named, before anything is written. What the pixels depend
on as a whole is compared by `record`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...arguments import shown
from ...conventions import BASELINES, PRODUCTS, plain_name
from ...errors import StoreMismatchError
from ...radiometry.resolve import OFFSET_COORD
from .content import Content
from .documents import open_array
from .ledger import published
from .read import plain_level
from .record import Record, check_fingerprint
from .target import Target
from .template import stored_length
from .times import stamp_text
from .windows import refuse_other_windows

_IDENTITY = {*PRODUCTS, *BASELINES, "platform", "satellite"}
"""Coordinates that name the image of a date, as `plain_name` writes them."""

_DATED = "obj.assign_coords(time=numpy.datetime64('2023-06-01'))."


def fitted(target: Target, record: Record, content: Content) -> Content:
    """Check dates against those that a store holds, and later ones against its small variables; give what is written.

    A number that holds for all dates of the object is repeated along time, where the store has one for each date.
    Raises StoreMismatchError, with both values, for a date whose radiometry is another than in the store, for small
    variables of later dates that the store cannot take without loss, for windows of time that have other dates than in
    the store, and for a raster of one date, or of none, that
    differs in a small variable from the one that is there.
    """
    length, stamps = stored_length(target, record), content.stamps
    there: dict[int, int] = {}
    later: list[int] = []
    if stamps is not None and length is not None:
        there = published(target, record, stamps, length)
        later = [date for date, stamp in enumerate(stamps.values) if int(stamp) not in there]
        _refuse_other_offsets(target, record, content, there, length)
    with target.reading("the metadata"):
        stored = plain_level(target, record, 0)
        if not (content.one_date and later):
            _refuse_other_values(stored, record, content, there, target.label)
        refuse_other_windows(stored, content, there, target.label)
        return replace(content, small=_along_time(stored, record, content, later, target.label)) if later else content


def ordered_like(record: Record, content: Content) -> Content:
    """Put the time axis that a raster of one date got where the variables of a store have it, or none where they don't.

    What is there for all dates is written once, with the first of them.
    """
    stored, time = record.fingerprint["variables"], content.time
    if not content.one_date or record.time != time:
        return content
    fields = []
    for each in content.fields:
        dims = tuple(stored.get(each.name, {}).get("dims", each.dims))
        if set(dims) == set(each.dims):
            axes = [each.dims.index(dim) for dim in dims]
            fields.append(replace(each, dims=dims, array=each.array.transpose(axes)))
        elif set(dims) == set(each.dims) - {time}:
            axis = each.dims.index(str(time))
            rest = tuple(dim for dim in each.dims if dim != time)
            fields.append(replace(each, dims=rest, array=each.array[(slice(None),) * axis + (0,)]))
        else:
            fields.append(each)
    return replace(content, fields=tuple(fields))


def _refuse_other_values(
    stored: xr.Dataset, record: Record, content: Content, there: Mapping[int, int], label: str
) -> None:
    """Raise if a raster without a date, or dates that the store holds, have other values there.

    there: positions of stored dates. Of dates along time, only what names their image is compared, such as `id`:
    catalogs change links, dates of creation and cloud cover between queries.
    """
    time, stamps, small = content.time, content.stamps, content.small.variables
    names = [name for name in record.small_of(0) if name in small and name not in _compared(content)]
    places = [("", 0, 0)]
    if stamps is not None:
        dates = [(int(stamp), date) for date, stamp in enumerate(stamps.values) if int(stamp) in there]
        places = [(f" at {stamp_text(stamp, stamps.kind)}", there[stamp], date) for stamp, date in dates]
        if not content.one_date:
            names = [name for name in names if plain_name(name) in _IDENTITY]
            names = [name for name in names if small[name].dims == stored[name].dims == (time,)]
    old, new = {}, {}
    for name in names:
        held = stored.variables[name].load()
        for moment, slot, date in places:
            if time in held.dims and slot >= held.sizes[time]:  # an interrupted extension
                continue
            was = held.isel({time: slot}) if time in held.dims else held
            now = small[name].isel({time: date}) if time in small[name].dims else small[name]
            if not _alike(was, now):
                old[f"{name}{moment}"], new[f"{name}{moment}"] = _listed(was.values), _listed(now.values)
    hint = "To collect images of several dates, give each its date from the first on: " + _DATED
    check_fingerprint(old, new, label, hint if stamps is None else "")


def _alike(old: xr.Variable, new: xr.Variable) -> bool:
    """Return whether two small variables agree; numbers that were computed may differ by rounding."""
    if set(old.dims) != set(new.dims):
        return False
    new = new.transpose(*old.dims)
    if old.dtype.kind == new.dtype.kind == "f" and old.shape == new.shape:
        return bool(np.allclose(old.values, new.values, rtol=1e-6, atol=0, equal_nan=True))
    return _equal(old.values, new.values)


def _compared(content: Content) -> set[str | None]:
    """Name what the fingerprint compares: the grid, the labels along other dimensions, dates themselves."""
    dims = (dim for each in content.fields for dim in each.dims)
    return {content.y, content.x, content.crs_name, content.time, *dims}


def _along_time(stored: xr.Dataset, record: Record, content: Content, later: list[int], label: str) -> xr.Dataset:
    """Return the small variables with the dimensions of those in the store; see `fitted`."""
    time, small = content.time, content.small
    assert time is not None
    compared = _compared(content)
    troubles: list[str] = []
    for name in record.small_of(0):
        if name in compared:
            continue
        old, new = stored.variables[name], small.variables.get(name)
        if content.one_date and new is not None and time in new.dims and time not in old.dims:
            new = new.isel({time: 0})
            small = small.assign({name: new})
        if time not in old.dims:
            if new is not None and not (new.dims == old.dims and _equal(old.values, new.values)):
                troubles.append(
                    f"{name}: the store has {_told(old.values)} for all dates, this is {_told(new.values)}; leave it "
                    f"out, obj.drop_vars({name!r}), or begin the store with one for each date"
                )
        elif new is None:
            if old.dtype.kind != "f":
                troubles.append(
                    f"{name}: the store has {_kind(old.dtype)} for each date, which cannot be missing, and this has "
                    f"none; give it: obj.assign_coords({name}=({time!r}, [...]))"
                )
        else:
            if time not in new.dims and set(new.dims) == set(old.dims) - {time}:
                new = new.set_dims({time: small.sizes[time], **dict(zip(new.dims, new.shape, strict=True))})
                new = new.transpose(*old.dims).copy(deep=True)
                small = small.assign({name: new})
            if set(new.dims) != set(old.dims):
                troubles.append(f"{name}: the store has it along {list(old.dims)}, this along {list(new.dims)}")
            elif not _fits(values := new.isel({time: later}).values, old.dtype):
                troubles.append(
                    f"{name}: the store has {_kind(old.dtype)} for each date, in which {_told(values)} cannot be kept; "
                    "round it, or begin the store with a type that holds all dates"
                )
    if troubles:
        raise StoreMismatchError(
            f"{label} cannot take the new dates without loss:" + "".join(f"\n  {each}" for each in troubles) + "\n"
            "To start over, write to another path, or pass overwrite=True."
        )
    return small


def _refuse_other_offsets(
    target: Target, record: Record, content: Content, there: Mapping[int, int], length: int
) -> None:
    """Raise for dates that the store holds with another offset of their DN, so that no date is of two radiometries."""
    own = content.small.variables.get(OFFSET_COORD)
    held = OFFSET_COORD in record.arrays
    if own is None or content.time not in own.dims or not held or content.stamps is None:
        return
    stored = np.asarray(open_array(target, record, 0, OFFSET_COORD, length=length)[...])
    pairs = [
        (stamp, stored[there[stamp]], value)
        for stamp, value in zip(map(int, content.stamps.values), own.values, strict=True)
        if stamp in there
    ]
    differing = [pair for pair in pairs if pair[1] != pair[2]]
    if differing:
        lines = "".join(
            f"\n  {OFFSET_COORD} at {stamp_text(stamp, content.stamps.kind)}: the store has {old:g}, this is {new:g}"
            for stamp, old, new in differing[:5]
        )
        more = f"\n  and {len(differing) - 5} more dates" if len(differing) > 5 else ""
        raise StoreMismatchError(
            f"{target.label} holds dates of another radiometry:{lines}{more}\n"
            "Write to another path, or pass overwrite=True to replace the store."
        )


def _fits(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Return whether a type holds values without loss; a boolean is the number 0 or 1."""
    if _kind(values.dtype) != _kind(dtype) and not (values.dtype.kind in "biufc" and dtype.kind in "biufc"):
        return False
    if values.dtype.kind in "OUTMm":
        return True
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        back = values.astype(dtype).astype(values.dtype)
    return _equal(back, values)


def _equal(old: NDArray[Any], new: NDArray[Any]) -> bool:
    if old.shape != new.shape or (old.dtype.kind in "OUT") != (new.dtype.kind in "OUT"):
        return False
    if old.dtype.kind in "OUT":
        return bool(old.tolist() == new.tolist())
    return bool(np.array_equal(old, new, equal_nan=old.dtype.kind in "fcMm" and new.dtype.kind in "fcMm"))


def _kind(dtype: np.dtype[Any]) -> str:
    return {"O": "text", "U": "text", "T": "text", "M": "dates", "m": "durations"}.get(dtype.kind, dtype.name)


def _listed(values: NDArray[Any]) -> Any:
    return values.tolist() if values.dtype.kind not in "Mm" else str(values)


def _told(values: NDArray[Any]) -> str:
    return shown(_listed(values))
