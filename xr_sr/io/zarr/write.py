"""Write cubes to Zarr: compare the options with the existing store, create the template if needed, and run.

How blocks are packed, cut and written is in the modules beside this one; `run` has the order of things.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from ...arguments import check_flag, check_number, check_whole, count_of, is_one_of, shown
from ...cube.axes import XarrayObject
from ...cube.names import listed
from ...errors import BandWarning, ClippingWarning, StoreError, StoreWarning, warn_caller
from ...runtime.execute import progress_bar
from ...task_warnings import collecting
from . import layout
from .claim import claimed
from .content import Content, describe, fingerprint
from .conventions import DECLARATION
from .documents import read_group
from .encoding import INT16, ZarrFormat, is_text
from .growth import fitted, ordered_like
from .layout import Cut
from .reach import refuse_unreachable
from .record import LEDGER, CutRecord, Record, StoreState, check_fingerprint, find, refuse_others
from .run import Run
from .target import StoreLike, Target, join_path
from .template import build, rename_models
from .verification import inspect, refuse, refuse_damaged


@collecting()
def to_zarr(
    obj: XarrayObject,
    store: StoreLike,
    *,
    zarr_format: ZarrFormat = 3,
    packing: str | Mapping[Hashable, str] = "int16",
    chunks: int | tuple[int, int] | None = None,
    shards: Literal["block"] | None = None,
    pyramid: int | bool = 0,
    geozarr: bool = False,
    region: int | None = None,
    overwrite: bool = False,
    verify: bool = False,
    wait: float = 0,
    progress: bool | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> int:
    """Write a lazy, georeferenced cube to Zarr, block by block; it can be interrupted at any moment and resumed.

    All metadata are written first. Each block then goes from its task to its Zarr chunks, and a ledger
    (`sr_status(time, region_y, region_x)`) notes the regions that are complete. The same call, run again after a kill,
    skips those, and writes the same bytes as an uninterrupted run. `xr_sr.open_zarr` returns what was written; xarray,
    rioxarray and GDAL read it too. The page "The output store" of the documentation says how it works.

    obj: DataArray or Dataset with y and x (or latitude and longitude, ...) in any order, with or without time, bands
        and a CRS. Variables that are not on the grid are loaded and written with the metadata.
    store: a path, a URL that fsspec knows, or a store of zarr-python that can rewrite and delete keys: memory,
        obstore, an Icechunk session's (`session.store`; commit after this call); no ZipStore.
    zarr_format: 3, or 2 for GDAL before 3.12.
    packing: of floating-point variables, for all or by name. "int16": steps of 0.0001 between -3.2767 and 3.2767, NaN
        as -32768; values beyond are clipped, counted, and reported once (ClippingWarning). A variable whose `units`
        are not those of reflectance or an index (dB, m) becomes float32 unless it is named. "float32", or "native": as
        it is. Integers and booleans keep their dtype, and integers the nodata value that they declare; so do integers
        that are floats because of NaN, such as DN after `mask`, unless "float32" or "native" is passed. Pixels that are
        not written yet are nodata, or 0 in integers that declare none.
    chunks: side of a Zarr chunk in pixels, or (y, x). It must divide the blocks of the cube. By default the largest
        that does, up to 1024; 1024 where an axis is one block.
    shards: "block" puts the chunks of a block into one file. GDAL reads shards from 3.13 on.
    pyramid: number of coarser levels, each half of the one before; True for as many as make the last one fit a chunk.
        NaN is left out of the averages, classes and masks keep one pixel of four.
    geozarr: declare the conventions `spatial:` and `proj:` in each group and array, which netCDF cannot hold. Their
        attributes are there in any case.
    region: blocks along a side of a region, the unit that is redone after a kill; by default 4, or more if they are
        small.
    overwrite: replace an existing Zarr, by any writer, damaged or not. Anything else is never deleted.
    verify: first do what `xr_sr.verify` does, so that chunks that were lost or damaged since are written again.
    wait: seconds to wait for another call that writes to this store; by default such a call is an error at once. A call
        that may be gone is waited for up to 60 s, with a StoreWarning.
    progress: True or False; by default a bar of blocks in a terminal and in Jupyter.
    storage_options: for fsspec, where `store` is a URL.

    Later dates: call it with the same store and a cube that holds new dates, or a raster of one date that has it in a
    scalar coordinate (`time`, `date`, ...). Only those are computed; each is published when it is whole. Dates are
    compared as nanoseconds of UTC; a date that is there is never written twice. Small variables keep the types of the
    first call; a store without a block is replaced.

    Returns the number of blocks that this call wrote, counted for each variable, date and level of a pyramid, and for
    each chunk along other dimensions, such as bands; 0 if nothing was left to do.
    Raises StoreMismatchError, before anything is changed, if the store holds another grid, other variables, or results
    of another model, options or radiometry (every attribute `xr_sr:*`, options by what they mean, and
    `radiometry_offset` of each date; neither input pixels nor masks with time are compared), or if it cannot take small
    variables of new dates without loss. A raster of one date, or of none, must also agree with the one that is there in
    its other coordinates.
    DuplicateTimeError for equal dates. StoreError for a target that is not a store of this package, is read-only, full,
    written by another call, or out of reach of the workers of dask's active scheduler: what is written is kept, the
    same call resumes.
    Warns BandWarning of small variables that Zarr has no type for, such as lists; they are left out. StoreWarning where
    a store without dates is complete, so that nothing is written, and where nothing keeps a second writer away.
    """
    check_flag("overwrite", overwrite)
    check_flag("geozarr", geozarr)
    check_flag("verify", verify)
    check_flag("progress", progress, optional=True)
    for name, value, choices in (("zarr_format", zarr_format, (2, 3)), ("shards", shards, (None, "block"))):
        if not is_one_of(value, choices):
            raise StoreError(f"{name}={shown(value)}: expected {choices[0]!r} or {choices[1]!r}.")
    if shards and zarr_format == 2:
        raise StoreError("shards='block' needs zarr_format=3; the older format has no shards.")
    _refuse_options(obj, region, pyramid)
    sides = _sides_of(chunks)
    wait = check_number("wait", wait, least=0)
    pyramid = bool(pyramid) if isinstance(pyramid, np.bool_) else pyramid
    target = Target.of(store, storage_options=storage_options)
    target.refuse_append_only()
    content = describe(obj, packing, dated=True)
    if content.left_out:
        warn_caller(
            f"{listed(content.left_out)}: Zarr has no type for what this holds (lists, records, dates before 1677 or "
            f"after 2262), so the store leaves it out. To keep it, turn it into numbers or text; to leave it out "
            f"without this warning: obj.drop_vars({list(content.left_out)}).",
            BandWarning,
        )
    wanted = {"zarr_format": zarr_format, "shards": shards, "pyramid": _levels(pyramid, content)}
    asked: dict[str, Any] = {"geozarr": True} if geozarr else {}
    if sides is not None:
        asked["chunks"] = [min(side, int(size)) for side, size in zip(sides, content.geobox.shape, strict=True)]

    found = _found(target, overwrite=overwrite)
    if not _is_extended(found, target, overwrite=overwrite):
        _chosen_cuts(content, sides, region, even=shards is not None)  # raises before anything is written
    refuse_unreachable(target)
    with claimed(target, wait=wait) as claim:
        found = _found(target, overwrite=overwrite)
        if isinstance(found, Record) and _is_extended(found, target, overwrite=overwrite):
            record, content = found, ordered_like(found, content)
            _check(record, content, target, {**wanted, **asked})
            if verify:
                refuse(target, inspect(target, record, repair=True, check=claim.check).lost)
            else:
                refuse_damaged(target, record)
            content = fitted(target, record, content)
            cuts = _adopted_cuts(record, content)
            if extra := [str(name) for name in content.small.variables if name not in record.arrays]:
                warn_caller(f"{target.label} was begun without {extra}, which are left out.", BandWarning)
        else:
            cuts = _chosen_cuts(content, sides, region, even=shards is not None)
            record = _record(content.cut_like(*cuts), cuts, wanted)
            with target.writing("the template"):
                build(target, content, record, claim.check, declared=geozarr)
        with target.reading("the metadata"), target.writing("the metadata"):
            claim.check()
            target.sweep()
            run = Run.begin(target, record, content.cut_like(*cuts), cuts, claim)
            total, done = run.total_blocks, run.done_blocks
            if done < total:
                rename_models(target, record, content)
        if done == total and record.time is None:
            warn_caller(
                f"{target.label} is complete, so nothing was written: it holds no date, and whether this is the same "
                "image is not known, as pixels are not compared. To collect images of several dates, give each its "
                "date, obj.assign_coords(time=numpy.datetime64('2023-06-01')), from the first on; to replace what is "
                "there, pass overwrite=True.",
                StoreWarning,
            )
        with progress_bar(total, done=done, progress=progress, label=target.label[-30:]) as advance:
            run.finish(advance)
    if run.clipped:
        clipped, names = run.clipped.total(), ", ".join(map(repr, sorted(run.clipped)))
        warn_caller(
            f"{count_of(clipped, 'value')} of {names} beyond {INT16.limit:.4f} {'was' if clipped == 1 else 'were'} "
            "clipped to it. If this should be reflectance, check or mask it; if not, keep it with packing='float32'.",
            ClippingWarning,
        )
    return total - done


def _found(target: Target, *, overwrite: bool) -> Record | StoreState:
    """Find out what a target holds. Raises StoreError for anything that must not be overwritten."""
    with target.writing("the root group"):
        found = find(target)
        refuse_others(found, target, overwrite=overwrite)
    return found


def _is_extended(found: Record | StoreState, target: Target, *, overwrite: bool) -> bool:
    """Return whether a store is resumed or extended, not rewritten, as one without a block or a note of one is."""
    if not isinstance(found, Record) or found.state != "ready" or overwrite:
        return False
    return any(target.has_chunks(join_path(group, name)) for name in (LEDGER, *found.fields) for group in found.groups)


def _refuse_options(obj: object, region: int | None, pyramid: int | bool) -> None:
    """Refuse what can be seen to be wrong before anything is looked at."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        path = next((node.path for node in obj.subtree if node.data_vars), "/") if isinstance(obj, xr.DataTree) else ""
        advice = f"; pass the Dataset of one node: tree[{path!r}].to_dataset()" if path else ""
        raise StoreError(f"a {type(obj).__name__} cannot be written, only a DataArray or a Dataset{advice}.")
    if not isinstance(pyramid, bool | np.bool_):
        check_whole("pyramid", pyramid, least=0, unit="coarser levels, or True for all")
    if region is not None and not _is_count(region):
        raise StoreError(f"region={region!r}: expected a number of blocks, an int of at least 1.")


def _sides_of(chunks: object) -> tuple[int, int] | None:
    """Read the sides of a Zarr chunk along y and x. Raises StoreError for anything but one or two, or None."""
    sides = chunks if isinstance(chunks, tuple | list) else (chunks, chunks)
    if chunks is None:
        return None
    if len(sides) != 2 or not all(map(_is_count, sides)):
        raise StoreError(f"chunks={chunks!r}: expected a side in pixels, at least 1, or two of them as (y, x).")
    y, x = sides
    return y, x


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _levels(pyramid: int | bool, content: Content) -> int:
    side = max(map(int, content.geobox.shape))
    most = max(0, (side - 1).bit_length() - (layout.CHUNK - 1).bit_length()) if pyramid is True else int(pyramid)
    if most < 0 or (most and side >> most == 0):
        raise StoreError(
            f"pyramid={pyramid}: the grid is {count_of(side, 'pixel')} long; it has "
            f"{count_of(side.bit_length() - 1, 'coarser level')} at most."
        )
    return most


def _check(record: Record, content: Content, target: Target, wanted: Mapping[str, Any]) -> None:
    y, x = record.cuts[0]
    stored = {
        "zarr_format": record.zarr_format,
        "shards": None if y.shard is None else "block",
        "pyramid": len(record.cuts) - 1,
        "chunks": [y.chunk, x.chunk],
        "geozarr": DECLARATION in read_group(target, record.groups[0], record.zarr_format),
    }
    layout_of = {key: stored[key] for key in wanted}
    check_fingerprint(
        {**record.fingerprint, "layout": layout_of}, {**fingerprint(content), "layout": wanted}, target.label
    )


def _chosen_cuts(content: Content, sides: tuple[int, int] | None, region: int | None, *, even: bool) -> tuple[Cut, Cut]:
    y, x = (
        layout.choose_cut(content.edges(dim), chunk=side, region_blocks=region, even=even, axis=dim)
        for side, dim in zip(sides or (None, None), (content.y, content.x), strict=True)
    )
    return y, x


def _adopted_cuts(record: Record, content: Content) -> tuple[Cut, Cut]:
    y, x = (
        layout.adopt_cut(content.edges(dim), stored, unit=axis.unit)
        for dim, stored, axis in zip(record.dims, record.cut(0), record.cuts[0], strict=True)
    )
    return y, x


def _record(content: Content, cuts: tuple[Cut, Cut], wanted: Mapping[str, Any]) -> Record:
    levels = [cuts]
    for _ in range(wanted["pyramid"]):
        y, x = (
            layout.even_cut(-(-cut.size // 2), chunk=first.chunk) for cut, first in zip(levels[-1], cuts, strict=True)
        )
        levels.append((y, x))
    small = content.small.variables
    grid = (content.y, content.x)
    return Record(
        state="building",
        zarr_format=wanted["zarr_format"],
        kind=content.kind,
        name=content.name,
        variable=content.variable,
        dims=grid,
        time=content.time,
        fields=tuple(field.name for field in content.fields),
        text=tuple(str(name) for name, var in small.items() if var.dtype.kind in "UT" or is_text(var.values)),
        variables=content.order,
        arrays=(*map(str, small), *(field.name for field in content.fields), LEDGER),
        # What goes along an axis that coarser levels shorten, and is not that axis itself.
        fine_only=tuple(str(name) for name, var in small.items() if {*grid} & {*var.dims} and name not in grid),
        cuts=tuple((_cut_record(y, wanted["shards"]), _cut_record(x, wanted["shards"])) for y, x in levels),
        fingerprint=fingerprint(content),
        one_date=content.one_date,
        every_chunk=True,
    )


def _cut_record(cut: Cut, shards: str | None) -> CutRecord:
    return CutRecord(cut.chunk, layout.shard_side(cut) if shards else None, cut.block, cut.regions)
