"""What STAC Items say of their bands: assets, CRS, radiometry, from each producer's way of saying it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ...bands import BANDS, find_band, is_scl, match_bands, stated_gsd_m
from ...conventions import BASELINES, FLAGS, PRODUCTS, plain_name
from ...cube.names import listed
from ...errors import MissingBandError, RadiometryError, RadiometryWarning, warn_caller
from ...radiometry.product_metadata import (
    offset_in_dn,
    offset_of_baseline,
    read_baseline,
    read_flag,
    read_product,
    read_scaling,
)

if TYPE_CHECKING:
    from pystac import Asset, Item

T = TypeVar("T")

QUANTIFICATION = 10_000.0
"""DN per unit of reflectance."""


@dataclass(frozen=True)
class Meaning:
    """What the DN of an item mean: reflectance = (DN + offset) / 10000.

    offset: in DN. baseline: NaN where it is unknown. how: the source of the offset.
    """

    offset: float
    baseline: float
    how: str


def meaning_of(item: Item, *, offset: float | None = None) -> Meaning:
    """Find the offset of an item's DN; `offset` where the user says it.

    In this order: a flag `boa_offset_applied` that is true (0); the processing baseline, in the properties or in the
    name of the product (-1000 from 04.00 on, else 0); the scale and offset of the assets. Warns with a
    RadiometryWarning if baseline and assets contradict each other. Raises RadiometryError if no metadata give the
    offset.
    """
    if offset is not None:
        with contextlib.suppress(RadiometryError):  # that the metadata are wrong is why it is passed
            known = _baseline_of(item)
            return Meaning(float(offset), float("nan") if known is None else known, "as passed")
        return Meaning(float(offset), float("nan"), "as passed")
    baseline = _baseline_of(item)
    flags = [value for _, value in _facts_of(item, FLAGS, read_flag)]
    if True in flags:
        return Meaning(0.0, baseline if baseline is not None else float("nan"), "boa_offset_applied")
    try:
        declared = _declared_offset(item)
    except RadiometryError as error:
        if baseline is None:
            raise RadiometryError(f"{item.id}: {error}") from None
        expected = offset_of_baseline(baseline)
        warn_caller(
            f"{item.id}: {error} The offset of its processing baseline {baseline:05.2f} is used, {expected:g} DN.",
            RadiometryWarning,
        )
        return Meaning(expected, baseline, "processing baseline")
    if baseline is not None:
        expected = offset_of_baseline(baseline)
        if declared is not None and declared != expected:
            warn_caller(
                f"{item.id}: its processing baseline {baseline:05.2f} means an offset of {expected:g} DN, its "
                f"assets say {declared:g}. {expected:g} is taken; look at dark pixels, and pass offset= if wrong.",
                RadiometryWarning,
            )
        return Meaning(expected, baseline, "processing baseline")
    if declared is not None:
        return Meaning(declared, float("nan"), "scale and offset of the assets")
    raise RadiometryError(
        f"{item.id}: no processing baseline, no boa_offset_applied and no offset of the assets says what its DN "
        "mean. Pass offset=-1000 where the product is of baseline 04.00 or later and delivered as ESA has it, else "
        "offset=0."
    )


def boa_add_offset(item: Item) -> float:
    """Return what is to be added to the DN of a STAC Item before they are divided by 10000, as `load` reads it.

    -1000 where the processing baseline is 04.00 or later and the offset is not in the pixels yet, else 0. For loaders
    that take properties along: `item.properties["boa_add_offset"] = xr_sr.stac.boa_add_offset(item)`.
    Raises RadiometryError where the item does not say; warns RadiometryWarning where it contradicts itself.
    """
    return meaning_of(item).offset


def epsg_of(item: Item) -> str | None:
    """Return the name of the CRS of an item, "EPSG:32633"; None where it does not say."""
    code = item.properties.get("proj:code") or item.properties.get("proj:epsg")
    if code is None:
        codes = {asset.extra_fields.get("proj:code") for asset in item.assets.values()} - {None}
        code = codes.pop() if len(codes) == 1 else None
    return None if code is None else str(code) if ":" in str(code) else f"EPSG:{code}"


def _baseline_of(item: Item) -> float | None:
    """Read the processing baseline in the properties, else in the name of the product."""
    if found := _facts_of(item, BASELINES, read_baseline):
        return found[0][1]
    named = _facts_of(item, PRODUCTS, read_product)
    if product := read_product(item.id) or (named[0][1] if named else None):
        return product.baseline
    return None


def _facts_of(item: Item, names: Sequence[str], read: Callable[[object], T | None]) -> list[tuple[str, T]]:
    """Read the properties of some names, in the order of the names; those that say nothing are left out.

    Raises RadiometryError, with the item's name, where `read` refuses a value.
    """
    plain = {plain_name(key): (key, value) for key, value in item.properties.items()}
    found = []
    for name in names:
        key, value = plain.get(name, ("", None))
        try:
            fact = read(value)
        except RadiometryError as error:
            raise RadiometryError(f"{item.id}: {key!r}: {error}.") from None
        if fact is not None:
            found.append((key, fact))
    return found


def _declared_offset(item: Item) -> float | None:
    """Read the offset of the reflectance assets, in DN; None where they declare none, or different ones.

    Raises RadiometryError for a scale or an offset that cannot be.
    """
    found = set()
    for record in reflectance_records(item):
        scaling = read_scaling({"bands": [record]})
        if scaling is not None and not {"offset", "raster:offset"}.isdisjoint(record):
            found.add(float(round(offset_in_dn(scaling, QUANTIFICATION))))
    return found.pop() if len(found) == 1 else None


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
class ItemSource:
    """Where the pixels of a band are. asset: its key. number: of the band in it, from 1. count: of its bands."""

    asset: str
    number: int = 1
    count: int = 1

    @property
    def name(self) -> str:
        """What odc-stac calls it."""
        return self.asset if self.count == 1 else f"{self.asset}.{self.number}"


def sources_of(item: Item, wanted: Sequence[str]) -> dict[str, ItemSource]:
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
    """Return the names of the bands of 10 m and 20 m that an item has, and SCL, in the sensor's order."""
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


def counted(item: Item, sources: Mapping[str, ItemSource]) -> Item:
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


def _sources(item: Item) -> dict[str, ItemSource]:
    """Find all bands: by the keys of assets, then by their lists of bands, single ones first."""
    offers: list[tuple[int, str | None, ItemSource]] = []
    for key, asset in item.assets.items():
        if not str(asset.media_type or "image/").startswith("image/"):
            continue
        if (named := _band_of(key)) is not None:
            offers.append((0, named, ItemSource(key)))
        elif not _is_picture(key, asset):
            bands = _bands_of(key, asset)
            sources = [ItemSource(key, number, len(bands)) for number in range(1, len(bands) + 1)]
            offers += [(min(len(bands), 2), band, source) for band, source in zip(bands, sources, strict=True)]
    found: dict[str, ItemSource] = {}
    for _, band, source in sorted(offers, key=lambda offer: offer[0]):
        if band is not None and stated_gsd_m(source.asset) in (None, _GSD_M[band]):
            found.setdefault(band, source)
    return found


def _bands_of(key: str, asset: Asset) -> list[str | None]:
    """Return the names of the bands of an asset in its order; None for other bands."""
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
    """Return the band of an asset's key; "SCL" for the scene classification."""
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
