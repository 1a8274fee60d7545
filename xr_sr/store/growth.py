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

from ..errors import StoreMismatchError
from ..radiometry import OFFSET_COORD
from .content import Content
from .ledger import published
from .record import LEDGER, Record
from .target import Target, is_consolidated, join_path, read_array
from .template import stored_length, stretched
from .times import shown


def fitted(target: Target, record: Record, content: Content) -> Content:
    """Check dates against those that a store holds, and later ones against its small variables; give what is written.

    A number that holds for all dates of the object is repeated along time, where the store has one for each date.
    Raises StoreMismatchError, with both values, for a date whose radiometry is another than in the store, and for
    small variables of later dates that the store cannot take without loss.
    """
    length = stored_length(target, record)
    if content.stamps is None or length is None:
        return content
    there = published(target, record, content.stamps, length)
    _refuse_other_offsets(target, record, content, there, length)
    later = [date for date, stamp in enumerate(content.stamps.values) if int(stamp) not in there]
    if not later:
        return content
    stored = xr.open_zarr(
        target.store,
        group=target.path(record.groups[0]) or None,
        chunks=None,
        mask_and_scale=dict.fromkeys(record.fields, False),
        zarr_format=record.zarr_format,
        consolidated=is_consolidated(target, record.groups[0], record.zarr_format),
    )
    return replace(content, small=_along_time(stored, record, content, later, target.label))


def _along_time(stored: xr.Dataset, record: Record, content: Content, later: list[int], label: str) -> xr.Dataset:
    """Give the small variables the dimensions that the store's have; see `fitted`."""
    time, small = content.time, content.small
    assert time is not None
    # What the fingerprint compares: the grid, the labels along other dimensions, dates themselves.
    compared = {LEDGER, content.y, content.x, content.crs_name, *(dim for each in content.fields for dim in each.dims)}
    troubles: list[str] = []
    for name in record.arrays:
        if name in compared or name in record.fields:
            continue
        old, new = stored.variables[name], small.variables.get(name)
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
                small = small.assign_coords({name: new}) if name in small.coords else small.assign({name: new})
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
            "To begin it anew write to another path, or pass overwrite=True."
        )
    return small


def _refuse_other_offsets(
    target: Target, record: Record, content: Content, there: Mapping[int, int], length: int
) -> None:
    """Raise for dates that the store holds with another offset of their DN, so that no date is of two radiometries."""
    own = content.small.variables.get(OFFSET_COORD)
    path = join_path(record.groups[0], OFFSET_COORD)
    document = read_array(target, path, record.zarr_format)
    if own is None or content.time not in own.dims or document is None or content.stamps is None:
        return
    stretched(document, record.time, length)
    stored = np.asarray(target.array(path, document)[...])
    pairs = [
        (stamp, stored[there[stamp]], value)
        for stamp, value in zip(map(int, content.stamps.values), own.values, strict=True)
        if stamp in there
    ]
    differing = [pair for pair in pairs if pair[1] != pair[2]]
    if differing:
        lines = "".join(
            f"\n  {OFFSET_COORD} at {shown(stamp, content.stamps.kind)}: the store has {old:g}, this is {new:g}"
            for stamp, old, new in differing[:5]
        )
        more = f"\n  and {len(differing) - 5} more dates" if len(differing) > 5 else ""
        raise StoreMismatchError(
            f"{target.label} holds dates of another radiometry:{lines}{more}\n"
            "Write to another path, or pass overwrite=True to replace the store."
        )


def _fits(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Say whether a type holds values without loss; a truth value is the number 0 or 1."""
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


def _told(values: NDArray[Any]) -> str:
    text = repr(values.tolist()) if values.dtype.kind not in "Mm" else str(values)
    return text if len(text) <= 80 else f"{text[:77]}..."
