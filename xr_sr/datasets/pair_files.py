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
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from .._version import __version__
from ..arguments import count_of
from ..errors import CubeError
from ..io.stac.stored import add_projection

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


_MEASURED = tuple(field.name for field in fields(Selection))


@dataclass(frozen=True, eq=False)
class SharedArea:
    """The area that both images cover, on one grid of coarse pixels.

    lr, hr, seen: (band, y, x), bands in one order, cut to that area. scale: fine pixels per coarse one. times: of
    several dates of `lr`, which is then (time, band, y, x).
    """

    lr: xr.DataArray
    hr: xr.DataArray
    seen: xr.DataArray
    grid: GeoBox
    scale: int
    bands: tuple[str, ...]
    times: npt.NDArray[np.datetime64] | None = None


class PairWriter:
    """Append pairs to a Zarr, keep a table of all patches that were tested, and write an Item for each pair.

    folder: receives `store` (a Zarr), `collection.json` and `items/`. time: of the coarse image, or where that has
    several dates of the fine one, UTC. license: an SPDX name, or "other". about: properties of every Item.
    """

    def __init__(
        self,
        folder: Path,
        store: str,
        scene: SharedArea,
        size: int,
        *,
        time: np.datetime64,
        license: str,
        about: Mapping[str, Any],
    ) -> None:
        import pandas as pd
        import zarr

        self.folder, self.store, self.scene, self.size = folder, store, scene, size
        self.time, self.license, self.about = time, license, about
        times = [time, *([] if scene.times is None else scene.times)]
        moments = [pd.Timestamp(one.astype("datetime64[us]"), tz="UTC").to_pydatetime() for one in times]
        self.moment, self.moments = moments[0], moments[1:]
        self.items: list[Any] = []
        self.rows: list[dict[str, Any]] = []
        group = zarr.create_group(str(folder / store), zarr_format=3)
        several = () if scene.times is None else (("time", len(scene.times)),)
        self.arrays = []
        for name, side, suffix, lead in (("lr", size, "", several), ("hr", size * scene.scale, "_hr", ())):
            sizes = (*(length for _, length in lead), len(scene.bands), side, side)
            array = group.create_array(
                name,
                shape=(0, *sizes),
                chunks=(1, *sizes),
                dtype="float32",
                fill_value=np.nan,
                dimension_names=("patch", *(dim for dim, _ in lead), "band", f"y{suffix}", f"x{suffix}"),
                attributes={"units": "1"},
            )
            self.arrays.append(array)

    def add(
        self,
        place: tuple[int, int],
        coarse: npt.NDArray[Any],
        fine: npt.NDArray[Any],
        findings: Sequence[Selection],
        least: int = 1,
    ) -> None:
        """Record a pair and write it if usable. place: first coarse row and column.

        coarse: (time?, band, y, x), fine: (band, y, x). findings: one for each date. least: how many must be usable.
        """
        row, column = place
        corner = self.scene.grid.affine @ (column, row)
        kept = sum(finding.kept for finding in findings) >= least
        values = {name: [getattr(finding, name) for finding in findings] for name in _MEASURED}
        if self.scene.times is None:
            values = {name: each[0] for name, each in values.items()}
        self.rows.append({"row": row, "column": column, "left": corner[0], "top": corner[1], "kept": kept, **values})
        if kept:
            grid = self.scene.grid[row : row + self.size, column : column + self.size]
            self.items.append(self._item(grid, findings))
            for array, pixels in zip(self.arrays, (coarse, fine), strict=True):
                array.append(pixels.astype("float32")[None])

    def _item(self, grid: GeoBox, findings: Sequence[Selection]) -> Any:
        """Return the Item of the next pair, with the best of its findings; without a CRS it has no geometry."""
        import pystac

        finding = max(findings, key=lambda one: (one.kept, _number(one.quality) or 0.0))

        geometry, bbox, number = None, None, len(self.items)
        if grid.crs is not None:
            outline = grid.extent.to_crs("EPSG:4326")
            geometry, bbox = outline.json, list(outline.boundingbox.bbox)
        properties = {
            "gsd": _gsd(grid),
            "license": self.license,
            "xr_sr:version": __version__,
            "xr_sr:shift": [_number(finding.shift_y), _number(finding.shift_x)],
            "xr_sr:shift_quality": _number(finding.quality),
            "xr_sr:spectral_angle": _number(finding.angle),
            "xr_sr:valid": finding.valid,
            **self.about,
        }
        if self.moments:
            ends = (min(self.moments), max(self.moments))
            properties |= dict(zip(("start_datetime", "end_datetime"), map(_utc, ends), strict=True))
            properties["xr_sr:dates"] = [_utc(moment) for moment in self.moments]
            properties["xr_sr:usable"] = [one.kept for one in findings]
        item = pystac.Item(f"pair-{number:06d}", geometry, bbox, self.moment, properties)
        item.ext.add("proj")
        add_projection(item, grid)
        for name, geobox in (("lr", grid), ("hr", grid.zoom_to((self.size * self.scene.scale,) * 2))):
            bands = [{"name": band} for band in self.scene.bands]
            fields = {"gsd": _gsd(geobox), "bands": bands, "xr_sr:patch": number}
            asset = pystac.Asset(f"../{self.store}/{name}", media_type=ZARR, roles=["data"], extra_fields=fields)
            item.add_asset(name, asset)
            add_projection(asset, geobox)
        return item

    def finish(self, name: str) -> None:
        """Write coordinates, the table, and the STAC collection of that name. Raises CubeError if no pair was kept."""
        reasons: Counter[str] = Counter()
        for row in self.rows:
            reasons.update([row["reason"]] if isinstance(row["reason"], str) else row["reason"])
        if not self.items:
            raise CubeError(
                f"none of {len(self.rows)} patches is usable: "
                + ", ".join(f"{count} {reason}" for reason, count in reasons.items())
                + ". Check the images, or relax max_shift, max_angle or min_valid."
            )
        store = self.folder / self.store
        table = {name: _column([row[name] for row in self.rows]) for name in self.rows[0]}
        kept = table.pop("kept")
        of = {name: ("time",) * (values.ndim - 1) for name, values in table.items()}
        measured = {name: (("patch", *of[name]), values[kept]) for name, values in table.items() if name != "reason"}
        dates: dict[str, Any] = {"time": self.time}
        if self.scene.times is not None:
            dates = {"time": self.scene.times, "time_hr": self.time}
            measured["usable"] = (("patch", "time"), (table["reason"] == KEPT)[kept])
        crs = self.scene.grid.crs
        attrs = {
            "scale": self.scene.scale,
            "crs": f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else str(crs or ""),
            "shift": "of the fine image, in pixels of the coarse one",
            "angle": "in degrees",
        }
        pairs = xr.Dataset(coords={**measured, "band": _column(self.scene.bands), **dates}, attrs=attrs)
        pairs.to_zarr(store, mode="a", consolidated=False)
        selection = xr.Dataset({name: (("tested", *of[name]), values) for name, values in table.items()})
        if self.scene.times is not None:
            selection = selection.assign_coords(dates)
        selection.assign(kept=("tested", kept)).to_zarr(store, group="selection", mode="a", consolidated=False)
        _consolidate(store, "selection")
        _consolidate(store, None)
        self._write_collection(name)

    def _write_collection(self, name: str) -> None:
        """Write a static STAC collection with relative links."""
        import pystac
        from pystac.layout import TemplateLayoutStrategy

        world = [-180.0, -90.0, 180.0, 90.0]
        boxes = np.array([item.bbox or world for item in self.items])
        around = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
        count = count_of(len(self.items), "pair")
        moments = [self.moment, *self.moments]
        span: list[datetime | None] = [min(moments), max(moments)]
        collection = pystac.Collection(
            id=name,
            description=f"{count} of coarse and fine images of the same area, {', '.join(self.scene.bands)}.",
            extent=pystac.Extent(pystac.SpatialExtent([around]), pystac.TemporalExtent([span])),
            license=self.license,
        )
        collection.add_items(self.items)
        collection.normalize_hrefs(str(self.folder), strategy=TemplateLayoutStrategy(item_template="items"))
        collection.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)


def _consolidate(store: Path, group: str | None) -> None:
    """Consolidate metadata, which xarray reads first; it warns if there is none."""
    import zarr

    with warnings.catch_warnings():
        # Zarr warns that version 3 of its format does not specify this yet; its readers and xarray use it.
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(store), path=group)


def _column(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Return an array; text as objects, which Zarr stores at any length without a warning."""
    first = values[0][0] if isinstance(values[0], list) else values[0]
    return np.array(values, dtype=object if isinstance(first, str) else None)


def _gsd(geobox: GeoBox) -> float:
    return float(math.hypot(geobox.affine.a, geobox.affine.d))


def _utc(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside the target, to be renamed to it; if it still exists at the end, it is removed.

    Folders that killed runs for the same target left behind are removed first. Without file locks (Windows, some file
    systems) a dead run cannot be recognized, and they stay.
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
