"""Find the metadata of a cube that define its radiometry: variables, coordinates, attributes, encodings, product names.

`offsets` and `resolve` interpret them. Computes nothing but variables of a few numbers per date.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from ..conventions import COLLECTIONS, NODATA_ATTRS, PRODUCTS, plain_name
from ..conventions.own import (
    NODATA_ATTR,
    NODATA_COORD,
    OFFSET_ATTR,
    OFFSET_COORD,
    QUANTIFICATION_ATTR,
    QUANTIFICATION_COORD,
)
from ..cube.select import Cube, Plane
from ..cube.time import is_time
from ..errors import RadiometryError
from .product_metadata import Product, Scaling, read_harmonized, read_number, read_product, read_scaling

_NAME_OF_TYPE = re.compile(r"[<>=|]?(?!a)[A-Za-z]\w*")  # NumPy evaluates commas and brackets, and warns of "a3"

Read: TypeAlias = Callable[[object], object]


@dataclass(frozen=True)
class Fact:
    """One fact in metadata: `values` holds one for all, or one per place along the leading dimension `axis`.

    values: as they were read; None where they are unknown. kept: it stands in an attribute or an encoding, of which
    `xarray.concat` keeps those of the first array, for all that is joined to it; coordinates are compared instead.
    """

    name: str
    values: tuple[object, ...]
    axis: int | None = None
    kept: bool = False

    def at(self, step: int) -> object:
        """Return the value at a place along the axis."""
        return self.values[0] if self.axis is None else self.values[step]

    @property
    def known(self) -> bool:
        """Whether any value is known."""
        return any(value is not None for value in self.values)


@dataclass(frozen=True)
class Written:
    """What `set_radiometry` wrote into a cube; None for nothing. offset: along time, or without dimension."""

    offset: xr.DataArray | None = None
    quantification: float | None = None
    nodata: tuple[float, ...] | None = None


def written_radiometry(cube: Cube, planes: Sequence[Plane]) -> Written:
    """Read what `set_radiometry` wrote. Raises RadiometryError where bands differ or the offset was dropped."""
    coord = planes[0].array.coords.get(OFFSET_COORD)
    beside = {**({} if coord is None else coord.attrs), **cube.source.attrs}
    found = {}
    for name in (OFFSET_ATTR, QUANTIFICATION_ATTR, NODATA_ATTR):
        tag = name.replace(":", "_")  # in a GeoTIFF
        shared = beside.get(name, beside.get(tag))
        values = [plane.array.attrs.get(name, plane.array.attrs.get(tag, shared)) for plane in planes]
        _agree([np.asarray(value).tolist() for value in values], f"the attribute {name!r} of the bands")
        found[name] = values[0]
    said = read_number(found[OFFSET_ATTR])
    if coord is None and said is not None:  # a GeoTIFF has the number itself, as it has no coordinates
        coord = xr.DataArray(said)
    if found[OFFSET_ATTR] is not None and coord is None:
        raise RadiometryError(
            f"the attribute {OFFSET_ATTR!r} says that the offset is in the coordinate {OFFSET_COORD!r}, which the cube "
            "lacks. Write it again: cube.sr.set_radiometry(offset=...), or pass offset=."
        )
    nodata, quantification = found[NODATA_ATTR], found[QUANTIFICATION_ATTR]
    return Written(
        None if found[OFFSET_ATTR] is None else coord,
        None if quantification is None else float(quantification),
        None
        if nodata is None
        else tuple(_numbers(nodata.split() if isinstance(nodata, str) else nodata)),  # the text "none" is no number
    )


def check_one_quantification(cube: Cube, planes: Sequence[Plane]) -> None:
    """Raise RadiometryError where `set_radiometry` wrote other DN per unit of reflectance for some of the dates."""
    _check_one(cube, planes, [QUANTIFICATION_COORD], "DN per unit of reflectance")


def check_one_nodata(cube: Cube, planes: Sequence[Plane]) -> None:
    """Raise RadiometryError where `set_radiometry` wrote other nodata values for some of the dates."""
    names = [str(name) for name in planes[0].array.coords if is_nodata_coord(name)]
    _check_one(cube, planes, names, "nodata")


def is_nodata_coord(name: object) -> bool:
    """Return whether a coordinate is one of those in which `set_radiometry` writes nodata values."""
    return str(name) == NODATA_COORD or str(name).startswith(f"{NODATA_COORD}_")


def _check_one(cube: Cube, planes: Sequence[Plane], coords: Sequence[str], what: str) -> None:
    """Raise where the numbers of a coordinate differ between dates; joining keeps the attributes of the first alone."""
    for name in coords:
        coord = planes[0].array.coords.get(name)
        if coord is None or coord.dims not in [(dim,) for dim in cube.lead]:
            continue
        values = np.asarray(coord.values)
        names = step_names(cube, planes, cube.lead.index(str(coord.dims[0])))
        first = {
            "none" if math.isnan(value) else f"{value:g}": step
            for value, step in zip(values[::-1].tolist(), names[::-1], strict=True)
        }
        if len(first) > 1:
            found = ", ".join(f"{value} for {step}" for value, step in reversed(first.items()))
            raise RadiometryError(
                f"dates of different {what} were joined: {found}. Convert each by itself before they are joined: "
                "xr.concat([one.sr.reflectance(), other.sr.reflectance()], 'time')."
            )


def find_facts(cube: Cube, planes: Sequence[Plane], names: Sequence[str], read: Read) -> list[Fact]:
    """Find what stands under each of some names: in coordinates and variables, else attributes, else encodings.

    names: of `conventions`, as `plain_name` writes them. read: makes a value of what is found; None if it contains
    nothing. Variables count where they lie along leading dimensions only, so a map of that name does not.
    Returns the facts in the order of the names, those without values too. Raises RadiometryError where bands
    contradict each other, or `read` refuses a value.
    """
    facts = []
    for name in names:
        silent: Fact | None = None
        for holders, kept in _levels(cube, planes):
            found = [
                fact
                for holder in holders
                for key, value in holder.items()
                if plain_name(key) == name and (fact := steps_of(value, cube, planes, str(key), read)) is not None
            ]
            if found:
                merged = replace(found[0], values=_merged(found), kept=kept)
                silent = silent or merged
                if merged.known:  # else the next level may know more: bands have an "id" too
                    facts.append(merged)
                    break
        else:
            facts += [] if silent is None else [silent]
    return facts


def find_products(cube: Cube, planes: Sequence[Plane]) -> list[Fact]:
    """Find the names of the ESA products that the pixels come from; their values are `Product`s."""
    facts = [fact for fact in find_facts(cube, planes, PRODUCTS, read_product) if fact.known]
    return [replace(fact, name="the name of the product") if fact.kept else fact for fact in facts]


def find_harmonized(cube: Cube, planes: Sequence[Plane]) -> list[Fact]:
    """Find ids of Earth Engine's HARMONIZED collections, whose pixels have no offset left; their values are True.

    The id of a collection is that of all dates; the id of an image in an attribute may be that of the first one only.
    """
    return [
        Fact(
            f"{fact.name} of Earth Engine's HARMONIZED",
            tuple(None if value is None else True for value in fact.values),
            fact.axis,
            kept=fact.kept and "image" in fact.values,
        )
        for fact in find_facts(cube, planes, COLLECTIONS, read_harmonized)
        if fact.known
    ]


def declared_scaling(planes: Sequence[Plane]) -> Scaling | None:
    """Find a scale and an offset that are declared but not applied: CF attributes, STAC raster:bands; None without.

    Raises RadiometryError where bands declare different ones.
    """
    found = {plane.band: _scaling_of(plane) for plane in planes}
    declared = [scaling for scaling in found.values() if scaling is not None]
    if not declared:
        return None
    _agree(
        [(s and s.scale, s and s.offset) for s in found.values()], f"{declared[0].name} of the bands {sorted(found)}"
    )
    return declared[0]


def unpacked_by(array: xr.DataArray) -> Scaling | None:
    """Return the scale and offset with which the array was unpacked when read, by its encoding; None if it was not."""
    # rioxarray notes those that differ between the bands of a file as tuples, with one for each band.
    found = {}
    for key, several, trivial in (("scale_factor", "scales", 1.0), ("add_offset", "offsets", 0.0)):
        numbers = [*_numbers(array.encoding.get(key)), *_numbers(array.encoding.get(several))]
        found[key] = next((number for number in numbers if number != trivial), None)
    return read_scaling(found)


def stored_dtype(array: xr.DataArray) -> np.dtype[Any] | None:
    """Return the type that the numbers had on disk, by the encoding; None if unknown."""
    for key in ("rasterio_dtype", "dtype"):
        stored = array.encoding.get(key)
        if isinstance(stored, np.dtype | type) or (isinstance(stored, str) and _NAME_OF_TYPE.fullmatch(stored)):
            with contextlib.suppress(TypeError, ValueError):  # a text that names no type raises either
                return np.dtype(stored)
    return None


def declared_nodata(cube: Cube, planes: Sequence[Plane]) -> tuple[float, ...]:
    """Return the finite values that are declared as nodata, in the unit of the array.

    The encoding counts for integers only: what it names in floats became NaN when they were read. Nothing counts for
    floats that were unpacked: what is declared are stored numbers, and 0 may be a true reflectance where DN 0 was not.
    """
    if any(plane.array.dtype.kind == "f" and unpacked_by(plane.array) for plane in planes):
        return ()
    holders: list[Mapping[Any, Any]] = [cube.source.attrs, *(plane.array.attrs for plane in planes)]
    holders += [plane.array.encoding for plane in planes if plane.array.dtype.kind in "iu"]
    return tuple(sorted(_nodata_in(holders)))


def nodata_of(array: xr.DataArray) -> tuple[float, ...]:
    """Return the finite values that an array declares as nodata, those of its attributes first."""
    return tuple(_nodata_in([array.attrs, array.encoding]))


def stored_nodata(cube: Cube, planes: Sequence[Plane]) -> tuple[float, ...]:
    """Return the finite values that the file declares as nodata, masked when it was read or not."""
    held = [each for plane in planes for each in (plane.array.attrs, plane.array.encoding)]
    return tuple(sorted(_nodata_in([cube.source.attrs, *held])))


def _nodata_in(holders: Sequence[Mapping[Any, Any]]) -> dict[float, None]:
    """Return the finite values that some attributes or encodings declare as nodata, each once, in their order."""
    numbers = (number for holder in holders for key in NODATA_ATTRS for number in _numbers(holder.get(key)))
    return dict.fromkeys(filter(math.isfinite, numbers))


def steps_of(value: object, cube: Cube, planes: Sequence[Plane], name: str, read: Read) -> Fact | None:
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
            values = np.moveaxis(values, dims.index(str(cube.band_dim)), -1)
            dims.remove(str(cube.band_dim))
        axis = cube.lead.index(dims[0]) if dims else None
        steps = math.prod(values.shape[: len(dims)])
        rows = [np.ravel(row).tolist() for row in values.reshape(steps, -1)]
        places = step_names(cube, planes, axis) if axis is not None and len(dims) == 1 else [""] * steps
        read_rows = [[_read(each, read, name, at) for each in row] for row, at in zip(rows, places, strict=True)]
        if len(dims) > 1 and any(each is not None for row in read_rows for each in row):
            raise RadiometryError(f"{name!r} lies along {dims}; one offset for each date is what can be applied.")
        for row in read_rows:
            _agree(row, f"{name!r} along {cube.band_dim!r}")
        return None if len(dims) > 1 else Fact(name, tuple(row[0] for row in read_rows), axis)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        return Fact(name, (_read(value, read, name),))
    values = np.asarray(value, dtype=object).reshape(-1)
    axis = time_axis(cube, planes)
    if axis is not None and len(values) == planes[0].array.sizes[cube.lead[axis]]:
        places = step_names(cube, planes, axis)
        return Fact(name, tuple(_read(each, read, name, at) for each, at in zip(values, places, strict=True)), axis)
    return Fact(name, (_read(values[0], read, name),)) if len(set(map(str, values))) == 1 else None


def _read(value: object, read: Read, name: str, place: str = "") -> object:
    """Read one value; errors name the metadata and the date."""
    try:
        return read(value)
    except RadiometryError as error:
        raise RadiometryError(f"{name!r}{f' at {place}' if place else ''}: {error}.") from None


def _merged(facts: Sequence[Fact]) -> tuple[object, ...]:
    """Return the values of one fact that several holders have; raises where they contradict each other."""
    first = facts[0]
    if not any(isinstance(value, Product) for fact in facts for value in fact.values):
        _agree([fact.values for fact in facts], repr(first.name))
        return first.values
    merged = []
    for step in range(len(first.values)):
        products = [product for fact in facts if isinstance(product := fact.at(step), Product)]
        if len({product.baseline for product in products}) > 1:
            raise RadiometryError(
                f"the bands come from products of different baselines, "
                f"{sorted(product.baseline for product in products)}. Pass offset= for each date."
            )
        days = frozenset(day for product in products for day in product.days)
        merged.append(Product(products[0].baseline, days) if products else None)
    return tuple(merged)


def step_names(cube: Cube, planes: Sequence[Plane], axis: int) -> list[str]:
    """Return labels of the positions along a leading dimension for a message: "2022-02-01 (time 3)"."""
    dim = cube.lead[axis]
    array = planes[0].array
    if dim not in array.coords:
        return [f"{dim} {place}" for place in range(array.sizes[dim])]
    labels = array.coords[dim].values
    texts = np.datetime_as_string(labels, unit="D") if labels.dtype.kind == "M" else labels.astype(str)
    return [f"{text} ({dim} {place})" for place, text in enumerate(texts)]


def _levels(cube: Cube, planes: Sequence[Plane]) -> Iterator[tuple[list[Mapping[Any, Any]], bool]]:
    """Yield what carries names and values, what lies along dates first; and whether joining keeps the first's alone."""
    arrays = list({id(plane.array): plane.array for plane in planes}.values())
    variables = cube.source.data_vars if isinstance(cube.source, xr.Dataset) else {}
    yield [*(array.coords for array in arrays), cube.source.coords, variables], False
    yield [array.attrs for array in arrays], True
    yield [cube.source.attrs], True
    yield [{key: array.encoding[key] for key in ("source",) if key in array.encoding} for array in arrays], True


def _agree(values: Iterable[object], what: str) -> None:
    """Raise where things that must be the same are not; NaN equals NaN."""
    texts = sorted({repr(value) for value in values})
    if len(texts) > 1:
        raise RadiometryError(f"{what} contradict each other: {', '.join(texts[:4])}. Pass offset= with the right one.")


def time_axis(cube: Cube, planes: Sequence[Plane]) -> int | None:
    """Return which of the leading dimensions is time: the only one, one of dates, or one of that name."""
    if len(cube.lead) == 1:
        return 0
    coords = planes[0].array.coords
    return next((axis for axis, dim in enumerate(cube.lead) if is_time(dim, coords)), None)


def _scaling_of(plane: Plane) -> Scaling | None:
    """Find the scaling that is declared for one band, in its attributes or its coordinates."""
    found = read_scaling(plane.array.attrs, kept=True)
    if found is not None or plane.index is None:
        return found
    coords = plane.array.coords.to_dataset()  # without the pixels: to slice these costs a task for each chunk
    return read_scaling(coords.isel({plane.array.dims[-3]: plane.index}, missing_dims="ignore").coords)


def _numbers(value: object) -> list[float]:
    try:
        return [float(number) for number in np.asarray(value).reshape(-1).tolist()] if value is not None else []
    except (TypeError, ValueError):
        return []
