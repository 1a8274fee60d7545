"""The template of a store, all metadata and the small variables before any pixel is computed; and publishing.

A store is begun by its root group, marked "building", and is ours from then on. The last write of the template marks it
"ready". What is published is what the consolidated metadata say: one document, one write. So a longer time axis appears
at once, after its pixels, and a reader never sees arrays of different lengths.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
import zarr
from odc.geo.geobox import GeoBox
from zarr.storage import MemoryStore

from ...cube.coordinates import coords
from ...spec import MODEL_ATTR
from .content import Content, Field, fingerprint
from .conventions import coarser, grid_attrs, group_attrs, pyramid_attrs
from .documents import consolidate, dimensions, read_group, require_array, stretched, write_array, write_group
from .encoding import ZarrFormat, small_codec, variable_encoding
from .record import HIDDEN, KEY, LEDGER, LEDGER_DIMS, Record
from .stores import members_of
from .target import Document, Target, join_path
from .times import CHUNK, UNITS


def build(
    target: Target, content: Content, record: Record, check: Callable[[], None], *, declared: bool = False
) -> None:
    """Write the template of a store. Anything at the target is deleted first.

    declared: every group and array declares the conventions of its attributes. check: raises if the claim on the store
    was lost; called before anything changes and before the template is ready.
    Calls no kernel and reads no pixel. If it is killed, the store stays "building" and the next call rebuilds it.
    """
    root = {**content.attrs, KEY: record.to_attribute()}
    check()
    for name in filter(target.is_folder, ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")):
        target.delete(name)
    write_group(target, "", record.zarr_format, root)
    target.clear(keep=record.zarr_format)
    geoboxes = [content.geobox]
    for _ in record.cuts[1:]:
        geoboxes.append(coarser(geoboxes[-1]))
    store = members_of(target)
    for level, group in enumerate(record.groups):
        dataset, encoding = _level(content, record, level, geoboxes[level], declared=declared)
        if group == "":
            dataset.attrs = root  # xarray writes them, and they must keep saying "building"
        write_dataset(dataset, store, target.path(group), encoding, record.zarr_format)
    if len(record.groups) > 1:
        root.update(pyramid_attrs(geoboxes, (content.y, content.x)))
    else:
        root.update(group_attrs(content.geobox, (content.y, content.x), declared=declared))
        root[HIDDEN] = read_group(target, "", record.zarr_format)[HIDDEN]  # as xarray wrote it
    check()
    publish(target, record, None, root={**root, KEY: replace(record, state="ready").to_attribute()})


def publish(target: Target, record: Record, length: int | None, *, root: Document | None = None) -> None:
    """Make every array `length` dates long and show it to readers; writes nothing where that is so already.

    length: None leaves the arrays as they are. root: attributes of the root group, where they change with the same
    write. The documents of the arrays come first, the consolidated ones after them, those of the root last. Whoever
    reads without consolidated metadata may meet arrays of two lengths in between: for milliseconds, or until the rerun
    after a kill.
    """
    everything: dict[str, Document | None] = {}
    for level, group in reversed(list(enumerate(record.groups))):
        nodes: dict[str, Document | None] = {}
        for name in record.arrays_of(level):
            path = join_path(group, name)
            document = require_array(target, record, level, name)
            if length is not None and stretched(document, record.time, length):
                write_array(target, path, document)
            nodes[name] = everything[path] = document
        if group:
            everything[group] = None
            consolidate(target, group, record.zarr_format, nodes, read_group(target, group, record.zarr_format))
    if root is None:
        root = read_group(target, "", record.zarr_format)
    consolidate(target, "", record.zarr_format, everything, root)


def rename_models(target: Target, record: Record, content: Content) -> None:
    """Write the present names of models into a store that is being extended, where it has former ones.

    The content has passed `check_fingerprint`: a name that differs belongs to the same weights. After a kill in
    between, the store has both names, and the next call that extends it goes on.
    """
    root = read_group(target, "", record.zarr_format)
    stated = _renamed(record.fingerprint["attrs"], fingerprint(content)["attrs"])
    if stated == record.fingerprint["attrs"]:
        return
    for level, group in enumerate(record.groups):
        for each in content.fields:
            document = require_array(target, record, level, each.name)
            attrs = document.get("attributes", {})
            if (fresh := _renamed(attrs, each.attrs)) != attrs:
                write_array(target, join_path(group, each.name), {**document, "attributes": fresh})
    renamed = replace(record, fingerprint={**record.fingerprint, "attrs": stated})
    root = {**_renamed(root, content.attrs), KEY: renamed.to_attribute()}
    publish(target, record, stored_length(target, record), root=root)


def _renamed(stored: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes with the names of models that are now in others of the same object."""
    return {name: now.get(name, value) if name.endswith(MODEL_ATTR) else value for name, value in stored.items()}


def stored_length(target: Target, record: Record) -> int | None:
    """Return the longest time axis of any array: what is published, or was being published when it was killed."""
    if record.time is None:
        return None
    longest = 0
    for level in range(len(record.groups)):
        for name in record.arrays_of(level):
            document = require_array(target, record, level, name)
            if record.time in dimensions(document):
                longest = max(longest, int(document["shape"][dimensions(document).index(record.time)]))
    return longest


def write_small(target: Target, record: Record, small: xr.Dataset, dates: Sequence[int], slots: Sequence[int]) -> None:
    """Write what varies with time beside the pixels, the time coordinate too; the slots need not be published yet.

    dates: positions in `small`; slots: positions in the store. Variables that the store does not have are left out;
    those that the object does not have keep the fill value.
    """
    assert record.time is not None
    along = [str(name) for name, var in small.variables.items() if record.time in var.dims]
    varying = [name for name in along if name in record.arrays]
    kept = small[varying].drop_vars([name for name in along if name not in varying]).isel({record.time: list(dates)})
    encoding = {name: _small_encoding(kept.variables[name], record) for name in varying}
    scratch = MemoryStore()
    write_dataset(kept, scratch, "", encoding, record.zarr_format)
    for name in varying:
        values = np.asarray(zarr.open_array(scratch, path=name, mode="r")[...])
        for level, group in enumerate(record.groups):
            if name not in record.arrays_of(level):
                continue
            document = require_array(target, record, level, name)
            axis = dimensions(document).index(record.time)
            stretched(document, record.time, max(document["shape"][axis], max(slots) + 1))
            array = target.array(join_path(group, name), document)
            for position, slot in enumerate(slots):
                array[(slice(None),) * axis + (slot,)] = np.take(values, position, axis=axis)


def write_dataset(
    dataset: xr.Dataset, store: Any, path: str, encoding: Mapping[str, Any], zarr_format: ZarrFormat
) -> None:
    """Write metadata and the variables in memory of a dataset; lazy ones get their metadata only."""
    known = {str(name): encoding[str(name)] for name in dataset.variables if str(name) in encoding}
    with unspecified_is_fine():
        dataset.to_zarr(
            store,
            group=path or None,
            mode="a",
            encoding=known,
            compute=False,
            consolidated=False,
            zarr_format=zarr_format,
            safe_chunks=False,
            write_empty_chunks=True,  # so that a missing chunk is one that was lost
        )


def _level(
    content: Content, record: Record, level: int, geobox: GeoBox, *, declared: bool
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Make the dataset of one level of the pyramid, without pixels, and its encoding."""
    small = _with_text(content.small, record)
    dims = (content.y, content.x)
    if level:
        made = coords(geobox, content.crs_name or "spatial_ref", dims=dims)
        replaced = {name: made[name] for name in made if name in small.variables}
        small = small.drop_vars([*record.fine_only, *(name for name in replaced if name not in record.fine_only)])
        small = small.assign_coords(replaced)
    encoding = {str(name): _small_encoding(var, record) for name, var in small.variables.items()}
    place = grid_attrs(geobox, dims, declared=declared)
    sizes = dict(zip(dims, map(int, geobox.shape), strict=True))
    variables = {}
    for field in content.fields:
        variables[field.name] = _placeholder(field, sizes, place)
        chunks, shards = chunk_shape(field, content, record, level)
        encoding[field.name] = variable_encoding(
            field.packing, chunks=chunks, shards=shards, zarr_format=record.zarr_format
        )
        if content.crs_name is not None:
            encoding[field.name]["grid_mapping"] = content.crs_name
    ledger = _ledger(content, record, level)
    encoding[LEDGER] = {
        "chunks": (1,) * ledger.ndim,
        "compressors": None if record.zarr_format == 2 else (),
        "dtype": "uint8",
    }
    # The ledger is a coordinate on disk, so that plain xarray does not list it among the data variables.
    coordinates = [field.name for field in content.fields if field.coordinate]
    dataset = small.assign({LEDGER: ledger, **variables}).set_coords([LEDGER, *coordinates])
    dataset.attrs = group_attrs(geobox, dims, declared=declared)
    return dataset, encoding


def chunk_shape(
    field: Field, content: Content, record: Record, level: int
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return the shapes of a field's chunks (one date, one element of other dimensions) and shards (a whole block)."""
    y, x = record.cuts[level]
    sides = {content.y: y.chunk, content.x: x.chunk}
    chunks = tuple(sides.get(dim, 1) for dim in field.dims)
    if y.shard is None or x.shard is None:
        return chunks, None
    blocks = {content.y: y.shard, content.x: x.shard}
    shards = tuple(
        blocks.get(dim, 1 if dim == content.time else max(field.array.chunks[axis]))
        for axis, dim in enumerate(field.dims)
    )
    return chunks, shards


def _placeholder(field: Field, sizes: Mapping[str, int], place: Mapping[str, Any]) -> xr.Variable:
    """Make a variable of the right shape that is never computed: one chunk, so that its graph is one task."""
    import dask.array as da

    shape = tuple(sizes.get(dim, size) for dim, size in zip(field.dims, field.array.shape, strict=True))
    dtype = "float32" if field.packing.scale is not None else field.packing.dtype
    return xr.Variable(field.dims, da.zeros(shape, dtype=dtype, chunks=-1), {**field.attrs, **place})


def _ledger(content: Content, record: Record, level: int) -> xr.Variable:
    import dask.array as da

    regions = tuple(len(axis.regions) - 1 for axis in record.cuts[level])
    stamps = content.stamps
    lead, size = ((), ()) if stamps is None else ((stamps.dim,), (int(stamps.values.size),))
    attrs = {"long_name": "1 where the pixels of a region are written, 0 where they are not"}
    taken = {*content.small.dims, *(dim for field in content.fields for dim in field.dims)}
    dims = LEDGER_DIMS[bool(taken & {*LEDGER_DIMS[0]})]
    return xr.Variable((*lead, *dims), da.zeros((*size, *regions), dtype="uint8", chunks=-1), attrs)


def _small_encoding(var: xr.Variable, record: Record) -> dict[str, Any]:
    """Fix how a small variable is stored, so that later dates can be stored alike."""
    encoding: dict[str, Any] = {"compressors": small_codec(record.zarr_format)}
    if var.dtype.kind == "f" and record.time not in var.dims:
        encoding["_FillValue"] = None
    if var.dtype.kind in "Mm":
        encoding["dtype"] = "int64"
        encoding["units"] = UNITS if var.dtype.kind == "M" else "nanoseconds"
        if var.dtype.kind == "M":
            encoding["calendar"] = "proleptic_gregorian"
    if var.ndim:
        encoding["chunks"] = tuple(
            CHUNK if dim == record.time else max(size, 1) for dim, size in zip(var.dims, var.shape, strict=True)
        )
    return encoding


def _with_text(small: xr.Dataset, record: Record) -> xr.Dataset:
    """Make text of fixed length text of any length: Zarr 3 has no standard for it, and later dates may be longer."""
    texts = [name for name in record.text if record.zarr_format == 3 or record.time in small.variables[name].dims]
    for name in texts:
        var = small.variables[name]
        fresh = xr.Variable(var.dims, var.values.astype(object), var.attrs)
        small = small.assign({name: fresh})  # a coordinate stays one
    return small


@contextmanager
def unspecified_is_fine() -> Iterator[None]:
    """Silence warnings of zarr-python and xarray about what is written here on purpose.

    Text in Zarr 3, whose specification is not settled, and coordinates with a space in their name, which xarray stores
    as variables: `open_zarr` restores them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        warnings.filterwarnings("ignore", message=".*Zarr format 3 specification.*")
        warnings.filterwarnings("ignore", message=".*has a space in its name", category=xr.SerializationWarning)
        yield
