"""How values are encoded on disk: packed into int16 or as they are, the codec, and small variables as Zarr types.

Blocks in, blocks out. Which chunk a block belongs to is handled in `layout`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from zarr.registry import get_numcodec

from ...arguments import is_one_of
from ...errors import StoreError
from .times import as_nanoseconds

ZarrFormat: TypeAlias = Literal[2, 3]

_STRIP = 1 << 16
"""Values that are packed at a time, so that the scratch of 256 KiB stays in the processor's cache."""

_LEAST_ROUNDED = 100
"""Numbers that stay below it are no DN, but reflectance, classes or indices, of which fractions matter."""

_UNITLESS = {"", "1", "-", "none", "unitless", "dimensionless", "reflectance", "boa reflectance", "index"}


@dataclass(frozen=True)
class Packing:
    """How one variable is encoded.

    name: "int16", "float32" or "native". dtype: of the array on disk, in NumPy's spelling.
    scale: value of one step of an integer; None where values are stored as they are. fill: the value of NaN and of
    what is not written yet; None where neither exists (counts, masks, classes: unwritten is 0).
    nodata: of integers that are stored as they are, the value that they declare as missing; nothing is averaged.
    """

    name: str
    dtype: str
    scale: float | None = None
    fill: float | None = None
    nodata: int | None = None

    @property
    def limit(self) -> float:
        """The largest magnitude of a value that can be packed; infinite where nothing is packed."""
        return math.inf if self.scale is None else np.iinfo(self.dtype).max * self.scale


INT16 = Packing("int16", "int16", scale=1e-4, fill=-32768)
"""Reflectance and indices: steps of 0.0001 (those of Sentinel-2 itself) from -3.2767 to 3.2767, no offset."""

FLOAT32 = Packing("float32", "float32", fill=math.nan)


def choose_packing(
    wish: str,
    dtype: np.dtype[Any],
    attrs: Mapping[Any, Any],
    *,
    named: bool,
    name: str,
    stored: np.dtype[Any] | None = None,
    nodata: Sequence[float] = (),
) -> Packing:
    """Decide how a variable is stored.

    wish: "int16", "float32" or "native", as passed. named: whether it was passed for this variable by name; if
    not, numbers that have a unit of their own (dB, m, degrees) do not fit into int16 by steps of 0.0001 and become
    float32; so do spectral indices without bounds. Only floating-point numbers are packed; booleans and integers always
    keep their dtype. So do integers that are floats only because of NaN, such as masked DN: steps of 0.0001 would clip
    all of them.
    stored: the integers that floats were when they were read, without a scale; None for others. nodata: what the
    variable declares as missing.
    Raises StoreError for dates, text, complex numbers and objects, and for an unknown wish.
    """
    if not is_one_of(wish, ("int16", "float32", "native")):
        raise StoreError(f"packing={wish!r} for {name!r}: expected 'int16', 'float32' or 'native'.")
    if dtype.kind == "b":
        return Packing("native", dtype.name)
    masked = dtype.kind == "f" and wish == "int16" and stored is not None
    whole = stored if masked else dtype
    if whole is not None and whole.kind in "ui":
        limits = np.iinfo(whole)
        fits = [int(value) for value in nodata if value == int(value) and limits.min <= value <= limits.max]
        return Packing("native", whole.name, nodata=fits[0] if fits else 0 if masked else None)
    if dtype.kind != "f":
        raise StoreError(
            f"{name!r} is of dtype {dtype}, which has no pixels to store. Drop it or turn it into numbers first."
        )
    if wish == "native":
        return Packing("native", dtype.name, fill=math.nan)
    unit = str(attrs.get("units", "")).strip().lower()
    # Ratios and differences with weights run beyond 3.2767, where int16 would clip them; see `analytics.index`.
    unbounded = "xr_sr:index" in attrs and "xr_sr:bounds" not in attrs
    if wish == "float32" or ((unit not in _UNITLESS or unbounded) and not named):
        return FLOAT32
    return INT16


def pack_block(block: NDArray[Any], packing: Packing) -> tuple[NDArray[Any], int]:
    """Convert a block into what is stored; returns it with the number of values that did not fit and were clipped.

    block: any shape, any dtype of numbers; NaN becomes the fill value, infinity is clipped. Values are rounded to the
    nearest step. Works strip by strip: beside the result it needs 256 KiB. A block on a GPU is copied to the host
    first.
    """
    if hasattr(block, "__cuda_array_interface__"):
        block = cast("Any", block).get()
    disk = np.dtype("int8" if packing.dtype == "bool" else packing.dtype)
    if packing.scale is None:
        if block.dtype.kind == "f" and disk.kind in "ui":
            return _whole(block, disk, packing.nodata or 0)
        return np.ascontiguousarray(block, dtype=disk), 0
    block = np.ascontiguousarray(block)
    packed = np.empty(block.shape, disk)
    steps, limit, fill = (
        np.float32(round(1 / packing.scale)),
        np.float32(np.iinfo(disk).max),
        np.float32(packing.fill or 0),
    )
    values, out = block.reshape(-1), packed.reshape(-1)
    scratch = np.empty(min(_STRIP, values.size), np.float32)
    clipped = 0
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, values.size, _STRIP):
            strip = values[start : start + _STRIP]
            scaled = scratch[: strip.size]
            np.multiply(strip, steps, out=scaled, casting="same_kind")
            np.rint(scaled, out=scaled)
            # Both extremes are NaN where any value is, so plain strips need these two passes only.
            if not (scaled.min() >= -limit and scaled.max() <= limit):
                missing = np.isnan(scaled)
                clipped += int(np.count_nonzero(scaled < -limit)) + int(np.count_nonzero(scaled > limit))
                np.clip(scaled, -limit, limit, out=scaled)
                np.copyto(scaled, fill, where=missing)
            np.copyto(out[start : start + _STRIP], scaled, casting="unsafe")
    return packed, clipped


def _whole(block: NDArray[Any], dtype: np.dtype[Any], nodata: int) -> tuple[NDArray[Any], int]:
    """Convert floats that were read as integers into integers again, NaN into `nodata`; returns the number of clipped.

    Resampled DN are rounded, which is the step of 0.0001 of reflectance. Raises StoreError for small fractions, of
    which rounding would leave nothing.
    """
    values, missing, limits = block.astype(np.float64), np.isnan(block), np.iinfo(dtype)
    rounded = np.rint(values)
    if (rounded != values)[~missing].any() and np.nanmax(np.abs(values)) < _LEAST_ROUNDED:
        raise StoreError(
            f"the encoding of the array says that its numbers are {dtype.name}, but they are fractions below "
            f"{_LEAST_ROUNDED}, such as {float(values[~missing & (rounded != values)][0]):.6g}. Remove the encoding, "
            "obj.drop_encoding(), or pass packing='float32'."
        )
    clipped = int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
    rounded = np.clip(rounded, limits.min, limits.max)
    rounded[missing] = nodata
    return rounded.astype(dtype), clipped


def unpack_block(stored: NDArray[Any], *, scale: float, fill: float) -> NDArray[np.float32]:
    """Convert stored integers into float32 values; the fill value becomes NaN. Never passes through float64.

    Divides by the number of steps in 1 instead of multiplying by a rounded 0.0001, so that each value is the float32
    nearest to its decimal and packs to the same integer again.
    """
    values = stored.astype(np.float32)
    values /= np.float32(round(1 / scale))
    values[stored == np.asarray(fill, stored.dtype)] = np.nan
    return values


def variable_encoding(
    packing: Packing, *, chunks: tuple[int, ...], shards: tuple[int, ...] | None, zarr_format: ZarrFormat
) -> dict[str, Any]:
    """Make xarray's encoding of a variable.

    In Zarr 3 the fill value is given twice: `_FillValue` is what CF readers look at; the array's own is what chunks
    hold that were never written, and what GDAL takes for nodata.
    """
    encoding: dict[str, Any] = {"chunks": chunks, "compressors": codec(zarr_format)}
    if shards is not None:
        encoding["shards"] = shards
    if packing.dtype != "bool":
        encoding["dtype"] = packing.dtype
    missing = packing.nodata if packing.fill is None else packing.fill
    if missing is not None:
        fill = np.dtype(packing.dtype).type(missing)
        encoding["_FillValue"] = fill
        if zarr_format == 3:
            encoding["fill_value"] = fill
    if packing.scale is not None:
        encoding["scale_factor"] = packing.scale
    return encoding


def codec(zarr_format: ZarrFormat) -> tuple[Any, ...]:
    """Return the codecs of pixels: Blosc (zstd at level 1, bits shuffled) and, in Zarr 3, a zstd frame around it.

    The frame adds a checksum, as Blosc has none: of 200 flipped bits in a chunk, Blosc alone noticed 5. The codec
    `crc32c` of Zarr would do the same, but GDAL 3.12 does not read it. In Zarr 2, Blosc would have to be a filter, and
    GDAL (3.10, 3.12) does not read chunks that a filter makes longer, as Blosc does with noise.
    """
    if zarr_format == 2:
        return (get_numcodec({"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 2}),)  # type: ignore[typeddict-unknown-key]
    from zarr.codecs import BloscCodec

    return (BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), *small_codec(3))


def small_codec(zarr_format: ZarrFormat) -> tuple[Any, ...]:
    """Return the codec of small variables: zstd with a checksum."""
    if zarr_format == 2:
        return (get_numcodec({"id": "zstd", "level": 1, "checksum": True}),)  # type: ignore[typeddict-unknown-key]
    from zarr.codecs import ZstdCodec

    return (ZstdCodec(level=1, checksum=True),)


def storable(dataset: xr.Dataset) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Return the variables of a loaded dataset in types that can be stored without loss, and the names of the others.

    Dates of any unit become nanoseconds, those of calendar objects too; None among numbers becomes NaN. Left out: dates
    beyond 1677 to 2262, text with None in it, dicts, lists, sets, records.
    """
    left: list[str] = []
    for name, var in dataset.variables.items():
        given = np.asarray(var.values)
        values = _plain(given)
        if values is None:
            left.append(str(name))
        elif values is not given:
            dataset = dataset.assign({name: (var.dims, values, var.attrs)})  # a coordinate stays one
    return dataset.drop_vars(left), tuple(left)


def is_text(values: NDArray[Any]) -> bool:
    """Return whether an array of objects holds text only."""
    return values.dtype.kind == "O" and values.size > 0 and all(isinstance(value, str) for value in values.flat)


def _plain(values: NDArray[Any]) -> NDArray[Any] | None:
    """Convert values to a type that Zarr has; None where there is none."""
    if values.dtype.kind in "Mm":
        return as_nanoseconds(values)
    if values.dtype.kind != "O":
        return None if values.dtype.kind == "V" else values
    elements = list(values.flat)
    if not elements or is_text(values):
        return values
    if all(hasattr(element, "timetuple") for element in elements):
        return as_nanoseconds(values)
    if all(element is None or isinstance(element, numbers.Number | np.bool_) for element in elements):
        known = [np.nan if element is None else element for element in elements]
        found = np.asarray(known).reshape(values.shape)
        return found if found.dtype.kind in "biufc" else None
    return None
