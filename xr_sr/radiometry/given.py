"""Check what users pass as `offset`, `quantification` and `nodata`. The metadata of a cube are read by `resolve`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_number, count_of, is_one_of, shown
from ..cube.select import Cube, Plane
from ..errors import OptionError, RadiometryError, RadiometryWarning, warn_caller
from .metadata import time_axis

Offset: TypeAlias = "float | Literal['auto'] | Sequence[float] | xr.DataArray"
"""In DN, to be added: one for all, one for each date, or 'auto' to read the metadata."""

Nodata: TypeAlias = "float | Literal['auto'] | Sequence[float] | None"
"""Values that mean "not measured", in the units of the array; None for NaN alone."""

Quantification: TypeAlias = "float | Literal['auto']"
"""DN per unit of reflectance, or 'auto': what `set_radiometry` wrote into the cube, else 10000."""

MOST_DN = 1e12
"""Offsets and quantifications beyond this, or below its inverse, overflow or vanish in float32."""


def check_radiometry(offset: Offset, quantification: Quantification, nodata: Nodata) -> None:
    """Raise RadiometryError for arguments that are wrong for any cube, also where there is no DN to be converted."""
    if not is_one_of(quantification, ("auto",)):
        given_quantification(quantification)
    if isinstance(offset, str) and offset != "auto":
        raise RadiometryError(f"offset={shown(offset)} is neither 'auto' nor in DN, such as 0 or -1000.")
    if not isinstance(offset, str | xr.DataArray):  # an array may be lazy
        _numbers_in(offset)
    if not isinstance(nodata, str) or nodata != "auto":
        given_nodata(nodata)


def given_offset(
    offset: float | Sequence[float] | xr.DataArray | None,
    cube: Cube,
    planes: Sequence[Plane],
    quantification: float,
    *,
    warn: bool,
) -> tuple[tuple[float, ...], int | None]:
    """Return an offset that was passed, and the axis along which it lies; None for one number.

    warn: of a positive one. Raises RadiometryError for what is no offset in DN, or does not fit the dates of the cube.
    """
    axis = None
    if isinstance(offset, xr.DataArray) and offset.dims:
        if len(offset.dims) > 1 or offset.dims[0] not in cube.lead:
            raise RadiometryError(f"offset= lies along {list(offset.dims)}; it can lie along one of {list(cube.lead)}.")
        axis = cube.lead.index(str(offset.dims[0]))
        dates = planes[0].array.indexes.get(offset.dims[0])
        given = offset.indexes.get(offset.dims[0])
        if dates is not None and given is not None:
            if not given.is_unique or len(lacking := dates.difference(given)):
                raise RadiometryError(
                    f"offset= must have each {offset.dims[0]} once; of the cube's it lacks {list(map(str, lacking))}."
                )
            offset = offset.isel({offset.dims[0]: given.get_indexer(dates)})
    values = _numbers_in(offset)
    if quantification >= 100 and ((values != 0) & (abs(values) < 1)).any():
        raise RadiometryError(f"offset={offset!r} looks like reflectance; expected DN: -0.1 is offset=-1000.")
    if warn and (values > 0).any():
        warn_caller(
            f"offset= is added to DN, and {values.max():g} is positive, so it makes everything brighter: "
            "BOA_ADD_OFFSET is -1000. Pass offset=-1000 where 1000 must still be subtracted, else offset=0.",
            RadiometryWarning,
        )
    if values.ndim and axis is None:
        axis = time_axis(cube, planes)
    if axis is None and values.size > 1:
        raise RadiometryError(
            f"offset= has {count_of(values.size, 'value')}, but no dimension of the cube ({list(cube.lead)}) is time."
        )
    if axis is not None and values.size != (length := planes[0].array.sizes[cube.lead[axis]]):
        raise RadiometryError(
            f"offset= has {count_of(values.size, 'value')}, and {cube.lead[axis]!r} of the cube is {length} long. Pass "
            "one for each, or a number (not a list) for all."
        )
    return tuple(values.reshape(-1).tolist()), axis


def _numbers_in(offset: object) -> npt.NDArray[np.float64]:
    """Return an offset as one finite number or several. Raises RadiometryError for anything else."""
    try:
        passed = np.asarray(offset)
    except (TypeError, ValueError):  # a DataTree, lists of several lengths
        passed = np.array(None)
    # A boolean would pass as 1 DN, and may mean "subtract the offset" or "it is in the pixels".
    if passed.dtype.kind == "b":
        raise RadiometryError(f"offset={shown(offset)} is no number of DN; pass the number itself, such as 0 or -1000.")
    if passed.dtype.kind not in "iuf" or passed.ndim > 1 or not passed.size or not np.isfinite(passed).all():
        raise RadiometryError(
            f"offset={shown(offset)} is not one number of DN, such as 0 or -1000, nor one for each date."
        )
    return passed.astype("float64")


def given_quantification(value: object) -> float:
    """Return a quantification that was passed; raises RadiometryError for what is none."""
    try:
        return check_number("quantification", value, least=1, most=MOST_DN)
    except OptionError:
        raise RadiometryError(
            f"quantification={shown(value)} is not a number of DN per unit of reflectance, 1 or more, such as 10_000 "
            "for a scale of 0.0001."
        ) from None


def given_nodata(nodata: float | Sequence[float] | str | None) -> tuple[float, ...]:
    """Read values that were passed; raises RadiometryError for booleans, which would pass as 0 or 1, and text."""
    try:
        given = np.asarray([] if nodata is None else nodata)
        several = nodata if isinstance(nodata, list | tuple) else []
        if given.dtype.kind not in "iufO" or any(isinstance(each, bool | np.bool_) for each in several):
            raise TypeError
        values = given.astype("float64").reshape(-1).tolist()
    except (TypeError, ValueError):
        raise RadiometryError(f"nodata={shown(nodata)} is neither 'auto', nor a number or several, nor None.") from None
    return tuple(sorted({value for value in values if math.isfinite(value)}))
