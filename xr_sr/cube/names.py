"""Find the names of bands in xarray objects: variables, labels along a dimension, attributes.

Flags are separated from bands, since they must never be upscaled as reflectance. Names, types and attributes only,
never pixels.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ..arguments import items_of
from ..bands import BANDS, Band, find_band, is_flag_name, is_scl, match_bands
from ..conventions import BAND_ATTRS, BAND_COORDS, BAND_DIMS
from ..errors import AmbiguousBandError, CubeError, MissingBandError
from ..spec import stated

_TOKEN = re.compile(r"(?:^|[-_])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")


def listed(names: Iterable[object]) -> str:
    """Write names for a message: 'B02', 'B03'; "nothing" where there are none."""
    return ", ".join(repr(name.item() if isinstance(name, np.generic) else name) for name in names) or "nothing"


def dims_text(dims: Iterable[Hashable]) -> str:
    """Write dimensions for a message: "the dimensions 'y', 'x'", "the dimension 'y'", "no dimensions"."""
    names = list(dims)
    return f"the dimension{'s' if len(names) > 1 else ''} {listed(names)}" if names else "no dimensions"


def is_flags(name: Hashable, array: xr.DataArray) -> bool:
    """Return whether an array on the grid holds flags or classes, to be carried along by nearest neighbor.

    Yes for bool, for CF flag attributes, for 8-bit integers without a band's name, for other integers with such a
    name (QA60, cloud_mask), and for SCL as float, as EOPF has it. Other 16-bit integers may well be misspelt bands: no.
    """
    if array.dtype.kind == "b" or array.attrs.keys() & {"flag_values", "flag_masks", "flag_meanings"}:
        return True
    if array.dtype.kind in "iu":
        return is_flag_name(name) or (array.dtype.itemsize == 1 and find_band(name) is None)
    return array.dtype.kind == "f" and is_scl(name)


def own_name(array: xr.DataArray) -> str | None:
    """Return the name that a user gave an array; None where it has none, or dask's instead.

    xarray names an array that it gets from dask by dask's key: a word and a token that differs between equal cubes of
    two dates, such as "stackstac-" and 32 digits. Operations keep that name, though the key changes.
    """
    if array.name is None:
        return None
    name = str(array.name)
    key = array.data.name if array.chunks is not None else None
    return None if name == key or _TOKEN.search(name) else name


def unnamed_by_dask(array: xr.DataArray) -> xr.DataArray:
    """Return an array without the name that dask gave it; with a name of its own, as it is."""
    return array.rename(None) if own_name(array) is None else array


def find_band_dim(array: xr.DataArray, dims: Sequence[str]) -> str | None:
    """Find the dimension along which bands lie, among those that are not y and x: by its labels, else by its name."""
    for dim in dims:
        if any(match_bands(_strings(array.coords.get(dim)))):
            return dim
    return next((dim for name in BAND_DIMS for dim in dims if dim.lower() == name), None)


def name_labels(array: xr.DataArray, dim: str) -> tuple[tuple[Hashable, ...], tuple[Band | None, ...]]:
    """Return the labels along the band dimension, and the band that each stands for.

    Names are looked for in the coordinate, then in others along the dimension (stackstac: common_name), then in
    attributes (rioxarray: long_name, a tuple of names); the first that names any band counts.
    Raises AmbiguousBandError if bands are only numbered, MissingBandError if no label names a band.
    """
    size = array.sizes[dim]
    own = array.coords[dim] if dim in array.coords else None  # noqa: SIM401  .get makes an index
    others = (array.coords.get(name) for name in BAND_COORDS)
    along = [coord for coord in (own, *others) if coord is not None and coord.dims == (dim,)]
    sources = [_strings(coord) for coord in along]
    for attribute in BAND_ATTRS:
        value = array.attrs.get(attribute)
        sources.append([value] if isinstance(value, str) else items_of(value) or [])
    sources.append([array.name])
    labels = tuple(own.values.tolist()) if own is not None else None
    for source in (source for source in sources if len(source) == size):
        bands = match_bands(["" if is_flag_name(name) else name for name in source])
        if any(bands):
            return labels or tuple(source), bands

    if own is not None and _strings(own):
        raise MissingBandError(
            f"no label along {dim!r} is a name of a Sentinel-2 band: {listed(own.values)}. Rename them: "
            f"cube.assign_coords({dim}=[{_example(size)}])."
        )
    raise AmbiguousBandError(
        f"the {size} bands along {dim!r} are numbered, not named, and a number may be the position of any band. Name "
        f"them in their order, for instance cube.assign_coords({dim}=[{_example(size)}])."
    )


def name_single(array: xr.DataArray) -> tuple[Hashable, Band]:
    """Return the name of an array without band dimension: by a scalar `band` coordinate, its name, or an attribute.

    Raises MissingBandError if none of them is a name of a band.
    """
    coords = [coord for name in BAND_DIMS if (coord := array.coords.get(name)) is not None]
    scalars = [coord.item() for coord in coords if coord.ndim == 0 and coord.chunks is None]
    for text in (*scalars, array.name, *(array.attrs.get(attribute) for attribute in BAND_ATTRS)):
        band = match_bands([text])[0]
        if band and not is_flag_name(text):
            return text, band
    if (error := _product_error({array.name: array})) is not None:
        raise error
    raise MissingBandError(
        f"the DataArray {array.name!r} has {dims_text(array.dims)}, none of them of bands, and no name of a "
        "Sentinel-2 band. Name it: cube.rename('B04'), or add a dimension: cube.expand_dims(band=['B04'])."
    )


def name_bands(
    array: xr.DataArray, band_dim: str | None, *, allow_other_bands: bool
) -> tuple[tuple[Hashable, ...], tuple[Band | None, ...]]:
    """Return the labels of the bands of an array, and for each the band of Sentinel-2 or None.

    Raises CubeError as `name_labels` and `name_single` do, unless `allow_other_bands`.
    """
    try:
        if band_dim is not None:
            return name_labels(array, band_dim)
        label, band = name_single(array)
        return (label,), (band,)
    except CubeError:
        if not allow_other_bands:
            raise
        if band_dim is None:
            scalar = find_band_coord(array)
            return (array.name if scalar is None else scalar.item(),), (None,)
        size = array.sizes[band_dim]
        known = array.coords[band_dim].values.tolist() if band_dim in array.coords else list(range(size))
        return tuple(known), (None,) * size


def find_band_coord(array: xr.DataArray) -> xr.DataArray | None:
    """Return the scalar coordinate that a selection of one band leaves; None without one."""
    scalars = [str(name) for name, coord in array.coords.items() if coord.ndim == 0]
    name = next((name for name in scalars if name.lower() in ("band", "bands", "channel", "wavelength")), None)
    return None if name is None else array.coords[name]


def name_variables(variables: Mapping[Hashable, xr.DataArray]) -> dict[Hashable, Band]:
    """Find which variables are bands, in their order: by name, then by attributes; flags are left out.

    Floats that are named like flags are none of both: "red_valid" is no band, and a probability no class.
    """
    light = {name: array for name, array in variables.items() if not (is_flags(name, array) or is_flag_name(name))}
    found = {name: band for name, band in zip(light, match_bands(list(light)), strict=True) if band}
    for attribute in BAND_ATTRS:
        rest = {name: array.attrs.get(attribute) for name, array in light.items() if name not in found}
        # If names name bands, attributes count as whole names only: "B04 standard deviation" is no B04.
        hits = [find_band(text) for text in rest.values()] if found else match_bands(list(rest.values()))
        found |= {name: band for name, band in zip(rest, hits, strict=True) if band}
    return {name: found[name] for name in light if name in found}


def _product_error(variables: Mapping[Hashable, xr.DataArray]) -> MissingBandError | None:
    """Return the error for maps of classes and indices, which renaming would not turn into bands; None for others."""
    for name, array in variables.items():
        what = ""
        if meanings := array.attrs.get("flag_meanings"):
            what = f"a map of classes ({', '.join(str(meanings).split())})"
        elif index := stated(array.attrs, "xr_sr:index"):
            what = f"the index {index}"
        if what:
            return MissingBandError(
                f"{name!r} is {what}, and no band of Sentinel-2 is beside it. Pass the cube that it was made from, or "
                "work with the map itself."
            )
    return None


def no_bands(variables: Mapping[Hashable, xr.DataArray]) -> MissingBandError:
    """Return the error for a Dataset whose variables on the grid name no band; with a remedy for each case."""
    if (error := _product_error(variables)) is not None:
        return error
    for name, array in variables.items():
        for dim in array.dims:
            if str(dim).lower() in BAND_DIMS:
                return MissingBandError(
                    f"no variable of the Dataset is a band; {name!r} has its bands along {dim!r}. "
                    f"Pass that one: cube[{name!r}]."
                )
    if not variables:
        return MissingBandError("no variable of the Dataset lies on y and x, so there is no band to read.")
    if named := [name for name in variables if find_band(str(name))]:
        kinds = sorted({str(variables[name].dtype) for name in named})
        return MissingBandError(
            f"{listed(named)} have names of bands, and hold {', '.join(kinds)}; expected numbers, DN or reflectance."
        )
    return MissingBandError(
        f"no variable of the Dataset has the name of a Sentinel-2 band; on the grid there are {listed(variables)}. "
        f"Rename them: cube.rename({{{next(iter(variables))!r}: 'B02', ...}})."
    )


def _strings(coord: xr.DataArray | None) -> list[Any]:
    """Return a coordinate's values if they are strings and in memory; else nothing."""
    if coord is None or coord.chunks is not None or coord.dtype.kind not in "OUT" or coord.ndim != 1:
        return []
    values = coord.values.tolist()
    return values if any(isinstance(value, str) for value in values) else []


def _example(size: int) -> str:
    """Write band names for a message: as many as there are bands, in the order in which they usually come."""
    names = [band.name for band in BANDS if size >= 13 or (band.name != "B10" and (size >= 12 or band.gsd_m < 60))]
    if size <= 4:
        names = ["B02", "B03", "B04", "B08"]
    return ", ".join(map(repr, names[:size])) + (", ..." if size > len(names) else "")
