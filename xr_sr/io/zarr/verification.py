"""Compare a store with its metadata: documents, small variables, the ledger and chunks.

What a rerun of `to_zarr` needs to mend a store is repaired: documents come back from the consolidated metadata, and the
ledger notes regions as lost whose chunks are missing or cannot be read; the latter are deleted. Nothing that can be
read is changed here.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr

from ...arguments import check_flag, first_line
from ...errors import StoreDamageError, StoreError, StoreWarning, warn_caller
from ...runtime.execute import progress_bar
from .blocks import chunks_in
from .claim import claimed
from .documents import can_be_opened, consolidated, dimensions, is_array, is_group, open_array, require_array
from .ledger import Ledger, open_ledger, pending, pending_of
from .record import LEDGER, LEDGER_DIMS, Record, require_record
from .report import Damage, Problem, StorePart, Verification
from .target import Document, StoreLike, Target, join_path
from .template import publish, stored_length, unspecified_is_fine
from .times import UNITS, stamp_text

_THREADS = 8
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_ARRAY_KEY = {3: "zarr.json", 2: ".zarray"}


def verify(
    store: StoreLike,
    *,
    repair: bool = True,
    quick: bool = False,
    progress: bool | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Verification:
    """Check a store of `to_zarr` against its ledger and metadata; the next `to_zarr` then writes what is missing.

    Reads every metadata document, every chunk of the small variables, and every chunk of each region that the ledger
    notes as done. `print` shows the result and what to do.

    store: as in `to_zarr`.
    repair: restore missing documents from the consolidated metadata, and note in the ledger which regions were lost, so
        that the next `to_zarr` of these dates writes them. Until then they are reported again. Chunks that cannot be
        read are deleted; pixels that can be read are never changed. False, or a store that is read-only: nothing is
        changed. Nor where this user may not write: a StoreWarning says so.
    quick: only look whether each chunk is there; a chunk that was cut short or changed is not found then.
    progress: True or False; by default a bar of regions in a terminal and in Jupyter.
    storage_options: for fsspec, where `store` is a URL.

    A changed byte is found by the checksum of its chunk. Not found: one in pixels of Zarr 2, and of stores begun by
    older versions, that the codec does not notice; a document that is valid, but not as it was written.
    Returns a Verification: `ok`, `regions`, `complete`, `unwritten`, `dates`, `damages`, `lost`, `advice`.
    Raises StoreError for anything but a store of this package, for an incomplete template, and, with `repair`, while
    another call writes to the store; StoreDamageError if the root document is missing or cannot be read: then only
    `to_zarr(..., overwrite=True)` helps.
    """
    for name, flag in (("repair", repair), ("quick", quick)):
        check_flag(name, flag)
    check_flag("progress", progress, optional=True)
    target = Target.of(store, read_only=True, storage_options=storage_options)  # makes no folder where there is none
    record = require_record(target)
    target = Target.of(store, read_only=not repair, storage_options=storage_options)
    if target.store.read_only:
        return inspect(target, record, repair=False, quick=quick, progress=progress)
    with ExitStack() as stack:
        try:
            claim = stack.enter_context(claimed(target, wait=None))
        except StoreError as error:
            cause = error.__cause__
            if not (isinstance(cause, OSError) and cause.errno in _NOT_ALLOWED):
                raise
            warn_caller(
                f"{target.label} cannot be written ({first_line(cause.strerror or cause)}), so it was checked without "
                "repair. To repair it, run verify as a user who may write there; pass repair=False to only check.",
                StoreWarning,
            )
            return inspect(target, record, repair=False, quick=quick, progress=progress)
        return inspect(target, record, repair=True, quick=quick, progress=progress, check=claim.check)


def inspect(
    target: Target,
    record: Record,
    *,
    repair: bool,
    quick: bool = False,
    progress: bool | None = False,
    check: Callable[[], None] = lambda: None,
) -> Verification:
    """Do the work of `verify` on a store whose record is read. check: raises if the claim on it was lost."""
    damages = damaged_documents(target, record)
    if repair and damages:
        check()
        damages = _restored(target, record, damages)
    complete = regions = 0
    checksums = True
    dates: dict[int, str] = {}
    incomplete: set[int] = set()
    if all(each.repaired for each in damages):
        damages += damaged_small(target, record)
        dates = _dates(target, record)
        for level in range(len(record.groups)):
            found = _Level.open(target, record, level, dates)
            regions += found.total
            codecs = [array.compressors for array, _ in found.arrays.values()]
            checksums &= all(any(getattr(codec, "checksum", False) for codec in each) for each in codecs)
            with progress_bar(found.total, progress=progress, label=target.label[-30:], unit="region") as advance:
                for slot, whole, more in found.regions(quick=quick, repair=repair, check=check):
                    complete += whole
                    damages += more
                    incomplete |= set() if whole else {slot}
                    advance(1)
    named = tuple(dates[slot] for slot in sorted(incomplete) if slot in dates)
    return Verification(target.label, regions, complete, tuple(damages), quick, repair, named, checksums)


def refuse_damaged(target: Target, record: Record) -> None:
    """Raise StoreDamageError if a document or a small variable is missing or cannot be read."""
    damages = damaged_documents(target, record)
    refuse(target, damages or damaged_small(target, record))


def refuse(target: Target, damages: Sequence[Damage]) -> None:
    """Raise StoreDamageError that names damages, if there are any."""
    if damages:
        named = "; ".join(map(str, damages[:3])) + (f"; and {len(damages) - 3} more" if len(damages) > 3 else "")
        raise StoreDamageError(
            f"{target.label} is damaged: {named}. xr_sr.verify(store) restores what the store has copies of; else "
            "rewrite the store with overwrite=True."
        )


def damaged_documents(target: Target, record: Record) -> list[Damage]:
    """Look for the documents of all groups and arrays."""
    keys = [*(["zarr.json"] if record.zarr_format == 3 else []), *_document_keys(target, record)]
    found = {key: target.readable(key) for key in keys}
    wrong = {key for key, document in found.items() if document is None or not _fits(key, document)}
    for level, group in enumerate(record.groups):
        for name in record.arrays_of(level):
            key = join_path(group, name, _ARRAY_KEY[record.zarr_format])
            attrs = key.replace(".zarray", ".zattrs")
            document = found[key] or {}
            if record.zarr_format == 2:
                document = {**document, "attributes": found[attrs] or {}}
            if not {key, attrs} & wrong and not _is_right_array(document, record, level, name):
                # Zarr 2: where the array can be opened, its attributes name the wrong dimensions.
                wrong.add(attrs if can_be_opened(document) else key)
    return [
        Damage("document", key, "missing" if target.text(key) is None else "unreadable") for key in keys if key in wrong
    ]


def _fits(key: str, document: Document) -> bool:
    """Return whether a document is one of its kind, as far as its key says."""
    kind = key.rsplit("/", 1)[-1]
    if kind == ".zgroup" or (kind == "zarr.json" and document.get("node_type") != "array"):
        return is_group(document) and consolidated(document) is not None
    return kind != ".zmetadata" or bool(consolidated(document))


def _is_right_array(document: Document, record: Record, level: int, name: str) -> bool:
    """Return whether the document of an array describes one that the record can have written."""
    if not is_array(document):
        return False
    if name == LEDGER:
        with suppress(StoreDamageError):
            pending_of(document)
            return tuple(dimensions(document)[-2:]) in LEDGER_DIMS
        return False
    sizes = dict(zip(dimensions(document), document["shape"], strict=True))
    grid = dict(zip(record.dims, (axis.regions[-1] for axis in record.cuts[level]), strict=True))
    return name not in record.fields or all(sizes.get(dim) == size for dim, size in grid.items())


def damaged_small(target: Target, record: Record) -> list[Damage]:
    """Find and read the small variables."""
    found = []
    for level, group in enumerate(record.groups):
        found += (missing := missing_small(target, record, level))
        for name in record.small_of(level):
            path = join_path(group, name)
            with unspecified_is_fine():
                array = open_array(target, record, level, name)
            if not any(each.path.startswith(f"{path}/") for each in missing) and not _can_be_read(array, ...):
                found.append(Damage("small variable", path, "unreadable"))
    return found


def missing_small(target: Target, record: Record, level: int) -> list[Damage]:
    """Find missing small variables of a level without reading them, by one round of requests."""
    keys: list[str] = []
    for name in record.small_of(level) if record.every_chunk else ():
        # Consolidated metadata may have a document that is missing or cannot be read.
        with suppress(StoreDamageError), unspecified_is_fine():
            array = open_array(target, record, level, name)
            keys += chunks_in(array, [slice(0, size) for size in array.shape])
    return [
        Damage("small variable", _below(target, key), "missing") for key in sorted(set(keys) - target.present(keys))
    ]


def _document_keys(target: Target, record: Record) -> list[str]:
    names = {3: (("zarr.json",), ("zarr.json",)), 2: ((".zgroup", ".zattrs"), (".zarray", ".zattrs"))}
    of_groups, of_arrays = names[record.zarr_format]
    keys = [".zgroup", *([] if target.commits else [".zmetadata"])] if record.zarr_format == 2 else []
    for level, group in enumerate(record.groups):
        keys += [join_path(group, name) for name in of_groups if group]
        keys += [join_path(group, array, name) for array in record.arrays_of(level) for name in of_arrays]
    return keys


def _restored(target: Target, record: Record, damages: Sequence[Damage]) -> list[Damage]:
    """Restore documents from the consolidated metadata, and then the consolidated metadata from all documents."""
    if record.zarr_format == 3:
        root = consolidated(target.readable("zarr.json") or {}) or {}
        kept = {join_path(path, "zarr.json"): document for path, document in root.items()}
    else:
        kept = {".zgroup": {"zarr_format": 2}, **(consolidated(target.readable(".zmetadata") or {}) or {})}
    for each in damages:
        if each.path in kept:
            with target.writing(each.path):
                target.write(kept[each.path], each.path)
    # What consolidates others is made from them, so it counts as restored where they are.
    of_all = "zarr.json" if record.zarr_format == 3 else ".zmetadata"
    still = {each.path for each in damaged_documents(target, record)} - {of_all}
    left = [each for each in damages if each.path in still]
    if not still:
        publish(target, record, stored_length(target, record))
    return [each if each in left else replace(each, repaired=True) for each in damages]


@dataclass(frozen=True, eq=False)
class _Level:
    """The pixels of one level. arrays: by name, with their dimensions; as long as the ledger. dates: by slot."""

    target: Target
    record: Record
    level: int
    ledger: Ledger
    arrays: Mapping[str, tuple[zarr.Array[Any], tuple[str, ...]]]
    slots: int
    dates: Mapping[int, str]

    @classmethod
    def open(cls, target: Target, record: Record, level: int, dates: Mapping[int, str]) -> _Level:
        """Open the arrays of a level, with room for dates that are being added."""
        length = stored_length(target, record)
        slots = 1 if length is None else length + len(pending(target, record, length))
        arrays = {}
        for name in record.fields:
            array = open_array(target, record, level, name, length=slots)
            arrays[name] = array, dimensions(require_array(target, record, level, name))
        return cls(target, record, level, open_ledger(target, record, level, slots), arrays, slots, dates)

    @property
    def total(self) -> int:
        """Count the regions of all dates."""
        return self.slots * self.ledger.regions[0] * self.ledger.regions[1]

    def regions(
        self, *, quick: bool, repair: bool, check: Callable[[], None]
    ) -> Iterator[tuple[int, bool, list[Damage]]]:
        """Look at each region: its slot, whether it is complete, and what is wrong with it."""
        with ThreadPoolExecutor(_THREADS) as threads:
            for slot, row, col in itertools.product(range(self.slots), *map(range, self.ledger.regions)):
                place = (slot, row, col)
                done, lost, damages = self._noted(place)
                if done or lost:
                    damages = self._damaged_chunks(place, threads, quick=quick)
                if lost and not damages:  # its note was unreadable, or a rerun was stopped before it could note it
                    damages = [self._damage("ledger", self.ledger.array.path, "missing", place)]
                if lost:
                    damages = [replace(each, repaired=True) for each in damages]
                elif damages and repair:
                    check()
                    self.ledger.mark(*place, lost=True)
                    for each in damages:
                        if each.part == "pixels" and each.problem == "unreadable":
                            self.target.delete(each.path)  # writing into a damaged shard would read it first
                    damages = [replace(each, repaired=True) for each in damages]
                yield slot, done and not damages, damages

    def _noted(self, place: tuple[int, int, int]) -> tuple[bool, bool, list[Damage]]:
        try:
            return (*self.ledger.state(*place), [])
        except Exception:  # of the codec or the store
            return False, False, [self._damage("ledger", self.ledger.array.path, "unreadable", place)]

    def _damage(self, part: StorePart, key: str, problem: Problem, place: tuple[int, int, int]) -> Damage:
        return Damage(part, _below(self.target, key), problem, place, date=self.dates.get(place[0], ""))

    def _damaged_chunks(self, place: tuple[int, int, int], threads: ThreadPoolExecutor, *, quick: bool) -> list[Damage]:
        windows: dict[str, tuple[zarr.Array[Any], tuple[slice | int, ...]]] = {}
        for array, dims in self.arrays.values():
            if place[0] == 0 or self.record.time in dims:  # a field without time is written with the first date
                window = self.record.window(self.level, place, dims, array.shape)
                windows |= {key: (array, part) for key, part in chunks_in(array, window).items()}
        there = self.target.present(windows)
        damages = [self._damage("pixels", key, "missing", place) for key in windows.keys() - there]
        if not quick:
            keys = sorted(there)
            fine = zip(keys, threads.map(lambda key: self._is_fine(key, *windows[key]), keys), strict=True)
            damages += [self._damage("pixels", key, "unreadable", place) for key, good in fine if not good]
        return sorted(damages, key=lambda each: each.path)

    def _is_fine(self, key: str, array: zarr.Array[Any], window: tuple[slice | int, ...]) -> bool:
        blosc = array.shards is None and "Blosc" in type([None, *array.compressors][-1]).__name__
        return (not blosc or self.target.blosc_is_whole(key)) and _can_be_read(array, window)


def _dates(target: Target, record: Record) -> dict[int, str]:
    """Return the date of each slot as text, those that are being added too; none in a store without time."""
    length = stored_length(target, record)
    if record.time is None or length is None:
        return {}
    if record.time not in record.arrays:
        return {slot: f"{record.time} at position {slot}" for slot in range(length)}
    array = open_array(target, record, 0, record.time)
    try:
        published = np.asarray(array[...]).tolist()
    except Exception:  # of the codec or the store: reported as the damage of a small variable
        return {}
    stamps = dict(enumerate(published)) | dict(enumerate(pending(target, record, length), start=length))
    kind, start = ("date", "") if array.attrs.get("units") == UNITS else ("number", f"{record.time} ")
    return {slot: start + stamp_text(stamp, kind) for slot, stamp in stamps.items()}


def _can_be_read(array: zarr.Array[Any], window: Any) -> bool:
    try:
        _ = array[window]
    except Exception:  # codecs and stores raise errors of many classes
        return False
    return True


def _below(target: Target, key: str) -> str:
    """Return a key of a store below the path of the target."""
    return key.removeprefix(f"{target.prefix}/") if target.prefix else key
