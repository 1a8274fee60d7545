"""Write training pairs: pixels to a Zarr, one STAC Item for each pair, and all of it or nothing.

The folder is made under another name and renamed when it is complete. The lock on it is the operating system's: it ends
with its process, however that ends.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time as clock
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ..._version import __version__
from ...arguments import count_of
from ...errors import CubeError
from ...io.stac.stored import PROJECTION, projection_fields

__all__ = ["KEPT", "PairWriter", "Selection", "SharedArea", "partial_folder", "write_collection"]

ZARR = "application/vnd.zarr; version=3"

YOUNG_S = 60.0
"""Seconds for which a folder without a lock is kept: its run may be about to lock it."""

KEPT = "kept"


@dataclass(frozen=True)
class Selection:
    """Measurements of a pair. Shifts in coarse pixels, angle in degrees; NaN where not measured."""

    reason: str
    valid: float
    shift_y: float = np.nan
    shift_x: float = np.nan
    quality: float = np.nan
    angle: float = np.nan

    @property
    def kept(self) -> bool:
        """Whether the pair is usable."""
        return self.reason == KEPT


@dataclass(frozen=True)
class PairEntry:
    """One pair that was kept. coarse, fine: its two grids."""

    coarse: GeoBox
    fine: GeoBox
    finding: Selection


@dataclass(frozen=True, eq=False)
class SharedArea:
    """The area that both images cover, on one grid of coarse pixels.

    lr, hr, seen: (band, y, x), bands in one order, cut to that area. scale: fine pixels per coarse one.
    """

    lr: xr.DataArray
    hr: xr.DataArray
    seen: xr.DataArray
    grid: GeoBox
    scale: int
    bands: tuple[str, ...]


class PairWriter:
    """Append pairs to a Zarr, and keep the table of all patches that were tested."""

    def __init__(self, store: Path, scene: SharedArea, size: int) -> None:
        import zarr

        self.store, self.scene, self.size = store, scene, size
        self.entries: list[PairEntry] = []
        self.rows: list[dict[str, Any]] = []
        store.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.create_group(str(store), zarr_format=3)
        self.arrays = [
            group.create_array(
                name,
                shape=(0, len(scene.bands), side, side),
                chunks=(1, len(scene.bands), side, side),
                dtype="float32",
                fill_value=np.nan,
                dimension_names=("patch", "band", f"y{suffix}", f"x{suffix}"),
                attributes={"units": "1"},
            )
            for name, side, suffix in (("lr", size, ""), ("hr", size * scene.scale, "_hr"))
        ]

    @property
    def kept(self) -> int:
        """The number of pairs kept so far."""
        return len(self.entries)

    def add(self, place: tuple[int, int], coarse: npt.NDArray[Any], fine: npt.NDArray[Any], finding: Selection) -> None:
        """Record a pair, (band, y, x) pixels each, and write it if usable. place: first coarse row and column."""
        row, column = place
        corner = self.scene.grid.affine @ (column, row)
        self.rows.append({"row": row, "column": column, "left": corner[0], "top": corner[1], **asdict(finding)})
        if not finding.kept:
            return
        grid = self.scene.grid[row : row + self.size, column : column + self.size]
        self.entries.append(PairEntry(grid, grid.zoom_to((self.size * self.scene.scale,) * 2), finding))
        for array, pixels in zip(self.arrays, (coarse, fine), strict=True):
            array.append(pixels.astype("float32")[None])

    def finish(self, time: np.datetime64) -> None:
        """Write the coordinates of the pairs and the table. Raises CubeError if no pair was kept."""
        reasons = Counter(row["reason"] for row in self.rows)
        if not self.kept:
            raise CubeError(
                f"none of {len(self.rows)} patches is usable: "
                + ", ".join(f"{count} {reason}" for reason, count in reasons.items())
                + ". Check the images, or relax max_shift, max_angle or min_valid."
            )
        table = {name: _column([row[name] for row in self.rows]) for name in self.rows[0]}
        kept = np.array([row["reason"] == "kept" for row in self.rows])
        measured = {name: ("patch", values[kept]) for name, values in table.items() if name != "reason"}
        crs = self.scene.grid.crs
        attrs = {
            "scale": self.scene.scale,
            "crs": f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else str(crs or ""),
            "shift": "of the fine image, in pixels of the coarse one",
            "angle": "in degrees",
        }
        pairs = xr.Dataset(coords={**measured, "band": _column(self.scene.bands), "time": time}, attrs=attrs)
        pairs.to_zarr(self.store, mode="a", consolidated=False)
        selection = xr.Dataset({name: ("tested", values) for name, values in table.items()})
        selection.assign(kept=("tested", kept)).to_zarr(self.store, group="selection", mode="a", consolidated=False)
        _consolidate(self.store, "selection")
        _consolidate(self.store, None)


def _consolidate(store: Path, group: str | None) -> None:
    """Consolidate metadata, which xarray reads first; it warns if there is none."""
    import zarr

    with warnings.catch_warnings():
        # Zarr warns that version 3 of its format does not specify this yet; its readers and xarray use it.
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(store), path=group)


def _column(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Return an array; text as objects, which Zarr stores at any length without a warning."""
    return np.array(values, dtype=object if isinstance(values[0], str) else None)


def item_name(number: int) -> str:
    """Return the name of an Item: the number of the pair along `patch`."""
    return f"pair-{number:06d}"


def write_collection(
    folder: Path,
    entries: Sequence[PairEntry],
    *,
    time: np.datetime64,
    license: str,
    bands: Sequence[str],
    store: str,
    name: str,
    about: Mapping[str, Any],
) -> None:
    """Write a static STAC collection, `collection.json` and `items/*.json`, with relative links.

    time: of the coarse image, UTC. license: an SPDX name, or "other". store: name of the Zarr in the folder. name: of
    the collection. about: properties of every Item.
    """
    import pystac
    from pystac.layout import TemplateLayoutStrategy

    moment = _datetime(time)
    items = [_item(number, entry, moment, license, bands, store, about) for number, entry in enumerate(entries)]
    boxes = [item.bbox for item in items if item.bbox is not None]
    around = [
        *(min(box[n] for box in boxes) for n in (0, 1)),
        *(max(box[n] for box in boxes) for n in (2, 3)),
    ] if boxes else [-180.0, -90.0, 180.0, 90.0]  # fmt: skip
    collection = pystac.Collection(
        id=name,
        description=f"{count_of(len(items), 'pair')} of coarse and fine images of the same area, {', '.join(bands)}.",
        extent=pystac.Extent(pystac.SpatialExtent([around]), pystac.TemporalExtent([[moment, moment]])),
        license=license,
    )
    collection.add_items(items)
    collection.normalize_hrefs(str(folder), strategy=TemplateLayoutStrategy(item_template="items"))
    collection.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)


def _item(
    number: int,
    entry: PairEntry,
    moment: datetime,
    license: str,
    bands: Sequence[str],
    store: str,
    about: Mapping[str, Any],
) -> Any:
    """Return the Item of one pair; without a CRS it has no geometry."""
    import pystac

    geometry, bbox = None, None
    if entry.coarse.crs is not None:
        outline = entry.coarse.extent.to_crs("EPSG:4326")
        geometry, bbox = outline.json, list(outline.boundingbox.bbox)
    finding = entry.finding
    properties = {
        **_grid(entry.coarse),
        "license": license,
        "xr_sr:version": __version__,
        "xr_sr:shift": [_number(finding.shift_y), _number(finding.shift_x)],
        "xr_sr:shift_quality": _number(finding.quality),
        "xr_sr:spectral_angle": _number(finding.angle),
        "xr_sr:valid": finding.valid,
        **about,
    }
    extensions = [PROJECTION] if entry.coarse.crs is not None else []
    item = pystac.Item(item_name(number), geometry, bbox, moment, properties, stac_extensions=extensions)
    for name, geobox in (("lr", entry.coarse), ("hr", entry.fine)):
        facts = {**_grid(geobox), "bands": [{"name": band} for band in bands], "xr_sr:patch": number}
        asset = pystac.Asset(f"../{store}/{name}", media_type=ZARR, roles=["data"], extra_fields=facts)
        item.add_asset(name, asset)
    return item


def _grid(geobox: GeoBox) -> dict[str, Any]:
    """Return the fields of the STAC projection extension, and the pixel size."""
    return {"gsd": float(math.hypot(geobox.affine.a, geobox.affine.d)), **projection_fields(geobox)}


def _datetime(time: np.datetime64) -> datetime:
    microseconds = int(time.astype("datetime64[us]").astype("int64"))
    return datetime.fromtimestamp(microseconds // 1_000_000, tz=UTC).replace(microsecond=microseconds % 1_000_000)


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside the target, to be renamed to it; if it still exists at the end, it is removed.

    Folders that killed runs for the same target left behind are removed first. Without file locks (Windows, some file
    systems) a dead run cannot be recognised, and they stay.
    """
    # No dot after the first letter, hence a hash of the name: pystac takes a folder with a dot for a file.
    stem = f".partial-{hashlib.sha256(target.name.encode()).hexdigest()[:8]}-"
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f"{stem}*"):
        _remove_if_dead(left)
    partial = target.with_name(f"{stem}{uuid.uuid4().hex[:12]}")
    partial.mkdir()
    lock = _lock(partial)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_if_dead(left: Path) -> None:
    """Remove a folder that is old enough and that no process has locked."""
    try:
        if clock.time() - left.stat().st_mtime < YOUNG_S:
            return
    except OSError:
        return  # another run removed it
    lock = _lock(left)
    if lock is not None:
        shutil.rmtree(left, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder; None if another process holds the lock, or if there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
