"""Which asset of a STAC item, and which of its bands, holds which band of Sentinel-2. Knows no DN."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...bands import BANDS, find_band, is_scl, match_bands, stated_gsd_m
from ...cube.names import listed
from ...errors import MissingBandError

if TYPE_CHECKING:
    from pystac import Asset, Item

SCL = "SCL"
SCL_GSD_M = 20.0

_GSD_M = {band.name: band.gsd_m for band in BANDS} | {SCL: SCL_GSD_M}
_LISTS = ("bands", "eo:bands", "raster:bands")
"""Where an asset describes its bands: STAC 1.1, and the extensions `eo` and `raster` of STAC 1.0."""

_PICTURE_ROLES = {"visual", "overview", "thumbnail"}
_PICTURE = re.compile(r"visual|tci|true.?colou?r|preview|overview|thumbnail|quicklook", re.IGNORECASE)
_ORIGINAL = re.compile(r"[-_]jp2$", re.IGNORECASE)
"""Earth Search has the original file, of another offset, beside each asset."""


@dataclass(frozen=True)
class Source:
    """Where the pixels of a band are. asset: its key. number: of the band in it, from 1. count: of its bands."""

    asset: str
    number: int = 1
    count: int = 1

    @property
    def name(self) -> str:
        """What odc-stac calls it."""
        return self.asset if self.count == 1 else f"{self.asset}.{self.number}"


def sources_of(item: Item, wanted: Sequence[str]) -> dict[str, Source]:
    """Find where an item has each band, by canonical name ("SCL" too), at its native resolution.

    An asset whose key names the band comes first, then one whose list of bands does (`bands`, `eo:bands`), of one band
    or of several; pictures such as `visual` do not count. Raises MissingBandError where an item has none.
    """
    found = _sources(item)
    if missing := [band for band in wanted if band not in found]:
        raise MissingBandError(
            f"{item.id} has no asset for {listed(missing)}; its assets are {_described(item)}. Choose by bands=."
        )
    return {band: found[band] for band in wanted}


def bands_in(item: Item) -> list[str]:
    """Name the bands of 10 m and 20 m that an item has, and SCL, in the sensor's order."""
    names = _sources(item)
    found = [band.name for band in BANDS if band.gsd_m < 60 and band.name in names]
    return [*found, SCL] if SCL in names else found


def native_gsd_m(band: str) -> float:
    """Return the native pixel size of a band or of SCL."""
    return _GSD_M[band]


def records_of(asset: Asset) -> list[Mapping[str, Any]]:
    """Describe each band of an asset: what its lists of bands say, over what the asset says of all of them."""
    lists = [found for key in _LISTS if isinstance(found := asset.extra_fields.get(key), list) and found]
    records: list[Mapping[str, Any]] = []
    for place in range(max(map(len, lists), default=1)):
        record: dict[str, Any] = dict(asset.extra_fields)
        for each in reversed(lists):
            if place < len(each) and isinstance(each[place], Mapping):
                record |= each[place]
        records.append(record)
    return records


def reflectance_records(item: Item) -> Iterator[Mapping[str, Any]]:
    """Yield the description of each band of light in an item, SCL and pictures left out."""
    for key, asset in item.assets.items():
        if not _is_picture(key, asset):
            bands, records = _bands_of(key, asset), records_of(asset)
            yield from (record for band, record in zip(bands, records, strict=True) if band not in (None, SCL))


def counted(item: Item, sources: Mapping[str, Source]) -> Item:
    """Return an item of which odc-stac sees how many bands its assets have.

    It counts `bands` and `raster:bands`, and of `eo:bands` the first only. The item itself is left as it is.
    """
    short = {
        source.asset: source.count
        for source in sources.values()
        if source.count > 1
        and all(len(item.assets[source.asset].extra_fields.get(key) or ()) < source.count for key in _LISTS[::2])
    }
    if not short:
        return item
    made = item.clone()
    for key, count in short.items():
        made.assets[key].extra_fields["raster:bands"] = [{} for _ in range(count)]
    return made


def _sources(item: Item) -> dict[str, Source]:
    """Find all bands: by the keys of assets, then by their lists of bands, single ones first."""
    usable = {key: asset for key, asset in item.assets.items() if _holds_pixels(asset)}
    found: dict[str, Source] = {}
    for key in usable:
        band = _band_of(key)
        if band is not None and stated_gsd_m(key) in (None, _GSD_M[band]):
            found.setdefault(band, Source(key))
    listing = [
        (key, _bands_of(key, asset))
        for key, asset in usable.items()
        if not _is_picture(key, asset) and not _band_of(key)
    ]
    for key, bands in sorted(listing, key=lambda pair: len(pair[1]) > 1):
        for number, band in enumerate(bands, 1):
            if band is not None and stated_gsd_m(key) in (None, _GSD_M[band]):
                found.setdefault(band, Source(key, number, len(bands)))
    return found


def _bands_of(key: str, asset: Asset) -> list[str | None]:
    """Name the bands of an asset in its order; None for what is no band of Sentinel-2."""
    records = records_of(asset)
    if (band := _band_of(key)) is not None:
        return [band] * len(records)
    named = any(asset.extra_fields.get(name) for name in _LISTS[:2])
    if not named or _ORIGINAL.search(key):
        return [None] * len(records)
    names = [record.get("name") for record in records]
    common = [record.get("eo:common_name", record.get("common_name")) for record in records]
    matched = zip(names, match_bands(names), common, strict=True)
    return [
        SCL if is_scl(name) else hit.name if (hit := band or find_band(other)) is not None else None
        for name, band, other in matched
    ]


def _band_of(key: str) -> str | None:
    """Name the band that an asset's key stands for; "SCL" for the scene classification."""
    band = find_band(key)
    return SCL if is_scl(key) else None if band is None else band.name


def _described(item: Item) -> str:
    """Write the keys of the assets, and the bands of those that hold several."""
    texts = []
    for key, asset in item.assets.items():
        names = [str(record.get("name", "?")) for record in records_of(asset)]
        texts.append(f"{key!r} (bands {', '.join(names)})" if len(names) > 1 else repr(key))
    return ", ".join(texts) or "none"


def _is_picture(key: str, asset: Asset) -> bool:
    """Return whether an asset is a picture for the eye: 8-bit colors, not DN."""
    types = {record.get("data_type") for record in records_of(asset)}
    words = f"{key} {asset.title or ''}"
    return bool(_PICTURE_ROLES & set(asset.roles or ())) or types == {"uint8"} or bool(_PICTURE.search(words))


def _holds_pixels(asset: Asset) -> bool:
    return str(asset.media_type or "image/").startswith("image/")
