"""Pairs as a static STAC collection: one Item each, with place, time, grid and licence; JSON beside the pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from ..._version import __version__
from ...arguments import count_of
from ...io.stac.stored import PROJECTION, projection_fields
from .selection import Finding

__all__ = ["Entry", "item_name", "write_collection"]

ZARR = "application/vnd.zarr; version=3"


@dataclass(frozen=True)
class Entry:
    """One pair that was kept. coarse, fine: where its pixels lie."""

    coarse: GeoBox
    fine: GeoBox
    finding: Finding


def item_name(number: int) -> str:
    """Name the Item of a pair by its number along `patch`."""
    return f"pair-{number:06d}"


def write_collection(
    folder: Path,
    entries: Sequence[Entry],
    *,
    time: np.datetime64,
    licence: str,
    bands: Sequence[str],
    store: str,
    name: str,
    about: Mapping[str, Any],
) -> None:
    """Write `collection.json` and `items/*.json` into a folder, with relative links.

    time: of the coarse image, UTC. licence: an SPDX name, or "other". store: the Zarr's name in the folder. name: of
    the collection. about: facts for the properties of every Item.
    """
    import pystac
    from pystac.layout import TemplateLayoutStrategy

    moment = _datetime(time)
    items = [_item(number, entry, moment, licence, bands, store, about) for number, entry in enumerate(entries)]
    boxes = [item.bbox for item in items if item.bbox is not None]
    around = [
        *(min(box[n] for box in boxes) for n in (0, 1)),
        *(max(box[n] for box in boxes) for n in (2, 3)),
    ] if boxes else [-180.0, -90.0, 180.0, 90.0]  # fmt: skip
    collection = pystac.Collection(
        id=name,
        description=f"{count_of(len(items), 'pair')} of coarse and fine images of one ground, {', '.join(bands)}.",
        extent=pystac.Extent(pystac.SpatialExtent([around]), pystac.TemporalExtent([[moment, moment]])),
        license=licence,
    )
    collection.add_items(items)
    collection.normalize_hrefs(str(folder), strategy=TemplateLayoutStrategy(item_template="items"))
    collection.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)


def _item(
    number: int,
    entry: Entry,
    moment: datetime,
    licence: str,
    bands: Sequence[str],
    store: str,
    about: Mapping[str, Any],
) -> Any:
    """Make the Item of one pair; without CRS it has no geometry."""
    import pystac

    geometry, bbox = None, None
    if entry.coarse.crs is not None:
        outline = entry.coarse.extent.to_crs("EPSG:4326")
        geometry, bbox = outline.json, list(outline.boundingbox.bbox)
    finding = entry.finding
    properties = {
        **_grid(entry.coarse),
        "license": licence,
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
    """Return the fields of STAC's projection extension, and the size of a pixel."""
    return {"gsd": float(math.hypot(geobox.affine.a, geobox.affine.d)), **projection_fields(geobox)}


def _datetime(time: np.datetime64) -> datetime:
    microseconds = int(time.astype("datetime64[us]").astype("int64"))
    return datetime.fromtimestamp(microseconds // 1_000_000, tz=UTC).replace(microsecond=microseconds % 1_000_000)


def _number(value: float) -> float | None:
    """Return a number that JSON knows."""
    return round(float(value), 6) if math.isfinite(value) else None
