"""Where a cube says what its numbers mean: per-date variables, coordinates, attributes, encodings, names of products.

Finds and reads; what follows from it is decided in `radiometry`. Computes nothing but variables of a few numbers per
date.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from .cube import Cube, Plane
from .errors import RadiometryError

__all__ = [
    "Fact",
    "Scaling",
    "declared_nodata",
    "declared_scaling",
    "find_fact",
    "packed_scaling",
    "product_baseline",
    "read_baseline",
    "read_flag",
    "step_names",
    "steps_of",
    "stored_dtype",
    "time_axis",
]

_PRODUCT = re.compile(r"S2[A-Z]_MSIL(?:1C|2A)_\d{8}T\d{6}_N(\d{4})_R\d{3}")
_NODATA_KEYS = ("_FillValue", "nodata", "missing_value", "nodatavals")


@dataclass(frozen=True)
class Fact:
    """One thing that metadata says: `values` holds one for all, or one per place along the leading dimension `axis`."""

    name: str
    values: tuple[object, ...]
    axis: int | None = None

    def at(self, step: int) -> object:
        """Give the value at a place along the axis."""
        return self.values[0] if self.axis is None else self.values[step]


@dataclass(frozen=True)
class Scaling:
    """A declared linear conversion, value = stored * scale + offset; `scale` is None where only the offset is said."""

    name: str
    scale: float | None
    offset: float


def find_fact(cube: Cube, planes: Sequence[Plane], names: Sequence[str]) -> Fact | None:
    """Look for the first of some names that is there: in coordinates, variables, then attributes.

    names: lower case, words joined by "_"; "s2:processing_baseline" is found as "s2_processing_baseline". Variables
    count where they lie along leading dimensions only, so a map of that name does not. Raises RadiometryError where
    bands contradict each other.
    """
    for name in names:
        for holders in _levels(cube, planes):
            found = [
                fact
                for holder in holders
                for key, value in holder.items()
                if _plain(key) == name and (fact := steps_of(value, cube, planes, str(key))) is not None
            ]
            if found:
                _agree([fact.values for fact in found], repr(found[0].name))
                return found[0]
    return None


def product_baseline(cube: Cube, planes: Sequence[Plane]) -> Fact | None:
    """Read the processing baseline in the name of the ESA product that the pixels were opened from: "_N0509_R013_"."""
    texts = [
        str(text)
        for holder in (
            *(plane.array.encoding for plane in planes),
            *(plane.array.attrs for plane in planes),
            cube.source.attrs,
        )
        for key, text in holder.items()
        if _plain(key) in ("source", "product_uri", "product_id")
    ]
    found = {match[1] for text in texts if (match := _PRODUCT.search(text))}
    if len(found) > 1:
        raise RadiometryError(
            f"the bands come from products of different baselines, {sorted(found)}. Pass offset= for each date."
        )
    return Fact("the name of the product", tuple(found)) if found else None


def declared_scaling(planes: Sequence[Plane]) -> Scaling | None:
    """Find a scale and an offset that are declared but not applied: CF attributes, STAC raster:bands; None without.

    A scale of 1 with an offset of 0 is what readers write where the file says nothing, so it is no information.
    Raises RadiometryError where bands say different things.
    """
    found = {plane.band: _scaling_of(plane) for plane in planes}
    said = [scaling for scaling in found.values() if scaling is not None]
    if not said:
        return None
    _agree([(s and s.scale, s and s.offset) for s in found.values()], f"{said[0].name} of the bands {sorted(found)}")
    return said[0]


def packed_scaling(array: xr.DataArray) -> bool:
    """Tell whether the array was unpacked with a scale or an offset when it was read, as its encoding says."""
    scale, offset = _number(array.encoding.get("scale_factor")), _number(array.encoding.get("add_offset"))
    return not _says_nothing(scale, offset)


def stored_dtype(array: xr.DataArray) -> np.dtype[Any] | None:
    """Give the type that the numbers had on disk, as the encoding says; None where it does not."""
    for key in ("rasterio_dtype", "dtype"):
        if array.encoding.get(key) is not None:
            with contextlib.suppress(TypeError):
                return np.dtype(str(array.encoding[key]))
    return None


def declared_nodata(cube: Cube, planes: Sequence[Plane]) -> tuple[float, ...]:
    """Give the finite values that are declared as nodata, in the unit of the array.

    The encoding counts for integers only: what it names in floats became NaN when they were read. Nothing counts for
    floats that were unpacked: what is declared are stored numbers, and 0 may be a true reflectance where DN 0 was not.
    """
    if any(plane.array.dtype.kind == "f" and packed_scaling(plane.array) for plane in planes):
        return ()
    holders: list[Mapping[Any, Any]] = [cube.source.attrs, *(plane.array.attrs for plane in planes)]
    holders += [plane.array.encoding for plane in planes if plane.array.dtype.kind in "iu"]
    values = {number for holder in holders for key in _NODATA_KEYS for number in _numbers(holder.get(key))}
    return tuple(sorted(value for value in values if math.isfinite(value)))


def steps_of(value: object, cube: Cube, planes: Sequence[Plane], name: str) -> Fact | None:
    """Lay a value along the leading dimensions of a cube; None where it does not fit there.

    value: a scalar, a DataArray, or a sequence with one entry for each place along time.
    Raises RadiometryError where it differs between bands, or along several dimensions.
    """
    if isinstance(value, xr.DataArray | xr.Variable):
        dims = [str(dim) for dim in value.dims]
        if not set(dims) <= {*cube.lead, *([cube.band_dim] if cube.band_dim else [])}:
            return None
        values = np.asarray(value.values)
        if cube.band_dim in dims:
            values = np.moveaxis(values, dims.index(str(cube.band_dim)), 0)
            _agree([plane.tolist() for plane in values], f"{name!r} along {cube.band_dim!r}")
            values = values[0]
            dims.remove(str(cube.band_dim))
        if len(dims) > 1:
            raise RadiometryError(f"{name!r} lies along {dims}; one offset for each date is what can be applied.")
        return Fact(name, tuple(values.reshape(-1).tolist()), cube.lead.index(dims[0]) if dims else None)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        return Fact(name, (value,))
    values = np.asarray(value, dtype=object).reshape(-1)
    axis = time_axis(cube, planes)
    if axis is not None and len(values) == planes[0].array.sizes[cube.lead[axis]]:
        return Fact(name, tuple(values), axis)
    return Fact(name, (values[0],)) if len(set(map(str, values))) == 1 else None


def step_names(cube: Cube, planes: Sequence[Plane], axis: int) -> list[str]:
    """Name the places along a leading dimension for a message: "2022-02-01 (time 3)"."""
    dim = cube.lead[axis]
    array = planes[0].array
    if dim not in array.coords:
        return [f"{dim} {place}" for place in range(array.sizes[dim])]
    labels = array.coords[dim].values
    texts = np.datetime_as_string(labels, unit="D") if labels.dtype.kind == "M" else labels.astype(str)
    return [f"{text} ({dim} {place})" for place, text in enumerate(texts)]


def read_baseline(value: object) -> float | None:
    """Read a processing baseline as a number: 5.09 of 5.09, "05.09", "N0509", "0509"; None where it is not known.

    99.99 is what a local run of Sen2Cor writes, whatever its version, so it tells nothing.
    """
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        text = value.strip().upper().removeprefix("N")
        if not re.fullmatch(r"\d{4}|\d{2}\.\d|\d{1,2}\.\d{2}", text):  # "1.2" is the version of something else
            return None
        value = float(text)
    number = _number(value)
    if number is None or not math.isfinite(number):
        return None
    number = number / 100 if number >= 100 else number
    return number if 0 < number < 90 else None


def read_flag(value: object) -> bool | None:
    """Read a flag that may have been stored as a number or as text; None where it is not known."""
    if isinstance(value, str | bytes):
        text = (value.decode(errors="replace") if isinstance(value, bytes) else value).strip().lower()
        return {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(text)
    number = _number(value)
    return None if number is None or not math.isfinite(number) else number != 0


def _levels(cube: Cube, planes: Sequence[Plane]) -> Iterator[list[Mapping[Any, Any]]]:
    """Give what carries names and values; what lies along dates first: an attribute may be left from one of them."""
    arrays = list({id(plane.array): plane.array for plane in planes}.values())
    variables = cube.source.data_vars if isinstance(cube.source, xr.Dataset) else {}
    yield [*(array.coords for array in arrays), cube.source.coords, variables]
    yield [array.attrs for array in arrays]
    yield [cube.source.attrs]


def _plain(key: Hashable) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(key).lower()).strip("_")


def _agree(values: Iterable[object], what: str) -> None:
    """Raise where things that must be the same are not; NaN equals NaN."""
    texts = sorted({repr(value) for value in values})
    if len(texts) > 1:
        raise RadiometryError(
            f"{what} contradict each other: {', '.join(texts[:4])}. Pass offset= to say which is right."
        )


def time_axis(cube: Cube, planes: Sequence[Plane]) -> int | None:
    """Tell which of the leading dimensions is time: the only one, one of dates, or one of that name."""
    if len(cube.lead) == 1:
        return 0
    for axis, dim in enumerate(cube.lead):
        coords = planes[0].array.coords
        if dim in ("time", "t") or (dim in coords and coords[dim].dtype.kind == "M"):
            return axis
    return None


def _scaling_of(plane: Plane) -> Scaling | None:
    """Find the scaling that is declared for one band."""
    holders: list[Mapping[Any, Any]] = [plane.array.attrs]
    if plane.index is not None:
        holders += [plane.array.isel({plane.array.dims[-3]: plane.index}).coords]
    for holder in holders:
        plain = {_plain(key): value for key, value in holder.items()}
        nested = _first_mapping(plain.get("raster_bands"))
        for name, scale_key, offset_key, where in (
            ("scale_factor and add_offset", "scale_factor", "add_offset", plain),
            ("raster:scale and raster:offset", "raster_scale", "raster_offset", plain),
            ("raster:bands", "scale", "offset", nested),
        ):
            scale, offset = _number(where.get(scale_key)), _number(where.get(offset_key))
            if not _says_nothing(scale, offset):
                return Scaling(name, scale, offset or 0.0)
    return None


def _says_nothing(scale: float | None, offset: float | None) -> bool:
    return scale in (None, 1.0) and offset in (None, 0.0)


def _first_mapping(value: object) -> Mapping[Any, Any]:
    """Give the first record of `raster:bands`, which may be a list, one record, an array of them, or its text."""
    if isinstance(value, xr.DataArray):
        value = value.values.reshape(-1)[0] if value.ndim == 0 else None
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            return {}
    if isinstance(value, list | tuple | np.ndarray) and len(value):
        value = value[0]
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    """Read one number; None where it is none."""
    try:
        return float(np.asarray(value).reshape(()).item()) if value is not None else None
    except (TypeError, ValueError):
        return None


def _numbers(value: object) -> list[float]:
    """Read one number or several."""
    try:
        return [float(number) for number in np.asarray(value).reshape(-1).tolist()] if value is not None else []
    except (TypeError, ValueError):
        return []
